"""How often the optimizer has really stepped: a gradient scaler skips a step on overflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch

MIN_OPTIMIZER_STEPS: Final = 2
"""The second step is the first with the optimizer's state in place: it has the peak."""

MAX_STEPS: Final = 12
"""A gradient scaler finds its scale in about ten halvings."""


@dataclass(slots=True)
class OptimizerSteps:
    """Counts the steps of an optimizer; *taken* stays None without an optimizer."""

    optimizer: torch.optim.Optimizer | None
    taken: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer is not None:
            self.taken = 0
            self.optimizer.register_step_post_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.taken = (self.taken or 0) + 1

    def until_enough(self, at_least: int) -> Iterator[int]:
        """Numbers of the training steps to run: *at_least*, and until the optimizer stepped."""
        for done in range(max(at_least, MAX_STEPS)):
            if done >= at_least and self._is_enough():
                return
            yield done

    def warnings(self) -> list[str]:
        """What a reader should know: with too few optimizer steps the peak is not the true one."""
        if self._is_enough():
            return []
        return [f"the optimizer stepped only {self.taken} times in {MAX_STEPS} steps"]

    def _is_enough(self) -> bool:
        return self.taken is None or self.taken >= MIN_OPTIMIZER_STEPS
