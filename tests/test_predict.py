"""Does the vmapped prediction equal the network, plus noise that no draws share?"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from conftest import edges
from test_model import forward, random_parameters

import bnn

S = 2000


def predictions(site="Y", same_weights=False, keys=None):
    """Predictions (S, 4, 1) from S random draws at 4 inputs, and the draws."""
    rng = np.random.default_rng(0)
    X = bnn.get_data(N=4)[0]
    points = [random_parameters(rng, 3, 5) for _ in range(1 if same_weights else S)]
    points = points * S if same_weights else points
    draws = {k: jnp.asarray(np.stack([p[k] for p in points])) for k in points[0]}
    keys = jax.random.split(jax.random.key(1), S) if keys is None else keys

    @jax.jit
    @jax.vmap
    def all_draws(key, draw):
        return bnn.predict(bnn.model, key, draw, X, 5)

    return np.asarray(all_draws(keys, draws)[site == "Y"]), points, X


def test_f_equals_a_numpy_forward_pass_for_every_draw():
    f, points, X = predictions(site="f")
    expected = np.stack([forward(X, p) for p in points])
    np.testing.assert_allclose(f, expected, rtol=1e-5, atol=1e-5)  # float32, order 1


def test_Y_is_the_forward_pass_plus_noise_of_variance_one_over_prec_obs():
    Y, points, X = predictions()
    sd = np.array([p["prec_obs"] for p in points])[:, None, None] ** -0.5
    noise = (Y - np.stack([forward(X, p) for p in points])) / sd  # standard normal
    # 5 standard errors of the mean and the variance of n standard normals
    assert abs(noise.mean()) < 5 / noise.size**0.5
    assert abs(noise.var() - 1) < 5 * (2 / noise.size) ** 0.5


def test_no_two_draws_share_their_noise():
    Y = predictions(same_weights=True)[0][..., 0]
    assert len(np.unique(Y)) > 0.99 * Y.size  # float32 has rare ties
    # the correlation of neighbouring draws' noise: 0 within 5 standard errors
    noise = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 5 / noise.size**0.5


def test_training_values_of_f_among_the_draws_do_not_reach_the_prediction():
    rng = np.random.default_rng(4)
    p = {k: jnp.asarray(v) for k, v in random_parameters(rng, 3, 5).items()}
    X = bnn.get_data(N=4)[0]
    p["f"] = jnp.full((100, 1), 1e6)
    f, _ = bnn.predict(bnn.model, jax.random.key(0), p, X, 5)
    np.testing.assert_allclose(f, forward(X, p), rtol=1e-5, atol=1e-5)


def test_all_chains_are_predicted_each_draw_with_its_own_noise():
    rng = np.random.default_rng(5)
    X = bnn.get_data(N=4)[0]
    p = random_parameters(rng, 3, 5)
    shape = (3, 500)  # chains, draws: all with the same weights, and so the same f
    draws = {k: np.broadcast_to(v, (*shape, *np.shape(v))) for k, v in p.items()}
    f, Y = bnn.for_all_draws(
        lambda key, draw: bnn.predict(bnn.model, key, draw, X, 5),
        jax.random.key(1),
        draws,
    )
    assert f.shape == Y.shape == (*shape, 4, 1)
    np.testing.assert_allclose(f - forward(X, p), 0, atol=1e-5)  # float32, order 1
    noise = ((Y - f) * p["prec_obs"] ** 0.5)[..., 0]  # (3, 500, 4), standard normal
    # correlations of neighbours among draws, chains and inputs: 5 standard errors of 0
    for axis in range(3):
        along = np.moveaxis(noise, axis, 0)
        assert abs(np.mean(along[1:] * along[:-1])) < 5 / along[1:].size ** 0.5


def test_the_bands_hold_90_percent_of_the_draws_at_each_x_and_the_line_is_their_mean():
    X, Y, X_test, f_test = bnn.get_data(N=7, N_test=4)
    f = np.linspace(0.0, 1.0, 1001).reshape(7, 143, 1, 1) + f_test  # (7, 143, 4, 1)
    fig = bnn.plot(X, Y, X_test, f_test, f, 3.0 * f)
    observations, functions = fig.axes[0].collections
    for band, scale in [(observations, 3.0), (functions, 1.0)]:
        expected = scale * (np.array([[0.05], [0.95]]) + f_test[:, 0])
        found = edges(band, X_test[:, 1])
        np.testing.assert_allclose(found, expected, atol=1e-6)
    mean = {line.get_label(): line for line in fig.axes[0].lines}["mean prediction"]
    np.testing.assert_allclose(mean.get_ydata(), f_test[:, 0] + 0.5, atol=1e-6)
    plt.close(fig)
