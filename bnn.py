# SPDX-License-Identifier: Apache-2.0
# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpyro>=0.20,<0.23",
#     "jax>=0.7.2,<0.13",
#     "jaxlib>=0.7.2,<0.13",
#     "numpy>=2.0,<3",
#     "matplotlib>=3.10.8,<4",
# ]
# ///
r"""
Bayesian neural network
=======================

.. image:: images/sphx_glr_bnn_001.png
   :width: 600
   :alt: Noisy data, the curve behind them, and 20 curves that part where the data end

A neural network that was trained as usual has one set of weights and answers with one
curve. A *Bayesian* neural network (BNN) weighs all sets of weights by how probable the
data make them: this is the *posterior*. Draws from it are a cloud of curves, narrow
where there are data and wide far from them. Here such a network is written down,
sampled, checked and used to predict.
"""

# sphinx_gallery_dummy_images = 1
import argparse
import io
import os
import pathlib
import signal
import sys
import tempfile
import time
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.sharding import Mesh, PartitionSpec
from numpyro import diagnostics, handlers
from numpyro.infer import MCMC, NUTS

# %%
# The model
# ---------
#
# Before there are data, every weight is standard normal; this is the *prior*. The noise
# has an unknown precision, which is one over its variance:
#
# .. math::
#
#    w_1, w_2, w_3 &\sim \mathrm{Normal}(0, 1) \\
#    f(X) &= \tanh(\tanh(X w_1)\, w_2)\, w_3 \\
#    \mathrm{prec\_obs} &\sim \mathrm{Gamma}(3, 1) \\
#    Y &\sim \mathrm{Normal}(f(X),\ \mathrm{prec\_obs}^{-1/2})
#
# Each weight keeps this prior however many units there are, so with more of them f gets
# wilder and tanh saturates: the number of units is a choice of prior, too.


def model(X, Y, D_H):
    """A BNN with two hidden layers of D_H units: X is (N, D_X), Y is (N, 1) or None.

    ``sample`` names an unknown and its distribution; with ``obs`` it is known: data.
    ``deterministic`` records a value. ``plate`` says that the N data are independent,
    ``to_event(1)`` that one datum is a row of Y. ValueError for other shapes of Y.
    """
    N, D_X = X.shape
    if Y is not None and Y.shape != (N, 1):  # it would broadcast to a wrong density
        raise ValueError(f"Y must have shape {(N, 1)}, not {Y.shape}")

    # the prior: every weight is Normal(0, 1)
    w1 = numpyro.sample("w1", dist.Normal(np.zeros((D_X, D_H)), 1.0))  # (D_X, D_H)
    w2 = numpyro.sample("w2", dist.Normal(np.zeros((D_H, D_H)), 1.0))  # (D_H, D_H)
    w3 = numpyro.sample("w3", dist.Normal(np.zeros((D_H, 1)), 1.0))  # (D_H, 1)

    # the network
    z2 = hidden(X, w1, w2)  # (D_H, N)
    f = numpyro.deterministic("f", linear(w3, z2).T)  # (N, 1), the output without noise

    # the likelihood: N independent data, with noise of precision prec_obs
    prec_obs = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))  # ()
    with numpyro.plate("data", N):
        numpyro.sample("Y", dist.Normal(f, 1 / jnp.sqrt(prec_obs)).to_event(1), obs=Y)


# %%
# Each layer is computed as its transpose: data lie on the *last* axis, along which a
# processor is fastest, as there are many data and few units.


def hidden(X, w1, w2):
    """Return the second hidden layer (D_H, N) at X (N, D_X)."""
    z1 = jnp.tanh(linear(w1, X.T))  # (D_H, N), the first hidden layer
    return jnp.tanh(linear(w2, z1))  # (D_H, N)


def linear(w, z):
    """Return ``w.T @ z`` (M, N) for weights w (K, M) and inputs z (K, N)."""
    # Only for speed: on a CPU, XLA compiles sums of up to 4096 products (in all, or so)
    # into a loop, and the sampler's takes 0.2 to 0.6 of its time with ``w.T @ z``.
    if w.size * z.shape[1] <= 4096:
        return jnp.sum(jax.vmap(jnp.outer)(w, z), axis=0)
    return w.T @ z


# %%
# The data
# --------
#
# A parabola plus a wave, in one input :math:`x`. The network gets the features
# :math:`1, x, x^2`, of which the parabola is made. The ones are needed: they make
# ``w1[0]`` the bias of the first layer; without them f would be 0 at :math:`x = 0`. The
# test inputs reach beyond the training inputs, where a BNN earns its keep.


def get_data(N=100, D_X=3, sigma_obs=0.05, N_test=500):
    """Return X (N, D_X), Y (N, 1), X_test (N_test, D_X), the true f_test (N_test, 1).

    Y is standardised, N at least 2, and f_test on the scale of Y; sigma_obs is the
    noise before that. The same arguments give the same data, in plain NumPy.
    """
    rng = np.random.RandomState(0)
    W = 0.5 * rng.randn(D_X)  # (D_X,)
    noise = sigma_obs * rng.randn(N, 1)  # (N, 1)

    def curve(x):  # (n, 1) -> (n, D_X), (n, 1)
        X = x ** np.arange(D_X)
        return X, X @ W[:, None] + 0.5 * (0.5 + x) ** 2 * np.sin(4.0 * x)

    X, f = curve(np.linspace(-1.0, 1.0, N)[:, None])  # (N, D_X), (N, 1)
    X_test, f_test = curve(np.linspace(-1.3, 1.3, N_test)[:, None])
    Y = f + noise  # (N, 1)
    return X, (Y - Y.mean()) / Y.std(), X_test, (f_test - Y.mean()) / Y.std()


# %%
# Inference
# ---------
#
# NUTS, the No-U-Turn Sampler, draws from the posterior: each draw is a value for every
# unknown. All together are a point, which it pushes and lets roll over a landscape
# that is low where the posterior is high; its slope is the force. The path is
# computed in *leapfrog steps*, forwards and backwards in time, until it begins to turn
# back, gets inaccurate (*diverges*) or has 1023 steps. The next draw is one of its
# points, chosen at random though not evenly, and the next path starts there: the draws
# form a *chain*. Several chains are independent. In a *warm-up*, whose draws are thrown
# away, NUTS tunes its step size and a scale for each unknown.


def check_data(X, Y):
    """Return X (N, D_X) and Y (N, 1) as arrays, and print signs of a useless fit.

    ValueError that names the array if it does not hold finite numbers in this shape.
    """
    arrays = {"X": X, "Y": Y}
    for name, values in arrays.items():
        try:
            arrays[name] = np.asarray_chkfinite(values, jnp.result_type(float))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold finite numbers: {error}") from None
    X, Y = arrays.values()
    if X.ndim != 2 or Y.shape != (len(X), 1):
        raise ValueError(f"X must be (N, D_X), Y (N, 1), not {X.shape} and {Y.shape}")
    size, mean, sd = np.max(np.abs(X)), np.mean(Y), np.std(Y)
    if size > 10 or abs(mean) > 1 or not 1 / 3 <= sd <= 3:
        print(f"Note: X reaches {size:.3g}, Y is {mean:.3g} +- {sd:.3g}: standardise.")
    if not np.any(np.all(X == X[0], axis=0) & (X[0] != 0)):
        print("Note: X has no column of ones: the network may have no biases.")
    return X, Y


class CompiledNUTS(NUTS):
    """NUTS with a compiled start and compiled records: 3 s less for a first chain."""

    def init(self, rng_key, *args, **kwargs):
        init = super().init
        return jax.jit(lambda key: init(key, *args, **kwargs))(rng_key)

    def postprocess_fn(self, *args):
        return jax.jit(super().postprocess_fn(*args))


def run_inference(
    model,
    rng_key,
    X,
    Y,
    D_H,
    num_warmup=1000,
    num_samples=2000,
    num_chains=1,
    progress_bar=True,
    target_accept_prob=0.8,
):
    """Sample ``model(X, Y, D_H)`` with NUTS; return NumPyro's MCMC object.

    ``mcmc.get_samples()`` holds w1 (S, D_X, D_H), w2 (S, D_H, D_H) and prec_obs (S,) of
    S = num_chains * num_samples draws; of ``model`` also w3 (S, D_H, 1), f (S, N, 1).
    ValueError as from ``check_data``. First call ``use_device``: without it 4 chains of
    500 + 500 draws took 43 s in place of 8, and a GPU may round too coarsely.
    """
    X, Y = check_data(X, Y)
    # Each device used draws an equal share of the chains. With one device, or one chain
    # a device, NumPyro has a progress bar.
    devices = jax.local_devices()
    used = max(n for n in range(1, len(devices) + 1) if num_chains % n == 0)
    methods = {1: "vectorized", num_chains: "parallel"}
    chains = f"{num_chains} chain(s) on {used} of {len(devices)} device(s)"
    draws = f"{num_warmup} + {num_samples} draws each"
    print(f"NUTS on {jax.default_backend()}: {chains}, {draws}", flush=True)
    mcmc = MCMC(
        CompiledNUTS(model, target_accept_prob=target_accept_prob),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method=methods.get(used, partial(share_chains, used)),
        progress_bar=progress_bar and used in methods,
    )
    mcmc.run(rng_key, X, Y, D_H, extra_fields=("num_steps",))
    if not np.all(np.isfinite(mcmc.last_state.potential_energy)):  # once it is done
        raise RuntimeError("chains found no point of finite density: look at the model")
    return mcmc


def share_chains(num_devices, one_chain):
    """NumPyro's ``chain_method`` for several chains on each of several devices."""
    # Each device has a loop of its own, so that none waits for another; on a CPU it
    # takes its chains one after the other, so that none waits for a longer path.
    on_cpu = jax.default_backend() == "cpu"
    share = partial(jax.lax.map, one_chain) if on_cpu else jax.vmap(one_chain)
    mesh = Mesh(jax.local_devices()[:num_devices], "chains")
    specs = dict.fromkeys(["in_specs", "out_specs"], PartitionSpec("chains"))
    return jax.jit(jax.shard_map(share, mesh=mesh, check_vma=False, **specs))


# %%
# Did it converge?
# ----------------
#
# Do not ask the weights. Flip the signs of all weights into and out of a hidden unit,
# or swap two units of a layer, and the network computes the same function. So with 5
# units a layer the posterior has :math:`(2^5\, 5!)^2`, or 14.7 million, mirror images;
# every weight's true mean is 0, and its ``n_eff`` tells little more than how often the
# chain happened to jump between them. What has to converge does not depend on the names
# of the units: the precision of the noise and the function values ``f``, here at the
# training inputs. (At the test inputs the worst ``n_eff`` was the same.)
#
# ``r_hat`` compares the means of the halves of all chains: 1.00 if they are equal, even
# if their spreads are not. ``n_eff`` is how many independent draws would tell the mean
# as precisely; the ends of 90 % intervals are two to four times as uncertain as a mean.
# Vehtari et al. (2021) ask for an ``r_hat`` of at most 1.01 and, in four chains, for an
# ``n_eff`` of at least 400, by stricter forms of both, which ArviZ has. With few draws
# the worst of many ``r_hat`` is above 1.01 by chance, too: take more.


def print_convergence(mcmc, draws=None):
    """Print signs that ``run_inference`` did not converge, and what to change there.

    draws are f (C, S, N, 1) and prec_obs (C, S) of C chains, by default those in mcmc;
    with ``--marginalize``, f is only in those that ``draw_w3`` returns.
    """
    draws = mcmc.get_samples(group_by_chain=True) if draws is None else draws
    extra = jax.device_get(mcmc.get_extra_fields(group_by_chain=True))  # each (C, S)
    labels = {"f": "f at the training data", "prec_obs": "prec_obs"}
    found = {labels[name]: np.asarray(draws[name]) for name in labels if name in draws}
    if not found or extra["diverging"].shape[1] < 4:
        raise ValueError("draws must hold f or prec_obs, and 4 or more of each chain")
    r_hats, n_effs = [], []
    print(f"{'What has to converge':>24} {'worst r_hat':>12} {'worst n_eff':>12}")
    for label, values in found.items():  # (C, S, ...)
        r_hats.append(np.max(diagnostics.split_gelman_rubin(values)))
        n_effs.append(np.min(diagnostics.effective_sample_size(values)))
        print(f"{label:>24} {r_hats[-1]:>12.3f} {n_effs[-1]:>12.0f}")
    print(f"Number of divergences: {np.sum(extra['diverging'])}")
    if "num_steps" in extra:  # NUTS has a maximum tree depth of 10
        at_cap = 100 * np.mean(extra["num_steps"] == 1023)
        print(f"Draws whose path reached the cap of 1023 steps: {at_cap:.0f} %")

    if np.any(extra["diverging"]):
        print("Note: divergences may hide draws; compare with target_accept_prob=0.99.")
    if len(extra["diverging"]) == 1:
        print("Note: one chain cannot show what it missed; num_chains=4 may.")
    if not np.max(r_hats) <= 1.01:  # true for NaN, too
        print("Warning: r_hat above 1.01 or nan: take larger num_warmup, num_samples.")
    if not np.min(n_effs) >= 400:
        print("Warning: n_eff below 400 or nan: take larger num_samples or num_chains.")


# %%
# Prediction
# ----------
#
# To predict with *one* posterior draw, hold the weights and the noise's precision at
# that draw and run the model without ``Y``: it computes f and samples new observations,
# noise included. ``jax.vmap`` does that with all chains at once and ``jax.lax.map`` in
# batches of draws, to save memory. Random numbers come from keys; each draw has its
# own, so that no two share their noise.


def predict(model, rng_key, draw, X, D_H):
    """Return f and new observations Y, each (N, 1), at X (N, D_X) from ONE draw."""
    # seed gives random numbers, condition holds what is sampled, trace runs and records
    at_draw = handlers.condition(handlers.seed(model, rng_key), draw)
    trace = handlers.trace(at_draw).get_trace(X, None, D_H)
    unknown = {k for k, v in trace.items() if v["type"] == "sample"} - {*draw, "Y"}
    if unknown:  # they would come from the prior
        raise ValueError(f"the draw lacks {unknown}; after marginal_model, see draw_w3")
    return trace["f"]["value"], trace["Y"]["value"]


def for_all_draws(function, rng_key, draws):
    """Return ``function(key, draw)`` of each draw, in NumPy; arrays are (C, S, ...)."""
    keys = jax.random.split(rng_key, draws["prec_obs"].shape)  # (C, S)
    in_batches = partial(jax.lax.map, lambda pair: function(*pair), batch_size=20)
    return jax.device_get(jax.vmap(in_batches)((keys, draws)))


# %%
# The picture
# -----------
#
# At each :math:`x`, 90 % of the predicted *observations* fall into the wide band, and
# 90 % of the posterior's *functions* run through the narrow one; the noise makes the
# difference. A whole function, such as a thin line, leaves the narrow band somewhere in
# more than 10 % of the cases. The dashed line is the curve behind the data.


def plot(X, Y, X_test, f_test, f_draws, Y_draws):
    """Plot data, truth and predictions (C, S, N_test, 1) at X_test, sorted by its x."""
    if X.shape[1] < 2:
        raise ValueError(f"X must have x in column 1; it has shape {X.shape}")
    x, x_test = X[:, 1], X_test[:, 1]  # (N,), (N_test,)
    band = partial(np.quantile, q=[0.05, 0.95], axis=(0, 1, 3))  # -> (2, N_test)
    f = f_draws.reshape(-1, len(x_test))  # (C * S, N_test)
    curves = f[np.linspace(0, len(f) - 1, 20, dtype=int)]  # (20, N_test)

    fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    ax.fill_between(x_test, *band(Y_draws), fc="#deebf7", label="90 % of observations")
    ax.fill_between(x_test, *band(f_draws), fc="#9ecae1", label="90 % of functions f")
    ax.plot(x_test, curves.T, c="#2171b5", lw=0.4, label=["draws of f"] + 19 * [None])
    ax.plot(x_test, np.mean(f, axis=0), c="#08306b", lw=2, label="mean prediction")
    ax.plot(x_test, f_test[:, 0], "k--", lw=1, label="true function")
    ax.plot(x, Y[:, 0], "kx", ms=min(5, 50 / len(x) ** 0.5), label="training data")
    ax.axvline(x.min(), c="0.4", ls=":", label="training data end")
    ax.axvline(x.max(), c="0.4", ls=":")
    ax.set(title="Bayesian neural network", xlabel="x", ylabel="Y", xmargin=0)
    ax.legend(loc="lower center", ncols=2)
    return fig


# %%
# The results are at the end, beneath ``main``, and explained there. The two rooms in
# between can be skipped: 'Faster' and 'Command line'.
#
# Faster: integrate out the output layer
# --------------------------------------
#
# ``--marginalize`` samples the same posterior, often in less time. Given the rest
# (``w1``, ``w2``, ``prec_obs``), f is linear in ``w3``; its posterior q is then normal
# and known from linear regression. So NUTS can leave ``w3`` out:
#
# .. math::
#
#    \log p(Y \mid \mathrm{rest}) = \mathrm{E}_q[\log p(Y \mid w_3, \mathrm{rest})]
#    - \mathrm{KL}(q \,\|\, \mathrm{Normal}(0, 1)),
#
# where :math:`\mathrm{E}_q` is the mean over q, and the Kullback-Leibler divergence KL
# tells how far q is from the prior of ``w3``. With any other q the right side is less:
# it is the evidence lower bound (*ELBO*) of variational inference, and highest at our
# q. There a small change of q changes nothing to first order, so the gradient may hold
# q fixed. Here NUTS takes a third of the steps; then each draw gets its ``w3`` from q.


def w3_posterior(z2, Y, prec_obs):
    """Return m (D_H, 1) and C (D_H, D_H): given the rest, w3 is Normal(m, C C^T).

    Also r (D_H + 1, N): C^T z2 and the residuals of m. z2 is the second hidden layer
    (D_H, N), Y is (N, 1). Least squares, with the prior as D_H more data: one unit at
    1, the others and Y at 0. By Gram-Schmidt, as in float32 a Cholesky factor is off by
    23 in the log density of 10 000 data.
    """
    D_H, N = z2.shape
    data = jnp.sqrt(prec_obs) * jnp.vstack([z2, Y.T])  # (D_H + 1, N), noise 1
    rows = jnp.hstack([data, jnp.eye(D_H + 1, D_H)])  # (D_H + 1, N + D_H)

    def orthogonalize(i, rows):
        j = i % D_H  # a second pass removes what rounding left in the first
        unit = rows[j] / jnp.sqrt(jnp.sum(rows[j] ** 2))  # (N + D_H,), of length 1
        overlap = jnp.where(jnp.arange(D_H + 1) > j, rows @ unit, 0.0)  # (D_H + 1,)
        return (rows - jnp.outer(overlap, unit)).at[j].set(unit)

    rows = jax.lax.fori_loop(0, 2 * D_H, orthogonalize, rows)
    return -rows[D_H:, N:].T, rows[:D_H, N:].T, rows[:, :N] / jnp.sqrt(prec_obs)


def marginal_model(X, Y, D_H):
    """``model`` with w3 integrated out: X is (N, D_X), Y is (N, 1) and not None."""
    N, D_X = X.shape
    w1 = numpyro.sample("w1", dist.Normal(np.zeros((D_X, D_H)), 1.0))  # (D_X, D_H)
    w2 = numpyro.sample("w2", dist.Normal(np.zeros((D_H, D_H)), 1.0))  # (D_H, D_H)
    prec_obs = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))  # ()
    z2 = hidden(X, w1, w2)  # (D_H, N)
    m, C, r = w3_posterior(*jax.lax.stop_gradient((z2, Y, prec_obs)))  # q, held fixed

    # E_q of the squared residuals is the sum of r^2. The values of r are held fixed, so
    # what is added is 0 and gives r its gradient in z2. (Values computed from m and C
    # would be less accurate: m, rounded to float32, is too coarse for residuals.)
    r += linear(jnp.hstack([C, -m]), z2 - jax.lax.stop_gradient(z2))
    log_lik = 0.5 * (N * jnp.log(prec_obs / (2 * jnp.pi)) - prec_obs * jnp.sum(r**2))
    KL = 0.5 * (jnp.sum(m**2) + jnp.sum(C**2) - D_H) - jnp.log(jnp.diagonal(C)).sum()
    numpyro.factor("log p(Y | rest)", log_lik - KL)


def draw_w3(rng_key, draw, X, Y):
    """Return ONE draw of ``marginal_model`` with w3 (D_H, 1) and f (N, 1) added."""
    z2 = hidden(X, draw["w1"], draw["w2"])  # (D_H, N)
    m, C, _ = w3_posterior(z2, Y, draw["prec_obs"])
    w3 = m + C @ jax.random.normal(rng_key, m.shape)  # (D_H, 1)
    return {**draw, "w3": w3, "f": linear(w3, z2).T}


# %%
# Command line
# ------------
#
# Flags, devices and files, nothing about BNNs: leave it behind when you copy, but for
# ``use_device``: speed on a CPU, precision on a GPU.


def parse_args(argv):
    """Return the settings; bad ones end the program with status 2 and say why."""
    about = "Sample a Bayesian neural network with NUTS, plot predictions."
    parser = argparse.ArgumentParser("bnn.py", description=about, allow_abbrev=False)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add = parser.add_argument
    add("-n", "--num-samples", **number(2000, 4, 10**9, "draws per chain"))
    add("--num-warmup", **number(1000, 0, 10**9, "warm-up draws per chain"))
    add("--num-chains", **number(1, 1, 10**4, "chains"))
    add("--num-data", **number(100, 2, 10**7, "training points"))
    add("--num-hidden", **number(5, 1, 1000, "units a layer"))
    add("--seed", **number(0, 0, 2**32 - 1, "of sampling and prediction"))
    add("--marginalize", action="store_true", help="leave w3 out; pays with few data")
    add("--device", choices=["cpu", "gpu", "tpu"], default="cpu", help="where to run")
    add("-o", "--output", type=picture, default="bnn_plot.pdf", help="the picture")
    args = parser.parse_args(argv)

    # of 4 bytes each: w2, f and predictions of a draw; layers and gradients of a step
    N, D_H, S = args.num_data, args.num_hidden, args.num_samples
    gib = args.num_chains * (S * (D_H**2 + N + 1000) + 10 * N * D_H) / 2**28
    if gib > 32:
        sizes = "over 32; lower --num-samples, --num-chains, --num-data, --num-hidden"
        parser.error(f"draws, predictions and a step: {gib:.1f} GiB, {sizes}")
    try:
        use_device(args.device, args.num_chains)
    except RuntimeError as error:
        parser.error(f"argument --device: {error}")
    return args


def number(default, low, high, text):
    """Return the settings of a flag that takes a whole number from low to high."""

    def bounded(value):
        if not low <= int(value) <= high:
            raise ValueError
        return int(value)

    bounded.__name__ = f"number from {low} to {high}"  # argparse prints it
    return {"type": bounded, "default": default, "help": f"{text}, {low} to {high}"}


def picture(text):
    """An argparse type: a path where a picture can be written."""
    path = pathlib.Path(text)
    try:  # to draw in this format, to make a file of this name, to open an earlier one
        word = plt.Figure().text(0, 0, "x", usetex=False)
        word.figure.savefig(io.BytesIO(), format=path.suffix[1:])
        tempfile.NamedTemporaryFile(dir=path.resolve().parent, suffix=path.name).close()
        if path.exists():
            path.open("r+b").close()
    except (OSError, ValueError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f"cannot write {text!r}: {error}") from None
    return path


def use_device(device, num_chains):
    """Choose where JAX computes, for all of the process; call it before JAX first does.

    It changes ``jax_platforms`` for a CPU, or else ``jax_default_matmul_precision``, in
    JAX's configuration. RuntimeError if the device cannot be had.
    """
    given = os.environ.get("XLA_FLAGS", "")
    user_flags = pathlib.Path(given).read_text() if os.path.isfile(given) else given
    # one host device a chain is fastest; 1024 work, but 4096 fail
    host_devices = num_chains if num_chains <= 1024 else 1
    flags = [
        f"--xla_force_host_platform_device_count={host_devices}",
        # compile a loop that reads and writes up to 250 kB as one function
        "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=250000",
        # LLVM's first level: it compiles sooner, and the loop is as fast
        "--xla_backend_optimization_level=1",
    ]
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
        os.environ["XLA_FLAGS"] = " ".join([*flags, user_flags])  # the last flag wins
    backend = jax.default_backend()  # here JAX starts, and reads the flags
    os.environ.pop("XLA_FLAGS", None)  # ours are not for child processes
    os.environ.update({"XLA_FLAGS": given} if given else {})
    if backend != device:
        install = '"jax[cuda13]>=0.7.2,<0.13" (NVIDIA) or "jax[tpu]>=0.7.2,<0.13" (TPU)'
        raise RuntimeError(f"JAX is on {backend}: restart (else pip install {install})")
    if device != "cpu":  # by default, factors may be rounded to 8 or 11 bits there
        jax.config.update("jax_default_matmul_precision", "highest")
    elif jax.local_device_count() < host_devices and "device_count" not in user_flags:
        found = f"{jax.local_device_count()} device(s) for {num_chains} chains"
        warnings.warn(f"JAX has started already, with {found}: restart", stacklevel=2)


def save(fig, path):
    """Write the picture whole or not at all: an earlier one survives a failure."""
    part = path.resolve().with_name(f".bnn-{os.getpid()}{path.suffix}")
    content = io.BytesIO()  # on a full disk, matplotlib's PDF writer hides the OSError
    fig.savefig(content, format=path.suffix[1:], dpi=150)
    try:
        part.write_bytes(content.getvalue())
        part.replace(path.resolve())  # a link stays, what it points to is replaced
    except OSError as error:
        part.unlink(missing_ok=True)
        sys.exit(f"bnn.py: error: cannot write {str(path)!r}: {error.strerror}")


def run_as_command(main):
    """Call ``main`` in a process that has no other purpose and no window."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C stops compiled code, too
    if hasattr(signal, "SIGPIPE"):  # not on Windows
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as any program before `| head`
    plt.switch_backend("agg")
    try:
        main()
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            sys.exit("bnn.py: error: out of memory: take fewer chains, draws or units")
        raise


# %%
# Run it
# ------


def main(argv=None):
    """Sample, print, predict and draw; argv are the flags, by default of sys.argv."""
    if argv is None and "kernel_launcher" in "".join(sys.argv[:1]):
        argv = []  # those in sys.argv are Jupyter's
    args = parse_args(argv)
    D_H, sizes = args.num_hidden, (args.num_warmup, args.num_samples, args.num_chains)
    X, Y, X_test, f_test = get_data(N=args.num_data)
    keys = jax.random.split(jax.random.key(args.seed), 3)

    # a progress bar where someone watches: at a prompt or in a terminal, not a gallery
    progress_bar = hasattr(sys, "ps1") or ("__file__" in globals() and os.isatty(2))
    start = time.perf_counter()
    to_sample = marginal_model if args.marginalize else model
    mcmc = run_inference(to_sample, keys[0], X, Y, D_H, *sizes, progress_bar)
    draws = jax.device_get(mcmc.get_samples(group_by_chain=True))  # each (C, S, ...)
    if args.marginalize:
        draws = for_all_draws(partial(draw_w3, X=X, Y=Y), keys[1], draws)
    print(f"MCMC elapsed time: {time.perf_counter() - start:.2f} s")

    names = ["prec_obs", "w1", "w2", "w3"] if D_H <= 7 else ["prec_obs"]
    with np.errstate(invalid="ignore", divide="ignore"):  # chains that never moved
        diagnostics.print_summary({name: draws[name] for name in names})
        if D_H > 7:
            print(f"The rows of {D_H * (D_H + 4)} weights are left out.")
        print_convergence(mcmc, draws)

    at_test = partial(predict, model, X=X_test, D_H=D_H)
    f_draws, Y_draws = for_all_draws(at_test, keys[2], draws)  # (C, S, N_test, 1)
    save(plot(X, Y, X_test, f_test, f_draws, Y_draws), args.output)


if __name__ == "__main__":
    # where no other code called this and no prompt follows, the process is its own
    is_own = sys._getframe().f_back is None and not sys.flags.inspect
    run_as_command(main) if is_own else main()

# %%
# What you see
# ------------
#
# **The first table** has a row for each unknown: mean, standard deviation and median of
# its draws, the shortest interval that holds 90 % of them (under 5.0% and 95.0%, but
# these are not its quantiles), ``n_eff`` and ``r_hat``. Look past the weights.
#
# **Its row prec_obs**: a mean of 18 is noise with a standard deviation of about
# :math:`18^{-1/2} = 0.24`. But the data were made with 0.05, which is 0.19 on the scale
# of the standardised ``Y``, a precision of 28. The sampler is right, the prior does not
# fit (it is kept, as people know this example): Gamma(3, 1) expects a precision near 3
# and gives one above 18 a chance of 3 in a million. Even with f known exactly, the mean
# would be 18.4. So about 96 % of new data from this curve fall into the wide band,
# between the dotted lines, and not 90 %.
#
# **The second table** is the one to trust. One chain compares only its own halves; to
# see whether others find a region that it missed, run four: ``--num-chains 4``.
#
# **A divergence** is a path that the sampler could not follow accurately; draws may be
# missing there. Here about 1 % of the paths diverged, and no harm shows: with smaller
# steps, by ``run_inference(..., target_accept_prob=0.99)``, none did, and each time the
# posterior agreed with that of another program, Stan. But Stan samples by NUTS, too,
# and could miss the same place. Nearly all paths reach the cap of 1023 steps: that may
# cost ``n_eff``, but not correctness.
#
# **The picture**: the curves follow the data as far as the data go. Beyond the dotted
# lines the true curve leaves the mean and stays in the bands, which open up: the
# farther out, the more their width is the prior's doing, as no data say what f does.
#
# Where to go next
# ----------------
#
# *Your own data*: standardise them, add ones, and choose in ``model`` (and in
# ``marginal_model``) a Gamma(a, b) whose mean a / b is the precision that you expect of
# the standardised ``Y``: the larger a, the surer. Scale the predictions back:
#
# .. code-block:: python
#
#    def features(a):  # x and x_new are (N, D), Y is (N, 1)
#        return np.column_stack([np.ones(len(a)), (a - x.mean(axis=0)) / x.std(axis=0)])
#
#    use_device("cpu", num_chains=4)
#    keys = jax.random.split(jax.random.key(0))
#    scaled = (Y - Y.mean()) / Y.std()
#    mcmc = run_inference(model, keys[0], features(x), scaled, D_H=5, num_chains=4)
#    print_convergence(mcmc)
#    at_new = partial(predict, model, X=features(x_new), D_H=5)
#    f, Y_new = for_all_draws(at_new, keys[1], mcmc.get_samples(group_by_chain=True))
#    f, Y_new = Y.mean() + Y.std() * f, Y.mean() + Y.std() * Y_new
#
# *A deeper network*: sample one more matrix like ``w2`` in ``model``, pass it to
# ``hidden``, and compute one more layer there; likewise in ``marginal_model`` and
# ``draw_w3``. *A wider one*: divide ``w2`` and ``w3`` by the square root of their
# number of rows, as Neal does (only ``w2`` in ``marginal_model``).
# *A GPU*: ``--device gpu --num-chains 64``; whether it pays was not measured.
#
# References
# ----------
#
# * R. M. Neal (1996), `Bayesian Learning for Neural Networks
#   <https://doi.org/10.1007/978-1-4612-0745-0>`_, the classic.
# * M. D. Hoffman and A. Gelman (2014), `The No-U-Turn Sampler
#   <https://jmlr.org/papers/v15/hoffman14a.html>`_; turning rule and weights are of
#   M. Betancourt (2017), `arXiv:1701.02434 <https://arxiv.org/abs/1701.02434>`_.
# * Aki Vehtari et al. (2021), `Improved R-hat <https://doi.org/10.1214/20-BA1221>`_.
# * P. Izmailov, S. Vikram, M. D. Hoffman and A. G. Wilson (2021), `What Are Bayesian
#   Neural Network Posteriors Really Like? <https://arxiv.org/abs/2104.14421>`_
# * `NumPyro <https://num.pyro.ai>`_, in which the model is written and sampled.
