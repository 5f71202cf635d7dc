"""Data representation and packet format: chapters 1.5 and 2."""

from case import ILL_FORMED, ConformanceTest, covers, mqtt

# A packet that a connected client may send, by type; what follows the first byte.
BODIES = {
    mqtt.PUBACK: b"\x02\x00\x01",
    mqtt.PUBREC: b"\x02\x00\x01",
    mqtt.PUBREL: b"\x02\x00\x01",
    mqtt.PUBCOMP: b"\x02\x00\x01",
    mqtt.PINGREQ: b"\x00",
    mqtt.DISCONNECT: b"\x00",
}


class Strings(ConformanceTest):
    def everywhere(self, text):
        """Packets with `text` in each kind of string."""
        yield self.packet("publish", text)
        yield self.packet("subscribe", 1, [(text, 0)])
        yield self.packet("unsubscribe", 1, [text])

    def assert_refused(self, texts):
        clients = []
        for text in texts:
            for packet in self.everywhere(text):
                client = self.connect()
                client.send_quietly(packet)
                clients.append(client)
            client = self.open()
            client.send_quietly(self.packet("connect", text))
            clients.append(client)
        for client in clients:
            self.ended(client)

    @covers(v5="MQTT-1.5.4-1", v311="MQTT-1.5.3-1")
    def test_ill_formed_text_closes(self):
        self.assert_refused(ILL_FORMED)

    @covers(v5="MQTT-1.5.4-2", v311="MQTT-1.5.3-2")
    def test_nul_closes(self):
        self.assert_refused((b"a\0b", b"\0"))

    @covers(v5="MQTT-1.5.4-1", v311="MQTT-1.5.3-1")
    def test_well_formed_text_passes(self):
        # Short and long ones, and about the surrogates; no control or noncharacters,
        # which a server may refuse.
        for char in "~\u00a0\u07ff\u0800\ud7ff\ue000\ufffd\U00010000\U0010fffd":
            topic = self.topic(f"x{char}y")
            client = self.connect()
            client.subscribe(topic)
            client.publish(topic, "x")
            client.message(topic, "x")

    @covers(v5="MQTT-1.5.4-3", v311="MQTT-1.5.3-3")
    def test_byte_order_mark_is_kept(self):
        marked = "\ufeff" + self.topic("bom") + "\ufeff/\ufeffx"
        plain = marked.replace("\ufeff", "")
        client = self.connect()
        client.subscribe(marked, plain)
        client.publish(marked, "marked")
        client.publish(plain, "plain")
        client.message(marked, "marked")
        client.message(plain, "plain")

    @covers(v5="MQTT-1.5.7-1")
    def test_string_pairs_are_strings(self):
        for text in (*ILL_FORMED, b"a\0"):
            for pair in ((text, "v"), ("k", text)):
                props = [(mqtt.USER_PROPERTY, pair)]
                self.ends(mqtt.publish(self.topic("a"), props=props))
                self.refuses(mqtt.connect(self.client_id(), props=props))


class Lengths(ConformanceTest):
    @covers(v5="MQTT-1.5.5-1")
    def test_server_writes_the_shortest(self):
        """The decoder refuses what isn't; here at the lengths where it matters."""
        client = self.connect()
        topic = self.topic("a")
        client.subscribe(topic)
        head = len(mqtt.string(topic)) + 1
        for remaining in (127, 128, 16383, 16384, 2097151, 2097152):
            payload = b"x" * (remaining - head)
            client.publish(topic, payload)
            client.message(topic, payload)
        for length in (127, 128, 16383, 16384):
            pair = ("k", "v" * (length - 6))
            client.publish(topic, "x", props=[(mqtt.USER_PROPERTY, pair)])
            self.assertEqual(client.message(topic).properties, [(mqtt.USER_PROPERTY, pair)])

    @covers(v5="MQTT-1.5.5-1")
    def test_client_has_to_write_the_shortest(self):
        body = mqtt.string(self.topic("a")) + b"\0x"
        for length in (2, 3, 4):
            self.ends(mqtt.packet(mqtt.PUBLISH, 0, body, mqtt.varint(len(body), length)))
            props = mqtt.varint(0, length)
            self.ends(mqtt.publish(self.topic("a"), "x", props=props))
            self.refuses(mqtt.connect(self.client_id(), props=props))

    @covers(v5="MILLRACE-5-1.5.5-1", v311="MILLRACE-3-2.2.3-1")
    def test_five_bytes_of_length(self):
        for length in (b"\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x00", b"\x8a\x80\x80\x80\x00"):
            self.ends(b"\x30" + length + bytes(10))
            self.refuses(b"\x10" + length + bytes(10))


class FixedHeader(ConformanceTest):
    def wrong_flags(self):
        for kind, body in BODIES.items():
            right = 2 if kind == mqtt.PUBREL else 0
            for flags in range(16):
                if flags != right:
                    yield bytes([kind << 4 | flags]) + body
        for flags in (0, 1, 3, 4, 8, 15):
            yield self.packet("subscribe", 1, [(self.topic("a"), 0)], flags=flags)
            yield self.packet("unsubscribe", 1, [self.topic("a")], flags=flags)

    @covers(v5="MQTT-2.1.3-1", v311="MQTT-2.2.2-1 MQTT-2.2.2-2")
    def test_reserved_flags(self):
        clients = []
        for packet in self.wrong_flags():
            client = self.connect()
            client.send_quietly(packet)
            clients.append(client)
        for client in clients:
            self.assertEqual([p for p in self.ended(client) if p.kind != mqtt.DISCONNECT], [])
        for flags in (1, 2, 4, 8):
            packet = bytearray(self.packet("connect", self.client_id()))
            packet[0] |= flags
            self.refuses(bytes(packet))

    @covers(v5="MILLRACE-5-2.1.2-1", v311="MILLRACE-3-2.2.1-1")
    def test_reserved_types(self):
        for kind in (0,) if self.v5 else (0, 15):
            self.ends(bytes([kind << 4, 0]))
            self.refuses(bytes([kind << 4, 0]))

    @covers(v5="MILLRACE-5-2.1.2-2", v311="MILLRACE-3-2.2.1-2 MQTT-4.8.0-1")
    def test_packets_of_a_server(self):
        for packet in (
            self.packet("connack"),
            self.packet("suback", 1, [0]),
            self.packet("suback", 1, [0] if self.v5 else [], kind=mqtt.UNSUBACK),
            b"\xd0\x00",
        ):
            self.ends(packet)


class PacketIdentifiers(ConformanceTest):
    @covers(v5="MQTT-2.2.1-2", v311="MQTT-2.3.1-5")
    def test_qos_0_has_none(self):
        """Two bytes of it would be seen as payload, on either side."""
        client = self.connect()
        client.subscribe(self.topic("a"), qos=2)
        client.publish(self.topic("a"), "")
        got = client.message(self.topic("a"), "")
        self.assertEqual((got.qos, got.packet_id), (0, None))
        client.send(self.packet("publish", self.topic("a"), b"\0\7ab"))
        client.message(payload=b"\0\7ab", qos=0)

    @covers(v5="MQTT-2.2.1-3", v311="MQTT-2.3.1-1")
    def test_zero_from_a_client(self):
        topic = self.topic("a")
        self.ends(self.packet("publish", topic, "x", 1, 0))
        self.ends(self.packet("publish", topic, "x", 2, 0))
        self.ends(self.packet("subscribe", 0, [(topic, 0)]))
        self.ends(self.packet("unsubscribe", 0, [topic]))

    def unacknowledged(self, qos):
        """A client with 8 messages that it hasn't acknowledged, and a publisher."""
        client = self.subscriber("a", qos=qos)
        publisher = self.connect()
        for index in range(8):
            publisher.publish(self.topic("a"), f"{index}", qos=2)
        return client, publisher, client.messages(8, acknowledge=False)

    @covers(
        v5="MQTT-2.2.1-4 MQTT-4.3.2-1",
        v311="MQTT-2.3.1-1 MQTT-2.3.1-4 MQTT-4.3.2-1",
    )
    def test_server_uses_no_identifier_twice_at_qos_1(self):
        client, publisher, got = self.unacknowledged(1)
        used = {p.packet_id for p in got}
        self.assertEqual(len(used), 8)
        self.assertNotIn(0, used)
        client.acknowledge(got[0])
        used.discard(got[0].packet_id)
        publisher.publish(self.topic("a"), "8", qos=1)
        self.assertNotIn(client.message(payload="8", acknowledge=False).packet_id, used)

    @covers(v5="MQTT-2.2.1-4 MQTT-4.3.3-1", v311="MQTT-2.3.1-4 MQTT-4.3.3-1")
    def test_server_uses_no_identifier_twice_at_qos_2(self):
        client, publisher, got = self.unacknowledged(2)
        used = {p.packet_id for p in got}
        self.assertEqual(len(used), 8)
        # PUBREC alone doesn't free it.
        client.send(mqtt.ack(mqtt.PUBREC, got[0].packet_id))
        client.expect(mqtt.PUBREL, packet_id=got[0].packet_id)
        publisher.publish(self.topic("a"), "8", qos=2)
        self.assertNotIn(client.message(payload="8", acknowledge=False).packet_id, used)

    @covers(v5="MQTT-2.2.1-5", v311="MQTT-2.3.1-6")
    def test_acknowledgements_repeat_it(self):
        client = self.connect()
        for packet_id in (1, 255, 256, 65535):
            client.send(self.packet("publish", self.topic("a"), "x", 1, packet_id))
            client.expect(mqtt.PUBACK, packet_id=packet_id)
            client.send(self.packet("publish", self.topic("a"), "x", 2, packet_id))
            client.expect(mqtt.PUBREC, packet_id=packet_id)
            client.send(mqtt.ack(mqtt.PUBREL, packet_id))
            client.expect(mqtt.PUBCOMP, packet_id=packet_id)
        client.subscribe(self.topic("b"), qos=2)
        client.publish(self.topic("b"), "x", qos=2)
        got = client.message(acknowledge=False)
        client.send(mqtt.ack(mqtt.PUBREC, got.packet_id))
        client.expect(mqtt.PUBREL, packet_id=got.packet_id)

    @covers(
        v5="MQTT-2.2.1-6 MQTT-3.8.4-2 MQTT-3.10.4-5",
        v311="MQTT-2.3.1-7 MQTT-3.8.4-2 MQTT-3.10.4-4",
    )
    def test_suback_and_unsuback_repeat_it(self):
        client = self.connect()
        for packet_id in (1, 255, 256, 65535):
            client.send(self.packet("subscribe", packet_id, [(self.topic("a"), 0)]))
            client.expect(mqtt.SUBACK, packet_id=packet_id)
            client.send(self.packet("unsubscribe", packet_id, [self.topic("a")]))
            client.expect(mqtt.UNSUBACK, packet_id=packet_id)


class Properties(ConformanceTest):
    @covers(v5="MQTT-2.2.2-1")
    def test_property_length_is_not_left_out(self):
        topic = mqtt.string(self.topic("a"))
        self.ends(mqtt.packet(mqtt.PUBLISH, 0, topic))
        self.ends(mqtt.packet(mqtt.SUBSCRIBE, 2, b"\0\1" + topic + b"\0"))
        body = bytearray(mqtt.connect(""))[2:]
        self.refuses(mqtt.packet(mqtt.CONNECT, 0, bytes(body[:10])))

    @covers(v5="MQTT-2.2.2-1")
    def test_server_does_not_leave_it_out(self):
        """The decoder refuses packets without it."""
        client = self.connect()
        client.subscribe(self.topic("a"), qos=2)
        for qos in range(3):
            client.publish(self.topic("a"), "x", qos=qos)
            client.message(self.topic("a"), "x", qos=qos)
        client.unsubscribe(self.topic("a"))

    @covers(v5="MILLRACE-5-2.2.2-1 MILLRACE-5-4.13.1-1")
    def test_property_of_another_packet(self):
        topic = self.topic("a")
        wrong = (mqtt.SERVER_KEEP_ALIVE, 1)
        for packet in (
            mqtt.publish(topic, "x", props=[wrong]),
            mqtt.publish(topic, "x", props=[(0x7F, b"\0")]),
            mqtt.publish(topic, "x", props=[(0x00, b"\0")]),
            mqtt.subscribe(1, [(topic, 0)], [(mqtt.TOPIC_ALIAS, 1)]),
            mqtt.unsubscribe(1, [topic], [(mqtt.SUBSCRIPTION_IDENTIFIER, 1)]),
            mqtt.ack(mqtt.PUBACK, 1, 0, [(mqtt.CONTENT_TYPE, "t")]),
            mqtt.ack(mqtt.PUBREL, 1, 0, [(mqtt.RECEIVE_MAXIMUM, 1)]),
            mqtt.disconnect(0, [(mqtt.CONTENT_TYPE, "t")]),
        ):
            self.ends(packet, reasons=(0x81, 0x82))
        self.refuses(mqtt.connect(self.client_id(), props=[wrong]), reasons=(0x81, 0x82))

    @covers(v5="MILLRACE-5-2.2.2-2 MILLRACE-5-4.13.1-1")
    def test_property_length_that_is_wrong(self):
        pair = mqtt.prop(mqtt.USER_PROPERTY, ("k", "v"))
        for length in (1, len(pair) - 1, 127, 200):
            props = mqtt.varint(length) + pair
            self.ends(mqtt.publish(self.topic("a"), "", props=props), reasons=(0x81, 0x82))
            self.refuses(mqtt.connect("", props=props), reasons=(0x81, 0x82))

    def twice(self, make, pairs):
        for identifier, value in pairs:
            packet = make([(identifier, value)] * 2)
            if packet[0] == 0x10:
                self.refuses(packet, reasons=(0x82, 0x81))
            else:
                self.ends(packet, reasons=(0x82, 0x81))

    @covers(v5="MILLRACE-5-2.2.2-3")
    def test_twice_in_connect(self):
        self.twice(
            lambda props: mqtt.connect(self.client_id(), props=props),
            (
                (mqtt.SESSION_EXPIRY_INTERVAL, 1),
                (mqtt.RECEIVE_MAXIMUM, 10),
                (mqtt.MAXIMUM_PACKET_SIZE, 1000),
                (mqtt.TOPIC_ALIAS_MAXIMUM, 1),
                (mqtt.REQUEST_RESPONSE_INFORMATION, 1),
                (mqtt.REQUEST_PROBLEM_INFORMATION, 1),
                (mqtt.AUTHENTICATION_METHOD, "m"),
            ),
        )

    @covers(v5="MILLRACE-5-2.2.2-4")
    def test_twice_in_a_will(self):
        def make(props):
            return mqtt.connect(self.client_id(), will=mqtt.Will(self.topic("w"), "x", props=props))

        self.twice(
            make,
            (
                (mqtt.WILL_DELAY_INTERVAL, 1),
                (mqtt.PAYLOAD_FORMAT_INDICATOR, 1),
                (mqtt.MESSAGE_EXPIRY_INTERVAL, 9),
                (mqtt.CONTENT_TYPE, "t"),
                (mqtt.RESPONSE_TOPIC, "r"),
                (mqtt.CORRELATION_DATA, b"c"),
            ),
        )

    @covers(v5="MILLRACE-5-2.2.2-5")
    def test_twice_in_publish(self):
        self.twice(
            lambda props: mqtt.publish(self.topic("a"), "x", props=props),
            (
                (mqtt.PAYLOAD_FORMAT_INDICATOR, 1),
                (mqtt.MESSAGE_EXPIRY_INTERVAL, 9),
                (mqtt.TOPIC_ALIAS, 1),
                (mqtt.CONTENT_TYPE, "t"),
                (mqtt.RESPONSE_TOPIC, "r"),
                (mqtt.CORRELATION_DATA, b"c"),
            ),
        )

    @covers(v5="MILLRACE-5-2.2.2-6")
    def test_twice_in_subscribe(self):
        self.twice(
            lambda props: mqtt.subscribe(1, [(self.topic("a"), 0)], props),
            ((mqtt.SUBSCRIPTION_IDENTIFIER, 1),),
        )

    @covers(v5="MILLRACE-5-2.2.2-7")
    def test_twice_in_answers(self):
        for kind in (mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP):
            self.twice(
                lambda props, kind=kind: mqtt.ack(kind, 1, 0, props), ((mqtt.REASON_STRING, "r"),)
            )
        self.twice(
            lambda props: mqtt.disconnect(0, props),
            ((mqtt.REASON_STRING, "r"), (mqtt.SESSION_EXPIRY_INTERVAL, 0)),
        )
