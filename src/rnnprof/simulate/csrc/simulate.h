/* What the parts of the simulated GPU share: the description, injected faults, memory accounting.
 *
 * No header of NVIDIA's is used.  Functions, numbers and layouts are those of the public API references
 * of the CUDA runtime and driver (12 and 13), cuBLAS, cuDNN 9 and NVML; each is declared where it is
 * defined.  A pointer to one of their opaque structs is a void pointer here: the binary interface is
 * the same. */
#ifndef RNNPROF_SIMULATE_H
#define RNNPROF_SIMULATE_H

#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define UNUSED __attribute__((unused))

/* The driver allocates device memory in pages of this size. */
#define PAGE_BYTES ((size_t)2 << 20)

/* cudaError_t and CUresult: the numbers that both use */
enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    MEMORY_ALLOCATION = 2,
    INITIALIZATION_ERROR = 3,
    INVALID_CONFIGURATION = 9,
    DEVICES_UNAVAILABLE = 46,
    MISSING_CONFIGURATION = 52,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    ECC_UNCORRECTABLE = 214,
    INVALID_HANDLE = 400,
    SYMBOL_NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    DEVICE_ASSERT = 710,
    ALREADY_REGISTERED = 712,
    NOT_REGISTERED = 713,
    LAUNCH_FAILURE = 719,
    NOT_PERMITTED = 800,
    NOT_SUPPORTED = 801,
    DRIVER_MISMATCH = 803,
    UNKNOWN_ERROR = 999,
};

/* ---- description.c: the GPU that RNNPROF_SIMULATED_GPU describes */

struct gpu {
    char name[128];
    char uuid[48];
    size_t memory_bytes, context_bytes, others_bytes;
    size_t l2_bytes, shared_per_sm_bytes, shared_per_block_bytes;
    int multiprocessors, major, minor;
    int sm_clock_mhz, memory_clock_mhz, memory_bus_bits;
    int threads_per_sm, blocks_per_sm;
    int is_described;
};
const struct gpu *gpu(void);
void gpu_read_again(void);
int gpu_is_visible(void); /* whether CUDA_VISIBLE_DEVICES leaves it to this process */

/* In "key=value;...": the value, truncated to *out*, and whether it exists; a number, or 0. */
int find_value(const char *text, const char *key, char *out, size_t size);
size_t find_number(const char *text, const char *key);

/* ---- fault.c: errors that RNNPROF_SIMULATED_FAULT requests */

struct fault {
    const char *name;
    int cuda, cublas, cudnn, nvml; /* its number in each interface */
    int is_device_error;           /* the GPU is then lost to the process */
};
const struct fault *fault_at(const char *function);
void fault_read_again(void);

/* ---- context.c: the state of this process's context and its errors */

extern unsigned long long launch_count;
int fail(int error);                    /* keep it as the thread's last error, and return it */
int keep(int error);                    /* the same if it is an error, else SUCCESS */
int enter(const char *function);        /* an error to return at once, or 0; it is kept */
int enter_device(const char *function); /* the same, for functions that create the context */
int driver_enter(const char *function); /* the driver's functions leave the last error alone */
int driver_enter_device(const char *function);
int device_error(void);                 /* the error that has lost the GPU to this process, or 0 */
void lose_device(int error);
void forget_errors(void);
int has_context(void);
#define ENTER                              \
    do {                                   \
        int error_ = enter(__func__);      \
        if (error_) return error_;         \
    } while (0)
#define ENTER_DEVICE                         \
    do {                                     \
        int error_ = enter_device(__func__); \
        if (error_) return error_;           \
    } while (0)

/* ---- memory.c */

size_t used_bytes(void); /* charged to this process, without its context */
int charge(size_t bytes);
void refund(size_t bytes);
int reserve_range(size_t bytes, char **start);
int release_range(char *start, size_t bytes);
int is_reserved(const char *start, size_t bytes);
int is_device_pointer(const void *pointer);

#endif
