"""The JSON Schema in the package says what the records and the codec do, field by field."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import types
import typing
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta

from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.codec import DecodeError, decode, encode
from rnnprof.runfile.points import Outcome, Role
from rnnprof.runfile.records import KINDS, SCHEMA, Header
from rnnprof.runfile.schema import schema

TEXT = (files("rnnprof") / "schemas" / f"run-{SCHEMA}.json").read_text(encoding="utf-8")
SCHEMA_OF_A_RECORD = json.loads(TEXT)
DEFINITIONS = SCHEMA_OF_A_RECORD["$defs"]
VALIDATOR = Draft202012Validator(SCHEMA_OF_A_RECORD)
CHECKSUM = "0123456789abcdef"

NAMES = st.text(max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)

ONE_OF_EACH_TYPE = (None, True, 1, 1.5, "x", [], {})


# What a type hint asks for: a strategy, and one fixed value with every part filled in.


def is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def item_hints(hint: Any) -> list[Any]:
    if typing.get_origin(hint) is typing.Annotated:
        inner = typing.get_args(hint)[0]
        return [] if inner in (int, float, str) else item_hints(inner)
    return [item for item in typing.get_args(hint) if item not in (Ellipsis, type(None))]


def bounds(hint: Any) -> Any:
    return next(each for each in typing.get_args(hint)[1:] if isinstance(each, Meta))


def numbers(hint: Any) -> st.SearchStrategy[Any]:
    """Numbers within the range that a hint allows, its ends among them."""
    meta = bounds(hint)
    if typing.get_args(hint)[0] is int:
        most = meta.le if meta.le is not None else meta.lt - 1
        return st.integers(meta.ge, most)
    least = meta.ge if meta.ge is not None else meta.gt
    below = {"exclude_min": meta.ge is None, "exclude_max": True}
    return st.floats(least, float(meta.lt), allow_nan=False, **below)


def strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of type *hint*; ``Any`` is JSON, as in a run file."""
    if typing.get_origin(hint) is typing.Annotated:
        inner = typing.get_args(hint)[0]
        return numbers(hint) if inner in (int, float) else strategy(inner)
    if hint is Any:
        return JSON_VALUES
    if hint is float:
        return FLOATS
    if is_union(hint):
        return st.none() | st.one_of(*map(strategy, item_hints(hint)))
    if typing.get_origin(hint) is tuple:
        return tuples(hint)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(NAMES, strategy(item_hints(hint)[1]), max_size=3)
    return instances(hint) if dataclasses.is_dataclass(hint) else st.from_type(hint)


def tuples(hint: Any) -> st.SearchStrategy[Any]:
    if Ellipsis in typing.get_args(hint):
        return st.lists(strategy(item_hints(hint)[0]), max_size=3).map(tuple)
    return st.tuples(*map(strategy, item_hints(hint)))


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    fields = {
        name: strategy(hint)
        for name, hint in typing.get_type_hints(cls, include_extras=True).items()
    }
    if cls is Header:
        fields["schema"] = st.just(SCHEMA)
    return st.builds(cls, **fields)


def filled(hint: Any) -> Any:
    """One JSON value of type *hint* in which nothing is null or empty."""
    if dataclasses.is_dataclass(hint):
        return {
            name: filled(inner)
            for name, inner in typing.get_type_hints(hint, include_extras=True).items()
        }
    if is_union(hint):
        return filled(item_hints(hint)[0])
    if typing.get_origin(hint) is tuple:
        return [filled(item) for item in item_hints(hint)]
    if typing.get_origin(hint) is dict:
        return {"key": filled(item_hints(hint)[1])}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(iter(hint)).value
    if typing.get_origin(hint) is typing.Annotated:
        least = bounds(hint).ge or 0
        return (
            filled(typing.get_args(hint)[0]) if bounds(hint).lt != 1 and least < 2 else least or 0.5
        )
    return {int: 1, float: 1.5, str: "x", bool: True, Any: "anything"}[hint]


def line(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """A line of the run file; through JSON's text, as a reader gets it."""
    return json.loads(json.dumps({"kind": kind, **body, "checksum": CHECKSUM}, allow_nan=False))


def nested(cls: type[Any]) -> set[type[Any]]:
    """*cls* and every dataclass within it."""
    found, hints = {cls}, list(typing.get_type_hints(cls, include_extras=True).values())
    while hints:
        hint = hints.pop()
        if dataclasses.is_dataclass(hint):
            found |= nested(hint)
        hints += item_hints(hint)
    return found


def paths(value: Any, hint: Any) -> list[tuple[str | int, ...]]:
    """Where a *value* of type *hint* holds something that has a type."""
    if is_union(hint):
        return paths(value, item_hints(hint)[0])
    if dataclasses.is_dataclass(hint):
        inner = typing.get_type_hints(hint, include_extras=True)
    elif typing.get_origin(hint) is dict:
        inner = {key: item_hints(hint)[1] for key in value}
    elif typing.get_origin(hint) is tuple:
        inner = dict(enumerate(item_hints(hint)))
    else:
        inner = {}
    found: list[tuple[str | int, ...]] = []
    for key, item_hint in inner.items():
        if item_hint is not Any:
            found.append((key,))
        found += [(key, *rest) for rest in paths(value[key], item_hint)]
    return found


def without(record: Any, path: tuple[str | int, ...]) -> tuple[Any, Any]:
    """A copy of *record* that lacks what is at *path*, and the part of it that held it."""
    changed = holder = copy.deepcopy(record)
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return changed, holder


def replaced(record: Any, path: tuple[str | int, ...], new: Any) -> Any:
    changed, holder = without(record, path)
    if isinstance(holder, list):
        holder.insert(int(path[-1]), new)
    else:
        holder[path[-1]] = new
    return changed


def codec_takes(kind: str, record: dict[str, Any]) -> bool:
    try:
        decode(KINDS[kind], record)
    except DecodeError:
        return False
    return True


RECORDS = {kind: line(kind, filled(cls) | ({"schema": SCHEMA} if cls is Header else {}))
           for kind, cls in KINDS.items()}  # fmt: skip
DATACLASSES = sorted(set().union(*map(nested, KINDS.values())), key=lambda cls: cls.__name__)
FIELDS = [
    (kind, path)
    for kind, cls in KINDS.items()
    for path in paths(RECORDS[kind], cls)
    if path != ("schema",)  # one version alone by the schema, any number by the codec
]


def is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def test_schema_is_valid():
    Draft202012Validator.check_schema(SCHEMA_OF_A_RECORD)


def test_kinds_are_those_of_the_records():
    assert SCHEMA_OF_A_RECORD["properties"]["kind"]["enum"] == list(KINDS)
    named = {
        rule["if"]["properties"]["kind"]["const"]: rule["then"]["$ref"].rpartition("/")[2]
        for rule in SCHEMA_OF_A_RECORD["allOf"]
    }
    assert named == {kind: cls.__name__ for kind, cls in KINDS.items()}


def test_fields_are_those_of_the_dataclasses():
    for cls in DATACLASSES:
        definition = DEFINITIONS[cls.__name__]
        fields = dataclasses.fields(cls)
        frame = {"kind", "checksum"} if cls in KINDS.values() else set()
        assert set(definition["properties"]) == {field.name for field in fields} | frame, cls
        required = {field.name for field in fields if is_required(field)}
        assert set(definition.get("required", ())) == required | frame, cls
        assert definition["additionalProperties"] is False, cls


def test_no_definition_is_left_over():
    enums = {each.__name__ for each in (Outcome, Role, EdgeStatus)}
    assert set(DEFINITIONS) == {cls.__name__ for cls in DATACLASSES} | enums | {"checksum"}


def test_the_schema_in_the_package_is_made_of_the_records():
    assert json.loads(json.dumps(schema())) == SCHEMA_OF_A_RECORD, "make it anew: see its module"


def test_everything_is_described_with_its_unit():
    units = {"_bytes": "In bytes.", "_s": "In seconds."}
    for name, definition in DEFINITIONS.items():
        assert definition["description"], name
        for field, each in definition.get("properties", {}).items():
            if set(each) == {"$ref"}:
                continue
            assert each["description"], (name, field)
            for ending, words in units.items():
                if field.endswith(ending):
                    assert each["description"].endswith(words), (name, field)


def test_enumerations_are_those_of_the_records():
    for cls in (Outcome, Role, EdgeStatus):
        assert sorted(DEFINITIONS[cls.__name__]["enum"]) == sorted(each.value for each in cls)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_record_validates_and_comes_back(kind, data):
    record = data.draw(instances(KINDS[kind]))
    read = line(kind, encode(record))
    VALIDATOR.validate(read)
    assert decode(KINDS[kind], read) == record


def test_the_filled_records_are_taken_by_both():
    """Else the refusals below would prove nothing."""
    for kind, record in RECORDS.items():
        VALIDATOR.validate(record)
        assert codec_takes(kind, record), kind


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_codec_refuse_the_same_types(kind):
    for path in (path for of_kind, path in FIELDS if of_kind == kind):
        taken = []
        for value in ONE_OF_EACH_TYPE:
            record = replaced(RECORDS[kind], path, value)
            by_codec = codec_takes(kind, record)
            assert VALIDATOR.is_valid(record) == by_codec, (path, value)
            taken.append(by_codec)
        assert not all(taken), f"{path}: every type is taken"


def test_schema_and_codec_miss_the_same_fields():
    for kind, path in FIELDS:
        if isinstance(path[-1], str):
            record, _ = without(RECORDS[kind], path)
            assert VALIDATOR.is_valid(record) == codec_takes(kind, record), (kind, path)


@pytest.mark.parametrize("version", [SCHEMA + 1, 0, None, True, str(SCHEMA)])
def test_another_version_is_refused(version):
    assert not VALIDATOR.is_valid(RECORDS["header"] | {"schema": version})


def test_a_field_of_no_record_is_refused():
    for kind, record in RECORDS.items():
        assert not VALIDATOR.is_valid(record | {"surprise": 1}), kind


def test_an_unknown_kind_is_refused():
    for kind in (None, 1, "", "certificate", *[kind.upper() for kind in KINDS]):
        assert not VALIDATOR.is_valid(RECORDS["finished"] | {"kind": kind}), kind


@pytest.mark.parametrize("name", ["kind", "checksum"])
def test_kind_and_checksum_must_be_there(name):
    for kind, record in RECORDS.items():
        assert not VALIDATOR.is_valid({k: v for k, v in record.items() if k != name}), kind


@pytest.mark.parametrize(
    "checksum", [None, 1, "", CHECKSUM[1:], CHECKSUM + "0", CHECKSUM.upper(), CHECKSUM + "\n"]
)
def test_another_checksum_than_16_hexadecimal_digits_is_refused(checksum):
    for kind, record in RECORDS.items():
        assert not VALIDATOR.is_valid(record | {"checksum": checksum}), kind
