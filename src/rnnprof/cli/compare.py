"""``rnnprof compare BASE NEW``: what changed between two runs."""

from __future__ import annotations

from pathlib import Path

import click

RUN = click.Path(dir_okay=False, path_type=Path)

EXIT_NOT_COMPARABLE = 3


@click.command()
@click.argument("base", type=RUN)
@click.argument("new", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(base: Path, new: Path, as_json: bool) -> int:
    """What changed between two runs.

    Differences of workload and machine first, then the step time over all points, each point with
    its interval, the largest batches, and bytes per time step. Exit code 3 where the runs cannot be
    compared.
    """  # fmt: skip
    from rnnprof.analysis.comparison import Affects, compare
    from rnnprof.engine.journal import load
    from rnnprof.report.comparison import comparison_document, comparison_in_words

    comparison = compare(load(base), load(new))
    if as_json:
        import json

        document = comparison_document(comparison, str(base), str(new))
        click.echo(json.dumps(document, allow_nan=False, indent=2))
    else:
        click.echo(comparison_in_words(comparison))
    apart = any(each.affects is Affects.EVERYTHING for each in comparison.differences)
    return EXIT_NOT_COMPARABLE if apart else 0
