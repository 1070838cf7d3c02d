"""Does the script keep its promises when something around it goes wrong?"""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, SMOKE, TELL_PEAK, peak_gib
from test_command_line import (
    EARLIER,
    assert_fails_in_one_line,
    assert_is_bad_input,
    rows,
)

# Permissions do not stop root, so root gives up its right to override them.
UNPRIVILEGED = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
UNPRIVILEGED = UNPRIVILEGED if os.geteuid() == 0 else []


@pytest.fixture
def read_only(tmp_path):
    """A folder that nothing can be written to, with an earlier picture."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    (folder / "bnn_plot.pdf").write_bytes(EARLIER)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def assert_is_a_whole_pdf(path):
    content = path.read_bytes()
    assert content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF")


# Python imports this at its start: the picture is written half, then it waits.
WRITE_HALF_AND_WAIT = """
import os, time
def write_half_and_wait(event, args):
    if event == "open" and "/.bnn-" in str(args[0]) and args[1] == "w":
        os.write(os.open(args[0], os.O_WRONLY | os.O_CREAT), b"%PDF, and no more")
        print("half written", flush=True)
        time.sleep(600)
import sys
sys.addaudithook(write_half_and_wait)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("moment", ["NUTS on", "half written"])
def test_an_earlier_picture_survives_a_kill(tmp_path, name, moment):
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)
    environment = dict(os.environ)
    flags = ["-n", "1000000"]
    if moment == "half written":
        (tmp_path / "patch").mkdir()
        (tmp_path / "patch/sitecustomize.py").write_text(WRITE_HALF_AND_WAIT)
        environment["PYTHONPATH"] = str(tmp_path / "patch")
        flags = SMOKE
    process = subprocess.Popen(
        [sys.executable, ROOT / "bnn.py", *flags],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (line := process.stdout.readline()).startswith(moment):
        assert line, process.stderr.read()
    if moment == "NUTS on":
        time.sleep(6)  # long enough to be sampling
    process.send_signal(getattr(signal, name))
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == -getattr(signal, name)
    assert stderr == ""
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER
    visible = {f for f in os.listdir(tmp_path) if not f.startswith(".bnn-")}
    assert visible - {"patch"} == {"bnn_plot.pdf"}


def test_a_read_only_folder_is_told_before_any_work(run_script, read_only):
    result = run_script(*SMOKE, launcher=UNPRIVILEGED, cwd=read_only)
    assert_is_bad_input(result)
    assert (read_only / "bnn_plot.pdf").read_bytes() == EARLIER


def test_a_write_protected_picture_is_told_before_any_work(run_script, tmp_path):
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)
    (tmp_path / "bnn_plot.pdf").chmod(0o444)
    result = run_script(*SMOKE, launcher=UNPRIVILEGED)
    assert_is_bad_input(result)
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER


@pytest.mark.parametrize("home", ["none", "read-only"])
def test_it_runs_where_home_and_the_config_folder_cannot_be_written(
    run_script, tmp_path, read_only, home
):
    folder = {"none": "/proc/no-home", "read-only": str(read_only)}[home]
    names = ["HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
    env = dict.fromkeys(names, folder)
    result = run_script(*SMOKE, launcher=UNPRIVILEGED, env=env)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert_is_a_whole_pdf(tmp_path / "bnn_plot.pdf")
    assert os.listdir(read_only) == ["bnn_plot.pdf"]


def test_a_reader_that_leaves_early_does_not_cost_the_picture(tmp_path):
    # Python holds back what goes into a pipe, unless it is told not to: 7 units, the
    # longest table, fit
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, ROOT / "bnn.py", *SMOKE, "--num-hidden", "7"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()  # as `| head -n 1` does
    process.stdout.close()
    stderr = process.stderr.read()
    # the system ends it at a print, as any program, but after the picture
    assert (process.wait(), stderr) == (-signal.SIGPIPE, "")
    assert_is_a_whole_pdf(tmp_path / "bnn_plot.pdf")


def test_without_stdout_it_still_draws_the_picture(run_script, tmp_path):
    closed = ["bash", "-c", 'exec "$0" "$@" >&-']
    result = run_script(*SMOKE, launcher=closed)
    assert (result.returncode, result.stderr) == (0, "")
    assert_is_a_whole_pdf(tmp_path / "bnn_plot.pdf")


def test_a_run_that_needs_more_memory_than_there_is_ends_in_one_line(run_script):
    # within the bounds, 8 GB of predictions; 8 GB are allowed for all
    limited = ["bash", "-c", 'ulimit -v 8000000; exec "$0" "$@"']
    result = run_script("-n", 2_000_000, "--num-warmup", 0, launcher=limited)
    assert_fails_in_one_line(result)
    assert "out of memory" in result.stderr


def test_a_locale_without_utf8_and_a_path_with_spaces_and_letters(run_script, tmp_path):
    folder = tmp_path / "mein Ordner äß 图"
    folder.mkdir()
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = run_script(*SMOKE, "-o", "mein Bild öé 图.pdf", cwd=folder, env=env)
    assert (result.returncode, result.stderr) == (0, "")
    assert_is_a_whole_pdf(folder / "mein Bild öé 图.pdf")
    result = run_script("-o", "nirgendwo/öé 图.pdf", cwd=folder, env=env)
    assert_is_bad_input(result)


def test_two_runs_at_once_in_one_folder_leave_one_whole_picture(tmp_path):
    command = [sys.executable, ROOT / "bnn.py", *SMOKE]
    options = dict(cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    processes = [subprocess.Popen(command, **options) for _ in range(2)]
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert (process.returncode, stderr) == (0, b"")
    assert os.listdir(tmp_path) == ["bnn_plot.pdf"]
    assert_is_a_whole_pdf(tmp_path / "bnn_plot.pdf")


def test_a_large_network_finishes_within_2_gib(run_script):
    flags = "--num-hidden 200 --num-data 5000 -n 4 --num-warmup 4".split()
    result = run_script(*flags, python_flags=["-c", TELL_PEAK])
    assert result.returncode == 0, result.stderr
    assert peak_gib(result.stderr) < 2
    # the rows of the weights, which are to be looked past, are left out
    assert [row[0] for row in rows(result.stdout)] == ["prec_obs"]
    assert "rows of 40800 weights are left out" in result.stdout


def test_64_chains_finish(run_script):
    result = run_script(*SMOKE, "--num-chains", 64)
    assert (result.returncode, result.stderr) == (0, "")
    assert "64 chain(s) on 64 of 64 device(s)" in result.stdout
    assert len(rows(result.stdout)) == 46


@pytest.mark.parametrize("flags", [[], ["--marginalize"]])
def test_a_smoke_run_gives_no_warnings(run_script, flags):
    result = run_script(*SMOKE, *flags, python_flags=["-W", "error"])
    assert (result.returncode, result.stderr) == (0, "")
