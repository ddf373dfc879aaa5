"""The parent stopped at random moments, and given the same command again.

Each trial starts the command, stops it, and looks at what is left: processes, the run file, what
was printed.  Every other stop comes after a delay that is uniform over the life of a run that
nothing disturbs; those between come once the file has grown to a size that is uniform over what is
still to be written, since on a busy machine a delay may always end before the first line.  The next
trial goes on with the same file; a finished one is compared with the quiet run and a new one
is begun.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from campaigns.campaign import (
    RUN_FILE,
    Command,
    Ended,
    load,
    lost,
    outcomes,
    profile_command,
    repeated,
)
from rnnprof.errors import RunFileError
from rnnprof.runfile.records import Run

COMMAND: Final = profile_command(
    *("--batch", "2,4,8", "--time-steps", "4,8", "--memory-limit", "256MiB"),
    fault="oom",
    where="backward",
    at_batch=8,
)
"""Points that are measured, one that is out of memory and one that is implied."""

STOP_S: Final = 2.0
"""Ctrl-C ends the command within this time."""

LOOK_S: Final = 0.002
"""Between two looks at the size of the run file."""

PYTHON_START_S: Final = 0.1
"""Python itself is up by then; an interrupt before it is answered by Python, with a traceback."""

INTERRUPTED: Final = frozenset({130, -signal.SIGINT})
"""Before Python has taken the signal over, the system's own end: 130 to a shell as well."""


@dataclass(slots=True)
class Tally:
    """What a campaign of stops has seen.

    Attributes:
        stopped: trials in which the signal met the command alive.
        lost: observations that stood in the file before the stop and not after it.
        repeated: measured passes that were measured again without having been noisy.
        damaged: run files that could not be read.
        late: interrupts that took longer than two seconds.
        unlike: finished runs whose points ended otherwise than quiet.
        wrong_codes: exit codes that the signal should not give.
        before_python: interrupts that met Python before the first line of rnnprof.
        stop_s: from the signal to the end, each.
        by_records: how many records the file had at the stop.
    """

    stopped: int = 0
    finished: int = 0
    lost: int = 0
    repeated: int = 0
    damaged: int = 0
    orphans: int = 0
    tracebacks: int = 0
    late: int = 0
    unlike: int = 0
    wrong_codes: int = 0
    before_python: int = 0
    stop_s: list[float] = field(default_factory=list)
    by_records: Counter[int] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take up what another thread has counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def faults(self) -> dict[str, int]:
        """The counts that must be zero."""
        names = ("lost", "repeated", "damaged", "orphans", "tracebacks", "late", "unlike")
        return {name: getattr(self, name) for name in (*names, "wrong_codes")}

    def row(self) -> dict[str, Any]:
        """All counts, for the table and the file."""
        return {
            "stopped": self.stopped,
            "runs_finished": self.finished,
            **self.faults(),
            "before_python": self.before_python,
            "slowest_stop_s": max(self.stop_s, default=0.0),
            "moments_in_records": dict(sorted(self.by_records.items())),
            "notes": self.notes,
        }


@dataclass(frozen=True, slots=True)
class Unnoisy:
    """The command when nobody stops it.

    Attributes:
        file_bytes: the size of its run file.
        outcomes: how its points end.
    """

    life_s: float
    file_bytes: int
    outcomes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Moment:
    """When a command is stopped: after a delay, and once its file has a size."""

    delay_s: float
    file_bytes: float


@dataclass(slots=True)
class Stopper:
    """One thread's trials with one signal, SIGKILL or SIGINT."""

    number: signal.Signals
    whole: Unnoisy
    rng: random.Random
    folder: Path
    tally: Tally = field(default_factory=Tally)
    _at_stop: Run | None = None

    def run(self, wanted: int) -> Tally:
        """Stop *wanted* commands, then let the last run come to its end."""
        by_time = True
        while self.tally.stopped < wanted:
            self._try(self._delay() if by_time else self._growth())
            by_time = not by_time
        while (self.folder / RUN_FILE).exists() and not self.tally.damaged:
            self._try(None)
        return self.tally

    def _delay(self) -> Moment:
        delay_s = self.rng.uniform(0, self.whole.life_s)
        return Moment(delay_s, 0)

    def _growth(self) -> Moment:
        now_bytes = size_of(self.folder)
        wanted_bytes = self.rng.uniform(now_bytes, max(now_bytes, self.whole.file_bytes))
        return Moment(0, wanted_bytes)

    def _try(self, moment: Moment | None) -> None:
        before = load(self.folder)
        command = Command.start(COMMAND, self.folder)
        stopped_s = None if moment is None else self._stop(command, moment)
        at_stop = load(self.folder) if stopped_s is None else self._at_stop
        ended = command.end()
        if stopped_s is not None:
            self.tally.stopped += 1
            self.tally.stop_s.append(stopped_s)
            self.tally.by_records[len(at_stop.started) if at_stop else 0] += 1
        if _is_pythons_own(ended, moment):
            self.tally.before_python += 1
            return
        self._look(before, at_stop, ended, stopped_s)

    def _stop(self, command: Command, moment: Moment) -> float | None:
        """Send the signal at *moment*; how long the command then took, None if it was over."""
        if not self._came(command, moment):
            return None
        self._at_stop = load(self.folder)
        sent_s = time.monotonic()
        os.killpg(command.process.pid, self.number)
        try:
            command.process.wait(30)
        except subprocess.TimeoutExpired:
            command.process.kill()
        return time.monotonic() - sent_s

    def _came(self, command: Command, moment: Moment) -> bool:
        """Wait for *moment*; whether the command is still alive at it."""
        try:
            command.process.wait(moment.delay_s)
        except subprocess.TimeoutExpired:
            while size_of(self.folder) < moment.file_bytes:
                if command.process.poll() is not None:
                    return False
                time.sleep(LOOK_S)
            return True
        return False

    def _look(
        self, before: Run | None, at_stop: Run | None, ended: Ended, stopped_s: float | None
    ) -> None:
        tally = self.tally
        try:
            after = load(self.folder)
        except RunFileError as error:
            tally.damaged += 1
            tally.notes.append(str(error))
            return
        tally.lost += lost(before, at_stop) + lost(at_stop, after)
        tally.orphans += ended.orphans
        tally.tracebacks += ended.tracebacks
        if ended.tracebacks:
            tally.notes.append(ended.stderr)
        self._judge_code(ended, stopped_s)
        if after is not None and after.is_finished:
            self._compare(after)
            (self.folder / RUN_FILE).unlink()

    def _judge_code(self, ended: Ended, stopped_s: float | None) -> None:
        good = {0}
        if stopped_s is not None and self.number == signal.SIGKILL:
            good = {0, -signal.SIGKILL}  # it may have ended as the signal was on its way
        elif stopped_s is not None:
            good = {0, *INTERRUPTED}
            self.tally.late += stopped_s > STOP_S
        if ended.exit_code not in good:
            self.tally.wrong_codes += 1
            self.tally.notes.append(f"exit code {ended.exit_code}: {ended.stderr}")

    def _compare(self, run: Run) -> None:
        self.tally.finished += 1
        self.tally.repeated += repeated(run)
        if outcomes(run) != self.whole.outcomes:
            self.tally.unlike += 1
            self.tally.notes.append(f"{outcomes(run)} instead of {self.whole.outcomes}")


def size_of(folder: Path) -> int:
    """Bytes of the folder's run file; 0 where there is none."""
    path = folder / RUN_FILE
    return path.stat().st_size if path.exists() else 0


def _is_pythons_own(ended: Ended, moment: Moment | None) -> bool:
    """Whether the interrupt met Python before it had come to a line of ours."""
    early = moment is not None and moment.delay_s < PYTHON_START_S
    return early and ended.tracebacks > 0 and "rnnprof" not in ended.stderr


@cache
def unnoisy() -> Unnoisy:
    """What the command does when nobody stops it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began_s = time.monotonic()
        ended = Command.start(COMMAND, folder).end()
        life_s = time.monotonic() - began_s
        run = load(folder)
        assert run is not None, ended.stderr
        assert run.is_finished, ended.stderr
        return Unnoisy(life_s, size_of(folder), outcomes(run))


def stop_often(number: signal.Signals, wanted: int, at_once: int = 2, seed: int = 0) -> Tally:
    """Stop the command *wanted* times with signal *number*, *at_once* trials at a time."""
    # a shell that starts a command in the background has it ignore Ctrl-C, and all its children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    whole = unnoisy()
    total = Tally()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(at_once) as pool:
        stoppers = []
        for thread in range(at_once):
            folder = Path(name) / str(thread)
            folder.mkdir()
            rng = random.Random(f"{seed} {number} {thread}")
            stoppers.append(Stopper(number, whole, rng, folder))
        shares = [len(range(wanted)[thread::at_once]) for thread in range(at_once)]
        for tally in pool.map(Stopper.run, stoppers, shares):
            total.add(tally)
    return total
