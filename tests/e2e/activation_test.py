# SPDX-License-Identifier: Apache-2.0
"""Policy.ActivateAt, HoldFile and ActivateWithinSeconds: a deployment fetches and pulls at once, and interrupts what runs only then."""
import contextlib
import fcntl
import time

import pytest

from device import logger
from servers.engine import compose_file
from servers.server import wait_until

DAY_S = 86400
CLOSED = {"ActivateAt": "02:00-03:00"}


def zone_of(hour, minute=0, second=0):
    """A time zone in which it is that time of the day now."""
    ahead = (hour * 3600 + minute * 60 + second - int(time.time())) % DAY_S
    if ahead > DAY_S // 2:
        ahead -= DAY_S
    sign, ahead = ("-", ahead) if ahead >= 0 else ("", -ahead)
    return f"LOC{sign}{ahead // 3600}:{ahead // 60 % 60:02}:{ahead % 60:02}"


class Application:
    """One service, whose releases differ in a label."""

    def __init__(self, device, engine, image):
        self.device, self.engine, self.image = device, engine, image
        self.count = 0
        device.environment["TZ"] = zone_of(12)

    def group(self, policy, command="sleep 1000000 & wait", service=None, **more):
        self.count += 1
        key = f"compose-{self.count}.yml"
        text = compose_file(None, ["web"], self.image, labels=f'{{release: "{self.count}"}}', **(service or {})).replace("sleep 1000000 & wait", command)
        self.device.put_object("ships", key, text)
        return self.device.group(key=key, name=f"group-{self.count}.json", policy=policy, DockerPullBeforeUp="False", **more)

    def release(self):
        return int(self.engine.containers()["web"].labels["release"])

    def begin(self, policy=None, **more):
        """The first deployment has nothing to interrupt: it does not wait."""
        self.device.start()
        self.device.deploy(self.group(policy or CLOSED, **more))
        assert self.release() == 1

    def wait_held(self, reason="ActivateAt", seconds=60):
        return self.device.wait_status(
            lambda status: status["state"] == "waiting" and (status["activation"] or {}).get("reason") == reason, seconds)

    def wait_runs(self, release, seconds=60):
        self.device.wait_status(lambda status: status["state"] == "running" and status["job"] is None, seconds)
        assert self.release() == release


@pytest.fixture
def application(device, engine, local_image):
    return Application(device, engine, local_image)


@contextlib.contextmanager
def locked(path):
    """As an application that must not be interrupted."""
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_deployment_waits_for_its_window_and_its_file_also_over_a_power_cut(application, device):
    folder = device.folder / "held"
    folder.mkdir()
    hold = folder / "hold"
    policy = {**CLOSED, "HoldFile": str(hold)}
    # It stops once it may.
    stops = {"volumes": f"['{folder}:/held']", "grace": "60s",
             "on_term": ": > /held/stopping; while [ ! -e /held/go ]; do sleep 0.1; done; exit 0"}
    application.begin(policy, service=stops)
    with locked(hold):
        second = application.group(policy)
        plan = device.cli("plan", second)
        assert "the deployment waits until" in plan.stderr and f"while '{hold}' is locked (HoldFile)" in plan.stderr
        client = device.begin(second)
        status = application.wait_held()
        assert status["job"]["stage"] == "down" and application.release() == 1
        assert status["activation"]["generation"] == 2 and status["activation"]["latest_ms"] is None
        opens_s = status["activation"]["opens_ms"] / 1000 - time.time()
        assert 13.9 * 3600 < opens_s <= 14 * 3600
        assert "02:00 (ActivateAt)" in status["description"] and "generation 2 is ready and waits until" in device.cli("status").stdout
        assert "lighterman_activation_waiting 1\n" in device.cli("metrics").stdout
        message = client.until("down", "progress")
        assert message["waits"]["reason"] == "ActivateAt" and "waits until" in message["message"] and "deploy --now" in message["message"]
        device.crash()
        client.close()
        device.environment["TZ"] = zone_of(1, 59, 57)
        device.start()
        status = application.wait_held("HoldFile")  # the window has opened
        assert status["activation"]["hold_file"] == str(hold) and status["activation"]["opens_ms"] is None
        assert application.release() == 1
    with open(hold, "rb") as file:
        wait_until((folder / "stopping").exists, 60, "nothing is stopped")
        with pytest.raises(BlockingIOError):  # nothing can begin any more that must not be interrupted
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / "go").touch()
        application.wait_runs(2)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is the application's again
    assert not (device.folder / "state/activation.json").exists()


def test_a_person_does_not_wait_and_later_orders_cancel(application, device, cloudwatch_logs):
    device.use_cloudwatch(cloudwatch_logs)
    application.begin(loggers=[logger("AWSCloudWatch")])
    assert "no deployment waits" in device.cli("deploy", "--now", check=False).stderr
    second = application.group(CLOSED, loggers=[logger("AWSCloudWatch")])
    client = device.begin(second)
    application.wait_held()
    # The worker that waits does not keep the log from being shipped.
    wait_until(lambda: any("is ready and waits until" in event["message"] for streams in cloudwatch_logs.groups.values()
                           for events in streams.values() for event in list(events)), 60, "no line is shipped while it waits")
    device.cli("verify")
    assert "generation 2 waits for its activation" in device.cli("plan", second, check=False).stderr
    assert "generation 2 is activated now" in device.cli("deploy", "--now").stdout
    assert client.end()["exit"] == 0 and application.release() == 2
    client = device.begin(application.group(CLOSED))
    application.wait_held()
    device.cli("deploy", "--now", application.group(CLOSED))
    assert client.end()["message"] == "superseded by a newer deployment" and application.release() == 4
    client = device.begin(application.group(CLOSED))
    application.wait_held()
    device.cli("stop")
    assert client.end()["exit"] == 1 and device.status["state"] == "stopped"


def test_the_latest_moment_counts_from_the_order_also_over_a_power_cut(application, device):
    application.begin()
    began_ms = time.time() * 1000
    device.cli("deploy", "--no-wait", application.group({**CLOSED, "ActivateWithinSeconds": "3600"}))
    ordered_ms = time.time() * 1000
    latest_ms = application.wait_held()["activation"]["latest_ms"]
    assert began_ms <= latest_ms - 3600 * 1000 <= ordered_ms + 100
    device.crash()
    device.start()
    assert abs(application.wait_held()["activation"]["latest_ms"] - latest_ms) < 100
    device.deploy(application.group({**CLOSED, "ActivateWithinSeconds": "1"}))
    assert application.release() == 3


def test_neither_a_way_back_nor_what_cannot_be_held_waits(application, device):
    application.begin({**CLOSED, "RollbackOnFailure": "True"})
    fails = {**CLOSED, "RollbackOnFailure": "True", "WaitHealthy": "True", "HealthTimeoutSeconds": "20", "StableSeconds": "1"}
    failed = device.cli("deploy", "--now", application.group(fails, command="exit 3"), check=False)
    assert failed.returncode == 1 and "generation 1 runs again" in failed.stderr
    assert application.release() == 1
    link = device.folder / "hold"
    link.symlink_to("/etc/passwd")
    refused = device.cli("deploy", application.group({"HoldFile": str(link)}), check=False)
    assert refused.returncode == 1 and "leads through the symbolic link 'hold'" in refused.stderr
    assert "the previous application was not changed" in refused.stderr and application.release() == 1
