# SPDX-License-Identifier: Apache-2.0
"""Jobs of AWS IoT Jobs, on mosquitto with a service that keeps executions as AWS does (docs/fleet.md)."""
import fcntl
import json
import pathlib
import subprocess

import botocore.loaders
import botocore.model
import botocore.validate
import pytest

from servers.engine import compose_file
from servers.iot_core import IotCore
from servers.job_service import JobService
from servers.server import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
THING = "Gateway"
LOCAL = {"DockerPullBeforeUp": "False"}


class Fleet:
    """A device that takes jobs, and the service. A definition is known by the name of its one service."""

    def __init__(self, device, where, image, service):
        self.device, self.engine_image, self.service = device, image, service
        device.host["mqtt"] = {**where, "jobs": True}

    def group(self, name, compose=None, **more):
        """`compose`: more of its service in the compose file."""
        self.device.put_object("ships", f"{name}.yml", compose_file(None, [name], self.engine_image, **(compose or {})))
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
        yield Fleet(device, broker.over("tcp"), local_image, service)


@pytest.fixture
def cloud_fleet(device, folder, authority, local_image):
    """Behind a front with AWS IoT's limits."""
    core = IotCore(folder / "iot-core", authority).start()
    certificate, key = authority.issue(THING)
    where = {"host": core.HOST, "port": core.port, "ca": str(authority.certificate), "certificate": str(certificate),
             "privateKey": str(key), "clientId": THING}
    with JobService("127.0.0.1", core.back_port) as service:
        yield Fleet(device, where, local_image, service)
    device.end()
    core.stop()
    assert core.violations == [] and len(core.filters[THING]) == 7


def model(service):
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"))


def assert_valid(shape, parameters):
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()


def assert_as_in_the_model(requests):
    """AWS's own: what it does not have is the clientToken, which is MQTT's."""
    operations = {"start-next": "StartNextPendingJobExecution", "get": "DescribeJobExecution", "update": "UpdateJobExecution"}
    for thing, what, body, _ in requests:
        shape = model("iot-jobs-data").operation_model(operations[what]).input_shape
        parameters = {key: value for key, value in body.items() if key not in ("clientToken", "_job")}
        parameters.update({"thingName": thing, **({"jobId": body["_job"]} if body["_job"] else {})})
        assert_valid(shape, parameters)
        assert set(parameters) <= set(shape.members)


def test_jobs_deploy_and_roll_back_and_are_rejected_with_the_reason(cloud_fleet, engine):
    fleet, service = cloud_fleet, cloud_fleet.service
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
    two = fleet.group("two", policy={"ProbationSeconds": "2"})
    assert fleet.run("second", {"operation": "lighterman.deploy", "group": two}) == ("SUCCEEDED", {"generation": "2"})
    assert service.updates("second")[-2:] == [("IN_PROGRESS", "probation"), ("SUCCEEDED", None)]
    assert set(engine.containers()) == {"two"}
    assert fleet.run("back", {"operation": "lighterman.rollback"}) == ("SUCCEEDED", {"generation": "1"})
    assert set(engine.containers()) == {"one"}
    status, details = fleet.run("again", two)
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
    assert fleet.run("first", {"operation": "again"}, number=2)[0] == "REJECTED"

    assert service.execution("Another", "not-ours")["status"] == "QUEUED"
    assert fleet.rejections() == []
    assert_as_in_the_model(service.requests)
    shown = fleet.wait_shown(id="first", execution=2, status="REJECTED", reported=True)["jobs"]
    assert (shown["thing"], shown["connected"], shown["job"]) == (THING, True, None)
    assert "first" in fleet.device.cli("status").stdout


def send_rubbish(service):
    """To the topics of this thing, and of another one."""
    job = {"jobId": "rubbish", "executionNumber": 1, "status": "IN_PROGRESS", "jobDocument": {"operation": "lighterman.rollback"}}
    service.wait_request("start-next")
    for what in ("notify-next", "start-next/accepted", "rubbish/get/accepted", "rubbish/update/rejected"):
        for body in (b"", b"[", b"\xff\xfe", b"[[],[]]", b"{" * 10000, b"x" * (200 << 10), b"[" + b"[]," * 40000,
                     json.dumps({"execution": {"jobId": "../x"}}).encode(),
                     json.dumps({"execution": job, "clientToken": "not-asked"}).encode()):
            service.client.publish(f"$aws/things/{THING}/jobs/{what}", body, qos=1)
    service.client.publish("$aws/things/Another/jobs/notify-next", json.dumps({"execution": job}), qos=1)


def test_a_job_survives_a_crash_and_a_broker_that_is_away_at_its_end(fleet, broker, held, engine):
    service = fleet.service
    fleet.device.start()
    send_rubbish(service)
    assert fleet.run("before", fleet.group("one"))[0] == "SUCCEEDED"
    assert fleet.device.stderr.count("is ignored") == 1
    held.hold("down")
    fleet.give("crashing", fleet.group("first"))
    held.wait_held("down")
    fleet.device.crash()
    fleet.device.start()
    assert fleet.ended("crashing") == ("SUCCEEDED", {"generation": "2"})
    assert set(engine.containers()) == {"first"}
    assert fleet.generations() == {1, 2} and fleet.finals("crashing") == ["SUCCEEDED"]

    held.hold("config")
    fleet.give("orderly", fleet.group("second"))
    held.wait_held("config")
    fleet.device.stop()
    fleet.device.start()
    assert fleet.ended("orderly") == ("SUCCEEDED", {"generation": "3"})
    assert fleet.finals("orderly") == ["SUCCEEDED"]

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
    assert fleet.ended("offline") == ("SUCCEEDED", {"generation": "4"})
    assert fleet.generations() == {1, 2, 3, 4} and fleet.finals("offline") == ["SUCCEEDED"]


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

    held.hold("down")
    fleet.give("too-late", fleet.group("four"))
    held.wait_held("down")
    service.end(THING, "too-late", "CANCELED")
    wait_until(lambda: "goes on" in fleet.device.stderr, 60, "the cancelling is not noticed")
    held.release()
    fleet.wait_shown(id="too-late", status="SUCCEEDED", reported=True)
    assert set(engine.containers()) == {"four"}
    assert [fleet.finals(name) for name in ("cancelled", "late", "too-late")] == [[], [], []]

    held.hold("config")
    fleet.give("superseded", fleet.group("five"))
    held.wait_held("config")
    fleet.group("six")
    fleet.device.deploy(fleet.device.folder / "six.json")
    status, details = fleet.ended("superseded")
    assert status == "FAILED" and "superseded" in details["reason"]
    assert set(engine.containers()) == {"six"}


def test_a_job_that_is_rolled_back_has_failed(fleet, engine):
    """Whoever waits for it is told of both generations that begin."""
    fleet.device.start()
    assert fleet.run("before", fleet.group("one"))[0] == "SUCCEEDED"
    missing = "/no/such/program"  # docker-compose fails in `up`
    broken = fleet.group("two", {"entrypoint": f"[{missing}]"}, policy={"RollbackOnFailure": "true"})
    status, details = fleet.run("broken", broken)
    assert (status, details["generation"]) == ("FAILED", "2")
    assert missing in details["reason"] and "generation 1 runs again" in details["reason"]
    assert set(engine.containers()) == {"one"} and fleet.finals("broken") == ["FAILED"]
    status = fleet.device.wait_status(lambda status: status["job"] is None)
    assert status["wanted"] == {"state": "up", "generation": 1}

    hold = fleet.device.folder / "hold"
    with open(hold, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fleet.give("waiting", fleet.group("three", policy={"HoldFile": str(hold)}))
        wait_until(lambda: ("IN_PROGRESS", "waiting") in fleet.service.updates("waiting"), 60, "it does not wait")
    assert fleet.ended("waiting") == ("SUCCEEDED", {"generation": "3"})
    stages = [stage for status, stage in fleet.service.updates("waiting") if stage]
    assert stages.index("waiting") < stages.index("up") and "down" not in stages[:stages.index("waiting")]


def test_a_first_job_that_is_cancelled_stays_away_and_one_that_fails_in_its_probation_says_so(fleet, held, engine):
    fleet.device.start()
    held.hold("config")
    fleet.give("cancelled", fleet.group("one"))
    held.wait_held("config")
    fleet.service.end(THING, "cancelled", "CANCELED")
    fleet.wait_shown(id="cancelled", status="FAILED")
    held.wait_gone()
    fleet.device.stop()
    fleet.device.start()
    status = fleet.device.wait_status(lambda status: status["activity"] == "idle" and status["job"] is None)
    assert status["wanted"] == {"state": "down", "generation": 1} and not engine.containers(everything=True)

    sick = {"healthcheck": "{test: [CMD-SHELL, 'exit 1'], interval: 1s, retries: 1}"}
    status, details = fleet.run("sick", fleet.group("two", sick, policy={"ProbationSeconds": "60"}))
    assert status == "FAILED" and "generation 2 has failed in its probation" in details["reason"]
    assert set(engine.containers()) == {"two"}


def test_a_cancelled_job_does_not_wait_for_its_next_try(fleet, held, engine):
    fleet.device.start()
    assert fleet.run("before", fleet.group("one"))[0] == "SUCCEEDED"
    held.hold("config")
    fleet.give("retried", fleet.group("two"))
    held.wait_held("config")
    fleet.device.crash()
    away = held.path.rename(held.path.with_name("away"))
    fleet.device.start()
    wait_until(lambda: ("IN_PROGRESS", "retry") in fleet.service.updates("retried"), 60, "it does not wait")
    away.rename(held.path)
    fleet.service.end(THING, "retried", "CANCELED")
    status = fleet.wait_shown(id="retried", status="FAILED")
    assert "in the cloud" in status["jobs"]["last"]["reason"]
    assert fleet.run("next", fleet.group("three")) == ("SUCCEEDED", {"generation": "3"})
    assert set(engine.containers()) == {"three"}


def test_the_service_of_the_guide_gives_a_thing_a_job(device, broker, local_image):
    fleet = Fleet(device, broker.over("tcp"), local_image, None)
    device.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    document = fleet.device.folder / "job.json"
    document.write_text(json.dumps(fleet.group("one")))
    fleet.device.start()
    done = subprocess.run([ROOT / "tests/e2e/servers/job_service.py", "127.0.0.1", str(broker.port), THING, "by-hand", document],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1] == 'SUCCEEDED {"generation": "1"}'
    # The service knows a moment before its reply has arrived.
    wait_until(lambda: "lighterman_jobs_unreported 0" in fleet.device.cli("metrics").stdout, 30, "it is not reported")
    assert 'lighterman_jobs_total{status="succeeded"} 1' in fleet.device.cli("metrics").stdout
    assert doctor(fleet.device) == (True, "of 'Gateway', from 127.0.0.1:" + str(broker.port))
    del fleet.device.host["thingName"]
    fleet.device.write_host_file()
    assert doctor(fleet.device) == (False, "the name of this thing is unknown: no jobs are taken")


def doctor(device):
    checks = json.loads(device.cli("doctor", "--json", check=False).stdout)["checks"]
    return next((check["ok"], check["message"]) for check in checks if check["check"] == "jobs")
