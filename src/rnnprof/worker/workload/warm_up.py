"""Tiny steps of the same workload, which is then dropped: what they load stays.

They run before the baseline of a fit pass on the CPU, before a survey of a GPU, and in a rehearsal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rnnprof.worker.workload.factories import BadFactoryError
from rnnprof.worker.workload.layers import UnsupportedError
from rnnprof.worker.workload.reads import simulated_reads_refused
from rnnprof.worker.workload.workloads import build

if TYPE_CHECKING:
    from rnnprof import protocol

WARM_UP_SIZE: Final = 2
"""Sequences and time steps of a tiny step: 1 breaks batch normalisation."""

WARM_UP_STEPS: Final = 2
"""The second step is the first with the optimizer's state in place."""


def warm_up(task: protocol.Task) -> str | None:
    """Run two tiny steps of the same workload, then drop it; return a note if they fail."""
    try:
        training = build(task, WARM_UP_SIZE, WARM_UP_SIZE, worst=True)
        with simulated_reads_refused():
            for _ in range(WARM_UP_STEPS):
                training.step(_no_phase)
    except (BadFactoryError, UnsupportedError):
        raise
    except Exception as error:  # the user's code does not accept this shape
        return f"no warm-up: at B=T={WARM_UP_SIZE} it raised {type(error).__name__}: {error}"[:300]
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
