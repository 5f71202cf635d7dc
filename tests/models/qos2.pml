// The QoS 2 handshake while connections are lost at any point: each message comes exactly once, and
// in the end each has come. MQTT 5.0 sections 4.3.3 and 4.4.
//
// The sender is broker/session/inflight.c, towards a client; the receiver is
// broker/session/received.c with broker/protocol, of what a client publishes. The other side of
// each is a client that does what the standard says, which is the same, or (as receiver) hands a
// message on when PUBREL comes.
//
// After a loss the sender begins anew at once; the receiver may still find some of what was on its
// way, but its answers are lost.
//
// -DFORGET          the receiver forgets what it received with the connection
// -DRELEASE_EARLY   the receiver forgets a packet identifier when it sends PUBREC
// -DRESEND_PUBLISH  the sender sends PUBLISH again where PUBREL is due
// -DREUSE_EARLY     the sender uses a packet identifier again after PUBREC
// -DBUSY_KEEPS      a PUBLISH that couldn't be routed yet leaves its packet identifier behind
// -DUNANSWERED      PUBREL for an unknown packet identifier gets no PUBCOMP
#define MESSAGES 5
#define IDS 3     // Packet identifiers, of which there are 65535.
#define WINDOW 2  // The receiver's Receive Maximum.
#define LOSSES 3

mtype = { PUBLISH, PUBREC, PUBREL, PUBCOMP };
chan to_receiver = [6] of { mtype, byte, byte, byte };  // Packet identifier, message, connection.
chan to_sender = [6] of { mtype, byte };

#define WAITING 0
#define AWAIT_ACK 1
#define AWAIT_PUBCOMP 2
#define DONE 3

// The sender's. Messages are in flight from `front` up to `next`; before `resend` they were sent on
// this connection or are done.
byte state[MESSAGES];
byte front, next, resend, quota_used;
byte connection;

bool received[IDS];
byte delivered;  // A bit for each message.
byte in_order;   // How many.
bool late;       // The receiver hands a message on when PUBREL comes.

#define ID(message) ((message) % IDS)

inline skip_done() {
    do
    :: resend < next && state[resend] == DONE -> resend++
    :: else -> break
    od
}

inline sent() {
    resend++;
    quota_used++;
    skip_done()
}

// The message in flight with the packet identifier `id`; `next` if there is none.
inline find(id) {
    message = front;
    do
    :: message < next && ID(message) != id -> message++
    :: else -> break
    od
}

inline finish() {
    state[message] = DONE;
    if
    :: message < resend -> quota_used--
    :: else
    fi;
    do
    :: front < next && state[front] == DONE -> front++
    :: else -> break
    od;
    if
    :: resend < front -> resend = front
    :: else
    fi;
    skip_done()
}

proctype sender() {
    byte id, message;
    do
    :: front == MESSAGES -> break
    :: atomic {
        resend == next && next < MESSAGES && quota_used < WINDOW && next - front < IDS ->
        to_receiver!PUBLISH, ID(next), next, connection;
        state[next] = AWAIT_ACK;
        next++;
        sent()
    }
    :: atomic {
        resend < next && quota_used < WINDOW ->
        if
#ifndef RESEND_PUBLISH
        :: state[resend] == AWAIT_PUBCOMP -> to_receiver!PUBREL, ID(resend), 0, connection
#endif
        :: else -> to_receiver!PUBLISH, ID(resend), resend, connection
        fi;
        sent()
    }
    :: atomic {
        to_sender?PUBREC, id ->
        find(id);
        if
        :: message < next && state[message] == AWAIT_ACK ->
#ifdef REUSE_EARLY
            finish()
#else
            state[message] = AWAIT_PUBCOMP
#endif
        :: else
        fi;
        to_receiver!PUBREL, id, 0, connection;
        id = 0;
        message = 0
    }
    :: atomic {
        to_sender?PUBCOMP, id ->
        find(id);
        if
        :: message < next && state[message] == AWAIT_PUBCOMP -> finish()
        :: else
        fi;
        id = 0;
        message = 0
    }
    :: atomic {
        connection < LOSSES ->
        connection++;
        do
        :: to_sender?_, _
        :: empty(to_sender) -> break
        od;
        resend = front;
        quota_used = 0;
        skip_done()
    }
    od;
    assert(delivered == (1 << MESSAGES) - 1)
}

inline deliver(which) {
    assert((delivered & (1 << which)) == 0);
    assert(late || which == in_order);
    delivered = delivered | (1 << which);
    in_order++
}

inline answer(type) {
    if
    :: its == connection -> to_sender!type, id
    :: else  // Into a connection that is gone.
    fi
}

inline new_connection() {
    current = its;
#ifdef FORGET
    received[0] = false;
    received[1] = false;
    received[2] = false;
#endif
    gone = false
}

proctype receiver() {
    byte id, message, its, current;
    byte held[IDS];
    bool gone;  // The rest of the old connection is lost.
end:
    do
    :: atomic {
        to_receiver?PUBLISH, id, message, its ->
        if
        :: its != current -> new_connection()
        :: else
        fi;
        if
        :: its != connection -> gone = true
        :: !gone ->
            if
            :: !received[id] ->
                received[id] = true;
                if
                :: late -> held[id] = message
                :: else -> deliver(message)
                fi
            :: else
            fi;
#ifdef RELEASE_EARLY
            received[id] = false;
#endif
            answer(PUBREC)
        :: gone
        fi;
        id = 0; message = 0; its = 0
    }
#ifdef BUSY_KEEPS
    :: atomic {
        to_receiver?<PUBLISH, id, message, its> ->
        received[id] = true;
        id = 0; message = 0; its = 0
    }
#endif
    :: atomic {
        to_receiver?PUBREL, id, message, its ->
        if
        :: its != current -> new_connection()
        :: else
        fi;
        if
        :: its != connection -> gone = true
        :: !gone ->
            if
            :: received[id] ->
                received[id] = false;
                if
                :: late -> deliver(held[id]); held[id] = 0
                :: else
                fi;
                answer(PUBCOMP)
            :: else ->
#ifdef UNANSWERED
                skip
#else
                answer(PUBCOMP)
#endif
            fi
        :: gone
        fi;
        id = 0; message = 0; its = 0
    }
    od
}

init {
    atomic {
        if
        :: late = true
        :: late = false
        fi;
        run sender();
        run receiver()
    }
}
