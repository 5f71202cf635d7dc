"""A broker built for Windows, run by Wine: what differs from one of this system.

Each process that tests has a C: drive of its own; Z: is this system's root, so that a path of
this system means the same in both.
"""

import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from support.broker import START_S, Broker

# What a signal means here is a word to `broker.exe signal`.
WORDS = {
    signal.SIGHUP: "reload",
    signal.SIGINT: "stop",
    signal.SIGTERM: "stop",
    signal.SIGUSR1: "state",
}


_archives = []  # The one that begin() unpacked.


def begun():
    return bool(_archives)


def begin(prefix_tar):
    """Unpacks the prefix, and lets all processes that follow know it."""
    _archives.append(prefix_tar)
    folder = tempfile.mkdtemp(prefix="millrace-wine-", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["tar", "-C", folder, "-xf", prefix_tar], check=True)
    script = os.path.join(os.path.dirname(os.path.abspath(prefix_tar)), "environment.sh")
    lines = subprocess.run(
        ["sh", "-c", 'use() { . "$0"; }; use "$1" && env -0', script, folder],
        env={"PATH": os.environ["PATH"], "HOME": folder},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    os.environ.update(line.split("=", 1) for line in lines.split("\0") if line)
    # Only processes of this prefix have this server.
    atexit.register(
        subprocess.run, [os.environ["WINESERVER"], "-k"], stderr=subprocess.DEVNULL, check=False
    )


def drive_c():
    return pathlib.Path(os.environ["WINEPREFIX"], "drive_c")


def loader():
    return os.environ["WINELOADER"]


class WineBroker(Broker):
    """The process is the program itself: Wine's loader becomes it."""

    def command(self, *args):
        return [loader(), self.binary_path(), *args]

    def write_config(self, config):
        if "pid_file" not in config:
            config += "\npid_file {dir}/pid\n"
        super().write_config(config)

    def run(self, *args, timeout=START_S, **options):
        done = super().run(*args, timeout=timeout, **options)
        done.text = done.text.replace("\r\n", "\n")
        return done

    def windows_pid(self):
        """The number that Windows gave it; it is written after its listeners are open."""
        path = self.folder / "pid"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if path.exists() and path.read_text().endswith("\n"):
                return int(path.read_text())
            time.sleep(0.02)
        raise AssertionError(f"no process id in {path}:\n{self.log()}")

    def send_signal(self, number):
        done = self.run("signal", WORDS[number], self.windows_pid())
        if done.returncode != 0:
            raise AssertionError(f"the broker didn't take signal {number}: {done.text}")
