"""Points whose step does not use the batch: no throughput, the reason beside."""

from __future__ import annotations

from rnnprof.points.fold import fold_run
from rnnprof.points.reasons import BatchNotUsed, DataGave
from rnnprof.runfile.points import Point
from unused_samples import BATCHES, T, run_over


def test_a_point_beyond_the_data_has_no_throughput():
    folded = fold_run(run_over(64))
    rates = [folded[Point(batch, T)].sequences_per_s for batch in BATCHES]
    assert rates == [1600, 6400, None]
    last = folded[Point(256, T)]
    assert last.time_steps_per_s is None
    assert last.unused == DataGave(256, 64)
    assert last.warnings == (BatchNotUsed(DataGave(256, 64)),)
    assert (last.seen_batch, last.seen_time_steps) == (64, T)
