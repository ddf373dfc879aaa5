"""Charts and words of a study: what is drawn, and that nothing is where nothing was found."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fakes import a_fit, a_run, a_timing
from rnnprof.report.charts.kit.style import rendered
from rnnprof.report.charts.trainability_chart import reach_chart, target_chart, worth_chart
from rnnprof.report.export.trainability import trainability_document
from rnnprof.report.html.files import charts_of, draw, page_of
from rnnprof.report.model import RunReport, report_of
from rnnprof.report.text.trainability import trainability_in_words
from rnnprof.report.words.study import trainability_words
from rnnprof.runfile.observations import Gradient, Learning
from rnnprof.runfile.points import Grid, Point
from study_samples import studied


@pytest.fixture(scope="module")
def report() -> RunReport:
    return report_of(studied(), "study")


def texts(svg: bytes) -> str:
    return svg.decode()


def test_the_reach_is_drawn_with_its_threshold(report: RunReport) -> None:
    chart = reach_chart(report)
    assert chart is not None
    svg = texts(rendered(chart.figure, "svg"))
    assert "reach: 0.001" in svg
    assert "T=16, 50 steps" in svg
    assert "mathdefault" not in svg
    assert chart.finding == "T=16: vanishing, 2 steps."


def test_what_a_sequence_is_worth_stands_beside_goodput(report: RunReport) -> None:
    chart = worth_chart(report)
    assert chart is not None
    assert len(chart.figure.axes) == 2
    assert "noise scale 6.4 sequences" in chart.finding
    assert "best goodput at B=" in chart.finding


def test_a_batch_that_did_not_come_to_the_target_is_crossed(report: RunReport) -> None:
    chart = target_chart(report)
    assert chart is not None
    assert "B=64 is quickest, 3.00 s" in chart.finding
    missed = tuple(
        replace(o, reached=False) if isinstance(o, Learning) else o for o in report.run.observations
    )
    none = target_chart(report_of(replace(report.run, observations=missed), "missed"))
    assert none is not None
    assert "no batch reached it" in none.finding
    rendered(none.figure, "png")


def test_every_chart_of_a_study_is_in_the_page(report: RunReport) -> None:
    names = [chart.name for chart in charts_of(report)]
    assert [n for n in names if n in ("reach", "worth", "time-to-target")] == [
        "reach", "worth", "time-to-target",
    ]  # fmt: skip
    html = page_of(draw([report]))
    assert 'id="section-trainability"' in html
    assert "Reach at T=16" in html
    assert "By goodput the best batch at T=16 is" in html


def test_a_run_without_a_study_has_none_of_it() -> None:
    point = Point(8, 16)
    plain = report_of(a_run([a_fit(point), a_timing(point)], Grid((8,), (16,))), "plain")
    assert [reach_chart(plain), worth_chart(plain), target_chart(plain)] == [None] * 3
    assert 'id="section-trainability"' not in page_of(draw([plain]))
    assert trainability_in_words(plain) == "nothing was studied"


def test_gradients_that_are_no_numbers_are_told_and_leave_a_gap(report: RunReport) -> None:
    broken = tuple(
        replace(o, lag_norms=((1.0, None, 0.5),), big_squared=(None,) * 20)
        if isinstance(o, Gradient)
        else o
        for o in report.run.observations
    )
    seen = report_of(replace(report.run, observations=broken), "broken")
    chart = reach_chart(seen)
    assert chart is not None
    assert "not finite" in chart.finding
    assert worth_chart(seen) is None
    words = trainability_in_words(seen)
    assert "the gradient is not finite at lag 1" in " ".join(words.split())
    assert "some gradients are not finite" in " ".join(words.split())


def test_the_words_fit_80_columns_and_the_document_is_json(report: RunReport) -> None:
    import json

    words = trainability_in_words(report)
    assert max(map(len, words.splitlines())) <= 80
    assert "2 of 3" in words
    assert len(trainability_words(report)) == 2
    endless = report.trainability
    scale = endless.noise[0].scale
    assert scale is not None
    noise = replace(endless.noise[0], scale=replace(scale, interval=(1.0, math.inf)))
    changed = replace(report, trainability=replace(endless, noise=(noise,)))
    document = trainability_document(changed)
    assert json.loads(json.dumps(document, allow_nan=False))["noise"][0]["scale"]["interval"] == [
        1.0, None,
    ]  # fmt: skip
