"""What an error of the user's code says, and where in that code it was raised."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

from rnnprof.plain_text import clip

_OWN_FOLDER: Final = str(Path(__file__).parents[2])


FIRST_LINE: Final = 250
"""Columns of a message's first line: with the place it is shown whole."""

REST_CHARACTERS: Final = 16 << 10
"""Of the further lines: those of C++ with its stack are shorter."""

TYPE_COLUMNS: Final = 60


def type_of(error: BaseException) -> str:
    """The name of an error's type, on one line, whatever the user's code calls it."""
    return clip(str(type(error).__name__), TYPE_COLUMNS) or "an error without a name"


def text_of(error: BaseException) -> str:
    """The message of an error, also of one that fails to write it."""
    try:
        return str(error)
    except BaseException as failure:  # also sys.exit() in it: the first error is what counts
        return f"no message: its __str__ raises {type_of(failure)}"


def located(message: str, error: BaseException) -> str:
    """The message, with the last line of the user's own code at the end of its first line."""
    first, end, rest = message.strip().partition("\n")
    first = first if len(first) <= FIRST_LINE else first[: FIRST_LINE - 3] + "..."
    said = first or "no message"
    return f"{said}{users_line(error)}{end}{rest[:REST_CHARACTERS]}"


def users_line(error: BaseException) -> str:
    """The last line of the user's own code in the traceback, if there is one."""
    libraries = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib")), _OWN_FOLDER, "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(libraries):
            return f" (at {Path(frame.filename).name}:{frame.lineno})"
    return ""
