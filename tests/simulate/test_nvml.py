"""NVML's answers for the described GPU, asked as rnnprof asks."""

from __future__ import annotations

import pytest

from rnnprof.simulate.description import MOST_NAME_LENGTH, describe, models
from rnnprof.units import GIB, MIB
from simulate.compiled import needs_compiler
from simulate.in_child import Child

pytestmark = needs_compiler
pytest.importorskip("pynvml")

OWN = "memory=16GiB,sms=40,capability=7.5,context=100MiB,others=2GiB"
ASK = """
import pynvml as n
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
def refused(call, *arguments):
    try:
        return [call(*arguments)]
    except n.NVMLError as error:
        return error.value
"""


def test_a_process_without_the_runtime_hears_of_the_gpu(child: Child) -> None:
    code = f"""{ASK}
memory = n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2)
same = n.nvmlDeviceGetHandleByUUID(gpu.uuid)
say([n.nvmlDeviceGetCount(), n.nvmlDeviceGetName(h), n.nvmlDeviceGetUUID(same),
     [memory.total, memory.used, memory.free], n.nvmlDeviceGetMemoryInfo(h).used,
     n.nvmlDeviceGetComputeRunningProcesses(h), n.nvmlSystemGetDriverVersion()])
"""
    gpu = describe(OWN)
    count, name, uuid, memory, used_v1, processes, driver = child(code, gpu=OWN, nvml_only=True)
    assert (count, name, uuid, driver) == (1, gpu.name, gpu.uuid, "simulated")
    assert memory == [16 * GIB, 2 * GIB, 14 * GIB]
    assert used_v1 == 2 * GIB
    assert processes == []


def test_the_longest_name_is_read(child: Child) -> None:
    gpu = f"{OWN},name={'x' * MOST_NAME_LENGTH}"
    said = child(f"{ASK}\nsay(n.nvmlDeviceGetName(h))", gpu=gpu, nvml_only=True)
    assert said == "x" * MOST_NAME_LENGTH


def test_the_process_that_uses_the_gpu_is_listed(child: Child) -> None:
    code = f"""{ASK}
malloc(3 * MIB)
found = n.nvmlDeviceGetComputeRunningProcesses(h)
say([[(p.pid == os.getpid(), p.usedGpuMemory) for p in found],
     n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2).used])
"""
    assert child(code, gpu=OWN) == [[[True, 104 * MIB]], 2 * GIB + 104 * MIB]


def test_clocks_are_those_described_and_what_is_not_there_is_not_supported(child: Child) -> None:
    code = f"""{ASK}
say([n.nvmlDeviceGetClockInfo(h, 1), n.nvmlDeviceGetMaxClockInfo(h, 2),
     n.nvmlDeviceGetCurrentClocksEventReasons(h), refused(n.nvmlDeviceGetTemperature, h, 0),
     refused(n.nvmlDeviceGetPowerUsage, h), refused(n.nvmlDeviceGetMigMode, h),
     refused(n.nvmlDeviceGetHandleByIndex, 1), refused(n.nvmlDeviceGetHandleByUUID, "GPU-0")])
"""
    gpu = models()["t4"]
    clocks = [gpu.sm_clock_mhz, gpu.memory_clock_mhz]
    assert child(code, nvml_only=True) == [*clocks, 0, 3, 3, 3, 2, 6]


def test_another_gpu_takes_the_place_of_the_first(child: Child) -> None:
    code = f"""{ASK}
before = n.nvmlDeviceGetName(h)
load_nvml(library, describe("h100"))
say([before, n.nvmlDeviceGetName(h)])
"""
    names = [models()[model].name for model in ("t4", "h100")]
    assert child(code, nvml_only=True) == names


def test_faults_and_a_gpu_that_is_lost(child: Child) -> None:
    code = f"""{ASK}
say([refused(n.nvmlDeviceGetName, h), refused(n.nvmlDeviceGetName, h), refused(n.nvmlShutdown),
     refused(n.nvmlDeviceGetCount)])
"""
    name = models()["t4"].name
    answers = child(code, nvml_only=True, fault="nvmlDeviceGetName:2:device_lost")
    assert answers == [[name], 15, [None], 1]
