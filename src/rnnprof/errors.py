"""The error tree: what can go wrong that the user can mend, and the exit code of each.

Expected outcomes of a measurement (out of memory, a timeout, a crash) are data, not exceptions;
see :class:`rnnprof.runfile.points.Outcome`.
"""

from __future__ import annotations


class RnnprofError(Exception):
    """Root of the tree: a message that names the thing at fault and the remedy."""

    exit_code = 70


class BadInputError(RnnprofError):
    """An option, file or factory that cannot be used as it is."""

    exit_code = 2


class RunFileError(BadInputError):
    """A run file that is damaged, foreign, locked, newer, or of another identity."""


class NoDeviceError(RnnprofError):
    """No device here that rnnprof can measure on."""

    exit_code = 4


class WorkerStartError(RnnprofError):
    """The worker template did not come up."""

    exit_code = 4


class InconclusiveError(RnnprofError):
    """What was asked could not be told: neither that it holds nor that it does not."""

    exit_code = 3
