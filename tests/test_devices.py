"""Does every device get its share: host devices, a GPU, a TPU, several machines?"""

import functools
import os
import re
import socket
from unittest.mock import MagicMock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import IMPORTABLE, README, SCRIPT, SMOKE, peak_gib, rows, stdout_of
from jax import export
from numpyro.diagnostics import split_gelman_rubin

import bnn

KEY = jax.random.key(0)
BETWEEN_DEVICES = ["all-reduce", "all-gather", "all-to-all", "collective", "reduce-sc"]


def test_devices_do_not_change_the_draws_nor_wait_for_each_other(monkeypatch, capsys):
    X, Y, *_ = bnn.get_data(N=7)
    devices, share_chains = jax.local_devices(), bnn.share_chains
    draws, programs = {}, []

    def spy(used, one_chain):
        run = share_chains(used, one_chain)
        return lambda *args: programs.append(run.lower(*args)) or run(*args)

    monkeypatch.setattr(bnn, "share_chains", spy)
    for used in [1, 2, 4]:
        monkeypatch.setattr(jax, "local_devices", lambda used=used: devices[:used])
        # few, as the last digit may depend on how many chains a device has; it grows
        mcmc = bnn.run_inference(bnn.model, KEY, X, Y, 5, 2, 4, 4, False)
        assert f"4 chain(s) on {used} of {used} device(s)" in capsys.readouterr().out
        assert mcmc.last_state.z["w1"].sharding.device_set == set(devices[:used])
        draws[used] = mcmc.get_samples(group_by_chain=True)
    for used in [2, 4]:
        for name, x in draws[1].items():
            np.testing.assert_allclose(draws[used][name], x, rtol=1e-4, atol=1e-4)
    # no chain is another's copy
    assert len(np.unique(draws[4]["prec_obs"][:, -1])) == 4
    shards = {s.device: s.data.shape[0] for s in draws[2]["f"].addressable_shards}
    assert shards == {device: 2 for device in devices[:2]}
    text = programs[1].compile().as_text()
    assert "while" in text  # NUTS' loops are in it
    assert not any(operation in text for operation in BETWEEN_DEVICES)


def test_a_loop_that_devices_share_would_be_noticed():
    # as it was: keys on several devices, and one loop that goes on while any chain does
    mesh = jax.sharding.Mesh(jax.local_devices()[:2], "chains")
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("chains"))
    keys = jax.device_put(np.arange(4.0), spread)
    loop = jax.vmap(lambda x: jax.lax.while_loop(lambda x: x < 9, lambda x: x + 1, x))
    text = jax.jit(loop).lower(keys).compile().as_text()
    assert any(operation in text for operation in BETWEEN_DEVICES)


def plan(monkeypatch, backend, num_devices, num_chains, N=100, D_H=5):
    """The chain_method, and whether there is a bar, on such a machine."""
    X, Y, *_ = bnn.get_data(N=N)
    MCMC = MagicMock()
    MCMC.return_value.last_state.potential_energy = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: backend)
        patch.setattr(jax, "local_devices", lambda: list(range(num_devices)))
        patch.setattr(bnn, "MCMC", MCMC)
        bnn.run_inference(bnn.model, KEY, X, Y, D_H, num_chains=num_chains)
    return MCMC.call_args.kwargs["chain_method"], MCMC.call_args.kwargs["progress_bar"]


def test_chains_are_shared_equally_and_have_a_bar_where_numpyro_has_one(monkeypatch):
    for backend in ["cpu", "gpu", "tpu"]:
        assert plan(monkeypatch, backend, 4, 4) == ("parallel", True)
        assert plan(monkeypatch, backend, 4, 1) == ("parallel", True)
        method, bar = plan(monkeypatch, backend, 4, 6)
        assert (method.func, method.args, bar) == (bnn.share_chains, (3,), False)
    method, bar = plan(monkeypatch, "cpu", 1, 4)
    assert (method.func, method.args, bar) == (bnn.share_chains, (1,), False)
    assert plan(monkeypatch, "gpu", 1, 4) == ("vectorized", True)


def test_chains_that_share_a_device_take_turns_on_a_cpu_and_not_on_a_gpu(monkeypatch):
    for backend, in_turn in [("cpu", True), ("gpu", False)]:
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        program = jax.make_jaxpr(bnn.share_chains(2, jnp.sin))(jnp.ones(4))
        assert ("scan" in str(program)) == in_turn


def test_a_gpu_that_is_slower_than_a_cpu_is_told_and_no_other(monkeypatch, capsys):
    for slower in [("gpu", 1, 4), ("tpu", 1, 1), ("gpu", 1, 999)]:
        plan(monkeypatch, *slower)
        assert "a CPU is faster" in capsys.readouterr().out
    unknown = ("gpu", 1, 4, 100, (5, 5))  # what D_H means
    for other in [unknown, ("gpu", 1, 1000), ("gpu", 1, 4, 10_000, 50), ("cpu", 1, 4)]:
        plan(monkeypatch, *other)
        assert "a CPU is faster" not in capsys.readouterr().out


# one host device a chain is by far the fastest, but JAX cannot make thousands
@pytest.mark.parametrize("chains, devices", [(1000, 1000), (3000, 1024)])
def test_thousands_of_chains_stay_within_2_5_gib(
    run_program, tmp_path, chains, devices
):
    flags = ["--num-chains", chains, *"-n 4 --num-warmup 0 --num-data 7".split()]
    result = run_program("tell_peak", SCRIPT, *flags)
    where = f"{chains} chain(s) on 1000 of {devices} device(s)"
    assert where in stdout_of(result) and (tmp_path / "bnn_plot.pdf").exists()
    assert peak_gib(result.stderr) < 2.5


PREDICT = """
import functools, sys, jax, numpy as np, bnn
def memory(name):  # GiB
    status = open("/proc/self/status").read()
    return int(status.split(name)[1].split()[0]) / 2**20
chains, points = map(int, sys.argv[1:])
X, Y, X_test, f_test = bnn.get_data(N_test=points)
rng = np.random.default_rng(0)
shapes = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "prec_obs": ()}
size = (chains, 2000)
draws = {k: rng.standard_normal((*size, *v), np.float32) for k, v in shapes.items()}
draws["prec_obs"] = np.exp(draws["prec_obs"])
key = jax.random.key(0)
before = memory("VmRSS:")
at_test = functools.partial(bnn.predict, bnn.model, X=X_test, D_H=5)
f_draws, Y_draws = bnn.for_all_draws(at_test, key, draws)
assert f_draws.shape == Y_draws.shape == (*size, points, 1)
if points == 500:
    bnn.plot(X, Y, X_test, f_test, f_draws, Y_draws)
print(memory("VmHWM:") - before - (f_draws.nbytes + Y_draws.nbytes) / 2**30)
"""


# all draws at once took over 7
@pytest.mark.parametrize("chains, points, gib", [(64, 500, 1.5), (1, 100_000, 2.0)])
def test_predictions_need_up_to_2_gib_over_themselves(run_script, chains, points, gib):
    result = run_script(chains, points, script=["-c", PREDICT], env=IMPORTABLE)
    assert float(stdout_of(result)) < gib


UNCHANGED = """
import os, jax, jax._src.xla_bridge, matplotlib.pyplot, numpy as np, numpyro
def state():
    backend = dict.__getitem__(matplotlib.rcParams, "backend")
    seed = np.random.get_state()[1].sum()
    return dict(os.environ), dict(jax.config.values), backend, seed
before = state()
import bnn
assert not jax._src.xla_bridge.backends_are_initialized()
assert state() == before
try:
    bnn.use_device("gpu", 1)
except RuntimeError as error:
    print(error)
assert state() == before
"""


def test_neither_the_import_nor_a_device_that_is_not_there_changes_anything(run_script):
    env = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": ""}
    line = stdout_of(run_script(script=["-c", UNCHANGED], env={**IMPORTABLE, **env}))
    assert (
        "has started on cpu" in line and "jax[cuda13]" in line and "restart" not in line
    )


def test_a_call_sets_the_platform_and_leaves_no_flags_where_there_were_none(
    monkeypatch,
):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    jax.config.update("jax_platforms", None)
    bnn.use_device("cpu", num_chains=4)
    assert jax.config.jax_platforms == "cpu" and "XLA_FLAGS" not in os.environ


# once read they are not there twice, for a child, or as if they were the user's
CALL_TWICE = """
import os, subprocess, sys, jax, bnn
before = dict(os.environ)
flags = "-n 4 --num-warmup 4 --num-data 7 --num-chains".split()
for chains in ["2", "1"]:
    bnn.main([*flags, chains])
    assert dict(os.environ) == before
bnn.use_device("cpu", 5000)
assert dict(os.environ) == before and jax.device_count() == 2
subprocess.run([sys.executable, bnn.__file__, *flags, "3"], check=True)
"""


def test_flags_for_xla_do_not_stay_and_later_calls_take_what_is_there(run_script):
    env = {**IMPORTABLE, "XLA_FLAGS": "--xla_cpu_enable_fast_math=false"}
    strict = ["-W", "error", "-c", CALL_TWICE]
    stdout = stdout_of(run_script(script=strict, env=env))
    plans = re.findall(r"(\d+) chain\(s\) on (\d+) of (\d+)", stdout)
    assert plans == [("2", "2", "2"), ("1", "1", "2"), ("3", "3", "3")]


# A stand-in for a GPU: JAX's CPU client, which calls itself cpu, under a GPU's name.
ON_A_STAND_IN = """
import os, sys, jax
from jax._src import xla_bridge
xla_bridge.register_backend_factory("rocm", xla_bridge.make_cpu_client, priority=500)
jax.default_backend = lambda: "gpu" if "rocm" in xla_bridge.backends() else "cpu"
import bnn
for chains in ["4", "6", "5"]:
    bnn.main([*sys.argv[1:], "--device", "gpu", "--num-chains", chains])
print(jax.config.jax_default_matmul_precision, os.environ["XLA_FLAGS"])
"""


def test_a_gpu_runs_chains_in_full_precision_without_flags_for_cpus(run_script):
    flags = "--xla_force_host_platform_device_count=4"
    env = {**IMPORTABLE, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    result = run_script(*SMOKE, script=["-c", ON_A_STAND_IN], env=env)
    assert (result.returncode, result.stderr) == (0, "")
    # a device for each chain, two chains on each device, all on one
    plans = re.findall(r"^NUTS on gpu: (\d) .* on (\d) of 4 dev", result.stdout, re.M)
    assert plans == [("4", "4"), ("6", "3"), ("5", "1")]
    assert result.stdout.count("a CPU is faster") == 3
    assert len(rows(result.stdout)) == 3 * 46
    assert result.stdout.endswith(f"\nhighest {flags}\n")


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


SHORT = """
import functools, bnn
bnn.run_inference = functools.partial(bnn.run_inference, num_warmup=9, num_samples=9)
"""
SAVE = """
import numpy
own = mcmc.get_samples(group_by_chain=True)
numpy.savez(process_id, r_hat=r_hat, f=draws["f"], own=own["f"], w1=draws["w1"])
"""


def test_two_machines_gather_the_draws_of_both_and_agree_on_r_hat(run_script, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    (code,) = [block for block in blocks if "jax.distributed.initialize" in block]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = dict(env={**IMPORTABLE, "JAX_PLATFORMS": "cpu"}, wait=False)
    script = ["-c", SHORT + code + SAVE, address, 2]
    machines = [run_script(i, script=script, **options) for i in range(2)]
    printed = [machine.communicate(timeout=200) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], printed
    first, second = (np.load(tmp_path / f"{i}.npz") for i in range(2))
    for name in ["f", "w1", "r_hat"]:
        np.testing.assert_array_equal(first[name], second[name])
    both = np.concatenate([first["own"], second["own"]])
    np.testing.assert_array_equal(first["f"], both)
    assert len(np.unique(both[:, -1, 0, 0])) == len(both)  # no chain is another's copy
    assert first["r_hat"] == pytest.approx(split_gelman_rubin(both).max())
    assert len({stdout.splitlines()[-1] for stdout, _ in printed}) == 1
