"""rnnprof: a GPU memory and throughput profiler for recurrent networks.

Importing it imports neither torch nor matplotlib; the names below load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnprof.api import load as load
    from rnnprof.api import profile as profile
    from rnnprof.factory import Training as Training

__version__ = "0.1.0"

__all__ = ["Training", "__version__", "load", "profile"]

_HOMES = {"Training": "rnnprof.factory", "load": "rnnprof.api", "profile": "rnnprof.api"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnprof' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
