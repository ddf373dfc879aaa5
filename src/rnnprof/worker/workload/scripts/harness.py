"""The harness around a script: it sees training steps begin and end, and answers from inside.

The script never learns of it: when a pass has its training steps, the answer is sent and the
process ends where it is.  Nothing is raised into the script, and nothing of its end runs.
"""

from __future__ import annotations

import functools
import os
import resource
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, Protocol

import torch
from torch.optim.optimizer import Optimizer

from rnnprof.simulate.description import GPU_VARIABLE
from rnnprof.worker.workload.scripts.boundaries import StepEnds, WeightSteps
from rnnprof.worker.workload.scripts.hooks import TrainingHooks
from rnnprof.worker.workload.scripts.running import BadScriptError, run_script
from rnnprof.worker.workload.scripts.weights import fingerprint, is_readable, plain, size_of_all
from rnnprof.worker.workload.seen import Watch
from rnnprof.workload import ScriptPlace

CHILD_SECONDS: Final = 0.5
"""CPU time of child processes that a message mentions: they may have trained."""


class StepListener(Protocol):
    """What a pass hears of the script's training."""

    def begins(self) -> None:
        """The first training step begins, with its first forward pass."""

    def phase(self, name: str) -> None:
        """A phase begins: data, forward, backward, optimizer or other."""

    def event(self) -> None:
        """An optimizer has stepped, or weights have changed; it may end a training step."""

    def stepped(self, number: int) -> None:
        """Training step *number*, from 1, has ended.  While a cycle of optimizers is being
        learned, several end at once."""

    def failed(self, error: BaseException) -> None:
        """The script met an error, which it may catch; it is out of memory, or not."""


P = ParamSpec("P")


def _guarded(method: Callable[Concatenate[Harness, P], None]) -> Callable[..., None]:
    """A report of a hook: in a copy of the process it does nothing, and it raises nothing."""

    @functools.wraps(method)
    def guarded(self: Harness, *args: P.args, **kwargs: P.kwargs) -> None:
        if os.getpid() != self.owner:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.listener.failed(error)  # there may be no memory for what a hook needs
            self.refuse(HookError(method.__name__, error))

    return guarded


class HookError(Exception):
    """What watches the script has failed: the script is not the cause."""

    def __init__(self, name: str, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        super().__init__(f"rnnprof cannot follow this script: its hook {name} failed: {said}")
        self.__cause__ = error


@dataclass(slots=True)
class Harness:
    """Runs a script and tells a listener what its training does.

    Attributes:
        place: with the sizes of the point filled in.
        answer: sends what was found and ends the process.
        refuse: the same with an error.
        listener: the pass.
        start_s: seconds until the first training step began.
        optimizer_steps: steps that optimizers took; one that a gradient scaler skipped is none.
        wants_loss: whether to keep the loss of the next backward pass.
        owner: the process that it answers for; the script may fork others.
        events: those that the listener was told of.
        ended_by: number, from 0, of the event that ended each training step.
    """

    place: ScriptPlace
    answer: Callable[[dict[str, Any]], NoReturn]
    refuse: Callable[[BaseException], NoReturn]
    listener: StepListener
    clock: Callable[[], float] = time.perf_counter
    start_s: float | None = None
    optimizer_steps: int = 0
    wants_loss: bool = False
    loss: torch.Tensor | None = None
    watch: Watch | None = None
    ends: StepEnds = field(default_factory=StepEnds)
    weights: WeightSteps = field(
        default_factory=lambda: WeightSteps(can_see=GPU_VARIABLE not in os.environ)
    )
    events: int = 0
    ended_by: list[int] = field(default_factory=list)
    _hooks: TrainingHooks = field(init=False)
    owner: int = field(default_factory=os.getpid)
    _began_s: float = 0.0
    _children_s: float = 0.0
    _roots: dict[int, weakref.ref[torch.nn.Module]] = field(default_factory=dict)
    _optimizers: dict[int, weakref.ref[Optimizer]] = field(default_factory=dict)
    _entered: list[int] = field(default_factory=list)
    _stepped: set[int] = field(default_factory=set)
    _depth: int = 0
    _is_training_call: bool = False
    _backwards: int = 0
    _before: bytes | None = None
    _scaled: tuple[weakref.ref[torch.Tensor], torch.Tensor] | None = None

    def __post_init__(self) -> None:
        self._hooks = TrainingHooks(self)

    @property
    def done(self) -> int:
        """Training steps that have ended."""
        return len(self.ended_by)

    # --- what a pass uses ------------------------------------------------------------------------

    def run(self) -> NoReturn:
        """Run the script; it must not end before the listener has called :meth:`finish`.

        Raises:
            ScriptEndedError: the script has ended.
            BaseException: whatever the script raises.
        """
        self._hooks.install()
        self.hooks_on()
        self._began_s, self._children_s = self.clock(), _child_seconds()
        try:
            run_script(self.place, self.refuse)
        except SystemExit as error:
            if error.code not in (None, 0):
                raise
        if os.getpid() != self.owner:  # a copy that the script forked and that has come to its end
            os._exit(0)
        raise ScriptEndedError(self._conclude(), _child_seconds() - self._children_s)

    def finish(self, findings: dict[str, Any]) -> NoReturn:
        """Send the answer and end the process."""
        self.answer(findings)

    def hooks_on(self) -> None:
        """Watch modules and backward passes."""
        if self._hooks.modules_on():
            self._depth, self._is_training_call = 0, False
        self._hooks.backward_on()
        self.weights.closes_early = False

    def hooks_off(self) -> None:
        """Leave the optimizers' hook alone; without an optimizer that of the backward passes."""
        self._hooks.modules_off()
        self.weights.closes_early = True
        if self.has_optimizer:
            self._hooks.backward_off()

    @property
    def is_watching(self) -> bool:
        """Whether modules and backward passes are watched, so that phases are known."""
        return self._hooks.are_on

    @property
    def has_optimizer(self) -> bool:
        """Whether optimizers end training steps."""
        return self.ends.events > 0

    @property
    def step_end(self) -> str:
        """What ends a training step: see :class:`rnnprof.runfile.observations.Fit`."""
        if self.has_optimizer:
            return "optimizer"
        return "backward" if self.weights.is_blind else "weights"

    @property
    def events_per_step(self) -> int | None:
        """Optimizer steps, or backward passes, in one training step."""
        return self.ends.period if self.has_optimizer else self.weights.group

    def modules(self) -> list[torch.nn.Module]:
        """The outermost modules that were called in training and still live."""
        return [module for ref in self._roots.values() if (module := ref()) is not None]

    def optimizers(self) -> list[Optimizer]:
        """The optimizers that were made and still live."""
        return [optimizer for ref in self._optimizers.values() if (optimizer := ref()) is not None]

    def parameters(self) -> list[torch.Tensor]:
        """The parameters of all modules and optimizers, each once."""
        return list({id(each): each for each in map(plain, self._all_parameters())}.values())

    def buffers(self) -> list[torch.Tensor]:
        """The buffers of all modules, each once."""
        found = (plain(buffer) for module in self.modules() for buffer in module.buffers())
        return list({id(each): each for each in found}.values())

    def weight_bytes(self) -> int:
        """Size of all parameters and buffers; each storage counts once."""
        return size_of_all((*self.parameters(), *self.buffers()))

    # --- what the hooks report -------------------------------------------------------------------

    @_guarded
    def module_entered(self, module: torch.nn.Module, args: Any) -> None:
        """A module's forward pass begins."""
        if self._depth == 0:
            self._is_training_call = torch.is_grad_enabled() and not self._backwards
            if self._is_training_call:
                self._root_entered(module)
        self._depth += 1
        if self._is_training_call and self.watch is not None:
            self.watch.before(module, args)

    @_guarded
    def module_left(
        self, module: torch.nn.Module, args: Any, kwargs: Any, error: BaseException | None
    ) -> None:
        """A module's forward pass has ended."""
        self._depth = max(0, self._depth - 1)
        if error is not None:
            self.listener.failed(error)
        elif self._is_training_call and self.watch is not None:
            self.watch.after(module, args, kwargs)

    @_guarded
    def backward_entered(self, roots: Any) -> None:
        """A backward pass begins."""
        self._backwards += 1
        if self._backwards == 1:
            self._depth = 0  # a forward pass that an exception ended was not left
            self._begin()
            self._keep_loss(roots)
            self.listener.phase("backward")

    @_guarded
    def backward_left(self, error: BaseException | None) -> None:
        """A backward pass has ended."""
        self._backwards = max(0, self._backwards - 1)
        if error is not None:
            self.listener.failed(error)
        elif not self._backwards:
            self.listener.phase("optimizer" if self._entered else "other")
            if not self.has_optimizer and not self._entered:
                self._backward_alone()

    @_guarded
    def optimizer_made(self, optimizer: Optimizer) -> None:
        """The script has made an optimizer."""
        self._optimizers[id(optimizer)] = weakref.ref(optimizer)

    @_guarded
    def optimizer_entered(self, optimizer: Optimizer) -> None:
        """An optimizer's step begins; it may call the closure that runs forward and backward."""
        if id(optimizer) in self._entered:  # its last step was ended by an exception
            del self._entered[self._entered.index(id(optimizer)) :]
        if not self._entered:
            self.listener.phase("optimizer")
        self._entered.append(id(optimizer))

    @_guarded
    def optimizer_left(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped.  One that another calls is a part of that one's step."""
        self.optimizer_made(optimizer)
        if id(optimizer) in self._entered:
            del self._entered[self._entered.index(id(optimizer)) :]
        self._stepped.add(id(optimizer))
        if not self._entered:
            self.optimizer_steps += 1
            self._optimizer_event(id(optimizer))

    @_guarded
    def optimizer_failed(self, error: BaseException) -> None:
        """An optimizer's step has raised an error, or the closure that it called."""
        self.listener.failed(error)

    @_guarded
    def optimizer_skipped(self, optimizer: Optimizer) -> None:
        """A gradient scaler is done with an optimizer, whether it let it step or not."""
        if id(optimizer) in self._stepped:
            self._stepped.discard(id(optimizer))
        else:
            self._optimizer_event(id(optimizer))

    @_guarded
    def loss_scaled(self, loss: Any, scaled: Any) -> None:
        """A gradient scaler has made of a loss what backward() begins with."""
        is_one = isinstance(loss, torch.Tensor) and isinstance(scaled, torch.Tensor)
        if self.wants_loss and is_one and loss.numel() == 1:
            self._scaled = (weakref.ref(scaled), loss.detach())

    # --- how it adds up --------------------------------------------------------------------------

    def _all_parameters(self) -> Iterator[torch.nn.Parameter]:
        for module in self.modules():
            yield from module.parameters()
        for optimizer in self.optimizers():
            for group in getattr(optimizer, "param_groups", ()):
                yield from group["params"]

    def _root_entered(self, module: torch.nn.Module) -> None:
        is_open = not self.has_optimizer and not self._entered and is_readable()
        if is_open and self._before is not None:
            changed = fingerprint(self.parameters()) != self._before
            has_optimizer = bool(self.optimizers())
            if self.weights.forward_begins(changed=changed, has_optimizer=has_optimizer):
                self._before = None
                self._event()
                self._ended([self.events - 1])
        self._roots.setdefault(id(module), weakref.ref(module))
        self._begin()
        self.listener.phase("forward")

    def _begin(self) -> None:
        if self.start_s is None:
            self.start_s = max(0.0, self.clock() - self._began_s)
            self.listener.begins()

    def _keep_loss(self, roots: Any) -> None:
        first = roots[0] if isinstance(roots, (list, tuple)) and roots else roots
        if self.wants_loss and isinstance(first, torch.Tensor) and first.numel() == 1:
            scaled, loss = self._scaled or (None, None)
            is_scaled = scaled is not None and scaled() is first
            self.loss = loss if is_scaled else first.detach()

    def _backward_alone(self) -> None:
        self.weights.can_see &= is_readable()
        ended = self.weights.backward_ended(has_optimizer=bool(self.optimizers()))
        if ended:
            self._event()
            self._ended([self.events - 1])
        elif self.weights.can_see and not (self.weights.is_blind or self.weights.closes_early):
            self._before = fingerprint(self.parameters())

    def _optimizer_event(self, source: int) -> None:
        self._begin()
        self._event()
        known = 1 if self.ends.period is not None else len(self.optimizers())
        ended = self.ends.add(source, known)
        if not ended:
            self.listener.phase("backward" if self._backwards else "other")
        before = self.events - self.ends.events  # of changes of weights, before any optimizer
        self._ended([before + each for each in self.ends.ends[-ended:]] if ended else [])

    def _event(self) -> None:
        self.events += 1
        self.listener.event()

    def _ended(self, events: Sequence[int]) -> None:
        for event in events:
            self.ended_by.append(event)
            self.listener.stepped(self.done)
        if events:
            self.listener.phase("data")

    def _conclude(self) -> int:
        """The script has ended: its training steps, as far as they can be told."""
        return max(self.done, self.ends.conclude())


class ScriptEndedError(Exception):
    """The script has ended before the pass had its training steps.

    Attributes:
        train_steps: those that it ran.
        children_s: CPU time of its child processes.
    """

    def __init__(self, train_steps: int, children_s: float) -> None:
        super().__init__(f"the script ended after {train_steps} training steps")
        self.train_steps = train_steps
        self.children_s = children_s


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


__all__ = ["BadScriptError", "Harness", "ScriptEndedError", "StepListener"]
