"""The answer in words: the edge at each T, and what to train with and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rnnprof.device.malloc import as_shell
from rnnprof.maxbatch.neighbours import REACH_RATIO
from rnnprof.plain_text import WIDTH, clip
from rnnprof.report.model import RunReport
from rnnprof.report.text.command import deciding_command
from rnnprof.report.text.loops import loop_in_words, step_functions_in_words
from rnnprof.report.text.pieces import certificate_in_words, training_steps
from rnnprof.report.text.recommendation import head_of, safe_in_words
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.records import Run
from rnnprof.study.goodput import Chunk
from rnnprof.units import format_bytes, format_ratio


def frontier_in_words(report: RunReport) -> str:
    """Per T the edge, and the largest safe batch; then what was proven of them.

    Of a simulated GPU its table.
    """
    if report.run.is_simulated:
        return gpus_in_words([report])
    safe = {each.time_steps: each for each in report.advice.largest_safe}
    lines = []
    for certificate in report.frontier:
        words = certificate_in_words(certificate, is_brief=True)
        also = safe_in_words(safe.get(certificate.time_steps), report.headroom_ratio)
        lines += _in_width([f"T={certificate.time_steps}: {words}", *filter(None, [also])])
    return "\n".join([*lines, *_proven([report]), *_beside(report), *_step_functions(report)])


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


def _proven(reports: Sequence[RunReport]) -> list[str]:
    """Over how many training steps, and in which loop; nothing where no batch is proven."""
    frontier = [certificate for report in reports for certificate in report.frontier]
    horizons = {each.horizon for each in frontier if each.horizon is not None}
    if not horizons:
        return []
    least, most = min(horizons), max(horizons)
    over = training_steps(most) if least == most else f"{least} to {training_steps(most)}"
    return [f"Proven over {over}{loop_in_words(reports[0])}", *_same_heap(reports[0].run)]


def _beside(report: RunReport) -> list[str]:
    """Memory that the limit does not count, where a proof has met any."""
    cited = {each.fits.attempt for each in report.frontier if each.fits}
    proofs = [o for o in report.run.observations if isinstance(o, Fit) and o.attempt in cited]
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


def _step_functions(report: RunReport) -> list[str]:
    sentences = step_functions_in_words(report)
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


def gpus_in_words(reports: Sequence[RunReport]) -> str:
    """Simulated GPUs: at each T the largest batch, the safe one, and what it takes."""
    rows = [GPU_HEADS, *(row for report in reports for row in _gpu_rows(report))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(GPU_HEADS))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    workload = reports[0].run.header.workload
    head = [clip(f"{workload.describe()}, simulated: no kernel ran")]
    notes = _gpu_notes(reports)
    return "\n".join([*head, "", *lines, *([""] if notes else []), *notes])


GPU_HEADS: Final = ("GPU", "T", "largest", "safe", "charged", "allocated", "")


def _gpu_rows(report: RunReport) -> Iterator[tuple[str, ...]]:
    run = report.run
    safe = {each.time_steps: each.batch for each in report.advice.largest_safe}
    name = str(run.environment.get("device_name")).removesuffix(" (simulated)")
    allocated = {o.attempt: o.peak_allocated_bytes for o in run.observations if isinstance(o, Fit)}
    for certificate in report.frontier:
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


def neighbours_in_words(report: RunReport) -> list[str]:
    """Whether memory is monotone around each largest batch, as far as neighbours were run."""
    name = str(report.run.environment.get("device_name")).removesuffix(" (simulated)")
    lines = []
    for each in report.neighbours:
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


def _gpu_notes(reports: Sequence[RunReport]) -> list[str]:
    notes = [*_proven(reports), *_law_notes(reports[0].run)]
    notes += [line for report in reports for line in _step_functions(report)]
    notes += [line for report in reports for line in neighbours_in_words(report)]
    for report in reports:
        name = report.run.environment.get("device_name")
        told = [f"{name} T={c.time_steps}: {c.reason}" for c in report.frontier if c.reason]
        notes += [line for text in told for line in textwrap.wrap(text, WIDTH)]
    return notes


NOT_KNOWN: Final = "Train with: not known from this run"


def advice_in_words(report: RunReport) -> str:
    """The advice, with a line for each reason and the command that decides what times leave open.

    What is predicted stands apart.
    """
    advice, command = report.advice, deciding_command(report)
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
