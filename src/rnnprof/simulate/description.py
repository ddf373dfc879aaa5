"""What a simulated GPU is: presets, custom descriptions, and the line that the C library reads.

A description comes from one of the names in ``gpus.toml``, from ``memory=16GiB,sms=40,...`` or
from a TOML file.  All three are read by the same rules; every error names the key at fault.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final

from rnnprof.errors import BadInputError
from rnnprof.toml_file import MAX_NUMBER, read_toml, shown
from rnnprof.units import GIB, KIB, MIB, format_bytes, parse_bytes

PRESETS: Final = Path(__file__).with_name("gpus.toml")

GPU_VARIABLE: Final = "RNNPROF_SIMULATED_GPU"
"""Has the description in a process with a simulated GPU: the C library reads it."""

LIBRARY_VARIABLE: Final = "RNNPROF_SIMULATED_LIBRARY"
"""Has the library's files, in the order in which a template loads them before torch."""

CUSTOM_MODEL: Final = "custom"
ASSUMED_CONTEXT_BYTES: Final = 256 * MIB
"""Used if a description has no context size; it is not published for any GPU."""

LEAST_MEMORY_BYTES: Final = 64 * MIB
MOST_MEMORY_BYTES: Final = 2048 * GIB
"""Beyond any GPU that is sold, and within the addresses that the C library gives out."""

MOST_NAME_LENGTH: Final = 95
"""NVML returns a name in 96 bytes, the last one zero; a longer name hides the GPU."""


@dataclass(frozen=True, slots=True)
class GpuDescription:
    """A GPU as torch and NVML report it, and the memory that other processes hold.

    Attributes:
        model: the key of the preset, or ``custom``.
        name: as torch reports it.
        memory_bytes: total memory as torch reports it.
        capability: CUDA's compute capability, major and minor.
        context_bytes: what a process's CUDA context takes.
        others_bytes: what other processes hold.
        shared_per_block_bytes: the maximum that a kernel may opt in to.
        assumed: names of fields with an assumed, not published, figure.
    """

    model: str
    name: str
    memory_bytes: int
    multiprocessors: int
    capability: tuple[int, int]
    context_bytes: int
    others_bytes: int = 0
    l2_bytes: int = 4 * MIB
    sm_clock_mhz: int = 1500
    memory_clock_mhz: int = 5000
    memory_bus_bits: int = 256
    threads_per_multiprocessor: int = 1024
    blocks_per_multiprocessor: int = 16
    shared_per_multiprocessor_bytes: int = 64 * KIB
    shared_per_block_bytes: int = 64 * KIB
    assumed: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """As ``--simulate`` takes it: the model's name, or the complete custom description."""
        if self.model != CUSTOM_MODEL:
            return self.model
        known = {key: getattr(self, field) for key, field in _KEYS.items()}
        shown = {key: value for key, value in known.items() if key not in ("sms", "assumed")}
        return ",".join(f"{key}={_write_field(value)}" for key, value in shown.items())

    @property
    def uuid(self) -> str:
        """``GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx``: the same for the same fields."""
        digest = hashlib.sha256(self._fields_text().encode()).hexdigest()
        parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
        return "GPU-" + "-".join(parts)

    def as_text(self) -> str:
        """One line of ``key=value;...``: what the C library reads, and :meth:`from_text`."""
        return f"{self._fields_text()};uuid={self.uuid}"

    @classmethod
    def from_text(cls, text: str) -> GpuDescription:
        """The description that :meth:`as_text` wrote.

        Raises:
            BadInputError: the line was not written by :meth:`as_text`.
        """
        values = dict(_pair(part, text) for part in text.split(";"))
        uuid = values.pop("uuid", None)
        try:
            known = {
                field.name: _read_field(field.name, values.pop(field.name)) for field in fields(cls)
            }
            gpu = cls(**known)
        except (KeyError, ValueError) as error:
            raise BadInputError(f"{text!r} does not describe a simulated GPU: {error}") from None
        if values or uuid != gpu.uuid:
            raise BadInputError(f"{text!r} does not describe a simulated GPU: it was changed")
        return gpu

    def _fields_text(self) -> str:
        return ";".join(
            f"{field.name}={_write_field(getattr(self, field.name))}" for field in fields(self)
        )


def models() -> dict[str, GpuDescription]:
    """The presets, by the name that ``--simulate`` takes."""
    return dict(_presets())


def describe(text: str) -> GpuDescription:
    """One GPU, from a preset's name, ``key=value,...`` or the path of a TOML file.

    Raises:
        BadInputError: an unknown model or key, a bad value, or a contradiction.
    """
    wanted = text.strip()
    if not wanted:
        raise BadInputError(f"no GPU to simulate is given; the known ones are {_known_models()}")
    if wanted.endswith(".toml"):
        return _from_file(Path(wanted))
    if "=" in wanted:
        return _from_values(_read_pairs(wanted), CUSTOM_MODEL, repr(wanted))
    return _preset(wanted)


def describe_all(text: str) -> tuple[GpuDescription, ...]:
    """The GPUs of a comma-separated list; consecutive ``key=value`` parts are one description.

    Raises:
        BadInputError: as :func:`describe`; or a GPU is named twice.
    """
    found = tuple(describe(part) for part in _split(text))
    for place, gpu in enumerate(found):
        if gpu in found[:place]:
            raise BadInputError(f"--simulate {text}: {gpu.model} is named twice")
    return found


def _split(text: str) -> list[str]:
    parts: list[str] = []
    for part in text.split(","):
        if parts and "=" in part and "=" in parts[-1]:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


# ---- the line for the C library


def _write_field(value: object) -> str:
    if isinstance(value, tuple):
        separator = "." if value and isinstance(value[0], int) else ","
        return separator.join(str(part) for part in value)
    return str(value)


def _read_field(name: str, text: str) -> Any:
    if name in ("model", "name"):
        return text
    if name == "assumed":
        return tuple(text.split(",")) if text else ()
    return _capability(text) if name == "capability" else int(text)


def _pair(part: str, text: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals:
        raise BadInputError(f"{text!r} does not describe a simulated GPU: {part!r} has no value")
    return key, value


# ---- presets


@cache
def _presets() -> dict[str, GpuDescription]:
    tables = read_toml(PRESETS)
    return {model: _from_values(table, model, model) for model, table in tables.items()}


def _known_models() -> str:
    return ", ".join(_presets())


def _preset(wanted: str) -> GpuDescription:
    known = _presets()
    model = wanted.lower().replace("_", "-")
    if model in known:
        return known[model]
    several = [name for name in known if name.startswith(f"{model}-")]
    if len(several) > 1:
        raise BadInputError(f"--simulate {wanted}: which one, {' or '.join(several)}?")
    near = several or difflib.get_close_matches(model, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise BadInputError(
        f"--simulate {wanted}: this GPU is not known; {hint}Known are {_known_models()}; "
        "or describe your own: memory=16GiB,sms=40,capability=7.5"
    )


# ---- custom descriptions


def _from_file(path: Path) -> GpuDescription:
    try:
        values = read_toml(path)
    except BadInputError as error:
        raise BadInputError(f"--simulate: {error}") from None
    return _from_values(values, CUSTOM_MODEL, str(path))


def _read_pairs(text: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for part in text.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not key or not value:
            raise BadInputError(f"--simulate {text}: {part.strip()!r} is not KEY=VALUE")
        if _KEYS.get(key, key) in {_KEYS.get(known, known) for known in values}:
            raise BadInputError(f"--simulate {text}: {key} is given twice")
        values[key] = value
    return values


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{shown(value)} is not a size")
    if isinstance(value, int):
        return value
    return 0 if value.strip() == "0" else parse_bytes(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value).strip()):
        raise ValueError(f"{shown(value)} is not a whole number")
    return int(str(value))


def _capability(value: object) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,2})\.(\d)", str(value).strip())
    if match is None:
        raise ValueError(f"{shown(value)} is not a compute capability: write 7.5")
    return int(match[1]), int(match[2])


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME_LENGTH:
        raise ValueError(f"{shown(value)} is not a name of 1 to {MOST_NAME_LENGTH} characters")
    if not value.isascii() or not value.isprintable() or set(value) & set(";="):
        raise ValueError(f"{shown(value)} has characters that the name of a GPU cannot have")
    return value


def _assumed(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(name in _READERS for name in map(_field_of, value)):
        raise ValueError(f"{shown(value)} is not a list of keys")
    return tuple(_field_of(name) for name in value)


def _field_of(key: object) -> str:
    return _KEYS.get(str(key), str(key))


_KEYS: Final = {
    "name": "name",
    "memory": "memory_bytes",
    "sms": "multiprocessors",
    "multiprocessors": "multiprocessors",
    "capability": "capability",
    "context": "context_bytes",
    "others": "others_bytes",
    "l2": "l2_bytes",
    "sm-clock-mhz": "sm_clock_mhz",
    "memory-clock-mhz": "memory_clock_mhz",
    "memory-bus-bits": "memory_bus_bits",
    "threads-per-multiprocessor": "threads_per_multiprocessor",
    "blocks-per-multiprocessor": "blocks_per_multiprocessor",
    "shared-per-multiprocessor": "shared_per_multiprocessor_bytes",
    "shared-per-block": "shared_per_block_bytes",
    "assumed": "assumed",
}
"""What a user writes, and the field that it sets."""

_READERS: Final[dict[str, Callable[[object], Any]]] = {
    "name": _name,
    "capability": _capability,
    "assumed": _assumed,
    **{field: _size for field in _KEYS.values() if field.endswith("_bytes")},
    **{
        field: _count
        for field in _KEYS.values()
        if field.endswith(("_mhz", "_bits", "multiprocessor", "multiprocessors"))
    },
}

_REQUIRED: Final = ("memory", "sms", "capability")

_RANGES: Final[dict[str, tuple[int, int]]] = {
    "memory_bytes": (LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES),
    "context_bytes": (0, MOST_MEMORY_BYTES),
    "others_bytes": (0, MOST_MEMORY_BYTES),
    "multiprocessors": (1, 4096),
    "l2_bytes": (1, GIB),
    "sm_clock_mhz": (1, 100_000),
    "memory_clock_mhz": (1, 100_000),
    "memory_bus_bits": (1, 65_536),
    "threads_per_multiprocessor": (1024, 4096),
    "blocks_per_multiprocessor": (1, 128),
    "shared_per_multiprocessor_bytes": (48 * KIB, 4 * MIB),
    "shared_per_block_bytes": (48 * KIB, 4 * MIB),
}
_LEAST_CAPABILITY: Final = (5, 0)
_MOST_CAPABILITY: Final = (12, 9)


def _from_values(values: Mapping[str, object], model: str, where: str) -> GpuDescription:
    _check_keys(values, where)
    known = {_KEYS[key]: _read(key, value, where) for key, value in values.items()}
    assumed = list(known.pop("assumed", ()))
    if "context_bytes" not in known:
        known["context_bytes"] = ASSUMED_CONTEXT_BYTES
        assumed.append("context_bytes")
    known.setdefault("name", f"simulated GPU of {format_bytes(known['memory_bytes'])}")
    gpu = GpuDescription(model=model, assumed=tuple(assumed), **known)
    _check_whole(gpu, where)
    return gpu


def _check_keys(values: Iterable[str], where: str) -> None:
    for key in values:
        if key not in _KEYS:
            near = difflib.get_close_matches(key.replace("_", "-"), _KEYS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(_KEYS)}"
            raise BadInputError(f"--simulate {where}: unknown key {key!r}{hint}")
    fields_given = [_KEYS[key] for key in values]
    if len(set(fields_given)) < len(fields_given):
        raise BadInputError(f"--simulate {where}: sms and multiprocessors are the same")
    for key in _REQUIRED:
        if _KEYS[key] not in fields_given:
            raise BadInputError(
                f"--simulate {where}: {key} is missing; memory, sms and capability are needed"
            )


def _read(key: str, value: object, where: str) -> Any:
    field = _KEYS[key]
    if isinstance(value, int) and abs(value) >= MAX_NUMBER:  # Python may refuse to print it
        raise BadInputError(f"--simulate {where}: {key}: {shown(value)} is too large")
    try:
        read = _READERS[field](value)
    except ValueError as error:
        raise BadInputError(f"--simulate {where}: {key}: {error}") from None
    _check_range(key, field, read, where)
    return read


def _check_range(key: str, field: str, value: Any, where: str) -> None:
    if field == "capability":
        if not _LEAST_CAPABILITY <= value <= _MOST_CAPABILITY:
            raise BadInputError(
                f"--simulate {where}: {key}: no GPU of {value[0]}.{value[1]} is known"
            )
        return
    if field not in _RANGES:
        return
    least, most = _RANGES[field]
    if not least <= value <= most:
        show = format_bytes if field.endswith("_bytes") else str
        raise BadInputError(
            f"--simulate {where}: {key}: {show(value)} is not within {show(least)} to {show(most)}"
        )


def _check_whole(gpu: GpuDescription, where: str) -> None:
    taken_bytes = gpu.context_bytes + gpu.others_bytes
    if taken_bytes >= gpu.memory_bytes:
        raise BadInputError(
            f"--simulate {where}: context and others take {format_bytes(taken_bytes)}, "
            f"and the GPU has {format_bytes(gpu.memory_bytes)}"
        )
    if gpu.shared_per_block_bytes > gpu.shared_per_multiprocessor_bytes:
        raise BadInputError(
            f"--simulate {where}: shared-per-block is more than shared-per-multiprocessor"
        )
