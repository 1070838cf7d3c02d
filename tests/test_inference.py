"""Does run_inference take other data, models and settings, and tell why it cannot?"""

import functools
import pickle
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from helpers import SMOKE, X_GOOD, Y_GOOD, predict_all, run_few, two_chains
from numpyro.distributions.constraints import real
from numpyro.infer import NUTS, Predictive, log_likelihood

import bnn


def test_data_frames_give_the_draws_of_arrays():
    X = pd.DataFrame(X_GOOD)
    Y = pd.DataFrame(Y_GOOD)
    theirs = run_few(X=X, Y=Y, num_chains=2).get_samples()
    for name, ours in two_chains().get_samples().items():
        np.testing.assert_array_equal(ours, theirs[name])


def line(X, Y, D_H):
    """A model that is compiled soon: a sum of the inputs, each with a weight."""
    N, D_X = X.shape
    w = numpyro.sample("w", dist.Normal(np.zeros((D_X, 1)), 1.0))
    f = numpyro.deterministic("f", bnn.linear(w, X.T).T)
    with numpyro.plate("data", N):
        numpyro.sample("Y", dist.Normal(f, 1.0).to_event(1), obs=Y)


# one datum, one draw, a key of the old kind, a model with a setting of its own
def test_the_least_that_can_be_sampled_is():
    def with_a_setting(X, Y, D_H, scale=1.0):
        line(scale * X, Y, D_H)

    key = jax.random.PRNGKey(0)
    data = X_GOOD[:1], Y_GOOD[:1]
    for model in [with_a_setting, functools.partial(with_a_setting, scale=2.0)]:
        mcmc = bnn.run_inference(model, key, *data, 2, num_warmup=4, num_samples=1)
        assert mcmc.get_samples()["f"].shape == (1, 1, 1)


def two_outputs(inputs, observations, units):
    """Heavy tails, with a scale for each output."""
    N, D_X = inputs.shape
    w = numpyro.sample("w", dist.Normal(np.zeros((D_X, units)), 1.0))
    f = numpyro.deterministic("f", bnn.linear(w, inputs.T).T)
    scales = numpyro.sample("scales", dist.HalfNormal(np.ones(2)).to_event(1))
    with numpyro.plate("data", N):
        tails = dist.StudentT(4.0, f, scales).to_event(1)
        numpyro.sample("Y", tails, obs=observations)


def two_widths_and_a_factor(X, Y, D_H):
    first, second = D_H
    bnn.model(X, Y, first + second)
    numpyro.factor("what else is known", -1.0)


def an_unknown_input_and_unknown_limits(X, Y, D_H):
    """Every Y is equally probable, not too far from f."""
    N, D_X = X.shape
    missing = numpyro.sample("missing", dist.ImproperUniform(real, (), ()))
    numpyro.factor("what is known of it", -(missing**2))
    X = X.at[3, 1].set(missing)
    w = numpyro.sample("w", dist.Normal(np.zeros((D_X, 1)), 1.0))
    f = numpyro.deterministic("f", bnn.linear(w, X.T).T)
    width = 9.0 + numpyro.sample("more width", dist.HalfNormal(1.0))
    with numpyro.plate("data", N):
        limits = dist.Uniform(f - width, f + width)
        numpyro.sample("Y", limits.to_event(1), obs=Y)


OTHER = {
    "two outputs": (two_outputs, np.hstack([Y_GOOD, Y_GOOD]), 2),
    "two widths": (two_widths_and_a_factor, Y_GOOD, (1, 1)),
    "unknown limits": (an_unknown_input_and_unknown_limits, Y_GOOD, 1),
}


# classes, counts and two classes: test_next_steps.py
@pytest.mark.parametrize("model, Y, D_H", OTHER.values(), ids=OTHER)
def test_another_model_is_sampled_diagnosed_and_predicted(model, Y, D_H, capsys):
    mcmc = run_few(model, Y=Y, D_H=D_H, num_chains=2)
    judged = [name for name in ["scales"] if name in mcmc.get_samples()]
    found = bnn.print_convergence(mcmc, judged)
    assert set(found) == {"r_hat", "n_eff", "divergences"}
    out = capsys.readouterr().out
    assert "standardise" not in out
    assert f"Number of divergences: {found['divergences']}\n" in out

    draws = mcmc.get_samples(group_by_chain=True)
    f, Y_new = predict_all(draws, X_GOOD[:5], D_H, model)
    assert f.shape == Y_new.shape == (2, 6, 5, Y.shape[1])
    assert np.all(np.isfinite(f))


def test_plain_nuts_samples_a_model_that_cannot_start_compiled(monkeypatch):
    def model(X, Y, D_H):
        scale = numpyro.param("scale", jnp.ones(2))
        line(X * scale, Y, D_H)

    with pytest.raises(jax.errors.UnexpectedTracerError):  # as the docstring says
        run_few(model)
    monkeypatch.setattr(bnn, "CompiledNUTS", NUTS)
    draws = run_few(model).get_samples()
    assert draws["f"].shape == (6, 9, 1)


NOWHERE = [(1, -jnp.inf), (4, jnp.nan), (6, -jnp.inf)]


@pytest.mark.parametrize("num_chains, log_factor", NOWHERE)
def test_a_model_without_a_finite_density_is_an_error(num_chains, log_factor):
    def model(X, Y, D_H):
        numpyro.sample("w1", dist.Normal(0.0, 1.0))
        numpyro.factor("nowhere", log_factor)

    with pytest.raises(RuntimeError, match="no point of finite density"):
        run_few(model, num_chains=num_chains)


def test_a_model_without_a_finite_gradient_is_an_error():
    def model(X, Y, D_H):
        w = numpyro.sample("w", dist.Normal(np.zeros(2), 1.0))
        numpyro.factor("norm", -jnp.sqrt(jnp.sum((0.0 * w) ** 2)))

    with pytest.raises(RuntimeError, match="no point of finite density and gradient"):
        run_few(model)


@pytest.fixture
def ended(monkeypatch):
    """Return a function that runs chains which end with these energies and slopes."""

    def run(energies, slopes):
        mcmc = mock.Mock()
        mcmc.last_state.potential_energy = np.array(energies)
        mcmc.last_state.z_grad = {"w": np.zeros(len(slopes)), "b": np.array(slopes)}
        monkeypatch.setattr(bnn, "MCMC", lambda kernel, **settings: mcmc)
        assert run_few(num_chains=len(energies)) is mcmc

    return run


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_one_chain_without_a_finite_density_or_gradient_is_an_error(ended, wrong):
    told = "no point of finite density and gradient"
    for chains in [[wrong], [wrong, 0.0], [0.0, wrong]]:
        finite = np.ones(len(chains))
        with pytest.raises(RuntimeError, match=told):
            ended(chains, finite)
        with pytest.raises(RuntimeError, match=told):
            ended(finite, chains)


def test_a_finite_density_and_gradient_are_no_error(ended):
    ended([0.0, -1e9], [1e9, 0.0])


# Starts and numbers of draws
@pytest.fixture
def tiny_steps(monkeypatch):
    """Paths so short that all draws are where their chain started."""
    tiny = {"step_size": 1e-7, "adapt_step_size": False}
    kernel = functools.partial(bnn.CompiledNUTS, **tiny)
    monkeypatch.setattr(bnn, "CompiledNUTS", kernel)


# 4 and 6 chains on 4 devices: by a method of NumPyro, by ours
@pytest.mark.parametrize("num_chains", [4, 6])
def test_each_chain_starts_elsewhere(tiny_steps, num_chains):
    mcmc = run_few(line, num_chains=num_chains)
    starts = mcmc.get_samples(group_by_chain=True)["w"]  # (C, 6, 2, 1)
    first = starts[:, :1]
    assert np.abs(starts - first).max() < 1e-3
    by_chain = np.array(first).reshape(num_chains, 2)
    for weight in by_chain.T:
        differences = np.diff(np.sort(weight))
        assert differences.min() > 1e-3
        assert np.ptp(weight) > 0.5


@pytest.mark.parametrize("num_chains", [1, 6])
@pytest.mark.parametrize("num_warmup, num_samples", [(0, 6), (4, 8)])
def test_as_many_draws_are_made_as_asked_for(num_chains, num_warmup, num_samples):
    sizes = dict(num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains)
    mcmc = run_few(line, **sizes)
    draws = mcmc.get_samples(group_by_chain=True)
    assert draws["f"].shape == (num_chains, num_samples, 9, 1)
    steps = mcmc.get_extra_fields(group_by_chain=True)["num_steps"]
    assert steps.shape == (num_chains, num_samples)
    # NumPyro's count of all draws of a chain
    assert np.all(mcmc.last_state.i == num_warmup + num_samples)


# twice would be too much for the 8 GB of README
def test_the_draws_are_kept_once():
    mcmc = run_few(line, num_warmup=0, num_samples=7, num_chains=2)
    kept = [array.shape for array in jax.live_arrays()]
    assert kept.count((2, 7, 9, 1)) == 1  # f of mcmc
    assert (14, 9, 1) not in kept
    assert len(mcmc.get_samples()["f"]) == 14


def test_sizes_by_position_are_warm_up_draws_and_chains():
    key = jax.random.key(0)
    mcmc = bnn.run_inference(line, key, X_GOOD, Y_GOOD, 2, 3, 5, 2, False)
    assert mcmc.progress_bar is False
    assert mcmc.get_samples(group_by_chain=True)["f"].shape == (2, 5, 9, 1)
    assert np.all(mcmc.last_state.i == 3 + 5)


def test_what_others_have_compiled_stays():
    others = jax.jit(lambda x: x + 1)
    others(1.0)
    run_few(line)
    assert others._cache_size() == 1


# else a cache of compiled programs would miss it for another seed
def test_the_start_is_one_program_for_all_keys(monkeypatch):
    jit = jax.jit
    programs = []

    def keep_the_program(function):
        def run(*arguments):
            program = jit(function).lower(*arguments)
            programs.append(program.as_text())

        return run

    monkeypatch.setattr(bnn.NUTS, "init", lambda kernel, key: jax.random.normal(key))
    monkeypatch.setattr(jax, "jit", keep_the_program)
    for seed in range(2):
        bnn.CompiledNUTS(line).init(jax.random.key(seed))
    first, second = programs
    assert first == second


def test_the_cap_that_is_counted_is_the_samplers(capsys):
    with mock.patch.object(bnn, "CompiledNUTS", wraps=bnn.CompiledNUTS) as kernel:
        mcmc = run_few(line)
    bnn.print_convergence(mcmc)
    largest = 2 ** kernel.call_args.kwargs["max_tree_depth"] - 1
    assert f"had {largest} steps, the cap" in capsys.readouterr().out


def test_a_higher_target_accept_prob_makes_smaller_steps():
    def step_size(target):
        mcmc = run_few(line, num_warmup=200, num_samples=4, target_accept_prob=target)
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
    mcmc = run_few(line, num_chains=num_chains)
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
