"""Shows how many times the memory of f print_convergence needs besides f itself."""

import sys
import types

import numpy as np
from memory import memory

import bnn

draws, points = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
f = rng.standard_normal((1, draws, points, 1), np.float32)
extra = {"diverging": np.zeros((1, draws), bool)}
mcmc = types.SimpleNamespace(
    get_samples=lambda group_by_chain: {"f": f},
    get_extra_fields=lambda group_by_chain: extra,
)
before = memory("VmRSS")
sys.stdout, stdout = sys.stderr, sys.stdout
bnn.print_convergence(mcmc)
needed = memory("VmHWM") - before
print(needed / (f.nbytes / 2**30), file=stdout)
