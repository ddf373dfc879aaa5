"""Convert frozen dataclasses to JSON and back, by their type hints, with msgspec.

A field that is missing in the JSON gets the dataclass's default, so that old files load; a field
that this version does not know is ignored, so that a field can be added without a new schema.
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
    """A JSON value of another type than expected; the message names the field."""


class MalformedError(DecodeError):
    """Text that is not JSON."""


def encode(value: Any) -> Any:
    """Convert dataclasses and enums to values that :mod:`json` can write; tuples stay tuples."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    """A plain text or number from a subclass, such as torch's version."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a {type(value).__name__} is not a JSON value")


def encode_json(value: Any, **first: Any) -> bytes:
    """A dataclass as one JSON object, with the fields of *first* before its own.

    Raises:
        ValueError: a float that is not finite.
        TypeError: a value that is not a dataclass, enum, text, number, list or dict.
    """
    body = {**first, **_fields_of(value)}
    return json.dumps(body, separators=(",", ":"), allow_nan=False, default=_fields_of).encode()


def _fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass with unchanged values."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def decode(kind: type[T], value: Any, where: str = "record") -> T:
    """Read a JSON value as a *kind*.

    Raises:
        DecodeError: it has another structure; the message names the field.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DecodeError(_in_words(error, where)) from None


def decode_json(kind: type[T], text: bytes, where: str = "record") -> T:
    """Read JSON text as a *kind*.

    Raises:
        MalformedError: it is not JSON.
        DecodeError: it has another structure; the message names the field.
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
    # half of a surrogate pair, as in a file name that is not UTF-8: only Python's parser accepts it
    return decode(kind, json.loads(text), where)


@cache
def _decoder_of(kind: Any) -> Any:
    """The decoder of a type, cached because run files are long."""
    return msgspec.json.Decoder(kind)


def _in_words(error: Exception, where: str) -> str:
    """``fit.limit_bytes: expected int, got str``."""
    text = str(error)
    place = _PLACE.search(text)
    said = _QUOTED.sub(r"\1", _PLACE.sub("", text))
    if not said[1:2].isupper():
        said = said[:1].lower() + said[1:]
    return f"{where}{place[1] if place else ''}: {said}"
