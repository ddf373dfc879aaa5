"""The report as one HTML page that needs no other file, no network, and no script to be whole."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from rnnprof.advice.advise import Advice, LargestSafe
from rnnprof.plain_text import clip
from rnnprof.points.fold import Drift
from rnnprof.points.noise import judge
from rnnprof.report.charts.kit import style as drawing
from rnnprof.report.html.blocks import (
    NOT_DRAWN,
    UNKNOWN,
    Cell,
    Column,
    FactList,
    Head,
    PageBlock,
    PageRun,
    Section,
    Table,
    bytes_in_full,
    facts_in_pairs,
    figure_row,
    printable,
    told_of,
)
from rnnprof.report.html.certificates_table import bytes_column, certificates_section
from rnnprof.report.html.compared import differences_section, differing_facts
from rnnprof.report.html.points_table import (
    points_section,
)
from rnnprof.report.html.scales import integer
from rnnprof.report.text.command import deciding_command
from rnnprof.report.text.recommendation import cell_of, head_of
from rnnprof.report.text.trainability import trainability_words
from rnnprof.runfile.codec import encode
from rnnprof.runfile.observations import Calibration, Observation, Timing
from rnnprof.runfile.records import KIND_OF, Run
from rnnprof.units import format_bytes, format_duration, format_ratio, format_seconds

# --- the page ------------------------------------------------------------------------------------


def page(page_runs: Sequence[PageRun]) -> str:
    """The page of one run, or of several side by side.

    Raises:
        ValueError: when there is no run.
    """
    if not page_runs:
        raise ValueError("a page needs one run or more")
    script = _asset("report.js")
    return _template().render(
        title=_title(page_runs),
        heads=[_head(page_run) for page_run in page_runs],
        differing=differing_facts(page_runs),
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
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _title(page_runs: Sequence[PageRun]) -> str:
    if len(page_runs) > 1:
        return f"{len(page_runs)} runs side by side"
    header = page_runs[0].report.run.header
    device = header.environment.get("device_name")
    what = header.workload.describe()
    return clip(f"{what} on {device}" if device else what, TITLE_COLUMNS)


TITLE_COLUMNS: Final = 120


def _head(page_run: PageRun) -> Head:
    run = page_run.report.run
    asked = [request.at_utc for request in run.requests]
    pairs = {
        "run file": _file_name_of(run),
        "run id": run.header.run_id,
        "workload": run.header.workload.describe(),
        "device": str(run.environment.get("device_name") or "not known"),
        "limit": bytes_in_full(page_run.report.limit_bytes),
        "measured": f"from {asked[0]}" if asked else "nothing was asked for",
    }
    return Head(
        name=page_run.report.name,
        decision=page_run.decision,
        verdict=page_run.verdict,
        reasons=page_run.verdict_reasons,
        facts=tuple(pairs.items()),
    )


def _file_name_of(run: Run) -> str:
    """Without its folders, which may tell who ran it and where."""
    return PurePath(run.path).name if run.path else "not from a file"


def _sections(page_runs: Sequence[PageRun]) -> list[Section]:
    sections = [
        _charts("grid", "The grid", page_runs, HEAT_MAPS, has_switch=True),
        _charts("frontier", "The frontier", page_runs, ("frontier",)),
        _charts("slices", "Slices", page_runs, ("slices-batch", "slices-steps")),
        _charts("memory", "What takes the memory", page_runs, ("memory-parts", "memory-phases")),
        _charts("time", "Where the time goes", page_runs, ("time-phases",)),
        *_trainability(page_runs),
        told_of("certificates", "Certificates", page_runs, certificates_section),
        told_of("advice", "Advice", page_runs, _advice),
        told_of("conditions", "Conditions over the run", page_runs, _conditions, ("conditions",)),
    ]
    if len(page_runs) > 1:
        sections.append(
            Section("differences", "Differences", blocks=(differences_section(page_runs),))
        )
    sections.append(told_of("provenance", "What was run, and on what", page_runs, _provenance))
    sections.append(told_of("points", "Points", page_runs, points_section))
    return sections


HEAT_MAPS: Final = (
    "heatmap-memory", "heatmap-step-time", "heatmap-time-steps", "heatmap-sequences",
    "heatmap-matmul-share",
)  # fmt: skip


def _trainability(page_runs: Sequence[PageRun]) -> list[Section]:
    """Only where a run has a study: most have none."""
    if not any(page_run.report.trainability.study for page_run in page_runs):
        return []
    names = ("reach", "worth", "time-to-target")
    return [told_of("trainability", "Trainability", page_runs, _studied, names)]


def _studied(page_run: PageRun, _suffix: str) -> PageBlock:
    found = page_run.report.trainability
    if found.study is None:
        return PageBlock(sentences=("This run has no study: rnnprof trainability makes one.",))
    return PageBlock(items=tuple(("", line) for line in trainability_words(page_run.report)))


def _charts(
    name: str,
    title: str,
    page_runs: Sequence[PageRun],
    chart_names: Iterable[str],
    *,
    has_switch: bool = False,
) -> Section:
    rows = tuple(row for each in chart_names if (row := figure_row(each, page_runs)))
    blocks = () if rows else (PageBlock(sentences=(NOT_DRAWN[name],)),)
    return Section(name, title, rows, blocks, has_switch and len(rows) > 1)


# --- advice --------------------------------------------------------------------------------------


def _advice(page_run: PageRun, suffix: str) -> PageBlock:
    advice, run = page_run.report.advice, page_run.report.run
    head = "What to train with at each T, and why."
    if not advice.recommendations:
        head = "This run does not tell what to train with."
    if run.is_simulated:
        head = "A simulated GPU gives no recommendation: it gives the largest safe batch."
    items = [("", f"{head_of(each)}. {'; '.join(each.reasons)}") for each in advice.recommendations]
    items += [("", reason) for reason in advice.reasons]
    items += [("predicted", sentence) for sentence in advice.predictions]
    for goodput in advice.goodput:
        told = f"By goodput at T={goodput.time_steps} train with B={goodput.batch}: "
        items.append(("", told + "; ".join(goodput.reasons)))
    items += [("not known", sentence) for sentence in advice.unknown]
    return PageBlock(
        sentences=(head,),
        items=tuple(items),
        tables=_batches(page_run, advice, suffix),
        command=deciding_command(page_run.report),
    )


def _batches(page_run: PageRun, advice: Advice, suffix: str) -> tuple[Table, ...]:
    """At each T the recommended batch, the largest safe one and the largest that fits."""
    safe = {each.time_steps: each for each in advice.largest_safe}
    lengths = sorted({*safe, *(each.time_steps for each in advice.recommendations)})
    if not lengths:
        return ()
    each_t = [
        safe.get(time_steps) or LargestSafe(time_steps, None, None, False, None)
        for time_steps in lengths
    ]
    peak_head, peaks = bytes_column(
        Column("safe batch takes", "peak_bytes"), [each.peak_bytes for each in each_t]
    )
    columns = [
        Column("T", "time_steps", kind="number"), Column("recommended", "recommended", "B"),
        Column("largest safe", "batch", "B", "number"), peak_head, Column("by", "known_by"),
        Column("largest", "edge", "B", "number"),
    ]  # fmt: skip
    rows = [
        (integer(each.time_steps), Cell(cell_of(advice.at(each.time_steps))), integer(each.batch),
        peak,
         _known_by(each), integer(each.edge))
        for each, peak in zip(each_t, peaks, strict=True)
    ]  # fmt: skip
    caption = (
        "Recommended: the smallest batch within 5% of the best throughput at this T that leaves "
        f"{format_ratio(page_run.report.headroom_ratio)} of the limit of "
        f"{format_bytes(page_run.report.limit_bytes)} free; several where the times do not decide. "
        "Largest safe: the largest that leaves as much."
    )
    return (Table(f"batches{suffix}", caption, tuple(columns), tuple(rows)),)


def _known_by(each: LargestSafe) -> Cell:
    if each.batch is None:
        return UNKNOWN
    return Cell("measured" if each.is_measured else "predicted")


# --- conditions ----------------------------------------------------------------------------------


def _conditions(page_run: PageRun, suffix: str) -> PageBlock:
    run = page_run.report.run
    passes = [o for o in run.observations if isinstance(o, (Timing, Calibration))]
    judged = [(each, judge(each.conditions)) for each in passes]
    noisy = [(each, text) for each, text in judged if text]
    known = [each for each in passes if each.conditions is not None]
    # the chart's own words tell of the drift
    drift = () if "conditions" in page_run.charts else tuple(_drift(page_run.report.drift))
    sentences = (_how_many(len(noisy), len(known), len(passes)), *drift)
    if not noisy:
        return PageBlock(sentences=sentences)
    columns = (
        Column("T", "time_steps", kind="number"), Column("B", "batch", kind="number"),
        Column("pass", "pass"), Column("role", "role"),
        Column("what touched it", "noisy", kind="text"),
        Column("attempt", "attempt", kind="code"),
    )  # fmt: skip
    rows = tuple(_noisy_row(each, text) for each, text in noisy)
    caption = "Every noisy pass; one that was repeated without noise does not count."
    file = f"{page_run.report.name}-noisy.csv"
    table = Table(f"noisy-table{suffix}", caption, columns, rows, file)
    return PageBlock(sentences=sentences, tables=(table,))


def _noisy_row(observation: Observation, text: str) -> tuple[Cell, ...]:
    return (
        integer(observation.time_steps),
        integer(observation.batch),
        Cell(KIND_OF[type(observation)]),
        Cell(observation.role.value),
        Cell(text),
        Cell(observation.attempt),
    )


def _how_many(noisy: int, known: int, passes: int) -> str:
    if not passes:
        return "No pass was timed, and so none recorded its conditions."
    if not known:
        return f"None of the {passes} timed passes recorded its conditions."
    without = f"; {passes - known} did not record their conditions" if known < passes else ""
    verb = "was" if noisy < 2 else "were"
    return (
        f"{noisy or 'None'} of {known} timed passes {verb} noisy from something else on the "
        f"machine{without}."
    )


def _drift(drift: Drift | None) -> Iterator[str]:
    if drift is None:
        return
    medians = ", ".join(format_seconds(each) for each in drift.medians_s)
    yield (
        f"The anchor {drift.point}, timed again and again over the run, took {medians} a step: "
        f"a drift of {format_ratio(drift.ratio)}."
    )


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
    groups = [
        FactList("Run", tuple(identity.items())),
        FactList("Workload", facts_in_pairs(encode(header.workload))),
        FactList("Environment", facts_in_pairs(run.environment)),
        FactList("Settings", facts_in_pairs(settings)),
    ]
    return PageBlock(
        facts=tuple(group for group in groups if group.pairs),
        tables=_requests(run, suffix),
        command=page_run.command,
    )


def _requests(run: Run, suffix: str) -> tuple[Table, ...]:
    if not run.requests:
        return ()
    ended = {each.request: each for each in run.finished}
    columns = (
        Column("request", "request", kind="code"), Column("command", "command"),
        Column("begun", "at_utc"), Column("points", "points", kind="number"),
        Column("ended", "ended"), Column("took", "wall"),
    )  # fmt: skip
    rows = []
    for request in run.requests:
        end = ended.get(request.request)
        points = len(request.grid.points())
        rows.append(
            (
                Cell(request.request), Cell(request.command), Cell(request.at_utc), integer(points),
                Cell(end.at_utc if end else "no"),
                Cell(format_duration(end.wall_s)) if end else UNKNOWN,
            )
        )  # fmt: skip
    caption = "Every invocation that wrote to this run file."
    return (Table(f"requests-table{suffix}", caption, columns, tuple(rows)),)
