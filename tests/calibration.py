"""Is the posterior calibrated? Rank the truth among the draws, over many data sets.

    python tests/calibration.py          draws tests/calibration.png, about 1 minute

Simulation-based calibration (Talts et al. 2018): parameters and data are drawn from the
prior with ``model(Y=None)``, then the posterior of these data is sampled. If model and
sampler are right, the rank of the true value of any quantity among its posterior draws
is uniform. The quantities here depend neither on the names nor on the signs of the
hidden units, as ranks of the weights themselves cannot fail; and some depend on the
data, as without them a sampler that ignores the data would pass (Modrák et al. 2023).
"""

import functools
import os
import pathlib
import sys

import jax
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import scipy.stats
from numpyro.primitives import Messenger

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bnn  # noqa: E402

N, D_H = 20, 2  # a small network
NUM_WARMUP, NUM_SAMPLES, THIN = 500, 990, 10  # 99 nearly independent draws: 100 ranks
NUM_RANKS = NUM_SAMPLES // THIN + 1
GRID = np.arange(5, NUM_RANKS, 5)  # the ranks at which the ECDF is compared
X, _, X_NEW, f_new = bnn.get_data(N=N, N_test=5)  # (N, 3), (5, 3), (5, 1)


# --------------------------------------------------------------------------------------
# Models that are wrong on purpose


class Replace(Messenger):
    """An effect handler that replaces the distribution of some sites."""

    def __init__(self, fn, **changes):
        super().__init__(fn)
        self.changes = changes

    def process_message(self, msg):
        if msg["name"] in self.changes:
            msg["fn"] = self.changes[msg["name"]](msg["fn"])


def wider_noise(Y):
    """Noise with a scale that is 20 % too large."""
    return dist.Normal(Y.base_dist.loc, 1.2 * Y.base_dist.scale).to_event(1)


def wider_prior(w):
    """A prior that is twice as wide."""
    return dist.Normal(w.loc, 2.0 * w.scale)


def fewer_data(X, Y, D_H):
    """The model that sees only every other data point."""
    bnn.model(X[::2], Y[::2], D_H)


MODELS = {
    "bnn.py": bnn.model,
    "noise scale 20 % off": Replace(bnn.model, Y=wider_noise),
    "prior twice as wide": Replace(
        bnn.model, w1=wider_prior, w2=wider_prior, w3=wider_prior
    ),
    "half of the data dropped": fewer_data,
}


# --------------------------------------------------------------------------------------
# Simulation


def quantities(draw, Y):
    """Return what is ranked, one number each; draw has no leading axis, Y is (N, 1)."""
    key = jax.random.key(0)  # not used: given a draw, f is not random
    f, _ = bnn.predict(bnn.model, key, draw, X, D_H)  # (N, 1)
    noise = dist.Normal(f, draw["prec_obs"] ** -0.5)
    return {
        "log likelihood": noise.log_prob(Y).sum(),
        "prec_obs": draw["prec_obs"],
        **{f"f({x:.1f})": f[i, 0] for i, x in [(0, -1), (N // 2, 0), (N - 1, 1)]},
        **{f"mean square of {w}": (draw[w] ** 2).mean() for w in ["w1", "w2", "w3"]},
    }


def replicate(key, model):
    """Simulate one data set and sample its posterior as ``run_inference`` does.

    Returns the true parameters, the data, new data at X_NEW and the posterior draws.
    """
    key_truth, key_data, key_new, key_run = jax.random.split(key, 4)
    prior = bnn.handlers.trace(bnn.handlers.seed(bnn.model, key_truth))
    sites = prior.get_trace(X, None, D_H)
    truth = {name: sites[name]["value"] for name in ["w1", "w2", "w3", "prec_obs"]}
    _, Y = bnn.predict(bnn.model, key_data, truth, X, D_H)  # (N, 1)
    _, Y_new = bnn.predict(bnn.model, key_new, truth, X_NEW, D_H)  # (5, 1)
    # run_inference looks at the data, which have no values yet within jax.lax.map
    kernel = bnn.CompiledNUTS(model)
    settings = dict(num_warmup=NUM_WARMUP, num_samples=NUM_SAMPLES, progress_bar=False)
    mcmc = bnn.MCMC(kernel, **settings)
    mcmc.run(key_run, X, Y, D_H)
    return {"truth": truth, "Y": Y, "Y_new": Y_new, "draws": mcmc.get_samples()}


def summarize(key, found):
    """Replace parameters by their quantities, and predict new data from the draws."""
    Y = found["Y"]

    def one(key, draw):
        f_new, Y_new = bnn.predict(bnn.model, key, draw, X_NEW, D_H)  # (5, 1) each
        return quantities(draw, Y), {"f_draws": f_new, "Y_draws": Y_new}

    draws, predictions = jax.vmap(one)(
        jax.random.split(key, NUM_SAMPLES), found["draws"]
    )
    thinned = jax.tree.map(lambda x: x[THIN - 1 :: THIN], draws)
    truth = quantities(found["truth"], Y)
    return {**found, **predictions, "truth": truth, "draws": thinned}


def simulate(model, num_replicates, seed=0):
    """Return what ``summarize`` does, each (num_replicates, ...).

    Every device takes its share one after the other: in step, by ``jax.vmap``, all
    would wait for the longest path of any, which takes 3 to 5 times as long.
    """
    devices = jax.local_device_count()
    keys = jax.random.split(jax.random.key(seed), (2, num_replicates))
    run = jax.pmap(lambda keys: jax.lax.map(lambda key: replicate(key, model), keys))
    found = run(keys[0].reshape(devices, num_replicates // devices))
    found = jax.tree.map(lambda x: np.concatenate(np.asarray(x)), found)
    return jax.device_get(jax.jit(jax.vmap(summarize))(keys[1], found))


def ranks(results):
    """Return the ranks (num_replicates,) of each quantity's true value, 0 to 99."""
    return {
        name: (results["draws"][name] < truth[:, None]).sum(axis=1)
        for name, truth in results["truth"].items()
    }


# --------------------------------------------------------------------------------------
# The test of uniformity


def least_tail(counts, num_replicates):
    """The least binomial tail probability over the grid, for counts (..., len(GRID)).

    If the ranks are uniform, the number of them below each point z of the grid is
    binomial. Säilynoja, Bürkner and Vehtari (2022), eq. 13.
    """
    n = np.arange(num_replicates + 1)
    binomial = scipy.stats.binom(num_replicates, GRID[:, None] / NUM_RANKS)
    tail = np.minimum(binomial.cdf(n), binomial.sf(n - 1))  # (len(GRID), n)
    return tail[np.arange(len(GRID)), counts].min(axis=-1)


@functools.cache
def null_distribution(num_replicates, size=100_000):
    """Return the least tails (size,) of simulated uniform ranks."""
    rng = np.random.default_rng(0)
    cells = np.diff(GRID, prepend=0, append=NUM_RANKS) / NUM_RANKS
    counts = rng.multinomial(num_replicates, cells, size).cumsum(axis=1)[:, :-1]
    return least_tail(counts, num_replicates)


def p_values(results):
    """Return each quantity's p value of uniform ranks."""
    num_replicates = len(results["Y"])
    null = null_distribution(num_replicates)
    return {
        name: np.mean(
            null <= least_tail((rank[:, None] < GRID).sum(axis=0), num_replicates)
        )
        for name, rank in ranks(results).items()
    }


def plot(results_by_model):
    """Plot each model's ECDFs of the ranks minus the uniform one, with a 99 % band.

    The band holds a curve entirely in 99 % of the cases if its ranks are uniform.
    """
    fig, axes = plt.subplots(
        1, len(results_by_model), figsize=(14, 3), sharey=True, layout="constrained"
    )
    z = GRID / NUM_RANKS
    for ax, (name, results) in zip(axes, results_by_model.items(), strict=True):
        R = len(results["Y"])
        level = np.quantile(null_distribution(R), 0.01)
        low, high = scipy.stats.binom(R, z).ppf([[level], [1 - level]]) / R
        ax.fill_between(z, low - z, high - z, color="0.85")
        for quantity, rank in ranks(results).items():
            ax.plot(z, (rank[:, None] < GRID).mean(axis=0) - z, label=quantity)
        ax.set(title=name, xlabel="rank of the truth", xlim=(0, 1))
    axes[0].set_ylabel("ECDF - uniform")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return fig


if __name__ == "__main__":
    bnn.use_device("cpu", num_chains=os.cpu_count())
    num_replicates = 200 // os.cpu_count() * os.cpu_count()
    found = {name: simulate(model, num_replicates) for name, model in MODELS.items()}
    for name, results in found.items():
        print(name, {k: f"{p:.4f}" for k, p in p_values(results).items()})
    plot(found).savefig(pathlib.Path(__file__).with_suffix(".png"), dpi=100)
