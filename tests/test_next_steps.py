"""Does the code that the page gives for own data and models do as it says?"""

import functools
import inspect
import os
import re
import textwrap
from unittest import mock

import jax
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.special
import scipy.stats
from helpers import (
    RARE,
    SCRIPT,
    X_GOOD,
    assert_log_density,
    edges,
    forward,
    predict_all,
    run_few,
    years,
)
from numpyro.infer import Predictive
from scipy.special import expit

import bnn


def blocks_of_the_page():
    """The lines of each of its code blocks."""
    block = r"code-block:: python\n((?:#(?:    .*)?\n)+)"
    commented = re.findall(block, SCRIPT.read_text())
    indented = [re.sub("^#", "", lines, flags=re.M) for lines in commented]
    return [textwrap.dedent(lines) for lines in indented]


OWN_DATA, LOAD, PICTURE, CLASSES, TWO_CLASSES = blocks_of_the_page()
PAGE = " ".join(SCRIPT.read_text().replace("\n#", " ").split())


def between(start, end):
    """What the page says from some words to others."""
    _, after = PAGE.split(start)
    words, *_ = after.split(end)
    return words


OF_CLASSES = between("**Classes**:", "For two classes")
OF_TWO_CLASSES = between("For two classes, labels 0 and 1,", "A distribution of")
OF_COUNTS = between("**Counts** Y (N, 1)", "**Other unknowns**")


# A reader's own data
@pytest.fixture
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def frames(x, x_new, Y):
    """The names that the page's code begins with."""
    return {"x": pd.DataFrame(x), "x_new": pd.DataFrame(x_new), "Y": pd.DataFrame(Y)}


def test_own_data_are_fit_and_come_back_on_their_own_scale(
    in_an_empty_folder, monkeypatch
):
    x, Y = years()
    few = {"num_warmup": 200, "num_samples": 100, "progress_bar": False}
    few_draws = functools.partial(bnn.run_inference, **few)
    monkeypatch.setattr(bnn, "run_inference", few_draws)
    names = frames(x, x, Y)
    exec(OWN_DATA, names)

    f = names["f_new"]
    assert f.shape == (4, 100, 70, 1)
    residuals = f.mean(axis=(0, 1)) - Y
    assert 1 - residuals.var() / Y.var() > 0.9  # R^2; the noise leaves 0.98
    noise = names["Y_new"] - f
    assert 300 < noise.std() < 2000  # on the scale of Y, where it was made with 500
    assert abs(noise.mean()) < 5 * noise.std() / noise.size**0.5  # standard errors


class PriorAsPosterior:
    """In place of NumPyro's MCMC: draws of the prior, and what they were made for."""

    def __init__(self, model, rng_key, X, Y, D_H, num_chains=1):
        self.key = rng_key
        self.X, self.Y = bnn.check_data(X, Y)
        predictive = Predictive(model, num_samples=6, batch_ndims=1)
        sampled = predictive(jax.random.key(0), self.X, None, D_H)
        del sampled["Y"]
        self.draws = {}
        for name, values in sampled.items():
            self.draws[name] = np.stack([values] * num_chains)

    def get_samples(self, group_by_chain):
        return self.draws

    def get_extra_fields(self, group_by_chain):
        return {"diverging": np.zeros(self.draws["f"].shape[:2], bool)}


@pytest.fixture
def run_page(in_an_empty_folder, monkeypatch):
    """Return a function that runs the page's code on frames without sampling.

    It keeps the keys that the predictions were made with.
    """
    keys = []
    for_all_draws = bnn.for_all_draws

    def with_its_key_kept(function, rng_key, draws):
        keys.append(rng_key)
        return for_all_draws(function, rng_key, draws)

    monkeypatch.setattr(bnn, "run_inference", PriorAsPosterior)
    monkeypatch.setattr(bnn, "for_all_draws", with_its_key_kept)
    use_device = mock.Mock()
    monkeypatch.setattr(bnn, "use_device", use_device)

    def run(x, x_new, Y, code=OWN_DATA, **more):
        names = {"x": x, "x_new": x_new, "Y": Y, "keys": keys, **more}

        def called_first(device, num_chains):
            assert "key_inference" not in names  # a key starts JAX

        use_device.side_effect = called_first
        exec(code, names)
        use_device.side_effect = None
        use_device.assert_called_with("cpu", len(names["f_new"]))  # a device a chain
        return names

    return run


def mixed_frame(N=9):
    """A number, a boolean and a whole number, each on a scale of its own."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "temperature": rng.normal(300, 20, N),
            "night": np.arange(N) % 3 == 0,
            "visitors": rng.integers(1000, 9000, N),
        }
    )


def outputs(N=9):
    """Numbers far from standardised, (N, 1)."""
    return pd.DataFrame({"price": np.linspace(1e6, 3e6, N)})


def standardised(x_new, x):
    """The page's features in plain NumPy: scaled by x, after a column of ones."""
    old = np.asarray(x, float)
    scaled = (np.asarray(x_new, float) - old.mean(axis=0)) / old.std(axis=0)
    return np.insert(scaled, 0, 1, axis=1)


def f_of_draws(names, x_new, x):
    """f at the new inputs, as it is, of the first chain's draws."""
    X_new = standardised(x_new, x)
    draws = names["draws"]
    f = []
    for s in range(6):
        point = {name: draws[name][0, s] for name in ["w1", "w2", "w3"]}
        f.append(forward(X_new, point))
    return np.array(f)


def expected_f(names, x_new, x, Y):
    """The same on the scale of Y."""
    y = np.asarray(Y)
    return y.mean() + y.std() * f_of_draws(names, x_new, x)


def beyond(x):
    """New inputs far beyond those of training, and with less spread."""
    x_new = x[:5].copy()
    x_new["temperature"] = np.linspace(400, 410, 5)
    x_new["visitors"] = 20_000
    return x_new


NEW_INPUTS = {
    "the old ones": lambda x: x,
    "one row": lambda x: x[:1],
    "far beyond": beyond,
}


@pytest.mark.parametrize("choose", NEW_INPUTS.values(), ids=NEW_INPUTS)
def test_a_frame_of_numbers_booleans_and_whole_numbers_is_predicted_at_its_inputs(
    run_page, choose, capsys
):
    x = mixed_frame()
    x_new = choose(x)
    Y = outputs()
    names = run_page(x, x_new, Y)
    out = capsys.readouterr().out
    assert "standardise" not in out
    assert "What has to converge" in out
    assert out.endswith(f"{bnn.worst_r_hat_and_n_eff(names['f_new'])}\n")
    mcmc = names["mcmc"]
    np.testing.assert_allclose(mcmc.X, standardised(x, x), rtol=1e-5, atol=1e-6)
    assert abs(mcmc.Y.mean()) < 1e-6
    assert mcmc.Y.std() == pytest.approx(1)
    f = names["f_new"]
    assert f.shape == (4, 6, len(x_new), 1)
    expected = expected_f(names, x_new, x, Y)
    np.testing.assert_allclose(f[0], expected, rtol=1e-4)


def test_columns_of_new_inputs_in_another_order_are_predicted_alike(run_page):
    x = mixed_frame()
    ours = run_page(x, x, outputs())
    other_order = x[["visitors", "night", "temperature"]].assign(more=1.0)
    theirs = run_page(x, other_order, outputs())
    np.testing.assert_array_equal(ours["f_new"], theirs["f_new"])


def test_a_column_that_new_inputs_lack_is_told(run_page):
    x = mixed_frame()
    with pytest.raises(KeyError, match="night"):
        run_page(x, x.drop(columns="night"), outputs())
    # what took the time is kept
    assert set(os.listdir()) == {"draws.npz", "scale.npz"}


@pytest.mark.parametrize("unit, zero", [(1e-20, 0.0), (1e-9, 0.0), (1.0, 1e8)])
def test_inputs_in_tiny_units_or_far_from_0_are_predicted_alike(run_page, unit, zero):
    x = mixed_frame()
    other = zero + unit * x.astype(float)
    ours = run_page(x, x, outputs())
    theirs = run_page(other, other, outputs())
    np.testing.assert_allclose(ours["f_new"], theirs["f_new"], rtol=1e-3)


def test_a_gap_in_new_inputs_gives_nan_there_alone(run_page):
    x = mixed_frame()
    x_new = x.copy()
    x_new.loc[3, "temperature"] = np.nan
    names = run_page(x, x_new, outputs())
    is_nan = np.isnan(names["f_new"])  # (4, 6, 9, 1)
    assert np.all(is_nan[:, :, 3])
    assert np.sum(is_nan) == 4 * 6


def test_sampling_and_prediction_have_keys_of_their_own(run_page):
    x = mixed_frame()
    names = run_page(x, x, outputs())
    (of_prediction,) = names["keys"]
    of_sampling = names["mcmc"].key
    both = [jax.random.key_data(key) for key in (of_prediction, of_sampling)]
    assert not np.array_equal(*both)
    noise = names["Y_new"] - names["f_new"]
    assert len(np.unique(noise)) > 0.9 * noise.size


@pytest.mark.parametrize("columns", [["temperature", "night", "visitors"], [0, 1, 2]])
def test_a_later_process_loads_what_it_needs(run_page, columns):
    x = mixed_frame()
    x_new = beyond(x)
    x.columns = x_new.columns = columns
    names = run_page(x, x_new, outputs())
    assert "keep all before the line ``scale = ...``" in PAGE
    kept, _ = OWN_DATA.split("\nscale = ")
    later = {"x_new": x_new}
    exec(kept + LOAD, later)
    np.testing.assert_array_equal(later["f_new"], names["f_new"])


def two_missing(names):
    """A frame of pandas' whole numbers, of which the last column lacks two."""
    whole = pd.DataFrame({name: [1, 2, 5, 9] for name in names}, dtype="Int64")
    whole.loc[[1, 2], names[-1]] = pd.NA
    return whole


@pytest.mark.parametrize("columns", [["a"], ["a", "b"]])
def test_missing_whole_numbers_are_told_by_their_column(run_page, columns):
    x = two_missing(columns)
    told = rf"X must .*\[{len(columns)}\], from 0, in 2 row"  # column 0: the ones
    with pytest.raises(ValueError, match=told):
        run_page(x, x, outputs(4))


# the mean of equal numbers is not always that number, in 64 bits
@pytest.mark.parametrize("constant", [0.1, 0.3, 0.7, 1.1, 99.9, 101325.3, 1234567.8])
def test_a_constant_column_is_told_by_its_number(run_page, constant):
    x = mixed_frame(100)
    Y = outputs(100)
    with_constant = x.assign(temperature=constant)
    with pytest.raises(ValueError, match=r"X must .*\[1\], from 0, in 100 row"):
        run_page(with_constant, x, Y)
    with pytest.raises(ValueError, match=r"Y must .*\[0\], from 0, in 100 row"):
        run_page(x, x, Y.assign(price=constant))


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
def test_a_gap_in_a_column_of_any_type_is_told_by_its_number(run_page, gap):
    x = mixed_frame()
    temperatures = pd.Series(list(x["temperature"]), dtype=object)
    temperatures[3] = gap
    with pytest.raises(ValueError, match=r"X must .*\[1\], from 0, in 1 row"):
        run_page(x.assign(temperature=temperatures), x, outputs())


def test_missing_whole_numbers_in_Y_are_told(run_page):
    with pytest.raises(ValueError, match=r"Y must .*\[0\], from 0, in 2 row"):
        run_page(mixed_frame(4), mixed_frame(4), two_missing(["Y"]))


@pytest.mark.parametrize("name", ["temperature", "night", "visitors"])
def test_the_picture_over_one_of_several_inputs(run_page, name):
    x = mixed_frame()
    x.index = pd.DatetimeIndex(len(x) * ["2026-01-01"])  # labels that repeat
    Y = outputs()
    names = run_page(x, x, Y)
    plt.close("all")
    assert PICTURE.count("name = x.columns[0]") == 1
    exec(PICTURE.replace("x.columns[0]", repr(name)), names)
    (ax,) = plt.gcf().axes
    plt.close("all")
    grid = names["grid"]
    assert (grid[name].min(), grid[name].max()) == (x[name].min(), x[name].max())
    others = [other for other in x if other != name]
    assert np.all(grid[others] == x[others].iloc[0])

    by_label = {line.get_label(): line for line in ax.lines}
    data = by_label["training data"]
    np.testing.assert_array_equal(data.get_xdata(), x[name])
    np.testing.assert_array_equal(data.get_ydata(), Y["price"])
    f = expected_f(names, grid, x, Y)
    mean = by_label["mean prediction"]
    np.testing.assert_array_equal(mean.get_xdata(), grid[name])
    np.testing.assert_allclose(mean.get_ydata(), f[..., 0].mean(axis=0), rtol=1e-3)
    of_new, of_grid = [jax.random.key_data(key) for key in names["keys"]]
    assert not np.array_equal(of_new, of_grid)
    for band, values in zip(ax.collections, ["Y_grid", "f_grid"], strict=True):
        expected = np.quantile(names[values], [0.05, 0.95], axis=(0, 1, 3))
        found = edges(band, grid[name])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


# Other likelihoods
def copy_of_model(ending, *changes):
    """A copy of model with another ending, and with lines of it changed."""
    source = inspect.getsource(bnn.model)
    beginning, _ = source.split('    with numpyro.plate("data", N):')
    lines = [line for line in beginning.split("\n") if "prec_obs" not in line]
    copy = "\n".join(lines)
    for old, new in changes:
        assert copy.count(old) == 1
        copy = copy.replace(old, new)
    names = dict(vars(bnn))
    exec(copy + "\n" + textwrap.indent(ending, "    "), names)
    return names["model"]


POISSON = "dist.Poisson(m * jnp.exp(f)).to_event(1)"  # in the page's words
BERNOULLI = "dist.Bernoulli(logits=f).to_event(1)"
SHAPE, OLD_SHAPE = re.search(
    r"write (\S+) for (\(.*?\)) in both places of the check of Y", OF_CLASSES
).groups()
classes = copy_of_model(
    CLASSES,
    ("np.zeros((D_H, 1))", "np.zeros((D_H, 4))"),
    (f"Y.shape != {OLD_SHAPE}", f"Y.shape != {SHAPE}"),
    (f"shape {{{OLD_SHAPE}}}", f"shape {{{SHAPE}}}"),
)
two_classes = copy_of_model(TWO_CLASSES)
COUNTS = np.arange(9)[:, None] ** 2
MEAN_COUNT = COUNTS.mean()
counts = copy_of_model(
    TWO_CLASSES.replace(BERNOULLI, POISSON),
    ("N, D_X = X.shape", f"N, D_X = X.shape; m = {MEAN_COUNT}"),
)


def softmax(f):
    return scipy.special.softmax(f, axis=-1)


def rate(f):
    return MEAN_COUNT * np.exp(f)


def log_of_classes(f, Y):
    return np.log(softmax(f)[np.arange(len(Y)), Y])


def log_of_two_classes(f, Y):
    return scipy.stats.bernoulli.logpmf(Y, expit(f))


def log_of_counts(f, Y):
    return scipy.stats.poisson.logpmf(Y, rate(f))


LABELS = np.arange(9) % 4
LIKELIHOODS = {
    "classes": (classes, LABELS, 4, log_of_classes),
    "two classes": (two_classes, RARE, 1, log_of_two_classes),
    "two classes, unsigned": (two_classes, np.uint8(RARE), 1, log_of_two_classes),
    "counts": (counts, COUNTS, 1, log_of_counts),
}


def test_the_page_names_the_distribution_of_counts():
    assert f"as for two classes, but with ``{POISSON}``" in OF_COUNTS
    assert BERNOULLI in TWO_CLASSES
    m = re.search(r"where m is the mean count, ``(.*?)``", OF_COUNTS)[1]
    assert eval(m, {"scale": {"Y_mean": MEAN_COUNT, "Y_sd": 0.0}}) == MEAN_COUNT


# what the copies above change, in the page's words
CHANGES = [
    (OF_CLASSES, "give ``w3`` K columns, drop ``prec_obs`` and ``sigma_obs``"),
    (OF_TWO_CLASSES, "Keep ``w3`` and the check of Y"),
    (OF_TWO_CLASSES, "drop ``prec_obs`` and ``sigma_obs``"),
    (OF_COUNTS, "All is as for two classes"),
]


@pytest.mark.parametrize("prose, change", CHANGES)
def test_the_page_says_what_to_change_in_a_copy_of_model(prose, change):
    assert change in prose


WITHOUT_SCALE = {
    "classes": (OF_CLASSES, classes, LABELS),
    "two classes": (OF_TWO_CLASSES, two_classes, RARE),
    "counts": (OF_TWO_CLASSES, counts, COUNTS),
}


@pytest.mark.parametrize("prose, model, Y", WITHOUT_SCALE.values(), ids=WITHOUT_SCALE)
def test_labels_and_counts_are_not_scaled_nor_their_predictions(
    run_page, prose, model, Y
):
    (in_place_of_Z,) = re.findall(r"``([^`]+)``[^`]* takes the place of ``Z``", prose)
    code = OWN_DATA.replace("X, Z, D_H", f"X, {in_place_of_Z}, D_H")
    if "Delete the two lines that scale predictions back" in prose:
        scaled_back = r"^ +[fY] = scale.*\n"
        code, number = re.subn(scaled_back, "", code, flags=re.M)
        assert number == 2
    code = code.replace("bnn.model", "copy_of_model")
    x = mixed_frame()
    names = run_page(x, x, pd.DataFrame(Y), code, copy_of_model=model)
    np.testing.assert_array_equal(names["mcmc"].Y, Y)
    f = names["f_new"]
    np.testing.assert_allclose(f[0], f_of_draws(names, x, x), rtol=1e-4, atol=1e-5)
    assert names["Y_new"].dtype.kind == "i"


# Other priors
def test_the_page_says_which_gamma_has_the_precision_that_one_expects():
    words = r"a Gamma\(a, b\) whose mean (a . b) is the precision that you expect"
    mean = re.search(words + " for the standardised Y", PAGE)[1]
    assert eval(mean, {"a": 6.0, "b": 2.0}) == dist.Gamma(6.0, 2.0).mean


def spread_of_f(model, D_H):
    """The standard deviation of f before there are data."""
    predictive = Predictive(model, num_samples=1000, parallel=True)
    return float(np.std(predictive(jax.random.key(0), X_GOOD, None, D_H)["f"]))


def test_with_more_units_f_varies_no_more_if_weights_are_divided_as_the_page_says():
    words = r"divide ``w2`` and ``w3`` by the root of their number of (\w+), after"
    axis = ["rows", "columns"].index(re.search(words, PAGE)[1])
    names = dict(vars(bnn))
    source = inspect.getsource(bnn.model)
    for w in ["w2", "w3"]:
        sampled = rf"(    {w} = numpyro.sample.*\n)"
        divided = rf"\1    {w} = {w} / {w}.shape[{axis}] ** 0.5\n"
        source, number = re.subn(sampled, divided, source)
        assert number == 1
    exec(source, names)
    few, many = [spread_of_f(names["model"], D_H) for D_H in [5, 100]]
    # of 1000 networks: standard errors of 2 %
    assert many == pytest.approx(few, rel=0.2)
    assert spread_of_f(bnn.model, 100) > 3 * spread_of_f(bnn.model, 5)


def test_with_many_inputs_the_biases_stay_as_they_are():
    assert "do the same with all rows of ``w1`` but the first, the bias" in PAGE
    inputs = scipy.stats.norm(scale=21**0.5)  # of a unit: a bias and 20 inputs
    assert 2 * inputs.sf(np.arctanh(0.95)) == pytest.approx(2 / 3, abs=0.05)
    assert "two thirds of the outputs" in PAGE


# what to average over the draws, and what it is of f (C, S, N, K)
AVERAGED = {
    "classes": (r"The mean of ``([^`]+)`` over the draws gives the", softmax),
    "two classes": (r"The probability of 1 is the mean of ``([^`]+)``", expit),
    "counts": (r"The rate is the mean of ``([^`]+)``", rate),
}


@pytest.mark.parametrize("words, expected", AVERAGED.values(), ids=AVERAGED)
def test_the_page_says_what_to_average_over_the_draws(words, expected):
    f = np.random.default_rng(0).standard_normal((2, 6, 5, 4))
    (expression,) = re.findall(words, PAGE)
    found = eval(expression, {"jax": jax, "jnp": jax.numpy, "m": MEAN_COUNT, "f": f})
    np.testing.assert_allclose(found, expected(f), rtol=1e-5)


def test_the_picture_shows_the_same():
    in_the_picture = re.findall(r"``plot`` takes ``([^`]+)``", PAGE)
    averages = [re.search(words, PAGE)[1] for words, _ in AVERAGED.values()]
    _, *of_one_output = averages
    assert in_the_picture == [text.replace("(f)", "(f_grid)") for text in of_one_output]


def test_labels_of_classes_come_from_a_frame_but_not_from_one_with_gaps():
    labels = re.search(r"``(Y\.iloc[^`]+)``", PAGE)[1]
    whole = pd.DataFrame({"kind": [0.0, 2.0, 1.0]})
    assert eval(labels, {"Y": whole}).tolist() == [0, 2, 1]
    for wrong in [np.nan, 1.7]:
        Y = pd.DataFrame({"kind": [0.0, wrong, 1.0]})
        with pytest.raises((TypeError, ValueError)):
            eval(labels, {"Y": Y})


@pytest.mark.parametrize(
    "model, Y, num_columns, log_likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS
)
def test_the_log_density_is_that_of_scipy(model, Y, num_columns, log_likelihood):
    rng = np.random.default_rng(0)
    for _ in range(3):
        point = {
            "w1": rng.standard_normal((2, 3)),
            "w2": rng.standard_normal((3, 3)),
            "w3": rng.standard_normal((3, num_columns)),
        }
        prior = sum(scipy.stats.norm.logpdf(w).sum() for w in point.values())
        f = forward(X_GOOD, point)
        expected = prior + log_likelihood(f, Y).sum()
        assert_log_density(expected, X_GOOD, Y, point, 3, model=model)


@pytest.mark.parametrize(
    "model, Y, num_columns", [(classes, LABELS, 4), (two_classes, np.uint8(RARE), 1)]
)
def test_such_models_are_sampled_judged_and_predicted(model, Y, num_columns, capsys):
    mcmc = run_few(model, Y=Y)
    bnn.print_convergence(mcmc)
    out = capsys.readouterr().out
    assert "standardise" not in out
    assert "Not judged: w1, w2, w3" in out
    draws = mcmc.get_samples(group_by_chain=True)
    f, Y_new = predict_all(draws, X_GOOD[:5], 2, model)
    assert f.shape == (1, 6, 5, num_columns)
    assert np.all(np.isfinite(f))
    assert Y_new.shape == (1, 6, 5, *Y.shape[1:])
    assert Y_new.dtype.kind == "i"
    assert np.all(Y_new >= 0)


@pytest.mark.parametrize("model", [two_classes, counts])
def test_the_other_shape_of_Y_is_told(model):
    with pytest.raises(ValueError, match=r"Y must have shape \(9, 1\)"):
        run_few(model, Y=LABELS)


def test_a_column_of_labels_is_told():
    with pytest.raises(ValueError, match=r"Y must have shape \(9,\)"):
        run_few(classes, Y=LABELS[:, None])


WRONG_LABELS = {
    "classes from 1": (classes, LABELS + 1),
    "classes from -1": (classes, LABELS - 1),
    "two classes, -1 and 1": (two_classes, 2 * RARE - 1),
    "two classes, 1 and 2": (two_classes, RARE + 1),
    "two classes, 0 and 0.5": (two_classes, RARE / 2),
    "negative counts": (counts, COUNTS - 1),
    "counts with a fraction": (counts, COUNTS + 0.5),
}


@pytest.mark.parametrize("model, Y", WRONG_LABELS.values(), ids=WRONG_LABELS)
def test_labels_and_counts_that_cannot_be_are_told_before_sampling(
    model, Y, monkeypatch
):
    monkeypatch.delattr(bnn, "MCMC")
    with pytest.raises(ValueError, match="Y must be in the support"):
        run_few(model, Y=Y)
