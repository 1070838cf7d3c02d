"""Shows the environment that calls of main leave, and a process started after them."""

import os
import subprocess
import sys

import jax

import bnn

before = dict(os.environ)
flags = "-n 4 --num-warmup 4 --num-data 7 --num-chains".split()
for chains in ["2", "1"]:
    bnn.main([*flags, chains])
    assert dict(os.environ) == before
bnn.use_device("cpu", 5000)
assert dict(os.environ) == before
assert jax.device_count() == 2
subprocess.run([sys.executable, bnn.__file__, *flags, "3"], check=True)
