"""Bounds of a record that its types do not show, and checks of records against each other.

What the command line refuses cannot stand in a file either, so that no reader of a run has to
expect an axis of a billion values or a nesting of a million levels.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from rnnprof.axes import MAX_AXIS_VALUES
from rnnprof.errors import RunFileError
from rnnprof.ranges import MOST_TEXT
from rnnprof.runfile.codec import DecodeError, encode
from rnnprof.runfile.observations import Calibration, Fit, Gradient
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import SCHEMA, Header, Host, Request, Run
from rnnprof.workload import Workload

MOST_DEPTH: Final = 50
"""Levels of lists and tables in a value of any kind, such as an argument of a factory."""

MOST_DIGITS: Final = 300
"""Digits of a whole number in a value of any kind: a float holds it, and Python prints it."""

MOST_LAYERS: Final = 1024
"""As the command line."""

MOST_POINTS: Final = 100_000
"""Pairs of a batch and a length of a run: at a second each a sweep takes a day."""


def check_record(record: Any, name: str) -> None:
    """Check what the types of a record do not: its axes, and its values of any kind.

    Raises:
        DecodeError: names the field.
    """
    if isinstance(record, Request):
        _check_axis(record.grid.batch, f"{name}.grid.batch")
        _check_axis(record.grid.time_steps, f"{name}.grid.time_steps")
        _check_axis(record.settings.lengths, f"{name}.settings.lengths")
        check_points([record.grid], name)
    if isinstance(record, Gradient):
        _check_squares(record, name)
    if isinstance(record, Header):
        if record.schema != SCHEMA:
            raise DecodeError(f"{name}.schema: {record.schema} is no version of the format")
        _check_sizes(record.workload, f"{name}.workload")
    for field, value in _of_any_kind(record):
        _check_value(value, f"{name}.{field}")


def check_points(grids: Iterable[Grid], name: str) -> None:
    """Check how many points grids have together.

    Raises:
        DecodeError: they are too many.
    """
    batches: set[int] = set()
    lengths: set[int] = set()
    for grid in grids:
        batches.update(grid.batch)
        lengths.update(grid.time_steps)
    points = len(batches) * len(lengths)
    if points > MOST_POINTS:
        raise DecodeError(f"{name}.grid: it has {points} points, and a run at most {MOST_POINTS}")
    if len(lengths) > MAX_AXIS_VALUES or len(batches) > MAX_AXIS_VALUES:
        raise DecodeError(f"{name}.grid: an axis has more than {MAX_AXIS_VALUES} values")


def _check_axis(values: tuple[int, ...], name: str) -> None:
    if len(values) > MAX_AXIS_VALUES:
        raise DecodeError(f"{name}: it has more than {MAX_AXIS_VALUES} values")
    if any(right <= left for left, right in pairwise(values)):
        raise DecodeError(f"{name}: its values are not in ascending order")


def _check_squares(record: Gradient, name: str) -> None:
    """Check that the noise scale has pairs of a small and a larger batch."""
    if len(record.small_squared) != len(record.big_squared):
        raise DecodeError(f"{name}.big_squared: it has not as many draws as small_squared")
    small, big = record.small_batch, record.big_batch
    if record.small_squared and small is not None and big is not None and not 0 < small < big:
        raise DecodeError(f"{name}.big_batch: it is not larger than small_batch")


def _check_sizes(workload: Workload, name: str) -> None:
    if workload.factory is not None:
        return _check_value(workload.factory.reference, f"{name}.factory.reference")
    if workload.script is not None:
        return _check_value(encode(workload.script), f"{name}.script")
    if min(workload.input_size, workload.hidden_size, workload.layers) < 1:
        raise DecodeError(f"{name}: a built-in cell has a size of 0")
    if workload.layers > MOST_LAYERS:
        raise DecodeError(f"{name}.layers: it has more than {MOST_LAYERS}")
    return None


def _of_any_kind(record: Any) -> Iterable[tuple[str, Any]]:
    """The fields of a record that can hold any JSON value."""
    if isinstance(record, Header):
        yield "environment", record.environment
        if record.workload.factory is not None:
            yield "workload.factory.args", record.workload.factory.args
    elif isinstance(record, Host):
        yield "facts", record.facts
    elif isinstance(record, Calibration):
        yield "parameters", record.parameters


def _check_value(value: Any, name: str, depth: int = 0) -> None:
    if depth > MOST_DEPTH:
        raise DecodeError(f"{name}: it is nested more than {MOST_DEPTH} deep")
    if isinstance(value, str) and len(value) > MOST_TEXT:
        raise DecodeError(f"{name}: a text has more than {MOST_TEXT} characters")
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        raise DecodeError(f"{name}: a number has more than {MOST_DIGITS} digits")
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise DecodeError(f"{name}: a number is not finite")
    if isinstance(value, (list, tuple)):
        for each in value:
            _check_value(each, name, depth + 1)
    elif isinstance(value, dict):
        for key, each in value.items():
            _check_value(key, name, depth + 1)
            _check_value(each, name, depth + 1)


def check_run(run: Run, path: object) -> None:
    """Check the records of a run against each other.

    Raises:
        RunFileError: the file is not as rnnprof wrote it.
    """
    for check in (_check_hosts, _check_limits):
        found = check(run)
        if found:
            raise RunFileError(f"{path}: {found}: the file is not as rnnprof wrote it")
    try:
        check_points((each.grid for each in run.requests), "request")
    except DecodeError as error:
        raise RunFileError(f"{path}: {error}") from None


def _check_hosts(run: Run) -> str | None:
    """Whether an invocation did not use the limit that was requested in bytes."""
    asked_bytes = run.header.limit_bytes
    for host in run.hosts:
        if asked_bytes is not None and host.limit_bytes != asked_bytes:
            return (
                f"the limit is {asked_bytes} bytes, but invocation {host.request} had "
                f"{host.limit_bytes}"
            )
    return None


def _check_limits(run: Run) -> str | None:
    """Whether a fit pass ran under another limit than that of its run, less the reserve of its
    request: it proves nothing about this run.
    """
    reserves = {each.request: each.settings.reserve_bytes for each in run.requests}
    limits = {each.request: each.limit_bytes for each in run.hosts}
    for fit in run.observations:
        if not isinstance(fit, Fit):
            continue
        limit_bytes = limits.get(fit.request, run.limit_bytes) - reserves.get(fit.request, 0)
        if fit.limit_bytes != limit_bytes:
            return (
                f"the fit pass {fit.attempt} at {fit.point} ran under a limit of "
                f"{fit.limit_bytes} bytes, but the limit of the run is {limit_bytes}"
            )
    return None
