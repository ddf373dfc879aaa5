/* The description of the GPU, from RNNPROF_SIMULATED_GPU: "key=value;key=value;...", as
 * GpuDescription.as_text() writes it.  Python has checked it; unknown keys are ignored. */
#define _GNU_SOURCE
#include "simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct gpu described;
static int is_read;

int find_value(const char *text, const char *key, char *out, size_t size)
{
    size_t length = strlen(key);
    for (const char *at = text; at; at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL) {
        if (strncmp(at, key, length) || at[length] != '=') continue;
        size_t value_length = strcspn(at + length + 1, ";");
        if (value_length >= size) value_length = size - 1;
        memcpy(out, at + length + 1, value_length);
        out[value_length] = 0;
        return 1;
    }
    return 0;
}

size_t find_number(const char *text, const char *key)
{
    char value[32] = "0";
    find_value(text, key, value, sizeof value);
    return strtoull(value, NULL, 10);
}

static void read_sizes(struct gpu *g, const char *text)
{
    g->memory_bytes = find_number(text, "memory_bytes");
    g->context_bytes = find_number(text, "context_bytes");
    g->others_bytes = find_number(text, "others_bytes");
    g->l2_bytes = find_number(text, "l2_bytes");
    g->shared_per_sm_bytes = find_number(text, "shared_per_multiprocessor_bytes");
    g->shared_per_block_bytes = find_number(text, "shared_per_block_bytes");
}

static void read_counts(struct gpu *g, const char *text)
{
    char capability[16] = "0.0";
    g->multiprocessors = (int)find_number(text, "multiprocessors");
    g->sm_clock_mhz = (int)find_number(text, "sm_clock_mhz");
    g->memory_clock_mhz = (int)find_number(text, "memory_clock_mhz");
    g->memory_bus_bits = (int)find_number(text, "memory_bus_bits");
    g->threads_per_sm = (int)find_number(text, "threads_per_multiprocessor");
    g->blocks_per_sm = (int)find_number(text, "blocks_per_multiprocessor");
    find_value(text, "capability", capability, sizeof capability);
    sscanf(capability, "%d.%d", &g->major, &g->minor);
}

void gpu_read_again(void)
{
    struct gpu g = {0};
    const char *text = getenv("RNNPROF_SIMULATED_GPU");
    if (text) {
        find_value(text, "name", g.name, sizeof g.name);
        find_value(text, "uuid", g.uuid, sizeof g.uuid);
        read_sizes(&g, text);
        read_counts(&g, text);
        g.is_described = g.memory_bytes > 0;
    }
    described = g;
    is_read = 1;
}

const struct gpu *gpu(void)
{
    if (!is_read) gpu_read_again();
    return &described;
}

/* CUDA reads the list up to the first entry that is not a GPU; with one GPU the first entry decides,
 * and a GPU that is named twice empties the list. */
int gpu_is_visible(void)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    if (!gpu()->is_described) return 0;
    if (!list) return 1;
    size_t length = strcspn(list, ",");
    const char *second = list[length] ? list + length + 1 : "";
    if (!strncmp(list, "GPU-", 4))
        return length <= strlen(gpu()->uuid) && !strncasecmp(list, gpu()->uuid, length);
    char *end;
    long index = strtol(list, &end, 10);
    if (end == list || index != 0) return 0;
    return !(second[0] == '0' && (second[1] == 0 || second[1] == ','));
}
