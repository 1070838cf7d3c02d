"""Can its reader copy the pieces, and trust what the page and the printed words say?"""

import ast
import functools
import inspect
import json
import re
import types

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import ROOT, SMOKE, rows, stdout_of

import bnn

SOURCE = (ROOT / "bnn.py").read_text()
TREE = ast.parse(SOURCE)
NODES = [n for n in TREE.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
PIECES = {node.name: node for node in NODES}
DEFINED = re.compile(r"^(?:def|class) (\w+)", re.M)


def pieces_named_by(name):
    """The piece and all pieces that it names, directly or not."""
    found, todo = set(), [name]
    while todo:
        found.add(piece := todo.pop())
        names = {n.id for n in ast.walk(PIECES[piece]) if isinstance(n, ast.Name)}
        todo += names & set(PIECES) - found
    return found


def copied(name):
    """The piece in a fresh module, with bnn.py's imports and what it names."""
    imports = [n for n in TREE.body if isinstance(n, ast.Import | ast.ImportFrom)]
    wanted = [PIECES[piece] for piece in PIECES if piece in pieces_named_by(name)]
    module = {"__name__": "copy"}
    exec(compile(ast.Module(imports + wanted, []), "copy", "exec"), module)
    return module[name]


def test_pieces_of_the_lesson_run_when_copied_without_the_command_line():
    lesson = set(DEFINED.findall(SOURCE.split("\n# Command line\n")[0]))
    assert set().union(*map(pieces_named_by, lesson)) <= lesson
    X, Y, X_test, f_test = copied("get_data")(N=7, N_test=4)
    keys, settings = jax.random.split(jax.random.key(0)), (2, 4, 6, 2, False)
    model = copied("model")
    mcmc = copied("run_inference")(model, keys[0], X, Y, *settings)
    copied("print_convergence")(mcmc)
    draws = mcmc.get_samples(group_by_chain=True)
    at_test = functools.partial(copied("predict"), model, X=X_test, D_H=2)
    f_draws, Y_draws = copied("for_all_draws")(at_test, keys[1], draws)
    assert copied("plot")(X, Y, X_test, f_test, f_draws, Y_draws).axes
    plt.close()


def test_each_room_holds_the_pieces_of_the_design_and_none_exceeds_40_lines():
    title = re.compile(r"^# (.+)\n# -+$", re.M)
    _, *rooms = title.split(SOURCE)  # title, text, title, text, ...
    rooms = dict(zip(rooms[::2], rooms[1::2], strict=True))
    assert {title: DEFINED.findall(text) for title, text in rooms.items()} == {
        "The model": ["model", "linear"],
        "The data": ["get_data"],
        "Inference": ["check_data", "run_inference"],
        "Did it converge?": ["print_convergence"],
        "Prediction": ["predict", "for_all_draws"],
        "The picture": ["plot"],
        "Speed and devices": ["CompiledNUTS", "share_chains", "use_device"],
        "Command line": ["parse_args", "number", "picture", "save"],
        "Run it": ["main"],
        "What you see": [],
        "Where to go next": [],
        "References": [],
    }
    assert rooms["Run it"].index("def main") < rooms["Run it"].index("if __name__")
    sizes = {name: n.end_lineno - n.lineno + 1 for name, n in PIECES.items()}
    assert max(sizes.values()) <= 40, sizes


def test_no_key_is_used_twice(run_program):
    env = {"JAX_DEBUG_KEY_REUSE": "1"}
    result = run_program("run_with_checked_keys", *SMOKE, env=env)
    assert len(rows(stdout_of(result))) == 2 * 46


def printed(
    capsys, chains=2, draws=2000, shift=0, shift_all=0, diverging=0, at_cap=0, slow=()
):
    """What print_convergence says of independent normal draws of three values f.

    In chain 0 one of them is shifted; what is in ``slow`` repeats each draw 20 times.
    The notes and warnings come as a list, too.
    """
    rng = np.random.default_rng(0)
    shape = (chains, draws)
    f, prec_obs = rng.standard_normal((*shape, 3, 1)), rng.standard_normal(shape)
    f[0, :, 1] += shift
    if "f" in slow:
        f[:, :, 2] = np.repeat(f[:, ::20, 2], 20, axis=1)
    if "prec_obs" in slow:
        prec_obs = np.repeat(prec_obs[:, ::20], 20, axis=1)
    f = np.float32(f + shift_all)
    extra = {"diverging": np.zeros(shape, bool), "num_steps": np.full(shape, 1022)}
    extra["diverging"].flat[chains * draws - diverging :] = True  # in the last chain
    extra["num_steps"].flat[:at_cap] = 1023
    mcmc = types.SimpleNamespace(
        get_samples=lambda group_by_chain: {"f": f, "prec_obs": prec_obs},
        get_extra_fields=lambda group_by_chain: extra,
    )
    found = bnn.print_convergence(mcmc)
    out = capsys.readouterr().out
    table = re.findall(r"^ +(?:f|prec_obs) +(\S+) +(\S+)$", out, re.M)
    r_hat, n_eff = np.array(table, float).T
    assert np.max(r_hat) == pytest.approx(found["r_hat"], abs=6e-4, nan_ok=True)
    assert np.min(n_eff) == pytest.approx(found["n_eff"], abs=0.6, nan_ok=True)
    assert f"Number of divergences: {found['divergences']}\n" in out
    assert found["divergences"] == diverging
    json.dumps(found)  # for a program that acts on them
    return out, re.findall("(?:Note|Warning).*", out)


def test_each_trouble_is_told_and_no_other_even_of_draws_far_from_0(capsys):
    out, told = printed(capsys)
    assert told == [] and "cap of 1023 steps: 0 %" in out
    out, told = printed(capsys, diverging=1, at_cap=1000)
    assert told == [
        "Note: paths diverged; draws may be missing: try target_accept_prob=.99."
    ]
    assert "cap of 1023 steps: 25 %" in out
    _, (note,) = printed(capsys, chains=1)
    assert note.startswith("Note: one chain cannot show")
    # a single value that is slow is enough: 4000 draws, each 20 times
    few, slow = dict(chains=4, draws=50), [dict(slow=["f"]), dict(slow=["prec_obs"])]
    for trouble in [dict(shift=0.6), few, *slow, dict(shift_all=np.nan)]:
        out, (warning,) = printed(capsys, **trouble)
        assert warning.startswith("Warning: r_hat > 1.01, n_eff < 400 or nan")
        r_hat_of_f = float(re.search(r"^ +f +(\S+)", out, re.M)[1])
        assert r_hat_of_f > 1.01 or "shift" not in trouble
    # in float32, the mean of 200 000 such draws is off by more than their deviation
    assert printed(capsys, draws=100_000, shift_all=1e4)[1] == []


def test_a_slightly_high_r_hat_is_enough_for_the_warning(capsys, monkeypatch):
    monkeypatch.setattr(bnn.diagnostics, "effective_sample_size", lambda x: 1000.0)
    out, (warning,) = printed(capsys, shift=0.4)
    assert 1.01 < float(re.search(r"^ +f +(\S+)", out, re.M)[1]) < 1.05


def test_the_advice_works_at_the_command_line_and_in_a_readers_own_code(capsys):
    out, _ = printed(capsys, chains=1, draws=50, diverging=50)
    arguments = inspect.signature(bnn.run_inference).parameters
    defaults = [argument.default for argument in list(arguments.values())[5:]]
    assert defaults == [1000, 2000, 1, True, 0.8]
    assert "raise --num-warmup and -n." in out  # -n is --num-samples
    names = {flag.replace("-", "_") for flag in re.findall(r"--([\w-]+)", out)}
    assert names == {"num_chains", "num_warmup"}
    assert names <= {*arguments} & {*vars(bnn.parse_args([]))}
    # where there is no flag
    assert set(re.findall(r"(\w+)=", out)) == {"target_accept_prob"} <= {*arguments}


def test_a_higher_target_accept_prob_makes_smaller_steps():
    X, Y, *_ = bnn.get_data(N=7)
    settings, steps = (bnn.model, jax.random.key(0), X, Y, 2, 100, 4, 1, False), []
    for target in [0.6, 0.99]:
        mcmc = bnn.run_inference(*settings, target_accept_prob=target)
        steps.append(mcmc.last_state.adapt_state.step_size)
    # step sizes after short warm-ups differ by tens of percent; here it is a half
    assert steps[1] < steps[0] / 2
