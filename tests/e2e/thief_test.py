# SPDX-License-Identifier: Apache-2.0
"""Other programs of the application's user get nothing out of a worker, however often it starts and however they try."""
import contextlib
import json
import os
import pathlib
import subprocess

import pytest

THIEF = pathlib.Path(__file__).parent / "thief.py"
KEY, SECRET = "key-of-the-device", "hunter2-in-the-environment"
WAYS = {"environment", "descriptors", "memory", "trace"}
STARTS = 40


def as_user(user, *words):
    return ["setpriv", f"--reuid={user.uid}", f"--regid={user.uid}", "--init-groups", *map(str, words)]


@contextlib.contextmanager
def thief(user, folder, victim=1):
    """At work for as long as the block lasts; then `.loot` is what it got."""
    code = folder / "thief.py"
    code.write_text(THIEF.read_text(encoding="utf-8"), encoding="utf-8")
    with subprocess.Popen(as_user(user, "/usr/bin/python3", code, victim), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == "{}\n"
        process.loot = []
        yield process
        text, _ = process.communicate()
        process.loot += [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def rich(plain_device):
    """A device with what a thief would like to have: a key that only root may read, and AWS's variables."""
    device = plain_device
    device.host["docker"]["socket"] = str(device.folder / "no-engine")  # a task is soon over: many can start
    for name in ("privateKey", "certificate"):
        path = device.folder / f"{name}.pem"
        path.write_text(KEY, encoding="ascii")
        path.chmod(0o600)
    device.host["credentials"] = {"roleAlias": "alias", "endpoint": "127.0.0.1:1",
                                  "privateKey": str(device.folder / "privateKey.pem"),
                                  "certificate": str(device.folder / "certificate.pem")}
    device.environment |= {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    return device


def test_the_thief_robs_an_ordinary_process(user, folder):
    """Else the tests below would show nothing."""
    with open(folder / "key.pem", "w+b") as key, subprocess.Popen(
            as_user(user, "cat"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=key,
            env={**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET}) as victim:
        with thief(user, folder, victim.pid) as robber:
            loot = {}
            while set(loot) != WAYS:
                line = json.loads(robber.stdout.readline())
                if line["pid"] == victim.pid and line["program"] == "cat":
                    loot[line["way"]] = line["loot"]
        victim.stdin.close()
    assert SECRET in loot["environment"] and str(folder / "key.pem") in loot["descriptors"]


@pytest.mark.parametrize("mode", [0o711, 0o755], ids=["as it is installed", "as it is built"])
def test_the_thief_gets_nothing_out_of_a_worker(rich, folder, user, local_image, mode):
    """Neither of lightermand's, nor of `lighterman doctor`."""
    (rich.programs / "lighterman-worker").chmod(mode)
    rich.start()
    group = rich.local_group(["web"], local_image)
    text = group.read_text()
    with thief(user, folder) as robber:
        for _ in range(STARTS):
            assert "docker" in rich.ask("plan", group=text)["message"]
        assert rich.cli_json("doctor", group, "--config", rich.folder / "host.json", check=False)["checks"]
    robbed = [loot for loot in robber.loot if os.path.basename(loot["program"]).startswith("lighterman") or SECRET in json.dumps(loot)
              or "privateKey.pem" in loot["loot"] or "certificate.pem" in loot["loot"]]
    assert robbed == []
