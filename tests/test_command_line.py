"""Does the script do what was asked, and say in one message why it cannot?"""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import tomllib

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT, SMOKE

import bnn

EARLIER = b"a picture from an earlier run"


def message(stderr):
    """What is wrong, as argparse says it: after the usage, and nothing else."""
    usage, text = stderr.split("bnn.py: error: ")
    assert usage.startswith("usage: bnn.py [-h]"), stderr
    assert "Traceback" not in stderr
    return text


def assert_is_bad_input(result):
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    return message(result.stderr)


def assert_fails_in_one_line(result):
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("bnn.py: error: ")
    assert len(result.stderr.splitlines()) == 1, result.stderr


def rows(stdout):
    """The rows of NumPyro's table: name, mean, std, median, 5 %, 95 %, n_eff, r_hat."""
    cells = [line.split() for line in stdout.splitlines()]
    return [c for c in cells if len(c) == 8 and re.match(r"(prec_obs|w\d\[|f\[)", c[0])]


def test_smoke_run_prints_the_table_and_writes_the_picture(run_script, tmp_path):
    result = run_script(*SMOKE)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress bar where output is piped, no warnings
    plan, _ = result.stdout.split("\n", 1)
    assert plan == "NUTS on cpu: 2 chain(s) on 2 of 2 device(s), 10 + 10 draws each"
    assert len(rows(result.stdout)) == 46
    assert re.search(r"^Number of divergences: \d+$", result.stdout, re.M)
    assert re.search(r"^MCMC elapsed time: \d+\.\d+ s$", result.stdout, re.M)
    assert [p.name for p in tmp_path.iterdir()] == ["bnn_plot.pdf"]
    assert (tmp_path / "bnn_plot.pdf").read_bytes().startswith(b"%PDF")


def test_default_run_reproduces_the_known_posterior_and_says_it_converged(run_script):
    result = run_script()
    assert result.returncode == 0, result.stderr
    assert len(rows(result.stdout)) == 46
    (prec_obs,) = [row for row in rows(result.stdout) if row[0] == "prec_obs"]
    # Stan: mean 18.07, sd 2.61. With n_eff about 1500 the standard errors are 0.07 and
    # 0.05; 5 of them, and half a unit of the last printed digit.
    assert abs(float(prec_obs[1]) - 18.07) < 0.35
    assert abs(float(prec_obs[2]) - 2.61) < 0.25
    f, prec = re.findall(r"(?:data|prec_obs) +(\d\.\d+) +(\d+)\n", result.stdout)
    assert float(f[0]) <= 1.01 and float(prec[0]) <= 1.01
    assert int(f[1]) > 500 and int(prec[1]) > 500
    # nearly all paths end at the cap, as the page says
    (at_cap,) = re.findall(r"the cap of 1023 steps: (\d+) %", result.stdout)
    assert int(at_cap) >= 90
    assert "Warning" not in result.stdout
    assert "one chain cannot show what it missed" in result.stdout


def test_a_run_that_did_not_converge_ends_with_warnings(run_script):
    stdout = run_script("-n", 4, "--num-warmup", 0, "--num-chains", 2).stdout
    assert "Warning: r_hat above 1.01 or nan" in stdout
    assert "Warning: n_eff below 400 or nan" in stdout
    assert "Note: divergences may hide draws" in stdout
    assert "one chain" not in stdout


def test_the_seed_decides_the_table_and_the_picture(run_script, tmp_path):
    def output(seed, name):
        stdout = run_script(*SMOKE, "--seed", seed, "-o", name).stdout
        return rows(stdout), (tmp_path / name).read_bytes()

    first, again, other = output(1, "1.png"), output(1, "2.png"), output(2, "3.png")
    assert first == again
    assert first[0] != other[0] and first[1] != other[1]


@pytest.mark.parametrize("suffix, start", [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_suffix_chooses_the_format(run_script, tmp_path, suffix, start):
    assert run_script(*SMOKE, "-o", f"picture.{suffix}").returncode == 0
    assert (tmp_path / f"picture.{suffix}").read_bytes().startswith(start)


BAD_INPUT = {
    "not a number": ("-n", "ten"),
    "a fraction": ("--num-warmup", "1.5"),
    "too few draws": ("--num-samples", "3"),
    "negative warm-up": ("--num-warmup", "-1"),
    "no chain": ("--num-chains", "0"),
    "one data point": ("--num-data", "1"),
    "no hidden unit": ("--num-hidden", "0"),
    "more chains than a machine holds": ("--num-chains", "100000"),
    "chains at the limit of 32 bits": ("--num-chains", "2147483647"),
    "units at the limit of 32 bits": ("--num-hidden", "2147483647"),
    "warm-up at the limit of 32 bits": ("--num-warmup", "2147483647"),
    "a number of thousands of digits": ("--num-samples", 5000 * "9"),
    "too many draws in all": ("--num-samples", "1000000", "--num-chains", "10000"),
    "too many draws": ("--num-samples", "10000000"),
    "too large a network": ("--num-hidden", "1000", "--num-data", "10000000"),
    "unknown device": ("--device", "cuda"),
    "a seed beyond 32 bits": ("--seed", str(2**32)),
    "a negative seed": ("--seed", "-1"),
    "a flag without its value": ("--num-chains",),
    "an unknown flag": ("--num-layers", "3"),
    "an abbreviated flag": ("--num-sam", "10"),
    "a stray word": ("fast",),
    "no such folder": ("--output", "nowhere/bnn.pdf"),
    "a folder": ("--output", "folder.pdf"),
    "a folder that cannot be written to": ("--output", "/proc/bnn.pdf"),
    "a suffix that matplotlib cannot write": ("--output", "bnn.docx"),
    "a suffix that needs LaTeX": ("--output", "bnn.pgf"),
    "no suffix": ("--output", "bnn"),
    "a name that is too long": ("--output", 300 * "b" + ".pdf"),
    "a line break": ("--output", "b\nb"),
}


@pytest.mark.parametrize("flags", BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_gets_one_message_and_status_2(run_script, tmp_path, flags):
    (tmp_path / "folder.pdf").mkdir()
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)
    result = run_script(*flags)
    assert flags[0] in assert_is_bad_input(result)
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER
    assert sorted(os.listdir(tmp_path)) == ["bnn_plot.pdf", "folder.pdf"]


def test_a_number_out_of_bounds_is_told_with_its_bounds(capsys):
    for value in ["0", "10001", "-1", "1.5", "many"]:
        with pytest.raises(SystemExit):
            bnn.parse_args(["--num-chains", value])
        text = message(capsys.readouterr().err)
        for part in ["--num-chains", "from 1 to 10000", f"'{value}'"]:
            assert part in text


@pytest.mark.parametrize(
    "device, package", [("gpu", "jax[cuda13]"), ("tpu", "jax[tpu]")]
)
def test_a_device_that_is_not_there_gets_its_install_command(
    run_script, device, package
):
    hidden = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    result = run_script("--device", device, env=hidden)
    if result.returncode == 0:
        pytest.skip(f"this machine has a {device}")
    text = assert_is_bad_input(result)
    assert "--device" in text and package in text


def test_an_earlier_picture_and_the_table_survive_a_full_disk(run_script, tmp_path):
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)
    # every write beyond 4 kB fails, as on a disk that fills up
    small_files = ["bash", "-c", 'ulimit -f 4; exec "$0" "$@"']
    no_cache = {"JAX_ENABLE_COMPILATION_CACHE": "false"}  # it has larger files
    result = run_script(*SMOKE, launcher=small_files, env=no_cache)
    assert_fails_in_one_line(result)
    assert len(rows(result.stdout)) == 46  # the table is printed all the same
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER
    assert os.listdir(tmp_path) == ["bnn_plot.pdf"]


def test_a_picture_that_is_a_link_stays_one_and_keeps_usual_permissions(
    run_script, tmp_path
):
    os.symlink("target.pdf", tmp_path / "link.pdf")
    assert run_script(*SMOKE, "-o", "link.pdf", umask=0o022).returncode == 0
    assert os.readlink(tmp_path / "link.pdf") == "target.pdf"
    assert (tmp_path / "target.pdf").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("num_chains", [1, 2])
def test_ctrl_c_during_sampling_ends_it_at_once_and_without_a_word(
    tmp_path, num_chains
):
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)
    # a background job ignores SIGINT, and so do its children, but for `env`
    command = ["env", "--default-signal=INT", sys.executable, ROOT / "bnn.py"]
    process = subprocess.Popen(
        [*command, "-n", "1000000", "--num-chains", str(num_chains)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("NUTS on cpu")
    time.sleep(10)  # long enough to be inside the compiled loop
    process.send_signal(signal.SIGINT)
    try:
        # within a second on an idle machine
        _, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT  # which a shell reports as 130
    assert stderr == ""
    assert os.listdir(tmp_path) == ["bnn_plot.pdf"]
    assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER


def test_a_background_job_that_ignores_ctrl_c_goes_on(tmp_path):
    process = subprocess.Popen(
        ["env", "--ignore-signal=INT", sys.executable, ROOT / "bnn.py", *SMOKE],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert (tmp_path / "bnn_plot.pdf").exists()


# cell by cell, without a file, as a gallery that is built in a terminal runs it
IN_A_GALLERY = f"""
exec(open({str(ROOT / "bnn.py")!r}).read())
"""


@pytest.mark.parametrize("runs", ["as a script", "in a gallery"])
def test_a_terminal_gets_the_progress_bar_and_a_gallery_does_not(tmp_path, runs):
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 100))
    command = [sys.executable, str(ROOT / "bnn.py"), *SMOKE, "--num-chains", "1"]
    if runs == "in a gallery":
        command[1:2] = ["-c", IN_A_GALLERY]
    hidden = ["CI", "PYTEST_XDIST_WORKER"]  # where NumPyro has no bar
    env = {k: v for k, v in os.environ.items() if k not in hidden}
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=child, stderr=child, env=env
    )
    os.close(child)
    seen = b""
    try:
        while chunk := os.read(parent, 4096):
            seen += chunk
    except OSError:  # the end of a pseudo-terminal, on Linux
        pass
    assert process.wait() == 0
    assert b"What has to converge" in seen
    for part in [b"20/20", b"acc. prob"]:
        assert (part in seen) == (runs == "as a script")


def test_import_has_no_side_effects():
    code = """
import os, sys, jax, matplotlib, numpy as np
def state():
    return (
        dict(os.environ), jax.config.values["jax_platforms"],
        np.random.get_state()[1].sum(),
        dict.__getitem__(matplotlib.rcParams, "backend"), jax.config.jax_enable_x64,
        jax._src.xla_bridge.backends_are_initialized(),
    )
import matplotlib.pyplot, numpyro, jax._src.xla_bridge
before = state()
import bnn
assert state() == before, (state(), before)
assert not before[-1]
"""
    env = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)


def test_the_figure_stays_open_and_shows_what_it_promises(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    bnn.main([*SMOKE, "-o", "bnn.png"])
    (number,) = plt.get_fignums()
    (ax,) = plt.figure(number).axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 7 and any("training data end" in label for label in labels)
    assert ax.get_xlabel() and ax.get_ylabel() and ax.get_title()
    by_label = {line.get_label(): line for line in ax.lines}
    for label in ["mean prediction", "true function"]:
        grid = by_label[label].get_xdata()
        assert len(grid) == 500 and (grid[0], grid[-1]) == (-1.3, 1.3)
    f_test = bnn.get_data(N=7)[3]
    assert np.array_equal(by_label["true function"].get_ydata(), f_test[:, 0])
    assert by_label["true function"].get_linestyle() == "--"
    assert len(by_label["training data"].get_xdata()) == 7
    draws = [line.get_ydata() for line in ax.lines if line.get_linewidth() < 0.5]
    assert len(draws) == len(np.unique(draws, axis=0)) == 20  # of 2 chains, 10 each
    ends = [line.get_xdata() for line in ax.lines if line.get_linestyle() == ":"]
    assert np.array_equal(ends, [[-1, -1], [1, 1]])
    observations, functions = ax.collections
    area = {c: c.get_paths()[0].get_extents().height for c in ax.collections}
    assert area[functions] < area[observations]
    plt.close("all")


def test_users_own_xla_flags_are_kept(run_script):
    flags = "--xla_force_host_platform_device_count=3"
    result = run_script(*SMOKE, env={"XLA_FLAGS": flags})
    assert "cpu: 2 chain(s) on 2 of 3 device(s)" in result.stdout


def test_requirements_in_the_script_equal_requirements_txt():
    header = re.search(
        r"^# /// script\n((?:#.*\n)+?)# ///$", (ROOT / "bnn.py").read_text(), re.M
    )
    metadata = tomllib.loads(re.sub(r"^# ?", "", header[1], flags=re.M))
    listed = (ROOT / "requirements.txt").read_text().split()
    assert metadata["dependencies"] == listed
    assert len(listed) == 5
    assert metadata["requires-python"] == ">=3.11"
