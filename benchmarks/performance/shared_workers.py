"""What does one worker for many points save on CUDA, and what does it change?

    python -m benchmarks.performance.shared_workers [--gpu t4] [--output shared.json]

In an environment with torch's CUDA build; on a simulated GPU no context is made and no kernel
loaded, so that the seconds saved there are a lower bound.  The fit and memory passes of a grid, in
one shared worker and in fresh ones, by turns: the workers that were started, the seconds, and the
peaks of both.  A shared peak proposes, so a difference costs a probe and no answer.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.performance.results import surroundings
from benchmarks.performance.rows import aligned
from rnnprof.engine.supervisor import Supervisor
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.simulate.description import describe
from rnnprof.units import GIB, MIB
from rnnprof.workload import Workload

CELLS: Final = {
    "lstm 256->512": Workload(),
    "gru 64->128": Workload(cell="gru", input_size=64, hidden_size=128),
    "lstm native 64->128": Workload(input_size=64, hidden_size=128, impl="native"),
}
BATCHES: Final = (8, 16, 32, 64, 128, 256)
LENGTHS: Final = (16, 32, 64, 128)
LIMIT_BYTES: Final = 8 * GIB
DEADLINE_S: Final = 300.0


@dataclass(slots=True)
class Way:
    """The passes of a grid in one way.

    Attributes:
        peaks: reserved and allocated peaks in bytes, by point.
        workers: numbers of the workers that ran them.
        wall_s: seconds of all passes.
    """

    peaks: dict[Point, tuple[int, int]] = field(default_factory=dict)
    workers: set[int] = field(default_factory=set)
    wall_s: float = 0.0

    def run(self, supervisor: Supervisor, task: Task) -> None:
        """Run a pass, and keep what it took.

        Raises:
            SystemExit: it did not pass.
        """
        answer = supervisor.ask(task, DEADLINE_S)
        if answer.evidence is not None:
            raise SystemExit(f"{task.do} at {task.point}: {answer.evidence}")
        self.workers.add(answer.worker)
        self.wall_s += answer.wall_s
        if task.do == "fit":
            found: dict[str, Any] = answer.findings
            sizes = found["peak_charged_bytes"], found["peak_allocated_bytes"]
            self.peaks[task.point] = sizes


def measure(workload: Workload, gpu: str | None) -> tuple[Way, Way]:
    """The grid of a workload by a shared worker and by fresh ones."""
    ways = Way(), Way()
    description = None if gpu is None else describe(gpu)
    for is_shared, way in zip((True, False), ways, strict=True):
        with Supervisor(gpu=description) as supervisor:
            for point in (Point(batch, length) for length in LENGTHS for batch in BATCHES):
                task = Task("fit", workload, point, "cuda", limit_bytes=LIMIT_BYTES)
                for do in ("fit", "memory"):
                    way.run(supervisor, Task(**{**_fields(task), "do": do, "is_shared": is_shared}))
    return ways


def _fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in Task.__slots__}


def row_of(name: str, shared: Way, fresh: Way) -> tuple[str, ...]:
    """A line of the table: what differs is shared minus fresh."""
    reserved = [shared.peaks[p][0] - fresh.peaks[p][0] for p in fresh.peaks]
    allocated = [shared.peaks[p][1] - fresh.peaks[p][1] for p in fresh.peaks]
    return (
        *(name, str(len(fresh.peaks)), str(len(shared.workers)), str(len(fresh.workers))),
        *(f"{shared.wall_s:.1f}", f"{fresh.wall_s:.1f}", _spread(reserved), _spread(allocated)),
    )


def _spread(sizes_bytes: Sequence[int]) -> str:
    """Median, least and most, in MiB."""
    middle, low, high = statistics.median(sizes_bytes), min(sizes_bytes), max(sizes_bytes)
    return f"{middle / MIB:.2f} ({low / MIB:.2f}..{high / MIB:.2f})"


HEADER: Final = (
    "workload", "points", "workers", "if fresh", "seconds", "if fresh", "reserved MiB more",
    "allocated MiB more",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gpu", default="t4", help="to simulate; 'real' for the one that is there")
    parser.add_argument("--output", type=Path, help="everything as JSON")
    given = parser.parse_args(argv)
    gpu = None if given.gpu == "real" else given.gpu
    rows, figures = [], {}
    for name, workload in CELLS.items():
        shared, fresh = measure(workload, gpu)
        rows.append(row_of(name, shared, fresh))
        figures[name] = {
            str(point): {"shared": shared.peaks[point], "fresh": fresh.peaks[point]}
            for point in fresh.peaks
        }
    print("simulated: no kernel ran" if gpu else "on the GPU that is there")
    print(aligned([HEADER, *rows], ("workload",)))
    if given.output:
        document = {"about": __doc__, **surroundings(), "peaks": figures}
        given.output.write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
