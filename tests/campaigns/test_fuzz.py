"""Random and mutated input: command lines and run files are refused in words or understood."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnprof.cli.profile as profile_cli
from campaigns.campaign import in_process
from conftest import FACTORIES
from fakes import FakeProbe, run_into
from report_samples import report_from
from rnnprof.cli.main import run
from rnnprof.engine.listener import Listener
from rnnprof.engine.order import Order
from rnnprof.errors import RunFileError
from rnnprof.points.fold import anchor_drift, fold_run
from rnnprof.report.export.document import document
from rnnprof.report.text.table import table
from rnnprof.runfile import journal
from rnnprof.runfile.lines import digest
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Run

FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

GOOD_CODES = {0, 2, 4, 5}

# ------------------------------------------------------------------------------ command lines

PATH = Path("anywhere/run.jsonl")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A run as the engine writes it, with an out-of-memory and implied points."""
    path = tmp_path_factory.mktemp("fuzz") / "run.jsonl"
    run_into(path, FakeProbe(limit_bytes=32 << 20), Grid((4, 512), (16, 128)))
    return path.read_bytes()


@pytest.fixture
def stubbed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, finished: bytes
) -> Iterator[list[Order]]:
    """``profile`` without workers: what was ordered is kept, and a run of before is returned."""
    orders: list[Order] = []
    answer = journal.read(finished, tmp_path / "charts" / "run.jsonl")
    assert answer is not None

    def profile(order: Order, _listener: Listener) -> Run:
        orders[:] = [order]  # the last alone: hypothesis prints the list
        return answer

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rnnprof.jobs.run_order", profile)
    monkeypatch.setattr(profile_cli, "_write_report", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    yield orders
    assert [path.name for path in tmp_path.iterdir()] == [], "a command line left a file behind"


def option_names() -> list[str]:
    return sorted({name for p in profile_cli.command.params for name in p.opts if name[0] == "-"})


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.sampled_from(["0", "-0", "1e999", "0x10", "1_000", "٣", "¼", "1e5", "", " 8 ", "+8"]),
)
SIZES = st.builds(
    str.__add__, NUMBERS, st.sampled_from(["", "B", "KiB", "MiB", "GiB", "TiB", "GB", "%", "i"])
)
AXES = st.lists(
    st.one_of(
        NUMBERS,
        st.builds(
            lambda *parts: "{}:{}:{}{}".format(*parts),
            NUMBERS, NUMBERS, st.sampled_from(["x", "+", "-", "*", ""]), NUMBERS,
        ),
    ),
    max_size=3,
).map(",".join)  # fmt: skip
WORDS = st.sampled_from([
    "lstm", "gru", "fused", "native", "loop", "fp32", "bf16", "adam", "none", "train", "inference",
    "auto", "cpu", "cuda", "cuda:0", "GPU-1", "run.jsonl", "a/b.jsonl", "/dev/null", "..", "~", "-",
    f"{FACTORIES}:make", f"{FACTORIES}:", "no.such:make", ":", "a:b:c", "k=1", "k=[1", "k=NaN",
    "k=" + "[" * 5000, "k=1" + "0" * 5000, "=", "k", "batch=1", "k={}", "k=\N{BELL}",
    "\udc80.jsonl", "\N{SKULL}.jsonl", "a" * 300 + ".jsonl", "\n.jsonl",
])  # fmt: skip
VALUES = st.one_of(
    NUMBERS, SIZES, AXES, WORDS, st.text(st.characters(exclude_characters="\0"), max_size=12)
)
"""Without NUL, which no command line can hold."""
GOOD_LINES = [
    ["--batch", "8:64:x2", "--time-steps", "16,32", "--memory-limit", "1GiB", "--seed", "3"],
    ["--cell", "gru", "--hidden-size", "64", "--layers", "2", "-o", "x.jsonl", "--json", "-q"],
    ["--factory", f"{FACTORIES}:make", "--factory-arg", "fault=oom", "--timeout", "3", "-vv"],
    ["--processes", "3", "--point-seconds", "0.5", "--extend", "--no-prune", "--report", "charts"],
]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Options with values at random, or a good line in which words are changed."""
    if draw(st.booleans()):
        pairs = st.tuples(st.sampled_from(option_names()), VALUES)
        words = [word for pair in draw(st.lists(pairs, max_size=5)) for word in pair]
    else:
        words = list(draw(st.sampled_from(GOOD_LINES)))
    for _ in range(draw(st.integers(0, 2))):
        if words:
            at = draw(st.integers(0, len(words) - 1))
            change = draw(st.sampled_from(["value", "cut", "twice", "letter"]))
            words[at : at + 1] = {
                "value": lambda at=at: [draw(VALUES)],
                "cut": list,
                "twice": lambda at=at: [words[at]] * 2,
                "letter": lambda at=at: [words[at][1:]],
            }[change]()
    return [draw(st.sampled_from(["profile"] * 9 + ["profil", "--version"])), *words]


def as_text(words: list[str]) -> tuple[int, str]:
    """The exit code of a command line, and what it says on a stderr like Python's own."""
    code, _, stderr = in_process(words)
    return code, stderr.decode()


@FUZZ
@given(words=command_lines())
def test_any_command_line_is_understood_or_refused(words: list[str], stubbed: list[Order]) -> None:
    code, text = as_text(words)
    assert code in GOOD_CODES, text
    assert "Traceback" not in text
    if code == 2:
        assert text.strip(), "refused without a word"


KEYS = st.one_of(
    st.sampled_from([name[2:] for name in option_names() if name.startswith("--")]),
    st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=8),
)
TOML_VALUES = st.one_of(
    VALUES,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(VALUES, max_size=2),
    st.dictionaries(st.text(max_size=3), VALUES, max_size=2),
)


@pytest.mark.parametrize("line", ['batch = ["3"]', "extend = 0", "output = 3"])
def test_a_configured_value_of_the_wrong_kind(line: str, stubbed: list[Order]) -> None:
    file = Path("rnnprof.toml")
    file.write_text(line)
    code = run(["profile"])
    file.unlink()
    assert code in GOOD_CODES
    assert code == 2 or isinstance(stubbed[-1].grid.batch[0], int)


@FUZZ
@given(key=KEYS, value=TOML_VALUES)
def test_any_configuration_is_understood_or_refused(
    key: str, value: Any, stubbed: list[Order]
) -> None:
    file = Path("rnnprof.toml")
    try:
        file.write_text(f"{json.dumps(key)} = {toml(value)}\n")
        code, text = as_text(["profile"])
    except UnicodeEncodeError:  # a lone surrogate: no text file holds it
        return
    finally:
        file.unlink(missing_ok=True)
    assert code in GOOD_CODES, text
    assert "Traceback" not in text


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


# ---------------------------------------------------------------------------------- run files

ODD_VALUES: list[Any] = [
    None, True, 0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 0.0, -0.5, 1e308, 5e-324, float("nan"),
    float("inf"), "", "a", "\udc80", "\x1b[2J", "x" * 3000, [], [0], [0.0], [1e308, 5e-324], {},
    {"a": float("nan")}, {"": {}}, "measured", "oom", "anchor", "fit",
]  # fmt: skip


def checked(record: dict[str, Any]) -> bytes:
    """A line as a faulty writer with a good checksum would leave it."""
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    return body + b',"checksum":"' + digest(body) + b'"}'


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every field of a record, as the way to it."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:3]):
            found += places(item, (*path, index))
    return found


def change_field(draw: st.DrawFn, line: bytes) -> bytes:
    try:
        record = json.loads(line)
        del record["checksum"]
    except (ValueError, LookupError, TypeError):  # it is damaged already
        return line
    *way, last = draw(st.sampled_from(places(record)))
    holder = record
    for step in way:
        holder = holder[step]
    if draw(st.booleans()) or not isinstance(holder, dict):
        holder[last] = draw(st.sampled_from(ODD_VALUES))
    else:
        del holder[last]
    return checked(record)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A run file to which one or two things have happened."""
    for _ in range(draw(st.integers(1, 2))):
        lines = content.split(b"\n")
        at, to = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        match draw(st.sampled_from(["field"] * 6 + ["byte", "swap", "cut", "double", "drop"])):
            case "field" if lines[at].endswith(b'"}'):
                lines[at] = change_field(draw, lines[at])
                content = b"\n".join(lines)
            case "byte" if content:
                place = draw(st.integers(0, len(content) - 1))
                content = content[:place] + draw(st.binary(max_size=2)) + content[place + 1 :]
            case "swap":
                lines[at], lines[to] = lines[to], lines[at]
                content = b"\n".join(lines)
            case "cut":
                content = content[: draw(st.integers(0, len(content)))]
            case "double":
                content = b"\n".join([*lines[:at], lines[at], *lines[at:]])
            case "drop":
                content = b"\n".join(lines[:at] + lines[at + 1 :])
            case _:
                pass
    return content


@FUZZ
@given(data=st.data())
def test_any_damage_to_a_run_file_is_told_or_harmless(data: st.DataObject, finished: bytes) -> None:
    content = data.draw(damaged(finished))
    try:
        found = journal.read(content, PATH)
    except RunFileError:
        return
    if found is not None:
        answer(found)


def one_of_each_kind(content: bytes) -> Iterator[tuple[list[bytes], int, dict[str, Any]]]:
    """The file's lines, and the place and content of the first record of each kind and outcome."""
    lines, seen = content.splitlines(), set()
    for index, line in enumerate(lines):
        record = json.loads(line)
        del record["checksum"]
        kind = (record["kind"], record.get("outcome"))
        if kind not in seen:
            seen.add(kind)
            yield lines, index, record


def test_each_field_with_each_odd_value_is_told_or_harmless(finished: bytes) -> None:
    read = refused = 0
    for lines, index, record in one_of_each_kind(finished):
        for number, way in enumerate(places(record)):
            for odd in ODD_VALUES[number % 2 :: 2]:
                line = checked(changed(record, way, odd))
                try:
                    found = journal.read(
                        b"\n".join([*lines[:index], line, *lines[index + 1 :], b""]), PATH
                    )
                except RunFileError:
                    refused += 1
                    continue
                assert found is not None
                answer(found)
                read += 1
    assert read > 500, "the changed fields did not reach the answer"
    assert refused > 500


def changed(record: dict[str, Any], way: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of *record* with another value in one place."""
    copy = json.loads(json.dumps(record))
    holder = copy
    for step in way[:-1]:
        holder = holder[step]
    holder[way[-1]] = value
    assert isinstance(copy, dict)
    return copy


def answer(found: Run) -> None:
    """All that ``profile`` makes of a run."""
    measurements = fold_run(found)
    anchor_drift(found)
    click.unstyle(table(report_from((found, measurements)), colour=True))
    json.dumps(document(report_from((found, measurements))), allow_nan=False).encode()


@FUZZ
@given(
    content=st.one_of(
        st.binary(max_size=200), st.text(max_size=80).map(lambda t: t.encode(errors="replace"))
    )
)
def test_any_file_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "run.jsonl"
        path.write_bytes(content)
        with pytest.raises(RunFileError):
            journal.load(path)
