"""What the dtype option means: flags, tensor type, autocast and gradient scaler."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from torch._dynamo.utils import counters

from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.workload import Workload

TENSOR_DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
AUTOCAST_DTYPES: Final = {"amp-bf16": torch.bfloat16, "amp-fp16": torch.float16}

FLAGS: Final = {"fp32-ieee": ("highest", False), "tf32": ("high", True)}
"""For each: the precision of fp32 matrix products, and whether cuDNN may use TF32."""


def set_flags(workload: Workload) -> None:
    """Set torch's process-wide flags for the workload; ``fp32`` leaves them alone.

    Raises:
        UnsupportedError: TF32 on a device without it.
    """
    if workload.dtype == "tf32" and not torch.version.cuda:
        raise UnsupportedError("TF32 is arithmetic of NVIDIA's tensor cores; a CPU has none")
    if workload.dtype in FLAGS:
        matmul, cudnn = FLAGS[workload.dtype]
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn
    if workload.compile:
        from torch._inductor import config as inductor  # takes half a second, so only here

        inductor.compile_threads = 1  # in this process: a pool of compilers would outlive its task
    if workload.impl == "native":
        torch.backends.mkldnn.set_flags(_enabled=False)  # type: ignore[no-untyped-call]
        torch.backends.cudnn.enabled = False


def tensor_dtype(workload: Workload) -> torch.dtype:
    """The type of weights and input."""
    return TENSOR_DTYPES.get(workload.dtype, torch.float32)


def autocast(workload: Workload, device: torch.device) -> AbstractContextManager[Any]:
    """The autocast context of a forward pass; without autocast it does nothing."""
    dtype = AUTOCAST_DTYPES.get(workload.dtype)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def gradient_scaler(workload: Workload, device: torch.device) -> torch.amp.GradScaler:
    """A scaler of the loss for amp-fp16, to avoid underflow; otherwise it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=workload.dtype == "amp-fp16")


def graphs_compiled() -> int:
    """How many graphs torch.compile has made in this process."""
    return int(counters["stats"]["unique_graphs"])
