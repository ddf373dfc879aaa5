"""What the chart of the frontier shows at each T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rnnprof.advice.advise import GPU_SIZES, LargestSafe
from rnnprof.report.model import RunReport, SeenEdge
from rnnprof.runfile.certificates import Certificate, EdgeStatus

CPU_SHARES: Final = (0.5, 2.0, 4.0)
"""Of the limit, for which a run on a CPU predicts the edge: memory is bought by doubling."""

GPUS_EACH_WAY: Final = 2
NEAR_LIMIT_RATIO: Final = 0.1
"""A GPU this near the limit would be drawn over the run's own edge."""

SEEN: Final = "seen"
"""The kind of an edge that no certificate tells of: between two points of the grid."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What is known of the edge at one T.

    Attributes:
        kind: the certificate's status, or ``seen``.
        fits: the largest batch known to fit; of a contradiction the one above the OOM.
        fails: the smallest batch known to be out of memory.
    """

    time_steps: int
    kind: str
    fits: int | None
    fails: int | None

    @property
    def batches(self) -> list[int]:
        return [batch for batch in (self.fits, self.fails) if batch is not None]


# --- what is known -------------------------------------------------------------------------------


def places_of(report: RunReport) -> tuple[Spot, ...]:
    proven = {certificate.time_steps: _proven(certificate) for certificate in report.frontier}
    seen = {edge.time_steps: _seen(edge) for edge in report.edges if edge.time_steps not in proven}
    known = {time_steps: place for time_steps, place in (proven | seen).items() if _is_known(place)}
    return tuple(known[time_steps] for time_steps in sorted(known))


def _is_known(place: Spot) -> bool:
    return place.kind != SEEN or bool(place.batches)


def _proven(certificate: Certificate) -> Spot:
    fits = certificate.batch
    if certificate.status is EdgeStatus.NON_MONOTONE and certificate.fits is not None:
        fits = certificate.fits.batch
    fails = certificate.fails.batch if certificate.fails is not None else None
    return Spot(certificate.time_steps, certificate.status, fits, fails)


def _seen(edge: SeenEdge) -> Spot:
    return Spot(edge.time_steps, SEEN, edge.fits, edge.fails.point.batch if edge.fails else None)


def other_limits(report: RunReport) -> tuple[float, ...]:
    """The limits of contours: common GPUs about the limit, or shares of it."""
    if report.model is None:
        return ()
    if report.run.environment.get("device") != "cuda":
        return tuple(share * report.limit_bytes for share in CPU_SHARES)
    below = [size for size in GPU_SIZES if size < (1 - NEAR_LIMIT_RATIO) * report.limit_bytes]
    above = [size for size in GPU_SIZES if size > (1 + NEAR_LIMIT_RATIO) * report.limit_bytes]
    return tuple(map(float, below[-GPUS_EACH_WAY:] + above[:GPUS_EACH_WAY]))


def advised_in(report: RunReport) -> list[LargestSafe]:
    return [advice for advice in report.advice.largest_safe if advice.batch is not None]
