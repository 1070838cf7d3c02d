"""Does every list of arguments run, or end in one message and status 2?"""

import contextlib
import io
import os
from collections import Counter

from helpers import NUMBERS, message
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
    "--target-accept-prob": st.floats(0.5, 0.99),
    "--output": PICTURES,
    "-o": PICTURES,
    "--device": st.just("cpu"),
}
UNKNOWN = ["--num-layers", "--num-sam", "-x", "-f", "-", "--", "-n5", "-nn", "--seed="]
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


def outcome_of(function, argv):
    """What the function returns or the exit status, and what stdout and stderr got."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            outcome = function(argv)
        except SystemExit as exit:
            outcome = exit.code
    return outcome, out.getvalue(), err.getvalue()


def assert_are_good_settings(args):
    for flag, (low, high) in NUMBERS.items():
        name = flag.removeprefix("--").replace("-", "_")
        assert low <= getattr(args, name) <= high
    assert 0 < args.target_accept_prob < 1
    assert args.device in ["cpu", "gpu", "tpu"]
    assert args.output.suffix


def test_every_argument_list_is_parsed_or_ends_in_one_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = Counter()

    @settings(max_examples=500, **SETTINGS)
    @given(argument_lists(st.characters(codec="utf-8")))
    def check(argv):
        outcome, stdout, stderr = outcome_of(bnn.parse_args, argv)
        assert stdout == ""
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
    assert outcomes.total() >= 400
    assert min(outcomes.values()) > 40, outcomes
