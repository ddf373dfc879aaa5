"""How the identities of two run files differ, in words."""

from __future__ import annotations

from typing import Any, Final

from rnnprof.runfile.codec import encode
from rnnprof.runfile.records import Header

_DERIVED: Final = frozenset({"run_id"})


def differences(
    one: Header, other: Header, places: tuple[str, str] = ("in the file", "now")
) -> list[str]:
    """Each field of the identity in which two headers differ, spelled out."""
    left, right = _flat(encode(one)), _flat(encode(other))
    return [
        f"{name.removeprefix('environment.')}: {left.get(name)!r} {places[0]}, "
        f"{right.get(name)!r} {places[1]}"
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name) and name not in _DERIVED
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else key)
    return flat
