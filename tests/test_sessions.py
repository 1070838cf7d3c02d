"""Do other people's sessions outlive the script: notebooks, prompts, programs?"""

import os
import pty
import signal
import sys
import termios
import time

import pytest
from helpers import (
    EARLIER,
    IMPORTABLE,
    PROGRAMS,
    SCRIPT,
    SMOKE,
    a_users_environment,
    assert_is_bad_input,
    rows,
)
from jupyter_client.manager import start_new_kernel
from pexpect.fdpexpect import fdspawn

FEW = ["-n", "8", "--num-warmup", "4", "--num-data", "7"]
RUN = f"{SCRIPT} {' '.join(FEW)}"
EXEC = f"exec(open({str(SCRIPT)!r}).read())"
LONG = ["-n", "10000"]  # a minute; the bar's first words come after 550 draws
USERS_BACKEND = {"MPLBACKEND": ""}  # none is set


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """Return a function that runs a cell of one notebook and gives what it prints.

    It can interrupt the cell at some text. Each test must leave the kernel as it was.
    """
    # a background job ignores SIGINT, and so do its children: a kernel must not
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    env = {**a_users_environment(), **IMPORTABLE}
    manager, client = start_new_kernel(cwd=tmp_path_factory.mktemp("kernel"), env=env)
    signal.signal(signal.SIGINT, before)

    def run(code, interrupt_at=None):
        printed = ""

        def hear(message):
            nonlocal printed, interrupt_at
            content = message["content"]
            printed += content.get("text", "")
            printed += "".join(f"<{kind}>" for kind in content.get("data", ()))
            if message["msg_type"] == "error":
                printed += f"{content['ename']}: {content['evalue']}"
            if interrupt_at and interrupt_at in printed:
                manager.interrupt_kernel()
                interrupt_at = None

        client.execute_interactive(code, output_hook=hear, timeout=120)
        return printed

    # jax draws a random number as it is imported, a notebook's first figure sets a mode
    run("import jax, matplotlib.pyplot as plt\nplt.close(plt.figure())")
    run((PROGRAMS / "state.py").read_text())
    run("kept = 42")
    yield run
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("magic", ["%run", "%run -i"])
def test_run_in_a_notebook_shows_all_or_an_error_and_changes_nothing(cell, magic):
    cell("before = state()")
    printed = cell(f"{magic} {RUN}")
    for part in ["4 + 8 draws each", "12/12", "acc. prob", "<image/png>"]:
        assert part in printed
    assert len(rows(printed)) == 46
    assert "unrecognized arguments: --bad" in cell(f"{magic} {SCRIPT} --bad")
    assert cell("print(state() == before, kept)") == "True 42\n"


def test_main_in_a_notebook_shows_the_bar_and_takes_no_flag_but_the_cells(cell):
    printed = cell(f"import bnn\nbnn.main({FEW})")
    assert "12/12" in printed
    assert "<image/png>" in printed
    assert cell("print(sys.argv[1])") == "-f\n"
    printed = cell("bnn.get_data = lambda N: 1 / 0\nbnn.main()")
    assert printed == "ZeroDivisionError: division by zero"  # so -f was no bad flag
    # flags that are set in a cell are respected
    cell(f"argv, sys.argv = sys.argv, ['bnn.py', *{FEW}]")
    assert "4 + 8 draws each" in cell(EXEC)
    cell("sys.argv = argv\ndel sys.modules['bnn']")


def test_interrupt_ends_the_work_and_not_the_kernel(cell):
    for call in [f"%run {SCRIPT} {' '.join(LONG)}", f"import bnn\nbnn.main({LONG})"]:
        assert cell(call, interrupt_at="1023 steps").endswith("KeyboardInterrupt: ")
        start = time.monotonic()
        assert cell("print(jax.numpy.ones(3).sum(), kept)") == "3.0 42\n"
        assert time.monotonic() - start < 10  # nothing goes on behind the prompt


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


def press_ctrl_c_at(prompt, screen):
    """Alone: what is typed just before or after it is thrown away."""
    screen.expect_exact(prompt)
    time.sleep(1)
    screen.send("\x03")
    time.sleep(1)


def test_ctrl_c_at_the_prompt_after_a_run_does_not_end_ipython(terminal):
    screen, _ = terminal("-m", "IPython", "--simple-prompt")
    screen.expect_exact("In [1]:")
    names = "signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE)"
    screen.sendline(f"import signal; before = {names}")
    screen.expect_exact("In [2]:")
    screen.sendline(f"%run {RUN}")
    screen.expect_exact("What has to converge")
    assert b"12/12" in screen.before
    press_ctrl_c_at("In [3]:", screen)
    screen.sendline(f"print('same', before == ({names}))")
    screen.expect_exact("same True")


def test_ctrl_c_at_the_prompt_that_follows_the_script_does_not_end_it(terminal):
    screen, _ = terminal("-i", SCRIPT, *FEW, PYTHON_BASIC_REPL="1")
    screen.expect_exact("What has to converge")
    assert b"12/12" in screen.before
    assert b"acc. prob" in screen.before
    press_ctrl_c_at(">>> ", screen)
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
    screen, process = terminal("-c", EXEC, *FEW, "-o", "gallery.png")
    screen.expect_exact("What has to converge")
    assert b"4 + 8 draws" in screen.before
    assert b"12/12" not in screen.before
    assert b"acc. prob" not in screen.before
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "gallery.png").exists()


def test_a_program_that_runs_it_gets_its_signals_and_all_else_back(run_program):
    result = run_program("run_as_a_guest", SCRIPT, *SMOKE, env=USERS_BACKEND)
    assert (result.returncode, result.stderr) == (0, "")
    for part in ["10 + 10 draws", "finished"]:
        assert result.stdout.count(part) == 2  # in a thread, and in the main one


def test_flags_count_where_the_script_comes_from_stdin(run_script, tmp_path):
    with open(SCRIPT) as script:
        result = run_script(*FEW, "-o", "r.png", script=["-"], stdin=script)
    assert "4 + 8 draws" in result.stdout
    assert (tmp_path / "r.png").exists()


def test_a_picture_that_lacks_latex_is_told_before_any_work(run_script, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    no_latex = os.path.dirname(sys.executable)
    told = assert_is_bad_input(run_script(env={"PATH": no_latex}))
    assert "latex" in told
