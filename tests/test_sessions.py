"""Do other people's sessions outlive the script: notebooks, prompts, programs?"""

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
import types

import matplotlib.pyplot as plt
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

import bnn

FEW = ["-n", "8", "--num-warmup", "4", "--num-data", "7"]
RUN = f"{SCRIPT} {' '.join(FEW)}"
GUARD = 'if __name__ == "__main__":'
LONG = ["-n", "10000"]  # a minute; the bar's first words come after 550 draws
USERS_BACKEND = {"MPLBACKEND": ""}  # none is set


# Whose flags, and whose process? The file with a stand-in for the work of main.
def run_file(monkeypatch, argv, main, **names):
    """Run the file's last lines where they have these names, under this sys.argv."""
    before, guard = SCRIPT.read_text().split(GUARD)
    names["__name__"] = "__main__"
    exec(before, names)
    names["main"] = main
    monkeypatch.setattr(sys, "argv", argv.split())
    exec(GUARD + guard, names)


COMMANDS = {
    "python bnn.py": ("bnn.py", "bnn.py"),
    "from elsewhere": ("../there/bnn.py", "../there/bnn.py"),
    "python -m bnn": ("/there/bnn.py", "/there/bnn.py"),
    "coverage run bnn.py": ("bnn.py", "/there/bnn.py"),
    "%run in a notebook": ("/there/bnn.py", "bnn.py"),
    "a copy of another name": ("mine.py", "mine.py"),
    "python - < bnn.py": ("-", None),
}
GUESTS = {
    "a cell in Jupyter": ("ipykernel_launcher.py -f kernel.json", None),
    "VS Code's interactive window": ("ipykernel_launcher.py -f k.json", "bnn.py"),
    "PyCharm's console": ("/pycharm/pydevconsole.py --mode=client", "/there/bnn.py"),
    "a gallery": ("/there/bnn.py --flag", None),
    "a gallery's builder": ("/bin/sphinx-build -b html . _build", None),
    "somebody's program": ("theirs.py --flag", "/there/bnn.py"),
    "python -c": ("-c", None),
}


def flags_taken(monkeypatch, argv, file):
    """What main gets."""
    taken = []
    names = {} if file is None else {"__file__": file}
    run_file(monkeypatch, argv, lambda argv=(): taken.append(argv), **names)
    (flags,) = taken
    return list(flags)


@pytest.mark.parametrize("how", COMMANDS)
def test_the_flags_are_the_files_where_it_is_the_command(monkeypatch, how):
    command, file = COMMANDS[how]
    for flags in [[], FEW, ["--unknown"]]:
        argv = " ".join([command, *flags])
        assert flags_taken(monkeypatch, argv, file) == flags


def test_the_flags_are_the_files_where_a_link_to_it_is_the_command(
    monkeypatch, tmp_path
):
    link = tmp_path / "mine"
    link.symlink_to(SCRIPT)
    assert flags_taken(monkeypatch, f"{link} --flag", str(link)) == ["--flag"]


@pytest.mark.parametrize("how", GUESTS)
def test_flags_of_another_command_are_not_read(monkeypatch, how):
    assert flags_taken(monkeypatch, *GUESTS[how]) == []


def test_main_reads_no_flags_of_the_program_that_calls_it(monkeypatch):
    settings = []
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--unknown"])
    monkeypatch.setattr(bnn, "get_data", lambda N: settings.append(N) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bnn.main()
    assert settings == [100]


@pytest.fixture
def foreground(monkeypatch):
    """Python's own handler of Ctrl-C, which a background job does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def handler_in_main(monkeypatch, argv="bnn.py"):
    """What handles Ctrl-C while main works, and matplotlib's backend there."""
    seen = []

    def main(argv=()):
        seen.extend([signal.getsignal(signal.SIGINT), plt.get_backend().lower()])

    run_file(monkeypatch, argv, main, __file__="bnn.py")
    return seen


def test_a_command_of_its_own_ends_at_once_and_needs_no_display(
    monkeypatch, foreground
):
    plt.switch_backend("svg")
    assert handler_in_main(monkeypatch) == [signal.SIG_DFL, "agg"]
    assert signal.getsignal(signal.SIGINT) is foreground


def test_a_background_job_goes_on_ignoring_ctrl_c(monkeypatch, foreground):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert handler_in_main(monkeypatch)[0] is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_handler_that_somebody_set_is_given_back(monkeypatch, foreground):
    def handler(number, frame):
        """As a debugger has one."""

    signal.signal(signal.SIGINT, handler)
    assert handler_in_main(monkeypatch)[0] is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("how", ["a prompt", "python -i", "a guest"])
def test_an_interrupt_and_the_display_are_anothers(monkeypatch, foreground, how):
    plt.switch_backend("svg")
    argv = "theirs.py" if how == "a guest" else "bnn.py"
    if how == "a prompt":
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    if how == "python -i":  # a prompt will follow
        monkeypatch.setattr(sys, "flags", types.SimpleNamespace(inspect=1))
    assert handler_in_main(monkeypatch, argv) == [foreground, "svg"]
    plt.switch_backend("agg")


def test_the_handler_is_given_back_when_main_fails(monkeypatch, foreground):
    def main(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_file(monkeypatch, "bnn.py", main, __file__="bnn.py")
    assert signal.getsignal(signal.SIGINT) is foreground


def test_in_a_thread_the_handler_stays(monkeypatch, foreground):
    seen = []

    def work():
        seen.extend(handler_in_main(monkeypatch))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [foreground, "agg"]


# Sessions of other people
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


def test_main_in_a_notebook_shows_the_bar_and_takes_no_flag_of_the_kernel(cell):
    printed = cell(f"import bnn\nbnn.main({FEW})")
    assert "12/12" in printed
    assert "<image/png>" in printed
    assert cell("print(sys.argv[1])") == "-f\n"
    printed = cell("bnn.get_data = lambda N: 1 / 0\nbnn.main()")
    assert printed == "ZeroDivisionError: division by zero"  # -f was not read
    cell("del sys.modules['bnn']")


def test_interrupt_ends_the_work_and_not_the_kernel(cell):
    for call in [f"%run {SCRIPT} {' '.join(LONG)}", f"import bnn\nbnn.main({LONG})"]:
        printed = cell(call, interrupt_at="1023 steps")
        # not always its last words: IPython may fail to format a frame without a line
        assert "KeyboardInterrupt" in printed
        assert "elapsed" not in printed
        start = time.monotonic()
        assert cell("print(jax.numpy.ones(3).sum(), kept)") == "3.0 42\n"
        assert time.monotonic() - start < 10  # nothing goes on behind the prompt


@pytest.fixture
def terminal(run_script):
    """Return a function that starts Python in a pseudo-terminal: screen, process.

    What is given for stdout or stderr is in the terminal's place.
    """

    def start(*flags, stdout=None, stderr=None, **env):
        parent, child = pty.openpty()
        termios.tcsetwinsize(child, (24, 100))
        process = run_script(
            *flags,
            script=(),
            # a session of its own; a background job ignores SIGINT
            launcher=["setsid", "--ctty", "env", "--default-signal=INT"],
            env={**USERS_BACKEND, "TERM": "dumb", **env},
            stdin=child,
            stdout=stdout or child,
            stderr=stderr or child,
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


# stdout goes into a pipe, as with "| tee": who watches stderr sees the bar
def test_ctrl_c_in_a_terminal_ends_it_at_once_in_a_debugger_too(terminal, tmp_path):
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)
    debugger = ["-m", "pdb", "-c", "continue", "--"]
    screen, process = terminal(*debugger, SCRIPT, *LONG, stdout=subprocess.PIPE)
    screen.expect_exact("1023 steps")
    screen.send("\x03")
    assert process.wait(timeout=20) == -signal.SIGINT  # 130 in a shell
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER


def test_a_log_of_stderr_has_no_bar_though_stdout_is_a_terminal(terminal, tmp_path):
    log = tmp_path / "err.log"
    as_module = ["-m", "bnn", *FEW]
    screen, process = terminal(*as_module, stderr=log.open("w"), **IMPORTABLE)
    screen.expect_exact("4 + 8 draws each")
    screen.expect_exact("What has to converge")
    assert process.wait(timeout=60) == 0
    assert log.read_text() == ""


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
