"""What ten rules of thumb say, judged by two runs; see benchmarks/studies/rules_of_thumb.py.

A judge finds a verdict and its figures, and draws; the sentences stand in ``templates``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes

from rnnprof.points.measurement import Measurement
from rnnprof.report.charts.kit.style import OKABE_ITO
from rnnprof.report.model import rate_interval
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.points import Point
from rnnprof.study.trainability import ReachAt, ToTarget, Trainability

CLEAR_RATIO: Final = 0.05
"""A difference below it is none."""

NEAR_BEST: Final = 0.05

HOLDS: Final = "holds"
CONDITIONS: Final = "holds under conditions"
NOT_HERE: Final = "does not hold here"

POWERS: Final = {32: (31, 33), 64: (63, 65), 128: (127, 129)}
"""With their neighbours."""

SHORT: Final = (10, 20, 30)
SHARES: Final = (0.125, 0.25, 0.5, 1.0)
"""Of the limit."""


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
    """What was measured of a rule.

    Attributes:
        figures: what the sentences of ``templates`` tell, by the names that they use.
        draw: draws its chart.
    """

    verdict: str
    figures: Mapping[str, Any]
    draw: Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule; its title is what people say, and stands above its chart."""

    title: str
    judge: Callable[[Seen], Judged]

    @property
    def name(self) -> str:
        """As pages and files name it."""
        return self.judge.__name__.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Pair:
    """A power of two beside its neighbours at a T.

    Attributes:
        ratio: its rate over the mean of theirs.
        is_above, is_below: its interval lies beyond both of theirs.
    """

    time_steps: int
    batch: int
    ratio: float
    is_above: bool
    is_below: bool

    @property
    def is_better(self) -> bool:
        """Clearly."""
        return self.ratio > 1 + CLEAR_RATIO and self.is_above

    @property
    def is_worse(self) -> bool:
        """Clearly."""
        return self.ratio < 1 - CLEAR_RATIO and self.is_below


Value = Callable[[Measurement], float]


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


def over(x: Value, y: Value, seen: Seen) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """A value over another one, a line for each T."""
    at = {t: seen.at_steps(t) for t in seen.lengths}
    return {f"T={t}": ([x(m) for m in points], [y(m) for m in points]) for t, points in at.items()}


def batch_of(measurement: Measurement) -> float:
    """Sequences."""
    return measurement.point.batch


def label(axes: Axes, x: str, y: str, *, log: bool = True) -> None:
    """Name the axes; batches and time steps go by powers of two."""
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def larger_is_faster(seen: Seen) -> Judged:
    """The best rate over the smallest batch's, and from where on it is nearly reached."""
    gains = {t: max(map(rate, seen.at_steps(t))) / rate(seen.at_steps(t)[0]) for t in seen.lengths}
    knees = {t: saturation(seen.at_steps(t)).point.batch for t in seen.lengths}
    verdict = three([gain > 1 + 2 * CLEAR_RATIO for gain in gains.values()])
    ends = [seen.at_steps(t)[-1].point.batch for t in seen.lengths]
    if verdict == HOLDS and any(knees[t] < end for t, end in zip(seen.lengths, ends, strict=True)):
        verdict = CONDITIONS

    def draw(axes: Axes) -> None:
        lines(axes, over(batch_of, lambda m: rate(m) / 1e3, seen))
        label(axes, "batch B, sequences", "thousand time steps/s")

    figures = {
        "first": seen.at_steps(seen.lengths[0])[0].point.batch,
        "lengths": [{"time_steps": t, "gain": gains[t], "knee": knees[t]} for t in gains],
    }
    return Judged(verdict, figures, draw)


def too_large_does_not_fit(seen: Seen) -> Judged:
    """The edges that are proven."""
    known = [c for c in seen.frontier if c.batch is not None]
    proven = [c for c in known if c.status is EdgeStatus.CERTIFIED]

    def draw(axes: Axes) -> None:
        lines(axes, {"edge": ([c.time_steps for c in known], [float(c.batch or 0) for c in known])})
        label(axes, "time steps T", "largest batch that fits")
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")

    figures = {
        "limit": seen.limit_bytes,
        "proven": [
            {"time_steps": c.time_steps, "batch": c.batch, "above": c.batch + c.granularity}
            for c in proven
            if c.batch
        ],
        "capped": len(known) - len(proven),
        "products": [(c.batch or 0) * c.time_steps for c in proven],
    }
    return Judged(HOLDS if proven else NOT_HERE, figures, draw)


def smaller_eases_memory(seen: Seen) -> Judged:
    """Memory and time of the smallest batch beside the largest, and its time to the target."""
    t = seen.lengths[-1]
    at = [m for m in seen.at_steps(t) if m.peak_allocated_bytes]
    small, large = at[0], at[-1]
    longest = [_time_ratio(group) for group in _by_batch(seen).values()]
    known = [ratio for ratio in longest if ratio is not None]
    lengthens = [ratio > 1 + 4 * CLEAR_RATIO for ratio in known]
    verdict = HOLDS if known and all(lengthens) else CONDITIONS  # memory it eases in any case

    def draw(axes: Axes) -> None:
        lines(axes, over(batch_of, lambda m: (m.peak_allocated_bytes or math.nan) / 2**20, seen))
        label(axes, "batch B, sequences", "peak allocated, MiB")

    figures = {
        "time_steps": t, "small": small.point.batch, "large": large.point.batch,
        "memory": (small.peak_allocated_bytes or 0) / (large.peak_allocated_bytes or 1),
        "slower": rate(large) / rate(small), "to_target": known,
    }  # fmt: skip
    return Judged(verdict, figures, draw)


def more_steps_cost_more(seen: Seen) -> Judged:
    """A training step and a time step at the longest T beside the shortest."""
    batch = 32
    at = seen.at_batch(batch)
    first, last = at[0], at[-1]
    speed = rate(last) / rate(first)
    verdict = HOLDS if speed < 1 - CLEAR_RATIO else CONDITIONS

    def draw(axes: Axes) -> None:
        chosen = {b: seen.at_batch(b) for b in (8, 32, 128) if seen.at_batch(b)}
        lines(axes, {
            f"B={b}": ([m.point.time_steps for m in at], [1e3 * (m.step_time_s or 0) for m in at])
            for b, at in chosen.items()
        })  # fmt: skip
        label(axes, "time steps T", "step time, ms")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")

    figures = {
        "batch": batch, "first": first.point.time_steps, "last": last.point.time_steps,
        "length": last.point.time_steps / first.point.time_steps,
        "step": (last.step_time_s or 0) / (first.step_time_s or 1),
        "speed": speed - 1, "is_slower": verdict == HOLDS,
    }  # fmt: skip
    return Judged(verdict, figures, draw)


def batch_changes_convergence(seen: Seen) -> Judged:
    """Sequences and training steps to the target, of the largest batch beside the smallest."""
    targets = _by_batch(seen)
    lengths = [each for t, group in targets.items() for each in _convergence(t, group)]
    rising = [each["sequences"] > 1 + 4 * CLEAR_RATIO for each in lengths]

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([e.point.batch for e in group], [e.sequences or math.nan for e in group])
            for t, group in targets.items() if any(e.sequences for e in group)
        })  # fmt: skip
        label(axes, "batch B, sequences", "sequences to the target loss")

    figures = {
        "lengths": lengths,
        "noise": [
            {"time_steps": each.time_steps, "sequences": each.scale.sequences}
            for each in seen.study.noise
            if each.scale and each.scale.sequences is not None
        ],
        "missed": sum(e.seeds - e.reached for group in targets.values() for e in group),
        "trainings": sum(e.seeds for group in targets.values() for e in group),
    }
    return Judged(three(rising) if rising else CONDITIONS, figures, draw)


def more_steps_remember_more(seen: Seen) -> Judged:
    """How far the gradient reaches, before training and after."""
    before = {e.time_steps: e for e in seen.study.reach if e.reach and e.train_steps == 0}
    after = {e.time_steps: e for e in seen.study.reach if e.reach and e.train_steps > 0}
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

    lengths = [
        {"time_steps": t, "before": before[t].reach, "after": after[t].reach}
        for t in before
        if t in after
    ]
    return Judged(verdict, {"lengths": lengths}, draw)


def powers_of_two(seen: Seen) -> Judged:
    """Rates of the powers against the mean of their neighbours, where the intervals are apart."""
    pairs = [each for t in seen.lengths for each in _powers(seen, t)]
    better, worse = [pair.is_better for pair in pairs], [pair.is_worse for pair in pairs]
    logs = [math.log(pair.ratio) for pair in pairs]
    # better here and worse there is what a machine's own noise looks like
    verdict = three(better) if sum(better) > sum(worse) or not better else NOT_HERE

    def draw(axes: Axes) -> None:
        at = {t: [pair for pair in pairs if pair.time_steps == t] for t in seen.lengths}
        lines(axes, {
            f"T={t}": ([float(p.batch) for p in here], [p.ratio for p in here])
            for t, here in at.items()
        })  # fmt: skip
        axes.axhline(1.0, linewidth=0.7, linestyle=":", color="#5a5a5b")
        label(axes, "batch B, a power of two", "rate over that of B-1 and B+1")
        axes.set_xticks(list(POWERS), [str(power) for power in POWERS])

    figures = {
        "pairs": len(pairs), "better": sum(better), "worse": sum(worse),
        "mean": math.exp(sum(logs) / len(logs)) if logs else 1.0,
        "extreme": max(pairs, key=lambda pair: abs(math.log(pair.ratio)), default=None),
    }  # fmt: skip
    return Judged(verdict, figures, draw)


def lower_but_not_too_far(seen: Seen) -> Judged:
    """What the smallest nearly best batch saves, and what the smallest of all loses."""
    lengths = [_saving(t, [m for m in seen.at_steps(t) if m.peak_allocated_bytes])
               for t in seen.lengths]  # fmt: skip
    saves = [each["lost"] > CLEAR_RATIO for each in lengths]

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([(m.peak_allocated_bytes or 0) / 2**20 for m in seen.at_steps(t)],
                       [rate(m) / max(map(rate, seen.at_steps(t))) for m in seen.at_steps(t)])
            for t in seen.lengths
        })  # fmt: skip
        label(axes, "peak allocated, MiB", "share of the best throughput")
        axes.axhline(1 - NEAR_BEST, linewidth=0.7, linestyle=":", color="#5a5a5b")

    return Judged(three(saves), {"lengths": lengths}, draw)


def short_chunks(seen: Seen) -> Judged:
    """Memory and speed of T up to 30 beside the longest T, and whether such a T cuts gradients."""
    batch = 32
    at = {m.point.time_steps: m for m in seen.at_batch(batch)}
    longest = max(at)
    memory = {
        t: (m.peak_allocated_bytes or 0) / (at[longest].peak_allocated_bytes or 1)
        for t, m in at.items()
    }
    reach = {e.time_steps: e.reach for e in seen.study.reach if e.train_steps > 0 and e.reach}

    def draw(axes: Axes) -> None:
        x, best = sorted(at), max(map(rate, at.values()))
        lines(axes, {
            "throughput": (x, [rate(at[t]) / best for t in x]),
            "memory": (x, [memory[t] for t in x]),
        })  # fmt: skip
        label(axes, f"chunk length T, at B={batch}", "share of the largest")

    figures = {
        "batch": batch, "longest": longest,
        "chunks": [
            {"time_steps": t, "memory": memory[t], "speed": rate(at[t]) / rate(at[longest])}
            for t in SHORT
            if t in at
        ],
        "reach": [{"time_steps": t, "reach": each} for t, each in reach.items()],
        "cut": [t for t, each in reach.items() if t <= max(SHORT) and each.is_cut],
    }  # fmt: skip
    return Judged(CONDITIONS, figures, draw)


def large_b_small_t(seen: Seen) -> Judged:
    """The quickest point within a share of the limit, and the T of those nearly as quick."""
    budgets = [each for share in SHARES for each in _quickest(seen, seen.limit_bytes * share)]
    free = sum(each["most"] > 2 * each["least"] for each in budgets)

    def draw(axes: Axes) -> None:
        lines(axes, over(
            lambda m: (m.peak_charged_bytes or math.nan) / 2**20, lambda m: rate(m) / 1e3, seen
        ))  # fmt: skip
        label(axes, "counted by the limit, MiB", "thousand time steps/s")

    verdict = NOT_HERE if free == len(budgets) else CONDITIONS
    return Judged(verdict, {"budgets": budgets}, draw)


RULES: Final = (
    Rule("A larger batch runs faster, by parallelism", larger_is_faster),
    Rule("Too large a batch does not fit", too_large_does_not_fit),
    Rule("A smaller batch eases memory and lengthens training", smaller_eases_memory),
    Rule("More time steps cost more per step and run slower", more_steps_cost_more),
    Rule("Batch size changes convergence and stability", batch_changes_convergence),
    Rule("More time steps remember more, and vanish or explode", more_steps_remember_more),
    Rule("Batches should be powers of two", powers_of_two),
    Rule("If memory is short, lower the batch, but not too far", lower_but_not_too_far),
    Rule("Keep T at 10, 20, 30; cut long sequences into chunks", short_chunks),
    Rule("Short sequences: large B, small T; long ones: smaller B, larger T", large_b_small_t),
)


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


def _curve(each: ReachAt) -> tuple[Sequence[float], Sequence[float]]:
    assert each.reach is not None
    return list(range(len(each.reach.ratios))), [r or math.nan for r in each.reach.ratios]


def _convergence(time_steps: int, group: Sequence[ToTarget]) -> Iterator[dict[str, Any]]:
    """Where two batches came to the target: the largest one's needs over the smallest's."""
    known = [each for each in group if each.sequences]
    if len(known) > 1:
        first, last = known[0], known[-1]
        yield {
            "time_steps": time_steps, "first": first.point.batch, "last": last.point.batch,
            "sequences": (last.sequences or 0) / (first.sequences or 1),
            "train_steps": (last.train_steps or 0) / (first.train_steps or 1),
        }  # fmt: skip


def _powers(seen: Seen, time_steps: int) -> Iterator[Pair]:
    """The powers of two at a T that were measured with their neighbours."""
    by_batch = {m.point.batch: m for m in seen.at_steps(time_steps)}
    for power, (below, above) in POWERS.items():
        if {power, below, above} <= set(by_batch):
            near = math.sqrt(rate(by_batch[below]) * rate(by_batch[above]))
            own = rate_interval(by_batch[power]) or (math.nan, math.nan)  # beyond nothing
            others = [rate_interval(by_batch[b]) for b in (below, above)]
            yield Pair(
                time_steps, power, ratio=rate(by_batch[power]) / near,
                is_above=all(other and own[0] > other[1] for other in others),
                is_below=all(other and own[1] < other[0] for other in others),
            )  # fmt: skip


def _saving(time_steps: int, at: Sequence[Measurement]) -> dict[str, Any]:
    best, cheap = max(at, key=rate), saturation(at)
    return {
        "time_steps": time_steps, "cheap": cheap.point.batch, "first": at[0].point.batch,
        "memory": (cheap.peak_allocated_bytes or 0) / (best.peak_allocated_bytes or 1),
        "lost": 1 - rate(at[0]) / rate(best),
    }  # fmt: skip


def _quickest(seen: Seen, budget_bytes: float) -> Iterator[dict[str, Any]]:
    """The quickest point that fits, if any, and the least and most T of those nearly as quick."""
    fits = [m for m in seen.timed if m.peak_charged_bytes and m.peak_charged_bytes <= budget_bytes]
    if fits:
        best = max(fits, key=rate)
        near = [m.point.time_steps for m in fits if rate(m) >= (1 - NEAR_BEST) * rate(best)]
        yield {
            "bytes": budget_bytes, "batch": best.point.batch, "time_steps": best.point.time_steps,
            "rate": rate(best), "least": min(near), "most": max(near),
        }  # fmt: skip
