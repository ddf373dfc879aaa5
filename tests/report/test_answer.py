"""The answer in words, to the letter, and on a terminal of eighty columns."""

from __future__ import annotations

import pytest

from fakes import HEADER
from rnnprof.analysis.advice import Advice, TrainWith
from rnnprof.records import Certificate, EdgeStatus, Run
from rnnprof.report.answer import advice_in_words, frontier_in_words

MIB = 1 << 20

RUN = Run(HEADER)


def certificate(status: EdgeStatus, batch: int | None = 140, **changes: object) -> Certificate:
    known: dict[str, object] = {"steps": 128, "granularity": 1, "at_most": 4096}
    return Certificate(status=status, batch=batch, **(known | changes))  # type: ignore[arg-type]


CERTIFIED = certificate(EdgeStatus.CERTIFIED)


def line(certificate: Certificate, train_with: TrainWith | None = None) -> str:
    advice = Advice(None, None, (), train_with=(train_with,) if train_with else ())
    return frontier_in_words(RUN, [certificate], advice, 0.05)


@pytest.mark.parametrize(
    ("certificate", "text"),
    [
        (CERTIFIED, "T=128: 140 is the largest, 141 is out of memory"),
        (
            certificate(EdgeStatus.CERTIFIED, 128, granularity=64),
            "T=128: 128 is the largest, 192 is out of memory",
        ),
        (
            certificate(EdgeStatus.CERTIFIED, reason="B=141 fits as well"),
            "T=128: 140 is the largest, 141 is out of memory: B=141 fits as well",
        ),
        (
            certificate(EdgeStatus.CAPPED, 4096),
            "T=128: 4096 fits, the largest tried",
        ),
        (
            certificate(EdgeStatus.NOTHING_FITS, None, reason="B=1 is out of memory"),
            "T=128: nothing fits: B=1 is out of memory",
        ),
        (
            certificate(EdgeStatus.UNSUPPORTED, None, reason="not supported in forward"),
            "T=128: unsupported: not supported in forward",
        ),
        (
            certificate(EdgeStatus.NON_MONOTONE, reason="B=30 fits although B=20 did not"),
            "T=128: non monotone: B=30 fits although B=20 did not",
        ),
        (
            certificate(EdgeStatus.INDETERMINATE, reason="at B=9: it died"),
            "T=128: indeterminate: at B=9: it died",
        ),
    ],
)
def test_each_status_in_a_line(certificate: Certificate, text: str) -> None:
    assert line(certificate) == text


@pytest.mark.parametrize(
    ("train_with", "text"),
    [
        (TrainWith(128, 140, 132, True, 48 * MIB), "; train with 132 (48.0 MiB, measured)"),
        (TrainWith(128, 140, 132, False, 48 * MIB), "; train with 132 (48.0 MiB, predicted)"),
        (
            TrainWith(128, 140, 132, False, 48 * MIB, 4),
            "; train with 132 (48.0 MiB, predicted), 4 steps of accumulation",
        ),
        (TrainWith(128, 140, 132, True, 48 * MIB, 1), "; train with 132 (48.0 MiB, measured)"),
        (TrainWith(128, 140, None, False, None), "; no batch is known to leave 5%"),
        (TrainWith(128, None, None, False, None), ""),
        (TrainWith(64, 140, 132, True, 48 * MIB), ""),
    ],
)
def test_what_to_train_with_stands_behind_its_edge(train_with: TrainWith, text: str) -> None:
    edge = "T=128: 140 is the largest, 141 is out of memory"
    assert line(CERTIFIED, train_with) == f"{edge}{text}"


def test_one_line_for_each_length() -> None:
    frontier = [certificate(EdgeStatus.CERTIFIED, 500, steps=16), CERTIFIED]
    advice = Advice(None, None, (), train_with=(TrainWith(128, 140, 133, True, MIB),))
    assert frontier_in_words(RUN, frontier, advice, 0.05).splitlines() == [
        "T=16: 500 is the largest, 501 is out of memory",
        f"{line(CERTIFIED)}; train with 133 (1.00 MiB, measured)",
    ]
    assert frontier_in_words(RUN, [], advice, 0.05) == ""


def test_the_advice_with_its_reasons() -> None:
    advice = Advice(32, 16, ("it is fast", "it is small"))
    assert advice_in_words(advice) == "Train with B=32 T=16\n  - it is fast\n  - it is small"


def test_without_advice_the_reason_why() -> None:
    assert advice_in_words(Advice(None, None, ("nothing was timed",))) == (
        "Train with: not known from this run\n  - nothing was timed"
    )


def test_what_is_predicted_stands_apart() -> None:
    text = advice_in_words(Advice(32, 16, ("it is fast",), ("under 1 GiB about 5",)))
    assert text.splitlines() == [
        "Train with B=32 T=16",
        "  - it is fast",
        "Predicted, not measured:",
        "  - under 1 GiB about 5",
    ]


def test_no_line_is_longer_than_a_terminal() -> None:
    reason = "B=8, B=16 at the same T cannot be told from it: the intervals overlap, " * 3
    lines = advice_in_words(Advice(32, 16, (reason,), (reason,))).splitlines()
    assert max(map(len, lines)) <= 80
    assert [text[:4] for text in lines[1:4]] == ["  - ", "    ", "    "]
    assert " ".join(text.strip() for text in lines[1:4]).startswith(f"- {reason[:150]}")
