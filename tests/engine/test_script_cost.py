"""What a search on a script is expected to take, from its first probe."""

from __future__ import annotations

import pytest

from fakes import MIB, a_fit
from rnnprof.engine.script_cost import FIRST_PROBES, FURTHER_PROBES, left_after
from rnnprof.points.reasons import ProbesLeft
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.records import Settings

SETTINGS = Settings(confirm_steps=10)


def a_probe(**changes: object) -> Fit:
    """10 training steps of 0.3 s behind a start of 1 s; half of what the limit leaves is used."""
    usual = {
        "start_s": 1.0, "wall_s": 4.0, "train_steps_run": 10, "limit_bytes": 100 * MIB,
        "held_bytes": 20 * MIB, "peak_charged_bytes": 60 * MIB,
    }  # fmt: skip
    return a_fit(Point(64, 35), **(usual | changes))


def test_every_probe_to_come_starts_the_script_and_trains_at_the_largest_batch() -> None:
    starts = FIRST_PROBES - 1
    assert left_after(a_probe(), SETTINGS, 1) == ProbesLeft(starts, starts * (1.0 + 10 * 0.3 * 2))


def test_at_the_largest_batch_training_steps_are_not_longer() -> None:
    full = a_probe(peak_charged_bytes=100 * MIB)
    left = left_after(full, SETTINGS, 1)
    assert left is not None
    assert left.left_s == left.starts * 4.0


def test_further_lengths_and_confirmations_need_more_starts() -> None:
    left = left_after(a_probe(), Settings(confirm_steps=10, confirm=3), 4)
    assert left is not None
    assert left.starts == FIRST_PROBES - 1 + 3 * FURTHER_PROBES + 4 * 2


@pytest.mark.parametrize(
    "changes", [{"outcome": Outcome.OOM}, {"start_s": None}, {"train_steps_run": 0}]
)
def test_what_did_not_train_to_the_end_says_nothing(changes: dict[str, object]) -> None:
    assert left_after(a_probe(**changes), SETTINGS, 1) is None
