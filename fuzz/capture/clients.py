"""Sessions of real clients: each a function that talks to a broker on a port of 127.0.0.1."""

import glob
import os
import pwd
import subprocess
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
HOST = "127.0.0.1"
SESSION_SECONDS_MAX = 60
VERSIONS = {"31": "mqttv31", "311": "mqttv311", "5": "5"}


def tool(name, port, *args):
    return subprocess.Popen([name, "-h", HOST, "-p", str(port), *args], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def wait(process):
    output, _ = process.communicate(timeout=SESSION_SECONDS_MAX)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args[0]} ended with {process.returncode}: {output.decode()}")


def mosquitto(port, version, qos):
    """mosquitto_sub gets what mosquitto_pub sends, retained first."""
    common = ["-V", VERSIONS[version]]
    properties, subscribing = [], []
    if version == "5":
        properties = ["-D", "publish", "user-property", "k", "v", "-D", "publish", "content-type",
                      "text/plain", "-D", "publish", "message-expiry-interval", "60", "-D",
                      "publish", "response-topic", "answer", "-D", "publish", "correlation-data",
                      "7", "-D", "connect", "receive-maximum", "20"]
        subscribing = ["-D", "subscribe", "subscription-identifier", "5", "-x", "30"]
    publish = [*common, "-q", str(qos), "-t", "sensor/1", "-i", "publisher", *properties]
    wait(tool("mosquitto_pub", port, *publish, "-r", "-m", "kept"))
    subscriber = tool("mosquitto_sub", port, *common, *subscribing, "-i", "subscriber", "-c",
                      "-q", str(qos), "-t", "sensor/+", "-t", "other/#", "-U", "other/1",
                      "--will-topic", "gone", "--will-payload", "subscriber", "--will-qos", "1",
                      "-W", "20", "-C", "2")
    first = subscriber.stdout.readline()  # Of the retained message: it has subscribed.
    if first.strip() != b"kept":
        raise RuntimeError(f"mosquitto_sub says {first.decode()}")
    wait(tool("mosquitto_pub", port, *publish, "-u", "user", "-P", "password", "-m", "21.5"))
    wait(subscriber)
    wait(tool("mosquitto_pub", port, *publish, "-r", "-n"))  # Clears it.


def paho(port, version, qos):
    """Paho of Python: one client with a will, which subscribes, publishes to itself, leaves."""
    import paho.mqtt.client as mqtt  # Only whoever captures needs it.
    level = {"31": mqtt.MQTTv31, "311": mqtt.MQTTv311, "5": mqtt.MQTTv5}[version]
    got = threading.Semaphore(0)
    ready = threading.Event()
    client = mqtt.Client("paho", protocol=level)
    client.will_set("gone", "paho", qos, True)
    client.username_pw_set("user", "password")
    client.on_connect = lambda *_: client.subscribe([("a/+", qos), ("a/b/#", 0)])
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda *_: got.release()
    client.connect(HOST, port, keepalive=30)
    client.loop_start()
    if not ready.wait(SESSION_SECONDS_MAX):
        raise RuntimeError("Paho wasn't subscribed")
    for number in range(3):
        client.publish("a/b", f"message {number}", qos)
    for _ in range(3):
        if not got.acquire(timeout=SESSION_SECONDS_MAX):
            raise RuntimeError("Paho didn't get its messages")
    client.unsubscribe("a/+")
    client.disconnect()
    client.loop_stop()


def node_path():
    given = os.environ.get("MILLRACE_NODE_PATH")
    home = pwd.getpwuid(os.getuid()).pw_dir
    folders = [given] if given else []
    folders += glob.glob(os.path.join(home, ".cache/millrace/npm-*/node_modules"))
    return next((f for f in folders if os.path.isdir(os.path.join(f, "mqtt"))), None)


def mqttjs(port):
    """MQTT.js in all that tests/blackbox does with it."""
    folder = node_path()
    if folder is None:
        raise RuntimeError("MQTT.js is missing: cd tools/npm && npm ci, and MILLRACE_NODE_PATH")
    script = os.path.join(ROOT, "tests", "blackbox", "mqttjs.js")
    subprocess.run(["node", script, HOST, str(port), "js"], env={**os.environ, "NODE_PATH": folder},
                   capture_output=True, timeout=200, check=True)


# Name of the session: what to call with the port.
SESSIONS = {"mqttjs": mqttjs}
for _version in VERSIONS:
    for _qos in (0, 1, 2):
        for _client in (mosquitto, paho):
            SESSIONS[f"{_client.__name__}_v{_version}_qos{_qos}"] = (
                lambda port, c=_client, v=_version, q=_qos: c(port, v, q))
