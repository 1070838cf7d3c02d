"""Benchmark bnn.py against the textbook formulation of the same example.

    python tests/benchmark.py            about 20 minutes on 2 cores
    python tests/benchmark.py --quick    under 2 minutes, shorter chains

Each comparison alternates all in one run and quotes the ratio of medians: the textbook
formulation, ``bnn.py``, and ``bnn.py --marginalize``. The textbook formulation is what
people run today: rows are data, data with ``jax.numpy``, NumPyro's and XLA's defaults,
eager prediction.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import initialize_model
from tqdm import tqdm

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
    for flag, default in {"samples": 2000, "warmup": 1000, "chains": 1}.items():
        parser.add_argument(f"--num-{flag}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(flags)
    if args.device == "cpu":
        numpyro.set_platform("cpu")
    numpyro.set_host_device_count(args.num_chains)

    X, Y, X_test = textbook_data(100)
    key, key_predict = jax.random.split(jax.random.PRNGKey(0))
    start = time.time()
    mcmc = MCMC(
        NUTS(textbook_model),
        num_warmup=args.num_warmup,
        num_samples=args.num_samples,
        num_chains=args.num_chains,
        progress_bar=False,
    )
    mcmc.run(key, X, Y, 5)
    mcmc.print_summary()
    print("\nMCMC elapsed time:", time.time() - start)

    def predict(key, draw, X):
        model = handlers.substitute(handlers.seed(textbook_model, key), draw)
        return handlers.trace(model).get_trace(X, None, 5)["Y"]["value"]

    draws = mcmc.get_samples()
    keys = jax.random.split(key_predict, args.num_samples * args.num_chains)
    Y_draws = jax.vmap(lambda key, draw: predict(key, draw, X_test))(keys, draws)[
        ..., 0
    ]
    mean = jnp.mean(Y_draws, axis=0)
    low, high = np.percentile(Y_draws, [5.0, 95.0], axis=0)
    fig, ax = plt.subplots(figsize=(8, 6), constrained_layout=True)
    ax.plot(X[:, 1], Y[:, 0], "kx")
    ax.fill_between(X_test[:, 1], low, high, color="lightblue")
    ax.plot(X_test[:, 1], mean, "blue", ls="solid", lw=2.0)
    ax.set(xlabel="X", ylabel="Y", title="Mean predictions with 90% CI")
    plt.savefig("bnn_plot.pdf")

    # for the benchmark's n_eff a second; not part of the example's time
    by_chain = mcmc.get_samples(group_by_chain=True)
    w1, w2, w3 = (np.asarray(by_chain[name]) for name in ["w1", "w2", "w3"])
    f = np.tanh(np.tanh(np.asarray(X) @ w1) @ w2) @ w3
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, x in {"f": f, "prec_obs": np.asarray(by_chain["prec_obs"])}.items():
            print(f"{name} 0.0 {np.min(effective_sample_size(x)):.0f}")


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


# --------------------------------------------------------------------------------------
# One measurement, in a process of its own: print a JSON object


def microseconds_a_step(which, iterations):
    """Microseconds a leapfrog step at the defaults.

    The floor is NUTS over the same 46 parameters without a model: free motion, so no
    trajectory turns and every tree is full. It is measured under XLA's defaults, as the
    textbook formulation is, and under the flags that bnn.py sets.
    """
    if which in ["textbook", "floor"]:
        jax.config.update("jax_platforms", "cpu")
    else:
        bnn.use_device("cpu", num_chains=1)
    X, Y, _ = bnn.get_data()
    if which.startswith("floor"):
        kernel = NUTS(
            potential_fn=lambda z: 0.0 * sum(jnp.sum(v) for v in z.values()),
            adapt_step_size=False,
        )
        shapes = {"w1": (3, 5), "w2": (5, 5), "w3": (5, 1), "prec_obs": ()}
        args, params = (), {name: jnp.ones(shape) for name, shape in shapes.items()}
    else:
        kernel = NUTS(MODELS[which])
        args, params = (X, Y, 5), None
    state = kernel.init(jax.random.key(0), iterations, params, args, {})

    @jax.jit
    def run(state):
        def body(carry, _):
            state, steps = carry
            state = kernel.sample(state, args, {})
            return (state, steps + state.num_steps), None

        return jax.lax.scan(body, (state, 0), None, length=iterations)[0]

    state, _ = run(state)  # warm-up, and compilation
    times = []
    for _ in range(3):
        start = time.perf_counter()
        state, steps = jax.block_until_ready(run(state))
        times.append((time.perf_counter() - start) / int(steps) * 1e6)
    return statistics.median(times)


def gradient_costs(sizes, evaluations):
    """Microseconds a gradient, of each of MODELS, for each (N, D_H), alternating."""
    jax.config.update("jax_platforms", "cpu")
    costs = {}
    for N, D_H in sizes:
        X, Y, _ = bnn.get_data(N=N)
        repeat = max(3, evaluations // (N * D_H))
        candidates = []
        for model in MODELS.values():
            info = initialize_model(jax.random.key(0), model, model_args=(X, Y, D_H))
            gradient = jax.grad(info.potential_fn)

            def descend(z, gradient=gradient, repeat=repeat):
                def body(z, _):
                    return jax.tree.map(lambda a, g: a - 1e-6 * g, z, gradient(z)), None

                return jax.lax.scan(body, z, None, length=repeat)[0]

            candidates.append((jax.jit(descend), info.param_info.z))
        times = [[] for _ in candidates]
        for _ in range(6):
            for i, (run, z) in enumerate(candidates):
                start = time.perf_counter()
                jax.block_until_ready(run(z))
                times[i].append((time.perf_counter() - start) / repeat * 1e6)
        costs[f"{N}, {D_H}"] = [statistics.median(t[1:]) for t in times]
    return costs


def peer(which, num_warmup, num_samples):
    """Seconds and n_eff of a peer's NUTS, one chain, on the same data and model."""
    X, Y, _ = bnn.get_data()
    start = time.perf_counter()
    if which == "blackjax":
        import blackjax

        key = jax.random.key(0)
        info = initialize_model(
            key, bnn.model, model_args=(X, Y, 5), dynamic_args=False
        )
        log_density = jax.jit(lambda z: -info.potential_fn(z))
        warmup = blackjax.window_adaptation(blackjax.nuts, log_density)
        (state, settings), _ = warmup.run(key, info.param_info.z, num_warmup)
        step = blackjax.nuts(log_density, **settings).step
        body = jax.jit(lambda state, key: (step(key, state)[0],) * 2)
        _, states = jax.lax.scan(body, state, jax.random.split(key, num_samples))
        sites = jax.block_until_ready(jax.vmap(info.postprocess_fn)(states.position))
        draws = {name: np.asarray(sites[name])[None] for name in sites}
    else:
        import pymc as pm

        with pm.Model() as model:
            w1 = pm.Normal("w1", shape=(3, 5))
            w2 = pm.Normal("w2", shape=(5, 5))
            w3 = pm.Normal("w3", shape=(5, 1))
            prec_obs = pm.Gamma("prec_obs", 3.0, 1.0)
            f = pm.math.tanh(pm.math.tanh(X @ w1) @ w2) @ w3
            pm.Normal("Y", f, tau=prec_obs, observed=Y)
        settings = dict(tune=num_warmup, draws=num_samples, chains=1)
        if which == "nutpie":
            import nutpie

            compiled = nutpie.compile_pymc_model(model)
            trace = nutpie.sample(compiled, **settings, seed=0, progress_bar=False)
        else:
            with model:
                trace = pm.sample(**settings, cores=1, random_seed=0, progressbar=False)
        names = ["w1", "w2", "w3", "prec_obs"]
        draws = {name: np.asarray(trace.posterior[name]) for name in names}
    seconds = time.perf_counter() - start
    f = np.tanh(np.tanh(X @ draws["w1"]) @ draws["w2"]) @ draws["w3"]
    n_eff = effective_sample_size(draws["prec_obs"])
    return {"s": seconds, "f": effective_sample_size(f).min(), "prec_obs": n_eff}


# --------------------------------------------------------------------------------------
# The table


def child(*arguments):
    """Run this file for one measurement and return what it found."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, __file__, "--child", json.dumps(arguments)]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def whole_process(script, flags, cache):
    """Seconds and peak memory of a whole run, n_eff a second of sampling."""
    command = SCRIPTS[script]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {
        **({"JAX_COMPILATION_CACHE_DIR": cache} if cache else {}),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "MPLBACKEND": "agg",
    }
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *map(str, command), *map(str, flags)],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, printed)
    sampling = float(re.search(r"elapsed time: ([\d.]+)", printed)[1])
    last = re.findall(r"(?:f|data|prec_obs) +\S+ +(-?\d+|nan)$", printed, re.M)
    return {
        "s": seconds,
        "MiB": usage.ru_maxrss / 1024,  # Linux counts KiB
        "f": float(last[-2]) / sampling,
        "prec_obs": float(last[-1]) / sampling,
    }


def compare(flags, repeats, bar):
    """Alternate the scripts; return the medians of their first and second runs.

    The first run starts with an empty compilation cache, the second finds it warm.
    """
    runs = {(script, run): [] for run in (1, 2) for script in SCRIPTS}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for (script, _), results in runs.items():
                folder = os.path.join(cache, script)
                results.append(whole_process(script, flags, folder))
                bar.update()
    return {
        key: {k: statistics.median(r[k] for r in results) for k in results[0]}
        for key, results in runs.items()
    }


def machine():
    """What it ran on."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    names = ["numpyro", "jax", "numpy", "matplotlib"]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {model[1] if model else 'unknown'}",
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
    }


def main():
    """Measure, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter, fewer runs")
    parser.add_argument(
        "--peers", action="store_true", help="BlackJAX, PyMC and nutpie"
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--num-samples", type=int, help="draws (default 2000)")
    parser.add_argument("--num-warmup", type=int, help="warm-up (default 1000)")
    args = parser.parse_args()
    default = (50, 50) if args.quick else (2000, 1000)
    num_samples = args.num_samples or default[0]
    num_warmup = args.num_warmup or default[1]
    flags = ["--num-samples", num_samples, "--num-warmup", num_warmup]
    repeats = 1 if args.quick else 2
    widths = (5, 50) if args.quick else (5, 20, 50)
    lengths = (100, 1000) if args.quick else (100, 1000, 10000)
    sizes_in_memory = [(1, 2000), (1, 32000), (4, 2000), (16, 2000)]
    sizes_in_memory = [(1, num_samples)] if args.quick else sizes_in_memory
    peers = ["blackjax", "pymc", "nutpie"] if args.peers else []
    wholes = {
        "whole process": (flags, repeats),
        "whole process, 4 chains": ([*flags, "--num-chains", 4], 1),
        "fixed cost": (["--num-samples", 4, "--num-warmup", 0], repeats),
    }
    if args.quick:
        del wholes["fixed cost"], wholes["whole process, 4 chains"]
    try:
        gpu = bool(jax.devices("gpu"))
    except RuntimeError:
        gpu = False
    rows = []

    def row(what, unit, textbook, ours, marginalize=None):
        values = {"textbook": textbook, "ours": ours, "marginalize": marginalize}
        rows.append({"what": what, "unit": unit, **values})

    total = (
        6 * sum(n for _, n in wholes.values())
        + 6
        + len(sizes_in_memory)
        + len(peers)
        + 21 * gpu
    )
    with tqdm(total=total, disable=None) as bar:
        results = {name: compare(f, n, bar) for name, (f, n) in wholes.items()}
        for name, found in results.items():
            for run, cache in {1: "first run", 2: "warm cache"}.items():
                seconds = [found[script, run]["s"] for script in SCRIPTS]
                row(f"{name}, {cache}", "s", *seconds)
        defaults = [results["whole process"][script, 1] for script in SCRIPTS]

        steps = {}
        for which in [*MODELS, "floor", "floor, our flags"]:
            steps[which] = child("step", which, min(num_warmup, 200))
            bar.update()
        row("leapfrog step", "us", *(steps[which] for which in MODELS))
        for which in ["floor", "floor, our flags"]:
            row(f"leapfrog step: {which} / ours", "us", steps[which], steps["ours"])

        sizes = [(N, D_H) for N in lengths for D_H in widths]
        costs = child("gradient", sizes, 20_000 if args.quick else 200_000)
        bar.update()
        for size, cost in costs.items():
            row(f"gradient, (N, D_H) = ({size})", "us", *cost)

        for site in ["f", "prec_obs"]:
            rates = [found[site] for found in defaults]
            row(f"n_eff a second: {site}", "1/s", *rates)
        for which in peers:
            found = child("peer", which, num_warmup, num_samples)
            bar.update()
            for site in ["f", "prec_obs"]:
                theirs = found[site] / found["s"]
                ours = defaults[1][site]
                row(f"n_eff a second: {site}, {which} / ours", "1/s", theirs, ours)

        for chains, draws in sizes_in_memory:
            # without warm-up every trajectory is short; memory does not depend on it
            short = ["--num-samples", draws, "--num-warmup", 0, "--num-chains", chains]
            found = [whole_process(script, short, None)["MiB"] for script in SCRIPTS]
            bar.update()
            row(f"peak memory, {chains} chain(s) of {draws} draws", "MiB", *found)

        for chains in [4, 64, 1024] if gpu else ():
            many = [*flags, "--num-chains", chains]
            cpu = whole_process("ours", many, None)["s"]
            bar.update()
            found = compare([*many, "--device", "gpu"], 1, bar)
            seconds = [found[script, 1]["s"] for script in SCRIPTS]
            row(f"GPU, {chains} chains, first run", "s", *seconds)
            row(f"GPU, {chains} chains: our CPU / our GPU", "s", cpu, seconds[1])

    about = machine()
    print(f"{about['date']}, {about['machine']}; {about['versions']}; ", end="")
    print(
        f"{num_warmup} + {num_samples} draws{'' if gpu else '; no GPU: not measured'}\n"
    )
    print("| | textbook | ours | ratio | `--marginalize` | ratio |")
    print("|---|---|---|---|---|---|")
    for r in rows:
        cells = [f"{r['textbook']:.3g} {r['unit']}"]
        for value in [r["ours"], r["marginalize"]]:
            if value is None:
                cells += ["", ""]
            else:
                ratio = value / r["textbook"] if r["textbook"] else float("nan")
                cells += [f"{value:.3g} {r['unit']}", f"{ratio:.2f}"]
        print(f"| {r['what']} | {' | '.join(cells)} |")
    if args.json:
        pathlib.Path(args.json).write_text(
            json.dumps({**about, "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--textbook"]:
        matplotlib.use("agg")
        textbook_main(sys.argv[2:])
    elif sys.argv[1:2] == ["--child"]:
        task, *arguments = json.loads(sys.argv[2])
        measure = {
            "step": microseconds_a_step,
            "gradient": gradient_costs,
            "peer": peer,
        }
        print(json.dumps(measure[task](*arguments), default=float))
    else:
        main()
