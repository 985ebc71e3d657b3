# SPDX-License-Identifier: Apache-2.0
"""The local shadow service inside the broker: who gets which reply, and that nothing that was accepted is ever lost."""
import contextlib
import json
import pathlib
import signal
import subprocess

import pytest

from servers.server import wait_until
from small_disk import SmallDisk

CORPUS = pathlib.Path(__file__).resolve().parents[1] / "fuzz/corpus/shadow_document"
SERVICE = "GGShadowService"
REPLIES = ["get/accepted", "get/rejected", "update/accepted", "update/rejected", "update/delta", "update/documents",
           "delete/accepted", "delete/rejected"]
WAIT_S = 30


def topic(thing, what):
    return f"$aws/things/{thing}/shadow/{what}"


def allow(broker, client, thing, requests=("get", "update", "delete"), replies=tuple(REPLIES)):
    """The subscriptions of a V1 group: each hop has one of its own."""
    for request in requests:
        broker.route(client, topic(thing, request), SERVICE)
    for reply in replies:
        broker.route(SERVICE, topic(thing, reply), client)


def ask(peer, thing, what, request=None):
    """The reply to a request, as (last part of the topic, document)."""
    peer.publish(topic(thing, what), b"" if request is None else json.dumps(request).encode())
    return answer(peer)


def answer(peer):
    message = peer.next()
    return message.topic.split("/shadow/")[1], json.loads(message.payload)


def state(**sections):
    return {"state": sections}


@pytest.fixture
def broker(local_broker):
    """A device with all that concerns its own shadow."""
    local_broker.add("Device", "App", "Other")
    allow(local_broker, "Device", "Device")
    local_broker.start()
    return local_broker


def test_an_update_is_answered_to_those_with_a_subscription(broker):
    broker.route("App", topic("Device", "update"), SERVICE)
    broker.route(SERVICE, topic("Device", "update/documents"), "App")
    broker.reload()
    device, app, other = (broker.connect(name, "$aws/#", "#") for name in ("Device", "App", "Other"))
    app.publish(topic("Device", "update"), json.dumps({**state(desired={"on": True}), "clientToken": "t-1"}).encode())
    what, accepted = answer(device)
    assert what == "update/accepted" and accepted["clientToken"] == "t-1" and accepted["version"] == 1
    assert accepted["state"] == {"desired": {"on": True}}
    assert accepted["metadata"] == {"desired": {"on": {"timestamp": accepted["timestamp"]}}}
    what, delta = answer(device)
    assert what == "update/delta" and delta["state"] == {"on": True} and delta["version"] == 1
    assert answer(device)[0] == "update/documents"
    what, documents = answer(app)
    assert what == "update/documents" and documents["current"]["state"] == {"desired": {"on": True}}
    assert documents["previous"]["version"] == 0
    assert app.messages.empty() and other.messages.empty()
    shadows = broker.wait_status(lambda status: status["shadows"]["updates"] == 1)["shadows"]
    assert shadows == {"updates": 1, "rejected": 0, "error": None}


def test_the_sample_of_the_docker_connector_gets_its_message(local_broker):
    """A container that subscribes to nothing but …/update/accepted, and a device that updates the shadow."""
    thing = "MyDockerDevice"
    local_broker.add(thing, "Other")
    allow(local_broker, "Other", thing, requests=["update"], replies=[])
    allow(local_broker, thing, thing, requests=[], replies=["update/accepted"])
    local_broker.start()
    container, other = local_broker.connect(thing, topic(thing, "update/accepted")), local_broker.connect("Other")
    other.publish(topic(thing, "update"), json.dumps(state(reported={"hello": "docker"})).encode())
    assert answer(container)[1]["state"] == {"reported": {"hello": "docker"}}


def test_a_request_without_a_subscription_is_refused_and_changes_nothing(broker):
    device, app = broker.connect("Device", "$aws/#"), broker.connect("App", "$aws/#")
    app.publish(topic("Device", "update"), json.dumps(state(desired={"on": True})).encode())
    app.publish(topic("Device", "delete"))
    assert ask(device, "Device", "get", {"clientToken": "g"}) == (
        "get/rejected", {"code": 404, "message": "No shadow exists with name: 'Device'", "clientToken": "g"})
    assert app.messages.empty() and device.messages.empty()


def test_things_that_are_not_in_the_group_are_not_found(broker):
    allow(broker, "Device", "Nobody")
    broker.reload()
    device = broker.connect("Device", "$aws/#")
    what, rejected = ask(device, "Nobody", "update", {**state(), "clientToken": "n"})
    assert what == "update/rejected" and rejected["code"] == 404 and rejected["message"] == "Thing not found"
    assert rejected["clientToken"] == "n" and rejected["timestamp"] > 0
    broker.add("Nobody").reload()
    assert ask(device, "Nobody", "update", state(reported={"a": 1}))[0] == "update/accepted"


def test_nobody_can_forge_a_reply(broker):
    broker.route("App", topic("Device", "update/accepted"), SERVICE).reload()
    device, app = broker.connect("Device", "$aws/#"), broker.connect("App")
    app.publish(topic("Device", "update/accepted"), b"forged")
    app.publish(topic("Device", "update/delta"), b"forged")
    assert ask(device, "Device", "get")[0] == "get/rejected"
    assert device.messages.empty()


@pytest.mark.parametrize(("payload", "code", "message"), [
    (b"{", 400, "Invalid JSON"),
    (b"{}", 400, "Missing required node: state"),
    (b'{"state":[]}', 400, "State node must be an object"),
    (b'{"state":{"desired":1}}', 400, "Desired node must be an object"),
    (b'{"state":{"reported":1}}', 400, "Reported node must be an object"),
    (b'{"state":{},"version":"1"}', 400, "Invalid version"),
    (json.dumps({"state": {}, "clientToken": 65 * "t"}).encode(), 400, "Invalid clientToken"),
    (b'{"state":{"desired":' + 7 * b'{"a":' + b"1" + 9 * b"}", 400, "JSON contains too many levels of nesting; maximum is 6"),
    (b'{"state":{"desired":{"a":[null]}}}', 400, "State contains an invalid node"),
    (b'{"state":{},"version":3}', 409, "Version conflict"),
    (json.dumps(state(desired={"a": 8185 * "x"})).encode(), 413, "The payload exceeds the maximum size allowed"),
    (b'{"state":{"desired":{"a":"' + 100000 * b"x" + b'"}}}', 413, "The payload exceeds the maximum size allowed"),
    (b'{"state":{"desired":{"a":"\xff"}}}', 415, "Unsupported documented encoding; supported encoding is UTF-8"),
], ids=range(13))
def test_a_bad_request_is_rejected_with_its_code(broker, payload, code, message):
    device = broker.connect("Device", "$aws/#")
    device.publish(topic("Device", "update"), payload)
    what, rejected = answer(device)
    assert (what, rejected["code"], rejected["message"]) == ("update/rejected", code, message)
    assert ask(device, "Device", "get")[1]["code"] == 404
    if code != 409:
        assert f"refused a shadow update of 'Device', 'Device': {code} {message}" in broker.log()


def test_inputs_of_the_fuzzer_do_no_harm(broker):
    device = broker.connect("Device", "$aws/#")
    for path in sorted(CORPUS.iterdir()):
        for line in path.read_bytes().splitlines() or [b""]:
            for what in ("update", "get", "delete"):
                device.publish(topic("Device", what), line)
                while not answer(device)[0].endswith(("accepted", "rejected")):
                    pass
    assert broker.processes[0].poll() is None


def test_versions_go_on_after_a_delete_and_a_restart(broker):
    device = broker.connect("Device", topic("Device", "+/accepted"), topic("Device", "+/rejected"))
    assert ask(device, "Device", "update", state(reported={"a": 1}))[1]["version"] == 1
    assert ask(device, "Device", "update", state(reported={"a": 2.5}))[1]["version"] == 2
    broker.restart()
    device = broker.connect("Device", topic("Device", "+/accepted"), topic("Device", "+/rejected"))
    _, document = ask(device, "Device", "get")
    assert (document["state"], document["version"]) == ({"reported": {"a": 2.5}}, 2)
    assert ask(device, "Device", "delete", {"clientToken": "d"})[1]["version"] == 2
    broker.restart()
    device = broker.connect("Device", topic("Device", "+/accepted"), topic("Device", "+/rejected"))
    assert ask(device, "Device", "get")[1]["code"] == 404
    assert ask(device, "Device", "update", state(reported={"b": 1}))[1]["version"] == 3
    assert ask(device, "Device", "get")[1]["state"] == {"reported": {"b": 1}}


class Writer:
    """Updates its shadow again as soon as an update was accepted, and remembers the last one that was."""

    def __init__(self, broker, name):
        self.name, self.accepted, self.versions = name, 0, []
        self.peer = broker.connect(name, topic(name, "update/accepted"))
        self.peer.client.on_message = self._take

    def begin(self):
        self._send()
        return self

    def _send(self):
        self.peer.client.publish(topic(self.name, "update"), json.dumps(state(reported={"n": self.accepted + 1})).encode())

    def _take(self, _client, _userdata, message):
        reply = json.loads(message.payload)
        self.accepted = reply["state"]["reported"]["n"]
        self.versions.append(reply["version"])
        self._send()


def check_kept(broker, writers):
    """After a kill and a start: what each was told is there; what it was not told may be."""
    for writer in writers:
        writer.peer.close()  # or it would connect again by itself, and take the place of the next client of its name
    broker.start()
    for writer in writers:
        reader = broker.connect(writer.name, topic(writer.name, "get/accepted"), topic(writer.name, "get/rejected"))
        _, document = ask(reader, writer.name, "get")
        reader.close()
        assert writer.versions == sorted(set(writer.versions))
        if writer.versions:
            assert document["version"] - writer.versions[-1] in (0, 1), (writer.versions[-1], document)
            assert document["state"]["reported"]["n"] - writer.accepted in (0, 1), (writer.accepted, document)


def crowd(broker, names):
    broker.add(*names)
    for name in names:
        allow(broker, name, name)


@pytest.mark.parametrize("updates", [1, 10, 100, 500])
def test_a_kill_under_load_loses_no_accepted_update(local_broker, updates):
    names = [f"Thing-{n}" for n in range(8)]
    crowd(local_broker, names)
    local_broker.start()
    writers = [Writer(local_broker, name).begin() for name in names]
    wait_until(lambda: sum(writer.accepted for writer in writers) >= updates, WAIT_S, "no updates")
    local_broker.stop(signal.SIGKILL)
    check_kept(local_broker, writers)


@contextlib.contextmanager
def injected(broker, name, what):
    """strace does that to the broker's calls of that name, from now on."""
    pid = broker.processes[0].pid
    words = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:{what}", "-p", str(pid)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as tracer:
        status = pathlib.Path(f"/proc/{pid}/status")
        wait_until(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), WAIT_S, "strace does not attach")
        try:
            yield
        finally:
            tracer.terminate()


@contextlib.contextmanager
def killed_at(broker, name, n, writers):
    """The broker is killed at its `n`-th call of that name from now on."""
    with injected(broker, name, f"signal=KILL:when={n}"):
        yield
        wait_until(lambda: broker.processes[0].poll() is not None, WAIT_S, lambda: (
            f"not killed at {name} {n}; accepted: {[writer.accepted for writer in writers]}\n{broker.log()[-3000:]}"))


def test_messages_flow_while_the_disk_takes_its_time(broker):
    broker.route("App", "light", "Device").reload()
    device, app = broker.connect("Device", topic("Device", "update/accepted"), "light"), broker.connect("App")
    with injected(broker, "fdatasync", "delay_enter=2000000"):
        device.publish(topic("Device", "update"), json.dumps(state(reported={"a": 1})).encode())
        app.publish("light", b"on")
        assert device.next_topic() == "light"
        assert answer(device)[0] == "update/accepted"


@pytest.mark.parametrize(("name", "places"), [("fdatasync", (1, 2, 9, 40)), ("pwrite64", (1, 2, 3, 4, 5, 30, 90))])
def test_a_kill_at_a_call_to_the_disk_loses_no_accepted_update(local_broker, name, places):
    crowd(local_broker, "ABC")
    local_broker.start()
    for n in places:
        writers = [Writer(local_broker, thing) for thing in "ABC"]
        with killed_at(local_broker, name, n, writers):
            for writer in writers:
                writer.begin()
        local_broker.stop(signal.SIGKILL)
        check_kept(local_broker, writers)


def test_a_full_disk_rejects_updates_and_stops_nothing_else(local_broker):
    database = local_broker.folder / "database"
    database.mkdir()
    local_broker.shadows_path = database / "shadows.db"
    local_broker.add("Device", "App").route("App", "light", "Device")
    allow(local_broker, "Device", "Device")
    disk = SmallDisk(database)
    try:
        local_broker.start()
        device = local_broker.connect("Device", topic("Device", "+/accepted"), topic("Device", "+/rejected"), "light")
        app = local_broker.connect("App")
        assert ask(device, "Device", "update", state(reported={"a": 1}))[0] == "update/accepted"
        disk.fill()
        what, rejected = ask(device, "Device", "update", {**state(reported={"a": 2}), "clientToken": "t"})
        assert (what, rejected["code"], rejected["clientToken"]) == ("update/rejected", 500, "t")
        assert rejected["message"] == "Internal service failure"
        assert "No space left on device" in local_broker.wait_status(lambda status: status["shadows"]["error"])["shadows"]["error"]
        app.publish("light", b"on")
        assert device.next().payload == b"on"
        assert ask(device, "Device", "get")[1]["state"] == {"reported": {"a": 1}}
        disk.free()
        what, accepted = ask(device, "Device", "update", {**state(reported={"a": 3}), "version": 1})
        assert (what, accepted["version"]) == ("update/accepted", 2)
        local_broker.wait_status(lambda status: status["shadows"]["error"] is None)
    finally:
        local_broker.stop()
        disk.unmount()


def test_a_damaged_database_is_set_aside(broker):
    device = broker.connect("Device", topic("Device", "+/accepted"))
    assert ask(device, "Device", "update", state(reported={"a": 1}))[1]["version"] == 1
    broker.stop()
    broker.shadows_path.write_bytes(b"damage" + broker.shadows_path.read_bytes()[6:])
    broker.start()
    assert (broker.folder / "shadows.db.damaged").exists()
    log = broker.log(1000)
    assert log.count("shadows are lost, their versions go on") == 1
    device = broker.connect("Device", topic("Device", "+/accepted"))
    assert ask(device, "Device", "update", state(reported={"a": 1}))[1]["version"] > 1700000000


def test_without_a_database_the_broker_routes_and_shadows_fail(local_broker):
    local_broker.shadows_path = local_broker.folder / "not/there/shadows.db"
    local_broker.add("Device", "App").route("App", "light", "Device")
    allow(local_broker, "Device", "Device")
    local_broker.start()
    device = local_broker.connect("Device", topic("Device", "+/rejected"), "light")
    assert ask(device, "Device", "get")[1]["code"] == 500
    local_broker.connect("App").publish("light", b"on")
    assert device.next().payload == b"on"
    assert "not/there" in local_broker.wait_status(lambda status: status["shadows"]["error"])["shadows"]["error"]
    assert "shadows cannot be used: create" in local_broker.log(1000)


def test_an_interrupted_device_learns_of_the_change_when_it_asks(broker):
    """Replies are QoS 0, as in V1: nothing waits for a device that is away."""
    allow(broker, "App", "Device", requests=["update"], replies=["update/accepted"])
    broker.reload()
    device = broker.connect("Device", topic("Device", "update/delta"), session=True)
    device.disconnect()
    app = broker.connect("App", topic("Device", "update/accepted"))
    assert ask(app, "Device", "update", state(desired={"on": True}))[0] == "update/accepted"
    device = broker.connect("Device", topic("Device", "get/accepted"), session=True)
    assert ask(device, "Device", "get")[1]["state"]["delta"] == {"on": True}
