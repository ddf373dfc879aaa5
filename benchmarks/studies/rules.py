"""Ten rules of thumb, judged by two runs; see benchmarks/studies/rules_of_thumb.py.

A judge gives a verdict, notes and a chart.  A note is the id of a message and its figures; the
sentences are in ``catalogue``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import geometric_mean
from typing import Final

from matplotlib.axes import Axes

from benchmarks.studies.drawing import batch_of, label, lines, over
from benchmarks.studies.messages import Note, note
from benchmarks.studies.powers import CLEAR_RATIO, POWERS, Pair, pairs_at
from benchmarks.studies.seen import NEAR_BEST, Seen, rate, saturation
from rnnprof.points.measurement import Measurement
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.study.reach import REACH_RATIO, Reach
from rnnprof.study.trainability import ReachAt, ToTarget

CHUNK_BATCH: Final = 32
"""The batch at which values of T are compared."""

SHORT: Final = (10, 20, 30)
SHARES: Final = (0.125, 0.25, 0.5, 1.0)
"""Shares of the memory limit."""


class Verdict(StrEnum):
    """What the measurements say of a rule; the value is the id of its message."""

    HOLDS = "holds"
    CONDITIONS = "holds-under-conditions"
    NOT_HERE = "does-not-hold-here"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the measurements say of one rule.

    Attributes:
        notes: one sentence each.
        draw: draws its chart.
    """

    verdict: Verdict
    notes: Sequence[Note]
    draw: Callable[[Axes], None]


Judge = Callable[[Seen], Judged]


def three(shares: Sequence[bool]) -> Verdict:
    """Everywhere, somewhere, nowhere."""
    if all(shares):
        return Verdict.HOLDS
    return Verdict.CONDITIONS if any(shares) else Verdict.NOT_HERE


def larger_is_faster(seen: Seen) -> Judged:
    """The best rate over that of the smallest batch, and the batch that nearly reaches it."""
    gains = {t: max(map(rate, seen.at_steps(t))) / rate(seen.at_steps(t)[0]) for t in seen.lengths}
    knees = {t: saturation(seen.at_steps(t)).point.batch for t in seen.lengths}
    verdict = three([gain > 1 + 2 * CLEAR_RATIO for gain in gains.values()])
    flattens = any(knees[t] < seen.at_steps(t)[-1].point.batch for t in seen.lengths)
    if verdict is Verdict.HOLDS and flattens:
        verdict = Verdict.CONDITIONS

    def draw(axes: Axes) -> None:
        lines(axes, over(batch_of, lambda m: rate(m) / 1e3, seen))
        label(axes, "batch B, sequences", "thousand time steps/s")

    notes = [
        note("larger-is-faster.gain", time_steps=t, first=seen.at_steps(t)[0].point.batch,
             gain=gains[t], knee=knees[t], near=NEAR_BEST)
        for t in seen.lengths
    ]  # fmt: skip
    return Judged(verdict, [*notes, note("larger-is-faster.beyond")], draw)


def too_large_does_not_fit(seen: Seen) -> Judged:
    """The proven largest batches."""
    known = [c for c in seen.frontier if c.batch is not None]
    proven = [c for c in known if c.status is EdgeStatus.CERTIFIED]

    def draw(axes: Axes) -> None:
        lines(axes, {"": ([c.time_steps for c in known], [float(c.batch or 0) for c in known])})
        label(axes, "time steps T", "largest batch that fits")
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")

    return Judged(
        Verdict.HOLDS if proven else Verdict.NOT_HERE, list(_largest_batches(seen, known)), draw
    )


def _largest_batches(seen: Seen, known: Sequence[Certificate]) -> Iterator[Note]:
    products = [(c.batch or 0) * c.time_steps for c in known if c.status is EdgeStatus.CERTIFIED]
    if products:
        yield note("too-large-does-not-fit.proof", limit=seen.limit_bytes)
    else:
        yield note("too-large-does-not-fit.none")
    for each in known:
        batch = each.batch or 0
        at: dict[str, float] = {"time_steps": each.time_steps, "batch": batch}
        if each.status is EdgeStatus.CERTIFIED:
            above = batch + each.granularity
            yield note("too-large-does-not-fit.largest", **at, above=above)
        else:
            yield note("too-large-does-not-fit.not-proven", **at)
    if len(products) > 1:
        yield note("too-large-does-not-fit.product", least=min(products), most=max(products))


def smaller_eases_memory(seen: Seen) -> Judged:
    """Memory and time of the smallest batch over the largest, and its time to the target loss."""
    t = seen.lengths[-1]
    at = [m for m in seen.at_steps(t) if m.peak_allocated_bytes]
    small, large = at[0], at[-1]
    to_target = list(_to_target(seen))
    lengthens = [
        ratio > 1 + 4 * CLEAR_RATIO for ratio in map(_time_ratio, seen.targets.values()) if ratio
    ]
    # a smaller batch takes less memory in any case
    verdict = Verdict.HOLDS if lengthens and all(lengthens) else Verdict.CONDITIONS

    def draw(axes: Axes) -> None:
        lines(axes, over(batch_of, lambda m: (m.peak_allocated_bytes or math.nan) / 2**20, seen))
        label(axes, "batch B, sequences", "peak allocated, MiB")

    pair: dict[str, float] = {
        "time_steps": t, "small": small.point.batch, "large": large.point.batch,
    }  # fmt: skip
    memory = (small.peak_allocated_bytes or 0) / (large.peak_allocated_bytes or 1)
    notes = [
        note("smaller-eases-memory.memory", **pair, memory=memory),
        note("smaller-eases-memory.time", **pair, slower=rate(large) / rate(small)),
        *(to_target or [note("smaller-eases-memory.unknown")]),
        note("smaller-eases-memory.loss"),
    ]
    return Judged(verdict, notes, draw)


def more_steps_cost_more(seen: Seen) -> Judged:
    """A training step and a time step at the longest T over the shortest."""
    at = seen.at_batch(CHUNK_BATCH)
    first, last = at[0], at[-1]
    speed = rate(last) / rate(first)
    is_slower = speed < 1 - CLEAR_RATIO

    def draw(axes: Axes) -> None:
        chosen = {b: seen.at_batch(b) for b in (8, 32, 128) if seen.at_batch(b)}
        lines(axes, {
            f"B={b}": ([m.point.time_steps for m in at], [1e3 * (m.step_time_s or 0) for m in at])
            for b, at in chosen.items()
        })  # fmt: skip
        label(axes, "time steps T", "step time, ms")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")

    step = note(
        "more-steps-cost-more.step", batch=CHUNK_BATCH,
        first=first.point.time_steps, last=last.point.time_steps,
        length=last.point.time_steps / first.point.time_steps,
        step=(last.step_time_s or 0) / (first.step_time_s or 1), speed=speed - 1,
    )  # fmt: skip
    slower = note(f"more-steps-cost-more.{'slower' if is_slower else 'not-slower'}")
    return Judged(Verdict.HOLDS if is_slower else Verdict.CONDITIONS, [step, slower], draw)


def batch_changes_convergence(seen: Seen) -> Judged:
    """Sequences and training steps to the target loss, of the largest batch over the smallest."""
    needs = [each for t, group in seen.targets.items() for each in _needs(t, group)]
    rising = [each.sequences > 1 + 4 * CLEAR_RATIO for each in needs]

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([e.point.batch for e in group], [e.sequences or math.nan for e in group])
            for t, group in seen.targets.items() if any(e.sequences for e in group)
        })  # fmt: skip
        label(axes, "batch B, sequences", "sequences to the target loss")

    trainings = [each for group in seen.targets.values() for each in group]
    notes = [
        *(note("batch-changes-convergence.convergence", **asdict(each)) for each in needs),
        *(list(_noise(seen)) or [note("batch-changes-convergence.noise-unknown")]),
        note("batch-changes-convergence.missed", missed=sum(e.seeds - e.reached for e in trainings),
             trainings=sum(e.seeds for e in trainings)),
        note("batch-changes-convergence.generalisation"),
    ]  # fmt: skip
    return Judged(three(rising) if rising else Verdict.CONDITIONS, notes, draw)


def more_steps_remember_more(seen: Seen) -> Judged:
    """How far back the gradient reaches, before training and after it."""
    before = {e.time_steps: e for e in seen.study.reach if e.reach and e.train_steps == 0}
    after = {e.time_steps: e for e in seen.study.reach if e.reach and e.train_steps > 0}
    vanish = [e.reach is not None and not e.reach.is_cut for e in before.values()]
    verdict = Verdict.CONDITIONS if any(vanish) else Verdict.HOLDS

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

    share = seen.study.study.reach_ratio if seen.study.study else REACH_RATIO
    notes = [
        note("more-steps-remember-more.reach", share=share),
        *(_reached(t, before[t].reach, after[t].reach) for t in before if t in after),
        note("more-steps-remember-more.start"),
    ]
    return Judged(verdict, notes, draw)


def powers_of_two(seen: Seen) -> Judged:
    """Rates of the powers over the mean of their neighbours."""
    pairs = [each for t in seen.lengths for each in pairs_at(seen, t)]
    better, worse = [pair.is_better for pair in pairs], [pair.is_worse for pair in pairs]
    # better at some points and worse at others is what noise looks like
    verdict = three(better) if sum(better) > sum(worse) or not better else Verdict.NOT_HERE

    def draw(axes: Axes) -> None:
        at = {t: [pair for pair in pairs if pair.time_steps == t] for t in seen.lengths}
        lines(axes, {
            f"T={t}": ([float(p.batch) for p in here], [p.ratio for p in here])
            for t, here in at.items()
        })  # fmt: skip
        axes.axhline(1.0, linewidth=0.7, linestyle=":", color="#5a5a5b")
        label(axes, "batch B, a power of two", "rate over that of B-1 and B+1")
        axes.set_xticks(list(POWERS), [str(power) for power in POWERS])

    return Judged(verdict, list(_on_powers(pairs)), draw)


def _on_powers(pairs: Sequence[Pair]) -> Iterator[Note]:
    if not pairs:
        yield note("powers-of-two.none")
        return
    batches, count = [pair.batch for pair in pairs], len(pairs)
    mean = geometric_mean(pair.ratio for pair in pairs)
    yield note(
        "powers-of-two.mean", pairs=count, smallest=min(batches), largest=max(batches), mean=mean
    )
    far = max(pairs, key=lambda pair: abs(math.log(pair.ratio)))
    yield note("powers-of-two.extreme", ratio=far.ratio, time_steps=far.time_steps, batch=far.batch)
    better, worse = sum(pair.is_better for pair in pairs), sum(pair.is_worse for pair in pairs)
    yield note("powers-of-two.clear", pairs=count, better=better, worse=worse, clear=CLEAR_RATIO)


def lower_but_not_too_far(seen: Seen) -> Judged:
    """What the smallest nearly best batch saves, and what the smallest of all loses."""
    at = {t: [m for m in seen.at_steps(t) if m.peak_allocated_bytes] for t in seen.lengths}
    loses = [_lost(group) > CLEAR_RATIO for group in at.values()]

    def draw(axes: Axes) -> None:
        lines(axes, {
            f"T={t}": ([(m.peak_allocated_bytes or 0) / 2**20 for m in seen.at_steps(t)],
                       [rate(m) / max(map(rate, seen.at_steps(t))) for m in seen.at_steps(t)])
            for t in seen.lengths
        })  # fmt: skip
        label(axes, "peak allocated, MiB", "share of the best throughput")
        axes.axhline(1 - NEAR_BEST, linewidth=0.7, linestyle=":", color="#5a5a5b")

    return Judged(three(loses), [_saving(t, group) for t, group in at.items()], draw)


def short_chunks(seen: Seen) -> Judged:
    """Memory and speed of a short T over the longest T, and whether a short T cuts gradients."""
    at = {m.point.time_steps: m for m in seen.at_batch(CHUNK_BATCH)}
    longest = max(at)
    whole_bytes = at[longest].peak_allocated_bytes or 1
    memory = {t: (m.peak_allocated_bytes or 0) / whole_bytes for t, m in at.items()}

    def draw(axes: Axes) -> None:
        x, best = sorted(at), max(map(rate, at.values()))
        lines(axes, {
            "throughput": (x, [rate(at[t]) / best for t in x]),
            "memory": (x, [memory[t] for t in x]),
        })  # fmt: skip
        label(axes, f"chunk length T, at B={CHUNK_BATCH}", "share of the largest")

    chunks = [
        note("short-chunks.chunk", time_steps=t, batch=CHUNK_BATCH, longest=longest,
             memory=memory[t], speed=rate(at[t]) / rate(at[longest]))
        for t in SHORT if t in at
    ]  # fmt: skip
    return Judged(Verdict.CONDITIONS, [*chunks, *_cuts(seen)], draw)


def _cuts(seen: Seen) -> Iterator[Note]:
    """The reach after training at each T, and the short T that end before the gradient does."""
    reach = {e.time_steps: e.reach for e in seen.study.reach if e.train_steps > 0 and e.reach}
    for t, each in reach.items():
        name = "reach-at-least" if each.is_cut else "reach"
        yield note(f"short-chunks.{name}", time_steps=t, reach=each.reach or 0)
    short = [t for t in reach if t <= max(SHORT)]
    cut = [t for t in short if reach[t].is_cut]
    for t in cut:
        yield note("short-chunks.cut", time_steps=t)
    if not cut:
        yield note(f"short-chunks.{'not-cut' if short else 'unknown'}")


def large_b_small_t(seen: Seen) -> Judged:
    """The fastest point within a share of the limit, and the T of those nearly as fast."""
    budgets = [each for share in SHARES for each in _fastest(seen, seen.limit_bytes * share)]
    free = sum(each.most > 2 * each.least for each in budgets)

    def draw(axes: Axes) -> None:
        lines(axes, over(
            lambda m: (m.peak_charged_bytes or math.nan) / 2**20, lambda m: rate(m) / 1e3, seen
        ))  # fmt: skip
        label(axes, "memory, MiB", "thousand time steps/s")

    verdict = Verdict.NOT_HERE if free == len(budgets) else Verdict.CONDITIONS
    notes = [each.note for each in budgets]
    return Judged(verdict, [*notes, note("large-b-small-t.range")], draw)


JUDGES: Final = (
    larger_is_faster,
    too_large_does_not_fit,
    smaller_eases_memory,
    more_steps_cost_more,
    batch_changes_convergence,
    more_steps_remember_more,
    powers_of_two,
    lower_but_not_too_far,
    short_chunks,
    large_b_small_t,
)

RULES: Final[Mapping[str, Judge]] = {judge.__name__.replace("_", "-"): judge for judge in JUDGES}
"""Judges by the rule's name, as files, anchors and messages use it."""


def _to_target(seen: Seen) -> Iterator[Note]:
    """The smallest batch's time to the target loss over the fastest one's, at each T."""
    for t, group in seen.targets.items():
        if ratio := _time_ratio(group):
            batch = group[0].point.batch
            yield note("smaller-eases-memory.to-target", time_steps=t, batch=batch, ratio=ratio)


def _time_ratio(group: Sequence[ToTarget]) -> float | None:
    known = [e.train_s for e in group if e.train_s]
    first = group[0].train_s
    return first / min(known) if first and known else None


def _curve(each: ReachAt) -> tuple[Sequence[float], Sequence[float]]:
    assert each.reach is not None
    return list(range(len(each.reach.ratios))), [r or math.nan for r in each.reach.ratios]


@dataclass(frozen=True, slots=True)
class Needs:
    """What the largest batch needs to reach the target loss, over what the smallest needs."""

    time_steps: int
    first: int
    last: int
    sequences: float
    train_steps: float


def _needs(time_steps: int, group: Sequence[ToTarget]) -> Iterator[Needs]:
    """One, where two batches reached the target loss."""
    known = [each for each in group if each.sequences]
    if len(known) > 1:
        first, last = known[0], known[-1]
        yield Needs(
            time_steps, first.point.batch, last.point.batch,
            sequences=(last.sequences or 0) / (first.sequences or 1),
            train_steps=(last.train_steps or 0) / (first.train_steps or 1),
        )  # fmt: skip


def _noise(seen: Seen) -> Iterator[Note]:
    for each in seen.study.noise:
        if each.scale and each.scale.sequences is not None:
            yield note("batch-changes-convergence.noise", time_steps=each.time_steps,
                       sequences=each.scale.sequences)  # fmt: skip


def _reached(time_steps: int, before: Reach | None, after: Reach | None) -> Note:
    assert before is not None
    assert after is not None
    name = {
        (False, False): "known", (True, False): "before-at-least",
        (False, True): "after-at-least", (True, True): "both-at-least",
    }[before.is_cut, after.is_cut]  # fmt: skip
    return note(f"more-steps-remember-more.{name}", time_steps=time_steps,
                before=before.reach or 0, after=after.reach or 0)  # fmt: skip


def _lost(at: Sequence[Measurement]) -> float:
    """The share of the best throughput that the smallest batch loses."""
    return 1 - rate(at[0]) / max(map(rate, at))


def _saving(time_steps: int, at: Sequence[Measurement]) -> Note:
    best, cheap, first = max(at, key=rate), saturation(at), at[0]
    memory = (cheap.peak_allocated_bytes or 0) / (best.peak_allocated_bytes or 1)
    figures: dict[str, float] = {
        "time_steps": time_steps, "first": first.point.batch, "near": NEAR_BEST,
    }  # fmt: skip
    if cheap is first:
        return note("lower-but-not-too-far.smallest", **figures, memory=memory)
    figures |= {"cheap": cheap.point.batch, "lost": _lost(at)}
    if cheap is best:
        return note("lower-but-not-too-far.nothing-saved", **figures)
    return note("lower-but-not-too-far.saving", **figures, memory=memory)


@dataclass(frozen=True, slots=True)
class Fastest:
    """The fastest point that fits, and the least and the largest T of those nearly as fast."""

    limit_bytes: float
    point: Measurement
    least: int
    most: int

    @property
    def note(self) -> Note:
        """As one sentence."""
        figures: dict[str, float] = {
            "limit": self.limit_bytes, "batch": self.point.point.batch,
            "time_steps": self.point.point.time_steps, "thousand_per_s": rate(self.point) / 1e3,
            "near": NEAR_BEST,
        }  # fmt: skip
        if self.least == self.most:
            return note("large-b-small-t.fastest-at-one", **figures)
        return note("large-b-small-t.fastest", **figures, least=self.least, most=self.most)


def _fastest(seen: Seen, limit_bytes: float) -> Iterator[Fastest]:
    """One, where any point fits."""
    fits = [m for m in seen.timed if m.peak_charged_bytes and m.peak_charged_bytes <= limit_bytes]
    if fits:
        best = max(fits, key=rate)
        near = [m.point.time_steps for m in fits if rate(m) >= (1 - NEAR_BEST) * rate(best)]
        yield Fastest(limit_bytes, best, min(near), max(near))
