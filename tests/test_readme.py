"""Does what the README shows work as written?"""

import re
import subprocess
import sys

from conftest import ROOT

import bnn

README = (ROOT / "README.md").read_text()


def test_snippets_run_one_after_the_other(tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(snippets) == 2
    path = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", "\n".join(snippets)]
    result = subprocess.run(
        command, cwd=tmp_path, env=path, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert "What has to converge" in result.stdout
    assert "(50, 1)" in result.stdout
    assert re.search(r"^prec_obs", result.stdout, re.M)


def test_table_of_flags_is_the_parsers(capsys):
    table = re.findall(r"^\| ((?:`-[^|]+)+) \| (\S+) \|", README, re.M)
    defaults = vars(bnn.parse_args([]))
    assert len(table) == len(defaults)
    for flags, default in table:
        name = flags.split("`")[-2].removeprefix("--").replace("-", "_")
        assert str(defaults[name]) == default


def test_the_pictures_that_the_readme_shows_are_there():
    paths = re.findall(r'(?:!\[.*?\]\(|<img src=")([^")]+)', README)
    assert len(paths) == 2
    for path in paths:
        assert (ROOT / path).read_bytes().startswith(b"\x89PNG")
