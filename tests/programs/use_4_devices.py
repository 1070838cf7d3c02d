"""Shows how many devices JAX has after flags for 4 chains, and makes XLA compile."""

import jax

import bnn

args = bnn.parse_args(["--num-chains", "4"])
bnn.start_jax(args)
jax.numpy.ones(3)
print(jax.device_count())
