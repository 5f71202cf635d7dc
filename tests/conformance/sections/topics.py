"""Topic names and filters: section 4.7."""

from case import ConformanceTest, covers, mqtt


class Wildcards(ConformanceTest):
    def assert_refused(self, *filters):
        """SUBACK with an error, or the end. 3.1.1 demands the end of no filter that
        is only misspelt; both let the server choose."""
        for text in filters:
            client = self.connect()
            client.send(self.packet("subscribe", 1, [(text, 0)]))
            client.send_quietly(mqtt.disconnect())
            for packet in client.drain_until_closed():
                if packet.kind == mqtt.SUBACK:
                    self.assertGreaterEqual(packet.codes[0], 0x80, text)
                else:
                    self.assertIn(packet.reason, (0x81, 0x82, 0x8F), text)

    @covers(v5="MQTT-4.7.1-1", v311="MQTT-4.7.1-2")
    def test_place_of_the_number_sign(self):
        self.assert_refused("a#", "#a", "a/#/b", "#/a", "a/b#", "##", "a/#b")

    @covers(v5="MQTT-4.7.1-2", v311="MQTT-4.7.1-3")
    def test_plus_fills_a_level(self):
        self.assert_refused("a+", "+a", "a/b+/c", "++", "a/+b", "+#")

    def matches(self, text, names):
        client = self.connect()
        client.subscribe(text)
        publisher = self.connect()
        for name in names:
            publisher.publish(name, "x")
        return [p.topic for p in self.until_marker(client, publisher)]

    @covers(v5="MILLRACE-5-4.7.1-1", v311="MILLRACE-3-4.7.1-1")
    def test_number_sign(self):
        top = self.topic("s")
        good = [top, f"{top}/", f"{top}/a", f"{top}/a/b", f"{top}//b"]
        self.assertEqual(self.matches(f"{top}/#", [*good, f"{top}a", f"x{top}"]), good)

    @covers(v5="MILLRACE-5-4.7.1-2", v311="MILLRACE-3-4.7.1-2")
    def test_plus(self):
        top = self.topic("s")
        good = [f"{top}/a/e", f"{top}//e", f"{top}/ /e"]
        bad = [f"{top}/e", f"{top}/a/b/e", f"{top}/a", f"{top}/a/e/"]
        self.assertEqual(self.matches(f"{top}/+/e", good + bad), good)
        good = [f"{top}/", f"{top}/x"]
        self.assertEqual(self.matches(f"{top}/+", [top, *good, f"{top}/x/"]), good)


class Dollar(ConformanceTest):
    @covers("MQTT-4.7.2-1")
    def test_wildcards_do_not_match_it(self):
        """A $ topic of the test's own, where the server lets clients use it."""
        topic = f"${self.topic('a')}"
        client = self.connect()
        client.subscribe("#", "+/a")
        exact = self.connect()
        exact.subscribe(topic, f"{topic}/#")
        publisher = self.connect()
        try:
            publisher.publish(topic, "x")
            publisher.ping()
        except Exception:  # pylint: disable=broad-except
            publisher = self.connect()  # It may also refuse it.
        marker = self.topic("end")
        publisher.publish(marker, "end")
        while True:
            got = client.expect(mqtt.PUBLISH)
            self.assertNotEqual(got.topic[:1], "$")
            if got.topic == marker:
                return


class Names(ConformanceTest):
    @covers("MQTT-4.7.3-1")
    def test_at_least_one_character(self):
        self.ends(self.packet("publish", "", "x"), reasons=(0x81, 0x82, 0x90))
        for packet in (
            self.packet("subscribe", 1, [("", 0)]),
            self.packet("unsubscribe", 1, [""]),
        ):
            client = self.connect()
            client.send(packet)
            client.send_quietly(mqtt.disconnect())
            for answer in client.drain_until_closed():
                codes = answer.codes if answer.codes is not None else [answer.reason]
                if answer.kind == mqtt.UNSUBACK:
                    continue  # No such subscription: true.
                self.assertGreaterEqual(codes[0], 0x80)

    @covers("MQTT-4.7.3-2")
    def test_no_nul(self):
        for text in (b"\0", b"a/\0", b"a\0/b"):
            self.ends(self.packet("publish", text, "x"), reasons=(0x81, 0x82, 0x90))
            self.ends(self.packet("subscribe", 1, [(text, 0)]), reasons=(0x81, 0x82, 0x8F))

    @covers("MQTT-4.7.3-4")
    def test_no_normalization(self):
        """Each of these is another topic, though some look alike."""
        names = [
            "\u00e9", "e\u0301", "E\u0301", "a b", "a  b", " a b", "ab", "AB",
            "a/b", "a//b", "/a/b", "a/b/", "./a/b", "a/../a/b", "a%2Fb", "\u212b", "\u00c5",
            "\u200bab", "a\u00adb", "\U0001f600", "\\a", "\"a\"",
        ]
        topics = [self.topic(name) for name in names]
        client, publisher = self.connect(), self.connect()
        client.subscribe(*topics)
        for index, topic in enumerate(topics):
            publisher.publish(topic, f"{index}")
            client.message(topic, f"{index}")
        for index, topic in enumerate(topics):
            client.unsubscribe(topic)
            publisher.publish(topic, "x")
        self.assert_silent(client, publisher)

    @covers("MQTT-4.7.3-4")
    def test_others_do_not_match(self):
        client, publisher = self.subscriber("caf\u00e9", "a/b"), self.connect()
        for name in ("cafe\u0301", "Caf\u00e9", "A/b", "a/b ", "a//b", "a/b/", "cafe"):
            publisher.publish(self.topic(name), "x")
        self.assert_silent(client, publisher)
