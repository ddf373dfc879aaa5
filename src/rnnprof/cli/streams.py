"""The standard streams of the command: a write that fails never ends it in the middle.

What happens to an answer that nobody can read:

- the reader has gone (``| head``), the terminal has, or the stream was closed from the start
  (``>&-``): nobody asks for the rest, so it is dropped, and the exit code is the command's own;
- the disk is full, or any other failure: somebody will look for the answer and not find it, so the
  command goes on to its end (its run file is kept), says so on stderr, and exits with 2.

On stderr, where only progress and remarks go, all failures are ignored.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

STREAMS: Final = (0, 1, 2)


def open_closed() -> None:
    """Open the null device on each standard descriptor that is closed.

    Otherwise the next file that is opened gets its number, and what a library prints goes into it.
    """
    for number in STREAMS:
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number is given, and those below are open by now
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)


class Output(io.FileIO):
    """A standard descriptor for writing, which never raises.

    Attributes:
        failure: why the text could not be written; None if it was, or if the reader has gone.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.failure: OSError | None = None
        self._is_lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what the system takes; wait where the reader is slow; drop all after a failure."""
        while not self._is_lost:
            try:
                return os.write(self.fileno(), data)
            except BlockingIOError:  # another program has made the pipe or terminal non-blocking
                self._wait()
            except OSError as error:
                self._lose(error)
        return memoryview(data).nbytes

    def _wait(self) -> None:
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLOUT)
        waiting.poll()

    def _lose(self, error: OSError) -> None:
        self._is_lost = True
        if not self._has_no_reader(error):
            self.failure = error

    def _has_no_reader(self, error: OSError) -> bool:
        if error.errno == errno.EIO:  # a terminal that was closed
            return stat.S_ISCHR(os.fstat(self.fileno()).st_mode)
        return error.errno == errno.EPIPE


def guard() -> Output:
    """Replace ``sys.stdout`` and ``sys.stderr``; the raw stdout, to look for its failure."""
    open_closed()
    answer, remarks = Output(1), Output(2)
    sys.stdout = _text(answer, sys.stdout)
    sys.stderr = _text(remarks, sys.stderr)
    return answer


def _text(raw: Output, before: TextIO | None) -> TextIO:
    """A stream on *raw* that encodes as the one *before* it; the rest as ``\\xNN``."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=raw.isatty(),
    )


def flush() -> None:
    """Write what is still buffered."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
