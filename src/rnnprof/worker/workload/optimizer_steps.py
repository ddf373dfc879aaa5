"""How often the optimizer has really stepped: a gradient scaler that overflows skips it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch

MIN_OPTIMIZER_STEPS: Final = 2
"""The second is the first that finds the optimizer's state in place: the peak stands there."""

MAX_STEPS: Final = 12
"""About ten halvings find a gradient scaler's scale."""


@dataclass(slots=True)
class OptimizerSteps:
    """Counts the steps that an optimizer takes; *taken* stays None where there is none to ask."""

    optimizer: torch.optim.Optimizer | None
    taken: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer is not None:
            self.taken = 0
            self.optimizer.register_step_post_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.taken = (self.taken or 0) + 1

    def until_enough(self, at_least: int) -> Iterator[int]:
        """Numbers of training steps to run: *at_least* so many, and until the optimizer stepped."""
        for done in range(max(at_least, MAX_STEPS)):
            if done >= at_least and self._is_enough():
                return
            yield done

    def warnings(self) -> list[str]:
        """What a reader should know: an optimizer that hardly stepped shows no true peak."""
        if self._is_enough():
            return []
        return [f"the optimizer stepped only {self.taken} times in {MAX_STEPS} steps"]

    def _is_enough(self) -> bool:
        return self.taken is None or self.taken >= MIN_OPTIMIZER_STEPS
