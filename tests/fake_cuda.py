"""``torch.cuda`` without a GPU: what the CUDA device calls of it, over a fake allocator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from fake_caching_allocator import FakeCachingAllocator

GIB = 1 << 30


@dataclass
class FakeClock:
    """Host and GPU time: each step takes *host_s* to submit and *card_s* to run."""

    host_s: float = 0.0
    card_s: float = 0.0

    def __call__(self) -> float:
        return self.host_s

    def submit(self, host_s: float, card_s: float) -> None:
        """The host submits work: it begins when the GPU is free and the host has said so."""
        self.host_s += host_s
        self.card_s = max(self.card_s, self.host_s) + card_s

    def wait(self) -> None:
        self.host_s = max(self.host_s, self.card_s)


@dataclass
class FakeEvent:
    clock: FakeClock
    at_s: float = 0.0

    def record(self) -> None:
        self.at_s = max(self.clock.card_s, self.clock.host_s)

    def elapsed_time(self, end: FakeEvent) -> float:
        return (end.at_s - self.at_s) * 1e3


@dataclass
class FakeCuda:
    """One or more equal GPUs.

    Attributes:
        others_bytes: device memory that other processes hold.
        context_bytes: of this process, once it has a context.
        broken: every call raises, as after a sticky error.
    """

    total_bytes: int = 16 * GIB
    others_bytes: int = 0
    context_bytes: int = 512 << 20
    gpus: int = 1
    name: str = "NVIDIA Fake 16"
    uuid: str = "11111111-2222-3333-4444-555555555555"
    allocator: FakeCachingAllocator = field(default_factory=FakeCachingAllocator)
    clock: FakeClock = field(default_factory=FakeClock)
    broken: bool = False
    retries: int = 0
    has_context: bool = False
    fraction: float = 1.0
    current: int | None = None

    def __post_init__(self) -> None:
        self.memory = SimpleNamespace(
            _record_memory_history=self._record_history,
            _snapshot=self.allocator.snapshot,
        )

    def _record_history(self, enabled: str | None = "all", **_: Any) -> None:
        self.allocator.record(**({} if enabled else {"max_entries": 0}))

    def is_available(self) -> bool:
        return self.gpus > 0

    def device_count(self) -> int:
        return self.gpus

    def set_device(self, index: int) -> None:
        self.current = index

    def init(self) -> None:
        self.has_context = True

    def is_initialized(self) -> bool:
        return self.has_context

    def synchronize(self) -> None:
        self._check()
        self.clock.wait()

    def get_device_properties(self, _index: int) -> Any:
        return SimpleNamespace(
            name=self.name, uuid=self.uuid, total_memory=self.total_bytes,
            multi_processor_count=80, major=9, minor=0,
        )  # fmt: skip

    def get_allocator_backend(self) -> str:
        return "native"

    def mem_get_info(self) -> tuple[int, int]:
        return self.total_bytes - self.used_bytes, self.total_bytes

    def memory_reserved(self) -> int:
        self._check()
        return self.allocator.reserved

    def max_memory_reserved(self) -> int:
        return self.allocator.reserved_peak

    def memory_allocated(self) -> int:
        return self.allocator.allocated

    def max_memory_allocated(self) -> int:
        return self.allocator.peak

    def reset_peak_memory_stats(self) -> None:
        self.allocator.peak = self.allocator.allocated
        self.allocator.reserved_peak = self.allocator.reserved

    def memory_stats(self) -> dict[str, int]:
        return {**self.allocator.memory_stats(), "num_alloc_retries": self.retries}

    def memory_snapshot(self) -> list[dict[str, Any]]:
        return self.allocator.snapshot()["segments"]

    def empty_cache(self) -> None:
        self.allocator.empty_cache()

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        self._check()
        self.fraction = fraction
        self.allocator.limit = int(fraction * self.total_bytes)

    def Event(self, *, enable_timing: bool) -> FakeEvent:  # noqa: N802  # torch's own name
        assert enable_timing
        return FakeEvent(self.clock)

    @property
    def used_bytes(self) -> int:
        """Of the GPU, by everyone."""
        own = self.context_bytes + self.allocator.reserved if self.has_context else 0
        return self.others_bytes + own

    def _check(self) -> None:
        if self.broken:
            raise RuntimeError("CUDA error: device-side assert triggered")

    def stepping(self, host_s: float, card_s: float) -> Callable[[], str]:
        """A training step that takes so long on host and GPU."""

        def step() -> str:
            self.clock.submit(host_s, card_s)
            return "loss"

        return step


@dataclass
class FakeNvml:
    """What the CUDA device asks of NVML, about a :class:`FakeCuda`."""

    cuda: FakeCuda
    hides_processes: bool = False
    reasons: tuple[str, ...] = ()
    clock_mhz: int = 1980

    def driver_version(self) -> str:
        return "580.00"

    def read(self, _uuid: str, _pid: int) -> Any:
        from rnnprof.runfile.observations import DeviceConditions

        own = self.cuda.used_bytes - self.cuda.others_bytes
        return DeviceConditions(
            sm_clock_mhz=self.clock_mhz,
            max_sm_clock_mhz=1980,
            event_reasons=self.reasons,
            used_bytes=self.cuda.used_bytes,
            own_bytes=None if self.hides_processes else own,
            unknown={"own_bytes": "hidden"} if self.hides_processes else {},
        )
