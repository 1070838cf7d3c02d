"""Shows what a run of the script must leave as it was, in a notebook, too."""

import os
import signal
import sys

import matplotlib
import numpy as np


def state():
    """Signals, NumPy's settings and seed, and the rest of what a process shares."""
    signals = [signal.getsignal(number) for number in signal.Signals]
    seed = np.random.get_state()[1].sum()
    of_numpy = np.geterr(), np.get_printoptions(), seed
    environment = dict(os.environ)
    environment.pop("XLA_FLAGS", None)  # JAX reads them once, so they may stay
    others = environment, os.getcwd(), sys.argv, dict(matplotlib.rcParams)
    return signals, of_numpy, others
