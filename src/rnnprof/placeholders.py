"""``{batch}`` and ``{time_steps}`` in the words of a script's command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

BATCH: Final = "{batch}"
TIME_STEPS: Final = "{time_steps}"

_PLACEHOLDER: Final = re.compile(r"\{(batch|time_steps)\}")


def filled(text: str, batch: int, time_steps: int) -> str:
    """The text with the sizes of a point in place of the placeholders; all else stays."""
    sizes = {"batch": str(batch), "time_steps": str(time_steps)}
    return _PLACEHOLDER.sub(lambda found: sizes[found[1]], text)


def placeholders_in(texts: Iterable[str]) -> frozenset[str]:
    """The placeholders that occur: ``batch``, ``time_steps``."""
    return frozenset(name for text in texts for name in _PLACEHOLDER.findall(text))
