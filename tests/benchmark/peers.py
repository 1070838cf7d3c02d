"""Other samplers of the same posterior, each with a natural formulation of its own."""

import contextlib
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

import bnn

from .textbook import worst_n_eff

with contextlib.suppress(ImportError):  # who measures peers has installed them
    import blackjax
    import nutpie
    import pymc


def plain_log_density(z, X, Y):
    """The log density of bnn.py in plain JAX, up to a constant, over log(prec_obs)."""
    f = jnp.tanh(jnp.tanh(X @ z["w1"]) @ z["w2"]) @ z["w3"]  # (N, 1)
    log_prec, prec = z["log_prec"], jnp.exp(z["log_prec"])
    log_prior = -0.5 * sum(jnp.sum(z[name] ** 2) for name in ["w1", "w2", "w3"])
    log_gamma = 3.0 * log_prec - prec  # with the Jacobian
    log_lik = 0.5 * len(Y) * log_prec - 0.5 * prec * jnp.sum((Y - f) ** 2)
    return log_prior + log_gamma + log_lik


def draw_with_blackjax(X, Y, seed, num_warmup, num_samples):
    """The draws of BlackJAX."""
    keys = jax.random.split(jax.random.key(seed), 3)
    shapes = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "log_prec": ()}
    z = {
        name: jax.random.uniform(jax.random.fold_in(keys[0], i), shape, None, -2.0, 2.0)
        for i, (name, shape) in enumerate(shapes.items())
    }
    log_density = functools.partial(plain_log_density, X=X, Y=Y)
    warmup = blackjax.window_adaptation(blackjax.nuts, log_density)
    (state, settings), _ = warmup.run(keys[1], z, num_warmup)
    step = blackjax.nuts(log_density, **settings).step
    keys = jax.random.split(keys[2], num_samples)
    _, states = jax.lax.scan(lambda state, key: (step(key, state)[0],) * 2, state, keys)
    draws = {name: x[None] for name, x in jax.device_get(states.position).items()}
    return draws | {"prec_obs": np.exp(draws["log_prec"])}


def draw_with_pymc_or_nutpie(peer, X, Y, seed, num_warmup, num_samples):
    """The draws of PyMC, or of nutpie with PyMC's model."""
    settings = dict(tune=num_warmup, draws=num_samples, chains=1)
    with pymc.Model() as model:
        w1 = pymc.Normal("w1", shape=(3, 5))
        w2 = pymc.Normal("w2", shape=(5, 5))
        w3 = pymc.Normal("w3", shape=(5, 1))
        prec_obs = pymc.Gamma("prec_obs", 3.0, 1.0)
        f = pymc.math.tanh(pymc.math.tanh(X @ w1) @ w2) @ w3
        pymc.Normal("Y", f, tau=prec_obs, observed=Y)
        if peer == "nutpie":
            settings |= dict(seed=seed, progress_bar=False)
            return nutpie.sample(nutpie.compile_pymc_model(model), **settings).posterior
        settings |= dict(cores=1, random_seed=seed, progressbar=False)
        return pymc.sample(**settings).posterior


def n_eff_a_second(peer, *settings):
    """Those of f and of prec_obs with a peer, warm-up and compilation included."""
    jax.config.update("jax_platforms", "cpu")
    X, Y, *_ = bnn.get_data()
    start = time.perf_counter()
    if peer == "blackjax":
        draws = draw_with_blackjax(X, Y, *settings)
    else:
        draws = draw_with_pymc_or_nutpie(peer, X, Y, *settings)
    seconds = time.perf_counter() - start
    return {name: n / seconds for name, n in worst_n_eff(draws, X).items()}
