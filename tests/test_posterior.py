"""Does NUTS find the posterior that Stan found, from every chain?"""

import hashlib
import json

import numpy as np
import pytest
from helpers import ROOT, assert_log_density, edges, predict_all
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

import bnn

STAN = ROOT / "tests/reference"
REFERENCE = json.loads((STAN / "posterior.json").read_text())


def z_scores(x, reference):
    """How many standard errors lie between our moments of x (chains, draws) and Stan's.

    Both sides have Monte Carlo error. That of a mean is sd / sqrt(ess). That of an sd
    follows from (x - mean)^2, that of a quantile q from the indicator x < q over the
    density at q; Stan's is ours, scaled by the root of the ratio of the ess.
    """

    def z_score(name, ours, deviation, x):
        ess = min(float(effective_sample_size(x)), x.size)
        error = deviation / ess**0.5 * np.sqrt(1 + ess / reference["ess"])
        return (ours - reference[name]) / error

    sd, square = x.std(), (x - x.mean()) ** 2
    yield "mean", z_score("mean", x.mean(), sd, x)
    yield "sd", z_score("sd", sd, square.std() / (2 * sd), square)
    for name, p in {"q05": 0.05, "q50": 0.5, "q95": 0.95}.items():
        q, low, high = np.quantile(x, [p, p - 0.04, p + 0.04])
        deviation = (p * (1 - p)) ** 0.5 * (high - low) / 0.08
        yield name, z_score(name, q, deviation, (x < q).astype(float))


@pytest.mark.parametrize("num_chains", [1, 4])
def test_chains_differ_and_prec_obs_f_Y_weights_agree_with_stan(num_chains, posterior):
    draws = posterior(num_chains)
    assert len(np.unique(draws["w1"][:, 0], axis=0)) == num_chains
    assert split_gelman_rubin(draws["f"]).max() <= 1.01
    assert split_gelman_rubin(draws["prec_obs"]) <= 1.01
    pairs = [("prec_obs", draws["prec_obs"], REFERENCE["prec_obs"])]
    X = np.array(REFERENCE["x"])[:, None] ** np.arange(3)  # 27 inputs
    for site, ours in zip("fy", predict_all(draws, X), strict=True):
        for i, stans in enumerate(REFERENCE[site]):
            pairs.append((f"{site}({REFERENCE['x'][i]})", ours[:, :, i, 0], stans))
    w1 = {f"w1_{k}": draws["w1"][:, :, i] for i, k in enumerate(["bias", "x", "x2"])}
    for name, w in {**w1, "w2": draws["w2"], "w3": draws["w3"]}.items():
        mean_square = (w**2).reshape(*w.shape[:2], -1).mean(axis=2)
        pairs.append((name, mean_square, REFERENCE["weight_second_moments"][name]))
    scores = {(name, k): z for name, x, ref in pairs for k, z in z_scores(x, ref)}
    # every z score below 5: a false alarm in 300 of them has probability 2e-4
    assert len(scores) == 300
    worst = max(scores, key=lambda k: abs(scores[k]))
    assert abs(scores[worst]) < 5, f"{worst} is {scores[worst]:.1f} standard errors off"


def test_stans_program_was_the_one_sampled_and_its_log_density_at_3_points_is_ours():
    checksum = hashlib.sha256((STAN / "bnn.stan").read_bytes()).hexdigest()
    assert checksum == REFERENCE["sha256_of_bnn_stan"], "run posterior.py"
    X, Y, *_ = bnn.get_data()
    assert len(REFERENCE["log_density"]) == 3
    for point in REFERENCE["log_density"]:
        assert_log_density(point["value"], X, Y, point["parameters"], 5)


def test_the_drawn_band_holds_96_percent_of_new_data_as_the_page_says(posterior):
    source = " ".join((ROOT / "bnn.py").read_text().replace("\n# ", " ").split())
    assert "about 96 % of new data from this curve" in source
    X, Y, X_test, f_test = bnn.get_data()
    fig = bnn.plot(X, Y, X_test, f_test, *predict_all(posterior(1), X_test))
    low, high = edges(fig.axes[0].collections[0], X_test[:, 1])
    # the noise on the scale of the standardised Y
    rng, x = np.random.RandomState(0), X[:, 1]
    f = X @ (0.5 * rng.randn(3)) + 0.5 * (0.5 + x) ** 2 * np.sin(4 * x)
    sd = 0.05 / (f + 0.05 * rng.randn(100)).std()
    assert round(sd, 2) == 0.19
    new = f_test[:, 0] + sd * np.random.default_rng(1).standard_normal((50, 500))
    covered = ((low <= new) & (new <= high))[:, np.abs(X_test[:, 1]) <= 1]
    assert covered.size > 10_000
    # 0.96 to a unit; the error of a mean of 19 000 is 0.0014, and draws add some 0.003
    assert abs(covered.mean() - 0.96) < 0.015
