"""Signals to the parent, the template and the worker in each state, and Ctrl-C from the start.

    python -m campaigns.signals [--count 150] [--interrupts 200] [--at-once 1] [--seed 0]

The parent gets SIGKILL, SIGINT and SIGTERM in turn, ends, and is given the same command again.  A
template that is killed costs one attempt, which is repeated: the run ends as a quiet one.  A worker
that is killed is recorded as crashed in SIGKILL's name at that one point, or, where it was to
describe the machine, is replaced; everything else is as in a quiet run.

States are seen from outside: a worker is a child of the template, and the run file grows.

    idle        no worker is there
    forking     a worker has just appeared
    measuring   up to 60 ms later
    writing     the run file has just grown
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from campaigns.campaign import RUN_FILE, Command, Ended, load, lost, outcomes, repeated
from campaigns.stops import COMMAND, STOP_S, Unnoisy, size_of, unnoisy
from rnnprof.errors import RunFileError
from rnnprof.runfile.records import Run

TARGETS: Final = ("parent", "template", "worker")
STATES: Final = ("idle", "forking", "measuring", "writing")
STOPS: Final = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
EXIT_CODES: Final = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGINT: {130, -signal.SIGINT},
    signal.SIGTERM: {143, -signal.SIGTERM},
}
"""Before Python has taken a signal over, the system's own end: the same to a shell."""

LOOK_S: Final = 0.001
MEASURING_S: Final = 0.06
HANG_S: Final = 300.0
SIGNALS_A_RUN: Final = 4
"""To a template or a worker: each costs one attempt only, and a run has more than twenty."""

EARLY_S: Final = 0.04
COUNTS: Final = (
    "signals", "lost", "repeated", "damaged", "orphans", "wrong_codes", "tracebacks", "late",
    "unlike", "hangs",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What came of the signals to one target in one state; all but the first must be zero."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    before_python: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, count: int, note: object = "") -> None:
        """Count, and keep a note of what must not be."""
        self.counts[name] += count
        if count and name != "signals":
            self.notes.append(f"{name}: {note}")

    def is_good(self) -> bool:
        """Whether all is zero that must be."""
        return not any(count for name, count in self.counts.items() if name != "signals")


@dataclass(slots=True)
class Table:
    """The tallies, by target and state."""

    rows: dict[tuple[str, str], Tally] = field(default_factory=dict)

    def of(self, target: str, state: str) -> Tally:
        """The tally of one row."""
        return self.rows.setdefault((target, state), Tally())

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{'target':10}{'state':11}" + "".join(f"{name:>12}" for name in COUNTS)
        for (target, state), tally in sorted(self.rows.items()):
            figures = "".join(f"{count:12}" for count in tally.counts.values())
            early = f"  before Python: {tally.before_python}" if tally.before_python else ""
            yield f"{target:10}{state:11}{figures}{early}"
            yield from (f"    {note}" for note in tally.notes)

    def is_good(self) -> bool:
        """Whether all is zero that must be."""
        return all(tally.is_good() for tally in self.rows.values())


@dataclass(frozen=True, slots=True)
class View:
    """A command as it is seen from outside."""

    command: Command
    folder: Path

    def alive(self) -> bool:
        """Whether the parent has not ended."""
        return self.command.process.poll() is None

    def template(self) -> int | None:
        """The parent's child that forks workers."""
        for pid in children(self.command.process.pid):
            if b"rnnprof.worker" in _read(pid, "cmdline"):
                return pid
        return None

    def worker(self) -> int | None:
        """A worker that is alive."""
        template = self.template()
        found = children(template) if template else []
        return next((pid for pid in found if b") Z " not in _read(pid, "stat")), None)

    def wait(self, is_so: Callable[[], bool]) -> bool:
        """Wait until it *is_so*; False if the command has ended."""
        until_s = time.monotonic() + HANG_S
        while self.alive() and time.monotonic() < until_s:
            if is_so():
                return True
            time.sleep(LOOK_S)
        return False

    def reach(self, state: str, size_bytes: float, rng: random.Random) -> bool:
        """Wait until the file has a size, and then for the state; False if it does not come."""
        if not self.wait(
            lambda: size_of(self.folder) >= size_bytes and self.template() is not None
        ):
            return False
        if state == "idle":
            return self.wait(lambda: self.worker() is None)
        if state == "writing":
            before = size_of(self.folder)
            return self.wait(lambda: size_of(self.folder) != before)
        worker = self.worker()
        if not self.wait(lambda: self.worker() not in (None, worker)):
            return False
        time.sleep(rng.uniform(0, MEASURING_S) if state == "measuring" else 0)
        return self.alive()

    def pid_of(self, target: str) -> int | None:
        """The process to signal."""
        if target == "parent":
            return self.command.process.pid
        return self.template() if target == "template" else self.worker()


def children(pid: int) -> list[int]:
    """The children that a process's first thread started."""
    return [int(word) for word in _read(pid, f"task/{pid}/children").split()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


@dataclass(slots=True)
class Sender:
    """One thread's trials, with a folder of its own."""

    whole: Unnoisy
    rng: random.Random
    folder: Path
    table: Table = field(default_factory=Table)

    def send_all(self, target: str, count: int) -> Table:
        """Send *count* signals to *target*, the states in turn; then let the run end."""
        sent = tries = 0
        while sent < count and tries < 6 * count + 12:
            tries += 1
            if target == "parent":
                sent += self._stop(STATES[sent % 4], STOPS[sent // 4 % 3])
            else:
                sent += self._disturb(target, sent, min(SIGNALS_A_RUN, count - sent))
        if (self.folder / RUN_FILE).exists():
            self._finish(self.table.of(target, "resumed"), None)
        return self.table

    def _size(self) -> float:
        now_bytes = size_of(self.folder)
        return self.rng.uniform(now_bytes, max(now_bytes, 0.9 * self.whole.file_bytes))

    def _stop(self, state: str, number: signal.Signals) -> int:
        """Stop the parent once; the number of signals sent."""
        tally, before = self.table.of("parent", state), load(self.folder)
        view = View(Command.start(COMMAND, self.folder), self.folder)
        if not view.reach(state, self._size(), self.rng):
            self._finish(tally, before, view.command.end(HANG_S))
            return 0
        at_stop, sent_s = load(self.folder), time.monotonic()
        view.command.process.send_signal(number)
        ended = view.command.end(HANG_S, ended_by=lambda: tally.add(
            "late", number == signal.SIGINT and time.monotonic() - sent_s > STOP_S,
            f"{time.monotonic() - sent_s:.1f} s"))  # fmt: skip
        tally.add("signals", 1)
        self._look(tally, before, at_stop, ended, {0, *EXIT_CODES[number]})
        return 1

    def _disturb(self, target: str, sent: int, wanted: int) -> int:
        """Signal the template or the worker some times in one run; how often."""
        view, done, used = View(Command.start(COMMAND, self.folder), self.folder), 0, []
        while done < wanted:
            state = STATES[(sent + done) % 4]
            if target == "worker" and state == "idle":
                state = "measuring"
            if not view.reach(state, self._soon(), self.rng):
                break
            if self._kill(view.pid_of(target)):
                used.append(self.table.of(target, state))
                used[-1].add("signals", 1)
                done += 1
            records = size_of(self.folder)  # the next signal meets another attempt
            if not view.wait(lambda size=records: size_of(self.folder) > size):  # type: ignore[misc]
                break
        ended = view.command.end(HANG_S)
        if used:
            self._judge(target, used[-1], ended, done)
        else:
            self._finish(self.table.of(target, "resumed"), None, ended)
        return done

    def _soon(self) -> float:
        return size_of(self.folder) + self.rng.uniform(0, self.whole.file_bytes / 6)

    def _kill(self, pid: int | None) -> bool:
        try:
            os.kill(pid or 0, signal.SIGKILL) if pid else None
        except ProcessLookupError:
            return False
        return pid is not None

    def _judge(self, target: str, tally: Tally, ended: Ended, kills: int) -> None:
        if target == "template":
            self._finish(tally, None, ended)
            return
        may_crash = 0 if ended.exit_code == 0 else kills
        self._look(tally, None, None, ended, {0, 5}, may_crash)

    def _finish(
        self, tally: Tally, before: Run | None, ended: Ended | None = None, may_crash: int = 0
    ) -> None:
        """Let a run come to its end, and look at it."""
        ended = ended or Command.start(COMMAND, self.folder).end(HANG_S)
        self._look(tally, before, before, ended, {0, 5} if may_crash else {0}, may_crash)

    def _look(
        self,
        tally: Tally,
        before: Run | None,
        at_stop: Run | None,
        ended: Ended,
        good: set[int],
        may_crash: int = 0,
    ) -> None:
        tally.add("hangs", "still running after" in ended.stderr, ended.stderr)
        tally.add("orphans", ended.orphans, "left behind")
        tally.add("tracebacks", ended.tracebacks, ended.stderr)
        tally.add("wrong_codes", ended.exit_code not in good, f"{ended.exit_code} {ended.stderr}")
        try:
            after = load(self.folder)
        except RunFileError as error:
            tally.add("damaged", 1, error)
            (self.folder / RUN_FILE).unlink()
            return
        tally.add("lost", lost(before, at_stop) + lost(at_stop, after), ended.message)
        if after is not None and after.is_finished:
            self._compare(tally, after, may_crash)
            (self.folder / RUN_FILE).unlink()

    def _compare(self, tally: Tally, run: Run, may_crash: int) -> None:
        tally.add("repeated", repeated(run), "a measured pass was measured again")
        found = outcomes(run)
        points = found.keys() | self.whole.outcomes.keys()
        unlike = {at for at in points if found.get(at) != self.whole.outcomes.get(at)}
        crashed = {at for at in unlike if found.get(at) == "crashed"}
        is_unlike = unlike != crashed or len(crashed) > may_crash
        tally.add("unlike", is_unlike, f"{found} instead of {self.whole.outcomes}")


def interrupt_early(count: int, life_s: float, rng: random.Random, folder: Path) -> Table:
    """Ctrl-C from the first millisecond on: every other one within 40 ms."""
    table = Table()
    for number in range(count):
        is_early = number % 2 == 0
        tally = table.of("Ctrl-C", "0..40 ms" if is_early else "0..life")
        command = Command.start(COMMAND, folder)
        time.sleep(rng.uniform(0, EARLY_S if is_early else life_s))
        was_alive = command.process.poll() is None
        command.process.send_signal(signal.SIGINT)
        ended = command.end(HANG_S)
        tally.add("signals", was_alive)
        if ended.tracebacks and "/rnnprof/" not in ended.stderr:
            tally.before_python += 1  # Python's own start, before the first line of rnnprof
        else:
            tally.add("tracebacks", ended.tracebacks, ended.stderr)
            good = {0, *EXIT_CODES[signal.SIGINT]} if not is_early else EXIT_CODES[signal.SIGINT]
            tally.add("wrong_codes", ended.exit_code not in good, ended.exit_code)
        tally.add("orphans", ended.orphans, "left behind")
        run = load(folder)
        if run is not None and run.is_finished:
            (folder / RUN_FILE).unlink()
    return table


def send_signals(target: str, count: int, whole: Unnoisy, at_once: int = 1, seed: int = 0) -> Table:
    """Send *count* signals to *target*, *at_once* commands at a time."""
    total = Table()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(at_once) as pool:
        jobs = []
        for thread in range(at_once):
            folder = Path(name) / str(thread)
            folder.mkdir()
            sender = Sender(whole, random.Random(f"{seed} {target} {thread}"), folder)
            share = len(range(count)[thread::at_once])
            jobs.append(pool.submit(sender.send_all, target, share))
        for job in jobs:
            for (to, state), tally in job.result().rows.items():
                row = total.of(to, state)
                for each, number in tally.counts.items():
                    row.counts[each] += number
                row.notes += tally.notes
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=150, help="signals to each target")
    parser.add_argument("--interrupts", type=int, default=200, help="Ctrl-Cs from the start on")
    parser.add_argument("--only", choices=TARGETS, help="one target")
    parser.add_argument("--at-once", type=int, default=1, help="commands at a time")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    # a shell that starts a command in the background has it ignore Ctrl-C, and all its children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    whole, is_good = unnoisy(), True
    for target in [asked.only] if asked.only else TARGETS:
        table = send_signals(target, asked.count, whole, asked.at_once, asked.seed)
        print("\n".join(table.lines()), flush=True)
        is_good &= table.is_good()
    if asked.interrupts:
        with tempfile.TemporaryDirectory() as name:
            rng = random.Random(f"{asked.seed} early")
            table = interrupt_early(asked.interrupts, whole.life_s, rng, Path(name))
        print("\n".join(table.lines()), flush=True)
        is_good &= table.is_good()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
