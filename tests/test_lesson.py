"""Can its reader copy the pieces, and trust what the page and the printed words say?"""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import types

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT, SMOKE
from test_command_line import rows

import bnn

SOURCE = (ROOT / "bnn.py").read_text()
TREE = ast.parse(SOURCE)
PIECES = {
    node.name: node
    for node in TREE.body
    if isinstance(node, ast.FunctionDef | ast.ClassDef)
}
COMMAND_LINE = SOURCE.index("\n# Command line\n")
LESSON = [name for name in PIECES if SOURCE.index(f" {name}(") < COMMAND_LINE]


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


@pytest.mark.parametrize("name", LESSON)
def test_a_piece_of_the_lesson_needs_nothing_from_the_command_line(name):
    assert pieces_named_by(name) <= set(LESSON)


def test_copied_pieces_run():
    X, Y, X_test, f_test = copied("get_data")(N=7, N_test=4)
    keys, settings = jax.random.split(jax.random.key(0)), (2, 4, 6, 2, False)
    mcmc = copied("run_inference")(copied("model"), keys[0], X, Y, *settings)
    copied("print_convergence")(mcmc)
    draws = mcmc.get_samples(group_by_chain=True)
    model, predict = copied("model"), copied("predict")
    f_draws, Y_draws = copied("for_all_draws")(
        lambda key, draw: predict(model, key, draw, X_test, 2), keys[1], draws
    )
    assert copied("plot")(X, Y, X_test, f_test, f_draws, Y_draws).axes
    plt.close()


def test_no_function_is_longer_than_40_lines():
    sizes = {name: n.end_lineno - n.lineno + 1 for name, n in PIECES.items()}
    assert max(sizes.values()) <= 40, max(sizes.items(), key=lambda i: i[1])


def test_each_room_holds_the_pieces_that_the_design_gives_it():
    title = re.compile(r"^# (.+)\n# -+$", re.M)
    _, *rooms = title.split(SOURCE)  # title, text, title, text, ...
    pieces = [re.findall(r"^(?:def|class) (\w+)", text, re.M) for text in rooms[1::2]]
    assert dict(zip(rooms[::2], pieces, strict=True)) == {
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
    run_it = rooms[1 + 2 * rooms[::2].index("Run it")]
    assert run_it.index("def main") < run_it.index(
        "if __name__"
    )  # and then the results


# NumPyro's own initialisation uses its key twice, so NUTS itself runs unchecked; that
# it gets a key of its own is checked as it consumes one.
RUN_WITH_CHECKED_KEYS = """
import sys, jax, bnn
run = bnn.MCMC.run
def run_unchecked(self, rng_key, *args, **kwargs):
    jax.vmap(jax.random.bits)(rng_key[None] if rng_key.ndim == 0 else rng_key)
    with jax.debug_key_reuse(False):
        run(self, jax.random.clone(rng_key), *args, **kwargs)
bnn.MCMC.run = run_unchecked
assert jax.config.jax_debug_key_reuse
for num_chains in ["2", "1"]:
    bnn.main([*sys.argv[1:], "--num-chains", num_chains])
"""


def test_no_key_is_used_twice(tmp_path, warm_cache):
    command = [sys.executable, "-c", RUN_WITH_CHECKED_KEYS, *SMOKE]
    checked = {"JAX_DEBUG_KEY_REUSE": "1", "PYTHONPATH": str(ROOT)}
    env = {**os.environ, **warm_cache, **checked}
    options = dict(cwd=tmp_path, env=env, capture_output=True, text=True)
    result = subprocess.run(command, **options)
    assert result.returncode == 0, result.stderr
    assert len(rows(result.stdout)) == 2 * 46


def printed(
    capsys,
    chains=2,
    draws=2000,
    shift=0.0,
    shift_all=0.0,
    diverging=0,
    at_cap=0,
    slow=1,
):
    """What print_convergence says of independent normal draws of three values f.

    In chain 0 one of them is shifted; another repeats each draw ``slow`` times.
    """
    rng = np.random.default_rng(0)
    shape = (chains, draws)
    f, prec_obs = rng.standard_normal((*shape, 3, 1)), rng.standard_normal(shape)
    f[0, :, 1] += shift
    f[:, :, 2] = np.repeat(f[:, ::slow, 2], slow, axis=1)
    f = np.float32(f + shift_all)
    extra = {"diverging": np.zeros(shape, bool), "num_steps": np.full(shape, 1022)}
    extra["diverging"].flat[:diverging] = True
    extra["num_steps"].flat[:at_cap] = 1023
    mcmc = types.SimpleNamespace(
        get_samples=lambda group_by_chain: {"f": f, "prec_obs": prec_obs},
        get_extra_fields=lambda group_by_chain: extra,
    )
    found = bnn.print_convergence(mcmc)
    out = capsys.readouterr().out
    printed = re.findall(r"^ +(?:f|prec_obs) +(\S+) +(\S+)$", out, re.M)
    r_hat, n_eff = zip(*printed, strict=True)
    assert max(map(float, r_hat)) == pytest.approx(found["r_hat"], abs=6e-4)
    assert min(map(float, n_eff)) == pytest.approx(found["n_eff"], abs=0.6)
    assert f"Number of divergences: {found['divergences']}\n" in out
    json.dumps(found)  # for a program that acts on them
    return out


def test_a_good_run_gets_no_word_of_warning(capsys):
    out = printed(capsys)
    assert "Warning" not in out and "Note" not in out
    assert "Number of divergences: 0\n" in out
    assert "cap of 1023 steps: 0 %" in out


def test_each_trouble_is_told_and_no_other(capsys):
    out = printed(capsys, diverging=1)
    assert "Number of divergences: 1\n" in out
    assert re.findall("Note: .*|Warning: .*", out) == [
        "Note: draws may lack where paths diverge; try target_accept_prob=0.99."
    ]
    (note,) = re.findall("Note: .*|Warning: .*", printed(capsys, chains=1))
    assert note.startswith("Note: one chain cannot show")
    # a single value that is slow is enough: 4000 draws, each 20 times
    for trouble in [dict(shift=0.6), dict(chains=4, draws=50), dict(slow=20)]:
        (warning,) = re.findall("Note: .*|Warning: .*", printed(capsys, **trouble))
        assert warning.startswith("Warning: r_hat > 1.01, n_eff < 400 or nan")
    assert "cap of 1023 steps: 25 %" in printed(capsys, at_cap=1000)


def test_many_draws_far_from_0_are_summed_in_float64(capsys):
    # in float32, the mean of 200 000 such draws is off by more than their deviation
    assert "Warning" not in printed(capsys, draws=100_000, shift_all=1e4)


def test_the_advice_works_at_the_command_line_and_in_a_readers_own_code(capsys):
    out = printed(capsys, chains=1, draws=50, diverging=50)
    arguments = inspect.signature(bnn.run_inference).parameters
    assert "raise --num-warmup and -n." in out  # -n is --num-samples
    flags = set(re.findall(r"--([\w-]+)", out))
    assert flags == {"num-chains", "num-warmup"}
    assert {flag.replace("-", "_") for flag in flags} <= {*arguments}
    assert flags <= {flag.replace("_", "-") for flag in vars(bnn.parse_args([]))}
    (argument,) = set(re.findall(r"(\w+)=", out))  # where there is no flag
    assert argument == "target_accept_prob" and argument in arguments


def test_a_higher_target_accept_prob_makes_smaller_steps():
    X, Y, *_ = bnn.get_data(N=7)

    def step(target):
        few = dict(num_warmup=100, num_samples=4, progress_bar=False)
        key = jax.random.key(0)
        mcmc = bnn.run_inference(
            bnn.model, key, X, Y, 2, target_accept_prob=target, **few
        )
        return mcmc.last_state.adapt_state.step_size

    # step sizes after short warm-ups differ by tens of percent; here it is a half
    assert step(0.99) < step(0.6) / 2
