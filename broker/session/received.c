// QoS 2 towards the broker: packet identifiers of PUBLISHes whose PUBREL is still to come.
#include <string.h>

#include "broker/session/internal.h"

// A table with open addressing, at most half full; 0 is no identifier and means empty. Clients
// count their identifiers up, and multiples of the golden ratio spread those evenly (Knuth, The
// Art of Computer Programming, 6.4), so that places next to each other are rarely taken.
#define RECEIVED_FIRST 16u
#define GOLDEN_RATIO 2654435769u

struct table {
    uint16_t *ids;
    uint32_t mask;
    uint32_t shift;
};

static struct table table_of(const struct mr_buf *buf) {
    uint32_t capacity = buf->capacity / (uint32_t)sizeof(uint16_t);
    uint32_t shift = (uint32_t)__builtin_clz(capacity) + 1;
    return (struct table){
        .ids = (uint16_t *)(void *)buf->data, .mask = UINT32_MAX >> shift, .shift = shift};
}

static uint32_t home_of(const struct table *table, uint16_t packet_id) {
    return (packet_id * GOLDEN_RATIO) >> table->shift;
}

// Where `packet_id` is, or where it would be.
static uint32_t find(const struct table *table, uint16_t packet_id) {
    uint32_t at = home_of(table, packet_id);
    while (table->ids[at] != packet_id && table->ids[at] != 0) {
        at = (at + 1) & table->mask;
    }
    return at;
}

bool mr_session_has_received(const struct mr_session *session, uint16_t packet_id) {
    if (session->received_count == 0) {
        return false;
    }
    struct table table = table_of(session->received);
    return table.ids[find(&table, packet_id)] == packet_id;
}

static bool grow(struct mr_session *session) {
    uint32_t capacity = RECEIVED_FIRST;
    while (capacity < (session->received_count + 1u) * 2) {
        capacity *= 2;
    }
    struct mr_buf *buf = mr_buf_new(session->env->pool, capacity * sizeof(uint16_t));
    if (buf == NULL) {
        return false;
    }
    struct table table = table_of(buf);
    memset(table.ids, 0, (table.mask + 1) * sizeof(uint16_t));
    if (session->received != NULL) {
        struct table old = table_of(session->received);
        for (uint32_t i = 0; i <= old.mask; i++) {
            if (old.ids[i] != 0) {
                table.ids[find(&table, old.ids[i])] = old.ids[i];
            }
        }
        mr_buf_unref(session->received);
    }
    session->received = buf;
    return true;
}

enum mr_receive mr_session_receive(struct mr_session *session, uint16_t packet_id,
                                   uint16_t count_max) {
    if (mr_session_has_received(session, packet_id)) {
        return MR_RECEIVE_DUPLICATE;
    }
    if (session->received_count >= count_max) {
        return MR_RECEIVE_FULL;
    }
    if (session->received == NULL ||
        session->received_count >= (table_of(session->received).mask + 1) / 2) {
        if (!grow(session)) {
            return MR_RECEIVE_NO_MEMORY;
        }
    }
    struct table table = table_of(session->received);
    table.ids[find(&table, packet_id)] = packet_id;
    session->received_count++;
    return MR_RECEIVE_NEW;
}

bool mr_session_release(struct mr_session *session, uint16_t packet_id) {
    if (!mr_session_has_received(session, packet_id)) {
        return false;
    }
    struct table table = table_of(session->received);
    uint32_t hole = find(&table, packet_id);
    // What was put behind because its own place was taken moves up.
    for (uint32_t i = (hole + 1) & table.mask; table.ids[i] != 0; i = (i + 1) & table.mask) {
        uint32_t home = home_of(&table, table.ids[i]);
        if (((i - home) & table.mask) >= ((i - hole) & table.mask)) {
            table.ids[hole] = table.ids[i];
            hole = i;
        }
    }
    table.ids[hole] = 0;
    session->received_count--;
    return true;
}
