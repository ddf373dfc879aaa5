"""What a training step reads from a simulated GPU, where everything reads as zero."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rnnprof.simulate.description import GPU_VARIABLE
from rnnprof.worker.workload.layers import UnsupportedError

SCALAR: Final = "aten::_local_scalar_dense"
COPY: Final = "aten::_to_copy"
SIZED_BY_VALUES: Final = frozenset({
    "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_consecutive",
    "aten::unique_dim", "aten::repeat_interleave",
})  # fmt: skip
"""The size of their result depends on values on the GPU."""


class GpuReads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses a read that sizes or control flow may depend on."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Check one operator before it runs.

        Raises:
            UnsupportedError: it reads integers, or computes a size from values.
        """
        kwargs = kwargs or {}
        name = str(function.name()).partition(".")[0]
        if name in SIZED_BY_VALUES and _is_on_gpu(args):
            raise UnsupportedError(_refusal(f"{name} computes a size from values on the GPU"))
        if (name == SCALAR or (name == COPY and _is_to_cpu(kwargs))) and _is_whole(args):
            raise UnsupportedError(_refusal("the step reads integers from the GPU"))
        return function(*args, **kwargs)


@contextmanager
def simulated_reads_refused() -> Iterator[None]:
    """Refuse such reads if the GPU is simulated; otherwise do nothing."""
    if GPU_VARIABLE not in os.environ:
        yield
        return
    with GpuReads():  # type: ignore[no-untyped-call]
        yield


def _is_on_gpu(args: Any) -> bool:
    return any(isinstance(each, torch.Tensor) and each.is_cuda for each in args)


def _is_to_cpu(kwargs: dict[str, Any]) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device).type == "cpu"


def _is_whole(args: Any) -> bool:
    read = args[0]
    return bool(read.is_cuda) and not (read.is_floating_point() or read.dtype is torch.bool)


def _refusal(what: str) -> str:
    return (
        f"on a simulated GPU every value is zero, and {what}: keep lengths and control flow on the "
        "CPU"
    )
