"""Sample the posterior of bnn.py with Stan, and write what the tests compare with.

    pip install -r requirements.txt -r tests/reference/requirements.txt
    python tests/reference/posterior.py        writes posterior.json, 6 to 9 minutes

bnn.stan states the model in another language, and another program samples it. The draws
have Monte Carlo error, Stan's log density has none; so the file holds both. The density
is one of the weights and of prec_obs (Stan samples its logarithm), all constants kept.

Run it again when bnn.stan or the data have changed; the same seed gives the same draws
on the same machine. It tells how far the means are from those in the file it replaces:
if both come from one posterior, the worst of the 60 is beyond 4.5 joint standard errors
in less than 1 of 2000 cases. The file is written all the same, as git keeps the other.
"""

import datetime
import hashlib
import json
import pathlib
import platform
import re
import sys
from importlib.metadata import version

import numpy as np
import stan
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import bnn  # noqa: E402

D_X, D_H, SEED = 3, 5, 1
SIZES = {"num_chains": 4, "num_warmup": 1000, "num_samples": 5000}


def summary(x):
    """Summarize draws x (S * C,) of C chains that take turns."""
    x = x.reshape(-1, SIZES["num_chains"]).T  # (C, S)
    sd = x.std()
    ess = effective_sample_size(x)
    q05, q50, q95 = np.quantile(x, [0.05, 0.5, 0.95])
    found = {
        "mean": x.mean(),
        "sd": sd,
        "q05": q05,
        "q50": q50,
        "q95": q95,
        "ess": ess,
        "mcse_mean": sd / ess**0.5,
        "rhat": split_gelman_rubin(x),
    }
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def log_density(posterior, rng):
    """Return a point from the prior, to three decimals, and Stan's value there."""
    shapes = {"w1": (D_X, D_H), "w2": (D_H, D_H), "w3": (D_H, 1)}
    point = {}
    for name, shape in shapes.items():
        weights = rng.standard_normal(shape)
        point[name] = weights.round(3).tolist()
    point["prec_obs"] = round(rng.gamma(3.0), 3)
    unconstrained = posterior.unconstrain_pars(point)
    value = posterior.log_prob(unconstrained, adjust_transform=False)
    return {"parameters": point, "value": value}


def mean_squares(fit):
    """Return draws (S * C,) of the mean square of some weights."""
    w1 = np.mean(fit["w1"] ** 2, axis=1)  # (D_X, S * C)
    return {
        "w1_bias": w1[0],
        "w1_x": w1[1],
        "w1_x2": w1[2],
        "w2": np.mean(fit["w2"] ** 2, axis=(0, 1)),
        "w3": np.mean(fit["w3"] ** 2, axis=(0, 1)),
    }


def sample():
    """Return what Stan found, as it is written to posterior.json."""
    X, Y, *_ = bnn.get_data()
    x_new = np.arange(-13, 14) / 10
    data = {
        "X": X,
        "Y": Y,
        "X_new": x_new[:, None] ** np.arange(D_X),
        "N": len(X),
        "N_new": len(x_new),
        "D_X": D_X,
        "D_H": D_H,
    }
    program = (HERE / "bnn.stan").read_text()
    posterior = stan.build(program, data, random_seed=SEED)
    fit = posterior.sample(**SIZES)
    rng = np.random.default_rng(SEED)
    squares = mean_squares(fit)
    versions = {name: version(name) for name in ["pystan", "httpstan", "numpy"]}
    versions["python"] = platform.python_version()
    checksum = hashlib.sha256(program.encode())
    return {
        "made_by": "tests/reference/posterior.py",
        "date": datetime.date.today().isoformat(),
        "versions": versions,
        "sha256_of_bnn_stan": checksum.hexdigest(),
        "config": {"seed": SEED, **SIZES},
        "divergences": int(fit["divergent__"].sum()),
        "log_density": [log_density(posterior, rng) for _ in range(3)],
        "prec_obs": summary(fit["prec_obs"]),
        "weight_second_moments": {name: summary(x) for name, x in squares.items()},
        "x": x_new.tolist(),
        "f": [summary(f) for f in fit["f_new"]],
        "y": [summary(y) for y in fit["Y_new"]],
    }


def means(reference):
    """Return the mean of every quantity and its standard error, each (60,)."""
    quantities = [reference["prec_obs"]]
    quantities += reference["f"]
    quantities += reference["y"]
    quantities += reference["weight_second_moments"].values()
    pairs = [(found["mean"], found["mcse_mean"]) for found in quantities]
    return np.array(pairs).T


def tell_difference(reference, last):
    """Print how far the means are from those of the last file."""
    mean, error = means(reference)
    last_mean, last_error = means(last)
    z_scores = np.abs(mean - last_mean) / np.hypot(error, last_error)
    worst = np.max(z_scores)
    print(f"The means are within {worst:.1f} joint standard errors of the last.")


def as_text(reference):
    """Return it in JSON, with a line for each innermost list or object."""

    def on_one_line(innermost):
        return json.dumps(json.loads(innermost[0]))

    indented = json.dumps(reference, indent=1)
    return re.sub(r"[\[{][^\[\]{}]*[\]}]", on_one_line, indented) + "\n"


def main():
    """Sample, compare with the file that is there, and replace it."""
    reference = sample()
    path = HERE / "posterior.json"
    if path.exists():
        last = json.loads(path.read_text())
        tell_difference(reference, last)
    path.write_text(as_text(reference))


if __name__ == "__main__":
    main()
