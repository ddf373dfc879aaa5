"""The largest batch at one T, and its proof."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from rnnprof.ranges import Bytes, Count, Extent, Text, Whole


class EdgeStatus(enum.StrEnum):
    """What is known about the largest batch at one T."""

    CERTIFIED = "certified"
    CAPPED = "capped"
    NOTHING_FITS = "nothing_fits"
    UNSUPPORTED = "unsupported"
    NON_MONOTONE = "non_monotone"
    NOT_STATIONARY = "not_stationary"
    BATCH_NOT_USED = "batch_not_used"
    INDETERMINATE = "indeterminate"


GOOD_STATUSES: Final = frozenset({EdgeStatus.CERTIFIED, EdgeStatus.CAPPED, EdgeStatus.UNSUPPORTED})
"""Statuses that answer the question at a T; with any other one there is no largest batch."""


@dataclass(frozen=True, slots=True)
class EdgeFit:
    """The passing side of a proof: full training steps passed in a fresh worker.

    Attributes:
        batch: sequences per batch.
        attempt: the observation that proves it.
        peak_bytes: peak of the charged bytes; None where unknown.
        train_steps_run: training steps that passed.
    """

    batch: Extent
    attempt: Text
    peak_bytes: Bytes | None = None
    train_steps_run: Count = 0


@dataclass(frozen=True, slots=True)
class EdgeOom:
    """The failing side of a proof: out of memory.

    Attributes:
        batch: sequences per batch.
        attempt: the observation that proves it.
        phase: the phase in which memory ran out.
        message: the text of the error.
        requested_bytes: size of the allocation that failed, if the error names it.
    """

    batch: Extent
    attempt: Text
    phase: Text | None = None
    message: Text | None = None
    requested_bytes: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """The proof of the largest batch at one T: *batch* fits, *batch* + granularity does not.

    It cites the attempts that prove it; a certificate whose attempts are not in the file is void.

    Attributes:
        time_steps: T.
        status: whether the largest batch is known, and why not.
        granularity: batches are multiples of it.
        at_most: the largest batch that the search was allowed to try.
        batch: the largest batch that fits; None where none is known.
        fits, fails: the two sides of the proof, or of a contradiction.
        confirm_steps: training steps that a fit had to pass.
        horizon: training steps that the proof of *batch* ran; None without a proof.
        confirmations: fresh workers in which *batch* passed.
        probes: fit passes at this T, confirmations included.
        ooms: probes that ran out of memory.
        attempts: all observations at this T that the certificate uses, in order.
        request: id of the invocation that wrote it.
    """

    time_steps: Extent
    status: EdgeStatus
    granularity: Extent
    at_most: Extent
    batch: Extent | None = None
    fits: EdgeFit | None = None
    fails: EdgeOom | None = None
    confirm_steps: Count = 10
    horizon: Whole | None = None
    confirmations: Count = 0
    probes: Count = 0
    ooms: Count = 0
    attempts: tuple[Text, ...] = ()
    request: Text = ""
