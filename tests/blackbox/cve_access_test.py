#!/usr/bin/python3 -B
"""Access rights that other brokers forgot to check: their CVEs, and what came after.

Who may connect, publish, subscribe and receive, with Mosquitto's password and ACL
files. Mosquitto's CVEs unless another broker is named.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import files, mqtt
from support.client import Closed
from support.mqtt import SESSION_EXPIRY_INTERVAL, V31, V311, V5, VERSIONS, Will
from support.suite import BrokerTest, main

USERS = files.password_file(alice="alice-pw", bob="bob-pw", admin="admin-pw")


class AccessTest(BrokerTest):
    def guarded(self, acl=None, passwords=USERS, extra="", **options):
        """A broker with these files."""
        config = extra
        if passwords is not None:
            config += "password_file {dir}/passwd\n"
        if acl is not None:
            config += "acl_file {dir}/acl\n"
        if "allow_anonymous" not in config:
            config += "allow_anonymous false\n"
        target = self.own_broker(config, start=False, **options)
        self.write(target, acl, passwords)
        target.start()
        self.target = target
        return target

    def write(self, target, acl=None, passwords=None):
        if passwords is not None:
            target.file("passwd", passwords)
        if acl is not None:
            target.file("acl", acl)

    def user(self, name, client_id=None, version=V5, **arguments):
        """A client of that user; its password is <user>-pw."""
        client = self.open(version, self.target)
        if name is not None:
            arguments.setdefault("password", f"{name}-pw")
        client.connect(client_id or self.client_id(name or "anon"), user=name, **arguments)
        return client

    def publish_refused(self, client, topic, **arguments):
        """To 5.0: 0x87, by PUBACK; [MQTT-3.3.5-2 of 3.1.1] wants the usual answer."""
        got = client.publish(topic, "forbidden", qos=1, **arguments)
        if client.version == V5:
            self.assertEqual(got.reason, 0x87)


class Passwords(AccessTest):
    def test_user_and_password(self):
        self.guarded()
        for version in VERSIONS:
            client = self.open(version, self.target)
            client.connect(self.client_id(), user="alice", password="alice-pw")
            for user, password in (
                ("alice", "wrong"), ("alice", ""), ("nobody", "alice-pw"), ("alice", "bob-pw"),
                ("ALICE", "alice-pw"), ("alice ", "alice-pw"), ("", ""),
            ):
                with self.subTest(version=version, user=user, password=password):
                    client = self.open(version, self.target)
                    code = 0x86 if version == V5 else 5
                    client.send(
                        mqtt.connect(self.client_id(), version, user=user, password=password)
                    )
                    got = client.expect(mqtt.CONNACK)
                    self.assertIn(got.reason, (code, 0x87 if version == V5 else 4))
                    client.expect_close()

    def test_anonymous_clients_are_refused(self):
        self.guarded()
        for version in VERSIONS:
            client = self.open(version, self.target)
            client.connect(self.client_id(), code=0x87 if version == V5 else 5)
            client.expect_close()

    def test_rabbitmq_cve_2016_9877_user_name_without_password(self):
        self.guarded()
        for version in VERSIONS:
            client = self.open(version, self.target)
            client.send(mqtt.connect(self.client_id(), version, user="alice"))
            self.assertNotEqual(client.expect(mqtt.CONNACK).reason, 0)
            client.expect_close()

    def test_password_is_binary_and_may_be_long(self):
        password = "ü" * 200
        self.guarded(passwords=files.password_line("alice", password))
        self.user("alice", password=password).ping()
        client = self.open(V5, self.target)
        client.connect(self.client_id(), 0x86, user="alice", password=b"\0\xff")
        client = self.open(V5, self.target)
        client.connect(self.client_id(), 0x86, user="alice", password=b"x" * 65535)

    def test_older_hashes(self):
        self.guarded(passwords=files.sha512_line("alice", "alice-pw"))
        self.user("alice").ping()
        client = self.open(V5, self.target)
        client.connect(self.client_id(), 0x86, user="alice", password="other")

    def test_cve_2018_12551_malformed_password_lines(self):
        """A line that is no user with a hash must not be one without a password:
        the broker refuses the file, or whoever comes by that name."""
        for line in ("mallory\n", "mallory:\n", "mallory:plain\n", ":\n", "mallory:$6$\n",
                     "mallory:$7$101$\n", "mallory:$7$0$AAAA$\n", "mallory:$6$AAAA$\n",
                     "mallory:$7$101$AAAA$\n", "mallory:$9$AAAA$AAAA\n"):
            with self.subTest(line=line):
                target = self.own_broker("password_file {dir}/passwd\nallow_anonymous false\n",
                                         start=False)
                target.file("passwd", USERS + line)
                target.stop = target.discard  # It may refuse to start, as it should.
                done = target.run("-c", target.config_path, "--test-config")
                if done.returncode != 0:
                    self.assertRegex(done.text, r"passwd:4")
                    continue
                target.start()
                self.target = target
                for password in (None, "", "plain"):
                    client = self.open(V5, target)
                    client.send(mqtt.connect("m", user="mallory", password=password))
                    self.assertNotEqual(client.expect(mqtt.CONNACK).reason, 0)
                self.user("alice").ping()

    def test_many_logins_at_once(self):
        """Hashing is slow; others go on, and the packets behind CONNECT wait."""
        self.guarded(passwords=files.password_line("alice", "alice-pw", 20000))
        opened = [self.open(V5, self.target) for _ in range(30)]
        for index, client in enumerate(opened):
            client.send(
                mqtt.connect(self.client_id(f"{index}"), user="alice", password="alice-pw"),
                mqtt.subscribe(1, [(self.topic("x"), 0)]),
                mqtt.pingreq(),
            )
        for client in opened:
            client.expect(mqtt.CONNACK, reason=0)
            client.expect(mqtt.SUBACK)
            client.expect(mqtt.PINGRESP)

    def test_waiting_for_the_check_is_not_the_clients_silence(self):
        """It has sent its CONNECT in time; connect_timeout is for those who have not."""
        passwords = files.password_line("alice", "alice-pw", 100000)
        self.guarded(passwords=passwords, extra="connect_timeout 1\n")
        opened = [self.open(V5, self.target) for _ in range(30)]
        for index, client in enumerate(opened):
            name = self.client_id(f"{index}")
            client.send(mqtt.connect(name, user="alice", password="alice-pw"))
        for client in opened:
            client.arrival_s = 120
            client.expect(mqtt.CONNACK, reason=0)

    def test_connections_that_go_while_their_password_is_checked(self):
        self.guarded(passwords=files.password_line("alice", "alice-pw", 20000))
        for index in range(40):
            client = self.open(V5, self.target)
            client.send(mqtt.connect(f"gone{index % 3}", user="alice", password="alice-pw"))
            client.close()
        self.user("alice").ping()


class Topics(AccessTest):
    ACL = """
topic read public/#
user alice
topic readwrite alice/#
topic write drop/box
topic deny alice/secret
user bob
topic read alice/#
topic readwrite bob/#
user admin
topic readwrite #
topic read $SYS/#
pattern readwrite clients/%c/#
pattern readwrite users/%u/#
"""

    def setUp(self):
        super().setUp()
        self.guarded(self.ACL)
        self.admin = self.user("admin")
        self.admin.subscribe("#", qos=1)

    def assert_nothing_came(self):
        self.admin.expect_nothing(0.1)

    def test_publishing(self):
        for version in VERSIONS:
            alice = self.user("alice", version=version)
            alice.publish("alice/x", "fine", qos=1)
            self.admin.message("alice/x", "fine")
            for topic in ("bob/x", "public/x", "alice/secret", "x", "$SYS/x", "users/bob/x"):
                self.publish_refused(alice, topic)
                self.assert_nothing_came()
            alice.ping()

    def test_refused_qos_2_and_qos_0(self):
        alice = self.user("alice")
        got = alice.publish("bob/x", "no", qos=2)
        self.assertEqual(got.reason, 0x87)
        alice.publish("bob/x", "no", qos=0)
        alice.ping()
        alice = self.user("alice", version=V311)
        alice.publish("bob/x", "no", qos=2)
        self.assert_nothing_came()

    def test_delivery_is_checked_message_by_message(self):
        """NanoMQ CVE-2024-42655: a wildcard must not go around the rights."""
        for version in (V311, V5):
            bob = self.user("bob", version=version)
            # Granted or not, what bob may not read must not come.
            for text in ("#", "+/x", "alice/x", "+/+", "bob/#"):
                packet_id = bob.next_id()
                bob.send(mqtt.subscribe(packet_id, [(text, 1)], version=version))
                bob.wait_for(mqtt.SUBACK, packet_id=packet_id)
            # "alice" is covered by alice/#, section 4.7.1.2.
            allowed = {"alice/x", "bob/x", "users/bob/x", "alice"}
            for topic in (*allowed, "private/x", "drop/box", "users/alice/x"):
                self.admin.publish(topic, topic, qos=1)
            self.admin.publish("bob/end", "end", qos=1)
            seen = set()
            while "bob/end" not in seen:
                seen.add(bob.message().topic)
            self.assertLessEqual(seen, {*allowed, "bob/end"})
            self.assertLessEqual({"alice/x", "bob/x"}, seen)
            bob.close()

    def test_subscribing_to_what_can_never_be_read(self):
        alice = self.user("alice")
        # "public" stands before any user: that is for anonymous clients alone.
        alice.subscribe("bob/#", "private", "alice/#", "public/x", codes=[0x87, 0x87, 0, 0x87])
        old = self.user("alice", version=V311)
        old.subscribe("bob/#", "alice/x", codes=[0x80, 0])

    def test_shared_subscriptions_are_checked_like_others(self):
        alice = self.user("alice")
        alice.subscribe("$share/g/bob/#", "$share/g/alice/#", codes=[0x87, 0])
        self.admin.publish("alice/x", "yes", qos=1)
        alice.message("alice/x", "yes")

    def test_retained_messages_are_checked(self):
        """NATS 2026-26: replay of retained messages skipped the rules."""
        for topic in ("alice/keep", "alice/secret", "private/keep", "public/keep"):
            self.admin.publish(topic, "kept", qos=1, retain=True)
        alice = self.user("alice")
        alice.send(mqtt.subscribe(1, [("#", 1), ("alice/#", 1), ("public/+", 1)]))
        alice.wait_for(mqtt.SUBACK)
        seen = set()
        while True:
            got = alice.receive(0.5)
            if got is None:
                break
            alice.acknowledge(got)
            seen.add(got.topic)
        self.assertEqual(seen, {"alice/keep"})

    def test_wills_are_checked(self):
        """A will to a forbidden topic, $CONTROL among them, is refused or not published."""
        for topic in ("bob/x", "$CONTROL/dynamic-security/v1", "$SYS/broker/uptime", "public/x"):
            client = self.open(V5, self.target)
            client.send(mqtt.connect("w", user="alice", password="alice-pw", will=Will(topic, "x")))
            client.expect(mqtt.CONNACK)
            client.close()
        self.assert_nothing_came()
        alice = self.user("alice", will=Will("alice/will", "dead"))
        alice.close()
        self.admin.message("alice/will", "dead")

    def test_nats_cve_2026_33217_rules_hold_below_a_dollar(self):
        alice = self.user("alice")
        for topic in ("$MQTT/x", "$private/x", "$SYS/x", "$CONTROL/x", "$/x"):
            self.publish_refused(alice, topic)
            alice.subscribe(topic, codes=[0x87])
        self.assert_nothing_came()


class Patterns(AccessTest):
    ACL = "pattern readwrite id/%c/#\npattern readwrite user/%u/#\nuser admin\ntopic readwrite #\n"

    def setUp(self):
        super().setUp()
        self.names = ("+", "#", "+/a", "a/+", "a/#", "victim/#", "/", "$SYS")
        self.guarded(self.ACL, "".join(files.password_line(n, "pw") for n in (*self.names, "eve"))
                     + USERS)
        self.admin = self.user("admin")

    def test_own_place(self):
        eve = self.user("eve", "eve-1", password="pw")
        eve.subscribe("id/eve-1/#", "user/eve/+", codes=[0, 0])
        eve.subscribe("id/other/#", "user/other/x", codes=[0x87, 0x87])
        eve.publish("id/eve-1/x", "yes", qos=1)
        eve.message("id/eve-1/x", "yes")
        self.publish_refused(eve, "id/other/x")

    def test_cve_2017_7650_wildcards_in_identifier_and_user_name(self):
        """Also Moquette CVE-2026-85724."""
        for name in self.names:
            for user, client_id in ((name, "plain"), ("eve", name)):
                with self.subTest(user=user, client_id=client_id):
                    client = self.open(V5, self.target)
                    client.send(mqtt.connect(client_id, user=user, password="pw"))
                    if client.expect(mqtt.CONNACK).reason:
                        continue
                    filters = ["id/#", "user/#", "id/victim/x", "user/victim/x"]
                    client.send(mqtt.subscribe(1, [(f, 0) for f in filters]))
                    client.wait_for(mqtt.SUBACK)
                    for topic in ("id/victim/x", "user/victim/x", "id/a/x", "user/a/x"):
                        self.admin.publish(topic, "secret", qos=1)
                        self.publish_refused(client, topic)
                    client.expect_nothing(0.05)

    def test_nanomq_cve_2026_32696_no_user_name_where_a_pattern_wants_one(self):
        self.guarded(self.ACL, None, "allow_anonymous true\n")
        for version in VERSIONS:
            client = self.open(version, self.target)
            client.connect("anon")
            client.publish("user//x", "x", qos=1)
            client.publish("user/%u/x", "x", qos=1)
            client.send(mqtt.subscribe(1, [("user/#", 0), ("id/anon/#", 0)], version=version))
            codes = client.wait_for(mqtt.SUBACK).codes
            self.assertGreaterEqual(codes[0], 0x80)
            self.assertEqual(codes[1], 0)
            client.ping()
            client.close()


class Files(AccessTest):
    def test_cve_2018_12550_empty_acl_file_allows_nothing(self):
        for acl in ("", "\n", "# only a comment\n"):
            self.guarded(acl)
            client = self.user("alice")
            self.publish_refused(client, "x")
            client.subscribe("x", codes=[0x87])

    def test_empty_password_file_knows_nobody(self):
        self.guarded(passwords="")
        client = self.open(V5, self.target)
        client.connect(self.client_id(), 0x86, user="alice", password="alice-pw")

    def test_cve_2018_20145_acl_of_one_listener(self):
        """per_listener_settings: each listener's files, and no others."""
        config = (
            "per_listener_settings true\nuser root\n"
            "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {dir}/acl\n"
            "listener {port2} 127.0.0.1\nallow_anonymous false\npassword_file {dir}/passwd\n"
        )
        target = self.own_broker(config, bare=True, start=False)
        target.file("acl", "topic read r/#\n")
        target.file("passwd", USERS)
        target.start()
        self.target = target
        reader = self.user(None)
        reader.subscribe("r/#", qos=1)
        self.publish_refused(reader, "r/x")
        second = (target.host, target.port2)
        refused = self.open(address=second)
        refused.connect("anon", code=0x87)
        writer = self.open(address=second)
        writer.connect("alice", user="alice", password="alice-pw")
        writer.publish("r/x", "yes", qos=1)
        reader.message("r/x", "yes")


class Reload(AccessTest):
    OTHERS = "user bob\ntopic readwrite a/#\nuser admin\ntopic #\n"
    OPEN = "user alice\ntopic readwrite a/#\n" + OTHERS
    NARROW = "user alice\ntopic readwrite a/own\n" + OTHERS

    def test_cve_2021_34434_subscription_survives_a_revoked_right(self):
        self.guarded(self.OPEN)
        alice, bob = self.user("alice"), self.user("bob")
        alice.subscribe("a/x", "a/own", qos=1)
        bob.publish("a/x", "before", qos=1)
        alice.message("a/x", "before")
        self.write(self.target, self.NARROW)
        self.target.reload()
        bob.publish("a/x", "after", qos=1)
        bob.publish("a/own", "own", qos=1)
        try:
            alice.message("a/own", "own")
            self.publish_refused(alice, "a/x")
        except Closed:
            pass  # Thrown out with its rights: as good.

    def test_waiting_messages_are_checked_when_they_go(self):
        """Rights revoked while messages waited for a client."""
        self.guarded(self.OPEN)
        props = [(SESSION_EXPIRY_INTERVAL, 300)]
        alice = self.user("alice", "a1", props=props)
        alice.subscribe("a/x", "a/own", qos=1)
        alice.disconnect()
        bob = self.user("bob")
        bob.publish("a/x", "forbidden", qos=1)
        bob.publish("a/own", "own", qos=1)
        self.write(self.target, self.NARROW)
        self.target.reload()
        alice = self.user("alice", "a1", clean=False, props=props)
        alice.message("a/own", "own")
        alice.expect_nothing()

    def test_cve_2018_12546_retained_message_and_revoked_rights(self):
        """What alice may no longer read does not come by a new subscription."""
        self.guarded(self.OPEN)
        self.user("bob").publish("a/x", "kept", qos=1, retain=True)
        self.write(self.target, self.NARROW)
        self.target.reload()
        alice = self.user("alice")
        alice.send(mqtt.subscribe(1, [("a/#", 1), ("a/x", 1)]))
        alice.wait_for(mqtt.SUBACK)
        alice.expect_nothing()

    def test_revoked_right_of_a_will(self):
        """Checked when it is published."""
        self.guarded(self.OPEN)
        bob = self.user("bob")
        bob.subscribe("a/#", qos=1)
        alice = self.user("alice", will=Will("a/x", "dead", 1))
        self.write(self.target, self.NARROW)
        self.target.reload()
        try:
            alice.close()
        except OSError:
            pass
        bob.expect_nothing(0.4)

    def test_new_rights_and_users_work(self):
        self.guarded(self.NARROW)
        alice, bob = self.user("alice"), self.user("bob")
        alice.subscribe("a/x", codes=[0x87])
        self.write(self.target, self.OPEN + "user carol\ntopic a/#\n",
                   USERS + files.password_line("carol", "carol-pw"))
        self.target.reload()
        alice = self.user("alice", "again")
        alice.subscribe("a/x", qos=1)
        bob.publish("a/x", "yes", qos=1)
        alice.message("a/x", "yes")
        self.user("carol").publish("a/x", "carol", qos=1)
        alice.message("a/x", "carol")

    def test_removed_user_cannot_come_back(self):
        self.guarded(self.OPEN)
        self.user("alice").disconnect()
        self.write(self.target, passwords=files.password_file(bob="bob-pw"))
        self.target.reload()
        client = self.open(V5, self.target)
        client.connect(self.client_id(), 0x86, user="alice", password="alice-pw")
        self.user("bob").ping()

    def test_user_removed_while_its_password_is_checked(self):
        """The check was begun with the old file; the answer must not outlive the user."""
        self.guarded(passwords=files.password_line("alice", "alice-pw", 500000))
        waiting = [self.open(V5, self.target) for _ in range(5)]
        for index, client in enumerate(waiting):
            client.send(
                mqtt.connect(self.client_id(f"{index}"), user="alice", password="alice-pw")
            )
        self.write(self.target, passwords=files.password_file(bob="bob-pw"))
        self.target.reload()
        for client in waiting:
            client.arrival_s = 120
            client.drain_until_closed()
        self.user("bob").ping()

    def test_broken_files_are_refused_as_a_whole(self):
        """The rights stay as they were."""
        self.guarded(self.NARROW)
        for acl, passwords in (
            ("user alice\ntopic readwrite #\nnonsense here\n", None),
            ("topic readwrite a/#/b\n", None),
            (None, "alice\n"),
        ):
            self.write(self.target, acl, passwords)
            self.target.reload()
            alice = self.user("alice")
            alice.subscribe("secret", codes=[0x87])
            alice.publish("a/own", "x", qos=1)
            alice.close()
            self.write(self.target, self.NARROW, USERS)

    def test_missing_file_is_refused(self):
        self.guarded(self.NARROW)
        (self.target.folder / "acl").unlink()
        (self.target.folder / "passwd").unlink()
        self.target.reload()
        client = self.open(V5, self.target)
        client.connect(self.client_id(), 0x87)
        self.user("alice").subscribe("secret", codes=[0x87])

    def test_cve_2017_7652_reload_without_descriptors(self):
        """With none free, the files cannot be read: nobody may get more rights by that."""
        target = self.guarded(self.NARROW, nofile=40)
        crowd = []
        for _ in range(60):
            try:
                crowd.append(self.open(V5, target))
            except OSError:
                break
        time.sleep(0.3)
        target.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        target.check_alive()
        for client in crowd:
            client.close()
        time.sleep(0.3)
        client = self.open(V5, target)
        client.connect(self.client_id(), 0x87)
        self.user("alice").subscribe("secret", codes=[0x87])

    def test_many_reloads_under_load(self):
        self.guarded(self.OPEN)
        alice, bob = self.user("alice"), self.user("bob")
        alice.subscribe("a/#", qos=1)
        for index in range(20):
            self.target.send_signal(signal.SIGHUP)
            for part in range(10):
                bob.publish("a/x", f"{index} {part}", qos=1)
                alice.message("a/x", f"{index} {part}")


class OldClients(AccessTest):
    def test_311_and_31_are_checked_as_well(self):
        self.guarded("user alice\ntopic readwrite a\n")
        for version in (V31, V311):
            alice = self.user("alice", version=version)
            alice.subscribe("a", "b", "#", codes=[0, 0x80, 0])
            alice.publish("b", "no", qos=1)
            alice.publish("a", "yes", qos=1)
            alice.message("a", "yes")


if __name__ == "__main__":
    main()
