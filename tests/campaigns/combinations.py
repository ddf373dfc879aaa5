"""Every combination of the built-in options at a tiny size: what is measured, and what is not.

    python -m campaigns.combinations [--output combinations.json]

cell x impl x dtype x optimizer x bidirectional x batch-first, one fit pass each, in a worker of its
own.  Prints how many ended how, and every reason of an unsupported one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from rnnprof.engine.supervisor import Supervisor
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.codec import encode
from rnnprof.runfile.points import Point
from rnnprof.units import GIB
from rnnprof.workload import CELLS, DTYPES, IMPLS, OPTIMIZERS, Workload

DEADLINE_S = 60.0


def combinations() -> list[Workload]:
    """All of them, at sizes that cost next to nothing."""
    both = (False, True)
    return [
        Workload(
            cell=cell,
            impl=impl,
            input_size=8,
            hidden_size=8,
            dtype=dtype,
            optimizer=optimizer,
            bidirectional=bidirectional,
            batch_first=batch_first,
        )
        for cell, impl, dtype, optimizer, bidirectional, batch_first in itertools.product(
            CELLS, IMPLS, DTYPES, OPTIMIZERS, both, both
        )
    ]


def try_one(supervisor: Supervisor, workload: Workload) -> dict[str, Any]:
    """The outcome of one combination, with its reason and warnings."""
    task = Task(
        do="fit", workload=workload, point=Point(2, 3), limit_bytes=GIB, guard_bytes=4 * GIB
    )
    answer = supervisor.ask(task, DEADLINE_S)
    verdict = classify(answer.evidence) if answer.evidence else None
    warnings = answer.findings.get("warnings", [])
    assert isinstance(warnings, list)
    return {
        "workload": encode(workload),
        "outcome": str(verdict.outcome) if verdict else "measured",
        "reason": verdict.reason if verdict else None,
        "warnings": warnings,
    }


def summarise(results: list[dict[str, Any]]) -> list[str]:
    """Counts by outcome, then each reason with where it holds."""
    counts = Counter(result["outcome"] for result in results)
    lines = [", ".join(f"{number} {outcome}" for outcome, number in counts.most_common())]
    reasons: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        for text in [result["reason"], *result["warnings"]]:
            if text:
                reasons[text].append(result["workload"])
    for text, workloads in sorted(reasons.items(), key=lambda item: -len(item[1])):
        where = "; ".join(
            f"{name} " + ", ".join(sorted({str(workload[name]) for workload in workloads}))
            for name in ("cell", "impl", "dtype", "optimizer")
        )
        lines.append(f"{len(workloads):5}  {text[:150]}\n       at {where}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="every outcome as JSON")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    with Supervisor() as supervisor:
        results = [try_one(supervisor, workload) for workload in combinations()]
    print(f"{len(results)} combinations in {time.monotonic() - began_s:.0f} s")
    print("\n".join(summarise(results)))
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
