"""Neighbours of a largest batch: batches within 10% of it, each run once.

A proof is valid for its two batches.  If memory is not monotone, a larger batch may fit, or a
smaller one may not.  On a simulated GPU probes are cheap, so the neighbours are run too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Role
from rnnprof.runfile.records import Run

REACH_RATIO: Final = 0.1
"""The largest distance of a neighbour, as a share of the largest batch."""

COUNT: Final = 50
"""Number of neighbours to run, half of them on each side."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The batches around the largest one at a T, and how each ended.

    Attributes:
        fits, ooms: batches, ascending.
    """

    time_steps: int
    batch: int
    fits: tuple[int, ...]
    ooms: tuple[int, ...]

    @property
    def fits_above(self) -> tuple[int, ...]:
        """Batches that fit although they are above the proven largest batch."""
        return tuple(batch for batch in self.fits if batch > self.batch)

    @property
    def ooms_below(self) -> tuple[int, ...]:
        """Batches that are out of memory although a larger one is proven to fit."""
        return tuple(batch for batch in self.ooms if batch < self.batch)

    @property
    def is_monotone(self) -> bool:
        """Whether all smaller neighbours fit and no larger one does."""
        return not self.fits_above and not self.ooms_below


def neighbours_to_run(certificate: Certificate) -> list[int]:
    """Batches spread evenly around a proven largest batch, without the two of its proof."""
    if certificate.status is not EdgeStatus.CERTIFIED or certificate.batch is None:
        return []
    batch, unit = certificate.batch, certificate.granularity
    reach = max(unit, int(REACH_RATIO * batch) // unit * unit)
    half = COUNT // 2
    wanted = set()
    for number in range(1, half + 1):
        step = -(-reach * number // half // unit) * unit
        wanted |= {batch - step, batch + unit + step}
    return sorted(each for each in wanted if each > 0 and each not in (batch, batch + unit))


def neighbours_of(run: Run, frontier: Sequence[Certificate]) -> tuple[Neighbours, ...]:
    """The neighbours of each certificate for which they were run."""
    found = []
    for certificate in frontier:
        here = [
            o for o in run.observations
            if isinstance(o,
            Fit) and o.role is Role.NEIGHBOUR and o.time_steps == certificate.time_steps
        ]  # fmt: skip
        if here and certificate.batch is not None:
            fits = {o.batch for o in here if o.outcome is Outcome.MEASURED}
            ooms = {o.batch for o in here if o.outcome is Outcome.OOM}
            found.append(
                Neighbours(
                    certificate.time_steps,
                    certificate.batch,
                    tuple(sorted(fits)),
                    tuple(sorted(ooms)),
                )
            )
    return tuple(found)
