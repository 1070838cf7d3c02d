"""Is the posterior calibrated? Rank the truth among the draws, over many data sets.

    python tests/calibration.py          draws tests/calibration.png, about 1 minute

Simulation-based calibration (Talts et al. 2018): parameters and data are drawn from the
prior, and the posterior of these data is sampled. If model and sampler are right, the
rank of the true value of any quantity among its posterior draws is uniform. The
quantities here depend neither on the names nor on the signs of the hidden units, as
ranks of the weights themselves cannot fail; and some depend on the data, as without
them a sampler that ignores the data would pass (Modrák et al. 2023).
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
from numpyro import handlers

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import bnn  # noqa: E402

N, D_H = 20, 2  # a small network
NUM_WARMUP, NUM_SAMPLES, THIN = 500, 990, 10  # 99 nearly independent draws: 100 ranks
NUM_RANKS = NUM_SAMPLES // THIN + 1
GRID = np.arange(5, NUM_RANKS, 5)  # the ranks at which the ECDF is compared
WEIGHTS = ["w1", "w2", "w3"]
X, _, X_NEW, f_new = bnn.get_data(N=N, N_test=5)  # (N, 3), (5, 3), (5, 1)
predict = functools.partial(bnn.predict, bnn.model, D_H=D_H)  # (key, draw, X)


def wider(factor, *sites):
    """The model with the scale of some normal distributions multiplied."""

    def widen(name, fn, obs):
        normal = getattr(fn, "base_dist", fn)
        wide = dist.Normal(normal.loc, factor * normal.scale)
        return wide.to_event(fn.event_dim), obs

    return handlers.reparam(bnn.model, dict.fromkeys(sites, widen))


MODELS = {  # the last three are wrong on purpose
    "bnn.py": bnn.model,
    "noise scale 20 % off": wider(1.2, "Y"),
    "prior twice as wide": wider(2.0, *WEIGHTS),
    "half of the data dropped": lambda X, Y, D_H: bnn.model(X[::2], Y[::2], D_H),
}


def quantities(draw, Y):
    """Return what is ranked, one number each; draw has no leading axis, Y is (N, 1)."""
    f, _ = predict(jax.random.key(0), draw, X)  # (N, 1); given a draw, not random
    return {
        "log likelihood": dist.Normal(f, draw["prec_obs"] ** -0.5).log_prob(Y).sum(),
        "prec_obs": draw["prec_obs"],
        **{f"f({x:.1f})": f[i, 0] for i, x in [(0, -1), (N // 2, 0), (N - 1, 1)]},
        **{f"mean square of {w}": (draw[w] ** 2).mean() for w in WEIGHTS},
    }


def replicate(key, model):
    """Simulate data, sample their posterior as ``run_inference`` does, and predict.

    Returns data, new data and draws at X_NEW, and quantities of the truth and of draws.
    """
    key_truth, key_data, key_new, key_run, key_draws = jax.random.split(key, 5)
    sites = handlers.trace(handlers.seed(bnn.model, key_truth)).get_trace(X, None, D_H)
    truth = {name: sites[name]["value"] for name in [*WEIGHTS, "prec_obs"]}
    _, Y = predict(key_data, truth, X)  # (N, 1)
    _, Y_new = predict(key_new, truth, X_NEW)  # (5, 1)
    # run_inference looks at the data, which have no values yet within jax.lax.map
    settings = dict(num_warmup=NUM_WARMUP, num_samples=NUM_SAMPLES, progress_bar=False)
    mcmc = bnn.MCMC(bnn.CompiledNUTS(model), **settings)
    mcmc.run(key_run, X, Y, D_H)
    draws = mcmc.get_samples()
    keys = jax.random.split(key_draws, NUM_SAMPLES)
    f_draws, Y_draws = jax.vmap(functools.partial(predict, X=X_NEW))(keys, draws)
    thinned = jax.tree.map(lambda x: x[THIN - 1 :: THIN], draws)
    ranked = jax.vmap(quantities, in_axes=(0, None))(thinned, Y)
    found = dict(Y=Y, Y_new=Y_new, f_draws=f_draws, Y_draws=Y_draws)
    return {**found, "truth": quantities(truth, Y), "draws": ranked}


def simulate(model, num_replicates):
    """Return what ``replicate`` does, each (num_replicates, ...).

    Every device takes its share one after the other: in step, by ``jax.vmap``, all
    would wait for the longest path of any, which takes 3 to 5 times as long.
    """
    devices = jax.local_device_count()
    keys = jax.random.split(jax.random.key(0), (devices, num_replicates // devices))
    run = jax.pmap(lambda keys: jax.lax.map(lambda key: replicate(key, model), keys))
    return jax.tree.map(lambda x: np.concatenate(np.asarray(x)), run(keys))


def counts(results):
    """Return how many ranks, 0 to 99, of a truth are below the GRID, (len(GRID),)."""
    draws, truths = results["draws"], results["truth"]
    ranks = {k: (draws[k] < v[:, None]).sum(axis=1) for k, v in truths.items()}
    return {k: (rank[:, None] < GRID).sum(axis=0) for k, rank in ranks.items()}


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
    R = len(results["Y"])
    below = counts(results).items()
    return {k: np.mean(null_distribution(R) <= least_tail(n, R)) for k, n in below}


def plot(results_by_model):
    """Plot ECDFs minus the uniform one, and a band that holds 99 % of uniform ranks."""
    shape = dict(ncols=len(results_by_model), figsize=(14, 3))
    fig, axes = plt.subplots(**shape, sharey=True, layout="constrained")
    z = GRID / NUM_RANKS
    for ax, (name, results) in zip(axes, results_by_model.items(), strict=True):
        R = len(results["Y"])
        level = np.quantile(null_distribution(R), 0.01)
        low, high = scipy.stats.binom(R, z).ppf([[level], [1 - level]]) / R
        ax.fill_between(z, low - z, high - z, color="0.85")
        for quantity, below in counts(results).items():
            ax.plot(z, below / R - z, label=quantity)
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
