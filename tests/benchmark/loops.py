"""What is measured inside a process: compiled loops, and the peak of memory."""

import importlib.metadata
import os
import pathlib
import platform
import re
import statistics
import time
import timeit
from functools import partial
from resource import RUSAGE_SELF, getrusage
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS

import bnn

from .textbook import textbook_model, worst_n_eff


def about():
    """What it runs on."""
    cpu = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    gpu = [d.device_kind for d in jax.devices() if d.platform == "gpu"]
    versions = {d.name: d.version for d in importlib.metadata.distributions()}
    names = "numpyro jax jaxlib numpy matplotlib blackjax nutpie pymc".split()
    found = [f"{os.cpu_count()} cores", *cpu[:1], *gpu[:1]]
    found += [f"{name} {versions[name]}" for name in names if name in versions]
    return {"python": platform.python_version(), "on": ", ".join(found), "gpu": gpu}


def model_with(linear, X, Y, D_H):
    """The model of bnn.py with another way to compute a layer."""
    with mock.patch.object(bnn, "linear", linear):
        bnn.model(X, Y, D_H)


MODELS = {
    "textbook": textbook_model,
    "@": partial(model_with, lambda w, z: w.T @ z),
    "sum": partial(model_with, lambda w, z: (w[:, :, None] * z[:, None]).sum(axis=0)),
    "ours": bnn.model,
    "--marginalize": bnn.marginal_model,
}


def sampling(which, N, D_H, num_warmup, num_samples):
    """Seconds of compilation and sampling, microseconds a step, n_eff per second."""
    # compiled ahead of time, for NumPyro's MCMC would compile in each run
    if which == "textbook":
        jax.config.update("jax_platforms", "cpu")
    else:
        bnn.use_device("cpu", num_chains=1)
    X, Y, *_ = bnn.get_data(N=N)
    kernel = NUTS(MODELS[which])

    def draw(state, _):
        state = kernel.sample(state, (X, Y, D_H), {})
        return state, (state.z, state.num_steps)

    @jax.jit
    def sample(key):
        state = kernel.init(key, num_warmup, None, (X, Y, D_H), {})
        _, (z, steps) = jax.lax.scan(draw, state, length=num_warmup + num_samples)
        z = {name: x[num_warmup:] for name, x in z.items()}
        draws = jax.vmap(kernel.postprocess_fn((X, Y, D_H), {}))(z)
        if which == "--marginalize":
            keys = jax.random.split(key, num_samples)
            draws = jax.vmap(lambda k, draw: bnn.draw_w3(k, draw, X, Y))(keys, draws)
        return draws, jnp.sum(steps)

    start = time.perf_counter()
    compiled = sample.lower(jax.random.key(0)).compile()
    compilation = time.perf_counter() - start
    runs = []
    for seed in range(3):
        start = time.perf_counter()
        draws, steps = jax.block_until_ready(compiled(jax.random.key(seed)))
        seconds = time.perf_counter() - start
        n_eff = worst_n_eff({name: x[None] for name, x in draws.items()}, X)
        run = {"compilation": compilation, "sampling": seconds}
        run["step"] = seconds / int(steps) * 1e6
        first = compilation + seconds
        run |= {name: n / seconds for name, n in n_eff.items()}
        run |= {f"{name}, first": n / first for name, n in n_eff.items()}
        runs.append(run)
    found = {key: statistics.fmean(run[key] for run in runs) for key in runs[0]}
    if which == "--marginalize":
        found["w3_posterior"] = w3_posterior(Y, D_H)
    return found


def w3_posterior(Y, D_H):
    """Microseconds of the part of --marginalize's step that integrates w3 out."""

    def compute(z2, _):
        m, C, _ = bnn.w3_posterior(z2, Y, 1.0)
        return z2 + 1e-9 * (jnp.sum(m) + jnp.sum(C)), None  # so that none is left out

    loop = jax.jit(lambda z2: jax.lax.scan(compute, z2, length=1000)[0])
    z2 = jnp.tanh(jax.random.normal(jax.random.key(0), (D_H, len(Y))))
    run = lambda: jax.block_until_ready(loop(z2))  # noqa: E731
    return min(timeit.repeat(run, repeat=5, number=1)) * 1000  # the first one compiles


def prediction_memory(num_draws, points):
    """MiB of predictions, and what they take above these at the peak."""
    bnn.use_device("cpu", num_chains=1)
    X = bnn.get_data(N=points)[0]
    shapes = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "prec_obs": ()}
    draws = {k: np.ones((1, num_draws, *v), np.float32) for k, v in shapes.items()}
    key, before = jax.random.key(0), getrusage(RUSAGE_SELF).ru_maxrss
    predict = lambda key, draw: bnn.predict(bnn.model, key, draw, X, 5)  # noqa: E731
    predictions = bnn.for_all_draws(predict, key, draws)
    own = sum(x.nbytes for x in predictions) / 2**20
    peak = (getrusage(RUSAGE_SELF).ru_maxrss - before) / 2**10  # Linux counts KiB
    return {"predictions": own, "above": peak - own}
