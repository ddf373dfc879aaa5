"""Frozen dataclasses to JSON values and back, by their type hints; msgspec does the work.

A field absent from the JSON takes the dataclass's default, so that old files load; a field that
this version does not know is left aside, so that a field may be added without a new schema.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_PLACE: Final = re.compile(r" - at `\$(.*)`$")
_QUOTED: Final = re.compile(r"`([^`]*)`")


class DecodeError(ValueError):
    """A JSON value that is not of the type asked for; the message names the field."""


class MalformedError(DecodeError):
    """Text that is no JSON."""


def encode(value: Any) -> Any:
    """Turn dataclasses and enums into what :mod:`json` writes; tuples stay tuples."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    """A text or number of a class of its own, as torch's version is, without its class."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a {type(value).__name__} is no value of JSON")


def encode_json(value: Any, **first: Any) -> bytes:
    """One JSON object of a dataclass's fields, in one step; *first* are fields before its own.

    Raises:
        ValueError: a float that JSON does not have.
        TypeError: a value that is no dataclass, enum, text, number, list or dict.
    """
    body = {**first, **_fields_of(value)}
    return json.dumps(body, separators=(",", ":"), allow_nan=False, default=_fields_of).encode()


def _fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, their values as they are."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def decode(kind: type[T], value: Any, where: str = "record") -> T:
    """Read a JSON value as a *kind*.

    Raises:
        DecodeError: when it is of another shape; the message names the field at fault.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DecodeError(_in_words(error, where)) from None


def decode_json(kind: type[T], text: bytes, where: str = "record") -> T:
    """The same of JSON text, in one step.

    Raises:
        MalformedError: when it is no JSON.
        DecodeError: when it is of another shape.
    """
    hashable: Any = kind
    decoder: msgspec.json.Decoder[T] = _decoder_of(hashable)
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise DecodeError(_in_words(error, where)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if "surrogate" not in str(error):
            raise MalformedError(_in_words(error, where)) from None
    # half of a surrogate pair, as in a file name that is no UTF-8: Python's reader takes it
    return decode(kind, json.loads(text), where)


@cache
def _decoder_of(kind: Any) -> Any:
    """Made once for each type, for run files are long."""
    return msgspec.json.Decoder(kind)


def _in_words(error: Exception, where: str) -> str:
    """``fit.limit_bytes: expected int, got str``."""
    text = str(error)
    place = _PLACE.search(text)
    said = _QUOTED.sub(r"\1", _PLACE.sub("", text))
    if not said[1:2].isupper():
        said = said[:1].lower() + said[1:]
    return f"{where}{place[1] if place else ''}: {said}"
