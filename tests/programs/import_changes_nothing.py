"""Shows that the import changes nothing, and what a device that is not there tells."""

import os

import jax
import jax._src.xla_bridge
import matplotlib.pyplot
import numpy as np
import numpyro  # noqa: F401  as it changes what it wants to when it is imported


def state():
    """The environment, JAX's settings, matplotlib's backend, NumPy's seed."""
    backend = dict.__getitem__(matplotlib.rcParams, "backend")  # does not choose one
    seed = np.random.get_state()[1].sum()
    return dict(os.environ), dict(jax.config.values), backend, seed


before = state()
import bnn  # noqa: E402

assert not jax._src.xla_bridge.backends_are_initialized()
assert state() == before
try:
    bnn.use_device("gpu", 1)
except RuntimeError as error:
    print(error)
