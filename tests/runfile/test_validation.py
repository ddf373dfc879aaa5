"""Names that this version cannot have written are refused on loading, with the field's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import HEADER, a_request
from rnnprof.defaults import COMMANDS
from rnnprof.errors import RunFileError
from rnnprof.jobs import WORKS
from rnnprof.runfile import journal
from rnnprof.runfile.codec import encode
from rnnprof.runfile.lines import digest
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Settings
from rnnprof.runfile.study import Study
from rnnprof.simulate.description import models
from rnnprof.workload import (
    FactorySource,
    ScriptSource,
    factory_place,
    workload_of,
    workload_of_script,
)

GPU = next(iter(models().values())).as_text()


def lines(**changes: Any) -> bytes:
    """A header and a request of a study, with values changed by their place: ``kind.a.b``."""
    header = journal.to_line(HEADER)
    request = journal.to_line(a_request(Grid((4,), (8,)), Settings(study=Study())))
    records = {"header": json.loads(header), "request": json.loads(request)}
    for place, value in changes.items():
        holder: Any = records
        *way, last = place.split("__")
        for step in way:
            holder = holder[step]
        holder[last] = value
    return b"".join(map(checked, records.values()))


def checked(record: dict[str, Any]) -> bytes:
    del record["checksum"]
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    return body + b',"checksum":"' + digest(body) + b'"}\n'


def factory(reference: str, **args: Any) -> dict[str, Any]:
    return {"reference": reference, "args": args}


def script(target: str, **more: Any) -> dict[str, Any]:
    workload = {**encode(workload_of_script(ScriptSource("t.py", argv=("{batch}",))))}
    return {**workload, "script": {**workload["script"], "target": target, **more}}


def test_the_commands_are_those_that_do_work() -> None:
    assert set(COMMANDS) == set(WORKS)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("request__command", "max-batch; touch /tmp/pwned"),
        ("request__command", "check"),
        ("request__settings__study__task", "adding\n"),
        ("request__settings__study__rate_rule", "--overwrite"),
        ("header__workload__cell", None),
        ("header__workload__optimizer", "adam; touch x"),
        ("header__workload__factory", factory("a/b.py:make")),
        ("header__workload__factory", factory("train.py:make()")),
        ("header__workload__factory", factory("train.py")),
        ("header__workload__factory", factory("a\0.py:make")),
        ("header__workload__factory", factory("$(touch x):make")),
        ("header__workload__factory", factory("t.py:make", a=json.loads("[" * 70 + "]" * 70))),
        ("header__workload__factory", factory("t.py:make", a=10**400)),
        ("header__workload", script("a/b.py")),
        ("header__workload", script("..")),
        ("header__workload", script("a\0.py")),
        ("header__workload", script("t.py", is_module=True) | {"cell": "lstm"}),
        ("header__workload", script("a-b", is_module=True)),
        ("header__workload", script("t.py") | {"compile": True}),
        ("header__workload", script("t.py") | {"factory": factory("t.py:make")}),
        ("header__workload", script("t.py", env={"A B": "1"})),
        ("header__workload", script("t.py", env={"": "1"})),
        ("header__workload", script("t.py", assignments={"a-b": "1"})),
        ("header__workload", script("t.py", assignments={"a.": "1"})),
        ("header__workload", script("t.py", argv=["x" * 70_000])),
        ("header__workload", script("t.py", argv=[3])),
        ("header__environment__device", "cuda:0; touch x"),
        ("header__environment__device", "mps"),
        ("header__environment__device", 3),
        ("header__environment__simulated", "h100"),
        ("header__environment__simulated", GPU.replace("uuid=GPU-", "uuid=GPU-0")),
        ("header__environment__simulated", "\ud800"),
        ("header__environment__more", json.loads("[" * 70 + "]" * 70)),
        ("header__environment__more", -(10**400)),
    ],
)
def test_what_is_not_known_is_refused(place: str, value: Any) -> None:
    with pytest.raises(RunFileError) as refused:
        journal.read(lines(**{place: value}), Path("run.jsonl"))
    first, *_, last = place.split("__")
    assert first in str(refused.value)
    assert last in str(refused.value) or last == "more" or last == "cell"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("request__command", "fits"),
        ("request__settings__study__task", None),
        ("header__workload__factory", factory("it's $(a) \n\u202e.py:make", x=[{"a": [1.5]}])),
        ("header__workload__factory", factory("package.module:make")),
        ("header__workload", script("it's $(a) \n\u202e.py", argv=["\u202e", "", "a b"])),
        ("header__workload", script("package.module", is_module=True)),
        ("header__workload", script("t", env={"_A1": ""}, assignments={"π": "", "a.b.C": "1"})),
        ("header__environment__device", "cuda:12"),
        ("header__environment__simulated", GPU),
    ],
)
def test_what_is_known_is_read(place: str, value: Any) -> None:
    assert journal.read(lines(**{place: value}), Path("run.jsonl")) is not None


@pytest.mark.parametrize(
    "name", ["train.py", "it's.py", "-x.py", "a b\n.py", ".py", "深.py", "a:b.py"]
)
def test_what_a_command_line_takes_is_read_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text("def make(batch, time_steps, device): ...\n")
    monkeypatch.chdir(tmp_path)
    _, reference = factory_place(f"{name}:make")
    header = journal.to_line(
        HEADER.__class__(2, "0", workload_of(FactorySource(reference)), {}, None)
    )
    run = journal.read(header, Path("run.jsonl"))
    assert run is not None
    assert run.header.workload.factory == FactorySource(reference)
