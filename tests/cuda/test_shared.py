"""One worker for the passes of many points: it goes on only where it gave everything back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cuda.conftest import Gpu
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import classify
from rnnprof.runfile.points import Outcome
from rnnprof.simulate.description import GpuDescription
from rnnprof.units import MIB
from rnnprof.workload import FactorySource, workload_of

FACTORIES = Path(__file__).with_name("leftovers.py")

PEAK_RATIO = 0.05
"""A shared worker's reserve differs by what cuBLAS and cuDNN keep from the warm-up; allocated bytes
differ by nothing."""


@pytest.fixture
def own(gpu: GpuDescription | None) -> Iterator[Gpu]:
    with Supervisor(gpu=gpu) as supervisor:
        yield Gpu(supervisor)


def of_factory(**args: Any) -> dict[str, Any]:
    workload = workload_of(FactorySource(f"{FACTORIES}:make", args))
    return {"workload": workload, "factory_path": f"{FACTORIES}:make"}


def outcome_of(answer: Answer) -> Outcome:
    return Outcome.MEASURED if answer.evidence is None else classify(answer.evidence).outcome


def is_alive(supervisor: Supervisor) -> bool:
    worker = supervisor._resting
    return worker is not None and worker.pid is not None and Path(f"/proc/{worker.pid}").exists()


def test_passes_of_many_points_share_a_worker(own: Gpu) -> None:
    points = [(8, 16), (64, 32), (8, 16), (256, 64)]
    answers = [
        own.ask(do, batch=batch, time_steps=time_steps, is_shared=True)
        for batch, time_steps in points
        for do in ("fit", "memory")
    ]
    assert [outcome_of(answer) for answer in answers] == [Outcome.MEASURED] * 8
    assert {answer.worker for answer in answers} == {answers[0].worker}
    assert [answer.earlier_tasks for answer in answers] == [*range(8)]
    assert all(answer.resting is not None and answer.resting.is_clean for answer in answers)


def test_its_peaks_are_nearly_those_of_fresh_workers(own: Gpu) -> None:
    for batch in (16, 128, 512):
        own.ask("fit", batch=4, is_shared=True)
        shared = own.measured("fit", batch=batch, is_shared=True)
        fresh = own.measured("fit", batch=batch)
        reserved = fresh["peak_charged_bytes"]
        assert shared["peak_charged_bytes"] == pytest.approx(reserved, rel=PEAK_RATIO)
        kept = shared["peak_allocated_bytes"] - fresh["peak_allocated_bytes"]
        assert abs(kept) <= PEAK_RATIO * fresh["peak_allocated_bytes"]


def test_it_goes_on_after_out_of_memory(own: Gpu) -> None:
    first = own.ask("fit", is_shared=True)
    short = own.ask("fit", batch=4096, limit_bytes=64 * MIB, is_shared=True)
    after = own.ask("fit", is_shared=True)
    assert [outcome_of(each) for each in (first, short, after)] == [
        Outcome.MEASURED, Outcome.OOM, Outcome.MEASURED,
    ]  # fmt: skip
    assert first.worker == short.worker == after.worker
    assert after.findings["peak_charged_bytes"] == first.findings["peak_charged_bytes"]


def test_one_that_holds_a_tensor_is_not_used_again(own: Gpu) -> None:
    first = own.ask("fit", **of_factory(keeps=3 * MIB), is_shared=True)
    assert first.resting is not None
    assert first.resting.allocated_bytes >= 3 * MIB
    assert first.resting.reserved_bytes > 0
    second = own.ask("fit", is_shared=True)
    assert second.worker != first.worker
    assert (second.earlier_tasks, outcome_of(second)) == (0, Outcome.MEASURED)


def test_one_that_leaves_a_process_running_is_not_used_again(own: Gpu) -> None:
    answers = [own.ask("fit", **of_factory(runs_on=True), is_shared=True) for _ in range(2)]
    assert [outcome_of(answer) for answer in answers] == [Outcome.MEASURED] * 2
    assert [answer.earlier_tasks for answer in answers] == [0, 0]
    assert answers[0].worker != answers[1].worker


def test_what_fails_only_in_a_used_worker_is_run_in_a_fresh_one(own: Gpu) -> None:
    once = of_factory(only_once=True)
    answers = [own.ask("fit", **once, is_shared=True) for _ in range(3)]
    assert [outcome_of(answer) for answer in answers] == [Outcome.MEASURED] * 3
    # the second was repeated; from then on nothing is shared
    assert [answer.earlier_tasks for answer in answers] == [0, None, None]
    assert len({answer.worker for answer in answers}) == 3


def test_what_fails_in_a_fresh_worker_too_is_the_result(own: Gpu) -> None:
    own.ask("fit", is_shared=True)
    broken = own.ask("fit", **of_factory(breaks=True), is_shared=True)
    assert outcome_of(broken) is Outcome.CRASHED
    assert broken.earlier_tasks is None
    after = [own.ask("fit", is_shared=True) for _ in range(2)]
    assert [answer.earlier_tasks for answer in after] == [0, 1]


def test_a_worker_that_dies_costs_one_attempt(own: Gpu) -> None:
    dying = of_factory(dies_at=2)
    answers = [own.ask("fit", **dying, is_shared=True) for _ in range(2)]
    assert [outcome_of(answer) for answer in answers] == [Outcome.MEASURED] * 2
    assert answers[1].earlier_tasks is None


def test_a_proof_finds_no_other_context(own: Gpu) -> None:
    shared = own.ask("fit", is_shared=True)
    assert is_alive(own.supervisor)
    pid = own.supervisor._resting.pid  # type: ignore[union-attr]
    fresh = own.ask("fit")
    assert (fresh.earlier_tasks, outcome_of(fresh)) == (None, Outcome.MEASURED)
    assert fresh.worker != shared.worker
    assert not is_alive(own.supervisor)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_factory_that_reads_the_gpu_is_refused_in_a_shared_worker_too(own: Gpu) -> None:
    source = Path(__file__).with_name("faulty_gpu.py")
    workload = workload_of(FactorySource(f"{source}:reads_lengths"))
    changes = {"workload": workload, "factory_path": f"{source}:reads_lengths", "is_shared": True}
    assert outcome_of(own.ask("fit", **changes)) is Outcome.UNSUPPORTED
    assert outcome_of(own.ask("fit", is_shared=True)) is Outcome.MEASURED
