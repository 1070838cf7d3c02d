"""Does run_inference take other data, models and settings, and tell why it cannot?"""

import pickle
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from helpers import RARE, SMOKE, X_GOOD, Y_GOOD, predict_all, run_few, two_chains
from numpyro.infer import NUTS, Predictive, log_likelihood

import bnn


def test_data_frames_give_the_draws_of_arrays():
    X = pd.DataFrame(X_GOOD)
    Y = pd.DataFrame(Y_GOOD)
    theirs = run_few(X=X, Y=Y, num_chains=2).get_samples()
    for name, ours in two_chains().get_samples().items():
        np.testing.assert_array_equal(ours, theirs[name])


def network(outputs, distribution):
    """A model of one hidden layer, with any distribution of Y given f (N, outputs)."""

    def model(X, Y, D_H):
        N, D_X = X.shape
        w1 = numpyro.sample("w1", dist.Normal(np.zeros((D_X, D_H)), 1.0))
        w2 = numpyro.sample("w2", dist.Normal(np.zeros((D_H, outputs)), 1.0))
        z1 = jnp.tanh(bnn.linear(w1, X.T))
        f = numpyro.deterministic("f", bnn.linear(w2, z1).T)
        of_Y = distribution(f)
        with numpyro.plate("data", N):
            numpyro.sample("Y", of_Y, obs=Y)

    return model


def two_classes(f):
    return dist.Bernoulli(logits=f).to_event(1)


def classes(f):
    return dist.Categorical(logits=f)


def counts(f):
    return dist.Poisson(jnp.exp(f)).to_event(1)


def heavy_tails(f):
    scales = numpyro.sample("scales", dist.HalfNormal(np.ones(2)).to_event(1))
    return dist.StudentT(4.0, f, scales).to_event(1)


def two_widths_and_a_factor(X, Y, D_H):
    first, second = D_H
    bnn.model(X, Y, first + second)
    numpyro.factor("what else is known", -1.0)


OTHER = {
    "whole numbers": (bnn.model, RARE, 2),
    "two classes": (network(1, two_classes), RARE, 2),
    "booleans": (network(1, two_classes), RARE == 1, 2),
    "classes": (network(4, classes), np.arange(9) % 4, 2),
    "counts": (network(1, counts), 3 * RARE, 2),
    "two outputs": (network(2, heavy_tails), np.hstack([Y_GOOD, Y_GOOD]), 2),
    "two widths": (two_widths_and_a_factor, Y_GOOD, (1, 1)),
}


@pytest.mark.parametrize("model, Y, D_H", OTHER.values(), ids=OTHER)
def test_another_model_is_sampled_diagnosed_and_predicted(model, Y, D_H, capsys):
    mcmc = run_few(model, Y=Y, D_H=D_H, num_chains=2)
    found = bnn.print_convergence(mcmc)
    assert set(found) == {"r_hat", "n_eff", "divergences"}
    out = capsys.readouterr().out
    assert "standardise" not in out
    assert f"Number of divergences: {found['divergences']}\n" in out

    draws = mcmc.get_samples(group_by_chain=True)
    f, Y_new = predict_all(draws, X_GOOD[:5], D_H, model)
    outputs = draws["f"].shape[3:]
    assert f.shape == (2, 6, 5, *outputs)
    assert np.all(np.isfinite(f))
    assert Y_new.shape == (2, 6, 5, *Y.shape[1:])


def test_plain_nuts_samples_a_model_that_cannot_start_compiled(monkeypatch):
    def model(X, Y, D_H):
        scale = numpyro.param("scale", jnp.ones(2))
        bnn.model(X * scale, Y, D_H)

    with pytest.raises(jax.errors.UnexpectedTracerError):  # as the docstring says
        run_few(model)
    monkeypatch.setattr(bnn, "CompiledNUTS", NUTS)
    draws = run_few(model).get_samples()
    assert draws["f"].shape == (6, 9, 1)


@pytest.mark.parametrize("num_chains", [1, 4, 6])
def test_a_model_without_a_finite_density_is_an_error(num_chains):
    def model(X, Y, D_H):
        numpyro.sample("w1", dist.Normal(0.0, 1.0))
        numpyro.factor("nowhere", jnp.nan)

    with pytest.raises(RuntimeError, match="no point of finite density"):
        run_few(model, num_chains=num_chains)


def test_one_of_two_chains_without_a_finite_density_is_an_error():
    with mock.patch.object(bnn, "MCMC") as ended:
        last_state = ended.return_value.last_state
        last_state.potential_energy = np.array([0.0, np.nan])
        with pytest.raises(RuntimeError, match="no point of finite density"):
            run_few(num_chains=2)


def test_a_higher_target_accept_prob_makes_smaller_steps():
    X, Y, *_ = bnn.get_data(N=7)

    def step_size(target):
        mcmc = bnn.run_inference(
            bnn.model,
            jax.random.key(0),
            X,
            Y,
            D_H=2,
            num_warmup=100,
            num_samples=4,
            progress_bar=False,
            target_accept_prob=target,
        )
        return mcmc.last_state.adapt_state.step_size

    # step sizes after short warm-ups differ by tens of percent; here it is a half
    assert step_size(0.99) < step_size(0.6) / 2


def continued(mcmc):
    """The draws of f after those that a run of run_few has made."""
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.run(mcmc.post_warmup_state.rng_key, X_GOOD, Y_GOOD, 2)
    return mcmc.get_samples()["f"]


@pytest.mark.parametrize("num_chains", [1, 6])  # with a method of NumPyro, with ours
def test_the_mcmc_object_can_be_pickled_and_goes_on_where_it_was(num_chains, capsys):
    mcmc = run_few(num_chains=num_chains)
    copy = pickle.loads(pickle.dumps(mcmc))
    before = mcmc.get_samples()["f"]
    np.testing.assert_array_equal(before, copy.get_samples()["f"])
    after = continued(mcmc)
    assert after.shape == before.shape
    assert not np.array_equal(after, before)
    # the copy is compiled anew
    np.testing.assert_allclose(after, continued(copy), rtol=1e-4, atol=1e-4)
    bnn.print_convergence(mcmc)  # without num_steps
    out = capsys.readouterr().out
    assert "Number of divergences" in out
    assert "1023" not in out


def test_numpyros_predictive_and_log_likelihood_take_the_draws():
    draws = two_chains().get_samples()
    found = log_likelihood(bnn.model, draws, X_GOOD, Y_GOOD, 2)
    assert found["Y"].shape == (12, 9)
    unknowns = {name: draws[name] for name in ["w1", "w2", "w3", "prec_obs"]}
    predictive = Predictive(bnn.model, unknowns)
    new = predictive(jax.random.key(0), X_GOOD[:4], None, 2)
    assert new["Y"].shape == (12, 4, 1)


def test_it_runs_under_other_settings_of_jax(run_script):
    settings = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEBUG_NANS": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
    }
    result = run_script(*SMOKE, "--num-chains", 1, env=settings)
    assert (result.returncode, result.stderr) == (0, "")
