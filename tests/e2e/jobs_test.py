# SPDX-License-Identifier: Apache-2.0
"""Jobs of AWS IoT Jobs, on mosquitto with a service that keeps executions as AWS does (docs/fleet.md)."""
import json

import pytest

from servers.engine import compose_file
from servers.job_service import JobService
from servers.server import wait_until

THING = "Gateway"
LOCAL = {"DockerPullBeforeUp": "False"}


class Fleet:
    """A device that takes jobs, and the service. A definition is known by the name of its one service."""

    def __init__(self, device, broker, image, service):
        self.device, self.engine_image, self.service = device, image, service
        device.host["mqtt"] = {**broker.over("tcp"), "jobs": True}

    def group(self, name, **more):
        self.device.put_object("ships", f"{name}.yml", compose_file(None, [name], self.engine_image))
        path = self.device.group(key=f"{name}.yml", name=f"{name}.json", **LOCAL, **more)
        return json.loads(path.read_text())

    def give(self, job_id, document, number=1):
        self.service.create(THING, job_id, document, number)

    def run(self, job_id, document, number=1):
        """A job to its end."""
        self.give(job_id, document, number)
        return self.ended(job_id)

    def ended(self, job_id):
        found = self.service.wait_ended(THING, job_id)
        return found["status"], found["statusDetails"]

    def finals(self, job_id):
        return [status for status, _ in self.service.updates(job_id) if status != "IN_PROGRESS"]

    def generations(self):
        return {int(path.name) for path in (self.device.folder / "state/application/generations").glob("[0-9]*")}

    def wait_shown(self, **job):
        """Until `status` shows that of the last job."""
        return self.device.wait_status(lambda status: job.items() <= (status["jobs"]["last"] or {}).items())

    def rejections(self):
        return [request for request in self.service.requests if request[3] is not None]


@pytest.fixture
def fleet(device, broker, local_image):
    with JobService("127.0.0.1", broker.port) as service:
        yield Fleet(device, broker, local_image, service)


def test_jobs_deploy_and_roll_back_and_are_rejected_with_the_reason(fleet, engine):
    service = fleet.service
    service.create("Another", "not-ours", fleet.group("alien"))
    fleet.give("first", fleet.group("one"))  # it waits for a device that is away
    fleet.device.start()
    assert fleet.ended("first") == ("SUCCEEDED", {"generation": "1"})
    assert set(engine.containers()) == {"one"}
    assert service.updates("first")[-1] == ("SUCCEEDED", None)
    assert ("IN_PROGRESS", "up") in service.updates("first") and len(service.updates("first")) <= 6

    status, details = fleet.run("no-way-back", {"operation": "lighterman.rollback"})
    assert status == "REJECTED" and "no earlier generation" in details["reason"]
    status, details = fleet.run("not-valid", {"Connectors": [{"Id": "app"}]})
    assert status == "REJECTED" and "ConnectorArn" in details["reason"]
    status, details = fleet.run("not-for-us", {"operation": "firmware.update"})
    assert status == "REJECTED" and "firmware.update" in details["reason"]
    assert fleet.generations() == {1}

    service.documents_as_text = True
    assert fleet.run("second", {"operation": "lighterman.deploy", "group": fleet.group("two")}) == \
        ("SUCCEEDED", {"generation": "2"})
    assert set(engine.containers()) == {"two"}
    assert fleet.run("back", {"operation": "lighterman.rollback"}) == ("SUCCEEDED", {"generation": "1"})
    assert set(engine.containers()) == {"one"}
    status, details = fleet.run("again", fleet.group("two"))
    assert status == "REJECTED" and "quarantined" in details["reason"]
    missing = fleet.group("three")
    (fleet.device.folder / "objects/ships/three.yml").unlink()
    status, details = fleet.run("failing", missing)
    assert status == "FAILED" and "three.yml" in details["reason"]
    assert set(engine.containers()) == {"one"} and fleet.generations() == {1, 2, 3}

    # The same execution never runs twice; another one of the same job does.
    service.requeue(THING, "first")
    assert fleet.ended("first") == ("SUCCEEDED", {"generation": "1"})
    assert fleet.generations() == {1, 2, 3}
    assert fleet.run("first", fleet.group("one"), number=2) == ("SUCCEEDED", {"generation": "4"})

    assert service.execution("Another", "not-ours")["status"] == "QUEUED"
    assert fleet.rejections() == []
    shown = fleet.wait_shown(id="first", execution=2, status="SUCCEEDED", reported=True)["jobs"]
    assert (shown["thing"], shown["connected"], shown["job"]) == (THING, True, None)
    assert "first" in fleet.device.cli("status").stdout


def test_a_job_survives_a_crash_and_a_broker_that_is_away_at_its_end(fleet, broker, held, engine):
    service = fleet.service
    fleet.device.start()
    assert fleet.run("before", fleet.group("one"))[0] == "SUCCEEDED"
    held.hold("down")
    fleet.give("crashing", fleet.group("first"))
    held.wait_held("down")
    fleet.device.crash()
    fleet.device.start()
    assert fleet.ended("crashing") == ("SUCCEEDED", {"generation": "2"})
    assert set(engine.containers()) == {"first"}
    assert fleet.generations() == {1, 2} and fleet.finals("crashing") == ["SUCCEEDED"]

    held.hold("down")
    fleet.give("offline", fleet.group("third"))
    held.wait_held("down")
    broker.stop()
    held.release()
    fleet.wait_shown(id="offline", status="SUCCEEDED", reported=False)
    fleet.device.kill()  # nor does that lose the report
    service.subscribed.clear()
    broker.start()
    assert service.subscribed.wait(30)
    fleet.device.start()
    assert fleet.ended("offline") == ("SUCCEEDED", {"generation": "3"})
    assert fleet.generations() == {1, 2, 3} and fleet.finals("offline") == ["SUCCEEDED"]


def test_a_job_that_the_cloud_ends_stops_before_down_and_not_after(fleet, held, engine):
    service = fleet.service
    fleet.device.start()
    assert fleet.run("before", fleet.group("one"))[0] == "SUCCEEDED"
    container = engine.containers()["one"].id

    held.hold("config")
    fleet.give("cancelled", fleet.group("two"))
    held.wait_held("config")
    service.end(THING, "cancelled", "CANCELED")
    fleet.wait_shown(id="cancelled", status="FAILED")
    held.wait_gone()

    # Nobody notifies us of this one: it is asked for before `down`.
    held.hold("config")
    fleet.give("late", fleet.group("three"))
    held.wait_held("config")
    with service.changed:
        service._set(service._find(THING, "late"), "TIMED_OUT")
    held.release()
    status = fleet.wait_shown(id="late", status="FAILED")
    assert "TIMED_OUT" in status["jobs"]["last"]["reason"]
    assert engine.containers()["one"].id == container
    status = fleet.device.wait_status(lambda status: status["job"] is None)
    assert status["wanted"] == {"state": "up", "generation": 1} and status["activity"] == "idle"
    assert "TIMED_OUT" in status["last_deployment"]["message"]
    assert status["last_deployment"]["effect"] == "untouched" if "effect" in status["last_deployment"] else True

    held.hold("down")
    fleet.give("too-late", fleet.group("four"))
    held.wait_held("down")
    service.end(THING, "too-late", "CANCELED")
    wait_until(lambda: "goes on" in fleet.device.stderr, 60, "the cancelling is not noticed")
    held.release()
    fleet.wait_shown(id="too-late", status="SUCCEEDED", reported=True)
    assert set(engine.containers()) == {"four"}
    assert [fleet.finals(name) for name in ("cancelled", "late", "too-late")] == [[], [], []]
