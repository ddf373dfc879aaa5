"""How well the memory model predicts points that it was not fitted on.

    python -m benchmarks.performance.model_error [--only NAME] [--grid small]
        [--output model_error.json]

Each workload is measured over a 6 x 6 grid.  The model is fitted to a random half of the points and
predicts the other half, and the reverse; this is repeated several times.  It predicts two kinds of
bytes: charged bytes (one peak for each point) and allocated bytes (one peak for each phase).  For
each, the table shows the mean and the worst relative error, the number of upper bounds that were
exceeded, and the largest excess.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from rnnprof.breakdown.memory_model import MemoryModel, Sample
from rnnprof.device.environment import machine_facts
from rnnprof.engine.identity import guard_bytes
from rnnprof.engine.supervisor import Supervisor
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.units import format_ratio
from rnnprof.workload import FactorySource, Workload

GRIDS: Final = {
    "default": ({"input_size": 256, "hidden_size": 512}, (8, 16, 32, 64, 96, 128)),
    "small": ({"input_size": 128, "hidden_size": 256}, (8, 16, 24, 32, 48, 64)),
}
"""Sizes of the built-in cells, and the values of both B and T: those of ``rnnprof profile``, and
some at which libraries' own buffers of 1 to 3 MiB are a good part of the peak."""

SPLITS: Final = 20
LIMIT_BYTES: Final = 4 << 30
DEADLINE_S: Final = 120.0
LANGUAGE_MODEL: Final = Path(__file__).parents[2] / "examples" / "word_language_model.py"


@dataclass(frozen=True)
class Case:
    """A workload by name, and where its factory is."""

    name: str
    workload: Workload
    factory_path: str | None = None


@dataclass(frozen=True)
class Seen:
    """What a point took: the bytes that the limit counts, and the allocator's by phase."""

    point: Point
    counted: int | None
    allocated: dict[str, int]


def cases(input_size: int, hidden_size: int) -> Iterator[Case]:
    for cell in ("lstm", "gru", "rnn-tanh"):
        for impl in ("fused", "loop"):
            yield Case(f"{cell} {impl}", Workload(cell, impl, input_size, hidden_size))
    source = FactorySource("word_language_model.py:make", {})
    model = Workload(cell=None, factory=source)
    yield Case("word language model", model, f"{LANGUAGE_MODEL}:make")


def measure(supervisor: Supervisor, case: Case, values: Sequence[int]) -> list[Seen]:
    """Every point of the grid, by a fit and a memory pass."""
    return [
        seen
        for time_steps in values
        for batch in values
        if (seen := _measure_point(supervisor, case, Point(batch, time_steps))) is not None
    ]


def _measure_point(supervisor: Supervisor, case: Case, point: Point) -> Seen | None:
    found: dict[str, Any] = {}
    for do in ("fit", "memory"):
        task = Task(
            do, case.workload, point,
            factory_path=case.factory_path, limit_bytes=LIMIT_BYTES, guard_bytes=guard_bytes(),
        )  # fmt: skip
        answer = supervisor.ask(task, DEADLINE_S)
        if answer.evidence is not None:
            print(f"{case.name} {point}: {answer.evidence}", file=sys.stderr)
            return None
        found |= answer.findings
    return Seen(point, found["peak_charged_bytes"], found["phase_peak_bytes"])


def counted_samples(seen: Sequence[Seen]) -> list[Sample]:
    # each point has data on one phase only, so a plane for each phase would rest on few points
    return [Sample(s.point, s.counted) for s in seen if s.counted]


def allocated_samples(seen: Sequence[Seen]) -> list[Sample]:
    return [
        Sample(s.point, size_bytes, phase)
        for s in seen
        for phase, size_bytes in s.allocated.items()
        if size_bytes
    ]


def errors(
    seen: Sequence[Seen],
    samples: Callable[[Sequence[Seen]], list[Sample]],
    truth: Callable[[Seen], int | None],
) -> dict[str, Any]:
    """Relative errors of both halves over several splits, and the upper bounds passed."""
    relative: list[float] = []
    passed: list[float] = []
    for split in range(SPLITS):
        order = list(seen)
        random.Random(split).shuffle(order)
        half = len(order) // 2
        for fitted, rest in ((order[:half], order[half:]), (order[half:], order[:half])):
            model = MemoryModel.fit(samples(fitted))
            if model is None:
                continue
            for each in rest:
                if size_bytes := truth(each):
                    relative.append(model.predict_bytes(each.point) / size_bytes - 1)
                    passed.append(size_bytes / model.upper_bytes(each.point) - 1)
    over = [ratio for ratio in passed if ratio > 0]
    return {
        "points": len(relative),
        "mean": fmean(map(abs, relative)) if relative else None,
        "worst": max(map(abs, relative), default=None),
        "upper_bounds_passed": len(over),
        "passed_by_at_most": max(over, default=0.0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--grid", choices=GRIDS, default="default", help="sizes, B and T")
    parser.add_argument("--output", type=Path, help="the figures as JSON")
    arguments = parser.parse_args()
    rows = []
    with Supervisor() as supervisor:
        sizes, values = GRIDS[arguments.grid]
        for case in cases(**sizes):
            if arguments.only not in case.name:
                continue
            seen = measure(supervisor, case, values)
            row = {
                "workload": case.name,
                "grid": arguments.grid,
                "counted": errors(seen, counted_samples, lambda s: s.counted),
                "allocated": errors(seen, allocated_samples, lambda s: max(s.allocated.values())),
                "points": [
                    [s.point.batch, s.point.time_steps, s.counted, s.allocated] for s in seen
                ],
            }
            rows.append(row)
            _write(arguments.output, rows)
            for kind in ("counted", "allocated"):
                print(_line(case.name, kind, row[kind]), flush=True)
    return 0


def _write(output: Path | None, rows: Sequence[dict[str, Any]]) -> None:
    """The figures so far, with the points that they rest on."""
    if output is not None:
        document = {"machine": machine_facts(), "rows": rows}
        output.write_text(json.dumps(document, indent=None, separators=(",", ":")) + "\n")


def _line(name: str, kind: str, figures: dict[str, Any]) -> str:
    return (
        f"{name:20} {kind:9} mean {format_ratio(figures['mean']):>6}  worst "
        f"{format_ratio(figures['worst']):>6}  upper bounds passed "
        f"{figures['upper_bounds_passed']} of {figures['points']}, by at most "
        f"{format_ratio(figures['passed_by_at_most'])}"
    )


if __name__ == "__main__":
    sys.exit(main())
