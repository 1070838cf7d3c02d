# SPDX-License-Identifier: Apache-2.0
# Model, data and main names are those of NumPyro's examples/bnn.py (Apache-2.0),
# Copyright Contributors to the Pyro Project.
# /// script
# requires-python = ">=3.11"
# dependencies = ["numpyro>=0.20,<0.23", "jax>=0.7.2,<0.13", "jaxlib>=0.7.2,<0.13",
#     "numpy>=2.0,<3", "matplotlib>=3.10.8,<4"]
# ///
r"""
Bayesian neural network
=======================
.. image:: images/sphx_glr_bnn_001.png
   :width: 600
   :alt: Noisy data, the curve behind them, and 20 curves that part where the data end

A neural network that was trained as usual answers with one curve. A *Bayesian* neural
network (BNN) keeps all sets of weights and gives each of them a probability: in
proportion to its *prior*, how probable it is before there are data, times its
*likelihood*, how probable it makes the data. These probabilities are the *posterior*.
The curves of the probable networks stay together where there are data, and part
elsewhere.

The model, the data and the names of the main pieces are those of NumPyro's example
`bnn.py <https://github.com/pyro-ppl/numpyro/blob/master/examples/bnn.py>`_ (Apache-2.0,
Copyright Contributors to the Pyro Project).
"""

# sphinx_gallery_dummy_images = 1
import argparse
import contextlib
import io
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import diagnostics, handlers
from numpyro.infer import MCMC, NUTS, init_to_uniform


# %%
# The model
# ---------
# A datum is a column :math:`x` of D_X features and a number :math:`y`. (In the arrays X
# and Y each datum is a row.) Two hidden layers of D_H units turn :math:`x` into the
# mean of :math:`y`; :math:`w'` is the transpose of :math:`w`:
#
# .. math::
#
#    w_1, w_2, w_3 &\sim \mathrm{Normal}(0, 1) \\
#    f(x) &= w_3' \tanh(w_2' \tanh(w_1' x)) \\
#    \mathrm{prec\_obs} &\sim \mathrm{Gamma}(3, 1) \\
#    y &\sim \mathrm{Normal}(f(x),\ \mathrm{prec\_obs}^{-1/2})
#
# The prior of every single weight is standard normal. The noise has an unknown
# precision, one over its variance, with a Gamma prior of shape 3 and rate 1, whose mean
# is 3 / 1. The likelihood is the last line. The output f is a sum over the units of the
# last hidden layer, so with more units it varies more: their number is a choice of
# prior, too.
#
# In NumPyro a model is a function, and ``sample`` names a quantity and its
# distribution. What ``sample`` does depends on who runs the model. Under NUTS, the
# sampler below, it returns a value of an unknown that NUTS tries, and adds the log
# density of this value to a sum. With ``obs`` the value is known: these are the data.
# The whole sum is the log of prior times likelihood, and this sum and its gradient are
# all that NUTS needs. (A precision must be positive, so NUTS moves its logarithm
# instead; NumPyro corrects the density for that.)
def model(X, Y, D_H):
    """A BNN with two hidden layers of D_H units: X is (N, D_X), Y is (N, 1).

    To predict, Y is None. ``linear(w, z)`` is w' z, ``deterministic`` records a value.
    ValueError for another shape of Y.
    """
    N, D_X = X.shape
    if Y is not None and Y.shape != (N, 1):
        raise ValueError(f"Y must have shape {(N, 1)}, not {Y.shape}")

    # the prior
    w1 = numpyro.sample("w1", dist.Normal(np.zeros((D_X, D_H)), 1.0))  # (D_X, D_H)
    w2 = numpyro.sample("w2", dist.Normal(np.zeros((D_H, D_H)), 1.0))  # (D_H, D_H)
    w3 = numpyro.sample("w3", dist.Normal(np.zeros((D_H, 1)), 1.0))  # (D_H, 1)
    prec_obs = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))  # ()
    sigma_obs = 1.0 / jnp.sqrt(prec_obs)  # ()

    # the network, for all data at once: the columns of X.T
    z1 = jnp.tanh(linear(w1, X.T))  # (D_H, N)
    z2 = jnp.tanh(linear(w2, z1))  # (D_H, N)
    f = numpyro.deterministic("f", linear(w3, z2).T)  # (N, 1)

    # The likelihood. Given the unknowns, the data along a ``plate`` are independent. A
    # plate wants the last axis of a distribution to be N long. It would broadcast
    # (N, 1) to (N, N), and each datum would count N times. ``to_event(1)`` hides the
    # last axis from the plate, as part of one datum. The plate then finds the axis
    # before it, which is N long.
    with numpyro.plate("data", N):
        numpyro.sample("Y", dist.Normal(f, sigma_obs).to_event(1), obs=Y)


def linear(w, z):
    """Return ``w.T @ z`` (M, N) for weights w (K, M) and inputs z (K, N)."""
    if len(w) != len(z):
        raise ValueError(f"weights for {len(w)} inputs (columns or units) got {len(z)}")
    if w.size * z.shape[1] > 4096:
        return w.T @ z
    # XLA, JAX's compiler, makes a faster loop of this sum up to about 4096 products
    return jnp.sum(w[:, :, None] * z[:, None, :], axis=0)


# %%
# The data
# --------
# A parabola plus a wave, in one input :math:`x`. The network gets the features
# :math:`1, x, x^2`. The ones make ``w1[0]`` the bias of the first layer, and no other
# layer has one. The test inputs reach beyond the training inputs, where the answer
# comes more and more from the prior.
def get_data(N=100, D_X=3, sigma_obs=0.05, N_test=500):
    """Return X (N, D_X), Y (N, 1), X_test (N_test, D_X), the true f_test (N_test, 1).

    Y is standardised, and f_test by the mean and the standard deviation of Y; sigma_obs
    is the noise before that; N is over 1.
    """
    rng = np.random.RandomState(0)  # for the data of NumPyro's example
    W = 0.5 * rng.randn(D_X, 1)  # (D_X, 1)
    noise = sigma_obs * rng.randn(N, 1)  # (N, 1)

    def features_and_curve(x):
        X = x ** np.arange(D_X)
        f = X @ W + 0.5 * (0.5 + x) ** 2 * np.sin(4.0 * x)
        return X, f

    X, f = features_and_curve(np.linspace(-1.0, 1.0, N)[:, None])
    X_test, f_test = features_and_curve(np.linspace(-1.3, 1.3, N_test)[:, None])
    Y = f + noise
    mean = Y.mean()
    sd = Y.std()
    return X, (Y - mean) / sd, X_test, (f_test - mean) / sd


# %%
# Inference
# ---------
# The answers of a BNN are averages over the posterior: the mean of f at some x, say, or
# how probable it is that f is above 1 there. No formula gives them, but an average over
# many *draws* comes close if the draws are not too alike, and if a region with twice
# the probability gets on average twice as many of them. A draw is a value for every
# unknown: 15 + 25 + 5 weights and prec_obs, if D_H is 5, so it is a point in 46
# dimensions.
#
# NUTS, the No-U-Turn Sampler, makes a draw from the last one. It sees the posterior as
# a landscape. The height is minus the sum that ``model`` makes, the log of prior times
# likelihood: so the land is low where the posterior is probable. A ball lies at the
# last draw. NUTS gives it a push of random direction and strength, and computes how it
# rolls without friction, in *leapfrog steps*: each goes a short way, and the slope
# there, the gradient, bends the path. The path starts as one point, and doubles in
# length again and again. Each time a coin decides whether it grows forward from its
# end, or backward in time from its start. It is complete when it turns back, so that
# its ends come nearer to each other (hence the name), or when it has doubled ten times
# (``max_tree_depth``): then it has :math:`2^{10}` points, and 1023 steps between them.
#
# The next draw is one of the points of this path, without its push. Here is why such
# draws are in proportion to the posterior. Height and energy of motion add up to the
# ball's energy :math:`E`. The posterior is in proportion to
# :math:`e^{-\mathrm{height}}`. A push is drawn from a normal distribution, whose
# density is in proportion to :math:`e^{-\mathrm{energy\ of\ motion}}`. So place and
# push together have a density in proportion to the product, :math:`e^{-E}`, and without
# the push the posterior is left.
#
# Exact rolling keeps :math:`E`, and so this density. It keeps volume, too: a small
# cloud of places and pushes takes as much room after rolling as before. Equal density
# in equal room is equal probability: all points of a path, each a place and a push, are
# equally probable. The simplest form of NUTS gives each the same chance. That is fair,
# as the coins make this same path with the same chance whichever of its points was the
# start (Hoffman and Gelman, 2014). So going from one point to another is as likely as
# going back, and proportions that are right stay right. Each new push has another
# energy, so the ball can get everywhere. Given time, proportions thus become right from
# any start.
#
# The whole method refines this (Betancourt, 2017). Leapfrog steps keep volume exactly,
# and can be reversed, but they keep :math:`E` only nearly. So points do not have the
# same chance: it depends on :math:`e^{-E}`, and is raised for the half that was added
# last. This keeps proportions right, too. If the path as a whole turns back, its last
# half still counts. If that half turns back within itself, it is dropped, and the path
# ends without it: started from some of its points, the path would have ended sooner.
# The last half is also dropped where :math:`E` has grown by over 1000. Then the steps
# are too inaccurate, and the path *diverges*.
#
# The draws form a *chain* (a Markov chain: hence MCMC, Markov chain Monte Carlo), and
# each of several chains starts somewhere else. In a *warm-up*, whose draws are thrown
# away, a chain finds the probable region. NUTS learns how widely each unknown varies,
# and scales pushes and steps by that. It also tunes the length of the steps. At each
# point of a path it sees how much :math:`E` has grown since the start, and takes
# :math:`\min(1, e^{-\mathrm{growth}})`. It tunes until the average of this is
# target_accept_prob, a setting: the nearer that is to 1, the smaller the steps. (The
# name comes from samplers that accept the end of a path with this probability.)
#
# In the field's words this is *Hamiltonian Monte Carlo*: the height is the *potential
# energy*, the push the *momentum*, and the energy of motion the *kinetic energy*; the
# path is a *trajectory*, and the learned scales make a diagonal *mass matrix*. The
# unknowns are *latent variables*.
#
# All randomness of the sampler and of predictions comes from keys: the same key gives
# the same numbers, on the same CPU with the same settings and versions. (On a GPU
# rounding may differ between runs, and then the chains differ.) ``jax.random.split``
# makes several independent keys from one.
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
    """Sample the posterior of ``model(X, Y, D_H)`` with NUTS; return NumPyro's MCMC.

    The model observes Y, and records its output as f. The MCMC's
    ``get_samples(group_by_chain=True)`` holds each unknown and f as (C, S, ...), C
    chains of S draws. ``jax.random.key(0)`` is an rng_key. A target_accept_prob nearer
    to 1 makes smaller, more accurate steps. Call ``use_device`` first. ValueError as
    from ``check_data`` and ``check_likelihood``, RuntimeError without a finite density
    and gradient.
    """
    X, Y = check_data(X, Y)
    check_likelihood(model, X, Y, D_H)
    # CompiledNUTS, further below, is NumPyro's NUTS with a faster start
    kernel = CompiledNUTS(
        model,
        target_accept_prob=target_accept_prob,
        max_tree_depth=10,  # NumPyro's default, which print_convergence relies on
    )
    chain_method = choose_chain_method(num_chains)
    mcmc = MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method=chain_method,
        # with a function as chain_method, NumPyro would warn that it shows no bar
        progress_bar=progress_bar and isinstance(chain_method, str),
    )
    mcmc.run(rng_key, X, Y, D_H, extra_fields=("num_steps",))
    check_last_state(mcmc.last_state)
    return mcmc


# %%
# Did it converge?
# ----------------
# Draws can be trusted only if the chains have forgotten where they started. ``r_hat``
# compares the means of the halves of all chains, relative to the spread of the draws:
# where all these means agree it is 1.00, even if the spreads differ. All may agree and
# still have missed a region that no chain found, so more chains from other starts say
# more.
#
# Neighbours in a chain resemble each other. ``n_eff``, the *effective sample size*, is
# the number of independent draws that would give the mean as precisely. The ends of a
# 90 % interval need more draws. (It may exceed the number of draws, where neighbours
# lie on opposite sides of the mean.)
#
# Vehtari et al. (2021) ask for an ``r_hat`` of at most 1.01 and an ``n_eff`` of at
# least 400. They mean four chains or more and stricter forms of both. The package ArviZ
# has these, and ``ess_tail`` for the ends of intervals. The script runs one chain by
# default because that is the quickest look; four are better.
#
# What should converge? Not the weights. Flip the signs of all weights into and out of a
# hidden unit (tanh is odd), or swap two units of a layer, and the network computes the
# same. The prior stays the same, too. So with 5 units the posterior has
# :math:`(2^5\, 5!)^2`, or 14.7 million, mirror images of every network. No chain visits
# them all, and none needs to, as they all predict the same. Look at what the network
# computes, ``f``, here at the training inputs, and at the precision of the noise.
def print_convergence(mcmc, names=()):
    """Print signs that the chains of ``run_inference`` did not converge.

    Judged are f, every unknown that is one number, and those in names. Return their
    worst r_hat and n_eff and the number of divergences. ValueError for names without
    draws, if there is nothing to judge, or with fewer than 4 draws a chain.
    """
    draws = mcmc.get_samples(group_by_chain=True)  # each (C, S, ...)
    extra = jax.device_get(mcmc.get_extra_fields(group_by_chain=True))  # each (C, S)
    C, S = extra["diverging"].shape  # NumPyro always records it
    if S < 4:
        raise ValueError(f"each chain must have 4 or more draws, not {S}")
    names = list(names)  # of a generator, say
    for name in names:
        if name not in draws:
            raise ValueError(f"names must be among {list(draws)}, not {name!r}")
    numbers = [name for name in draws if draws[name].ndim == 2]
    judged = [name for name in draws if name in ("f", *numbers, *names)]
    if not judged:
        raise ValueError(f"names must say which of {list(draws)} to judge")

    worst = np.array([worst_r_hat_and_n_eff(draws[name]) for name in judged])
    print("    What has to converge  worst r_hat  worst n_eff")
    for name, (r_hat, n_eff) in zip(judged, worst, strict=True):
        print(f"{name:>24} {r_hat:>12.3f} {n_eff:>12.0f}")
    not_judged = [name for name in draws if name not in judged]
    if not_judged:
        print("Not judged:", ", ".join(not_judged))
    divergences = int(np.sum(extra["diverging"]))
    print(f"Number of divergences: {divergences}")
    if "num_steps" in extra:
        cap = 2**10 - 1  # by the max_tree_depth of run_inference
        percent = 100 * np.mean(extra["num_steps"] == cap)
        print(f"Draws whose path had {cap} steps, the cap: {percent:.0f} %")
    r_hats, n_effs = worst.T
    print_advice(C, divergences, r_hats, n_effs)
    return {
        "r_hat": np.max(r_hats),
        "n_eff": np.min(n_effs),
        "divergences": divergences,
    }


def worst_r_hat_and_n_eff(values):
    """Return the largest r_hat and the smallest n_eff of values (C, S, ...), or NaN."""
    C, S = values.shape[:2]
    columns = np.asarray(values).reshape(C, S, -1)  # (C, S, M)
    r_hat = -np.inf
    n_eff = np.inf
    # a million at a time, as both need 18 times the memory of draws in float32
    width = 1 + 1_000_000 // (C * S)
    for start in range(0, columns.shape[2], width):
        block = columns[:, :, start : start + width].astype(float)
        r_hat = np.maximum(r_hat, np.max(diagnostics.split_gelman_rubin(block)))
        n_eff = np.minimum(n_eff, np.min(diagnostics.effective_sample_size(block)))
    return r_hat, n_eff


def print_advice(num_chains, divergences, r_hats, n_effs):
    """Say of each trouble what to do, by the flag and by the argument."""
    if divergences > 0:
        print(
            "Note: some paths diverged, so draws may be missing where they did. See\n"
            "whether f stays the same with --target-accept-prob 0.99\n"
            "(target_accept_prob=0.99)."
        )
    if num_chains == 1:
        print(
            "Note: one chain cannot show what it missed. Run four: --num-chains 4\n"
            "(num_chains=4)."
        )
    if np.any(r_hats > 1.01):
        print(
            "Warning: r_hat is above 1.01, so the halves of the chains do not agree.\n"
            "Raise --num-warmup and --num-samples (num_warmup, num_samples). If it\n"
            "stays high, do not use these draws."
        )
    if np.any(n_effs < 400):
        print(
            "Warning: n_eff is below 400: too few independent draws. Raise\n"
            "--num-samples (num_samples)."
        )
    if np.any(np.isnan(r_hats) | np.isnan(n_effs)):
        print(
            "Warning: r_hat or n_eff is nan, so draws never vary or are not finite.\n"
            "Do not use these draws, unless a value is meant to be constant. Try\n"
            "another --seed (rng_key), then see model and data."
        )


# %%
# Prediction
# ----------
# To predict with *one* posterior draw, run the model with the unknowns fixed at it and
# without ``Y``: it computes f and draws new observations. NumPyro's handlers do so.
# ``seed`` gives the model its random numbers, ``condition`` fixes what is sampled, as
# if it were observed, ``trace`` runs it and records a *site* for each name. This is
# ``predict``. It is written for one draw, and ``for_all_draws`` applies it to all.
#
# ``jax.vmap`` turns a function of one thing into a function of many at once, here of
# all chains. ``jax.lax.map`` goes through the draws of a chain in batches, to save
# memory. Both split the first axis off every array, here off the keys and a dict of
# draws. Each draw has a key of its own, so that no two share their noise. NumPyro's own
# ``Predictive`` works with most models, too. It takes draws by chain with
# ``batch_ndims=2``. Unlike the code here, it goes through the draws one by one or all
# at once, and draws an unknown that is missing from its prior, in silence.
def predict(model, rng_key, draw, X, D_H):
    """Return f and new observations Y, each (N, ...), at X (N, D_X) from ONE draw.

    ValueError if the model records no f, or if the draw lacks an unknown of the model,
    which would be drawn from the prior.
    """
    unknowns = {name: value for name, value in draw.items() if name != "Y"}
    seeded = handlers.seed(model, rng_key)
    # condition fixes only what is sampled: the f of the draw is ignored
    at_draw = handlers.condition(seeded, unknowns)
    trace = handlers.trace(at_draw).get_trace(jnp.asarray(X, float), None, D_H)
    sampled = [site for site in trace.values() if site["type"] == "sample"]
    anew = [site["name"] for site in sampled if not site["is_observed"]]
    if anew != ["Y"]:
        raise ValueError(
            f"draw must fix all that model samples but Y, not leave {anew}"
        )
    if "f" not in trace:
        raise ValueError("model must record its output: deterministic('f', ...)")
    return trace["f"]["value"], trace["Y"]["value"]


def for_all_draws(function, rng_key, draws):
    """Return ``function(key, draw)`` of draws, a dict of arrays (C, S, ...), in NumPy.

    ValueError unless all begin with the same (C, S).
    """
    leading = {values.shape[:2] for values in draws.values()}
    have_two_axes = all(len(shape) == 2 for shape in leading)
    if len(leading) != 1 or not have_two_axes:
        raise ValueError(f"take get_samples(group_by_chain=True): draws are {leading}")
    C, S = leading.pop()
    keys = jax.random.split(rng_key, (C, S))

    def one_draw(key_and_draw):
        key, draw = key_and_draw
        return function(key, draw)

    def one_chain(keys_and_draws):
        return jax.lax.map(one_draw, keys_and_draws, batch_size=20)

    # compiled as a whole, so that what function does not use of draws is not copied
    all_chains = jax.jit(jax.vmap(one_chain))
    return jax.device_get(all_chains((keys, draws)))


# %%
# The picture
# -----------
# At each :math:`x` 90 % of the predicted ``Y`` fall into the wide band, and 90 % of the
# functions ``f`` run through the narrow one: an interval of the *posterior predictive
# distribution*, and a *credible interval* of f. Both bands hold at one :math:`x` at a
# time: fewer functions stay inside from end to end.
def plot(X, Y, X_test, f_test, f_draws, Y_draws):
    """Plot data, truth (or None) and predictions (C, S, N_test, 1) over column 1 of X.

    ValueError for predictions of another shape, X without a column 1, or X_test not
    sorted by that column.
    """
    X = np.asarray(X, float)
    X_test = np.asarray(X_test, float)
    if X.shape[1] < 2:
        raise ValueError(f"X must have a column 1 to plot over, not shape {X.shape}")
    shape = (*f_draws.shape[:2], len(X_test), 1)
    if f_draws.shape != shape or Y_draws.shape != shape:
        found = f"{f_draws.shape} and {Y_draws.shape}"
        raise ValueError(f"f_draws and Y_draws must have shape {shape}, not {found}")
    x = X[:, 1]  # (N,)
    x_test = X_test[:, 1]  # (N_test,)
    if not np.array_equal(x_test, np.sort(x_test)):
        raise ValueError("X_test must be sorted by its column 1")

    f_band = np.quantile(f_draws, [0.05, 0.95], axis=(0, 1, 3))  # (2, N_test)
    Y_band = np.quantile(Y_draws, [0.05, 0.95], axis=(0, 1, 3))  # (2, N_test)
    f = f_draws.reshape(-1, len(x_test))  # (C * S, N_test)
    curves = f[np.linspace(0, len(f) - 1, 20, dtype=int)]  # (20, N_test)
    size = min(5, 50 / len(x) ** 0.5)  # many data must not hide the bands
    ink = plt.rcParams["text.color"]  # a style may have white on black
    fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    ax.fill_between(x_test, *Y_band, fc=("C0", 0.15), label="90 percent of Y")
    ax.fill_between(x_test, *f_band, fc=("C0", 0.35), label="90 percent of f")
    lines = ax.plot(x_test, curves.T, c="C0", lw=0.4)
    lines[0].set_label("draws of f")
    ax.plot(x_test, f.mean(axis=0, dtype=float), c="C1", lw=2, label="mean prediction")
    if f_test is not None:
        ax.plot(x_test, f_test, c=ink, ls="--", lw=1, label="true function")
    # the data lie under all lines
    ax.plot(x, Y, "x", c=ink, mew=1, ms=size, zorder=1.5, label="training data")
    ax.axvline(x.min(), c="0.5", ls=":", label="training data end")
    ax.axvline(x.max(), c="0.5", ls=":")
    ax.set(title="Bayesian neural network", xlabel="x", ylabel="Y", xmargin=0)
    ax.legend(loc="lower center", ncols=2)
    return fig


# %%
# All of it
# ---------
# The settings come from the command line. Here the lesson ends: go on with
# `What you see <#what-you-see>`_, unless you want to copy ``run_inference``, which
# needs the pieces of the next section.
def main(argv=()):
    """Sample a Bayesian neural network, check the draws, and plot its predictions."""
    args = parse_args(argv)
    start_jax(args)
    D_H = args.num_hidden
    X, Y, X_test, f_test = get_data(N=args.num_data)
    key_inference, key_prediction = jax.random.split(jax.random.key(args.seed))

    start = time.perf_counter()
    mcmc = run_inference(
        model,
        key_inference,
        X,
        Y,
        D_H,
        num_warmup=args.num_warmup,
        num_samples=args.num_samples,
        num_chains=args.num_chains,
        # where someone watches: stderr, 2, is a terminal, or there is a prompt
        progress_bar=os.isatty(2) or hasattr(sys, "ps1"),
        target_accept_prob=args.target_accept_prob,
    )
    draws = jax.device_get(mcmc.get_samples(group_by_chain=True))  # each (C, S, ...)
    seconds = time.perf_counter() - start
    sizes = f"{args.num_warmup} + {args.num_samples} draws each"
    print(f"MCMC elapsed time: {seconds:.2f} s, {sizes}")

    names = ["prec_obs"]
    if D_H <= 7:
        names += ["w1", "w2", "w3"]
    else:
        print("The rows of the weights are left out.")
    with np.errstate(invalid="ignore", divide="ignore"):  # chains that never moved
        diagnostics.print_summary({name: draws[name] for name in names})
        print_convergence(mcmc)

    def predict_at_test(key, draw):
        return predict(model, key, draw, X_test, D_H)

    f_draws, Y_draws = for_all_draws(predict_at_test, key_prediction, draws)
    fig = plot(X, Y, X_test, f_test, f_draws, Y_draws)  # from (C, S, N_test, 1)
    save(fig, args.output)


# %%
# Behind it
# ---------
# Skip this section and the next when you learn. When you copy ``run_inference``, take
# this one along: it has the checks of what people often get wrong, speed, and devices.
def check_data(X, Y):
    """Return X (N, D_X) and Y (N, ...) as JAX arrays, and print what X may lack.

    X becomes float, and so does Y unless its type is of whole numbers or booleans:
    labels, say. ValueError for other shapes, for words, dates and complex numbers, and
    with their place for NaN, infinity, masked values and, in Y, whole numbers beyond 32
    bits.
    """
    X = as_array("X", X, keep_whole_numbers=False)
    Y = as_array("Y", Y, keep_whole_numbers=True)
    if X.ndim != 2 or X.size == 0 or Y.shape[:1] != X.shape[:1]:
        raise ValueError(f"X must be (N, D_X), Y (N, ...), not {X.shape} and {Y.shape}")
    print_scale_note("X", X, smallest_sd=0.1)
    is_constant = np.all(X == X[0], axis=0)  # (D_X,)
    if not np.any(is_constant & (X[0] != 0)):
        print("Note: X has no column of ones, so the network may have no biases.")
    # with NumPy's arrays some models fail: one whose range of Y is unknown, for example
    return jnp.asarray(X), jnp.asarray(Y)


def as_array(name, values, keep_whole_numbers):
    """Return an array of finite numbers for ``check_data``."""
    try:
        masked = np.ma.asarray(values)
        if masked.dtype.kind in "cmM":  # complex numbers, times and dates
            raise TypeError(f"not {masked.dtype}")
        is_whole = keep_whole_numbers and masked.dtype.kind in "biu"
        dtype = jnp.result_type(masked.data if is_whole else float)
        with np.errstate(over="ignore"):  # it becomes infinity, which is told below
            array = np.asarray(masked, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold finite numbers: {error}") from None
    is_bad = np.ma.getmaskarray(masked) | ~np.isfinite(array)
    if is_whole:
        is_bad |= array != masked.data  # int32 overflows in silence
    if np.any(is_bad):
        table = is_bad.reshape(*is_bad.shape[:1], -1)  # (N, columns)
        columns = np.flatnonzero(np.any(table, axis=0))
        num_rows = np.sum(np.any(table, axis=-1))
        where = f"column(s) {columns}, from 0, in {num_rows} row(s)"
        raise ValueError(f"{name} must hold finite {dtype}, none masked: see {where}")
    return array


def print_scale_note(name, values, smallest_sd):
    """Say which columns are far from mean 0 and standard deviation 1."""
    mean = np.mean(values, axis=0, dtype=float)
    sd = np.std(values, axis=0, dtype=float)
    varies = np.any(values != values[0], axis=0)
    is_narrow = varies & (sd < smallest_sd)
    is_label = np.all(np.isin(values, [0, 1]), axis=0)
    is_off = (np.abs(mean) > 1) | is_narrow | (sd > 3)
    columns = np.flatnonzero(is_off & ~is_label)
    if len(columns) > 0:
        print(
            f"Note: standardise {name}, as the prior expects a scale of 1:\n"
            f"its column(s) {columns}, from 0, are far from it."
        )


def check_likelihood(model, X, Y, D_H):
    """Check the shape of what ``model`` observes, and print signs of a useless fit.

    ValueError with the shapes of a distribution and its data, if some of the data would
    count more than once; for labels and counts outside of the support of their
    distribution; and if Y is not observed, or nothing is.
    """

    def check(rng_key):
        seeded = handlers.seed(model, rng_key)
        # as NUTS starts: not every prior can be drawn from
        started = handlers.substitute(seeded, substitute_fn=init_to_uniform)
        traced = handlers.trace(started)
        # In NumPy a part of Y, such as Y[:, 0], has values that can be judged. A copy,
        # as a model may change it in place.
        try:
            trace = traced.get_trace(X, np.array(Y), D_H)
        except (AttributeError, jax.errors.JAXTypeError):  # as by the index of a plate
            trace = traced.get_trace(X, Y, D_H)
        sampled = [site for site in trace.values() if site["type"] == "sample"]
        observed = [site for site in sampled if site["is_observed"]]
        unknowns = [site["name"] for site in sampled if not site["is_observed"]]
        if not observed or "Y" in unknowns:
            raise ValueError("model must observe Y: sample('Y', ..., obs=Y)")
        for site in observed:
            check_observed(site["name"], site["fn"], site["value"])

    jax.eval_shape(check, jax.random.key(0))  # runs the model, but computes nothing


def check_observed(name, distribution, data):
    """Check the data that a model observes under one name."""
    if np.size(data) < 2:
        return  # none of the data, or a constant that holds f near it, say
    shape = distribution.shape()
    try:
        fits = np.broadcast_shapes(shape, np.shape(data)) == np.shape(data)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"the distribution of {name} in model must have the shape of the data, "
            f"{np.shape(data)}, not {shape}: else data may count more than once (see "
            "plate and to_event)"
        )
    layers = [distribution]
    while hasattr(layers[-1], "base_dist"):  # to_event, say, wraps another
        layers.append(layers[-1].base_dist)
    # in masked data some values only hold a place
    is_masked = any(isinstance(layer, dist.MaskedDistribution) for layer in layers)
    # what JAX computes from the data has no values yet
    has_values = not isinstance(data, jax.core.Tracer)
    if has_values and not is_masked:
        check_values(name, distribution, np.asarray(data))


def check_values(name, distribution, data):
    """Check the values that a model observes, as far as they are known beforehand."""
    try:
        support = distribution.support
        is_discrete = support.is_discrete
        far_apart = 1e6 * (data - np.mean(data, axis=0))
        # a range that ends does not hold these, and its data cannot be standardised
        judged = data if is_discrete else far_apart
        is_inside = bool(np.all(support(judged)))
    except (AssertionError, AttributeError, NotImplementedError, ValueError):
        return  # a distribution of the reader's own may not state its support
    except jax.errors.JAXTypeError:
        is_inside = True  # bounds that depend on unknowns have no values yet
    if is_discrete and not is_inside:
        raise ValueError(
            f"{name} must be in the support of its distribution, {support}"
        )
    if is_discrete:
        return  # labels and counts have no scale
    if is_inside:
        print_scale_note(name, data, smallest_sd=1 / 3)
    if data.dtype.kind in "iu" and not np.all(np.isin(data, [0, 1])):
        print(
            f"Note: model takes the whole numbers of {name} for measurements.\n"
            "Labels and counts need a discrete distribution."
        )


def check_last_state(state):
    """Check that each chain found a start, as NumPyro's check is lost in CompiledNUTS.

    RuntimeError if a density or a gradient is not finite, as such a chain never moves.
    """
    for values in [state.potential_energy, *state.z_grad.values()]:
        if not np.all(np.isfinite(values)):
            raise RuntimeError(
                "chains found no point of finite density and gradient: see model and Y"
            )


def choose_chain_method(num_chains):
    """Return NumPyro's ``chain_method``, and print where the chains run."""
    devices = jax.local_devices()
    backend = jax.default_backend()
    num_used = len(devices)  # the largest number of them that divides the chains
    while num_chains % num_used > 0:
        num_used -= 1
    where = f"{num_used} of {len(devices)} device(s)"
    print(f"NUTS on {backend}: {num_chains} chain(s) on {where}", flush=True)
    if num_used == num_chains:
        return "parallel"  # a device for each chain
    if num_used == 1 and backend != "cpu":
        return "vectorized"  # all chains on one accelerator, in step
    return partial(share_chains, num_used)


def share_chains(num_devices, one_chain):
    """NumPyro's ``chain_method`` for several chains on each of some devices.

    Each device has its own loop and waits for none. On a CPU its chains take turns.
    """
    if jax.default_backend() == "cpu":
        chains_of_a_device = partial(jax.lax.map, one_chain)
    else:
        chains_of_a_device = jax.vmap(one_chain)
    spec = jax.sharding.PartitionSpec("chains")
    all_chains = jax.shard_map(
        chains_of_a_device,
        mesh=jax.sharding.Mesh(jax.local_devices()[:num_devices], "chains"),
        in_specs=spec,
        out_specs=spec,
        check_vma=False,
    )
    return jax.jit(all_chains)


class CompiledNUTS(NUTS):
    """NUTS with a compiled start: without it a first run takes 1.3 times as long.

    Plain ``NUTS`` gives the same posterior. With one chain it raises an error where it
    finds no start of finite density: with CompiledNUTS ``run_inference`` looks for that
    after the run. A model with a ``numpyro.param`` or a module that starts from what
    the model computes needs plain ``NUTS``: CompiledNUTS ends in an
    UnexpectedTracerError.
    """

    def init(self, rng_key, *args, **kwargs):
        def start(key):
            return NUTS.init(self, key, *args, **kwargs)

        return jax.jit(start)(rng_key)


def use_device(device, num_chains):
    """Choose "cpu", "gpu" or "tpu" for JAX, before it first computes in this process.

    It changes the whole process: ``jax_platforms``; on a CPU ``jax_num_cpu_devices``,
    one a chain up to 1024; elsewhere ``jax_default_matmul_precision``; and what
    ``add_xla_flags`` says. RuntimeError if JAX is on another device.
    """
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else None)
    if device == "cpu":
        with contextlib.suppress(RuntimeError):  # JAX has started: its devices must do
            jax.config.update("jax_num_cpu_devices", min(num_chains, 1024))
    add_xla_flags(device)  # for speed alone
    backend = jax.default_backend()  # here JAX starts, and reads the flags
    if backend != device:
        install = 'pip install "jax[cuda13]>=0.7.2,<0.13" or "jax[tpu]>=0.7.2,<0.13"'
        raise RuntimeError(
            f"JAX has started on {backend}, not {device}. If it was at work before, "
            f"restart Python (in a notebook the kernel). For gpu or tpu: {install}"
        )
    if device != "cpu":
        # By default an accelerator rounds the factors of a matrix product. On an H200 a
        # log density was off by 5, with "highest" by 0.001 (10 000 data, 50 units).
        jax.config.update("jax_default_matmul_precision", "highest")


def add_xla_flags(device):
    """Put flags of XLA, JAX's compiler, in front of those in ``XLA_FLAGS``.

    They stay there, for all JAX code of this process and of the processes that it
    starts. They were chosen for this sampler: other code may run slower with them. If a
    flag is there twice, the last one wins, which is the user's.
    """
    flags = ""
    if device == "cpu":
        # Level 1 compiles sooner, and loops run no slower. By the second flag, a loop
        # over at most 250 kB becomes one function. Without both a first run takes 1.2
        # times as long with JAX 0.12, and 2.7 times with 0.10.
        flags = "--xla_backend_optimization_level=1 --xla_backend_extra_options="
        flags += "xla_cpu_small_while_loop_byte_threshold=250000"
    elif device == "gpu" and jax.__version_info__ >= (0, 11):
        # Loops run on the GPU without asking the host: a step takes half the time. With
        # older versions of JAX that was not measured.
        flags = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"
    users_flags = os.environ.get("XLA_FLAGS", "").strip()
    if users_flags[:1] not in ("", "-"):
        return  # XLA reads it as the name of a file with flags
    if flags and flags not in users_flags:  # a second call adds nothing
        os.environ["XLA_FLAGS"] = f"{flags} {users_flags}"


def print_gpu_note(num_chains, num_data, num_hidden):
    """On a GPU, say where a CPU is faster, as measured on H100, H200 and two CPUs."""
    cores = min(num_chains, os.cpu_count() or 1)
    work = num_chains * num_data * num_hidden / cores
    if jax.default_backend() == "gpu" and work < 20_000:
        print(
            "Note: a CPU is faster for a network and data as small as these, so take\n"
            "--device cpu. On a GPU a step of the sampler takes 0.06 ms or more,\n"
            "however small, but additional chains cost little there."
        )


# %%
# Command line
# ------------
# Flags and files, nothing about BNNs: leave it behind when you copy.
def parse_args(argv):
    """Return the settings; bad ones end the program with status 2 and say why."""
    parser = argparse.ArgumentParser(
        "bnn.py",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "-n",
        "--num-samples",
        type=whole_number(4, 10**9),
        default=2000,
        help="draws a chain",
    )
    add(
        "--num-warmup",
        type=whole_number(0, 10**9),
        default=1000,
        help="warm-up draws a chain",
    )
    add("--num-chains", type=whole_number(1, 10**4), default=1, help="chains")
    add("--num-data", type=whole_number(2, 10**7), default=100, help="training points")
    add("--num-hidden", type=whole_number(1, 1000), default=5, help="units a layer")
    add(
        "--seed",
        type=whole_number(0, 2**32 - 1),
        default=0,
        help="of sampling and prediction",
    )
    add(
        "--target-accept-prob",
        type=probability,
        default=0.8,
        help="nearer to 1: smaller steps",
    )
    add("--device", choices=["cpu", "gpu", "tpu"], default="cpu", help="where to run")
    add("-o", "--output", type=picture, default="bnn_plot.pdf", help="the picture")
    return parser.parse_args(argv)


def start_jax(args):
    """Start JAX on the device that --device names, or end with status 2 and say why."""
    try:
        use_device(args.device, args.num_chains)
    except RuntimeError as error:
        print(f"bnn.py: error: argument --device: {error}", file=sys.stderr)
        sys.exit(2)
    print_gpu_note(args.num_chains, args.num_data, args.num_hidden)


def whole_number(low, high):
    """Return an argparse type: a whole number from low to high."""

    def parse(text):
        with contextlib.suppress(ValueError):
            if low <= int(text) <= high:
                return int(text)
        bounds = f"from {low} to {high}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {bounds}")

    return parse


def probability(text):
    """An argparse type: a number between 0 and 1."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")


def picture(text):
    """An argparse type: a path where a picture can be written."""
    path = pathlib.Path(text)
    fig = plt.Figure()
    fig.suptitle("x")
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")  # such as a link to /dev/null
        fig.savefig(io.BytesIO(), format=path.suffix[1:])  # the format can be drawn
        # a file can be made, beside what a link points to
        with tempfile.NamedTemporaryFile(dir=path.resolve().parent):
            pass
        # and an earlier picture can be replaced
        with contextlib.suppress(FileNotFoundError), path.open("r+b"):
            pass
    except (OSError, ValueError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f"cannot write {text!r}: {error}") from None
    return path


def save(fig, path):
    """Write the picture whole or not at all: an earlier one survives a failure."""
    content = io.BytesIO()
    # on a full disk, matplotlib's PDF writer hides the OSError: so first to memory
    fig.savefig(content, format=path.suffix[1:], dpi=150)
    target = path.resolve()  # a link stays, what it points to is replaced
    unfinished = target.with_name(f".bnn-{os.getpid()}{path.suffix}")
    try:
        unfinished.write_bytes(content.getvalue())
        unfinished.replace(target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        sys.exit(f"bnn.py: error: cannot write {str(path)!r}: {error.strerror}")


def run_as_command(argv):
    """Run main so that Ctrl-C ends compiled code at once, and without a display."""
    plt.switch_backend("agg")
    handler = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and callable(handler):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            main(argv)
        finally:
            signal.signal(signal.SIGINT, handler)
    else:  # such as a background job, which ignores Ctrl-C
        main(argv)


if __name__ == "__main__":
    # The flags are ours if this file is the command, or comes from stdin: a notebook's
    # kernel and a gallery have flags of their own, and no __file__.
    command = os.path.basename(sys.argv[0])
    this_file = os.path.basename(globals().get("__file__", "-"))
    is_command = command in ("-", this_file)
    prompt_follows = sys.flags.inspect or hasattr(sys, "ps1")
    argv = sys.argv[1:] if is_command else ()
    if is_command and not prompt_follows:
        run_as_command(argv)
    else:
        main(argv)

# %%
# What you see
# ------------
# The run prints two tables, and draws the picture. In short:
#
# .. code-block:: none
#
#                    mean       std    median      5.0%     95.0%     n_eff     r_hat
#      prec_obs     18.10      2.70     18.02     13.63     22.28   2013.45      1.00
#       w1[0,0]     -0.03      1.22     -0.08     -1.87      2.05    274.26      1.00
#    ...
#        What has to converge  worst r_hat  worst n_eff
#                           f        1.003         1598
#                    prec_obs        1.000         2013
#    Not judged: w1, w2, w3
#    Number of divergences: 22
#    Draws whose path had 1023 steps, the cap: 95 %
#
# **The first table** has a row for each unknown: mean, standard deviation and median of
# its draws, the ends of the shortest interval that holds 90 % of them, ``n_eff`` and
# ``r_hat``. Ignore the weights: their ``r_hat`` can be 1.00 though the chains have seen
# only a few of the mirror images.
#
# **Its row prec_obs** surprises. A precision of 18 is noise of
# :math:`18^{-1/2} = 0.24`, but the data were made with 0.05, which is 0.19 on the scale
# of the standardised ``Y``, a precision of 28. This is mostly the work of the prior. If
# f were known, the posterior would be a Gamma again. A Gamma density of p is in
# proportion to :math:`p^{\mathrm{shape} - 1} e^{-\mathrm{rate}\ p}`. The likelihood of
# a datum with noise r has this form in its precision p, too:
# :math:`p^{1/2} e^{-p\ r^2 / 2}`. With the prior and 100 data the shape would be 3 +
# 100 / 2. The rate would be 1 plus half the sum of :math:`r^2` over the data, which is
# 1.87. The mean of this Gamma is 53 / 2.87 = 18. Without the prior's 3 and 1 it would
# be 50 / 1.87 = 27. (That is not 28, because the noise of these data happens to be a
# little large.) So the prior's 1 is not small beside the 1.87.
#
# **So the wide band is too wide**, within the data. A normal distribution has 90 % of
# its values within 1.64 standard deviations. The band reaches 1.64 times 0.24, and a
# little more for the spread of f: 0.40 in all, or 2.1 times 0.19. Within 2.1 standard
# deviations a normal distribution has about 96 %: so the band holds about 96 % of new
# data from this curve, on average over x, and not 90 %.
#
# **The second table** is the one to trust. It has f at the training inputs and every
# unknown that is one number. With an ``r_hat`` of 1.00 and ``n_eff`` far above 400 this
# run passes, as far as one chain can show: it compares only its own halves. To see more
# of what it may have missed, run four: ``--num-chains 4``. The table says nothing of f
# at other inputs, such as those beyond the data. The code for your own data, below,
# ends with a line that does.
#
# **A divergence** is a path that the sampler could not follow, so draws may be missing
# there. Here about 1 % of the paths diverge. With smaller steps hardly any do, and f
# stays the same: at a ``--target-accept-prob`` of 0.8, 0.95 and 0.99, one run each of
# four chains of 1000 draws had 39, 1 and 0 divergences, while f and prec_obs agreed
# within the error of so many draws. That took no more time, as nearly all paths have
# 1023 steps either way.
#
# **The cap of 1023 steps** is met by nearly all paths. Paths are long where the
# posterior is curved, and much narrower in some directions than in others: a step has
# to fit the narrowest one. Where the cap cuts a path, the next draw is more like the
# last one, so that more draws are needed. But most paths that have 1023 steps were not
# cut. A turn is often noticed only when the path has doubled, so a path that turns
# after 600 steps has 1023, too. Four such chains went on for 1000 draws with the same
# steps and a cap of 4095: 86 % of their paths still had 1023 steps. Only the 8 % that
# had more are cut at 1023.
#
# With the smaller steps of 0.95 and 0.99 it was 42 % and 98 % that had more. Paths that
# are cut do not go as far, perhaps not to the places where they would diverge. But with
# the cap of 4095 there were 37, 2 and 0 divergences, as few as before. This, and that
# all runs agree on f, is the evidence that no draws are missing.
#
# **The picture**: the bands go from the 5 % to the 95 % quantile. Within the data the
# curves hide the narrow band. Beyond the dotted lines it soon fills most of the wide
# one, as not knowing the curve matters more there than the noise. The true curve,
# dashed, leaves the mean and stays in the bands. But the farther from the data, the
# more their width is the prior's.
#
# Where to go next
# ----------------
# **Your own data**: data frames x (N, D), x_new (M, D) and Y (N, 1). (An array becomes
# one by ``pandas.DataFrame``.) Inputs and outputs are standardised, and new inputs by
# the mean and the standard deviation of the old ones. A gap in x or Y becomes NaN, and
# so does a constant column. For these ``run_inference`` raises a ValueError with the
# number of the column: in X, 0 is the ones and 1 the first of x. A gap in x_new gives
# an f of NaN there, a Y that means nothing, and NaN in the last line.
#
# .. code-block:: python
#
#    import jax
#    import numpy as np
#
#    import bnn  # or copies of the pieces and of what they name
#
#    D_H = 5
#    num_chains = 4
#    bnn.use_device("cpu", num_chains)
#    key_inference, key_new, key_grid = jax.random.split(jax.random.key(0), 3)
#
#    def numbers(frame):
#        return frame.astype("Float64").to_numpy(float, na_value=np.nan)
#
#    # scale and draws, which the next two functions use, come below
#    def features(x):
#        z = (numbers(x[scale["columns"]]) - scale["x_mean"]) / scale["x_sd"]
#        return np.insert(z, 0, 1.0, axis=1)  # the column of ones
#
#    def predict_at(rng_key, x):
#        X = features(x)
#
#        def at_draw(key, draw):
#            return bnn.predict(bnn.model, key, draw, X, D_H)
#
#        f, Y = bnn.for_all_draws(at_draw, rng_key, draws)
#        f = scale["Y_mean"] + scale["Y_sd"] * f
#        Y = scale["Y_mean"] + scale["Y_sd"] * Y
#        return f, Y
#
#    def mean_and_sd(frame):
#        values = numbers(frame)
#        sd = np.nanstd(values, axis=0)
#        sd[np.ptp(values, axis=0) == 0] = np.nan  # else rounding may make it 1e-17
#        return np.nanmean(values, axis=0), sd
#
#    scale = {"columns": list(x.columns)}
#    scale["x_mean"], scale["x_sd"] = mean_and_sd(x)
#    scale["Y_mean"], scale["Y_sd"] = mean_and_sd(Y)
#    X = features(x)
#    Z = (numbers(Y) - scale["Y_mean"]) / scale["Y_sd"]
#    mcmc = bnn.run_inference(
#        bnn.model, key_inference, X, Z, D_H, num_chains=num_chains
#    )
#    bnn.print_convergence(mcmc)
#    draws = mcmc.get_samples(group_by_chain=True)
#    np.savez("draws.npz", **draws)
#    np.savez("scale.npz", **scale)  # names of columns: all text, or all numbers
#    f_new, Y_new = predict_at(key_new, x_new)  # each (C, S, M, 1), on the scale of Y
#    print(bnn.worst_r_hat_and_n_eff(f_new))  # at most 1.01, at least 400
#
# To predict in another process, keep all before the line ``scale = ...``, and load in
# place of what follows:
#
# .. code-block:: python
#
#    draws = dict(np.load("draws.npz"))
#    scale = dict(np.load("scale.npz"))
#    f_new, Y_new = predict_at(key_new, x_new)
#
# The prior of ``prec_obs`` expects a precision of 3, which is noise of
# :math:`3^{-1/2}`, or 0.58 of the standard deviation of Y. The smaller the true noise
# is, the more it is overstated: with 100 data, noise of 5 % of that standard deviation
# is taken for about 15 %, by the formula given above for prec_obs. In a copy of
# ``model``, given to ``run_inference`` and to ``predict``, choose a Gamma(a, b) whose
# mean a / b is the precision that you expect for the standardised Y: the larger a, the
# narrower the prior.
#
# **Several inputs**: a picture goes over one of them, on a grid. (``plot`` takes column
# 1 of what it is given, so it gets the column twice.) Hold the others at values that
# occur together, say those of the first row. Their mean may not occur: that of a column
# which is 1 at night and else 0 may be 0.3, which is no time of the day, and the bands
# there may be wide.
#
# .. code-block:: python
#
#    name = x.columns[0]
#    grid = x.iloc[np.zeros(200, dtype=int)].copy()
#    grid[name] = np.linspace(x[name].min(), x[name].max(), 200)
#    f_grid, Y_grid = predict_at(key_grid, grid)
#    bnn.plot(x[[name, name]], Y, grid[[name, name]], None, f_grid, Y_grid)
#
# The data have other values in the other columns, so they may lie outside the bands.
#
# **Classes**: labels Y (N,) are whole numbers from 0 to K - 1 and stay as they are:
# ``Y.iloc[:, 0].astype("Int64").to_numpy(int)``, which refuses gaps, takes the place of
# ``Z``. Delete the two lines that scale predictions back. In a copy of ``model`` give
# ``w3`` K columns, drop ``prec_obs`` and ``sigma_obs``, and write (N,) for (N, 1) in
# both places of the check of Y. The mean of ``jax.nn.softmax(f)`` over the draws gives
# the probabilities. The copy ends with these lines:
#
# .. code-block:: python
#
#    with numpyro.plate("data", N):
#        numpyro.sample("Y", dist.Categorical(logits=f), obs=Y)
#
# For two classes, labels 0 and 1, ``numbers(Y)`` takes the place of ``Z``. Delete the
# two lines that scale predictions back, here, too. Keep ``w3`` and the check of Y, and
# drop ``prec_obs`` and ``sigma_obs``. The probability of 1 is the mean of
# ``jax.nn.sigmoid(f)``, and ``plot`` takes ``jax.nn.sigmoid(f_grid)`` in place of
# f_grid. The copy ends with these lines:
#
# .. code-block:: python
#
#    with numpyro.plate("data", N):
#        numpyro.sample("Y", dist.Bernoulli(logits=f).to_event(1), obs=Y)
#
# A distribution of numbers, as Normal and Bernoulli are, has a value for each entry of
# f (N, 1), so it needs ``to_event(1)``. Categorical has one for each row, so it must
# not have it. With the wrong choice each datum would count N times: ``run_inference``
# refuses.
#
# **Counts** Y (N, 1) are not standardised either. All is as for two classes, but with
# ``dist.Poisson(m * jnp.exp(f)).to_event(1)``, where m is the mean count,
# ``scale["Y_mean"]``. The rate is the mean of ``m * jnp.exp(f)``, and ``plot`` takes
# ``m * jnp.exp(f_grid)``. (Without m the median rate of the prior would be 1, as the
# prior of f is symmetric about 0.)
#
# **Other unknowns**, such as a noise that depends on x: a copy of ``predict`` can
# return more of ``trace``. Record the noise by ``deterministic``, and judge it by
# ``print_convergence(mcmc, names=[...])``; weights need not converge.
#
# **Other networks**: compute one more layer, with a matrix like ``w2`` of another name.
# ``D_H`` may be a pair of widths that ``model`` unpacks. With many units divide ``w2``
# and ``w3`` by the root of their number of rows, after ``sample`` (Neal). With many
# inputs do the same with all rows of ``w1`` but the first, the bias: at 20 inputs two
# thirds of the outputs of the first layer are above 0.95 or below -0.95 before there
# are data, so its units act like switches.
#
# **Many fits in one process**, as in cross-validation: each compiles anew, and after
# some hundreds the process meets a limit of Linux (on memory maps). Call
# ``jax.clear_caches()`` between them.
#
# **Is it the right model?** Convergence does not tell. Data that lie on two branches
# can pass every check of convergence, and the curves run between the branches. Look at
# the picture. With several inputs, compare Y with predictions at the training inputs.
#
# References
# ----------
# * Neal (1996), the classic: https://doi.org/10.1007/978-1-4612-0745-0
# * Hoffman and Gelman (2014), NUTS: https://jmlr.org/papers/v15/hoffman14a.html
# * Betancourt (2017), how it turns and chooses: https://arxiv.org/abs/1701.02434
# * Vehtari et al. (2021), r_hat and n_eff: https://doi.org/10.1214/20-BA1221
# * Izmailov et al. (2021), posteriors of large BNNs: https://arxiv.org/abs/2104.14421
