# SPDX-License-Identifier: Apache-2.0
"""What the job's user has by hand: the logins of ~/.docker/config.json, and credential helpers."""
import base64
import json

import pytest

from servers.compose import HeldCompose
from servers.engine import compose_file
from servers.registry import Registry
from servers.server import wait_until
from users import add_user


def put_file(device, image):
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))


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


def test_a_login_of_the_user_s_own_opens_the_registry_of_a_compose_file(hand_device, home, registry):
    home.configure(auths={registry.address: {"auth": as_auth(registry)}})
    registry.publish("boats/handmade", "1", [("application/vnd.docker.compose.file+yaml", "compose.yml",
                                              compose_file(None, ["web"], "harbour/none:1"))])
    hand_device.start()
    plan = hand_device.cli_json("plan", f"oci://{registry.address}/boats/handmade:1", "--user", home.user.name, check=False)
    assert [service["action"] for service in plan["services"]] == ["created"], plan
    assert registry.PASSWORD not in hand_device.log


@pytest.mark.parametrize("config", [{"credsStore": "test"}, {"credHelpers": {"{address}": "test"}}])
def test_pulls_with_a_login_of_the_user_s_helper(hand_device, home, engine, registry, image, config):
    home.configure(**json.loads(json.dumps(config).replace("{address}", registry.address)))
    home.keep({"ServerURL": registry.address, "Username": registry.USER, "Secret": registry.PASSWORD}, registry.address)
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group())
    assert set(engine.containers()) == {"web"}
    # Once to ask what the pull will need, once to pull.
    assert home.calls == [f"get {registry.address}"] * 2


def test_a_secret_goes_before_what_the_user_has(hand_device, home, engine, registry, image):
    home.configure(auths={registry.address: {"auth": "Ym9iOnB3"}})  # bob:pw, whom the registry does not know
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())]))
    assert set(engine.containers()) == {"web"}


def test_a_helper_keeps_the_credentials_while_the_job_lasts(hand_device, home, held_by_hand, engine, registry,
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
    assert len(warnings) == 1 and "[WARN]" in warnings[0] and "ignoring this credential helper" in warnings[0]
    assert registry.PASSWORD not in hand_device.log


def test_a_broken_config_is_warned_of(hand_device, home, engine, registry, image):
    home.configure()
    home.config.write_text('{"auths": s3cret')
    put_file(hand_device, image)
    hand_device.start()
    hand_device.deploy(hand_device.group(secrets=[hand_device.put_secret("harbour", registry.secret())]))
    assert set(engine.containers()) == {"web"}
    assert f"'{home.config}': not a JSON object (line 1" in hand_device.log
    assert Registry.PASSWORD not in hand_device.log
