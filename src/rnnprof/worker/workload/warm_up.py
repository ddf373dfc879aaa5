"""Tiny steps that are then dropped: what they load stays.

The same workload's steps run before a survey of a GPU and in a rehearsal, each in a process of its
own.  Where the workload is built afterwards in the same process, a factory is not called for them:
a built-in layer takes its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rnnprof.worker.workload.factories import BadFactoryError
from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.worker.workload.location import text_of, type_of
from rnnprof.worker.workload.reads import simulated_reads_refused
from rnnprof.worker.workload.workloads import build
from rnnprof.workload import Workload

if TYPE_CHECKING:
    from rnnprof import protocol

WARM_UP_SIZE: Final = 2
"""Sequences and time steps of a tiny step: 1 breaks batch normalisation."""

WARM_UP_STEPS: Final = 2
"""The second step is the first with the optimizer's state in place."""


NOTE_CHARACTERS: Final = 300

BUILT_IN: Final = Workload(input_size=32, hidden_size=32)
"""An LSTM with Adam: it loads what the steps of a recurrent network have in common."""


def warm_up_beside(task: protocol.Task) -> str | None:
    """The same in a process that then builds the workload; for a user's code with a built-in LSTM.

    So a factory is called once in each process: it may start a process group or open files.
    """
    if task.factory_path is not None:
        task = replace(task, workload=BUILT_IN, factory_path=None)
    return warm_up(task)


def warm_up(task: protocol.Task) -> str | None:
    """Run two tiny steps of the same workload, then drop it; return a note if they fail.

    A script cannot be run in a small size and then dropped: a built-in LSTM takes its place.
    """
    if task.script is not None:
        task = replace(task, workload=BUILT_IN, script=None)
    try:
        training = build(task, WARM_UP_SIZE, WARM_UP_SIZE, worst=True)
        with simulated_reads_refused():
            for _ in range(WARM_UP_STEPS):
                training.step(_no_phase)
    except (BadFactoryError, UnsupportedError):
        raise
    except Exception as error:  # the user's code does not accept this shape
        note = f"no warm-up: at B=T={WARM_UP_SIZE} it raised {type_of(error)}: {text_of(error)}"
        return note[:NOTE_CHARACTERS]
    return None


class _NoPhase:
    """A phase marker that does nothing."""

    def __call__(self, _name: str) -> _NoPhase:
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


_no_phase = _NoPhase()
