// Packet identifiers and send quota of what is in flight, sections 2.2.1, 4.3, 4.4 and 4.9. From
// any state that the invariant allows, each acknowledgement of any identifier ends or moves on the
// message that it is about, leaves the others and their identifiers, and keeps the invariant. So
// by induction every row of acknowledgements does.
#include "broker/session/inflight.c"

#include "tests/proofs/proof.h"

// The deque's room, which is a power of two.
#define ROOM 4u
// One that is awaited, one done out of order, and one that isn't sent.
#define ITEMS_MAX 3u

// The one message of all items; each has a reference.
static struct mr_buf held;
static struct mr_message message = {.buf = &held};

__thread struct mr_buf_pool *mr_buf_pool_current;

// What it counts for isn't looked at here.
void mr_session_count_freed(struct mr_session *session, const struct mr_message *freed) {
    PROVE(session != NULL && freed == &message);
}

// The identifier behind 65535 is 1, as 0 is none [MQTT-2.2.1-3].
static uint32_t id_after(uint32_t front, uint32_t index) {
    return front + index > 65535 ? front + index - 65535 : front + index;
}

static bool item_is_right(const struct mr_item *item) {
    bool acked = item->state == MR_ITEM_AWAIT_PUBCOMP || item->state == MR_ITEM_DONE;
    return item->state <= MR_ITEM_DONE && item->message == (acked ? NULL : &message) &&
           (item->flags & MR_ITEM_MANY_IDS) == 0;
}

static bool invariant(const struct mr_session *session) {
    uint32_t count = session->inflight.count;
    uint32_t resend_index = session->resend_index;
    uint32_t used = 0;
    uint32_t refs = 1;
    uint64_t bytes = 0;
    bool right = session->front_packet_id != 0 && count <= ITEMS_MAX && resend_index <= count;
    for (uint32_t i = 0; right && i < count; i++) {
        const struct mr_item *item = mr_items_at(&session->inflight, i);
        right = item_is_right(item);
        used += i < resend_index && item->state != MR_ITEM_DONE;
        refs += item->message != NULL;
        bytes += item->message != NULL ? mr_message_bytes(&message) : 0;
        // What is done keeps no place at the front, and isn't what is to be sent next.
        right = right && (item->state != MR_ITEM_DONE || (i != 0 && i != resend_index));
        right = right && (item->state != MR_ITEM_WAITING || (i >= resend_index && i + 1 == count));
    }
    return right && session->quota_used == used && session->inflight_bytes == bytes &&
           held.local_refs == refs;
}

// Items are known again by `of.id`.
static void any_session(struct mr_session *session) {
    static struct mr_item room[ROOM];
    static struct mr_buf buf = {.data = (uint8_t *)room, .capacity = sizeof(room)};
    for (uint32_t i = 0; i < ROOM; i++) {
        struct mr_item any;
        any.of.id = i;
        any.message = nondet_bool() ? &message : NULL;
        room[i] = any;
    }
    message.topic_len = nondet_u16();
    message.payload_len = nondet_u16();
    held.local_refs = nondet_u8();
    session->inflight.buf = &buf;
    session->inflight.capacity_log2 = 2;
    session->inflight.head = nondet_u8() % ROOM;
    session->inflight.count = nondet_u32();
    session->resend_index = nondet_u32();
    session->front_packet_id = nondet_u16();
    session->quota_used = nondet_u16();
    session->inflight_bytes = nondet_u64();
    ASSUME(invariant(session));
}

// Where the item `tag` is, or `count`.
static uint32_t index_of(const struct mr_session *session, uint32_t tag) {
    uint32_t index = session->inflight.count;
    for (uint32_t i = 0; i < session->inflight.count; i++) {
        if (mr_items_at(&session->inflight, i)->of.id == tag) {
            index = i;
        }
    }
    return index;
}

static bool call(struct mr_session *session, enum mr_packet_type type, uint16_t packet_id,
                 bool failed) {
    return type == MR_PUBACK   ? mr_session_puback(session, packet_id)
           : type == MR_PUBREC ? mr_session_pubrec(session, packet_id, failed)
                               : mr_session_pubcomp(session, packet_id);
}

// Is the call about such an item, by the figures of section 4.3?
static bool expects(const struct mr_item *item, enum mr_packet_type type) {
    if (type == MR_PUBACK) {
        return item->qos == 1 && item->state == MR_ITEM_AWAIT_ACK;
    }
    return item->qos == 2 && (item->state == MR_ITEM_AWAIT_PUBCOMP ||
                              (item->state == MR_ITEM_AWAIT_ACK && type == MR_PUBREC));
}

// One of them, `tag`, before and after a call for `packet_id`.
static void acknowledge(struct mr_session *session) {
    enum mr_packet_type type = nondet_bool() ? MR_PUBACK : nondet_bool() ? MR_PUBREC : MR_PUBCOMP;
    bool failed = nondet_bool();
    uint16_t packet_id = nondet_u16();
    uint32_t tag = nondet_u32();
    uint32_t index = index_of(session, tag);
    ASSUME(index < session->inflight.count);
    struct mr_item before = *mr_items_at(&session->inflight, index);
    uint32_t id = id_after(session->front_packet_id, index);
    bool hit = id == packet_id && expects(&before, type);

    bool accepted = call(session, type, packet_id, failed);
    PROVE(!hit || accepted);
    PROVE(hit || id != packet_id || !accepted);
    PROVE(packet_id != 0 || !accepted);
    index = index_of(session, tag);
    bool there = index < session->inflight.count;
    const struct mr_item *after = there ? mr_items_at(&session->inflight, index) : &before;
    bool ended = !there || after->state == MR_ITEM_DONE;
    PROVE(!there || id_after(session->front_packet_id, index) == id);
    if (hit && (type != MR_PUBREC || failed)) {
        PROVE(ended);
    } else if (hit) {
        PROVE(there && after->state == MR_ITEM_AWAIT_PUBCOMP && after->qos == 2);
    } else if (before.state != MR_ITEM_DONE) {
        PROVE(there && after->state == before.state && after->qos == before.qos);
    }
    REACHES(hit && there && ended && packet_id == 1 && session->front_packet_id == UINT16_MAX);
    REACHES(hit && session->inflight.count == 0);
    REACHES(accepted && !hit && session->front_packet_id == 2 && id == 3);
    REACHES(!accepted && packet_id == id);
    REACHES(!accepted && packet_id == 0 && id == UINT16_MAX);
}

// The packet turned out to be larger than the client takes.
static void give_up_unsent(struct mr_session *session) {
    uint32_t index = session->resend_index;
    ASSUME(index < session->inflight.count);
    uint16_t packet_id = packet_id_at(session, index);
    bool unsent = mr_items_at(&session->inflight, index)->state == MR_ITEM_WAITING;
    uint16_t quota_used = session->quota_used;
    mr_inflight_finish(session, index);
    PROVE(session->quota_used == quota_used);
    // The next message gets the identifier that nobody has seen.
    PROVE(!unsent || packet_id_at(session, session->inflight.count) == packet_id);
    REACHES(unsent && session->inflight.count == 2);
    REACHES(!unsent && session->resend_index == 3);
}

// For deques of any size.
static void identify(struct mr_session *session) {
    uint32_t one = nondet_u32();
    uint32_t other = nondet_u32();
    ASSUME(one < other && other < MR_PACKET_IDS);
    session->front_packet_id = nondet_u16();
    ASSUME(session->front_packet_id != 0);
    PROVE(packet_id_at(session, one) == id_after(session->front_packet_id, one));
    PROVE(packet_id_at(session, one) != 0);
    PROVE(packet_id_at(session, one) != packet_id_at(session, other));  // [MQTT-2.2.1-3]
    REACHES(packet_id_at(session, one) == 1 && other == MR_PACKET_IDS - 1);
}

// Is there room for one more?
static void open(struct mr_session *session) {
    session->inflight.count = nondet_u32();
    session->inflight_bytes = nondet_u32();
    session->quota_used = nondet_u16();
    if (mr_inflight_is_open(session, nondet_u32())) {
        PROVE(session->quota_used < session->link->receive_max);  // [MQTT-3.3.4-9]
        PROVE(session->inflight.count < MR_PACKET_IDS);
        REACHES(session->quota_used == UINT16_MAX - 1);
        REACHES(session->inflight.count == MR_PACKET_IDS - 1);
    }
}

int main(void) {
    struct mr_session_env env = {0};
    env.inflight_messages_max = nondet_u16();
    env.inflight_bytes_max = nondet_u64();
    struct mr_link link = {0};
    link.receive_max = nondet_u16();
    struct mr_session session = {.env = &env, .link = &link};
    uint8_t what = nondet_u8();
    if (what == 0) {
        identify(&session);
    } else if (what == 1) {
        open(&session);
    } else {
        any_session(&session);
        if (what == 2) {
            give_up_unsent(&session);
        } else {
            acknowledge(&session);
        }
        PROVE(invariant(&session));
    }
    return 0;
}
