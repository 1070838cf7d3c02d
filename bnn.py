# SPDX-License-Identifier: Apache-2.0
# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpyro>=0.20,<0.23",
#     "jax>=0.7,<0.13",
#     "jaxlib>=0.7,<0.13",
#     "numpy>=2.0,<3",
#     "matplotlib>=3.10.8,<4",
# ]
# ///
r"""
Bayesian neural network
=======================

A neural network that was trained as usual has one set of weights and answers with one
curve. A *Bayesian* neural network (BNN) keeps every set of weights that explains the
data, each as often as it deserves, and answers with a cloud of curves: narrow where
there are data, wide where there are none.

Here a network with two hidden layers learns a curve from 100 noisy points. You will see
how to write it down as a model, sample its posterior with NUTS, predict with every draw
at once, and tell which of the printed diagnostics to believe. The table and the picture
are at the end of this page.
"""

import argparse
import contextlib
import io
import os
import pathlib
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular
from matplotlib.figure import Figure
from numpyro import handlers
from numpyro.diagnostics import (
    effective_sample_size,
    print_summary,
    split_gelman_rubin,
)
from numpyro.infer import MCMC, NUTS

# %%
# The model
# ---------
#
# Every weight has a standard normal prior, and the noise has an unknown precision:
#
# .. math::
#
#    w_1, w_2, w_3 &\sim \mathrm{Normal}(0, 1) \\
#    f(X) &= \tanh(\tanh(X w_1)\, w_2)\, w_3 \\
#    \mathrm{prec\_obs} &\sim \mathrm{Gamma}(3, 1) \\
#    Y &\sim \mathrm{Normal}(f(X),\ \mathrm{prec\_obs}^{-1/2})
#
# The code computes the transpose of each layer, so that the data lie on the *last*
# axis. It is the same network; but there are many data and few units, and a processor
# is fastest along the axis that is contiguous in memory. Make that the long one.


def model(X, Y, D_H):
    """A BNN with two hidden layers of D_H units: X is (N, D_X), Y is (N, 1).

    With ``Y=None``, the observations are sampled too.
    """
    N, D_X = X.shape

    # the prior: every weight is Normal(0, 1)
    w1 = numpyro.sample("w1", dist.Normal(jnp.zeros((D_X, D_H)), 1.0))  # (D_X, D_H)
    w2 = numpyro.sample("w2", dist.Normal(jnp.zeros((D_H, D_H)), 1.0))  # (D_H, D_H)
    w3 = numpyro.sample("w3", dist.Normal(jnp.zeros((D_H, 1)), 1.0))  # (D_H, 1)

    # the network, data on the last axis
    z1 = jnp.tanh(w1.T @ X.T)  # (D_H, N) <= first hidden layer
    z2 = jnp.tanh(w2.T @ z1)  # (D_H, N) <= second hidden layer
    f = numpyro.deterministic("f", (w3.T @ z2).T)  # (N, 1) <= output, free of noise

    # the likelihood: the noise has precision prec_obs
    prec_obs = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))  # ()
    with numpyro.plate("data", N):
        Y_dist = dist.Normal(f, 1.0 / jnp.sqrt(prec_obs)).to_event(1)  # (N, 1)
        numpyro.sample("Y", Y_dist, obs=Y)  # (N, 1)


# %%
# The data
# --------
#
# A wiggly curve in one input :math:`x`. The network gets the features :math:`1, x,
# x^2, \ldots`: the column of ones makes ``w1[0]`` the bias of the first layer. The
# test inputs reach beyond the training inputs, because that is where a BNN earns its
# keep. All of this is plain NumPy: JAX would compile each of these small operations.


def get_data(N=100, D_X=3, sigma_obs=0.05, N_test=500):
    """Return X (N, D_X), standardised Y (N, 1) and X_test (N_test, D_X).

    ``N`` is at least 2. The data are the same at every call.
    """
    rng = np.random.RandomState(0)
    x = np.linspace(-1.0, 1.0, N)  # (N,)
    x_test = np.linspace(-1.3, 1.3, N_test)  # (N_test,)

    X = x[:, None] ** np.arange(D_X)  # (N, D_X)
    X_test = x_test[:, None] ** np.arange(D_X)  # (N_test, D_X)

    W = 0.5 * rng.randn(D_X)  # (D_X,)
    noise = sigma_obs * rng.randn(N)  # (N,)
    Y = X @ W + 0.5 * (0.5 + x) ** 2 * np.sin(4.0 * x) + noise  # (N,)
    Y = (Y - Y.mean()) / Y.std()  # (N,)
    return X, Y[:, None], X_test


# %%
# Inference
# ---------
#
# NUTS, the No-U-Turn Sampler, draws from the posterior. It gives the weights a push in
# a random direction, lets them glide over the landscape of the log posterior along its
# gradient, and takes its next draw from that path once the path begins to turn back.
# During warm-up it tunes its step size and scales; those draws are thrown away. Several
# chains from different starting points show whether they all found the same answer.


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
):
    """Sample the posterior of ``model(X, Y, D_H)`` with NUTS; return the MCMC object.

    ``mcmc.get_samples()`` holds the draws: w1 (S, D_X, D_H), w2 (S, D_H, D_H),
    w3 (S, D_H, 1), prec_obs (S,) and f (S, N, 1), where S = num_chains * num_samples.
    Method: Hoffman and Gelman (2014).
    """
    # one chain a device while there are enough devices, else all at once on the first
    devices = jax.local_device_count()
    chain_method = "parallel" if devices >= num_chains else "vectorized"
    print(
        f"NUTS on {jax.default_backend()}, {devices} device(s): {num_chains} chain(s), "
        f"{chain_method}, {num_warmup} + {num_samples} draws each",
        flush=True,
    )

    # Compile the initialisation as a whole: NumPyro would compile every operation.
    kernel = NUTS(model)
    init = kernel.init
    kernel.init = lambda key, *args, **kwargs: jax.jit(
        lambda key: init(key, *args, **kwargs)
    )(key)

    mcmc = MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method=chain_method,
        progress_bar=progress_bar,
    )
    mcmc.run(rng_key, X, Y, D_H)
    del kernel.init  # back to NumPyro's own, which can be pickled
    jax.block_until_ready(mcmc.last_state)  # JAX returns before the work is done
    return mcmc


# %%
# How do you know that it worked? Not by the weights. Flip the signs of all weights
# into and out of a hidden unit, or swap two units, and the network computes the same
# function. So the posterior has thousands of mirror images, every weight's true mean
# is 0, and its ``n_eff`` in the table tells mostly how often the chain happened to jump
# between them. What has to converge is what does not depend on the names of the
# units: the function values ``f`` and the precision of the noise.


def print_convergence(mcmc):
    """Print the worst r_hat and n_eff of f and prec_obs, and warn if they are bad."""
    draws = mcmc.get_samples(group_by_chain=True)  # each (num_chains, num_samples, ...)
    worst_r_hat = 0.0

    print(f"{'What has to converge':>24} {'worst r_hat':>12} {'worst n_eff':>12}")
    for name, label in {"f": "f at the training data", "prec_obs": "prec_obs"}.items():
        x = np.asarray(draws[name])
        r_hat, n_eff = np.max(split_gelman_rubin(x)), np.min(effective_sample_size(x))
        print(f"{label:>24} {r_hat:>12.3f} {n_eff:>12.0f}")
        worst_r_hat = np.maximum(worst_r_hat, r_hat)  # keeps a NaN, unlike max
    print(
        "The weights' own n_eff is low because the posterior is symmetric: flipping or"
    )
    print("swapping hidden units changes the weights, but not f.")

    if not worst_r_hat <= 1.01:  # true for NaN, too
        print(
            "\nWarning: r_hat is above 1.01, so the chains have not converged. Try more"
        )
        print("warm-up (--num-warmup), more draws (--num-samples) or more chains.")
    if np.mean(mcmc.get_extra_fields()["diverging"]) > 0.05:
        print(
            "\nWarning: more than 5 % of the draws diverged, so parts of the posterior"
        )
        print("may be missing. Try more warm-up (--num-warmup), or more careful steps:")
        print("NUTS(model, target_accept_prob=0.95) in run_inference.")


# %%
# Prediction
# ----------
#
# To predict with *one* posterior draw, hold the model at that draw and run it without
# ``Y``: it then samples new observations, noise included. ``jax.vmap`` turns that
# into a prediction with all draws at once. Each draw has a key of its own, so that no
# two share their noise.


def predict(model, rng_key, samples, X, D_H, site="Y"):
    """Predict Y (N, 1) at X (N, D_X) from one draw; with ``site="f"``, f instead."""
    at_draw = handlers.condition(handlers.seed(model, rng_key), samples)
    trace = handlers.trace(at_draw).get_trace(X, None, D_H)
    return trace[site]["value"]  # (N, 1)


# %%
# The picture
# -----------
#
# Two bands: 90 % of new *observations* should fall into the wide one, and at each
# :math:`x`, 90 % of the posterior's *functions* run through the narrow one. The noise
# makes the difference.


def plot(X, Y, X_test, Y_draws, f_draws):
    """Plot data and predictions; Y_draws and f_draws are (S, N_test, 1)."""
    x, x_test = X[:, 1], X_test[:, 1]  # (N,), (N_test,)
    Y_low, Y_high = np.quantile(Y_draws[..., 0], [0.05, 0.95], axis=0)  # (N_test,) each
    f_low, f_high = np.quantile(f_draws[..., 0], [0.05, 0.95], axis=0)  # (N_test,) each
    mean = np.mean(Y_draws[..., 0], axis=0)  # (N_test,)

    fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    ax.fill_between(
        x_test, Y_low, Y_high, color="#c6dbef", label="90 % of observations"
    )
    ax.fill_between(x_test, f_low, f_high, color="#6baed6", label="90 % of functions f")
    ax.plot(x_test, mean, color="#08306b", lw=2, label="mean prediction")
    ax.plot(x, Y[:, 0], "kx", ms=5, label="training data")
    ax.axvline(x.min(), color="0.4", ls=":", label="training data end")
    ax.axvline(x.max(), color="0.4", ls=":")
    ax.set(xlabel="x", ylabel="Y", xlim=(x_test[0], x_test[-1]))
    ax.set_title("Bayesian neural network: mean and 90 % intervals")
    ax.legend(loc="upper center")
    return fig


# %%
# Faster: integrate out the output layer
# --------------------------------------
#
# Skip this at first: ``--marginalize`` gives the same posterior, and a small network's
# sooner. Given the rest, the network is linear in ``w3``, so ``w3`` can be integrated
# out exactly. With :math:`Z` for the second hidden layer, ``(N, D_H)``,
#
# .. math::
#
#    Y \sim \mathrm{Normal}(0,\ Z Z^T + I / \mathrm{prec\_obs}).
#
# NUTS explores what is left with about a third of the steps. Then each draw gets its
# ``w3`` from the exact conditional, a linear regression in which the prior counts as
# ``D_H`` more data: ``w3`` of 0 with noise of 1, next to ``Y`` and ``Z`` scaled so.


def regression(Z, Y, prec_obs):
    """Return A and b such that ``|b - A w3|^2 / 2`` is -log p(Y, w3 | rest) + const.

    Z is (N, D_H), Y is (N, 1); A is (N + D_H, D_H), b is (N + D_H, 1).
    """
    D_H = Z.shape[1]
    A = jnp.vstack([jnp.sqrt(prec_obs) * Z, jnp.eye(D_H)])  # (N + D_H, D_H)
    b = jnp.vstack([jnp.sqrt(prec_obs) * Y, jnp.zeros((D_H, 1))])  # (N + D_H, 1)
    return A, b


def marginal_model(X, Y, D_H):
    """``model`` with w3 integrated out: X is (N, D_X), Y is (N, 1) and not None."""
    # with the identity matrix for w3, the network's output is its second layer
    with handlers.block(hide=["w3", "f", "Y"]), handlers.trace() as sites:
        handlers.substitute(model, {"w3": jnp.eye(D_H)})(X, Y, D_H)
    Z, prec_obs = sites["f"]["value"], sites["prec_obs"]["value"]  # (N, D_H), ()

    # Gram-Schmidt: all later rows lose their part along row j. It keeps the precision
    # that is lost by squaring A; the squares of what is left are the pivots of A^T A,
    # whose product is det(A^T A), and last the least |b - A w3|^2.
    def orthogonalize(j, rows):
        later = jnp.arange(D_H + 1) > j  # (D_H + 1,)
        part = jnp.where(later, rows @ rows[j], 0.0) / (rows[j] @ rows[j])  # (D_H + 1,)
        return rows - jnp.outer(part, rows[j])

    rows = jnp.hstack(regression(Z, Y, prec_obs)).T  # (D_H + 1, N + D_H)
    rows = jax.lax.fori_loop(0, D_H, orthogonalize, rows)
    squares = jnp.sum(rows**2, axis=1)  # (D_H + 1,)
    log_norm = len(X) * jnp.log(prec_obs / (2 * jnp.pi)) - jnp.log(squares[:-1]).sum()
    numpyro.factor("Y marginal", 0.5 * (log_norm - squares[-1]))


def draw_w3(rng_key, samples, X, Y, D_H):
    """Draw w3 (D_H, 1) from its conditional, given ONE draw of the rest."""
    Z = predict(model, rng_key, {**samples, "w3": jnp.eye(D_H)}, X, D_H, site="f")
    A, b = regression(Z, Y, samples["prec_obs"])
    Q, R = jnp.linalg.qr(A)  # R is the Cholesky factor of w3's precision, A^T A
    noise = jax.random.normal(rng_key, (D_H, 1))
    return solve_triangular(R, Q.T @ b + noise)


def add_w3(mcmc, rng_key, X, Y, D_H):
    """Add w3 and f to the draws of ``run_inference(marginal_model, ...)``."""

    @jax.jit
    @jax.vmap
    def all_draws(key, draw):
        draw = {**draw, "w3": draw_w3(key, draw, X, Y, D_H)}
        return {"w3": draw["w3"], "f": predict(model, key, draw, X, D_H, site="f")}

    draws, by_chain = mcmc.get_samples(), mcmc.get_samples(group_by_chain=True)
    keys = jax.random.split(rng_key, len(draws["prec_obs"]))  # (S,)
    # on one device: QR on several host devices at once can deadlock in JAX 0.10
    found = all_draws(keys, jax.device_get(draws))
    for name, x in found.items():  # (S, D_H, 1), (S, N, 1)
        draws[name] = x
        by_chain[name] = x.reshape(mcmc.num_chains, -1, *x.shape[1:])


# %%
# Run it
# ------
#
# First the steps above, one after the other. What follows, up to the results, is
# command line: flags, devices and files, nothing about BNNs. Leave it behind when you
# copy from here.


def main(argv=None):
    """Sample, print the table, predict and plot; argv are the flags, see ``--help``."""
    args = parse_args(argv)
    D_H = args.num_hidden
    X, Y, X_test = get_data(N=args.num_data)  # (N, D_X), (N, 1), (N_test, D_X)
    keys = jax.random.split(jax.random.key(args.seed), 3)
    key_inference, key_predict, key_w3 = keys

    start = time.perf_counter()
    mcmc = in_a_thread(
        run_inference,
        marginal_model if args.marginalize else model,
        key_inference,
        X,
        Y,
        D_H,
        num_warmup=args.num_warmup,
        num_samples=args.num_samples,
        num_chains=args.num_chains,
        progress_bar=wants_progress_bar(),
    )
    if args.marginalize:
        add_w3(mcmc, key_w3, X, Y, D_H)
    elapsed = time.perf_counter() - start

    with (
        np.errstate(invalid="ignore", divide="ignore"),  # a stuck chain gives 0 / 0
        contextlib.suppress(BrokenPipeError),  # `python bnn.py | head` has its picture
    ):
        draws = mcmc.get_samples(group_by_chain=True)
        print_summary({name: draws[name] for name in ["prec_obs", "w1", "w2", "w3"]})
        print("Number of divergences:", mcmc.get_extra_fields()["diverging"].sum())
        print(f"MCMC elapsed time: {elapsed:.2f} s\n")
        print_convergence(mcmc)

    @jax.jit
    @jax.vmap
    def predict_all(rng_key, draw):
        new_Y = predict(model, rng_key, draw, X_test, D_H)
        new_f = predict(model, rng_key, draw, X_test, D_H, site="f")
        return new_Y, new_f

    draws = mcmc.get_samples()  # each (S, ...)
    keys = jax.random.split(key_predict, len(draws["prec_obs"]))  # (S,)
    Y_draws, f_draws = predict_all(keys, draws)  # (S, N_test, 1) each
    save(plot(X, Y, X_test, Y_draws, f_draws), args.output)


# %%
# The flags are checked before anything is computed: no one should wait for a run that
# cannot end well.


def parse_args(argv):
    """Return the settings, or exit with status 2 and one line that says why."""
    parser = argparse.ArgumentParser(
        prog="bnn.py",
        description="Sample a Bayesian neural network with NUTS, plot its predictions.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "-n",
        "--num-samples",
        type=whole(4),
        default=2000,
        help="draws a chain, at least 4",
    )
    add("--num-warmup", type=whole(0), default=1000, help="warm-up draws a chain")
    add("--num-chains", type=whole(1), default=1, help="chains, at least 1")
    add("--num-data", type=whole(2), default=100, help="training points, at least 2")
    add("--num-hidden", type=whole(1), default=5, help="units a layer, at least 1")
    add("--marginalize", action="store_true", help="integrate out w3")
    add("--device", choices=["cpu", "gpu", "tpu"], default="cpu", help="where to run")
    add(
        "--seed", type=whole(0, 2**32 - 1), default=0, help="of sampling and prediction"
    )
    add(
        "-o",
        "--output",
        type=picture,
        default="bnn_plot.pdf",
        help="the picture; the suffix chooses its format",
    )

    def error(message):  # in one line; argparse would print its usage as well
        message = " ".join(message.split())
        parser.exit(2, f"{parser.prog}: error: {message} (see --help)\n")

    parser.error = error
    args = parser.parse_args(argv)
    try:
        use_device(args.device, args.num_chains)
    except RuntimeError:
        extra = "tpu" if args.device == "tpu" else "cuda13"
        error(
            f"argument --device: takes cpu here, as JAX finds no {args.device}; "
            f'to install the JAX for one: pip install -U "jax[{extra}]"'
        )
    return args


def whole(low, high=2**31 - 1):
    """Return an argparse type: whole numbers from low to high."""

    def parse(text):
        with contextlib.suppress(ValueError):
            if low <= int(text) <= high:
                return int(text)
        raise argparse.ArgumentTypeError(
            f"takes a whole number from {low} to {high}, not {text!r}"
        )

    return parse


def picture(text):
    """An argparse type: a path where a picture can be written."""
    path = pathlib.Path(text)
    fig = Figure()
    fig.suptitle("a trial")
    try:
        fig.savefig(io.BytesIO(), format=path.suffix[1:])  # the error lists the formats
        if path.is_dir():
            raise OSError("it is a folder")
        target = path.resolve()
        tempfile.TemporaryDirectory(dir=target.parent).cleanup()
        with contextlib.suppress(FileNotFoundError):
            os.stat(target)  # raises if, for example, the name is too long
            if not os.access(target, os.W_OK):
                raise OSError("it is write-protected")
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(
            f"takes the path of a picture, and cannot write {text!r}: {reason}"
        ) from None
    return path


def use_device(device, num_chains):
    """Choose where JAX computes; on a CPU, make a host device for each chain.

    JAX reads this at its first computation. RuntimeError if there is no such device.
    """
    # The operations of a small network are too small to share among threads or to call
    # one by one: take one thread a chain, and compile NUTS' inner loops (up to 250 kB)
    # into one function each, which YNNPACK's matrix products would prevent.
    flags = [
        f"--xla_force_host_platform_device_count={num_chains}",
        "--xla_cpu_multi_thread_eigen=false",
        "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=250000",
    ]
    if (0, 10) <= jax.__version_info__ < (0, 13):  # an unknown flag would be fatal
        flags.append("--xla_cpu_experimental_ynn_fusion_type=")
    flags.append(os.environ.get("XLA_FLAGS", ""))  # the last flag wins: the user's own
    os.environ["XLA_FLAGS"] = " ".join(flags)
    # With "", JAX takes every platform that it finds, accelerators first.
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "")
    jax.devices(device)


def in_a_thread(function, *args, **kwargs):
    """Call the function in a thread of its own, so that this one hears Ctrl-C.

    Python cannot interrupt compiled code, but it can stop waiting for it.
    """
    return ThreadPoolExecutor(1).submit(function, *args, **kwargs).result()


def in_cells():
    """Return whether a notebook or a gallery runs this cell by cell.

    Then sys.argv is not for this script, but for a Jupyter kernel or for Sphinx.
    """
    return "__file__" not in globals() or "kernel_launcher" in "".join(sys.argv[:1])


def wants_progress_bar():
    """Return whether someone watches: in a notebook or terminal, not in a gallery."""
    if in_cells():
        return "get_ipython" in globals()
    return all(f is not None and f.isatty() for f in (sys.stdout, sys.stderr))


def save(fig, path):
    """Write the picture whole or not at all: an earlier one survives every failure."""
    content = io.BytesIO()
    fig.savefig(content, format=path.suffix[1:], dpi=150)
    target = path.resolve()  # a link stays, what it points to is replaced
    try:
        if target.exists() and not target.is_file():  # a device or a pipe
            target.write_bytes(content.getvalue())
        else:
            with tempfile.TemporaryDirectory(prefix=".bnn-", dir=target.parent) as new:
                pathlib.Path(new, target.name).write_bytes(content.getvalue())
                pathlib.Path(new, target.name).replace(target)
    except OSError as error:
        sys.exit(f"bnn.py: error: cannot write {str(path)!r}: {error.strerror}")


def run_from_shell():
    """Run ``main`` on the flags in sys.argv; say in one line what stopped it."""
    try:
        main(sys.argv[1:])
        print(end="", flush=True)
    except KeyboardInterrupt:
        print("\nbnn.py: interrupted, no picture written", file=sys.stderr)
        os._exit(130)  # at once, without waiting for the sampler's thread
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        sys.exit(f"bnn.py: error: {str(error).splitlines()[0]}")
    except OSError as error:  # on printing: a full disk, or a reader that has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.exit(f"bnn.py: error: {error}")


if __name__ == "__main__":
    if in_cells():
        main([])
    else:
        run_from_shell()

# %%
# What you see
# ------------
#
# **The table** has a row for each unknown: mean, standard deviation and median of its
# draws, the shortest interval that holds 90 % of them, the number of independent draws
# that they are worth (``n_eff``), and whether the chains, or the two halves of one,
# agree (``r_hat``, 1.00 if they do). Read the row of ``prec_obs``: a mean of 18 says
# that the noise has a standard deviation of about :math:`18^{-1/2} = 0.24`. Look past
# the rows of the weights, because of the symmetry. A *divergence* is a path that the
# sampler could not follow accurately: one or two do no harm, many are a reason for
# doubt. Last come the worst values of what has to converge: ``r_hat`` should be at most
# 1.01, ``n_eff`` in the hundreds.
#
# **The picture** shows that the bands follow the data as far as the data go. Beyond the
# dotted lines they open up: there the network knows that it does not know.
#
# Where to go next
# ----------------
#
# * *Your own data*: an ``X`` of shape ``(N, D_X)`` with a column of ones, and a
#   standardised ``Y`` of shape ``(N, 1)``, in place of ``get_data``.
# * *A deeper network*: two lines in ``model`` for each layer, one that samples a
#   weight matrix like ``w2`` and one that computes the layer like ``z2``.
# * *A GPU*: ``python bnn.py --device gpu --num-chains 64``. One chain of a small
#   network keeps a CPU busy, not a GPU; that takes many chains or a large network.
#
# References
# ----------
#
# * R. M. Neal (1996). `Bayesian Learning for Neural Networks
#   <https://doi.org/10.1007/978-1-4612-0745-0>`_. Where BNNs and their sampling with
#   Hamiltonian dynamics began.
# * M. D. Hoffman and A. Gelman (2014). `The No-U-Turn Sampler
#   <https://jmlr.org/papers/v15/hoffman14a.html>`_.
# * P. Izmailov, S. Vikram, M. D. Hoffman and A. G. Wilson (2021). `What Are Bayesian
#   Neural Network Posteriors Really Like? <https://arxiv.org/abs/2104.14421>`_
# * `NumPyro <https://num.pyro.ai>`_, in which the model is written and sampled.
