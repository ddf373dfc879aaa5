"""A step function beside a proof in a plain loop: when it is run, and what comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import HEADER, FakeProbe, a_fit, a_request, an_observer
from rnnprof.engine.listener import Listener
from rnnprof.maxbatch.beside import try_step_functions
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.maxbatch.frontier import Frontier
from rnnprof.maxbatch.step_functions import StepFunction, batch_to_try, loop_of, step_functions_of
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Record, Run
from rnnprof.workload import FactorySource, Workload, workload_of

STEPS = 16
EDGE = Certificate(STEPS, EdgeStatus.CERTIFIED, 1, 65536, batch=99, horizon=10)
TRIED = 104  # 5% above 99, rounded up


def beside(before: Run, edge: Certificate = EDGE) -> tuple[list[Fit], FakeProbe]:
    records: list[Record] = []
    probe = FakeProbe()
    observer = an_observer(probe, a_request(Grid((), (STEPS,))), records.append)
    try_step_functions(observer, [edge], Listener(), before)
    return [each for each in records if isinstance(each, Fit)], probe


def of_step_function(outcome: Outcome) -> Fit:
    return a_fit(Point(TRIED, STEPS), role=Role.STEP_FUNCTION, outcome=outcome)


def test_one_batch_is_run_in_the_other_loop_over_a_whole_proof() -> None:
    fits, probe = beside(Run(HEADER))
    assert [(fit.batch, fit.role) for fit in fits] == [(TRIED, Role.STEP_FUNCTION)]
    [(task, _)] = probe.asked
    assert task.workload == replace(HEADER.workload, loop="function")
    assert task.confirm_steps == EDGE.confirm_steps


def test_what_an_earlier_invocation_has_run_stays() -> None:
    fits, _ = beside(Run(HEADER))
    assert beside(Run(HEADER, observations=tuple(fits)))[0] == []


@pytest.mark.parametrize(
    ("workload", "edge"),
    [
        (Workload(loop="function"), EDGE),
        (Workload(mode="inference"), EDGE),
        (workload_of(FactorySource("train.py:make")), EDGE),
        (Workload(), replace(EDGE, status=EdgeStatus.CAPPED)),
        (Workload(), replace(EDGE, status=EdgeStatus.NOTHING_FITS, batch=None)),
    ],
)
def test_nothing_is_run_beside_other_answers(workload: Workload, edge: Certificate) -> None:
    assert batch_to_try(edge, workload) is None


@pytest.mark.parametrize(
    ("batch", "unit", "tried"), [(100, 1, 105), (99, 1, 104), (1, 1, 2), (128, 64, 192)]
)
def test_the_batch_is_five_percent_above_in_whole_units(batch: int, unit: int, tried: int) -> None:
    assert batch_to_try(replace(EDGE, batch=batch, granularity=unit), Workload()) == tried


def test_it_decides_nothing() -> None:
    run = Run(
        HEADER,
        requests=(a_request(Grid((), (STEPS,))),),
        observations=(of_step_function(Outcome.MEASURED),),
    )
    observer = an_observer(FakeProbe(), a_request(Grid((), (STEPS,))), lambda _: None)
    frontier = Frontier(observer, lambda _: None, Listener(), 65536)
    frontier.recall(run)
    assert not frontier.known
    assert FoldedRun.of(run).model is None


@pytest.mark.parametrize(
    ("outcome", "fits"), [(Outcome.MEASURED, True), (Outcome.OOM, False), (Outcome.CRASHED, None)]
)
def test_what_was_tried_says_whether_a_step_function_fits_more(
    outcome: Outcome, fits: bool | None
) -> None:
    run = Run(HEADER, observations=(of_step_function(outcome),))
    assert step_functions_of(run, [EDGE]) == (StepFunction(STEPS, 99, TRIED, fits),)


def test_a_factory_has_its_own_loop() -> None:
    assert loop_of(workload_of(FactorySource("train.py:make"))) is None
