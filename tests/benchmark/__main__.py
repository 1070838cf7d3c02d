"""Benchmark bnn.py against the textbook form of the same example, and against a peer.

python tests/benchmark --quick    under a minute: does the benchmark run?
python tests/benchmark --write    writes tests/benchmark/RESULTS.md, too
"""

import argparse
import pathlib
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import tables
from tables import ENVIRONMENT, HERE, call

PARTS = ["runs", "peers", "tricks", "layers", "devices", "gpu"]


def parse_args():
    """Return the settings."""
    parser = argparse.ArgumentParser(prog="python tests/benchmark")
    parser.description = __doc__.splitlines()[0]
    add = parser.add_argument
    add("--quick", action="store_true", help="tiny sizes: does the benchmark run?")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these parts")
    path = HERE / "RESULTS.md"
    add("--write", nargs="?", const=path, metavar="FILE", help="RESULTS.md by default")
    add("--python", action="append", metavar="PATH", help="absolute, of another")
    args = parser.parse_args()
    args.python = args.python or [sys.executable]
    return args


def section(python, names, plan, texts, at_once):
    """The tables of one Python: each part's text, with its table in its place."""

    def measure(name):
        part = getattr(tables, name)
        return part(python, plan[name])

    about = call(python, "loops.about")
    text = f"\n## Python {about['python']}\n\n{date.today()}, {about['on']}.\n"
    for name, table in zip(names, at_once(measure, names), strict=True):
        text += "\n### " + texts[name].replace("{table}", table)
    return text


def main():
    """Measure, then print the tables."""
    args = parse_args()
    plans = tomllib.loads((HERE / "plan.toml").read_text())
    plan = plans["full"]
    at_once = map  # one after the other
    if args.quick:
        plan = plans["quick"]
        at_once = ThreadPoolExecutor(2).map  # as no time counts
        ENVIRONMENT["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

    text, *texts = (HERE / "texts.md").read_text().split("\n### ")
    texts = dict(zip(PARTS, texts, strict=True))
    for python in args.python:
        text += section(python, args.only, plan, texts, at_once)
    text += (HERE / "gpu_by_hand.md").read_text()
    print(text)
    if args.write:
        pathlib.Path(args.write).write_text(text)


if __name__ == "__main__":
    main()
