"""NVIDIA GPUs through NVML, without torch: which exist, and the present state of each.

Nothing here raises: a machine without a driver, a container that hides processes, and a slice of a
GPU that reports less than a whole one are normal; each answer is a value, or None and a reason.
NVML ignores CUDA_VISIBLE_DEVICES: GPUs are matched by UUID, and :func:`visible_cards` says which of
them CUDA shows.  Source: NVIDIA's NVML API reference, and nvidia-ml-py's own code.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rnnprof.runfile.observations import DeviceConditions

# nvml.h: nvmlReturn_t, nvmlClockType_t, nvmlTemperatureSensors_t, nvmlEnableState_t
NOT_SUPPORTED: Final = 3
NO_PERMISSION: Final = 4
NOT_FOUND: Final = 6
DRIVER_NOT_LOADED: Final = 9
LIBRARY_NOT_FOUND: Final = 12
LIB_RM_VERSION_MISMATCH: Final = 18
CLOCK_SM: Final = 1
CLOCK_MEMORY: Final = 2
TEMPERATURE_GPU: Final = 0
ENABLED: Final = 1

EVENT_REASONS: Final = {
    0x1: "GpuIdle",
    0x2: "ApplicationsClocksSetting",
    0x4: "SwPowerCap",
    0x8: "HwSlowdown",
    0x10: "SyncBoost",
    0x20: "SwThermalSlowdown",
    0x40: "HwThermalSlowdown",
    0x80: "HwPowerBrakeSlowdown",
    0x100: "DisplayClockSetting",
}
"""The bits of nvmlClocksEventReasons, by NVML's own names."""

MissingKind = Literal[
    "no_bindings", "no_driver", "driver_not_loaded", "no_permission", "version_mismatch",
    "not_supported", "other",
]  # fmt: skip

_MISSING: Final[dict[int, tuple[MissingKind, str]]] = {
    LIBRARY_NOT_FOUND: ("no_driver", "no NVIDIA driver: its library libnvidia-ml is not found"),
    DRIVER_NOT_LOADED: ("driver_not_loaded", "the NVIDIA driver is installed but not loaded"),
    NO_PERMISSION: ("no_permission", "this user has no permission to use the NVIDIA driver"),
    LIB_RM_VERSION_MISMATCH: (
        "version_mismatch", "the NVIDIA driver in the kernel and its library differ in version",
    ),
    NOT_SUPPORTED: ("not_supported", "NVML does not support this machine"),
}  # fmt: skip

NOT_LISTED: Final = (
    "NVML does not list this process: it holds no context on the GPU, or a container hides its ID"
)
NOT_COUNTED: Final = "NVML does not report a process's memory on this system"


@dataclass(frozen=True, slots=True)
class NvmlMissing:
    """Why NVML cannot be used: a kind to branch on, and the reason in words."""

    kind: MissingKind
    reason: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """A physical GPU, or a MIG device on one.

    Attributes:
        index: of the physical GPU, in NVML's order, which is that of the PCI bus.
        uuid: ``GPU-...`` or ``MIG-...``.
        memory_bytes: total memory; None if the driver does not report it to this user.
        parent_uuid: of the GPU that a MIG device is a slice of; None for a physical GPU.
        mig_on: whether a physical GPU is in MIG mode; only its slices can then be used.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int | None
    parent_uuid: str | None = None
    mig_on: bool = False

    @property
    def is_mig(self) -> bool:
        """Whether this is a slice of a GPU."""
        return self.parent_uuid is not None


@dataclass(frozen=True, slots=True)
class Survey:
    """The GPUs that could be read, and a sentence for each that could not."""

    gpus: tuple[Gpu, ...]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherProcess:
    """A process with a context on a GPU; its memory is None if NVML does not report it."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """A value, or None with a reason and, if there is one, NVML's error code."""

    value: Any
    reason: str | None = None
    code: int | None = None


def open_nvml(library: Any = None) -> tuple[Nvml | None, str | None]:
    """Open NVML; or return None and the reason; see :meth:`Nvml.open`."""
    opened = Nvml.open(library)
    return (None, opened.reason) if isinstance(opened, NvmlMissing) else (opened, None)


def event_reasons(bits: int) -> tuple[str, ...]:
    """NVML's names for the bits that are set; bits without a name in hexadecimal."""
    return tuple(
        EVENT_REASONS.get(1 << place, f"{1 << place:#x}")
        for place in range(bits.bit_length())
        if bits >> place & 1
    )


def same_uuid(first: str, second: str) -> bool:
    """Whether two UUIDs name one device; torch writes them without ``GPU-`` or ``MIG-``."""
    (first_kind, first_bare), (second_kind, second_bare) = _split(first), _split(second)
    return first_bare == second_bare and (
        "" in (first_kind, second_kind) or first_kind == second_kind
    )


def visible_cards(gpus: Sequence[Gpu], environ_value: str | None) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, in its order; None leaves them all.

    The rules are those of CUDA's programming guide and of torch: numbers or prefixes of UUIDs; the
    first entry that is not a GPU ends the list, and a GPU named twice empties it.  A GPU in MIG
    mode means its first slice.  Numbers are in PCI order, which is CUDA's own if CUDA_DEVICE_ORDER
    is PCI_BUS_ID.
    """
    if environ_value is None:
        return tuple(gpu for gpu in gpus if not gpu.mig_on)
    found: list[Gpu] = []
    for entry in environ_value.split(","):
        gpu = _named(entry.strip(), gpus)
        if gpu is None:
            break
        if gpu in found:
            return ()
        found.append(gpu)
    return tuple(found)


def _named(entry: str, gpus: Sequence[Gpu]) -> Gpu | None:
    if entry.startswith(("GPU-", "MIG-")):
        matching = [gpu for gpu in gpus if gpu.uuid.lower().startswith(entry.lower())]
    elif number := re.match(r"\d+", entry):
        matching = [gpu for gpu in gpus if gpu.index == int(number[0]) and not gpu.is_mig]
    else:
        matching = []
    return _usable(matching[0], gpus) if len(matching) == 1 else None


def _usable(gpu: Gpu, gpus: Iterable[Gpu]) -> Gpu | None:
    if not gpu.mig_on:
        return gpu
    return next((slice_ for slice_ in gpus if slice_.parent_uuid == gpu.uuid), None)


def _split(uuid: str) -> tuple[str, str]:
    kind, dash, bare = uuid.lower().partition("-")
    return (kind, bare) if dash and kind in ("gpu", "mig") else ("", uuid.lower())


class Nvml:
    """NVML, initialised by :meth:`open` and shut down by :meth:`close`."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handles: dict[str, Any] = {}
        newest = getattr(library, "nvmlMemory_v2", None)
        self._memory_versions: tuple[tuple[int, ...], ...] = ((newest,), ()) if newest else ((),)

    @classmethod
    def open(cls, library: Any = None) -> Nvml | NvmlMissing:
        """Initialise *library*, by default the module of nvidia-ml-py."""
        try:
            bindings = library if library is not None else _import_bindings()
        except ImportError as error:
            return NvmlMissing("no_bindings", f"nvidia-ml-py cannot be imported: {error}")
        nvml = cls(bindings)
        answer = nvml._ask("nvmlInit")
        if answer.reason is None:
            return nvml
        kind, reason = _MISSING.get(answer.code or 0, ("other", answer.reason))
        return NvmlMissing(kind, reason)

    def close(self) -> None:
        """Shut NVML down; ignore an error."""
        self._ask("nvmlShutdown")

    def driver_version(self) -> str | None:
        """The driver's version, or None if NVML does not report it."""
        answer = self._ask("nvmlSystemGetDriverVersion")
        return None if answer.reason is not None else _text(answer.value)

    def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU that can be read, each followed by the MIG devices on it."""
        return self.survey().gpus

    def survey(self) -> Survey:
        """The GPUs as :meth:`gpus` gives them, and what could not be read."""
        count = self._ask("nvmlDeviceGetCount")
        if count.reason is not None:
            return Survey((), (f"the GPUs cannot be counted: {count.reason}",))
        read = [entry for index in range(count.value) for entry in self._read_card(index)]
        return Survey(
            tuple(entry for entry in read if isinstance(entry, Gpu)),
            tuple(entry for entry in read if isinstance(entry, str)),
        )

    def read(self, uuid: str, pid: int) -> DeviceConditions:
        """The state of the GPU now, and how much of its memory the process *pid* holds."""
        handle = self._handle(uuid)
        answers = (
            dict.fromkeys(_FIELDS, handle) if handle.reason else self._conditions(handle.value, pid)
        )
        return DeviceConditions(
            **{field: answer.value for field, answer in answers.items()},
            unknown={field: answer.reason for field, answer in answers.items() if answer.reason},
        )

    def others(self, uuid: str, pid: int) -> tuple[tuple[OtherProcess, ...] | None, str | None]:
        """The processes on the GPU other than *pid*, or None and the reason.

        A container may hide them, so an empty answer proves nothing if memory is in use.
        """
        handle = self._handle(uuid)
        answer = self._processes(handle.value) if handle.reason is None else handle
        if answer.reason is not None:
            return None, answer.reason
        return tuple(process for process in answer.value if process.pid != pid), None

    def _read_card(self, index: int) -> Iterator[Gpu | str]:
        """The GPU and its slices; a sentence for each of them that cannot be read."""
        handle = self._ask("nvmlDeviceGetHandleByIndex", index)
        if handle.reason is not None:
            yield f"GPU {index} cannot be read: {handle.reason}"
            return
        mode = self._ask("nvmlDeviceGetMigMode", handle.value)
        mig_on = mode.reason is None and mode.value[0] == ENABLED
        gpu = self._describe(handle.value, index, None, mig_on)
        yield gpu
        if mig_on and isinstance(gpu, Gpu):
            yield from self._slices(handle.value, gpu)

    def _slices(self, parent: Any, gpu: Gpu) -> Iterator[Gpu | str]:
        most = self._ask("nvmlDeviceGetMaxMigDeviceCount", parent)
        if most.reason is not None:
            yield f"the MIG devices of GPU {gpu.index} cannot be counted: {most.reason}"
            return
        for place in range(most.value):
            handle = self._ask("nvmlDeviceGetMigDeviceHandleByIndex", parent, place)
            if handle.reason is None:
                yield self._describe(handle.value, gpu.index, gpu.uuid, mig_on=False)
            elif handle.code != NOT_FOUND:  # not an empty place
                yield f"MIG device {place} of GPU {gpu.index} cannot be read: {handle.reason}"

    def _describe(
        self, handle: Any, index: int, parent_uuid: str | None, mig_on: bool
    ) -> Gpu | str:
        uuid, name = self._ask("nvmlDeviceGetUUID", handle), self._ask("nvmlDeviceGetName", handle)
        reason = uuid.reason or name.reason
        if reason is not None:
            return f"{'MIG device of ' if parent_uuid else ''}GPU {index} cannot be read: {reason}"
        gpu = Gpu(
            index=index,
            uuid=_text(uuid.value),
            name=_text(name.value),
            memory_bytes=self._memory(handle, "total").value,
            parent_uuid=parent_uuid,
            mig_on=mig_on,
        )
        self._handles[gpu.uuid] = handle
        return gpu

    def _handle(self, uuid: str) -> _Answer:
        """NVML's handle of a device, by a UUID with or without its prefix."""
        for known, handle in self._handles.items():
            if same_uuid(known, uuid):
                return _Answer(handle)
        answer = _Answer(None, f"NVML knows no GPU {uuid}")
        for full in [uuid] if _split(uuid)[0] else [f"GPU-{uuid}", f"MIG-{uuid}"]:
            answer = self._ask("nvmlDeviceGetHandleByUUID", full)
            if answer.reason is None:
                self._handles[full] = answer.value
                return answer
        return answer

    def _conditions(self, handle: Any, pid: int) -> dict[str, _Answer]:
        return {
            "sm_clock_mhz": self._ask("nvmlDeviceGetClockInfo", handle, CLOCK_SM),
            "max_sm_clock_mhz": self._ask("nvmlDeviceGetMaxClockInfo", handle, CLOCK_SM),
            "memory_clock_mhz": self._ask("nvmlDeviceGetClockInfo", handle, CLOCK_MEMORY),
            "temperature_c": self._temperature_c(handle),
            "power_w": self._watts("nvmlDeviceGetPowerUsage", handle),
            "power_limit_w": self._watts("nvmlDeviceGetEnforcedPowerLimit", handle),
            "event_reasons": self._event_reasons(handle),
            "used_bytes": self._memory(handle, "used"),
            "own_bytes": self._own_bytes(handle, pid),
        }

    def _temperature_c(self, handle: Any) -> _Answer:
        """The second name is the one that still exists after CUDA 13."""
        names = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
        return self._first(names, handle, TEMPERATURE_GPU)

    def _event_reasons(self, handle: Any) -> _Answer:
        """The second name is the one that drivers before release 535 have."""
        names = (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
        )
        answer = self._first(names, handle)
        return answer if answer.reason is not None else _Answer(event_reasons(answer.value))

    def _watts(self, name: str, handle: Any) -> _Answer:
        answer = self._ask(name, handle)
        return answer if answer.reason is not None else _Answer(answer.value / 1000)

    def _memory(self, handle: Any, part: Literal["total", "used"]) -> _Answer:
        """Use the second version if there is one: the first counts the driver's reserve as used.

        The version that answers first is kept: a change of version would look like growth.
        """
        answer = _Answer(None)
        for version in self._memory_versions:
            answer = self._ask("nvmlDeviceGetMemoryInfo", handle, *version)
            if answer.reason is None:
                self._memory_versions = (version,)
                return _Answer(int(getattr(answer.value, part)))
        return answer

    def _own_bytes(self, handle: Any, pid: int) -> _Answer:
        answer = self._processes(handle)
        if answer.reason is not None:
            return answer
        mine = [process.used_bytes for process in answer.value if process.pid == pid]
        if not mine:
            return _Answer(None, NOT_LISTED)
        known = [used_bytes for used_bytes in mine if used_bytes is not None]
        return _Answer(sum(known)) if len(known) == len(mine) else _Answer(None, NOT_COUNTED)

    def _processes(self, handle: Any) -> _Answer:
        answer = self._ask("nvmlDeviceGetComputeRunningProcesses", handle)
        if answer.reason is not None:
            return answer
        return _Answer([OtherProcess(entry.pid, entry.usedGpuMemory) for entry in answer.value])

    def _first(self, names: Iterable[str], *arguments: Any) -> _Answer:
        """The answer of the first function that gives one; otherwise the last refusal."""
        answer = _Answer(None)
        for name in names:
            answer = self._ask(name, *arguments)
            if answer.reason is None:
                break
        return answer

    def _ask(self, name: str, *arguments: Any) -> _Answer:
        """Call a function of the bindings; an exception becomes the reason."""
        function = getattr(self._library, name, None)
        if function is None:
            return _Answer(None, f"the installed NVML bindings have no {name}")
        try:
            return _Answer(function(*arguments))
        except Exception as error:  # the bindings raise more than NVMLError
            code = getattr(error, "value", None)
            return _Answer(None, f"NVML: {error}", code if isinstance(code, int) else None)


_FIELDS: Final = (
    "sm_clock_mhz", "max_sm_clock_mhz", "memory_clock_mhz", "temperature_c", "power_w",
    "power_limit_w", "event_reasons", "used_bytes", "own_bytes",
)  # fmt: skip


def _import_bindings() -> Any:
    with warnings.catch_warnings():
        # the deprecated distribution `pynvml` warns on import; doctor reports it better
        warnings.simplefilter("ignore", FutureWarning)
        import pynvml

    return pynvml


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
