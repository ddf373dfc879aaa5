"""What the loop around a layer is worth: whether a step function fits more than a plain loop.

A plain loop holds input, output, state and loss of the last step until the next replaces them; a
step function drops them.  On CUDA the caching allocator makes of it up to a quarter of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Role
from rnnprof.runfile.records import Run
from rnnprof.workload import Workload

MORE_RATIO: Final = 0.05
"""How much more has to fit for it to be worth a change of the loop."""


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A batch above the largest of a plain loop, as a step function ran it.

    Attributes:
        plain_batch: the largest that fits in a plain loop.
        batch: that the step function was tried with, about MORE_RATIO above it.
        fits: whether its training steps passed; None where it ended otherwise.
    """

    time_steps: int
    plain_batch: int
    batch: int
    fits: bool | None


def loop_of(workload: Workload) -> str | None:
    """The loop that a run's answers hold for; None of a factory, which has its own."""
    return workload.loop if workload.factory is None else None


def batch_to_try(certificate: Certificate, workload: Workload) -> int | None:
    """What a step function is to run beside a proof in a plain loop; None where nothing is."""
    is_plain = loop_of(workload) == "plain" and workload.mode == "train"
    is_proven = certificate.status is EdgeStatus.CERTIFIED and certificate.batch is not None
    if not is_plain or not is_proven:
        return None
    assert certificate.batch is not None
    unit = certificate.granularity
    # a little less than the product, so that 5% of 100 is not rounded up by a float's last digit
    return math.ceil(certificate.batch * (1 + MORE_RATIO) / unit - 1e-9) * unit


def step_functions_of(run: Run, frontier: Sequence[Certificate]) -> tuple[StepFunction, ...]:
    """Of each certificate beside which a step function was run."""
    fits = {
        (o.time_steps, o.batch): o
        for o in run.observations
        if isinstance(o, Fit) and o.role is Role.STEP_FUNCTION
    }
    found = []
    for certificate in frontier:
        batch = batch_to_try(certificate, run.header.workload)
        if batch is not None and (fit := fits.get((certificate.time_steps, batch))) is not None:
            assert certificate.batch is not None
            ended = {Outcome.MEASURED: True, Outcome.OOM: False}.get(fit.outcome)
            found.append(StepFunction(certificate.time_steps, certificate.batch, batch, ended))
    return tuple(found)
