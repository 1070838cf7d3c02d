"""What is measured inside a process: loops, inference, and BlackJAX's in its place."""

import contextlib
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


def product(w, z):
    """A layer as a matrix product."""
    return w.T @ z


def sum_of_products(w, z):
    """A layer as a sum."""
    products = w[:, :, None] * z[:, None, :]
    return jnp.sum(products, axis=0)


LAYERS = {"@": product, "sum": sum_of_products}
PACKAGES = ["numpyro", "jax", "jaxlib", "numpy", "matplotlib", "blackjax"]
SHAPES = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "log_prec": ()}


def about():
    """What it runs on."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    cpus = re.findall(r"model name\s*: (.*)", cpuinfo)
    gpus = [d.device_kind for d in jax.devices() if d.platform == "gpu"]
    found = [f"{os.cpu_count()} cores"]
    found += cpus[:1]
    found += gpus[:1]
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return {"python": platform.python_version(), "on": ", ".join(found), "gpu": gpus}


def step(device, which, N, D_H, num_chains, num_draws=3):
    """Microseconds a leapfrog step of all chains together, and the peak of memory."""
    if device == "cpu":  # one core, which threads that start later inherit
        first_core = min(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [first_core])
    if which == "textbook":
        model = textbook_model
        jax.config.update("jax_platforms", "cpu" if device == "cpu" else None)
    else:
        model = bnn.model
        bnn.use_device(device, num_chains=1)
    bnn.linear = LAYERS.get(which, bnn.linear)
    X, Y, *_ = bnn.get_data(N=N)
    compiled, keys = compile_chains(model, (X, Y, D_H), num_chains, num_draws)
    seconds, steps = time_in_turn(compiled, keys)
    # chains move in step: a draw takes as long as the longest path of them
    of_chains = steps.reshape(num_chains, num_draws)
    longest = np.max(of_chains, axis=0)
    num_steps = np.sum(longest)
    memory = jax.local_devices()[0].memory_stats() or {}  # none on a CPU
    peak = memory.get("peak_bytes_in_use", float("nan"))
    return {"us": seconds / num_steps * 1e6, "GiB": peak / 2**30}


def compile_chains(model, data, num_chains, num_draws):
    """Short chains of NUTS without a warm-up, compiled, and the keys they take.

    The step is so small that nearly all paths reach the cap of 1023 steps.
    """
    kernel = NUTS(model, step_size=1e-7, adapt_step_size=False)

    def draw(state, _):
        state = kernel.sample(state, data, {})
        return state, state.num_steps

    def chain(key):
        state = kernel.init(key, 0, None, data, {})
        return jax.lax.scan(draw, state, length=num_draws)

    keys = jax.random.split(jax.random.key(0), num_chains)
    if num_chains == 1:
        chains = chain
        keys = keys[0]
    else:
        chains = jax.vmap(chain)
    lowered = jax.jit(chains).lower(keys)
    return lowered.compile(), keys


def time_in_turn(compiled, keys):
    """The fewest seconds that the chains take, and the steps of each draw."""
    seconds = []
    with open(__file__) as lock:  # timed parts of several processes take turns
        fcntl.flock(lock, fcntl.LOCK_EX)
        while len(seconds) < 3 or sum(seconds) < 0.3:
            start = time.perf_counter()
            _, steps = jax.block_until_ready(compiled(keys))
            seconds.append(time.perf_counter() - start)
    return min(seconds), steps


def inference(num_devices, method, *sizes):
    """Seconds of bnn.run_inference; 0 devices: without bnn.use_device."""
    if num_devices:
        bnn.use_device("cpu", num_devices)
    if method:
        bnn.MCMC = partial(with_method, method)
    X, Y, *_ = bnn.get_data()
    key = jax.random.key(0)
    start = time.perf_counter()
    bnn.run_inference(bnn.model, key, X, Y, 5, *sizes, progress_bar=False)
    return time.perf_counter() - start


def with_method(method, kernel, **settings):
    """NumPyro's MCMC with its own chain_method."""
    settings["chain_method"] = method
    return MCMC(kernel, **settings)


def plain_log_density(z, X, Y):
    """The log density of bnn.py in plain JAX, up to a constant, over log(prec_obs)."""
    z1 = jnp.tanh(X @ z["w1"])  # (N, D_H)
    z2 = jnp.tanh(z1 @ z["w2"])  # (N, D_H)
    f = z2 @ z["w3"]  # (N, 1)
    log_prec = z["log_prec"]
    prec = jnp.exp(log_prec)
    squares = [jnp.sum(z[name] ** 2) for name in ["w1", "w2", "w3"]]
    log_prior = -0.5 * sum(squares)
    log_gamma = 3.0 * log_prec - prec  # with the Jacobian
    errors = jnp.sum((Y - f) ** 2)
    log_likelihood = 0.5 * (len(Y) * log_prec - prec * errors)
    return log_prior + log_gamma + log_likelihood


def uniform_start(key):
    """A point to start from, chosen as NumPyro does."""
    keys = jax.random.split(key, len(SHAPES))
    point = {}
    for (name, shape), key_of_site in zip(SHAPES.items(), keys, strict=True):
        point[name] = jax.random.uniform(key_of_site, shape, minval=-2.0, maxval=2.0)
    return point


def blackjax_rates(seed, num_warmup, num_samples):
    """n_eff per second of f and of prec_obs, warm-up and compilation included."""
    import blackjax  # who measures it has installed it

    jax.config.update("jax_platforms", "cpu")
    X, Y, *_ = bnn.get_data()
    start = time.perf_counter()
    key = jax.random.key(seed)
    key_start, key_warmup, key_draws = jax.random.split(key, 3)
    log_density = partial(plain_log_density, X=X, Y=Y)
    warmup = blackjax.window_adaptation(blackjax.nuts, log_density)
    point = uniform_start(key_start)
    adapted, _ = warmup.run(key_warmup, point, num_warmup)
    state, settings = adapted
    nuts = blackjax.nuts(log_density, **settings)

    def draw(state, key):
        state, _ = nuts.step(key, state)
        return state, state.position

    keys = jax.random.split(key_draws, num_samples)
    _, positions = jax.lax.scan(draw, state, keys)
    positions = jax.device_get(positions)
    seconds = time.perf_counter() - start
    one_chain = {name: values[None] for name, values in positions.items()}
    one_chain["prec_obs"] = np.exp(one_chain["log_prec"])
    n_eff = worst_n_eff(one_chain, X)
    return {name: value / seconds for name, value in n_eff.items()}
