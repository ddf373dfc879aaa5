"""Options in the form of the lower layers: a workload, settings and a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from rnnprof.cli.table import budget_entries
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rnnprof.device.selection import Selected
    from rnnprof.redaction import Secrets
    from rnnprof.runfile.records import Settings
    from rnnprof.script_command import Script
    from rnnprof.workload import ScriptPlace, Workload

_FACTORY_FLAGS: Final = {
    "factory_args": "--factory-arg", "factory_env": "--factory-arg-env",
    "factory_argv": "--factory-argv",
}  # fmt: skip
_SCRIPT_FLAGS: Final = {
    "env": "--env", "assignments": "--set", "setup": "--setup", "prepare": "--prepare",
}  # fmt: skip
_USERS_CODE: Final = ("factory", "script", *_FACTORY_FLAGS, *_SCRIPT_FLAGS)

WORKLOAD_OPTIONS: Final = tuple(
    entry.name for entry in budget_entries("workload").values() if entry.name not in _USERS_CODE
)
"""Options that are a workload's own fields."""

CELL_OPTIONS: Final = tuple(name for name in WORKLOAD_OPTIONS if name != "optimizer")
"""Options of the built-in cells; a factory decides these itself, and a script all of them."""


class Trained(NamedTuple):
    """What a command trains.

    Attributes:
        factory_path: where its factory is; None without one.
        secrets: what the factory or the script is given and no record has.
        script: the user's script; None without one.
    """

    workload: Workload
    factory_path: str | None
    secrets: Secrets
    script: Script | None = None

    @property
    def place(self) -> ScriptPlace | None:
        """Where the script is; None without one."""
        return None if self.script is None else self.script.place


def workload_from(ctx: click.Context, options: dict[str, Any], *, runs: bool = True) -> Trained:
    """The requested workload, and its factory or script.

    Args:
        runs: whether workers will run it, so that environment variables must be set.

    Raises:
        BadInputError: options of a cell, a factory and a script are mixed, or the factory or the
            script cannot be used as it is.
    """
    from rnnprof.redaction import NO_SECRETS
    from rnnprof.workload import Workload

    kind = _kind(ctx, options)
    _refuse_others(ctx, options, kind)
    if kind == "script":
        return _script_from(options, runs=runs)
    if kind == "factory":
        return _factory_from(options, runs=runs)
    workload = Workload(**{name: options[name] for name in WORKLOAD_OPTIONS})
    return Trained(workload, None, NO_SECRETS)


def _kind(ctx: click.Context, options: dict[str, Any]) -> str:
    """What is trained: a ``factory``, a ``script`` or a ``cell``.

    Raises:
        BadInputError: a factory and a script are given in one place.
    """
    from rnnprof.toml_file import shown

    if not options.get("script"):
        return "cell" if options["factory"] is None else "factory"
    if options["factory"] is None:
        return "script"
    script, factory = (_rank(ctx, name) for name in ("script", "factory"))
    if script == factory:
        raise BadInputError(
            f"--factory {shown(options['factory'])} and a script ({options['script'][0]} ...) "
            "exclude each other: leave one out"
        )
    return "script" if script > factory else "factory"


def _rank(ctx: click.Context, name: str) -> int:
    """Which of two sources of options counts: a flag, a variable, a file."""
    sources = click.core.ParameterSource
    ranks = {sources.COMMANDLINE: 3, sources.ENVIRONMENT: 2, sources.DEFAULT_MAP: 1}
    source = ctx.get_parameter_source(name)
    return 0 if source is None else ranks.get(source, 0)


def _is_typed(ctx: click.Context, name: str) -> bool:
    return _rank(ctx, name) == 3


def _refuse_others(ctx: click.Context, options: dict[str, Any], kind: str) -> None:
    """Refuse options of what is not trained.

    What the configuration sets for a factory is left alone where the command names a script.

    Raises:
        BadInputError: names the option and what to do.
    """
    for name, flag in _FACTORY_FLAGS.items():
        if kind != "factory" and options[name] and _counts(ctx, name, kind):
            instead = ": write the script's own words after --" if kind == "script" else ""
            raise BadInputError(f"{flag} needs --factory{instead}")
    for name, flag in _SCRIPT_FLAGS.items():
        if kind != "script" and options.get(name) and _counts(ctx, name, kind):
            raise BadInputError(f"{flag} needs a script: write it last, -- python train.py ...")
    if kind == "script":
        _refuse_cells(ctx)
    for name in CELL_OPTIONS if kind == "factory" else ():
        if _is_typed(ctx, name):
            flag = "--" + name.replace("_", "-")
            raise BadInputError(
                f"{flag} belongs to the built-in cells; pass it to the factory with --factory-arg "
                f"{name}={options[name]}"
            )


def _counts(ctx: click.Context, name: str, kind: str) -> bool:
    """Whether an option of another kind is given beside what is trained, not below it."""
    from rnnprof.cli.config import Defaults

    defaults = ctx.default_map
    is_beside = isinstance(defaults, Defaults) and defaults.sets_together(kind, name)
    return kind == "cell" or is_beside or _is_typed(ctx, name)


def _refuse_cells(ctx: click.Context) -> None:
    """Refuse what says how a built-in cell is trained, beside a script.

    Raises:
        BadInputError: names the option.
    """
    from rnnprof.cli.config import Defaults

    for name in WORKLOAD_OPTIONS:
        if _is_typed(ctx, name):
            flag = "--" + name.replace("_", "-")
            raise BadInputError(
                f"{flag} belongs to the built-in cells, and a script decides that itself: write "
                "the script's own option for it after --"
            )
    defaults = ctx.default_map
    if not isinstance(defaults, Defaults) or defaults.workload_file is None:
        return
    path, values = defaults.workload_file
    others = [name for name in values if name not in ("script", *_SCRIPT_FLAGS)]
    if others and _is_typed(ctx, "workload_file"):
        raise BadInputError(
            f"--workload {path} sets {others[0].replace('_', '-')}, which a script decides itself: "
            "leave --workload or the script out"
        )


def _script_from(options: dict[str, Any], *, runs: bool) -> Trained:
    from rnnprof.script_command import ScriptInput, pairs_of, read_script
    from rnnprof.workload import workload_of_script

    given = ScriptInput(
        tuple(options["script"]),
        pairs_of("--env", options["env"]),
        pairs_of("--set", options["assignments"]),
        options["setup"],
        options["prepare"],
    )
    script = read_script(given, runs=runs)
    return Trained(workload_of_script(script.source), None, script.secrets, script)


def _factory_from(options: dict[str, Any], *, runs: bool) -> Trained:
    import os

    from rnnprof.redaction import NO_SECRETS
    from rnnprof.workload import FactoryInput, factory_place, workload_of

    try:
        path, reference = factory_place(options["factory"])
    except BadInputError as error:
        raise BadInputError(f"--factory {error}") from None
    given = FactoryInput(
        {name: _value(text) for name, text in _pairs("--factory-arg", options["factory_args"])},
        dict(_pairs("--factory-arg-env", options["factory_env"])),
        _split(options["factory_argv"]),
    )
    for name in given.args.keys() & given.env_args.keys():
        raise BadInputError(f"--factory-arg-env {name} is given as --factory-arg too")
    secrets = given.secrets(os.environ) if runs else NO_SECRETS
    return Trained(workload_of(given.source(reference), options["optimizer"]), path, secrets)


def times_from(ctx: click.Context, options: dict[str, Any], trained: Trained) -> tuple[int, ...]:
    """The T of the grid; of a script that is given none, what its recurrent layers see.

    Raises:
        BadInputError: several T are requested, and the script is given none.
    """
    times: tuple[int, ...] = options["time_steps"]
    if not times or trained.script is None or "time_steps" in trained.script.source.placeholders:
        return times
    return trained.script.times_of(times if _rank(ctx, "time_steps") else None)


def _pairs(flag: str, pairs: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The names and texts of ``NAME=VALUE``; messages never have the value, which may be secret."""
    seen = set()
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.isidentifier():
            what = "NAME=VALUE" if flag == "--factory-arg" else "NAME=VARIABLE"
            shown = name if name.isidentifier() else f"{name[:20]!r}" if separator else "..."
            raise BadInputError(f"{flag} {shown}: write {what}")
        if name in seen:
            raise BadInputError(f"{flag} {name} is given twice")
        if name in ("batch", "time_steps", "device"):
            raise BadInputError(f"{flag} {name}: rnnprof itself passes {name}")
        seen.add(name)
        yield name, text


def _split(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The words of ``--factory-argv``, as a shell splits them."""
    import shlex

    try:
        return tuple(word for text in texts for word in shlex.split(text))
    except ValueError as error:
        raise BadInputError(
            f"--factory-argv: {str(error).lower()}: write it as for a shell"
        ) from None


def _value(text: str) -> Any:
    import json

    try:
        return json.loads(text, parse_constant=str, parse_float=_finite)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
    except RecursionError:
        raise BadInputError("--factory-arg: its lists or tables are nested too deeply") from None


def _finite(text: str) -> float | str:
    """A number; one that no float holds stays the text that it was."""
    value = float(text)
    return text if value in (float("inf"), float("-inf")) else value


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
        fast=not options.get("every_breakdown", True),
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
