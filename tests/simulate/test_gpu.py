"""The simulated GPU itself, through ctypes: memory, faults, processes.  No torch."""

from __future__ import annotations

import pytest

from rnnprof.simulate.description import models
from rnnprof.units import GIB, MIB
from simulate.compiled import needs_compiler
from simulate.in_child import Child

pytestmark = needs_compiler

OWN = "memory=1GiB,sms=40,capability=7.5,context=100MiB,others=24MiB"
ROOM_BYTES = 900 * MIB


def test_memory_is_charged_in_pages_of_2_mib(child: Child) -> None:
    code = """
statuses = [malloc(size)[0] for size in (1, 2 * MIB, 2 * MIB + 1)]
say([statuses, core.rnnprof_simulate_used_bytes(), info()])
"""
    statuses, used, info = child(code, gpu=OWN)
    assert statuses == [0, 0, 0]
    assert used == (2 + 2 + 4) * MIB + 100 * MIB
    assert info == [0, ROOM_BYTES - 8 * MIB, GIB]


def test_memory_ends_at_the_size_less_context_and_others(child: Child) -> None:
    code = f"""
whole = malloc({ROOM_BYTES} + 1)
most = malloc({ROOM_BYTES})
one_more = malloc(1)
text = core.cudaGetErrorString(one_more[0]).decode()
after_free = (free(most[1]), info()[1])
say([whole, most[0], one_more, text, core.cudaGetLastError(), core.cudaGetLastError(), after_free])
"""
    whole, most, one_more, text, kept, cleared, after_free = child(code, gpu=OWN)
    assert whole == [2, None]
    assert most == 0
    assert (one_more, text) == ([2, None], "out of memory")
    assert (kept, cleared) == (2, 0), "out of memory does not stick"
    assert after_free == [0, ROOM_BYTES]


@pytest.mark.parametrize("size", [2**63, 2**64 - 1])
def test_sizes_beyond_all_memory_are_out_of_memory(child: Child, size: int) -> None:
    assert child(f"say([malloc({size}), info()[1]])", gpu=OWN) == [[2, None], ROOM_BYTES]


def test_addresses_are_unique_and_the_lowest_gap_is_used_again(child: Child) -> None:
    code = """
a, b, c = (malloc(4 * MIB)[1] for _ in range(3))
free(b)
small, large = malloc(2 * MIB)[1], malloc(4 * MIB)[1]
say([a, b, c, small, large, free(b), free(b), free(a + 1)])
"""
    a, b, c, small, large, first_free, second_free, inside = child(code, gpu=OWN)
    assert a < b < c
    assert (b - a, c - b) == (4 * MIB, 4 * MIB)
    assert small == b, "first fit from below"
    assert large == c + 4 * MIB, "what is left of the gap is too small"
    assert first_free == 0
    assert (second_free, inside) == (1, 1), "freeing what is not allocated is an invalid value"


def test_the_order_of_addresses_is_the_same_in_every_process(child: Child) -> None:
    code = "first = malloc(1)[1]; say([malloc(3 * MIB)[1] - first, malloc(1)[1] - first])"
    assert child(code) == child(code) == [2 * MIB, 6 * MIB]


def test_everything_reads_as_zero_and_nothing_is_kept(child: Child) -> None:
    code = """
from rnnprof.device.process import memory_bytes
_, at = malloc(70 << 30)
host = C.create_string_buffer(b"x" * 16, 16)
to = core.cudaMemcpy(C.c_void_p(at), host, C.c_size_t(16), 1)
fill = core.cudaMemset(C.c_void_p(at), 255, C.c_size_t(70 << 30))
back = core.cudaMemcpy(host, C.c_void_p(at), C.c_size_t(16), 2)
say([to, fill, back, host.raw.hex(), memory_bytes("VmHWM")])
"""
    to, fill, back, content, most_bytes = child(code, gpu="h100")
    assert (to, fill, back) == (0, 0, 0)
    assert content == "00" * 16
    # not ru_maxrss: that begins with what the process that started it had
    assert most_bytes < 2 * GIB


def test_host_memory_is_copied(child: Child) -> None:
    code = """
a, b = C.create_string_buffer(b"abc"), C.create_string_buffer(4)
core.cudaMemcpy(b, a, C.c_size_t(4), 0)
pinned = C.c_void_p()
core.cudaHostAlloc(C.byref(pinned), C.c_size_t(100), 0)
kind = (C.c_int * 32)()
core.cudaPointerGetAttributes(kind, pinned)
kinds = [kind[0]]
for at in (malloc(1)[1], C.addressof(a)):
    core.cudaPointerGetAttributes(kind, C.c_void_p(at)); kinds.append(kind[0])
say([b.value.decode(), kinds, core.cudaFreeHost(pinned), core.cudaFreeHost(pinned)])
"""
    assert child(code) == ["abc", [1, 2, 0], 0, 1]


def test_virtual_memory_is_charged_when_created_and_given_back_at_last(child: Child) -> None:
    code = """
at, handle, room = C.c_uint64(), C.c_void_p(), [info()[1]]
page = C.c_size_t(2 * MIB)
calls = [
    core.cuMemAddressReserve(C.byref(at), C.c_size_t(2 << 40), C.c_size_t(0), C.c_uint64(0),
                             C.c_ulonglong(0)),
    core.cuMemCreate(C.byref(handle), page, None, C.c_ulonglong(0)),
]
room.append(info()[1])
def map_at(offset):
    return core.cuMemMap(C.c_uint64(at.value + offset), page, C.c_size_t(0), handle,
                         C.c_ulonglong(0))
calls += [map_at(0), map_at(0), map_at(3 << 40)]
calls.append(core.cuMemRelease(handle)); room.append(info()[1])
calls.append(core.cuMemUnmap(at, page)); room.append(info()[1])
too_much = core.cuMemCreate(C.byref(handle), C.c_size_t(2 << 30), None, C.c_ulonglong(0))
odd = core.cuMemCreate(C.byref(handle), C.c_size_t(MIB), None, C.c_ulonglong(0))
calls.append(core.cuMemAddressFree(at, C.c_size_t(2 << 40)))
say([calls, room, too_much, odd])
"""
    calls, room, too_much, odd = child(code, gpu=OWN)
    assert calls == [0, 0, 0, 1, 1, 0, 0, 0], "no address is mapped twice, or outside"
    assert [ROOM_BYTES - left for left in room] == [0, 2 * MIB, 2 * MIB, 0]
    assert (too_much, odd) == (2, 1)


PROPERTIES = """
raw = C.create_string_buffer(2048)
status = core.cudaGetDeviceProperties_v2(raw, 0)
value = C.c_int()
def attribute(which):
    core.cudaDeviceGetAttribute(C.byref(value), which, 0)
    return value.value
say([status, raw.value.decode(), int.from_bytes(raw[288:296], "little"),
     [attribute(which) for which in (16, 75, 76, 39, 97, 115)],
     core.cudaGetDeviceProperties_v2(raw, 1)])
"""


@pytest.mark.parametrize("model", models())
def test_the_device_is_as_described(child: Child, model: str) -> None:
    gpu = models()[model]
    status, name, memory, attributes, other = child(PROPERTIES, gpu=model)
    assert (status, name, memory, other) == (0, gpu.name, gpu.memory_bytes, 101)
    assert attributes[:3] == [gpu.multiprocessors, *gpu.capability]
    assert attributes[3:5] == [gpu.threads_per_multiprocessor, gpu.shared_per_block_bytes]
    assert attributes[5] == 0, "memory pools, of cudaMallocAsync, are not simulated"


UUID = models()["t4"].uuid


@pytest.mark.parametrize(
    ("visible", "count"),
    [("0", 1), ("0,1", 1), (UUID, 1), (UUID[:8].lower().replace("gpu", "GPU"), 1),
     ("", 0), ("1", 0), ("-1", 0), ("GPU-0", 0), ("NoDevFiles", 0), ("0,0", 0), ("1,0", 0)],
)  # fmt: skip
def test_cuda_visible_devices_is_honoured(child: Child, visible: str, count: int) -> None:
    code = "n = C.c_int(); s = core.cudaGetDeviceCount(C.byref(n)); say([s, n.value, malloc(1)[0]])"
    expected = [0, 1, 0] if count else [100, 0, 100]
    assert child(code, CUDA_VISIBLE_DEVICES=visible) == expected


# ---- faults


def test_the_nth_call_fails_and_no_other(child: Child) -> None:
    code = "say([malloc(1)[0] for _ in range(5)])"
    assert child(code, fault="cudaMalloc:3:out_of_memory") == [0, 0, 2, 0, 0]
    assert child(code, fault="cudaMalloc:3:out_of_memory:sticky") == [0, 0, 2, 2, 2]


DEVICE_ERRORS = {
    "device_assert": (710, "device-side assert triggered"),
    "illegal_address": (700, "an illegal memory access was encountered"),
    "launch_failure": (719, "unspecified launch failure"),
    "ecc": (214, "uncorrectable ECC error encountered"),
    "device_lost": (999, "unknown error"),
}


@pytest.mark.parametrize("error", DEVICE_ERRORS)
def test_a_device_error_sticks(child: Child, error: str) -> None:
    code = """
first = malloc(1)
launches = [launch() for _ in range(3)]
count = core.rnnprof_simulate_launches()
later = [malloc(1)[0], free(first[1]), core.cudaDeviceSynchronize(), core.cudaGetLastError(),
         core.cudaGetLastError(), info()[0], core.cuInit(0)]
n = C.c_int()
say([launches, count, later, core.cudaGetDevice(C.byref(n)),
     core.cudaGetErrorString(launches[1]).decode()])
"""
    number, text = DEVICE_ERRORS[error]
    launches, count, later, device, shown = child(code, fault=f"cudaLaunchKernel:2:{error}")
    assert launches == [0, number, number]
    assert count == 1
    assert later == [number] * 7
    assert device == 0
    assert shown == text


def test_libraries_fail_in_their_own_numbers(child: Child) -> None:
    code = """
h = C.c_void_p()
say([core.cudnnCreate(C.byref(h)), core.cudnnCreate(C.byref(h)), core.cublasCreate_v2(C.byref(h)),
     core.cublasCreate_v2(C.byref(h)), malloc(1)[0]])
"""
    fault = "cudnnCreate:1:not_initialized,cublasCreate_v2:1:alloc_failed"
    assert child(code, fault=fault) == [1001, 0, 3, 0, 0]
    assert child(code, fault="cudaMalloc:1:ecc") == [0, 0, 0, 0, 214]


def test_the_last_error_is_the_runtimes_until_it_is_asked_for(child: Child) -> None:
    code = """
handle, value = C.c_void_p(), C.c_int()
driver = core.cuMemCreate(C.byref(handle), C.c_size_t(2 * MIB), None, C.c_ulonglong(0))
after_driver = core.cudaGetLastError()
failed = malloc(1)[0]
core.cudaDeviceGetAttribute(C.byref(value), 16, 0)
say([driver, after_driver, failed, core.cudaPeekAtLastError(), core.cudaGetLastError(),
     core.cudaGetLastError()])
"""
    fault = "cuMemCreate:1:out_of_memory,cudaMalloc:1:out_of_memory"
    assert child(code, fault=fault) == [2, 0, 2, 2, 2, 0]


def test_stand_ins_refuse_and_can_be_told_to_fail(child: Child) -> None:
    code = """
runtime, dnn = C.CDLL("libcudart.so.13"), C.CDLL("libcudnn.so.9")
say([runtime.cudaGraphLaunch(), runtime.cudaGraphLaunch(), dnn.cudnnConvolutionForward(),
     runtime.cudaGetDeviceCount(C.byref(C.c_int()))])
"""
    fault = "cudaGraphLaunch:2:launch_failure"
    assert child(code) == [801, 801, 3000, 0]
    assert child(code, fault=fault)[:3] == [801, 719, 5003]


def test_a_reset_reads_the_environment_again(child: Child) -> None:
    code = """
put = C.CDLL(None).setenv
before = launch()
put(b"RNNPROF_SIMULATED_FAULT", b"cudaMalloc:1:out_of_memory", 1)
core.rnnprof_simulate_reset()
say([before, launch(), malloc(1)[0], malloc(1)[0]])
"""
    assert child(code, fault="cudaLaunchKernel:1:device_assert") == [710, 0, 2, 0]


@pytest.mark.parametrize(
    "fault", ["cudaMalloc", "cudaMalloc:0:ecc", "cudaMalloc:1:none", "cudaMalloc:1:ecc:once"]
)
def test_a_fault_that_cannot_be_read_ends_the_process(child: Child, fault: str) -> None:
    done = child.run("malloc(1)", fault=fault)
    assert done.returncode != 0
    assert "is not FUNCTION:NTH:ERROR" in done.stderr


def test_a_kernel_that_no_gpu_launches_is_refused(child: Child) -> None:
    code = """
class Dim(C.Structure):
    _fields_ = [("x", C.c_uint), ("y", C.c_uint), ("z", C.c_uint)]
def launch_of(grid, block):
    return core.cudaLaunchKernel(None, Dim(*grid), Dim(*block), None, C.c_size_t(0), None)
say([launch_of((1, 1, 1), (1024, 1, 1)), launch_of((0, 1, 1), (1, 1, 1)),
     launch_of((1, 1, 1), (1024, 2, 1)), launch_of((1, 65536, 1), (1, 1, 1))])
"""
    assert child(code) == [0, 9, 9, 9]


# ---- processes


def test_children_of_a_process_without_a_context_have_a_gpu_each(child: Child) -> None:
    code = """
def in_child(work):
    out, into = os.pipe()
    if os.fork() == 0:
        os.write(into, json.dumps(work()).encode()); os._exit(0)
    os.wait()
    return json.loads(os.read(out, 1000))
whole = lambda: [malloc(800 * MIB)[0], info()[1]]
fresh = [in_child(whole), in_child(whole)]
say([fresh, core.rnnprof_simulate_used_bytes(), malloc(1)[0], in_child(lambda: malloc(1)[0])])
"""
    fresh, used, own, after = child(code, gpu=OWN)
    assert fresh == [[0, 100 * MIB]] * 2
    assert used == 0, "the parent made no context"
    assert (own, after) == (0, 3), "CUDA cannot be used in a child of a process that uses it"


def test_events_have_the_clock_of_the_host(child: Child) -> None:
    code = """
import time
a, b, untimed, ms = C.c_void_p(), C.c_void_p(), C.c_void_p(), C.c_float()
core.cudaEventCreate(C.byref(a)); core.cudaEventCreate(C.byref(b))
core.cudaEventCreateWithFlags(C.byref(untimed), 2)
core.cudaEventRecord(a, None)
early = core.cudaEventElapsedTime(C.byref(ms), a, b)
time.sleep(0.01)
core.cudaEventRecord(b, None); core.cudaEventRecord(untimed, None)
say([early, core.cudaEventElapsedTime(C.byref(ms), a, b), ms.value,
     core.cudaEventElapsedTime(C.byref(ms), a, untimed)])
"""
    early, status, ms, untimed = child(code)
    assert (early, status, untimed) == (400, 0, 400)
    assert ms >= 10


def test_no_library_of_nvidias_is_mapped(child: Child) -> None:
    code = """
import re
lines = open("/proc/self/maps").read().splitlines()
names = {line.split()[-1] for line in lines if re.search(r"/lib(cu|nv|nccl)", line)}
say(sorted({os.path.dirname(name) for name in names} - {str(folder)}))
"""
    assert child(code) == []
