"""Shows how a GPU is used, on a stand-in: JAX's CPU client under a GPU's name."""

import sys

import jax
from jax._src import xla_bridge

import bnn


def default_backend():
    """JAX's function, but with the name of what it stands for."""
    return "gpu" if "rocm" in xla_bridge.backends() else "cpu"


xla_bridge.register_backend_factory("rocm", xla_bridge.make_cpu_client, priority=500)
jax.default_backend = default_backend
bnn.main([*sys.argv[1:], "--device", "gpu", "--num-chains", "6"])
print(jax.config.jax_default_matmul_precision)
