# SPDX-License-Identifier: Apache-2.0
"""MQTT packets by hand: what no library would send. Version 4 is MQTT 3.1.1, version 5 MQTT 5."""
import socket
import ssl
import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, \
    DISCONNECT, AUTH = range(1, 16)
# Identifiers of MQTT 5's properties.
SESSION_EXPIRY, AUTH_METHOD, AUTH_DATA, WILL_DELAY, TOPIC_ALIAS = 17, 21, 22, 24, 35


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">H", len(value)) + value


def length(n):
    out = b""
    while True:
        n, low = n >> 7, n & 127
        out += bytes([low | (128 if n else 0)])
        if not n:
            return out


def packet(kind, body=b"", flags=0):
    return bytes([kind << 4 | flags]) + length(len(body)) + body


def properties(values):
    """Of (identifier, encoded value) pairs."""
    body = b"".join(bytes([identifier]) + value for identifier, value in values)
    return length(len(body)) + body


def connect(client, version=4, clean=True, will=None, username=None, password=None, props=(), keep_alive=60, name="MQTT"):
    """`will` is (topic, payload, QoS, retain) or, with MQTT 5, with properties behind."""
    flags = 2 if clean else 0
    body = text(client)
    if will:
        topic, payload, qos, retain, *will_props = will
        flags |= 4 | qos << 3 | (32 if retain else 0)
        body += (properties(will_props[0] if will_props else ()) if version == 5 else b"") + text(topic) + text(payload)
    if username is not None:
        flags, body = flags | 128, body + text(username)
    if password is not None:
        flags, body = flags | 64, body + text(password)
    head = text(name) + bytes([version, flags]) + struct.pack(">H", keep_alive)
    return packet(CONNECT, head + (properties(props) if version == 5 else b"") + body)


def publish(topic, payload=b"", qos=0, retain=False, mid=1, version=4, props=(), dup=False):
    body = text(topic) + (struct.pack(">H", mid) if qos else b"") + (properties(props) if version == 5 else b"")
    return packet(PUBLISH, body + (payload if isinstance(payload, bytes) else payload.encode()),
                  dup << 3 | qos << 1 | int(retain))


def subscribe(*filters, qos=0, mid=1, version=4, options=0):
    body = struct.pack(">H", mid) + (properties(()) if version == 5 else b"")
    return packet(SUBSCRIBE, body + b"".join(text(name) + bytes([qos | options]) for name in filters), 2)


class Refused(Exception):
    """The broker closed the connection, or said no."""


class Raw:
    """A connection; nothing is sent that is not asked for. `where` is a port of 127.0.0.1 or the path of a Unix socket."""

    def __init__(self, where, context=None, timeout=20):
        kind = socket.AF_INET if isinstance(where, int) else socket.AF_UNIX
        self.sock = socket.socket(kind, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(("127.0.0.1", where) if isinstance(where, int) else str(where))
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.buffer = b""
        self.messages = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Without a DISCONNECT."""
        self.sock.close()

    def send(self, *packets):
        try:
            self.sock.sendall(b"".join(packets))
        except (ConnectionError, ssl.SSLError):
            raise Refused("closed while sending") from None
        return self

    def receive(self):
        """The next packet, as (type, flags, body)."""
        while True:
            whole = self._whole()
            if whole:
                return whole
            try:
                more = self.sock.recv(1 << 16)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                raise Refused("closed")
            self.buffer += more

    def _whole(self):
        n = shift = 0
        for at in range(1, min(5, len(self.buffer))):
            n, shift = n | (self.buffer[at] & 127) << shift, shift + 7
            if self.buffer[at] < 128:
                if len(self.buffer) < at + 1 + n:
                    return None
                first, body, self.buffer = self.buffer[0], self.buffer[at + 1:at + 1 + n], self.buffer[at + 1 + n:]
                return first >> 4, first & 15, body
        return None

    def connect(self, client, **more):
        """Returns when the broker has accepted it."""
        self.send(connect(client, **more))
        kind, _, body = self.receive()
        if kind != CONNACK or body[1]:
            raise Refused(f"packet {kind} {body.hex()}")
        return self

    def subscribe(self, *filters, **more):
        """The answers, a number for each."""
        self.send(subscribe(*filters, **more))
        while True:
            kind, flags, body = self.receive()
            if kind == SUBACK:
                return list(body[-len(filters):])
            assert kind == PUBLISH, kind
            self.messages.append(message(flags, body))

    def ping(self):
        """The messages that came before the answer, as (topic, payload): the broker has handled all that was sent."""
        self.send(packet(PINGREQ))
        while True:
            kind, flags, body = self.receive()
            if kind == PINGRESP:
                messages, self.messages = self.messages, []
                return messages
            if kind == PUBLISH:
                self.messages.append(message(flags, body))

    def is_closed(self):
        """Whether the broker ends the connection, instead of answering."""
        try:
            self.ping()
        except Refused:
            return True
        return False


def message(flags, body):
    """Of a PUBLISH of MQTT 3.1.1."""
    n, = struct.unpack(">H", body[:2])
    return body[2:2 + n].decode(), body[2 + n + (2 if flags & 6 else 0):]
