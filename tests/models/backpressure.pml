// Policy `backpressure` (broker/router, broker/session/queue.c, broker/protocol/protocol.c):
// clients publish to each other, and whoever publishes to a session that is full isn't read until
// one has drained; yet nobody waits for ever, however they wait for each other. A client that isn't
// read can't acknowledge what would drain its own session: so whose session is congested doesn't
// begin to wait.
//
// Two clients of worker 0 and one of worker 1. A session has one message in flight; more wait in
// its queue. Each client has so much room for what it sends, its acknowledgements included, until
// the broker reads.
//
// -DPAUSE_ALL  a publisher has to wait even if its own session is congested
// -DUNTOLD     the other worker isn't told that a session has drained
#define CLIENTS 3
#define MESSAGES 2  // Of each client.
#define LIMIT 1     // Of each queue.
#define SOCKET 2
#define RING 12     // More than there ever is: control parcels aren't refused.

#define WORKER(client) ((client) / 2)

mtype = { PUBLISH, PUBACK };                    // From a client.
mtype = { MESSAGE, CONGESTED, UNCONGESTED };  // From the other worker.
chan socket[CLIENTS] = [SOCKET] of { mtype, byte };
chan ring[2] = [RING] of { mtype, byte, byte, bool };  // Receiver, publisher, droppable.

// Of each session or its client.
bool in_flight[CLIENTS];  // For the broker: it waits for the acknowledgement.
bool unread[CLIENTS];     // For the client: it has got something to acknowledge.
byte queued[CLIENTS];
bool congested[CLIENTS];
bool paused[CLIENTS];

// Of each worker.
bool congested_here[2];
bool told_congested[2];

inline resume_all(worker) {
    if
    :: worker == 0 -> paused[0] = false; paused[1] = false
    :: else -> paused[2] = false
    fi
}

inline pause(client) {
#ifdef PAUSE_ALL
    paused[client] = true
#else
    if
    :: !congested[client] -> paused[client] = true
    :: else
    fi
#endif
}

inline deliver(to, from, droppable) {
    if
    :: !in_flight[to] -> in_flight[to] = true; unread[to] = true
    :: in_flight[to] && queued[to] < LIMIT -> queued[to]++
    :: in_flight[to] && queued[to] >= LIMIT ->
        congested[to] = true;
        if
        :: droppable
        :: else ->
            queued[to]++;
            if
            :: WORKER(from) == me -> congested_here[me] = true; pause(from)
            :: else -> told_congested[me] = true; ring[1 - me]!CONGESTED, 0, from, false
            fi
        fi
    fi
}

inline acknowledged(client) {
    in_flight[client] = false;
    if
    :: queued[client] > 0 -> queued[client]--; in_flight[client] = true; unread[client] = true
    :: else
    fi;
    if
    :: congested[client] && queued[client] <= LIMIT / 2 ->
        congested[client] = false;
        if
        :: congested_here[me] -> congested_here[me] = false; resume_all(me)
        :: else
        fi;
        if
        :: told_congested[me] ->
            told_congested[me] = false;
#ifndef UNTOLD
            ring[1 - me]!UNCONGESTED, 0, 0, false
#endif
        :: else
        fi
    :: else
    fi
}

inline publish(to, from) {
    if
    :: WORKER(to) == me -> deliver(to, from, congested[from])
    :: else -> ring[1 - me]!MESSAGE, to, from, congested[from]
    fi
}

#define MAY_READ(client) WORKER(client) == me && !paused[client] && nempty(socket[client])

inline read(client) {
    if
    :: socket[client]?PUBLISH, to -> publish(to, client)
    :: socket[client]?PUBACK, _ -> acknowledged(client)
    fi;
    to = 0
}

proctype worker(byte me) {
    byte to, from;
    bool droppable;
end:
    do
    :: atomic { MAY_READ(0) -> read(0) }
    :: atomic { MAY_READ(1) -> read(1) }
    :: atomic { MAY_READ(2) -> read(2) }
    :: atomic { ring[me]?MESSAGE, to, from, droppable ->
        deliver(to, from, droppable);
        to = 0; from = 0; droppable = false }
    :: atomic { ring[me]?CONGESTED, _, from, _ -> pause(from); from = 0 }
    :: atomic { ring[me]?UNCONGESTED, _, _, _ -> resume_all(me) }
    od
}

proctype client(byte me) {
    byte sent;
end:
    do
    :: atomic { sent < MESSAGES && nfull(socket[me]) ->
        if
        :: socket[me]!PUBLISH, 0
        :: socket[me]!PUBLISH, 1
        :: socket[me]!PUBLISH, 2
        fi;
        sent++ }
    :: atomic { unread[me] && nfull(socket[me]) -> unread[me] = false; socket[me]!PUBACK, 0 }
    od
}

// When nothing moves any more.
proctype observer() {
    byte i;
    timeout ->
    do
    :: i < CLIENTS ->
        assert(!paused[i] && !congested[i] && empty(socket[i]) && queued[i] == 0 && !in_flight[i]);
        i++
    :: else -> break
    od
}

init {
    atomic {
        run worker(0);
        run worker(1);
        run client(0);
        run client(1);
        run client(2);
        run observer()
    }
}
