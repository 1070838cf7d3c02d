"""Does the benchmark run, and compare bnn.py with the same posterior?"""

import re
import subprocess
import sys

import numpy as np
import pytest
from benchmark.loops import plain_log_density
from benchmark.textbook import textbook_data, textbook_model
from helpers import ROOT, TOLERANCE, random_parameters
from numpyro.infer.util import log_density

import bnn

RNG = np.random.default_rng(0)
X, Y, X_test, _ = bnn.get_data(N=20)


def test_textbook_formulation_has_the_data_of_ours():
    for ours, textbook in zip((X, Y, X_test), textbook_data(20), strict=True):
        np.testing.assert_allclose(ours, textbook, rtol=1e-5, atol=1e-5)  # a few ulps


@pytest.mark.parametrize("D_H", [1, 5, 5, 5])
def test_textbook_formulation_has_the_log_density_of_ours(D_H):
    point = random_parameters(RNG, 3, D_H)
    ours, _ = log_density(bnn.model, (X, Y, D_H), {}, point)
    textbook, _ = log_density(textbook_model, (X, Y, D_H), {}, point)
    np.testing.assert_allclose(ours, textbook, **TOLERANCE)


def test_density_for_blackjax_is_that_of_ours_but_for_a_constant():
    differences = []
    for _ in range(3):
        point = random_parameters(RNG, 3, 5)
        log_prec = np.log(point["prec_obs"])
        ours, _ = log_density(bnn.model, (X, Y, 5), {}, point)
        with_jacobian = ours + log_prec
        theirs = plain_log_density({**point, "log_prec": log_prec}, X, Y)
        differences.append(theirs - with_jacobian)
    np.testing.assert_allclose(differences, differences[0], **TOLERANCE)


# the weekly run measures every part
def test_quick_benchmark_prints_and_writes_its_tables(tmp_path):
    benchmark = [sys.executable, ROOT / "tests/benchmark", "--quick"]
    flags = ["--only", "layers"]
    flags += ["--write", "b.md", "--python", sys.executable]
    result = subprocess.run(
        benchmark + flags,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr
    written = (tmp_path / "b.md").read_text()
    assert written.strip() == result.stdout.strip()
    assert "{" not in written
    _, python, *parts, by_hand = re.split("\n###? ", written)
    assert python.startswith("Python 3.")
    assert "H100" in by_hand
    rows = [part.count("\n|") - 2 for part in parts]
    assert rows == [1], written
