"""Titles and findings of the charts of bars: the parts of the peak, its phases, a step's time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from rnnprof.plain_text import clip
from rnnprof.report.model import Measurement, Memory, Outcome, Point, RunReport
from rnnprof.report.words.chart_legends import FLAGS, NO_BOUND, PARTS
from rnnprof.report.words.dispatch import as_text
from rnnprof.units import format_bytes, format_ratio, format_seconds

REASON_COLUMNS: Final = 240
LARGEST_PARTS: Final = 3
"""So many parts stand in the finding."""

# --- the parts of the peak -----------------------------------------------------------------------

PARTS_TITLE: Final = "What the peak is made of"

NOT_RECORDED: Final = "no memory pass was recorded"


def peaks_along(held: str, first: tuple[str, Point, int], last: tuple[str, Point, int]) -> str:
    """The allocator's peak along one axis of the grid.

    Args:
        held: ``T=16``: what is the same.
        first, last: ``B=8``, the point and its bytes.
    """
    if first == last:
        return f"At {first[1]} the allocator's peak is {format_bytes(first[2])}."
    return (
        f"At {held} the allocator's peak goes from {format_bytes(first[2])} at {first[0]} to "
        f"{format_bytes(last[2])} at {last[0]}."
    )


def made_of(point: Point, parts: Mapping[str, int]) -> str:
    """The largest parts of one peak."""
    total = sum(parts.values()) or 1
    ordered = sorted(parts.items(), key=lambda part: -part[1])[:LARGEST_PARTS]
    named = ", ".join(f"{PARTS[name]} {format_ratio(size / total)}" for name, size in ordered)
    return f"The largest peak drawn, {point}, is {named}."


def parts_unknown(points: Sequence[Point], reason: str) -> str:
    """Where the parts are unknown, with the first reason."""
    others = f" and {len(points) - 1} more" if len(points) > 1 else ""
    return f"The parts are unknown at {points[0]}{others}: {clip(reason, REASON_COLUMNS)}."


# --- the phases of the peak ----------------------------------------------------------------------

PHASES_TITLE: Final = "In which phase memory peaks, and what each phase leaves live"

SMALLEST: Final = ", the smallest"
LARGEST: Final = ", the largest"
LONGEST: Final = ", the longest T"
RECOMMENDED: Final = ", recommended"


def peak_phase(memory: Memory) -> str:
    """The phase of the peak: of the breakdown, else the one with the highest peak."""
    if memory.breakdown is not None:
        return memory.breakdown.phase
    return max(memory.phase_peak_bytes, key=lambda name: memory.phase_peak_bytes[name])


def phases_finding(report: RunReport, memories: Sequence[Memory]) -> str:
    """The phase of the peak at the recommended point, and whether it is another elsewhere."""
    main = next((m for m in memories if m.point == report.advised), memories[-1])
    name = f"the recommended {main.point}" if main.point == report.advised else str(main.point)
    phase = peak_phase(main)
    size = format_bytes(main.phase_peak_bytes.get(phase) or main.peak_allocated_bytes)
    live = ", ".join(f"{n} {format_bytes(s)}" for n, s in main.phase_live_bytes.items())
    parts = [f"At {name} memory peaks in {phase}, at {size}."]
    parts += [f"Live at the end of each phase: {live}."] if live else []
    parts += _elsewhere(phase, [memory for memory in memories if memory is not main])
    parts += [
        f"Each training step at {m.point} leaves {format_bytes(m.net_bytes_per_step)} allocated."
        for m in memories
        if m.net_bytes_per_step
    ]
    return " ".join(parts)


def _elsewhere(phase: str, others: Sequence[Memory]) -> list[str]:
    if not others:
        return []
    different = [m for m in others if peak_phase(m) != phase]
    if different:
        named = ", ".join(f"in {peak_phase(m)} at {m.point}" for m in different)
        return [f"It peaks {named}."]
    where = f"the other {len(others)}" if len(others) > 1 else str(others[0].point)
    return [f"It peaks in the same phase at {where}."]


# --- the time of a step --------------------------------------------------------------------------

TIME_TITLE: Final = "Where a training step's time goes"


def time_notes(costs: Sequence[float], flags: str) -> list[str]:
    """Below the bars: what timing the phases costs, and what the marks mean that are in use."""
    marks = ", ".join(f"{mark} step {meaning}" for mark, meaning in FLAGS.items() if mark in flags)
    return [cost_in_words(costs), *([marks] if marks else [])]


def cost_in_words(costs: Sequence[float]) -> str:
    """How much longer the training steps are whose phases are timed."""
    if not costs:
        return "The cost of timing the phases is unknown: no point has both timings without noise."
    steps, longest = "Training steps timed by phase take", _longer(max(costs))
    if len(costs) == 1:
        return f"{steps} {longest} than whole ones."
    middle, shortest = _longer(median(costs)), _longer(min(costs))
    return f"{steps} {middle} than whole ones (median; {shortest} to {longest})."


def _longer(share: float) -> str:
    """``10.0% longer``, ``1.2% shorter``."""
    return f"{abs(share) * 100:.1f}% {'shorter' if share < 0 else 'longer'}"


def time_finding(
    report: RunReport,
    focus: Measurement,
    shares: Mapping[str, float],
    drawn: Mapping[Point, Measurement],
    costs: Sequence[float],
) -> str:
    """The largest phase and the bound of one point, and the bounds of the others drawn.

    Args:
        focus: the point to describe.
        shares: of its phases.
        drawn: the measured points of the chart.
        costs: as :meth:`RunReport.phase_costs` finds them.
    """
    point = focus.point
    name = "the recommended" if point == report.advised else "the fastest point,"
    step = format_seconds(focus.step_time_s)
    largest = f"a training step takes {step}; its phases are unknown"
    if shares:
        first, *others = sorted(shares.items(), key=lambda part: -part[1])
        largest = f"{first[0]} takes {format_ratio(first[1])} of a training step of {step}"
        rest = ", ".join(f"{name} {format_ratio(share)}" for name, share in others)
        largest += f" ({rest})" if rest else ""
    parts = [f"At {name} {point} {largest}.", _bound(focus), *_bounds(drawn.values())]
    return " ".join([*parts, cost_in_words(costs)])


def _bound(measurement: Measurement) -> str:
    reason = clip(as_text(measurement.bound_reason) or "the reason is unknown", REASON_COLUMNS)
    if measurement.bound is None:
        return f"No bound is named: {reason}."
    return f"It is {measurement.bound}-bound: {reason}."


def _bounds(drawn: Iterable[Measurement]) -> list[str]:
    known = [m.bound or NO_BOUND for m in drawn if m.outcome is Outcome.MEASURED]
    if len(known) < 2:
        return []
    words = ("launch", "memory", "compute", NO_BOUND)
    counts = ", ".join(f"{word} at {known.count(word)}" for word in words if word in known)
    return [f"Bound of the {len(known)} points drawn: {counts}."]
