#!/usr/bin/python3 -B
"""Will messages: when they are published, when not, and what they carry.

Sections 3.1.2.5, 3.1.3.2 and 3.14.4 of MQTT 5.0. Published means: the subscriber
gets it. Not published means: the subscriber gets, in order, only what came after.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import mqtt
from support.mqtt import SESSION_EXPIRY_INTERVAL, V311, V5, VERSIONS, WILL_DELAY_INTERVAL, Will
from support.suite import BrokerTest, main

LONG = 600


class WillTest(BrokerTest):
    def setUp(self):
        super().setUp()
        self.watcher = self.subscriber("will/#", qos=2, retain_as_published=True)

    def mortal(self, name="mortal", version=V5, delay=None, expiry=None, text="dead", **arguments):
        """A client that has a will on will/<name>."""
        will_props = list(arguments.pop("will_props", ()))
        if delay is not None:
            will_props.append((WILL_DELAY_INTERVAL, delay))
        if expiry is not None:
            arguments.setdefault("props", [(SESSION_EXPIRY_INTERVAL, expiry)])
        will = Will(
            self.topic(f"will/{name}"),
            text,
            arguments.pop("qos", 1),
            arguments.pop("retain", False),
            will_props,
        )
        return self.connect(name, version, will=will, **arguments)

    def assert_published(self, text="dead", **fields):
        return self.watcher.message(payload=text, **fields)

    def assert_not_published(self):
        """For what must never come; a delayed will is not seen by this."""
        self.watcher.expect_nothing(0.4)


class WhenPublished(WillTest):
    def test_connection_is_lost(self):
        """[MQTT-3.1.2-8], [MQTT-3.1.2-8 of 3.1.1]"""
        for version in VERSIONS:
            with self.subTest(version=version):
                self.mortal(f"lost{version}", version).close()
                got = self.assert_published(topic=self.topic(f"will/lost{version}"))
                self.assertEqual((got.qos, got.retain), (1, False))

    def test_keep_alive_runs_out(self):
        for version in VERSIONS:
            self.mortal(f"silent{version}", version, keep_alive=1)
        for _ in VERSIONS:
            self.assert_published()

    def test_client_breaks_the_protocol(self):
        for version in VERSIONS:
            client = self.mortal("breaker", version)
            client.send(b"\xf0\x01\x00" if version != V5 else b"\x00\x00")
            client.expect_end()
            self.assert_published()

    def test_client_sends_a_malformed_packet(self):
        client = self.mortal("malformed")
        client.send(mqtt.packet(mqtt.SUBSCRIBE, 2, b"\x00\x01\x00\x00\x01\xff\x00"))
        client.expect_end(0x81)
        self.assert_published()

    def test_disconnect_with_will(self):
        """DISCONNECT 0x04, section 3.14.2.1"""
        self.mortal("with_will").disconnect(0x04)
        self.assert_published()

    def test_disconnect_with_another_reason(self):
        """Only 0x00 deletes the will [MQTT-3.1.2-8], [MQTT-3.14.4-3]"""
        for reason in (0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99):
            self.mortal("other", text=f"{reason}").disconnect(reason)
            self.assert_published(f"{reason}")

    def test_disconnect_with_a_reserved_reason(self):
        """A malformed DISCONNECT is none, so the will stays."""
        for reason in (0x01, 0x03, 0x05, 0x7F, 0xFF):
            client = self.mortal("reserved", text=f"{reason}")
            client.send(mqtt.disconnect(reason))
            client.expect_end(0x81, 0x82)
            self.assert_published(f"{reason}")

    def test_disconnect_with_a_reason_that_only_a_server_may_use(self):
        for reason in (0x8B, 0x8D, 0x8E, 0x9C):
            client = self.mortal("server", text=f"{reason}")
            client.send(mqtt.disconnect(reason))
            client.expect_end(0x81, 0x82)
            self.assert_published(f"{reason}")

    def test_disconnect_with_wrong_flags(self):
        """[MQTT-3.14.1-1], [MQTT-3.14.1-1 of 3.1.1]"""
        for version in VERSIONS:
            client = self.mortal("flags", version)
            client.send(mqtt.disconnect(flags=1))
            client.expect_end(0x81)
            self.assert_published()

    def test_disconnect_that_raises_the_expiry_interval_from_zero(self):
        client = self.mortal("raise", expiry=0)
        client.send(mqtt.disconnect(0, [(SESSION_EXPIRY_INTERVAL, 1)]))
        client.expect_end(0x82)
        self.assert_published()

    def test_truncated_disconnect(self):
        client = self.mortal("half")
        client.send(b"\xe0")
        client.close()
        self.assert_published()

    def test_take_over_in_3(self):
        """[MQTT-3.1.2-8 of 3.1.1]: that connection was closed without DISCONNECT."""
        for clean in (True, False):
            older = self.mortal("taken", V311, clean=clean)
            newer = self.connect("taken", V311)
            older.expect_end()
            self.assert_published()
            newer.disconnect()

    def test_take_over_of_a_session_with_expiry_zero(self):
        """The session ends with its connection, and so the delay does not count."""
        for clean in (True, False):
            for delay in (None, 0, LONG):
                with self.subTest(clean=clean, delay=delay):
                    older = self.mortal("over0", delay=delay, expiry=0)
                    newer = self.connect("over0", clean=clean)
                    older.expect_end(0x8E)
                    self.assert_published()
                    newer.disconnect()

    def test_take_over_of_a_session_without_delay(self):
        """[MQTT-3.1.2-8]: the connection closed and the interval of 0 has elapsed."""
        older = self.mortal("over", expiry=LONG)
        self.connect("over", clean=False)
        older.expect_end(0x8E)
        self.assert_published()

    def test_take_over_with_clean_start_ends_session_and_delay(self):
        older = self.mortal("overclean", delay=LONG, expiry=LONG)
        self.connect("overclean", clean=True)
        older.expect_end(0x8E)
        self.assert_published()

    def test_will_once_in_each_connection(self):
        for index in range(3):
            self.mortal("again", text=f"{index}").close()
            self.assert_published(f"{index}")
        self.assert_not_published()


class WhenNotPublished(WillTest):
    def test_normal_disconnect(self):
        """[MQTT-3.14.4-3], [MQTT-3.1.2-10]"""
        for version in VERSIONS:
            self.mortal(f"normal{version}", version).disconnect()
        self.mortal("explicit").disconnect(0x00)
        self.mortal("properties").disconnect(0x00, [(mqtt.REASON_STRING, "bye")])
        self.mortal("delayed", delay=1, expiry=LONG).disconnect()
        self.watcher.expect_nothing(2)

    def test_nothing_after_disconnect_is_processed(self):
        client = self.mortal("after")
        client.send(
            mqtt.disconnect(),
            mqtt.publish(self.topic("will/after"), "too late"),
            mqtt.disconnect(0x04),
        )
        self.assert_not_published()

    def test_refused_connect_has_no_will(self):
        client = self.open()
        client.send(
            mqtt.connect(
                self.client_id("refused"),
                will=Will(self.topic("will/refused"), "dead"),
                props=[(mqtt.AUTHENTICATION_METHOD, "unknown")],
            )
        )
        client.expect_end(0x8C)
        self.assert_not_published()

    def test_will_is_forgotten_after_publication(self):
        """[MQTT-3.1.2-10]"""
        self.mortal("once", expiry=LONG).close()
        self.assert_published()
        client = self.connect("once", clean=False, props=[(SESSION_EXPIRY_INTERVAL, LONG)])
        self.assertTrue(client.connack.session_present)
        client.close()
        self.assert_not_published()
        self.connect("once", clean=True).disconnect()

    def test_new_connect_without_will_has_none(self):
        """[MQTT-3.1.2-12 of 3.1.1]"""
        for version in VERSIONS:
            self.mortal("had", version).disconnect()
            self.connect("had", version).close()
        self.assert_not_published()


class Delay(WillTest):
    def test_will_comes_after_its_delay(self):
        """[MQTT-3.1.2-8]"""
        client = self.mortal("delay", delay=1, expiry=LONG)
        client.close()
        self.watcher.ping()
        self.assert_published()
        self.connect("delay", clean=True).disconnect()

    def test_reconnection_within_the_delay_cancels(self):
        """[MQTT-3.1.3-9]"""
        self.mortal("back", delay=2, expiry=LONG).close()
        self.connect("back", clean=False, props=[(SESSION_EXPIRY_INTERVAL, LONG)])
        self.watcher.expect_nothing(3.5)

    def test_take_over_within_the_delay_cancels(self):
        """[MQTT-3.1.3-9]: closed by the broker, reconnected in time."""
        older = self.mortal("swap", delay=1, expiry=LONG)
        newer = self.connect("swap", clean=False, props=[(SESSION_EXPIRY_INTERVAL, LONG)])
        older.expect_end(0x8E)
        self.watcher.expect_nothing(2.5)
        newer.ping()

    def test_end_of_the_session_cuts_the_delay_short(self):
        """[MQTT-3.1.2-8]: whichever happens first."""
        self.mortal("capped", delay=LONG, expiry=1).close()
        self.assert_published()

    def test_session_that_ends_at_once_leaves_no_delay(self):
        self.mortal("atonce", delay=LONG, expiry=0).close()
        self.assert_published()
        self.mortal("absent", delay=LONG).close()
        self.assert_published()

    def test_disconnect_with_expiry_zero_leaves_no_delay(self):
        client = self.mortal("shortened", delay=LONG, expiry=LONG)
        client.disconnect(0x04, [(SESSION_EXPIRY_INTERVAL, 0)])
        self.assert_published()

    def test_clean_start_within_the_delay_publishes_at_once(self):
        """It ends the session."""
        client = self.mortal("restart", delay=LONG, expiry=LONG)
        client.close()
        self.watcher.expect_nothing()
        self.connect("restart", clean=True).disconnect()
        self.assert_published()
        self.assert_not_published()

    def test_new_will_replaces_a_delayed_one(self):
        self.mortal("replace", delay=2, expiry=LONG, text="old").close()
        props = [(SESSION_EXPIRY_INTERVAL, LONG)]
        newer = self.mortal("replace", text="new", clean=False, props=props)
        newer.close()
        self.assert_published("new")
        self.watcher.expect_nothing(3)

    def test_delay_and_expiry_at_their_maximum(self):
        for delay, expiry in ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, LONG), (LONG, 0xFFFFFFFF)):
            self.mortal("huge", delay=delay, expiry=expiry).close()
            self.watcher.expect_nothing()
            self.connect("huge", clean=True).disconnect()
            self.assert_published()


class What(WillTest):
    def test_qos_and_retain(self):
        """[MQTT-3.1.2-14], [MQTT-3.1.2-15]"""
        for version in VERSIONS:
            for qos in range(3):
                for retain in (False, True):
                    name = f"kind{version}{qos}{retain}"
                    topic = self.topic(f"will/{name}")
                    self.mortal(name, version, qos=qos, retain=retain).close()
                    got = self.assert_published(topic=topic)
                    self.assertEqual((got.qos, got.retain), (qos, retain))
                    late = self.connect()
                    late.subscribe(topic, qos=2)
                    if retain:
                        self.assertEqual(late.message(topic, "dead", retain=True).qos, qos)
                        late.publish(topic, "", retain=True)
                        self.watcher.message(topic, "")
                    else:
                        late.expect_nothing(0.05)
                    late.close()

    def test_properties_are_forwarded_in_order(self):
        """[MQTT-3.1.3-10], [MQTT-3.3.2-18]; the delay stays out of the PUBLISH."""
        props = [
            (mqtt.PAYLOAD_FORMAT_INDICATOR, 1),
            (mqtt.CONTENT_TYPE, "text/plain"),
            (mqtt.RESPONSE_TOPIC, "answer/here"),
            (mqtt.CORRELATION_DATA, b"\x00\xff\x01"),
            (mqtt.USER_PROPERTY, ("b", "1")),
            (mqtt.USER_PROPERTY, ("a", "2")),
            (mqtt.USER_PROPERTY, ("b", "1")),
        ]
        self.mortal("props", will_props=props, delay=0).close()
        got = self.assert_published()
        self.assertEqual(
            [p for p in got.properties if p[0] == mqtt.USER_PROPERTY],
            [p for p in props if p[0] == mqtt.USER_PROPERTY],
        )
        self.assertEqual(sorted(map(repr, got.properties)), sorted(map(repr, props)))

    def test_message_expiry_of_zero(self):
        """It is sent, and not kept: as a PUBLISH with it."""
        props = [(mqtt.MESSAGE_EXPIRY_INTERVAL, 0)]
        self.mortal("ephemeral", retain=True, will_props=props).close()
        self.assertIsNotNone(self.assert_published().prop(mqtt.MESSAGE_EXPIRY_INTERVAL))
        self.subscriber("will/ephemeral").expect_nothing()

    def test_message_expiry_counts_from_publication(self):
        props = [(mqtt.MESSAGE_EXPIRY_INTERVAL, 100)]
        self.mortal("expiring", will_props=props, delay=1, expiry=LONG).close()
        left = self.assert_published().prop(mqtt.MESSAGE_EXPIRY_INTERVAL)
        self.assertIn(left, range(80, 101))
        self.connect("expiring", clean=True).disconnect()

    def test_payload_of_every_size(self):
        for version in VERSIONS:
            for size in (0, 1, 127, 128, 65535):
                text = "x" * size
                self.mortal("size", version, text=text).close()
                self.assert_published(text)

    def test_empty_retained_will_clears(self):
        """[MQTT-3.3.1-6] holds for wills, too."""
        topic = self.topic("will/clear")
        publisher = self.connect()
        publisher.publish(topic, "kept", qos=1, retain=True)
        self.watcher.message(topic, "kept")
        self.mortal("clear", text="", retain=True).close()
        self.assert_published("")
        late = self.connect()
        late.subscribe(topic)
        late.expect_nothing()

    def test_own_session_gets_the_will(self):
        topic = self.topic("will/own")
        client = self.mortal("own", clean=False, expiry=LONG)
        client.subscribe(topic, qos=1)
        client.close()
        self.assert_published()
        client = self.session("own")
        client.message(topic, "dead")
        self.connect("own", clean=True).disconnect()

    def test_no_local_holds_for_wills(self):
        """[MQTT-3.8.3-3]: its own session does not get it."""
        topic = self.topic("will/local")
        client = self.mortal("local", clean=False, expiry=LONG)
        client.subscribe(topic, qos=1, no_local=True)
        client.close()
        self.assert_published()
        self.session("local").expect_nothing()
        self.connect("local", clean=True).disconnect()

    def test_will_goes_to_shared_and_ordinary_subscribers(self):
        member = self.connect()
        member.subscribe("$share/g/" + self.topic("will/+"), qos=1)
        self.mortal("shared").close()
        self.assert_published()
        member.message(payload="dead")


class Refused(WillTest):
    def refuse(self, will, *reasons, version=V5):
        client = self.open(version)
        client.send(mqtt.connect(self.client_id("bad"), version, will=will))
        client.expect_end(*reasons)
        self.watcher.ping()

    def test_bad_will_topic(self):
        """[MQTT-3.1.3-11], [MQTT-4.7.0-1], [MQTT-4.7.3-1]"""
        for version in VERSIONS:
            for topic in ("a/#", "+", "a/+/b", "", b"bad\xff", b"nul\x00"):
                with self.subTest(version=version, topic=topic):
                    self.refuse(Will(topic, "x"), 0x81, 0x82, 0x90, version=version)

    def test_bad_will_properties(self):
        for props in (
            [(WILL_DELAY_INTERVAL, 1)] * 2,
            [(mqtt.TOPIC_ALIAS, 1)],
            [(mqtt.SUBSCRIPTION_IDENTIFIER, 1)],
            [(mqtt.PAYLOAD_FORMAT_INDICATOR, 2)],
            [(mqtt.RESPONSE_TOPIC, "a/#")],
            [(mqtt.RESPONSE_TOPIC, b"\xff")],
            [(mqtt.CONTENT_TYPE, b"\x00")],
            [(mqtt.USER_PROPERTY, ("k", b"\xed\xa0\x80"))],
            b"\x05\x18\x00\x00\x00",
        ):
            with self.subTest(props=props):
                self.refuse(Will(self.topic("will/p"), "x", props=props), 0x81, 0x82, 0x90)

    def test_time_passes_for_a_delayed_will_while_others_work(self):
        """Not a refusal, but what a refusal must not disturb."""
        self.mortal("patient", delay=1, expiry=LONG).close()
        deadline = time.monotonic() + 0.8
        while time.monotonic() < deadline:
            self.refuse(Will("a/#", "x"), 0x81, 0x82, 0x90)
        self.assert_published()


if __name__ == "__main__":
    main()
