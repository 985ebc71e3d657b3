# SPDX-License-Identifier: Apache-2.0
"""A state directory that another release wrote: of the one before it is taken over, of a newer one refused and left alone."""
import hashlib
import json
import os
import pathlib
import shutil

import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.server import wait_until

# Made by the release before: generation 1 runs, 2 failed and its message is not in the outbox yet, 3 was interrupted in `up`.
STATE_1 = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/state-1"


@pytest.fixture
def device(device_with, compose2):
    return device_with(compose2)


def take_over(device):
    """Puts the fixture in place, for this device's destination and user."""
    state = device.folder / "state"
    store = state / "application"
    shutil.copytree(STATE_1, state, dirs_exist_ok=True)
    for link in store.glob("*.link"):  # their targets, as a checkout may lose links
        link.with_suffix("").symlink_to(link.read_text())
        link.unlink()
    for path in store.rglob("*"):
        if path.is_file() and not path.is_symlink():
            text = path.read_text(encoding="utf-8").replace("/srv/berth", str(device.folder))
            path.write_text(text.replace('"58000"', f'"{device.user.uid}"'), encoding="utf-8")
    return store


def read_record(path):
    """The document of a record whose checksum is right."""
    head, document = path.read_bytes().split(b"\n", 1)
    header = json.loads(head)
    assert header == {"lighterman": path.name.split(".")[0], "format": 2, "sha256": hashlib.sha256(document).hexdigest()}
    return json.loads(document)


def test_what_the_release_before_left_is_resumed(device, broker, engine, local_image, status_messages):
    device.use_broker(broker)
    assert local_image == "harbour/local:1"  # as in the fixture
    device.put_object("ships", "three.yml", compose_file(None, ["web", "next"], local_image))
    store = take_over(device)
    engine.restart()  # it tells what has happened since the fixture was made, if it was not restarted since
    device.start()
    assert_failure(status_messages.next_json(), "InvalidParameter", "missing.yml")
    assert status_messages.next_json() == success(key="three.yml")
    assert set(engine.containers()) == {"web", "next"}
    assert "damaged" not in device.log and device.status["deployment"]["generation"] == 3
    assert [crash["log"] for crash in device.cli_json("crashes")] == [["the last line"]]
    assert device.status["verification"]["finished_ms"] == 1795953600000
    # What changed is in the new form, what did not is as it was.
    assert read_record(device.folder / "state/format") == 2
    assert read_record(device.folder / "state/boot.json")["orderly"] is False
    outcome = read_record(store / "generations/3/outcome.json")
    assert outcome["success"] and outcome["compose_sha256"] == \
        hashlib.sha256((store / "generations/3/compose.yml").read_bytes()).hexdigest()
    assert json.loads((store / "generations/1/outcome.json").read_text(encoding="utf-8"))["good"]
    device.wait_sent()
    # A start without the object store goes by what is kept, in either form.
    device.store_away()
    device.crash()
    for container in engine.containers().values():
        container.kill()
    device.start()
    assert status_messages.next_json()["status"] == "success"
    assert set(engine.containers()) == {"web", "next"}
    assert "damaged" not in device.log


def flip(path):
    """Flips a bit in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_beside_the_store_is_found_set_aside_and_told(device, engine, local_image):
    shutil.copytree(STATE_1 / "crashes", device.folder / "state/crashes", dirs_exist_ok=True)
    group = device.local_group(["web"], local_image)
    device.start()
    device.deploy(group)
    device.cli("verify")
    device.stop()
    state = device.folder / "state"
    files = {"boot.json": "this counts as a start without an orderly stop",
             "verification.json": "the images are verified again",
             "events.json": "what happened to containers while lightermand did not run is not reported",
             "crashes/00000000000000000007.json": "what crashed then is not known any more"}
    damaged = {}
    for name in files:
        flip(state / name)
        damaged[name] = (state / name).read_bytes()
    device.start()
    for name, meaning in files.items():
        base = name.rsplit("/", maxsplit=1)[-1]
        [line] = [line for line in device.log.splitlines() if f"'{base}.damaged'" in line]
        assert "[WARN]" in line and f"'{base}' is damaged: " in line and line.endswith(meaning)
        assert (state / f"{name}.damaged").read_bytes() == damaged[name]
    wait_until(lambda: set(engine.containers()) == {"web"}, 60, "the application is not up")
    assert device.cli_json("crashes") == []
    assert read_record(state / "boot.json")["orderly"] is False


def snapshot(folder):
    """Every byte, and when it was written."""
    def describe(path):
        stat = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        return content, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_mode, stat.st_ino

    return {str(path): describe(path) for path in [folder, *pathlib.Path(folder).rglob("*")]}


def test_what_a_newer_release_wrote_is_refused_and_left_alone(device, engine, local_image):
    group = device.local_group(["web"], local_image)
    device.start()
    device.deploy(group)
    device.stop()
    state = device.folder / "state"
    document = b"3\n"
    (state / "format").write_bytes(
        b'{"lighterman":"format","format":2,"sha256":"' + hashlib.sha256(document).hexdigest().encode() + b'"}\n' + document)
    before = snapshot(state)
    for words in ({}, {"group": group}):
        device.start(wait=False, **words)
        assert device.wait() == 1
        expected = f"a newer release of Lighterman wrote the state directory '{state}' (format 3; this one reads up to 2); " \
            "nothing in it was changed; install that release again, or set another stateDirectory in the host file"
        assert expected in device.stderr
    found = device.cli("doctor", "--config", device.write_host_file(), check=False)
    assert found.returncode == 1
    assert "a newer release of Lighterman wrote the state directory" in found.stdout
    assert "install that release again" in found.stdout
    assert snapshot(state) == before
