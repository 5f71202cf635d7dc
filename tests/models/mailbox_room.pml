// A sender that waits for room in the ring to another worker (broker/router/mailbox.c): whenever it
// waits, the receiver wakes it. Messages wait with their publisher, outside; control parcels that
// can't be pushed wait in a list and are pushed at the end of a turn.
//
// A load that only acquires may be done before an earlier store of the same thread, as on ARM;
// those of the sender's look at the receiver's position that the code leaves free to move are moved
// here. A sequentially consistent load (of the bytes shown) keeps it, and what follows, behind the
// store.
//
// -DLOST        the flush says that it is starved and doesn't look again
// -DRING_FIRST  the second look begins with the ring's position, which may be loaded too early
// -DNO_LOOK     a publisher waits without a second look
// -DLATE_SHOW   the receiver looks for a starved sender before it has shown what it took
#define ENTRIES 2
#define COUNT 5
#define BYTES_MAX 2  // Of messages under way; each has one.

// The ring: positions, and for each entry if a batch begins with it and its bytes.
bool first[ENTRIES];
bit bytes[ENTRIES];
byte published;
byte popped;

byte shown_bytes;
bool starved;
bool woken;  // The sender's loop: a wake-up sticks until it is taken.
byte taken;

// The sender's own.
byte pushed, sent_bytes, popped_seen, early, waiting, sent;
bool batch_begun, blocked;

#define FULL (pushed - popped_seen >= ENTRIES)

inline push(size) {
    d_step {
        first[pushed % ENTRIES] = !batch_begun;
        bytes[pushed % ENTRIES] = size;
        batch_begun = true;
        pushed++
    }
}

inline publish() {
    d_step {
        published = pushed;
        batch_begun = false
    }
}

// The ring looks at the receiver's position only if the one it knows doesn't do.
inline look_at_ring() {
    if
    :: FULL -> popped_seen = popped
    :: else
    fi
}

inline refill() {
    do
    :: waiting > 0 ->
        look_at_ring();
        if
        :: FULL -> break
        :: else -> push(0); waiting--
        fi
    :: else -> break
    od
}

// Said first, looked again after: what a look at the ring's position that comes too early finds.
inline starve() {
    early = popped;
    starved = true;
#ifdef RING_FIRST
    if
    :: FULL -> popped_seen = early
    :: FULL -> popped_seen = popped
    :: !FULL
    fi
#endif
}

inline send_message() {
    has_room = false;
    look_at_ring();
    if
    :: waiting == 0 && !FULL && sent_bytes - shown_bytes < BYTES_MAX -> has_room = true
    :: else ->
        starve();
#ifndef NO_LOOK
        shown = shown_bytes;
#ifndef RING_FIRST
        look_at_ring();
#endif
        if
        :: waiting == 0 && !FULL && sent_bytes - shown < BYTES_MAX -> has_room = true
        :: else
        fi
#endif
    fi;
    if
    :: has_room -> push(1); sent_bytes++; sent++
    :: else -> blocked = true
    fi;
    has_room = false;
    shown = 0
}

inline send_control() {
    if
    :: waiting > 0 -> waiting++
    :: else ->
        look_at_ring();
        if
        :: FULL -> waiting++
        :: else -> push(0)
        fi
    fi;
    sent++
}

inline refill_after_starving() {
#ifdef RING_FIRST
    do
    :: waiting > 0 && !FULL -> push(0); waiting--
    :: else -> break
    od
#else
    refill()
#endif
}

inline flush() {
    refill();
    publish();
    if
    :: waiting > 0 ->
        starve();
#ifndef LOST
        shown = shown_bytes;  // For its order.
        shown = 0;
        refill_after_starving();
        publish()
#endif
    :: else
    fi
}

proctype sender() {
    bool has_room;
    byte shown;
    do
    :: sent == COUNT && waiting == 0 -> break
    :: else ->
        // A turn.
        blocked = false;
        do
        :: sent < COUNT && !blocked -> send_message()
        :: sent < COUNT && !blocked -> send_control()
        :: break
        od;
        flush();
        early = 0;
        if
        :: blocked || waiting > 0 -> woken -> woken = false
        :: else
        fi
    od
}

proctype receiver() {
    byte taken_bytes;
    bool last;
    do
    :: taken == COUNT -> break
    :: taken < COUNT && popped < published ->  // That it wakes for this is in ring.pml.
        assert(first[popped % ENTRIES]);
        last = false;
        do
        :: !last ->
            d_step {
                taken_bytes = taken_bytes + bytes[popped % ENTRIES];
                taken++;
                popped++
            }
            last = (popped == published || first[popped % ENTRIES])
        :: else -> break
        od;
#ifdef LATE_SHOW
        if
        :: starved -> starved = false; woken = true
        :: else
        fi;
        shown_bytes = taken_bytes;
#else
        shown_bytes = taken_bytes;
        if
        :: starved ->
            atomic {
                if
                :: starved -> starved = false; woken = true
                :: else
                fi
            }
        :: else
        fi
#endif
    od
}

init {
    atomic {
        run sender();
        run receiver()
    }
}

// An invalid end state, which the checker looks for, is a sender that waits for a wake-up that
// never comes.
