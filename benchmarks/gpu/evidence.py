"""Everything that only a GPU can prove, in one run and a few files.

    PYTHONPATH=src python3 benchmarks/gpu [--output DIR] [--seconds 480] [--only PART]
    ... --dry-run      every part that runs on the CPU, at tiny sizes
    ... --simulate t4  every part that needs no kernel, on a simulated GPU

The most valuable parts come first: cuDNN's sizes, the breakdown, proofs of memory, then times.
Each part runs in its own process group and has its own time limit.  A part that fails or hangs is
recorded, and the others continue.  Later parts may use the time that a part leaves unused.  At most
eight files are written: log.txt, summary.json, runs.tar.gz, charts.tar.gz, cudnn-sizes.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rnnprof.engine.template_process import simulation_environment
from rnnprof.simulate.description import GPU_VARIABLE, LIBRARY_VARIABLE, describe

ROOT: Final = Path(__file__).parents[2]

TOTAL_S: Final = 480.0
MOST_BUDGETS_S: Final = 460.0
"""Of all parts together; the rest of the total is for starting, killing and packing."""

MAX_FILES: Final = 8
KILL_GRACE_S: Final = 3.0

CUDNN_SIZES: Final = "cudnn-sizes.json"

CARD: Final = "{gpu}"
"""Stands in a folder's name for the GPU, until that is known."""

TAIL_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the evidence.

    Attributes:
        entry: module and function that do it.
        budget_s: its own time; what earlier parts left over comes on top.
        needs: a file without which there is nothing to do, under the project's root.
        needs_kernels: it measures times, values or faults of a kernel: not on a simulated GPU.
    """

    name: str
    entry: str
    budget_s: float
    needs: str | None = None
    needs_kernels: bool = False

    def missing(self) -> str | None:
        """Why there is nothing to do, or None."""
        if self.needs is None or (ROOT / self.needs).exists():
            return None
        return f"there is no {self.needs}"


IDENTITY: Final = Part("identity", "benchmarks.gpu.workers:identity", 15)

PARTS: Final = (
    IDENTITY,
    Part("sizes", "benchmarks.gpu.sizes:sizes", 20),
    Part("breakdown", "benchmarks.gpu.workers:breakdown", 55),
    Part("truth", "benchmarks.gpu.workers:truth", 40),
    Part("frontier", "benchmarks.gpu.commands:frontier", 45),
    Part("faults", "benchmarks.gpu.workers:faults", 40),
    Part("facts", "benchmarks.gpu.workers:facts", 15),
    Part("doctor", "benchmarks.gpu.commands:doctor", 10),
    Part("tests", "benchmarks.gpu.commands:live_tests", 50, needs_kernels=True),
    Part("profiles", "benchmarks.gpu.commands:profiles", 55, needs_kernels=True),
    Part("bias", "benchmarks.gpu.times:bias", 20, needs_kernels=True),
    Part("neighbours", "benchmarks.gpu.times:neighbours", 25, needs_kernels=True),
    Part("cliffs", "benchmarks.gpu.cudnn:cliffs", 15, needs_kernels=True),
    Part("precision", "benchmarks.gpu.commands:precision", 20, needs_kernels=True),
    Part("long", "benchmarks.gpu.workers:long_steps", 15),
    Part("account", "benchmarks.gpu.commands:account", 5),
    Part("cost", "benchmarks.gpu.commands:cost", 5, needs_kernels=True),
    Part(
        "peers",
        "benchmarks.gpu.commands:peers",
        10,
        "benchmarks/performance/max_batch_vs_peers.py",
        needs_kernels=True,
    ),
)
"""In the order in which they run; the identity always does."""


@dataclass(slots=True)
class Campaign:
    """The parts under way.

    Attributes:
        folder: where the parts write; *output* gets at most MAX_FILES of it.
    """

    device: str
    folder: Path
    output: Path
    total_s: float = TOTAL_S
    is_simulated: bool = False
    began_s: float = field(default_factory=time.monotonic)
    summary: dict[str, Any] = field(default_factory=lambda: {"parts": {}})

    def run(self, parts: Sequence[Part]) -> None:
        """Run the parts in order, each in the time that the later ones do not need."""
        scale = min(1.0, self.total_s / TOTAL_S)
        todo = list(parts)
        while todo:
            part = todo.pop(0)
            later_s = scale * sum(p.budget_s for p in todo if p.missing() is None)
            self.summary["parts"][part.name] = found = self.run_part(part, self._left_s() - later_s)
            if part is IDENTITY:
                self._know(found["figures"])
            self.pack()

    def run_part(self, part: Part, seconds: float) -> dict[str, Any]:
        """Run one part to its end or to its time."""
        missing = part.missing()
        if part.needs_kernels and self.is_simulated:
            missing = "it needs kernels, and a simulated GPU runs none"
        if missing is not None:
            return self._told(part, {"status": "skipped", "reason": missing, "seconds": 0.0})
        began_s = time.monotonic()
        log = self.folder / f"{part.name}.log"
        code = _run_group(self._command(part, seconds), log, max(0.0, seconds))
        found = _result(self.folder / f"{part.name}.json")
        if code is None:
            found |= {"status": "timeout", "reason": f"stopped after {seconds:.0f} s"}
        elif code != 0:
            found |= {"status": "failed", "reason": _last_line(log), "exit_code": code}
        found |= {"seconds": round(time.monotonic() - began_s, 1), "given_s": round(seconds, 1)}
        return self._told(part, found)

    def pack(self) -> None:
        """Write what there is so far; nothing is lost where this process itself is stopped."""
        self.output.mkdir(parents=True, exist_ok=True)
        logs = [self.folder / f"{name}.log" for name in self.summary["parts"]]
        texts = [f"== {p.stem}\n{p.read_text(errors='replace')}\n" for p in logs if p.exists()]
        (self.output / "log.txt").write_text("".join(texts))
        self.summary["seconds"] = round(time.monotonic() - self.began_s, 1)
        (self.output / "summary.json").write_text(json.dumps(self.summary, indent=1) + "\n")
        for name in ("runs", "charts"):
            _pack_folder(self.folder / name, self.output / f"{name}.tar.gz")
        for path in self.folder.glob(CUDNN_SIZES):
            shutil.copy(path, self.output)

    def _command(self, part: Part, seconds: float) -> list[str]:
        module = [sys.executable, "-m", "benchmarks.gpu.part"]
        return [*module, part.name, part.entry, self.device, str(self.folder), str(seconds)]

    def _know(self, figures: dict[str, Any]) -> None:
        """Put the libraries and the GPU at the head, and name the folder by the GPU."""
        self.summary = {**figures, **self.summary}
        name = re.sub(r"\W+", "-", (figures.get("gpu") or self.device).lower()).strip("-")
        self.output = Path(str(self.output).replace(CARD, name))

    def _left_s(self) -> float:
        return self.began_s + self.total_s - time.monotonic()

    def _told(self, part: Part, found: dict[str, Any]) -> dict[str, Any]:
        reason = f": {found['reason']}" if found.get("reason") else ""
        print(f"{part.name:10} {found['status']:8} {found['seconds']:6.1f} s{reason}", flush=True)
        if found["status"] == "failed":
            print(_tail(self.folder / f"{part.name}.log"), flush=True)
        return found


def _run_group(command: list[str], log: Path, seconds: float) -> int | None:
    """Run a command with its group; None where it ran over and was killed."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a part has started and left, too; workers end when their parent does."""
    for number, grace_s in ((signal.SIGTERM, KILL_GRACE_S), (signal.SIGKILL, KILL_GRACE_S)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)


def _environment() -> dict[str, str]:
    """The parts' own: they change folders, so the project is named by its full path.

    An import that checks for CUDA must not initialise it: some parts fork before they use it.
    """
    simulation = (GPU_VARIABLE, LIBRARY_VARIABLE)
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("RNNPROF_") or name in simulation
    }
    before = [str(Path(p).resolve()) for p in kept.get("PYTHONPATH", "").split(":") if p]
    path = ":".join(dict.fromkeys([*before, str(ROOT / "src")]))
    return {**kept, "PYTHONPATH": path, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


def _result(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {"status": "failed", "reason": "it left no result", "figures": {}}
    return found


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it printed nothing"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-TAIL_LINES:]
    return "\n".join(f"    {line[:200]}" for line in lines)


def _pack_folder(folder: Path, archive: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        return
    with tarfile.open(archive, "w:gz") as tar:
        for path in files:
            tar.add(path, path.relative_to(folder.parent))


def _commit(given: str | None) -> str | None:
    """The commit that is measured, and whether the working tree is another."""
    if given is not None:
        return given
    try:
        asked = [
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    commit, changed = (answer.stdout.strip() for answer in asked)
    return f"{commit} with changes" if changed else commit


def _default_output() -> Path:
    """$OUT, or a folder of the GPU's and the day's."""
    if os.environ.get("OUT"):
        return Path(os.environ["OUT"])
    return ROOT / "reports" / CARD / datetime.now(UTC).strftime("%Y-%m-%d")


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="default: $OUT, or reports/<GPU>/<date>")
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help="for all parts together")
    names = [part.name for part in PARTS]
    parser.add_argument("--only", choices=names, action="append", help="may be repeated")
    parser.add_argument("--skip", choices=names, action="append", default=[])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="the same as --device cpu")
    parser.add_argument("--simulate", metavar="MODEL", help="on a GPU that is described")
    parser.add_argument("--commit", help="the commit, if git is not installed")
    return parser.parse_args(words)


def chosen(arguments: argparse.Namespace) -> list[Part]:
    """The requested parts; the identity is always included."""
    only = set(arguments.only or [part.name for part in PARTS]) - set(arguments.skip)
    return [part for part in PARTS if part is IDENTITY or part.name in only]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the parts to write to."""
    with tempfile.TemporaryDirectory(prefix="rnnprof-evidence-") as name:
        folder = Path(name)
        for inner in ("runs", "charts"):
            (folder / inner).mkdir()
        yield folder


def main() -> None:
    """Exits with 0 where every part is ok or had nothing to do, else with 1."""
    arguments = parse_arguments()
    device = "cpu" if arguments.dry_run else arguments.device
    if arguments.simulate is not None:
        os.environ.update(simulation_environment(describe(arguments.simulate)))
    summary: dict[str, Any] = {
        "commit": _commit(arguments.commit),
        "began_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "parts": {},
    }
    with scratch() as folder:
        output = arguments.output or _default_output()
        campaign = Campaign(
            device, folder, output, arguments.seconds, arguments.simulate is not None,
            summary=summary,
        )  # fmt: skip
        campaign.run(chosen(arguments))
    print(
        f"wrote {campaign.output}: {', '.join(sorted(p.name for p in campaign.output.iterdir()))}"
    )
    ended = {found["status"] for found in campaign.summary["parts"].values()}
    sys.exit(0 if ended <= {"ok", "skipped"} else 1)


if __name__ == "__main__":
    main()
