"""Two checkouts or environments measured in turn, A B B A: a drift of the machine hits both."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.engine.supervisor import Supervisor
from rnnprof.engine.template_process import worker_environment
from rnnprof.errors import BadInputError
from rnnprof.gate.budget import Asked
from rnnprof.gate.run import MORE_PROCESSES, orders_of, timed_orders
from rnnprof.jobs import run_order
from rnnprof.maxbatch.folded import FoldedRun
from rnnprof.runfile.records import Run
from rnnprof.version import VERSION

ASK_TIMEOUT_S: Final = 60.0
"""Python from a cold disk that says which rnnprof it has."""

SIDES: Final = ("the baseline", "the run")


@dataclass(frozen=True, slots=True)
class Side:
    """One of two that are measured in turn.

    Attributes:
        order: what to measure; its path is this side's run file.
        python: the interpreter of its workers.
        folder: where they run; None for the present one.
    """

    order: Order
    python: str = sys.executable
    folder: Path | None = None


def measure_in_turn(
    asked: Asked,
    base: Side,
    new: Side,
    listener: Listener,
    is_settled: Callable[[FoldedRun, FoldedRun], bool] = lambda _base, _new: True,
    max_seconds: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[FoldedRun, FoldedRun]:
    """Measure both into a run file each: all that is requested once, then times process by process.

    Each T is timed in one process on one side, in one on the other, then in the reverse order, and
    so on to ``order.settings.processes``; while *is_settled* says no, two more a side, for up to
    *max_seconds* from the beginning.

    Args:
        asked: what to measure on both sides.
        base, new: the two sides.
        listener: hears of the progress.
        is_settled: whether no more processes are needed.
        max_seconds: after which no more processes are begun.
        clock: in seconds.

    Returns:
        The runs of base and new as they are in the end, folded.

    Raises:
        BadInputError: an interpreter without this very rnnprof.
        RnnprofError: as :func:`rnnprof.jobs.run_order`.
    """
    began_s = clock()
    for side in (base, new):
        check_python(side)
    with _crew(base) as left, _crew(new) as right:
        turns = _Turns(asked, ((base, left), (new, right)), listener)
        runs = turns.first()
        processes = 1
        while processes < base.order.settings.processes:
            processes += 1
            runs = turns.once_more(processes) or runs
        folded = _folded(runs)
        while asked.timed and not is_settled(*folded) and clock() - began_s < max_seconds:
            for _ in range(MORE_PROCESSES):
                processes += 1
                runs = turns.once_more(processes) or runs
            folded = _folded(runs)
    return folded


def _folded(runs: tuple[Run, Run]) -> tuple[FoldedRun, FoldedRun]:
    base, new = runs
    return FoldedRun.of(base), FoldedRun.of(new)


@dataclass(slots=True)
class _Turns:
    """The two sides with their workers.

    Attributes:
        limit_bytes: as the first of them to run has resolved it: both are held to it.
    """

    asked: Asked
    sides: tuple[tuple[Side, Supervisor], tuple[Side, Supervisor]]
    listener: Listener
    limit_bytes: int | None = None

    def first(self) -> tuple[Run, Run]:
        """Everything that is requested, times in one process."""
        orders = (
            list(orders_of(self.asked, _in_one_process(side.order))) for side, _ in self.sides
        )
        runs = self._carry_out(zip(*orders, strict=True), first=0)
        assert runs is not None, "a comparison requests something"
        return runs

    def once_more(self, processes: int) -> tuple[Run, Run] | None:
        """Times in the process of that number, in the reverse order each other time."""
        orders = (timed_orders(self.asked.timed, side.order, processes) for side, _ in self.sides)
        return self._carry_out(zip(*orders, strict=True), first=(processes - 1) % 2)

    def _carry_out(
        self, pairs: Iterable[tuple[Order, Order]], first: int
    ) -> tuple[Run, Run] | None:
        """Each pair of orders, of which the one on side *first* begins."""
        runs = None
        for pair in pairs:
            done = {}
            for place in (first, 1 - first):
                order = replace(pair[place], kept_limit_bytes=self.limit_bytes)
                self.listener.noted(f"{SIDES[place]}: {order.path.name}")
                done[place] = run_order(order, self.listener, self.sides[place][1])
                self.limit_bytes = done[place].limit_bytes
            runs = (done[0], done[1])
        return runs


def _in_one_process(order: Order) -> Order:
    return replace(order, settings=replace(order.settings, processes=1))


def _crew(side: Side) -> Supervisor:
    return Supervisor(python=side.python, folder=side.folder, gpu=side.order.gpu)


def check_python(side: Side) -> None:
    """See that the side's interpreter has this very rnnprof: its workers speak to this process.

    Raises:
        BadInputError: it has none, or another.
    """
    if side.python == sys.executable:
        return
    command = [side.python, "-P", "-c", "import rnnprof; print(rnnprof.__version__)"]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False,
            cwd=side.folder, env=worker_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInputError(f"{side.python} cannot be started: {error}") from None
    found = asked.stdout.strip()
    if asked.returncode != 0:
        last = next(itertools.chain(reversed(asked.stderr.splitlines()), ["it said nothing"]))
        raise BadInputError(f"{side.python} has no rnnprof ({last}): install it there too")
    if found != VERSION:
        raise BadInputError(
            f"{side.python} has rnnprof {found}, and this is {VERSION}: install one in both"
        )
