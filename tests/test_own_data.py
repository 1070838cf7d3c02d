"""Do the pieces take the data and the models that people have, and refuse the rest?"""

import functools
import pickle
import re
import textwrap

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from conftest import ROOT
from numpyro.infer import MCMC, NUTS, Predictive, log_likelihood

import bnn

FEW = dict(num_warmup=4, num_samples=6, progress_bar=False)
KEY = jax.random.key(0)


def data(N=9):
    """A column of ones and an input of order 1, X (N, 2); a standardised Y (N, 1)."""
    x = np.linspace(-1, 1, N)[:, None]
    Y = x**3 - x
    return np.hstack([np.ones((N, 1)), x]), (Y - Y.mean()) / Y.std()


@functools.cache
def small_run(num_chains=2):
    """A run of bnn.model, for tests that only read it."""
    return bnn.run_inference(bnn.model, KEY, *data(), 2, num_chains=num_chains, **FEW)


def draws_of(X, Y, num_chains=1):
    mcmc = bnn.run_inference(bnn.model, KEY, X, Y, 2, num_chains=num_chains, **FEW)
    return mcmc.get_samples(group_by_chain=True)


def predictions(model, draws, X, D_H=2):
    at_X = lambda key, draw: bnn.predict(model, key, draw, X, D_H)  # noqa: E731
    return bnn.for_all_draws(at_X, jax.random.key(1), draws)


# Arrays

KINDS = {
    "data frames": pd.DataFrame,
    "lists": lambda a: a.tolist(),
    "dtype object": lambda a: a.astype(object),
    "float64 in Fortran's order": np.asfortranarray,
    "of JAX": jnp.asarray,
    "masked, but nowhere": np.ma.asarray,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_other_kinds_of_arrays_are_the_same_data(kind):
    X, Y = data()
    for ours, theirs in zip((X, Y), bnn.check_data(kind(X), kind(Y)), strict=True):
        np.testing.assert_array_equal(np.float32(ours), theirs)


def test_data_frames_are_sampled_predicted_and_drawn_as_arrays():
    X, Y = data()
    ours = small_run().get_samples(group_by_chain=True)
    theirs = draws_of(pd.DataFrame(X), pd.DataFrame(Y), num_chains=2)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    expected = predictions(bnn.model, ours, X)
    for kind in [pd.DataFrame, np.ndarray.tolist]:
        found = predictions(bnn.model, ours, kind(X))
        np.testing.assert_array_equal(expected, found)
    bnn.plot(*map(pd.DataFrame, (X, Y, X, Y)), *expected)
    plt.close()


def test_whole_numbers_are_data():
    X, Y = np.array([[1, -1], [1, 0], [1, 1]]), np.array([[-1], [0], [1]])
    assert draws_of(X, Y)["f"].shape == (1, 6, 3, 1)


X_GOOD, Y_GOOD = data()
MASK = Y_GOOD > 1
BAD = {
    "NaN in X": (np.where(X_GOOD == 0, np.nan, X_GOOD), Y_GOOD, "X must hold finite"),
    "infinity in Y": (X_GOOD, np.where(MASK, np.inf, Y_GOOD), "Y must hold finite"),
    "words": (X_GOOD, [["a"]] * 9, "Y must hold finite numbers: could not convert"),
    "None": ([[1, None]] * 9, Y_GOOD, "X must hold finite numbers"),
    "rows of two lengths": ([[1, 2], [1]], Y_GOOD, "X must hold finite numbers"),
    "X without a second axis": (X_GOOD[:, 1], Y_GOOD, r"X must be \(N, D_X\).* \(9,\)"),
    "no data": (X_GOOD[:0], Y_GOOD[:0], r"X must be \(N, D_X\).* \(0, 2\)"),
    "one number as Y": (X_GOOD, 1.0, r"not \(9, 2\) and \(\)"),
    "fewer Y than X": (X_GOOD, Y_GOOD[:8], r"not \(9, 2\) and \(8, 1\)"),
    "a mask in Y": (X_GOOD, np.ma.array(Y_GOOD, mask=MASK), "Y must hold.*masked"),
    "a mask in X": (np.ma.masked_less(X_GOOD, 0), Y_GOOD, "X must hold.*masked"),
    "masked rows": (X_GOOD, list(np.ma.array(Y_GOOD, mask=MASK)), "Y must.*masked"),
    "beyond 32 bits": (X_GOOD, np.full((9, 1), 2**31), "Y must hold.*beyond int32"),
}


@pytest.mark.parametrize("X, Y, told", BAD.values(), ids=BAD.keys())
def test_an_array_that_cannot_be_data_is_told_by_its_name(X, Y, told):
    with pytest.raises(ValueError, match=told):
        bnn.run_inference(bnn.model, KEY, X, Y, 2, **FEW)


# What fits badly without any other sign


def years():
    """Observations in units of their own, and their x (70, 1) and Y (70, 1)."""
    x = np.arange(1950.0, 2020.0)[:, None]
    noise = 500 * np.random.default_rng(0).standard_normal(x.shape)
    return x, 20000 + 5000 * np.sin((x - 1985) / 10) + noise


def test_data_far_from_order_1_are_told(capsys):
    x, Y = years()
    bnn.check_data(np.hstack([np.ones((70, 1)), x]), Y)
    (note,) = capsys.readouterr().out.splitlines()
    assert "X reaches 2.02e+03" in note and "standardise" in note
    assert f"Y is {Y.mean():.3g} +- {Y.std():.3g}" in note
    X, Y = data()
    for X_told, Y_told in [(11 * X, Y), (X, Y + 1.1), (X, 3.1 * Y), (X, 0.3 * Y)]:
        bnn.check_data(X_told, Y_told)
        assert "standardise" in capsys.readouterr().out
    for X_fine, Y_fine in [(9 * X, Y), (X, Y + 0.9), (X, 2.9 * Y), (X, 0.4 * Y)]:
        bnn.check_data(X_fine, Y_fine)
        assert "Note" not in capsys.readouterr().out


def test_rare_or_large_whole_numbers_are_not_to_be_standardised(capsys):
    X = data()[0]
    for Y in [np.eye(9, 1, dtype=int), np.eye(9, 1) > 0, np.arange(9) * 1000]:
        _, found = bnn.check_data(X, Y)
        assert (
            found.dtype.kind == Y.dtype.kind and "Note" not in capsys.readouterr().out
        )
    bnn.check_data((1000 * X).astype(int), Y)  # inputs are
    assert "standardise" in capsys.readouterr().out


@pytest.mark.parametrize("column", [None, 0.0])
def test_a_missing_column_of_ones_is_told(capsys, column):
    X, Y = data()
    X = X[:, 1:] if column is None else np.where(X == 1, column, X)
    bnn.check_data(X, Y)
    assert "Note: X has no column of ones" in capsys.readouterr().out
    bnn.check_data(
        np.hstack([X, np.full((9, 1), 0.5)]), Y
    )  # any other constant will do
    assert "Note" not in capsys.readouterr().out


# Other models


def network(X, D_H, outputs):
    """The function f (N, outputs) of a network with one hidden layer."""
    w1 = numpyro.sample("w1", dist.Normal(np.zeros((X.shape[1], D_H)), 1.0))
    w2 = numpyro.sample("w2", dist.Normal(np.zeros((D_H, outputs)), 1.0))
    f = bnn.linear(w2, jnp.tanh(bnn.linear(w1, X.T))).T
    return numpyro.deterministic("f", f)


def two_classes(X, Y, D_H):
    f = network(X, D_H, 1)
    with numpyro.plate("data", len(X)):
        numpyro.sample("Y", dist.Bernoulli(logits=f).to_event(1), obs=Y)


def four_classes(X, Y, D_H):
    f = network(X, D_H, 4)
    with numpyro.plate("data", len(X)):
        numpyro.sample("Y", dist.Categorical(logits=f), obs=Y)


def counts(X, Y, D_H):
    f = network(X, D_H, 1)
    with numpyro.plate("data", len(X)):
        numpyro.sample("Y", dist.Poisson(jnp.exp(f)).to_event(1), obs=Y)


def two_outputs_with_heavy_tails(X, Y, D_H):
    f = network(X, D_H, 2)
    scales = numpyro.sample("scales", dist.HalfNormal(np.ones(2)).to_event(1))
    with numpyro.plate("data", len(X)):
        numpyro.sample("Y", dist.StudentT(4.0, f, scales).to_event(1), obs=Y)


def with_a_factor(X, Y, D_H):
    bnn.model(X, Y, D_H)
    numpyro.factor("what else is known", -1.0)


def with_a_pair_of_widths(X, Y, D_H):
    bnn.model(X, Y, sum(D_H))


RARE = np.eye(9, 1, dtype=int)
OTHER = {
    "two classes": (two_classes, RARE, 2),
    "booleans": (two_classes, RARE == 1, 2),
    "four classes": (four_classes, np.arange(9) % 4, 2),
    "counts": (counts, 3 * RARE, 2),
    "two outputs": (two_outputs_with_heavy_tails, np.hstack([Y_GOOD, Y_GOOD]), 2),
    "a factor": (with_a_factor, Y_GOOD, 2),
    "other widths": (with_a_pair_of_widths, Y_GOOD, (1, 1)),
}


@pytest.mark.parametrize("model, Y, D_H", OTHER.values(), ids=OTHER.keys())
def test_another_model_is_sampled_diagnosed_and_predicted(model, Y, D_H, capsys):
    mcmc = bnn.run_inference(model, KEY, X_GOOD, Y, D_H, num_chains=2, **FEW)
    found = bnn.print_convergence(mcmc)
    assert set(found) == {"r_hat", "n_eff", "divergences"}
    out = capsys.readouterr().out
    assert (
        "standardise" not in out and f"Number of divergences: {found['divergences']}\n"
    )
    draws = mcmc.get_samples(group_by_chain=True)
    f, Y_new = predictions(model, draws, X_GOOD[:5], D_H)
    assert f.shape == (2, 6, 5, *draws["f"].shape[3:]) and np.all(np.isfinite(f))
    assert Y_new.shape == (2, 6, 5, *np.shape(Y)[1:])


def test_plain_nuts_samples_a_model_that_cannot_start_compiled(monkeypatch):
    def model(X, Y, D_H):
        bnn.model(X * numpyro.param("scale", jnp.ones(2)), Y, D_H)

    with pytest.raises(jax.errors.UnexpectedTracerError):  # as the docstring says
        bnn.run_inference(model, KEY, *data(), 2, **FEW)
    monkeypatch.setattr(bnn, "CompiledNUTS", NUTS)
    mcmc = bnn.run_inference(model, KEY, *data(), 2, **FEW)
    assert mcmc.get_samples()["f"].shape == (6, 9, 1)


def test_draws_of_the_prior_are_predicted_with_new_observations():
    X = np.linspace(-1, 1, 500)[:, None] ** np.arange(2)
    draws = Predictive(bnn.model, num_samples=6)(KEY, data()[0], None, 2)
    assert draws["Y"].shape == (6, 9, 1)
    f, Y = predictions(bnn.model, {k: v[None] for k, v in draws.items()}, X)
    assert f.shape == Y.shape == (1, 6, 500, 1)
    again = predictions(bnn.model, {k: v[None] for k, v in draws.items()}, data()[0])
    np.testing.assert_allclose(again[0][0], draws["f"], rtol=1e-4, atol=1e-4)
    assert not np.any(again[1][0] == draws["Y"])


def test_a_model_without_a_finite_density_is_an_error():
    def model(X, Y, D_H):
        numpyro.sample("w1", dist.Normal(0.0, 1.0))
        numpyro.factor("nowhere", jnp.nan)

    for num_chains in [1, 4, 6]:
        with pytest.raises(RuntimeError, match="no point of finite density"):
            bnn.run_inference(model, KEY, *data(), 2, num_chains=num_chains, **FEW)


# Draws, inputs and pictures that are not what a function needs


def test_draws_that_are_not_grouped_by_chain_are_told():
    with pytest.raises(ValueError, match=r"get_samples\(group_by_chain=True\)"):
        predictions(bnn.model, small_run().get_samples(), X_GOOD)
    with pytest.raises(ValueError, match=r"get_samples\(group_by_chain=True\)"):
        bnn.for_all_draws(lambda key, draw: draw, KEY, {"prec_obs": np.ones(6)})


def test_draws_without_a_scalar_among_them_and_from_a_file_are_predicted(tmp_path):
    draws = jax.device_get(small_run().get_samples(group_by_chain=True))
    np.savez(tmp_path / "draws.npz", **draws)
    ours = predictions(bnn.model, draws, X_GOOD)
    np.testing.assert_array_equal(
        ours, predictions(bnn.model, np.load(tmp_path / "draws.npz"), X_GOOD)
    )
    del draws["prec_obs"]
    squares = bnn.for_all_draws(lambda key, draw: draw["w2"] ** 2, KEY, draws)
    np.testing.assert_allclose(squares, draws["w2"] ** 2, rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 3])
def test_inputs_of_other_columns_than_the_weights_are_told(columns):
    X = np.ones((5, columns))
    with pytest.raises(ValueError, match=f"for 2 .* got {columns}"):
        predictions(bnn.model, small_run().get_samples(group_by_chain=True), X)


def test_too_few_draws_and_other_sites_are_told_before_anything_is_printed(capsys):
    mcmc = MCMC(NUTS(bnn.model), num_warmup=2, num_samples=3, progress_bar=False)
    mcmc.run(KEY, *data(), 2)
    with pytest.raises(ValueError, match="4 or more of each chain"):
        bnn.print_convergence(mcmc)
    mcmc = MCMC(NUTS(lambda: numpyro.sample("theta", dist.Normal())), **FEW)
    mcmc.run(KEY)
    with pytest.raises(ValueError, match="f or prec_obs"):
        bnn.print_convergence(mcmc)
    assert capsys.readouterr().out == ""


def test_a_picture_of_what_cannot_be_drawn_over_x_is_told():
    X, Y = data()
    f = np.zeros((1, 6, 9, 1))
    with pytest.raises(ValueError, match=r"column 1 of X \(9, 1\)"):
        bnn.plot(X[:, :1], Y, X[:, :1], Y, f, f)
    for shape in [(1, 6, 9, 4), (1, 6, 8, 1), (6, 9, 1)]:
        with pytest.raises(ValueError, match="outputs"):
            bnn.plot(X, Y, X, Y, np.zeros(shape), np.zeros(shape))
    assert plt.get_fignums() == []


def test_without_a_true_curve_the_rest_is_drawn_and_the_legend_does_not_name_it():
    X, Y = data()
    f = np.random.default_rng(0).standard_normal((1, 20, 9, 1))
    labels = []
    for truth in [Y, None]:
        (ax,) = bnn.plot(X, Y, X, truth, f, f).axes
        labels.append([text.get_text() for text in ax.get_legend().get_texts()])
        plt.close()
    assert set(labels[0]) - set(labels[1]) == {"true function"}
    assert len(labels[1]) == 6


STYLES = ["default", "seaborn-v0_8-notebook", "seaborn-v0_8-poster", "dark_background"]


@pytest.mark.parametrize("style", STYLES)
def test_everything_is_visible_under_the_readers_style(style):
    X, Y = data()
    f = np.random.default_rng(0).standard_normal((1, 20, 9, 1))
    with plt.style.context(style):
        fig = bnn.plot(X, Y, X, Y, f, f)
        (ax,) = fig.axes
        paper = plt.matplotlib.colors.to_rgb(ax.get_facecolor())
        for line in ax.lines:
            contrast = np.subtract(
                plt.matplotlib.colors.to_rgb(line.get_color()), paper
            )
            assert np.abs(contrast).max() > 0.4
            assert line.get_linewidth() > 0
            assert line.get_markeredgewidth() > 0 or line.get_marker() == "None"
        # in LaTeX, which text.usetex calls, a % begins a comment
        texts = [*ax.get_legend().get_texts(), ax.title, ax.xaxis.label, ax.yaxis.label]
        assert not any("%" in text.get_text() for text in texts)
        plt.close(fig)


def test_many_data_do_not_hide_the_mean():
    def size(N):
        X, Y, X_test, f_test = bnn.get_data(N=N, N_test=5)
        axes = bnn.plot(X, Y, X_test, f_test, *2 * [np.zeros((1, 20, 5, 1))]).axes[0]
        plt.close()
        (crosses,) = [x for x in axes.lines if x.get_label() == "training data"]
        return crosses.get_markersize()

    assert size(100) == 5 and size(1000) < 2


# What the page promises to those with data of their own


def test_the_pages_own_data_fit_and_come_back_on_their_own_scale(tmp_path, monkeypatch):
    x, Y = years()
    monkeypatch.chdir(tmp_path)
    few = dict(num_warmup=300, num_samples=300, progress_bar=False)
    run = functools.partial(bnn.run_inference, **few)
    monkeypatch.setattr(bnn, "run_inference", run)
    names = {"x": pd.DataFrame(x), "x_new": pd.DataFrame(x), "Y": pd.DataFrame(Y)}
    source = (ROOT / "bnn.py").read_text()
    (code,) = re.findall(r"code-block:: python\n((?:#(?:    .*)?\n)+)", source)
    exec(textwrap.dedent(re.sub("^#", "", code, flags=re.M)), names)
    mean = names["f"].mean(axis=(0, 1))
    assert 1 - (mean - Y).var() / Y.var() > 0.9  # R^2; the noise leaves 0.98
    noise = (names["Y_new"] - names["f"]).std()
    assert 300 < noise < 2000  # on the scale of Y, where it was made with 500
    with np.load("draws.npz") as saved, np.load("scale.npz") as scale:
        X = np.insert((x - scale["m"]) / scale["s"], 0, 1, axis=1)
        f, _ = predictions(bnn.model, saved, X, 5)
        again = scale["mean"] + scale["sd"] * f
    np.testing.assert_allclose(again, names["f"], rtol=1e-4)


# What other tools do with the MCMC object


@pytest.mark.parametrize("num_chains", [1, 6])  # with a method of NumPyro, with ours
def test_the_mcmc_object_can_be_pickled_and_goes_on_where_it_was(num_chains, capsys):
    mcmc = bnn.run_inference(bnn.model, KEY, *data(), 2, num_chains=num_chains, **FEW)
    copy = pickle.loads(pickle.dumps(mcmc))
    before = mcmc.get_samples()["f"]
    np.testing.assert_array_equal(before, copy.get_samples()["f"])
    continued = []
    for each in [mcmc, copy]:
        each.post_warmup_state = each.last_state
        each.run(each.post_warmup_state.rng_key, *data(), 2)
        continued.append(each.get_samples()["f"])
    assert continued[0].shape == before.shape
    assert not np.array_equal(continued[0], before)
    np.testing.assert_allclose(*continued, rtol=1e-4, atol=1e-4)  # as compiled anew
    bnn.print_convergence(mcmc)  # without num_steps
    out = capsys.readouterr().out
    assert "Number of divergences" in out and "1023" not in out


def test_numpyros_predictive_and_log_likelihood_take_the_draws():
    draws = small_run().get_samples()
    new = Predictive(bnn.model, {k: v for k, v in draws.items() if k != "f"})
    assert new(KEY, X_GOOD[:4], None, 2)["Y"].shape == (12, 4, 1)
    assert log_likelihood(bnn.model, draws, *data(), 2)["Y"].shape == (12, 9)


def test_it_runs_under_other_settings_of_jax(run_script):
    flags = "-n 8 --num-warmup 4 --num-data 7".split()
    others = ["JAX_ENABLE_X64=1", "JAX_DEBUG_NANS=1", "JAX_DEFAULT_PRNG_IMPL=rbg"]
    result = run_script(*flags, env=[setting.split("=") for setting in others])
    assert (result.returncode, result.stderr) == (0, "")
