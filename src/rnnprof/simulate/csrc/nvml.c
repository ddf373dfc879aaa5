/* NVML: the queries that torch and rnnprof make, of the described GPU.  What this process uses comes
 * from the simulated runtime, where it is loaded in the same process; of other processes nothing is
 * known.  What no simulation has (temperature, power) is not supported. */
#define _GNU_SOURCE
#include "simulate.h"

#include <dlfcn.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* nvmlReturn_t */
enum { NVML_OK = 0, NVML_UNINITIALIZED = 1, NVML_INVALID_ARGUMENT = 2, NVML_NOT_SUPPORTED = 3, NVML_NOT_FOUND = 6, NVML_INSUFFICIENT_SIZE = 7, NVML_DRIVER_NOT_LOADED = 9, NVML_GPU_IS_LOST = 15 };
enum { CLOCK_MEMORY = 2 };

static char the_gpu; /* its address is the handle */
static int users;    /* nvmlInit less nvmlShutdown */

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
struct process_v1 { unsigned pid; unsigned long long used_bytes; };
struct process { unsigned pid; unsigned long long used_bytes; unsigned gpu_instance, compute_instance; };

static int nvml_error(const char *function)
{
    if (!users) return NVML_UNINITIALIZED;
    const struct fault *fault = fault_at(function);
    return fault ? fault->nvml : NVML_OK;
}
#define ENTER_NVML                          \
    do {                                    \
        int error_ = nvml_error(__func__);  \
        if (error_) return error_;          \
    } while (0)

static size_t own_bytes(void)
{
    size_t (*ask)(void) = (size_t (*)(void))dlsym(RTLD_DEFAULT, "rnnprof_simulate_used_bytes");
    return ask ? ask() : 0;
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
    case NVML_NOT_FOUND: return "Not Found";
    case NVML_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_GPU_IS_LOST: return "GPU is lost";
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

/* ---- finding the GPU: NVML knows nothing of CUDA_VISIBLE_DEVICES */

EXPORT int nvmlDeviceGetCount_v2(unsigned *count)
{
    ENTER_NVML;
    *count = 1;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out)
{
    ENTER_NVML;
    *out = &the_gpu;
    return index == 0 ? NVML_OK : NVML_INVALID_ARGUMENT;
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **out)
{
    ENTER_NVML;
    *out = &the_gpu;
    return strcasecmp(uuid, gpu()->uuid) ? NVML_NOT_FOUND : NVML_OK;
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *id, void **out)
{
    ENTER_NVML;
    *out = &the_gpu;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetIndex(void *device, unsigned *index)
{
    ENTER_NVML;
    *index = 0;
    return NVML_OK;
}

/* ---- what it is */

EXPORT int nvmlDeviceGetUUID(void *device, char *out, unsigned size)
{
    ENTER_NVML;
    return put(out, size, gpu()->uuid);
}

EXPORT int nvmlDeviceGetName(void *device, char *out, unsigned size)
{
    ENTER_NVML;
    return put(out, size, gpu()->name);
}

EXPORT int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor)
{
    ENTER_NVML;
    *major = gpu()->major;
    *minor = gpu()->minor;
    return NVML_OK;
}

/* ---- how it stands */

EXPORT int nvmlDeviceGetMemoryInfo(void *device, struct memory *out)
{
    ENTER_NVML;
    out->total = gpu()->memory_bytes;
    out->used = own_bytes() + gpu()->others_bytes;
    out->free = out->total - out->used;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *out)
{
    ENTER_NVML;
    struct memory whole = {gpu()->memory_bytes, 0, own_bytes() + gpu()->others_bytes};
    *out = (struct memory_v2){out->version, whole.total, 0, whole.total - whole.used, whole.used};
    return NVML_OK;
}

/* It runs at the clocks of its description. */
EXPORT int nvmlDeviceGetMaxClockInfo(void *device, unsigned kind, unsigned *mhz)
{
    ENTER_NVML;
    *mhz = (unsigned)(kind == CLOCK_MEMORY ? gpu()->memory_clock_mhz : gpu()->sm_clock_mhz);
    return *mhz ? NVML_OK : NVML_NOT_SUPPORTED;
}

EXPORT int nvmlDeviceGetClockInfo(void *device, unsigned kind, unsigned *mhz) { return nvmlDeviceGetMaxClockInfo(device, kind, mhz); }

EXPORT int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits)
{
    ENTER_NVML;
    *bits = 0;
    return NVML_OK;
}

EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits) { return nvmlDeviceGetCurrentClocksEventReasons(device, bits); }

static int own_process(unsigned *count)
{
    unsigned room = *count;
    *count = own_bytes() ? 1 : 0;
    return room < *count ? NVML_INSUFFICIENT_SIZE : NVML_OK;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *out)
{
    ENTER_NVML;
    int status = own_process(count);
    if (status == NVML_OK && *count) *out = (struct process){(unsigned)getpid(), own_bytes(), ~0u, ~0u};
    return status;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v2(void *device, unsigned *count, struct process *out) { return nvmlDeviceGetComputeRunningProcesses_v3(device, count, out); }

EXPORT int nvmlDeviceGetComputeRunningProcesses(void *device, unsigned *count, struct process_v1 *out)
{
    ENTER_NVML;
    int status = own_process(count);
    if (status == NVML_OK && *count) *out = (struct process_v1){(unsigned)getpid(), own_bytes()};
    return status;
}

#define REFUSED(name) \
    EXPORT int name(void) { return NVML_NOT_SUPPORTED; }
REFUSED(nvmlDeviceGetMigMode)
REFUSED(nvmlDeviceGetMaxMigDeviceCount)
REFUSED(nvmlDeviceGetTemperature)
REFUSED(nvmlDeviceGetTemperatureV)
REFUSED(nvmlDeviceGetPowerUsage)
REFUSED(nvmlDeviceGetEnforcedPowerLimit)
REFUSED(nvmlDeviceGetUtilizationRates)
REFUSED(nvmlDeviceGetGraphicsRunningProcesses_v3)
REFUSED(nvmlDeviceGetNvLinkRemoteDeviceType)
REFUSED(nvmlDeviceGetNvLinkRemotePciInfo_v2)
REFUSED(nvmlDeviceGetGpuFabricInfoV)
