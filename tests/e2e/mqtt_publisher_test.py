# SPDX-License-Identifier: Apache-2.0
"""Our MQTT publisher against mosquitto: transports, faults, and brokers and programs that come and go.

The publisher is driven by the program of tests/unit/mqtt/publisher_driver.c.
"""
import contextlib
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import threading

import pytest

from servers.authority import Authority
from servers.broker import STATUS_TOPIC, Broker
from servers.engine import compose_file
from servers.server import free_port, wait_until
from servers.strict_broker import StrictBroker

TOPIC = "driver/messages"
PRESENCE = "presence/of/it"
CONNECTION_TOPIC = "dockerapplicationdeploymentconnector/message/connection"
# Longer than the longest of the pauses between attempts that a test can meet.
RECONNECT_S = 60


class Publisher:
    """A running driver. Its lines are events, taken one after the other."""

    def __init__(self, words):
        # A clean environment, as the daemon has one; findings of the sanitizers go to stderr.
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
        self.events = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def send(self, payloads, topic=TOPIC):
        """Returns when all are taken, and safely on disk."""
        for payload in payloads:
            self.process.stdin.write(json.dumps({"topic": topic, "payload": payload}) + "\n")
        self.process.stdin.flush()
        for _ in payloads:
            event = self.next("taken")
            assert event["rc"] == "ok", event

    def next(self, *kinds, timeout=RECONNECT_S):
        """The next event of one of these kinds; what comes before it is dropped."""
        while True:
            try:
                event = self.events.get(timeout=timeout)
            except queue.Empty:
                raise AssertionError(f"no event {kinds} within {timeout} s") from None
            if event["event"] in kinds:
                return event

    def fault(self):
        """The reason of the first failed attempt."""
        event = self.next("connected", "disconnected")
        assert event["event"] == "disconnected", event
        assert 0 <= event["retry_ms"] <= 1000, event
        return event["why"]

    def stop(self, number=signal.SIGTERM):
        """Ends it, and returns its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        assert self.process.stderr.read() == ""
        self.reader.join()
        return status


@pytest.fixture
def publish(folder, request):
    """publish(where, outbox="outbox"): starts a publisher to the broker of a host file's `mqtt`."""
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/mqtt/publisher_driver"
    with contextlib.ExitStack() as running:
        def start(where, outbox="outbox"):
            publisher = Publisher([driver, json.dumps(where), folder / outbox])
            running.callback(lambda: publisher.process.poll() is None and publisher.process.kill())
            return publisher

        start.outbox = folder / "outbox"
        yield start


@pytest.fixture
def own_broker(folder, authority):
    """A durable broker of this test alone, not started yet."""
    broker = Broker(folder / "broker", authority, durable=True)
    yield broker
    broker.stop()


def take(subscriber, count):
    return [subscriber.next().payload.decode() for _ in range(count)]


def numbers(first, last):
    return [f"message {i}" for i in range(first, last)]


@pytest.mark.parametrize("transport", ["tcp", "socket", "tls", "password"])
def test_publisher_sends_in_order_over(broker, publish, transport):
    with broker.subscriber(TOPIC) as subscriber:
        publisher = publish(broker.over(transport))
        publisher.send(numbers(0, 100))
        publisher.next("drained")
        assert take(subscriber, 100) == numbers(0, 100)
        publisher.send(["the last"])
        publisher.next("drained")
        assert take(subscriber, 1) == ["the last"]
        assert publisher.stop() == 0
        assert not list(publish.outbox.iterdir())


def test_publisher_sends_the_largest_messages_over_tls(broker, publish):
    payloads = [letter * (128 << 10) for letter in "abcdefgh"]
    with broker.subscriber(TOPIC) as subscriber:
        publisher = publish(broker.over("tls"))
        publisher.send(payloads)
        publisher.next("drained")
        assert take(subscriber, len(payloads)) == payloads
    assert publisher.stop() == 0


def test_publisher_says_goodbye(broker, publish):
    publisher = publish({**broker.over("tcp"), "clientId": "polite"})
    publisher.next("connected")
    assert publisher.stop() == 0
    wait_until(lambda: "Client polite disconnected." in broker.log(50), 30, lambda: broker.log(50))


@pytest.mark.parametrize("transport", ["tcp", "socket", "tls", "password"])
def test_publisher_tells_when_it_is_connected_and_when_it_ends(broker, publish, transport):
    with broker.subscriber("presence/#") as subscriber:
        publisher = publish({**broker.over(transport), "presenceTopic": PRESENCE})
        assert take(subscriber, 1) == ["connected 1"]
        assert publisher.stop() == 0
        assert take(subscriber, 1) == ["ended 1"]
        # A last will would come before what is published after it.
        publisher = publish({**broker.over(transport), "presenceTopic": "presence/other"}, "other")
        assert take(subscriber, 1) == ["connected 1"]
        assert publisher.stop() == 0


@pytest.mark.parametrize("transport", ["tcp", "socket", "tls"])
def test_publisher_that_is_killed_has_left_a_last_will(broker, publish, transport):
    with broker.subscriber(PRESENCE) as subscriber:
        publisher = publish({**broker.over(transport), "presenceTopic": PRESENCE})
        assert take(subscriber, 1) == ["connected 1"]
        publisher.stop(signal.SIGKILL)
        message = subscriber.next()
        assert (message.payload, message.qos, message.retain) == (b"lost 1", 1, False)


def test_publisher_tells_of_each_connection_after_what_waited(own_broker, publish):
    own_broker.start()
    with own_broker.subscriber("#", session="keeper") as keeper:
        publisher = publish({**own_broker.over("tcp"), "presenceTopic": PRESENCE})
        assert take(keeper, 1) == ["connected 1"]
        own_broker.stop()
        publisher.next("disconnected")
        publisher.send(numbers(0, 3))
        own_broker.start()
        arrived = []
        while not arrived or not arrived[-1].startswith("connected"):
            arrived += take(keeper, 1)
        # The old broker may have published the will as it ended.
        assert [text for text in arrived if text != "lost 1"][:-1] == numbers(0, 3)
        assert arrived[-1] != "connected 1"
        assert publisher.stop() == 0


def test_lightermand_tells_of_its_connections(device, broker):
    device.use_broker(broker)
    with broker.subscriber(CONNECTION_TOPIC) as subscriber:
        device.start()
        first = subscriber.next_json()
        device.kill()
        lost = subscriber.next_json()
        device.start()
        second = subscriber.next_json()
        assert device.stop() == 0
        ended = subscriber.next_json()
    assert [message["state"] for message in (first, lost, second, ended)] == ["connected", "lost", "connected", "ended"]
    assert all(set(message) == {"id", "time", "state", "connection", "thing", "version"} for message in (first, lost, second))
    assert first["connection"] == lost["connection"] != second["connection"] == ended["connection"]
    assert (lost["time"], lost["thing"]) == (None, "Gateway")
    assert len({message["id"] for message in (first, lost, second, ended)}) == 4


def test_a_broker_that_allows_the_status_alone_gets_it_and_no_reconnect_loop(device_with, compose2, broker, local_image):
    device = device_with(compose2)
    group = device.local_group(["web"], local_image)
    with StrictBroker({STATUS_TOPIC}) as strict, broker.subscriber("dockerapplicationdeploymentconnector/#") as all_of_it:
        device.host["mqtt"] = [strict.where, broker.over("tcp")]
        device.start()
        device.deploy(group)
        topic, payload = strict.messages.get(timeout=60)
        assert (topic, json.loads(payload)["status"]) == (STATUS_TOPIC, "success")
        status = device.wait_status(lambda status: status["brokers"][0]["connected"]
                                    and len(status["brokers"][0]["refused_topics"]) == 3, 120)
        assert set(status["brokers"][0]["refused_topics"]) == {
            f"dockerapplicationdeploymentconnector/message/{name}" for name in ("containers", "progress", "connection")}
        assert status["brokers"][1]["refused_topics"] == []
        assert "rejects topic dockerapplicationdeploymentconnector/message/" in device.cli("status").stdout
        # The next deployment is told over the connection that there is.
        connections = strict.connections
        device.put_object("ships", "docker-compose.yml", compose_file(None, ["other"], local_image))
        device.deploy(group)
        strict.messages.get(timeout=60)
        device.wait_status(lambda status: status["brokers"][0]["connected"])
        assert strict.connections == connections
        topics = {all_of_it.next().topic.rsplit("/", 1)[1] for _ in range(20)}
        assert {"status", "containers", "progress", "connection"} >= topics
        assert device.stop() == 0
    assert device.log.count("closes the connection at each message to the topic") <= 3


def test_topics_can_be_renamed_and_switched_off_for_a_broker(device_with, compose2, broker, local_image):
    device = device_with(compose2)
    device.host["mqtt"] = {**broker.over("tcp"), "topics": {"progress": False, "containers": "boat/containers",
                                                           "connection": "boat/connection"}}
    with broker.subscriber("#") as subscriber:
        device.start(device.local_group(["web"], local_image))
        topics = {}
        while STATUS_TOPIC not in topics or "boat/containers" not in topics:
            message = subscriber.next()
            topics[message.topic] = message
        device.kill()
        while json.loads((message := subscriber.next()).payload).get("state") != "lost":
            topics[message.topic] = message
        assert message.topic == "boat/connection"
        assert set(topics) == {STATUS_TOPIC, "boat/containers", "boat/connection"}


@contextlib.contextmanager
def away_started(server):
    server.start()
    try:
        yield
    finally:
        server.stop()


def test_a_broker_gets_a_status_once_while_the_outbox_of_another_refuses_it(device_with, compose2, broker, folder, authority,
                                                                            local_image):
    device = device_with(compose2)
    away = Broker(folder / "away", authority)
    device.host["mqtt"] = [broker.over("tcp"), away.over("tcp")]
    outbox = device.folder / f"state/outbox/127.0.0.1_{away.port}"
    # Directories have the names of its temporary files: no status is taken, to root too.
    refusals = [outbox / f".{number:020}.status.tmp" for number in range(1, 101)]
    for path in refusals:
        path.mkdir(parents=True)
    with broker.subscriber(STATUS_TOPIC) as subscriber:
        device.start(device.local_group(["web"], local_image))
        assert subscriber.next_json()["status"] == "success"
        device.wait_log("put the status message into the outbox: ")
        device.deploy(device.local_group(["web", "more"], local_image))
        assert subscriber.next_json()["status"] == "success"
        for path in refusals:
            path.rmdir()
        wait_until(lambda: list(outbox.glob("*.status")), 60, "the outbox of the other broker never takes it")
        device.wait_status(lambda status: status["brokers"][0]["waiting"] == 0)
        assert subscriber.none_waits()
        with away_started(away), away.subscriber(STATUS_TOPIC) as other:
            assert [other.next_json(120)["status"] for _ in range(2)] == ["success"] * 2
    assert not (outbox / "taken").exists()
    assert device.stop() == 0


def test_publisher_that_nobody_asked_to_tells_nothing_of_itself(broker, publish):
    with broker.subscriber("#") as subscriber:
        publisher = publish(broker.over("tcp"))
        publisher.send(["the only one"])
        publisher.next("drained")
        publisher.stop(signal.SIGKILL)
        publisher = publish(broker.over("tcp"))
        publisher.send(["the second"])
        assert take(subscriber, 2) == ["the only one", "the second"]
        assert publisher.stop() == 0


@pytest.mark.parametrize("change, words", [
    ({"passwordFile": "wrong"}, ["refuses us: not authorised", "check username and passwordFile"]),
    ({"username": "nobody"}, ["refuses us: not authorised", "check username and passwordFile"]),
    ({"username": None, "passwordFile": None}, ["refuses us: not authorised", "check username and passwordFile"]),
    ({"passwordFile": "/nowhere/password"}, ["mqtt: passwordFile", "/nowhere/password", "No such file"]),
])
def test_publisher_says_that_the_password_is_wrong(broker, publish, folder, change, words):
    (folder / "wrong").write_text("hunter2")
    where = {**broker.over("password"), **change}
    if where["passwordFile"] == "wrong":
        where["passwordFile"] = str(folder / "wrong")
    publisher = publish(where)
    why = publisher.fault()
    assert all(word in why for word in words), why
    assert "hunter2" not in why
    assert publisher.stop() == 0


def test_publisher_reads_the_password_again_for_each_attempt(broker, publish, folder):
    password = folder / "password"
    password.write_text("hunter2")
    publisher = publish({**broker.over("password"), "passwordFile": str(password)})
    publisher.fault()
    password.write_text(broker.PASSWORD)
    publisher.next("connected")
    assert publisher.stop() == 0


def test_publisher_refuses_a_broker_of_another_authority(broker, publish, folder):
    other = Authority(folder / "other", "Somebody else")
    why = publish({**broker.over("tls"), "ca": str(other.certificate)}).fault()
    assert f"the certificate of the MQTT broker localhost:{broker.tls_port} is not accepted" in why
    assert "check that ca is the file of the CA" in why


def test_publisher_without_a_ca_trusts_the_systems_only(broker, publish):
    where = broker.over("tls")
    del where["ca"]
    assert f"the certificate of the MQTT broker localhost:{broker.tls_port} is not accepted (" in publish(where).fault()


def test_publisher_refuses_a_broker_of_another_name(broker, publish):
    # It resolves to the broker in the sandbox, and the broker's certificate does not have it.
    with open("/etc/hosts", "a", encoding="ascii") as hosts:
        hosts.write("127.0.0.1 other.example\n")
    why = publish({**broker.over("tls"), "host": "other.example"}).fault()
    assert "is not accepted (hostname mismatch); host must be a name" in why
    assert publish({**broker.over("tls"), "host": "127.0.0.1"}, "ip").next("connected", "disconnected") == \
        {"event": "connected"}


def test_publisher_points_to_the_clock_for_an_expired_certificate(authority, publish, own_broker):
    certificate, key = authority.issue("expired", days=-1)
    config = own_broker.folder / "mosquitto.conf"
    issued = authority.issue("localhost")
    config.write_text(config.read_text().replace(str(issued[0]), str(certificate)).replace(str(issued[1]), str(key)))
    own_broker.start()
    assert "is not accepted (certificate has expired); check the device's clock" in \
        publish(own_broker.over("tls")).fault()


def assert_points_to_certificate(why):
    # What the broker said of it is lost where sending to it failed before that could be read.
    assert "(certificate, privateKey)" in why, why
    assert "closed the connection before it answered" in why or "TLS with the MQTT broker localhost" in why, why


def test_publisher_says_that_the_broker_wants_a_certificate(broker, publish):
    where = broker.over("tls")
    del where["certificate"], where["privateKey"]
    assert_points_to_certificate(publish(where).fault())


def test_publisher_says_that_the_broker_does_not_take_the_certificate(broker, publish, folder):
    certificate, key = Authority(folder / "other", "Somebody else").issue("core")
    where = {**broker.over("tls"), "certificate": str(certificate), "privateKey": str(key)}
    assert_points_to_certificate(publish(where).fault())


def test_publisher_says_that_a_port_speaks_tls_or_does_not(broker, publish):
    plain = publish({"host": "127.0.0.1", "port": broker.tls_port}, "plain").fault()
    assert "closed the connection before it answered; check port, and whether it asks for TLS" in plain
    assert_points_to_certificate(publish({**broker.over("tls"), "port": broker.port}, "tls").fault())


def test_publisher_says_that_nobody_is_there(publish, folder):
    port = free_port()
    assert f"no MQTT broker listens on 127.0.0.1:{port} (Connection refused)" in \
        publish({"host": "127.0.0.1", "port": port}, "a").fault()
    assert f"no MQTT broker listens on the socket {folder}/none.sock (No such file or directory)" in \
        publish({"socket": f"{folder}/none.sock"}, "b").fault()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{folder}/dead.sock")
    assert f"no MQTT broker listens on the socket {folder}/dead.sock (Connection refused)" in \
        publish({"socket": f"{folder}/dead.sock"}, "c").fault()


def test_publisher_says_that_the_name_is_unknown(publish):
    assert "the address of the MQTT broker 'broker.invalid' cannot be found (" in \
        publish({"host": "broker.invalid", "port": 1883}).fault()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("transport", ["tcp", "socket", "tls"])
def test_publisher_says_that_the_broker_went(own_broker, publish, transport, number):
    own_broker.start()
    publisher = publish(own_broker.over(transport))
    publisher.next("connected")
    own_broker.stop(number)
    assert "closed the connection; if this persists, see its log" in publisher.next("disconnected")["why"]
    assert publisher.stop() == 0


def test_publisher_waits_for_a_broker_that_starts_later(own_broker, publish):
    publisher = publish(own_broker.over("tcp"))
    publisher.send(numbers(0, 10))
    publisher.next("disconnected")
    own_broker.start()
    with own_broker.subscriber(TOPIC) as subscriber:
        publisher.send(numbers(10, 20))
        publisher.next("drained")
        received = take(subscriber, 10)
        # The first ten may have come before anyone had subscribed.
        assert received == numbers(10, 20) or received + take(subscriber, 10) == numbers(0, 20)
    assert publisher.stop() == 0


def assert_arrives_in_order(keeper, arrived, expected):
    """A message may come twice, where an acknowledgement was lost; none is lost, or overtakes another."""
    while expected[-1] not in arrived:
        arrived += take(keeper, 1)
    assert list(dict.fromkeys(arrived)) == expected


def test_publisher_loses_nothing_while_the_broker_is_restarted(own_broker, publish):
    own_broker.start()
    arrived = []
    with own_broker.subscriber(TOPIC, session="keeper") as keeper:
        publisher = publish(own_broker.over("tcp"))
        for turn in range(0, 300, 100):
            publisher.send(numbers(turn, turn + 50))
            arrived += take(keeper, 10)
            own_broker.stop()
            publisher.send(numbers(turn + 50, turn + 100))
            own_broker.start()
        assert_arrives_in_order(keeper, arrived, numbers(0, 300))
        wait_until(lambda: not list(publish.outbox.iterdir()), 30, "acknowledged messages stay in the outbox")
        assert publisher.stop() == 0


def test_publisher_that_was_killed_sends_what_waited(own_broker, publish):
    publisher = publish(own_broker.over("tcp"))
    publisher.send(numbers(0, 50))
    publisher.stop(signal.SIGKILL)
    own_broker.start()
    with own_broker.subscriber(TOPIC) as subscriber:
        publisher = publish(own_broker.over("tcp"))
        publisher.next("drained")
        assert take(subscriber, 50) == numbers(0, 50)
        assert subscriber.none_waits()
        assert publisher.stop() == 0


def test_publisher_that_is_killed_while_it_sends_goes_on(broker, publish):
    arrived = []
    with broker.subscriber(TOPIC) as subscriber:
        for turn in range(0, 300, 100):
            publisher = publish(broker.over("tcp"))
            publisher.send(numbers(turn, turn + 100))
            arrived += take(subscriber, 10)
            publisher.stop(signal.SIGKILL)
        publisher = publish(broker.over("tcp"))
        assert_arrives_in_order(subscriber, arrived, numbers(0, 300))
        assert publisher.stop() == 0


def test_publisher_can_be_stopped_while_it_connects(publish):
    """A port that takes no connection and refuses none: connect() hangs in the system."""
    with socket.socket() as hole, socket.socket() as filler, socket.socket() as another:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for sock in (filler, another):
            sock.setblocking(False)
            sock.connect_ex(hole.getsockname())
        publisher = publish({"host": "127.0.0.1", "port": hole.getsockname()[1]})
        publisher.send(["waits"])
        threads = pathlib.Path(f"/proc/{publisher.process.pid}/task")
        wait_until(lambda: len(list(threads.iterdir())) == 2, 30, "no attempt is under way")
        assert publisher.stop() == 0


def test_publisher_refuses_settings_that_cannot_work(publish):
    publisher = publish({"host": "127.0.0.1", "port": 1883, "certificate": "/c"})
    assert publisher.process.wait(30) == 1
    assert publisher.process.stderr.read() == "mqtt: certificate and privateKey belong together\n"
