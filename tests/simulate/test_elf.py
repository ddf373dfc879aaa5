"""The ELF reader, on what is installed and on libraries made for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rnnprof.simulate.elf import Import, NotElfError, read_library
from simulate.compiled import needs_compiler, shared_library


def mapped(stem: str) -> Path | None:
    """A library that this process has mapped."""
    words = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    paths = {Path(word[-1]) for word in words if len(word) == 6}
    return next((path for path in paths if path.name.startswith(stem)), None)


def test_the_c_library() -> None:
    path = mapped("libc.so")
    if path is None:
        pytest.skip("no glibc is mapped")
    library = read_library(path)
    assert library.soname == "libc.so.6"
    assert {"malloc", "printf"} <= library.exports
    assert any(version.startswith("GLIBC_2.") for version in library.versions)


def test_the_interpreter_imports_from_the_c_library() -> None:
    library = read_library(Path(sys.executable).resolve())
    assert "libc.so.6" in library.needed
    assert any(entry.file == "libc.so.6" for entry in library.imports)
    assert library.needed_versions["libc.so.6"]


@needs_compiler
def test_imports_have_the_version_they_were_linked_to(tmp_path: Path) -> None:
    script = "OLD { global: first; }; NEW { global: second; } OLD;"
    maker = tmp_path / "libmaker.so.1"
    shared_library(maker, "int first(void){return 1;} int second(void){return 2;}", script=script)
    user = tmp_path / "libuser.so"
    text = "int first(void); int second(void); int elsewhere(void);"
    text += "static int hidden(void){return 0;}"
    text += "int use(void){return first()+second()+elsewhere()+hidden();}"
    shared_library(user, text, str(maker))
    made, used = read_library(maker), read_library(user)
    assert (made.soname, made.versions) == ("libmaker.so.1", ("OLD", "NEW"))
    assert {"first", "second"} <= made.exports
    assert "libmaker.so.1" in used.needed
    assert set(used.needed_versions["libmaker.so.1"]) == {"OLD", "NEW"}
    assert Import("first", "OLD", "libmaker.so.1") in used.imports
    assert Import("second", "NEW", "libmaker.so.1") in used.imports
    assert Import("elsewhere") in used.imports
    assert "use" in used.exports
    assert "hidden" not in used.exports


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF\x01\x01" + b"\0" * 64])
def test_what_is_no_library_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "libnone.so"
    path.write_bytes(content)
    with pytest.raises(NotElfError, match="not a 64-bit"):
        read_library(path)


@needs_compiler
def test_a_library_cut_short_is_refused_or_read(tmp_path: Path) -> None:
    """Never anything but the one error, wherever it is cut."""
    whole = tmp_path / "libwhole.so"
    shared_library(whole, "int first(void){return 1;}")
    content, cut = whole.read_bytes(), tmp_path / "libcut.so"
    for length in range(6, len(content), 997):
        cut.write_bytes(content[:length])
        with pytest.raises(NotElfError):
            read_library(cut)
