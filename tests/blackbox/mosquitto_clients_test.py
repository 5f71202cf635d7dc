#!/usr/bin/python3 -B
"""Mosquitto's command-line clients against the broker, in every version."""

import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import files, mqtt, wine
from support.client import ARRIVAL_S
from support.suite import BrokerTest, main

VERSIONS = ("mqttv31", "mqttv311", "mqttv5")
LONG_S = 60


class Subscriber:
    """A mosquitto_sub that has subscribed; its lines are collected."""

    def __init__(self, test, *args, program="mosquitto_sub"):
        self.lines, self.test = [], test
        self.ready = threading.Event()
        command = ["stdbuf", "-oL", program, "-d", "-F", "MSG %t|%q|%r|%p", *args]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        test.addCleanup(self.stop)
        if not self.ready.wait(LONG_S):
            test.fail(f"not subscribed: {command}: {self.output}")

    def read(self):
        self.output = []
        for line in self.process.stdout:
            self.output.append(line)
            if "received SUBACK" in line:
                self.ready.set()
            if line.startswith("MSG "):
                self.lines.append(line[4:].rstrip("\n"))
        self.ready.set()

    def wait(self):
        """Waits until it ends by itself; returns its exit code."""
        code = self.process.wait(LONG_S)
        self.thread.join()
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()


class ToolTest(BrokerTest):
    def setUp(self):
        super().setUp()
        self.target = self.broker

    def where(self):
        return ["-h", self.target.host, "-p", str(self.target.port)]

    def run_tool(self, program, *args, code=0, text=None):
        done = subprocess.run(
            [program, *self.where(), *args], input=text, capture_output=True, text=True,
            timeout=LONG_S, check=False,
        )
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(done.returncode, codes, f"{program} {args}: {done.stdout}{done.stderr}")
        return done.stdout

    def publish(self, topic, message, *args, **options):
        return self.run_tool("mosquitto_pub", "-t", topic, "-m", message, *args, **options)

    def subscribe(self, topic, *args):
        return Subscriber(self, *self.where(), "-t", topic, *args)


class Publishing(ToolTest):
    def test_each_version_and_qos_to_each_other(self):
        for receiver in VERSIONS:
            topic = self.topic(receiver)
            subscriber = self.subscribe(topic, "-V", receiver, "-q", "2", "-C", "9")
            wanted = []
            for sender in VERSIONS:
                for qos in "012":
                    self.publish(topic, f"{sender} {qos}", "-V", sender, "-q", qos)
                    wanted.append(f"{topic}|{qos}|0|{sender} {qos}")
            self.assertEqual(subscriber.wait(), 0)
            # It shows a QoS 2 message when that is complete, perhaps after a later one.
            self.assertEqual(sorted(subscriber.lines), sorted(wanted))

    def test_lines_and_files(self):
        topic = self.topic("lines")
        subscriber = self.subscribe(topic, "-q", "1", "-C", "300")
        lines = [f"line {i}" for i in range(300)]
        self.run_tool("mosquitto_pub", "-t", topic, "-q", "1", "-l", text="\n".join(lines) + "\n")
        self.assertEqual(subscriber.wait(), 0)
        self.assertEqual([line.split("|")[3] for line in subscriber.lines], lines)

    def test_repeat(self):
        topic = self.topic("repeat")
        subscriber = self.subscribe(topic, "-q", "2", "-C", "50")
        self.publish(topic, "again", "-q", "2", "--repeat", "50")
        self.assertEqual(subscriber.wait(), 0)
        self.assertEqual(len(subscriber.lines), 50)

    def test_large_message_from_a_file(self):
        path = self.target.folder / f"{self.unique}.bin"
        path.write_bytes(b"m" * 3_000_000)
        topic = self.topic("file")
        subscriber = self.subscribe(topic, "-q", "1", "-C", "1")
        self.run_tool("mosquitto_pub", "-t", topic, "-q", "1", "-f", str(path))
        self.assertEqual(subscriber.wait(), 0)
        self.assertEqual(len(subscriber.lines[0]), len(f"{topic}|1|0|") + 3_000_000)


class Subscribing(ToolTest):
    def test_retained(self):
        for version in VERSIONS:
            topic = self.topic(f"kept/{version}")
            self.publish(topic, "kept", "-V", version, "-q", "1", "-r")
            for reader in VERSIONS:
                out = self.run_tool("mosquitto_sub", "-t", topic, "-V", reader, "-q", "1", "-C",
                                    "1", "-F", "%t|%r|%p")
                self.assertEqual(out, f"{topic}|1|kept\n")
            self.run_tool("mosquitto_pub", "-t", topic, "-r", "-n", "-q", "1")
            self.run_tool("mosquitto_sub", "-t", topic, "-W", "1", "-C", "1", code=27)

    def test_removing_and_ignoring_retained_messages(self):
        topic = self.topic("stale")
        self.publish(topic, "stale", "-r", "-q", "1")
        self.run_tool("mosquitto_sub", "-t", topic, "-R", "-W", "1", code=27)
        # Those that it removes do not count for -C.
        self.run_tool("mosquitto_sub", "-t", topic, "--remove-retained", "-W", "1", code=27)
        self.run_tool("mosquitto_sub", "-t", topic, "-W", "1", code=27)

    def test_retained_only(self):
        topic = self.topic("only")
        self.publish(topic, "x", "-r", "-q", "1")
        out = self.run_tool("mosquitto_sub", "-V", "mqttv5", "-t", topic, "--retained-only", "-C",
                            "1", "-W", "10")
        self.assertEqual(out, "x\n")
        self.run_tool("mosquitto_pub", "-t", topic, "-r", "-n", "-q", "1")

    def test_timeout_without_messages(self):
        for version in VERSIONS:
            self.run_tool("mosquitto_sub", "-V", version, "-t", self.topic("quiet"), "-W", "1",
                          code=27)

    def test_wildcards_and_several_topics(self):
        base = self.topic("w")
        subscriber = Subscriber(self, *self.where(), "-t", f"{base}/+/x", "-t", f"{base}/#", "-T",
                                f"{base}/no", "-q", "1", "-C", "2")
        self.publish(f"{base}/no", "filtered by the client", "-q", "1")
        self.publish(f"{base}/a/y", "1", "-q", "1")
        self.publish(f"{base}/b", "2", "-q", "1")
        self.assertEqual(subscriber.wait(), 0)
        self.assertEqual([line.split("|")[3] for line in subscriber.lines], ["1", "2"])

    def test_unsubscribing(self):
        self.run_tool("mosquitto_sub", "-t", self.topic("x"), "-U", self.topic("x"), "-E")

    def test_sleeping_session(self):
        for version in VERSIONS:
            topic, name = self.topic(f"sleep/{version}"), self.client_id(version)
            expiry = ("-x", "100") if version == "mqttv5" else ()
            session = ("-V", version, "-c", "-i", name, "-q", "1", "-t", topic, *expiry)
            self.run_tool("mosquitto_sub", *session, "-E")
            for index in range(5):
                self.publish(topic, f"{index}", "-q", "1")
            out = self.run_tool("mosquitto_sub", *session, "-C", "5")
            self.assertEqual(out.split(), list("01234"))
            self.run_tool("mosquitto_sub", "-V", version, "-i", name, "-t", topic, "-E")

    def test_shared(self):
        topic = self.topic("shared")
        members = [
            Subscriber(self, *self.where(), "-V", "mqttv5", "-t", f"$share/g/{topic}", "-q", "1",
                       "-t", self.topic("end"), "-C", "1000")
            for _ in range(3)
        ]
        self.run_tool("mosquitto_pub", "-t", topic, "-q", "1", "-l",
                      text="".join(f"{i}\n" for i in range(60)))
        self.publish(self.topic("end"), "end", "-q", "1")

        def seen():
            return [line.split("|")[3] for member in members for line in member.lines]

        # There is no order between two publishers.
        self.await_value(3, lambda: seen().count("end"), "ends")
        self.await_value(63, lambda: len(seen()), "messages")
        numbers = sorted(int(text) for text in seen() if text != "end")
        self.assertEqual(numbers, list(range(60)))
        self.assertTrue(all(len(member.lines) > 1 for member in members))

    def test_no_local_and_retain_as_published(self):
        topic = self.topic("rap")
        subscriber = Subscriber(self, *self.where(), "-V", "mqttv5", "-t", topic, "-q", "1",
                                "--retain-as-published", "-C", "1")
        self.publish(topic, "x", "-r", "-q", "1", "-V", "mqttv5")
        self.assertEqual(subscriber.wait(), 0)
        self.assertEqual(subscriber.lines, [f"{topic}|1|1|x"])
        self.run_tool("mosquitto_pub", "-t", topic, "-r", "-n", "-q", "1")


class Wills(ToolTest):
    def test_will_of_a_killed_client(self):
        for version in VERSIONS:
            topic = self.topic(f"will/{version}")
            watcher = self.connect()
            watcher.subscribe(topic, qos=2)
            mortal = self.subscribe(self.topic("other"), "-V", version, "--will-topic", topic,
                                    "--will-payload", "dead", "--will-qos", "2")
            mortal.process.kill()
            watcher.message(topic, "dead", qos=2)

    def test_no_will_after_an_orderly_end(self):
        topic = self.topic("will")
        watcher = self.connect()
        watcher.subscribe(topic)
        self.publish(self.topic("x"), "x", "--will-topic", topic, "--will-payload", "dead")
        watcher.expect_nothing()


class Properties(ToolTest):
    def test_properties_arrive(self):
        topic = self.topic("props")
        watcher = self.connect()
        watcher.subscribe(topic, qos=1)
        self.publish(
            topic, "x", "-V", "mqttv5", "-q", "1",
            "-D", "publish", "content-type", "text/plain",
            "-D", "publish", "user-property", "key", "value",
            "-D", "publish", "response-topic", "answer",
            "-D", "publish", "correlation-data", "42",
            "-D", "publish", "message-expiry-interval", "500",
            "-D", "publish", "payload-format-indicator", "1",
            "-D", "connect", "session-expiry-interval", "0",
            "-D", "connect", "receive-maximum", "10",
            "-D", "connect", "maximum-packet-size", "100000",
        )
        got = watcher.message(topic, "x")
        self.assertEqual(got.prop(mqtt.CONTENT_TYPE), "text/plain")
        self.assertEqual(got.props(mqtt.USER_PROPERTY), [("key", "value")])
        self.assertEqual(got.prop(mqtt.RESPONSE_TOPIC), "answer")
        self.assertEqual(got.prop(mqtt.CORRELATION_DATA), b"42")
        self.assertEqual(got.prop(mqtt.PAYLOAD_FORMAT_INDICATOR), 1)

    def test_topic_alias(self):
        topic = self.topic("alias")
        watcher = self.connect()
        watcher.subscribe(topic, qos=1)
        self.run_tool("mosquitto_pub", "-V", "mqttv5", "-q", "1", "-t", topic, "-D", "publish",
                      "topic-alias", "3", "-m", "x", "--repeat", "3")
        for _ in range(3):
            watcher.message(topic, "x")

    def test_request_and_response(self):
        """mosquitto_rr asks, a service answers."""
        for version in VERSIONS[1:]:
            question, answer = self.topic(f"ask/{version}"), self.topic(f"answer/{version}")
            service = self.connect()
            service.subscribe(question, qos=1)
            command = ["mosquitto_rr", *self.where(), "-V", version, "-t", question, "-e", answer,
                       "-m", "how much?", "-q", "1", "-W", "30"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
                got = service.message(question, "how much?")
                if version == "mqttv5":
                    self.assertEqual(got.prop(mqtt.RESPONSE_TOPIC), answer)
                props = [p for p in got.properties if p[0] == mqtt.CORRELATION_DATA]
                service.publish(answer, "much", qos=1, props=props)
                self.assertEqual(asking.communicate(timeout=LONG_S)[0], "much\n")
                self.assertEqual(asking.returncode, 0)


class Access(ToolTest):
    def test_users(self):
        self.target = self.own_broker(
            "allow_anonymous false\npassword_file {dir}/passwd\nacl_file {dir}/acl\n", start=False
        )
        self.target.file("passwd", "")
        path = str(self.target.folder / "passwd")
        # The file of Mosquitto's own tool.
        subprocess.run(["mosquitto_passwd", "-b", path, "alice", "secret"], check=True)
        subprocess.run(["mosquitto_passwd", "-b", path, "bob", "hidden"], check=True)
        self.target.file("acl", "user alice\ntopic write a/#\nuser bob\ntopic read a/#\n")
        self.target.start()
        for version in VERSIONS:
            subscriber = Subscriber(self, *self.where(), "-V", version, "-u", "bob", "-P", "hidden",
                                    "-t", "a/#", "-q", "1", "-C", "1")
            self.publish("a/x", "yes", "-V", version, "-u", "alice", "-P", "secret", "-q", "1")
            self.assertEqual(subscriber.wait(), 0)
            self.assertEqual(subscriber.lines, ["a/x|1|0|yes"])
            refused, wrong = (135, (134, 135)) if version == "mqttv5" else (5, (4, 5))
            self.publish("a/x", "no", "-V", version, code=refused)
            self.publish("a/x", "no", "-V", version, "-u", "alice", "-P", "bad", code=wrong)

    def test_our_hashes_are_mosquittos(self):
        """What tests elsewhere rely on: files.password_line()."""
        self.target = self.own_broker(
            "allow_anonymous false\npassword_file {dir}/passwd\n", start=False
        )
        self.target.file("passwd", files.password_file(carol="c"))
        self.target.start()
        self.publish("x", "x", "-u", "carol", "-P", "c")

    def test_unix_socket(self):
        if wine.begun():
            self.skipTest("Windows has none")
        self.target = self.own_broker("listener 0 {dir}/socket\n")
        path = str(self.target.folder / "socket")
        watcher = self.connect(broker=self.target)
        watcher.subscribe("u", qos=1)
        done = subprocess.run(["mosquitto_pub", "--unix", path, "-t", "u", "-m", "x", "-q", "2"],
                              timeout=ARRIVAL_S, check=False)
        self.assertEqual(done.returncode, 0)
        watcher.message("u", "x")


if __name__ == "__main__":
    main()
