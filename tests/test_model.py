"""Is the model the one that the page states?"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from helpers import (
    assert_log_density,
    forward,
    log_density_numpy,
    predict_all,
    random_parameters,
    repeated,
)
from numpyro.infer import Predictive, log_likelihood
from numpyro.infer.util import log_density

import bnn


@pytest.mark.parametrize("N, D_H", [(100, 5), (7, 1), (2, 3), (50, np.int64(20))])
def test_log_density_is_that_of_plain_numpy_at_random_points(N, D_H):
    rng = np.random.default_rng(N)
    X, Y, *_ = bnn.get_data(N=N)
    for _ in range(25):
        point = random_parameters(rng, 3, D_H)
        expected = log_density_numpy(X, Y, point)
        assert_log_density(expected, X, Y, point, D_H)


PRECISIONS = [1e-8, 1e-2, 1, 100, 1e4, 1e6, 1e8]  # noise from 10 000 to 0.0001


@pytest.mark.parametrize("precision", PRECISIONS)
def test_log_likelihood_is_that_of_scipy_for_any_noise(precision):
    rng = np.random.default_rng(0)
    X, *_ = bnn.get_data()
    point = random_parameters(rng, 3, 5)
    point["prec_obs"] = precision
    f = forward(X, point)
    sd = precision**-0.5
    Y = f + sd * rng.standard_normal((100, 1))
    draws = repeated(point, 1)
    ours = log_likelihood(bnn.model, draws, X, Y, 5)["Y"]  # (1, 100)
    expected = scipy.stats.norm.logpdf(Y, f, sd)
    # Y - f is off by 1e-6 in float32, which is 1 % of the least noise: a log density at
    # z standard deviations is off by z times as much
    np.testing.assert_allclose(ours[0], expected[:, 0], rtol=1e-4, atol=0.1)


def test_mirror_images_of_a_network_have_its_density():
    X, Y, *_ = bnn.get_data()
    point = random_parameters(np.random.default_rng(0), 3, 5)
    flipped = np.diag([1, -1, 1, 1, 1])
    mirror = flipped[[3, 0, 4, 1, 2]]  # a flipped sign, another order
    mirrored = {
        "w1": point["w1"] @ mirror.T,
        "w2": mirror @ point["w2"] @ mirror.T,
        "w3": mirror @ point["w3"],
        "prec_obs": point["prec_obs"],
    }
    expected = log_density_numpy(X, Y, point)
    assert_log_density(expected, X, Y, mirrored, 5)


@pytest.mark.parametrize("shape", [(9,), (9, 2), (1, 9), (1, 1), (8, 1), (9, 1, 1), ()])
def test_a_Y_that_would_broadcast_to_a_wrong_density_is_an_error(shape):
    X, *_ = bnn.get_data(N=9)
    told = r"Y must have shape \(9, 1\), not"
    with pytest.raises(ValueError, match=told):
        log_density(bnn.model, (X, np.ones(shape), 2), {}, {})


@pytest.mark.parametrize("shape", [(9,), (9, 2)])  # of others check_data tells first
def test_such_a_Y_is_an_error_of_run_inference_too(shape):
    X, *_ = bnn.get_data(N=9)
    Y = np.ones(shape)
    told = r"Y must have shape \(9, 1\), not"
    with pytest.raises(ValueError, match=told):
        bnn.run_inference(bnn.model, jax.random.key(0), X, Y, 2, 4, 4)


# around the 4096 products up to which a layer is a sum of them
@pytest.mark.parametrize(
    "K, M, N", [(3, 5, 100), (1, 1, 4096), (1, 1, 4097), (20, 7, 99)]
)
def test_a_layer_is_the_matrix_product(K, M, N):
    rng = np.random.default_rng(5)
    w = rng.standard_normal((K, M))
    z = rng.standard_normal((K, N))
    ours = bnn.linear(jnp.asarray(w), jnp.asarray(z))
    # float32: an error of an ulp of each of K products of order 1
    np.testing.assert_allclose(ours, w.T @ z, rtol=0, atol=K * 1e-6)


@pytest.mark.parametrize("N", [4, 4000])  # a sum, a matrix product
@pytest.mark.parametrize("K", [1, 2])  # one would broadcast
def test_weights_that_do_not_fit_the_inputs_are_an_error(N, K):
    with pytest.raises(ValueError, match=f"weights for 3 inputs .* got {K}"):
        bnn.linear(np.ones((3, 5)), np.ones((K, N)))


S = 40_000  # draws of Y


@pytest.fixture(scope="module")
def predictive():
    """The model at a point, S times, with its inputs and f there."""
    X, *_ = bnn.get_data(N=4)
    point = random_parameters(np.random.default_rng(2), 3, 5)
    return Predictive(bnn.model, repeated(point, S)), X, point


@pytest.mark.parametrize("Y", [None, np.ones((4, 1))], ids=["sampled", "given"])
def test_f_is_the_network(predictive, Y):
    model, X, point = predictive
    found = model(jax.random.key(0), X, Y, 5)
    # tanh and three matrix products in float32; f is of order 1
    np.testing.assert_allclose(found["f"] - forward(X, point), 0, atol=1e-5)


def test_without_Y_the_model_samples_it_with_the_right_moments(predictive):
    model, X, point = predictive
    found = model(jax.random.key(0), X, None, 5)
    Y = np.asarray(found["Y"])
    assert Y.shape == (S, 4, 1)
    variance = 1 / point["prec_obs"]
    # 5 standard errors: sd / sqrt(S) of a mean, sd^2 sqrt(2 / S) of a variance
    mean_error = np.abs(Y.mean(axis=0) - forward(X, point))
    assert mean_error.max() < 5 * (variance / S) ** 0.5
    variance_error = np.abs(Y.var(axis=0) - variance)
    assert variance_error.max() < 5 * variance * (2 / S) ** 0.5


@pytest.mark.parametrize("precision", PRECISIONS)
def test_observations_have_the_noise_of_their_precision(precision):
    X, *_ = bnn.get_data()
    point = random_parameters(np.random.default_rng(2), 3, 5)
    point["prec_obs"] = precision
    draws = repeated(point, 1, 100)
    f, Y = predict_all(draws, X)
    noise = np.float64(Y - f)
    # 5 standard errors of the variance of 10 000 normals
    error = 5 * (2 / noise.size) ** 0.5
    assert noise.var() * precision == pytest.approx(1, abs=error)


def has_product(function, *arguments):
    """Whether it multiplies matrices."""
    return "dot_general" in str(jax.make_jaxpr(function)(*arguments))


# 4096 products are a sum, and a step further along each axis they are not
SIZES = [(4, 4, 256, False), (5, 4, 256, True), (4, 5, 256, True), (4, 4, 257, True)]


@pytest.mark.parametrize("K, M, N, is_product", SIZES)
def test_small_layers_are_sums_as_these_are_faster_and_large_ones_products(
    K, M, N, is_product
):
    w = np.ones((K, M))
    z = np.ones((K, N))
    assert has_product(bnn.linear, w, z) == is_product


# sums of other forms take twice the time
def test_a_small_layer_is_the_sum_that_was_measured():
    program = str(jax.make_jaxpr(bnn.linear)(np.ones((3, 5)), np.ones((3, 7))))
    assert program.count(" mul ") == 1
    assert re.search(r"f32\[3,5,7\] = mul ", program)
    assert re.search(r"f32\[5,7\] = reduce_sum\[\s*axes=\(0,\)", program)
    assert "transpose" not in program


@pytest.mark.parametrize("D_H, is_product", [(5, False), (50, True)])
def test_no_layer_of_the_default_network_is_a_matrix_product(D_H, is_product):
    X, Y, *_ = bnn.get_data()
    point = random_parameters(np.random.default_rng(0), 3, D_H)

    def density(point):
        return log_density(bnn.model, (X, Y, D_H), {}, point)[0]

    assert has_product(jax.grad(density), point) == is_product
