"""Why a judge came to what it says: figures without words, so that every sentence has one home."""

from __future__ import annotations

from dataclasses import dataclass


class Reason:
    """The base of all reasons: each is a frozen dataclass in the room of its judge.

    :func:`rnnprof.report.words.say` turns one into a sentence; nothing reads a sentence back.
    """

    __slots__ = ()

    def __str__(self) -> str:
        """The sentence, once the words are loaded; a judge has no sentences.

        Raises:
            TypeError: without the words, where an f-string would show the fields.
        """
        raise TypeError(f"{type(self).__name__} has no text before rnnprof.report.words is loaded")


@dataclass(frozen=True, slots=True)
class Reasons(Reason):
    """Several reasons of one thing, in the order in which they are said.

    Attributes:
        parts: none of them is itself of this class.
    """

    parts: tuple[Reason, ...]


def joined(*reasons: Reason | None) -> Reason | None:
    """One reason of those that are not None; None without any."""
    parts = [
        part
        for reason in reasons
        if reason is not None
        for part in (reason.parts if isinstance(reason, Reasons) else (reason,))
    ]
    return Reasons(tuple(parts)) if len(parts) > 1 else next(iter(parts), None)
