"""Runs a step function beside each proof in a plain loop, where the loop decides how much fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rnnprof.analysis.loops import batch_to_try
from rnnprof.engine.frontier import FrontierListener
from rnnprof.engine.observer import Observer
from rnnprof.records import Certificate, Fit, Point, Role, Run


def try_step_functions(
    observer: Observer,
    certificates: Iterable[Certificate],
    listener: FrontierListener,
    before: Run,
) -> None:
    """One batch for each T, in a fresh worker, over as many training steps as the proof.

    What an earlier invocation has run stays.
    """
    workload = observer.task.workload
    seen = {o.point for o in before.observations if o.role is Role.STEP_FUNCTION}
    for certificate in certificates:
        batch = batch_to_try(certificate, workload)
        if batch is None or (point := Point(batch, certificate.steps)) in seen:
            continue
        listener.probing(point, "whether a step function fits 5% more")
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
