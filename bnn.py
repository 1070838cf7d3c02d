# SPDX-License-Identifier: Apache-2.0
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
network (BNN) keeps all sets of weights and weighs each by Bayes' rule: in proportion to
its *prior*, how probable it is before there are data, times its *likelihood*, how
probable it makes the data. This is the *posterior*: its curves stay together where
there are data and part elsewhere.
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
import time
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import diagnostics, handlers
from numpyro.infer import MCMC, NUTS


# %%
# The model
# ---------
# The prior of every weight is standard normal. The noise has an unknown precision, one
# over its variance, with a Gamma prior of shape 3 and rate 1. The likelihood is last:
#
# .. math::
#
#    w_1, w_2, w_3 &\sim \mathrm{Normal}(0, 1) \\
#    f(X) &= \tanh(\tanh(X w_1)\, w_2)\, w_3 \\
#    \mathrm{prec\_obs} &\sim \mathrm{Gamma}(3, 1) \\
#    Y &\sim \mathrm{Normal}(f(X),\ \mathrm{prec\_obs}^{-1/2})
#
# More units make f wilder: their number is a choice of prior, too. In NumPyro,
# ``sample`` names an unknown and its prior. By itself it draws from that; under NUTS,
# below, it returns a value that NUTS tries, and adds its log density to a sum. With
# ``obs`` the value is known: data. The sum, the log of prior times likelihood, and its
# gradient are all that NUTS needs (it moves log prec_obs, and NumPyro adds a term for
# that).
def model(X, Y, D_H):
    """A BNN with two hidden layers of D_H units: X is (N, D_X), Y is (N, 1) or None.

    ``deterministic`` records a value. ``plate`` says that the N data are independent,
    ``to_event(1)`` that one datum is a row of Y. ValueError for other shapes of Y."""
    N, D_X = X.shape
    if Y is not None and Y.shape != (N, 1):  # it would broadcast to a wrong density
        raise ValueError(f"Y must have shape {(N, 1)}, not {Y.shape}")
    # the prior: every weight is Normal(0, 1)
    w1 = numpyro.sample("w1", dist.Normal(np.zeros((D_X, D_H)), 1.0))  # (D_X, D_H)
    w2 = numpyro.sample("w2", dist.Normal(np.zeros((D_H, D_H)), 1.0))  # (D_H, D_H)
    w3 = numpyro.sample("w3", dist.Normal(np.zeros((D_H, 1)), 1.0))  # (D_H, 1)
    # the network, transposed: on a CPU, XLA is faster with the data on the last axis
    z1 = jnp.tanh(linear(w1, X.T))  # (D_H, N)
    z2 = jnp.tanh(linear(w2, z1))  # (D_H, N)
    f = numpyro.deterministic("f", linear(w3, z2).T)  # (N, 1), the output without noise
    # the likelihood: N independent data, with noise of precision prec_obs
    prec_obs = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))  # ()
    with numpyro.plate("data", N):
        numpyro.sample("Y", dist.Normal(f, 1 / jnp.sqrt(prec_obs)).to_event(1), obs=Y)


def linear(w, z):
    """Return ``w.T @ z`` (M, N) for weights w (K, M) and inputs z (K, N)."""
    if len(w) != len(z):
        raise ValueError(f"weights for {len(w)} inputs (columns or units) got {len(z)}")
    small = w.size * z.shape[1] <= 4096  # then a sum is faster, and as accurate
    return jnp.sum(jax.vmap(jnp.outer)(w, z), axis=0) if small else w.T @ z


# %%
# The data
# --------
# A parabola plus a wave, in one input :math:`x`. The network gets the features
# :math:`1, x, x^2`. The ones make ``w1[0]`` the bias of the first layer; no other layer
# has one. The test inputs reach beyond the training inputs, where a BNN earns its keep.
def get_data(N=100, D_X=3, sigma_obs=0.05, N_test=500):
    """Return X (N, D_X), Y (N, 1), X_test (N_test, D_X), the true f_test (N_test, 1).

    Y and f_test are standardised, sigma_obs is the noise before that; N is over 1."""
    rng = np.random.RandomState(0)
    W = 0.5 * rng.randn(D_X, 1)  # (D_X, 1)
    noise = sigma_obs * rng.randn(N, 1)  # (N, 1)
    x = np.append(np.linspace(-1.0, 1.0, N), np.linspace(-1.3, 1.3, N_test))[:, None]
    X = x ** np.arange(D_X)  # (N + N_test, D_X)
    f = X @ W + 0.5 * (0.5 + x) ** 2 * np.sin(4.0 * x)  # (N + N_test, 1)
    Y = f[:N] + noise  # (N, 1)
    return X[:N], (Y - Y.mean()) / Y.std(), X[N:], (f[N:] - Y.mean()) / Y.std()


# %%
# Inference
# ---------
# A prediction is an average over the posterior. No formula gives it, but a mean of
# draws comes close. A draw is a value for every unknown, with 5 units a layer 46
# numbers: a point in 46 dimensions. To NUTS, the No-U-Turn Sampler, the posterior is a
# landscape there, lowest where it is most probable. It pushes the point in a random
# direction and lets it roll, both ways, in *leapfrog steps*, until the path turns back,
# gets inaccurate (*diverges*) or has 1023 steps. The next draw is a point of the path,
# chosen at random by its probability. The draws form a *chain*; several chains are
# independent. In a *warm-up*, thrown away, NUTS tunes its steps.
def check_data(X, Y):
    """Return X (N, D_X) and Y (N, ...) as arrays, and print signs of a useless fit.

    Whole numbers and booleans in Y are taken for labels or counts, of any scale. The
    ValueError for another shape, masked values, infinity or NaN names the array."""
    arrays = {"X": X, "Y": Y}
    for name, values in arrays.items():
        try:
            values = np.ma.asarray(values)  # a masked array keeps its mask
            whole = name == "Y" and values.dtype.kind in "biu"
            dtype = jnp.result_type(values.data if whole else float)
            arrays[name] = np.asarray_chkfinite(values, dtype)
            if np.ma.is_masked(values) or whole and np.any(arrays[name] != values):
                raise ValueError(f"some are masked, or beyond {dtype}")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold finite numbers: {error}") from None
    X, Y = arrays.values()
    if X.ndim != 2 or not X.size or Y.shape[:1] != X.shape[:1]:
        raise ValueError(f"X must be (N, D_X), Y (N, ...), not {X.shape} and {Y.shape}")
    size, mean, sd = np.max(np.abs(X)), np.mean(Y), np.std(Y)
    if size > 10 or not whole and (abs(mean) > 1 or not 1 / 3 <= sd <= 3):
        print(f"Note: X reaches {size:.3g}, Y is {mean:.3g} +- {sd:.3g}: standardise.")
    if not np.any(np.all(X == X[0], axis=0) & (X[0] != 0)):
        print("Note: X has no column of ones: the network may have no biases.")
    return X, Y


def run_inference(
    model, rng_key, X, Y, D_H, num_warmup=1000, num_samples=2000, num_chains=1,
    progress_bar=True, target_accept_prob=0.8,
):  # fmt: skip
    """Sample ``model(X, Y, D_H)`` with NUTS; return NumPyro's MCMC object.

    Its ``get_samples()`` holds each unknown and f, (S, ...), S = num_chains *
    num_samples. ``jax.random.key(0)`` is an rng_key; a larger target_accept_prob means
    smaller, more accurate steps. Call ``use_device`` first. Chains that share a device
    on a CPU have no bar. ValueError as from ``check_data``, RuntimeError without a
    finite density."""
    X, Y = check_data(X, Y)
    # which device computes which chain is a matter of speed: skip to ``kernel``
    devices, on_cpu = jax.local_devices(), jax.default_backend() == "cpu"
    used = max(n for n in range(1, len(devices) + 1) if num_chains % n == 0)
    if used == num_chains:
        chain_method = "parallel"  # a device for each chain
    elif used > 1 or on_cpu:
        chain_method = partial(share_chains, used)  # several chains on each device
    else:
        chain_method = "vectorized"  # all on one accelerator
    on = f"{used} of {len(devices)} device(s), {num_warmup} + {num_samples} draws each"
    print(f"NUTS on {jax.default_backend()}: {num_chains} chain(s) on {on}", flush=True)
    if not on_cpu and isinstance(D_H, int) and num_chains * len(X) * D_H < 500_000:
        print("Note: a step takes ~0.1 ms here, a CPU is faster; chains cost little.")
    kernel = CompiledNUTS(model, target_accept_prob=target_accept_prob)  # NUTS, faster
    sizes = dict(num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains)
    bar = progress_bar and isinstance(chain_method, str)
    mcmc = MCMC(kernel, **sizes, chain_method=chain_method, progress_bar=bar)
    mcmc.run(rng_key, X, Y, D_H, extra_fields=("num_steps",))
    if not np.all(np.isfinite(mcmc.last_state.potential_energy)):
        raise RuntimeError("chains found no point of finite density: see model and Y")
    return mcmc


# %%
# Did it converge?
# ----------------
# Chains have converged if their draws represent the whole posterior, wherever they
# started. ``r_hat`` compares the means of the halves of all chains, relative to the
# spread of the draws: 1.00 if they are equal, as they must be, though that is not
# enough. ``n_eff`` is how many independent draws would tell the mean as precisely.
# Vehtari et al. (2021) ask for an ``r_hat`` of at most 1.01 and, in four chains, an
# ``n_eff`` of at least 400, by forms that are stricter than NumPyro's: the package
# ArviZ has them. After a warning take more draws; if ``r_hat`` stays high, chains are
# too slow or sit in different regions: do not use them. At nan, draws never vary.
#
# But do not ask the weights. Flip the signs of all weights into and out of a hidden
# unit (tanh is odd), or swap two units of a layer, and the network computes the same:
# of the :math:`(2^5\, 5!)^2`, or 14.7 million, mirror images no chain sees all. Ask the
# function values ``f``, here at the training inputs, and the precision of the noise.
def print_convergence(mcmc):
    """Print signs that the chains of ``run_inference`` did not converge.

    Return the worst r_hat and n_eff, of f and prec_obs where they are there, and the
    number of divergences. ValueError without either, or with fewer than 4 draws."""
    draws = mcmc.get_samples(group_by_chain=True)  # each (C, S, ...)
    extra = jax.device_get(mcmc.get_extra_fields(group_by_chain=True))  # each (C, S)
    C, S = extra["diverging"].shape  # chains, draws of each; NumPyro always records it
    found = {k: np.asarray(draws[k], float) for k in ["f", "prec_obs"] if k in draws}
    if not found or S < 4:
        raise ValueError("mcmc must hold f or prec_obs, and 4 or more of each chain")
    r_hat, n_eff, divergences = [], [], int(np.sum(extra["diverging"]))
    print(f"{'What has to converge':>24} {'worst r_hat':>12} {'worst n_eff':>12}")
    for name, values in found.items():
        r_hat.append(np.max(diagnostics.split_gelman_rubin(values)))
        n_eff.append(np.min(diagnostics.effective_sample_size(values)))
        print(f"{name:>24} {r_hat[-1]:>12.3f} {n_eff[-1]:>12.0f}")
    print(f"Number of divergences: {divergences}")
    if "num_steps" in extra:  # 2^10 - 1, NumPyro's default
        at_cap = 100 * np.mean(extra["num_steps"] == 1023)
        print(f"Draws whose path reached the cap of 1023 steps: {at_cap:.0f} %")
    if divergences:
        print("Note: paths diverged; draws may be missing: try target_accept_prob=.99.")
    if C == 1:
        print("Note: one chain cannot show what it missed; --num-chains 4 may.")
    if not (np.max(r_hat) <= 1.01 and np.min(n_eff) >= 400):  # true for NaN, too
        print("Warning: r_hat > 1.01, n_eff < 400 or nan: raise --num-warmup and -n.")
    return {"r_hat": np.max(r_hat), "n_eff": np.min(n_eff), "divergences": divergences}


# %%
# Prediction
# ----------
# To predict with *one* posterior draw, fix the unknowns at it and run the model without
# ``Y``: it computes f and draws new observations. ``jax.vmap`` does so with all chains
# at once, ``jax.lax.map`` in batches, to save memory. Random numbers come from keys:
# each draw has its own, so that no two share their noise.
def predict(model, rng_key, draw, X, D_H):
    """Return f and new observations Y, each (N, ...), at X (N, D_X) from ONE draw."""
    # seed gives random numbers, trace runs the model and records it; condition fixes
    # only what is sampled: f is computed anew, and a Y in the draw must be left out
    unknowns = {name: value for name, value in draw.items() if name != "Y"}
    at_draw = handlers.condition(handlers.seed(model, rng_key), unknowns)
    trace = handlers.trace(at_draw).get_trace(jnp.asarray(X, float), None, D_H)
    return trace["f"]["value"], trace["Y"]["value"]


def for_all_draws(function, rng_key, draws):
    """Return ``function(key, draw)`` of all draws, a dict of (C, S, ...), in NumPy."""
    draws = {name: np.asarray(values) for name, values in draws.items()}
    shapes = {values.shape[:2] for values in draws.values()}
    if len(shapes) != 1 or len(min(shapes)) < 2:  # all begin with the same (C, S)
        raise ValueError(f"take get_samples(group_by_chain=True): draws are {shapes}")
    keys = jax.random.split(rng_key, shapes.pop())  # (C, S)
    # each takes one axis off all arrays, in a tuple or a dict: vmap C, map S
    in_batches = partial(jax.lax.map, lambda pair: function(*pair), batch_size=20)
    return jax.device_get(jax.vmap(in_batches)((keys, draws)))


# %%
# The picture
# -----------
# At each :math:`x` 90 % of the predicted ``Y`` fall into the wide band, and 90 % of the
# functions ``f`` run through the narrow one; fewer stay in it from end to end.
def plot(X, Y, X_test, f_test, f_draws, Y_draws):
    """Plot data, truth (or None) and predictions (C, S, N_test, 1) over column 1 of X.

    X_test is sorted by it. ValueError for predictions of another shape."""
    X, Y, X_test = map(np.asarray, (X, Y, X_test))
    if X.shape[1] < 2 or f_draws.shape[2:] != (len(X_test), 1):
        raise ValueError(f"no column 1 of X {X.shape}, or outputs: {f_draws.shape}")
    x, x_test = X[:, 1], X_test[:, 1]  # (N,), (N_test,)
    band = partial(np.quantile, q=[0.05, 0.95], axis=(0, 1, 3))  # -> (2, N_test)
    f = f_draws.reshape(-1, len(x_test))  # (C * S, N_test)
    curves = f[np.linspace(0, len(f) - 1, 20, dtype=int)]  # (20, N_test)
    ink = plt.rcParams["text.color"]  # a style may have white on black
    fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    ax.fill_between(x_test, *band(Y_draws), fc=("C0", 0.15), label="90 percent of Y")
    ax.fill_between(x_test, *band(f_draws), fc=("C0", 0.35), label="90 percent of f")
    ax.plot(x_test, curves.T, c="C0", lw=0.4, label=["draws of f"] + 19 * [None])
    ax.plot(x_test, f.mean(axis=0, dtype=float), c="C1", lw=2, label="mean prediction")
    if f_test is not None:
        ax.plot(x_test, f_test, c=ink, ls="--", lw=1, label="true function")
    ax.plot(x, Y, "x", c=ink, mew=1, ms=min(5, 50 / x.size**0.5), label="training data")
    ax.axvline(x.min(), c="0.5", ls=":", label="training data end")
    ax.axvline(x.max(), c="0.5", ls=":")
    ax.set(title="Bayesian neural network", xlabel="x", ylabel="Y", xmargin=0)
    ax.legend(loc="lower center", ncols=2)
    return fig


# %%
# Speed and devices
# -----------------
# Skip this section and the next: the results are at the end. These pieces are for speed
# (and precision, on a GPU). Copy them and ``check_data`` along with ``run_inference``.
class CompiledNUTS(NUTS):
    """NUTS with a compiled start: with one chain, a first run takes 3 to 5 s less.

    Plain ``NUTS`` gives the same posterior; a ``numpyro.param`` or a module that starts
    from what the model computes needs it (here it is an UnexpectedTracerError)."""

    def init(self, rng_key, *args, **kwargs):
        return jax.jit(lambda key: NUTS.init(self, key, *args, **kwargs))(rng_key)


def share_chains(num_devices, one_chain):
    """NumPyro's ``chain_method`` for several chains on each of some devices."""
    # each device has its own loop and waits for none; on a CPU, chains take turns
    on_cpu = jax.default_backend() == "cpu"
    share = partial(jax.lax.map, one_chain) if on_cpu else jax.vmap(one_chain)
    mesh = jax.sharding.Mesh(jax.local_devices()[:num_devices], "chains")
    spec = jax.sharding.PartitionSpec("chains")
    shard_map = partial(jax.shard_map, mesh=mesh, in_specs=spec, out_specs=spec)
    return jax.jit(shard_map(share, check_vma=False))


def use_device(device, num_chains):
    """Choose "cpu", "gpu" or "tpu" for JAX, before it first computes in this process.

    All JAX code of the process gets ``jax_platforms``; on a CPU
    ``jax_num_cpu_devices``, one a chain up to 1024, and two flags of XLA, JAX's
    compiler, unless JAX has started; elsewhere ``jax_default_matmul_precision``.
    RuntimeError if JAX is on another device."""
    platforms, user_flags = jax.config.jax_platforms, os.environ.get("XLA_FLAGS", "")
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else None)
    if device == "cpu":
        # level 1 compiles sooner, loops run as fast; those of 250 kB in one function
        flags = "--xla_backend_optimization_level=1 --xla_backend_extra_options="
        flags += "xla_cpu_small_while_loop_byte_threshold=250000"
        os.environ["XLA_FLAGS"] = f"{flags} {user_flags}"  # of a flag, the last wins
        with contextlib.suppress(RuntimeError):  # JAX has started: its devices must do
            jax.config.update("jax_num_cpu_devices", min(num_chains, 1024))
    try:
        backend = jax.default_backend()  # here JAX starts, and reads the flags
    finally:
        os.environ.pop("XLA_FLAGS", None)
        os.environ.update({"XLA_FLAGS": user_flags} if user_flags else {})
    if backend != device:
        jax.config.update("jax_platforms", platforms)
        install = 'pip install "jax[cuda13]>=0.7.2,<0.13" or "jax[tpu]>=0.7.2,<0.13"'
        raise RuntimeError(f"JAX has started on {backend}; others may need {install}")
    if device != "cpu":
        # By default a factor is rounded to 8 or 11 bits there: a log density of -83 584
        # (10 000 data, 50 units) is off by 5, else by 0.001; a step takes 4 % longer.
        jax.config.update("jax_default_matmul_precision", "highest")


# %%
# Command line
# ------------
# Flags and files, nothing about BNNs: leave it behind when you copy.
def parse_args(argv):
    """Return the settings; bad ones end the program with status 2 and say why."""
    parser = argparse.ArgumentParser("bnn.py", allow_abbrev=False)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add = parser.add_argument
    add("-n", "--num-samples", **number(2000, 4, 10**9, "draws per chain"))
    add("--num-warmup", **number(1000, 0, 10**9, "warm-up draws per chain"))
    add("--num-chains", **number(1, 1, 10**4, "chains"))
    add("--num-data", **number(100, 2, 10**7, "training points"))
    add("--num-hidden", **number(5, 1, 1000, "units a layer"))
    add("--seed", **number(0, 0, 2**32 - 1, "of sampling and prediction"))
    add("--device", choices=["cpu", "gpu", "tpu"], default="cpu", help="where to run")
    add("-o", "--output", type=picture, default="bnn_plot.pdf", help="the picture")
    add("-f", "--f", help=argparse.SUPPRESS)  # a notebook's kernel has its own flags
    args, unknown = parser.parse_known_args(argv)
    if unknown and not args.f:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        use_device(args.device, args.num_chains)
    except RuntimeError as error:
        parser.error(f"argument --device: {error}")
    return args


def number(default, low, high, text):
    """Return the settings of a flag that takes a whole number from low to high."""

    def bounded(value):
        return low + range(low, high + 1).index(int(value))  # or a ValueError

    bounded.__name__ = f"number from {low} to {high}"  # argparse prints it
    return {"type": bounded, "default": default, "help": f"{text}, {low} to {high}"}


def picture(text):
    """An argparse type: a path where a picture can be written."""
    path = pathlib.Path(text)
    try:  # to draw in this format, to make a file of this name, to open an earlier one
        plt.Figure().suptitle("x").figure.savefig(io.BytesIO(), format=path.suffix[1:])
        tempfile.NamedTemporaryFile(dir=path.resolve().parent, suffix=path.name).close()
        if path.exists():
            path.open("r+b").close()
    except (OSError, ValueError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f"cannot write {text!r}: {error}") from None
    return path


def save(fig, path):
    """Write the picture whole or not at all: an earlier one survives a failure."""
    part = path.resolve().with_name(f".bnn-{os.getpid()}{path.suffix}")
    # on a full disk, matplotlib's PDF writer hides the OSError: so first to memory
    fig.savefig(content := io.BytesIO(), format=path.suffix[1:], dpi=150)
    try:
        part.write_bytes(content.getvalue())
        part.replace(path.resolve())  # a link stays, what it points to is replaced
    except OSError as error:
        part.unlink(missing_ok=True)
        sys.exit(f"bnn.py: error: cannot write {str(path)!r}: {error.strerror}")


# %%
# Run it
# ------
# ``pip install numpyro matplotlib`` (for versions see line 4), then ``python bnn.py``.
def main(argv=None):
    """Sample a Bayesian neural network, check the draws, and plot its predictions."""
    args = parse_args(argv)
    D_H, sizes = args.num_hidden, (args.num_warmup, args.num_samples, args.num_chains)
    X, Y, X_test, f_test = get_data(N=args.num_data)
    keys = jax.random.split(jax.random.key(args.seed))
    # a progress bar where someone watches: at a prompt or in a terminal, not a gallery
    progress_bar = hasattr(sys, "ps1") or ("__file__" in globals() and os.isatty(2))
    start = time.perf_counter()
    mcmc = run_inference(model, keys[0], X, Y, D_H, *sizes, progress_bar)
    draws = jax.device_get(mcmc.get_samples(group_by_chain=True))  # each (C, S, ...)
    print(f"MCMC elapsed time: {time.perf_counter() - start:.2f} s")
    names = ["prec_obs", "w1", "w2", "w3"] if D_H <= 7 else ["prec_obs"]
    with np.errstate(invalid="ignore", divide="ignore"):  # chains that never moved
        diagnostics.print_summary({name: draws[name] for name in names})
        if D_H > 7:
            print(f"The rows of {D_H * (D_H + 4)} weights are left out.")
        print_convergence(mcmc)
    at_test = partial(predict, model, X=X_test, D_H=D_H)
    f_draws, Y_draws = for_all_draws(at_test, keys[1], draws)  # (C, S, N_test, 1)
    save(plot(X, Y, X_test, f_test, f_draws, Y_draws), args.output)


if __name__ == "__main__":
    # for Ctrl-C and windows, in its own process: no code called this, no prompt follows
    if sys._getframe().f_back is None and not sys.flags.inspect:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C stops compiled code
        plt.switch_backend("agg")
    main()

# %%
# What you see
# ------------
# * **The first table** has a row for each unknown: mean, standard deviation and median
#   of its draws, the shortest interval that holds 90 % of them (its ends are not
#   quantiles), ``n_eff`` and ``r_hat``. Look past the weights.
# * **Its row prec_obs**: a mean of 18 is noise of :math:`18^{-1/2} = 0.24`. But the
#   data were made with 0.05, or 0.19 on the scale of the standardised ``Y``, a
#   precision of 28. The prior, kept because this example is known with it, expects 3,
#   and 100 data do not outweigh it: were f known, the posterior would be a Gamma again,
#   of shape 3 + 100 / 2 and rate 1 plus half the sum of squared noise, here 1.9: its
#   mean is 53 / 2.9 = 18. So the wide band holds about 96 % of new data from this
#   curve, within the data, and not 90 %.
# * **The second table** is the one to trust, for f at the training inputs (give
#   ``f_draws`` to ``numpyro.diagnostics`` for others): with an ``r_hat`` of 1.00 and
#   ``n_eff`` far above 400 this run passes. But one chain compares only its own halves;
#   to see what it missed, run four: ``--num-chains 4``.
# * **A divergence** is a path that the sampler could not follow; draws may be missing
#   there. Here about 1 % diverged, and no harm shows: in Stan, another program, about 1
#   % did, too, and its posterior agrees with ours, as tests check; but Stan uses NUTS,
#   too, and both could miss the same part. In a run of yours, see if f is another with
#   target_accept_prob=0.99 (once that passes). Most paths reach the cap of 1023 steps:
#   that costs time, not correctness, if the table passes.
# * **The picture**: beyond the dotted lines the true curve, dashed, leaves the mean and
#   stays in the bands. Their width there comes more and more from the prior.
#
# Where to go next
# ----------------
# * *Your own data*: x (N, D), x_new (M, D) and Y (N, 1), such as data frames. Columns
#   of x_new swapped, or scaled otherwise than x, give a wrong curve in silence. In a
#   copy of ``model`` choose a Gamma(a, b) whose mean a / b is the precision that you
#   expect of the noise in the standardised ``Y``: the larger a, the surer.
#
#   .. code-block:: python
#
#      import jax, numpy as np, bnn  # or copies of the pieces and of what they name
#      bnn.use_device("cpu", num_chains=4)
#      x, x_new, Y = (np.ma.filled(a, np.nan) for a in (x, x_new, Y))  # arrays
#      m, s, mean, sd = x.mean(axis=0), x.std(axis=0), Y.mean(), Y.std()
#      X, X_new = (np.insert((a - m) / s, 0, 1, axis=1) for a in (x, x_new))  # + ones
#      keys = jax.random.split(jax.random.key(0))
#      mcmc = bnn.run_inference(bnn.model, keys[0], X, (Y - mean) / sd, 5, num_chains=4)
#      bnn.print_convergence(mcmc)
#      draws = mcmc.get_samples(group_by_chain=True)
#      np.savez("draws.npz", **draws)  # to predict later you need both files
#      np.savez("scale.npz", m=m, s=s, mean=mean, sd=sd)
#      at_new = lambda key, draw: bnn.predict(bnn.model, key, draw, X_new, 5)
#      f, Y_new = (mean + sd * a for a in bnn.for_all_draws(at_new, keys[1], draws))
# * *Several inputs*: ``bnn.plot(X, Y, X_new, None, f, Y_new)`` shows column 1, the
#   first input: sort X_new by it, and hold its other columns at 0, their mean; the data
#   have others, so they may lie outside the bands.
# * *Classes*: labels Y (N,), whole numbers from 0 to K - 1, neither scaled nor scaled
#   back. In a copy of ``model`` give ``w3`` K columns, drop ``prec_obs``, check Y for
#   (N,), and sample it from ``dist.Categorical(logits=f)``; the mean of
#   ``jax.nn.softmax(f)`` over the draws holds the probabilities. For two classes, 0 and
#   1, keep ``w3`` and Y (N, 1), and take ``dist.Bernoulli(logits=f).to_event(1)`` and
#   ``jax.nn.sigmoid``. (Without ``to_event(1)`` each datum would count N times.)
# * *Other networks*: compute one more layer, with a matrix like ``w2`` of another name.
#   ``D_H`` may be a pair of widths that ``model`` unpacks. In wide ones divide ``w2``
#   by ``len(w2) ** 0.5`` after ``sample``, and ``w3`` likewise (Neal).
#
# References
# ----------
# * Neal (1996), the classic: https://doi.org/10.1007/978-1-4612-0745-0
# * Hoffman and Gelman (2014), NUTS: https://jmlr.org/papers/v15/hoffman14a.html
# * Betancourt (2017), how it turns and chooses: https://arxiv.org/abs/1701.02434
# * Vehtari et al. (2021), r_hat and n_eff: https://doi.org/10.1214/20-BA1221
# * Izmailov et al. (2021), posteriors of large BNNs: https://arxiv.org/abs/2104.14421
