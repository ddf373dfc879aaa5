"""The report as one HTML page that needs no other file, no network, and no script to be whole."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from rnnprof.advice.advise import LargestSafe
from rnnprof.points.noise import judge
from rnnprof.reasons import Reason
from rnnprof.report.charts.kit import style as drawing
from rnnprof.report.html.blocks import (
    FactList,
    Head,
    PageBlock,
    PageRun,
    Section,
    bytes_in_full,
    facts_in_pairs,
    finalized,
    section_of,
)
from rnnprof.report.html.certificates_table import certificates_section
from rnnprof.report.html.compared import differences_section, differing_facts
from rnnprof.report.html.points_table import points_section
from rnnprof.report.html.script_section import script_section
from rnnprof.report.html.tables import Filled, Table, figures, in_bytes, integers, of_each, words
from rnnprof.report.model import RunReport
from rnnprof.report.text.command import deciding_command
from rnnprof.report.words import as_text
from rnnprof.report.words import page as sentences
from rnnprof.report.words.answer import TO_DECIDE
from rnnprof.report.words.recommendation import cell_of, head_of
from rnnprof.report.words.study import trainability_words
from rnnprof.runfile.codec import encode
from rnnprof.runfile.observations import Calibration, Timing
from rnnprof.runfile.records import KIND_OF, Run
from rnnprof.units import format_duration
from rnnprof.workload import Workload

HEAT_MAPS: Final = (
    "heatmap-memory", "heatmap-step-time", "heatmap-time-steps", "heatmap-sequences",
    "heatmap-matmul-share",
)  # fmt: skip


def page(page_runs: Sequence[PageRun]) -> str:
    """The page of one run, or of several side by side.

    Raises:
        ValueError: when there is no run.
    """
    if not page_runs:
        raise ValueError("a page needs one run or more")
    script = _asset("report.js")
    return _template().render(
        title=sentences.page_title([page_run.report for page_run in page_runs]),
        heads=[_head(page_run) for page_run in page_runs],
        differing=list(differing_facts(page_runs)),
        sections=_sections(page_runs),
        inks=_inks(),
        css=Markup(_asset("report.css")),  # noqa: S704  our own file
        script=Markup(script),  # noqa: S704  our own file
        script_hash=_hash(script),
        version=page_runs[0].report.run.rnnprof_version,
    )


def _inks() -> dict[str, str]:
    """The charts' inks by day; the night's are in the style sheet."""
    names = ("PAPER", "INK", "MUTED", "RULE", "FILL")
    return {name.lower(): getattr(drawing, name) for name in names}


@cache
def _asset(name: str) -> str:
    return (files("rnnprof.report.html") / "templates" / name).read_text(encoding="utf-8").strip()


def _hash(script: str) -> str:
    """As a Content-Security-Policy names the one script that may run."""
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("rnnprof.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _head(page_run: PageRun) -> Head:
    run = page_run.report.run
    begun = [request.at_utc for request in run.requests]
    pairs = {
        "run file": _file_name_of(run),
        "run id": run.header.run_id,
        "workload": run.header.workload.describe(),
        "device": str(run.environment.get("device_name") or "not known"),
        "limit": bytes_in_full(page_run.report.limit_bytes),
        "measured": sentences.measured_from(begun),
    }
    return Head(
        name=page_run.report.name,
        decision=page_run.decision,
        verdict=page_run.verdict,
        reasons=page_run.verdict_reasons,
        facts=tuple(pairs.items()),
    )


def _file_name_of(run: Run) -> str:
    """Without its folders, which may show who ran it and where."""
    return PurePath(run.path).name if run.path else "not from a file"


def _sections(page_runs: Sequence[PageRun]) -> list[Section]:
    memory, slices = ("memory-parts", "memory-phases"), ("slices-batch", "slices-steps")
    sections = [
        section_of("grid", page_runs, None, HEAT_MAPS, has_switch=True),
        section_of("frontier", page_runs, None, ("frontier",)),
        section_of("slices", page_runs, None, slices),
        section_of("memory", page_runs, None, memory),
        section_of("time", page_runs, None, ("time-phases",)),
    ]
    # most runs have no study
    if any(page_run.report.trainability.study for page_run in page_runs):
        charts = ("reach", "worth", "time-to-target")
        sections.append(section_of("trainability", page_runs, _studied, charts))
    if any(page_run.report.run.header.workload.script for page_run in page_runs):
        sections.append(section_of("script", page_runs, script_section))
    sections += [
        section_of("certificates", page_runs, certificates_section),
        section_of("advice", page_runs, _advice),
        section_of("conditions", page_runs, _conditions, ("conditions",)),
    ]
    if len(page_runs) > 1:
        title, blocks = sentences.SECTIONS["differences"], (differences_section(page_runs),)
        sections.append(Section("differences", title, blocks=blocks))
    sections.append(section_of("provenance", page_runs, _provenance))
    sections.append(section_of("points", page_runs, points_section))
    return sections


def _studied(page_run: PageRun, _suffix: str) -> PageBlock:
    if page_run.report.trainability.study is None:
        return PageBlock(sentences=(sentences.NO_STUDY,))
    return PageBlock(items=tuple(("", line) for line in trainability_words(page_run.report)))


# --- advice --------------------------------------------------------------------------------------


def _advice(page_run: PageRun, suffix: str) -> PageBlock:
    report, advice = page_run.report, page_run.report.advice
    command = deciding_command(report)
    items = [
        *(("", f"{head_of(e)}. {_joined(e.reasons)}") for e in advice.recommendations),
        *(("", as_text(reason)) for reason in advice.reasons),
        *(("predicted", as_text(prediction)) for prediction in advice.predictions),
        *(
            ("", sentences.by_goodput(each.time_steps, each.batch, each.reasons))
            for each in advice.goodput
        ),
        *(("not known", as_text(unknown)) for unknown in advice.unknown),
    ]
    return PageBlock(
        sentences=(sentences.advice_head(report),),
        items=tuple(items),
        tables=_batches(report, suffix),
        command=command,
        command_head=TO_DECIDE if command else "",
    )


def _joined(reasons: Iterable[Reason | str]) -> str:
    return "; ".join(map(as_text, reasons))


def _batches(report: RunReport, suffix: str) -> tuple[Table, ...]:
    """At each T the recommended batch, the largest safe one and the largest that fits."""
    advice = report.advice
    safe = {each.time_steps: each for each in advice.largest_safe}
    lengths = sorted({*safe, *(each.time_steps for each in advice.recommendations)})
    if not lengths:
        return ()
    each_t = [safe.get(time_steps) for time_steps in lengths]
    peaks = of_each(each_t, lambda e: e.peak_bytes)
    columns: list[Filled] = [
        integers("T", "time_steps", lengths),
        words("recommended", "recommended", [cell_of(advice.at(t)) for t in lengths], unit="B"),
        integers("largest safe", "batch", of_each(each_t, lambda e: e.batch), "B"),
        figures("safe batch takes", "peak_bytes", peaks, in_bytes),
        words("by", "known_by", [_known_by(each) for each in each_t]),
        integers("largest", "edge", of_each(each_t, lambda e: e.edge), "B"),
    ]
    return (Table.of(f"batches{suffix}", sentences.batches_caption(report), columns),)


def _known_by(each: LargestSafe | None) -> str:
    if each is None or each.batch is None:
        return ""
    return "measured" if each.is_measured else "predicted"


# --- conditions ----------------------------------------------------------------------------------


def _conditions(page_run: PageRun, suffix: str) -> PageBlock:
    report = page_run.report
    passes = [o for o in report.run.observations if isinstance(o, (Timing, Calibration))]
    judged = [(each, judge(each.conditions)) for each in passes]
    noisy = [(each, as_text(reason)) for each, reason in judged if reason]
    known = sum(each.conditions is not None for each in passes)
    # the chart's own words have the drift
    drift = None if "conditions" in page_run.charts else report.drift
    texts = [sentences.noisy_count(len(noisy), known, len(passes))]
    texts += [sentences.drift_in_words(drift)] if drift else []
    if not noisy:
        return PageBlock(sentences=tuple(texts))
    columns = [
        integers("T", "time_steps", [each.time_steps for each, _ in noisy]),
        integers("B", "batch", [each.batch for each, _ in noisy]),
        words("pass", "pass", [KIND_OF[type(each)] for each, _ in noisy]),
        words("role", "role", [each.role.value for each, _ in noisy]),
        words("what made it noisy", "noisy", [reason for _, reason in noisy], "text"),
        words("attempt", "attempt", [each.attempt for each, _ in noisy], "code"),
    ]
    name, file = f"noisy-table{suffix}", f"{report.name}-noisy.csv"
    table = Table.of(name, sentences.NOISY_PASSES, columns, file)
    return PageBlock(sentences=tuple(texts), tables=(table,))


# --- provenance ----------------------------------------------------------------------------------


def _provenance(page_run: PageRun, suffix: str) -> PageBlock:
    run = page_run.report.run
    header = run.header
    identity = {
        "run file": _file_name_of(run),
        "run id": header.run_id,
        "rnnprof": run.rnnprof_version or "not known",
        "schema": str(header.schema),
        "limit": bytes_in_full(run.limit_bytes),
    }
    if page_run.report.limit_bytes != run.limit_bytes:
        identity["limit for training"] = bytes_in_full(page_run.report.limit_bytes)
    settings = encode(run.requests[-1].settings) if run.requests else {}
    groups = (
        FactList("Run", tuple(identity.items())),
        FactList("Workload", facts_in_pairs(_workload_facts(header.workload))),
        FactList("Environment", facts_in_pairs(run.environment)),
        FactList("Settings", facts_in_pairs(settings)),
    )
    return PageBlock(
        facts=tuple(group for group in groups if group.pairs),
        tables=_requests(run, suffix) if run.requests else (),
        command=page_run.command,
        command_head=page_run.remark,
    )


def _workload_facts(workload: Workload) -> dict[str, Any]:
    """The options of the workload; a script has none but its own."""
    facts: dict[str, Any] = encode(workload)
    return facts if workload.script is None else {"script": facts["script"]}


def _requests(run: Run, suffix: str) -> tuple[Table, ...]:
    ended = {each.request: each for each in run.finished}
    ends = [ended.get(request.request) for request in run.requests]
    columns = [
        words("request", "request", [each.request for each in run.requests], "code"),
        words("command", "command", [each.command for each in run.requests]),
        words("begun", "at_utc", [each.at_utc for each in run.requests]),
        integers("points", "points", [len(each.grid.points()) for each in run.requests]),
        words("ended", "ended", [each.at_utc if each else "no" for each in ends]),
        words("took", "wall", of_each(ends, lambda e: format_duration(e.wall_s))),
    ]
    return (Table.of(f"requests-table{suffix}", sentences.REQUESTS, columns),)
