"""Whether a step function fits a larger batch than a plain loop.

A plain loop keeps input, output, state and loss of the last step until the next step replaces
them; a step function frees them when it returns.  On CUDA this can change the largest batch by up
to a quarter.
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
"""The smallest gain in batch for which a change of the loop is worth reporting."""


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A step function at a batch above the largest one of a plain loop.

    Attributes:
        plain_batch: the largest batch that fits in a plain loop.
        batch: the batch of the step function, about MORE_RATIO above *plain_batch*.
        fits: whether its training steps passed; None if it ended neither as fit nor as OOM.
    """

    time_steps: int
    plain_batch: int
    batch: int
    fits: bool | None


def loop_of(workload: Workload) -> str | None:
    """The loop for which a run's answers are valid; None for a factory, which has its own."""
    return workload.loop if workload.is_built_in else None


def batch_to_try(certificate: Certificate, workload: Workload) -> int | None:
    """The batch to run as a step function beside a proof of a plain loop; None for none."""
    is_plain = loop_of(workload) == "plain" and workload.mode == "train"
    is_proven = certificate.status is EdgeStatus.CERTIFIED and certificate.batch is not None
    if not is_plain or not is_proven:
        return None
    assert certificate.batch is not None
    unit = certificate.granularity
    # subtract a little, so that a float's rounding error does not raise 5% of 100
    return math.ceil(certificate.batch * (1 + MORE_RATIO) / unit - 1e-9) * unit


def step_functions_of(run: Run, frontier: Sequence[Certificate]) -> tuple[StepFunction, ...]:
    """The step functions that were run beside certificates."""
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
