"""Can its reader copy the pieces of the lesson, and find them in its rooms?"""

import ast
import functools
import re

import jax
import matplotlib.pyplot as plt
from helpers import SCRIPT, SMOKE, rows, stdout_of

SOURCE = SCRIPT.read_text()
TREE = ast.parse(SOURCE)
NODES = [n for n in TREE.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
IMPORTS = [n for n in TREE.body if isinstance(n, ast.Import | ast.ImportFrom)]
PIECES = {node.name: node for node in NODES}
DEFINED = re.compile(r"^(?:def|class) (\w+)", re.M)
ROOMS = {  # in this order, with at least these pieces
    "The model": ["model"],
    "The data": ["get_data"],
    "Inference": ["run_inference"],
    "Did it converge?": ["print_convergence"],
    "Prediction": ["predict", "for_all_draws"],
    "The picture": ["plot"],
    "All of it": ["main"],
    "Behind it": [
        "check_data",
        "check_likelihood",
        "choose_chain_method",
        "share_chains",
        "CompiledNUTS",
        "use_device",
    ],
    "Command line": ["parse_args", "save"],
    "What you see": [],
    "Where to go next": [],
    "References": [],
}


def names_in(piece):
    """All names in the code of a piece."""
    nodes = ast.walk(PIECES[piece])
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def pieces_named_by(name):
    """The piece and all pieces that it names, directly or not."""
    found = set()
    todo = [name]
    while todo:
        piece = todo.pop()
        found.add(piece)
        named = names_in(piece) & set(PIECES)
        todo += named - found
    return found


def copied(name):
    """The piece in a fresh module, with bnn.py's imports and what it names."""
    wanted = pieces_named_by(name)
    pieces = [node for node in NODES if node.name in wanted]
    code = ast.Module(IMPORTS + pieces, type_ignores=[])
    module = {"__name__": "copy"}
    exec(compile(code, "copy", "exec"), module)
    return module[name]


def text_of_rooms():
    """The source below each title, without what is above the first."""
    title = re.compile(r"^# (.+)\n# -+$", re.M)
    _, *parts = title.split(SOURCE)  # title, text, title, text, ...
    return dict(zip(parts[::2], parts[1::2], strict=True))


def pieces_of_rooms():
    """The names of the pieces in each room."""
    return {title: DEFINED.findall(text) for title, text in text_of_rooms().items()}


def test_the_rooms_are_those_of_the_design_in_its_order():
    pieces = pieces_of_rooms()
    assert list(pieces) == list(ROOMS)
    for title, wanted in ROOMS.items():
        assert set(wanted) <= set(pieces[title])
        public = [piece for piece in pieces[title] if piece in wanted]
        assert public == wanted


def test_only_main_names_pieces_of_the_command_line():
    pieces = pieces_of_rooms()
    of_command_line = set(pieces["Command line"])
    others = set(PIECES) - of_command_line
    assert len(others) > 12
    for piece in others - {"main"}:
        assert not pieces_named_by(piece) & of_command_line


def test_pieces_of_the_lesson_run_when_copied():
    X, Y, X_test, f_test = copied("get_data")(N=7, N_test=4)
    keys = jax.random.split(jax.random.key(0))
    model = copied("model")
    run_inference = copied("run_inference")
    mcmc = run_inference(
        model,
        keys[0],
        X,
        Y,
        D_H=2,
        num_warmup=4,
        num_samples=6,
        num_chains=2,
        progress_bar=False,
    )
    copied("print_convergence")(mcmc)
    draws = mcmc.get_samples(group_by_chain=True)
    at_test = functools.partial(copied("predict"), model, X=X_test, D_H=2)
    f_draws, Y_draws = copied("for_all_draws")(at_test, keys[1], draws)
    fig = copied("plot")(X, Y, X_test, f_test, f_draws, Y_draws)
    assert fig.axes
    plt.close(fig)


def test_no_piece_needs_a_constant_that_a_reader_could_forget_to_copy():
    assert not [node for node in TREE.body if isinstance(node, ast.Assign)]


def test_its_output_can_be_printed_in_any_locale():
    assert SOURCE.isascii()


def test_no_piece_exceeds_45_lines():
    sizes = {}
    for name, node in PIECES.items():
        sizes[name] = node.end_lineno - node.lineno + 1
    assert max(sizes.values()) <= 45, sizes


def test_the_program_begins_where_all_pieces_are_defined():
    guard = SOURCE.index("\nif __name__ == ")
    assert not DEFINED.search(SOURCE[guard:])


def test_no_key_is_used_twice(run_program):
    env = {"JAX_DEBUG_KEY_REUSE": "1"}
    result = run_program("run_with_checked_keys", *SMOKE, env=env)
    assert len(rows(stdout_of(result))) == 46
