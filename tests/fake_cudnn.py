"""cuDNN without a GPU: its documented functions, every call recorded, sizes by a simple law."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NOT_SUPPORTED = 3000
STANDARD, PERSISTENT = 0, 1

WEIGHT_BYTES = 1000
DROPOUT_STATE_BYTES = 983_040


def plain(argument: Any) -> Any:
    """An argument as it can be compared: a number, a list, or what an address points to."""
    if isinstance(argument, ctypes.Array):
        return list(argument)
    if hasattr(argument, "_obj"):  # what ctypes.byref makes
        return type(argument._obj).__name__
    return getattr(argument, "value", argument)


@dataclass
class FakeCudnn:
    """Stands for the loaded library.

    Attributes:
        calls: name and plain arguments of each call, in order.
        refused: algorithms that it does not support.
        alive: descriptors that were made and not destroyed.
    """

    refused: frozenset[int] = frozenset({PERSISTENT})
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    alive: dict[int, str] = field(default_factory=dict)
    algorithm: int = STANDARD
    layer: tuple[int, ...] = ()
    data: tuple[int, ...] = ()

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cudnn"):
            raise AttributeError(name)

        def function(*arguments: Any) -> int:
            self.calls.append((name, tuple(map(plain, arguments))))
            return self._answer(name, arguments)

        return function

    def last(self, name: str) -> tuple[Any, ...]:
        """The arguments of the last call of a function."""
        return next(arguments for called, arguments in reversed(self.calls) if called == name)

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> int:
        if name.startswith("cudnnCreate"):
            arguments[0]._obj.value = len(self.calls)
            self.alive[len(self.calls)] = name.removeprefix("cudnnCreate")
        elif name.startswith("cudnnDestroy"):
            del self.alive[arguments[0].value]
        elif name == "cudnnSetRNNDescriptor_v8":
            self.layer = tuple(map(plain, arguments))
            self.algorithm = arguments[1].value
            return NOT_SUPPORTED if self.algorithm in self.refused else 0
        elif name == "cudnnSetRNNDataDescriptor":
            self.data = tuple(map(plain, arguments))
        elif name == "cudnnGetRNNTempSpaceSizes":
            *_, mode, _data, work, reserve = arguments
            reserve._obj.value = self.reserve_bytes() if mode.value == 1 else 0
            work._obj.value = 64 * (1 + self.algorithm)
        elif name == "cudnnGetRNNWeightSpaceSize":
            arguments[2]._obj.value = WEIGHT_BYTES
        elif name == "cudnnDropoutGetStatesSize":
            arguments[1]._obj.value = DROPOUT_STATE_BYTES
        return 0

    def reserve_bytes(self) -> int:
        """T x B x H x layers x 16."""
        *_, time_steps, batch, _input, _lengths, _fill = self.data
        *_, hidden, _proj, layers, _dropout, _flags = self.layer
        return int(time_steps * batch * hidden * layers * 16)
