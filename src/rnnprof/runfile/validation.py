"""Whether the numbers of a record can be: what a faulty worker or writer made up is told."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, get_args, get_type_hints

from rnnprof.runfile.codec import DecodeError
from rnnprof.runfile.records import KIND_OF, Header, Record
from rnnprof.workload import CELLS, DTYPES, IMPLS, LOOPS, MODES, OPTIMIZERS, Workload

MAX_NUMBER: Final = 1 << 63
"""No size, count or time of a machine reaches it; beyond it arithmetic in floats overflows."""

MAX_SIZE: Final = 1 << 31

_ANY: Final = math.nextafter(-MAX_NUMBER, 0)
_ABOVE_ZERO: Final = math.ulp(0.0)
"""The least numbers above minus 2^63 and above zero."""

_NAMES: Final = {
    "cell": CELLS, "impl": IMPLS, "dtype": DTYPES, "optimizer": OPTIMIZERS, "mode": MODES,
    "loop": LOOPS,
}  # fmt: skip

_FREE: Final = frozenset({"workload", "environment"})
"""What the user or the machine names: any number may stand there."""


def check(record: Record) -> None:
    """See that sizes and times are not negative, and that no number is beyond all machines.

    Raises:
        DecodeError: names the field at fault.
    """
    kind: Any = type(record)
    if isinstance(record, Header):
        _check_workload(record.workload)
    for name, least in _fields(kind):
        if name in _FREE:
            continue
        if name == "census":
            least = 0.0
        elif name == "samples_s":
            least = _ABOVE_ZERO
        value = getattr(record, name)
        fault = None if value is None else _fault(value, least)
        if fault is not None:
            raise DecodeError(f"{KIND_OF[kind]}.{name}{fault}")


def _check_workload(workload: Workload) -> None:
    """See that a run is of something that this version knows."""
    for name, known in _NAMES.items():
        value = getattr(workload, name)
        if value not in known and not (name == "cell" and value is None):
            raise DecodeError(f"header.workload.{name}: {value!r} is not known")
    for name in ("input_size", "hidden_size", "layers", "proj_size"):
        if not 0 <= getattr(workload, name) < MAX_SIZE:
            raise DecodeError(f"header.workload.{name}: expected a size below 2^31")
    if not 0 <= workload.dropout < 1:
        raise DecodeError("header.workload.dropout: expected a probability")


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, float], ...]:
    """The fields of a dataclass that may hold numbers, each with the least that they may be."""
    hints = get_type_hints(kind)
    return tuple(
        (field.name, _least_of(field.name, _ANY))
        for field in dataclasses.fields(kind)
        if _holds_numbers(hints[field.name])
    )


def _holds_numbers(hint: Any) -> bool:
    """Whether a value of this type may be a number, or have one in it."""
    if isinstance(hint, type) and issubclass(hint, (str, bool, enum.Enum, types.NoneType)):
        return False
    inner = [each for each in get_args(hint) if each is not Ellipsis]
    return any(map(_holds_numbers, inner)) if inner else True


def _least_of(name: str, around: float) -> float:
    """The least that a number of this name may be, in something whose numbers are *around*."""
    return max(around, 0.0) if name.endswith(("_bytes", "_s")) else around


def _fault(value: Any, least: float) -> str | None:
    """The way to the first number that cannot be, and what was expected; None where all can."""
    kind = type(value)
    if kind is float or kind is int:
        return None if least <= value < MAX_NUMBER else _expectation(value, least)
    if kind is str or kind is bool or value is None:
        return None
    parts: Iterable[tuple[Any, Any, float]]
    if kind is tuple or kind is list:
        if _are_fine(value, least):
            return None
        parts = ((index, item, least) for index, item in enumerate(value))
    elif kind is dict:
        parts = ((key, item, _least_of(key, least)) for key, item in value.items())
    elif dataclasses.is_dataclass(kind):
        parts = (
            (name, item, max(least, own))
            for name, own in _fields(kind)
            if (item := getattr(value, name)) is not None
        )
    else:
        return None
    for name, item, own_least in parts:
        fault = _fault(item, own_least)
        if fault is not None:
            return f".{name}{fault}"
    return None


def _are_fine(values: Sequence[Any], least: float) -> bool:
    """Whether all are floats within the bounds: a timing has many of them."""
    return (
        set(map(type, values)) <= {float} and min(values, default=least) >= least
        and max(values, default=least) < MAX_NUMBER
    )  # fmt: skip


def _expectation(number: float, least: float) -> str:
    if abs(number) >= MAX_NUMBER:
        return ": expected a number below 2^63"
    zero = "above" if least > 0 else "not below"
    return f": expected a number {zero} zero, found {number}"
