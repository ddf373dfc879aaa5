/* The state of this process's context, and the runtime's errors: every other part uses them. */
#define _GNU_SOURCE
#include "simulate.h"

#include <pthread.h>

unsigned long long launch_count;
static __thread int last_error;
static int lost_to, context_made, was_forked;

/* CUDA cannot be used in a child that was forked after the context was made. */
static void in_child(void) { was_forked = context_made; }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, in_child); }

int device_error(void) { return lost_to; }
void lose_device(int error) { lost_to = error; }
int has_context(void) { return context_made; }
int fail(int error) { return last_error = error; }

void forget_errors(void)
{
    lost_to = SUCCESS;
    last_error = SUCCESS;
}

int driver_enter(const char *function)
{
    if (lost_to) return lost_to;
    const struct fault *fault = fault_at(function);
    if (!fault) return SUCCESS;
    if (fault->is_device_error) lose_device(fault->cuda);
    return fault->cuda;
}

int driver_enter_device(const char *function)
{
    int error = driver_enter(function);
    if (error) return error;
    if (was_forked) return INITIALIZATION_ERROR;
    if (!context_made && !gpu_is_visible()) return NO_DEVICE;
    context_made = 1;
    return SUCCESS;
}

int keep(int error) { return error ? fail(error) : SUCCESS; }
int enter(const char *function) { return keep(driver_enter(function)); }
int enter_device(const char *function) { return keep(driver_enter_device(function)); }

EXPORT int cudaGetLastError(void)
{
    int error = lost_to ? lost_to : last_error;
    last_error = SUCCESS;
    return error;
}

EXPORT int cudaPeekAtLastError(void) { return lost_to ? lost_to : last_error; }

/* The names and texts that users of torch know and search for. */
static const struct {
    int code;
    const char *name, *text;
} errors[] = {
    {SUCCESS, "cudaSuccess", "no error"},
    {INVALID_VALUE, "cudaErrorInvalidValue", "invalid argument"},
    {MEMORY_ALLOCATION, "cudaErrorMemoryAllocation", "out of memory"},
    {INITIALIZATION_ERROR, "cudaErrorInitializationError", "initialization error"},
    {INVALID_CONFIGURATION, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {DEVICES_UNAVAILABLE, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {MISSING_CONFIGURATION, "cudaErrorMissingConfiguration", "__global__ function call is not configured"},
    {NO_DEVICE, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {ECC_UNCORRECTABLE, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {INVALID_HANDLE, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {SYMBOL_NOT_FOUND, "cudaErrorSymbolNotFound", "named symbol not found"},
    {ILLEGAL_ADDRESS, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {DEVICE_ASSERT, "cudaErrorAssert", "device-side assert triggered"},
    {ALREADY_REGISTERED, "cudaErrorHostMemoryAlreadyRegistered", "part or all of the requested memory range is already mapped"},
    {NOT_REGISTERED, "cudaErrorHostMemoryNotRegistered", "pointer does not correspond to a registered memory region"},
    {LAUNCH_FAILURE, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {NOT_PERMITTED, "cudaErrorNotPermitted", "operation not permitted"},
    {NOT_SUPPORTED, "cudaErrorNotSupported", "operation not supported"},
    {DRIVER_MISMATCH, "cudaErrorSystemDriverMismatch", "system has unsupported display driver / cuda driver combination"},
    {UNKNOWN_ERROR, "cudaErrorUnknown", "unknown error"},
};
enum { ERROR_COUNT = sizeof errors / sizeof *errors };

EXPORT const char *cudaGetErrorName(int code)
{
    for (int i = 0; i < ERROR_COUNT; i++)
        if (errors[i].code == code) return errors[i].name;
    return "unrecognized error code";
}

EXPORT const char *cudaGetErrorString(int code)
{
    for (int i = 0; i < ERROR_COUNT; i++)
        if (errors[i].code == code) return errors[i].text;
    return "unrecognized error code";
}
