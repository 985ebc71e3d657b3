# SPDX-License-Identifier: Apache-2.0
"""`lighterman stop` lasts: whatever comes between, in the end nothing runs, and the state is `stopped` only then."""
import contextlib
import json
import os
import shutil
import signal

import pytest

from device import workers
from documents import assert_failure, success
from servers.engine import PROJECT, compose_file
from servers.server import wait_until
from watch import running

STAGES = ("down", "fetch", "resolve", "authenticate", "pull", "up")
HERE = {"DockerPullBeforeUp": "False"}


def assert_stopped(device, engine, seconds=90):
    """It comes to that; a teardown that failed is tried again after 15 s."""
    device.wait_status(lambda status: status["state"] == "stopped" and status["job"] is None, seconds)
    status = device.status
    assert (status["state"], status["containers"]) == ("stopped", []), status
    assert engine.containers(everything=True) == {} and running() == []


def deploy(device, group, message, status_messages):
    device.deploy(group)
    assert status_messages.next_json() == message
    device.wait_sent()


def assert_told_of_failed_stops(messages, least=1):
    """A teardown that fails is published, once for all the times that it is tried."""
    if least:
        assert_failure(messages.next_json(), "InternalError", "stop the application")
    while not messages.none_waits():
        assert_failure(messages.next_json(), "InternalError", "stop the application")


@pytest.fixture
def device(device, broker):
    device.use_broker(broker)
    return device


@pytest.fixture
def always(device, local_image):
    """The group file of an application that the engine itself starts again."""
    device.put_object("ships", "always.yml", compose_file(None, ["first", "second"], local_image, restart="always"))
    return device.group(key="always.yml", **HERE)


# A stop, and the end of lightermand.


def test_stop_at_any_stage_and_sigterm_at_once_leave_nothing_running(device, voyage, engine, watch, status_messages):
    device.start()
    deploy(device, voyage.before, voyage.success_before, status_messages)
    for stage in STAGES:
        with voyage.held_at(stage):
            # Started again, it has nothing to take down.
            deployment = device.begin(voyage.group) if stage == "down" else device.control("start")
            voyage.wait(stage)
            with watch(), deployment, device.control("stop") as stopping:
                assert device.ask("status")["exit"] == 0  # so that it has read the stop
                device.send(signal.SIGTERM)
                assert deployment.end()["exit"] == 1, stage
                assert stopping.end()["exit"] == 0, stage
                assert device.wait() == 0, stage
        assert engine.containers(everything=True) == {} and running() == [], stage
        voyage.assert_nothing_of_it_runs()
        device.start()
        assert_stopped(device, engine)
    device.cli("start")
    assert status_messages.next_json() == voyage.success
    assert set(engine.containers(everything=True)) == {"first", "second"}
    assert status_messages.none_waits()


def test_stop_and_sigterm_at_once_take_down_what_runs_on_over_restarts(device, engine, local_image, status_messages):
    group = device.local_group(["web"], local_image, StopContainersOnNewDeployment="False")
    device.start()
    deploy(device, group, success(), status_messages)
    with device.control("stop") as stopping:
        assert device.ask("status")["exit"] == 0  # so that it has read the stop
        device.send(signal.SIGTERM)
        assert stopping.end()["exit"] == 0
        assert device.wait() == 0
    assert engine.containers(everything=True) == {}
    device.start()
    assert_stopped(device, engine)


@pytest.mark.parametrize("meanwhile", ["nothing", "a deployment"])
def test_stop_after_sigterm_is_answered_and_lasts(device, held, stubborn, engine, local_image, status_messages, meanwhile):
    device.start()
    deploy(device, stubborn.group, stubborn.success, status_messages)
    with contextlib.ExitStack() as clients:
        if meanwhile == "a deployment":
            held.hold("config")
            deployment = clients.enter_context(device.begin(device.local_group(["web"], local_image)))
            held.wait_held("config")
        device.send(signal.SIGTERM)
        stubborn.wait_told()
        stopping = clients.enter_context(device.control("stop"))
        assert device.status["state"] == "stopping"
        stubborn.gate.open()
        assert stopping.end()["exit"] == 0
        if meanwhile == "a deployment":
            assert deployment.end()["exit"] == 1
    assert device.wait() == 0
    assert engine.containers(everything=True) == {} and running() == []
    for end in (device.stop, device.kill):
        device.start()
        assert_stopped(device, engine)
        end()
    assert status_messages.none_waits()


# A stop, and a kill.


def kill_lightermand(device):
    device.kill()


def kill_both(device):
    worker = device.worker()
    device.kill()
    with contextlib.suppress(ProcessLookupError):  # it may have noticed already
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_lightermand, kill_both])
def test_a_stop_killed_before_docker_compose_acts_is_finished_by_the_next_start(
        device, held, engine, local_image, watch, status_messages, kill):
    device.start()
    deploy(device, device.local_group(["first", "second"], local_image), success(), status_messages)
    held.hold("down")
    with watch():
        with device.control("stop"):
            held.wait_held("down")
            kill(device)
        assert set(engine.containers()) == {"first", "second"}
        device.start()
        assert_stopped(device, engine)
    assert status_messages.none_waits()


@pytest.mark.parametrize("kill", [kill_lightermand, kill_both])
def test_a_stop_killed_in_the_middle_of_down_is_finished_by_the_next_start(
        device, stubborn, engine, watch, status_messages, kill):
    device.start()
    deploy(device, stubborn.group, stubborn.success, status_messages)
    with watch():
        with device.control("stop"):
            stubborn.wait_told()
            kill(device)
        assert "second" in engine.containers(everything=True)
        device.start()
        stubborn.gate.open()
        assert_stopped(device, engine)
    assert status_messages.none_waits()


def test_a_stop_whose_worker_is_killed_is_tried_again(device, stubborn, engine, watch, status_messages):
    device.start()
    deploy(device, stubborn.group, stubborn.success, status_messages)
    with watch():
        answer = device.control("stop").end_later()
        stubborn.wait_told()
        killed = device.worker()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in workers(), 30, "it outlives SIGKILL")
        stubborn.gate.open()
        assert_stopped(device, engine)
        assert answer.result(30)["exit"] in (0, 1)  # 1: at the first failure


# A stop, and the engine.


@pytest.fixture(params=["they run on", "it starts them again"])
def engine_that_goes(request, engine):
    """An engine that may go away, and what then becomes of the containers of `always`."""
    if request.param == "they run on":
        return request.getfixturevalue("lasting_engine")
    return engine


def wait_failed(device, answer):
    """The teardown was tried in vain; this is answered, or it is to be tried again."""
    device.wait_status(lambda status: answer.done() or status.get("retry_ms") is not None)


def wait_runs(engine):
    wait_until(lambda: set(engine.containers()) == {"first", "second"}, 60, "the engine does not start them again")


def test_a_stop_while_the_engine_is_away_takes_down_once_it_is_back(
        device, always, engine_that_goes, watch, status_messages):
    engine = engine_that_goes
    device.start()
    deploy(device, always, success(key="always.yml"), status_messages)
    with watch():
        with engine.away():
            answer = device.control("stop").end_later()
            wait_failed(device, answer)
        assert_stopped(device, engine)
        assert answer.result(30)["exit"] in (0, 1)  # 1: at the first failure
    device.kill()
    device.start()
    assert_stopped(device, engine)
    assert_told_of_failed_stops(status_messages)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_stop_that_the_engine_keeps_from_its_end_is_finished_by_the_next_start(
        device, always, engine_that_goes, watch, status_messages, end):
    engine = engine_that_goes
    device.start()
    deploy(device, always, success(key="always.yml"), status_messages)
    with watch():
        with engine.away():
            wait_failed(device, device.control("stop").end_later())
            getattr(device, end)()
        wait_runs(engine)
        device.start()
        assert_stopped(device, engine)
    assert_told_of_failed_stops(status_messages)


def test_what_the_engine_starts_again_after_a_power_cut_is_taken_down(device, held, always, engine, watch, status_messages):
    """The power was cut while the application was being taken down."""
    device.start()
    deploy(device, always, success(key="always.yml"), status_messages)
    held.hold("down")
    with watch():
        with device.control("stop"):
            held.wait_held("down")
            engine.crash()
            device.kill()
        shutil.rmtree(device.folder / "run")
        engine.start()
        wait_runs(engine)
        device.start()
        assert_stopped(device, engine)
    assert_told_of_failed_stops(status_messages, least=0)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_somebody_brings_up_while_lightermand_does_not_run_is_taken_down(
        device, always, engine, compose1, watch, status_messages, end):
    device.start()
    deploy(device, always, success(key="always.yml"), status_messages)
    device.cli("stop")
    getattr(device, end)()
    compose1("up", "-d", project=PROJECT, file=device.local_copy)
    wait_runs(engine)
    with watch():
        device.start()
        assert_stopped(device, engine)
    assert status_messages.none_waits()


# A stop, and a deployment that is refused.


def invalid_group_file(device, _image):
    path = device.folder / "invalid.json"
    path.write_text(json.dumps({"Connectors": "none"}))
    return path, 2, ["InvalidParameter"]


def missing_object(device, _image):
    return device.group(key="none.yml", name="missing.json", **HERE), 1, ["InvalidParameter", "none.yml"]


def invalid_compose_file(device, image):
    device.put_object("ships", "invalid.yml", compose_file(None, ["web"], image, no_such_option="1"))
    return device.group(key="invalid.yml", name="invalid.json", **HERE), 1, ["InvalidParameter", "no_such_option"]


REFUSED = [invalid_group_file, missing_object, invalid_compose_file]


@pytest.mark.parametrize("refused", REFUSED)
def test_a_deployment_refused_after_stop_leaves_the_application_stopped(device, engine, local_image, watch, status_messages,
                                                                        refused):
    device.start()
    deploy(device, device.local_group(["web"], local_image), success(), status_messages)
    device.cli("stop")
    group, exit_status, words = refused(device, local_image)
    device.deploy(group, status=exit_status)
    assert_failure(status_messages.next_json(), *words)
    device.wait_sent()
    assert_stopped(device, engine)
    for end in (device.stop, device.kill):
        end()
        with watch():
            device.start()
            assert_stopped(device, engine)
    # What was stopped is what a start brings up, not what was refused.
    device.cli("start")
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}
    assert status_messages.none_waits()


@pytest.mark.parametrize("refused", REFUSED)
def test_a_group_file_refused_at_sighup_after_stop_leaves_the_application_stopped(
        device, engine, local_image, watch, status_messages, refused):
    group = device.local_group(["web"], local_image)
    device.start(group)
    assert status_messages.next_json() == success()
    device.wait_sent()
    device.cli("stop")
    path, _, words = refused(device, local_image)
    path.rename(group)
    device.send(signal.SIGHUP)
    assert_failure(status_messages.next_json(), *words)
    device.wait_sent()
    assert_stopped(device, engine)
    for end in (device.stop, device.kill):
        end()
        with watch():
            device.start(group)
            assert_stopped(device, engine)
    assert status_messages.none_waits()
