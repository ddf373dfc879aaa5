"""A user's script, read without running it: which function it defines, and what to say if not."""

from __future__ import annotations

import ast
import difflib
import importlib.machinery
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rnnprof.errors import BadInputError

PROTOCOL: Final = "def make(batch, time_steps, device):"
"""The first line of a factory, as messages show it."""

MOST_NAMES: Final = 8
"""Functions of a file that a message lists."""

_DYNAMIC: Final = frozenset({"exec", "eval", "globals", "vars", "locals", "setattr"})
"""Calls that can bind any name: then only running the file shows what it defines."""

_TRAINING_CALLS: Final = frozenset({"backward", "fit"})
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES: Final = (*_FUNCTIONS, ast.ClassDef, ast.Lambda)


def check_script(path: Path, function: str) -> None:
    """Check that a file defines *function* at its top level, as far as its text shows.

    Raises:
        BadInputError: it does not; the message says where the name is, or which names exist.
    """
    found = _read(path)
    if function in found.bound or found.is_dynamic:
        return
    if function in found.guarded:
        raise BadInputError(
            f'{path.name} defines {function!r} only inside `if __name__ == "__main__":` (line '
            f"{found.guarded[function]}), which does not run when the file is loaded: move it "
            "above that line"
        )
    if function in found.inner:
        raise BadInputError(
            f"{path.name} defines {function!r} only inside {found.inner[function]}: move it to the "
            "top level of the file"
        )
    raise BadInputError(f"{path.name} {_missing(found, function)}")


def functions_of(path: Path) -> list[str]:
    """The functions at a file's top level, in order; empty if it cannot be read."""
    try:
        return _read(path).functions
    except BadInputError:
        return []


def imports(path: Path, module: str) -> bool:
    """Whether a file imports *module* by name."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        if any(name.partition(".")[0] == module for name in names):
            return True
    return False


def near(name: str, names: Iterable[str]) -> str | None:
    """The name of *names* that is spelled most like *name*; None if none is."""
    found = difflib.get_close_matches(name, list(names), n=1)
    return found[0] if found else None


@dataclass(slots=True)
class _Script:
    """What a file binds.

    Attributes:
        functions: at the top level, in order.
        bound: every name that loading the file may bind.
        guarded: functions under the guard of ``__main__``, with their lines.
        inner: functions inside others, with the place in words.
        training: line of the first call that trains when the file is loaded.
        is_dynamic: whether it may bind names that its text does not show.
    """

    functions: list[str] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    guarded: dict[str, int] = field(default_factory=dict)
    inner: dict[str, str] = field(default_factory=dict)
    training: int | None = None
    is_dynamic: bool = False


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        BadInputError: it cannot be read, or is not Python.
    """
    try:
        with warnings.catch_warnings():  # of the user's file, which Python prints when it runs it
            warnings.simplefilter("ignore")
            return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        where = "" if error.lineno is None else f" in line {error.lineno}"
        text = (error.text or "").strip()[:60]
        shown = f": {text}" if text else ""
        raise BadInputError(f"{path.name} is not Python: {error.msg}{where}{shown}") from None
    except ValueError as error:
        raise BadInputError(f"{path.name} is not Python: {error}") from None
    except (RecursionError, MemoryError):  # the parser has a stack of its own
        raise BadInputError(f"{path.name} is nested too deeply for Python") from None
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from None


def module_file(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of a module or package, found without importing anything.

    Args:
        folders: to look in before those where Python looks.

    Returns:
        None where there is no such module, or it has no file of Python text.
    """
    places: list[str] | None = [*map(str, folders), *sys.path]
    spec, known = None, ""
    for part in name.split("."):
        known = f"{known}.{part}" if known else part
        spec = _spec_of(known, places)
        if spec is None:
            return None
        found = spec.submodule_search_locations
        places = None if found is None else list(found)
        if places is None and known != name:
            return None
    assert spec is not None, "every name has a part"
    return Path(spec.origin) if spec.origin is not None and spec.origin.endswith(".py") else None


def _spec_of(name: str, places: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    """Where a module is; a package in development is known to finders of its own."""
    spec = importlib.machinery.PathFinder.find_spec(name, places)
    if spec is not None or "." in name:
        return spec
    for finder in sys.meta_path:
        found = finder.find_spec(name, None)
        if found is not None:
            return found
    return None


def is_main_guard(test: ast.expr) -> bool:
    """Whether a condition is ``__name__ == "__main__"``."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, *test.comparators]
    names = [each.id for each in sides if isinstance(each, ast.Name)]
    texts = [each.value for each in sides if isinstance(each, ast.Constant)]
    return names == ["__name__"] and texts == ["__main__"]


def _read(path: Path) -> _Script:
    tree = parsed(path)
    found = _Script()
    for node in _running(tree.body, found):
        _note(node, found)
    _note_inner(tree, found)
    return found


def _running(body: Iterable[ast.stmt], found: _Script) -> Iterator[ast.AST]:
    """Every node that runs when the file is loaded; bodies of functions and classes do not."""
    left: list[ast.AST] = list(reversed(list(body)))
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and is_main_guard(node.test):
            for each in ast.walk(ast.Module(node.body, [])):
                if isinstance(each, (*_FUNCTIONS, ast.ClassDef)):
                    found.guarded.setdefault(each.name, each.lineno)
            left += reversed(node.orelse)
            continue
        yield node
        if not isinstance(node, _SCOPES):
            left += reversed(list(ast.iter_child_nodes(node)))


def _note(node: ast.AST, found: _Script) -> None:
    """Note what a node that runs at load binds or does."""
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        found.bound.add(node.name)
        if isinstance(node, _FUNCTIONS):
            found.functions.append(node.name)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        found.bound.update(names)
        found.is_dynamic |= "*" in names
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        found.bound.add(node.id)
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        found.bound.add(node.name)
    elif isinstance(node, ast.Call):
        _note_call(node, found)
    found.is_dynamic |= "__getattr__" in found.bound


def _note_call(node: ast.Call, found: _Script) -> None:
    called = node.func
    if isinstance(called, ast.Name) and called.id in _DYNAMIC:
        found.is_dynamic = True
    if isinstance(called, ast.Attribute) and called.attr in _TRAINING_CALLS:
        found.training = found.training or node.lineno


def _note_inner(tree: ast.Module, found: _Script) -> None:
    """Note functions inside others, and names that a function binds as global."""
    for scope in ast.walk(tree):
        if isinstance(scope, ast.Global):
            found.bound.update(scope.names)
        elif isinstance(scope, (*_FUNCTIONS, ast.ClassDef)):
            kind = "class" if isinstance(scope, ast.ClassDef) else "function"
            for each in scope.body:
                if isinstance(each, _FUNCTIONS):
                    place = f"the {kind} {scope.name} (line {each.lineno})"
                    found.inner.setdefault(each.name, place)


def _missing(found: _Script, function: str) -> str:
    """What a file has in place of the function, and what to write."""
    if found.functions:
        nearest = near(function, found.functions)
        meant = f"; did you mean {nearest!r}?" if nearest else ";"
        names = ", ".join(found.functions[:MOST_NAMES])
        more = len(found.functions) - MOST_NAMES
        rest = f" and {more} more" if more > 0 else ""
        return f"has no function {function!r}{meant} it has {names}{rest}"
    line = found.training
    trains = "" if line is None else f", and it trains when it is loaded (line {line})"
    return (
        f"has no function {function!r}, nor any other at its top level{trains}: build model, "
        f"optimizer and data in a function `{PROTOCOL}` that returns the training step, and "
        'keep what trains under `if __name__ == "__main__":`'
    )
