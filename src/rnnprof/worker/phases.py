"""Phase marks: what ``with phase("forward"):`` does in each pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch

from rnnprof.factory import PHASES
from rnnprof.worker.workload.factories import BadFactoryError


def checked(name: str) -> str:
    """Return *name*, if it is a phase.

    Raises:
        BadFactoryError: it is not; the message lists the phases.
    """
    if name not in PHASES:
        raise BadFactoryError(f"phase({name!r}) is not one of {', '.join(PHASES)}")
    return name


@dataclass(slots=True)
class PhaseTracker:
    """Keeps the current phase, so that an error names it; the first step announces each phase.

    In a timed step this costs two attribute writes per phase: well under a microsecond.

    Attributes:
        settle: waits for the device at the end of an announced phase, so that a device error is
            raised in the phase that caused it.
    """

    announce: Callable[[str], None]
    settle: Callable[[], None] = lambda: None
    announcing: bool = True
    current: str = "baseline"
    entering: str = "other"

    def __call__(self, name: str) -> PhaseTracker:
        self.entering = checked(name) if self.announcing else name
        return self

    def __enter__(self) -> None:
        self.current = self.entering
        if self.announcing:
            self.announce(self.current)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            if self.announcing:
                self.settle()
            self.current = "other"

    def enter(self, name: str) -> None:
        """Enter a part outside the training step: build, baseline."""
        self.current = name
        if self.announcing:
            self.announce(name)


@dataclass(slots=True)
class PhaseTimer:
    """Adds up the host time of each phase over one step."""

    tracker: PhaseTracker
    clock: Callable[[], float] = time.perf_counter
    seconds: dict[str, float] = field(default_factory=dict)
    _stack: list[tuple[str, float]] = field(default_factory=list)
    _entering: str = "other"

    def __call__(self, name: str) -> PhaseTimer:
        self._entering = name
        return self

    def __enter__(self) -> None:
        self.tracker.current = self._entering
        self._stack.append((self._entering, self.clock()))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        name, began_s = self._stack.pop()
        self.seconds[name] = self.seconds.get(name, 0.0) + max(0.0, self.clock() - began_s)
        if kind is None:
            self.tracker.current = "other"


@dataclass(slots=True)
class PhaseRecorder:
    """Marks phases in the profiler's timeline and calls *at_end* after each."""

    tracker: PhaseTracker
    at_end: Callable[[], None]
    _stack: list[Any] = field(default_factory=list)
    _entering: str = "other"

    def __call__(self, name: str) -> PhaseRecorder:
        self._entering = name
        return self

    def __enter__(self) -> None:
        self.tracker(self._entering).__enter__()
        mark = torch.profiler.record_function(f"rnnprof:phase:{self._entering}")
        mark.__enter__()  # type: ignore[no-untyped-call]
        self._stack.append(mark)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.at_end()
        self._stack.pop().__exit__(kind, error, trace)
        self.tracker.__exit__(kind)
