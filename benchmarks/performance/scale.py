"""The cost of reading long runs: seconds and memory by the number of records.

    python -m benchmarks.performance.scale [--records 216,10000,100000] [--repetitions 3]
        [--only load,report] [--output scale.json]

The runs are synthetic, and each command has a fresh process.  The first column shows the command's
own start: the same command on a run of one point.  ``resume`` is the time from the start of a
``profile`` to its first pass on a run with one point left: reading the file and making the plan.
For a report, the size of its page is shown too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.performance.synthetic_runs import square_grid, write_run
from rnnprof.units import format_bytes, format_seconds

RECORDS_A_POINT: Final = 6
DEADLINE_S: Final = 900.0

LOAD: Final = "import sys; from rnnprof.runfile.journal import load; from pathlib import Path; "
ACTIONS: Final[dict[str, tuple[str, ...]]] = {
    "load": ("-c", LOAD + "load(Path(sys.argv[1]))", "RUN"),
    "advise": ("-m", "rnnprof", "advise", "RUN"),
    "export": ("-m", "rnnprof", "export", "RUN", "-o", "FOLDER/run.csv"),
    "compare": ("-m", "rnnprof", "compare", "RUN", "RUN2"),
    "report": ("-m", "rnnprof", "report", "RUN", "-o", "FOLDER/report", "-q"),
    "ten in one report": (
        *("-m", "rnnprof", "report", *(f"RUN{n}" for n in range(10)), "-o", "FOLDER/ten", "-q"),
    ),
    "resume": ("-m", "benchmarks.performance.resume", "RUN"),
}

AIM_S: Final = {("load", 10_000): 1.0, ("resume", 60_000): 1.0}
"""Above the command's own start."""

REPORT_AIM_S: Final = {216: 3.0, 2_400: 6.0, 12_000: 15.0}
"""With its start: of 36, 400 and 2000 points."""

TEN_AT_MOST: Final = 10_000
"""Ten runs of more records than this belong in no one report."""


def measure(words: tuple[str, ...], run: Path) -> dict[str, float]:
    """Wall seconds and the peak of memory of one process."""
    filled = []
    for word in words:
        if word.startswith("RUN"):
            path = run.with_name(f"{run.stem}-{word[3:] or 0}.jsonl")
            if not path.exists():
                path.hardlink_to(run)
            filled.append(str(path))
        else:
            filled.append(word.replace("FOLDER", str(run.parent)))
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *filled], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(words)}: {process.returncode}\n{said.decode()}")
    return {"wall_s": time.perf_counter() - began_s, "peak_bytes": usage.ru_maxrss * 1024}


def typical(words: tuple[str, ...], run: Path, repetitions: int) -> dict[str, float]:
    """The medians of so many processes."""
    found = [measure(words, run) for _ in range(repetitions)]
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def rows_of(sizes: list[int], repetitions: int, actions: list[str]) -> list[dict[str, Any]]:
    """A row for each action at each size, printed as it comes."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run.jsonl"
            records = write_run(run, *square_grid(max(1, size // RECORDS_A_POINT)))
            for action in actions:
                if action.startswith("ten") and size > TEN_AT_MOST:
                    continue
                found = typical(ACTIONS[action], run, 1 if size > TEN_AT_MOST else repetitions)
                if action == "report":
                    found |= sizes_of(run.parent / "report")
                rows.append({"action": action, "asked": size, "records": records, **found})
                print(_progress(rows[-1], run.stat().st_size), file=sys.stderr, flush=True)
    return rows


def sizes_of(report: Path) -> dict[str, float]:
    """Bytes of the page and of all other files of the report."""
    sizes = {path.name: path.stat().st_size for path in report.iterdir()}
    return {
        "page_bytes": sizes["report.html"], "all_bytes": sum(sizes.values()), "files": len(sizes)
    }  # fmt: skip


def _progress(row: dict[str, Any], size_bytes: int) -> str:
    return (
        f"{row['records']:7} records ({format_bytes(size_bytes)}) {row['action']:18} "
        f"{format_seconds(row['wall_s'])} {format_bytes(row['peak_bytes'])}"
    )


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each action: seconds and MiB at each size."""
    sizes = sorted({row["asked"] for row in rows})
    counts = {row["asked"]: row["records"] for row in rows}
    lines = [f"{'records':18}" + "".join(f"{counts[size]:>22,}" for size in sizes)]
    for action in ACTIONS:
        cells = {row["asked"]: row for row in rows if row["action"] == action}
        if not cells:
            continue
        texts = [
            f"{cells[size]['wall_s']:10.2f} s {format_bytes(cells[size]['peak_bytes']):>9}"
            if size in cells
            else f"{'-':>22}"
            for size in sizes
        ]
        lines.append(f"{action:18}" + "".join(f"{text:>22}" for text in texts))
    lines += [_report_line(row) for row in rows if row["action"] == "report"]
    for (action, size), aim_s in AIM_S.items():
        own = {row["asked"]: row["wall_s"] for row in rows if row["action"] == action}
        if size in own and RECORDS_A_POINT in own:
            added_s = own[size] - own[RECORDS_A_POINT]
            verdict = "met" if added_s < aim_s else "missed"
            lines.append(
                f"{action} at {size:,} records adds {added_s:.2f} s to its start: aim of "
                f"{aim_s:g} s {verdict}"
            )
    return lines


def _report_line(row: dict[str, Any]) -> str:
    aim_s = REPORT_AIM_S.get(row["asked"])
    aim = "" if aim_s is None else f" (aim {aim_s:g} s)"
    return (
        f"report of {row['asked'] // RECORDS_A_POINT:,} points: {format_seconds(row['wall_s'])}"
        f"{aim}, page {format_bytes(row['page_bytes'])}, {row['files']} files of "
        f"{format_bytes(row['all_bytes'])}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", default="216,2400,10000,12000,60000,100000")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", default=",".join(ACTIONS), help="[default: all]")
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    sizes = [int(text) for text in arguments.records.split(",")]
    only = arguments.only.split(",")
    rows = rows_of(sorted({RECORDS_A_POINT, *sizes}), arguments.repetitions, only)
    print("\n".join(lines_of(rows)))
    if arguments.output:
        arguments.output.write_text(json.dumps({"rows": rows}) + "\n")


if __name__ == "__main__":
    main()
