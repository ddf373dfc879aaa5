"""Stand-ins for NVIDIA's libraries: SONAME, symbol versions, and the remaining functions.

Our core library, which is loaded first, has the functions that are simulated.  Every other symbol
that torch imports is here, and returns "not supported"; matrix products of cuBLAS return success
and compute nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from rnnprof.simulate.torchbuild import Wanted

NOT_SUPPORTED: Final = 801  # cudaErrorNotSupported, CUDA_ERROR_NOT_SUPPORTED

ANSWERS: Final = {
    "libcudart": NOT_SUPPORTED,
    "libcuda": NOT_SUPPORTED,
    "libcublas": 0,  # a product succeeds without being computed
    "libcublasLt": 0,
    "libcudnn": 3000,  # CUDNN_STATUS_NOT_SUPPORTED of cuDNN 9
    "libcusparse": 10,  # CUSPARSE_STATUS_NOT_SUPPORTED
    "libcusparseLt": 10,
    "libcusolver": 9,  # CUSOLVER_STATUS_NOT_SUPPORTED
    "libcufft": 16,  # CUFFT_NOT_SUPPORTED
    "libcupti": 27,  # CUPTI_ERROR_NOT_SUPPORTED
    "libnccl": 5,  # ncclInvalidUsage
    "libnvrtc": 11,  # NVRTC_ERROR_INTERNAL_ERROR
}
"""The return value of a library's functions, by the stem of its SONAME; else
:data:`NOT_SUPPORTED`."""

DRIVER_SONAME: Final = "libcuda.so.1"

_C_NAME: Final = re.compile(r"[A-Za-z_]\w*")


def source(wanted: Wanted, defined: Collection[str]) -> str:
    """The C source of the stand-in: every symbol of *wanted* that is not in *defined*."""
    answer = ANSWERS.get(wanted.soname.split(".so")[0], NOT_SUPPORTED)
    lines = ["int rnnprof_simulate_answer(const char *function, int otherwise);"]
    lines += [
        f'int {name}(void) {{ return rnnprof_simulate_answer("{name}", {answer}); }}'
        for name in sorted(_missing(wanted, defined))
    ]
    return "\n".join(lines) + "\n"


def version_script(wanted: Wanted, defined: Collection[str]) -> str | None:
    """The linker's version script: each version with its symbols; None without versions."""
    if not wanted.versions:
        return None
    missing = _missing(wanted, defined)
    nodes = []
    for place, version in enumerate(wanted.versions):
        names = [
            name
            for name in sorted(missing)
            # a symbol without a version goes into the first
            if wanted.symbols[name] == version or (place == 0 and wanted.symbols[name] is None)
        ]
        body = f" global: {' '.join(f'{name};' for name in names)}" if names else ""
        nodes.append(f"{version} {{{body} }};")
    return "\n".join(nodes) + "\n"


def _missing(wanted: Wanted, defined: Collection[str]) -> set[str]:
    return {name for name in wanted.symbols if name not in defined and _C_NAME.fullmatch(name)}
