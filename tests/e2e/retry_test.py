# SPDX-License-Identifier: Apache-2.0
"""What fails only for a while: a start of lightermand tries until it works, whatever failed and in which stage, and the
application that ran before is what runs meanwhile. A full disk blocks no command."""
import contextlib
import json
import socket

import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.server import free_port

# Longer than the first two pauses between tries: 15 to 30 s, then up to 45.
RETRY_S = 100
# A command that is answered has its answer by then.
ANSWER_S = 45
LOCAL, NO_SPACE = {"DockerPullBeforeUp": "False"}, "No space left on device"


@pytest.fixture
def device(device_with, compose2, broker):
    found = device_with(compose2)
    found.use_broker(broker)
    return found


def deploy_old(device, image, messages, version=7, **more):
    """Generation 1: the one service "old"; lightermand is started for it."""
    parameters = LOCAL if version >= 5 else {}
    device.put_object("ships", "old.yml", compose_file(None, ["old"], image, **more))
    device.start()
    device.deploy(device.group(version, key="old.yml", name="old.json", **parameters))
    assert messages.next_json() == success(key="old.yml")
    device.wait_sent()


def cut_power(device, engine):
    """As a reboot leaves it: containers are there and do not run, as they have no restart policy."""
    device.crash()
    for container in engine.containers().values():
        container.kill()


def assert_failed(message, *words, error="InternalError"):
    assert_failure(message, error, *words)


def assert_waits(device, generation, meanwhile=None):
    """That generation is to run, and is tried again by itself; `meanwhile` is the one that runs."""
    def waits(status):
        return (status["state"], status["job"]) == ("waiting", None) and \
            (meanwhile is None or status["actual"] == {"state": "whole", "generation": meanwhile})

    status = device.wait_status(waits)
    assert status["wanted"] == {"state": "up", "generation": generation}
    assert 0 < status["retry_ms"] <= 30_000


def assert_runs(device, engine, generation, *services):
    """Exactly these run, as status says, and nothing is to be tried."""
    whole = {"state": "whole", "generation": generation}
    status = device.wait_status(lambda status: (status["state"], status["job"], status["actual"]) == ("running", None, whole))
    assert set(engine.containers(everything=True)) == set(engine.containers()) == set(services)
    assert status["deployment"]["generation"] == generation
    assert status["wanted"] == {"state": "up", "generation": generation}
    assert status["retry_ms"] is None


def assert_comes_up(device, engine, messages):
    """Generation 1 does, at one of the next tries, and all that is published of the tries is that."""
    assert messages.next_json(RETRY_S) == success(key="old.yml")
    assert_runs(device, engine, 1, "old")
    device.wait_sent()
    assert messages.none_waits()


# A start by lightermand itself.

@pytest.mark.parametrize("words", ["", "--group"])
def test_a_start_on_a_full_state_disk_is_tried_until_there_is_space(device, state_disk, engine, local_image,
                                                                    status_messages, words):
    deploy_old(device, local_image, status_messages)
    cut_power(device, engine)
    state_disk.fill()
    device.start(device.folder / "old.json" if words else None)
    assert_failed(status_messages.next_json(), NO_SPACE)
    assert_waits(device, 1)
    state_disk.free()
    assert_comes_up(device, engine, status_messages)


def test_a_start_with_an_unreadable_stored_definition_is_tried_until_it_can_be_read(device, engine, local_image,
                                                                                    status_messages):
    """What runs when lightermand starts again runs on meanwhile."""
    deploy_old(device, local_image, status_messages)
    before = engine.containers()["old"].id
    device.crash()
    definition = device.folder / "state/application/generations/1/definition.json"
    whole = definition.read_bytes()
    definition.write_bytes(whole[:len(whole) // 2])
    device.start()
    assert_failed(status_messages.next_json(), "definition of generation 1")
    assert_waits(device, 1)
    assert engine.containers()["old"].id == before
    repaired = definition.with_name("repaired")
    repaired.write_bytes(whole)
    repaired.rename(definition)
    assert_comes_up(device, engine, status_messages)


def test_a_start_goes_on_once_the_outbox_takes_the_status_message_of_before(device, engine, broker, local_image,
                                                                            status_messages):
    outbox = device.folder / f"state/outbox/127.0.0.1_{broker.port}"
    # Directories have the names of its temporary files: no status is taken, to root too.
    refusals = [outbox / f".{number:020}.status.tmp" for number in range(1, 101)]
    for path in refusals:
        path.mkdir(parents=True)
    device.put_object("ships", "old.yml", compose_file(None, ["old"], local_image))
    device.start()
    device.deploy(device.group(key="old.yml", **LOCAL))
    device.wait_log("put the status message into the outbox: ")
    cut_power(device, engine)
    device.start()
    # Whether it waits for the message or not: what could not be stored is sent, and the application comes up.
    device.wait_status(lambda status: status["state"] in ("waiting", "running") and status["job"] is None)
    for path in refusals:
        path.rmdir()
    assert status_messages.next_json(RETRY_S) == success(key="old.yml")
    message = status_messages.next_json(RETRY_S)
    if message["status"] == "fail":
        message = status_messages.next_json(RETRY_S)
    assert message == success(key="old.yml")
    assert_runs(device, engine, 1, "old")
    assert status_messages.none_waits()


def test_a_start_is_tried_until_another_program_leaves_its_port_and_says_so_once(device, held, engine, local_image,
                                                                                 status_messages):
    port = free_port()
    deploy_old(device, local_image, status_messages, ports={"old": port})
    cut_power(device, engine)
    with socket.create_server(("127.0.0.1", port)):
        device.start()
        assert_failed(status_messages.next_json(), str(port))
        assert_waits(device, 1)
        # The next try fails like the first, and is not told.
        held.hold("config")
        held.wait_held("config")
        assert device.status["job"]["kind"] == "deploy"
        held.release()
        status = device.wait_status(lambda status: status["job"] is None)
        assert (status["state"], engine.containers()) == ("waiting", {})
        assert status["retry_ms"] > 0
    assert_comes_up(device, engine, status_messages)


def test_a_start_whose_port_is_taken_in_the_middle_of_it_is_tried_again(device, held, engine, local_image,
                                                                        status_messages):
    """What runs is taken down by then."""
    port = free_port()
    deploy_old(device, local_image, status_messages, ports={"old": port})
    cut_power(device, engine)
    held.hold("down")
    device.start()
    held.wait_held("down")
    with socket.create_server(("127.0.0.1", port)):
        held.release()
        assert_failed(status_messages.next_json(), str(port))
        assert_waits(device, 1)
    assert_comes_up(device, engine, status_messages)


def test_a_start_of_version_4_is_tried_until_its_registry_answers(device, engine, open_registry, open_image,
                                                                  status_messages):
    """`down` comes before `pull` there: what ran when lightermand was killed is down meanwhile."""
    deploy_old(device, open_image, status_messages, version=4)
    device.crash()
    open_registry.stop()
    device.start()
    assert_failed(status_messages.next_json(), open_image)
    assert_waits(device, 1)
    open_registry.start()
    assert_comes_up(device, engine, status_messages)


# A deployment that was interrupted.

class Voyage:
    """Generation 1 is deployed ("old"); generation 2 is to be ("first" and "second", which are pulled)."""

    def __init__(self, device, engine, held, messages):
        self.device, self.engine, self.held, self.messages = device, engine, held, messages
        self.old = engine.containers()["old"].id

    def new_group(self, version=7):
        return self.device.group(version, key="new.yml", name="new.json")

    def cut_power_in_up(self):
        """One service of generation 2 is up, and nothing is left of generation 1."""
        self.held.hold("up")
        self.device.cli("deploy", "--no-wait", self.new_group())
        self.held.wait_held("up")
        assert set(self.engine.containers()) == {"first"}
        cut_power(self.device, self.engine)

    def crash_before_down(self):
        """Generation 1 runs on."""
        self.held.hold("config")
        self.device.cli("deploy", "--no-wait", self.new_group())
        self.held.wait_held("config")
        self.device.crash()

    def assert_old_runs_meanwhile(self):
        """And the failure of generation 2 is published, behind a success of generation 1 that was on its way."""
        message = self.messages.next_json()
        if message == success(key="old.yml"):
            message = self.messages.next_json()
        assert_failed(message)
        assert_waits(self.device, 2, meanwhile=1)
        assert set(self.engine.containers()) == {"old"}

    def next_of_series(self):
        """What ends the series; before it there may be that generation 1 came up, once."""
        message = self.messages.next_json(RETRY_S)
        return self.messages.next_json(RETRY_S) if message == success(key="old.yml") else message

    def assert_new_comes_up(self):
        assert self.next_of_series() == success(key="new.yml")
        assert_runs(self.device, self.engine, 2, "first", "second")
        self.device.wait_sent()
        assert self.messages.none_waits()


@pytest.fixture
def voyage(device, held, engine, local_image, open_image, status_messages):
    deploy_old(device, local_image, status_messages)
    device.put_object("ships", "new.yml", compose_file(None, ["first", "second"], open_image))
    return Voyage(device, engine, held, status_messages)


@pytest.fixture(params=["store", "registry"])
def away(request, device, open_registry):
    """away(): one of what generation 2 needs is away, in that context."""
    @contextlib.contextmanager
    def registry_away():
        open_registry.stop()
        yield
        open_registry.start()

    return device.store_away if request.param == "store" else registry_away


def test_a_deployment_interrupted_in_up_is_finished_once_the_network_is_back(voyage, device, away):
    voyage.cut_power_in_up()
    with away():
        device.start()
        voyage.assert_old_runs_meanwhile()
    voyage.assert_new_comes_up()


def test_a_deployment_interrupted_before_down_is_finished_once_the_network_is_back(voyage, device, engine, away):
    voyage.crash_before_down()
    with away():
        device.start()
        voyage.assert_old_runs_meanwhile()
        assert engine.containers()["old"].id == voyage.old  # nothing has stopped it
    voyage.assert_new_comes_up()


def test_an_interrupted_deployment_is_not_forgotten_by_another_power_cut_while_it_waits(voyage, device, engine):
    voyage.cut_power_in_up()
    with device.store_away():
        device.start()
        voyage.assert_old_runs_meanwhile()
        if not voyage.messages.none_waits():
            assert voyage.messages.next_json() == success(key="old.yml")
        device.wait_sent()
        cut_power(device, engine)
        device.start()
        voyage.assert_old_runs_meanwhile()
    voyage.assert_new_comes_up()


def test_tries_that_end_in_a_definite_failure_publish_it_and_the_last_good_one_runs(voyage, device, engine):
    voyage.cut_power_in_up()
    with device.store_away() as store:
        device.start()
        voyage.assert_old_runs_meanwhile()
        (store / "ships/new.yml").unlink()
    assert_failed(voyage.next_of_series(), "has no object 'new.yml'", error="InvalidParameter")
    assert_runs(device, engine, 1, "old")
    last = device.status["last_deployment"]
    if last["generation"] == 2:
        assert "has no object 'new.yml'" in last["message"]


def test_tries_of_the_only_generation_that_end_in_a_definite_failure_publish_it(device, engine, local_image,
                                                                                status_messages):
    deploy_old(device, local_image, status_messages)
    device.put_object("ships", "another.yml", "")
    cut_power(device, engine)
    with device.store_away() as store:
        device.start()
        assert_failed(status_messages.next_json())
        assert_waits(device, 1)
        (store / "ships/old.yml").unlink()
    assert_failed(status_messages.next_json(RETRY_S), "has no object 'old.yml'", error="InvalidParameter")
    status = device.wait_status(lambda status: status["state"] == "failed" and status["job"] is None)
    assert status["retry_ms"] is None
    assert engine.containers() == {}
    assert status_messages.none_waits()


# A deployment over another that is half done.

def order_missing(device, messages):
    """Orders a deployment of an object that does not exist; returns the answer, once its failure is published."""
    bad = device.group(key="none.yml", name="bad.json", **LOCAL)
    done = device.cli("deploy", bad, "--json", check=False, timeout=ANSWER_S)
    assert done.returncode == 1, done
    message = messages.next_json()
    if "superseded" in message.get("error_message", ""):  # of the one before
        message = messages.next_json()
    assert_failed(message, "has no object 'none.yml'", error="InvalidParameter")
    assert "was not changed" not in message["error_message"]
    return json.loads(done.stdout)


@pytest.mark.parametrize("version, stage", [(7, "up"), (4, "pull")])
def test_a_bad_deployment_over_one_that_is_half_done_brings_the_last_good_one_back(voyage, device, held, engine,
                                                                                   open_registry, status_messages,
                                                                                   version, stage):
    with contextlib.ExitStack() as frozen:
        held.hold("down" if stage == "pull" else "up")
        with device.begin(voyage.new_group(version)) as deployment:
            if stage == "pull":
                held.wait_held("down")
                frozen.enter_context(open_registry.frozen())
                held.release()
                deployment.until("pull")
                assert engine.containers() == {}
            else:
                held.wait_held("up")
                assert set(engine.containers()) == {"first"}
            answer = order_missing(device, status_messages)
            superseded = deployment.end()
    assert (superseded["exit"], superseded["message"]) == (1, "superseded by a newer deployment")
    assert answer["effect"] not in (None, "untouched"), answer
    assert "had already changed the running application, so generation 1 is started again" in answer["message"]
    assert status_messages.next_json() == success(key="old.yml")
    assert_runs(device, engine, 1, "old")
    device.wait_sent()
    assert status_messages.none_waits()


def test_a_bad_deployment_over_one_that_has_touched_nothing_leaves_what_runs_alone(voyage, device, held, engine,
                                                                                   status_messages):
    held.hold("config")
    with device.begin(voyage.new_group()) as deployment:
        held.wait_held("config")
        answer = order_missing(device, status_messages)
        assert deployment.end()["exit"] == 1
    assert answer["effect"] == "untouched"
    assert engine.containers()["old"].id == voyage.old
    assert_runs(device, engine, 1, "old")
    device.wait_sent()
    assert status_messages.none_waits()


# A state directory without a byte.

class Outcome:
    """A deployment of "first" and "second" whose outcome cannot be recorded, as the disk is full since its `up`."""

    def __init__(self, device, state_disk, held, messages, local_image):
        self.device, self.disk, self.messages = device, state_disk, messages
        self.group = device.local_group(["first", "second"], local_image, key="both.yml", name="both.json")
        self.other = device.local_group(["other"], local_image, key="other.yml", name="other.json")
        held.hold("up")
        device.start()
        with device.control("deploy", group=self.group.read_text(), wait=True, timeout=ANSWER_S) as deployment:
            held.wait_held("up")
            state_disk.fill()
            held.release()
            assert messages.next_json() == success(key="both.yml")
            assert deployment.end()["exit"] == 0
        state_disk.fill()

    def command(self, *words):
        """It is done in spite of the full disk, or is answered with what is wrong and done once there is space."""
        done = self.device.cli(*words, check=False, timeout=ANSWER_S)
        if done.returncode == 0:
            return
        assert done.returncode == 1 and NO_SPACE in done.stderr, done
        self.make_space()
        self.device.cli(*words, timeout=ANSWER_S)

    def make_space(self):
        with contextlib.suppress(FileNotFoundError):
            self.disk.free()

    def next_message(self):
        """Of a command; before it there may be that it was refused for the disk, as that was answered."""
        message = self.messages.next_json()
        return self.messages.next_json() if NO_SPACE in message.get("error_message", "") else message

    def assert_recorded_once(self):
        """All that happened is recorded once there is space, and nothing is published twice."""
        self.make_space()
        self.device.wait_sent()
        status = self.device.wait_status(lambda status: (status["last_deployment"] or {}).get("success"))
        assert self.messages.none_waits()
        return status


@pytest.fixture
def outcome(device, state_disk, held, status_messages, local_image):
    return Outcome(device, state_disk, held, status_messages, local_image)


def test_a_full_state_disk_while_an_outcome_is_recorded_does_not_block_stop(outcome, device, engine):
    outcome.command("stop")
    assert device.status["state"] == "stopped"
    assert engine.containers(everything=True) == {}
    # Whatever of it is recorded: the application stays down.
    device.crash()
    device.start()
    device.wait_status(lambda status: status["state"] == "stopped" and status["job"] is None)
    assert engine.containers(everything=True) == {}
    outcome.make_space()
    assert outcome.messages.none_waits()
    device.cli("start", timeout=ANSWER_S)
    assert outcome.messages.next_json() == success(key="both.yml")
    assert_runs(device, engine, 1, "first", "second")


def test_a_full_state_disk_while_an_outcome_is_recorded_does_not_block_start(outcome, device, engine):
    outcome.command("start")
    assert outcome.next_message() == success(key="both.yml")
    outcome.assert_recorded_once()
    assert_runs(device, engine, 1, "first", "second")


def test_a_full_state_disk_while_an_outcome_is_recorded_does_not_block_deploy(outcome, device, engine):
    outcome.command("deploy", outcome.other)
    assert outcome.next_message() == success(key="other.yml")
    outcome.assert_recorded_once()
    generation = device.status["deployment"]["generation"]
    assert_runs(device, engine, generation, "other")
    device.crash()
    device.start()
    assert outcome.messages.next_json() == success(key="other.yml")
    assert_runs(device, engine, generation, "other")


def test_an_outcome_that_a_full_state_disk_refused_is_recorded_later(outcome, device, engine):
    assert set(engine.containers()) == {"first", "second"}
    status = outcome.assert_recorded_once()
    assert (status["last_deployment"]["generation"], status["deployment"]["generation"]) == (1, 1)
    assert_runs(device, engine, 1, "first", "second")


def test_a_failure_that_a_full_state_disk_keeps_from_being_recorded_is_answered_and_published(
        device, state_disk, held, engine, local_image, status_messages):
    port = free_port()
    device.put_object("ships", "both.yml", compose_file(None, ["first", "second"], local_image, ports={"second": port}))
    group = device.group(key="both.yml", **LOCAL)
    held.hold("up")
    device.start()
    with device.control("deploy", group=group.read_text(), wait=True, timeout=ANSWER_S) as deployment:
        held.wait_held("up")
        state_disk.fill()
        with socket.create_server(("127.0.0.1", port)):
            held.release()
            assert_failed(status_messages.next_json(), str(port))
            last = deployment.end()
    assert last["exit"] == 1 and str(port) in last["message"], last
    state_disk.free()
    device.deploy(group, timeout=ANSWER_S)
    assert status_messages.next_json() == success(key="both.yml")
    status = device.status
    assert (status["state"], status["last_deployment"]["success"]) == ("running", True)
    assert set(engine.containers(everything=True)) == {"first", "second"}
    device.wait_sent()
    assert status_messages.none_waits()
