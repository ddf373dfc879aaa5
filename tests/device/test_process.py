"""What the kernel says of a process: on files written by hand, and on this one."""

from __future__ import annotations

import mmap
import os
import sys
import time
from pathlib import Path

import pytest

from rnnprof.device import cgroup, process
from rnnprof.device.process import ConditionsMeter, memory_bytes, memory_sizes
from rnnprof.errors import NoDeviceError

MIB = 1 << 20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

STATUS = """\
Name:\tpython3
VmPeak:\t  300000 kB
VmSize:\t  200000 kB
VmHWM:\t   90000 kB
VmRSS:\t   80000 kB
VmData:\t   70000 kB
Threads:\t4
"""


def test_memory_fields_are_read_in_bytes(tmp_path):
    status = tmp_path / "status"
    status.write_text(STATUS)
    assert memory_bytes("VmRSS", status) == 80_000 * 1024
    assert memory_bytes("VmHWM", status) == 90_000 * 1024
    assert memory_bytes("VmData", status) == 70_000 * 1024


def test_all_fields_are_of_one_moment(tmp_path):
    status = tmp_path / "status"
    assert memory_sizes(status) == {}
    status.write_text(STATUS)
    sizes = memory_sizes(status)
    assert (sizes["VmSize"], sizes["VmData"]) == (200_000 * 1024, 70_000 * 1024)
    assert "Threads" not in sizes


def test_an_absent_field_or_file_is_unknown(tmp_path):
    status = tmp_path / "status"
    assert memory_bytes("VmRSS", status) is None
    status.write_text(STATUS)
    assert memory_bytes("VmSwap", status) is None
    assert memory_bytes("Vm", status) is None


@LINUX
def test_data_grows_with_what_is_mapped():
    before = memory_bytes("VmData")
    with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        during = memory_bytes("VmData")
    assert 64 * MIB <= during - before < 80 * MIB


@LINUX
def test_the_peak_starts_again_from_the_present():
    with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        for at in range(0, len(block), mmap.PAGESIZE):
            block[at] = 1
    high = memory_bytes("VmHWM")
    assert high >= memory_bytes("VmRSS") + 60 * MIB
    reason = process.reset_peak_rss()
    if reason is None:
        assert memory_bytes("VmHWM") <= high - 60 * MIB
    else:  # a sandbox without clear_refs
        assert reason.startswith("the kernel does not allow VmHWM to be reset: ")


def test_a_kernel_that_refuses_the_reset_is_told(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert process.reset_peak_rss() == (
        "the kernel does not allow VmHWM to be reset: Permission denied"
    )


@pytest.mark.parametrize(
    ("group_bytes", "available"), [(None, 1000), (400, 400), (4000, 1000), (0, 0)]
)
def test_available_is_the_least_of_the_machine_and_the_group(monkeypatch, group_bytes, available):
    class Memory:
        total, available = 2000, 1000

    monkeypatch.setattr(process.psutil, "virtual_memory", Memory)
    monkeypatch.setattr(cgroup, "memory_left_bytes", lambda: group_bytes)
    assert process.available_bytes() == available


@LINUX
def test_usable_processors_are_those_of_the_affinity(monkeypatch):
    assert process.usable_processors() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 5})
    assert process.usable_processors() == 3


def test_where_there_is_no_affinity_every_processor_counts(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert process.usable_processors() == 6


STAT = """\
cpu  1000 0 1000 9000 0 0 0 40 0 0
cpu0 100 10 50 9000 7 3 2 20 90 0
cpu1 5000 0 0 0 0 0 0 500 0 0
cpu2 200 0 100 9000 7 0 0 0 0 0
intr 12345 0 0
btime 1700000000
"""


@LINUX
def test_busy_and_stolen_time_is_that_of_the_usable_processors(monkeypatch, tmp_path):
    stat = tmp_path / "stat"
    stat.write_text(STAT)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    # user, nice, system, irq and softirq; guest time is within user already
    assert process._machine_cpu_s(stat) == (465 / ticks_per_s, 20 / ticks_per_s)
    assert process._machine_cpu_s(tmp_path / "none") == (None, None)


@LINUX
def test_the_meter_sees_what_this_process_does():
    meter = ConditionsMeter.start()
    began_s = time.process_time()
    while time.process_time() - began_s < 0.15:
        pass
    seen = meter.read()
    assert seen.wall_s >= 0.1
    assert seen.cpu_count == len(os.sched_getaffinity(0))
    assert 0.1 <= seen.cpu_own_s <= 1.0
    assert seen.cpu_busy_s >= 0.05  # of a coarser clock
    assert seen.cpu_steal_s >= 0
    assert set(seen.unknown) <= {"throttled_s"}
    assert (seen.throttled_s is None) == ("throttled_s" in seen.unknown)


def test_what_the_machine_does_not_tell_is_unknown_with_a_reason(monkeypatch):
    monkeypatch.setattr(process, "_machine_cpu_s", lambda: (None, None))
    monkeypatch.setattr(cgroup, "throttled_s", lambda: None)
    seen = ConditionsMeter.start().read()
    assert (seen.cpu_busy_s, seen.cpu_steal_s, seen.throttled_s) == (None, None, None)
    assert set(seen.unknown) == {"cpu_busy_s", "cpu_steal_s", "throttled_s"}
    assert all(seen.unknown.values())


def test_a_counter_that_began_again_is_not_negative(monkeypatch):
    readings = iter([(10.0, 5.0), (3.0, 5.5)])
    monkeypatch.setattr(process, "_machine_cpu_s", lambda: next(readings))
    seen = ConditionsMeter.start().read()
    assert seen.cpu_busy_s == 0.0
    assert seen.cpu_steal_s == 0.5


@LINUX
@pytest.mark.parametrize("raised", [FileNotFoundError, IndexError, ValueError, KeyError])
def test_the_machines_memory_is_known_without_proc(monkeypatch, raised):
    whole, _ = process.machine_memory_bytes()

    def hidden():
        raise raised

    monkeypatch.setattr(process.psutil, "virtual_memory", hidden)
    total, available = process.machine_memory_bytes()
    assert 0 < available < total
    assert abs(total - whole) < whole / 10


def test_without_the_memory_of_a_process_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(process.sys, "platform", "linux")
    monkeypatch.setattr(process, "memory_bytes", lambda _: None)
    with pytest.raises(NoDeviceError, match="mount /proc"):
        process.check_memory_known()


def test_garbage_in_a_status_file_is_unknown(tmp_path):
    status = tmp_path / "status"
    for content in (b"", b"\xff\xfe", b"VmData:\n", b"VmData: x kB\n"):
        status.write_bytes(content)
        assert process.memory_bytes("VmData", status) is None
    for content in (b"", b"\n\n", b"cpu0 1 2\n", b"\xff cpu0 a b c d e f g h\n"):
        status.write_bytes(content)
        assert process._machine_cpu_s(status) == (None, None)
