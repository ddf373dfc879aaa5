"""``--set NAME=TEXT``: another value for an assignment at the top of a user's file.

The change is made in the syntax tree, never in the file.  Where it could mean something else than
the reader of the file expects (the name is bound twice, or its value is computed), it is refused.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprof.errors import BadInputError
from rnnprof.script import is_main_guard, module_file, near, parsed
from rnnprof.workload import ScriptPlace

MOST_TEXT: Final = 40
"""Characters of an expression that a message quotes."""

_LITERALS: Final = (
    ast.Constant, ast.UnaryOp, ast.BinOp, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.operator,
    ast.unaryop, ast.expr_context,
)  # fmt: skip
"""What a value may be made of: it means the same wherever it stands."""

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES: Final = (*_FUNCTIONS, ast.ClassDef, ast.Lambda)
_BLOCKS: Final = (ast.If, ast.Try, ast.TryStar, ast.With)
"""Statements whose bodies run at most once when the file runs."""


def split_assignments(assignments: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The texts by module and name; "" is the script itself."""
    found: dict[str, dict[str, str]] = {}
    for dotted, text in assignments.items():
        module, _, name = dotted.rpartition(".")
        found.setdefault(module, {})[name] = text
    return found


def check_assignments(place: ScriptPlace, folder: Path) -> None:
    """Check that every assignment can be made in the script and in the modules that it names.

    Args:
        folder: the working folder.

    Raises:
        BadInputError: as :func:`set_names`, or a module is not found.
    """
    folders = search_folders(place, folder)
    main = module_file(place.target, folders) if place.is_module else Path(place.target)
    point = place.at(2, 2)
    for module, values in split_assignments(point.assignments).items():
        path = module_file(module, folders) if module else main
        if path is None:
            raise BadInputError(
                f"--set {module or place.target}.{next(iter(values))}: there is no module "
                f"{module or place.target!r} with a .py file: give a module that the script imports"
            )
        if module and main is not None and path.resolve() == main.resolve():
            raise BadInputError(
                f"--set {module}.{next(iter(values))}: {path.name} is the script itself: write "
                f"--set {next(iter(values))}="
            )
        set_names(parsed(path), values, path.name, is_main=not module)


def search_folders(place: ScriptPlace, folder: Path) -> list[Path]:
    """Where Python looks for the script's modules before its own places, in order."""
    own = folder if place.is_module else Path(place.target).resolve().parent
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return list(dict.fromkeys([own, folder, *map(Path, paths)]))


def set_names(
    tree: ast.Module, values: Mapping[str, str], file_name: str, *, is_main: bool = True
) -> ast.Module:
    """Replace the value of one assignment for each name, in place.

    A text is a literal of Python where it can be read as one, and otherwise a string.

    Args:
        values: texts by name, without placeholders.
        file_name: for messages.
        is_main: whether the file runs as ``__main__``.

    Returns:
        The same tree.

    Raises:
        BadInputError: a name is not assigned exactly once where it can be set, or its value is
            computed.
    """
    bindings = list(_bindings(tree, is_main=is_main))
    for name, text in values.items():
        binding = _the_one(name, bindings, tree, file_name)
        assert binding.holder is not None, "only what can be set is the one"
        old = binding.value
        if not all(isinstance(each, _LITERALS) for each in ast.walk(old)):
            raise BadInputError(_computed(binding, file_name))
        new = _literal(text)
        for each in ast.walk(new):  # a traceback then has the line of the file
            ast.copy_location(each, old)
        binding.put(new)
    return tree


def constants(tree: ast.Module) -> dict[str, object]:
    """The names that :func:`set_names` can set, with their values if those are plain literals."""
    bindings = list(_bindings(tree, is_main=True))
    names = [each.name for each in bindings]
    found: dict[str, object] = {}
    for each in bindings:
        if each.holder is not None and names.count(each.name) == 1:
            try:
                found[each.name] = ast.literal_eval(each.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
    return found


@dataclass(frozen=True, slots=True)
class _Binding:
    """A place where a file binds a name.

    Attributes:
        how: it in words, after the line.
        holder: the node that has the value, and *field* and *index* say where; None where the
            value cannot be replaced.
    """

    name: str
    line: int
    how: str = "assigns it"
    holder: ast.AST | None = None
    field: str = "value"
    index: int | None = None

    @property
    def value(self) -> ast.expr:
        held = getattr(self.holder, self.field)
        found = held if self.index is None else held[self.index]
        assert isinstance(found, ast.expr)
        return found

    def put(self, value: ast.expr) -> None:
        """Replace the value."""
        if self.index is None:
            setattr(self.holder, self.field, value)
        else:
            getattr(self.holder, self.field)[self.index] = value


def _the_one(name: str, bindings: Iterable[_Binding], tree: ast.Module, file_name: str) -> _Binding:
    """The one binding of a name.

    Raises:
        BadInputError: there is none, or more, or it is no assignment of a value.
    """
    found = [each for each in bindings if each.name == name]
    if not found:
        raise BadInputError(f"--set {name}: {_missing(name, bindings, tree, file_name)}")
    if len(found) == 1 and found[0].holder is not None:
        return found[0]
    if len(found) == 1:
        raise BadInputError(
            f"--set {name}: {file_name} line {found[0].line} {found[0].how}: only an assignment of "
            "a value at the top of the file can be set; give the script's own option instead"
        )
    lines = ", ".join(f"line {each.line} {each.how}" for each in found)
    raise BadInputError(
        f"--set {name}: {file_name} binds {name} {len(found)} times ({lines}), and which of them "
        "counts is not certain: give the script's own option instead, or a variable by --env"
    )


def _missing(name: str, bindings: Iterable[_Binding], tree: ast.Module, file_name: str) -> str:
    for scope in ast.walk(tree):
        if isinstance(scope, (*_FUNCTIONS, ast.ClassDef)):
            for each in ast.walk(scope):
                if _stores(each, name):
                    kind = "class" if isinstance(scope, ast.ClassDef) else "function"
                    return (
                        f"{file_name} assigns {name} only inside the {kind} {scope.name} (line "
                        f"{getattr(each, 'lineno', scope.lineno)}), and --set reaches only the top "
                        "of a file: give the script's own option instead"
                    )
    known = dict.fromkeys(each.name for each in bindings if each.holder is not None)
    text = f"{file_name} has no assignment to {name} at its top"
    if (nearest := near(name, known)) is not None:
        return f"{text}; did you mean {nearest!r}?"
    for each in tree.body:
        if isinstance(each, ast.ImportFrom) and each.names[0].name == "*" and each.module:
            module = each.module
            return f"{text}; it may take it from {module}: write --set {module}.{name}="
    return f"{text}; it assigns {', '.join(known)}" if known else f"{text}, nor any other"


def _computed(binding: _Binding, file_name: str) -> str:
    """Why a value is not replaced."""
    text = " ".join(ast.unparse(binding.value).split())
    shown = text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."
    instead = "give the script's own option instead"
    if "environ" in text or "getenv" in text:
        instead = "give its variable by --env instead"
    return f"{file_name} line {binding.line} computes {binding.name} ({shown}): {instead}"


def _literal(text: str) -> ast.expr:
    """The text as a literal of Python; else as a string."""
    text = text.strip()
    try:
        ast.literal_eval(text)
        return ast.parse(text, mode="eval").body
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ast.Constant(text)


# ---- what a file binds --------------------------------------------------------------------------


def _bindings(tree: ast.Module, *, is_main: bool) -> Iterator[_Binding]:
    """Every place where running the file may bind a name of the file."""
    yield from _of_block(tree.body, is_main=is_main)
    for scope in ast.walk(tree):
        if isinstance(scope, _FUNCTIONS):
            yield from _by_global(scope)


def _of_block(body: Iterable[ast.stmt], *, is_main: bool) -> Iterator[_Binding]:
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            yield from _assigned(statement)
        elif isinstance(statement, _BLOCKS):
            yield from _of_parts(statement, is_main=is_main)
        else:
            yield from _otherwise(statement)


def _of_parts(statement: ast.stmt, *, is_main: bool) -> Iterator[_Binding]:
    """Of a statement with blocks: each block, and what its head binds."""
    skips = isinstance(statement, ast.If) and is_main_guard(statement.test) and not is_main
    for field, value in ast.iter_fields(statement):
        if field == "body" and skips:
            continue
        if field in ("body", "orelse", "finalbody"):
            yield from _of_block(value, is_main=is_main)
        elif field == "handlers":
            for handler in value:
                if handler.name:
                    yield _Binding(handler.name, handler.lineno, "binds it to an exception")
                yield from _of_block(handler.body, is_main=is_main)
        else:
            for each in value if isinstance(value, list) else [value]:
                yield from _otherwise(each)


def _assigned(statement: ast.Assign | ast.AnnAssign) -> Iterator[_Binding]:
    """Of an assignment: what can be set, and what cannot."""
    if statement.value is None:
        return
    yield from _otherwise(statement.value)  # by :=
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    together = "assigns it together with another name" if len(targets) > 1 else None
    for target in targets:
        if together is None and isinstance(target, ast.Name):
            yield _Binding(target.id, statement.lineno, holder=statement)
        elif together is None and _are_pairs(target, statement.value):
            assert isinstance(target, (ast.Tuple, ast.List))
            for index, each in enumerate(target.elts):
                if isinstance(each, ast.Name):
                    yield _Binding(
                        each.id, each.lineno, holder=statement.value, field="elts", index=index
                    )
                else:
                    yield from _otherwise(each)
        else:
            for taken in _otherwise(target):
                yield _Binding(taken.name, taken.line, together or "takes it from a sequence")


def _are_pairs(target: ast.expr, value: ast.expr) -> bool:
    """Whether each target of a tuple has its own value."""
    sequences = (ast.Tuple, ast.List)
    if not isinstance(target, sequences) or not isinstance(value, sequences):
        return False
    parts = [*target.elts, *value.elts]
    starred = any(isinstance(each, ast.Starred) for each in parts)
    return len(target.elts) == len(value.elts) and not starred


def _otherwise(root: ast.AST | None) -> Iterator[_Binding]:
    """What anything else binds: loops, imports, definitions, ``:=``, patterns."""
    for node in _walk([] if root is None else [root]):
        yield from _bound_by(node, root)


def _walk(roots: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes in order; without what stands inside functions and classes."""
    left = list(reversed(list(roots)))
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, _SCOPES):
            left += reversed(list(ast.iter_child_nodes(node)))


def _bound_by(node: ast.AST, root: ast.AST | None) -> Iterator[_Binding]:
    line = getattr(node, "lineno", 0)
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        yield _Binding(node.name, line, "defines it")
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield _Binding(alias.asname or alias.name.partition(".")[0], line, "imports it")
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        yield _Binding(node.name, line, "binds it by a pattern")
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield _Binding(node.name, line, "binds it to an exception")
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        loops = (ast.For, ast.AsyncFor, ast.While)
        how = "changes it" if isinstance(root, ast.AugAssign) else "binds it"
        yield _Binding(node.id, line, "binds it in a loop" if isinstance(root, loops) else how)


def _by_global(scope: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[_Binding]:
    """What a function binds for the whole file."""
    inside = list(_walk(scope.body))
    for node in inside:
        if isinstance(node, ast.Global):
            for name in node.names:
                stores = [each for each in inside if _stores(each, name)]
                for each in stores[:1]:
                    line = getattr(each, "lineno", node.lineno)
                    yield _Binding(name, line, f"changes it in the function {scope.name}")


def _stores(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
