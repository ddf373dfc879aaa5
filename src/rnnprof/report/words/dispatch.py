"""From a typed reason to its sentence."""

from __future__ import annotations

from functools import singledispatch

from rnnprof.reasons import Reason, Reasons


@singledispatch
def say(reason: Reason) -> str:
    """The sentence of a reason, without a capital at its beginning or a full stop at its end.

    Raises:
        TypeError: a reason that no sentence was written for.
    """
    raise TypeError(f"no sentence is written for {type(reason).__name__}")


def as_text(reason: Reason | str | None) -> str:
    """A reason as a sentence; text that was recorded with an observation as it is; "" for None."""
    return say(reason) if isinstance(reason, Reason) else reason or ""


@say.register
def _(reason: Reasons) -> str:
    return "; ".join(map(say, reason.parts))


def _as_text(reason: Reason) -> str:
    return say(reason)


# what `rnnprof.largest_batch` and `rnnprof.assert_fits` return can be printed by a user
Reason.__str__ = _as_text  # type: ignore[method-assign]
