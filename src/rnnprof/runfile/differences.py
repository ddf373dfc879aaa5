"""How the identities of two run files differ, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rnnprof.runfile.codec import encode
from rnnprof.runfile.records import Header
from rnnprof.workload import differing_words

_DERIVED: Final = frozenset({"run_id"})


def differences(
    one: Header, other: Header, places: tuple[str, str] = ("in the file", "now")
) -> list[str]:
    """One text for each field of the identity in which two headers differ.

    Args:
        places: how the texts call the two headers.
    """
    sources = _changed_sources(one.sources, other.sources, places)
    encoded = [{**encode(each), "sources": {}} for each in (one, other)]
    if _kind(one) != _kind(other):
        for each, header in zip(encoded, (one, other), strict=True):
            each["workload"] = header.workload.describe()
    left, right = map(_flat, encoded)
    named = dict.fromkeys([*left, *right])
    differing = [
        name
        for name in named
        if _stated(left.get(name)) != _stated(right.get(name)) and name not in _DERIVED
    ]
    return [*(_text(name, left.get(name), right.get(name), places) for name in differing), *sources]


def _kind(header: Header) -> str:
    """What is trained: where that differs, all else of the workload does."""
    workload = header.workload
    return "cell" if workload.is_built_in else "script" if workload.script else "factory"


def _text(name: str, left: Any, right: Any, places: tuple[str, str]) -> str:
    """How one field differs; of a command line only the words that do."""
    name = name.removeprefix("environment.")
    shown = repr(left), repr(right)
    if name == "workload.script.argv":
        name, shown = "the script's words", differing_words(left or (), right or ())
    elif name.startswith("workload.script."):
        part, _, key = name.removeprefix("workload.script.").partition(".")
        flag = {"assignments": "--set", "target": "the script", "is_module": "-m"}
        name = " ".join(filter(None, (flag.get(part, f"--{part}"), key)))
    return f"{name}: {shown[0]} {places[0]}, {shown[1]} {places[1]}"


def _stated(value: Any) -> Any:
    """None for an empty list, which says no more than a field that is not there."""
    return None if isinstance(value, (list, tuple)) and not value else value


def _changed_sources(
    one: Mapping[str, str], other: Mapping[str, str], places: tuple[str, str]
) -> Iterator[str]:
    """Each of the user's files that differs, without digests, which do not help a reader."""
    for name in sorted({*one, *other}):
        if name not in other:
            yield f"{name} is loaded only {places[0]}"
        elif name not in one:
            yield f"{name} is loaded only {places[1]}"
        elif one[name] != other[name]:
            yield f"{name} has changed"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else key)
    return flat
