"""The progress of a sweep, on stderr: a bar on a terminal, otherwise one line per point."""

from __future__ import annotations

import shutil
import sys

from rnnprof.cli.echo import say
from rnnprof.engine.listener import Listener
from rnnprof.plain_text import printable
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.report.words.dispatch import as_text
from rnnprof.report.words.progress import (
    doing,
    neighbours,
    point_ended,
    probe_ended,
    time_left,
    to_run,
    trying,
)
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Point

BAR_WIDTH = 20


def listener_for(verbosity: int, *, quiet: bool) -> Listener:
    """The listener for stderr: a bar on a terminal, otherwise lines."""
    if quiet:
        return Listener()
    return Bar() if sys.stderr.isatty() and verbosity == 0 else Lines(verbosity)


class Lines(Listener):
    """One plain line per point; with -v also one per pass."""

    def __init__(self, verbosity: int) -> None:
        self.verbosity = verbosity
        self.todo = 0

    def begun(self, todo: int, total: int) -> None:
        self.todo = todo
        self._say(to_run(todo, total))

    def entering(self, point: Point, observes: str) -> None:
        if self.verbosity:
            self._say(f"    {doing(point, observes)}")

    def ended(self, measurement: Measurement, done: int, left_s: float | None) -> None:
        left = f"; about {time_left(left_s)}" if left_s else ""
        self._say(f"[{done}/{self.todo}] {point_ended(measurement)}{left}")

    def noted(self, what: Reason | str) -> None:
        self._say(as_text(what))

    def probing(self, point: Point, why: Reason) -> None:
        self._say(trying(point, why))

    def probed(self, fit: Fit) -> None:
        self._say(f"    {probe_ended(fit)}")

    def _say(self, text: str) -> None:
        say(text, err=True)


def marks_for(encoding: str | None) -> tuple[str, str]:
    """What a bar is made of, in characters that the terminal has."""
    try:
        "█·".encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "#", "."
    return "█", "·"


class Bar(Listener):
    """One line that is overwritten between passes only: nothing runs while a time is measured."""

    def __init__(self) -> None:
        self.todo = 1
        self.done = 0
        self.left_s: float | None = None
        self._full, self._empty = marks_for(sys.stderr.encoding)

    def begun(self, todo: int, total: int) -> None:
        self.todo = todo

    def entering(self, point: Point, observes: str) -> None:
        filled = round(BAR_WIDTH * self.done / max(1, self.todo))
        left = f"  {time_left(self.left_s)}" if self.left_s else ""
        self._write(
            f"{self._full * filled}{self._empty * (BAR_WIDTH - filled)} {self.done}/{self.todo}  "
            f"{doing(point, observes)}{left}"
        )

    def ended(self, measurement: Measurement, done: int, left_s: float | None) -> None:
        self.done, self.left_s = done, left_s

    def noted(self, what: Reason | str) -> None:
        self._write("")
        say(as_text(what), err=True)

    def closed(self) -> None:
        self._write("")

    def probing(self, point: Point, why: Reason) -> None:
        self._write(trying(point, why))

    def proved(self, certificate: Certificate, done: int, total: int) -> None:
        self._write("")

    def looking_around(self, certificate: Certificate, done: int, total: int) -> None:
        self._write(neighbours(certificate, done, total) if done < total else "")

    def _write(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[2K{printable(text)[:width]}")
        sys.stderr.flush()
