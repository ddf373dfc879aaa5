"""``PYTHONPATH=src python3 benchmarks/gpu``: see :mod:`benchmarks.gpu.evidence`."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):  # the folder was named, not the module
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.gpu.evidence import main

if __name__ == "__main__":
    main()
