# SPDX-License-Identifier: Apache-2.0
"""A broker with a policy, as AWS IoT Core: whoever publishes to a topic that is not allowed, or has a last will for one, is
disconnected without an answer. (mosquitto, with an ACL, acknowledges such a message and drops it.)"""
import queue
import socketserver
import struct
import threading

CONNECT, PUBLISH, PINGREQ = 1, 3, 12


class StrictBroker(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, allowed):
        super().__init__(("127.0.0.1", 0), Connection)
        self.allowed, self.messages, self.connections = set(allowed), queue.Queue(), 0
        self.port = self.server_address[1]
        self.where = {"host": "127.0.0.1", "port": self.port}

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.connections += 1
        while (packet := self._packet()) and self._answer(*packet):
            pass

    def _packet(self):
        head = self.rfile.read(1)
        if not head:
            return None
        length = shift = 0
        while True:
            byte = self.rfile.read(1)[0]
            length, shift = length | (byte & 127) << shift, shift + 7
            if byte < 128:
                return head[0] >> 4, self.rfile.read(length)

    def _answer(self, kind, body):
        if kind == CONNECT:
            if body[7] & 4 and self._will(body) not in self.server.allowed:
                return False
            self.wfile.write(b"\x20\x02\0\0")
        elif kind == PUBLISH:
            topic, rest = self._text(body)
            if topic not in self.server.allowed:
                return False
            self.server.messages.put((topic, rest[2:]))
            self.wfile.write(b"\x40\x02" + rest[:2])
        elif kind == PINGREQ:
            self.wfile.write(b"\xd0\0")
        return True

    @staticmethod
    def _text(body):
        n, = struct.unpack(">H", body[:2])
        return body[2:2 + n].decode(), body[2 + n:]

    def _will(self, body):
        _, rest = self._text(body[10:])
        return self._text(rest)[0]
