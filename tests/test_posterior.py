"""Does NUTS find the posterior that Stan found, from every chain?"""

import hashlib
import json

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import ROOT, assert_log_density, edges, predict_all
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

import bnn

STAN = ROOT / "tests/reference"
REFERENCE = json.loads((STAN / "posterior.json").read_text())


@pytest.fixture(scope="module")
def draws():
    """The draws of four default chains, each (4, 2000, ...)."""
    X, Y, *_ = bnn.get_data()
    chains = dict(num_chains=4, progress_bar=False)
    mcmc = bnn.run_inference(bnn.model, jax.random.key(0), X, Y, 5, **chains)
    return jax.device_get(mcmc.get_samples(group_by_chain=True))


def z_score(x, deviation, found, reference, name):
    """How many standard errors lie between ours of a moment or quantile and Stan's.

    Both sides have Monte Carlo error. Ours is that of the mean of x (chains, draws),
    which has this deviation; Stan's is ours, scaled by the root of the ratio of the
    ess.
    """
    ess = min(float(effective_sample_size(x)), x.size)
    ours = deviation / ess**0.5
    both = ours * np.sqrt(1 + ess / reference["ess"])
    return (found - reference[name]) / both


def z_scores(x, reference):
    """The z score of each moment and quantile of x (chains, draws)."""
    mean = x.mean()
    sd = x.std()
    # the error of an sd follows from that of the mean square
    square = (x - mean) ** 2
    scores = {
        "mean": z_score(x, sd, mean, reference, "mean"),
        "sd": z_score(square, square.std() / (2 * sd), sd, reference, "sd"),
    }
    for name, p in {"q05": 0.05, "q50": 0.5, "q95": 0.95}.items():
        # that of a quantile from the share of x below it, over the density there
        q, low, high = np.quantile(x, [p, p - 0.04, p + 0.04])
        density = 0.08 / (high - low)
        deviation = (p * (1 - p)) ** 0.5 / density
        below = np.asarray(x < q, float)
        scores[name] = z_score(below, deviation, q, reference, name)
    return scores


def mean_square(w):
    """The mean square (C, S) of weights (C, S, ...)."""
    num_chains, num_draws = w.shape[:2]
    weights = w.reshape(num_chains, num_draws, -1)
    return np.mean(weights**2, axis=2)


def scores_of_weights(draws):
    """The z scores of mean squares, which mirror images share."""
    w1 = draws["w1"]
    weights = {
        "w1_bias": w1[:, :, 0],
        "w1_x": w1[:, :, 1],
        "w1_x2": w1[:, :, 2],
        "w2": draws["w2"],
        "w3": draws["w3"],
    }
    references = REFERENCE["weight_second_moments"]
    scores = {}
    for name, w in weights.items():
        scores[name] = z_scores(mean_square(w), references[name])
    return scores


def scores_of_predictions(draws):
    """The z scores of f and Y at 27 inputs."""
    x = np.array(REFERENCE["x"])
    X = x[:, None] ** np.arange(3)
    scores = {}
    for site, ours in zip("fy", predict_all(draws, X), strict=True):
        for i, reference in enumerate(REFERENCE[site]):
            scores[f"{site}({x[i]})"] = z_scores(ours[:, :, i, 0], reference)
    return scores


def test_each_of_4_chains_has_the_2000_draws_of_the_default(draws):
    assert draws["f"].shape == (4, 2000, 100, 1)


def test_chains_differ_and_have_converged(draws):
    first_draws = draws["w1"][:, 0]
    assert len(np.unique(first_draws, axis=0)) == 4
    assert split_gelman_rubin(draws["f"]).max() <= 1.01
    assert split_gelman_rubin(draws["prec_obs"]) <= 1.01


def test_prec_obs_f_Y_and_weights_agree_with_stan(draws):
    scores = {"prec_obs": z_scores(draws["prec_obs"], REFERENCE["prec_obs"])}
    scores |= scores_of_predictions(draws)
    scores |= scores_of_weights(draws)
    # every z score below 5: a false alarm in 300 of them has probability 2e-4
    off = {}
    num_scores = 0
    for quantity, of_quantity in scores.items():
        num_scores += len(of_quantity)
        for name, z in of_quantity.items():
            if not abs(z) < 5:
                off[quantity, name] = z
    assert num_scores == 300
    assert off == {}


def test_stans_program_was_the_one_sampled():
    checksum = hashlib.sha256((STAN / "bnn.stan").read_bytes())
    assert checksum.hexdigest() == REFERENCE["sha256_of_bnn_stan"], "run posterior.py"


def test_stans_log_density_at_3_points_is_ours():
    X, Y, *_ = bnn.get_data()
    points = REFERENCE["log_density"]
    assert len(points) == 3
    for point in points:
        assert_log_density(point["value"], X, Y, point["parameters"], 5)


def sd_of_noise():
    """The noise of bnn.get_data on the scale of the standardised Y."""
    X, *_ = bnn.get_data()
    x = X[:, 1]
    rng = np.random.RandomState(0)
    f = X @ (0.5 * rng.randn(3))
    f += 0.5 * (0.5 + x) ** 2 * np.sin(4 * x)
    Y = f + 0.05 * rng.randn(100)
    return 0.05 / Y.std()


def test_the_drawn_band_holds_96_percent_of_new_data_as_the_page_says(draws):
    source = (ROOT / "bnn.py").read_text()
    on_one_line = " ".join(source.replace("\n# ", " ").split())
    assert "about 96 % of new data from this curve" in on_one_line
    sd = sd_of_noise()
    assert round(sd, 2) == 0.19  # as the page says, too

    X, Y, X_test, f_test = bnn.get_data()
    f_draws, Y_draws = predict_all(draws, X_test)
    fig = bnn.plot(X, Y, X_test, f_test, f_draws, Y_draws)
    plt.close(fig)
    x = X_test[:, 1]
    low, high = edges(fig.axes[0].collections[0], x)
    noise = np.random.default_rng(1).standard_normal((50, 500))
    new = f_test[:, 0] + sd * noise
    covered = (low <= new) & (new <= high)
    within_the_data = covered[:, np.abs(x) <= 1]
    assert within_the_data.size > 10_000
    # 0.96 to a unit; the error of a mean of 19 000 is 0.0014, and draws add some 0.003
    assert abs(within_the_data.mean() - 0.96) < 0.015
