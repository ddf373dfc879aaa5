"""Receives the progress of a job."""

from __future__ import annotations

from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Point


class Listener:
    """Receives the progress of sweeps and searches; the base class does nothing."""

    def begun(self, todo: int, total: int) -> None:
        """*todo* of *total* points are still to run."""

    def entering(self, point: Point, observes: str) -> None:
        """A pass begins."""

    def ended(self, measurement: Measurement, done: int, left_s: float | None) -> None:
        """A point is complete; the other points will take *left_s* seconds, if known."""

    def noted(self, what: Reason | str) -> None:
        """A note for the user."""

    def closed(self) -> None:
        """The sweep has ended."""

    def probing(self, point: Point, why: Reason) -> None:
        """A batch is tried."""

    def probed(self, fit: Fit) -> None:
        """The result of that batch."""

    def proved(self, certificate: Certificate, done: int, total: int) -> None:
        """The largest batch at one T is known, or the reason why not."""

    def looking_around(self, certificate: Certificate, done: int, total: int) -> None:
        """*done* of *total* neighbours of a largest batch have been run."""
