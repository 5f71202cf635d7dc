#!/usr/bin/python3 -B
"""Eclipse Paho's Python client against the broker, as 3.1.1 and as 5.0."""

import os
import queue
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from support.client import ARRIVAL_S
from support.suite import BrokerTest, main

VERSIONS = (paho.MQTTv31, paho.MQTTv311, paho.MQTTv5)


class Session:
    """A connected client whose events can be waited for."""

    def __init__(self, test, name, version, clean=True, will=None, properties=None):
        self.messages, self.events = queue.Queue(), queue.Queue()
        extra = {} if version == paho.MQTTv5 else {"clean_session": clean}
        self.client = paho.Client(test.client_id(name), protocol=version, **extra)
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_connect = lambda *a: self.events.put(("connect", a[2], a[3]))
        self.client.on_disconnect = lambda *a: self.events.put(("disconnect", a[2]))
        self.client.on_subscribe = lambda *a: self.events.put(("subscribe", a[2], a[3]))
        self.client.on_unsubscribe = lambda *a: self.events.put(("unsubscribe", a[2]))
        if will:
            self.client.will_set(*will)
        options = {}
        if version == paho.MQTTv5:
            options = {"clean_start": clean, "properties": properties}
        self.client.connect(test.broker.host, test.broker.port, 60, **options)
        self.client.loop_start()
        test.addCleanup(self.stop)
        self.flags, code = self.wait("connect")
        test.assertEqual(getattr(code, "value", code), 0)

    def wait(self, kind):
        """What came with the next event, which has to be of that kind."""
        event = self.events.get(timeout=ARRIVAL_S)
        if event[0] != kind:
            raise AssertionError(f"{event} instead of {kind}")
        return event[1:]

    def subscribe(self, *args, **options):
        self.client.subscribe(*args, **options)
        return [getattr(c, "value", c) for c in self.wait("subscribe")[1]]

    def publish(self, *args, **options):
        self.client.publish(*args, **options).wait_for_publish(ARRIVAL_S)

    def message(self):
        return self.messages.get(timeout=ARRIVAL_S)

    def disconnect(self):
        self.client.disconnect()
        self.wait("disconnect")

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        """Closes the socket under it, and does not reconnect."""
        self.client.on_disconnect = None
        self.client.loop_stop()
        self.client._sock_close()  # There is no public way to break the protocol.


class Paho(BrokerTest):
    def session_of(self, name, version, **options):
        return Session(self, name, version, **options)

    def test_every_qos_between_all_versions(self):
        for reading in VERSIONS:
            topic = self.topic(f"{reading}")
            reader = self.session_of(f"r{reading}", reading)
            self.assertEqual(reader.subscribe(topic, 2), [2])
            for writing in VERSIONS:
                writer = self.session_of(f"w{reading}{writing}", writing)
                for qos in range(3):
                    writer.publish(topic, f"{writing} {qos}", qos)
                    got = reader.message()
                    self.assertEqual((got.topic, got.qos, got.retain), (topic, qos, 0))
                    self.assertEqual(got.payload.decode(), f"{writing} {qos}")

    def test_retained_and_unsubscribe(self):
        for version in VERSIONS:
            topic = self.topic(f"kept{version}")
            writer = self.session_of(f"w{version}", version)
            writer.publish(topic, "kept", 1, True)
            reader = self.session_of(f"r{version}", version)
            reader.subscribe([(topic, 1), (topic + "/#", 0)])
            seen = [reader.message() for _ in range(2)]
            self.assertEqual({(m.payload, m.retain) for m in seen}, {(b"kept", 1)})
            reader.client.unsubscribe(topic)
            reader.wait("unsubscribe")
            writer.publish(topic, b"", 1, True)
            self.assertEqual(reader.message().payload, b"")

    def test_sleeping_session(self):
        for version in VERSIONS:
            properties = None
            if version == paho.MQTTv5:
                properties = Properties(PacketTypes.CONNECT)
                properties.SessionExpiryInterval = 100
            topic = self.topic(f"sleep{version}")
            options = {"clean": False, "properties": properties}
            sleeper = self.session_of(f"s{version}", version, **options)
            sleeper.subscribe(topic, 2)
            sleeper.disconnect()
            sleeper.stop()
            writer = self.session_of(f"w{version}", version)
            for index in range(10):
                writer.publish(topic, f"{index}", 1 + index % 2)
            sleeper = self.session_of(f"s{version}", version, **options)
            if version != paho.MQTTv31:
                self.assertEqual(sleeper.flags["session present"], 1)
            seen = sorted(int(sleeper.message().payload) for _ in range(10))
            self.assertEqual(seen, list(range(10)))
            sleeper.disconnect()
            self.session_of(f"s{version}", version, clean=True).disconnect()

    def test_will(self):
        for version in VERSIONS:
            topic = self.topic(f"will{version}")
            watcher = self.session_of(f"w{version}", version)
            watcher.subscribe(topic, 1)
            mortal = self.session_of(f"m{version}", version, will=(topic, "dead", 1))
            mortal.vanish()
            self.assertEqual(watcher.message().payload, b"dead")

    def test_properties_and_options_of_5(self):
        topic = self.topic("props")
        reader = self.session_of("r", paho.MQTTv5)
        properties = Properties(PacketTypes.SUBSCRIBE)
        properties.SubscriptionIdentifier = 17
        options = SubscribeOptions(qos=2, noLocal=True, retainAsPublished=True,
                                   retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        reader.subscribe(topic, options=options, properties=properties)
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("a", "1"), ("a", "2")]
        properties.ContentType = "type"
        properties.CorrelationData = b"\0\1"
        properties.ResponseTopic = "answer"
        properties.MessageExpiryInterval = 100
        reader.publish(topic, "own", 1)
        writer = self.session_of("w", paho.MQTTv5)
        writer.publish(topic, "x", 2, True, properties=properties)
        got = reader.message()
        self.assertEqual((got.payload, got.qos, got.retain), (b"x", 2, 1))
        self.assertEqual(got.properties.UserProperty, [("a", "1"), ("a", "2")])
        self.assertEqual(got.properties.SubscriptionIdentifier, [17])
        self.assertEqual(got.properties.ContentType, "type")
        self.assertEqual(got.properties.CorrelationData, b"\0\1")
        self.assertEqual(got.properties.ResponseTopic, "answer")
        writer.publish(topic, b"", 1, True)

    def test_many_messages_in_flight(self):
        for version in VERSIONS[1:]:
            topic = self.topic(f"many{version}")
            reader = self.session_of(f"r{version}", version)
            reader.subscribe(topic, 2)
            writer = self.session_of(f"w{version}", version)
            for qos in range(3):
                infos = [writer.client.publish(topic, f"{i}", qos) for i in range(500)]
                for info in infos:
                    info.wait_for_publish(ARRIVAL_S)
                seen = [int(reader.message().payload) for _ in range(500)]
                self.assertEqual(seen, list(range(500)))


if __name__ == "__main__":
    main()
