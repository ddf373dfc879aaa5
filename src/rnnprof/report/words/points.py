"""Sentences of a point: what made its time noisy, whether its batch is used, what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rnnprof.points.reasons import (
    BatchNotUsed,
    DataGave,
    GpuSlowedDown,
    HoldsBefore,
    ImpliedBy,
    LengthNotUsed,
    LengthShare,
    LowClock,
    MemoryNoMore,
    ModulesSawNoMore,
    OthersTookMemory,
    PeakKnownWithout,
    PlaceholderUnused,
    ProbesLeft,
    ProcessorTaken,
    SameData,
    StartTakes,
    Taker,
)
from rnnprof.report.words.dispatch import say
from rnnprof.units import format_bytes, format_duration, format_ratio, format_seconds


@dataclass(frozen=True, slots=True)
class TakerWords:
    """The words for one who takes processor time.

    Attributes:
        name: in a sentence; *named*: with the field's own term behind it.
        short: in a legend.
    """

    name: str
    named: str
    short: str


TAKERS: Final = {
    Taker.OTHERS: TakerWords("other processes", "other processes", "others"),
    Taker.HYPERVISOR: TakerWords("the hypervisor", "the hypervisor (steal)", "steal"),
    Taker.QUOTA: TakerWords("the cgroup's quota", "the cgroup's quota (throttling)", "throttling"),
}


@say.register
def _(reason: ProcessorTaken) -> str:
    taken, name = format_ratio(reason.ratio), TAKERS[reason.taker].name
    if reason.taker is Taker.QUOTA:
        return f"{name} stopped the process for {taken} of the time"
    return f"{name} took {taken} of a processor"


@say.register
def _(reason: GpuSlowedDown) -> str:
    return f"the GPU lowered its clock ({', '.join(reason.event_reasons)})"


@say.register
def _(reason: LowClock) -> str:
    share = format_ratio(reason.ratio)
    return f"the GPU ran at {reason.clock_mhz} MHz, {share} of its highest clock"


@say.register
def _(reason: OthersTookMemory) -> str:
    return f"other processes took {format_bytes(reason.size_bytes)} of device memory"


@say.register
def _(reason: DataGave) -> str:
    return f"requested {reason.batch}, the data gave {reason.seen_batch}"


@say.register
def _(reason: ModulesSawNoMore) -> str:
    return f"requested {reason.batch}, but modules see no more than at B={reason.smaller_batch}"


@say.register
def _(reason: MemoryNoMore) -> str:
    return (
        f"requested {reason.batch}, but a training step takes no more memory than at "
        f"B={reason.smaller_batch}"
    )


@say.register
def _(reason: BatchNotUsed) -> str:
    return f"the batch is not used: {say(reason.why)}"


@say.register
def _(reason: LengthNotUsed) -> str:
    return (
        f"T is not used: of {reason.time_steps} time steps requested, recurrent layers saw "
        f"{reason.seen_time_steps}"
    )


@say.register
def _(reason: LengthShare) -> str:
    share = format_ratio(reason.seen_time_steps / reason.time_steps)
    return (
        f"recurrent layers see {reason.seen_time_steps} time steps at T={reason.time_steps}, "
        f"{share} of T"
    )


@say.register
def _(reason: SameData) -> str:
    return (
        f"both proofs of B={reason.batch} drew the same data: your code sets its own seed, or "
        "reads its data in a fixed order"
    )


@say.register
def _(reason: ImpliedBy) -> str:
    return f"{reason.point} was out of memory"


@say.register
def _(reason: PeakKnownWithout) -> str:
    return (
        f"left out: {reason.samples} other memory passes predict an allocated peak of "
        f"{format_bytes(reason.peak_bytes)}, to within {format_ratio(reason.error_ratio)}"
    )


@say.register
def _(reason: PlaceholderUnused) -> str:
    return f"{{{reason.name}}} had no effect: {say(reason.why)}"


@say.register
def _(reason: HoldsBefore) -> str:
    weights = ""
    if reason.weight_bytes is not None:
        weights = f" (weights {format_bytes(reason.weight_bytes)})"
    text = (
        f"before its first training step the script holds {format_bytes(reason.held_bytes)} of "
        f"{format_bytes(reason.limit_bytes)}{weights}"
    )
    if reason.is_mostly_data:
        text += ": the data set that it loads counts against the limit"
    return text


@say.register
def _(reason: StartTakes) -> str:
    text = (
        f"each start of the script takes {format_seconds(reason.start_s)} before its first "
        "training step"
    )
    if reason.starts is None or reason.most_s is None:
        return text
    most = format_duration(reason.most_s)
    return f"{text}; about {_starts(reason.starts)}, at most {most} in all"


@say.register
def _(reason: ProbesLeft) -> str:
    left = format_duration(reason.left_s)
    return f"about {_starts(reason.starts)} of the script to go, {left} in all"


def _starts(count: int) -> str:
    return f"{count} start{'' if count == 1 else 's'}"
