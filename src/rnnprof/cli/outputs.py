"""Files that a command would write over what it reads, or over each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rnnprof.errors import BadInputError


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Check that no output is an input or another output, by whatever name.

    Args:
        outputs: by the options that name them; None where one is not given.
        inputs: likewise.

    Raises:
        BadInputError: names both options.
    """
    written: dict[str, Path] = {}
    for flag, path in outputs.items():
        if path is None or _is_stream(path):
            continue
        for source, read in inputs.items():
            if read is not None and is_same_file(path, read):
                raise BadInputError(
                    f"{flag} {path} would overwrite {source} {read}: give it another name"
                )
        for other, earlier in written.items():
            if is_same_file(path, earlier):
                raise BadInputError(
                    f"{flag} {path} would overwrite what {other} writes: give them two names"
                )
        written[flag] = path


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, also to one that does not exist yet."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them does not exist, or is no name of a file
        return _real(one) == _real(other)


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # links that lead back to themselves
        return path.absolute()


def _is_stream(path: Path) -> bool:
    """Whether nothing can be lost there: a pipe, a terminal, the null device."""
    return path.exists() and not path.is_file() and not path.is_dir()
