"""Are model and NUTS calibrated over data sets from the prior, are errors caught?"""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from calibration import MODELS, NUM_RANKS, X_NEW, X, f_new, p_values, plot, simulate
from helpers import edges

import bnn

# One false alarm in 100 runs of all of a model's quantities together (Bonferroni).
FALSE_ALARM_RATE = 0.01
# A wrong model, and what must catch it.
CATCHERS = {
    "noise scale 20 % off": "prec_obs",
    "prior twice as wide": "mean square of w1",
    "half of the data dropped": "log likelihood",
}


@functools.cache
def replicates(name, number=200):
    return simulate(MODELS[name], number)


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform_under_the_scripts_model():
    p = p_values(replicates("bnn.py"))
    assert min(p.values()) > FALSE_ALARM_RATE / len(p), p


@pytest.mark.slow
@pytest.mark.parametrize("model", CATCHERS)
def test_a_wrong_model_is_caught(model):
    p = p_values(replicates(model, 60))  # enough to see it
    assert p[CATCHERS[model]] < FALSE_ALARM_RATE / len(p), p


def is_covered(Y, Y_new, f_draws, Y_draws):
    """Whether the drawn band holds the new data, at each of 5 new inputs."""
    fig = bnn.plot(X, Y, X_NEW, f_new, f_draws[None], Y_draws[None])
    plt.close(fig)
    band = fig.axes[0].collections[0]
    assert band.get_label() == "90 percent of Y"
    low, high = edges(band, X_NEW[:, 1])
    new = Y_new[:, 0]
    return (low <= new) & (new <= high)


@pytest.mark.slow
def test_the_interval_that_the_script_draws_covers_90_percent_of_new_data():
    results = replicates("bnn.py")
    sites = [results[name] for name in ["Y", "Y_new", "f_draws", "Y_draws"]]
    covered = [is_covered(*replicate) for replicate in zip(*sites, strict=True)]
    coverage = np.mean(covered, axis=0)  # (5,): at each of the new inputs
    # Quantiles of 990 correlated draws, n_eff above 200 or so, lose up to 0.01. 3.5
    # binomial standard errors: a false alarm at one of 5 inputs has probability 0.002.
    error = (0.9 * 0.1 / len(covered)) ** 0.5
    assert np.all(np.abs(coverage - 0.9) < 3.5 * error + 0.01), coverage


def uniform_results(num_quantities, num_replicates=200):
    """What simulate would return of a sampler whose ranks are uniform."""
    rng = np.random.default_rng(1)
    draws = np.arange(NUM_RANKS - 1) + 0.5  # a truth of k has k draws below it
    in_each = np.broadcast_to(draws, (num_replicates, len(draws)))
    results = {"truth": {}, "draws": {}, "Y": np.zeros((num_replicates, 1, 1))}
    for quantity in range(num_quantities):
        truth = rng.integers(NUM_RANKS, size=num_replicates)
        results["truth"][quantity] = truth
        results["draws"][quantity] = in_each
    return results


def test_uniform_ranks_raise_the_alarm_as_often_as_stated():
    num_tests = 1000
    p = p_values(uniform_results(num_tests))
    p = np.array(list(p.values()))
    for rate in [0.01, 0.1, 0.5]:
        # 4 standard errors of a proportion; p is discrete, so it may be below the rate
        error = (rate * (1 - rate) / num_tests) ** 0.5
        alarms = np.mean(p <= rate)
        assert rate - 4 * error - 0.02 < alarms < rate + 4 * error


def test_ranks_are_shown_with_the_band():
    results = uniform_results(2)
    fig = plot({"one": results, "other": results})
    plt.close(fig)
    assert [ax.get_title() for ax in fig.axes] == ["one", "other"]
    assert [len(ax.lines) for ax in fig.axes] == [2, 2]
    (band,) = fig.axes[0].collections
    (path,) = band.get_paths()
    assert 0.1 < path.get_extents().height < 1.0
