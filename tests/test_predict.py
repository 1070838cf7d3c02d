"""Does the vmapped prediction equal the network, plus noise that no draws share?"""

import matplotlib.pyplot as plt
import numpy as np
from helpers import edges, forward, predict_all, random_parameters, repeated

import bnn

X = bnn.get_data(N=40)[0]


def test_f_is_a_numpy_forward_pass_whatever_f_is_among_the_draws_and_Y_adds_the_noise():
    rng = np.random.default_rng(0)
    points = [random_parameters(rng, 3, 5) for _ in range(2000)]
    draws = {k: np.stack([p[k] for p in points])[None] for k in points[0]}
    f, Y = predict_all({**draws, "f": np.full((1, 2000, 100, 1), 1e6)}, X)
    expected = np.stack([forward(X, p) for p in points])
    np.testing.assert_allclose(f[0], expected, rtol=1e-5, atol=1e-5)  # float32, order 1
    noise = (Y[0] - expected) * draws["prec_obs"].reshape(-1, 1, 1) ** 0.5
    # 5 standard errors of the mean and the variance of n standard normals
    assert abs(noise.mean()) < 5 / noise.size**0.5
    assert abs(noise.var() - 1) < 5 * (2 / noise.size) ** 0.5


def test_all_chains_are_predicted_and_no_two_draws_chains_or_inputs_share_their_noise():
    p = random_parameters(np.random.default_rng(5), 3, 5)
    f, Y = predict_all(repeated(p, 3, 500), X)  # 3 chains of draws with the same f
    assert f.shape == Y.shape == (3, 500, 40, 1)
    np.testing.assert_allclose(f - forward(X, p), 0, atol=1e-5)  # float32, order 1
    assert len(np.unique(Y)) > 0.99 * Y.size  # float32 has rare ties
    noise = ((Y - f) * p["prec_obs"] ** 0.5)[..., 0]  # (3, 500, 40), standard normal
    # correlations of neighbours among draws, chains and inputs: 5 standard errors of 0
    for axis in range(3):
        along = np.moveaxis(noise, axis, 0)
        assert abs(np.mean(along[1:] * along[:-1])) < 5 / along[1:].size ** 0.5


def test_bands_hold_90_percent_at_each_x_lines_are_draws_mean_and_data():
    X, Y, X_test, f_test = bnn.get_data(N=7, N_test=4)
    u = np.linspace(0.0, 1.0, 1001) ** 2  # not symmetric: the mean is not the median
    f = u.reshape(7, 143, 1, 1) + f_test  # (7, 143, 4, 1)
    fig = bnn.plot(X, Y, X_test, f_test, f, 3.0 * f)
    observations, functions = fig.axes[0].collections
    for band, scale in [(observations, 3.0), (functions, 1.0)]:
        expected = scale * (np.array([[0.05], [0.95]]) ** 2 + f_test[:, 0])
        np.testing.assert_allclose(edges(band, X_test[:, 1]), expected, atol=1e-6)
    by_label = {line.get_label(): line.get_ydata() for line in fig.axes[0].lines}
    mean = f_test[:, 0] + u.mean()
    np.testing.assert_allclose(by_label["mean prediction"], mean, atol=1e-6)
    np.testing.assert_array_equal(by_label["training data"], Y[:, 0])
    thin = [x.get_ydata() for x in fig.axes[0].lines if x.get_linewidth() < 0.5]
    np.testing.assert_allclose([thin[0], thin[-1]], f[[0, -1], [0, -1], :, 0])
    plt.close(fig)
