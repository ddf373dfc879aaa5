"""The JSON document of ``profile --json`` and ``export --format json``."""

from __future__ import annotations

import enum
import math
from dataclasses import fields, is_dataclass
from typing import Any, Final

from rnnprof.maxbatch.step_functions import loop_of
from rnnprof.points.measurement import Measurement
from rnnprof.points.script_facts import SCRIPT_FIELDS, script_fields
from rnnprof.reasons import Reason
from rnnprof.report.model import RunReport
from rnnprof.report.words.dispatch import say
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import GOOD_OUTCOMES
from rnnprof.runfile.records import Run

MEASURED_FIELDS: Final = (
    "outcome", "phase", "reason", "log_tail",
    "step_time_s", "step_time_within_ci_s", "step_time_ci_s", "converged", "noisy",
    "time_steps_per_s", "sequences_per_s", "host_enqueue_s", "block_wait_s",
    "flops_per_step", "flop_per_s", "matmul_share_ratio", "bound", "bound_reason",
    "retries", "breakdown_reason", "implementation", "seen_batch", "seen_time_steps", "warnings",
    *SCRIPT_FIELDS,
)  # fmt: skip
"""Fields of a measurement that have the same name in the document."""

RENAMED_FIELDS: Final = {
    "phase_time_s": "phase_times_s",
    "charged_bytes": "peak_charged_bytes",
    "allocated_bytes": "peak_allocated_bytes",
    "reserved_bytes": "peak_reserved_bytes",
    "process_bytes": "peak_process_bytes",
}
"""Fields of the document, and those of a measurement that they hold: bytes are peaks there."""


def document(report: RunReport) -> dict[str, Any]:
    """The run as one JSON object; a point that was not reached is left out.

    Sizes are in bytes, times in seconds, rates per second; what is unknown, and a float that
    JSON cannot hold, is null.
    """
    run, measurements = report.run, report.measurements
    whole = {
        "run": run.path,
        "points": [
            _point(measurements[point]) | {"simulated": run.is_simulated}
            for point in report.points
            if point in measurements
        ],
        "frontier": _frontier(report),
        **_loops(report),
        "advice": worded(report.advice),
        "environment": worded(run.environment),
    }
    return {key: finite(value) for key, value in whole.items()}


def frontier_document(report: RunReport) -> dict[str, Any]:
    """The largest batches alone, as one JSON object."""
    run = report.run
    whole = {
        "run": run.path,
        "frontier": _frontier(report),
        **_loops(report),
        "advice": worded(report.advice),
        "limit_bytes": run.limit_bytes,
        "training_limit_bytes": report.limit_bytes,
        "environment": worded(run.environment),
    }
    if run.is_simulated:
        whole["neighbours"] = worded(report.neighbours)
    if failures := _failures(run):
        whole["failures"] = failures
    return {key: finite(value) for key, value in whole.items()}


def _frontier(report: RunReport) -> list[dict[str, Any]]:
    """The certificates; those of a script with what the proof says of it."""
    proofs = {each.attempt: each for each in report.run.observations if isinstance(each, Fit)}
    is_script = report.run.header.workload.script is not None
    return [
        worded(each)
        | (script_fields(proofs.get(each.fits.attempt) if each.fits else None) if is_script else {})
        for each in report.frontier
    ]


def _failures(run: Run) -> list[dict[str, Any]]:
    """The passes of the last invocation that failed, crashed or timed out."""
    request = run.requests[-1].request if run.requests else None
    return [
        {
            "batch": each.batch,
            "time_steps": each.time_steps,
            "outcome": each.outcome.value,
            "reason": each.reason,
            "log_tail": each.failure.log_tail if each.failure else None,
        }
        for each in run.observations
        if each.request == request and each.outcome not in GOOD_OUTCOMES
    ]


def _loops(report: RunReport) -> dict[str, Any]:
    """The loop that the frontier holds for, and what a step function was seen to fit beside it."""
    return {
        "loop": loop_of(report.run.header.workload),
        "step_function": worded(report.step_functions),
    }


def _point(measurement: Measurement) -> dict[str, Any]:
    return {
        "batch": measurement.point.batch,
        "time_steps": measurement.point.time_steps,
        **{name: worded(getattr(measurement, name)) for name in MEASURED_FIELDS},
        **{name: worded(getattr(measurement, own)) for name, own in RENAMED_FIELDS.items()},
        "breakdown_bytes": _breakdown_bytes(measurement),
    }


def _breakdown_bytes(measurement: Measurement) -> dict[str, Any] | None:
    breakdown = measurement.breakdown
    return None if breakdown is None else {**breakdown.parts(), "phase": breakdown.phase}


def worded(value: Any) -> Any:
    """*value* as JSON has it: dataclasses as objects, and a reason as its sentence."""
    if isinstance(value, Reason):
        return say(value)
    if is_dataclass(value):
        return {each.name: worded(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {key: worded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [worded(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value


def finite(value: Any) -> Any:
    """*value* with null for nan and the infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
