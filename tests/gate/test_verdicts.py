"""The worst finding speaks for a gate, and what it exits with."""

from __future__ import annotations

import itertools

import pytest

from rnnprof.gate.verdicts import SEVERITY, Finding, Gate, Verdict, worst
from rnnprof.reasons import Reason


def a_gate(*verdicts: Verdict) -> Gate:
    return Gate(tuple(Finding("peak", "B=1 T=1", verdict, Reason()) for verdict in verdicts))


def test_every_verdict_has_a_severity() -> None:
    assert set(SEVERITY) == set(Verdict)


@pytest.mark.parametrize("pair", list(itertools.combinations(SEVERITY, 2)))
def test_the_worse_of_two_counts_in_either_order(pair: tuple[Verdict, Verdict]) -> None:
    assert worst(pair) is worst(reversed(pair)) is pair[0]


def test_without_findings_nothing_was_shown() -> None:
    assert a_gate().verdict is Verdict.INCONCLUSIVE
    assert a_gate().exit_code(strict=True) == 3


@pytest.mark.parametrize(
    ("verdicts", "lenient", "strict"),
    [
        ((Verdict.PASS,), 0, 0),
        ((Verdict.PASS, Verdict.INCONCLUSIVE), 0, 3),
        ((Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.NOT_COMPARABLE), 3, 3),
        ((Verdict.PASS, Verdict.NOT_COMPARABLE, Verdict.FAIL), 1, 1),
        ((Verdict.FAIL,) * 256, 1, 1),
    ],
)
def test_exit_codes(verdicts: tuple[Verdict, ...], lenient: int, strict: int) -> None:
    gate = a_gate(*verdicts)
    assert (gate.exit_code(strict=False), gate.exit_code(strict=True)) == (lenient, strict)


def test_a_finding_is_named_by_kind_and_place() -> None:
    assert Finding("peak", "B=64 T=128", Verdict.PASS, Reason()).name == "peak B=64 T=128"
    assert Finding("finished", "", Verdict.FAIL, Reason()).name == "finished"
