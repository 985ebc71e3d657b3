# SPDX-License-Identifier: Apache-2.0
"""Deployments that people make: one after the other, with passwords, forced, refused."""
import json
import re
import stat

import pytest

from documents import assert_failure, success
from servers.engine import PROJECT, compose_file, page
from servers.server import free_port, wait_until

LOG_LINE = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z\]\[(DEBUG|INFO|WARN|ERROR|FATAL)\]-[\w.-]+:\d+,.")
STAGES = ["prepare", "fetch", "resolve", "authenticate", "admit", "pull", "down", "up"]


def test_deploys_a_bare_array_behind_a_byte_order_mark(device_with, compose2, engine, local_image):
    device = device_with(compose2)
    group = device.local_group(["web"], local_image)
    entries = json.loads(group.read_text())["Connectors"]
    group.write_text(json.dumps(entries), encoding="utf-8-sig")
    device.start()
    assert [s["service"] for s in device.cli_json("plan", group)["services"]] == ["web"]
    device.deploy(group)
    assert set(engine.containers()) == {"web"}
    # The same by lightermand itself, at a start with that file, and for doctor.
    assert device.stop() == 0
    device.start(group)
    wait_until(lambda: set(engine.containers()) == {"web"}, 60, "the application does not run")
    checks = device.cli_json("doctor", group, "--config", device.write_host_file(), check=False)["checks"]
    assert [check["ok"] for check in checks if check["check"] == "group file"] == [True]


def test_deploys_a_private_image_and_then_its_successor(device_with, compose, engine, registry, broker, image,
                                                        status_messages):
    device = device_with(compose)
    device.use_broker(broker)
    port = free_port()
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())])
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["page", "other"], image, ports={"page": port}))
    device.start()

    device.deploy(group)
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"page", "other"}
    assert wait_until(lambda: page(port), 30, "the page is not served") == "1"

    # The group is the same, what it names is not: one service stays, one goes, one comes.
    text = compose_file(None, ["page", "third"], image)
    device.put_object("ships", "docker-compose.yml", text)
    device.deploy(group)
    assert status_messages.next_json() == success()
    assert set(engine.containers(everything=True)) == {"page", "third"}
    assert_local_copy(device, text)
    assert_status_tells(device, image)
    assert_log(device)
    assert f"docker-compose {compose.generation}." in device.log

    assert device.stop() == 0
    assert engine.containers(everything=True) == {}
    assert status_messages.none_waits()


def assert_local_copy(device, text):
    assert device.local_copy.read_text() == text
    found = device.local_copy.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, device.user.uid)


def assert_status_tells(device, image):
    status = device.cli_json("status")
    assert (status["state"], status["job"]) == ("running", None)
    wanted = {"generation": 2, "id": "app", "connector_version": 7, "bucket": "ships", "key": "docker-compose.yml",
              "object_version": None, "compose_version": None, "destination": str(device.destination)}
    assert status["deployment"] == wanted
    last = status["last_deployment"]
    assert (last["generation"], last["success"], last["error"], last["message"]) == (2, True, None, None)
    assert [item["stage"] for item in last["stages"] if item["stage"] in STAGES] == STAGES
    assert {item["service"]: (item["image"], item["state"]) for item in status["containers"]} == \
        {"page": (image, "running"), "third": (image, "running")}
    assert [broker["connected"] for broker in status["brokers"]] == [True]
    said = device.cli("status").stdout
    assert "page" in said and "third" in said


def assert_log(device):
    lines = device.log.splitlines()
    assert lines and [line for line in lines if not LOG_LINE.match(line)] == []
    assert stat.S_IMODE(device.log_path.stat().st_mode) == 0o600


def test_a_wrong_password_fails_before_anything_is_started(device, engine, registry, broker, image, status_messages):
    device.use_broker(broker)
    secret = device.put_secret("harbour", registry.secret(password="wr0ng-w0rd"))
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
    device.start()
    done = device.deploy(device.group(secrets=[secret]), status=1)
    message = status_messages.next_json()
    assert_failure(message, "InternalError", registry.address)
    assert registry.address in done.stderr
    assert device.status["last_deployment"]["stage"] == "authenticate"
    assert not engine.has_image(image) and engine.containers(everything=True) == {}
    assert "wr0ng-w0rd" not in done.stderr + done.stdout + device.stderr + message["error_message"]
    assert device.files_with("wr0ng-w0rd") == []


def test_a_missing_password_fails_with_the_name_of_the_image(device, engine, broker, image, status_messages):
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
    device.start()
    assert image in device.deploy(device.group(), status=1).stderr
    assert_failure(status_messages.next_json(), "InternalError", image)
    assert device.status["last_deployment"]["stage"] == "pull"
    assert engine.containers(everything=True) == {}


def test_a_newer_deployment_supersedes_the_one_under_way(device, held, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    older = device.local_group(["older"], local_image, key="older.yml", name="older.json")
    newer = device.local_group(["newer"], local_image, key="newer.yml", name="newer.json")
    device.start()
    held.hold("config")
    with device.begin(older) as deployment:
        held.wait_held("config")
        device.cli("deploy", "--no-wait", newer)
        last = deployment.end()
    assert last["exit"] == 1 and "superseded" in last["message"], last
    assert status_messages.next_json() == success(key="newer.yml")
    assert set(engine.containers()) == {"newer"}
    held.wait_gone()
    assert device.status["deployment"]["generation"] == 2
    assert status_messages.none_waits()


def test_an_invalid_group_is_refused_with_every_fault(device, broker, status_messages):
    device.use_broker(broker)
    device.start()
    wrong = device.deploy(device.group(bucket=None, DockerUserId="root", ForceDeploy="perhaps"), status=2)
    assert_failure(status_messages.next_json(), "InvalidParameter")
    for name in ("DockerComposeFileS3Bucket", "DockerUserId", "ForceDeploy"):
        assert len([line for line in wrong.stderr.splitlines() if name in line]) == 1, wrong.stderr
    assert device.ask("deploy", group="{\"Connectors\": [", wait=True)["exit"] == 2
    assert_failure(status_messages.next_json(), "InvalidParameter")
    status = device.status
    assert (status["deployment"], status["job"], status["containers"]) == (None, None, [])
    assert device.stop() == 0


def test_the_command_line_tells_what_it_cannot_do(device):
    group = device.group()
    away = device.cli("deploy", group, check=False)
    assert away.returncode == 3 and str(device.folder / "run/control.sock") in away.stderr
    assert device.cli("sail", check=False).returncode == 64
    assert device.cli("deploy", check=False).returncode == 64
    device.start()
    empty = device.cli_json("status")
    assert (empty["state"], empty["deployment"], empty["last_deployment"]) == ("empty", None, None)
    assert device.cli("start", check=False).returncode != 0
    assert device.stop() == 0


LABEL = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": "left"}


def test_force_deploy_removes_what_an_earlier_deployment_left(device, engine, broker, local_image, status_messages):
    """Version 2, the first that knows it."""
    device.use_broker(broker)
    engine.docker.containers.create(local_image, name="e2e-fixed", labels=LABEL)
    text = compose_file(None, ["web"], local_image, container_name="e2e-fixed")
    device.put_object("ships", "docker-compose.yml", text)
    device.start()
    device.deploy(device.group(version=2), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "e2e-fixed")
    device.deploy(device.group(version=2, ForceDeploy="True"))
    assert status_messages.next_json() == success()
    assert set(engine.containers(everything=True)) == {"web"}


@pytest.fixture
def strangers_container(engine, local_image):
    """One that holds the name "e2e-stranger" and has nothing to do with us."""
    return engine.docker.containers.run(local_image, ["sleep", "1000000"], name="e2e-stranger", detach=True)


def test_force_deploy_never_touches_a_strangers_container(device, broker, local_image, strangers_container,
                                                          status_messages):
    device.use_broker(broker)
    text = compose_file(None, ["web"], local_image, container_name="e2e-stranger")
    device.put_object("ships", "docker-compose.yml", text)
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False", ForceDeploy="True"), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "e2e-stranger")
    strangers_container.reload()
    assert strangers_container.status == "running"


@pytest.mark.parametrize("command", ["validate", "plan", "deploy"])
def test_policies_without_effect_are_warned_of(device_with, compose2, local_image, engine, command):
    device = device_with(compose2)
    policy = {"MaxBandwidthKBps": "100"}
    device.start()
    group = device.local_group(["web"], local_image, policy=policy)
    answers = [device.cli(command, group).stderr, *device.cli_json(command, group)["warnings"]]
    for name in policy:
        words = f"Policy.{name} has no effect in this version of Lighterman"
        assert words in answers[0] and any(words in answer for answer in answers[1:]), (name, answers)
    assert ("Policy.MaxBandwidthKBps has no effect" in device.log) == (command == "deploy")


def test_the_null_version_is_the_object_of_a_store_without_versions(device, engine, broker, local_image,
                                                                    status_messages):
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["web"], local_image, DockerComposeFileS3Version="null"))
    assert status_messages.next_json() == success("null")
    assert set(engine.containers()) == {"web"}
