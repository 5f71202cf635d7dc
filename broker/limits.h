// Every limit of the broker: name, unit, default, hard ceiling, why, and the directive that
// sets it. What they refuse is counted: broker/sys/counters.h.
//
// Names end in their unit. A ceiling is what the implementation can stand, whatever the
// configuration says.
#ifndef MILLRACE_BROKER_LIMITS_H
#define MILLRACE_BROKER_LIMITS_H

#include "codec/codec.h"

// Workers. The trie's shards and the bit masks of a route hold 64.
#define MR_WORKERS_MAX 64

// How long a connection may take to send its CONNECT; `connect_timeout`, seconds.
#define MR_CONNECT_TIMEOUT_S_DEFAULT 10
#define MR_CONNECT_TIMEOUT_S_CEILING 3600

// Unacknowledged QoS 1 and 2 messages to one client; `max_inflight_messages`. The packet
// identifier has 16 bits. Mosquitto's default is 20: then each system call moves 20 messages at
// most, however many wait. A client that wants fewer says so with its Receive Maximum.
#define MR_INFLIGHT_MESSAGES_DEFAULT 1000
#define MR_INFLIGHT_MESSAGES_CEILING 65535
// A member of a shared subscription with so many unacknowledged messages is passed over as long
// as others have fewer.
#define MR_SHARED_INFLIGHT_BUSY 20

// QoS 1 and 2 messages that one client may have in flight to us: our Receive Maximum.
// A window that large costs 2 bytes a message and only while it is used.
#define MR_RECEIVE_MAX_DEFAULT 1024
#define MR_RECEIVE_MAX_CEILING 65535

// PUBLISH packets of one run (broker/message/run.h), which are routed at once. What was received
// at once is the limit in practice.
#define MR_PUBLISH_RUN_MAX_DEFAULT 65535
#define MR_PUBLISH_RUN_MAX_CEILING 65535
// PUBLISH packets further on in a receive buffer whose topics are fetched from memory together;
// `topic_lookahead` (broker/router/ahead.c).
#define MR_TOPIC_LOOKAHEAD_DEFAULT 16
#define MR_TOPIC_LOOKAHEAD_CEILING 16

// A worker's sleep is put off by so much at most; `busy_poll_ms`.
#define MR_BUSY_POLL_MS_CEILING 1000

// Waiting messages of one session beyond those in flight; `max_queued_messages`,
// `max_queued_bytes` (0: no limit of that kind). Mosquitto's count; its missing bound on bytes
// is what lets one slow client eat the machine, so there is one here.
#define MR_QUEUED_MESSAGES_DEFAULT 1000
#define MR_QUEUED_BYTES_DEFAULT (64u << 20)
// Beyond its limits, what a session takes of publishers that wait afterwards (policy
// `backpressure`): what was under way. Each of them has sent one message or run by then, and rings
// hold some, but there may be ever more publishers; what is more is dropped.
#define MR_CONGESTED_MESSAGES_MAX 65536
#define MR_CONGESTED_BYTES_MAX (16u << 20)

// Output that a connection may have pending before messages wait in its session's queue,
// where the slow-consumer policy applies: `outbox_bytes`. Twice what a loop takes in within one
// turn, so that one busy turn alone makes nobody slow.
#define MR_OUTBOX_BYTES_DEFAULT (2u << 20)
#define MR_OUTBOX_BYTES_CEILING (1u << 30)

// Whole packet that a client may send, in bytes; `max_packet_size`.
#define MR_PACKET_BYTES_DEFAULT MR_REMAINING_LENGTH_MAX
// Before CONNECT was accepted: a CONNECT with its will, five strings and properties fits.
#define MR_CONNECT_PACKET_BYTES_MAX (512u << 10)

// Topic aliases that a client may use towards us; `max_topic_alias`. Mosquitto's default.
#define MR_TOPIC_ALIAS_DEFAULT 10
#define MR_TOPIC_ALIAS_CEILING 65535
// Aliases that we use towards a client: `max_topic_alias_broker`.
#define MR_TOPIC_ALIAS_BROKER_DEFAULT 10

// Subscriptions of one client; `max_subscriptions_per_client`.
#define MR_SUBSCRIPTIONS_PER_CLIENT_DEFAULT 100000
// Levels of a topic filter are bounded in trie/trie.h, bytes of a topic by the standard.

// Milliseconds that a closing connection has to take what is pending.
#define MR_LINGER_MS 2000

// Entries of the ring between two workers. Few for fuzzers: an input begins and ends a broker, and
// short ones get to see a full ring.
#ifdef MR_FUZZ
#define MR_RING_ENTRIES 64
#else
#define MR_RING_ENTRIES 4096
#endif
// Bytes of messages that may be under way to a worker: each other worker's share of them, and one
// run or message more. They are all taken in one turn, so more would pile up as output.
#define MR_RING_BYTES (1u << 20)

// Bytes of each worker's topic cache; `topic_cache_bytes`.
#define MR_TOPIC_CACHE_BYTES_DEFAULT (32u << 20)

#endif  // MILLRACE_BROKER_LIMITS_H
