"""The whole of ``rnnprof doctor``, on machines made by hand and on this one.

What it prints on each is kept in ``tests/golden/doctor``; RNNPROF_WRITE_GOLDEN=1 writes it anew, to
be read before it is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fake_nvml import GIB, FakeCard, FakeNvml, error, mig_slice
from rnnprof.cli.doctor import render
from rnnprof.cli.main import run
from rnnprof.device import inspection
from rnnprof.device.doctor import Diagnosis, Remark
from rnnprof.device.inspection import Machine
from rnnprof.device.nvml import Nvml

GOLDEN = Path(__file__).parents[1] / "golden" / "doctor"
MIB = 1 << 20
CUDA, CPU = "12.8", None
BINDINGS = {"nvidia-ml-py": "13.580.65"}

NO_LIBRARY = FakeNvml(refuses={"nvmlInit": error("LibraryNotFound")})


def no_nvidia() -> dict[str, Any]:
    return {"nvml": NO_LIBRARY, "torch": CPU, "pci_gpus": 0}


def h200() -> dict[str, Any]:
    return {"nvml": FakeNvml(FakeCard(power_mw=76_000, event_bits=0x1, sm_clock_mhz=345))}


def driver_missing() -> dict[str, Any]:
    return {"nvml": NO_LIBRARY}


def cpu_torch_beside_a_card() -> dict[str, Any]:
    return {"nvml": FakeNvml(FakeCard(name="NVIDIA L4", total_bytes=24 * GIB)), "torch": CPU}


def both_bindings() -> dict[str, Any]:
    return {
        "nvml": FakeNvml(FakeCard()),
        "installed_version": {**BINDINGS, "pynvml": "11.5.3"}.get,
    }


def busy_and_hot() -> dict[str, Any]:
    gpu = FakeCard(
        used_bytes=20 * GIB, processes=[(31337, 20 * GIB)], temperature_c=91, event_bits=0x48
    )
    return {"nvml": FakeNvml(gpu), "group_throttled_s": lambda: 93.4}


def mig_in_a_container() -> dict[str, Any]:
    parent = FakeCard(
        slices=[mig_slice(used_bytes=9 * GIB), None],
        refuses={"nvmlDeviceGetMemoryInfo": error("NoPermission")},
    )
    return {"nvml": FakeNvml(parent)}


def nothing_works() -> dict[str, Any]:
    return {
        "nvml": NO_LIBRARY,
        "torch": ...,
        "pci_gpus": 0,
        "group_left_bytes": lambda: 512 * MIB,
        "may_write": lambda _: False,
        "disk_usage": lambda _: SimpleNamespace(free=3 * MIB),
    }


MACHINES: dict[str, tuple[Callable[[], dict[str, Any]], int]] = {
    "1-no-nvidia": (no_nvidia, 0),
    "2-h200": (h200, 0),
    "3-driver-missing": (driver_missing, 0),
    "4-cpu-torch-beside-a-GPU": (cpu_torch_beside_a_card, 0),
    "5-both-bindings": (both_bindings, 0),
    "6-busy-and-hot": (busy_and_hot, 0),
    "7-mig-in-a-container": (mig_in_a_container, 0),
    "8-nothing-works": (nothing_works, 4),
}


def build(
    folder: Path, *, nvml: FakeNvml, torch: Any = CUDA, pci_gpus: int = 1, **sources: Any
) -> Machine:
    """A Linux machine; *torch* is the CUDA that it was built for, or ``...`` for no torch."""
    for number in range(pci_gpus):
        device = folder / "pci" / str(number)
        device.mkdir(parents=True)
        (device / "vendor").write_text("0x10de\n")
        (device / "class").write_text("0x030200\n")
    (folder / "version.py").write_text(f"__version__ = '2.9.1'\ncuda = {torch!r}\n")
    defaults: dict[str, Any] = {
        "installed_version": BINDINGS.get,
        "environ": {},
        "system": lambda: "Linux",
        "libc": lambda: "glibc",
        "processors": lambda: 16,
        "memory_bytes": lambda: (128 * GIB, 120 * GIB),
        "group_left_bytes": lambda: None,
        "group_throttled_s": lambda: 0.0,
        "may_write": lambda _: True,
        "disk_usage": lambda _: SimpleNamespace(free=60 * GIB),
    }
    return Machine(
        open_nvml=lambda: Nvml.open(nvml),
        torch_folder=lambda: None if torch is ... else folder,
        pci=folder / "pci",
        kernel=folder / "none",
        folder=folder,
        **(defaults | sources),
    )


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, Any]], None]:
    """Let doctor look at a machine made by hand."""
    inspect = inspection.inspect

    def put(parts: dict[str, Any]) -> None:
        machine = build(tmp_path, **parts)
        monkeypatch.setattr(inspection, "inspect", lambda: inspect(machine))

    return put


@pytest.mark.parametrize("name", MACHINES)
def test_what_it_says_of_each_machine(name, on, capsys):
    parts, code = MACHINES[name]
    on(parts())
    assert run(["doctor"]) == code
    told = capsys.readouterr()
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("RNNPROF_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(told.out)
    assert told.out == golden.read_text()
    assert told.err == ""
    assert max(map(len, told.out.splitlines())) <= 100


def test_each_golden_file_has_its_machine():
    assert {path.stem for path in GOLDEN.iterdir()} == set(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_the_document_says_the_same(name, on, capsys):
    parts, code = MACHINES[name]
    on(parts())
    assert run(["doctor", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["can_measure", "findings", "facts"]
    assert any(document["can_measure"].values()) == (code == 0)
    golden = (GOLDEN / f"{name}.txt").read_text()
    for finding in document["findings"]:
        assert set(finding) == {"level", "subject", "text", "remedy"}
        assert f"{finding['level']:<7}  {finding['subject']}: {finding['text']}" in golden
    assert document["facts"]["host"]["processors"] == 16


def test_the_run_directory_of_the_document_is_relative(on, capsys, tmp_path):
    on(h200())
    run(["doctor", "--json"])
    assert str(tmp_path) not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("is_terminal", "environ", "is_coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (False, {}, False),
    ],
)
def test_colour_is_for_terminals_alone(on, capsys, monkeypatch, is_terminal, environ, is_coloured):
    on(busy_and_hot())
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    run(["doctor"])
    assert ("\x1b[31mproblem\x1b[0m" in capsys.readouterr().out) == is_coloured


def test_a_remedy_stands_on_its_finding_s_line_where_it_fits():
    short = Remark("note", "a", "b" * 60, "c" * 20)
    long = Remark("note", "a", "b" * 60, "c" * 40)
    lines = render(Diagnosis({"cpu": True}, (short, long)), colour=False).splitlines()
    assert lines == [
        "this machine can measure on: CPU",
        f"note     a: {'b' * 60} -> {'c' * 20}",
        f"note     a: {'b' * 60}",
        f"         -> {'c' * 40}",
    ]


def test_a_file_of_defaults_does_not_stop_it(on, capsys, monkeypatch, tmp_path):
    """Neither one for another command nor a broken one."""
    on(no_nvidia())
    monkeypatch.chdir(tmp_path)
    for text in ("batch = '8:64:x2'\n", "[[["):
        (tmp_path / "rnnprof.toml").write_text(text)
        assert run(["doctor"]) == 0
    assert capsys.readouterr().err == ""


def test_this_machine_without_importing_torch_or_matplotlib(tmp_path):
    code = (
        "import sys\nfrom rnnprof.cli.main import run\ncode = run(['doctor'])\n"
        "assert not {'torch', 'matplotlib', 'numpy'} & set(sys.modules)\nsys.exit(code)"
    )
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("this machine can measure on: CPU")
    assert list(tmp_path.iterdir()) == []


def test_help_and_bad_usage(capsys):
    assert run(["doctor", "-h"]) == 0
    assert "--json" in capsys.readouterr().out
    assert run(["doctor", "--batch", "8"]) == 2
