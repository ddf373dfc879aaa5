"""``rnnprof advise RUN``: the recommended batch, and why."""

from __future__ import annotations

from pathlib import Path

import click

from rnnprof.cli.command import TableCommand, table_options
from rnnprof.cli.echo import say, say_json
from rnnprof.cli.types import FILE
from rnnprof.errors import BadInputError


@click.command(cls=TableCommand)
@click.argument("run", type=FILE)
@table_options("advise")
def command(
    run: Path,
    effective_batch: int | None,
    sequence_length: int | None,
    reach: int | None,
    as_json: bool,
) -> int:
    """The recommended batch and time steps, and why.

    If the run file also has a study of trainability, the advice uses what a sequence is worth at
    each batch. With --sequence-length and --reach it gives the chunk length for truncated
    back-propagation.
    """
    from rnnprof.advice.advise import Cut
    from rnnprof.report.export.document import frontier_document
    from rnnprof.report.model import report_of
    from rnnprof.report.text.answer import advice_in_words, frontier_in_words
    from rnnprof.runfile.journal import load

    if (sequence_length is None) != (reach is None):
        raise BadInputError("--sequence-length and --reach belong together: give both")
    cut = None if sequence_length is None or reach is None else Cut(sequence_length, reach)
    report = report_of(load(run), effective_batch=effective_batch, cut=cut)
    if as_json:
        say_json(frontier_document(report))
        return 0
    texts = (advice_in_words(report), frontier_in_words(report))
    say("\n\n".join(text for text in texts if text))
    return 0
