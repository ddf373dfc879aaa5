"""The limit of a run beside what is free now."""

from __future__ import annotations

import pytest

from rnnprof.engine.identity import shortage
from rnnprof.engine.reasons import LimitKept

GIB = 1 << 30


@pytest.mark.parametrize("free_bytes", [GIB, 4 * GIB, GIB - 1])
def test_enough_is_no_shortage(free_bytes: int) -> None:
    assert shortage(GIB, free_bytes) is None


@pytest.mark.parametrize(("free_bytes", "left_bytes"), [(GIB // 2, GIB // 2), (0, 0), (-GIB, 0)])
def test_less_than_the_limit_is_a_shortage(free_bytes: int, left_bytes: int) -> None:
    assert shortage(GIB, free_bytes) == LimitKept(GIB, left_bytes)
