"""What stands between two runs: where they differ, and why a change has no interval."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from rnnprof.reasons import Reason

RECOMMENDED_PROCESSES: Final = 5
"""With three the t distribution's tails make the interval 1.5 times as wide as with five."""

SOURCE: Final = "source "
"""Begins the name of a difference between the sources of a user's file."""


class Affects(enum.StrEnum):
    """What of two runs a difference between them makes incomparable."""

    EVERYTHING = "everything"
    TIME = "time"
    LIMIT = "limit"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Difference(Reason):
    """One field of the identity in which two runs differ.

    Attributes:
        name: of the field, as ``workload.cell``, ``driver`` or ``source train.py``.
        base, new: its value in the baseline and in the run; None where a run does not have it.
        affects: what cannot be compared for it.
    """

    name: str
    base: Any
    new: Any
    affects: Affects

    @property
    def is_of_sources(self) -> bool:
        """Whether the values are hashes of a user's file."""
        return self.name.startswith(SOURCE)


@dataclass(frozen=True, slots=True)
class TooFewProcesses(Reason):
    """A run timed a point in fewer quiet processes than an interval takes.

    Attributes:
        quiet: processes that count.
        least: processes that an interval takes.
        noisy: for each process that does not count, what made it noisy.
    """

    quiet: int
    least: int
    noisy: tuple[Reason | str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoInterval(Reason):
    """A change of the step time has no interval.

    Attributes:
        base, new: what the baseline and the run lack; None for a side that has enough. At least one
            is not None.
    """

    base: TooFewProcesses | None
    new: TooFewProcesses | None
