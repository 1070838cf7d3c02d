"""Is the posterior the same when w3 is integrated out, and well conditioned?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpyro.infer.util import log_density
from test_command_line import rows
from test_model import (
    forward,
    log_density_bnn,
    log_prior_numpy,
    random_parameters,
    second_layer,
)

import bnn

WITHOUT_W3 = ["w1", "w2", "prec_obs"]


def conditional(X, Y, p):
    """The mean (D_H,) and the precision (D_H, D_H) of w3 given the rest, float64."""
    Z = second_layer(X, p)
    precision = np.eye(Z.shape[1]) + p["prec_obs"] * Z.T @ Z
    return np.linalg.solve(precision, p["prec_obs"] * Z.T @ Y)[:, 0], precision


def log_marginal_numpy(X, Y, p):
    """The log density of w1, w2, prec_obs and Y in plain NumPy and SciPy, float64."""
    mean, precision = conditional(X, Y, p)
    residual = Y[:, 0] - second_layer(X, p) @ mean
    prior = log_prior_numpy(p, ["w1", "w2"])
    log_det = np.linalg.slogdet(precision)[1]
    squares = p["prec_obs"] * (residual**2).sum() + (mean**2).sum()
    constant = len(X) * np.log(p["prec_obs"] / (2 * np.pi))
    return prior + 0.5 * (constant - log_det - squares)


def log_marginal_bnn(X, Y, p, D_H):
    p = {name: jnp.asarray(p[name], jnp.float32) for name in WITHOUT_W3}
    return log_density(bnn.marginal_model, (X, Y, D_H), {}, p)[0]


# float32, sums of up to 300 terms, as in test_model.py
@pytest.mark.parametrize("N, D_H", [(100, 5), (7, 1), (2, 3), (50, 20)])
def test_marginal_plus_conditional_log_density_is_the_joint_at_random_points(N, D_H):
    rng = np.random.default_rng(N)
    X, Y, *_ = bnn.get_data(N=N)
    for _ in range(10):
        p = random_parameters(rng, 3, D_H)
        mean, precision = conditional(X, Y, p)
        covariance = np.linalg.inv(precision)
        given_rest = scipy.stats.multivariate_normal(mean, covariance)
        ours = log_marginal_bnn(X, Y, p, D_H) + given_rest.logpdf(p["w3"][:, 0])
        joint = log_density_bnn(X, Y, p, D_H)
        np.testing.assert_allclose(ours, joint, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("prec_obs", [1e-3, 1.0, 1e2, 1e4])
@pytest.mark.parametrize("N, D_H", [(100, 5), (5000, 50)])
@pytest.mark.parametrize("fit", ["good fit", "bad fit"])
def test_log_density_and_gradient_are_well_conditioned(N, D_H, prec_obs, fit):
    rng = np.random.default_rng(0)
    X, Y, *_ = bnn.get_data(N=N)
    p = {**random_parameters(rng, 3, D_H), "prec_obs": prec_obs}
    if fit == "good fit":
        Y = forward(X, p) + prec_obs**-0.5 * rng.standard_normal((N, 1))
    # float32 keeps 24 bits: of the sum of squares, which is the largest term, and of
    # each Y, an error that residuals of size prec_obs^-1/2 multiply
    rounding = prec_obs**0.5 * np.abs(Y).max() * 2**-24 * N**0.5
    tolerance = dict(rtol=2e-6, atol=1e-3 + 4 * rounding)
    expected = log_marginal_numpy(X, Y, p)
    np.testing.assert_allclose(log_marginal_bnn(X, Y, p, D_H), expected, **tolerance)

    direction = {w: rng.standard_normal(np.shape(p[w])) for w in WITHOUT_W3}
    direction["prec_obs"] *= prec_obs  # as NUTS moves: on the log scale

    def along(step, function, p=p):
        return function({w: p[w] + step * direction[w] for w in WITHOUT_W3})

    h = 1e-6
    expected = (
        along(h, lambda p: log_marginal_numpy(X, Y, p))
        - along(-h, lambda p: log_marginal_numpy(X, Y, p))
    ) / (2 * h)
    ours = jax.grad(along)(0.0, lambda p: log_marginal_bnn(X, Y, p, D_H))
    # a sum of N terms that cancel: each has an error of some ulps of its size
    size = prec_obs * N * (1 if fit == "bad fit" else prec_obs**-0.5)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5 * size + 1e-2)


@pytest.mark.parametrize("prec_obs", [1.0, 1e4])
def test_w3_has_the_mean_and_covariance_of_its_conditional(prec_obs):
    X, Y, *_ = bnn.get_data(N=30)
    p = {**random_parameters(np.random.default_rng(1), 3, 3), "prec_obs": prec_obs}
    S = 40_000
    keys = jax.random.split(jax.random.key(0), S)
    draw = {w: jnp.asarray(p[w]) for w in WITHOUT_W3}
    w3 = jax.vmap(lambda key: bnn.draw_w3(key, draw, X, Y)["w3"])(keys)[
        ..., 0
    ]  # (S, 3)
    mean, precision = conditional(X, Y, p)
    # in the coordinates in which the conditional is standard normal; 5 standard errors
    z = (np.asarray(w3, np.float64) - mean) @ np.linalg.cholesky(precision)
    assert np.abs(z.mean(axis=0)).max() < 5 / S**0.5
    assert np.abs(np.cov(z.T) - np.eye(3)).max() < 5 * (2 / S) ** 0.5
    neighbours = np.mean(z[1:] * z[:-1])  # no two draws share their noise
    assert abs(neighbours) < 5 / z.size**0.5


def test_w3_is_finite_and_right_for_a_large_network_with_little_noise():
    N, D_H = 5000, 50
    X, Y, *_ = bnn.get_data(N=N)
    p = {**random_parameters(np.random.default_rng(2), 3, D_H), "prec_obs": 1e4}
    draw = {w: jnp.asarray(p[w]) for w in WITHOUT_W3}
    w3 = np.asarray(bnn.draw_w3(jax.random.key(0), draw, X, Y)["w3"], np.float64)
    mean, precision = conditional(X, Y, p)
    z = np.linalg.cholesky(precision).T @ (w3[:, 0] - mean)
    # 50 standard normals; float32 errors of w3 are relative to the coordinate's sd
    assert np.all(np.abs(z) < 5)


def test_nuts_does_not_see_w3_and_the_draws_get_it_without_a_change_of_mcmc():
    X, Y, *_ = bnn.get_data(N=7)
    key = jax.random.key(0)
    mcmc = bnn.run_inference(bnn.marginal_model, key, X, Y, 2, 4, 6, 2, False)
    assert set(mcmc.last_state.z) == set(WITHOUT_W3)
    before = jax.device_get(mcmc.get_samples(group_by_chain=True))
    draws = bnn.for_all_draws(lambda key, d: bnn.draw_w3(key, d, X, Y), key, before)
    after = mcmc.get_samples(group_by_chain=True)
    assert set(before) == set(after) == set(WITHOUT_W3)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert draws["w3"].shape == (2, 6, 2, 1) and draws["f"].shape == (2, 6, 7, 1)
    for i in np.ndindex(2, 6):  # of each draw, the rest is as it was, f is its network
        p = {name: draws[name][i] for name in draws}
        assert all(np.array_equal(p[name], before[name][i]) for name in before)
        np.testing.assert_allclose(p["f"], forward(X, p), rtol=1e-4, atol=1e-4)


def test_the_flag_prints_the_same_table_and_draws_the_picture(run_script, tmp_path):
    small = "-n 10 --num-warmup 10 --num-data 7 --num-chains 2".split()
    plain, marginal = run_script(*small), run_script(*small, "--marginalize")
    assert (marginal.returncode, marginal.stderr) == (0, "")
    # NUTS sampled another density: even what both have is drawn differently
    assert rows(plain.stdout)[0] != rows(marginal.stdout)[0]
    names = [row[0] for row in rows(marginal.stdout)]
    assert names == [row[0] for row in rows(plain.stdout)] and len(names) == 46
    assert "Number of divergences:" in marginal.stdout
    assert "What has to converge" in marginal.stdout
    assert (tmp_path / "bnn_plot.pdf").read_bytes().startswith(b"%PDF")
