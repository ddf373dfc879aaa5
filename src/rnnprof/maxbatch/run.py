"""The work of ``max-batch``, and of a budget that only requires that points fit."""

from __future__ import annotations

from rnnprof.engine.job import Job
from rnnprof.maxbatch.beside import run_neighbours, try_step_functions
from rnnprof.maxbatch.frontier import Frontier
from rnnprof.maxbatch.reasons import SeemsToLeave, WhetherItFits
from rnnprof.maxbatch.stationary import batch_to_confirm, confirming_steps
from rnnprof.outcomes import was_crowded_out
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point, Role


def seek_largest(job: Job) -> None:
    """Prove the largest batch at each T; on a simulated GPU, also run its neighbours."""
    job.observer.recall(job.run)
    certify(job, job.order.settings.at_most, looks_around=job.order.gpu is not None)


def certify(job: Job, at_most: int, *, looks_around: bool = False) -> None:
    """Prove the largest batch up to *at_most* at each T of the grid."""
    frontier = Frontier(job.observer, job.journal.append, job.listener, at_most)
    frontier.recall(job.run)
    certificates = frontier.run(job.order.grid.time_steps)
    if job.order.device != "cpu":
        try_step_functions(job.observer, certificates, job.listener, job.run)
    if looks_around:
        run_neighbours(job.observer, certificates, job.listener, job.run)


def run_once(job: Job) -> None:
    """Run each point that was not run yet, for as many training steps as a proof."""
    job.observer.recall(job.run)
    count = job.order.settings.confirm_steps
    fits = [o for o in job.run.observations if isinstance(o, Fit) and o.is_of_the_workload]
    same = [fit for fit in fits if fit.limit_bytes == job.observer.limit_bytes]
    known = {fit.point for fit in same if not was_crowded_out(fit) and _tells(fit, count)}
    for point in job.order.grid.points():
        if point not in known:
            job.listener.probing(point, WhetherItFits())
            _settle_suspicion([_run_point(point, count, job, Role.GRID)], job)


def _tells(fit: Fit, count: int) -> bool:
    """Whether a pass need not be run again: it did not fit, or it fitted for enough steps."""
    return fit.outcome is not Outcome.MEASURED or fit.train_steps_run >= count


def _settle_suspicion(fits: list[Fit], job: Job) -> None:
    """Run longer passes where training steps seem to leave memory behind."""
    settings = job.order.settings
    confirm, unit = settings.confirm_steps, settings.granularity
    while (batch := batch_to_confirm(fits, confirm, unit)) is not None:
        point = Point(batch, fits[0].time_steps)
        job.listener.probing(point, SeemsToLeave())
        fits.append(_run_point(point, confirming_steps(confirm), job))


def _run_point(point: Point, count: int, job: Job, role: Role = Role.PROBE) -> Fit:
    fit = job.observer.observe(point, "fit", role, confirm_steps=count)
    assert isinstance(fit, Fit)
    job.listener.probed(fit)
    return fit
