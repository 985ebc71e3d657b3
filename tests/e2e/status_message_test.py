# SPDX-License-Identifier: Apache-2.0
"""The status message: its documents, its ways to a broker, and brokers that are away, hung or restarted."""
import pytest

from documents import assert_failure, success
from servers.broker import STATUS_TOPIC
from servers.server import free_port

TOPICS = STATUS_TOPIC.rpartition("/")[0]


def wrong_group(device, n=1):
    """Its deployment fails at once, with the words "object" and "wrong<n>.yml"."""
    (device.folder / "objects/ships").mkdir(exist_ok=True)
    return device.group(key=f"wrong{n}.yml", name=f"wrong{n}.json")


@pytest.mark.parametrize("transport", ["tcp", "socket", "tls"])
def test_arrives_over(device, broker, status_messages, transport):
    device.use_broker(broker, transport)
    device.start()
    device.deploy(wrong_group(device), status=1)
    message = status_messages.next()
    assert (message.topic, message.qos, message.retain) == (STATUS_TOPIC, 1, False)
    device.deploy(wrong_group(device, 2), status=1)
    assert_failure(status_messages.next_json(), "InvalidParameter", "wrong2.yml")
    connection, = device.status["brokers"]
    assert connection["connected"] and not connection["error"]
    assert device.stop() == 0


def test_what_is_published_to_it_changes_nothing(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    assert status_messages.next_json() == success()
    before = engine.containers()["web"].id
    with broker.subscriber(f"{TOPICS}/sentinel") as sentinel:
        for topic, payload in ((STATUS_TOPIC, b'{"status":"fail"}'), (f"{TOPICS}/command", b'{"command":"stop"}'),
                               (f"{TOPICS}/status", b"\xff" * 1000), (f"{TOPICS}/sentinel", b"{}")):
            sentinel.client.publish(topic, payload, qos=1)
        sentinel.next()
    status = device.status
    assert (status["state"], status["brokers"][0]["connected"], status["job"]) == ("running", True, None)
    assert engine.containers()["web"].id == before
    assert device.stop() == 0


def test_says_why_a_broker_refuses_us(device, broker):
    """Over TLS it wants a certificate."""
    device.host["mqtt"] = {name: value for name, value in broker.over("tls").items()
                           if name not in ("certificate", "privateKey")}
    device.start()
    status = device.wait_status(lambda status: status["brokers"][0]["error"])
    assert status["brokers"][0]["connected"] is False
    assert status["brokers"][0]["name"] == f"localhost:{broker.tls_port}"
    assert device.stop() == 0


def test_names_the_version_that_was_asked_for(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    group = device.local_group(["web"], local_image, DockerComposeFileS3Version="2026-10")
    plain = device.folder / "objects/ships/docker-compose.yml"
    plain.rename(plain.with_name("docker-compose.yml@2026-10"))
    device.start(group)
    assert status_messages.next_json() == success("2026-10")
    assert set(engine.containers()) == {"web"}


def test_goes_to_every_broker_and_waits_for_the_one_that_is_away(device, broker, status_messages):
    device.host["mqtt"] = [{"host": "127.0.0.1", "port": free_port()}, broker.over("socket")]
    device.start()
    device.deploy(wrong_group(device), status=1)
    assert_failure(status_messages.next_json(), "InvalidParameter", "wrong1.yml")
    status = device.wait_status(lambda status: status["brokers"][0]["error"] and not status["brokers"][1]["waiting"])
    assert [(item["connected"], item["waiting"]) for item in status["brokers"]] == [(False, 1), (True, 0)]
    assert device.stop() == 0


def statuses_on_disk(device):
    """How many status messages wait in the outboxes; what containers do waits there, too."""
    return len(list((device.folder / "state/outbox").rglob("*.status")))


@pytest.fixture
def harbour_wall(device, broker):
    """The broker's socket, by another name: whoever goes by that name finds the broker only while the link is there."""
    link = device.folder / "broker.sock"
    link.symlink_to(broker.socket)
    device.host["mqtt"] = {"socket": str(link)}
    return link


def test_a_broker_restarted_in_the_middle_gets_the_message(device, held, engine, broker, harbour_wall, local_image,
                                                           status_messages):
    device.start()
    device.wait_status(lambda status: status["brokers"][0]["connected"])
    held.hold("up")
    with device.begin(device.local_group(["first", "second"], local_image)) as deployment:
        held.wait_held("up")
        harbour_wall.unlink()
        broker.restart()
        held.release()
        # The deployment does not wait for the broker.
        assert deployment.end()["exit"] == 0
    assert set(engine.containers()) == {"first", "second"}
    device.wait_status(lambda status: not status["brokers"][0]["connected"])
    assert statuses_on_disk(device) == 1
    # Subscribed again for sure, before the message can come.
    status_messages.wait_subscribed()
    harbour_wall.symlink_to(broker.socket)
    assert status_messages.next_json() == success()


def test_messages_outlive_lightermand_and_keep_their_order(device, broker, harbour_wall, status_messages):
    harbour_wall.unlink()
    device.start()
    for n in (1, 2, 3):
        device.deploy(wrong_group(device, n), status=1)
    device.kill()
    device.start()
    # Nothing was ever deployed, so the start tries the last one again.
    device.wait_status(lambda status: status["brokers"][0]["waiting"] == 4)
    assert statuses_on_disk(device) == 4
    harbour_wall.symlink_to(broker.socket)
    for n in (1, 2, 3, 3):
        assert_failure(status_messages.next_json(), "InvalidParameter", f"wrong{n}.yml")
    device.wait_status(lambda status: status["brokers"][0]["waiting"] == 0)
    assert device.stop() == 0
    assert status_messages.none_waits()


def test_a_broker_that_hangs_holds_nothing_up(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start()
    device.wait_status(lambda status: status["brokers"][0]["connected"])
    with broker.frozen():
        device.deploy(device.local_group(["web"], local_image))
        assert set(engine.containers()) == {"web"}
        assert statuses_on_disk(device) == 1
    assert status_messages.next_json() == success()
