"""``rnnprof max-batch``: the edge alone, as fast as it can be proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rnnprof.cli.command import MeasuringCommand, table_options
from rnnprof.cli.orders import orders_of
from rnnprof.cli.profile import EXIT_MISSING, carry_out
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnprof.advice.advise import Advice
    from rnnprof.runfile.certificates import Certificate
    from rnnprof.runfile.records import Run
    from rnnprof.workload import Workload


@click.command(cls=MeasuringCommand)
@table_options("max-batch")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Prove the largest batch that fits at each T.

    Each batch that is tried runs whole training steps in a fresh worker; their bytes lead to the
    next. The same command on an unfinished run file resumes it.
    """  # fmt: skip
    orders = orders_of(ctx, options, "max-batch", "-max-batch")
    _check(options, orders[0].workload)
    runs = [carry_out(order, options) for order in orders]
    return _answer(runs[0], options) if len(runs) == 1 else _answers(runs, options)


def _check(options: dict[str, Any], workload: Workload) -> None:
    if options["at_most"] < options["granularity"]:
        raise BadInputError(
            f"--at-most {options['at_most']} is below --granularity {options['granularity']}: "
            "there is no batch to try"
        )
    if options["lengths"] is None:
        return
    if workload.factory is not None:
        raise BadInputError("--lengths is for the built-in cells: a factory has its own lengths")
    if max(options["lengths"]) > min(options["time_steps"]):
        raise BadInputError(
            f"--lengths {max(options['lengths'])} is longer than --time-steps "
            f"{min(options['time_steps'])}: "
            "each round ends at its longest, T"
        )


def _answers(runs: Sequence[Run], options: dict[str, Any]) -> int:
    """Several GPUs in one table, or one document."""
    from rnnprof.report.export.document import frontier_document
    from rnnprof.report.text.answer import gpus_in_words

    found = [(run, *_found(run, options)) for run in runs]
    if options["as_json"]:
        import json

        documents = [frontier_document(*each) for each in found]
        click.echo(json.dumps({"runs": documents}, allow_nan=False, indent=2))
    else:
        click.echo(gpus_in_words(found))
    click.echo("\n".join(["wrote", *(f"  {run.path}" for run in runs)]), err=True)
    return max(exit_code(frontier) for _, frontier, _ in found)


def _found(run: Run, options: dict[str, Any]) -> tuple[tuple[Certificate, ...], Advice]:
    from rnnprof.advice.advise import advise
    from rnnprof.maxbatch.certify import frontier_of

    asked = set(options["time_steps"])
    frontier = tuple(c for c in frontier_of(run) if c.time_steps in asked)
    return frontier, advise(run, {}, frontier, options["effective_batch"])


def _answer(run: Run, options: dict[str, Any]) -> int:
    from rnnprof.report.export.document import frontier_document
    from rnnprof.report.text.answer import frontier_in_words

    frontier, advice = _found(run, options)
    if options["as_json"]:
        import json

        document = frontier_document(run, frontier, advice)
        click.echo(json.dumps(document, allow_nan=False, indent=2))
    else:
        click.echo(frontier_in_words(run, frontier, advice, options["headroom"]))
    click.echo(f"wrote\n  {run.path}", err=True)
    return exit_code(frontier)


def exit_code(frontier: Sequence[Certificate]) -> int:
    """0 where each T has its answer; else there is no largest batch at some T."""
    from rnnprof.runfile.certificates import GOOD_STATUSES

    statuses = {certificate.status for certificate in frontier}
    return 0 if statuses <= GOOD_STATUSES else EXIT_MISSING
