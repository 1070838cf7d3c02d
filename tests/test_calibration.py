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
def replicates(name):
    return simulate(MODELS[name], 200)


@pytest.mark.slow
def test_ranks_of_the_truth_are_uniform_under_the_scripts_model():
    p = p_values(replicates("bnn.py"))
    assert min(p.values()) > FALSE_ALARM_RATE / len(p), p


@pytest.mark.slow
@pytest.mark.parametrize("model", CATCHERS)
def test_a_wrong_model_is_caught(model):
    p = p_values(replicates(model))
    assert p[CATCHERS[model]] < FALSE_ALARM_RATE / len(p), p


@pytest.mark.slow
def test_the_interval_that_the_script_draws_covers_90_percent_of_new_data():
    results = replicates("bnn.py")
    sites = (results[name] for name in ["Y", "Y_new", "f_draws", "Y_draws"])
    covered = []
    for Y, Y_new, *draws in zip(*sites, strict=True):
        fig = bnn.plot(X, Y, X_NEW, f_new, *(values[None] for values in draws))
        band = fig.axes[0].collections[0]
        assert band.get_label() == "90 percent of Y"
        low, high = edges(band, X_NEW[:, 1])
        covered.append((low <= Y_new[:, 0]) & (Y_new[:, 0] <= high))  # (5,)
        plt.close(fig)
    coverage = np.mean(covered, axis=0)  # (5,): at each of the new inputs
    # Quantiles of 990 correlated draws, n_eff above 200 or so, lose up to 0.01. 3.5
    # binomial standard errors: a false alarm at one of 5 inputs has probability 0.002.
    error = (0.9 * 0.1 / len(covered)) ** 0.5
    assert np.all(np.abs(coverage - 0.9) < 3.5 * error + 0.01), coverage


def test_uniform_ranks_raise_the_alarm_as_often_as_stated_and_are_shown_with_the_band():
    R, tests = 200, 1000
    rng = np.random.default_rng(1)
    draws = np.arange(NUM_RANKS - 1) + 0.5  # a truth of k has k draws below it
    truth = {i: rng.integers(NUM_RANKS, size=R) for i in range(tests)}
    draws = dict.fromkeys(truth, np.broadcast_to(draws, (R, len(draws))))
    results = {"truth": truth, "draws": draws, "Y": np.zeros((R, 1, 1))}
    p = np.array(list(p_values(results).values()))
    for rate in [0.01, 0.1, 0.5]:
        # 4 standard errors of a proportion; p is discrete, so it may be below the rate
        error = (rate * (1 - rate) / tests) ** 0.5
        assert rate - 4 * error - 0.02 < np.mean(p <= rate) < rate + 4 * error
    two = {**results, "truth": {i: truth[i] for i in range(2)}}
    fig = plot({"one": two, "other": two})
    assert [ax.get_title() for ax in fig.axes] == ["one", "other"]
    assert [len(ax.lines) for ax in fig.axes] == [2, 2]
    (band,) = fig.axes[0].collections
    assert 0.1 < band.get_paths()[0].get_extents().height < 1.0
    plt.close(fig)
