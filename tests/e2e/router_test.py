# SPDX-License-Identifier: Apache-2.0
"""The plugin of the local broker: what goes where, and that nothing goes elsewhere.

That a message does not come is shown by the next one, END, which goes the same way behind it.
"""
import pytest

from servers.local_broker import CONNECTOR, LAMBDA, Refused

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
