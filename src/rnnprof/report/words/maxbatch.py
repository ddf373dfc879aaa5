"""Sentences of a search: why a batch is tried, and what stands in the way of a proof."""

from __future__ import annotations

from rnnprof.maxbatch.reasons import (
    Between,
    BytesUnknown,
    Contradiction,
    EndedAt,
    FewerConfirmations,
    MemoryFalls,
    NoHeadroom,
    NoMultiple,
    NotBatchUsed,
    NothingKnown,
    NotSupported,
    OnceMore,
    PeakGrows,
    Predicted,
    ProbesSpent,
    SeemsToLeave,
    SmallestFails,
    StepLeaves,
    Stopped,
    Thrashes,
    ToProve,
    TryStepFunction,
    WentBothWays,
    WhetherItFits,
)
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.phrases import times, training_steps
from rnnprof.units import format_bytes, format_ratio, format_seconds


@say.register
def _(_: Stopped) -> str:
    return "the search was stopped before its end"


@say.register
def _(reason: ProbesSpent) -> str:
    return f"{reason.probes} probes did not settle it"


@say.register
def _(reason: Contradiction) -> str:
    return f"B={reason.fits_batch} fits although B={reason.fails_batch} was out of memory"


@say.register
def _(reason: MemoryFalls) -> str:
    return (
        f"memory falls from {format_bytes(reason.smaller_bytes)} at B={reason.smaller_batch} to "
        f"{format_bytes(reason.larger_bytes)} at B={reason.larger_batch}: what fits above is not "
        "known"
    )


@say.register
def _(reason: NoMultiple) -> str:
    return f"there is no multiple of {reason.granularity} up to B={reason.at_most}"


@say.register
def _(reason: SmallestFails) -> str:
    text = f"B={reason.batch} is out of memory"
    if reason.is_before:
        return f"{text} before its first training step"
    if not reason.train_steps_run:
        return text
    left = f", each of which left {format_bytes(reason.left_bytes)}" if reason.left_bytes else ""
    return f"{text} after {training_steps(reason.train_steps_run)}{left}"


@say.register
def _(reason: EndedAt) -> str:
    return f"at B={reason.batch}: {reason.why or 'no reason was recorded'}"


@say.register
def _(reason: NotSupported) -> str:
    return reason.why or "not supported"


@say.register
def _(reason: FewerConfirmations) -> str:
    return (
        f"{say(reason.stopped)}: B={reason.batch} has passed in {reason.passed} of "
        f"{reason.confirm} fresh workers"
    )


@say.register
def _(reason: WentBothWays) -> str:
    return (
        f"B={reason.batch} fitted in one run and ran out of memory in another: it counts as out of "
        "memory"
    )


@say.register
def _(reason: Thrashes) -> str:
    after = f" after training step {reason.after_steps}" if reason.after_steps else ""
    text = (
        f"B={reason.batch} thrashes: the allocator emptied its cache {times(reason.retries)}"
        f"{after}, which takes time"
    )
    if reason.without_batch is None:
        return text
    return f"{text}; B={reason.without_batch} fits without it"


@say.register
def _(reason: StepLeaves) -> str:
    text = (
        f"each training step leaves {format_bytes(reason.bytes_per_step)}; B={reason.batch} lasts "
        f"about {training_steps(reason.lasts)}"
    )
    if reason.failed_batch is None:
        return text
    return f"{text}, B={reason.failed_batch} lasted {reason.failed_steps}"


@say.register
def _(reason: PeakGrows) -> str:
    return (
        f"memory differs from training step to step: the peak grew by up to "
        f"{format_ratio(reason.ratio)} after the first {reason.train_steps}"
    )


@say.register
def _(reason: NotBatchUsed) -> str:
    return f"step does not use the batch: {say(reason.why)}"


@say.register
def _(_: BytesUnknown) -> str:
    return "no batch's memory is known, so there is no largest safe batch"


@say.register
def _(reason: NoHeadroom) -> str:
    return f"not even B={reason.batch} leaves the headroom free"


@say.register
def _(_: NothingKnown) -> str:
    return "nothing is known yet"


@say.register
def _(_: WhetherItFits) -> str:
    return "whether it fits"


@say.register
def _(reason: Between) -> str:
    text = f"the largest batch is {reason.low} or more"
    return text if reason.high is None else f"the largest batch is {reason.low} to {reason.high}"


@say.register
def _(reason: Predicted) -> str:
    return (
        f"{format_bytes(reason.predicted_bytes)} of {format_bytes(reason.limit_bytes)} predicted; "
        f"{say(reason.between)}"
    )


@say.register
def _(reason: ToProve) -> str:
    text = f"to prove it in a fresh worker over {training_steps(reason.train_steps)}"
    return text if reason.seconds is None else f"{text}, about {format_seconds(reason.seconds)}"


@say.register
def _(_: OnceMore) -> str:
    return "once more: its worker died"


@say.register
def _(_: SeemsToLeave) -> str:
    return "for longer: its training steps seem to leave memory behind"


@say.register
def _(reason: TryStepFunction) -> str:
    return f"whether a step function fits {format_ratio(reason.ratio)} more"
