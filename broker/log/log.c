#include "broker/log/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

// Readers are those who log; the writer is a reload.
static pthread_rwlock_t sink_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct mr_log_sink current_sink;
static _Atomic uint32_t wanted_types;

void mr_log_set_sink(const struct mr_log_sink *sink, uint32_t types) {
    pthread_rwlock_wrlock(&sink_lock);
    current_sink = *sink;
    atomic_store_explicit(&wanted_types, types, memory_order_relaxed);
    pthread_rwlock_unlock(&sink_lock);
}

bool mr_log_wants(enum mr_log_type type) {
    return (atomic_load_explicit(&wanted_types, memory_order_relaxed) & (uint32_t)type) != 0;
}

void mr_log(enum mr_log_type type, const char *format, ...) {
    if (!mr_log_wants(type)) {
        return;
    }
    char line[MR_LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int printed = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (printed < 0) {
        return;
    }
    size_t len = (size_t)printed;
    if (len >= sizeof(line)) {
        len = sizeof(line) - 1;
        memcpy(line + len - 3, "...", 4);
    }
    // mr_log_text() is for what clients send. If somebody forgot it, the line must still be one.
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    pthread_rwlock_rdlock(&sink_lock);
    if (current_sink.write != NULL) {
        current_sink.write(current_sink.ctx, type, line, len);
    }
    pthread_rwlock_unlock(&sink_lock);
}

// ----------------------------------------------------------------- text from outside

// Length of the well-formed UTF-8 sequence at `data`, and its code point; 0: malformed.
static size_t decode(const uint8_t *data, size_t left, uint32_t *code_out) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = data[0];
    size_t len = lead < 0x80       ? 1
                 : lead >> 5 == 6  ? 2
                 : lead >> 4 == 14 ? 3
                 : lead >> 3 == 30 ? 4
                                   : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    uint32_t code = len == 1 ? lead : lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (data[i] & 0x3f);
    }
    *code_out = code;
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[len] || code > 0x10ffff || surrogate ? 0 : len;
}

// Would a terminal or a log viewer act on it instead of showing it? Controls, line
// separators, and what changes the direction of writing.
static bool acts(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xfff9 && code <= 0xfffb);
}

const char *mr_log_text(struct mr_slice text, char out[MR_LOG_TEXT_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    size_t step;
    for (size_t i = 0; i < text.len; i += step) {
        uint32_t code = 0;
        // The largest thing written at once, the dots and the end need room.
        if (used + 4 + 3 + 1 > MR_LOG_TEXT_BYTES) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        step = decode(text.data + i, text.len - i, &code);
        if (step == 0 || acts(code)) {
            // A longer sequence is escaped byte by byte, each in a turn of its own.
            step = 1;
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = digits[text.data[i] >> 4];
            out[used++] = digits[text.data[i] & 15];
        } else {
            if (code == '\\') {
                out[used++] = '\\';
            }
            memcpy(out + used, text.data + i, step);
            used += step;
        }
    }
    out[used] = '\0';
    return out;
}

// ------------------------------------------------------------------------- thinning

#define COUNT_BITS 24
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

bool mr_log_allow(struct mr_log_limiter *limiter, uint64_t now_ms, uint32_t per_minute,
                  uint32_t *skipped_out) {
    // The first minute is 1, so that a limiter of zeros has none yet.
    uint64_t minute = now_ms / 60000 + 1;
    uint64_t allowed = per_minute < COUNT_MASK ? per_minute : COUNT_MASK;
    // The struct is for C++, too, which doesn't know _Atomic.
    uint64_t state = __atomic_load_n(&limiter->state, __ATOMIC_RELAXED);
    uint64_t next;
    *skipped_out = 0;
    do {
        // A thread whose clock is a little behind counts in the minute that has begun.
        bool fresh = minute > state >> COUNT_BITS;
        uint64_t count = fresh ? 0 : state & COUNT_MASK;
        if (count >= allowed) {
            __atomic_fetch_add(&limiter->skipped, 1, __ATOMIC_RELAXED);
            return false;
        }
        next = ((fresh ? minute : state >> COUNT_BITS) << COUNT_BITS) | (count + 1);
    } while (!__atomic_compare_exchange_n(&limiter->state, &state, next, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    *skipped_out = __atomic_exchange_n(&limiter->skipped, 0, __ATOMIC_RELAXED);
    return true;
}
