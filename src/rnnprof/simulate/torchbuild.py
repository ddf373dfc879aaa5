"""What a simulated GPU needs to know of the installed torch, read without importing it."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprof.errors import NoDeviceError
from rnnprof.simulate.elf import Import, NotElfError, SharedLibrary, read_library

FALLBACK_CUDNN_VERSION: Final = 92400
"""Used if torch's metadata names none: torch requires a cuDNN that is not older than its own."""

INSTALL_CUDA_TORCH: Final = (
    "install the CUDA build, for example `pip install --no-deps torch==2.14.1` "
    "in an environment of its own"
)

_NVIDIA_LIBRARY: Final = re.compile(r"lib(cu|nv|nccl)")
_OWN_LIBRARIES: Final = ("libtorch*.so", "libc10*.so", "libcaffe2*.so", "libshm.so")

_OWNERS: Final = (
    ("cublasLt", "libcublasLt"), ("cublas", "libcublas"), ("cudnn", "libcudnn"),
    ("cusparseLt", "libcusparseLt"), ("cusparse", "libcusparse"), ("cusolver", "libcusolver"),
    ("cufft", "libcufft"), ("curand", "libcurand"), ("cuFile", "libcufile"), ("cupti", "libcupti"),
    ("nccl", "libnccl"), ("nvrtc", "libnvrtc"), ("nvshmem", "libnvshmem_host"),
    ("nvtx", "libnvToolsExt"), ("nvJitLink", "libnvJitLink"), ("nvml", "libnvidia-ml"),
    ("__cuda", "libcudart"), ("cuda", "libcudart"), ("cu", "libcuda"),
)  # fmt: skip
"""Prefix of a symbol without a version -> the library that has it; the first that matches."""


class SimulationUnavailableError(NoDeviceError):
    """No GPU can be simulated here; the message has the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """An installed CUDA build of torch.

    Attributes:
        folder: of its shared libraries.
        version: as torch writes it; None if unknown.
        cuda_version: as CUDA writes it: 13000 is 13.0.
        cudnn_version: as cuDNN 9 writes it: 92400 is 9.24.0.
    """

    folder: Path
    version: str | None
    cuda_version: int
    cudnn_version: int

    def libraries(self) -> tuple[Path, ...]:
        """torch's own shared libraries, which may import from NVIDIA's."""
        found = {path for pattern in _OWN_LIBRARIES for path in self.folder.glob(pattern)}
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What torch needs from one of NVIDIA's libraries.

    Attributes:
        versions: the symbol versions that the library must define.
        symbols: name -> its version, or None if torch requires none.
    """

    soname: str
    versions: tuple[str, ...]
    symbols: dict[str, str | None]


def find_torch(folder: Path | None = None) -> TorchBuild:
    """The CUDA build of torch that is installed, or that has its libraries in *folder*.

    Raises:
        SimulationUnavailableError: there is no torch, or it is not a CUDA build.
    """
    libraries = folder if folder is not None else _installed_folder()
    if not any(libraries.glob("libtorch_cuda*.so")):
        raise SimulationUnavailableError(
            f"the torch in {libraries.parent} is not a CUDA build, and a simulated GPU runs "
            f"torch's CUDA code: {INSTALL_CUDA_TORCH}"
        )
    own_words = _read_text(libraries.parent / "version.py")
    return TorchBuild(
        folder=libraries,
        version=_first(r"__version__\s*=\s*'([^']+)'", own_words),
        cuda_version=_cuda_version(own_words, libraries),
        cudnn_version=_cudnn_version(libraries),
    )


def wanted_libraries(build: TorchBuild) -> tuple[Wanted, ...]:
    """What *build* imports from NVIDIA's libraries, by SONAME in alphabetical order.

    Raises:
        SimulationUnavailableError: a library of torch cannot be read.
    """
    read = [_read(path) for path in build.libraries()]
    sonames = {name for library in read for name in library.needed if _NVIDIA_LIBRARY.match(name)}
    symbols: dict[str, dict[str, str | None]] = {soname: {} for soname in sonames}
    versions: dict[str, list[str]] = {soname: [] for soname in sonames}
    for library in read:
        for soname, names in library.needed_versions.items():
            versions.get(soname, []).extend(names)
        for entry in library.imports:
            owner = _owner(entry, sonames)
            if owner is not None:
                symbols[owner].setdefault(entry.name, entry.version)
    return tuple(
        Wanted(soname, tuple(dict.fromkeys(versions[soname])), symbols[soname])
        for soname in sorted(sonames)
    )


def _owner(entry: Import, sonames: set[str]) -> str | None:
    if entry.file is not None:
        return entry.file if entry.file in sonames else None
    for prefix, stem in _OWNERS:
        if entry.name.startswith(prefix) and (prefix != "cu" or entry.name[2:3].isupper()):
            return next((soname for soname in sonames if soname.split(".so")[0] == stem), None)
    return None


def _read(path: Path) -> SharedLibrary:
    try:
        return read_library(path)
    except (OSError, NotElfError) as error:
        raise SimulationUnavailableError(
            f"torch's library cannot be read: {error}; install torch again"
        ) from None


def _installed_folder() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise SimulationUnavailableError(
            "torch is not installed, and a simulated GPU runs torch's CUDA code: "
            f"{INSTALL_CUDA_TORCH}"
        )
    return Path(spec.origin).parent / "lib"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


def _cuda_version(own_words: str, libraries: Path) -> int:
    """From torch's ``version.py``, else from the SONAME of the runtime that it is linked to."""
    if match := re.search(r"^cuda\b[^=\n]*=\s*'(\d+)\.(\d+)", own_words, re.MULTILINE):
        return int(match[1]) * 1000 + int(match[2]) * 10
    for path in sorted(libraries.glob("libtorch_cuda*.so")):
        for soname in _read(path).needed:
            if match := re.match(r"libcudart\.so\.(\d+)", soname):
                return int(match[1]) * 1000
    raise SimulationUnavailableError(
        f"the torch in {libraries.parent} is not linked to a known CUDA runtime: "
        f"{INSTALL_CUDA_TORCH}"
    )


def _cudnn_version(libraries: Path) -> int:
    """The version that the metadata of torch's wheel requires."""
    site = libraries.parent.parent
    for metadata in sorted(site.glob("torch-*.dist-info/METADATA")):
        match = re.search(r"nvidia-cudnn-cu\d+==(\d+)\.(\d+)\.(\d+)", _read_text(metadata))
        if match:
            return int(match[1]) * 10000 + int(match[2]) * 100 + int(match[3])
    return FALLBACK_CUDNN_VERSION
