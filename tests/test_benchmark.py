"""Does the benchmark run, and compare bnn.py with the same posterior?"""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
from benchmark.peers import plain_log_density
from benchmark.textbook import textbook_data, textbook_model
from conftest import ROOT
from numpyro.infer.util import log_density
from test_model import TOLERANCE, random_parameters

import bnn


def test_textbook_formulation_has_the_log_density_and_the_data_of_ours():
    rng = np.random.default_rng(0)
    X, Y, X_test, _ = bnn.get_data(N=20)
    for ours, textbook in zip((X, Y, X_test), textbook_data(20), strict=True):
        # jax.numpy computes in float32, with errors of a few ulps of numbers of order 1
        np.testing.assert_allclose(ours, textbook, rtol=1e-5, atol=1e-5)
    for D_H in [1, 5, 5, 5]:
        p = {k: jnp.asarray(v) for k, v in random_parameters(rng, 3, D_H).items()}
        ours = log_density(bnn.model, (X, Y, D_H), {}, p)[0]
        textbook = log_density(textbook_model, (X, Y, D_H), {}, p)[0]
        np.testing.assert_allclose(ours, textbook, **TOLERANCE)


def test_density_for_blackjax_is_that_of_ours_but_for_a_constant():
    rng = np.random.default_rng(0)
    X, Y, *_ = bnn.get_data(N=20)
    differences = []
    for _ in range(3):
        p = {k: jnp.asarray(v) for k, v in random_parameters(rng, 3, 5).items()}
        log_prec = jnp.log(p["prec_obs"])
        ours = log_density(bnn.model, (X, Y, 5), {}, p)[0] + log_prec  # the Jacobian
        differences.append(plain_log_density(p | {"log_prec": log_prec}, X, Y) - ours)
    np.testing.assert_allclose(differences, differences[0], **TOLERANCE)


def test_quick_benchmark_prints_and_writes_all_tables(tmp_path):
    command = [sys.executable, ROOT / "tests" / "benchmark", "--quick"]
    command += ["--write", "b.md", "--python", sys.executable]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stderr
    written = (tmp_path / "b.md").read_text()
    assert written.strip() == result.stdout.strip()
    title, *parts = written.split("\n### ")
    assert "\n## Python 3." in title
    gpu = parts.pop()  # without one, a sentence
    assert gpu.count("\n|") == 3 or "Not measured" in gpu
    rows = [part.count("\n|") for part in parts]
    assert rows == [2 + 4, 0, 2 + 1, 2 * (2 + 1), 2 + 1, 2 + 1], written
