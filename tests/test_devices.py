"""Does every device get its share: host devices, a GPU, a TPU, several machines?"""

import json
import os
import re
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, SMOKE, TELL_PEAK, peak_gib
from jax import export
from numpyro.diagnostics import split_gelman_rubin
from test_command_line import rows

import bnn


def python(*arguments, cwd, **env):
    """Start Python in a folder, as in a terminal of its own."""
    clean = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finishes(process):
    """What a process of ``python`` prints, once it has ended without an error."""
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout


# Host devices


def test_the_number_of_devices_does_not_change_the_draws(monkeypatch, capsys):
    X, Y, *_ = bnn.get_data(N=7)
    devices, draws = jax.local_devices(), {}
    for used in [1, 2, 4]:
        monkeypatch.setattr(jax, "local_devices", lambda used=used: devices[:used])
        # few, as the last digit may depend on how many chains a device has; it grows
        mcmc = bnn.run_inference(bnn.model, jax.random.key(0), X, Y, 5, 2, 4, 4, False)
        assert f"4 chain(s) on {used} of {used} device(s)" in capsys.readouterr().out
        spread = mcmc.last_state.z["w1"].sharding.device_set
        assert spread == set(devices[:used])
        draws[used] = jax.device_get(mcmc.get_samples(group_by_chain=True))
    for used in [2, 4]:
        for name, x in draws[1].items():
            np.testing.assert_allclose(draws[used][name], x, rtol=1e-4, atol=1e-4)
    # no chain is another's copy
    assert len(np.unique(draws[4]["prec_obs"][:, -1])) == 4


class Planned(Exception):
    """What run_inference would sample with."""


def plan(monkeypatch, backend, num_devices, num_chains, N=7, D_H=5):
    """The chain_method, and whether there is a bar, on such a machine."""

    def stop(kernel, **settings):
        raise Planned(settings["chain_method"], settings["progress_bar"])

    X, Y, *_ = bnn.get_data(N=N)
    with monkeypatch.context() as patch, pytest.raises(Planned) as planned:
        patch.setattr(jax, "default_backend", lambda: backend)
        patch.setattr(jax, "local_devices", lambda: list(range(num_devices)))
        patch.setattr(bnn, "MCMC", stop)
        key = jax.random.key(0)
        bnn.run_inference(bnn.model, key, X, Y, D_H, num_chains=num_chains)
    return planned.value.args


def test_chains_are_shared_equally_and_have_a_bar_where_numpyro_has_one(monkeypatch):
    for backend in ["cpu", "gpu", "tpu"]:
        assert plan(monkeypatch, backend, 4, 4) == ("parallel", True)
        assert plan(monkeypatch, backend, 4, 1) == ("parallel", True)
        method, bar = plan(monkeypatch, backend, 4, 6)
        assert (method.func, method.args, bar) == (bnn.share_chains, (3,), False)
    method, bar = plan(monkeypatch, "cpu", 1, 4)
    assert (method.func, method.args, bar) == (bnn.share_chains, (1,), False)
    assert plan(monkeypatch, "gpu", 1, 4) == ("vectorized", True)


def test_a_gpu_that_is_slower_than_a_cpu_is_told_and_no_other(monkeypatch, capsys):
    for backend, num_chains, N, D_H, told in [
        ("gpu", 4, 100, 5, True),
        ("tpu", 1, 100, 5, True),
        ("gpu", 999, 100, 5, True),
        ("gpu", 1000, 100, 5, False),
        ("gpu", 4, 10_000, 50, False),
        ("gpu", 4, 100, (5, 5), False),  # what D_H means is not known
        ("cpu", 4, 100, 5, False),
    ]:
        plan(monkeypatch, backend, 1, num_chains, N, D_H)
        assert ("a CPU is faster" in capsys.readouterr().out) == told


BETWEEN_DEVICES = ["all-reduce", "all-gather", "all-to-all", "collective", "reduce-sc"]


def test_devices_that_share_chains_do_not_wait_for_each_other(monkeypatch):
    X, Y, *_ = bnn.get_data(N=7)
    devices, share_chains, compiled = jax.local_devices()[:2], bnn.share_chains, []

    def spy(num_devices, one_chain):
        run = share_chains(num_devices, one_chain)
        return lambda *args: compiled.append(run.lower(*args).compile()) or run(*args)

    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    monkeypatch.setattr(bnn, "share_chains", spy)
    mcmc = bnn.run_inference(bnn.model, jax.random.key(0), X, Y, 2, 2, 4, 4, False)
    (text,) = [program.as_text() for program in compiled]
    assert "while" in text  # NUTS' loops are in it
    assert not any(operation in text for operation in BETWEEN_DEVICES)
    spread = mcmc.get_samples(group_by_chain=True)["f"].sharding
    assert spread.device_set == set(devices)
    assert [
        shard.data.shape[0] for shard in mcmc.get_samples(True)["f"].addressable_shards
    ] == [2, 2]


def test_a_loop_that_devices_share_would_be_noticed():
    # as it was: keys on several devices, and one loop that goes on while any chain does
    mesh = jax.sharding.Mesh(jax.local_devices()[:2], "chains")
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("chains"))
    loop = jax.vmap(lambda x: jax.lax.while_loop(lambda x: x < 9, lambda x: x + 1, x))
    text = (
        jax.jit(loop).lower(jax.device_put(np.arange(4.0), spread)).compile().as_text()
    )
    assert any(operation in text for operation in BETWEEN_DEVICES)


# one host device a chain is by far the fastest, but JAX cannot make thousands
@pytest.mark.parametrize("chains, devices", [(1000, 1000), (3000, 1024)])
def test_thousands_of_chains_finish_within_2_5_gib(
    run_script, tmp_path, chains, devices
):
    flags = ["--num-chains", chains, *"-n 4 --num-warmup 0 --num-data 7".split()]
    result = run_script(*flags, python_flags=["-c", TELL_PEAK])
    assert result.returncode == 0, result.stderr
    assert peak_gib(result.stderr) < 2.5
    assert f"{chains} chain(s) on 1000 of {devices} device(s)" in result.stdout
    assert (tmp_path / "bnn_plot.pdf").exists()


PREDICT = """
import sys, jax, numpy as np, bnn
def memory(name):  # GiB
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    return int(lines[name].split()[0]) / 2**20
chains, points = map(int, sys.argv[1:])
X, Y, X_test, f_test = bnn.get_data(N_test=points)
rng = np.random.default_rng(0)
shapes = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "prec_obs": ()}
size = (chains, 2000)
draws = {k: rng.standard_normal((*size, *v), np.float32) for k, v in shapes.items()}
draws["prec_obs"] = np.exp(draws["prec_obs"])
key = jax.random.key(0)
before = memory("VmRSS")
f_draws, Y_draws = bnn.for_all_draws(
    lambda key, draw: bnn.predict(bnn.model, key, draw, X_test, 5), key, draws
)
assert f_draws.shape == Y_draws.shape == (*size, points, 1)
if points == 500:
    bnn.plot(X, Y, X_test, f_test, f_draws, Y_draws)
print(memory("VmHWM") - before - (f_draws.nbytes + Y_draws.nbytes) / 2**30)
"""


@pytest.mark.parametrize(
    "chains, points, gib",
    [(64, 500, 1.5), (1, 100_000, 2.0)],  # all draws at once took over 7
)
def test_predictions_take_at_most_2_gib_above_themselves(tmp_path, chains, points, gib):
    stdout = finishes(python("-c", PREDICT, chains, points, cwd=tmp_path))
    assert float(stdout) < gib


# What use_device changes

ASK_FOR_A_GPU = """
import os, jax, bnn
def state():
    names = ["jax_platforms", "jax_default_matmul_precision", "jax_num_cpu_devices"]
    return dict(os.environ), [getattr(jax.config, name) for name in names]
before = state()
try:
    bnn.use_device("gpu", 1)
except RuntimeError as error:
    print(error)
    assert state() == before
"""


def test_a_device_that_cannot_be_had_is_an_error_that_changes_nothing(tmp_path):
    env = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    line = finishes(python("-c", ASK_FOR_A_GPU, cwd=tmp_path, **env))
    assert "JAX is on cpu" in line and "jax[cuda13]" in line and "restart" not in line


def test_a_call_in_a_session_works_with_the_devices_there_are(monkeypatch, recwarn):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    before = dict(os.environ)
    for num_chains in [1, 4, 5000]:
        bnn.use_device("cpu", num_chains)
        assert jax.local_device_count() == 4 and dict(os.environ) == before
    assert not recwarn.list


# once read they are not there twice, for a child, or as if they were the user's
CALL_TWICE = """
import os, subprocess, sys, jax, bnn
before = dict(os.environ)
flags = "-n 4 --num-warmup 4 --num-data 7 --num-chains".split()
for chains in ["2", "1"]:
    bnn.main([*flags, chains])
    assert dict(os.environ) == before
assert jax.device_count() == 2
subprocess.run([sys.executable, bnn.__file__, *flags, "3"], check=True)
"""


def test_the_flags_for_xla_do_not_stay_in_the_environment(tmp_path, warm_cache):
    env = {**warm_cache, "XLA_FLAGS": "--xla_cpu_enable_fast_math=false"}
    stdout = finishes(python("-c", CALL_TWICE, cwd=tmp_path, **env))
    assert re.findall(r"\d+ chain\(s\) on \d+ of \d+", stdout) == [
        "2 chain(s) on 2 of 2",
        "1 chain(s) on 1 of 2",
        "3 chain(s) on 3 of 3",
    ]


# A stand-in for a GPU: JAX's CPU client under a GPU's name. Python imports this at its
# start, before the script.

STAND_IN = """
import atexit, json, os, jax
from jax._src import xla_bridge
xla_bridge.register_backend_factory("rocm", xla_bridge.make_cpu_client, priority=500)
of_jax = jax.default_backend
def default_backend():  # a CPU's client calls itself cpu
    is_stand_in = xla_bridge.get_backend() is xla_bridge.backends().get("rocm")
    return "gpu" if is_stand_in else of_jax()
jax.default_backend = default_backend
def report():
    precision = jax.config.jax_default_matmul_precision
    with open("settings.json", "w") as file:
        json.dump([precision, os.environ["XLA_FLAGS"]], file)
atexit.register(report)
"""


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_gpu_runs_the_chains_in_full_precision_without_flags_for_cpus(
    run_script, tmp_path, devices
):
    (tmp_path / "sitecustomize.py").write_text(STAND_IN)
    flags = f"--xla_force_host_platform_device_count={devices}"
    env = {"PYTHONPATH": str(tmp_path), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    result = run_script(*SMOKE, "--num-chains", 4, "--device", "gpu", env=env)
    assert (result.returncode, result.stderr) == (0, "")
    where, *note = result.stdout.splitlines()[:3]
    chains = f"4 chain(s) on {devices} of {devices} device(s)"
    assert where == f"NUTS on gpu: {chains}, 10 + 10 draws each"
    assert "a CPU is faster" in " ".join(note)
    assert len(rows(result.stdout)) == 46 and (tmp_path / "bnn_plot.pdf").exists()
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings == ["highest", flags]


# What would run on a GPU and a TPU, compiled as far as is possible without one


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_start_step_and_predictions_of_4_chains_lower_for(platform):
    X, Y, X_test, _ = bnn.get_data(N=7)
    kernel = bnn.CompiledNUTS(bnn.model, max_tree_depth=10)

    def run(seed):  # keys cannot be exported
        keys = jax.random.split(jax.random.key(seed), 4)
        state = kernel.init(keys, 1, None, (X, Y, 5), {})
        state = kernel.sample(state, (X, Y, 5), {})
        draws = jax.vmap(kernel.postprocess_fn((X, Y, 5), {}))(state.z)
        one = lambda key, draw: bnn.predict(bnn.model, key, draw, X_test, 5)  # noqa: E731
        return jax.vmap(one)(keys, draws)

    with jax.default_matmul_precision("highest"):
        lowered = export.export(jax.jit(run), platforms=[platform])(jnp.uint32(0))
    assert lowered.platforms == (platform,)
    assert [x.shape for x in lowered.out_avals] == [(4, 500, 1), (4, 500, 1)]


# Several machines

SHORT = """
import functools, bnn
few = dict(num_warmup=10, num_samples=10)
bnn.run_inference = functools.partial(bnn.run_inference, **few)
"""
SAVE = """
import numpy
own = mcmc.get_samples(group_by_chain=True)
numpy.savez(process_id, r_hat=r_hat, f=draws["f"], own=own["f"], w1=draws["w1"])
"""


def test_two_machines_gather_the_draws_of_both_and_agree_on_r_hat(tmp_path, warm_cache):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (code,) = [block for block in blocks if "jax.distributed.initialize" in block]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = {**warm_cache, "JAX_PLATFORMS": "cpu"}
    code = SHORT + code + SAVE
    machines = [
        python("-c", code, address, 2, i, cwd=tmp_path, **env) for i in range(2)
    ]
    try:
        printed = [machine.communicate(timeout=200) for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], printed
    first, second = (np.load(tmp_path / f"{i}.npz") for i in range(2))
    for name in ["f", "w1", "r_hat"]:
        np.testing.assert_array_equal(first[name], second[name])
    both = np.concatenate([first["own"], second["own"]])
    np.testing.assert_array_equal(first["f"], both)
    assert len(np.unique(both[:, -1, 0, 0])) == len(both)  # no chain is another's copy
    assert first["r_hat"] == pytest.approx(split_gelman_rubin(both).max())
    results = [stdout.splitlines()[-1] for stdout, _ in printed]
    assert results[0] == results[1]
