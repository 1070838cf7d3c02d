"""Are the data the recipe's, to the last digit?"""

import numpy as np
import pytest

import bnn


def recipe(N=100, D_X=3, sigma_obs=0.05, N_test=500):
    """The recipe of the data, written out anew, one number at a time, in float64."""
    rng = np.random.RandomState(0)
    W = [0.5 * rng.randn() for _ in range(D_X)]
    noise = [sigma_obs * rng.randn() for _ in range(N)]

    def curve(x):
        parabola = sum(W[d] * x**d for d in range(D_X))
        return parabola + 0.5 * (0.5 + x) ** 2 * np.sin(4 * x)

    x = [-1 + 2 * n / (N - 1) for n in range(N)]
    x_test = [-1.3 + 2.6 * n / (N_test - 1) for n in range(N_test)]
    Y = [curve(x[n]) + noise[n] for n in range(N)]
    mean = sum(Y) / N
    sd = (sum((y - mean) ** 2 for y in Y) / N) ** 0.5
    X, X_test = ([[z**d for d in range(D_X)] for z in grid] for grid in (x, x_test))
    f_test = [[(curve(z) - mean) / sd] for z in x_test]
    return map(np.array, (X, [[(y - mean) / sd] for y in Y], X_test, f_test))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"N": 2, "D_X": 1, "sigma_obs": 0.5, "N_test": 3},
        {"N": 37, "D_X": 5, "sigma_obs": 0.0, "N_test": 10},
    ],
)
def test_data_follow_the_recipe_and_leave_numpys_global_random_state_alone(settings):
    before = np.random.get_state()[1].copy()
    found = bnn.get_data(**settings)
    assert np.array_equal(np.random.get_state()[1], before)
    for ours, theirs in zip(found, recipe(**settings), strict=True):
        assert ours.shape == theirs.shape
        # float32 keeps 24 bits; the numbers are of order 1
        np.testing.assert_allclose(ours, theirs, rtol=2**-23, atol=2**-23)
