# SPDX-License-Identifier: Apache-2.0
"""Deployments whose registry passwords are in Secrets Manager, and how logins go with them."""
import datetime
import json
import pathlib

import pytest

from documents import assert_failure
from secrets_at_rest_test import Watch, files_that_show
from servers.engine import compose_file

HERE = {"DockerPullBeforeUp": "False"}


@pytest.fixture
def cloud_device(device, secrets_manager):
    """A device that takes secrets from Secrets Manager."""
    return use_secrets_manager(device, secrets_manager)


def use_secrets_manager(device, secrets_manager, **more):
    device.host.pop("secretStore", None)
    device.environment.update(secrets_manager.environment(**more))
    return device


def put_file(device, image, **extra):
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image, **extra))


SHAPES = {
    "object": lambda value: value,
    "array": lambda value: [{name: text} for name, text in value.items()],
    "binary": lambda value: json.dumps(value).encode(),
    "with a scheme": lambda value: {**value, "registryUrl": f"https://{value['registryUrl']}/v2/"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_deploys_with_a_secret_of_every_shape(cloud_device, engine, registry, image, secrets_manager, shape):
    arn = secrets_manager.put("harbour", SHAPES[shape](registry.secret()))
    put_file(cloud_device, image)
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(secrets=[arn, arn]))
    assert set(engine.containers()) == {"web"}
    assert secrets_manager.operations == ["GetSecretValue"]  # what is named twice is fetched once


def denied(manager):
    manager.denied.add("secretsmanager:GetSecretValue")


def deleted(manager):
    manager.deleted.update(manager.values)


def forgotten(manager):
    manager.values.clear()


def locked(manager):
    manager.locked = {arn: "DecryptionFailure" for arn in manager.values}


def holds(value):
    def change(manager):
        manager.values = {arn: value for arn in manager.values}

    return change


DEFINITION, ELSE = "InvalidParameter", "InternalError"
FAULTS = {
    "denied": (denied, ELSE, "the role needs secretsmanager:GetSecretValue on"),
    "scheduled for deletion": (deleted, ELSE, "is scheduled for deletion; restore it"),
    "missing": (forgotten, DEFINITION, "there is no secret"),
    "without a value": (holds(None), DEFINITION, "has no value yet"),
    "locked": (locked, ELSE, "the role needs kms:Decrypt"),
    "without a key": (holds('{"username": "alice", "password": "hunter2"}'), DEFINITION, "has no key 'registryUrl'"),
    "of a wrong type": (holds('{"username": "alice", "password": 7, "registryUrl": "r"}'), DEFINITION, "'password'"),
    "not JSON": (holds("hunter2"), DEFINITION, "is not JSON"),
    "in trouble": (lambda manager: setattr(manager, "always", "rubbish"), ELSE, "did not answer with a JSON object"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_says_what_is_wrong_with_a_secret(cloud_device, broker, registry, secrets_manager, status_messages, name):
    change, error, words = FAULTS[name]
    arn = secrets_manager.put("harbour", registry.secret())
    change(secrets_manager)
    put_file(cloud_device, "harbour/local:1")
    cloud_device.use_broker(broker)
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(secrets=[arn], **HERE), status=1)
    message = status_messages.next_json()
    assert_failure(message, error, arn, words)
    assert cloud_device.status["last_deployment"]["stage"] == "fetch"
    assert "hunter2" not in message["error_message"] + cloud_device.log + cloud_device.stderr


def test_names_every_secret_that_fails(cloud_device, registry, secrets_manager):
    arns = [secrets_manager.put(name, registry.secret()) for name in ("one", "two", "three")]
    secrets_manager.deleted.update(arns[1:])
    put_file(cloud_device, "harbour/local:1")
    cloud_device.start()
    done = cloud_device.deploy(cloud_device.group(secrets=arns, **HERE), status=1)
    assert arns[1] in done.stderr and arns[2] not in done.stderr
    assert f"secret '{arns[2]}' is scheduled for deletion" in cloud_device.log
    assert arns[0] not in "".join(line for line in cloud_device.log.splitlines() if "[ERROR]" in line)


def test_fetches_fifty_secrets_at_once_and_logs_in_with_all(cloud_device, engine, registry, image, secrets_manager):
    arns = [secrets_manager.put(f"team{i}", registry.secret(registryUrl=f"{registry.address}/team{i}"))
            for i in range(50)]
    secrets_manager.gather(50)
    put_file(cloud_device, image)
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(secrets=arns))
    assert secrets_manager.most_open == 50
    assert cloud_device.log.count("logged in to registry") == 50
    assert set(engine.containers()) == {"web"}


def test_warns_once_of_a_wrong_clock(cloud_device, local_image, registry, secrets_manager):
    arns = [secrets_manager.put(name, registry.secret()) for name in ("one", "two")]
    secrets_manager.clock = datetime.timedelta(hours=3)
    put_file(cloud_device, local_image)
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(secrets=arns, **HERE))
    warnings = [line for line in cloud_device.log.splitlines() if "clock is off by" in line]
    assert len(warnings) == 1 and "[WARN]" in warnings[0] and "Secrets Manager" in warnings[0]


def test_takes_other_credentials_once_a_role_s_are_over(cloud_device, local_image, registry, role_credentials,
                                                         secrets_manager):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        cloud_device.environment.pop(name)
    cloud_device.environment.update(role_credentials.container_environment())
    secrets_manager.keys = {f"ASIA000{i}": (f"secret-{i}", f"token-{i}") for i in (1, 2)}
    secrets_manager.expired = {"ASIA0001"}
    arns = [secrets_manager.put(name, registry.secret()) for name in ("one", "two", "three")]
    put_file(cloud_device, local_image)
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(secrets=arns, **HERE))
    assert role_credentials.issued == 2


def test_a_secret_is_shown_nowhere(cloud_device, held, engine, registry, image, secrets_manager):
    put_file(cloud_device, image)
    cloud_device.start()
    watch = Watch(cloud_device)
    held.hold("config")
    held.hold("up")
    group = cloud_device.group(secrets=[secrets_manager.put("harbour", registry.secret())])
    with cloud_device.begin(group) as deployment:
        for command in ("config", "up"):
            held.wait_held(command)
            # The role's own key is another one here; the registry's password is what matters.
            watch.assert_shown_nowhere()
            held.release()
        assert deployment.end()["exit"] == 0
    watch.assert_shown_nowhere(job=False)
    assert set(engine.containers()) == {"web"}


# AWS IoT's credentials provider, with a key that only root can read:

def test_the_key_of_the_device_may_be_root_s_alone(cloud_device, authority, role_credentials, engine, registry, image,
                                                    secrets_manager):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        cloud_device.environment.pop(name)
    settings = role_credentials.attach("root-only", cloud_device.host["thingName"])
    secrets_manager.keys = {f"ASIA000{i}": (f"secret-{i}", f"token-{i}") for i in (1, 2)}
    certs = cloud_device.folder / "certs"
    certs.mkdir(mode=0o700)
    for name in ("certificate", "privateKey"):
        path = certs / pathlib.Path(settings[name]).name
        path.write_bytes(pathlib.Path(settings[name]).read_bytes())
        path.chmod(0o400)
        settings[name] = str(path)
    cloud_device.host["credentials"] = settings
    arn = secrets_manager.put("harbour", registry.secret())
    put_file(cloud_device, image)
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(secrets=[arn]))
    assert set(engine.containers()) == {"web"}
    assert [request[0] for request in role_credentials.requests] == ["iot"]
    config = cloud_device.folder / "host.json"
    checks = json.loads(cloud_device.cli("doctor", "--json", "--config", config, cloud_device.group(secrets=[arn]),
                                         check=False).stdout)["checks"]
    found = {check["check"]: check["ok"] for check in checks}
    assert (found["AWS credentials"], found["secrets"], found["registries"]) == (True, True, True), checks
    key = pathlib.Path(settings["privateKey"]).read_text().splitlines()[1].encode()
    assert files_that_show(key, *(cloud_device.folder / name for name in ("state", "run", "gg", "app"))) == []
    pathlib.Path(settings["privateKey"]).unlink()
    done = cloud_device.deploy(cloud_device.group(secrets=[arn]), status=1)
    assert "credentials.privateKey" in done.stderr and settings["privateKey"] in done.stderr
