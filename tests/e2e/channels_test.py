# SPDX-License-Identifier: Apache-2.0
"""The channels between containers and programs of the device that need no broker: REST to a published port, a shared file.
docs/containers.md describes them; client_device_test.py has the third, MQTT."""
import os
import urllib.error
import urllib.request

import pytest
import yaml

import guide
from servers.server import free_port, wait_until

# A REST service in a few lines: GET /cgi-bin/heading returns what the last POST has set.
REST = r"""
version: "3.4"
services:
  helm:
    image: {image}
    init: true
    stop_grace_period: 1s
    ports: ["127.0.0.1:{port}:8080"]
    command:
      - sh
      - -c
      - |
        busybox mkdir -p /www/cgi-bin
        echo none >/www/heading
        echo '#!/bin/sh' >/www/cgi-bin/heading
        echo '[ "$$REQUEST_METHOD" != POST ] || cat >/www/heading' >>/www/cgi-bin/heading
        echo 'echo "Content-Type: text/plain"; echo; cat /www/heading' >>/www/cgi-bin/heading
        busybox chmod 755 /www/cgi-bin/heading
        exec httpd -f -p 8080 -h /www
"""
# Answers each change of orders.txt.
SHARED_FOLDER = r"""
version: "3.4"
services:
  crew:
    image: {image}
    init: true
    stop_grace_period: 1s
    volumes: ["./exchange:/exchange"]
    command:
      - sh
      - -c
      - while :; do cat /exchange/orders.txt >/exchange/new 2>/dev/null && mv /exchange/new /exchange/done.txt; sleep 0.1; done
"""
SHARED_FILE = SHARED_FOLDER.replace("./exchange:/exchange", "./orders.txt:/orders.txt:ro\", \"./exchange:/exchange") \
    .replace("cat /exchange/orders.txt", "cat /orders.txt")


def deploy(device, text):
    device.put_object("ships", "docker-compose.yml", text)
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False"))


def test_the_guide_has_these_lines():
    crew = yaml.safe_load(SHARED_FOLDER)["services"]["crew"]
    assert crew["volumes"] == guide.compose_service("crew")["volumes"]
    helm = yaml.safe_load(REST.replace("{port}", "8090"))["services"]["helm"]
    assert helm["ports"] == guide.compose_service("helm")["ports"]


def rest(port, body=None):
    """What a program of the device gets; None while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi-bin/heading", body, timeout=5) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None


def test_a_program_of_the_device_uses_a_containers_rest_api(device_with, compose, engine, local_image):
    device, port = device_with(compose), free_port()
    deploy(device, REST.format(image=local_image, port=port))
    assert wait_until(lambda: rest(port), 30, "the service does not answer") == "none\n"
    assert rest(port, b"north by east\n") == "north by east\n"
    assert rest(port) == "north by east\n"
    # Published on 127.0.0.1 only, it is nobody else's.
    bound = engine.containers()["helm"].attrs["NetworkSettings"]["Ports"]["8080/tcp"]
    assert bound == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]


@pytest.fixture
def shared(user):
    """shared(device): a folder in the destination, of the application's user."""
    def make(device):
        folder = device.destination / "exchange"
        folder.mkdir()
        user.owns(folder)
        return folder

    return make


def wait_done(folder, text):
    path = folder / "done.txt"
    wait_until(lambda: path.exists() and path.read_text() == text, 30, f"the container does not see {text!r}")


def replace(path, text):
    """As programs should: whoever reads it sees the old or the new."""
    new = path.with_suffix(".tmp")
    new.write_text(text)
    os.replace(new, path)


def test_a_shared_folder_passes_each_version_of_a_file(device_with, compose, engine, local_image, shared):
    device = device_with(compose)
    folder = shared(device)
    replace(folder / "orders.txt", "cast off\n")
    deploy(device, SHARED_FOLDER.format(image=local_image))
    wait_done(folder, "cast off\n")
    replace(folder / "orders.txt", "make fast\n")
    wait_done(folder, "make fast\n")
    # It is the device's folder: it outlives the container.
    device.cli("stop")
    assert engine.containers(everything=True) == {}
    replace(folder / "orders.txt", "weigh anchor\n")
    device.cli("start")
    wait_done(folder, "weigh anchor\n")


def test_a_shared_file_is_seen_as_long_as_it_is_written_in_place(device_with, compose, local_image, shared):
    """As docs/containers.md explains: a mount of one file stays at the file that it was, so one that is replaced is not seen."""
    device = device_with(compose)
    folder, orders = shared(device), device.destination / "orders.txt"
    orders.write_text("cast off\n")
    deploy(device, SHARED_FILE.format(image=local_image))
    wait_done(folder, "cast off\n")
    orders.write_text("make fast\n")
    wait_done(folder, "make fast\n")
    replace(orders, "lost\n")
    (folder / "done.txt").unlink()
    wait_done(folder, "make fast\n")
