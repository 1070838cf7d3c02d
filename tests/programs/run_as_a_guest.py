"""Shows that a program gets all back that runs the script, in a thread and without."""

import concurrent.futures
import runpy
import sys

import jax  # noqa: F401  which draws a random number as it is imported
from state import state


def run():
    runpy.run_path(sys.argv[0], run_name="__main__")
    print("finished")


sys.argv = sys.argv[1:]
before = state()
with concurrent.futures.ThreadPoolExecutor() as threads:
    threads.submit(run).result()
assert state() == before
run()
assert state() == before
