"""Are the data the recipe's, to the last digit?"""

import numpy as np
import pytest

import bnn


def recipe(N=100, D_X=3, sigma_obs=0.05, N_test=500):
    """The recipe of the data, written out anew, one number at a time, in float64."""
    rng = np.random.RandomState(0)
    W = [0.5 * rng.randn() for _ in range(D_X)]
    noise = [sigma_obs * rng.randn() for _ in range(N)]

    def features(x):
        return [x**power for power in range(D_X)]

    def curve(x):
        parabola = 0
        for weight, feature in zip(W, features(x), strict=True):
            parabola += weight * feature
        return parabola + 0.5 * (0.5 + x) ** 2 * np.sin(4 * x)

    x = [-1 + 2 * n / (N - 1) for n in range(N)]
    Y = [curve(x[n]) + noise[n] for n in range(N)]
    mean = sum(Y) / N
    variance = sum((y - mean) ** 2 for y in Y) / N

    def standardised(y):
        return [(y - mean) / variance**0.5]

    steps = max(1, N_test - 1)
    x_test = [-1.3 + 2.6 * n / steps for n in range(N_test)]
    return (
        [features(z) for z in x],
        [standardised(y) for y in Y],
        [features(z) for z in x_test],
        [standardised(curve(z)) for z in x_test],
    )


SETTINGS = [
    {},
    {"N": 2, "D_X": 1, "sigma_obs": 0.5, "N_test": 3},
    {"N_test": 1},
    {"N": np.int64(31), "N_test": np.int64(5)},
    {"N": 37, "D_X": 5, "sigma_obs": 0.0, "N_test": 10},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_data_follow_the_recipe_and_leave_numpys_global_random_state_alone(settings):
    _, before, *_ = np.random.get_state()
    before = before.copy()
    found = bnn.get_data(**settings)
    _, after, *_ = np.random.get_state()
    assert np.array_equal(before, after)
    for ours, theirs in zip(found, recipe(**settings), strict=True):
        assert ours.shape == np.shape(theirs)
        # float32 keeps 24 bits; the numbers are of order 1
        np.testing.assert_allclose(ours, theirs, rtol=2**-23, atol=2**-23)


def test_sizes_by_position_are_data_inputs_noise_and_test_inputs():
    by_name = bnn.get_data(N=7, D_X=2, sigma_obs=0.1, N_test=4)
    for ours, theirs in zip(bnn.get_data(7, 2, 0.1, 4), by_name, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_a_caller_does_to_the_data_is_not_there_in_the_next():
    for array in bnn.get_data():
        array[:] = 9
    for array in bnn.get_data():
        assert np.all(np.abs(array) < 9)
