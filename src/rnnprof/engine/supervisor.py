"""The parent's view of workers: start the template, give each task a fresh worker, see how it ends.

The parent does not import torch.  Whatever kills a worker costs one attempt, not the run; so does
whatever kills the template, which is then started again.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from rnnprof import protocol
from rnnprof.device import cgroup
from rnnprof.engine.reasons import TemplateRestarted
from rnnprof.engine.running_worker import RunningWorker, evidence_of
from rnnprof.engine.template_process import (
    TemplateEnd,
    TemplateEndedError,
    TemplateProcess,
    refusal,
)
from rnnprof.errors import WorkerStartError
from rnnprof.outcomes import Evidence, classify
from rnnprof.runfile.points import Outcome
from rnnprof.simulate.description import GpuDescription

TERM_GRACE_S: Final = 2.0
EXIT_GRACE_S: Final = 5.0

ANSWERED_GRACE_S: Final = 30.0
"""After its answer a worker only ends: closing a CUDA context and freeing memory takes seconds."""

FORK_TIMEOUT_S: Final = 30.0
"""A fork takes milliseconds; a template that is this late has been stopped, or hangs."""

FORK_RETRY_S: Final = 5.0
"""The system may refuse a process for a moment, while others end."""

FORK_PAUSE_S: Final = 0.1

MAX_TEMPLATE_ENDS: Final = 3
"""Templates that end in a row, while none of them forks, before the run gives up.

Also the attempts at one task that end with their template, before that is the task's result.
Whatever kills a template by chance does not meet the same one or the same task three times."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a task ended.

    Attributes:
        worker: number of the worker that ran it.
        findings: what the worker found, also before it failed.
        evidence: what was seen of its end; None if it passed.
        wall_s: from the request to the answer; without attempts that were lost with a template.
        bad_factory: the user's factory does not follow the protocol.
        earlier_tasks: that its worker had run before, if it is shared; None of one of its own.
        resting: what a shared worker still held afterwards; None of one that has ended.
    """

    worker: int
    findings: dict[str, object]
    evidence: Evidence | None
    wall_s: float
    bad_factory: bool = False
    earlier_tasks: int | None = None
    resting: protocol.Resting | None = None


class Supervisor:
    """Starts the template on first use and gives each task a fresh worker.

    Tasks that may share one follow each other in a worker for as long as it gives back all device
    memory; a task that needs a fresh worker ends it first, since its context takes memory, too.

    Use it as a context manager: on exit it ends every process that it started.

    Args:
        clock: monotonic, in seconds.
        python: the workers' interpreter; it must have the same rnnprof.
        folder: working directory of the workers; None for the current one.
        gpu: a GPU to simulate in every worker; None for the devices that are present.

    Attributes:
        restarted: is called when a template has been started in place of one that ended.
        found: what a job found, by a name: later jobs with the same workers need not find it again.
    """

    def __init__(
        self,
        clock: Clock = time.monotonic,
        *,
        python: str = sys.executable,
        folder: Path | None = None,
        gpu: GpuDescription | None = None,
    ) -> None:
        self.restarted: Callable[[TemplateRestarted], None] = lambda _: None
        self.found: dict[str, Any] = {}
        self._clock = clock
        self._gpu = gpu
        self._python = python
        self._folder = folder
        self._template: TemplateProcess | None = None
        self._ends: list[TemplateEnd] = []  # of templates in a row that forked no worker
        self._untold: TemplateRestarted | None = None
        self._count = 0
        self._current: RunningWorker | None = None
        self._resting: RunningWorker | None = None
        self._shares = True

    @property
    def folder(self) -> Path | None:
        """Working directory of the workers; None for the current one."""
        return self._folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> protocol.Ready:
        """Start the template and wait until it can fork.

        Raises:
            WorkerStartError: with the last line that it printed.
            NoDeviceError: this machine cannot simulate a GPU; the message says what to do.
        """
        while True:
            self._template = TemplateProcess.start(self._python, self._folder, self._gpu)
            try:
                ready = self._template.await_ready()
            except TemplateEndedError as error:
                self._bury(error.end)
            except WorkerStartError:
                self._template = None
                raise
            else:
                self._tell_restart()
                return ready

    def ask(self, task: protocol.Task, deadline_s: float) -> Answer:
        """Give *task* to a worker and wait until it ends.

        An attempt that is lost with its template is repeated, with the whole deadline.  So is one
        that fails in a worker that others have used, in a fresh one: if it passes there, no worker
        is shared from then on.

        Raises:
            WorkerStartError: no worker can be started; the message says why and what to do.
        """
        answer = self._ask(replace(task, is_shared=task.is_shared and self._shares), deadline_s)
        if not answer.earlier_tasks or not _is_strange(answer):
            return answer
        again = self._ask(replace(task, is_shared=False), deadline_s)
        self._shares = _is_strange(again)
        return again

    def _ask(self, task: protocol.Task, deadline_s: float) -> Answer:
        for number in range(1, MAX_TEMPLATE_ENDS + 1):
            answer = self._attempt(task, deadline_s)
            evidence = answer.evidence
            if evidence is None or evidence.template_end is None:
                break
            is_last = number == MAX_TEMPLATE_ENDS
            self._untold = TemplateRestarted(evidence.template_end, is_repeated=not is_last)
            if is_last:
                how = f"{evidence.template_end} in each of {number} attempts"
                answer = replace(answer, evidence=replace(evidence, template_end=how))
        return answer

    def close(self) -> None:
        """End the current worker and the template, with everything that they started."""
        for worker in filter(None, (self._current, self._resting)):
            self._discard(worker)
        template, self._template = self._template, None
        self._untold = None
        self._ends.clear()
        if template is not None:
            template.close()

    def _attempt(self, task: protocol.Task, deadline_s: float) -> Answer:
        worker = self._worker_for(task)
        began_s = self._clock()
        kills_before = cgroup.oom_kills()
        try:
            self._run(worker, task, began_s + deadline_s)
        finally:
            self._let_go(worker)
        wall_s = max(0.0, self._clock() - began_s)  # the clock of a virtual machine can go back
        kills = _difference(cgroup.oom_kills(), kills_before)
        evidence = evidence_of(worker, deadline_s, kills)
        findings = dict(worker.answer.findings) if worker.answer else {}
        bad_factory = isinstance(worker.answer, protocol.Raised) and worker.answer.bad_factory
        earlier = worker.earlier_tasks if worker.is_shared else None
        return Answer(
            worker.number, findings, evidence, wall_s, bad_factory, earlier, worker.resting
        )

    def _worker_for(self, task: protocol.Task) -> RunningWorker:
        """The resting worker for a task that may share it, else a fresh one."""
        resting, self._resting = self._resting, None
        if resting is not None and task.is_shared:
            self._current = resting
        elif resting is not None:
            self._send_away(resting)
        worker = self._current or self._fork()
        worker.begin(task)
        return worker

    def _send_away(self, worker: RunningWorker) -> None:
        """End a resting worker, and wait until its memory is free."""
        with suppress(OSError):
            worker.answers.shutdown(socket.SHUT_RDWR)  # it waits for a task, and finds the end
        template = self._template
        if template is not None:
            with suppress(TemplateEndedError):
                template.listen(lambda: worker.exited is not None, EXIT_GRACE_S, worker.take)
                self._retire(worker)
        self._discard(worker)

    def _let_go(self, worker: RunningWorker) -> None:
        """Keep a shared worker that has given everything back; discard any other."""
        resting = worker.resting
        is_kept = resting is not None and resting.is_clean and worker.nonsense is None
        if is_kept and worker.lost is None and worker.exited is None:
            self._resting, self._current = worker, None
        else:
            self._discard(worker)

    def _run(self, worker: RunningWorker, task: protocol.Task, deadline_s: float) -> None:
        """Send the task, and read until the worker or its template has ended."""
        worker.answers.settimeout(max(0.001, deadline_s - self._clock()))
        try:
            with suppress(OSError):  # it has ended, or does not read: its end tells
                worker.answers.sendall(protocol.to_line(task))
            worker.timed_out = not self._listen(worker, deadline_s)
            if not worker.is_resting() or worker.nonsense is not None:
                self._retire(worker)
        except TemplateEndedError as error:
            # the kernel kills the worker with its template, and the rest was swept; where there is
            # no /proc to find it in, at least the worker's group is killed
            self._template = None
            worker.kill_group(signal.SIGKILL)
            worker.drain()
            if worker.has_outcome():
                self._untold = TemplateRestarted(str(error.end), is_repeated=False)
            worker.lost = error.end
        else:
            worker.drain()

    def _fork(self) -> RunningWorker:
        """A worker that has started, of a template that is started again if it ends."""
        until_s = self._clock() + FORK_RETRY_S
        while True:
            try:
                worker = self._request_fork()
            except TemplateEndedError as error:
                self._bury(error.end)
                continue
            self._ends.clear()
            if worker.refused is None:
                return worker
            self._discard(worker)
            if self._clock() > until_s:
                refused = OSError(worker.refused, os.strerror(worker.refused))
                raise WorkerStartError(f"no worker could be forked: {refusal(refused)}")
            time.sleep(FORK_PAUSE_S)

    def _request_fork(self) -> RunningWorker:
        """Ask the template for a worker, and wait for its answer.

        Raises:
            TemplateEndedError: it ended meanwhile.
        """
        template = self._living_template()
        worker, theirs, log = self._new_worker()
        try:
            template.request_fork(worker.number, theirs, log)
        finally:
            theirs.close()
            os.close(log)
        template.await_until(worker.is_forked, FORK_TIMEOUT_S, worker.take)
        return worker

    def _living_template(self) -> TemplateProcess:
        if self._template is not None and self._template.has_ended():
            self._bury(self._template.end())
        if self._template is None:
            self.start()
        assert self._template is not None
        return self._template

    def _new_worker(self) -> tuple[RunningWorker, socket.socket, int]:
        """A worker to be forked, with the ends of its answer socket and log that it is to get."""
        self._count += 1
        try:
            ours, theirs = socket.socketpair()
            try:
                log_read, log_write = os.pipe()
            except OSError:
                ours.close()
                theirs.close()
                raise
        except OSError as error:
            raise WorkerStartError(f"no worker could be forked: {refusal(error)}") from None
        self._current = RunningWorker(self._count, ours, log_read)
        return self._current, theirs, log_write

    def _bury(self, end: TemplateEnd) -> None:
        """Take note that a template ended without a task under way.

        Raises:
            WorkerStartError: so did those before it.
        """
        self._template = None
        for worker in filter(None, (self._current, self._resting)):
            self._discard(worker)
        self._ends.append(end)
        if len(self._ends) < MAX_TEMPLATE_ENDS:
            self._untold = self._untold or TemplateRestarted(str(end), is_repeated=False)
            return
        count = len(self._ends)
        self._ends.clear()
        raise WorkerStartError(
            f"the worker could not start: its template ended {count} times in a row; the last one "
            f"{end}. Find what ends it (out of memory? see `dmesg`), then give the same command "
            "again"
        )

    def _tell_restart(self) -> None:
        untold, self._untold = self._untold, None
        if untold is not None:
            self.restarted(untold)

    def _listen(self, worker: RunningWorker, deadline_s: float) -> bool:
        """Read from the worker until it ends; False if the deadline passed first.

        One that closes its socket, as a program that takes its place, is not waited for.
        """
        template = self._template
        assert template is not None
        has_answered = False
        with selectors.DefaultSelector() as selector:
            selector.register(worker.answers, selectors.EVENT_READ, worker.hear)
            selector.register(worker.log, selectors.EVENT_READ, worker.hear_log)
            hear = partial(template.hear, worker.take)
            selector.register(template.control, selectors.EVENT_READ, hear)
            while not worker.is_over():
                if worker.answer is not None and not has_answered:
                    has_answered = True
                    deadline_s = min(deadline_s, self._clock() + ANSWERED_GRACE_S)
                left_s = deadline_s - self._clock()
                events = selector.select(left_s) if left_s > 0 else []
                if not events:  # whatever the clock says: it can stand still or go back
                    worker.note_silence()
                    return worker.is_over()
                for key, _ in events:
                    if not key.data():
                        selector.unregister(key.fileobj)
                        if key.fileobj is worker.answers:
                            deadline_s = min(deadline_s, self._clock() + ANSWERED_GRACE_S)
        return True

    def _retire(self, worker: RunningWorker) -> None:
        """Send TERM, then KILL, to the process group of a worker that has not ended.

        We end it, so its exit status says nothing about the task.
        """
        template = self._template
        assert template is not None
        for number, grace_s in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, EXIT_GRACE_S)):
            if worker.exited is not None:
                return
            worker.kill_group(number)
            template.listen(lambda: worker.exited is not None, grace_s, worker.take)

    def _discard(self, worker: RunningWorker) -> None:
        worker.discard()
        if worker is self._resting:
            self._resting = None
        else:
            self._current = None


def _is_strange(answer: Answer) -> bool:
    """Whether a task ended in another way than a pass or out of memory."""
    evidence = answer.evidence
    if evidence is None or answer.bad_factory:
        return False
    return classify(evidence).outcome is not Outcome.OOM


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before
