#include "tests/sim/oracle.hh"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "codec/topic.h"

namespace millrace {
namespace {

constexpr size_t kTraceLines = 20000;
// A subscription's, a topic's and a session's past is forgotten at some point, so that long runs
// don't need memory without end. That can hide a mistake, never invent one.
constexpr size_t kRetainedPast = 100;
constexpr uint64_t kAccountsPast = 50000;
constexpr size_t kSubscriptionsPast = 400;

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

uint8_t Min(uint8_t a, uint8_t b) {
    return a < b ? a : b;
}

}  // namespace

// ------------------------------------------------------------------------------- reports

void Oracle::Trace(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int len = std::vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (int i = 0; i < len && text[i] != '\0'; i++) {
        hash_ = (hash_ ^ static_cast<uint8_t>(text[i])) * 1099511628211u;
    }
    if (keep_trace) {
        trace_.push_back(std::to_string(now_) + " " + text);
        if (trace_.size() > kTraceLines) {
            trace_.pop_front();
        }
    }
}

void Oracle::Fail(const char *format, ...) {
    if (!failure_.empty()) {
        return;  // The first one matters.
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    std::vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    failure_ = text;
}

std::string Oracle::Describe(const Message &message) const {
    char text[400];
    std::snprintf(text, sizeof(text),
                  "%s %llu of client %d (session %llu) to '%s', QoS %u%s, %zu bytes, sent %u times",
                  message.will ? "will" : "message", static_cast<unsigned long long>(message.id),
                  message.publisher, static_cast<unsigned long long>(message.publisher_session),
                  message.topic.c_str(), message.qos, message.retain ? ", retained" : "",
                  message.payload_len, message.attempts);
    return text;
}

// ------------------------------------------------------------------------------ payloads

std::string Oracle::Payload(uint64_t id, size_t len) {
    std::string bytes(len, '\0');
    for (size_t i = 0; i < len; i++) {
        bytes[i] = static_cast<char>(i < 8 ? id >> (8 * i) : id * 31 + i * 7);
    }
    return bytes;
}

Message *Oracle::Find(mr_slice payload) {
    uint64_t id = 0;
    for (size_t i = 0; i < 8 && i < payload.len; i++) {
        id |= static_cast<uint64_t>(payload.data[i]) << (8 * i);
    }
    return payload.len >= 8 && id > 0 && id <= messages_.size() ? &messages_[id - 1] : nullptr;
}

bool Oracle::PayloadIsRight(const Message &message, mr_slice payload) {
    std::string right = Payload(message.id, message.payload_len);
    return mr_slice_eq(payload, Slice(right));
}

// ---------------------------------------------------------------------------- publishing

Message *Oracle::NewMessage(int publisher, const std::string &topic, size_t payload_len,
                            uint8_t qos, bool retain, uint32_t expiry_s, bool will) {
    Message message = {};
    message.id = messages_.size() + 1;
    message.publisher = publisher;
    message.publisher_session = alive_.count(publisher) != 0 ? alive_[publisher] : 0;
    message.topic = topic;
    message.payload_len = payload_len;
    message.qos = qos;
    message.retain = retain;
    message.will = will;
    message.expiry_s = expiry_s;
    message.processed_last = kNever;
    message.settled = kNever;
    messages_.push_back(message);
    return &messages_.back();
}

void Oracle::OnPublish(Message *message, bool again) {
    now_++;
    message->attempts++;
    message->processed_last = kNever;
    Trace("%s%s", again ? "again: " : "", Describe(*message).c_str());
    if (again) {
        return;
    }
    message->first_sent = now_;
    if (message->retain) {
        std::vector<Message *> &past = retained_[message->topic];
        past.push_back(message);
        if (past.size() > kRetainedPast) {
            past.erase(past.begin(), past.begin() + kRetainedPast / 2);
        }
    }
    if (!message->will) {
        Owe(message, now_);
    }
}

void Oracle::OnAnswered(Message *message, bool accepted) {
    now_++;
    Trace("message %llu is %s", static_cast<unsigned long long>(message->id),
          accepted ? "accepted" : "refused");
    message->fate = accepted ? Fate::kAccepted : Fate::kRefused;
    message->processed_last = now_;
    if (!accepted) {
        Fail("%s was refused", Describe(*message).c_str());
    }
    unsettled_.push_back(message);
}

void Oracle::OnProcessed(Message *message) {
    now_++;
    message->fate = Fate::kAccepted;
    message->processed_last = now_;
    unsettled_.push_back(message);
}

void Oracle::OnWillDue(Message *message, Tick since) {
    now_++;
    Trace("will %llu is due", static_cast<unsigned long long>(message->id));
    message->fate = Fate::kAccepted;
    Owe(message, since);
}

void Oracle::OnWillForbidden(Message *message) {
    now_++;
    Trace("will %llu must not come", static_cast<unsigned long long>(message->id));
    for (const Session &session : sessions_) {
        auto it = session.accounts.find(message->id);
        if (it != session.accounts.end() && it->second.Copies() > 0) {
            Fail("%s came although its client said DISCONNECT", Describe(*message).c_str());
        }
    }
    message->fate = Fate::kForbidden;
}

void Oracle::OnDrained() {
    now_++;
    for (Message *message : unsettled_) {
        message->settled = now_;
    }
    unsettled_.clear();
}

// --------------------------------------------------------------------------- obligations

bool Oracle::Owes(const Session &session, const Message &message, const Subscription *without,
                  Tick since) const {
    for (const Subscription &subscription : session.subscriptions) {
        bool local = subscription.options.no_local && message.publisher == session.client;
        if (&subscription != without && subscription.Sure() && subscription.acked <= since &&
            subscription.share.empty() && !local &&
            Min(message.qos, subscription.options.qos) > 0 &&
            mr_filter_matches(Slice(subscription.match), Slice(message.topic))) {
            return true;
        }
    }
    return false;
}

void Oracle::Owe(Message *message, Tick since) {
    if (message->payload_len == 0 || message->expiry_s != 0) {
        return;
    }
    for (const auto &alive : alive_) {
        Session &session = sessions_[alive.second - 1];
        // A will may have come before its client noticed that it is due.
        if (Owes(session, *message, nullptr, since) &&
            session.accounts[message->id].Copies() == 0) {
            session.due.insert(message->id);
            owed_++;
        }
    }
    for (auto &entry : groups_) {
        Group &group = entry.second;
        if (Min(message->qos, group.qos) > 0 && group.copies.count(message->id) == 0 &&
            GroupIsAnchored(group.filter, since) &&
            mr_filter_matches(Slice(group.match), Slice(message->topic))) {
            group.due.insert(message->id);
            owed_++;
        }
    }
}

// What was owed because of `leaving` alone isn't any more.
void Oracle::Forgive(Session *session, const Subscription &leaving) {
    for (auto it = session->due.begin(); it != session->due.end();) {
        const Message &message = messages_[*it - 1];
        if (mr_filter_matches(Slice(leaving.match), Slice(message.topic)) &&
            !Owes(*session, message, &leaving, now_)) {
            it = session->due.erase(it);
        } else {
            ++it;
        }
    }
}

Group *Oracle::GroupOf(const Subscription &subscription) {
    Group &group = groups_[subscription.filter];
    group.filter = subscription.filter;
    group.match = subscription.match;
    group.qos = subscription.options.qos;
    return &group;
}

// Is there a member whose session lasts, and which surely is one?
bool Oracle::GroupIsAnchored(const std::string &filter, Tick since) {
    for (const auto &alive : alive_) {
        const Session &session = sessions_[alive.second - 1];
        for (const Subscription &subscription : session.subscriptions) {
            if (session.lasting && subscription.filter == filter && subscription.Sure() &&
                subscription.acked <= since) {
                return true;
            }
        }
    }
    return false;
}

// A member leaves. What was in flight to it stays with its session, and ends with that: at QoS 2
// nobody else may get it, and at QoS 1 nobody does once it has unsubscribed.
void Oracle::ForgiveGroup(const std::string &filter, bool session_ends, bool left_before) {
    Group &group = groups_[filter];
    bool anchored = GroupIsAnchored(filter, now_);
    for (auto it = group.due.begin(); it != group.due.end();) {
        bool in_flight_is_lost = session_ends && (left_before || messages_[*it - 1].qos == 2);
        if (!anchored || in_flight_is_lost) {
            it = group.due.erase(it);
        } else {
            ++it;
        }
    }
}

// ------------------------------------------------------------------------------ sessions

Session *Oracle::Alive(int client) {
    auto it = alive_.find(client);
    return it == alive_.end() ? nullptr : &sessions_[it->second - 1];
}

const Session *Oracle::SessionOf(int client) const {
    auto it = alive_.find(client);
    return it == alive_.end() ? nullptr : &sessions_[it->second - 1];
}

void Oracle::EndSession(Session *session) {
    Trace("session %llu of client %d is over", static_cast<unsigned long long>(session->number),
          session->client);
    session->due.clear();
    std::set<std::string> groups;
    for (Subscription &subscription : session->subscriptions) {
        if (!subscription.share.empty() && subscription.ended == kNever) {
            groups.insert(subscription.filter);
        }
        if (subscription.leaving == kNever) {
            subscription.leaving = now_;
        }
    }
    for (const std::string &filter : groups) {
        ForgiveGroup(filter, true, false);
    }
    for (const std::string &filter : session->groups_left) {
        ForgiveGroup(filter, true, true);
    }
}

void Oracle::OnCleanConnect(int client) {
    now_++;
    Trace("client %d wants a new session", client);
    Session *session = Alive(client);
    if (session != nullptr) {
        EndSession(session);
    }
}

void Oracle::OnConnack(int client, mr_version version, bool lasting, bool present,
                       bool present_surely) {
    now_++;
    Trace("client %d is connected, session %s", client, present ? "present" : "new");
    // What it sent on earlier connections is processed or never will be.
    for (auto &entry : retained_) {
        for (Message *message : entry.second) {
            if (message->publisher == client && message->fate == Fate::kUnknown && !message->will &&
                message->processed_last == kNever) {
                message->processed_last = now_;
            }
        }
    }
    Session *session = Alive(client);
    if (present) {
        if (session == nullptr) {
            Fail("client %d was told of a session that can't be there", client);
        } else {
            session->lasting = lasting;
            session->version = version;
        }
        return;
    }
    if (present_surely) {
        Fail("the session of client %d is gone", client);
        return;
    }
    if (session != nullptr) {
        OnSessionEnd(client);
    }
    Session next = {};
    next.number = sessions_.size() + 1;
    next.client = client;
    next.version = version;
    next.lasting = lasting;
    sessions_.push_back(next);
    alive_[client] = next.number;
}

void Oracle::OnSessionEnd(int client) {
    now_++;
    Session *session = Alive(client);
    if (session == nullptr) {
        return;
    }
    alive_.erase(client);
    session->alive = false;
    EndSession(session);
    session->subscriptions.clear();
    session->order.clear();
    session->accounts.clear();
}

Tick Oracle::OnSubscribe(int client, const std::string &filter,
                         const mr_subscription_options &options, uint32_t id) {
    now_++;
    Trace("client %d subscribes to '%s', QoS %u, id %u%s%s", client, filter.c_str(), options.qos,
          id, options.no_local ? ", no local" : "",
          options.retain_as_published ? ", retain as published" : "");
    Session *session = Alive(client);
    mr_filter parsed;
    mr_filter_parse(Slice(filter), true, &parsed);
    for (Subscription &old : session->subscriptions) {
        if (old.filter == filter && old.leaving == kNever) {
            old.leaving = now_;
            if (old.share.empty()) {
                Forgive(session, old);
            } else {
                ForgiveGroup(filter, false, false);
            }
        }
    }
    if (session->subscriptions.size() > kSubscriptionsPast) {
        auto is_past = [this](const Subscription &old) {
            return old.ended != kNever && old.ended + 100000 < now_;
        };
        auto &all = session->subscriptions;
        for (const Subscription &old : all) {
            session->forgotten =
                is_past(old) ? std::max(session->forgotten, old.ended) : session->forgotten;
        }
        all.erase(std::remove_if(all.begin(), all.end(), is_past), all.end());
    }
    Subscription subscription = {};
    subscription.filter = filter;
    subscription.share.assign(reinterpret_cast<const char *>(parsed.share.data), parsed.share.len);
    subscription.match.assign(reinterpret_cast<const char *>(parsed.filter.data),
                              parsed.filter.len);
    subscription.options = options;
    subscription.id = id;
    subscription.sent = now_;
    subscription.acked = subscription.leaving = subscription.ended = kNever;
    subscription.unsubscribed = kNever;
    session->subscriptions.push_back(subscription);
    if (!subscription.share.empty()) {
        GroupOf(subscription);
    }
    return now_;
}

void Oracle::OnSuback(int client, const std::string &filter, Tick request, uint8_t code) {
    now_++;
    Trace("client %d is subscribed to '%s': %u", client, filter.c_str(), code);
    for (Subscription &subscription : Alive(client)->subscriptions) {
        if (subscription.filter != filter) {
            continue;
        }
        if (subscription.sent == request) {
            subscription.acked = now_;
            if (code != subscription.options.qos) {
                Fail("client %d got %u for QoS %u of '%s'", client, code, subscription.options.qos,
                     filter.c_str());
            }
        } else if (subscription.sent < request && subscription.ended == kNever) {
            subscription.ended = now_;  // It is replaced.
        }
    }
}

Tick Oracle::OnUnsubscribe(int client, const std::string &filter) {
    now_++;
    Trace("client %d unsubscribes from '%s'", client, filter.c_str());
    Session *session = Alive(client);
    for (Subscription &subscription : session->subscriptions) {
        if (subscription.filter != filter || subscription.leaving != kNever) {
            continue;
        }
        subscription.leaving = now_;
        if (subscription.share.empty()) {
            Forgive(session, subscription);
        } else {
            ForgiveGroup(filter, false, false);
            session->groups_left.insert(filter);
        }
    }
    return now_;
}

void Oracle::OnUnsuback(int client, const std::string &filter, Tick request) {
    now_++;
    Trace("client %d is unsubscribed from '%s'", client, filter.c_str());
    Session *session = Alive(client);
    for (Subscription &subscription : session->subscriptions) {
        if (subscription.filter == filter && subscription.sent < request) {
            subscription.ended = std::min(subscription.ended, now_);
            subscription.unsubscribed = std::min(subscription.unsubscribed, now_);
        }
    }
    uint64_t forgotten = messages_.size() > kAccountsPast ? messages_.size() - kAccountsPast : 0;
    for (auto it = session->accounts.begin();
         it != session->accounts.end() && it->first < forgotten;) {
        it = session->due.count(it->first) == 0 ? session->accounts.erase(it) : std::next(it);
    }
}

// ------------------------------------------------------------------------------- the end

uint64_t Oracle::CheckOwed(uint64_t lost_max) {
    uint64_t lost = 0;
    std::string first;
    for (const auto &alive : alive_) {
        const Session &session = sessions_[alive.second - 1];
        for (uint64_t id : session.due) {
            const Message &message = messages_[id - 1];
            if (message.fate == Fate::kAccepted) {
                if (lost++ == 0) {
                    first = "client " + std::to_string(session.client) + " never got " +
                            Describe(message);
                }
            }
        }
    }
    for (const auto &entry : groups_) {
        for (uint64_t id : entry.second.due) {
            if (messages_[id - 1].fate == Fate::kAccepted) {
                if (lost++ == 0) {
                    first = "nobody of " + entry.first + " got " + Describe(messages_[id - 1]);
                }
            }
        }
    }
    if (lost > lost_max) {
        Fail("%llu deliveries are lost, %llu may be; %s", static_cast<unsigned long long>(lost),
             static_cast<unsigned long long>(lost_max), first.c_str());
    }
    return lost;
}

void Oracle::CheckRetained(const std::map<std::string, uint64_t> &found) {
    for (const auto &entry : retained_) {
        auto it = found.find(entry.first);
        bool may_be_absent = true;
        bool found_is_possible = false;
        for (const Message *message : entry.second) {
            bool possible = message->fate != Fate::kRefused && message->fate != Fate::kForbidden &&
                            !SurelyReplaced(*message, now_);
            if (message->fate == Fate::kAccepted && message->payload_len > 0 &&
                message->expiry_s == 0) {
                may_be_absent = false;
            }
            found_is_possible =
                found_is_possible || (possible && it != found.end() && message->id == it->second);
        }
        for (const Message *message : entry.second) {
            // It may have been the last one, and there is nothing then.
            if ((message->payload_len == 0 || message->expiry_s != 0) &&
                !SurelyReplaced(*message, now_)) {
                may_be_absent = true;
            }
        }
        if (it == found.end() && !may_be_absent) {
            Fail("nothing is retained for '%s'", entry.first.c_str());
        } else if (it != found.end() && !found_is_possible) {
            Fail("message %llu can't be retained for '%s' any more",
                 static_cast<unsigned long long>(it->second), entry.first.c_str());
        }
    }
    for (const auto &entry : found) {
        if (retained_.count(entry.first) == 0) {
            Fail("something is retained for '%s'", entry.first.c_str());
        }
    }
}

}  // namespace millrace
