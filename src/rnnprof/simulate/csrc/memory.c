/* Device memory: charged in pages against the GPU's size, without any real memory.
 *
 * Addresses come from one large reservation of address space without access: no page of host memory
 * backs them, and a program that reads one on the host is stopped, as with a real GPU.  The lowest
 * address that fits is used first: the same calls get the same order of addresses, which decides which
 * block the caching allocator of torch chooses.  What a kernel would have written is not known, so
 * everything reads as zero. */
#define _GNU_SOURCE
#include "simulate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct piece {
    struct piece *next;
    char *start;
    size_t size;
};
struct space {
    char *base;
    size_t size;
    struct piece *pieces; /* by address */
};

/* Half of the reservation is for cudaMalloc, half for ranges of the virtual memory functions.  torch
 * reserves 9/8 of the GPU's memory for each stream and pool: 4 TiB hold dozens of them.  A limit on
 * the address space may leave less. */
static const size_t MOST_SPACE_BYTES = (size_t)8 << 40, LEAST_SPACE_BYTES = (size_t)64 << 30;
static char *const WANTED_ADDRESS = (char *)((size_t)16 << 40);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct space allocations, ranges, pinned;
static size_t charged_bytes;

static size_t pages(size_t bytes) { return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1); }

static int open_spaces(void)
{
    if (allocations.base) return 1;
    for (size_t size = MOST_SPACE_BYTES; size >= LEAST_SPACE_BYTES; size /= 2) {
        char *at = mmap(WANTED_ADDRESS, size + PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) continue;
        at = (char *)pages((size_t)at);
        allocations = (struct space){at, size / 2, NULL};
        ranges = (struct space){at + size / 2, size / 2, NULL};
        return 1;
    }
    return 0;
}

/* The lowest gap of at least *size* bytes; NULL if there is none. */
static char *place(struct space *space, size_t size)
{
    char *start = space->base;
    struct piece **at = &space->pieces;
    while (*at && (size_t)((*at)->start - start) < size) {
        start = (*at)->start + (*at)->size;
        at = &(*at)->next;
    }
    if (size > space->size - (size_t)(start - space->base)) return NULL;
    struct piece *piece = malloc(sizeof *piece);
    if (!piece) return NULL;
    *piece = (struct piece){*at, start, size};
    *at = piece;
    return start;
}

/* Free the piece that begins at *start* and return its size; 0 if there is none. */
static size_t drop(struct space *space, const char *start)
{
    for (struct piece **at = &space->pieces; *at; at = &(*at)->next) {
        struct piece *piece = *at;
        if (piece->start != start) continue;
        size_t size = piece->size;
        *at = piece->next;
        free(piece);
        return size;
    }
    return 0;
}

static int holds(const struct space *space, const char *start, size_t size)
{
    for (const struct piece *at = space->pieces; at; at = at->next)
        if (start >= at->start && start + size <= at->start + at->size) return 1;
    return 0;
}

/* ---- accounting */

static int charge_locked(size_t bytes)
{
    size_t taken = charged_bytes + gpu()->context_bytes + gpu()->others_bytes;
    if (taken > gpu()->memory_bytes || bytes > gpu()->memory_bytes - taken) return 0;
    charged_bytes += bytes;
    return 1;
}

int charge(size_t bytes)
{
    pthread_mutex_lock(&lock);
    int fits = charge_locked(bytes);
    pthread_mutex_unlock(&lock);
    return fits;
}

void refund(size_t bytes)
{
    pthread_mutex_lock(&lock);
    charged_bytes -= bytes;
    pthread_mutex_unlock(&lock);
}

size_t used_bytes(void)
{
    pthread_mutex_lock(&lock);
    size_t bytes = charged_bytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}

static char *allocate(size_t bytes)
{
    char *start = NULL;
    size_t size = pages(bytes);
    pthread_mutex_lock(&lock);
    if (size >= bytes && open_spaces() && charge_locked(size)) {
        start = place(&allocations, size);
        if (!start) charged_bytes -= size;
    }
    pthread_mutex_unlock(&lock);
    return start;
}

EXPORT int cudaMalloc(void **out, size_t bytes)
{
    ENTER_DEVICE;
    *out = NULL;
    if (bytes == 0) return SUCCESS;
    *out = allocate(bytes);
    return *out ? SUCCESS : fail(MEMORY_ALLOCATION);
}

EXPORT int cudaFree(void *pointer)
{
    ENTER_DEVICE;
    if (!pointer) return SUCCESS;
    pthread_mutex_lock(&lock);
    size_t size = drop(&allocations, pointer);
    charged_bytes -= size;
    pthread_mutex_unlock(&lock);
    return size ? SUCCESS : fail(INVALID_VALUE);
}

EXPORT int cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    ENTER_DEVICE;
    size_t taken = used_bytes() + gpu()->context_bytes + gpu()->others_bytes;
    *total_bytes = gpu()->memory_bytes;
    *free_bytes = taken < gpu()->memory_bytes ? gpu()->memory_bytes - taken : 0;
    return SUCCESS;
}

/* ---- ranges of addresses for the driver's virtual memory functions */

int reserve_range(size_t bytes, char **start)
{
    pthread_mutex_lock(&lock);
    *start = open_spaces() ? place(&ranges, pages(bytes)) : NULL;
    pthread_mutex_unlock(&lock);
    return *start != NULL;
}

int release_range(char *start, size_t bytes)
{
    pthread_mutex_lock(&lock);
    int is_known = holds(&ranges, start, bytes) && drop(&ranges, start);
    pthread_mutex_unlock(&lock);
    return is_known;
}

int is_reserved(const char *start, size_t bytes)
{
    pthread_mutex_lock(&lock);
    int found = holds(&ranges, start, bytes);
    pthread_mutex_unlock(&lock);
    return found;
}

int is_device_pointer(const void *pointer)
{
    const char *at = pointer, *base = allocations.base;
    return base && at >= base && at < ranges.base + ranges.size;
}

/* ---- pinned host memory */

static int keep_pinned(char *start, size_t bytes)
{
    struct piece *piece = malloc(sizeof *piece);
    if (!piece) return 0;
    pthread_mutex_lock(&lock);
    *piece = (struct piece){pinned.pieces, start, bytes};
    pinned.pieces = piece;
    pthread_mutex_unlock(&lock);
    return 1;
}

static size_t forget_pinned(const char *start)
{
    pthread_mutex_lock(&lock);
    size_t size = drop(&pinned, start);
    pthread_mutex_unlock(&lock);
    return size;
}

static int is_pinned(const void *pointer)
{
    pthread_mutex_lock(&lock);
    int found = holds(&pinned, pointer, 1);
    pthread_mutex_unlock(&lock);
    return found;
}

EXPORT int cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    ENTER_DEVICE;
    *out = NULL;
    if (bytes == 0) return SUCCESS;
    void *start = NULL;
    if (posix_memalign(&start, 4096, bytes)) return fail(MEMORY_ALLOCATION);
    if (!keep_pinned(start, bytes)) {
        free(start);
        return fail(MEMORY_ALLOCATION);
    }
    *out = start;
    return SUCCESS;
}

EXPORT int cudaMallocHost(void **out, size_t bytes) { return cudaHostAlloc(out, bytes, 0); }

EXPORT int cudaFreeHost(void *pointer)
{
    ENTER_DEVICE;
    if (!pointer) return SUCCESS;
    if (!forget_pinned(pointer)) return fail(INVALID_VALUE);
    free(pointer);
    return SUCCESS;
}

EXPORT int cudaHostRegister(void *pointer, size_t bytes, unsigned flags)
{
    ENTER_DEVICE;
    if (!pointer || !bytes) return fail(INVALID_VALUE);
    if (is_pinned(pointer)) return fail(ALREADY_REGISTERED);
    return keep_pinned(pointer, bytes) ? SUCCESS : fail(MEMORY_ALLOCATION);
}

EXPORT int cudaHostUnregister(void *pointer)
{
    ENTER_DEVICE;
    return forget_pinned(pointer) ? SUCCESS : fail(NOT_REGISTERED);
}

EXPORT int cudaHostGetDevicePointer(void **out, void *host, unsigned flags)
{
    ENTER;
    *out = host;
    return is_pinned(host) ? SUCCESS : fail(INVALID_VALUE);
}

/* The fields of cudaPointerAttributes that CUDA 12 and 13 share. */
struct pointer_attributes {
    int type, device;
    void *device_pointer, *host_pointer;
};
enum { UNREGISTERED_MEMORY = 0, HOST_MEMORY = 1, DEVICE_MEMORY = 2, NO_DEVICE_INDEX = -2 };

EXPORT int cudaPointerGetAttributes(struct pointer_attributes *out, const void *pointer)
{
    ENTER;
    void *at = (void *)pointer;
    if (is_device_pointer(pointer))
        *out = (struct pointer_attributes){DEVICE_MEMORY, 0, at, NULL};
    else if (is_pinned(pointer))
        *out = (struct pointer_attributes){HOST_MEMORY, 0, at, at};
    else
        *out = (struct pointer_attributes){UNREGISTERED_MEMORY, NO_DEVICE_INDEX, NULL, at};
    return SUCCESS;
}

/* ---- copies: to the device nothing, from the device zeros */

static int copy(void *to, const void *from, size_t bytes)
{
    if (is_device_pointer(to)) return SUCCESS;
    if (is_device_pointer(from))
        memset(to, 0, bytes);
    else
        memmove(to, from, bytes);
    return SUCCESS;
}

EXPORT int cudaMemcpy(void *to, const void *from, size_t bytes, int kind)
{
    ENTER_DEVICE;
    return copy(to, from, bytes);
}

EXPORT int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream)
{
    ENTER_DEVICE;
    return copy(to, from, bytes);
}

EXPORT int cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t bytes, void *stream)
{
    ENTER_DEVICE;
    return copy(to, from, bytes);
}

EXPORT int cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height, int kind, void *stream)
{
    ENTER_DEVICE;
    if (width > to_pitch || width > from_pitch) return fail(INVALID_VALUE);
    for (size_t row = 0; row < height; row++)
        copy((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width);
    return SUCCESS;
}

EXPORT int cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes, size_t offset, int kind)
{
    ENTER_DEVICE;
    return SUCCESS;
}

EXPORT int cudaMemset(void *to, int value, size_t bytes)
{
    ENTER_DEVICE;
    return is_device_pointer(to) ? SUCCESS : fail(INVALID_VALUE);
}

EXPORT int cudaMemsetAsync(void *to, int value, size_t bytes, void *stream)
{
    ENTER_DEVICE;
    return is_device_pointer(to) ? SUCCESS : fail(INVALID_VALUE);
}

/* Variables of a module are in the context: one range of addresses represents all of them. */
EXPORT int cudaGetSymbolAddress(void **out, const void *symbol)
{
    static char *module_range;
    ENTER_DEVICE;
    if (!module_range && !reserve_range(PAGE_BYTES, &module_range)) return fail(MEMORY_ALLOCATION);
    *out = module_range;
    return SUCCESS;
}
