"""The facts that doctor judges: from machines made by hand, and from this one."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fake_nvml import GIB, FakeCard, FakeNvml, error, mig_slice
from rnnprof.device import inspection
from rnnprof.device.inspection import FolderFacts, HostFacts, Machine, TorchFacts, inspect
from rnnprof.device.nvml import Nvml, OtherProcess

CUDA_BUILD = (
    "__version__ = '2.9.1+cu128'\ncuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n"
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with nothing on it."""
    return Machine(
        open_nvml=lambda: Nvml.open(FakeNvml(refuses={"nvmlInit": error("LibraryNotFound")})),
        installed_version=lambda _: None,
        torch_folder=lambda: None,
        environ={},
        pci=tmp_path / "pci",
        kernel=tmp_path / "version",
        system=lambda: "Linux",
        libc=lambda: "glibc",
        processors=lambda: 8,
        memory_bytes=lambda: (64 * GIB, 48 * GIB),
        group_left_bytes=lambda: None,
        group_throttled_s=lambda: None,
        folder=tmp_path / "work",
        may_write=lambda _: True,
        disk_usage=lambda _: SimpleNamespace(free=GIB),
    )


def with_cards(machine: Machine, *gpus: FakeCard, **environ: str) -> tuple[Machine, FakeNvml]:
    library = FakeNvml(*gpus)
    return replace(machine, open_nvml=lambda: Nvml.open(library), environ=environ), library


def test_the_host(machine):
    assert inspect(machine).host == HostFacts(8, 64 * GIB, 48 * GIB)
    limited = replace(machine, group_left_bytes=lambda: GIB, group_throttled_s=lambda: 2.5)
    assert inspect(limited).host == HostFacts(8, 64 * GIB, 48 * GIB, GIB, 2.5)


@pytest.mark.parametrize(
    ("text", "is_wsl"),
    [
        ("Linux version 5.15.167.4-microsoft-standard-WSL2", True),
        ("Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)", True),
        ("Linux version 6.8.0-generic", False),
    ],
)
def test_the_platform(machine, text, is_wsl):
    machine.kernel.write_text(text)
    seen = inspect(machine).platform
    assert (seen.system, seen.is_wsl, seen.is_glibc) == ("Linux", is_wsl, True)


def test_another_platform(machine):
    elsewhere = inspect(replace(machine, system=lambda: "Darwin", libc=lambda: "")).platform
    assert (elsewhere.system, elsewhere.is_wsl, elsewhere.is_glibc) == ("Darwin", False, False)


def test_the_run_directory_is_that_of_the_runs_if_there_is_one(machine):
    machine.folder.mkdir()
    assert inspect(machine).folder == FolderFacts(".", True, True, GIB)
    (machine.folder / "rnnprof-runs").mkdir()
    assert inspect(machine).folder == FolderFacts("rnnprof-runs", True, True, GIB)


def test_a_file_in_the_place_of_the_run_directory(machine):
    machine.folder.mkdir()
    (machine.folder / "rnnprof-runs").write_text("")
    assert inspect(machine).folder == FolderFacts("rnnprof-runs", False, True, GIB)


def test_the_run_directory_itself_is_asked(machine):
    (machine.folder / "rnnprof-runs").mkdir(parents=True)
    asked = []

    def refuse(path: Path) -> None:
        asked.append(path.name)
        raise OSError("gone")

    def may_write(path: Path) -> bool:
        asked.append(path.name)
        return False

    broken = replace(machine, may_write=may_write, disk_usage=refuse)
    assert inspect(broken).folder == FolderFacts("rnnprof-runs", True, False, None)
    assert asked == ["rnnprof-runs", "rnnprof-runs"]


class TestTorch:
    @pytest.fixture
    def build(self, machine: Machine, tmp_path: Path) -> Callable[[str], TorchFacts]:
        def look(text: str) -> TorchFacts:
            (tmp_path / "version.py").write_text(text)
            return inspect(replace(machine, torch_folder=lambda: tmp_path)).torch

        return look

    def test_none(self, machine):
        assert inspect(machine).torch == TorchFacts(is_installed=False)

    def test_a_cuda_build(self, build):
        assert build(CUDA_BUILD) == TorchFacts(True, "2.9.1+cu128", "12.8")

    def test_a_build_without(self, build):
        text = CUDA_BUILD.replace("'12.8'", "None")
        assert build(text) == TorchFacts(True, "2.9.1+cu128", None)

    def test_an_older_build_without_types(self, build):
        assert build("__version__ = '2.6.0'\ncuda = '11.8'\n") == TorchFacts(True, "2.6.0", "11.8")

    @pytest.mark.parametrize("text", ["", "cuda = '12.8'", "__version__ = 2", "not Python at all"])
    def test_a_file_that_says_nothing(self, build, text):
        unknown = "its version.py names no version"
        assert build(text) == TorchFacts(is_installed=True, unknown=unknown)

    def test_no_file(self, machine, tmp_path):
        seen = inspect(replace(machine, torch_folder=lambda: tmp_path)).torch
        unknown = "its version.py cannot be read"
        assert seen == TorchFacts(is_installed=True, unknown=unknown)

    def test_a_stray_folder_named_torch_is_no_torch(self, monkeypatch, tmp_path):
        (tmp_path / "torch").mkdir()
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        assert inspection._torch_folder() is None
        (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('imported')")
        sys.path_importer_cache.clear()
        assert inspection._torch_folder() == tmp_path / "torch"


class TestNvidia:
    def test_why_there_is_none(self, machine):
        seen = inspect(machine).nvidia
        assert seen.missing.kind == "no_driver"
        assert (seen.gpus, seen.driver, seen.visible_devices) == ((), None, None)

    def test_a_card_in_full(self, machine):
        gpu = FakeCard(used_bytes=GIB, processes=[(1 << 30, GIB), (os.getpid(), GIB)])
        here, library = with_cards(machine, gpu)
        seen = inspect(here).nvidia
        (only,) = seen.gpus
        assert (seen.missing, seen.driver, seen.skipped) == (None, "580.65.06", ())
        assert (only.gpu.name, only.is_visible) == ("NVIDIA H200", True)
        assert only.conditions.used_bytes == only.conditions.own_bytes == GIB
        assert only.others == (OtherProcess(1 << 30, GIB),)
        assert library.opened == 0, "NVML is given back"

    def test_why_others_are_unknown(self, machine):
        refuses = {"nvmlDeviceGetComputeRunningProcesses": error("NoPermission")}
        here, _ = with_cards(machine, FakeCard(refuses=refuses))
        (only,) = inspect(here).nvidia.gpus
        assert (only.others, only.others_unknown) == (None, "NVML: Insufficient Permissions")

    def test_hidden_cards_are_named_and_left_alone(self, machine):
        gpus = FakeCard(), FakeCard(uuid="GPU-bb")
        here, library = with_cards(machine, *gpus, CUDA_VISIBLE_DEVICES="1")
        seen = inspect(here).nvidia
        assert seen.visible_devices == "1"
        assert [gpu.is_visible for gpu in seen.gpus] == [False, True]
        assert seen.gpus[0].conditions is None
        asked = [arguments[0] for name, arguments in library.calls if name.endswith("PowerUsage")]
        assert asked == [gpus[1]]

    def test_slices_are_visible_and_their_card_is_not(self, machine):
        here, _ = with_cards(machine, FakeCard(slices=[mig_slice()]))
        assert [(gpu.gpu.is_mig, gpu.is_visible) for gpu in inspect(here).nvidia.gpus] == [
            (False, False), (True, True),
        ]  # fmt: skip

    def test_a_card_that_cannot_be_read(self, machine):
        lost = FakeCard(refuses={"nvmlDeviceGetUUID": error("GpuIsLost")})
        seen = inspect(with_cards(machine, lost)[0]).nvidia
        assert (seen.gpus, seen.skipped) == ((), ("GPU 0 cannot be read: NVML: GPU is lost",))

    def test_both_bindings(self, machine):
        versions = {"nvidia-ml-py": "12.535.161", "pynvml": "11.5.3"}
        seen = inspect(replace(machine, installed_version=versions.get)).nvidia
        assert (seen.nvidia_ml_py, seen.pynvml) == ("12.535.161", "11.5.3")

    @pytest.mark.parametrize(
        ("vendor", "of_class", "gpus"),
        [
            ("0x10de\n", "0x030200\n", 1),
            ("0x10de\n", "0x030000\n", 1),
            ("0x10de\n", "0x040300\n", 0),  # its audio
            ("0x10de\n", "0x068000\n", 0),  # an NVSwitch
            ("0x1002\n", "0x030000\n", 0),
        ],
    )
    def test_cards_on_the_bus(self, machine, vendor, of_class, gpus):
        device = machine.pci / "0000:17:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor)
        (device / "class").write_text(of_class)
        (machine.pci / "0000:18:00.0").mkdir()
        assert inspect(machine).nvidia.pci_gpus == gpus

    def test_a_bus_that_cannot_be_read(self, machine):
        assert inspect(machine).nvidia.pci_gpus is None


def test_this_machine_answers_without_importing_torch(tmp_path):
    code = (
        "import sys; from rnnprof.device.inspection import inspect, installed_torch; "
        "facts = inspect(); assert installed_torch() == facts.torch; "
        "assert not {'torch', 'matplotlib'} & set(sys.modules); "
        "print(facts.torch.version, facts.torch.cuda)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.split()
    import torch

    assert told == [torch.__version__, str(torch.version.cuda)]
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_the_facts_of_this_machine_are_plausible_and_name_nobody():
    facts = inspect()
    assert facts.platform.system
    assert 0 < facts.host.available_bytes <= facts.host.memory_bytes
    assert facts.nvidia.nvidia_ml_py is not None  # a dependency of rnnprof
    words = set(re.findall(r"[\w./-]+", json.dumps(asdict(facts))))
    assert facts.platform.system in words  # else nothing could be found
    assert not words & {socket.gethostname(), getpass.getuser(), str(Path.cwd()), str(Path.home())}
