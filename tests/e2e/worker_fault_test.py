# SPDX-License-Identifier: Apache-2.0
"""A worker that dies, hangs or prints rubbish is a failed deployment with a message, and nothing more."""
import os
import shutil
import signal
import time

import pytest

from device import workers
from documents import assert_failure, success
from servers.server import processes

# Waits for ever, whatever becomes of its stdin; and one that cannot be asked to end.
STAY = "exec 0</dev/null\nsleep 1000007 & wait"
DEAF = f"trap '' TERM INT HUP\n{STAY}"


@pytest.fixture
def with_worker(device, folder):
    """with_worker(script): `device` has that shell script in the worker's place, behind the line that comes first."""
    def make(script):
        programs = folder / "bin"
        shutil.copytree(device.programs, programs)
        worker = programs / "lighterman-worker"
        worker.unlink()
        if script is not None:
            worker.write_text(f"#!/bin/sh\necho '{{\"hardened\":true}}'\n{script}\n")
            worker.chmod(0o755)
        device.programs = programs

    return make


def assert_only_failed(device, status_messages):
    """A deployment fails by its worker, is told, and leaves lightermand as it was."""
    done = device.deploy(device.group(), status=1)
    assert "worker" in done.stderr
    assert_failure(status_messages.next_json(), "InternalError", "worker")
    status = device.status
    assert (status["state"], status["job"]) == ("failed", None)
    assert status["last_deployment"]["success"] is False
    assert workers() == [] and processes("1000007") == []
    assert device.stop() == 0
    assert status_messages.none_waits()


SCRIPTS = {
    "words, and is deaf": f"echo all is well\n{DEAF}",
    "bytes that are no text": f"printf '\\377\\376\\0\\n'\n{STAY}",
    "a line without an end": f"head -c 200000 /dev/zero | tr '\\0' x\n{STAY}",
    "a line of brackets": f"head -c 60000 /dev/zero | tr '\\0' '['\necho\n{STAY}",
    "half a line": "printf '{\"stage\":\"prepare\",\"sta'",
    "a stage that there is not": f"echo '{{\"stage\":\"paint\",\"state\":\"begin\"}}'\n{STAY}",
    "a list": f"echo '[{{\"result\":\"success\"}}]'\n{STAY}",
    "a bare success": "echo '{\"result\":\"success\"}'",
    "nothing": "exit 0",
    "nothing, and fails": "exit 1",
    "noise on its stderr": "head -c 10000 /dev/zero | tr '\\0' '\\n' >&2\nexit 1",
    "its death": "kill -KILL $$",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_worker_that_gives(device, with_worker, broker, status_messages, name):
    with_worker(SCRIPTS[name])
    device.use_broker(broker)
    device.start()
    assert_only_failed(device, status_messages)


@pytest.mark.parametrize("script", [None, "not a program"])
def test_a_worker_that_cannot_be_run(device, with_worker, broker, status_messages, script):
    with_worker(script)
    if script is not None:
        (device.programs / "lighterman-worker").chmod(0o644)
    device.use_broker(broker)
    device.start()
    assert_only_failed(device, status_messages)


def test_a_silent_worker_is_ended(device, with_worker, broker, status_messages):
    with_worker(DEAF)
    device.host["workerSilenceSeconds"] = 1
    device.use_broker(broker)
    device.start()
    assert_only_failed(device, status_messages)


def test_a_worker_that_stands_still_is_ended(device, held, engine, broker, local_image, status_messages):
    """With all that it started, although it cannot be asked to."""
    device.host["workerSilenceSeconds"] = 3
    device.use_broker(broker)
    device.start()
    held.hold("version")
    with device.begin(device.local_group(["web"], local_image)) as deployment:
        held.wait_held("version")
        os.kill(device.worker(), signal.SIGSTOP)
        last = deployment.end()
    assert (last["exit"], last["effect"]) == (1, "untouched")
    assert_failure(status_messages.next_json(), "InternalError", "worker")
    assert workers() == []
    held.wait_gone()
    assert engine.containers(everything=True) == {}
    assert device.stop() == 0


def test_a_lightermand_that_stood_still_does_not_end_a_healthy_worker(device, held, engine, broker, local_image,
                                                                     status_messages):
    """Stopped for longer than a worker may be silent: alone, as on a slow disk, and with its worker, as when frozen."""
    device.host["workerSilenceSeconds"] = 1
    device.use_broker(broker)
    device.start()
    for frozen in (lambda: [device.process.pid], lambda: [device.worker(), device.process.pid]):
        held.hold("config")
        with device.begin(device.local_group(["web"], local_image)) as deployment:
            held.wait_held("config")
            stopped = frozen()
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(3)  # what passes here is the time itself
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)
            held.release()
            assert deployment.end()["exit"] == 0
        assert status_messages.next_json() == success()


def test_a_killed_worker_takes_its_children_along_and_the_next_one_goes_on(device, held, engine, broker, local_image,
                                                                           status_messages):
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["old"], local_image))
    assert status_messages.next_json() == success()
    old = engine.containers()["old"].id
    group = device.local_group(["first", "second"], local_image)

    assert kill_worker(device, held, group, "config")["effect"] == "untouched"
    assert_failure(status_messages.next_json(), "InternalError", "worker")
    assert engine.containers()["old"].id == old
    assert device.status["state"] == "running"

    assert kill_worker(device, held, group, "up")["effect"] == "starting"
    assert_failure(status_messages.next_json(), "InternalError", "worker")
    assert set(engine.containers()) == {"first"}

    device.deploy(group)
    assert status_messages.next_json() == success()
    assert set(engine.containers(everything=True)) == {"first", "second"}


def kill_worker(device, held, group, command):
    """While docker-compose is at that command; returns how the deployment ended."""
    held.hold(command)
    with device.begin(group) as deployment:
        held.wait_held(command)
        os.kill(device.worker(), signal.SIGKILL)
        last = deployment.end()
    assert last["exit"] == 1
    held.wait_gone()
    return last
