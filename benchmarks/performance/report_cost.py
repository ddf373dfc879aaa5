"""What a report costs: seconds of ``rnnprof report`` and bytes of its page, by points.

    python -m benchmarks.performance.report_cost [--points 36,400,2000] [--output report_cost.json]

The runs are synthetic; each is reported by a fresh process, and the page's own share is told apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.performance.synthetic_runs import square_grid, write_run
from rnnprof.device.environment import machine_facts
from rnnprof.units import format_bytes, format_seconds

POINTS: Final = "36,400,2000"
AIM_S: Final = {36: 3.0, 400: 6.0, 2000: 15.0}
DEADLINE_S: Final = 300.0


def measure(points: int, folder: Path) -> dict[str, Any]:
    """Seconds and sizes of the report of a run of about so many points."""
    run = folder / f"{points}.jsonl"
    batches, time_steps = square_grid(points)
    write_run(run, batches, time_steps)
    command = [sys.executable, "-m", "rnnprof", "report", str(run), "-o", str(folder / "report")]
    began = time.perf_counter()
    subprocess.run([*command, "-q"], check=True, capture_output=True, timeout=DEADLINE_S)
    wall_s = time.perf_counter() - began
    sizes = {path.name: path.stat().st_size for path in (folder / "report").iterdir()}
    return {
        "points": len(batches) * len(time_steps),
        "aim_s": AIM_S.get(points),
        "wall_s": wall_s,
        "run_bytes": run.stat().st_size,
        "page_bytes": sizes["report.html"],
        "all_bytes": sum(sizes.values()),
        "files": len(sizes),
    }


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--points", default=POINTS)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = []
    for points in map(int, arguments.points.split(",")):
        with tempfile.TemporaryDirectory() as name:
            row = measure(points, Path(name))
        rows.append(row)
        aim = "" if row["aim_s"] is None else f" (aim {row['aim_s']:g} s)"
        print(
            f"{row['points']:5d} points: {format_seconds(row['wall_s'])}{aim}, page "
            f"{format_bytes(row['page_bytes'])}, {row['files']} files of "
            f"{format_bytes(row['all_bytes'])}",
            flush=True,
        )
    if arguments.output:
        document = {"machine": machine_facts(), "rows": rows}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
