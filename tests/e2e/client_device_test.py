# SPDX-License-Identifier: Apache-2.0
"""A container becomes a client device as docs/containers.md says: its files, its program with AWS's SDK, its commands."""
import json
import os
import time

import pytest

import guide
from documents import success
from servers.iot_core import IotCore
from servers.local_broker import CONNECTOR, THING, Peer, sanitized
from servers.node_image import make_node_image
from servers.server import run, wait_until

WAIT_S = 60
STATUS_TOPIC = "dockerapplicationdeploymentconnector/message/status"
DOCTORS = ["local broker", "device ports", "device user", "cloud bridge", "device certificates"]
NO_PULL = {"DockerPullBeforeUp": "False"}


class Yard:
    """A device with the application of the guide, and with its local broker as Peer expects one."""

    host, port = "127.0.0.1", 8883

    def __init__(self, device, engine):
        self.device, self.engine = device, engine
        self.authority = self
        self.socket = device.folder / "run/devices/broker.sock"

    def deploy(self, arrays=None, **parameters):
        return self.device.deploy(self.device.group(arrays=arrays or guide.arrays(), **NO_PULL, **parameters))

    def files(self, thing):
        return self.device.destination / "devices" / thing

    @property
    def certificate(self):
        return self.files(guide.OTHER) / "group-ca.pem"

    def issue(self, thing):
        return self.files(thing) / "device.pem", self.files(thing) / "device.key"

    def log(self):
        return self.device.stderr

    def printed(self):
        """What the container's program has printed."""
        return self.engine.containers(everything=True)["device"].logs().decode()

    def wait_printed(self, text, times=1):
        wait_until(lambda: self.printed().count(text) >= times, WAIT_S,
                   lambda: f"the program does not print {text!r}:\n{self.printed()}\n{self.device.stderr}")

    def received(self):
        """The messages that it has received."""
        return [json.loads(line.removeprefix("received ")) for line in self.printed().splitlines()
                if line.startswith("received ")]

    def wait_settled(self):
        """From 2 s after its start on, the broker is reloaded, not restarted, when something changes."""
        pid = self.device.status["devices"]["broker"]["pid"]
        wait_until(lambda: time.time() - os.stat(f"/proc/{pid}").st_ctime > 2.5, WAIT_S, "the broker does not stay")
        return pid

    def update_shadow(self):
        """The guide's command."""
        run(*guide.update_words(self.files(guide.OTHER)))


@pytest.fixture
def yard_with(device_with, engine, device_sdk, programs, port_443):
    """yard_with(compose, more of the host file): lightermand runs; nothing is deployed yet."""
    def make(compose, **host):
        image = make_node_image(engine, "harbour/device:1", device_sdk, guide.program())
        device = device_with(compose)
        mosquitto = device.folder / "mosquitto"
        words = " ".join([*sanitized(programs / "lighterman_router.so"), "/usr/sbin/mosquitto"])
        mosquitto.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        mosquitto.chmod(0o755)
        device.host["devices"] = {**guide.host()["devices"], "mosquitto": str(mosquitto)}
        device.host["devices"].update(host.pop("devices", {}))
        device.host.update(host)
        device.put_object("ships", "docker-compose.yml", guide.compose_file("device", image=image))
        device.start()
        return Yard(device, engine)

    return make


def test_a_container_receives_the_update_of_another_device(yard_with, compose):
    """The procedure of AWS's documentation, "Configure MQTT communication with Docker containers"."""
    yard = yard_with(compose)
    yard.deploy()
    yard.wait_printed("subscribed\n")
    yard.update_shadow()
    yard.wait_printed("received ")
    [message] = yard.received()
    assert message["state"] == {"desired": {"heading": 12}}
    assert message["version"] == 1
    assert set(message) == {"state", "metadata", "version", "timestamp"}
    assert abs(message["timestamp"] - time.time()) < WAIT_S
    # The broker reports once a second.
    found = yard.device.wait_status(lambda status: status["devices"]["routed"] >= 1)["devices"]
    assert (found["devices"], found["subscriptions"], found["refused"]) == (2, 2, 0), found
    assert [client["connected"] for client in found["clients"] if client["name"] == guide.THING] == [True]
    shown = yard.device.cli("status").stdout
    assert "local broker     running on port 8883" in shown
    assert "discovery        running on port 8443" in shown
    # And doctor finds all of it in order.
    checks = yard.device.cli_json("doctor", "--config", yard.device.write_host_file(), check=False)["checks"]
    found = {name: [check for check in checks if check["check"] == name] for name in DOCTORS}
    assert all(found.values())
    assert [check for name in DOCTORS for check in found[name] if check["ok"] is False or check["warning"]] == [], found
    assert sum("running" in check["message"] for check in found["device ports"]) == 3, found
    assert "the server certificate is valid until" in found["device certificates"][0]["message"]
    # What the application's user has: its own files, and nobody else reads them.
    for thing in (guide.THING, guide.OTHER):
        assert {path.name for path in yard.files(thing).iterdir()} == {"device.key", "device.pem", "group-ca.pem", "root-ca.pem"}
        for path in (yard.files(thing), *yard.files(thing).iterdir()):
            assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (yard.device.user.uid, 0), path


def test_a_message_that_no_subscription_allows_reaches_nobody(yard_with, compose2):
    yard = yard_with(compose2)
    arrays = guide.arrays()
    del arrays["Subscriptions"][0]  # Console may not ask the shadow service any more
    yard.deploy(arrays)
    yard.wait_printed("subscribed\n")
    yard.update_shadow()
    yard.device.wait_status(lambda status: status["devices"]["refused"] == 1)
    pid = yard.wait_settled()
    # With it again, by a deployment that leaves the container alone: it is still connected, and the shadow is new.
    yard.deploy(StopContainersOnNewDeployment="False")
    yard.update_shadow()
    yard.wait_printed("received ")
    [message] = yard.received()
    assert message["version"] == 1
    assert yard.device.status["devices"]["broker"]["pid"] == pid
    assert yard.printed().count("connected to") == 1


def test_a_removed_device_is_out_at_once(yard_with, compose2):
    yard = yard_with(compose2)
    yard.deploy()
    yard.wait_printed("subscribed\n")
    yard.wait_settled()
    console = Peer(yard, guide.OTHER).connect()
    yard.device.cli("device", "remove", guide.OTHER)
    console.wait_disconnected()
    console.close()
    [removed] = [found for found in yard.device.cli_json("device", "list") if found["name"] == guide.OTHER]
    assert removed["removed"]
    # The other one is not disturbed.
    assert yard.printed().count("connected to") == 1
    yard.device.wait_status(lambda status: status["devices"]["connected"] == 1)
    # Added again, it has another certificate.
    added = yard.device.cli_json("device", "add", guide.OTHER)
    assert added["in_group"] and added["sha256"] not in json.dumps(removed)


def test_the_status_message_reaches_a_device_by_a_subscription(yard_with, compose2):
    yard = yard_with(compose2)
    arrays = guide.arrays()
    arrays["Subscriptions"].append({"Id": "status", "Source": CONNECTOR.replace("us-west-2", yard.device.region),
                                    "Subject": STATUS_TOPIC, "Target": THING + guide.OTHER})
    yard.deploy(arrays)
    yard.wait_settled()
    console = Peer(yard, guide.OTHER).connect()
    console.subscribe(STATUS_TOPIC)
    yard.deploy(arrays, StopContainersOnNewDeployment="False", DockerContainerStatusLogFrequency="301")
    assert json.loads(console.next().payload) == success()
    console.close()


@pytest.fixture
def core(folder, authority):
    """In the place of AWS IoT Core."""
    server = IotCore(folder / "iot-core", authority)
    server.start()
    yield server
    server.stop()
    assert not server.violations


def test_devices_and_the_connector_exchange_messages_with_the_cloud(yard_with, compose2, core, authority):
    certificate, key = authority.issue("core")
    yard = yard_with(compose2, iot={"endpoint": core.host, "certificate": str(certificate), "privateKey": str(key),
                                    "ca": str(authority.certificate)}, devices={"cloudPort": core.port})
    arrays = guide.arrays()
    connector = CONNECTOR.replace("us-west-2", yard.device.region)
    arrays["Subscriptions"] += [
        {"Id": "up", "Source": THING + guide.OTHER, "Subject": "harbour/report", "Target": "cloud"},
        {"Id": "down", "Source": "cloud", "Subject": "harbour/order", "Target": THING + guide.OTHER},
        {"Id": "status", "Source": connector, "Subject": STATUS_TOPIC, "Target": "cloud"}]
    with core.client("#") as cloud:
        yard.deploy(arrays)
        status = cloud.next()
        assert (status.topic, json.loads(status.payload)) == (STATUS_TOPIC, success())
        wait_until(lambda: "harbour/order" in set().union(*core.filters.values()), WAIT_S,
                   lambda: f"the bridge subscribes to {core.filters}")
        console = Peer(yard, guide.OTHER).connect()
        console.subscribe("harbour/order")
        console.publish("harbour/report", b"fog")
        console.publish("harbour/secret", b"not allowed")
        message = cloud.next()
        assert (message.topic, message.payload) == ("harbour/report", b"fog")
        cloud.publish("harbour/order", b"sound the horn")
        assert console.next().payload == b"sound the horn"
        console.close()
    # It is known to be connected from the first message on; the broker reports once a second.
    yard.device.wait_status(lambda status: status["devices"]["cloud"]["connected"])
    shown = yard.device.cli("status").stdout
    assert "cloud            connected; messages sent: " in shown, shown
