"""The search over several T against a probe with a law of its own: edge, proof and cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import (
    HEADER,
    MIB,
    FakeProbe,
    MemoryLaw,
    Twist,
    a_request,
    an_observer,
    crowded_out,
    dies,
    finds,
    fine,
    hangs,
)
from rnnprof import protocol
from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.engine.supervisor import Answer
from rnnprof.errors import BadInputError
from rnnprof.jobs import run_order
from rnnprof.maxbatch.certify import MAX_CRASHES, MOST_PROBES, frontier_of
from rnnprof.maxbatch.frontier import EXPLORING_STEPS, Frontier, order_of
from rnnprof.maxbatch.reasons import (
    EndedAt,
    FewerConfirmations,
    NothingKnown,
    NotSupported,
    OnceMore,
    PeakGrows,
    Predicted,
    ProbesSpent,
    StepLeaves,
    Thrashes,
    WentBothWays,
)
from rnnprof.outcomes import Evidence
from rnnprof.reasons import Reason, Reasons
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.journal import run_of, to_line
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Record, Run, Settings
from rnnprof.workload import Workload

LENGTHS = (16, 32, 64, 128)
AT_MOST = 65536


def edge(law: MemoryLaw, time_steps: int, limit_bytes: int = HEADER.limit_bytes) -> int:
    """The largest batch that fits, by the law itself."""
    slope = law.per_sequence_bytes + law.per_time_step_bytes * time_steps
    return (limit_bytes - law.fixed_bytes) // slope


EDGE = edge(MemoryLaw(), 16)
"""Of the usual law at T=16: 99."""


def runs_out(answer: Answer) -> Answer:
    evidence = Evidence("backward", "RuntimeError", "DefaultCPUAllocator: can't allocate memory")
    asked = answer.findings["train_steps"]
    return replace(answer, findings={"train_steps_run": 4, "train_steps": asked}, evidence=evidence)


def is_unsupported(answer: Answer) -> Answer:
    evidence = Evidence("forward", "UnsupportedError", "no such cell")
    return replace(answer, findings={}, evidence=evidence)


@dataclass
class Heard(Listener):
    """Keeps what it was told, in order."""

    told: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)

    def probing(self, point: Point, why: Reason) -> None:
        self.told.append(f"probing {point}")
        self.reasons.append(why)

    def probed(self, fit: Fit) -> None:
        self.told.append(f"{fit.outcome} {fit.point}")

    def proved(self, certificate: Certificate, done: int, total: int) -> None:
        self.told.append(f"proved T={certificate.time_steps}")
        self.progress.append((done, total))

    def noted(self, what: Reason | str) -> None:
        self.told.append(f"noted {type(what).__name__}")


@dataclass
class Search:
    """What one invocation recorded, with what stood in the file before it."""

    probe: Callable[[protocol.Task, float], Answer]
    settings: Settings = field(default_factory=Settings)
    at_most: int = AT_MOST
    reserve_bytes: int = 0
    listener: Listener = field(default_factory=Listener)
    request: str = "r1"
    records: list[Record] = field(default_factory=lambda: [HEADER])

    def run(self, *lengths: int) -> dict[int, Certificate]:
        settings = replace(self.settings, reserve_bytes=self.reserve_bytes)
        request = a_request(Grid((), lengths), settings, self.request)
        self.record(request)
        observer = an_observer(self.probe, request, self.record)
        observer.limit_bytes -= self.reserve_bytes
        frontier = Frontier(observer, self.record, self.listener, self.at_most)
        frontier.recall(self.whole)
        certificates = {c.time_steps: c for c in frontier.run(lengths)}
        cited = {time_steps: c for time_steps, c in certificates.items() if c.attempts}
        assert {c.time_steps: c for c in frontier_of(self.whole)} == cited
        return certificates

    def record(self, record: Record) -> None:
        to_line(record)
        self.records.append(record)

    @property
    def whole(self) -> Run:
        run = run_of(self.records, Path("none"))
        assert run is not None
        return run

    @property
    def fits(self) -> list[Fit]:
        return [o for o in self.whole.observations if isinstance(o, Fit)]

    def batches(self, time_steps: int = 16) -> list[int]:
        return [fit.batch for fit in self.fits if fit.time_steps == time_steps]


def searched(
    script: dict[int, Sequence[Twist]] | None = None, **settings: Any
) -> tuple[Certificate, Search]:
    """The certificate at T=16 under the usual law; *script*: by batch what befalls its attempts."""
    twists = {(batch, 16, "fit"): twists for batch, twists in (script or {}).items()}
    search = Search(FakeProbe(script=twists), Settings(**settings))
    return search.run(16)[16], search


# the edge


@pytest.mark.parametrize(
    "law",
    [
        MemoryLaw(),
        MemoryLaw(fixed_bytes=60 * MIB, per_sequence_bytes=1 << 12, per_time_step_bytes=1 << 10),
        MemoryLaw(fixed_bytes=MIB, per_sequence_bytes=0, per_time_step_bytes=700),
        MemoryLaw(fixed_bytes=30 * MIB, per_sequence_bytes=MIB, per_time_step_bytes=99_999),
    ],
)
def test_every_edge_is_exact_and_cheap(law):
    search = Search(FakeProbe(law=law))
    found = search.run(*LENGTHS)
    for time_steps, certificate in found.items():
        assert certificate.status is EdgeStatus.CERTIFIED
        assert certificate.batch == edge(law, time_steps)
        assert certificate.fails.batch == certificate.batch + 1
        assert certificate.fits.train_steps_run >= 10
        assert certificate.fits.peak_bytes == law.bytes_at(Point(certificate.batch, time_steps))
    assert len(search.fits) <= 4 * len(LENGTHS) + 4
    assert sum(fit.outcome is Outcome.OOM for fit in search.fits) <= 2 * len(LENGTHS)


@given(
    law=st.builds(MemoryLaw, st.integers(0, 80 * MIB), *[st.integers(1, 1 << 20)] * 2),
    lengths=st.sets(st.integers(1, 500), min_size=1, max_size=4),
    at_most=st.integers(1, AT_MOST),
    granularity=st.sampled_from([1, 1, 2, 8, 64]),
    confirm=st.integers(1, 3),
)
def test_whatever_the_law_the_answer_is_true(law, lengths, at_most, granularity, confirm):
    settings = Settings(granularity=granularity, confirm=confirm)
    search = Search(FakeProbe(law=law), settings, at_most)
    for time_steps, certificate in search.run(*lengths).items():
        most = at_most // granularity * granularity
        batch = min(edge(law, time_steps), most) // granularity * granularity
        status = EdgeStatus.CERTIFIED if batch < most else EdgeStatus.CAPPED
        if most == 0:
            status = EdgeStatus.INDETERMINATE
        elif batch <= 0:
            status = EdgeStatus.NOTHING_FITS
        assert (certificate.status, certificate.batch or 0) == (status, max(batch, 0))
        assert certificate.confirmations == (confirm if certificate.batch else 0)
        assert max(search.batches(time_steps), default=0) <= at_most


def test_nothing_fits():
    certificate, search = searched_law(MemoryLaw(fixed_bytes=64 * MIB))
    assert certificate.status is EdgeStatus.NOTHING_FITS
    assert certificate.batch is None
    assert min(search.batches()) == 1
    assert len(search.fits) <= 4


def test_capped():
    certificate, search = searched_law(MemoryLaw(), at_most=50)
    assert (certificate.status, certificate.batch) == (EdgeStatus.CAPPED, 50)
    assert certificate.fits.train_steps_run == 10
    assert max(search.batches()) == 50


def searched_law(law: MemoryLaw, at_most: int = AT_MOST) -> tuple[Certificate, Search]:
    search = Search(FakeProbe(law=law), at_most=at_most)
    return search.run(16)[16], search


def test_multiples_of_the_granularity_alone_are_tried():
    certificate, search = searched(granularity=8)
    assert (certificate.batch, certificate.fails.batch) == (96, 104)
    assert {batch % 8 for batch in search.batches()} == {0}


@dataclass
class EmptiedCache(FakeProbe):
    """Tensors take what the law says; the cache takes a fourth more, while there is room."""

    def _fit(self, point: Point) -> dict[str, Any]:
        allocated = self.law.bytes_at(point)
        is_emptied = 1.25 * allocated > self.limit_bytes
        reserved = allocated if is_emptied else round(1.25 * allocated)
        peaks = {"peak_charged_bytes": reserved, "peak_allocated_bytes": allocated}
        return super()._fit(point) | peaks | {"retries": 8 * is_emptied}


def test_an_emptied_cache_ends_in_a_proof_that_says_so():
    law = MemoryLaw(fixed_bytes=MIB, per_sequence_bytes=1 << 12, per_time_step_bytes=1 << 10)
    search = Search(EmptiedCache(law=law))
    certificate = search.run(16)[16]
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, edge(law, 16))
    assert isinstance(certificate.reason, Thrashes)
    assert certificate.reason.batch == certificate.batch
    assert certificate.probes <= 20
    assert max(search.batches()) <= 1.1 * certificate.batch


# what a proof takes


def test_the_edge_is_run_over_all_the_steps_and_what_is_far_from_it_is_not():
    probe = FakeProbe()
    certificate = Search(probe, Settings(confirm_steps=25)).run(16)[16]
    time_steps = {task.point.batch: task.confirm_steps for task, _ in probe.asked}
    assert certificate.fits.train_steps_run == certificate.confirm_steps == 25
    assert time_steps[certificate.batch] == 25
    assert time_steps[16] == EXPLORING_STEPS


def test_fewer_steps_than_a_far_batch_takes_are_kept():
    probe = FakeProbe()
    certificate = Search(probe, Settings(confirm_steps=1)).run(16)[16]
    assert {task.confirm_steps for task, _ in probe.asked} == {1}
    assert certificate.status is EdgeStatus.CERTIFIED


def test_the_answer_passes_in_as_many_fresh_workers_as_asked_for():
    certificate, search = searched(confirm=3)
    at_edge = [fit for fit in search.fits if fit.batch == EDGE and fit.train_steps_run >= 10]
    assert len({fit.worker for fit in at_edge}) == 3
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, EDGE)
    assert certificate.confirmations == 3


def test_an_edge_that_wanders_goes_down():
    """It fits, and at the second confirmation it does not: what fits below is the answer."""
    certificate, search = searched({EDGE: [fine, runs_out]}, confirm=2)
    assert certificate.status is EdgeStatus.CERTIFIED
    assert (certificate.batch, certificate.fails.batch) == (EDGE - 1, EDGE)
    assert certificate.confirmations == 2
    assert certificate.reason == WentBothWays(EDGE)
    assert search.batches().count(EDGE) == 2


@pytest.mark.parametrize("width", [2, 5, 40])
def test_an_edge_that_keeps_wandering_comes_to_an_end(width):
    """One band of batches, each of which fits once and then never again."""
    band = range(EDGE - width + 1, EDGE + 1)
    certificate, search = searched({batch: [fine, *[runs_out] * 9] for batch in band}, confirm=2)
    out = {fit.batch for fit in search.fits if fit.outcome is Outcome.OOM}
    assert certificate.batch not in out
    assert max(Counter(search.batches()).values()) <= 3  # a short pass, and two proofs
    if certificate.status is EdgeStatus.CERTIFIED:
        assert certificate.batch == EDGE - width
    elif certificate.status is EdgeStatus.INDETERMINATE:
        assert certificate.probes == MOST_PROBES
        stopped = certificate.reason
        if isinstance(stopped, FewerConfirmations):
            stopped = stopped.stopped
        assert stopped == ProbesSpent(MOST_PROBES)
    else:  # one that fitted lies above one that was out of memory
        assert certificate.status is EdgeStatus.NON_MONOTONE
        assert certificate.fits.batch > certificate.fails.batch


def test_two_steps_that_fit_prove_nothing_of_ten():
    """As where every step leaves something behind."""

    class Leaky(FakeProbe):
        def __call__(self, task, deadline_s):
            answer = super().__call__(task, deadline_s)
            return runs_out(answer) if task.point.batch > 60 and task.confirm_steps > 2 else answer

    search = Search(Leaky())
    certificate = search.run(16)[16]
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, 60)
    assert certificate.fails.batch == 61


def test_workers_that_never_run_enough_steps_do_not_keep_it_running():
    class Idle(FakeProbe):
        def __call__(self, task, deadline_s):
            return finds(train_steps_run=1)(super().__call__(task, deadline_s))

    search = Search(Idle())
    certificate = search.run(16)[16]
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert (certificate.batch, certificate.confirmations) == (EDGE, 0)
    assert max(Counter(search.batches()).values()) <= 1 + MAX_CRASHES


# training steps that are not alike


@dataclass
class Stepping(FakeProbe):
    """Memory that changes from training step to step.

    Attributes:
        live: times the law's bytes that are live after training step number N, from 1, of a batch,
            in the worker of this number.
        above: times the law's bytes of the peak in that step.
    """

    live: Callable[[int, int, int], float] = lambda *_: 0.5
    above: Callable[[int, int, int], float] = lambda *_: 1.0

    def __call__(self, task: protocol.Task, deadline_s: float) -> Answer:
        self.asked.append((task, deadline_s))
        worker, usual = len(self.asked), self.law.bytes_at(task.point)
        live: list[int] = []
        peaks: list[int] = []
        evidence = None
        for number in range(1, task.confirm_steps + 1):
            place = (task.point.batch, number, worker)
            if usual * self.above(*place) > self.limit_bytes:
                words = "DefaultCPUAllocator: can't allocate memory"
                evidence = Evidence("backward", "RuntimeError", words)
                break
            live.append(int(usual * self.live(*place)))
            peaks.append(max(int(usual * self.above(*place)), *peaks[-1:], 0))
        findings = {
            "train_steps_run": len(live), "train_steps": task.confirm_steps, "live_bytes": live,
            "step_peak_bytes": peaks, "peak_charged_bytes": peaks[-1] if peaks else None,
        }  # fmt: skip
        return Answer(worker, findings, evidence, 1.0)

    @property
    def proofs(self) -> list[int]:
        """The batches that were run for more than a look, in order."""
        return [task.point.batch for task, _ in self.asked if task.confirm_steps > EXPLORING_STEPS]


def leaking(share: float) -> dict[str, Callable[[int, int, int], float]]:
    return {
        "live": lambda _batch, number, _worker: 0.5 + share * number,
        "above": lambda _batch, number, _worker: 1.0 + share * (number - 1),
    }


@pytest.mark.parametrize("share", [0.001, 0.01, 0.04, 0.2])
def test_a_leak_of_any_size_is_never_certified(share: float) -> None:
    probe = Stepping(**leaking(share))
    certificate = Search(probe).run(16)[16]
    assert certificate.status is EdgeStatus.NOT_STATIONARY
    assert certificate.batch is None
    assert isinstance(certificate.reason, StepLeaves)
    assert certificate.reason.bytes_per_step > 0
    assert certificate.probes <= 10


def test_growth_that_ends_within_the_proof_is_certified_at_its_own_peak() -> None:
    """A cache of five training steps' growth, of a fiftieth each."""

    def above(_batch: int, number: int, _worker: int) -> float:
        return 1.0 + 0.02 * min(number - 1, 5)

    probe = Stepping(live=lambda *place: above(*place) - 0.5, above=above)
    certificate = Search(probe).run(16)[16]
    law, limit = MemoryLaw(), HEADER.limit_bytes
    true = max(b for b in range(1, EDGE + 1) if law.bytes_at(Point(b, 16)) * 1.1 <= limit)
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, true)
    assert certificate.reason == PeakGrows(pytest.approx(1.1 / 1.02 - 1, rel=1e-3), 2)


@pytest.mark.parametrize("seed", range(12))
def test_memory_that_differs_by_step_gets_an_answer_in_24_probes_and_none_walks(seed: int) -> None:
    def above(batch: int, number: int, worker: int) -> float:
        return random.Random(f"{seed} {batch} {number} {worker}").uniform(0.8, 1.3)

    probe = Stepping(above=above)
    certificate = Search(probe).run(16)[16]
    assert certificate.status is EdgeStatus.CERTIFIED
    law, limit = MemoryLaw(), HEADER.limit_bytes
    least = max(b for b in range(1, EDGE + 1) if law.bytes_at(Point(b, 16)) * 1.3 <= limit)
    assert least <= (certificate.batch or 0) <= EDGE / 0.8
    assert certificate.probes <= MOST_PROBES
    reason = certificate.reason
    parts = reason.parts if isinstance(reason, Reasons) else (reason,)
    assert PeakGrows in map(type, parts)
    pairs = list(pairwise(probe.proofs))
    walked = [abs(one - next_one) == 1 for one, next_one in pairs]
    assert sum(walked[:-3]) <= 1, probe.proofs  # the pair that contradicted the first bytes


def test_steady_steps_are_sought_as_before() -> None:
    steady, stepping = Search(FakeProbe()), Search(Stepping())
    assert steady.run(16)[16].batch == stepping.run(16)[16].batch == EDGE
    assert steady.batches() == stepping.batches()


def test_a_longer_horizon_is_proven_and_told() -> None:
    probe = Stepping()
    certificate = Search(probe, Settings(through=200)).run(16)[16]
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, EDGE)
    assert certificate.horizon == 200
    assert [task.confirm_steps for task, _ in probe.asked].count(200) == 1


def test_what_comes_within_the_longer_horizon_is_found() -> None:
    """From training step 15 on a tenth more is live, as where weights are averaged."""

    def above(_batch: int, number: int, _worker: int) -> float:
        return 1.1 if number >= 15 else 1.0

    assert Search(Stepping(above=above)).run(16)[16].batch == EDGE
    certificate = Search(Stepping(above=above), Settings(through=40)).run(16)[16]
    law, limit = MemoryLaw(), HEADER.limit_bytes
    true = max(b for b in range(1, EDGE + 1) if law.bytes_at(Point(b, 16)) * 1.1 <= limit)
    assert (certificate.status, certificate.batch, certificate.horizon) == (
        EdgeStatus.CERTIFIED, true, 40,
    )  # fmt: skip


# what goes wrong


def test_a_crash_at_the_edge_is_tried_once_more():
    certificate, search = searched({EDGE: [dies]})
    assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, EDGE)
    assert search.batches().count(EDGE) == 2


def test_a_batch_that_crashed_twice_is_set_aside():
    certificate, search = searched({EDGE: [dies] * 5})
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == EndedAt(EDGE, "the worker died in backward of SIGSEGV")
    assert search.batches().count(EDGE) == MAX_CRASHES
    assert certificate.batch < EDGE


def test_a_crash_of_a_second_confirmation_is_no_proof():
    certificate, search = searched({EDGE: [fine, dies, dies, fine]}, confirm=2)
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == EndedAt(EDGE, "the worker died in backward of SIGSEGV")
    assert search.batches().count(EDGE) == 3


@pytest.mark.parametrize(
    ("twist", "words"),
    [
        (hangs, "no answer in forward within 60 s"),
        (crowded_out, "raised in baseline: MachineShortError: none left"),
        (is_unsupported, "not supported in forward: UnsupportedError: no such cell"),
    ],
)
def test_what_is_no_bad_luck_is_not_tried_again(twist, words):
    certificate, search = searched({EDGE: [twist] * 3})
    assert certificate.status is EdgeStatus.INDETERMINATE
    assert certificate.reason == EndedAt(EDGE, words)
    assert search.batches().count(EDGE) == 1


def test_the_other_lengths_are_none_the_worse():
    script = {(batch, 16, "fit"): [hangs] * 3 for batch in range(1, 200)}
    found = Search(FakeProbe(script=script)).run(16, 32, 64)
    assert found[16].status is EdgeStatus.INDETERMINATE
    assert [found[t].batch for t in (32, 64)] == [edge(MemoryLaw(), t) for t in (32, 64)]


def test_a_length_that_is_not_supported():
    probe = FakeProbe(script={(batch, 64, "fit"): [is_unsupported] for batch in range(1, 200)})
    search = Search(probe)
    found = search.run(16, 64)
    assert found[64].status is EdgeStatus.UNSUPPORTED
    recorded = "not supported in forward: UnsupportedError: no such cell"
    assert found[64].reason == NotSupported(recorded)
    assert len(search.batches(64)) == 1
    assert found[16].status is EdgeStatus.CERTIFIED


def test_a_point_of_a_grid_that_hung_elsewhere_does_not_stop_the_search():
    """Whatever the order in which the grid was run."""
    for last in (4, 80):
        search = Search(FakeProbe(script={(4, 16, "fit"): [hangs]}))
        request = a_request(Grid((4, 80), (16,)), request="r0")
        search.record(request)
        observer = an_observer(search.probe, request, search.record)
        for batch in sorted((4, 80), key=lambda batch: batch == last):
            observer.observe(Point(batch, 16), "fit")
        certificate = search.run(16)[16]
        assert (certificate.status, certificate.batch) == (EdgeStatus.CERTIFIED, EDGE)


# resuming


TROUBLES = {
    (EDGE, 16, "fit"): [dies],
    (edge(MemoryLaw(), 64), 64, "fit"): [fine, runs_out],
    (edge(MemoryLaw(), 128), 128, "fit"): [dies, dies],
}


class Interrupted:
    """A probe that is stopped at its n-th task."""

    def __init__(self, probe: FakeProbe, after: int) -> None:
        self.probe, self.left = probe, after

    def __call__(self, task: protocol.Task, deadline_s: float) -> Answer:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.probe(task, deadline_s)


@pytest.mark.parametrize("confirm", [1, 2])
def test_stopped_at_any_probe_and_given_again_it_comes_to_the_same(confirm):
    settings = Settings(confirm=confirm)
    through = Search(FakeProbe(script=TROUBLES), settings)
    expected = {t: (c.status, c.batch) for t, c in through.run(*LENGTHS).items()}
    assert {status for status, _ in expected.values()} == {
        EdgeStatus.CERTIFIED, EdgeStatus.INDETERMINATE,
    }  # fmt: skip
    for after in range(len(through.fits)):
        probe = FakeProbe(script=TROUBLES)
        stopped = Search(Interrupted(probe, after), settings)
        with pytest.raises(KeyboardInterrupt):
            stopped.run(*LENGTHS)
        seen = len(stopped.fits)
        again = Search(probe, settings, request="r2", records=stopped.records)
        found = again.run(*LENGTHS)
        assert {t: (c.status, c.batch) for t, c in found.items()} == expected
        assert seen == after
        times = Counter(fit.point for fit in again.fits if fit.outcome is Outcome.MEASURED)
        assert max(times.values()) <= confirm + 1  # a pass of few steps may come before the proof
        proofs = Counter(fit.point for fit in again.fits if fit.train_steps_run >= 10)
        assert max(proofs.values()) <= confirm
        assert len(again.fits) <= len(through.fits) + 2


def test_what_is_proven_is_not_run_again():
    probe = FakeProbe()
    first = Search(probe)
    certificates = first.run(*LENGTHS)
    asked = len(probe.asked)
    again = Search(probe, request="r2", records=first.records).run(*LENGTHS)
    assert len(probe.asked) == asked
    assert {t: replace(c, request="r1") for t, c in again.items()} == certificates


def test_what_others_crowded_out_is_tried_again_on_resume():
    probe = FakeProbe(script={(EDGE, 16, "fit"): [crowded_out]})
    first = Search(probe)
    assert first.run(16)[16].status is EdgeStatus.INDETERMINATE
    again = Search(probe, request="r2", records=first.records).run(16)[16]
    assert (again.status, again.batch) == (EdgeStatus.CERTIFIED, EDGE)
    crowded = next(fit.attempt for fit in first.fits if fit.outcome is Outcome.FAILED)
    assert crowded not in again.attempts


@pytest.mark.parametrize("changes", [{"lengths": (4,)}, {"reserve_bytes": MIB}])
def test_what_ran_under_other_terms_teaches_nothing(changes):
    first = Search(FakeProbe())
    first.run(16)
    reserve = changes.get("reserve_bytes", 0)
    probe = FakeProbe(HEADER.limit_bytes - reserve)
    second = Search(
        probe, Settings(**changes), reserve_bytes=reserve, request="r2", records=first.records
    )
    certificate = second.run(16)[16]
    assert certificate.status is EdgeStatus.CERTIFIED
    mine = {fit.attempt for fit in second.fits if fit.request == "r2"}
    assert set(certificate.attempts) == mine
    assert len(mine) == len(probe.asked) >= 3


def test_more_steps_or_workers_are_run_and_no_more():
    probe = FakeProbe()
    first = Search(probe)
    first.run(16)
    before = len(probe.asked)
    more = Search(probe, Settings(confirm=3, confirm_steps=20), request="r2", records=first.records)
    assert more.run(16)[16].confirmations == 3
    assert [task.point.batch for task, _ in probe.asked[before:]] == [EDGE] * 3
    assert {task.confirm_steps for task, _ in probe.asked[before:]} == {20}


def test_a_lower_cap_is_kept_whatever_is_known_above_it():
    probe = FakeProbe()
    first = Search(probe)
    first.run(16)
    before = len(probe.asked)
    second = Search(probe, at_most=50, request="r2", records=first.records)
    certificate = second.run(16)[16]
    assert (certificate.status, certificate.batch) == (EdgeStatus.CAPPED, 50)
    assert {task.point.batch for task, _ in probe.asked[before:]} == {50}


# what is asked and told


def test_the_task_carries_the_mixed_lengths_and_the_limit():
    probe = FakeProbe(HEADER.limit_bytes - 8 * MIB)
    search = Search(probe, Settings(lengths=(4, 8)), reserve_bytes=8 * MIB)
    certificate = search.run(16)[16]
    assert {task.lengths for task, _ in probe.asked} == {(4, 8)}
    assert {task.limit_bytes for task, _ in probe.asked} == {HEADER.limit_bytes - 8 * MIB}
    assert {fit.limit_bytes for fit in search.fits} == {HEADER.limit_bytes - 8 * MIB}
    assert {fit.role for fit in search.fits} == {Role.PROBE}
    assert certificate.batch == edge(MemoryLaw(), 16, HEADER.limit_bytes - 8 * MIB)


def test_the_listener_hears_of_every_probe_and_of_every_edge():
    heard = Heard()
    search = Search(FakeProbe(script={(EDGE, 16, "fit"): [dies]}), listener=heard)
    search.run(16, 64)
    expected = []
    for fit in search.fits:
        expected += [f"probing {fit.point}", f"{fit.outcome} {fit.point}"]
    assert [line for line in heard.told if "proved" not in line] == expected
    assert [line for line in heard.told if "proved" in line] == ["proved T=64", "proved T=16"]
    assert heard.told[-1] == "proved T=16"
    assert heard.progress == [(1, 2), (2, 2)]
    assert heard.reasons[0] == NothingKnown()
    assert heard.reasons.count(OnceMore()) == 1
    probed = [line for line in heard.told if "probing" in line]
    why = dict(zip(probed, heard.reasons, strict=True))[f"probing B={EDGE + 1} T=16"]
    assert isinstance(why, Predicted)
    assert why.limit_bytes == HEADER.limit_bytes
    assert why.between.low <= EDGE + 1


def test_certificates_are_recorded_as_they_come_and_answered_by_length():
    search = Search(FakeProbe())
    assert list(search.run(16, 128, 32)) == [16, 32, 128]
    assert [c.time_steps for c in search.whole.certificates] == [128, 16, 32]
    assert {c.request for c in search.whole.certificates} == {"r1"}


@pytest.mark.parametrize(
    ("lengths", "ordered"),
    [
        ((), []),
        ((7,), [7]),
        ((16, 32, 64, 128), [128, 16, 64, 32]),
        ((16, 16, 100), [100, 16]),
        ((10, 11, 12, 100), [100, 10, 12, 11]),
    ],
)
def test_the_longest_comes_first_then_the_farthest(lengths, ordered):
    assert order_of(lengths) == ordered


# within profile


@dataclass
class FakeCrew:
    """Workers on a processor, whose passes a probe answers."""

    probe: FakeProbe = field(default_factory=FakeProbe)
    found: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, task: protocol.Task, deadline_s: float) -> Answer:
        if task.do == "describe":
            found = {"facts": {"device": "cpu", "torch": "2.11"}, "sources": {}}
            return Answer(1, found, None, 0.1)
        return self.probe(task, deadline_s)


GRID = Grid((8, 16, 64), (16, 64))


def profiled(path: Path, **changes: Any) -> tuple[Run, FakeProbe]:
    limit = Settings(memory_limit=HEADER.limit_bytes)
    order = replace(Order(Workload(), GRID, limit, path / "run.jsonl"), **changes)
    reserve = order.settings.reserve_bytes
    supervisor = FakeCrew(FakeProbe(HEADER.limit_bytes - reserve))
    return run_order(order, Listener(), supervisor), supervisor.probe


def test_profile_proves_the_edges_inside_its_grid(tmp_path):
    run, probe = profiled(tmp_path)
    found = {c.time_steps: c for c in frontier_of(run)}
    inside = edge(MemoryLaw(), 64)
    assert 16 < inside < 64 < EDGE
    assert (found[16].status, found[16].batch) == (EdgeStatus.CAPPED, 64)
    assert (found[64].status, found[64].batch) == (EdgeStatus.CERTIFIED, inside)
    assert found[64].fits.train_steps_run == found[16].fits.train_steps_run == 10
    assert max(task.point.batch for task, _ in probe.asked) == 64
    grid = {o.attempt for o in run.observations if isinstance(o, Fit) and o.role is Role.GRID}
    assert len(grid & set(found[64].attempts)) == 3
    assert found[64].probes == len(found[64].attempts)


def test_profile_without_edges(tmp_path):
    settings = Settings(memory_limit=HEADER.limit_bytes, certify=False)
    run, _ = profiled(tmp_path, settings=settings)
    assert run.certificates == ()
    assert not [o for o in run.observations if isinstance(o, Fit) and o.role is Role.PROBE]


def test_a_smaller_grid_added_later_is_capped_by_itself(tmp_path):
    profiled(tmp_path)
    run, _ = profiled(tmp_path, grid=Grid((8,), (64,)), extend=True)
    certificate = {c.time_steps: c for c in frontier_of(run)}[64]
    assert (certificate.status, certificate.batch) == (EdgeStatus.CAPPED, 8)


def test_max_batch_alone_times_nothing(tmp_path):
    run, probe = profiled(tmp_path, command="max-batch", grid=Grid((), (16, 64)))
    found = {c.time_steps: c.batch for c in frontier_of(run)}
    assert found == {16: EDGE, 64: edge(MemoryLaw(), 64)}
    assert {task.do for task, _ in probe.asked} == {"fit"}
    assert run.is_finished


def test_the_reserve_is_taken_off_the_limit(tmp_path):
    settings = Settings(memory_limit=HEADER.limit_bytes, reserve_bytes=16 * MIB)
    run, probe = profiled(tmp_path, command="max-batch", grid=Grid((), (16,)), settings=settings)
    assert run.limit_bytes == HEADER.limit_bytes
    assert {task.limit_bytes for task, _ in probe.asked} == {48 * MIB}
    assert [c.batch for c in frontier_of(run)] == [edge(MemoryLaw(), 16, 48 * MIB)]


def test_a_reserve_that_leaves_nothing_is_refused(tmp_path):
    settings = Settings(memory_limit=HEADER.limit_bytes, reserve_bytes=HEADER.limit_bytes)
    with pytest.raises(BadInputError, match=r"--reserve 64\.0 MiB leaves nothing"):
        profiled(tmp_path, settings=settings)
