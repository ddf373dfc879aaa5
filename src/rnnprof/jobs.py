"""What each command does once its run file is open, and the one way to start it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rnnprof.engine.job import Job, carry_out
from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.engine.supervisor import Supervisor
from rnnprof.engine.sweep import Sweep
from rnnprof.maxbatch.run import certify, run_once, seek_largest
from rnnprof.runfile.records import Run
from rnnprof.study.run import run_study


def sweep(job: Job) -> None:
    """Measure every point of the grid, then prove the largest batch within it at each T."""
    points = Sweep(job.observer, job.listener)
    points.recall(job.run)
    points.run()
    if job.order.settings.certify:
        certify(job, max(job.order.grid.batch))


WORKS: Final[Mapping[str, Callable[[Job], None]]] = {
    "profile": sweep,
    "max-batch": seek_largest,
    "fits": run_once,
    "trainability": run_study,
}
"""The work of each command, by the name in an order."""


def run_order(order: Order, listener: Listener, supervisor: Supervisor | None = None) -> Run:
    """Carry an order out; see :func:`rnnprof.engine.job.carry_out`."""
    return carry_out(order, WORKS[order.command], listener, supervisor)
