"""False alarms and power of the gate on this machine, compared with the rules of two other tools.

    python -m benchmarks.performance.gate [--repetitions 20] [--changed 10] [--output gate.json]
        [--quick]
    python -m benchmarks.performance.gate --reuse gate.json      (prints the table from raw figures)

The same training loop is in two folders, as in two checkouts, and the two are measured in
alternation (``rnnprof check --against``, processes A B B A), each in a fresh process:

1. *nothing changed*, 20 times: first the noise between processes is measured; then each pair is
   judged at a limit of three times that noise, rounded up to a tenth of a percent;
2. *slower by twice and by four times the limit*, 10 times each: the loop does more of its own
   arithmetic, as many products as take that share of a step; the resulting slowdown is measured and
   printed;
3. *1% more memory*, 10 times: the step keeps that much more, at the gate's default of 0.5%.

The JSON holds the raw medians and samples of every process.  The same data is judged by the rules
of pytest-benchmark (``--benchmark-compare-fail``, ``min``, ``median`` and ``mean``) on the first
process of each side, because it runs in one, and of pyperf (``compare_to``: a t test over the
samples of all processes; also with ``--min-speed`` at the limit).  Both run their own code, if they
can be imported.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from rnnprof.compare.comparison import ProcessMedians
from rnnprof.device.environment import machine_facts
from rnnprof.points.fold import by_point, timings_of
from rnnprof.runfile.journal import load
from rnnprof.runfile.points import Point
from rnnprof.runfile.records import Run
from rnnprof.units import format_ratio

BATCH: Final = 32
STEPS: Final = 64
PROCESSES: Final = 5
POINT_SECONDS: Final = 0.5
TIMES_NOISE: Final = 3
MORE_MEMORY_RATIO: Final = 0.01
MEMORY_POINT: Final = Point(160, 192)
"""Some 340 MiB, of which 1% is well above the gate's least allowance of 2 MiB."""

MORE_MEMORY: Final = "1% more memory"

LOOSE_RATIO: Final = 0.5
"""A limit on time that nothing here exceeds, for runs that judge memory alone."""

LOOP: Final = '''
"""The loop of both folders; the changes are in the first two values."""

import torch
from torch import nn

import rnnprof

EXTRA_PRODUCTS = 0
EXTRA_BYTES = 0
FACTOR = 256


def make(batch, steps, device):
    model = nn.LSTM(64, 128)
    optimizer = torch.optim.Adam(model.parameters())
    left, right = torch.randn(FACTOR, FACTOR), torch.randn(FACTOR, FACTOR)

    def step(phase):
        kept = torch.empty(EXTRA_BYTES, dtype=torch.uint8)
        optimizer.zero_grad()
        with phase("forward"):
            loss = model(torch.randn(steps, batch, 64))[0].square().mean()
            for _ in range(EXTRA_PRODUCTS):
                left @ right
        with phase("backward"):
            loss.backward()
        with phase("optimizer"):
            optimizer.step()
        return loss.detach() + kept.numel()

    return rnnprof.Training(step, model=model, optimizer=optimizer)
'''

CALIBRATE: Final = f"""
import statistics, sys, time
sys.path.insert(0, sys.argv[1])
import contextlib, torch, train
step = train.make({BATCH}, {STEPS}, torch.device("cpu")).step
left, right = torch.randn(train.FACTOR, train.FACTOR), torch.randn(train.FACTOR, train.FACTOR)
def took(work):
    times = []
    for _ in range(200):
        began = time.perf_counter(); work(); times.append(time.perf_counter() - began)
    return statistics.median(times[50:])
print(took(lambda: step(lambda _: contextlib.nullcontext())), took(lambda: left @ right))
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides of one comparison, and what the gate said.

    Attributes:
        base_s, new_s: medians of the quiet processes.
        base_samples_s, new_samples_s: samples of each of these processes.
        verdict: of the limit in question.
        exit_code: of the command.
        detectable_ratio: the smallest change that the verdict could have found.
        noisy: processes that did not count.
    """

    base_s: tuple[float, ...]
    new_s: tuple[float, ...]
    base_samples_s: tuple[tuple[float, ...], ...]
    new_samples_s: tuple[tuple[float, ...], ...]
    verdict: str
    reason: str
    exit_code: int
    wall_s: float
    detectable_ratio: float | None = None
    noisy: int = 0


@dataclass(slots=True)
class Series:
    """Comparisons of one kind."""

    name: str
    pairs: list[Pair] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Verdicts and how often each was given."""
        return dict(Counter(pair.verdict for pair in self.pairs))

    def change_ratio(self) -> float | None:
        """The mean change of time over all pairs."""
        logs = [
            fmean(map(math.log, pair.new_s)) - fmean(map(math.log, pair.base_s))
            for pair in self.pairs
            if pair.base_s and pair.new_s
        ]
        return math.expm1(fmean(logs)) if logs else None


@dataclass(slots=True)
class Bench:
    """The two folders, and the command that compares them."""

    folder: Path

    def write(self, name: str, products: int = 0, extra_bytes: int = 0) -> None:
        """The loop of one checkout."""
        (self.folder / name).mkdir(exist_ok=True)
        text = LOOP.replace("EXTRA_PRODUCTS = 0", f"EXTRA_PRODUCTS = {products}")
        text = text.replace("EXTRA_BYTES = 0", f"EXTRA_BYTES = {extra_bytes}")
        (self.folder / name / "train.py").write_text(text)

    def seconds(self) -> tuple[float, float]:
        """Of a step, and of one product."""
        command = [sys.executable, "-c", CALIBRATE, str(self.folder / "base")]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        step_s, product_s = (float(text) for text in output.split())
        return step_s, product_s

    def compare(self, point: Point, kind: str, time_ratio: float, processes: int) -> Pair:
        """One ``rnnprof check --against``, in fresh processes."""
        budget = (
            f'version = 1\n[workload]\nfactory = "train.py:make"\n[measure]\n'
            f'memory-limit = "4GiB"\npoint-seconds = {POINT_SECONDS}\nprocesses = {processes}\n'
            f"[growth]\nbatch = {point.batch}\ntime-steps = {point.time_steps}\n"
            f"time = {time_ratio}\n"
        )
        new = self.folder / "new"
        (new / "budget.toml").write_text(budget)
        command = [
            *(sys.executable, "-m", "rnnprof", "check", "--budget", "budget.toml"),
            *("--against", "../base", "--max-seconds", "0.001", "--json", "-q", "-o", "run.jsonl"),
        ]
        began_s = time.monotonic()
        ended = subprocess.run(command, cwd=new, capture_output=True, text=True, check=False)
        wall_s = time.monotonic() - began_s
        if not ended.stdout:
            raise SystemExit(f"{' '.join(command)}: {ended.stderr}")
        found = next(f for f in json.loads(ended.stdout)["findings"] if f["kind"] == kind)
        base, run = (load(new / name) for name in ("run-base.jsonl", "run.jsonl"))
        sides = [_processes(each, point) for each in (base, run)]
        return Pair(
            base_s=sides[0].medians_s,
            new_s=sides[1].medians_s,
            base_samples_s=_samples(base, point),
            new_samples_s=_samples(run, point),
            verdict=found["verdict"],
            reason=found["reason"],
            exit_code=ended.returncode,
            wall_s=wall_s,
            detectable_ratio=found["detectable_ratio"],
            noisy=sum(len(side.noisy) for side in sides),
        )


def _processes(run: Run, point: Point) -> ProcessMedians:
    return ProcessMedians.of(by_point(run.observations).get(point, ()))


def _samples(run: Run, point: Point) -> tuple[tuple[float, ...], ...]:
    timings = timings_of(by_point(run.observations).get(point, ()))
    return tuple(tuple(round(s, 7) for s in timing.samples_s) for timing in timings)


def noise_of(pairs: Sequence[Pair]) -> float:
    """Standard deviation of the logarithm of a process's median, within one side of a pair."""
    spreads = [
        stdev(map(math.log, side))
        for pair in pairs
        for side in (pair.base_s, pair.new_s)
        if len(side) > 1
    ]
    return math.sqrt(fmean(spread**2 for spread in spreads))


# --- other tools' rules over the same data -------------------------------------------------------


Rule = Callable[[Pair, float], bool]
"""Whether a tool calls the new side slower, at a limit."""


def pytest_benchmark_rule(statistic: str) -> Rule:
    """Its own check of ``--benchmark-compare-fail=STATISTIC:LIMIT%``, on one process a side."""
    from pytest_benchmark.stats import Stats
    from pytest_benchmark.utils import PercentageRegressionCheck

    def rule(pair: Pair, limit_ratio: float) -> bool:
        sides = []
        for samples in (pair.new_samples_s[0], pair.base_samples_s[0]):
            stats = Stats()
            for sample in samples:
                stats.update(sample)
            sides.append({statistic: getattr(stats, statistic)})
        check = PercentageRegressionCheck(statistic, 100 * limit_ratio)
        return bool(check.fails(*sides))

    return rule


def pyperf_rule(*, at_limit: bool) -> Rule:
    """Its own t test over all samples of all processes, and that the mean is above."""
    from pyperf._utils import is_significant

    def rule(pair: Pair, limit_ratio: float) -> bool:
        # it takes as many values of each process, and its t test as many of each side
        both = (pair.base_samples_s, pair.new_samples_s)
        processes = min(map(len, both))
        count = min(len(process) for side in both for process in side)
        base, new = ([s for p in side[:processes] for s in p[:count]] for side in both)
        least = 1 + limit_ratio if at_limit else 1.0
        return bool(is_significant(base, new)[0]) and fmean(new) > least * fmean(base)

    return rule


def rules() -> dict[str, Rule | str]:
    """Every other tool's rule, or why it is not there."""
    packages: dict[str, Callable[[], dict[str, Rule]]] = {
        "pytest_benchmark": lambda: {
            f"pytest-benchmark {name}": pytest_benchmark_rule(name)
            for name in ("min", "median", "mean")
        },
        "pyperf": lambda: {
            "pyperf": pyperf_rule(at_limit=False),
            "pyperf --min-speed": pyperf_rule(at_limit=True),
        },
    }
    found: dict[str, Rule | str] = {}
    for package, make in packages.items():
        if importlib.util.find_spec(package) is None:
            found[package] = f"not importable: no module named {package!r}"
        else:
            found |= make()
    return found


# --- the whole -----------------------------------------------------------------------------------


def rejudged(pairs: Sequence[Pair], limit_ratio: float) -> dict[str, int]:
    """What the gate says of the same data at a limit: its own rule, without the command."""
    from rnnprof.compare.comparison import compare_times
    from rnnprof.gate.seen import judge_estimates

    verdicts: Counter[str] = Counter()
    for pair in pairs:
        sides = [ProcessMedians(side) for side in (pair.base_s, pair.new_s)]
        change = compare_times(Point(BATCH, STEPS), *sides)
        verdicts[str(judge_estimates([change.estimate], limit_ratio)[0].value)] += 1
    return dict(verdicts)


def measure(
    repetitions: int, changed: int, processes: int, keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """All series, each kept as it is complete."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        found: dict[str, Any] = {"noise_ratio": None, "limit_ratio": None, "series": []}
        bench.write("base")
        bench.write("new")
        point = Point(BATCH, STEPS)
        same = Series("nothing changed")
        for _ in range(repetitions):
            same.pairs.append(bench.compare(point, "time_growth", 0.05, processes))
            _progress(same)
        noise = noise_of(same.pairs)
        limit = math.ceil(1000 * TIMES_NOISE * noise) / 1000
        print(f"noise between processes {format_ratio(noise)}, limit {format_ratio(limit)}")
        found |= {"noise_ratio": noise, "limit_ratio": limit, "series": [same]}
        keep(found)
        step_s, product_s = bench.seconds()
        for times in (2, 4):
            products = round(times * limit * step_s / product_s)
            bench.write("new", products=products)
            slower = Series(f"slower by {times} times the limit")
            for _ in range(changed):
                slower.pairs.append(bench.compare(point, "time_growth", limit, processes))
                _progress(slower)
            found["series"].append(slower)
            keep(found)
        found["series"].append(_more_memory(bench, changed))
        keep(found)
    return found


def _more_memory(bench: Bench, changed: int) -> Series:
    bench.write("new")
    probe = bench.compare(MEMORY_POINT, "memory_growth", LOOSE_RATIO, 1)
    assert probe.verdict == "PASS", probe.reason
    peak = _peak_bytes(bench.folder / "new" / "run.jsonl")
    bench.write("new", extra_bytes=math.ceil(MORE_MEMORY_RATIO * peak))
    more = Series(MORE_MEMORY)
    for _ in range(changed):
        more.pairs.append(bench.compare(MEMORY_POINT, "memory_growth", LOOSE_RATIO, 1))
        _progress(more)
    return more


def _peak_bytes(path: Path) -> int:
    from rnnprof.points.fold import fold_run

    peak = fold_run(load(path))[MEMORY_POINT].peak_allocated_bytes
    assert peak is not None
    return peak


def _progress(series: Series) -> None:
    last = series.pairs[-1]
    print(
        f"{series.name} {len(series.pairs)}: {last.verdict}, {last.wall_s:.0f} s, "
        f"{last.noisy} noisy; {last.reason}",
        file=sys.stderr, flush=True,
    )  # fmt: skip


def summary(found: dict[str, Any]) -> list[str]:
    """The table as it is printed."""
    limit = found["limit_ratio"]
    series: list[Series] = found["series"]
    timed = [each for each in series if each.name != MORE_MEMORY]
    noise = format_ratio(found["noise_ratio"])
    lines = [
        f"limit {format_ratio(limit)}: {TIMES_NOISE} times the noise between processes, {noise}"
    ]
    lines += ["", f"{'':34} {'change':>8} {'PASS':>5} {'INCONCLUSIVE':>13} {'FAIL':>5}"]
    for each in series:
        counts = rejudged(each.pairs, limit) if each in timed else each.counts()
        change = each.change_ratio() if each in timed else MORE_MEMORY_RATIO
        told = "-" if change is None else f"{change:+.2%}"
        passed, open_, failed = (counts.get(v, 0) for v in ("PASS", "INCONCLUSIVE", "FAIL"))
        lines.append(f"{each.name:34} {told:>8} {passed:>5} {open_:>13} {failed:>5}")
    finds = [p.detectable_ratio for p in timed[0].pairs if p.detectable_ratio is not None]
    if finds:
        low, high = format_ratio(min(finds)), format_ratio(max(finds))
        lines += ["", f"at a limit of 5% the smallest change that is found: {low} to {high}"]
    lines += ["", f"{'called slower by':34}" + "".join(f"{_short(s.name):>22}" for s in timed)]
    for name, rule in found["rules"].items():
        if isinstance(rule, str):
            lines.append(f"{name:34} {rule}")
            continue
        called = [sum(rule(pair, limit) for pair in each.pairs if _both(pair)) for each in timed]
        cells = (f"{count} of {len(each.pairs)}" for count, each in zip(called, timed, strict=True))
        lines.append(f"{name:34}" + "".join(f"{cell:>22}" for cell in cells))
    return lines


def _both(pair: Pair) -> bool:
    return bool(pair.base_samples_s and pair.new_samples_s)


def _short(name: str) -> str:
    return name.replace("slower by ", "").replace(" the limit", " limit")


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in ("torch", "rnnprof", "pyperf", "pytest-benchmark"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20, help="comparisons of the same")
    parser.add_argument("--changed", type=int, default=10, help="comparisons of each change")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="a side")
    parser.add_argument("--output", type=Path, help="all raw figures as JSON")
    parser.add_argument("--reuse", type=Path, help="judge again what this file holds")
    parser.add_argument("--quick", action="store_true", help="a few, to see that it runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repetitions, arguments.changed, arguments.processes = 2, 1, 3
    began_s = time.monotonic()

    def keep(found: dict[str, Any]) -> None:
        if arguments.output:
            _write(arguments.output, found, [])

    if arguments.reuse:
        found = read(arguments.reuse)
    else:
        found = measure(arguments.repetitions, arguments.changed, arguments.processes, keep)
    lines = summary({**found, "rules": rules()})
    if not arguments.reuse:
        wall_s = time.monotonic() - began_s
        lines += ["", f"{wall_s:.0f} s in all, {arguments.processes} processes a side"]
    print("\n".join(lines))
    if arguments.output:
        _write(arguments.output, found, lines)
    return 0


def _write(output: Path, found: dict[str, Any], lines: Sequence[str]) -> None:
    document = {
        "about": __doc__,
        "machine": machine_facts(),
        "versions": versions(),
        "noise_ratio": found["noise_ratio"],
        "limit_ratio": found["limit_ratio"],
        "table": lines,
        "series": [asdict(each) for each in found["series"]],
    }
    output.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def read(path: Path) -> dict[str, Any]:
    """What an earlier run has written, to be judged again."""
    document = json.loads(path.read_text())
    document = document.get("figures", document)  # as benchmarks/results keeps it
    series = [Series(s["name"], [_pair(p) for p in s["pairs"]]) for s in document["series"]]
    return {**document, "series": series}


def _pair(fields: dict[str, Any]) -> Pair:
    lists = ("base_s", "new_s")
    nested = ("base_samples_s", "new_samples_s")
    return Pair(
        **{
            **fields,
            **{name: tuple(fields[name]) for name in lists},
            **{name: tuple(map(tuple, fields[name])) for name in nested},
        }
    )


if __name__ == "__main__":
    sys.exit(main())
