"""Does every device get its share: host devices, a GPU, a TPU, several machines?"""

import contextlib
import functools
import os
import re
import socket
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import README, SCRIPT, SMOKE, peak_gib, rows, stdout_of
from jax import export
from numpyro.diagnostics import split_gelman_rubin

import bnn

KEY = jax.random.key(0)
BETWEEN_DEVICES = ["all-reduce", "all-gather", "all-to-all", "collective", "reduce-sc"]
SLOWER_THAN_A_CPU = "a CPU is faster"


# Four chains on one, two and four host devices
def sample_on(num_devices):
    """NumPyro's MCMC object of a run of four chains on this machine's devices.

    They are the last of all, as if the devices before them were another machine's.
    """
    X, Y, *_ = bnn.get_data(N=7)
    devices = jax.devices()[-num_devices:]
    # few draws, as the last digit may depend on how many chains a device has; it grows
    sizes = dict(num_warmup=2, num_samples=4, num_chains=4)
    with mock.patch.object(jax, "local_devices", return_value=devices):
        return bnn.run_inference(bnn.model, KEY, X, Y, 5, **sizes, progress_bar=False)


@pytest.fixture(scope="module")
def runs():
    """The MCMC objects of runs on 1, 2 and 4 devices."""
    return {number: sample_on(number) for number in [1, 2, 4]}


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_chains_are_spread_evenly_over_the_devices(runs, num_devices):
    w1 = runs[num_devices].last_state.z["w1"]
    assert w1.sharding.device_set == set(jax.devices()[-num_devices:])
    f = runs[num_devices].get_samples(group_by_chain=True)["f"]
    chains_of = {shard.device: len(shard.data) for shard in f.addressable_shards}
    assert set(chains_of.values()) == {4 // num_devices}


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_how_many_devices_are_used_is_printed(capsys, num_devices):
    sample_on(num_devices)
    expected = f"4 chain(s) on {num_devices} of {num_devices} device(s)"
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("num_devices", [2, 4])
def test_the_number_of_devices_does_not_change_the_draws(runs, num_devices):
    on_one = runs[1].get_samples(group_by_chain=True)
    on_several = runs[num_devices].get_samples(group_by_chain=True)
    for name, draws in on_one.items():
        np.testing.assert_allclose(on_several[name], draws, rtol=1e-4, atol=1e-4)


def test_no_chain_is_a_copy_of_another(runs):
    draws = runs[4].get_samples(group_by_chain=True)
    last_of_each = draws["prec_obs"][:, -1]
    assert len(np.unique(last_of_each)) == 4


# each device has a loop of its own: none waits for another's longer paths
def test_devices_do_not_wait_for_each_other(monkeypatch):
    share_chains = bnn.share_chains
    lowered = []

    def share_and_keep_the_program(num_devices, one_chain):
        run = share_chains(num_devices, one_chain)

        def lower_and_run(*args):
            lowered.append(run.lower(*args))
            return run(*args)

        return lower_and_run

    monkeypatch.setattr(bnn, "share_chains", share_and_keep_the_program)
    sample_on(2)
    (program,) = lowered
    compiled = program.compile().as_text()
    assert "while" in compiled  # NUTS' loops are in it
    assert not any(operation in compiled for operation in BETWEEN_DEVICES)


# as it was: keys on several devices, and one loop that goes on while any chain does;
# it shows that the test before this one would fail
def test_a_loop_that_devices_share_would_be_noticed():
    mesh = jax.sharding.Mesh(jax.local_devices()[:2], "chains")
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("chains"))
    values = jax.device_put(np.arange(4.0), spread)

    def count_to_9(x):
        return jax.lax.while_loop(lambda x: x < 9, lambda x: x + 1, x)

    program = jax.jit(jax.vmap(count_to_9)).lower(values)
    compiled = program.compile().as_text()
    assert any(operation in compiled for operation in BETWEEN_DEVICES)


# What is planned for devices that this machine does not have
def plan(backend, num_devices, num_chains, **more):
    """NumPyro's chain_method, and whether there is a bar, on such a machine."""
    X, Y, *_ = bnn.get_data(N=7)
    MCMC = mock.MagicMock()
    MCMC.return_value.last_state.potential_energy = 0.0
    devices = list(range(num_devices))
    with (
        mock.patch.object(jax, "default_backend", return_value=backend),
        mock.patch.object(jax, "local_devices", return_value=devices),
        mock.patch.object(bnn, "MCMC", MCMC),
    ):
        bnn.run_inference(bnn.model, KEY, X, Y, 5, num_chains=num_chains, **more)
    settings = MCMC.call_args.kwargs
    return settings["chain_method"], settings["progress_bar"]


@pytest.mark.parametrize("num_chains", [1, 4])
@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
def test_a_chain_that_has_its_device_runs_in_parallel_with_a_bar(backend, num_chains):
    method, bar = plan(backend, num_devices=4, num_chains=num_chains)
    assert method == "parallel"
    assert bar


# 6 chains on 4 devices: 2 each on 3 of them
@pytest.mark.parametrize(
    "backend, devices, chains, used",
    [
        ("cpu", 4, 6, 3),
        ("gpu", 4, 6, 3),
        ("tpu", 4, 6, 3),
        ("cpu", 1, 4, 1),
    ],
)
def test_chains_are_shared_equally_without_a_bar(backend, devices, chains, used):
    method, bar = plan(backend, devices, chains)
    assert method.func == bnn.share_chains
    assert method.args == (used,)
    assert not bar


def test_no_bar_is_shown_where_none_is_wanted():
    method, bar = plan("cpu", num_devices=4, num_chains=4, progress_bar=False)
    assert method == "parallel"
    assert not bar


def test_on_one_gpu_all_chains_run_at_once_with_a_bar():
    method, bar = plan("gpu", num_devices=1, num_chains=4)
    assert method == "vectorized"
    assert bar


# the loop over a device's chains is JAX's scan; without it they run at once
@pytest.mark.parametrize("backend, in_turn", [("cpu", True), ("gpu", False)])
def test_chains_of_a_device_take_turns_on_a_cpu_alone(monkeypatch, backend, in_turn):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    program = str(jax.make_jaxpr(bnn.share_chains(2, jnp.sin))(jnp.ones(80)))
    assert ("scan" in program) == in_turn
    assert ("length=40" in program) == in_turn  # 40 chains, one at a time


# Where a CPU is faster
def gpu_note(capsys, backend, cores, sizes):
    """What is said of these chains, data and units on a machine of so many cores."""
    with (
        mock.patch.object(jax, "default_backend", return_value=backend),
        mock.patch.object(os, "cpu_count", return_value=cores),
    ):
        bnn.print_gpu_note(*sizes)
    return capsys.readouterr().out


# the line is at 20 000 chains x data x units for each core that has a chain
ON_THE_LINE = [
    (2, (1, 2000, 10)),
    (2, (4, 1000, 10)),
    (16, (4, 2000, 10)),
    (16, (100, 320, 10)),
]


@pytest.mark.parametrize("cores, sizes", ON_THE_LINE)
def test_from_the_line_on_a_gpu_pays_and_below_it_the_cpu_is_named(
    capsys, cores, sizes
):
    chains, data, units = sizes
    assert gpu_note(capsys, "gpu", cores, sizes) == ""
    note = gpu_note(capsys, "gpu", cores, (chains, data - 1, units))
    assert SLOWER_THAN_A_CPU in note
    assert "--device cpu" in note


@pytest.mark.parametrize("backend", ["cpu", "tpu"])
def test_nothing_is_said_where_nothing_was_measured(capsys, backend):
    assert gpu_note(capsys, backend, cores=2, sizes=(1, 100, 5)) == ""


def test_an_unknown_number_of_cores_is_no_error(capsys):
    assert SLOWER_THAN_A_CPU in gpu_note(capsys, "gpu", None, (1, 100, 5))


def test_the_note_is_about_the_sizes_that_the_flags_give(capsys):
    sizes = []
    with (
        mock.patch.object(bnn, "use_device"),
        mock.patch.object(bnn, "print_gpu_note", lambda *given: sizes.append(given)),
    ):
        flags = "--num-chains 4 --num-data 30 --num-hidden 6".split()
        bnn.start_jax(bnn.parse_args(flags))
    assert sizes == [(4, 30, 6)]


# What happens to settings of the process
def test_the_import_changes_nothing_and_a_device_that_is_not_there_is_told(
    run_program,
):
    env = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": ""}
    told = stdout_of(run_program("import_changes_nothing", env=env))
    assert "has started on cpu" in told
    assert "jax[cuda13]" in told


@pytest.fixture
def use(monkeypatch):
    """Return a function that uses a device that is not there, or does not start.

    It gives XLA_FLAGS, None where there is none, and the changed settings of JAX.
    """

    def use(device, users_flags=None, version=(0, 12, 0), starts=True):
        monkeypatch.delenv("XLA_FLAGS", raising=False)
        if users_flags is not None:
            monkeypatch.setenv("XLA_FLAGS", users_flags)
        return use_again(device, version, starts)

    def use_again(device, version=(0, 12, 0), starts=True):
        settings = {}
        backend = device if starts else "another"
        monkeypatch.setattr(jax, "__version_info__", version)
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        monkeypatch.setattr(type(jax.config), "update", keep_in(settings))
        told = contextlib.nullcontext() if starts else pytest.raises(RuntimeError)
        with told:
            bnn.use_device(device, num_chains=4)
        return os.environ.get("XLA_FLAGS"), settings

    def keep_in(settings):
        return lambda config, name, value: settings.update({name: value})

    use.again = use_again
    return use


USERS = "--xla_cpu_enable_fast_math=false"
OF_A_CPU = ["--xla_backend_optimization_level", "--xla_backend_extra_options"]
OF_A_GPU = ["--xla_gpu_enable_command_buffer"]


def names_of(flags):
    """The names of flags of XLA, in their order."""
    return [flag.split("=")[0] for flag in flags.split()]


@pytest.mark.parametrize("starts", [True, False], ids=["there", "not there"])
@pytest.mark.parametrize("device, own", [("cpu", OF_A_CPU), ("gpu", OF_A_GPU)])
def test_flags_for_xla_stay_in_front_of_the_users(use, device, own, starts):
    for users_flags in [None, "", USERS, f" {USERS}"]:
        flags, _ = use(device, users_flags, starts=starts)
        users = names_of(users_flags or "")
        assert names_of(flags) == own + users  # of a flag, the last wins


def test_llvm_is_not_told_to_optimise_nothing_as_loops_are_slow_then(use):
    flags, _ = use("cpu")
    level = re.search(r"optimization_level=(\d)", flags)[1]
    assert 1 <= int(level) < 3  # 3 is XLA's default


def test_a_loop_becomes_one_function_up_to_the_size_that_the_comment_names(use):
    flags, _ = use("cpu")
    threshold = re.search(r"small_while_loop_byte_threshold=(\w+)", flags)[1]
    named = re.search(r"loop\s+#? *over at most (\d+) kB", SCRIPT.read_text())[1]
    assert int(threshold) == 1000 * int(named) == 250_000  # what was measured


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_users_file_of_flags_stays_in_force(use, device):
    assert use(device, "/there/flags.txt")[0] == "/there/flags.txt"


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_second_call_does_not_add_flags_again(use, device):
    flags, _ = use(device, USERS)
    assert use.again(device)[0] == flags


def test_loops_run_on_a_gpu_without_asking_the_host_where_that_was_measured(use):
    flags, _ = use("gpu", version=(0, 11, 0))
    assert flags.split() == ["--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"]
    for device, version in [("gpu", (0, 10, 2)), ("tpu", (0, 12, 0))]:
        assert not (use(device, version=version)[0] or "").strip()
        assert use(device, USERS, version)[0].split() == [USERS]


PRECISION = "jax_default_matmul_precision"


@pytest.mark.parametrize(
    "device, precision", [("cpu", None), ("gpu", "highest"), ("tpu", "highest")]
)
def test_accelerators_do_not_round_the_factors_of_a_product(use, device, precision):
    _, settings = use(device)
    assert settings.get(PRECISION) == precision


@pytest.mark.parametrize(
    "device, platform, devices", [("cpu", "cpu", 4), ("gpu", None, None)]
)
def test_a_call_sets_the_platform_and_on_a_cpu_a_device_for_each_chain(
    use, device, platform, devices
):
    _, settings = use(device)
    assert settings["jax_platforms"] == platform
    assert settings.get("jax_num_cpu_devices") == devices
    only_here = "jax_num_cpu_devices" if device == "cpu" else PRECISION
    assert set(settings) == {"jax_platforms", only_here}


def test_later_calls_take_the_devices_that_are_there(run_program):
    strict = ["-W", "error"]
    env = {"XLA_FLAGS": USERS}
    result = run_program("call_twice", env=env, python_flags=strict)
    plans = re.findall(r"(\d+) chain\(s\) on (\d+) of (\d+)", stdout_of(result))
    assert plans == [("2", "2", "2"), ("1", "1", "2")]


# Without a GPU, a TPU or a second machine: as near as one comes
def test_a_gpu_runs_chains_in_full_precision(run_program):
    env = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    result = run_program("run_on_a_stand_in", *SMOKE, env=env)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\nNUTS on gpu: 6 chain(s) on 3 of 4 device(s)\n" in result.stdout
    assert result.stdout.count(SLOWER_THAN_A_CPU) == 1
    assert len(rows(result.stdout)) == 46
    assert result.stdout.endswith("\nhighest\n")


# what would run there, compiled as far as is possible without one
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_start_step_and_predictions_of_4_chains_lower_for(platform):
    X, Y, X_test, _ = bnn.get_data(N=7)
    kernel = bnn.CompiledNUTS(bnn.model, max_tree_depth=10)

    def run(seed):  # keys cannot be exported
        keys = jax.random.split(jax.random.key(seed), 4)
        state = kernel.init(keys, 1, None, (X, Y, 5), {})
        state = kernel.sample(state, (X, Y, 5), {})
        draws = jax.vmap(kernel.postprocess_fn((X, Y, 5), {}))(state.z)
        at_test = functools.partial(bnn.predict, bnn.model, X=X_test, D_H=5)
        return jax.vmap(at_test)(keys, draws)

    with jax.default_matmul_precision("highest"):
        lowered = export.export(jax.jit(run), platforms=[platform])(jnp.uint32(0))
    assert lowered.platforms == (platform,)
    assert [x.shape for x in lowered.out_avals] == [(4, 500, 1), (4, 500, 1)]


def free_address():
    """An address of this machine at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    return f"{host}:{port}"


# README's snippet for several machines, which run four chains each; two processes
# stand in for two machines, with a device for every two chains
def test_two_machines_gather_the_draws_of_both_and_agree_on_r_hat(
    run_program, tmp_path
):
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    (code,) = [code for code in snippets if "jax.distributed.initialize" in code]
    count = "set_host_device_count"
    assert f"{count}(4)" in code
    code = code.replace(f"{count}(4)", f"{count}(2)")
    (tmp_path / "snippet.py").write_text(code)
    address = free_address()

    machines = []
    for process_id in range(2):
        flags = [address, 2, process_id]
        options = dict(env={"JAX_PLATFORMS": "cpu"}, wait=False)
        machines.append(run_program("one_of_two_machines", *flags, **options))
    printed = [machine.communicate(timeout=200) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], printed
    for stdout, _ in printed:
        assert "4 chain(s) on 2 of 2 device(s)" in stdout
    first, second = [np.load(tmp_path / f"{i}.npz") for i in range(2)]

    both = np.concatenate([first["own_f"], second["own_f"]])
    np.testing.assert_array_equal(first["f"], both)
    for name in ["f", "w1", "r_hat"]:
        np.testing.assert_array_equal(first[name], second[name])
    assert first["r_hat"] == pytest.approx(split_gelman_rubin(both).max())
    last_lines = {stdout.splitlines()[-1] for stdout, _ in printed}
    assert len(last_lines) == 1
    last_of_each = both[:, -1, 0, 0]
    assert len(np.unique(last_of_each)) == len(both)  # no chain is another's copy


# one host device a chain is by far the fastest, but JAX cannot make thousands
def test_thousands_of_chains_stay_within_2_5_gib(run_program, tmp_path):
    flags = "--num-chains 2050 -n 4 --num-warmup 0 --num-data 7".split()
    result = run_program("tell_peak", SCRIPT, *flags)
    assert "2050 chain(s) on 410 of 1024 device(s)" in stdout_of(result)
    assert peak_gib(result.stderr) < 2.5
    assert (tmp_path / "bnn_plot.pdf").exists()
