# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with a deployment: one sentence that names it, everywhere, and what runs is left alone.

Each way to fail, with its sentence, is a row of docs/errors.md; errors_test.py brings them about.
"""
import socket

from documents import assert_failure, success
from servers.engine import compose_file
from servers.server import free_port

REFUSED = "services:\n  web:\n    image: harbour/local:1\n    prots: []\n"
DEFINITION, ELSE = "InvalidParameter", "InternalError"


def assert_told(device, done, message, stage, error, words):
    """By the message, by the command, by the status, and in the log."""
    assert_failure(message, error, *words)
    last = device.status["last_deployment"]
    assert (last["success"], last["stage"], last["error"]) == (False, stage, error), last
    log = "".join(line for line in device.log.splitlines(keepends=True) if "[ERROR]" in line)
    for word in words:
        assert word in last["message"]
        assert word in done.stderr
        assert word in log


def test_says_what_compose_refuses(device_with, compose, broker, status_messages):
    device = device_with(compose)
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", REFUSED)
    device.start()
    done = device.deploy(device.group(), status=1)
    assert_told(device, done, status_messages.next_json(), "resolve", DEFINITION, ["prots"])


def test_names_an_image_that_does_not_exist(device, broker, open_registry, status_messages):
    image = open_registry.image("demo/none:1")
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
    device.start()
    done = device.deploy(device.group(), status=1)
    assert_told(device, done, status_messages.next_json(), "pull", ELSE, [image])


def test_says_that_the_engine_does_not_run(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    group = device.local_group(["web"], local_image)
    device.start()
    engine.stop()
    done = device.deploy(group, status=1)
    assert_told(device, done, status_messages.next_json(), "prepare", ELSE, [engine.SOCKET])
    status = device.status
    assert status["containers"] is None and engine.SOCKET in status["containers_error"]
    engine.start()
    device.deploy(group)
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}
    engine.stop()
    assert device.stop() == 0


def test_says_which_port_is_taken_and_starts_once_it_is_free(device, engine, broker, local_image, status_messages):
    port = free_port()
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], local_image, ports={"web": port}))
    group = device.group(DockerPullBeforeUp="False")
    device.start()
    with socket.create_server(("127.0.0.1", port)):
        done = device.deploy(group, status=1)
        assert_told(device, done, status_messages.next_json(), "resolve", ELSE, [str(port)])
    device.deploy(group)
    assert status_messages.next_json() == success()
    assert set(engine.containers(everything=True)) == {"web"}


def test_what_fails_before_down_leaves_what_runs_alone(device, engine, broker, local_image, open_registry,
                                                       status_messages):
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    assert status_messages.next_json() == success()
    before = engine.containers()["web"].id, device.local_copy.read_text()
    broken = device.group(key="broken.yml", name="broken.json", DockerPullBeforeUp="False")
    for stage, text in (("fetch", None), ("resolve", REFUSED),
                        ("pull", compose_file(None, ["web"], open_registry.image("demo/none:1")))):
        if text:
            device.put_object("ships", "broken.yml", text)
        with device.begin(broken) as deployment:
            last = deployment.end()
        assert (last["exit"], last["effect"], deployment.stages()[-1]) == (1, "untouched", stage), deployment.lines
        assert status_messages.next_json()["status"] == "fail"
        assert before == (engine.containers()["web"].id, device.local_copy.read_text())
        status = device.status
        assert (status["state"], status["deployment"]["generation"]) == ("running", 1)
        assert status["last_deployment"]["success"] is False

    # What failed is not tried again: the one that ran comes back.
    device.wait_sent()
    device.kill()
    device.start()
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}
    assert device.status["deployment"]["generation"] == 1
