"""What modules are really called with in a training step, whatever batch was requested.

A global hook before every module's forward counts the calls of one step; no timed step has it.  It
keeps no tensor, and allocates none on a GPU.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import torch
from torch.nn.modules import module as torch_modules
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils.rnn import PackedSequence

from rnnprof.runfile.codec import encode
from rnnprof.runfile.observations import Seen
from rnnprof.simulate.description import GPU_VARIABLE

MARKED_ELEMENTS: Final = 2048
"""At each end of the marked tensor: 16 KiB as float64, negligible under any limit."""

LEAST_MARKED: Final = 16
"""Fewer elements are too often equal by chance."""

MOST_LOOKS: Final = 8
"""Module calls that are searched for data to mark."""


@dataclass(slots=True)
class Calls:
    """The calls of one recurrent module in one step.

    Attributes:
        batch: sequences of the largest call.
        time_steps: the longest sequence of one call; for a cell, its number of calls.
        sequences, positions: over all calls.
    """

    batch: int = 0
    time_steps: int = 0
    sequences: int = 0
    positions: int = 0

    def layer(self, module: torch.nn.RNNBase, sequences: Any) -> None:
        """Count a layer's call with (T, B, features), batch first, (T, features) or packed."""
        if isinstance(sequences, PackedSequence):
            batch, time_steps = int(sequences.batch_sizes[0]), len(sequences.batch_sizes)
            positions = len(sequences.data)
        elif sequences.dim() == 2:  # without a batch
            batch, time_steps = 1, len(sequences)
            positions = time_steps
        else:
            time_steps, batch = sequences.shape[:2]
            if module.batch_first:
                time_steps, batch = batch, time_steps
            positions = batch * time_steps
        self.batch = max(self.batch, batch)
        self.time_steps = max(self.time_steps, time_steps)
        self.sequences += batch
        self.positions += positions

    def cell(self, step_input: torch.Tensor, state: Any) -> None:
        """Count a cell's call with one time step, (B, features) or (features).

        Sequences begin where there is no state, or one that no earlier call has returned.
        """
        batch = len(step_input) if step_input.dim() > 1 else 1
        self.batch = max(self.batch, batch)
        self.sequences += batch if not self.time_steps or _is_new(state) else 0
        self.time_steps += 1
        self.positions += batch


@dataclass(slots=True)
class Watch:
    """Counts module calls while a step runs.

    Attributes:
        number: of the training step, from 1.
        marks: whether to mark the data of the first module.
        mark: that sum; None if no data was found.
        is_unsure: whether a call was not understood.
    """

    number: int
    marks: bool = False
    mark: float | None = None
    elements: int = 0
    is_unsure: bool = False
    _calls: dict[int, Calls] = field(default_factory=dict)
    _handles: list[Any] = field(default_factory=list)
    _looks: int = 0

    def __enter__(self) -> Self:
        self._handles = [
            register_module_forward_pre_hook(self.before),
            register_module_forward_hook(self.after, with_kwargs=True),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
            # torch keeps an entry, from which torch.compile later assumes hooks on all modules
            torch_modules._global_forward_hooks_with_kwargs.pop(handle.id, None)  # noqa: SLF001
        self._handles = []

    def seen(self) -> Seen | None:
        """The counts; None if they are not reliable."""
        if self.is_unsure:
            return None
        if not self._calls:
            return Seen(self.number, elements=self.elements)
        calls = self._calls.values()
        most = max(calls, key=lambda each: each.positions)
        return Seen(
            self.number,
            batch=max(each.batch for each in calls),
            time_steps=max(each.time_steps for each in calls),
            sequences=most.sequences,
            positions=most.positions,
            elements=self.elements,
        )

    def before(self, module: torch.nn.Module, args: Any) -> None:
        """Count a call before it runs; calls with keyword arguments only come after."""
        if args:
            self._count(module, args, args[0], args[1] if len(args) > 1 else None)

    def after(self, module: torch.nn.Module, args: Any, kwargs: Any, _output: Any = None) -> None:
        """Count a call that had keyword arguments only."""
        if kwargs and not args:
            self._count(module, tuple(kwargs.values()), kwargs.get("input"), kwargs.get("hx"))

    def _count(self, module: torch.nn.Module, given: Any, first: Any, second: Any) -> None:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            self.is_unsure = True
            return
        try:
            tensors = list(_tensors(given))
            self.elements += sum(each.numel() for each in tensors)
            if isinstance(module, torch.nn.RNNBase):
                self._calls.setdefault(id(module), Calls()).layer(module, first)
            elif isinstance(module, torch.nn.RNNCellBase):
                self._calls.setdefault(id(module), Calls()).cell(first, second)
        except Exception:  # watching must not make the user's step fail
            self.is_unsure = True
            return
        if self.marks and self.mark is None and tensors and self._looks < MOST_LOOKS:
            self._looks += 1
            with suppress(Exception):
                self.mark = data_mark(tensors[0])


@dataclass(slots=True)
class Sightings:
    """What was seen in the first and in the last step of a pass, kept in its findings.

    Attributes:
        last: number of the last step, as far as it is known; later steps replace it.
        takes_mark: whether the data of the first step is marked.
    """

    findings: dict[str, Any]
    last: int
    is_on: bool = True
    takes_mark: bool = True

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Watch a training step; what was seen of a failed one is kept as well."""
        if not (self.is_on and (number == 1 or number >= self.last)) or is_compiled():
            yield
            return
        takes_mark = self.takes_mark and number == 1 and GPU_VARIABLE not in os.environ
        watch = Watch(number, marks=takes_mark)
        try:
            with watch:
                yield
        finally:
            self._keep(watch)

    def _keep(self, watch: Watch) -> None:
        seen = watch.seen()
        if seen is not None:
            first = self.findings.get("seen", [])[:1]
            self.findings["seen"] = [*first, encode(seen)]
        if watch.marks:
            self.findings["data_mark"] = watch.mark


def is_compiled() -> bool:
    """Whether torch.compile was used in this process: it would recompile for the hooks."""
    eval_frame = sys.modules.get("torch._dynamo.eval_frame")
    if eval_frame is None:
        return False
    backends = getattr(eval_frame, "cached_backends", None)
    if backends is None:  # this version of torch has no such list
        return True
    return any(backend is not None for backend in backends.values())


def data_mark(tensor: torch.Tensor) -> float | None:
    """A sum over both ends of a tensor, each value with its own weight; None without data.

    Values are read in memory order and summed on the host, so that nothing is allocated on a GPU.
    A tensor of equal values, or of positions, does not count as data.
    """
    is_plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    if not is_plain or tensor.layout is not torch.strided or tensor.is_complex():
        return None
    if tensor.is_meta or (tensor.is_cuda and torch.cuda.is_current_stream_capturing()):
        return None
    with torch.no_grad():
        values = _ends(tensor.detach())
        if values.numel() < LEAST_MARKED or _is_even(values):
            return None
        weights = torch.arange(1, values.numel() + 1, device="cpu", dtype=torch.float64)
        mark = float(values.mul_(weights).sum())
    return mark if math.isfinite(mark) else None


def _ends(tensor: torch.Tensor) -> torch.Tensor:
    """The first and the last elements of the memory that a tensor spans, on the host as float64."""
    spans = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    spans = spans if tensor.numel() else 0
    start = tensor.storage_offset()
    if spans <= 2 * MARKED_ELEMENTS:
        return tensor.as_strided((spans,), (1,), start).cpu().to(torch.float64, copy=True)
    head = tensor.as_strided((MARKED_ELEMENTS,), (1,), start)
    tail = tensor.as_strided((MARKED_ELEMENTS,), (1,), start + spans - MARKED_ELEMENTS)
    return torch.cat([head.cpu().to(torch.float64), tail.cpu().to(torch.float64)])


def _is_even(values: torch.Tensor) -> bool:
    """Whether in each half all values are evenly spaced."""
    diffs = [half.diff() for half in values.chunk(2)]
    return all(bool((each == each[0]).all()) for each in diffs)


def _is_new(state: Any) -> bool:
    """Whether a state begins a sequence, and was not returned by an earlier call."""
    if state is None:
        return True
    first = state[0] if isinstance(state, (tuple, list)) else state
    return torch.is_grad_enabled() and first.grad_fn is None


def _tensors(given: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors among a module's arguments, also in lists, tuples and dicts."""
    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, PackedSequence):
        yield given.data
    elif isinstance(given, (tuple, list)):
        for each in given:
            yield from _tensors(each)
    elif isinstance(given, dict):
        for each in given.values():
            yield from _tensors(each)
