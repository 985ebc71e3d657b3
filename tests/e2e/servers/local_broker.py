# SPDX-License-Identifier: Apache-2.0
"""The local broker of client devices: mosquitto with lighterman_router.so, and clients of it."""
import contextlib
import hashlib
import json
import queue
import signal
import socket
import ssl
import subprocess

import paho.mqtt.client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from servers.server import Server, accepts, free_port, wait_until

THING = "arn:aws:iot:us-west-2:123456789012:thing/"
LAMBDA = "arn:aws:lambda:us-west-2:123456789012:function:"
CONNECTOR = "arn:aws:greengrass:us-west-2::/connectors/DockerApplicationDeployment/versions/7"
PASSWORD = "qu4y"
WAIT_S = 30


def fingerprint(certificate):
    """Of a PEM file: what router.json has."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()


class LocalBroker(Server):
    """`table` is changed with the methods below, and read by the plugin at start() and reload()."""

    host = "localhost"

    def __init__(self, folder, authority, programs, configuration=""):
        super().__init__(folder)
        self.authority = authority
        self.plugin = programs / "lighterman_router.so"
        self.port, self.socket = free_port(), folder / "broker.sock"
        self.table_path, self.status_path = folder / "router.json", folder / "status.json"
        self.shadows_path = folder / "shadows.db"
        self.table = {"format": 1, "core": THING + "Core", "devices": [], "functions": [], "subscriptions": [], "cloud": False,
                      "connector": {"arn": CONNECTOR, "password_sha256": hashlib.sha256(PASSWORD.encode()).hexdigest()}}
        self.configuration = configuration
        self.peers = []

    def add(self, *names):
        """Devices of the group, with a certificate each."""
        for name in names:
            certificate, _ = self.authority.issue(name)
            self.table["devices"].append({"name": name, "arn": THING + name, "certificates": [fingerprint(certificate)],
                                          "sync": False})
        return self

    def remove(self, name):
        self.table["devices"] = [device for device in self.table["devices"] if device["name"] != name]

    def route(self, source, subject, target):
        """A subscription; a thing may be named by its name."""
        self.table["subscriptions"].append({"source": arn(source), "subject": subject, "target": arn(target)})
        return self

    def unroute(self, source, subject, target):
        self.table["subscriptions"].remove({"source": arn(source), "subject": subject, "target": arn(target)})

    def write_configuration(self):
        certificate, key = self.authority.issue("broker")
        self.write("mosquitto.conf", f"""
user root
log_dest stderr
log_type error
log_type warning
log_type notice
persistence true
persistence_location {self.folder}/
allow_anonymous true
check_retain_source false
max_packet_size 147456
plugin {self.plugin}
plugin_opt_table {self.table_path}
plugin_opt_status {self.status_path}
plugin_opt_shadows {self.shadows_path}
plugin_opt_socket {self.socket}
listener {self.port} 127.0.0.1
max_qos 1
cafile {self.authority.certificate}
certfile {certificate}
keyfile {key}
require_certificate true
listener 0 {self.socket}
max_qos 1
{self.configuration}
""")

    def commands(self):
        self.socket.unlink(missing_ok=True)
        self.write_configuration()
        self.write_table()
        return [[*sanitized(self.plugin), "mosquitto", "-c", str(self.folder / "mosquitto.conf")]]

    def is_ready(self):
        return self.socket.exists() and accepts(self.port) and self.status_path.exists()

    def stop(self, number=signal.SIGTERM):
        for peer in self.peers:
            peer.close()
        self.peers = []
        super().stop(number)
        text = self.log(1000)
        assert "Sanitizer" not in text and "runtime error" not in text, text

    def write_table(self):
        self.write("router.json", json.dumps(self.table))

    def reload(self):
        """Returns when the plugin has read the table, as it is now."""
        before = self.status()
        self.write_table()
        self.processes[0].send_signal(signal.SIGHUP)
        wait_until(lambda: self.status()["table_loaded_ms"] > before["table_loaded_ms"], WAIT_S,
                   lambda: f"not reloaded: {self.status()}")

    def status(self):
        return json.loads(self.status_path.read_text())

    def wait_status(self, true):
        """Until `true`, of the status, is not false."""
        wait_until(lambda: true(self.status()), WAIT_S, lambda: f"status is {self.status()}")
        return self.status()

    def client(self, name, **more):
        """As connect, but not connected yet."""
        peer = Peer(self, name, **more)
        self.peers.append(peer)
        return peer

    def connect(self, name, *filters, **more):
        """A client that is connected and subscribed: a device by name, or a function or connector by ARN."""
        peer = self.client(name, **more).connect()
        peer.subscribe(*filters)
        return peer


def arn(endpoint):
    return endpoint if endpoint.startswith("arn:") or endpoint in ("cloud", "GGShadowService") else THING + endpoint


def sanitized(plugin):
    """What goes before a program that loads this plugin: the library of the sanitizers, if it was built with them. What
    mosquitto itself leaks is not looked for."""
    if b"__asan_init" not in plugin.read_bytes():
        return []
    library = subprocess.run(["clang", "-print-file-name=libclang_rt.asan-x86_64.so"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.strip()
    return ["env", f"LD_PRELOAD={library}", "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1",
            "UBSAN_OPTIONS=print_stacktrace=1"]


class Refused(Exception):
    """The broker did not take the connection; the reason is its code."""


class Client(paho.mqtt.client.Client):
    """Of paho, also over a Unix socket. It does not connect again by itself: after a restart of the broker it would take the
    place of the next client of its name."""

    unix_socket = None

    def _create_socket_connection(self):
        if not self.unix_socket:
            return super()._create_socket_connection()
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.unix_socket)
        return sock


class Peer:
    """A client of the local broker. `certificate` (a name that the authority issued one for, default: the client's) is
    for TLS; local=True is for the Unix socket, which is the default for ARNs."""

    def __init__(self, broker, name, local=None, certificate=None, session=False, version=paho.mqtt.client.MQTTv311,
                 user=None, password=None, client_id=None, will=None):
        self.broker, self.name = broker, name
        self.messages, self.events = queue.Queue(), queue.Queue()
        self.version = version
        self.session = session
        clean = {} if version == paho.mqtt.client.MQTTv5 else {"clean_session": not session}
        self.client = Client(client_id=name if client_id is None else client_id, protocol=version,
                             reconnect_on_failure=False, **clean)
        if local is None:
            local = name.startswith("arn:")
        if name == CONNECTOR and user is None:
            user, password = CONNECTOR, PASSWORD
        if user is not None:
            self.client.username_pw_set(user, password)
        if local:
            self.client.unix_socket = str(broker.socket)
        else:
            files = broker.authority.issue(certificate or name)
            self.client.tls_set(str(broker.authority.certificate), *map(str, files), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if will:
            self.client.will_set(**will)
        self.client.on_connect = lambda _c, _u, _f, code, *_: self.events.put(("connect", code))
        self.client.on_disconnect = lambda _c, _u, code, *_: self.events.put(("disconnect", code))
        self.client.on_subscribe = lambda _c, _u, mid, codes, *_: self.events.put(
            ("subscribe", mid, [getattr(code, "value", code) for code in codes]))
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)

    def connect(self, expiry=None):
        """Raises Refused if the broker says no."""
        more = {}
        if self.version == paho.mqtt.client.MQTTv5:
            more["clean_start"] = not self.session
            properties = Properties(PacketTypes.CONNECT)
            if expiry or self.session:
                properties.SessionExpiryInterval = expiry or 3600
            more["properties"] = properties
        self.client.loop_stop()  # its thread has ended with the connection before
        self.client.connect(self.broker.host, self.broker.port, keepalive=60, **more)
        self.client.loop_start()
        event = self.event("connect", "disconnect")
        if event != ("connect", 0):
            self.client.loop_stop()
            raise Refused(event)
        return self

    def event(self, *kinds):
        """The next of one of these kinds."""
        while True:
            try:
                event = self.events.get(timeout=WAIT_S)
            except queue.Empty:
                raise AssertionError(f"'{self.name}': none of {kinds} within {WAIT_S} s") from None
            if event[0] in kinds:
                return event

    def subscribe(self, *filters, qos=1):
        """The codes of the broker's answer: QoS, or 0x80 and above for a refusal."""
        if not filters:
            return []
        _, mid = self.client.subscribe([(text, qos) for text in filters])
        while True:
            event = self.event("subscribe")
            if event[1] == mid:
                return event[2]

    def publish(self, topic, payload=b"", qos=1, **more):
        """With QoS 1, returns when the broker has taken it, or refused it."""
        info = self.client.publish(topic, payload, qos=qos, **more)
        if qos:
            info.wait_for_publish(WAIT_S)
            assert info.is_published(), f"'{self.name}': '{topic}' was not acknowledged within {WAIT_S} s"

    def next(self, timeout=WAIT_S):
        try:
            return self.messages.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"'{self.name}': no message within {timeout} s\n{self.broker.log()}") from None

    def next_topic(self):
        return self.next().topic

    def disconnect(self):
        """In good order: without its will."""
        self.client.disconnect()
        self.event("disconnect")
        self.client.loop_stop()

    def drop(self):
        """The connection is cut, so that the broker publishes the will."""
        self.client.loop_stop()
        with contextlib.suppress(OSError, AttributeError):
            self.client.socket().shutdown(socket.SHUT_RDWR)
        self.client.loop_misc()

    def wait_disconnected(self):
        return self.event("disconnect")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
