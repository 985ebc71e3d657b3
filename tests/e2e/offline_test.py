# SPDX-License-Identifier: Apache-2.0
"""Without a way to S3, to the registries, to secrets: with DockerOfflineMode, and without."""
import http.server
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
    assert "going on with" not in device.log

    # The registry is away: the compose file is a new one, its image is here.
    registry.stop()
    s3.put(BUCKET, "next.yml", ship.text.replace("services:", "services: # the next", 1).encode())
    last, replaced = ship.deploy(key="next.yml")
    assert (last["exit"], replaced) == (0, True), last
    assert status_messages.next_json() == success(bucket=BUCKET, key="next.yml")
    assert "# the next" in device.local_copy.read_text()

    # Both are: at a new deployment, which goes by the local copy, with each parameter in its meaning.
    s3.stop()
    kept = device.local_copy.read_text()
    assert ship.deploy()[1] is True
    assert status_messages.next_json() == done
    assert ship.deploy(**NO_STOP)[1] is False
    assert status_messages.next_json() == done
    engine.containers()["web"].remove(force=True)
    left = engine.docker.containers.create(ship.image, name="e2e-fixed", labels=LEFT)
    device.deploy(ship.group(), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "e2e-fixed")
    left.reload()
    device.deploy(ship.group(**FORCE))
    assert status_messages.next_json() == done
    assert set(engine.containers(everything=True)) == {"web"}

    # At a restart, taken down before and not.
    for end in (device.stop, device.kill):
        end()
        device.start()
        device.wait_status(lambda status: status["state"] == "running" and status["job"] is None)
        assert set(engine.containers()) == {"web"}
    assert device.local_copy.read_text() == kept
    assert "going on with the local copy of the compose file" in device.log


def spoil(name, copy, stranger, outside):
    """Makes something else of the local copy; returns words of the sentence that tells."""
    text = copy.read_text()
    copy.unlink()
    if name == "another image":
        copy.write_text(text.replace("image: ", "image: harbour/never:1 #"))
        copy.chmod(0o600)
        run("chown", "--reference", copy.parent, copy)
        return "harbour/never:1", "not on this device"
    if name == "a stranger's":
        copy.write_text(text)
        stranger.owns(copy)
        return str(copy), f"belongs to user {stranger.uid}"
    if name == "a link":
        outside.write_text(text)
        copy.symlink_to(outside)
        return str(copy), "is a link"
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
    device.wait_log("the start is tried again in")
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
