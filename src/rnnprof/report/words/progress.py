"""Sentences of the progress of a sweep or a search."""

from __future__ import annotations

from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.report.words.dispatch import as_text, say
from rnnprof.report.words.phrases import training_steps
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point
from rnnprof.units import format_bytes, format_duration, format_rate, format_seconds


def to_run(todo: int, total: int) -> str:
    """How many points are still to run, and how many are not."""
    kept = f" ({total - todo} of {total} are complete or implied already)" if todo < total else ""
    return f"{todo} points to run{kept}"


def doing(point: Point, observes: str) -> str:
    """The pass that begins."""
    if observes == "rates":
        return "the device: rates to compare with"
    return f"{point}: {observes} pass"


def trying(point: Point, why: Reason) -> str:
    """A batch that is tried, and why."""
    return f"trying {point}: {say(why)}"


def time_left(seconds: float) -> str:
    """``1 min 20 s left``."""
    return f"{format_duration(seconds)} left"


def neighbours(certificate: Certificate, done: int, total: int) -> str:
    """How many batches around a largest one have been run."""
    return f"T={certificate.time_steps}: neighbours of {certificate.batch}, {done} of {total}"


def probe_ended(fit: Fit) -> str:
    """The result of a tried batch, in one line."""
    if fit.outcome is Outcome.MEASURED:
        size = format_bytes(fit.peak_charged_bytes)
        return f"fits: {size} over {training_steps(fit.train_steps_run)}"
    return fit.reason or fit.outcome.value


def point_ended(measurement: Measurement) -> str:
    """The result of a point, in one line."""
    if measurement.outcome is not Outcome.MEASURED:
        return f"{measurement.point}: {measurement.outcome}: {as_text(measurement.reason)}"
    return (
        f"{measurement.point}: training step {format_seconds(measurement.step_time_s)}, "
        f"{format_rate(measurement.time_steps_per_s, 'time steps')}, memory "
        f"{format_bytes(measurement.peak_charged_bytes)}"
    )
