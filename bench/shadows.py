# SPDX-License-Identifier: Apache-2.0
"""What an update of a shadow takes until it is on disk and answered: the shadow service inside the broker against one
in Python, as one would write it: paho, and sqlite3 with WAL and synchronous=FULL, beside the same mosquitto.

Each device updates its own shadow again as soon as the last update was accepted. All are connected over the Unix
socket, so that no encryption hides anything. For comparison: of one thing AWS IoT takes 20 requests a second.
"""
import json
import os
import pathlib
import selectors
import socket
import statistics
import subprocess
import sys
import time

from rows import row

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEER = "a Python service over paho and sqlite3"
SIZES = (1, 100)
SECONDS, QUICK_SECONDS = 3, 1
WARM_UP_S = 0.5
MS_PER_S = 1e3
ARN = "arn:aws:iot:us-west-2:123456789012:thing/"
FUNCTION = "arn:aws:lambda:us-west-2:123456789012:function:"
CONNECT, CONNACK, PUBLISH, SUBSCRIBE, SUBACK = 0x10, 0x20, 0x30, 0x82, 0x90


def topic(n, what):
    return f"$aws/things/device{n}/shadow/{what}"


# The load. A client library would cost more for a message than the broker.

def text(string):
    return len(string.encode()).to_bytes(2, "big") + string.encode()


def packet(kind, body):
    head, n = bytearray([kind]), len(body)
    while True:
        n, rest = divmod(n, 128)
        head.append(rest | (128 if n else 0))
        if not n:
            return bytes(head) + body


class Device:
    """A client that updates its shadow, and when it sent the last update."""

    def __init__(self, path, n):
        self.n, self.value, self.sent, self.buffer, self.latencies = n, 0, 0.0, b"", []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.sendall(packet(CONNECT, text("MQTT") + bytes([4, 2]) + (1200).to_bytes(2, "big") +
                                   text(f"{FUNCTION}f{n}:1")))
        self.expect(CONNACK)
        self.socket.sendall(packet(SUBSCRIBE, b"\0\1" + text(topic(n, "update/accepted")) + b"\0"))
        self.expect(SUBACK)

    def expect(self, kind):
        while not (found := self.packets()):
            pass
        if found[0] != kind:
            raise RuntimeError(f"the broker answered with {found}")

    def packets(self):
        """The kinds of those that have arrived."""
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the broker closed a connection")
        self.buffer += data
        found = []
        while len(self.buffer) >= 2:
            n, at, shift = 0, 1, 0
            while at < len(self.buffer):
                n |= (self.buffer[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if self.buffer[at - 1] < 128:
                    break
            if len(self.buffer) < at + n:
                break
            found.append(self.buffer[0] & 0xf0)
            self.buffer = self.buffer[at + n:]
        return found

    def update(self):
        self.value += 1
        document = {"state": {"reported": {"value": self.value, "on": True, "name": f"device {self.n}",
                                           "position": {"x": 1.5, "y": 2.25}}}}
        self.sent = time.monotonic()
        self.socket.sendall(packet(PUBLISH, text(topic(self.n, "update")) + json.dumps(document).encode()))

    def take(self):
        """One reply or more; there is never more than one update that waits."""
        for kind in self.packets():
            if kind == PUBLISH:
                self.latencies.append(time.monotonic() - self.sent)
                self.update()


def load(path, count, seconds):
    """(seconds for an update, median and 99th percentile of a device's latency in seconds)."""
    devices = [Device(path, n) for n in range(count)]
    with selectors.DefaultSelector() as selector:
        for device in devices:
            selector.register(device.socket, selectors.EVENT_READ, device)
            device.update()
        for length in (WARM_UP_S, seconds):
            for device in devices:
                device.latencies = []
            begin = time.monotonic()
            while time.monotonic() < begin + length:
                for key, _ in selector.select(1):
                    key.data.take()
            took = time.monotonic() - begin
    for device in devices:
        device.socket.close()
    latencies = sorted(latency for device in devices for latency in device.latencies)
    if not latencies:
        raise RuntimeError("no update was accepted")
    return took / len(latencies), statistics.median(latencies), latencies[-1 - len(latencies) // 100]


# The peer.

def merge(state, patch):
    for key, value in patch.items():
        if value is None:
            state.pop(key, None)
        elif isinstance(value, dict) and isinstance(state.get(key), dict):
            merge(state[key], value)
        else:
            state[key] = value


def serve(path, database):
    """The service in Python, until it is killed."""
    import sqlite3
    import paho.mqtt.client

    class Client(paho.mqtt.client.Client):
        def _create_socket_connection(self):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
            return sock

    db = sqlite3.connect(database, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE shadows (thing TEXT PRIMARY KEY, version INTEGER, document TEXT)")

    def on_message(client, _userdata, message):
        thing = message.topic.split("/")[2]
        request = json.loads(message.payload)
        now = int(time.time())
        found = db.execute("SELECT version, document FROM shadows WHERE thing = ?", (thing,)).fetchone()
        version, before = found or (0, "{}")
        after = json.loads(before)
        merge(after, request["state"])
        db.execute("BEGIN")
        db.execute("INSERT OR REPLACE INTO shadows VALUES (?, ?, ?)", (thing, version + 1, json.dumps(after)))
        db.execute("COMMIT")
        client.publish(f"{message.topic}/accepted", json.dumps(
            {"state": request["state"], "version": version + 1, "timestamp": now}))
        client.publish(f"{message.topic}/documents", json.dumps(
            {"previous": {"state": json.loads(before), "version": version},
             "current": {"state": after, "version": version + 1}, "timestamp": now}))

    client = Client(client_id="service")
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("localhost")
    client.subscribe("$aws/things/+/shadow/update")
    client.loop_forever()


# Both sides.

def make_brokers(folder, plugin):
    import stand  # noqa: F401 (it finds the tests' servers)
    from servers.server import Server

    class Broker(Server):
        def __init__(self, folder, plugin, things):
            super().__init__(folder)
            self.socket, self.plugin, self.things = folder / "s", plugin, things

        def write_table(self):
            functions = [f"{FUNCTION}f{n}:1" for n in range(self.things)]
            hops = [hop for n, name in enumerate(functions) for hop in (
                {"source": name, "subject": topic(n, "update"), "target": "GGShadowService"},
                {"source": "GGShadowService", "subject": topic(n, "update/accepted"), "target": name})]
            return self.write("router.json", json.dumps({
                "format": 1, "core": ARN + "Core", "connector": None, "cloud": False, "subscriptions": hops,
                "devices": [{"name": f"device{n}", "arn": f"{ARN}device{n}", "certificates": [], "sync": False}
                            for n in range(self.things)],
                "functions": [{"arn": name, "certificates": []} for name in functions]}))

        def commands(self):
            self.socket.unlink(missing_ok=True)
            lines = [f"plugin {self.plugin}", f"plugin_opt_table {self.write_table()}",
                     f"plugin_opt_status {self.folder}/status.json", f"plugin_opt_shadows {self.folder}/shadows.db"]
            self.write("mosquitto.conf", "\n".join([
                "user root", "log_dest stderr", "log_type error", "persistence false", "allow_anonymous true",
                f"listener 0 {self.socket}", "max_qos 1", *(lines if self.plugin else []), ""]))
            return [["mosquitto", "-c", str(self.folder / "mosquitto.conf")]]

        def is_ready(self):
            return self.socket.exists()

    return (Broker(folder / "ours", plugin, max(SIZES)), Broker(folder / "peer", None, max(SIZES)))


def run_ours(broker, count, seconds):
    for path in broker.folder.glob("shadows.db*"):
        path.unlink()
    broker.start()
    try:
        return load(broker.socket, count, seconds)
    finally:
        broker.stop()


def run_peer(broker, count, seconds):
    for path in broker.folder.glob("peer.db*"):
        path.unlink()
    broker.start()
    words = [sys.executable, __file__, str(broker.socket), str(broker.folder / "peer.db")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as service:
        try:
            if service.stdout.readline() != "ready\n":
                raise RuntimeError("the peer does not start")
            return load(broker.socket, count, seconds)
        finally:
            service.kill()
            broker.stop()


def measure(args, folder, wanted):
    plugin = pathlib.Path(args.build).resolve() / "bin/lighterman_router.so"
    if not plugin.exists():
        raise RuntimeError(f"'{plugin}' is not built: run scripts/build")
    ours, peer = make_brokers(folder, plugin)
    seconds = QUICK_SECONDS if args.quick else SECONDS
    rows = []
    for size in SIZES:
        names = [f"shadow_{what}_{size}_devices" for what in ("update", "latency_p50", "latency_p99")]
        if not wanted & set(names):
            continue
        results = {run_ours: [], run_peer: []}
        for n in range(args.runs):
            for side in (run_ours, run_peer) if n % 2 == 0 else (run_peer, run_ours):
                results[side].append(side(ours if side is run_ours else peer, size, seconds))
        for n, name in enumerate(names):
            if name in wanted:
                figures = [statistics.median(result[n] for result in results[side]) * MS_PER_S
                           for side in (run_ours, run_peer)]
                rows.append(row(name, "ms", *figures, PEER))
    return rows


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    serve(*sys.argv[1:])
