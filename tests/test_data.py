"""Are the data the recipe's, to the last digit?"""

import numpy as np
import pytest

import bnn


def recipe(N, D_X, sigma_obs, N_test):
    """The recipe of the data, written out anew, one number at a time, in float64."""
    rng = np.random.RandomState(0)
    W = [0.5 * rng.randn() for _ in range(D_X)]
    noise = [sigma_obs * rng.randn() for _ in range(N)]
    x = [-1 + 2 * n / (N - 1) for n in range(N)]
    x_test = [-1.3 + 2.6 * n / (N_test - 1) for n in range(N_test)]
    Y = [
        sum(W[d] * x[n] ** d for d in range(D_X))
        + 0.5 * (0.5 + x[n]) ** 2 * np.sin(4 * x[n])
        + noise[n]
        for n in range(N)
    ]
    mean = sum(Y) / N
    sd = (sum((y - mean) ** 2 for y in Y) / N) ** 0.5
    X = [[x_n**d for d in range(D_X)] for x_n in x]
    X_test = [[x_n**d for d in range(D_X)] for x_n in x_test]
    f_test = [
        sum(W[d] * z**d for d in range(D_X)) + 0.5 * (0.5 + z) ** 2 * np.sin(4 * z)
        for z in x_test
    ]
    return (
        np.array(X),
        np.array([[(y - mean) / sd] for y in Y]),
        np.array(X_test),
        np.array([[(f - mean) / sd] for f in f_test]),
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},  # 100 points, 3 features and 500 test inputs
        {"N": 2, "D_X": 1, "sigma_obs": 0.5, "N_test": 3},
        {"N": 37, "D_X": 5, "sigma_obs": 0.0, "N_test": 10},
    ],
)
def test_data_follow_the_recipe_to_float32_rounding(settings):
    expected = recipe(
        **{"N": 100, "D_X": 3, "sigma_obs": 0.05, "N_test": 500, **settings}
    )
    for ours, theirs in zip(bnn.get_data(**settings), expected, strict=True):
        assert ours.shape == theirs.shape
        # float32 keeps 24 bits; the numbers are of order 1
        np.testing.assert_allclose(ours, theirs, rtol=2**-23, atol=2**-23)


def test_data_leave_numpys_global_random_state_alone():
    np.random.seed(7)
    before = np.random.get_state()
    bnn.get_data()
    after = np.random.get_state()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
