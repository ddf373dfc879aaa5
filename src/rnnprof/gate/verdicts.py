"""What a gate finds of each thing that it has to judge: verdicts, their figures and reasons."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rnnprof.reasons import Reason


class Verdict(enum.StrEnum):
    """How a check came out."""

    PASS = "PASS"  # noqa: S105  no password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_COMPARABLE = "NOT COMPARABLE"

    def exit_code(self, *, strict: bool) -> int:
        """0 passed, or inconclusive without *strict*; 1 failed; 3 not comparable, or inconclusive
        with *strict*.
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
        reason: what the verdict rests on; ``say`` in report/words makes its sentence.
        unit: of the figures below: ``bytes``, ``s``, ``time_steps_per_s``, ``sequences`` or
            ``ratio``.
        measured: the figure found; None where there is none.
        limit: what it was compared with; None where there is no such figure.
        baseline: the same figure of the baseline, of a growth.
        interval: 95% interval of the measured figure (of a growth: of the ratio to the baseline).
        detectable_ratio: the smallest relative change that this check could have detected; None
            where it is exact or unknown.
    """

    kind: str
    where: str
    verdict: Verdict
    reason: Reason
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


@dataclass(frozen=True, slots=True)
class WordedFinding:
    """A finding with the sentence of its reason, as report/words/gate.py makes it."""

    finding: Finding
    sentence: str


@dataclass(frozen=True, slots=True)
class WordedGate:
    """A gate in words.

    Attributes:
        findings: in the order of the budget; never empty, so that no reader takes silence for
            success.
        sentence: the verdict and how many checks came out so, as
            report/words/gate.py makes it.
    """

    findings: tuple[WordedFinding, ...]
    sentence: str

    @property
    def verdict(self) -> Verdict:
        """That of the worst finding."""
        return worst(each.finding.verdict for each in self.findings)

    def exit_code(self, *, strict: bool) -> int:
        """That of its verdict."""
        return self.verdict.exit_code(strict=strict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe; INCONCLUSIVE of none."""
    return min(verdicts, key=SEVERITY.index, default=Verdict.INCONCLUSIVE)
