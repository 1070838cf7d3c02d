"""Does print_convergence tell each trouble, and no other?"""

import functools
import inspect
import json
import re
import types

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers import FEW
from numpyro.infer import MCMC, NUTS

import bnn


def independent(chains=2, draws=2000):
    """Standard normal draws of three values f, and of prec_obs."""
    rng = np.random.default_rng(0)
    f = rng.standard_normal((chains, draws, 3, 1))
    prec_obs = rng.standard_normal((chains, draws))
    return {"f": f, "prec_obs": prec_obs}


def shifted(by):
    """Draws of which one f, in one chain, lies elsewhere."""
    draws = independent()
    draws["f"][0, :, 1] += by
    return draws


def slow(values):
    """Every 20th draw, 20 times."""
    return np.repeat(values[:, ::20], 20, axis=1)


def slow_f():
    """Draws of which one f is slow."""
    draws = independent()
    draws["f"][:, :, 2] = slow(draws["f"][:, :, 2])
    return draws


def slow_prec_obs():
    """Draws of which prec_obs is slow."""
    draws = independent()
    draws["prec_obs"] = slow(draws["prec_obs"])
    return draws


def far_from_0(by, num_draws=2000):
    """Draws of which every f is far from 0."""
    draws = independent(draws=num_draws)
    draws["f"] += by
    return draws


def mcmc_of(draws, diverging, at_cap):
    """What print_convergence asks of an MCMC object."""
    num_steps = np.full(draws["prec_obs"].shape, 1022)
    num_steps.flat[:at_cap] = 1023
    diverged = np.zeros(draws["prec_obs"].shape, bool)
    diverged.flat[diverged.size - diverging :] = True  # in the last chain
    extra = {"diverging": diverged, "num_steps": num_steps}
    single = {name: np.float32(values) for name, values in draws.items()}
    return types.SimpleNamespace(
        get_samples=lambda group_by_chain: single,
        get_extra_fields=lambda group_by_chain: extra,
    )


@pytest.fixture
def judged(capsys):
    """Return a function that gives what is printed of draws, and r_hat of f.

    What is returned must be what is printed, and JSON, for a program that acts on it.
    """

    def judge(draws, diverging=0, at_cap=0):
        found = bnn.print_convergence(mcmc_of(draws, diverging, at_cap))
        out = capsys.readouterr().out
        table = re.findall(r"^ +(?:f|prec_obs) +(\S+) +(\S+)$", out, re.M)
        r_hat, n_eff = np.array(table, float).T
        assert np.max(r_hat) == pytest.approx(found["r_hat"], abs=6e-4, nan_ok=True)
        assert np.min(n_eff) == pytest.approx(found["n_eff"], abs=0.6, nan_ok=True)
        assert f"Number of divergences: {diverging}\n" in out
        assert found["divergences"] == diverging
        json.dumps(found)
        return out, r_hat[0]

    return judge


def told(out):
    """The notes and warnings."""
    return re.findall("(?:Note|Warning).*", out)


def test_of_independent_draws_nothing_is_told(judged):
    out, _ = judged(independent())
    assert told(out) == []
    assert "cap of 1023 steps: 0 %" in out


def test_of_draws_far_from_0_nothing_is_told(judged):
    # in float32, the mean of 200 000 such draws is off by more than their deviation
    out, _ = judged(far_from_0(1e4, num_draws=100_000))
    assert told(out) == []


def test_divergences_are_told_and_paths_at_the_cap_counted(judged):
    out, _ = judged(independent(), diverging=1, at_cap=1000)
    assert told(out) == [
        "Note: paths diverged; draws may be missing: try target_accept_prob=.99."
    ]
    assert "cap of 1023 steps: 25 %" in out


def test_one_chain_is_told(judged):
    out, _ = judged(independent(chains=1))
    (note,) = told(out)
    assert note.startswith("Note: one chain cannot show")


TROUBLES = {
    "few": independent(chains=4, draws=50),
    # a single value that is slow is enough: 4000 draws, each 20 times
    "slow f": slow_f(),
    "slow prec_obs": slow_prec_obs(),
    "nan": far_from_0(np.nan),
}


@pytest.mark.parametrize("draws", TROUBLES.values(), ids=TROUBLES)
def test_draws_that_have_not_converged_are_warned_of(judged, draws):
    out, _ = judged(draws)
    (warning,) = told(out)
    assert warning.startswith("Warning: r_hat > 1.01, n_eff < 400 or nan")


def test_chains_that_differ_are_warned_of(judged):
    out, r_hat_of_f = judged(shifted(0.6))
    (warning,) = told(out)
    assert warning.startswith("Warning: r_hat > 1.01, n_eff < 400 or nan")
    assert r_hat_of_f > 1.01


def test_a_slightly_high_r_hat_is_enough_for_the_warning(judged, monkeypatch):
    monkeypatch.setattr(bnn.diagnostics, "effective_sample_size", lambda x: 1000.0)
    out, r_hat_of_f = judged(shifted(0.4))
    (warning,) = told(out)
    assert warning.startswith("Warning")
    assert 1.01 < r_hat_of_f < 1.05


def test_the_advice_works_at_the_command_line_and_in_a_readers_own_code(judged):
    out, _ = judged(independent(chains=1, draws=50), diverging=50)
    arguments = inspect.signature(bnn.run_inference).parameters
    flags = vars(bnn.parse_args([]))
    assert "raise --num-warmup and -n." in out  # -n is --num-samples
    names = re.findall(r"--([\w-]+)", out)
    assert set(names) == {"num-chains", "num-warmup"}
    for name in ["num_chains", "num_warmup", "num_samples"]:
        assert arguments[name].default == flags[name]
    # where there is no flag
    assert set(re.findall(r"(\w+)=", out)) == {"target_accept_prob"}
    assert "target_accept_prob" in arguments


@pytest.mark.parametrize("site, num_samples", [("prec_obs", 3), ("theta", 6)])
def test_too_few_draws_or_other_sites_are_told_first(site, num_samples, capsys):
    one_site = functools.partial(numpyro.sample, site, dist.Normal())
    settings = {**FEW, "num_samples": num_samples}
    mcmc = MCMC(NUTS(one_site), **settings)
    mcmc.run(jax.random.key(0))
    with pytest.raises(ValueError, match="f or prec_obs, and 4 or more of each"):
        bnn.print_convergence(mcmc)
    assert capsys.readouterr().out == ""
