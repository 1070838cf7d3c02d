"""Shows that the script uses no key twice."""

import sys

import jax

import bnn

run = bnn.MCMC.run


# NumPyro's own initialisation uses its key twice, so NUTS itself runs unchecked; that
# it gets a key of its own is checked as this consumes one.
def run_unchecked(self, rng_key, *args, **kwargs):
    keys = rng_key[None] if rng_key.ndim == 0 else rng_key
    jax.vmap(jax.random.bits)(keys)
    with jax.debug_key_reuse(False):
        run(self, jax.random.clone(rng_key), *args, **kwargs)


bnn.MCMC.run = run_unchecked
assert jax.config.jax_debug_key_reuse
bnn.main(sys.argv[1:])
