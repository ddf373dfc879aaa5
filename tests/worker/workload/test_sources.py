"""Which files a run is a run of: the user's own below the root, and none that are installed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

import rnnprof
from rnnprof.worker.workload.sources import digests, user_sources


def file(path: Path, text: str = "x = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_users_files_below_the_root_by_their_path_from_it(tmp_path: Path) -> None:
    root = tmp_path / "project"
    files = [
        file(root / "train.py", "a"), file(root / "parts" / "net.py", "b"),
        file(tmp_path / "elsewhere.py"), file(root / "env" / "site-packages" / "torch.py"),
    ]  # fmt: skip
    assert digests(root, files) == {
        "parts/net.py": hashlib.sha256(b"b").hexdigest(),
        "train.py": hashlib.sha256(b"a").hexdigest(),
    }


def test_our_own_files_are_none_of_the_users() -> None:
    own = Path(rnnprof.__file__)
    assert digests(own.parents[1], [own]) == {}


def test_a_file_that_is_gone_is_left_aside(tmp_path: Path) -> None:
    assert digests(tmp_path, [tmp_path / "gone.py"]) == {}


def test_a_built_in_cell_has_none() -> None:
    assert user_sources(None) == {}


@pytest.mark.parametrize("factory", ["{folder}/pack/train.py:make", "pack.train:make"])
def test_a_script_has_its_folder_and_a_module_its_package(
    factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("__init__", "train", "net", "unused"):
        file(tmp_path / "pack" / f"{name}.py", f"name = {name!r}\n")
    file(tmp_path / "beside.py")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("pack", "pack.train", "pack.net", "beside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import pack.net  # type: ignore[import-not-found]
    import pack.train  # type: ignore[import-not-found]  # noqa: F401

    found = user_sources(factory.format(folder=tmp_path))
    assert set(found) == {"__init__.py", "net.py", "train.py"}
    for name in ("pack", "pack.train", "pack.net"):
        sys.modules.pop(name)
