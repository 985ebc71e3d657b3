# SPDX-License-Identifier: Apache-2.0
"""Two of anything at once: the later command counts, each client gets one answer, and the status says what is so."""
import json
import signal

import pytest

from documents import assert_failure, success
from servers.server import wait_until
from voyage import COMMANDS, Gate
from watch import running

STAGES = ("fetch", "resolve", "authenticate", "pull", "down", "up")
HERE = {"DockerPullBeforeUp": "False"}


def assert_runs(device, engine, key, services):
    """That definition is the one that is deployed, and what runs is all of it and nothing else."""
    device.wait_status(lambda status: status["state"] == "running" and status["job"] is None)
    status = device.status
    assert status["deployment"]["key"] == key, status
    assert {container["service"] for container in status["containers"]} == services, status
    assert set(engine.containers(everything=True)) == set(engine.containers()) == services


def assert_stopped(device, engine):
    device.wait_status(lambda status: status["state"] == "stopped" and status["job"] is None)
    status = device.status
    assert (status["state"], status["containers"]) == ("stopped", []), status
    assert engine.containers(everything=True) == {} and running() == []


@pytest.fixture
def deployed(device, voyage, status_messages):
    """A device that runs, with the first application of a Voyage."""
    device.start()
    device.deploy(voyage.before)
    assert status_messages.next_json() == voyage.success_before
    device.wait_sent()
    return device


@pytest.fixture
def stubborn_deployed(device, stubborn, broker, status_messages):
    device.use_broker(broker)
    device.start()
    device.deploy(stubborn.group)
    assert status_messages.next_json() == stubborn.success
    device.wait_sent()
    return stubborn


# A deployment, and another.


def test_a_newer_deployment_supersedes_the_one_under_way_at_any_stage(deployed, voyage, engine, status_messages):
    for stage in STAGES:
        with voyage.held_at(stage), deployed.begin(voyage.group) as first:
            voyage.wait(stage)
            second = deployed.begin(voyage.before).end_later()
            last = first.end()
        assert last["exit"] == 1 and "superseded by a newer deployment" in last["message"], (stage, last)
        last = second.result(120)
        assert last["exit"] == 0, (stage, last)
        assert status_messages.next_json() == voyage.success_before, stage
        assert_runs(deployed, engine, "before.yml", {"old"})
        assert deployed.status["deployment"]["generation"] == last["generation"]
        assert status_messages.none_waits(), stage


def test_the_last_of_many_deployments_counts(deployed, voyage, engine, status_messages):
    with voyage.held_at("pull"):
        clients = [deployed.begin(voyage.group).end_later()]
        voyage.wait("pull")
        clients += [deployed.begin(group).end_later() for group in (voyage.before, voyage.group, voyage.before)]
        lasts = [client.result(120) for client in clients]
    assert [last["exit"] for last in lasts] == [1, 1, 1, 0], lasts
    assert all("superseded by a" in last["message"] for last in lasts[:3]), lasts
    assert status_messages.next_json() == voyage.success_before
    assert_runs(deployed, engine, "before.yml", {"old"})
    assert status_messages.none_waits()


def test_sighup_supersedes_a_deployment_at_any_stage(device, voyage, engine, status_messages):
    device.start(voyage.before)
    assert status_messages.next_json() == voyage.success_before
    device.wait_sent()
    for stage in STAGES:
        with voyage.held_at(stage), device.begin(voyage.group) as deployment:
            voyage.wait(stage)
            device.send(signal.SIGHUP)
            last = deployment.end()
        assert last["exit"] == 1 and "superseded by a newer deployment" in last["message"], (stage, last)
        assert status_messages.next_json() == voyage.success_before, stage
        assert_runs(device, engine, "before.yml", {"old"})
        assert status_messages.none_waits(), stage


@pytest.mark.parametrize("stage", ["pull", "up"])
def test_a_group_file_refused_at_sighup_leaves_the_deployment_under_way_alone(
        device, voyage, engine, status_messages, stage):
    device.start(voyage.before)
    assert status_messages.next_json() == voyage.success_before
    with voyage.held_at(stage):
        answer = device.begin(voyage.group).end_later()
        voyage.wait(stage)
        voyage.before.write_text(json.dumps({"Connectors": "none"}))
        device.send(signal.SIGHUP)
        assert_failure(status_messages.next_json(), "InvalidParameter")
        if stage == "up":
            voyage.compose.release()
    assert answer.result(120)["exit"] == 0
    assert status_messages.next_json() == voyage.success
    assert_runs(device, engine, "after.yml", {"first", "second"})


@pytest.mark.parametrize("stage", ["fetch", "pull", "up"])
def test_a_deployment_refused_while_another_is_under_way_brings_back_what_ran(
        deployed, voyage, engine, status_messages, stage):
    """It supersedes the other one all the same, which may have touched what ran."""
    missing = deployed.group(bucket=voyage.BUCKET, key="none.yml", name="missing.json", **HERE)
    with voyage.held_at(stage), deployed.begin(voyage.group) as first:
        voyage.wait(stage)
        second = deployed.begin(missing).end_later()
        assert first.end()["exit"] == 1
    assert second.result(120)["exit"] == 1
    assert_failure(status_messages.next_json(), "InvalidParameter", "none.yml")
    assert_runs(deployed, engine, "before.yml", {"old"})
    if stage == "up":
        assert status_messages.next_json() == voyage.success_before
    assert status_messages.none_waits()


# A start, and a stop.


def test_start_during_stop_waits_for_its_end_and_brings_the_application_up(
        device, stubborn_deployed, engine, status_messages):
    stop = device.control("stop").end_later()
    stubborn_deployed.wait_told()
    start = device.control("start").end_later()
    assert device.status["state"] == "stopping" and not stop.done() and not start.done()
    stubborn_deployed.gate.open()
    assert (stop.result(120)["exit"], start.result(120)["exit"]) == (0, 0)
    assert status_messages.next_json() == stubborn_deployed.success
    assert_runs(device, engine, "stubborn.yml", {"first", "second"})
    assert status_messages.none_waits()


def test_start_at_once_after_a_stop_that_cancels_a_deployment_takes_it_up_again(deployed, voyage, engine, status_messages):
    for stage in ("down", "pull", "up"):
        with voyage.held_at(stage), deployed.begin(voyage.group) as deployment:
            voyage.wait(stage)
            stop = deployed.control("stop").end_later()
            assert deployed.ask("status")["exit"] == 0  # so that it has read the stop when the start comes
            start = deployed.control("start").end_later()
            assert deployment.end()["exit"] == 1, stage
            last = stop.result(120)
            assert last["exit"] == 0, (stage, last)
        last = start.result(120)
        assert last["exit"] == 0, (stage, last)
        assert status_messages.next_json() == voyage.success
        assert_runs(deployed, engine, "after.yml", {"first", "second"})
        assert status_messages.none_waits(), stage
        deployed.deploy(voyage.before)
        assert status_messages.next_json() == voyage.success_before


def test_stop_during_start_takes_down_at_any_stage(deployed, voyage, engine, watch, status_messages):
    deployed.cli("stop")
    with voyage.held_at("fetch"), deployed.begin(voyage.group) as deployment:
        voyage.wait("fetch")
        assert deployed.ask("stop")["exit"] == 0
        assert deployment.end()["exit"] == 1
    for stage in ("fetch", "resolve", "authenticate", "pull", "up"):
        with voyage.held_at(stage), deployed.control("start") as start:
            voyage.wait(stage)
            with watch():
                stop = deployed.control("stop").end_later()
                last = start.end()
                assert last["exit"] == 1 and "the application is to be stopped" in last["message"], (stage, last)
                assert stop.result(120)["exit"] == 0, stage
                assert_stopped(deployed, engine)
        voyage.assert_nothing_of_it_runs()
    assert status_messages.none_waits()


def test_start_during_a_deployment_changes_nothing(deployed, voyage, engine, status_messages):
    with voyage.held_at("pull"):
        answer = deployed.begin(voyage.group).end_later()
        voyage.wait("pull")
        generation = deployed.status["job"]["generation"]
        for _ in range(2):
            last = deployed.ask("start")
            assert (last["exit"], last["message"]) == (1, f"generation {generation} is being deployed already")
    assert answer.result(120)["exit"] == 0
    assert status_messages.next_json() == voyage.success
    assert_runs(deployed, engine, "after.yml", {"first", "second"})


def test_every_one_of_many_stops_is_answered(device, stubborn_deployed, engine, watch, status_messages):
    with watch():
        stops = [device.control("stop").end_later()]
        stubborn_deployed.wait_told()
        stops += [device.control("stop").end_later() for _ in range(3)]
        assert device.status["state"] == "stopping" and not any(stop.done() for stop in stops)
        stubborn_deployed.gate.open()
        assert [stop.result(120)["exit"] for stop in stops] == [0] * 4
        assert_stopped(device, engine)
    assert status_messages.none_waits()


def test_a_deployment_during_stop_waits_for_its_end(device, stubborn_deployed, engine, local_image, status_messages):
    stop = device.control("stop").end_later()
    stubborn_deployed.wait_told()
    deployment = device.begin(device.local_group(["web"], local_image)).end_later()
    assert device.status["state"] == "stopping" and not stop.done()
    stubborn_deployed.gate.open()
    assert (stop.result(120)["exit"], deployment.result(120)["exit"]) == (0, 0)
    assert status_messages.next_json() == success()
    assert_runs(device, engine, "docker-compose.yml", {"web"})
    assert status_messages.none_waits()


# SIGTERM, and another.


@pytest.mark.parametrize("stage", ["fetch", "pull", "down", "up"])
def test_sigterm_twice_during_a_deployment_ends_once(deployed, voyage, engine, status_messages, stage):
    with voyage.held_at(stage), deployed.begin(voyage.group) as deployment:
        voyage.wait(stage)
        for _ in range(2):
            deployed.send(signal.SIGTERM)
        assert deployment.end()["exit"] == 1
        assert deployed.wait() == 0
    assert engine.containers(everything=True) == {} and running() == []
    voyage.assert_nothing_of_it_runs()
    deployed.start()
    assert status_messages.next_json() == voyage.success
    assert_runs(deployed, engine, "after.yml", {"first", "second"})
    assert status_messages.none_waits()


def test_sigterm_twice_while_the_application_is_taken_down_ends_once(device, stubborn_deployed, engine, status_messages):
    device.send(signal.SIGTERM)
    stubborn_deployed.wait_told()
    for number in (signal.SIGTERM, signal.SIGINT):
        device.send(number)
    assert device.status["state"] == "stopping"
    stubborn_deployed.gate.open()
    assert device.wait() == 0
    assert engine.containers(everything=True) == {} and running() == []
    device.start()
    assert status_messages.next_json() == stubborn_deployed.success
    assert_runs(device, engine, "stubborn.yml", {"first", "second"})


def test_a_command_after_sigterm_is_answered(device, stubborn_deployed, engine, local_image):
    device.send(signal.SIGTERM)
    stubborn_deployed.wait_told()
    clients = [device.control("start").end_later(), device.begin(device.local_group(["web"], local_image)).end_later()]
    assert device.status["state"] == "stopping"
    stubborn_deployed.gate.open()
    lasts = [client.result(120) for client in clients]
    assert [last["exit"] for last in lasts] == [1, 1] and all(last["message"] for last in lasts), lasts
    assert device.wait() == 0
    assert engine.containers(everything=True) == {} and running() == []


# The engine restarted meanwhile. It starts these applications again by itself.


class Journey:
    """A Voyage during which the engine goes away, for the time that the deployment is at a stage, and comes back."""

    def __init__(self, device, engine, voyage_with):
        self.device, self.engine = device, engine
        self.gate = Gate(device.folder / "gate")
        check = "{test: [CMD, cat, /gate/open], interval: 1s, retries: 1000}"
        self.voyage = voyage_with(restart="always", volumes=self.gate.volumes, healthcheck=check,
                                  policy={"WaitHealthy": "true", "HealthTimeoutSeconds": "120"})

    def restart_engine(self, stage, begin):
        """begin() begins the deployment, or what deploys; returns what that returned."""
        if stage == "settle":
            begun = begin()
            self.device.wait_stage(stage)
            self.engine.restart_with_containers()
            self.gate.open()
            return begun
        self.gate.open()
        with self.voyage.held_at(stage):
            begun = begin()
            self.voyage.wait(stage)
            if stage not in ("down", "up"):
                self.engine.restart_with_containers()
                if stage in COMMANDS:
                    self.voyage.compose.release()
                return begun
            with self.engine.away():
                self.voyage.compose.release()
                self.device.wait_status(lambda status: (status["job"] or {}).get("stage") != stage)
        return begun


@pytest.fixture
def journey(device, engine, voyage_with):
    return Journey(device, engine, voyage_with)


ENGINE_STAGES = ("prepare", "fetch", "resolve", "authenticate", "pull", "down", "up", "settle")


@pytest.mark.parametrize("stage", ENGINE_STAGES[1:])  # a second deployment need not ask docker-compose who it is
def test_the_engine_restarted_during_a_deployment(device, journey, engine, status_messages, stage):
    voyage = journey.voyage
    device.start()
    device.deploy(voyage.before)
    assert status_messages.next_json() == voyage.success_before
    last = journey.restart_engine(stage, lambda: device.begin(voyage.group).end_later()).result(120)
    if stage in ("fetch", "resolve", "settle"):
        assert last["exit"] == 0, last
    message = status_messages.next_json()
    if last["exit"] == 0:
        assert message == voyage.success
        assert_runs(device, engine, "after.yml", {"first", "second"})
        assert status_messages.none_waits()
        return
    assert_failure(message, "InternalError")
    # What was not touched is wanted again: at the end of `pull`; at that of `down`, as docker-compose reached nobody.
    status = device.wait_status(lambda status: status["job"] is None and status["state"] in ("failed", "running"))
    assert status["state"] == {"pull": "running", "up": "failed"}.get(stage, status["state"]), status
    if status["state"] == "failed":
        assert status["last_deployment"]["success"] is False, status
        assert status["last_deployment"]["generation"] == last["generation"]
        device.cli("start")
        assert status_messages.next_json() == voyage.success_before
    assert_runs(device, engine, "before.yml", {"old"})


@pytest.mark.parametrize("stage", ENGINE_STAGES)
def test_the_engine_restarted_while_lightermand_takes_a_deployment_up_again(device, journey, engine, status_messages, stage):
    voyage = journey.voyage
    device.start()
    device.deploy(voyage.before)
    assert status_messages.next_json() == voyage.success_before
    with voyage.held_at("resolve"), device.begin(voyage.group):
        voyage.wait("resolve")
        device.kill()
    journey.restart_engine(stage, device.start)
    # It is tried again after 15 s; meanwhile a failure is published, and what ran before runs.
    messages = []
    wait_until(lambda: messages.append(status_messages.next_json()) or messages[-1] == voyage.success, 120, lambda: messages)
    assert [message["status"] for message in messages].count("fail") <= 1, messages
    assert_runs(device, engine, "after.yml", {"first", "second"})
    assert device.status["deployment"]["generation"] == 2
