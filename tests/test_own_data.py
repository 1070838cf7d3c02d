"""Do the pieces take the data and the models that people have, and refuse the rest?"""

import functools
import pickle
import re
import textwrap
from unittest import mock

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from helpers import ROOT, SMOKE
from matplotlib.colors import to_rgb
from numpyro.infer import MCMC, NUTS, Predictive, log_likelihood

import bnn

FEW = dict(num_warmup=4, num_samples=6, progress_bar=False)
KEY = jax.random.key(0)
# a column of ones and an input of order 1, X (9, 2); a standardised Y (9, 1)
INPUT = np.linspace(-1, 1, 9)[:, None]
X_GOOD = np.hstack([np.ones((9, 1)), INPUT])
Y_GOOD = (INPUT**3 - INPUT) / np.std(INPUT**3 - INPUT)
RARE = np.eye(9, 1, dtype=int)
CURVES = np.random.default_rng(0).standard_normal((1, 20, 9, 1))
STYLES = ["default", "seaborn-v0_8-notebook", "seaborn-v0_8-poster", "dark_background"]


def run(model=bnn.model, X=X_GOOD, Y=Y_GOOD, D_H=2, num_chains=1):
    return bnn.run_inference(model, KEY, X, Y, D_H, num_chains=num_chains, **FEW)


# a run of bnn.model for tests that only read it
small_run = functools.cache(lambda: run(num_chains=2))


def predictions(draws, X, model=bnn.model, D_H=2):
    at_X = lambda key, draw: bnn.predict(model, key, draw, X, D_H)  # noqa: E731
    return bnn.for_all_draws(at_X, jax.random.key(1), draws)


def test_other_kinds_of_arrays_are_checked_sampled_predicted_and_drawn_alike():
    kinds = [pd.DataFrame, np.ndarray.tolist, np.asfortranarray, jnp.asarray]
    for kind in [*kinds, np.ma.asarray, functools.partial(np.asarray, dtype=object)]:
        X, Y = bnn.check_data(kind(X_GOOD), kind(Y_GOOD))
        np.testing.assert_array_equal(np.float32(X_GOOD), X)
        np.testing.assert_array_equal(np.float32(Y_GOOD), Y)
    X, Y = pd.DataFrame(X_GOOD), pd.DataFrame(Y_GOOD)
    ours = small_run().get_samples(group_by_chain=True)
    theirs = run(X=X, Y=Y, num_chains=2).get_samples(group_by_chain=True)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    expected = predictions(ours, X_GOOD)
    for X_new in [X, X_GOOD.tolist()]:
        np.testing.assert_array_equal(expected, predictions(ours, X_new))
    bnn.plot(X, Y, X, Y, *expected)
    plt.close()


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


@pytest.mark.parametrize("X, Y, told", BAD.values(), ids=BAD)
def test_an_array_that_cannot_be_data_is_told_by_its_name(X, Y, told):
    with pytest.raises(ValueError, match=told):
        run(X=X, Y=Y)


def years():
    """Observations in units of their own, and their x (70, 1) and Y (70, 1)."""
    x = np.arange(1950.0, 2020.0)[:, None]
    noise = 500 * np.random.default_rng(0).standard_normal(x.shape)
    return x, 20000 + 5000 * np.sin((x - 1985) / 10) + noise


def test_data_that_fit_badly_are_told_and_no_other(capsys):
    def note(X, Y):
        bnn.check_data(X, Y)
        return capsys.readouterr().out

    x, Y = years()
    told = note(np.hstack([np.ones((70, 1)), x]), Y)
    assert "X reaches 2.02e+03" in told and told.count("\n") == 1
    assert f"Y is {Y.mean():.3g} +- {Y.std():.3g}: standardise" in told
    for a, b, c in [(11, 1, 0), (1, 1, 1.1), (1, 3.1, 0), (1, 0.3, 0)]:
        assert "standardise" in note(a * X_GOOD, b * Y_GOOD + c)
    for a, b, c in [(9, 1, 0), (1, 1, 0.9), (1, 2.9, 0), (1, 0.4, 0)]:
        assert note(a * X_GOOD, b * Y_GOOD + c) == ""
    for Y in [RARE, RARE > 0, np.arange(9) * 1000]:  # labels, counts
        assert note(X_GOOD, Y) == ""
        assert bnn.check_data(X_GOOD, Y)[1].dtype.kind == Y.dtype.kind
    assert "standardise" in note((1000 * X_GOOD).astype(int), RARE)  # inputs are
    for X in [INPUT, np.hstack([np.zeros((9, 1)), INPUT])]:
        assert "Note: X has no column of ones" in note(X, Y_GOOD)
        X = np.hstack([X, np.full((9, 1), 0.5)])  # any other constant will do
        assert note(X, Y_GOOD) == ""


def network(outputs, distribution):
    """A model of one hidden layer, with any distribution of Y given f (N, outputs)."""

    def model(X, Y, D_H):
        w1 = numpyro.sample("w1", dist.Normal(np.zeros((X.shape[1], D_H)), 1.0))
        w2 = numpyro.sample("w2", dist.Normal(np.zeros((D_H, outputs)), 1.0))
        f = bnn.linear(w2, jnp.tanh(bnn.linear(w1, X.T))).T
        of_Y = distribution(numpyro.deterministic("f", f))
        with numpyro.plate("data", len(X)):
            numpyro.sample("Y", of_Y, obs=Y)

    return model


def heavy_tails(f):
    scales = numpyro.sample("scales", dist.HalfNormal(np.ones(2)).to_event(1))
    return dist.StudentT(4.0, f, scales).to_event(1)


def two_widths_and_a_factor(X, Y, D_H):
    bnn.model(X, Y, sum(D_H))
    numpyro.factor("what else is known", -1.0)


two_classes = network(1, lambda f: dist.Bernoulli(logits=f).to_event(1))
OTHER = {
    "whole numbers": (bnn.model, RARE, 2),
    "two classes": (two_classes, RARE, 2),
    "booleans": (two_classes, RARE == 1, 2),
    "classes": (network(4, lambda f: dist.Categorical(logits=f)), np.arange(9) % 4, 2),
    "counts": (network(1, lambda f: dist.Poisson(jnp.exp(f)).to_event(1)), 3 * RARE, 2),
    "two outputs": (network(2, heavy_tails), np.hstack([Y_GOOD, Y_GOOD]), 2),
    "two widths": (two_widths_and_a_factor, Y_GOOD, (1, 1)),
}


@pytest.mark.parametrize("model, Y, D_H", OTHER.values(), ids=OTHER)
def test_another_model_is_sampled_diagnosed_and_predicted(model, Y, D_H, capsys):
    mcmc = run(model, Y=Y, D_H=D_H, num_chains=2)
    found = bnn.print_convergence(mcmc)
    assert set(found) == {"r_hat", "n_eff", "divergences"}
    out = capsys.readouterr().out
    assert "standardise" not in out
    assert f"Number of divergences: {found['divergences']}\n" in out
    draws = mcmc.get_samples(group_by_chain=True)
    f, Y_new = predictions(draws, X_GOOD[:5], model, D_H)
    assert f.shape == (2, 6, 5, *draws["f"].shape[3:]) and np.all(np.isfinite(f))
    assert Y_new.shape == (2, 6, 5, *np.shape(Y)[1:])


def test_plain_nuts_samples_a_model_that_cannot_start_compiled(monkeypatch):
    def model(X, Y, D_H):
        bnn.model(X * numpyro.param("scale", jnp.ones(2)), Y, D_H)

    with pytest.raises(jax.errors.UnexpectedTracerError):  # as the docstring says
        run(model)
    monkeypatch.setattr(bnn, "CompiledNUTS", NUTS)
    assert run(model).get_samples()["f"].shape == (6, 9, 1)


def test_a_model_without_a_finite_density_is_an_error():
    def model(X, Y, D_H):
        numpyro.sample("w1", dist.Normal(0.0, 1.0))
        numpyro.factor("nowhere", jnp.nan)

    for num_chains in [1, 4, 6]:
        with pytest.raises(RuntimeError, match="no point of finite density"):
            run(model, num_chains=num_chains)
    with mock.patch.object(bnn, "MCMC") as ended:  # one of two chains is enough
        ended.return_value.last_state.potential_energy = np.array([0.0, np.nan])
        with pytest.raises(RuntimeError, match="no point of finite density"):
            run(bnn.model, num_chains=2)


def test_draws_of_the_prior_are_predicted_with_new_observations():
    draws = Predictive(bnn.model, num_samples=6)(KEY, X_GOOD, None, 2)
    assert draws["Y"].shape == (6, 9, 1)
    one_chain = {name: values[None] for name, values in draws.items()}
    f, Y = predictions(one_chain, np.linspace(-1, 1, 500)[:, None] ** np.arange(2))
    assert f.shape == Y.shape == (1, 6, 500, 1)
    f, Y = predictions(one_chain, X_GOOD)
    np.testing.assert_allclose(f[0], draws["f"], rtol=1e-4, atol=1e-4)
    assert not np.any(Y[0] == draws["Y"])


def test_draws_must_be_grouped_by_chain_and_fit_the_inputs_but_need_no_scalar():
    for wrong in [small_run().get_samples(), {"prec_obs": np.ones(6)}]:
        with pytest.raises(ValueError, match=r"get_samples\(group_by_chain=True\)"):
            predictions(wrong, X_GOOD)
    draws = small_run().get_samples(group_by_chain=True)
    for columns in [1, 3]:
        with pytest.raises(ValueError, match=f"for 2 .* got {columns}"):
            predictions(draws, np.ones((5, columns)))
    square = lambda key, draw: draw["w2"] ** 2  # noqa: E731
    squares = bnn.for_all_draws(square, KEY, {"w2": draws["w2"]})
    np.testing.assert_allclose(squares, draws["w2"] ** 2, rtol=1e-6)


def test_too_few_draws_or_other_sites_are_told_before_anything_is_printed(capsys):
    for site, num_samples in [("prec_obs", 3), ("theta", 6)]:
        one_site = functools.partial(numpyro.sample, site, dist.Normal())
        mcmc = MCMC(NUTS(one_site), **{**FEW, "num_samples": num_samples})
        mcmc.run(KEY)
        with pytest.raises(ValueError, match="f or prec_obs, and 4 or more of each"):
            bnn.print_convergence(mcmc)
    assert capsys.readouterr().out == ""


def test_a_picture_of_what_cannot_be_drawn_over_x_is_told():
    with pytest.raises(ValueError, match=r"column 1 of X \(9, 1\)"):
        bnn.plot(INPUT, Y_GOOD, INPUT, Y_GOOD, CURVES, CURVES)
    for wrong in [np.zeros((1, 6, 9, 4)), CURVES[:, :, :8], CURVES[0]]:
        with pytest.raises(ValueError, match="outputs"):
            bnn.plot(X_GOOD, Y_GOOD, X_GOOD, Y_GOOD, wrong, wrong)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("style", STYLES)
def test_all_is_visible_under_the_readers_style_and_no_truth_is_no_curve(style):
    labels = []
    with plt.style.context(style):
        for truth in [None, Y_GOOD]:
            (ax,) = bnn.plot(X_GOOD, Y_GOOD, X_GOOD, truth, CURVES, CURVES).axes
            plt.close()
            texts = ax.title, ax.xaxis.label, ax.yaxis.label
            texts += tuple(ax.get_legend().get_texts())
            labels.append([text.get_text() for text in texts])
        paper = to_rgb(ax.get_facecolor())
        for line in ax.lines:
            contrast = np.subtract(to_rgb(line.get_color()), paper)
            assert np.abs(contrast).max() > 0.4 and line.get_linewidth() > 0
            assert line.get_markeredgewidth() > 0 or line.get_marker() == "None"
    assert set(labels[1]) - set(labels[0]) == {"true function"}
    assert len(labels[0]) == 3 + 6
    assert "%" not in "".join(labels[1])  # in LaTeX, text.usetex, it begins a comment


def test_many_data_do_not_hide_the_mean():
    sizes = []
    for N in [100, 1000]:
        (ax,) = bnn.plot(*bnn.get_data(N=N, N_test=9), CURVES, CURVES).axes
        plt.close()
        (crosses,) = [x for x in ax.lines if x.get_label() == "training data"]
        sizes.append(crosses.get_markersize())
    assert sizes[0] == 5 and sizes[1] < 2


def test_the_pages_own_data_fit_and_come_back_on_their_own_scale(tmp_path, monkeypatch):
    x, Y = years()
    monkeypatch.chdir(tmp_path)
    few = dict(num_warmup=300, num_samples=300, progress_bar=False)
    few_draws = functools.partial(bnn.run_inference, **few)
    monkeypatch.setattr(bnn, "run_inference", few_draws)
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
        again = scale["mean"] + scale["sd"] * predictions(saved, X, D_H=5)[0]
    np.testing.assert_allclose(again, names["f"], rtol=1e-4)


@pytest.mark.parametrize("num_chains", [1, 6])  # with a method of NumPyro, with ours
def test_the_mcmc_object_can_be_pickled_and_goes_on_where_it_was(num_chains, capsys):
    mcmc = run(num_chains=num_chains)
    copy = pickle.loads(pickle.dumps(mcmc))
    before = mcmc.get_samples()["f"]
    np.testing.assert_array_equal(before, copy.get_samples()["f"])
    continued = []
    for each in [mcmc, copy]:
        each.post_warmup_state = each.last_state
        each.run(each.post_warmup_state.rng_key, X_GOOD, Y_GOOD, 2)
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
    assert log_likelihood(bnn.model, draws, X_GOOD, Y_GOOD, 2)["Y"].shape == (12, 9)


def test_it_runs_under_other_settings_of_jax(run_script):
    others = dict(JAX_ENABLE_X64="1", JAX_DEBUG_NANS="1", JAX_DEFAULT_PRNG_IMPL="rbg")
    result = run_script(*SMOKE, "--num-chains", 1, env=others)
    assert (result.returncode, result.stderr) == (0, "")
