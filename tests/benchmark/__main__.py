"""Benchmark bnn.py against the textbook form of the same example, and against peers.

python tests/benchmark --quick    under a minute: does the benchmark run?
python tests/benchmark --write    writes tests/benchmark/RESULTS.md, too
"""

import argparse
import inspect
import pathlib
import sys
from datetime import date

import processes
import tables

FULL = {
    "runs": {  # warm-up, draws, chains, seeds, what is of interest
        "first run": (1000, 2000, 1, 4, ["seconds", *processes.RATES, "MiB"]),
        "warm compilation cache": (1000, 2000, 1, 3, ["seconds"]),
        "first run, 4 chains": (1000, 2000, 4, 3, ["seconds"]),
        "fixed cost: 0 + 4 draws": (0, 4, 1, 3, ["seconds"]),
        "first run, 16 chains": (0, 2000, 16, 1, ["MiB"]),  # the same with a warm-up
    },
    "peers": (1000, 2000, 4),
    "layers": [(100, 5), (100, 7), (100, 20), (1000, 5)],  # data, units
    "marginalize": {
        **dict.fromkeys([(100, 5), (100, 10), (100, 20), (1000, 5)], (500, 500)),
        **dict.fromkeys([(100, 50), (1000, 20)], (100, 100)),  # over 0.1 s a draw
    },
    "devices": {(100, 100, 4, 3): 2, (100, 100, 8, 3): 4},
    "predictions": (2000, 100_000),  # draws, points
    "gpu": [(50, 50, chains) for chains in (4, 64, 1024)],
}
QUICK = {
    "runs": {"first run": (4, 4, 1, 1, ["seconds", *processes.RATES, "MiB"])},
    "peers": (4, 4, 1),
    "layers": [(7, 2)],
    "marginalize": {(7, 2): (4, 4)},
    "devices": {(4, 4, 2, 1): 2},
    "predictions": (4, 1000),
    "gpu": [(4, 4, 4)],
}
INTRODUCTION = """\
# How fast bnn.py is

Written by `python tests/benchmark {flags}`; with `--quick`, all sizes are tiny.

*Textbook* is the same example as people run it today: rows are data, data made with
`jax.numpy`, NumPyro's and XLA's defaults, eager prediction. What is compared takes
turns, in processes of its own, with one chain where nothing else is said. Whole runs
are medians, loops and `n_eff` means over seeds; `n_eff` is that of the worst function
value `f`, and of `prec_obs`. Of seconds and memory, less is better; of `n_eff`, more.
"""
NO_PEERS = """\
Not measured. `python -m pip install -r tests/benchmark/requirements-peers.txt && python
tests/benchmark --only peers --peers blackjax nutpie pymc` does."""
NO_GPU = """\
Not measured, as JAX finds none here. On a machine with an NVIDIA GPU, `python -m pip
install -U "jax[cuda13]>=0.7.2,<0.13" && python tests/benchmark --only gpu` does."""


def main():
    """Measure, then print the tables."""
    parser = argparse.ArgumentParser(prog="python tests/benchmark")
    parser.description = __doc__.splitlines()[0]
    add = parser.add_argument
    add("--quick", action="store_true", help="tiny sizes: does the benchmark run?")
    names = ["blackjax", "nutpie", "pymc"]
    add("--peers", nargs="+", choices=names, default=[], help="measure these, too")
    add("--only", nargs="+", choices=FULL, default=FULL, help="measure these parts")
    path = pathlib.Path(__file__).with_name("RESULTS.md")
    add("--write", nargs="?", const=path, metavar="FILE", help="RESULTS.md by default")
    add("--python", action="append", metavar="PATH", help="absolute, of another")
    args = parser.parse_args()
    plan = QUICK if args.quick else FULL
    plan["peers"] = (*plan["peers"], args.peers)
    if args.quick:
        processes.ENVIRONMENT["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

    text = INTRODUCTION.format(flags=" ".join(sys.argv[1:]))
    for python in args.python or [sys.executable]:
        about = processes.call(python, "loops.about")
        text += f"\n## Python {about['python']}\n\n{date.today()}, {about['on']}.\n"
        missing = {"peers": not args.peers and NO_PEERS}
        missing["gpu"] = not about["gpu"] and NO_GPU
        for name in args.only:
            part = getattr(tables, name)
            found = missing.get(name) or part(python, plan[name])
            text += f"\n### {inspect.getdoc(part)}\n\n{found}\n"
    print(text)
    if args.write:
        pathlib.Path(args.write).write_text(text)


if __name__ == "__main__":
    main()
