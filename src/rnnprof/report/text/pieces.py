"""What every text has in common: widths, figures, and how a largest batch is worded."""

from __future__ import annotations

from typing import Final

from rnnprof.advice.recommendation import half_interval_ratio
from rnnprof.points.measurement import Measurement
from rnnprof.report.model import (
    RunReport,
    SeenEdge,
)
from rnnprof.report.words.line import WIDTH, clip, one_line
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_rate, format_ratio, seconds_unit

__all__ = (
    "CHARGED", "TRAINING_PHASES", "WIDTH", "certificate_in_words", "clip", "edge_in_words",
    "limit_in_words", "one_line", "phase_times_in_words", "plus_minus", "precision",
    "rate_in_words", "training_steps", "unusable_in_words",
)  # fmt: skip

CHARGED: Final = {
    "cuda": "reserved by the caching allocator",
    "cpu": "address space above the baseline",
    "simulated": "reserved by a simulated caching allocator",
}
"""What a limit counts."""


# --- short text ----------------------------------------------------------------------------------


def rate_in_words(per_second: float | None, of: str = "time steps") -> str:
    """``12.3 k time steps/s``."""
    return format_rate(per_second, of)


def limit_in_words(report: RunReport) -> str:
    """What training may take, and what of the limit is not for it."""
    words = f"limit {format_bytes(report.limit_bytes)}"
    reserve_bytes = report.run.limit_bytes - report.limit_bytes
    return f"{words}, {format_bytes(reserve_bytes)} set aside" if reserve_bytes else words


def phase_times_in_words(measurement: Measurement) -> str:
    """Forward, backward and optimizer in one unit, ``26/39/0.11 ms``; empty where unknown."""
    times = [measurement.phase_times_s.get(phase) for phase in TRAINING_PHASES]
    known = [seconds for seconds in times if seconds]
    if not known:
        return ""
    factor, unit = seconds_unit(max(known))
    numbers = ("-" if not each else _two_digits(each * factor) for each in times)
    return f"{'/'.join(numbers)} {unit}"


def _two_digits(number: float) -> str:
    """At least: ``254``, ``26``, ``2.0``, ``0.11``; ``<0.0001`` in place of an exponent."""
    if number >= 9.95:
        return f"{number:.0f}"
    return f"{number:#.2g}" if number >= 1e-4 else "<0.0001"


def precision(measurement: Measurement) -> str:
    """Half the interval as a share of the step time, ``±0.84%``; empty where unknown."""
    ratio = half_interval_ratio(measurement)
    return "" if ratio is None else plus_minus(ratio)


def plus_minus(ratio: float) -> str:
    return f"±{format_ratio(ratio)}" if ratio < 0.995 else "±>99%"


def edge_in_words(edge: SeenEdge) -> str:
    """``64 fits, 128 is out of memory``; what was seen, and no more than that."""
    if edge.certificate is not None:
        return certificate_in_words(edge.certificate)
    fails = f"{edge.fails.point.batch} is out of memory" if edge.fails else ""
    if edge.fails and edge.fails.outcome is Outcome.IMPLIED_OOM:
        fails += " (implied)"
    if edge.fits is None:
        return f"none fits, {fails}" if fails else "nothing was measured"
    if edge.fails and edge.fails.point.batch < edge.fits:
        return f"{edge.fits} fits, yet {fails}"
    return f"{edge.fits} fits, {fails or _unknown_above(edge)}"


def certificate_in_words(certificate: Certificate, *, is_brief: bool = False) -> str:
    """``140 is the largest over 10 training steps, 141 is out of memory``, or why there is none.

    Args:
        is_brief: over how many training steps is said elsewhere.
    """
    batch, unit, status = certificate.batch, certificate.granularity, certificate.status
    reason = f": {certificate.reason}" if certificate.reason else ""
    over = ""
    if certificate.horizon is not None and not is_brief:
        over = f" over {training_steps(certificate.horizon)}"
    if status is EdgeStatus.CERTIFIED and batch is not None:
        return f"{batch} is the largest{over}, {batch + unit} is out of memory{reason}"
    if status is EdgeStatus.CAPPED:
        return f"{batch} fits{over}, the largest tried{reason}"
    if status is EdgeStatus.NOTHING_FITS:
        return f"nothing fits{reason}"
    return f"{status.value.replace('_', ' ')}{reason}"


def unusable_in_words(certificate: Certificate) -> str:
    """``not stationary: each training step leaves 1.61 MiB; B=8 lasts about 58 training steps``."""
    return f"{certificate.status.value.replace('_', ' ')}: {certificate.reason}"


def training_steps(count: int) -> str:
    """``1 training step``, ``10 training steps``."""
    return f"{count} training step{'' if count == 1 else 's'}"


def _unknown_above(edge: SeenEdge) -> str:
    return "the largest tried" if edge.is_largest else "nothing larger was measured"


# --- a row for each point ------------------------------------------------------------------------

TRAINING_PHASES: Final = ("forward", "backward", "optimizer")
