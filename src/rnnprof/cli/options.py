"""Option types with messages of their own, and the options that several commands share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from rnnprof.analysis.axes import parse_axis
from rnnprof.errors import BadInputError, NoDeviceError
from rnnprof.units import parse_bytes
from rnnprof.workload import FactorySource, Workload

MAX_SIZE: Final = (1 << 31) - 1
SIZE: Final = click.IntRange(1, MAX_SIZE)

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
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
BYTES: Final = _Parsed("size", parse_bytes)
SECONDS: Final = _Parsed("seconds", _parse_seconds)

CELL_OPTIONS: Final = ("cell", "impl", "input_size", "hidden_size", "layers", "dtype")


def workload_options(function: F) -> F:
    """The options of every command that runs a workload."""
    default = Workload()
    choices = {
        "cell": ["rnn-tanh", "rnn-relu", "lstm", "gru"],
        "impl": ["fused"],
        "dtype": ["fp32"],
        "optimizer": ["none", "sgd", "adam", "adamw"],
    }
    options = [
        _choice("cell", choices, default.cell, "Recurrent cell."),
        _choice("impl", choices, default.impl, "fused: oneDNN where it has the cell (LSTM)."),
        _size("input-size", default.input_size, "Features of one time step."),
        _size("hidden-size", default.hidden_size, "Hidden units."),
        click.option(
            "--layers", type=click.IntRange(1, 1024), default=default.layers,
            help="Stacked layers.", envvar="RNNPROF_LAYERS", show_default=True,
        ),
        _choice("dtype", choices, default.dtype, "Type of weights and activations."),
        _choice("optimizer", choices, default.optimizer, "Optimizer of cells and short factories."),
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
    name: str, choices: dict[str, list[str]], default: str | None, text: str
) -> Callable[[F], F]:
    return click.option(
        f"--{name}", type=click.Choice(choices[name]), default=default, help=text,
        envvar=f"RNNPROF_{name.upper()}", show_default=True,
    )  # fmt: skip


def _size(name: str, default: int, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}", type=SIZE, default=default, help=text, metavar="N",
        envvar=f"RNNPROF_{name.upper().replace('-', '_')}", show_default=True,
    )  # fmt: skip


def workload_from(ctx: click.Context, options: dict[str, Any]) -> tuple[Workload, str | None]:
    """The workload asked for, and where its factory is.

    Raises:
        BadInputError: cell options beside a factory, or a factory that cannot be found.
    """
    if options["factory"] is None:
        if options["factory_args"]:
            raise BadInputError("--factory-arg needs --factory")
        names = (*CELL_OPTIONS, "optimizer")
        return Workload(**{name: options[name] for name in names}), None
    for name in CELL_OPTIONS:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = "--" + name.replace("_", "-")
            raise BadInputError(
                f"{flag} belongs to the built-in cells; hand it to the factory with --factory-arg "
                f"{name}={options[name]}"
            )
    path, reference = _factory_place(options["factory"])
    source = FactorySource(reference, "", _factory_args(options["factory_args"]))
    workload = Workload(
        cell=None,
        input_size=0,
        hidden_size=0,
        layers=0,
        optimizer=options["optimizer"],
        factory=source,
    )
    return workload, path


def _factory_place(text: str) -> tuple[str, str]:
    """Where to load the factory from, and its name in records: the file's own, without folders."""
    source, separator, function = text.rpartition(":")
    if not separator or not source or not function.isidentifier():
        raise BadInputError(f"--factory {text}: write FILE.py:FUNCTION or package.module:FUNCTION")
    if not source.endswith(".py"):
        if not all(part.isidentifier() for part in source.split(".")):
            raise BadInputError(f"--factory {text}: {source!r} is neither a .py file nor a module")
        return text, text
    path = Path(source)
    if not path.is_file():
        raise BadInputError(f"--factory {text}: no file {source}")
    return f"{path.resolve()}:{function}", f"{path.name}:{function}"


def _factory_args(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``k=v`` pairs; a value is read as JSON where it is JSON, else as text."""
    args: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.isidentifier():
            raise BadInputError(f"--factory-arg {pair}: write NAME=VALUE")
        if name in args:
            raise BadInputError(f"--factory-arg {name} is given twice")
        if name in ("batch", "steps", "device"):
            raise BadInputError(f"--factory-arg {name}: rnnprof itself hands {name} to the factory")
        args[name] = _value(text)
    return args


def _value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=lambda _: text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
    return value


def check_device(device: str) -> str:
    """The device to measure on.

    Raises:
        NoDeviceError: for CUDA devices, which this version does not measure.
        BadInputError: for anything that is no device.
    """
    if device in ("auto", "cpu"):
        return "cpu"
    if device == "cuda" or device.startswith(("cuda:", "GPU-", "MIG-")):
        raise NoDeviceError(
            f"--device {device}: this version of rnnprof measures on the CPU only; use --device cpu"
        )
    raise BadInputError(f"--device {device}: write auto or cpu")
