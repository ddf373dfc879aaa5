"""The search for a script: what it held at first saves probes and never changes an answer."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HEADER, MIB, FakeListener, a_fit, a_request, a_run
from memory_laws import GIB, Law
from rnnprof import protocol
from rnnprof.breakdown.memory_model import Plane
from rnnprof.engine.observer import Observer
from rnnprof.engine.supervisor import Answer
from rnnprof.maxbatch.certify import MOST_PROBES, Proof, frontier_of
from rnnprof.maxbatch.frontier import Frontier
from rnnprof.outcomes import Evidence
from rnnprof.points.fold import fold_run
from rnnprof.points.reasons import LengthNotUsed, LengthShare, PlaceholderUnused
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Fit, Seen
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Record, Run
from rnnprof.workload import ScriptPlace, ScriptSource, workload_of_script

BOTH = ("{batch}", "{time_steps}")


class Machine:
    """Trains a script that takes the memory of a law.

    Attributes:
        over: what it says that it held, over what it holds.
        sees: what the recurrent layers see of a point.
    """

    def __init__(self, law: Law, limit_bytes: int, weights: int = MIB, over: float = 1.0) -> None:
        self.law, self.limit_bytes, self.weights, self.over = law, limit_bytes, weights, over
        self.tried: list[Point] = []
        self.sees = lambda point: point

    @property
    def held_bytes(self) -> int:
        """With Adam: three copies of the weights come later."""
        return max(1, round(self.over * (self.law.planes[0].fixed - 3 * self.weights)))

    def __call__(self, task: protocol.Task, _: float) -> Answer:
        point = task.point
        self.tried.append(point)
        size, count = self.law.at(point.batch, point.time_steps), task.confirm_steps
        start = {"start_s": 1.0, "held_bytes": self.held_bytes, "held_weight_bytes": self.weights}
        if size > self.limit_bytes:
            ending = Evidence("forward", "MemoryError", "no more")
            return Answer(1, {"train_steps": count, **start}, ending, 1.0)
        at = self.sees(point)
        seen = Seen(1, at.batch, at.time_steps, at.batch, at.batch * at.time_steps, at.batch)
        found = {
            "train_steps": count,
            "train_steps_run": count,
            "peak_charged_bytes": size,
            "live_bytes": [self.held_bytes + 3 * self.weights + 100 * point.batch] * count,
            "seen": [seen],
        }
        done = protocol.from_line(protocol.to_line(protocol.Done({**found, **start})))
        assert isinstance(done, protocol.Done)
        return Answer(1, done.findings, None, 1.0)


def searched(
    machine: Machine, *lengths: int, argv: tuple[str, ...] = BOTH
) -> tuple[dict[int, Certificate], Run]:
    """The search after the check, which is a probe at 16 and, out of memory, another at 1."""
    workload = workload_of_script(ScriptSource("train.py", argv=argv))
    records: list[Record] = []
    request = a_request(Grid((), lengths))
    observer = Observer(
        task=protocol.Task("fit", workload, script=ScriptPlace("train.py")),
        request=request,
        limit_bytes=machine.limit_bytes,
        probe=machine,
        record=records.append,
        guard_bytes=lambda: 1 << 40,
    )
    frontier = Frontier(observer, records.append, FakeListener(), 65536)
    for batch in (16, 1):
        fit = observer.observe(Point(batch, min(lengths)), "fit", Role.PROBE, confirm_steps=10)
        assert isinstance(fit, Fit)
        frontier.known[fit.time_steps].append(fit)
        if fit.outcome is Outcome.MEASURED:
            break
    proofs = {proof.time_steps: proof for proof in frontier.run(lengths)}
    run = Run(
        replace(HEADER, workload=workload, limit_bytes=machine.limit_bytes),
        (request,),
        observations=tuple(each for each in records if isinstance(each, Fit)),
        certificates=tuple(each for each in records if isinstance(each, Certificate)),
    )
    assert {proof.time_steps: proof for proof in frontier_of(run)} == proofs
    return proofs, run


def lstm_law(rng: random.Random) -> tuple[Law, int, int]:
    """A law of an LSTM with its data set and Adam, the limit, and the bytes of its weights."""
    while True:
        hidden, limit_bytes = rng.choice([128, 256, 512, 1024]), rng.choice([1, 2, 4, 8]) * GIB // 2
        weights = 4 * (8 * hidden * hidden + rng.choice([0, 10_000, 50_000]) * hidden)
        data = round(math.exp(rng.uniform(math.log(1e6), math.log(1e9))))
        per_step = 4 * hidden * rng.uniform(6, 14)
        law = Law((Plane(4 * weights + data, per_step * rng.uniform(0, 8), per_step),))
        if all(1 <= law.edge(steps, limit_bytes) < 65536 for steps in (35, 70)):
            return law, limit_bytes, weights


def test_a_steady_script_is_proven_in_five_starts_with_its_check() -> None:
    rng = random.Random(3)
    counts, both = [], []
    for _ in range(24):
        law, limit_bytes, weights = lstm_law(rng)
        machine = Machine(law, limit_bytes, weights)
        proofs, _ = searched(machine, 35)
        assert proofs[35].batch == law.edge(35, limit_bytes)
        assert proofs[35].status is EdgeStatus.CERTIFIED
        counts.append(len(machine.tried))
        machine = Machine(law, limit_bytes, weights)
        searched(machine, 35, 70)
        both.append(len(machine.tried))
    assert max(counts) <= 5
    assert sorted(counts)[12] <= 4
    assert sorted(both)[12] <= 6
    assert max(both) <= 8


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0, 5), st.sampled_from([(35,), (35, 70)]))
def test_whatever_it_says_that_it_held_the_answer_is_right(seed, over, lengths):
    law, limit_bytes, weights = lstm_law(random.Random(seed))
    machine = Machine(law, limit_bytes, weights, over)
    proofs, _ = searched(machine, *lengths)
    for time_steps in lengths:
        assert proofs[time_steps].batch == law.edge(time_steps, limit_bytes)
    assert len(machine.tried) <= MOST_PROBES * len(lengths)


def test_probes_of_a_script_are_as_long_as_a_proof() -> None:
    machine = Machine(Law((Plane(16 * MIB, 0, 4096),)), 64 * MIB)
    _, run = searched(machine, 35)
    passed = [o for o in run.observations if isinstance(o, Fit) and o.train_steps_run]
    assert {fit.train_steps_run for fit in passed} == {10}


def a_machine(sees) -> Machine:
    machine = Machine(Law((Plane(16 * MIB, 4096, 4096),)), 256 * MIB)
    machine.sees = sees
    return machine


def test_a_batch_without_effect_is_told_by_the_placeholders_name() -> None:
    proofs, run = searched(a_machine(lambda point: Point(20, point.time_steps)), 35)
    assert proofs[35].status is EdgeStatus.BATCH_NOT_USED
    assert isinstance(proofs[35].reason, PlaceholderUnused)
    assert proofs[35].reason.name == "batch"
    assert len(run.observations) <= 3


def test_a_batch_that_the_data_bound_has_an_effect() -> None:
    proofs, _ = searched(a_machine(lambda p: Point(min(p.batch, 600), p.time_steps)), 35)
    assert proofs[35].status is EdgeStatus.BATCH_NOT_USED
    assert not isinstance(proofs[35].reason, PlaceholderUnused)


def test_time_steps_without_effect_are_told_and_not_searched() -> None:
    proofs, run = searched(a_machine(lambda point: Point(point.batch, 50)), 35, 140)
    for time_steps in (35, 140):
        assert proofs[time_steps].status is EdgeStatus.INDETERMINATE
        assert proofs[time_steps].batch is None
        why = LengthNotUsed(time_steps, 50)
        assert proofs[time_steps].reason == PlaceholderUnused("time_steps", why)
    assert len(run.observations) == 2


def test_the_t_that_the_script_really_has_is_proven() -> None:
    proofs, _ = searched(a_machine(lambda point: Point(point.batch, 35)), 35, 70)
    assert proofs[35].status is EdgeStatus.CERTIFIED
    assert proofs[70].status is EdgeStatus.INDETERMINATE


def test_a_constant_share_of_t_is_only_stated() -> None:
    proofs, _ = searched(a_machine(lambda p: Point(p.batch, p.time_steps // 4)), 64, 128)
    assert {proof.status for proof in proofs.values()} == {EdgeStatus.CERTIFIED}
    assert all(isinstance(proof.reason, LengthShare) for proof in proofs.values())


def test_without_the_placeholder_t_is_not_judged() -> None:
    proofs, _ = searched(a_machine(lambda p: Point(p.batch, 35)), 70, argv=("{batch}",))
    assert isinstance(proofs[70], Proof)
    assert proofs[70].status is EdgeStatus.CERTIFIED


@pytest.mark.parametrize("argv", [BOTH, ("{batch}",)])
def test_points_whose_t_is_not_used_have_no_throughput(argv: tuple[str, ...]) -> None:
    def fit(point: Point, time_steps: int) -> Fit:
        size = point.batch * time_steps
        return a_fit(point, seen=(Seen(1, point.batch, time_steps, point.batch, size, size),))

    points = [Point(4, 35), Point(4, 70), Point(8, 70)]
    run = a_run([fit(point, 35) for point in points], Grid((4, 8), (35, 70)))
    source = ScriptSource("train.py", argv=argv)
    run = replace(run, header=replace(HEADER, workload=workload_of_script(source)))
    unused = {point for point, each in fold_run(run).items() if each.unused}
    assert unused == ({Point(4, 70), Point(8, 70)} if argv == BOTH else set())
