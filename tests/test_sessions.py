"""Do other people's sessions outlive the script: notebooks, prompts, programs?"""

import os
import pty
import signal
import sys
import termios
import time

import pytest
from conftest import ROOT, SCRIPT, SMOKE, a_users_environment
from jupyter_client.manager import start_new_kernel
from pexpect.fdpexpect import fdspawn
from test_command_line import EARLIER, assert_is_bad_input, rows

FEW = ["-n", "8", "--num-warmup", "4", "--num-data", "7"]
LONG = ["-n", "10000"]  # a minute; the bar's first words come after 550 draws
USERS_BACKEND = {"MPLBACKEND": ""}  # none is set


# A notebook


class Notebook:
    """A real kernel, one cell at a time."""

    def __init__(self, folder):
        env = {**a_users_environment(), "PYTHONPATH": str(ROOT)}
        # a background job ignores SIGINT, and so do its children: a kernel must not
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.manager, self.client = start_new_kernel(cwd=folder, env=env)
        signal.signal(signal.SIGINT, before)

    def cell(self, code, interrupt_at=None):
        """Run a cell; return what it prints. Interrupt it when it prints some text."""
        printed, interrupt = "", bool(interrupt_at)

        def hear(message):
            nonlocal printed, interrupt
            content = message["content"]
            printed += content.get("text", "")
            printed += "".join(f"<{kind}>" for kind in content.get("data", ()))
            if message["msg_type"] == "error":
                printed += f"{content['ename']}: {content['evalue']}"
            if interrupt and interrupt_at in printed:
                self.manager.interrupt_kernel()
                interrupt = False

        self.client.execute_interactive(code, output_hook=hear, timeout=120)
        return printed


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """One kernel for all tests: each is a cell that must leave it as it was."""
    notebook = Notebook(tmp_path_factory.mktemp("notebook"))
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
def test_run_in_a_notebook_shows_bar_table_and_picture(notebook, magic):
    notebook.cell(STATE + "\nbefore = state()")
    printed = notebook.cell(f"{magic} {SCRIPT} {' '.join(FEW)}")
    for part in ["4 + 8 draws each", "12/12", "acc. prob", "<image/png>"]:
        assert part in printed
    assert len(rows(printed)) == 46
    assert notebook.cell("print(state() == before, kept)") == "True 42\n"


def test_main_in_a_notebook_shows_the_bar_and_ignores_the_kernels_flag(notebook):
    printed = notebook.cell(f"import bnn\nbnn.main({FEW})")
    assert "12/12" in printed and "<image/png>" in printed
    assert notebook.cell("print(sys.argv[1])") == "-f\n"
    printed = notebook.cell("bnn.get_data = lambda N: 1 / 0\nbnn.main()")
    assert printed == "ZeroDivisionError: division by zero"  # so -f was no bad flag
    notebook.cell("del sys.modules['bnn']")


def test_a_cell_respects_the_flags_that_are_set_in_it(notebook):
    notebook.cell(f"argv, sys.argv = sys.argv, ['bnn.py', *{FEW}]")
    printed = notebook.cell(f"exec(open({str(SCRIPT)!r}).read())")
    assert "4 + 8 draws each" in printed
    notebook.cell("sys.argv = argv")


@pytest.mark.parametrize(
    "call", [f"%run {SCRIPT} {' '.join(LONG)}", f"import bnn\nbnn.main({LONG})"]
)
def test_interrupt_ends_the_work_and_not_the_kernel(notebook, call):
    printed = notebook.cell(call, interrupt_at="1023 steps")
    assert printed.endswith("KeyboardInterrupt: ")
    start = time.monotonic()
    cell = "import jax.numpy as jnp\nprint(jnp.ones(3).sum(), kept)"
    assert notebook.cell(cell) == "3.0 42\n"
    assert time.monotonic() - start < 10  # nothing goes on behind the prompt


def test_bad_flags_in_a_notebook_cost_nothing(notebook):
    assert "unrecognized arguments: --bad" in notebook.cell(f"%run {SCRIPT} --bad")
    assert notebook.cell("print(kept)") == "42\n"


# A terminal


@pytest.fixture
def terminal(run_script):
    """Return a function that starts Python in a pseudo-terminal: screen, process."""

    def start(*flags, **env):
        parent, child = pty.openpty()
        termios.tcsetwinsize(child, (24, 100))
        process = run_script(
            *flags,
            script=(),
            # a session of its own; a background job ignores SIGINT
            launcher=["setsid", "--ctty", "env", "--default-signal=INT"],
            env={**USERS_BACKEND, "TERM": "dumb", **env},
            **dict.fromkeys(["stdin", "stdout", "stderr"], child),
            wait=False,
        )
        os.close(child)
        return fdspawn(parent, timeout=120), process

    return start


def press_ctrl_c(screen):
    """Alone: what is typed just before or after it is thrown away."""
    time.sleep(1)
    screen.send("\x03")
    time.sleep(1)


def test_ctrl_c_at_the_prompt_after_a_run_does_not_end_ipython(terminal):
    screen, _ = terminal("-m", "IPython", "--simple-prompt")
    screen.expect_exact("In [1]:")
    names = "signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE)"
    screen.sendline(f"import signal; before = {names}")
    screen.expect_exact("In [2]:")
    screen.sendline(f"%run {SCRIPT} {' '.join(FEW)}")
    screen.expect_exact("What has to converge")
    assert b"12/12" in screen.before
    screen.expect_exact("In [3]:")
    press_ctrl_c(screen)
    screen.sendline(f"print('same', before == ({names}))")
    screen.expect_exact("same True")


def test_ctrl_c_at_the_prompt_that_follows_the_script_does_not_end_it(terminal):
    screen, _ = terminal("-i", SCRIPT, *FEW, PYTHON_BASIC_REPL="1")
    screen.expect_exact("What has to converge")
    assert b"12/12" in screen.before and b"acc. prob" in screen.before
    screen.expect_exact(">>> ")
    press_ctrl_c(screen)
    screen.sendline("print('alive', 6 * 7)")
    screen.expect_exact("alive 42")


def test_ctrl_c_in_a_terminal_ends_the_script_at_once(terminal, tmp_path):
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)
    screen, process = terminal(SCRIPT, *LONG)
    screen.expect_exact("1023 steps")
    screen.send("\x03")
    assert process.wait(timeout=20) == -signal.SIGINT  # 130 in a shell
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER


def test_a_gallery_built_in_a_terminal_gets_the_flags_and_no_bar(terminal, tmp_path):
    # without a file, as a gallery runs it
    code = f"exec(open({str(SCRIPT)!r}).read())"
    screen, process = terminal("-c", code, *FEW, "-o", "gallery.png")
    screen.expect_exact("What has to converge")
    assert b"4 + 8 draws" in screen.before
    assert b"12/12" not in screen.before and b"acc. prob" not in screen.before
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "gallery.png").exists()


# Programs that run the script, and other ways to start it

AS_A_GUEST = """
import os, runpy, signal, sys, threading, warnings, matplotlib, jax
def state():
    signals = [signal.getsignal(s) for s in signal.Signals]
    return signals, dict(os.environ), os.getcwd(), sys.argv, dict(matplotlib.rcParams)
def run():
    runpy.run_path(sys.argv[0], run_name="__main__")
    print("finished")
sys.argv = sys.argv[1:]
before = state()
thread = threading.Thread(target=run)
thread.start()
thread.join()
assert state() == before
run()
assert state() == before
"""


def test_a_program_that_runs_it_gets_its_signals_and_all_else_back(run_script):
    flags = ["-c", AS_A_GUEST]
    result = run_script(*SMOKE, python_flags=flags, env=USERS_BACKEND)
    assert (result.returncode, result.stderr) == (0, "")
    for part in ["10 + 10 draws", "finished"]:
        assert result.stdout.count(part) == 2  # in a thread, and in the main one


def test_flags_count_where_the_script_comes_from_stdin(run_script, tmp_path):
    with open(SCRIPT) as script:
        result = run_script(*FEW, "-o", "r.png", script=["-"], stdin=script)
    assert "4 + 8 draws" in result.stdout and (tmp_path / "r.png").exists()


def test_a_picture_that_lacks_latex_is_told_before_any_work(run_script, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    no_latex = os.path.dirname(sys.executable)
    assert "latex" in assert_is_bad_input(run_script(env={"PATH": no_latex}))
