"""Do other people's sessions outlive the script: notebooks, prompts, programs?"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from unittest import mock

import pytest
from conftest import ROOT, SMOKE
from jupyter_client.manager import start_new_kernel
from test_command_line import rows

SCRIPT = str(ROOT / "bnn.py")
FEW = ["-n", "8", "--num-warmup", "4", "--num-data", "7"]


@pytest.fixture(scope="module", autouse=True)
def share_what_is_compiled(warm_cache):
    """Runs of the same size take the programs of earlier ones."""
    with mock.patch.dict(os.environ, warm_cache):
        yield


def a_users_environment(**changes):
    """Without what the tests set, and without NumPyro's reasons to hide its bar."""
    hidden = ["XLA_FLAGS", "MPLBACKEND", "CI", "PYTEST_XDIST_WORKER"]
    clean = {k: v for k, v in os.environ.items() if k not in hidden}
    return {**clean, "PYTHONPATH": str(ROOT), **changes}


# A notebook


class Notebook:
    """A real kernel, one cell at a time."""

    def __init__(self, folder, env):
        self.manager, self.client = start_new_kernel(cwd=folder, env=env)

    def cell(self, code, interrupt_at=None):
        """Run a cell; return what it prints. Interrupt it when it prints some text."""
        sent, printed = self.client.execute(code), ""
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            content = message["content"]
            if message["parent_header"].get("msg_id") != sent:
                continue
            if message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "display_data":
                printed += "".join(f"<{kind}>" for kind in content["data"])
            elif message["msg_type"] == "error":
                printed += f"{content['ename']}: {content['evalue']}"
            elif content.get("execution_state") == "idle":
                return printed
            if interrupt_at and interrupt_at in printed:
                self.manager.interrupt_kernel()
                interrupt_at = None


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """One kernel for all tests: each is a cell that must leave it as it was."""
    # a background job ignores SIGINT, and so do its children: a kernel's own does not
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    notebook = Notebook(tmp_path_factory.mktemp("notebook"), a_users_environment())
    signal.signal(signal.SIGINT, before)
    notebook.cell("import os, signal, sys, matplotlib, numpy as np\nkept = 42")
    # jax draws a random number as it is imported, a notebook's first figure sets a mode
    notebook.cell("import jax, matplotlib.pyplot as plt\nplt.close(plt.figure())")
    yield notebook
    notebook.manager.shutdown_kernel(now=True)


STATE = """
def state():
    return (
        [signal.getsignal(s) for s in signal.Signals], dict(os.environ), os.getcwd(),
        dict(matplotlib.rcParams), np.geterr(), np.random.get_state()[1].sum(), sys.argv
    )
"""


@pytest.mark.parametrize("magic", ["%run", "%run -i"])
def test_a_run_in_a_notebook_reads_its_flags_shows_bar_table_and_picture(
    notebook, magic
):
    notebook.cell(STATE + "\nbefore = state()")
    printed = notebook.cell(f"{magic} {SCRIPT} {' '.join(FEW)}")
    for part in ["4 + 8 draws each", "12/12", "acc. prob", "<image/png>"]:
        assert part in printed
    assert len(rows(printed)) == 46
    assert notebook.cell("print(state() == before, kept)") == "True 42\n"


def test_main_in_a_notebook_shows_the_bar_and_does_not_read_jupyters_flags(notebook):
    printed = notebook.cell(f"import bnn\nbnn.main({FEW})")
    assert "12/12" in printed and "<image/png>" in printed
    assert notebook.cell("bnn.parse_args = lambda argv: 1 / len(argv)\nbnn.main()") == (
        "ZeroDivisionError: division by zero"
    )
    notebook.cell("del sys.modules['bnn']")


def test_a_cell_respects_the_flags_that_are_set_in_it(notebook):
    code = (
        f"argv, sys.argv = sys.argv, ['bnn.py', *{FEW}]\nexec(open({SCRIPT!r}).read())"
    )
    assert "4 + 8 draws each" in notebook.cell(code)
    notebook.cell("sys.argv = argv")


@pytest.mark.parametrize(
    "call", ["%run {} -n 300000", "import bnn\nbnn.main(['-n300000'])"]
)
def test_interrupt_ends_the_work_and_not_the_kernel(notebook, call):
    printed = notebook.cell(call.format(SCRIPT), interrupt_at="1023 steps")
    assert printed.endswith("KeyboardInterrupt: ")
    start = time.monotonic()
    cell = "import jax.numpy as jnp\nprint(jnp.ones(3).sum(), kept)"
    assert notebook.cell(cell) == "3.0 42\n"
    assert time.monotonic() - start < 10  # nothing goes on behind the prompt


def test_bad_flags_in_a_notebook_cost_nothing(notebook):
    assert "unrecognized arguments: --bad" in notebook.cell(f"%run {SCRIPT} --bad")
    assert notebook.cell("print(kept)") == "42\n"


def test_a_closed_pipe_is_an_error_in_a_notebook_as_before(notebook):
    write = "r, w = os.pipe()\nos.close(r)\nos.write(w, b'x')"
    assert "BrokenPipeError" in notebook.cell(write)
    assert notebook.cell("print(kept)") == "42\n"


# Prompts, in a pseudo-terminal


class Terminal:
    """A program in a pseudo-terminal: what is typed, what is seen."""

    def __init__(self, *command, cwd, **env):
        parent, child = pty.openpty()
        termios.tcsetwinsize(child, (24, 100))
        restore = ["env", "--default-signal=INT"]  # a background job ignores it
        env = a_users_environment(TERM="dumb", **env)
        self.process = subprocess.Popen(
            [*restore, *command],
            cwd=cwd,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0),  # TIOCSCTTY
            stdin=child,
            stdout=child,
            stderr=child,
        )
        os.close(child)
        self.screen, self.parent = b"", parent

    def wait_for(self, text):
        """Read on until the text is seen; return what came before it."""
        while text not in self.screen:
            ready, _, _ = select.select([self.parent], [], [], 60)
            assert ready, self.screen
            self.screen += os.read(self.parent, 4096)
        seen, _, self.screen = self.screen.partition(text)
        return seen

    def type(self, text):
        os.write(self.parent, text)

    def press_ctrl_c(self):
        """Alone: what is typed just before or after it is thrown away."""
        time.sleep(1)
        self.type(b"\x03")
        time.sleep(1)


@pytest.fixture
def terminal(tmp_path):
    """Return a function that starts a program in a pseudo-terminal."""
    opened = []

    def start(*command, **env):
        opened.append(Terminal(*command, cwd=tmp_path, **env))
        return opened[-1]

    yield start
    for each in opened:
        each.process.kill()
        each.process.wait()


def test_ctrl_c_at_the_prompt_after_a_run_does_not_end_ipython(terminal):
    ipython = terminal(sys.executable, "-m", "IPython", "--simple-prompt")
    ipython.wait_for(b"In [1]:")
    names = "signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE)"
    ipython.type(f"import signal; before = {names}\n".encode())
    ipython.wait_for(b"In [2]:")
    ipython.type(f"%run {SCRIPT} {' '.join(FEW)}\n".encode())
    assert b"12/12" in ipython.wait_for(b"What has to converge")
    ipython.wait_for(b"In [3]:")
    ipython.press_ctrl_c()
    ipython.type(f"print('same', before == ({names}))\n".encode())
    ipython.wait_for(b"same True")


def test_ctrl_c_at_the_prompt_that_follows_the_script_does_not_end_it(terminal):
    python = terminal(sys.executable, "-i", SCRIPT, *FEW, PYTHON_BASIC_REPL="1")
    python.wait_for(b"What has to converge")
    python.wait_for(b">>> ")
    python.press_ctrl_c()
    python.type(b"print('alive', 6 * 7)\n")
    python.wait_for(b"alive 42")


def test_ctrl_c_in_a_terminal_ends_the_script_at_once(terminal, tmp_path):
    (tmp_path / "bnn_plot.pdf").write_bytes(b"earlier")
    python = terminal(sys.executable, SCRIPT, "-n", "300000")
    python.wait_for(b"1023 steps")
    python.press_ctrl_c()
    assert python.process.wait(timeout=20) == -signal.SIGINT  # 130 in a shell
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == b"earlier"


# Programs that run the script, and other ways to start it

AS_A_GUEST = """
import os, runpy, signal, sys, threading, warnings, matplotlib, jax
def state():
    signals = [signal.getsignal(s) for s in signal.Signals]
    return signals, dict(os.environ), os.getcwd(), sys.argv, dict(matplotlib.rcParams)
before = state()
def run():
    runpy.run_path(sys.argv[0], run_name="__main__")
    print("finished")
where, sys.argv = sys.argv[1], sys.argv[2:]
before = state()
if where == "thread":
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
else:
    run()
assert state() == before
"""


def started(*command, cwd, stdin=None, **env):
    """The result of a program that is started from a shell."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=a_users_environment(**env),
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_program_that_runs_it_gets_its_signals_and_all_else_back(tmp_path, where):
    result = started("-c", AS_A_GUEST, where, SCRIPT, *SMOKE, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "10 + 10 draws" in result.stdout and "finished" in result.stdout


def test_flags_count_where_the_script_comes_from_stdin_or_exec(tmp_path):
    with open(SCRIPT) as script:
        result = started("-", *FEW, "-o", "r.png", cwd=tmp_path, stdin=script)
    assert "4 + 8 draws" in result.stdout and (tmp_path / "r.png").exists()
    code = f"exec(open({SCRIPT!r}).read())"
    result = started("-c", code, *FEW, "-o", "e.png", cwd=tmp_path)
    assert "4 + 8 draws" in result.stdout and (tmp_path / "e.png").exists()


@pytest.mark.parametrize(
    "backend", ["module://backend_interagg", "cairo", "TkAgg", "module://no.such"]
)
def test_a_backend_that_cannot_be_loaded_costs_nothing(tmp_path, backend):
    result = started(SCRIPT, *SMOKE, cwd=tmp_path, MPLBACKEND=backend, DISPLAY="")
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "bnn_plot.pdf").read_bytes().startswith(b"%PDF")


def test_the_table_is_printed_where_the_picture_fails(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    no_latex = os.path.dirname(sys.executable)
    result = started(SCRIPT, *SMOKE, cwd=tmp_path, PATH=no_latex)
    assert result.returncode == 1 and "latex" in result.stderr
    assert len(rows(result.stdout)) == 46
    assert re.search("Number of divergences", result.stdout)
