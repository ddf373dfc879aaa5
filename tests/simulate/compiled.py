"""A torch of a few symbols, made with the C compiler, and the simulated GPU built for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

COMPILER = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")

RUNTIME = "libcudart.so.13"
DNN = "libcudnn.so.9"


def shared_library(
    path: Path, text: str, *options: str, soname: str | None = None, script: str | None = None
) -> None:
    """Compile *text* into the shared library *path*."""
    source, versions = path.with_suffix(".c"), path.with_suffix(".map")
    source.write_text(text)
    given = list(options)
    if script is not None:
        versions.write_text(script)
        given.append(f"-Wl,--version-script,{versions}")
    name = f"-Wl,-soname,{soname or path.name}"
    command = [str(COMPILER), "-w", "-shared", "-fPIC", name, "-o", str(path), str(source), *given]
    subprocess.run(command, check=True, capture_output=True)


def fake_torch(folder: Path) -> Path:
    """A torch folder whose libtorch_cuda.so imports versioned symbols of CUDA 13; its ``lib``."""
    library, vendor = folder / "torch" / "lib", folder / "vendor"
    library.mkdir(parents=True)
    vendor.mkdir()
    runtime = "int cudaMalloc(void){return 0;} int cudaGraphLaunch(void){return 0;}"
    shared_library(vendor / RUNTIME, runtime, script=f"{RUNTIME} {{ global: *; }};")
    dnn = "int cudnnCreate(void){return 0;} int cudnnConvolutionForward(void){return 0;}"
    shared_library(vendor / DNN, dnn, script=f"{DNN} {{ global: *; }};")
    text = """
        int cudaMalloc(void); int cudaGraphLaunch(void);
        int cudnnCreate(void); int cudnnConvolutionForward(void);
        int use(void) { return cudaMalloc() + cudaGraphLaunch() + cudnnCreate()
            + cudnnConvolutionForward(); }
    """
    linked = (str(vendor / RUNTIME), str(vendor / DNN))
    shared_library(library / "libtorch_cuda.so", text, *linked)
    version = "__version__ = '2.99.0+cu130'\ncuda: Optional[str] = '13.0'\n"
    (library.parent / "version.py").write_text(version)
    metadata = folder / "torch-2.99.0.dist-info"
    metadata.mkdir()
    required = 'Requires-Dist: nvidia-cudnn-cu13==9.30.1.2; platform_system == "Linux"\n'
    (metadata / "METADATA").write_text(required)
    return library
