"""Gradients as the backward passes of a training step leave them, whatever is done to them next.

Clipping makes gradients of different batches alike, and a loss scale makes them large: neither
belongs in a noise scale.  So gradients are taken where autograd has accumulated them, before the
code of the step can touch them, by whatever name or method it clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

LOSS_SCALE: Final = 65536.0
"""By which a loss is multiplied before, and gradients are divided after: what is lost below the
smallest number of fp16 otherwise.  A power of two changes no digit."""

SCALE_STEP: Final = 16.0
"""By how much less it is tried again where a gradient then is no number."""

HOOKED: Final = (
    "a hook on a parameter's gradient changes it within the backward pass, as clipping does: the "
    "gradient itself is not to be had"
)
NOT_ACCUMULATED: Final = (
    "the optimizer's gradients do not come from backward(): whether they were clipped is not known"
)
CLIPPED_BETWEEN: Final = (
    "gradients are clipped between the backward passes of one training step: the gradient itself "
    "is not to be had"
)
NO_STEP: Final = "the step did not come to its optimizer: a scaler may have skipped it"


class Unknown(Exception):  # noqa: N818  # no error: what cannot be asked of this workload, and why
    """Carries a sentence for the record."""


def unscaled_grad(
    loss: Tensor, inputs: Sequence[Tensor], *, allow_unused: bool = False
) -> list[Tensor | None]:
    """``torch.autograd.grad`` by way of a scaled loss, in fp32 at the least."""
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
    """Of the optimizer's parameters, after a training step that changes no weight.

    Raises:
        Unknown: they cannot be told from what the step has made of them.
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
    """Whether code of the user's runs on a gradient before it can be caught."""
    hooks = parameter._backward_hooks, parameter._post_accumulate_grad_hooks  # noqa: SLF001
    return any(hooks)


class _Watch:
    """What happens to gradients in one training step.

    Attributes:
        caught: by parameter, as last accumulated.
        scale: of the loss, where a gradient scaler has said so.
        others: parameters that came to the optimizer with a gradient of another origin.
    """

    def __init__(self) -> None:
        self.caught: dict[Tensor, Tensor] = {}
        self.scale = 1.0
        self.has_stepped = False
        self.has_clipped = False
        self.is_clipped_between = False
        self.others = 0

    def gradient_of(self, parameter: Tensor) -> Tensor:
        """Without the scale; zero where none came."""
        caught = self.caught.get(parameter)
        return torch.zeros_like(parameter) if caught is None else caught / self.scale

    @contextmanager
    def over(self, parameters: list[Tensor], optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Watch them, and let the optimizer stand still."""

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
    """Tell of every call of ``torch.nn.utils.clip_grad_norm_``: its norm, and the most allowed.

    The function may have been imported by any name: what it calls is replaced, not a name for it.
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
    """The cell in which a decorated function holds what it was; None for one without."""
    names = function.__code__.co_freevars
    return function.__closure__[names.index("func")] if "func" in names else None


@contextmanager
def _unscaling_heard(note: Callable[[float], None]) -> Iterator[None]:
    """Tell the scale that a gradient scaler takes out of gradients."""
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
    """An attribute is another for a while."""
    before = getattr(owner, name)
    setattr(owner, name, instead)
    try:
        yield
    finally:
        setattr(owner, name, before)
