"""What the system refuses, in words: the file or resource, its reason, and what to do."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final

EXIT_BAD_INPUT: Final = 2
EXIT_MACHINE: Final = 4
"""The machine has not what the command needs: as where it has no device."""

_SPACE: Final = "free some disk space, then give the command again"
_RIGHTS: Final = "give this user the right to it, or name another file or folder"
_KIND: Final = "name a file where a file is needed, and a folder where a folder is"
_STORE: Final = "its disk, file system or server fails: see the kernel's log, or use another"
_NAME: Final = "name one that is there"
_MEMORY: Final = "free some memory, or raise the limit on it (ulimit -v, ulimit -d)"
_OPEN: Final = "raise the limit on open files (ulimit -n)"
_PROCESSES: Final = "end other programs, or raise the limit on processes (ulimit -u)"

REMEDIES: Final = {
    errno.ENOSPC: _SPACE, errno.EDQUOT: "free some of your disk quota, then give the command again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "write to another folder (-o): this one is on a read-only file system",
    errno.EACCES: _RIGHTS, errno.EPERM: _RIGHTS,
    errno.ENAMETOOLONG: "give it a shorter name", errno.ELOOP: "its symbolic links lead back to themselves",
    errno.ENOENT: _NAME, errno.ENOTDIR: _KIND, errno.EISDIR: _KIND, errno.EEXIST: "move it away, or name another",
    errno.ENOTEMPTY: "move it away, or name another",
    errno.EIO: _STORE, errno.ESTALE: _STORE, errno.ENXIO: _STORE, errno.ENODEV: _STORE, errno.ETIMEDOUT: _STORE,
    errno.ENOTCONN: _STORE, errno.ENOLCK: _STORE, errno.EMLINK: _STORE, errno.EXDEV: _STORE,
    errno.EBUSY: "another program uses it: wait for it, or name another",
    errno.ETXTBSY: "another program uses it: wait for it, or name another",
}  # fmt: skip
"""What to do about a file or folder."""

MACHINE_REMEDIES: Final = {
    errno.EMFILE: _OPEN,
    errno.ENFILE: "end other programs: the whole machine has too many open files",
    errno.EAGAIN: _PROCESSES,
    errno.ENOMEM: _MEMORY,
}
"""What to do about a resource of the machine, or about a limit on it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the surroundings, as the command reports it."""

    text: str
    exit_code: int


def explained(error: BaseException | None) -> Refusal | None:
    """What the system has refused, if that is behind *error*; None where it is a bug."""
    while error is not None:
        refusal = _of_one(error)
        if refusal is not None:
            return refusal
        error = error.__cause__ or error.__context__
    return None


def _of_one(error: BaseException) -> Refusal | None:
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, MemoryError):
        return Refusal(f"the memory does not suffice: {_MEMORY}", EXIT_MACHINE)
    if isinstance(error, RecursionError):
        return Refusal(
            "the input is nested too deeply, or the stack is too small: give a flatter file, or "
            "raise the limit on the stack (ulimit -s)",
            EXIT_BAD_INPUT,
        )
    return _of_library(error)


def _of_system(error: OSError) -> Refusal | None:
    number, named = error.errno, _named(error)
    if number is None:  # a library's own sentence
        return Refusal(f"{error}", EXIT_BAD_INPUT) if str(error) else None
    reason = os.strerror(number)
    if number in MACHINE_REMEDIES:
        return Refusal(f"{named}{reason}: {MACHINE_REMEDIES[number]}", EXIT_MACHINE)
    if number in REMEDIES:
        return Refusal(f"{named}{reason}: {REMEDIES[number]}", EXIT_BAD_INPUT)
    return None


def _named(error: OSError) -> str:
    """The files that the system names, and a colon; of the working folder it names nothing."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2)
             if isinstance(name, (str, bytes, os.PathLike))]  # fmt: skip
    if not names and error.errno == errno.ENOENT and not _has_working_folder():
        return "the working folder is gone (cd to another): "
    return f"{' -> '.join(names)}: " if names else ""


def _has_working_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - pathlib is not loaded here
    except OSError:
        return False
    return True


_TEXTS: Final = {
    "can't start new thread": f"no thread can be started: {_PROCESSES}",
    "cannot allocate memory": f"the memory does not suffice: {_MEMORY}",
    "failed to map segment": f"the memory does not suffice: {_MEMORY}",
    "too many open files": f"too many open files: {_OPEN}",
}
"""How libraries word it, in small letters, where no error number reaches Python."""


def _of_library(error: BaseException) -> Refusal | None:
    if not isinstance(error, (RuntimeError, ImportError)):
        return None
    said = str(error).lower()
    found = next((told for words, told in _TEXTS.items() if words in said), None)
    return Refusal(found, EXIT_MACHINE) if found else None
