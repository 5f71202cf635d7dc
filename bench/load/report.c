#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/load.h"

uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// 64 bins for each power of two.
static size_t bin_of(uint64_t value) {
    if (value < 64) {
        return (size_t)value;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 6u;
    return (size_t)(shift + 1) * 64u + (size_t)((value >> shift) & 63u);
}

static uint64_t value_of(size_t bin) {
    return bin < 64 ? bin : (64u + bin % 64u) << (bin / 64u - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value) {
    histogram->bins[bin_of(value)]++;
    histogram->count++;
    if (value > histogram->max) {
        histogram->max = value;
    }
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent) {
    uint64_t rank = (uint64_t)((double)histogram->count * percent / 100.0);
    uint64_t seen = 0;
    for (size_t i = 0; i < MR_ARRAY_COUNT(histogram->bins); i++) {
        seen += histogram->bins[i];
        if (seen > rank) {
            return value_of(i);
        }
    }
    return histogram->max;
}

struct usage usage_of(int pid) {
    struct usage usage = {0, 0};
    char path[64];
    char text[1024];
    if (pid == 0) {
        return usage;
    }
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return usage;
    }
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    char *at = strrchr(text, ')');
    // Fields are counted from the state, which is the third one: see proc(5).
    unsigned long fields[25] = {0};
    char *word = at != NULL ? strtok(at + 1, " ") : NULL;
    for (size_t i = 3; i < MR_ARRAY_COUNT(fields) && word != NULL; i++) {
        fields[i] = strtoul(word, NULL, 10);
        word = strtok(NULL, " ");
    }
    usage.cpu_seconds = (double)(fields[14] + fields[15]) / (double)sysconf(_SC_CLK_TCK);
    usage.memory_bytes = (uint64_t)fields[24] * (uint64_t)sysconf(_SC_PAGESIZE);
    return usage;
}

void report(const struct load *load, double seconds, struct usage before, struct usage after,
            double own_cpu_seconds, FILE *out) {
    double cpu = after.cpu_seconds - before.cpu_seconds;
    double deliveries = (double)load->delivered;
    uint64_t p50 = histogram_percentile(&load->latency, 50);
    uint64_t p99 = histogram_percentile(&load->latency, 99);
    uint64_t p999 = histogram_percentile(&load->latency, 99.9);
    double per_delivery_ns = deliveries > 0 ? cpu * 1e9 / deliveries : 0;
    if (load->options.json) {
        fprintf(out,
                "{\"seconds\": %.3f, \"published\": %llu, \"delivered\": %llu, "
                "\"deliveries_per_second\": %.0f, \"broker_cpu_ns_per_delivery\": %.1f, "
                "\"broker_cpu_seconds\": %.3f, \"broker_memory_bytes\": %llu, "
                "\"own_cpu_seconds\": %.3f, \"lost\": %llu, \"duplicated\": %llu, "
                "\"reordered\": %llu, \"failed\": %llu, \"connects\": %llu, "
                "\"latency_ns\": {\"p50\": %llu, \"p99\": %llu, \"p99.9\": %llu, \"max\": %llu}}\n",
                seconds, (unsigned long long)load->published, (unsigned long long)load->delivered,
                deliveries / seconds, per_delivery_ns, cpu, (unsigned long long)after.memory_bytes,
                own_cpu_seconds, (unsigned long long)load->lost,
                (unsigned long long)load->duplicated, (unsigned long long)load->reordered,
                (unsigned long long)load->failed, (unsigned long long)load->connects,
                (unsigned long long)p50, (unsigned long long)p99, (unsigned long long)p999,
                (unsigned long long)load->latency.max);
        return;
    }
    fprintf(out, "%.2f s: %llu published, %llu delivered, %.0f/s\n", seconds,
            (unsigned long long)load->published, (unsigned long long)load->delivered,
            deliveries / seconds);
    fprintf(out,
            "lost %llu, duplicated %llu, reordered %llu, failed connections %llu, connects %llu\n",
            (unsigned long long)load->lost, (unsigned long long)load->duplicated,
            (unsigned long long)load->reordered, (unsigned long long)load->failed,
            (unsigned long long)load->connects);
    if (load->latency.count > 0) {
        fprintf(out, "latency p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n",
                (double)p50 / 1e3, (double)p99 / 1e3, (double)p999 / 1e3,
                (double)load->latency.max / 1e3);
    }
    if (load->options.pid != 0) {
        fprintf(out, "broker: %.2f s CPU, %.1f ns per delivery, %.1f MB", cpu, per_delivery_ns,
                (double)after.memory_bytes / 1e6);
        if (load->options.shape == SHAPE_IDLE && load->connects > 0) {
            fprintf(out, ", %.0f bytes of memory per client",
                    ((double)after.memory_bytes - (double)before.memory_bytes) /
                        (double)load->connects);
        }
        fputc('\n', out);
    }
    fprintf(out, "generator: %.2f s CPU\n", own_cpu_seconds);
}
