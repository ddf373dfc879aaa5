"""CUDA as a device: a limit by the caching allocator's fraction, times from events, and NVML.

``torch.cuda`` and NVML are parameters, so that tests can run every line without a GPU; the evidence
packs under ``reports/`` prove what a GPU does.
"""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import torch

from rnnprof.device.nvml import Nvml, open_nvml
from rnnprof.device.process import ConditionsMeter
from rnnprof.errors import NoDeviceError
from rnnprof.runfile.observations import Conditions, DeviceConditions
from rnnprof.simulate.description import GPU_VARIABLE
from rnnprof.worker.backends.base import AllocatorHistory, TimedBlock, run_steps

FIRST_COUNTED_STEP: Final = 3
"""Earlier retries come from the optimizer's state and the first workspaces, not from thrashing."""

HIDDEN: Final = "from the growth of the GPU's used memory: NVML hides the processes here"

NO_NVML: Final = "NVML does not answer: {}"

ALLOCATOR_VARIABLES: Final = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""The newer name first; torch prefers it too."""


class DeviceMissingError(NoDeviceError):
    """torch cannot use the requested GPU."""


@dataclass(slots=True)
class NvmlWatch:
    """This process's share of a GPU's memory, from NVML, or from growth where NVML hides it."""

    nvml: Nvml | None
    missing: str | None
    uuid: str | None
    before_bytes: int | None = None

    @classmethod
    def start(
        cls, uuid: str | None, opener: Callable[[], tuple[Nvml | None, str | None]]
    ) -> NvmlWatch:
        """Open NVML and read the GPU's used memory before this process uses the GPU."""
        nvml, missing = opener()
        watch = cls(nvml, missing, uuid)
        watch.before_bytes = watch.look().used_bytes
        return watch

    def look(self) -> DeviceConditions:
        """The GPU's conditions now."""
        if self.nvml is None or self.uuid is None:
            reason = NO_NVML.format(self.missing or "the GPU's UUID is not known yet")
            return DeviceConditions(unknown={"used_bytes": reason, "own_bytes": reason})
        return self.nvml.read(self.uuid, os.getpid())

    def own_bytes(self) -> tuple[int | None, str | None]:
        """Device memory of this process in bytes, with its context, and its source or reason."""
        now = self.look()
        if now.own_bytes is not None:
            return now.own_bytes, None
        if now.used_bytes is None or self.before_bytes is None:
            return None, now.unknown.get("used_bytes", NO_NVML.format(self.missing))
        return max(0, now.used_bytes - self.before_bytes), HIDDEN


class CudaDevice:
    """One GPU, as a device."""

    least_fit_steps = FIRST_COUNTED_STEP
    warms_up_to_fit = False  # a warm-up leaves in the cache what training does not have

    def __init__(
        self,
        name: str,
        uuid: str | None = None,
        cuda: Any = torch.cuda,
        opener: Callable[[], tuple[Nvml | None, str | None]] = open_nvml,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.torch_device = torch.device(name)
        self._uuid = uuid
        self._cuda = cuda
        self._opener = opener
        self._clock = clock
        self._watch: NvmlWatch | None = None
        self.trace = CudaTrace(cuda)

    @property
    def watch(self) -> NvmlWatch:
        """NVML's view, opened by :meth:`ready`."""
        assert self._watch is not None, "ready() opens it, before the context exists"
        return self._watch

    def ready(self, guard_bytes: int | None = None) -> None:  # noqa: ARG002  # only for the CPU
        """Read the GPU's conditions, then create the context.

        Raises:
            DeviceMissingError: torch sees no such GPU.
        """
        if self._watch is None:
            self._watch = NvmlWatch.start(self._uuid, self._opener)
        if torch.version.cuda is None and self._cuda is torch.cuda:
            raise DeviceMissingError(
                f"torch {torch.__version__} is a build without CUDA: install a CUDA build"
            )
        if not self._cuda.is_available():
            raise DeviceMissingError("torch sees no CUDA device: `rnnprof doctor` shows why")
        index, count = self.torch_device.index or 0, self._cuda.device_count()
        if index >= count:
            raise DeviceMissingError(f"there is no {self.torch_device}: torch sees {count} GPUs")
        self._cuda.set_device(index)
        self._cuda.init()
        self._cuda.synchronize()

    ready_for_fit = ready

    def facts(self) -> dict[str, Any]:
        """Facts of the GPU, its driver and libraries that identify a run."""
        self.ready()
        gpu = self._cuda.get_device_properties(self.torch_device.index or 0)
        nvml = self.watch.nvml
        return {
            "device": "cuda",
            **simulation_facts(gpu.name, os.environ),
            "device_uuid": uuid_of(gpu),
            "device_memory_bytes": gpu.total_memory,
            "multiprocessors": gpu.multi_processor_count,
            "capability": f"{gpu.major}.{gpu.minor}",
            "driver": nvml.driver_version() if nvml else None,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
            "allocator": self._cuda.get_allocator_backend(),
            "allocator_settings": allocator_settings(os.environ),
        }

    def survey(self) -> dict[str, Any]:
        """What the context takes and what is free, after the workload has run and is dropped."""
        self.trim()
        own, note = self.watch.own_bytes()
        free, total = self._cuda.mem_get_info()
        reserved = self._cuda.memory_reserved()
        return {
            "context_bytes": None if own is None else max(0, own - reserved),
            "context_note": note,
            "free_bytes": free + reserved,
            "total_bytes": total,
        }

    def trim(self) -> None:
        """Free Python's cycles and the allocator's cache."""
        gc.collect()
        self._cuda.synchronize()
        self._cuda.empty_cache()

    def held_bytes(self) -> tuple[int, int]:
        """Allocated and reserved bytes, with an empty cache."""
        self.trim()
        return int(self._cuda.memory_allocated()), int(self._cuda.memory_reserved())

    def set_limit(self, limit_bytes: int) -> CudaLimit:
        """Free caches, take the baseline and set the allocator's fraction."""
        self.trim()
        free, total = self._cuda.mem_get_info()
        reserved = self._cuda.memory_reserved()
        own, _ = self.watch.own_bytes()
        context = None if own is None else max(0, own - reserved)
        # half a byte more: the product of fraction and total must not round below the limit
        fraction = min(1.0, (limit_bytes + 0.5) / total)
        self._cuda.set_per_process_memory_fraction(fraction)
        self._cuda.reset_peak_memory_stats()
        left = None if free + reserved >= limit_bytes else free + reserved
        limit = CudaLimit(self._cuda, self.watch, limit_bytes, reserved, context, free_bytes=left)
        limit.fraction = limit.current_fraction()
        return limit

    def lift_limit(self) -> None:
        """Remove the limit; a context broken by an error stays as it is."""
        with suppress(Exception):
            if self._cuda.is_initialized():
                self._cuda.set_per_process_memory_fraction(1.0)

    def meter(self) -> CudaMeter:
        """Start to record the conditions of host and GPU."""
        return CudaMeter.start(self._cuda, self.watch)

    def synchronize(self) -> None:
        """Wait for the GPU; an error of an earlier kernel is raised here."""
        self._cuda.synchronize()

    def begin_block(self, count: int) -> CudaBlock:
        """Begin to time steps by events on the GPU."""
        return CudaBlock(self._cuda, count, self._clock)

    def run_block(self, step: Callable[[], Any], count: int) -> TimedBlock:
        """Run *count* steps back to back, event to event, and wait for the GPU at the end."""
        return run_steps(self.begin_block(count), step, count)


class CudaBlock:
    """A block of steps: events on the GPU between them, and the host's time to submit each.

    The events are made before the first step, so that a timed step only records one.
    """

    __slots__ = ("_clock", "_cuda", "_marks", "_submitted")

    def __init__(self, cuda: Any, count: int, clock: Callable[[], float]) -> None:
        self._cuda, self._clock = cuda, clock
        self._marks = [cuda.Event(enable_timing=True) for _ in range(count + 1)]
        cuda.synchronize()
        self._marks[0].record()
        self._submitted = [clock()]

    def mark(self) -> None:
        """A step has been submitted."""
        self._marks[len(self._submitted)].record()
        self._submitted.append(self._clock())

    def end(self, last: Any) -> TimedBlock:
        """Wait for the GPU; the durations are from event to event."""
        self._cuda.synchronize()
        wait_s = max(0.0, self._clock() - self._submitted[-1])
        marks = self._marks[: len(self._submitted)]
        return TimedBlock(
            [start.elapsed_time(end) / 1e3 for start, end in itertools.pairwise(marks)],
            [max(0.0, end - start) for start, end in itertools.pairwise(self._submitted)],
            wait_s,
            last,
        )


@dataclass(slots=True)
class CudaLimit:
    """The caching allocator's fraction of the GPU, without the context.

    Attributes:
        reserved_bytes: by the allocator when the limit was set: library workspaces.
        context_bytes: of this process then; None if NVML reports nothing.
        free_bytes: what other processes had left of the GPU, if that is less than the limit.
        fraction: of the allocator, as it was set.
    """

    cuda: Any
    watch: NvmlWatch
    limit_bytes: int
    reserved_bytes: int
    context_bytes: int | None
    retries_before: int | None = None
    free_bytes: int | None = None
    fraction: float | None = None

    def is_in_force(self) -> bool:
        """Whether the allocator's fraction is what it was set to."""
        return self.current_fraction() == self.fraction

    def current_fraction(self) -> float | None:
        """The allocator's fraction; None where torch does not tell it."""
        with suppress(Exception):
            return float(self.cuda.get_per_process_memory_fraction())
        return None

    def baseline(self) -> dict[str, Any]:
        """Return findings of a fit before its first step."""
        return {"baseline_bytes": self.reserved_bytes, "context_bytes": self.context_bytes}

    def training_begins(self) -> None:
        """Do nothing: the allocator keeps its own peak."""

    def stepped(self, number: int) -> tuple[int | None, int | None]:
        """Live bytes and the charged peak; retries count after the optimizer's first step."""
        if number == FIRST_COUNTED_STEP - 1:
            self.retries_before = self._retries()
        return int(self.cuda.memory_allocated()), int(self.cuda.max_memory_reserved())

    def has_thrashed(self) -> bool:
        """Whether there were retries after the optimizer's state was in place."""
        return bool(self._counted_retries())

    def charged_bytes(self) -> int | None:
        """What the allocator has reserved; None where the context is broken."""
        with suppress(Exception):
            return int(self.cuda.memory_reserved())
        return None

    def peaks(self) -> dict[str, Any]:
        """Return findings of a fit after its last step, before the cache is emptied."""
        own, note = self.watch.own_bytes()
        return {
            "peak_charged_bytes": self.cuda.max_memory_reserved(),
            "peak_allocated_bytes": self.cuda.max_memory_allocated(),
            "peak_process_bytes": own,
            "peak_process_reason": note,
            "retries": self._counted_retries(),
        }

    def _counted_retries(self) -> int | None:
        return None if self.retries_before is None else self._retries() - self.retries_before

    def _retries(self) -> int:
        return int(self.cuda.memory_stats().get("num_alloc_retries", 0))


@dataclass(slots=True)
class CudaMeter:
    """Counters of host and GPU at the start of a pass."""

    host: ConditionsMeter
    cuda: Any
    watch: NvmlWatch
    before: DeviceConditions
    reserved_before: int

    @classmethod
    def start(cls, cuda: Any, watch: NvmlWatch) -> CudaMeter:
        """Read the counters now."""
        return cls(ConditionsMeter.start(), cuda, watch, watch.look(), cuda.memory_reserved())

    def read(self) -> Conditions:
        """The conditions since; the GPU is read first, while its clocks are still those of work."""
        after = self.watch.look()
        grown = self.cuda.memory_reserved() - self.reserved_before
        return replace(
            self.host.read(),
            device_before=self.before,
            device_after=after,
            others_drift_bytes=others_drift(self.before, after, grown),
        )


def others_drift(before: DeviceConditions, after: DeviceConditions, own_growth: int) -> int | None:
    """Growth in bytes of the memory of other processes: used memory minus our own."""
    if before.used_bytes is None or after.used_bytes is None:
        return None
    if before.own_bytes is not None and after.own_bytes is not None:
        own_growth = after.own_bytes - before.own_bytes
    return max(0, after.used_bytes - before.used_bytes - own_growth)


@dataclass(slots=True)
class CudaTrace:
    """The caching allocator's own history, for the requested sizes."""

    cuda: Any

    def begin(self) -> None:
        """Record every allocation from here on, without stacks."""
        self.cuda.memory._record_memory_history(enabled="all", context=None)  # noqa: SLF001  # torch has no public way
        self.cuda.reset_peak_memory_stats()

    def live_addresses(self) -> frozenset[int]:
        """The addresses of the blocks that are allocated now."""
        return frozenset(
            block["address"]
            for segment in self.cuda.memory_snapshot()
            for block in segment["blocks"]
            if block["state"].startswith("active")
        )

    def history(self) -> AllocatorHistory:
        """Every allocation and free since :meth:`begin`, in the allocator's own order.

        Source: ``record_trace`` in c10/cuda/CUDACachingAllocator.cpp: ALLOC has the requested size,
        not the block's; FREE_REQUESTED is where the profiler gets a free.
        """
        traces = self.cuda.memory._snapshot()["device_traces"]  # noqa: SLF001
        entries = [entry for trace in traces for entry in trace]
        return AllocatorHistory(
            [(e["addr"], e["size"]) for e in entries if e["action"] == "alloc"],
            [e["addr"] for e in entries if e["action"] == "free_requested"],
        )

    def peaks(self) -> dict[str, int]:
        """The allocator's own peaks since :meth:`begin`."""
        return {
            "peak_allocated_bytes": self.cuda.max_memory_allocated(),
            "peak_reserved_bytes": self.cuda.max_memory_reserved(),
        }

    def end(self) -> None:
        """Record no more."""
        self.cuda.memory._record_memory_history(enabled=None)  # noqa: SLF001


def uuid_of(gpu: Any) -> str | None:
    """The UUID in NVML's form, which CUDA_VISIBLE_DEVICES takes; torch omits the prefix."""
    text = str(getattr(gpu, "uuid", "") or "")
    if not text or text.startswith(("GPU-", "MIG-")):
        return text or None
    return f"{'MIG-' if 'MIG' in gpu.name else 'GPU-'}{text}"


def simulation_facts(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The GPU's name; of a simulated GPU marked as such, with its description."""
    described = environ.get(GPU_VARIABLE)
    if described is None:
        return {"device_name": name}
    return {"device_name": f"{name} (simulated)", "simulated": described}


def allocator_settings(environ: Any) -> str:
    """The caching allocator's settings in force, which decide how memory is split."""
    return next((environ[name] for name in ALLOCATOR_VARIABLES if environ.get(name)), "")
