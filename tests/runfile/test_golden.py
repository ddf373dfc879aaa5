"""A run file of each schema version must load for ever, and say what it said.

The files in ``golden`` were written once and are never written again: when a change makes one of
them fail, the change is wrong, or it needs a new schema version with a file of its own.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from rnnprof.errors import RunFileError
from rnnprof.points.fold import anchor_drift, fold_run
from rnnprof.points.reasons import ImpliedBy, ProcessorTaken, Taker
from rnnprof.reasons import Reason
from rnnprof.runfile.journal import from_line, load, open_journal
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Settings
from rnnprof.workload import Workload

GOLDEN = Path(__file__).parents[1] / "golden" / "run-2.jsonl"
SHA256 = "77df6ed0353e3a74c3270c11893533e703c79c05499143e2730d99502e47b726"
LINES = GOLDEN.read_bytes().splitlines()
SCHEMA = json.loads((files("rnnprof") / "schemas" / "run-2.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)

MIB = 1 << 20


@pytest.fixture(scope="module")
def run():
    return load(GOLDEN)


@pytest.fixture(scope="module")
def folded(run):
    return fold_run(run)


def test_the_file_is_the_one_first_written():
    assert hashlib.sha256(GOLDEN.read_bytes()).hexdigest() == SHA256


@pytest.mark.parametrize("line", LINES, ids=range(1, len(LINES) + 1))
def test_each_line_validates_and_is_read(line):
    VALIDATOR.validate(json.loads(line))
    from_line(line)


def test_the_identity(run):
    header = run.header
    assert (header.schema, header.run_id, run.rnnprof_version) == (2, "0123456789ab", "0.1.0")
    assert header.workload == Workload(
        cell="lstm", impl="fused", input_size=256, hidden_size=512, layers=1,
        dtype="fp32", optimizer="adam", mode="train", factory=None,
    )  # fmt: skip
    assert header.environment["device_name"] == "a processor of the tests"
    assert (header.limit_bytes, header.gpu_memory_bytes, header.sources) == (64 * MIB, None, {})
    assert [(host.request, host.limit_bytes) for host in run.hosts] == [
        ("r1", 64 * MIB),
        ("r2", 64 * MIB),
    ]
    assert run.environment == header.environment | {"processors": 2}


def test_the_run_was_interrupted_and_resumed(run):
    assert [request.request for request in run.requests] == ["r1", "r2"]
    for request in run.requests:
        assert request.grid == Grid((8, 16, 64), (16, 32, 64))
        assert request.settings == Settings(memory_limit=64 * MIB, point_seconds=1.0, seed=0)
    assert run.is_finished
    assert run.finished[0].wall_s == 12.5
    observed = {observation.attempt for observation in run.observations}
    lost = [started for started in run.started if started.attempt not in observed]
    assert [(started.request, started.observes) for started in lost] == [("r1", "timing")]
    assert len(run.observations) == 24


OUTCOMES = {
    Point(8, 16): Outcome.MEASURED,
    Point(16, 16): Outcome.MEASURED,
    Point(64, 16): Outcome.MEASURED,
    Point(8, 32): Outcome.MEASURED,
    Point(16, 32): Outcome.MEASURED,
    Point(64, 32): Outcome.OOM,
    Point(8, 64): Outcome.TIMEOUT,
    Point(16, 64): Outcome.UNSUPPORTED,
    Point(64, 64): Outcome.IMPLIED_OOM,
}


def test_how_each_point_ended(folded):
    assert {point: measurement.outcome for point, measurement in folded.items()} == OUTCOMES
    assert list(folded) == list(OUTCOMES)


def test_a_measured_point(folded):
    measurement = folded[Point(8, 16)]
    assert measurement.step_time_s == 0.00328
    assert measurement.step_time_within_ci_s == pytest.approx((0.00328 * 0.997, 0.00328 * 1.003))
    assert measurement.step_time_ci_s is None
    assert measurement.converged is True
    assert measurement.sequences_per_s == pytest.approx(2439.024)
    assert measurement.time_steps_per_s == pytest.approx(39024.39)
    assert measurement.phase_times_s == pytest.approx({"forward": 0.001312, "backward": 0.001968})
    assert measurement.peak_allocated_bytes == 13_107_200
    assert measurement.peak_charged_bytes == 13_107_200
    assert measurement.peak_process_bytes == 222_822_400
    assert measurement.peak_reserved_bytes is None
    assert measurement.implementation == "fused"
    assert (measurement.reason, measurement.noisy, measurement.warnings) == (None, None, ())


def test_its_breakdown(folded):
    breakdown = folded[Point(8, 16)].breakdown
    assert breakdown.phase == "backward"
    assert breakdown.parts() == {
        "weights": 2_097_152, "gradients": 2_097_152, "optimizer_state": 4_194_304,
        "input": 524_288, "weight_casts": 0, "saved": 4_194_304, "library": 0,
        "temporaries": 0, "rounding": 0,
    }  # fmt: skip


def test_a_timing_that_was_noisy_is_clean_after_its_repetition_or_flagged(folded):
    assert folded[Point(16, 16)].noisy is None
    assert folded[Point(16, 16)].step_time_s == 0.00456
    assert folded[Point(64, 16)].noisy == ProcessorTaken(Taker.OTHERS, 1.0)


def test_a_memory_pass_that_crashed_twice_leaves_its_reason(folded):
    measurement = folded[Point(16, 32)]
    assert measurement.step_time_s == pytest.approx(0.00712)
    assert (measurement.breakdown, measurement.peak_allocated_bytes) == (None, None)
    assert measurement.breakdown_reason == "the worker died in backward of SIGSEGV"


REASONS: dict[Point, Reason | str] = {
    Point(64, 32): "out of memory in forward, asking for 64.0 MiB with 12.0 MiB in use of 64.0 MiB",
    Point(8, 64): "no answer in forward within 60 s",
    Point(16, 64): "not supported in forward: RuntimeError: could not create a primitive "
    "descriptor for the LSTM forward propagation primitive",
    Point(64, 64): ImpliedBy(Point(64, 32)),
}


@pytest.mark.parametrize(("point", "reason"), REASONS.items(), ids=repr)
def test_a_point_that_was_not_measured_says_why(folded, point, reason):
    assert folded[point].reason == reason
    assert folded[point].step_time_s is None


def test_a_failure_in_full(run):
    oom = next(o for o in run.observations if o.outcome is Outcome.OOM)
    assert oom.point == Point(64, 32)
    assert oom.failure.phase == "forward"
    assert oom.failure.error_type == "RuntimeError"
    assert oom.failure.requested_bytes == 64 * MIB
    assert oom.failure.message.startswith("DefaultCPUAllocator: can't allocate memory")
    assert oom.limit_bytes == 64 * MIB


def test_the_anchor(run):
    assert sum(o.role is Role.ANCHOR for o in run.observations) == 2
    drift = anchor_drift(run)
    assert drift.point == Point(8, 32)
    assert drift.medians_s == (0.00456,) * 3


def test_conditions_are_kept(run):
    noisy = [o.conditions for o in run.observations if o.conditions and o.conditions.wall_s == 1]
    assert {c.cpu_busy_s for c in noisy} == {1.0, 2.0}
    assert {(c.cpu_count, c.cpu_own_s, c.throttled_s) for c in noisy} == {(2, 1.0, 0.0)}


def test_it_can_be_written_on(tmp_path, run):
    copy = tmp_path / "run.jsonl"
    copy.write_bytes(GOLDEN.read_bytes())
    with open_journal(copy) as opened:
        opened.append(run.requests[0])
    assert copy.read_bytes().startswith(GOLDEN.read_bytes())
    assert load(copy).requests == (*run.requests, run.requests[0])


def test_damage_in_it_is_found(tmp_path):
    copy = tmp_path / "run.jsonl"
    copy.write_bytes(GOLDEN.read_bytes().replace(b"0.00328", b"0.00327", 1))
    with pytest.raises(RunFileError, match=r"line \d+: its checksum does not match"):
        load(copy)


def test_the_schema_that_was_never_released_is_refused_in_a_sentence(tmp_path):
    old = tmp_path / "old.jsonl"
    old.write_bytes(LINES[0].replace(b'"schema":2', b'"schema":1') + b"\n")
    with pytest.raises(RunFileError, match=r"has schema 1, which was never released: measure"):
        load(old)
