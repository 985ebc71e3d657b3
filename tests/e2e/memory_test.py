# SPDX-License-Identifier: Apache-2.0
"""What lightermand costs in memory (the gcc build, which is what people run: sanitizers need memory of their own)."""
import pathlib

import pytest

from device import workers
from servers.engine import compose_file
from servers.eventful_engine import EventfulEngine
from servers.server import wait_until

# Only the worker has those, for as long as a job lasts.
NEVER_MAPPED = ("libcurl", "libyaml", "libnghttp2", "libssh2", "libgnutls", "libldap", "libkrb5", "libbrotli")

# In kB. Before it has given back what it does not need, more than SETTLED is resident.
SETTLED, SLACK = 2560, 128

CONTAINERS_TOPIC = "dockerapplicationdeploymentconnector/message/containers"

# Plays success, with as much as a worker may say. Its stages wait for `go`, as lightermand wants it.
CHATTY_WORKER = """#!/bin/sh
echo '{"hardened":true}'
read -r take
read -r job
case $job in *'"job":"down"'*) stages=down effect=stopped ;;
*) stages='prepare fetch resolve authenticate admit pull down up settle' effect=started ;; esac
for stage in $stages; do
	echo "{\\"stage\\":\\"$stage\\",\\"state\\":\\"begin\\"}"
	read -r go
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo "$stage, line $i: the quick brown fox jumps over the lazy dog, and over the quay" >&2
		echo "{\\"stage\\":\\"$stage\\",\\"state\\":\\"progress\\",\\"message\\":\\"step $i\\"}"
	done
	echo "{\\"stage\\":\\"$stage\\",\\"state\\":\\"end\\",\\"ms\\":1}"
done
echo "{\\"result\\":\\"success\\",\\"stage\\":null,\\"error\\":null,\\"message\\":null,\\"compose_version\\":null,\
\\"effect\\":\\"$effect\\",\\"offline\\":false,\\"forced\\":false}"
"""


class Memory:
    """Of a process, in kB."""

    def __init__(self, pid):
        self.pid = pid

    def __getitem__(self, key):
        for line in pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise KeyError(key)

    def wait_settled(self):
        """Returns what it has a moment after its work. Until it works again or is asked something, that stays."""
        self.wait_at_most(Rss=SETTLED, Pss=2048)
        return {key: self[key] for key in ("Rss", "Anonymous")}

    def wait_no_more_than(self, early):
        """After more of the same work."""
        self.wait_at_most(**{key: value + SLACK for key, value in early.items()})

    def wait_at_most(self, **limits):
        """It gives memory back a moment after its work."""
        wait_until(lambda: all(self[key] <= most for key, most in limits.items()), 30,
                   lambda: f"{limits} kB are exceeded: { {key: self[key] for key in limits} }")


def wait_connected(device):
    device.wait_status(lambda status: all(broker["connected"] for broker in status["brokers"]))


def wait_status_lines(device, ticks):
    """So many more of them are written; an older part of the log may go meanwhile."""
    def last():
        return max((line[:26] for line in device.log.splitlines() if "service=service0 " in line), default="")

    for _ in range(ticks):
        before = last()
        wait_until(lambda: last() > before, 60, "no status lines come")


def test_watching_a_hundred_containers_takes_two_megabytes(plain_device, engine, broker, local_image):
    """After as many status lines as there are in an hour, and events; and with TLS to the broker no more than 8 MB are
    ever resident."""
    names = [f"service{n}" for n in range(100)]
    plain_device.use_broker(broker)
    plain_device.put_object("ships", "docker-compose.yml", compose_file(None, names, local_image))
    plain_device.start(plain_device.group(DockerPullBeforeUp="False", StopContainersOnNewDeployment="False",
                          DockerContainerStatusLogFrequency="1"))
    plain_device.wait_status(lambda status: status["state"] == "running", 300)
    assert len(engine.containers()) == 100
    wait_connected(plain_device)
    wait_status_lines(plain_device, 6)
    for container in list(engine.containers().values())[:10]:
        container.kill()
    wait_status_lines(plain_device, 6)
    assert len(plain_device.cli_json("crashes")) == 10
    # Pss is larger where fewer programs use the same libraries: 2,190 kB alone on a machine, Rss 3,440 kB.
    Memory(plain_device.process.pid).wait_at_most(Pss=2304, Rss=4096)
    plain_device.stop()

    plain_device.use_broker(broker, "tls")
    plain_device.start()
    plain_device.wait_status(lambda status: status["state"] == "running", 300)
    wait_connected(plain_device)
    assert len(plain_device.status["containers"]) == 100
    Memory(plain_device.process.pid).wait_at_most(Rss=8192)


def test_what_only_a_worker_needs_is_not_mapped(plain_device, broker):
    plain_device.use_broker(broker, "tls")
    plain_device.start()
    wait_connected(plain_device)
    maps = pathlib.Path(f"/proc/{plain_device.process.pid}/maps").read_text(encoding="utf-8")
    assert "libmosquitto" in maps
    assert [name for name in NEVER_MAPPED if name in maps] == []


def test_does_not_grow_with_deployments_and_what_workers_say(plain_device, broker):
    (plain_device.programs / "lighterman-worker").write_text(CHATTY_WORKER)
    plain_device.use_broker(broker)
    plain_device.start()
    group = plain_device.group()
    memory = Memory(plain_device.process.pid)

    def deploy(times):
        for _ in range(times):
            with plain_device.begin(group) as deployment:
                assert deployment.end()["exit"] == 0
        assert workers() == []

    deploy(20)  # more generations than are kept
    early = memory.wait_settled()
    deploy(180)
    memory.wait_no_more_than(early)  # a leak of a kilobyte a deployment would show
    assert plain_device.status["deployment"]["generation"] == 200


def test_does_not_grow_with_what_happens_to_containers(plain_device, broker, folder):
    """Crashes with their logs, and health that changes: each is told, or counted."""
    plain_device.use_broker(broker)
    plain_device.host["docker"]["socket"] = str(folder / "engine.sock")
    with EventfulEngine(folder / "engine.sock") as engine, broker.subscriber(CONTAINERS_TOPIC) as subscriber:
        plain_device.start()
        wait_connected(plain_device)
        memory = Memory(plain_device.process.pid)

        def happen(rounds):
            for _ in range(rounds):
                for container in engine.ids:
                    engine.happens(container, "health_status: unhealthy")
                    engine.happens(container, "health_status: healthy")
                    engine.happens(container, "die", exitCode="3")
                    engine.happens(container, "start")
            # Told last of all: it is of a container that was not there before.
            last = f"{0xfff + happen.calls:064x}"
            happen.calls += 1
            engine.happens(last, "start")
            while subscriber.next_json()["service"] != engine.service(last):
                pass

        happen.calls = 0
        happen(5)
        early = memory.wait_settled()
        happen(20)
        memory.wait_no_more_than(early)
        assert len(plain_device.cli_json("crashes")) == 50
