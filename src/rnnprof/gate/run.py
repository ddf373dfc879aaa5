"""Measures what a budget requires, and no more of it than a verdict takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.engine.supervisor import Supervisor
from rnnprof.errors import BadInputError
from rnnprof.gate.budget import Asked, Budget, points_asked
from rnnprof.jobs import run_order
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.runfile.points import Grid, Outcome, Point
from rnnprof.runfile.records import Run

MORE_PROCESSES: Final = 2
"""Added to each point's timing processes while a verdict on time is still open."""


def asked_of(budget: Budget, base: FoldedRun | None) -> Asked:
    """What to measure: what the budget requires, and every point and edge that the baseline has.

    Where the budget requires no time, points are timed that the baseline has timed.

    Args:
        budget: the limits.
        base: the baseline; None without one.
    """
    asked = points_asked(budget)
    if base is None:
        return asked
    points = base.measurements
    measured = {p for p, m in points.items() if m.outcome is Outcome.MEASURED}
    known = {p for p in measured if points[p].peak_allocated_bytes is not None}
    timed = measured if budget.asks_time else {p for p in measured if points[p].step_time_s}
    edges = {certificate.time_steps for certificate in base.frontier}
    return replace(
        asked,
        fits=tuple(sorted({*asked.fits, *measured})),
        memory=tuple(sorted({*asked.memory, *known})),
        timed=tuple(sorted({*asked.timed, *timed})),
        edges=tuple(sorted(edges | {*asked.edges})),
    )


def asked_in_turn(budget: Budget) -> Asked:
    """What to measure on both sides: at every point that the budget names, memory and time too.

    Raises:
        BadInputError: it names none, and no T.
    """
    asked = points_asked(budget)
    points = tuple(sorted({*asked.fits, *asked.memory, *asked.timed}))
    if not points and not asked.edges:
        raise BadInputError(
            "the budget names no point to measure: add batch and time-steps to [growth], or a "
            "[[fits]], [[peak]] or [[throughput]]"
        )
    return replace(asked, fits=points, memory=points, timed=points)


def measure(
    asked: Asked,
    order: Order,
    listener: Listener,
    is_settled: Callable[[FoldedRun], bool] = lambda _: True,
    max_seconds: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> FoldedRun:
    """Measure into one run file: edges, then whole points, then points that only have to fit.

    While *is_settled* says no, the timed points get more processes, for up to *max_seconds* from
    the beginning; what has begun is finished.

    Args:
        asked: what to measure.
        order: how to measure it, and into which file.
        listener: hears of the progress.
        is_settled: whether no more processes are needed.
        max_seconds: after which no more processes are begun.
        clock: in seconds.

    Returns:
        The run as it is in the end, folded.

    Raises:
        RnnprofError: as :func:`rnnprof.jobs.run_order`.
    """
    began_s = clock()
    run: Run | None = None
    with Supervisor(gpu=order.gpu) as supervisor:
        for each in orders_of(asked, order):
            run = run_order(each, listener, supervisor)
        assert run is not None, "a budget requests something"
        folded = FoldedRun.of(run)
        processes = order.settings.processes
        timed = asked.timed if order.gpu is None else ()
        while timed and not is_settled(folded) and clock() - began_s < max_seconds:
            processes += MORE_PROCESSES
            for each in timed_orders(timed, order, processes):
                run = run_order(each, listener, supervisor)
            folded = FoldedRun.of(run)
    return folded


def orders_of(asked: Asked, order: Order) -> Iterator[Order]:
    """The invocations that *asked* takes; each but the first extends the file."""
    whole = {*asked.memory, *asked.timed}
    orders = [
        *([_order(order, "max-batch", (), asked.edges)] if asked.edges else []),
        *timed_orders(asked.timed, order, order.settings.processes),
        *timed_orders(sorted(whole.difference(asked.timed)), order, 0),
        *(
            _order(order, "fits", (point.batch,), (point.time_steps,))
            for point in asked.fits
            if point in asked.proofs or point not in whole
        ),
    ]
    for number, each in enumerate(orders):
        if number == 0:
            yield replace(each, extend=order.extend, overwrite=order.overwrite)
        else:
            yield replace(each, extend=True, overwrite=False)


def timed_orders(points: Iterable[Point], order: Order, processes: int) -> Iterator[Order]:
    """A sweep for each T, of the batches that are timed there."""
    by_steps: dict[int, list[int]] = defaultdict(list)
    for point in points:
        by_steps[point.time_steps].append(point.batch)
    settings = replace(order.settings, processes=processes, certify=False, prune=False)
    for time_steps in sorted(by_steps):
        each = _order(order, "profile", tuple(sorted(by_steps[time_steps])), (time_steps,))
        yield replace(each, settings=settings, extend=True, overwrite=False)


def _order(
    order: Order, command: str, batch: tuple[int, ...], time_steps: tuple[int, ...]
) -> Order:
    return replace(order, command=command, grid=Grid(batch, time_steps))
