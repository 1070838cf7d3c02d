"""Does the script do what was asked, and say in one message why it cannot?"""

import json
import os
import re
import subprocess
import sys
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


def rows(stdout):
    """The rows of NumPyro's table: name, mean, std, median, 5 %, 95 %, n_eff, r_hat."""
    cells = [line.split() for line in stdout.splitlines()]
    return [c for c in cells if len(c) == 8 and re.match(r"(prec_obs|w\d\[|f\[)", c[0])]


def test_smoke_run_prints_the_tables_and_writes_the_picture(run_script, tmp_path):
    result = run_script(*SMOKE, python_flags=["-W", "error"])
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no progress bar where output is piped, no warnings
    plan, _ = result.stdout.split("\n", 1)
    assert plan == "NUTS on cpu: 2 chain(s) on 2 of 2 device(s), 10 + 10 draws each"
    assert len(rows(result.stdout)) == 46
    assert re.search(r"^Number of divergences: \d+$", result.stdout, re.M)
    assert re.search(r"^MCMC elapsed time: \d+\.\d+ s$", result.stdout, re.M)
    # 20 draws are worth less than 400 independent ones, and there are two chains
    assert "\nWarning: r_hat > 1.01, n_eff < 400 or nan: " in result.stdout
    assert "one chain" not in result.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["bnn_plot.pdf"]
    assert (tmp_path / "bnn_plot.pdf").read_bytes().startswith(b"%PDF")


def test_default_run_reproduces_the_known_posterior_and_says_it_converged(run_script):
    result = run_script()
    assert result.returncode == 0, result.stderr
    assert len(rows(result.stdout)) == 46
    (prec_obs,) = [row for row in rows(result.stdout) if row[0] == "prec_obs"]
    stan = json.loads((ROOT / "tests/reference/posterior.json").read_text())["prec_obs"]
    # With n_eff about 1500 the standard errors of mean and sd are 0.07 and 0.05, Stan's
    # are a quarter of these; 4.8 of both, and half a unit of the last printed digit.
    assert abs(float(prec_obs[1]) - stan["mean"]) < 0.35
    assert abs(float(prec_obs[2]) - stan["sd"]) < 0.25
    f, prec = re.findall(r"^ *(?:f|prec_obs) +(\d\.\d+) +(\d+)$", result.stdout, re.M)
    assert float(f[0]) <= 1.01 and float(prec[0]) <= 1.01
    assert int(f[1]) > 500 and int(prec[1]) > 500
    # nearly all paths end at the cap, as the page says
    (at_cap,) = re.findall(r"the cap of 1023 steps: (\d+) %", result.stdout)
    assert int(at_cap) >= 90
    assert "Warning" not in result.stdout
    assert "one chain cannot show what it missed" in result.stdout


def test_the_seed_decides_the_table_and_the_picture(run_script, tmp_path, capsys):
    paths = [tmp_path / name for name in ["process.png", "again.png", "other.png"]]
    tables = [rows(run_script(*SMOKE, "--seed", 1, "-o", paths[0]).stdout)]
    for seed, path in zip(["1", "2"], paths[1:], strict=True):
        bnn.main([*SMOKE, "--seed", seed, "-o", str(path)])
        tables.append(rows(capsys.readouterr().out))
    assert tables[0] == tables[1] != tables[2]
    pictures = [path.read_bytes() for path in paths]
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize("suffix, start", [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_suffix_chooses_the_format(tmp_path, suffix, start):
    path = bnn.parse_args(["-o", f"{tmp_path}/picture.{suffix}"]).output
    bnn.save(plt.Figure(), path)
    assert path.read_bytes().startswith(start)


def test_a_picture_that_is_a_link_stays_one_and_keeps_usual_permissions(tmp_path):
    link, target = tmp_path / "link.pdf", tmp_path / "target.pdf"
    link.symlink_to(target.name)
    before = os.umask(0o022)
    bnn.save(plt.Figure(), bnn.parse_args(["-o", str(link)]).output)
    os.umask(before)
    assert os.readlink(link) == target.name
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Return a function that gives the message for bad flags, which cost nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.pdf").mkdir()
    (tmp_path / "bnn_plot.pdf").write_bytes(EARLIER)

    def message_for(*flags):
        with pytest.raises(SystemExit) as ended:
            bnn.main(flags)
        stdout, stderr = capsys.readouterr()
        assert (ended.value.code, stdout) == (2, "")
        assert (tmp_path / "bnn_plot.pdf").read_bytes() == EARLIER
        assert sorted(os.listdir(tmp_path)) == ["bnn_plot.pdf", "folder.pdf"]
        return message(stderr)

    return message_for


NUMBERS = {
    "--num-samples": (4, 10**9),
    "--num-warmup": (0, 10**9),
    "--num-chains": (1, 10**4),
    "--num-data": (2, 10**7),
    "--num-hidden": (1, 1000),
    "--seed": (0, 2**32 - 1),
}


@pytest.mark.parametrize("flag", NUMBERS)
def test_a_number_out_of_bounds_is_told_with_its_bounds(refused, flag):
    low, high = NUMBERS[flag]
    for value in map(str, [low - 1, high + 1, 2**80, 5000 * "9", "1.5", "ten", ""]):
        text = refused(flag, value)
        for part in [flag, f"from {low} to {high}", f"'{value}'"]:
            assert part in text
    for value in NUMBERS[flag]:
        assert value in vars(bnn.parse_args([flag, str(value)])).values()


BAD_INPUT = {
    "unknown device": ("--device", "cuda"),
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
def test_bad_input_gets_one_message_and_status_2(refused, flags):
    assert flags[0] in refused(*flags)


def test_a_device_that_is_not_there_gets_its_install_command(refused):
    # JAX has started on the CPU here; test_devices.py asks a process where it has not
    for device, package in [("gpu", "jax[cuda13]"), ("tpu", "jax[tpu]")]:
        text = refused("--device", device)
        assert "--device" in text and package in text


def test_the_flag_that_a_notebooks_kernel_was_started_with_is_ignored():
    usual = vars(bnn.parse_args([]))
    own = ["--f=kernel.json"], ["-f", "kernel.json", "--loglevel", "error", "--ip=::1"]
    for flags in own:
        assert {**vars(bnn.parse_args(flags)), "f": None} == usual


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


def test_the_figure_stays_open_and_shows_what_it_promises(tmp_path):
    plt.close("all")
    bnn.main([*SMOKE, "-o", str(tmp_path / "bnn.png")])
    (number,) = plt.get_fignums()
    (ax,) = plt.figure(number).axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:2] == ["90 percent of Y", "90 percent of f"] and len(labels) == 7
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
    ends = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert by_label["training data end"] in ends
    assert np.array_equal([line.get_xdata() for line in ends], [[-1, -1], [1, 1]])
    observations, functions = ax.collections
    area = {c: c.get_paths()[0].get_extents().height for c in ax.collections}
    assert area[functions] < area[observations]
    plt.close("all")


START_JAX = """
import bnn, jax
bnn.parse_args(["--num-chains", "4"])
jax.numpy.ones(3)
print(jax.device_count())
"""


def test_a_users_flags_for_xla_win_but_each_chain_gets_its_device(run_script, tmp_path):
    flags = "--xla_dump_to=. --xla_backend_optimization_level=2"
    env = {
        "XLA_FLAGS": flags + " --xla_force_host_platform_device_count=3",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # XLA dumps what it compiles
        "PYTHONPATH": str(ROOT),
    }
    result = run_script(script=["-c", START_JAX], env=env)
    assert (result.stdout, result.stderr) == ("4\n", "")
    in_force = [path.read_text() for path in tmp_path.glob("*.debug_options")]
    assert in_force
    for options in in_force:  # the user's level, and a flag of the script's
        assert "xla_backend_optimization_level: 2" in options
        assert "xla_cpu_small_while_loop_byte_threshold" in options


def test_requirements_in_the_script_equal_requirements_txt():
    script = (ROOT / "bnn.py").read_text()
    header = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", script, re.M)
    metadata = tomllib.loads(re.sub(r"^# ?", "", header[1], flags=re.M))
    listed = (ROOT / "requirements.txt").read_text().split()
    assert metadata["dependencies"] == listed
    assert len(listed) == 5
    assert metadata["requires-python"] == ">=3.11"
