# SPDX-License-Identifier: Apache-2.0
"""DockerUserId: who the application's worker is, who it may be, and what only that user can read."""
import json
import os
import pwd
import shutil
import stat

import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.server import run
from users import add_user, join, remove_user

IDENTITY = ("Uid", "Gid", "Groups", "CapEff", "CapPrm")


def identity(text):
    """Of a /proc/<pid>/status: numbers by the names in IDENTITY."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: lines[name].split() for name in IDENTITY}


def assert_is(found, name):
    user = pwd.getpwnam(name)
    groups = os.getgrouplist(name, user.pw_gid)
    assert found["Uid"] == [str(user.pw_uid)] * 4 and found["Gid"] == [str(user.pw_gid)] * 4, found
    assert set(found["Groups"]) == {str(group) for group in groups} and len(groups) > 2, found
    assert {int(value, 16) for name in ("CapEff", "CapPrm") for value in found[name]} == {0}, found


@pytest.fixture(scope="module")
def people(user):
    """More users of the engine: {uid: User}, one in more groups than most; 70000 and 4000000000 among them."""
    with open("/etc/group", "a", encoding="utf-8") as file:
        file.writelines(f"lmside{n}:x:{58900 + n}:\n" for n in range(40))
    join(user.name, [f"lmside{n}" for n in range(40)])
    found = [add_user(f"lm{uid}", groups=["docker"], uid=uid) for uid in (70000, 100000, 4000000000)]
    found.append(add_user("ggc_user", groups=["docker"]))
    yield {person.name: person for person in found}
    # Elsewhere it is what most devices lack.
    remove_user("ggc_user")


def test_the_worker_is_the_user_from_its_first_instruction(device, folder, held, people, broker, local_image,
                                                          status_messages):
    device.use_broker(broker)
    group = device.local_group(["web"], local_image)
    device.start()
    held.hold("version")
    with device.begin(group) as deployment:
        held.wait_held("version")
        with open(f"/proc/{device.worker()}/status", encoding="utf-8") as status:
            assert_is(identity(status.read()), device.user.name)
        for pid in held.processes():
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                assert_is(identity(status.read()), device.user.name)
        held.release()
        assert deployment.end()["exit"] == 0
    assert status_messages.next_json() == success()
    assert device.stop() == 0

    # What is run in the worker's place says who it is before it does anything else.
    programs = folder / "bin"
    shutil.copytree(device.programs, programs)
    said = device.destination / "who"
    worker = programs / "lighterman-worker"
    worker.unlink()
    worker.write_text(f"#!/bin/sh\nexec cat /proc/self/status >{said}\n")
    worker.chmod(0o755)
    device.programs = programs
    device.start()
    assert status_messages.next_json()["status"] == "fail"
    assert_is(identity(said.read_text()), device.user.name)


# Version, DockerUserId, how `lighterman deploy` ends, and words of the reason; None: it is deployed.
USERS = [
    (7, "4294967295", 2, ["DockerUserId", "4294967294"]), (7, "-1", 2, ["DockerUserId"]), (7, "root", 2, ["DockerUserId"]),
    (6, "100000", 2, ["DockerUserId", "1 to 5 digits", "version 6"]),
    (6, "4000000000", 2, ["DockerUserId", "1 to 5 digits", "version 6"]),
    (7, "58888", 1, ["DockerUserId 58888", "no user of that number", "useradd -u 58888"]),
    (7, "65534", 1, ["user nobody may not use the Docker socket", "usermod -aG docker nobody"]),
    (7, "0", 1, ["root", "not allowed", "allowRoot"]),
    (6, "70000", None, "lm70000"), (7, "70000", None, "lm70000"), (1, "070000", 2, ["DockerUserId"]),
    (7, "100000", None, "lm100000"), (7, "4000000000", None, "lm4000000000"), (7, None, None, "ggc_user"),
    (1, None, None, "ggc_user"),
]


def test_takes_any_user_that_there_is(device, engine, people, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start()
    for version, uid, status, words in USERS:
        if status is None:
            people[words].owns(device.destination)
        # Without a parameter to say so the early versions pull only what is missing.
        pull = {} if version < 5 else {"DockerPullBeforeUp": "False"}
        device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], local_image))
        done = device.deploy(device.group(version=version, DockerUserId=uid, **pull), status=status or 0)
        message = status_messages.next_json()
        if status is None:
            assert message == success() and set(engine.containers()) == {"web"}
            assert device.local_copy.stat().st_uid == people[words].uid
        else:
            # The user exists, and that it may not use the engine is a setting of this device.
            assert_failure(message, "InternalError" if uid == "65534" else "InvalidParameter", *words)
            assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("allows", ["allowRoot", "config.json"])
def test_root_is_possible_where_it_is_allowed(device, engine, broker, local_image, status_messages, allows):
    device.use_broker(broker)
    if allows == "allowRoot":
        device.host["allowRoot"] = True
    else:
        config = device.folder / "gg/config/config.json"
        config.parent.mkdir()
        config.write_text(json.dumps({"runtime": {"allowFunctionsToRunAsRoot": "yes"}}))
    device.start()
    device.deploy(device.local_group(["web"], local_image, DockerUserId="0"))
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"} and device.local_copy.stat().st_uid == 0
    assert device.stop() == 0
    assert engine.containers(everything=True) == {}


def test_the_host_file_names_the_default_user(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.host["defaultUser"] = "lmnobody"
    device.start()
    group = device.local_group(["web"], local_image, DockerUserId=None)
    device.deploy(group, status=1)
    assert_failure(status_messages.next_json(), "InternalError", "'lmnobody'", "useradd -G docker lmnobody")
    assert device.stop() == 0
    device.host["defaultUser"] = device.user.name
    device.start()  # and takes up what failed
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"} and device.local_copy.stat().st_uid == device.user.uid


def test_an_ordinary_user_runs_lightermand_for_itself(device, stranger, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    for name in ("state", "run", "gg"):
        device.user.owns(device.folder / name)
    as_user = ["setpriv", f"--reuid={device.user.uid}", f"--regid={device.user.uid}", "--init-groups"]
    device.start(wrap=as_user)
    device.deploy(device.local_group(["web"], local_image, DockerUserId=None))
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"} and device.local_copy.stat().st_uid == device.user.uid
    assert device.log_path.stat().st_uid == device.user.uid
    device.deploy(device.local_group(["web"], local_image))  # which names that same user
    assert status_messages.next_json() == success()
    container = engine.containers()["web"].id
    for other in ("0", str(stranger.uid)):
        device.deploy(device.local_group(["web"], local_image, DockerUserId=other), status=1)
        assert_failure(status_messages.next_json(), "InvalidParameter", "lightermand runs as user", "run it as root")
    assert engine.containers()["web"].id == container
    assert device.stop() == 0
    assert engine.containers(everything=True) == {}
    device.start(wrap=as_user)
    device.cli("stop")
    assert engine.containers(everything=True) == {}


def test_nobody_else_reads_compose_file_and_credentials(device, held, stranger, engine, registry, broker, image,
                                                       status_messages):
    device.use_broker(broker)
    device.destination.chmod(0o700)
    secret = device.put_secret("harbour", registry.secret())
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["first"], image))
    device.start()
    held.hold("up")
    with device.begin(device.group(secrets=[secret])) as deployment:
        held.wait_held("up")
        credentials = (device.folder / "run/credentials").stat()
        assert (stat.S_IMODE(credentials.st_mode), credentials.st_uid) == (0o700, device.user.uid)
        held.release()
        assert deployment.end()["exit"] == 0
    assert status_messages.next_json() == success()
    assert "the directory" not in device.log  # 0700, the user's: nothing to warn of
    device.destination.chmod(0o755)
    for path in (device.local_copy, device.folder / "state/application/current/compose.yml", device.log_path):
        refused = run("setpriv", f"--reuid={stranger.uid}", f"--regid={stranger.uid}", "--clear-groups", "cat", path,
                      check=False)
        assert refused.returncode != 0 and "Permission denied" in refused.stderr, path
