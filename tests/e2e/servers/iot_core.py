# SPDX-License-Identifier: Apache-2.0
"""AWS IoT Core, as far as a bridge meets it: TLS with client certificates in front of a mosquitto, which ends a connection
on what the real one does not take, and a shadow service."""
import contextlib
import json
import queue
import re
import select
import socket
import ssl
import struct
import threading
import time

import paho.mqtt.client

from servers.server import Server, accepts, free_port, wait_until

CONNECT, PUBLISH, PUBACK, SUBSCRIBE = 1, 3, 4, 8
WAIT_S = 60
# What clients may publish to, of what the tests need.
OF_CLIENTS = re.compile(r"\$aws/(things/[\w:-]+/(shadow/(name/[\w:$-]+/)?(get|update|delete)"
                        r"|jobs/(get|start-next|[\w$-]+/(get|update)))|rules/\w+(/.*)?)")


class IotCore(Server):
    """`port` is for devices. stop_front() is an outage: connections end, none are taken, sessions live on for
    start_front(). While `loses_acknowledgements`, a connection ends instead of the acknowledgement of a message."""

    HOST = "prefix-ats.iot.eu-west-1.amazonaws.com"

    def __init__(self, folder, authority, host=HOST, port=None, certificate_host=None):
        super().__init__(folder)
        self.name_host()
        self.authority, self.host, self.certificate_host = authority, host, certificate_host or host
        self.port, self.back_port = port or free_port(), free_port()
        self.front = None
        self.hellos, self.connects, self.filters, self.violations = [], [], {}, []
        self.denied = set()
        self.loses_acknowledgements = False
        self.write("mosquitto.conf", f"""
user root
log_dest stderr
persistence false
max_queued_messages 0
listener {self.back_port} 127.0.0.1
allow_anonymous true
""")

    @classmethod
    def name_host(cls):
        """In the sandbox's copy. Not localhost, which may be ::1, too: a bridge tries one address."""
        with open("/etc/hosts", "r+", encoding="utf-8") as file:
            if cls.HOST not in file.read():
                file.write(f"127.0.0.1 {cls.HOST}\n")

    def commands(self):
        return [["mosquitto", "-c", str(self.folder / "mosquitto.conf")]]

    def is_ready(self):
        return accepts(self.back_port)

    def start(self):
        super().start()
        self.start_front()
        return self

    def stop(self, *more):
        self.stop_front()
        super().stop(*more)

    def start_front(self):
        self.front = Front(self)

    def stop_front(self):
        front, self.front = self.front, None
        if front:
            front.close()

    def client(self, *filters):
        """What an application in the cloud has."""
        return CloudClient(self, filters)

    def wait_connected(self, *names):
        wait_until(lambda: set(names) <= {name for name, _ in self.front.alive()}, WAIT_S,
                   lambda: f"connected: {self.front.alive()}, violations: {self.violations}")


class Front:
    def __init__(self, core):
        self.core = core
        self.pairs, self.lock = {}, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", core.port))
        certificate, key = core.authority.issue(f"iot-core-{core.certificate_host}", hosts=(core.certificate_host,))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.load_verify_locations(core.authority.certificate)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.set_alpn_protocols(["x-amzn-mqtt-ca"])
        self.context.sni_callback = self._hello
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        with self.lock:
            for sock, pair in self.pairs.items():
                for end in (sock, pair.back):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not self.pairs, WAIT_S, "the front's connections do not end")

    def alive(self):
        with self.lock:
            return [(pair.name, pair) for pair in self.pairs.values()]

    def _hello(self, sock, name, _context):
        sock.sni = name

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, plain):
        try:
            sock = self.context.wrap_socket(plain, server_side=True)
        except (OSError, ssl.SSLError):
            plain.close()
            return
        with sock, socket.create_connection(("127.0.0.1", self.core.back_port)) as back:
            sni = getattr(sock, "sni", None)
            self.core.hellos.append((sni, sock.selected_alpn_protocol()))
            if sni != self.core.host:
                self.core.violations.append(f"SNI {sni}")
                return
            pair = Pair(self.core, sock, back)
            with self.lock:
                self.pairs[sock] = pair
            try:
                pair.run()
            except (OSError, ssl.SSLError):
                pass
            finally:
                with self.lock:
                    del self.pairs[sock]


class Pair:
    """A device's connection and its other end."""

    def __init__(self, core, sock, back):
        self.core, self.sock, self.back = core, sock, back
        self.name, self.buffer, self.filters = None, b"", set()

    def run(self):
        while True:
            if not self.sock.pending():
                ready, _, _ = select.select([self.sock, self.back], [], [])
                if self.back in ready:
                    data = self.back.recv(65536)
                    if not data or self.core.loses_acknowledgements and data[0] >> 4 == PUBACK:
                        return
                    self.sock.sendall(data)
                if self.sock not in ready:
                    continue
            data = self.sock.recv(65536)
            if not data:
                return
            self.buffer += data
            while (packet := self._packet()):
                why = self._check(*packet[:2])
                if why:
                    self.core.violations.append(f"{self.name}: {why}")
                    return
                self.back.sendall(packet[2])

    def _packet(self):
        length = shift = 0
        for i, byte in enumerate(self.buffer[1:5]):
            length, shift = length | (byte & 127) << shift, shift + 7
            if byte < 128:
                end = i + 2 + length
                if len(self.buffer) < end:
                    return None
                whole, self.buffer = self.buffer[:end], self.buffer[end:]
                return whole[0], whole[i + 2:], whole
        return None

    def _check(self, head, body):
        kind = head >> 4
        if kind == CONNECT:
            return self._check_connect(body)
        if kind == PUBLISH:
            topic, rest = text(body)
            qos = head >> 1 & 3
            payload = rest[2:] if qos else rest
            if topic in self.core.denied:
                return f"not allowed: {topic}"
            if qos > 1 or len(topic) > 256 or topic.count("/") > 7 or len(payload) > 128 << 10:
                return f"a message that AWS IoT does not take: {topic}, {len(payload)} bytes"
            if topic[0] == "$" and not topic.startswith("$aws/") or head & 1 and topic[0] == "$":
                return f"a reserved topic: {topic}"
            if topic.startswith("$aws/") and not OF_CLIENTS.fullmatch(topic):
                return f"not a client's topic: {topic}"
        if kind == SUBSCRIBE:
            filters, rest = [], body[2:]
            while rest:
                name, rest = text(rest)
                filters.append(name)
                if rest[0] > 1:
                    return "QoS 2"
                rest = rest[1:]
            self.filters |= set(filters)
            self.core.filters[self.name] = self.filters
            if len(filters) > 8 or len(self.filters) > 50:
                return f"{len(filters)} filters in a packet, {len(self.filters)} of the connection"
            if any(name in self.core.denied or name.startswith("$") and not name.startswith("$aws/") for name in filters):
                return f"not allowed: {filters}"
        return None

    def _check_connect(self, body):
        protocol, rest = text(body)
        self.name = text(rest[4:])[0]
        found = {"client": self.name, "protocol": protocol, "level": rest[0], "clean": bool(rest[1] & 2),
                 "will": bool(rest[1] & 4), "keepalive": struct.unpack(">H", rest[2:4])[0]}
        self.core.connects.append(found)
        return None if (protocol, rest[0]) in (("MQTT", 4), ("MQTT", 5)) else f"protocol {found}"


def text(data):
    length = struct.unpack(">H", data[:2])[0]
    return data[2:2 + length].decode(), data[2 + length:]


class CloudClient:
    def __init__(self, core, filters):
        self.messages, subscribed = queue.Queue(), queue.Queue()
        self.client = paho.mqtt.client.Client()
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda *_: subscribed.put(True)
        self.client.connect("127.0.0.1", core.back_port)
        self.client.loop_start()
        if filters:
            self.client.subscribe([(name, 1) for name in filters])
            subscribed.get(timeout=WAIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def publish(self, topic, payload=b""):
        self.client.publish(topic, payload, qos=1).wait_for_publish(WAIT_S)

    def next(self, timeout=WAIT_S):
        try:
            return self.messages.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no message within {timeout} s") from None


class ShadowService:
    """Of the cloud: versions, merges, 404 and 409. Requests and their replies are in `requests`. `refuse` answers the
    next ones of a thing with an error instead. While `silent`, requests are carried out and not answered."""

    def __init__(self, core):
        self.core = core
        self.shadows, self.versions = {}, {}
        self.requests, self.refuse = [], {}
        self.silent = False
        self.lock = threading.RLock()
        self.client = CloudClient(core, ())
        self.client.client.on_message = self._answer
        subscribed = threading.Event()
        self.client.client.on_subscribe = lambda *_: subscribed.set()
        self.client.client.subscribe([(f"$aws/things/+/shadow/{name}", 1) for name in ("get", "update", "delete")])
        assert subscribed.wait(WAIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.__exit__()

    def state(self, thing):
        """None: there is no shadow."""
        with self.lock:
            return json.loads(json.dumps(self.shadows.get(thing)))

    def update(self, thing, state, token=None):
        """By an application in the cloud."""
        self._do(thing, "update", {"state": state, **({"clientToken": token} if token else {})})

    def delete(self, thing):
        self._do(thing, "delete", {})

    def count(self, thing, kind, answer=None):
        with self.lock:
            return sum((name, what) == (thing, kind) and answer in (None, code) for name, what, _, code in self.requests)

    def last_token(self, thing):
        with self.lock:
            return [body.get("clientToken") for name, _, body, _ in self.requests if name == thing][-1]

    def wait_state(self, thing, state):
        wait_until(lambda: self.state(thing) == state, WAIT_S,
                   lambda: f"'{thing}' is {self.state(thing)}, requests: {self.requests[-6:]}")

    def _answer(self, _client, _userdata, message):
        _, _, thing, _, kind = message.topic.split("/")
        body = json.loads(message.payload or b"{}")
        self._do(thing, kind, body, True)

    def _do(self, thing, kind, body, asked=False):
        with self.lock:
            code, answer = (asked and self.refuse.get(thing, {}).pop(kind, None)) or self._change(thing, kind, body)
            if asked:
                self.requests.append((thing, kind, body, code))
            answer["timestamp"] = int(time.time())
            if "clientToken" in body:
                answer["clientToken"] = body["clientToken"]
            if asked and self.silent:
                return
            self.client.client.publish(f"$aws/things/{thing}/shadow/{kind}/{'rejected' if code else 'accepted'}",
                                       json.dumps(answer), qos=1)

    def _change(self, thing, kind, body):
        there, version = self.shadows.get(thing), self.versions.get(thing, 0)
        if there is None and kind != "update":
            return 404, {"code": 404, "message": f"No shadow exists with name: '{thing}'"}
        if kind == "get":
            return 0, {"state": json.loads(json.dumps(there)), "metadata": {}, "version": version}
        if kind == "update" and body.get("version", version) != version:
            return 409, {"code": 409, "message": "Version conflict"}
        self.versions[thing] = version + 1
        if kind == "delete":
            del self.shadows[thing]
            return 0, {"version": version}
        self.shadows[thing] = {name: section for name, section in merge(there or {}, body["state"]).items() if section}
        return 0, {"state": body["state"], "metadata": {}, "version": version + 1}


def merge(old, patch):
    """As a shadow is updated."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = merge(new.get(name), value)
    return new
