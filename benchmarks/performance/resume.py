"""Resume a run up to its first missing pass, then stop; for benchmarks/performance/scale.py.

    python -m benchmarks.performance.resume RUN.jsonl

The last memory pass of the file is treated as missing.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rnnprof import protocol
from rnnprof.cli.main import COLLECT_AT
from rnnprof.engine.listener import Listener
from rnnprof.engine.observer import Observer
from rnnprof.engine.sweep import Sweep
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import Calibration, Memory
from rnnprof.runfile.points import Outcome, Role


class Begun(Exception):  # noqa: N818
    """The first pass would run now."""


def begin(_task: protocol.Task, _deadline_s: float) -> NoReturn:
    """A request for a worker ends the run."""
    raise Begun


def main() -> int:
    gc.set_threshold(COLLECT_AT)  # as the command does
    run = load(Path(sys.argv[1]))
    rates = Calibration(
        attempt="rates", batch=1, time_steps=1, role=Role.PROBE, worker=1, process_index=0,
        request="r1", outcome=Outcome.MEASURED, wall_s=1.0,
    )  # fmt: skip
    last = [each for each in run.observations if isinstance(each, Memory)][-1]
    left = (each for each in run.observations if each is not last)
    run = replace(run, observations=(rates, *left))
    observer = Observer(
        task=protocol.Task(do="fit", workload=run.header.workload),
        request=run.requests[-1], limit_bytes=run.limit_bytes, probe=begin,
        record=lambda _record: None, guard_bytes=lambda: 1 << 40,
    )  # fmt: skip
    sweep = Sweep(observer, Listener())
    try:
        sweep.recall(run)
        sweep.run()
    except Begun:
        return 0
    print("nothing was left to run", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
