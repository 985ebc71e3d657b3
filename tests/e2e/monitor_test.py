# SPDX-License-Identifier: Apache-2.0
"""What happens to the containers is told, each once, whatever restarts meanwhile: docs/formats.md, topic `containers`
and `crashes`."""
import json
import signal

import pytest

from documents import success
from servers.compose import HeldCompose
from servers.engine import PROJECT
from servers.server import Server, wait_until

TOPIC = "dockerapplicationdeploymentconnector/message/containers"
KEYS = {"id", "time", "event", "service", "container", "image", "exit_code", "signal", "oom_killed", "restart_count",
        "uptime_seconds", "count", "log", "reason"}

# Says what is written to /say and ends with the number in /code, once that is there.
WAITS = "trap 'exit 0' TERM; echo up; while ! test -f /code; do sleep 0.1; done; cat /say; exit $(cat /code)"


def services(image, **commands):
    """A compose file: each service with its command, or a dictionary of more."""
    described = {}
    for name, more in commands.items():
        more = dict(more if isinstance(more, dict) else {"command": more})
        more["command"] = ["sh", "-c", more["command"].replace("$", "$$")]
        described[name] = {"image": image, "stop_grace_period": "1s", **more}
    return json.dumps({"version": "2.4", "services": described})


class Happenings:
    """The messages of the topic, in order."""

    def __init__(self, subscriber):
        self.subscriber = subscriber
        self.all = []

    def next(self, event=None, service=None):
        """The next message, or the next of that event and service: others are skipped, but kept in `all`."""
        while True:
            message = self.subscriber.next_json()
            assert set(message) == KEYS, message
            self.all.append(message)
            if event in (None, message["event"]) and service in (None, message["service"]):
                return message

    def settle(self, engine, image):
        """Returns when all that was under way is told: a container of the application is started, and told last."""
        name = f"settle{len(self.all)}"
        engine.docker.containers.run(image, ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"], detach=True,
                                     network_mode="none", name=name,
                                     labels={"com.docker.compose.project": PROJECT, "com.docker.compose.service": name})
        self.next("started", name)
        self.all.pop()

    def told(self, *events):
        return [(m["event"], m["service"], m["exit_code"]) for m in self.all if m["event"] in events]


@pytest.fixture
def happenings(broker):
    with broker.subscriber(TOPIC) as subscriber:
        yield Happenings(subscriber)


@pytest.fixture
def app(device, broker, engine, local_image, status_messages):
    """app(web=…): deploys these services and returns their containers."""
    device.use_broker(broker)

    def deploy(**commands):
        device.put_object("ships", "docker-compose.yml", services(local_image, **commands))
        group = device.group(DockerPullBeforeUp="False")
        if device.process is None:
            device.start()
        device.deploy(group)
        assert status_messages.next_json() == success()
        return engine.containers(everything=True)

    return deploy


def crash(container, code, *lines):
    """Lets a container that WAITS end."""
    said = "\n".join(lines)
    status, output = container.exec_run(["sh", "-c", f"cat >/say <<'E'\n{said}\nE\necho {code} >/code"])
    assert status == 0, output


def kept(device, n=1):
    """The records, once there are `n`: they are written a little after the message."""
    return wait_until(lambda: len(found := device.cli_json("crashes")) == n and found, 30,
                      lambda: f"not {n} crashes: {device.cli_json('crashes')}")


def test_a_crash_is_told_with_its_last_lines_and_kept(device, app, local_image, happenings):
    web = app(web=WAITS)["web"]
    started = happenings.next()
    assert (started["event"], started["service"], started["log"]) == ("started", "web", None)
    crash(web, 3, *[f"line {n}" for n in range(1, 26)], "tab\there \x1b[31mred")
    died = happenings.next()
    assert died | {"id": "", "time": "", "uptime_seconds": 0, "log": []} == {
        "id": "", "time": "", "event": "died", "service": "web", "container": web.name, "image": local_image,
        "exit_code": 3, "signal": None, "oom_killed": False, "restart_count": 0, "uptime_seconds": 0, "count": 1,
        "log": [], "reason": None}
    assert died["log"] == [f"line {n}" for n in range(7, 26)] + ["tab\\x09here \\x1b[31mred"]
    device.wait_log(f"container {web.name} (service web) died: exit code 3, after ")
    assert "[WARN]-daemon.c:" in device.log
    record = kept(device)[0]
    assert {key: value for key, value in record.items() if key in KEYS} == \
        {key: value for key, value in died.items() if key not in ("event", "reason")}
    assert record["memory_free_bytes"] > 1 << 20 and record["disk_free_bytes"] > 1 << 20
    page = device.cli("crashes").stdout.splitlines()
    assert page[0].startswith(f"{died['time']}  web  exit code 3, after ")
    assert page[1] == "    line 7"


def test_an_end_as_it_should_be_is_no_crash(device, app, happenings):
    web = app(web=WAITS)["web"]
    happenings.next("started")
    crash(web, 0)
    died = happenings.next()
    assert (died["event"], died["exit_code"], died["signal"], died["oom_killed"]) == ("died", 0, None, False)
    assert device.cli_json("crashes") == []
    assert device.cli("crashes").stdout == "no crashes\n"


def test_killed_by_a_signal(device, app, happenings):
    web = app(web=WAITS)["web"]
    wait_until(lambda: b"up" in web.logs(), 30, "it does not come up")
    web.kill()
    died = happenings.next("died")
    assert (died["exit_code"], died["signal"], died["oom_killed"], died["log"]) == (137, 9, False, ["up"])
    assert kept(device)[0]["signal"] == 9


def test_killed_for_memory(device, app, happenings):
    # The engine begins to listen for it a moment after the start.
    app(web={"command": "echo eats; sleep 1; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x$x; done", "mem_limit": "6m"})
    oom = happenings.next("oom")
    died = happenings.next("died")
    assert (oom["service"], oom["oom_killed"]) == ("web", True)
    assert (died["exit_code"], died["signal"], died["oom_killed"], died["log"]) == (137, 9, True, ["eats"])
    assert kept(device)[0]["oom_killed"] is True
    assert "out of memory" in device.cli("crashes").stdout
    device.wait_log("(service web) ran out of memory")


def test_health_is_told_when_it_changes(device, app, happenings):
    check = {"test": ["CMD", "sh", "-c", "! test -f /sick"], "interval": "1s", "retries": 1}
    web = app(web={"command": WAITS, "healthcheck": check})["web"]
    assert happenings.next("healthy")["service"] == "web"
    web.exec_run(["sh", "-c", "echo >/sick"])
    assert happenings.next()["event"] == "unhealthy"
    web.exec_run(["busybox", "rm", "/sick"])
    assert happenings.next()["event"] == "healthy"
    device.wait_log("(service web) is unhealthy")
    assert device.cli_json("crashes") == []


def test_restarts_by_policy_are_told_and_counted(device, app, engine, local_image, happenings):
    app(web={"command": "echo again; exit 4", "restart": "on-failure:2"})
    for restarts in (1, 2):
        assert happenings.next("restarted")["restart_count"] == restarts
    assert happenings.next()["event"] == "died"
    happenings.settle(engine, local_image)
    assert happenings.told("died", "restarted", "started") == [
        ("started", "web", None), ("died", "web", 4), ("restarted", "web", None), ("died", "web", 4),
        ("restarted", "web", None), ("died", "web", 4)]
    records = kept(device, 3)
    assert [record["restart_count"] for record in records] == [2, 2, 1]
    assert [record["log"] for record in records] == [["again"]] * 3  # of its own run each


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_the_engine_loses_nothing_and_tells_nothing_twice(device, app, engine, local_image, happenings,
                                                                       number):
    containers = app(web={"command": WAITS, "restart": "always"}, job=WAITS)
    happenings.settle(engine, local_image)
    before = len(happenings.all)
    Server.stop(engine, number)
    device.wait_log("lost the Docker event stream: ")
    engine.start()
    device.wait_log("the Docker event stream is back")
    wait_until(lambda: containers["web"].reload() or containers["web"].status == "running", 60, "it is not restarted")
    happenings.settle(engine, local_image)
    told = [message for message in happenings.all[before:] if not message["service"].startswith("settle")]
    assert sorted((m["event"], m["service"]) for m in told) == [("died", "job"), ("died", "web"), ("restarted", "web")]
    crash(containers["web"], 5)
    assert happenings.next("died", "web")["exit_code"] == 5
    assert happenings.next()["event"] == "restarted"


def test_what_crashed_while_lightermand_was_away_is_told_after_its_start(device, app, engine, local_image, happenings,
                                                                         status_messages):
    containers = app(first=WAITS, second=WAITS, third=WAITS)
    crash(containers["first"], 3)
    happenings.next("died")
    kept(device)
    device.kill()
    crash(containers["second"], 4, "the end")
    wait_until(lambda: containers["second"].reload() or containers["second"].status == "exited", 60, "it runs on")
    device.start()
    died = happenings.next("died")
    assert (died["service"], died["exit_code"], died["log"]) == ("second", 4, ["up", "the end"])
    assert status_messages.next_json() == success()
    happenings.settle(engine, local_image)
    # It is taken up again: the third was stopped by us.
    assert happenings.told("died") == [("died", "first", 3), ("died", "second", 4)]
    assert [record["service"] for record in kept(device, 2)] == ["second", "first"]


@pytest.fixture
def busy(device, app, engine, local_image):
    """busy(web=…): deploys these services; then a deployment is held at its `config`, with all of them running."""
    held = HeldCompose(device.host["docker"]["compose"], device.folder / "held", device.user)
    device.host["docker"]["compose"] = str(held.path)

    def begin(**commands):
        containers = app(**commands)
        device.put_object("ships", "docker-compose.yml", services(local_image, other=WAITS, **commands))
        held.hold("config")
        with device.begin(device.group(DockerPullBeforeUp="False")):
            held.wait_held("config")
        return containers

    return begin


def test_what_crashed_while_lightermand_was_killed_in_a_deployment_is_told(device, busy, happenings):
    web = busy(web=WAITS, steady=WAITS)["web"]
    device.kill()
    crash(web, 4, "the end")
    wait_until(lambda: web.reload() or web.status == "exited", 60, "it runs on")
    device.start()
    died = happenings.next("died")
    assert (died["service"], died["exit_code"], died["log"]) == ("web", 4, ["up", "the end"])


def test_a_signal_that_is_a_notice_excuses_no_crash_in_a_deployment(device, busy, happenings):
    web = busy(web="trap 'exit 5' HUP; while :; do sleep 0.1; done")["web"]
    happenings.next("started", "web")
    web.kill("HUP")
    died = happenings.next("died")
    assert (died["service"], died["exit_code"]) == ("web", 5)


def test_what_we_stop_by_its_own_signal_is_no_crash(device, app, engine, local_image, happenings):
    app(web={"command": "trap 'exit 6' USR1; while :; do sleep 0.1; done", "stop_signal": "SIGUSR1"})
    device.cli("stop")
    happenings.settle(engine, local_image)
    assert happenings.told("died") == []
    assert device.cli_json("crashes") == []


def test_the_last_lines_are_those_of_the_run_that_ended(app, happenings):
    app(web={"command": "n=$(cat /n 2>/dev/null || echo 0); echo $((n + 1)) >/n; echo run $n; exit 3",
             "restart": "on-failure:2"})
    for number in range(3):
        died = happenings.next("died")
        assert died["log"] == [f"run {number}"], died


def test_a_stop_of_lightermand_remembers_what_was_told(device, app, engine, local_image, happenings, status_messages):
    containers = app(web=WAITS)
    crash(containers["web"], 3)
    happenings.next("died")
    assert device.stop() == 0
    device.start()
    assert status_messages.next_json() == success()
    happenings.settle(engine, local_image)
    assert happenings.told("died") == [("died", "web", 3)]


@pytest.mark.parametrize("command", [WAITS, "while :; do sleep 1; done"], ids=["ends", "has to be killed"])
def test_what_we_stop_is_no_crash(device, app, engine, local_image, happenings, status_messages, command):
    app(web=command, other=command)
    device.cli("stop")
    device.cli("start")
    assert status_messages.next_json() == success()
    app(web=command, third=command)
    assert device.stop() == 0
    device.start()
    assert status_messages.next_json() == success()
    happenings.settle(engine, local_image)
    assert happenings.told("died", "oom") == []
    assert sorted(happenings.told("started")) == [
        ("started", service, None) for service in ("other", "other", "third", "third", "web", "web", "web", "web")]
    assert device.cli_json("crashes") == []


def test_many_crashes_are_told_as_a_number(device, app, engine, happenings):
    web = app(web="exit 7")["web"]
    for _ in range(19):
        wait_until(lambda: web.reload() or web.status == "exited", 60, "it runs on")
        web.start()
    wait_until(lambda: web.reload() or web.status == "exited", 60, "it runs on")
    for _ in range(5):
        assert happenings.next("died")["count"] == 1
    # The minute is told when it is over, or when lightermand ends; after its next start at the latest.
    assert device.stop() == 0
    device.start()
    died = happenings.next("died")
    assert (died["exit_code"], died["count"]) == (7, 15)
    records = kept(device, 6 + 1)  # it is started again, and ends again
    assert [record["count"] for record in records[1:]] == [15, 1, 1, 1, 1, 1]
    assert "15 times in a minute" in device.cli("crashes").stdout
