"""The figure: every place drawn, labels within their boxes, the edge where it was seen."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from report_samples import (
    SAMPLES,
    Said,
    Sample,
    all_oom,
    grid_sample,
    hostile,
    measured,
    mixed,
    non_monotone,
    one_column,
    one_point,
    one_row,
    report_from,
    twenty_by_twenty,
)
from rnnprof import atomic
from rnnprof.errors import BadInputError
from rnnprof.report.charts.kit import boxes, quantities
from rnnprof.report.charts.kit.boxes import edge_path
from rnnprof.report.charts.kit.heat import LEAST_WORD_PT
from rnnprof.report.charts.kit.labels import CAPITAL_EM, Label, Labels, width_em
from rnnprof.report.charts.overview import finding, trade_off, write_charts
from rnnprof.report.model import grid_points
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Settings
from rnnprof.workload import FactorySource

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@cache
def drawn(name: str) -> Figure:
    """The sample's figure; tests look and do not touch."""
    return trade_off(report_from(SAMPLES[name]()))


PANELS = ("memory", "rate")


def panels(figure: Figure) -> tuple[Axes, Axes]:
    """The axes with the boxes, without those of the colour bars."""
    memory, rate = (axes for axes in figure.axes if not axes.get_images())
    return memory, rate


def with_id(figure: Figure, gid: str) -> Artist:
    found = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert len(found) == 1, gid
    return found[0]


def all_labels(axes: Axes) -> list[Labels]:
    """Those in the boxes: numbers, words."""
    found = [artist for artist in axes.artists if isinstance(artist, Labels)]
    return [each for each in found if not str(each.get_gid()).endswith(("-batches", "-steps"))]


def labels(axes: Axes) -> dict[tuple[float, float], Label]:
    """The texts in the boxes, by column and row."""
    return {label.place: label for each in all_labels(axes) for label in each.labels}


def texts(axes: Axes) -> dict[tuple[float, float], str]:
    return {place: label.text for place, label in labels(axes).items()}


def ticks(figure: Figure, panel: str, axis: str) -> Labels:
    found = with_id(figure, f"{panel}-{axis}")
    assert isinstance(found, Labels)
    return found


def extents(labels: Labels) -> list[Bbox]:
    """Of each label, in pixels, by the widths of its characters and the height of a capital."""
    assert labels.axes is not None
    assert labels.figure is not None
    size_px = labels.size_pt * labels.figure.dpi / 72
    found = []
    for label in labels.labels:
        x, y = labels.axes.transData.transform(label.place)
        width = width_em(label.text) * size_px
        left, low = x - label.align * width, y - CAPITAL_EM / 2 * size_px
        found.append(Bbox.from_bounds(left, low, width, CAPITAL_EM * size_px))
    return found


def title(figure: Figure) -> str:
    text = with_id(figure, "title")
    assert isinstance(text, Text)
    return text.get_text().replace("\n", " ")


# --- every place ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_every_place_of_the_grid_is_drawn_and_labelled(name: str) -> None:
    run, measurements = SAMPLES[name]()
    places = grid_points(run, measurements)
    for axes in panels(drawn(name)):
        assert len(texts(axes)) == len(places)
        assert all(texts(axes).values())


def test_the_numbers_stand_in_their_places() -> None:
    memory, rate = panels(drawn("mixed"))
    sizes, rates = texts(memory), texts(rate)
    assert (sizes[0, 0], sizes[5, 1], sizes[4, 2]) == ("32.2M", "171M", "171M")
    assert (rates[0, 0], rates[5, 1], rates[4, 2]) == ("8.60k", "16.3k", "16.1k")


def test_outcomes_differ_in_word_and_in_hatch() -> None:
    _, rate = panels(drawn("mixed"))
    words = texts(rate)
    assert words[0, 3] == "crashed"
    assert words[1, 3] == "unsup"
    assert words[4, 3] == "OOM"
    assert words[5, 3] == "implied"
    assert words[2, 0] == "timeout"
    assert words[3, 1] == "failed"
    assert words[0, 2] == "–"
    hatches = [look.hatch for look in boxes.LOOKS.values()]
    assert len(set(hatches)) == len(hatches) == len(Outcome) - 1


def test_a_box_has_the_hatch_of_its_outcome() -> None:
    """Where the boxes are is shown for the heat maps, which are drawn by the same code."""
    figure = drawn("mixed")
    for outcome, look in boxes.LOOKS.items():
        patch = with_id(figure, f"memory-{outcome}")
        assert isinstance(patch, PathPatch)
        assert patch.get_hatch() == look.hatch


def test_loose_and_noisy_times_are_marked_in_the_rates_only() -> None:
    memory, rate = panels(drawn("mixed"))
    assert [texts(rate)[place] for place in ((1, 0), (2, 1), (1, 2))] == [
        "11.3k~", "14.3k!", "13.1k~!",
    ]  # fmt: skip
    assert not any(set(text) & set("~!") for text in texts(memory).values())


def test_the_axes_are_labelled_with_the_grid() -> None:
    figure = drawn("mixed")
    memory, _ = panels(figure)
    batches, time_steps = ticks(figure, "memory", "batches"), ticks(figure, "memory", "steps")
    assert [each.text for each in batches.labels] == ["4", "8", "16", "32", "64", "128"]
    assert [each.text for each in time_steps.labels] == ["16", "32", "64", "128"]
    low, high = memory.get_ylim()
    assert low < high, "T grows upward"


def test_memory_that_is_not_known_is_so_whatever_else_is_known() -> None:
    run, measurements = mixed()
    measurements[Point(4, 16)] = unknown = measured(4, 16, peak_charged_bytes=None)
    assert unknown.peak_allocated_bytes
    assert unknown.peak_process_bytes
    memory, rate = panels(trade_off(report_from((run, measurements))))
    assert memory.get_title(loc="left") == "Peak memory (M: MiB)"
    assert texts(memory)[0, 0] == "?"
    assert texts(memory)[1, 0] == "34.4M"
    assert texts(rate)[0, 0] == "8.60k"


# --- the edge ------------------------------------------------------------------------------------


def path_of(sample: Sample) -> list[tuple[float, float]]:
    run, measurements = sample
    batches = sorted({point.batch for point in grid_points(run, measurements)})
    return edge_path(report_from((run, measurements)).edges, batches)


def strokes(
    path: list[tuple[float, float]],
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The pieces of the line that have a length."""
    return [
        (start, end)
        for start, end in pairwise(path)
        if start != end and not any(map(math.isnan, (*start, *end)))
    ]


def test_the_edge_stands_between_what_fits_and_what_does_not() -> None:
    assert strokes(path_of(mixed())) == [
        ((5.5, 1.5), (4.5, 1.5)),
        ((4.5, 1.5), (4.5, 2.5)),
        ((4.5, 2.5), (3.5, 2.5)),
        ((3.5, 2.5), (3.5, 3.5)),
    ]


def test_where_nothing_fits_the_edge_is_the_grids_own() -> None:
    assert strokes(path_of(all_oom())) == [
        ((-0.5, row - 0.5), (-0.5, row + 0.5)) for row in range(3)
    ]


def test_the_edge_of_one_row_and_of_one_column() -> None:
    assert strokes(path_of(one_row())) == [((5.5, -0.5), (5.5, 0.5))]
    assert strokes(path_of(one_column())) == [
        ((0.5, 3.5), (-0.5, 3.5)),
        ((-0.5, 3.5), (-0.5, 4.5)),
        ((-0.5, 4.5), (-0.5, 5.5)),
    ]


def test_the_edge_stands_before_the_first_oom_even_below_a_fit() -> None:
    assert ((0.5, 0.5), (0.5, 1.5)) in strokes(path_of(non_monotone()))


@pytest.mark.parametrize("name", ["one_point", "untouched", "hostile"])
def test_without_an_oom_there_is_no_edge(name: str) -> None:
    assert path_of(SAMPLES[name]()) == []
    figure = drawn(name)
    assert not figure.findobj(lambda artist: str(artist.get_gid()).endswith("oom-edge"))


def test_the_edge_breaks_where_nothing_is_known() -> None:
    run, measurements = grid_sample((4, 8), (16, 32, 64), 0)
    measurements = {p: m for p, m in measurements.items() if p.time_steps != 32}
    path = path_of((run, measurements))
    assert strokes(path) == [((-0.5, -0.5), (-0.5, 0.5)), ((-0.5, 1.5), (-0.5, 2.5))]


@pytest.mark.parametrize("panel", ["memory", "rate"])
def test_the_edge_is_in_the_figure_and_its_legend(panel: str) -> None:
    figure = drawn("mixed")
    line = with_id(figure, f"{panel}-oom-edge")
    assert isinstance(line, Line2D)
    data = [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
    assert strokes(data) == strokes(path_of(mixed()))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "out of memory at the limit (512 MiB)" in texts


def test_what_is_set_aside_is_no_limit_of_training() -> None:
    run, measurements = SAMPLES["mixed"]()
    settings = Settings(reserve_bytes=112 << 20)
    request = replace(run.requests[0], settings=settings)
    figure = trade_off(report_from((replace(run, requests=(request,)), measurements)))
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert "out of memory at the limit (400 MiB)" in texts
    assert not [text for text in texts if "512 MiB" in text]


def sharp(sample: Sample) -> Sample:
    """The sample, with times that are known well enough to decide by."""
    run, measurements = sample
    known = {}
    for point, each in measurements.items():
        at = each.step_time_s
        interval = None if at is None else (0.9999 * at, 1.0001 * at)
        known[point] = replace(each, step_time_within_ci_s=interval)
    return run, known


def outlined(figure: Figure, panel: str) -> dict[int, tuple[float, float]]:
    """The middles of the outlines, by row."""
    found = {}
    for box in figure.findobj(Rectangle):
        name, _, row = str(box.get_gid()).partition("-recommended-")
        if row and name == panel:
            assert not box.get_fill()
            middle = (box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2)
            found[int(row)] = middle
    return found


def test_the_recommended_point_of_every_t_is_outlined_in_both_panels() -> None:
    """T=32 and T=64 have a noisy batch that may be the fastest."""
    figure = trade_off(report_from(sharp(mixed())))
    for panel in ("memory", "rate"):
        assert outlined(figure, panel) == {0: pytest.approx((4, 0)), 3: pytest.approx((3, 3))}
        assert outlined(drawn("mixed"), panel) == {0: pytest.approx((4, 0))}
        assert outlined(drawn("one_row"), panel) == {}


def test_the_legend_names_what_is_there_and_nothing_else() -> None:
    def entries(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.legends[0].get_texts()]

    others = ["OOM: out of memory", "implied by a smaller OOM"]
    limit = "out of memory at the limit (512 MiB)"
    assert entries(trade_off(report_from(sharp(one_row())))) == [
        limit,
        "recommended batch at T",
        *others,
    ]
    assert entries(drawn("one_row")) == [limit, *others]
    assert entries(drawn("one_point")) == ["recommended batch at T"]
    every = {text.get_text() for text in drawn("mixed").legends[0].get_texts()}
    assert every >= {look.words.meaning for look in boxes.LOOKS.values()}
    assert every >= {"time not converged", "time noisy", "not reached"}


# --- the sentence --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mixed", "up to B=32 fits at T=128 under 512 MiB; recommended at T=16: B=64, 15.7 k"),
        ("one_row", " under 512 MiB; memory is decided, speed is not"),
        ("all_oom", "nothing tried fits under 512 MiB"),
        ("untouched", "no point was measured"),
        (
            "one_column",
            "up to B=64 fits at T=128 under 512 MiB, none at T=256; recommended at T=128: B=64, "
        ),
        (
            "one_point",
            "up to B=64 fits at T=128 under 512 MiB, the largest tried; recommended at T=128: B=64",
        ),
        ("non_monotone", "up to B=64 fits at T=128 under 512 MiB, though B=32 was out of memory;"),
        ("hostile", "up to B=4 fits at T=32 under 512 MiB; recommended at T=32: B=4, 9.94 k"),
    ],
)  # fmt: skip
def test_the_title_states_the_finding(name: str, sentence: str) -> None:
    run, measurements = SAMPLES[name]()
    assert sentence in finding(report_from((run, measurements)))
    assert title(drawn(name)) == finding(report_from((run, measurements)))


def test_the_footer_names_the_workload_the_device_and_the_versions() -> None:
    text = with_id(drawn("mixed"), "notes")
    assert isinstance(text, Text)
    assert text.get_text() == (
        "lstm 256->512, 1 layer, fp32, adam\n"
        "AMD EPYC 7B13, 2 processors, torch 2.13.0+cpu, rnnprof 0.1.0"
    )


# --- can it be read ------------------------------------------------------------------------------


def holds(outer: Bbox, inner: Bbox) -> bool:
    across = outer.x0 <= inner.x0 and inner.x1 <= outer.x1
    return bool(across and outer.y0 <= inner.y0 and inner.y1 <= outer.y1)


def outer_box(axes: Axes, place: tuple[float, float]) -> Bbox:
    """A place of the grid, in pixels."""
    column, row = place
    corners = [(column - 0.5, row - 0.5), (column + 0.5, row + 0.5)]
    return Bbox(axes.transData.transform(corners))


def assert_labels_in_boxes(figure: Figure) -> None:
    for axes in panels(figure):
        for each in all_labels(axes):
            for label, extent in zip(each.labels, extents(each), strict=True):
                assert holds(outer_box(axes, label.place), extent), label


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n == "twenty_by_twenty" else ()) for n in SAMPLES],
)
def test_labels_stay_within_their_boxes(name: str) -> None:
    assert_labels_in_boxes(drawn(name))


def test_flags_on_a_crowded_grid_stay_within_their_boxes() -> None:
    run, measurements = grid_sample(range(1, 25), (16, 32))
    flagged = {
        point: replace(measurement, converged=False, noisy=Said("throttled"))
        for point, measurement in measurements.items()
    }
    assert_labels_in_boxes(trade_off(report_from((run, flagged))))


@pytest.mark.parametrize("name", ["mixed", "one_column", "twenty_by_twenty"])
def test_the_outline_touches_neither_its_number_nor_the_edge(name: str) -> None:
    figure = trade_off(report_from(sharp(SAMPLES[name]())))
    rows = sorted(outlined(figure, "memory"))
    assert rows
    for panel, axes, row in (
        (*pair, row)
        for row in rows
        for pair in zip(("memory", "rate"), panels(figure), strict=True)
    ):
        outline = with_id(figure, f"{panel}-recommended-{row}")
        edge = with_id(figure, f"{panel}-oom-edge")
        assert isinstance(outline, Rectangle)
        assert isinstance(edge, Line2D)
        frame, pixels = outline.get_window_extent(), figure.dpi / 72
        column = outline.get_x() + outline.get_width() / 2
        place = (round(column), row)
        (inside,) = (
            extent
            for each in all_labels(axes)
            for label, extent in zip(each.labels, extents(each), strict=True)
            if label.place == place
        )
        half = outline.get_linewidth() / 2 * pixels
        assert holds(frame.padded(-half), inside)
        box = outer_box(axes, place)
        assert holds(box.padded(-half - edge.get_linewidth() / 2 * pixels), frame)


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_leaves_the_sheet_or_covers_its_neighbours(name: str) -> None:
    figure = drawn(name)
    parts = [with_id(figure, "title").get_window_extent()]
    parts += [Bbox.union([b for axes in figure.axes if (b := axes.get_tightbbox())])]
    parts += [legend.get_window_extent() for legend in figure.legends]
    parts += [with_id(figure, "notes").get_window_extent()]
    for part in parts:
        assert part.x0 >= 0
        assert part.x1 <= figure.bbox.x1
        assert part.y0 >= 0
        assert part.y1 <= figure.bbox.y1
    for above, below in pairwise(parts):
        assert above.y0 >= below.y1


@pytest.mark.parametrize("name", SAMPLES)
def test_the_labels_of_columns_stand_apart(name: str) -> None:
    for panel in PANELS:
        found = extents(ticks(drawn(name), panel, "batches"))
        assert all(left.x1 < right.x0 for left, right in pairwise(found))


@pytest.mark.parametrize("name", ["mixed", "one_point", "one_row", "twenty_by_twenty"])
def test_the_type_is_large_enough(name: str) -> None:
    for axes in panels(drawn(name)):
        assert min(each.size_pt for each in all_labels(axes)) >= LEAST_WORD_PT


@pytest.mark.parametrize("colours", ["cividis", "viridis", "magma"])
def test_ink_stands_out_from_every_colour(colours: str) -> None:
    for step in range(101):
        colour = mpl.colormaps[colours](step / 100)
        luminance = boxes.luminance(colour)
        dark = (luminance + 0.05) / 0.05
        light = 1.05 / (luminance + 0.05)
        chosen = dark if boxes.ink_on(colour) == "#000000" else light
        assert chosen >= 4.5, "WCAG AA"
        assert chosen == pytest.approx(max(dark, light), rel=0.02)


def test_light_boxes_have_black_ink_and_dark_ones_white() -> None:
    memory, _ = panels(drawn("mixed"))
    assert labels(memory)[0, 0].ink == "#ffffff"
    assert labels(memory)[5, 1].ink == "#000000"


def test_a_wide_range_has_a_logarithmic_scale() -> None:
    assert isinstance(quantities.scale_of([1.0, 100.0]), LogNorm)
    assert not isinstance(quantities.scale_of([1.0, 2.0]), LogNorm)
    assert float(quantities.scale_of([7.0])(7.0)) == 0.5
    assert not isinstance(quantities.scale_of([0.0, 100.0]), LogNorm), "zero has no logarithm"


@pytest.mark.parametrize("name", ["one_point", "all_oom", "untouched"])
def test_without_two_values_there_is_no_colour_bar(name: str) -> None:
    assert len(drawn(name).axes) == 2
    assert len(drawn("mixed").axes) == 4


# --- names ---------------------------------------------------------------------------------------


def test_hostile_names_are_text_and_no_mathematics() -> None:
    figure = drawn("hostile")
    assert title(figure).startswith("tr$a_{i}n\\frac$.py:ma<k>e&'\"--x?[31m: up to")
    for gid in ("title", "notes"):
        text = with_id(figure, gid)
        assert isinstance(text, Text)
        assert not text.get_parse_math()


def test_a_name_without_end_leaves_room_for_the_finding() -> None:
    run, measurements = hostile()
    factory = FactorySource("x" * 500 + ".py:make")
    workload = replace(run.header.workload, factory=factory)
    long = replace(run, header=replace(run.header, workload=workload))
    figure = trade_off(report_from((long, measurements)))
    assert "recommended at T=32: B=4, 9.94 k time steps/s" in title(figure)
    assert with_id(figure, "title").get_window_extent().x1 <= figure.bbox.x1


def test_letters_that_the_font_lacks_raise_no_warning(tmp_path: Path) -> None:
    run, measurements = one_point()
    environment = {"device_name": "深度 \U0001f600"}
    foreign = replace(run, header=replace(run.header, environment=environment))
    write_charts(report_from((foreign, measurements)), tmp_path, "foreign")


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mixed", "hostile", "untouched"])
def test_both_files_are_written_and_nothing_else(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "report"
    paths = write_charts(report_from(SAMPLES[name]()), directory, "lstm-1.5")
    assert paths == (directory / "lstm-1.5.png", directory / "lstm-1.5.svg")
    assert sorted(directory.iterdir()) == sorted(paths)
    assert paths[0].read_bytes().startswith(PNG_MAGIC)
    root = ET.parse(paths[1]).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_svg_names_its_boxes_and_ids_are_unique(tmp_path: Path) -> None:
    svg = write_charts(report_from(mixed()), tmp_path, "chart")[1]
    ids = [node.get("id") for node in ET.parse(svg).iter() if node.get("id")]
    assert {"memory-values", "rate-oom", "rate-oom-edge", "memory-recommended-0"} <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_charts(report_from(mixed()), tmp_path, "a")]
    second = [path.read_bytes() for path in write_charts(report_from(mixed()), tmp_path, "b")]
    assert first == second


def test_a_write_that_fails_leaves_the_old_files_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old, other] = write_charts(report_from(mixed()), tmp_path, "chart")
    before = old.read_bytes()

    def half(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        raise OSError("no space left")

    monkeypatch.setattr(atomic, "_write_new", half)
    with pytest.raises(OSError, match="no space left"):
        write_charts(report_from(one_point()), tmp_path, "chart")
    assert sorted(tmp_path.iterdir()) == sorted([old, other])
    assert old.read_bytes() == before


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_of_the_users_own_is_not_replaced(tmp_path: Path, ending: str) -> None:
    own = tmp_path / f"chart.{ending}"
    own.write_bytes(b"\x89PNG: a photograph")
    with pytest.raises(BadInputError, match=f"chart.{ending} is there and no picture of rnnprof"):
        write_charts(report_from(one_point()), tmp_path, "chart")
    assert list(tmp_path.iterdir()) == [own]
    assert own.read_bytes() == b"\x89PNG: a photograph"
    own.unlink()
    write_charts(report_from(one_point()), tmp_path, "chart")
    write_charts(report_from(mixed()), tmp_path, "chart")


def test_a_users_own_settings_neither_reach_the_chart_nor_are_changed(tmp_path: Path) -> None:
    plain = [
        path.read_bytes() for path in write_charts(report_from(one_point()), tmp_path, "plain")
    ]
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": True}):
        before = dict(mpl.rcParams)
        styled = [
            path.read_bytes() for path in write_charts(report_from(one_point()), tmp_path, "styled")
        ]
        assert dict(mpl.rcParams) == before
    assert styled == plain


def test_a_large_grid_is_larger_and_a_small_one_is_not_tiny() -> None:
    small, large = drawn("one_point").get_size_inches(), drawn("twenty_by_twenty").get_size_inches()
    assert small[0] >= 7
    assert large[0] > 2 * small[0]
    assert large[0] < 20
    assert Point(160, 200) in twenty_by_twenty()[1]
