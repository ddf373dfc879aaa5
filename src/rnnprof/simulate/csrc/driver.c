/* The documented functions of the CUDA driver that torch looks up: the device, the context, and the
 * virtual memory functions behind expandable segments.  The others are refused (runtime.c). */
#define _GNU_SOURCE
#include "simulate.h"

#include <pthread.h>
#include <stdlib.h>

#undef ENTER
#undef ENTER_DEVICE
#define ENTER                                \
    do {                                     \
        int error_ = driver_enter(__func__); \
        if (error_) return error_;           \
    } while (0)
#define ENTER_DEVICE                                \
    do {                                            \
        int error_ = driver_enter_device(__func__); \
        if (error_) return error_;                  \
    } while (0)

EXPORT int cudaDeviceGetAttribute(int *value, int which, int device);
EXPORT const char *cudaGetErrorString(int code);
EXPORT const char *cudaGetErrorName(int code);

EXPORT int cuInit(unsigned flags)
{
    ENTER;
    return gpu_is_visible() ? SUCCESS : NO_DEVICE;
}

EXPORT int cuDriverGetVersion(int *version)
{
    *version = CUDA_VERSION;
    return SUCCESS;
}

EXPORT int cuDeviceGet(int *device, int ordinal)
{
    ENTER;
    *device = ordinal;
    return ordinal == 0 && gpu_is_visible() ? SUCCESS : INVALID_DEVICE;
}

EXPORT int cuDeviceGetCount(int *count)
{
    ENTER;
    *count = gpu_is_visible();
    return SUCCESS;
}

EXPORT int cuDeviceGetAttribute(int *value, int which, int device) { return cudaDeviceGetAttribute(value, which, device); }

static void *const the_context = (void *)0x10; /* an opaque handle */

EXPORT int cuCtxGetCurrent(void **out)
{
    ENTER;
    *out = has_context() ? the_context : NULL;
    return SUCCESS;
}

EXPORT int cuCtxSetCurrent(void *context)
{
    ENTER;
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *is_active)
{
    ENTER;
    *flags = 0;
    *is_active = has_context();
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRetain(void **out, int device)
{
    ENTER_DEVICE;
    *out = the_context;
    return SUCCESS;
}

EXPORT int cuGetErrorString(int code, const char **text)
{
    *text = cudaGetErrorString(code);
    return SUCCESS;
}

EXPORT int cuGetErrorName(int code, const char **text)
{
    *text = cudaGetErrorName(code);
    return SUCCESS;
}

/* ---- virtual memory: memory is charged when it is created, and freed when it has neither a handle nor
 * a mapping */

struct memory {
    size_t bytes;
    int holders; /* the handle, and each mapping */
};
struct mapping {
    struct mapping *next;
    uint64_t start;
    size_t bytes;
    struct memory *memory;
};
static struct mapping *mappings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void let_go(struct memory *memory)
{
    if (--memory->holders) return;
    refund(memory->bytes);
    free(memory);
}

static int is_whole(uint64_t bytes) { return bytes && bytes % PAGE_BYTES == 0; }

EXPORT int cuMemGetAllocationGranularity(size_t *out, const void *properties, int which)
{
    ENTER;
    *out = PAGE_BYTES;
    return SUCCESS;
}

EXPORT int cuMemAddressReserve(uint64_t *out, size_t bytes, size_t alignment, uint64_t wanted, unsigned long long flags)
{
    char *start;
    ENTER_DEVICE;
    if (!is_whole(bytes)) return INVALID_VALUE;
    if (!reserve_range(bytes, &start)) return MEMORY_ALLOCATION;
    *out = (uint64_t)start;
    return SUCCESS;
}

EXPORT int cuMemAddressFree(uint64_t start, size_t bytes)
{
    ENTER_DEVICE;
    return release_range((char *)start, bytes) ? SUCCESS : INVALID_VALUE;
}

EXPORT int cuMemCreate(struct memory **out, size_t bytes, const void *properties, unsigned long long flags)
{
    ENTER_DEVICE;
    if (!is_whole(bytes)) return INVALID_VALUE;
    struct memory *memory = malloc(sizeof *memory);
    if (!memory || !charge(bytes)) {
        free(memory);
        return MEMORY_ALLOCATION;
    }
    *memory = (struct memory){bytes, 1};
    *out = memory;
    return SUCCESS;
}

EXPORT int cuMemRelease(struct memory *memory)
{
    ENTER_DEVICE;
    pthread_mutex_lock(&lock);
    let_go(memory);
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

static int overlaps(uint64_t start, size_t bytes)
{
    for (struct mapping *at = mappings; at; at = at->next)
        if (start < at->start + at->bytes && at->start < start + bytes) return 1;
    return 0;
}

EXPORT int cuMemMap(uint64_t start, size_t bytes, size_t offset, struct memory *memory, unsigned long long flags)
{
    ENTER_DEVICE;
    if (!is_whole(bytes) || offset || bytes != memory->bytes) return INVALID_VALUE;
    if (!is_reserved((char *)start, bytes)) return INVALID_VALUE;
    struct mapping *mapping = malloc(sizeof *mapping);
    if (!mapping) return MEMORY_ALLOCATION;
    pthread_mutex_lock(&lock);
    int is_free = !overlaps(start, bytes);
    if (is_free) {
        *mapping = (struct mapping){mappings, start, bytes, memory};
        mappings = mapping;
        memory->holders++;
    }
    pthread_mutex_unlock(&lock);
    if (!is_free) free(mapping);
    return is_free ? SUCCESS : INVALID_VALUE;
}

EXPORT int cuMemSetAccess(uint64_t start, size_t bytes, const void *access, size_t count)
{
    ENTER_DEVICE;
    return SUCCESS;
}

/* Every mapping in the range: a call may cover several. */
EXPORT int cuMemUnmap(uint64_t start, size_t bytes)
{
    size_t unmapped_bytes = 0;
    ENTER_DEVICE;
    pthread_mutex_lock(&lock);
    for (struct mapping **at = &mappings; *at;) {
        struct mapping *mapping = *at;
        if (mapping->start < start || mapping->start + mapping->bytes > start + bytes) {
            at = &mapping->next;
            continue;
        }
        *at = mapping->next;
        unmapped_bytes += mapping->bytes;
        let_go(mapping->memory);
        free(mapping);
    }
    pthread_mutex_unlock(&lock);
    return unmapped_bytes == bytes ? SUCCESS : INVALID_VALUE;
}

/* torch before 2.9 looks these up by name in libcuda.so.1, and reports a missing one as a bug. */
#define REFUSED(name) \
    EXPORT int name(void) { return NOT_SUPPORTED; }
REFUSED(cuMemGetAddressRange_v2)
REFUSED(cuMemExportToShareableHandle)
REFUSED(cuMemImportFromShareableHandle)
REFUSED(cuMemRetainAllocationHandle)
REFUSED(cuMemGetAllocationPropertiesFromHandle)
REFUSED(cuMemsetD32Async)
REFUSED(cuStreamWriteValue32)
REFUSED(cuStreamWriteValue32_v2)
REFUSED(cuMulticastCreate)
REFUSED(cuMulticastAddDevice)
REFUSED(cuMulticastBindMem)
REFUSED(cuMulticastUnbind)
