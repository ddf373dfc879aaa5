"""The value of a step's loss, and warnings about it."""

from __future__ import annotations

import math
from typing import Any, Final

import torch

MOST: Final = 2.0**63
"""A loss as large as this has overflowed its meaning; records hold no larger number."""


def finite_loss(loss: Any) -> float | None:
    """The loss as a number; None if it is not a finite scalar."""
    value = _scalar(loss)
    return value if value is not None and _is_usable(value) else None


def _is_usable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < MOST


def loss_warnings(loss: Any) -> list[str]:
    """What a reader of the record should know about the loss."""
    value = _scalar(loss)
    if value is None:
        shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else ""
        return [f"the loss is not a scalar but a {type(loss).__name__}{shape}"]
    return [] if _is_usable(value) else [f"the loss is {value:.3g}"]


def _scalar(loss: Any) -> float | None:
    if isinstance(loss, torch.Tensor):
        return float(loss.detach()) if loss.numel() == 1 else None
    if isinstance(loss, (int, float)) and not isinstance(loss, bool):
        return float(loss)
    return None
