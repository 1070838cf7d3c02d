"""Does the script do what was asked, and say in one message why it cannot?"""

import os
import pathlib
import re
import time
import tomllib
import warnings

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import (
    EARLIER,
    NUMBERS,
    README,
    ROOT,
    SCRIPT,
    SMOKE,
    message,
    peak_gib,
    rows,
    two_chains,
)
from numpyro import diagnostics

import bnn


def test_a_run_prints_its_tables_and_no_bar_where_output_is_piped(run_script, tmp_path):
    strict = ["-W", "error"]
    result = run_script(*SMOKE, "-o", "a.png", python_flags=strict)
    # no progress bar, no warnings
    assert (result.returncode, result.stderr) == (0, "")
    plan, elapsed, *_ = result.stdout.splitlines()
    assert plan == "NUTS on cpu: 2 chain(s) on 2 of 2 device(s)"
    time_and_sizes = r"MCMC elapsed time: \d+\.\d\d s, 10 \+ 10 draws each"
    assert re.fullmatch(time_and_sizes, elapsed)
    assert len(rows(result.stdout)) == 46
    assert re.search(r"^Number of divergences: \d+$", result.stdout, re.M)
    _, after_table = result.stdout.split("What has to converge")
    assert re.search(r"^ +prec_obs .*\nNot judged: w1, w2, w3$", after_table, re.M)
    # 20 draws are worth less than 400 independent ones, and there are two chains
    assert "\nWarning: n_eff is below 400" in result.stdout
    assert "one chain" not in result.stdout
    assert os.listdir(tmp_path) == ["a.png"]


def test_the_seed_decides_all(run_script, tmp_path, capsys):
    paths = [tmp_path / name for name in ["process.png", "again.png", "other.png"]]
    result = run_script(*SMOKE, "--seed", 1, "-o", paths[0])
    tables = [rows(result.stdout)]
    for seed, path in zip(["1", "2"], paths[1:], strict=True):
        bnn.main([*SMOKE, "--seed", seed, "-o", str(path)])
        tables.append(rows(capsys.readouterr().out))
    pictures = [path.read_bytes() for path in paths]
    for process, again, other in [tables, pictures]:
        assert process == again
        assert other != again
    assert len(tables[0]) == 46


class Reached(Exception):
    """Ends main where it has come, and tells what was there."""


@pytest.fixture
def run_of(monkeypatch, capsys, tmp_path):
    """Return a function that gives the output of main, with run_inference replaced."""

    def run(run_inference, *flags):
        monkeypatch.setattr(bnn, "run_inference", run_inference)
        bnn.main([*SMOKE, *flags, "-o", str(tmp_path / "a.png")])
        return capsys.readouterr().out

    return run


def test_the_first_table_is_of_all_chains_and_the_time_is_that_of_the_clock(run_of):
    ours = bnn.run_inference
    kept = []

    def run_and_keep(*data, **settings):
        mcmc = ours(*data, **settings)
        kept.append(mcmc)
        return mcmc

    def sleep(*data, **settings):
        time.sleep(0.5)
        return kept[0]

    out = run_of(run_and_keep)
    assert "median      5.0%     95.0% " in out  # the ends of the interval of 90 %
    draws = kept[0].get_samples(group_by_chain=True)
    summary = diagnostics.summary(jax.device_get(draws), prob=0.9)
    for row in rows(out):
        name, *index = re.findall(r"\w+", row[0])
        place = tuple(map(int, index))
        numbers = [np.asarray(values)[place] for values in summary[name].values()]
        assert row[1:] == [f"{number:.2f}" for number in numbers]
    elapsed = re.search(r"elapsed time: (\S+) s", run_of(sleep))[1]
    assert float(elapsed) >= 0.5


def test_the_tables_are_there_if_predictions_fail(monkeypatch, run_of, capsys):
    def for_all_draws(function, rng_key, draws):
        raise MemoryError

    mcmc = two_chains()
    monkeypatch.setattr(bnn, "for_all_draws", for_all_draws)
    with pytest.raises(MemoryError):
        run_of(lambda *data, **settings: mcmc)
    out = capsys.readouterr().out
    assert rows(out)
    assert "What has to converge" in out


# a second copy would be too much for the 8 GB of README
def test_the_draws_are_not_copied_for_predictions(monkeypatch, run_of):
    def for_all_draws(function, rng_key, draws):
        raise Reached(draws["f"])

    mcmc = two_chains()
    monkeypatch.setattr(bnn, "for_all_draws", for_all_draws)
    with pytest.raises(Reached) as reached:
        run_of(lambda *data, **settings: mcmc)
    (f,) = reached.value.args
    of_mcmc = jax.device_get(mcmc.get_samples(group_by_chain=True)["f"])
    assert np.shares_memory(f, of_mcmc)


def test_a_table_of_more_than_7_units_does_not_bury_the_noise(run_of):
    table = rows(run_of(bnn.run_inference, "--num-hidden", "8"))
    assert [row[0] for row in table] == ["prec_obs"]


def test_a_run_leaves_the_users_filters_of_warnings_style_and_figures(run_of):
    filters = list(warnings.filters)
    with plt.style.context("dark_background"):
        plt.figure("mine")
        style = plt.rcParams.copy()
        run_of(bnn.run_inference)
        assert plt.rcParams == style
    assert plt.fignum_exists("mine")
    plt.close("all")
    assert list(warnings.filters) == filters


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_name_chooses_the_format_a_link_stays_one_and_rights_are_the_users(
    tmp_path, mask
):
    before = os.umask(mask)
    for suffix, start in [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")]:
        link = tmp_path / f"link.{suffix}"
        second_link = tmp_path / f"second-link.{suffix}"
        target = tmp_path / f"{suffix}-without-suffix"
        link.symlink_to(second_link.name)
        second_link.symlink_to(target.name)
        args = bnn.parse_args(["-o", str(link)])
        bnn.save(plt.Figure(), args.output)
        assert os.readlink(link) == second_link.name
        assert os.readlink(second_link) == target.name
        assert target.read_bytes().startswith(start)
        assert target.stat().st_mode & 0o777 == 0o666 & ~mask
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
    out_of_bounds = [str(low - 1), str(high + 1), str(2**80), 5000 * "9"]
    for value in [*out_of_bounds, "1.5", "ten", ""]:
        text = refused(flag, value)
        for part in [flag, f"from {low} to {high}", f"'{value}'"]:
            assert part in text


@pytest.mark.parametrize("flag", NUMBERS)
def test_a_number_at_a_bound_is_taken(flag):
    name = flag.removeprefix("--").replace("-", "_")
    for value in NUMBERS[flag]:
        args = bnn.parse_args([flag, str(value)])
        assert getattr(args, name) == value


def test_zeros_in_front_change_no_number():  # as in names of jobs
    args = bnn.parse_args(["--seed", "007", "--num-warmup", "0010"])
    assert (args.seed, args.num_warmup) == (7, 10)


BAD_FLAGS = [
    "--device cuda",
    "--num-chains",
    "--num-layers 3",
    "--num-sam 10",
    "fast",
    "-f x.png --num-sample 10",
    "--f=kernel.json",
]
BAD_PATHS = ["nowhere/b.pdf", "folder.pdf", "/proc/b.pdf", "b.docx", "b", "b\nb"]
NEEDS_LATEX = "b.pgf"
TOO_LONG = 252 * "b" + ".pdf"


@pytest.mark.parametrize("flags", BAD_FLAGS)
def test_a_bad_flag_gets_one_message_and_status_2(refused, flags):
    words = flags.split()
    assert words[0] in refused(*words)


@pytest.mark.parametrize("path", [*BAD_PATHS, NEEDS_LATEX, TOO_LONG])
def test_a_path_that_cannot_be_written_gets_one_message_and_status_2(refused, path):
    assert "--output" in refused("--output", path)


# a link in a folder that can be written, to a place where nothing can
def test_a_link_to_where_nothing_can_be_written_is_told_before_any_work(
    refused, tmp_path_factory
):
    link = tmp_path_factory.mktemp("links") / "link.pdf"
    link.symlink_to("/proc/b.pdf")
    assert "--output" in refused("--output", str(link))


# as root, a picture would take the place of the machine's /dev/null
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_file_is_not_replaced(refused, tmp_path_factory, make):
    path = tmp_path_factory.mktemp("special") / "a.pdf"
    make(path)
    assert "it is no file" in refused("--output", str(path))


@pytest.mark.parametrize("value", ["0", "1", "-1", "1.5", "nan", "inf", "x", ""])
def test_a_target_is_strictly_between_0_and_1(refused, value):
    told = refused("--target-accept-prob", value)
    for part in ["--target-accept-prob", f"'{value}'", "between 0 and 1"]:
        assert part in told


# JAX has started on the CPU here; test_devices.py asks a process where it has not
@pytest.mark.parametrize(
    "device, package", [("gpu", "jax[cuda13]"), ("tpu", "jax[tpu]")]
)
def test_a_device_that_is_not_there_is_told_with_what_to_install(
    refused, device, package
):
    told = refused("--device", device)
    assert "--device" in told
    assert package in told


def test_the_settings_of_sampling_reach_it(monkeypatch):
    def run_inference(model, rng_key, X, Y, D_H, **settings):
        settings.pop("progress_bar")
        raise Reached(len(X), D_H, settings)

    monkeypatch.setattr(bnn, "run_inference", run_inference)
    sizes = "-n 5 --num-warmup 6 --num-chains 3 --num-data 7 --num-hidden 8".split()
    with pytest.raises(Reached) as reached:
        largest_seed = ["--seed", str(2**32 - 1)]
        bnn.main([*sizes, *largest_seed, "--target-accept-prob", "0.97"])
    settings = dict(num_warmup=6, num_samples=5, num_chains=3, target_accept_prob=0.97)
    assert reached.value.args == (7, 8, settings)


def test_each_seed_gives_sampling_and_prediction_keys_of_their_own(run_of, monkeypatch):
    keys = []
    mcmc = two_chains()

    def run_inference(model, rng_key, *data, **settings):
        keys.append(rng_key)
        return mcmc

    def for_all_draws(function, rng_key, draws):
        keys.append(rng_key)
        predictions = np.zeros((2, 6, 500, 1))
        return predictions, predictions

    monkeypatch.setattr(bnn, "for_all_draws", for_all_draws)
    for seed in range(3):
        run_of(run_inference, "--seed", str(seed))
    data = [jax.random.key_data(key) for key in keys]
    assert len(np.unique(data, axis=0)) == 6


@pytest.fixture(scope="module")
def ax(tmp_path_factory):
    """The axes of the one figure that a run of 2 chains with 10 draws leaves open."""
    plt.close("all")
    folder = tmp_path_factory.mktemp("picture")
    bnn.main([*SMOKE, "-o", str(folder / "bnn.png")])
    (number,) = plt.get_fignums()
    (ax,) = plt.figure(number).axes
    plt.close("all")
    return ax


def test_the_figure_stays_open_with_labels_and_a_legend(ax):
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:2] == ["90 percent of Y", "90 percent of f"]
    assert len(labels) == 7
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "Y")
    assert ax.get_title()


def test_the_figure_shows_what_its_legend_promises(ax):
    by_label = {line.get_label(): line for line in ax.lines}
    truth = by_label["true function"]
    for line in [truth, by_label["mean prediction"]]:
        grid = line.get_xdata()
        assert len(grid) == 500
        assert (grid[0], grid[-1]) == (-1.3, 1.3)
    _, _, _, f_test = bnn.get_data(N=7)
    assert np.array_equal(truth.get_ydata(), f_test[:, 0])
    assert truth.get_linestyle() == "--"
    assert len(by_label["training data"].get_xdata()) == 7

    draws = [line.get_ydata() for line in ax.lines if line.get_linewidth() < 0.5]
    assert len(draws) == 20
    assert len(np.unique(draws, axis=0)) == 20  # all of 2 chains
    ends = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert by_label["training data end"] in ends
    assert [list(line.get_xdata()) for line in ends] == [[-1, -1], [1, 1]]
    wide, narrow = [band.get_paths()[0].get_extents() for band in ax.collections]
    assert narrow.height < wide.height


def test_a_users_flags_for_xla_win_but_each_chain_gets_its_device(
    run_program, tmp_path
):
    flags = "--xla_dump_to=. --xla_backend_optimization_level=2"
    env = {
        "XLA_FLAGS": flags + " --xla_force_host_platform_device_count=3",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # XLA dumps what it compiles
    }
    result = run_program("use_4_devices", env=env)
    assert (result.stdout, result.stderr) == ("4\n", "")
    in_force = [path.read_text() for path in tmp_path.glob("*.debug_options")]
    assert in_force
    for options in in_force:  # the user's level, and a flag of the script's
        assert "xla_backend_optimization_level: 2" in options
        assert "xla_cpu_small_while_loop_byte_threshold" in options


def test_requirements_in_the_script_are_those_of_requirements_txt_and_readme():
    header = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", SCRIPT.read_text(), re.M)
    metadata = tomllib.loads(re.sub(r"^# ?", "", header[1], flags=re.M))
    listed = (ROOT / "requirements.txt").read_text().split()
    assert listed
    assert metadata["dependencies"] == listed
    oldest = metadata["requires-python"].removeprefix(">=")
    assert f"With Python {oldest} or newer" in README


def test_a_picture_of_pixels_is_large_enough_to_read(tmp_path):
    X, Y, X_test, f_test = bnn.get_data(N_test=3)
    curves = np.zeros((1, 20, 3, 1))
    fig = bnn.plot(X, Y, X_test, f_test, curves, curves)
    bnn.save(fig, tmp_path / "a.png")
    height, width, _ = plt.imread(tmp_path / "a.png").shape
    assert width > 1000
    assert height > 600


LONGEST = 251 * "b" + ".pdf"  # of the names that Linux takes


@pytest.mark.parametrize("name", ["run.2.pdf", "RUN.PDF", LONGEST])
def test_any_other_name_is_taken_and_flags_alone_make_no_file(tmp_path, name):
    args = bnn.parse_args(["-o", str(tmp_path / name)])
    assert os.listdir(tmp_path) == []
    bnn.save(plt.Figure(), args.output)
    assert (tmp_path / name).read_bytes().startswith(b"%PDF")


def test_a_folder_that_is_gone_after_the_run_gets_one_message(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    args = bnn.parse_args(["-o", str(folder / "a.png")])
    folder.rmdir()
    with pytest.raises(SystemExit, match="^bnn.py: error: cannot write .*a.png"):
        bnn.save(plt.Figure(), args.output)


def test_a_picture_that_cannot_be_replaced_gets_one_message_and_leaves_no_file(
    tmp_path,
):
    args = bnn.parse_args(["-o", str(tmp_path / "a.png")])
    args.output.mkdir()
    with pytest.raises(SystemExit, match="^bnn.py: error: cannot write .*a.png"):
        bnn.save(plt.Figure(), args.output)
    assert os.listdir(tmp_path) == ["a.png"]


# else two jobs in one folder could take each other's
def test_the_unfinished_picture_has_a_name_of_its_process(tmp_path, monkeypatch):
    names = []
    replace = pathlib.Path.replace

    def replace_and_keep_the_name(path, target):
        names.append(path.name)
        return replace(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace_and_keep_the_name)
    for number in [1, 2]:
        monkeypatch.setattr(os, "getpid", lambda number=number: number)
        bnn.save(plt.Figure(), tmp_path / "a.png")
    assert len(set(names)) == 2


def test_a_large_network_finishes_within_2_gib_and_leaves_out_its_weights(run_program):
    flags = "--num-hidden 200 --num-data 5000 -n 4 --num-warmup 0".split()
    result = run_program("tell_peak", SCRIPT, *flags)
    assert result.returncode == 0, result.stderr
    assert peak_gib(result.stderr) < 2
    assert [row[0] for row in rows(result.stdout)] == ["prec_obs"]
    assert "rows of the weights are left out" in result.stdout
