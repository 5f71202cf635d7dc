"""Starts brokers to be measured, and the load generator that measures them.

A peer is a command with {port}, {workers} and {dir} in it, and perhaps a configuration file
{dir}/broker.conf, in which the same is replaced.
"""

import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time

HOST = "127.0.0.1"
PORTS = range(20000, 30000)
START_S = 60
STOP_S = 20
LOAD_EXTRA_S = 400

# Nothing is dropped and nothing held back but by the load generator's credit.
MOSQUITTO_CONF = """listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_type error
connection_messages false
"""
MILLRACE_CONF = MOSQUITTO_CONF + "workers {workers}\nmax_queued_bytes 1073741824\n"


class Peer:
    """What can be started."""

    def __init__(self, name, command, config="", environment=None):
        self.name, self.command, self.config = name, command, config
        self.environment = environment or {}

    def start(self, workers=1, cpus=None):
        return Running(self, workers, cpus)


def millrace(binary, io="epoll", name="millrace"):
    return Peer(name, [binary, "-c", "{dir}/broker.conf", "--io", io], MILLRACE_CONF)


def mosquitto(binary="mosquitto"):
    return Peer("mosquitto", [binary, "-c", "{dir}/broker.conf"], MOSQUITTO_CONF)


def relay(binary):
    return Peer("floor", [binary, "{port}", "{workers}"])


def free_port():
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue


class Running:
    """One process of a peer. A context manager: leaving it ends the process."""

    def __init__(self, peer, workers, cpus):
        self.peer = peer
        self.port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-bench-", dir="/tmp"))
        values = {"{port}": self.port, "{workers}": workers, "{dir}": self.folder}
        (self.folder / "broker.conf").write_text(replace(peer.config, values))
        command = [replace(word, values) for word in peer.command]
        if cpus:
            command = ["taskset", "-c", cpus, *command]
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **peer.environment},
            )
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{self.peer.name} does not listen on {self.port}:\n{self.log()}")

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")[-4000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def replace(text, values):
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


class LoadFailed(Exception):
    """The load did not run, or messages were lost, doubled or out of order."""


class Load:
    """The load generator's binary."""

    def __init__(self, binary, cpus=None):
        self.binary, self.cpus = binary, cpus

    def command(self, running, words):
        command = [self.binary, "--port", str(running.port), "--pid", str(running.pid), "--json"]
        if self.cpus:
            command = ["taskset", "-c", self.cpus, *command]
        return command + list(map(str, words))

    def run(self, running, *words, seconds=1, check=True):
        """Runs the load with these arguments; returns its JSON."""
        return self.finish(self.start(running, *words), running, *words, seconds=seconds, check=check)

    def start(self, running, *words):
        return subprocess.Popen(
            self.command(running, words), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def finish(self, process, running, *words, seconds=1, check=True):
        """Waits for a load that was started."""
        try:
            out, error = process.communicate(timeout=seconds * 10 + LOAD_EXTRA_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        what = f"{running.peer.name}: {' '.join(map(str, words))}: "
        if not out.strip():
            reason = error.decode(errors="replace").strip() or "no result"
            raise LoadFailed(f"{what}{reason}; its log: {running.log()}")
        result = json.loads(out)
        faults = [k for k in ("lost", "duplicated", "reordered", "failed") if result[k]]
        if check and faults:
            raise LoadFailed(what + ", ".join(f"{result[k]} {k}" for k in faults))
        return result
