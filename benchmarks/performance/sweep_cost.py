"""What a sweep costs besides the steps that it has to time, with and without every breakdown.

    python -m benchmarks.performance.sweep_cost [--grid default --grid 10x10]
        [--output sweep_cost.json]
    python -m benchmarks.performance.sweep_cost RUN.jsonl [RUN.jsonl ...]

The minimum is the sum of the timed steps that the stop rule requires: the median's interval within
+-3%, at most ``--point-seconds`` for each point.  It is compared with a plain script of the kind
that people write: all points in one process, the same steps and the same rule around
``torch.utils.benchmark.Timer``.  The script measures no memory, isolates nothing and stops at the
first error.  The Timer runs two steps of its own before each timed step, which is most of its cost.

Among the parts, ``start, build, exit`` is the wall time of a pass without its timed steps;
``journal`` is the time to write all records of the run again, each with its fsync; ``template and
parent`` is the rest of the request's wall time, mainly importing torch.

Each grid is run with ``--every-breakdown`` and as by default, by turns.  The last part is how well
the passes that were left out are predicted (spared.py), by the runs with every breakdown, also of
the other cells on the default grid.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.performance.spared import HEAD, Row, line_of, row_of
from rnnprof.axes import parse_axis
from rnnprof.runfile.journal import load, open_journal
from rnnprof.runfile.observations import Calibration, Fit, Memory, Timing
from rnnprof.runfile.records import Record, Run
from rnnprof.units import format_duration, format_ratio

GRIDS: Final = {
    "smallest": ("4", "4,8"),
    "default": ("4:128:x2", "16:128:x2"),
    "10x10": ("8:80:+8", "8:80:+8"),
}
"""Batch and steps; ``default`` is that of ``rnnprof profile`` on a CPU."""

OTHER_CELLS: Final = ("gru", "rnn-tanh")

LIMIT: Final = "1GiB"
PRECISION: Final = 0.03
POINT_SECONDS: Final = {"smallest": 0.2}
"""By the grid; 2 of the others."""
AIM: Final = 1.25


def shares(run: Run) -> dict[str, float]:
    """Seconds of each part of a run that came to its end."""
    timings = [o for o in run.observations if isinstance(o, Timing)]
    parts = {
        "timing: timed steps": sum(sum(o.samples_s) for o in timings),
        "timing: warm-up": sum(sum(o.warmup_samples_s) for o in timings),
        "timing: phases": sum(sum(o.phase_step_samples_s) for o in timings),
    }
    parts["timing: start, build, exit"] = sum(o.wall_s for o in timings) - sum(parts.values())
    for name, kind in (("fit", Fit), ("memory", Memory), ("rates", Calibration)):
        passes = [o for o in run.observations if isinstance(o, kind)]
        parts[f"{name} passes"] = sum(o.wall_s for o in passes)
    parts["journal"] = time_to_write(run)
    whole_s = sum(finished.wall_s for finished in run.finished)
    parts["template and parent"] = whole_s - sum(parts.values())
    return {**parts, "whole": whole_s}


def time_to_write(run: Run) -> float:
    """Write the run's records to a new file, as the sweep did."""
    records: list[Record] = [
        run.header,
        *run.requests,
        *run.hosts,
        *run.started,
        *run.observations,
        *run.finished,
    ]
    with (
        TemporaryDirectory(dir=".") as folder,
        open_journal(Path(folder) / "again.jsonl") as journal,
    ):
        began_s = time.perf_counter()
        for record in records:
            journal.append(record)
        return time.perf_counter() - began_s


def point_seconds(grid: str) -> float:
    """Most time for a point's timed steps."""
    return POINT_SECONDS.get(grid, 2.0)


def sweep(grid: str, cell: str = "lstm", *, every: bool = True) -> tuple[Run, float]:
    """``rnnprof profile`` of a grid, and its wall seconds from the shell's point of view.

    Args:
        every: with a breakdown of every point.
    """
    batch, time_steps = GRIDS[grid]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "rnnprof", "profile", "--cell", cell),
            *("--batch", batch, "--time-steps", time_steps),
            *("--memory-limit", LIMIT, "--point-seconds", str(point_seconds(grid))),
            *("--no-certify", "--no-report", "-q", "-o", f"{folder}/run.jsonl"),
            *(("--every-breakdown",) if every else ()),
        ]
        began_s = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return load(Path(folder) / "run.jsonl"), time.perf_counter() - began_s


def plain_script(grid: str) -> dict[str, float]:
    """Seconds of a plain script over the grid, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.performance.sweep_cost", "--plain", grid]
    began_s = time.perf_counter()
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return {**json.loads(told.stdout), "wall_s": time.perf_counter() - began_s}


def plainly(grid: str) -> dict[str, float]:
    """What the plain script does; seconds of its timed steps."""
    from torch.utils.benchmark import Timer

    from rnnprof.protocol import Task
    from rnnprof.stats.statistics import StopRule
    from rnnprof.worker.phases import PhaseTracker
    from rnnprof.worker.workload.workloads import build
    from rnnprof.workload import Workload

    rule, timed_s = StopRule(PRECISION, point_seconds(grid)), 0.0
    batches, lengths = (parse_axis(text) for text in GRIDS[grid])
    for batch in batches:
        for time_steps in lengths:
            training = build(Task(do="timing", workload=Workload()), batch, time_steps)
            tracker = PhaseTracker(lambda _phase: None, announcing=False)
            timer = Timer("step(tracker)", globals={"step": training.step, "tracker": tracker})
            timer.timeit(3)
            samples: list[float] = []
            while not rule.is_over(samples, sum(samples)):
                count = rule.next_block(samples, sum(samples))
                samples += [timer.timeit(1).raw_times[0] for _ in range(count)]
            timed_s += sum(samples)
    return {"timed_s": timed_s}


def compare(grid: str) -> tuple[dict[str, Any], Run]:
    """Both ways and the plain script on one grid, printed; the run with every breakdown."""
    plain = plain_script(grid)
    figures: dict[str, Any] = {"grid": grid, "plain": plain}
    kept = None
    for every, name in ((True, "every_breakdown"), (False, "by_default")):
        run, wall_s = sweep(grid, every=every)
        kept = kept or run
        parts = shares(run)
        least_s = parts["timing: timed steps"]
        points = len({o.point for o in run.observations if isinstance(o, Timing)})
        how = "--every-breakdown" if every else "as by default"
        print(f"{grid}, {how}: {points} points, {format_duration(wall_s)} of wall time")
        show(parts, wall_s)
        is_met = "met" if wall_s / least_s < AIM else "missed"
        print(f"  over the least: {wall_s / least_s:.2f} (aim {AIM}: {is_met})", flush=True)
        figures[name] = {"points": points, "wall_s": wall_s, "parts": parts}
    print(
        f"{grid}, plain script, time alone: {plain['wall_s'] / plain['timed_s']:.2f} over the "
        f"least, {format_duration(plain['wall_s'])}",
        flush=True,
    )
    assert kept is not None
    return figures, kept


def show(parts: dict[str, float], whole_s: float) -> None:
    """A line for each part."""
    for name, seconds in parts.items():
        if name != "whole":
            print(f"  {name:28} {seconds:7.2f} s  {format_ratio(seconds / whole_s):>6}")


def show_spared(rows: Iterable[Row]) -> None:
    """What is left out by default, a line for each run."""
    print(HEAD, flush=True)
    for row in rows:
        print(line_of(row), flush=True)


def show_runs(paths: Iterable[Path]) -> None:
    """The same of runs that are there."""
    runs = {path.stem: load(path) for path in paths}
    for name, run in runs.items():
        parts = shares(run)
        print(f"{name}: {format_duration(parts['whole'])}")
        show(parts, parts["whole"])
    show_spared(row_of(name, run) for name, run in runs.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="run files to break down")
    parser.add_argument("--grid", choices=GRIDS, action="append", help="[default and 10x10]")
    parser.add_argument("--smallest", action="store_true", help="the smallest grid alone")
    parser.add_argument("--plain", choices=GRIDS, help=argparse.SUPPRESS)  # ourselves, inside
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    if arguments.plain:
        print(json.dumps(plainly(arguments.plain)))
        return
    if arguments.runs:
        show_runs(arguments.runs)
        return
    grids = ["smallest"] if arguments.smallest else arguments.grid or ["default", "10x10"]
    found = [compare(grid) for grid in grids]
    rows = [row_of(f"lstm {figures['grid']}", run) for figures, run in found]
    if "default" in grids:
        rows += [row_of(f"{cell} default", sweep("default", cell)[0]) for cell in OTHER_CELLS]
    show_spared(rows)
    if arguments.output:
        document = {"sweeps": [each for each, _ in found], "spared": [asdict(row) for row in rows]}
        arguments.output.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
