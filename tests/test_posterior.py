"""Does NUTS find the posterior that Stan found, from every chain?"""

import hashlib
import json

import jax
import numpy as np
import pytest
from conftest import ROOT, edges
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from test_model import TOLERANCE, log_density_bnn

import bnn

STAN = ROOT / "tests/reference"
REFERENCE = json.loads((STAN / "posterior.json").read_text())


def ess(x):
    """Effective sample size of x (chains, draws), at most the number of draws."""
    return min(float(effective_sample_size(x)), x.size)


def z_scores(x, reference):
    """How many standard errors lie between our moments of x (chains, draws) and Stan's.

    Both sides have Monte Carlo error. That of a mean is sd / sqrt(ess). That of an sd
    follows from (x - mean)^2, that of a quantile q from the indicator x < q over the
    density at q; Stan's is ours, scaled by the root of the ratio of the ess.
    """

    def joint(error, ess_ours):
        return error * np.sqrt(1 + ess_ours / reference["ess"])

    sd, square = x.std(), (x - x.mean()) ** 2
    yield "mean", (x.mean() - reference["mean"]) / joint(sd / ess(x) ** 0.5, ess(x))
    error = square.std() / (2 * sd) / ess(square) ** 0.5
    yield "sd", (sd - reference["sd"]) / joint(error, ess(square))
    for name, p in {"q05": 0.05, "q50": 0.5, "q95": 0.95}.items():
        q = np.quantile(x, p)
        low, high = np.quantile(x, [p - 0.04, p + 0.04])
        n = ess((x < q).astype(float))
        error = (p * (1 - p) / n) ** 0.5 * (high - low) / 0.08
        yield name, (q - reference[name]) / joint(error, n)


def at_reference_inputs(draws):
    """Predictions f and Y (chains, draws, 27) at the reference's inputs."""
    X = np.array(REFERENCE["x"])[:, None] ** np.arange(3)
    predict = lambda key, draw: bnn.predict(bnn.model, key, draw, X, 5)  # noqa: E731
    f, Y = bnn.for_all_draws(predict, jax.random.key(1), draws)
    return {"f": f[..., 0], "y": Y[..., 0]}


def assert_agrees(pairs):
    """Every z score below 5: a false alarm in 290 of them has probability 2e-4."""
    scores = {(name, k): z for name, x, ref in pairs for k, z in z_scores(x, ref)}
    worst = max(scores, key=lambda k: abs(scores[k]))
    assert abs(scores[worst]) < 5, f"{worst} is {scores[worst]:.1f} standard errors off"


@pytest.fixture(params=[1, 4], ids=["1-chain", "4-chains"])
def draws(request, posterior):
    return posterior(request.param)


def test_prec_obs_agrees_with_stan(draws):
    assert_agrees([("prec_obs", draws["prec_obs"], REFERENCE["prec_obs"])])


def test_functions_and_predictions_agree_with_stan_at_27_inputs(draws):
    for site, ours in at_reference_inputs(draws).items():
        names = [f"{site}({x})" for x in REFERENCE["x"]]
        ours = np.moveaxis(ours, 2, 0)
        assert_agrees(zip(names, ours, REFERENCE[site], strict=True))


def test_mean_squares_of_the_weights_agree_with_stan(draws):
    squares = {
        "w1_bias": draws["w1"][:, :, 0] ** 2,
        "w1_x": draws["w1"][:, :, 1] ** 2,
        "w1_x2": draws["w1"][:, :, 2] ** 2,
        "w2": draws["w2"] ** 2,
        "w3": draws["w3"] ** 2,
    }
    reference = REFERENCE["weight_second_moments"]
    by_layer = {k: v.reshape(*v.shape[:2], -1).mean(axis=2) for k, v in squares.items()}
    assert_agrees([(name, by_layer[name], reference[name]) for name in by_layer])


def test_the_log_density_is_that_of_stans_program_at_the_stored_points():
    X, Y, *_ = bnn.get_data()
    for point in REFERENCE["log_density"]:
        ours = log_density_bnn(X, Y, point["parameters"], 5)
        np.testing.assert_allclose(ours, point["value"], **TOLERANCE)


def test_stans_program_is_the_one_that_was_sampled():
    program = (STAN / "bnn.stan").read_text()
    checksum = hashlib.sha256(program.encode()).hexdigest()
    assert checksum == REFERENCE["sha256_of_bnn_stan"], "run posterior.py"


def test_four_chains_differ_and_agree(posterior):
    draws = posterior(4)
    starts = draws["w1"].reshape(4, 2000, -1)[:, 0]
    assert len(np.unique(starts, axis=0)) == 4
    assert split_gelman_rubin(draws["f"]).max() <= 1.01
    assert split_gelman_rubin(draws["prec_obs"]) <= 1.01


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    X, Y, *_ = bnn.get_data(N=7)

    def draws(seed):
        key = jax.random.key(seed)
        mcmc = bnn.run_inference(bnn.model, key, X, Y, 2, 20, 20, 2, False)
        return mcmc.get_samples()

    first, again, other = draws(0), draws(0), draws(1)
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert not any(np.array_equal(first[k], other[k]) for k in first)


def test_the_drawn_band_holds_96_percent_of_new_data_on_the_page_as_the_page_says(
    posterior,
):
    source = " ".join((ROOT / "bnn.py").read_text().replace("\n# ", " ").split())
    assert "about 96 % of new data from this curve" in source
    X, Y, X_test, f_test = bnn.get_data()
    f_draws, Y_draws = bnn.for_all_draws(
        lambda key, draw: bnn.predict(bnn.model, key, draw, X_test, 5),
        jax.random.key(2),
        posterior(1),
    )
    band = bnn.plot(X, Y, X_test, f_test, f_draws, Y_draws).axes[0].collections[0]
    low, high = edges(band, X_test[:, 1])
    inside = np.abs(X_test[:, 1]) <= 1
    # the noise on the scale of the standardised Y
    rng = np.random.RandomState(0)
    W, noise = 0.5 * rng.randn(3), 0.05 * rng.randn(100, 1)
    f = X @ W[:, None] + 0.5 * (0.5 + X[:, 1:2]) ** 2 * np.sin(4 * X[:, 1:2])
    sd = 0.05 / (f + noise).std()
    assert round(sd, 2) == 0.19
    new = f_test[:, 0] + sd * np.random.default_rng(1).standard_normal((50, 500))
    covered = (low <= new) & (new <= high)
    assert covered[:, inside].size > 10_000
    # 0.96 to a unit; the error of a mean of 19 000 is 0.0014, and draws add some 0.003
    assert abs(covered[:, inside].mean() - 0.96) < 0.015
