"""What the tests share: host devices for four chains, and whole runs of the script."""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))  # for bnn.py

# The tests, xdist's workers and the processes that they start share what they compile.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers inherit it
    COMPILED = tempfile.TemporaryDirectory(prefix="compiled-")  # until Python ends
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import bnn  # noqa: E402

bnn.use_device("cpu", num_chains=4)
pytest.register_assert_rewrite("helpers")

from helpers import IMPORTABLE, PROGRAMS, SCRIPT, a_users_environment  # noqa: E402


def pytest_configure(config):
    """Declare the marks, for there is no file of settings at the top level."""
    marks = ["slow: takes minutes", "process: starts bnn.py in a process of its own"]
    for mark in marks:
        config.addinivalue_line("markers", f"{mark}; deselect with -m 'not ...'")


def pytest_collection_modifyitems(items):
    """Mark the tests that start processes."""
    for item in items:
        if "run_script" in item.fixturenames:
            item.add_marker("process")


@pytest.fixture
def run_script(tmp_path):
    """Return a function that runs bnn.py in an empty folder, as a user would.

    It returns the result, or at once the process, which does not outlive the test.
    """
    started = []

    def run(*flags, script=(SCRIPT,), launcher=(), env=(), wait=True, **more):
        python = [*launcher, sys.executable, *more.pop("python_flags", ())]
        command = [*python, *script, *flags]
        env = {**a_users_environment(), "MPLBACKEND": "agg", **dict(env)}
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        options = {"cwd": tmp_path, "env": env, **pipes, **more}
        process = subprocess.Popen(list(map(str, command)), **options)
        started.append(process)
        if not wait:
            return process
        output = process.communicate(timeout=600)
        return subprocess.CompletedProcess(command, process.returncode, *output)

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def run_program(run_script):
    """Return a function that runs a program of tests/programs, as run_script does."""

    def run(name, *flags, env=(), **more):
        program = [PROGRAMS / f"{name}.py"]
        return run_script(
            *flags, script=program, env={**IMPORTABLE, **dict(env)}, **more
        )

    return run
