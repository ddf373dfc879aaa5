"""``rnnprof advise RUN``: batch and steps to train with, and why."""

from __future__ import annotations

from pathlib import Path

import click

from rnnprof.cli.command import TableCommand, table_options
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
    """Batch and steps to train with, and why.

    Where the same run file has a study of trainability, also by what a sequence is worth at each
    batch; with --sequence-length and --reach, the chunk for truncated back-propagation.
    """
    from rnnprof.advice.advise import Cut, advise
    from rnnprof.maxbatch.certify import frontier_of, settings_of
    from rnnprof.points.fold import fold_run
    from rnnprof.report.export.document import frontier_document
    from rnnprof.report.text.answer import advice_in_words, frontier_in_words
    from rnnprof.report.text.command import deciding_command
    from rnnprof.runfile.journal import load

    if (sequence_length is None) != (reach is None):
        raise BadInputError("--sequence-length and --reach belong together: give both")
    cut = None if sequence_length is None or reach is None else Cut(sequence_length, reach)
    loaded = load(run)
    frontier = frontier_of(loaded)
    advice = advise(loaded, fold_run(loaded), frontier, effective_batch, cut)
    if as_json:
        import json

        click.echo(
            json.dumps(frontier_document(loaded, frontier, advice), allow_nan=False, indent=2)
        )
        return 0
    settings = settings_of(loaded)
    headroom = settings.headroom_ratio if settings else 0.0
    edges = frontier_in_words(loaded, frontier, advice, headroom)
    told = advice_in_words(advice, deciding_command(loaded, advice))
    click.echo("\n\n".join(part for part in (told, edges) if part))
    return 0
