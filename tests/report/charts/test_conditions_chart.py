"""Conditions over the run: what is drawn where, what is left out, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fakes import a_calibration, a_fit, a_request, a_run, a_timing, conditions
from report_samples import SAMPLES
from rnnprof.report.charts.conditions_chart import conditions as conditions_chart
from rnnprof.report.charts.kit.style import Chart, rendered
from rnnprof.report.model import report_of
from rnnprof.runfile.observations import Conditions, DeviceConditions, Observation
from rnnprof.runfile.points import Grid, Point, Role
from rnnprof.runfile.records import Run, Started

POINT, OTHER = Point(8, 32), Point(16, 32)
GRID = Grid((8, 16), (32,))
NOON = "2026-11-23T12:{:02d}:00Z"


def at_minutes(*observed: tuple[int, Observation]) -> Run:
    """A run whose passes began so many minutes after noon, one request for each name."""
    numbered = [
        (minute, replace(o, attempt=f"a{number}")) for number, (minute, o) in enumerate(observed)
    ]
    started = tuple(
        Started(
            o.attempt, "timing", o.batch, o.time_steps, o.role, 0, o.request, NOON.format(minute)
        )
        for minute, o in numbered
    )
    run = a_run([o for _, o in numbered], GRID)
    requests = dict.fromkeys(o.request for _, o in numbered)
    asked = tuple(a_request(GRID, request=name) for name in requests)
    return replace(run, started=started, requests=asked)


def chart_of(run: Run) -> Chart:
    chart = conditions_chart(report_of(run, "sample"))
    assert chart is not None
    return chart


def line(figure: Figure, gid: str) -> list[tuple[float, float]]:
    found = figure.findobj(lambda artist: artist.get_gid() == gid)
    assert len(found) == 1, gid
    assert isinstance(found[0], Line2D)
    return [(round(float(x), 4), round(float(y), 4)) for x, y in found[0].get_xydata()]  # type: ignore[union-attr]


def gids(figure: Figure) -> list[str]:
    return [str(artist.get_gid()) for artist in figure.findobj(lambda a: bool(a.get_gid()))]


def a_gpu(clock_mhz: int | None = 1900, **changes: object) -> Conditions:
    known: dict[str, object] = {
        "sm_clock_mhz": clock_mhz, "max_sm_clock_mhz": 1980, "temperature_c": 50,
        "power_w": 600.0, "power_limit_w": 700.0, "event_reasons": ("SwPowerCap",),
    }  # fmt: skip
    device = DeviceConditions(**(known | changes))  # type: ignore[arg-type]
    return replace(conditions(), device_before=device, device_after=device)


def timed(point: Point = POINT, *samples_s: float, **changes: object) -> Observation:
    known: dict[str, object] = {"conditions": conditions(), "wall_s": 6.0}
    return a_timing(point, *(samples_s or (1.0,)), **(known | changes))


# --- the processors ------------------------------------------------------------------------------


def test_what_others_took_stands_at_the_minute_of_its_pass() -> None:
    run = at_minutes((0, timed()), (3, timed(conditions=conditions(others_s=0.04))))
    assert line(chart_of(run).figure, "cpu-others") == [(0, 0), (3, 0.04)]


def test_noisy_passes_are_crossed_counted_and_named() -> None:
    hit = timed(conditions=conditions(others_s=1.0))
    chart = chart_of(at_minutes((0, timed()), (1, hit), (2, timed())))
    assert line(chart.figure, "cpu-noisy") == [(1, 1)]
    (legend,) = chart.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["noisy: 1 of 3 passes"]
    assert (
        "1 was noisy, 1 of them timing; first the timing pass at B=8 T=32: other processes "
        "took 100% of a processor." in chart.finding
    )


def test_a_pass_has_one_cross_where_most_was_taken() -> None:
    stolen = replace(conditions(others_s=0.02), cpu_steal_s=0.3)
    figure = chart_of(at_minutes((0, timed()), (1, timed(conditions=stolen)))).figure
    assert line(figure, "cpu-hypervisor") == [(0, 0), (1, 0.3)]
    assert line(figure, "cpu-noisy") == [(1, 0.3)]


def test_a_noisy_calibration_stands_at_no_point() -> None:
    hit = a_calibration(conditions=conditions(others_s=1.0))
    finding = chart_of(at_minutes((0, hit), (1, timed()))).finding
    assert "first the calibration pass: other processes" in finding


def test_an_unnoisy_run_has_no_crosses_and_says_so() -> None:
    chart = chart_of(at_minutes((0, timed()), (1, timed())))
    assert not [gid for gid in gids(chart.figure) if "noisy" in gid]
    assert "None was noisy." in chart.finding


def test_steal_and_throttling_are_drawn_only_where_there_were_any() -> None:
    quiet = chart_of(at_minutes((0, timed()), (1, timed())))
    assert not [gid for gid in gids(quiet.figure) if "steal" in gid]
    assert "hypervisor (steal) took nothing" in quiet.finding
    stolen = replace(conditions(), cpu_steal_s=0.04)
    loud = chart_of(at_minutes((0, timed()), (1, timed(conditions=stolen))))
    assert line(loud.figure, "cpu-hypervisor") == [(0, 0), (1, 0.04)]
    assert "hypervisor (steal) took at most 4% of a processor" in loud.finding


def test_an_unknown_fact_is_left_out_with_its_reason() -> None:
    blind = replace(
        conditions(), throttled_s=None, unknown={"throttled_s": "no cpu.stat in this group"}
    )
    chart = chart_of(at_minutes((0, timed(conditions=blind)), (1, timed())))
    assert "Unknown: the throttling in 1 of 2 passes (no cpu.stat in this group)." in chart.finding
    assert "throttling) took nothing" in chart.finding, "of the pass that knows"


# --- the GPU ------------------------------------------------------------------------------------


def test_a_cards_clock_heat_and_power_share_one_axis() -> None:
    run = at_minutes((0, timed(conditions=a_gpu(1900))), (5, timed(conditions=a_gpu(1800))))
    figure = chart_of(run).figure
    assert line(figure, "clock-SM clock, MHz") == [(0, 1900), (5, 1800)]
    assert line(figure, "heat-temperature, °C") == [(0, 50), (5, 50)]
    assert line(figure, "power-power, W") == [(0, 600), (5, 600)]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"highest 1980", "limit 700"} <= set(words)


def test_clock_event_reasons_are_marked_at_their_passes() -> None:
    slow = a_gpu(event_reasons=("HwSlowdown", "SwPowerCap"))
    chart = chart_of(at_minutes((0, timed(conditions=a_gpu())), (4, timed(conditions=slow))))
    assert line(chart.figure, "reason-SwPowerCap") == [(0, 0), (4, 0)]
    assert line(chart.figure, "reason-HwSlowdown") == [(4, 1)]
    assert "clock-event reasons: SwPowerCap in 2, HwSlowdown in 1" in chart.finding


def test_a_card_that_hides_its_power_has_no_panel_of_it() -> None:
    hidden = a_gpu(power_w=None, unknown={"power_w": "NVML: not supported"})
    chart = chart_of(at_minutes((0, timed(conditions=hidden)), (1, timed(conditions=hidden))))
    assert not [gid for gid in gids(chart.figure) if gid.startswith("power")]
    assert "the power in all passes (NVML: not supported)" in chart.finding


def test_on_the_cpu_there_is_no_panel_of_a_card() -> None:
    chart = chart_of(at_minutes((0, timed()), (1, timed())))
    assert len(chart.figure.axes) == 1
    assert "MHz" not in chart.finding


# --- the anchor ----------------------------------------------------------------------------------


def anchored(*seconds: float, **last: object) -> Run:
    observed = [timed(POINT, each, role=Role.ANCHOR) for each in seconds]
    observed[-1] = replace(observed[-1], **last)  # type: ignore[arg-type]
    return at_minutes(*enumerate(observed))


def test_the_anchor_is_drawn_relative_to_its_first_in_per_cent() -> None:
    chart = chart_of(anchored(1.0, 1.01, 1.02))
    assert line(chart.figure, "anchor") == [(0, 0), (1, 1), (2, 2)]
    assert "drift 2%" in [text.get_text() for text in chart.figure.axes[-1].texts]
    assert (
        "The anchor B=8 T=32 was timed 3 times without noise: its step time drifted by 2%, the "
        "last +2% relative to the first." in chart.finding
    )


def test_a_noisy_anchor_is_crossed_and_no_part_of_the_line() -> None:
    chart = chart_of(anchored(1.0, 1.01, 1.5, conditions=conditions(others_s=1.0)))
    assert line(chart.figure, "anchor") == [(0, 0), (1, 1)]
    assert line(chart.figure, "anchor-noisy") == [(2, 50)]


def test_an_anchor_many_times_slower_has_plain_ticks() -> None:
    chart = chart_of(anchored(1.0, 1.01, 41.0, conditions=conditions(others_s=1.0)))
    ticks = [text.get_text() for text in chart.figure.axes[-1].get_yticklabels()]
    assert ticks == ["+0%", "+2,000%", "+4,000%"]


def test_without_two_anchors_the_drift_is_unknown() -> None:
    chart = chart_of(at_minutes((0, timed()), (1, timed(OTHER))))
    assert "anchor" not in gids(chart.figure)
    assert "The drift is unknown: no anchor was timed twice without noise." in chart.finding


# --- time ----------------------------------------------------------------------------------------


def test_a_pause_between_invocations_is_taken_out_and_marked() -> None:
    run = at_minutes(
        (0, timed(request="r1")), (2, timed(request="r1")),
        (50, timed(request="r2")), (52, timed(request="r2")),
    )  # fmt: skip
    chart = chart_of(run)
    minutes = [x for x, _ in line(chart.figure, "cpu-others")]
    assert minutes[:2] == [0, 2]
    assert 2.1 < minutes[2] < 2.4, "the pause is drawn short"
    assert minutes[3] - minutes[2] == pytest.approx(2, abs=1e-3)
    pauses = chart.figure.findobj(lambda artist: artist.get_gid() == "pause")
    assert len(pauses) == len(chart.figure.axes)
    words = [text.get_text() for text in chart.figure.axes[0].texts]
    assert "resumed after 47 min 54 s" in words
    assert chart.finding.startswith("4 passes recorded their conditions, over 4 min")
    assert "the run was resumed once." in chart.finding


def test_labels_of_many_pauses_stand_apart() -> None:
    run = at_minutes(*((minute, timed(request=f"r{minute}")) for minute in range(40)))
    figure = chart_of(run).figure
    labels = [text for text in figure.axes[0].texts if text.get_gid() == "resumed"]
    extents = sorted((text.get_window_extent() for text in labels), key=lambda box: box.x0)
    assert len(extents) > 1
    assert all(left.x1 < right.x0 for left, right in pairwise(extents))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in extents)


def test_a_clock_that_was_set_back_does_not_turn_the_order_round() -> None:
    run = at_minutes((0, timed()), (10, timed()), (5, timed()), (12, timed()))
    minutes = [x for x, _ in line(chart_of(run).figure, "cpu-others")]
    assert minutes == [0, 10, 10, 12]


@pytest.mark.parametrize("at_utc", ["2026-11-23T12:00:00Z", "yesterday"])
def test_where_the_clock_tells_nothing_passes_are_numbered(at_utc: str) -> None:
    run = at_minutes((0, timed()), (1, timed(request="r2")))
    still = replace(run, started=tuple(replace(s, at_utc=at_utc) for s in run.started))
    chart = chart_of(still)
    assert [x for x, _ in line(chart.figure, "cpu-others")] == [1, 2]
    assert chart.figure.axes[-1].get_xlabel() == "pass, in order"
    assert "the run was resumed once" in chart.finding


# --- can it be read ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["untouched", "all_oom", "mixed"])
def test_without_conditions_there_is_no_chart(name: str) -> None:
    assert conditions_chart(report_of(SAMPLES[name]()[0], "sample")) is None


def test_passes_that_told_no_conditions_are_left_out() -> None:
    run = at_minutes((0, timed()), (1, a_fit(POINT)), (2, timed()))
    chart = chart_of(run)
    assert [x for x, _ in line(chart.figure, "cpu-others")] == [0, 2]
    assert chart.finding.startswith("2 passes")


def test_strips_and_their_titles_stand_apart() -> None:
    run = at_minutes(
        *((minute, timed(POINT, 1.0, role=Role.ANCHOR, conditions=a_gpu())) for minute in range(3))
    )
    figure = chart_of(run).figure
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    for above, below in pairwise(boxes):
        assert above is not None
        assert below is not None
        assert above.y0 >= below.y1
    lowest = boxes[-1]
    assert lowest is not None
    assert lowest.y0 >= 0


def test_the_same_run_gives_the_same_bytes() -> None:
    run = anchored(1.0, 1.01)
    assert rendered(chart_of(run).figure, "svg") == rendered(chart_of(run).figure, "svg")
