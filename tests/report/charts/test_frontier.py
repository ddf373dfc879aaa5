"""The frontier: each edge where it was proven, what is predicted told apart, labels that clear."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from report_samples import LIMIT_BYTES, MIB, SAMPLES, grid_sample, report_from
from rnnprof.advice.advise import LargestSafe
from rnnprof.breakdown.memory_model import MemoryModel, Plane
from rnnprof.maxbatch.certify import Proof
from rnnprof.report.charts.frontier import LOOKS, frontier_chart
from rnnprof.report.charts.kit.axes import apart, spread
from rnnprof.report.charts.kit.style import Chart, rendered
from rnnprof.report.model import RunReport
from rnnprof.report.words.chart_legends import FRONTIER
from rnnprof.report.words.phrases import values_in_words
from rnnprof.runfile.certificates import EdgeFit, EdgeOom, EdgeStatus

BATCHES = (16, 32, 64, 128, 256, 512)
STEPS = (16, 32, 64, 128)
MODEL = MemoryModel((Plane(30 * MIB, 0.0, 36_000.0),), 0.004, 0.01, lengths=4)


def certificate(
    time_steps: int,
    batch: int | None,
    status: EdgeStatus = EdgeStatus.CERTIFIED,
    *,
    fits: int | None = None,
    fails: int | None = None,
) -> Proof:
    fits = batch if fits is None else fits
    if status is EdgeStatus.CERTIFIED and batch is not None:
        fails = batch + 1
    return Proof(
        time_steps=time_steps, status=status, granularity=1, at_most=1024, batch=batch,
        fits=None if fits is None else EdgeFit(fits, "a1"),
        fails=None if fails is None else EdgeOom(fails, "a2"),
    )  # fmt: skip


EDGES = (certificate(16, 877), certificate(32, 438), certificate(64, 219), certificate(128, 109))
EVERY_STATUS = (
    certificate(16, 512, EdgeStatus.CAPPED),
    certificate(32, 400),
    certificate(64, 180, EdgeStatus.NON_MONOTONE, fits=230, fails=200),
    certificate(128, 90, EdgeStatus.INDETERMINATE),
    certificate(256, None, EdgeStatus.NOTHING_FITS, fails=1),
    certificate(512, None, EdgeStatus.UNSUPPORTED),
)
UNUSABLE_STATUS = (
    certificate(16, 512),
    certificate(64, None, EdgeStatus.NOT_STATIONARY),
    certificate(256, None, EdgeStatus.BATCH_NOT_USED),
)


def a_view(frontier: Sequence[Proof] = EDGES, model: MemoryModel | None = MODEL) -> RunReport:
    report = report_from(grid_sample(BATCHES, STEPS), tuple(frontier))
    safe = (
        LargestSafe(64, 219, 207, is_measured=True, peak_bytes=1),
        LargestSafe(128, 109, 103, is_measured=False, peak_bytes=1),
    )
    return replace(report, model=model, advice=replace(report.advice, largest_safe=safe))


def drawn(report: RunReport) -> Chart:
    chart = frontier_chart(report)
    assert chart is not None
    return chart


def ids(figure: Figure) -> set[str]:
    return {str(a.get_gid()) for a in figure.findobj(Artist) if a.get_gid()}


def line(figure: Figure, gid: str) -> list[tuple[float, float]]:
    (found,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert isinstance(found, Line2D)
    return [(float(x), float(y)) for x, y in np.asarray(found.get_xydata())]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def notes(figure: Figure) -> list[Annotation]:
    return [text for text in figure.axes[0].texts if isinstance(text, Annotation)]


# --- the edges -----------------------------------------------------------------------------------


def test_each_certified_edge_has_its_place_and_its_number() -> None:
    figure = drawn(a_view()).figure
    assert line(figure, "frontier-certified") == [(16, 877), (32, 438), (64, 219), (128, 109)]
    numbers = {text.get_gid(): text.get_text() for text in notes(figure) if text.get_gid()}
    assert numbers == {
        "frontier-number-T16": "877", "frontier-number-T32": "438",
        "frontier-number-T64": "219", "frontier-number-T128": "109",
    }  # fmt: skip


def test_the_solid_line_joins_certified_neighbours_only() -> None:
    capped = certificate(32, 1024, EdgeStatus.CAPPED)
    figure = drawn(a_view([EDGES[0], capped, *EDGES[2:]])).figure
    assert line(figure, "frontier-line-T64") == [(64, 219), (128, 109)]
    assert not any(gid.startswith("frontier-line-T16") for gid in ids(figure))


def test_every_status_has_a_mark_and_a_word_of_its_own() -> None:
    words: set[str] = set()
    for frontier in (EVERY_STATUS, UNUSABLE_STATUS):
        figure = drawn(a_view(frontier)).figure
        for kind in {each.status for each in frontier}:
            assert f"frontier-{kind}" in ids(figure)
            assert FRONTIER[kind][1] in legend(figure)
        words |= {text.get_text() for text in notes(figure)}
    assert {each.status for each in (*EVERY_STATUS, *UNUSABLE_STATUS)} == set(EdgeStatus)
    assert words >= {
        "≥512", "400", "non-monotone", "indeterminate", "nothing fits", "unsupported",
        "not stationary", "batch not used",
    }  # fmt: skip
    assert len({(marker, filled) for marker, _, filled in LOOKS.values()}) == len(LOOKS)
    assert len({meaning for _, meaning in FRONTIER.values()}) == len(FRONTIER) == len(LOOKS)


def test_both_sides_of_a_contradiction_are_shown() -> None:
    figure = drawn(a_view(EVERY_STATUS)).figure
    assert line(figure, "frontier-non_monotone") == [(64, 230)]
    assert line(figure, "frontier-fails") == [(64, 200)]


def test_only_what_is_capped_points_upward() -> None:
    assert line(drawn(a_view(EVERY_STATUS)).figure, "frontier-upward") == [(16, 512)]
    assert "frontier-upward" not in ids(drawn(a_view()).figure)


def test_without_certificates_the_grids_own_edges_are_open_intervals() -> None:
    figure = drawn(a_view((), None)).figure
    assert line(figure, "frontier-seen") == [(16, 512), (32, 256), (64, 128), (128, 64)]
    assert line(figure, "frontier-fails") == [(32, 512), (64, 256), (128, 128)]
    assert line(figure, "frontier-upward") == [(16, 512)]
    words = [text.get_text() for text in notes(figure)]
    assert {"≥512", "256–512", "128–256", "64–128"} <= set(words)
    assert FRONTIER["seen"][1] in legend(figure)


def test_a_certificate_replaces_what_the_grid_has_seen() -> None:
    figure = drawn(a_view(EDGES[:1])).figure
    assert line(figure, "frontier-certified") == [(16, 877)]
    assert [time_steps for time_steps, _ in line(figure, "frontier-seen")] == [32, 64, 128]


def test_where_nothing_is_known_there_is_no_chart() -> None:
    assert frontier_chart(report_from(SAMPLES["untouched"]())) is None


def test_a_contradiction_on_the_grid_is_no_interval() -> None:
    texts = [
        text.get_text() for text in notes(drawn(report_from(SAMPLES["non_monotone"]())).figure)
    ]
    assert texts == ["64 fits, 32 OOM", "≥64"]


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "untouched"])
def test_every_sample_has_a_chart_and_a_finding(name: str) -> None:
    chart = drawn(report_from(SAMPLES[name]()))
    assert "512 MiB" in chart.finding
    assert chart.finding.endswith(".")


# --- what is ruled out ---------------------------------------------------------------------------


def region(report: RunReport) -> Bbox | None:
    found = drawn(report).figure.findobj(lambda artist: artist.get_gid() == "frontier-oom")
    if not found:
        return None
    collection = found[0]
    return collection.get_datalim(collection.axes.transData)  # type: ignore[attr-defined, no-any-return]


def test_the_region_out_of_memory_begins_above_the_smallest_oom_of_the_shortest_t() -> None:
    box = region(a_view())
    assert box is not None
    assert (box.x0, box.y0) == (16, 110)
    assert box.x1 > 128
    only_longest = region(a_view([*(replace(c, status=EdgeStatus.CAPPED, fails=None)
                                    for c in EDGES[:3]), EDGES[3]]))  # fmt: skip
    assert only_longest is not None
    assert only_longest.x0 == 128


def test_a_fit_above_the_oom_of_a_shorter_t_ends_the_region() -> None:
    report = a_view([certificate(16, 100), certificate(32, 438, EdgeStatus.CAPPED)])
    report = replace(report, points=(), run=replace(report.run, requests=()), measurements={})
    box = region(report)
    assert box is not None
    assert (box.x0, box.x1) == (16, 32)


def test_where_all_fits_nothing_is_ruled_out() -> None:
    report = report_from(grid_sample((4, 8), (16, 32)))
    assert region(report) is None
    assert not any("ruled out" in words for words in legend(drawn(report).figure))


# --- what is predicted ----------------------------------------------------------------------------


def test_the_predicted_edge_is_the_models_and_goes_beyond_the_grid() -> None:
    figure = drawn(a_view()).figure
    places = [(x, y) for x, y in line(figure, "frontier-model") if y == y]
    assert places[0][0] < 16
    assert places[-1][0] > 128
    for time_steps, batch in places:
        assert batch == pytest.approx((LIMIT_BYTES - 30 * MIB) / (36_000 * time_steps))


def contours(report: RunReport) -> list[int]:
    found = {gid for gid in ids(drawn(report).figure) if gid.startswith("frontier-limit-")}
    return sorted(int(gid.rsplit("-", 1)[1]) for gid in found)


def on_a_gpu(report: RunReport, gib: int) -> RunReport:
    environment = report.run.header.environment | {"device": "cuda"}
    run = replace(report.run, header=replace(report.run.header, environment=environment))
    scale = gib * 1024 * MIB / LIMIT_BYTES
    planes = tuple(Plane(p.fixed * scale, 0.0, p.per_step * scale) for p in MODEL.planes)
    return replace(
        report, run=run, limit_bytes=gib * 1024 * MIB, model=replace(MODEL, planes=planes)
    )


def test_on_a_cpu_the_contours_are_half_double_and_quadruple() -> None:
    assert contours(a_view()) == [LIMIT_BYTES // 2, 2 * LIMIT_BYTES, 4 * LIMIT_BYTES]
    texts = {text.get_text() for text in notes(drawn(a_view()).figure)}
    assert texts >= {"512 MiB, the limit", "256 MiB, predicted", "1.00 GiB, predicted"}


@pytest.mark.parametrize(
    ("gib", "gpus"), [(22, [12, 16, 32]), (16, [8, 12, 24]), (139, [48, 80]), (7, [8, 12])]
)
def test_on_a_card_the_contours_are_cards_about_it(gib: int, gpus: list[int]) -> None:
    found = [size / (1024 * MIB) for size in contours(on_a_gpu(a_view(), gib))]
    assert set(gpus) <= set(found)
    assert all(abs(size - gib) > 0.1 * gib for size in found)
    assert len(found) <= 4


def test_a_model_of_one_t_predicts_nothing_of_others() -> None:
    narrow = replace(MODEL, lengths=1)
    assert "frontier-model" not in ids(drawn(a_view(model=narrow)).figure)
    alone = replace(report_from(grid_sample(BATCHES, (64,)), (EDGES[2],)), model=narrow)
    batches = {batch for _, batch in line(drawn(alone).figure, "frontier-model")}
    assert batches == {MODEL.edge(64, LIMIT_BYTES)}, "level: no word about other T"


def test_without_a_model_nothing_is_predicted() -> None:
    figure = drawn(a_view(model=None)).figure
    assert not {gid for gid in ids(figure) if "model" in gid or "limit" in gid}
    assert not any("memory model" in words for words in legend(figure))


def test_the_batch_to_train_with_tells_measured_from_predicted() -> None:
    figure = drawn(a_view()).figure
    assert line(figure, "frontier-train-measured") == [(64, 207)]
    assert line(figure, "frontier-train-predicted") == [(128, 103)]
    assert "largest safe batch: 5% of the limit kept free (measured)" in legend(figure)
    assert "largest safe batch: 5% of the limit kept free (predicted)" in legend(figure)


def test_what_was_run_is_shown() -> None:
    figure = drawn(a_view()).figure
    fitted = line(figure, "frontier-run-measured")
    assert (64, 128) in fitted
    assert (64, 256) not in fitted
    assert (32, 512) in line(figure, "frontier-run-oom")
    assert (64, 512) not in line(figure, "frontier-run-oom"), "implied, not run"


# --- can it be read ------------------------------------------------------------------------------


def test_the_axes_are_logarithmic_with_the_grids_own_ticks() -> None:
    axes = drawn(a_view()).figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["16", "32", "64", "128"]
    assert set(map(str, BATCHES)) <= {text.get_text() for text in axes.get_yticklabels()}
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def many(count: int) -> RunReport:
    time_steps = range(10, 10 * count + 10, 10)
    frontier = tuple(certificate(t, 14_000 // t) for t in time_steps)
    return replace(report_from(grid_sample(range(8, 408, 8), time_steps), frontier), model=MODEL)


def boxes(texts: Sequence[Text]) -> list[Bbox]:
    return [text.get_window_extent() for text in texts if text.get_text()]


@pytest.mark.parametrize("report", [a_view(), a_view(EVERY_STATUS), a_view((), None), many(40)])
def test_no_label_covers_another_or_leaves_the_sheet(report: RunReport) -> None:
    figure = drawn(report).figure
    figure.draw_without_rendering()
    axes = figure.axes[0]
    found = boxes(notes(figure))
    for place, box in enumerate(found):
        assert box.count_overlaps(found[place + 1 :]) == 0
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert all(one.count_overlaps([other]) == 0 for one, other in pairwise(boxes(ticks)))
    below = figure.legends[0].get_window_extent()
    assert below.y0 >= 0
    assert below.x1 <= figure.bbox.x1
    assert below.y1 <= axes.xaxis.label.get_window_extent().y0


def test_the_longest_t_keeps_its_number_where_labels_are_thinned() -> None:
    report = many(40)
    numbers = {text.get_gid() for text in notes(drawn(report).figure)}
    assert "frontier-number-T400" in numbers
    assert len(numbers) < 40


@pytest.mark.parametrize("name", ["mixed", "hostile"])
def test_the_same_run_gives_the_same_bytes(name: str) -> None:
    first, second = (rendered(drawn(report_from(SAMPLES[name]())).figure, "svg") for _ in range(2))
    assert first == second


# --- the sentence --------------------------------------------------------------------------------


def test_the_finding_tells_the_frontier_in_figures() -> None:
    assert drawn(a_view()).finding == (
        "The largest batch that fits under 512 MiB falls from B=877 at T=16 to B=109 at T=128, "
        "certified at 4 of 4 T. With 5% of the limit kept free, the largest safe batch is B=207 at "
        "T=64 and B=103 at T=128."
    )


def test_the_finding_tells_what_is_not_proven() -> None:
    finding = drawn(a_view(EVERY_STATUS)).finding
    for words in (
        "under 512 MiB at T=32 is B=400.",
        "Even the largest batch requested fits at T=16.",
        "Nothing fits at T=256.",
        "A batch fits above one that is out of memory at T=64.",
        "The largest batch is not certified at T=128.",
        "The library does not support T=512.",
    ):
        assert words in finding


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one_row", "B=128 fits and B=256 is out of memory"),
        ("one_point", "Under 512 MiB B=64, the largest tried, fits at T=128."),
        ("all_oom", "Nothing that was tried fits under 512 MiB."),
    ],
)
def test_the_finding_of_a_grid_alone(name: str, words: str) -> None:
    assert words in drawn(report_from(SAMPLES[name]())).finding


def test_values_in_words() -> None:
    assert values_in_words("T", [16]) == "T=16"
    assert values_in_words("T", [16, 32]) == "T=16 and T=32"
    assert values_in_words("T", [16, 32, 64]) == "3 T from 16 to 64"


# --- places --------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 300), max_size=12), st.floats(1, 10))
def test_spread_labels_stand_apart_in_their_order_and_within_bounds(
    places: list[float], gap: float
) -> None:
    moved = spread(places, gap, (0.0, 300.0))
    by_place = [moved[i] for i in sorted(range(len(places)), key=lambda i: places[i])]
    assert all(high - low >= gap - 1e-6 for low, high in pairwise(by_place))
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in moved)


def test_labels_that_stand_apart_are_left_where_they_are() -> None:
    assert spread([10.0, 30.0, 20.0], 5.0) == [10.0, 30.0, 20.0]
    assert spread([10.0, 10.0], 4.0) == [8.0, 12.0]


@given(st.lists(st.floats(0, 300), min_size=1, max_size=40).map(sorted))
def test_thinned_labels_never_touch_and_keep_the_first(places: list[float]) -> None:
    kept = apart(places, [10.0] * len(places))
    assert kept[0] == 0
    assert all(places[two] - places[one] > 10 for one, two in pairwise(kept))


def test_thinned_labels_keep_the_last() -> None:
    assert apart([0.0, 20.0, 40.0, 45.0], [10.0] * 4) == [0, 1, 3]
    assert math.isfinite(spread([5.0], 3.0)[0])
