"""Run a script as ``python train.py WORDS`` or ``python -m package.module WORDS`` would."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import multiprocessing.spawn
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from rnnprof.assignments import set_names, split_assignments
from rnnprof.worker.workload.factories import BadFactoryError
from rnnprof.workload import ScriptPlace


class BadScriptError(BadFactoryError):
    """The script cannot be run as the command says; the message says what to do."""


def run_script(place: ScriptPlace, refuse: Callable[[BadScriptError], Any]) -> None:
    """Run the script until it ends, with its own ``sys.argv``, ``sys.path`` and ``__main__``.

    Args:
        place: with the sizes of the point filled in.
        refuse: is called with what a process that the script spawns makes impossible.
    """
    os.environ.update(place.env)
    values = split_assignments(place.assignments)
    if place.assignments:
        _refuse_spawned(refuse)
    own = values.get("", {})
    if place.is_module:
        values = {**values, place.target: {**values.get(place.target, {}), **own}}
    altered = {name: texts for name, texts in values.items() if name and texts}
    sys.meta_path.insert(0, AlteringFinder(altered, place.target if place.is_module else ""))
    sys.argv = [place.target, *place.argv]
    folder = Path.cwd() if place.is_module else Path(place.target).parent
    forget_shadowed(folder)
    if place.is_module:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as Python itself does
        runpy.run_module(place.target, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(folder))
        _run_file(Path(place.target), own)


KEPT: Final = frozenset({"__main__", "encodings", "multiprocessing", "numpy", "rnnprof", "torch"})
"""Modules that are not loaded a second time, whatever lies beside the script."""


def forget_shadowed(folder: Path) -> None:
    """Forget loaded modules that files beside the script come before, as in a new process.

    A worker has loaded much of Python's library: ``statistics``, ``profile``, ``code`` and more.
    """
    with suppress(OSError):
        for entry in folder.iterdir():
            name = entry.stem if entry.suffix == ".py" else entry.name
            if (entry.suffix == ".py" or (entry / "__init__.py").is_file()) and _is_other(name):
                for each in [each for each in sys.modules if f"{each}.".startswith(f"{name}.")]:
                    del sys.modules[each]


def _is_other(name: str) -> bool:
    """Whether a module of that name is loaded, from a file."""
    known = None if name in KEPT else sys.modules.get(name)
    spec = getattr(known, "__spec__", None)
    return spec is not None and spec.origin not in (None, "built-in", "frozen")


def _run_file(path: Path, values: Mapping[str, str]) -> None:
    """Run a file in a new ``__main__``, which stays: spawned processes and pickle look there."""
    loader = AlteringLoader("__main__", str(path), values, is_main=True)
    module = ModuleType("__main__")
    module.__file__, module.__loader__ = str(path), loader
    module.__dict__.update(__builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = module
    code = loader.get_code("__main__")
    exec(code, module.__dict__)


class AlteringLoader(importlib.machinery.SourceFileLoader):
    """Loads a file with other values for some of its names, in memory.

    Args:
        is_main: whether its ``if __name__ == "__main__":`` runs.
    """

    def __init__(
        self, name: str, path: str, values: Mapping[str, str], *, is_main: bool = False
    ) -> None:
        super().__init__(name, path)
        self.values, self.is_main = values, is_main

    def get_code(self, fullname: str) -> Any:  # noqa: ARG002
        """Compile the source, never a cached file."""
        return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(  # type: ignore[override]  # its stub is static
        self, data: Any, path: Any, **options: Any
    ) -> Any:
        """Put the values in place and compile."""
        if not self.values:
            return super().source_to_code(data, path, **options)
        tree, name = ast.parse(data, str(path)), Path(str(path)).name
        altered = set_names(tree, self.values, name, is_main=self.is_main)
        return compile(ast.fix_missing_locations(altered), str(path), "exec", dont_inherit=True)


@dataclass(slots=True)
class AlteringFinder(importlib.abc.MetaPathFinder):
    """Finds the modules that ``--set`` names, as Python does, and loads them with the values.

    Attributes:
        main: the module that is run as ``__main__``; empty where a file is.
    """

    values: Mapping[str, Mapping[str, str]]
    main: str = ""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module to alter; None for every other."""
        if fullname not in self.values:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            path, values = spec.loader.path, self.values[fullname]
            is_main = fullname == self.main
            spec.loader = AlteringLoader(fullname, path, values, is_main=is_main)
        return spec


def _refuse_spawned(refuse: Callable[[BadScriptError], Any]) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        refuse(
            BadScriptError(
                "a process that the script spawns reads its files again, without the values of "
                "--set: give the script's own options, or --env, in place of --set"
            )
        )

    multiprocessing.spawn.get_preparation_data = refused
