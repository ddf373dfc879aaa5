"""The answer in words: the edge at each T, and what to train with and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rnnprof.advice.advise import Advice
from rnnprof.device.malloc import as_shell
from rnnprof.maxbatch.neighbours import REACH_RATIO, neighbours_of
from rnnprof.report.text.loops import loop_in_words, step_functions_in_words
from rnnprof.report.text.pieces import WIDTH, certificate_in_words, clip, training_steps
from rnnprof.report.text.recommendation import head_of, safe_in_words
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.records import Run
from rnnprof.study.goodput import Chunk
from rnnprof.units import format_bytes, format_ratio


def frontier_in_words(
    run: Run, frontier: Sequence[Certificate], advice: Advice, headroom_ratio: float
) -> str:
    """Per T the edge, and the largest safe batch; then what was proven of them.

    Of a simulated GPU its table.
    """
    if run.is_simulated:
        return gpus_in_words([(run, frontier, advice)])
    by_steps = {each.time_steps: each for each in advice.largest_safe}
    lines = []
    for certificate in frontier:
        words = certificate_in_words(certificate, is_brief=True)
        safe = safe_in_words(by_steps.get(certificate.time_steps), headroom_ratio)
        lines += _in_width([f"T={certificate.time_steps}: {words}", *filter(None, [safe])])
    return "\n".join(
        [*lines, *_proven(run, frontier), *_beside(run, frontier), *_step_functions(run, frontier)]
    )


def _in_width(clauses: Sequence[str]) -> list[str]:
    """Clauses in one line, or a line each where they are too long for it."""
    text = "; ".join(clauses)
    if len(text) <= WIDTH:
        return [text]
    ended = [f"{each};" for each in clauses[:-1]] + [clauses[-1]]
    return [
        line
        for number, each in enumerate(ended)
        for line in textwrap.wrap(
            each, WIDTH, initial_indent="  " if number else "", subsequent_indent="  "
        )
    ]


def _proven(run: Run, frontier: Sequence[Certificate]) -> list[str]:
    """Over how many training steps, and in which loop; nothing where no batch is proven."""
    horizons = {each.horizon for each in frontier if each.horizon is not None}
    if not horizons:
        return []
    least, most = min(horizons), max(horizons)
    over = training_steps(most) if least == most else f"{least} to {training_steps(most)}"
    return [f"Proven over {over}{loop_in_words(run)}", *_same_heap(run)]


def _beside(run: Run, frontier: Sequence[Certificate]) -> list[str]:
    """Memory that the limit does not count, where a proof has met any."""
    cited = {each.fits.attempt for each in frontier if each.fits}
    proofs = [o for o in run.observations if isinstance(o, Fit) and o.attempt in cited]
    found = (
        ("child processes", max((o.children_bytes or 0 for o in proofs), default=0)),
        ("shared mappings", max((o.shared_bytes or 0 for o in proofs), default=0)),
    )
    parts = [
        f"{name} at least {format_bytes(size)}" for name, size in found if size >= LEAST_BESIDE
    ]
    if not parts:
        return []
    text = f"Beside it, and not counted by the limit: {', '.join(parts)} at the end of a step"
    return textwrap.wrap(text, WIDTH)


def _same_heap(run: Run) -> list[str]:
    """How a training of one's own is charged the same; of other devices, nothing."""
    environment = run.environment
    if environment.get("device") != "cpu" or environment.get("system", "Linux") != "Linux":
        return []
    head = "The limit counts address space. To train within it, put before your command:"
    *lines, last = textwrap.wrap(as_shell(), WIDTH - 4)
    return [head, *(f"  {line} \\" for line in lines), f"  {last}"]


def _step_functions(run: Run, frontier: Sequence[Certificate]) -> list[str]:
    sentences = step_functions_in_words(run, frontier)
    return [line for text in sentences for line in textwrap.wrap(text, WIDTH)]


def _law_notes(run: Run) -> list[str]:
    """What the figures of a fused layer rest on."""
    return textwrap.wrap(FUSED_LAW, WIDTH) if run.header.workload.impl == "fused" else []


LEAST_BESIDE: Final = 1 << 20
"""Less than this beside a training is not told."""

FUSED_LAW: Final = (
    "cuDNN's reserve and workspace are by a law here, not cuDNN's own; --impl native and loop do "
    "not depend on it"
)


def gpus_in_words(found: Sequence[tuple[Run, Sequence[Certificate], Advice]]) -> str:
    """Simulated GPUs: at each T the largest batch, the safe one, and what it takes."""
    first, *_ = found
    rows = [GPU_HEADS, *(row for each in found for row in _gpu_rows(*each))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(GPU_HEADS))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    workload = first[0].header.workload
    head = [clip(f"{workload.describe()}, simulated: no kernel ran")]
    notes = _gpu_notes(found)
    return "\n".join([*head, "", *lines, *([""] if notes else []), *notes])


GPU_HEADS: Final = ("GPU", "T", "largest", "safe", "charged", "allocated", "")


def _gpu_rows(
    run: Run, frontier: Sequence[Certificate], advice: Advice
) -> Iterator[tuple[str, ...]]:
    safe = {each.time_steps: each.batch for each in advice.largest_safe}
    name = str(run.environment.get("device_name")).removesuffix(" (simulated)")
    allocated = {o.attempt: o.peak_allocated_bytes for o in run.observations if isinstance(o, Fit)}
    for certificate in frontier:
        fits = certificate.fits
        yield (
            name,
            str(certificate.time_steps),
            str(certificate.batch or "-"),
            str(safe.get(certificate.time_steps) or "-"),
            format_bytes(fits.peak_bytes if fits else None),
            format_bytes(allocated.get(fits.attempt) if fits else None),
            "" if certificate.status is EdgeStatus.CERTIFIED else str(certificate.status),
        )


def neighbours_in_words(run: Run, frontier: Sequence[Certificate]) -> list[str]:
    """Whether memory is monotone around each largest batch, as far as neighbours were run."""
    name = str(run.environment.get("device_name")).removesuffix(" (simulated)")
    lines = []
    for each in neighbours_of(run, frontier):
        count = len(each.fits) + len(each.ooms)
        head = f"{name} T={each.time_steps}: of {count} batches within {format_ratio(REACH_RATIO)}"
        if each.is_monotone:
            lines.append(f"{head} all below fit, none above does")
            continue
        odd = [f"{b} fits" for b in each.fits_above[-2:]]
        odd += [f"{b} does not" for b in each.ooms_below[:2]]
        lines.append(
            f"{head} {len(each.fits_above)} above fit and {len(each.ooms_below)} below do not "
            f"({', '.join(odd)}): not monotone"
        )
    return [line for text in lines for line in textwrap.wrap(text, WIDTH)]


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.ljust(width) if column in (0, len(row) - 1) else text.rjust(width)


def _gpu_notes(found: Sequence[tuple[Run, Sequence[Certificate], Advice]]) -> list[str]:
    run, *_ = found[0]
    notes = _proven(run, [each for _, frontier, _ in found for each in frontier])
    notes += _law_notes(run)
    for run, frontier, _ in found:
        notes += _step_functions(run, frontier)
    for run, frontier, _ in found:
        notes += neighbours_in_words(run, frontier)
    for run, frontier, _ in found:
        name = run.environment.get("device_name")
        told = [f"{name} T={c.time_steps}: {c.reason}" for c in frontier if c.reason]
        notes += [line for text in told for line in textwrap.wrap(text, WIDTH)]
    return notes


NOT_KNOWN: Final = "Train with: not known from this run"


def advice_in_words(advice: Advice, command: str = "") -> str:
    """The advice, with a line for each reason; what is predicted stands apart.

    Args:
        command: that would decide what the times leave open; empty for none.
    """
    lines = [NOT_KNOWN] if not advice.recommendations else []
    for each in advice.recommendations:
        lines += [head_of(each), *map(_item, each.reasons)]
    if advice.reasons and advice.recommendations:
        lines.append("Note:")
    lines += map(_item, advice.reasons)
    if command:
        lines += ["To decide it:", command]
    if advice.predictions:
        lines += ["Predicted, not measured:", *map(_item, advice.predictions)]
    for goodput in advice.goodput:
        lines.append(f"By goodput at T={goodput.time_steps}: train with B={goodput.batch}")
        lines += map(_item, goodput.reasons)
    if advice.unknown:
        lines += ["Not known from this run:", *map(_item, advice.unknown)]
    if advice.chunk is not None:
        lines += [_chunk(advice.chunk), *map(_item, advice.chunk.reasons)]
    return "\n".join(lines)


def _chunk(chunk: Chunk) -> str:
    if chunk.time_steps is None:
        return "Chunks: not known from this run"
    return f"Cut sequences into chunks of {chunk.time_steps}: {chunk.chunks} each"


def _item(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
