# SPDX-License-Identifier: Apache-2.0
"""What failed after it had changed the application gives way to what ran before, by itself or by a person: whatever happens
meanwhile, and for good."""
import contextlib
import json
import signal
import time

import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.server import wait_until

LOCAL = {"DockerPullBeforeUp": "False"}
ROLLS_BACK = {"RollbackOnFailure": "true"}
# With this, docker-compose fails in `up`.
MISSING = "/no/such/program"
BROKEN = {"entrypoint": f"[{MISSING}]"}
GATED = {"WaitHealthy": "true", "HealthTimeoutSeconds": "60", "StableSeconds": "1", **ROLLS_BACK}
# Long enough that it does not end while a test looks at it, and short enough to be awaited.
PROBATION_S = 600
SOON_S = 3

FINE = "trap 'exit 0' TERM; sleep 1000000 & wait"


class Fleet:
    """A device whose definitions are known by a letter: each has a compose file of its own, with one service of that name."""

    def __init__(self, device, engine, image, messages):
        self.device, self.engine, self.image, self.messages = device, engine, image, messages

    def group(self, letter, policy=None, command=None, version=7, service=None, **extra):
        """The group file of a definition; `command`: what its service runs instead of waiting."""
        name = service or letter
        text = compose_file(None, [name], self.image, **extra)
        if command:
            text = f"services:\n  {name}:\n    image: {self.image}\n    stop_grace_period: 1s\n" \
                   f"    command: [sh, -c, {json.dumps(command)}]\n" + "".join(f"    {k}: {v}\n" for k, v in extra.items())
        self.device.put_object("ships", f"{letter}.yml", text)
        parameters = LOCAL if version >= 5 else {}
        return self.device.group(version, policy, key=f"{letter}.yml", name=f"{letter}.json", **parameters)

    def deploy(self, *arguments, **more):
        """Deploys a definition with success."""
        path = self.group(*arguments, **more)
        self.device.deploy(path)
        assert self.messages.next_json() == self.success(arguments[0])
        self.device.wait_sent()
        return path

    def fail(self, path, *words, code=1):
        """Orders a deployment that fails and is rolled back; returns the last line of the answer."""
        with self.device.begin(path) as deployment:
            last = deployment.end()
        assert last["exit"] == code, last
        for word in words:
            assert word in last["message"], (word, last)
        return last

    @staticmethod
    def success(letter):
        return success(key=f"{letter}.yml")

    def assert_published(self, *words):
        assert_failure(self.messages.next_json(), "InternalError", *words)

    def assert_runs(self, generation, *services):
        whole = {"state": "whole", "generation": generation}
        status = self.device.wait_status(
            lambda status: (status["state"], status["job"], status["actual"]) == ("running", None, whole))
        assert set(self.engine.containers(everything=True)) == set(self.engine.containers()) == set(services)
        assert status["deployment"]["generation"] == generation
        assert status["wanted"] == {"state": "up", "generation": generation}
        assert status["retry_ms"] is None
        return status

    def assert_nothing_more(self):
        self.device.wait_sent()
        assert self.messages.none_waits()

    def quarantined(self):
        """The generations that are."""
        folder = self.device.folder / "state/application/generations"
        return {int(path.parent.name) for path in folder.glob("*/quarantine*")}

    def why_quarantined(self, generation):
        text = (self.device.folder / f"state/application/generations/{generation}/quarantine.json").read_text()
        return json.loads(text.split("\n", 1)[1])["reason"]  # behind its header

    def last_good(self):
        return int((self.device.folder / "state/application/last-good").readlink().name)


def gate(fleet, name):
    """A folder that containers have as /gate; what is in it decides what they do."""
    folder = fleet.device.folder / name
    folder.mkdir()
    return folder, f"['{folder}:/gate']"


@pytest.fixture
def fleet_with(device_with, engine, local_image, broker, status_messages):
    def make(compose):
        device = device_with(compose)
        device.use_broker(broker)
        return Fleet(device, engine, local_image, status_messages)

    return make


@pytest.fixture
def fleet(device, engine, local_image, broker, status_messages):
    device.use_broker(broker)
    return Fleet(device, engine, local_image, status_messages)


# A deployment that a person ordered.


def test_a_failed_up_is_rolled_back_and_the_answer_waits_for_that(fleet_with, compose):
    fleet = fleet_with(compose)
    fleet.device.start()
    fleet.deploy("old")
    bad = fleet.group("new", ROLLS_BACK, **BROKEN)
    done = fleet.device.deploy(bad, status=1)
    assert MISSING in done.stderr and "; generation 1 runs again" in done.stderr
    fleet.assert_published(MISSING, "; generation 1 is started again")
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(1, "old")
    assert fleet.quarantined() == {2} and MISSING in fleet.why_quarantined(2)
    assert "generation 2 is quarantined" in fleet.device.log
    fleet.assert_nothing_more()


def test_without_the_policy_what_a_failed_up_has_done_stays(fleet):
    fleet.device.start()
    fleet.deploy("old")
    last = fleet.fail(fleet.group("new", **BROKEN), MISSING)
    assert last["effect"] == "starting"
    fleet.assert_published(MISSING)
    assert fleet.device.wait_status(lambda status: status["job"] is None)["state"] == "failed"
    assert fleet.quarantined() == set()
    fleet.assert_nothing_more()


def test_a_failed_health_gate_is_rolled_back(fleet_with, compose):
    fleet = fleet_with(compose)
    fleet.device.start()
    fleet.deploy("old")
    fleet.fail(fleet.group("new", GATED, command="exit 7"), "exit code 7", "generation 1 runs again")
    fleet.assert_published("exit code 7", "generation 1 is started again")
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(1, "old")
    assert fleet.quarantined() == {2}
    fleet.assert_nothing_more()


def test_a_rollback_needs_no_store_and_no_registry_and_starts_what_ran(fleet, engine, s3, open_registry, open_image):
    """Not what the store has under that name by now, nor what the tag names."""
    device = fleet.device
    device.use_s3(s3)
    bucket = "e2e-rollback"
    if bucket not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket(bucket)

    def put(key, *services, **more):
        s3.put(bucket, key, compose_file(None, services, open_image, **more).encode())

    put("app.yml", "old")
    device.start()
    device.deploy(device.group(bucket=bucket, key="app.yml", name="old.json"))
    assert fleet.messages.next_json() == success(bucket=bucket, key="app.yml")
    before = engine.containers()["old"].image.id
    put("app.yml", "other")
    put("new.yml", "new", **BROKEN)
    group = device.group(bucket=bucket, key="new.yml", name="new.json", policy=ROLLS_BACK)
    with device.begin(group) as deployment:
        deployment.until("up")
        with s3.frozen(), open_registry.frozen():
            last = deployment.end()
    assert (last["exit"], last["message"].endswith("; generation 1 runs again")) == (1, True), last
    fleet.assert_runs(1, "old")
    assert engine.containers()["old"].image.id == before
    fleet.assert_published("generation 1 is started again")
    assert fleet.messages.next_json() == success(bucket=bucket, key="app.yml")
    fleet.assert_nothing_more()


def test_a_rollback_starts_what_ran_although_the_names_are_of_something_else_by_now(fleet, engine):
    """The tag is of another image, and the store has another file: both could be had."""
    device, tag = fleet.device, "harbour/moved:1"
    fleet.image = engine.make_image(tag, release="1")
    device.start()
    fleet.deploy("old")
    before = engine.containers()["old"].image.id
    moved = engine.docker.images.get(engine.make_image(tag, release="2")).id
    assert moved != before
    device.put_object("ships", "old.yml", compose_file(None, ["other"], tag))
    fleet.fail(fleet.group("new", ROLLS_BACK, **BROKEN), MISSING, "; generation 1 runs again")
    fleet.assert_published(MISSING, "; generation 1 is started again")
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(1, "old")
    assert engine.containers()["old"].image.id == before
    fleet.assert_nothing_more()


def test_what_was_stopped_is_stopped_again(fleet):
    fleet.device.start()
    fleet.deploy("old")
    fleet.device.cli("stop")
    fleet.fail(fleet.group("new", ROLLS_BACK, **BROKEN), "; the application is stopped again")
    fleet.assert_published(MISSING, "; the application is stopped again")
    assert fleet.device.status["state"] == "stopped" and fleet.engine.containers(everything=True) == {}
    fleet.device.cli("start")
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(1, "old")
    fleet.assert_nothing_more()


def test_a_first_deployment_that_fails_has_nothing_to_go_back_to(fleet):
    fleet.device.start()
    last = fleet.fail(fleet.group("new", ROLLS_BACK, **BROKEN), MISSING)
    assert "again" not in last["message"]
    fleet.assert_published(MISSING)
    assert fleet.quarantined() == set()
    fleet.assert_nothing_more()


# What is quarantined stays so.


@pytest.fixture
def quarantined(fleet):
    """fleet, with generation 2 rolled back; lightermand was started with the group file of that."""
    fleet.device.start()
    fleet.deploy("old")
    fleet.file = fleet.group("new", GATED, command="exit 7")
    fleet.fail(fleet.file, "generation 1 runs again")
    fleet.assert_published("generation 1 is started again")
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(1, "old")
    fleet.device.wait_sent()
    return fleet


def assert_skipped(fleet, generation, name):
    """By a start with the group file of generation 2, and by SIGHUP: that generation runs on."""
    device, skipped = fleet.device, "is that of generation 2, which is quarantined"
    assert device.stop() == 0
    device.start(fleet.file)
    assert fleet.messages.next_json() == fleet.success(name)
    fleet.assert_runs(generation, name)
    assert device.log.count(skipped) == 1
    device.send(signal.SIGHUP)
    wait_until(lambda: device.log.count(skipped) == 2, 60, lambda: device.log)


def test_nothing_but_a_person_or_another_definition_tries_it_again(quarantined):
    device = quarantined.device
    assert_skipped(quarantined, 1, "old")
    quarantined.assert_runs(1, "old")
    assert device.status["deployment"]["generation"] == 1
    # A person tries it again, and it fails again.
    quarantined.fail(quarantined.file, "exit code 7", "generation 1 runs again")
    assert quarantined.quarantined() == {2, 3}
    quarantined.assert_published("generation 1 is started again")
    assert quarantined.messages.next_json() == quarantined.success("old")
    # With other words it is another one.
    quarantined.group("new", GATED)
    device.send(signal.SIGHUP)
    wait_until(lambda: device.log.count("is that of generation 3, which is quarantined") == 1, 60, lambda: device.log)
    text = json.loads(quarantined.file.read_text())
    text["Connectors"][0]["Policy"]["StableSeconds"] = "2"
    quarantined.file.write_text(json.dumps(text))
    device.send(signal.SIGHUP)
    assert quarantined.messages.next_json() == quarantined.success("new")
    quarantined.assert_runs(4, "new")
    quarantined.assert_nothing_more()


def test_it_stays_quarantined_when_its_generation_is_not_kept_any_more(quarantined):
    device = quarantined.device
    quarantined.deploy("third")
    quarantined.deploy("fourth", {"KeepGenerations": "2"})
    assert not (device.folder / "state/application/generations/2").exists()
    assert [entry["generation"] for entry in device.status["quarantine"]] == [2]
    assert_skipped(quarantined, 4, "fourth")
    # A person tries it again: from now on it is not.
    quarantined.fail(quarantined.file, "exit code 7", "generation 4 runs again")
    assert [entry["generation"] for entry in device.status["quarantine"]] == [5]


def test_a_person_who_goes_back_to_it_lifts_it(quarantined):
    """And quarantines what is left; by number it goes there and back again."""
    device = quarantined.device
    last = device.ask("rollback", generation=2)
    assert last["exit"] == 2 and "was never deployed successfully" in last["message"], last
    quarantined.deploy("third")
    assert device.ask("rollback")["exit"] == 0
    assert quarantined.messages.next_json() == quarantined.success("old")
    quarantined.assert_runs(1, "old")
    assert quarantined.quarantined() == {2, 3} and quarantined.why_quarantined(3) == "rolled back by a person"
    assert device.ask("rollback", generation=3)["exit"] == 0
    assert quarantined.messages.next_json() == quarantined.success("third")
    quarantined.assert_runs(3, "third")
    assert quarantined.quarantined() == {1, 2}
    for generation, status, words in ((9, 2, "no such generation"), (3, 1, "generation 3 runs already"),
                                      (0, 1, "no earlier generation")):
        last = device.ask("rollback", generation=generation)
        assert last["exit"] == status and words in last["message"], last
    quarantined.assert_nothing_more()


# An attempt that lightermand makes by itself.


@pytest.fixture
def interrupted(device, held, engine, local_image, broker, status_messages):
    """Generation 2 is killed in the middle of its `up`, by what looks like a power cut."""
    device.use_broker(broker)
    fleet = Fleet(device, engine, local_image, status_messages)
    fleet.text = compose_file(None, ["first", "second"], local_image)
    device.start()
    fleet.deploy("old")
    device.put_object("ships", "new.yml", fleet.text)
    held.hold("up")
    device.cli("deploy", "--no-wait", device.group(policy=ROLLS_BACK, key="new.yml", name="new.json", **LOCAL))
    held.wait_held("up")
    device.crash()
    return fleet


def test_a_resumed_attempt_that_fails_is_rolled_back(interrupted):
    broken = interrupted.text.replace("  second:\n", f"  second:\n    entrypoint: [{MISSING}]\n")
    interrupted.device.put_object("ships", "new.yml", broken)
    interrupted.device.start()
    interrupted.assert_published(MISSING, "generation 1 is started again")
    assert interrupted.messages.next_json() == interrupted.success("old")
    interrupted.assert_runs(1, "old")
    assert interrupted.quarantined() == {2}
    interrupted.assert_nothing_more()


def test_a_resumed_attempt_that_does_not_come_that_far_is_tried_again(interrupted):
    with interrupted.device.store_away():
        interrupted.device.start()
        interrupted.assert_published()
        interrupted.device.wait_status(lambda status: status["state"] == "waiting" and
                                       status["actual"] == {"state": "whole", "generation": 1})
        assert set(interrupted.engine.containers()) == {"old"}
        assert interrupted.quarantined() == set()
    assert interrupted.messages.next_json(100) in (interrupted.success("old"), interrupted.success("new"))
    interrupted.assert_runs(2, "first", "second")


# A rollback that is disturbed.


@pytest.fixture
def rolling(device, held, engine, local_image, broker, status_messages):
    """A rollback from generation 2 to 1 that is held at its `up`; `answer` is that of the deployment."""
    device.use_broker(broker)
    fleet = Fleet(device, engine, local_image, status_messages)
    fleet.held = held
    device.start()
    # `first` runs when its `up` is held.
    fleet.deploy("old", service="first")
    held.hold("up")
    fleet.answer = device.begin(fleet.group("new", GATED, command="exit 7", service="first")).end_later()
    held.wait_held("up")
    held.release()
    held.hold("up")
    held.wait_held("up")
    return fleet


@pytest.mark.parametrize("how", ["kill", "crash", "engine"])
def test_a_rollback_that_is_cut_short_goes_on_at_the_next_start(rolling, how):
    device = rolling.device
    rolling.assert_published("exit code 7", "generation 1 is started again")
    device.wait_sent()
    if how == "kill":
        device.kill()
    elif how == "crash":
        device.crash()
    else:
        device.crash()
        rolling.engine.crash()
        rolling.engine.start()
    with device.store_away():
        device.start()
        assert rolling.messages.next_json(100) == rolling.success("old")
        rolling.assert_runs(1, "first")
    assert rolling.quarantined() == {2}
    rolling.assert_nothing_more()


def test_a_stop_during_a_rollback_wins(rolling):
    device = rolling.device
    stop = device.control("stop").end_later()
    last = rolling.answer.result(120)
    assert last["exit"] == 1 and "could not be started again: the application is to be stopped" in last["message"], last
    assert stop.result(120)["exit"] == 0
    assert rolling.engine.containers(everything=True) == {} and device.status["state"] == "stopped"
    rolling.assert_published("exit code 7")
    with device.store_away():  # a start goes on with it
        device.cli("start")
    assert rolling.messages.next_json() == rolling.success("old")
    rolling.assert_runs(1, "first")
    assert rolling.quarantined() == {2}
    rolling.assert_nothing_more()


def test_a_deployment_during_a_rollback_takes_its_place(rolling):
    third = rolling.device.begin(rolling.group("third")).end_later()
    last = rolling.answer.result(120)
    assert last["exit"] == 1 and "superseded by a newer deployment" in last["message"], last
    assert third.result(120)["exit"] == 0
    rolling.assert_published("exit code 7")
    assert rolling.messages.next_json() == rolling.success("third")
    rolling.assert_runs(3, "third")
    rolling.assert_nothing_more()


def test_a_rollback_that_fails_is_published_and_tried_again(rolling):
    device = rolling.device
    rolling.assert_published("exit code 7")
    # docker-compose finds nothing to talk to: the engine is away for a moment.
    with rolling.engine.away():
        rolling.held.release()
        last = rolling.answer.result(120)
    assert last["exit"] == 1, last
    assert "generation 1 could not be started again: " in last["message"] and last["message"].endswith(", retrying"), last
    rolling.assert_published()
    assert rolling.messages.next_json(100) == rolling.success("old")
    rolling.assert_runs(1, "first")
    assert rolling.quarantined() == {2}
    rolling.assert_nothing_more()


def test_a_full_state_disk_delays_a_rollback(device, state_disk, held, engine, local_image, broker, status_messages):
    device.use_broker(broker)
    fleet = Fleet(device, engine, local_image, status_messages)
    device.start()
    fleet.deploy("old")
    bad = fleet.group("new", GATED, command="exit 7", service="first")
    held.hold("up")
    answer = device.begin(bad).end_later()
    held.wait_held("up")
    state_disk.fill()
    held.release()
    last = answer.result(120)
    assert last["exit"] == 1 and "exit code 7" in last["message"], last
    fleet.assert_published("exit code 7", "generation 1 is started again")
    with contextlib.suppress(FileNotFoundError):
        state_disk.free()
    wait_until(lambda: fleet.messages.next_json(100) == fleet.success("old"), 120, "generation 1 does not come up")
    fleet.assert_runs(1, "old")
    assert fleet.quarantined() == {2}


# A person goes back.


def test_a_rollback_that_fails_before_it_changes_anything_leaves_all_as_it_was(fleet):
    device = fleet.device
    device.start()
    fleet.deploy("old")
    fleet.deploy("new")
    device.wait_sent()
    container = fleet.engine.containers()["new"].id
    away = device.destination.with_name("away")
    device.destination.rename(away)
    last = device.ask("rollback")
    away.rename(device.destination)
    assert last["exit"] == 1 and last["effect"] == "untouched", last
    assert fleet.messages.next_json()["status"] == "fail"
    fleet.assert_runs(2, "new")
    assert fleet.engine.containers()["new"].id == container and fleet.quarantined() == set()
    fleet.assert_nothing_more()


def test_a_rollback_that_fails_later_is_rolled_back_itself(fleet):
    fleet.device.start()
    folder, volumes = gate(fleet, "gate")
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{FINE}\n")
    program.chmod(0o755)
    fleet.deploy("old", ROLLS_BACK, volumes=volumes, entrypoint="[/gate/program]")
    fleet.deploy("new")
    program.unlink()
    last = fleet.device.ask("rollback")
    assert last["exit"] == 1 and "/gate/program" in last["message"] and "; generation 2 runs again" in last["message"], last
    fleet.assert_published("/gate/program", "generation 2 is started again")
    assert fleet.messages.next_json() == fleet.success("new")
    fleet.assert_runs(2, "new")
    assert fleet.quarantined() == {1}
    fleet.assert_nothing_more()


def test_a_rollback_of_a_deployment_that_failed_goes_to_what_ran(fleet):
    """And quarantines that, so that the group file does not bring it back."""
    fleet.device.start()
    fleet.deploy("older")
    fleet.deploy("old")
    path = fleet.group("new", **BROKEN)
    fleet.fail(path, MISSING)
    fleet.assert_published(MISSING)
    assert fleet.device.ask("rollback")["exit"] == 0
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(2, "old")
    assert fleet.quarantined() == {3}
    assert fleet.device.stop() == 0
    fleet.device.start(path)
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(2, "old")
    fleet.assert_nothing_more()


@pytest.mark.parametrize("restarts", (False, True))
def test_a_stop_does_not_change_what_a_rollback_leaves(fleet, restarts):
    fleet.device.start()
    fleet.deploy("older")
    fleet.deploy("old")
    path = fleet.group("new", **BROKEN)
    fleet.fail(path, MISSING)
    fleet.assert_published(MISSING)
    fleet.device.cli("stop")
    if restarts:
        assert fleet.device.stop() == 0
        fleet.device.start()
    assert fleet.device.ask("rollback")["exit"] == 0
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(2, "old")
    assert fleet.quarantined() == {3} and fleet.why_quarantined(3) == "rolled back by a person"
    fleet.assert_nothing_more()


# Probation.



def on_probation(seconds=PROBATION_S, **more):
    return {"ProbationSeconds": str(seconds), **more}


# Runs until there is /gate/bad, and then ends again and again.
CRASHES = "trap 'exit 0' TERM; until cat /gate/bad >/dev/null 2>&1; do sleep 0.1; done; exit 3"
SICK = "{test: [CMD-SHELL, '! cat /gate/bad'], interval: 1s, retries: 1}"


def deploy_on_probation(fleet, how, policy=None):
    """Generation 2, on probation after generation 1; returns what makes it fail when it is touched."""
    folder, volumes = gate(fleet, "gate")
    fleet.deploy("old")
    if how == "crash":
        fleet.deploy("new", policy or on_probation(), command=CRASHES, volumes=volumes, restart="always")
    else:
        fleet.deploy("new", policy or on_probation(), command=FINE, volumes=volumes, healthcheck=SICK)
    fleet.assert_runs(2, "new")
    assert fleet.last_good() == 1
    return folder / "bad"


WORDS = {"crash": "is in a crash loop (exit code 3)", "unhealthy": "is unhealthy"}


@pytest.mark.parametrize("how", ["crash", "unhealthy"])
def test_what_does_not_run_well_in_its_probation_is_rolled_back(fleet_with, compose, how):
    fleet = fleet_with(compose)
    fleet.device.start()
    bad = deploy_on_probation(fleet, how)
    bad.touch()
    fleet.assert_published("generation 2 has failed in its probation", WORDS[how], "; generation 1 is started again")
    assert fleet.messages.next_json() == fleet.success("old")
    status = fleet.assert_runs(1, "old")
    assert fleet.quarantined() == {2} and fleet.last_good() == 1
    assert WORDS[how] in fleet.why_quarantined(2)
    assert status["deployment"]["generation"] == 1
    fleet.assert_nothing_more()


def test_what_runs_well_for_so_long_is_the_last_good_one(fleet):
    fleet.device.start()
    fleet.deploy("old")
    fleet.deploy("new", on_probation(SOON_S))
    wait_until(lambda: fleet.last_good() == 2, 60, lambda: fleet.device.log)
    fleet.device.wait_log("generation 2 has passed its probation")
    assert fleet.quarantined() == set()
    fleet.assert_runs(2, "new")
    fleet.assert_nothing_more()


def test_a_crash_loop_after_the_probation_changes_nothing(fleet):
    fleet.device.start()
    bad = deploy_on_probation(fleet, "crash", on_probation(SOON_S))
    wait_until(lambda: fleet.last_good() == 2, 60, lambda: fleet.device.log)
    bad.touch()
    fleet.device.wait_status(lambda status: status["containers"][0]["loop"])
    assert fleet.device.status["wanted"]["generation"] == 2
    assert fleet.quarantined() == set()
    fleet.assert_nothing_more()


@pytest.mark.parametrize("how", ["kill", "engine"])
def test_an_unclean_stop_begins_the_probation_anew(fleet, how):
    device = fleet.device
    device.start()
    bad = deploy_on_probation(fleet, "crash")
    device.crash()
    if how == "engine":
        fleet.engine.crash()
        fleet.engine.start()
    device.start()
    assert fleet.messages.next_json() == fleet.success("new")
    wait_until(lambda: device.log.count("generation 2 is on probation") == 2, 60, lambda: device.log)
    bad.touch()
    fleet.assert_published("has failed in its probation")
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(1, "old")
    assert fleet.quarantined() == {2}
    fleet.assert_nothing_more()


def test_a_stop_and_a_start_begin_the_probation_anew(fleet):
    device = fleet.device
    device.start()
    deploy_on_probation(fleet, "crash")
    device.cli("stop")
    assert fleet.last_good() == 1
    device.cli("start")
    assert fleet.messages.next_json() == fleet.success("new")
    wait_until(lambda: device.log.count("generation 2 is on probation") == 2, 60, lambda: device.log)
    fleet.assert_nothing_more()


def test_time_without_the_engine_does_not_count(fleet, lasting_engine):
    device, seconds = fleet.device, 5
    device.start()
    fleet.deploy("old")
    fleet.deploy("new", on_probation(seconds))
    with lasting_engine.away():
        device.wait_log("lost the Docker event stream")
        end = time.monotonic() + seconds + 1
        wait_until(lambda: time.monotonic() > end, 60, "time stands still")
        assert fleet.last_good() == 1
    wait_until(lambda: fleet.last_good() == 2, 60, lambda: device.log)


def test_the_only_generation_keeps_running_and_that_is_published(fleet):
    folder, volumes = gate(fleet, "gate")
    fleet.device.start()
    fleet.deploy("only", on_probation(SOON_S * 5), command=FINE, volumes=volumes, healthcheck=SICK)
    bad = folder / "bad"
    bad.touch()
    fleet.assert_published("generation 1 has failed in its probation", "is unhealthy", "it keeps running")
    fleet.assert_runs(1, "only")
    assert fleet.quarantined() == set()
    assert not (fleet.device.folder / "state/application/last-good").is_symlink()
    bad.unlink()  # it proves itself after all
    fleet.device.wait_log("generation 1 has passed its probation", 120)
    assert fleet.last_good() == 1
    fleet.assert_nothing_more()


@pytest.mark.parametrize("saved", [False, True], ids=["before what is wanted is saved", "before its failure is recorded"])
def test_a_kill_between_the_quarantine_and_what_follows_ends_in_the_rollback(fleet, saved):
    """As if lightermand had been killed there: the disk is put back to what it was, but for the quarantine."""
    device = fleet.device
    device.start()
    deploy_on_probation(fleet, "crash")
    application = device.folder / "state/application"
    generation = application / "generations/2"
    links = {name: (application / name).readlink() for name in ("wanted", "current")}
    files = {name: (generation / name).read_bytes() for name in ("outcome.json", "reported")}
    device.wait_sent()
    (device.folder / "gate/bad").touch()
    fleet.assert_published("has failed in its probation")
    assert fleet.messages.next_json() == fleet.success("old")
    device.wait_sent()
    device.crash()
    if saved:
        links["wanted"] = "up 1 touched from 2"
    for name, text in links.items():
        (application / name).unlink()
        (application / name).symlink_to(text)
    for name, data in files.items():
        (generation / name).write_bytes(data)
    device.start()
    fleet.assert_published("generation 2 has failed in its probation", "is in a crash loop", "; generation 1 is started again")
    assert fleet.messages.next_json() == fleet.success("old")
    fleet.assert_runs(1, "old")
    assert fleet.quarantined() == {2}
    fleet.assert_nothing_more()
