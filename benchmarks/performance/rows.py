"""The rows of a table, selected by a text in their names, and their columns."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """A row's case."""

    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Named)


def chosen(
    cases: Iterable[C], quickest: Collection[str], only: Sequence[str] | None, *, quick: bool
) -> list[C]:
    """The cases to run.

    Args:
        quickest: names of those that *quick* leaves.
        only: texts of which one is in the name; None for all.

    Raises:
        SystemExit: there is none.
    """
    rows = [case for case in cases if case.name in quickest or not quick]
    wanted = [case for case in rows if any(text in case.name for text in only or [""])]
    if not wanted:
        raise SystemExit(f"no such row; there are {', '.join(case.name for case in rows)}")
    return wanted


def aligned(lines: Sequence[Sequence[str]], left: Container[str]) -> str:
    """Cells under the header that is the first line: words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join(
            cell.ljust(width) if name in left else cell.rjust(width)
            for name, cell, width in zip(lines[0], line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join(padded)
