"""The JSON document: its fields, its units and what it does with the unknown."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from report_samples import SAMPLES, Said, measured, mixed, report_from, run_of, untouched
from rnnprof.advice.advise import Advice
from rnnprof.advice.recommendation import Recommendation
from rnnprof.maxbatch.certify import Proof
from rnnprof.report.export.document import document, frontier_document
from rnnprof.runfile.certificates import EdgeFit, EdgeOom, EdgeStatus
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.runfile.points import Point

PROMISED = {
    "batch", "time_steps", "outcome", "phase", "reason", "step_time_s", "step_time_within_ci_s",
    "step_time_ci_s", "time_steps_per_s", "allocated_bytes", "reserved_bytes",
    "process_bytes", "breakdown_bytes", "noisy", "host_enqueue_s", "block_wait_s",
    "flops_per_step", "flop_per_s", "matmul_share_ratio", "bound", "bound_reason", "retries",
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_strict_json_with_the_promised_fields(name: str) -> None:
    run, measurements = SAMPLES[name]()
    whole = json.loads(json.dumps(document(report_from((run, measurements))), allow_nan=False))
    assert list(whole) == [
        "run", "points", "frontier", "loop", "step_function", "advice", "environment"
    ]  # fmt: skip
    assert len(whole["points"]) == len(measurements)
    for point in whole["points"]:
        assert point.keys() >= PROMISED


def test_a_measured_point_keeps_its_numbers() -> None:
    found = document(report_from((run_of((4,), (16,)), {Point(4, 16): measured(4, 16)})))["points"][
        0
    ]
    known = measured(4, 16)
    assert (found["batch"], found["time_steps"], found["outcome"]) == (4, 16, "measured")
    assert found["step_time_s"] == known.step_time_s
    assert found["step_time_within_ci_s"] == list(known.step_time_within_ci_s or ())
    assert found["step_time_ci_s"] is None
    assert found["time_steps_per_s"] == known.time_steps_per_s
    assert found["sequences_per_s"] == known.sequences_per_s
    assert found["phase_time_s"] == known.phase_times_s
    assert found["charged_bytes"] == known.peak_charged_bytes
    assert (found["converged"], found["implementation"]) == (True, "fused")


def test_the_breakdown_has_every_part_and_its_phase() -> None:
    found = document(report_from((run_of((4,), (16,)), {Point(4, 16): measured(4, 16)})))["points"][
        0
    ]
    breakdown = found["breakdown_bytes"]
    assert list(breakdown) == [*BREAKDOWN_PARTS, "phase"]
    assert breakdown["saved"] == 20
    assert breakdown["phase"] == "backward"


def test_a_breakdown_that_is_unknown_is_null_with_its_reason() -> None:
    point = measured(4, 16, breakdown=None, breakdown_reason="the events did not balance")
    found = document(report_from((run_of((4,), (16,)), {point.point: point})))["points"][0]
    assert found["breakdown_bytes"] is None
    assert found["breakdown_reason"] == "the events did not balance"


def test_points_come_by_steps_and_then_by_batch() -> None:
    run, measurements = mixed()
    backwards = dict(sorted(measurements.items(), reverse=True))
    order = [
        (point["time_steps"], point["batch"])
        for point in document(report_from((run, backwards)))["points"]
    ]
    assert order == sorted(order)
    assert (64, 4) not in order, "that point was never reached"


def test_how_a_point_ended_is_told() -> None:
    points = document(report_from(mixed()))["points"]
    crashed = next(point for point in points if point["outcome"] == "crashed")
    assert (crashed["phase"], crashed["reason"]) == ("backward", "signal 11 (SIGSEGV)")
    assert crashed["step_time_s"] is None
    noisy = [point["noisy"] for point in points if point["noisy"]]
    assert noisy == ["others used 0.9 of 2 processors", "throttled for 0.4 s"]


def test_nothing_is_recommended_where_nothing_was_reached() -> None:
    whole = document(report_from(untouched()))
    assert whole["run"] == "runs/sample.jsonl"
    assert whole["points"] == []
    assert whole["frontier"] == []
    assert whole["advice"]["recommendations"] == whole["advice"]["largest_safe"] == []


def test_frontier_and_advice_are_in_the_document() -> None:
    fits, fails = EdgeFit(8, "a1", 7, 10), EdgeOom(9, "a2", "forward")
    certificate = Proof(16, EdgeStatus.CERTIFIED, 1, 64, 8, fits, fails, probes=4, ooms=1)
    advice = Advice(
        (Recommendation(16, 8, time_steps_per_s=9.0),), reasons=(Said("it is decided"),)
    )
    run, _ = untouched()
    report = report_from((run, {}), (certificate,), advice=advice)
    whole = document(report)
    (edge,) = whole["frontier"]
    named = ("time_steps", "status", "batch", "granularity", "probes", "ooms")
    assert [edge[name] for name in named] == [16, "certified", 8, 1, 4, 1]
    assert edge["fails"]["phase"] == "forward"
    (one,) = whole["advice"]["recommendations"]
    named = ("time_steps", "batch", "tied", "time_steps_per_s", "peak_bytes")
    assert [one[name] for name in named] == [16, 8, [], 9.0, None]
    assert whole["advice"]["reasons"] == ["it is decided"]
    assert frontier_document(report)["frontier"] == whole["frontier"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_hold_is_null(value: float) -> None:
    run = run_of((4,), (16,), environment={"clock_hz": value, "list": [1.0, value]})
    point = measured(4, 16, step_time_s=value, phase_times_s={"forward": value})
    whole = json.loads(
        json.dumps(document(report_from((run, {point.point: point}))), allow_nan=False)
    )
    assert whole["environment"] == {"clock_hz": None, "list": [1.0, None]}
    assert whole["points"][0]["step_time_s"] is None
    assert whole["points"][0]["phase_time_s"] == {"forward": None}


def test_warnings_are_a_list() -> None:
    point = replace(measured(4, 16), warnings=("one", "two"))
    found = document(report_from((run_of((4,), (16,)), {point.point: point})))["points"][0]
    assert found["warnings"] == ["one", "two"]


def test_the_speed_is_told_with_what_bounds_it() -> None:
    speed = {
        "host_enqueue_s": 0.1, "block_wait_s": 0.2, "flops_per_step": 7 * 10**12,
        "flop_per_s": 78.1e9, "matmul_share_ratio": 0.61, "bound": "compute",
        "bound_reason": "the matrix products would take 61% of the step", "retries": 3,
    }  # fmt: skip
    point = measured(4, 16, **speed)
    found = document(report_from((run_of((4,), (16,)), {point.point: point})))["points"][0]
    assert {name: found[name] for name in speed} == speed
