"""Shared subscriptions: section 4.8.2."""

from case import ConformanceTest, covers, expiry, mqtt


class SharedTest(ConformanceTest):
    def setUp(self):
        super().setUp()
        probe = self.connect()
        if probe.connack.prop(mqtt.SHARED_SUBSCRIPTION_AVAILABLE, 1) == 0:
            self.skipTest("the server has no shared subscriptions")

    def shared(self, name, group="g"):
        return f"$share/{group}/{self.topic(name)}"

    def member(self, name="a", group="g", qos=2, **arguments):
        client = self.connect(**arguments)
        client.subscribe(self.shared(name, group), qos=qos)
        return client

    def turn(self, members, publisher, payload="x", qos=2):
        """Publishes, and returns the member that got it, with the packet."""
        publisher.publish(self.topic("a"), payload, qos)
        waiting = list(members)
        for _ in range(200):
            for client in waiting:
                got = client.receive(0.05)
                if got is not None:
                    self.assertEqual(got.kind, mqtt.PUBLISH)
                    return client, got
        self.fail("no member got the message")


class Filters(SharedTest):
    def refused(self, text):
        client = self.connect()
        client.send(mqtt.subscribe(1, [(text, 0)]))
        packets = self.drained(client)
        for packet in packets:
            if packet.kind == mqtt.SUBACK:
                self.assertGreaterEqual(packet.codes[0], 0x80, text)
            else:
                self.assertIn(packet.reason, (0x81, 0x82, 0x8F), text)

    def drained(self, client):
        """The answer, if there is one, or the end."""
        client.send_quietly(mqtt.disconnect())
        return client.drain_until_closed()

    @covers(v5="MQTT-4.8.2-1")
    def test_share_name_is_not_empty(self):
        self.refused(f"$share//{self.topic('a')}")

    @covers(v5="MQTT-4.8.2-2")
    def test_share_name_and_filter(self):
        for text in ("g", "g/", "a+/x", "+/x", "#", "a#/x"):
            self.refused(f"$share/{text}")

    @covers(v5="MQTT-4.8.2-2")
    def test_filter_behind_it(self):
        for text in ("$share/g/a/#/b", "$share/g/a+"):
            self.refused(text)


class Delivery(SharedTest):
    @covers(v5="MILLRACE-5-4.8.2-1 MQTT-4.8.2-1")
    def test_each_message_once(self):
        members = [self.member() for _ in range(3)]
        publisher = self.connect()
        for index in range(12):
            publisher.publish(self.topic("a"), f"{index}", 1)
        got = [p.payload for client in members for p in self.until_marker(client, publisher)]
        self.assertEqual(sorted(got, key=int), [f"{i}".encode() for i in range(12)])

    @covers(v5="MILLRACE-5-4.8.2-3")
    def test_groups_are_independent(self):
        one, two = self.member(group="one"), self.member(group="two")
        plain = self.subscriber("a", qos=1)
        self.connect().publish(self.topic("a"), "x", 1)
        for client in (one, two, plain):
            client.message(self.topic("a"), "x")
            self.assert_silent(client)

    @covers(v5="MILLRACE-5-4.8.2-3")
    def test_both_kinds_in_one_client(self):
        client = self.member()
        client.subscribe(self.topic("a"), qos=1)
        publisher = self.connect()
        publisher.publish(self.topic("a"), "x", 1)
        self.assertIn(len(self.until_marker(client, publisher)), (1, 2))
        client.unsubscribe(self.topic("a"))
        publisher.publish(self.topic("a"), "y", 1)
        self.assertEqual([p.payload for p in self.until_marker(client, publisher)], [b"y"])

    @covers(v5="MILLRACE-5-4.8.2-2")
    def test_no_retained_messages(self):
        publisher = self.retain(self.topic("a"))
        self.assert_silent(self.member(), publisher)

    @covers(v5="MQTT-4.8.2-3")
    def test_qos_granted_to_the_receiver(self):
        members = {self.member(qos=qos): qos for qos in range(3)}
        publisher = self.connect()
        seen = set()
        for index in range(60):
            client, got = self.turn(members, publisher, f"{index}")
            self.assertEqual(got.qos, members[client])
            client.acknowledge(got)
            seen.add(got.qos)
            if len(seen) == 3:
                return

    @covers(v5="MQTT-4.8.2-6")
    def test_refused_message_is_not_given_to_another(self):
        for qos, answer in ((1, mqtt.PUBACK), (2, mqtt.PUBREC)):
            members = [self.member(qos=qos) for _ in range(2)]
            publisher = self.connect()
            client, got = self.turn(members, publisher, "refused", qos)
            client.send(mqtt.ack(answer, got.packet_id, 0x80))
            for member in members:
                self.assert_silent(member, publisher)
                member.disconnect()

    def broken_off(self, seconds):
        """A member got a QoS 2 message and lost its connection before PUBREC, the
        other one is there. Returns the number of the first, and the rest."""
        names = {}
        for name in ("one", "two"):
            client = self.connect(name, clean=True, props=expiry(seconds))
            client.subscribe(self.shared("a"), qos=2)
            names[client] = name
        publisher = self.connect()
        chosen, got = self.turn(names, publisher)
        other = next(client for client in names if client is not chosen)
        chosen.close()
        publisher.ping()
        return names[chosen], got, other, publisher

    @covers(v5="MQTT-4.8.2-4")
    def test_delivery_is_completed_to_the_same_client(self):
        name, got, other, publisher = self.broken_off(60)
        self.assert_silent(other, publisher)
        again = self.connect(name, clean=False, props=expiry(0))
        again.message(got.topic, got.payload, qos=2, packet_id=got.packet_id, dup=True)
        self.assert_silent(other, publisher)
        other.disconnect(0, expiry(0))
        again.disconnect()

    @covers(v5="MQTT-4.8.2-5")
    def test_end_of_the_session_gives_it_to_nobody(self):
        name, _got, other, publisher = self.broken_off(60)
        self.forget(name)
        self.assert_silent(other, publisher)
        other.disconnect(0, expiry(0))
