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
def ask(workers: Any) -> Any:
    """Run code in a fresh worker before any CUDA call; what it leaves in ``said`` comes back."""

    def run(code: str, fault: str = "") -> Any:
        source = FactorySource("asking.py:make", {"code": textwrap.dedent(code), "fault": fault})
        workload = Workload(cell=None, input_size=0, hidden_size=0, layers=0, factory=source)
        answer = workers.ask("describe", workload, factory_path=f"{FACTORIES}:make")
        assert answer.evidence is None, answer.evidence
        check = workers.ask(
            "check", workload, factory_path=f"{FACTORIES}:make", batch=1, time_steps=1
        )
        assert check.evidence is not None
        printed = check.evidence.log_tail.splitlines()
        assert printed, check.evidence
        assert printed[-1].startswith("said "), check.evidence
        return eval(printed[-1].removeprefix("said "))

    return run


BEGIN = """
from rnnprof.worker.backends.cuda import CudaDevice
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
counted, peaks = limit.charged_bytes(), limit.peaks()
device.lift_limit()
more = torch.empty(60 * MIB, dtype=torch.uint8, device="cuda")
said = before, refused, counted, peaks, more.nbytes
"""
    )
    before, refused, counted, peaks, more = said
    assert before == {"baseline_bytes": 0, "context_bytes": gpu.context_bytes}
    assert refused
    assert counted == peaks["peak_charged_bytes"] == 60 << 20
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
said = device.set_limit({gpu.memory_bytes}).free_bytes
"""
    )
    assert 0 < said < gpu.memory_bytes


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
from rnnprof.worker.backends.cuda import CudaDevice, DeviceMissingError
try:
    CudaDevice("cuda:1").ready()
    said = ""
except DeviceMissingError as error:
    said = str(error)
"""
    )
    assert "there is no cuda:1" in said


def test_where_the_pinned_gpu_is_gone_torch_sees_none(workers: Any) -> None:
    evidence = workers.ask("survey", device_uuid="GPU-00000000").evidence
    assert evidence is not None
    assert "torch sees no CUDA device" in (evidence.message or "")


def test_nvml_lists_the_gpu_and_its_processes(ask: Any, gpu: GpuDescription) -> None:
    said = ask(
        BEGIN
        + """
import os
from rnnprof.device.nvml import open_nvml, same_uuid, visible_cards
nvml, missing = open_nvml()
gpus = nvml.gpus()
named = (uuid, "0", "7", None, "0,0", "x", "0,7")
visible = [visible_cards(gpus, each) for each in named]
nobody = nvml.others("GPU-none", 1)
conditions = nvml.read(uuid, os.getpid())
others = nvml.others(uuid, os.getpid())
unknown = nvml.read("GPU-none", 1).unknown
stranger = nvml.read(uuid, 1)
nvml.close()
said = (
    gpus[0].uuid, gpus[0].name, gpus[0].memory_bytes, [len(each) for each in visible],
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
    assert "does not list this process" in stranger
    assert same


NVML = """
import os
from rnnprof.device.nvml import open_nvml
nvml = open_nvml()[0]
MIB = 1 << 20
def conditions():
    found = nvml.read(uuid, os.getpid())
    return {name: getattr(found, name) for name in found.__slots__}
"""
FIELDS = {
    "sm_clock_mhz", "max_sm_clock_mhz", "memory_clock_mhz", "temperature_c", "power_w",
    "power_limit_w", "event_reasons", "used_bytes", "own_bytes",
}  # fmt: skip
EVERYTHING = "temperature_c=61;power_mw=250500;power_limit_mw=400000"

NO_PERMISSION = "NVML: Insufficient Permissions"
UNREADABLE = {
    "nvmlDeviceGetCount_v2:1": f"the GPUs cannot be counted: {NO_PERMISSION}",
    "nvmlDeviceGetHandleByIndex_v2:1": f"GPU 0 cannot be read: {NO_PERMISSION}",
    "nvmlDeviceGetName:1": f"GPU 0 cannot be read: {NO_PERMISSION}",
    "nvmlDeviceGetMaxMigDeviceCount:1": (
        f"the MIG devices of GPU 0 cannot be counted: {NO_PERMISSION}"
    ),
    "nvmlDeviceGetMigDeviceHandleByIndex:3": (
        f"MIG device 2 of GPU 0 cannot be read: {NO_PERMISSION}"
    ),
    "nvmlDeviceGetUUID:3": f"MIG device of GPU 0 cannot be read: {NO_PERMISSION}",
}


def test_what_nvml_cannot_read_is_reported(ask: Any) -> None:
    said = ask(
        NVML
        + f"""
set_nvml("slices=4096,0,8192")
said = {{}}
for call in {list(UNREADABLE)}:
    inject(call + ":no_permission")
    survey = nvml.survey()
    said[call] = len(survey.gpus), survey.skipped
"""
    )
    assert {call: skipped for call, (_, skipped) in said.items()} == {
        call: (sentence,) for call, sentence in UNREADABLE.items()
    }
    assert [workers_of for workers_of, _ in said.values()] == [0, 0, 0, 1, 2, 2]


def test_a_gpu_in_mig_mode_stands_for_its_first_slice(ask: Any, gpu: GpuDescription) -> None:
    said = ask(
        NVML
        + """
from rnnprof.device.nvml import visible_cards
kept = torch.empty(64 * MIB, dtype=torch.uint8, device="cuda")
set_nvml("slices=5368709120,0,10737418240")
gpus = nvml.gpus()
described = [(gpu.uuid, gpu.name, gpu.memory_bytes, gpu.parent_uuid) for gpu in gpus]
_, first, second = gpus
named = ("0", uuid, first.uuid, second.uuid, "0," + first.uuid)
visible = [[gpu.uuid for gpu in visible_cards(gpus, each)] for each in named]
used = [nvml.read(gpu.uuid.removeprefix("MIG-"), os.getpid()) for gpu in (first, second)]
unknown = used[0].unknown
used = [(each.used_bytes, each.own_bytes) for each in used]
by_uuid = open_nvml()[0].read(second.uuid.removeprefix("MIG-"), 1).used_bytes
set_nvml("slices=0")
empty = nvml.gpus()
said = described, visible, used, unknown, by_uuid, len(empty), visible_cards(empty, "0")
"""
    )
    described, visible, used, unknown, by_uuid, empty_cards, empty_visible = said
    whole, first, second = (uuid for uuid, *_ in described)
    assert whole == gpu.uuid
    assert first != second
    assert [rest for _, *rest in described] == [
        [gpu.name, gpu.memory_bytes, None],
        [f"{gpu.name} MIG", 5 << 30, whole],
        [f"{gpu.name} MIG", 10 << 30, whole],
    ]
    assert visible == [[first], [first], [first], [second], []]
    own_bytes = gpu.context_bytes + (64 << 20)
    assert used == [(own_bytes, own_bytes), (0, None)]
    assert unknown == dict.fromkeys(FIELDS - {"used_bytes", "own_bytes"}, "NVML: Not Supported")
    assert by_uuid == 0
    assert (empty_cards, empty_visible) == (1, ())


def test_other_processes_are_listed_and_their_growth_is_drift(ask: Any) -> None:
    said = ask(
        BEGIN
        + """
import os
kept = [torch.empty(64 * MIB, dtype=torch.uint8, device="cuda")]
drifts, others, own = [], [], []
for hidden in ("", ";hides_memory=1"):
    set_nvml("processes=4711:1048576" + hidden)
    meter = device.meter()
    kept.append(torch.empty(64 * MIB, dtype=torch.uint8, device="cuda"))
    set_nvml(f"processes=4711:{256 * MIB},4712:{MIB}" + hidden)
    drifts.append(meter.read().others_drift_bytes)
    found = device.watch.nvml.others(uuid, os.getpid())[0]
    others.append([(each.pid, each.used_bytes) for each in found])
    own.append(device.watch.own_bytes())
said = drifts, others, own
"""
    )
    drifts, others, own = said
    assert drifts == [256 << 20] * 2
    assert others == [[(4711, 256 << 20), (4712, 1 << 20)], [(4711, None), (4712, None)]]
    assert own[0][1] is None
    assert "NVML hides the processes" in own[1][1]


def test_a_gpu_that_is_slowed_down_is_reported_also_by_an_older_driver(
    ask: Any, gpu: GpuDescription
) -> None:
    said = ask(
        NVML
        + f"""
set_nvml("sm_clock_mhz=705;event_reasons={0x8 | 0x40 | 0x1000};{EVERYTHING}")
now = conditions()
refused = "nvmlDeviceGetTemperature", "nvmlDeviceGetCurrentClocksEventReasons"
inject(",".join(name + ":1:not_supported" for name in refused))
said = now, conditions()
"""
    )
    now, older = said
    assert now == older
    assert (now["sm_clock_mhz"], now["max_sm_clock_mhz"]) == (705, gpu.sm_clock_mhz)
    assert now["memory_clock_mhz"] == gpu.memory_clock_mhz
    assert now["event_reasons"] == ("HwSlowdown", "HwThermalSlowdown", "0x1000")
    assert (now["temperature_c"], now["power_w"], now["power_limit_w"]) == (61, 250.5, 400.0)


REFUSALS = {
    "nvmlDeviceGetClockInfo": {"sm_clock_mhz", "memory_clock_mhz"},
    "nvmlDeviceGetMaxClockInfo": {"max_sm_clock_mhz"},
    "nvmlDeviceGetPowerUsage": {"power_w"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_w"},
    "nvmlDeviceGetComputeRunningProcesses_v3": {"own_bytes"},
}


def test_a_refusal_costs_its_own_field_and_a_lost_gpu_costs_all(ask: Any) -> None:
    said = ask(
        NVML
        + f"""
torch.zeros(8, device="cuda")
set_nvml("{EVERYTHING}")
refused = []
for name in {list(REFUSALS)}:
    inject(name + ":1:no_permission:sticky")
    refused.append(conditions())
inject("nvmlDeviceGetClockInfo:1:device_lost")
lost = conditions()
others, driver = nvml.others(uuid, os.getpid()), nvml.driver_version()
said = refused, lost, others, driver, nvml.survey().skipped
"""
    )
    refused, lost, others, driver, skipped = said
    for seen, fields in zip(refused, REFUSALS.values(), strict=True):
        assert seen.pop("unknown") == dict.fromkeys(fields, NO_PERMISSION)
        assert {name for name, value in seen.items() if value is None} == fields
    gone = "NVML: GPU is lost"
    assert lost == dict.fromkeys(FIELDS) | {"unknown": dict.fromkeys(FIELDS, gone)}
    assert others == (None, gone)
    assert driver == "simulated"
    assert skipped == (f"GPU 0 cannot be read: {gone}",)


def test_an_older_driver_counts_its_reserve_and_the_version_is_kept(ask: Any) -> None:
    said = ask(
        NVML
        + """
kept = torch.empty(64 * MIB, dtype=torch.uint8, device="cuda")
set_nvml("reserved_bytes=629145600")
def used_bytes(nvml):
    found = nvml.read(uuid, os.getpid())
    return found.used_bytes, found.own_bytes, found.unknown.get("used_bytes")
newer, older = nvml, open_nvml()[0]
said = [used_bytes(newer)]
inject("nvmlDeviceGetMemoryInfo_v2:1:not_supported:sticky")
said += [used_bytes(newer), used_bytes(older)]
inject("")
said += [used_bytes(newer), used_bytes(older)]
"""
    )
    own_bytes = said[0][1]
    newer, older = (own_bytes, own_bytes, None), (own_bytes + (600 << 20), own_bytes, None)
    assert said == [newer, (None, own_bytes, "NVML: Not Supported"), older, newer, older]


def test_why_nvml_cannot_be_used_has_a_kind(ask: Any) -> None:
    said = ask(
        """
import os
from rnnprof.device.nvml import Nvml, open_nvml
said = {}
for error in ("not_supported", "no_permission", "version_mismatch", "internal_error"):
    inject("nvmlInit_v2:1:" + error)
    missing = Nvml.open()
    said[error] = missing.kind, missing.reason
opened = open_nvml()
said["then"] = opened[0] is not None, opened[1]
del os.environ["RNNPROF_SIMULATED_GPU"]
inject("")
said["no GPU"] = Nvml.open().kind, open_nvml()[1]
"""
    )
    assert said == {
        "not_supported": ("not_supported", "NVML does not support this machine"),
        "no_permission": ("no_permission", "this user has no permission to use the NVIDIA driver"),
        "version_mismatch": (
            "version_mismatch", "the NVIDIA driver in the kernel and its library differ in version",
        ),
        "internal_error": ("other", "NVML: Unknown Error"),
        "then": (True, None),
        "no GPU": ("driver_not_loaded", "the NVIDIA driver is installed but not loaded"),
    }  # fmt: skip
