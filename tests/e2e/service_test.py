# SPDX-License-Identifier: Apache-2.0
"""lightermand tells the manager that started it how it is (sd_notify)."""
import contextlib
import queue
import shutil
import socket
import threading

import pytest

from documents import success


class Manager:
    """What systemd is to a service of Type=notify."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.environment = {"NOTIFY_SOCKET": address}
        self.told = queue.Queue()
        # Always ready to read, as the real one: the socket's queue is short.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while lines := self.socket.recv(4096):
            for line in lines.decode().split("\n"):
                self.told.put(line)

    def wait_told(self, line):
        """Returns what was told before it."""
        before = []
        while (told := self.told.get(timeout=30)) != line:
            before.append(told)
        return before

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(folder, request):
    manager = Manager(str(folder / "notify") if request.param == "path" else "@lighterman/service_test")
    with contextlib.closing(manager):
        yield manager


def test_tells_when_it_is_ready_what_it_does_and_that_it_ends(device, manager, local_image, engine, broker,
                                                              status_messages):
    device.use_broker(broker)
    device.environment.update(manager.environment)
    device.start(wait=False)
    assert manager.wait_told("READY=1") == ["STATUS=nothing was deployed yet"]
    assert device.cli("status").returncode == 0  # at once: ready means that it answers
    device.deploy(device.local_group(["web"], local_image))
    assert status_messages.next_json() == success()
    stages = manager.wait_told("STATUS=generation 1 is deployed")
    assert "STATUS=deploying generation 1: up" in stages
    assert device.stop() == 0
    assert "READY=1" not in manager.wait_told("STOPPING=1")
    manager.wait_told("STATUS=stopping generation 1")
    assert engine.containers() == {}


def test_gives_the_watchdog_a_sign_of_life_from_its_loop(device, manager):
    device.environment.update(manager.environment, WATCHDOG_USEC="200000")
    device.start()
    for _ in range(5):
        manager.wait_told("WATCHDOG=1")
    assert device.stop() == 0


def test_a_watchdog_for_another_process_hears_nothing(device, manager):
    device.environment.update(manager.environment, WATCHDOG_USEC="1000", WATCHDOG_PID="1")
    device.start()
    assert device.stop() == 0
    assert "WATCHDOG=1" not in manager.wait_told("STOPPING=1")


def test_no_worker_can_speak_in_its_name(device, folder, manager):
    programs, seen = folder / "bin", device.destination / "seen"
    shutil.copytree(device.programs, programs)
    (programs / "lighterman-worker").write_text(f"""#!/usr/bin/python3
import os, socket
print('{{"hardened":true}}', flush=True)
_, (environment, *_), *_ = socket.recv_fds(socket.socket(fileno=0), 5, 5)
with open("{seen}", "wb") as file:
    file.write(os.pread(environment, 1 << 20, 0) + b"".join(name + b"=" for name in os.environb))
""")
    device.programs = programs
    device.environment.update(manager.environment, WATCHDOG_USEC="60000000", WATCHDOG_PID="1")
    device.start()
    device.deploy(device.group(), status=1)
    assert "PATH=" in seen.read_text()
    assert "NOTIFY_SOCKET" not in seen.read_text() and "WATCHDOG" not in seen.read_text()


def test_an_address_that_is_none_is_told_and_does_no_harm(device):
    device.environment["NOTIFY_SOCKET"] = "vsock:2:1234"
    device.start()
    assert "NOTIFY_SOCKET: 'vsock:2:1234' is not the address of a unix socket" in device.stderr
    assert device.stop() == 0


def test_a_manager_that_is_gone_is_told_once_and_does_no_harm(device, folder, local_image):
    device.environment["NOTIFY_SOCKET"] = str(folder / "nobody")
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    assert device.stop() == 0
    assert device.stderr.count("notify the service manager: No such file or directory, ignoring") == 1
