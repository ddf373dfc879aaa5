"""What ``profile`` leaves out by default in a run, and the error of its predictions there.

A run that measured everything is replayed in its own order.  Before each memory pass, the rule of
``--fast`` decides whether the passes so far predict the peak; if they do, the pass is skipped and
the prediction is compared with the measurement.  Step times, which ``--fast`` never skips, are
treated likewise: each in turn is predicted from its neighbours in the grid, along B and along T.
The error shows why they are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from rnnprof.points.fold import fold_run
from rnnprof.points.known import KnownPeaks
from rnnprof.runfile.observations import Memory
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Run
from rnnprof.units import format_duration, format_ratio


@dataclass(frozen=True, slots=True)
class Row:
    """One run under the rule.

    Attributes:
        passes: memory passes that the run took.
        left_out: those that the rule would have spared.
        peak_errors: at these, model over measured less 1.
        saved_s, whole_s: wall time of the passes spared, and of the run.
        time_errors: of step times predicted from their neighbours, likewise.
    """

    name: str
    passes: int
    left_out: int
    peak_errors: tuple[float, ...]
    saved_s: float
    whole_s: float
    time_errors: tuple[float, ...]


def row_of(name: str, run: Run) -> Row:
    """Replay *run* under the rule."""
    passes = [
        o
        for o in run.observations
        if isinstance(o, Memory) and o.role is Role.GRID and o.outcome is Outcome.MEASURED
    ]
    taken: list[Memory] = []
    errors, saved_s = [], 0.0
    for each in passes:
        known = KnownPeaks.of(taken).at(each.point)
        if known is None or not each.peak_allocated_bytes:
            taken.append(each)
        else:
            errors.append(known.peak_bytes / each.peak_allocated_bytes - 1)
            saved_s += each.wall_s
    times = {m.point: m.step_time_s for m in fold_run(run).values() if m.step_time_s}
    whole_s = sum(finished.wall_s for finished in run.finished)
    peaks = tuple(errors)
    return Row(name, len(passes), len(errors), peaks, saved_s, whole_s, time_errors(times))


def time_errors(times: Mapping[Point, float]) -> tuple[float, ...]:
    """The error of each step time when its neighbours along B and T predict it, linearly."""
    batches, lengths = sorted({p.batch for p in times}), sorted({p.time_steps for p in times})
    errors = []
    for point, measured_s in times.items():
        told = [
            _between(
                batches, point.batch, {b: times.get(Point(b, point.time_steps)) for b in batches}
            ),
            _between(
                lengths, point.time_steps, {t: times.get(Point(point.batch, t)) for t in lengths}
            ),
        ]
        known = [each for each in told if each is not None]
        if known:
            errors.append(fmean(known) / measured_s - 1)
    return tuple(errors)


def _between(axis: Sequence[int], at: int, values: Mapping[int, float | None]) -> float | None:
    """By the line through the two neighbours of *at*; None at an end or where one is unknown."""
    place = axis.index(at)
    if not 0 < place < len(axis) - 1:
        return None
    low, high = axis[place - 1], axis[place + 1]
    below, above = values[low], values[high]
    if below is None or above is None:
        return None
    return below + (above - below) * (at - low) / (high - low)


def line_of(row: Row) -> str:
    """One line of the table."""
    saved = format_ratio(row.saved_s / row.whole_s if row.whole_s else 0.0)
    return (
        f"{row.name:20} {row.passes:6} {row.left_out:9} {_worst(row.peak_errors):>12} "
        f"{format_duration(row.saved_s):>8} {saved:>7}   {_typical(row.time_errors):>9} "
        f"{_worst(row.time_errors):>10}"
    )


HEAD: Final = (
    f"{'':20} {'memory':>6} {'':9} {'worst error':>12} {'':8} {'of the':>7}   "
    f"step time by neighbours\n"
    f"{'':20} {'passes':>6} {'left out':>9} {'of a peak':>12} {'saved':>8} {'run':>7}   "
    f"{'median off':>9} {'worst':>10}"
)


def _worst(errors: Sequence[float]) -> str:
    return format_ratio(max(map(abs, errors))) if errors else "-"


def _typical(errors: Sequence[float]) -> str:
    return format_ratio(median(map(abs, errors))) if errors else "-"
