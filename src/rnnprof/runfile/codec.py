"""Frozen dataclasses to JSON values and back, by their type hints.

A field absent from the JSON takes the dataclass's default, so that old files load; a field that
this version does not know is left aside, so that a field may be added without a new schema.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


class DecodeError(ValueError):
    """A JSON value that is not of the type asked for; the message names the field."""


def encode(value: Any) -> Any:
    """Turn dataclasses, enums and tuples into what :mod:`json` writes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    return value


def decode(kind: type[T], value: Any, where: str = "record") -> T:
    """Read *value* as a *kind*.

    Raises:
        DecodeError: when it is of another shape; the message names the field at fault.
    """
    anything: Any = kind
    try:
        return typing.cast("T", _reader(anything)(value))
    except _MismatchError as error:
        raise DecodeError(f"{where}{error.way}: {error.text}") from None


class _MismatchError(Exception):
    """What does not fit, and the way to it, which grows as the error passes up."""

    def __init__(self, text: str, way: str = "") -> None:
        super().__init__(text)
        self.text, self.way = text, way

    def under(self, step: str) -> _MismatchError:
        """The same, seen from one level up."""
        self.way = step + self.way
        return self


_Reader = Callable[[Any], Any]
"""Turns a JSON value into what it stands for; made once for each type, for run files are long."""


@cache
def _reader(kind: Any) -> _Reader:
    origin = typing.get_origin(kind)
    if kind is Any:
        return lambda value: value
    if origin in (typing.Union, types.UnionType):
        return _union_reader(typing.get_args(kind))
    if origin is tuple:
        return _tuple_reader(typing.get_args(kind))
    if origin is dict:
        return _dict_reader(typing.get_args(kind)[1])
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    return _scalar_reader(kind)


def _union_reader(members: tuple[Any, ...]) -> _Reader:
    takes_none = type(None) in members
    readers = [_reader(member) for member in members if member is not type(None)]

    def read(value: Any) -> Any:
        if value is None and takes_none:
            return None
        first: _MismatchError | None = None
        for reader in readers:
            try:
                return reader(value)
            except _MismatchError as error:
                first = first or error
        assert first is not None
        raise first

    return read


def _tuple_reader(item_kinds: tuple[Any, ...]) -> _Reader:
    if len(item_kinds) == 2 and item_kinds[1] is Ellipsis:
        return _endless_reader(_reader(item_kinds[0]))
    readers = [_reader(kind) for kind in item_kinds]

    def read(value: Any) -> tuple[Any, ...]:
        _expect(isinstance(value, list), "a list", value)
        _expect(len(value) == len(readers), f"{len(readers)} items", value)
        found: list[Any] = []
        try:
            for reader, item in zip(readers, value, strict=True):
                found.append(reader(item))
        except _MismatchError as error:
            raise error.under(f"[{len(found)}]") from None
        return tuple(found)

    return read


def _endless_reader(reader: _Reader) -> _Reader:
    are_floats = reader is _read_float

    def read(value: Any) -> tuple[Any, ...]:
        _expect(isinstance(value, list), "a list", value)
        # a finite sum has finite terms; one that is not says nothing, and each is looked at
        if are_floats and set(map(type, value)) == {float} and math.isfinite(sum(value)):
            return tuple(value)
        try:
            return tuple(map(reader, value))
        except _MismatchError:
            pass
        for index, item in enumerate(value):  # once more, to tell where
            try:
                reader(item)
            except _MismatchError as error:
                raise error.under(f"[{index}]") from None
        raise AssertionError("it could be read the second time")

    return read


def _dict_reader(item_kind: Any) -> _Reader:
    reader = _reader(item_kind)

    def read(value: Any) -> dict[Any, Any]:
        _expect(isinstance(value, dict), "an object", value)
        found, key = {}, None
        try:
            for key, item in value.items():
                found[key] = reader(item)
        except _MismatchError as error:
            raise error.under(f".{key}") from None
        return found

    return read


def _dataclass_reader(kind: Any) -> _Reader:
    hints = typing.get_type_hints(kind)
    fields = [
        (
            field.name,
            _reader(hints[field.name]),
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    ]

    def read(value: Any) -> Any:
        _expect(isinstance(value, dict), "an object", value)
        arguments, name = {}, ""
        try:
            for name, reader, is_needed in fields:
                if name in value:
                    arguments[name] = reader(value[name])
                elif is_needed:
                    break
            else:
                return kind(**arguments)
        except _MismatchError as error:
            raise error.under(f".{name}") from None
        raise _MismatchError(f"the field {name!r} is missing")

    return read


def _scalar_reader(kind: Any) -> _Reader:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum_reader(kind)
    if kind is float:
        return _read_float
    if kind is int:
        return _read_int

    def read(value: Any) -> Any:
        if not isinstance(value, kind):
            _expect(False, f"a {kind.__name__}", value)
        return value

    return read


def _enum_reader(kind: type[enum.Enum]) -> _Reader:
    def read(value: Any) -> enum.Enum:
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(str(member.value) for member in kind)
            raise _MismatchError(f"{value!r} is none of {names}") from None

    return read


def _read_int(value: Any) -> int:
    if type(value) is int:
        return value
    _expect(isinstance(value, int) and not isinstance(value, bool), "a whole number", value)
    return value  # type: ignore[no-any-return]


def _read_float(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    _expect(is_number, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    _expect(math.isfinite(number), "a finite number", value)
    return number


def _expect(holds: bool, wanted: str, value: Any) -> None:
    if not holds:
        raise _MismatchError(f"expected {wanted}, found {str(value)[:60]!r}")
