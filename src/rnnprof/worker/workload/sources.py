"""The user's own files that a training step has loaded; they identify the run."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from rnnprof.workload import ScriptPlace

_FOREIGN: Final = frozenset({"site-packages", "dist-packages", "__pycache__"})
"""Folders of installed packages, which the facts of the environment describe."""

_OWN_FOLDER: Final = Path(__file__).parents[2]


def user_sources(factory_path: str | None) -> dict[str, str]:
    """The sha256 of each loaded file below the root, by its path from there.

    The root is the folder of a script, or the top package of a module.  Call it at the end of a
    training step, when lazily loaded files are loaded.

    Args:
        factory_path: ``file.py:function`` or ``package.module:function``; None for a built-in cell.
    """
    if factory_path is None:
        return {}
    root = _root_of(factory_path.rpartition(":")[0])
    return {} if root is None else digests(root, _loaded_files())


def script_sources(script: ScriptPlace) -> dict[str, str]:
    """The same for a script: below its folder, or below the top package of a module."""
    if not script.is_module:
        path = Path(script.target).resolve()
        return digests(path.parent, [path, *_loaded_files()])
    top = script.target.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    files = [Path(each).resolve() for each in (file, main) if each is not None]
    return digests(files[0].parent, [*files, *_loaded_files()]) if files else {}


def digests(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """The sha256 of the user's files among *files*, by their path from *root*, sorted."""
    found = {}
    for file in files:
        if file.is_relative_to(root) and _is_users(file.relative_to(root), file):
            with suppress(OSError):  # deleted, or unreadable now
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                found[file.relative_to(root).as_posix()] = digest
    return dict(sorted(found.items()))


def _root_of(source: str) -> Path | None:
    if source.endswith(".py"):
        return Path(source).resolve().parent
    module = sys.modules.get(source.partition(".")[0])
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve().parent


def _loaded_files() -> list[Path]:
    """Source files of all modules; a module without one, or with another kind, is skipped."""
    names = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return [Path(name).resolve() for name in names if isinstance(name, str) and name[-3:] == ".py"]


def _is_users(place: Path, file: Path) -> bool:
    return not _FOREIGN.intersection(place.parts) and not file.is_relative_to(_OWN_FOLDER)
