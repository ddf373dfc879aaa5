"""rnnprof: a GPU memory and throughput profiler for recurrent networks.

Importing it imports neither torch nor matplotlib. The names below load on first use.
"""

from __future__ import annotations

from rnnprof.version import VERSION

# not imported from typing: until the command line has started, an interrupt prints a traceback, so
# as little as possible is imported before it
TYPE_CHECKING = False
if TYPE_CHECKING:
    from rnnprof.api import assert_fits as assert_fits
    from rnnprof.api import load as load
    from rnnprof.api import max_batch as max_batch
    from rnnprof.api import profile as profile
    from rnnprof.factory import Training as Training
    from rnnprof.maxbatch.inprocess import LargestBatch as LargestBatch
    from rnnprof.maxbatch.inprocess import largest_batch as largest_batch

__version__ = VERSION

__all__ = [
    "LargestBatch",
    "Training",
    "__version__",
    "assert_fits",
    "largest_batch",
    "load",
    "max_batch",
    "profile",
]

_HOMES = {
    "LargestBatch": "rnnprof.maxbatch.inprocess",
    "Training": "rnnprof.factory",
    "assert_fits": "rnnprof.api",
    "largest_batch": "rnnprof.maxbatch.inprocess",
    "load": "rnnprof.api",
    "max_batch": "rnnprof.api",
    "profile": "rnnprof.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnprof' has no attribute {name!r}")
    from importlib import import_module

    if name == "largest_batch":  # the reason in its result prints as a sentence
        import_module("rnnprof.report.words")
    return getattr(import_module(_HOMES[name]), name)
