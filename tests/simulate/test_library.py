"""Building for a torch, and saying what is missing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rnnprof.errors import NoDeviceError
from rnnprof.simulate import library as library_module
from rnnprof.simulate import standins
from rnnprof.simulate.description import describe
from rnnprof.simulate.elf import read_library
from rnnprof.simulate.library import CORE, NVML, SimulatedLibrary, build, check, load
from rnnprof.simulate.torchbuild import (
    SimulationUnavailableError,
    Wanted,
    find_torch,
    wanted_libraries,
)
from simulate.compiled import DNN, RUNTIME, needs_compiler


def cpu_torch(folder: Path) -> Path:
    library = folder / "torch" / "lib"
    library.mkdir(parents=True)
    (library / "libtorch_cpu.so").touch()
    return library


def test_a_cpu_build_of_torch_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        SimulationUnavailableError, match=r"not a CUDA build.*pip install"
    ) as caught:
        build(cpu_torch(tmp_path), tmp_path / "cache")
    assert isinstance(caught.value, NoDeviceError)
    assert caught.value.exit_code == 4


def test_no_torch_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SimulationUnavailableError, match=r"not installed.*pip install"):
        find_torch()


def test_the_installed_torch_is_found_without_importing_it() -> None:
    code = (
        "import sys; from rnnprof.simulate.library import check; print(check()[0].name); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch"


def test_what_torch_says_of_itself(torch_folder: Path) -> None:
    torch = find_torch(torch_folder)
    assert torch.version == "2.99.0+cu130"
    assert (torch.cuda_version, torch.cudnn_version) == (13000, 93001)


def test_a_torch_that_says_nothing_is_known_by_its_runtime(
    torch_folder: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "torch" / "lib"
    bare.mkdir(parents=True)
    (bare / "libtorch_cuda.so").write_bytes((torch_folder / "libtorch_cuda.so").read_bytes())
    torch = find_torch(bare)
    assert (torch.version, torch.cuda_version) == (None, 13000)


def test_what_torch_wants_of_nvidias_libraries(torch_folder: Path) -> None:
    wanted = {entry.soname: entry for entry in wanted_libraries(find_torch(torch_folder))}
    assert set(wanted) == {RUNTIME, DNN}
    assert wanted[RUNTIME].versions == (RUNTIME,)
    assert wanted[RUNTIME].symbols == {"cudaMalloc": RUNTIME, "cudaGraphLaunch": RUNTIME}


def test_every_library_that_torch_wants_is_built(simulated: SimulatedLibrary) -> None:
    names = [file.name for file in simulated.files]
    assert names[:2] == [CORE, NVML]
    assert set(names) == {CORE, NVML, "libcuda.so.1", RUNTIME, DNN}
    for file in simulated.files:
        built = read_library(file)
        assert built.soname == file.name
        assert not [name for name in built.needed if "cuda" in name or "nvidia" in name]


def test_stand_ins_have_the_version_and_what_the_core_lacks(simulated: SimulatedLibrary) -> None:
    runtime = read_library(simulated.folder / RUNTIME)
    core = read_library(simulated.core)
    assert runtime.versions == (RUNTIME,)
    assert "cudaGraphLaunch" in runtime.exports
    assert "cudaMalloc" not in runtime.exports
    assert "cudaMalloc" in core.exports
    assert "gpu_is_visible" not in core.exports, "internal names are hidden"


def test_a_second_build_is_the_first(simulated: SimulatedLibrary, torch_folder: Path) -> None:
    before = simulated.core.stat().st_mtime_ns
    assert build(torch_folder, simulated.folder.parent) == simulated
    assert simulated.core.stat().st_mtime_ns == before


def test_two_builds_at_once_end_in_one(
    torch_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = tuple(flag.replace("-O2", "-O0") for flag in library_module._FLAGS)
    monkeypatch.setattr(library_module, "_FLAGS", quick)
    found: list[SimulatedLibrary] = []
    threads = [
        threading.Thread(target=lambda: found.append(build(torch_folder, tmp_path / "cache")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [found[0].folder.name]


def test_another_torch_has_another_key(torch_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "torch" / "lib"
    other.mkdir(parents=True)
    (other / "libtorch_cuda.so").write_bytes((torch_folder / "libtorch_cuda.so").read_bytes())
    keys = {library_module._key(find_torch(folder)) for folder in (torch_folder, other)}
    assert len(keys) == 2


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert library_module._user_cache() == tmp_path / "rnnprof" / "simulate"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert library_module._user_cache() == Path.home() / ".cache" / "rnnprof" / "simulate"


def test_no_compiler_is_one_sentence(
    torch_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(SimulationUnavailableError, match=r"there is no C compiler.*install gcc"):
        build(torch_folder, tmp_path / "cache")
    monkeypatch.setenv("CC", "no-such-cc -m64")
    with pytest.raises(SimulationUnavailableError, match="CC=no-such-cc -m64 is not found"):
        build(torch_folder, tmp_path / "cache")


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(
    torch_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho first >&2\necho stdio.h: not there >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(SimulationUnavailableError, match=r"stdio.h: not there; set CC"):
        build(torch_folder, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(torch_folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(SimulationUnavailableError, match="XDG_CACHE_HOME"):
        build(torch_folder, blocked / "cache")


def test_loading_after_torch_is_refused(
    simulated: SimulatedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    with pytest.raises(SimulationUnavailableError, match="already imported"):
        load(simulated, describe("t4"))


def test_check_says_what_is_there(simulated: SimulatedLibrary, torch_folder: Path) -> None:
    checks = check(torch_folder, simulated.folder.parent)
    assert [(name, ok) for name, ok, _ in checks] == [
        ("torch", True),
        ("compiler", True),
        ("library", True),
    ]
    assert checks[0].sentence == "torch 2.99.0+cu130, CUDA 13.0"


def test_check_says_what_is_missing(tmp_path: Path) -> None:
    checks = check(cpu_torch(tmp_path), tmp_path / "cache")
    assert (checks[0].name, checks[0].ok) == ("torch", False)
    assert "not a CUDA build" in checks[0].sentence


@needs_compiler
def test_check_says_that_the_build_failed(torch_folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    assert check(torch_folder, blocked / "cache")[-1].ok is False


def test_a_stand_in_of_several_versions() -> None:
    symbols = {"a": "V1", "b": "V2", "c": None, "d": "V1", "bad-name": "V1"}
    wanted = Wanted("libnvshmem_host.so.3", ("V1", "V2"), symbols)
    text = standins.source(wanted, {"d"})
    assert 'int a(void) { return rnnprof_simulate_answer("a", 801); }' in text
    assert "int d(" not in text
    assert standins.version_script(wanted, {"d"}) == "V1 { global: a; c; };\nV2 { global: b; };\n"
    assert standins.version_script(Wanted("libnccl.so.2", (), {"e": None}), ()) is None
