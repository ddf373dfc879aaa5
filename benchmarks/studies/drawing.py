"""Lines and axes that the charts of the rules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes

from benchmarks.studies.seen import Seen
from rnnprof.points.measurement import Measurement
from rnnprof.report.charts.kit.style import OKABE_ITO

Value = Callable[[Measurement], float]


def lines(axes: Axes, series: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Draw a line for each name."""
    for index, (name, (x, y)) in enumerate(series.items()):
        axes.plot(x, y, marker="osD^vPX*"[index % 8], markersize=4, linewidth=1.3, label=name,
                  color=OKABE_ITO[index % len(OKABE_ITO)])  # fmt: skip
    if len(series) > 1:
        axes.legend(loc="best")
    axes.grid(axis="y")


def over(x: Value, y: Value, seen: Seen) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """One value against another, one line for each T."""
    at = {t: seen.at_steps(t) for t in seen.lengths}
    return {f"T={t}": ([x(m) for m in points], [y(m) for m in points]) for t, points in at.items()}


def batch_of(measurement: Measurement) -> float:
    """Sequences in the batch."""
    return measurement.point.batch


def label(axes: Axes, x: str, y: str, *, log: bool = True) -> None:
    """Name the axes; a logarithmic x axis is in powers of two."""
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
