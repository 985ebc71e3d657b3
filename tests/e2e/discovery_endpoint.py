# SPDX-License-Identifier: Apache-2.0
"""lighterman-discovery over a folder as lightermand writes it, and clients that speak to it byte by byte."""
import contextlib
import hashlib
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess

from servers.server import free_port, wait_until

GROUP = "0a1b2c3d-0000-4000-8000-000000000001"
CORE = "arn:aws:iot:us-west-2:123456789012:thing/Grp_Core"
# What the AWS IoT Device SDK for Python looks for in an answer, with regard to case (spec/wire-formats.md section 1).
STATUS = re.compile(rb"HTTP/1\.1 ([0-9]+) ")
LENGTH = re.compile(rb"content-length: ([0-9]+)\r\n")
FINDING = re.compile(r"ERROR: (Address|Leak)Sanitizer|: runtime error: |SUMMARY: \w+Sanitizer")


def fingerprint(certificate):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


class Answer:
    def __init__(self, received):
        self.received = received
        self.head, _, self.body = received.partition(b"\r\n\r\n")
        self.head += b"\r\n\r\n"
        self.status = int(STATUS.match(received)[1])

    def field(self, name):
        found = re.search(rb"\r\n" + name.encode() + rb": ([^\r\n]*)\r\n", self.head)
        return found and found[1].decode()

    @property
    def json(self):
        return json.loads(self.body)


class Endpoint:
    """`document` may be changed until start(), and for reload() after write()."""

    START_S = 30
    STOP_S = 30

    def __init__(self, folder, program, authority, user=None):
        self.folder, self.program, self.authority, self.user = folder, program, authority, user
        self.process = None
        self.port = free_port()
        self.log_path = folder / "stderr"
        self.environment = {"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": str(folder / "notify"),
                            "UBSAN_OPTIONS": "print_stacktrace=1"}
        self.files = folder / "discovery"
        self.files.mkdir()
        self.files.chmod(0o755)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        (folder / "notify").chmod(0o777)
        self.document = {"format": 1, "group": GROUP, "core": CORE, "port": 8883, "addresses": ["172.17.0.1", "127.0.0.1"],
                         "ca": authority.certificate.read_text(), "devices": [], "listen": [{"port": self.port}]}
        self.put_identity("discovery-server", ("localhost", "127.0.0.1", "::1"))
        shutil.copy(authority.certificate, self.files / "client-ca.pem")

    def put_identity(self, name, hosts=("localhost", "127.0.0.1")):
        certificate, key = self.authority.issue(name, hosts)
        shutil.copy(certificate, self.files / "server.pem")
        shutil.copy(key, self.files / "server.key")
        self.files.joinpath("server.key").chmod(0o600)
        if self.user:
            self.user.owns(self.files / "server.key")
        return certificate

    def add(self, thing, *certificates):
        self.document["devices"].append({"name": thing, "certificates": [fingerprint(path) for path in certificates]})

    def add_issued(self, *things):
        """Things with a certificate each; returns the pairs of certificate and key."""
        pairs = [self.authority.issue(thing) for thing in things]
        for thing, pair in zip(things, pairs):
            self.add(thing, pair[0])
        return pairs[0] if len(pairs) == 1 else pairs

    def write(self):
        (self.files / "discovery.json").write_text(json.dumps(self.document))

    def launch(self, wrap=(), **more):
        self.write()
        words = [*wrap, self.program, "--folder", self.files] + (["--user", self.user.name] if self.user else [])
        # The leak check cannot look into a hardened process that is not root.
        environment = {**self.environment, "ASAN_OPTIONS": f"detect_leaks={0 if self.user else 1}"}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, **more)

    def start(self, **more):
        self.launch(**more)
        self.wait_ready()

    def wait_ready(self):
        self.notify.settimeout(self.START_S)
        while b"READY=1" not in self.notify.recv(4096):
            pass

    def reload(self, write=True):
        if write:
            self.write()
        self.process.send_signal(signal.SIGHUP)
        self.wait_ready()

    def stop(self):
        """Returns the exit status."""
        if not self.process:
            return None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        status = process.wait(self.STOP_S)
        assert not FINDING.search(self.log), self.log
        return status

    def finish(self):
        try:
            assert self.stop() in (None, 0), self.log
        finally:
            self.notify.close()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, text, seconds=20):
        wait_until(lambda: text in self.log, seconds, lambda: f"not in the log: {text}\n{self.log}")

    # Clients.

    def context(self, pair=None, alpn=None):
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if pair:
            context.load_cert_chain(*map(str, pair))
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    @contextlib.contextmanager
    def connected(self, pair=None, alpn=None, port=None, source="127.0.0.1", host="127.0.0.1"):
        """A connection after its handshake."""
        with socket.create_connection((host, port or self.port), timeout=20, source_address=(source, 0)) as plain:
            with self.context(pair, alpn).wrap_socket(plain, server_hostname="localhost") as tls:
                yield tls

    def ask(self, thing, pair=None, **more):
        """As the AWS IoT Device SDK for Python asks."""
        return self.send(f"GET /greengrass/discover/thing/{thing} HTTP/1.1\r\nHost: localhost:{self.port}\r\n\r\n".encode(),
                         pair, **more)

    def send(self, request, pair=None, **more):
        with self.connected(pair, **more) as tls:
            tls.sendall(request)
            return Answer(read_all(tls))

    def idle(self, n, source):
        """`n` connections that send nothing."""
        return [socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0)) for _ in range(n)]


def read_all(sock):
    received = b""
    while piece := sock.recv(65536):
        received += piece
    return received


def is_closed(sock):
    """Whether the other end has closed it, waiting up to its time limit."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def capabilities(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def close_all(socks):
    for sock in socks:
        sock.close()

