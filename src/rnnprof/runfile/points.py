"""Points and grids that can be requested, their outcomes and roles."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from rnnprof.ranges import Extent


class Outcome(enum.StrEnum):
    """How a point ended."""

    MEASURED = "measured"
    OOM = "oom"
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    FAILED = "failed"
    IMPLIED_OOM = "implied_oom"


GOOD_OUTCOMES: Final = frozenset(
    {Outcome.MEASURED, Outcome.OOM, Outcome.UNSUPPORTED, Outcome.IMPLIED_OOM}
)
"""Outcomes that answer the question; with any other one a measurement is missing."""


class Role(enum.StrEnum):
    """Why a point was observed."""

    GRID = "grid"
    ANCHOR = "anchor"
    PROBE = "probe"
    REPLICATE = "replicate"
    NEIGHBOUR = "neighbour"
    STEP_FUNCTION = "step_function"


UNSOUGHT: Final = frozenset({Role.NEIGHBOUR, Role.STEP_FUNCTION})
"""Roles of extra passes beside a search for the largest batch; they do not change its result."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One point of the grid.

    Attributes:
        batch: sequences per batch (B).
        time_steps: time steps per sequence (T).
    """

    batch: Extent
    time_steps: Extent

    def __str__(self) -> str:
        return f"B={self.batch} T={self.time_steps}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The axes of batch and time steps, each ascending."""

    batch: tuple[Extent, ...]
    time_steps: tuple[Extent, ...]

    def points(self) -> tuple[Point, ...]:
        """Every point, by time steps and then by batch."""
        return tuple(
            Point(batch, time_steps) for time_steps in self.time_steps for batch in self.batch
        )
