"""NVML as it answers, and as it refuses: with a stand-in, and with the real bindings' own names."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pynvml
import pytest

from fake_nvml import GIB, RESERVE_BYTES, FakeCard, FakeNvml, error, mig_slice
from rnnprof.device import nvml as module
from rnnprof.device.nvml import (
    Gpu,
    Nvml,
    NvmlMissing,
    OtherProcess,
    event_reasons,
    open_nvml,
    same_uuid,
    visible_cards,
)
from rnnprof.runfile.observations import DeviceConditions

PID = 4242
UUID = "GPU-aaaaaaaa-0000-1111-2222-333333333333"
SLICE = "MIG-bbbbbbbb-0000-1111-2222-333333333333"


def opened(*gpus: FakeCard, **options) -> Nvml:
    nvml = Nvml.open(FakeNvml(*gpus, **options))
    assert isinstance(nvml, Nvml)
    return nvml


def read(gpu: FakeCard, **options) -> DeviceConditions:
    return opened(gpu, **options).read(UUID, PID)


class TestOpening:
    def test_it_is_initialised_and_given_back(self):
        library = FakeNvml(FakeCard())
        nvml, reason = open_nvml(library)
        assert (library.opened, reason) == (1, None)
        nvml.close()
        assert library.opened == 0

    @pytest.mark.parametrize(
        ("name", "kind", "words"),
        [
            ("LibraryNotFound", "no_driver", "no NVIDIA driver: its library libnvidia-ml"),
            ("DriverNotLoaded", "driver_not_loaded", "installed but not loaded"),
            ("NoPermission", "no_permission", "has no permission to use the NVIDIA driver"),
            ("LibRmVersionMismatch", "version_mismatch", "differ in version"),
            ("NotSupported", "not_supported", "does not support this machine"),
            ("GpuIsLost", "other", "NVML: GPU is lost"),
        ],
    )
    def test_each_refusal_has_its_kind_and_reason(self, name, kind, words):
        library = FakeNvml(refuses={"nvmlInit": error(name)})
        missing = Nvml.open(library)
        assert isinstance(missing, NvmlMissing)
        assert missing.kind == kind
        assert words in missing.reason
        assert open_nvml(library) == (None, missing.reason)

    def test_an_error_that_is_not_nvmls_is_a_reason_too(self):
        library = FakeNvml(refuses={"nvmlInit": OSError("cannot map the library")})
        assert Nvml.open(library) == NvmlMissing("other", "NVML: cannot map the library")

    def test_a_module_that_is_something_else_is_a_reason(self):
        assert open_nvml(object()) == (None, "the installed NVML bindings have no nvmlInit")

    def test_without_the_bindings(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pynvml", None)
        missing = Nvml.open()
        assert isinstance(missing, NvmlMissing)
        assert missing.kind == "no_bindings"
        assert missing.reason.startswith("nvidia-ml-py cannot be imported: ")

    def test_the_deprecated_bindings_may_warn(self, monkeypatch, tmp_path):
        (tmp_path / "pynvml.py").write_text(
            "import warnings\nwarnings.warn('deprecated', FutureWarning)\ndef nvmlInit(): pass\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "pynvml")
        assert isinstance(Nvml.open(), Nvml)

    def test_a_failing_shutdown_is_survived(self):
        opened(refuses={"nvmlShutdown": error("Uninitialized")}).close()

    def test_the_driver_version(self):
        assert opened().driver_version() == "580.65.06"
        library = FakeNvml()
        library.driver = b"470.57.02"
        assert open_nvml(library)[0].driver_version() == "470.57.02"
        refusing = opened(refuses={"nvmlSystemGetDriverVersion": error("Unknown")})
        assert refusing.driver_version() is None

    def test_importing_it_imports_neither_torch_nor_the_bindings(self):
        code = (
            "import sys, rnnprof.device.nvml as m; "
            "assert not {'torch', 'pynvml'} & set(sys.modules), 'imported'; m.open_nvml(); "
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestCards:
    def test_physical_cards_in_nvmls_order(self):
        gpus = opened(FakeCard(), FakeCard(uuid="GPU-bb", name="NVIDIA L4")).gpus()
        assert gpus == (
            Gpu(0, UUID, "NVIDIA H200", 140 * GIB),
            Gpu(1, "GPU-bb", "NVIDIA L4", 140 * GIB),
        )
        assert not any(gpu.is_mig for gpu in gpus)

    def test_old_bindings_answer_in_bytes(self):
        assert opened(FakeCard(uuid=b"GPU-aa", name=b"Tesla V100")).gpus() == (
            Gpu(0, "GPU-aa", "Tesla V100", 140 * GIB),
        )

    def test_slices_follow_their_card(self):
        second = mig_slice(uuid="MIG-cc")
        survey = opened(FakeCard(slices=[mig_slice(), None, second, None])).survey()
        assert survey.skipped == ()
        assert survey.gpus == (
            Gpu(0, UUID, "NVIDIA H200", 140 * GIB, mig_on=True),
            Gpu(0, SLICE, "NVIDIA H200 MIG 1g.18gb", 16 * GIB, parent_uuid=UUID),
            Gpu(0, "MIG-cc", "NVIDIA H200 MIG 1g.18gb", 16 * GIB, parent_uuid=UUID),
        )
        assert [gpu.is_mig for gpu in survey.gpus] == [False, True, True]

    def test_a_card_without_mig_has_no_slices(self):
        gpu = FakeCard(refuses={"nvmlDeviceGetMigMode": error("NotSupported")})
        assert [entry.mig_on for entry in opened(gpu).gpus()] == [False]

    def test_memory_that_is_not_told_is_unknown_and_the_card_is_kept(self):
        gpu = FakeCard(refuses={"nvmlDeviceGetMemoryInfo": error("NoPermission")})
        assert opened(gpu).gpus() == (Gpu(0, UUID, "NVIDIA H200", None),)

    @pytest.mark.parametrize(
        "function", ["nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID", "nvmlDeviceGetName"]
    )
    def test_a_card_that_cannot_be_read_is_skipped_with_the_reason(self, function):
        survey = opened(FakeCard(), refuses={function: error("GpuIsLost")}).survey()
        assert survey.gpus == ()
        assert survey.skipped == ("GPU 0 cannot be read: NVML: GPU is lost",)

    def test_a_lost_card_does_not_hide_the_next(self):
        lost = FakeCard(refuses={"nvmlDeviceGetUUID": error("GpuIsLost")})
        survey = opened(lost, FakeCard()).survey()
        assert [gpu.index for gpu in survey.gpus] == [1]
        assert survey.skipped == ("GPU 0 cannot be read: NVML: GPU is lost",)

    def test_cards_that_cannot_be_counted(self):
        survey = opened(refuses={"nvmlDeviceGetCount": error("Unknown")}).survey()
        assert survey == module.Survey((), ("the GPUs cannot be counted: NVML: Unknown Error",))

    def test_slices_that_cannot_be_read_are_told(self):
        silent = mig_slice(refuses={"nvmlDeviceGetUUID": error("NoPermission")})
        assert opened(FakeCard(slices=[silent])).survey().skipped == (
            "MIG device of GPU 0 cannot be read: NVML: Insufficient Permissions",
        )
        uncounted = FakeCard(
            slices=[], refuses={"nvmlDeviceGetMaxMigDeviceCount": error("NoPermission")}
        )
        assert opened(uncounted).survey().skipped == (
            "the MIG devices of GPU 0 cannot be counted: NVML: Insufficient Permissions",
        )
        refusing = opened(
            FakeCard(slices=[mig_slice()]),
            refuses={"nvmlDeviceGetMigDeviceHandleByIndex": error("NoPermission")},
        )
        assert refusing.survey().skipped == (
            "MIG device 0 of GPU 0 cannot be read: NVML: Insufficient Permissions",
        )


class TestConditions:
    def test_everything_is_told(self):
        gpu = FakeCard(
            used_bytes=3 * GIB,
            sm_clock_mhz=1755,
            event_bits=0x4,
            processes=[(7, GIB), (PID, 2 * GIB)],
        )
        assert read(gpu) == DeviceConditions(
            sm_clock_mhz=1755,
            max_sm_clock_mhz=1980,
            memory_clock_mhz=3201,
            temperature_c=38,
            power_w=75.5,
            power_limit_w=700.0,
            event_reasons=("SwPowerCap",),
            used_bytes=3 * GIB,
            own_bytes=2 * GIB,
        )

    def test_the_fields_are_those_of_the_record(self):
        names = {field.name for field in fields(DeviceConditions)} - {"unknown"}
        assert names == set(module._FIELDS)

    @pytest.mark.parametrize(
        ("function", "unknown"),
        [
            ("nvmlDeviceGetClockInfo", {"sm_clock_mhz", "memory_clock_mhz"}),
            ("nvmlDeviceGetMaxClockInfo", {"max_sm_clock_mhz"}),
            ("nvmlDeviceGetPowerUsage", {"power_w"}),
            ("nvmlDeviceGetEnforcedPowerLimit", {"power_limit_w"}),
            ("nvmlDeviceGetMemoryInfo", {"used_bytes"}),
            ("nvmlDeviceGetComputeRunningProcesses", {"own_bytes"}),
        ],
    )
    @pytest.mark.parametrize("name", ["NotSupported", "NoPermission", "GpuIsLost"])
    def test_each_refusal_costs_its_own_field_alone(self, function, unknown, name):
        gpu = FakeCard(processes=[(PID, GIB)], refuses={function: error(name)})
        seen = read(gpu)
        assert seen.unknown == dict.fromkeys(unknown, f"NVML: {error(name)}")
        for field in fields(seen):
            assert (getattr(seen, field.name) is None) == (field.name in unknown)

    @pytest.mark.parametrize(
        ("first", "second", "field", "value"),
        [
            (
                "nvmlDeviceGetCurrentClocksEventReasons",
                "nvmlDeviceGetCurrentClocksThrottleReasons",
                "event_reasons",
                ("HwSlowdown",),
            ),
            ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV", "temperature_c", 38),
        ],
    )
    def test_a_function_under_its_other_name(self, first, second, field, value):
        gpu = FakeCard(event_bits=0x8)
        library = FakeNvml(gpu)
        assert getattr(open_nvml(library)[0].read(UUID, PID), field) == value
        assert first in {name for name, _ in library.calls}
        assert second not in {name for name, _ in library.calls}
        refused = {first: error("FunctionNotFound")}
        assert getattr(read(gpu, refuses=refused), field) == value
        assert getattr(read(gpu, missing=(first,)), field) == value
        neither = read(gpu, missing=(first, second))
        assert getattr(neither, field) is None
        assert neither.unknown[field] == f"the installed NVML bindings have no {second}"

    def test_no_event_reason_is_not_an_unknown_one(self):
        assert read(FakeCard()).event_reasons == ()

    def test_the_drivers_reserve_is_left_out_where_nvml_can(self):
        assert read(FakeCard(used_bytes=GIB)).used_bytes == GIB

    def test_an_older_driver_counts_its_reserve(self):
        gpu = FakeCard(
            used_bytes=GIB, refuses={"nvmlDeviceGetMemoryInfo_v2": error("FunctionNotFound")}
        )
        assert read(gpu).used_bytes == GIB + RESERVE_BYTES
        assert read(FakeCard(used_bytes=GIB), missing=("nvmlMemory_v2",)).used_bytes == (
            GIB + RESERVE_BYTES
        )

    def test_a_version_once_chosen_is_kept(self):
        """A switch of version would pass for others' taking the driver's reserve."""
        gpu = FakeCard(used_bytes=GIB)
        nvml = opened(gpu)
        assert nvml.read(UUID, PID).used_bytes == GIB
        gpu.refuses["nvmlDeviceGetMemoryInfo_v2"] = error("Unknown")
        seen = nvml.read(UUID, PID)
        assert (seen.used_bytes, seen.unknown["used_bytes"]) == (None, "NVML: Unknown Error")

    def test_a_container_that_hides_the_number_leaves_own_bytes_unknown(self):
        for processes in ([], [(31337, GIB)]):
            seen = read(FakeCard(used_bytes=GIB, processes=processes))
            assert (seen.own_bytes, seen.unknown) == (None, {"own_bytes": module.NOT_LISTED})

    def test_windows_counts_no_processs_memory(self):
        for processes in ([(PID, None)], [(PID, GIB), (PID, None)]):
            seen = read(FakeCard(processes=processes))
            assert (seen.own_bytes, seen.unknown) == (None, {"own_bytes": module.NOT_COUNTED})

    def test_a_process_listed_twice_holds_both(self):
        assert read(FakeCard(processes=[(PID, GIB), (PID, GIB)])).own_bytes == 2 * GIB

    def test_bindings_of_another_version_than_the_driver(self):
        mismatch = pynvml.NVMLLibraryMismatchError("versions differ")
        gpu = FakeCard(refuses={"nvmlDeviceGetComputeRunningProcesses": mismatch})
        assert read(gpu).unknown == {"own_bytes": "NVML: versions differ"}

    def test_a_slice_tells_its_memory_and_little_else(self):
        gpu = mig_slice(used_bytes=5 * GIB, processes=[(PID, 4 * GIB)])
        seen = opened(FakeCard(slices=[gpu])).read(SLICE, PID)
        assert (seen.used_bytes, seen.own_bytes) == (5 * GIB, 4 * GIB)
        assert set(seen.unknown) == set(module._FIELDS) - {"used_bytes", "own_bytes"}
        assert set(seen.unknown.values()) == {"NVML: Not Supported"}

    @pytest.mark.parametrize(
        ("uuid", "used_bytes"), [(UUID, 1), (UUID[4:], 1), (SLICE, 2), (SLICE[4:], 2)]
    )
    @pytest.mark.parametrize("surveyed", [False, True])
    def test_a_card_is_found_by_its_uuid_with_or_without_the_prefix(
        self, uuid, used_bytes, surveyed
    ):
        nvml = opened(FakeCard(used_bytes=1, slices=[mig_slice(used_bytes=2)]))
        if surveyed:
            nvml.gpus()
        assert nvml.read(uuid, PID).used_bytes == used_bytes

    def test_an_unknown_card_has_one_reason_for_everything(self):
        seen = opened(FakeCard()).read("GPU-ffff", PID)
        assert seen == DeviceConditions(unknown=dict.fromkeys(module._FIELDS, "NVML: Not Found"))


class TestOthers:
    def test_all_but_ours(self):
        gpu = FakeCard(processes=[(7, 20 * GIB), (PID, GIB), (8, None)])
        others, reason = opened(gpu).others(UUID, PID)
        assert others == (OtherProcess(7, 20 * GIB), OtherProcess(8, None))
        assert reason is None

    def test_none_is_not_unknown(self):
        assert opened(FakeCard()).others(UUID, PID) == ((), None)

    def test_unknown_with_the_reason(self):
        refuses = {"nvmlDeviceGetComputeRunningProcesses": error("NoPermission")}
        assert opened(FakeCard(), refuses=refuses).others(UUID, PID) == (
            None, "NVML: Insufficient Permissions",
        )  # fmt: skip
        assert opened(FakeCard()).others("GPU-ff", PID) == (None, "NVML: Not Found")


def test_event_reasons_have_nvmls_own_names():
    for bit, name in module.EVENT_REASONS.items():
        assert getattr(pynvml, f"nvmlClocksEventReason{name}") == bit
        assert event_reasons(bit) == (name,)
    assert event_reasons(0) == ()
    assert event_reasons(0x48) == ("HwSlowdown", "HwThermalSlowdown")
    assert event_reasons(0x4 | 1 << 40) == ("SwPowerCap", "0x10000000000")


def test_the_numbers_are_those_of_the_bindings():
    assert module.CLOCK_SM == pynvml.NVML_CLOCK_SM
    assert module.CLOCK_MEMORY == pynvml.NVML_CLOCK_MEM
    assert module.TEMPERATURE_GPU == pynvml.NVML_TEMPERATURE_GPU
    assert module.ENABLED == pynvml.NVML_DEVICE_MIG_ENABLE
    for name in (
        "NOT_SUPPORTED", "NO_PERMISSION", "NOT_FOUND", "DRIVER_NOT_LOADED", "LIBRARY_NOT_FOUND",
        "LIB_RM_VERSION_MISMATCH",
    ):  # fmt: skip
        assert getattr(module, name) == getattr(pynvml, f"NVML_ERROR_{name}")


def test_the_real_bindings_have_every_function_that_is_called():
    functions = {name for name in vars(FakeNvml) if name.startswith("nvmlDevice")}
    assert functions
    assert all(callable(getattr(pynvml, name, None)) for name in functions)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("GPU-ab-12", "GPU-ab-12", True),
        ("GPU-ab-12", "ab-12", True),
        ("AB-12", "GPU-ab-12", True),
        ("MIG-ab-12", "ab-12", True),
        ("GPU-ab-12", "MIG-ab-12", False),
        ("GPU-ab-12", "GPU-ab-13", False),
        ("MIG-GPU-ab-12/1/0", "GPU-ab-12", False),
        ("ab-12", "ab-13", False),
    ],
)
def test_one_device_by_either_spelling(first, second, same):
    assert same_uuid(first, second) is same
    assert same_uuid(second, first) is same


A, B, C = (Gpu(index, f"GPU-{name}{name}", "gpu", GIB) for index, name in enumerate("abc"))
SLICED = Gpu(1, "GPU-ss", "gpu", GIB, mig_on=True)
S1, S2 = (Gpu(1, f"MIG-{name}", "slice", GIB, parent_uuid="GPU-ss") for name in "12")


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        (None, (A, B, C)),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0", (A,)),
        ("2,0", (C, A)),
        (" 1 , 2 ", (B, C)),
        ("0,2,-1,1", (A, C)),  # the example of CUDA's programming guide
        ("0,7,1", (A,)),
        ("0,,1", (A,)),
        ("1,1", ()),
        ("GPU-bb", (B,)),
        ("GPU-b,GPU-a", (B, A)),
        ("gpu-bb", ()),
        ("GPU-", ()),  # names no single GPU
        ("GPU-ff,GPU-aa", ()),
        ("GPU-aa,1", (A, B)),
    ],
)
def test_the_cards_that_cuda_shows(value, visible):
    assert visible_cards((A, B, C), value) == visible


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        (None, (A, S1, S2)),
        ("0,1", (A, S1)),
        ("1", (S1,)),
        ("MIG-2", (S2,)),
        ("MIG-2,MIG-1", (S2, S1)),
        ("GPU-ss", (S1,)),
        ("MIG-", ()),
    ],
)
def test_a_card_in_mig_mode_stands_for_its_first_slice(value, visible):
    assert visible_cards((A, SLICED, S1, S2), value) == visible


def test_mig_mode_without_slices_shows_nothing():
    assert visible_cards((SLICED,), None) == ()
    assert visible_cards((SLICED,), "0") == visible_cards((SLICED,), "1") == ()
