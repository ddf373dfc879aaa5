"""The verdict on a run: what it rests on."""

from __future__ import annotations

import pytest

from fakes import HEADER, a_fit, a_request, a_timing
from report_samples import (
    Said,
    all_oom,
    certified,
    finished,
    grid_sample,
    mixed,
    report_from,
    untouched,
)
from rnnprof.maxbatch.reasons import EndedAt
from rnnprof.report.model import RunReport, report_of
from rnnprof.report.trust import (
    AllAnswered,
    DriftedLittle,
    EndedBadly,
    Judgement,
    LargestUnknown,
    Loose,
    NoneNoisy,
    NotEnded,
    NotReached,
    SpeedDrifted,
    TimedNoisy,
    Trust,
    judge_run,
)
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Finished, Run

# the verdict


def test_a_whole_and_quiet_run_is_valid():
    judgement = judge_run(finished(report_from(grid_sample((4, 8), (16, 32)))))
    assert judgement == Judgement(Trust.VALID, (AllAnswered(4), NoneNoisy()))


def test_a_run_that_was_stopped_is_unfinished():
    judgement = judge_run(report_from(untouched()))
    assert judgement.verdict is Trust.UNFINISHED
    points = tuple(Point(batch, time_steps) for time_steps in (16, 32) for batch in (4, 8))
    assert judgement.reasons == (NotEnded(), NotReached(points))


def test_what_is_missing_or_noisy_is_told_by_its_points():
    judgement = judge_run(finished(report_from(mixed())))
    assert judgement.verdict is Trust.UNFINISHED
    noisy = (Point(8, 64), Point(16, 32))
    # an unsupported point is a good answer
    assert [reason for reason in judgement.reasons if not isinstance(reason, Loose)] == [
        NotReached((Point(4, 64),)),
        EndedBadly((Point(16, 16),), Outcome.TIMEOUT),
        EndedBadly((Point(4, 128),), Outcome.CRASHED),
        EndedBadly((Point(32, 32),), Outcome.FAILED),
        TimedNoisy(noisy, noisy[0], Said("throttled for 0.4 s")),
    ]
    assert isinstance(judgement.reasons[-1], Loose)
    assert judgement.reasons[-1].loose == 2


def test_out_of_memory_everywhere_is_a_valid_answer():
    assert judge_run(finished(report_from(all_oom()))).verdict is Trust.VALID


def test_an_edge_that_is_not_known_leaves_the_run_unfinished():
    edge = certified(16, 4, status=EdgeStatus.INDETERMINATE, reason=EndedAt(5, "it died"))
    judgement = judge_run(finished(report_from(grid_sample((4,), (16,)), (edge,))))
    assert judgement.verdict is Trust.UNFINISHED
    assert LargestUnknown(16, EndedAt(5, "it died")) in judgement.reasons


def anchored(*step_times_s: float) -> RunReport:
    """A run whose anchor was timed so often."""
    point = Point(4, 16)
    timings = [
        a_timing(point, *[each] * 10, attempt=f"t{n}", role=Role.ANCHOR)
        for n, each in enumerate(step_times_s)
    ]
    request = a_request(Grid((4,), (16,)))
    done = Finished("r1", "2026-11-23T12:10:00Z", 600.0)
    return report_of(Run(HEADER, (request,), (), (a_fit(point), *timings), (), (done,)), "a")


def test_a_machine_whose_speed_drifted_is_noisy():
    judgement = judge_run(anchored(0.010, 0.0112))
    assert judgement.verdict is Trust.NOISY
    assert judgement.reasons[0] == SpeedDrifted(Point(4, 16), pytest.approx(0.12))


def test_a_drift_within_the_timings_own_precision_is_none():
    judgement = judge_run(anchored(0.010, 0.0103))
    assert judgement.verdict is Trust.VALID
    assert DriftedLittle(Point(4, 16), pytest.approx(0.03)) in judgement.reasons
