"""Pages of sample runs, with stand-ins for the charts, for the tests of the page."""

from __future__ import annotations

from functools import cache

from matplotlib.figure import Figure

from fakes import (
    HEADER,
    a_calibration,
    a_fit,
    a_memory,
    a_request,
    a_timing,
    conditions,
)
from report_samples import MIB, Sample, grid_sample, report_from
from rnnprof.maxbatch.certify import Proof
from rnnprof.report.charts.kit.style import INK, MUTED, OKABE_ITO, rendered, style
from rnnprof.report.html.blocks import DrawnChart, PageRun
from rnnprof.report.model import RunReport, report_of
from rnnprof.runfile.certificates import EdgeFit, EdgeOom, EdgeStatus
from rnnprof.runfile.observations import Failure
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Finished, Run, Settings

CHARTS = (
    "heatmap-memory", "heatmap-step-time", "heatmap-time-steps", "heatmap-sequences",
    "heatmap-matmul-share", "frontier", "slices-batch", "slices-steps", "memory-parts",
    "memory-phases", "time-phases", "conditions",
)  # fmt: skip


@cache
def a_chart_svg(label: str = "B=4") -> bytes:
    """A small chart with text, a line with markers, clips and hatched boxes."""
    with style():
        figure = Figure(figsize=(5, 2.5))
        axes = figure.add_axes((0.12, 0.2, 0.85, 0.7))
        axes.plot([1, 2, 4], [3.14159, 1, 2], marker="o", color=OKABE_ITO[0])
        axes.bar([1, 2, 3], [1.0, 1.0, 2.0], color=OKABE_ITO[1], hatch="//", edgecolor=MUTED)
        axes.text(1, 2, label, color=INK)
        return rendered(figure, "svg")


def a_chart(name: str, label: str = "B=4") -> DrawnChart:
    title = name.replace("-", " ").capitalize()
    svg = a_chart_svg(label).decode()
    return DrawnChart(name, title, f"It shows 12.5 MiB in {name} of {label}.", svg)


def a_report(report: RunReport, *names: str, verdict: str = "VALID", label: str = "B=4") -> PageRun:
    """A run with the charts named, or with all of them."""
    return PageRun(
        report=report,
        decision=("Use B=8, T=32: it takes 24.1 MiB.", "What would change it: nothing."),
        verdict=verdict,
        verdict_reasons=("all points were answered", "no timing was noisy"),
        command="rnnprof profile --batch 4,8 \\\n    --time-steps 16,32",
        charts={name: a_chart(name, label) for name in names or CHARTS},
    )


def a_certificate(time_steps: int = 32, batch: int = 12) -> Proof:
    return Proof(
        time_steps=time_steps,
        status=EdgeStatus.CERTIFIED,
        granularity=1,
        at_most=65536,
        batch=batch,
        fits=EdgeFit(batch, f"f1f1f1f1{time_steps:04}", 60 * MIB, 10),
        fails=EdgeOom(
            batch + 1, f"a0a0a0a0{time_steps:04}", "backward", "can't <allocate>", 5 * MIB
        ),
        confirm_steps=11,
        confirmations=3,
        probes=7,
        ooms=2,
    )


def a_grid(name: str = "sample") -> RunReport:
    return report_from(grid_sample((4, 8, 16), (16, 32), 200), (a_certificate(),), name)


def large(batches: int = 20, time_steps: int = 20) -> Sample:
    return grid_sample(range(8, 8 + 8 * batches, 8), range(10, 10 + 10 * time_steps, 10))


def observed(name: str = "observed", slower: float = 1.0) -> RunReport:
    """A run of real records: attempts, an OOM, a noisy pass, an anchor that drifted."""
    small, big = Point(4, 16), Point(8, 16)
    oom = Failure(phase="backward", message="can't allocate", requested_bytes=5 * MIB)
    observations = (
        a_calibration(attempt="ca11b0000001", conditions=conditions()),
        a_timing(small, 0.010 * slower, attempt="a0c401000001", role=Role.ANCHOR),
        a_fit(small, attempt="f10000000001", peak_charged_bytes=20 * MIB),
        a_timing(small, 0.010 * slower, attempt="71b000000001", conditions=conditions()),
        a_memory(small, attempt="b3b000000001", peak_allocated_bytes=20 * MIB),
        a_fit(big, attempt="f10000000002", outcome=Outcome.OOM, reason="asked", failure=oom),
        a_timing(
            small, 0.012 * slower, attempt="71b000000002", conditions=conditions(others_s=0.5),
            role=Role.REPLICATE,
        ),
        a_timing(small, 0.0105 * slower, attempt="a0c401000002", role=Role.ANCHOR),
    )  # fmt: skip
    request = a_request(Grid((4, 8), (16,)), Settings())
    finished = Finished(request.request, "2026-11-23T12:05:00Z", 300.0)
    run = Run(HEADER, (request,), (), observations, (), (finished,), f"runs/{name}.jsonl")
    return report_of(run, name)
