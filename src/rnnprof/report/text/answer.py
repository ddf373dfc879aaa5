"""The answer as text: the largest batch at each T, and the recommended batch with its reasons."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rnnprof.device.malloc import as_shell
from rnnprof.plain_text import WIDTH
from rnnprof.report.model import RunReport
from rnnprof.report.text.command import deciding_command
from rnnprof.report.words.answer import (
    FUSED_LAW,
    FUSED_LAW_OF_YOURS,
    NO_KERNEL_RAN,
    NOT_KNOWN,
    NOTE_HEAD,
    PREDICTED_HEAD,
    SAME_HEAP,
    TO_DECIDE,
    UNKNOWN_HEAD,
    around_the_largest,
    by_goodput,
    chunk_in_words,
    not_charged,
    proven,
)
from rnnprof.report.words.certificates import certificate_in_words
from rnnprof.report.words.dispatch import say
from rnnprof.report.words.loops import gpu_name, step_functions_in_words
from rnnprof.report.words.phrases import workload_in_words
from rnnprof.report.words.recommendation import head_of, safe_in_words
from rnnprof.report.words.scripts import script_in_words
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.observations import Fit
from rnnprof.runfile.records import Run
from rnnprof.units import format_bytes


def frontier_in_words(report: RunReport) -> str:
    """For each T the largest batch and the largest safe batch; then what was proven.


    A simulated GPU has a table instead.
    """
    if report.run.is_simulated:
        return gpus_in_words([report])
    safe = {each.time_steps: each for each in report.advice.largest_safe}
    lines = []
    for certificate in report.frontier:
        words = certificate_in_words(certificate, is_brief=True)
        also = safe_in_words(safe.get(certificate.time_steps), report.headroom_ratio)
        lines += _in_width([f"T={certificate.time_steps}: {words}", *filter(None, [also])])
    notes = [*_script(report), *_beside(report), *_step_functions(report)]
    return "\n".join([*lines, *_proven([report]), *notes])


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
    return [proven(least, most, reports[0]), *_same_heap(reports[0].run)]


def _beside(report: RunReport) -> list[str]:
    """Memory that the limit does not count, where a proof has met any."""
    cited = {each.fits.attempt for each in report.frontier if each.fits}
    proofs = [o for o in report.run.observations if isinstance(o, Fit) and o.attempt in cited]
    children = max((o.children_bytes or 0 for o in proofs), default=0)
    shared = max((o.shared_bytes or 0 for o in proofs), default=0)
    return textwrap.wrap(not_charged(children, shared), WIDTH)


def _script(report: RunReport, name: str = "") -> list[str]:
    """What the script holds before its first training step; nothing for other workloads.

    Args:
        name: of the GPU, where there are several.
    """
    texts = script_in_words(report)
    return [line for text in texts for line in textwrap.wrap(f"{name}{text}", WIDTH)]


def _same_heap(run: Run) -> list[str]:
    """How to run your own training with the same charged memory; empty for other devices."""
    environment = run.environment
    if environment.get("device") != "cpu" or environment.get("system", "Linux") != "Linux":
        return []
    *lines, last = textwrap.wrap(as_shell(), WIDTH - 4)
    return [SAME_HEAP, *(f"  {line} \\" for line in lines), f"  {last}"]


def _step_functions(report: RunReport) -> list[str]:
    sentences = step_functions_in_words(report)
    return [line for text in sentences for line in textwrap.wrap(text, WIDTH)]


def _law_notes(run: Run) -> list[str]:
    """What the sizes of a fused layer are based on."""
    workload = run.header.workload
    law = FUSED_LAW if workload.is_built_in else FUSED_LAW_OF_YOURS
    return textwrap.wrap(law, WIDTH) if workload.impl == "fused" else []


def gpus_in_words(reports: Sequence[RunReport]) -> str:
    """Simulated GPUs: at each T the largest batch, the safe one, and what it takes."""
    rows = [GPU_HEADS, *(row for report in reports for row in _gpu_rows(report))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(GPU_HEADS))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    workload = reports[0].run.header.workload
    ending = f", {NO_KERNEL_RAN}"
    head = [workload_in_words(workload, WIDTH - len(ending)) + ending]
    notes = _gpu_notes(reports)
    return "\n".join([*head, "", *lines, *([""] if notes else []), *notes])


GPU_HEADS: Final = ("GPU", "T", "largest", "safe", "charged", "allocated", "")


def _gpu_rows(report: RunReport) -> Iterator[tuple[str, ...]]:
    run = report.run
    safe = {each.time_steps: each.batch for each in report.advice.largest_safe}
    name = gpu_name(report.run)
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
    name = gpu_name(report.run)
    return [
        line
        for each in report.neighbours
        for line in textwrap.wrap(around_the_largest(name, each), WIDTH)
    ]


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.ljust(width) if column in (0, len(row) - 1) else text.rjust(width)


def _gpu_notes(reports: Sequence[RunReport]) -> list[str]:
    notes = [*_proven(reports), *_law_notes(reports[0].run)]
    for report in reports:
        notes += _script(report, f"{gpu_name(report.run)}: " if len(reports) > 1 else "")
    notes += [line for report in reports for line in _step_functions(report)]
    notes += [line for report in reports for line in neighbours_in_words(report)]
    for report in reports:
        name = report.run.environment.get("device_name")
        remarks = [f"{name} T={c.time_steps}: {say(c.reason)}" for c in report.frontier if c.reason]
        notes += [line for text in remarks for line in textwrap.wrap(text, WIDTH)]
    return notes


def advice_in_words(report: RunReport) -> str:
    """The advice, with a line for each reason and the command that decides what the times do not.

    Predictions are listed separately.
    """
    advice, command = report.advice, deciding_command(report)
    lines = [NOT_KNOWN] if not advice.recommendations else []
    for each in advice.recommendations:
        lines += [head_of(each), *map(_item, map(say, each.reasons))]
    if advice.reasons and advice.recommendations:
        lines.append(NOTE_HEAD)
    lines += map(_item, map(say, advice.reasons))
    if command:
        lines += [TO_DECIDE, command]
    if advice.predictions:
        lines += [PREDICTED_HEAD, *map(_item, map(say, advice.predictions))]
    for goodput in advice.goodput:
        lines.append(by_goodput(goodput))
        lines += map(_item, map(say, goodput.reasons))
    if advice.unknown:
        lines += [UNKNOWN_HEAD, *map(_item, map(say, advice.unknown))]
    if advice.chunk is not None:
        lines += [chunk_in_words(advice.chunk), *map(_item, map(say, advice.chunk.reasons))]
    return "\n".join(lines)


def _item(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
