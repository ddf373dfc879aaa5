"""``rnnprof advise RUN``: batch and steps to train with, and why."""

from __future__ import annotations

from pathlib import Path

import click

from rnnprof.cli.options import MAX_SIZE


@click.command()
@click.argument("run", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--effective-batch",
    type=click.IntRange(1, MAX_SIZE),
    metavar="N",
    help="Advise the accumulation steps that make it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(run: Path, effective_batch: int | None, as_json: bool) -> int:
    """Batch and steps to train with, and why."""
    from rnnprof.analysis.advice import advise
    from rnnprof.analysis.certify import frontier_of
    from rnnprof.analysis.fold import fold_run
    from rnnprof.engine.journal import load
    from rnnprof.report.answer import advice_in_words, frontier_in_words
    from rnnprof.report.document import frontier_document

    loaded = load(run)
    frontier = frontier_of(loaded)
    advice = advise(loaded, fold_run(loaded), frontier, effective_batch)
    if as_json:
        import json

        click.echo(json.dumps(frontier_document(loaded, frontier, advice), indent=2))
        return 0
    headroom = loaded.requests[-1].settings.headroom_ratio if loaded.requests else 0.0
    edges = frontier_in_words(frontier, advice, headroom)
    click.echo("\n\n".join(part for part in (advice_in_words(advice), edges) if part))
    return 0
