"""Commands with options from the table, shown in groups in the help."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from rnnprof.cli.config import Defaults, read_config
from rnnprof.cli.script_args import NO_SCRIPT, script_words, take_script
from rnnprof.cli.table import GROUPS, PLAIN, Entry, entries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from click.types import OptionHelpExtra

F = TypeVar("F", bound="Callable[..., Any]")

GUARD: Final = 1_000_000
"""The help omits a range that ends here or later: it says nothing to a reader."""

LEFT_COLUMNS: Final = 24
"""Option names take at most this many columns; a longer one has its text on the next line."""


_ENVIRONMENT: Final = click.core.ParameterSource.ENVIRONMENT


class TableOption(click.Option):
    """An option of the table."""

    def __init__(self, flags: list[str], *, entry: Entry, **attributes: Any) -> None:
        self.entry = entry
        super().__init__(flags, **attributes)

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The variable's text, if the command accepts the variable."""
        command = ctx.command
        if isinstance(command, TableCommand) and not command.hears(ctx, self.name or ""):
            return None
        return super().resolve_envvar_value(ctx)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """The option, and the variable that its value is from, which the user may not know of."""
        hint = super().get_error_hint(ctx)
        if ctx is None or ctx.get_parameter_source(self.name or "") is not _ENVIRONMENT:
            return hint
        names = [self.envvar] if isinstance(self.envvar, str) else self.envvar or []
        found = next((name for name in names if os.environ.get(name)), None)
        return hint if found is None else f"{hint} (from {found})"

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """The text in brackets, without a range whose end only guards against mistakes."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.type, click.IntRange) and (self.type.max or 0) >= GUARD:
            extra.pop("range", None)
        return extra


class ScriptOption(TableOption):
    """The user's script: on the command line it is what stands after ``--``, and comes last."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Nothing: the words of the script are taken before the rest is parsed."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """As the user writes it."""
        record = super().get_help_record(ctx)
        return None if record is None else (f"-- {self.metavar}", record[1])

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """As the user writes it, and the variable that it is from."""
        return super().get_error_hint(ctx).replace("'--script'", "the script")

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, Any]
    ) -> tuple[Any, click.core.ParameterSource]:
        """The words after ``--``; without them those of a variable or a file."""
        words = script_words(ctx)
        if words is not None:
            return words, click.core.ParameterSource.COMMANDLINE
        return super().consume_value(ctx, opts)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """The words of the variable, as a shell splits them."""
        import shlex

        text = self.resolve_envvar_value(ctx)
        try:
            return None if text is None else shlex.split(text)
        except ValueError as error:
            ctx.set_parameter_source(self.name or "", _ENVIRONMENT)
            raise click.BadParameter(f"{str(error).lower()}: write it as for a shell") from None


class TableCommand(click.Command):
    """A command whose help shows the options in the groups of the table."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; what stands after ``--`` is the script's."""
        return super().parse_args(ctx, take_script(ctx, self, args))

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage in the order in which a command is written: the script comes last."""
        pieces = super().collect_usage_pieces(ctx)
        takes_script = any(isinstance(each, ScriptOption) for each in self.params)
        return [*pieces, "[-- COMMAND]"] if takes_script else pieces

    def hears(self, ctx: click.Context, name: str) -> bool:  # noqa: ARG002
        """Whether an environment variable may set the option *name*."""
        return True

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the same object each time: click 8.1 does not put a new one before the rest."""
        key = f"{__name__}.{self.name}.help"
        if key not in ctx.meta:
            ctx.meta[key] = super().get_help_option(ctx)
        found = ctx.meta[key]
        assert found is None or isinstance(found, click.Option)
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group, with all texts in one column."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for group in GROUPS:
            records = [_record(each, ctx) for each in self.params if _group_of(each) == group]
            if records:
                groups[group] = records
        help_option = self.get_help_option(ctx)
        if help_option is not None:
            last = next(reversed(groups), PLAIN)
            groups.setdefault(last, []).append(_record(help_option, ctx))
        left = _left_column(groups)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl([(f"{flags:<{left}}", text) for flags, text in records], left)


class MeasuringCommand(TableCommand):
    """A command whose defaults may come from a file in the working directory.

    The file is read for the first option that no flag or variable sets: never for ``--help``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; values in files are defaults, below flags and variables."""
        if not ctx.resilient_parsing:  # set while a shell completes a word, which must not fail
            ctx.default_map = Defaults(lambda: self.configuration(ctx), ctx.default_map or {})
        return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """The help, with the built-in defaults: a broken file must not break it."""
        ctx.default_map = None
        return super().get_help(ctx)

    def configuration(self, ctx: click.Context) -> dict[str, Any]:  # noqa: ARG002
        """The options that the file in the working directory sets."""
        from pathlib import Path

        return read_config(Path(), [p.entry for p in self.params if isinstance(p, TableOption)])


def table_options(command: str, variables_of: str | None = None) -> Callable[[F], F]:
    """Give a function the options that *command* has in the table.

    Args:
        variables_of: the command in the names of variables, if another.
    """

    def decorate(function: F) -> F:
        for entry in reversed(entries_of(command)):
            attributes = _attributes(entry, entry.variables(command, variables_of))
            kind = ScriptOption if entry.shape == "words" else TableOption
            function = click.option(
                *entry.flags.split(), entry.name, cls=kind, entry=entry, **attributes
            )(function)
        return function

    return decorate


def _attributes(entry: Entry, variables: list[str]) -> dict[str, Any]:
    """The attributes of an option for click."""
    found: dict[str, Any] = {
        "help": entry.help,
        "metavar": entry.metavar,
        "envvar": variables or None,
    }
    if entry.shape == "words":
        return {**found, "multiple": True}
    if entry.shape == "flag":
        return {**found, "is_flag": True}
    if entry.shape == "count":
        return {**found, "count": True}
    if entry.default is not None:
        found |= {"default": entry.default, "show_default": True}
    if entry.is_required:
        found["required"] = True
    if entry.name == "workload_file":  # read before the options that it sets
        found |= {"is_eager": True, "expose_value": False, "callback": _lay_workload}
    return {**found, "type": entry.form, "multiple": entry.shape == "list"}


def _lay_workload(ctx: click.Context, _: click.Parameter, path: Any) -> None:
    if path is not None and not ctx.resilient_parsing:
        assert isinstance(ctx.default_map, Defaults), "only commands that measure have a workload"
        ctx.default_map.lay(path, NO_SCRIPT.get(ctx.info_name or ""))


def _group_of(parameter: click.Parameter) -> str | None:
    return parameter.entry.group if isinstance(parameter, TableOption) else None


def _record(parameter: click.Parameter, ctx: click.Context) -> tuple[str, str]:
    record = parameter.get_help_record(ctx)
    assert record is not None, "no option is hidden"
    return record


def _left_column(groups: dict[str, list[tuple[str, str]]]) -> int:
    widths = [len(flags) for records in groups.values() for flags, _ in records]
    return min(max(widths, default=0), LEFT_COLUMNS)
