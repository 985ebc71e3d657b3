# SPDX-License-Identifier: Apache-2.0
"""Deployments whose registry passwords are in Secrets Manager, and how logins go with them."""
import base64
import datetime
import json
import pathlib

import pytest

from documents import assert_failure
from secrets_at_rest_test import Watch, files_that_show
from servers.compose import HeldCompose
from servers.engine import compose_file
from servers.registry import Registry
from servers.server import wait_until
from users import add_user

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
    "in trouble": (lambda manager: setattr(manager, "always", "rubbish"), ELSE, "no JSON object"),
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
    warnings = [line for line in cloud_device.log.splitlines() if "clock is wrong" in line]
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
    secrets_manager.keys = {"ASIA0001": ("secret-1", "token-1")}
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
    key = pathlib.Path(settings["privateKey"]).read_text().splitlines()[1].encode()
    assert files_that_show(key, *(cloud_device.folder / name for name in ("state", "run", "gg", "app"))) == []
    pathlib.Path(settings["privateKey"]).unlink()
    done = cloud_device.deploy(cloud_device.group(secrets=[arn]), status=1)
    assert "credentials.privateKey" in done.stderr and settings["privateKey"] in done.stderr


# Logins are tried again from version 7 on:

def test_version_7_waits_for_a_registry_that_comes_late(device, engine, registry, image):
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())])
    put_file(device, image)
    device.start()
    registry.stop()
    with device.begin(group) as deployment:
        device.wait_log("retrying in")
        registry.start()
        assert deployment.end()["exit"] == 0, device.log
    assert set(engine.containers()) == {"web"}


def test_version_6_tries_a_login_once(device, registry, image):
    group = device.group(version=6, secrets=[device.put_secret("harbour", registry.secret())])
    put_file(device, image)
    device.start()
    registry.stop()
    done = device.deploy(group, status=1)
    assert f"log in to registry {registry.address}: " in done.stderr
    assert "retrying" not in device.log


def test_a_refused_password_is_not_tried_again(device, registry, image):
    group = device.group(secrets=[device.put_secret("harbour", registry.secret(password="wr0ng"))])
    put_file(device, image)
    device.start()
    done = device.deploy(group, status=1)
    assert f"registry {registry.address} refuses user {registry.USER}" in done.stderr
    assert "retrying" not in device.log and "wr0ng" not in device.log


# What the user has by hand:

HELPER = """#!/usr/bin/python3
import json, os, pathlib, sys
store = pathlib.Path(os.environ["HOME"]) / "keychain.json"
held = json.loads(store.read_text()) if store.exists() else {}
verb, text = sys.argv[1], sys.stdin.read()
with open(store.with_name("calls"), "a") as calls:
    calls.write(verb + " " + (json.loads(text)["ServerURL"] if verb == "store" else text) + "\\n")
if (store.with_name("broken")).exists():
    sys.exit("the keychain is locked")
if verb == "store":
    held[json.loads(text)["ServerURL"]] = json.loads(text)
elif text not in held:
    print("credentials not found in native keychain")
    sys.exit(1)
elif verb == "get":
    print(json.dumps(held[text]))
else:
    del held[text]
store.write_text(json.dumps(held))
"""


class Home:
    """The home of a user who works with Docker by hand."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self.user = add_user(f"lmhand{Home.count}", groups=["docker"], home=str(folder))
        Home.count += 1
        self.user.owns(folder)
        self.config = folder / ".docker/config.json"
        self.config.parent.mkdir()

    count = 0

    def configure(self, **config):
        self.config.write_text(json.dumps(config))
        self.config.chmod(0o600)
        for path in (self.config.parent, self.config):
            self.user.owns(path)

    def keep(self, login, registry):
        self.keychain.write_text(json.dumps({registry: login}))
        self.user.owns(self.keychain)

    @property
    def keychain(self):
        return self.folder / "keychain.json"

    @property
    def kept(self):
        """Registry to user name."""
        held = json.loads(self.keychain.read_text()) if self.keychain.exists() else {}
        return {server: login["Username"] for server, login in held.items()}

    @property
    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def break_helper(self):
        (self.folder / "broken").touch()


@pytest.fixture
def home(folder):
    return Home(folder / "home")


@pytest.fixture
def hand_device(device_with, compose1, folder, home):
    """A device whose user has a home, and a credential helper named "test" in its PATH."""
    programs = folder / "helpers"
    programs.mkdir()
    programs.chmod(0o755)
    (programs / "docker-credential-test").write_text(HELPER)
    (programs / "docker-credential-test").chmod(0o755)
    device = device_with(compose1, user=home.user)
    device.environment["PATH"] += f":{programs}"
    return device


def as_auth(registry):
    return base64.b64encode(f"{registry.USER}:{registry.PASSWORD}".encode()).decode()


def test_pulls_with_a_login_of_the_user_s_own(hand_device, home, engine, registry, image):
    home.configure(auths={registry.address: {"auth": as_auth(registry)}})
    before = home.config.read_text()
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group())
    assert set(engine.containers()) == {"web"}
    assert home.config.read_text() == before
    assert registry.PASSWORD not in hand_device.log


@pytest.mark.parametrize("config", [{"credsStore": "test"}, {"credHelpers": {"{address}": "test"}}])
def test_pulls_with_a_login_of_the_user_s_helper(hand_device, home, engine, registry, image, config):
    home.configure(**json.loads(json.dumps(config).replace("{address}", registry.address)))
    home.keep({"ServerURL": registry.address, "Username": registry.USER, "Secret": registry.PASSWORD}, registry.address)
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group())
    assert set(engine.containers()) == {"web"}
    assert home.calls == [f"get {registry.address}"]


def test_a_secret_goes_before_what_the_user_has(hand_device, home, engine, registry, image):
    home.configure(auths={registry.address: {"auth": "Ym9iOnB3"}})  # bob:pw, whom the registry does not know
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())]))
    assert set(engine.containers()) == {"web"}


def test_a_helper_keeps_our_login_for_as_long_as_the_job_lasts(hand_device, home, held_by_hand, engine, registry,
                                                               image):
    home.configure(credsStore="test")
    put_file(hand_device, image)
    hand_device.start()
    group = hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())])
    held_by_hand.hold("up")
    with hand_device.begin(group) as deployment:
        held_by_hand.wait_held("up")
        assert home.kept == {registry.address: registry.USER}
        held_by_hand.release()
        assert deployment.end()["exit"] == 0
        assert home.kept == {}
    assert home.calls == [f"{verb} {registry.address}" for verb in ("get", "store", "erase")]
    assert set(engine.containers()) == {"web"}


@pytest.fixture
def held_by_hand(hand_device):
    compose = HeldCompose(hand_device.host["docker"]["compose"], hand_device.folder / "compose", hand_device.user)
    hand_device.host["docker"]["compose"] = str(compose.path)
    return compose


def test_a_helper_gets_back_what_it_had(hand_device, home, registry, image):
    home.configure(credHelpers={registry.address: "test"})
    home.keep({"ServerURL": registry.address, "Username": "bob", "Secret": "pw"}, registry.address)
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())]))
    assert home.kept == {registry.address: "bob"}
    assert registry.PASSWORD not in home.keychain.read_text()


def test_a_helper_forgets_when_a_deployment_fails(hand_device, home, registry, image):
    home.configure(credsStore="test")
    put_file(hand_device, registry.image("demo/none:1"))
    hand_device.start()
    hand_device.deploy(hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())]), status=1)
    assert home.kept == {} and f"store {registry.address}" in home.calls


def test_a_helper_forgets_when_a_deployment_is_cancelled(hand_device, home, held_by_hand, registry, image):
    home.configure(credsStore="test")
    put_file(hand_device, image)
    hand_device.start()
    group = hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())])
    held_by_hand.hold("up")
    with hand_device.begin(group):
        held_by_hand.wait_held("up")
        assert home.kept != {}
        assert hand_device.ask("stop")["exit"] == 0
    wait_until(lambda: home.kept == {}, 30, lambda: f"{home.kept}\n{hand_device.log}")
    assert home.calls[-1] == f"erase {registry.address}"


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_without_a_helper_that_works_the_deployment_goes_on(hand_device, home, engine, registry, image, how):
    home.configure(credsStore="test" if how == "broken" else "none")
    home.break_helper()
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())]))
    assert set(engine.containers()) == {"web"}
    warnings = [line for line in hand_device.log.splitlines() if "docker-credential-" in line]
    assert len(warnings) == 1 and "[WARN]" in warnings[0] and "going on without this helper" in warnings[0]
    assert registry.PASSWORD not in hand_device.log


def test_a_broken_config_is_warned_of(hand_device, home, engine, registry, image):
    home.configure()
    home.config.write_text('{"auths": s3cret')
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())]))
    assert set(engine.containers()) == {"web"}
    assert f"'{home.config}': it is no JSON object (line 1" in hand_device.log
    assert Registry.PASSWORD not in hand_device.log
