"""The results of benchmarks, with machine and date, and the page of all results."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.performance.catalogue import CATALOGUE
from rnnprof.device.environment import machine_facts
from rnnprof.units import format_bytes, format_duration

HERE: Final = Path(__file__).parents[1]
FOLDER: Final = HERE / "results"
PAGE: Final = HERE / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a benchmark.

    Attributes:
        wall_s: of the whole run; None if not known.
        commit: of the code that ran; ends in ``+`` where files differed from it.
        date: UTC, when it ended.
        printed: the lines of its table.
        figures: the JSON that it wrote: raw figures in its own format.
    """

    benchmark: str
    command: tuple[str, ...]
    wall_s: float | None
    printed: tuple[str, ...]
    figures: Any
    commit: str
    date: str
    machine: dict[str, Any]
    torch: str


def surroundings() -> dict[str, Any]:
    """The code, the time and the machine."""
    return {
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(),
        "torch": version("torch"),
    }


def _commit() -> str:
    """The commit in short, ``+`` where the code differs from it; ``unknown`` without git."""
    try:
        commit, changed = (
            subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout
            for command in (
                ["git", "rev-parse", "--short=7", "HEAD"],
                ["git", "status", "--porcelain", "--", "../src", ":(exclude)results", "*.py"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.strip() + ("+" if changed.strip() else "")


def save(result: Result) -> Path:
    """Write ``results/NAME.json``; it also replaces the results of benchmarks that it took over."""
    path = FOLDER / f"{result.benchmark}.json"
    for name in CATALOGUE[result.benchmark].took_over:
        (FOLDER / f"{name}.json").unlink(missing_ok=True)
    path.write_text(json.dumps(asdict(result), ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load_results() -> dict[str, Result]:
    """Every kept result, in the order of the catalogue."""
    found = {}
    names = [name for each in CATALOGUE.values() for name in (each.name, *each.took_over)]
    for name in names:
        path = FOLDER / f"{name}.json"
        if path.exists():
            document = json.loads(path.read_text(encoding="utf-8"))
            for field in ("command", "printed"):
                document[field] = tuple(document[field])
            found[name] = Result(**document)
    return found


def page(results: Iterable[Result]) -> str:
    """All results as Markdown: each table as it was printed, below its machine and date."""
    head = (
        "# What was measured\n\nMade by `python -m benchmarks table` from the files in "
        "[results](results), which hold the raw figures; do not edit it by hand. `python -m "
        "benchmarks run NAME` measures one again.\n"
    )
    return "\n".join([head, *map(_section, results)])


def _section(result: Result) -> str:
    machine, wall = result.machine, format_duration(result.wall_s)
    where = (
        f"{machine['processors']} processors of {machine['device_name']}, "
        f"{format_bytes(machine['machine_memory_bytes'])}, Python {machine['python']}, "
        f"torch {result.torch}"
    )
    took = "" if result.wall_s is None else f", took {wall}"
    known = CATALOGUE.get(result.benchmark)
    asked = known.question if known else _left_to(result.benchmark)
    return (
        f"## {result.benchmark}\n\n{asked}\n\n"
        f"`{' '.join(result.command)}`, {result.date[:10]}, commit {result.commit}{took}; {where}. "
        f"[Figures](results/{result.benchmark}.json)\n\n"
        "```\n" + "\n".join(result.printed) + "\n```\n"
    )


def _left_to(name: str) -> str:
    heir = next(each.name for each in CATALOGUE.values() if name in each.took_over)
    return f"Now a part of `{heir}`; these figures are valid until it runs again."
