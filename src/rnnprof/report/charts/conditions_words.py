"""What the chart of the conditions says below itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rnnprof.plain_text import clip
from rnnprof.points.fold import Drift
from rnnprof.report.charts.conditions_course import (
    REASON_COLUMNS,
    TAKERS,
    Course,
    Pass,
    clock_of,
    heat_of,
    power_of,
    readings_of,
    reasons_of,
    shares_of,
)
from rnnprof.runfile.observations import Timing
from rnnprof.units import format_duration, format_ratio

# --- in words ------------------------------------------------------------------------------------


def finding_of(course: Course, passes: Sequence[Pass], drift: Drift | None) -> str:
    sentences = [_length(course, passes), *_noisy_text(passes), *_drifted(drift)]
    return " ".join([*sentences, *_extremes(passes), *_unknown(passes)])


def _length(course: Course, passes: Sequence[Pass]) -> str:
    subject = f"{len(passes)} {'pass' if len(passes) == 1 else 'passes'} told their conditions"
    if course.is_timed:
        subject += f", over {format_duration(course.end * 60)}"
    if not course.pauses:
        return f"{subject}."
    times = "once" if len(course.pauses) == 1 else f"{len(course.pauses)} times"
    return f"{subject}; the run was resumed {times}."


def _noisy_text(passes: Sequence[Pass]) -> list[str]:
    hit = [each for each in passes if each.noisy is not None]
    if not hit:
        return ["None was noisy."] if passes else []
    timings = sum(isinstance(each.observation, Timing) for each in hit)
    first = hit[0]
    kind = type(first.observation).__name__.lower()
    reason = clip(first.noisy or "", REASON_COLUMNS)
    were = "was" if len(hit) == 1 else "were"
    count = f"{len(hit)} {were} noisy, {timings} of them timing"
    # rates belong to the device, and to no point
    place = "" if kind == "calibration" else f" at {first.observation.point}"
    return [f"{count}; first the {kind} pass{place}: {reason}."]


def _drifted(drift: Drift | None) -> list[str]:
    if drift is None:
        return ["The drift is unknown: no anchor was timed twice quiet."]
    timed = f"The anchor {drift.point} was timed {len(drift.medians_s)} times quiet"
    last = _signed((drift.medians_s[-1] / drift.medians_s[0] - 1) * 100)
    drifted = f"its step time drifted by {format_ratio(drift.ratio)}"
    return [f"{timed}: {drifted}, the last {last} against the first."]


def _signed(percent: float) -> str:
    return f"{percent:+.2g}%"


def _extremes(passes: Sequence[Pass]) -> list[str]:
    """The range of what is drawn."""
    sentences = []
    readings = (
        ("SM clock", clock_of, "MHz"),
        ("temperature", heat_of, "°C"),
        ("power", power_of, "W"),
    )
    for name, reading, unit in readings:
        values = [value for _, value in readings_of(passes, reading)]
        if values:
            sentences.append(f"{name} {min(values):.4g} to {max(values):.4g} {unit}")
    for taker in TAKERS:
        shares = [share for _, share in shares_of(passes, taker)]
        if shares:
            most = f"at most {format_ratio(max(shares))} of a processor"
            sentences.append(f"{taker.name} took {most if max(shares) else 'nothing'}")
    reasons = [f"{name} in {len(at)}" for name, at in reasons_of(passes).items()]
    sentences += [f"clock-event reasons: {', '.join(reasons)}"] if reasons else []
    text = "; ".join(sentences)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


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
    """What no pass could tell or some could not, with the first reason."""
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for each in passes:
        device = each.conditions.device_after
        told = {**each.conditions.unknown, **(device.unknown if device else {})}
        drawn = {DRAWN_FIELDS[name]: why for name, why in told.items() if name in DRAWN_FIELDS}
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
