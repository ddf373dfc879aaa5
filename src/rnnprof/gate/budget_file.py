"""A budget as TOML: what may stand in it, and what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from rnnprof.axes import MAX_AXIS_VALUE, parse_axis
from rnnprof.compare.comparison import MEMORY_GROWTH_BYTES, MEMORY_GROWTH_RATIO
from rnnprof.errors import BadInputError
from rnnprof.gate.budget import (
    MAX_GROWTH_POINTS,
    MAX_NUMBER,
    PEAKS,
    TIME_GROWTH_RATIO,
    VERSION,
    Budget,
    Growth,
    LeastBatch,
    LeastThroughput,
    MostPeak,
    MustFit,
    ordered,
)
from rnnprof.gate.evidence import CONFIRM_STEPS, Required
from rnnprof.runfile.points import Grid, Point
from rnnprof.toml_file import nearest, shown
from rnnprof.units import parse_bytes, parse_size

LEAST_RATE_PER_S: Final = 1e-6
"""A time step in eleven days: a budget that requires less is a slip, and its inverse no time."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_MISSING: Final = object()

T = TypeVar("T")


def parse_budget(table: Mapping[str, Any], name: str, measure_keys: Collection[str]) -> Budget:
    """Read a budget.

    Args:
        table: of a TOML file; the command line reads the keys of its ``[workload]`` itself.
        name: of the file, for messages.
        measure_keys: the options of a measurement that a budget may set, by their names on the
            command line.

    Limits contradict each other where one point (or T) has two of a kind, or where
    ``max-batch`` requires more than ``[measure] at-most`` allows.  Limits at different
    points never do: which of them can be held together is for a measurement to say.

    Raises:
        BadInputError: names the file, the key, what was expected and what to do; entries of a
            list are counted from 1.
    """
    root = _Table(TomlPath(name), table)
    _check_version(root)
    root.allow(
        ("version", "workload", "measure", "fits", "max-batch", "peak", "throughput", "growth")
    )
    measure, required = _measure(root, measure_keys)
    budget = Budget(
        fits=root.entries("fits", _must_fit, lambda limit: limit.point),
        max_batch=root.entries("max-batch", _least_batch, lambda limit: limit.time_steps),
        peak=root.entries("peak", _most_peak, lambda limit: (limit.point, limit.of)),
        throughput=root.entries("throughput", _least_throughput, lambda limit: limit.point),
        growth=_growth(root),
        workload=dict(inner.values if (inner := root.inner("workload")) else {}),
        measure=measure,
        required=required,
    )
    _check_reach(budget, root.place)
    _check_something_required(budget, root.place)
    return budget


@dataclass(frozen=True, slots=True)
class TomlPath:
    """A key of the file, for messages."""

    file: str
    path: str = ""

    def key(self, name: str) -> TomlPath:
        bare = name if _BARE_KEY.fullmatch(name) else shown(name)
        return TomlPath(self.file, f"{self.path}.{bare}" if self.path else bare)

    def entry(self, number: int) -> TomlPath:
        return TomlPath(self.file, f"{self.path}[{number}]")

    def error(self, text: str) -> BadInputError:
        return BadInputError(
            f"{self.file}: {self.path} {text}" if self.path else f"{self.file} {text}"
        )


@dataclass(frozen=True, slots=True)
class _Form(Generic[T]):
    """A kind of value.

    Attributes:
        expected: it in words, with an example.
        read: the value read, or None where it is none of this kind.
    """

    expected: str
    read: Callable[[Any], T | None]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, and where it stands."""

    place: TomlPath
    values: Mapping[str, Any]

    def allow(self, keys: Collection[str]) -> None:
        """See that no other keys are there."""
        for key in self.values:
            if key not in keys:
                raise self.place.key(key).error(f"is no key{nearest(key, keys)}")

    def get(self, key: str, form: _Form[T], default: Any = _MISSING) -> T:
        """The value of *key*; without a default it has to be there."""
        place = self.place.key(key)
        if key not in self.values:
            if default is _MISSING:
                raise place.error(f"is missing: write {form.expected}")
            return default  # type: ignore[no-any-return]
        value = form.read(self.values[key])
        if value is None:
            raise place.error(f"is {shown(self.values[key])}: write {form.expected}")
        return value

    def inner(self, key: str) -> _Table | None:
        """The table under *key*, if there is one."""
        value, place = self.values.get(key), self.place.key(key)
        if value is None and key not in self.values:
            return None
        if not isinstance(value, Mapping):
            raise place.error(f"is {shown(value)}: write it as a table, [{key}]")
        return _Table(place, value)

    def entries(
        self, key: str, read: Callable[[_Table], T], same: Callable[[T], Hashable]
    ) -> tuple[T, ...]:
        """The entries of a list of tables; no two may be of the *same* thing."""
        value, place = self.values.get(key, []), self.place.key(key)
        if not isinstance(value, list):
            raise place.error(f"is {shown(value)}: write each entry under [[{key}]]")
        seen: dict[Hashable, int] = {}
        found = []
        for number, item in enumerate(value, 1):
            at = place.entry(number)
            if not isinstance(item, Mapping):
                raise at.error(f"is {shown(item)}: write each entry under [[{key}]]")
            entry = read(_Table(at, item))
            first = seen.setdefault(same(entry), number)
            if first != number:
                raise at.error(f"names the same as {key}[{first}] does: keep one of the two")
            found.append(entry)
        return tuple(found)


def _check_version(root: _Table) -> None:
    version = root.get("version", _VERSION)
    if version > VERSION:
        raise root.place.key("version").error(
            f"is newer than this rnnprof, which reads version {VERSION}: upgrade rnnprof"
        )


def _check_reach(budget: Budget, place: TomlPath) -> None:
    """See that the largest batch to be tried is not below one that is required."""
    at_most = _whole(budget.measure.get("at-most"))
    for number, limit in enumerate(budget.max_batch, 1):
        if at_most is not None and at_most < limit.at_least:
            entry = place.key("max-batch").entry(number)
            raise entry.error(
                f"requires at least {limit.at_least}, but measure.at-most allows only {at_most}: "
                "raise one or lower the other"
            )


def _check_something_required(budget: Budget, place: TomlPath) -> None:
    limits = (budget.fits, budget.max_batch, budget.peak, budget.throughput)
    if budget.growth is None and not any(limits):
        raise place.error(
            "requires nothing: add [[fits]], [[max-batch]], [[peak]], [[throughput]] or [growth]"
        )


def _must_fit(table: _Table) -> MustFit:
    table.allow(("batch", "time-steps", "headroom"))
    return MustFit(_point(table), table.get("headroom", _HEADROOM, 0.0))


def _least_batch(table: _Table) -> LeastBatch:
    table.allow(("time-steps", "at-least"))
    return LeastBatch(table.get("time-steps", _SIZE), table.get("at-least", _SIZE))


def _most_peak(table: _Table) -> MostPeak:
    table.allow(("batch", "time-steps", "at-most", "of"))
    of = table.get("of", _PEAK, PEAKS[0])
    return MostPeak(_point(table), table.get("at-most", _BYTES), of)


def _least_throughput(table: _Table) -> LeastThroughput:
    table.allow(("batch", "time-steps", "at-least"))
    return LeastThroughput(_point(table), table.get("at-least", _RATE))


def _point(table: _Table) -> Point:
    return Point(table.get("batch", _SIZE), table.get("time-steps", _SIZE))


def _growth(root: _Table) -> Growth | None:
    table = root.inner("growth")
    if table is None:
        return None
    table.allow(("memory", "memory-bytes", "time", "batch", "time-steps"))
    return Growth(
        table.get("memory", _SHARE, MEMORY_GROWTH_RATIO),
        table.get("memory-bytes", _BYTES_OR_NONE, MEMORY_GROWTH_BYTES),
        table.get("time", _TIME_SHARE, TIME_GROWTH_RATIO),
        _growth_points(table),
    )


def _growth_points(table: _Table) -> tuple[Point, ...]:
    """The grid that ``batch`` and ``time_steps`` make; both are there, or neither."""
    if not {"batch", "time-steps"} & set(table.values):
        return ()
    batch, time_steps = (table.get(name, _AXIS) for name in ("batch", "time-steps"))
    if len(batch) * len(time_steps) > MAX_GROWTH_POINTS:
        raise table.place.error(f"makes more than {MAX_GROWTH_POINTS} points: give fewer")
    return ordered(Grid(batch, time_steps).points())


def _measure(root: _Table, keys: Collection[str]) -> tuple[dict[str, Any], Required]:
    """The options as they stand, and what they require of a run that is there already.

    What no option of the command reads is read here, so that no file is written before a key of it
    is refused.
    """
    table = root.inner("measure")
    if table is None:
        return {}, Required()
    table.allow(keys)
    values = dict(table.values)
    if "at-most" in values:
        values["at-most"] = table.get("at-most", _SIZE)
    required = Required(
        device=table.get("device", _NAME, None),
        simulated=table.get("simulate", _NAME, None),
        limit_bytes=table.get("memory-limit", _SIZED, None),
        reserve_bytes=table.get("reserve", _SIZED, None),
        gpu_memory_bytes=table.get("gpu-memory", _SIZED, None),
        confirm_steps=table.get("confirm-steps", _SIZE, CONFIRM_STEPS),
    )
    return values, required


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _sized(value: Any) -> int | None:
    """A size with its unit: of a bare number nobody knows what it counts."""
    try:
        return parse_size(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _whole(value: Any) -> int | None:
    """A whole number above zero; a bool is none."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 1 <= value < MAX_NUMBER else None


def _size(value: Any) -> int | None:
    whole = _whole(value)
    return whole if whole is not None and whole < MAX_AXIS_VALUE else None


def _axis(value: Any) -> tuple[int, ...] | None:
    """``"8,16"``, ``"8:64:x2"`` or a number."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    try:
        return parse_axis(str(value))
    except ValueError:
        return None


def _bytes(value: Any) -> int | None:
    if not isinstance(value, str):
        return _whole(value)
    try:
        return parse_bytes(value)
    except ValueError:
        return None


def _bytes_or_none(value: Any) -> int | None:
    """A size, or 0."""
    is_zero = isinstance(value, int) and not isinstance(value, bool) and value == 0
    return 0 if is_zero else _bytes(value)


def _number(value: Any) -> float | None:
    """A finite number that is not beyond all machines; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # compared before it is converted: TOML's whole numbers may be longer than any float
    return float(value) if -MAX_NUMBER < value < MAX_NUMBER else None


def _rate(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number >= LEAST_RATE_PER_S else None


def _share(value: Any) -> float | None:
    """``5%`` or 0.05."""
    number = _percentage(value) if isinstance(value, str) else _number(value)
    return number if number is not None and 0 <= number < 1 else None


def _percentage(text: str) -> float | None:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return number / 100 if text.endswith("%") else number


def _time_share(value: Any) -> float | None:
    share = _share(value)
    return share if share is not None and share > 0 else None


def _peak_of(value: Any) -> str | None:
    return value if isinstance(value, str) and value in PEAKS else None


_VERSION: Final = _Form(f"version = {VERSION}", _whole)
_SIZE: Final = _Form(f"a whole number from 1 to {MAX_AXIS_VALUE - 1}", _size)
_AXIS: Final = _Form('values or a range, as 32, "8,16" or "8:64:x2"', _axis)
_BYTES: Final = _Form('a size such as "800MiB", or a whole number of bytes, below 8 EiB', _bytes)
_SIZED: Final = _Form('a size with its unit, as "800MiB"', _sized)
_NAME: Final = _Form('a name, as "cpu"', _name)
_BYTES_OR_NONE: Final = _Form('a size such as "2MiB", or 0 for none', _bytes_or_none)
_RATE: Final = _Form("time steps per second, a number from 1e-6 to below 2^63", _rate)
_SHARE: Final = _Form('a share from 0 to below 1, as "0.5%" or 0.005', _share)
_HEADROOM: Final = _Form('a share of the limit from 0 to below 1, as "5%" or 0.05', _share)
_TIME_SHARE: Final = _Form(
    'a share above 0 and below 1, as "5%" or 0.05 (that nothing changed, no measurement shows)',
    _time_share,
)
_PEAK: Final = _Form("one of " + ", ".join(f'"{name}"' for name in PEAKS), _peak_of)
