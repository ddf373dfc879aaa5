"""How the identities of two run files differ, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rnnprof.runfile.codec import encode
from rnnprof.runfile.records import Header

_DERIVED: Final = frozenset({"run_id"})


def differences(
    one: Header, other: Header, places: tuple[str, str] = ("in the file", "now")
) -> list[str]:
    """One text for each field of the identity in which two headers differ.

    Args:
        places: how the texts call the two headers.
    """
    sources = _changed_sources(one.sources, other.sources, places)
    left, right = ({**encode(each), "sources": {}} for each in (one, other))
    left, right = _flat(left), _flat(right)
    return [
        *(
            f"{name.removeprefix('environment.')}: {left.get(name)!r} {places[0]}, "
            f"{right.get(name)!r} {places[1]}"
            for name in dict.fromkeys([*left, *right])
            if _stated(left.get(name)) != _stated(right.get(name)) and name not in _DERIVED
        ),
        *sources,
    ]


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
