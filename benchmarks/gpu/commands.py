"""Parts that run commands: tests on a live GPU, profiles, frontier, doctor, precision, peers;
then the breakdown and the cost of every run file."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.gpu.part import ROOT, SkipPart, Stage
from benchmarks.performance.sweep_cost import shares
from rnnprof.errors import RnnprofError
from rnnprof.runfile import journal
from rnnprof.runfile.observations import Memory, Timing
from rnnprof.runfile.points import Outcome

LEAST_CASE_S: Final = 15.0
"""No profile is begun with less time than that."""

GRACE_S: Final = 4.0
"""Kept back, to write down what a command that ran over has left."""

TAIL: Final = 4000

LANGUAGE_MODEL: Final = f"{ROOT / 'examples' / 'word_language_model.py'}:make"
PEERS: Final = ROOT / "benchmarks" / "performance" / "max_batch_vs_peers.py"


@dataclass(frozen=True, slots=True)
class Case:
    """A profile: the name of its files, and the options."""

    name: str
    options: str


CASES: Final = (
    Case("lstm", "--cell lstm --batch 32,128,512 --time-steps 64,256"),
    Case(
        "limit-2gib",
        "--hidden-size 1024 --memory-limit 2GiB --batch 64,256,1024 --time-steps 64,256",
    ),
    Case("gru", "--cell gru --batch 64,512 --time-steps 128"),
    Case("rnn-tanh", "--cell rnn-tanh --batch 64,512 --time-steps 128"),
    Case("language-model", f"--factory {LANGUAGE_MODEL} --batch 20,80 --time-steps 70"),
    Case("loop", "--impl loop --batch 32,128 --time-steps 32"),
    Case("amp-bf16", "--dtype amp-bf16 --batch 64,256 --time-steps 128"),
    Case("amp-fp16", "--dtype amp-fp16 --batch 64,256 --time-steps 128"),
    Case("GPU-16gib", "--gpu-memory 16GiB --batch 256,2048 --time-steps 512"),
    Case("native", "--impl native --batch 32,128 --time-steps 32"),
    Case("bf16", "--dtype bf16 --batch 64,256 --time-steps 128"),
    Case("fp16", "--dtype fp16 --batch 64,256 --time-steps 128 --optimizer sgd"),
    Case("fp32-ieee", "--dtype fp32-ieee --batch 64,256 --time-steps 128"),
    Case("tf32", "--dtype tf32 --batch 64,256 --time-steps 128"),
    Case(
        "lstm-2-bidirectional",
        "--layers 2 --bidirectional --dropout 0.2 --batch 64 --time-steps 128",
    ),
    Case("projection", "--proj-size 128 --batch 64 --time-steps 128"),
    Case("compile", "--impl loop --compile --batch 32 --time-steps 16"),
)
"""By importance: where time runs out the last are left away."""

DRY_CASES: Final = (Case("lstm", "--input-size 8 --hidden-size 8 --batch 2 --time-steps 4"),)


def profiles(stage: Stage) -> None:
    """Small grids of many workloads, through the command itself."""
    failed = []
    for case in DRY_CASES if stage.is_dry else CASES:
        if stage.left_s() < LEAST_CASE_S:
            stage.keep(**{case.name: {"left_away": "no time"}})
            continue
        found = _profile(stage, case)
        stage.keep(**{case.name: found})
        if found["exit_code"] != 0:
            failed.append(f"{case.name} ({found['exit_code']})")
    if failed:
        raise RuntimeError(f"did not end well: {', '.join(failed)}")


def _profile(stage: Stage, case: Case) -> dict[str, Any]:
    path = stage.folder / "runs" / f"{case.name}.jsonl"
    command = [
        *(sys.executable, "-m", "rnnprof", "profile", "--json", "--device", stage.device),
        *("--point-seconds", "0.05" if stage.is_dry else "0.2", "-o", str(path)),
        *("--report", str(stage.folder / "charts" / case.name), *case.options.split()),
    ]
    ended = run_command(command, stage.left_s() - GRACE_S)
    return {**ended.figures(), **_document_figures(ended.stdout)}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; *exit_code* is None where it ran over its time."""

    exit_code: int | None
    wall_s: float
    stdout: str
    stderr: str

    def figures(self) -> dict[str, Any]:
        """What to keep of it: the words only where it did not end well."""
        figures: dict[str, Any] = {"exit_code": self.exit_code, "wall_s": round(self.wall_s, 2)}
        return figures if self.exit_code == 0 else {**figures, "stderr": self.stderr[-TAIL:]}


def run_command(command: list[str], timeout_s: float) -> Ended:
    """Run a command to its end or to its time; what it says on stderr goes into the log too."""
    print("$", shlex.join(command), flush=True)
    began_s = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        stdout, stderr = process.communicate(timeout=max(1.0, timeout_s))
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        code = None
    print(stderr, flush=True)
    return Ended(code, time.monotonic() - began_s, stdout, stderr)


POINT_FIELDS: Final = (
    "batch", "time_steps", "outcome", "phase", "reason", "step_time_s", "step_time_within_ci_s",
    "time_steps_per_s", "allocated_bytes", "reserved_bytes", "process_bytes",
    "breakdown_reason", "noisy", "warnings",
)  # fmt: skip


def _document_figures(stdout: str) -> dict[str, Any]:
    try:
        document = json.loads(stdout)
    except ValueError:
        return {"no_document": stdout[-TAIL:]}
    return {
        "points": [
            {name: point[name] for name in POINT_FIELDS if point.get(name) not in (None, [])}
            for point in document["points"]
        ]
    }


def account(stage: Stage) -> None:
    """Does each breakdown sum to the allocator's own peak, and where there is none, why?"""
    tally: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    unequal, unreadable = [], []
    for path in sorted((stage.folder / "runs").glob("*.jsonl")):
        try:
            run = journal.load(path)
        except RnnprofError as error:
            unreadable.append(f"{path.name}: {error}")
            continue
        for memory in (o for o in run.observations if isinstance(o, Memory)):
            verdict = breakdown_verdict(memory)
            tally[verdict] += 1
            where = f"{path.stem} {memory.point}"
            if verdict == "unequal":
                unequal.append(where)
            if verdict == "no breakdown":
                reasons[f"{path.stem}: {memory.breakdown_reason}"] += 1
    stage.keep(counts=dict(tally), reasons=dict(reasons), unequal=unequal, unreadable=unreadable)
    if not tally:
        raise SkipPart("no run has a memory observation")
    if unequal or unreadable:
        raise RuntimeError(f"{len(unequal)} breakdowns do not sum to the peak; {unreadable}")


def breakdown_verdict(memory: Memory) -> str:
    """``equal``, ``unequal``, ``no breakdown``, or ``not measured``."""
    if memory.outcome is not Outcome.MEASURED:
        return "not measured"
    if memory.breakdown is None:
        return "no breakdown"
    equal = sum(memory.breakdown.parts().values()) == memory.peak_allocated_bytes
    return "equal" if equal else "unequal"


def cost(stage: Stage) -> None:
    """Where the time of each profile went, and how much more it was than its timed steps."""
    found = {}
    for path in sorted((stage.folder / "runs").glob("*.jsonl")):
        try:
            run = journal.load(path)
        except RnnprofError:  # the breakdown reports it
            continue
        if run.is_finished and any(isinstance(o, Timing) for o in run.observations):
            parts = {name: round(seconds, 3) for name, seconds in shares(run).items()}
            least_s = parts["timing: timed steps"]
            found[path.stem] = {**parts, "over_the_least": parts["whole"] / least_s}
    if not found:
        raise SkipPart("no profile came to its end")
    stage.keep(**found)


def live_tests(stage: Stage) -> None:
    """The project's tests that need a GPU."""
    where = [str(ROOT / "tests" / "gpu")] if stage.is_dry else []
    command = [
        *(sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rfEs", "-p", "no:cacheprovider"),
        # an option or a test file whose package is missing here must not stop the others
        *("-W", "default", "--continue-on-collection-errors", *where),
    ]
    ended = run_command(command, stage.left_s() - GRACE_S)
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", _last(ended.stdout))}
    figures = {**ended.figures(), "counts": counts, "output": ended.stdout[-2 * TAIL :]}
    stage.keep(**figures)
    if ended.exit_code != 0:
        raise RuntimeError(f"pytest ended with {ended.exit_code}: {_last(ended.stdout)}")


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def doctor(stage: Stage) -> None:
    """What the machine says of itself."""
    command = [sys.executable, "-m", "rnnprof", "doctor", "--json"]
    ended = run_command(command, stage.left_s() - GRACE_S)
    try:
        answer = json.loads(ended.stdout)
    except ValueError:
        answer = ended.stdout[-TAIL:]
    stage.keep(**ended.figures(), answer=answer)


def peers(stage: Stage) -> None:
    """The largest batch compared with other tools, if that benchmark is present."""
    if not PEERS.exists():
        raise SkipPart(f"there is no {PEERS.name}")
    command = [sys.executable, str(PEERS), "--device", stage.device]
    ended = run_command(command, stage.left_s() - GRACE_S)
    stage.keep(**ended.figures(), output=ended.stdout[-2 * TAIL :])


FRONTIER_OPTIONS: Final = {
    "cpu": "--input-size 8 --hidden-size 8 --time-steps 4 --at-most 8 --memory-limit 512MiB",
    "cuda": "--time-steps 128,256,512,1024",
}


def frontier(stage: Stage) -> None:
    """The largest batches under the GPU's own limit, its free memory, to the last sequence."""
    command = [
        *(sys.executable, "-m", "rnnprof", "max-batch", "--json", "--device", stage.device),
        *("-o", str(stage.folder / "runs" / "frontier.jsonl")),
        *FRONTIER_OPTIONS[stage.device].split(),
    ]
    ended = run_command(command, stage.left_s() - GRACE_S)
    try:
        edges = json.loads(ended.stdout)["frontier"]
    except ValueError:
        edges = []
    stage.keep(**ended.figures(), frontier=edges)
    if ended.exit_code != 0:
        raise RuntimeError(f"max-batch ended with {ended.exit_code}")


PRECISION_OPTIONS: Final = {
    "cpu": "--rounds 1 --seconds 0.05 --only gru", "cuda": "--rounds 3 --seconds 1",
}  # fmt: skip


def precision(stage: Stage) -> None:
    """Step times compared with torch's own timer and triton's, for the same steps."""
    command = [
        *(sys.executable, "-m", "benchmarks.performance.precision", "--device", stage.device),
        *PRECISION_OPTIONS[stage.device].split(),
        *("--output", str(stage.folder / "charts" / "precision.json")),
    ]
    ended = run_command(command, stage.left_s() - GRACE_S)
    stage.keep(**ended.figures(), output=ended.stdout[-2 * TAIL :])
    if ended.exit_code != 0:
        raise RuntimeError(f"it ended with {ended.exit_code}")
