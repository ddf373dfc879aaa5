/* Errors on request: RNNPROF_SIMULATED_FAULT="FUNCTION:NTH:ERROR[:sticky]", several separated by commas.
 *
 * The NTH call of FUNCTION, counted from 1, fails with ERROR.  "sticky": every later call of that
 * function fails as well.  A device error is always kept: from then on every call returns it, as on a
 * GPU whose context is lost.  All ways of launching a kernel count as cudaLaunchKernel. */
#define _GNU_SOURCE
#include "simulate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers: cudaError_t, cublasStatus_t, cudnnStatus_t (of cuDNN 9), nvmlReturn_t. */
static const struct fault kinds[] = {
    {"out_of_memory", MEMORY_ALLOCATION, 3, 4004, 20, 0},
    {"alloc_failed", MEMORY_ALLOCATION, 3, 4004, 20, 0},
    {"not_initialized", INITIALIZATION_ERROR, 1, 1001, 1, 0},
    {"not_supported", NOT_SUPPORTED, 15, 3000, 3, 0},
    {"invalid_value", INVALID_VALUE, 7, 2000, 2, 0},
    {"no_permission", NOT_PERMITTED, 14, 4000, 4, 0},
    {"version_mismatch", DRIVER_MISMATCH, 1, 1001, 18, 0},
    {"internal_error", UNKNOWN_ERROR, 14, 4000, 999, 0},
    {"execution_failed", LAUNCH_FAILURE, 13, 5000, 999, 0},
    {"device_assert", DEVICE_ASSERT, 13, 5003, 15, 1},
    {"illegal_address", ILLEGAL_ADDRESS, 13, 5003, 15, 1},
    {"launch_failure", LAUNCH_FAILURE, 13, 5003, 15, 1},
    {"ecc", ECC_UNCORRECTABLE, 13, 5003, 15, 1},
    {"device_lost", UNKNOWN_ERROR, 13, 5003, 15, 1},
};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds, MOST_CLAUSES = 8 };

struct clause {
    char function[64];
    unsigned long long nth, calls;
    const struct fault *kind;
    int is_sticky;
};
static struct clause clauses[MOST_CLAUSES];
static int clause_count, is_read;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct fault *kind_named(const char *name)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (!strcmp(kinds[i].name, name)) return &kinds[i];
    return NULL;
}

/* A test whose fault never occurs would pass without reason, so a setting that cannot be read ends the
 * process. */
static void refuse(const char *text)
{
    fprintf(stderr, "rnnprof: RNNPROF_SIMULATED_FAULT: %s is not FUNCTION:NTH:ERROR[:sticky]; errors are", text);
    for (int i = 0; i < KIND_COUNT; i++) fprintf(stderr, "%s %s", i ? "," : "", kinds[i].name);
    fprintf(stderr, "\n");
    abort();
}

static struct clause read_clause(const char *text)
{
    struct clause c = {0};
    char kind[32] = "", extra[16] = "";
    int fields = sscanf(text, "%63[^:]:%llu:%31[^:]:%15s", c.function, &c.nth, kind, extra);
    c.kind = kind_named(kind);
    c.is_sticky = fields == 4;
    if (fields < 3 || !c.nth || !c.kind || (c.is_sticky && strcmp(extra, "sticky"))) refuse(text);
    return c;
}

void fault_read_again(void)
{
    const char *given = getenv("RNNPROF_SIMULATED_FAULT");
    char copy[1024], *rest = copy, *text;
    int count = 0;
    snprintf(copy, sizeof copy, "%s", given ? given : "");
    while ((text = strsep(&rest, ",")))
        if (*text) {
            if (count == MOST_CLAUSES) refuse(text);
            clauses[count++] = read_clause(text);
        }
    clause_count = count;
    is_read = 1;
}

static int is_due(struct clause *c)
{
    c->calls++;
    return c->is_sticky ? c->calls >= c->nth : c->calls == c->nth;
}

const struct fault *fault_at(const char *function)
{
    const struct fault *found = NULL;
    if (is_read && !clause_count) return NULL;
    pthread_mutex_lock(&lock);
    if (!is_read) fault_read_again();
    for (int i = 0; i < clause_count; i++)
        if (!strcmp(clauses[i].function, function) && is_due(&clauses[i]) && !found) found = clauses[i].kind;
    pthread_mutex_unlock(&lock);
    return found;
}
