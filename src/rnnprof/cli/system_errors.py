"""What the system refuses, in words: the file or resource, its reason, and what to do."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rnnprof.errors import RnnprofError

# plain tuples and no classes: this module is also used where hardly any memory is left
Refusal = tuple[str, int]
"""The message and the exit code."""

EXIT_BAD_INPUT: Final = 2
EXIT_MACHINE: Final = 4
ADDRESS_SPACE_BYTES: Final = 320 << 20
"""Loading scipy and matplotlib takes up to 240 MiB of address space.  Where OpenBLAS, which they
load, finds none left, it ends the process with 1, the code of a failed gate.
"""

"""The machine has not what the command needs: as where it has no device."""

_SPACE: Final = "free some disk space, then give the command again"
_RIGHTS: Final = "give this user the right to it, or name another file or folder"
_KIND: Final = "name a file where a file is needed, and a folder where a folder is"
_STORE: Final = "its disk, file system or server fails: see the kernel's log, or use another"
_NAME: Final = "name one that is there"
_MEMORY: Final = "free some memory, or raise the limit on it (ulimit -v, ulimit -d)"
_STACK: Final = "give a flatter file, or raise the limit on the stack (ulimit -s)"
_OPEN: Final = "raise the limit on open files (ulimit -n)"
_PROCESSES: Final = "end other programs, or raise the limit on processes (ulimit -u)"

_BUSY: Final = "another program uses it: wait for it, or name another"
_THERE: Final = "move it away, or name another"

REMEDIES: Final = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: "free some of your disk quota, then give the command again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "write to another folder (-o): this one is on a read-only file system",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ELOOP: "its symbolic links lead back to themselves",
    errno.ENOENT: _NAME,
    **dict.fromkeys((errno.EACCES, errno.EPERM), _RIGHTS),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR), _KIND),
    **dict.fromkeys((errno.EEXIST, errno.ENOTEMPTY), _THERE),
    **dict.fromkeys((errno.EBUSY, errno.ETXTBSY), _BUSY),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.ETIMEDOUT), _STORE),
    **dict.fromkeys((errno.ENOTCONN, errno.ENOLCK, errno.EMLINK, errno.EXDEV), _STORE),
}
"""What to do about a file or folder."""

MACHINE_REMEDIES: Final = {
    errno.EMFILE: _OPEN,
    errno.ENFILE: "end other programs: the whole machine has too many open files",
    errno.EAGAIN: _PROCESSES,
    errno.ENOMEM: _MEMORY,
}
"""What to do about a resource of the machine, or about a limit on it."""


def explained(error: BaseException | None) -> Refusal | None:
    """What the system has refused, if that is behind *error*; None where it is a bug."""
    while error is not None:
        refusal = _of_one(error)
        if refusal is not None:
            return refusal
        error = error.__cause__ or error.__context__
    return None


def refusal_of(what: str, error: OSError, then: str = "") -> RnnprofError:
    """The error of a file or folder that could not be used.

    Args:
        what: what could not be done, and with which file.
        then: further sentences.
    """
    from rnnprof.errors import BadInputError, MachineError

    found = _of_system(OSError(error.errno, "") if error.errno is not None else error)
    why, code = found or (f"{error.strerror}", EXIT_BAD_INPUT)
    kind = MachineError if code == EXIT_MACHINE else BadInputError
    return kind(f"{what}: {why}{then}")


def _of_one(error: BaseException) -> Refusal | None:
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, MemoryError):
        return (f"the memory does not suffice: {_MEMORY}", EXIT_MACHINE)
    if isinstance(error, RecursionError):
        return (f"the input is nested too deeply: {_STACK}", EXIT_BAD_INPUT)
    return _of_library(error)


def _of_system(error: OSError) -> Refusal | None:
    number, named = error.errno, _named(error)
    if number is None:  # a library's own sentence
        return (f"{error}", EXIT_BAD_INPUT) if str(error) else None
    if number == errno.ENOENT and not named and not _has_working_folder():
        return ("the working folder is gone: cd to another", EXIT_BAD_INPUT)
    said = os.strerror(number)
    if number in MACHINE_REMEDIES:
        return (f"{named}{said}: {MACHINE_REMEDIES[number]}", EXIT_MACHINE)
    if number in REMEDIES:
        return (f"{named}{said}: {REMEDIES[number]}", EXIT_BAD_INPUT)
    return None


def _named(error: OSError) -> str:
    """The files that the system names, and a colon."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2)
             if isinstance(name, (str, bytes, os.PathLike))]  # fmt: skip
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
    # a function in C has failed and not said why, as several do where memory is short
    "without setting an exception": f"the memory does not suffice: {_MEMORY}",
    "without exception set": f"the memory does not suffice: {_MEMORY}",
    "too many open files": f"too many open files: {_OPEN}",
}
"""How libraries word it, in small letters, where no error number reaches Python."""


def _of_library(error: BaseException) -> Refusal | None:
    if not isinstance(error, (RuntimeError, ImportError, SystemError)):
        return None
    said = str(error).lower()
    found = next((told for words, told in _TEXTS.items() if words in said), None)
    return (found, EXIT_MACHINE) if found else None


def short_of_memory() -> Refusal | None:
    """The refusal of a limit under which the libraries that measure and draw cannot be loaded."""
    import resource

    limit_bytes, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit_bytes == resource.RLIM_INFINITY or limit_bytes >= ADDRESS_SPACE_BYTES:
        return None
    least_kib = ADDRESS_SPACE_BYTES >> 10
    text = (
        f"the limit on address space, {limit_bytes >> 20} MiB, is too low to load scipy and "
        f"matplotlib: raise it (ulimit -v {least_kib})"
    )
    return (text, EXIT_MACHINE)
