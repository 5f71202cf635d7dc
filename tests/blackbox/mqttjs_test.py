#!/usr/bin/python3 -B
"""MQTT.js, the client of Node.js, against the broker: see mqttjs.js."""

import glob
import os
import pwd
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from support.suite import BrokerTest, main

INSTALL = (
    "MQTT.js is missing: MILLRACE_NODE_PATH has to name a folder node_modules that has mqtt in "
    "it. `tools/bazel test` installs it (see tools/npm); by hand: cd tools/npm && npm ci"
)


def node_path():
    """The folder from the environment, else the one that tools/bazel fills."""
    given = os.environ.get("MILLRACE_NODE_PATH")
    home = pwd.getpwuid(os.getuid()).pw_dir
    folders = [given] if given else []
    folders += glob.glob(os.path.join(home, ".cache/millrace/npm-*/node_modules"))
    return next((f for f in folders if os.path.isdir(os.path.join(f, "mqtt"))), None)


class MqttJs(BrokerTest):
    def test_mqttjs(self):
        folder = node_path()
        self.assertIsNotNone(folder, INSTALL)
        broker = self.broker
        done = subprocess.run(
            ["node", os.path.join(HERE, "mqttjs.js"), broker.host, str(broker.port), self.unique],
            env={**os.environ, "NODE_PATH": folder}, capture_output=True, text=True, timeout=200,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("ok "), 14, done.stdout)


if __name__ == "__main__":
    main()
