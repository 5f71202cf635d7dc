"""RETAIN: section 3.3.1.3, and Retain Handling."""

from case import ConformanceTest, covers
from support import mqtt


class Stored(ConformanceTest):
    @covers(
        "MQTT-3.3.1-5",
        v5="MQTT-3.3.1-9",
        v311="MQTT-3.3.1-6 MQTT-3.3.1-8",
    )
    def test_last_one_is_kept(self):
        topic = self.topic("a")
        publisher = self.retain(topic, "1")
        publisher.publish(topic, "2", 2, retain=True)
        publisher.disconnect()
        for name in ("a", "+", "#"):
            found = self.retained(self.topic(name))
            self.assertEqual([(p.topic, p.payload, p.retain) for p in found],
                             [(topic, b"2", True)])
            self.assertEqual(found[0].qos, 2)

    @covers("MQTT-3.3.1-5", v311="MQTT-3.3.1-6")
    def test_one_for_each_topic(self):
        names = [f"r/{index}" for index in range(20)]
        for name in names:
            self.retain(self.topic(name), name)
        found = self.retained(self.topic("r/#"))
        self.assertEqual(sorted(p.topic for p in found), sorted(self.topic(n) for n in names))

    @covers(v311="MQTT-3.3.1-7")
    def test_qos_0_replaces(self):
        """It need not be kept itself, but the earlier one must go."""
        topic = self.topic("a")
        publisher = self.retain(topic, "old")
        publisher.publish(topic, "new", 0, retain=True)
        publisher.ping()
        self.assertIn([p.payload for p in self.retained(topic)], ([], [b"new"]))

    @covers(v5="MQTT-3.3.1-6 MQTT-3.3.1-7", v311="MQTT-3.3.1-10 MQTT-3.3.1-11")
    def test_empty_one_removes(self):
        for qos in range(3):
            topic = self.topic(f"{qos}")
            watcher = self.subscriber(f"{qos}", qos=qos)
            publisher = self.retain(topic)
            watcher.message(topic, "kept")
            publisher.publish(topic, "", qos, retain=True)
            watcher.message(topic, "", retain=False)  # It is passed on all the same.
            self.assertEqual(self.retained(topic), [])

    @covers(v5="MQTT-3.3.1-7", v311="MQTT-3.3.1-11")
    def test_empty_one_is_not_stored(self):
        self.connect().publish(self.topic("a"), "", 1, retain=True)
        self.assertEqual(self.retained(self.topic("a")), [])

    @covers(v5="MQTT-3.3.1-8", v311="MQTT-3.3.1-12")
    def test_others_change_nothing(self):
        topic = self.topic("a")
        publisher = self.connect()
        publisher.publish(topic, "live", 1)
        self.assertEqual(self.retained(topic), [])
        self.retain(topic)
        publisher.publish(topic, "live", 1)
        publisher.publish(topic, "", 1)
        self.assertEqual([p.payload for p in self.retained(topic)], [b"kept"])


class Forwarded(ConformanceTest):
    @covers(v5="MQTT-3.3.1-12", v311="MQTT-3.3.1-9")
    def test_not_to_a_subscription_that_exists(self):
        topic = self.topic("a")
        watchers = [self.subscriber("a", qos=qos) for qos in range(3)]
        publisher = self.retain(topic)
        publisher.publish(topic, "live", 1)
        for watcher in watchers:
            watcher.message(topic, "kept", retain=False)
            watcher.message(topic, "live", retain=False)

    @covers(v5="MQTT-3.3.1-13")
    def test_as_published(self):
        topic = self.topic("a")
        watchers = [self.subscriber("a", qos=qos, retain_as_published=True) for qos in range(3)]
        publisher = self.retain(topic)
        publisher.publish(topic, "live", 1)
        for watcher in watchers:
            watcher.message(topic, "kept", retain=True)
            watcher.message(topic, "live", retain=False)


class Handling(ConformanceTest):
    def setUp(self):
        super().setUp()
        self.retain(self.topic("a"))

    def got(self, client, handling):
        client.subscribe(self.topic("a"), qos=1, retain_handling=handling)
        return [p.payload for p in self.until_marker(client)]

    @covers(v5="MQTT-3.3.1-9 MQTT-3.8.4-4")
    def test_0_always(self):
        client = self.connect()
        self.assertEqual(self.got(client, 0), [b"kept"])
        self.assertEqual(self.got(client, 0), [b"kept"])

    @covers(v5="MQTT-3.3.1-10")
    def test_1_only_if_new(self):
        client = self.connect()
        self.assertEqual(self.got(client, 1), [b"kept"])
        self.assertEqual(self.got(client, 1), [])
        client.unsubscribe(self.topic("a"))
        self.assertEqual(self.got(client, 1), [b"kept"])

    @covers(v5="MQTT-3.3.1-10")
    def test_1_in_a_session_that_goes_on(self):
        client = self.session("s")
        self.assertEqual(self.got(client, 1), [b"kept"])
        client.disconnect()
        self.assertEqual(self.got(self.session("s"), 1), [])

    @covers(v5="MQTT-3.3.1-11")
    def test_2_never(self):
        client = self.connect()
        self.assertEqual(self.got(client, 2), [])
        self.assertEqual(self.got(client, 2), [])

    @covers(v5="MILLRACE-5-3.8.3-2")
    def test_3(self):
        self.ends(mqtt.subscribe(1, [(self.topic("a"), 0x30)]), reasons=(0x81, 0x82))
