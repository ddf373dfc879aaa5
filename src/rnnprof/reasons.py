"""Typed reasons for a judgement: figures without text, so that one module has all sentences."""

from __future__ import annotations

from dataclasses import dataclass


class Reason:
    """The base of all reasons: each is a frozen dataclass in the package that judges.

    :func:`rnnprof.report.words.say` turns one into a sentence; nothing parses a sentence.
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
    """Several reasons for one thing, in the order in which they are written.

    Attributes:
        parts: the reasons; none of them is itself a ``Reasons``.
    """

    parts: tuple[Reason, ...]


def joined(*reasons: Reason | None) -> Reason | None:
    """All given reasons as one; None if every one of them is None."""
    parts = [
        part
        for reason in reasons
        if reason is not None
        for part in (reason.parts if isinstance(reason, Reasons) else (reason,))
    ]
    return Reasons(tuple(parts)) if len(parts) > 1 else next(iter(parts), None)
