# SPDX-License-Identifier: Apache-2.0
"""What each version of the connector does with images and containers, in which order, as the engine saw it."""
import time

import pytest

from documents import assert_failure, success
from servers.engine import PROJECT, compose_file
from servers.server import run

STEPS = {("image", "pull"): "pull", ("container", "destroy"): "down", ("container", "create"): "up"}

NEITHER, PULL_FIRST, DOWN_FIRST = ["down", "up"], ["pull", "down", "up"], ["down", "pull", "up"]
NO_PULL, NO_STOP = {"DockerPullBeforeUp": "False"}, {"StopContainersOnNewDeployment": "False"}
ORDERS = [
    (1, {}, NEITHER), (2, {}, NEITHER), (2, {"ForceDeploy": "True"}, NEITHER), (3, {}, NEITHER),
    (4, {}, DOWN_FIRST),
    (5, {}, PULL_FIRST), (5, NO_PULL, NEITHER),
    (6, {}, PULL_FIRST), (6, NO_PULL, NEITHER),
    (7, {}, PULL_FIRST), (7, NO_PULL, NEITHER), (7, {"DockerOfflineMode": "True"}, PULL_FIRST),
]


def steps(engine, since):
    """pull, down and up, each once where it came several times in a row."""
    found = []
    for event in engine.events(since):
        step = STEPS.get((event["Type"], event["Action"]))
        if step and found[-1:] != [step]:
            found.append(step)
    return found


def move_tag(engine, registry, name, release):
    """Someone pushes another image under the same name; on this device that name stays what it is."""
    reference = registry.image(name)
    here = engine.docker.images.get(reference).id
    engine.publish_image(registry, name, release)
    assert engine.docker.images.get(here).tag(reference)


def test_each_version_pulls_and_stops_in_its_order(device, engine, broker, open_registry, status_messages):
    """One device, whose definition is upgraded from version to version: a new version counts at its deployment."""
    image = engine.publish_image(open_registry, "demo/order:1")
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["one", "two"], image))
    device.start()
    began = time.time()
    device.deploy(device.group(version=1))
    assert status_messages.next_json() == success()
    assert steps(engine, began) == ["pull", "up"]  # what is missing is pulled, whatever the version

    first = engine.docker.images.get(image).id
    move_tag(engine, open_registry, "demo/order:1", "2")
    for version, parameters, order in ORDERS:
        began = time.time()
        device.deploy(device.group(version=version, **parameters))
        assert status_messages.next_json() == success()
        assert steps(engine, began) == order, (version, parameters)
        running = {container.attrs["Image"] for container in engine.containers().values()}
        assert len(running) == 1 and (running == {first}) == (version < 4), (version, parameters)
        assert device.status["deployment"]["connector_version"] == version


def test_version_4_asks_for_its_images_before_it_stops_what_runs(device, engine, broker, open_registry, status_messages):
    image = engine.publish_image(open_registry, "demo/four:1")
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["one"], image))
    device.start()
    device.deploy(device.group(version=4))
    assert status_messages.next_json() == success()
    before = engine.containers()["one"].id
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["one"], image.replace(":1", ":none")))
    device.deploy(device.group(version=4), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "demo/four:none", "does not have it")
    assert engine.containers()["one"].id == before
    assert device.status["last_deployment"]["stage"] == "admit"

    text = compose_file(None, ["one", "two"], image)
    for tag in ("none", "n" * 128):
        text = text.replace("/four:1", f"/{'quay/' * 20}four:{tag}", 1)
    device.put_object("ships", "docker-compose.yml", text)
    device.deploy(device.group(version=4), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "2 images cannot be pulled", "does not have it")
    assert engine.containers()["one"].id == before


@pytest.mark.parametrize("version", [6, 7])
def test_without_stopping_services_are_updated_in_place(device, engine, broker, open_registry, status_messages, version):
    image = engine.publish_image(open_registry, "demo/place:1")
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["kept", "lost"], image))
    group = device.group(version=version, **NO_STOP)
    device.start()
    device.deploy(group)
    assert status_messages.next_json() == success()
    before = {name: container.id for name, container in engine.containers().items()}

    # One comes, one is dropped from the file (and runs on, as documented), one is as it was.
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["kept", "come"], image))
    began = time.time()
    device.deploy(group)
    assert status_messages.next_json() == success()
    assert steps(engine, began) == ["pull", "up"]
    after = {name: container.id for name, container in engine.containers().items()}
    assert set(after) == {"kept", "lost", "come"} and before.items() <= after.items()

    # A tag that moved replaces its containers, and nothing else; without a pull it is not looked at.
    move_tag(engine, open_registry, "demo/place:1", "2")
    device.deploy(device.group(version=version, name="no-pull.json", **NO_PULL, **NO_STOP))
    assert status_messages.next_json() == success()
    assert {name: container.id for name, container in engine.containers().items()} == after
    began = time.time()
    device.deploy(group)
    assert status_messages.next_json() == success()
    assert ("network", "destroy") not in {(event["Type"], event["Action"]) for event in engine.events(began)}
    moved = {name: container.id for name, container in engine.containers().items()}
    assert set(moved) == set(after) and moved["lost"] == after["lost"]
    assert moved["kept"] != after["kept"] and moved["come"] != after["come"]
    if version == 7:
        device.cli("stop")  # which is meant, whatever happens at deployments; what was dropped goes, too
        assert engine.containers(everything=True) == {}


def test_containers_get_their_own_grace(device, engine, broker, local_image, status_messages):
    """Of the ten minutes that docker-compose has for all of them."""
    device.use_broker(broker)
    said = "version: '3.4'\nservices:\n"
    for name, grace, command in (("tidy", "60s", "trap 'sleep 2; exit 7' TERM"), ("deaf", "1s", "trap '' TERM")):
        said += (f"  {name}:\n    image: {local_image}\n    stop_grace_period: {grace}\n"
                 f"    command: [sh, -c, \"{command}; echo {name} is up; while true; do sleep 1; done\"]\n")
    device.put_object("ships", "docker-compose.yml", said)
    device.start()
    device.deploy(device.group(**NO_PULL))
    assert status_messages.next_json() == success()
    began = time.time()
    device.cli("stop")
    seen = {"tidy": [], "deaf": []}
    for event in engine.events(began):
        if event["Type"] == "container" and event["Action"] in ("kill", "die"):
            facts = event["Actor"]["Attributes"]
            seen[facts["com.docker.compose.service"]].append((event["Action"], facts.get("signal", facts.get("exitCode"))))
    assert seen == {"tidy": [("kill", "15"), ("die", "7")], "deaf": [("kill", "15"), ("kill", "9"), ("die", "137")]}
    assert engine.containers(everything=True) == {}


def test_docker_lists_the_containers_by_the_documented_name(device_with, compose, engine, broker, local_image,
                                                            status_messages):
    device = device_with(compose)
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["one", "two"], local_image))
    assert status_messages.next_json() == success()
    engine.docker.containers.create(local_image, name="e2e-other")
    listed = run("docker", "--host", f"unix://{engine.SOCKET}", "ps", "--all", "--filter", f"name={PROJECT}",
                 "--format", "{{.Names}}").stdout.split()
    gap = "_" if compose.generation == 1 else "-"
    assert sorted(listed) == [f"{PROJECT}{gap}one{gap}1", f"{PROJECT}{gap}two{gap}1"]
