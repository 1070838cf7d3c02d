"""Do many chains, many predictions and a large network stay within some GiB?"""

import pytest
from helpers import SCRIPT, peak_gib, rows, stdout_of


# one host device a chain is by far the fastest, but JAX cannot make thousands
def test_thousands_of_chains_stay_within_2_5_gib(run_program, tmp_path):
    flags = "--num-chains 2050 -n 4 --num-warmup 0 --num-data 7".split()
    result = run_program("tell_peak", SCRIPT, *flags)
    assert "2050 chain(s) on 410 of 1024 device(s)" in stdout_of(result)
    assert peak_gib(result.stderr) < 2.5
    assert (tmp_path / "bnn_plot.pdf").exists()


# all draws at once would take over 3.5
@pytest.mark.parametrize("chains, points, gib", [(32, 500, 1.5), (1, 100_000, 2.0)])
def test_predictions_need_up_to_2_gib_over_themselves(run_program, chains, points, gib):
    result = run_program("memory_of_predictions", chains, points)
    assert float(stdout_of(result)) < gib


def test_a_large_network_finishes_within_2_gib_and_leaves_out_its_weights(run_program):
    flags = "--num-hidden 200 --num-data 5000 -n 4 --num-warmup 0".split()
    result = run_program("tell_peak", SCRIPT, *flags)
    assert result.returncode == 0, result.stderr
    assert peak_gib(result.stderr) < 2
    assert [row[0] for row in rows(result.stdout)] == ["prec_obs"]
    assert "rows of the weights are left out" in result.stdout
