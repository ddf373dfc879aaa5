"""rnnprof: a GPU memory and throughput profiler for recurrent networks.

Importing it imports neither torch nor matplotlib. The names below load on first use.
"""

# Nothing is imported here, not even from __future__ or typing: until the command line has started,
# an interrupt prints a traceback, and a module of the same name in the working folder comes first.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from rnnprof.api import Script as Script
    from rnnprof.api import assert_fits as assert_fits
    from rnnprof.api import load as load
    from rnnprof.api import max_batch as max_batch
    from rnnprof.api import profile as profile
    from rnnprof.factory import Training as Training
    from rnnprof.maxbatch.inprocess import LargestBatch as LargestBatch
    from rnnprof.maxbatch.inprocess import largest_batch as largest_batch

    __version__: str

__all__ = [
    "LargestBatch",
    "Script",
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
    "Script": "rnnprof.api",
    "Training": "rnnprof.factory",
    "assert_fits": "rnnprof.api",
    "largest_batch": "rnnprof.maxbatch.inprocess",
    "load": "rnnprof.api",
    "max_batch": "rnnprof.api",
    "profile": "rnnprof.api",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from rnnprof.version import VERSION

        return VERSION
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnprof' has no attribute {name!r}")
    from importlib import import_module

    if name == "largest_batch":  # the reason in its result prints as a sentence
        import_module("rnnprof.report.words")
    return getattr(import_module(_HOMES[name]), name)
