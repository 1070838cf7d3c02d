"""What several test files use; it needs bnn.py on the path, as conftest.py puts it."""

import os
import pathlib
import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from numpyro.infer.util import log_density

import bnn

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "bnn.py"
README = (ROOT / "README.md").read_text()
PROGRAMS = ROOT / "tests/programs"

SMOKE = "--num-samples 10 --num-warmup 10 --num-data 7 --num-chains 2".split()
EARLIER = b"a picture from an earlier run"
IMPORTABLE = {"PYTHONPATH": str(ROOT)}  # for code that imports bnn elsewhere
NUMBERS = {
    "--num-samples": (4, 10**9),
    "--num-warmup": (0, 10**9),
    "--num-chains": (1, 10**4),
    "--num-data": (2, 10**7),
    "--num-hidden": (1, 1000),
    "--seed": (0, 2**32 - 1),
}

# float32 sums of up to 300 terms: rounding grows like eps * sum of the terms' sizes,
# and the terms here add up to at most a few times the total. Measured: 2e-6 at worst.
TOLERANCE = dict(rtol=1e-5, atol=1e-3)


# Processes
def a_users_environment():
    """Without what the tests set, and without NumPyro's reasons to hide its bar."""
    hidden = ["XLA_FLAGS", "MPLBACKEND", "CI", "PYTEST_XDIST_WORKER"]
    return {k: v for k, v in os.environ.items() if k not in hidden}


def message(stderr):
    """What is wrong, after the usage of the flags if it is one of them, and no more."""
    usage, text = stderr.split("bnn.py: error: ")
    if "JAX has started" in text:
        assert usage == "", stderr
    else:
        assert usage.startswith("usage: bnn.py [-h]"), stderr
    assert "Traceback" not in stderr
    return text


def assert_is_bad_input(result):
    """It was told before any work; return what is wrong."""
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    return message(result.stderr)


def stdout_of(result):
    """What a process printed, which must end without an error."""
    assert result.returncode == 0, result.stderr
    return result.stdout


def peak_gib(stderr):
    """The peak of memory that programs/tell_peak.py told last, and nothing else."""
    word, kib = stderr.split()
    assert word == "peak", stderr
    return int(kib) / 2**20


def rows(stdout):
    """The rows of NumPyro's table: name, mean, std, median, 5 %, 95 %, n_eff, r_hat."""
    lines = [line.split() for line in stdout.splitlines()]
    of_table = [cells for cells in lines if len(cells) == 8]
    return [c for c in of_table if re.match(r"(prec_obs|w\d\[|f\[)", c[0])]


# The network
def random_parameters(rng, D_X, D_H):
    """A point with weights as in the prior, and prec_obs from 0.05 to 50."""
    return {
        "w1": rng.standard_normal((D_X, D_H)),
        "w2": rng.standard_normal((D_H, D_H)),
        "w3": rng.standard_normal((D_H, 1)),
        "prec_obs": np.exp(rng.uniform(np.log(0.05), np.log(50.0))),
    }


def repeated(point, *shape):
    """Draws that are all the same point, with leading axes of this shape."""
    draws = {}
    for name, value in point.items():
        draws[name] = jnp.broadcast_to(value, (*shape, *np.shape(value)))
    return draws


def forward(X, point):
    """The network in plain NumPy, rows are data."""
    z1 = np.tanh(X @ point["w1"])
    z2 = np.tanh(z1 @ point["w2"])
    return z2 @ point["w3"]


def log_density_numpy(X, Y, point):
    """The log of prior times likelihood at a point, in plain NumPy and SciPy."""
    prec_obs = point["prec_obs"]
    weights = [point[name] for name in ["w1", "w2", "w3"]]
    prior = sum(scipy.stats.norm.logpdf(w).sum() for w in weights)
    prior += scipy.stats.gamma.logpdf(prec_obs, 3.0, scale=1.0)
    likelihood = scipy.stats.norm.logpdf(Y, forward(X, point), prec_obs**-0.5)
    return prior + likelihood.sum()


def assert_log_density(expected, X, Y, point, D_H, model=bnn.model):
    """The model has this log density at the point."""
    point = {name: jnp.asarray(value, jnp.float32) for name, value in point.items()}
    ours, _ = log_density(model, (X, Y, D_H), {}, point)
    np.testing.assert_allclose(ours, expected, **TOLERANCE)


def predict_all(draws, X, D_H=5, model=bnn.model):
    """f and Y, each (C, S, N, ...), of draws (C, S, ...)."""
    at_X = partial(bnn.predict, model, X=X, D_H=D_H)
    return bnn.for_all_draws(at_X, jax.random.key(1), draws)


# Small data and few draws, where it matters only that they are taken
INPUT = np.linspace(-1, 1, 9)[:, None]
CUBIC = INPUT**3 - INPUT
X_GOOD = np.hstack([np.ones((9, 1)), INPUT])  # a column of ones, a scaled input
Y_GOOD = CUBIC / np.std(CUBIC)  # standardised, (9, 1)
RARE = np.eye(9, 1, dtype=int)  # labels of two classes
FEW = {"num_warmup": 4, "num_samples": 6, "progress_bar": False}


def run_few(model=bnn.model, X=X_GOOD, Y=Y_GOOD, D_H=2, **settings):
    """What run_inference returns after 4 + 6 draws, if settings say nothing else."""
    key = jax.random.key(0)
    return bnn.run_inference(model, key, X, Y, D_H, **{**FEW, **settings})


@cache
def two_chains():
    """A run of bnn.model for tests that only read it."""
    return run_few(num_chains=2)


def years():
    """Observations in units of their own, and their x (70, 1) and Y (70, 1)."""
    x = np.arange(1950.0, 2020.0)[:, None]
    noise = 500 * np.random.default_rng(0).standard_normal(x.shape)
    return x, 20000 + 5000 * np.sin((x - 1985) / 10) + noise


# The picture
def edges(band, at):
    """The lower and the upper edge of a band of bnn.plot at x in ``at``, each (n,)."""
    corners = band.get_paths()[0].vertices  # along the lower edge and back
    y = [corners[np.isclose(corners[:, 0], x), 1] for x in at]
    return np.array([v.min() for v in y]), np.array([v.max() for v in y])


# Columns that need to be standardised, and others
FAR = [(1.1, 1), (-1.1, 1), (0, 3.1), (1e5, 1), (-1e5, 1e-3), (0, 1e-9)]
NEAR = [(0.9, 1), (-0.9, 1), (0, 2.9), (0.9, 2.9)]


def column(mean, sd):
    """Numbers (10, 1) of this mean and standard deviation."""
    return mean + sd * np.resize([-1.0, 1.0], (10, 1))


def between_good(values):
    """Columns: a constant, a good one, the values, a good one."""
    good = column(0, 1)
    return np.hstack([good * good, good, values, -good])
