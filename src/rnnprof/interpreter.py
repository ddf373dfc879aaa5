"""The Python that a script's command line names: it has to be the one that rnnprof runs in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from rnnprof.errors import BadInputError

NAME: Final = re.compile(r"(python|pypy)(\d+(\.\d+)?)?t?")

DEADLINE_S: Final = 10.0
"""In which another Python says where it is."""

_ASK: Final = "import sys; print(sys.prefix)"


def is_python(word: str) -> bool:
    """Whether a word names a Python, by its name alone."""
    return NAME.fullmatch(Path(word).name) is not None


def check_python(word: str, shown: str) -> None:
    """Check that *word* starts the Python that rnnprof runs in, with its packages.

    Environments are compared, not programs: each environment links to the same program.

    Args:
        word: a name that is looked up on the PATH, or a path.
        shown: the command from the script on, for the message.

    Raises:
        BadInputError: it is another one, or there is no such program.
    """
    path = shutil.which(word)
    if path is None:
        if os.sep in word:
            raise BadInputError(f"{word}: there is no such program: write -- {shown}")
        if word in ("python", "python3", f"python3.{sys.version_info.minor}"):
            return
        raise BadInputError(
            f"{word} is not on the PATH: write -- python {shown} for the Python that rnnprof runs "
            f"in, {sys.executable}"
        )
    if not _is_ours(Path(path)):
        raise BadInputError(
            f"{word} is {path}, but rnnprof runs in {sys.executable}, which has other packages: "
            f"install rnnprof there too, `{path} -m pip install rnnprof`, and start it as "
            f"`{path} -m rnnprof ...`; or write -- {sys.executable} {shown}"
        )


def _is_ours(path: Path) -> bool:
    """Whether a program is the Python of this environment."""
    prefix = Path(sys.prefix).resolve()
    own = path.parent.resolve().parent  # the folder is resolved, the link to the program is not
    if (own / "pyvenv.cfg").is_file():
        return own == prefix
    if sys.prefix == sys.base_prefix and path.resolve() == Path(sys.executable).resolve():
        return True
    said = _prefix_of(path)  # as of a program that chooses one
    return said is not None and Path(said).resolve() == prefix


def _prefix_of(path: Path) -> str | None:
    """What a Python says of itself; None where it says nothing."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=DEADLINE_S,
            stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
