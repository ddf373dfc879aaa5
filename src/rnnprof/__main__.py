"""The command ``rnnprof``, and ``python -m rnnprof``.

As little as possible is imported before Ctrl-C is taken care of: ``_signal`` is the part of
``signal`` that is built into Python, and loads no file.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Load the command line and run it.

    Until it is loaded the system itself answers Ctrl-C, and no traceback is printed.
    """
    try:
        # a shell that starts a command in the background has it ignore Ctrl-C, and so it stays
        if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        from rnnprof.cli.main import main as run_and_exit
    except KeyboardInterrupt:  # it came just before
        sys.exit(130)  # rnnprof.cli.main.EXIT_INTERRUPTED, which is not loaded yet
    except (ImportError, MemoryError, OSError, SystemError) as error:
        # too little memory, too few open files, an incomplete installation
        sys.stderr.write(f"rnnprof: the command cannot be loaded: {str(error) or 'no memory'}\n")
        sys.exit(4)  # EXIT_MACHINE of rnnprof.cli.system_errors
    run_and_exit()


def _working_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet
    except OSError:  # it was deleted
        return None


if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] in ("", _working_folder()):
        # `python -m` puts it first, and a user's json.py there is not Python's; the modules of
        # rnnprof are found by its own path
        del sys.path[0]
    main()
