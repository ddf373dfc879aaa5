"""The slices: every number in its place, doubt and limits shown, lines that can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from report_samples import (
    LIMIT_BYTES,
    MIB,
    SAMPLES,
    Sample,
    grid_sample,
    measured,
    mixed,
    report_from,
    twenty_by_twenty,
)
from rnnprof.points.measurement import Measurement
from rnnprof.report.charts.kit.scales import evenly
from rnnprof.report.charts.kit.style import Chart, rendered
from rnnprof.report.charts.slices import slices_over_batch, slices_over_steps
from rnnprof.report.model import RunReport, rate_interval
from rnnprof.runfile.points import Point

BOTH = (slices_over_batch, slices_over_steps)


def changed(sample: Sample, **changes: object) -> RunReport:
    """The view of a sample whose measurements all have these changes."""
    run, measurements = sample
    return report_from((run, {p: replace(m, **changes) for p, m in measurements.items()}))  # type: ignore[arg-type]


@cache
def over_batch(name: str) -> Chart:
    chart = slices_over_batch(report_from(SAMPLES[name]()))
    assert chart is not None
    return chart


def drawn(report: RunReport) -> Figure:
    chart = slices_over_batch(report)
    assert chart is not None
    return chart.figure


def ids(figure: Figure) -> set[str]:
    return {str(a.get_gid()) for a in figure.findobj(Artist) if a.get_gid()}


def line(figure: Figure, gid: str) -> list[tuple[float, float]]:
    (found,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert isinstance(found, Line2D)
    return [(float(x), float(y)) for x, y in np.asarray(found.get_xydata()) if y == y]


def words(figure: Figure, gid: str) -> str:
    (found,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert isinstance(found, Text)
    return found.get_text()


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


# --- the numbers ---------------------------------------------------------------------------------


def test_each_line_holds_the_rates_and_the_counted_peaks_of_its_t() -> None:
    figure = over_batch("one_row").figure
    points = [measured(batch, 64) for batch in (4, 8, 16, 32, 64, 128)]
    assert line(figure, "slices-batch-rate-T64") == [
        (m.point.batch, m.time_steps_per_s) for m in points
    ]
    assert line(figure, "slices-batch-memory-T64") == [
        (m.point.batch, m.peak_charged_bytes) for m in points
    ]


def test_over_steps_the_lines_are_those_of_b() -> None:
    chart = slices_over_steps(report_from(SAMPLES["one_column"]()))
    assert chart is not None
    assert chart.name == "slices-steps"
    points = [measured(64, time_steps) for time_steps in (16, 32, 64, 128)]
    assert line(chart.figure, "slices-steps-rate-B64") == [
        (m.point.time_steps, m.time_steps_per_s) for m in points
    ]
    assert words(chart.figure, "slices-steps-rate-key-B64") == "B=64"


def test_an_unmeasured_place_breaks_its_line() -> None:
    (found,) = over_batch("mixed").figure.findobj(
        lambda artist: artist.get_gid() == "slices-batch-rate-T32"
    )
    assert isinstance(found, Line2D)
    assert [bool(y == y) for y in np.asarray(found.get_ydata(), float)] == [
        True, True, True, False, True, True,
    ]  # fmt: skip


def test_memory_that_is_not_known_is_no_point_whatever_else_is_known() -> None:
    run, measurements = grid_sample((4, 8, 16), (16,))
    measurements[Point(8, 16)] = unknown = measured(8, 16, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert unknown.peak_process_bytes
    figure = drawn(report_from((run, measurements)))
    assert figure.axes[1].get_ylabel() == "peak memory"
    assert line(figure, "slices-batch-memory-T16") == [
        (batch, measured(batch, 16).peak_charged_bytes) for batch in (4, 16)
    ]
    assert [batch for batch, _ in line(figure, "slices-batch-rate-T16")] == [4, 8, 16]


def test_without_any_peak_or_any_time_the_rest_is_drawn() -> None:
    figure = drawn(changed(grid_sample((4, 8), (16,)), peak_charged_bytes=None))
    assert "slices-batch-rate-T16" in ids(figure)
    assert "slices-batch-memory-T16" not in ids(figure)
    figure = drawn(changed(grid_sample((4, 8), (16,)), time_steps_per_s=None))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no point was timed"]
    assert "slices-batch-memory-T16" in ids(figure)


def test_the_interval_of_the_step_time_is_turned_into_one_of_the_rate() -> None:
    point = measured(4, 16, step_time_s=0.01, time_steps_per_s=6400.0,
                     step_time_within_ci_s=(0.008, 0.0125))  # fmt: skip
    assert rate_interval(point) == pytest.approx((5120.0, 8000.0))
    assert rate_interval(replace(point, step_time_ci_s=(0.005, 0.02))) == pytest.approx(
        (3200.0, 12_800.0)
    ), "over processes, where it is known"
    assert rate_interval(replace(point, step_time_within_ci_s=None)) is None
    assert rate_interval(replace(point, step_time_within_ci_s=(0.0, 0.1))) is None


def test_error_bars_span_the_intervals() -> None:
    (bars,) = over_batch("one_row").figure.findobj(
        lambda artist: artist.get_gid() == "slices-batch-rate-interval-T64"
    )
    lows_highs = [tuple(segment[:, 1]) for segment in bars.get_segments()]  # type: ignore[attr-defined]
    expected = [rate_interval(measured(batch, 64)) for batch in (4, 8, 16, 32, 64, 128)]
    assert lows_highs == [pytest.approx(interval) for interval in expected]
    assert "95% interval within a process" in legend(over_batch("one_row").figure)
    figure = drawn(changed(grid_sample((4, 8), (16,)), step_time_ci_s=(0.001, 0.004)))
    assert "95% interval over processes" in legend(figure)


def test_ticks_are_round_numbers() -> None:
    rates, memory = over_batch("one_row").figure.axes
    assert {"0", "8k", "16k"} <= {text.get_text() for text in rates.get_yticklabels()}
    assert {"64M", "512M"} <= {text.get_text() for text in memory.get_yticklabels()}
    assert [text.get_text() for text in rates.get_xticklabels()][:3] == ["4", "8", "16"]


# --- marks ---------------------------------------------------------------------------------------


def test_loose_and_noisy_times_are_open_in_the_rates_alone() -> None:
    figure = over_batch("mixed").figure
    assert [batch for batch, _ in line(figure, "slices-batch-rate-doubtful-T64")] == [8]
    assert [batch for batch, _ in line(figure, "slices-batch-rate-doubtful-T32")] == [16]
    assert not any("memory-doubtful" in gid for gid in ids(figure))
    assert "open mark: time not converged, or noisy" in legend(figure)
    assert not any("open mark" in text for text in legend(over_batch("one_row").figure))


def test_the_limit_and_its_headroom_are_lines_at_their_bytes() -> None:
    figure = over_batch("one_row").figure
    assert {y for _, y in line(figure, "slices-batch-memory-limit")} == {LIMIT_BYTES}
    assert {y for _, y in line(figure, "slices-batch-memory-headroom")} == {0.95 * LIMIT_BYTES}
    assert words(figure, "slices-batch-memory-limit-words") == (
        "limit 512 MiB; dashed: 5% headroom"
    )


def test_the_limit_is_a_line_even_where_no_peak_is_known() -> None:
    figure = drawn(changed(grid_sample((4, 8), (16,)), peak_charged_bytes=None))
    assert {y for _, y in line(figure, "slices-batch-memory-limit")} == {LIMIT_BYTES}
    assert words(figure, "slices-batch-memory-limit-words") == (
        "limit 512 MiB; dashed: 5% headroom"
    )


def test_a_limit_far_above_all_is_told_and_presses_nothing_flat() -> None:
    report = replace(report_from(grid_sample((4, 8), (16,))), limit_bytes=LIMIT_BYTES * 1000)
    figure = drawn(report)
    assert "slices-batch-memory-limit" not in ids(figure)
    assert "above this panel" in words(figure, "slices-batch-memory-limit-words")
    assert figure.axes[1].get_ylim()[1] < 100 * MIB


def test_crosses_stand_where_memory_ran_out_with_the_smallest_t() -> None:
    figure = over_batch("mixed").figure
    assert [batch for batch, _ in line(figure, "slices-batch-memory-oom")] == [64, 128]
    assert words(figure, "slices-batch-memory-oom-B64") == "T≥128"
    assert words(figure, "slices-batch-memory-oom-B128") == "T≥64"
    assert "slices-batch-memory-oom" not in ids(over_batch("one_point").figure)


def test_the_knee_is_the_smallest_batch_within_5_percent_of_the_best_at_its_t() -> None:
    figure = over_batch("one_row").figure
    rates = {b: measured(b, 64).time_steps_per_s or 0.0 for b in (4, 8, 16, 32, 64, 128)}
    knee = min(b for b, rate in rates.items() if rate >= 0.95 * max(rates.values()))
    assert 4 < knee < 128
    assert line(figure, "slices-batch-rate-knees") == [(knee, rates[knee])]
    assert "slices-batch-rate-knees" not in ids(over_batch("one_point").figure)


def test_each_recommended_point_is_ringed_in_both_panels() -> None:
    report = report_from(SAMPLES["hostile"]())
    assert len(report.advice.points) > 1
    known = [report.measurements[point] for point in report.advice.points]
    for draw, axis in zip(BOTH, ("batch", "time_steps"), strict=True):
        chart = draw(report)
        assert chart is not None
        places = [getattr(m.point, axis) for m in known]
        rate = line(chart.figure, f"{chart.name}-rate-advised")
        memory = line(chart.figure, f"{chart.name}-memory-advised")
        assert rate == list(zip(places, [m.time_steps_per_s for m in known], strict=True))
        assert memory == list(zip(places, [m.peak_charged_bytes for m in known], strict=True))
        assert "recommended batch at T" in legend(chart.figure)


# --- how many lines ------------------------------------------------------------------------------


def test_many_lines_are_thinned_and_the_title_says_so() -> None:
    report = report_from(twenty_by_twenty())
    figure = drawn(report)
    lines = sorted(
        int(gid.rsplit("T", 1)[1]) for gid in ids(figure) if gid.startswith("slices-batch-rate-T")
    )
    assert len(lines) == 8
    assert (lines[0], lines[-1]) == (10, 200)
    assert any(each.tied for each in report.advice.recommendations)
    assert report.advice.point is None
    title = words(figure, "title")
    assert title == "Throughput and peak memory over batch B, 8 of 20 T shown"


def test_few_lines_are_all_shown() -> None:
    assert evenly([1, 2, 3], 8, None) == [1, 2, 3]
    assert over_batch("one_row").title == "Throughput and peak memory over batch B"


@pytest.mark.parametrize("wanted", range(40))
def test_the_first_the_last_and_the_wanted_are_always_shown(wanted: int) -> None:
    shown = evenly(range(40), 8, wanted)
    assert len(set(shown)) == 8
    assert {0, 39, wanted} <= set(shown)
    assert max(right - left for left, right in pairwise(shown)) <= 12, "about even"


def test_lines_differ_in_mark_and_in_dash() -> None:
    figure = drawn(report_from(twenty_by_twenty()))
    lines = [
        a for a in figure.axes[0].get_lines()
        if str(a.get_gid()).startswith("slices-batch-rate-T")
    ]  # fmt: skip
    assert len({str(a.get_marker()) for a in lines}) == len(lines) == 8
    assert len({str(a._unscaled_dash_pattern) for a in lines}) == 8  # type: ignore[attr-defined]


# --- can it be read ------------------------------------------------------------------------------


def overlapping(texts: Sequence[Text]) -> list[str]:
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]
    return [
        f"{one} / {other}"
        for place, (one, box) in enumerate(boxes)
        for other, its in boxes[place + 1 :]
        if box.count_overlaps([its])
    ]


def texts_of(axes: Axes) -> list[Text]:
    return [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("draw", BOTH)
def test_no_label_covers_another_or_leaves_the_sheet(draw: object, name: str) -> None:
    chart = draw(report_from(SAMPLES[name]()))  # type: ignore[operator]
    if name == "untouched":
        assert chart is None
        return
    figure = chart.figure
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert overlapping(texts_of(axes)) == []
        outer = axes.get_tightbbox()
        assert outer is not None
        assert figure.bbox.x0 <= outer.x0
        assert outer.x1 <= figure.bbox.x1
        assert outer.y1 <= figure.bbox.y1
        for box in figure.legends:
            assert box.get_window_extent().y1 <= outer.y0
    left, right = (axes.get_tightbbox() for axes in figure.axes)
    assert left is not None
    assert right is not None
    assert left.x1 < right.x0
    for box in figure.legends:
        assert box.get_window_extent().x1 <= figure.bbox.x1
        assert box.get_window_extent().y0 >= 0


def test_the_same_run_gives_the_same_bytes() -> None:
    first, second = (rendered(drawn(report_from(mixed())), "svg") for _ in range(2))
    assert first == second


# --- the sentence --------------------------------------------------------------------------------


def test_the_finding_tells_rate_knee_memory_and_ooms() -> None:
    finding = over_batch("one_row").finding
    best: Measurement = measured(128, 64)
    assert f"to {(best.time_steps_per_s or 0) / 1000:.1f} k time steps/s at B=128" in finding
    assert "At T=64 throughput rises from" in finding
    assert "is the smallest batch within 5% of the best there." in finding
    assert "The peak memory goes from 38.8 MiB at B=4 to 311 MiB at B=128; the limit" in finding
    assert "the limit is 512 MiB." in finding
    assert "2 of 8 points are out of memory, the smallest in B at B=256 T=64." in finding


def test_the_finding_tells_no_memory_where_none_is_known() -> None:
    chart = slices_over_batch(changed(grid_sample((4, 8), (16,)), peak_charged_bytes=None))
    assert chart is not None
    assert "throughput rises from" in chart.finding
    assert "memory" not in chart.finding


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("one_point", "At T=128 throughput is highest at B=64, 16.2 k time steps/s."),
        ("all_oom", "9 of 9 points are out of memory"),
    ],
)
def test_the_finding_of_the_smallest_runs(name: str, told: str) -> None:
    assert told in over_batch(name).finding
