"""The raw facts that ``rnnprof doctor`` judges: torch is not imported, nothing is written.

Paths are relative and processes have numbers only: no user or host name is among the facts.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rnnprof.device import cgroup
from rnnprof.device.nvml import Gpu, Nvml, NvmlMissing, OtherProcess, visible_cards
from rnnprof.device.process import is_memory_known, machine_memory_bytes, usable_processors
from rnnprof.runfile.observations import DeviceConditions

RUNS: Final = "rnnprof-runs"
NVIDIA_VENDOR: Final = "0x10de"
DISPLAY_CLASS: Final = "0x03"
"""PCI's class of display controllers: it includes compute GPUs, but not audio and switches."""


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """The operating system: its name, whether it is WSL, and whether its C library is glibc."""

    system: str
    is_wsl: bool
    is_glibc: bool


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Processors and memory, and what this process's control group leaves of them.

    Attributes:
        group_left_bytes: None if no limit is set.
        group_throttled_s: since the group's start; None if the kernel does not count it.
        is_process_memory_known: whether a process can read its own memory from /proc.
    """

    processors: int
    memory_bytes: int
    available_bytes: int
    group_left_bytes: int | None = None
    group_throttled_s: float | None = None
    is_process_memory_known: bool = True


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """Where run files go by default: ``rnnprof-runs`` or ``.``; *free_bytes* None if unknown."""

    path: str
    is_folder: bool
    is_writable: bool
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """The installed torch, read from its files.

    Attributes:
        cuda: the CUDA version that it was built for; None for a build without.
        unknown: why version and CUDA are not known, if they are not.
    """

    is_installed: bool
    version: str | None = None
    cuda: str | None = None
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """A GPU or a slice of one.

    Attributes:
        is_visible: whether CUDA_VISIBLE_DEVICES leaves it; only then are the other fields read.
        others: processes on it; None if unknown, with the reason in *others_unknown*.
    """

    gpu: Gpu
    is_visible: bool
    conditions: DeviceConditions | None = None
    others: tuple[OtherProcess, ...] | None = None
    others_unknown: str | None = None


@dataclass(frozen=True, slots=True)
class NvidiaFacts:
    """What is known of NVIDIA's GPUs and software.

    Attributes:
        missing: why NVML cannot be used; None if it can.
        pci_gpus: NVIDIA GPUs on the PCI bus, with or without driver; None if the bus cannot be
            read.
        skipped: GPUs that NVML counts but cannot read, with the reason.
        nvidia_ml_py, pynvml: installed versions of the bindings and of their deprecated namesake.
    """

    missing: NvmlMissing | None = None
    driver: str | None = None
    pci_gpus: int | None = None
    gpus: tuple[GpuFacts, ...] = ()
    skipped: tuple[str, ...] = ()
    visible_devices: str | None = None
    nvidia_ml_py: str | None = None
    pynvml: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that doctor judges."""

    platform: PlatformFacts
    host: HostFacts
    folder: FolderFacts
    torch: TorchFacts
    nvidia: NvidiaFacts


def _installed_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch_folder() -> Path | None:
    """The folder of the torch that would be imported; a folder without its code does not count."""
    spec = importlib.util.find_spec("torch")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the facts come from: this machine, or a fake one in tests."""

    open_nvml: Callable[[], Nvml | NvmlMissing] = Nvml.open
    installed_version: Callable[[str], str | None] = _installed_version
    torch_folder: Callable[[], Path | None] = _torch_folder
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    pci: Path = Path("/sys/bus/pci/devices")
    kernel: Path = Path("/proc/version")
    system: Callable[[], str] = platform.system
    libc: Callable[[], str] = lambda: platform.libc_ver()[0]
    processors: Callable[[], int] = usable_processors
    memory_bytes: Callable[[], tuple[int, int]] = machine_memory_bytes
    group_left_bytes: Callable[[], int | None] = cgroup.memory_left_bytes
    group_throttled_s: Callable[[], float | None] = cgroup.throttled_s
    is_process_memory_known: Callable[[], bool] = is_memory_known
    folder: Path = Path()
    may_write: Callable[[Path], bool] = lambda path: os.access(path, os.W_OK | os.X_OK)
    disk_usage: Callable[[Path], Any] = shutil.disk_usage


def inspect(machine: Machine | None = None) -> Facts:
    """Gather the facts of *machine*, by default this one."""
    machine = machine or Machine()
    memory_bytes, available_bytes = machine.memory_bytes()
    return Facts(
        platform=_platform(machine),
        host=HostFacts(
            processors=machine.processors(),
            memory_bytes=memory_bytes,
            available_bytes=available_bytes,
            group_left_bytes=machine.group_left_bytes(),
            group_throttled_s=machine.group_throttled_s(),
            is_process_memory_known=machine.is_process_memory_known(),
        ),
        folder=_run_folder(machine),
        torch=_torch(machine.torch_folder()),
        nvidia=_nvidia(machine),
    )


def _platform(machine: Machine) -> PlatformFacts:
    return PlatformFacts(
        system=machine.system(),
        is_wsl="microsoft" in (_text(machine.kernel) or "").lower(),
        is_glibc=machine.libc() == "glibc",
    )


def _run_folder(machine: Machine) -> FolderFacts:
    runs = machine.folder / RUNS
    path, name = (runs, RUNS) if runs.exists() else (machine.folder, ".")
    try:
        free_bytes = int(machine.disk_usage(path).free)
    except OSError:
        free_bytes = None
    return FolderFacts(name, path.is_dir(), machine.may_write(path), free_bytes)


def installed_torch() -> TorchFacts:
    """The torch that a worker will import, found without importing it."""
    return _torch(_torch_folder())


def _torch(folder: Path | None) -> TorchFacts:
    """Read the text of ``torch/version.py``, since importing torch takes seconds."""
    if folder is None:
        return TorchFacts(is_installed=False)
    text = _text(folder / "version.py")
    if text is None:
        return TorchFacts(is_installed=True, unknown="its version.py cannot be read")
    values = _assigned(text)
    version, cuda = values.get("__version__"), values.get("cuda")
    if version is None:
        return TorchFacts(is_installed=True, unknown="its version.py names no version")
    return TorchFacts(is_installed=True, version=version, cuda=cuda)


def _assigned(text: str) -> dict[str, str]:
    """The names that a module assigns strings to, with or without a type annotation."""
    import ast

    try:
        body = ast.parse(text).body
    except SyntaxError:
        return {}
    values: dict[str, str] = {}
    for line in body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        value = getattr(getattr(line, "value", None), "value", None)
        if isinstance(value, str):
            values |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return values


def _nvidia(machine: Machine) -> NvidiaFacts:
    visible_devices = machine.environ.get("CUDA_VISIBLE_DEVICES")
    opened = machine.open_nvml()
    known: dict[str, Any] = {
        "pci_gpus": _pci_gpus(machine.pci),
        "visible_devices": visible_devices,
        "nvidia_ml_py": machine.installed_version("nvidia-ml-py"),
        "pynvml": machine.installed_version("pynvml"),
    }
    if isinstance(opened, NvmlMissing):
        return NvidiaFacts(missing=opened, **known)
    try:
        survey = opened.survey()
        visible = visible_cards(survey.gpus, visible_devices)
        gpus = tuple(_gpu(opened, gpu, gpu in visible) for gpu in survey.gpus)
        driver = opened.driver_version()
    finally:
        opened.close()
    return NvidiaFacts(driver=driver, gpus=gpus, skipped=survey.skipped, **known)


def _gpu(nvml: Nvml, gpu: Gpu, is_visible: bool) -> GpuFacts:
    if not is_visible:
        return GpuFacts(gpu, is_visible)
    others, reason = nvml.others(gpu.uuid, os.getpid())
    return GpuFacts(gpu, is_visible, nvml.read(gpu.uuid, os.getpid()), others, reason)


def _pci_gpus(bus: Path) -> int | None:
    try:
        devices = list(bus.iterdir())
    except OSError:
        return None
    return sum(
        (_text(device / "vendor") or "").strip() == NVIDIA_VENDOR
        and (_text(device / "class") or "").startswith(DISPLAY_CLASS)
        for device in devices
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
