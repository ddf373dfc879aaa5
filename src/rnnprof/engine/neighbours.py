"""Runs the neighbours of each largest batch, where a batch costs a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterable

from rnnprof.analysis.neighbours import neighbours_to_run
from rnnprof.engine.frontier import FrontierListener
from rnnprof.engine.observer import Observer
from rnnprof.records import Certificate, Fit, Point, Role, Run


def run_neighbours(
    observer: Observer,
    certificates: Iterable[Certificate],
    listener: FrontierListener,
    before: Run,
) -> None:
    """Each in a fresh worker, over as many training steps as a proof; what is there stays."""
    seen = {o.point for o in before.observations if o.role is Role.NEIGHBOUR}
    for certificate in certificates:
        points = [Point(batch, certificate.steps) for batch in neighbours_to_run(certificate)]
        for point in points:
            if point not in seen:
                listener.probing(point, f"a neighbour of the largest batch, {certificate.batch}")
                fit = observer.observe(
                    point, "fit", Role.NEIGHBOUR, confirm_steps=certificate.confirm_steps
                )
                assert isinstance(fit, Fit)
                listener.probed(fit)
