"""The replay of an allocator's trace, on traces written by hand and drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprof.breakdown.account import AllocatorEvent, Snapshot, Span, Trace, account
from rnnprof.runfile.observations import BREAKDOWN_PARTS

PHASES = ("data", "forward", "backward", "optimizer")


@dataclass
class Tape:
    """Writes a trace: each call is one tick of the clock."""

    before_bytes: int = 0
    now_ns: int = 0
    events: list[AllocatorEvent] = field(default_factory=list)
    phases: list[Span] = field(default_factory=list)
    train_steps: list[Span] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    live: dict[int, int] = field(default_factory=dict)

    def tick(self) -> int:
        self.now_ns += 10
        return self.now_ns

    def malloc(self, address: int, size_bytes: int) -> None:
        self.live[address] = size_bytes
        self._event(address, size_bytes)

    def free(self, address: int) -> None:
        self._event(address, -self.live.pop(address))

    def stray_free(self, address: int, size_bytes: int) -> None:
        """A free of what was allocated before the trace began."""
        self.before_bytes -= size_bytes
        self._event(address, -size_bytes)

    def phase(self, name: str, *does: tuple[int, int]) -> None:
        """A phase that allocates (address, size) and frees where the size is 0."""
        start_ns = self.tick()
        for address, size_bytes in does:
            if size_bytes:
                self.malloc(address, size_bytes)
            else:
                self.free(address)
        self.phases.append(Span(name, start_ns, self.tick()))

    def step(self, **phases: list[tuple[int, int]]) -> None:
        start_ns = self.tick()
        for name, does in phases.items():
            self.phase(name, *does)
        self.train_steps.append(Span(f"step{len(self.train_steps)}", start_ns, self.tick()))

    def look(self, **addresses: set[int]) -> None:
        named = {part: frozenset(found) for part, found in addresses.items()}
        self.snapshots.append(Snapshot(self.tick(), named))

    def trace(self) -> Trace:
        return Trace(self.events, self.phases, self.train_steps, self.snapshots)

    def _event(self, address: int, size_bytes: int) -> None:
        total = self.before_bytes + sum(self.live.values())
        self.events.append(AllocatorEvent(self.tick(), address, size_bytes, total))


def a_training_step(tape: Tape) -> None:
    """Weights 100, input 7, saved 50 and 5, a gradient 100, state 200, temporaries 3 and 30."""
    tape.phase("build", (1, 100), (90, 3), (90, 0))
    tape.look(weights={1})
    tape.step(
        data=[(2, 7)],
        forward=[(3, 50), (91, 11), (91, 0), (4, 5)],
        backward=[(5, 100), (4, 0), (92, 30), (92, 0), (3, 0)],
        optimizer=[(6, 200), (93, 40), (93, 0)],
    )
    tape.look(weights={1}, gradients={5}, optimizer_state={6})


def parts_of(tape: Tape) -> dict[str, int]:
    """The parts of the breakdown that are not zero."""
    result = account(tape.trace())
    assert result.reason is None
    assert result.breakdown is not None
    parts = result.breakdown.parts()
    assert sum(parts.values()) == result.peak_bytes
    assert tuple(parts) == BREAKDOWN_PARTS
    return {name: size for name, size in parts.items() if size}


def test_each_part_lands_where_it_should():
    tape = Tape()
    a_training_step(tape)
    # live at the peak: weights, input, gradient, state, and the optimizer's scratch
    assert parts_of(tape) == {
        "weights": 100, "input": 7, "gradients": 100, "optimizer_state": 200, "temporaries": 40,
    }  # fmt: skip
    assert account(tape.trace()).breakdown.phase == "optimizer"


def test_saved_is_what_outlives_forward():
    tape = Tape()
    tape.phase("build", (1, 100))
    tape.look(weights={1})
    tape.step(
        data=[(2, 7)],
        forward=[(3, 50), (91, 11), (91, 0), (4, 5)],
        backward=[(92, 30), (92, 0), (4, 0), (3, 0)],
    )
    assert parts_of(tape) == {"weights": 100, "input": 7, "saved": 55, "temporaries": 30}
    assert account(tape.trace()).breakdown.phase == "backward"


def test_a_peak_within_forward_tells_saved_from_scratch():
    tape = Tape()
    tape.step(forward=[(1, 50), (2, 500), (2, 0)], backward=[(1, 0)])
    assert parts_of(tape) == {"saved": 50, "temporaries": 500}


def test_a_peak_in_build():
    tape = Tape()
    tape.phase("build", (1, 100), (2, 900), (2, 0))
    tape.look(weights={1})
    tape.step(forward=[(3, 5), (3, 0)])
    assert parts_of(tape) == {"weights": 100, "temporaries": 900}
    result = account(tape.trace())
    assert result.breakdown.phase == "build"
    assert result.phase_peak_bytes == {"build": 1000, "forward": 105}


def test_a_gradient_freed_before_the_next_forward_is_of_the_step_that_made_it():
    tape = Tape()
    tape.phase("build", (1, 10))
    for _ in range(2):
        if 5 in tape.live:
            tape.phase("other", (5, 0))
        tape.step(forward=[(3, 40)], backward=[(5, 10), (3, 0)])
        tape.look(weights={1}, gradients={5})
    assert parts_of(tape) == {"weights": 10, "gradients": 10, "saved": 40}


def test_an_address_in_use_again_is_another_block():
    """The allocator hands the gradient's old address to an activation, and the other way round."""
    tape = Tape()
    tape.phase("build", (1, 10))
    tape.step(backward=[(5, 100)])
    tape.look(weights={1}, gradients={5})
    tape.phase("data", (5, 0))
    tape.step(forward=[(5, 300)], backward=[(6, 100), (5, 0)])
    tape.look(weights={1}, gradients={6})
    assert parts_of(tape) == {"weights": 10, "gradients": 100, "saved": 300}


def test_a_storage_that_serves_two_counts_as_the_first_part():
    """A tied weight that the optimizer also holds is a weight."""
    tape = Tape()
    tape.phase("build", (1, 10), (2, 20))
    tape.look(weights={1}, optimizer_state={1, 2}, gradients={2})
    assert parts_of(tape) == {"weights": 10, "gradients": 20}


def test_the_innermost_mark_counts():
    tape = Tape()
    start_ns = tape.tick()
    tape.phase("forward", (1, 10))
    tape.malloc(2, 5)
    tape.phases.append(Span("data", start_ns, tape.tick()))
    tape.phase("backward", (1, 0), (2, 0))
    assert parts_of(tape) == {"saved": 10, "input": 5}


def test_marks_may_recur():
    """Accumulation: two micro-batches a step."""
    tape = Tape()
    tape.step(forward=[(1, 10)], backward=[(1, 0)])
    tape.phase("forward", (2, 30))
    tape.phase("backward", (2, 0))
    assert parts_of(tape) == {"saved": 30}
    assert account(tape.trace()).phase_peak_bytes == {"forward": 30, "backward": 30}


def test_bytes_outside_every_mark_leave_no_breakdown_but_the_peak():
    tape = Tape()
    tape.phase("build", (1, 100))
    tape.look(weights={1})
    tape.malloc(2, 25)
    tape.step(forward=[(3, 5), (3, 0)])
    result = account(tape.trace())
    assert result.peak_bytes == 130
    assert result.breakdown is None
    assert result.reason is not None
    assert result.reason.startswith("25 bytes at the peak were allocated outside every phase mark")


def test_bytes_outside_every_mark_do_no_harm_below_the_peak():
    tape = Tape()
    tape.malloc(2, 25)
    tape.free(2)
    tape.step(forward=[(3, 50)], backward=[(3, 0)])
    assert parts_of(tape) == {"saved": 50}


def test_a_named_storage_needs_no_mark():
    tape = Tape()
    tape.malloc(1, 100)
    tape.look(weights={1})
    tape.step(forward=[(3, 50)], backward=[(3, 0)])
    assert parts_of(tape) == {"weights": 100, "saved": 50}


def test_a_free_without_its_malloc_leaves_no_breakdown():
    tape = Tape(before_bytes=40)
    tape.phase("build", (1, 100))
    tape.stray_free(77, 40)
    tape.step(forward=[(3, 50)], backward=[(3, 0)])
    result = account(tape.trace())
    assert result.breakdown is None
    assert result.reason == "1 freed blocks were allocated before the trace began"


def test_a_block_freed_twice_leaves_no_breakdown():
    tape = Tape(before_bytes=40)
    tape.phase("build", (1, 100), (2, 40), (2, 0))
    tape.stray_free(2, 40)
    assert account(tape.trace()).reason == "1 freed blocks were allocated before the trace began"


def test_a_malloc_that_the_trace_lost_leaves_no_breakdown():
    """The allocator's own total shows it."""
    tape = Tape()
    tape.phase("build", (1, 100), (2, 50))
    del tape.events[0]
    tape.events[0] = AllocatorEvent(tape.events[0].at_ns, 2, 50, 50)
    tape.step(forward=[(3, 5)])
    result = account(tape.trace())
    assert result.breakdown is None
    assert result.reason == "blocks sum to 55, the allocator's peak is 155 bytes"


def test_what_was_allocated_before_the_trace_is_not_counted():
    tape = Tape(before_bytes=1000)
    tape.step(forward=[(1, 50)], backward=[(2, 7), (1, 0), (2, 0)])
    assert parts_of(tape) == {"saved": 50, "temporaries": 7}


def test_events_may_come_out_of_order():
    tape = Tape()
    a_training_step(tape)
    expected = account(tape.trace())
    tape.events.reverse()
    tape.snapshots.reverse()
    assert account(tape.trace()) == expected


def test_without_events_there_is_no_breakdown():
    result = account(Trace([], [], [], []))
    assert (result.peak_bytes, result.breakdown) == (0, None)
    assert result.reason == "the allocator reported no event"


def test_live_bytes_are_those_after_each_phase_of_the_last_step():
    tape = Tape()
    tape.phase("build", (1, 100))
    tape.step(forward=[(2, 30)], backward=[(3, 8), (2, 0)])
    tape.step(forward=[(4, 50)], backward=[(4, 0)])
    assert account(tape.trace()).phase_live_bytes == {"forward": 158, "backward": 108}


def test_a_leak_is_what_the_last_step_left_behind():
    tape = Tape()
    tape.step(forward=[(1, 10)])
    assert account(tape.trace()).net_bytes_per_step is None
    tape.step(forward=[(2, 30), (3, 5), (3, 0)])
    assert account(tape.trace()).net_bytes_per_step == 30
    tape.step(forward=[(4, 30)], backward=[(4, 0)])
    assert account(tape.trace()).net_bytes_per_step == 0


def test_named_bytes_are_those_live_at_the_last_look():
    tape = Tape()
    a_training_step(tape)
    tape.phase("other", (5, 0))
    tape.look(weights={1}, optimizer_state={6})
    assert account(tape.trace()).named_live_bytes == {
        "weights": 100, "gradients": 0, "optimizer_state": 200, "weight_casts": 0,
    }  # fmt: skip


@st.composite
def well_formed(draw: st.DrawFn) -> Tape:
    """Steps of phases in which blocks come and go; snapshots name any of the live ones."""
    tape = Tape(before_bytes=draw(st.integers(0, 100)))
    address = st.integers(1, 6)  # few, so that addresses are used again
    for name in ("build", *PHASES * draw(st.integers(1, 3))):
        does: list[tuple[int, int]] = []
        live = set(tape.live)
        for where in draw(st.lists(address, max_size=6)):
            size_bytes = 0 if where in live else draw(st.integers(1, 1000))
            does.append((where, size_bytes))
            live ^= {where}
        if name == PHASES[0]:
            tape.step(**{name: does})
        else:
            tape.phase(name, *does)
        if draw(st.booleans()):
            parts = ("weights", "gradients", "optimizer_state")
            tape.look(**{part: draw(st.sets(address, max_size=3)) for part in parts})
    return tape


@given(well_formed())
def test_the_breakdown_of_a_well_formed_trace_sums_to_the_peak(tape):
    result = account(tape.trace())
    if not tape.events:
        assert result.breakdown is None
        return
    assert result.breakdown is not None, result.reason
    parts = result.breakdown.parts()
    assert sum(parts.values()) == result.peak_bytes
    assert min(parts.values()) >= 0
    assert result.peak_bytes == max(e.total_bytes for e in tape.events) - tape.before_bytes
    assert max(result.phase_peak_bytes.values()) == result.peak_bytes
    assert result.phase_peak_bytes[result.breakdown.phase] == result.peak_bytes


@pytest.mark.parametrize("part", ["weights", "gradients", "optimizer_state"])
def test_each_named_part_is_found(part):
    tape = Tape()
    tape.phase("backward", (1, 64))
    tape.look(**{part: {1}})
    assert parts_of(tape) == {part: 64}


def test_copies_of_weights_in_another_type_are_a_part_of_their_own():
    tape = Tape()
    tape.phase("build", (1, 100))
    tape.look(weights={1})
    tape.step(forward=[(2, 50), (3, 30)], backward=[(2, 0), (3, 0)])
    trace = tape.trace()
    at_ns = next(event.at_ns for event in trace.events if event.address == 2)
    cast = Snapshot(at_ns, {"weight_casts": frozenset({2})})
    result = account(Trace(trace.events, trace.phases, trace.train_steps, [*trace.snapshots, cast]))
    assert result.breakdown is not None
    assert (result.breakdown.weight_casts, result.breakdown.saved) == (50, 30)


def test_a_cast_into_what_the_optimizer_holds_stays_the_optimizers():
    """Averages of weights in another type: filled anew at each step, and held."""
    tape = Tape()
    tape.phase("build", (1, 100))
    tape.look(weights={1})
    tape.phase("optimizer", (2, 50))
    tape.look(optimizer_state={2})
    tape.look(weight_casts={2})
    tape.phase("forward", (3, 30))
    assert parts_of(tape) == {"weights": 100, "optimizer_state": 50, "saved": 30}
