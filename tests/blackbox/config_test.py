#!/usr/bin/python3 -B
"""The configuration as the binary reads it, its command line, and its signals."""

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import files, mqtt
from support.client import ARRIVAL_S, Closed
from support.mqtt import V31, V311, V5, VERSIONS
from support.suite import BrokerTest, main


class ConfigTest(BrokerTest):
    def checked(self, text, *args):
        """What --test-config says of a file with this text."""
        target = self.own_broker(text, bare=True, start=False)
        target.stop = target.discard
        return target.run("--test-config", "-c", target.config_path, *args)

    def assert_refused(self, text, line, *words):
        done = self.checked(text)
        self.assertNotEqual(done.returncode, 0, done.text)
        self.assertRegex(done.text, rf"millrace\.conf:{line}: error: ")
        for word in words:
            self.assertIn(word, done.text)


class CommandLine(ConfigTest):
    def run_binary(self, *args):
        target = self.own_broker("", bare=True, start=False)
        target.stop = target.discard
        return target.run(*args)

    def test_version(self):
        done = self.run_binary("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.text, r"^millrace version \d+\.\d+\.\d+\n$")

    def test_help(self):
        done = self.run_binary("--help")
        self.assertEqual(done.returncode, 0)
        for option in ("-c", "-p", "-v", "--test-config", "--version"):
            self.assertIn(option, done.text)

    def test_unknown_option(self):
        for args in (("--bogus",), ("-z",), ("--prot", "1"), ("extra",), ("-c",), ("-p", "x"),
                     ("-p", "65536"), ("--workers", "-1")):
            done = self.run_binary(*args)
            self.assertNotEqual(done.returncode, 0, args)
            self.assertIn("millrace: ", done.text)
        self.assertIn("--port", self.run_binary("--prot", "1").text)

    def test_a_backend_of_another_system_is_refused(self):
        target = self.own_broker("io_backend iocp\nlistener {port}\n", bare=True, start=False)
        target.stop = target.discard
        for args in ((), ("--test-config",)):
            done = target.run("-c", target.config_path, *args)
            self.assertNotEqual(done.returncode, 0, done.text)
            self.assertIn("io_backend iocp: not on this system", done.text)

    def test_missing_file(self):
        done = self.run_binary("-c", "/nonexistent/millrace.conf")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/nonexistent/millrace.conf", done.text)

    def test_port_alone_serves_this_machine(self):
        """Local-only mode: no file, anonymous clients, the loopback addresses."""
        # `user` opens no listener; a container's root cannot become another.
        args = ("-p", "{port}", "-c", "{dir}/millrace.conf")
        target = self.own_broker("user root\n", bare=True, args=args)
        self.connect(broker=target).ping()
        target.wait_for_log("Only this machine can connect")

    def test_verbose_logs_more(self):
        args = ("-v", "-p", "{port}", "-c", "{dir}/millrace.conf")
        target = self.own_broker("user root\n", bare=True, args=args)
        client = self.connect(broker=target)
        client.subscribe(self.topic("logged"))
        target.wait_for_log(re.escape(self.topic("logged")))

    def test_port_of_the_command_line_wins(self):
        target = self.own_broker(
            "port 1\nallow_anonymous true\nbind_address 127.0.0.1\nuser root\n", bare=True,
            args=("-c", "{dir}/millrace.conf", "-p", "{port}"),
        )
        self.connect(broker=target).ping()

    def test_port_in_use(self):
        first = self.own_broker()
        config = f"listener {first.port} 127.0.0.1\n"
        second = self.own_broker(config, bare=True, start=False)
        second.stop = second.discard
        second.start(wait=False)
        self.assertNotEqual(second.wait(), 0)
        self.assertIn(f"{first.port}", second.log())

    def test_daemon(self):
        target = self.own_broker(
            "listener {port} 127.0.0.1\nallow_anonymous true\npid_file {dir}/pid\nuser root\n",
            bare=True, start=False, args=("-d", "-c", "{dir}/millrace.conf"),
        )
        target.stop = target.discard
        target.start(wait=False)
        self.assertEqual(target.wait(), 0)
        pid = int((target.folder / "pid").read_text())
        try:
            self.connect(broker=target).ping()
        finally:
            os.kill(pid, signal.SIGTERM)
        self.await_value(False, lambda: (target.folder / "pid").exists(), "pid file")


class Dialect(ConfigTest):
    def test_good_file(self):
        done = self.checked("# a comment\n\nlistener 1883 127.0.0.1\n  allow_anonymous\ttrue  \n")
        self.assertEqual(done.returncode, 0, done.text)
        self.assertIn("OK", done.text)

    def test_printed_configuration_reads_as_the_same(self):
        text = (
            "listener 1883 127.0.0.1\nmax_connections 7\nmount_point m/\nlistener 1884 ::1\n"
            "allow_anonymous true\nmax_queued_messages 5\nslow_consumer_policy drop-oldest\n"
            "clientid_prefixes a-\nlog_type all\npersistent_client_expiration 2h\n"
        )
        target = self.own_broker(text, bare=True, start=False)
        target.stop = target.discard
        first = self.printed(target)
        target.config_path.write_bytes(first)
        second = self.printed(target)
        self.assertEqual(first, second)
        for line in ("max_connections 7", "max_queued_messages 5", "clientid_prefixes a-"):
            self.assertIn(line, first.decode().splitlines())

    @staticmethod
    def printed(target):
        command = target.command("--print-config", "-c", target.config_path)
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        ).stdout

    def test_errors_name_file_and_line(self):
        misspelt = "listener 1883\nallow_anonimous true\n"
        self.assert_refused(misspelt, 2, "did you mean allow_anonymous")
        self.assert_refused("\n# x\nmax_qos 3\n", 3, "max_qos", "0 to 2", "3")
        self.assert_refused("listener\n", 1, "listener")
        self.assert_refused("listener 99999\n", 1, "99999")
        self.assert_refused("listener x\n", 1, "x")
        self.assert_refused("allow_anonymous yes\n", 1, "allow_anonymous", "true")
        self.assert_refused("max_inflight_messages many\n", 1, "many")
        self.assert_refused("log_dest nowhere\n", 1, "stderr")
        self.assert_refused("log_type everything\n", 1, "all")
        self.assert_refused("slow_consumer_policy drop-new\n", 1, "did you mean drop-newest")
        self.assert_refused("persistent_client_expiration 5x\n", 1, "5x")
        self.assert_refused("receive_maximum 0\n", 1, "receive_maximum")
        self.assert_refused("listener 1883\nmount_point a/#\n", 2, "mount_point")
        self.assert_refused("listener 1883\nprotocol websockets\n", 2, "protocol: WebSockets")

    def test_all_errors_of_a_file_at_once(self):
        done = self.checked("max_qos 7\nbogus 1\nlog_type x\n")
        for line in (1, 2, 3):
            self.assertRegex(done.text, rf"millrace\.conf:{line}: error: ")

    def test_unsupported_directives_are_refused_by_name(self):
        for directive in ("persistence true", "cafile x", "certfile x", "keyfile x", "psk_file x",
                          "plugin x.so", "auth_plugin x", "connection bridge", "topic # both",
                          "websockets_log_level 1", "require_certificate true"):
            with self.subTest(directive=directive):
                self.assert_refused(f"listener 1883\n{directive}\n", 2, directive.split()[0])

    def test_harmless_values_of_unsupported_directives(self):
        done = self.checked("persistence false\n")
        self.assertEqual(done.returncode, 0, done.text)

    def test_equal_listeners(self):
        done = self.checked("listener 1883 127.0.0.1\nlistener 1883 127.0.0.1\n")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("1883", done.text)

    def test_nobody_can_connect_is_warned_of(self):
        done = self.checked("listener 1883\n")
        self.assertEqual(done.returncode, 0)
        self.assertIn("warning", done.text)
        self.assertIn("allow_anonymous", done.text)

    def test_osv_2024_314_lines_that_break_parsers(self):
        for text in (
            "x" * (1 << 20), "listener " + "1" * 100000, "clientid_prefixes " + "a" * 200000,
            "max_qos " + " " * 100000 + "1", "\0\0\0", "listener 1883\0 x", "\xff\xfe",
            "log_dest file " + "/" * 5000, "password_file", "include_dir {dir}",
            "a" * 100 + "\n" * 9999,
            "allow_anonymous true", "\r\nallow_anonymous true\r\n",
        ):
            done = self.checked(text)
            self.assertIn(done.returncode, (0, 1), text[:50])

    def test_include_dir(self):
        target = self.own_broker("include_dir {dir}/conf.d\n", bare=True, start=False)
        (target.folder / "conf.d").mkdir()
        target.file("conf.d/a.conf", "listener {port} 127.0.0.1\nuser root\n")
        target.file("conf.d/b.conf", "allow_anonymous true\n")
        target.file("conf.d/ignored.txt", "nonsense\n")
        target.start()
        self.connect(broker=target).ping()
        target.file("conf.d/c.conf", "\nnonsense here\n")
        done = target.run("--test-config", "-c", target.config_path)
        self.assertRegex(done.text, r"c\.conf:2: error: ")

    def test_start_with_a_broken_file_fails(self):
        target = self.own_broker("bogus true\n", bare=True, start=False)
        target.stop = target.discard
        target.start(wait=False)
        self.assertNotEqual(target.wait(), 0)
        self.assertRegex(target.log(), r"millrace\.conf:1: error: ")


class Listeners(ConfigTest):
    def test_unix_socket(self):
        target = self.own_broker("listener 0 {dir}/socket\n")
        path = str(target.folder / "socket")
        client = self.connect(address=path)
        client.subscribe(self.topic("x"), qos=1)
        self.connect(broker=target).publish(self.topic("x"), "from TCP", qos=1)
        client.message(self.topic("x"), "from TCP")
        client.publish(self.topic("x"), "y" * 300000, qos=2)
        client.message(self.topic("x"), "y" * 300000)

    def test_unix_socket_left_behind_is_replaced(self):
        target = self.own_broker("listener 0 {dir}/socket\n", start=False)
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(target.folder / "socket"))
        target.start()
        self.connect(address=str(target.folder / "socket")).ping()

    def test_ipv6(self):
        target = self.own_broker("listener {port2} ::1\n")
        client = self.connect(address=("::1", target.port2))
        client.subscribe(self.topic("x"))
        self.connect(broker=target).publish(self.topic("x"), "six")
        client.message(self.topic("x"), "six")

    def test_several_listeners_share_their_clients(self):
        target = self.own_broker("listener {port2} 127.0.0.1\n")
        first = self.session("both", broker=target)
        first.subscribe(self.topic("x"), qos=1)
        second = self.session("both", address=(target.host, target.port2))
        self.assertTrue(second.connack.session_present)
        first.expect_end(0x8E)

    def test_max_connections(self):
        target = self.own_broker("max_connections 3\n")
        clients = []
        self.await_value(3, lambda: self.fill(target, clients, 3), "connections")
        for version in VERSIONS:
            extra = self.open(version, target)
            extra.send_quietly(mqtt.connect("extra", version))
            try:
                got = extra.receive()
                self.assertEqual(got.kind, mqtt.CONNACK)
                self.assertNotEqual(got.reason, 0)
                extra.expect_close()
            except Closed:
                pass
        for client in clients:
            client.ping()
        clients.pop().disconnect()
        self.await_value(3, lambda: self.fill(target, clients, 3), "connections")

    def fill(self, target, clients, wanted):
        """Adds clients up to `wanted`; returns how many there are. A connection that has
        just ended may count for another moment, also the one that probed the port."""
        while len(clients) < wanted:
            client = self.open(broker=target)
            try:
                client.send(mqtt.connect(""))
                if client.receive().reason != 0:
                    break
            except (Closed, OSError):
                break
            clients.append(client)
        return len(clients)

    def test_mount_point(self):
        target = self.own_broker("mount_point inner/\nlistener {port2} 127.0.0.1\n")
        inner = self.connect(broker=target)
        outer = self.connect(address=(target.host, target.port2))
        outer.subscribe("#", qos=1)
        inner.subscribe("a/+", "$share/g/s", qos=1)
        inner.publish("a/b", "up", qos=1)
        outer.message("inner/a/b", "up")
        inner.message("a/b", "up")
        outer.publish("inner/a/c", "down", qos=1)
        inner.message("a/c", "down")
        outer.message("inner/a/c", "down")
        outer.publish("a/d", "elsewhere", qos=1)
        outer.message("a/d", "elsewhere")
        inner.expect_nothing()
        outer.publish("inner/s", "shared", qos=1)
        outer.message("inner/s", "shared")
        inner.message("s", "shared")
        inner.unsubscribe("a/+")
        will = mqtt.Will("a/will", "dead", 1)
        self.connect(broker=target, will=will).close()
        outer.message("inner/a/will", "dead")
        inner.publish("kept", "x", qos=1, retain=True)
        outer.message("inner/kept", "x")
        late = self.connect(broker=target)
        late.subscribe("kept", qos=1)
        late.message("kept", "x", retain=True)

    def test_max_topic_alias_of_each_listener(self):
        target = self.own_broker(
            "max_topic_alias 5\nlistener {port2} 127.0.0.1\nmax_topic_alias 0\n"
        )
        connack = self.connect(broker=target).connack
        self.assertEqual(connack.prop(mqtt.TOPIC_ALIAS_MAXIMUM), 5)
        connack = self.connect(address=(target.host, target.port2)).connack
        self.assertEqual(connack.prop(mqtt.TOPIC_ALIAS_MAXIMUM, 0), 0)

    def test_use_username_as_clientid(self):
        target = self.own_broker("use_username_as_clientid true\n")
        first = self.open(broker=target)
        first.connect("one", user="same")
        second = self.open(broker=target)
        second.connect("two", user="same")
        first.expect_end(0x8E)
        anonymous = self.open(broker=target)
        anonymous.send(mqtt.connect("three"))
        self.assertNotEqual(anonymous.expect(mqtt.CONNACK).reason, 0)


class Rules(ConfigTest):
    def test_anonymous_is_not_allowed_by_default(self):
        target = self.own_broker("allow_anonymous false\n")
        for version, code in ((V31, 5), (V311, 5), (V5, 0x87)):
            client = self.open(version, target)
            client.connect(self.client_id(), code=code)
            client.expect_close()

    def test_clientid_prefixes(self):
        target = self.own_broker("clientid_prefixes dev-\nclientid_prefixes test-\n")
        for version in VERSIONS:
            cases = {"dev-1": True, "test-1": True, "other": False, "dev": False}
            for client_id, good in cases.items():
                client = self.open(version, target)
                client.send(mqtt.connect(client_id, version))
                got = client.expect(mqtt.CONNACK)
                codes = (0x85, 0x87) if version == V5 else (2, 5)
                if good:
                    self.assertEqual(got.reason, 0)
                    client.disconnect()
                else:
                    self.assertIn(got.reason, codes)
                    client.expect_close()

    def test_zero_length_client_ids_may_be_forbidden(self):
        target = self.own_broker("allow_zero_length_clientid false\n")
        for version, codes in ((V311, (2,)), (V5, (0x85,))):
            client = self.open(version, target)
            client.send(mqtt.connect("", version))
            self.assertIn(client.expect(mqtt.CONNACK).reason, codes)

    def test_auto_id_prefix(self):
        target = self.own_broker("auto_id_prefix plant7-\n")
        connack = self.open(broker=target).connect("")
        self.assertTrue(connack.prop(mqtt.ASSIGNED_CLIENT_IDENTIFIER).startswith("plant7-"))

    def test_message_size_limit(self):
        """Larger payloads are acknowledged and not delivered."""
        target = self.own_broker("message_size_limit 100\n")
        client = self.connect(broker=target)
        client.subscribe(self.topic("x"), qos=1)
        publisher = self.connect(version=V311, broker=target)
        for size in (101, 5000):
            publisher.publish(self.topic("x"), "x" * size, qos=1)
        publisher.publish(self.topic("x"), "x" * 100, qos=1)
        client.message(payload="x" * 100)
        client.expect_nothing()

    def test_upgrade_outgoing_qos(self):
        target = self.own_broker("upgrade_outgoing_qos true\n")
        client = self.connect(broker=target)
        client.subscribe(self.topic("x"), qos=2)
        client.publish(self.topic("x"), "x", qos=0)
        client.message(payload="x", qos=2)

    def test_queue_qos0_messages(self):
        target = self.own_broker("queue_qos0_messages true\n")
        client = self.session("q0", broker=target)
        client.subscribe(self.topic("x"), qos=0)
        client.disconnect()
        publisher = self.connect(broker=target)
        for index in range(5):
            publisher.publish(self.topic("x"), f"{index}")
        publisher.ping()
        client = self.session("q0", broker=target)
        for index in range(5):
            client.message(payload=f"{index}", qos=0)

    def test_max_inflight_messages(self):
        target = self.own_broker("max_inflight_messages 3\n")
        client = self.connect(broker=target)
        client.subscribe(self.topic("x"), qos=1)
        publisher = self.connect(broker=target)
        for index in range(6):
            publisher.publish(self.topic("x"), f"{index}", qos=1)
        client.messages(3, acknowledge=False)
        client.expect_nothing()

    def test_max_subscriptions_per_client(self):
        target = self.own_broker("max_subscriptions_per_client 3\n")
        client = self.connect(broker=target)
        client.subscribe("a", "b", "c", "d", codes=[0, 0, 0, 0x97])
        client.subscribe("a", "e", codes=[0, 0x97])
        client.unsubscribe("b")
        client.subscribe("e")

    def test_persistent_client_expiration(self):
        target = self.own_broker("persistent_client_expiration 1s\n", start=False)
        done = target.run("--test-config", "-c", target.config_path)
        if done.returncode != 0:
            self.skipTest("seconds are no unit here")
        target.start()
        self.session("gone", broker=target).disconnect()
        time.sleep(3.5)
        self.assertFalse(self.session("gone", broker=target).connack.session_present)

    def test_retained_limits(self):
        target = self.own_broker("max_retained_messages 3\nsys_interval 0\n")
        publisher = self.connect(broker=target)
        for index in range(6):
            publisher.publish(self.topic(f"{index}"), "x", qos=1, retain=True)
        client = self.connect(broker=target)
        client.subscribe(self.topic("+"), qos=1)
        self.assertEqual(len(client.messages(3)), 3)
        client.expect_nothing()
        # Replacing and clearing go on.
        publisher.publish(self.topic("0"), "new", qos=1, retain=True)
        client.message(self.topic("0"), "new")
        publisher.publish(self.topic("0"), "", qos=1, retain=True)
        client.message(self.topic("0"), "")


class Process(ConfigTest):
    def test_signals_end_it_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            target = self.own_broker()
            clients = [self.connect(version=v, broker=target) for v in VERSIONS]
            target.send_signal(number)
            self.assertEqual(target.wait(), 0)
            for client in clients:
                client.expect_end(0x8B)
            target.check_log()
            target.stop = target.discard

    def test_stop_while_connections_are_dealt_out(self):
        """Of a unix socket, by one worker to all: none may come behind the end of the others."""
        for _ in range(5):
            target = self.own_broker(
                "listener 0 {dir}/socket\nconnect_timeout 3600\nworkers 4\n"
            )
            path = str(target.folder / "socket")
            lasting = [self.connect(broker=target) for _ in range(8)]
            opened = []

            def storm(path=path, opened=opened):
                try:
                    while len(opened) < 800:
                        connection = socket.socket(socket.AF_UNIX)
                        opened.append(connection)
                        connection.connect(path)
                except OSError:
                    pass

            threads = [threading.Thread(target=storm) for _ in range(2)]
            for thread in threads:
                thread.start()
            time.sleep(0.02)
            target.send_signal(signal.SIGTERM)
            self.assertEqual(target.wait(), 0)
            for thread in threads:
                thread.join()
            for connection in opened + lasting:
                connection.close()
            target.check_log()
            target.stop = target.discard

    def test_state_on_sigusr1(self):
        target = self.own_broker()
        client = self.session("inspected", broker=target)
        client.subscribe("a", "b")
        target.send_signal(signal.SIGUSR1)
        found = target.wait_for_log(rf"session {self.client_id('inspected')}: .*")
        self.assertIn("connected", found.group(0))
        self.assertIn("2 subscriptions", found.group(0))

    def test_pid_file(self):
        target = self.own_broker("pid_file {dir}/pid\n")
        path = target.folder / "pid"
        # Written once the port is open.
        self.await_value(
            f"{target.pid}\n", lambda: path.exists() and path.read_text(), "process id"
        )
        target.send_signal(signal.SIGTERM)
        self.assertEqual(target.wait(), 0)
        self.assertFalse(path.exists())
        target.stop = target.discard

    def test_pid_file_of_a_running_broker_survives_a_second_start(self):
        first = self.own_broker("pid_file {dir}/pid\n")
        path = first.folder / "pid"
        self.await_value(
            f"{first.pid}\n", lambda: path.exists() and path.read_text(), "process id"
        )
        second = self.own_broker(start=False)
        second.stop = second.discard
        second.config_path = first.config_path
        second.start(wait=False)
        self.assertNotEqual(second.wait(), 0)
        self.assertEqual(path.read_text(), f"{first.pid}\n")

    def test_log_file_is_opened_again(self):
        target = self.own_broker("log_dest file {dir}/broker.log\n")
        path = target.folder / "broker.log"
        self.await_value(True, path.exists, "log file")
        path.rename(target.folder / "old.log")
        target.reload()
        self.await_value(True, path.exists, "log file")
        self.connect("after", broker=target)
        self.await_value(lambda text: self.client_id("after") in text, path.read_text, "log file")

    def test_log_to_a_topic(self):
        target = self.own_broker("log_dest topic\n")
        client = self.connect(broker=target)
        client.subscribe("$SYS/broker/log/#")
        self.connect("seen", broker=target).disconnect()
        deadline = time.monotonic() + ARRIVAL_S
        while time.monotonic() < deadline:
            got = client.message()
            if self.client_id("seen").encode() in got.payload:
                return
        self.fail("no such line")

    def test_client_ids_cannot_forge_log_lines(self):
        target = self.own_broker()
        for text in ("x\n1700000000: Forged line", "\x1b[31mred", "a\rb", "\u2028c"):
            client = self.open(broker=target)
            client.send_quietly(mqtt.connect(text, user=text))
            client.send_quietly(mqtt.subscribe(1, [(text, 0)]))
            try:
                client.receive()
            except Closed:
                pass
            client.close()
        time.sleep(0.3)
        self.assertNotRegex(target.log(), r"(?m)^1700000000: Forged|\x1b|\r")

    def test_connections_are_logged(self):
        target = self.own_broker()
        client = self.connect("logged", broker=target)
        target.wait_for_log(f"New client connected from 127.0.0.1.*{self.client_id('logged')}")
        client.disconnect()
        target.wait_for_log(f"Client {self.client_id('logged')} disconnected")
        quiet = self.own_broker("connection_messages false\n")
        self.connect("quiet", broker=quiet).disconnect()
        time.sleep(0.2)
        self.assertNotIn(self.client_id("quiet"), quiet.log())

    def test_refusals_are_logged_with_their_reason(self):
        target = self.own_broker("allow_anonymous false\n")
        client = self.open(broker=target)
        client.connect("refused-1", 0x87)
        target.wait_for_log("refused")

    def test_root_becomes_another_user(self):
        # Bazel's sandbox has a root that is nobody outside of it, with no other users.
        with open("/proc/self/uid_map", encoding="ascii") as uid_map:
            users = int(uid_map.read().split()[2])
        if os.geteuid() != 0 or users == 1:
            self.skipTest("there is no root here")
        target = self.own_broker(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser nobody\n", bare=True
        )
        self.connect(broker=target).ping()
        with open(f"/proc/{target.pid}/status", encoding="ascii") as status:
            uids = re.search(r"^Uid:\s+(.*)$", status.read(), re.M).group(1).split()
        self.assertEqual(set(map(int, uids)), {pwd.getpwnam("nobody").pw_uid})

    def test_passwords_of_a_listener_and_reload_by_hup(self):
        target = self.own_broker("allow_anonymous false\npassword_file {dir}/passwd\n", start=False)
        target.file("passwd", files.password_file(alice="one"))
        target.start()
        self.connect(broker=target, user="alice", password="one").disconnect()
        target.file("passwd", files.password_file(alice="two"))
        target.reload()
        client = self.open(broker=target)
        client.connect("a", 0x86, user="alice", password="one")
        self.connect(broker=target, user="alice", password="two").ping()


if __name__ == "__main__":
    main()
