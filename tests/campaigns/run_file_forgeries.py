"""Run files under checksums that are right: absurd values, and records that are rearranged."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

from campaigns.run_file_trials import (
    Trial,
    Trials,
    bases,
    signed,
    what_commands,
)
from rnnprof.runfile.lines import digest

MARK: Final = "@absurd@"

ABSURD: Final = {
    "null": "null", "true": "true", "0": "0", "-1": "-1", "1": "1", "2": "2", "1000": "1000",
    "2^31-1": str((1 << 31) - 1), "2^31": str(1 << 31), "2^53": str(1 << 53),
    "2^63-1": str((1 << 63) - 1), "2^63": str(1 << 63), "10^30": str(10**30),
    "-2^63": str(-(1 << 63)), "5000 digits": "1" * 5000, "0.5": "0.5", "-0.5": "-0.5",
    "1e-300": "1e-300", "1e18": "1e18", "1e308": "1e308", "1e999": "1e999", "NaN": "NaN",
    "-Infinity": "-Infinity", "no text": '""', "text": '"x"', "long text": json.dumps("x" * 60_000),
    "longer text": json.dumps("x " * 500_000), "control": json.dumps("a\x1b[31m\r\nb\0\u202e"),
    "surrogate": '"\\ud800"', "markup": json.dumps("</script><b>|`$x$%s{x}"), "[]": "[]",
    "{}": "{}", "[null]": "[null]", "nested 40": "[" * 40 + "]" * 40,
    "nested 1000": "[" * 1000 + "]" * 1000, "nested objects": '{"a":' * 1000 + "1" + "}" * 1000,
    "many": "[" + ",".join(map(str, range(1, 1001))) + "]",
    "too many": "[" + ",".join(map(str, range(1, 100_001))) + "]",
    "same": "[" + ",".join(["1"] * 5000) + "]", "many texts": json.dumps(["x"] * 5000),
    "descending": "[3,2,1]", "zeros": "[0,0]", "huge": "[1,2147483647]",
    "many keys": json.dumps({f"k{n}": n for n in range(5000)}),
}  # fmt: skip


def forgeries(trials: Trials) -> Iterator[Trial]:
    """One absurd value under a checksum that is right, in any field of any record."""
    originals = bases()
    places = [
        (name, number, path)
        for name, content in originals.items()
        for number, body in _longest(content)
        for path in _paths(body)
    ]
    tried = [(*place, value) for place, value in itertools.product(places, ABSURD)]
    trials.rng.shuffle(tried)
    for number, (name, line, path, value) in enumerate(tried[: trials.count]):
        trials.clear()
        lines = originals[name].splitlines(keepends=True)
        lines[line] = _forged(json.loads(lines[line]), path, ABSURD[value])
        label = f"{name} line {line + 1} {'.'.join(map(str, path))} = {value}"
        yield label, what_commands(trials, b"".join(lines), originals[name], number)


def rearranged(trials: Trials) -> Iterator[Trial]:
    """Records that are lost, doubled, out of order, of another run, or of no invocation."""
    originals = bases()
    names = sorted(originals)
    for number in range(trials.count):
        trials.clear()
        name = trials.rng.choice(names)
        lines = originals[name].splitlines(keepends=True)
        labels = []
        for _ in range(trials.rng.randint(1, 4)):
            change = trials.rng.choice(REARRANGEMENTS)
            labels.append(change.__name__.strip("_"))
            change(lines, trials.rng, originals[trials.rng.choice(names)].splitlines(True))
        label = f"{name} {number}: {', '.join(labels)}"
        yield label, what_commands(trials, b"".join(lines), originals[name], number)


def _line(lines: list[bytes], rng: random.Random) -> int:
    """A line behind the header."""
    return rng.randrange(1, len(lines))


def _drop(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    first = _line(lines, rng)
    if len(lines) > 8:
        del lines[first : first + rng.choice((1, 1, 3))]


def _double(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    lines.insert(_line(lines, rng), lines[_line(lines, rng)])


def _swap(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    one, other = _line(lines, rng), _line(lines, rng)
    lines[one], lines[other] = lines[other], lines[one]


def _from_another(lines: list[bytes], rng: random.Random, others: list[bytes]) -> None:
    lines.insert(_line(lines, rng), others[_line(others, rng)])


def _header_again(lines: list[bytes], rng: random.Random, others: list[bytes]) -> None:
    lines.insert(_line(lines, rng), others[0])


def _as_another(name: str) -> Callable[[list[bytes], random.Random, list[bytes]], None]:
    """Give a record the value that another one has, or one that none has."""

    def change(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
        bodies = [json.loads(line) for line in lines]
        having = [number for number, body in enumerate(bodies) if name in body]
        if having:
            number = rng.choice(having)
            value = rng.choice([bodies[each][name] for each in having])
            body = bodies[number] | {name: rng.choice((value, type(value)("7")))}
            lines[number] = signed(json.dumps(body, separators=(",", ":")))

    change.__name__ = name
    return change


def _wide_grid(lines: list[bytes], rng: random.Random, _: list[bytes]) -> None:
    for number, line in enumerate(lines):
        body = json.loads(line)
        if body["kind"] == "request":
            body["grid"][rng.choice(("batch", "time_steps"))] = list(range(1, 301))
            lines[number] = signed(json.dumps(body, separators=(",", ":")))
            return


REARRANGEMENTS: Final = (
    _drop, _double, _swap, _from_another, _header_again, _wide_grid,
    *map(_as_another, ("request", "attempt", "batch", "time_steps", "role", "outcome", "worker",
                       "process_index", "limit_bytes", "at_utc", "status", "observes", "wall_s")),
)  # fmt: skip


def _longest(content: bytes) -> list[tuple[int, Any]]:
    """The longest record of each kind, with its line."""
    found: dict[str, tuple[int, int, Any]] = {}
    for number, line in enumerate(content.splitlines()):
        body = json.loads(line)
        if body["kind"] not in found or len(line) > found[body["kind"]][1]:
            found[body["kind"]] = (number, len(line), body)
    return [(number, body) for number, _, body in found.values()]


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a record, of lists the first item's."""
    if at not in ((), ("checksum",)):
        yield at
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(each, (*at, key))
    elif isinstance(value, list) and value:
        yield from _paths(value[0], (*at, 0))


def _forged(body: Any, path: tuple[Any, ...], value: str) -> bytes:
    """The record with JSON text in a place, and its checksum."""
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = MARK
    body.pop("checksum")
    text = json.dumps(body, separators=(",", ":")).replace(json.dumps(MARK), value)
    content = text[:-1].encode()
    return content + b',"checksum":"' + digest(content) + b'"}\n'
