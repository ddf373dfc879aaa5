"""Sentences of the answer on a terminal: what was proven, and the heads of the advice."""

from __future__ import annotations

from typing import Final

from rnnprof.maxbatch.neighbours import REACH_RATIO, Neighbours
from rnnprof.report.model import RunReport
from rnnprof.report.words.loops import loop_in_words
from rnnprof.report.words.phrases import training_steps
from rnnprof.study.goodput import Chunk, Goodput
from rnnprof.units import format_bytes, format_ratio

NO_KERNEL_RAN: Final = "simulated: no kernel ran"

NOT_KNOWN: Final = "Train with: not known from this run"
NOTE_HEAD: Final = "Note:"
TO_DECIDE: Final = "To decide it:"
PREDICTED_HEAD: Final = "Predicted, not measured:"
UNKNOWN_HEAD: Final = "Not known from this run:"
"""Heads of the advice's parts."""

SAME_HEAP: Final = "The limit counts address space. To train within it, put before your command:"

FUSED_LAW: Final = (
    "cuDNN's reserve and workspace sizes are computed by a formula here, not by cuDNN; --impl "
    "native and loop do not depend on it"
)

FUSED_LAW_OF_YOURS: Final = (
    "cuDNN's reserve and workspace sizes are computed by a formula here, not by cuDNN; recurrent "
    "layers without cuDNN do not depend on it"
)

LEAST_NOT_CHARGED: Final = 1 << 20
"""Less memory than this beside a training step is not worth a line."""


def proven(least: int, most: int, report: RunReport) -> str:
    """Over how many training steps the largest batches were proven, and in which loop."""
    over = training_steps(most) if least == most else f"{least} to {training_steps(most)}"
    return f"Proven over {over}{loop_in_words(report)}"


def not_charged(children_bytes: int, shared_bytes: int) -> str:
    """Memory that the limit does not count; empty for none."""
    found = (("child processes", children_bytes), ("shared mappings", shared_bytes))
    parts = [
        f"{name} at least {format_bytes(size)}" for name, size in found if size >= LEAST_NOT_CHARGED
    ]
    if not parts:
        return ""
    return f"Not counted by the limit: {', '.join(parts)} at the end of a training step"


def around_the_largest(name: str, each: Neighbours) -> str:
    """Whether memory is monotone around a largest batch, as far as its neighbours were run."""
    count = len(each.fits) + len(each.ooms)
    head = f"{name} T={each.time_steps}: of {count} batches within {format_ratio(REACH_RATIO)}"
    if each.is_monotone:
        return f"{head} all below fit, none above does"
    odd = [f"{batch} fits" for batch in each.fits_above[-2:]]
    odd += [f"{batch} does not" for batch in each.ooms_below[:2]]
    return (
        f"{head} {len(each.fits_above)} above fit and {len(each.ooms_below)} below do not "
        f"({', '.join(odd)}): not monotone"
    )


def by_goodput(goodput: Goodput) -> str:
    """The batch to train with by goodput at a T."""
    return f"By goodput at T={goodput.time_steps}: train with B={goodput.batch}"


def chunk_in_words(chunk: Chunk) -> str:
    """The chunk to cut sequences into."""
    if chunk.time_steps is None:
        return "Chunks: not known from this run"
    return f"Cut sequences into chunks of {chunk.time_steps}: {chunk.chunks} each"
