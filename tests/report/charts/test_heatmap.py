"""The heat maps: each place by its number or its word, the edge, the advice, what is predicted."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from report_samples import (
    SAMPLES,
    Said,
    Sample,
    grid_sample,
    measured,
    mixed,
    one_point,
    report_from,
    run_of,
    twenty_by_twenty,
)
from rnnprof.advice.advise import Advice
from rnnprof.advice.recommendation import Recommendation
from rnnprof.breakdown.memory_model import MemoryModel, Plane
from rnnprof.maxbatch.certify import Proof
from rnnprof.report.charts.heatmap import heatmaps
from rnnprof.report.charts.kit.boxes import LOOKS, PREDICTED_LOOK, UNKNOWN, UNREACHED, ink_on
from rnnprof.report.charts.kit.heat import LEAST_NUMBER_PT
from rnnprof.report.charts.kit.labels import CAPITAL_EM, Labels, width_em
from rnnprof.report.charts.kit.style import FILL, INK, PAPER, Chart, rendered
from rnnprof.report.model import RunReport, report_of
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Grid, Outcome, Point

NAMES = (
    "heatmap-memory", "heatmap-step-time", "heatmap-time-steps", "heatmap-sequences",
    "heatmap-matmul-share",
)  # fmt: skip
MODEL = MemoryModel((Plane(24 << 20, 0.0, 36_000.0),), 0.001, 0.005, 4)
NO_ADVICE = Advice()


def report(
    sample: Sample,
    recommended: tuple[Point, ...] = (),
    model: MemoryModel | None = None,
) -> RunReport:
    """The view of measurements that no observation stands behind."""
    run, measurements = sample
    each = tuple(Recommendation(point.time_steps, point.batch) for point in recommended)
    places = {*run.points(), *measurements}
    return replace(
        report_of(run, "sample"),
        points=tuple(sorted(places, key=lambda point: (point.time_steps, point.batch))),
        measurements=measurements,
        advice=replace(NO_ADVICE, recommendations=each),
        model=model,
    )


@cache
def drawn(name: str) -> dict[str, Chart]:
    """The sample's charts by name; tests look and do not touch."""
    return {chart.name: chart for chart in heatmaps(report(SAMPLES[name]()))}


def memory(report: RunReport) -> Chart:
    """The first map alone: without times there is no other."""
    untimed = {
        point: replace(m, step_time_s=None, time_steps_per_s=None, sequences_per_s=None)
        for point, m in report.measurements.items()
    }
    (chart,) = heatmaps(replace(report, measurements=untimed))
    return chart


def with_id(figure: Figure, gid: str) -> Artist:
    found = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert len(found) == 1, gid
    return found[0]


def has_id(figure: Figure, gid: str) -> bool:
    return bool(figure.findobj(lambda artist: artist.get_gid() == gid))


def all_labels(chart: Chart) -> list[Labels]:
    """Those in the boxes: numbers, words."""
    beside = ("-batches", "-steps")
    found = [artist for artist in panel(chart).artists if isinstance(artist, Labels)]
    return [each for each in found if not str(each.get_gid()).endswith(beside)]


def texts(chart: Chart) -> dict[tuple[float, float], str]:
    """The texts in the boxes, by column and row."""
    pairs = [(label.place, label.text) for each in all_labels(chart) for label in each.labels]
    assert len(pairs) == len(dict(pairs)), "one text in a box"
    return dict(pairs)


def panel(chart: Chart) -> Axes:
    return chart.figure.axes[0]


def legend(chart: Chart) -> list[str]:
    return [text.get_text() for each in chart.figure.legends for text in each.get_texts()]


def notes(chart: Chart) -> str:
    if not has_id(chart.figure, "notes"):
        return ""
    text = with_id(chart.figure, "notes")
    assert isinstance(text, Text)
    return text.get_text()


def with_shares(sample: Sample) -> Sample:
    run, measurements = sample
    known = {
        point: replace(m, matmul_share_ratio=0.5) if m.outcome is Outcome.MEASURED else m
        for point, m in measurements.items()
    }
    return run, known


def unfinished() -> Sample:
    """T=128 was not reached, and B=128 at T=64 is implied."""
    run, measurements = grid_sample((16, 32, 64, 128), (32, 64, 128), 5_000)
    return run, {point: m for point, m in measurements.items() if point.time_steps < 128}


@cache
def fifty_by_forty() -> Sample:
    return grid_sample(range(4, 204, 4), range(8, 328, 8), 20_000)


@cache
def crowded() -> Chart:
    return memory(report(fifty_by_forty()))


# --- which ---------------------------------------------------------------------------------------


def test_there_is_one_for_each_quantity_in_order() -> None:
    charts = heatmaps(report(with_shares(mixed())))
    assert tuple(chart.name for chart in charts) == NAMES
    assert len({chart.title for chart in charts}) == len(NAMES)


def test_a_quantity_that_is_known_nowhere_is_left_out() -> None:
    assert tuple(drawn("mixed")) == NAMES[:4]


@pytest.mark.parametrize("name", ["all_oom", "untouched"])
def test_memory_is_drawn_where_nothing_is_known(name: str) -> None:
    assert tuple(drawn(name)) == NAMES[:1]


def test_without_a_place_there_is_nothing() -> None:
    assert heatmaps(report((run_of((), ()), {}))) == ()


# --- the places ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_every_place_has_its_text(name: str) -> None:
    places = report(SAMPLES[name]()).points
    for chart in drawn(name).values():
        assert len(texts(chart)) == len(places)
        assert all(texts(chart).values())


def test_the_numbers_stand_in_their_places() -> None:
    charts = heatmaps(report(with_shares(mixed())))
    seen = [(found[0, 0], found[5, 1], found[4, 2]) for found in map(texts, charts)]
    assert seen == [
        ("32.2M", "171M", "171M"),
        ("7.44m", "251m", "254m"),
        ("8.60k", "16.3k", "16.1k"),
        ("538", "510", "252"),
        ("50%", "50%", "50%"),
    ]


def test_words_name_the_outcomes_in_every_map() -> None:
    for chart in drawn("mixed").values():
        found = texts(chart)
        assert [found[place] for place in ((0, 3), (1, 3), (4, 3), (5, 3), (2, 0), (3, 1))] == [
            "crashed", "unsupported", "OOM", "implied", "timeout", "failed",
        ]  # fmt: skip
        assert found[0, 2] == "–"


def test_each_look_has_its_own_hatch_word_and_marker() -> None:
    looks = [*LOOKS.values(), UNKNOWN, UNREACHED, PREDICTED_LOOK]
    for kind in ("hatch", "marker"):
        assert len({getattr(look, kind) for look in looks}) == len(looks), kind
    for kind in ("word", "least", "meaning"):
        assert len({getattr(look.words, kind) for look in looks}) == len(looks), kind


def boxes_of(figure: Figure, gid: str) -> set[tuple[int, int]]:
    """The places that a compound path covers: neighbours in a row share a box."""
    patch = with_id(figure, gid)
    assert isinstance(patch, PathPatch)
    corners = np.asarray(patch.get_path().vertices).reshape(-1, 5, 2)[:, :4]
    covered = []
    for (left, bottom), (right, top) in zip(corners.min(axis=1), corners.max(axis=1), strict=True):
        assert top - bottom == 1
        columns = range(round(left + 0.5), round(right + 0.5))
        covered += [(column, round(bottom + 0.5)) for column in columns]
    assert len(covered) == len(set(covered))
    return set(covered)


def test_the_hatched_boxes_are_those_of_the_outcome() -> None:
    figure = drawn("mixed")["heatmap-memory"].figure
    for outcome, look in LOOKS.items():
        places = {
            ((4, 8, 16, 32, 64, 128).index(p.batch), (16, 32, 64, 128).index(p.time_steps))
            for p, m in mixed()[1].items()
            if m.outcome is outcome
        }
        gid = f"heatmap-memory-{outcome}"
        assert boxes_of(figure, gid) == places != set()
        patch = with_id(figure, gid)
        assert isinstance(patch, PathPatch)
        assert patch.get_hatch() == look.hatch


def test_a_measured_point_without_this_value_says_so() -> None:
    run, measurements = mixed()
    measurements[Point(4, 16)] = measured(4, 16, step_time_s=None)
    step_time = {c.name: c for c in heatmaps(report((run, measurements)))}["heatmap-step-time"]
    assert texts(step_time)[0, 0] == "?"
    assert UNKNOWN.words.meaning in legend(step_time)
    assert boxes_of(step_time.figure, "heatmap-step-time-unknown") == {(0, 0)}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_unknown(value: float) -> None:
    run, measurements = mixed()
    measurements[Point(4, 16)] = measured(4, 16, sequences_per_s=value)
    chart = {c.name: c for c in heatmaps(report((run, measurements)))}["heatmap-sequences"]
    assert texts(chart)[0, 0] == "?"


def test_a_pair_that_nobody_asked_for_is_left_blank() -> None:
    run, measurements = grid_sample((4, 8), (16, 32))
    request = replace(run.requests[0], request="r2", grid=Grid((64,), (64,)))
    both = replace(run, requests=(*run.requests, request))
    chart = memory(report((both, measurements)))
    assert texts(chart) == {
        (0, 0): "32.2M", (1, 0): "34.4M", (0, 1): "34.4M", (1, 1): "38.8M", (2, 2): "–",
    }  # fmt: skip
    assert "not requested" in notes(chart)


def test_flags_are_marked_where_values_come_of_times() -> None:
    charts = drawn("mixed")
    for name in NAMES[1:4]:
        assert texts(charts[name])[1, 2].endswith("~!")
        assert {"time not converged", "time noisy"} <= set(legend(charts[name]))
    assert not any(set(text) & set("~!") for text in texts(charts["heatmap-memory"]).values())
    assert "time noisy" not in legend(charts["heatmap-memory"])


def test_the_colour_of_a_box_is_that_of_its_value() -> None:
    run, measurements = grid_sample((4, 8, 16), (16, 32))
    chart = memory(report((run, measurements)))
    boxes = with_id(chart.figure, "heatmap-memory-values")
    assert isinstance(boxes, PolyCollection)
    faces = boxes.get_facecolor()
    sizes = [m.peak_charged_bytes or 0 for m in measurements.values()]
    assert tuple(faces[np.argmin(sizes)]) == mpl.colormaps["cividis"](0.0)
    assert tuple(faces[np.argmax(sizes)]) == mpl.colormaps["cividis"](1.0)
    for label, face in zip(all_labels(chart)[0].labels, faces, strict=True):
        assert label.ink == ink_on(face)
    assert {label.ink for label in all_labels(chart)[0].labels} == {"#000000", "#ffffff"}


def test_memory_that_is_not_known_is_so_whatever_else_is_known() -> None:
    run, measurements = mixed()
    measurements[Point(4, 16)] = unknown = measured(4, 16, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert unknown.peak_process_bytes
    chart = memory(report((run, measurements)))
    assert chart.title == "Peak memory"
    assert (texts(chart)[0, 0], texts(chart)[1, 0]) == ("?", "34.4M")
    assert boxes_of(chart.figure, "heatmap-memory-unknown") == {(0, 0)}
    assert UNKNOWN.words.meaning in legend(chart)
    assert "known at 15 of 24 points" in chart.finding


# --- prediction ----------------------------------------------------------------------------------


def test_what_was_not_reached_is_predicted_and_marked_so() -> None:
    chart = memory(report(unfinished(), model=MODEL))
    found = texts(chart)
    assert [found[column, 2] for column in range(4)] == ["≈94.3M", "≈165M", "≈305M", "≈586M"]
    assert found[3, 1] == "OOM"
    assert boxes_of(chart.figure, "heatmap-memory-predicted") == {(c, 2) for c in range(4)}
    assert PREDICTED_LOOK.words.meaning in legend(chart)
    assert "the limit counts" in notes(chart)
    assert "4 points predicted, not reached" in chart.finding


def test_an_implied_point_stays_implied() -> None:
    run, measurements = grid_sample((16, 32, 64, 128), (32, 64, 128), 5_000)
    chart = memory(report((run, measurements), model=MODEL))
    assert "implied" in texts(chart).values()
    assert not any(text.startswith("≈") for text in texts(chart).values())


def test_without_a_model_nothing_is_predicted() -> None:
    chart = memory(report(unfinished()))
    assert {texts(chart)[column, 2] for column in range(4)} == {"–"}
    assert PREDICTED_LOOK.words.meaning not in legend(chart)


def test_only_memory_is_predicted() -> None:
    for chart in heatmaps(report(unfinished(), model=MODEL))[1:]:
        assert {texts(chart)[column, 2] for column in range(4)} == {"–"}
        assert UNREACHED.words.meaning in legend(chart)


def test_a_prediction_has_no_colour_of_a_measurement() -> None:
    figure = memory(report(unfinished(), model=MODEL)).figure
    boxes = with_id(figure, "heatmap-memory-values")
    assert isinstance(boxes, PolyCollection)
    assert len(boxes.get_paths()) == sum(
        m.outcome is Outcome.MEASURED for m in unfinished()[1].values()
    )
    predicted = with_id(figure, "heatmap-memory-predicted")
    assert isinstance(predicted, PathPatch)
    assert mpl.colors.to_hex(predicted.get_facecolor()) == FILL


# --- edge and advice -----------------------------------------------------------------------------


def test_the_edge_is_drawn_in_every_map_that_has_one() -> None:
    for name, chart in drawn("mixed").items():
        assert isinstance(with_id(chart.figure, f"{name}-oom-edge"), Line2D)
        assert "out of memory at the limit (512 MiB)" in legend(chart)
    chart = drawn("one_point")["heatmap-memory"]
    assert not has_id(chart.figure, "heatmap-memory-oom-edge")
    assert legend(chart) == []


def test_the_edge_has_no_stroke_without_length() -> None:
    for name in ("mixed", "twenty_by_twenty"):
        line = with_id(drawn(name)["heatmap-memory"].figure, "heatmap-memory-oom-edge")
        assert isinstance(line, Line2D)
        corners = [tuple(corner) for corner in np.asarray(line.get_xydata()).tolist()]
        assert len(corners) > 2
        assert all(start != end for start, end in pairwise(corners))


def test_the_proven_edge_stands_at_its_row() -> None:
    proof = Proof(32, EdgeStatus.CERTIFIED, 1, 128, batch=71)
    chart = memory(report_from(grid_sample((16, 32, 64, 128), (16, 32), 2_500), (proof,)))
    assert ticks(chart, "steps") == {0: "16", 1: "32 (B≤71)"}
    assert "B≤n: the largest batch that fits at T" in legend(chart)
    assert "B=71 is the largest that fits at T=32 under 512 MiB" in chart.finding


def test_the_recommended_point_of_every_t_is_outlined_and_told() -> None:
    for chart in heatmaps(report(mixed(), recommended=(Point(128, 16), Point(64, 32)))):
        for row, middle in enumerate([(5, 0), (4, 1)]):
            box = with_id(chart.figure, f"{chart.name}-recommended-{row}")
            assert isinstance(box, Rectangle)
            centre = (box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2)
            assert centre == pytest.approx(middle)
        assert not has_id(chart.figure, f"{chart.name}-recommended-2")
        assert legend(chart).count("recommended batch at T") == 1


@pytest.mark.parametrize("recommended", [(), (Point(65, 32),)])
def test_advice_off_the_grid_is_not_outlined(recommended: tuple[Point, ...]) -> None:
    chart = memory(report(mixed(), recommended=recommended))
    assert not any(has_id(chart.figure, f"heatmap-memory-recommended-{row}") for row in range(4))
    assert not any("recommended" in text for text in legend(chart))


def test_where_speed_is_open_nothing_is_outlined() -> None:
    tied = Recommendation(32, None, (16, 64), (16, 64))
    chart = memory(replace(report(mixed()), advice=Advice((tied,))))
    assert not has_id(chart.figure, "heatmap-memory-recommended-1")


def test_the_legend_names_what_is_there_and_nothing_else() -> None:
    assert legend(drawn("one_row")["heatmap-memory"]) == [
        "out of memory at the limit (512 MiB)",
        "OOM: out of memory",
        "implied by a smaller OOM",
    ]
    every = set(legend(drawn("mixed")["heatmap-step-time"]))
    assert every >= {look.words.meaning for look in LOOKS.values()} | {UNREACHED.words.meaning}
    assert not every & {UNKNOWN.words.meaning, PREDICTED_LOOK.words.meaning}


# --- axes and colour bar -------------------------------------------------------------------------


def ticks(chart: Chart, axis: str) -> dict[float, str]:
    """The labels along an axis, by their places on it."""
    labels = with_id(chart.figure, f"{chart.name}-{axis}")
    assert isinstance(labels, Labels)
    side = 0 if axis == "batches" else 1
    assert all(label.place[1 - side] < -0.5 for label in labels.labels), "outside the panel"
    return {label.place[side]: label.text for label in labels.labels}


def axis_label(chart: Chart, axis: str) -> str:
    text = with_id(chart.figure, f"{chart.name}-{axis}-axis")
    assert isinstance(text, Text)
    return text.get_text()


def test_the_axes_are_labelled_with_the_grid() -> None:
    chart = drawn("mixed")["heatmap-memory"]
    assert ticks(chart, "batches") == dict(enumerate(["4", "8", "16", "32", "64", "128"]))
    assert ticks(chart, "steps") == dict(enumerate(["16", "32", "64", "128"]))
    assert axis_label(chart, "x") == "batch B, sequences (log2 axis)"
    assert axis_label(chart, "y") == "time steps T (log2 axis)"
    low, high = panel(chart).get_ylim()
    assert low < high, "T grows upward"


@pytest.mark.parametrize("batches", [(8, 16, 24), (8, 16, 64), (8, 16), (3, 9, 27), (8,)])
def test_an_axis_that_is_no_log2_axis_is_not_called_one(batches: Iterable[int]) -> None:
    chart = memory(report(grid_sample(batches, (16,))))
    assert axis_label(chart, "x") == "batch B, sequences"


def test_ticks_are_thinned_where_they_would_collide() -> None:
    chart = crowded()
    batches, time_steps = ticks(chart, "batches"), ticks(chart, "steps")
    assert 10 <= len(batches) < 50
    assert 10 <= len(time_steps) <= 40
    assert all(text == str(4 * (column + 1)) for column, text in batches.items())
    assert all(text == str(8 * (row + 1)) for row, text in time_steps.items())


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("heatmap-memory", "peak memory, bytes (M: MiB)"),
        ("heatmap-step-time", "time of a training step (m: milliseconds)"),
        ("heatmap-time-steps", "time steps/s (k: thousand)"),
        ("heatmap-sequences", "sequences/s (k: thousand)"),
    ],
)
def test_the_colour_bar_names_quantity_and_unit(name: str, label: str) -> None:
    bar = with_id(drawn("mixed")[name].figure, f"{name}-bar")
    assert isinstance(bar, Axes)
    assert bar.get_title(loc="left") == label


def test_the_colour_bar_ends_at_the_extremes() -> None:
    labels = with_id(drawn("mixed")["heatmap-memory"].figure, "heatmap-memory-bar-labels")
    assert isinstance(labels, Labels)
    found = {label.place[0]: label.text for label in labels.labels}
    assert (found[0.0], found[1.0]) == ("32.2M", "171M")
    assert len(found) == 3


def test_without_two_values_there_is_no_bar_and_the_title_has_the_unit() -> None:
    chart = drawn("one_point")["heatmap-memory"]
    assert len(chart.figure.axes) == 1
    assert panel(chart).get_title(loc="left") == "Peak memory (M: MiB)"


# --- can it be read ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_labels_can_be_read_and_stay_in_their_boxes(name: str) -> None:
    assert_legible(drawn(name).values())


def test_flags_on_a_crowded_grid_stay_in_their_boxes() -> None:
    run, measurements = with_shares(twenty_by_twenty())
    flagged = {
        point: replace(m, converged=False, noisy=Said("throttled"))
        for point, m in measurements.items()
    }
    charts = heatmaps(report((run, flagged)))
    assert_legible(charts)
    assert all(len(texts(chart)) == 400 for chart in charts)


def assert_legible(charts: Iterable[Chart]) -> None:
    for chart in charts:
        per_pt = chart.figure.dpi / 72
        corners = panel(chart).transData.transform([(0, 0), (1, 1)])
        room = (corners[1] - corners[0]) / per_pt
        for each in all_labels(chart):
            assert each.size_pt >= LEAST_NUMBER_PT
            assert each.size_pt <= room[1]
            assert max(width_em(label.text) for label in each.labels) * each.size_pt <= room[0]


@pytest.mark.parametrize("text", ["12.3M", "≈1.02G", "16.3k~!", "45.1µ", "implied", "62%"])
def test_a_width_is_what_the_font_says(text: str) -> None:
    drawn_text = Figure().text(0, 0, text, fontsize=100, fontfamily="DejaVu Sans")
    width_px = drawn_text.get_window_extent().width
    assert width_em(text) * 100 / 72 * 100 == pytest.approx(width_px, rel=0.05)


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_leaves_the_sheet_or_covers_its_neighbours(name: str) -> None:
    for chart in drawn(name).values():
        extents = parts(chart)
        for one, other in combinations(extents, 2):
            assert not overlap(one, other), chart.name
        everything, sheet = Bbox.union(extents), chart.figure.bbox
        assert everything.x0 >= 0
        assert everything.y0 >= 0
        assert everything.x1 <= sheet.x1 + 0.5
        assert everything.y1 <= sheet.y1 + 0.5


def parts(chart: Chart) -> list[Bbox]:
    """What is drawn around and in the panel, each by its extent in pixels."""
    figure = chart.figure
    found = [axes.get_window_extent() for axes in figure.axes]
    titles = [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]
    drawn_texts = [text for text in (*titles, *figure.texts) if text.get_text()]
    found += [text.get_window_extent() for text in drawn_texts]
    found += [legend.get_window_extent() for legend in figure.legends]
    beside = figure.findobj(lambda a: isinstance(a, Labels) and a not in all_labels(chart))
    for labels in beside:
        found += extents_of(labels)
    return found


def extents_of(labels: Labels) -> list[Bbox]:
    """Of each label, by the widths of its characters and the height of a capital."""
    assert labels.axes is not None
    assert labels.figure is not None
    size_px = labels.size_pt * labels.figure.dpi / 72
    boxes = []
    for label in labels.labels:
        x, y = labels.axes.transData.transform(label.place)
        width = width_em(label.text) * size_px
        left, low = x - label.align * width, y - CAPITAL_EM / 2 * size_px
        boxes.append(Bbox.from_bounds(left, low, width, CAPITAL_EM * size_px))
    return boxes


def overlap(one: Bbox, other: Bbox) -> bool:
    common = Bbox.intersection(one, other)
    return common is not None and common.width > 0.5 and common.height > 0.5


def test_two_thousand_points_leave_the_numbers_to_the_table() -> None:
    chart = crowded()
    assert texts(chart) == {}
    assert "2,000 points are too many for numbers here: the table has them." in notes(chart)
    markers = with_id(chart.figure, "heatmap-memory-oom-markers")
    implied = with_id(chart.figure, "heatmap-memory-implied_oom-markers")
    assert isinstance(markers, Line2D)
    assert isinstance(implied, Line2D)
    assert markers.get_marker() != implied.get_marker()
    count = sum(m.outcome is Outcome.OOM for m in fifty_by_forty()[1].values())
    assert len(markers.get_xydata()) == count > 0
    assert not any(map(notes, drawn("twenty_by_twenty").values()))


def test_inks_are_those_that_a_page_replaces() -> None:
    figure = memory(report(mixed(), recommended=(Point(64, 32),))).figure
    edge = with_id(figure, "heatmap-memory-oom-edge")
    assert isinstance(edge, Line2D)
    assert edge.get_color() == INK
    assert mpl.colors.to_hex(figure.get_facecolor()) == PAPER


# --- findings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mixed", "between 32.2 MiB at B=4 T=16 and 171 MiB at B=128 T=32, known at 16 of 24"),
        ("all_oom", "Peak memory is known at none of 9 points. "),
        ("untouched", "Peak memory is known at none of 4 points. 4 points not reached."),
        ("one_point", "Peak memory is 311 MiB at B=64 T=128."),
    ],
)  # fmt: skip
def test_a_finding_tells_the_extremes(name: str, sentence: str) -> None:
    assert sentence in drawn(name)["heatmap-memory"].finding


def test_a_finding_counts_how_points_ended() -> None:
    finding = drawn("mixed")["heatmap-memory"].finding
    for outcome, look in LOOKS.items():
        count = sum(m.outcome is outcome for m in mixed()[1].values())
        assert f"{count} point{'s' if count > 1 else ''} {look.words.ending}" in finding


def test_each_finding_has_its_own_unit() -> None:
    findings = {name: chart.finding for name, chart in drawn("mixed").items()}
    assert "Step time is between 7.44 ms at B=4 T=16" in findings["heatmap-step-time"]
    assert "and 16.3 k time steps/s at B=128 T=32" in findings["heatmap-time-steps"]
    assert "and 1.01 k sequences/s at B=128 T=16" in findings["heatmap-sequences"]


# --- files ---------------------------------------------------------------------------------------


def test_an_svg_stays_small() -> None:
    for chart in drawn("twenty_by_twenty").values():
        assert len(rendered(chart.figure, "svg")) < 120_000


def test_the_same_view_gives_the_same_bytes() -> None:
    first, second = (memory(report(mixed(), (Point(64, 32),))) for _ in range(2))
    for kind in ("svg", "png", "pdf"):
        assert rendered(first.figure, kind) == rendered(second.figure, kind)


def test_numbers_are_text_in_the_svg() -> None:
    root = ET.fromstring(rendered(drawn("mixed")["heatmap-memory"].figure, "svg"))
    found = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"32.2M", "171M", "implied", "crashed"} <= found
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids))


def test_the_maps_take_hardly_longer_for_many_points() -> None:
    """One artist draws all boxes of a kind, and one all numbers."""
    small, large = heatmaps(report(one_point()))[0], drawn("twenty_by_twenty")["heatmap-memory"]
    assert len(panel(large).get_children()) <= len(panel(small).get_children()) + 12
    assert LEAST_NUMBER_PT >= 4.5
