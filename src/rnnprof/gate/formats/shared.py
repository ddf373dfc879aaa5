"""A gate in every form that a person or a CI system reads.

Each format is a function from :data:`Judged`, a gate in words and its facts for each GPU, to text;
:func:`write_github` alone touches files.  Text that comes from a run, a budget or a factory stands
on one line, with ``?`` for what a terminal, XML or GitHub could take for more than text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rnnprof.gate.reasons import numbers_in
from rnnprof.gate.verdicts import (
    SEVERITY,
    Finding,
    Verdict,
    WordedFinding,
    WordedGate,
    worst,
)
from rnnprof.plain_text import one_line
from rnnprof.units import format_bytes, format_change, format_rate, format_ratio, format_seconds

GROWTH_KINDS: Final = frozenset({"memory_growth", "time_growth"})
"""Kinds whose interval is that of the ratio to the baseline."""

SIGNS: Final = {
    Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.NOT_COMPARABLE: "🚫", Verdict.INCONCLUSIVE: "⚠️",
}  # fmt: skip

TAGS: Final = {
    Verdict.FAIL: "failure", Verdict.NOT_COMPARABLE: "error", Verdict.INCONCLUSIVE: "skipped",
}  # fmt: skip
"""JUnit's elements; a check that held has none."""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a gate judged: the facts that its report states beside the findings.

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


@dataclass(frozen=True, slots=True)
class Judged:
    """What every format renders: a gate in words for each GPU, with its facts.

    Attributes:
        gates: at least one; one alone goes without the GPU's name.
        sentence: how many GPUs passed, and which did not; "" of one alone.
    """

    gates: tuple[tuple[WordedGate, CheckContext], ...]
    sentence: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst over all GPUs."""
        return worst(gate.verdict for gate, _ in self.gates)


# --- facts ---------------------------------------------------------------------------------------


def worst_first(findings: Iterable[WordedFinding]) -> list[WordedFinding]:
    """By verdict, then by how far past the limit; equals stay in the order of the budget."""
    return sorted(findings, key=rank)


def rank(worded: WordedFinding) -> tuple[int, float]:
    """What sorts the worst finding first."""
    return SEVERITY.index(worded.finding.verdict), -_excess(worded.finding)


def _excess(finding: Finding) -> float:
    """How many times past its limit; infinite where nothing was measured, 1 where all is well."""
    if finding.verdict is Verdict.PASS:
        return 1.0
    measured, limit = known_numbers(finding.measured), known_numbers(finding.limit)
    if measured is None or limit is None or measured <= 0 or limit <= 0:
        return math.inf
    return max(measured / limit, limit / measured)


def counts_of(findings: Sequence[WordedFinding]) -> dict[Verdict, int]:
    """How many findings have each verdict, the worst first; 0 of a verdict that none has."""
    return {each: sum(f.finding.verdict is each for f in findings) for each in SEVERITY}


def names_of(findings: Sequence[WordedFinding], context: CheckContext) -> list[str]:
    """Each finding's name, with its GPU where there are several; where one recurs (two kinds of
    peak at a point) it is numbered, for readers that tell tests and charts apart by it.
    """
    seen: Counter[str] = Counter()
    names = []
    for each in findings:
        name = one_line(name_of(each.finding, context))
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def name_of(finding: Finding, context: CheckContext) -> str:
    """``peak B=64 T=128``; of one GPU among several ``simulated-t4: peak B=64 T=128``."""
    return finding.name if context.gpu is None else f"{context.gpu}: {finding.name}"


def known_numbers(value: float | None) -> float | None:
    """A figure; None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class _Figures:
    """The figures of a finding as text, each empty where there is none."""

    measured: str
    limit: str
    baseline: str
    interval: str

    def without(self, names: Collection[str]) -> str:
        """``612 MiB, limit 600 MiB``: the figures that are not among *names*."""
        prefixes = {"measured": "", "limit": "limit ", "baseline": "baseline ",
                    "interval": "95% interval "}  # fmt: skip
        texts = {name: getattr(self, name) for name in prefixes if name not in names}
        return ", ".join(prefixes[name] + text for name, text in texts.items() if text)


def figures_of(finding: Finding) -> _Figures:
    """Every figure of a finding; exactly where rounded ones would look alike."""
    # rounded alike, a limit and what went past it would be the same figure
    scale = _exact if _is_blurred(finding) else _rounded
    values = [known_numbers(value) for value in (finding.measured, finding.limit, finding.baseline)]
    measured, limit, baseline = (
        "" if value is None else scale(value, finding.unit) for value in values
    )
    return _Figures(measured, limit, baseline, interval_of(finding))


def _is_blurred(finding: Finding) -> bool:
    """Whether two figures that differ are the same text once they are rounded."""
    values = (finding.measured, finding.limit, finding.baseline)
    known = {value for each in values if (value := known_numbers(each)) is not None}
    return len({_rounded(value, finding.unit) for value in known}) < len(known)


def _stated(finding: Finding) -> set[str]:
    """Names of the figures that the sentence of a finding states, as exactly as needed."""
    numbers = set(numbers_in(finding.reason))
    names = set()
    if finding.interval is not None and numbers.issuperset(finding.interval):
        names.add("interval")
    if not _is_blurred(finding):
        exact = ("measured", "limit", "baseline")
        names |= {name for name in exact if getattr(finding, name) in numbers}
    return names


def interval_of(finding: Finding) -> str:
    """The 95% interval as text, of a growth as changes; empty where there is none."""
    if finding.interval is None or not all(map(math.isfinite, finding.interval)):
        return ""
    low, high = finding.interval
    if finding.kind in GROWTH_KINDS:
        return f"{format_change(low - 1)} to {format_change(high - 1)}"
    return f"{_rounded(low, finding.unit)} to {_rounded(high, finding.unit)}"


def _rounded(value: float, unit: str) -> str:
    scale = SCALES.get(unit)
    return scale(value) if scale else f"{value:.6g} {one_line(unit)}".rstrip()


def _exact(value: float, unit: str) -> str:
    return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:.9g} {one_line(unit)}".rstrip()


def detectable_of(finding: Finding) -> str:
    """``0.5%``; empty where the check is exact or that is unknown."""
    ratio = known_numbers(finding.detectable_ratio)
    return "" if ratio is None else format_ratio(ratio)


def why_of(worded: WordedFinding) -> str:
    """The figures that the sentence does not state, the sentence, the smallest change that the
    check could have detected.
    """
    finding = worded.finding
    figures = figures_of(finding).without(_stated(finding))
    detectable = detectable_of(finding)
    parts = (figures, one_line(worded.sentence))
    ending = f" (detectable change {detectable})" if detectable else ""
    return ": ".join(part for part in parts if part) + ending


def facts_of(context: CheckContext) -> str:
    """What was judged, against what, on one line."""
    against = [] if context.base_name is None else [f"against {context.base_name}"]
    budget = [] if context.budget_name is None else [f"budget {context.budget_name}"]
    facts = [
        context.run_name,
        *against,
        context.workload,
        context.device,
        f"limit {limit_of(context)}",
        *budget,
    ]
    return ", ".join(map(one_line, facts))


def limit_of(context: CheckContext) -> str:
    """The run's limit as text."""
    return "not known" if context.limit_bytes is None else format_bytes(context.limit_bytes)


SCALES: Final[Mapping[str, Callable[[float], str]]] = {
    "bytes": format_bytes,
    "s": format_seconds,
    "time_steps_per_s": lambda value: format_rate(value, "time steps"),
    "sequences": lambda value: f"B={value:.0f}",
    "ratio": lambda value: f"{value * 100:.4g}%",
}
