"""torch's global hooks around a script, and what they report.

Modules are watched in the first and the last training step alone; what stays is the optimizers'
hook.  Nothing here keeps a tensor.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import torch
from torch.nn.modules import module as torch_modules
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

OF_A_RETURN: Final = 2
"""Further arguments of a forward hook after a forward pass that returned."""


def is_traced() -> bool:
    """Whether torch.compile runs what is called now, to learn what it does: it is no training."""
    is_tracing: bool = torch._guards.TracingContext.try_get() is not None  # noqa: SLF001
    return is_tracing or torch.compiler.is_compiling()


class Receiver(Protocol):
    """Hears what the script's training does."""

    def module_entered(self, module: torch.nn.Module, args: Any) -> None: ...
    def module_left(
        self, module: torch.nn.Module, args: Any, kwargs: Any, error: BaseException | None
    ) -> None: ...
    def backward_entered(self, roots: Any) -> None: ...
    def backward_left(self, error: BaseException | None) -> None: ...
    def optimizer_made(self, optimizer: Optimizer) -> None: ...
    def optimizer_entered(self, optimizer: Optimizer) -> None: ...
    def optimizer_left(self, optimizer: Optimizer) -> None: ...
    def optimizer_failed(self, error: BaseException) -> None: ...
    def optimizer_skipped(self, optimizer: Optimizer) -> None: ...
    def loss_scaled(self, loss: Any, scaled: Any) -> None: ...


@dataclass(slots=True)
class TrainingHooks:
    """The hooks, to be put on and taken off.

    Modules are watched in the thread that trains: the first that calls one with gradients on.
    """

    receiver: Receiver
    _handles: list[Any] = field(default_factory=list)
    _thread: int | None = None
    _originals: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def install(self) -> None:
        """Watch the optimizers for as long as the process lives; torch.compile looks at no hook."""
        uncompiled: Any = torch.compiler.disable
        entered = uncompiled(lambda own, *_: self.receiver.optimizer_entered(own))
        left = uncompiled(lambda own, *_: self.receiver.optimizer_left(own))
        register_optimizer_step_pre_hook(entered)
        register_optimizer_step_post_hook(left)
        self._watch_new_optimizers()
        self._watch_scalers()

    @property
    def are_on(self) -> bool:
        """Whether modules are watched."""
        return bool(self._handles)

    def modules_on(self) -> bool:
        """Watch every module's forward pass; False if they are watched already."""
        if self._handles:
            return False
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, with_kwargs=True, always_call=True),
        ]
        return True

    def modules_off(self) -> None:
        """Take the modules' hooks away."""
        for handle in self._handles:
            handle.remove()
            # torch keeps entries, from which torch.compile later assumes hooks on all modules
            torch_modules._global_forward_hooks_with_kwargs.pop(handle.id, None)  # noqa: SLF001
            torch_modules._global_forward_hooks_always_called.pop(handle.id, None)  # noqa: SLF001
        self._handles = []

    def backward_on(self) -> None:
        """Watch the backward passes; ``Tensor.backward`` calls this function too."""
        for name in ("backward", "grad"):
            if name not in self._originals:
                self._originals[name] = getattr(torch.autograd, name)
                setattr(torch.autograd, name, self._watched(self._originals[name]))

    def backward_off(self) -> None:
        """Put torch's own functions back."""
        for name, original in self._originals.items():
            setattr(torch.autograd, name, original)
        self._originals.clear()

    def _before(self, module: torch.nn.Module, args: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if self._thread is None and torch.is_grad_enabled():
            self._thread = threading.get_ident()
        if threading.get_ident() == self._thread:
            self.receiver.module_entered(module, args)

    def _after(self, module: torch.nn.Module, args: Any, *rest: Any) -> None:
        if threading.get_ident() != self._thread or torch.compiler.is_compiling():
            return
        # keyword arguments and output; where the forward pass raised, torch gives one of them only
        error = sys.exc_info()[1] if len(rest) < OF_A_RETURN else None
        self.receiver.module_left(module, args, rest[0] if error is None else {}, error)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if is_traced():
                return function(*args, **kwargs)
            self.receiver.backward_entered(args[0] if args else kwargs.get("tensors"))
            try:
                found = function(*args, **kwargs)
            except BaseException as error:
                self.receiver.backward_left(error)
                raise
            self.receiver.backward_left(None)
            return found

        return watched

    def _watch_new_optimizers(self) -> None:
        receiver, original = self.receiver, Optimizer.__init__

        @functools.wraps(original)
        def watched(own: Optimizer, *args: Any, **kwargs: Any) -> None:
            original(own, *args, **kwargs)
            _watch_errors(type(own), receiver)
            receiver.optimizer_made(own)

        Optimizer.__init__ = watched  # type: ignore[assignment, method-assign]

    def _watch_scalers(self) -> None:
        """A gradient scaler does not call the optimizer where a gradient is not finite."""
        receiver, kind = self.receiver, torch.amp.GradScaler
        step, scale = kind.step, kind.scale

        @functools.wraps(step)
        def stepped(own: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            found = step(own, optimizer, *args, **kwargs)
            receiver.optimizer_skipped(optimizer)
            return found

        @functools.wraps(scale)
        def scaled(own: Any, outputs: Any) -> Any:
            found = scale(own, outputs)
            receiver.loss_scaled(outputs, found)
            return found

        kind.step = stepped  # type: ignore[assignment, method-assign]
        kind.scale = scaled  # type: ignore[assignment, method-assign]


def _watch_errors(kind: Any, receiver: Receiver) -> None:
    """Hear of an optimizer's error, of which torch's own hooks do not tell."""
    original = kind.step
    if getattr(original, "is_watched_by_rnnprof", False):
        return

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except BaseException as error:
            receiver.optimizer_failed(error)
            raise

    watched.is_watched_by_rnnprof = True  # type: ignore[attr-defined]
    kind.step = watched
