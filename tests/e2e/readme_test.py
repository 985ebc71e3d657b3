# SPDX-License-Identifier: Apache-2.0
"""README does what it says: its files are valid, and its commands are run, in their order."""
import json
import os
import pathlib
import pwd
import re
import shlex
import signal
import subprocess

import pytest

from servers.engine import compose_file
from servers.server import Server, accepts, run, wait_until
from users import add_user, join

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UID = 1000
RUNNING_AFTER = {"validate": set(), "deploy": {"page"}, "status": {"page"}, "stop": set(), "start": {"page"}}


def blocks(kind):
    return [text for found, text in BLOCK.findall(README) if found == kind]


def commands():
    return [line for block in blocks("sh") for line in block.splitlines() if line]


class Mosquitto(Server):
    """The broker of README's host file."""

    def __init__(self, folder, where):
        super().__init__(folder)
        self.port = where["port"]
        self.write("mosquitto.conf", f"user root\nlistener {self.port} {where['host']}\nallow_anonymous true\n")

    def commands(self):
        return [["mosquitto", "-c", str(self.folder / "mosquitto.conf")]]

    def is_ready(self):
        return accepts(self.port)


@pytest.fixture
def machine(folder, sandbox, programs, engine):
    """A checkout with README's two files in it, and /srv, user 1000 and an image as README's reader has them."""
    run("mount", "-t", "tmpfs", "tmpfs", "/srv")
    group, host = blocks("json")
    (folder / "group.json").write_text(group)
    (folder / "host.json").write_text(host)
    image = engine.make_image("harbour/page:1")
    compose_file(folder / "docker-compose.yml", ["page"], image)
    for name in ("scripts", "src"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "build").mkdir()
    (folder / "build/bin").symlink_to(programs)
    allow_user()
    broker = Mosquitto(folder / "broker", json.loads(host)["mqtt"])
    broker.start()
    yield folder
    broker.stop()
    run("umount", "--lazy", "/srv")


def allow_user():
    """User 1000 is in the group docker, as README asks."""
    try:
        join(pwd.getpwuid(UID).pw_name, ["docker"])
    except KeyError:
        add_user("reader", groups=["docker"], uid=UID)


def test_readme_is_two_screens():
    assert len(README.splitlines()) <= 120
    assert len(blocks("json")) == 2


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_the_two_files_are_accepted(machine, programs):
    assert run(programs / "lighterman", "validate", machine / "group.json").returncode == 0
    assert set(json.loads((machine / "host.json").read_text())) <= {
        "greengrassRoot", "stateDirectory", "runtimeDirectory", "region", "thingName", "defaultUser", "credentials",
        "mqtt", "objectStore", "secretStore", "docker"}


def test_every_command_of_the_readme_works(machine, engine):
    run_one = {"scripts/test": lambda _: run(ROOT / "scripts/test", "--help"),  # it is what runs this
               "scripts/build": lambda _: run(ROOT / "scripts/build", "--help"),  # scripts/test ran it before
               "scripts/demo": lambda _: demo(machine)}
    daemon = None
    ran = 0
    try:
        for line in commands():
            words = shlex.split(line)
            if words[0] in run_one:
                run_one[words[0]](words)
            elif words[0] == "build/bin/lightermand":
                daemon = start(words, machine)
            else:
                run(*words, cwd=machine)
                if words[0] == "build/bin/lighterman" and words[1] in RUNNING_AFTER:
                    assert set(engine.containers()) == RUNNING_AFTER[words[1]], line
            ran += 1
        assert ran >= 10 and daemon is not None
        assert daemon.poll() is None, "lightermand ended by itself"
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(120) == 0
        assert engine.containers() == {}
    finally:
        if daemon is not None and daemon.poll() is None:
            daemon.kill()
            daemon.wait()


def start(words, machine):
    with open(machine / "lightermand.log", "ab") as log:
        daemon = subprocess.Popen(words, cwd=machine, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_until(lambda: is_connected(machine), 30,
               lambda: f"lightermand does not answer:\n{(machine / 'lightermand.log').read_text()}",
               hopeless=lambda: daemon.poll() is not None)
    return daemon


def is_connected(machine):
    """lightermand answers, and the broker it."""
    done = run("build/bin/lighterman", "status", "--json", cwd=machine, check=False)
    return done.returncode == 0 and all(broker["connected"] for broker in json.loads(done.stdout)["brokers"])


def demo(machine):
    """The demo with the programs that are tested: no packages, no build."""
    done = run(ROOT / "scripts/demo", "--build", machine / "build", timeout=300)
    assert '"status":"success"' in done.stdout.replace(" ", "")
    assert "Good morning from the quay" in done.stdout
    assert "No containers are left" in done.stdout
    assert [name for name in os.listdir("/var/tmp") if name.startswith("lighterman-demo.")] == []
    assert "lm-demo" not in run("ip", "-brief", "link").stdout
