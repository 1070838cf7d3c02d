"""Shows what README's snippet, in snippet.py, has on one machine after a few draws."""

import functools
import runpy

import numpy as np

import bnn

bnn.run_inference = functools.partial(bnn.run_inference, num_warmup=9, num_samples=9)
names = runpy.run_path("snippet.py")  # it reads sys.argv
of_all = names["draws"]
own = names["mcmc"].get_samples(group_by_chain=True)
np.savez(
    names["process_id"],
    r_hat=names["r_hat"],
    f=of_all["f"],
    w1=of_all["w1"],
    own_f=own["f"],
)
