"""What memory goes to: the bars' lengths, their looks, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from fakes import a_memory, a_run
from report_samples import (
    SAMPLES,
    ended,
    grid_sample,
    hostile,
    measured,
    mixed,
    one_row,
    report_from,
)
from rnnprof.advice.advise import Advice
from rnnprof.advice.recommendation import Recommendation
from rnnprof.report.charts import memory_parts as breakdown
from rnnprof.report.charts.kit.bars import BARS_AT_MOST
from rnnprof.report.charts.kit.scales import evenly
from rnnprof.report.charts.kit.style import Chart, rendered
from rnnprof.report.charts.memory_parts import memory_parts
from rnnprof.report.charts.memory_phases import memory_phases
from rnnprof.report.model import report_of
from rnnprof.runfile.observations import BREAKDOWN_PARTS, Breakdown
from rnnprof.runfile.points import Grid, Outcome, Point

MIB = 1 << 20
BREAKDOWN = Breakdown(6 * MIB, 6 * MIB, 12 * MIB, 2 * MIB, 0, 60 * MIB, 0, 10 * MIB, 0, "backward")
GRID = Grid((4, 8, 16), (16, 32))


@cache
def parts_of(name: str) -> Chart | None:
    return memory_parts(report_from(SAMPLES[name]()))


def drawn(chart: Chart | None) -> Figure:
    assert chart is not None
    return chart.figure


def bars(figure: Figure, gid: str) -> list[tuple[float, float, float]]:
    """Start, length and middle of the bars of one look."""
    found = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert len(found) == 1, gid
    assert isinstance(found[0], PolyCollection)
    boxes = [path.get_extents() for path in found[0].get_paths()]
    return [(box.x0, box.width, (box.y0 + box.y1) / 2) for box in boxes]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def ticks(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def a_phased(point: Point, factor: int = 1, **changes: object):  # type: ignore[no-untyped-def]
    peaks = {"build": 6, "data": 20, "forward": 80, "backward": 96, "optimizer": 40}
    lives = {"data": 20, "forward": 64, "backward": 28, "optimizer": 28}
    known = {
        "breakdown": BREAKDOWN,
        "peak_allocated_bytes": 96 * MIB * factor,
        "phase_peak_bytes": {name: size * MIB * factor for name, size in peaks.items()},
        "phase_live_bytes": {name: size * MIB * factor for name, size in lives.items()},
    }
    return a_memory(point, **(known | changes))


# --- the parts of the peak -----------------------------------------------------------------------


def two_panels() -> Figure:
    run, _ = grid_sample(GRID.batch, GRID.time_steps)
    known = {p: measured(p.batch, p.time_steps, breakdown=BREAKDOWN) for p in GRID.points()}
    return drawn(memory_parts(report_from((run, known))))


def test_parts_are_stacked_in_the_breakdowns_own_order_and_sum_to_the_total() -> None:
    figure = two_panels()
    start = 0.0
    for name, size in BREAKDOWN.parts().items():
        if size:
            stacked = bars(figure, f"by-batch-{name}")
            assert [(x, width) for x, width, _ in stacked] == [(start, size)] * 3
            assert [y for _, _, y in stacked] == pytest.approx([0, 1, 2])
            start += size
    assert start == 96 * MIB
    assert texts(figure.axes[0]) == ["96.0 MiB"] * 3


def test_parts_that_are_zero_everywhere_are_left_out() -> None:
    figure = two_panels()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [
        "weights", "gradients", "optimizer state", "input", "saved by forward", "temporaries",
    ]  # fmt: skip
    assert not figure.findobj(lambda artist: artist.get_gid() == "by-batch-library")


def test_one_panel_goes_by_batch_at_the_advised_t_and_one_by_steps_at_the_advised_b() -> None:
    sample = mixed()
    point = report_from(sample).advice.point
    assert point is not None
    by_batch, by_steps = drawn(parts_of("mixed")).axes
    assert by_batch.get_title(loc="left") == f"at T={point.time_steps}, by batch B"
    assert by_steps.get_title(loc="left") == f"at B={point.batch}, by time steps T"
    assert f"B={point.batch}, recommended" in ticks(by_batch)
    assert f"T={point.time_steps}, recommended" in ticks(by_steps)


def test_looks_differ_in_colour_and_in_hatch() -> None:
    looks = breakdown.PART_LOOKS
    assert tuple(looks) == BREAKDOWN_PARTS
    for kind in ("colour", "hatch", "word"):
        assert len({getattr(look, kind) for look in looks.values()}) == len(BREAKDOWN_PARTS)
    figure = two_panels()
    saved = figure.findobj(lambda artist: artist.get_gid() == "by-batch-saved")[0]
    assert isinstance(saved, PolyCollection)
    assert saved.get_hatch() == looks["saved"].hatch


def test_without_a_breakdown_there_is_one_hatched_bar_and_the_reason() -> None:
    run, known = grid_sample((4, 8), (16,))
    blind = measured(8, 16, breakdown=None, breakdown_reason="blocks sum to 3, the peak is 4 bytes")
    chart = memory_parts(report_from((run, known | {blind.point: blind})))
    figure = drawn(chart)
    assert bars(figure, "by-batch-unknown") == [(0, blind.peak_allocated_bytes, 1)]
    assert figure.legends[0].get_texts()[-1].get_text() == "parts unknown"
    assert chart is not None
    assert "unknown at B=8 T=16: blocks sum to 3, the peak is 4 bytes." in chart.finding


def test_what_was_not_measured_is_a_word_and_what_is_implied_is_left_out() -> None:
    run, known = grid_sample((4, 8, 16), (16,))
    known |= {
        Point(8, 16): ended(Outcome.OOM, 8, 16, "forward"),
        Point(16, 16): ended(Outcome.IMPLIED_OOM, 16, 16),
    }
    axes = drawn(memory_parts(report_from((run, known)))).axes[0]
    assert ticks(axes) == ["B=4, recommended", "B=8"]
    assert texts(axes)[1] == "OOM"


def test_the_finding_tells_the_course_and_the_largest_parts() -> None:
    run, known = grid_sample((4, 8), (16,))
    small = replace(BREAKDOWN, saved=12 * MIB)
    known[Point(4, 16)] = measured(4, 16, breakdown=small)
    known[Point(8, 16)] = measured(8, 16, breakdown=BREAKDOWN)
    chart = memory_parts(report_from((run, known)))
    assert chart is not None
    assert chart.finding == (
        "At T=16 the allocator's peak goes from 48.0 MiB at B=4 to 96.0 MiB at B=8. The largest "
        "peak drawn, B=8 T=16, is saved by forward 62%, optimizer state 12%, temporaries 10%."
    )


@pytest.mark.parametrize(("name", "titles"), [
    ("one_point", ["at T=128, by batch B"]),
    ("one_row", ["at T=64, by batch B"]),
    ("one_column", ["at B=64, by time steps T"]),
])  # fmt: skip
def test_a_panel_that_would_repeat_the_other_is_left_out(name: str, titles: list[str]) -> None:
    assert [axes.get_title(loc="left") for axes in drawn(parts_of(name)).axes] == titles


@pytest.mark.parametrize("name", ["all_oom", "untouched"])
def test_without_a_peak_there_is_no_chart(name: str) -> None:
    assert parts_of(name) is None
    assert memory_phases(report_from(SAMPLES[name]())) is None


def test_many_batches_are_thinned_and_counted() -> None:
    axes = drawn(memory_parts(report_from(grid_sample(range(8, 168, 8), (16,))))).axes[0]
    assert len(ticks(axes)) == BARS_AT_MOST
    assert axes.get_title(loc="left") == "at T=16, by batch B, 12 of 20"


@pytest.mark.parametrize("keep", [0, 1, 17, 48, 49])
def test_thinning_keeps_both_ends_and_the_one_asked_for(keep: int) -> None:
    points = [Point(batch, 8) for batch in range(1, 51)]
    chosen = evenly(points, 12, points[keep])
    assert len(chosen) == len(set(chosen)) == 12
    assert chosen == sorted(chosen)
    assert {points[0], points[-1], points[keep]} <= set(chosen)


def test_few_points_are_not_evenly() -> None:
    points = [Point(batch, 8) for batch in (1, 2, 3)]
    assert evenly(points, 12, points[1]) == points


# --- the phases of a step ------------------------------------------------------------------------


def phased(*memories: object) -> Chart | None:
    run = a_run(memories, GRID)  # type: ignore[arg-type]
    return memory_phases(report_of(run, "sample"))


def test_each_phase_has_its_peak_and_what_it_leaves_live() -> None:
    figure = drawn(phased(a_phased(Point(8, 32))))
    peaks, lives = bars(figure, "B8-T32-peak"), bars(figure, "B8-T32-live")
    assert [width / MIB for _, width, _ in peaks] == [6, 20, 80, 96, 40]
    assert [width / MIB for _, width, _ in lives] == [20, 64, 28, 28]
    assert ticks(figure.axes[0]) == ["build", "data", "forward", "backward", "optimizer"]
    assert [round(y) for _, _, y in lives] == [1, 2, 3, 4], "build ends before the last step"


def test_the_phase_of_the_peak_is_marked_and_it_alone() -> None:
    axes = drawn(phased(a_phased(Point(8, 32)))).axes[0]
    assert [text for text in texts(axes) if "peak" in text] == ["96.0 MiB, the peak"]


def test_without_a_breakdown_the_highest_phase_is_the_peaks() -> None:
    chart = phased(a_phased(Point(8, 32), breakdown=None))
    assert chart is not None
    assert "memory peaks in backward, at 96.0 MiB" in chart.finding


def test_the_smallest_the_largest_and_the_last_pass_that_came_through() -> None:
    broken = a_phased(Point(16, 32), outcome=Outcome.CRASHED)
    first, again = a_phased(Point(16, 32), 1), a_phased(Point(16, 32), 2)
    between = a_phased(Point(8, 16))
    chart = phased(a_phased(Point(4, 16)), between, first, again, broken)
    figure = drawn(chart)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["B=4 T=16, the smallest", "B=16 T=32, the largest"]
    assert max(width for _, width, _ in bars(figure, "B16-T32-peak")) == 192 * MIB
    assert chart is not None
    assert "It peaks in the same phase at B=4 T=16." in chart.finding


def test_a_peak_that_moves_and_a_leak_are_told() -> None:
    moved = a_phased(Point(4, 16), breakdown=replace(BREAKDOWN, phase="optimizer"))
    chart = phased(moved, a_phased(Point(16, 32), net_bytes_per_step=3 * MIB))
    assert chart is not None
    assert "It peaks in optimizer at B=4 T=16." in chart.finding
    assert "Each training step at B=16 T=32 leaves 3.00 MiB allocated." in chart.finding


def test_four_points_are_named_for_what_they_stand_for() -> None:
    points = [Point(batch, time_steps) for batch in (4, 8, 16) for time_steps in (16, 32, 64)]
    bare = report_of(
        a_run([a_phased(point) for point in points], Grid((4, 8, 16), (16, 32, 64))), ""
    )
    known = {point: measured(point.batch, point.time_steps) for point in points}
    advice = Advice((Recommendation(32, 8),))
    figure = drawn(memory_phases(replace(bare, measurements=known, advice=advice)))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "B=4 T=16, the smallest", "B=8 T=32, recommended", "B=8 T=64, the longest T",
        "B=16 T=64, the largest",
    ]  # fmt: skip


# --- can it be read ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"all_oom", "untouched"}))
def test_no_label_leaves_the_sheet_or_its_panel(name: str) -> None:
    figure = drawn(parts_of(name))
    for axes in figure.axes:
        others = [other.get_window_extent() for other in figure.axes if other is not axes]
        for text in axes.texts:
            extent = text.get_window_extent()
            assert extent.x1 <= figure.bbox.x1
            assert not any(extent.overlaps(other) for other in others)
    for text in figure.texts:
        assert text.get_window_extent().x1 <= figure.bbox.x1


def test_the_words_at_the_peaks_stay_in_their_panels() -> None:
    chart = phased(a_phased(Point(4, 16), 10), a_phased(Point(16, 32), 10))
    figure = drawn(chart)
    left, right = figure.axes
    ends = [[text.get_window_extent().x1 for text in axes.texts] for axes in (left, right)]
    assert max(ends[0]) <= min(text.get_window_extent().x0 for text in right.get_yticklabels())
    assert max(ends[1]) <= figure.bbox.x1


def test_hostile_names_are_text() -> None:
    chart = memory_parts(report_from(hostile()))
    assert b"tr$a_{i}n" in rendered(drawn(chart), "svg")
    assert all(not text.get_parse_math() for text in drawn(chart).texts)


def test_the_same_view_gives_the_same_bytes() -> None:
    sample = report_from(one_row())
    pictures = [rendered(drawn(memory_parts(sample)), "svg") for _ in range(2)]
    assert pictures[0] == pictures[1]
