"""Where a sweep's time goes: each pass's share of the wall clock, from the run file itself.

    python -m benchmarks.sweep_cost RUN.jsonl [RUN.jsonl ...]

``start, build, exit`` is a pass's wall time less the steps that it timed; ``journal`` is the time
to write all of the run's records again, each with its fsync; ``template and parent`` is what is
left of the request's wall time: importing torch, above all.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rnnprof.engine.journal import load, open_journal
from rnnprof.records import Fit, Memory, Run, Timing
from rnnprof.units import format_duration, format_ratio


def shares(run: Run) -> dict[str, float]:
    """Seconds of each part of a run that came to its end."""
    timings = [o for o in run.observations if isinstance(o, Timing)]
    parts = {
        "timing: timed steps": sum(sum(o.samples_s) for o in timings),
        "timing: warm-up": sum(sum(o.warmup_samples_s) for o in timings),
        "timing: phases": sum(sum(o.phase_step_samples_s) for o in timings),
    }
    parts["timing: start, build, exit"] = sum(o.wall_s for o in timings) - sum(parts.values())
    parts["fit passes"] = sum(o.wall_s for o in run.observations if isinstance(o, Fit))
    parts["memory passes"] = sum(o.wall_s for o in run.observations if isinstance(o, Memory))
    parts["journal"] = time_to_write(run)
    whole_s = sum(finished.wall_s for finished in run.finished)
    parts["template and parent"] = whole_s - sum(parts.values())
    return {**parts, "whole": whole_s}


def time_to_write(run: Run) -> float:
    """Write the run's records to a new file, as the sweep did."""
    records = [run.header, *run.requests, *run.started, *run.observations, *run.finished]
    with (
        TemporaryDirectory(dir=".") as folder,
        open_journal(Path(folder) / "again.jsonl") as journal,
    ):
        began_s = time.perf_counter()
        for record in records:
            journal.append(record)
        return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    for path in parser.parse_args().runs:
        parts = shares(load(path))
        whole_s = parts.pop("whole")
        print(f"{path.name}: {format_duration(whole_s)}")
        for name, seconds in parts.items():
            print(f"  {name:28} {seconds:7.2f} s  {format_ratio(seconds / whole_s):>6}")


if __name__ == "__main__":
    main()
