"""Does what the README shows work as written?"""

import re
import subprocess

import pytest
from helpers import IMPORTABLE, README, ROOT

import bnn


def test_snippets_run_one_after_the_other_and_print_no_warning_and_no_nan(run_script):
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    here = [code for code in snippets if "jax.distributed" not in code]
    assert len(here) == 2
    # ArviZ 0.23, the last for Python 3.11, announces version 1 once a day
    quiet = ["-W", "ignore::FutureWarning:arviz"]
    script = ["-c", "\n".join(here)]
    result = run_script(script=script, python_flags=quiet, env=IMPORTABLE)
    assert (result.returncode, result.stderr) == (0, "")
    out = result.stdout
    assert out.count("4 chain(s) on 4 of 4 device(s)") == 1
    r_hats = re.findall(r"^ *(?:f|prec_obs) +(\d\.\d+) +\d+$", out, re.M)
    r_hats += re.findall(r"^prec_obs .* (\d\.\d+)$", out, re.M)  # ArviZ's
    assert len(r_hats) == 3
    assert max(map(float, r_hats)) <= 1.01, out
    assert not re.search("nan|warning", out, re.I), out


def words_of_lines(text):
    """The words of each line as they are, each number as #; without lines of dots."""
    without_numbers = re.sub(r"-?\d+(\.\d+)?", "#", text)
    lines = [line.split() for line in without_numbers.splitlines()]
    return [words for words in lines if words not in ([], ["..."])]


def test_the_printed_sample_is_what_the_script_prints(tmp_path, capsys):
    sample = re.search(r"```text\n(.*?)```", README, re.S)[1]
    bnn.main(["-n", "10", "--num-warmup", "10", "-o", f"{tmp_path}/x.png"])
    printed = iter(words_of_lines(capsys.readouterr().out))
    for line in words_of_lines(sample):
        assert line in printed  # after the one before: an iterator goes on


def test_table_of_flags_is_the_parsers(capsys):
    table = re.findall(r"^\| ((?:`-[^|]+)+) \| (\S+) \| (.*) \|$", README, re.M)
    defaults = vars(bnn.parse_args([]))
    del defaults["f"]
    with pytest.raises(SystemExit):
        bnn.parse_args(["--help"])
    _, help_text = capsys.readouterr().out.split("options:")
    help_text = " ".join(help_text.split())
    assert len(table) == len(defaults)
    for flags, default, meaning in table:
        flag = flags.split("`")[-2]
        name = flag.removeprefix("--").replace("-", "_")
        assert str(defaults[name]) == default
        _, after, *_ = re.split(rf"{flag}\b", help_text)
        own, *_ = after.split("(default")
        bounds = re.findall(r"\d+ to \d+", own)
        assert re.findall(r"\d+ to \d+", meaning) == bounds


def test_its_pictures_are_there():
    paths = re.findall(r'(?:!\[.*?\]\(|<img src=")([^")]+)', README)
    pictures = [(ROOT / path).read_bytes() for path in paths]
    assert [content[:4] for content in pictures] == 2 * [b"\x89PNG"]


def test_install_commands_in_it_and_in_the_script_have_the_range_of_the_requirements():
    requirements = (ROOT / "requirements.txt").read_text()
    jax_range = re.search("^jax(>.*)$", requirements, re.M)[1]
    assert f'pip install "jax[cuda13]{jax_range}"' in README
    for extra in ["cuda13", "tpu"]:
        assert f'"jax[{extra}]{jax_range}"' in (ROOT / "bnn.py").read_text()


def test_each_command_of_contributing_is_run_by_ci_and_names_what_is_there():
    guide = (ROOT / ".github/CONTRIBUTING.md").read_text()
    weekly = (ROOT / ".github/workflows/weekly.yml").read_text()
    extract = re.search(r"(sed -n .*) \.github/CONTRIBUTING\.md", weekly)[1]
    commands = subprocess.check_output(extract, input=guide, shell=True, text=True)
    assert commands == "".join(re.findall(r"```sh\n(.*?)```", guide, re.S))
    assert commands
    for path in re.findall(r"(?:tests|requirements)[\w./]*", commands):
        assert (ROOT / path).exists(), path
    ci = (ROOT / ".ci/run").read_text()
    lint = re.findall("bin/ruff (.*)", commands)
    assert len(lint) == 2
    for flags in lint:
        assert f'ruff" {flags}' in ci
