"""What a step's loss tells: its value, and what is odd about it."""

from __future__ import annotations

import math
from typing import Any

import torch


def finite_loss(loss: Any) -> float | None:
    """The loss as a number; None where it is no scalar or not finite."""
    value = _scalar(loss)
    return value if value is not None and math.isfinite(value) else None


def loss_warnings(loss: Any) -> list[str]:
    """What a reader of the record should know of the loss."""
    value = _scalar(loss)
    if value is None:
        shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else ""
        return [f"the loss is no scalar but a {type(loss).__name__}{shape}"]
    return [] if math.isfinite(value) else [f"the loss is {value}"]


def _scalar(loss: Any) -> float | None:
    if isinstance(loss, torch.Tensor):
        return float(loss.detach()) if loss.numel() == 1 else None
    if isinstance(loss, (int, float)) and not isinstance(loss, bool):
        return float(loss)
    return None
