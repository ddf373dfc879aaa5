"""Is the memory right?  The breakdown against the tensors, and the limit against what a pass needs.

    python -m benchmarks.performance.memory_truth [--output memory_truth.json]

For each workload and shape: the breakdown's sum against the allocator's own peak; weights,
gradients
and optimizer state against the sums over their tensors; then a fit pass without a tight limit, to
learn what address space it needs, one with that plus 1 MiB, which must fit, and one with 95% of
it, which must be out of memory.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from rnnprof.engine.supervisor import Supervisor
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.units import GIB, MIB, format_bytes
from rnnprof.workload import Workload

SLACK_BYTES: Final = MIB
SHORT_RATIO: Final = 0.95
CELLS: Final = ("lstm", "gru", "rnn-tanh")
SHAPES: Final = ((16, 32), (64, 64))
DEADLINE_S: Final = 120.0


def check(crew: Supervisor, cell: str, batch: int, time_steps: int) -> dict[str, Any]:
    """All checks of one workload at one shape."""
    workload = Workload(cell=cell)

    def ask(do: str, limit_bytes: int = 2 * GIB) -> Any:
        task = Task(
            do=do,
            workload=workload,
            batch=batch,
            time_steps=time_steps,
            limit_bytes=limit_bytes,
            guard_bytes=4 * GIB,
        )
        return crew.ask(task, DEADLINE_S)

    memory = ask("memory").findings
    breakdown, tensors = memory["breakdown"], memory["model_bytes"]
    needed = ask("fit").findings["peak_charged_bytes"]
    enough, short = ask("fit", needed + SLACK_BYTES), ask("fit", int(SHORT_RATIO * needed))
    return {
        "workload": cell,
        "batch": batch,
        "time_steps": time_steps,
        "allocator_peak_bytes": memory["peak_allocated_bytes"],
        "breakdown_sum_bytes": sum(breakdown[part] for part in BREAKDOWN_PARTS),
        "breakdown": breakdown,
        "tensor_bytes": tensors,
        "needed_bytes": needed,
        "with_slack": _ending(enough),
        "at_95_percent": _ending(short),
    }


def _ending(answer: Any) -> str:
    return "measured" if answer.evidence is None else str(classify(answer.evidence).outcome)


def _row(found: dict[str, Any]) -> str:
    breakdown, tensors = found["breakdown"], found["tensor_bytes"]
    same = {
        part: "=" if breakdown[part] == tensors[part] else f"{breakdown[part] - tensors[part]:+d} B"
        for part in tensors
    }
    return (
        f"{found['workload']:9} B={found['batch']:<3} T={found['time_steps']:<4}"
        f" peak {found['allocator_peak_bytes']:>11} sum {found['breakdown_sum_bytes']:>11}"
        f"  at the peak ({breakdown['phase']}) against tensors: weights {same['weights']},"
        f" gradients {same['gradients']}, state {same['optimizer_state']}"
        f"  needed {format_bytes(found['needed_bytes']):>8}:"
        f" +1 MiB {found['with_slack']}, x0.95 {found['at_95_percent']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    results = []
    with Supervisor() as crew:
        for cell in CELLS:
            for batch, time_steps in SHAPES:
                results.append(check(crew, cell, batch, time_steps))
                print(_row(results[-1]), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
