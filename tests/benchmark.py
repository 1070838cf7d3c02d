"""Benchmark bnn.py against the textbook formulation of the same example.

    python tests/benchmark.py            about 25 minutes a Python on 2 cores
    python tests/benchmark.py --quick    under a minute: does the benchmark run?
    python tests/benchmark.py --write    writes the tables to tests/BENCHMARK.md, too

Three are compared: the textbook formulation, ``bnn.py``, and ``bnn.py --marginalize``.
They take turns in one run, each measurement in a process of its own; times are medians,
``n_eff`` a second are means over seeds. The textbook formulation is what people run
today: rows are data, data with ``jax.numpy``, NumPyro's and XLA's defaults, eager
prediction.
"""

import argparse
import datetime
import functools
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from unittest import mock

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import potential_energy

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bnn  # noqa: E402

# --------------------------------------------------------------------------------------
# The textbook formulation


def textbook_model(X, Y, D_H):
    """The model of bnn.py, with rows for data: X is (N, D_X), Y is (N, 1)."""
    N, D_X = X.shape
    w1 = numpyro.sample("w1", dist.Normal(jnp.zeros((D_X, D_H)), jnp.ones((D_X, D_H))))
    w2 = numpyro.sample("w2", dist.Normal(jnp.zeros((D_H, D_H)), jnp.ones((D_H, D_H))))
    w3 = numpyro.sample("w3", dist.Normal(jnp.zeros((D_H, 1)), jnp.ones((D_H, 1))))
    z1 = jnp.tanh(jnp.matmul(X, w1))  # (N, D_H)
    z2 = jnp.tanh(jnp.matmul(z1, w2))  # (N, D_H)
    z3 = jnp.matmul(z2, w3)  # (N, 1)
    prec_obs = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))
    sigma_obs = 1.0 / jnp.sqrt(prec_obs)
    with numpyro.plate("data", N):
        numpyro.sample("Y", dist.Normal(z3, sigma_obs).to_event(1), obs=Y)


def textbook_data(N):
    """The data of bnn.py, with jax.numpy."""
    np.random.seed(0)
    X = jnp.linspace(-1, 1, N)
    X = jnp.power(X[:, np.newaxis], jnp.arange(3))
    W = 0.5 * np.random.randn(3)
    Y = jnp.dot(X, W) + 0.5 * jnp.power(0.5 + X[:, 1], 2.0) * jnp.sin(4.0 * X[:, 1])
    Y += 0.05 * np.random.randn(N)
    Y = Y[:, np.newaxis]
    Y -= jnp.mean(Y)
    Y /= jnp.std(Y)
    X_test = jnp.linspace(-1.3, 1.3, 500)
    X_test = jnp.power(X_test[:, np.newaxis], jnp.arange(3))
    return X, Y, X_test


def textbook_main(flags):
    """The whole example, from data to picture, with the flags of bnn.py."""
    parser = argparse.ArgumentParser()
    defaults = {"num-samples": 2000, "num-warmup": 1000, "num-chains": 1, "seed": 0}
    for flag, default in defaults.items():
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(flags)
    if args.device == "cpu":
        numpyro.set_platform("cpu")
    numpyro.set_host_device_count(args.num_chains)

    X, Y, X_test = textbook_data(100)
    key, key_predict = jax.random.split(jax.random.PRNGKey(args.seed))
    start = time.time()
    mcmc = MCMC(
        NUTS(textbook_model),
        num_warmup=args.num_warmup,
        num_samples=args.num_samples,
        num_chains=args.num_chains,
        chain_method="parallel" if args.device == "cpu" else "vectorized",
        progress_bar=False,
    )
    mcmc.run(key, X, Y, 5)
    jax.block_until_ready(mcmc.get_samples())
    print("\nMCMC elapsed time:", time.time() - start)
    mcmc.print_summary()

    def predict(key, draw, X):
        model = handlers.substitute(handlers.seed(textbook_model, key), draw)
        return handlers.trace(model).get_trace(X, None, 5)["Y"]["value"]

    draws = mcmc.get_samples()
    keys = jax.random.split(key_predict, args.num_samples * args.num_chains)
    Y_draws = jax.vmap(lambda key, draw: predict(key, draw, X_test))(keys, draws)
    Y_draws = Y_draws[..., 0]
    mean = jnp.mean(Y_draws, axis=0)
    low, high = np.percentile(Y_draws, [5.0, 95.0], axis=0)
    fig, ax = plt.subplots(figsize=(8, 6), constrained_layout=True)
    ax.plot(X[:, 1], Y[:, 0], "kx")
    ax.fill_between(X_test[:, 1], low, high, color="lightblue")
    ax.plot(X_test[:, 1], mean, "blue", ls="solid", lw=2.0)
    ax.set(xlabel="X", ylabel="Y", title="Mean predictions with 90% CI")
    plt.savefig("bnn_plot.pdf")

    # as bnn.py prints it; f for the benchmark only
    n_eff = worst_n_eff(mcmc.get_samples(group_by_chain=True), np.asarray(X))
    for name, value in n_eff.items():
        print(f"{name} 0.0 {value:.0f}")


def worst_n_eff(draws, X):
    """The worst n_eff of f, and that of prec_obs; draws are (C, S, ...)."""
    w1, w2, w3, prec_obs = (
        np.asarray(draws[name]) for name in ["w1", "w2", "w3", "prec_obs"]
    )
    f = np.tanh(np.tanh(X @ w1) @ w2) @ w3
    with np.errstate(invalid="ignore", divide="ignore"):
        sites = {"f": f, "prec_obs": prec_obs}
        return {name: np.min(effective_sample_size(x)) for name, x in sites.items()}


# --------------------------------------------------------------------------------------
# One measurement, in a process of its own

SCRIPTS = {
    "textbook": [__file__, "--textbook"],
    "ours": [ROOT / "bnn.py"],
    "marginalize": [ROOT / "bnn.py", "--marginalize"],
}
MODELS = {
    "textbook": textbook_model,
    "ours": bnn.model,
    "marginalize": bnn.marginal_model,
}
PEERS = ["blackjax", "pymc", "nutpie"]
LINEAR = {
    "@": lambda w, z: w.T @ z,
    "sum": lambda w, z: jnp.sum(w[:, :, None] * z[:, None, :], axis=0),
    "bnn.linear": bnn.linear,
}


def use_cpu(which):
    """XLA's defaults for the textbook formulation, the script's settings for ours."""
    if which == "textbook":
        jax.config.update("jax_platforms", "cpu")
    else:
        bnn.use_device("cpu", num_chains=1)


def about():
    """What it runs on."""
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    names = ["numpyro", "jax", "jaxlib", "numpy", "matplotlib"]
    for name in PEERS:
        if importlib.util.find_spec(name):
            names.append(name)
    return {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {found[1] if found else 'unknown'}",
        "versions": ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names),
        "gpus": [str(d) for d in jax.devices() if d.platform == "gpu"],
    }


def potential(model, N, D_H):
    """The potential energy that NUTS explores, and a point of its parameters."""
    X, Y, *_ = bnn.get_data(N=N)
    shapes = {"w1": (3, D_H), "w2": (D_H, D_H), "w3": (D_H, 1), "prec_obs": ()}
    if model is bnn.marginal_model:
        del shapes["w3"]
    rng = np.random.default_rng(0)
    z = {k: jnp.asarray(rng.standard_normal(shape)) for k, shape in shapes.items()}
    return functools.partial(potential_energy, model, (X, Y, D_H), {}), z


def draw(kernel, args, state, draws):
    """Return the state after some draws, and the number of their leapfrog steps."""

    def body(carry, _):
        state, steps = carry
        state = kernel.sample(state, args, {})
        return (state, steps + state.num_steps), None

    return jax.lax.scan(body, (state, 0), None, length=draws)[0]


def step_and_gradients(which, draws, sizes, evaluations):
    """Microseconds a leapfrog step at the defaults, and a gradient at each size."""
    use_cpu(which)
    X, Y, *_ = bnn.get_data()
    args = (X, Y, 5)
    kernel = NUTS(MODELS[which])
    state = jax.jit(lambda key: kernel.init(key, draws, None, args, {}))(
        jax.random.key(0)
    )
    run = jax.jit(lambda state: draw(kernel, args, state, draws))
    state, _ = run(state)  # warm-up, and compilation
    start = time.perf_counter()
    _, steps = jax.block_until_ready(run(state))
    step = (time.perf_counter() - start) / int(steps) * 1e6

    gradients = []
    for N, D_H in sizes:
        energy, z = potential(MODELS[which], N, D_H)
        repeat = max(3, evaluations // (N * D_H))

        @jax.jit
        def descend(z, energy=energy, repeat=repeat):
            def body(z, _):
                g = jax.grad(energy)(z)
                return jax.tree.map(lambda a, b: a - 1e-6 * b, z, g), None

            return jax.lax.scan(body, z, None, length=repeat)[0]

        run = functools.partial(descend, z)
        gradients.append(microseconds({"gradient": run}, repeat)["gradient"])
    return {"step": step, "gradients": gradients}


def microseconds(runs, repeat=None):
    """Median microseconds of each of runs, alternating, a repeat or step of it."""
    times = {name: [] for name in runs}
    for turn in range(12):
        for name, run in runs.items():
            start = time.perf_counter()
            result = jax.block_until_ready(run())
            elapsed = time.perf_counter() - start
            if turn > 0:  # the first one compiles
                times[name].append(elapsed / (repeat or int(result[1])) * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def steps_in_the_loop(models, N, D_H, work):
    """Microseconds a leapfrog step of each model, alternating, in NUTS' own loop.

    The steps are tiny, so that paths are long and as many for each model. A run
    takes about ``work`` microseconds.
    """
    runs = {}
    cost = 1 + N * D_H * (D_H + 3) / 4000  # microseconds a step, roughly
    depth = max(3, min(10, int(math.log2(work / cost))))
    draws = max(1, int(work / cost / 2**depth))
    for name, model in models.items():
        energy, z = potential(model, N, D_H)
        kernel = NUTS(
            potential_fn=energy,
            step_size=1e-5,
            adapt_step_size=False,
            adapt_mass_matrix=False,
            max_tree_depth=depth,
        )
        state = jax.jit(lambda z, k=kernel: k.init(jax.random.key(0), 10, z, (), {}))(z)
        run = jax.jit(lambda state, k=kernel, n=draws: draw(k, (), state, n))
        runs[name] = functools.partial(run, state)
    return microseconds(runs)


def model_with(linear):
    """The model of bnn.py with another way to compute a layer."""

    def model(X, Y, D_H):
        with mock.patch.object(bnn, "linear", linear):
            bnn.model(X, Y, D_H)

    return model


def loops(layer_sizes, marginal_sizes, work):
    """Microseconds a leapfrog step, by size: with each of LINEAR; with --marginalize.

    The sum is left out where it is hopelessly slow.
    """
    use_cpu("ours")
    layers = []
    for N, D_H in layer_sizes:
        models = {name: model_with(linear) for name, linear in LINEAR.items()}
        if N * D_H**2 > 3e6:
            del models["sum"]
        layers.append(steps_in_the_loop(models, N, D_H, work))
    models = {name: MODELS[name] for name in ["ours", "marginalize"]}
    marginal = [steps_in_the_loop(models, N, D_H, work) for N, D_H in marginal_sizes]
    return {"layers": layers, "marginal": marginal}


# --------------------------------------------------------------------------------------
# Peers: the same data and posterior, in each one's own natural formulation


def plain_log_density(z, X, Y):
    """The log density of bnn.py in plain JAX, up to a constant, over log(prec_obs)."""
    f = jnp.tanh(jnp.tanh(X @ z["w1"]) @ z["w2"]) @ z["w3"]  # (N, 1)
    log_prec, prec = z["log_prec"], jnp.exp(z["log_prec"])
    log_prior = -0.5 * sum(jnp.sum(z[name] ** 2) for name in ["w1", "w2", "w3"])
    log_gamma = 3.0 * log_prec - prec  # with the Jacobian
    log_lik = 0.5 * len(Y) * log_prec - 0.5 * prec * jnp.sum((Y - f) ** 2)
    return log_prior + log_gamma + log_lik


def blackjax(X, Y, seed, num_warmup, num_samples):
    """Seconds and draws of BlackJAX."""
    import blackjax

    start = time.perf_counter()
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
    _, states = jax.lax.scan(
        lambda state, key: (step(key, state)[0],) * 2,
        state,
        jax.random.split(keys[2], num_samples),
    )
    z = jax.device_get(states.position)
    seconds = time.perf_counter() - start
    return seconds, {k: v[None] for k, v in z.items()} | {
        "prec_obs": np.exp(z["log_prec"])[None]
    }


def pymc_or_nutpie(which, X, Y, seed, num_warmup, num_samples):
    """Seconds and draws of PyMC, or of nutpie with PyMC's model."""
    import pymc

    if which == "nutpie":
        import nutpie

    start = time.perf_counter()
    with pymc.Model() as model:
        w1 = pymc.Normal("w1", shape=(3, 5))
        w2 = pymc.Normal("w2", shape=(5, 5))
        w3 = pymc.Normal("w3", shape=(5, 1))
        prec_obs = pymc.Gamma("prec_obs", 3.0, 1.0)
        f = pymc.math.tanh(pymc.math.tanh(X @ w1) @ w2) @ w3
        pymc.Normal("Y", f, tau=prec_obs, observed=Y)
        settings = dict(tune=num_warmup, draws=num_samples, chains=1)
        if which == "nutpie":
            compiled = nutpie.compile_pymc_model(model)
            trace = nutpie.sample(compiled, **settings, seed=seed, progress_bar=False)
        else:
            trace = pymc.sample(
                **settings, cores=1, random_seed=seed, progressbar=False
            )
    return time.perf_counter() - start, trace.posterior


def peer(which, *settings):
    """n_eff a second of a peer's NUTS: one chain, with warm-up and compilation."""
    jax.config.update("jax_platforms", "cpu")
    X, Y, *_ = bnn.get_data()
    if which == "blackjax":
        seconds, draws = blackjax(X, Y, *settings)
    else:
        seconds, draws = pymc_or_nutpie(which, X, Y, *settings)
    return {name: n / seconds for name, n in worst_n_eff(draws, X).items()}


# --------------------------------------------------------------------------------------
# The measurements of one Python


def clean_environment():
    """The user's environment without settings of XLA and JAX."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_"))}


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def child(python, task, *arguments):
    """Run a function of this file in a process of its own; return what it returns."""
    say(f"{task} {' '.join(map(str, arguments))}")
    command = [python, __file__, "--child", json.dumps([task, *arguments])]
    result = subprocess.run(
        command, env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def whole_process(python, which, flags, cache=None):
    """Seconds and peak memory of a whole run, n_eff a second of sampling.

    The second of two runs with the same cache folder finds it warm.
    """
    command = [python, *map(str, SCRIPTS[which]), *map(str, flags)]
    environment = clean_environment() | {"MPLBACKEND": "agg"}
    if cache:
        environment["JAX_COMPILATION_CACHE_DIR"] = os.path.join(cache, which)
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, printed)
    say(f"{which} {' '.join(map(str, flags))}: {seconds:.1f} s")
    sampling = float(re.search(r"elapsed time: ([\d.]+)", printed)[1])
    line = r"^ *(f|prec_obs)(?: at the training data)? +\S+ +(-?\d+|nan)$"
    n_eff = dict(re.findall(line, printed, re.M))
    return {
        "s": seconds,
        "MiB": usage.ru_maxrss / 1024,  # Linux counts KiB
        "f": float(n_eff["f"]) / sampling,
        "prec_obs": float(n_eff["prec_obs"]) / sampling,
    }


def median(runs, key):
    """The median of a key of each script's runs, in the order of SCRIPTS."""
    return [statistics.median(run[key] for run in runs[which]) for which in SCRIPTS]


def mean(runs, key):
    """The mean of a key of one script's runs."""
    return statistics.fmean(run[key] for run in runs)


FULL = {
    "draws": (1000, 2000),
    "seeds": 4,
    "repeats": 3,
    "step draws": 200,
    "gradient sizes": [(N, D_H) for N in (100, 1000, 10000) for D_H in (5, 20, 50)],
    "evaluations": 50_000,
    "layer sizes": [
        (N, D_H) for N in (100, 1000, 10000) for D_H in (2, 5, 6, 7, 10, 20, 50)
    ],
    "work": 30_000,
    "marginal sizes": [(1000, 20), (10000, 5)],
    "n_eff sizes": [(100, 5), (100, 10), (100, 20), (1000, 5), (1000, 20)],
    "n_eff draws": (200, 200),
    "n_eff seeds": 2,
    "GPU chains": [4, 64, 1024],
    "GPU draws": (200, 200),
}
QUICK = FULL | {
    "draws": (4, 4),
    "seeds": 1,
    "repeats": 0,
    "step draws": 4,
    "gradient sizes": [(100, 5)],
    "evaluations": 500,
    "layer sizes": [(7, 2)],
    "work": 1000,
    "marginal sizes": [(7, 2)],
    "n_eff sizes": [(100, 5)],
    "n_eff draws": (4, 4),
    "n_eff seeds": 1,
    "GPU chains": [],
}


def draws_flags(draws):
    return ["--num-warmup", draws[0], "--num-samples", draws[1]]


def measure(python, plan, peers):
    """Measure all that the plan names with one Python."""
    found = {"about": child(python, "about")}
    defaults = draws_flags(plan["draws"])
    first, warm, four, fixed, many, inner = (
        {which: [] for which in SCRIPTS} for _ in range(6)
    )
    rates = {which: [] for which in peers}
    for seed in range(plan["seeds"]):
        flags = [*defaults, "--seed", seed]
        with tempfile.TemporaryDirectory() as cache:
            for which in SCRIPTS:
                first[which].append(whole_process(python, which, flags, cache))
            if seed < plan["repeats"]:
                for which in SCRIPTS:
                    warm[which].append(whole_process(python, which, flags, cache))
        for which in peers:
            rates[which].append(child(python, "peer", which, seed, *plan["draws"]))

    no_warmup = ["--num-warmup", 0, "--num-samples"]
    for seed in range(plan["repeats"]):
        for runs, flags in [
            (four, [*defaults, "--num-chains", 4]),
            (fixed, [*no_warmup, 4]),
            # memory does not depend on the warm-up, and paths are short without it
            (many, [*no_warmup, 2000, "--num-chains", 16]),
        ][: 3 if seed == 0 else 2]:  # memory hardly varies
            for which in SCRIPTS:
                run = whole_process(python, which, [*flags, "--seed", seed])
                runs[which].append(run)
    sizes = plan["gradient sizes"]
    for _ in range(max(1, plan["repeats"])):
        for which in SCRIPTS:
            settings = (plan["step draws"], sizes, plan["evaluations"])
            result = child(python, "step_and_gradients", which, *settings)
            costs = {
                str(s): us for s, us in zip(sizes, result["gradients"], strict=True)
            }
            inner[which].append({"step": result["step"], **costs})

    found["rows"] = rows = [("whole process, first run", "s", median(first, "s"))]
    if plan["repeats"]:
        rows += [
            ("whole process, warm compilation cache", "s", median(warm, "s")),
            ("whole process, 4 chains, first run", "s", median(four, "s")),
            ("fixed cost (0 + 4 draws), first run", "s", median(fixed, "s")),
        ]
    rows.append(("leapfrog step", "us", median(inner, "step")))
    for N, D_H in sizes:
        what = f"gradient, {N} data, {D_H} units a layer"
        rows.append((what, "us", median(inner, str((N, D_H)))))
    for name in ["f", "prec_obs"]:
        values = [mean(first[which], name) for which in SCRIPTS]
        rows.append((f"n_eff a second, {name}", "1/s", values))
    rows.append(("peak memory, 1 chain", "MiB", median(first, "MiB")))
    if plan["repeats"]:
        rows.append(("peak memory, 16 chains", "MiB", median(many, "MiB")))

    sizes = (plan["layer sizes"], plan["marginal sizes"])
    found |= child(python, "loops", *sizes, plan["work"])
    found["n_eff"] = []
    for N, D_H in plan["n_eff sizes"]:
        runs = {"ours": [], "marginalize": []}
        for seed in range(plan["n_eff seeds"]):
            flags = draws_flags(plan["n_eff draws"])
            flags += ["--num-data", N, "--num-hidden", D_H, "--seed", seed]
            for which in runs:
                runs[which].append(whole_process(python, which, flags))
        found["n_eff"].append({which: mean(runs[which], "f") for which in runs})

    found["peers"] = {
        which: [mean(runs, name) for name in ["f", "prec_obs"]]
        for which, runs in {**first, **rates}.items()
    }
    found["gpu"] = []
    for chains in plan["GPU chains"] if found["about"]["gpus"] else []:
        flags = [*draws_flags(plan["GPU draws"]), "--num-chains", chains]
        gpu = [*flags, "--device", "gpu"]
        runs = [("textbook", gpu), ("ours", gpu), ("ours", flags)]
        seconds = [whole_process(python, which, f)["s"] for which, f in runs]
        found["gpu"].append((chains, seconds))
    return found


# --------------------------------------------------------------------------------------
# The tables


def number(x):
    """Three digits, as 1040 rather than 1.04e+03."""
    return f"{float(f'{x:.3g}'):g}"


def ratio(x, y):
    return f"{x / y:.2f}" if y else "nan"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def main_table(found):
    rows = []
    for what, unit, (textbook, ours, marginalize) in found["rows"]:
        cells = [f"{number(x)} {unit}" for x in (textbook, ours, marginalize)]
        cells.insert(2, ratio(ours, textbook))
        rows.append([what, *cells, ratio(marginalize, textbook)])
    return table(["", "textbook", "ours", "ratio", "`--marginalize`", "ratio"], rows)


def layer_table(found, plan):
    rows, ratios = [], {}
    for (N, D_H), costs in zip(plan["layer sizes"], found["layers"], strict=True):
        best = min(costs["@"], costs.get("sum", math.inf))
        ratios[N, D_H] = costs["bnn.linear"] / best
        cells = [number(costs[name]) if name in costs else "" for name in LINEAR]
        rows.append([N, D_H, *cells, f"{ratios[N, D_H]:.2f}"])
    N, D_H = max(ratios, key=ratios.get)
    return (
        f"The worst ratio is {ratios[N, D_H]:.2f}, with {N} data and {D_H} units.\n\n"
        + table(["data", "units", "`@`", "sum", "`bnn.linear`", "ratio"], rows)
    )


def marginal_table(found, plan):
    rows = []
    for what, unit, sizes, results in [
        ("n_eff a second, f", "1/s", plan["n_eff sizes"], found["n_eff"]),
        ("leapfrog step", "us", plan["marginal sizes"], found["marginal"]),
    ]:
        for (N, D_H), costs in zip(sizes, results, strict=True):
            ours, marginalize = costs["ours"], costs["marginalize"]
            cells = [f"{number(x)} {unit}" for x in (ours, marginalize)]
            rows.append([what, N, D_H, *cells, ratio(marginalize, ours)])
    return table(["", "data", "units", "ours", "`--marginalize`", "ratio"], rows)


def peer_table(found):
    labels = {"marginalize": "ours, `--marginalize`", "blackjax": "BlackJAX"}
    labels["pymc"] = "PyMC"
    rows = [
        [labels.get(which, which), *map(number, values)]
        for which, values in found["peers"].items()
    ]
    return table(["", "f", "prec_obs"], rows)


def gpu_table(found):
    rows = [[chains, *map(number, seconds)] for chains, seconds in found["gpu"]]
    header = ["chains", "textbook, GPU", "ours, GPU", "ours, CPU"]
    return table(header, rows)


INTRODUCTION = """\
# How fast bnn.py is

Written by `{command}`.

*Textbook* is the same example as people run it today: rows are data, data made with
`jax.numpy`, NumPyro's and XLA's defaults, eager prediction. The three take turns in one
run, each measurement in a process of its own. Times and memory are medians; `n_eff` is
the mean over {seeds} seed(s), of the worst function value `f` and of `prec_obs`, for
one chain, divided by the printed `MCMC elapsed time`, warm-up and compilation included.
A ratio is that to the textbook: for times and memory, less is better; for `n_eff` a
second, more is. The row of the leapfrog step contains what a draw costs beside its
steps.
"""

SECTION = """
## Python {python}

{date}, {machine}; {versions}; {warmup} + {samples} draws.

{main}

### A layer: the sum of products, or `@`?

Microseconds a leapfrog step, with one way in every layer and with `bnn.linear`, which
chooses; the ratio is that of `bnn.linear` to the better of the two. They take turns in
one process. For large sizes the sum is left out: it is hopelessly slow there.

{layers}

### For which sizes does `--marginalize` pay?

`n_eff` a second of whole runs with {n_eff_draws} draws, the mean over {n_eff_seeds}
seed(s), compilation included; and leapfrog steps that take turns in one process. The
ratio is that of `--marginalize` to the plain model.

{marginal}

### Peers

`n_eff` a second of NUTS with one chain, the same number of draws, warm-up and
compilation included, the mean over {seeds} seed(s). Each peer has its own natural
formulation: PyMC and nutpie a PyMC model with rows for data; BlackJAX a log density in
plain JAX, written by hand, with rows for data, matrix products and `log(prec_obs)`.
PyMC 6 has nutpie sample its model, where nutpie is installed.

{peers}

### GPU

{gpu}
"""

NO_GPU = """\
GPU: not measured, as JAX finds none here. On a machine with an NVIDIA GPU, this does:
`python -m pip install -U "jax[cuda13]>=0.7.2,<0.13" &&
python tests/benchmark.py --write`."""
NO_PEERS = """
Not measured here: {}. This does: `python -m pip install -r
tests/requirements-peers.txt && python tests/benchmark.py --write --peers {}`."""


def section(found, plan):
    """The tables of one Python."""
    peers = peer_table(found)
    missing = [which for which in PEERS if which not in found["peers"]]
    if missing:
        peers += "\n" + NO_PEERS.format(", ".join(missing), " ".join(missing))
    gpu = NO_GPU
    if found["gpu"]:
        gpu = (
            f"{found['about']['gpus'][0]}: seconds of one whole first run with "
            f"{plan['GPU draws'][0]} + {plan['GPU draws'][1]} draws; the textbook "
            f"draws its chains in step.\n\n{gpu_table(found)}"
        )
    return SECTION.format(
        **found["about"],
        date=datetime.date.today().isoformat(),
        warmup=plan["draws"][0],
        samples=plan["draws"][1],
        seeds=plan["seeds"],
        n_eff_draws=" + ".join(map(str, plan["n_eff draws"])),
        n_eff_seeds=plan["n_eff seeds"],
        main=main_table(found),
        layers=layer_table(found, plan),
        marginal=marginal_table(found, plan),
        peers=peers,
        gpu=gpu,
    )


def main():
    """Measure, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="tiny sizes: does the benchmark run?")
    add("--peers", nargs="+", choices=PEERS, default=[], help="measure these, too")
    path = ROOT / "tests" / "BENCHMARK.md"
    add(
        "--write", nargs="?", const=path, metavar="FILE", help="write BENCHMARK.md, too"
    )
    text = "measure with this Python; may be given again"
    add("--python", action="append", metavar="PATH", help=text)
    args = parser.parse_args()
    plan = QUICK if args.quick else FULL

    flags = ["--quick"] * args.quick + ["--python PATH"] * len(args.python or [])
    flags += ["--peers", *args.peers] if args.peers else []
    command = " ".join(["python tests/benchmark.py --write", *flags])
    text = INTRODUCTION.format(command=command, seeds=plan["seeds"])
    for python in args.python or [sys.executable]:
        text += section(measure(python, plan, args.peers), plan)
    print(text)
    if args.write:
        pathlib.Path(args.write).write_text(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--textbook"]:
        textbook_main(sys.argv[2:])
    elif sys.argv[1:2] == ["--child"]:
        task, *arguments = json.loads(sys.argv[2])
        tasks = [about, step_and_gradients, loops, peer]
        measurement = {function.__name__: function for function in tasks}[task]
        print(json.dumps(measurement(*arguments), default=float))
    else:
        main()
