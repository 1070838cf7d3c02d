"""Shows how many GiB predictions of chains, at points, need over themselves."""

import functools
import sys

import jax
import numpy as np
from memory import memory

import bnn

chains, points = map(int, sys.argv[1:])
X, Y, X_test, f_test = bnn.get_data(N_test=points)
rng = np.random.default_rng(0)
shapes = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "prec_obs": ()}
draws = {}
for name, shape in shapes.items():
    draws[name] = rng.standard_normal((chains, 2000, *shape), np.float32)
draws["prec_obs"] = np.exp(draws["prec_obs"])
draws["f"] = np.ones((chains, 2000, 100_000 // chains, 1), np.float32)  # is ignored
key = jax.random.key(0)

before = memory("VmRSS")
at_test = functools.partial(bnn.predict, bnn.model, X=X_test, D_H=5)
f_draws, Y_draws = bnn.for_all_draws(at_test, key, draws)
assert f_draws.shape == Y_draws.shape == (chains, 2000, points, 1)
if points == 500:
    bnn.plot(X, Y, X_test, f_test, f_draws, Y_draws)
themselves = (f_draws.nbytes + Y_draws.nbytes) / 2**30
print(memory("VmHWM") - before - themselves)
