"""Several runs on one page: one range, one line and one colour for the same quantity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from report_samples import Sample, grid_sample, report_from
from rnnprof.report.charts.frontier import frontier_chart
from rnnprof.report.charts.heatmap import heatmaps
from rnnprof.report.charts.kit.labels import Labels
from rnnprof.report.charts.kit.lines import LINES_AT_MOST, lines_of
from rnnprof.report.charts.kit.scales import Scales, evenly
from rnnprof.report.charts.kit.style import LARGEST_BATCH, RECOMMENDED, Chart
from rnnprof.report.charts.memory_parts import memory_parts
from rnnprof.report.charts.slices import slices_over_batch, slices_over_steps
from rnnprof.report.html.files import draw
from rnnprof.report.model import RunReport
from rnnprof.runfile.points import Outcome

Draw = Callable[[RunReport, Scales | None], Chart | None]


def larger(sample: Sample, times: float) -> Sample:
    """A sample that takes so many times the memory and the time."""
    run, measurements = sample
    changed = {
        point: replace(
            m,
            peak_charged_bytes=round((m.peak_charged_bytes or 0) * times),
            peak_allocated_bytes=round((m.peak_allocated_bytes or 0) * times),
            breakdown=None,
            time_steps_per_s=(m.time_steps_per_s or 0.0) / times,
        )
        for point, m in measurements.items()
        if m.outcome is Outcome.MEASURED
    }
    return run, measurements | changed


@cache
def pair() -> tuple[RunReport, RunReport]:
    """Two runs of other sizes: B to 32 and to 64, T from 16 and from 32."""
    one = report_from(larger(grid_sample((4, 8, 16, 32), (16, 32, 64)), 1.0), name="one")
    other = larger(grid_sample((8, 16, 32, 64), (32, 64, 128)), 3.0)
    return one, report_from(other, name="other")


def together(chart: Draw) -> list[Figure]:
    scales = Scales.of(pair())
    drawn = [chart(report, scales) for report in pair()]
    assert all(drawn)
    return [each.figure for each in drawn if each is not None]


def apart(chart: Draw) -> list[Figure]:
    drawn = [chart(report, None) for report in pair()]
    return [each.figure for each in drawn if each is not None]


def limits(figure: Figure) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Of the panels, rounded as a reader sees them."""
    return [
        (tuple(np.round(axes.get_xlim(), 6)), tuple(np.round(axes.get_ylim(), 6)))
        for axes in figure.axes
    ]


def line(figure: Figure, gid: str) -> Line2D:
    (found,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert isinstance(found, Line2D)
    return found


# --- ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chart", [slices_over_batch, slices_over_steps, frontier_chart])
def test_axes_are_the_same_in_all_runs_of_a_page(chart: Draw) -> None:
    one, other = map(limits, together(chart))
    assert one == other
    assert limits(apart(chart)[0]) != limits(apart(chart)[1]), "alone each has its own"


def test_every_value_of_every_run_is_within_the_axes() -> None:
    for figure, report in zip(together(slices_over_batch), pair(), strict=True):
        rates, memory = figure.axes
        for m in report.measurements.values():
            if m.outcome is Outcome.MEASURED:
                assert rates.get_ylim()[0] <= (m.time_steps_per_s or 0.0) <= rates.get_ylim()[1]
                low, high = memory.get_ylim()
                assert low <= (m.peak_charged_bytes or 0) <= high


def test_bars_of_the_same_bytes_are_of_the_same_length() -> None:
    one, other = together(memory_parts)
    assert {axes.get_xlim() for axes in one.axes} == {axes.get_xlim() for axes in other.axes}
    assert apart(memory_parts)[0].axes[0].get_xlim() != one.axes[0].get_xlim()


def faces(figure: Figure, name: str) -> dict[str, str]:
    """The colour of each number's box."""
    (boxes,) = figure.findobj(lambda artist: artist.get_gid() == f"heatmap-{name}-values")
    (numbers,) = figure.findobj(lambda artist: artist.get_gid() == f"heatmap-{name}-numbers")
    assert isinstance(boxes, PolyCollection)
    assert isinstance(numbers, Labels)
    pairs = zip(numbers.labels, boxes.get_facecolor(), strict=True)
    return {label.text: to_hex(tuple(colour)) for label, colour in pairs}


def ends(figure: Figure, name: str) -> list[str]:
    (labels,) = figure.findobj(lambda artist: artist.get_gid() == f"heatmap-{name}-bar-labels")
    assert isinstance(labels, Labels)
    return [label.text for label in labels.labels]


@pytest.mark.parametrize("name", ["memory", "time-steps", "step-time", "sequences"])
def test_a_number_has_the_same_colour_in_all_runs_of_a_page(name: str) -> None:
    scales = Scales.of(pair())
    charts = [{c.name: c.figure for c in heatmaps(report, scales)} for report in pair()]
    one, other = (each[f"heatmap-{name}"] for each in charts)
    assert ends(one, name) == ends(other, name)
    shared = faces(one, name).keys() & faces(other, name).keys()
    assert all(faces(one, name)[text] == faces(other, name)[text] for text in shared)
    alone = {c.name: c.figure for c in heatmaps(pair()[1])}[f"heatmap-{name}"]
    assert ends(alone, name) != ends(other, name)


def test_a_run_of_one_value_has_a_colour_bar_where_another_has_more() -> None:
    small = report_from(grid_sample((8,), (16,)))
    scales = Scales.of((small, pair()[0]))
    (memory, *_), (alone, *_) = heatmaps(small, scales), heatmaps(small)
    assert len(memory.figure.axes) == 2
    assert len(alone.figure.axes) == 1


# --- lines and colours ---------------------------------------------------------------------------


def test_a_t_has_the_same_line_in_all_runs_of_a_page() -> None:
    one, other = together(slices_over_batch)
    for time_steps in (32, 64):
        looks = [line(figure, f"slices-batch-rate-T{time_steps}") for figure in (one, other)]
        assert len({(a.get_color(), a.get_marker()) for a in looks}) == 1
    shifted = line(apart(slices_over_batch)[1], "slices-batch-rate-T32")
    assert shifted.get_color() != line(other, "slices-batch-rate-T32").get_color()


@given(st.sets(st.integers(1, 60), min_size=1), st.sets(st.integers(1, 60), min_size=1))
def test_lines_are_at_most_eight_and_differ(one: set[int], other: set[int]) -> None:
    everywhere = sorted(one | other)
    for values in (sorted(one), sorted(other)):
        lines = lines_of(values, everywhere)
        assert 1 <= len(lines) <= LINES_AT_MOST
        assert set(lines) <= set(values)
        assert len(set(lines.values())) == len(lines)
        assert all(0 <= index < LINES_AT_MOST for index in lines.values())
    common = lines_of(sorted(one), everywhere).keys() & lines_of(sorted(other), everywhere).keys()
    if len(everywhere) <= LINES_AT_MOST:
        assert common == one & other
        assert all(
            lines_of(sorted(one), everywhere)[value] == lines_of(sorted(other), everywhere)[value]
            for value in common
        )


def test_the_recommended_point_has_one_colour_in_every_chart() -> None:
    report = report_from(grid_sample((4, 8), (16, 32), 200))
    assert report.advice.points
    (memory, *_), slices = heatmaps(report), slices_over_batch(report)
    assert slices is not None
    outlines = [
        box for box in memory.figure.findobj(Rectangle) if "recommended" in str(box.get_gid())
    ]
    assert {to_hex(box.get_edgecolor()) for box in outlines} == {RECOMMENDED}
    ring = line(slices.figure, "slices-batch-rate-advised")
    assert ring.get_markeredgecolor() == RECOMMENDED != LARGEST_BATCH


def test_the_page_draws_its_runs_on_common_scales() -> None:
    one, other = draw(pair())
    figures = [{c.name: c.figure for c in each.charts} for each in (one, other)]
    for name in ("slices-batch", "frontier"):
        assert limits(figures[0][name]) == limits(figures[1][name])
    assert ends(figures[0]["heatmap-memory"], "memory") == ends(
        figures[1]["heatmap-memory"], "memory"
    )


def test_the_values_of_all_runs_are_found_once() -> None:
    calls = []

    def batches(report: RunReport) -> list[int]:
        calls.append(report.name)
        return list(report.batches)

    scales = Scales.of(pair())
    assert scales.span(batches) == scales.span(batches) == (4, 64)
    assert calls == ["one", "other"]


def test_few_of_many_are_evenly_spread() -> None:
    shown = evenly(range(100), 5)
    assert (shown[0], shown[-1], len(shown)) == (0, 99, 5)
    assert all(20 <= high - low <= 30 for low, high in pairwise(shown))
    assert {7, 93} <= set(evenly(range(100), 5, 7, 93))
