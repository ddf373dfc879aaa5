/* cuBLAS and cuBLASLt: handles keep their settings; products succeed without being computed.  torch
 * allocates their workspaces from its own allocator.  The functions that are not here, all products,
 * succeed in the stand-ins (see rnnprof_simulate_answer). */
#include "simulate.h"

#include <stdlib.h>
#include <string.h>

enum { CUBLAS_EXECUTION_FAILED = 13, CUBLAS_ALLOC_FAILED = 3, CUBLAS_INVALID_VALUE = 7 };

struct blas_handle {
    void *stream;
    int math_mode, pointer_mode;
};

/* A fault of *function*, or the error of a lost GPU; 0 if there is neither. */
static int blas_error(const char *function)
{
    const struct fault *fault = device_error() ? NULL : fault_at(function);
    if (fault && fault->is_device_error) lose_device(fault->cuda);
    return fault ? fault->cublas : device_error() ? CUBLAS_EXECUTION_FAILED : 0;
}
#define ENTER_BLAS                          \
    do {                                    \
        int error_ = blas_error(__func__);  \
        if (error_) return error_;          \
    } while (0)

EXPORT int cublasCreate_v2(struct blas_handle **out)
{
    ENTER_BLAS;
    *out = calloc(1, sizeof **out);
    return *out ? 0 : CUBLAS_ALLOC_FAILED;
}

EXPORT int cublasDestroy_v2(struct blas_handle *handle)
{
    free(handle);
    return 0;
}

EXPORT int cublasSetStream_v2(struct blas_handle *handle, void *stream)
{
    ENTER_BLAS;
    handle->stream = stream;
    return 0;
}

EXPORT int cublasGetStream_v2(struct blas_handle *handle, void **stream)
{
    ENTER_BLAS;
    *stream = handle->stream;
    return 0;
}

EXPORT int cublasSetMathMode(struct blas_handle *handle, int mode)
{
    ENTER_BLAS;
    handle->math_mode = mode;
    return 0;
}

EXPORT int cublasGetMathMode(struct blas_handle *handle, int *mode)
{
    ENTER_BLAS;
    *mode = handle->math_mode;
    return 0;
}

EXPORT int cublasSetPointerMode_v2(struct blas_handle *handle, int mode)
{
    ENTER_BLAS;
    handle->pointer_mode = mode;
    return 0;
}

EXPORT int cublasGetPointerMode_v2(struct blas_handle *handle, int *mode)
{
    ENTER_BLAS;
    *mode = handle->pointer_mode;
    return 0;
}

EXPORT int cublasGetVersion_v2(struct blas_handle *handle, int *version)
{
    *version = CUDA_VERSION * 10;
    return 0;
}

EXPORT size_t cublasLtGetVersion(void) { return CUDA_VERSION * 10; }

/* ---- cuBLASLt's descriptors: opaque, and nothing reads them */

static int create(void **out)
{
    *out = calloc(1, 1);
    return *out ? 0 : CUBLAS_ALLOC_FAILED;
}

static int destroy(void *descriptor)
{
    free(descriptor);
    return 0;
}

EXPORT int cublasLtCreate(void **out)
{
    ENTER_BLAS;
    return create(out);
}

EXPORT int cublasLtDestroy(void *handle) { return destroy(handle); }
EXPORT int cublasLtMatmulDescCreate(void **out, int compute, int scale) { return create(out); }
EXPORT int cublasLtMatmulDescDestroy(void *descriptor) { return destroy(descriptor); }
EXPORT int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns, int64_t leading) { return create(out); }
EXPORT int cublasLtMatrixLayoutDestroy(void *layout) { return destroy(layout); }
EXPORT int cublasLtMatmulPreferenceCreate(void **out) { return create(out); }
EXPORT int cublasLtMatmulPreferenceDestroy(void *preference) { return destroy(preference); }

/* cublasLtMatmulHeuristicResult_t; a state of zero is success */
struct heuristic {
    uint64_t algorithm[8];
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};

EXPORT int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference, int wanted, struct heuristic *results, int *found)
{
    ENTER_BLAS;
    if (wanted < 1) return CUBLAS_INVALID_VALUE;
    memset(results, 0, sizeof *results);
    *found = 1;
    return 0;
}
