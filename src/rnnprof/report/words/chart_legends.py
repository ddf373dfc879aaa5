"""What stands in the charts beside the data: axis labels, legends, notes and short labels."""

from __future__ import annotations

import math
from typing import Final

from rnnprof.report.words.outcomes import OutcomeWords
from rnnprof.units import format_bytes, format_duration, format_ratio

# --- axes ----------------------------------------------------------------------------------------

BATCH_AXIS: Final = "batch B, sequences"
STEPS_AXIS: Final = "time steps T"
LOG2_AXIS: Final = " (log2 axis)"
THROUGHPUT_AXIS: Final = "throughput, time steps/s"
MEMORY_AXIS: Final = "peak memory"
PEAK_AXIS: Final = "allocated at the peak"
ALLOCATED_AXIS: Final = "allocated"
SHARES_AXIS: Final = "share of the training steps timed by phase"
LAG_AXIS: Final = "lag k, time steps before the last"
GRADIENT_AXIS: Final = "|dL/dx|, the last time step is 1"
WORTH_AXIS: Final = "worth of a sequence, B=1 is 1"
GOODPUT_AXIS: Final = "sequences/s"
TRAIN_TIME_AXIS: Final = "training time"
SEQUENCES_AXIS: Final = "sequences"


# --- marks ---------------------------------------------------------------------------------------

RECOMMENDED: Final = "recommended batch at T"
CERTIFIED_BATCH: Final = "B≤n: the largest batch that fits at T"
FLAGS: Final = {"~": "time not converged", "!": "time noisy"}
OPEN_MARK: Final = "open mark: time not converged, or noisy"

UNKNOWN: Final = ("measured, value not known", "without this value")
UNREACHED: Final = ("not reached", "not reached")
PREDICTED: Final = ("≈n: predicted, not reached", "predicted, not reached")
"""The meaning and the ending of points that have no outcome of their own."""


def box_words(meaning: str, ending: str, sign: str) -> OutcomeWords:
    """The words of a box that one character stands for."""
    return OutcomeWords(meaning, ending, sign, sign, sign, sign)


def oom_at(limit_bytes: int) -> str:
    """The line before the first batch out of memory."""
    return f"out of memory at the limit ({format_bytes(limit_bytes)})"


def knee(near_ratio: float) -> str:
    """The mark of the smallest batch near the best throughput."""
    return f"smallest B within {format_ratio(near_ratio)} of the best throughput at its T"


def interval(*, is_within: bool) -> str:
    """The error bars."""
    return f"95% interval {'within a process' if is_within else 'over processes'}"


def oom_from(letter: str) -> str:
    """The crosses above the limit."""
    return f"out of memory, run or implied, from this {letter} on"


def limit_line(limit_bytes: int, headroom_ratio: float) -> str:
    """The line of the limit, and the dashed one below it."""
    return f"limit {format_bytes(limit_bytes)}; dashed: {format_ratio(headroom_ratio)} headroom"


def limit_above(limit_bytes: int) -> str:
    """In place of a limit that is far above what is drawn."""
    return f"limit {format_bytes(limit_bytes)}, above this panel"


NOT_TIMED: Final = "no point was timed"


# --- the frontier --------------------------------------------------------------------------------

FRONTIER: Final = {
    "certified": ("", "certified: the largest batch that fits"),
    "capped": ("", "capped: the largest batch requested fits"),
    "nothing_fits": ("nothing fits", "nothing fits, certified"),
    "unsupported": ("unsupported", "unsupported by the library"),
    "non_monotone": ("non-monotone", "non-monotone: fits above an OOM"),
    "not_stationary": ("not stationary", "not stationary: each training step leaves memory"),
    "batch_not_used": ("batch not used", "batch not used: the data gave fewer sequences"),
    "indeterminate": ("indeterminate", "indeterminate: not certified"),
    "seen": ("", "not certified: between points of the grid"),
}
"""For each status the word beside its mark (empty where a number stands there), and its meaning."""

OUT_OF_MEMORY: Final = "out of memory"
RULED_OUT: Final = "ruled out: out of memory at this T or shorter"
GRID_FITS: Final = "point of the grid that fits"
GRID_OOM: Final = "point of the grid out of memory"
OTHER_LIMIT: Final = "the same under another limit"


def largest_in_words(fits: int | None, fails: int | None) -> str:
    """A largest batch between two points of the grid."""
    if fits is None:
        return "none tried fits"
    if fails is None:
        return f"≥{fits}"
    return f"{fits} fits, {fails} OOM" if fails < fits else f"{fits}–{fails}"


def safe(headroom_ratio: float, *, is_measured: bool) -> str:
    """The mark of the largest safe batch."""
    how = "measured" if is_measured else "predicted"
    return f"largest safe batch: {format_ratio(headroom_ratio)} of the limit kept free ({how})"


def by_model(worst_error_ratio: float) -> str:
    """The line of the largest batch by the memory model."""
    # rounded up, for it is a bound; what errs less needs no more digits
    worst = math.ceil(1000 * worst_error_ratio) / 1000 or 0.001
    return f"largest batch predicted by the memory model (error at most {format_ratio(worst)})"


def limit_label(limit_bytes: float, *, is_own: bool) -> str:
    """Beside the right end of a predicted line."""
    return f"{format_bytes(limit_bytes)}, {'the limit' if is_own else 'predicted'}"


# --- bars ----------------------------------------------------------------------------------------

PARTS: Final = {
    "weights": "weights", "gradients": "gradients", "optimizer_state": "optimizer state",
    "input": "input", "weight_casts": "weight casts", "saved": "saved by forward",
    "temporaries": "temporaries", "library": "library", "rounding": "rounding",
}  # fmt: skip
PARTS_UNKNOWN: Final = "parts unknown"
PEAK_UNKNOWN: Final = "peak unknown"
PEAK_OF_PHASE: Final = "peak within the phase"
LIVE_AT_END: Final = "live at its end, in the last training step (hatched)"
THE_PEAK: Final = ", the peak"
PHASES_UNKNOWN: Final = "phases unknown"
STEP_TIME_HEAD: Final = "step time"
BOUND_HEAD: Final = "bound by"
NO_BOUND: Final = "none named"
"""Where no bound explains half of the step, or where it is unknown."""

NO_TIME: Final = "not timed"


def row_label(value: str, *, is_recommended: bool) -> str:
    """Beside a bar: ``B=128``, and whether it is recommended."""
    return f"{value}, recommended" if is_recommended else value


def panel_of(held: str, along: str, shown: int, of: int) -> str:
    """Above bars along one axis of the grid: ``at T=16, by batch B, 12 of 20``."""
    return f"at {held}, by {along}" + (f", {shown} of {of}" if shown < of else "")


# --- conditions ----------------------------------------------------------------------------------

SM_CLOCK: Final = "SM clock, MHz"
TEMPERATURE: Final = "temperature, °C"
POWER: Final = "power, W"
EVENT_REASONS: Final = "clock-event reasons"


def as_ended(reading: str) -> str:
    """Above the strip of a reading of the GPU."""
    return f"{reading}, as each pass ended"


def cpu_panel(takers: list[tuple[str, float]]) -> str:
    """Above the strip of processor time."""
    limits = ", ".join(f"{name} above {format_ratio(limit)}" for name, limit in takers)
    return f"processor time taken, of one processor; noisy (dashed): {limits}"


def anchor_panel(point: object, first_s: str) -> str:
    """Above the strip of the anchor."""
    return f"anchor {point}: step time relative to its first, {first_s}"


def drift_label(ratio: float) -> str:
    """Beside the anchor's last timing."""
    return f"drift {format_ratio(ratio)}"


def resumed(length_s: float | None) -> str:
    """At a pause between invocations."""
    return f"resumed after {format_duration(length_s)}" if length_s else "resumed"


def time_axis(*, is_timed: bool, has_pauses: bool) -> str:
    """Along the lowest strip."""
    if not is_timed:
        return "pass, in order"
    return "minutes since the first pass" + (", pauses left out" if has_pauses else "")


def noisy_passes(noisy: int, passes: int) -> str:
    """The legend of the crosses."""
    return f"noisy: {noisy} of {passes} passes"


# --- the study -----------------------------------------------------------------------------------

AFTER_TRAINING: Final = "after training"
NOT_REACHED: Final = "target not reached"


def trained(time_steps: int, train_steps: int) -> str:
    """One line of the gradient's reach."""
    return f"T={time_steps}, {f'{train_steps} steps' if train_steps else 'none'}"


def as_run(time_steps: int) -> str:
    """The line of the sequences/s themselves."""
    return f"T={time_steps}, as they run"


def by_worth(time_steps: int) -> str:
    """The line of the sequences/s, each counted by its worth."""
    return f"T={time_steps}, by worth"


def threshold(ratio: float) -> str:
    """Beside the line below which a gradient does not count."""
    return f"reach: {ratio:g}"
