"""Runs as a gate looks at them: passes that fit or do not, timed processes, a searched batch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from fakes import AT_UTC, HEADER, MIB, a_fit, a_memory, a_request, a_timing
from rnnprof.maxbatch.certify import conclude
from rnnprof.maxbatch.terms import Terms
from rnnprof.outcomes import CROWDED_OUT
from rnnprof.runfile.observations import Failure, Fit, Observation
from rnnprof.runfile.points import Grid, Outcome, Point
from rnnprof.runfile.records import Finished, Header, Run

STEADY = (1.0, 1.01, 0.99, 1.005, 0.995)

POINT = Point(64, 128)
LIMIT = HEADER.limit_bytes
numbers = itertools.count(1)

CROWDED = Failure("baseline", CROWDED_OUT, "others hold the memory")
OOM = Failure("forward", "RuntimeError", "tried to allocate 9 MiB", requested_bytes=9 * MIB)


def a_run(
    *observations: Observation,
    points: Sequence[Point] = (POINT,),
    header: Header = HEADER,
    is_finished: bool = True,
    **more: Any,
) -> Run:
    grid = Grid(
        tuple(sorted({point.batch for point in points})),
        tuple(sorted({point.time_steps for point in points})),
    )
    finished = (Finished("r1", AT_UTC, 1.0),) if is_finished else ()
    return Run(header, (a_request(grid),), observations=observations, finished=finished, **more)


def fit(batch: int = 64, peak: int | None = 40 * MIB, **changes: Any) -> Fit:
    time_steps = changes.pop("time_steps", POINT.time_steps)
    known = {"attempt": f"a{next(numbers)}", "peak_charged_bytes": peak, "train_steps_run": 10}
    return a_fit(Point(batch, time_steps), **(known | changes))


def ooms(batch: int = 64, **changes: Any) -> Fit:
    known = {"outcome": Outcome.OOM, "reason": "out of memory in forward", "failure": OOM}
    return fit(batch, None, **(known | changes))


def timings(*medians_s: float, point: Point = POINT) -> list[Observation]:
    return [
        a_timing(point, value, process_index=i, attempt=f"a{next(numbers)}")
        for i, value in enumerate(medians_s)
    ]


def measured(
    *medians_s: float, peak: int | None = 32 * MIB, point: Point = POINT
) -> list[Observation]:
    return [
        a_fit(point, peak_charged_bytes=40 * MIB, train_steps_run=10, attempt=f"a{next(numbers)}"),
        a_memory(point, peak_allocated_bytes=peak, attempt=f"a{next(numbers)}"),
        *timings(*medians_s, point=point),
    ]


def edge(*passes: Fit, at_most: int = 1000, granularity: int = 1) -> Run:
    terms = Terms(LIMIT, at_most, granularity)
    certificate = conclude(POINT.time_steps, passes, terms, "r1")
    return a_run(*passes, certificates=(certificate,))
