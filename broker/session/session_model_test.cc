// Random operations on sessions, each step compared with the reference session of model.hh.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "broker/session/model.hh"

namespace mr_testing {
namespace {

class Random {
 public:
    explicit Random(uint32_t seed) : engine_(seed) {
    }
    uint32_t Below(uint32_t limit) {
        return static_cast<uint32_t>(engine_() % limit);
    }
    bool OneIn(uint32_t n) {
        return Below(n) == 0;
    }
    template <typename T>
    T Of(std::initializer_list<T> values) {
        return values.begin()[Below(static_cast<uint32_t>(values.size()))];
    }

 private:
    std::mt19937 engine_;
};

ModelSettings RandomSettings(Random *random) {
    ModelSettings settings;
    settings.inflight_messages_max = random->Of<uint32_t>({0, 1, 2, 5, 20, 65535});
    settings.inflight_bytes_max = random->Of<uint64_t>({0, 0, 1, 500, 4000});
    settings.queued_messages_max = random->Of<uint64_t>({0, 1, 3, 10, 50});
    settings.queued_bytes_max = random->Of<uint64_t>({0, 0, 1, 300, 5000});
    settings.outbox_bytes = random->Of<uint64_t>({1, 100, 2000, 1 << 20});
    settings.queue_qos0_messages = random->OneIn(2);
    settings.upgrade_outgoing_qos = random->OneIn(3);
    settings.slow_policy = random->Of(
        {MR_SLOW_DROP_NEWEST, MR_SLOW_DROP_OLDEST, MR_SLOW_DISCONNECT, MR_SLOW_BACKPRESSURE});
    return settings;
}

ClientOptions RandomClient(Random *random) {
    ClientOptions options;
    options.version = random->Of<int>({MR_MQTT_31, MR_MQTT_311, MR_MQTT_50, MR_MQTT_50});
    if (options.version == MR_MQTT_50) {
        options.receive_max = random->Of<uint16_t>({1, 2, 3, 10, 65535});
        options.packet_bytes_max = random->Of<uint32_t>({UINT32_MAX, UINT32_MAX, 100, 1100});
        options.topic_alias_max = random->Of<uint16_t>({0, 0, 1, 2, 10});
    }
    if (random->OneIn(5)) {
        options.mount_point = "m/";
    }
    return options;
}

Publication RandomPublication(Random *random, uint32_t serial) {
    Publication publication;
    publication.topic = random->Of<std::string>(
        {"m/a", "m/b", "m/c/d", "m/" + std::string(300, 'x'), "m/" + std::string(130, 'y')});
    publication.payload = std::to_string(serial) + ":";
    publication.payload.resize(random->Of<size_t>({10, 10, 50, 200, 256, 257, 1024, 1025, 3000}),
                               '.');
    if (random->OneIn(30)) {
        publication.payload.clear();
    }
    publication.qos = static_cast<uint8_t>(random->Below(3));
    publication.retain = random->OneIn(4);
    publication.version = random->Of<int>({MR_MQTT_31, MR_MQTT_311, MR_MQTT_50, MR_MQTT_50});
    if (publication.version == MR_MQTT_50) {
        if (random->OneIn(3)) {
            publication.forwardable = UserProperty("k", std::to_string(serial));
        } else if (random->OneIn(6)) {
            publication.forwardable = UserProperty(std::string(150, 'n'), std::string(150, 'v'));
        }
        if (random->OneIn(4)) {
            publication.expiry_s = 1 + random->Below(10);
        }
        publication.topic_alias = static_cast<uint16_t>(random->OneIn(4) ? 1 : 0);
    }
    publication.as_message = random->OneIn(4);
    publication.wire = random->OneIn(2) && publication.qos == 0 && !publication.retain &&
                       publication.topic_alias == 0 && !publication.as_message;
    return publication;
}

// A session, its model, and the connection that both have at the moment.
struct Subject {
    mr_session session;
    std::unique_ptr<Model> model;
    std::unique_ptr<Client> client;
    uint32_t subscriber = 0;
    std::map<mr_trie_node *, uint32_t> shared_ids;
};

class ModelRun {
 public:
    explicit ModelRun(uint32_t seed) : random_(seed), settings_(RandomSettings(&random_)) {
        mr_session_env &env = world_.env;
        env.inflight_messages_max = static_cast<uint16_t>(settings_.inflight_messages_max);
        env.inflight_bytes_max = settings_.inflight_bytes_max;
        env.queued_messages_max = settings_.queued_messages_max;
        env.queued_bytes_max = settings_.queued_bytes_max;
        env.outbox_bytes = settings_.outbox_bytes;
        env.queue_qos0_messages = settings_.queue_qos0_messages;
        env.upgrade_outgoing_qos = settings_.upgrade_outgoing_qos;
        env.slow_policy = settings_.slow_policy;
        for (Subject &subject : subjects_) {
            subject.subscriber = mr_subscriber_make(1, ++next_index_);
            Begin(&subject);
        }
    }

    ~ModelRun() {
        for (Subject &subject : subjects_) {
            Disconnect(&subject);
            End(&subject);
            LeaveAll(&subject);
        }
    }

    void Step() {
        Subject *subject = &subjects_[random_.Below(3)];
        uint32_t what = random_.Below(100);
        if (what < 45) {
            DeliverToSome();
        } else if (what < 65) {
            Acknowledge(subject);
        } else if (what < 78) {
            Read(subject);
        } else if (what < 84) {
            Pump(subject);
        } else if (what < 89) {
            Reconnect(subject);
        } else if (what < 92) {
            world_.env.now_ms += random_.Below(4000);
        } else if (what < 95) {
            TakeShared(subject);
        } else if (what < 97) {
            JoinOrLeave(subject);
        } else if (what == 97 && random_.OneIn(4)) {
            Disconnect(subject);
            End(subject);
            Begin(subject);
        } else if (what == 98) {
            mr_session_trim(&subject->session);
        } else if (what == 99) {
            DropWaiting(subject);
        }
        for (Subject &each : subjects_) {
            Check(&each);
        }
    }

 private:
    static constexpr const char *kShared[] = {"$share/g/#", "$share/h/m/+"};

    void Begin(Subject *subject) {
        mr_session_init(&subject->session, &world_.env, subject->subscriber, nullptr);
        subject->model =
            std::make_unique<Model>(settings_, &world_.env.now_ms, &subject->shared_ids);
    }

    void End(Subject *subject) {
        mr_session_fini(&subject->session);
        subject->model->End();
        ended_.Add(subject->model->drops());
    }

    void Disconnect(Subject *subject) {
        if (subject->client != nullptr) {
            mr_session_detach(&subject->session);
            subject->client.reset();
            subject->model->Detach();
        }
    }

    void Reconnect(Subject *subject) {
        Disconnect(subject);
        if (random_.OneIn(3)) {
            return;
        }
        ClientOptions options = RandomClient(&random_);
        subject->client = std::make_unique<Client>(&world_, options);
        mr_session_attach(&subject->session, subject->client->link());
        subject->model->Attach(options);
        if (!random_.OneIn(4)) {
            Pump(subject);
        }
    }

    void DeliverToSome() {
        Publication publication = RandomPublication(&random_, ++serial_);
        Outgoing outgoing(&world_, publication);
        ModelMessage message;
        message.topic = publication.topic;
        message.payload = publication.payload;
        message.forwardable = publication.forwardable;
        message.qos = publication.qos;
        message.expires_ms =
            publication.expiry_s ? world_.env.now_ms + *publication.expiry_s * uint64_t{1000} : 0;
        message.arrived_properties_bytes = outgoing.packet().properties_raw.len;
        message.droppable = random_.OneIn(4);
        outgoing.get()->droppable = message.droppable;
        for (Subject &subject : subjects_) {
            if (random_.OneIn(3)) {
                continue;
            }
            Grant grant = RandomGrant(&subject);
            uint64_t before = subject.model->pending();
            bool written = Deliver(&subject.session, outgoing.get(), grant);
            subject.model->Deliver(message, grant);
            EXPECT_EQ(written, subject.model->pending() > before);
        }
    }

    Grant RandomGrant(Subject *subject) {
        Grant grant;
        grant.qos = static_cast<uint8_t>(random_.Below(3));
        grant.retain = random_.OneIn(4);
        grant.replay = random_.OneIn(10);
        if (!subject->shared_ids.empty() && random_.OneIn(3)) {
            grant.replay = false;
            auto chosen = subject->shared_ids.begin();
            std::advance(chosen, random_.Below(static_cast<uint32_t>(subject->shared_ids.size())));
            grant.node = chosen->first;
            if (chosen->second != 0) {
                grant.ids = {chosen->second};
            }
            return grant;
        }
        for (uint32_t left = random_.OneIn(3) ? 1 + random_.Below(3) : 0; left > 0; left--) {
            grant.ids.push_back(random_.Of<uint32_t>({1, 127, 128, 20000, 268435455}));
        }
        return grant;
    }

    void Acknowledge(Subject *subject) {
        auto in_flight = subject->model->InFlight();
        uint16_t packet_id = static_cast<uint16_t>(random_.Below(65536));
        uint32_t what = random_.Below(4);
        if (!in_flight.empty() && !random_.OneIn(10)) {
            // Mostly in order, sometimes not; mostly what is due, sometimes not.
            auto chosen = in_flight.begin();
            if (random_.OneIn(3)) {
                std::advance(chosen, random_.Below(static_cast<uint32_t>(in_flight.size())));
            }
            packet_id = chosen->first;
            if (!random_.OneIn(10)) {
                what = chosen->second.first == Model::AWAIT_PUBCOMP ? 3
                       : chosen->second.second == 1                 ? 0
                                                                    : 1 + random_.OneIn(5);
            }
        }
        mr_session *session = &subject->session;
        Model *model = subject->model.get();
        switch (what) {
            case 0:
                EXPECT_EQ(mr_session_puback(session, packet_id), model->Puback(packet_id));
                break;
            case 1:
            case 2:
                EXPECT_EQ(mr_session_pubrec(session, packet_id, what == 2),
                          model->Pubrec(packet_id, what == 2));
                break;
            default:
                EXPECT_EQ(mr_session_pubcomp(session, packet_id), model->Pubcomp(packet_id));
                break;
        }
        if (random_.OneIn(2)) {
            Pump(subject);
        }
    }

    void Pump(Subject *subject) {
        uint64_t before = subject->model->pending();
        bool written = mr_session_pump(&subject->session);
        subject->model->Pump();
        EXPECT_EQ(written, subject->model->pending() > before);
    }

    void Read(Subject *subject) {
        if (subject->client == nullptr) {
            return;
        }
        uint64_t bytes = subject->client->pending();
        if (random_.OneIn(3)) {
            bytes = random_.Below(static_cast<uint32_t>(bytes) + 1);
        }
        std::vector<Received> packets = subject->client->Read(bytes);
        subject->model->Drained(bytes);
        for (const Received &packet : packets) {
            ASSERT_FALSE(subject->model->written().empty()) << packet;
            EXPECT_EQ(packet, subject->model->written().front());
            subject->model->written().pop_front();
        }
        if (random_.OneIn(2)) {
            Pump(subject);
        }
    }

    void DropWaiting(Subject *subject) {
        char last = random_.Of({'a', 'b', 'x'});
        mr_session_drop_waiting(
            &subject->session,
            [](void *ctx, struct mr_slice topic) {
                return topic.data[topic.len - 1] != *static_cast<char *>(ctx);
            },
            &last);
        subject->model->DropWaiting(last);
    }

    struct Taking {
        std::vector<std::string> payloads;
        size_t accept;
    };

    static bool Take(void *ctx, mr_trie_node *node, mr_message *message) {
        Taking *taking = static_cast<Taking *>(ctx);
        EXPECT_NE(node, nullptr);
        if (taking->payloads.size() == taking->accept) {
            return false;
        }
        struct mr_slice payload = mr_message_payload(message);
        taking->payloads.emplace_back(reinterpret_cast<const char *>(payload.data), payload.len);
        mr_message_unref(message);
        return true;
    }

    void TakeShared(Subject *subject) {
        Taking taking = {{}, random_.Of<size_t>({0, 1, 3, 1000})};
        bool inflight = random_.OneIn(2);
        mr_session_take_shared(&subject->session, nullptr, inflight, Take, &taking);
        ExpectTaken(taking, subject->model->TakeShared(nullptr, inflight, taking.accept));
    }

    static void ExpectTaken(const Taking &taking, const std::vector<ModelMessage> &expected) {
        ASSERT_EQ(taking.payloads.size(), expected.size());
        for (size_t i = 0; i < expected.size(); i++) {
            EXPECT_EQ(taking.payloads[i], expected[i].payload);
        }
    }

    void Leave(Subject *subject, mr_trie_node *node) {
        Taking taking = {{}, random_.Of<size_t>({0, 1, 1000})};
        bool inflight = random_.OneIn(2);
        mr_session_take_shared(&subject->session, node, inflight, Take, &taking);
        ExpectTaken(taking, subject->model->TakeShared(node, inflight, taking.accept));
        mr_trie_remove(world_.trie, node, subject->subscriber);
        subject->shared_ids.erase(node);
    }

    void LeaveAll(Subject *subject) {
        for (const auto &entry : subject->shared_ids) {
            mr_trie_remove(world_.trie, entry.first, subject->subscriber);
        }
        subject->shared_ids.clear();
    }

    void JoinOrLeave(Subject *subject) {
        if (!subject->shared_ids.empty() && random_.OneIn(3)) {
            Leave(subject, subject->shared_ids.begin()->first);
            return;
        }
        // Also changes the identifier of a subscription that is there.
        uint32_t id = random_.Of<uint32_t>({0, 7, 300});
        mr_trie_node *node = world_.Subscribe(kShared[random_.Below(2)], subject->subscriber, id);
        subject->shared_ids[node] = id;
    }

    void Check(Subject *subject) {
        const Model &model = *subject->model;
        const mr_session &session = subject->session;
        EXPECT_EQ(mr_session_is_backlogged(&session), model.backlogged())
            << "waiting " << model.waiting() << ", in flight " << session.inflight.count
            << ", sent " << session.resend_index << ", model " << model.InFlight().size()
            << " online " << model.online();
        EXPECT_EQ(session.congested, model.congested());
        EXPECT_EQ(session.queue.count, model.waiting());
        if (subject->client != nullptr) {
            EXPECT_EQ(subject->client->pending(), model.pending());
            EXPECT_EQ(subject->client->link()->failed,
                      model.failed() ? MR_LINK_TOO_SLOW : MR_LINK_OK);
        }
        ModelDrops drops = ended_;
        uint64_t held_messages = 0;
        uint64_t held_bytes = 0;
        for (const Subject &each : subjects_) {
            drops.Add(each.model->drops());
            held_messages += each.model->held_messages();
            held_bytes += each.model->held_bytes();
        }
        const struct mr_counters &counters = world_.counters;
        EXPECT_EQ(counters.queued_messages, held_messages);
        EXPECT_EQ(counters.queued_bytes, held_bytes);
        EXPECT_EQ(counters.dropped_queue_full, drops.queue_full);
        EXPECT_EQ(counters.dropped_oldest, drops.oldest);
        EXPECT_EQ(counters.dropped_offline, drops.offline);
        EXPECT_EQ(counters.dropped_too_large, drops.too_large);
        EXPECT_EQ(counters.dropped_expired, drops.expired);
        EXPECT_EQ(counters.dropped_session_end, drops.session_end);
        EXPECT_EQ(counters.dropped_denied, drops.denied);
        EXPECT_EQ(counters.shared_redelivered, drops.redelivered);
        EXPECT_EQ(counters.dropped_no_memory, 0u);
    }

    Random random_;
    ModelSettings settings_;
    World world_;
    Subject subjects_[3];
    ModelDrops ended_;
    uint32_t next_index_ = 0;
    uint32_t serial_ = 0;
};

constexpr const char *ModelRun::kShared[];

uint32_t FirstSeed() {
    const char *text = getenv("MILLRACE_SEED");
    return text == nullptr ? 1 : static_cast<uint32_t>(strtoul(text, nullptr, 10));
}

// Order, packet identifiers, DUP, quota, limits, policies, counters, bytes: all as in the model.
TEST(SessionModel, AgreesWithTheReferenceSessionWhateverHappens) {
    uint32_t first = FirstSeed();
    for (uint32_t seed = first; seed < first + 250; seed++) {
        ModelRun run(seed);
        for (int step = 0; step < 400; step++) {
            run.Step();
            if (HasFailure()) {
                FAIL() << "MILLRACE_SEED=" << seed << ", step " << step;
            }
        }
    }
    printf("seeds %u to %u\n", first, first + 249);
}

}  // namespace
}  // namespace mr_testing
