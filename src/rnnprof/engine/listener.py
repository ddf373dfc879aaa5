"""Who hears how a job goes."""

from __future__ import annotations

from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Point


class Listener:
    """Hears how sweeps and searches go; the base class keeps silent."""

    def begun(self, todo: int, total: int) -> None:
        """*todo* of *total* points are still to run."""

    def entering(self, point: Point, observes: str) -> None:
        """A pass begins."""

    def ended(self, measurement: Measurement, done: int, left_s: float | None) -> None:
        """A point is complete; *left_s* is the time that the rest will take."""

    def noted(self, what: Reason | str) -> None:
        """Something that the reader should know."""

    def closed(self) -> None:
        """Nothing more follows."""

    def probing(self, point: Point, why: Reason) -> None:
        """A batch is tried."""

    def probed(self, fit: Fit) -> None:
        """What came of it."""

    def proved(self, certificate: Certificate, done: int, total: int) -> None:
        """The edge at one T is known, or why it is not."""

    def looking_around(self, certificate: Certificate, done: int, total: int) -> None:
        """*done* of *total* neighbours of a largest batch have been run."""
