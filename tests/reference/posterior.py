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
    sd, ess = x.std(), effective_sample_size(x)
    q05, q50, q95 = np.quantile(x, [0.05, 0.5, 0.95])
    found = dict(mean=x.mean(), sd=sd, q05=q05, q50=q50, q95=q95, ess=ess)
    found |= dict(mcse_mean=sd / ess**0.5, rhat=split_gelman_rubin(x))
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def log_density(posterior, rng):
    """Return a point from the prior, to three decimals, and Stan's value there."""
    shapes = {"w1": (D_X, D_H), "w2": (D_H, D_H), "w3": (D_H, 1)}
    point = {w: rng.standard_normal(s).round(3).tolist() for w, s in shapes.items()}
    point["prec_obs"] = round(rng.gamma(3.0), 3)
    unconstrained = posterior.unconstrain_pars(point)
    value = posterior.log_prob(unconstrained, adjust_transform=False)
    return {"parameters": point, "value": value}


def means(reference):
    """Return the mean of every quantity and its standard error, each (60,)."""
    squares = reference["weight_second_moments"].values()
    every = [reference["prec_obs"], *reference["f"], *reference["y"], *squares]
    return np.array([(q["mean"], q["mcse_mean"]) for q in every]).T


if __name__ == "__main__":
    X, Y, *_ = bnn.get_data()
    x_new = np.arange(-13, 14) / 10
    data = {"X": X, "Y": Y, "X_new": x_new[:, None] ** np.arange(D_X)}
    data |= {"N": len(X), "N_new": len(x_new), "D_X": D_X, "D_H": D_H}
    program = (HERE / "bnn.stan").read_text()
    posterior = stan.build(program, data, random_seed=SEED)
    fit = posterior.sample(**SIZES)
    rng = np.random.default_rng(SEED)
    w1 = (fit["w1"] ** 2).mean(1)  # (D_X, S * C)
    squares = {"w1_bias": w1[0], "w1_x": w1[1], "w1_x2": w1[2]}
    squares |= {w: (fit[w] ** 2).mean((0, 1)) for w in ["w2", "w3"]}
    versions = {name: version(name) for name in ["pystan", "httpstan", "numpy"]}
    reference = {
        "made_by": "tests/reference/posterior.py",
        "date": datetime.date.today().isoformat(),
        "versions": versions | {"python": platform.python_version()},
        "sha256_of_bnn_stan": hashlib.sha256(program.encode()).hexdigest(),
        "config": {"seed": SEED, **SIZES},
        "divergences": int(fit["divergent__"].sum()),
        "log_density": [log_density(posterior, rng) for _ in range(3)],
        "prec_obs": summary(fit["prec_obs"]),
        "weight_second_moments": {w: summary(x) for w, x in squares.items()},
        "x": x_new.tolist(),
        "f": [summary(f) for f in fit["f_new"]],
        "y": [summary(y) for y in fit["Y_new"]],
    }
    path = HERE / "posterior.json"
    if path.exists():
        last, last_error = means(json.loads(path.read_text()))
        mean, error = means(reference)
        z = np.max(np.abs(mean - last) / np.hypot(error, last_error))
        print(f"The means are within {z:.1f} joint standard errors of the last.")
    text = json.dumps(reference, indent=1)
    innermost = r"[\[{][^\[\]{}]*[\]}]"  # a line each
    text = re.sub(innermost, lambda found: json.dumps(json.loads(found[0])), text)
    path.write_text(text + "\n")
