"""Ten rules of thumb on batch size and time steps, held against measurements of this machine.

    python -m benchmarks.studies.rules_of_thumb [--output reports/rules-of-thumb/DEVICE/DATE]
        [--reuse]

Two runs are made: a profile of an LSTM under a memory limit, over batches with their neighbours
and many T, with the edges proven; and a study of the adding problem, with gradient reach, noise
scale and trainings to a target (benchmarks/studies/time_to_target.py makes the same).  Each rule is then
judged from their run files alone: *holds*, *holds under conditions* or *does not hold here*.
``--reuse`` judges again what stands in the folder.  Written: a page in English, its summary in
Chinese, and a chart for each rule.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.studies.time_to_target import measure as measure_study
from rnnprof.maxbatch.certify import frontier_of
from rnnprof.points.fold import fold_run
from rnnprof.points.measurement import Measurement
from rnnprof.report.charts.kit.style import OKABE_ITO, TITLE_PT, rendered, style
from rnnprof.report.charts.slices_lines import rate_interval
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.journal import load
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Run
from rnnprof.study.trainability import ReachAt, ToTarget, Trainability, trainability_of
from rnnprof.units import format_bytes, format_rate, format_ratio

BATCH: Final = "8,16,31,32,33,63,64,65,96,100,127,128,129,136,256"
STEPS: Final = "10,20,30,80,160"
PROCESSES: Final = "3"
"""The medians of two processes differ by a tenth and more: a neighbour's difference is less."""

LIMIT: Final = "512MiB"
CELL: Final = ("--cell", "lstm", "--input-size", "128", "--hidden-size", "256")

STUDY_BATCH: Final = "16:512:x2"
STUDY_STEPS: Final = "10,30,100"
TARGET: Final = 0.02
TRAIN_SECONDS: Final = 25.0

CLEAR_RATIO: Final = 0.05
"""A difference below it is none."""

NEAR_BEST: Final = 0.05

HOLDS: Final = "holds"
CONDITIONS: Final = "holds under conditions"
NOT_HERE: Final = "does not hold here"
CHINESE: Final = {HOLDS: "成立", CONDITIONS: "有条件地成立", NOT_HERE: "在此不成立"}

POWERS: Final = {32: (31, 33), 64: (63, 65), 128: (127, 129)}


@dataclass(frozen=True, slots=True)
class Seen:
    """What both runs say."""

    points: Mapping[Point, Measurement]
    frontier: Sequence[Certificate]
    study: Trainability
    limit_bytes: int

    @property
    def timed(self) -> list[Measurement]:
        """Points with a throughput."""
        return [m for m in self.points.values() if m.time_steps_per_s]

    def at_steps(self, time_steps: int) -> list[Measurement]:
        """Of them those at a T, by batch."""
        return sorted(
            (m for m in self.timed if m.point.time_steps == time_steps), key=lambda m: m.point.batch
        )

    def at_batch(self, batch: int) -> list[Measurement]:
        """Of them those at a B, by T."""
        return sorted(
            (m for m in self.timed if m.point.batch == batch), key=lambda m: m.point.time_steps
        )

    @property
    def lengths(self) -> list[int]:
        """Every T that was timed."""
        return sorted({m.point.time_steps for m in self.timed})


@dataclass(frozen=True, slots=True)
class Judged:
    """A rule and what was measured of it, in English and in Chinese.

    Attributes:
        draw: draws its chart.
    """

    verdict: str
    english: str
    chinese: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as people say it."""

    name: str
    english: str
    chinese: str
    judge: Callable[[Seen], Judged]


def rate(measurement: Measurement) -> float:
    """Time steps per second."""
    return measurement.time_steps_per_s or 0.0


def saturation(at: Sequence[Measurement]) -> Measurement:
    """The smallest batch within 5% of the best rate."""
    best = max(map(rate, at))
    return next(m for m in at if rate(m) >= (1 - NEAR_BEST) * best)


def three(shares: Sequence[bool]) -> str:
    """Everywhere, somewhere, nowhere."""
    if all(shares):
        return HOLDS
    return CONDITIONS if any(shares) else NOT_HERE


def lines(axes: Axes, series: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """A line for each name."""
    for index, (name, (x, y)) in enumerate(series.items()):
        axes.plot(x, y, marker="osD^vPX*"[index % 8], markersize=4, linewidth=1.3, label=name,
                  color=OKABE_ITO[index % len(OKABE_ITO)])  # fmt: skip
    if len(series) > 1:
        axes.legend(loc="best")
    axes.grid(axis="y")


def over_batch(
    seen: Seen, value: Callable[[Measurement], float]
) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """A value over B, a line for each T."""
    return {
        f"T={time_steps}": (
            [m.point.batch for m in seen.at_steps(time_steps)], [value(m) for m in seen.at_steps(time_steps)],
        )
        for time_steps in seen.lengths
    }  # fmt: skip


def label(axes: Axes, x: str, y: str, *, log: bool = True) -> None:
    """Name the axes; batches and time steps go by powers of two."""
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


# --- the rules -----------------------------------------------------------------------------------


def larger_is_faster(seen: Seen) -> Judged:
    gains = {t: max(map(rate, seen.at_steps(t))) / rate(seen.at_steps(t)[0]) for t in seen.lengths}
    knees = {t: saturation(seen.at_steps(t)).point.batch for t in seen.lengths}
    verdict = three([gain > 1 + 2 * CLEAR_RATIO for gain in gains.values()])
    ends = [seen.at_steps(t)[-1].point.batch for t in seen.lengths]
    if verdict == HOLDS and any(knees[t] < end for t, end in zip(seen.lengths, ends, strict=True)):
        verdict = CONDITIONS
    told = "; ".join(f"T={t}: {gains[t]:.2f} times, within 5% from B={knees[t]}" for t in gains)
    first = seen.at_steps(seen.lengths[0])[0].point.batch

    def draw(axes: Axes) -> None:
        lines(axes, over_batch(seen, lambda m: rate(m) / 1e3))
        label(axes, "batch B, sequences", "thousand time steps/s")

    return Judged(
        verdict,
        f"The best throughput over that at B={first}: {told}. Beyond that batch more brings nothing.",
        f"最大吞吐量与 B={first} 时之比：{told.replace('times, within 5% from', '倍，自').replace('; ', '；')}"
        "（起在最佳值的 5% 以内）。批量再大也不再加快。",
        draw,
    )


def too_large_does_not_fit(seen: Seen) -> Judged:
    known = [c for c in seen.frontier if c.batch is not None]
    proven = [c for c in known if c.status is EdgeStatus.CERTIFIED]
    verdict = HOLDS if proven else NOT_HERE
    limit = format_bytes(seen.limit_bytes)
    told = ", ".join(
        f"T={c.time_steps}: {c.batch} fits, {c.batch + c.granularity} does not"
        for c in proven
        if c.batch
    )
    capped = len(known) - len(proven)
    also = f" At {capped} T no batch that was tried was too large." if capped else ""
    product = [(c.batch or 0) * c.time_steps for c in proven]
    spread = (
        f" B x T at the edge lies between {min(product)} and {max(product)}."
        if len(product) > 1
        else ""
    )

    def draw(axes: Axes) -> None:
        lines(axes, {"edge": ([c.time_steps for c in known], [float(c.batch or 0) for c in known])})
        label(axes, "time steps T", "largest batch that fits")
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")

    return Judged(
        verdict,
        f"Under {limit}, proven in fresh processes: {told}.{also}{spread}",
        f"在 {limit} 的限制下，每条边界都由新进程证明：{told.replace(' fits, ', ' 可行，').replace('does not', '不可行')}。",
        draw,
    )


def smaller_eases_memory(seen: Seen) -> Judged:
    t = seen.lengths[-1]
    at = [m for m in seen.at_steps(t) if m.peak_allocated_bytes]
    small, large = at[0], at[-1]
    memory = (small.peak_allocated_bytes or 0) / (large.peak_allocated_bytes or 1)
    slower = rate(large) / rate(small)
    targets = _by_batch(seen)
    longest = [_time_ratio(group) for group in targets.values()]
    known = [ratio for ratio in longest if ratio is not None]
    lengthens = [ratio > 1 + 4 * CLEAR_RATIO for ratio in known]
    verdict = HOLDS if known and all(lengthens) else CONDITIONS  # memory it eases in any case
    ratios = ", ".join(f"{ratio:.2f}" for ratio in known)

    def draw(axes: Axes) -> None:
        lines(axes, over_batch(seen, lambda m: (m.peak_allocated_bytes or math.nan) / 2**20))
        label(axes, "batch B, sequences", "peak allocated, MiB")

    return Judged(
        verdict,
        f"At T={t}, B={small.point.batch} takes {format_ratio(memory)} of the memory of "
        f"B={large.point.batch}, and {slower:.2f} times as long for the same work. But to the target "
        f"loss the smallest batch took {ratios or 'an unknown number of'} times the time of the "
        "quickest (one figure for each T): lengthening is a matter of the loss, not of speed alone.",
        f"T={t} 时，B={small.point.batch} 占用 B={large.point.batch} 的 {format_ratio(memory)} 内存，"
        f"同样的计算量耗时 {slower:.2f} 倍。但达到目标损失所需时间，最小批量是最快者的 {ratios} 倍（每个 T 一个）。",
        draw,
    )


def more_steps_cost_more(seen: Seen) -> Judged:
    batch = 32
    at = seen.at_batch(batch)
    first, last = at[0], at[-1]
    step = (last.step_time_s or 0) / (first.step_time_s or 1)
    length = last.point.time_steps / first.point.time_steps
    speed = rate(last) / rate(first)
    verdict = HOLDS if speed < 1 - CLEAR_RATIO else CONDITIONS

    def draw(axes: Axes) -> None:
        chosen = (8, 32, 128)
        lines(axes, {
            f"B={b}": ([m.point.time_steps for m in seen.at_batch(b)], [1e3 * (m.step_time_s or 0) for m in seen.at_batch(b)])
            for b in chosen if seen.at_batch(b)
        })  # fmt: skip
        label(axes, "time steps T", "step time, ms")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")

    return Judged(
        verdict,
        f"At B={batch}, from T={first.point.time_steps} to T={last.point.time_steps} ({length:.0f} times) a step "
        f"takes {step:.1f} times as long; per time step the speed changes by {speed - 1:+.0%}. So "
        f"{'each time step runs slower, too' if verdict == HOLDS else 'a step costs more, and no time step runs slower'}.",
        f"B={batch} 时，T 从 {first.point.time_steps} 增到 {last.point.time_steps}（{length:.0f} 倍），每步耗时 {step:.1f} 倍；"
        f"按时间步计的速度变化 {speed - 1:+.0%}。",
        draw,
    )


def batch_changes_convergence(seen: Seen) -> Judged:
    targets = _by_batch(seen)
    told, chinese, rising = [], [], []
    for t, group in targets.items():
        known = [e for e in group if e.sequences]
        if len(known) < 2:
            continue
        first, last = known[0], known[-1]
        ratio = (last.sequences or 0) / (first.sequences or 1)
        rising.append(ratio > 1 + 4 * CLEAR_RATIO)
        time_steps = (last.train_steps or 0) / (first.train_steps or 1)
        told.append(
            f"T={t}: B={last.point.batch} takes {ratio:.1f} times the sequences of "
            f"B={first.point.batch} and {time_steps:.2f} times the steps"
        )
        chinese.append(
            f"T={t}：B={last.point.batch} 所需序列数是 B={first.point.batch} 的 {ratio:.1f} 倍，步数是 {time_steps:.2f} 倍"
        )
    noise = [
        f"T={each.time_steps}: {each.scale.sequences:.3g}"
        for each in seen.study.noise
        if each.scale and each.scale.sequences is not None
    ]
    missed = sum(e.seeds - e.reached for group in targets.values() for e in group)
    total = sum(e.seeds for group in targets.values() for e in group)

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([e.point.batch for e in group], [e.sequences or math.nan for e in group])
            for t, group in targets.items() if any(e.sequences for e in group)
        })  # fmt: skip
        label(axes, "batch B, sequences", "sequences to the target loss")

    return Judged(
        three(rising) if rising else CONDITIONS,
        f"{'; '.join(told)}. Noise scale after training for a while, in sequences: "
        f"{', '.join(noise) or 'unknown'}. {missed} of {total} trainings did not come to the target in "
        "the time given. Generalisation was not measured: the tasks have no end of fresh data.",
        f"达到目标损失：{'；'.join(chinese)}。训练一段之后的噪声尺度（序列数）：{'，'.join(noise) or '未知'}。{total} 次训练中 {missed} 次未在限时内达到。未测量泛化。",
        draw,
    )


def more_steps_remember_more(seen: Seen) -> Judged:
    before = {e.time_steps: e for e in seen.study.reach if e.reach and e.train_steps == 0}
    after = {e.time_steps: e for e in seen.study.reach if e.reach and e.train_steps > 0}
    told = [
        f"T={t}: {_reached(before[t])} before, {_reached(after[t])} after training"
        for t in before
        if t in after
    ]
    chinese = [
        f"T={t}：训练前{_reached(before[t], '至少')}，训练后{_reached(after[t], '至少')}"
        for t in before
        if t in after
    ]
    vanish = [e.reach is not None and not e.reach.is_cut for e in before.values()]
    verdict = CONDITIONS if any(vanish) else HOLDS

    def draw(axes: Axes) -> None:
        series = {}
        for t, each in after.items():
            if each.reach:
                series[f"T={t}, trained"] = _curve(each)
        longest = max(before, default=None)
        if longest is not None and before[longest].reach:
            series[f"T={longest}, at the start"] = _curve(before[longest])
        lines(axes, series)
        label(axes, "lag, time steps back", "gradient, share of the last step's", log=False)
        axes.set_yscale("log")
        axes.set_ylim(1e-6, 10)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.axhline(1e-3, linewidth=0.7, linestyle=":", color="#5a5a5b")

    return Judged(
        verdict,
        f"How far the gradient reaches (0.1% of the last step's): {'; '.join(told)}. A longer T shows "
        "the network more, but what it learns from at the start ends at its reach, not at T.",
        f"梯度可达的步数（末步的 0.1%）：{'；'.join(chinese)}。更长的 T 并不自动记得更远。",
        draw,
    )


def powers_of_two(seen: Seen) -> Judged:
    """Rates of the powers against the mean of their neighbours, where the intervals are apart."""
    better, worse, told = [], [], []
    for t in seen.lengths:
        by_batch = {m.point.batch: m for m in seen.at_steps(t)}
        for power, (below, above) in POWERS.items():
            if not {power, below, above} <= set(by_batch):
                continue
            ratio = rate(by_batch[power]) / math.sqrt(rate(by_batch[below]) * rate(by_batch[above]))
            intervals = [rate_interval(by_batch[b]) for b in (power, below, above)]
            above_both = all(intervals) and intervals[0][0] > max(i[1] for i in intervals[1:])  # type: ignore[index]
            below_both = all(intervals) and intervals[0][1] < min(i[0] for i in intervals[1:])  # type: ignore[index]
            better.append(ratio > 1 + CLEAR_RATIO and bool(above_both))
            worse.append(ratio < 1 - CLEAR_RATIO and bool(below_both))
            told.append((t, power, ratio))
    most = max(told, key=lambda each: abs(math.log(each[2])), default=None)
    mean = math.exp(sum(math.log(each[2]) for each in told) / len(told)) if told else 1.0
    # better here and worse there is what a machine's own noise looks like
    verdict = three(better) if sum(better) > sum(worse) or not better else NOT_HERE

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([float(p) for s, p, _ in told if s == t], [r for s, _, r in told if s == t])
            for t in seen.lengths
        })  # fmt: skip
        axes.axhline(1.0, linewidth=0.7, linestyle=":", color="#5a5a5b")
        label(axes, "batch B, a power of two", "rate over that of B-1 and B+1")
        axes.set_xticks(list(POWERS), [str(power) for power in POWERS])

    extreme = (
        "" if most is None else f" the farthest from 1 is {most[2]:.2f} (T={most[0]}, B={most[1]}),"
    )
    return Judged(
        verdict,
        f"B = 32, 64 and 128 against one sequence less and one more, over {len(told)} pairs of B and T: "
        f"the rate is {mean:.3f} times theirs on average,{extreme} and clearly better (by 5% and with "
        f"intervals apart) in {sum(better)} of {len(better)}, clearly worse in {sum(worse)}.",
        f"B = 32、64、128 与少一和多一个序列相比（{len(told)} 组）：平均为其 {mean:.3f} 倍；明显更快的有 {sum(better)} 组，明显更慢的有 {sum(worse)} 组。",
        draw,
    )


def lower_but_not_too_far(seen: Seen) -> Judged:
    told, saves = [], []
    for t in seen.lengths:
        at = [m for m in seen.at_steps(t) if m.peak_allocated_bytes]
        best, cheap = max(at, key=rate), saturation(at)
        share = (cheap.peak_allocated_bytes or 0) / (best.peak_allocated_bytes or 1)
        lost = 1 - rate(at[0]) / rate(best)
        saves.append(lost > CLEAR_RATIO)
        told.append(
            f"T={t}: B={cheap.point.batch} is within 5% of the best with {format_ratio(share)} of its "
            f"memory; B={at[0].point.batch} loses {format_ratio(lost)}"
        )

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([(m.peak_allocated_bytes or 0) / 2**20 for m in seen.at_steps(t)],
                       [rate(m) / max(map(rate, seen.at_steps(t))) for m in seen.at_steps(t)])
            for t in seen.lengths
        })  # fmt: skip
        label(axes, "peak allocated, MiB", "share of the best throughput")
        axes.axhline(1 - NEAR_BEST, linewidth=0.7, linestyle=":", color="#5a5a5b")

    return Judged(
        three(saves),
        f"{'; '.join(told)}.",
        f"{'; '.join(told).replace('is within 5% of the best with', '达到最佳的 95%，只占其').replace('of its memory', '内存').replace('loses', '损失').replace('; ', '；')}。",
        draw,
    )


def short_chunks(seen: Seen) -> Judged:
    batch = 32
    at = {m.point.time_steps: m for m in seen.at_batch(batch)}
    longest = max(at)
    short = [t for t in (10, 20, 30) if t in at]
    memory = {
        t: (at[t].peak_allocated_bytes or 0) / (at[longest].peak_allocated_bytes or 1)
        for t in short
    }
    speed = {t: rate(at[t]) / rate(at[longest]) for t in short}
    reach = {e.time_steps: e.reach for e in seen.study.reach if e.train_steps > 0 and e.reach}
    cut = [t for t, r in reach.items() if t <= 30 and r.is_cut]
    told = "; ".join(
        f"T={t}: {format_ratio(memory[t])} of the memory, {speed[t]:.2f} times the speed"
        for t in short
    )
    trained = {e.time_steps: e for e in seen.study.reach if e.train_steps > 0 and e.reach}
    known = ", ".join(f"T={t}: {_reached(e)}" for t, e in trained.items())
    known_chinese = "，".join(f"T={t}：{_reached(e, '至少')}" for t, e in trained.items())

    def draw(axes: Axes) -> None:
        x = sorted(at)
        lines(axes, {
            "throughput": ([float(t) for t in x], [rate(at[t]) / max(map(rate, at.values())) for t in x]),
            "memory": ([float(t) for t in x], [(at[t].peak_allocated_bytes or 0) / (at[longest].peak_allocated_bytes or 1) for t in x]),
        })  # fmt: skip
        label(axes, f"chunk length T, at B={batch}", "share of the largest")

    return Judged(
        CONDITIONS,
        f"At B={batch} against T={longest}: {told}. Reach after training: {known}. "
        + ("A chunk of at most 30 steps cuts the gradient off before it has ended by itself "
           f"(at T={', '.join(map(str, cut))}): what needs longer memory is not learned from it."
           if cut else "The gradient ends before these chunks do: they cut nothing off."),
        f"B={batch} 时与 T={longest} 相比：{told.replace('of the memory', '内存').replace('times the speed', '倍速度').replace('; ', '；')}。训练后的可达步数：{known_chinese}。",
        draw,
    )  # fmt: skip


def large_b_small_t(seen: Seen) -> Judged:
    budgets = [seen.limit_bytes * share for share in (0.125, 0.25, 0.5, 1.0)]
    best = []
    for budget in budgets:
        fits = [m for m in seen.timed if m.peak_charged_bytes and m.peak_charged_bytes <= budget]
        if fits:
            best.append((budget, max(fits, key=rate)))
    told = "; ".join(
        f"within {format_bytes(budget)}: B={m.point.batch} T={m.point.time_steps}, {format_rate(rate(m))}"
        for budget, m in best
    )
    spread = []
    for budget, top in best:
        fits = [m for m in seen.timed if m.peak_charged_bytes and m.peak_charged_bytes <= budget]
        near = [m.point.time_steps for m in fits if rate(m) >= (1 - NEAR_BEST) * rate(top)]
        spread.append((min(near), max(near)))
    free = sum(high > 2 * low for low, high in spread)
    near_told = ", ".join(f"{low} to {high}" for low, high in spread)
    near_chinese = "，".join(f"{low} 至 {high}" for low, high in spread)
    chinese = "；".join(
        f"{format_bytes(budget)} 以内 B={m.point.batch} T={m.point.time_steps}，{format_rate(rate(m))}"
        for budget, m in best
    )

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([(m.peak_charged_bytes or math.nan) / 2**20 for m in seen.at_steps(t)], [rate(m) / 1e3 for m in seen.at_steps(t)])
            for t in seen.lengths
        })  # fmt: skip
        label(axes, "counted by the limit, MiB", "thousand time steps/s")

    return Judged(
        NOT_HERE if free == len(best) else CONDITIONS,
        f"The most time steps/s: {told}. Within 5% of each lie T from {near_told}; "
        "a wide range leaves T to be chosen by what has to be remembered.",
        f"每秒时间步最多的点：{chinese}。与之相差 5% 以内的 T：{near_chinese}。",
        draw,
    )


RULES: Final = (
    Rule("larger-is-faster", "A larger batch runs faster, by parallelism", "批量越大，并行度越高，训练越快", larger_is_faster),
    Rule("too-large-does-not-fit", "Too large a batch does not fit", "批量过大会内存不足", too_large_does_not_fit),
    Rule("smaller-eases-memory", "A smaller batch eases memory and lengthens training", "小批量省内存，但训练时间变长", smaller_eases_memory),
    Rule("more-steps-cost-more", "More time steps cost more per step and run slower", "时间步越多，每步越贵，训练越慢", more_steps_cost_more),
    Rule("batch-changes-convergence", "Batch size changes convergence and stability", "批量影响收敛与稳定性", batch_changes_convergence),
    Rule("more-steps-remember-more", "More time steps remember more, and vanish or explode", "时间步越多记得越远，但梯度会消失或爆炸", more_steps_remember_more),
    Rule("powers-of-two", "Batches should be powers of two", "批量应取 2 的幂", powers_of_two),
    Rule("lower-but-not-too-far", "If memory is short, lower the batch, but not too far", "内存不足时减小批量，但不要太小", lower_but_not_too_far),
    Rule("short-chunks", "Keep T at 10, 20, 30; cut long sequences into chunks", "时间步取 10、20、30，长序列分段", short_chunks),
    Rule("large-b-small-t", "Short sequences: large B, small T; long ones: smaller B, larger T", "短序列用大批量、小时间步；长序列用小批量、大时间步", large_b_small_t),
)  # fmt: skip


# --- helpers of the rules ------------------------------------------------------------------------


def _by_batch(seen: Seen) -> dict[int, list[ToTarget]]:
    groups: dict[int, list[ToTarget]] = {}
    for each in seen.study.to_target:
        groups.setdefault(each.point.time_steps, []).append(each)
    return groups


def _time_ratio(group: Sequence[ToTarget]) -> float | None:
    """The smallest batch's time over the quickest one's."""
    known = [e.train_s for e in group if e.train_s]
    first = group[0].train_s
    return first / min(known) if first and known else None


def _reached(each: ReachAt, at_least: str = "at least") -> str:
    assert each.reach is not None
    return f"{at_least} {each.reach.reach}" if each.reach.is_cut else f"{each.reach.reach}"


def _curve(each: ReachAt) -> tuple[Sequence[float], Sequence[float]]:
    assert each.reach is not None
    return list(range(len(each.reach.ratios))), [r or math.nan for r in each.reach.ratios]


# --- the whole -----------------------------------------------------------------------------------


def measure_profile(folder: Path) -> None:
    """Times and peaks over the grid, each time in several processes; then the edges beyond it."""
    common = (
        *CELL,
        "--time-steps",
        STEPS,
        "--memory-limit",
        LIMIT,
        "-o",
        str(folder / "profile.jsonl"),
    )
    for command in (
        [
            *("profile", *common, "--batch", BATCH, "--point-seconds", "0.5"),
            *("--processes", PROCESSES, "--no-report", "--no-certify", "--overwrite"),
        ],
        ["max-batch", *common, "--extend"],
    ):
        subprocess.run([sys.executable, "-m", "rnnprof", *command], check=True)


def measure(folder: Path) -> None:
    """Both runs."""
    measure_profile(folder)
    study = folder / "adding-problem.jsonl"
    measure_study(study, STUDY_BATCH, STUDY_STEPS, TARGET, TRAIN_SECONDS)


def seen_in(folder: Path) -> tuple[Seen, Run]:
    """What stands in the folder."""
    profile, study = (load(folder / name) for name in ("profile.jsonl", "adding-problem.jsonl"))
    points = {p: m for p, m in fold_run(profile).items() if m.outcome is Outcome.MEASURED}
    limit_bytes = profile.header.limit_bytes
    assert limit_bytes is not None, "made under LIMIT"
    return Seen(points, frontier_of(profile), trainability_of(study), limit_bytes), profile


def write(folder: Path) -> list[tuple[Rule, Judged]]:
    """Judge, draw, and tell."""
    seen, profile = seen_in(folder)
    judged = [(rule, rule.judge(seen)) for rule in RULES]
    with style():
        for rule, found in judged:
            figure = Figure(figsize=(6.4, 3.4))
            axes = figure.add_axes((0.13, 0.16, 0.83, 0.70))
            found.draw(axes)
            figure.text(0.02, 0.95, rule.english, fontsize=TITLE_PT - 1, va="top")
            (folder / f"{rule.name}.png").write_bytes(rendered(figure, "png"))
    (folder / "README.md").write_text(_english(judged, profile))
    (folder / "README.zh-CN.md").write_text(_chinese(judged, profile))
    return judged


def _english(judged: Sequence[tuple[Rule, Judged]], run: Run) -> str:
    parts = [
        "# Rules of thumb on batch size and time steps, measured\n",
        f"On {run.header.environment.get('device_name')}: {run.header.workload.describe()} under "
        f"{format_bytes(run.header.limit_bytes)} ([profile.jsonl](profile.jsonl)), and the adding "
        "problem with an LSTM of 64 ([adding-problem.jsonl](adding-problem.jsonl)). One machine and "
        "small models: the verdicts are of what was measured here; `python -m "
        "benchmarks.studies.rules_of_thumb` tells of yours. [中文](README.zh-CN.md)\n",
        "| rule | verdict |\n|---|---|\n"
        + "\n".join(
            f"| [{rule.english}](#{rule.name}) | **{found.verdict}** |" for rule, found in judged
        )
        + "\n",
    ]
    for rule, found in judged:
        parts.append(f'<a id="{rule.name}"></a>\n\n## {rule.english}\n')
        parts.append(f"**{found.verdict[0].upper()}{found.verdict[1:]}.** {found.english}\n")
        parts.append(f"![{rule.english}]({rule.name}.png)\n")
    return "\n".join(parts)


def _chinese(judged: Sequence[tuple[Rule, Judged]], run: Run) -> str:
    parts = [
        "# 批量与时间步的经验法则：实测\n",
        f"设备：{run.header.environment.get('device_name')}；{run.header.workload.describe()}，内存限制 "
        f"{format_bytes(run.header.limit_bytes)}；另以加法问题训练 64 单元的 LSTM。结论只针对这台机器上的测量，"
        "`python -m benchmarks.studies.rules_of_thumb` 可在您的机器上重做。[English](README.md)\n",
        "| 法则 | 结论 |\n|---|---|\n"
        + "\n".join(f"| {rule.chinese} | **{CHINESE[found.verdict]}** |" for rule, found in judged)
        + "\n",
    ]
    for rule, found in judged:
        parts.append(f"## {rule.chinese}\n\n**{CHINESE[found.verdict]}。** {found.chinese}\n")
        parts.append(f"![{rule.chinese}]({rule.name}.png)\n")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("rules-of-thumb"), help="a folder")
    parser.add_argument("--reuse", action="store_true", help="judge the runs that stand there")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not arguments.reuse:
        measure(arguments.output)
    for rule, found in write(arguments.output):
        print(f"{found.verdict:24} {rule.english}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
