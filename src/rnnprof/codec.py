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
    return typing.cast("T", _decode(kind, value, where))


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _decode_union(kind, value, where)
    if origin is tuple:
        return _decode_tuple(kind, value, where)
    if origin is dict:
        _expect(isinstance(value, dict), where, "an object", value)
        item_kind = typing.get_args(kind)[1]
        return {key: _decode(item_kind, item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    return _decode_scalar(kind, value, where)


def _decode_union(kind: Any, value: Any, where: str) -> Any:
    members = typing.get_args(kind)
    if value is None and type(None) in members:
        return None
    errors = []
    for member in members:
        if member is not type(None):
            try:
                return _decode(member, value, where)
            except DecodeError as error:
                errors.append(str(error))
    raise DecodeError(errors[0])


def _decode_tuple(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, list), where, "a list", value)
    item_kinds = typing.get_args(kind)
    if len(item_kinds) == 2 and item_kinds[1] is Ellipsis:
        return tuple(_decode(item_kinds[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    _expect(len(value) == len(item_kinds), where, f"{len(item_kinds)} items", value)
    return tuple(
        _decode(item_kind, item, f"{where}[{i}]")
        for i, (item_kind, item) in enumerate(zip(item_kinds, value, strict=True))
    )


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, "an object", value)
    hints = _hints(kind)
    arguments = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            arguments[field.name] = _decode(
                hints[field.name], value[field.name], f"{where}.{field.name}"
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DecodeError(f"{where}: the field {field.name!r} is missing")
    return kind(**arguments)


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(str(member.value) for member in kind)
            raise DecodeError(f"{where}: {value!r} is none of {names}") from None
    if kind is float:
        return _decode_float(value, where)
    if kind is int:
        _expect(
            isinstance(value, int) and not isinstance(value, bool), where, "a whole number", value
        )
        return value
    _expect(isinstance(value, kind), where, f"a {kind.__name__}", value)
    return value


def _decode_float(value: Any, where: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    _expect(is_number, where, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    _expect(math.isfinite(number), where, "a finite number", value)
    return number


def _expect(holds: bool, where: str, wanted: str, value: Any) -> None:
    if not holds:
        raise DecodeError(f"{where}: expected {wanted}, found {str(value)[:60]!r}")
