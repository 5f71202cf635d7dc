"""The will: sections 3.1.2.5 to 3.1.2.7, 3.1.3.2 and 3.14.4."""

import time

from case import ConformanceTest, covers, expiry, mqtt
from support.mqtt import WILL_DELAY_INTERVAL, Will

LONG = 600


class WillTest(ConformanceTest):
    def setUp(self):
        super().setUp()
        options = {"retain_as_published": True} if self.v5 else {}
        self.watcher = self.subscriber("will", qos=2, **options)

    def mortal(self, name="mortal", text="dead", qos=1, retain=False, delay=None, seconds=None,
               will_props=(), **arguments):
        """A client with a will on the topic that is watched."""
        props = list(will_props)
        if delay is not None:
            props.append((WILL_DELAY_INTERVAL, delay))
        if seconds is not None:
            arguments["props"] = expiry(seconds)
        will = Will(self.topic("will"), text, qos, retain, props)
        return self.connect(name, will=will, **arguments)

    def assert_unpublished(self):
        self.assert_silent(self.watcher)


class WhenPublished(WillTest):
    @covers(
        v5="MQTT-3.1.2-7 MQTT-3.1.2-8",
        v311="MQTT-3.1.2-8 MILLRACE-3-3.1.2-1",
    )
    def test_connection_is_lost(self):
        client = self.mortal()
        self.assert_unpublished()  # It waits for the end.
        client.close()
        self.watcher.message(self.topic("will"), "dead")

    @covers("MQTT-3.1.2-8")
    def test_client_breaks_the_protocol(self):
        client = self.mortal()
        client.send(b"\x00\x00")
        self.ended(client)
        self.watcher.message(self.topic("will"), "dead")

    @covers(v5="MQTT-3.14.4-3 MQTT-3.1.2-8 MQTT-3.1.2-10", v311="MQTT-3.14.4-3 MQTT-3.1.2-10")
    def test_not_after_disconnect(self):
        self.mortal().disconnect()
        if self.v5:
            self.mortal(seconds=1, delay=0).disconnect(0)
            time.sleep(2.5)
            self.mortal(seconds=LONG).disconnect(0, expiry(0))
        self.assert_unpublished()

    @covers("MQTT-3.1.2-10")
    def test_only_once(self):
        """After its publication it is gone, also for the session that goes on."""
        keep = {"props": expiry(LONG)} if self.v5 else {}
        self.mortal(clean=False, **keep).close()
        self.watcher.message(payload="dead")
        self.connect("mortal", clean=False, **keep).close()
        self.connect("mortal", clean=False, **keep).close()
        self.forget("mortal")
        self.assert_unpublished()

    @covers("MQTT-3.1.2-10")
    def test_gone_after_disconnect(self):
        keep = {"props": expiry(LONG)} if self.v5 else {}
        self.mortal(clean=False, **keep).disconnect()
        self.connect("mortal", clean=False, **keep).close()
        self.forget("mortal")
        self.assert_unpublished()

    @covers(v311="MQTT-3.1.2-12")
    def test_none_without_the_flag(self):
        self.connect().close()
        self.assert_unpublished()

    @covers(v5="MILLRACE-5-3.1.4-1", v311="MILLRACE-3-3.1.2-1")
    def test_takeover(self):
        self.mortal()
        self.connect("mortal", clean=False)
        self.watcher.message(payload="dead")

    @covers(v5="MILLRACE-5-3.14.2-1")
    def test_disconnect_with_will(self):
        self.mortal().disconnect(0x04)
        self.watcher.message(payload="dead")

    @covers(v5="MILLRACE-5-3.14.2-4")
    def test_disconnect_with_reserved_reason(self):
        client = self.mortal()
        client.send(b"\xe0\x02\xff\x00")
        self.ended(client, 0x81, 0x82)
        self.watcher.message(payload="dead")


class Delay(WillTest):
    @covers(v5="MQTT-3.1.2-8 MILLRACE-5-3.1.3-1")
    def test_delay_passes(self):
        client = self.mortal(delay=2, seconds=LONG)
        started = time.monotonic()
        client.close()
        self.watcher.message(payload="dead")
        self.assertGreater(time.monotonic() - started, 1.8)
        self.forget("mortal")

    @covers(v5="MILLRACE-5-3.1.3-1 MQTT-3.1.2-8")
    def test_session_ends_before(self):
        self.mortal("a", "first", delay=LONG, seconds=1).close()
        self.watcher.message(payload="first")
        self.mortal("b", "second", delay=LONG).close()
        self.watcher.message(payload="second")

    @covers(v5="MQTT-3.1.3-9 MQTT-3.1.2-8")
    def test_client_comes_back_in_time(self):
        self.mortal(delay=3, seconds=LONG).close()
        client = self.connect("mortal", clean=False, props=expiry(LONG))
        self.assertTrue(client.connack.session_present)
        time.sleep(4.5)
        self.assert_unpublished()
        client.disconnect(0, expiry(0))
        self.assert_unpublished()

    @covers(v5="MILLRACE-5-3.1.3-2")
    def test_clean_start_ends_the_wait(self):
        self.mortal(delay=LONG, seconds=LONG).close()
        self.assert_unpublished()
        self.connect("mortal", clean=True).disconnect()
        self.watcher.message(payload="dead")


class Content(WillTest):
    @covers(v5="MQTT-3.1.2-9", v311="MQTT-3.1.2-9")
    def test_qos_from_the_flags(self):
        for qos in range(3):
            self.mortal(text=f"{qos}", qos=qos).close()
            self.watcher.message(self.topic("will"), f"{qos}", qos=qos)

    @covers(v5="MQTT-3.1.2-14 MQTT-3.1.2-9", v311="MQTT-3.1.2-16 MQTT-3.1.2-9")
    def test_not_retained(self):
        self.mortal(retain=False).close()
        self.watcher.message(payload="dead", retain=False)
        self.assertEqual(self.retained(self.topic("will")), [])

    @covers(v5="MQTT-3.1.2-15 MQTT-3.1.2-9", v311="MQTT-3.1.2-17 MQTT-3.1.2-9")
    def test_retained(self):
        self.mortal(retain=True).close()
        # 5.0: the watcher asked for Retain As Published.
        self.watcher.message(payload="dead", retain=self.v5)
        found = self.retained(self.topic("will"))
        self.assertEqual([(p.payload, p.retain) for p in found], [(b"dead", True)])
        self.connect().publish(self.topic("will"), "", 1, retain=True)

    @covers(v5="MQTT-3.1.3-10 MILLRACE-5-3.1.3-3")
    def test_properties(self):
        pairs = [(mqtt.USER_PROPERTY, pair) for pair in (("b", "1"), ("a", "2"), ("c", "3"))]
        props = [
            (mqtt.PAYLOAD_FORMAT_INDICATOR, 1),
            (mqtt.CONTENT_TYPE, "text"),
            (mqtt.RESPONSE_TOPIC, "answers"),
            (mqtt.CORRELATION_DATA, b"\x00\xff"),
        ]
        self.mortal(delay=0, will_props=props + pairs).close()
        got = self.watcher.message(payload="dead")
        self.assertEqual([p for p in got.properties if p[0] == mqtt.USER_PROPERTY], pairs)
        self.assertEqual(sorted(p for p in got.properties if p[0] != mqtt.USER_PROPERTY), props)

    @covers(v5="MILLRACE-5-3.1.3-3")
    def test_message_expiry(self):
        self.mortal(will_props=[(mqtt.MESSAGE_EXPIRY_INTERVAL, 100)]).close()
        got = self.watcher.message(payload="dead")
        self.assertIn(got.prop(mqtt.MESSAGE_EXPIRY_INTERVAL), range(80, 101))

    @covers(v5="MQTT-3.1.2-7", v311="MQTT-3.1.2-8")
    def test_empty_and_binary_payload(self):
        for payload in (b"", b"\x00\xff\xfe"):
            self.mortal(text=payload).close()
            self.watcher.message(self.topic("will"), payload)
