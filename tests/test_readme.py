"""Does what the README shows work as written?"""

import re
import subprocess

import pytest
from helpers import IMPORTABLE, README, ROOT, stdout_of

import bnn


def test_the_snippet_for_arviz_runs_and_prints_no_warning_and_no_nan(run_script):
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    here = [code for code in snippets if "jax.distributed" not in code]
    assert len(here) == 1
    # ArviZ 0.23, the last for Python 3.11, announces version 1 once a day
    quiet = ["-W", "ignore::FutureWarning:arviz"]
    script = ["-c", "\n".join(here)]
    result = run_script(script=script, python_flags=quiet, env=IMPORTABLE)
    out = stdout_of(result)
    on_stderr = re.split(r"[\r\n]+", result.stderr)
    not_bars = [line for line in on_stderr if "/1000 [" not in line]
    assert set(not_bars) <= {"", "\x1b[A", "\x1b[A\x1b[A", "\x1b[A\x1b[A\x1b[A"}
    assert out.count("4 chain(s) on 4 of 4 device(s)") == 1
    (r_hat,) = re.findall(r"^prec_obs .* (\d\.\d+)$", out, re.M)
    assert float(r_hat) <= 1.01, out
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


def without_blocks(markdown):
    """The text without its fenced blocks of code, commands and output."""
    return re.sub(r"^```.*?^```$", "", markdown, flags=re.S | re.M)


@pytest.fixture
def help_text(capsys):
    """What --help says of the flags, on one line."""
    with pytest.raises(SystemExit):
        bnn.parse_args(["--help"])
    _, of_flags = capsys.readouterr().out.split("options:")
    return " ".join(of_flags.split())


def test_each_flag_that_its_prose_names_is_the_parsers(help_text):
    named = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", without_blocks(README))
    assert len(named) >= 3
    for flag in named:
        assert re.search(rf"(?<![\w-]){flag}(?![\w-])", help_text), flag


def test_help_names_each_flag_with_its_default(help_text):
    settings = vars(bnn.parse_args([]))
    assert len(settings) == 9
    for name, default in settings.items():
        flag = "--" + name.replace("_", "-")
        _, after = re.split(rf"{flag}(?![\w-])", help_text)
        own, *_ = after.split(" -")
        assert own.endswith(f"(default: {default})"), own


def test_help_says_which_target_makes_smaller_steps_as_the_docstring_does(help_text):
    docstring = " ".join(bnn.run_inference.__doc__.split())
    assert "target_accept_prob nearer to 1 makes smaller" in docstring
    assert "nearer to 1: smaller steps" in help_text


def test_help_says_that_numbers_of_draws_are_those_of_a_chain(help_text):
    assert " draws a chain (default: 2000)" in help_text
    assert " warm-up draws a chain (default: 1000)" in help_text


def test_its_prose_is_at_most_110_columns_wide():
    lines = without_blocks(README).splitlines()
    prose = [line for line in lines if not line.startswith(("|", "<", "!["))]
    assert len(prose) > 30
    assert [line for line in prose if len(line) > 110] == []


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
