"""Does print_convergence tell each trouble, and no other?"""

import inspect
import json
import re
import types

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import stdout_of

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


def mcmc_of(draws, diverging=0, at_cap=0):
    """What print_convergence asks of an MCMC object."""
    # float32, or whole numbers
    arrays = {name: jnp.asarray(values) for name, values in draws.items()}
    (shape,) = {values.shape[:2] for values in arrays.values()}
    num_steps = np.full(shape, 1022)
    num_steps.flat[:at_cap] = 1023
    diverged = np.zeros(shape, bool)
    diverged.flat[diverged.size - diverging :] = True  # in the last chain
    extra = {"diverging": diverged, "num_steps": num_steps}
    return types.SimpleNamespace(
        get_samples=lambda group_by_chain=False: grouped(arrays, group_by_chain),
        get_extra_fields=lambda group_by_chain=False: grouped(extra, group_by_chain),
    )


def grouped(draws, group_by_chain):
    """Values (C, S, ...), or (C * S, ...) as NumPyro gives them by default."""
    if group_by_chain:
        return draws
    return {name: np.concatenate(values) for name, values in draws.items()}


@pytest.fixture
def judged(capsys):
    """Return a function that gives what is printed of draws, and the table in it.

    What is returned must be what is printed, and JSON, for a program that acts on it.
    """

    def judge(draws, diverging=0, at_cap=0, names=()):
        mcmc = mcmc_of(draws, diverging, at_cap)
        before = np.geterr()
        found = bnn.print_convergence(mcmc, names=names)
        assert np.geterr() == before
        out = capsys.readouterr().out
        table = re.findall(r"^ +(\w+) +(\S+) +(\S+)$", out, re.M)
        r_hat = np.array([cells[1] for cells in table], float)
        n_eff = np.array([cells[2] for cells in table], float)
        assert np.max(r_hat) == pytest.approx(found["r_hat"], abs=6e-4, nan_ok=True)
        assert np.min(n_eff) == pytest.approx(found["n_eff"], abs=0.6, nan_ok=True)
        assert f"Number of divergences: {diverging}\n" in out
        assert found["divergences"] == diverging
        json.dumps(found)
        return out, {name: float(r_hat) for name, r_hat, _ in table}

    return judge


DIVERGED = "Note: some paths diverged"
ONE_CHAIN = "Note: one chain cannot show"
R_HAT = "Warning: r_hat is above 1.01"
N_EFF = "Warning: n_eff is below 400"
NAN = "Warning: r_hat or n_eff is nan"


def assert_told(out, *beginnings):
    """These notes and warnings are printed, in this order, and no others."""
    told = re.findall("^(?:Note|Warning).*", out, re.M)
    assert len(told) == len(beginnings), told
    for line, beginning in zip(told, beginnings, strict=True):
        assert line.startswith(beginning)


def test_of_independent_draws_nothing_is_told(judged):
    out, _ = judged(independent())
    assert_told(out)
    assert "had 1023 steps, the cap: 0 %" in out


def test_of_draws_far_from_0_nothing_is_told(judged):
    # in float32, the mean of 200 000 such draws is off by more than their deviation
    out, _ = judged(far_from_0(1e4, num_draws=100_000))
    assert_told(out)


def test_divergences_are_told_and_paths_at_the_cap_counted(judged):
    out, _ = judged(independent(), diverging=1, at_cap=1000)
    assert_told(out, DIVERGED)
    assert "had 1023 steps, the cap: 25 %" in out
    out, _ = judged(independent(), at_cap=4000)
    assert "had 1023 steps, the cap: 100 %" in out


def test_one_chain_is_told(judged):
    out, _ = judged(independent(chains=1))
    assert_told(out, ONE_CHAIN)


def without_f():
    """Draws of prec_obs that are all the same."""
    return {"prec_obs": np.ones((2, 2000))}


def one_frozen_f():
    """Draws of which one f never varies."""
    draws = independent()
    draws["f"][:, :, 1] = 0.5
    return draws


def whole_numbers():
    """Draws of a whole number on which the chains do not agree."""
    draws = independent()
    draws["k"] = np.repeat([[3], [4]], 2000, axis=1)
    draws["k"][:, ::2] += 1
    return draws


TROUBLES = {
    "few": (independent(chains=4, draws=50), [R_HAT, N_EFF]),
    # a single value that is slow is enough: 200 draws, each 20 times
    "slow f": (slow_f(), [N_EFF]),
    "slow prec_obs": (slow_prec_obs(), [N_EFF]),
    "nan": (far_from_0(np.nan), [NAN]),
    "all the same": (without_f(), [NAN]),
    "one the same": (one_frozen_f(), [NAN]),
    "whole numbers": (whole_numbers(), [R_HAT, N_EFF]),
    "chains that differ": (shifted(0.6), [R_HAT, N_EFF]),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("draws, beginnings", TROUBLES.values(), ids=TROUBLES)
def test_draws_that_have_not_converged_are_warned_of(judged, draws, beginnings):
    out, _ = judged(draws)
    assert_told(out, *beginnings)


def test_one_chain_with_170_effective_draws_is_warned_of(judged):
    draws = independent(chains=1, draws=3400)
    draws["f"] = slow(draws["f"])
    out, _ = judged(draws)
    (n_eff,) = re.findall(r"^ +f +\S+ +(\d+)$", out, re.M)
    assert 120 < int(n_eff) < 220
    # so few draws may raise r_hat, too
    assert ONE_CHAIN in out
    assert N_EFF in out


def test_all_troubles_are_told_at_once(judged):
    draws = shifted(3.0)
    first_chain = {name: values[:1] for name, values in draws.items()}
    first_chain["f"][0, 1000:] += 3
    first_chain["prec_obs"][:] = np.nan
    out, _ = judged(first_chain, diverging=2)
    assert_told(out, DIVERGED, ONE_CHAIN, R_HAT, N_EFF, NAN)


# Thresholds, from both sides: draws that say themselves what is found of them
@pytest.fixture
def stated(monkeypatch):
    """Take a value's first draw for its r_hat, and its second for its n_eff."""
    diagnostics = bnn.diagnostics
    monkeypatch.setattr(diagnostics, "split_gelman_rubin", lambda x: x[0, 0])
    monkeypatch.setattr(diagnostics, "effective_sample_size", lambda x: x[0, 1])


NUM_VALUES = 600  # of f: with 4 chains of 1000 draws, more than two blocks of them


def good_draws(chains=4):
    """Draws that state an r_hat of 1.00 and an n_eff of 500."""
    draws = {
        "f": np.ones((chains, 1000, NUM_VALUES, 1)),
        "prec_obs": np.ones((chains, 1000)),
        "tau": np.ones((chains, 1000)),
    }
    for values in draws.values():
        values[:, 1] = 500
    return draws


PLACES = {
    "first f": ("f", 0),
    "last f of a block": ("f", 250),
    "first f of the next": ("f", 251),
    "last f": ("f", NUM_VALUES - 1),
    "prec_obs": ("prec_obs", 0),
    "tau": ("tau", 0),
}
SIDES = {
    "r_hat of 1.0099": (0, 1.0099, []),
    "r_hat of 1.0101": (0, 1.0101, [R_HAT]),
    "n_eff of 400": (1, 400, []),
    "n_eff of 399": (1, 399, [N_EFF]),
    "n_eff of 170": (1, 170, [N_EFF]),
    "r_hat of infinity": (0, np.inf, [R_HAT]),
    "r_hat of nan": (0, np.nan, [NAN]),
    "n_eff of nan": (1, np.nan, [NAN]),
}


@pytest.mark.parametrize("name, position", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("which, value, beginnings", SIDES.values(), ids=SIDES)
def test_one_value_beyond_a_threshold_is_enough(
    judged, stated, name, position, which, value, beginnings
):
    draws = good_draws()
    columns = draws[name].reshape(4, 1000, -1)
    columns[:, which, position] = value
    out, _ = judged(draws)
    assert_told(out, *beginnings)


def test_n_eff_above_the_number_of_draws_and_r_hat_below_1_are_told_as_they_are(stated):
    values = np.ones((4, 1000, 1))
    values[:, 0] = 0.99
    values[:, 1] = 5000
    assert bnn.worst_r_hat_and_n_eff(values) == (0.99, 5000)


@pytest.mark.parametrize("position", [0, 150_000, 299_999])
def test_the_worst_of_many_bad_values_is_found_wherever_it_is(stated, position):
    values = np.ones((1, 4, 300_000, 1))
    values[:, 0] = 1.5
    values[:, 1] = 100
    values[:, 0, position] = 3
    values[:, 1, -1 - position] = 2
    assert bnn.worst_r_hat_and_n_eff(values) == (3, 2)


@pytest.mark.parametrize("which, value, beginnings", SIDES.values(), ids=SIDES)
def test_the_thresholds_are_the_same_for_one_chain(
    judged, stated, which, value, beginnings
):
    draws = good_draws(chains=1)
    draws["tau"][:, which] = value
    out, _ = judged(draws)
    assert_told(out, ONE_CHAIN, *beginnings)


# Which unknowns are judged
def with_other_unknowns():
    """Draws of one more number, and of a vector and two matrices, which are slow."""
    rng = np.random.default_rng(1)
    draws = independent()
    draws["tau"] = rng.standard_normal((2, 2000))
    draws["log_sd"] = slow(rng.standard_normal((2, 2000, 3)))
    draws["w1"] = slow(rng.standard_normal((2, 2000, 3, 5)))
    draws["w2"] = slow(rng.standard_normal((2, 2000, 1, 1)))
    return draws


def test_f_and_all_single_numbers_are_judged_and_the_rest_named(judged):
    out, table = judged(with_other_unknowns())
    assert_told(out)
    assert set(table) == {"f", "prec_obs", "tau"}
    assert out.count("Not judged: log_sd, w1, w2\n") == 1


def test_a_single_number_that_has_not_converged_is_warned_of(judged):
    draws = with_other_unknowns()
    draws["tau"] = slow(draws["tau"])
    out, _ = judged(draws)
    assert_told(out, N_EFF)


@pytest.mark.parametrize("kind", [list, iter, set])
def test_those_in_names_are_judged_too(judged, kind):
    out, table = judged(with_other_unknowns(), names=kind(["log_sd"]))
    assert_told(out, R_HAT, N_EFF)
    assert set(table) == {"f", "prec_obs", "tau", "log_sd"}
    assert "Not judged: w1, w2\n" in out


def test_a_model_without_single_numbers_or_without_f_is_judged(judged):
    draws = independent()
    for name, values in draws.items():
        _, table = judged({name: values})
        assert set(table) == {name}


def test_nothing_is_said_to_be_left_out_where_nothing_is(judged):
    out, _ = judged(independent())
    assert "Not judged" not in out
    out, _ = judged(with_other_unknowns(), names=["log_sd", "w1", "w2"])
    assert "Not judged" not in out


@pytest.mark.parametrize("names", [["sigma"], ["f", "sigma"], "sigma"])
def test_names_without_draws_are_told_first(names, capsys):
    mcmc = mcmc_of(independent())
    with pytest.raises(ValueError, match=r"among \['f', 'prec_obs'\], not 's"):
        bnn.print_convergence(mcmc, names)
    assert capsys.readouterr().out == ""


def test_nothing_to_judge_is_told_first(capsys):
    w1 = independent()["f"]
    with pytest.raises(ValueError, match=r"names must say which of \['w1'\]"):
        bnn.print_convergence(mcmc_of({"w1": w1}))
    assert capsys.readouterr().out == ""


def test_too_few_draws_are_told_first(capsys):
    with pytest.raises(ValueError, match="4 or more draws, not 3"):
        bnn.print_convergence(mcmc_of(independent(draws=3)))
    assert capsys.readouterr().out == ""


def test_4_draws_are_enough(judged):
    out, _ = judged(independent(draws=4))
    assert N_EFF in out


# what each note advises, as a flag and as an argument
ADVICE = {
    DIVERGED: {"--target-accept-prob 0.99": "target_accept_prob=0.99"},
    ONE_CHAIN: {"--num-chains 4": "num_chains=4"},
    R_HAT: {"--num-warmup": "num_warmup", "--num-samples": "num_samples"},
    N_EFF: {"--num-samples": "num_samples"},
    NAN: {"--seed": "rng_key"},
}


def test_the_advice_works_at_the_command_line_and_in_a_readers_own_code(judged):
    draws = shifted(3.0)
    draws["prec_obs"][:] = np.nan
    out, _ = judged(draws, diverging=50)
    first_chain = {name: values[:1] for name, values in draws.items()}
    of_one_chain, _ = judged(first_chain)
    told = re.split("^(?=Note|Warning)", out + of_one_chain, flags=re.M)
    arguments = inspect.signature(bnn.run_inference).parameters
    flags = vars(bnn.parse_args([]))
    for beginning, advice in ADVICE.items():
        note, *_ = [text for text in told if text.startswith(beginning)]
        named = re.findall(r"--[\w-]+", note)
        assert named == [flag.split()[0] for flag in advice]
        for flag, argument in advice.items():
            assert flag in note
            assert re.search(rf"\(([\w, ]+, )?{argument}[,)]", note)
            bnn.parse_args([*flag.split(), "4"][:2])
            assert argument.split("=")[0] in arguments
    for name in ["num_chains", "num_warmup", "num_samples", "target_accept_prob"]:
        assert arguments[name].default == flags[name]


# a copy of f in float64 would take twice its memory, and more
def test_the_memory_it_needs_is_less_than_twice_that_of_f(run_program):
    result = run_program("memory_of_convergence", 2000, 10_000)
    assert float(stdout_of(result)) < 2


@pytest.mark.parametrize("C, S, M", [(50, 100, 1000), (3, 500_000, 2)])
def test_blocks_are_no_larger_for_many_chains_and_draws_and_no_smaller(
    monkeypatch, C, S, M
):
    sizes = []

    def size_kept(block):
        assert block.dtype == np.float64  # sums of float32 are too coarse for both
        sizes.append(block.size)
        return np.ones(block.shape[2:])

    monkeypatch.setattr(bnn.diagnostics, "split_gelman_rubin", size_kept)
    monkeypatch.setattr(bnn.diagnostics, "effective_sample_size", size_kept)
    f = np.ones((C, S, M, 1), np.float32)
    assert bnn.worst_r_hat_and_n_eff(f) == (1, 1)
    assert sum(sizes) == 2 * f.size
    assert max(sizes) <= 1_000_000 + C * S  # and one column more
    assert len(sizes) <= 2 * (1 + f.size / 1_000_000)
