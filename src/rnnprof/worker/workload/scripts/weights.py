"""Whether weights have changed: a few of their values, read before each forward pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch

MOST_WEIGHTS: Final = 16
"""Parameters that are looked at: an update changes all that have a gradient."""

MOST_VALUES: Final = 8
"""Values at each end of a parameter; a gradient may be zero at some of them."""


def fingerprint(parameters: Iterable[torch.nn.Parameter]) -> bytes:
    """Values of some parameters, as bytes: not-a-number is then equal to itself."""
    known = [each for each in parameters if each.requires_grad and not each.is_meta]
    chosen = known[:: max(1, len(known) // MOST_WEIGHTS)][:MOST_WEIGHTS]
    return b"".join(map(_ends, chosen))


def _ends(parameter: torch.Tensor) -> bytes:
    flat = parameter.detach().reshape(-1)
    ends = torch.cat([flat[:MOST_VALUES], flat[-MOST_VALUES:]])
    return ends.cpu().to(torch.float64).numpy().tobytes()
