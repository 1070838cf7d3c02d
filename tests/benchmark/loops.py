"""What is measured inside a process: loops, inference, and BlackJAX's in its place."""

import fcntl
import importlib.metadata
import os
import pathlib
import platform
import re
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS

import bnn

from .textbook import textbook_model, worst_n_eff

LAYERS = {
    "@": lambda w, z: w.T @ z,
    "sum": lambda w, z: (w[:, :, None] * z[:, None]).sum(axis=0),
}


def about():
    """What it runs on."""
    cpu = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    gpu = [d.device_kind for d in jax.devices() if d.platform == "gpu"]
    versions = {d.name: d.version for d in importlib.metadata.distributions()}
    names = ["numpyro", "jax", "jaxlib", "numpy", "matplotlib", "blackjax"]
    found = [f"{os.cpu_count()} cores", *cpu[:1], *gpu[:1]]
    found += [f"{name} {versions[name]}" for name in names if name in versions]
    return {"python": platform.python_version(), "on": ", ".join(found), "gpu": gpu}


def step(device, which, N, D_H, num_chains, num_draws=3):
    """Microseconds a leapfrog step of all chains together, and the peak of memory."""
    if device == "cpu":  # one core, which threads that start later inherit
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    if which == "textbook":
        jax.config.update("jax_platforms", "cpu" if device == "cpu" else None)
    else:
        bnn.use_device(device, num_chains=1)
    bnn.linear = LAYERS.get(which, bnn.linear)
    X, Y, *_ = bnn.get_data(N=N)
    # a step so small needs no warm-up: nearly all paths reach the cap of 1023 steps
    model = textbook_model if which == "textbook" else bnn.model
    kernel = NUTS(model, step_size=1e-7, adapt_step_size=False)

    def draw(state, _):
        state = kernel.sample(state, (X, Y, D_H), {})
        return state, state.num_steps

    def chain(key):
        state = kernel.init(key, 0, None, (X, Y, D_H), {})
        return jax.lax.scan(draw, state, length=num_draws)

    keys = jax.random.split(jax.random.key(0), num_chains)
    sample, keys = (jax.vmap(chain), keys) if num_chains > 1 else (chain, keys[0])
    compiled = jax.jit(sample).lower(keys).compile()
    seconds = []
    with open(__file__) as lock:  # timed parts of several processes take turns
        fcntl.flock(lock, fcntl.LOCK_EX)
        while len(seconds) < 3 or sum(seconds) < 0.3:
            start = time.perf_counter()
            _, steps = jax.block_until_ready(compiled(keys))
            seconds.append(time.perf_counter() - start)
    # chains move in step: a draw takes as long as the longest path of them
    num_steps = np.max(steps.reshape(-1, num_draws), axis=0).sum()
    memory = jax.local_devices()[0].memory_stats() or {}  # none on a CPU
    peak = memory.get("peak_bytes_in_use", float("nan")) / 2**30
    return {"us": min(seconds) / num_steps * 1e6, "GiB": peak}


def inference(num_devices, method, *sizes):
    """Seconds of bnn.run_inference; 0 devices: without bnn.use_device."""
    if num_devices:
        bnn.use_device("cpu", num_devices)
    if method:
        bnn.MCMC = lambda *args, **kw: MCMC(*args, **kw | {"chain_method": method})
    X, Y, *_ = bnn.get_data()
    start = time.perf_counter()
    bnn.run_inference(bnn.model, jax.random.key(0), X, Y, 5, *sizes, False)
    return time.perf_counter() - start


def plain_log_density(z, X, Y):
    """The log density of bnn.py in plain JAX, up to a constant, over log(prec_obs)."""
    f = jnp.tanh(jnp.tanh(X @ z["w1"]) @ z["w2"]) @ z["w3"]  # (N, 1)
    log_prec, prec = z["log_prec"], jnp.exp(z["log_prec"])
    log_prior = -0.5 * sum(jnp.sum(z[name] ** 2) for name in ["w1", "w2", "w3"])
    log_gamma = 3.0 * log_prec - prec  # with the Jacobian
    log_lik = 0.5 * len(Y) * log_prec - 0.5 * prec * jnp.sum((Y - f) ** 2)
    return log_prior + log_gamma + log_lik


def blackjax_rates(seed, num_warmup, num_samples):
    """n_eff per second of f and of prec_obs, warm-up and compilation included."""
    import blackjax  # who measures it has installed it

    jax.config.update("jax_platforms", "cpu")
    X, Y, *_ = bnn.get_data()
    start = time.perf_counter()
    keys = jax.random.split(jax.random.key(seed), 6)
    shapes = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "log_prec": ()}
    uniform = partial(jax.random.uniform, minval=-2.0, maxval=2.0)  # as NumPyro starts
    z = {k: uniform(key, shapes[k]) for k, key in zip(shapes, keys[2:], strict=True)}
    log_density = partial(plain_log_density, X=X, Y=Y)
    warmup = blackjax.window_adaptation(blackjax.nuts, log_density)
    (state, settings), _ = warmup.run(keys[0], z, num_warmup)
    step = blackjax.nuts(log_density, **settings).step
    keys = jax.random.split(keys[1], num_samples)
    _, states = jax.lax.scan(lambda state, key: (step(key, state)[0],) * 2, state, keys)
    draws = {name: x[None] for name, x in jax.device_get(states.position).items()}
    seconds = time.perf_counter() - start
    draws["prec_obs"] = np.exp(draws["log_prec"])
    return {name: n / seconds for name, n in worst_n_eff(draws, X).items()}
