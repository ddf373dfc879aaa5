"""Facts to findings: each thing that stands in the way is told once, with what to do about it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from rnnprof.device import doctor
from rnnprof.device.doctor import Remark, diagnose
from rnnprof.device.inspection import (
    Facts,
    FolderFacts,
    GpuFacts,
    HostFacts,
    NvidiaFacts,
    PlatformFacts,
    TorchFacts,
)
from rnnprof.device.nvml import Gpu, NvmlMissing, OtherProcess
from rnnprof.device.verified import EvidencePack
from rnnprof.runfile.observations import DeviceConditions

MIB, GIB = 1 << 20, 1 << 30

QUIET = DeviceConditions(
    sm_clock_mhz=1980, max_sm_clock_mhz=1980, temperature_c=38, event_reasons=(), used_bytes=0,
    unknown={"own_bytes": "no context"},
)  # fmt: skip
CARD = GpuFacts(Gpu(0, "GPU-aa", "NVIDIA H200", 140 * GIB), True, QUIET, ())
NO_DRIVER = NvidiaFacts(missing=NvmlMissing("no_driver", "no driver"), pci_gpus=0)

CPU_ONLY = Facts(
    platform=PlatformFacts("Linux", is_wsl=False, is_glibc=True),
    host=HostFacts(8, 64 * GIB, 48 * GIB),
    folder=FolderFacts(".", True, True, 10 * GIB),
    torch=TorchFacts(True, "2.9.1+cpu", None),
    nvidia=NO_DRIVER,
)
GPU = replace(
    CPU_ONLY,
    torch=TorchFacts(True, "2.9.1", "12.8"),
    nvidia=NvidiaFacts(driver="580.65.06", pci_gpus=1, gpus=(CARD,), nvidia_ml_py="13.580"),
)


def said(facts: Facts, subject: str, *verified: EvidencePack) -> list[Remark]:
    return [finding for finding in diagnose(facts, verified).findings if finding.subject == subject]


def only(facts: Facts, subject: str) -> Remark:
    (finding,) = said(facts, subject)
    return finding


def nvidia(facts: Facts = GPU, **changes: Any) -> Facts:
    return replace(facts, nvidia=replace(facts.nvidia, **changes))


def gpu(**changes: Any) -> Facts:
    return nvidia(gpus=(replace(CARD, **changes),))


def conditions(**changes: Any) -> Facts:
    return gpu(conditions=replace(QUIET, **changes))


def levels(facts: Facts) -> set[str]:
    verified = (EvidencePack("h200", "2026-11-23", "abc"),)
    return {finding.level for finding in diagnose(facts, verified).findings}


def test_a_healthy_machine_is_ok_throughout():
    assert levels(GPU) == {"ok"}
    assert diagnose(GPU, ()).can_measure == {"cpu": True, "cuda": True}


def test_a_machine_without_a_card_measures_on_the_cpu():
    assert levels(CPU_ONLY) == {"ok", "note"}
    assert only(CPU_ONLY, "NVML") == Remark("note", "NVML", "no driver, and no GPU is found")
    assert diagnose(CPU_ONLY, ()).can_measure == {"cpu": True, "cuda": False}


class TestTorch:
    def test_missing(self):
        bare = replace(GPU, torch=TorchFacts(False))
        assert only(bare, "torch") == Remark(
            "problem", "torch", "is not installed", "pip install torch"
        )
        assert diagnose(bare, ()).can_measure == {"cpu": False, "cuda": False}

    def test_unreadable(self):
        torn = replace(GPU, torch=TorchFacts(True, unknown="its version.py cannot be read"))
        assert only(torn, "torch").level == "problem"
        assert diagnose(torn, ()).can_measure == {"cpu": True, "cuda": False}

    def test_a_build_without_cuda_beside_a_card(self):
        for facts in (
            replace(GPU, torch=CPU_ONLY.torch),
            nvidia(CPU_ONLY, pci_gpus=1),  # whose driver is missing
        ):
            finding = only(facts, "torch")
            assert finding.level == "problem"
            assert "built without CUDA, but there is an NVIDIA GPU" in finding.text
            assert "CUDA build of torch" in finding.remedy
            assert diagnose(facts, ()).can_measure == {"cpu": True, "cuda": False}

    def test_what_it_was_built_for(self):
        assert only(GPU, "torch").text == "2.9.1, built for CUDA 12.8"
        assert only(CPU_ONLY, "torch").level == "ok"


class TestDriver:
    @pytest.mark.parametrize(
        ("kind", "level"),
        [
            ("no_bindings", "note"),
            ("no_driver", "note"),
            ("driver_not_loaded", "problem"),
            ("no_permission", "problem"),
            ("version_mismatch", "problem"),
        ],
    )
    def test_each_reason_has_its_remedy(self, kind, level):
        missing = nvidia(missing=NvmlMissing(kind, "the reason"), gpus=(), pci_gpus=None)
        finding = only(missing, "NVML")
        assert (finding.level, finding.text) == (level, "the reason")
        assert finding.remedy
        beside = only(nvidia(missing, pci_gpus=2), "NVML")
        assert (beside.level, beside.text) == (
            "problem",
            "the reason (2 NVIDIA GPUs present)",
        )
        assert beside.remedy == finding.remedy
        assert diagnose(missing, ()).can_measure == {"cpu": True, "cuda": False}

    def test_the_remedies_differ(self):
        kinds = ("no_bindings", "no_driver", "driver_not_loaded", "no_permission")
        remedies = {
            only(nvidia(missing=NvmlMissing(kind, "x"), gpus=()), "NVML").remedy for kind in kinds
        }
        assert len(remedies) == len(kinds)

    @pytest.mark.parametrize("kind", ["not_supported", "other"])
    def test_a_reason_without_a_remedy(self, kind):
        finding = only(nvidia(missing=NvmlMissing(kind, "odd"), gpus=(), pci_gpus=0), "NVML")
        assert finding == Remark("problem", "NVML", "odd", None)

    def test_a_card_that_cannot_be_read(self):
        found = said(nvidia(skipped=("GPU 1 cannot be read: lost",)), "NVIDIA driver")
        assert [finding.level for finding in found] == ["ok", "problem"]
        assert found[1].text == "GPU 1 cannot be read: lost"

    def test_a_driver_without_cards(self):
        found = said(nvidia(gpus=()), "NVIDIA driver")
        assert [finding.level for finding in found] == ["ok", "note"]
        assert "--gpus all" in found[1].remedy

    def test_a_driver_that_hides_its_version(self):
        assert "unknown" in only(nvidia(driver=None), "NVIDIA driver").text


class TestBindings:
    def test_both(self):
        finding = only(nvidia(pynvml="11.5.3"), "NVML bindings")
        assert "pynvml 11.5.3 may hide nvidia-ml-py 13.580" in finding.text
        assert finding.remedy == "pip uninstall pynvml"

    def test_the_deprecated_one_alone(self):
        finding = only(nvidia(pynvml="11.5.3", nvidia_ml_py=None), "NVML bindings")
        assert finding.level == "problem"
        assert "pip install nvidia-ml-py" in finding.remedy

    def test_the_right_one_alone(self):
        assert said(GPU, "NVML bindings") == []


class TestVisibility:
    NAME = "CUDA_VISIBLE_DEVICES"

    def test_all_hidden(self):
        hidden = nvidia(
            gpus=(replace(CARD, is_visible=False, conditions=None),), visible_devices=""
        )
        finding = only(hidden, self.NAME)
        assert (finding.level, finding.text) == ("problem", "'' hides every GPU")
        assert diagnose(hidden, ()).can_measure == {"cpu": True, "cuda": False}
        assert said(hidden, "GPU 0") == []

    def test_some_hidden(self):
        other = GpuFacts(Gpu(1, "GPU-bb", "NVIDIA L4", GIB), is_visible=False)
        finding = only(nvidia(gpus=(CARD, other), visible_devices="0"), self.NAME)
        assert (finding.level, finding.text) == ("note", "'0' shows 1 of 2 GPUs")

    def test_nothing_to_hide(self):
        assert said(GPU, self.NAME) == said(nvidia(gpus=(), visible_devices=""), self.NAME) == []


class TestMig:
    PARENT = GpuFacts(Gpu(0, "GPU-aa", "NVIDIA H200", None, mig_on=True), is_visible=False)
    SLICE = replace(
        CARD, gpu=Gpu(0, "MIG-bbbbbbbb-0000", "NVIDIA H200 MIG 1g", GIB, parent_uuid="GPU-aa")
    )

    def test_a_slice(self):
        facts = nvidia(gpus=(self.PARENT, self.SLICE))
        found = said(facts, "GPU 0 MIG-bbbbbbbb")
        assert [finding.level for finding in found] == ["ok", "note"]
        assert "slice" in found[1].text
        assert said(facts, "CUDA_VISIBLE_DEVICES") == [], "a GPU in MIG mode is not hidden"
        assert diagnose(facts, ()).can_measure["cuda"]

    def test_mode_on_and_no_device(self):
        facts = nvidia(gpus=(self.PARENT,))
        assert only(facts, "MIG").level == "problem"
        assert not diagnose(facts, ()).can_measure["cuda"]


class TestCard:
    def test_every_field_has_a_label(self):
        names = {field.name for field in fields(DeviceConditions)} - {"unknown", "own_bytes"}
        assert set(doctor._LABELS) == names

    def test_who_it_is(self):
        assert only(GPU, "GPU 0").text == "NVIDIA H200, 140 GiB"
        nameless = gpu(gpu=replace(CARD.gpu, memory_bytes=None))
        assert only(nameless, "GPU 0").text == "NVIDIA H200, memory unknown"

    @pytest.mark.parametrize(
        ("others", "words"),
        [
            ([20 * GIB], "another process uses it, with 20.0 GiB"),
            ([20 * GIB, GIB], "2 other processes use it, with 21.0 GiB"),
            ([20 * GIB, None], "2 other processes use it, with at least 20.0 GiB"),
            ([None], "another process uses it, with memory that NVML does not report"),
        ],
    )
    def test_others(self, others, words):
        processes = tuple(OtherProcess(pid, size) for pid, size in enumerate(others))
        finding = said(gpu(others=processes), "GPU 0")[1]
        assert (finding.level, finding.text) == ("problem", words)
        assert "stop the other processes" in finding.remedy

    def test_memory_in_use_by_nobody_that_is_listed(self):
        assert len(said(conditions(used_bytes=GIB), "GPU 0")) == 1
        finding = said(conditions(used_bytes=9 * GIB), "GPU 0")[1]
        assert finding.level == "problem"
        assert finding.text.startswith("9.00 GiB are in use by processes that NVML does not list")

    def test_others_unknown(self):
        finding = said(gpu(others=None, others_unknown="NVML: no"), "GPU 0")[1]
        assert finding == Remark(
            "note", "GPU 0", "whether other processes use it is unknown (NVML: no)"
        )

    def test_throttling(self):
        finding = said(conditions(event_reasons=("SwPowerCap", "HwSlowdown")), "GPU 0")[1]
        assert finding.level == "problem"
        assert finding.text == "it is throttled now (HwSlowdown) at 38 °C"
        assert levels(conditions(event_reasons=("SwPowerCap", "GpuIdle"))) == {"ok"}
        warm = conditions(event_reasons=("HwSlowdown",), temperature_c=None)
        assert said(warm, "GPU 0")[1].text.endswith("(HwSlowdown)")

    def test_what_is_not_told(self):
        unknown = {
            "sm_clock_mhz": "no",
            "max_sm_clock_mhz": "no",
            "event_reasons": "no",
            "power_limit_w": "denied",
            "own_bytes": "no",
        }
        found = said(conditions(unknown=unknown), "GPU 0")[1:]
        assert [finding.text for finding in found] == [
            "unknown: clocks, throttling (no)", "unknown: power (denied)",
        ]  # fmt: skip
        assert {finding.level for finding in found} == {"note"}


def test_the_cuda_path_is_unverified_until_there_is_evidence():
    assert said(GPU, "CUDA path") == [Remark("note", "CUDA path", "unverified on GPU")]
    packs = EvidencePack("h200", "2026-11-23", "abc"), EvidencePack("l4", "2026-12-01", "def")
    (finding,) = said(GPU, "CUDA path", *packs)
    assert finding == Remark("ok", "CUDA path", "verified on h200 (2026-11-23), l4 (2026-12-01)")


class TestPlatform:
    def platform(self, **changes: Any) -> Facts:
        return replace(GPU, platform=replace(GPU.platform, **changes))

    def test_linux_is_not_worth_a_word(self):
        assert said(GPU, "platform") == []

    def test_what_the_limit_of_the_cpu_counts(self):
        assert "address space" in only(GPU, "CPU limit").text
        assert said(self.platform(system="Darwin", is_glibc=False), "CPU limit") == []

    def test_macos(self):
        facts = self.platform(system="Darwin", is_glibc=False)
        finding = only(facts, "platform")
        assert finding.level == "note"
        assert finding.text.startswith("on Darwin no limit is set")
        assert diagnose(facts, ()).can_measure["cpu"]

    def test_windows(self):
        facts = self.platform(system="Windows", is_glibc=False)
        assert only(facts, "platform").level == "problem"
        assert not diagnose(facts, ()).can_measure["cpu"]

    def test_another_c_library(self):
        assert "not glibc" in only(self.platform(is_glibc=False), "platform").text

    def test_wsl(self):
        finding = only(self.platform(is_wsl=True), "platform")
        assert "may spill to host memory" in finding.text
        assert "Sysmem Fallback" in finding.remedy
        without_card = replace(CPU_ONLY, platform=replace(CPU_ONLY.platform, is_wsl=True))
        assert said(without_card, "platform") == []


class TestHost:
    def host(self, **changes: Any) -> list[Remark]:
        return said(replace(GPU, host=replace(GPU.host, **changes)), "CPU")

    def test_what_there_is(self):
        (finding,) = self.host()
        assert finding.text == "8 processors, 48.0 GiB of 64.0 GiB memory free"
        assert self.host(processors=1)[0].text.startswith("1 processor, ")

    def test_a_limit_that_binds(self):
        finding = self.host(group_left_bytes=512 * MIB)[1]
        assert finding.level == "note"
        assert finding.text == "the control group's limit leaves 512 MiB of that memory"
        assert len(self.host(group_left_bytes=48 * GIB)) == 1

    def test_a_quota_that_has_struck(self):
        finding = self.host(group_throttled_s=93.0)[1]
        assert "has stopped its processes for 93.0 s in total" in finding.text
        assert len(self.host(group_throttled_s=1.0)) == len(self.host(group_throttled_s=0.0)) == 1


class TestRunDirectory:
    def folder(self, **changes: Any) -> Remark:
        return only(replace(GPU, folder=replace(GPU.folder, **changes)), "run directory")

    def test_good(self):
        assert self.folder() == Remark(
            "ok", "run directory", "the working directory, 10.0 GiB free"
        )
        assert self.folder(free_bytes=None, path="rnnprof-runs").text == "rnnprof-runs, - free"

    def test_full(self):
        assert self.folder(free_bytes=64 * MIB).level == "ok"
        full = self.folder(free_bytes=64 * MIB - 1)
        assert full.level == "problem"
        assert full.text == "the working directory is full: 64.0 MiB are free"
        assert full.remedy == "choose another with -o"

    def test_read_only(self):
        assert self.folder(is_writable=False).text == "the working directory cannot be written to"

    def test_both(self):
        text = self.folder(is_writable=False, free_bytes=0, path="rnnprof-runs").text
        assert text == "rnnprof-runs cannot be written to and is full: 0 B are free"

    def test_no_directory(self):
        text = self.folder(is_folder=False, path="rnnprof-runs").text
        assert text == "rnnprof-runs is not a directory"
