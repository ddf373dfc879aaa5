/* Functions of NCCL, NVRTC and CUPTI that must return more than a number, and the answer of every function
 * that no source here defines. */
#include "simulate.h"

#include <string.h>

static const char refused_text[] = "not supported on a simulated GPU";

EXPORT const char *ncclGetErrorString(int code) { return refused_text; }
EXPORT const char *ncclGetLastError(void *communicator) { return refused_text; }
EXPORT const char *nvrtcGetErrorString(int code) { return refused_text; }

EXPORT int cuptiGetResultString(int code, const char **text)
{
    *text = refused_text;
    return 0;
}

EXPORT int cuptiGetVersion(uint32_t *version)
{
    *version = CUDA_VERSION;
    return 0;
}

EXPORT int ncclGetVersion(int *version)
{
    *version = 22100; /* 2.21, of which torch only prints the text */
    return 0;
}

EXPORT int nvrtcVersion(int *major, int *minor)
{
    *major = CUDA_VERSION / 1000;
    *minor = CUDA_VERSION % 1000 / 10;
    return 0;
}

enum { CUBLAS_EXECUTION_FAILED = 13, CUDNN_EXECUTION_FAILED_CUDART = 5003 };

static int number_in(const struct fault *fault, const char *function)
{
    if (!strncmp(function, "cublas", 6)) return fault->cublas;
    return !strncmp(function, "cudnn", 5) ? fault->cudnn : fault->cuda;
}

static int lost_number(const char *function)
{
    if (!strncmp(function, "cublas", 6)) return CUBLAS_EXECUTION_FAILED;
    return !strncmp(function, "cudnn", 5) ? CUDNN_EXECUTION_FAILED_CUDART : device_error();
}

/* The answer of a function in a stand-in: *otherwise*, unless a fault is set or the GPU is lost. */
EXPORT int rnnprof_simulate_answer(const char *function, int otherwise)
{
    if (device_error()) return lost_number(function);
    const struct fault *fault = fault_at(function);
    if (!fault) return otherwise;
    if (fault->is_device_error) lose_device(fault->cuda);
    return number_in(fault, function);
}
