"""What a command measures: an order for the device, or one for each simulated GPU."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rnnprof.cli import options as opt
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import click

    from rnnprof.device.selection import Selected
    from rnnprof.engine.order import Order
    from rnnprof.simulate.description import GpuDescription


def orders_of(
    ctx: click.Context, options: dict[str, Any], command: str = "profile", suffix: str = ""
) -> list[Order]:
    """The same order for each device that the options name, each with its own run file.

    Args:
        options: of ``profile`` or ``max-batch``, from the command line; without ``batch`` the grid
            has no batches.
        suffix: of the run file's name, if *options* do not name a file.

    Raises:
        BadInputError, NoDeviceError: an option that cannot be used.
    """
    from rnnprof.engine.order import Order
    from rnnprof.runfile.points import Grid

    places = opt.places_from(options)
    settings = opt.settings_from(options)
    trained = opt.workload_from(ctx, options)
    times = opt.times_from(ctx, options, trained)
    return [
        Order(
            workload=trained.workload,
            grid=Grid(options.get("batch", ()), times),
            settings=settings,
            path=path,
            command=command,
            device=place.device,
            device_uuid=place.uuid,
            gpu=place.gpu,
            factory_path=trained.factory_path,
            script=trained.place,
            secrets=trained.secrets,
            extend=options["extend"],
            overwrite=options["overwrite"],
        )
        for place, path in run_paths(options["output"], trained.workload.name, places, suffix)
    ]


def run_paths(
    output: Path | None, name: str, places: Sequence[Selected], suffix: str = ""
) -> list[tuple[Selected, Path]]:
    """Each device with its run file; of several simulated GPUs each file's name has the GPU."""
    models = models_of(place.gpu for place in places if place.gpu is not None)
    kinds = [f"simulated-{model}" for model in models] or [place.kind for place in places]
    paths = [run_path(output, f"{name}-{kind}{suffix}") for kind in kinds]
    if output is not None and len(places) > 1:
        paths = [output.with_name(f"{output.stem}-{model}.jsonl") for model in models]
    return list(zip(places, paths, strict=True))


def models_of(gpus: Iterable[GpuDescription]) -> list[str]:
    """Each GPU's model, numbered if it recurs: ``custom-2`` is the second custom GPU."""
    seen: Counter[str] = Counter()
    models = []
    for gpu in gpus:
        seen[gpu.model] += 1
        models.append(gpu.model if seen[gpu.model] == 1 else f"{gpu.model}-{seen[gpu.model]}")
    return models


def run_path(output: Path | None, name: str) -> Path:
    """The path of the run file.

    Raises:
        BadInputError: its name does not end in ``.jsonl``.
    """
    from pathlib import Path

    path = output or Path("rnnprof-runs") / f"{name}.jsonl"
    if path.suffix != ".jsonl":
        raise BadInputError(f"-o {path}: a run file is named NAME.jsonl")
    return path
