"""Can its reader copy the pieces, and trust what the page and the printed words say?"""

import ast
import inspect
import os
import re
import subprocess
import sys
import types

import jax
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
    z, w = np.ones((3, 7)), np.ones((3, 2))
    assert copied("linear")(w, z).shape == (2, 7)
    assert copied("hidden")(X, w, np.ones((2, 2))).shape == (2, 7)
    keys, settings = jax.random.split(jax.random.key(0), 4), (2, 4, 6, 2, False)
    mcmc = copied("run_inference")(copied("model"), keys[0], X, Y, *settings)
    copied("print_convergence")(mcmc)
    draws = mcmc.get_samples(group_by_chain=True)
    model, predict = copied("model"), copied("predict")
    f_draws, Y_draws = copied("for_all_draws")(
        lambda key, draw: predict(model, key, draw, X_test, 2), keys[1], draws
    )
    assert copied("plot")(X, Y, X_test, f_test, f_draws, Y_draws).axes
    m, C, r = copied("w3_posterior")(np.ones((2, 7)), Y, 3.0)
    assert (m.shape, C.shape, r.shape) == ((2, 1), (2, 2), (3, 7))
    mcmc = copied("run_inference")(copied("marginal_model"), keys[2], X, Y, *settings)
    draw = {name: x[0] for name, x in mcmc.get_samples().items()}
    assert copied("draw_w3")(keys[3], draw, X, Y)["w3"].shape == (2, 1)
    assert issubclass(copied("CompiledNUTS"), bnn.NUTS)


def test_no_function_is_longer_than_40_lines():
    sizes = {name: n.end_lineno - n.lineno + 1 for name, n in PIECES.items()}
    assert max(sizes.values()) <= 40, max(sizes.items(), key=lambda i: i[1])


def test_the_results_stand_beneath_main():
    titles = re.findall(r"^# (.+)\n# -+$", SOURCE, re.M)
    assert titles == [
        "The model",
        "The data",
        "Inference",
        "Did it converge?",
        "Prediction",
        "The picture",
        "Faster: integrate out the output layer",
        "Command line",
        "Run it",
        "What you see",
        "Where to go next",
        "References",
    ]
    run_it = SOURCE[SOURCE.index("\n# Run it\n") : SOURCE.index("\n# What you see\n")]
    assert re.findall(r"^def (\w+)|^(if __name__)", run_it, re.M) == [
        ("main", ""),
        ("", "if __name__"),
    ]


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
bnn.main(sys.argv[1:])
"""


@pytest.mark.parametrize("flags", [[], ["--marginalize"], ["--num-chains", "2"]])
def test_no_key_is_used_twice(tmp_path, flags):
    command = [sys.executable, "-c", RUN_WITH_CHECKED_KEYS, *SMOKE, "--num-chains", "1"]
    env = {**os.environ, "JAX_DEBUG_KEY_REUSE": "1", "PYTHONPATH": str(ROOT)}
    env = {k: v for k, v in env.items() if k != "XLA_FLAGS"}
    options = dict(cwd=tmp_path, env=env, capture_output=True, text=True)
    result = subprocess.run([*command, *flags], **options)
    assert result.returncode == 0, result.stderr
    assert len(rows(result.stdout)) == 46


def printed(capsys, chains=2, draws=2000, shift=0.0, diverging=0, at_cap=0, slow=1):
    """What print_convergence says of independent normal draws of three values f.

    In chain 0 one of them is shifted; another repeats each draw ``slow`` times.
    """
    rng = np.random.default_rng(0)
    shape = (chains, draws)
    f, prec_obs = rng.standard_normal((*shape, 3, 1)), rng.standard_normal(shape)
    f[0, :, 1] += shift
    f[:, :, 2] = np.repeat(f[:, ::slow, 2], slow, axis=1)
    extra = {"diverging": np.zeros(shape, bool), "num_steps": np.full(shape, 1022)}
    extra["diverging"].flat[:diverging] = True
    extra["num_steps"].flat[:at_cap] = 1023
    mcmc = types.SimpleNamespace(
        get_samples=lambda group_by_chain: {"f": f, "prec_obs": prec_obs},
        get_extra_fields=lambda group_by_chain: extra,
    )
    bnn.print_convergence(mcmc)
    return capsys.readouterr().out


def test_a_good_run_gets_no_word_of_warning(capsys):
    out = printed(capsys)
    assert "Warning" not in out and "Note" not in out
    assert "Number of divergences: 0\n" in out
    assert "cap of 1023 steps: 0 %" in out


def test_each_trouble_is_told_and_no_other(capsys):
    troubles = {
        "Note: divergences may hide draws": printed(capsys, diverging=1),
        "Note: one chain cannot show": printed(capsys, chains=1),
        "Warning: r_hat above 1.01 or nan": printed(capsys, shift=0.6),
        "Warning: n_eff below 400 or nan": printed(capsys, chains=4, draws=50),
    }
    for told, out in troubles.items():
        assert told in out
    assert "Number of divergences: 1\n" in troubles["Note: divergences may hide draws"]
    # a single value that is slow is enough: 4000 draws, each 20 times
    assert "Warning: n_eff below 400 or nan" in printed(capsys, slow=20)
    for told in list(troubles)[:2]:  # r_hat and n_eff go together
        assert len(re.findall("Note|Warning", troubles[told])) == 1
    assert "cap of 1023 steps: 25 %" in printed(capsys, at_cap=1000)


def test_the_advice_works_in_a_readers_own_code(capsys):
    out = printed(capsys, chains=1, draws=50, diverging=50) + printed(capsys, shift=9.0)
    advice = set(re.findall(r"\b(num_\w+|target_\w+)", out))
    assert advice == {"num_warmup", "num_samples", "num_chains", "target_accept_prob"}
    assert advice <= set(inspect.signature(bnn.run_inference).parameters)


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
