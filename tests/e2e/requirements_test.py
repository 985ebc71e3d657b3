# SPDX-License-Identifier: Apache-2.0
"""What a compose file refers to on this device is looked for before anything is stopped."""
import json

import pytest

from documents import success

LOCAL = {"DockerPullBeforeUp": "False"}
SLEEP = '["sh", "-c", "trap \'exit 0\' TERM; sleep 1000000 & wait"]'


def compose_text(image, lines=(), top=""):
    return "\n".join(["version: '3.8'", "services:", "  web:", f"    image: {image}", f"    command: {SLEEP}",
                      "    stop_grace_period: 1s", *(f"    {line}" for line in lines)]) + "\n" + top


@pytest.fixture
def deployed(device_with, compose, engine, local_image):
    """A device on which an application runs."""
    device = device_with(compose)
    device.put_object("ships", "docker-compose.yml", compose_text(local_image))
    device.start()
    device.deploy(device.group(**LOCAL))
    return device


def plan(device, group):
    done = device.cli("plan", group, "--json", check=False)
    return done.returncode, json.loads(done.stdout)


def checks(device, group):
    done = device.cli("doctor", group, "--config", device.write_host_file(), "--json", check=False)
    return [check for check in json.loads(done.stdout)["checks"] if check["check"] == "compose requirements"]


def assert_refused(device, engine, group, *words):
    """With these words, by everything that looks, and what runs is not touched."""
    before = {name: container.id for name, container in engine.containers().items()}
    status, document = plan(device, group)
    assert status == 1
    [error] = [problem["message"] for problem in document["problems"] if problem["level"] == "error"]
    [check] = [check for check in checks(device, group) if check["ok"] is False]
    with device.begin(group) as deployment:
        last = deployment.end()
    assert last["exit"] == 1
    for message in (error, check["message"], last["message"]):
        assert all(word in message for word in words), message
    assert last["message"].endswith(error)
    assert device.status["last_deployment"]["stage"] == "resolve"
    assert {name: container.id for name, container in engine.containers().items()} == before
    said = device.cli("plan", group, check=False)
    assert said.returncode == 1 and f"error: {error}" in said.stdout and error in said.stderr


REFUSED = {
    "bind": (["volumes: [{type: bind, source: ./none, target: /x}]"], "", ["'web'", "/none'", "bind source"]),
    "device": (["devices: ['/dev/ttyNONE0:/dev/x']"], "", ["'web'", "'/dev/ttyNONE0'"]),
    "secret": (["secrets: [key]"], "secrets: {key: {file: ./none.key}}\n", ["'web'", "/none.key'", "secret 'key'"]),
    "volume mount": (["volumes: ['data:/data']"],
                     "volumes: {data: {driver_opts: {type: none, o: bind, device: /srv/none}}}\n",
                     ["'data'", "'/srv/none'"]),
    "volume driver": (["volumes: ['data:/data']"], "volumes: {data: {driver: harbourfs}}\n", ["'data'", "'harbourfs'"]),
    "network driver": (["networks: [quay]"], "networks: {quay: {driver: harbournet}}\n", ["'quay'", "'harbournet'"]),
    "log driver": (["logging: {driver: harbourlog}"], "", ["'web'", "'harbourlog'"]),
    "runtime": (["runtime: harbour"], "", ["'web'", "runtime 'harbour'"]),
    "device driver": (["deploy: {resources: {reservations: {devices: [{driver: nvidia, capabilities: [gpu]}]}}}"], "",
                      ["'web'", "device driver 'nvidia'"]),
    "external volume": (["volumes: ['data:/data']"], "volumes: {data: {external: true, name: nowhere}}\n",
                        ["'data'", "docker volume create nowhere"]),
    "network of a container": (["network_mode: 'container:nobody'"], "", ["'web'", "container 'nobody'"]),
    "external network": (["networks: [quay]"], "networks: {quay: {external: true, name: nowhere}}\n",
                         ["'quay'", "docker network create nowhere"]),
}


def test_what_the_engine_would_refuse_is_refused_before_anything_is_stopped(deployed, engine, local_image):
    """One after the other: what runs is the same to all of them, as none is to touch it."""
    for lines, top, words in REFUSED.values():
        deployed.put_object("ships", "next.yml", compose_text(local_image, lines, top))
        assert_refused(deployed, engine, deployed.group(key="next.yml", name="next.json", **LOCAL), *words)


def test_a_bind_source_that_the_engine_cannot_make_is_refused(deployed, engine, local_image):
    (deployed.destination / "link").symlink_to("nowhere")
    (deployed.destination / "file").write_text("")
    for source, words in (("./link", "/link' is a broken symbolic link"), ("./file/below", "/file' is not a directory")):
        deployed.put_object("ships", "next.yml", compose_text(local_image, [f"volumes: ['{source}:/x']"]))
        assert_refused(deployed, engine, deployed.group(key="next.yml", name="next.json", **LOCAL), "'web'",
                       "bind source", words)


def test_a_config_is_a_file_of_docker_compose_2_alone(deployed, compose, engine, local_image):
    deployed.put_object("ships", "next.yml",
                        compose_text(local_image, ["configs: [c]"], "configs: {c: {file: ./none.conf}}\n"))
    group = deployed.group(key="next.yml", name="next.json", **LOCAL)
    if compose.generation == 2:
        assert_refused(deployed, engine, group, "config 'c'", "/none.conf'")
    else:
        deployed.deploy(group)


def test_a_bind_source_that_the_engine_would_make_is_a_warning(deployed, engine, local_image):
    source = deployed.destination / "mosquitto.conf"
    deployed.put_object("ships", "next.yml", compose_text(local_image, ["volumes: ['./mosquitto.conf:/etc/x.conf:ro']"]))
    group = deployed.group(key="next.yml", name="next.json", **LOCAL)
    sentence = f"service 'web': bind source '{source}' does not exist; the Docker daemon would create a directory there"
    status, document = plan(deployed, group)
    assert status == 0 and not source.exists()
    [problem] = document["problems"]
    assert problem["level"] == "warning" and problem["message"].startswith(sentence)
    [check] = checks(deployed, group)
    assert (check["ok"], check["warning"]) == (True, True) and check["message"].startswith(sentence)
    assert f"warning: {sentence}" in deployed.cli("plan", group).stdout
    deployed.deploy(group)
    assert sentence in deployed.log
    # Now it is there, though it is not what was meant.
    assert source.is_dir() and plan(deployed, group)[1]["problems"] == []


def test_what_is_there_is_no_problem(deployed, engine, local_image):
    for name in ("m.conf", "m.key"):
        (deployed.destination / name).write_text("x")
    (deployed.destination / "a$b").mkdir()
    hidden = deployed.destination / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "file").write_text("x")
    engine.docker.volumes.create("harbour-data")
    engine.docker.networks.create("harbour-quay")
    text = compose_text(local_image, [
        "devices: ['/dev/null:/dev/x']", "secrets: [key]", "logging: {driver: json-file}", "networks: [quay, default]",
        "volumes: ['./m.conf:/m:ro', './a$$b:/b', {type: bind, source: ./hidden/file, target: /h}, 'data:/d', 'more:/e']"],
        "secrets: {key: {file: ./m.key}}\nnetworks: {quay: {external: true, name: harbour-quay}}\n"
        "volumes: {data: {external: true, name: harbour-data}, more: {driver: local}}\n")
    deployed.put_object("ships", "next.yml", text)
    group = deployed.group(key="next.yml", name="next.json", **LOCAL)
    status, document = plan(deployed, group)
    assert (status, document["problems"]) == (0, []), document["problems"]
    [check] = checks(deployed, group)
    assert check["ok"] is True and not check["warning"]
    deployed.deploy(group)
    deployed.cli("stop")
    engine.docker.volumes.get("harbour-data").remove()
    engine.docker.networks.get("harbour-quay").remove()


def test_what_another_service_makes_is_not_refused(deployed, engine, local_image):
    """The one that needs it waits until it is there."""
    folder = deployed.destination / "common"
    folder.mkdir()
    text = compose_text(local_image, ["volumes: ['./common:/common']"])
    text = text.replace(SLEEP, '["sh", "-c", "echo x > /common/made; trap \'exit 0\' TERM; sleep 1000000 & wait"]')
    text += f"""  after:
    image: {local_image}
    volumes: [{{type: bind, source: ./common/made, target: /made}}]
    command: {SLEEP}
    stop_grace_period: 1s
"""
    deployed.put_object("ships", "next.yml", text)
    group = deployed.group(key="next.yml", name="next.json", **LOCAL)
    status, document = plan(deployed, group)
    assert status == 0 and [problem["level"] for problem in document["problems"]] == ["warning"]


def volume_text(image, size, password="hunter2"):
    options = f"{{type: tmpfs, device: tmpfs, o: 'size={size},password={password}'}}"
    return compose_text(image, ["volumes: ['data:/data']"], f"volumes: {{data: {{driver_opts: {options}}}}}\n")


def test_a_changed_volume_is_told_of_whole(deployed, compose, engine, local_image):
    """docker-compose 1 refuses it, 2 keeps the old one without a word."""
    name = "greengrassdockerapplicationdeployment_data"
    old = "{type: tmpfs, device: tmpfs, o: 'size=1m'}"
    deployed.put_object("ships", "old.yml", compose_text(local_image, ["volumes: ['data:/data']"],
                                                         f"volumes: {{data: {{driver_opts: {old}}}}}\n"))
    deployed.deploy(deployed.group(key="old.yml", name="old.json", **LOCAL))
    deployed.put_object("ships", "next.yml", volume_text(local_image, "2m"))
    group = deployed.group(key="next.yml", name="next.json", **LOCAL)
    words = ["volume 'data'", "'o' is 'size=2m,password=…' in the compose file and 'size=1m' in the volume",
             "deletes all data", f"docker volume rm {name}"]
    if compose.generation == 1:
        assert_refused(deployed, engine, group, *words)
    else:
        status, document = plan(deployed, group)
        [problem] = document["problems"]
        assert (status, problem["level"]) == (0, "warning")
        assert all(word in problem["message"] for word in words), problem
    assert "hunter2" not in deployed.log + json.dumps(plan(deployed, group)[1])
    # As the message says.
    deployed.cli("stop")
    engine.docker.volumes.get(name).remove()
    deployed.put_object("ships", "next.yml", volume_text(local_image, "2m").replace(",password=hunter2", ""))
    deployed.deploy(group)
    deployed.cli("stop")
    engine.docker.volumes.get(name).remove()


def test_all_errors_are_counted_and_logged(deployed, local_image):
    deployed.put_object("ships", "next.yml",
                        compose_text(local_image, ["devices: ['/dev/none0:/dev/x', '/dev/none1:/dev/y']"]))
    group = deployed.group(key="next.yml", name="next.json", **LOCAL)
    with deployed.begin(group) as deployment:
        last = deployment.end()
    assert "/dev/none0" in last["message"] and last["message"].endswith("(and 1 more)")
    assert "'/dev/none1'" in deployed.log


def test_success_is_reported_with_a_warning(device, broker, engine, local_image, status_messages):
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_text(local_image, ["volumes: ['./none:/x']"]))
    device.start()
    device.deploy(device.group(**LOCAL))
    assert status_messages.next_json() == success()
