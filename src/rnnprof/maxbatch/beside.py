"""Extra passes beside a proof: a step function in place of the plain loop, and the neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rnnprof.engine.listener import Listener
from rnnprof.engine.observer import Observer
from rnnprof.maxbatch.neighbours import neighbours_to_run
from rnnprof.maxbatch.reasons import TryStepFunction
from rnnprof.maxbatch.step_functions import MORE_RATIO, batch_to_try
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Point, Role
from rnnprof.runfile.records import Run


def try_step_functions(
    observer: Observer,
    certificates: Iterable[Certificate],
    listener: Listener,
    before: Run,
) -> None:
    """Run one batch for each T as a step function, in a fresh worker, as long as the proof.

    Batches that an earlier invocation has run are not run again.
    """
    workload = observer.task.workload
    seen = {o.point for o in before.observations if o.role is Role.STEP_FUNCTION}
    for certificate in certificates:
        batch = batch_to_try(certificate, workload)
        if batch is None or (point := Point(batch, certificate.time_steps)) in seen:
            continue
        listener.probing(point, TryStepFunction(MORE_RATIO))
        fit = observer.observe(
            point,
            "fit",
            Role.STEP_FUNCTION,
            confirm_steps=certificate.confirm_steps,
            lengths=observer.request.settings.lengths,
            workload=replace(workload, loop="function"),
        )
        assert isinstance(fit, Fit)
        listener.probed(fit)


def run_neighbours(
    observer: Observer,
    certificates: Iterable[Certificate],
    listener: Listener,
    before: Run,
) -> None:
    """Run each neighbour in a fresh worker, as long as a proof, unless it was run before."""
    seen = {o.point for o in before.observations if o.role is Role.NEIGHBOUR}
    for certificate in certificates:
        points = [Point(batch, certificate.time_steps) for batch in neighbours_to_run(certificate)]
        for done, point in enumerate(points):
            if point not in seen:
                listener.looking_around(certificate, done, len(points))
                count = certificate.confirm_steps
                observer.observe(point, "fit", Role.NEIGHBOUR, confirm_steps=count)
        if points:
            listener.looking_around(certificate, len(points), len(points))
