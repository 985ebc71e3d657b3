# SPDX-License-Identifier: Apache-2.0
"""Lighterman with engines other than a Docker Engine that runs as root: what docs/engines.md says works."""
import json
import pathlib
import re
import subprocess

import pytest

from engines import IMAGE, Podman, RootlessDocker, RootlessPodman, as_user
from servers.server import run, wait_until

COMMAND = "trap 'exit 0' TERM; httpd -p 8080 -h /www; echo {word}; sleep 1000000 & wait"


class Device:
    """lightermand and its files, as root or as `user`; `user` is also the application's."""

    def __init__(self, folder, programs, engine, compose, user, as_root=True):
        self.folder, self.programs, self.user, self.as_root = folder, programs, user, as_root
        self.runtime = pathlib.Path("/run/lighterman") if as_root else pathlib.Path(f"/run/user/{user.uid}/lighterman")
        self.group = folder / "group.json"
        folder.mkdir()
        folder.chmod(0o755)
        for name in ("state", "greengrass", "objects/harbour", "secrets", "application"):
            (folder / name).mkdir(parents=True)
            if not as_root or name == "application":
                user.owns(folder / name)
        (folder / "application").chmod(0o700)
        (folder / "host.json").write_text(json.dumps({
            "greengrassRoot": str(folder / "greengrass"), "stateDirectory": str(folder / "state"), "runtimeDirectory": str(self.runtime),
            "region": "eu-west-1", "thingName": "Gateway", "docker": {"socket": engine.socket, "compose": compose},
            "objectStore": {"directory": str(folder / "objects")}, "secretStore": {"directory": str(folder / "secrets")}}))
        self.group.write_text(json.dumps({"Connectors": [{
            "Id": "harbour", "ConnectorArn": "arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationDeployment/versions/7",
            "Parameters": {"DockerComposeFileS3Bucket": "harbour", "DockerComposeFileS3Key": "docker-compose.yml",
                           "DockerComposeFileDestinationPath": str(folder / "application"), "DockerUserId": str(user.uid),
                           "DockerPullBeforeUp": "False"}}]}))
        self.write("web is up")
        self.process = None

    def write(self, word):
        """The compose file, whose service `web` says `word`."""
        service = "image: {0}\n    restart: always\n    stop_grace_period: 1s\n    command: [\"sh\", \"-c\", \"{1}\"]\n"
        text = ("version: '3.4'\nservices:\n  web:\n    " + service.format(IMAGE, COMMAND.format(word=word)) +
                "    ports: [\"127.0.0.1:8081:8080\"]\n  crane:\n    " + service.format(IMAGE, COMMAND.format(word="crane is up")) +
                "    volumes: [\"cargo:/cargo\"]\nvolumes:\n  cargo: {}\n")
        (self.folder / "objects/harbour/docker-compose.yml").write_text(text)

    def words(self, name, *words):
        words = [self.programs / name, *words]
        return words if self.as_root else as_user(self.user, *words)

    def start(self):
        with open(self.folder / "lightermand.log", "ab") as log:
            self.process = subprocess.Popen([str(word) for word in self.words("lightermand", "--config", self.folder / "host.json")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until((self.runtime / "control.sock").exists, 30, "lightermand has no control socket",
                   hopeless=lambda: self.process.poll() is not None)

    def stop(self):
        if self.process:
            self.process.terminate()
            assert self.process.wait(120) == 0
            self.process = None

    def __call__(self, *words, **more):
        return run(*self.words("lighterman", *words, "--socket", self.runtime / "control.sock"), **more).stdout


def page():
    return run("busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8081/").stdout


CASES = {
    "podman-compose1": (Podman, 1, True),
    "podman-compose2": (Podman, 2, True),
    "rootless-podman-compose2": (RootlessPodman, 2, True),
    "rootless-docker-compose1": (RootlessDocker, 1, True),
    "rootless-docker-compose2": (RootlessDocker, 2, True),
    "rootless-docker-all-as-the-user": (RootlessDocker, 2, False),
}


@pytest.fixture(params=CASES)
def scene(request, sandbox, programs, composes, user):
    """A device and its engine; afterwards none of them runs."""
    make, generation, as_root = CASES[request.param]
    folder = sandbox / f"{request.param}-{len(list(sandbox.iterdir()))}"
    folder.mkdir()
    folder.chmod(0o755)
    engine = make(folder / "engine", user)
    device = Device(folder / "device", programs, engine, composes[generation], user, as_root)
    engine.start()
    try:
        engine.make_image()
        device.start()
        yield device, engine
    finally:
        device.stop()
        engine.stop()


def test_a_life_of_an_application(scene):
    """Checked, deployed, seen, crashed, changed, rolled back, stopped, started, and gone with lightermand."""
    device, engine = scene
    run(*device.words("lighterman", "validate", device.group))
    assert "no problems found" in device("doctor", device.group)
    assert len(re.findall(r"^(web|crane) +created ", device("plan", device.group), re.MULTILINE)) == 2
    assert "deployed generation 1" in device("deploy", device.group)
    assert len(re.findall(r"^(web|crane) .* running ", device("status"), re.MULTILINE)) == 2
    assert page() == "1"

    # A crash is seen as it happens, whatever the engine calls it; the engine starts the container again.
    engine.crash("web")
    wait_until(lambda: "web  exit code 137, signal 9" in device("crashes"), 30, "the crash is not reported")
    assert "web is up" in device("crashes")
    wait_until(lambda: re.search(r"^web .* running +- +1 ", device("status"), re.MULTILINE), 30, "web does not run again")
    assert "ok" in device("verify")

    device.write("web is new")
    assert "deployed generation 2" in device("deploy", device.group)
    assert "rolled back to generation 1" in device("rollback")
    assert set(engine.containers()) == {"web", "crane"}
    device("stop")
    assert not engine.containers()
    assert "state            stopped" in device("status")
    device("start")
    assert page() == "1"
    device.stop()
    assert not engine.containers()


@pytest.mark.parametrize("scene", ["podman-compose2"], indirect=True)
def test_an_engine_that_was_away_is_asked_what_happened_meanwhile(scene):
    """Podman's containers go on without its service, and crash without it."""
    device, engine = scene
    device("deploy", device.group)
    pid = json.loads(engine.ask(f"/containers/{engine.containers()['crane']}/json"))["State"]["Pid"]
    engine.stop()
    run("kill", "-KILL", pid)
    wait_until(lambda: "unknown" in device("status"), 30, "the engine is not missed")
    engine.start()
    wait_until(lambda: "crane" in device("crashes"), 60, "the crash is not reported")
