# SPDX-License-Identifier: Apache-2.0
"""The plugin of the local broker: what goes where, and that nothing goes elsewhere.

That a message does not come is shown by the next one, END, which goes the same way behind it.
"""
import signal
from random import Random

import pytest
from paho.mqtt.client import MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from servers.broker import Broker
from servers.local_broker import CONNECTOR, LAMBDA, PASSWORD, THING, Refused, fingerprint, sanitized
from servers.server import run

FUNCTION = LAMBDA + "Counter:1"
END = "end"


@pytest.fixture
def broker(local_broker):
    """Three devices; END goes from each to each."""
    local_broker.add("A", "B", "C")
    for source in "ABC":
        for target in "ABC":
            local_broker.route(source, END, target)
    local_broker.route("A", "sensor/+/temperature", "B")
    local_broker.start()
    return local_broker


def test_a_message_reaches_the_targets_of_its_subscription_and_nobody_else(broker):
    a, b, c = (broker.connect(name, "#") for name in "ABC")
    a.publish("sensor/1/temperature", b"20")
    a.publish(END)
    assert (b.next().payload, b.next_topic()) == (b"20", END)
    assert c.next_topic() == END
    assert a.next_topic() == END
    status = broker.wait_status(lambda status: status["routed"] == 2)
    assert status["delivered"] == 4 and status["refused"] == 0
    assert sorted(status["connected"]) == ["A", "B", "C"]


def test_the_other_way_needs_a_subscription_of_its_own(broker):
    a, b = broker.connect("A", "#"), broker.connect("B", "#")
    b.publish("sensor/1/temperature", b"20")
    b.publish(END)
    assert a.next_topic() == END
    assert b.next_topic() == END
    status = broker.wait_status(lambda status: status["refused"] == 1)
    assert {client["name"]: client["refused"] for client in status["clients"]} == {"A": 0, "B": 1}
    assert "refused a message of 'B', 'sensor/1/temperature': no subscription has that source and subject" in broker.log()


def test_a_client_id_needs_its_certificate(broker):
    for name, certificate in (("A", "B"), ("A", "stranger"), ("D", "A"), ("", "A"), ("arn:aws:iot::1:thing/A", "A")):
        with pytest.raises(Refused):
            broker.client("A", client_id=name, certificate=certificate).connect()
    status = broker.wait_status(lambda status: status["refused_connections"] >= 4)
    assert status["connected"] == []


def test_a_reload_routes_anew_and_keeps_connections(broker):
    a, b = broker.connect("A", "#"), broker.connect("B", "#")
    broker.route("B", "light", "A").reload()
    b.publish("light", b"on")
    assert a.next().payload == b"on"
    broker.unroute("A", "sensor/+/temperature", "B")
    broker.reload()
    a.publish("sensor/1/temperature")
    a.publish(END)
    assert b.next_topic() == END
    assert a.events.empty() and b.events.empty()


def test_functions_and_the_connector_use_the_socket(broker):
    broker.route(FUNCTION, "count", CONNECTOR).route(CONNECTOR, "status", FUNCTION).reload()
    function, connector = broker.connect(FUNCTION, "#"), broker.connect(CONNECTOR, "#")
    function.publish("count", b"1")
    connector.publish("status", b"up")
    assert connector.next().payload == b"1"
    assert function.next().payload == b"up"


def test_a_client_that_is_away_gets_nothing_later(broker):
    a, b = broker.connect("A"), broker.connect("B", "#", session=True)
    b.disconnect()
    broker.wait_status(lambda status: status["connected"] == ["A"])
    a.publish("sensor/1/temperature", b"20")
    b = broker.client("B", session=True).connect()
    a.publish(END)
    assert b.next_topic() == END


def stalled(broker, a, count=30):
    """B, whose session holds messages that it did not acknowledge, and that were not sent yet."""
    b = broker.connect("B", "#", session=True)
    b.client.loop_stop()
    for number in range(count):
        a.publish("sensor/1/temperature", str(number).encode())
    b.drop()
    broker.wait_status(lambda status: status["connected"] == ["A"])
    return broker.client("B", session=True)


def test_what_was_not_acknowledged_comes_again(broker):
    a = broker.connect("A")
    b = stalled(broker, a).connect()
    assert [b.next().payload for _ in range(30)] == [str(number).encode() for number in range(30)]


def test_what_waits_is_lost_with_the_subscription_that_sent_it(broker):
    a = broker.connect("A")
    # C may send the same to B, and that stays.
    broker.route("C", "sensor/#", "B").reload()
    b = stalled(broker, a)
    broker.unroute("A", "sensor/+/temperature", "B")
    broker.reload()
    check_emptied(b.connect(), a)


def check_emptied(b, a):
    """mosquitto would count as not acknowledged what was dropped, so B has to connect once more; then all is well."""
    b.wait_disconnected()
    b.connect()
    for number in range(40):
        a.publish(END, str(number).encode())
    assert [b.next().payload for _ in range(40)] == [str(number).encode() for number in range(40)]


def test_what_waits_is_lost_with_the_broker(broker):
    a = broker.connect("A")
    stalled(broker, a)
    broker.restart()
    check_emptied(broker.client("B", session=True).connect(), broker.connect("A"))


def test_a_reload_leaves_delayed_wills_and_sessions_alone(broker):
    b = broker.connect("B", "#", session=True)
    properties = Properties(PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = 2
    will = {"topic": "sensor/1/temperature", "payload": b"gone", "properties": properties}
    broker.client("A", version=MQTTv5, will=will).connect(expiry=60).drop()
    broker.wait_status(lambda status: status["connected"] == ["B"])
    broker.reload()
    assert b.next().payload == b"gone"
    assert broker.status()["refused_connections"] == 0


def test_nothing_is_retained(broker):
    a, b = broker.connect("A"), broker.connect("B", "#")
    a.publish("sensor/1/temperature", b"20", retain=True)
    message = b.next()
    assert (message.payload, message.retain) == (b"20", False)
    b.subscribe("sensor/#", "sensor/1/temperature")
    a.publish(END)
    assert b.next_topic() == END


def test_what_the_store_retains_reaches_nobody(local_broker, authority, folder):
    other = Broker(local_broker.folder, authority, durable=True)
    other.start()
    run("mosquitto_pub", "-p", other.port, "-t", "old", "-m", "20", "-r", "-q", "1")
    other.stop()
    local_broker.add("A", "B").route("A", "#", "B").start()
    a, b = local_broker.connect("A"), local_broker.connect("B", "#", "old")
    a.publish(END)
    assert b.next_topic() == END


def test_a_will_goes_where_its_client_may_send(broker):
    b, c = broker.connect("B", "#"), broker.connect("C", "#")
    a = broker.connect("A", will={"topic": "sensor/1/temperature", "payload": b"gone"})
    a.drop()
    assert b.next().payload == b"gone"
    b.publish(END)
    assert c.next_topic() == END


@pytest.mark.parametrize("will", [
    {"topic": "secret", "payload": b"gone", "qos": 1},
    {"topic": "$SYS/broker/connection/A/state", "payload": b"1"},
    {"topic": "$lighterman/cloud/x", "payload": b"1"},
    {"topic": "sensor/1/temperature", "payload": b"gone", "retain": True}])
def test_a_will_that_is_not_allowed_is_refused(broker, will):
    b, c = broker.connect("B", "#"), broker.connect("C", "#")
    a = broker.connect("A", will=will)
    a.drop()
    broker.wait_status(lambda status: "A" not in status["connected"] and status["refused"] == 1 or "$SYS" in will["topic"])
    a = broker.connect("A")
    b.subscribe("sensor/#", "secret")
    a.publish(END)
    assert b.next_topic() == END and c.next_topic() == END


def test_a_will_with_a_delay_is_judged_when_it_comes(broker):
    b = broker.connect("B", "#")
    properties = Properties(PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = 1
    will = {"topic": "sensor/1/temperature", "payload": b"gone", "properties": properties}
    broker.client("A", version=MQTTv5, will=will).connect(expiry=60).drop()
    assert b.next().payload == b"gone"
    broker.client("A", version=MQTTv5, will=will).connect(expiry=60).drop()
    broker.unroute("A", "sensor/+/temperature", "B")
    broker.reload()
    broker.wait_status(lambda status: status["refused"] == 1)
    a = broker.connect("A")
    a.publish(END)
    assert b.next_topic() == END


def test_a_will_dies_with_the_certificate_that_left_it(broker):
    b = broker.connect("B", "#")
    properties = Properties(PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = 1
    will = {"topic": "sensor/1/temperature", "payload": b"gone", "properties": properties}
    broker.client("A", version=MQTTv5, will=will).connect(expiry=60).drop()
    broker.wait_status(lambda status: status["connected"] == ["B"])
    broker.table["devices"][0]["certificates"] = [fingerprint(broker.authority.issue("stranger")[0])]
    broker.reload()
    broker.wait_status(lambda status: status["refused"] == 1)
    a = broker.connect("A", certificate="stranger")
    a.publish(END)
    assert b.next_topic() == END


def test_the_will_of_a_client_whose_place_is_taken_is_judged_too(broker):
    b, c = broker.connect("B", "#"), broker.connect("C", "#")
    first = broker.connect("A", will={"topic": "sensor/1/temperature", "payload": b"first"})
    second = broker.connect("A", "#", will={"topic": "secret", "payload": b"second"})
    assert b.next().payload == b"first"
    first.wait_disconnected()
    first.client.loop_stop()
    second.publish(END)
    assert b.next_topic() == END and second.next_topic() == END
    third = broker.connect("A")
    second.wait_disconnected()
    second.client.loop_stop()
    third.publish(END)
    assert b.next_topic() == END and c.next_topic() == END and c.next_topic() == END


def test_topics_of_the_broker_are_closed(broker):
    broker.route("A", "$SYS/#", "B").route("A", "$lighterman/#", "B").route("A", "$CONTROL/#", "B").route("A", "$share/#", "B")
    broker.reload()
    a, b = broker.connect("A"), broker.connect("B", "#")
    assert b.subscribe("$SYS/#", "$SYS/broker/uptime", "$share/group/#", "$share/group/sensor/1/temperature",
                       "$CONTROL/#", "$lighterman/cloud/#") == 6 * [0x80]
    for topic in ("$SYS/broker/connection/A/state", "$CONTROL/dynamic-security/v1", "$lighterman/cloud/x", "$share/group/x"):
        a.publish(topic)
    a.publish(END)
    assert b.next_topic() == END


def test_a_filter_decides_nothing(broker):
    a = broker.connect("A", "#", "+", "sensor/+/+", "+/#")
    c = broker.connect("C", "#", "sensor/#", "sensor/1/temperature", "/#")
    a.publish("sensor/1/temperature")
    a.publish(END)
    assert c.next_topic() == END and a.next_topic() == END


def test_a_second_client_with_the_same_id_needs_the_same_certificate(broker):
    a, b = broker.connect("A"), broker.connect("B", "#")
    for certificate in ("B", "stranger"):
        with pytest.raises(Refused):
            broker.client("A", certificate=certificate).connect()
    with pytest.raises(Refused):
        broker.client("A", local=True).connect()
    assert a.events.empty()
    a.publish("sensor/1/temperature", b"20")
    assert b.next().payload == b"20"


def test_qos_2_is_not_taken(broker):
    a, b = broker.connect("A"), broker.connect("B", "#")
    a.client.publish("sensor/1/temperature", b"20", qos=2)
    a.wait_disconnected()
    a.client.loop_stop()
    with pytest.raises(Refused):
        broker.client("A", will={"topic": "sensor/1/temperature", "qos": 2}).connect()
    a = broker.connect("A")
    a.publish(END)
    assert b.next_topic() == END


def test_extended_authentication_is_no_way_in(broker):
    properties = Properties(PacketTypes.CONNECT)
    properties.AuthenticationMethod = "SCRAM-SHA-1"
    peer = broker.client("A", version=MQTTv5, certificate="B")
    peer.client.connect("localhost", broker.port, properties=properties)
    peer.client.loop_start()
    assert peer.event("connect", "disconnect") != ("connect", 0)
    peer.client.loop_stop()
    status = broker.wait_status(lambda status: status["refused_connections"] > 0)
    assert status["connected"] == []


def test_a_topic_alias_stands_for_its_topic_only(broker):
    a, b = broker.client("A", version=MQTTv5).connect(), broker.connect("B", "#")
    for topic, payload in (("secret", b"1"), ("", b"2"), ("sensor/1/temperature", b"3"), ("", b"4"), ("secret", b"5"), ("", b"6")):
        properties = Properties(PacketTypes.PUBLISH)
        properties.TopicAlias = 1
        a.publish(topic, payload, properties=properties)
    a.publish(END)
    assert [b.next().payload for _ in range(2)] == [b"3", b"4"]
    assert b.next_topic() == END


def test_a_device_that_is_removed_is_out_at_once(broker):
    c = broker.connect("C", "#")
    a = broker.connect("A", will={"topic": END, "payload": b"will"})
    b = broker.connect("B", "#", session=True)
    # Another certificate is another device.
    broker.table["devices"][1]["certificates"] = [fingerprint(broker.authority.issue("stranger")[0])]
    broker.remove("A")
    broker.reload()
    for peer in (a, b):
        peer.wait_disconnected()
        peer.client.loop_stop()
        with pytest.raises(Refused):
            broker.client(peer.name).connect()
    b = broker.client("B", certificate="stranger", session=True).connect()
    b.publish(END, b"new")
    assert b.next().payload == b"new" and c.next().payload == b"new"
    broker.wait_status(lambda status: sorted(status["connected"]) == ["B", "C"] and len(status["clients"]) == 2)


def test_the_socket_is_for_functions_and_the_connector(broker):
    for name in ("A", "B", "", "cloud", "GGShadowService", "local.lighterman-cloud-1", "arn:aws:iot:us-west-2:123456789012:thing/A",
                 FUNCTION):
        with pytest.raises(Refused):
            broker.client("A", client_id=name, local=True).connect()
    for user, password in ((CONNECTOR, "wrong"), ("A", PASSWORD), (CONNECTOR, None)):
        with pytest.raises(Refused):
            broker.client(CONNECTOR, user=user, password=password).connect()
    with pytest.raises(Refused):
        broker.client(CONNECTOR, local=False, certificate="A").connect()


def test_a_function_may_have_a_certificate(broker):
    broker.table["functions"].append({"arn": FUNCTION, "certificates": [fingerprint(broker.authority.issue("function")[0])]})
    broker.route(FUNCTION, "count", "B").reload()
    with pytest.raises(Refused):
        broker.client(FUNCTION, local=False, certificate="B").connect()
    function, b = broker.connect(FUNCTION, local=False, certificate="function"), broker.connect("B", "#")
    function.publish("count")
    assert b.next_topic() == "count"
    broker.table["functions"].clear()
    broker.table["subscriptions"].clear()
    broker.reload()
    function.wait_disconnected()


def test_large_topics_and_payloads_are_refused(broker):
    broker.route("A", "#", "B").reload()
    a, b = broker.connect("A"), broker.connect("B", "#")
    a.publish("x" * 257)
    a.publish("x", b"x" * (128 << 10))
    a.publish("x", b"x" * ((128 << 10) + 1))
    a.publish(END)
    assert len(b.next().payload) == 128 << 10
    assert b.next_topic() == END
    assert broker.wait_status(lambda status: status["routed"] == 2)["refused"] == 2
    assert "message of 'A', 'x': it is longer than 128 KiB" in broker.log()
    a.publish("x", b"x" * (144 << 10), qos=0)  # no packet for mosquitto
    # Not by what the client says: its thread may end in the middle of its packet.
    broker.wait_status(lambda status: status["connected"] == ["B"])
    b.publish(END)
    assert b.next_topic() == END


def test_a_client_has_a_limited_number_of_filters(broker):
    b = broker.connect("B")
    for first in range(0, 500, 50):
        assert b.subscribe(*(f"filter/{first + number}" for number in range(50))) == 50 * [1]
    assert b.subscribe("one/more") == [0x80]
    assert b.subscribe("filter/1") == [0x80]


def test_a_table_that_cannot_be_read_leaves_the_old_one(broker):
    a, b = broker.connect("A"), broker.connect("B", "#")
    for text in ("", "{", '{"format":2}', '{"format":1,"devices":[{"name":"A"}]}', "[" * 100000):
        broker.write("router.json", text)
        before = broker.status()["table_error"]
        broker.processes[0].send_signal(signal.SIGHUP)
        broker.wait_status(lambda status: status["table_error"] not in (None, before))  # pylint: disable=cell-var-from-loop
        a.publish("sensor/1/temperature")
        assert b.next_topic() == "sensor/1/temperature"
    broker.reload()
    assert broker.status()["table_error"] is None


def test_without_a_table_the_broker_does_not_start(local_broker):
    local_broker.write_configuration()
    for text, words in ((None, "open"), ("{}", "format is 0")):
        if text is not None:
            local_broker.write("router.json", text)
        done = run(*sanitized(local_broker.plugin), "mosquitto", "-c", local_broker.folder / "mosquitto.conf", check=False)
        assert done.returncode != 0 and words in done.stderr, done.stderr


LEVELS = ("a", "b", "", "$x", "ab")


def matches(subject, topic):
    """As Greengrass V1 and MQTT say, written down once more, by levels."""
    wanted, levels = subject.split("/"), topic.split("/")
    if topic.startswith("$") and not subject.startswith("$"):
        return False
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) <= len(wanted):
            return False
        levels = levels[:len(wanted)]
    return len(wanted) == len(levels) and all(one in ("+", other) for one, other in zip(wanted, levels))


def random_subject(random):
    levels = random.choices(LEVELS + ("+", "+"), k=random.randint(1, 3))
    if random.random() < 0.3:
        levels[-1] = "#"
    return "/".join(levels) or "a"


@pytest.mark.parametrize("seed", range(3))
def test_every_message_reaches_exactly_whom_the_table_says(local_broker, seed):
    """Random tables, one after the other in the same broker, and random messages."""
    random = Random(seed)
    devices = ["A", "B", "C", "D", "E"]
    peers = [*devices, FUNCTION, CONNECTOR]
    local_broker.add(*devices).route(FUNCTION, END, "A").start()
    clients = {name: local_broker.connect(name, "#", "$x/#") for name in peers}
    for _ in range(4):
        table = [(random.choice(peers), random_subject(random), random.choice(peers)) for _ in range(random.choice((5, 30, 150)))]
        local_broker.table["subscriptions"].clear()
        for subscription in table + [(FUNCTION, END, name) for name in peers]:
            local_broker.route(*subscription)
        local_broker.reload()
        expected = {name: [] for name in peers}
        for number in range(100):
            source, topic = random.choice(peers), "/".join(random.choices(LEVELS, k=random.randint(1, 4))) or "a"
            clients[source].publish(topic, str(number).encode())
            for name in {target for origin, subject, target in table if origin == source and matches(subject, topic)}:
                expected[name].append((topic, str(number).encode()))
        clients[FUNCTION].publish(END)
        for name in peers:
            received = []
            while (message := clients[name].next()).topic != END:
                received.append((message.topic, message.payload))
            assert received == expected[name], name


def test_the_largest_table_is_loaded_while_messages_flow(broker):
    names = [f"Device{number}" for number in range(2497)]
    for name in names:
        broker.table["devices"].append({"name": name, "arn": THING + name, "certificates": 2 * [64 * "0"], "sync": True})
    for number in range(10000 - len(broker.table["subscriptions"])):
        broker.route(names[number % 2497], f"building/{number}/+/temperature", names[number * 7 % 2497])
    a, b = broker.connect("A"), broker.connect("B", "#")
    broker.reload()
    for number in range(100):
        a.publish("sensor/1/temperature", str(number).encode(), qos=0)
        if number % 25 == 0:
            broker.reload()
    assert [b.next().payload for _ in range(100)] == [str(number).encode() for number in range(100)]
