"""What a report shows of points whose step does not use the batch."""

from __future__ import annotations

from report_samples import report_from
from rnnprof.points.fold import fold_run
from rnnprof.report.export.document import document
from rnnprof.report.export.points import COLUMNS, rows
from rnnprof.report.model import report_of
from rnnprof.report.text.table import table
from unused_samples import T, run_over


def test_table_document_and_rows_show_it():
    run = run_over(64)
    folded = fold_run(run)
    assert "the batch is not used: requested 256, the data gave 64" in table(
        report_from((run, folded))
    )
    points = document(report_from((run, folded)))["points"]
    assert [point["seen_batch"] for point in points] == [16, 64, 64]
    assert [point["seen_time_steps"] for point in points] == [T] * 3
    names = [column.name for column in COLUMNS]
    assert [row[names.index("seen_batch")] for row in rows(report_of(run))] == [16, 64, 64]
    assert [row[names.index("seen_time_steps")] for row in rows(report_of(run))] == [T] * 3
    assert [row[names.index("sequences_per_s")] for row in rows(report_of(run))] == [
        1600,
        6400,
        None,
    ]
