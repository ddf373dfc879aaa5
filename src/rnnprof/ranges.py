"""Ranges of the numbers in a run file: impossible values of a faulty worker are refused on reading.

No size, count or time of a machine reaches 2^63; above it arithmetic in floats can overflow.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

MOST: Final = (1 << 63) - 1
_BELOW: Final = float(1 << 63)
_SIZES_BELOW: Final = 1 << 31

Whole = Annotated[int, Meta(ge=-MOST, le=MOST)]
"""Any whole number."""

Count = Annotated[int, Meta(ge=0, le=MOST)]
"""How many of something."""

Bytes = Annotated[int, Meta(ge=0, le=MOST)]
"""A size in bytes."""

Size = Annotated[int, Meta(ge=0, lt=_SIZES_BELOW)]
"""A size of a layer."""

Extent = Annotated[int, Meta(ge=1, lt=_SIZES_BELOW)]
"""Sequences of a batch, or time steps."""

Limit = Annotated[int, Meta(ge=1, le=MOST)]
"""A memory limit in bytes."""

UpToMillion = Annotated[int, Meta(ge=1, le=1_000_000)]
"""How many, where the command line takes no more."""

ZeroToMillion = Annotated[int, Meta(ge=0, le=1_000_000)]
"""The same, or none."""

Real = Annotated[float, Meta(gt=-_BELOW, lt=_BELOW)]
"""Any finite number."""

Seconds = Annotated[float, Meta(ge=0, lt=_BELOW)]
"""A duration."""

Duration = Annotated[float, Meta(gt=0, lt=_BELOW)]
"""A number above zero, such as a measured duration."""

Probability = Annotated[float, Meta(ge=0, lt=1)]
"""Probability of dropout; 1 would drop everything."""

Ratio = Annotated[float, Meta(ge=0, lt=1)]
"""A share of a whole, below all of it."""

MOST_TEXT: Final = 1 << 16
"""Characters of a text: messages of compilers have tens of thousands."""

Text = Annotated[str, Meta(max_length=MOST_TEXT)]
"""A text of any kind."""

MOST_ITEMS: Final = 1000
"""Items of a list that grows neither with the grid nor with training steps."""

Few = Meta(max_length=MOST_ITEMS)
"""For a list or table of at most that many."""
