"""Sentences of a study of trainability: reach, noise scale, goodput and chunks."""

from __future__ import annotations

import math
from typing import Final

from rnnprof.report.model import RunReport
from rnnprof.report.words.dispatch import as_text, say
from rnnprof.report.words.phrases import rate_in_words
from rnnprof.runfile.study import Study
from rnnprof.study.reasons import (
    BestOfReach,
    Falls,
    FasterButShort,
    FewDraws,
    GradientsNotFinite,
    Grows,
    Lasts,
    LossWithoutInput,
    LossWithoutLast,
    LostInNoise,
    NotFinite,
    NothingTimed,
    NoUpperEnd,
    ReachEnough,
    ReachTooShort,
    ReachUnknown,
    RestsOnNoise,
    Worth,
)
from rnnprof.study.trainability import MIN_SEEDS, NoiseAt, ReachAt
from rnnprof.units import format_ratio


@say.register
def _(_: LossWithoutLast) -> str:
    return (
        "the loss does not depend on the last time step's input: return a loss of the last output"
    )


@say.register
def _(_: LossWithoutInput) -> str:
    return "the loss depends on no input: no gradient reaches it"


@say.register
def _(reason: NotFinite) -> str:
    return f"the gradient is not finite at lag {reason.lag} in some draws"


@say.register
def _(reason: Grows) -> str:
    return (
        f"the gradient at lag {reason.lag} is {reason.factor:.3g} times that of the last time step"
    )


@say.register
def _(reason: Falls) -> str:
    return (
        f"the gradient falls below {reason.threshold:g} of that of the last time step after lag "
        f"{reason.lag} of {reason.lags}"
    )


@say.register
def _(reason: Lasts) -> str:
    return (
        f"the gradient at lag {reason.lag}, the largest, is {reason.ratio:.2g} of that of the last "
        "time step"
    )


@say.register
def _(_: GradientsNotFinite) -> str:
    return "some gradients are not finite"


@say.register
def _(reason: FewDraws) -> str:
    return f"{reason.draws} draws are too few: at least {reason.least} are needed"


@say.register
def _(_: LostInNoise) -> str:
    return "the gradient is lost in its noise: the noise scale may have no upper bound"


@say.register
def _(_: NoUpperEnd) -> str:
    return "the interval has no upper end: more draws, or a larger big batch, may give it one"


@say.register
def _(reason: Worth) -> str:
    text = (
        f"{rate_in_words(reason.sequences_per_s, 'sequences')}, each worth "
        f"{format_ratio(reason.efficiency_ratio)} of one at B={reason.least_batch}"
    )
    if reason.fastest_batch is None:
        return f"{text}; no batch here is faster"
    return (
        f"{text}; B={reason.fastest_batch} runs {reason.times or 0.0:.3g} times as many, each "
        f"worth {format_ratio(reason.fastest_ratio)}"
    )


@say.register
def _(reason: RestsOnNoise) -> str:
    low, high = reason.interval
    until = "infinity" if math.isinf(high) else f"{high:.3g}"
    text = (
        f"the noise scale after {reason.train_steps} training steps is {reason.sequences:.3g} "
        f"sequences (95% interval {low:.3g} to {until})"
    )
    smallest, largest = reason.batches
    if smallest == largest:
        return f"{text}: both ends give the same batch"
    return f"{text}: its ends give batches {smallest} and {largest}"


@say.register
def _(reason: NothingTimed) -> str:
    return (
        f"no batch that fits was timed at a T of at most {reason.length}: rnnprof profile "
        f"--time-steps {reason.length} times one"
    )


@say.register
def _(reason: ReachUnknown) -> str:
    lengths = ",".join(map(str, reason.time_steps))
    return (
        "how far gradients reach is not known at any T that was timed: rnnprof trainability "
        f"--time-steps {lengths} measures it"
    )


@say.register
def _(reason: ReachTooShort) -> str:
    return (
        f"no T keeps a reach of {reason.reach}: the furthest is {reason.furthest} time steps, at "
        f"T={reason.time_steps}; longer chunks, another cell or another initialization may "
        "reach further"
    )


@say.register
def _(reason: ReachEnough) -> str:
    return (
        f"at T={reason.time_steps} gradients reach {reason.found} time steps back, {reason.reach} "
        "are requested"
    )


@say.register
def _(reason: BestOfReach) -> str:
    rate = rate_in_words(reason.time_steps_per_s)
    return f"{rate} at B={reason.batch}, the best of the T that reach that far"


@say.register
def _(reason: FasterButShort) -> str:
    rate = rate_in_words(reason.time_steps_per_s)
    return f"{reason.point} is faster ({rate}), but reaches back only {reason.found} time steps"


# --- the heads and items of a study ---------------------------------------------------------------

NOTHING_STUDIED: Final = "nothing was studied"
NOISE_HEAD: Final = "Noise scale: the batch at which a gradient's noise is as large as the gradient"
FEW_SEEDS: Final = f"fewer than {MIN_SEEDS} seeds show no spread"
AT_START: Final = "met before any training: give a lower --target"
NOT_REACHED: Final = "not reached in the time given"

RATE_RULES: Final = {
    "fixed": "the same at every batch", "sqrt": "by the square root of B", "linear": "by B",
}  # fmt: skip


def reach_head(threshold: float) -> str:
    """What reach is."""
    return f"Gradient reach: the largest lag with {threshold:g} of the last time step's gradient"


def target_head(study: Study, target_loss: float) -> str:
    """What the time to a target is of."""
    data = "fresh data" if study.task else "the last 20 training steps"
    rate = "" if study.task is None else f"; learning rate {RATE_RULES[study.rate_rule]}"
    return f"Time to a loss of {target_loss:g} on {data}{rate}"


def after(train_steps: int) -> str:
    """``after 40 training steps``."""
    return f"after {train_steps} training steps" if train_steps else "before training"


def trainability_words(report: RunReport) -> list[str]:
    """A sentence for each reach and noise scale after the most training, for the page."""
    found = report.trainability
    reached = {each.time_steps: each for each in found.reach}
    noisy = {each.time_steps: each for each in found.noise}
    return [
        *(
            f"Reach at T={time_steps}: {reach_in_words(each)}"
            for time_steps, each in reached.items()
        ),
        *(
            f"Noise scale at T={time_steps}: {noise_in_words(each)}"
            for time_steps, each in noisy.items()
        ),
    ]


def reach_in_words(each: ReachAt) -> str:
    """The trend and reach at a T, or why it is not known."""
    if each.reach is None:
        return f"not known: {each.reason}"
    text = each.reach.trend.value.replace("_", " ")
    if each.reach.reach is not None:
        least = "at least " if each.reach.is_cut else ""
        text += f", {least}{each.reach.reach} time steps"
        if each.reach.reach_spread and each.reach.reach_spread[0] != each.reach.reach_spread[1]:
            text += " ({} to {} over draws)".format(*each.reach.reach_spread)
    text += f"; {say(each.reach.reason)}"
    if each.inputs == "embedding":
        text += "; of the embedding's output"
    if each.clipped_ratio is not None:
        text += f"; {format_ratio(each.clipped_ratio)} of the training steps were clipped"
    return text


def noise_in_words(each: NoiseAt) -> str:
    """The noise scale at a T with its interval, or why it is not known."""
    scale = each.scale
    if scale is None:
        return f"not known: {each.reason}"
    if scale.sequences is None:
        return f"not known: {as_text(scale.reason)}"
    assert scale.interval is not None
    low, high = scale.interval
    until = "infinity" if math.isinf(high) else _sequences(high)
    text = f"{_sequences(scale.sequences)} sequences (95% interval {_sequences(low)} to {until})"
    return text if scale.reason is None else f"{text}; {say(scale.reason)}"


def _sequences(count: float) -> str:
    return f"{count:.3g}"
