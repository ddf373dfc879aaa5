"""The step time by rnnprof and by torch.utils.benchmark, for the same steps, in alternation.

    python -m benchmarks.performance.precision [--rounds 10] [--seconds 2] [--only lstm]
        [--device auto]

Each measurement runs in a fresh process, forked from this one, which builds the workload and times
it: rnnprof by its warm-up and stop rule (a precision of +-3% on a CPU, +-1% on CUDA, within
``--seconds``), torch by ``Timer.adaptive_autorange()``, and on CUDA triton by ``do_bench``, each
with its own settings.  Within a round the methods alternate, and the next round has the reverse
order.  The table shows for each method the median over its processes; the spread of the processes;
half of the interval that a process claims for its median; in how many processes that interval holds
the median of all processes of all methods; and the seconds used, including warm-up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch._dynamo

from benchmarks.performance.children import in_child
from benchmarks.performance.overhead import CASES
from rnnprof.protocol import Task
from rnnprof.stats.statistics import StopRule, WarmUpRule, half_width_ratio, median_interval
from rnnprof.units import format_ratio, format_seconds
from rnnprof.worker.backends.base import Device
from rnnprof.worker.passes.timing import sample
from rnnprof.worker.phases import PhaseTracker
from rnnprof.worker.session import open_device
from rnnprof.worker.workload.workloads import build

PRECISION: Final = {"cpu": 0.03, "cuda": 0.01}
"""The default of ``rnnprof profile``."""


def by_rnnprof(step: Callable[[], Any], device: Device, task: Task) -> list[float]:
    """Samples of whole steps, as the timing pass takes them."""
    warm_up = WarmUpRule(task.point_seconds / 2)
    samples: list[float] = []
    while not warm_up.is_over(samples):
        began_s = time.perf_counter()
        step()
        device.synchronize()
        samples.append(time.perf_counter() - began_s)
    rule = StopRule(task.precision_ratio, task.point_seconds)
    return sample(partial(device.run_block, step), rule).samples_s


def by_torch(step: Callable[[], Any], device: Device, task: Task) -> list[float]:  # noqa: ARG001
    """Times per step of torch's own timer, of as many blocks as it finds enough."""
    from torch.utils.benchmark import Timer

    timer = Timer("step()", globals={"step": step}, num_threads=torch.get_num_threads())
    return list(timer.adaptive_autorange().times)


def by_triton(step: Callable[[], Any], device: Device, task: Task) -> list[float]:  # noqa: ARG001
    """Times of ``do_bench``, which clears the cache before each step."""
    from triton.testing import do_bench

    return [each / 1e3 for each in do_bench(step, return_mode="all")]


METHODS: Final = {"rnnprof": by_rnnprof, "torch": by_torch}


def timed(name: str, task: Task) -> dict[str, Any]:
    """One process's measurement."""
    device = open_device(task)
    device.ready(None)
    training = build(task, task.point.batch, task.point.time_steps)
    tracker = PhaseTracker(lambda _phase: None, announcing=False)
    began_s = time.perf_counter()
    samples = METHODS[name](lambda: training.step(tracker), device, task)
    return {
        "method": name,
        "wall_s": time.perf_counter() - began_s,
        "samples_s": samples,
        "median_s": statistics.median(samples),
        "interval_s": median_interval(samples),
        "half_width": half_width_ratio(samples),
    }


def compare(task: Task, rounds: int) -> list[dict[str, Any]]:
    """Every process's measurement, in the order in which they were made."""
    order, found = list(METHODS), []
    for _ in range(rounds):
        found += [in_child(partial(timed, name, task)) for name in order]
        order.reverse()
    return found


def line(case: str, name: str, found: list[dict[str, Any]]) -> str:
    """One method's row."""
    own = [each for each in found if each["method"] == name]
    medians = [each["median_s"] for each in own]
    truth = statistics.median(each["median_s"] for each in found)
    widths = [each["half_width"] for each in own if each["half_width"] is not None]
    held = sum(
        each["interval_s"] is not None and each["interval_s"][0] <= truth <= each["interval_s"][1]
        for each in own
    )
    known = f"+-{format_ratio(statistics.median(widths)).strip()}" if widths else "-"
    seconds = statistics.median(each["wall_s"] for each in own)
    count = statistics.median(len(each["samples_s"]) for each in own)
    return (
        f"{case:36} {name:8} {format_seconds(statistics.median(medians)):>8}  "
        f"{format_ratio(max(medians) / min(medians) - 1):>6}  {known:>7}  "
        f"{held:2} of {len(own):<2}  {count:7.0f}  {seconds:7.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="processes of each method")
    parser.add_argument("--seconds", type=float, default=2.0, help="rnnprof's --point-seconds")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", type=Path, help="figures as JSON")
    arguments = parser.parse_args()
    assert torch._dynamo  # imported as the template does: the first optimizer step needs it
    # only the build shows whether CUDA is there: a call to the driver would start it here
    on_cuda = torch.version.cuda is not None if arguments.device == "auto" else None
    device = "cuda" if on_cuda or arguments.device == "cuda" else "cpu"
    if device == "cuda":
        METHODS["triton"] = by_triton
    print(
        f"{'':36} {'':8} {'median':>8}  {'apart':>6}  {'claims':>7}  {'held':8}  {'samples':>7}  "
        f"{'seconds':>9}"
    )
    cases = {}
    for name, case in CASES.items():
        if arguments.only in name:
            task = Task(
                do="timing", device=device, point_seconds=arguments.seconds,
                precision_ratio=PRECISION[device], **case,
            )  # fmt: skip
            found = cases[name] = compare(task, arguments.rounds)
            for method in METHODS:
                print(line(name, method, found), flush=True)
    if arguments.output:
        document = {"device": device, "cases": cases}
        arguments.output.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
