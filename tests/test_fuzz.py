"""Does every list of arguments run, or end in one message and status 2?"""

import contextlib
import io
import os
from collections import Counter

from helpers import NUMBERS, SMOKE, assert_is_bad_input, message, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bnn

SETTINGS = dict(
    derandomize=True,  # always the same cases
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
PICTURES = st.sampled_from(["a.png", "b c.svg", "ä.pdf"])
FLAGS = {
    "-n": st.integers(4, 12),
    **{flag: st.integers(low, low + 8) for flag, (low, _) in NUMBERS.items()},
    "--seed": st.integers(0, 2**32 - 1),
    "--output": PICTURES,
    "-o": PICTURES,
    "--device": st.just("cpu"),
}
UNKNOWN = ["--num-layers", "--num-sam", "-x", "-", "--", "-n5", "-nn", "--seed="]
DEVICES = ["cpu", "gpu", "tpu", "cuda", "CPU", ""]
PATHS = [".", "/proc/a.pdf", "no/a.pdf", 300 * "a" + ".pdf", "a.docx", "a", ".pdf"]


@st.composite
def pair(draw, values):
    """A flag and its value, as one or as two arguments."""
    flag = draw(st.sampled_from(list(FLAGS)))
    value = str(draw(values(flag)))
    if flag.startswith("--") and draw(st.booleans()):
        return [f"{flag}={value}"]
    return [flag, value]


def argument_lists(letters):
    """Lists of arguments, from all good to mostly wild with words of the letters."""
    text = st.text(letters, max_size=20)
    number = st.integers() | st.integers(-2, 12) | st.floats()
    wild = number | st.sampled_from(DEVICES + PATHS) | text
    good = pair(FLAGS.get)
    bad = pair(lambda flag: wild)
    word = st.sampled_from([*FLAGS, *UNKNOWN]) | text
    alone = word.map(lambda word: [word])
    all_good = st.lists(good, max_size=6)
    mixed = st.lists(st.one_of(good, good, bad, alone), max_size=6)
    return (all_good | mixed).map(lambda groups: sum(groups, []))


def outcome_of_parsing(argv):
    """The settings or the exit status, and what was printed on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            outcome = bnn.parse_args(argv)
        except SystemExit as exit:
            outcome = exit.code
    assert out.getvalue() == ""
    return outcome, err.getvalue()


def assert_are_good_settings(args):
    for flag, (low, high) in NUMBERS.items():
        name = flag.removeprefix("--").replace("-", "_")
        assert low <= getattr(args, name) <= high
    assert args.device in ["cpu", "gpu", "tpu"]
    assert args.output.suffix


def test_every_argument_list_is_parsed_or_ends_in_one_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = Counter()

    @settings(max_examples=2500, **SETTINGS)
    @given(argument_lists(st.characters(codec="utf-8")))
    def check(argv):
        outcome, stderr = outcome_of_parsing(argv)
        if isinstance(outcome, int):
            outcomes[outcome] += 1
            assert message(stderr)
        else:
            outcomes["parsed"] += 1
            assert stderr == ""
            assert_are_good_settings(outcome)

    check()
    assert os.listdir(tmp_path) == []  # nothing is left behind, and nothing written
    assert set(outcomes) == {"parsed", 2}
    assert outcomes.total() >= 2000
    assert min(outcomes.values()) > 200, outcomes


def test_a_sample_of_whole_processes_runs_or_ends_in_one_message(run_script, tmp_path):
    outcomes = Counter()
    # what a shell can pass on, and no absolute path
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0/")

    @settings(max_examples=3, **SETTINGS)
    @given(argument_lists(letters))
    def check(argv):
        before = set(os.listdir(tmp_path))
        result = run_script(*SMOKE, *argv)
        outcomes[result.returncode] += 1
        if result.returncode == 0:
            assert result.stderr == ""
            assert rows(result.stdout)
            assert os.listdir(tmp_path)
        else:
            assert_is_bad_input(result)
            assert set(os.listdir(tmp_path)) == before

    check()
    assert min(outcomes[0], outcomes[2]) >= 1, outcomes
