"""Processes of their own for what is measured, without the user's XLA and JAX flags."""

import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
SCRIPTS = {
    "textbook": [HERE / "textbook.py"],
    "ours": [HERE.parents[1] / "bnn.py"],
    "--marginalize": [HERE.parents[1] / "bnn.py", "--marginalize"],
}
RATES = ["f", "prec_obs"]  # of n_eff, per second
PATHS = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k[:4] not in ("XLA_", "JAX_")}
ENVIRONMENT |= {"PYTHONPATH": os.pathsep.join(PATHS), "MPLBACKEND": "agg"}
ENVIRONMENT["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # where there is one


def process(command, **environment):
    """What a process in an empty folder prints, its seconds and its peak MiB."""
    print(time.strftime("%X"), *command[1:], environment, file=sys.stderr, flush=True)
    env = ENVIRONMENT | environment
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env=env, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, printed)
    return printed, seconds, usage.ru_maxrss / 1024  # Linux counts KiB


def call(python, function, *arguments):
    """What a function of this folder returns, called in a process of its own."""
    module = f"benchmark.{function.split('.')[0]}"
    result = f"benchmark.{function}{arguments}"
    code = f"import json, {module}; print(json.dumps({result}, default=float))"
    return json.loads(process([python, "-c", code])[0].splitlines()[-1])


def whole_run(python, which, num_warmup, draws, chains, *flags, **environment):
    """Seconds and peak MiB of a whole run, n_eff per second of sampling."""
    flags = ["--num-samples", draws, "--num-chains", chains, *flags]
    command = [python, *SCRIPTS[which], "--num-warmup", num_warmup, *flags]
    printed, seconds, memory = process([*map(str, command)], **environment)
    sampling = float(re.search(r"elapsed time: ([\d.]+)", printed)[1])
    line = r"^ *(f|prec_obs)(?: at the training data)? +\S+ +(-?\d+|nan)$"
    n_eff = dict(re.findall(line, printed, re.M))  # of a few draws perhaps 0 or nan
    rates = {name: (float(n_eff[name]) or math.nan) / sampling for name in RATES}
    return {"seconds": seconds, "MiB": memory, **rates}
