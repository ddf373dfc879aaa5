"""Parts about time: is another process on the GPU detected, and does measuring change the step?"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.gpu.commands import run_command
from benchmarks.gpu.cudnn import step_times
from benchmarks.gpu.part import ROOT, TINY, Bench, Stage, ending, open_bench
from rnnprof.points.noise import judge
from rnnprof.protocol import Task
from rnnprof.report.words import as_text
from rnnprof.runfile.codec import decode
from rnnprof.runfile.observations import Conditions
from rnnprof.runfile.points import Point
from rnnprof.stats.statistics import StopRule
from rnnprof.units import GIB, MIB
from rnnprof.worker.passes.timing import sample
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.session import open_device
from rnnprof.worker.workload.workloads import build
from rnnprof.workload import Workload

NEIGHBOUR_BYTES: Final = {"cpu": 16 * MIB, "cuda": 4 * GIB}
PASS_S: Final = {"cpu": 0.5, "cuda": 4.0}
"""Timed steps of a pass that the stranger comes into."""

COMES_BEFORE_END: Final = 0.6
"""Share of those steps that are still to come when the stranger does, as the pass alone went."""

REFUSED: Final = 4
"""The exit code of a run on a GPU that another run holds."""


def neighbours(stage: Stage) -> None:
    """A stranger during and throughout a timing pass; then two runs on one GPU."""
    workload = TINY if stage.is_dry else Workload()
    with open_bench(stage) as bench:
        alone = _timed(bench, workload)
        stage.keep(alone=alone)
        comes_after_s = alone["wall_s"] - COMES_BEFORE_END * PASS_S[stage.device]
        with _neighbour(stage.device) as stranger:
            timer = threading.Timer(comes_after_s, lambda: _wake(stranger))
            timer.start()
            stage.keep(comes_during=_timed(bench, workload))
            timer.join()
            stage.keep(there_throughout=_timed(bench, workload))
    if not stage.is_dry:
        stage.keep(second_run=_second_run(stage))


def _timed(bench: Bench, workload: Workload) -> dict[str, Any]:
    seconds = PASS_S[bench.stage.device]
    size = {"batch": 4, "time_steps": 4} if bench.stage.is_dry else {"batch": 64, "time_steps": 128}
    # a precision that is never reached: the pass lasts for all of its time
    answer = bench.ask("timing", workload, point_seconds=seconds, precision_ratio=1e-9, **size)
    if answer.evidence is not None:
        return ending(answer)
    samples: Any = answer.findings["samples_s"]
    conditions = decode(Conditions, answer.findings["conditions"], "conditions")
    return {
        "median_s": statistics.median(samples),
        "first_to_last_fifth_s": [
            statistics.median(part)
            for part in (samples[: len(samples) // 5 + 1], samples[-len(samples) // 5 :])
        ],
        "samples": len(samples),
        "wall_s": answer.wall_s,
        "judged": as_text(judge(conditions)) or None,
        "others_drift_bytes": conditions.others_drift_bytes,
        "pass_s": conditions.wall_s,
        "device_after": answer.findings["conditions"].get("device_after"),  # type: ignore[attr-defined]
    }


@contextmanager
def _neighbour(device: str) -> Iterator[subprocess.Popen[str]]:
    """A stranger that waits for its word."""
    command = [sys.executable, "-m", "benchmarks.gpu.neighbour"]
    process = subprocess.Popen(
        [*command, device, str(NEIGHBOUR_BYTES[device])],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the neighbour did not come up")
        yield process
    finally:
        process.kill()
        process.communicate()


def _wake(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _second_run(stage: Stage) -> dict[str, Any]:
    """Start a run, and another while it holds the GPU; then stop the first."""
    folder = stage.folder / "runs"

    def command(path: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "rnnprof", "profile", "-q", "--device", stage.device),
            *("--batch", "4,8,16", "--time-steps", "4", "--point-seconds", "0.2", "-o", str(path)),
            "--no-report",
        ]

    first_path = folder / "first-of-two.jsonl"
    first = subprocess.Popen(command(first_path), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _await_content(first_path, stage)
        second = run_command(command(folder / "second-of-two.jsonl"), stage.left_s() - 2)
        first.terminate()
        began_s = time.monotonic()
        code = first.wait(max(1.0, stage.left_s() - 1))
    finally:
        first.kill()
        first.wait()
    return {
        "second": {**second.figures(), "expected": REFUSED, "stderr": second.stderr[-500:]},
        "first": {"exit_code": code, "expected": 143, "ends_s": time.monotonic() - began_s},
    }


def _await_content(path: Path, stage: Stage) -> None:
    """The header is written once the GPU is held."""
    while not (path.exists() and path.stat().st_size):
        if stage.left_s() < 1:
            raise TimeoutError(f"{path.name} was not begun in time")
        time.sleep(0.05)


BIAS_CASES: Final = {
    "lstm B=64 T=128": (Workload(), 64, 128),
    "gru B=128 T=64": (Workload(cell="gru", hidden_size=256), 128, 64),
    "lstm loop B=16 T=32": (Workload(impl="loop", input_size=64, hidden_size=64), 16, 32),
}
DRY_BIAS_CASES: Final = {"lstm B=4 T=8": (TINY, 4, 8)}

ROUNDS: Final = 6
ROUND_SAMPLES: Final = 30
WARM_UP_STEPS: Final = 10
BENCH_MS: Final = 100
"""triton's own default length of a measurement."""


def bias(stage: Stage) -> None:
    """The timing pass's sampling, a bare loop and triton's do_bench, in turn in one process."""
    for name, case in (DRY_BIAS_CASES if stage.is_dry else BIAS_CASES).items():
        stage.keep(**{name: _compare(stage, *case)})


def _compare(stage: Stage, workload: Workload, batch: int, time_steps: int) -> dict[str, Any]:
    task = Task("timing", workload, Point(batch, time_steps), stage.device)
    device = open_device(task)
    device.ready(None)
    training = build(task, batch, time_steps)
    tracker = PhaseTracker(lambda _phase: None, announcing=False)
    rule = StopRule(precision_ratio=0.0, budget_s=0.0, floor_samples=ROUND_SAMPLES)
    quiet = nullcontext()

    def by_rnnprof() -> float:
        sampled = sample(lambda n: device.run_block(lambda: training.step(tracker), n), rule)
        return statistics.median(sampled.samples_s)

    def by_bare_loop() -> float:
        bare = step_times(stage.device, lambda: training.step(lambda _: quiet), ROUND_SAMPLES, 0)
        return statistics.median(bare)

    ways: dict[str, Callable[[], float]] = {"rnnprof": by_rnnprof, "bare": by_bare_loop}
    do_bench = None if stage.is_dry else _triton()
    if do_bench is not None:
        ways["do_bench"] = lambda: do_bench(lambda: training.step(lambda _: quiet))
    for _ in range(WARM_UP_STEPS):
        training.step(tracker)
    return _ratios(_in_turn(ways))


def _triton() -> Callable[[Callable[[], Any]], float] | None:
    """Seconds of a step by triton's do_bench, which clears the L2 cache before each."""
    try:
        from triton.testing import do_bench
    except ImportError:
        return None
    return lambda step: do_bench(step, rep=BENCH_MS, return_mode="median") / 1e3


def _in_turn(ways: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Medians of every way, there and back again, round by round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(ROUNDS):
        for name in order:
            found[name].append(ways[name]())
        order.reverse()
    return found


def _ratios(medians_s: dict[str, list[float]]) -> dict[str, Any]:
    """Every method compared with the bare loop, round by round."""
    bare = medians_s["bare"]
    ratios = {
        name: [a / b for a, b in zip(values, bare, strict=True)]
        for name, values in medians_s.items()
        if name != "bare"
    }
    return {
        "medians_s": medians_s,
        "against_bare": {
            name: {"median": statistics.median(values), "least": min(values), "most": max(values)}
            for name, values in ratios.items()
        },
        "bare_neighbours": max(abs(b / a - 1) for a, b in itertools.pairwise(bare)),
        "triton": torch.version.cuda is not None and "do_bench" in medians_s,
    }
