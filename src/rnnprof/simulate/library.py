"""Builds the simulated GPU's libraries for the installed torch, and loads them before torch.

The C sources are compiled once per build of torch into the user's cache.  No file of NVIDIA is
read, linked or loaded: torch finds our libraries under the same SONAMEs.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from rnnprof.simulate import standins
from rnnprof.simulate.description import GPU_VARIABLE, GpuDescription
from rnnprof.simulate.elf import read_library
from rnnprof.simulate.torchbuild import (
    SimulationUnavailableError,
    TorchBuild,
    Wanted,
    find_torch,
    wanted_libraries,
)

FAULT_VARIABLE: Final = "RNNPROF_SIMULATED_FAULT"

CORE: Final = "librnnprof-gpu.so"
NVML: Final = "libnvidia-ml.so.1"
ORDER: Final = "loading-order"

_SOURCES: Final = Path(__file__).with_name("csrc")
_CORE_SOURCES: Final = (
    "description.c", "fault.c", "context.c", "memory.c", "runtime.c", "driver.c", "cublas.c",
    "cudnn.c", "others.c",
)  # fmt: skip
_NVML_SOURCES: Final = ("nvml.c", "description.c", "fault.c")
_FLAGS: Final = ("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", "-shared")
_STANDIN_FLAGS: Final = ("-std=gnu11", "-O1", "-fPIC", "-fno-builtin", "-shared")
_COMPILERS: Final = ("cc", "gcc", "clang")
_COMPILE_TIMEOUT_S: Final = 120
_KEY_LENGTH: Final = 20


@dataclass(frozen=True, slots=True)
class SimulatedLibrary:
    """The built libraries, in the order in which they are loaded."""

    folder: Path
    files: tuple[Path, ...]

    @property
    def core(self) -> Path:
        """The library that simulates the GPU."""
        return self.folder / CORE

    @property
    def nvml(self) -> Path:
        """Our libnvidia-ml.so.1, which needs none of the others."""
        return self.folder / NVML


class Check(NamedTuple):
    """One thing that a simulated GPU needs: whether it exists, and what to do if not."""

    name: str
    ok: bool
    sentence: str


def build(torch_lib_folder: Path | None = None, cache: Path | None = None) -> SimulatedLibrary:
    """The libraries for the installed torch, compiled on first use in a few seconds.

    Args:
        torch_lib_folder: of torch's shared libraries; by default the torch that would be imported.
        cache: where built libraries are kept; by default in the user's cache.

    Raises:
        SimulationUnavailableError: no CUDA build of torch, no compiler, or compilation failed.
    """
    torch = find_torch(torch_lib_folder)
    place = cache if cache is not None else _user_cache()
    folder = place / _key(torch)
    if not folder.is_dir():
        _build_into(folder, torch, _compiler())
    return _read_built(folder)


def load(library: SimulatedLibrary, gpu: GpuDescription) -> None:
    """Make *gpu* the GPU of this process; to be called before torch is imported and bound.

    Raises:
        SimulationUnavailableError: torch is already imported, or a library cannot be loaded.
    """
    if "torch" in sys.modules:
        raise SimulationUnavailableError(
            "torch is already imported in this process: load the simulated GPU before torch"
        )
    os.environ[GPU_VARIABLE] = gpu.as_text()
    for file in library.files:
        _open(file, ctypes.RTLD_GLOBAL)
    _open(library.core, ctypes.RTLD_GLOBAL).rnnprof_simulate_reset()
    _open(library.nvml, ctypes.RTLD_GLOBAL).rnnprof_simulate_nvml_reset()


def load_nvml(library: SimulatedLibrary, gpu: GpuDescription) -> None:
    """Make NVML answer for *gpu* in a process without torch; a later call replaces the GPU.

    Raises:
        SimulationUnavailableError: the library cannot be loaded.
    """
    os.environ[GPU_VARIABLE] = gpu.as_text()
    _open(library.nvml, ctypes.RTLD_LOCAL).rnnprof_simulate_nvml_reset()


def check(torch_lib_folder: Path | None = None, cache: Path | None = None) -> list[Check]:
    """Check what a simulated GPU needs, for ``rnnprof doctor --simulate``; never raises."""
    checks = [_check_torch(torch_lib_folder), _check_compiler()]
    if all(entry.ok for entry in checks):
        checks.append(_check_library(torch_lib_folder, cache))
    return checks


def _check_torch(folder: Path | None) -> Check:
    try:
        torch = find_torch(folder)
    except SimulationUnavailableError as error:
        return Check("torch", False, str(error))
    version, cuda = torch.version or "unknown", torch.cuda_version
    return Check("torch", True, f"torch {version}, CUDA {cuda // 1000}.{cuda % 1000 // 10}")


def _check_compiler() -> Check:
    try:
        return Check("compiler", True, f"C compiler: {shlex.join(_compiler())}")
    except SimulationUnavailableError as error:
        return Check("compiler", False, str(error))


def _check_library(folder: Path | None, cache: Path | None) -> Check:
    try:
        built = build(folder, cache)
    except (SimulationUnavailableError, OSError) as error:
        return Check("library", False, str(error))
    return Check("library", True, f"{len(built.files)} libraries in {built.folder}")


# ---- the cache


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "rnnprof" / "simulate"


def _key(torch: TorchBuild) -> str:
    """A key of the torch build, from its libraries' sizes and times, and of our own sources."""
    digest = hashlib.sha256(repr((torch, platform.machine())).encode())
    for path in torch.libraries():
        status = path.stat()
        digest.update(repr((path.name, status.st_size, status.st_mtime_ns)).encode())
    ours = [*_SOURCES.iterdir(), *(Path(__file__).with_name(f"{name}.py") for name in _MAKERS)]
    for path in sorted(path for path in ours if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:_KEY_LENGTH]


_MAKERS: Final = ("elf", "library", "standins", "torchbuild")


def _read_built(folder: Path) -> SimulatedLibrary:
    names = (folder / ORDER).read_text(encoding="utf-8").split()
    return SimulatedLibrary(folder, tuple(folder / name for name in names))


def _build_into(folder: Path, torch: TorchBuild, compiler: list[str]) -> None:
    """Build beside *folder* and rename: the folder is complete even if two processes build it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as error:
        raise SimulationUnavailableError(
            f"no library can be built in {folder.parent}: {error.strerror or error}; "
            "set XDG_CACHE_HOME to a folder that can be written"
        ) from None
    try:
        names = _compile_all(scratch, torch, compiler)
        (scratch / ORDER).write_text("\n".join(names) + "\n", encoding="utf-8")
        _rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rename(scratch: Path, folder: Path) -> None:
    scratch.chmod(0o755)
    try:
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process built the same first
            raise


# ---- compiling


def _compiler() -> list[str]:
    chosen = shlex.split(os.environ.get("CC", ""))
    for candidate in [chosen] if chosen else [[name] for name in _COMPILERS]:
        if shutil.which(candidate[0]):
            return candidate
    named = f"CC={shlex.join(chosen)} is not found" if chosen else "there is no C compiler"
    raise SimulationUnavailableError(
        f"{named}, and a simulated GPU is a C library that is built on first use: install gcc or "
        "clang (Debian: apt install gcc), or set CC"
    )


def _compile_all(folder: Path, torch: TorchBuild, compiler: list[str]) -> list[str]:
    """Compile everything into *folder*; return the names in loading order."""
    versions = [f"-DCUDA_VERSION={torch.cuda_version}", f"-DCUDNN_VERSION={torch.cudnn_version}"]
    flags = [*_FLAGS, *versions]
    _run([*compiler, *flags, *_output(folder, CORE), *_paths(_CORE_SOURCES), "-ldl", "-lpthread"])
    _run([*compiler, *flags, *_output(folder, NVML), *_paths(_NVML_SOURCES), "-ldl", "-lpthread"])
    defined = read_library(folder / CORE).exports
    wanted = [entry for entry in _all_wanted(torch) if entry.soname != NVML]
    for entry in wanted:
        _compile_standin(folder, entry, defined, compiler)
    return [CORE, NVML, *(entry.soname for entry in wanted)]


def _all_wanted(torch: TorchBuild) -> tuple[Wanted, ...]:
    """What torch imports, and the driver, which torch opens by name if it is not linked to it."""
    wanted = wanted_libraries(torch)
    if any(entry.soname == standins.DRIVER_SONAME for entry in wanted):
        return wanted
    return (Wanted(standins.DRIVER_SONAME, (), {}), *wanted)


def _compile_standin(
    folder: Path, wanted: Wanted, defined: frozenset[str], compiler: list[str]
) -> None:
    """Link it to our core, so that a program that opens it by name finds all symbols there."""
    text, script = folder / "standin.c", folder / "standin.map"
    text.write_text(standins.source(wanted, defined), encoding="utf-8")
    versions = standins.version_script(wanted, defined)
    options = ["-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN"]
    if versions is not None:
        script.write_text(versions, encoding="utf-8")
        options.append(f"-Wl,--version-script,{script}")
    command = [*compiler, *_STANDIN_FLAGS, *_output(folder, wanted.soname), *options]
    _run([*command, str(text), str(folder / CORE)])
    text.unlink()
    script.unlink(missing_ok=True)


def _output(folder: Path, name: str) -> tuple[str, ...]:
    return (f"-Wl,-soname,{name}", "-o", str(folder / name))


def _paths(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(_SOURCES / name) for name in names)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SimulationUnavailableError(f"the C compiler {command[0]} failed: {error}") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SimulationUnavailableError(
            f"the C compiler {command[0]} could not build the simulated GPU: {last}; "
            "set CC to a working gcc or clang with the C library's headers"
        )


def _open(file: Path, mode: int) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(file), mode)
    except OSError as error:
        raise SimulationUnavailableError(
            f"{error}; remove {file.parent} to build the library again"
        ) from None
