# SPDX-License-Identifier: Apache-2.0
"""Logins at registries that do not answer, or not yet: version 7 tries again, earlier ones do not."""
import contextlib
import socket
import threading

from servers.engine import compose_file


def put_file(device, image):
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))


class Gate:
    """A way to a server that hangs up on everybody until it is opened."""

    def __init__(self, port):
        self.target, self.is_open = port, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                client, _ = self.listener.accept()
                if not self.is_open:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=(source, sink), daemon=True).start()


def copy(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_version_7_tries_again(device, engine, registry, image):
    gate = Gate(registry.port)
    ours = image.replace(registry.address, gate.address)
    with contextlib.closing(gate.listener):
        secret = device.put_secret("harbour", registry.secret(registryUrl=gate.address))
        put_file(device, ours)
        device.start()
        with device.begin(device.group(secrets=[secret])) as deployment:
            device.wait_log("retrying in")
            gate.is_open = True
            assert deployment.end()["exit"] == 0, device.log
    assert set(engine.containers()) == {"web"}
    device.stop()
    engine.forget_image(ours)


def test_version_6_tries_a_login_once(device, registry, image):
    group = device.group(version=6, secrets=[device.put_secret("harbour", registry.secret())])
    put_file(device, image)
    device.start()
    registry.stop()
    done = device.deploy(group, status=1)
    assert f"log in to registry {registry.address}: " in done.stderr
    assert "retrying" not in device.log


def test_a_refused_password_is_not_tried_again(device, registry, image):
    group = device.group(secrets=[device.put_secret("harbour", registry.secret(password="wr0ng"))])
    put_file(device, image)
    device.start()
    done = device.deploy(group, status=1)
    assert f"registry {registry.address} refuses user {registry.USER}" in done.stderr
    assert "retrying" not in device.log and "wr0ng" not in device.log
