"""What a shared library imports and exports, read from its ELF file without binutils.

The reader finds the dynamic section, the dynamic symbols and GNU's symbol versions of 64-bit
little-endian files by their section headers, which the linker keeps.  Source: the System V ABI, and
the Linux Standard Base on symbol versioning.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MAGIC: Final = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_NEED: Final = struct.Struct("<HHIII")
_NEED_AUX: Final = struct.Struct("<IHHII")
_DEFINITION: Final = struct.Struct("<HHHHIII")
_DEFINITION_AUX: Final = struct.Struct("<II")

_TYPE_DYNAMIC: Final = 6
_TYPE_SYMBOLS: Final = 11
_TYPE_VERSION_DEFINITIONS: Final = 0x6FFFFFFD
_TYPE_VERSION_NEEDS: Final = 0x6FFFFFFE
_TYPE_VERSIONS: Final = 0x6FFFFFFF

_TAG_NEEDED: Final = 1
_TAG_SONAME: Final = 14
_VERSION_MASK: Final = 0x7FFF  # the highest bit hides a symbol
_FIRST_NAMED_VERSION: Final = 2
_BINDING_LOCAL: Final = 0


class NotElfError(ValueError):
    """The file is not a 64-bit little-endian ELF file, or is truncated."""


@dataclass(frozen=True, slots=True)
class Import:
    """An undefined dynamic symbol; if it has a version, also the version and its file."""

    name: str
    version: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class SharedLibrary:
    """What a shared library imports and exports.

    Attributes:
        needed: SONAMEs of the libraries that it is linked to, in order.
        imports: its undefined symbols.
        exports: names of its defined global symbols.
        needed_versions: for each file, the versions expected in it, in order.
        versions: the versions that it defines itself, without that of its own SONAME.
    """

    soname: str | None
    needed: tuple[str, ...]
    imports: tuple[Import, ...]
    exports: frozenset[str]
    needed_versions: dict[str, tuple[str, ...]]
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int
    count: int  # entries, of version sections


def read_library(path: Path) -> SharedLibrary:
    """Read the dynamic part of *path*.

    Raises:
        NotElfError: the file is not a 64-bit little-endian ELF file.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise NotElfError(f"{path} is not a 64-bit little-endian ELF file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _File(data).library()
            except (struct.error, IndexError, UnicodeDecodeError) as error:
                raise NotElfError(f"{path} is damaged: {error}") from None


class _File:
    """A mapped file; the section headers say where its structures are."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._sections = tuple(self._read_sections())

    def library(self) -> SharedLibrary:
        needs = dict(self._needed_versions())
        symbols = tuple(self._symbols())
        by_file: dict[str, list[str]] = {}
        for file, version in needs.values():
            by_file.setdefault(file, []).append(version)
        dynamic = tuple(self._dynamic())
        return SharedLibrary(
            soname=next((name for tag, name in dynamic if tag == _TAG_SONAME), None),
            needed=tuple(name for tag, name in dynamic if tag == _TAG_NEEDED),
            imports=tuple(
                _import(name, needs.get(version))
                for name, is_here, version in symbols
                if not is_here
            ),
            exports=frozenset(name for name, is_here, _ in symbols if is_here),
            needed_versions={file: tuple(versions) for file, versions in by_file.items()},
            versions=tuple(self._defined_versions()),
        )

    def _read_sections(self) -> Iterator[_Section]:
        (start,) = struct.unpack_from("<Q", self._data, 0x28)
        size, count = struct.unpack_from("<HH", self._data, 0x3A)
        for place in range(count):
            header = _SECTION.unpack_from(self._data, start + place * size)
            _, kind, _, _, offset, length, link, info, _, _ = header
            yield _Section(kind, offset, length, link, info)

    def _find(self, kind: int) -> _Section | None:
        return next((section for section in self._sections if section.kind == kind), None)

    def _text(self, section: _Section, at: int) -> str:
        """The string at *at* in the string table that *section* is linked to."""
        start = self._sections[section.link].offset + at
        end = self._data.find(b"\0", start)
        if end < 0:
            raise IndexError("a string without an end")
        return self._data[start:end].decode()

    def _dynamic(self) -> Iterator[tuple[int, str]]:
        section = self._find(_TYPE_DYNAMIC)
        if section is None:
            return
        for at in range(section.offset, section.offset + section.size, _DYNAMIC.size):
            tag, value = _DYNAMIC.unpack_from(self._data, at)
            if tag in (_TAG_NEEDED, _TAG_SONAME):
                yield tag, self._text(section, value)

    def _symbols(self) -> Iterator[tuple[str, bool, int]]:
        """Name, whether it is defined here, and the number of its version."""
        section = self._find(_TYPE_SYMBOLS)
        if section is None:
            return
        versions = self._symbol_versions()
        raw = self._data[section.offset : section.offset + section.size]
        for place, (name, info, _, home, _, _) in enumerate(_SYMBOL.iter_unpack(raw)):
            if name and info >> 4 != _BINDING_LOCAL:
                version = versions[place] & _VERSION_MASK if versions else 0
                yield self._text(section, name), home != 0, version

    def _symbol_versions(self) -> tuple[int, ...]:
        section = self._find(_TYPE_VERSIONS)
        if section is None:
            return ()
        return struct.unpack_from(f"<{section.size // 2}H", self._data, section.offset)

    def _needed_versions(self) -> Iterator[tuple[int, tuple[str, str]]]:
        """Number of a version -> the file that should have it, and its name."""
        section = self._find(_TYPE_VERSION_NEEDS)
        at = section.offset if section else 0
        for _ in range(section.count if section else 0):
            assert section is not None
            _, count, file, aux, following = _NEED.unpack_from(self._data, at)
            entry = at + aux
            for _ in range(count):
                _, _, number, name, next_aux = _NEED_AUX.unpack_from(self._data, entry)
                yield number, (self._text(section, file), self._text(section, name))
                entry += next_aux
            at += following

    def _defined_versions(self) -> Iterator[str]:
        section = self._find(_TYPE_VERSION_DEFINITIONS)
        at = section.offset if section else 0
        for _ in range(section.count if section else 0):
            assert section is not None
            _, _, number, _, _, aux, following = _DEFINITION.unpack_from(self._data, at)
            if number >= _FIRST_NAMED_VERSION:
                name, _ = _DEFINITION_AUX.unpack_from(self._data, at + aux)
                yield self._text(section, name)
            at += following


def _import(name: str, need: tuple[str, str] | None) -> Import:
    return Import(name, need[1], need[0]) if need else Import(name)
