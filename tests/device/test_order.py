"""``profile`` on a GPU, without one: workers asked, pinned, surveyed; the GPU locked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest

from fakes import FakeProbe
from rnnprof import protocol
from rnnprof.device.locks import gpu_lock
from rnnprof.engine.identity import GpuSurvey, resolve_gpu_limit
from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.engine.supervisor import Answer
from rnnprof.errors import BadInputError, NoDeviceError, RunFileError, WorkerStartError
from rnnprof.jobs import run_order
from rnnprof.outcomes import Evidence
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Header, Settings
from rnnprof.workload import Workload

GIB = 1 << 30
MIB = 1 << 20
UUID = "GPU-00000000-1111-2222-3333-444444444444"
FACTS = {"device": "cuda", "device_name": "NVIDIA Fake 16", "device_uuid": UUID, "torch": "2.11"}
SURVEY = {
    "free_bytes": 15 * GIB, "total_bytes": 16 * GIB, "context_bytes": 600 * MIB,
    "context_note": None, "warm_up_note": None,
}  # fmt: skip


@dataclass
class FakeCrew:
    """Workers on a GPU that is not there."""

    facts: dict[str, Any] = field(default_factory=lambda: dict(FACTS))
    survey: dict[str, Any] = field(default_factory=lambda: dict(SURVEY))
    hello_error: Evidence | None = None
    probe: FakeProbe = field(default_factory=FakeProbe)
    found: dict[str, Any] = field(default_factory=dict)
    asked: list[protocol.Task] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, task: protocol.Task, deadline_s: float) -> Answer:
        self.asked.append(task)
        if task.do == "describe":
            found = {"facts": self.facts, "sources": {}}
            return Answer(1, {} if self.hello_error else found, self.hello_error, 0.1)
        if task.do == "survey":
            return Answer(2, self.survey, None, 0.1)
        return self.probe(task, deadline_s)


def order(path: Path, **changes: Any) -> Order:
    plain = Order(
        Workload(), Grid((8, 16), (16, 32)), Settings(), path / "run.jsonl", device="cuda:0"
    )
    return replace(plain, **changes)


def run(path: Path, supervisor: FakeCrew, **changes: Any) -> Any:
    return run_order(order(path, **changes), Listener(), supervisor)


@pytest.fixture(autouse=True)
def _locks_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_once_the_card_is_known_every_worker_is_pinned_to_it(tmp_path: Path) -> None:
    supervisor = FakeCrew()
    found = run(tmp_path, supervisor)
    hello, survey, *passes = supervisor.asked
    assert (hello.do, hello.device, hello.device_uuid) == ("describe", "cuda:0", None)
    assert (survey.do, survey.device, survey.device_uuid) == ("survey", "cuda", UUID)
    assert {(task.device, task.device_uuid) for task in passes} == {("cuda", UUID)}
    assert {task.precision_ratio for task in passes} == {0.01}
    assert (found.header.limit_bytes, found.limit_bytes) == (None, 15 * GIB)
    assert found.header.environment["device_name"] == "NVIDIA Fake 16"
    assert "device_uuid" not in found.header.environment
    assert found.hosts[0].facts["device_uuid"] == UUID
    assert found.hosts[0].facts["processor_name"]


def test_on_the_cpu_nothing_is_surveyed(tmp_path: Path) -> None:
    supervisor = FakeCrew(facts={"device": "cpu", "torch": "2.11"})
    run(tmp_path, supervisor, device="cpu")
    assert "survey" not in {task.do for task in supervisor.asked}
    assert {(task.device, task.device_uuid) for task in supervisor.asked} == {("cpu", None)}
    assert {task.precision_ratio for task in supervisor.asked} == {0.03}


def test_a_card_stood_for_is_its_size_less_the_context(tmp_path: Path) -> None:
    found = run(tmp_path, FakeCrew(), settings=Settings(gpu_memory_bytes=8 * GIB))
    assert found.limit_bytes == 8 * GIB - 600 * MIB
    assert (found.header.limit_bytes, found.header.gpu_memory_bytes) == (None, 8 * GIB)


def test_a_card_cannot_be_stood_for_by_a_processor(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="this run is on the CPU"):
        run(tmp_path, FakeCrew(), device="cpu", settings=Settings(gpu_memory_bytes=8 * GIB))


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        (Settings(memory_limit=20 * GIB), {}, "more than this GPU can give now: 15.0 GiB of"),
        (Settings(gpu_memory_bytes=24 * GIB), {}, "more than this GPU can give now"),
        (Settings(gpu_memory_bytes=500 * MIB), {}, "the context alone takes 600 MiB"),
        (
            Settings(gpu_memory_bytes=8 * GIB),
            {"context_bytes": None, "context_note": "no driver"},
            r"is unknown \(no driver\)",
        ),
    ],
)
def test_a_limit_that_cannot_be_is_told(
    settings: Settings, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInputError, match=words):
        resolve_gpu_limit(settings, None, GpuSurvey(**{**SURVEY, **changes}))


def test_a_run_is_resumed_under_its_own_limit(tmp_path: Path) -> None:
    first = run(tmp_path, FakeCrew())
    supervisor = FakeCrew(survey={**SURVEY, "free_bytes": 15 * GIB + MIB})
    again = run(tmp_path, supervisor, extend=True, grid=Grid((8, 16, 32), (16, 32)))
    assert again.header == first.header


def test_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path, FakeCrew())
    other = FakeCrew(facts={**FACTS, "device_name": "NVIDIA Fake 24"})
    with pytest.raises(RunFileError, match="device_name: 'NVIDIA Fake 16' in the file"):
        run(tmp_path, other, extend=True)


def test_another_gpu_of_the_same_model_goes_on(tmp_path: Path) -> None:
    run(tmp_path, FakeCrew())
    uuid = UUID.replace("4", "5")
    found = run(tmp_path, FakeCrew(facts={**FACTS, "device_uuid": uuid}), extend=True)
    assert [host.facts["device_uuid"] for host in found.hosts] == [UUID, uuid]


def missing(message: str) -> FakeCrew:
    evidence = Evidence(phase="factory", error_type="DeviceMissingError", message=message)
    return FakeCrew(hello_error=evidence)


def test_a_card_that_torch_does_not_see_is_no_device(tmp_path: Path) -> None:
    with pytest.raises(NoDeviceError, match="--device cuda:0: torch sees no CUDA device"):
        run(tmp_path, missing("torch sees no CUDA device"))


def test_a_worker_that_dies_at_hello_is_told(tmp_path: Path) -> None:
    supervisor = FakeCrew(hello_error=Evidence(signal=11))
    with pytest.raises(WorkerStartError, match="SIGSEGV"):
        run(tmp_path, supervisor)


def test_two_runs_do_not_share_a_card(tmp_path: Path) -> None:
    with gpu_lock(UUID):
        with pytest.raises(NoDeviceError, match="another rnnprof is measuring on GPU-0000"):
            run(tmp_path, FakeCrew())
        with gpu_lock("GPU-another"):
            pass
    assert isinstance(run(tmp_path, FakeCrew()).header, Header)


def test_the_cpu_needs_no_lock(tmp_path: Path) -> None:
    with gpu_lock(None, tmp_path), gpu_lock(None, tmp_path):
        assert not list(tmp_path.iterdir())
