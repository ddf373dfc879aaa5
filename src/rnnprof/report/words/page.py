"""The sentences of the page: titles of sections, captions of tables, and what to do instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rnnprof.advice.recommendation import NEAR_BEST_RATIO
from rnnprof.outcomes import last_lines
from rnnprof.plain_text import clip, columns_of, one_line
from rnnprof.points.fold import Drift
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.report.model import RunReport
from rnnprof.report.words.dispatch import as_text
from rnnprof.report.words.phrases import workload_in_words
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes, format_ratio, format_seconds

TITLE_COLUMNS: Final = 120

SECTIONS: Final = {
    "grid": "The grid",
    "frontier": "The frontier",
    "slices": "Slices",
    "memory": "What takes the memory",
    "time": "Where the time goes",
    "trainability": "Trainability",
    "script": "The script",
    "certificates": "Certificates",
    "advice": "Advice",
    "conditions": "Conditions over the run",
    "differences": "Differences",
    "provenance": "What was run, and on what",
    "points": "Points",
}
"""The title of each section, in their order."""

NOT_DRAWN: Final = {
    "grid": "No point of the grid was measured or ran out of memory, so there is nothing to draw.",
    "frontier": "There is no certificate to draw: profile without --no-certify, or run max-batch, "
    "to certify the largest batch at each T.",
    "slices": "No point was measured, so there is no slice to draw.",
    "memory": "No memory pass recorded what the peak is made of: profile makes one at each point "
    "that fits.",
    "time": "No training step was timed: profile times each point that fits.",
}
"""In a section whose charts are all missing, and how to get them."""

NO_STUDY: Final = "This run has no study: rnnprof trainability makes one."
NO_POINT: Final = "No point was requested."
NO_COMMON_POINT: Final = "No point was measured in all of these runs."
RUNS_AGREE: Final = "Fingerprint, environment, workload, limit and settings agree."

DIFFERENCES: Final = "What differs between the runs, apart from what was measured."
REQUESTS: Final = "Every invocation that wrote to this run file."
NOISY_PASSES: Final = "Every noisy pass; one that was repeated without noise does not count."
FLAGS: Final = "~: the time did not converge; !: it was noisy."
POINTS_LEGEND: Final = (
    f"{FLAGS} ±: half the interval of the step time, 95% within a process or the range over "
    "processes. Memory: the peak of what the limit counts; allocated, reserved and process: "
    "peaks by the allocator and of the process. Attempts: records of the run file."
)


def page_title(reports: Sequence[RunReport]) -> str:
    """The page's title: the workload and its device, or the number of runs."""
    if len(reports) > 1:
        return f"{len(reports)} runs side by side"
    header = reports[0].run.header
    device = header.environment.get("device_name")
    on = f" on {one_line(str(device))}" if device else ""
    columns = max(TITLE_COLUMNS - columns_of(on), TITLE_COLUMNS // 2)
    return clip(f"{workload_in_words(header.workload, columns)}{on}", TITLE_COLUMNS)


def measured_from(times_utc: Sequence[str]) -> str:
    """When the first invocation began."""
    return f"from {times_utc[0]}" if times_utc else "nothing was requested"


def certificates_caption(loop: str) -> str:
    """Of the table of certificates; *loop* names the training loop, if there is one to name."""
    return (
        "What is certified at each T: the largest batch that passed its training steps in a fresh "
        f"worker{loop}, and the smallest above it that ran out of memory."
    )


# --- advice --------------------------------------------------------------------------------------


def advice_head(report: RunReport) -> str:
    """The first sentence of the advice."""
    if report.run.is_simulated:
        return "A simulated GPU gives no recommendation: it gives the largest safe batch."
    if not report.advice.recommendations:
        return "This run recommends no batch."
    return "The recommended batch at each T, and why."


def by_goodput(time_steps: int, batch: int, reasons: Iterable[Reason | str]) -> str:
    """The batch with the best goodput at one T."""
    why = "; ".join(as_text(reason) for reason in reasons)
    return f"By goodput the best batch at T={time_steps} is B={batch}: {why}"


def batches_caption(report: RunReport) -> str:
    """Of the table of batches at each T."""
    near, free = format_ratio(NEAR_BEST_RATIO), format_ratio(report.headroom_ratio)
    return (
        f"Recommended: the smallest batch within {near} of the best throughput at this T that "
        f"leaves {free} of the limit of {format_bytes(report.limit_bytes)} free; several where the "
        "times do not decide. Largest safe: the largest that leaves as much."
    )


# --- conditions ----------------------------------------------------------------------------------


def noisy_count(noisy: int, known: int, passes: int) -> str:
    """How many of the timed passes were noisy.

    Args:
        known: passes that recorded their conditions.
    """
    if not passes:
        return "No pass was timed, and so none recorded its conditions."
    if not known:
        return f"None of the {passes} timed passes recorded its conditions."
    without = f"; {passes - known} did not record their conditions" if known < passes else ""
    verb = "was" if noisy < 2 else "were"
    return (
        f"{noisy or 'None'} of {known} timed passes {verb} noisy from something else on the "
        f"machine{without}."
    )


def drift_in_words(drift: Drift) -> str:
    """The anchor's step times and their drift."""
    medians = ", ".join(format_seconds(each) for each in drift.medians_s)
    return (
        f"The anchor {drift.point}, timed several times over the run, took {medians} per training "
        f"step: a drift of {format_ratio(drift.ratio)}."
    )


# --- points --------------------------------------------------------------------------------------


def points_caption(points: int) -> str:
    """Of the table of points."""
    return f"All {points} points, by T and then by B. {POINTS_LEGEND}"


def left_out(heads: Sequence[str]) -> str:
    """Columns of figures that are known at no point."""
    return f"Known at no point, and left out: {', '.join(heads)}."


def common_caption(points: int, first: str) -> str:
    """Of the table of points that all runs have."""
    return (
        f"The {points} points that all runs have, each relative to {first}: above 1 is more memory "
        f"or a longer step. {FLAGS}"
    )


def remarks(measurement: Measurement) -> str:
    """What else is known of a point."""
    parts = [as_text(measurement.reason)]
    if printed := last_lines(measurement.log_tail or ""):
        parts.append(f"last line printed: {printed[-1]}")
    parts += [f"noisy: {as_text(measurement.noisy)}"] if measurement.noisy else []
    parts += [f"{measurement.retries} retries of the allocator"] if measurement.retries else []
    if measurement.outcome is Outcome.MEASURED and measurement.breakdown_reason:
        parts.append(f"no breakdown: {as_text(measurement.breakdown_reason)}")
    return "; ".join(text for text in (*parts, *map(as_text, measurement.warnings)) if text)
