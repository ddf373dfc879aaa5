"""Option types with messages of their own, and the options that several commands share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from rnnprof.axes import DEFAULT_AXES, DEFAULT_POINT_SECONDS, parse_axis
from rnnprof.cli.config import read_workload_file
from rnnprof.errors import BadInputError
from rnnprof.runfile.records import Settings
from rnnprof.units import format_bytes, parse_size
from rnnprof.workload import (
    CELLS,
    DTYPES,
    IMPLS,
    LOOPS,
    MODES,
    OPTIMIZERS,
    FactorySource,
    Workload,
    factory_place,
    workload_of,
)

MAX_SIZE: Final = (1 << 31) - 1
SIZE: Final = click.IntRange(1, MAX_SIZE)

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from rnnprof.device.selection import Selected

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # no generic before click 8.2


class _Parsed(_ParamType):
    """An option whose text is read by a function that raises ValueError with a full sentence."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(str(value)) if isinstance(value, (str, int, float)) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{text!r} is not a number of seconds above zero")
    return seconds


AXIS: Final = _Parsed("axis", parse_axis)
BYTES: Final = _Parsed("size", parse_size)
SECONDS: Final = _Parsed("seconds", _parse_seconds)


def _parse_probability(text: str) -> float:
    try:
        probability = float(text)
    except ValueError:
        probability = math.nan
    if not 0 <= probability < 1:
        raise ValueError(f"{text!r} is not a probability from 0 to below 1")
    return probability


def _parse_ratio(text: str) -> float:
    """A share: ``5%`` or ``0.05``."""
    try:
        ratio = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        ratio = math.nan
    if not 0 <= ratio < 1:
        raise ValueError(f"{text!r} is not a share from 0 to below 1: write 5% or 0.05")
    return ratio


RATIO: Final = _Parsed("share", _parse_ratio)
PROBABILITY: Final = _Parsed("probability", _parse_probability)

CELL_OPTIONS: Final = (
    "cell", "impl", "input_size", "hidden_size", "layers", "bidirectional", "dropout", "proj_size",
    "batch_first", "dtype", "mode", "compile", "loop",
)  # fmt: skip
"""Options of the built-in cells; a factory decides these for itself."""

WORKLOAD_KEYS: Final = (*CELL_OPTIONS, "optimizer")


def workload_options(function: F) -> F:
    """The options of every command that runs a workload."""
    default = Workload()
    options = [
        click.option(
            "--workload", "workload_file", type=click.Path(exists=True, dir_okay=False),
            is_eager=True, expose_value=False, callback=_read_workload_file, metavar="FILE.toml",
            envvar="RNNPROF_WORKLOAD", help="The options below from a file; a flag beats it.",
        ),
        _choice("cell", CELLS, default.cell, "Recurrent cell."),
        _choice("impl", IMPLS, default.impl, "cuDNN or oneDNN; without them; a cell in a loop."),
        _size("input-size", default.input_size, "Features of one time step."),
        _size("hidden-size", default.hidden_size, "Hidden units."),
        click.option(
            "--layers", type=click.IntRange(1, 1024), default=default.layers, metavar="N",
            help="Stacked layers.", envvar="RNNPROF_LAYERS", show_default=True,
        ),
        _switch("bidirectional", "Both directions."),
        click.option(
            "--dropout", type=PROBABILITY, default=default.dropout, metavar="P",
            help="Between layers.", envvar="RNNPROF_DROPOUT", show_default=True,
        ),
        click.option(
            "--proj-size", type=click.IntRange(0, MAX_SIZE), default=default.proj_size,
            metavar="N", help="Projected output of an LSTM.", envvar="RNNPROF_PROJ_SIZE",
        ),
        _switch("batch-first", "Input as (batch, steps, features)."),
        _choice("dtype", DTYPES, default.dtype, "Precision; fp32 leaves torch's flags alone."),
        _choice("optimizer", OPTIMIZERS, default.optimizer, "Of cells and short factories."),
        _choice("mode", MODES, default.mode, "Training steps, or forward passes alone."),
        _switch("compile", "Through torch.compile."),
        _choice(
            "loop", LOOPS, default.loop,
            "plain holds input, output, state and loss until the next step replaces them; function "
            "is a step function, which drops them at its end.",
        ),
        click.option(
            "--factory", metavar="FILE.py:MAKE", envvar="RNNPROF_FACTORY",
            help="Your own training step: train.py:make or package.module:make.",
        ),
        click.option(
            "--factory-arg", "factory_args", multiple=True, metavar="K=V",
            help="Keyword argument for the factory; may be repeated.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _choice(
    name: str, choices: tuple[str, ...], default: str | None, text: str
) -> Callable[[F], F]:
    return click.option(
        f"--{name}", type=click.Choice(choices), default=default, help=text,
        envvar=f"RNNPROF_{name.upper()}", show_default=True,
    )  # fmt: skip


def _size(name: str, default: int, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}", type=SIZE, default=default, help=text, metavar="N",
        envvar=_variable(name), show_default=True,
    )  # fmt: skip


def _switch(name: str, text: str) -> Callable[[F], F]:
    return click.option(f"--{name}", is_flag=True, help=text, envvar=_variable(name))


def _variable(name: str) -> str:
    return f"RNNPROF_{name.upper().replace('-', '_')}"


def _read_workload_file(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    """Lay the file's values over the defaults, before any other option is looked at."""
    if path is not None:
        ctx.default_map = {**(ctx.default_map or {}), **read_workload_file(Path(path), ctx.command)}


def workload_from(ctx: click.Context, options: dict[str, Any]) -> tuple[Workload, str | None]:
    """The workload asked for, and where its factory is.

    Raises:
        BadInputError: cell options beside a factory, or a factory that cannot be found.
    """
    if options["factory"] is None:
        if options["factory_args"]:
            raise BadInputError("--factory-arg needs --factory")
        return Workload(**{name: options[name] for name in WORKLOAD_KEYS}), None
    for name in CELL_OPTIONS:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = "--" + name.replace("_", "-")
            raise BadInputError(
                f"{flag} belongs to the built-in cells; hand it to the factory with --factory-arg "
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
            raise BadInputError(f"--factory-arg {name}: rnnprof itself hands {name} to the factory")
        args[name] = _value(text)
    return args


def _value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=lambda _: text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
    return value


def place_options(function: F) -> F:
    """The options of every command that measures: where, and under which limit."""
    options = [
        click.option(
            "--device", default="auto", metavar="DEVICE", envvar="RNNPROF_DEVICE",
            show_default=True, help="auto, cpu, cuda, cuda:N or a GPU's UUID.",
        ),
        click.option(
            "--memory-limit", type=BYTES, metavar="SIZE", envvar="RNNPROF_MEMORY_LIMIT",
            help="What training may reserve for tensors, as 512MiB.  [default: what is free]",
        ),
        click.option(
            "--gpu-memory", "gpu_memory_bytes", type=BYTES, metavar="SIZE",
            envvar="RNNPROF_GPU_MEMORY",
            help="The limit of a CUDA GPU of that size, less its context.",
        ),
        click.option(
            "--simulate", metavar="MODEL[,MODEL...]", envvar="RNNPROF_SIMULATE",
            help="Memory on GPUs that are not here, without times: t4, h100, ... or "
            "memory=16GiB,sms=40,capability=7.5.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def edge_options(function: F) -> F:
    """The options of every command that proves edges."""
    defaults = Settings()
    options = [
        click.option(
            "--confirm-steps", type=click.IntRange(1, 10_000), default=defaults.confirm_steps,
            metavar="N", envvar="RNNPROF_CONFIRM_STEPS", show_default=True,
            help="Training steps that a batch has to pass.",
        ),
        click.option(
            "--through", type=click.IntRange(1, 1_000_000), metavar="STEPS",
            envvar="RNNPROF_THROUGH",
            help="Prove the answer over so many training steps, as of an epoch.",
        ),
        click.option(
            "--granularity", type=click.IntRange(1, 65536), default=defaults.granularity,
            metavar="N", envvar="RNNPROF_GRANULARITY", show_default=True,
            help="Seek the edge among multiples of N.",
        ),
        click.option(
            "--headroom", type=RATIO, default="5%", metavar="SHARE", envvar="RNNPROF_HEADROOM",
            show_default=True, help="Of the limit, between the edge and the batch advised.",
        ),
        click.option(
            "--reserve", type=BYTES, metavar="SIZE", envvar="RNNPROF_RESERVE",
            help="Of the limit, set aside for what is not here: buckets of DDP, NCCL.",
        ),
        click.option(
            "--effective-batch", type=click.IntRange(1, MAX_SIZE), metavar="N",
            envvar="RNNPROF_EFFECTIVE_BATCH", help="Advise the accumulation steps that make it.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def run_options(function: F) -> F:
    """The options of every command that writes a run file."""
    options = [
        click.option(
            "--timeout", type=SECONDS, metavar="S", envvar="RNNPROF_TIMEOUT",
            help="Deadline of one pass.  [default: scaled to its expected cost]",
        ),
        click.option(
            "--seed", type=click.IntRange(0, 2**63 - 1), default=0, metavar="N",
            envvar="RNNPROF_SEED", help="For weights, input and the order of points.",
            show_default=True,
        ),
        click.option(
            "-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
            metavar="NAME.jsonl", envvar="RNNPROF_OUTPUT",
            help="Run file.  [default: rnnprof-runs/WORKLOAD-DEVICE.jsonl]",
        ),
        click.option("--extend", is_flag=True, help="Add to a run that stands in the file."),
        click.option("--overwrite", is_flag=True, help="Begin the file anew."),
        click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
        click.option("-q", "--quiet", is_flag=True, help="No progress."),
        click.option("-v", "--verbose", count=True, help="One line a pass."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def settings_from(options: dict[str, Any]) -> Settings:
    """How the points are measured and the edges proven."""
    if options["extend"] and options["overwrite"]:
        raise BadInputError("--extend and --overwrite exclude each other")
    limit, reserve = options["memory_limit"], options["reserve"] or 0
    if limit is not None and reserve >= limit:  # another limit is known later, and judged there
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
    """Where to measure; the options that were not given take that device's defaults.

    Raises:
        BadInputError: no device, or two limits.
        NoDeviceError: a GPU, and torch is a build without CUDA.
    """
    [place] = places_from(options)  # several are simulated, which the callers refuse
    return place


def places_from(options: dict[str, Any]) -> tuple[Selected, ...]:
    """The same, of each GPU that is simulated; one place where none is.

    Raises:
        BadInputError: no device, or two limits.
        NoDeviceError: a GPU, and torch is a build without CUDA.
    """
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
    """For a command that a simulated GPU has no answer for.

    Raises:
        BadInputError: ``--simulate`` is given.
    """
    if options.get("simulate") is not None:
        raise BadInputError(f"--simulate {options['simulate']}: {why}, and {NO_KERNEL}")


def _refuse_times(options: dict[str, Any]) -> None:
    """What only times, kernels or a present GPU could answer.

    Raises:
        BadInputError: names the option.
    """
    if options["gpu_memory_bytes"] is not None:
        raise BadInputError(
            "--gpu-memory and --simulate exclude each other: describe the GPU's memory"
        )
    if options.get("point_seconds") is not None:
        raise BadInputError(f"--point-seconds and --simulate: {NO_KERNEL}, there are no times")
    if (options.get("processes") or 1) > 1:
        raise BadInputError(f"--processes and --simulate: {NO_KERNEL}, there are no times")
    if options.get("compile"):
        raise BadInputError(f"--compile and --simulate: {NO_KERNEL}, and triton compiles kernels")
