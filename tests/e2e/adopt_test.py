# SPDX-License-Identifier: Apache-2.0
"""Policy.AdoptContainers: containers that Greengrass's connector had started go on running, as Lighterman's."""
import time

import pytest

from servers.engine import PROJECT, compose_file
from servers.server import wait_until

ADOPT = {"AdoptContainers": "True"}
ENDS = {"kill", "die", "stop", "destroy", "restart", "pause"}


@pytest.fixture
def device(device_with, compose1):
    """With the docker-compose that Greengrass's connector used."""
    return device_with(compose1)


def start_by_greengrass(device, text, compose):
    """What the connector did: its file in the destination, docker-compose with its project name."""
    device.local_copy.write_text(text)
    compose("up", "-d", project=PROJECT, file=device.local_copy)


def runs(engine):
    """By service: which container, and since when."""
    return {name: (container.id, container.attrs["State"]["StartedAt"]) for name, container in engine.containers().items()}


def ended(engine, since):
    """The services of which a container was stopped or removed."""
    return {event["Actor"]["Attributes"]["com.docker.compose.service"] for event in engine.events(since)
            if event["Type"] == "container" and event["Action"].split(":")[0] in ENDS}


@pytest.mark.parametrize("version", [1, 7])
def test_containers_that_need_no_change_are_not_stopped(device_with, compose, engine, local_image, version):
    device = device_with(compose)
    text = compose_file(None, ["one", "two"], local_image)
    start_by_greengrass(device, text, compose)
    device.put_object("ships", "docker-compose.yml", text)
    before, began = runs(engine), time.time()
    assert set(before) == {"one", "two"}
    no_pull = {"DockerPullBeforeUp": "False"} if version >= 5 else {}
    group = device.group(version=version, policy=ADOPT, **no_pull)
    device.start()
    plan = device.cli_json("plan", group)
    assert {service["action"] for service in plan["services"]} == {"left_alone"}, plan
    device.deploy(group)
    assert runs(engine) == before
    assert ended(engine, began) == set()
    assert {container["service"] for container in device.status["containers"]} == {"one", "two"}

    # From then on the version's own order holds, at the next deployment and at the exit.
    device.deploy(device.group(version=version, policy=ADOPT, DockerContainerStatusLogFrequency="301", **no_pull))
    assert ended(engine, began) == {"one", "two"}
    device.stop()
    assert engine.containers() == {}


def test_only_what_has_changed_is_replaced(device, engine, local_image, compose1):
    start_by_greengrass(device, compose_file(None, ["same", "other", "gone"], local_image), compose1)
    text = compose_file(None, ["same", "other", "new"], local_image).replace("echo other", "echo another")
    device.put_object("ships", "docker-compose.yml", text)
    before, began = runs(engine), time.time()
    device.start()
    device.deploy(device.group(policy=ADOPT, DockerPullBeforeUp="False"))
    after = runs(engine)
    assert set(after) == {"same", "other", "gone", "new"}
    assert (after["same"], after["gone"]) == (before["same"], before["gone"])
    assert after["other"][0] != before["other"][0]
    assert ended(engine, began) == {"other"}


def test_nothing_is_stopped_until_a_deployment_has_succeeded(device, engine, local_image, compose1):
    """A first deployment that fails, restarts, another one: the application of Greengrass runs all the time."""
    text = compose_file(None, ["one"], local_image)
    start_by_greengrass(device, text, compose1)
    before, began = runs(engine), time.time()
    group = device.group(policy=ADOPT, DockerPullBeforeUp="False")
    with device.store_away():
        device.start(group)
        device.wait_log("the deployment of generation 1 failed in stage fetch")
        assert device.stop() == 0
        device.start()  # what is wanted is tried again
        wait_until(lambda: device.log.count("generation 1 failed in stage fetch") == 2, 120, lambda: device.log)
        assert device.stop() == 0
        assert "it is not adopted yet" in device.log
        device.start()
    device.put_object("ships", "docker-compose.yml", text)
    device.deploy(group)
    assert runs(engine) == before
    assert ended(engine, began) == set()
    assert device.stop() == 0
    assert engine.containers() == {}


def test_without_the_policy_they_are_stopped_first(device, engine, local_image, compose1):
    text = compose_file(None, ["one"], local_image)
    start_by_greengrass(device, text, compose1)
    device.put_object("ships", "docker-compose.yml", text)
    began = time.time()
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False"))
    assert ended(engine, began) == {"one"}
