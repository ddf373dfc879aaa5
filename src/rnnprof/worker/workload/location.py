"""Where in the user's own code an error was raised."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

_OWN_FOLDER: Final = str(Path(__file__).parents[2])


def located(message: str, error: BaseException) -> str:
    """The message, with the last line of the user's own code at the end of its first line."""
    first, end, rest = message.strip().partition("\n")
    return f"{first}{users_line(error)}{end}{rest}"


def users_line(error: BaseException) -> str:
    """The last line of the user's own code in the traceback, if there is one."""
    libraries = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib")), _OWN_FOLDER, "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(libraries):
            return f" (at {Path(frame.filename).name}:{frame.lineno})"
    return ""
