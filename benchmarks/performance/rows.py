"""The rows of a table that are asked for, by a text in their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
