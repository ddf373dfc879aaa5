"""The JSON Schema of a run file's records, generated from the record classes.

python -m rnnprof.runfile.schema > src/rnnprof/schemas/run-2.json
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from typing import Any, Final

import msgspec

from rnnprof.runfile.records import KINDS, SCHEMA

CHECKSUM: Final = {
    "type": "string",
    "pattern": "^[0-9a-f]{16}(?!\n)$",
    "description": "BLAKE2b of the text of the line before it, 8 bytes in hexadecimal.",
}
UNITS: Final = {"_bytes": "In bytes.", "_s": "In seconds."}

_FIELD: Final = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")


def schema() -> dict[str, Any]:
    """The schema of one record of any kind."""
    kinds, components = msgspec.json.schema_components(
        list(KINDS.values()), ref_template="#/$defs/{name}"
    )
    definitions = {name: _described(name, each) for name, each in sorted(components.items())}
    for kind, cls in KINDS.items():
        _frame(definitions[cls.__name__], kind)
    definitions["Header"]["properties"]["schema"]["const"] = SCHEMA
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rnnprof:schema:run-{SCHEMA}",
        "title": f"rnnprof run file, schema {SCHEMA}: one record",
        "description": (
            "One line of a run file (JSON Lines). Names contain the units; an unknown value is "
            "null, with a reason beside it. A reader ignores unknown fields, because a later "
            "rnnprof may add some; this schema names every field that this version writes."
        ),
        "type": "object",
        "required": ["kind", "checksum"],
        "properties": {"kind": {"enum": list(KINDS)}},
        "allOf": [_of_kind(kind, each) for kind, each in zip(KINDS, kinds, strict=True)],
        "$defs": {**definitions, "checksum": CHECKSUM},
    }


def _of_kind(kind: str, definition: dict[str, Any]) -> dict[str, Any]:
    condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    return {"if": condition, "then": definition}


def _frame(definition: dict[str, Any], kind: str) -> None:
    """Add what every line has besides its record: kind and checksum."""
    frame = {"kind": {"const": kind, "description": "The kind of the record."}}
    definition["properties"] = {
        **frame, **definition["properties"], "checksum": {"$ref": "#/$defs/checksum"},
    }  # fmt: skip
    definition["required"] = ["kind", *definition.get("required", ()), "checksum"]


def _described(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """The schema of a class with a description of the class and of each field."""
    text = inspect.cleandoc(definition.get("description") or name)
    described = {**definition, "description": " ".join(text.partition("\n\n")[0].split())}
    if "properties" in described:
        sentences = _sentences(name)
        described["additionalProperties"] = False
        described["properties"] = {
            field: {**each, "description": _with_unit(field, sentences.get(field, ""))}
            for field, each in described["properties"].items()
        }
    return described


def _with_unit(field: str, sentence: str) -> str:
    words = sentence or f"{field.replace('_', ' ').capitalize()}."
    unit = next((unit for ending, unit in UNITS.items() if field.endswith(ending)), None)
    return words if unit is None else f"{words} {unit}"


def _sentences(name: str) -> dict[str, str]:
    """What the docstrings of a class and its bases say about each field."""
    cls = next((each for each in _classes() if each.__name__ == name), None)
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__ if cls else ()):
        found |= _attributes(each.__doc__ or "")
    return found


def _classes() -> list[type[Any]]:
    """Every dataclass of the records' modules."""
    from rnnprof import workload
    from rnnprof.runfile import certificates, observations, points, records, study

    modules = (workload, certificates, observations, points, records, study)
    return [each for module in modules for each in vars(module).values() if inspect.isclass(each)]


def _attributes(docstring: str) -> dict[str, str]:
    """The ``Attributes:`` section of a docstring by name; several names can share one text."""
    _, _, body = inspect.cleandoc(docstring).partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in body.splitlines():
        match = _FIELD.match(line)
        if match:
            names = match[1].split(", ")
        for name in names:
            text = match[2] if match else line.strip()
            found[name] = f"{found.get(name, '')} {text}".strip()
    return {name: text[:1].upper() + text[1:] for name, text in found.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
