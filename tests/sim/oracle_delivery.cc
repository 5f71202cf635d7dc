// What the oracle says to one delivery.
#include <algorithm>

#include "codec/topic.h"
#include "tests/sim/oracle.hh"

namespace millrace {
namespace {

mr_slice Slice(const std::string &text) {
    return mr_slice_of(text.data(), text.size());
}

uint8_t Min(uint8_t a, uint8_t b) {
    return a < b ? a : b;
}

unsigned long long Number(uint64_t number) {
    return number;
}

}  // namespace

// Can `subscription` have been in force when `message` was routed?
bool Oracle::MayReceive(const Subscription &subscription, const Session &session,
                        const Message &message) const {
    bool local = subscription.options.no_local && message.publisher == session.client;
    // What waits for a member of a shared subscription may go to one that came later.
    bool before = subscription.share.empty() && message.settled != kNever &&
                  message.settled < subscription.sent;
    bool after = subscription.ended != kNever && subscription.ended < message.first_sent;
    return !local && !before && !after &&
           mr_filter_matches(Slice(subscription.match), Slice(message.topic));
}

// Had another message surely taken its place before `before`?
bool Oracle::SurelyReplaced(const Message &message, Tick before) const {
    auto it = retained_.find(message.topic);
    if (it == retained_.end() || message.processed_last == kNever) {
        return false;
    }
    return std::any_of(it->second.begin(), it->second.end(), [&](const Message *other) {
        return other->fate == Fate::kAccepted && !other->will &&
               other->first_sent > message.processed_last && other->processed_last < before;
    });
}

// Can it be a retained message that was sent because of a SUBSCRIBE?
bool Oracle::IsReplay(const Session &session, const Message &message,
                      const Delivery &delivery) const {
    if (!delivery.retain || !message.retain) {
        return false;
    }
    for (const Subscription &subscription : session.subscriptions) {
        bool after = subscription.unsubscribed < message.first_sent;
        if (subscription.share.empty() && subscription.options.retain_handling != 2 && !after &&
            delivery.qos <= Min(message.qos, subscription.options.qos) &&
            mr_filter_matches(Slice(subscription.match), Slice(message.topic)) &&
            !SurelyReplaced(message, subscription.sent)) {
            return true;
        }
    }
    return false;
}

void Oracle::CheckIds(const Session &session, const Message &message, const Delivery &delivery) {
    for (uint32_t id : delivery.subscription_ids) {
        bool known = std::any_of(session.subscriptions.begin(), session.subscriptions.end(),
                                 [&](const Subscription &subscription) {
                                     return subscription.id == id &&
                                            mr_filter_matches(Slice(subscription.match),
                                                              Slice(message.topic));
                                 });
        if (!known) {
            Fail("client %d got %s with subscription identifier %u, which doesn't match",
                 delivery.client, Describe(message).c_str(), id);
        }
    }
    if (delivery.retain) {
        return;  // For one subscription only, if it is a replay.
    }
    for (const Subscription &subscription : session.subscriptions) {
        bool local = subscription.options.no_local && message.publisher == session.client;
        bool all_the_time = subscription.acked < message.first_sent && subscription.Sure();
        if (subscription.id != 0 && subscription.share.empty() && all_the_time && !local &&
            !message.will && mr_filter_matches(Slice(subscription.match), Slice(message.topic)) &&
            std::count(delivery.subscription_ids.begin(), delivery.subscription_ids.end(),
                       subscription.id) != 1) {
            Fail("client %d got %s without subscription identifier %u of '%s'", delivery.client,
                 Describe(message).c_str(), subscription.id, subscription.filter.c_str());
        }
    }
}

void Oracle::CheckCopies(Session *session, Message *message, const Delivery &delivery,
                         bool replay) {
    Account &account = session->accounts[message->id];
    bool first = account.Copies() == 0;
    uint32_t sent_max = message->qos == 1 ? message->attempts : 1;
    uint32_t requests = 0;
    bool as_published = false;
    for (const Subscription &subscription : session->subscriptions) {
        if (mr_filter_matches(Slice(subscription.match), Slice(message->topic))) {
            requests++;
            as_published = as_published || subscription.options.retain_as_published;
        }
    }
    if (delivery.retain && (replay || as_published)) {
        bool counts =
            !(delivery.dup && delivery.qos == 1) && message->first_sent > session->forgotten;
        account.replayed += counts ? 1 : 0;
        if (account.replayed > requests + (as_published ? sent_max : 0)) {
            Fail("client %d got %s %u times as retained, for %u subscriptions", delivery.client,
                 Describe(*message).c_str(), account.replayed, requests);
        }
    } else if (delivery.dup && delivery.qos < 2) {
        account.again++;
    } else if (++account.live > sent_max) {
        Fail("client %d got %s %u times", delivery.client, Describe(*message).c_str(),
             account.live);
    }
    // What came as a replay says nothing of the live one.
    if (!delivery.retain || as_published) {
        session->due.erase(message->id);
    }
    if (!first || delivery.retain || delivery.dup || message->will) {
        return;
    }
    // What its publisher sent again may come first by that, in its place among what was sent again.
    uint64_t &latest =
        session->order[std::make_tuple(message->publisher_session, message->topic, message->qos)];
    if (latest > message->id && message->attempts == 1) {
        Fail("client %d got %s after message %llu", delivery.client, Describe(*message).c_str(),
             Number(latest));
    }
    latest = std::max(latest, message->id);
}

void Oracle::CheckLive(Session *session, Message *message, const Delivery &delivery) {
    bool replay = IsReplay(*session, *message, delivery);
    if (message->first_sent <= session->forgotten) {
        CheckCopies(session, message, delivery, replay || delivery.retain);
        return;
    }
    bool may = false;
    bool as_published = false;
    bool all_as_published = true;
    uint8_t qos_most = 0;
    uint8_t qos_least = 0;
    for (const Subscription &subscription : session->subscriptions) {
        if (!subscription.share.empty() || !MayReceive(subscription, *session, *message)) {
            continue;
        }
        may = true;
        as_published = as_published || subscription.options.retain_as_published;
        all_as_published = all_as_published && subscription.options.retain_as_published;
        qos_most = std::max(qos_most, subscription.options.qos);
        if (subscription.acked < message->first_sent && subscription.Sure() && !message->will) {
            qos_least = std::max(qos_least, subscription.options.qos);
        }
    }
    if (!may && !replay) {
        Fail("client %d got %s without a subscription", delivery.client,
             Describe(*message).c_str());
    } else if (!replay && delivery.qos > Min(message->qos, qos_most)) {
        Fail("client %d got %s with QoS %u", delivery.client, Describe(*message).c_str(),
             delivery.qos);
    } else if (!delivery.retain && delivery.qos < Min(message->qos, qos_least)) {
        Fail("client %d got %s with QoS %u only", delivery.client, Describe(*message).c_str(),
             delivery.qos);
    } else if (delivery.retain && !replay && !(as_published && message->retain)) {
        Fail("client %d got %s with RETAIN", delivery.client, Describe(*message).c_str());
    } else if (!delivery.retain && message->retain && may && all_as_published) {
        Fail("client %d got %s without RETAIN", delivery.client, Describe(*message).c_str());
    }
    CheckIds(*session, *message, delivery);
    CheckCopies(session, message, delivery, replay);
}

void Oracle::CheckShared(Session *session, Message *message, const Delivery &delivery) {
    Group *group = nullptr;
    for (const Subscription &subscription : session->subscriptions) {
        if (!subscription.share.empty() && MayReceive(subscription, *session, *message)) {
            group = GroupOf(subscription);
        }
    }
    if (group == nullptr) {
        Fail("client %d got %s without a shared subscription", delivery.client,
             Describe(*message).c_str());
        return;
    }
    if (delivery.qos > Min(message->qos, group->qos)) {
        Fail("client %d got %s with QoS %u", delivery.client, Describe(*message).c_str(),
             delivery.qos);
    }
    uint32_t copies = ++group->copies[message->id];
    group->due.erase(message->id);
    if (copies > 1 && message->qos == 2 && group->qos == 2) {
        Fail("members of %s got %s %u times", group->filter.c_str(), Describe(*message).c_str(),
             copies);
    }
    if (copies > 1 && message->qos == 0) {
        Fail("members of %s got %s %u times", group->filter.c_str(), Describe(*message).c_str(),
             copies);
    }
}

void Oracle::OnDelivery(const Delivery &delivery) {
    now_++;
    Session *session = Alive(delivery.client);
    Message *message = Find(delivery.payload);
    Trace("client %d gets message %llu on '%s', QoS %u%s%s", delivery.client,
          Number(message != nullptr ? message->id : 0), delivery.topic.c_str(), delivery.qos,
          delivery.dup ? ", DUP" : "", delivery.retain ? ", RETAIN" : "");
    delivered_++;
    if (session == nullptr) {
        Fail("client %d got a message without session", delivery.client);
        return;
    }
    if (delivery.payload.len == 0) {
        return;  // One that cleared a retained message: it bears no number.
    }
    if (message == nullptr || !PayloadIsRight(*message, delivery.payload)) {
        Fail("client %d got a payload that nobody sent, on '%s'", delivery.client,
             delivery.topic.c_str());
        return;
    }
    if (message->topic != delivery.topic) {
        Fail("client %d got %s on '%s'", delivery.client, Describe(*message).c_str(),
             delivery.topic.c_str());
        return;
    }
    if (message->attempts == 0 || message->fate == Fate::kForbidden) {
        Fail("client %d got %s, which must not come", delivery.client, Describe(*message).c_str());
        return;
    }
    bool expires = message->expiry_s != 0 && session->version == MR_MQTT_50;
    if (delivery.has_expiry != expires || delivery.expiry_s > message->expiry_s) {
        Fail("client %d got %s with an expiry of %u s, which was %u s", delivery.client,
             Describe(*message).c_str(), delivery.expiry_s, message->expiry_s);
    }
    if (mr_slice_has_prefix(Slice(message->topic), mr_slice_str("s/"))) {
        CheckShared(session, message, delivery);
    } else {
        CheckLive(session, message, delivery);
    }
}

}  // namespace millrace
