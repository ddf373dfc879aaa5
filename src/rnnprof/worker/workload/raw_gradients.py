"""Gradients as the backward passes of a training step leave them, before anything changes them.

Clipping makes gradients of different batches similar, and a loss scale makes them large: a noise
scale must include neither.  So gradients are copied when autograd has accumulated them, before the
code of the step can change them, however it clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

LOSS_SCALE: Final = 65536.0
"""The loss is multiplied by it, and gradients are divided by it, so that they do not underflow in
fp16.  A power of two changes no digit."""

SCALE_STEP: Final = 16.0
"""The scale is divided by it, and gradients are computed again, if one is not finite."""

HOOKED: Final = (
    "a hook on a parameter's gradient changes it during the backward pass, as clipping does: the "
    "original gradient is not available"
)
NOT_ACCUMULATED: Final = (
    "the optimizer's gradients do not come from backward(): whether they were clipped is not known"
)
CLIPPED_BETWEEN: Final = (
    "gradients are clipped between the backward passes of one training step: the original gradient "
    "is not available"
)
NO_STEP: Final = "the step did not reach its optimizer: a gradient scaler may have skipped it"


class Unknown(Exception):  # noqa: N818  # not an error: the workload cannot provide a figure
    """Has the reason for the record."""


def unscaled_grad(
    loss: Tensor, inputs: Sequence[Tensor], *, allow_unused: bool = False
) -> list[Tensor | None]:
    """``torch.autograd.grad`` with a scaled loss; the result is fp32 or wider."""
    scale = LOSS_SCALE
    while True:
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss * scale, inputs, allow_unused=allow_unused, retain_graph=scale > 1
        )
        known = [gradient for gradient in found if gradient is not None]
        if scale <= 1 or all(bool(gradient.isfinite().all()) for gradient in known):
            return [None if each is None else _wide(each) / scale for each in found]
        scale /= SCALE_STEP


def _wide(gradient: Tensor) -> Tensor:
    is_half = gradient.dtype in (torch.float16, torch.bfloat16)
    return gradient.float() if is_half else gradient


def raw_gradients(optimizer: torch.optim.Optimizer, step: Callable[[], object]) -> list[Tensor]:
    """Gradients of the optimizer's parameters, from a training step that changes no weight.

    Raises:
        Unknown: they cannot be separated from what the step does to them.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if any(map(_is_hooked, parameters)):
        raise Unknown(HOOKED)
    watch = _Watch()
    with watch.over(parameters, optimizer):
        step()
    if not watch.has_stepped:
        raise Unknown(NO_STEP)
    if watch.is_clipped_between:
        raise Unknown(CLIPPED_BETWEEN)
    if watch.others:
        raise Unknown(NOT_ACCUMULATED)
    return [watch.gradient_of(parameter) for parameter in parameters]


def _is_hooked(parameter: Tensor) -> bool:
    """Whether the user's code runs on a gradient before it can be copied."""
    hooks = parameter._backward_hooks, parameter._post_accumulate_grad_hooks  # noqa: SLF001
    return any(hooks)


class _Watch:
    """What happens to gradients in one training step.

    Attributes:
        caught: gradient by parameter, as last accumulated.
        scale: of the loss, from the gradient scaler.
        others: number of parameters whose gradient does not come from ``backward()``.
    """

    def __init__(self) -> None:
        self.caught: dict[Tensor, Tensor] = {}
        self.scale = 1.0
        self.has_stepped = False
        self.has_clipped = False
        self.is_clipped_between = False
        self.others = 0

    def gradient_of(self, parameter: Tensor) -> Tensor:
        """The gradient without the scale; zero if there was none."""
        caught = self.caught.get(parameter)
        return torch.zeros_like(parameter) if caught is None else caught / self.scale

    @contextmanager
    def over(self, parameters: list[Tensor], optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Watch the gradients, and make the optimizer's step do nothing."""

        def stand_still(*_: Any, **__: Any) -> None:
            self.has_stepped = True
            self.others = sum(p.grad is not None and p not in self.caught for p in parameters)

        with ExitStack() as undone:
            for parameter in parameters:
                if parameter.requires_grad:
                    hook = parameter.register_post_accumulate_grad_hook(self._catch)  # type: ignore[no-untyped-call]
                    undone.callback(hook.remove)
            undone.enter_context(_replaced(optimizer, "step", stand_still))
            undone.enter_context(_unscaling_heard(self._note_scale))
            undone.enter_context(clipping_heard(self._note_clipping))
            yield

    def _catch(self, parameter: Tensor) -> None:
        self.is_clipped_between |= self.has_clipped
        if parameter.grad is not None:
            self.caught[parameter] = parameter.grad.detach().clone()

    def _note_scale(self, scale: float) -> None:
        self.scale = scale

    def _note_clipping(self, _norm: Any, _max_norm: float) -> None:
        self.has_clipped = True


@contextmanager
def clipping_heard(note: Callable[[Any, float], None]) -> Iterator[None]:
    """Call *note* for each ``torch.nn.utils.clip_grad_norm_``: its norm, and the maximum.

    The function may be imported by any name: what it calls is replaced, not a name.
    """
    name = "clip_grad_norm_"
    outer: Any = getattr(nn.utils, name)
    cell = _body_of(outer)
    own = outer if cell is None else cell.cell_contents

    def heard(parameters: Any, max_norm: float, *args: Any, **options: Any) -> Any:
        norm = own(parameters, max_norm, *args, **options)
        note(norm, max_norm)
        return norm

    with (
        _replaced(nn.utils, name, heard)
        if cell is None
        else _replaced(cell, "cell_contents", heard)
    ):
        yield


def _body_of(function: Any) -> Any:
    """The closure cell with the function that was decorated; None if it is not decorated."""
    names = function.__code__.co_freevars
    return function.__closure__[names.index("func")] if "func" in names else None


@contextmanager
def _unscaling_heard(note: Callable[[float], None]) -> Iterator[None]:
    """Call *note* with the scale that a gradient scaler removes from gradients."""
    kind = torch.amp.GradScaler
    own = kind.unscale_

    def heard(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
        if scaler.is_enabled():
            note(scaler.get_scale())
        own(scaler, optimizer)

    with _replaced(kind, "unscale_", heard):
        yield


@contextmanager
def _replaced(owner: Any, name: str, instead: Any) -> Iterator[None]:
    """Replace an attribute inside the context."""
    before = getattr(owner, name)
    setattr(owner, name, instead)
    try:
        yield
    finally:
        setattr(owner, name, before)
