"""Whether the numbers of a record can be: what a faulty worker or writer made up is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rnnprof.codec import DecodeError, encode
from rnnprof.records import KIND_OF, Header, Record
from rnnprof.workload import CELLS, DTYPES, IMPLS, MODES, OPTIMIZERS, Workload

MAX_NUMBER: Final = 1 << 63
"""No size, count or time of a machine reaches it; beyond it arithmetic in floats overflows."""

MAX_SIZE: Final = 1 << 31

_NAMES: Final = {
    "cell": CELLS, "impl": IMPLS, "dtype": DTYPES, "optimizer": OPTIMIZERS, "mode": MODES,
}  # fmt: skip

_FREE: Final = frozenset({"workload", "environment"})
"""What the user or the machine names: any number may stand there."""


def check(record: Record) -> None:
    """See that sizes and times are not negative, and that no number is beyond all machines.

    Raises:
        DecodeError: names the field at fault.
    """
    kind = KIND_OF[type(record)]
    if isinstance(record, Header):
        _check_workload(record.workload)
    for way, number in _numbers(encode(record)):
        name = ".".join((kind, *way))
        if abs(number) >= MAX_NUMBER:
            raise DecodeError(f"{name}: expected a number below 2^63")
        if way[0] == "samples_s" and number <= 0:
            raise DecodeError(f"{name}: expected a number above zero, found {number}")
        if number < 0 and _is_size_or_time(way):
            raise DecodeError(f"{name}: expected a number not below zero, found {number}")


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


def _is_size_or_time(way: tuple[str, ...]) -> bool:
    return way[0] == "census" or any(name.endswith(("_bytes", "_s")) for name in way)


def _numbers(value: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every number in a record, with the names on the way to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            if way or key not in _FREE:
                yield from _numbers(item, (*way, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, (*way, str(index)))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield way, value
