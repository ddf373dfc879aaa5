"""Every fault, injected with real processes: what came of it, what was said, what was kept.

    python -m campaigns.faults [--only NAME] [--kills 200] [--interrupts 200]
                                [--output faults.json]

Each fault meets the real command in a folder of its own.  Of each a line is printed: what was
injected, how the point ended, the exit code, the message, and three counts that must be zero:
points without an answer in the run file, processes left behind, tracebacks.  The campaign ends in
1 when one of these is not zero or a fault ended otherwise than stated here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import leaving
from campaigns.campaign import (
    RUN_FILE,
    Command,
    Ended,
    load,
    lost,
    profile_command,
)
from campaigns.groups import NoGroupError, memory_group, taken_memory, within
from campaigns.stops import stop_often
from rnnprof.device.environment import machine_facts
from rnnprof.points.fold import fold_run
from rnnprof.report.words import as_text
from rnnprof.runfile.points import Point
from rnnprof.runfile.records import Run

MIB: Final = 1 << 20
FAULTY: Final = Point(4, 4)
"""The point that goes wrong; its neighbour at B=2 does not."""

SMALL: Final = ("--batch", "2,4", "--time-steps", "4", "--memory-limit", "256MiB")
PHASES: Final = ("build", "data", "forward", "backward", "optimizer")
FULL_AT_BYTES: Final = 8192

_LIMIT_FILES: Final = (
    "import os, resource, sys\n"
    f"resource.setrlimit(resource.RLIMIT_FSIZE, ({FULL_AT_BYTES}, {FULL_AT_BYTES}))\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)
_AS_ANYBODY: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)
"""Root without the right to write everywhere: from the exec on modes bind it as anybody."""

_BACKWARDS: Final = """
import datetime, runpy, sys, time
class Backwards(datetime.datetime):
    hours = 0
    @classmethod
    def now(cls, tz=None):
        cls.hours += 1
        return super().now(tz) - datetime.timedelta(hours=cls.hours)
datetime.datetime = Backwards
real = time.time
time.time = lambda: real() - 3600 * Backwards.hours
sys.argv = ["rnnprof", *sys.argv[3:]]
runpy.run_module("rnnprof", run_name="__main__")
"""


class CannotInjectError(Exception):
    """This fault cannot be made on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a fault, before it is compared with what was stated."""

    ended: Ended
    run: Run | None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what is injected and what must come of it.

    Attributes:
        outcome: of the point B=4 T=4; None where no point is reached or all are measured.
        says: words of the message.
        inject: runs the command with the fault in an empty folder.
    """

    name: str
    injected: str
    outcome: str | None
    exit_code: int
    says: str
    inject: Callable[[Path], Seen]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    injected: str
    outcome: str
    exit_code: int
    message: str
    lost: int
    orphans: int
    tracebacks: int
    is_as_stated: bool

    def line(self) -> str:
        """For people."""
        return (
            f"{'ok  ' if self.is_good() else 'BAD '}{self.name:24} {self.injected:45} "
            f"{self.outcome:11} exit {self.exit_code:<3} lost {self.lost} orphans {self.orphans} "
            f"tracebacks {self.tracebacks}  {self.message[:110]}"
        )

    def is_good(self) -> bool:
        """Whether it ended as stated and nothing was left or lost."""
        return self.is_as_stated and not (self.lost or self.orphans or self.tracebacks)


def run_in(folder: Path, command: list[str]) -> Seen:
    """The command's end, and how many points of its grid have no answer in the file."""
    ended = Command.start(command, folder).end()
    run = load(folder)
    return Seen(ended, run, unanswered(run))


def unanswered(run: Run | None) -> int:
    """Points that were asked for and have no outcome."""
    return len(set(run.points()) - set(fold_run(run))) if run else 0


def resumed(folder: Path, seen: Seen) -> Seen:
    """Give the command again without the fault: nothing may be lost, all be answered."""
    before = load(folder)
    again = run_in(folder, profile_command(*SMALL))
    missing = 1 if again.ended.exit_code != 0 else 0
    ended = Ended(
        seen.ended.exit_code,
        seen.ended.stdout,
        seen.ended.stderr,
        seen.ended.orphans + again.ended.orphans,
    )
    return Seen(ended, seen.run, lost(before, again.run) + again.lost + missing)


def in_worker(
    fault: str, where: str, outcome: str, exit_code: int, says: str, *arguments: str
) -> Fault:
    """A fault of the user's own code, in one phase."""
    command = profile_command(*SMALL, *arguments, fault=fault, where=where, at_batch=4)
    injected = f"{fault.replace('_', ' ')} in {where}"
    return Fault(
        f"{fault}-{where}",
        injected,
        outcome,
        exit_code,
        says,
        lambda folder: run_in(folder, command),
    )


def in_worker_faults() -> Iterator[Fault]:
    """Each end that a worker can find, in each phase."""
    kinds = [
        ("oom", "oom", 0, "out of memory in {}, requesting 32"),
        ("sigkill", "crashed", 5, "died in {} of SIGKILL"),
        ("sigsegv", "crashed", 5, "died in {} of SIGSEGV"),
        ("leave", "crashed", 5, "exited in {} with code 3"),
        ("error", "failed", 5, "raised in {}: OddError: the user's own words"),
        ("garbage", "measured", 0, ""),
    ]
    for (fault, outcome, code, says), where in itertools.product(kinds, PHASES):
        yield in_worker(fault, where, outcome, code, says.format(where))
    for fault in ("hang", "hang_hard", "hang_with_child"):
        says = "no answer in backward within 3 s"
        yield in_worker(fault, "backward", "timeout", 5, says, "--timeout", "3")
    for fault in leaving.WAYS:
        yield in_worker(fault, "forward", "measured", 0, "")
    for fault, says in {
        "nonsense": "unusable: not JSON: b'what?'",
        "too_much": "a line of more than 16777216 bytes",
        "twice": "it sent a message after its answer",
        "absurd": "train_steps_run: expected int",
        "negative": "fit.peak_process_bytes: expected",
        "beyond": "fit.peak_process_bytes: expected",
    }.items():
        yield in_worker(fault, "forward", "crashed", 5, says)


def below_the_weights(folder: Path) -> Seen:
    """A limit that not even the model fits under."""
    sizes = ("--batch", "4", "--time-steps", "4", "--hidden-size", "512", "--memory-limit", "1MiB")
    return run_in(
        folder, [sys.executable, "-m", "rnnprof", "profile", "--no-report", *sizes, "-o", RUN_FILE]
    )


def file_size_limit(folder: Path) -> Seen:
    """RLIMIT_FSIZE refuses the write that goes beyond it."""
    command = [sys.executable, "-c", _LIMIT_FILES, *profile_command(*SMALL)]
    return resumed(folder, run_in(folder, command))


def full_disk(folder: Path) -> Seen:
    """A file system of two pages; then room is made."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FULL_AT_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise CannotInjectError("no file system can be mounted here")
    try:
        seen = run_in(folder, profile_command(*SMALL))
        subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
        return resumed(folder, seen)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def no_permission(folder: Path) -> Seen:
    """A folder that nobody may write to."""
    folder.chmod(0o500)
    return run_in(folder, [sys.executable, "-c", _AS_ANYBODY, *profile_command(*SMALL)])


def two_parents(folder: Path) -> Seen:
    """A second command on a file that the first is writing; the first must not notice."""
    first = Command.start(profile_command(*SMALL, "--point-seconds", "3"), folder)
    wait_for_records(folder, 3)
    second = Command.start(profile_command(*SMALL, "--point-seconds", "3"), folder).end()
    ended, run = first.end(), load(folder)
    both = Ended(second.exit_code, "", second.stderr, second.orphans + ended.orphans)
    return Seen(both, run, unanswered(run) + (ended.exit_code != 0))


def wait_for_records(folder: Path, count: int) -> None:
    """Until the run file holds *count* lines."""
    until_s = time.monotonic() + 60
    path = folder / RUN_FILE
    while not (path.exists() and path.read_bytes().count(b"\n") >= count):
        if time.monotonic() > until_s:
            raise TimeoutError(f"{path} did not reach {count} records")
        time.sleep(0.02)


def memory_taken(folder: Path) -> Seen:
    """Another process takes what the limit promised, once the first point is under way.

    What fits in what is left fits.
    """
    with memory_group(2048 * MIB) as group:
        slow = {"fault": "slow", "where": "data", "at_batch": 2}
        asked = profile_command(*SMALL[:4], "--memory-limit", "1200MiB", **slow)
        command = Command.start(within(group, asked), folder)
        wait_for_records(folder, 4)
        with taken_memory(group, 1000 * MIB):
            ended = command.end()
    run = load(folder)
    return Seen(ended, run, unanswered(run))


def killed_by_the_host(folder: Path) -> Seen:
    """Shared memory, which RLIMIT_DATA does not count, beyond what the control group may hold."""
    with memory_group(900 * MIB) as group:
        faulty = {"fault": "shared_memory", "where": "forward", "at_batch": 4}
        command = profile_command("--batch", "2,4", "--time-steps", "4", **faulty)
        return run_in(folder, within(group, command))


def clock_set_back(folder: Path) -> Seen:
    """The wall clock loses an hour whenever it is read."""
    python, *rest = profile_command(*SMALL)
    seen = run_in(folder, [python, "-c", _BACKWARDS, *rest])
    assert seen.run is not None, seen.ended.stderr
    stamps = [record.at_utc for record in seen.run.started]
    assert stamps == sorted(stamps, reverse=True), "the clock did not run backwards"
    durations = [each.wall_s for each in seen.run.observations]
    durations += [each.wall_s for each in seen.run.finished]
    return Seen(seen.ended, seen.run, seen.lost + sum(wall_s <= 0 for wall_s in durations))


def all_faults() -> list[Fault]:
    """The table's rows, in order."""
    full = "free some disk space, then give the same command to resume"
    return [
        *in_worker_faults(),
        Fault("limit-below-weights", "--memory-limit 1MiB for 6 MiB of weights", "oom", 5,
              "out of memory in build", below_the_weights),
        Fault("disk-full-rlimit", f"RLIMIT_FSIZE of {FULL_AT_BYTES} bytes, then none", None, 2,
              full, file_size_limit),
        Fault("disk-full-tmpfs", f"tmpfs of {FULL_AT_BYTES} bytes, then 8 MiB", None, 2,
              full, full_disk),
        Fault("no-permission", "a folder of mode 500", None, 2,
              "Permission denied", no_permission),
        Fault("two-parents", "a second command on the same run file", "measured", 2,
              "is being written by another rnnprof", two_parents),
        Fault("memory-taken", "1000 MiB of a group's 2 GiB taken midway", "measured", 0,
              "", memory_taken),
        Fault("cgroup-oom-kill", "1 GiB of shared memory in a group of 900 MiB", "oom", 0,
              "the host's out-of-memory killer ended the worker in forward", killed_by_the_host),
        Fault("clock-set-back", "the wall clock an hour back at each reading", "measured", 0,
              "", clock_set_back),
    ]  # fmt: skip


def row_of(fault: Fault, seen: Seen) -> Row:
    """What was seen beside what was stated."""
    found = fold_run(seen.run).get(FAULTY) if seen.run else None
    outcome = str(found.outcome) if found else None
    message = as_text(found.reason if found and fault.exit_code != 2 else None) or (
        seen.ended.message if seen.ended.exit_code else "every point measured"
    )
    as_stated = (
        seen.ended.exit_code == fault.exit_code
        and fault.says in message
        and fault.outcome in (None, outcome)
    )
    return Row(
        fault.name, fault.injected, outcome or "-", seen.ended.exit_code, message,
        seen.lost, seen.ended.orphans, seen.ended.tracebacks, as_stated,
    )  # fmt: skip


def try_fault(fault: Fault) -> Row | str:
    """Inject *fault* in a folder of its own; the reason where it cannot be."""
    with tempfile.TemporaryDirectory() as name:
        try:
            return row_of(fault, fault.inject(Path(name)))
        except (NoGroupError, CannotInjectError) as error:
            return str(error)


def stop_row(number: signal.Signals, count: int) -> tuple[dict[str, Any], bool]:
    """Stop the parent *count* times; the counts, and whether all that must be zero is."""
    tally = stop_often(number, count)
    return tally.row(), not any(tally.faults().values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="faults whose name contains this; kills, interrupts")
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs at random moments")
    parser.add_argument("--interrupts", type=int, default=200, help="Ctrl-Cs at random moments")
    parser.add_argument("--output", type=Path, help="the table as JSON")
    arguments = parser.parse_args()
    wanted = arguments.only or ""
    rows: list[dict[str, Any]] = []
    all_good = True
    for fault in all_faults():
        if wanted not in fault.name:
            continue
        row = try_fault(fault)
        if isinstance(row, str):
            print(f"skip {fault.name:24} {row}", flush=True)
            rows.append({"name": fault.name, "skipped": row})
        else:
            print(row.line(), flush=True)
            rows.append(asdict(row))
            all_good &= row.is_good()
    stops = {"kills": (signal.SIGKILL, arguments.kills),
             "interrupts": (signal.SIGINT, arguments.interrupts)}  # fmt: skip
    for name, (number, count) in stops.items():
        if wanted in name and count:
            counts, is_good = stop_row(number, count)
            print(f"{'ok  ' if is_good else 'BAD '}{name:24} {json.dumps(counts)}", flush=True)
            rows.append({"name": name, **counts})
            all_good &= is_good
    if arguments.output:
        document = {"machine": machine_facts(), "faults": rows}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
