"""``rnnprof max-batch``: only the largest batch, proven as fast as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rnnprof.cli.command import MeasuringCommand, table_options
from rnnprof.cli.echo import say, say_json, say_written
from rnnprof.cli.printed import note_printed
from rnnprof.cli.profile import EXIT_MISSING, carry_out
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnprof.report.model import RunReport
    from rnnprof.runfile.certificates import Certificate
    from rnnprof.runfile.records import Run
    from rnnprof.workload import Workload


@click.command(cls=MeasuringCommand)
@table_options("max-batch")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Prove the largest batch that fits at each T.

    \b
    rnnprof max-batch -T 35,70 -- \\
        python train.py --batch-size {batch} --bptt {time_steps}

    Each batch that is tried runs whole training steps of your script, unchanged, in a fresh
    process; the measured bytes decide the next one. Without a script it trains a built-in cell, or
    your own training step (--factory). The same command on an unfinished run file resumes it.
    """  # fmt: skip
    from rnnprof.cli.orders import orders_of

    orders = orders_of(ctx, options, "max-batch", "-max-batch")
    _check(options, orders[0].workload)
    runs = [carry_out(order, options) for order in orders]
    return _answer(runs, options)


def _check(options: dict[str, Any], workload: Workload) -> None:
    if options["at_most"] < options["granularity"]:
        raise BadInputError(
            f"--at-most {options['at_most']} is below --granularity {options['granularity']}: "
            "there is no batch to try"
        )
    if options["lengths"] is None:
        return
    if not workload.is_built_in:
        raise BadInputError(
            "--lengths is for the built-in cells: your code has its own lengths; leave it out"
        )
    if max(options["lengths"]) > min(options["time_steps"]):
        raise BadInputError(
            f"--lengths {max(options['lengths'])} is longer than --time-steps "
            f"{min(options['time_steps'])}: "
            "T must be the longest length of each round"
        )


def _answer(runs: Sequence[Run], options: dict[str, Any]) -> int:
    """Print the answer of the run, or of several GPUs in one table or document."""
    from rnnprof.report.model import report_of

    script = runs[0].header.workload.script
    knows_times = script is None or "time_steps" in script.placeholders
    asked = set(options["time_steps"]) if knows_times else None  # else T is what was seen
    effective = options["effective_batch"]
    reports = [report_of(run, time_steps=asked, effective_batch=effective) for run in runs]
    if options["as_json"]:
        say_json(_document(reports))
    else:
        say(_text(reports))
    for run in runs:
        note_printed(run)
    say_written(str(run.path) for run in runs)
    return max(exit_code(report.frontier) for report in reports)


def _document(reports: Sequence[RunReport]) -> Any:
    from rnnprof.report.export.document import frontier_document

    documents = [frontier_document(report) for report in reports]
    return documents[0] if len(documents) == 1 else {"runs": documents}


def _text(reports: Sequence[RunReport]) -> str:
    from rnnprof.report.text.answer import frontier_in_words, gpus_in_words

    return frontier_in_words(reports[0]) if len(reports) == 1 else gpus_in_words(reports)


def exit_code(frontier: Sequence[Certificate]) -> int:
    """0 if each T has its answer; otherwise some T has no largest batch."""
    from rnnprof.runfile.certificates import GOOD_STATUSES

    statuses = {certificate.status for certificate in frontier}
    return 0 if statuses <= GOOD_STATUSES else EXIT_MISSING
