"""Whether a run is of a workload that this version knows; numbers are checked by their types."""

from __future__ import annotations

from typing import Final

from rnnprof.runfile.codec import DecodeError
from rnnprof.workload import CELLS, DTYPES, IMPLS, LOOPS, MODES, OPTIMIZERS, Workload

_NAMES: Final = {
    "cell": (None, *CELLS), "impl": IMPLS, "dtype": DTYPES, "optimizer": OPTIMIZERS, "mode": MODES,
    "loop": LOOPS,
}  # fmt: skip


def check_workload(workload: Workload) -> None:
    """See that every name in it is known.

    Raises:
        DecodeError: names the field at fault.
    """
    for name, known in _NAMES.items():
        value = getattr(workload, name)
        if value not in known:
            raise DecodeError(f"header.workload.{name}: {value!r} is not known")
