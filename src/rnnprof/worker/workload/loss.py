"""The value of a step's loss, and warnings about it."""

from __future__ import annotations

import math
from typing import Any

import torch


def finite_loss(loss: Any) -> float | None:
    """The loss as a number; None if it is not a finite scalar."""
    value = _scalar(loss)
    return value if value is not None and math.isfinite(value) else None


def loss_warnings(loss: Any) -> list[str]:
    """What a reader of the record should know about the loss."""
    value = _scalar(loss)
    if value is None:
        shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else ""
        return [f"the loss is not a scalar but a {type(loss).__name__}{shape}"]
    return [] if math.isfinite(value) else [f"the loss is {value}"]


def _scalar(loss: Any) -> float | None:
    if isinstance(loss, torch.Tensor):
        return float(loss.detach()) if loss.numel() == 1 else None
    if isinstance(loss, (int, float)) and not isinstance(loss, bool):
        return float(loss)
    return None
