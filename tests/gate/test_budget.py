"""Budgets as they are written, and whatever else may stand in their place."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.cli.table import budget_entries
from rnnprof.errors import BadInputError
from rnnprof.gate.budget import (
    PEAKS,
    Asked,
    Budget,
    Growth,
    LeastBatch,
    LeastThroughput,
    MostPeak,
    MustFit,
    points_asked,
)
from rnnprof.gate.budget_file import parse_budget
from rnnprof.gate.evidence import Required
from rnnprof.runfile.points import Point

MIB = 1 << 20

WHOLE = """
version = 1
[workload]
cell = "gru"
hidden-size = 128
[measure]
device = "cpu"
memory-limit = "1GiB"
at-most = 4096
[[fits]]
batch = 64
time-steps = 128
headroom = "5%"
[[fits]]
batch = 32
time-steps = 256
[[max-batch]]
time-steps = 128
at-least = 512
[[peak]]
batch = 64
time-steps = 128
at-most = "800MiB"
[[peak]]
batch = 64
time-steps = 128
at-most = 1000000
of = "process"
[[throughput]]
batch = 64
time-steps = 32
at-least = 12000.5
[growth]
memory = "1%"
memory-bytes = 0
time = 0.1
"""


def budget_of(table: Mapping[str, Any], name: str) -> Budget:
    return parse_budget(table, name, budget_entries("measure"))


def parsed(text: str) -> Budget:
    return budget_of(tomllib.loads(text), "budget.toml")


def refusal(text: str) -> str:
    with pytest.raises(BadInputError) as refused:
        parsed(text)
    return str(refused.value)


def entry(kind: str, **values: Any) -> dict[str, Any]:
    written = {name.replace("_", "-"): value for name, value in values.items()}
    return {"version": 1, kind: [written]}


def test_a_whole_budget_is_read() -> None:
    assert parsed(WHOLE) == Budget(
        fits=(MustFit(Point(64, 128), 0.05), MustFit(Point(32, 256), 0.0)),
        max_batch=(LeastBatch(128, 512),),
        peak=(
            MostPeak(Point(64, 128), 800 * MIB, "allocated"),
            MostPeak(Point(64, 128), 1_000_000, "process"),
        ),
        throughput=(LeastThroughput(Point(64, 32), 12000.5),),
        growth=Growth(0.01, 0, 0.1),
        workload={"cell": "gru", "hidden-size": 128},
        measure={"device": "cpu", "memory-limit": "1GiB", "at-most": 4096},
        required=Required(device="cpu", limit_bytes=1 << 30),
    )


def test_what_has_to_be_measured() -> None:
    assert points_asked(parsed(WHOLE)) == Asked(
        fits=(Point(64, 32), Point(64, 128), Point(32, 256)),
        memory=(Point(64, 128),),
        timed=(Point(64, 32),),
        edges=(128,),
        proofs=(Point(64, 128), Point(32, 256)),
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("at-most", "lots", "write a whole number"),
        ("at-most", 0, "write a whole number"),
        ("confirm-steps", "ten", "write a whole number"),
        ("memory-limit", 800, "a size with its unit"),
        ("memory-limit", "800", "a size with its unit"),
        ("reserve", "some", "a size with its unit"),
        ("gpu-memory", 16, "a size with its unit"),
        ("device", 3, "a name"),
        ("at_most", 4096, "did you mean 'at-most'?"),
    ],
)
def test_what_measures_is_read_before_anything_is_written(key: str, value: object, said: str):
    with pytest.raises(BadInputError, match=rf"^b: measure\.{key} is ") as refused:
        budget_of(
            {"version": 1, "fits": [{"batch": 1, "time-steps": 1}], "measure": {key: value}}, "b"
        )
    assert said in str(refused.value)


def test_growth_may_name_points_of_its_own() -> None:
    text = 'version = 1\n[growth]\nbatch = "8,16"\ntime-steps = 32\n'
    points = (Point(8, 32), Point(16, 32))
    assert parsed(text).growth == Growth(points=points)
    assert points_asked(parsed(text)) == Asked(points, points, points, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch = 8", "growth.time-steps is missing"),
        ('batch = "8:"\ntime-steps = 8', "growth.batch is '8:'"),
        ('batch = "1:999:+1"\ntime-steps = "1:999:+1"', "more than 1000 points"),
        ("batch = true\ntime-steps = 8", "growth.batch is true"),
    ],
)
def test_points_of_growth_that_are_none(text: str, said: str) -> None:
    assert said in refusal(f"version = 1\n[growth]\n{text}\n")


def test_growth_alone_is_a_budget_with_the_defaults() -> None:
    assert parsed("version = 1\n[growth]").growth == Growth(0.005, 2 * MIB, 0.05)
    assert parsed(WHOLE.split("[growth]")[0]).growth is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["version is missing", "write version = 1"]),
        ("version = 2\n[growth]", ["version is newer", "reads version 1", "upgrade rnnprof"]),
        ("version = true\n[growth]", ["version is true", "write version = 1"]),
        ("version = 1.0\n[growth]", ["version is 1.0"]),
        ("version = 1", ["budget.toml requires nothing", "[[fits]]"]),
        ("version = 1\nfits = []", ["requires nothing"]),
        ("version = 1\n[[fit]]", ["fit is no key", "did you mean 'fits'?"]),
        ("version = 1\n[[max_batch]]", ["max_batch is no key", "did you mean 'max-batch'?"]),
        ("version = 1\nzzz = 1", ["zzz is no key; there are fits, growth,"]),
        ("version = 1\n[fits]\nbatch = 1", ["fits is a table", "[[fits]]"]),
        ("version = 1\nfits = [3]", ["fits[1] is 3", "[[fits]]"]),
        ("version = 1\n[[growth]]", ["growth is a list", "[growth]"]),
        ("version = 1\nworkload = 3", ["workload is 3", "[workload]"]),
        (
            "version = 1\n[measure]\nmemory_limit = 3",
            ["measure.memory_limit is no key", "'memory-limit'"],
        ),
        (
            WHOLE.replace("time-steps = 256", "time-steps = 256\nheadrom = 0.1"),
            ["fits[2].headrom is no key", "did you mean 'headroom'?"],
        ),
        (WHOLE.replace("batch = 32", ""), ["fits[2].batch is missing", "a whole number"]),
        (WHOLE.replace("batch = 32", "batch = 64.0"), ["fits[2].batch is 64.0"]),
        (WHOLE.replace("of = ", "of = 'live' #"), ["peak[2].of is 'live'", '"allocated"']),
        (
            WHOLE.replace("batch = 32\ntime-steps = 256", "batch = 64\ntime-steps = 128"),
            ["fits[2] names the same as fits[1]", "keep one"],
        ),
        (WHOLE.replace('of = "process"', ""), ["peak[2] names the same as peak[1]"]),
        (
            WHOLE + "[[max-batch]]\ntime-steps = 128\nat-least = 9",
            ["max-batch[2] names the same as max-batch[1]"],
        ),
        (
            WHOLE.replace("at-most = 4096", "at-most = 511"),
            ["max-batch[1] requires at least 512", "measure.at-most allows only 511"],
        ),
    ],
)
def test_refusals_name_the_key_and_the_remedy(text: str, words: list[str]) -> None:
    message = refusal(text)
    assert message.startswith("budget.toml")
    for word in words:
        assert word in message


NOT_SIZES = [True, False, 0, -1, 1.5, math.nan, math.inf, "64", 2**31, 2**63, 10**400, None]


@pytest.mark.parametrize("value", NOT_SIZES)
@pytest.mark.parametrize("key", ["batch", "time-steps"])
def test_sizes_are_whole_numbers_above_zero(key: str, value: object) -> None:
    table = entry("fits", **{"batch": 64, "time-steps": 128} | {key: value})
    with pytest.raises(BadInputError, match=rf"^b: fits\[1\]\.{key} is .*write a whole number"):
        budget_of(table, "b")


@pytest.mark.parametrize("value", [True, 0, -1, "0", "-5MiB", "8 EB", "", "9" * 400, 2**63, 1.5])
def test_byte_limits_are_sizes(value: object) -> None:
    table = entry("peak", batch=1, time_steps=1, **{"at-most": value})
    with pytest.raises(BadInputError, match=r"^b: peak\[1\]\.at-most is .*800MiB"):
        budget_of(table, "b")


@pytest.mark.parametrize("value", [True, 0, -1.0, math.nan, math.inf, 2**63, "9", 5e-324])
def test_rates_are_numbers_above_zero(value: object) -> None:
    table = entry("throughput", batch=1, time_steps=1, **{"at-least": value})
    with pytest.raises(BadInputError, match=r"^b: throughput\[1\]\.at-least is .*per second"):
        budget_of(table, "b")


@pytest.mark.parametrize("value", [True, -0.01, 1, "100%", "5 percent", "nan%", "inf", math.nan])
@pytest.mark.parametrize("key", ["memory", "time"])
def test_shares_lie_below_one(key: str, value: object) -> None:
    with pytest.raises(BadInputError, match=rf"^b: growth\.{key} is "):
        budget_of({"version": 1, "growth": {key: value}}, "b")


def test_no_growth_of_time_at_all_cannot_be_shown() -> None:
    assert budget_of({"version": 1, "growth": {"memory": 0}}, "b").growth == Growth(0.0)
    with pytest.raises(BadInputError, match="no measurement shows"):
        budget_of({"version": 1, "growth": {"time": 0}}, "b")


@pytest.mark.parametrize("key", ["a\nb", "\x1b[2J", "k" * 5000, ""])
def test_hostile_keys_are_shown_on_one_short_line(key: str) -> None:
    with pytest.raises(BadInputError) as refused:
        budget_of({"version": 1, key: 1}, "b")
    message = str(refused.value)
    assert len(message) < 300
    assert message.isprintable()


scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 64, 2**31, 2**63, 10**400, -(10**400)]),
    st.floats(),
    st.text(max_size=9),
    st.sampled_from(["5%", "800MiB", "nan%", "1e999", *PEAKS]),
    st.dates(),
    st.times(),
    st.datetimes(),
)
names = st.one_of(
    st.text(max_size=6),
    st.sampled_from([
        "version", "workload", "measure", "fits", "max-batch", "peak", "throughput", "growth",
        "batch", "time-steps", "headroom", "at-least", "at-most", "of", "memory", "memory-bytes",
        "time", "device", "at-most",
    ]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
tables = st.dictionaries(names, values, max_size=5).map(lambda table: {"version": 1} | table)


def reads_or_refuses(table: Mapping[str, Any]) -> None:
    refusal = ""
    try:
        budget = budget_of(table, "budget.toml")
    except BadInputError as error:
        refusal = str(error)
    else:
        assert isinstance(budget, Budget)
        points_asked(budget)
    assert not refusal or re.fullmatch(r"budget\.toml.{1,500}", refusal)


@given(tables)
def test_any_table_is_a_budget_or_bad_input(table: dict[str, Any]) -> None:
    reads_or_refuses(table)


PLACES = [
    (kind, key)
    for kind, keys in {
        "fits": ("batch", "time-steps", "headroom"),
        "max-batch": ("time-steps", "at-least"),
        "peak": ("batch", "time-steps", "at-most", "of"),
        "throughput": ("batch", "time-steps", "at-least"),
        "growth": ("memory", "memory-bytes", "time"),
        "measure": ("at-most", "device"),
    }.items()
    for key in keys
]


@given(st.sampled_from(PLACES), values)
def test_any_value_in_any_place_of_a_good_budget(place: tuple[str, str], value: Any) -> None:
    kind, key = place
    table = tomllib.loads(WHOLE)
    at = table[kind]
    (at[0] if isinstance(at, list) else at)[key] = value
    reads_or_refuses(table)


def test_a_number_that_python_does_not_print_is_refused_all_the_same() -> None:
    with pytest.raises(BadInputError, match="a number of 20001 bits"):
        budget_of(entry("fits", batch=1 << 20_000, time_steps=1), "b")


def test_a_date_is_shown_as_it_is() -> None:
    with pytest.raises(BadInputError, match=r"datetime\.date"):
        budget_of(entry("fits", batch=date(2026, 11, 24), time_steps=1), "b")
