"""Errors of the user's code, whatever their types and messages are."""

from __future__ import annotations

import sys

import pytest

from rnnprof.worker.workload.location import located, text_of, type_of


class RaisingError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class ExitingError(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class NumberError(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("error", "why"),
    [(RaisingError(), "ValueError"), (ExitingError(), "SystemExit"), (NumberError(), "TypeError")],
)
def test_an_error_that_cannot_write_its_message_has_one(error: Exception, why: str) -> None:
    assert text_of(error) == f"no message: its __str__ raises {why}"


def test_the_name_of_a_type_is_a_short_line() -> None:
    name = type_of(type("\x1b[31mA\nB" * 99, (Exception,), {})())
    assert name.startswith("?[31mA B")
    assert name.endswith("...")
    assert len(name) == 60
    assert type_of(type("", (Exception,), {})()) == "an error without a name"
    assert type_of(KeyError(1)) == "KeyError"


def test_a_long_message_keeps_its_place() -> None:
    try:
        raise ValueError("y" * 1_000_000 + "\n" + "z" * 1_000_000)
    except ValueError as error:
        text = located(str(error), error)
    first, _, rest = text.partition("\n")
    assert len(first) < 300
    assert "yyy... (at test_location.py:" in first
    assert len(rest) < 20_000


def test_no_message_is_said() -> None:
    assert located("\n\n", KeyError()) == "no message"
