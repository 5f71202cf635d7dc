"""Session State: sections 3.1.2.4, 3.1.2.11.2, 3.2.2.1, 4.1 and 4.5."""

import time

from case import ConformanceTest, covers, expiry, mqtt
from support.mqtt import SESSION_EXPIRY_INTERVAL


class Start(ConformanceTest):
    @covers(
        v5="MQTT-3.1.2-4 MQTT-3.2.2-2 MQTT-3.1.4-4",
        v311="MQTT-3.1.2-6 MQTT-3.2.2-1 MQTT-3.1.4-3",
    )
    def test_clean_start_drops_the_session(self):
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=1)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(topic, "1", qos=1)
        client = self.connect("s", clean=True)
        self.assertFalse(client.connack.session_present)
        publisher.publish(topic, "2", qos=1)
        self.assert_silent(client, publisher)
        client.disconnect()
        client = self.session("s")
        self.assertFalse(client.connack.session_present)
        self.assert_silent(client, publisher)

    @covers(
        v5="MQTT-3.1.2-5 MQTT-3.2.2-3 MQTT-3.1.2-23 MQTT-3.1.4-4",
        v311="MQTT-3.1.2-4 MQTT-3.2.2-2 MQTT-3.1.4-3 MQTT-4.1.0-1",
    )
    def test_session_goes_on(self):
        topic = self.topic("a")
        client = self.session("s")
        self.assertFalse(client.connack.session_present)
        client.subscribe(topic, qos=1)
        client.close()  # Like DISCONNECT, the loss of the connection leaves it.
        client = self.session("s")
        self.assertTrue(client.connack.session_present)
        self.connect().publish(topic, "x", qos=1)
        client.message(topic, "x")
        client.disconnect()
        client = self.session("s")
        self.assertTrue(client.connack.session_present)
        self.assert_silent(client)

    @covers(v5="MQTT-3.1.2-6 MQTT-3.2.2-3", v311="MQTT-3.1.2-4 MQTT-3.2.2-3")
    def test_session_is_created(self):
        client = self.session("new")
        self.assertFalse(client.connack.session_present)
        client.subscribe(self.topic("a"), qos=1)
        client.disconnect()
        self.assertTrue(self.session("new").connack.session_present)

    @covers("MQTT-3.1.3-2")
    def test_client_identifier_is_the_key(self):
        for name in ("one", "two", "One"):
            client = self.session(name)
            self.assertFalse(client.connack.session_present)
            client.subscribe(self.topic(name), qos=1)
            client.disconnect()
        publisher = self.connect()
        for name in ("one", "two", "One"):
            publisher.publish(self.topic(name), name, qos=1)
        for name in ("One", "one", "two"):
            client = self.session(name)
            client.message(self.topic(name), name)
            self.assert_silent(client, publisher)

    @covers(v311="MQTT-3.1.2-7")
    def test_retained_messages_are_not_in_the_session(self):
        topic = self.topic("kept")
        client = self.connect("s", clean=True)
        client.publish(topic, "kept", 1, retain=True)
        client.disconnect()
        self.connect("s", clean=True).disconnect()
        reader = self.connect()
        reader.subscribe(topic)
        reader.message(topic, "kept", retain=True)
        reader.publish(topic, "", 1, retain=True)

    @covers(v311="MQTT-3.1.2-6 MQTT-4.1.0-2")
    def test_clean_session_ends_with_its_connection(self):
        client = self.connect("s", clean=True)
        client.subscribe(self.topic("a"), qos=1)
        client.close()
        self.connect().publish(self.topic("a"), "x", qos=1)
        client = self.session("s")
        self.assertFalse(client.connack.session_present)
        self.assert_silent(client)

    @covers(v311="MQTT-3.1.2-4")
    def test_session_survives_its_connection(self):
        for how in ("close", "disconnect"):
            client = self.session("s")
            client.subscribe(self.topic("a"), qos=1)
            getattr(client, how)()
            self.assertTrue(self.session("s").connack.session_present)


class Absence(ConformanceTest):
    @covers(v5="MQTT-4.5.0-1 MQTT-3.1.2-23", v311="MQTT-3.1.2-5 MQTT-4.5.0-1 MQTT-4.1.0-1")
    def test_messages_wait(self):
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=2)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(topic, "1", qos=1)
        publisher.publish(topic, "2", qos=2)
        client = self.session("s")
        client.message(topic, "1", qos=1, dup=False)
        client.message(topic, "2", qos=2, dup=False)
        self.assert_silent(client, publisher)

    @covers("MQTT-4.5.0-1")
    def test_each_matching_session_gets_it(self):
        client = self.session("away")
        client.subscribe(self.topic("#"), qos=1)
        client.disconnect()
        present = [self.subscriber(f, qos=1) for f in ("a/b", "a/+", "#")]
        self.connect().publish(self.topic("a/b"), "x", qos=1)
        for subscriber in present:
            subscriber.message(self.topic("a/b"), "x")
        self.session("away").message(self.topic("a/b"), "x")

    @covers("MQTT-4.1.0-1", v311="MQTT-4.1.0-2")
    def test_state_stays_while_connected(self):
        """Also where the Session Expiry Interval, 0, would be over at once."""
        client = self.connect(clean=True)
        client.subscribe(self.topic("a"), qos=2)
        publisher = self.connect()
        publisher.publish(self.topic("a"), "x", qos=2)
        got = client.message(acknowledge=False)
        client.send(mqtt.ack(mqtt.PUBREC, got.packet_id))
        client.expect(mqtt.PUBREL, packet_id=got.packet_id)
        time.sleep(1.5)
        client.send(mqtt.ack(mqtt.PUBCOMP, got.packet_id))
        publisher.publish(self.topic("a"), "y", qos=1)
        client.message(self.topic("a"), "y", qos=1)


class Expiry(ConformanceTest):
    @covers(v5="MQTT-4.1.0-2 MQTT-3.2.2-3")
    def test_session_ends_when_it_expires(self):
        for seconds, wait in ((0, 0), (1, 2.5)):
            client = self.session(f"s{seconds}", expiry=seconds)
            client.subscribe(self.topic("a"), qos=1)
            client.close()
            self.connect().ping()
            time.sleep(wait)
            client = self.session(f"s{seconds}", expiry=0)
            self.assertFalse(client.connack.session_present)
            self.connect().publish(self.topic("a"), "x", qos=1)
            self.assert_silent(client)
            client.disconnect()

    @covers(v5="MQTT-3.1.2-23")
    def test_session_is_kept_until_then(self):
        for seconds in (20, 0xFFFFFFFF):
            client = self.session("s", expiry=seconds)
            client.subscribe(self.topic("a"), qos=1)
            client.close()
            time.sleep(1.5)
            self.assertTrue(self.session("s").connack.session_present)

    @covers(v5="MQTT-4.1.0-2")
    def test_absent_means_0(self):
        client = self.connect("s", clean=True)
        client.subscribe(self.topic("a"), qos=1)
        client.disconnect()
        self.assertFalse(self.connect("s", clean=False).connack.session_present)

    @covers(v5="MILLRACE-5-3.14.2-3")
    def test_disconnect_sets_another_expiry(self):
        client = self.session("shorter", expiry=300)
        client.subscribe(self.topic("a"), qos=1)
        client.disconnect(0, expiry(0))
        self.assertFalse(self.session("shorter", expiry=1).connack.session_present)
        client = self.connect("longer", props=expiry(1))
        client.disconnect(0, expiry(300))
        time.sleep(2.5)
        self.assertTrue(self.session("longer").connack.session_present)

    @covers(v5="MILLRACE-5-3.14.2-2 MILLRACE-5-4.13.1-2")
    def test_disconnect_must_not_raise_it_from_0(self):
        for props in ([], expiry(0)):
            client = self.connect("s", props=props)
            client.send(mqtt.disconnect(0, [(SESSION_EXPIRY_INTERVAL, 10)]))
            self.ended(client, 0x82)


class Resumption(ConformanceTest):
    @covers(v5="MILLRACE-5-3.3.1-1", v311="MILLRACE-3-3.3.1-1")
    def test_no_retained_messages(self):
        topic = self.topic("a")
        publisher = self.retain(topic)
        client = self.session("s")
        client.subscribe(topic, qos=1)
        client.message(topic, "kept", retain=True)
        client.disconnect()
        client = self.session("s")
        self.assert_silent(client, publisher)

    @covers(v5="MILLRACE-5-3.3.1-2")
    def test_retain_as_published_is_kept(self):
        topic = self.topic("a")
        client = self.session("s")
        client.subscribe(topic, qos=1, retain_as_published=True)
        client.disconnect()
        publisher = self.retain(topic, "1")
        publisher.publish(topic, "2", 1)
        client = self.session("s")
        client.message(topic, "1", retain=True)
        client.message(topic, "2", retain=False)

    @covers(v5="MILLRACE-5-3.3.1-4", v311="MILLRACE-3-3.3.1-2")
    def test_retain_flag_is_that_of_the_first_time(self):
        topic = self.topic("a")
        publisher = self.retain(topic)
        client = self.session("s")
        client.subscribe(topic, qos=1)
        client.message(topic, "kept", retain=True, acknowledge=False)
        publisher.publish(topic, "live", 1)
        client.message(topic, "live", retain=False, acknowledge=False)
        client.close()
        client = self.session("s")
        client.message(topic, "kept", retain=True, dup=True)
        client.message(topic, "live", retain=False, dup=True)

    @covers(v5="MILLRACE-5-4.1.0-1")
    def test_options_and_identifiers_are_kept(self):
        client = self.session("s")
        for name, number in (("a", 7), ("+", 8)):
            props = [(mqtt.SUBSCRIPTION_IDENTIFIER, number)]
            client.subscribe(self.topic(name), qos=1, no_local=True, props=props)
        client.disconnect()
        publisher = self.connect()
        publisher.publish(self.topic("a"), "waited", 1)
        client = self.session("s")
        publisher.publish(self.topic("a"), "live", 1)
        client.publish(self.topic("a"), "own", 1)
        found = self.until_marker(client, publisher)
        self.assertEqual({p.payload for p in found}, {b"waited", b"live"})
        for payload in (b"waited", b"live"):
            numbers = [n for p in found if p.payload == payload
                       for n in p.props(mqtt.SUBSCRIPTION_IDENTIFIER)]
            self.assertEqual(sorted(numbers), [7, 8], payload)

    @covers(v5="MQTT-3.2.0-1", v311="MQTT-3.2.0-1")
    def test_connack_comes_first(self):
        """Before the messages that wait, and before answers to what came with CONNECT."""
        client = self.session("s")
        client.subscribe(self.topic("a"), qos=1)
        client.disconnect()
        self.connect().publish(self.topic("a"), "x", qos=1)
        client = self.open()
        props = {"props": expiry(300)} if self.v5 else {}
        client.send(
            self.packet("connect", self.client_id("s"), clean=False, **props),
            self.packet("subscribe", 1, [(self.topic("b"), 0)]),
            mqtt.pingreq(),
        )
        client.expect(mqtt.CONNACK, reason=0)
        client.wait_for(mqtt.SUBACK)
        client.wait_for(mqtt.PINGRESP)
        client.wait_for(mqtt.PUBLISH, topic=self.topic("a"))

    @covers(v5="MILLRACE-5-4.9.0-1 MQTT-4.9.0-1")
    def test_send_quota_is_that_of_the_new_connection(self):
        def connect(maximum):
            return self.session("s", props=[(mqtt.RECEIVE_MAXIMUM, maximum)])

        client = connect(5)
        client.subscribe(self.topic("a"), qos=1)
        publisher = self.connect()
        for index in range(8):
            publisher.publish(self.topic("a"), f"{index}", qos=1)
        client.messages(5, acknowledge=False)
        client.close()
        client = connect(2)
        client.messages(2, acknowledge=False)
        client.expect_nothing()  # A QoS 0 message may be held back as well.
        client.close()
        self.assertEqual(len(connect(8).messages(8)), 8)
