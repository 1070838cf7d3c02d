"""Shows that a second call adds no flags for XLA, nor does a process started after."""

import os
import subprocess
import sys

import jax

import bnn

users_flags = os.environ["XLA_FLAGS"]
small = "-n 4 --num-warmup 4 --num-data 7 --num-chains".split()
bnn.main([*small, "2"])
flags = os.environ["XLA_FLAGS"]
assert flags.endswith(f" {users_flags}")
bnn.main([*small, "1"])
bnn.use_device("cpu", 5000)
assert jax.device_count() == 2
assert os.environ["XLA_FLAGS"] == flags
of_child = [sys.executable, bnn.__file__, *small, "3"]
subprocess.run(of_child, check=True)
