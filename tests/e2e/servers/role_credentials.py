# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the three services that hand out a role's credentials: the AWS IoT credentials provider (TLS with
client certificates), the EC2 instance metadata service, version 2, and the container endpoint of Amazon ECS.

No package has them. The last two are held to what botocore's own clients take (role_credentials_test.py).
"""
import datetime
import http.server
import json
import re
import secrets
import select
import ssl
import threading
import time

FAULTS = ("slow", "500", "429", "rubbish", "half", "close")


class RoleCredentials:
    """Everything is answered on loopback, from the threads of this process."""

    ROLE, ALIAS, AUTHORIZATION = "ship-role", "ship-role-alias", "Basic c2hpcA=="
    CONTAINER_PATH = "/v2/credentials/ship"

    def __init__(self, authority):
        self.authority = authority
        self.lock = threading.Lock()
        self.servers = {}
        self.tls_version = None
        self.reset()

    def reset(self):
        """As it was made: nothing attached, nothing asked, no faults."""
        self.things = {}           # the certificate's common name: names of things
        self.tokens = {}           # of the metadata service: when they end
        self.requests = []         # (service, method, path, headers)
        self.faults = []           # of the requests to come, in turn
        self.issued = 0
        self.lifetime_s = 3600
        self.keys = None           # lasting ones to hand out instead of numbered ones
        self.ended = threading.Event()

    @property
    def running(self):
        return bool(self.servers)

    def start(self):
        assert not self.servers, "it runs already"
        self.ended.clear()
        for service, handler in (("iot", Iot), ("metadata", Metadata), ("container", Container)):
            server = Listener(handler, self, self._tls() if service == "iot" else None)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self.servers[service] = server

    def use_tls(self, version):
        """Of this version only: "1.2" or "1.3"; None: of both."""
        self.tls_version = version
        self.stop()
        self.start()

    def stop(self):
        self.ended.set()
        servers, self.servers = self.servers, {}
        for server in servers.values():
            server.shutdown()
            server.server_close()

    def address(self, service):
        return f"127.0.0.1:{self.servers[service].server_port}"

    def attach(self, device, thing):
        """Attaches a thing to a device's certificate, which is made; the members for `credentials` in a host file."""
        certificate, key = self.authority.issue(device)
        self.things.setdefault(device, set()).add(thing)
        return {"roleAlias": self.ALIAS, "endpoint": self.address("iot"), "certificate": str(certificate),
                "privateKey": str(key), "ca": str(self.authority.certificate)}

    def metadata_environment(self):
        """The variables with which a program asks the metadata service."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{self.address('metadata')}"}

    def container_environment(self):
        """The variables with which a program asks the container endpoint."""
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{self.address('container')}{self.CONTAINER_PATH}",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": self.AUTHORIZATION}

    def fail(self, *faults):
        """What comes instead of the next answers, of FAULTS; None: the answer."""
        assert all(fault is None or fault in FAULTS for fault in faults)
        self.faults += faults

    def issue(self):
        """New credentials, numbered: (id, secret, token, expiration)."""
        with self.lock:
            self.issued += 1
            number = self.issued
        end = datetime.datetime.utcfromtimestamp(time.time() + self.lifetime_s).strftime("%Y-%m-%dT%H:%M:%SZ")
        access_key, secret = self.keys or (f"ASIA{number:04}", f"secret-{number}")
        return access_key, secret, f"token-{number}", end

    def take_fault(self):
        with self.lock:
            return self.faults.pop(0) if self.faults else None

    def _tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("iot-credentials-provider"))
        context.load_verify_locations(self.authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        if self.tls_version:
            context.minimum_version = context.maximum_version = {
                "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[self.tls_version]
        return context


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, handler, owner, tls):
        super().__init__(("127.0.0.1", 0), handler)
        self.owner, self.tls = owner, tls

    def get_request(self):
        sock, address = super().get_request()
        if self.tls:  # the handshake is made by the connection's own thread, when it first reads
            sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, request, client_address):
        pass  # clients that leave, or are not let in, are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    service = None
    protocol_version = "HTTP/1.1"

    def handle(self):
        if self.server.tls:
            self.connection.do_handshake()
        super().handle()

    def do_GET(self):
        owner = self.server.owner
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        owner.requests.append((self.service, self.command, self.path, dict(self.headers)))
        fault = owner.take_fault()
        if fault is None:
            self.answer(owner)
        else:
            self.misbehave(fault)

    do_PUT = do_GET

    def answer(self, owner):
        raise NotImplementedError

    def reply(self, status, body, kind="application/json"):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def misbehave(self, fault):
        if fault in ("500", "429"):
            self.reply(int(fault), {"message": "Rate exceeded" if fault == "429" else "Internal failure"})
            return
        if fault == "rubbish":
            self.reply(200, "<html>secret-rubbish</html>", "text/html")
            return
        self.close_connection = True
        if fault == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"AccessKeyId\": \"secret-half")
        if fault == "slow":  # until the client has enough of it
            while not self.server.owner.ended.is_set() and not select.select([self.connection], [], [], 0.02)[0]:
                pass

    def log_message(self, *_):
        pass


class Iot(Handler):
    service = "iot"

    def answer(self, owner):
        device = dict(pair for rdn in self.connection.getpeercert()["subject"] for pair in rdn)["commonName"]
        asked = re.fullmatch(r"/role-aliases/([^/]+)/credentials", self.path)
        thing = self.headers.get("x-amzn-iot-thingname")
        if self.command != "GET" or not asked:
            self.reply(400, {"message": "Invalid request"})
        elif device not in owner.things or thing is not None and thing not in owner.things[device]:
            self.reply(403, {"message": "Access Denied"})
        elif asked[1] != owner.ALIAS:
            self.reply(404, {"message": "Role alias does not exist"})
        else:
            names = ("accessKeyId", "secretAccessKey", "sessionToken", "expiration")
            self.reply(200, {"credentials": dict(zip(names, owner.issue()))})


def role_document(owner):
    return dict(zip(("AccessKeyId", "SecretAccessKey", "Token", "Expiration"), owner.issue()))


class Metadata(Handler):
    service = "metadata"
    ROLES = "/latest/meta-data/iam/security-credentials/"

    def answer(self, owner):
        if "X-Forwarded-For" in self.headers:
            self.reply(403, "", "text/plain")
        elif self.path == "/latest/api/token":
            self.open_session(owner)
        elif owner.tokens.get(self.headers.get("X-aws-ec2-metadata-token"), 0) < time.monotonic():
            self.reply(401, "<html>Unauthorized</html>", "text/html")
        elif self.path == self.ROLES:
            self.reply(200, owner.ROLE, "text/plain")
        elif self.path == self.ROLES + owner.ROLE:
            self.reply(200, {"Code": "Success", "Type": "AWS-HMAC", **role_document(owner)})
        else:
            self.reply(404, "<html>Not Found</html>", "text/html")

    def open_session(self, owner):
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.command != "PUT" or not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            self.reply(400 if self.command == "PUT" else 405, "", "text/plain")
            return
        token = secrets.token_urlsafe(40) + "=="
        owner.tokens[token] = time.monotonic() + int(seconds)
        self.reply(200, token, "text/plain")


class Container(Handler):
    service = "container"

    def answer(self, owner):
        if self.headers.get("Authorization") != owner.AUTHORIZATION:
            self.reply(401, {"code": "Unauthorized", "message": "the token is not this container's"})
        elif self.path != owner.CONTAINER_PATH:
            self.reply(404, {"code": "InvalidIdInRequest", "message": "no such credentials"})
        else:
            self.reply(200, {"RoleArn": "arn:aws:iam::123456789012:role/ship", **role_document(owner)})
