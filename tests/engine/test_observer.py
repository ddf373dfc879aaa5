"""The observer: a deadline follows from what such passes have taken, whatever they are called."""

from __future__ import annotations

import pytest

from fakes import HEADER, FakeProbe, a_request
from rnnprof.analysis.plan import FIRST_DEADLINE_S, MIN_DEADLINE_S
from rnnprof.engine.observer import Observer
from rnnprof.protocol import Task
from rnnprof.records import Grid, Point

POINT = Point(4, 16)


@pytest.mark.parametrize("name", ["fit", "timing:1", "memory", "rates"])
def test_each_pass_finds_the_cost_that_it_has_left(name: str) -> None:
    probe = FakeProbe()
    observer = Observer(
        task=Task("fit", HEADER.workload),
        request=a_request(Grid((4,), (16,))),
        limit_bytes=1 << 40,
        probe=probe,
        record=lambda _: None,
        guard_bytes=lambda: 1 << 40,
    )
    for _ in range(2):
        observer.observe(POINT, name)
    first_s, second_s = (deadline_s for _, deadline_s in probe.asked)
    assert first_s == FIRST_DEADLINE_S
    assert MIN_DEADLINE_S <= second_s < FIRST_DEADLINE_S
