"""``rnnprof profile``: runs the sweep, prints the answer, returns the exit code."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from rnnprof.cli.command import MeasuringCommand, table_options
from rnnprof.cli.echo import command_of, say, say_json, say_written
from rnnprof.cli.printed import note_printed
from rnnprof.cli.stops import Terminated, hear_sigterm
from rnnprof.cli.system_errors import refusal_of
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rnnprof.engine.order import Order
    from rnnprof.points.fold import Drift
    from rnnprof.report.model import RunReport
    from rnnprof.runfile.records import Run

EXIT_MISSING: Final = 5

DRIFT_RATIO: Final = 0.05
"""A larger drift of the anchor is reported: it exceeds the timing's own precision."""


@click.command(cls=MeasuringCommand)
@table_options("profile")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Sweep a grid of batch sizes and time steps; the main command.

    \b
    rnnprof profile -- python train.py --batch-size {batch} --bptt {time_steps}

    Runs your training script, unchanged, at every point: peak memory, step time and where memory
    runs out. Without a script it trains a built-in cell, or your own training step (--factory).
    The same command on an unfinished run file resumes it.
    """  # fmt: skip
    from rnnprof.cli.orders import orders_of

    orders = orders_of(ctx, options)
    folders = [_report_folder(order.path, len(orders), options) for order in orders]
    is_wanted = not options["no_report"]
    lacking = [
        replace(order, lacks_report=is_wanted and not _page(order.path, folder).exists())
        for order, folder in zip(orders, folders, strict=True)
    ]
    return _answer([carry_out(order, options) for order in lacking], options)


def _report_folder(path: Path, runs: int, options: dict[str, Any]) -> Path | None:
    """Where the whole report of a run file goes; None for its page beside the run file."""
    folder: Path | None = options["report"]
    return folder / path.stem if folder is not None and runs > 1 else folder


def _page(path: Path, folder: Path | None) -> Path:
    from rnnprof.report.html.names import PAGE

    return path.with_suffix(".html") if folder is None else folder / PAGE


def carry_out(order: Order, options: dict[str, Any]) -> Run:
    """Run the order; on a stop, print how to resume."""
    from rnnprof.cli.progress import listener_for
    from rnnprof.jobs import run_order

    hear_sigterm()
    try:
        return run_order(order, listener_for(options["verbose"], quiet=options["quiet"]))
    except (KeyboardInterrupt, Terminated):
        if order.path.exists():
            resume = _resume_command(order) or "give the same command again"
            say(f"\nstopped; {order.path} is valid. To resume: {resume}", err=True)
        raise


def _resume_command(order: Order) -> str:
    """This command without ``--overwrite``, and without the secrets of its factory."""
    from rnnprof.redaction import command_shown

    words = command_shown(word for word in sys.argv[1:] if word != "--overwrite")
    return command_of(["rnnprof", *map(order.secrets.strike, words)])


def _answer(runs: Sequence[Run], options: dict[str, Any]) -> int:
    """Print the answer of the run, or of several GPUs one below the other."""
    from pathlib import Path

    from rnnprof.report.model import report_of

    reports = [
        report_of(run, Path(run.path or "run").stem, effective_batch=options["effective_batch"])
        for run in runs
    ]
    if options["as_json"]:
        say_json(_document(reports))
    else:
        say(_text(reports), colour=_wants_colour())
    for report in reports:
        note_printed(report.run)
        _note_drift(report.drift)
        if not options["no_report"]:
            assert report.run.path is not None
            folder = _report_folder(Path(report.run.path), len(runs), options)
            _write_report(report, folder)
    return max(exit_code(report) for report in reports)


def _text(reports: Sequence[RunReport]) -> str:
    from rnnprof.report.text.answer import advice_in_words
    from rnnprof.report.text.table import table

    colour = _wants_colour()
    texts = (f"{table(each, colour=colour)}\n\n{advice_in_words(each)}" for each in reports)
    return "\n\n".join(texts)


def _document(reports: Sequence[RunReport]) -> Any:
    from rnnprof.report.export.document import document

    documents = [document(report) for report in reports]
    return documents[0] if len(documents) == 1 else {"runs": documents}


def _wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _note_drift(drift: Drift | None) -> None:
    import textwrap

    from rnnprof.plain_text import WIDTH
    from rnnprof.report.trust import large_drift
    from rnnprof.report.words import say as in_words

    if (drifted := large_drift(drift)) is not None:
        say(textwrap.fill(in_words(drifted), WIDTH), err=True)


def _write_report(report: RunReport, folder: Path | None) -> None:
    from pathlib import Path

    from rnnprof.report.charts.overview import write_charts
    from rnnprof.report.html.files import refuse_other_page, write_page, write_report

    assert report.run.path is not None
    path = Path(report.run.path)
    try:
        if folder is None:
            page = _page(path, None)
            refuse_other_page(page)
            written = (*write_charts(report, path.parent, path.stem), page)
            write_page([report], page)
        else:
            written = write_report([report], folder)
    except BadInputError as error:
        raise BadInputError(
            f"{error}. The run is complete in {path}: rnnprof report {path} makes its report"
        ) from None
    except OSError as error:
        raise refusal_of(
            f"cannot write the report to {folder or path.parent}", error,
            f". The run is complete in {path}",
        ) from None  # fmt: skip
    say_written((path, *written))


def exit_code(report: RunReport) -> int:
    """0 if each point and each T has its answer; otherwise a measurement is missing."""
    from rnnprof.runfile.certificates import GOOD_STATUSES
    from rnnprof.runfile.points import GOOD_OUTCOMES

    outcomes = {measurement.outcome for measurement in report.measurements.values()}
    statuses = {certificate.status for certificate in report.frontier}
    is_answered = outcomes <= GOOD_OUTCOMES and statuses <= GOOD_STATUSES
    return 0 if is_answered else EXIT_MISSING
