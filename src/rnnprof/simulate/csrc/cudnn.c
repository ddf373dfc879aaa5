/* cuDNN 9: what torch calls for recurrent layers.  The layout of the weights follows from the API
 * reference; the sizes of workspace and reserve follow a fitted law (cudnn_law.h).  Everything else that
 * torch imports from cuDNN returns CUDNN_STATUS_NOT_SUPPORTED in the stand-in. */
#include "simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cudnn_law.h"

/* Numbers of cuDNN 9's enumerations. */
enum {
    CUDNN_OK = 0, CUDNN_NOT_INITIALIZED = 1001, CUDNN_BAD_PARAM = 2000, CUDNN_SIZE_INSUFFICIENT = 2006,
    CUDNN_NOT_SUPPORTED = 3000, CUDNN_INTERNAL_ERROR = 4000, CUDNN_NO_HOST_MEMORY = 4003,
    CUDNN_NO_DEVICE_MEMORY = 4004, CUDNN_EXECUTION_FAILED = 5000, CUDNN_EXECUTION_FAILED_CUDART = 5003,
};
enum { TYPE_FLOAT = 0, TYPE_DOUBLE = 1, TYPE_HALF = 2, TYPE_BFLOAT16 = 9 };
enum { MODE_RELU = 0, MODE_TANH = 1, MODE_LSTM = 2, MODE_GRU = 3 };
enum { ALGORITHM_STANDARD = 0, ALGORITHM_PERSISTENT = 1, ALGORITHM_SMALL_H = 3 };
enum { NO_BIAS = 0, DOUBLE_BIAS = 2, BIDIRECTIONAL = 1, TRAINING = 1, MOST_DIMENSIONS = 8 };

struct handle { void *stream; };
struct tensor { int type, format, count, sizes[MOST_DIMENSIONS], strides[MOST_DIMENSIONS]; };
struct dropout { float p; void *states; size_t bytes; unsigned long long seed; };
struct rnn {
    int algorithm, mode, bias, direction, type;
    int input, hidden, projection, layers;
};
struct sequences { int type, layout, time_steps, batch, width; };

/* ---- errors */

static int dnn_error(const char *function)
{
    const struct fault *fault = device_error() ? NULL : fault_at(function);
    if (fault && fault->is_device_error) lose_device(fault->cuda);
    return fault ? fault->cudnn : device_error() ? CUDNN_EXECUTION_FAILED_CUDART : CUDNN_OK;
}
#define ENTER_DNN                          \
    do {                                   \
        int error_ = dnn_error(__func__);  \
        if (error_) return error_;         \
    } while (0)

EXPORT const char *cudnnGetErrorString(int status)
{
    switch (status) {
    case CUDNN_OK: return "CUDNN_STATUS_SUCCESS";
    case CUDNN_NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_SIZE_INSUFFICIENT: return "CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT";
    case CUDNN_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_INTERNAL_ERROR: return "CUDNN_STATUS_INTERNAL_ERROR";
    case CUDNN_NO_HOST_MEMORY: return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    case CUDNN_NO_DEVICE_MEMORY: return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case CUDNN_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    case CUDNN_EXECUTION_FAILED_CUDART: return "CUDNN_STATUS_EXECUTION_FAILED_CUDART";
    }
    return "CUDNN_STATUS_UNKNOWN";
}

EXPORT void cudnnGetLastErrorString(char *out, size_t size)
{
    if (size) *out = 0;
}

EXPORT size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
EXPORT size_t cudnnGetCudartVersion(void) { return CUDA_VERSION; }

EXPORT int cudnnGetProperty(int which, int *value)
{
    const int parts[] = {CUDNN_VERSION / 10000, CUDNN_VERSION / 100 % 100, CUDNN_VERSION % 100};
    if (which < 0 || which > 2) return CUDNN_BAD_PARAM;
    *value = parts[which];
    return CUDNN_OK;
}

/* ---- handles and descriptors */

static int make(void **out, size_t size)
{
    *out = calloc(1, size);
    return *out ? CUDNN_OK : CUDNN_NO_HOST_MEMORY;
}

static int unmake(void *descriptor)
{
    free(descriptor);
    return CUDNN_OK;
}

EXPORT int cudnnCreate(void **out)
{
    ENTER_DNN;
    if (!gpu_is_visible()) return CUDNN_NOT_INITIALIZED;
    return make(out, sizeof(struct handle));
}

EXPORT int cudnnDestroy(void *handle) { return unmake(handle); }

EXPORT int cudnnSetStream(struct handle *handle, void *stream)
{
    ENTER_DNN;
    handle->stream = stream;
    return CUDNN_OK;
}

EXPORT int cudnnGetStream(struct handle *handle, void **stream)
{
    ENTER_DNN;
    *stream = handle->stream;
    return CUDNN_OK;
}

EXPORT int cudnnCreateTensorDescriptor(void **out) { return make(out, sizeof(struct tensor)); }
EXPORT int cudnnDestroyTensorDescriptor(void *d) { return unmake(d); }
EXPORT int cudnnCreateFilterDescriptor(void **out) { return make(out, sizeof(struct tensor)); }
EXPORT int cudnnDestroyFilterDescriptor(void *d) { return unmake(d); }
EXPORT int cudnnCreateDropoutDescriptor(void **out) { return make(out, sizeof(struct dropout)); }
EXPORT int cudnnDestroyDropoutDescriptor(void *d) { return unmake(d); }
EXPORT int cudnnCreateRNNDescriptor(void **out) { return make(out, sizeof(struct rnn)); }
EXPORT int cudnnDestroyRNNDescriptor(void *d) { return unmake(d); }
EXPORT int cudnnCreateRNNDataDescriptor(void **out) { return make(out, sizeof(struct sequences)); }
EXPORT int cudnnDestroyRNNDataDescriptor(void *d) { return unmake(d); }

EXPORT int cudnnSetTensorNdDescriptor(struct tensor *d, int type, int count, const int *sizes, const int *strides)
{
    if (count < 0 || count > MOST_DIMENSIONS) return CUDNN_BAD_PARAM;
    d->type = type;
    d->count = count;
    memcpy(d->sizes, sizes, (size_t)count * sizeof *sizes);
    memcpy(d->strides, strides, (size_t)count * sizeof *strides);
    return CUDNN_OK;
}

static int shorter(int a, int b) { return a < b ? a : b; }

EXPORT int cudnnGetTensorNdDescriptor(const struct tensor *d, int wanted, int *type, int *count, int *sizes, int *strides)
{
    size_t n = (size_t)shorter(wanted, d->count);
    *type = d->type;
    *count = d->count;
    memcpy(sizes, d->sizes, n * sizeof *sizes);
    memcpy(strides, d->strides, n * sizeof *strides);
    return CUDNN_OK;
}

EXPORT int cudnnSetFilterNdDescriptor(struct tensor *d, int type, int format, int count, const int *sizes)
{
    if (count < 0 || count > MOST_DIMENSIONS) return CUDNN_BAD_PARAM;
    d->type = type;
    d->format = format;
    d->count = count;
    memcpy(d->sizes, sizes, (size_t)count * sizeof *sizes);
    return CUDNN_OK;
}

EXPORT int cudnnGetFilterNdDescriptor(const struct tensor *d, int wanted, int *type, int *format, int *count, int *sizes)
{
    *type = d->type;
    *format = d->format;
    *count = d->count;
    memcpy(sizes, d->sizes, (size_t)shorter(wanted, d->count) * sizeof *sizes);
    return CUDNN_OK;
}

EXPORT int cudnnDropoutGetStatesSize(void *handle, size_t *bytes)
{
    ENTER_DNN;
    *bytes = (size_t)gpu()->multiprocessors * DROPOUT_STATE_BYTES_PER_SM;
    return CUDNN_OK;
}

EXPORT int cudnnSetDropoutDescriptor(struct dropout *d, void *handle, float p, void *states, size_t bytes, unsigned long long seed)
{
    ENTER_DNN;
    *d = (struct dropout){p, states, bytes, seed};
    return CUDNN_OK;
}

EXPORT int cudnnRestoreDropoutDescriptor(struct dropout *d, void *handle, float p, void *states, size_t bytes, unsigned long long seed)
{
    return cudnnSetDropoutDescriptor(d, handle, p, states, bytes, seed);
}

/* ---- recurrent layers */

static size_t element_bytes(int type) { return type == TYPE_DOUBLE ? 8 : type == TYPE_FLOAT ? 4 : 2; }
static int gates(const struct rnn *r) { return r->mode == MODE_LSTM ? 4 : r->mode == MODE_GRU ? 3 : 1; }
static int directions(const struct rnn *r) { return r->direction == BIDIRECTIONAL ? 2 : 1; }
static int is_projected(const struct rnn *r) { return r->projection && r->projection != r->hidden; }
static const struct law *law_of(const struct rnn *r)
{
    return &laws[r->mode == MODE_LSTM ? LAW_LSTM : r->mode == MODE_GRU ? LAW_GRU : LAW_RNN];
}

static int is_known_type(int type) { return type == TYPE_FLOAT || type == TYPE_DOUBLE || type == TYPE_HALF || type == TYPE_BFLOAT16; }

EXPORT int cudnnSetRNNDescriptor_v8(struct rnn *d, int algorithm, int mode, int bias, int direction, int input_mode,
    int type, int math_precision, int math_type, int input, int hidden, int projection, int layers, void *dropout, unsigned flags)
{
    ENTER_DNN;
    if (mode < MODE_RELU || mode > MODE_GRU || input < 1 || hidden < 1 || layers < 1) return CUDNN_BAD_PARAM;
    if (projection < 0 || projection > hidden) return CUDNN_BAD_PARAM;
    if (!is_known_type(type) || input_mode != 0 || (bias != NO_BIAS && bias != DOUBLE_BIAS)) return CUDNN_NOT_SUPPORTED;
    *d = (struct rnn){algorithm, mode, bias, direction, type, input, hidden, projection, layers};
    if (is_projected(d) && (mode != MODE_LSTM || algorithm != ALGORITHM_STANDARD)) return CUDNN_NOT_SUPPORTED;
    return CUDNN_OK;
}

EXPORT int cudnnSetRNNDataDescriptor(struct sequences *d, int type, int layout, int time_steps, int batch, int width, const int *lengths, void *fill)
{
    ENTER_DNN;
    if (time_steps < 1 || batch < 1 || width < 1) return CUDNN_BAD_PARAM;
    *d = (struct sequences){type, layout, time_steps, batch, width};
    return CUDNN_OK;
}

/* Linear layers of one layer and direction: for each gate the input's and the state's; the projection. */
static int linear_count(const struct rnn *r) { return 2 * gates(r) + is_projected(r); }

struct shape { int rows, columns, biases; };

static struct shape shape_of(const struct rnn *r, int pseudo_layer, int linear)
{
    int state = is_projected(r) ? r->projection : r->hidden;
    int layer = pseudo_layer / directions(r);
    int biases = r->bias == NO_BIAS ? 0 : r->hidden;
    if (linear < gates(r)) return (struct shape){r->hidden, layer ? state * directions(r) : r->input, biases};
    if (linear < 2 * gates(r)) return (struct shape){r->hidden, state, biases};
    return (struct shape){r->projection, r->hidden, 0};
}

struct offsets { size_t matrix, bias, total; }; /* in elements */

/* Offset of a linear layer's weights: all matrices come first, then all biases. */
static struct offsets offsets_of(const struct rnn *r, int pseudo_layer, int linear)
{
    struct offsets found = {0, 0, 0};
    size_t matrices = 0, biases = 0;
    for (int p = 0; p < r->layers * directions(r); p++)
        for (int i = 0; i < linear_count(r); i++) {
            struct shape s = shape_of(r, p, i);
            if (p == pseudo_layer && i == linear) found = (struct offsets){matrices, biases, 0};
            matrices += (size_t)s.rows * (size_t)s.columns;
            biases += (size_t)s.biases;
        }
    found.bias += matrices;
    found.total = matrices + biases;
    return found;
}

static size_t weight_bytes(const struct rnn *r) { return offsets_of(r, 0, 0).total * element_bytes(r->type); }

EXPORT int cudnnGetRNNWeightSpaceSize(void *handle, const struct rnn *d, size_t *bytes)
{
    ENTER_DNN;
    *bytes = weight_bytes(d);
    return CUDNN_OK;
}

/* A matrix or a bias as a tensor; without dimensions if there is none. */
static void describe(struct tensor *t, const struct rnn *r, int rows, int columns)
{
    int sizes[3] = {1, rows, columns}, strides[3] = {rows * columns, columns, 1};
    cudnnSetTensorNdDescriptor(t, r->type, rows ? 3 : 0, sizes, strides);
}

EXPORT int cudnnGetRNNWeightParams(void *handle, const struct rnn *d, int pseudo_layer, size_t bytes, const void *space, int linear,
    struct tensor *matrix, void **matrix_at, struct tensor *bias, void **bias_at)
{
    ENTER_DNN;
    if (linear < 0 || linear >= linear_count(d)) return CUDNN_BAD_PARAM;
    if (pseudo_layer < 0 || pseudo_layer >= d->layers * directions(d)) return CUDNN_BAD_PARAM;
    struct shape s = shape_of(d, pseudo_layer, linear);
    struct offsets at = offsets_of(d, pseudo_layer, linear);
    if (matrix && matrix_at) {
        describe(matrix, d, s.rows, s.columns);
        *matrix_at = (char *)space + at.matrix * element_bytes(d->type);
    }
    if (bias && bias_at) {
        describe(bias, d, s.biases, 1);
        *bias_at = s.biases ? (char *)space + at.bias * element_bytes(d->type) : NULL;
    }
    return CUDNN_OK;
}

/* ---- sizes, by the law */

struct dims { double u, bh, tbi; size_t weights; int one_layer; };

static struct dims dims_of(const struct rnn *r, const struct sequences *x)
{
    double s = (double)element_bytes(r->type), bh = (double)x->batch * r->hidden * s;
    double tbi = (double)x->time_steps * x->batch * r->input * s;
    return (struct dims){bh * x->time_steps * directions(r), bh, tbi, weight_bytes(r), r->layers == 1};
}

static size_t reserve_bytes(const struct rnn *r, const struct sequences *x)
{
    double units = law_of(r)->reserve_units * r->layers + (r->layers - 1);
    return (size_t)(dims_of(r, x).u * units) + RESERVE_EXTRA_BYTES;
}

static size_t small_bytes(const struct law *l, struct dims d)
{
    double a = d.one_layer ? l->small_one : l->small_more;
    double bytes = a * d.u + l->small_inputs * d.tbi + SMALL_WEIGHTS * (double)d.weights + SMALL_BATCH_UNITS * d.bh;
    return (size_t)bytes + (d.one_layer ? l->constant_one_bytes : 0);
}

static size_t standard_bytes(const struct law *l, struct dims d)
{
    double a = d.one_layer ? l->standard_one : l->standard_more;
    double y = d.one_layer ? l->standard_inputs_one : 0;
    double bytes = a * d.u + y * d.tbi + STANDARD_WEIGHTS * (double)d.weights + STANDARD_BATCH_UNITS * d.bh;
    return (size_t)bytes + (d.one_layer ? l->constant_one_bytes : 0);
}

static size_t workspace_bytes(const struct rnn *r, const struct sequences *x)
{
    struct dims d = dims_of(r, x);
    return r->algorithm == ALGORITHM_SMALL_H ? small_bytes(law_of(r), d) : standard_bytes(law_of(r), d);
}

static int algorithm_status(const struct rnn *r)
{
    switch (r->algorithm) {
    case ALGORITHM_STANDARD: return CUDNN_OK;
    case ALGORITHM_PERSISTENT: return r->type == TYPE_DOUBLE ? CUDNN_NOT_SUPPORTED : CUDNN_OK;
    case ALGORITHM_SMALL_H:
        return r->type != TYPE_DOUBLE && r->hidden <= law_of(r)->small_most_hidden ? CUDNN_OK : CUDNN_NOT_SUPPORTED;
    }
    return CUDNN_NOT_SUPPORTED;
}

EXPORT int cudnnGetRNNTempSpaceSizes(void *handle, const struct rnn *d, int mode, const struct sequences *x, size_t *workspace, size_t *reserve)
{
    ENTER_DNN;
    int status = algorithm_status(d);
    if (status) return status;
    if (workspace) *workspace = workspace_bytes(d, x);
    if (reserve) *reserve = mode == TRAINING ? reserve_bytes(d, x) : 0;
    return CUDNN_OK;
}

/* What all three passes check: the algorithm, the number of time steps, and enough workspace. */
static int run(const struct rnn *r, const struct sequences *x, size_t workspace)
{
    int status = algorithm_status(r);
    if (status) return status;
    if (x->time_steps > LAW_MOST_TIME_STEPS) return CUDNN_NOT_SUPPORTED;
    if (workspace < workspace_bytes(r, x)) return CUDNN_SIZE_INSUFFICIENT;
    __atomic_add_fetch(&launch_count, 1, __ATOMIC_RELAXED);
    return CUDNN_OK;
}

EXPORT int cudnnRNNForward(void *handle, const struct rnn *d, int mode, const int32_t *lengths, const struct sequences *xd, const void *x,
    const struct sequences *yd, void *y, void *hd, const void *hx, void *hy, void *cd, const void *cx, void *cy,
    size_t weight_size, const void *weights, size_t workspace_size, void *workspace, size_t reserve_size, void *reserve)
{
    ENTER_DNN;
    if (mode == TRAINING && reserve_size < reserve_bytes(d, xd)) return CUDNN_SIZE_INSUFFICIENT;
    return run(d, xd, workspace_size);
}

EXPORT int cudnnRNNBackwardData_v8(void *handle, const struct rnn *d, const int32_t *lengths, const struct sequences *yd, const void *y, const void *dy,
    const struct sequences *xd, void *dx, void *hd, const void *hx, const void *dhy, void *dhx, void *cd, const void *cx, const void *dcy, void *dcx,
    size_t weight_size, const void *weights, size_t workspace_size, void *workspace, size_t reserve_size, void *reserve)
{
    ENTER_DNN;
    return run(d, xd, workspace_size);
}

EXPORT int cudnnRNNBackwardWeights_v8(void *handle, const struct rnn *d, int add, const int32_t *lengths, const struct sequences *xd, const void *x,
    void *hd, const void *hx, const struct sequences *yd, const void *y,
    size_t weight_size, void *dweights, size_t workspace_size, void *workspace, size_t reserve_size, void *reserve)
{
    ENTER_DNN;
    return run(d, xd, workspace_size);
}
