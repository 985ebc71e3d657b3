# SPDX-License-Identifier: Apache-2.0
"""`lighterman verify`, and what an unclean boot brings about, with the real engine and real damage on its disk."""
import contextlib
import json
import pathlib
import subprocess
import uuid

import pytest

from image_damage import flip, top_file
from servers.compose import HeldCompose
from servers.engine import PROJECT, compose_file
from servers.server import wait_until
from strace import followed

BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")


@pytest.fixture
def layered(engine, open_registry, local_image):
    """An image of two layers in a registry. What a test damages of it is removed afterwards."""
    reference = open_registry.image(f"demo/layered-{uuid.uuid4().hex[:8]}:1")
    engine.publish(open_registry, engine.extend_image(local_image, reference, f"the page of {reference}, " * 50))
    yield reference
    engine.remove_containers()
    engine.forget_image(reference)


DAMAGES = {
    "zero bytes": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a flipped bit": flip,
    "a missing file": lambda path: path.unlink(),
    "a missing layer": lambda path: subprocess.run(["rm", "-r", path.parents[1]], check=True),
}


def verified(device):
    """What `lighterman verify --json` prints, by image."""
    done = device.cli("verify", "--json", check=False)
    document = json.loads(done.stdout)
    assert done.returncode == document["exit"], done.stdout
    return document["exit"], {image["image"]: image for image in document["verified"]}


@contextlib.contextmanager
def boot_id(text):
    """As if the device had been started anew."""
    file = pathlib.Path("/run/boot_id")
    file.write_text(f"{text}\n", encoding="ascii")
    subprocess.run(["mount", "--bind", file, BOOT_ID], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", BOOT_ID], check=True)


def test_sound_images_are_ok(device, engine, layered):
    device.start(device.local_group(["web"], layered))
    device.wait_status(lambda status: status["state"] == "running")
    status, images = verified(device)
    assert status == 0
    assert images[layered]["state"] == "ok"
    assert images[layered]["layers"] == 2 and images[layered]["generations"] == [1]
    assert images[layered]["bytes"] > 1_000_000
    assert device.cli("verify").stdout.startswith("ok ")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_layer_is_found(device, engine, layered, damage):
    device.start(device.local_group(["web"], layered))
    device.wait_status(lambda status: status["state"] == "running")
    DAMAGES[damage](top_file(engine, layered))
    status, images = verified(device)
    assert status == 1
    assert images[layered]["state"] == "damaged", images
    assert images[layered]["message"]
    assert engine.containers(), "what runs was touched"
    assert device.status["verification"]["bad"][0]["image"] == layered
    device.wait_log(f"image {layered} of generation 1 is damaged: ")


def test_an_image_that_is_gone_is_missing(device, engine, layered):
    device.start(device.local_group(["web"], layered))
    device.wait_status(lambda status: status["state"] == "running")
    engine.remove_containers()
    engine.forget_image(layered)
    status, images = verified(device)
    assert (status, images[layered]["state"]) == (1, "missing")


def test_any_command_preempts_it_and_it_goes_on_afterwards(device, engine, layered):
    group = device.local_group(["web"], layered)
    device.start(group)
    device.wait_status(lambda status: status["state"] == "running")
    engine.processes[0].send_signal(19)  # SIGSTOP: the engine answers nobody, so that the worker waits
    try:
        with device.control("verify") as answer:
            wait_until(lambda: device.status["verification"]["state"] == "running", 30, "it does not begin")
            with device.begin(group) as deployment:
                wait_until(lambda: device.status["verification"]["state"] == "waiting", 30, "it gives way to nothing")
                engine.processes[0].send_signal(18)
                assert deployment.end()["exit"] == 0
            last = answer.end()
            assert (last["exit"], last["wrong"]) == (0, 0), last
    finally:
        engine.processes[0].send_signal(18)


def test_an_unclean_boot_verifies_by_itself_and_an_orderly_one_does_not(device, engine, layered):
    device.start(device.local_group(["web"], layered))
    device.wait_status(lambda status: status["state"] == "running")
    device.kill()
    with boot_id(uuid.uuid4()):
        device.start()
        device.wait_log("this device was not stopped in order")
        status = device.wait_status(lambda status: status["verification"]["finished_ms"])
        assert status["verification"]["state"] == "idle"
        assert status["verification"]["images"] == 1 and status["verification"]["bad"] == []
        assert device.stop() == 0
    engine.remove_containers()
    with boot_id(uuid.uuid4()):
        device.start()
        device.wait_status(lambda status: status["state"] == "running")
        assert device.status["verification"]["state"] == "idle"
    assert device.stderr.count("this device was not stopped in order") == 1


def test_a_verification_that_is_due_outlives_a_restart(device, engine, layered):
    device.start(device.local_group(["web"], layered))
    device.wait_status(lambda status: status["state"] == "running")
    device.kill()
    with boot_id(uuid.uuid4()):
        device.start()
        device.wait_log("this device was not stopped in order")
        assert device.stop() == 0  # before it began
        device.start()
        device.wait_status(lambda status: status["verification"]["finished_ms"])


def test_it_changes_nothing(device, engine, layered):
    device.start(device.local_group(["web"], layered))
    device.wait_status(lambda status: status["state"] == "running")
    before = sorted(image.id for image in engine.docker.images.list())
    containers = {name: container.id for name, container in engine.containers().items()}
    assert verified(device)[0] == 0
    assert sorted(image.id for image in engine.docker.images.list()) == before
    assert {name: container.id for name, container in engine.containers().items()} == containers


def calls(text, *names):
    """The calls of an strace log, as its lines, in order: those that begin, and those that end later."""
    return [line for line in text.splitlines() if any(f" {name}(" in line or f"<... {name} resumed" in line for name in names)]


def test_images_are_on_disk_before_the_stage_after_the_pull_is_recorded(device, engine, layered, tmp_path):
    """By the calls of lightermand: the journal's lines, and syncfs of the engine's directory."""
    log = tmp_path / "strace.log"
    group = device.local_group(["web"], layered)
    device.start()
    with followed(device.process.pid, log, "-y", "-s", "200", "-e", "trace=syncfs,write"):
        device.deploy(group)
    found = []
    for line in calls(log.read_text(), "syncfs", "write"):
        if "syncfs" in line:
            found.append("syncfs" if line.rstrip().endswith("= 0") else "begins")
        elif "/journal" in line:
            found += [stage for stage in ("pull", "down", "up") if f'{stage}' in line.split("write(")[1].split(", ", 1)[1]]
    found = [what for what in found if what != "begins"]
    assert found == ["pull", "syncfs", "down", "up"], log.read_text()[-5000:]
    assert any(f"<{engine.folder}/data>" in line for line in calls(log.read_text(), "syncfs"))


def test_a_disk_that_loses_what_was_pulled_fails_the_deployment_before_anything_is_stopped(
        device, engine, local_image, layered, tmp_path):
    device.start(device.local_group(["web"], local_image))
    device.wait_status(lambda status: status["state"] == "running")
    before = {name: container.id for name, container in engine.containers().items()}
    group = device.local_group(["web"], layered, key="other.yml")
    with followed(device.process.pid, tmp_path / "strace.log", "-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO"):
        done = device.deploy(group, status=1)
    assert "Input/output error; what was pulled may be damaged" in done.stderr, done.stderr
    assert str(engine.folder / "data") in done.stderr
    assert {name: container.id for name, container in engine.containers().items()} == before
    device.deploy(group)  # the disk is well again


class Building:
    """A device whose docker-compose builds an image in `up`, another one each time; and is held there first."""

    def __init__(self, device, local_image):
        self.device = device
        self.held = HeldCompose(device.host["docker"]["compose"], device.folder / "compose", device.user)
        device.host["docker"]["compose"] = str(self.held.path)
        (device.destination / "Dockerfile").write_text(f"FROM {local_image}\nCOPY Dockerfile /built\n")
        device.put_object("ships", "docker-compose.yml", compose_file(None, ["first"], local_image) + "".join((
            "  web:\n", "    build: {context: ., no_cache: true}\n", "    pull_policy: build\n", "    stop_grace_period: 1s\n",
            "    command: [sleep, '1000000']\n")))
        self.group = device.group(DockerPullBeforeUp="False")

    @contextlib.contextmanager
    def up(self, log, *options):
        """The deployment's `up`, with lightermand under strace."""
        self.held.hold("up")
        with self.device.begin(self.group) as deployment:
            self.held.wait_held("up")
            with followed(self.device.process.pid, log, *options):
                self.held.release()
                yield deployment


@pytest.fixture
def building(device_with, compose2, engine, local_image):
    yield Building(device_with(compose2), local_image)
    engine.remove_containers()
    engine.forget_image(f"{PROJECT}-web")


def test_what_up_builds_is_on_disk_before_the_deployment_counts(building, engine, tmp_path):
    log = tmp_path / "strace.log"
    building.device.start()
    with building.up(log, "-y", "-s", "200", "-e", "trace=syncfs,renameat") as deployment:
        assert deployment.end()["exit"] == 0
    found = ["syncfs" if "syncfs" in line else "outcome" for line in calls(log.read_text(), "syncfs", "renameat")
             if ("syncfs" in line and line.rstrip().endswith("= 0")) or '"outcome.json"' in line]
    assert found == ["syncfs", "outcome"], log.read_text()[-5000:]
    assert any(f"<{engine.folder}/data>" in line for line in calls(log.read_text(), "syncfs"))


def test_a_disk_that_loses_what_up_builds_fails_the_deployment(building, tmp_path):
    building.device.start()
    with building.up(tmp_path / "strace.log", "-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO") as deployment:
        last = deployment.end()
    assert last["exit"] == 1 and "Input/output error; what was pulled may be damaged" in last["message"], last
    assert last["message"].startswith("start the application: sync the file system of "), last
    assert building.device.status["last_deployment"]["stage"] == "up"
    building.device.deploy(building.group)  # the disk is well again


@pytest.fixture
def two(device, engine, layered, local_image):
    """An application of `web`, of the image of the registry, and `other`, of one that only the engine has."""
    text = compose_file(None, ["web"], layered) + "".join(compose_file(None, ["other"], local_image).splitlines(True)[2:])
    device.put_object("ships", "docker-compose.yml", text)
    device.start(device.group(DockerPullBeforeUp="False"))
    device.wait_status(lambda status: status["state"] == "running")
    return device


def ids(engine):
    return {name: container.id for name, container in engine.containers().items()}


def after_power_cut(device, damage):
    """Starts lightermand as after one that has damaged something; the application comes up as usual."""
    device.kill()
    damage()
    device.start()
    device.wait_log("this device was not stopped in order")


def test_a_damaged_image_is_replaced_after_an_unclean_boot(two, engine, layered):
    image = engine.docker.images.get(layered).id
    with boot_id(uuid.uuid4()):
        after_power_cut(two, lambda: top_file(engine, layered).write_bytes(b""))
        two.wait_log(f"image {layered} of generation 1 is damaged: ", 120)
        before = ids(engine)
        two.wait_log("the damaged images of generation 1 were replaced", 120)
        two.wait_status(lambda status: status["verification"]["state"] == "idle" and status["state"] == "running", 120)
    after = ids(engine)
    assert after["other"] == before["other"], "what is not damaged was stopped"
    assert after["web"] != before["web"]
    assert engine.docker.images.get(layered).id == image
    assert top_file(engine, layered).stat().st_size > 0
    assert two.status["verification"]["bad"] == []
    assert verified(two)[0] == 0


def test_what_a_repair_removes_of_an_older_generation_is_pulled_again(device, engine, layered, open_registry):
    """An image of the same damaged layer goes, and counts as pulled only once it is back."""
    top = open_registry.image(f"demo/top-{uuid.uuid4().hex[:8]}:1")
    record = device.folder / "state/application/pulled-images.json"
    engine.docker.images.pull(layered)
    engine.publish(open_registry, engine.extend_image(layered, top, "on top of it"))
    engine.forget_image(layered)
    try:
        device.start(device.local_group(["web"], layered))
        device.wait_status(lambda status: status["state"] == "running")
        older, damaged = engine.docker.images.get(layered).id, top_file(engine, layered)
        device.deploy(device.local_group(["web"], top, key="top.yml"))
        newer = engine.docker.images.get(top).id
        assert older in record.read_text() and newer in record.read_text()
        flip(damaged)
        assert verified(device)[0] == 1
        assert device.cli("start").returncode == 0
        device.wait_log("the damaged images of generation 2 were replaced")
        assert not engine.has_image(layered) and engine.has_image(top)
        assert older not in record.read_text() and newer in record.read_text()
        assert verified(device)[1][layered]["state"] == "missing"
        device.wait_log(f"image {layered} of generation 1 is as it was pulled")
        assert engine.docker.images.get(layered).id == older
        assert older in record.read_text()
    finally:
        engine.remove_containers()
        engine.forget_image(top)


@pytest.fixture
def older(device, engine, layered, local_image):
    """A device on which generation 1 has the image of the registry, and generation 2 another one, which runs."""
    device.start()
    device.deploy(device.local_group(["web"], layered))
    device.deploy(device.local_group(["web"], local_image, key="other.yml"))
    return device


def test_a_damaged_image_of_an_older_generation_is_replaced_beside_what_runs(older, engine, layered, open_registry):
    image = engine.docker.images.get(layered).id
    flip(top_file(engine, layered))
    open_registry.stop()
    assert verified(older)[1][layered]["state"] == "damaged"
    assert older.cli("start").returncode == 0
    older.wait_log(f"image {layered} of generation 1 stays as it is: it cannot be pulled again now: ")
    assert "it cannot be pulled again now" in older.cli("status").stdout
    assert engine.docker.images.get(layered).id == image
    open_registry.start()
    strangers = f"strangers/{uuid.uuid4().hex[:8]}:1"
    engine.docker.images.get(layered).tag(strangers)
    assert older.cli("start").returncode == 0
    older.wait_log(f"it also has the name {strangers}, which no generation of this application gives to it")
    assert engine.docker.images.get(strangers).id == engine.docker.images.get(layered).id == image
    engine.docker.images.remove(strangers)
    assert older.cli("start").returncode == 0
    before = ids(engine)
    older.wait_log(f"image {layered} of generation 1 is as it was pulled")
    assert engine.docker.images.get(layered).id == image and ids(engine) == before
    assert older.status["verification"]["bad"] == []
    assert f"{layered}, of generation 1, at " in older.cli("status").stdout
    status, images = verified(older)
    assert status == 0 and images[layered]["replaced_ms"]


def test_after_an_unclean_boot_an_older_image_is_replaced_and_a_name_that_has_moved_stays(older, engine, layered, local_image):
    image, file = engine.docker.images.get(layered).id, top_file(engine, layered)
    engine.docker.images.get(local_image).tag(layered)
    moved = engine.docker.images.get(layered).id
    with boot_id(uuid.uuid4()):
        after_power_cut(older, lambda: file.write_bytes(b""))
        older.wait_status(lambda status: status["state"] == "running")
        before = ids(engine)
        assert verified(older)[1][layered]["state"] == "damaged"  # it is due, and begins at once
        older.wait_log(f"image {layered} of generation 1 is as it was pulled")
    assert ids(engine) == before
    assert engine.docker.images.get(layered).id == moved != image
    assert verified(older)[0] == 0
    engine.forget_image(image)


def test_what_cannot_be_pulled_again_stays_until_it_can(two, engine, layered, open_registry):
    with boot_id(uuid.uuid4()):
        open_registry.stop()
        after_power_cut(two, lambda: flip(top_file(engine, layered)))
        two.wait_log("is damaged and cannot be pulled again now: ", 120)
        status = two.wait_status(lambda status: status["activity"] == "waiting")
        assert "runs with damaged images" in status["description"], status["description"]
        assert set(engine.containers()) == {"web", "other"}
        before = ids(engine)
        open_registry.start()
        two.wait_log("the damaged images of generation 1 were replaced", 120)
    assert ids(engine)["other"] == before["other"]


def test_an_image_that_a_strangers_container_uses_is_left_alone(two, engine, layered):
    stranger = engine.docker.containers.run(layered, ["sleep", "1000"], name="stranger", detach=True, init=True)
    with boot_id(uuid.uuid4()):
        after_power_cut(two, lambda: flip(top_file(engine, layered)))
        two.wait_log("container 'stranger', which does not belong to this application", 120)
    stranger.reload()
    assert stranger.status == "running"
    assert set(engine.containers()) == {"web", "other"}


def test_a_person_decides_what_becomes_of_what_was_only_asked_for(two, engine, layered):
    before = ids(engine)
    flip(top_file(engine, layered))
    assert verified(two)[0] == 1
    assert ids(engine) == before
    assert two.cli("start").returncode == 0
    two.wait_log("the damaged images of generation 1 were replaced")
    assert verified(two)[0] == 0
    assert ids(engine)["other"] == before["other"]


def test_what_is_sound_again_is_not_replaced(two, engine, layered):
    """An old report does not count: the same bytes have the same ID."""
    before = ids(engine)
    file = top_file(engine, layered)
    whole = file.read_bytes()
    flip(file)
    assert verified(two)[0] == 1
    file.write_bytes(whole)
    image = engine.docker.images.get(layered).attrs["Metadata"]["LastTagTime"]
    assert two.cli("start").returncode == 0
    two.wait_log(f"image {layered} is not damaged any more")
    assert engine.docker.images.get(layered).attrs["Metadata"]["LastTagTime"] == image, "it was pulled again"
    assert ids(engine) == before
