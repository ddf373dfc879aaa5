"""Defaults from files: ``--workload FILE``, then ``rnnprof.toml`` or ``[tool.rnnprof]``."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from rnnprof.cli.table import Entry, budget_entries, by_key, configured_keys
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


USERS_CODE: Final = ("factory", "script")
"""Options that say which code of the user is trained: one of them at most counts."""


class Defaults(MutableMapping[str, Any]):
    """Values from files, by the options' names in Python; read on first use.

    If several set an option, the first counts: *stated*, which is a budget; the file of
    ``--workload``; the configuration.  So it is for USERS_CODE together: the script of a budget
    takes the place of the configuration's factory.
    """

    def __init__(
        self, configuration: Callable[[], dict[str, Any]], stated: Mapping[str, Any]
    ) -> None:
        self.stated = dict(stated)
        self._configuration = configuration
        self._configured: dict[str, Any] | None = None
        self._workload_path: Path | None = None
        self._workload: dict[str, Any] | None = None
        self._no_script: str | None = None

    def lay(self, workload_path: Path, no_script: str | None = None) -> None:
        """Put a file of ``--workload`` above the configuration.

        Args:
            no_script: why the command takes no script, if it takes none.
        """
        self._workload_path, self._workload = workload_path, None
        self._no_script = no_script

    @property
    def workload_file(self) -> tuple[Path, dict[str, Any]] | None:
        """The file of ``--workload``, and what it sets."""
        if self._workload_path is None:
            return None
        return self._workload_path, self._layers()[1]

    def sets_together(self, one: str, other: str) -> bool:
        """Whether one file sets both options."""
        return any(one in layer and other in layer for layer in self._layers())

    def _layers(self) -> tuple[dict[str, Any], ...]:
        if self._configured is None:
            self._configured = self._configuration()
        if self._workload_path is not None and self._workload is None:
            self._workload = read_workload_file(self._workload_path)
            if self._no_script is not None and "script" in self._workload:
                raise BadInputError(f"--workload {self._workload_path}: {self._no_script}")
        return self.stated, self._workload or {}, self._configured

    def __getitem__(self, name: str) -> Any:
        alike = USERS_CODE if name in USERS_CODE else (name,)
        for layer in self._layers():
            if not layer.keys().isdisjoint(alike):
                return layer[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({name: None for layer in self._layers() for name in layer if name in self})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __setitem__(self, name: str, value: Any) -> None:
        self.stated[name] = value

    def __delitem__(self, name: str) -> None:
        del self.stated[name]


def read_config(folder: Path, entries: Iterable[Entry]) -> dict[str, Any]:
    """The options set in *folder*'s ``rnnprof.toml``, or else in its ``pyproject.toml``.

    Options that only other commands have are left out.

    Args:
        entries: options of the command.

    Raises:
        BadInputError: a file is not TOML, or a key is not an option; the message has the nearest.
    """
    for name, inside in (("rnnprof.toml", ()), ("pyproject.toml", ("tool", "rnnprof"))):
        path = folder / name
        table = _table(path, inside) if path.is_file() else None
        if table is not None:
            own = by_key(entries)
            others = configured_keys() - own.keys()
            kept = {key: value for key, value in table.items() if key not in others}
            return checked(kept, name, own)
    return {}


def read_workload_file(path: Path) -> dict[str, Any]:
    """The workload options set in a TOML file.

    Raises:
        BadInputError: the file is not TOML, or a key is not a workload option.
    """
    from rnnprof.toml_file import read_toml

    return checked(read_toml(path, path.name), path.name, budget_entries("workload"))


def _table(path: Path, inside: tuple[str, ...]) -> dict[str, Any] | None:
    from rnnprof.toml_file import read_toml

    table: Any = read_toml(path, path.name)
    for key in inside:
        table = table.get(key) if isinstance(table, dict) else None
    if table is not None and not isinstance(table, dict):
        raise BadInputError(f"{path.name}: [{'.'.join(inside)}] is not a table")
    return table


def checked(table: Mapping[str, Any], file: str, known: Mapping[str, Entry]) -> dict[str, Any]:
    """The values of a table by the options' names in Python, in the form of the command line.

    Raises:
        BadInputError: a key is not *known*, or a value has a type that no option takes.
    """
    from rnnprof.toml_file import nearest, shown

    values = {}
    for key, value in table.items():
        if key not in known:
            raise BadInputError(f"{file}: {key!r} is not an option{nearest(key, known)}")
        try:
            values[known[key].name] = _as_given(known[key], value)
        except ValueError as error:
            # the arguments of a factory or a script may be secrets
            said = "..." if known[key].shape in ("list", "words") else shown(value)
            raise BadInputError(f"{file}: {key} = {said}: {error}") from None
    return values


def _as_given(entry: Entry, value: Any) -> Any:
    """The value in the form of the command line: TOML's types are not the option's."""
    from rnnprof.toml_file import MAX_NUMBER

    if entry.shape == "flag":
        if not isinstance(value, bool):
            raise ValueError("write true or false")
        return value
    if entry.shape == "words":
        return _words(value)
    if entry.shape == "list":
        return [value] if entry.key == "factory-argv" and isinstance(value, str) else _texts(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("write a string or a number")
    if isinstance(value, int) and abs(value) >= MAX_NUMBER:  # Python may refuse to print it
        raise ValueError("write a smaller number")
    return _count(value) if entry.shape == "count" else str(value)


def _words(value: Any) -> list[str]:
    """A command: its words, or a text that is split as a shell does."""
    import shlex

    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{str(error).lower()}: write a list of strings") from None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError('write a list of strings, as ["python", "train.py"]')
    return value


def _texts(value: Any) -> list[str]:
    texts = (
        [f"{k}={_text(item)}" for k, item in value.items()] if isinstance(value, dict) else value
    )
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("write a table, or a list of strings")
    return texts


def _text(item: Any) -> str:
    """As the command line reads it: lists and tables are JSON."""
    import json

    if not isinstance(item, (list, dict)):
        return str(item)
    try:
        return json.dumps(item)
    except TypeError:
        raise ValueError("write dates and times as strings") from None


def _count(value: str | float) -> int:
    """How often a flag is given: TOML also has infinities and fractions, which are refused."""
    if not isinstance(value, int) or value < 0:
        raise ValueError("write a whole number from 0")
    return value
