"""The study's sentences: a catalogue of whole messages per language, and figures to fill them.

A message has an id, such as ``larger-is-faster.gain``, and named placeholders with format specs:
those of Python, and ``bytes`` and ``ratio``.  Every catalogue has the same ids, and every message
uses the same placeholders in each language.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rnnprof.units import format_bytes, format_ratio

FOLDER: Final = Path(__file__).with_name("catalogue")

SPECS: Final[Mapping[str, Callable[[Any], str]]] = {"bytes": format_bytes, "ratio": format_ratio}
"""Format specs beside Python's own."""

Value = float | str
"""A figure that fills a placeholder."""


@dataclass(frozen=True, slots=True)
class Note:
    """One message with its figures, in no language yet."""

    message: str
    figures: Mapping[str, Value]


def note(message: str, **figures: Value) -> Note:
    """The message of that id, with a figure for each placeholder."""
    return Note(message, figures)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All messages of one language, by id."""

    messages: Mapping[str, str]

    def say(self, message: str, **figures: Value) -> str:
        """One message as text.

        Raises:
            KeyError: no such message, or a placeholder without a figure.
            ValueError: a figure without a placeholder.
        """
        text = self.messages[message]
        unused = set(figures) - placeholders(text)
        if unused:
            raise ValueError(f"{message}: no placeholder for {', '.join(sorted(unused))}")
        return _Formatter().vformat(text, (), figures)

    def text(self, each: Note) -> str:
        """A note as text."""
        return self.say(each.message, **each.figures)


def load_catalogue(language: str) -> Catalogue:
    """Read ``catalogue/LANGUAGE.toml``; tables and keys are joined by dots."""
    with (FOLDER / f"{language}.toml").open("rb") as file:
        return Catalogue(dict(_flat(tomllib.load(file))))


def placeholders(message: str) -> set[str]:
    """The names that a message uses."""
    return {name for _, name, _, _ in string.Formatter().parse(message) if name is not None}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, str):
            yield prefix + key, value
        else:
            yield from _flat(value, f"{prefix}{key}.")


class _Formatter(string.Formatter):
    """Python's format strings, with SPECS."""

    def format_field(self, value: Any, format_spec: str) -> str:
        known = SPECS.get(format_spec)
        return known(value) if known else str(super().format_field(value, format_spec))
