"""What stands in the way of a proof, what else to know of it, and why a batch is tried."""

from __future__ import annotations

from dataclasses import dataclass

from rnnprof.reasons import Reason


@dataclass(frozen=True, slots=True)
class Stopped(Reason):
    """The search was stopped before its end."""


@dataclass(frozen=True, slots=True)
class ProbesSpent(Reason):
    """A search has taken all its probes, and nothing is settled."""

    probes: int


@dataclass(frozen=True, slots=True)
class Contradiction(Reason):
    """A batch fits although a smaller one was out of memory."""

    fits_batch: int
    fails_batch: int


@dataclass(frozen=True, slots=True)
class MemoryFalls(Reason):
    """A larger batch takes clearly less memory, so that what fits above is not known."""

    smaller_batch: int
    smaller_bytes: int | None
    larger_batch: int
    larger_bytes: int | None


@dataclass(frozen=True, slots=True)
class NoMultiple(Reason):
    """Up to the largest batch to try there is no multiple of the granularity."""

    at_most: int
    granularity: int


@dataclass(frozen=True, slots=True)
class SmallestFails(Reason):
    """The smallest batch is out of memory.

    Attributes:
        train_steps_run: training steps that passed before; 0 where the first failed.
        left_bytes: that each of them left behind; 0 where none did.
    """

    batch: int
    train_steps_run: int = 0
    left_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class EndedAt(Reason):
    """A probe ended neither by fitting nor out of memory.

    Attributes:
        why: as it was recorded.
    """

    batch: int
    why: str | None


@dataclass(frozen=True, slots=True)
class NotSupported(Reason):
    """The library does not support the size.

    Attributes:
        why: as it was recorded; None where nothing was.
    """

    why: str | None


@dataclass(frozen=True, slots=True)
class FewerConfirmations(Reason):
    """A batch has passed in fewer fresh workers than requested when the search ended.

    Attributes:
        stopped: why it ended.
    """

    stopped: Reason
    batch: int
    passed: int
    confirm: int


@dataclass(frozen=True, slots=True)
class WentBothWays(Reason):
    """A batch has fitted as well as run out of memory."""

    batch: int


@dataclass(frozen=True, slots=True)
class Thrashes(Reason):
    """A batch fits only because the allocator empties its cache.

    Attributes:
        retries: times that it did.
        without_batch: the largest smaller batch that fits without it; None where none is known.
        after_steps: training steps after which they are counted; None where all are.
    """

    batch: int
    retries: int
    without_batch: int | None = None
    after_steps: int | None = None


@dataclass(frozen=True, slots=True)
class StepLeaves(Reason):
    """Each training step leaves memory behind.

    Attributes:
        batch: at which it was confirmed.
        lasts: training steps until the limit is reached there.
        failed_batch, failed_steps: a larger batch that ran out of memory by it, and after how
            many training steps; None without one.
    """

    bytes_per_step: float
    batch: int
    lasts: int
    failed_batch: int | None = None
    failed_steps: int | None = None


@dataclass(frozen=True, slots=True)
class PeakGrows(Reason):
    """The peak differs from training step to training step.

    Attributes:
        ratio: by which it grew at most after the first *train_steps*.
    """

    ratio: float
    train_steps: int


@dataclass(frozen=True, slots=True)
class NotBatchUsed(Reason):
    """The user's step does not use the batch that it is called with."""

    why: Reason


@dataclass(frozen=True, slots=True)
class BytesUnknown(Reason):
    """The bytes of no batch are known, and so no batch can be recommended."""


@dataclass(frozen=True, slots=True)
class NoHeadroom(Reason):
    """Not even the smallest batch leaves the headroom free."""

    batch: int


@dataclass(frozen=True, slots=True)
class NothingKnown(Reason):
    """Why a first batch is tried: nothing is known yet."""


@dataclass(frozen=True, slots=True)
class Between(Reason):
    """Between which batches the largest lies.

    Attributes:
        low, high: both included; a *high* of None is not known yet.
    """

    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Predicted(Reason):
    """A batch is tried, since its bytes are predicted to be near the limit."""

    predicted_bytes: float
    limit_bytes: int
    between: Between


@dataclass(frozen=True, slots=True)
class ToProve(Reason):
    """A batch is run again, in a fresh worker.

    Attributes:
        seconds: that it takes, by a shorter pass; None where that is not worth saying.
    """

    train_steps: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class OnceMore(Reason):
    """A batch is run again, since its worker died."""


@dataclass(frozen=True, slots=True)
class SeemsToLeave(Reason):
    """A batch is run for longer, since its training steps seem to leave memory behind."""


@dataclass(frozen=True, slots=True)
class TryStepFunction(Reason):
    """A larger batch is run with the step in a function, which may fit more.

    Attributes:
        ratio: by which the batch is larger.
    """

    ratio: float


@dataclass(frozen=True, slots=True)
class WhetherItFits(Reason):
    """A batch is run to see whether it fits, and nothing else."""
