"""The error tree: what can go wrong that the user can correct, and the exit code of each.

Expected outcomes of a measurement (out of memory, a timeout, a crash) are data, not exceptions:
see :class:`rnnprof.runfile.points.Outcome`.
"""

from __future__ import annotations


class RnnprofError(Exception):
    """Base of all errors; the message names the cause and what to do."""

    exit_code = 70


class BadInputError(RnnprofError):
    """An option, file or factory that cannot be used as it is."""

    exit_code = 2


class RunFileError(BadInputError):
    """A run file that is damaged, locked, newer, of another identity, or not a run file."""


class NoDeviceError(RnnprofError):
    """This machine has no device that rnnprof can measure on."""

    exit_code = 4


class MachineError(RnnprofError):
    """The machine refuses what a command needs: memory, processes or open files."""

    exit_code = 4


class WorkerStartError(RnnprofError):
    """The worker template did not start."""

    exit_code = 4


class InconclusiveError(RnnprofError):
    """The question has no answer: neither yes nor no could be shown."""

    exit_code = 3
