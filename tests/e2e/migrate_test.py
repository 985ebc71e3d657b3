# SPDX-License-Identifier: Apache-2.0
"""docs/migrate.md, as its reader follows it: every command, on a device whose core and containers are as Greengrass left them."""
import json
import os
import pathlib
import re
import shlex
import shutil
import time

import botocore.session
import pytest

from adopt_test import ended
from import_test import Core
from servers.engine import PROJECT, compose_file
from servers.server import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/migrate.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOST_FILE = pathlib.Path("/etc/lighterman/lighterman.json")


def blocks(kind):
    return [text for found, text in BLOCK.findall(GUIDE) if found == kind]


def commands(start, end=None):
    """Those of the sections from that heading to that other one."""
    text = GUIDE.split(f"\n## {start}")[1]
    text = text.split(f"\n## {end}")[0] if end else text
    return [line for kind, block in BLOCK.findall(text) if kind == "sh" for line in block.splitlines() if line]


class Move:
    """A device of Greengrass, whose daemon is a stand-in that does with the containers what the documentation says."""

    def __init__(self, device, engine, compose, image, keeps):
        self.device, self.engine, self.keeps = device, engine, keeps
        self.core = Core(device.folder, device.programs)
        self.text = compose_file(None, ["one", "two"], image)
        device.put_object("ships", "docker-compose.yml", self.text)
        more = {"StopContainersOnNewDeployment": "False"} if keeps else {}
        group = json.loads(device.group(DockerPullBeforeUp="False", **more).read_text())
        self.core.save("connector.json", {"Definition": {"Connectors": group["Connectors"]}})
        daemon = self.core.root / "ggc/core/greengrassd"
        daemon.parent.mkdir()
        words = f"{compose.path} -p {PROJECT} -f {device.local_copy}"
        daemon.write_text(f"#!/bin/sh\ncase $1 in\nstart) {words} up -d ;;\nstop) {':' if keeps else f'{words} down'} ;;\nesac\n")
        daemon.chmod(0o755)
        device.local_copy.write_text(self.text)
        self.run("/greengrass/ggc/core/greengrassd start")

    def run(self, line, check=True):
        """A command of the guide; only the folders and what starts lightermand are others."""
        words = shlex.split(line)
        if words[0] == "aws":
            check_aws(words)
        elif words[:3] == ["systemctl", "enable", "--now"]:
            self.device.host = json.loads(HOST_FILE.read_text())
            self.device.start()
        elif words[:3] == ["systemctl", "disable", "--now"]:
            assert self.device.stop() == 0
        else:
            for name, path in (("/greengrass", self.core.root), ("/srv/app", self.device.destination)):
                line = re.sub(rf"(?<!\S){name}", str(path), line)
            path = f"{self.device.programs}:{self.device.environment['PATH']}"
            return run("bash", "-euc", line, cwd=self.device.folder, env={**self.device.environment, "PATH": path}, timeout=300,
                       check=check)
        return None

    def running(self):
        return {name: (container.id, container.attrs["State"]["StartedAt"]) for name, container in self.engine.containers().items()}


def check_aws(words):
    """The AWS CLI's command exists and takes these parameters: by botocore's own model, as there is no AWS here."""
    model = botocore.session.get_session().get_service_model(words[1])
    operation = model.operation_model("".join(part.capitalize() for part in words[2].split("-")))
    options = {re.sub(r"-(\w)", lambda m: m[1].upper(), word[2:]) for word in words[3::2]}
    assert options <= set(operation.input_shape.members), words
    assert set(operation.input_shape.required_members) <= options, words


@pytest.fixture
def device(device_with, compose1):
    """With the docker-compose that Greengrass's connector used."""
    return device_with(compose1)


@pytest.fixture
def host_folder():
    """/etc is a copy of the tests' own."""
    shutil.rmtree(HOST_FILE.parent, ignore_errors=True)
    yield HOST_FILE.parent
    shutil.rmtree(HOST_FILE.parent, ignore_errors=True)


@pytest.mark.parametrize("keeps", [True, False])
def test_every_command_of_the_guide_works_there_and_back(device, engine, compose1, local_image, host_folder, keeps):
    move = Move(device, engine, compose1, local_image, keeps)
    ran = 0
    before = move.running()
    assert set(before) == {"one", "two"}
    for line in commands("1.", "2."):
        assert "Would be written:" in move.run(line).stdout
        assert not host_folder.exists()
        ran += 1
    for line in commands("2.", "3."):
        move.run(line)
        ran += 1
    # The settings of the tests' own, in place of AWS; what the guide adds is of a host file, too.
    host = json.loads(HOST_FILE.read_text())
    own = {key: value for key, value in device.host.items() if key not in ("greengrassRoot", "region", "thingName")}
    (credentials,) = [json.loads(text) for text in blocks("json") if "credentials\"" in text and "Statement" not in text]
    HOST_FILE.write_text(json.dumps({**host, **own, **credentials}))
    done = run(device.programs / "lighterman", "doctor", "--config", HOST_FILE, check=False, env=device.environment)
    assert "host file" not in done.stderr, done.stderr
    HOST_FILE.write_text(json.dumps({**host, **own}))
    device.destination.chmod(0o700)
    for line in commands("3.", "4."):
        done = move.run(line, check="doctor" not in line)
        problems = [found for found in done.stdout.splitlines() if found.startswith("PROBLEM")]
        assert [found.split()[1] for found in problems] == ["lightermand"] * ("doctor" in line), done.stdout
        ran += 1
    for line in commands("4.", "The way"):
        done = move.run(line)
        ran += 1
        if "greengrassd stop" in line:
            assert move.running() == (before if keeps else {})
            since = time.time()
        elif " plan " in line and keeps:
            assert "recreated" not in done.stdout, done.stdout
    after = move.running()
    assert set(after) == set(before)
    assert (after == before) == keeps
    assert ended(engine, since) == set()
    assert str(device.folder / "greengrass/ggc/var/log") in str(next(move.core.root.glob("ggc/var/log/user/*/aws/*.log")))
    # And back.
    for line in commands("The way"):
        move.run(line)
        ran += 1
    assert device.local_copy.read_text() == move.text
    assert set(move.running()) == {"one", "two"}
    assert ran == len([line for text in blocks("sh") for line in text.splitlines() if line]) >= 15
    assert (move.core.root / "certs/core.key").stat().st_mode & 0o777 == 0o400


def test_each_link_of_the_guide_leads_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", GUIDE)
    assert links and [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_policies_and_settings_are_json():
    for text in blocks("json"):
        json.loads(text)
    assert os.path.basename(GUIDE.split("saved in files such as those in `")[1].split("`")[0].rstrip("/")) == "saved"
