"""What a gate says, in every form that a person or a CI system reads.

Each format is a function from :data:`Judged`, a gate and its facts for each GPU, to text;
:func:`write_github` alone touches files.  A gate without findings has shown nothing: every format
tells it as one INCONCLUSIVE finding.  Text that comes from a run, a budget or a factory stands on
one line, with ``?`` for what a terminal, XML or GitHub could take for more than text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rnnprof.gate.verdicts import SEVERITY, Finding, Gate, Verdict, worst
from rnnprof.report.text.pieces import one_line, rate_in_words
from rnnprof.units import format_bytes, format_ratio, format_seconds

GROWTH_KINDS: Final = frozenset({"memory_growth", "time_growth"})
"""Kinds whose interval is that of the ratio to the baseline."""

SIGNS: Final = {
    Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.NOT_COMPARABLE: "🚫", Verdict.INCONCLUSIVE: "⚠️",
}  # fmt: skip

HAPPENED: Final = {
    Verdict.PASS: "held",
    Verdict.FAIL: "failed",
    Verdict.NOT_COMPARABLE: "had nothing alike to be compared with",
    Verdict.INCONCLUSIVE: "could not be decided",
}
"""What became of a check, for the sentence at the end."""

CAME_OUT: Final = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.NOT_COMPARABLE: "not comparable",
    Verdict.INCONCLUSIVE: "inconclusive",
}
"""What became of a GPU, for the sentence that sums up several."""

TAGS: Final = {
    Verdict.FAIL: "failure", Verdict.NOT_COMPARABLE: "error", Verdict.INCONCLUSIVE: "skipped",
}  # fmt: skip
"""JUnit's elements; a check that held has none."""

NOTHING: Final = Finding(
    "gate", "", Verdict.INCONCLUSIVE, "nothing was checked: the budget asks for nothing"
)
"""Stands in where a gate has no findings, so that no reader takes silence for success."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a gate was held over: the facts that its report states beside the findings.

    Attributes:
        base_name: the baseline's; None without one.
        limit_bytes: of the run; None where it is not known.
        command: that repeats the check.
        budget_name: path of the budget file, for GitHub relative to the workspace or absolute;
            None without one.
        is_strict: an INCONCLUSIVE gate exits with 3.
        judged_at: in UTC; None leaves the time out of JUnit.
        gpu: the GPU among several, as ``simulated-t4``; None where there is one alone.
    """

    run_name: str
    base_name: str | None
    workload: str
    device: str
    limit_bytes: int | None
    command: str
    budget_name: str | None = None
    is_strict: bool = False
    judged_at: datetime | None = None
    gpu: str | None = None


Judged = Sequence[tuple[Gate, Told]]
"""A gate of each GPU, and what it was held over; one alone is told without the GPU's name."""


# --- facts ---------------------------------------------------------------------------------------


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By verdict, then by how far past the limit; equals stay in the order of the budget."""
    return sorted(findings, key=rank)


def rank(finding: Finding) -> tuple[int, float]:
    return SEVERITY.index(finding.verdict), -_excess(finding)


def _excess(finding: Finding) -> float:
    """How many times past its limit; infinite where nothing was measured, 1 where all is well."""
    if finding.verdict is Verdict.PASS:
        return 1.0
    measured, limit = known_numbers(finding.measured), known_numbers(finding.limit)
    if measured is None or limit is None or measured <= 0 or limit <= 0:
        return math.inf
    return max(measured / limit, limit / measured)


def gate_sentence(gate: Gate) -> str:
    """The gate's verdict and what it rests on, on one line."""
    findings = findings_of(gate)
    total, verdict = len(findings), gate.verdict
    counts = {each: sum(f.verdict is each for f in findings) for each in SEVERITY}
    noun = "check" if total == 1 else "checks"
    parts = [f"{counts[verdict]} of {total} {noun} {HAPPENED[verdict]}"]
    # what held is no part of the sentence when anything did not
    parts += [
        f"{counts[each]} {HAPPENED[each]}"
        for each in SEVERITY
        if each not in (verdict, Verdict.PASS) and counts[each]
    ]
    return f"{verdict.value}: {'; '.join(parts)}."


def gates_sentence(judged: Judged) -> str:
    """How many GPUs passed, and which did not, on one line: ``2 GPUs: 1 passed, 1 failed
    (simulated-t4).``
    """
    parts = []
    for verdict, came_out in CAME_OUT.items():
        names = [one_line(told.gpu or "") for gate, told in judged if gate.verdict is verdict]
        named = "" if verdict is Verdict.PASS else f" ({', '.join(names)})"
        if names:
            parts.append(f"{len(names)} {came_out}{named}")
    return f"{len(judged)} GPUs: {', '.join(parts)}."


def verdict_of(judged: Judged) -> Verdict:
    """The worst over all GPUs."""
    return worst(gate.verdict for gate, _ in judged)


def findings_of(gate: Gate) -> tuple[Finding, ...]:
    return gate.findings or (NOTHING,)


def names_of(findings: Sequence[Finding], told: Told) -> list[str]:
    """Each finding's name, with its GPU where there are several; where one recurs (two kinds of
    peak at a point) it is numbered, for readers that tell tests and charts apart by it.
    """
    seen: Counter[str] = Counter()
    names = []
    for finding in findings:
        name = one_line(name_of(finding, told))
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def name_of(finding: Finding, told: Told) -> str:
    """``peak B=64 T=128``; of one GPU among several ``simulated-t4: peak B=64 T=128``."""
    return finding.name if told.gpu is None else f"{told.gpu}: {finding.name}"


def known_numbers(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class _Figures:
    """The figures of a finding as text, each empty where there is none."""

    measured: str
    limit: str
    baseline: str
    interval: str

    def besides(self, reason: str) -> str:
        """``612 MiB, limit 600 MiB``: those that *reason* does not tell."""
        named = {
            "": self.measured, "limit ": self.limit, "baseline ": self.baseline,
            "95% interval ": self.interval,
        }  # fmt: skip
        return ", ".join(
            f"{name}{text}" for name, text in named.items() if text and not _tells(reason, text)
        )


def _tells(reason: str, figure: str) -> bool:
    short = figure.replace(" time steps/s", "/s")
    return re.search(rf"(?<![\d.,]){re.escape(short)}", reason) is not None


def figures_of(finding: Finding) -> _Figures:
    values = [known_numbers(value) for value in (finding.measured, finding.limit, finding.baseline)]
    known = {value for value in values if value is not None}
    # rounded alike, a limit and what went past it would be the same figure
    is_blurred = len({_rounded(value, finding.unit) for value in known}) < len(known)
    scale = _exact if is_blurred else _rounded
    measured, limit, baseline = (
        "" if value is None else scale(value, finding.unit) for value in values
    )
    return _Figures(measured, limit, baseline, interval_of(finding))


def interval_of(finding: Finding) -> str:
    if finding.interval is None or not all(map(math.isfinite, finding.interval)):
        return ""
    low, high = finding.interval
    if finding.kind in GROWTH_KINDS:
        return f"{_change(low)} to {_change(high)}"
    return f"{_rounded(low, finding.unit)} to {_rounded(high, finding.unit)}"


def _change(ratio: float) -> str:
    """A ratio to the baseline as ``+5.1%``."""
    text = format_ratio(ratio - 1)
    return f"+{text}" if ratio > 1 else text


def _rounded(value: float, unit: str) -> str:
    scale = SCALES.get(unit)
    return scale(value) if scale else f"{value:.6g} {one_line(unit)}".rstrip()


def _exact(value: float, unit: str) -> str:
    return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:.9g} {one_line(unit)}".rstrip()


def detectable_of(finding: Finding) -> str:
    """``0.5%``; empty where the check is exact or that is unknown."""
    ratio = known_numbers(finding.detectable_ratio)
    return "" if ratio is None else format_ratio(ratio)


def why_of(finding: Finding) -> str:
    """The figures that the reason lacks, the reason, the smallest change that could be told."""
    parts = (figures_of(finding).besides(finding.reason), one_line(finding.reason))
    detectable = detectable_of(finding)
    told = f" (could have told {detectable})" if detectable else ""
    return ": ".join(part for part in parts if part) + told


def facts_of(told: Told) -> str:
    against = [] if told.base_name is None else [f"against {told.base_name}"]
    budget = [] if told.budget_name is None else [f"budget {told.budget_name}"]
    facts = [
        told.run_name,
        *against,
        told.workload,
        told.device,
        f"limit {limit_of(told)}",
        *budget,
    ]
    return ", ".join(map(one_line, facts))


def limit_of(told: Told) -> str:
    return "not known" if told.limit_bytes is None else format_bytes(told.limit_bytes)


SCALES: Final[Mapping[str, Callable[[float], str]]] = {
    "bytes": format_bytes,
    "s": format_seconds,
    "time_steps_per_s": rate_in_words,
    "sequences": lambda value: f"B={value:.0f}",
    "ratio": lambda value: f"{value * 100:.4g}%",
}
