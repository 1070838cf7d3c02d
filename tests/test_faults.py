"""Does the script keep its promises when something around it goes wrong?"""

import os
import re
import signal
import time

import pytest
from helpers import EARLIER, SCRIPT, SMOKE, assert_is_bad_input, rows

# Permissions do not stop root, so root gives up its right to override them.
GIVE_UP = "setpriv --bounding-set -dac_override,-dac_read_search".split()
UNPRIVILEGED = GIVE_UP if os.geteuid() == 0 else []


@pytest.fixture
def earlier(tmp_path):
    """An earlier picture, where the script runs, that has to survive."""
    picture = tmp_path / "bnn_plot.pdf"
    picture.write_bytes(EARLIER)
    yield picture
    tmp_path.chmod(0o755)
    assert picture.read_bytes() == EARLIER


def assert_is_a_whole_pdf(path):
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert content.rstrip().endswith(b"%%EOF")


# What JAX logs before it runs the loop of one chain, of several, in other versions.
LOOP = r"Finished XLA compilation of (jit\(_fori_collect_loop|jit\(_fun\)|pmap)"


def wait_until_it_samples(log):
    """At most 15 s: a version that logs other names is in the loop by then."""
    for _ in range(150):
        if re.search(LOOP, log.read_text()):
            break
        time.sleep(0.1)
    time.sleep(1)  # from compiled to running


@pytest.mark.parametrize("number, chains", [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_a_signal_ends_sampling_at_once_without_a_word(
    run_script, earlier, tmp_path_factory, number, chains
):
    log = tmp_path_factory.mktemp("log") / "stderr"
    foreground = ["env", "--default-signal=INT"]  # a background job ignores it
    options = dict(env={"JAX_LOG_COMPILES": "1"}, stderr=log.open("w"), wait=False)
    flags = ["-n", 100_000, "--num-chains", chains]
    process = run_script(*flags, launcher=foreground, **options)
    assert process.stdout.readline().startswith("NUTS on cpu")
    wait_until_it_samples(log)
    before = log.read_text()
    process.send_signal(number)
    # within a second on an idle machine; a shell reports Ctrl-C as 130
    assert process.wait(timeout=20) == -number
    assert log.read_text() == before
    assert os.listdir(earlier.parent) == ["bnn_plot.pdf"]


def test_an_earlier_picture_survives_a_kill_in_a_write(run_program, earlier):
    process = run_program("write_half_and_wait", SCRIPT, *SMOKE, wait=False)
    assert process.stderr.readline() == "half written\n"
    process.kill()
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (-signal.SIGKILL, "")
    left = os.listdir(earlier.parent)
    visible = [name for name in left if not name.startswith(".bnn-")]
    assert visible == ["bnn_plot.pdf"]
    assert len(left) == 2  # the half is there, so it was written


@pytest.mark.parametrize("folder", [True, False], ids=["the folder", "the picture"])
def test_what_cannot_be_written_is_told_before_any_work(run_script, earlier, folder):
    (earlier.parent if folder else earlier).chmod(0o555)
    assert_is_bad_input(run_script(*SMOKE, launcher=UNPRIVILEGED))


def test_an_earlier_picture_and_the_tables_survive_a_full_disk(run_script, earlier):
    # every write beyond 4 kB fails, as on a disk that fills up
    small_files = ["bash", "-c", 'ulimit -f 4; exec "$0" "$@"']
    only_read = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}
    result = run_script(*SMOKE, launcher=small_files, env=only_read)
    assert result.returncode == 1
    assert re.fullmatch("bnn.py: error: cannot write .*\n", result.stderr)
    assert len(rows(result.stdout)) == 46
    assert "What has to converge" in result.stdout
    assert os.listdir(earlier.parent) == ["bnn_plot.pdf"]


NOWHERE = {
    "HOME": "/proc/no-home",
    "XDG_CACHE_HOME": "/proc/no-home",
    "XDG_CONFIG_HOME": "read-only",
    "MPLCONFIGDIR": "",  # is not set
    "MPLBACKEND": "TkAgg",
    "DISPLAY": "",
}
OTHER_LOCALE = {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "MPLBACKEND": "module://backend_interagg",
}
CLOSED_STDOUT = ["bash", "-c", 'exec "$0" "$@" >&-']
CLOSED_STDERR = ["bash", "-c", 'exec "$0" "$@" 2>&-']
SURROUNDINGS = {
    "closed stdout, no home, a config folder that cannot be written, no display": dict(
        launcher=[*UNPRIVILEGED, *CLOSED_STDOUT], env=NOWHERE
    ),
    "a locale without UTF-8 and a backend that is not installed, PyCharm's": dict(
        launcher=UNPRIVILEGED, env=OTHER_LOCALE
    ),
    "closed stderr": dict(launcher=[*UNPRIVILEGED, *CLOSED_STDERR]),
}


# the picture is a link in a folder that cannot be written, to one that can
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_in_poor_surroundings_it_still_draws_the_picture(run_script, tmp_path, name):
    folder, picture = tmp_path / "mein Ordner äß 图", "mein Bild öé 图.pdf"
    closed = folder / "read-only"
    closed.mkdir(parents=True)
    (closed / picture).symlink_to(folder / picture)
    closed.chmod(0o555)
    link = f"read-only/{picture}"
    result = run_script(*SMOKE, "-o", link, cwd=folder, **SURROUNDINGS[name])
    assert result.returncode == 0, result.stderr
    # Matplotlib says where it has no folder, and nothing else is said
    assert all("atplotlib" in line for line in result.stderr.splitlines())
    assert_is_a_whole_pdf(folder / picture)
    assert not (folder / picture).is_symlink()
    assert os.listdir(closed) == [picture]
    assert (closed / picture).is_symlink()


def test_two_background_jobs_in_one_folder_ignore_ctrl_c_and_draw(run_script, tmp_path):
    ignoring = dict(launcher=["env", "--ignore-signal=INT"], wait=False)
    jobs = [run_script(*SMOKE, **ignoring) for _ in range(2)]
    for job in jobs:
        assert job.stdout.readline().startswith("NUTS on cpu")
        job.send_signal(signal.SIGINT)
    for job in jobs:
        _, stderr = job.communicate(timeout=300)
        assert (job.returncode, stderr) == (0, "")
    assert os.listdir(tmp_path) == ["bnn_plot.pdf"]
    assert_is_a_whole_pdf(tmp_path / "bnn_plot.pdf")
