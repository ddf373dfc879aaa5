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

Real = Annotated[float, Meta(gt=-_BELOW, lt=_BELOW)]
"""Any finite number."""

Seconds = Annotated[float, Meta(ge=0, lt=_BELOW)]
"""A duration."""

Duration = Annotated[float, Meta(gt=0, lt=_BELOW)]
"""A measured duration: above zero."""

Probability = Annotated[float, Meta(ge=0, lt=1)]
"""Probability of dropout; 1 would drop everything."""
