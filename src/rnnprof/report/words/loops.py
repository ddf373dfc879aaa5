"""The loop that an answer holds for, in words, and what another would be worth."""

from __future__ import annotations

from typing import Final

from rnnprof.maxbatch.step_functions import MORE_RATIO, loop_of
from rnnprof.report.model import RunReport
from rnnprof.runfile.records import Run
from rnnprof.simulate.description import GpuDescription
from rnnprof.units import format_ratio

WORDS: Final = {"plain": " in a plain loop", "function": " with a step function", None: ""}

EXPANDABLE: Final = "expandable_segments:True"


def loop_in_words(report: RunReport) -> str:
    """Behind "the largest", with a space before it; empty for a factory, which has its own."""
    return WORDS.get(loop_of(report.run.header.workload), "")


def gpu_name(run: Run) -> str:
    """``Tesla T4``, also where it is simulated."""
    described = run.environment.get("simulated")
    if described is not None:
        return GpuDescription.from_text(str(described)).name
    return str(run.environment.get("device_name"))


def step_functions_in_words(report: RunReport) -> list[str]:
    """Where a step function fits more, and what to do about it; none where it does not."""
    run = report.run
    found = [each for each in report.step_functions if each.fits]
    if not found:
        return []
    environment = run.environment
    name = f"{gpu_name(run)} " if run.is_simulated else ""
    lines = [
        f"{name}T={each.time_steps}: a step function fits at least {each.batch}, "
        f"{format_ratio(MORE_RATIO)} more"
        for each in found
    ]
    advice = (
        "Wrap your training step in a function: at its end it drops input, output and state, which "
        "a plain loop holds while the next step runs"
    )
    if EXPANDABLE not in str(environment.get("allocator_settings")):
        advice += f"; PYTORCH_CUDA_ALLOC_CONF={EXPANDABLE} may help too"
    return [*lines, advice]
