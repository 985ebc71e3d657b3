# SPDX-License-Identifier: Apache-2.0
"""Without a way to S3, to the registries, to secrets: with DockerOfflineMode, and without."""
import http.server
import pathlib
import re
import threading

import pytest

from documents import assert_failure, success
from servers.engine import PROJECT, compose_file
from servers.server import free_port, run

BUCKET = "e2e-offline"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
NO_STOP, FORCE = {"StopContainersOnNewDeployment": "False"}, {"ForceDeploy": "True"}
LEFT = {"com.docker.compose.project": PROJECT}


class Ship:
    """A device that has deployed from S3 and a registry, with a container name that something can be in the way of."""

    def __init__(self, device, s3, registry, image, engine):
        self.device, self.engine, self.image = device, engine, image
        if BUCKET not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
            s3.make_bucket(BUCKET)
        self.text = compose_file(None, ["web"], image, container_name="e2e-fixed")
        s3.put(BUCKET, "app.yml", self.text.encode())
        self.secret = device.put_secret("harbour", registry.secret())
        device.use_s3(s3)

    def group(self, offline="True", key="app.yml", **parameters):
        return self.device.group(bucket=BUCKET, key=key, secrets=[self.secret], DockerOfflineMode=offline, **parameters)

    @property
    def container(self):
        return self.engine.containers()["web"].id

    def deploy(self, **parameters):
        """Returns how it ended, and whether the container was replaced meanwhile."""
        before = self.container
        with self.device.begin(self.group(**parameters)) as deployment:
            last = deployment.end()
        assert set(self.engine.containers()) == {"web"}
        return last, self.container != before


@pytest.fixture
def ship(device, engine, broker, s3, registry, image):
    device.use_broker(broker)
    return Ship(device, s3, registry, image, engine)


def test_an_application_lives_on_without_s3_and_registry(ship, device, engine, s3, registry, status_messages):
    done = success(bucket=BUCKET, key="app.yml")
    device.start()
    device.deploy(ship.group())
    assert status_messages.next_json() == done
    assert "falling back to local copies" not in device.log

    # The registry is away: the compose file is a new one, its image is here.
    registry.stop()
    s3.put(BUCKET, "next.yml", ship.text.replace("services:", "services: # the next", 1).encode())
    last, replaced = ship.deploy(key="next.yml")
    assert (last["exit"], replaced) == (0, True), last
    assert status_messages.next_json() == success(bucket=BUCKET, key="next.yml")
    assert "# the next" in device.local_copy.read_text()

    # Both are: at a new deployment, which goes by the local copy, with each parameter in its meaning.
    s3.stop()
    done = success(bucket=BUCKET, key="next.yml")
    kept = device.local_copy.read_text()
    last, replaced = ship.deploy()  # of app.yml, which is not what the local copy is
    assert (last["exit"], last["effect"], replaced) == (1, "untouched", False), last
    assert_failure(status_messages.next_json(), "InternalError", "is not known to be 'app.yml'")
    assert ship.deploy(key="next.yml")[1] is True
    assert status_messages.next_json() == done
    assert ship.deploy(key="next.yml", **NO_STOP)[1] is False
    assert status_messages.next_json() == done
    engine.containers()["web"].remove(force=True)
    left = engine.docker.containers.create(ship.image, name="e2e-fixed", labels=LEFT)
    device.deploy(ship.group(key="next.yml"), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "e2e-fixed")
    left.reload()
    device.deploy(ship.group(key="next.yml", **FORCE))
    assert status_messages.next_json() == done
    assert set(engine.containers(everything=True)) == {"web"}

    # At a restart, taken down before and not.
    for end in (device.stop, device.kill):
        end()
        device.start()
        device.wait_status(lambda status: status["state"] == "running" and status["job"] is None)
        assert set(engine.containers()) == {"web"}
    assert device.local_copy.read_text() == kept
    assert "using the local copy of the compose file" in device.log
    assert "using the previously deployed compose file" in device.log


def spoil(name, copy, stranger, outside):
    """Makes something else of the local copy; returns words of the sentence that tells."""
    text = copy.read_text()
    copy.unlink()
    if name == "another image":
        copy.write_text(text.replace("image: ", "image: harbour/never:1 #"))
        copy.chmod(0o600)
        run("chown", "--reference", copy.parent, copy)
        return str(copy), "is not known to be 'app.yml'", "changed since"
    if name == "a stranger's":
        copy.write_text(text)
        stranger.owns(copy)
        return str(copy), f"belongs to user {stranger.uid}"
    if name == "a link":
        outside.write_text(text)
        copy.symlink_to(outside)
        return str(copy), "is a symbolic link"
    if name == "a directory":
        copy.mkdir()
        return str(copy), "is a directory"
    return str(copy), "there is no local copy"


def test_what_offline_mode_lacks_is_named_and_what_runs_is_left_alone(ship, device, s3, registry, stranger,
                                                                     status_messages):
    device.start()
    device.deploy(ship.group())
    assert status_messages.next_json()["status"] == "success"
    text = device.local_copy.read_text()
    s3.stop()
    registry.stop()
    for name in ("missing", "another image", "a stranger's", "a link", "a directory"):
        words = spoil(name, device.local_copy, stranger, device.folder / "outside.yml")
        last, replaced = ship.deploy()
        assert (last["exit"], last["effect"], replaced) == (1, "untouched", False), (name, last)
        assert_failure(status_messages.next_json(), "InternalError", *words)
        if name == "a directory":
            device.local_copy.rmdir()
        else:
            device.local_copy.unlink(missing_ok=True)
        device.local_copy.write_text(text)
        device.user.owns(device.local_copy)
    # Without offline mode: at a deployment, and at a start, which is tried again later.
    last, replaced = ship.deploy(offline="False")
    assert (last["exit"], last["effect"], replaced) == (1, "untouched", False), last
    assert_failure(status_messages.next_json(), "InternalError", s3.endpoint.split("/")[-1])
    device.kill()
    (device.folder / "state").rename(device.folder / "old-state")
    container = ship.container
    device.start(ship.group(offline="False"))
    assert_failure(status_messages.next_json(), "InternalError", s3.endpoint.split("/")[-1])
    device.wait_log("retrying the start in")
    assert ship.container == container


class Ill(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def ill_service():
    """An address that answers everything with 503."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ill) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("fault", ["no such name", "503", "no secrets", "no credentials"])
def test_offline_mode_helps_if_there_is(device, engine, broker, local_image, status_messages, ill_service,
                                        role_credentials, fault):
    """Version 7 only, and only if it is asked for."""
    device.use_broker(broker)
    text, secrets = compose_file(None, ["web"], local_image), []
    device.local_copy.write_text(text)
    nowhere = f"http://127.0.0.1:{free_port()}"
    if fault == "no secrets":  # the compose file that the definition names is there
        device.put_object("ships", "docker-compose.yml", text.replace("services:", "services: # named", 1))
        secrets = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:harbour-AbC123"]
        del device.host["secretStore"]
        device.environment.update(KEYS, AWS_ENDPOINT_URL_SECRETS_MANAGER=nowhere)
    else:
        del device.host["objectStore"]
        where = {"no such name": "http://s3.harbour.invalid", "503": ill_service}.get(fault, nowhere)
        device.environment.update(KEYS, AWS_ENDPOINT_URL_S3=where)
    if fault == "no credentials":
        device.host["credentials"] = role_credentials.attach("lighter-1-device", "Gateway")
        role_credentials.stop()
    device.user.owns(device.local_copy)
    device.start()
    device.deploy(device.group(secrets=secrets), status=1)
    assert_failure(status_messages.next_json(), "InternalError")
    assert engine.containers(everything=True) == {}
    device.deploy(device.group(secrets=secrets, DockerOfflineMode="True"))
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}
    assert ("# named" in device.local_copy.read_text()) == (fault == "no secrets")


class Quay:
    """A device with an application in version v1 of an object, in a store that is a directory."""

    KEY = "app.yml"

    def __init__(self, device, engine, image, registry, status_messages):
        self.device, self.engine, self.image, self.messages = device, engine, image, status_messages
        self.registry = registry
        self.stores = {name: device.folder / name for name in ("objects", "secrets")}
        self.secret = device.put_secret("harbour", registry.secret())
        for version in ("v1", "v2"):
            self.put(version, version)

    def put(self, service, version):
        self.device.put_object("ships", self.KEY, self.text(service), version)

    def text(self, service):
        return compose_file(None, [service], self.image)

    def group(self, version="v1", **parameters):
        values = {"DockerOfflineMode": "True", "DockerComposeFileS3Version": version, **parameters}
        return self.device.group(key=self.KEY, secrets=[self.secret], **values)

    def first(self):
        """The application is deployed, by what everything that is needed answers."""
        self.device.start()
        self.device.deploy(self.group())
        assert self.messages.next_json() == success("v1", key=self.KEY)

    def away(self, name, empty=False):
        """As a stick that was pulled; its mount point may stay."""
        self.stores[name].rename(self.device.folder / f"{name}.away")
        if empty:
            self.stores[name].mkdir()

    def remove(self, name):
        """The object, or the secret, was deleted; there are others."""
        (self.stores[name] / "others").mkdir()
        for path in self.stores[name].rglob("*"):
            if path.is_file():
                path.unlink()

    def spoil(self):
        """Somebody has overwritten the object."""
        self.device.put_object("ships", self.KEY, self.text("newer") + "    no-such-option: 1\n", "v1")

    def change_password(self):
        self.device.put_secret("harbour", dict(self.registry.secret(), password="0ld"))

    def lose_image(self):
        """The new version names an image that its registry does not have any more, and this device does."""
        self.engine.docker.images.get(self.image).tag(self.image.replace(":1", ":lost"))
        self.device.put_object("ships", self.KEY, self.text("v2").replace(self.image, self.image.replace(":1", ":lost")),
                               "v2")

    def by_hand(self):
        self.device.local_copy.write_text(self.text("hand"))
        self.device.local_copy.chmod(0o600)
        self.device.user.owns(self.device.local_copy)


@pytest.fixture
def quay(device, engine, broker, registry, image, status_messages):
    device.use_broker(broker)
    yield Quay(device, engine, image, registry, status_messages)
    if not registry.running:
        registry.start()


# Each row of the tables in docs/life.md: what happens, and the version that the status message then has, or words of
# the failure.
STARTS = {
    "start-unreachable": lambda quay: quay.away("objects"),
    "start-refused": lambda quay: quay.remove("objects"),
    "start-secret-unreachable": lambda quay: quay.away("secrets"),
    "start-secret-refused": lambda quay: quay.remove("secrets"),
    "start-login-refused": Quay.change_password,
    "start-registry-unreachable": lambda quay: quay.registry.stop(),
    "start-file-refused": Quay.spoil,
}
NEW = {
    "new-unreachable-same": ("v1", lambda quay: quay.away("objects"), "v1"),
    "new-unreachable-other": ("v2", lambda quay: quay.away("objects"), ["is not known to be 'app.yml'", "in version v2"]),
    "new-refused": ("v2", lambda quay: quay.remove("objects"), ["has no object 'app.yml' of version 'v2'"]),
    "new-secret-unreachable": ("v2", lambda quay: quay.away("secrets"), "v2"),
    "new-secret-refused": ("v2", lambda quay: quay.remove("secrets"), ["there is no file"]),
    "new-login-refused": ("v2", Quay.change_password, ["alice"]),
    "new-image-refused": ("v2", Quay.lose_image, ["manifest unknown"]),
    "new-registry-unreachable": ("v2", lambda quay: quay.registry.stop(), "v2"),
}
FIRST = {
    "first-unreachable-by-hand": (Quay.by_hand, None),
    "first-unreachable-nothing": (lambda quay: None, ["there is no local copy"]),
}


def test_every_situation_of_the_tables_is_tested():
    text = (pathlib.Path(__file__).parents[2] / "docs/life.md").read_text()
    assert re.findall(r"^\| `((?:start|new|first)-[a-z-]+)` ", text, re.MULTILINE) == [*STARTS, *NEW, *FIRST]


@pytest.mark.parametrize("situation", STARTS)
def test_a_start_keeps_its_application(quay, device, engine, situation):
    quay.first()
    assert device.stop() == 0
    quay.put("newer", "v1")  # what is fetched is another file than the one deployed before
    STARTS[situation](quay)
    device.start()
    assert quay.messages.next_json() == success("v1", key=quay.KEY)
    assert set(engine.containers(everything=True)) == {"v1"}
    assert device.local_copy.read_text() == quay.text("v1")
    assert re.search(r"\[WARN\].*falling back to local copies", device.log)
    # It is itself a generation to start from, and what it put there is known.
    device.kill()
    device.start()
    assert quay.messages.next_json() == success("v1", key=quay.KEY)
    assert set(engine.containers(everything=True)) == {"v1"}


def test_a_mount_point_without_its_stick_is_a_store_that_is_away(quay, device, engine):
    quay.first()
    before = engine.containers()["v1"].id
    assert device.stop() == 0
    for name in quay.stores:
        quay.away(name, empty=True)
    device.start()
    assert quay.messages.next_json() == success("v1", key=quay.KEY)
    device.deploy(quay.group("v1"))  # new, of the file that is here
    assert quay.messages.next_json() == success("v1", key=quay.KEY)
    assert set(engine.containers()) == {"v1"} and engine.containers()["v1"].id != before
    device.deploy(quay.group("v2"), status=1)
    assert "is not known to be 'app.yml'" in quay.messages.next_json()["error_message"]


@pytest.mark.parametrize("situation", NEW)
def test_a_new_deployment_is_what_it_says_it_is(quay, device, engine, situation):
    version, act, expected = NEW[situation]
    quay.first()
    before = engine.containers()["v1"].id
    act(quay)
    failed = isinstance(expected, list)
    device.deploy(quay.group(version), status=int(failed))
    message = quay.messages.next_json()
    if not failed:
        assert message == success(expected, key=quay.KEY)
        assert set(engine.containers(everything=True)) == {expected}
        return
    assert message["status"] == "fail"
    assert all(word in message["error_message"] for word in expected), message
    assert {name: c.id for name, c in engine.containers(everything=True).items()} == {"v1": before}
    assert device.local_copy.read_text() == quay.text("v1")


@pytest.mark.parametrize("situation", FIRST)
def test_a_first_deployment_goes_by_what_was_put_there(quay, device, engine, image, situation):
    act, expected = FIRST[situation]
    if not engine.has_image(image):
        engine.docker.images.pull(image, auth_config={"username": "alice", "password": "s3cret"})
    act(quay)
    quay.away("objects")
    device.start()
    device.deploy(quay.group(), status=int(expected is not None))
    message = quay.messages.next_json()
    if expected:
        assert_failure(message, "InternalError", *expected)
        return
    assert message == success(None, key=quay.KEY)
    assert set(engine.containers()) == {"hand"}
    device.deploy(quay.group("v2"))  # still by hand, whatever is named
    assert quay.messages.next_json() == success(None, key=quay.KEY)


@pytest.mark.parametrize("more", [{"version": 6, "DockerOfflineMode": None}, {"DockerOfflineMode": "False"}])
def test_without_offline_mode_a_start_fails_and_is_tried_again(quay, device, engine, more):
    parameters = {"DockerOfflineMode": "False", "StopContainersOnNewDeployment": "False", **more}
    version = parameters.pop("version", 7)
    device.start()
    device.deploy(device.group(version, key=quay.KEY, secrets=[quay.secret], DockerComposeFileS3Version="v1",
                               **parameters))
    assert quay.messages.next_json()["status"] == "success"
    before = engine.containers()["v1"].id
    assert device.stop() == 0
    quay.away("objects")
    device.start()
    assert_failure(quay.messages.next_json(), "InternalError", "mount or create it")
    device.wait_log("retrying the start in")
    assert engine.containers()["v1"].id == before


def test_an_interrupted_deployment_goes_back_offline_to_what_was_deployed_before(quay, device, engine):
    """The power is cut while v2 is being deployed; the device then starts offline."""
    quay.first()
    with quay.registry.frozen():
        with device.begin(quay.group("v2")) as deployment:
            deployment.until("authenticate")
            device.kill()
    quay.away("objects")
    device.start()
    assert_failure(quay.messages.next_json(), "InternalError", "is not known to be 'app.yml'")
    assert quay.messages.next_json() == success("v1", key=quay.KEY)
    assert set(engine.containers(everything=True)) == {"v1"}
