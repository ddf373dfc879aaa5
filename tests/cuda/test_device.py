"""The CUDA device and NVML as the passes ask of them, through the simulated GPU's library.

Each test runs in a fresh worker process of its own: a context, once made, stays.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from rnnprof.simulate.description import GpuDescription
from rnnprof.workload import FactorySource, Workload

FACTORIES = Path(__file__).with_name("asking.py")


@pytest.fixture(autouse=True)
def _simulated(gpu: GpuDescription | None) -> None:
    if gpu is None:
        pytest.skip("a real GPU is there: what is asked here is about a simulated one")


@pytest.fixture
def ask(card: Any) -> Any:
    """Run code in a fresh worker before any CUDA call; what it leaves in ``said`` comes back."""

    def run(code: str, fault: str = "") -> Any:
        source = FactorySource(
            "asking.py:make", "", {"code": textwrap.dedent(code), "fault": fault}
        )
        workload = Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=source)
        answer = card.ask("hello", workload, factory_path=f"{FACTORIES}:make")
        assert answer.evidence is None, answer.evidence
        check = card.ask("check", workload, factory_path=f"{FACTORIES}:make", batch=1, steps=1)
        assert check.evidence is not None
        message = check.evidence.message or ""
        assert message.startswith("said "), message
        return eval(message.partition(" (at ")[0].removeprefix("said "))

    return run


BEGIN = """
from rnnprof.worker.cuda import CudaDevice
device = CudaDevice("cuda", uuid)
device.ready()
MIB = 1 << 20
"""


def test_a_limit_and_its_peaks(ask: Any, gpu: GpuDescription) -> None:
    said = ask(
        BEGIN
        + """
limit = device.set_limit(100 * MIB)
before = limit.baseline()
tensor = torch.empty(60 * MIB, dtype=torch.uint8, device="cuda")
try:
    torch.empty(60 * MIB, dtype=torch.uint8, device="cuda")
    refused = False
except torch.OutOfMemoryError:
    refused = True
counted, peaks = limit.counted_bytes(), limit.peaks()
device.lift_limit()
more = torch.empty(60 * MIB, dtype=torch.uint8, device="cuda")
said = before, refused, counted, peaks, more.nbytes
"""
    )
    before, refused, counted, peaks, more = said
    assert before == {"baseline_bytes": 0, "context_bytes": gpu.context_bytes}
    assert refused
    assert counted == peaks["peak_counted_bytes"] == 60 << 20
    assert peaks["peak_process_bytes"] == gpu.context_bytes + (60 << 20)
    assert peaks["retries"] is None
    assert more == 60 << 20


def test_retries_are_counted_from_the_third_step_on(ask: Any) -> None:
    said = ask(
        BEGIN
        + """
limit = device.set_limit(100 * MIB)
for number in range(1, 4):
    block = torch.empty((30 + 10 * number) * MIB, dtype=torch.uint8, device="cuda")
    del block
    limit.stepped(number)
said = limit.peaks()["retries"]
"""
    )
    assert said == 1, "the third block does not fit beside what is cached"


def test_others_that_have_filled_the_gpu_are_told(ask: Any, gpu: GpuDescription) -> None:
    said = ask(
        BEGIN
        + f"""
from rnnprof.worker.devices import MachineShortError
try:
    device.set_limit({gpu.memory_bytes})
    said = ""
except MachineShortError as error:
    said = str(error)
"""
    )
    assert "others have taken memory since the run began" in said


def test_steps_run_back_to_back_event_to_event(ask: Any) -> None:
    said = ask(
        BEGIN
        + """
block = device.run_block(lambda: torch.zeros(8, device="cuda"), 5)
said = len(block.samples_s), len(block.enqueue_s), block.wait_s >= 0, block.last.numel()
"""
    )
    assert said == (5, 5, True, 8)


def test_conditions_have_the_gpu_and_no_drift_of_others(ask: Any, gpu: GpuDescription) -> None:
    said = ask(
        BEGIN
        + """
meter = device.meter()
kept = torch.empty(64 * MIB, dtype=torch.uint8, device="cuda")
found = meter.read()
after = found.device_after
said = found.others_drift_bytes, after.sm_clock_mhz, after.event_reasons, after.own_bytes
"""
    )
    drift, clock, reasons, own = said
    assert (drift, clock, reasons) == (0, gpu.sm_clock_mhz, ())
    assert own == gpu.context_bytes + (64 << 20)


def test_where_nvml_hides_processes_memory_is_known_by_growth(ask: Any) -> None:
    said = ask(
        BEGIN
        + """
kept = torch.empty(64 * MIB, dtype=torch.uint8, device="cuda")
said = device.watch.own_bytes()
""",
        fault="nvmlDeviceGetComputeRunningProcesses_v3:1:not_supported:sticky",
    )
    assert said[0] == 64 << 20, "the context was there before the device began to watch"
    assert "NVML hides the processes" in said[1]


def test_without_nvml_the_context_is_unknown(ask: Any) -> None:
    said = ask(
        BEGIN
        + """
survey, meter = device.survey(), device.meter()
drift = meter.read().others_drift_bytes
said = survey["context_bytes"], survey["context_note"], device.facts()["driver"], drift
""",
        fault="nvmlInit_v2:1:not_supported:sticky",
    )
    assert said[0] is said[3] is None
    assert "NVML does not" in said[1]
    assert said[2] is None


def test_a_broken_context_is_survived(ask: Any) -> None:
    said = ask(
        BEGIN
        + """
limit = device.set_limit(100 * MIB)
inject("cudaLaunchKernel:1:illegal_address")
try:
    torch.zeros(8, device="cuda").add_(1)
    device.synchronize()
    raised = False
except RuntimeError as error:
    raised = "illegal memory access" in str(error)
device.lift_limit()
said = raised, limit.limit_bytes
"""
    )
    assert said == (True, 100 << 20)


def test_a_gpu_that_is_not_there_is_named(ask: Any) -> None:
    said = ask(
        """
from rnnprof.worker.cuda import CudaDevice, DeviceMissingError
try:
    CudaDevice("cuda:1").ready()
    said = ""
except DeviceMissingError as error:
    said = str(error)
"""
    )
    assert "there is no cuda:1" in said


def test_nvml_lists_the_gpu_and_its_processes(ask: Any, gpu: GpuDescription) -> None:
    said = ask(
        BEGIN
        + """
import os
from rnnprof.machine.nvml import open_nvml, same_uuid, visible_cards
nvml, missing = open_nvml()
cards = nvml.cards()
named = (uuid, "0", "7", None, "0,0", "x", "0,7")
visible = [visible_cards(cards, each) for each in named]
nobody = nvml.others("GPU-none", 1)
conditions = nvml.read(uuid, os.getpid())
others = nvml.others(uuid, os.getpid())
unknown = nvml.read("GPU-none", 1).unknown
stranger = nvml.read(uuid, 1)
nvml.close()
said = (
    cards[0].uuid, cards[0].name, cards[0].memory_bytes, [len(each) for each in visible],
    conditions.own_bytes, sorted(conditions.unknown), others, bool(unknown),
    stranger.unknown.get("own_bytes"), same_uuid(uuid, uuid.removeprefix("GPU-")), nobody[0],
)
"""
    )
    uuid, name, memory, visible, own, unknown, others, is_unknown, stranger, same, nobody = said
    assert (uuid, name, memory) == (gpu.uuid, gpu.name, gpu.memory_bytes)
    assert visible == [1, 1, 0, 1, 0, 0, 1]
    assert nobody is None
    assert own == gpu.context_bytes
    assert unknown == ["power_limit_w", "power_w", "temperature_c"]
    assert others == ((), None)
    assert is_unknown
    assert "no such process" in stranger
    assert same


@pytest.mark.parametrize(
    ("fault", "said_of"),
    [
        ("nvmlDeviceGetCount_v2:1:internal_error:sticky", "cannot be counted"),
        ("nvmlDeviceGetHandleByIndex_v2:1:internal_error:sticky", "GPU 0 cannot be read"),
        ("nvmlDeviceGetName:1:internal_error:sticky", "GPU 0 cannot be read"),
    ],
)
def test_what_nvml_cannot_read_is_said(ask: Any, fault: str, said_of: str) -> None:
    said = ask(
        """
from rnnprof.machine.nvml import open_nvml
survey = open_nvml()[0].survey()
said = len(survey.cards), survey.skipped
""",
        fault=fault,
    )
    assert said[0] == 0
    assert said_of in said[1][0]
