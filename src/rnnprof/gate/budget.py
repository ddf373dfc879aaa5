"""What a gate requires of a run: a parsed TOML table to a budget, strictly.

Schema history
    1   2026-11: ``version``, ``[workload]``, ``[measure]``, ``[[fits]]``, ``[[max-batch]]``,
            ``[[peak]]``, ``[[throughput]]``, ``[growth]``.  Before a release keys of two words
            came to be written with hyphens, as in every TOML file: ``[[max-batch]] at-least``.

A key that is not known is an error: a limit that was misspelt would else hold for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rnnprof.compare.comparison import MEMORY_GROWTH_BYTES, MEMORY_GROWTH_RATIO
from rnnprof.gate.evidence import Required
from rnnprof.runfile.points import Point

VERSION: Final = 1

PEAKS: Final = ("allocated", "reserved", "process", "charged")
"""What a peak may be of: live in the allocator, reserved by it, held by the process, or what the
memory limit counts."""

TIME_GROWTH_RATIO: Final = 0.05
"""At 3% between processes and five of them, a slowdown of 10% is called in half of the runs."""

MAX_NUMBER: Final = 1 << 63
"""No size or rate of a machine reaches it; the run file has the same bound."""

MAX_GROWTH_POINTS: Final = 1000
"""Each is timed in several processes: more would take days."""


@dataclass(frozen=True, slots=True)
class MustFit:
    """Training has to fit at a point.

    Attributes:
        headroom_ratio: share of the limit that has to be left.
    """

    point: Point
    headroom_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class LeastBatch:
    """The largest batch at one T has to be *at_least* so large."""

    time_steps: int
    at_least: int


@dataclass(frozen=True, slots=True)
class MostPeak:
    """The peak at a point may be *at_most_bytes*.

    Attributes:
        of: one of PEAKS.
    """

    point: Point
    at_most_bytes: int
    of: str = "allocated"


@dataclass(frozen=True, slots=True)
class LeastThroughput:
    """Training at a point has to reach *at_least_per_s* time steps (B*T) per second."""

    point: Point
    at_least_per_s: float


@dataclass(frozen=True, slots=True)
class Growth:
    """How much a run may grow over its baseline.

    Attributes:
        memory_ratio, memory_bytes: of the allocated peak; the larger of the two is allowed.
        time_ratio: of the step time.
        points: to be measured for it, beside those of the other limits.
    """

    memory_ratio: float = MEMORY_GROWTH_RATIO
    memory_bytes: int = MEMORY_GROWTH_BYTES
    time_ratio: float = TIME_GROWTH_RATIO
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run has to keep to.

    Attributes:
        growth: None where the budget has no ``[growth]``; with a baseline, the defaults hold.
        workload: the keys of ``[workload]`` as they stand; the command line knows their meaning.
        measure: likewise those of ``[measure]``.
        required: the conditions that a run has to have been measured under.
    """

    fits: tuple[MustFit, ...] = ()
    max_batch: tuple[LeastBatch, ...] = ()
    peak: tuple[MostPeak, ...] = ()
    throughput: tuple[LeastThroughput, ...] = ()
    growth: Growth | None = None
    workload: Mapping[str, Any] = field(default_factory=dict)
    measure: Mapping[str, Any] = field(default_factory=dict)
    required: Required = field(default_factory=Required)

    @property
    def asks_time(self) -> bool:
        """Whether times are compared with a baseline: not where the budget limits memory alone."""
        return self.growth is not None or bool(self.throughput)


@dataclass(frozen=True, slots=True)
class Asked:
    """What has to be measured to judge a budget, each by steps and then by batch.

    Attributes:
        fits: points that training has to be run at.
        proofs: of them, those that training has to be proven at, over all steps of a proof.
        memory: of them, those whose peak is judged.
        timed: of them, those whose time is judged.
        edges: T at which the largest batch has to be found.
    """

    fits: tuple[Point, ...]
    memory: tuple[Point, ...]
    timed: tuple[Point, ...]
    edges: tuple[int, ...]
    proofs: tuple[Point, ...] = ()


def points_asked(budget: Budget) -> Asked:
    """The points and T that a budget requires; those of a baseline come on top."""
    grown = budget.growth.points if budget.growth else ()
    memory = [*(limit.point for limit in budget.peak), *grown]
    timed = [*(limit.point for limit in budget.throughput), *grown]
    fits = [limit.point for limit in budget.fits]
    return Asked(
        ordered([*fits, *memory, *timed]),
        ordered(memory),
        ordered(timed),
        tuple(sorted({limit.time_steps for limit in budget.max_batch})),
        ordered(fits),
    )


def ordered(points: Iterable[Point]) -> tuple[Point, ...]:
    return tuple(sorted(set(points), key=lambda point: (point.time_steps, point.batch)))
