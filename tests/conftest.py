"""What the tests share: host devices for four chains, and whole runs of the script."""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "bnn.py"
sys.path.insert(0, str(ROOT))

# The tests, xdist's workers and the processes that they start share what they compile.
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit these settings
    COMPILED = tempfile.TemporaryDirectory(prefix="compiled-")  # until Python ends
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax  # noqa: E402

import bnn  # noqa: E402

bnn.use_device("cpu", num_chains=4)

SMOKE = "--num-samples 10 --num-warmup 10 --num-data 7 --num-chains 2".split()


def pytest_configure(config):
    """Declare the mark, for there is no file of settings at the top level."""
    config.addinivalue_line(
        "markers", "slow: takes minutes; deselect with -m 'not slow'"
    )


# Python runs this before the script, which it is given: at the end it tells, on stderr,
# the peak of memory. A parent's getrusage would begin with the memory of that parent.
TELL_PEAK = """
import atexit, runpy, sys
def tell():
    with open("/proc/self/status") as status:
        print("peak", status.read().split("VmHWM:")[1].split()[0], file=sys.stderr)
atexit.register(tell)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def peak_gib(stderr):
    """The peak of memory that TELL_PEAK told last, and nothing else."""
    word, kib = stderr.split()
    assert word == "peak", stderr
    return int(kib) / 2**20


def edges(band, at):
    """The lower and the upper edge of a band of bnn.plot at x in ``at``, each (n,)."""
    corners = band.get_paths()[0].vertices  # along the lower edge and back
    y = [corners[np.isclose(corners[:, 0], x), 1] for x in at]
    return np.array([v.min() for v in y]), np.array([v.max() for v in y])


def a_users_environment():
    """Without what the tests set, and without NumPyro's reasons to hide its bar."""
    hidden = ["XLA_FLAGS", "MPLBACKEND", "CI", "PYTEST_XDIST_WORKER"]
    return {k: v for k, v in os.environ.items() if k not in hidden}


@pytest.fixture
def run_script(tmp_path):
    """Return a function that runs bnn.py in an empty folder, as a user would.

    It returns the result, or at once the process, which does not outlive the test.
    """
    started = []

    def run(*flags, script=(SCRIPT,), launcher=(), env=(), wait=True, **more):
        python = [*launcher, sys.executable, *more.pop("python_flags", ())]
        command = [*python, *script, *flags]
        env = {**a_users_environment(), "MPLBACKEND": "agg", **dict(env)}
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        options = {"cwd": tmp_path, "env": env, **pipes, **more}
        process = subprocess.Popen(list(map(str, command)), **options)
        started.append(process)
        if not wait:
            return process
        output = process.communicate(timeout=600)
        return subprocess.CompletedProcess(command, process.returncode, *output)

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def posterior():
    """Return a function that gives the draws of a default run, kept for later."""

    @functools.cache
    def draws(num_chains):
        X, Y, *_ = bnn.get_data()
        chains = dict(num_chains=num_chains, progress_bar=False)
        mcmc = bnn.run_inference(bnn.model, jax.random.key(0), X, Y, 5, **chains)
        return jax.device_get(mcmc.get_samples(group_by_chain=True))

    return draws
