"""Does measuring change the step time?  rnnprof's timing compared with a bare loop.

    python -m benchmarks.performance.overhead [--processes 4] [--seconds 12]
        [--output overhead.json]

This process plays the role of the template: it imports what a worker needs and forks children.
Each child builds one workload once.  Two loops then run its steps in alternation, one step each, A
B B A: A is the sampling of the timing pass with block, stop rule and phase marks; B is
``time.perf_counter`` around ``step()`` and nothing else.  Two neighbouring steps give one ratio;
the interval is that of the median over all pairs (order statistics, 95%).  The spread of the
medians of whole processes is shown too: it is the noise of the machine, and a comparison between
processes cannot resolve less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch._dynamo

from benchmarks.performance.children import in_child
from rnnprof.device.environment import machine_facts
from rnnprof.device.process import ConditionsMeter
from rnnprof.points.noise import judge
from rnnprof.protocol import Task
from rnnprof.report.words import say
from rnnprof.runfile.points import Point
from rnnprof.stats.statistics import StopRule, median_interval
from rnnprof.units import format_ratio, format_seconds
from rnnprof.worker.backends.cpu import CpuDevice
from rnnprof.worker.passes.timing import sample
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.workload.workloads import build
from rnnprof.workload import FactorySource, Workload

LANGUAGE_MODEL = Path(__file__).parents[2] / "examples" / "word_language_model.py"
SMALL_MODEL = {"embedding_size": 64, "hidden_size": 128, "vocabulary": 1000}

CASES: dict[str, dict[str, Any]] = {
    "lstm 256->512, B=16 T=32": {"workload": Workload(), "point": Point(16, 32)},
    "gru 128->256, B=16 T=32": {
        "workload": Workload(cell="gru", input_size=128, hidden_size=256),
        "point": Point(16, 32),
    },
    "word language model 64/128, B=8 T=16": {
        "workload": Workload(
            cell=None, factory=FactorySource("word_language_model.py:make", SMALL_MODEL)
        ),
        "factory_path": f"{LANGUAGE_MODEL}:make",
        "point": Point(8, 16),
    },
}

WARM_UP_STEPS = 10


def by_rnnprof(step: Callable[[Any], Any]) -> float:
    """One step as the timing pass samples it."""
    tracker = PhaseTracker(lambda _phase: None, announcing=False)
    rule = StopRule(precision_ratio=0.0, budget_s=0.0, floor_samples=1)
    run_block = partial(CpuDevice().run_block, lambda: step(tracker))
    return sample(run_block, rule).samples_s[0]


def by_bare_loop(step: Callable[[Any], Any]) -> float:
    """One step as a user would time it."""
    quiet = nullcontext()
    began_s = time.perf_counter()
    step(lambda _name: quiet)
    return time.perf_counter() - began_s


def alternate(case: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Step times of both loops in this process, for the requested time."""
    task = Task(do="timing", **case)
    step = build(task, task.point.batch, task.point.time_steps).step
    for _ in range(WARM_UP_STEPS):
        by_bare_loop(step)
    found: dict[str, Any] = {"rnnprof_s": [], "bare_s": []}
    turns = [("rnnprof_s", by_rnnprof), ("bare_s", by_bare_loop)]
    meter, ends_s = ConditionsMeter.start(), time.perf_counter() + seconds
    while time.perf_counter() < ends_s:
        for name, measure in turns:
            found[name].append(measure(step))
        turns.reverse()
    noise = judge(meter.read())
    found["noisy"] = None if noise is None else say(noise)
    return found


def compare(case: dict[str, Any], processes: int, seconds: float) -> dict[str, Any]:
    """Ratios of neighbours, rnnprof over bare, over all pairs of all processes."""
    children = [in_child(lambda: alternate(case, seconds)) for _ in range(processes)]
    ratios = [
        a / b
        for child in children
        for a, b in zip(child["rnnprof_s"], child["bare_s"], strict=True)
    ]
    by_process = [statistics.median(child["bare_s"]) for child in children]
    return {
        "children": children,
        "pairs": len(ratios),
        "ratio": statistics.median(ratios),
        "ratio_ci": median_interval(ratios),
        "bare_process_medians_s": by_process,
        "process_spread": max(by_process) / min(by_process) - 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=12.0, help="timed steps of each process")
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    assert torch._dynamo  # imported as the template does: the first optimizer step needs it
    results = {}
    for name, case in CASES.items():
        found = compare(case, arguments.processes, arguments.seconds)
        results[name] = found
        low, high = found["ratio_ci"] or (float("nan"), float("nan"))
        print(
            f"{name:38} {format_seconds(statistics.median(found['bare_process_medians_s'])):>8}"
            f"  rnnprof/bare {found['ratio']:.4f} [{low:.4f}, {high:.4f}]"
            f"  {found['pairs']} pairs; processes differ by {format_ratio(found['process_spread'])}"
            f"  noisy {sum(child['noisy'] is not None for child in found['children'])}"
            f" of {arguments.processes}",
            flush=True,
        )
    if arguments.output:
        facts = {**machine_facts(), "torch": torch.__version__}
        arguments.output.write_text(
            json.dumps({"machine": facts, "cases": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
