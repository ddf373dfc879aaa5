"""``rnnprof report RUN...``: the page, the charts, the summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnprof.cli.command import TableCommand, table_options
from rnnprof.cli.echo import say_path, say_written
from rnnprof.cli.system_errors import refusal_of
from rnnprof.cli.types import FILE
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from rnnprof.report.model import RunReport


@click.command(cls=TableCommand)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=FILE)
@table_options("report")
def command(runs: tuple[Path, ...], output: Path | None, is_opened: bool, quiet: bool) -> int:
    """The page, the charts and a summary of one run or several.

    The page is one file that needs no other: it can be attached to a design review.
    """  # fmt: skip
    from rnnprof.report.html.files import write_report
    from rnnprof.report.html.names import PAGE

    reports = reports_of(runs)
    directory = output or runs[0].with_name(f"{runs[0].stem}-report")
    try:
        written = write_report(reports, directory)
    except OSError as error:
        raise refusal_of(f"cannot write the report to {directory}", error) from None
    if not quiet:
        say_written(written)
    say_path(directory / PAGE)
    if is_opened:
        click.launch(str(directory / PAGE))
    return 0


def reports_of(paths: Sequence[Path]) -> list[RunReport]:
    """The runs, each under a unique name.

    Raises:
        BadInputError: a run is given twice.
        RunFileError: a file is missing, damaged, too new, or not a run file.
    """
    from rnnprof.report.model import report_of
    from rnnprof.runfile.journal import load

    for number, path in enumerate(paths):
        if path.resolve() in {other.resolve() for other in paths[:number]}:
            raise BadInputError(f"{path} is given twice")
    return [report_of(load(path), name) for path, name in zip(paths, _names(paths), strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' stems; with their folders if two are equal."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [f"{path.resolve().parent.name}/{path.stem} ({n})" for n, path in enumerate(paths, 1)]
