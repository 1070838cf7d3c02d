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


def main():
    """Measure, then print the tables."""
    parser = argparse.ArgumentParser(prog="python tests/benchmark")
    parser.description = __doc__.splitlines()[0]
    add = parser.add_argument
    add("--quick", action="store_true", help="tiny sizes: does the benchmark run?")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these parts")
    path = HERE / "RESULTS.md"
    add("--write", nargs="?", const=path, metavar="FILE", help="RESULTS.md by default")
    add("--python", action="append", metavar="PATH", help="absolute, of another")
    args = parser.parse_args()
    plan = tomllib.loads((HERE / "plan.toml").read_text())
    plan, at_once = plan["quick" if args.quick else "full"], map
    if args.quick:
        at_once = ThreadPoolExecutor(2).map  # as no time counts
        ENVIRONMENT["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

    text, *texts = (HERE / "texts.md").read_text().split("\n### ")
    texts = dict(zip(PARTS, texts, strict=True))
    text = text.replace("{flags}", " ".join(sys.argv[1:]))
    for python in args.python or [sys.executable]:
        about = call(python, "loops.about")
        text += f"\n## Python {about['python']}\n\n{date.today()}, {about['on']}.\n"
        parts = [(getattr(tables, name), python, plan[name]) for name in args.only]
        found = at_once(lambda part: part[0](*part[1:]), parts)
        for name, table in zip(args.only, found, strict=True):
            text += "\n### " + texts[name].replace("{table}", table)
    text += (HERE / "gpu_by_hand.md").read_text()
    print(text)
    if args.write:
        pathlib.Path(args.write).write_text(text)


if __name__ == "__main__":
    main()
