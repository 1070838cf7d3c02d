"""Are small changes of bnn.py noticed? A sample of those that cosmic-ray makes.

python tests/mutation.py --size 40

A mutant is bnn.py with one change. The tests of the room that it changes run in a copy
of this folder, but for those that are slow or start processes. What survives is printed
by room, as patches for `git apply`.
"""

import argparse
import contextlib
import difflib
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = (ROOT / "bnn.py").read_text()
TESTS = {  # of each room; the first that fails ends them
    "The model": ["model"],
    "The data": ["data"],
    "Inference": ["inference", "next_steps"],
    "Did it converge?": ["convergence"],
    "Prediction": ["predict", "next_steps"],
    "The picture": ["picture", "command_line"],
    "All of it": ["command_line", "lesson"],
    "Behind it": ["check_data", "check_likelihood", "devices", "inference"],
    "Command line": ["command_line", "devices"],
}
PYTEST = [sys.executable, "-m", "pytest", "-q", "-x"]
PYTEST += ["-m", "not slow and not process"]
SECONDS = 600  # a mutant may loop for ever
BYTES = 8 * 2**30  # or ask for all the memory there is


class Mutant(NamedTuple):
    """What an operator of cosmic-ray changes, at a line and a column of bnn.py."""

    place: tuple
    operator: str
    occurrence: int

    def source(self):
        """The changed bnn.py."""
        operator = get_operator(self.operator)
        return mutate_code(SOURCE, operator(), self.occurrence)

    def patch(self):
        """The change, for `git apply`."""
        before = SOURCE.splitlines(keepends=True)
        after = self.source().splitlines(keepends=True)
        lines = difflib.unified_diff(before, after, "a/bnn.py", "b/bnn.py")
        return "".join(lines)


def all_mutants():
    """The mutants of bnn.py at each place."""
    tree = get_ast(SOURCE)
    nodes = list(ast_nodes(tree))
    mutants = defaultdict(list)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue  # it has to be told what to replace
        places = []
        for node in nodes:
            for start, _ in operator().mutation_positions(node):
                places.append(start)
        for occurrence, place in enumerate(places):
            mutants[place].append(Mutant(place, name, occurrence))
    return mutants


def rooms_and_pieces():
    """The room of each line of bnn.py, a heading, and the piece, a name."""
    room = piece = ""
    found = [("", "")]  # lines count from 1
    lines = SOURCE.splitlines()
    for line, next_line in pairwise([*lines, ""]):
        if re.fullmatch("# -+", next_line):
            room = line.removeprefix("# ")
        if re.match("def |class |if ", line):
            piece = re.split("[ (:]", line)[1]
        found.append((room, piece))
    return found


ROOMS_AND_PIECES = rooms_and_pieces()


def fate(cache, names, source):
    """What becomes of a source of bnn.py under the tests with these names."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch, "copy")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "_build"))
        (copy / "bnn.py").write_text(source)
        files = [f"tests/test_{name}.py" for name in names]
        tests = subprocess.Popen(
            [*PYTEST, *files],
            cwd=copy,
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache, "TMPDIR": scratch},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = tests.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return "out of time"
        finally:
            end(tests)
    return "killed" if status else "survived"


def end(process):
    """End a process, and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def parse_args():
    """Return the settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--size", type=int, default=40, help="of the sample")
    add("--seed", type=int, default=0, help="of the sample")
    return parser.parse_args()


def report(room, mutants, fates):
    """Print the survivors among the mutants of a room, then how many there are."""
    if next(fates) != "survived":
        sys.exit(f"the tests of {room!r} do not pass without a change: {TESTS[room]}")
    counts = Counter()
    for mutant, found in zip(mutants, fates, strict=True):
        line, _ = mutant.place
        _, piece = ROOMS_AND_PIECES[line]
        print(f"{room}, {piece}, line {line}: {found}", flush=True)
        counts[found] += 1
        if found == "survived":
            print(mutant.patch(), flush=True)
    print(f"{room}: {dict(counts)}\n", flush=True)


def main():
    """Try a sample of the mutants, and tell which survive."""
    args = parse_args()
    random.seed(args.seed)
    at_place = all_mutants()
    sample = random.sample(sorted(at_place), args.size)
    print(f"{args.size} of {len(at_place)} places, seed {args.seed}", flush=True)
    by_room = defaultdict(list)
    for place in sorted(sample):
        line, _ = place
        room, _ = ROOMS_AND_PIECES[line]
        mutant = random.choice(at_place[place])
        by_room[room].append(mutant)

    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    pool = ThreadPoolExecutor(2)
    with tempfile.TemporaryDirectory() as cache:
        fates = {}
        for room, mutants in by_room.items():
            # first without a change: else what the tests say is not about the change
            sources = [SOURCE, *[mutant.source() for mutant in mutants]]
            fates[room] = pool.map(partial(fate, cache, TESTS[room]), sources)
        try:
            for room, mutants in by_room.items():
                report(room, mutants, fates[room])
        finally:
            pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
