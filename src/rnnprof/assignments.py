"""Values for names that a script assigns at its top level (in the making)."""

from __future__ import annotations

import ast
from collections.abc import Mapping


def set_names(tree: ast.Module, values: Mapping[str, str], file_name: str) -> ast.Module:  # noqa: ARG001
    """Replace the value of the one assignment to each name."""
    return tree


def split_assignments(assignments: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The values by module, then by name; the script itself has the name ``""``."""
    found: dict[str, dict[str, str]] = {}
    for full, text in assignments.items():
        module, _, name = full.rpartition(".")
        found.setdefault(module, {})[name] = text
    return found
