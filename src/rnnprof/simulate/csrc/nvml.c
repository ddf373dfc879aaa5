/* NVML for the described GPU: the queries that torch and rnnprof make.  The memory of this process comes
 * from the simulated runtime, if it is loaded in the same process; nothing is known of other processes.
 * What a simulation does not have (temperature, power) is not supported.
 *
 * A test sets further state with RNNPROF_SIMULATED_NVML="key=value;key=value;...":
 *   slices           MIG devices: the memory of each place in bytes, with commas; 0 is an empty place
 *   processes        other processes, PID:BYTES with commas; CUDA does not know of them
 *   hides_memory     1: the memory of each process is not available
 *   reserved_bytes   the driver's own, which the first version of the memory query counts as used
 *   sm_clock_mhz     below the maximum, for a GPU that is throttled
 *   event_reasons    the bits of the throttling reasons
 *   temperature_c, power_mw, power_limit_mw
 * With slices, all used memory is on the first of them. */
#define _GNU_SOURCE
#include "simulate.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* nvmlReturn_t */
enum { NVML_OK = 0, NVML_UNINITIALIZED = 1, NVML_INVALID_ARGUMENT = 2, NVML_NOT_SUPPORTED = 3, NVML_NO_PERMISSION = 4, NVML_NOT_FOUND = 6, NVML_INSUFFICIENT_SIZE = 7, NVML_DRIVER_NOT_LOADED = 9, NVML_GPU_IS_LOST = 15, NVML_VERSION_MISMATCH = 18 };
enum { CLOCK_MEMORY = 2 };
enum { MOST_SLICES = 7, MOST_PROCESSES = 8 };
#define NOT_AVAILABLE (~0ull) /* where the memory of a process is not reported */

static char the_gpu, the_slices[MOST_SLICES]; /* their addresses are the handles */
static int users;                             /* nvmlInit minus nvmlShutdown */
static int is_lost;

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
struct process_v1 { unsigned pid; unsigned long long used_bytes; };
struct temperature { unsigned version; int sensor; unsigned celsius; };
struct process { unsigned pid; unsigned long long used_bytes; unsigned gpu_instance, compute_instance; };

/* ---- the state of the GPU, as set by a test */

static struct {
    size_t slices[MOST_SLICES];
    struct process processes[MOST_PROCESSES];
    unsigned slice_count, process_count;
    int hides_memory;
    size_t reserved_bytes, sm_clock_mhz, event_reasons, temperature_c, power_mw, power_limit_mw;
} state;
static int is_read;

static void read_slices(char *text)
{
    for (char *slice; (slice = strsep(&text, ",")) && state.slice_count < MOST_SLICES;)
        if (*slice) state.slices[state.slice_count++] = strtoull(slice, NULL, 10);
}

static void read_processes(char *text)
{
    struct process p = {0, 0, ~0u, ~0u};
    for (char *each; (each = strsep(&text, ",")) && state.process_count < MOST_PROCESSES;)
        if (sscanf(each, "%u:%llu", &p.pid, &p.used_bytes) == 2) state.processes[state.process_count++] = p;
}

static void read_state(void)
{
    const char *text = getenv("RNNPROF_SIMULATED_NVML");
    char slices[256] = "", processes[256] = "";
    memset(&state, 0, sizeof state);
    is_read = 1;
    if (!text) return;
    find_value(text, "slices", slices, sizeof slices);
    read_slices(slices);
    find_value(text, "processes", processes, sizeof processes);
    read_processes(processes);
    state.hides_memory = find_number(text, "hides_memory") != 0;
    state.reserved_bytes = find_number(text, "reserved_bytes");
    state.sm_clock_mhz = find_number(text, "sm_clock_mhz");
    state.event_reasons = find_number(text, "event_reasons");
    state.temperature_c = find_number(text, "temperature_c");
    state.power_mw = find_number(text, "power_mw");
    state.power_limit_mw = find_number(text, "power_limit_mw");
}

/* ---- the library's own errors: a GPU that is lost stays lost */

static int nvml_error(const char *function)
{
    if (!users) return NVML_UNINITIALIZED;
    const struct fault *fault = fault_at(function);
    if (fault && fault->is_device_error) is_lost = 1;
    return fault ? fault->nvml : NVML_OK;
}

static int gpu_error(const char *function)
{
    int error = nvml_error(function);
    if (!is_read) read_state();
    return !error && is_lost ? NVML_GPU_IS_LOST : error;
}

/* The result of a query that a MIG device does not support. */
static int whole_gpu_error(const char *function, const void *device)
{
    int error = gpu_error(function);
    return !error && device != &the_gpu ? NVML_NOT_SUPPORTED : error;
}
#define RETURN_IF(error)             \
    do {                             \
        int error_ = error;          \
        if (error_) return error_;   \
    } while (0)
#define ENTER_NVML RETURN_IF(nvml_error(__func__))
#define ENTER_GPU RETURN_IF(gpu_error(__func__))
#define ENTER_WHOLE_GPU RETURN_IF(whole_gpu_error(__func__, device))

/* The place of a MIG device; -1 for the GPU. */
static int place_of(const void *device) { return device == &the_gpu ? -1 : (int)((const char *)device - the_slices); }
static int is_used(const void *device) { return place_of(device) <= 0; }

static size_t own_bytes(const void *device)
{
    size_t (*ask)(void) = (size_t (*)(void))dlsym(RTLD_DEFAULT, "rnnprof_simulate_used_bytes");
    return ask && is_used(device) ? ask() : 0;
}

static size_t all_bytes(const void *device)
{
    size_t bytes = own_bytes(device) + (is_used(device) ? gpu()->others_bytes : 0);
    for (unsigned i = 0; is_used(device) && i < state.process_count; i++) bytes += state.processes[i].used_bytes;
    return bytes;
}

static size_t total_bytes(const void *device)
{
    int place = place_of(device);
    return place < 0 ? gpu()->memory_bytes : state.slices[place];
}

static int put(char *out, unsigned size, const char *text)
{
    if (strlen(text) + 1 > size) return NVML_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_OK;
}

/* ---- the library */

EXPORT void rnnprof_simulate_nvml_reset(void)
{
    gpu_read_again();
    fault_read_again();
    read_state();
    is_lost = 0;
}

EXPORT int nvmlInitWithFlags(unsigned flags)
{
    const struct fault *fault = fault_at("nvmlInit_v2");
    if (fault) return fault->nvml;
    if (!gpu()->is_described) return NVML_DRIVER_NOT_LOADED;
    users++;
    return NVML_OK;
}

EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
EXPORT int nvmlInit(void) { return nvmlInitWithFlags(0); }

EXPORT int nvmlShutdown(void)
{
    if (!users) return NVML_UNINITIALIZED;
    users--;
    return NVML_OK;
}

EXPORT const char *nvmlErrorString(int code)
{
    switch (code) {
    case NVML_OK: return "Success";
    case NVML_UNINITIALIZED: return "Uninitialized";
    case NVML_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_NOT_SUPPORTED: return "Not Supported";
    case NVML_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_NOT_FOUND: return "Not Found";
    case NVML_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_GPU_IS_LOST: return "GPU is lost";
    case NVML_VERSION_MISMATCH: return "Driver/library version mismatch";
    }
    return "Unknown Error";
}

EXPORT int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    ENTER_NVML;
    return put(out, size, "simulated");
}

EXPORT int nvmlSystemGetNVMLVersion(char *out, unsigned size)
{
    ENTER_NVML;
    return put(out, size, "simulated");
}

EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    ENTER_NVML;
    *version = CUDA_VERSION;
    return NVML_OK;
}

EXPORT int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

/* ---- finding the GPU: NVML ignores CUDA_VISIBLE_DEVICES */

EXPORT int nvmlDeviceGetCount_v2(unsigned *count)
{
    ENTER_NVML;
    *count = 1;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out)
{
    ENTER_GPU;
    *out = &the_gpu;
    return index == 0 ? NVML_OK : NVML_INVALID_ARGUMENT;
}

/* A MIG device's UUID begins with its place, and ends like the GPU's. */
static void write_uuid(const void *device, char *out, size_t size)
{
    int place = place_of(device);
    if (place < 0) snprintf(out, size, "%s", gpu()->uuid);
    else snprintf(out, size, "MIG-%08d%s", place, gpu()->uuid + strlen("GPU-xxxxxxxx"));
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **out)
{
    ENTER_GPU;
    *out = &the_gpu;
    if (!strcasecmp(uuid, gpu()->uuid)) return NVML_OK;
    for (unsigned place = 0; place < state.slice_count; place++) {
        char known[sizeof gpu()->uuid];
        write_uuid(&the_slices[place], known, sizeof known);
        *out = &the_slices[place];
        if (state.slices[place] && !strcasecmp(uuid, known)) return NVML_OK;
    }
    return NVML_NOT_FOUND;
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *id, void **out)
{
    ENTER_GPU;
    *out = &the_gpu;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
    ENTER_WHOLE_GPU;
    *current = *pending = 1;
    return state.slice_count ? NVML_OK : NVML_NOT_SUPPORTED;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count)
{
    ENTER_WHOLE_GPU;
    *count = state.slice_count;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned place, void **out)
{
    ENTER_WHOLE_GPU;
    if (place >= state.slice_count) return NVML_INVALID_ARGUMENT;
    *out = &the_slices[place];
    return state.slices[place] ? NVML_OK : NVML_NOT_FOUND;
}

EXPORT int nvmlDeviceGetIndex(void *device, unsigned *index)
{
    ENTER_GPU;
    *index = 0;
    return NVML_OK;
}

/* ---- properties */

EXPORT int nvmlDeviceGetUUID(void *device, char *out, unsigned size)
{
    ENTER_GPU;
    char uuid[sizeof gpu()->uuid];
    write_uuid(device, uuid, sizeof uuid);
    return put(out, size, uuid);
}

EXPORT int nvmlDeviceGetName(void *device, char *out, unsigned size)
{
    ENTER_GPU;
    char name[sizeof gpu()->name + sizeof " MIG"];
    snprintf(name, sizeof name, "%s%s", gpu()->name, place_of(device) < 0 ? "" : " MIG");
    return put(out, size, name);
}

EXPORT int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor)
{
    ENTER_GPU;
    *major = gpu()->major;
    *minor = gpu()->minor;
    return NVML_OK;
}

/* ---- state */

EXPORT int nvmlDeviceGetMemoryInfo(void *device, struct memory *out)
{
    ENTER_GPU;
    out->total = total_bytes(device);
    out->used = all_bytes(device) + state.reserved_bytes;
    out->free = out->total - out->used;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *out)
{
    ENTER_GPU;
    size_t total = total_bytes(device), used = all_bytes(device), reserved = state.reserved_bytes;
    *out = (struct memory_v2){out->version, total, reserved, total - used - reserved, used};
    return NVML_OK;
}

/* It runs at the clocks of its description, unless a test slows it down. */
static int give_clock(unsigned kind, size_t sm_clock_mhz, unsigned *mhz)
{
    *mhz = (unsigned)(kind == CLOCK_MEMORY ? (size_t)gpu()->memory_clock_mhz : sm_clock_mhz);
    return *mhz ? NVML_OK : NVML_NOT_SUPPORTED;
}

EXPORT int nvmlDeviceGetMaxClockInfo(void *device, unsigned kind, unsigned *mhz)
{
    ENTER_WHOLE_GPU;
    return give_clock(kind, (size_t)gpu()->sm_clock_mhz, mhz);
}

EXPORT int nvmlDeviceGetClockInfo(void *device, unsigned kind, unsigned *mhz)
{
    ENTER_WHOLE_GPU;
    return give_clock(kind, state.sm_clock_mhz ? state.sm_clock_mhz : (size_t)gpu()->sm_clock_mhz, mhz);
}

EXPORT int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits)
{
    ENTER_WHOLE_GPU;
    *bits = state.event_reasons;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits)
{
    ENTER_WHOLE_GPU;
    *bits = state.event_reasons;
    return NVML_OK;
}

static int give_number(size_t number, unsigned *out)
{
    *out = (unsigned)number;
    return number ? NVML_OK : NVML_NOT_SUPPORTED;
}

EXPORT int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    ENTER_WHOLE_GPU;
    return give_number(state.temperature_c, celsius);
}

EXPORT int nvmlDeviceGetTemperatureV(void *device, struct temperature *out)
{
    ENTER_WHOLE_GPU;
    return give_number(state.temperature_c, &out->celsius);
}

EXPORT int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    ENTER_WHOLE_GPU;
    return give_number(state.power_mw, milliwatts);
}

EXPORT int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts)
{
    ENTER_WHOLE_GPU;
    return give_number(state.power_limit_mw, milliwatts);
}

/* This process and those that a test has named; returns their number. */
static unsigned list_processes(const void *device, struct process *out)
{
    unsigned count = 0;
    size_t own = own_bytes(device);
    if (own) out[count++] = (struct process){(unsigned)getpid(), own, ~0u, ~0u};
    for (unsigned i = 0; is_used(device) && i < state.process_count; i++) out[count++] = state.processes[i];
    for (unsigned i = 0; state.hides_memory && i < count; i++) out[i].used_bytes = NOT_AVAILABLE;
    return count;
}

static int give_processes(const void *device, unsigned *count, struct process *out)
{
    struct process all[MOST_PROCESSES + 1];
    unsigned room = *count;
    *count = list_processes(device, all);
    if (room < *count) return NVML_INSUFFICIENT_SIZE;
    if (*count) memcpy(out, all, *count * sizeof *out);
    return NVML_OK;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *out)
{
    ENTER_GPU;
    return give_processes(device, count, out);
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v2(void *device, unsigned *count, struct process *out)
{
    ENTER_GPU;
    return give_processes(device, count, out);
}

EXPORT int nvmlDeviceGetComputeRunningProcesses(void *device, unsigned *count, struct process_v1 *out)
{
    struct process all[MOST_PROCESSES + 1];
    ENTER_GPU;
    unsigned room = *count;
    *count = list_processes(device, all);
    if (room < *count) return NVML_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < *count; i++) out[i] = (struct process_v1){all[i].pid, all[i].used_bytes};
    return NVML_OK;
}

#define REFUSED(name) \
    EXPORT int name(void) { return NVML_NOT_SUPPORTED; }
REFUSED(nvmlDeviceGetUtilizationRates)
REFUSED(nvmlDeviceGetGraphicsRunningProcesses_v3)
REFUSED(nvmlDeviceGetNvLinkRemoteDeviceType)
REFUSED(nvmlDeviceGetNvLinkRemotePciInfo_v2)
REFUSED(nvmlDeviceGetGpuFabricInfoV)
