"""The processor's last-level cache, from a folder like the kernel's."""

from __future__ import annotations

from pathlib import Path

from rnnprof.device.cache import last_level_cache_bytes


def caches(folder: Path, *sizes: str) -> Path:
    for index, size in enumerate(sizes):
        (folder / f"index{index}").mkdir()
        (folder / f"index{index}" / "size").write_text(size)
    return folder


def test_the_largest_is_the_last(tmp_path: Path) -> None:
    assert last_level_cache_bytes(caches(tmp_path, "32K\n", "1024K\n", "32768K\n")) == 32 << 20


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert last_level_cache_bytes(caches(tmp_path, "32K\n", "many\n")) == 32 << 10


def test_a_machine_that_does_not_tell_has_none(tmp_path: Path) -> None:
    assert last_level_cache_bytes(tmp_path / "none") is None
