# SPDX-License-Identifier: Apache-2.0
"""An MQTT broker: mosquitto with a listener for each of the three transports, and one that asks for a password."""
import json
import queue
import ssl

import paho.mqtt.client

from servers.server import Server, accepts, free_port, run

STATUS_TOPIC = "dockerapplicationdeploymentconnector/message/status"


class Broker(Server):
    USER, PASSWORD = "core", "qu4y"

    def __init__(self, folder, authority, durable=False):
        """A durable broker keeps sessions, with what waits in them, over a restart."""
        super().__init__(folder)
        self.port, self.tls_port, self.password_port = free_port(), free_port(), free_port()
        self.socket = folder / "broker.sock"
        self.authority = authority
        certificate, key = authority.issue("localhost")
        users = self.write("users", "")
        run("mosquitto_passwd", "-b", users, self.USER, self.PASSWORD)
        self.password_file = self.write("password", self.PASSWORD + "\n")
        self.write("mosquitto.conf", f"""
user root
log_dest stderr
log_type all
persistence {str(durable).lower()}
persistence_location {folder}/
per_listener_settings true
listener {self.port} 127.0.0.1
allow_anonymous true
listener 0 {self.socket}
allow_anonymous true
listener {self.password_port} 127.0.0.1
allow_anonymous false
password_file {users}
listener {self.tls_port} 127.0.0.1
allow_anonymous true
cafile {authority.certificate}
certfile {certificate}
keyfile {key}
require_certificate true
""")

    def commands(self):
        # Its socket file outlives it and would be in the way.
        self.socket.unlink(missing_ok=True)
        return [["mosquitto", "-c", str(self.folder / "mosquitto.conf")]]

    def is_ready(self):
        if not (self.socket.exists() and all(map(accepts, (self.port, self.tls_port, self.password_port)))):
            return False
        self.socket.chmod(0o777)
        return True

    def over(self, transport):
        """The `mqtt` part of a host file for "tcp", "socket", "tls" or "password"."""
        if transport == "socket":
            return {"socket": str(self.socket)}
        if transport == "tls":
            certificate, key = self.authority.issue("core")
            return {"host": "localhost", "port": self.tls_port, "ca": str(self.authority.certificate),
                    "certificate": str(certificate), "privateKey": str(key)}
        if transport == "password":
            return {"host": "127.0.0.1", "port": self.password_port, "username": self.USER,
                    "passwordFile": str(self.password_file)}
        return {"host": "127.0.0.1", "port": self.port}

    def subscriber(self, topic="#", transport="tcp", session=None):
        """A context manager: a Subscriber that has been told by the broker that it is subscribed. With the name of a
        session the broker keeps messages for it while it is away."""
        return Subscriber(self.over(transport), topic, session)


class Subscriber:
    """Collects messages on a thread of its own. Connects again by itself when the broker went away."""

    def __init__(self, where, topic, session=None):
        self.messages = queue.Queue()
        self.subscribed = queue.Queue()
        self.client = paho.mqtt.client.Client(client_id=session or "", clean_session=not session)
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.put(True)
        self.client.on_message = lambda _client, _userdata, message: self.messages.put(message)
        if "ca" in where:
            self.client.tls_set(where["ca"], where["certificate"], where["privateKey"],
                                tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.where = where

    def __enter__(self):
        self.client.connect(self.where["host"], self.where["port"], keepalive=60)
        self.client.loop_start()
        self.wait_subscribed()
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def wait_subscribed(self, timeout=30):
        """Each call takes one subscription: call it again after a restart of the broker."""
        try:
            self.subscribed.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"not subscribed within {timeout} s") from None

    def next(self, timeout=60):
        """The next message."""
        try:
            return self.messages.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no message within {timeout} s") from None

    def next_json(self, timeout=60):
        return json.loads(self.next(timeout).payload)

    def none_waits(self):
        """True if no message arrived that was not taken."""
        return self.messages.empty()
