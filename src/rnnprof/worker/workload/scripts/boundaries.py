"""Where a training step ends: which steps of the optimizers, or which changes of the weights.

With one optimizer each of its steps ends a training step.  With several, as in adversarial training
or with an optimizer for each parameter, they step in turn: the cycle is learned from their order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

UNSEEN_EVENTS: Final = 16
"""Steps of the other optimizers after which one that has not stepped is taken for unused.  Critics
are trained five times for each step of a generator."""

MOST_LEARNED: Final = 128
"""Steps for each of the optimizers without a cycle, after which each step is a training step.
Critics are trained a hundred times at first."""


@dataclass(slots=True)
class StepEnds:
    """The training steps that the steps of optimizers make up.

    Attributes:
        period: optimizer steps in one training step; None while it is not known.
        ends: index, from 0, of the event that ended each training step.
        is_irregular: no cycle was found: each optimizer step counts.
    """

    period: int | None = None
    ends: list[int] = field(default_factory=list)
    is_irregular: bool = False
    _events: list[int] = field(default_factory=list)
    _borders: list[int] = field(default_factory=list)
    _closing: int | None = None

    @property
    def events(self) -> int:
        """Optimizer steps so far."""
        return len(self._events)

    def add(self, source: int, optimizers: int) -> int:
        """Take one step of an optimizer; return how many training steps are newly known to end.

        Args:
            source: which optimizer.
            optimizers: how many have been made so far.
        """
        before = len(self.ends)
        self._events.append(source)
        if self.period is not None:
            self._go_on(source)
        else:
            self._extend_border()
            self._learn(optimizers)
        return len(self.ends) - before

    def conclude(self) -> int:
        """The script has ended: the training steps so far, also if no cycle was proven."""
        if self.period is None and self._events:
            self._settle(self._candidate())
        return len(self.ends)

    def _go_on(self, source: int) -> None:
        index = len(self._events) - 1
        assert self.period is not None
        if self._closing is not None:
            is_end = source == self._closing
        else:
            is_end = (index + 1) % self.period == 0
        if is_end:
            self.ends.append(index)

    def _extend_border(self) -> None:
        """Keep the longest border of each prefix (Knuth, Morris, Pratt 1977)."""
        events, border = self._events, self._borders[-1] if self._borders else 0
        if len(events) == 1:
            self._borders.append(0)
            return
        while border and events[border] != events[-1]:
            border = self._borders[border - 1]
        self._borders.append(border + (events[border] == events[-1]))

    def _candidate(self) -> int:
        return len(self._events) - self._borders[-1]

    def _learn(self, optimizers: int) -> None:
        count, period = len(self._events), self._candidate()
        seen = len(set(self._events))
        if optimizers <= 1 and seen == 1:
            self._settle(1)
        elif count >= 2 * period and (seen >= optimizers or count >= period + UNSEEN_EVENTS):
            self._settle(period)
        elif count >= MOST_LEARNED * max(seen, optimizers):
            self.is_irregular = True
            self._settle(1)

    def _settle(self, period: int) -> None:
        self.period = period
        cycle = self._events[:period]
        # an optimizer that steps once in a cycle closes it, however often the others step
        if period > 1 and cycle.count(cycle[-1]) == 1:
            self._closing = cycle[-1]
        whole = len(self._events) // period
        self.ends = [number * period - 1 for number in range(1, whole + 1)]


MOST_BACKWARD: Final = 64
"""Backward passes without a change of the weights: then each of them counts as a training step."""


@dataclass(slots=True)
class WeightSteps:
    """Training steps without an optimizer: backward passes, grouped by changes of the weights.

    Attributes:
        can_see: whether weights can be read: on a simulated GPU they have no values.
        closes_early: a step ends with its last backward pass, not at the forward pass after its
            update: where no module is watched.
        group: backward passes in one training step; None while it is not known.
        is_blind: no change was seen: each backward pass counts.
        done: training steps that have ended.
        waited: groups that changed the weights while there was an optimizer that had not stepped.
    """

    can_see: bool = True
    closes_early: bool = False
    group: int | None = None
    is_blind: bool = False
    done: int = 0
    since: int = 0
    waited: int = 0

    def backward_ended(self, *, has_optimizer: bool) -> bool:
        """Take one backward pass; whether it ends a training step.

        Args:
            has_optimizer: whether there is an optimizer that may still step.
        """
        self.since += 1
        is_lost = not self.can_see or self.since >= MOST_BACKWARD
        if self.group is None and is_lost and not has_optimizer:
            self.group, self.is_blind = 1, True
        if self.group is None or not (self.is_blind or self.closes_early):
            return False
        return self.since >= self.group and self._end()

    def forward_begins(self, *, changed: bool, has_optimizer: bool) -> bool:
        """Take the beginning of a forward pass; whether a training step ended before it.

        Args:
            has_optimizer: whether there is an optimizer that may still step.  Some methods change
                the weights, run forward and backward once more, and then let it step.
        """
        if self.is_blind or not changed or self.since == 0:
            return False
        if has_optimizer and self.waited < UNSEEN_EVENTS:
            self.waited, self.since = self.waited + 1, 0
            return False
        self.group = self.since
        return self._end()

    def _end(self) -> bool:
        self.since = 0
        self.done += 1
        return True
