"""The lines of both charts of slices: their axis, their points, and which are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.advice.recommendation import NEAR_BEST_RATIO
from rnnprof.points.measurement import Measurement
from rnnprof.report.model import OOM_OUTCOMES, RunReport, throughput
from rnnprof.runfile.points import Outcome, Point

MAX_LINES: Final = 8
"""More lines than colours and marks can be told apart."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Which of B and T runs along x, and which tells the lines apart.

    Attributes:
        along, across: the letter of each.
        place, line: the value of each at a point.
        point: of a place and a line.
    """

    name: str
    along: str
    across: str
    label: str
    place: Callable[[Point], int]
    line: Callable[[Point], int]
    point: Callable[[int, int], Point]


OVER_BATCH: Final = Axis(
    "slices-batch", "B", "T", "batch B, sequences",
    lambda point: point.batch, lambda point: point.time_steps, lambda x, line: Point(x, line),
)  # fmt: skip
OVER_STEPS: Final = Axis(
    "slices-steps", "T", "B", "time steps T",
    lambda point: point.time_steps, lambda point: point.batch, lambda x, line: Point(line, x),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slices:
    """What both panels share.

    Attributes:
        places: along x, ascending.
        lines: the values that are shown, of *of_lines* at which anything was measured.
        knees: at each T the smallest batch within 5% of its best rate.
    """

    report: RunReport
    axis: Axis
    places: tuple[int, ...]
    lines: tuple[int, ...]
    of_lines: int
    knees: frozenset[Point]

    @property
    def advised(self) -> Point | None:
        return self.report.advice.point

    @property
    def usable_bytes(self) -> float:
        return self.report.limit_bytes * (1 - self.report.headroom_ratio)

    def along(self, line: int) -> list[Measurement | None]:
        """What is known at each place of a line."""
        return [self.report.measurements.get(self.axis.point(place, line)) for place in self.places]


# --- what is shown -------------------------------------------------------------------------------


def slices_of(report: RunReport, axis: Axis) -> Slices:
    known = report.measurements
    lines = sorted({axis.line(p) for p, m in known.items() if m.outcome is Outcome.MEASURED})
    advised = None
    if report.advice.point is not None:
        advised = axis.line(report.advice.point)
    return Slices(
        report=report,
        axis=axis,
        places=tuple(sorted({axis.place(point) for point in report.points})),
        lines=chosen(lines, advised),
        of_lines=len(lines),
        knees=frozenset(_knees(known)),
    )


def chosen(values: Sequence[int], wanted: int | None) -> tuple[int, ...]:
    """At most 8 of ascending *values*, evenly: the first, the last and *wanted* among them."""
    if len(values) <= MAX_LINES:
        return tuple(values)
    last = len(values) - 1
    places = [round(index * last / (MAX_LINES - 1)) for index in range(MAX_LINES)]
    if wanted in values and (place := values.index(wanted)) not in places:
        inner = range(1, MAX_LINES - 1)
        nearest = min(inner, key=lambda index: abs(places[index] - place))
        places[nearest] = place
    return tuple(values[place] for place in sorted(places))


def _knees(measurements: Mapping[Point, Measurement]) -> Iterator[Point]:
    rates: dict[int, dict[Point, float]] = {}
    for point, measurement in measurements.items():
        if (rate := throughput(measurement)) is not None:
            rates.setdefault(point.time_steps, {})[point] = rate
    for at_steps in rates.values():
        if len(at_steps) > 1:  # one point is no curve to have a knee
            enough = (1 - NEAR_BEST_RATIO) * max(at_steps.values())
            yield min(point for point, rate in at_steps.items() if rate >= enough)


def is_oom(measurement: Measurement) -> bool:
    return measurement.outcome in OOM_OUTCOMES


def rate_interval(measurement: Measurement) -> tuple[float, float] | None:
    """The 95% interval of the time steps/s, from that of the step time."""
    interval = measurement.step_time_ci_s or measurement.step_time_within_ci_s
    rate, step_time_s = throughput(measurement), measurement.step_time_s
    if interval is None or rate is None or not step_time_s or min(interval) <= 0:
        return None
    work = rate * step_time_s
    return work / interval[1], work / interval[0]


MEMORY: Final = "peak memory"
