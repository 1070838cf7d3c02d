"""Does it take the data that people have, and say what would spoil a fit in silence?"""

import functools
import pickle

import jax
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


def draws_of(X, Y, num_chains=1):
    mcmc = bnn.run_inference(bnn.model, KEY, X, Y, 2, num_chains=num_chains, **FEW)
    return mcmc.get_samples(group_by_chain=True)


# Arrays


KINDS = {
    "data frames": pd.DataFrame,
    "lists": lambda a: a.tolist(),
    "dtype object": lambda a: a.astype(object),
    "float64 in Fortran's order": np.asfortranarray,
    "of JAX": jax.numpy.asarray,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_other_kinds_of_arrays_are_the_same_data(kind):
    X, Y = data()
    for ours, theirs in zip((X, Y), bnn.check_data(kind(X), kind(Y)), strict=True):
        np.testing.assert_array_equal(np.float32(ours), theirs)


@pytest.mark.parametrize("num_chains", [1, 6])  # 6 chains share 3 of 4 devices
def test_data_frames_give_the_same_draws(num_chains):
    X, Y = data()
    ours = draws_of(X, Y, num_chains)
    theirs = draws_of(pd.DataFrame(X), pd.DataFrame(Y), num_chains)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_whole_numbers_are_data():
    X, Y = np.array([[1, -1], [1, 0], [1, 1]]), np.array([[-1], [0], [1]])
    assert draws_of(X, Y)["f"].shape == (1, 6, 3, 1)


X_GOOD, Y_GOOD = data()
BAD = {
    "NaN in X": (np.where(X_GOOD == 0, np.nan, X_GOOD), Y_GOOD, "X must hold finite"),
    "infinity in Y": (X_GOOD, Y_GOOD / 0.0, "Y must hold finite"),
    "words": (X_GOOD, [["a"]] * 9, "Y must hold finite numbers: could not convert"),
    "None": ([[1, None]] * 9, Y_GOOD, "X must hold finite numbers"),
    "rows of two lengths": ([[1, 2], [1]], Y_GOOD, "X must hold finite numbers"),
    "X without a second axis": (X_GOOD[:, 1], Y_GOOD, r"X must be \(N, D_X\).* \(9,\)"),
    "a series as Y": (X_GOOD, pd.Series(Y_GOOD[:, 0]), r"Y \(N, 1\), not .* \(9,\)"),
    "Y of two columns": (X_GOOD, X_GOOD, r"Y \(N, 1\), not .* \(9, 2\)"),
    "fewer Y than X": (X_GOOD, Y_GOOD[:8], r"not \(9, 2\) and \(8, 1\)"),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("X, Y, told", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("num_chains", [1, 2, 6])
def test_an_array_that_cannot_be_data_is_told_by_its_name(X, Y, told, num_chains):
    with pytest.raises(ValueError, match=told):
        draws_of(X, Y, num_chains)


# What fits badly without any other sign


def years():
    """Observations in units of their own, and their x (70, 1) and Y (70, 1)."""
    x = np.arange(1950.0, 2020.0)[:, None]
    noise = 500 * np.random.default_rng(0).standard_normal(x.shape)
    return x, 20000 + 5000 * np.sin((x - 1985) / 10) + noise


def test_data_far_from_order_1_are_told(capsys):
    x, Y = years()
    X = np.hstack([np.ones((70, 1)), x])
    bnn.run_inference(bnn.model, KEY, X, Y, 2, **FEW)
    (note,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("Note")]
    assert "X reaches 2.02e+03" in note and "standardise" in note
    assert f"Y is {Y.mean():.3g} +- {Y.std():.3g}" in note
    X, Y = data()
    for X_told, Y_told in [(11 * X, Y), (X, Y + 1.1), (X, 3.1 * Y), (X, 0.3 * Y)]:
        bnn.check_data(X_told, Y_told)
        assert "standardise" in capsys.readouterr().out
    for X_fine, Y_fine in [(9 * X, Y), (X, Y + 0.9), (X, 2.9 * Y), (X, 0.4 * Y)]:
        bnn.check_data(X_fine, Y_fine)
        assert "Note" not in capsys.readouterr().out


@pytest.mark.parametrize("column", [None, 0.0])
def test_a_missing_column_of_ones_is_told(capsys, column):
    X, Y = data()
    X = X[:, 1:] if column is None else np.where(X == 1, column, X)
    bnn.check_data(X, Y)
    assert "Note: X has no column of ones" in capsys.readouterr().out
    bnn.check_data(
        np.hstack([X, np.full((9, 1), 0.5)]), Y
    )  # any other constant does as well
    assert "Note" not in capsys.readouterr().out


def test_the_pages_own_data_fit_and_come_back_on_their_own_scale():
    source = (ROOT / "bnn.py").read_text()
    block = source.split("# .. code-block:: python\n#\n")[1].split("\n# *A deeper")[0]
    code = "\n".join(line.removeprefix("#    ") for line in block.splitlines()[:-1])
    x, Y = years()
    names = {**vars(bnn), "x": x, "x_new": x, "Y": Y}
    few = dict(num_warmup=300, num_samples=300, progress_bar=False)
    names["run_inference"] = functools.partial(bnn.run_inference, **few)
    exec(code, names)
    mean = names["f"].mean(axis=(0, 1))
    assert 1 - (mean - Y).var() / Y.var() > 0.9  # R^2; the noise leaves 0.98
    noise = (names["Y_new"] - names["f"]).std()
    assert 300 < noise < 2000  # on the scale of Y, where it was made with 500


def test_plot_without_an_input_to_plot_over_is_told():
    X, Y = np.ones((9, 1)), data()[1]
    f = np.zeros((1, 6, 9, 1))
    with pytest.raises(ValueError, match=r"x in column 1; .* \(9, 1\)"):
        bnn.plot(X, Y, X, Y, f, f)
    assert plt.get_fignums() == []


def test_many_data_do_not_hide_the_mean():
    def size(N):
        X, Y, X_test, f_test = bnn.get_data(N=N, N_test=5)
        axes = bnn.plot(X, Y, X_test, f_test, *2 * [np.zeros((1, 20, 5, 1))]).axes[0]
        plt.close()
        (crosses,) = [
            line for line in axes.lines if line.get_label() == "training data"
        ]
        return crosses.get_markersize()

    assert size(100) == 5 and size(1000) < 2


# A draw or an MCMC that is not what a function needs


@pytest.mark.parametrize("lacks", ["w1", "w3", "prec_obs"])
def test_a_draw_that_lacks_a_site_is_told_instead_of_drawn_from_the_prior(lacks):
    X, Y = data()
    draw = {name: x[0, 0] for name, x in draws_of(X, Y).items() if name != lacks}
    with pytest.raises(ValueError, match=f"lacks {{'{lacks}'}}.*draw_w3"):
        bnn.predict(bnn.model, KEY, draw, X, 2)


def test_draws_of_the_marginal_model_need_draw_w3():
    X, Y = data()
    mcmc = bnn.run_inference(bnn.marginal_model, KEY, X, Y, 2, **FEW)
    with pytest.raises(ValueError, match="lacks {'w3'}.*draw_w3"):
        bnn.for_all_draws(
            lambda key, draw: bnn.predict(bnn.model, key, draw, X, 2),
            KEY,
            mcmc.get_samples(group_by_chain=True),
        )


def test_the_convergence_of_what_there_is_is_printed(capsys):
    X, Y = data()
    mcmc = bnn.run_inference(bnn.marginal_model, KEY, X, Y, 2, **FEW)
    bnn.print_convergence(mcmc)  # without f
    out = capsys.readouterr().out
    assert "prec_obs" in out and "f at the training data" not in out
    mcmc = bnn.run_inference(bnn.model, KEY, X, Y, 2, **FEW)
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.run(mcmc.post_warmup_state.rng_key, X, Y, 2)  # without num_steps
    bnn.print_convergence(mcmc)
    out = capsys.readouterr().out
    assert "Number of divergences" in out and "1023" not in out


def test_too_few_draws_and_other_sites_are_told_before_anything_is_printed(capsys):
    X, Y = data()
    mcmc = MCMC(NUTS(bnn.model), num_warmup=2, num_samples=3, progress_bar=False)
    mcmc.run(KEY, X, Y, 2)
    with pytest.raises(ValueError, match="4 or more of each chain"):
        bnn.print_convergence(mcmc)
    mcmc = bnn.run_inference(bnn.model, KEY, X, Y, 2, **FEW)
    capsys.readouterr()
    with pytest.raises(ValueError, match="f or prec_obs"):
        bnn.print_convergence(mcmc, {"theta": np.zeros((1, 6))})
    assert capsys.readouterr().out == ""


# What other tools do with the MCMC object


@pytest.mark.parametrize("num_chains", [1, 2, 6])
def test_the_mcmc_object_can_be_pickled_and_goes_on_where_it_was(num_chains):
    X, Y = data()
    mcmc = bnn.run_inference(bnn.model, KEY, X, Y, 2, num_chains=num_chains, **FEW)
    copy = pickle.loads(pickle.dumps(mcmc))
    before = mcmc.get_samples()["f"]
    np.testing.assert_array_equal(before, copy.get_samples()["f"])
    continued = []
    for each in [mcmc, copy]:
        each.post_warmup_state = each.last_state
        each.run(each.post_warmup_state.rng_key, X, Y, 2)
        continued.append(each.get_samples()["f"])
    assert continued[0].shape == before.shape
    assert not np.array_equal(continued[0], before)
    np.testing.assert_allclose(*continued, rtol=1e-4, atol=1e-4)  # as compiled anew


def test_numpyros_predictive_and_log_likelihood_take_the_draws():
    X, Y = data()
    mcmc = bnn.run_inference(bnn.model, KEY, X, Y, 2, num_chains=2, **FEW)
    draws = mcmc.get_samples()
    new = Predictive(bnn.model, {k: v for k, v in draws.items() if k != "f"})
    assert new(KEY, X[:4], None, 2)["Y"].shape == (12, 4, 1)
    assert log_likelihood(bnn.model, draws, X, Y, 2)["Y"].shape == (12, 9)


@pytest.mark.parametrize(
    "setting",
    [
        {"JAX_ENABLE_X64": "1"},
        {"JAX_DEBUG_NANS": "1"},
        {"JAX_DEFAULT_PRNG_IMPL": "rbg"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_it_runs_under_other_settings_of_jax(run_script, setting):
    flags = "-n 8 --num-warmup 4 --num-data 7".split()
    result = run_script(*flags, env=setting)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_model_without_a_finite_density_is_an_error():
    def model(X, Y, D_H):
        numpyro.sample("w1", dist.Normal(0.0, 1.0))
        numpyro.factor("nowhere", jax.numpy.nan)

    X, Y = data()
    for num_chains in [1, 4, 6]:
        with pytest.raises(RuntimeError, match="no point of finite density"):
            bnn.run_inference(model, KEY, X, Y, 2, num_chains=num_chains, **FEW)
