"""Does check_data take the arrays that people have, and tell what cannot be data?"""

import functools

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from helpers import INPUT, RARE, X_GOOD, Y_GOOD, run_few, years

import bnn

KINDS = {
    "data frame": pd.DataFrame,
    "lists": np.ndarray.tolist,
    "columns first": np.asfortranarray,
    "JAX": jnp.asarray,
    "masked, without a mask": np.ma.asarray,
    "objects": functools.partial(np.asarray, dtype=object),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_other_kinds_of_arrays_are_taken(kind):
    X, Y = bnn.check_data(kind(X_GOOD), kind(Y_GOOD))
    np.testing.assert_array_equal(np.float32(X_GOOD), X)
    np.testing.assert_array_equal(np.float32(Y_GOOD), Y)


MASKED = np.ma.masked_greater(Y_GOOD, 1)
INFINITE = np.where(Y_GOOD > 1, np.inf, Y_GOOD)
NOT_A_NUMBER = np.where(X_GOOD == 0, np.nan, X_GOOD)
BAD = {
    "NaN in X": (NOT_A_NUMBER, Y_GOOD, "X must hold finite"),
    "infinity in Y": (X_GOOD, INFINITE, "Y must hold finite"),
    "words": (X_GOOD, [["a"]] * 9, "Y must hold finite numbers: could not convert"),
    "None": ([[1, None]] * 9, Y_GOOD, "X must hold finite numbers"),
    "rows of two lengths": ([[1, 2], [1]], Y_GOOD, "X must hold finite numbers"),
    "X without a second axis": (X_GOOD[:, 1], Y_GOOD, r"X must be \(N, D_X\).* \(9,\)"),
    "no data": (X_GOOD[:0], Y_GOOD[:0], r"X must be \(N, D_X\).* \(0, 2\)"),
    "one number as Y": (X_GOOD, 1.0, r"not \(9, 2\) and \(\)"),
    "fewer Y than X": (X_GOOD, Y_GOOD[:8], r"not \(9, 2\) and \(8, 1\)"),
    "a mask in Y": (X_GOOD, MASKED, "Y must hold.*masked"),
    "a mask in X": (np.ma.masked_less(X_GOOD, 0), Y_GOOD, "X must hold.*masked"),
    "masked rows": (X_GOOD, list(MASKED), "Y must.*masked"),
    "beyond 32 bits": (X_GOOD, np.full((9, 1), 2**31), "Y must hold.*beyond int32"),
}


@pytest.mark.parametrize("X, Y, told", BAD.values(), ids=BAD)
def test_an_array_that_cannot_be_data_is_told_by_its_name(X, Y, told):
    with pytest.raises(ValueError, match=told):
        run_few(X=X, Y=Y)


@pytest.fixture
def note(capsys):
    """Return a function that gives what check_data prints."""

    def printed(X, Y):
        bnn.check_data(X, Y)
        return capsys.readouterr().out

    return printed


def test_data_in_units_of_their_own_are_told_once_with_their_sizes(note):
    x, Y = years()
    ones = np.ones(x.shape)
    told = note(np.hstack([ones, x]), Y)
    assert "X reaches 2.02e+03" in told
    assert f"Y is {Y.mean():.3g} +- {Y.std():.3g}: standardise" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("a, b, c", [(11, 1, 0), (1, 1, 1.1), (1, 3.1, 0), (1, 0.3, 0)])
def test_data_far_from_standardised_are_told(note, a, b, c):
    assert "standardise" in note(a * X_GOOD, b * Y_GOOD + c)


@pytest.mark.parametrize("a, b, c", [(9, 1, 0), (1, 1, 0.9), (1, 2.9, 0), (1, 0.4, 0)])
def test_data_nearly_standardised_are_not(note, a, b, c):
    assert note(a * X_GOOD, b * Y_GOOD + c) == ""


@pytest.mark.parametrize("Y", [RARE, RARE > 0, np.arange(9) * 1000])
def test_labels_and_counts_need_no_scale_and_stay_whole(note, Y):
    assert note(X_GOOD, Y) == ""
    _, checked = bnn.check_data(X_GOOD, Y)
    assert checked.dtype.kind == Y.dtype.kind


def test_whole_inputs_are_inputs_as_others(note):
    X = 1000 * X_GOOD.astype(int)
    assert "standardise" in note(X, RARE)
    checked, _ = bnn.check_data(X, RARE)
    assert checked.dtype.kind == "f"


@pytest.mark.parametrize("X", [INPUT, np.hstack([np.zeros((9, 1)), INPUT])])
def test_X_without_a_constant_column_is_told(note, X):
    assert "Note: X has no column of ones" in note(X, Y_GOOD)
    halves = np.full((9, 1), 0.5)  # any other constant will do
    assert note(np.hstack([X, halves]), Y_GOOD) == ""
