"""What the charts of a page share: the same range and the same lines for the same quantity."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rnnprof.report.model import RunReport

T = TypeVar("T")

ValuesOf = Callable[[RunReport], Iterable[float]]
"""What a chart shows of a report along one axis or in colour; a function, or a method of a value
that is hashed by its identity: what it gives is kept."""


@dataclass(frozen=True, slots=True)
class Scales:
    """The ranges of all reports of a page, so that their charts can be compared by eye.

    Attributes:
        reports: those that stand on one page; a report alone has its own scales.
    """

    reports: tuple[RunReport, ...]
    _known: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, reports: Iterable[RunReport]) -> Scales:
        """The scales of reports that are shown together."""
        return cls(tuple(reports))

    def values(self, values_of: ValuesOf) -> tuple[float, ...]:
        """What is shown of all reports, ascending, each value once."""
        if values_of not in self._known:
            found = {value for report in self.reports for value in values_of(report)}
            self._known[values_of] = tuple(sorted(found))
        known: tuple[float, ...] = self._known[values_of]
        return known

    def span(self, values_of: ValuesOf) -> tuple[float, float] | None:
        """The least and the greatest of them; None where there is none."""
        values = self.values(values_of)
        return (values[0], values[-1]) if values else None


def scales_for(report: RunReport, scales: Scales | None) -> Scales:
    """The scales that were handed in, or those of the report alone."""
    return Scales((report,)) if scales is None else scales


def evenly(values: Sequence[T], at_most: int, *keep: T | None) -> list[T]:
    """At most so many of *values*, evenly spread: the first, the last, and those to keep.

    Args:
        values: in their order, each once.
        at_most: two or more.
        keep: stays as far as there is room; what is not among *values* is passed over.
    """
    if len(values) <= at_most:
        return list(values)
    last = len(values) - 1
    places = [round(index * last / (at_most - 1)) for index in range(at_most)]
    wanted = {values.index(each) for each in keep if each in values}
    for place in sorted(wanted - set(places)):
        free = [i for i in range(1, at_most - 1) if places[i] not in wanted]
        if free:
            places[min(free, key=lambda i: abs(places[i] - place))] = place
    return [values[place] for place in sorted(places)]
