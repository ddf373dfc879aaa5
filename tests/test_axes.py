"""Axes of the grid as text and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnprof.axes import MAX_AXIS_VALUE, MAX_AXIS_VALUES, format_axis, parse_axis

VALUES = st.integers(min_value=1, max_value=MAX_AXIS_VALUE - 1)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("8", (8,)),
        ("8,16,24", (8, 16, 24)),
        ("24, 8 ,16,8", (8, 16, 24)),
        ("8:256:x2", (8, 16, 32, 64, 128, 256)),
        ("8:255:x2", (8, 16, 32, 64, 128)),
        ("2:30:x1.5", (2, 3, 4, 7, 10, 15, 23)),
        ("16:128:+16", tuple(range(16, 129, 16))),
        ("16:30:+16", (16,)),
        ("5:5:x2", (5,)),
        ("4,8:32:x2,100:120:+10", (4, 8, 16, 32, 100, 110, 120)),
        ("1:1000:+1", tuple(range(1, 1001))),
        ("2147483647", (2147483647,)),
    ],
)
def test_forms(text, values):
    assert parse_axis(text) == values


@pytest.mark.parametrize(
    ("text", "part", "reason"),
    [
        ("", "", "not understood"),
        ("8,,16", "", "not understood"),
        ("8,x", "x", "not understood"),
        ("8,-4", "-4", "not understood"),
        ("8.5", "8.5", "not understood"),
        ("8:256", "8:256", "not understood"),
        ("8:256:2", "8:256:2", "not understood"),
        ("8:256:*2", "8:256:*2", "not understood"),
        ("8,16:8:x2", "16:8:x2", "ends below its start"),
        ("4,8:256:x1", "8:256:x1", "above 1"),
        ("8:256:x0.5", "8:256:x0.5", "above 1"),
        ("8:256:+0", "8:256:+0", "whole number above 0"),
        ("8:256:+1.5", "8:256:+1.5", "whole number above 0"),
        ("8,0", "0", "between 1 and 2147483647"),
        ("0:8:+1", "0:8:+1", "between 1 and 2147483647"),
        ("8:2147483648:x2", "8:2147483648:x2", "between 1 and 2147483647"),
    ],
)
def test_the_part_at_fault_is_named(text, part, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        parse_axis(text)
    assert str(caught.value).startswith(repr(part))


@pytest.mark.parametrize(
    "text", ["1:1001:+1", "1:1000:+1,2000", "1:2000000000:+1", "1000:100000:x1.000001"]
)
def test_too_many_values_are_a_slip(text):
    with pytest.raises(ValueError, match=f"more than {MAX_AXIS_VALUES}"):
        parse_axis(text)


@given(st.sets(VALUES, min_size=1, max_size=MAX_AXIS_VALUES))
def test_what_is_written_reads_back(values):
    axis = tuple(sorted(values))
    assert parse_axis(format_axis(axis)) == axis


@given(first=VALUES, length=st.integers(0, 999), step=st.integers(1, 999_999))
def test_an_arithmetic_range_has_its_ends_and_its_step(first, length, step):
    last = min(first + length * step, MAX_AXIS_VALUE - 1)
    assert parse_axis(f"{first}:{last}:+{step}") == tuple(range(first, last + 1, step))


@example(first=8, ratio=32, factor=1.001)
@example(first=1, ratio=1 << 30, factor=1.000001)
@given(
    first=st.integers(1, 10_000),
    ratio=st.integers(1, 10_000),
    factor=st.floats(min_value=1.0001, max_value=10).map(lambda x: round(x, 6)),
)
def test_a_geometric_range_reaches_its_end_or_is_refused(first, ratio, factor):
    """Cut off half way it would be a smaller grid than was asked for, and nobody told."""
    last = first * ratio
    try:
        values = parse_axis(f"{first}:{last}:x{factor:f}")
    except ValueError as error:
        assert f"more than {MAX_AXIS_VALUES}" in str(error)  # noqa: PT017
        return
    assert values[0] == first
    assert values[-1] <= last < (values[-1] + 1) * factor
