"""The tables of RESULTS.md: a function measures each part of the plan.

What is measured runs in processes of its own, without the user's XLA and JAX flags.
"""

import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import fmean, median
from tempfile import TemporaryDirectory

from tabulate import tabulate

HERE = pathlib.Path(__file__).parent
SCRIPTS = {"textbook": HERE / "textbook.py", "ours": HERE.parents[1] / "bnn.py"}
RATES = ["f", "prec_obs"]  # of n_eff, per second
PATHS = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k[:4] not in ("XLA_", "JAX_")}
ENVIRONMENT |= {"PYTHONPATH": os.pathsep.join(PATHS), "MPLBACKEND": "agg"}
ENVIRONMENT["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # where there is one
IN_LOOPS = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"


def process(command, **environment):
    """What a process in an empty folder prints, its seconds and its peak MiB."""
    print(time.strftime("%X"), *command[1:], environment, file=sys.stderr, flush=True)
    settings = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    settings["env"] = ENVIRONMENT | environment
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, **settings)  # without a terminal
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command} ended with {child.returncode}: {printed}")
    return printed, seconds, usage.ru_maxrss / 1024  # Linux counts KiB


def call(python, function, *arguments, **environment):
    """What a function of this folder returns, called in a process of its own."""
    module = f"benchmark.{function.split('.')[0]}"
    result = f"json.dumps(benchmark.{function}{arguments}, default=float)"
    code = f"import json, {module}; print('\\nfound', {result})"
    printed = process([python, "-c", code], **environment)[0]
    found = re.search("^found (.*)", printed, re.M)[1]
    print(time.strftime("%X"), function, *arguments, found, file=sys.stderr, flush=True)
    return json.loads(found)


def whole_run(python, which, num_warmup, draws, chains, *flags, **environment):
    """Seconds and peak MiB of a whole run, n_eff per second of sampling."""
    sizes = ["--num-warmup", num_warmup, "--num-samples", draws, "--num-chains", chains]
    command = [str(word) for word in [python, SCRIPTS[which], *sizes, *flags]]
    printed, seconds, memory = process(command, **environment)
    sampling = float(re.search(r"elapsed time: ([\d.]+)", printed)[1])
    n_eff = dict(re.findall(r"^ *(f|prec_obs) +\S+ +(-?\d+|nan)$", printed, re.M))
    # n_eff of a few draws is perhaps 0 or nan
    rates = {name: (float(n_eff[name]) or float("nan")) / sampling for name in RATES}
    return {"seconds": seconds, "MiB": memory, **rates}


def runs(python, plan):
    """Whole runs of both forms."""
    rows = []
    with TemporaryDirectory() as cache:  # warm for the same settings again
        for what, (*settings, seeds, keys) in plan.items():
            found = {which: [] for which in SCRIPTS}
            for seed, which in itertools.product(range(seeds), SCRIPTS):
                env = {"JAX_COMPILATION_CACHE_DIR": f"{cache}/{which}{settings}{seed}"}
                run = whole_run(python, which, *settings, "--seed", seed, **env)
                found[which].append(run)
            for key in keys:
                average = fmean if key in RATES else median
                row = {which: average(x[key] for x in found[which]) for which in found}
                row["ours / textbook"] = row["ours"] / row["textbook"]
                rows.append({"": f"{what}, {key}", **row})
    return markdown(rows)


def peers(python, plan):
    """n_eff per second of BlackJAX, which is measured where it is installed."""
    draws = plan["draws"]
    if "blackjax" not in call(python, "loops.about")["on"]:
        return "Not measured here, as it is not installed."
    ours, theirs = [], []
    for seed in range(plan["seeds"]):
        ours.append(whole_run(python, "ours", *draws, 1, "--seed", seed))
        theirs.append(call(python, "loops.blackjax_rates", seed, *draws))
    return markdown(
        {"": name} | {key: fmean(x[key] for x in rates) for key in RATES}
        for name, rates in {"ours": ours, "BlackJAX": theirs}.items()
    )


def tricks(python, plan):
    """Whole runs without one of the tricks for speed."""

    def run(change, xla_flags):
        code = f"import bnn\n{change}\nbnn.main({plan['flags']})"
        return process([python, "-c", code], XLA_FLAGS=xla_flags)[1]

    ways = {name: partial(run, *trick) for name, trick in plan["ways"].items()}
    found = medians(ways, plan["repeats"])
    base = next(iter(found.values()))
    return markdown({"": k, "seconds": x, "ratio": x / base} for k, x in found.items())


def layers(python, plan):
    """A step on a CPU core with each way to compute a layer."""
    step = partial(call, python, "loops.step", "cpu")
    return markdown(
        {"data": N, "units": D_H}
        | {way: step(way, N, D_H, 1)["us"] for way in plan["ways"]}
        for N, D_H in plan["sizes"]
    )


def devices(python, plan):
    """Inference where chains share devices."""
    measure = partial(call, python, "loops.inference", JAX_PLATFORMS="cpu")
    rows = []
    for *sizes, many in plan["rows"]:
        count = {"all": many, "one": 1, "": 0}
        ways = {
            name: partial(measure, count[which], method, *sizes)
            for name, (which, method) in plan["ways"].items()
        }
        row = {"chains": sizes[2], "draws": "{} + {}".format(*sizes), "devices": many}
        rows.append(row | medians(ways, plan["repeats"]))
    return markdown(rows)


def gpu(python, plan):
    """A step on a CPU core, then on a GPU, where there is one."""
    device, run, rows = plan["device"], plan["run"], plan["rows"]
    sizes = dict.fromkeys((N, D_H) for form, N, D_H, _ in rows if form == "ours")
    tables = layers(python, {"ways": ["ours"], "sizes": sizes})
    if device == "gpu" and not call(python, "loops.about")["gpu"]:
        return f"{tables}\n\nGPU: not measured here, as JAX finds none."
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # by processes at a time
    measure = partial(call, python, "loops.step", device, **shared)
    with ThreadPoolExecutor(16) as pool:  # they compile side by side, then take turns
        by_default = pool.map(lambda row: measure(*row), rows)
        in_loops = pool.map(lambda row: measure(*row, XLA_FLAGS=IN_LOOPS), rows)
        tables += "\n\n" + markdown(
            dict(zip(["form", "data", "units", "chains"], row, strict=True))
            | {"us": plain["us"], "us, in loops": other["us"], "GiB": plain["GiB"]}
            for row, plain, other in zip(rows, by_default, in_loops, strict=True)
        )
    seconds = whole_run(python, "ours", *run, "--device", device)["seconds"]
    line = "`--num-warmup {} --num-samples {} --num-chains {} --device".format(*run)
    return f"{tables}\n\nThe whole line, {line} {device}`: {seconds:.0f} s."


def medians(ways, repeats):
    """The median of what each way returns; the ways take turns."""
    found = {name: [] for name in ways}
    for name in [*ways] * repeats:
        found[name].append(ways[name]())
    return {name: median(values) for name, values in found.items()}


def markdown(rows):
    """A table in Markdown, with three digits: 1040 rather than 1.04e+03."""
    short = lambda x: f"{float(f'{x:.3g}'):g}" if isinstance(x, float) else x  # noqa: E731
    rows = [{name: short(x) for name, x in row.items()} for row in rows]
    return tabulate(rows, "keys", "github", disable_numparse=True)
