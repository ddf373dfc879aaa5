"""Defaults from ``rnnprof.toml`` or ``[tool.rnnprof]``: flag beats RNNPROF_* beats file."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, Final

import click

from rnnprof.errors import BadInputError


class ConfiguredCommand(click.Command):
    """A command whose defaults may stand in a file of the working directory."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        extra.setdefault("default_map", read_config(Path.cwd(), self))
        return super().make_context(info_name, args, parent, **extra)


def read_config(folder: Path, command: click.Command) -> dict[str, Any]:
    """The options set in *folder*'s ``rnnprof.toml``, or else in its ``pyproject.toml``.

    Raises:
        BadInputError: a file that is no TOML, or a key that is no option, with the nearest name.
    """
    for path, inside in (
        (folder / "rnnprof.toml", ()),
        (folder / "pyproject.toml", ("tool", "rnnprof")),
    ):
        if path.is_file():
            table = _table(path, inside)
            if table is not None:
                return checked(_without_others(table, command), path, command)
    return {}


CONFIGURED: Final = ("profile", "max_batch", "compare", "trainability")
"""Modules of the commands whose defaults one file may hold."""


def _without_others(table: dict[str, Any], command: click.Command) -> dict[str, Any]:
    """The table less what only another command has an option for."""
    own = _all_names(command)
    unknown = [key for key in table if key not in own]
    if not unknown:
        return table
    from importlib import import_module

    others = {
        name
        for module in CONFIGURED
        for name in _all_names(import_module(f"rnnprof.cli.{module}").command)
    }
    return {key: value for key, value in table.items() if key in own or key not in others}


def _all_names(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in _long_names(parameter)}


WORKLOAD_KEYS: Final = frozenset({
    "cell", "impl", "input-size", "hidden-size", "layers", "bidirectional", "dropout", "proj-size",
    "batch-first", "dtype", "optimizer", "mode", "compile", "loop", "factory", "factory-arg",
})  # fmt: skip


def read_workload_file(path: Path, command: click.Command) -> dict[str, Any]:
    """The workload options set in a TOML file of their own.

    Raises:
        BadInputError: a file that is no TOML, or a key that is no workload option.
    """
    table = _table(path, ())
    assert table is not None, "the whole of a TOML file is a table"
    return checked(table, path, command, WORKLOAD_KEYS)


def _table(path: Path, inside: tuple[str, ...]) -> dict[str, Any] | None:
    import tomllib

    try:
        table: Any = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadInputError(f"cannot read {path.name}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path.name} is not valid TOML: {error}") from None
    for key in inside:
        table = table.get(key) if isinstance(table, dict) else None
    if table is not None and not isinstance(table, dict):
        raise BadInputError(f"{path.name}: [{'.'.join(inside)}] is not a table")
    return table


def checked(
    table: dict[str, Any], path: Path, command: click.Command, allowed: Container[str] | None = None
) -> dict[str, Any]:
    options = {
        name: parameter
        for parameter in command.params
        for name in _long_names(parameter)
        if isinstance(parameter, click.Option) and (allowed is None or name in allowed)
    }
    values = {}
    for key, value in table.items():
        if key not in options:
            raise BadInputError(f"{path.name}: {key!r} is no option{_nearest(key, options)}")
        option = options[key]
        try:
            values[option.name or key] = _as_given(option, value)
        except ValueError as error:
            raise BadInputError(f"{path.name}: {key} = {value!r}: {error}") from None
    return values


def _as_given(option: click.Option, value: Any) -> Any:
    """The value as the command line would hand it on: TOML's own types are not the option's."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise ValueError("write true or false")
        return value
    if option.multiple:
        pairs = (
            [f"{name}={item}" for name, item in value.items()] if isinstance(value, dict) else value
        )
        if not isinstance(pairs, list) or not all(isinstance(pair, str) for pair in pairs):
            raise ValueError("write a table, or a list of texts")
        return pairs
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("write a text or a number")
    return _count(value) if option.count else str(value)


def _count(value: str | float) -> int:
    """How often a flag is given: TOML has infinities and fractions, which no flag does."""
    if not isinstance(value, int) or value < 0:
        raise ValueError("write a whole number from 0")
    return value


def _long_names(parameter: click.Parameter) -> list[str]:
    return [option[2:] for option in parameter.opts if option.startswith("--")]


def _nearest(key: str, names: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(key.replace("_", "-"), names, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(names))}"
