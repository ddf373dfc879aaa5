"""A T whose training steps leave memory behind: every output says so first, and claims no fit."""

from __future__ import annotations

from fakes import AT_UTC, HEADER, MIB, a_fit, a_request, a_timing
from rnnprof.advice.reasons import NoPoint
from rnnprof.maxbatch.certify import conclude
from rnnprof.maxbatch.terms import Terms
from rnnprof.report.charts.overview import finding
from rnnprof.report.model import RunReport, report_of
from rnnprof.report.text.summary import summary
from rnnprof.report.text.table import table
from rnnprof.report.words import say
from rnnprof.report.words.decision import decision
from rnnprof.runfile.points import Grid, Point, Role
from rnnprof.runfile.records import Finished, Run

POINT = Point(8, 16)
SENTENCE = "not stationary: each training step leaves 1.00 MiB"


def leaking() -> Run:
    live = tuple(number * MIB for number in range(30))
    passes = [
        a_fit(
            POINT, attempt=f"a{count}", train_steps_run=count, train_steps=count, role=role,
            live_bytes=live[:count], step_peak_bytes=live[:count], peak_charged_bytes=count * MIB,
        )
        for count, role in ((10, Role.GRID), (30, Role.PROBE))
    ]  # fmt: skip
    certificate = conclude(POINT.time_steps, passes, Terms(HEADER.limit_bytes, 1000), "r1")
    timing = a_timing(POINT, *[0.1] * 8)
    return Run(
        HEADER,
        (a_request(Grid((8,), (16,))),),
        observations=(*passes, timing),
        certificates=(certificate,),
        finished=(Finished("r1", AT_UTC, 1.0),),
    )


def a_view() -> RunReport:
    return report_of(leaking(), "leak")


def test_the_title_of_the_picture() -> None:
    run = leaking()
    assert f"T=16 is {SENTENCE}" in finding(report_of(run))
    assert "fits" not in finding(report_of(run))


def test_the_first_sentence_of_the_page_and_of_the_summary() -> None:
    first, *_ = decision(a_view())
    assert first.startswith(f"T=16 is {SENTENCE}")
    text = summary(a_view())
    assert SENTENCE in text.split("\n\n")[1]


def test_the_table_of_the_terminal() -> None:
    run = leaking()
    assert SENTENCE in " ".join(table(report_of(run)).split())


def test_nothing_is_recommended_and_no_other_reason_is_given() -> None:
    advice = a_view().advice
    assert advice.main is None
    assert [reason for reason in advice.reasons if SENTENCE in say(reason)]
    assert not [reason for reason in advice.reasons if isinstance(reason, NoPoint)]
