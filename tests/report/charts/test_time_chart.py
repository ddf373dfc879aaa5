"""Where a step's time goes: the pieces of the bars, the marks beside them, the words."""

from __future__ import annotations

from functools import cache

import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from fakes import a_fit, a_run, a_timing, conditions
from report_samples import (
    SAMPLES,
    Said,
    ended,
    grid_sample,
    hostile,
    measured,
    mixed,
    report_from,
)
from rnnprof.report.charts import time_chart
from rnnprof.report.charts.kit.style import Chart, rendered
from rnnprof.report.charts.time_chart import time_phases
from rnnprof.report.model import report_of
from rnnprof.runfile.points import Grid, Outcome, Point


@cache
def chart_of(name: str) -> Chart | None:
    return time_phases(report_from(SAMPLES[name]()))


def drawn(chart: Chart | None) -> Figure:
    assert chart is not None
    return chart.figure


def row_of(**changes: object) -> Chart:
    """One row of three batches, the middle one changed."""
    run, known = grid_sample((4, 8, 16), (64,))
    known[Point(8, 64)] = measured(8, 64, **changes)
    chart = time_phases(report_from((run, known)))
    assert chart is not None
    return chart


def bars(figure: Figure, gid: str) -> dict[int, tuple[float, float]]:
    """Start and length of one look's bars, by row."""
    found = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert len(found) == 1, gid
    assert isinstance(found[0], PolyCollection)
    boxes = [path.get_extents() for path in found[0].get_paths()]
    return {round((b.y0 + b.y1) / 2): (round(b.x0, 6), round(b.width, 6)) for b in boxes}


def at_row(axes: Axes, row: int) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_position()[1] == row]


def test_pieces_are_the_phases_shares_from_left_to_right() -> None:
    times = {"data": 1e-3, "forward": 3e-3, "backward": 5e-3, "optimizer": 1e-3}
    figure = row_of(phase_times_s=times).figure
    pieces = [bars(figure, f"time-{name}")[2] for name in times]
    assert pieces == [(0, 0.1), (0.1, 0.3), (0.4, 0.5), (0.9, 0.1)]
    assert at_row(figure.axes[0], 2)[:4] == ["10%", "30%", "50%", "10%"]


def test_a_narrow_piece_has_no_number() -> None:
    axes = row_of(phase_times_s={"forward": 0.04, "backward": 0.96}).figure.axes[0]
    assert at_row(axes, 2)[0] == "96%"


def test_every_t_at_the_advised_b_and_every_b_at_the_advised_t() -> None:
    sample = report_from(mixed())
    assert sample.advice.point is not None
    batch, time_steps = sample.advice.point.batch, sample.advice.point.time_steps
    axes = drawn(chart_of("mixed")).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    heads = [text.get_text() for text in axes.texts if text.get_weight() == "bold"]
    assert heads == [f"at B={batch}, by T", f"at T={time_steps}, by B"]
    assert (
        labels.count(f"T={time_steps}, recommended") == labels.count(f"B={batch}, recommended") == 1
    )


def test_the_rows_are_at_most_twelve_and_their_headings() -> None:
    axes = drawn(chart_of("twenty_by_twenty")).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    heads = [text.get_text() for text in axes.texts if text.get_weight() == "bold"]
    assert len([label for label in labels if label]) == time_chart.ROWS_AT_MOST
    assert all(", 6 of " in head for head in heads)


def test_the_bound_is_a_mark_and_a_word() -> None:
    run, known = grid_sample((4, 8, 16, 32), (64,))
    for batch, bound in ((4, "launch"), (8, "memory"), (16, "compute")):
        known[Point(batch, 64)] = measured(batch, 64, bound=bound)
    figure = drawn(time_phases(report_from((run, known))))
    marks = {}
    for line in figure.axes[0].lines:
        assert isinstance(line, Line2D)
        marks[line.get_gid()] = (line.get_marker(), [float(y) for y in line.get_ydata()])  # type: ignore[union-attr]
    assert marks == {"bound-launch": ("^", [1]), "bound-memory": ("s", [2]),
                     "bound-compute": ("o", [3])}  # fmt: skip
    words = [at_row(figure.axes[0], row)[-1] for row in (1, 2, 3, 4)]
    assert words == ["launch", "memory", "compute", "none named"]


def test_the_step_time_stands_at_the_end_with_its_flags() -> None:
    chart = row_of(step_time_s=0.0571, converged=False, noisy=Said("throttled"))
    assert "57.1 ms~!" in at_row(chart.figure.axes[0], 2)
    note = next(text for text in chart.figure.texts if text.get_gid() == "notes")
    assert note.get_text().endswith("~ step time not converged, ! step time noisy")


def test_without_phases_the_bar_is_whole_and_hatched() -> None:
    figure = row_of(phase_times_s={}).figure
    assert bars(figure, "time-unknown") == {2: (0, 1)}
    assert figure.legends[0].get_texts()[-1].get_text() == "phases unknown"


def test_what_was_not_timed_is_a_word_and_what_is_implied_is_left_out() -> None:
    run, known = grid_sample((4, 8, 16), (64,))
    known |= {
        Point(8, 64): ended(Outcome.TIMEOUT, 8, 64, "forward"),
        Point(16, 64): ended(Outcome.IMPLIED_OOM, 16, 64),
    }
    axes = drawn(time_phases(report_from((run, known)))).axes[0]
    assert at_row(axes, 2) == ["timeout"]
    assert len(axes.get_yticklabels()) == 3


@pytest.mark.parametrize("name", ["all_oom", "untouched"])
def test_without_a_time_there_is_no_chart(name: str) -> None:
    assert chart_of(name) is None


def test_the_finding_names_the_largest_phase_and_the_bound_with_its_reason() -> None:
    run, known = grid_sample((4,), (64,))
    times = {"forward": 2e-3, "backward": 6e-3}
    reason = "the device was done 3 µs after the host's last launch"
    known[Point(4, 64)] = measured(
        4, 64, phase_times_s=times, step_time_s=8e-3, bound="launch", bound_reason=reason
    )
    chart = time_phases(report_from((run, known)))
    assert chart is not None
    assert chart.finding.startswith(
        "At the recommended B=4 T=64 backward takes 75% of a training step of 8.00 ms "
        f"(forward 25%). It is launch-bound: {reason}."
    )


def test_an_unknown_bound_has_its_reason() -> None:
    reason = "the device's own rates were not measured in this run"
    run, known = grid_sample((4,), (64,))
    known[Point(4, 64)] = measured(4, 64, bound_reason=Said(reason))
    chart = time_phases(report_from((run, known)))
    assert chart is not None
    assert f"No bound is named: {reason}." in chart.finding


def test_the_cost_of_the_phase_steps_is_told_against_whole_steps() -> None:
    point = Point(4, 16)
    timed = a_timing(
        point, 1.0, 1.0, 1.0, phase_samples_s={"forward": (1.1,)}, phase_step_samples_s=(1.1, 1.1)
    )
    run = a_run([a_fit(point, peak_charged_bytes=1), timed], Grid((4,), (16,)))
    sample = report_of(run, "sample")
    assert sample.phase_costs([point, point]) == pytest.approx([0.1])
    chart = time_phases(sample)
    assert chart is not None
    cost = "Training steps timed by phase take 10.0% longer than whole ones."
    assert chart.finding.endswith(cost)
    note = next(text for text in chart.figure.texts if text.get_gid() == "notes")
    assert note.get_text() == cost


def test_a_noisy_timing_tells_no_cost() -> None:
    point = Point(4, 16)
    timed = a_timing(point, 9.0, phase_step_samples_s=(1.1,), conditions=conditions(others_s=1.0))
    run = a_run([a_fit(point, peak_charged_bytes=1), timed], Grid((4,), (16,)))
    assert report_of(run, "sample").phase_costs([point]) == []


def test_an_unknown_cost_is_said_to_be_unknown() -> None:
    assert "The cost of timing the phases is unknown" in row_of().finding


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"all_oom", "untouched"}))
def test_nothing_leaves_the_sheet_and_the_foot_is_clear_of_the_axis(name: str) -> None:
    figure = drawn(chart_of(name))
    figure.draw_without_rendering()
    everything = [*figure.texts, *figure.axes[0].texts]
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in everything)
    note = next(text for text in figure.texts if text.get_gid() == "notes")
    box = figure.axes[0].get_tightbbox()
    assert box is not None
    legend = figure.legends[0].get_window_extent()
    assert box.y0 >= legend.y1
    assert legend.y0 >= note.get_window_extent().y1
    assert note.get_window_extent().y0 >= 0


def test_hostile_names_are_text() -> None:
    figure = drawn(time_phases(report_from(hostile())))
    assert all(isinstance(text, Text) and not text.get_parse_math() for text in figure.texts)
    assert b"tr$a_{i}n" in rendered(figure, "svg")
