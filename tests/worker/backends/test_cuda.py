"""The CUDA device against a fake GPU: limits, baselines, times, conditions, allocations."""

from __future__ import annotations

from typing import Any

import pytest

from fake_caching_allocator import FakeOutOfMemoryError
from fake_cuda import GIB, FakeCuda, FakeNvml
from rnnprof.points.noise import judge
from rnnprof.points.reasons import OthersTookMemory
from rnnprof.protocol import Task
from rnnprof.runfile.observations import DeviceConditions
from rnnprof.worker.backends.base import Device
from rnnprof.worker.backends.cuda import (
    HIDDEN,
    CudaDevice,
    DeviceMissingError,
    allocator_settings,
    others_drift,
    uuid_of,
)
from rnnprof.worker.session import open_device
from rnnprof.workload import Workload

MIB = 1 << 20
UUID = "GPU-11111111-2222-3333-4444-555555555555"


def device_on(cuda: FakeCuda, nvml: FakeNvml | None = None, name: str = "cuda") -> CudaDevice:
    answer: tuple[Any, str | None] = (nvml or FakeNvml(cuda), None)
    return CudaDevice(name, UUID, cuda, lambda: answer, cuda.clock)


def without_nvml(cuda: FakeCuda) -> CudaDevice:
    return CudaDevice("cuda", UUID, cuda, lambda: (None, "no NVIDIA driver"), cuda.clock)


def test_a_task_on_a_card_sees_that_card_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    device: Device = open_device(Task("fit", Workload(), device="cuda", device_uuid=UUID))
    assert isinstance(device, CudaDevice)
    import os

    assert os.environ["CUDA_VISIBLE_DEVICES"] == UUID


def test_a_card_named_by_number_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    device = open_device(Task("describe", Workload(), device="cuda:1"))
    assert str(device.torch_device) == "cuda:1"
    import os

    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_the_real_torch_here_has_no_card_and_says_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceMissingError, match=r"without CUDA|no CUDA device"):
        CudaDevice("cuda").ready()


@pytest.mark.parametrize(
    ("gpus", "name", "words"),
    [(0, "cuda", "no CUDA device"), (1, "cuda:1", "no cuda:1: torch sees 1 GPU")],
)
def test_a_card_that_is_not_there_is_named(gpus: int, name: str, words: str) -> None:
    with pytest.raises(DeviceMissingError, match=words):
        device_on(FakeCuda(gpus=gpus), name=name).ready()


def test_the_facts_identify_card_driver_and_libraries() -> None:
    facts = device_on(FakeCuda()).facts()
    assert facts["device"] == "cuda"
    assert facts["device_uuid"] == UUID
    assert facts["device_name"] == "NVIDIA Fake 16"
    assert facts["capability"] == "9.0"
    assert facts["device_memory_bytes"] == 16 * GIB
    assert facts["driver"] == "580.00"
    assert without_nvml(FakeCuda()).facts()["driver"] is None


@pytest.mark.parametrize(
    ("uuid", "name", "expected"),
    [
        ("abc", "NVIDIA H200", "GPU-abc"),
        ("abc", "NVIDIA H200 MIG 1g.18gb", "MIG-abc"),
        ("GPU-abc", "x", "GPU-abc"),
        ("", "x", None),
    ],
)
def test_uuids_take_nvmls_form(uuid: str, name: str, expected: str | None) -> None:
    assert uuid_of(type("GPU", (), {"uuid": uuid, "name": name})()) == expected


def test_the_survey_tells_context_and_free_memory_without_the_cache() -> None:
    cuda = FakeCuda(others_bytes=2 * GIB)
    device = device_on(cuda)
    device.ready()
    kept, dropped = cuda.allocator.malloc(8 * MIB), cuda.allocator.malloc(64 * MIB)
    cuda.allocator.free(dropped)
    survey = device.survey()
    assert survey["context_bytes"] == 512 * MIB
    assert survey["context_note"] is None
    assert survey["total_bytes"] == 16 * GIB
    # the library's 8 MiB stay reserved, and can be used by training
    assert survey["free_bytes"] == 16 * GIB - 2 * GIB - 512 * MIB
    cuda.allocator.free(kept)


def test_where_nvml_hides_processes_the_context_is_known_by_drift() -> None:
    cuda = FakeCuda(others_bytes=2 * GIB)
    device = device_on(cuda, FakeNvml(cuda, hides_processes=True))
    device.ready()
    survey = device.survey()
    assert (survey["context_bytes"], survey["context_note"]) == (512 * MIB, HIDDEN)


def test_without_nvml_the_context_is_unknown_and_says_why() -> None:
    device = without_nvml(FakeCuda())
    device.ready()
    survey = device.survey()
    assert survey["context_bytes"] is None
    assert "no NVIDIA driver" in survey["context_note"]


def test_the_limit_is_the_allocators_and_leaves_the_context_out() -> None:
    cuda = FakeCuda()
    device = device_on(cuda)
    device.ready_for_fit()
    workspace = cuda.allocator.malloc(8 * MIB)
    limit = device.set_limit(100 * MIB)
    assert cuda.allocator.limit == 100 * MIB
    assert limit.baseline() == {
        "baseline_bytes": cuda.allocator.reserved, "context_bytes": 512 * MIB,
    }  # fmt: skip
    with pytest.raises(FakeOutOfMemoryError):
        cuda.allocator.malloc(101 * MIB)
    assert cuda.allocator.malloc(60 * MIB)
    device.lift_limit()
    assert cuda.fraction == 1.0
    cuda.allocator.free(workspace)


def test_the_peaks_are_of_the_time_under_the_limit() -> None:
    cuda = FakeCuda()
    device = device_on(cuda)
    device.ready_for_fit()
    before = cuda.allocator.malloc(400 * MIB)
    cuda.allocator.free(before)
    limit = device.set_limit(300 * MIB)
    tensor = cuda.allocator.malloc(200 * MIB)
    cuda.allocator.free(tensor)
    peaks = limit.peaks()
    assert peaks["peak_allocated_bytes"] == 200 * MIB
    assert peaks["peak_charged_bytes"] == 200 * MIB
    # the allocator keeps what was freed: the process still holds it
    assert peaks["peak_process_bytes"] == (512 + 200) * MIB
    assert peaks["peak_process_reason"] is None


def test_retries_count_from_the_third_step_on() -> None:
    cuda = FakeCuda()
    device = device_on(cuda)
    device.ready_for_fit()
    limit = device.set_limit(300 * MIB)
    cuda.retries = 2
    limit.stepped(1)
    assert limit.peaks()["retries"] is None
    limit.stepped(2)
    cuda.retries = 5
    limit.stepped(3)
    assert limit.peaks()["retries"] == 3
    assert device.least_fit_steps >= 3


def test_a_card_that_others_have_filled_is_not_out_of_memory() -> None:
    cuda = FakeCuda(others_bytes=15 * GIB)
    device = device_on(cuda)
    device.ready_for_fit()
    limit = device.set_limit(1 * GIB)
    assert limit.limit_bytes == GIB
    assert limit.free_bytes is not None
    assert limit.free_bytes < GIB
    assert device.set_limit(64 * MIB).free_bytes is None


def test_nvml_is_opened_by_ready_and_by_nothing_else() -> None:
    opened = []
    cuda = FakeCuda()

    def opener() -> tuple[Any, str | None]:
        opened.append(cuda.has_context)
        return FakeNvml(cuda), None

    device = CudaDevice("cuda", UUID, cuda, opener, cuda.clock)
    with pytest.raises(AssertionError, match=r"ready\(\) opens it"):
        _ = device.watch
    assert opened == []
    device.ready()
    device.ready()
    assert opened == [False], "once, before there is a context"
    assert device.watch.before_bytes == 0


def test_a_broken_context_is_survived() -> None:
    cuda = FakeCuda()
    device = device_on(cuda)
    device.ready_for_fit()
    limit = device.set_limit(GIB)
    cuda.broken = True
    assert limit.charged_bytes() is None
    device.lift_limit()  # does not raise
    with pytest.raises(RuntimeError, match="device-side assert"):
        device.synchronize()


def test_steps_are_timed_event_to_event_and_the_host_apart() -> None:
    cuda = FakeCuda()
    device = device_on(cuda)
    device.ready()
    block = device.run_block(cuda.stepping(host_s=1e-3, card_s=4e-3), 10)
    assert len(block.samples_s) == len(block.enqueue_s) == 10
    assert block.enqueue_s == pytest.approx([1e-3] * 10)
    assert block.samples_s[1:] == pytest.approx([4e-3] * 9)
    # the host was done after 10 ms, the GPU after 1 + 10 x 4
    assert block.wait_s == pytest.approx(31e-3)
    assert block.last == "loss"


def test_a_launch_bound_block_is_hardly_waited_for() -> None:
    cuda = FakeCuda()
    device = device_on(cuda)
    device.ready()
    block = device.run_block(cuda.stepping(host_s=4e-3, card_s=1e-4), 10)
    assert block.samples_s[1:] == pytest.approx([4e-3] * 9)
    assert block.wait_s == pytest.approx(1e-4)


def test_conditions_carry_the_card_and_the_growth_of_others() -> None:
    cuda = FakeCuda(others_bytes=GIB)
    device = device_on(cuda)
    device.ready()
    meter = device.meter()
    cuda.allocator.malloc(64 * MIB)
    cuda.others_bytes += 300 * MIB
    conditions = meter.read()
    assert conditions.others_drift_bytes == 300 * MIB
    assert conditions.device_before is not None
    assert conditions.device_after is not None
    assert conditions.device_after.sm_clock_mhz == 1980
    assert judge(conditions) == OthersTookMemory(300 * MIB)


def test_our_own_growth_is_not_others_where_processes_are_hidden() -> None:
    cuda = FakeCuda()
    device = device_on(cuda, FakeNvml(cuda, hides_processes=True))
    device.ready()
    meter = device.meter()
    cuda.allocator.malloc(64 * MIB)
    assert meter.read().others_drift_bytes == 0


def test_a_drift_that_cannot_be_known_is_unknown() -> None:
    assert others_drift(DeviceConditions(), DeviceConditions(used_bytes=5), 0) is None


def test_the_trace_keeps_what_was_asked_for_in_order() -> None:
    cuda = FakeCuda()
    trace = device_on(cuda).trace
    trace.begin()
    first = cuda.allocator.malloc(1000)
    second = cuda.allocator.malloc(3 * MIB + 1)
    cuda.allocator.free(first)
    history = trace.history()
    assert history.requests == [(first, 1000), (second, 3 * MIB + 1)]
    assert history.frees == [first]
    assert trace.live_addresses() == {second}
    peaks = trace.peaks()
    assert peaks["peak_allocated_bytes"] == cuda.allocator.peak
    assert peaks["peak_reserved_bytes"] == cuda.allocator.reserved_peak


def test_a_trace_that_has_ended_records_no_more() -> None:
    cuda = FakeCuda()
    trace = device_on(cuda).trace
    trace.begin()
    trace.end()
    cuda.allocator.malloc(1000)
    assert trace.history().requests == []


def test_a_block_that_ends_early_has_the_steps_so_far() -> None:
    cuda = FakeCuda()
    device = device_on(cuda)
    device.ready()
    step = cuda.stepping(host_s=1e-3, card_s=4e-3)
    block = device.begin_block(10)
    for _ in range(3):
        step()
        block.mark()
    ended = block.end("last")
    assert len(ended.samples_s) == len(ended.enqueue_s) == 3
    assert ended.last == "last"


def test_the_allocators_settings_are_told_by_the_newer_name_first() -> None:
    assert allocator_settings({}) == ""
    assert allocator_settings({"PYTORCH_CUDA_ALLOC_CONF": "a:1"}) == "a:1"
    both = {"PYTORCH_CUDA_ALLOC_CONF": "a:1", "PYTORCH_ALLOC_CONF": "b:2"}
    assert allocator_settings(both) == "b:2"
