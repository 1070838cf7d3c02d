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

# a small network and few data
N = 20
D_H = 2
WEIGHTS = ["w1", "w2", "w3"]
# 99 nearly independent draws: 100 ranks
NUM_WARMUP = 500
NUM_SAMPLES = 990
THIN = 10
NUM_RANKS = NUM_SAMPLES // THIN + 1
GRID = np.arange(5, NUM_RANKS, 5)  # the ranks at which the ECDF is compared

X, _, X_NEW, f_new = bnn.get_data(N=N, N_test=5)  # (N, 3), (5, 3), (5, 1)
predict = functools.partial(bnn.predict, bnn.model, D_H=D_H)  # (key, draw, X)


def wider(factor, *sites):
    """The model with the scale of some normal distributions multiplied."""

    def widen(name, fn, obs):
        normal = getattr(fn, "base_dist", fn)
        wide = dist.Normal(normal.loc, factor * normal.scale)
        return wide.to_event(fn.event_dim), obs

    return handlers.reparam(bnn.model, dict.fromkeys(sites, widen))


def half_of_the_data(X, Y, D_H):
    """The model of every other datum."""
    bnn.model(X[::2], Y[::2], D_H)


MODELS = {  # the last three are wrong on purpose
    "bnn.py": bnn.model,
    "noise scale 20 % off": wider(1.2, "Y"),
    "prior twice as wide": wider(2.0, *WEIGHTS),
    "half of the data dropped": half_of_the_data,
}


def quantities(draw, Y):
    """Return what is ranked, one number each; draw has no leading axis, Y is (N, 1)."""
    f, _ = predict(jax.random.key(0), draw, X)  # (N, 1); given a draw, not random
    scale = draw["prec_obs"] ** -0.5
    log_likelihoods = dist.Normal(f, scale).log_prob(Y)
    found = {
        "log likelihood": log_likelihoods.sum(),
        "prec_obs": draw["prec_obs"],
        "f(-1.0)": f[0, 0],
        "f(0.0)": f[N // 2, 0],
        "f(1.0)": f[N - 1, 0],
    }
    for name in WEIGHTS:
        squares = draw[name] ** 2
        found[f"mean square of {name}"] = squares.mean()
    return found


def draw_truth(key):
    """Return a value of every unknown, drawn from the prior of bnn.py."""
    seeded = handlers.seed(bnn.model, key)
    trace = handlers.trace(seeded).get_trace(X, None, D_H)
    return {name: trace[name]["value"] for name in [*WEIGHTS, "prec_obs"]}


def sample(key, model, Y):
    """Return draws of the posterior, each (NUM_SAMPLES, ...), as run_inference does.

    It does not call it: run_inference looks at the data, which have no values yet
    within jax.lax.map.
    """
    mcmc = bnn.MCMC(
        bnn.CompiledNUTS(model),
        num_warmup=NUM_WARMUP,
        num_samples=NUM_SAMPLES,
        progress_bar=False,
    )
    mcmc.run(key, X, Y, D_H)
    return mcmc.get_samples()


def replicate(key, model):
    """Simulate data, sample their posterior, and predict.

    Returns data, new data and draws at X_NEW, and quantities of the truth and of draws.
    """
    key_truth, key_data, key_new, key_run, key_draws = jax.random.split(key, 5)
    truth = draw_truth(key_truth)
    _, Y = predict(key_data, truth, X)  # (N, 1)
    _, Y_new = predict(key_new, truth, X_NEW)  # (5, 1)
    draws = sample(key_run, model, Y)

    predict_new = functools.partial(predict, X=X_NEW)
    keys = jax.random.split(key_draws, NUM_SAMPLES)
    f_draws, Y_draws = jax.vmap(predict_new)(keys, draws)

    thinned = {name: values[THIN - 1 :: THIN] for name, values in draws.items()}
    quantities_of_all = jax.vmap(quantities, in_axes=(0, None))
    return {
        "Y": Y,
        "Y_new": Y_new,
        "f_draws": f_draws,
        "Y_draws": Y_draws,
        "truth": quantities(truth, Y),
        "draws": quantities_of_all(thinned, Y),
    }


def simulate(model, num_replicates):
    """Return what ``replicate`` does, each (num_replicates, ...).

    Every device takes its share one after the other: in step, by ``jax.vmap``, all
    would wait for the longest path of any, which takes 3 to 5 times as long.
    """

    def one_after_the_other(keys):
        return jax.lax.map(functools.partial(replicate, model=model), keys)

    num_devices = jax.local_device_count()
    shape = (num_devices, num_replicates // num_devices)
    keys = jax.random.split(jax.random.key(0), shape)
    by_device = jax.device_get(jax.pmap(one_after_the_other)(keys))
    return jax.tree.map(np.concatenate, by_device)


def counts(results):
    """Return how many ranks, 0 to 99, of a truth are below the GRID, (len(GRID),)."""
    found = {}
    for name, truth in results["truth"].items():
        draws = results["draws"][name]
        ranks = np.sum(draws < truth[:, None], axis=1)
        found[name] = np.sum(ranks[:, None] < GRID, axis=0)
    return found


def least_tail(counts, num_replicates):
    """The least binomial tail probability over the grid, for counts (..., len(GRID)).

    If the ranks are uniform, the number of them below each point z of the grid is
    binomial. Säilynoja, Bürkner and Vehtari (2022), eq. 13.
    """
    n = np.arange(num_replicates + 1)
    z = GRID / NUM_RANKS
    binomial = scipy.stats.binom(num_replicates, z[:, None])
    at_most_n = binomial.cdf(n)  # (len(GRID), len(n))
    at_least_n = binomial.sf(n - 1)
    tail = np.minimum(at_most_n, at_least_n)
    at_counts = tail[np.arange(len(GRID)), counts]
    return at_counts.min(axis=-1)


@functools.cache
def null_distribution(num_replicates, size=100_000):
    """Return the least tails (size,) of simulated uniform ranks."""
    rng = np.random.default_rng(0)
    cells = np.diff(GRID, prepend=0, append=NUM_RANKS)
    in_cells = rng.multinomial(num_replicates, cells / NUM_RANKS, size)
    below = np.cumsum(in_cells, axis=1)
    return least_tail(below[:, :-1], num_replicates)


def p_values(results):
    """Return each quantity's p value of uniform ranks."""
    num_replicates = len(results["Y"])
    null = null_distribution(num_replicates)
    found = {}
    for name, below in counts(results).items():
        tail = least_tail(below, num_replicates)
        found[name] = np.mean(null <= tail)
    return found


def plot_ranks(ax, results):
    """Plot ECDFs minus the uniform one, and a band that holds 99 % of uniform ranks."""
    z = GRID / NUM_RANKS
    num_replicates = len(results["Y"])
    level = np.quantile(null_distribution(num_replicates), 0.01)
    binomial = scipy.stats.binom(num_replicates, z)
    low = binomial.ppf(level) / num_replicates
    high = binomial.ppf(1 - level) / num_replicates
    ax.fill_between(z, low - z, high - z, color="0.85")
    for quantity, below in counts(results).items():
        ax.plot(z, below / num_replicates - z, label=quantity)
    ax.set(xlabel="rank of the truth", xlim=(0, 1))


def plot(results_by_model):
    """Plot the ranks of each model side by side."""
    fig, axes = plt.subplots(
        ncols=len(results_by_model),
        figsize=(14, 3),
        sharey=True,
        layout="constrained",
    )
    for ax, (name, results) in zip(axes, results_by_model.items(), strict=True):
        plot_ranks(ax, results)
        ax.set_title(name)
    axes[0].set_ylabel("ECDF - uniform")
    lines_and_labels = axes[0].get_legend_handles_labels()
    fig.legend(*lines_and_labels, loc="outside right center")
    return fig


def main():
    """Simulate with all models, print the p values, and draw the picture."""
    num_devices = os.cpu_count()
    bnn.use_device("cpu", num_chains=num_devices)
    num_replicates = 200 // num_devices * num_devices
    results_by_model = {}
    for name, model in MODELS.items():
        results = simulate(model, num_replicates)
        results_by_model[name] = results
        p = p_values(results)
        print(name, {quantity: f"{value:.4f}" for quantity, value in p.items()})
    path = pathlib.Path(__file__).with_suffix(".png")
    plot(results_by_model).savefig(path, dpi=100)


if __name__ == "__main__":
    main()
