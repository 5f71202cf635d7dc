#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/load.h"

double cpu_seconds(void) {
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

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

void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (size_t i = 0; i < MR_ARRAY_COUNT(into->bins); i++) {
        into->bins[i] += from->bins[i];
    }
    into->count += from->count;
    into->max = into->max > from->max ? into->max : from->max;
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

static double larger(double a, double b) {
    return a > b ? a : b;
}

void results_merge(struct results *into, const struct results *from) {
    into->published += from->published;
    into->delivered += from->delivered;
    into->lost += from->lost;
    into->duplicated += from->duplicated;
    into->reordered += from->reordered;
    into->failed += from->failed;
    into->connects += from->connects;
    into->rounds += from->rounds;
    into->own_cpu_seconds += from->own_cpu_seconds;
    into->seconds = larger(into->seconds, from->seconds);
    into->connect_seconds = larger(into->connect_seconds, from->connect_seconds);
    // Only the first process measures the broker; the others report zeros.
    into->usage_begin.cpu_seconds += from->usage_begin.cpu_seconds;
    into->usage_begin.memory_bytes += from->usage_begin.memory_bytes;
    into->usage_end.cpu_seconds += from->usage_end.cpu_seconds;
    into->usage_end.memory_bytes += from->usage_end.memory_bytes;
    histogram_merge(&into->latency, &from->latency);
    histogram_merge(&into->lateness, &from->lateness);
}

// ------------------------------------------------------------------------ text

static void json_histogram(const char *name, const struct histogram *histogram, FILE *out) {
    fprintf(out,
            "\"%s\": {\"count\": %llu, \"p50\": %llu, \"p90\": %llu, \"p99\": %llu, "
            "\"p99.9\": %llu, \"max\": %llu}",
            name, (unsigned long long)histogram->count,
            (unsigned long long)histogram_percentile(histogram, 50),
            (unsigned long long)histogram_percentile(histogram, 90),
            (unsigned long long)histogram_percentile(histogram, 99),
            (unsigned long long)histogram_percentile(histogram, 99.9),
            (unsigned long long)histogram->max);
}

static void report_json(const struct options *options, const struct results *results,
                        struct usage idle, FILE *out) {
    double cpu = results->usage_end.cpu_seconds - results->usage_begin.cpu_seconds;
    double deliveries = (double)results->delivered;
    double per_second = results->seconds > 0 ? 1 / results->seconds : 0;
    fprintf(out, "{\"shape\": \"%s\", \"publishers\": %u, \"subscribers\": %u, ",
            shape_name(options->shape), options->publishers, options->subscribers);
    fprintf(out, "\"payload_bytes\": %u, \"qos\": %u, \"processes\": %u, ", options->payload_bytes,
            options->qos, options->processes);
    fprintf(out,
            "\"seconds\": %.3f, \"published\": %llu, \"delivered\": %llu, "
            "\"deliveries_per_second\": %.0f, ",
            results->seconds, (unsigned long long)results->published,
            (unsigned long long)results->delivered, deliveries * per_second);
    fprintf(out,
            "\"broker_cpu_ns_per_delivery\": %.1f, \"broker_cpu_seconds\": %.3f, "
            "\"broker_memory_bytes\": %llu, \"broker_memory_before_bytes\": %llu, "
            "\"own_cpu_seconds\": %.3f, ",
            deliveries > 0 ? cpu * 1e9 / deliveries : 0, cpu,
            (unsigned long long)results->usage_end.memory_bytes,
            (unsigned long long)idle.memory_bytes, results->own_cpu_seconds);
    fprintf(out,
            "\"lost\": %llu, \"duplicated\": %llu, \"reordered\": %llu, \"failed\": %llu, "
            "\"connects\": %llu, \"connect_seconds\": %.3f, \"rounds\": %llu, ",
            (unsigned long long)results->lost, (unsigned long long)results->duplicated,
            (unsigned long long)results->reordered, (unsigned long long)results->failed,
            (unsigned long long)results->connects, results->connect_seconds,
            (unsigned long long)results->rounds);
    json_histogram("latency_ns", &results->latency, out);
    fputs(", ", out);
    json_histogram("own_lateness_ns", &results->lateness, out);
    fputs("}\n", out);
}

static void report_histogram(const char *name, const struct histogram *histogram, FILE *out) {
    if (histogram->count > 0) {
        fprintf(out, "%s p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n", name,
                (double)histogram_percentile(histogram, 50) / 1e3,
                (double)histogram_percentile(histogram, 99) / 1e3,
                (double)histogram_percentile(histogram, 99.9) / 1e3, (double)histogram->max / 1e3);
    }
}

static void report_text(const struct options *options, const struct results *results,
                        struct usage idle, FILE *out) {
    double cpu = results->usage_end.cpu_seconds - results->usage_begin.cpu_seconds;
    double deliveries = (double)results->delivered;
    if (deliveries > 0) {
        fprintf(out, "%.2f s: %llu published, %llu delivered, %.0f/s\n", results->seconds,
                (unsigned long long)results->published, (unsigned long long)results->delivered,
                deliveries / results->seconds);
    }
    fprintf(out, "%llu connects in %.2f s\n", (unsigned long long)results->connects,
            options->shape == SHAPE_CHURN ? results->seconds : results->connect_seconds);
    fprintf(out, "lost %llu, duplicated %llu, reordered %llu, failed connections %llu\n",
            (unsigned long long)results->lost, (unsigned long long)results->duplicated,
            (unsigned long long)results->reordered, (unsigned long long)results->failed);
    report_histogram("latency", &results->latency, out);
    report_histogram("sent late by", &results->lateness, out);
    double memory = (double)results->usage_end.memory_bytes;
    if (options->pid != 0) {
        fprintf(out, "broker: %.1f MB", memory / 1e6);
        if (deliveries > 0) {
            fprintf(out, ", %.2f s CPU, %.1f ns per delivery", cpu, cpu * 1e9 / deliveries);
        }
        if (options->shape == SHAPE_IDLE && results->connects > 0) {
            fprintf(out, ", %.0f bytes of memory per client",
                    (memory - (double)idle.memory_bytes) / (double)results->connects);
        }
        fputc('\n', out);
    }
    fprintf(out, "generator: %.2f s CPU\n", results->own_cpu_seconds);
}

void report(const struct options *options, const struct results *results, struct usage idle,
            FILE *out) {
    if (options->json) {
        report_json(options, results, idle, out);
    } else {
        report_text(options, results, idle, out);
    }
}
