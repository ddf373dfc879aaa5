"""What the facts of a machine mean for measuring on it: findings, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from rnnprof.device.process import MOUNT_PROC, NO_STATUS
from rnnprof.points.noise import slowdowns
from rnnprof.units import GIB, MIB, format_bytes, format_seconds

if TYPE_CHECKING:
    from rnnprof.device.inspection import (
        Facts,
        FolderFacts,
        GpuFacts,
        HostFacts,
        NvidiaFacts,
        PlatformFacts,
        TorchFacts,
    )
    from rnnprof.device.verified import EvidencePack

Level = Literal["ok", "note", "problem"]

MIN_FREE_BYTES: Final = 64 * MIB
"""Run file and charts of a full default sweep take a few MiB; below this a disk counts as full."""

UNLISTED_BYTES: Final = GIB
"""Device memory in use without a listed process: a driver uses less, a training more."""

THROTTLED_S: Final = 1.0
"""Since the group's start; throttling during start-up alone stays below it."""

DRIVER_REMEDIES: Final = {
    "no_bindings": "pip install nvidia-ml-py",
    "no_driver": "install NVIDIA's driver; in a container, start it with the GPUs (--gpus all)",
    "driver_not_loaded": "load it (modprobe nvidia), or reboot",
    "no_permission": "give this user access to /dev/nvidia*",
    "version_mismatch": "reboot: the driver was updated while it was loaded",
}
_LABELS: Final = {
    "sm_clock_mhz": "clocks",
    "max_sm_clock_mhz": "clocks",
    "memory_clock_mhz": "clocks",
    "temperature_c": "temperature",
    "power_w": "power",
    "power_limit_w": "power",
    "event_reasons": "throttling",
    "used_bytes": "memory in use",
}
CUDA_BUILD: Final = "install a CUDA build of torch: https://pytorch.org/get-started/locally/"


@dataclass(frozen=True, slots=True)
class Remark:
    """One line of the diagnosis.

    Attributes:
        level: ``ok``; ``note``: worth knowing; ``problem``: prevents or disturbs measurements.
        remedy: what to do about it; None if nothing must or can be done.
    """

    level: Level
    subject: str
    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, and which devices can be measured on: ``cpu`` and ``cuda``."""

    can_measure: dict[str, bool]
    findings: tuple[Remark, ...]


def diagnose(facts: Facts, verified: Sequence[EvidencePack]) -> Diagnosis:
    """Judge *facts*; *verified* are the evidence packs that prove the CUDA code."""
    nvidia = facts.nvidia
    findings = [
        *_torch(facts.torch, nvidia),
        *_driver(nvidia, facts.torch),
        *_bindings(nvidia),
        *_visibility(nvidia),
        *(finding for gpu in nvidia.gpus if gpu.is_visible for finding in _gpu(gpu)),
        _cuda_path(verified),
        *_platform(facts.platform, has_cards=bool(nvidia.gpus)),
        *_host(facts.host),
        _folder(facts.folder),
    ]
    return Diagnosis(_can_measure(facts), tuple(findings))


def _can_measure(facts: Facts) -> dict[str, bool]:
    visible = any(gpu.is_visible for gpu in facts.nvidia.gpus)
    return {
        "cpu": facts.torch.is_installed
        and facts.platform.system != "Windows"
        and facts.host.is_process_memory_known,
        "cuda": facts.torch.is_installed and facts.torch.cuda is not None and visible,
    }


def _torch(torch: TorchFacts, nvidia: NvidiaFacts) -> Iterator[Remark]:
    if not torch.is_installed:
        yield Remark("problem", "torch", "is not installed", "pip install torch")
    elif torch.unknown is not None:
        yield Remark("problem", "torch", torch.unknown, "reinstall torch")
    elif torch.cuda is not None:
        yield Remark("ok", "torch", f"{torch.version}, built for CUDA {torch.cuda}")
    elif nvidia.gpus or nvidia.pci_gpus:
        text = f"{torch.version} is built without CUDA, but there is an NVIDIA GPU"
        yield Remark("problem", "torch", text, CUDA_BUILD)
    else:
        yield Remark("ok", "torch", f"{torch.version}, built without CUDA")


def _driver(nvidia: NvidiaFacts, torch: TorchFacts) -> Iterator[Remark]:
    if nvidia.missing is not None:
        yield _missing(nvidia, torch)
        return
    yield Remark("ok", "NVIDIA driver", nvidia.driver or "loaded; its version is unknown")
    for text in nvidia.skipped:
        yield Remark("problem", "NVIDIA driver", text, "see nvidia-smi; a reset or reboot may help")
    if not nvidia.gpus and not nvidia.skipped:
        remedy = "in a container, start it with the GPUs (--gpus all)"
        yield Remark("note", "NVIDIA driver", "it shows no GPU", remedy)


def _missing(nvidia: NvidiaFacts, torch: TorchFacts) -> Remark:
    """Without any sign of a GPU a missing driver is only a note."""
    missing = nvidia.missing
    assert missing is not None, "only called if NVML cannot be used"
    remedy = DRIVER_REMEDIES.get(missing.kind)
    if nvidia.pci_gpus:
        gpus = "GPU" if nvidia.pci_gpus == 1 else "GPUs"
        text = f"{missing.reason} ({nvidia.pci_gpus} NVIDIA {gpus} present)"
        return Remark("problem", "NVML", text, remedy)
    if missing.kind not in ("no_driver", "no_bindings"):
        return Remark("problem", "NVML", missing.reason, remedy)
    if torch.cuda is not None:
        return Remark("note", "NVML", missing.reason, remedy)
    return Remark("note", "NVML", f"{missing.reason}, and no GPU is found")


def _bindings(nvidia: NvidiaFacts) -> Iterator[Remark]:
    """Both distributions install a module ``pynvml``, and the deprecated one may hide the other."""
    if nvidia.pynvml is None:
        return
    if nvidia.nvidia_ml_py is None:
        text = f"the deprecated pynvml {nvidia.pynvml} is installed instead of nvidia-ml-py"
        yield Remark(
            "problem", "NVML bindings", text, "pip uninstall pynvml; pip install nvidia-ml-py"
        )
        return
    text = f"the deprecated pynvml {nvidia.pynvml} may hide nvidia-ml-py {nvidia.nvidia_ml_py}"
    yield Remark("note", "NVML bindings", text, "pip uninstall pynvml")


def _visibility(nvidia: NvidiaFacts) -> Iterator[Remark]:
    name, gpus = "CUDA_VISIBLE_DEVICES", nvidia.gpus
    if not gpus:
        return
    usable = [gpu for gpu in gpus if not gpu.gpu.mig_on]
    if not usable:
        remedy = "make one (nvidia-smi mig -cgi PROFILE -C), or turn MIG off"
        yield Remark("problem", "MIG", "it is on, and no MIG device exists", remedy)
    elif not any(gpu.is_visible for gpu in gpus):
        text = f"{nvidia.visible_devices!r} hides every GPU"
        yield Remark("problem", name, text, f"unset {name}, or name a GPU")
    elif not all(gpu.is_visible for gpu in usable):
        shown = sum(gpu.is_visible for gpu in usable)
        yield Remark(
            "note", name, f"{nvidia.visible_devices!r} shows {shown} of {len(usable)} GPUs"
        )


def _gpu(facts: GpuFacts) -> Iterator[Remark]:
    gpu, subject = facts.gpu, _name(facts)
    memory = f"{format_bytes(gpu.memory_bytes)}" if gpu.memory_bytes else "memory unknown"
    yield Remark("ok", subject, f"{gpu.name}, {memory}")
    if gpu.is_mig:
        text = "a slice of a GPU: work on the GPU's other slices may disturb times"
        yield Remark("note", subject, text, "measure on a whole GPU where times matter")
    yield from _others(facts, subject)
    reasons = slowdowns(facts.conditions)
    if reasons:
        text = f"it is throttled now ({', '.join(reasons)}){_temperature(facts)}"
        yield Remark("problem", subject, text, "let it cool, and check its power and airflow")
    yield from _untold(facts, subject)


def _name(facts: GpuFacts) -> str:
    gpu = facts.gpu
    return f"GPU {gpu.index} {gpu.uuid[:12]}" if gpu.is_mig else f"GPU {gpu.index}"


def _temperature(facts: GpuFacts) -> str:
    conditions = facts.conditions
    if conditions is None or conditions.temperature_c is None:
        return ""
    return f" at {conditions.temperature_c} °C"


def _others(facts: GpuFacts, subject: str) -> Iterator[Remark]:
    remedy = "stop the other processes, or choose another GPU with --device"
    used_bytes = facts.conditions.used_bytes if facts.conditions is not None else None
    if facts.others:
        count = len(facts.others)
        who = "another process uses" if count == 1 else f"{count} other processes use"
        yield Remark("problem", subject, f"{who} it, with {_held(facts)}", remedy)
    elif used_bytes is not None and used_bytes > UNLISTED_BYTES:
        text = f"{format_bytes(used_bytes)} are in use by processes that NVML does not list here"
        yield Remark("problem", subject, text, remedy)
    elif facts.others is None:
        text = f"whether other processes use it is unknown ({facts.others_unknown})"
        yield Remark("note", subject, text)


def _held(facts: GpuFacts) -> str:
    sizes = [other.used_bytes for other in facts.others or ()]
    known = [size for size in sizes if size is not None]
    if not known:
        return "memory that NVML does not report"
    least = "at least " if len(known) < len(sizes) else ""
    return f"{least}{format_bytes(sum(known))}"


def _untold(facts: GpuFacts, subject: str) -> Iterator[Remark]:
    """What NVML does not report of the GPU; doctor itself holds no memory on it."""
    unknown = facts.conditions.unknown if facts.conditions is not None else {}
    fields: dict[str, list[str]] = {}
    for field, reason in unknown.items():
        if field != "own_bytes":
            fields.setdefault(reason, []).append(_LABELS.get(field, field))
    for reason, names in fields.items():
        yield Remark("note", subject, f"unknown: {', '.join(dict.fromkeys(names))} ({reason})")


def _cuda_path(verified: Sequence[EvidencePack]) -> Remark:
    if not verified:
        return Remark("note", "CUDA path", "unverified on GPU")
    packs = ", ".join(f"{pack.gpu} ({pack.date})" for pack in verified)
    return Remark("ok", "CUDA path", f"verified on {packs}")


def _platform(platform: PlatformFacts, *, has_cards: bool) -> Iterator[Remark]:
    if platform.system == "Windows":
        text = "on Windows rnnprof measures neither the CPU nor a process's device memory"
        yield Remark("problem", "platform", text, "use Linux, or WSL 2")
    elif platform.system != "Linux":
        text = f"on {platform.system} no limit is set, and peaks and noise are unknown"
        yield Remark("note", "platform", text, "use Linux where memory matters")
    elif not platform.is_glibc:
        text = "the C library is not glibc: memory on the CPU may grow in steps"
        yield Remark("note", "platform", text)
    else:
        text = "address space above a baseline (RLIMIT_DATA), not resident memory"
        yield Remark("ok", "CPU limit", text)
    if platform.is_wsl and has_cards:
        text = "under WSL a process's device memory is unknown, and may spill to host memory"
        remedy = "set 'CUDA - Sysmem Fallback Policy' to 'Prefer No Sysmem Fallback' in Windows"
        yield Remark("note", "platform", text, remedy)


def _host(host: HostFacts) -> Iterator[Remark]:
    processors = "processor" if host.processors == 1 else "processors"
    free = f"{format_bytes(host.available_bytes)} of {format_bytes(host.memory_bytes)} memory free"
    yield Remark("ok", "CPU", f"{host.processors} {processors}, {free}")
    if not host.is_process_memory_known:
        yield Remark("problem", "CPU", NO_STATUS, MOUNT_PROC)
    left_bytes = host.group_left_bytes
    if left_bytes is not None and left_bytes < host.available_bytes:
        text = f"the control group's limit leaves {format_bytes(left_bytes)} of that memory"
        yield Remark("note", "CPU", text, "raise the limit of the container or job for more")
    if host.group_throttled_s is not None and host.group_throttled_s > THROTTLED_S:
        stopped = format_seconds(host.group_throttled_s)
        text = f"the control group's CPU quota has stopped its processes for {stopped} in total"
        yield Remark("note", "CPU", text, "raise the quota: throttling disturbs times")


def _folder(folder: FolderFacts) -> Remark:
    subject, remedy = "run directory", "choose another with -o"
    name = "the working directory" if folder.path == "." else folder.path
    if not folder.is_folder:
        return Remark("problem", subject, f"{name} is not a directory", remedy)
    full = folder.free_bytes is not None and folder.free_bytes < MIN_FREE_BYTES
    faults = [
        *(() if folder.is_writable else ("cannot be written to",)),
        *((f"is full: {format_bytes(folder.free_bytes)} are free",) if full else ()),
    ]
    if faults:
        return Remark("problem", subject, f"{name} {' and '.join(faults)}", remedy)
    return Remark("ok", subject, f"{name}, {format_bytes(folder.free_bytes)} free")
