"""Does measuring change the step time?  rnnprof's timing pass against a bare loop of the same step.

    python -m benchmarks.overhead [--pairs 10] [--seconds 2] [--output overhead.json]

This process stands for the template: it imports what a worker needs and forks a child for every
measurement, alternating A B B A.  A is the timing pass as ``rnnprof profile`` runs it; B builds the
same workload and takes ``time.perf_counter`` around ``step()``, with nothing of rnnprof's between.
The unit is the process: a pair gives one ratio of medians, and the interval is that of the median
over pairs (order statistics, 95%).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch._dynamo

from rnnprof.analysis.disturbance import judge
from rnnprof.analysis.statistics import median_interval
from rnnprof.machine.environment import machine_facts
from rnnprof.machine.process import ConditionsMeter
from rnnprof.protocol import Task
from rnnprof.records import Conditions, FactorySource, Workload
from rnnprof.units import format_seconds
from rnnprof.worker.passes import Session
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.timing import timing_pass
from rnnprof.worker.workloads import build

LANGUAGE_MODEL = Path(__file__).parents[1] / "examples" / "word_language_model.py"
SMALL_MODEL = {"embedding_size": 64, "hidden_size": 128, "vocabulary": 1000}

CASES: dict[str, dict[str, Any]] = {
    "lstm 256->512, B=16 T=32": {"workload": Workload(), "batch": 16, "steps": 32},
    "gru 128->256, B=16 T=32": {
        "workload": Workload(cell="gru", input_size=128, hidden_size=256),
        "batch": 16,
        "steps": 32,
    },
    "word language model 64/128, B=8 T=16": {
        "workload": Workload(
            cell=None, factory=FactorySource("word_language_model.py:make", "", SMALL_MODEL)
        ),
        "factory_path": f"{LANGUAGE_MODEL}:make",
        "batch": 8,
        "steps": 16,
    },
}

Found = dict[str, Any]


def by_rnnprof(task: Task) -> Found:
    """The timing pass, as a worker runs it."""
    findings = timing_pass(Session(task, PhaseTracker(lambda _phase: None)))
    return {"samples_s": findings["samples_s"], "disturbed": judge(findings["conditions"])}


def by_bare_loop(task: Task) -> Found:
    """What a user would write: three steps, then as many as fit the time, each clocked."""
    training = build(task, task.batch, task.steps)
    quiet = nullcontext()
    for _ in range(3):
        training.step(lambda _name: quiet)
    meter, samples = ConditionsMeter.start(), []
    ends_s = time.perf_counter() + task.point_seconds
    while time.perf_counter() < ends_s:
        began_s = time.perf_counter()
        training.step(lambda _name: quiet)
        samples.append(time.perf_counter() - began_s)
    conditions: Conditions = meter.read()
    return {"samples_s": samples, "disturbed": judge(conditions)}


def in_child(measure: Callable[[Task], Found], task: Task) -> Found:
    """Run *measure* in a forked process and bring back what it found."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with os.fdopen(writing, "w") as answer:
                json.dump(measure(task), answer)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise SystemExit(f"{measure.__name__} failed with status {status}")
    found: Found = json.loads(text)
    return found


def compare(case: dict[str, Any], pairs: int, seconds: float) -> dict[str, Any]:
    """Ratios of medians, rnnprof over bare, pair by pair."""
    # a precision out of reach: both sides then run for the whole of the time
    task = Task(do="timing", point_seconds=seconds, precision_ratio=1e-9, **case)
    medians: dict[str, list[float]] = {"rnnprof": [], "bare": []}
    disturbed = 0
    for index in range(pairs):
        order = [("rnnprof", by_rnnprof), ("bare", by_bare_loop)]
        for name, measure in order if index % 2 == 0 else reversed(order):
            found = in_child(measure, task)
            medians[name].append(statistics.median(found["samples_s"]))
            disturbed += found["disturbed"] is not None
    ratios = [a / b for a, b in zip(medians["rnnprof"], medians["bare"], strict=True)]
    return {
        "medians_s": medians,
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "ratio_ci": median_interval(ratios),
        "disturbed_processes": disturbed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="timed steps of each process")
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    assert torch._dynamo  # imported as the template does: the first optimizer step needs it
    results = {}
    for name, case in CASES.items():
        results[name] = result = compare(case, arguments.pairs, arguments.seconds)
        low, high = result["ratio_ci"] or (float("nan"), float("nan"))
        print(
            f"{name:38} rnnprof {format_seconds(statistics.median(result['medians_s']['rnnprof']))}"
            f"  bare {format_seconds(statistics.median(result['medians_s']['bare']))}"
            f"  ratio {result['ratio']:.4f} [{low:.4f}, {high:.4f}]"
            f"  disturbed {result['disturbed_processes']} of {2 * arguments.pairs}",
            flush=True,
        )
    if arguments.output:
        facts = {**machine_facts(), "torch": torch.__version__}
        arguments.output.write_text(
            json.dumps({"machine": facts, "cases": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
