# SPDX-License-Identifier: Apache-2.0
"""The bridge to the cloud: mosquitto.conf as broker_config writes it, the plugin, and a stand-in for AWS IoT Core that ends
a connection on what the real one does not take."""
import contextlib
import json
import pathlib
import random
import signal
import subprocess

import pytest

from router_attack_test import corpus, damaged
from servers.iot_core import IotCore, ShadowService
from servers.local_broker import CONNECTOR, LocalBroker
from servers.server import wait_until

WAIT_S = 60
END = "end"
SHADOW = "$aws/things/A/shadow"
STATUS = "dockerapplicationdeploymentconnector/message/status"


class BridgedBroker(LocalBroker):
    """With the configuration of broker_config. A route from or to the cloud makes the bridge."""

    def __init__(self, folder, authority, programs, core, driver):
        super().__init__(folder, authority, programs)
        self.core, self.driver = core, driver
        self.data = folder / "data"
        self.data.mkdir()
        self.shadows_path = self.data / "shadows.db"
        self.endpoint = core.host
        self.table["cloud"] = True

    def sync(self, *names):
        for device in self.table["devices"]:
            device["sync"] = device["sync"] or device["name"] in names
        return self

    def settings(self):
        certificate, key = self.authority.issue("broker")
        core_certificate, core_key = self.authority.issue("core")
        return {"port": self.port, "user": "root", "plugin": str(self.plugin), "table": str(self.table_path),
                "status": str(self.status_path), "data": str(self.data), "socket": str(self.socket),
                "certificate": str(certificate), "key": str(key), "client_ca": str(self.authority.certificate),
                "cloud": {"endpoint": self.endpoint, "port": self.core.port, "core": "Grp_Core", "retry_max_s": 5,
                          "certificate": str(core_certificate), "key": str(core_key),
                          "ca": str(self.authority.certificate),
                          "subjects": [route["subject"] for route in self.table["subscriptions"]
                                       if route["source"] == "cloud"],
                          "sync_things": [device["name"] for device in self.table["devices"] if device["sync"]]}}

    def write_configuration(self):
        done = subprocess.run([self.driver], input=json.dumps(self.settings()), capture_output=True, text=True, check=True)
        self.write("mosquitto.conf", done.stdout)

    def kill(self):
        self.stop(signal.SIGKILL)

    def wait_saved(self, payload):
        """Until mosquitto's database has it."""
        path = self.data / "mosquitto.db"
        wait_until(lambda: path.exists() and payload in path.read_bytes(), WAIT_S, lambda: f"never saved\n{self.log()}")


@pytest.fixture
def core(folder, authority):
    server = IotCore(folder / "iot-core", authority)
    server.start()
    yield server
    server.stop()
    assert not server.violations


@pytest.fixture
def driver(request):
    return pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/broker/broker_config_driver"


@pytest.fixture
def broker(folder, authority, programs, core, driver):
    """Two devices; END goes from A to the cloud, and from the cloud to A."""
    server = BridgedBroker(folder / "local-broker", authority, programs, core, driver)
    server.add("A", "B").route("A", END, "cloud").route("cloud", END, "A")
    yield server
    server.stop()


def inward(core):
    """The names of the connections that subscribe."""
    return [name for name, filters in core.filters.items() if filters]


def wait_subscribed(core, *filters):
    wait_until(lambda: set(filters) <= set().union(*core.filters.values()), WAIT_S,
               lambda: f"subscribed: {core.filters}, violations {core.violations}")


def test_what_goes_to_the_cloud_and_comes_from_it_is_what_subscriptions_say(broker, core):
    broker.route("A", "up/#", "cloud").route("cloud", "down/+", "A").route("A", "local", "B")
    broker.route("cloud", "both", "A").route("A", "both", "cloud").route("cloud", "both", "cloud")
    broker.start()
    wait_subscribed(core, "down/+", "both", END)
    a, b = broker.connect("A", "#"), broker.connect("B", "#")
    with core.client("#") as cloud:
        b.publish("up/1", b"not allowed")
        a.publish("local", b"local")
        a.publish("up/1", b"1")
        a.publish("both", b"from A")
        a.publish(END)
        assert [(m.topic, m.payload) for m in (cloud.next(), cloud.next(), cloud.next())] == [
            ("up/1", b"1"), ("both", b"from A"), (END, b"")]
        assert b.next().payload == b"local"
        # What A sent comes back, as the cloud's: that is what (cloud, both, A) says. It goes no further.
        assert a.next().payload == b"from A"
        assert a.next_topic() == END
        cloud.publish("both", b"from the cloud")
        cloud.publish("down/1/2", b"no")
        cloud.publish("down/1", b"down")
        cloud.publish(END)
        assert sorted(a.next().payload for _ in range(3)) == [b"", b"down", b"from the cloud"]
        # The cloud's own messages alone are there: nothing came back.
        assert sorted((m.topic, m.payload) for m in (cloud.next(), cloud.next(), cloud.next(), cloud.next())) == [
            ("both", b"from the cloud"), ("down/1", b"down"), ("down/1/2", b"no"), (END, b"")]
        assert cloud.messages.empty()
    status = broker.wait_status(lambda status: status["cloud"] and status["cloud"]["received"] >= 5)
    assert status["cloud"]["sent"] == 3 and status["cloud"]["refused"] == 0 and status["cloud"]["connected"]


def test_connects_as_aws_iot_wants_it(broker, core):
    broker.route("cloud", "a/#", "A").route("cloud", "b", "A").start()
    wait_subscribed(core, "a/#", "b", END)
    outward = [found for found in core.connects if found["client"] == "Grp_Core-c00"]
    assert outward and all(found == {"client": found["client"], "protocol": "MQTT", "level": 4, "clean": False, "will": False,
                                     "keepalive": 75} for found in core.connects)
    assert len({found["client"] for found in core.connects}) == 2
    assert set(core.hellos) == {(core.host, None)}


@pytest.fixture
def another_core(folder, authority, programs, driver):
    """Makes a core, and a broker with A and a route to it."""
    with contextlib.ExitStack() as stack:
        def make(**settings):
            server = IotCore(folder / "another-core", authority, **settings).start()
            stack.callback(server.stop)
            broker = BridgedBroker(folder / "its-broker", authority, programs, server, driver)
            stack.callback(broker.stop)
            broker.add("A").route("A", END, "cloud").start()
            return server, broker
        yield make


def test_asks_for_alpn_on_port_443(another_core):
    server, _ = another_core(port=443)
    server.wait_connected("Grp_Core-c00")
    assert set(server.hellos) == {(server.host, "x-amzn-mqtt-ca")}
    assert not server.violations


def test_does_not_connect_to_a_server_of_another_name(another_core):
    server, broker = another_core(certificate_host="elsewhere.example")
    wait_until(lambda: "host name verification failed" in broker.log(200), WAIT_S, lambda: broker.log(200))
    assert server.connects == []
    # At its end mosquitto 2.0.11 frees such a bridge twice.
    broker.kill()


def test_more_filters_than_a_connection_may_have_get_more_connections(broker, core):
    topics = [f"down/{i}" for i in range(120)]
    for topic in topics:
        broker.route("cloud", topic, "A")
    broker.start()
    wait_subscribed(core, *topics)
    assert sorted(len(filters) for filters in core.filters.values()) == [21, 50, 50]
    a = broker.connect("A", "#")
    with core.client() as cloud:
        for topic in topics:
            cloud.publish(topic)
        assert sorted(a.next_topic() for _ in topics) == sorted(topics)


def test_a_filter_that_the_policy_does_not_allow_does_not_stop_what_goes_out(broker, core):
    core.denied.add("denied")
    broker.route("cloud", "denied", "A").start()
    a = broker.connect("A", "#")
    wait_until(lambda: core.violations, WAIT_S, "it was not asked for")
    with core.client(END) as cloud:
        a.publish(END, b"1")
        assert cloud.next().payload == b"1"
    core.violations.clear()
    core.denied.clear()


def test_messages_wait_while_the_cloud_is_away_also_over_a_kill(broker, core):
    core.stop_front()
    broker.route("A", "up", "cloud").start()
    a = broker.connect("A")
    wanted = [b"message %03d" % i for i in range(200)]
    for payload in wanted[:100]:
        a.publish("up", payload)
    broker.wait_saved(wanted[99])
    broker.kill()
    broker.start()
    a = broker.connect("A")
    for payload in wanted[100:]:
        a.publish("up", payload)
    broker.wait_saved(wanted[199])
    broker.kill()
    with core.client("up") as cloud:
        core.start_front()
        broker.start()
        assert [cloud.next().payload for _ in wanted] == wanted


def test_what_goes_on_while_the_connection_is_cut_is_sent_afterwards(broker, core):
    broker.route("A", "up", "cloud").start()
    core.wait_connected("Grp_Core-c00")
    a = broker.connect("A")
    with core.client("up") as cloud:
        a.publish("up", b"1")
        assert cloud.next().payload == b"1"
        core.stop_front()
        a.publish("up", b"2")
        wait_until(lambda: not broker.status()["cloud"]["connected"], WAIT_S, lambda: broker.status())
        a.publish("up", b"3")
        core.start_front()
        assert [cloud.next().payload for _ in range(2)] == [b"2", b"3"]


def test_what_aws_iot_would_end_the_connection_for_is_refused(broker, core):
    broker.route("A", "#", "cloud").start()
    a = broker.connect("A")
    with core.client("#") as cloud:
        a.publish("1/2/3/4/5/6/7/8/9", b"too many levels")
        a.publish("x" * 256, b"fits")
        a.publish("1/2/3/4/5/6/7/8", b"fits, too")
        a.publish(END, b"")
        assert [cloud.next().payload for _ in range(3)] == [b"fits", b"fits, too", b""]
    status = broker.wait_status(lambda status: status["cloud"]["refused"] == 1)
    assert status["cloud"]["sent"] == 3
    assert "1/2/3/4/5/6/7/8/9': AWS IoT takes no topic with more than 7 slashes" in broker.log(200)


def test_of_aws_topics_the_cloud_gets_what_clients_may_publish(broker, core):
    broker.route("A", "$aws/#", "cloud").start()
    core.wait_connected("Grp_Core-c00")
    a = broker.connect("A")
    good = [f"{SHADOW}/get", f"{SHADOW}/name/n/update", "$aws/things/A/jobs/start-next", "$aws/rules/r/a/b"]
    with core.client("$aws/#", END) as cloud:
        for topic in (f"{SHADOW}/bogus", f"{SHADOW}/update/accepted", f"{SHADOW}/get/", "$aws/events/presence/connected/A",
                      "$aws/things/A/jobs/notify", *good, END):
            a.publish(topic, b"{}")
        assert [cloud.next().topic for _ in range(len(good) + 1)] == [*good, END]
    assert broker.wait_status(lambda status: status["cloud"]["refused"] == 5)
    assert f"{SHADOW}/bogus': AWS IoT lets no client publish to it" in broker.log(200)


def test_a_will_reaches_the_cloud(broker, core):
    broker.route("A", "will", "cloud").start()
    core.wait_connected("Grp_Core-c00")
    with core.client("will") as cloud:
        broker.connect("A", will={"topic": "will", "payload": b"gone", "qos": 1}).drop()
        assert cloud.next().payload == b"gone"


def test_our_status_messages_reach_the_cloud_by_subscription(broker, core):
    broker.route(CONNECTOR, STATUS, "cloud").start()
    core.wait_connected("Grp_Core-c00")
    with core.client("#") as cloud:
        connector = broker.connect(CONNECTOR)
        connector.publish("another", b"no")
        connector.publish(STATUS, b"{}")
        message = cloud.next()
        assert (message.topic, message.payload) == (STATUS, b"{}")


# Shadows.


@pytest.fixture
def shadow(broker, core):
    """The cloud's shadow service; A's shadow is synchronized, and A may use the local one."""
    for request in ("get", "update", "delete"):
        broker.route("A", f"{SHADOW}/{request}", "GGShadowService")
    broker.route("GGShadowService", f"{SHADOW}/#", "A").sync("A")
    with ShadowService(core) as service:
        yield service


class LocalShadow:
    """A's, through A."""

    def __init__(self, broker):
        self.device = broker.connect("A", f"{SHADOW}/+/accepted", f"{SHADOW}/+/rejected", f"{SHADOW}/update/delta")
        self.version = None

    def ask(self, kind, body=None):
        """Returns the reply to it."""
        token = f"{kind}-{id(body)}"
        self.device.publish(f"{SHADOW}/{kind}", json.dumps({**(body or {}), "clientToken": token}))
        while True:
            message = self.device.next()
            reply = json.loads(message.payload)
            if reply.get("clientToken") == token and message.topic.startswith(f"{SHADOW}/{kind}/"):
                return reply

    def update(self, state):
        assert "code" not in self.ask("update", {"state": state})

    def state(self):
        """None: there is none."""
        reply = self.ask("get")
        if reply.get("code") == 404:
            return None
        return {name: reply["state"][name] for name in ("desired", "reported") if name in reply["state"]}

    def wait_state(self, state):
        wait_until(lambda: self.state() == state, WAIT_S, lambda: f"it is {self.state()}")


def test_a_shadow_goes_up_and_down(broker, shadow):
    broker.start()
    local = LocalShadow(broker)
    local.update({"reported": {"light": "off", "list": [1, 2]}})
    shadow.wait_state("A", {"reported": {"light": "off", "list": [1, 2]}})
    shadow.update("A", {"desired": {"light": "on"}})
    local.wait_state({"desired": {"light": "on"}, "reported": {"light": "off", "list": [1, 2]}})
    local.update({"reported": {"light": "on", "list": None}})
    shadow.wait_state("A", {"desired": {"light": "on"}, "reported": {"light": "on"}})
    # Our own changes are no reason to ask for the shadow again.
    before = shadow.count("A", "get")
    for i in range(5):
        local.update({"reported": {"count": i}})
    shadow.wait_state("A", {"desired": {"light": "on"}, "reported": {"light": "on", "count": 4}})
    assert shadow.count("A", "get") == before


def test_a_device_gets_the_delta_of_what_the_cloud_wants(broker, shadow):
    broker.start()
    local = LocalShadow(broker)
    shadow.update("A", {"desired": {"light": "on"}})
    while (message := local.device.next()).topic != f"{SHADOW}/update/delta":
        pass
    assert json.loads(message.payload)["state"] == {"light": "on"}


def test_both_sides_changed_while_the_cloud_was_away(broker, core, shadow):
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"here": 0, "there": 0, "gone here": 0, "gone there": 0}})
    shadow.wait_state("A", local.state())
    local.update({"desired": {"both": 0}})
    shadow.wait_state("A", local.state())
    broker.wait_status(lambda status: status["cloud"]["received"] >= 3)  # the replies, to its get, too
    core.stop_front()
    wait_until(lambda: not broker.status()["cloud"]["connected"], WAIT_S, lambda: broker.status())
    local.update({"desired": {"both": 1, "here": 1, "gone here": None}})
    shadow.update("A", {"desired": {"both": 2, "there": 2, "gone there": None}})
    core.start_front()
    merged = {"desired": {"both": 2, "here": 1, "there": 2}}
    shadow.wait_state("A", merged)
    local.wait_state(merged)
    assert broker.wait_status(lambda status: status["cloud"]["sync_conflicts"] > 0)


def test_a_deleted_shadow_is_deleted_on_the_other_side(broker, shadow):
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"a": 1}})
    shadow.wait_state("A", {"desired": {"a": 1}})
    local.ask("delete")
    shadow.wait_state("A", None)
    local.update({"desired": {"a": 2}})
    shadow.wait_state("A", {"desired": {"a": 2}})
    shadow.delete("A")
    local.wait_state(None)


def test_a_conflict_of_versions_is_solved(broker, shadow):
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"a": 1}})
    shadow.wait_state("A", {"desired": {"a": 1}})
    # The cloud's is another one before it tells us. If the device has not had the reply to its update yet, it asks for the
    # shadow first and has that version: the update is refused all the same.
    with shadow.lock:
        shadow.shadows["A"]["desired"]["b"] = 1
        shadow.versions["A"] += 1
        shadow.refuse["A"] = {"update": (409, {"code": 409, "message": "Version conflict"})}
    local.update({"desired": {"a": 2}})
    shadow.wait_state("A", {"desired": {"a": 2, "b": 1}})
    local.wait_state({"desired": {"a": 2, "b": 1}})
    assert shadow.count("A", "update", 409) == 1


def test_a_kill_loses_no_change_of_a_shadow(broker, core, shadow):
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"a": 1}})
    shadow.wait_state("A", {"desired": {"a": 1}})
    # It has the replies to its get and its update: what nobody has acknowledged is another change, of which the cloud's holds.
    broker.wait_status(lambda status: status["cloud"]["received"] >= 2)
    core.stop_front()
    local.update({"desired": {"a": 2}})
    broker.kill()
    shadow.update("A", {"desired": {"b": 2}})
    core.start_front()
    broker.start()
    shadow.wait_state("A", {"desired": {"a": 2, "b": 2}})
    LocalShadow(broker).wait_state({"desired": {"a": 2, "b": 2}})


def test_a_kill_before_the_clouds_reply_makes_no_conflict(broker, shadow):
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"a": 1}})
    shadow.wait_state("A", {"desired": {"a": 1}})
    broker.wait_status(lambda status: status["cloud"]["received"] >= 4)  # the replies to both gets and updates
    shadow.silent = True
    local.update({"desired": {"a": 2}})
    shadow.wait_state("A", {"desired": {"a": 2}})
    broker.kill()
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"a": 3}})
    shadow.silent = False
    shadow.wait_state("A", {"desired": {"a": 3}})
    assert local.state() == {"desired": {"a": 3}}
    assert broker.status()["cloud"]["sync_conflicts"] == 0


def test_the_first_update_sent_twice_undoes_nothing(broker, core, shadow):
    broker.start()
    local = LocalShadow(broker)
    broker.wait_status(lambda status: status["cloud"]["received"] >= 1)  # there is none yet
    core.loses_acknowledgements = True
    local.update({"desired": {"a": 1, "here": 1}})
    wait_until(lambda: shadow.count("A", "update") >= 1, WAIT_S, "it never came")
    shadow.update("A", {"desired": {"a": 2}})
    core.loses_acknowledgements = False
    merged = {"desired": {"a": 2, "here": 1}}
    shadow.wait_state("A", merged)
    local.wait_state(merged)
    assert shadow.count("A", "update") >= 3  # the first one, again, and what is here


def test_the_status_counts_what_is_not_synchronized(broker, shadow):
    broker.start()
    local = LocalShadow(broker)
    shadow.refuse["A"] = {"update": (413, {"code": 413, "message": "The payload exceeds the maximum size allowed"})}
    local.update({"desired": {"a": 1}})
    broker.wait_status(lambda status: status["cloud"]["sync_failing"] == 1)
    local.update({"desired": {"a": 2}})
    broker.wait_status(lambda status: status["cloud"]["sync_failing"] == 0)
    shadow.wait_state("A", {"desired": {"a": 2}})


def replies(generator, texts):
    """Inputs of the fuzz target of the cloud's replies, for A, and damaged ones, as topics and payloads: a reply, or three states,
    of which the last is the cloud's."""
    for text in [*texts, *(damaged(generator, generator.choice(texts)) for _ in range(200))]:
        topic, _, payload = text.partition(b"\n")
        if not topic.startswith(b"$aws"):
            topic = b"$aws/things/A/shadow/get/accepted"
            payload = b'{"version":7,"clientToken":"t","state":' + text.rpartition(b"\n")[2] + b"}"
        topic = topic.replace(b"things/T/", b"things/A/").decode(errors="replace")
        if topic.isascii() and topic.isprintable() and not set("+#") & set(topic):  # else it ends its sender's connection
            yield topic, payload


def test_the_corpus_of_replies_does_no_harm(broker, shadow):
    """As answers to what the device waits for, and else; then the shadow is synchronized as before."""
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"before": 1}})
    shadow.wait_state("A", {"desired": {"before": 1}})
    shadow.silent = True
    answered = 0
    with shadow.core.client() as cloud:
        for topic, payload in replies(random.Random(20261129), corpus("shadow_sync")):
            cloud.publish(f"{SHADOW}/update/accepted", b'{"version":9}')  # somebody's: it asks for the shadow
            cloud.publish(topic, payload.replace(b'"t"', json.dumps(shadow.last_token("A")).encode()))
            answered += 1
    assert answered > 100
    shadow.silent = False
    shadow.update("A", {"desired": {"behind": 1}})
    wait_until(lambda: (local.state() or {}).get("desired", {}).get("behind") == 1, WAIT_S, lambda: f"{local.state()}\n{broker.log()}")


def test_only_synchronized_shadows_leave_the_device(broker, core, shadow):
    broker.route("B", "$aws/things/B/shadow/update", "GGShadowService")
    broker.start()
    local = LocalShadow(broker)
    broker.connect("B").publish("$aws/things/B/shadow/update", json.dumps({"state": {"desired": {"b": 1}}}))
    local.update({"desired": {"a": 1}})
    shadow.wait_state("A", {"desired": {"a": 1}})
    assert shadow.state("B") is None and shadow.count("B", "get") == 0
    assert not any("/things/B/" in name for filters in core.filters.values() for name in filters)


def test_an_update_that_the_cloud_refuses_is_not_tried_again_before_a_change(broker, shadow):
    broker.start()
    local = LocalShadow(broker)
    local.update({"desired": {"a": 1}})
    shadow.wait_state("A", {"desired": {"a": 1}})
    shadow.refuse["A"] = {"update": (413, {"code": 413, "message": "The payload exceeds the maximum size allowed"})}
    local.update({"desired": {"a": 2}})
    wait_until(lambda: "refused a synchronisation of 'A': AWS IoT answers update with 413" in broker.log(200), WAIT_S,
               lambda: broker.log(200))
    local.update({"desired": {"a": 3}})
    shadow.wait_state("A", {"desired": {"a": 3}})
