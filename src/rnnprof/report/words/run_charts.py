"""Titles and findings of the charts of a run's conditions and of its study."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rnnprof.plain_text import clip
from rnnprof.report.model import (
    Drift,
    Goodput,
    NoiseAt,
    Pass,
    ReachAt,
    RunReport,
    Timing,
    ToTarget,
    readings_of,
    reasons_of,
    shares_of,
)
from rnnprof.report.words.dispatch import as_text
from rnnprof.report.words.phrases import sentences
from rnnprof.report.words.points import TAKERS
from rnnprof.units import format_duration, format_ratio, format_seconds

REASON_COLUMNS: Final = 160
"""A reason may be long; the finding is to be read aloud."""

# --- conditions ----------------------------------------------------------------------------------

CONDITIONS_TITLE: Final = "Conditions over the run"


def conditions_finding(report: RunReport) -> str:
    """How many passes were noisy, the drift, the ranges of what is drawn, and what is unknown."""
    passes = report.passes
    parts = [_length(report), *_noisy(passes), _drifted(report.drift)]
    return " ".join([*parts, *_extremes(passes), *_unknown(passes)])


def _length(report: RunReport) -> str:
    course, count = report.course, len(report.passes)
    subject = f"{count} {'pass' if count == 1 else 'passes'} recorded their conditions"
    if course.is_timed:
        subject += f", over {format_duration(course.end * 60)}"
    if not course.pauses:
        return f"{subject}."
    times = "once" if len(course.pauses) == 1 else f"{len(course.pauses)} times"
    return f"{subject}; the run was resumed {times}."


def _noisy(passes: Sequence[Pass]) -> list[str]:
    hit = [each for each in passes if each.noisy is not None]
    if not hit:
        return ["None was noisy."] if passes else []
    timings = sum(isinstance(each.observation, Timing) for each in hit)
    first = hit[0]
    kind = type(first.observation).__name__.lower()
    were = "was" if len(hit) == 1 else "were"
    count = f"{len(hit)} {were} noisy, {timings} of them timing"
    # rates belong to the device, and to no point
    place = "" if kind == "calibration" else f" at {first.observation.point}"
    return [f"{count}; first the {kind} pass{place}: {clip(as_text(first.noisy), REASON_COLUMNS)}."]


def _drifted(drift: Drift | None) -> str:
    if drift is None:
        return "The drift is unknown: no anchor was timed twice without noise."
    timed = f"The anchor {drift.point} was timed {len(drift.medians_s)} times without noise"
    last = f"{(drift.medians_s[-1] / drift.medians_s[0] - 1) * 100:+.2g}%"
    drifted = f"its step time drifted by {format_ratio(drift.ratio)}"
    return f"{timed}: {drifted}, the last {last} relative to the first."


READINGS: Final = (
    ("SM clock", "sm_clock_mhz", "MHz"),
    ("temperature", "temperature_c", "°C"),
    ("power", "power_w", "W"),
)


def _extremes(passes: Sequence[Pass]) -> list[str]:
    """The range of what is drawn."""
    clauses = []
    for name, field, unit in READINGS:
        values = [value for _, value in readings_of(passes, field)]
        if values:
            clauses.append(f"{name} {min(values):.4g} to {max(values):.4g} {unit}")
    for taker, words in TAKERS.items():
        shares = [share for _, share in shares_of(passes, taker)]
        if shares:
            most = f"at most {format_ratio(max(shares))} of a processor"
            clauses.append(f"{words.named} took {most if max(shares) else 'nothing'}")
    reasons = [f"{name} in {len(at)}" for name, at in reasons_of(passes).items()]
    clauses += [f"clock-event reasons: {', '.join(reasons)}"] if reasons else []
    text = sentences(["; ".join(clauses)])
    return [text] if text else []


DRAWN_FIELDS: Final = {
    "sm_clock_mhz": "the SM clock",
    "temperature_c": "the temperature",
    "power_w": "the power",
    "event_reasons": "the clock-event reasons",
    "cpu_own_s": "what other processes took",
    "cpu_busy_s": "what other processes took",
    "cpu_steal_s": "the hypervisor's steal",
    "throttled_s": "the throttling",
}
"""Of the facts of a pass those that are drawn, in words."""


def _unknown(passes: Sequence[Pass]) -> list[str]:
    """What all or some passes could not record, with the first reason."""
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for each in passes:
        device = each.conditions.device_after
        unknown = {**each.conditions.unknown, **(device.unknown if device else {})}
        drawn = {DRAWN_FIELDS[name]: why for name, why in unknown.items() if name in DRAWN_FIELDS}
        counts.update(drawn.keys())
        reasons = {**drawn, **reasons}
    parts = [
        f"{name} in {_of(counts[name], len(passes))} ({clip(reasons[name], REASON_COLUMNS)})"
        for name in dict.fromkeys(DRAWN_FIELDS.values())
        if counts[name]
    ]
    return [f"Unknown: {'; '.join(parts)}."] if parts else []


def _of(count: int, total: int) -> str:
    return "all passes" if count == total else f"{count} of {total} passes"


# --- the study -----------------------------------------------------------------------------------

REACH_TITLE: Final = "How far the gradient of the last time step's loss reaches back"
WORTH_TITLE: Final = "What a sequence is worth at each batch"


TARGET_NAME: Final = "Time to a target loss"


def target_title(loss: float) -> str:
    """The title of the chart of the time to a target."""
    return f"To a loss of {loss:g}, medians over seeds"


def reach_finding(found: Iterable[ReachAt]) -> str:
    """The gradient's reach at each T."""
    parts = []
    for each in found:
        assert each.reach is not None
        least = "at least " if each.reach.is_cut else ""
        trend = each.reach.trend.value.replace("_", " ")
        parts.append(f"T={each.time_steps}: {trend}, {least}{each.reach.reach} steps")
    return "; ".join(parts) + "."


def worth_finding(shown: Iterable[NoiseAt], goodput: Mapping[int, Goodput]) -> str:
    """The noise scale at each T, and the batch with the best goodput."""
    parts = []
    for each in shown:
        assert each.scale is not None
        text = f"T={each.time_steps}: noise scale {each.scale.sequences:.3g} sequences"
        if each.time_steps in goodput:
            text += f", best goodput at B={goodput[each.time_steps].batch} (ringed)"
        parts.append(text)
    return "; ".join(parts) + "."


def noise_label(time_steps: int, sequences: float | None) -> str:
    """A line of what a sequence is worth."""
    return f"T={time_steps}, noise scale {sequences:.3g}"


def target_finding(found: Sequence[ToTarget]) -> str:
    """The quickest batch to the target at each T."""
    parts = []
    for time_steps in sorted({each.point.time_steps for each in found}):
        at = [each for each in found if each.point.time_steps == time_steps]
        known = [each for each in at if each.train_s is not None]
        if not known:
            parts.append(f"T={time_steps}: no batch reached it in the given time (crosses)")
            continue
        best = min(known, key=lambda each: each.train_s or math.inf)
        missed = len(at) - len(known)
        also = f"; {missed} of {len(at)} batches did not reach it (crosses)" if missed else ""
        quickest = f"B={best.point.batch} is quickest, {format_seconds(best.train_s)}"
        parts.append(f"T={time_steps}: {quickest}{also}")
    return "; ".join(parts) + "."
