// Names of topics and filters, and which topic comes next.
#include <math.h>
#include <stdlib.h>

#include "bench/load/load.h"

// Coprime to every number of topics below it, and to those that it doesn't divide.
#define SPREAD 1000003u
#define SEED 88172645463325252u

void topic_of(const struct load *load, uint32_t index, char out[TOPIC_BYTES]) {
    uint32_t number = load->options.shape == SHAPE_FAN_OUT ? 0 : index;
    snprintf(out, TOPIC_BYTES, "load/%u/%03u/%03u/v", load->process, number / 1000, number % 1000);
}

void filter_of(const struct load *load, uint32_t index, char out[TOPIC_BYTES]) {
    switch (load->options.shape) {
        case SHAPE_FAN_IN:
            snprintf(out, TOPIC_BYTES, "load/%u/+/+/v", load->process);
            break;
        case SHAPE_RETAINED:
            snprintf(out, TOPIC_BYTES, "load/%u/#", load->process);
            break;
        default:
            topic_of(load, index, out);
            break;
    }
}

// Half of them without wildcard, a quarter each with + and #; exactly one matches a topic.
void filter_numbered(const struct load *load, uint32_t number, char out[TOPIC_BYTES]) {
    static const char *const last[] = {"v", "v", "+", "#"};
    snprintf(out, TOPIC_BYTES, "load/%u/%03u/%03u/%s", load->process, number / 1000, number % 1000,
             last[number % 4]);
}

// Four neighbours go to the same subscriber, so that everyone has filters of each kind.
uint32_t subscriber_of(const struct load *load, uint32_t number) {
    return number / 4 % load->options.subscribers;
}

uint32_t filter_next(const struct load *load, uint32_t subscriber, uint32_t number) {
    while (number < load->options.topics && subscriber_of(load, number) != subscriber) {
        number = (number / 4 + 1) * 4;
    }
    return number < load->options.topics ? number : load->options.topics;
}

void topic_put_digits(uint8_t *digits, uint32_t number) {
    uint32_t high = number / 1000;
    uint32_t low = number % 1000;
    digits[0] = (uint8_t)('0' + high / 100);
    digits[1] = (uint8_t)('0' + high / 10 % 10);
    digits[2] = (uint8_t)('0' + high % 10);
    digits[4] = (uint8_t)('0' + low / 100);
    digits[5] = (uint8_t)('0' + low / 10 % 10);
    digits[6] = (uint8_t)('0' + low % 10);
}

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// Topic of rank r is drawn with a probability that falls as r to the power of -zipf.
bool topics_draw(struct load *load) {
    uint32_t count = load->options.topics;
    double *sums = malloc(count * sizeof(double));
    load->topics = malloc(TOPIC_DRAWS * sizeof(uint32_t));
    if (sums == NULL || load->topics == NULL) {
        free(sums);
        return false;
    }
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += pow(i + 1, -load->options.zipf);
        sums[i] = sum;
    }
    uint64_t state = SEED + load->process;
    for (uint32_t i = 0; i < TOPIC_DRAWS; i++) {
        double wanted = (double)(random_next(&state) >> 11) / (double)(1ull << 53) * sum;
        uint32_t low = 0;
        uint32_t high = count - 1;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (sums[middle] > wanted) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        // Popular topics are spread over kinds of filters and subscribers.
        load->topics[i] = (uint32_t)((uint64_t)low * SPREAD % count);
    }
    free(sums);
    return true;
}
