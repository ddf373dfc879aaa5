"""Merge run files of one run that were written on several machines or at several times.

Each invocation has one writer, which only appends: if two files hold the same invocation, the
shorter one is the beginning of the longer one.  So a merge is a union: it is associative and
idempotent, and the order of the files does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from rnnprof.errors import RunFileError
from rnnprof.runfile.differences import differences
from rnnprof.runfile.records import Run

PARTS: Final = tuple(each.name for each in fields(Run) if each.name not in ("header", "path"))
"""The fields of a run that hold records; each record has the id of its invocation."""

Invocations = Mapping[str, tuple[Any, ...]]
"""The records of one part by invocation, in the order in which they were written."""


def merge(first: Run, *others: Run) -> Run:
    """The union of files with equal headers, with the invocations in order of their start.

    Raises:
        RunFileError: headers differ, or an invocation has different records in two files.
    """
    merged = replace(first, path=None)
    for other in others:
        merged = _union(merged, other, first.path)
    begun = {each.request: each.at_utc for each in merged.requests}
    order = sorted(begun, key=lambda request: (begun[request], request))
    parts: dict[str, Any] = {
        name: tuple(record for request in order for record in records.get(request, ()))
        for name, records in ((name, _by_invocation(getattr(merged, name))) for name in PARTS)
    }
    return replace(merged, **parts)


def _union(first: Run, second: Run, path: str | None) -> Run:
    if first.header != second.header:
        places = ("in the first", "in the second")
        difference = "; ".join(differences(first.header, second.header, places))
        raise RunFileError(f"{second.path} is not the same run as {path}: {difference}")
    parts: dict[str, Any] = {}
    for name in PARTS:
        left, right = (_by_invocation(getattr(run, name)) for run in (first, second))
        joined = {key: _longer(left, right, key, second.path) for key in {**left, **right}}
        parts[name] = tuple(record for records in joined.values() for record in records)
    return replace(first, **parts)


def _longer(left: Invocations, right: Invocations, key: str, path: str | None) -> tuple[Any, ...]:
    """The longer record list of an invocation in two files; the shorter must be its beginning."""
    fewer, more = sorted((left.get(key, ()), right.get(key, ())), key=len)
    if more[: len(fewer)] != fewer:
        raise RunFileError(
            f"{path}: invocation {key} has different records in another of the files: one of them "
            "is not as rnnprof wrote it"
        )
    return more


def _by_invocation(records: Iterable[Any]) -> Invocations:
    found = defaultdict(list)
    for record in records:
        found[record.request].append(record)
    return {request: tuple(group) for request, group in found.items()}
