"""The sentences on two runs side by side."""

from __future__ import annotations

import pytest

from rnnprof.compare import reasons
from rnnprof.compare.reasons import Affects, Difference, NoInterval, TooFewProcesses
from rnnprof.reasons import Reason
from rnnprof.report.words import say

FEW = TooFewProcesses(1, 3)
NOISY = TooFewProcesses(2, 3, ("other processes took 90% of a processor",))

SENTENCES: list[tuple[Reason, str]] = [
    (
        Difference("driver", None, "575.2", Affects.EVERYTHING),
        "driver unknown in the baseline, 575.2 in the run",
    ),
    (
        Difference("source train.py", "0123456789abcdef", "fedcba9876543210", Affects.NOTHING),
        "source train.py 0123456789ab in the baseline, fedcba987654 in the run",
    ),
    (
        Difference(
            "workload.script.argv",
            ["--batch", "{batch}", "--lr", "1", "--data", "a"],
            ["--batch", "{batch}", "--lr", "2 3", "--data", "a"],
            Affects.EVERYTHING,
        ),
        "the script's words: 1 in the baseline, '2 3' in the run",
    ),
    (
        Difference(
            "workload.script.env", {"A": "1", "B": "{batch}"}, {"B": "{batch}"}, Affects.EVERYTHING
        ),
        "--env A=1 in the baseline, nothing in the run",
    ),
    (
        Difference("workload.script.prepare", None, "make data", Affects.EVERYTHING),
        "--prepare nothing in the baseline, make data in the run",
    ),
    (FEW, "1 of at least 3 quiet processes"),
    (
        NOISY,
        "2 of at least 3 quiet processes (1 is noisy: other processes took 90% of a processor)",
    ),
    (
        TooFewProcesses(0, 3, ("a", "b")),
        "0 of at least 3 quiet processes (2 are noisy: a)",
    ),
    (NoInterval(FEW, None), "the baseline has 1 of at least 3 quiet processes"),
    (
        NoInterval(FEW, TooFewProcesses(2, 3)),
        (
            "the baseline has 1 of at least 3 quiet processes; "
            "the run has 2 of at least 3 quiet processes"
        ),
    ),
]


@pytest.mark.parametrize(("reason", "sentence"), SENTENCES)
def test_sentences(reason: Reason, sentence: str) -> None:
    assert say(reason) == sentence


def test_every_reason_of_a_comparison_has_its_sentence() -> None:
    members = (each for each in vars(reasons).values() if isinstance(each, type))
    kinds = {
        each for each in members if issubclass(each, Reason) and each.__module__ == reasons.__name__
    }
    assert kinds
    assert {type(reason) for reason, _ in SENTENCES} == kinds
