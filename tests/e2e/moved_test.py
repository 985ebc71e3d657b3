# SPDX-License-Identifier: Apache-2.0
"""A deployment to another destination: what runs is taken down by its own file in its own directory, and that one is
tidied up once the new deployment is up."""
import shutil

import pytest

from servers.engine import PROJECT, compose_file
from users import add_user


@pytest.fixture(scope="session")
def other_user(sandbox):
    return add_user("lmother", groups=["docker"])


class Move:
    """A device that has deployed to `old`, by a file that works there only, and is to deploy to `new`."""

    def __init__(self, device, image, **parameters):
        self.device, self.image, self.parameters = device, image, parameters
        self.old, self.new = device.destination, device.folder / "new"
        self.new.mkdir()
        device.user.owns(self.new)
        self.new.chmod(0o700)
        self.calls = device.folder / "calls"
        self.calls.touch(0o666)
        self.calls.chmod(0o666)
        real = device.host["docker"]["compose"]
        wrapper = device.folder / "docker-compose"
        wrapper.write_text(f'#!/bin/sh\necho "$@" >> {self.calls}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)
        device.host["docker"]["compose"] = str(wrapper)
        self.text = (compose_file(None, ["web", "gone"], image, networks="[quay]", env_file="[./web.env]",
                                  hostname="${BOAT:?only the old directory has it}").replace("'3.4'", "'3.7'")
                     + "networks: {quay: {name: old-quay}}\n")
        for name, content in ((".env", "BOAT=barge\n"), ("web.env", "A=1\n")):
            (self.old / name).write_text(content)
            device.user.owns(self.old / name)
        device.put_object("ships", "old.yml", self.text)
        device.put_object("ships", "new.yml", compose_file(None, ["web"], image))
        device.start()
        device.deploy(self.old_group())
        self.calls.write_text("")

    def old_group(self):
        return self.device.group(key="old.yml", DockerPullBeforeUp="False", name="old.json", **self.parameters)

    def new_group(self, destination=None, **more):
        return self.device.group(key="new.yml", DockerPullBeforeUp="False", name="new.json",
                                 **{**self.parameters, "DockerComposeFileDestinationPath": str(destination or self.new),
                                    **more})

    def downs(self):
        return [line for line in self.calls.read_text().splitlines() if " down" in line]


def networks(engine):
    return {network.name for network in engine.docker.networks.list(
        filters={"label": f"com.docker.compose.project={PROJECT}"})}


@pytest.fixture
def move(device_with, compose, local_image):
    def make(**parameters):
        return Move(device_with(compose), local_image, **parameters)

    return make


def test_what_runs_is_taken_down_where_it_was_deployed(move, engine):
    ship = move()
    before = len(ship.device.log)
    ship.device.deploy(ship.new_group())
    down, = ship.downs()
    assert f"-f {ship.old}/docker-compose.yml --project-directory {ship.old} down" in down
    assert set(engine.containers(everything=True)) == {"web"}
    assert networks(engine) == {f"{PROJECT}_default"}
    assert (ship.new / "docker-compose.yml").exists()
    assert sorted(path.name for path in ship.old.iterdir()) == [".env", "web.env"]
    log = ship.device.log[before:]
    assert f"removed the local copy of the earlier deployment in '{ship.old}'" in log
    assert "cannot" not in log and "stays" not in log


def test_without_down_the_old_copy_and_network_go_as_well(move, engine):
    ship = move(StopContainersOnNewDeployment="False")
    ship.device.deploy(ship.new_group())
    assert not ship.downs()
    assert not (ship.old / "docker-compose.yml").exists()
    assert set(engine.containers()) == {"web", "gone"}
    ship.device.cli("stop")
    assert not engine.containers(everything=True) and not networks(engine)


def test_a_failure_leaves_the_old_one_to_go_back_to(move, engine):
    ship = move()
    ship.device.put_object("ships", "new.yml", compose_file(None, ["web"], ship.image, entrypoint="[/none]"))
    ship.device.deploy(ship.new_group(), status=1)
    assert (ship.old / "docker-compose.yml").read_text() == ship.text
    ship.device.deploy(ship.old_group())
    assert set(engine.containers()) == {"web", "gone"}
    assert "old-quay" in networks(engine)


def test_the_old_directory_is_gone(move, engine):
    ship = move()
    shutil.rmtree(ship.old)
    ship.device.deploy(ship.new_group())
    assert set(engine.containers(everything=True)) == {"web"}
    assert networks(engine) == {f"{PROJECT}_default"}
    ship.device.wait_log(f"cannot use the destination of the running generation: open '{ship.old}': No such file or directory")


def test_the_old_copy_is_gone(move, engine):
    """lightermand has kept it."""
    ship = move()
    (ship.old / "docker-compose.yml").unlink()
    ship.device.deploy(ship.new_group())
    assert len(ship.downs()) == 1 and f"--project-directory {ship.old} " in ship.downs()[0]
    assert set(engine.containers(everything=True)) == {"web"}
    ship.device.wait_log("using the generation's compose file")


def test_a_copy_that_somebody_changed_stays(move):
    ship = move()
    with open(ship.old / "docker-compose.yml", "a", encoding="utf-8") as file:
        file.write("# mine\n")
    ship.device.deploy(ship.new_group())
    assert (ship.old / "docker-compose.yml").exists()


def test_the_same_directory_by_another_path(move):
    ship = move()
    path = ship.device.folder / "link"
    path.symlink_to(ship.old)
    ship.device.deploy(ship.new_group(path))
    assert (ship.old / "docker-compose.yml").read_text() != ship.text
    assert (ship.old / "docker-compose.yml").exists()


def test_another_user_at_the_same_time(move, engine, other_user):
    """Who may not enter the old directory."""
    ship = move()
    ship.old.chmod(0o700)
    other_user.owns(ship.new)
    ship.device.deploy(ship.new_group(DockerUserId=str(other_user.uid)))
    assert set(engine.containers(everything=True)) == {"web"}
    assert networks(engine) == {f"{PROJECT}_default"}
    assert (ship.old / "docker-compose.yml").exists()
    ship.device.wait_log(f"cannot remove the local copy of the earlier deployment in '{ship.old}'")


@pytest.mark.parametrize("stage", ["down", "up"])
def test_killed_in_the_middle_the_next_start_tidies_up(move, engine, stage):
    ship = move()
    with ship.device.begin(ship.new_group()) as deployment:
        deployment.until(stage)
        ship.device.kill()
    ship.device.start()
    ship.device.wait_status(lambda status: status["state"] == "running" and not status["job"])
    assert not (ship.old / "docker-compose.yml").exists()
    assert (ship.new / "docker-compose.yml").exists()
    assert set(engine.containers(everything=True)) == {"web"}
    assert networks(engine) == {f"{PROJECT}_default"}
