"""Does what the README shows work as written?"""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

import bnn

README = (ROOT / "README.md").read_text()


def test_snippets_run_one_after_the_other_and_print_no_warning_and_no_nan(tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    here = [code for code in snippets if "jax.distributed" not in code]
    assert len(here) == 2
    # ArviZ 0.23, the last for Python 3.11, announces version 1 once a day
    command = [sys.executable, "-W", "ignore::FutureWarning:arviz"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    result = subprocess.run(
        [*command, "-c", "\n".join(here)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (result.returncode, result.stderr) == (0, "")
    out = result.stdout
    assert out.count("4 chain(s) on 4 of 4 device(s)") == 1
    r_hats = re.findall(r"^ *(?:f|prec_obs) +(\d\.\d+) +\d+$", out, re.M)
    r_hats += re.findall(r"^prec_obs .* (\d\.\d+)$", out, re.M)  # ArviZ's
    assert len(r_hats) == 3 and max(map(float, r_hats)) <= 1.01, out
    assert not re.search("nan|warning", out, re.I), out


def test_the_printed_sample_is_what_the_script_prints(run_script):
    sample = re.search(r"```text\n(.*?)```", README, re.S)[1]
    printed = run_script("-n", 10, "--num-warmup", 10, "-o", "x.png").stdout

    def labels(text):  # words as they are, each number as #
        return [re.sub(r"-?\d+(\.\d+)?", "#", line).split() for line in lines(text)]

    def lines(text):
        return [line for line in text.splitlines() if line.strip(" .")]

    rest = iter(labels(printed))  # the lines are there, in this order
    assert all(line in rest for line in labels(sample))


def test_table_of_flags_is_the_parsers(capsys):
    table = re.findall(r"^\| ((?:`-[^|]+)+) \| (\S+) \| (.*) \|$", README, re.M)
    defaults = {k: v for k, v in vars(bnn.parse_args([])).items() if k != "f"}
    with pytest.raises(SystemExit):
        bnn.parse_args(["--help"])
    help_text = " ".join(capsys.readouterr().out.split("options:")[1].split())
    assert len(table) == len(defaults)
    for flags, default, meaning in table:
        flag = flags.split("`")[-2]
        assert str(defaults[flag[2:].replace("-", "_")]) == default
        own = re.split(rf"{flag}\b", help_text)[1].split("(default")[0]
        bounds = r"\d+ to \d+"
        assert re.findall(bounds, meaning) == re.findall(bounds, own)


def test_it_has_at_most_115_lines_and_its_pictures_are_there():
    assert README.count("\n") <= 115
    paths = re.findall(r'(?:!\[.*?\]\(|<img src=")([^")]+)', README)
    assert len(paths) == 2
    for path in paths:
        assert (ROOT / path).read_bytes().startswith(b"\x89PNG")


def test_the_gpu_command_has_the_range_of_the_requirements():
    requirements = (ROOT / "requirements.txt").read_text()
    jax_range = re.search("^jax(>.*)$", requirements, re.M)[1]
    assert f'pip install "jax[cuda13]{jax_range}"' in README


def test_each_command_of_contributing_is_run_by_ci_and_names_what_is_there():
    contributing = (ROOT / ".github/CONTRIBUTING.md").read_text()
    weekly = (ROOT / ".github/workflows/weekly.yml").read_text()
    extract = re.search(r"(sed -n .*) \.github/CONTRIBUTING\.md", weekly)[1]
    result = subprocess.run(
        ["bash", "-c", extract], input=contributing, capture_output=True, text=True
    )
    commands = result.stdout.splitlines()
    blocks = re.findall(r"```sh\n(.*?)```", contributing, re.S)
    assert commands == "".join(blocks).splitlines() and len(commands) == 9
    for path in re.findall(r"(?:tests|requirements)[\w./]*", " ".join(commands)):
        assert (ROOT / path).exists(), path
    ci = (ROOT / ".ci/run").read_text()
    lint = [re.search("ruff (.*)", c)[1] for c in commands if "bin/ruff" in c]
    assert len(lint) == 2 and all(f'ruff" {flags}' in ci for flags in lint)


def test_the_versions_in_the_text_are_those_of_the_requirements():
    jax_range = re.search("^jax(>.*)$", (ROOT / "requirements.txt").read_text(), re.M)[
        1
    ]
    source = (ROOT / "bnn.py").read_text()
    for name in ["cuda13", "tpu"]:
        assert f'"jax[{name}]{jax_range}"' in source
