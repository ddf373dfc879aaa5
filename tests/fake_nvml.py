"""A stand-in for the module ``pynvml``: GPUs, slices and processes, and any error on any call.

The errors are the real bindings' own, so that their codes and words are tested too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

GIB = 1 << 30

RESERVE_BYTES = 600 << 20
"""What the driver keeps for itself: the first version of the memory query counts it as used."""


def error(name: str) -> pynvml.NVMLError:
    """The bindings' own error, as ``error("NotSupported")``."""
    return getattr(pynvml, f"NVMLError_{name}")()


@dataclass
class FakeCard:
    """A GPU or a slice; change a field to change what is answered.

    ``refuses`` maps a function's name to the error that it raises for this GPU.
    """

    uuid: str | bytes = "GPU-aaaaaaaa-0000-1111-2222-333333333333"
    name: str | bytes = "NVIDIA H200"
    total_bytes: int = 140 * GIB
    used_bytes: int = 0
    sm_clock_mhz: int = 1980
    max_sm_clock_mhz: int = 1980
    memory_clock_mhz: int = 3201
    temperature_c: int = 38
    power_mw: int = 75_500
    power_limit_mw: int = 700_000
    event_bits: int = 0
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    slices: list[FakeCard | None] | None = None
    refuses: dict[str, Exception] = field(default_factory=dict)


def mig_slice(**fields: Any) -> FakeCard:
    """A MIG device, which tells no clocks, temperature, power or event reasons."""
    silent = (
        "nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo", "nvmlDeviceGetTemperature",
        "nvmlDeviceGetTemperatureV", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons",
        "nvmlDeviceGetMigMode",
    )  # fmt: skip
    defaults = {
        "uuid": "MIG-bbbbbbbb-0000-1111-2222-333333333333",
        "name": "NVIDIA H200 MIG 1g.18gb",
        "total_bytes": 16 * GIB,
        "refuses": {name: error("NotSupported") for name in silent},
    }
    return FakeCard(**(defaults | fields))


class FakeNvml:
    """The functions of ``pynvml`` that rnnprof calls; ``missing`` are not in these bindings.

    ``refuses`` maps a function's name to the error that it raises whatever it is asked.
    """

    nvmlMemory_v2 = pynvml.nvmlMemory_v2  # noqa: N815  the bindings' own name

    def __init__(
        self,
        *gpus: FakeCard,
        refuses: dict[str, Exception] | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        self.gpus = list(gpus)
        self.refuses = refuses or {}
        self.missing = missing
        self.driver: str | bytes = "580.65.06"
        self.opened = 0
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            return super().__getattribute__(name)
        if name in self.missing:
            raise AttributeError(name)
        value = super().__getattribute__(name)
        return self._guarded(name, value) if callable(value) else value

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            if name in self.refuses:
                raise self.refuses[name]
            first = arguments[0] if arguments else None
            if isinstance(first, FakeCard) and name in first.refuses:
                raise first.refuses[name]
            return function(*arguments)

        return call

    def nvmlInit(self) -> None:  # noqa: N802
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlSystemGetDriverVersion(self) -> str | bytes:  # noqa: N802
        return self.driver

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeCard:  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeCard:  # noqa: N802
        slices = [entry for gpu in self.gpus for entry in gpu.slices or () if entry is not None]
        for gpu in [*self.gpus, *slices]:
            if gpu.uuid in (uuid, uuid.encode()):
                return gpu
        raise error("NotFound")

    def nvmlDeviceGetUUID(self, gpu: FakeCard) -> str | bytes:  # noqa: N802
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu: FakeCard) -> str | bytes:  # noqa: N802
        return gpu.name

    def nvmlDeviceGetMigMode(self, gpu: FakeCard) -> list[int]:  # noqa: N802
        mode = int(gpu.slices is not None)
        return [mode, mode]

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: FakeCard) -> int:  # noqa: N802
        return len(gpu.slices or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: FakeCard, index: int) -> FakeCard:  # noqa: N802
        found = (gpu.slices or ())[index]
        if found is None:
            raise error("NotFound")
        return found

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeCard, version: int | None = None) -> Any:  # noqa: N802
        if version is None:
            return SimpleNamespace(
                total=gpu.total_bytes, used=gpu.used_bytes + RESERVE_BYTES, version=1
            )
        assert version == pynvml.nvmlMemory_v2
        if "nvmlDeviceGetMemoryInfo_v2" in gpu.refuses:
            raise gpu.refuses["nvmlDeviceGetMemoryInfo_v2"]
        return SimpleNamespace(total=gpu.total_bytes, used=gpu.used_bytes, version=version)

    def nvmlDeviceGetClockInfo(self, gpu: FakeCard, clock: int) -> int:  # noqa: N802
        return {
            pynvml.NVML_CLOCK_SM: gpu.sm_clock_mhz,
            pynvml.NVML_CLOCK_MEM: gpu.memory_clock_mhz,
        }[clock]

    def nvmlDeviceGetMaxClockInfo(self, gpu: FakeCard, clock: int) -> int:  # noqa: N802
        return {pynvml.NVML_CLOCK_SM: gpu.max_sm_clock_mhz}[clock]

    def nvmlDeviceGetTemperature(self, gpu: FakeCard, sensor: int) -> int:  # noqa: N802
        return {pynvml.NVML_TEMPERATURE_GPU: gpu.temperature_c}[sensor]

    nvmlDeviceGetTemperatureV = nvmlDeviceGetTemperature  # noqa: N815

    def nvmlDeviceGetPowerUsage(self, gpu: FakeCard) -> int:  # noqa: N802
        return gpu.power_mw

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: FakeCard) -> int:  # noqa: N802
        return gpu.power_limit_mw

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu: FakeCard) -> int:  # noqa: N802
        return gpu.event_bits

    nvmlDeviceGetCurrentClocksThrottleReasons = nvmlDeviceGetCurrentClocksEventReasons  # noqa: N815

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeCard) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in gpu.processes]
