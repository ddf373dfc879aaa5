"""Is the largest batch of a script that of plain Python, and its step time the script's own?

    python -m benchmarks.performance.script_truth [--only word_lm] [--output truth.json] [--quick]

The scripts of tests/scripts, unchanged.  Run nothing beside it: it also compares times.

  answer      ``rnnprof max-batch --confirm-steps 30 -- python train.py ...``, in its own process.
  at B, B+1   benchmarks/performance/plain_script.py, which does not use rnnprof: plain Python under
              the same limit and malloc settings, 30 training steps, each batch in its own process,
              with one free arena for Python's small objects, as rnnprof's baseline has.
  arena B     the largest batch of that process: the answer, or else by bisection.
  plain B     the largest batch of the same process as it is, without that arena, by bisection.
  times       ``rnnprof profile`` at one batch, and the script's own loop without a limit and with
              glibc's defaults: processes of each in turn, their medians, and the ratio of the two
              with its 95% interval between processes.

A row is equal if plain Python fits the answer and runs out of memory at one sequence more.  Two
plain processes of one script differ by some hundred KiB as well, by the holes that what they
imported before has left in their heaps: a few sequences of a small model.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.performance.finders import missing_batch, truth_of
from benchmarks.performance.plain_script import ENDED, FAILED, FITS, OUT_OF_MEMORY
from benchmarks.performance.results import surroundings
from benchmarks.performance.rows import aligned, chosen
from benchmarks.performance.script_cases import CASES, QUICK, SCRIPTS, Case
from rnnprof.device import malloc
from rnnprof.runfile.codec import encode
from rnnprof.stats.estimate import Estimate
from rnnprof.units import MIB, format_seconds

RUNNER: Final = Path(__file__).with_name("plain_script.py")
TRAINING_STEPS: Final = 30
TIMED_STEPS: Final = 60
WARM_UP_STEPS: Final = 10
ROUNDS: Final = 5
DEADLINE_S: Final = 600.0
STEP_BELOW: Final = 4
"""Sequences below (or above) the answer where a bisection begins; it goes on by powers of 4."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A batch in a plain process.

    Attributes:
        exit_code: one of plain_script's.
        peak_bytes: above the baseline; None where it is not above the warm-up's.
        held_bytes: before the first call of a module.
        step_s: seconds of each training step but the first.
    """

    batch: int
    exit_code: int
    train_steps_run: int
    error: str
    peak_bytes: int | None
    held_bytes: int | None
    start_s: float | None
    step_s: tuple[float, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether all training steps passed."""
        return self.exit_code == FITS

    @property
    def in_words(self) -> str:
        """A cell of the table."""
        at = f"step {self.train_steps_run + 1}"
        return {
            FITS: "fits",
            OUT_OF_MEMORY: f"OOM, {at}",
            ENDED: f"ended, {at}",
            FAILED: f"error, {at}",
        }.get(self.exit_code, f"exit {self.exit_code}")


@dataclass(frozen=True, slots=True)
class Times:
    """Medians of processes: what rnnprof reports of a step, and the script's own loop."""

    batch: int
    rnnprof_s: tuple[float, ...]
    plain_s: tuple[float, ...]

    @property
    def ratio(self) -> Estimate:
        """rnnprof's over the script's own."""
        return Estimate.of_ratio(self.plain_s, self.rnnprof_s)


@dataclass(frozen=True, slots=True)
class Row:
    """An answer, and what plain Python says of it.

    Attributes:
        certificate: of max-batch; None where there is none, and *note* says why.
        wall_s: of the whole command.
        arena_batch: the largest of the plain process with the free arena.
        plain_batch: the largest without it.
    """

    case: Case
    certificate: dict[str, Any] | None = None
    wall_s: float | None = None
    at: Ran | None = None
    above: Ran | None = None
    arena_batch: int | None = None
    plain_batch: int | None = None
    times: Times | None = None
    note: str = ""

    @property
    def batch(self) -> int | None:
        """The answer."""
        return None if self.certificate is None else self.certificate["batch"]

    @property
    def is_equal(self) -> bool:
        """Whether plain Python fits exactly the answer."""
        if self.at is None or self.above is None:
            return False
        return self.at.fits and self.above.exit_code == OUT_OF_MEMORY


# --- rnnprof -------------------------------------------------------------------------------------


def rnnprof(case: Case, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A command on the script, in the scripts' folder."""
    with tempfile.TemporaryDirectory() as folder:
        return run_group(
            [
                *(sys.executable, "-m", "rnnprof", command, "--json", "--quiet"),
                *("-T", str(case.time_steps), "--memory-limit", case.limit, *options),
                *("-o", str(Path(folder) / "run.jsonl"), *case.typed),
            ],
            SCRIPTS,
            {},
        )


def ask(case: Case) -> Row:
    """The product's answer."""
    began_s = time.monotonic()
    try:
        ended = rnnprof(case, "max-batch", "--confirm-steps", str(TRAINING_STEPS))
    except subprocess.TimeoutExpired:
        return Row(case, note=f"no answer within {DEADLINE_S:.0f} s")
    took_s = time.monotonic() - began_s
    try:
        (edge,) = json.loads(ended.stdout)["frontier"]
    except ValueError:
        return Row(case, wall_s=took_s, note=last_line(ended))
    if edge["status"] != "certified":
        return Row(case, wall_s=took_s, note=f"{edge['status']}: {edge['reason']}")
    return Row(case, edge, took_s)


def timed_by_rnnprof(case: Case) -> float:
    """The step time at one point.

    Raises:
        SystemExit: there is none.
    """
    ended = rnnprof(case, "profile", "-B", str(case.timed_batch), "--no-certify")
    try:
        (point,) = json.loads(ended.stdout)["points"]
        return float(point["step_time_s"])
    except (ValueError, TypeError):
        raise SystemExit(f"{case.name}: no step time: {last_line(ended)}") from None


# --- plain Python --------------------------------------------------------------------------------


def train_plainly(case: Case, batch: int, *, arena: bool, limited: bool = True) -> Ran:
    """A batch in its own plain process; without a limit also without malloc settings.

    Raises:
        SystemExit: the process did not report.
    """
    wanted = {
        "target": case.target,
        "is_module": case.is_module,
        "argv": case.words_at(batch),
        "limit_bytes": case.limit_bytes if limited else None,
        "events_per_step": case.events_per_step,
        "counts": case.counts,
        "training_steps": TRAINING_STEPS if limited else TIMED_STEPS,
        "arena": arena,
    }
    heap = {name: str(size) for name, size in malloc.VARIABLES.items()} if limited else {}
    with tempfile.TemporaryDirectory() as folder:
        case.copy_to(Path(folder), batch)
        # -P: the runner's own folder is not on the path
        command = [sys.executable, "-P", str(RUNNER), json.dumps(wanted)]
        ended = run_group(command, Path(folder), heap)
    try:
        report = json.loads(ended.stdout)
    except ValueError:
        raise SystemExit(f"{case.name} B={batch}: plain Python: {last_line(ended)}") from None
    report["step_s"] = tuple(report["step_s"])
    return Ran(batch=batch, exit_code=ended.returncode, **report)


def run_group(
    command: Sequence[str], folder: Path, more: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a process, and end what it leaves behind: a script's DataLoader workers."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("RNNPROF_")}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, **more},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=said,
            start_new_session=True,
        )
        try:
            code = process.wait(DEADLINE_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0), said.seek(0)
        return subprocess.CompletedProcess(command, code, output.read(), said.read())


def last_line(ended: subprocess.CompletedProcess[str]) -> str:
    """What it said last."""
    lines = ended.stderr.strip().splitlines() or ["it said nothing"]
    return f"exit code {ended.returncode}: {lines[-1]}"


def largest_plainly(case: Case, fits: dict[int, bool], *, arena: bool) -> int | None:
    """The largest batch of the plain process, by bisection from the batches that are known.

    Args:
        fits: what was run already, by batch; more are added.
    """

    def run(batch: int) -> bool:
        fits[batch] = train_plainly(case, batch, arena=arena).fits
        return fits[batch]

    lowest = min(fits)
    for power in range(1, 16):
        if fits[min(fits)]:
            break
        run(max(1, lowest - STEP_BELOW**power))
        if fits.get(1) is False:
            return None
    for power in range(1, 16):
        if not fits[max(fits)]:
            break
        run(lowest + STEP_BELOW**power)
    while (batch := missing_batch(fits)) is not None:
        run(batch)
    return truth_of(fits).batch


def time_both(case: Case) -> Times:
    """Processes of each in turn."""
    measured, own = [], []
    for _ in range(ROUNDS):
        measured.append(timed_by_rnnprof(case))
        ran = train_plainly(case, case.timed_batch, arena=False, limited=False)
        if not ran.fits:
            raise SystemExit(f"{case.name}: its own loop: {ran.in_words}: {ran.error}")
        own.append(statistics.median(ran.step_s[WARM_UP_STEPS:]))
    return Times(case.timed_batch, tuple(measured), tuple(own))


def _with_truth(row: Row, batch: int) -> Row:
    at, above = (train_plainly(row.case, each, arena=True) for each in (batch, batch + 1))
    known = {batch: at.fits, batch + 1: above.fits}
    bare = {batch: train_plainly(row.case, batch, arena=False).fits}
    return replace(
        row,
        at=at,
        above=above,
        arena_batch=largest_plainly(row.case, known, arena=True),
        plain_batch=largest_plainly(row.case, bare, arena=False),
    )


def compare(case: Case, *, is_timed: bool) -> Row:
    """The answer, compared with plain Python."""
    if not case.can_run:
        return Row(case, note=f"{case.needs} is not installed")
    row = ask(case)
    if row.batch is not None:
        row = _with_truth(row, row.batch)
    return replace(row, times=time_both(case)) if is_timed else row


# --- the table -----------------------------------------------------------------------------------

HEADER: Final = (
    "script", "limit", "T", "B", "at B", "at B+1", "equal", "arena B", "plain B", "peak",
    "plain peak", "held", "probes", "seconds", "timed B", "step", "own step", "ratio",
)  # fmt: skip
LEFT: Final = frozenset({"script", "at B", "at B+1"})


def table(rows: Iterable[Row]) -> str:
    """A line a row; sizes in MiB."""
    return aligned([HEADER, *map(_cells, rows)], LEFT)


def _cells(row: Row) -> tuple[str, ...]:
    case, edge = row.case, row.certificate
    peak = None if edge is None else edge["fits"]["peak_bytes"]
    return (
        *(case.name, case.limit, str(case.time_steps), _or_dash(row.batch)),
        *("-" if ran is None else ran.in_words for ran in (row.at, row.above)),
        "yes" if row.is_equal else "NO",
        *(_or_dash(row.arena_batch), _or_dash(row.plain_batch)),
        *(_mib(peak), _mib(None if row.at is None else row.at.peak_bytes)),
        _mib(None if edge is None else edge.get("held_bytes")),
        _or_dash(None if edge is None else edge["probes"]),
        "-" if row.wall_s is None else f"{row.wall_s:.0f}",
        *_time_cells(row.times),
    )


def _time_cells(times: Times | None) -> tuple[str, ...]:
    if times is None:
        return ("-",) * 4
    low, high = times.ratio.interval()
    return (
        str(times.batch),
        format_seconds(statistics.median(times.rnnprof_s)),
        format_seconds(statistics.median(times.plain_s)),
        f"{times.ratio.ratio:.3f} ({low:.3f}..{high:.3f})",
    )


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def _mib(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / MIB:.1f}"


def notes(rows: Iterable[Row]) -> Iterator[str]:
    """Why there is no answer, and errors that are no out-of-memory."""
    for row in rows:
        odd = [
            each.error
            for each in (row.at, row.above)
            if each and each.exit_code not in (FITS, OUT_OF_MEMORY)
        ]
        for text in filter(None, [row.note, *odd]):
            yield f"{row.case.name}: {text}"


def report(rows: Sequence[Row]) -> str:
    """The table, what it has no column for, and the count."""
    answered = [row for row in rows if row.batch is not None]
    equal = sum(row.is_equal for row in answered)
    found = f"equal in {equal} of {len(answered)} answers"
    gaps = [
        abs(row.batch / row.arena_batch - 1) for row in answered if row.batch and row.arena_batch
    ]
    if gaps:
        found += f"; apart by {statistics.median(gaps):.2%} (median), {max(gaps):.2%} (most)"
    return "\n".join([table(rows), *notes(rows), found])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="scripts with it in their name"
    )
    parser.add_argument("--output", type=Path, help="everything as JSON")
    parser.add_argument("--quick", action="store_true", help="two scripts, no times")
    parser.add_argument("--no-times", action="store_true", help="largest batches alone")
    arguments = parser.parse_args(argv)
    is_timed = not (arguments.quick or arguments.no_times)
    rows = []
    for case in chosen(CASES, QUICK, arguments.only, quick=arguments.quick):
        rows.append(compare(case, is_timed=is_timed))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        if arguments.output:
            figures = {"about": __doc__, **surroundings(), "rows": encode(tuple(rows))}
            arguments.output.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    print(report(rows))


if __name__ == "__main__":
    main()
