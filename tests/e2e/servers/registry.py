# SPDX-License-Identifier: Apache-2.0
"""Registries: Debian's docker-registry, with or without a password file, and one that answers for ECR's hosts."""
import base64
import contextlib
import hashlib
import http.client
import json
import ssl
import urllib.parse

from servers.server import Server, free_port, run


class Registry(Server):
    USER, PASSWORD = "alice", "s3cret"

    def __init__(self, folder, private=True):
        super().__init__(folder)
        self.private = private
        self.port = free_port()
        self.address = f"localhost:{self.port}"
        self.credentials = {"username": self.USER, "password": self.PASSWORD, "registryUrl": self.address}
        text = f"""
version: 0.1
log: {{accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{self.port}"}}
"""
        if private:
            self.write("htpasswd", run("htpasswd", "-Bbn", self.USER, self.PASSWORD).stdout)
            text += f"auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}\n"
        self.write("config.yml", text)

    def commands(self):
        return [["docker-registry", "serve", str(self.folder / "config.yml")]]

    def is_ready(self):
        connection = self._connect()
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == (401 if self.private else 200)
        except OSError:
            return False
        finally:
            connection.close()

    def auth(self, password=None, user=None):
        """As the docker module takes it."""
        return {"username": user or self.USER, "password": password or self.PASSWORD, "serveraddress": self.address}

    def image(self, name):
        return f"{self.address}/{name}"

    def secret(self, **other):
        """The value of a secret that opens this registry, as a person keeps it in the store."""
        return {**self.credentials, **other}

    def layers(self, reference):
        """The layers of an image, as it says: [(digest, bytes)]."""
        name, tag = reference.removeprefix(self.address + "/").rsplit(":", 1)
        connection = self._connect()
        login = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        connection.request("GET", f"/v2/{name}/manifests/{tag}", headers={
            "Accept": "application/vnd.docker.distribution.manifest.v2+json", "Authorization": f"Basic {login}"})
        with connection.getresponse() as answer:
            assert answer.status == 200, answer.read()
            manifest = json.load(answer)
        connection.close()
        return [(layer["digest"], layer["size"]) for layer in manifest["layers"]]

    def _connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def _send(self, method, path, body=None, **headers):
        """Returns the headers of the answer, which is a good one."""
        connection = self._connect()
        login = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        connection.request(method, path, body, {**({"Authorization": f"Basic {login}"} if self.private else {}), **headers})
        with contextlib.closing(connection), connection.getresponse() as answer:
            assert answer.status < 300, answer.read()
            return dict(answer.getheaders())

    def put_blob(self, name, content):
        """Returns its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self._send("POST", f"/v2/{name}/blobs/uploads/")["Location"]
        url = urllib.parse.urlsplit(place)
        self._send("PUT", f"{url.path}?{url.query}&digest={urllib.parse.quote(digest)}", content,
                   **{"Content-Type": "application/octet-stream"})
        return digest

    def put_manifest(self, name, tag, document):
        """Returns its digest."""
        return self._send("PUT", f"/v2/{name}/manifests/{tag}", json.dumps(document).encode(),
                          **{"Content-Type": document["mediaType"]})["Docker-Content-Digest"]

    def publish(self, name, tag, files, artifact="application/vnd.docker.compose.project",
                config="application/vnd.oci.empty.v1+json"):
        """Stores an artifact as `docker compose publish` does, of these files: [(media type, name, text)]. Returns its
        digest."""
        layers = [{"mediaType": kind, "digest": self.put_blob(name, text.encode()), "size": len(text.encode()),
                   "annotations": {"com.docker.compose.version": "2.26.1",
                                   "com.docker.compose." + ("file" if "yaml" in kind else "envfile"): file}}
                  for kind, file, text in files]
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": artifact,
                    "config": {"mediaType": config, "digest": self.put_blob(name, b"{}"), "size": 2}, "layers": layers,
                    "annotations": {"org.opencontainers.image.created": "2026-11-30T00:00:00Z"}}
        if not artifact:
            del document["artifactType"]
        return self.put_manifest(name, tag, document)

    def requests(self):
        """How often it was asked for anything, by its own log."""
        return sum("http.request.method" in line for line in self.log(10**9).splitlines())


class EcrRegistry(Registry):
    """Behind hosts of ECR, whose names lead here: by TLS, and open to the user AWS with the token of the hour.

    It has an address of its own: for registries on 127.0.0.0/8 an engine neither checks certificates nor stays with
    TLS."""

    ADDRESS = "192.0.2.1"
    USER, PASSWORD = "AWS", "first-token"
    HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    FIPS_HOST = "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com"
    OTHER_HOST = "210987654321.dkr.ecr.eu-west-1.amazonaws.com"  # of another account
    HOSTS = (HOST, FIPS_HOST, OTHER_HOST)

    @classmethod
    def name_hosts(cls):
        """Before an engine starts: it reads /etc/hosts, which is the sandbox's copy, only now and then."""
        run("ip", "address", "replace", f"{cls.ADDRESS}/32", "dev", "lo")
        with open("/etc/hosts", "a", encoding="utf-8") as file:
            file.write(f"{cls.ADDRESS} {' '.join(cls.HOSTS)}\n")

    def __init__(self, folder, authority):
        super().__init__(folder)
        certificate, key = authority.issue("ecr", self.HOSTS)
        self.address = self.HOST
        text = (folder / "config.yml").read_text().replace(f"127.0.0.1:{self.port}", f"{self.ADDRESS}:443")
        self.write("config.yml", text.replace("http: {", f"http: {{tls: {{certificate: {certificate}, key: {key}}}, "))

    def _connect(self):
        return http.client.HTTPSConnection(self.ADDRESS, 443, timeout=5, context=ssl._create_unverified_context())

    def set_password(self, password):
        """From now on only that is taken; the server notices."""
        self.write("htpasswd", run("htpasswd", "-Bbn", self.USER, password).stdout)

    def is_ready(self):
        connection = self._connect()
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 401
        except OSError:
            return False
        finally:
            connection.close()
