"""``rnnprof export RUN..``: csv, json or parquet for other tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnprof.cli.command import TableCommand, table_options
from rnnprof.cli.echo import say
from rnnprof.cli.outputs import is_same_file
from rnnprof.cli.system_errors import refusal_of
from rnnprof.cli.table import EXPORT_FORMATS
from rnnprof.cli.types import FILE
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnprof.runfile.records import Run


@click.command(cls=TableCommand)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=FILE)
@table_options("export")
def command(runs: tuple[Path, ...], kind: str | None, output: Path | None) -> int:
    """CSV, JSON or Parquet for other tools.

    CSV and Parquet have one row per point, for all runs together, and the same columns for every
    run. JSON is the document of profile --json, for one run.
    """
    from rnnprof.runfile.journal import load

    output = None if output == Path("-") else output
    kind = kind or _kind_by_name(output)
    _check(runs, kind, output)
    content = _content([load(run) for run in runs], kind)
    if output is None:
        click.echo(content, nl=False)
    else:
        _to_file(output, content)
    return 0


def _kind_by_name(output: Path | None) -> str:
    ending = output.suffix.removeprefix(".") if output else ""
    return ending if ending in EXPORT_FORMATS else "csv"


def _check(runs: Sequence[Path], kind: str, output: Path | None) -> None:
    if kind == "json" and len(runs) > 1:
        raise BadInputError(
            f"--format json holds one run, {len(runs)} were given: export each alone, or all of "
            "them as csv or parquet"
        )
    if kind == "parquet" and output is None and sys.stdout.isatty():
        raise BadInputError("parquet is binary: name a file with -o")
    if output is None:
        return
    if output.suffix == ".jsonl" or any(is_same_file(run, output) for run in runs):
        raise BadInputError(
            f"-o {output}: a run file would be overwritten; give the export another name"
        )


def _content(runs: Sequence[Run], kind: str) -> bytes:
    from rnnprof.report.export.points import csv_file, json_file, parquet_file, rows
    from rnnprof.report.model import report_of

    if kind == "json":
        return json_file(report_of(runs[0]))
    table = []
    for run in runs:
        found = rows(report_of(run))
        if not found:
            say(
                f"{run.path} has no grid points, so no rows; its largest batches are in "
                "--format json",
                err=True,
            )
        table += found
    return parquet_file(table) if kind == "parquet" else csv_file(table)


def _to_file(output: Path, content: bytes) -> None:
    from rnnprof.atomic import write_whole

    try:
        write_whole(output, content)
    except OSError as error:
        raise refusal_of(f"cannot write {output}", error) from None
