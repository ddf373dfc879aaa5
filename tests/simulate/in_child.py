"""Calls to the simulated GPU in a process of its own: its state is the process's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rnnprof.simulate.library import FAULT_VARIABLE, SimulatedLibrary

SOURCE = Path(__file__).parents[2] / "src"

PROLOGUE = """
import ctypes as C, json, os
from pathlib import Path
from rnnprof.simulate.description import describe
from rnnprof.simulate.library import SimulatedLibrary, load, load_nvml
folder = Path({folder!r})
library = SimulatedLibrary(folder, tuple(folder / name for name in {names!r}))
gpu = describe({gpu!r})
MIB = 1 << 20
if {nvml_only!r}:
    load_nvml(library, gpu)
else:
    load(library, gpu)
    core = C.CDLL(str(library.core))
    core.cudaGetErrorString.restype = C.c_char_p
    core.rnnprof_simulate_used_bytes.restype = C.c_size_t
    core.rnnprof_simulate_launches.restype = C.c_ulonglong
def malloc(size):
    at = C.c_void_p()
    return core.cudaMalloc(C.byref(at), C.c_size_t(size)), at.value
def free(at):
    return core.cudaFree(C.c_void_p(at))
def info():
    free_bytes, total = C.c_size_t(), C.c_size_t()
    status = core.cudaMemGetInfo(C.byref(free_bytes), C.byref(total))
    return status, free_bytes.value, total.value
def launch():
    class Dim(C.Structure):
        _fields_ = [("x", C.c_uint), ("y", C.c_uint), ("z", C.c_uint)]
    return core.cudaLaunchKernel(None, Dim(1, 1, 1), Dim(32, 1, 1), None, C.c_size_t(0), None)
def say(value):
    print(json.dumps(value))
"""


class Child:
    """Runs Python with the simulated GPU loaded, and gives back what it says last."""

    def __init__(self, library: SimulatedLibrary) -> None:
        self._library = library

    def __call__(
        self, code: str, *, gpu: str = "t4", fault: str = "", nvml_only: bool = False, **env: str
    ) -> Any:
        done = self.run(code, gpu=gpu, fault=fault, nvml_only=nvml_only, **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def run(
        self, code: str, *, gpu: str = "t4", fault: str = "", nvml_only: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        prologue = PROLOGUE.format(
            folder=str(self._library.folder),
            names=[file.name for file in self._library.files],
            gpu=gpu,
            nvml_only=nvml_only,
        )
        variables = {**os.environ, "PYTHONPATH": str(SOURCE), **env}
        variables.pop("CUDA_VISIBLE_DEVICES", None)
        variables |= {FAULT_VARIABLE: fault, **env}
        command = [sys.executable, "-c", prologue + code]
        return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60)
