"""``rnnprof compare BASE NEW``: what changed between two runs, or two checkouts in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from rnnprof.cli import options as opt
from rnnprof.cli.command import MeasuringCommand, table_options
from rnnprof.cli.echo import say, say_json
from rnnprof.cli.sides import base_path, place_of, side_of
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from rnnprof.engine.order import Order
    from rnnprof.maxbatch.folded import FoldedRun

EXIT_NOT_COMPARABLE: Final = 3


class _Comparing(MeasuringCommand):
    """Measures if neither side is a run file; otherwise configuration files are not read."""

    def configuration(self, ctx: click.Context) -> dict[str, Any]:
        return super().configuration(ctx) if _measures(ctx) else {}

    def hears(self, ctx: click.Context, name: str) -> bool:
        return _measures(ctx) or name == "as_json"


def _measures(ctx: click.Context) -> bool:
    return not any(str(ctx.params.get(name, "")).endswith(".jsonl") for name in ("base", "new"))


# the two sides are eager: they decide whether options are read from files and variables
@click.command(cls=_Comparing)
@click.argument("base", is_eager=True)
@click.argument("new", is_eager=True)
@table_options("compare")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """What changed between two runs.

    BASE and NEW are run files. Or each is a checkout (a folder) or an environment (its folder or
    its Python): both are then measured in turn on this machine, one process of each at a time. The
    workload options say what to measure, --batch and --time-steps at which points.

    The output has the differences of workload and machine, the step time over all points, each
    point with its interval and verdict, the largest batches, and bytes per time step. Exit code 3
    if the runs cannot be compared.

    \b
    rnnprof compare before.jsonl after.jsonl
    rnnprof compare ../main . --factory train.py:make --batch 64 --time-steps 128
    """  # fmt: skip
    from rnnprof.compare.comparison import compare
    from rnnprof.compare.reasons import Affects

    places = [place_of(options[name]) for name in ("base", "new")]
    in_turn = None not in places
    base, new = _measured(ctx, options, places) if in_turn else _loaded(ctx, options, places)
    comparison = compare(base, new, in_turn=in_turn)
    if options["as_json"]:
        from rnnprof.report.export.comparison import comparison_document

        document = comparison_document(comparison, str(base.run.path), str(new.run.path))
        say_json(document)
    else:
        from rnnprof.report.text.comparison import comparison_in_words

        say(comparison_in_words(comparison))
    apart = any(each.affects is Affects.EVERYTHING for each in comparison.differences)
    return EXIT_NOT_COMPARABLE if apart else 0


def _loaded(
    ctx: click.Context, options: dict[str, Any], places: list[Any]
) -> tuple[FoldedRun, FoldedRun]:
    """Two run files, each folded once.

    Raises:
        BadInputError: one of the two is no run file, or options say what to measure.
        RunFileError: a file that is missing, foreign, newer or damaged.
    """
    from pathlib import Path

    from rnnprof.maxbatch.folded import FoldedRun
    from rnnprof.runfile.journal import load

    if any(place is not None for place in places):
        raise BadInputError(
            "one of BASE and NEW is a run file and the other is not: give two of one kind"
        )
    for name in ("batch", "time_steps", "output"):
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise BadInputError(f"--{name} is for checkouts, which are measured, not for run files")
    base, new = (FoldedRun.of(load(Path(options[name]))) for name in ("base", "new"))
    return base, new


def _measured(
    ctx: click.Context, options: dict[str, Any], places: list[Any]
) -> tuple[FoldedRun, FoldedRun]:
    """Two checkouts or environments, measured in turn.

    Raises:
        BadInputError: no points were given.
        RnnprofError: as :func:`rnnprof.gate.paired.measure_in_turn`.
    """
    from rnnprof.cli.progress import listener_for
    from rnnprof.cli.stops import hear_sigterm
    from rnnprof.gate.budget import Asked
    from rnnprof.gate.paired import measure_in_turn

    if options["batch"] is None or options["time_steps"] is None:
        raise BadInputError("checkouts are compared at points: give --batch and --time-steps")
    order = _order(options)
    paths = (base_path(order.path), order.path)
    sides = [
        side_of(place, order, ctx, options, path) for place, path in zip(places, paths, strict=True)
    ]
    points = tuple(sorted(order.grid.points()))
    hear_sigterm()
    listener = listener_for(options["verbose"], quiet=options["quiet"])
    return measure_in_turn(Asked(points, points, points, ()), sides[0], sides[1], listener)


def _order(options: dict[str, Any]) -> Order:
    """What both sides have in common."""
    from rnnprof.cli.orders import run_path
    from rnnprof.engine.order import Order
    from rnnprof.runfile.points import Grid
    from rnnprof.runfile.records import Settings
    from rnnprof.workload import Workload

    opt.refuse_simulation(options, "compare measures times")
    place = opt.place_from(options)
    chosen = {
        name: options[name]
        for name in ("memory_limit", "gpu_memory_bytes", "point_seconds", "processes", "seed")
        if options[name] is not None
    }
    return Order(
        workload=Workload(),
        grid=Grid(options["batch"], options["time_steps"]),
        settings=Settings(timeout_s=options["timeout"], prune=False, certify=False, **chosen),
        path=run_path(options["output"], f"compare-{place.kind}"),
        device=place.device,
        device_uuid=place.uuid,
    )
