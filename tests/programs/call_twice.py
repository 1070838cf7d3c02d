"""Shows that later calls add no flags for XLA, and take the devices that are there."""

import os

import jax

import bnn

users_flags = os.environ["XLA_FLAGS"]
bnn.main("-n 4 --num-warmup 4 --num-data 7 --num-chains 2".split())
flags = os.environ["XLA_FLAGS"]
assert flags.endswith(f" {users_flags}")
bnn.use_device("cpu", 5000)
assert jax.device_count() == 2
assert os.environ["XLA_FLAGS"] == flags
bnn.choose_chain_method(1)
