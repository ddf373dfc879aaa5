"""Runs whose training step does not use the batch: a data set of a few sequences."""

from __future__ import annotations

from fakes import MIB, a_fit, a_run, a_timing
from rnnprof.runfile.observations import Seen
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Run

T = 16
BATCHES = (16, 64, 256)


def run_over(data: int) -> Run:
    """A grid at one T over a data set of so many sequences."""
    observations = []
    for batch in BATCHES:
        given = min(batch, data)
        seen = (Seen(1, given, T, given, given * T, given * T * 8),)
        fit = a_fit(Point(batch, T), train_steps_run=2, seen=seen, peak_charged_bytes=MIB)
        observations += [fit, a_timing(Point(batch, T), *[0.01] * 9)]
    return a_run(observations, Grid(BATCHES, (T,)))
