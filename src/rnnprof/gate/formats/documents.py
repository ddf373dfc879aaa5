"""A verdict for programs: JSON, and what Bencher and github-action-benchmark read."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Final

from rnnprof.gate.formats.shared import (
    GROWTH_KINDS,
    CheckContext,
    Judged,
    interval_of,
    known_numbers,
    names_of,
)
from rnnprof.gate.verdicts import Finding, WordedFinding, WordedGate
from rnnprof.plain_text import json_text, one_line
from rnnprof.runfile.codec import encode

SMALLER_IS_BETTER: Final = frozenset({"bytes", "s", "ratio"})
"""Units of figures that a chart of ``customSmallerIsBetter`` can show as they are."""


# --- JSON ----------------------------------------------------------------------------------------


def gates_json(judged: Judged) -> str:
    """One JSON document, of several GPUs ``{"runs": [document, ...]}``; a figure that is no number
    is null.
    """
    documents = [_document(gate, context) for gate, context in judged.gates]
    whole = documents[0] if len(documents) == 1 else {"runs": documents}
    return json_text(whole)


def _document(gate: WordedGate, context: CheckContext) -> dict[str, Any]:
    return {
        "verdict": gate.verdict.value,
        "exit_code": gate.exit_code(strict=context.is_strict),
        "strict": context.is_strict,
        "run": context.run_name,
        "baseline": context.base_name,
        "budget": context.budget_name,
        "workload": context.workload,
        "device": context.device,
        "limit_bytes": context.limit_bytes,
        "findings": [_numbers_only(encode(_fields(each))) for each in gate.findings],
    }


def _fields(worded: WordedFinding) -> dict[str, Any]:
    """The fields of a finding, with its sentence as the reason."""
    values = {field.name: getattr(worded.finding, field.name) for field in fields(Finding)}
    return {**values, "reason": worded.sentence}


def _numbers_only(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers_only(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_numbers_only(item) for item in value]
        return None if None in items else items  # an interval without an end is none
    return None if isinstance(value, float) and not math.isfinite(value) else value


def gates_benchmarks(judged: Judged) -> str:
    """The form ``customSmallerIsBetter`` of github-action-benchmark: a JSON array of what was
    measured, on all GPUs.

    Throughput is turned into seconds per time step; a largest batch, of which more is better, is
    left out.
    """
    named = [
        pair
        for gate, context in judged.gates
        for pair in zip(names_of(gate.findings, context), gate.findings, strict=True)
    ]
    rows = [row for name, each in named if (row := _benchmark(name, each)) is not None]
    return json_text(rows)


def _benchmark(name: str, worded: WordedFinding) -> dict[str, str | float] | None:
    finding = worded.finding
    measured, ends = known_numbers(finding.measured), finding.interval
    is_throughput = finding.unit == "time_steps_per_s"
    if measured is None or not (is_throughput or finding.unit in SMALLER_IS_BETTER):
        return None
    extra = [f"{finding.verdict.value}: {one_line(worded.sentence)}"]
    if ends is not None and finding.kind in GROWTH_KINDS:
        extra.append(f"95% interval of the growth {interval_of(finding)}")
        ends = None
    if is_throughput:
        if measured <= 0 or math.isinf(1 / measured):
            return None
        measured = 1 / measured
        is_known = ends is not None and min(ends) > 0 and not math.isinf(1 / min(ends))
        ends = (1 / ends[1], 1 / ends[0]) if ends is not None and is_known else None
        extra.append("seconds per time step: one over the throughput in time steps/s")
    row: dict[str, str | float] = {
        "name": name,
        "unit": "s" if is_throughput else finding.unit,
        "value": measured,
        "extra": "\n".join(extra),
    }
    if ends is not None and all(map(math.isfinite, ends)):
        row["range"] = f"± {(ends[1] - ends[0]) / 2:.3g}"
    return row
