"""Starts the broker under test, watches it, and ends it by its pid.

MILLRACE_BROKER  another binary than the one that was built, for example
                 /usr/sbin/mosquitto (then Millrace's own directives are left out)
MILLRACE_PORT    the port of a broker that runs already; tests that need their own
                 configuration are skipped
MILLRACE_HOST    the address of that broker, if it isn't this machine's
"""

import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from support import client, mqtt

HOST = "127.0.0.1"
START_S = 30
STOP_S = 30

# Below the range from which the system takes ports for outgoing connections.
PORTS = range(20000, 30000)

# Directives that Mosquitto does not know.
OWN_DIRECTIVES = {
    "connect_timeout",
    "io_backend",
    "max_retained_bytes",
    "max_retained_messages",
    "max_subscriptions_per_client",
    "max_topic_alias_broker",
    "outbox_bytes",
    "receive_maximum",
    "slow_consumer_policy",
    "topic_cache_bytes",
    "workers",
}

BAD_LOG = re.compile(
    r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|"
    r"[Aa]ssert(?:ion)?\b.*fail|stack smashing|double free|corrupted)"
)

_locks = []  # Abstract sockets: each reserves a port until this process ends.


def free_port():
    """A port that nobody uses and that no other test of this machine will take."""
    start = random.randrange(len(PORTS))
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0millrace-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        return port
    raise RuntimeError(f"no free port in {PORTS}")


def external_port():
    return int(os.environ.get("MILLRACE_PORT", 0))


def temporary_folder():
    # Not $TEST_TMPDIR: a unix socket's path below it would be too long.
    return tempfile.mkdtemp(prefix="millrace-", dir="/tmp")


class Broker:
    """One process. `config` is text; {port}, {port2} and {dir} in it are replaced.

    A listener on {port} that admits everybody is added unless `bare` is true.
    """

    binary = None  # Set by the suite.
    workers = None
    io_backend = None

    def __init__(self, config="", bare=False, args=(), nofile=None, start=True):
        self.external = bool(external_port())
        if self.external and config:
            raise unittest.SkipTest("needs a broker with its own configuration")
        self.host = os.environ.get("MILLRACE_HOST", HOST) if self.external else HOST
        self.folder = pathlib.Path(temporary_folder())
        self.port = external_port() if self.external else free_port()
        self.port2 = free_port() if "{port2}" in config else None
        self.config_path = self.folder / "millrace.conf"
        self.log_path = self.folder / "log"
        self.args, self.nofile, self.bare = args, nofile, bare
        self.process = None
        try:
            if not self.external:
                self.write_config(config)
                if start:
                    self.start()
        except BaseException:
            self.discard()
            raise

    # ---------------------------------------------------------- configuration

    @classmethod
    def is_mosquitto(cls):
        return os.path.basename(cls.binary_path()) == "mosquitto"

    @classmethod
    def binary_path(cls):
        path = os.environ.get("MILLRACE_BROKER") or cls.binary
        if not path:
            raise RuntimeError("no broker: give --broker=PATH or set MILLRACE_BROKER")
        return os.path.abspath(path)

    def expand(self, text):
        for name, value in (("port", self.port), ("port2", self.port2), ("dir", self.folder)):
            text = text.replace("{%s}" % name, str(value))
        return text

    def write_config(self, config):
        text = self.expand(config)
        if not self.bare:
            anonymous = "" if "allow_anonymous" in text else "allow_anonymous true\n"
            text = f"listener {self.port} {HOST}\n{anonymous}log_dest stderr\n" + text
            if os.geteuid() == 0 and "user " not in text:
                text += "\nuser root\n"  # Another could not read our files again.
            if self.workers and "workers" not in text:
                text += f"\nworkers {self.workers}\n"
            if self.io_backend:
                text += f"\nio_backend {self.io_backend}\n"
        if self.is_mosquitto():
            text = "".join(
                line
                for line in text.splitlines(True)
                if not line.strip() or line.split()[0] not in OWN_DIRECTIVES
            )
        self.config_path.write_text(text)

    def file(self, name, text, mode=0o600):
        """Writes a file beside the configuration and returns its path."""
        path = self.folder / name
        path.write_text(self.expand(text))
        path.chmod(mode)
        return str(path)

    # ---------------------------------------------------------------- process

    def command(self, *args):
        return [self.binary_path(), *args]

    def run(self, *args, timeout=START_S, **options):
        """Runs the binary to its end; for --version and the like."""
        done = subprocess.run(
            self.command(*map(str, args)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            **options,
        )
        done.text = done.stdout.decode(errors="replace")
        return done

    def start(self, wait=True):
        args = self.args or ("-c", str(self.config_path))
        limit = self.nofile

        def prepare():
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(*[self.expand(a) for a in args]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=prepare if limit else None,
            )
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                socket.create_connection((self.host, self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"the broker does not listen on {self.port}:\n{self.log()}")

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return (self.host, self.port)

    def send_signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        """SIGHUP, after which the files were read again, or refused."""
        before = len(self.log(1 << 24))
        self.send_signal(signal.SIGHUP)
        found = self.wait_for_log("(?i)reload.*", before).group(0)
        time.sleep(0.2)  # Each worker takes the new rights in its own turn.
        self.check_alive()
        return found

    @classmethod
    def is_sanitized(cls):
        """Sanitizers keep freed memory back and have threads of their own."""
        with open(cls.binary_path(), "rb") as binary:
            data = binary.read()
        return b"__asan_init" in data or b"__tsan_init" in data

    def log(self, tail=20000):
        try:
            return self.log_path.read_text(errors="replace")[-tail:]
        except OSError:
            return ""

    def wait_for_log(self, pattern, after=0):
        """Waits until the log (from byte `after`) has what `pattern` finds."""
        deadline = time.monotonic() + client.ARRIVAL_S
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log(1 << 24)[after:])
            if found:
                return found
            self.check_alive()
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in the log:\n{self.log()}")

    def check_alive(self):
        if self.external:
            return
        code = self.process.poll()
        if code is not None:
            raise AssertionError(f"the broker has ended with {code}; its log:\n{self.log()}")

    def check_log(self):
        found = BAD_LOG.search(self.log(1 << 24))
        if found:
            raise AssertionError(f"{found.group(0)!r} in the broker's log:\n{self.log()}")

    def resident_kb(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def wait(self, timeout=STOP_S):
        """Waits for the end of the process and returns its exit code."""
        return self.process.wait(timeout)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, number=signal.SIGTERM):
        """Ends the broker; it has to exit with 0 and leave a clean log."""
        try:
            if self.process and not self.external:
                self.check_alive()
                self.send_signal(number)
                code = self.process.wait(STOP_S)
                if code != 0:
                    raise AssertionError(f"the broker exited with {code}; its log:\n{self.log()}")
                self.check_log()
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the broker ignored signal {number}:\n{self.log()}") from error
        finally:
            self.kill()
            self.remove()

    def discard(self):
        """Instead of stop(), for a process that has ended or may not have started."""
        self.kill()
        self.remove()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---------------------------------------------------------------- clients

    def client(self, version=mqtt.V5):
        """An open connection on which nothing was sent yet."""
        return client.Client(self.address, version)
