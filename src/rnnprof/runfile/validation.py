"""Check that this version knows a run's workload; types check the numbers."""

from __future__ import annotations

from typing import Final

from rnnprof.runfile.codec import DecodeError
from rnnprof.workload import CELLS, DTYPES, IMPLS, LOOPS, MODES, OPTIMIZERS, Workload

_NAMES: Final = {
    "cell": (None, *CELLS), "impl": IMPLS, "dtype": DTYPES, "optimizer": OPTIMIZERS, "mode": MODES,
    "loop": LOOPS,
}  # fmt: skip


def check_workload(workload: Workload) -> None:
    """Check that every name in a workload is known.

    Raises:
        DecodeError: names the field with the unknown value.
    """
    for name, known in _NAMES.items():
        value = getattr(workload, name)
        if value not in known:
            raise DecodeError(f"header.workload.{name}: {value!r} is not known")
