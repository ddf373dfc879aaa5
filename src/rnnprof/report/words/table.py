"""Sentences of the table on a terminal: what its marks mean, and the lines below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rnnprof.points.measurement import Measurement
from rnnprof.report.model import RunReport, memory_bytes, throughput
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.figures import phase_times_in_words, precision
from rnnprof.report.words.loops import loop_in_words
from rnnprof.report.words.phrases import rate_in_words
from rnnprof.units import format_bytes, format_flops, format_ratio, format_seconds

LEGEND: Final = {
    "*": "highest throughput",
    "~": "not converged: the step time is less precise than requested",
    "!": "noisy: something else used the machine meanwhile",
    "±": "half the interval of the step time: 95% in a process, or over processes",
    "fwd/bwd/opt": "times of forward, backward and optimizer",
    "memory": "peak of what the limit counts: {charged}",
    "implied": "not run: a smaller point was out of memory",
    "unsupp.": "the library does not support this size",
}

CHARGED: Final = {
    "cuda": "reserved by the caching allocator",
    "cpu": "address space above the baseline",
    "simulated": "reserved by a simulated caching allocator",
}
"""What a limit counts."""


NONE_TIMED: Final = "Highest throughput: none, no step was timed"

SIMULATED: Final = "Simulated: no kernel ran, so there are no times"


def legend(device: str | None) -> Iterator[tuple[str, str]]:
    """Each mark with its meaning.

    Args:
        device: ``cpu``, ``cuda`` or ``simulated``; None is taken as the CPU.
    """
    charged = CHARGED.get(device or "cpu", CHARGED["cpu"])
    return ((mark, text.format(charged=charged)) for mark, text in LEGEND.items())


def more_notes(count: int) -> str:
    """That notes were left out."""
    return f"and {count} more notes in the run file"


def frontier_head(report: RunReport) -> str:
    """Above the largest batch at each T."""
    if not report.frontier:
        return "Seen on the grid:"
    return f"The largest batch that fits{loop_in_words(report)}, by fresh workers at each T:"


def recommended_line(batches: str) -> str:
    """The recommended batch at every T."""
    return f"Recommended batch: {batches}"


def highest(best: Measurement) -> str:
    """The point with the highest throughput."""
    return f"Highest throughput: {rate_in_words(throughput(best))} at {best.point}"


def step_line(best: Measurement) -> str:
    """How long its training step takes, and of which phases."""
    step_time = f"{format_seconds(best.step_time_s)} {precision(best)}".rstrip()
    phases = phase_times_in_words(best)
    # in full: the matrices have no such head, and so the legend is silent
    split = f" (forward/backward/optimizer {phases})" if phases else ""
    return f"training step {step_time}{split}"


def rates_line(best: Measurement) -> str:
    """Its sequences per second and its memory."""
    rate = rate_in_words(best.sequences_per_s, "sequences")
    return f"{rate}; memory {format_bytes(memory_bytes(best))}"


def speed_lines(best: Measurement) -> list[str]:
    """``it runs at 78.1 GFLOP/s, 61% of a matrix product's rate: compute-bound``, and why."""
    if best.flop_per_s is None:
        return []
    share = best.matmul_share_ratio
    of_rate = "" if share is None else f", {format_ratio(share)} of a matrix product's rate"
    bound = f": {best.bound}-bound" if best.bound else ""
    lines = [f"it runs at {format_flops(best.flop_per_s)}{of_rate}{bound}"]
    is_judged = best.bound is not None or share is not None
    if is_judged and best.bound_reason:
        lines.append(say(best.bound_reason))
    return lines
