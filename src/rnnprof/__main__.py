"""The command ``rnnprof``, and ``python -m rnnprof``."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it; Ctrl-C is handled from the first import on."""
    try:
        from rnnprof.cli.main import main as run_and_exit
    except KeyboardInterrupt:
        sys.exit(130)  # rnnprof.cli.main.EXIT_INTERRUPTED, which is not loaded yet
    run_and_exit()


if __name__ == "__main__":
    main()
