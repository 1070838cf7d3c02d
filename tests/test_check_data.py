"""Does check_data take the arrays that people have, and tell what cannot be data?"""

import functools

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from helpers import (
    FAR,
    INPUT,
    NEAR,
    RARE,
    X_GOOD,
    Y_GOOD,
    between_good,
    column,
    run_few,
    years,
)

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


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 2), (9, 2, 3)])
def test_Y_may_have_any_number_of_axes(shape):
    _, Y = bnn.check_data(X_GOOD, np.ones(shape))
    assert Y.shape == shape


MASKED = np.ma.masked_greater(Y_GOOD, 1)
INFINITE = np.where(Y_GOOD > 1, np.inf, Y_GOOD)
NOT_A_NUMBER = np.where(X_GOOD == 0, np.nan, X_GOOD)
BAD = {
    "NaN in X": (NOT_A_NUMBER, Y_GOOD, "X must hold finite"),
    "infinity in Y": (X_GOOD, INFINITE, "Y must hold finite"),
    "words": (X_GOOD, [["a"]] * 9, "Y must hold finite numbers: could not convert"),
    "pandas' missing values": ([[1, pd.NA]] * 9, Y_GOOD, "X must hold finite numbers"),
    "gaps in labels": (
        X_GOOD,
        [0.0, np.nan] + 6 * [1.0] + [np.nan],
        r"Y.*\[0\].* 2 row",
    ),
    "dates": (
        np.full((9, 2), np.datetime64("2026-01-01")),
        Y_GOOD,
        "X must hold finite numbers: not datetime64",
    ),
    "complex numbers": (X_GOOD, Y_GOOD + 0j, "Y must hold finite.*complex"),
    "a number beyond floats": (X_GOOD, [[10**400]] * 9, "Y must hold finite numbers"),
    "a third axis": (np.ones((9, 2, 2)), Y_GOOD, r"\(N, D_X\).* \(9, 2, 2\)"),
    "None": ([[1, None]] * 9, Y_GOOD, "X must hold finite"),
    "rows of two lengths": ([[1, 2], [1]], Y_GOOD, "X must hold finite numbers"),
    "X without a second axis": (X_GOOD[:, 1], Y_GOOD, r"X must be \(N, D_X\).* \(9,\)"),
    "no data": (X_GOOD[:0], Y_GOOD[:0], r"X must be \(N, D_X\).* \(0, 2\)"),
    "no columns": (X_GOOD[:, :0], Y_GOOD, r"X must be \(N, D_X\).* \(9, 0\)"),
    "NaN alone as Y": (X_GOOD, np.nan, "Y must hold finite"),
    "one number as Y": (X_GOOD, 1.0, r"not \(9, 2\) and \(\)"),
    "fewer X than Y": (X_GOOD[:8], Y_GOOD, r"not \(8, 2\) and \(9, 1\)"),
    "fewer Y than X": (X_GOOD, Y_GOOD[:8], r"not \(9, 2\) and \(8, 1\)"),
    "a mask in Y": (X_GOOD, MASKED, "Y must hold.*masked"),
    "a mask in X": (np.ma.masked_less(X_GOOD, 0), Y_GOOD, "X must hold.*masked"),
    "masked rows": (X_GOOD, list(MASKED), "Y must.*masked"),
    "beyond 32 bits": (X_GOOD, np.full((9, 1), 2**31), "Y must hold finite int32"),
}


@pytest.mark.parametrize("X, Y, told", BAD.values(), ids=BAD)
def test_an_array_that_cannot_be_data_is_told_by_its_name(X, Y, told):
    with pytest.raises(ValueError, match=told):
        run_few(X=X, Y=Y)


def with_values(value):
    """Numbers (9, 4) with the value at three places, in two columns and two rows."""
    array = np.ma.zeros((9, 4), dtype=np.asarray(value).dtype)
    array[2, 1] = value
    array[2, 3] = value
    array[7, 3] = value
    return array


PLACES = [np.nan, np.inf, -np.inf, np.ma.masked, 1e40]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", PLACES, ids=str)
def test_the_columns_and_the_number_of_rows_are_told(value):
    array = with_values(value)
    where = r"must hold finite .*\[1 3\], from 0, in 2 row"
    with pytest.raises(ValueError, match="X " + where):
        bnn.check_data(array, Y_GOOD)
    with pytest.raises(ValueError, match="Y " + where):
        bnn.check_data(X_GOOD, array)


def test_the_place_of_masked_labels_is_told():
    labels = np.ma.zeros((9, 4), dtype=int)
    labels[2:4, 1] = np.ma.masked
    with pytest.raises(ValueError, match=r"Y must .*\[1\], from 0, in 2 row"):
        bnn.check_data(X_GOOD, labels)


@pytest.mark.parametrize("gap", [np.datetime64("NaT", "s"), np.timedelta64("NaT", "s")])
def test_dates_and_times_with_gaps_are_told(gap):
    X = np.full((9, 1), gap)
    with pytest.raises(ValueError, match="X must hold finite numbers: not"):
        bnn.check_data(X, Y_GOOD)
    with pytest.raises(ValueError, match="Y must hold finite numbers: not"):
        bnn.check_data(X_GOOD, X)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**40])
def test_the_place_of_whole_numbers_beyond_32_bits_is_told(value):
    array = with_values(value)
    with pytest.raises(ValueError, match=r"Y must .*\[1 3\], from 0, in 2 row"):
        bnn.check_data(X_GOOD, array)


@pytest.fixture
def note(capsys):
    """Return a function that gives what check_data prints."""

    def printed(X, Y):
        bnn.check_data(X, Y)
        return capsys.readouterr().out

    return printed


def test_inputs_in_units_of_their_own_are_told(note):
    x, Y = years()
    told = note(np.insert(x, 0, 1, axis=1), Y)
    assert told.startswith("Note: standardise X")
    assert "column(s) [1], from 0" in told


@pytest.mark.parametrize("mean, sd", [*FAR, (0, 0.09)])
def test_the_column_of_X_that_is_far_from_standardised_is_told(note, mean, sd):
    told = note(between_good(column(mean, sd)), column(0, 1))
    assert told.startswith("Note: standardise X")
    assert "column(s) [2], from 0" in told
    assert told.count("Note") == 1


@pytest.mark.parametrize("mean, sd", [*NEAR, (0, 0.11)])
def test_a_column_of_X_that_is_nearly_standardised_is_not(note, mean, sd):
    assert note(between_good(column(mean, sd)), column(0, 1)) == ""


def test_inputs_that_are_all_negative_are_told(note):
    X = np.linspace(-2000, -1, 9)[:, None]
    assert "standardise X" in note(np.insert(X, 0, 1, axis=1), Y_GOOD)


RARELY = np.zeros((200, 1))
RARELY[0] = 1  # its standard deviation is 0.07
ONES = np.ones((200, 1))
OFTEN = ONES - RARELY
NO_SCALE = {
    "ones": ONES,
    "zeros": 0 * ONES,
    "0 and 1, rarely 1": RARELY,
    "0 and 1, rarely 0": OFTEN,
    "booleans": RARELY > 0,
}


@pytest.mark.parametrize("values", NO_SCALE.values(), ids=NO_SCALE)
def test_constants_and_labels_need_no_scale(note, values):
    good = np.resize([-1.0, 1.0], (200, 1))
    assert note(np.hstack([ONES, values, good]), good) == ""


# of data that are sorted, the first thousands may be far from the rest
def test_all_rows_are_judged(note):
    X = np.ones((20_000, 2))
    X[:, 1] = np.linspace(-1, 1, 20_000)
    assert note(X, X) == ""
    X[-5000:, 1] += 10
    assert "standardise X" in note(X, X)


def test_two_other_values_than_0_and_1_have_a_scale(note):
    assert "standardise X" in note(np.hstack([ONES, -RARELY]), ONES)


@pytest.mark.parametrize("N", [100, 20_000])
@pytest.mark.parametrize("D_X", [1, 2, 3, 4, 5])
def test_of_the_scripts_own_data_nothing_is_told(note, D_X, N):
    X, Y, *_ = bnn.get_data(N, D_X)
    assert note(X, Y) == ""


KINDS_OF_LABELS = [bool, np.int8, np.uint8, np.int64, np.uint16]


@pytest.mark.parametrize("kind", KINDS_OF_LABELS)
def test_labels_need_no_scale_and_stay_whole(note, kind):
    Y = RARE.astype(kind)
    assert note(X_GOOD, Y) == ""
    _, checked = bnn.check_data(X_GOOD, Y)
    assert checked.dtype.kind == Y.dtype.kind
    np.testing.assert_array_equal(checked, Y)


def test_whole_inputs_are_inputs_as_others(note):
    X = 1000 * X_GOOD.astype(int)
    assert "standardise" in note(X, RARE)
    checked, _ = bnn.check_data(X, RARE)
    assert checked.dtype.kind == "f"


WITHOUT_ONES = [
    INPUT,
    np.hstack([np.zeros((9, 1)), INPUT]),
    np.hstack([1e5 + 0.4 * INPUT, INPUT]),
]


@pytest.mark.parametrize("X", WITHOUT_ONES)
def test_X_without_a_constant_column_is_told(note, X):
    assert "Note: X has no column of ones" in note(X, Y_GOOD)


@pytest.mark.parametrize("constant", [0.1, 0.3, -1, -0.7])
def test_any_constant_but_0_will_do(note, constant):
    values = np.resize([-1.0, 1.0], (100, 1))
    X = np.insert(values, 1, constant, axis=1)
    assert note(X, values) == ""
