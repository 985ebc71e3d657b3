# SPDX-License-Identifier: Apache-2.0
"""Policy.RestartUnhealthy: a container that stays unhealthy is restarted, and nobody takes that for a crash."""
import io
import tarfile
import time

import pytest

from documents import success
from monitor_test import Happenings, services
from servers.engine import PROJECT
from servers.server import wait_until

TOPIC = "dockerapplicationdeploymentconnector/message/containers"
STAYS = "trap 'exit 0' TERM; sleep 1000000 & wait"
# Unhealthy while there is the file, which lives in the container: the restart leaves it, so the command removes it.
CHECK = {"test": ["CMD", "sh", "-c", "! test -f /sick"], "interval": "1s", "retries": 1}
RECOVERS = f"busybox rm -f /sick; {STAYS}"
ON = {"RestartUnhealthy": "true"}


def sicken(*containers):
    for container in containers:
        status, output = container.exec_run(["sh", "-c", "echo >/sick"])
        assert status == 0, output


@pytest.fixture
def happenings(broker):
    with broker.subscriber(TOPIC) as subscriber:
        yield Happenings(subscriber)


@pytest.fixture
def app_on(broker, engine, local_image, status_messages):
    """app_on(device, policy, web=…): deploys these services and returns their containers."""
    def deploy(device, policy, **commands):
        device.use_broker(broker)
        device.put_object("ships", "docker-compose.yml", services(local_image, **commands))
        device.start()
        device.deploy(device.group(DockerPullBeforeUp="False", policy=policy))
        assert status_messages.next_json() == success()
        return engine.containers(everything=True)

    return deploy


def runs_of(container):
    container.reload()
    return container.attrs["State"]["StartedAt"]


def put_link(container, path, target):
    """A symbolic link in the container, which need not run."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        link = tarfile.TarInfo(path.lstrip("/"))
        link.type, link.linkname = tarfile.SYMTYPE, target
        tar.addfile(link)
    assert container.put_archive("/", data.getvalue())


def shown(device):
    return device.status["unhealthy_restarts"]


def test_a_container_that_stays_unhealthy_is_restarted(device_with, compose, app_on, happenings):
    device = device_with(compose)
    containers = app_on(device, ON, web={"command": RECOVERS, "healthcheck": CHECK}, db=STAYS)
    web, before = containers["web"], runs_of(containers["db"])
    happenings.next("healthy", "web")
    assert shown(device) == []
    sicken(web)
    happenings.next("unhealthy", "web")
    began = time.monotonic()
    restarted = happenings.next("restarted")
    assert 8 < time.monotonic() - began < 30
    assert (restarted["service"], restarted["container"], restarted["reason"]) == ("web", web.name, "unhealthy")
    assert restarted["restart_count"] == 0  # the engine's own
    happenings.next("healthy", "web")
    assert not happenings.told("died")
    assert device.cli_json("crashes") == []
    assert runs_of(containers["db"]) == before
    device.wait_log(f"container {web.name} (service web) stays unhealthy: restarting it")
    device.wait_log(f"container {web.name} (service web) restarted by lightermand: it was unhealthy")
    entry = shown(device)[0]
    assert (entry["service"], entry["restarts"], entry["retry_ms"], entry["error"]) == ("web", 1, None, None)
    assert abs(entry["last_ms"] / 1000 - time.time()) < 60
    assert 'lighterman_unhealthy_restarts_total{service="web"} 1\n' in device.cli("metrics").stdout
    assert "restarted        web: was unhealthy; restarts: 1, the last " in device.cli("status").stdout
    assert device.status["state"] == "running"


def test_its_own_grace_counts_and_a_stop_waits_for_it(device_with, compose, engine, app_on, happenings):
    device = device_with(compose)
    slow = "trap 'sleep 4; exit 0' TERM; sleep 1000000 & wait; sleep 4"
    web = app_on(device, ON, web={"command": slow, "healthcheck": CHECK, "stop_grace_period": "30s"})["web"]
    happenings.next("healthy", "web")
    sicken(web)
    device.wait_log("stays unhealthy: restarting it")
    began = time.monotonic()
    device.cli("stop")  # the restart takes 4 s, and so does the stop after it
    assert time.monotonic() - began > 6
    assert engine.containers(everything=True) == {}
    assert device.status["state"] == "stopped"
    assert not happenings.told("died")
    assert device.cli_json("crashes") == []


def stays_sick(container):
    """It is not restarted, for longer than the first pause."""
    before = runs_of(container)
    sicken(container)
    wait_until(lambda: runs_of(container) != before or container.attrs["State"]["Health"]["FailingStreak"] > 14, 60,
               "its health is not checked")
    return runs_of(container) == before


def test_without_the_policy_nothing_is_restarted(device, app_on, happenings):
    web = app_on(device, None, web={"command": RECOVERS, "healthcheck": CHECK})["web"]
    happenings.next("healthy", "web")
    assert stays_sick(web)
    assert shown(device) == []
    assert device.status["containers"][0]["health"] == "unhealthy"


def test_containers_of_others_and_one_off_ones_are_left_alone(device, engine, local_image, app_on, happenings):
    check = {"test": ["CMD", "sh", "-c", "exit 1"], "interval": 1000000000, "retries": 1}
    labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": "web",
              "com.docker.compose.oneoff": "True"}
    web = app_on(device, ON, web={"command": RECOVERS, "healthcheck": CHECK})["web"]
    others = [engine.docker.containers.run(local_image, ["sh", "-c", STAYS], detach=True, network_mode="none",
                                           healthcheck=check, labels=given) for given in ({}, labels)]
    before = [runs_of(other) for other in others]
    happenings.next("unhealthy", "web")
    sicken(web)
    assert happenings.next("restarted", "web")["container"] == web.name
    assert [runs_of(other) for other in others] == before
    assert all(other.attrs["State"]["Health"]["FailingStreak"] > 5 for other in others)


def test_nothing_is_restarted_while_the_application_is_being_deployed(device, held, engine, app_on, local_image,
                                                                      happenings):
    web = app_on(device, ON, web={"command": RECOVERS, "healthcheck": CHECK})["web"]
    happenings.next("healthy", "web")
    device.put_object("ships", "docker-compose.yml",
                      services(local_image, web={"command": RECOVERS, "healthcheck": CHECK}, more=STAYS))
    held.hold("config")
    with device.begin(device.group(DockerPullBeforeUp="False", policy=ON)):
        held.wait_held("config")
        assert stays_sick(web)
        assert "restarting it" not in device.log
        held.release()
        wait_until(lambda: set(engine.containers()) == {"web", "more"}, 60, "the deployment does not go on")


def test_pauses_grow(device, app_on, happenings):
    web = app_on(device, ON, web={"command": STAYS, "healthcheck": CHECK})["web"]
    happenings.next("healthy", "web")
    sicken(web)  # for ever: the file stays
    happenings.next("restarted", "web")
    began = time.monotonic()
    assert happenings.next("restarted", "web")["reason"] == "unhealthy"
    assert time.monotonic() - began > 20
    entry = device.wait_status(lambda status: status["unhealthy_restarts"][0]["retry_ms"])["unhealthy_restarts"][0]
    assert entry["restarts"] == 2 and 30000 < entry["retry_ms"] <= 40000
    assert "unhealthy        web: is unhealthy; restarting it in " in device.cli("status").stdout


def test_a_restart_that_fails_is_named_once_and_tried_again(device, app_on, happenings):
    """The container loses its shell when it is stopped."""
    command = "trap 'mv /bin/sh /bin/gone; exit 0' TERM; busybox rm -f /sick; sleep 1000000 & wait"
    web = app_on(device, ON, web={"command": command, "healthcheck": CHECK})["web"]
    happenings.next("healthy", "web")
    sicken(web)
    device.wait_log("(service web) could not be restarted: restart a container: the Docker daemon answers: ")
    web.reload()
    assert web.status == "exited"
    assert "unhealthy        web: could not be restarted: restart a container" in device.cli("status").stdout
    assert shown(device)[0]["error"]
    put_link(web, "/bin/sh", "busybox")
    assert happenings.next("restarted", "web")["reason"] == "unhealthy"
    entry = device.wait_status(lambda status: status["unhealthy_restarts"][0]["restarts"])["unhealthy_restarts"][0]
    assert entry | {"last_ms": 0} == {"service": "web", "restarts": 1, "last_ms": 0, "retry_ms": None, "error": None}
    assert device.log.count("could not be restarted") == 1
    assert not happenings.told("died")


def test_a_kill_of_lightermand_in_the_middle_makes_no_crash(device, engine, local_image, app_on, happenings,
                                                            status_messages):
    slow = "busybox rm -f /sick; trap 'sleep 5; exit 7' TERM; sleep 1000000 & wait; sleep 5"
    web = app_on(device, ON, web={"command": slow, "healthcheck": CHECK, "stop_grace_period": "30s"})["web"]
    happenings.next("healthy", "web")
    sicken(web)
    began, before = time.time(), runs_of(web)
    wait_until(lambda: any(event["Action"] == "kill" for event in engine.events(began)), 60, "it is not restarted")
    device.kill()
    wait_until(lambda: runs_of(web) != before, 60, "the engine does not go on with the restart")
    device.start()
    assert status_messages.next_json() == success()
    happenings.settle(engine, local_image)
    assert not happenings.told("died"), happenings.all
    assert ("restarted", "unhealthy") in [(m["event"], m["reason"]) for m in happenings.all]
    assert device.cli_json("crashes") == []
