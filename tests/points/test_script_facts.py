"""What passes of a script say together: its start, what it holds, what ends its steps."""

from __future__ import annotations

from fakes import MIB, a_fit
from rnnprof.points.fold import fold
from rnnprof.points.reasons import HoldsBefore
from rnnprof.points.script_facts import ScriptFacts, StepEnd, script_facts, script_passes
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point

LIMIT_BYTES = 512 * MIB


def a_pass(batch: int = 8, time_steps: int = 35, **changes: object) -> Fit:
    return a_fit(Point(batch, time_steps), **changes)


def facts(*fits: Fit) -> ScriptFacts:
    found = script_facts(fits, LIMIT_BYTES)
    assert found is not None
    return found


def test_passes_of_a_built_in_cell_say_nothing():
    assert script_facts([a_pass(), a_pass(16)], LIMIT_BYTES) is None


def test_the_start_is_the_median_of_the_passes_that_reached_a_step():
    found = facts(*(a_pass(start_s=each) for each in (2.0, 9.0, 2.5)), a_pass(step_end="optimizer"))
    assert (found.start_s, found.starts) == (2.5, 3)


def test_what_is_held_is_the_most_with_the_weights_of_the_same_pass():
    found = facts(
        a_pass(8, held_bytes=30 * MIB, held_weight_bytes=5 * MIB),
        a_pass(16, held_bytes=40 * MIB, held_weight_bytes=4 * MIB),
        a_pass(32, held_weight_bytes=9 * MIB),
    )
    assert (found.held_bytes, found.held_weight_bytes) == (40 * MIB, 4 * MIB)
    assert found.held_ratio == 40 / 512


def test_a_pass_that_ran_out_of_memory_counts_only_where_none_passed():
    passed = a_pass(8, held_bytes=30 * MIB)
    oom = a_pass(512, held_bytes=400 * MIB, outcome=Outcome.OOM)
    assert facts(passed, oom).held_bytes == 30 * MIB
    assert facts(oom).held_bytes == 400 * MIB


def test_it_is_large_from_a_quarter_of_the_limit_on_beside_the_weights():
    quarter = LIMIT_BYTES // 4
    assert facts(a_pass(held_bytes=quarter)).is_large
    assert not facts(a_pass(held_bytes=quarter - 1)).is_large
    # training needs its weights: no other data set would make room
    assert not facts(a_pass(held_bytes=quarter, held_weight_bytes=1)).is_large
    assert facts(a_pass(held_bytes=quarter + 1, held_weight_bytes=1)).is_large
    assert not facts(a_pass(start_s=1.0)).is_large


def test_what_is_large_is_told_with_its_limit_and_weights():
    large = a_pass(held_bytes=LIMIT_BYTES // 2, held_weight_bytes=MIB)
    assert facts(large).much_held == HoldsBefore(LIMIT_BYTES // 2, LIMIT_BYTES, MIB)
    assert facts(a_pass(held_bytes=MIB)).much_held is None
    assert facts(a_pass(start_s=1.0)).much_held is None


def test_every_way_to_end_a_step_is_kept_once_in_order():
    found = facts(
        a_pass(step_end="optimizer", events_per_step=6),
        a_pass(step_end="optimizer"),
        a_pass(step_end="optimizer", events_per_step=6),
    )
    assert found.step_ends == (StepEnd("optimizer", 6), StepEnd("optimizer", 1))


def test_at_each_t_the_proof_is_chosen_then_what_passed_then_the_largest_batch():
    probed = [
        a_pass(64, 70, attempt="larger", start_s=1.0),
        a_pass(32, 70, attempt="proof", start_s=1.0),
        a_pass(128, 35, attempt="oom", start_s=1.0, outcome=Outcome.OOM),
        a_pass(16, 35, attempt="passed", start_s=1.0),
        a_pass(256, 16, attempt="says nothing"),
        a_pass(8, 16, attempt="small", start_s=1.0, outcome=Outcome.OOM),
    ]
    chosen = [each.attempt for each in script_passes(probed, {"proof"})]
    assert chosen == ["small", "passed", "proof"]
    assert [each.attempt for each in script_passes(probed, ())] == ["small", "passed", "larger"]


def test_a_point_keeps_what_its_last_fit_pass_says():
    known = {"start_s": 2.5, "held_bytes": 7, "held_weight_bytes": 3, "events_per_step": 2}
    folded = fold(Point(8, 35), [a_pass(start_s=9.0), a_pass(step_end="weights", **known)])
    assert {name: getattr(folded, name) for name in known} == known
    assert folded.step_end == "weights"
