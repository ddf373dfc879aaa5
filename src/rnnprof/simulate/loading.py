"""Loads in a template the libraries that the parent has built: before torch, without a search."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

from rnnprof.simulate.description import LIBRARY_VARIABLE


def load_if_requested(environ: Mapping[str, str]) -> None:
    """Load the simulated GPU's libraries in order, if the parent names any.

    Raises:
        OSError: a library cannot be loaded.
    """
    for file in environ.get(LIBRARY_VARIABLE, "").split(os.pathsep):
        if file:
            ctypes.CDLL(file, ctypes.RTLD_GLOBAL)
