"""Does the picture show what it says, in any style, and refuse what it cannot draw?"""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import INPUT, RARE, X_GOOD, Y_GOOD, edges
from matplotlib.colors import to_rgb

import bnn

CURVES = np.random.default_rng(0).standard_normal((1, 20, 9, 1))
STYLES = ["default", "dark_background", "fivethirtyeight", "seaborn-v0_8"]
STYLES += ["seaborn-v0_8-notebook", "seaborn-v0_8-poster"]


@pytest.fixture(autouse=True)
def no_figure_is_open():
    plt.close("all")


def axes_of(*arguments):
    """The axes of bnn.plot."""
    fig = bnn.plot(*arguments)
    plt.close(fig)
    (ax,) = fig.axes
    return ax


def line_of(ax, label):
    """The one line with this label."""
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


@pytest.fixture(scope="module")
def skewed():
    """Data, draws of f whose mean is not their median, and the picture of both."""
    X, Y, X_test, f_test = bnn.get_data(N=7, N_test=4)
    u = np.linspace(0.0, 1.0, 1001) ** 2
    f = u.reshape(7, 143, 1, 1) + f_test  # (7, 143, 4, 1)
    return Y, X_test, f_test, f, axes_of(X, Y, X_test, f_test, f, 3.0 * f)


def test_bands_hold_90_percent_at_each_x(skewed):
    _, X_test, f_test, _, ax = skewed
    low = f_test[:, 0] + 0.05**2
    high = f_test[:, 0] + 0.95**2
    observations, functions = ax.collections
    x = X_test[:, 1]
    np.testing.assert_allclose(edges(functions, x), [low, high], atol=1e-6)
    of_Y = [3 * low, 3 * high]
    np.testing.assert_allclose(edges(observations, x), of_Y, atol=1e-6)


def test_lines_are_draws_mean_and_data(skewed):
    Y, _, _, f, ax = skewed
    mean = f[..., 0].mean(axis=(0, 1))
    drawn = line_of(ax, "mean prediction").get_ydata()
    np.testing.assert_allclose(drawn, mean, atol=1e-6)
    data = line_of(ax, "training data").get_ydata()
    np.testing.assert_array_equal(data, Y[:, 0])
    thin = [line.get_ydata() for line in ax.lines if line.get_linewidth() < 0.5]
    np.testing.assert_allclose(thin[0], f[0, 0, :, 0])
    np.testing.assert_allclose(thin[-1], f[-1, -1, :, 0])


@pytest.mark.parametrize("kind", [float, bool, object])
def test_data_frames_are_drawn_also_with_columns_of_two_types(kind):
    X = pd.DataFrame({"ones": np.ones(9, kind), "x": X_GOOD[:, 1]})
    Y = pd.DataFrame(Y_GOOD)
    axes_of(X, Y, X, Y, CURVES, CURVES)


def test_probabilities_computed_by_jax_are_drawn():
    probabilities = jax.nn.sigmoid(CURVES)
    ax = axes_of(X_GOOD, RARE, X_GOOD, None, probabilities, probabilities)
    mean = np.mean(probabilities, axis=(0, 1, 3))
    drawn = line_of(ax, "mean prediction").get_ydata()
    np.testing.assert_allclose(drawn, mean, rtol=1e-6)


def test_data_and_truth_may_lack_a_second_axis():
    y = Y_GOOD[:, 0]
    ax = axes_of(X_GOOD, y, X_GOOD, 2 * y, CURVES, CURVES)
    np.testing.assert_array_equal(line_of(ax, "training data").get_ydata(), y)
    np.testing.assert_array_equal(line_of(ax, "true function").get_ydata(), 2 * y)


def assert_is_told(told, *arguments):
    """The picture is refused, and no empty one is left open."""
    with pytest.raises(ValueError, match=told):
        bnn.plot(*arguments)
    assert plt.get_fignums() == []


def test_X_without_column_1_is_told():
    told = r"column 1 to plot over, not shape \(9, 1\)"
    assert_is_told(told, INPUT, Y_GOOD, INPUT, Y_GOOD, CURVES, CURVES)


WRONG = {
    "several outputs": np.zeros((1, 20, 9, 4)),
    "no column of outputs": CURVES[..., 0],
    "other inputs": CURVES[:, :, :8],
    "one input": CURVES[:, :, :1],
    "no chains": CURVES[0],
    "other draws": CURVES[:, :19],
    "other chains": np.vstack([CURVES, CURVES]),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_predictions_that_cannot_be_drawn_over_x_are_told(wrong):
    told = "f_draws and Y_draws must have shape"
    data = X_GOOD, Y_GOOD, X_GOOD, Y_GOOD
    assert_is_told(told, *data, CURVES, wrong)
    assert_is_told(told, *data, wrong, CURVES)


def test_several_outputs_in_both_are_told():
    both = np.zeros((1, 20, 9, 4))
    told = r"must have shape \(1, 20, 9, 1\), not \(1, 20, 9, 4\)"
    assert_is_told(told, X_GOOD, Y_GOOD, X_GOOD, Y_GOOD, both, both)


@pytest.mark.parametrize("order", [slice(None, None, -1), [0, 2, 1, *range(3, 9)]])
def test_inputs_that_are_not_sorted_are_told(order):
    told = "X_test must be sorted by its column 1"
    assert_is_told(told, X_GOOD, Y_GOOD, X_GOOD[order], Y_GOOD, CURVES, CURVES)


# their differences would wrap
@pytest.mark.parametrize("kind, x", [(np.uint8, [60, 20, 40]), (np.bool_, [1, 0, 1])])
def test_small_whole_numbers_that_are_not_sorted_are_told(kind, x):
    X_test = np.array([[1, 1, 1], x], kind).T
    curves = CURVES[:, :, :3]
    assert_is_told("sorted", X_GOOD, Y_GOOD, X_test, None, curves, curves)


def test_small_whole_numbers_that_are_sorted_are_drawn():
    X_test = np.array([[1, -100], [1, 100]], np.int8)
    curves = CURVES[:, :, :2]
    axes_of(X_GOOD, Y_GOOD, X_test, None, curves, curves)


def test_data_may_come_in_any_order_and_inputs_repeat():
    X_test = np.repeat(X_GOOD[:5], 2, axis=0)[:9]
    axes_of(X_GOOD[::-1], Y_GOOD, X_test, None, CURVES, CURVES)


def test_uneven_inputs_and_unsorted_data_are_drawn_at_their_x():
    order = [4, 0, 8, 2, 6, 1, 3, 5, 7]
    X_test = X_GOOD.copy()
    X_test[:, 1] **= 3
    data = X_GOOD[order], Y_GOOD[order]
    ax = axes_of(*data, X_test, Y_GOOD, CURVES, CURVES)
    ends = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in ends] == [-1, 1]
    for line in ax.lines:
        if line in ends:
            continue
        is_data = line.get_label() == "training data"
        expected = X_GOOD[order, 1] if is_data else X_test[:, 1]
        np.testing.assert_array_equal(line.get_xdata(), expected)


def test_the_mean_of_many_draws_far_from_0_is_exact():
    f = np.full((1, 100_000, 9, 1), 20000.1, np.float32)
    ax = axes_of(X_GOOD, Y_GOOD, X_GOOD, None, f, f)
    drawn = line_of(ax, "mean prediction").get_ydata()
    np.testing.assert_allclose(drawn, f[0, 0, 0, 0], rtol=1e-6)


def test_a_gap_in_the_inputs_is_told():
    X_test = X_GOOD.copy()
    X_test[4, 1] = np.nan
    assert_is_told("sorted", X_GOOD, Y_GOOD, X_test, None, CURVES, CURVES)


def test_a_gap_in_predictions_is_a_gap_in_the_picture():
    f = CURVES.copy()
    f[:, :, 4] = np.nan
    ax = axes_of(X_GOOD, Y_GOOD, X_GOOD, None, f, f)
    drawn = line_of(ax, "mean prediction").get_ydata()
    assert np.flatnonzero(np.isnan(drawn)).tolist() == [4]


def test_bands_far_from_0_are_exact():
    f = 2460000.5 + 0.1 * CURVES
    ax = axes_of(X_GOOD, Y_GOOD, X_GOOD, None, f, f)
    expected = np.quantile(f, [0.05, 0.95], axis=(0, 1, 3))
    _, narrow = ax.collections
    np.testing.assert_allclose(edges(narrow, X_GOOD[:, 1]), expected, rtol=0, atol=1e-4)


def texts_of(ax):
    """All words in the picture but the ticks."""
    texts = [ax.title, ax.xaxis.label, ax.yaxis.label]
    texts += ax.get_legend().get_texts()
    return [text.get_text() for text in texts]


def test_no_truth_is_no_curve():
    without = texts_of(axes_of(X_GOOD, Y_GOOD, X_GOOD, None, CURVES, CURVES))
    texts = texts_of(axes_of(X_GOOD, Y_GOOD, X_GOOD, Y_GOOD, CURVES, CURVES))
    assert set(texts) - set(without) == {"true function"}
    assert len(without) == 3 + 6
    assert "%" not in "".join(texts)  # in LaTeX, text.usetex, it begins a comment


@pytest.mark.parametrize("style", STYLES)
def test_all_lines_and_bands_are_visible_under_the_readers_style(style):
    with plt.style.context(style):
        ax = axes_of(X_GOOD, Y_GOOD, X_GOOD, Y_GOOD, CURVES, CURVES)
    paper = to_rgb(ax.get_facecolor())
    for line in ax.lines:
        contrast = np.subtract(to_rgb(line.get_color()), paper)
        assert np.abs(contrast).max() > 0.4
        assert line.get_linewidth() > 0
        if line.get_marker() != "None":
            assert line.get_markeredgewidth() > 0
    wide, narrow = [band.get_facecolor()[0][3] for band in ax.collections]
    assert 0.1 < wide < narrow < 0.5  # their opacity: the narrow one is darker
    draws, mean, truth = [
        to_rgb(line_of(ax, label).get_color())
        for label in ["draws of f", "mean prediction", "true function"]
    ]
    for other in [mean, truth]:
        assert np.abs(np.subtract(other, draws)).max() > 0.4


def size_of_crosses(N):
    """The size of the marks for N training data."""
    X, Y, X_test, f_test = bnn.get_data(N=N, N_test=9)
    ax = axes_of(X, Y, X_test, f_test, CURVES, CURVES)
    return line_of(ax, "training data").get_markersize()


@pytest.mark.parametrize(
    "scales", [[1000, 1000, 1000], [9, 1, 1], [1, 9, 1], [1, 1, 9]]
)
def test_data_truth_and_bands_are_within_the_picture_on_any_scale(scales):
    of_data, of_truth, of_curves = scales
    Y = of_data * Y_GOOD
    truth = of_truth * Y_GOOD
    curves = of_curves * CURVES
    bottom, top = axes_of(X_GOOD, Y, X_GOOD, truth, curves, curves).get_ylim()
    assert bottom < min(Y.min(), truth.min(), np.quantile(curves, 0.05))
    assert top > max(Y.max(), truth.max(), np.quantile(curves, 0.95))


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_data_and_test_inputs_are_within_the_picture_whichever_go_farther(factor):
    X_test = X_GOOD * [1, factor]
    ax = axes_of(X_GOOD, Y_GOOD, X_test, None, CURVES, CURVES)
    left, right = ax.get_xlim()
    assert left <= min(-1, -factor)
    assert right >= max(1, factor)
    if factor > 1:
        assert (left, right) == (-factor, factor)  # bands from edge to edge


def test_a_users_open_figures_and_earlier_pictures_stay():
    plt.figure("mine")
    earlier = bnn.plot(X_GOOD, Y_GOOD, X_GOOD, Y_GOOD, CURVES, CURVES)
    later = bnn.plot(X_GOOD, -Y_GOOD, X_GOOD, None, CURVES, CURVES)
    assert len(plt.get_fignums()) == 3
    assert plt.fignum_exists("mine")
    for fig, Y in [(earlier, Y_GOOD), (later, -Y_GOOD)]:
        data = line_of(fig.axes[0], "training data").get_ydata()
        np.testing.assert_array_equal(data, Y[:, 0])


def test_data_lie_above_the_bands_and_under_mean_and_truth():
    ax = axes_of(X_GOOD, Y_GOOD, X_GOOD, Y_GOOD, CURVES, CURVES)
    bottom_up = sorted([*ax.collections, *ax.lines], key=lambda drawn: drawn.zorder)
    labels = [drawn.get_label() for drawn in bottom_up]
    wanted = ["90 percent of f", "training data", "draws of f", "mean prediction"]
    wanted += ["true function"]
    assert [label for label in labels if label in wanted] == wanted


def test_many_data_do_not_hide_the_bands():
    assert size_of_crosses(100) == 5
    assert size_of_crosses(1000) < 2
    assert 0.4 < size_of_crosses(10_000) < 1  # they can be seen
