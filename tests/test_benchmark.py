"""Does the benchmark run, and compare bnn.py with the same posterior?"""

import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
from benchmark import textbook_data, textbook_model
from conftest import ROOT
from numpyro.infer.util import log_density
from test_model import TOLERANCE, random_parameters

import bnn


def test_textbook_formulation_has_the_log_density_and_the_data_of_ours():
    rng = np.random.default_rng(0)
    for ours, textbook in zip(bnn.get_data(N=20), textbook_data(20), strict=True):
        # jax.numpy computes in float32, with errors of a few ulps of numbers of order 1
        np.testing.assert_allclose(ours, textbook, rtol=1e-5, atol=1e-5)
    X, Y, _ = bnn.get_data(N=20)
    for D_H in [1, 5, 5, 5]:
        p = {k: jnp.asarray(v) for k, v in random_parameters(rng, 3, D_H).items()}
        ours = log_density(bnn.model, (X, Y, D_H), {}, p)[0]
        textbook = log_density(textbook_model, (X, Y, D_H), {}, p)[0]
        np.testing.assert_allclose(ours, textbook, **TOLERANCE)


def test_quick_benchmark_runs_and_prints_a_table_and_json(tmp_path):
    small = ["--quick", "--num-samples", "4", "--num-warmup", "4"]
    command = [
        sys.executable,
        ROOT / "tests" / "benchmark.py",
        *small,
        "--json",
        "b.json",
    ]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "b.json").read_text())
    assert {"date", "machine", "versions", "rows"} <= set(found)
    names = [row["what"] for row in found["rows"]]
    assert any(name.startswith("whole process, first run") for name in names)
    assert any(name.startswith("gradient, (N, D_H) = (1000, 50)") for name in names)
    assert all(f"| {name} |" in result.stdout for name in names)
    times = [row for row in found["rows"] if row["unit"] != "1/s"]
    assert all(row["ours"] > 0 and row["textbook"] > 0 for row in times)
    assert all(row["marginalize"] > 0 for row in times if "/ ours" not in row["what"])
