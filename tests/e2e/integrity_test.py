# SPDX-License-Identifier: Apache-2.0
"""What is deployed is what was meant: the compose file by its hash, an object by S3's checksums, images by their IDs."""
import hashlib

import pytest

from documents import assert_failure, success
from servers.engine import PROJECT, compose_file
from servers.server import run

BUCKET, WAITS = "e2e-integrity", "    command: [sleep, '1000000']\n    init: true\n    stop_grace_period: 1s\n"
LOCAL = {"DockerPullBeforeUp": "False"}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def file(local_image):
    return compose_file(None, ["web"], local_image)


# The hash of the compose file

@pytest.fixture(params=["directory", "s3"])
def store(request, device):
    """Puts a compose file where the device gets it from."""
    if request.param == "directory":
        return lambda text: device.put_object(BUCKET, "app.yml", text)
    s3 = request.getfixturevalue("s3")
    if BUCKET not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket(BUCKET)
    device.use_s3(s3)
    return lambda text: s3.put(BUCKET, "app.yml", text.encode())


def test_a_compose_file_of_another_hash_is_refused_before_anything_changes(device, engine, store, file, broker,
                                                                           status_messages):
    other = file.replace("services:", "services: # another", 1)
    group = device.group(bucket=BUCKET, key="app.yml", policy={"ComposeFileSHA256": sha256(file).upper()}, **LOCAL)
    device.use_broker(broker)
    store(file)
    device.start()
    device.deploy(group)
    assert status_messages.next_json() == success(bucket=BUCKET, key="app.yml")
    before, kept = engine.containers()["web"].id, device.local_copy.read_text()
    store(other)
    told = f"the SHA-256 of the compose file is {sha256(other)}, not Policy.ComposeFileSHA256 ({sha256(file).upper()}): "
    done = device.deploy(group, status=1)
    assert told in done.stdout + done.stderr
    assert_failure(status_messages.next_json(), "InvalidParameter", told, "correct the policy")
    assert engine.containers()["web"].id == before
    assert device.local_copy.read_text() == kept
    for command in ("plan", "doctor"):
        done = device.cli(command, group, check=False)
        assert done.returncode == 1 and told in " ".join((done.stdout + done.stderr).split()), done
    assert engine.containers()["web"].id == before


def test_offline_the_local_copy_must_have_the_hash_too(device, engine, file, local_image, broker, status_messages):
    group = device.local_group(["web"], local_image, DockerOfflineMode="True", policy={"ComposeFileSHA256": sha256(file)})
    device.local_copy.write_text(file.replace("web", "other"))  # put there by hand
    device.local_copy.chmod(0o600)
    device.user.owns(device.local_copy)
    device.use_broker(broker)
    device.start()
    with device.store_away():
        device.deploy(group, status=1)
        assert_failure(status_messages.next_json(), "InternalError", "not Policy.ComposeFileSHA256")
        assert not engine.containers(everything=True)
        device.local_copy.write_text(file)
        device.deploy(group)
    assert status_messages.next_json() == success()


def test_a_start_offline_keeps_to_its_own_file_when_the_store_has_one_of_another_hash(device, engine, file, local_image,
                                                                                      broker, status_messages):
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["web"], local_image, DockerOfflineMode="True",
                                     policy={"ComposeFileSHA256": sha256(file)}))
    assert status_messages.next_json() == success()
    device.put_object("ships", "docker-compose.yml", file.replace("web", "other"))
    device.cli("stop")
    device.cli("start")
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}
    device.wait_log("using the previously deployed compose file")


# S3's checksums

@pytest.fixture
def summed(summed_s3, device, file):
    summed_s3.objects[f"{BUCKET}/app.yml"] = file.encode()
    device.host.pop("objectStore")
    device.environment.update(summed_s3.environment())
    return summed_s3


@pytest.mark.parametrize("algorithm, how", [("sha256", "damaged"), ("sha1", "damaged"), ("crc32", "damaged"),
                                            ("etag", "damaged"), ("sha256", "half")])
def test_an_object_that_arrives_damaged_is_fetched_again(summed, device, engine, algorithm, how):
    summed.algorithm, summed.misbehaviours = algorithm, [how]
    device.start()
    device.deploy(device.group(bucket=BUCKET, key="app.yml", **LOCAL))
    assert set(engine.containers()) == {"web"}
    assert summed.count == 2


def test_an_object_that_arrives_damaged_every_time_is_not_deployed(summed, device, engine, broker, status_messages):
    device.use_broker(broker)
    summed.always = "damaged"
    device.start()
    device.deploy(device.group(bucket=BUCKET, key="app.yml", **LOCAL), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "after 5 attempts: ", "arrived damaged: its SHA256 is ")
    assert not engine.containers(everything=True)
    assert summed.count == 5


# Images

class Pinned:
    """A device with an application whose image's tag then moves, in the registry and here."""

    def __init__(self, device, engine, registry):
        self.device, self.engine, self.registry = device, engine, registry
        self.image = registry.image("pinned/web:1")
        engine.forget_image(self.image)
        engine.publish_image(registry, "pinned/web:1", "first")
        self.secret = device.put_secret("harbour", registry.secret())

    def group(self, **more):
        self.device.put_object("ships", "app.yml", compose_file(None, ["web"], self.image))
        return self.device.group(key="app.yml", secrets=[self.secret], name="pinned.json", **more)

    def move(self, release="second"):
        """The tag names another image, in the registry and on the engine; returns its ID."""
        self.engine.make_image(self.image, release)
        for line in self.engine.docker.images.push(self.image, auth_config=self.registry.auth(), stream=True, decode=True):
            assert "error" not in line, line["error"]
        return self.engine.docker.images.get(self.image).id

    @property
    def runs(self):
        """The ID of the image that the application is of."""
        return self.engine.containers()["web"].image.id


@pytest.fixture
def pinned(device_with, compose, engine, registry, broker):
    device = device_with(compose)
    device.use_broker(broker)
    return Pinned(device, engine, registry)


@pytest.mark.parametrize("tag", ["moved", "removed"])
def test_an_offline_start_runs_the_same_image_although_its_tag_was(pinned, engine, tag):
    device = pinned.device
    device.start()
    device.deploy(pinned.group(DockerOfflineMode="True"))
    first = pinned.runs
    device.cli("stop")  # nothing but its names keeps an image now
    second = pinned.move()
    assert second != first
    if tag == "removed":
        engine.docker.images.remove(pinned.image)
    assert device.stop() == 0
    pinned.registry.stop()
    with device.store_away():
        device.start()
        device.cli("start")
        assert pinned.runs == first
        assert engine.docker.images.get(pinned.image).id == first
    assert f"image {pinned.image} is {first[:19]} again, as deployed" in device.log


def test_an_online_start_pulls_what_the_tag_names_now(pinned):
    pinned.device.start()
    pinned.device.deploy(pinned.group())
    first = pinned.runs
    second = pinned.move()
    pinned.device.cli("stop")
    pinned.device.cli("start")
    assert pinned.runs == second != first


def test_what_ran_before_comes_back_with_its_image_and_without_the_network(pinned, engine):
    """A deployment that cannot be resumed: what was deployed before runs meanwhile."""
    device = pinned.device
    device.start()
    device.deploy(pinned.group())
    first = pinned.runs
    device.put_object("ships", "bad.yml", "services:\n  web:\n    image: localhost:9/none:1\n")
    second = pinned.move()
    # Killed in its stage `up`, as far as the store is concerned: its file lies at the destination.
    with device.begin(device.group(key="bad.yml", secrets=[pinned.secret], name="bad.json")) as deployment:
        deployment.until("fetch")
        device.crash()
    engine.remove_containers()
    pinned.registry.stop()
    device.start()
    device.wait_status(lambda status: status["actual"] == {"state": "whole", "generation": 1})
    assert pinned.runs == first != second
    assert "using the previously deployed compose file and images" in device.log


def test_an_image_that_is_gone_is_named_and_the_one_of_its_name_taken(pinned, engine):
    device = pinned.device
    device.start()
    device.deploy(pinned.group(DockerOfflineMode="True"))
    first = pinned.runs
    second = pinned.move()
    device.cli("stop")
    engine.docker.images.remove(first)
    pinned.registry.stop()
    with device.store_away():
        device.cli("start")
        assert pinned.runs == second
        assert f"{first[:19]}, which was deployed, is no longer on this device; using {second[:19]}" in device.log
        device.cli("stop")
        engine.docker.images.remove(second, force=True)
        done = device.cli("start", check=False)
    assert done.returncode == 1
    assert f"image {pinned.image} is not available locally ({second[:19]} was deployed)" in done.stdout + done.stderr


def test_a_built_image_is_pinned_and_not_built_again(device_with, compose, engine, local_image):
    device = device_with(compose)
    (device.destination / "Dockerfile").write_text(f"FROM {local_image}\nLABEL built=first\n")
    build = "pull_policy: build" if compose.generation > 1 else "labels: {none: ''}"
    device.put_object("ships", "app.yml", f"services:\n  web:\n    build: .\n    {build}\n{WAITS}")
    device.start()
    device.deploy(device.group(key="app.yml", DockerOfflineMode="True", **LOCAL))
    first = engine.containers()["web"]
    assert first.labels["built"] == "first"
    device.cli("stop")
    engine.docker.images.get(local_image).tag(first.attrs["Config"]["Image"])  # somebody else's
    (device.destination / "Dockerfile").write_text(f"FROM {local_image}\nLABEL built=second\n")
    with device.store_away():
        device.cli("start")
    second = engine.containers()["web"]
    assert second.image.id == first.image.id
    assert second.labels["built"] == "first"
    for name in (f"{PROJECT}_web", f"{PROJECT}-web"):
        engine.remove_containers()
        engine.forget_image(name)
