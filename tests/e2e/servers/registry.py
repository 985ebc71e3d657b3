# SPDX-License-Identifier: Apache-2.0
"""A registry, private or open to all: Debian's docker-registry, with or without a password file."""
import base64
import http.client
import json

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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == (401 if self.private else 200)
        except OSError:
            return False
        finally:
            connection.close()

    def auth(self, password=PASSWORD, user=USER):
        """As the docker module takes it."""
        return {"username": user, "password": password, "serveraddress": self.address}

    def image(self, name):
        return f"{self.address}/{name}"

    def secret(self, **other):
        """The value of a secret that opens this registry, as a person keeps it in the store."""
        return {**self.credentials, **other}

    def layers(self, reference):
        """The layers of an image, as it says: [(digest, bytes)]."""
        name, tag = reference.removeprefix(self.address + "/").rsplit(":", 1)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        login = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        connection.request("GET", f"/v2/{name}/manifests/{tag}", headers={
            "Accept": "application/vnd.docker.distribution.manifest.v2+json", "Authorization": f"Basic {login}"})
        with connection.getresponse() as answer:
            assert answer.status == 200, answer.read()
            manifest = json.load(answer)
        connection.close()
        return [(layer["digest"], layer["size"]) for layer in manifest["layers"]]

    def requests(self):
        """How often it was asked for anything, by its own log."""
        return sum("http.request.method" in line for line in self.log(10**9).splitlines())
