"""What a gate says of each thing that it was to judge."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


class Verdict(enum.StrEnum):
    """How a check came out."""

    PASS = "PASS"  # noqa: S105  no password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_COMPARABLE = "NOT COMPARABLE"

    def exit_code(self, *, strict: bool) -> int:
        """0 passed, or inconclusive where that is let pass; 1 failed; 3 not comparable, or
        inconclusive under *strict*.
        """
        if self is Verdict.FAIL:
            return 1
        if self is Verdict.NOT_COMPARABLE:
            return 3
        return 3 if strict and self is Verdict.INCONCLUSIVE else 0


SEVERITY: Final = (Verdict.FAIL, Verdict.NOT_COMPARABLE, Verdict.INCONCLUSIVE, Verdict.PASS)
"""The worst first: a gate's own verdict is that of its worst finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and its verdict.

    Attributes:
        kind: ``fits``, ``max_batch``, ``peak``, ``throughput``, ``memory_growth``,
            ``time_growth``, ``comparable`` or ``finished``.
        where: the point or T judged, as ``B=64 T=128``; empty for the run as a whole.
        reason: the sentence with the figures that the verdict rests on.
        unit: of the figures below: ``bytes``, ``s``, ``time_steps_per_s``, ``sequences`` or
            ``ratio``.
        measured: the figure found; None where there is none.
        limit: what it was held against; None where there is no such figure.
        baseline: the same figure of the baseline, of a growth.
        interval: 95% interval of the measured figure (of a growth: of the ratio to the baseline).
        detectable_ratio: the smallest relative change that this check could have told from none;
            None where it is exact or unknown.
    """

    kind: str
    where: str
    verdict: Verdict
    reason: str
    unit: str = ""
    measured: float | None = None
    limit: float | None = None
    baseline: float | None = None
    interval: tuple[float, float] | None = None
    detectable_ratio: float | None = None

    @property
    def name(self) -> str:
        """``peak B=64 T=128``."""
        return f"{self.kind} {self.where}".rstrip()


@dataclass(frozen=True, slots=True)
class Gate:
    """All findings of a check, in the order of the budget."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """That of the worst finding; without any, nothing was shown."""
        return worst(finding.verdict for finding in self.findings)

    def exit_code(self, *, strict: bool) -> int:
        """That of its verdict."""
        return self.verdict.exit_code(strict=strict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe; INCONCLUSIVE of none."""
    return min(verdicts, key=SEVERITY.index, default=Verdict.INCONCLUSIVE)
