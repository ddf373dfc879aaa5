/* The CUDA runtime without memory and errors: the device's properties, streams, events, kernels.
 * Every request completes at once, and no kernel runs. */
#define _GNU_SOURCE
#include "simulate.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* ---- functions for rnnprof itself */

EXPORT unsigned long long rnnprof_simulate_launches(void) { return launch_count; }

EXPORT size_t rnnprof_simulate_used_bytes(void)
{
    return used_bytes() + (has_context() ? gpu()->context_bytes : 0);
}

EXPORT void rnnprof_simulate_reset(void)
{
    gpu_read_again();
    fault_read_again();
    forget_errors();
}

/* ---- the device */

/* A program may query its GPU after it has lost it, to restore it in a destructor. */
#define ENTER_EVEN_IF_LOST \
    do {                   \
        if (!device_error()) ENTER; \
    } while (0)

EXPORT int cudaGetDeviceCount(int *count)
{
    ENTER_EVEN_IF_LOST;
    *count = gpu_is_visible();
    return *count ? SUCCESS : fail(NO_DEVICE);
}

EXPORT int cudaDriverGetVersion(int *version)
{
    *version = CUDA_VERSION;
    return SUCCESS;
}

EXPORT int cudaRuntimeGetVersion(int *version)
{
    *version = CUDA_VERSION;
    return SUCCESS;
}

EXPORT int cudaGetDevice(int *device)
{
    ENTER_EVEN_IF_LOST;
    *device = 0;
    return gpu_is_visible() ? SUCCESS : fail(NO_DEVICE);
}

static int check_device(int device)
{
    if (!gpu_is_visible()) return fail(NO_DEVICE);
    return device == 0 ? SUCCESS : fail(INVALID_DEVICE);
}

EXPORT int cudaSetDevice(int device)
{
    int error = check_device(device);
    if (error) return error;
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaDeviceSynchronize(void)
{
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    ENTER;
    *can = 0;
    return check_device(device);
}

EXPORT int cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER;
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return SUCCESS;
}

EXPORT int cudaDeviceGetPCIBusId(char *text, int length, int device)
{
    ENTER;
    snprintf(text, (size_t)length, "0000:01:00.0");
    return check_device(device);
}

EXPORT int cudaProfilerStart(void) { return SUCCESS; }
EXPORT int cudaProfilerStop(void) { return SUCCESS; }

/* Offsets in cudaDeviceProp, whose layout CUDA 13 changed.  What is not set is zero. */
enum {
    AT_NAME = 0,
    AT_UUID = 256,
    AT_TOTAL_MEMORY = 288,
    AT_SHARED_PER_BLOCK = 296,
    AT_REGISTERS_PER_BLOCK = 304,
    AT_WARP_SIZE = 308,
    AT_PITCH = 312,
    AT_THREADS_PER_BLOCK = 320,
    AT_BLOCK_DIMENSIONS = 324,
    AT_GRID_DIMENSIONS = 336,
    AT_CONSTANT_MEMORY = 352,
    AT_MAJOR = 360,
    AT_MINOR = 364,
    AT_TEXTURE_ALIGNMENT = 368,
#if CUDA_VERSION >= 13000
    PROPERTIES_SIZE = 1008,
    AT_MULTIPROCESSORS = 384,
    AT_MAP_HOST_MEMORY = 392,
    AT_CONCURRENT_KERNELS = 560,
    AT_PCI_BUS = 568,
    AT_COPY_ENGINES = 584,
    AT_UNIFIED_ADDRESSING = 588,
    AT_BUS_WIDTH = 592,
    AT_L2_SIZE = 596,
    AT_THREADS_PER_SM = 604,
    AT_STREAM_PRIORITIES = 608,
    AT_SHARED_PER_SM = 624,
    AT_REGISTERS_PER_SM = 632,
    AT_COOPERATIVE_LAUNCH = 668,
    AT_SHARED_OPT_IN = 672,
    AT_BLOCKS_PER_SM = 688,
    AT_SHARED_RESERVED = 696,
#else
    PROPERTIES_SIZE = 1032,
    AT_SM_CLOCK = 348,
    AT_MULTIPROCESSORS = 388,
    AT_MAP_HOST_MEMORY = 400,
    AT_CONCURRENT_KERNELS = 576,
    AT_PCI_BUS = 584,
    AT_COPY_ENGINES = 600,
    AT_UNIFIED_ADDRESSING = 604,
    AT_MEMORY_CLOCK = 608,
    AT_BUS_WIDTH = 612,
    AT_L2_SIZE = 616,
    AT_THREADS_PER_SM = 624,
    AT_STREAM_PRIORITIES = 628,
    AT_SHARED_PER_SM = 640,
    AT_REGISTERS_PER_SM = 648,
    AT_COOPERATIVE_LAUNCH = 688,
    AT_SHARED_OPT_IN = 696,
    AT_BLOCKS_PER_SM = 712,
    AT_SHARED_RESERVED = 720,
#endif
};

/* The same for every described GPU (CUDA programming guide, compute capabilities 7.0 to 9.0). */
enum {
    SHARED_PER_BLOCK_BYTES = 48 << 10,
    SHARED_RESERVED_BYTES = 1 << 10,
    CONSTANT_BYTES = 64 << 10,
    REGISTERS = 65536,
    WARP_SIZE = 32,
    MOST_THREADS = 1024,
    MOST_BLOCK_Z = 64,
    MOST_GRID_X = 2147483647,
    MOST_GRID_YZ = 65535,
    TEXTURE_ALIGNMENT_BYTES = 512,
};

static void put_int(char *out, int at, int value) { memcpy(out + at, &value, sizeof value); }
static void put_size(char *out, int at, size_t value) { memcpy(out + at, &value, sizeof value); }

/* "GPU-xxxxxxxx-xxxx-..." as 16 bytes */
static void put_uuid(char *out, const char *text)
{
    unsigned byte;
    for (int i = 0; i < 16 && text[0]; i++, text += 2) {
        if (i == 0 && !strncmp(text, "GPU-", 4)) text += 4;
        if (*text == '-') text++;
        if (sscanf(text, "%2x", &byte) != 1) return;
        out[i] = (char)byte;
    }
}

static void put_limits(char *out)
{
    put_size(out, AT_SHARED_PER_BLOCK, SHARED_PER_BLOCK_BYTES);
    put_int(out, AT_REGISTERS_PER_BLOCK, REGISTERS);
    put_int(out, AT_WARP_SIZE, WARP_SIZE);
    put_size(out, AT_PITCH, MOST_GRID_X);
    put_int(out, AT_THREADS_PER_BLOCK, MOST_THREADS);
    put_int(out, AT_BLOCK_DIMENSIONS, MOST_THREADS);
    put_int(out, AT_BLOCK_DIMENSIONS + 4, MOST_THREADS);
    put_int(out, AT_BLOCK_DIMENSIONS + 8, MOST_BLOCK_Z);
    put_int(out, AT_GRID_DIMENSIONS, MOST_GRID_X);
    put_int(out, AT_GRID_DIMENSIONS + 4, MOST_GRID_YZ);
    put_int(out, AT_GRID_DIMENSIONS + 8, MOST_GRID_YZ);
    put_size(out, AT_CONSTANT_MEMORY, CONSTANT_BYTES);
    put_size(out, AT_TEXTURE_ALIGNMENT, TEXTURE_ALIGNMENT_BYTES);
    put_int(out, AT_REGISTERS_PER_SM, REGISTERS);
    put_size(out, AT_SHARED_RESERVED, SHARED_RESERVED_BYTES);
    put_int(out, AT_MAP_HOST_MEMORY, 1);
    put_int(out, AT_CONCURRENT_KERNELS, 1);
    put_int(out, AT_PCI_BUS, 1);
    put_int(out, AT_COPY_ENGINES, 3);
    put_int(out, AT_UNIFIED_ADDRESSING, 1);
    put_int(out, AT_STREAM_PRIORITIES, 1);
    put_int(out, AT_COOPERATIVE_LAUNCH, 1);
}

static void put_description(char *out)
{
    const struct gpu *g = gpu();
    snprintf(out + AT_NAME, 256, "%s", g->name);
    put_uuid(out + AT_UUID, g->uuid);
    put_size(out, AT_TOTAL_MEMORY, g->memory_bytes);
    put_int(out, AT_MAJOR, g->major);
    put_int(out, AT_MINOR, g->minor);
    put_int(out, AT_MULTIPROCESSORS, g->multiprocessors);
    put_int(out, AT_BUS_WIDTH, g->memory_bus_bits);
    put_int(out, AT_L2_SIZE, (int)g->l2_bytes);
    put_int(out, AT_THREADS_PER_SM, g->threads_per_sm);
    put_int(out, AT_BLOCKS_PER_SM, g->blocks_per_sm);
    put_size(out, AT_SHARED_PER_SM, g->shared_per_sm_bytes);
    put_size(out, AT_SHARED_OPT_IN, g->shared_per_block_bytes);
#if CUDA_VERSION < 13000
    put_int(out, AT_SM_CLOCK, g->sm_clock_mhz * 1000);
    put_int(out, AT_MEMORY_CLOCK, g->memory_clock_mhz * 1000);
#endif
}

EXPORT int cudaGetDeviceProperties(char *out, int device)
{
    ENTER;
    int error = check_device(device);
    if (error) return error;
    memset(out, 0, PROPERTIES_SIZE);
    put_limits(out);
    put_description(out);
    return SUCCESS;
}

/* Since CUDA 12 the name behind cudaGetDeviceProperties in a program that is compiled against it. */
EXPORT int cudaGetDeviceProperties_v2(char *out, int device) { return cudaGetDeviceProperties(out, device); }

/* cudaDeviceAttr, the same numbers as CUdevice_attribute */
static int attribute(int which, int *value)
{
    const struct gpu *g = gpu();
    const struct { int which, value; } known[] = {
        {1, MOST_THREADS}, {2, MOST_THREADS}, {3, MOST_THREADS}, {4, MOST_BLOCK_Z},
        {5, MOST_GRID_X}, {6, MOST_GRID_YZ}, {7, MOST_GRID_YZ},
        {8, SHARED_PER_BLOCK_BYTES}, {9, CONSTANT_BYTES}, {10, WARP_SIZE}, {11, MOST_GRID_X}, {12, REGISTERS},
        {13, g->sm_clock_mhz * 1000}, {14, TEXTURE_ALIGNMENT_BYTES}, {16, g->multiprocessors},
        {19, 1} /* can map host memory */, {31, 1} /* concurrent kernels */, {33, 1} /* PCI bus */,
        {36, g->memory_clock_mhz * 1000}, {37, g->memory_bus_bits}, {38, (int)g->l2_bytes},
        {39, g->threads_per_sm}, {40, 3} /* copy engines */, {41, 1} /* unified addressing */,
        {75, g->major}, {76, g->minor}, {78, 1} /* stream priorities */,
        {81, (int)g->shared_per_sm_bytes}, {82, REGISTERS}, {95, 1} /* cooperative launch */,
        {97, (int)g->shared_per_block_bytes}, {102, 1} /* virtual memory management */,
        {106, g->blocks_per_sm}, {111, SHARED_RESERVED_BYTES},
    };
    *value = 0; /* this GPU does not have what is not listed */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].which == which) *value = known[i].value;
    return which > 0 ? SUCCESS : INVALID_VALUE;
}

EXPORT int cudaDeviceGetAttribute(int *value, int which, int device)
{
    ENTER;
    int error = check_device(device);
    return error ? error : keep(attribute(which, value));
}

/* ---- streams and events */

struct stream { int priority; };
struct event { double at_ms; int is_timed, is_recorded; };
enum { NO_TIMING = 2, FIRST_REAL_STREAM = 16 }; /* the legacy and per-thread streams are small numbers */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

EXPORT int cudaStreamCreateWithPriority(void **out, unsigned flags, int priority)
{
    ENTER_DEVICE;
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) return fail(MEMORY_ALLOCATION);
    stream->priority = priority < -5 ? -5 : priority > 0 ? 0 : priority;
    *out = stream;
    return SUCCESS;
}

EXPORT int cudaStreamCreateWithFlags(void **out, unsigned flags) { return cudaStreamCreateWithPriority(out, flags, 0); }
EXPORT int cudaStreamCreate(void **out) { return cudaStreamCreateWithPriority(out, 0, 0); }

EXPORT int cudaStreamDestroy(void *stream)
{
    ENTER;
    if ((size_t)stream >= FIRST_REAL_STREAM) free(stream);
    return SUCCESS;
}

EXPORT int cudaStreamGetPriority(void *stream, int *priority)
{
    ENTER;
    *priority = (size_t)stream >= FIRST_REAL_STREAM ? ((struct stream *)stream)->priority : 0;
    return SUCCESS;
}

EXPORT int cudaStreamQuery(void *stream)
{
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaStreamSynchronize(void *stream)
{
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaStreamWaitEvent(void *stream, void *event, unsigned flags)
{
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaStreamIsCapturing(void *stream, int *status)
{
    ENTER;
    *status = 0;
    return SUCCESS;
}

/* While no capture runs, the outputs after *id* are undefined, so one function serves all versions of
 * the call, which differ there. */
EXPORT int cudaStreamGetCaptureInfo(void *stream, int *status, unsigned long long *id)
{
    ENTER;
    *status = 0;
    if (id) *id = 0;
    return SUCCESS;
}
EXPORT int cudaStreamGetCaptureInfo_v2(void *stream, int *status, unsigned long long *id) { return cudaStreamGetCaptureInfo(stream, status, id); }
EXPORT int cudaStreamGetCaptureInfo_v3(void *stream, int *status, unsigned long long *id) { return cudaStreamGetCaptureInfo(stream, status, id); }
EXPORT int cudaThreadExchangeStreamCaptureMode(int *mode) { return SUCCESS; }

EXPORT int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *data)
{
    ENTER_DEVICE;
    function(data);
    return SUCCESS;
}

EXPORT int cudaStreamAddCallback(void *stream, void (*function)(void *, int, void *), void *data, unsigned flags)
{
    ENTER_DEVICE;
    function(stream, SUCCESS, data);
    return SUCCESS;
}

EXPORT int cudaEventCreateWithFlags(void **out, unsigned flags)
{
    ENTER_DEVICE;
    struct event *event = calloc(1, sizeof *event);
    if (!event) return fail(MEMORY_ALLOCATION);
    event->is_timed = !(flags & NO_TIMING);
    *out = event;
    return SUCCESS;
}

EXPORT int cudaEventCreate(void **out) { return cudaEventCreateWithFlags(out, 0); }

EXPORT int cudaEventDestroy(void *event)
{
    ENTER;
    free(event);
    return SUCCESS;
}

EXPORT int cudaEventRecordWithFlags(struct event *event, void *stream, unsigned flags)
{
    ENTER_DEVICE;
    if (!event) return fail(INVALID_HANDLE);
    event->at_ms = now_ms();
    event->is_recorded = 1;
    return SUCCESS;
}

EXPORT int cudaEventRecord(struct event *event, void *stream) { return cudaEventRecordWithFlags(event, stream, 0); }

EXPORT int cudaEventQuery(void *event)
{
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaEventSynchronize(void *event)
{
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaEventElapsedTime(float *ms, const struct event *start, const struct event *end)
{
    ENTER;
    if (!start || !end || !(start->is_timed && end->is_timed)) return fail(INVALID_HANDLE);
    if (!(start->is_recorded && end->is_recorded)) return fail(INVALID_HANDLE);
    *ms = (float)(end->at_ms - start->at_ms);
    return SUCCESS;
}

/* CUDA 13 has the second name in programs that are compiled against it. */
EXPORT int cudaEventElapsedTime_v2(float *ms, const struct event *start, const struct event *end) { return cudaEventElapsedTime(ms, start, end); }

/* ---- kernels: registrations are ignored, and nothing runs */

struct dimensions { unsigned x, y, z; };
struct configuration { struct dimensions grid, block; size_t shared_bytes; void *stream; };
enum { MOST_CONFIGURATIONS = 16 };
static __thread struct configuration configurations[MOST_CONFIGURATIONS];
static __thread int configuration_count;

EXPORT void **__cudaRegisterFatBinary(void *binary)
{
    static void *handle;
    return &handle;
}
EXPORT void __cudaRegisterFatBinaryEnd(void **handle) {}
EXPORT void __cudaUnregisterFatBinary(void **handle) {}
EXPORT void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name) {}
EXPORT void __cudaRegisterVar(void **handle, char *host, char *device, const char *name) {}
EXPORT void __cudaRegisterManagedVar(void **handle, void **host, char *device, const char *name) {}
EXPORT char __cudaInitModule(void **handle) { return 1; }

EXPORT unsigned __cudaPushCallConfiguration(struct dimensions grid, struct dimensions block, size_t shared_bytes, void *stream)
{
    if (configuration_count == MOST_CONFIGURATIONS) return 1;
    configurations[configuration_count++] = (struct configuration){grid, block, shared_bytes, stream};
    return 0;
}

EXPORT int __cudaPopCallConfiguration(struct dimensions *grid, struct dimensions *block, size_t *shared_bytes, void **stream)
{
    if (!configuration_count) return fail(MISSING_CONFIGURATION);
    struct configuration c = configurations[--configuration_count];
    *grid = c.grid;
    *block = c.block;
    *shared_bytes = c.shared_bytes;
    *stream = c.stream;
    return SUCCESS;
}

static int is_launchable(struct dimensions grid, struct dimensions block)
{
    unsigned long long threads = (unsigned long long)block.x * block.y * block.z;
    return grid.x && grid.y && grid.z && grid.x <= MOST_GRID_X && grid.y <= MOST_GRID_YZ && grid.z <= MOST_GRID_YZ
        && threads && threads <= MOST_THREADS && block.z <= MOST_BLOCK_Z;
}

static int launch(struct dimensions grid, struct dimensions block)
{
    int error = enter_device("cudaLaunchKernel");
    if (error) return error;
    if (!is_launchable(grid, block)) return fail(INVALID_CONFIGURATION);
    __atomic_add_fetch(&launch_count, 1, __ATOMIC_RELAXED);
    return SUCCESS;
}

EXPORT int cudaLaunchKernel(const void *function, struct dimensions grid, struct dimensions block, void **arguments, size_t shared_bytes, void *stream) { return launch(grid, block); }
EXPORT int cudaLaunchCooperativeKernel(const void *function, struct dimensions grid, struct dimensions block, void **arguments, size_t shared_bytes, void *stream) { return launch(grid, block); }
EXPORT int __cudaLaunchKernel(void *kernel, struct dimensions grid, struct dimensions block, void **arguments, size_t shared_bytes, void *stream) { return launch(grid, block); }
/* cudaLaunchConfig_t begins with the grid and the block. */
EXPORT int cudaLaunchKernelExC(const struct configuration *c, const void *function, void **arguments) { return launch(c->grid, c->block); }

EXPORT int __cudaGetKernel(void **kernel, const void *function)
{
    *kernel = (void *)function;
    return SUCCESS;
}

EXPORT int cudaFuncSetAttribute(const void *function, int attribute_, int value)
{
    ENTER;
    return SUCCESS;
}

/* A kernel's registers and shared memory are in its binary, in an undocumented form: assumed. */
enum { ASSUMED_REGISTERS = 32 };
struct function_attributes {
    size_t shared_bytes, constant_bytes, local_bytes;
    int most_threads, registers, ptx_version, binary_version, cache_mode, most_dynamic_shared_bytes, carveout;
};

EXPORT int cudaFuncGetAttributes(struct function_attributes *out, const void *function)
{
    ENTER;
    int version = gpu()->major * 10 + gpu()->minor;
    *out = (struct function_attributes){
        .most_threads = MOST_THREADS,
        .registers = ASSUMED_REGISTERS,
        .ptx_version = version,
        .binary_version = version,
        .most_dynamic_shared_bytes = SHARED_PER_BLOCK_BYTES,
    };
    return SUCCESS;
}

EXPORT int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int block_threads, size_t shared_bytes, unsigned flags)
{
    ENTER;
    if (block_threads < 1) return fail(INVALID_VALUE);
    int by_threads = gpu()->threads_per_sm / block_threads;
    *blocks = by_threads < gpu()->blocks_per_sm ? by_threads : gpu()->blocks_per_sm;
    return SUCCESS;
}

EXPORT int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int block_threads, size_t shared_bytes)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_threads, shared_bytes, 0);
}

/* ---- the driver's functions by name: those of driver.c; the others return "not supported" */

static int refuse_call(void) { return NOT_SUPPORTED; }

/* cuGetExportTable returns undocumented interfaces, which are not simulated. */
static int entry_point(const char *name, void **out, int *status)
{
    enum { FOUND = 0, NOT_FOUND = 1 };
    *out = dlsym(RTLD_DEFAULT, name);
    if (!*out && !strncmp(name, "cu", 2) && strcmp(name, "cuGetExportTable")) *out = (void *)refuse_call;
    if (status) *status = *out ? FOUND : NOT_FOUND;
    return SUCCESS;
}

EXPORT int cudaGetDriverEntryPoint(const char *name, void **out, unsigned long long flags, int *status) { return entry_point(name, out, status); }
EXPORT int cudaGetDriverEntryPointByVersion(const char *name, void **out, unsigned version, unsigned long long flags, int *status) { return entry_point(name, out, status); }
