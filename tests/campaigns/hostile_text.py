"""Hostile text in every field of a run file, through every command that reads one.

    python -m campaigns.hostile_text [--count 40] [--report]

The checksums are good, so the file loads.  Each output is then held against the rules of its own
format: nothing drives a terminal or a CI job, JSON and XML parse strictly, CSV keeps its rows and
columns and begins no formula, Markdown and HTML hold no markup but ours.  Prints for each class of
text how many outputs were looked at, and what failed.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import os
import random
import re
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from campaigns.campaign import in_process
from rnnprof.errors import RunFileError
from rnnprof.ranges import MOST_TEXT
from rnnprof.runfile import journal
from rnnprof.runfile.lines import digest

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "run-2.jsonl"

CANARY: Final = "CANARY_WAS_RUN"
_SCRIPT: Final = f"document.title='{CANARY}';document.body.id='{CANARY}'"

TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "plain": ("text", ""),
    "escape sequences": (
        "\x1b[2J\x1b[31m", "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
        "\x1b]52;c;cHduZWQ=\x07", "\x1bc\x1b(0", "\x9b31m\x9d52;c;x\x9c", "a\rb\x08\x08\x7f",
    ),
    "NUL and controls": ("a\0b", "".join(map(chr, range(1, 32))),
                         "".join(map(chr, range(127, 160)))),
    "surrogates": ("\ud800", "\udc80\udcff", "\udfff\ud83d", "a\ud83dz"),
    "direction": ("\u202egnp.exe", "\u2066x\u2069\u200f\u200e\u061c", "\u202a\u202b\u202c\u202d"),
    "invisible": (
        "\ufeffa\u200bb\u200c\u200d\u2060", "".join(chr(0xE0000 + ord(c)) for c in "ignore"),
        "\u2028\u2029\x85", "\ue000\U000f0000\ufffe\uffff", "\u3164\u115f\u034f\U000e0100\u2800",
    ),
    "HTML": (
        f"<script>{_SCRIPT}</script>", f'"><img src=x onerror="{_SCRIPT}">',
        "</title></style></pre></svg></textarea><iframe src=https://evil.example></iframe>",
        f"<svg onload={_SCRIPT}>", "<!--", "-->", "<base href=//evil.example>", "'\" onfocus=x y='",
        f"javascript:{_SCRIPT}", "&lt;script&gt;", "<meta http-equiv=refresh content=0>",
        "</code></pre><form action=//evil.example>", "{{ 7*7 }}{% raw %}{# x #}",
    ),
    "XML": (
        "]]>", "<![CDATA[x]]>", '<!DOCTYPE a [<!ENTITY b "c">]>', "&b;&#0;&#xFFFE;", "<?xml?>",
        '"/><foreignObject/>', "\x0b\x0c\ufffe\ud800",
    ),
    "Markdown": (
        "[a](https://evil.example)", "![a](https://evil.example/x.png)", "| a | b |\n| --- | --- |",
        "@everyone #1", "https://evil.example www.evil.example", "# head", "- item", "1. item",
        "> q", "***", "---", "===", "a  \nb", "<details>", "[a]: https://evil.example",
        "~~a~~ $x$ `y`",
        "\\", "**", "[^1]", "<https://evil.example>",
    ),
    "backticks": (*("`" * count for count in (1, 2, 3, 4, 7, 64)), "\n```\n[out](https://evil.example)\n"),
    "shell": (
        "$(touch pwned)", "`touch pwned`", "; touch pwned", "&& touch pwned", "' ; touch pwned '",
        "\n touch pwned\n", "--overwrite", "-x", "> pwned", "~", "*", "!!", "\\", '"',
    ),
    "CSV formulas": (
        "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", ' "=1', "a;=1", "\uff1d1",
        '","="', "\n=1", "1e5", "0123",
    ),
    "CI commands": (
        "::set-output name=verdict::PASS", "::error::x", "\n::stop-commands::x", "##[add-mask]a",
        "%0A::error::x", "##vso[task.setvariable]x", "rnnprof\n::add-mask::PASS",
        "a" * 70 + " ::error::",
    ),
    "mathematics": ("$\\frac$", "$x^{2$", "$$", "\\$", "$\\alpha$", "a_{i}^", "$" * 9),
    "formats": ("%s%n%d", "{}{0}{x!r}", "{0.__class__}", "%(x)s", "\\N{BELL}", "${HOME}"),
    "long": ("x" * MOST_TEXT, "word " * 13_000, "深" * 30_000, "a" + "\u0301" * 10_000,
             "\n" * 10_000),
}  # fmt: skip

IDS: Final = frozenset({"attempt", "request", "run_id"})
"""Names that tie records together: they keep what they were before the hostile text."""

KNOWN: Final = frozenset(
    {"kind", "command", "outcome", "role", "status", "observes", "device", "what"}
)
"""Fields whose text is one of a few: any other is refused, or another record."""

FILLED: Final = frozenset({
    "reason", "message", "error_type", "log_tail", "baseline_note", "peak_process_reason",
    "peak_charged_reason", "breakdown_reason", "implementation", "implementation_reason",
    "flops_reason", "reach_reason", "noise_reason", "phase",
})  # fmt: skip
"""Texts that may be null, and are filled."""

OPEN_TABLES: Final[dict[str, Any]] = {
    "environment": "", "facts": "", "sources": "", "unknown": "", "parameters": "",
    "phase_peak_bytes": 1 << 20, "phase_live_bytes": 1 << 20, "model_bytes": 1 << 20,
    "phase_samples_s": [0.001], "figures": 1.0,
}  # fmt: skip
"""Tables with names of a worker's own, and a value of such a name; "" for the next text."""

Next = Callable[[], str]


# --- run files -----------------------------------------------------------------------------------


def hostile_file(next_text: Next, *, is_factory: bool) -> bytes:
    """The golden run file with the next text in each of its fields."""
    records = [json.loads(line) for line in GOLDEN.read_bytes().splitlines()]
    ids = next_text()[:200]
    lines = [_line(_filled(record, next_text, ids, is_factory=is_factory)) for record in records]
    return b"".join(lines)


def _filled(
    record: dict[str, Any], next_text: Next, ids: str, *, is_factory: bool
) -> dict[str, Any]:
    del record["checksum"]
    if record["kind"] == "header":
        record["environment"] |= {"device_name": next_text(), "torch": next_text()}
        if is_factory:
            record["workload"] |= {"cell": None, "factory": _factory(next_text)}
    if record["kind"] == "host":
        record["rnnprof_version"] = next_text()
    workload = record.pop("workload", None)
    filled = _texts(record, next_text, ids)
    assert isinstance(filled, dict)
    return filled | ({"workload": workload} if workload else {})


def _factory(next_text: Next) -> dict[str, Any]:
    name = next_text().replace("/", "-").replace("\0", "0")
    args = {"name": next_text(), "nested": {next_text(): [next_text()]}}
    return {"reference": f"{name}.py:make", "args": args}


def _texts(value: Any, next_text: Next, ids: str, name: str = "") -> Any:
    if isinstance(value, dict):
        return _table(value, next_text, ids, name)
    if name in ("warnings", "ops", "event_reasons"):
        return [next_text(), next_text()]
    if isinstance(value, list):
        return [_texts(item, next_text, ids, name) for item in value]
    if name in IDS and isinstance(value, str):
        return value + ids
    is_text = isinstance(value, str) or (value is None and name in FILLED)
    return next_text() if is_text and name not in KNOWN else value


def _table(value: dict[str, Any], next_text: Next, ids: str, name: str) -> dict[str, Any]:
    filled = {key: _texts(item, next_text, ids, key) for key, item in value.items()}
    if name in OPEN_TABLES:
        filled[next_text()] = OPEN_TABLES[name] or next_text()
    return filled


def _line(record: dict[str, Any]) -> bytes:
    """A line as a stranger with a good checksum writes it."""
    kind = {"kind": record.pop("kind")}
    body = json.dumps(kind | record, separators=(",", ":")).encode()[:-1]
    return body + b',"checksum":"' + digest(body) + b'"}\n'


# --- outputs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output:
    """What a command gave.

    Attributes:
        kind: whose rules it has to keep: ``text``, ``json``, ``csv``, ``xml``, ``markdown``, ...
    """

    name: str
    kind: str
    content: bytes


BUDGET: Final = """
version = 1

[[fits]]
batch = 8
time-steps = 32

[[peak]]
batch = 8
time-steps = 32
at-most = "1KiB"
of = "charged"

[growth]
memory = "1%"
time = "1%"
"""


COMMANDS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("advise", "text", ("advise", "run.jsonl", "--sequence-length", "99", "--reach", "9")),
    ("advise --json", "json", ("advise", "run.jsonl", "--json")),
    ("export csv", "csv", ("export", "run.jsonl", "--format", "csv")),
    ("export json", "json", ("export", "run.jsonl", "--format", "json")),
    ("export parquet", "none", ("export", "run.jsonl", "-o", "run.parquet")),
    ("compare", "text", ("compare", "base.jsonl", "run.jsonl")),
    ("compare --json", "json", ("compare", "base.jsonl", "run.jsonl", "--json")),
    ("check", "text", ("check", "run.jsonl", "--budget", "b.toml", "--baseline", "base.jsonl",
                       "--junit", "j.xml", "--markdown", "m.md", "--benchmark-json", "n.json")),
    ("check --json", "json", ("check", "run.jsonl", "--budget", "b.toml", "--json")),
    ("check --github", "github", ("check", "run.jsonl", "--budget", "b.toml", "--github")),
)  # fmt: skip

FILES: Final = {"j.xml": "xml", "m.md": "markdown", "n.json": "json"}
SUFFIXES: Final = {".svg": "xml", ".md": "markdown", ".html": "html"}

GOOD_CODES: Final = frozenset({0, 1, 3, 5})


def outputs_of(content: bytes, *, is_report: bool = False) -> Iterator[Output]:
    """Everything that the reading commands make of a run file."""
    with tempfile.TemporaryDirectory() as name, chdir(name):
        Path("run.jsonl").write_bytes(content)
        Path("base.jsonl").write_bytes(GOLDEN.read_bytes())
        Path("b.toml").write_text(BUDGET)
        for title, kind, arguments in COMMANDS:
            yield from _outputs(title, kind, arguments)
        yield from (Output(f"check {file}", kind, _read(file)) for file, kind in FILES.items())
        yield from texts_of(content)
        if is_report:
            yield from _outputs("report", "text", ("report", "run.jsonl", "-o", "out"))
            for path in sorted(Path("out").glob("*")):
                if path.suffix in SUFFIXES:
                    yield Output(f"report {path.name}", SUFFIXES[path.suffix], path.read_bytes())
        assert not Path("pwned").exists()


def _read(file: str) -> bytes:
    return Path(file).read_bytes() if Path(file).exists() else b""


def _outputs(title: str, kind: str, arguments: Sequence[str]) -> Iterator[Output]:
    code, out, err = in_process(arguments)
    if code not in GOOD_CODES:
        yield Output(f"{title}: exit code {code}", "failed", err)
        return
    if kind != "none":
        yield Output(title, kind, out)
    yield Output(f"{title} (stderr)", "text", err)


def texts_of(content: bytes) -> Iterator[Output]:
    """What ``profile`` prints and writes of a run, and the page without its charts."""
    from rnnprof.report.html.blocks import PageRun
    from rnnprof.report.html.page import page
    from rnnprof.report.model import report_of
    from rnnprof.report.text.summary import summary
    from rnnprof.report.text.table import table

    run = journal.read(content, Path("run.jsonl"))
    assert run is not None
    report = report_of(run, "run")
    for colour in (False, True):
        yield Output(
            "table", "colour" if colour else "text", _echoed(table(report, colour=colour), colour)
        )
    yield Output("summary", "markdown", summary(report).encode())
    yield Output("page", "html", page([PageRun.of(report, {})]).encode())


def _echoed(text: str, colour: bool) -> bytes:
    from rnnprof.cli.echo import say

    content = io.BytesIO()
    stream = io.TextIOWrapper(content, "utf-8", write_through=True)
    with redirect_stdout(stream), patch("click._compat.should_strip_ansi", lambda *_, **__: False):
        say(text, colour=colour)
    return content.getvalue()


# --- rules ---------------------------------------------------------------------------------------


def faults(output: Output) -> list[str]:
    """What is wrong with an output, by the rules of its kind."""
    try:
        return list(RULES[output.kind](output.content))
    except (ValueError, ET.ParseError, AssertionError, csv.Error) as error:
        return [f"{type(error).__name__}: {str(error)[:200]}"]


def _shows(text: str, kept: str = "\n") -> Iterator[str]:
    """Faults of text that drives what it is shown on, by rules of the campaign's own."""
    bad = {c for c in set(text) if not c.isprintable() and c not in kept}
    if bad:
        yield f"characters that are not shown: {sorted(map(ascii, bad))[:8]}"
    if re.search("[\u0300-\u036f]{9}", text):
        yield "a pile of combining marks"


def _text(content: bytes) -> Iterator[str]:
    text = content.decode()
    yield from _shows(text)
    if re.search(r"^\s*::|##\[|##vso\[", text, re.MULTILINE):
        yield "a command of a CI job"


def _colour(content: bytes) -> Iterator[str]:
    yield from _text(re.sub(rb"\x1b\[(1|31|0)m", b"", content))


def _github(content: bytes) -> Iterator[str]:
    text = content.decode()
    yield from _shows(text)
    first, *lines = text.splitlines()
    stop = re.fullmatch(r"::stop-commands::(rnnprof-\w{32})", first)
    if stop is None:
        yield "commands are not stopped"
        return
    after = lines[lines.index(f"::{stop[1]}::") + 1 :]
    if not all(re.match(r"::(error|warning) [a-z]+=", line) for line in after if line):
        yield "an annotation that is not ours"


def _json(content: bytes) -> Iterator[str]:
    if not content:
        return
    text = content.decode("ascii")
    yield from _shows(text)
    if "##[" in text:
        yield "a command of a CI job"
    document = json.loads(text, parse_constant=lambda name: float("invalid " + name))
    json.dumps(document, ensure_ascii=False).encode()  # fails on half of a surrogate pair


def _csv(content: bytes) -> Iterator[str]:
    text = content.decode()
    yield from _shows(text, "\r\n")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if {len(row) for row in rows} != {len(rows[0])} or len(rows) != 10:
        yield f"{len(rows)} rows of {sorted({len(row) for row in rows})} columns"
    for cell in itertools.chain.from_iterable(rows[1:]):
        if re.match(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]", cell) and not _is_number(cell):
            yield f"a formula: {cell[:40]!r}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _xml(content: bytes) -> Iterator[str]:
    if not content:
        return
    yield from _shows(content.decode(), "\n")
    for element in ET.fromstring(content).iter():
        tag = str(element.tag).rpartition("}")[2].lower()
        if tag in ("script", "foreignobject", "iframe", "animate", "set", "a"):
            yield f"<{tag}>"
        for full, value in element.attrib.items():
            name = full.rpartition("}")[2].lower()
            if name.startswith("on"):
                yield f"{name}={value[:40]!r}"
            if name in ("href", "src") and not value.startswith(("#", "data:image/")):
                yield f"a reference: {value[:40]!r}"
            if re.search(r"url\((?!#)", value) and name == "style":
                yield f"a reference: {value[:40]!r}"


_OWN_HTML: Final = re.compile(r"<br>|</?details>|</?summary>")


def _markdown(content: bytes) -> Iterator[str]:
    text = content.decode()
    yield from _shows(text)
    text = _unfenced(text)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", _OWN_HTML.sub("", text))
    if found := re.search(r"[<>\[\]@$]|https?://|www\.", bare):
        yield f"markup: {bare[max(0, found.start() - 30) : found.end() + 30]!r}"
    for block in re.split(r"\n\n+", text):
        if re.match(r"([-+=]|\d+[.)])", block) or re.match(r"#(?!# (\S+ )?rnnprof)(?!## )", block):
            yield f"a block: {block[:40]!r}"


def _unfenced(text: str) -> str:
    """Without the blocks of code; each ends at a line of its own fence, as CommonMark has it."""
    kept, fence = [], ""
    for line in text.split("\n"):
        if fence:
            if re.fullmatch(f"{fence}`*", line):
                fence = ""
        elif match := re.match(r"(`{3,})sh$", line):
            fence = match[1]
        else:
            kept.append(line)
    assert not fence, "a fence stays open"
    return "\n".join(kept)


TAGS: Final = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "p",
        "h1",
        "h2",
        "h3",
        "div",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "nav",
        "main",
        "section",
        "table",
        "caption",
        "span",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "figure",
        "figcaption",
        "b",
        "svg",
        "g",
        "defs",
        "path",
        "use",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polygon",
        "polyline",
        "text",
        "tspan",
        "clippath",
        "pattern",
        "image",
        "button",
        "fieldset",
        "legend",
        "label",
        "input",
        "pre",
        "code",
        "footer",
        "script",
    ]
)


class _Page(HTMLParser):
    """Gathers what a browser would do more than show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag not in TAGS:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name in ("srcdoc", "formaction", "action"):
                self.found.append(f"<{tag} {name}={value!r}>")
            if name in ("href", "src", "xlink:href") and not str(value).startswith(
                ("#", "data:image/")
            ):
                self.found.append(f"<{tag} {name}={value!r}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data[:40]}-->")


def _html(content: bytes) -> Iterator[str]:
    text = content.decode()
    yield from _shows(text, "\n\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}")
    page = _Page()
    page.feed(text)
    page.close()
    yield from page.found
    if page.scripts != 1:
        yield f"{page.scripts} scripts"


def _failed(content: bytes) -> Iterator[str]:
    yield content.decode(errors="replace")[-300:]


RULES: Final[Mapping[str, Callable[[bytes], Iterator[str]]]] = {
    "text": _text, "colour": _colour, "github": _github, "json": _json, "csv": _csv, "xml": _xml,
    "markdown": _markdown, "html": _html, "failed": _failed,
}  # fmt: skip


# --- the campaign --------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What a campaign has seen.

    Attributes:
        tried: outputs by the class of the text.
        failed: of each class, what failed where.
    """

    tried: Counter[str] = field(default_factory=Counter)
    failed: dict[str, list[str]] = field(default_factory=dict)

    def look_at(self, name: str, outputs: Iterator[Output]) -> None:
        """Judge outputs for a class of text."""
        for output in outputs:
            self.tried[name] += 1
            found = [f"{output.name}: {fault}" for fault in faults(output)]
            if found:
                self.failed.setdefault(name, []).extend(found)

    @property
    def failures(self) -> list[str]:
        """All of them."""
        return [fault for found in self.failed.values() for fault in found]

    def table(self) -> str:
        """A line for each class."""
        head = f"{'class':<20} {'outputs':>8} {'failures':>8}"
        rows = [
            f"{name:<20} {count:>8} {len(self.failed.get(name, [])):>8}"
            for name, count in self.tried.items()
        ]
        return "\n".join([head, *rows])


def all_texts() -> list[str]:
    """Every text, those of 100 kB once."""
    return [text for texts in TEXTS.values() for text in texts]


def cycle_of(texts: Sequence[str]) -> Next:
    """Hands out the texts in turn."""
    endless = itertools.cycle(texts)
    return lambda: next(endless)


def by_class(tally: Tally, names: Sequence[str] = tuple(TEXTS)) -> None:
    """Each class alone, in a built-in cell's run and in a factory's."""
    for name in names:
        for is_factory in (False, True):
            content = hostile_file(cycle_of(TEXTS[name]), is_factory=is_factory)
            tally.look_at(name, outputs_of(content))


def mixed(tally: Tally, count: int, seed: int = 0) -> None:
    """Texts of all classes at random, and two pieced together."""
    order = random.Random(seed)
    short = [text for text in all_texts() if len(text) < 1000]
    for number in range(count):

        def next_text() -> str:
            one, other = order.choice(short), order.choice(short)
            return one if order.random() < 0.5 else one + other

        content = hostile_file(next_text, is_factory=number % 2 == 0)
        tally.look_at("mixed", outputs_of(content))


def every_text_at_once(most: int = 1_000_000) -> bytes:
    """One file that holds every text of at most so many characters."""
    texts = [text for text in all_texts() if len(text) <= most]
    return hostile_file(cycle_of(texts), is_factory=True)


def loads(content: bytes) -> bool:
    """Whether a run file is read at all: one that is refused tests nothing."""
    try:
        return journal.read(content, Path("run.jsonl")) is not None
    except RunFileError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=40, help="mixed files, after each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="also draw and write whole reports")
    arguments = parser.parse_args()
    os.environ.pop("RNNPROF_NO_REPORT", None)
    tally = Tally()
    by_class(tally)
    mixed(tally, arguments.count, arguments.seed)
    if arguments.report:
        for name in TEXTS:
            content = hostile_file(cycle_of(TEXTS[name]), is_factory=True)
            tally.look_at(f"report, {name}"[:20], outputs_of(content, is_report=True))
        tally.look_at("report, all", outputs_of(every_text_at_once(), is_report=True))
    print(tally.table())
    for name, found in tally.failed.items():
        print(f"\n{name}:", *dict.fromkeys(found), sep="\n  ")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
