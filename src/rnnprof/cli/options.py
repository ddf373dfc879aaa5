"""Options in the form of the lower layers: a workload, settings and a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from rnnprof.cli.table import budget_entries
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from rnnprof.device.selection import Selected
    from rnnprof.runfile.records import Settings
    from rnnprof.workload import Workload

_FACTORY: Final = ("factory", "factory_args")

WORKLOAD_OPTIONS: Final = tuple(
    entry.name for entry in budget_entries("workload").values() if entry.name not in _FACTORY
)
"""Options that are a workload's own fields."""

CELL_OPTIONS: Final = tuple(name for name in WORKLOAD_OPTIONS if name != "optimizer")
"""Options of the built-in cells; a factory decides these itself."""


def workload_from(ctx: click.Context, options: dict[str, Any]) -> tuple[Workload, str | None]:
    """The requested workload, and the path of its factory.

    Raises:
        BadInputError: cell options are given with a factory, or the factory cannot be found.
    """
    from rnnprof.workload import FactorySource, Workload, factory_place, workload_of

    if options["factory"] is None:
        if options["factory_args"]:
            raise BadInputError("--factory-arg needs --factory")
        return Workload(**{name: options[name] for name in WORKLOAD_OPTIONS}), None
    for name in CELL_OPTIONS:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = "--" + name.replace("_", "-")
            raise BadInputError(
                f"{flag} belongs to the built-in cells; pass it to the factory with --factory-arg "
                f"{name}={options[name]}"
            )
    try:
        path, reference = factory_place(options["factory"])
    except BadInputError as error:
        raise BadInputError(f"--factory {error}") from None
    source = FactorySource(reference, _factory_args(options["factory_args"]))
    return workload_of(source, options["optimizer"]), path


def _factory_args(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``k=v`` pairs; a value is read as JSON where it is JSON, else as text."""
    args: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.isidentifier():
            raise BadInputError(f"--factory-arg {pair}: write NAME=VALUE")
        if name in args:
            raise BadInputError(f"--factory-arg {name} is given twice")
        if name in ("batch", "time_steps", "device"):
            raise BadInputError(f"--factory-arg {name}: rnnprof itself passes {name}")
        args[name] = _value(text)
    return args


def _value(text: str) -> Any:
    import json

    try:
        value = json.loads(text, parse_constant=lambda _: text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
    return value


def settings_from(options: dict[str, Any]) -> Settings:
    """How points are measured and largest batches proven."""
    from rnnprof.runfile.records import Settings
    from rnnprof.units import format_bytes

    if options["extend"] and options["overwrite"]:
        raise BadInputError("--extend and --overwrite exclude each other")
    limit, reserve = options["memory_limit"], options["reserve"] or 0
    if limit is not None and reserve >= limit:  # other limits are known later
        raise BadInputError(
            f"--reserve {format_bytes(reserve)} leaves nothing of the limit of "
            f"{format_bytes(limit)}"
        )
    chosen = {
        name: options[name]
        for name in (
            "memory_limit", "gpu_memory_bytes", "point_seconds", "processes", "seed",
            "confirm_steps", "through", "confirm", "granularity", "at_most", "lengths",
        )
        if options.get(name) is not None
    }  # fmt: skip
    if options.get("simulate") is not None:
        chosen["processes"] = 0  # there are no times to measure
    return Settings(
        timeout_s=options["timeout"],
        prune=not options.get("no_prune", False),
        certify=not options.get("no_certify", False),
        fast=options.get("fast", False),
        headroom_ratio=options["headroom"],
        reserve_bytes=reserve,
        **chosen,
    )


def place_from(options: dict[str, Any]) -> Selected:
    """The device to measure on; options that were not given get that device's defaults.

    Raises:
        BadInputError: the device is unknown, or two limits are given.
        NoDeviceError: a GPU is requested, and torch is a build without CUDA.
    """
    [place] = places_from(options)  # only simulation gives several, and callers refuse it
    return place


def places_from(options: dict[str, Any]) -> tuple[Selected, ...]:
    """The same for each simulated GPU; one device if none is simulated.

    Raises:
        BadInputError: the device is unknown, or two limits are given.
        NoDeviceError: a GPU is requested, and torch is a build without CUDA.
    """
    from rnnprof.axes import DEFAULT_AXES, DEFAULT_POINT_SECONDS, parse_axis
    from rnnprof.device.selection import find_place, simulated_places

    if options["memory_limit"] is not None and options["gpu_memory_bytes"] is not None:
        raise BadInputError("--memory-limit and --gpu-memory exclude each other")
    places: tuple[Selected, ...]
    if options.get("simulate") is None:
        places = (find_place(options["device"]),)
    else:
        _refuse_times(options)
        places = simulated_places(options["simulate"], options["device"])
    place = places[0]
    batch, time_steps = (parse_axis(text) for text in DEFAULT_AXES[place.kind])
    defaults = {
        "batch": batch, "time_steps": time_steps,
        "point_seconds": DEFAULT_POINT_SECONDS[place.kind],
    }  # fmt: skip
    for name, value in defaults.items():
        if name in options and options[name] is None:
            options[name] = value
    return places


NO_KERNEL: Final = "no kernel runs on a simulated GPU"


def refuse_simulation(options: dict[str, Any], why: str) -> None:
    """Refuse simulation for a command that a simulated GPU cannot answer.

    Raises:
        BadInputError: ``--simulate`` is given.
    """
    if options.get("simulate") is not None:
        raise BadInputError(f"--simulate {options['simulate']}: {why}, and {NO_KERNEL}")


def _refuse_times(options: dict[str, Any]) -> None:
    """Refuse options that need times, kernels or a real GPU.

    Raises:
        BadInputError: names the option.
    """
    if options["gpu_memory_bytes"] is not None:
        raise BadInputError(
            "--gpu-memory and --simulate exclude each other: give the memory in --simulate"
        )
    if options.get("point_seconds") is not None:
        raise BadInputError(f"--point-seconds and --simulate: {NO_KERNEL}, so there are no times")
    if (options.get("processes") or 1) > 1:
        raise BadInputError(f"--processes and --simulate: {NO_KERNEL}, so there are no times")
    if options.get("compile"):
        raise BadInputError(f"--compile and --simulate: {NO_KERNEL}, and triton compiles kernels")
