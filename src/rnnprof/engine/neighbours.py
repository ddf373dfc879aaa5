"""Runs the neighbours of each largest batch, where a batch costs a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterable

from rnnprof.analysis.neighbours import neighbours_to_run
from rnnprof.engine.frontier import FrontierListener
from rnnprof.engine.observer import Observer
from rnnprof.records import Certificate, Point, Role, Run


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
        for done, point in enumerate(points):
            if point not in seen:
                listener.looking_around(certificate, done, len(points))
                steps = certificate.confirm_steps
                observer.observe(point, "fit", Role.NEIGHBOUR, confirm_steps=steps)
        if points:
            listener.looking_around(certificate, len(points), len(points))
