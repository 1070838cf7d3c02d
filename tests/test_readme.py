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
    assert len(r_hats) == 3 and max(map(float, r_hats)) <= 1.01, out
    assert not re.search("nan|warning", out, re.I), out


def test_the_printed_sample_is_what_the_script_prints(tmp_path, capsys):
    sample = re.search(r"```text\n(.*?)```", README, re.S)[1]
    bnn.main(["-n", "10", "--num-warmup", "10", "-o", f"{tmp_path}/x.png"])

    def labels(text):  # words as they are, each number as #
        lines = [line for line in text.splitlines() if line.strip(" .")]
        return [re.sub(r"-?\d+(\.\d+)?", "#", line).split() for line in lines]

    rest = iter(labels(capsys.readouterr().out))
    assert all(line in rest for line in labels(sample))  # in this order


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
    assert commands.count("\n") == 9
    for path in re.findall(r"(?:tests|requirements)[\w./]*", commands):
        assert (ROOT / path).exists(), path
    ci = (ROOT / ".ci/run").read_text()
    lint = re.findall("bin/ruff (.*)", commands)
    assert len(lint) == 2 and all(f'ruff" {flags}' in ci for flags in lint)
