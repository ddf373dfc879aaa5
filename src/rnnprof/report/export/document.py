"""The JSON document of ``profile --json`` and ``export --format json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rnnprof.advice.advise import Advice
from rnnprof.maxbatch.certify import training_limit_of
from rnnprof.maxbatch.neighbours import neighbours_of
from rnnprof.maxbatch.step_functions import loop_of, step_functions_of
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.codec import encode
from rnnprof.runfile.points import Point
from rnnprof.runfile.records import Run

MEASURED_FIELDS: Final = (
    "outcome", "phase", "reason",
    "step_time_s", "step_time_within_ci_s", "step_time_ci_s", "converged", "noisy",
    "time_steps_per_s", "sequences_per_s", "host_enqueue_s", "block_wait_s",
    "flops_per_step", "flop_per_s", "matmul_share_ratio", "bound", "bound_reason",
    "retries", "breakdown_reason", "implementation", "seen_batch", "seen_time_steps", "warnings",
)  # fmt: skip
"""Fields of a measurement that stand in the document under their own names."""

RENAMED_FIELDS: Final = {
    "phase_time_s": "phase_times_s",
    "charged_bytes": "peak_charged_bytes",
    "allocated_bytes": "peak_allocated_bytes",
    "reserved_bytes": "peak_reserved_bytes",
    "process_bytes": "peak_process_bytes",
}
"""Fields of the document, and those of a measurement that they hold: bytes are peaks there."""


def document(
    run: Run,
    measurements: Mapping[Point, Measurement],
    frontier: Sequence[Certificate] = (),
    advice: Advice | None = None,
) -> dict[str, Any]:
    """The run as one JSON object; a point that was not reached is left out.

    Sizes are in bytes, times in seconds, rates per second; what is unknown, and a float that
    JSON cannot hold, is null.
    """
    ordered = sorted(measurements.values(), key=lambda m: (m.point.time_steps, m.point.batch))
    whole = {
        "run": run.path,
        "points": [_point(m) | {"simulated": run.is_simulated} for m in ordered],
        "frontier": encode(tuple(frontier)),
        **_loops(run, frontier),
        "advice": encode(advice) if advice else None,
        "environment": encode(run.environment),
    }
    return {key: finite(value) for key, value in whole.items()}


def frontier_document(run: Run, frontier: Sequence[Certificate], advice: Advice) -> dict[str, Any]:
    """The edges alone, as one JSON object."""
    whole = {
        "run": run.path,
        "frontier": encode(tuple(frontier)),
        **_loops(run, frontier),
        "advice": encode(advice),
        "limit_bytes": run.limit_bytes,
        "training_limit_bytes": training_limit_of(run),
        "environment": encode(run.environment),
    }
    if run.is_simulated:
        whole["neighbours"] = encode(neighbours_of(run, frontier))
    return {key: finite(value) for key, value in whole.items()}


def _loops(run: Run, frontier: Sequence[Certificate]) -> dict[str, Any]:
    """The loop that the frontier holds for, and what a step function was seen to fit beside it."""
    return {
        "loop": loop_of(run.header.workload),
        "step_function": encode(step_functions_of(run, frontier)),
    }


def _point(measurement: Measurement) -> dict[str, Any]:
    return {
        "batch": measurement.point.batch,
        "time_steps": measurement.point.time_steps,
        **{name: encode(getattr(measurement, name)) for name in MEASURED_FIELDS},
        **{name: encode(getattr(measurement, own)) for name, own in RENAMED_FIELDS.items()},
        "breakdown_bytes": _breakdown_bytes(measurement),
    }


def _breakdown_bytes(measurement: Measurement) -> dict[str, Any] | None:
    breakdown = measurement.breakdown
    return None if breakdown is None else {**breakdown.parts(), "phase": breakdown.phase}


def finite(value: Any) -> Any:
    """*value* with null for nan and the infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
