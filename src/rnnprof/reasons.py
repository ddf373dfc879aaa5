"""Why a judge came to what it says: figures without words, so that every sentence has one home."""

from __future__ import annotations


class Reason:
    """The base of all reasons: each is a frozen dataclass in the room of its judge.

    :func:`rnnprof.report.words.say` turns one into a sentence; nothing reads a sentence back.
    """

    __slots__ = ()
