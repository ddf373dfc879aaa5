"""Floating-point operations of one step of a user's own factory, counted as they run.

torch's FlopCounterMode counts matrix products, convolutions and attention, but not the fused
recurrent layers: their formulas are here, by the convention of :mod:`rnnprof.breakdown.flops`.
If an operation runs that looks like such work and has no formula, there is no count: an incomplete
sum would be taken for the total.  Kernels that bypass torch's dispatcher, such as those of an
extension called directly, are not counted.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from rnnprof.breakdown.flops import FLOPS_PER_WEIGHT
from rnnprof.factory import PhaseMarker, Training
from rnnprof.worker.workload.location import text_of, type_of

_WORK: Final = re.compile(
    r"(?:.*_)?(?:\w*mm|\w*mv|v?dot|matmul|linear|bilinear|trilinear|conv(?:olution)?(?:\dd)?"
    r"|attention|rnn|lstm|gru)(?:_.*)?"
)
"""Names of operators that multiply matrices: ``_int_mm``, ``mkldnn_rnn_layer``, ``slow_conv2d``."""

_NO_WORK: Final = re.compile(r"_thnn_fused_\w+|_cudnn_rnn_flatten_weight|\w*upsample\w*")
"""Exceptions, which multiply nothing: a cell's pointwise half, a copy of weights, an
interpolation."""

_KNOWN_NAMESPACES: Final = frozenset(
    {"aten", "prim", "prims", "profiler", "c10d", "c10d_functional", "_c10d_functional"}
)
"""Only its author knows what an operator of another namespace does."""

_HOOKED_COMPILE: Final = r"Using `torch\.compile\(module\)` when there are global hooks"
"""A warning about the counter's own hooks, which change nothing."""


def count_flops(training: Training, phase: PhaseMarker) -> tuple[int | None, str | None]:
    """Run one more step and count its operations; or None and why they could not be counted."""
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    watch = _Watch()
    try:
        # the counter, entered last, is called first: the watch sees what really runs below it
        with warnings.catch_warnings(), watch, counter:
            warnings.filterwarnings("ignore", _HOOKED_COMPILE)
            training.step(phase)
    except Exception as error:  # the step itself has run before: only the counting failed
        first_line = text_of(error).partition("\n")[0]
        return None, f"counting operations raised {type_of(error)}: {first_line}"[:300]
    unknown = sorted(str(op) for op in watch.seen if _needs_formula(op, counter))
    if unknown:
        return None, f"no formula for the operations of {', '.join(unknown)}"[:300]
    return counter.get_total_flops(), None


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records which operators ran."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[Any] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.seen.add(getattr(func, "overloadpacket", func))
        return func(*args, **(kwargs or {}))


def _needs_formula(packet: Any, counter: FlopCounterMode) -> bool:
    if packet in counter.flop_registry:
        return False
    namespace, _, name = str(packet).partition(".")
    if namespace not in _KNOWN_NAMESPACES:
        return True
    return bool(_WORK.fullmatch(name)) and not _NO_WORK.fullmatch(name)


# --- formulas ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Formula:
    """A formula over an operator's own arguments, instead of their shapes."""

    flops: Callable[..., int]
    _get_raw = True  # FlopCounterMode then passes tensors, not shapes

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        kwargs.pop("out_val", None)  # what the operator returned
        return self.flops(*args, **kwargs)


def _matrix_vector(matrix: torch.Tensor, _vector: torch.Tensor) -> int:
    return FLOPS_PER_WEIGHT * matrix.numel()


def _added_matrix_vector(_added: torch.Tensor, matrix: torch.Tensor, *_: Any, **__: Any) -> int:
    return FLOPS_PER_WEIGHT * matrix.numel()


def _onednn_forward(
    inputs: torch.Tensor, input_weights: torch.Tensor, state_weights: torch.Tensor, *_: Any
) -> int:
    """One layer and direction, as ``aten::mkldnn_rnn_layer`` runs it."""
    weights = input_weights.numel() + state_weights.numel()
    return FLOPS_PER_WEIGHT * weights * _rows(inputs)


def _onednn_backward(
    inputs: torch.Tensor, input_weights: torch.Tensor, state_weights: torch.Tensor, *_: Any
) -> int:
    unneeded = 0 if inputs.requires_grad else input_weights.numel()
    whole = 2 * _onednn_forward(inputs, input_weights, state_weights)
    return whole - FLOPS_PER_WEIGHT * unneeded * _rows(inputs)


def _cudnn_forward(inputs: torch.Tensor, weights: list[torch.Tensor], *_: Any) -> int:
    """All layers and directions: each matrix multiplies every row of the input once."""
    matrices = sum(weight.numel() for weight in weights if weight.dim() == 2)
    return FLOPS_PER_WEIGHT * matrices * _rows(inputs)


def _cudnn_backward(
    inputs: torch.Tensor, weights: list[torch.Tensor], stride: int, *rest: Any
) -> int:
    """Twice the forward pass; the mask at the end says whether the input needs a gradient."""
    whole = 2 * _cudnn_forward(inputs, weights)
    if rest[-1][0]:
        return whole
    # each direction of a layer has `stride` tensors; the first multiplies the input
    directions = 2 if rest[_BIDIRECTIONAL] else 1
    unneeded = sum(weights[index * stride].numel() for index in range(directions))
    return whole - FLOPS_PER_WEIGHT * unneeded * _rows(inputs)


_BIDIRECTIONAL: Final = 14
"""Index of the argument among those of ``aten::_cudnn_rnn_backward`` that follow its stride."""


def _rows(inputs: torch.Tensor) -> int:
    """Time steps of all sequences: (steps, batch, features), or packed (rows, features)."""
    return prod(inputs.shape[:-1])


_COUNTED: Final[dict[str, Callable[..., int]]] = {
    "mkldnn_rnn_layer": _onednn_forward,
    "mkldnn_rnn_layer_backward": _onednn_backward,
    "_cudnn_rnn": _cudnn_forward,
    "_cudnn_rnn_backward": _cudnn_backward,
    "mv": _matrix_vector,
    "addmv": _added_matrix_vector,
    "dot": _matrix_vector,
    "vdot": _matrix_vector,
}

FORMULAS: Final[dict[Any, _Formula]] = {
    getattr(torch.ops.aten, name): _Formula(flops) for name, flops in _COUNTED.items()
}
"""Formulas by operator, in addition to those of FlopCounterMode."""
