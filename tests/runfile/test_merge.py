"""Merging is a union: whatever the order and the grouping, and however often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import AT_UTC, HEADER, MIB, a_fit
from rnnprof.errors import RunFileError
from rnnprof.runfile.journal import load, run_of, to_line
from rnnprof.runfile.merge import merge
from rnnprof.runfile.points import Grid, Point
from rnnprof.runfile.records import Finished, Host, Record, Request, Run, Settings

PATH = Path("run.jsonl")
INVOCATIONS = tuple("abcd")


def records_of(request: str) -> list[Record]:
    """A whole invocation, in the order in which it is written."""
    minute = ord(request)
    fits = [
        a_fit(Point(batch, 16), request=request, attempt=f"{request}{batch}") for batch in (1, 2, 3)
    ]
    grid = Grid((1, 2, 3), (16,))
    return [
        Request(request, "profile", grid, Settings(), AT_UTC.replace("00Z", f"{minute % 60:02}Z")),
        Host(request, 64 * MIB, "0.1.0", {"device_uuid": f"GPU-{request}"}),
        *fits,
        Finished(request, AT_UTC, 1.0),
    ]


def file_of(lengths: dict[str, int]) -> Run:
    """A run file that has the first so many records of each invocation."""
    parts = [record for name, count in lengths.items() for record in records_of(name)[:count]]
    run = run_of([HEADER, *parts], PATH)
    assert run is not None
    return replace(run, path=None)


FILES = st.dictionaries(st.sampled_from(INVOCATIONS), st.integers(1, 6)).map(file_of)


@given(FILES, FILES)
def test_the_order_of_the_files_does_not_matter(first: Run, second: Run) -> None:
    assert merge(first, second) == merge(second, first)


@given(FILES, FILES, FILES)
def test_nor_does_their_grouping(first: Run, second: Run, third: Run) -> None:
    whole = merge(first, second, third)
    assert merge(merge(first, second), third) == merge(first, merge(second, third)) == whole


@given(FILES, FILES)
def test_a_file_that_is_merged_already_adds_nothing(first: Run, second: Run) -> None:
    merged = merge(first, second)
    assert merge(merged, second) == merge(merged, first) == merge(merged, merged) == merged


@given(st.lists(st.dictionaries(st.sampled_from(INVOCATIONS), st.integers(1, 6)), min_size=1))
def test_of_each_invocation_the_most_is_kept(lengths: list[dict[str, int]]) -> None:
    longest = {
        name: max(each.get(name, 0) for each in lengths)
        for name in INVOCATIONS
        if any(name in each for each in lengths)
    }
    merged = merge(*map(file_of, lengths))
    assert merged == file_of(dict(sorted(longest.items())))


def test_a_merged_run_is_a_run_file(tmp_path: Path) -> None:
    merged = merge(file_of({"a": 6}), file_of({"b": 5}))
    parts = (merged.requests, merged.hosts, merged.observations, merged.finished)
    lines = [to_line(record) for part in parts for record in part]
    path = tmp_path / "merged.jsonl"
    path.write_bytes(to_line(merged.header) + b"".join(lines))
    assert replace(load(path), path=None) == merged
    assert merged.limit_bytes == 64 * MIB
    assert not merged.is_finished, "b's invocation was stopped"


def test_files_of_other_runs_do_not_merge() -> None:
    other = replace(
        file_of({"a": 6}), header=replace(HEADER, limit_bytes=64 * MIB + 1), path="other.jsonl"
    )
    with pytest.raises(RunFileError, match=r"other.jsonl is not the same run as .*limit_bytes"):
        merge(file_of({"a": 6}), other)


def test_another_source_does_not_merge() -> None:
    other = replace(file_of({"a": 6}), header=replace(HEADER, sources={"model.py": "ff"}))
    with pytest.raises(RunFileError, match=r"model\.py is loaded only in the second"):
        merge(file_of({"a": 6}), other)


def test_an_invocation_that_goes_on_differently_is_refused() -> None:
    first, second = file_of({"a": 5}), file_of({"a": 5})
    *same, last = second.observations
    second = replace(second, observations=(*same, replace(last, wall_s=99.0)))
    with pytest.raises(RunFileError, match="invocation a has different records"):
        merge(first, second)
