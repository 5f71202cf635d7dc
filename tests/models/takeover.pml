// One client identifier, several connections that arrive at any worker, and a publisher on worker 1
// (broker/protocol/handle_connect.c, move.c, record.c; broker/registry): the session has one owner
// at a time, at most one connection has it, every connection is served, and what is published to a
// living session reaches it once and in order, whatever is taken over meanwhile.
//
// A worker handles one thing after the other; what it does to the registry and to the subscriptions
// is seen by the other one at once, and each of these steps may have steps of the other in between.
//
// -DUNLOCKED         looking for an owner and becoming it are two steps
// -DNO_SECOND_LOOK   a takeover that ended the session goes on with it
// -DRELEASE_FIRST    the client identifier is given up before the subscriptions are
// -DTAKE_ANYWHERE    a connection takes the session to the worker at which it arrived
#define CONNECTIONS 3
#define MESSAGES 2
#define NOBODY 2

mtype = { CONNECTION, MESSAGE };
mtype = { UNDER_WAY, CONNECTED, CLOSED };
chan ring[2] = [5] of { mtype, byte };  // To this worker.
chan arrive[2] = [CONNECTIONS] of { byte };
mtype connection[CONNECTIONS] = UNDER_WAY;
bool clean[CONNECTIONS];    // Clean Start.
bool quiet;                 // Nothing ends any more without a reason.
byte owner = NOBODY;        // The registry's word.
bool subscribed[2];         // The trie's: by a session of this worker.
bool exists[2];             // A session, with
byte connected_as[2] = 255;  // its connection.
bool lasting[2];

// What an observer of everything knows.
byte life;                  // Number of the session that lives, or lived last.
byte life_of[MESSAGES];     // To whom it was published; 0: nobody.
byte arrived_in[MESSAGES];  // The session that it reached.
byte next;                  // The one after the last that did,
byte next_of;               // and which session it reached.

inline claim() {
#ifdef UNLOCKED
    who = owner;
    if
    :: who == NOBODY -> owner = me
    :: else
    fi
#else
    d_step {
        who = owner;
        if
        :: who == NOBODY -> owner = me
        :: else
        fi
    }
#endif
}

inline end_session() {
#ifdef RELEASE_FIRST
    owner = NOBODY;
    d_step { subscribed[me] = false; exists[me] = false }
#else
    subscribed[me] = false;
    d_step { exists[me] = false; owner = NOBODY }
#endif
}

// The connection of the session ends, and with it the session if it isn't to last.
inline leave() {
    d_step {
        connection[connected_as[me]] = CLOSED;
        connected_as[me] = 255
    }
    if
    :: !lasting[me] -> end_session()
    :: else
    fi
}

inline accept() {
    d_step {
        assert(exists[me] && owner == me);
        assert(!exists[1 - me] && !subscribed[1 - me] && connected_as[1 - me] == 255);
        assert(connected_as[me] == 255);
        connected_as[me] = number;
        connection[number] = CONNECTED
    }
    subscribed[me] = true
}

inline connect() {
    claim();
#ifdef TAKE_ANYWHERE
    if
    :: who == 1 - me -> owner = me; who = NOBODY
    :: else
    fi;
#endif
    if
    :: who == me && connected_as[me] != 255 ->
        leave();
#ifndef NO_SECOND_LOOK
        claim()
#endif
    :: else
    fi;
    if
    :: who == me && clean[number] ->
        end_session();
        claim()
    :: else
    fi;
    if
    :: who == 1 - me -> ring[1 - me]!CONNECTION, number
    :: who == NOBODY ->
        d_step {
            exists[me] = true;
            life++
        }
        if
        :: lasting[me] = true
        :: lasting[me] = false
        fi;
        accept()
    :: who == me -> accept()
    fi;
    who = 0;
    number = 0
}

inline deliver(message) {
    d_step {
        if
        :: exists[me] && subscribed[me] ->
            assert(arrived_in[message] == 0);
            assert(message >= next || next_of != life);
            arrived_in[message] = life;
            next = message + 1;
            next_of = life
        :: else
        fi
    }
}

// To whoever is subscribed at this moment.
inline publish() {
    d_step {
        message = published;
        published++;
        if
        :: subscribed[0] -> who = 0; life_of[message] = life
        :: !subscribed[0] && subscribed[1] -> who = 1; life_of[message] = life
        :: else -> who = NOBODY
        fi
    }
    if
    :: who == 0 -> ring[0]!MESSAGE, message
    :: who == 1 -> deliver(message)
    :: who == NOBODY
    fi;
    who = 0;
    message = 0
}

proctype worker(byte me) {
    byte number, message, who, published;
end:
    do
    :: arrive[me]?number -> connect()
    :: ring[me]?CONNECTION, number -> connect()
    :: ring[me]?MESSAGE, message -> deliver(message); message = 0
    :: !quiet && connected_as[me] != 255 -> leave()  // Its connection is lost.
    :: !quiet && exists[me] && connected_as[me] == 255 -> end_session()  // It expires.
    :: me == 1 && published < MESSAGES -> publish()
    od
}

// All are sent at the beginning: how late one is taken is up to the worker.
proctype clients() {
    byte number;
    atomic {
        do
        :: number < CONNECTIONS ->
            if
            :: number == 1 -> clean[number] = true  // One may begin anew.
            :: skip
            fi;
            if
            :: arrive[0]!number
            :: arrive[1]!number
            fi;
            number++
        :: else -> break
        od
    }
    quiet = true
}

// When nothing moves any more.
proctype observer() {
    byte i;
    timeout ->
    do
    :: i < CONNECTIONS -> assert(connection[i] != UNDER_WAY); i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < MESSAGES ->
        assert(life_of[i] == 0 || arrived_in[i] == life_of[i] ||
               !(exists[0] || exists[1]) || life_of[i] != life);
        i++
    :: else -> break
    od
}

init {
    atomic {
        run worker(0);
        run worker(1);
        run clients();
        run observer()
    }
}
