"""Sizes, times and rates as text and back."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnprof.units import (
    GIB,
    KIB,
    MIB,
    compact_bytes,
    compact_rate,
    compact_seconds,
    exact_bytes,
    format_bytes,
    format_duration,
    format_flops,
    format_rate,
    format_ratio,
    format_seconds,
    parse_bytes,
    parse_size,
    seconds_unit,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1", 1),
        ("1b", 1),
        ("8_000", 8000),
        ("4k", 4 * KIB),
        ("512MiB", 512 * MIB),
        ("512 mib", 512 * MIB),
        (" 1.5g ", 3 * GIB // 2),
        ("2tib", 2048 * GIB),
        ("1KB", 1000),
        ("1MB", 10**6),
        ("1.5GB", 1_500_000_000),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes_are_read(text, size_bytes):
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.2.3", "1e3", "1 Mib B", "12q", "nan", "1,5g"])
def test_what_is_no_size_is_named(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))) as caught:
        parse_bytes(text)
    assert "512MiB" in str(caught.value)


@pytest.mark.parametrize("text", ["0", "0.0GiB", "0.4"])
def test_nothing_is_no_size(text):
    with pytest.raises(ValueError, match="above zero"):
        parse_bytes(text)


@example("9" * 400)
@given(st.text(alphabet="0123456789.kMGTiBb_ -e", max_size=12))
def test_any_text_is_a_size_above_zero_or_a_value_error(text):
    try:
        size_bytes = parse_bytes(text)
    except ValueError:
        return
    assert size_bytes >= 1


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (512 * MIB, "512 MiB"),
        (999.4 * MIB, "999 MiB"),
        (999.6 * MIB, "0.98 GiB"),
        (1.5 * GIB, "1.50 GiB"),
        (15.25 * GIB, "15.2 GiB"),
        (5000 * 1024 * GIB, "5000 TiB"),
        (-3 * MIB, "-3.00 MiB"),
    ],
)
def test_bytes_are_binary_with_three_digits(size_bytes, text):
    assert format_bytes(size_bytes) == text


@given(st.integers(min_value=1, max_value=1 << 49))
def test_bytes_read_back_within_what_the_digits_hold(size_bytes):
    # 0.98 of a unit is the least that is shown, to the nearest hundredth
    assert parse_bytes(format_bytes(size_bytes)) == pytest.approx(size_bytes, rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (12.345, "12.3 s"),
        (1.0, "1.00 s"),
        (0.9996, "1.00 s"),
        (0.9994, "999 ms"),
        (0.0123, "12.3 ms"),
        (0.0009996, "1.00 ms"),
        (0.00045, "450 µs"),
        (1.5e-6, "1.50 µs"),
    ],
)
def test_seconds(seconds, text):
    assert format_seconds(seconds) == text


@given(st.floats(min_value=1e-6, max_value=999))
def test_seconds_read_back_within_what_three_digits_hold(seconds):
    number, unit = format_seconds(seconds).split()
    factor = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}[unit]
    assert float(number) * factor == pytest.approx(seconds, rel=0.0051)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (math.inf, "-"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (None, "-"),
        (0.5, "0.50/s"),
        (999, "999/s"),
        (999.6, "1.00 k/s"),
        (1_234_000, "1.23 M/s"),
        (5e12, "5000 G/s"),
    ],
)
def test_rates(per_second, text):
    assert format_rate(per_second) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, "-"), (0.032, "3.2%"), (0.5, "50%"), (1.5, "150%"), (0, "0%")]
)
def test_ratios(ratio, text):
    assert format_ratio(ratio) == text


@pytest.mark.parametrize(
    ("flop_per_s", "text"),
    [
        (None, "-"),
        (0, "0.00 FLOP/s"),
        (999.4, "999 FLOP/s"),
        (999.6, "1.00 kFLOP/s"),
        (78.1e9, "78.1 GFLOP/s"),
        (999.7e9, "1.00 TFLOP/s"),
        (67e12, "67.0 TFLOP/s"),
        (2e18, "2000 PFLOP/s"),
    ],
)
def test_operations_per_second_have_three_digits(flop_per_s, text):
    assert format_flops(flop_per_s) == text


@pytest.mark.parametrize("text", ["800", " 8_000 ", "1"])
def test_a_bare_number_is_asked_for_its_unit(text: str) -> None:
    bare = text.strip().replace("_", "")
    with pytest.raises(ValueError, match=rf"bytes\? write {bare}MiB, or {bare}B for bytes"):
        parse_size(text)
    assert parse_size(f"{bare}B") == int(bare)


@given(st.integers(1, 1 << 53))
def test_an_exact_size_is_read_back(size_bytes: int) -> None:
    assert parse_size(exact_bytes(size_bytes)) == size_bytes


def test_an_exact_size_has_the_largest_unit_that_divides_it() -> None:
    sizes = (GIB, 512 * MIB, 3 * KIB, 1000)
    assert [exact_bytes(each) for each in sizes] == ["1GiB", "512MiB", "3KiB", "1000B"]


@pytest.mark.parametrize(
    ("size_bytes", "plain", "is_round"),
    [
        (None, "-", "-"), (512, "512B", "512B"), (64 << 20, "64.0M", "64M"),
        (1.5 * (1 << 30), "1.50G", "1.5G"), (1 << 20, "1.00M", "1M"), (999 << 10, "999K", "999K"),
    ],
)  # fmt: skip
def test_compact_bytes(size_bytes: float | None, plain: str, is_round: str) -> None:
    assert compact_bytes(size_bytes) == plain
    assert compact_bytes(size_bytes, is_round=True) == is_round


@pytest.mark.parametrize(
    ("per_second", "plain", "is_round"),
    [
        (None, "-", "-"), (5, "5.00", "5"), (16_000, "16.0k", "16k"), (2_500, "2.50k", "2.5k"),
        (0.25, "0.25", "0.25"), (3e12, "3000G", "3000G"),
    ],
)  # fmt: skip
def test_compact_rates(per_second: float | None, plain: str, is_round: str) -> None:
    assert compact_rate(per_second) == plain
    assert compact_rate(per_second, is_round=True) == is_round


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (1.5, "1.50s"), (0.0123, "12.3m"), (45e-6, "45.0µ")]
)
def test_compact_seconds(seconds: float | None, text: str) -> None:
    assert compact_seconds(seconds) == text


def test_a_rate_names_what_it_counts() -> None:
    assert format_rate(12_300, "time steps") == "12.3 k time steps/s"
    assert format_rate(538, "sequences") == "538 sequences/s"
    assert format_rate(None, "sequences") == "-"


@given(st.floats(1e-9, 1e4))
def test_a_time_has_one_unit_in_every_form(seconds: float) -> None:
    factor, unit = seconds_unit(seconds)
    assert format_seconds(seconds).endswith(f" {unit}")
    assert compact_seconds(seconds).endswith(unit[0])
    assert float(format_seconds(seconds).split()[0]) == pytest.approx(
        seconds * factor, rel=0.006, abs=0.006
    )
