"""Is the model the one that the page states?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    assert_log_density,
    forward,
    log_density_numpy,
    random_parameters,
    repeated,
)
from numpyro.infer import Predictive
from numpyro.infer.util import log_density

import bnn


@pytest.mark.parametrize("N, D_H", [(100, 5), (7, 1), (2, 3), (50, 20)])
def test_log_density_is_that_of_plain_numpy_at_random_points(N, D_H):
    rng = np.random.default_rng(N)
    X, Y, *_ = bnn.get_data(N=N)
    for _ in range(25):
        p = random_parameters(rng, 3, D_H)
        assert_log_density(log_density_numpy(X, Y, p), X, Y, p, D_H)


def test_mirror_images_of_a_network_have_its_density():
    X, Y, *_ = bnn.get_data()
    p = random_parameters(np.random.default_rng(0), 3, 5)
    mirror = np.diag([1, -1, 1, 1, 1])[[3, 0, 4, 1, 2]]  # a flipped sign, another order
    w1, w3 = p["w1"] @ mirror.T, mirror @ p["w3"]
    mirrored = {**p, "w1": w1, "w2": mirror @ p["w2"] @ mirror.T, "w3": w3}
    assert_log_density(log_density_numpy(X, Y, p), X, Y, mirrored, 5)


@pytest.mark.parametrize("shape", [(9,), (9, 2), (1, 1), (8, 1), ()])
def test_a_Y_that_would_broadcast_to_a_wrong_density_is_an_error(shape):
    (X, *_), Y = bnn.get_data(N=9), np.ones(shape)
    told = r"Y must have shape \(9, 1\), not"
    with pytest.raises(ValueError, match=told):
        log_density(bnn.model, (X, Y, 2), {}, {})
    if shape[:1] == (9,):
        with pytest.raises(ValueError, match=told):
            bnn.run_inference(bnn.model, jax.random.key(0), X, Y, 2, 4, 4)


def test_a_layer_is_the_matrix_product():
    rng = np.random.default_rng(5)
    # around the 4096 products up to which a layer is a sum of them
    for K, M, N in [(3, 5, 100), (1, 1, 4096), (1, 1, 4097), (20, 7, 99)]:
        w, z = rng.standard_normal((K, M)), rng.standard_normal((K, N))
        ours = bnn.linear(jnp.asarray(w), jnp.asarray(z))
        # float32: an error of an ulp of each of K products of order 1
        np.testing.assert_allclose(ours, w.T @ z, rtol=0, atol=K * 1e-6)


@pytest.mark.parametrize("N", [4, 4000])  # a sum, a matrix product
@pytest.mark.parametrize("K", [1, 2])  # one would broadcast
def test_weights_that_do_not_fit_the_inputs_are_an_error(N, K):
    with pytest.raises(ValueError, match=f"weights for 3 inputs .* got {K}"):
        bnn.linear(np.ones((3, 5)), np.ones((K, N)))


def test_f_is_the_network_and_without_Y_the_model_samples_it_with_the_right_moments():
    X, Y, *_ = bnn.get_data(N=4)
    S = 40_000
    p = random_parameters(np.random.default_rng(2), 3, 5)
    predictive = Predictive(bnn.model, repeated(p, S))
    sampled = predictive(jax.random.key(0), X, None, 5)
    given = predictive(jax.random.key(0), X, Y, 5)
    # tanh and three matrix products in float32; f is of order 1
    for f in sampled["f"], given["f"]:
        np.testing.assert_allclose(f - forward(X, p), 0, atol=1e-5)
    Y, sd = np.asarray(sampled["Y"]), p["prec_obs"] ** -0.5
    assert Y.shape == (S, 4, 1)
    # 5 standard errors: sd / sqrt(S) of a mean, sd^2 sqrt(2 / S) of a variance
    assert np.abs(Y.mean(axis=0) - forward(X, p)).max() < 5 * sd / S**0.5
    assert np.abs(Y.var(axis=0) - sd**2).max() < 5 * sd**2 * (2 / S) ** 0.5
