"""Dataclasses to JSON values and back; the records' own round trips are in test_schema."""

from __future__ import annotations

import enum
import json
import math
import re
from dataclasses import dataclass, field

import pytest

from rnnprof.ranges import Real
from rnnprof.runfile.codec import DecodeError, decode, decode_json, encode


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    size: int
    ratio: Real | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    colour: Colour = Colour.RED
    inner: Inner | None = None
    pair: tuple[int, str] = (0, "")
    many: tuple[Inner, ...] = ()
    by_name: dict[str, float] = field(default_factory=dict)
    on: bool = False


@dataclass(frozen=True)
class Samples:
    samples: tuple[Real, ...]


FULL = Outer("x", Colour.BLUE, Inner(1, 0.5), (2, "b"), (Inner(3), Inner(4)), {"k": 1.5}, True)


def test_nested_dataclasses_come_back_through_json():
    text = json.dumps(encode(FULL))
    assert decode(Outer, json.loads(text)) == decode_json(Outer, text.encode()) == FULL


def test_an_absent_field_takes_its_default():
    assert decode(Outer, {"name": "x"}) == Outer("x")


def test_an_unknown_field_is_left_aside():
    assert decode(Inner, {"size": 1, "colour": "red"}) == Inner(1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "r: object missing required field name"),
        ([], "r: expected object, got array"),
        ({"name": 1}, "r.name: expected str, got int"),
        ({"name": "x", "colour": "green"}, "r.colour: invalid enum value 'green'"),
        ({"name": "x", "inner": {"size": 1.0}}, "r.inner.size: expected int, got "),
        ({"name": "x", "inner": {"size": True}}, "r.inner.size: expected int, got "),
        (
            {"name": "x", "inner": {"size": 1, "ratio": "2"}},
            "r.inner.ratio: expected float | null, got str",
        ),
        ({"name": "x", "pair": [1]}, "r.pair: expected array of length 2"),
        ({"name": "x", "pair": [1, 2]}, r"r.pair\[1\]: expected str"),
        ({"name": "x", "many": {}}, "r.many: expected array"),
        (
            {"name": "x", "many": [{"size": 1}, {}]},
            r"r.many\[1\]: object missing required field size",
        ),
        ({"name": "x", "by_name": {"k": None}}, r"r.by_name\[\.\.\.\]: expected float"),
        ({"name": "x", "on": 1}, "r.on: expected bool, got int"),
    ],
)
def test_what_does_not_fit_is_named(value, message):
    with pytest.raises(DecodeError, match=f"^{message.replace('|', '[|]')}"):
        decode(Outer, value, "r")


def test_a_whole_number_is_a_float_too():
    ratio = decode(Inner, {"size": 1, "ratio": 2}).ratio
    assert isinstance(ratio, float)
    assert ratio == 2.0


@pytest.mark.parametrize(
    "number", [math.inf, -math.inf, math.nan, 10**400], ids=["inf", "-inf", "nan", "huge"]
)
def test_what_no_run_file_can_hold_is_refused(number):
    with pytest.raises(DecodeError, match="ratio"):
        decode(Inner, {"size": 1, "ratio": number})
    with pytest.raises(DecodeError, match=r"samples\[2\]: (expected float|number out of range)"):
        decode(Samples, {"samples": [1.0, 2.0, number]})


@pytest.mark.parametrize("samples", [[], [1.0, 2.5], [1, 2.5], [9e18, 9e18], [9e18, -9e18]])
def test_many_floats_are_read_as_one_would_be(samples):
    read = decode(Samples, {"samples": samples}).samples
    assert read == tuple(samples)
    assert all(type(each) is float for each in read)


@pytest.mark.parametrize(
    ("samples", "words"), [([1.0, True], "[1]: expected float"), (["1"], "[0]: expected float")]
)
def test_what_is_no_number_among_many_is_named(samples, words):
    with pytest.raises(DecodeError, match=re.escape(f"samples{words}")):
        decode(Samples, {"samples": samples})


def test_half_a_surrogate_pair_comes_back() -> None:
    text = json.dumps(encode(Outer("a\udc80b")))
    assert decode_json(Outer, text.encode()).name == "a\udc80b"


@pytest.mark.parametrize("text", [b"", b"{", b'{"name":"x"', b"[" * 100_000, b'{"name":"\xff"}'])
def test_what_is_no_json_is_told(text: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^r: "):
        decode_json(Outer, text, "r")
