# SPDX-License-Identifier: Apache-2.0
"""Stands in front of a real server, and does what bad networks and servers in trouble do."""
import contextlib
import dataclasses
import math
import os
import select
import socket
import struct
import threading

from servers.server import free_port

METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ")


@dataclasses.dataclass
class Trouble:
    """What becomes of a request whose bytes have `where` in them."""
    kind: str  # "stall", "reset", "answer", "truncate"
    where: bytes = b""
    answer: bytes = b""
    after: int = 0  # bytes of the server's answer that still pass
    times: float = math.inf


class Relay:
    """Listens on `port` and passes all on to `target`, a port of 127.0.0.1 or the path of a socket. With a `path` it listens
    there instead. `hits` counts how often there was trouble; on_request(n, line) is called before request n is passed on."""

    def __init__(self, target, path=None):
        self.target, self.path = target, path
        self.port = None if path else free_port()
        self.trouble, self.hits = None, 0
        self.requests, self.on_request = 0, lambda n, line: None
        self.lock, self.sockets = threading.Condition(), set()
        self.listener = None
        self._listen()

    def _listen(self):
        if self.path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.path.unlink(missing_ok=True)
            self.listener.bind(str(self.path))
            self.path.chmod(0o666)
            self.listener.listen(64)
        else:
            self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """Nobody listens any more; what is connected is reset."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.reset_all()

    def reset_all(self):
        with self.lock:
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def gone(self):
        """Meanwhile nobody listens."""
        self.close()
        try:
            yield
        finally:
            self._listen()

    @contextlib.contextmanager
    def troubled(self, kind, **more):
        """Meanwhile there is that Trouble, which there must have been at the end."""
        self.hits = 0
        if kind in ("stall", "reset"):
            self.reset_all()  # what is connected already meets it at its next connection
        self.trouble = Trouble(kind, **more)
        try:
            yield
            assert self.hits, f"nobody met the trouble '{kind}'"
        finally:
            with self.lock:
                self.trouble = None
                self.lock.notify_all()

    def answering(self, status, text="", where=b"", **more):
        """Meanwhile the server's own answer does not come."""
        answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()
        return self.troubled("answer", where=where, answer=answer, **more)

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _connect(self):
        if isinstance(self.target, int):
            return socket.create_connection(("127.0.0.1", self.target))
        server = socket.socket(socket.AF_UNIX)
        server.connect(os.fspath(self.target))
        return server

    def _serve(self, client):
        server = None
        try:
            server = self._connect()
            with self.lock:
                self.sockets |= {client, server}
            self._pass_on(client, server)
        except OSError:
            pass
        finally:
            with self.lock:
                self.sockets -= {client, server}
            client.close()
            if server:
                server.close()

    def _meets(self, data):
        """The trouble that these bytes of a client meet, or None."""
        with self.lock:
            trouble = self.trouble
            if not trouble or trouble.where not in data or trouble.times <= 0:
                return None
            trouble.times -= 1
            self.hits += 1
            return trouble

    def _pass_on(self, client, server):
        met, left = None, 0
        while True:
            for side in select.select([client, server], [], [])[0]:
                data = side.recv(65536)
                other = server if side is client else client
                if not data:
                    if side is server:
                        return
                    with contextlib.suppress(OSError):
                        server.shutdown(socket.SHUT_WR)
                    # What is still to come is the server's.
                    while data := server.recv(65536):
                        client.sendall(data)
                    return
                if side is client:
                    self._count(data)
                    met = self._meets(data)
                    left = met.after if met else 0
                if met and met.kind == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if met and met.kind == "answer":
                    client.sendall(met.answer)
                    return
                if met and met.kind == "stall":
                    with self.lock:
                        self.lock.wait_for(lambda: self.trouble is not met)  # pylint: disable=cell-var-from-loop
                if met and met.kind == "truncate" and side is server:
                    data, left = data[:left], max(left - len(data), 0)
                    other.sendall(data)
                    if left == 0:
                        return
                    continue
                other.sendall(data)

    def _count(self, data):
        if data.startswith(METHODS):
            with self.lock:
                self.requests += 1
                n = self.requests
            self.on_request(n, data.split(b"\r\n", 1)[0].decode(errors="replace"))
