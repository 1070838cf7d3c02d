"""Does the code that the page gives for a reader's own data fit them?"""

import functools
import re
import textwrap

import numpy as np
import pandas as pd
from helpers import SCRIPT, predict_all, years

import bnn


def code_of_the_page():
    """The lines of its only code block."""
    block = r"code-block:: python\n((?:#(?:    .*)?\n)+)"
    (commented,) = re.findall(block, SCRIPT.read_text())
    indented = re.sub("^#", "", commented, flags=re.M)
    return textwrap.dedent(indented)


def test_the_pages_own_data_fit_and_come_back_on_their_own_scale(tmp_path, monkeypatch):
    x, Y = years()
    monkeypatch.chdir(tmp_path)
    few = {"num_warmup": 300, "num_samples": 300, "progress_bar": False}
    few_draws = functools.partial(bnn.run_inference, **few)
    monkeypatch.setattr(bnn, "run_inference", few_draws)
    names = {"x": pd.DataFrame(x), "x_new": pd.DataFrame(x), "Y": pd.DataFrame(Y)}
    exec(code_of_the_page(), names)

    f = names["f"]
    residuals = f.mean(axis=(0, 1)) - Y
    assert 1 - residuals.var() / Y.var() > 0.9  # R^2; the noise leaves 0.98
    noise = names["Y_new"] - f
    assert 300 < noise.std() < 2000  # on the scale of Y, where it was made with 500

    draws = dict(np.load("draws.npz"))
    scale = np.load("scale.npz")
    standardised = (x - scale["m"]) / scale["s"]
    X = np.insert(standardised, 0, 1, axis=1)
    again, _ = predict_all(draws, X)
    np.testing.assert_allclose(scale["mean"] + scale["sd"] * again, f, rtol=1e-4)
