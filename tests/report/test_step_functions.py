"""What a report says of a step function beside a proof in a plain loop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import HEADER, a_fit
from report_samples import report_from
from rnnprof.advice.advise import Advice
from rnnprof.maxbatch.certify import Proof
from rnnprof.report.export.document import frontier_document
from rnnprof.report.text.answer import frontier_in_words
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome, Point, Role
from rnnprof.runfile.records import Run
from rnnprof.workload import FactorySource, workload_of

STEPS = 16
EDGE = Proof(STEPS, EdgeStatus.CERTIFIED, 1, 65536, batch=99, horizon=10)
TRIED = 104  # 5% above 99, rounded up


@pytest.mark.parametrize("outcome", [Outcome.MEASURED, Outcome.OOM, Outcome.CRASHED])
def test_the_answer_says_where_a_step_function_fits_more(outcome: Outcome) -> None:
    tried = a_fit(Point(TRIED, STEPS), role=Role.STEP_FUNCTION, outcome=outcome)
    run = Run(HEADER, observations=(tried,))
    report = report_from((run, {}), [EDGE], advice=Advice())
    said = frontier_in_words(report)
    assert "99 is the largest, " in said
    assert "Proven over 10 training steps in a plain loop" in said
    more = "T=16: a step function fits at least 104, 5% more\nWrap your training step in a function"
    assert (more in said) is (outcome is Outcome.MEASURED)
    document = frontier_document(report)
    assert document["loop"] == "plain"
    fits = {Outcome.MEASURED: True, Outcome.OOM: False}.get(outcome)
    assert document["step_function"] == [
        {"time_steps": STEPS, "plain_batch": 99, "batch": TRIED, "fits": fits}
    ]


def test_a_factory_has_its_own_loop() -> None:
    factory = workload_of(FactorySource("train.py:make"))
    run = Run(replace(HEADER, workload=factory))
    assert "loop" not in frontier_in_words(report_from((run, {}), [EDGE], advice=Advice()))
