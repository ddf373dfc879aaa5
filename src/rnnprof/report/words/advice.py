"""Sentences of the advice: why a batch is recommended, and what else to know."""

from __future__ import annotations

from rnnprof.advice.reasons import (
    Accumulates,
    AlsoByGoodput,
    BestRate,
    FasterLength,
    FitsAtOnce,
    Lack,
    LeftOut,
    NearBest,
    NoisyTime,
    NoPoint,
    NoPointHere,
    NotStationary,
    NotStudied,
    OnlyTimed,
    OtherByGoodput,
    PointNotUsed,
    PredictedBatch,
    SpeedUnknown,
    TakesMemory,
    Undecided,
    UnderLimit,
    Unfinished,
)
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.phrases import because, either, rate_in_words
from rnnprof.units import format_bytes, format_count, format_ratio

MEMORY_DECIDED = "memory is decided, speed is not"
"""In place of a batch where the times do not decide it."""


@say.register
def _(reason: OnlyTimed) -> str:
    return f"{rate_in_words(reason.time_steps_per_s)}, the only usable batch timed at this T"


@say.register
def _(reason: BestRate) -> str:
    return f"{rate_in_words(reason.time_steps_per_s)}, the best at this T"


@say.register
def _(reason: NearBest) -> str:
    share = format_ratio(reason.time_steps_per_s / reason.best_per_s)
    return (
        f"{rate_in_words(reason.time_steps_per_s)}, {share} of the best at this T "
        f"({format_count(reason.best_per_s)} at B={reason.best_batch}): the smallest batch within "
        f"{format_ratio(reason.near_ratio)} of it"
    )


@say.register
def _(reason: NoisyTime) -> str:
    return f"it was timed while {say(reason.noise)}"


@say.register
def _(reason: TakesMemory) -> str:
    share = format_ratio(reason.peak_bytes / reason.limit_bytes)
    limit = format_bytes(reason.limit_bytes)
    return f"it takes {format_bytes(reason.peak_bytes)}, {share} of the limit of {limit}"


@say.register
def _(reason: Undecided) -> str:
    batches = either([f"B={batch}" for batch in reason.tied])
    head = f"{batches} is the smallest batch within {format_ratio(reason.near_ratio)} of the best"
    if reason.noisy_batch is not None:
        return f"{head}: the time of B={reason.noisy_batch} is noisy"
    if reason.drift_ratio is not None:
        return f"{head}: the machine's speed drifted by {format_ratio(reason.drift_ratio)}"
    if reason.precision_ratio is not None:
        return f"{head}: times are known only to {format_ratio(reason.precision_ratio)}"
    return f"{head}: some times have no confidence interval"


@say.register
def _(_: SpeedUnknown) -> str:
    return (
        "a simulated GPU runs no kernel: memory is known, speed is not; see the largest safe "
        "batch at each T"
    )


@say.register
def _(_: Unfinished) -> str:
    return "the run was stopped before its end: what is missing may change the answer"


@say.register
def _(_: NoPoint) -> str:
    return "no point was timed that fits with headroom: profile smaller batches"


@say.register
def _(_: NoPointHere) -> str:
    return "no point was timed that fits with headroom"


@say.register
def _(reason: NotStationary) -> str:
    return f"T={reason.time_steps} is not stationary{because(reason.why)}"


@say.register
def _(reason: PointNotUsed) -> str:
    return f"{reason.point} has no throughput, since its batch is not used: {say(reason.why)}"


@say.register
def _(reason: FasterLength) -> str:
    return (
        f"{reason.point} trains {format_ratio(reason.gain_ratio)} more time steps/s than "
        f"{reason.longest}, but its gradients reach back {reason.point.time_steps} time steps at "
        "most"
    )


@say.register
def _(reason: AlsoByGoodput) -> str:
    return f"at T={reason.time_steps} it is also the batch with the best goodput"


@say.register
def _(reason: OtherByGoodput) -> str:
    return f"at T={reason.time_steps} B={reason.batch} is better by goodput: see below"


@say.register
def _(reason: LeftOut) -> str:
    verb = "is faster" if reason.is_faster else "was timed"
    why = {
        Lack.HEADROOM: f"leaves less than {format_ratio(reason.headroom_ratio)} of the limit",
        Lack.MEMORY_UNKNOWN: "its memory is not known",
        Lack.THRASHING: "thrashes",
    }[reason.lack]
    return f"B={reason.batch} {verb} ({rate_in_words(reason.time_steps_per_s)}), but {why}"


@say.register
def _(reason: FitsAtOnce) -> str:
    return f"the batch of {reason.effective_batch} fits at once, without accumulation"


@say.register
def _(reason: Accumulates) -> str:
    text = (
        f"{reason.exact_steps} steps of accumulation at B={reason.exact_batch} make the batch of "
        f"{reason.effective_batch}"
    )
    if reason.fewest_steps is None or reason.nearest_batch is None:
        return text
    nearly = reason.fewest_steps * reason.nearest_batch
    return f"{text}; {reason.fewest_steps} at B={reason.nearest_batch} make {nearly}"


@say.register
def _(reason: UnderLimit) -> str:
    batches = ", ".join(map(_predicted, reason.batches))
    return f"under {format_bytes(reason.limit_bytes)} the largest batches would be {batches}"


def _predicted(each: PredictedBatch) -> str:
    if each.batch is None:
        return f"T={each.time_steps}: none"
    how = f"{each.batch} or more" if each.is_exact else f"about {each.batch}"
    return f"T={each.time_steps}: {how}"


@say.register
def _(reason: NotStudied) -> str:
    unknown = [
        *(["what a sequence is worth at this batch"] if reason.worth else []),
        *(["how far back gradients reach at this T"] if reason.reach else []),
    ]
    them = "both" if len(unknown) > 1 else "it"
    measures = f"rnnprof trainability --time-steps {reason.time_steps} measures {them}"
    if reason.is_script:
        measures = f"rnnprof trainability measures {them}, of a factory and not of a script"
    return f"{' and '.join(unknown)}: {measures}"
