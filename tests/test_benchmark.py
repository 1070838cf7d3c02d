"""Does the benchmark run, and compare bnn.py with the same posterior?"""

import re
import subprocess
import sys

import numpy as np
from benchmark.loops import plain_log_density
from benchmark.textbook import textbook_data, textbook_model
from helpers import ROOT, TOLERANCE, random_parameters
from numpyro.infer.util import log_density

import bnn

RNG, (X, Y, X_test, _) = np.random.default_rng(0), bnn.get_data(N=20)


def test_textbook_formulation_has_the_log_density_and_the_data_of_ours():
    for ours, textbook in zip((X, Y, X_test), textbook_data(20), strict=True):
        np.testing.assert_allclose(ours, textbook, rtol=1e-5, atol=1e-5)  # a few ulps
    for D_H in [1, 5, 5, 5]:
        p = random_parameters(RNG, 3, D_H)
        ours = log_density(bnn.model, (X, Y, D_H), {}, p)[0]
        textbook = log_density(textbook_model, (X, Y, D_H), {}, p)[0]
        np.testing.assert_allclose(ours, textbook, **TOLERANCE)


def test_density_for_blackjax_is_that_of_ours_but_for_a_constant():
    differences = []
    for _ in range(3):
        p = random_parameters(RNG, 3, 5)
        log_prec = np.log(p["prec_obs"])
        ours = log_density(bnn.model, (X, Y, 5), {}, p)[0] + log_prec  # the Jacobian
        differences.append(plain_log_density(p | {"log_prec": log_prec}, X, Y) - ours)
    np.testing.assert_allclose(differences, differences[0], **TOLERANCE)


def test_quick_benchmark_prints_and_writes_all_tables(tmp_path):
    benchmark = [sys.executable, ROOT / "tests" / "benchmark", "--quick"]
    flags = ["--write", "b.md", "--python", sys.executable]
    settings = dict(cwd=tmp_path, capture_output=True, text=True, timeout=900)
    result = subprocess.run(benchmark + flags, **settings)
    assert result.returncode == 0, result.stderr
    written = (tmp_path / "b.md").read_text()
    assert written.strip() == result.stdout.strip() and "{" not in written
    _, python, *parts, by_hand = re.split("\n###? ", written)
    assert python.startswith("Python 3.") and by_hand.count("\n|") == 2 + 9
    rows = [6, 0 if "not installed" in parts[1] else 4, 3, 3, 3, 3]  # with two of head
    assert [part.count("\n|") for part in parts] == rows, written
