"""The largest batch at one T, and what proves it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from rnnprof.ranges import Bytes, Count, Whole


class EdgeStatus(enum.StrEnum):
    """What is known of the largest batch at one T."""

    CERTIFIED = "certified"
    CAPPED = "capped"
    NOTHING_FITS = "nothing_fits"
    UNSUPPORTED = "unsupported"
    NON_MONOTONE = "non_monotone"
    NOT_STATIONARY = "not_stationary"
    BATCH_NOT_USED = "batch_not_used"
    INDETERMINATE = "indeterminate"


GOOD_STATUSES: Final = frozenset({EdgeStatus.CERTIFIED, EdgeStatus.CAPPED, EdgeStatus.UNSUPPORTED})
"""Statuses that answer what was asked at a T; after any other one there is no largest batch."""


@dataclass(frozen=True, slots=True)
class EdgeFit:
    """The side of an edge that fits: full training steps passed in a fresh worker.

    Attributes:
        peak_bytes: of what the limit counts; None where it is not known.
        attempt: the observation that proves it.
        train_steps_run: training steps that passed.
    """

    batch: Count
    attempt: str
    peak_bytes: Bytes | None = None
    train_steps_run: Count = 0


@dataclass(frozen=True, slots=True)
class EdgeOom:
    """The side of an edge that does not fit.

    Attributes:
        phase: in which memory ran out.
        message: the error's own words.
        requested_bytes: the allocation that did not fit, where the error names it.
        attempt: the observation that proves it.
    """

    batch: Count
    attempt: str
    phase: str | None = None
    message: str | None = None
    requested_bytes: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """The proof of an edge at one T: fits at *batch*, out of memory at *batch* + granularity.

    It cites the attempts that prove it; without them in the same file it is void.

    Attributes:
        steps: T.
        batch: the largest that fits; None where none is known.
        fits, fails: both sides; of a contradiction the two that contradict each other.
        at_most: the largest batch that the search was to try.
        confirm_steps: training steps that a fit had to pass.
        horizon: training steps that the proof of *batch* ran; None without one.
        confirmations: fresh workers in which *batch* passed.
        probes: runs of steps at this T, confirmations included.
        ooms: of them, out of memory.
        attempts: every observation at this T that was part of it, in order.
    """

    time_steps: Count
    status: EdgeStatus
    granularity: Count
    at_most: Count
    batch: Count | None = None
    fits: EdgeFit | None = None
    fails: EdgeOom | None = None
    confirm_steps: Count = 10
    horizon: Whole | None = None
    confirmations: Count = 0
    probes: Count = 0
    ooms: Count = 0
    attempts: tuple[str, ...] = ()
    request: str = ""
