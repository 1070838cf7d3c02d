"""What the tests share: host devices for four chains, and whole runs of the script."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

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
        lines = dict(line.split(":", 1) for line in status)
    print("peak", lines["VmHWM"].split()[0], file=sys.stderr)  # KiB
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


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory):
    """Settings of JAX for whole runs that share what they compile."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture
def run_script(tmp_path, warm_cache):
    """Return a function that runs bnn.py in an empty folder, as a user would."""

    def run(*flags, python_flags=(), launcher=(), cwd=tmp_path, env=(), **options):
        command = [*launcher, sys.executable, *python_flags, str(ROOT / "bnn.py")]
        clean = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "CI")}
        return subprocess.run(
            [*command, *map(str, flags)],
            cwd=cwd,
            env={**clean, **warm_cache, "MPLBACKEND": "agg", **dict(env)},
            capture_output=options.pop("capture_output", True),
            text=True,
            timeout=600,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def posterior():
    """Return a function that gives the draws of a default run, kept for later."""
    runs = {}

    def draws(num_chains, marginalize=False):
        if (num_chains, marginalize) not in runs:
            X, Y, *_ = bnn.get_data()
            model = bnn.marginal_model if marginalize else bnn.model
            mcmc = bnn.run_inference(
                model,
                jax.random.key(0),
                X,
                Y,
                5,
                num_chains=num_chains,
                progress_bar=False,
            )
            found = jax.device_get(mcmc.get_samples(group_by_chain=True))
            if marginalize:
                found = bnn.for_all_draws(
                    lambda key, draw: bnn.draw_w3(key, draw, X, Y),
                    jax.random.key(1),
                    found,
                )
            runs[num_chains, marginalize] = found
        return runs[num_chains, marginalize]

    return draws
