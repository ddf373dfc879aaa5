"""Points whose step does not use the batch: no throughput, no recommendation, the reason beside."""

from __future__ import annotations

from fakes import MIB, a_fit, a_run, a_timing
from report_samples import report_from
from rnnprof.points.fold import fold_run
from rnnprof.report.export.document import document
from rnnprof.report.export.points import COLUMNS, rows
from rnnprof.report.model import report_of
from rnnprof.report.text.table import table
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Seen
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Run

T = 16
BATCHES = (16, 64, 256)


def a_run_of(data: int) -> Run:
    """A grid at one T over a data set of so many sequences."""
    observations = []
    for batch in BATCHES:
        given = min(batch, data)
        seen = (Seen(1, given, T, given, given * T, given * T * 8),)
        fit = a_fit(Point(batch, T), train_steps_run=2, seen=seen, peak_charged_bytes=MIB)
        observations += [fit, a_timing(Point(batch, T), *[0.01] * 9)]
    return a_run(observations, Grid(BATCHES, (T,)))


def test_a_point_beyond_the_data_has_no_throughput():
    folded = fold_run(a_run_of(64))
    rates = [folded[Point(batch, T)].sequences_per_s for batch in BATCHES]
    assert rates == [1600, 6400, None]
    last = folded[Point(256, T)]
    assert last.time_steps_per_s is None
    assert last.unused == "requested 256, the data gave 64"
    assert last.warnings == ("the batch is not used: requested 256, the data gave 64",)
    assert (last.seen_batch, last.seen_time_steps) == (64, T)


def test_it_is_not_recommended():
    run = a_run_of(64)
    assert report_of(run).advice.point == Point(64, T)
    nowhere = a_run_of(1)
    advice = report_of(nowhere).advice
    assert advice.recommendations == ()
    assert [each for each in advice.reasons if "requested 256, the data gave 1" in each]


def test_nothing_is_recommended_by_a_certificate_of_it():
    run = a_run_of(64)
    certificate = Certificate(T, EdgeStatus.BATCH_NOT_USED, 1, 999, batch=256)
    (length,) = report_from((run, fold_run(run)), (certificate,)).advice.largest_safe
    assert (length.edge, length.batch) == (None, None)


def test_table_document_and_rows_show_it():
    run = a_run_of(64)
    folded = fold_run(run)
    assert "the batch is not used: requested 256, the data gave 64" in table(
        report_from((run, folded))
    )
    points = document(report_from((run, folded)))["points"]
    assert [point["seen_batch"] for point in points] == [16, 64, 64]
    assert [point["seen_time_steps"] for point in points] == [T] * 3
    names = [column.name for column in COLUMNS]
    assert names[-2:] == ["seen_batch", "seen_time_steps"]
    assert [row[-2] for row in rows(report_of(run))] == [16, 64, 64]
    assert [row[names.index("sequences_per_s")] for row in rows(report_of(run))] == [
        1600,
        6400,
        None,
    ]
