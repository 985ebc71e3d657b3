# SPDX-License-Identifier: Apache-2.0
"""A password is where it is used, and nowhere else: no file, argument, environment, log, message or core has it."""
import base64
import os
import pathlib
import signal

import pytest

from servers.compose import HeldCompose
from servers.engine import compose_file
from servers.registry import Registry
from servers.server import wait_until

ROLE_KEY = "r0le-k3y-of-the-device"
SHOWN = [text.encode() for text in (Registry.PASSWORD, ROLE_KEY)] + [
    base64.b64encode(f"{Registry.USER}:{Registry.PASSWORD}".encode())]
LARGEST_MAPPING = 256 << 20  # a sanitizer's own are larger


def processes_that_show(text):
    """Pids whose arguments or environment have it."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if any(text in (folder / name).read_bytes() for name in ("cmdline", "environ")):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def files_that_show(text, *tops):
    found = []
    for top in tops:
        for where, _, names in os.walk(top):
            for path in (pathlib.Path(where) / name for name in names):
                if path.is_file() and not path.is_symlink() and text in path.read_bytes():
                    found.append(path)
    return found


def memory_has(pid, text):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(address, 16) for address in span.split("-"))
            if not rights.startswith("rw") or end - start > LARGEST_MAPPING:
                continue
            try:
                memory.seek(start)
                if text in memory.read(end - start):
                    return True
            except OSError:
                continue
    return False


class Watch:
    """Looks everywhere."""

    def __init__(self, device):
        self.device = device
        # While a job lasts, a file for docker-compose may be in the runtime directory, which is memory.
        self.at_rest = [device.folder / name for name in ("state", "gg", "app")]

    def assert_shown_nowhere(self, job=True):
        device = self.device
        tops = self.at_rest if job else [*self.at_rest, device.folder / "run", os.environ["HOME"]]
        for text in SHOWN:
            assert files_that_show(text, *tops) == []
            assert text.decode() not in device.stderr
            # The role's key is in the environment of lightermand, where this test put it, and in its worker's.
            held = set(processes_that_show(text)) - (set() if text != ROLE_KEY.encode() else self.ours())
            assert held == set()
        assert not memory_has(device.process.pid, SHOWN[0])

    def ours(self):
        found = set()
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "comm").read_text().startswith("lighterman"):
                    found.add(int(folder.name))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found


def test_a_password_is_shown_nowhere(device_with, compose, engine, registry, broker, image):
    device = device_with(compose)
    held = HeldCompose(compose.path, device.folder / "compose", device.user)
    device.host["docker"]["compose"] = str(held.path)
    device.use_broker(broker)
    device.environment["AWS_SECRET_ACCESS_KEY"] = ROLE_KEY
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())])
    # A compose file that asks for the role's key does not get it.
    device.put_object("ships", "docker-compose.yml",
                      compose_file(None, ["first", "second"], image, environment='["AWS_SECRET_ACCESS_KEY"]'))
    device.start()
    watch = Watch(device)
    held.hold("config")
    held.hold("up")
    with broker.subscriber("#") as messages, device.begin(group) as deployment:
        held.wait_held("config")
        watch.assert_shown_nowhere()
        with registry.frozen():
            held.release()
            deployment.until("authenticate")
            worker = device.worker()
            # It has to be somewhere, and there it is found: so it would be found elsewhere.
            wait_until(lambda: memory_has(worker, SHOWN[0]), 60, "the worker has no password")
            watch.assert_shown_nowhere()
        held.wait_held("up")
        watch.assert_shown_nowhere()
        held.release()
        assert deployment.end()["exit"] == 0
        assert b"success" in payloads_until_status(messages)
    watch.assert_shown_nowhere(job=False)
    for container in engine.containers().values():
        assert ROLE_KEY not in str(container.attrs)
    assert device.stop() == 0
    assert files_that_show(SHOWN[0], *watch.at_rest, device.folder / "run") == []


def test_logins_that_a_killed_worker_left_are_removed_at_the_start(device):
    left = device.folder / "run" / "credentials"
    (left / "docker").mkdir(parents=True)
    (left / "docker" / "config.json").write_text("{}")
    device.start()
    assert not left.exists()


def payloads_until_status(messages):
    """All that was published, up to the status; none of it shows a password."""
    found = b""
    while True:
        message = messages.next()
        found += message.payload
        for text in SHOWN:
            assert text not in message.payload
        if message.topic.endswith("/status"):
            return found


@pytest.fixture
def logging_in(device, registry, image):
    """The pid of a worker that waits for the registry, the password in its memory."""
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())])
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
    device.start(wrap=["prlimit", "--core=unlimited"])
    with registry.frozen(), device.begin(group) as deployment:
        deployment.until("authenticate")
        yield device.worker(), deployment


def test_a_worker_that_crashes_leaves_no_core(device, logging_in):
    worker, deployment = logging_in
    limits = pathlib.Path(f"/proc/{worker}/limits").read_text(encoding="ascii")
    assert next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4] == "0"
    place = pathlib.Path(f"/proc/{worker}/cwd").resolve()
    before = set(os.listdir(place))
    os.kill(worker, signal.SIGABRT)
    assert deployment.end()["exit"] == 1
    assert not [name for name in set(os.listdir(place)) - before if "core" in name]
    assert device.files_with(Registry.PASSWORD) == []


def test_another_process_of_the_user_cannot_look_into_a_worker(device, logging_in):
    """Its files in /proc are root's, not the user's, although it runs as the user."""
    worker, _ = logging_in
    assert f"Uid:\t{device.user.uid}\t" in pathlib.Path(f"/proc/{worker}/status").read_text(encoding="ascii")
    assert os.stat(f"/proc/{worker}/mem").st_uid == 0
