"""The tables of RESULTS.md: a function measures each part of the plan.

What is measured runs in processes of its own, without the user's XLA and JAX flags.
"""

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
ROOT = HERE.parents[1]
SCRIPTS = {"textbook": HERE / "textbook.py", "ours": ROOT / "bnn.py"}
RATES = ["f", "prec_obs"]  # of n_eff, per second
# the user's XLA_FLAGS; each form has the one or the other by default
BY_DEFAULT = ""
IN_LOOPS = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"
LOOPS_OFF = "--xla_gpu_enable_command_buffer=-WHILE,-CONDITIONAL"


def clean_environment():
    """The user's environment without flags, in which the benchmark is found."""
    paths = [str(ROOT), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = dict(os.environ)
    for name in os.environ:
        if name.startswith(("XLA_", "JAX_")):
            del environment[name]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["MPLBACKEND"] = "agg"
    # where there is a cache
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return environment


ENVIRONMENT = clean_environment()


def log(*words):
    """Tell on stderr what is measured, and when."""
    print(time.strftime("%X"), *words, file=sys.stderr, flush=True)


def process(command, **environment):
    """What a process in an empty folder prints, its seconds and its peak MiB."""
    log(*command[1:], environment)
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=ENVIRONMENT | environment,
            stdout=subprocess.PIPE,  # it has no terminal
            stderr=subprocess.STDOUT,
            text=True,
        )
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command} ended with {child.returncode}: {printed}")
    return printed, seconds, usage.ru_maxrss / 1024  # Linux counts KiB


def call(python, function, *arguments, **environment):
    """What a function of this folder returns, called in a process of its own."""
    module, _ = function.split(".")
    result = f"json.dumps(benchmark.{function}{arguments}, default=float)"
    code = f"import json, benchmark.{module}; print('\\nfound', {result})"
    printed, _, _ = process([python, "-c", code], **environment)
    found = re.search("^found (.*)", printed, re.M)[1]
    log(function, *arguments, found)
    return json.loads(found)


def whole_run(python, which, num_warmup, draws, chains, *flags, **environment):
    """Seconds and peak MiB of a whole run, n_eff per second of sampling."""
    command = [python, SCRIPTS[which], *flags]
    command += ["--num-warmup", num_warmup]
    command += ["--num-samples", draws]
    command += ["--num-chains", chains]
    as_text = [str(word) for word in command]
    printed, seconds, memory = process(as_text, **environment)
    measured = {"seconds": seconds, "MiB": memory}
    sampling = re.search(r"elapsed time: ([\d.]+)", printed)[1]
    n_eff = dict(re.findall(r"^ *(f|prec_obs) +\S+ +(-?\d+|nan)$", printed, re.M))
    for name in RATES:
        # n_eff of a few draws is perhaps 0 or nan
        value = float(n_eff[name]) or float("nan")
        measured[name] = value / float(sampling)
    return measured


def runs(python, plan):
    """Whole runs of both forms."""
    rows = []
    with TemporaryDirectory() as cache:  # warm for the same settings again
        for what, (*settings, num_seeds, keys) in plan.items():
            found = both_forms(python, settings, num_seeds, cache)
            for key in keys:
                rows.append(comparison(f"{what}, {key}", key, found))
    return markdown(rows)


def both_forms(python, settings, num_seeds, cache):
    """The runs of each form, which take turns."""
    found = {which: [] for which in SCRIPTS}
    for seed in range(num_seeds):
        for which in SCRIPTS:
            folder = f"{cache}/{which}{settings}{seed}"
            run = whole_run(
                python,
                which,
                *settings,
                "--seed",
                seed,
                JAX_COMPILATION_CACHE_DIR=folder,
            )
            found[which].append(run)
    return found


def comparison(title, key, found):
    """The row that compares both forms in one respect."""
    average = fmean if key in RATES else median
    row = {"": title}
    for which, measured in found.items():
        row[which] = average(run[key] for run in measured)
    row["ours / textbook"] = row["ours"] / row["textbook"]
    return row


def peers(python, plan):
    """n_eff per second of BlackJAX, which is measured where it is installed."""
    draws = plan["draws"]
    about = call(python, "loops.about")
    if "blackjax" not in about["on"]:
        return "Not measured here, as it is not installed."
    ours = []
    theirs = []
    for seed in range(plan["seeds"]):
        ours.append(whole_run(python, "ours", *draws, 1, "--seed", seed))
        theirs.append(call(python, "loops.blackjax_rates", seed, *draws))
    rows = []
    for name, measured in {"ours": ours, "BlackJAX": theirs}.items():
        row = {"": name}
        for key in RATES:
            row[key] = fmean(run[key] for run in measured)
        rows.append(row)
    return markdown(rows)


def tricks(python, plan):
    """Whole runs without one of the tricks for speed."""

    def seconds_of_run(change, xla_flags):
        code = f"import bnn\n{change}\nbnn.main({plan['flags']})"
        _, seconds, _ = process([python, "-c", code], XLA_FLAGS=xla_flags)
        return seconds

    ways = {}
    for name, trick in plan["ways"].items():
        ways[name] = partial(seconds_of_run, *trick)
    found = medians(ways, plan["repeats"])
    as_it_is, *_ = found.values()
    rows = []
    for name, seconds in found.items():
        ratio = seconds / as_it_is
        rows.append({"": name, "seconds": seconds, "ratio": ratio})
    return markdown(rows)


def layers(python, plan):
    """A step on a CPU core with each way to compute a layer."""
    rows = []
    for N, D_H in plan["sizes"]:
        row = {"data": N, "units": D_H}
        for way in plan["ways"]:
            found = call(python, "loops.step", "cpu", way, N, D_H, 1)
            row[way] = found["us"]
        rows.append(row)
    return markdown(rows)


def devices(python, plan):
    """Inference where chains share devices."""
    measure = partial(call, python, "loops.inference", JAX_PLATFORMS="cpu")
    rows = []
    for num_warmup, num_samples, num_chains, num_devices in plan["rows"]:
        row = {
            "chains": num_chains,
            "draws": f"{num_warmup} + {num_samples}",
            "devices": num_devices,
        }
        counts = {"all": num_devices, "one": 1, "none": 0}
        sizes = [num_warmup, num_samples, num_chains]
        ways = {}
        for name, (which, method) in plan["ways"].items():
            ways[name] = partial(measure, counts[which], method, *sizes)
        rows.append(row | medians(ways, plan["repeats"]))
    return markdown(rows)


def gpu(python, plan):
    """A step on a CPU core, then on a GPU, where there is one."""
    sizes = []
    for form, N, D_H, _ in plan["rows"]:
        if form == "ours" and (N, D_H) not in sizes:
            sizes.append((N, D_H))
    on_cpu = layers(python, {"ways": ["ours"], "sizes": sizes})
    device = plan["device"]
    about = call(python, "loops.about")
    if device == "gpu" and not about["gpu"]:
        return f"{on_cpu}\n\nGPU: not measured here, as JAX finds none."
    on_gpu = steps_on(device, python, plan["rows"])
    run = whole_run(python, "ours", *plan["run"], "--device", device)
    line = "--num-warmup {} --num-samples {} --num-chains {}".format(*plan["run"])
    whole = f"The whole line, `{line} --device {device}`: {run['seconds']:.0f} s."
    return f"{on_cpu}\n\n{on_gpu}\n\n{whole}"


def steps_on(device, python, rows):
    """The table of steps on a GPU, whose loops ask the host or do not."""

    def measure(row, users_flags):
        flags = {"XLA_FLAGS": users_flags}
        flags["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # processes share the GPU
        return call(python, "loops.step", device, *row, **flags)

    def both_ways(row):
        form, N, D_H, num_chains = row
        by_default = measure(row, BY_DEFAULT)
        if form == "textbook":
            in_loops = measure(row, IN_LOOPS)
            loops_off = by_default
        else:
            in_loops = by_default
            loops_off = measure(row, LOOPS_OFF)
        return {
            "form": form,
            "data": N,
            "units": D_H,
            "chains": num_chains,
            "us, in loops": in_loops["us"],
            "us, loops off": loops_off["us"],
            "GiB": by_default["GiB"],
        }

    with ThreadPoolExecutor(16) as pool:  # they compile side by side, then take turns
        table = list(pool.map(both_ways, rows))
    return markdown(table)


def medians(ways, repeats):
    """The median of what each way returns; the ways take turns."""
    found = {name: [] for name in ways}
    for _ in range(repeats):
        for name, measure in ways.items():
            found[name].append(measure())
    return {name: median(values) for name, values in found.items()}


def markdown(rows):
    """A table in Markdown."""
    texts = []
    for row in rows:
        texts.append({name: shortened(value) for name, value in row.items()})
    return tabulate(texts, "keys", "github", disable_numparse=True)


def shortened(value):
    """A float with three digits: 1040 rather than 1.04e+03."""
    if not isinstance(value, float):
        return value
    rounded = float(f"{value:.3g}")
    return f"{rounded:g}"
