"""What the passes of a script say of it: its start, what it holds, and what ends its steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rnnprof.points.reasons import HoldsBefore
from rnnprof.points.starts import start_s
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome

LARGE_RATIO: Final = 0.25
"""What a script holds before its first training step is told as large from this share of the limit
on: a larger batch would fit if it held less."""

SCRIPT_FIELDS: Final = (
    "start_s", "held_bytes", "held_weight_bytes", "step_end", "events_per_step",
)  # fmt: skip
"""Fields of a fit pass that only a script has."""


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a training step was recognised.

    Attributes:
        by: ``optimizer``, ``weights`` or ``backward``, as in :class:`Fit`.
        events: such events in one training step.
    """

    by: str
    events: int = 1


@dataclass(frozen=True, slots=True)
class ScriptFacts:
    """What several fit passes say of a script.

    Attributes:
        limit_bytes: what training may take.
        starts: passes that reached a training step.
        start_s: median of their seconds from the script's start to its first training step.
        held_bytes: the most that a pass held before its first training step; None where unknown.
        held_weight_bytes: weights among them, in the same pass.
        step_ends: how training steps were recognised; several where passes differ.
    """

    limit_bytes: int
    starts: int = 0
    start_s: float | None = None
    held_bytes: int | None = None
    held_weight_bytes: int | None = None
    step_ends: tuple[StepEnd, ...] = ()

    @property
    def held_ratio(self) -> float | None:
        """Share of the limit that is held before the first training step."""
        return _share(self.held_bytes, self.limit_bytes)

    @property
    def is_large(self) -> bool:
        """Whether the script holds much of the limit beside its weights, which training needs."""
        beside = (self.held_bytes or 0) - (self.held_weight_bytes or 0)
        return (_share(beside, self.limit_bytes) or 0.0) >= LARGE_RATIO

    @property
    def much_held(self) -> HoldsBefore | None:
        """What it holds before its first training step, if that is large."""
        if self.held_bytes is None or not self.is_large:
            return None
        return HoldsBefore(self.held_bytes, self.limit_bytes, self.held_weight_bytes)


def _share(size_bytes: int | None, limit_bytes: int) -> float | None:
    return None if size_bytes is None or limit_bytes < 1 else size_bytes / limit_bytes


def script_facts(fits: Iterable[Fit], limit_bytes: int) -> ScriptFacts | None:
    """What fit passes say of the script that they ran; None if they say nothing of one."""
    known = list(filter(_says_anything, fits))
    if not known:
        return None
    most = _holds_most(known)
    return ScriptFacts(
        limit_bytes=limit_bytes,
        starts=sum(fit.start_s is not None for fit in known),
        start_s=start_s(known),
        held_bytes=most.held_bytes if most else None,
        held_weight_bytes=most.held_weight_bytes if most else None,
        step_ends=tuple(dict.fromkeys(end for fit in known if (end := step_end_of(fit)))),
    )


def _holds_most(fits: Sequence[Fit]) -> Fit | None:
    """The pass that held most; a pass that failed counts only where none passed."""
    known = [fit for fit in fits if fit.held_bytes is not None]
    passed = [fit for fit in known if fit.outcome is Outcome.MEASURED]
    return max(passed or known, key=lambda fit: fit.held_bytes or 0, default=None)


def step_end_of(fit: Fit) -> StepEnd | None:
    """How the training steps of a pass were recognised; None where it has none."""
    return StepEnd(fit.step_end, fit.events_per_step or 1) if fit.step_end else None


def script_passes(fits: Iterable[Fit], proofs: Collection[str]) -> tuple[Fit, ...]:
    """At each T the pass of a script that says most of it, by time steps.

    That is the proof of the largest batch, else the largest batch that passed, else any pass.

    Args:
        proofs: attempts that prove a largest batch.
    """
    chosen: dict[int, Fit] = {}
    for fit in filter(_says_anything, fits):
        before = chosen.get(fit.time_steps)
        if before is None or _worth(fit, proofs) >= _worth(before, proofs):
            chosen[fit.time_steps] = fit
    return tuple(fit for _, fit in sorted(chosen.items()))


def _worth(fit: Fit, proofs: Collection[str]) -> tuple[bool, bool, int]:
    return fit.attempt in proofs, fit.outcome is Outcome.MEASURED, fit.batch


def _says_anything(fit: Fit) -> bool:
    return any(getattr(fit, name) is not None for name in SCRIPT_FIELDS)


def script_fields(fit: Fit | None) -> Mapping[str, Any]:
    """The fields of a pass that only a script has, by name; None without a pass."""
    return {name: getattr(fit, name, None) for name in SCRIPT_FIELDS}
