"""Does the script do what was asked, and say in one message why it cannot?"""

import json
import os
import re
import tomllib

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import EARLIER, IMPORTABLE, NUMBERS, ROOT, SMOKE, message, rows, stdout_of

import bnn


def test_a_run_prints_its_tables_and_the_seed_decides_all(run_script, tmp_path, capsys):
    paths = [tmp_path / name for name in ["process.png", "again.png", "other.png"]]
    strict = ["-W", "error"]
    result = run_script(*SMOKE, "--seed", 1, "-o", paths[0], python_flags=strict)
    # no progress bar where output is piped, no warnings
    assert (result.returncode, result.stderr) == (0, "")
    plan = "NUTS on cpu: 2 chain(s) on 2 of 2 device(s), 10 + 10 draws each\n"
    assert result.stdout.startswith(plan)
    assert re.search(r"^Number of divergences: \d+$", result.stdout, re.M)
    assert re.search(r"^MCMC elapsed time: \d+\.\d+ s$", result.stdout, re.M)
    # 20 draws are worth less than 400 independent ones, and there are two chains
    assert "\nWarning: r_hat > 1.01, n_eff < 400 or nan: " in result.stdout
    assert "one chain" not in result.stdout
    assert list(tmp_path.iterdir()) == paths[:1]
    tables = [rows(result.stdout)]
    for seed, path in zip(["1", "2"], paths[1:], strict=True):
        bnn.main([*SMOKE, "--seed", seed, "-o", str(path)])
        tables.append(rows(capsys.readouterr().out))
    assert tables[0] == tables[1] != tables[2] and len(tables[0]) == 46
    pictures = [path.read_bytes() for path in paths]
    assert pictures[0] == pictures[1] != pictures[2]


def test_default_run_reproduces_the_known_posterior_and_says_it_converged(run_script):
    stdout = stdout_of(run_script())
    assert len(rows(stdout)) == 46
    (prec_obs,) = [row for row in rows(stdout) if row[0] == "prec_obs"]
    stan = json.loads((ROOT / "tests/reference/posterior.json").read_text())["prec_obs"]
    # With n_eff about 1500 the standard errors of mean and sd are 0.07 and 0.05, Stan's
    # are a quarter of these; 4.8 of both, and half a unit of the last printed digit.
    assert abs(float(prec_obs[1]) - stan["mean"]) < 0.35
    assert abs(float(prec_obs[2]) - stan["sd"]) < 0.25
    f, prec = re.findall(r"^ *(?:f|prec_obs) +(\d\.\d+) +(\d+)$", stdout, re.M)
    assert float(f[0]) <= 1.01 and float(prec[0]) <= 1.01
    assert int(f[1]) > 500 and int(prec[1]) > 500
    # nearly all paths end at the cap, as the page says
    assert int(re.search(r"the cap of 1023 steps: (\d+) %", stdout)[1]) >= 90
    assert "Warning" not in stdout
    assert "one chain cannot show what it missed" in stdout


def test_the_suffix_chooses_the_format_and_a_link_stays_one_with_usual_rights(tmp_path):
    before = os.umask(0o022)
    for suffix, start in [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")]:
        link, target = tmp_path / f"link.{suffix}", tmp_path / f"target.{suffix}"
        link.symlink_to(target.name)
        bnn.save(plt.Figure(), bnn.parse_args(["-o", str(link)]).output)
        assert os.readlink(link) == target.name
        assert target.read_bytes().startswith(start)
        assert target.stat().st_mode & 0o777 == 0o644
    os.umask(before)


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


@pytest.mark.parametrize("flag", NUMBERS)
def test_a_number_out_of_bounds_is_told_with_its_bounds(refused, flag):
    low, high = NUMBERS[flag]
    for value in map(str, [low - 1, high + 1, 2**80, 5000 * "9", "1.5", "ten", ""]):
        text = refused(flag, value)
        for part in [flag, f"from {low} to {high}", f"'{value}'"]:
            assert part in text
    for value in NUMBERS[flag]:
        assert value in vars(bnn.parse_args([flag, str(value)])).values()


def test_bad_input_gets_one_message_and_status_2(refused):
    bad = ["--device cuda", "--num-chains", "--num-layers 3", "--num-sam 10", "fast"]
    for flag, *value in map(str.split, bad):
        assert flag in refused(flag, *value)
    paths = ["nowhere/b.pdf", "folder.pdf", "/proc/b.pdf", "b.docx", "b", "b\nb"]
    for path in [*paths, "b.pgf", 300 * "b" + ".pdf"]:  # LaTeX is needed, too long
        assert "--output" in refused("--output", path)
    # JAX has started on the CPU here; test_devices.py asks a process where it has not
    for device, package in [("gpu", "jax[cuda13]"), ("tpu", "jax[tpu]")]:
        text = refused("--device", device)
        assert "--device" in text and package in text


def test_the_flag_that_a_notebooks_kernel_was_started_with_is_ignored():
    usual = vars(bnn.parse_args([]))
    own = ["--f=kernel.json"], ["-f", "kernel.json", "--loglevel", "error", "--ip=::1"]
    for flags in own:
        assert {**vars(bnn.parse_args(flags)), "f": None} == usual


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
    wide, narrow = (b.get_paths()[0].get_extents().height for b in ax.collections)
    assert narrow < wide
    plt.close("all")


def test_a_users_flags_for_xla_win_but_each_chain_gets_its_device(run_script, tmp_path):
    flags = "--xla_dump_to=. --xla_backend_optimization_level=2"
    env = {
        "XLA_FLAGS": flags + " --xla_force_host_platform_device_count=3",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # XLA dumps what it compiles
    }
    start = 'import bnn, jax; bnn.parse_args(["--num-chains", "4"]); jax.numpy.ones(3)'
    script = ["-c", start + "; print(jax.device_count())"]
    result = run_script(script=script, env={**IMPORTABLE, **env})
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
    assert metadata["dependencies"] == listed and len(listed) == 5
    assert metadata["requires-python"] == ">=3.11"
