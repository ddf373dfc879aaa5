"""Why there is no proof, remarks on a proof, and why a batch is tried."""

from __future__ import annotations

from dataclasses import dataclass

from rnnprof.reasons import Reason


@dataclass(frozen=True, slots=True)
class Stopped(Reason):
    """The search was stopped before its end."""


@dataclass(frozen=True, slots=True)
class ProbesSpent(Reason):
    """A search has used all its probes without an answer."""

    probes: int


@dataclass(frozen=True, slots=True)
class Contradiction(Reason):
    """A batch fits although a smaller one was out of memory."""

    fits_batch: int
    fails_batch: int


@dataclass(frozen=True, slots=True)
class MemoryFalls(Reason):
    """A larger batch takes clearly less memory, so it is unknown what fits above."""

    smaller_batch: int
    smaller_bytes: int | None
    larger_batch: int
    larger_bytes: int | None


@dataclass(frozen=True, slots=True)
class NoMultiple(Reason):
    """The largest batch to try is below the granularity."""

    at_most: int
    granularity: int


@dataclass(frozen=True, slots=True)
class SmallestFails(Reason):
    """The smallest batch is out of memory.

    Attributes:
        train_steps_run: training steps that passed before; 0 if the first failed.
        left_bytes: bytes that each of them left behind; 0 for none.
        is_before: it fails before the first of them begins.
    """

    batch: int
    train_steps_run: int = 0
    left_bytes: float = 0.0
    is_before: bool = False


@dataclass(frozen=True, slots=True)
class EndedAt(Reason):
    """A probe ended neither as fit nor as out of memory.

    Attributes:
        why: the recorded reason.
    """

    batch: int
    why: str | None


@dataclass(frozen=True, slots=True)
class NotSupported(Reason):
    """The library does not support the size.

    Attributes:
        why: the recorded reason; None without one.
    """

    why: str | None


@dataclass(frozen=True, slots=True)
class FewerConfirmations(Reason):
    """A batch has passed in fewer fresh workers than requested when the search ended.

    Attributes:
        stopped: why it ended.
        passed: workers in which the batch passed.
        confirm: workers in which it must pass.
    """

    stopped: Reason
    batch: int
    passed: int
    confirm: int


@dataclass(frozen=True, slots=True)
class WentBothWays(Reason):
    """A batch fitted in one pass and ran out of memory in another."""

    batch: int


@dataclass(frozen=True, slots=True)
class Thrashes(Reason):
    """A batch fits only because the allocator empties its cache.

    Attributes:
        retries: how often it did.
        without_batch: the largest smaller batch that fits without this; None where unknown.
        after_steps: training steps after which retries are counted; None if all are counted.
    """

    batch: int
    retries: int
    without_batch: int | None = None
    after_steps: int | None = None


@dataclass(frozen=True, slots=True)
class StepLeaves(Reason):
    """Each training step leaves memory behind.

    Attributes:
        batch: the batch at which this was confirmed.
        lasts: training steps until the limit is reached at *batch*.
        failed_batch, failed_steps: a larger batch that ran out of memory for this reason, and after
            how many training steps; None without one.
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
        ratio: its largest growth after the first *train_steps*.
    """

    ratio: float
    train_steps: int


@dataclass(frozen=True, slots=True)
class NotBatchUsed(Reason):
    """The user's step does not use the batch that it is called with."""

    why: Reason


@dataclass(frozen=True, slots=True)
class BytesUnknown(Reason):
    """No batch has known bytes, so no batch can be recommended."""


@dataclass(frozen=True, slots=True)
class NoHeadroom(Reason):
    """Not even the smallest batch leaves the headroom free."""

    batch: int


@dataclass(frozen=True, slots=True)
class NothingKnown(Reason):
    """Why a first batch is tried: nothing is known yet."""


@dataclass(frozen=True, slots=True)
class Between(Reason):
    """The range of the largest batch.

    Attributes:
        low, high: both included; a *high* of None is still unknown.
    """

    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Predicted(Reason):
    """A batch is tried because its bytes are predicted to be near the limit."""

    predicted_bytes: float
    limit_bytes: int
    between: Between


@dataclass(frozen=True, slots=True)
class ToProve(Reason):
    """A batch is run again, in a fresh worker.

    Attributes:
        seconds: its predicted duration, from a shorter pass; None if it is not worth reporting.
    """

    train_steps: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class OnceMore(Reason):
    """A batch is run again because its worker died."""


@dataclass(frozen=True, slots=True)
class SeemsToLeave(Reason):
    """A batch is run for more steps because its training steps seem to leave memory behind."""


@dataclass(frozen=True, slots=True)
class TryStepFunction(Reason):
    """A larger batch is run with the step in a function, which may fit more.

    Attributes:
        ratio: how much larger the batch is; 0.05 is 5%.
    """

    ratio: float


@dataclass(frozen=True, slots=True)
class WhetherItFits(Reason):
    """A batch is run only to see whether it fits."""
