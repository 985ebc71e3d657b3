# SPDX-License-Identifier: Apache-2.0
"""The life of lightermand: stopped and killed wherever it was, started again, told to stop, told to read again."""
import json
import shutil
import signal

import pytest

from documents import assert_failure, success
from servers.engine import PROJECT, compose_file
from servers.server import run

LEFT = {"com.docker.compose.project": PROJECT}  # and no other of its labels, so that `down` does not see it


def test_sigterm_at_any_stage_takes_all_down_and_the_next_start_goes_on(device, voyage, engine, status_messages):
    device.start(voyage.before)
    assert status_messages.next_json()["status"] == "success"
    device.wait_sent()
    for stage in ("down", "prepare", "fetch", "resolve", "authenticate", "pull", "up"):
        with voyage.held_at(stage):
            if device.process is None:
                device.start()
            else:
                device.cli("deploy", "--no-wait", voyage.group)
            voyage.wait(stage)
            assert device.stop() == 0, stage
        assert engine.containers(everything=True) == {}, stage
        voyage.assert_nothing_of_it_runs()
    device.start()
    assert status_messages.next_json() == voyage.success
    assert set(engine.containers(everything=True)) == {"first", "second"}
    assert device.status["deployment"]["generation"] == 2
    assert status_messages.none_waits()


def test_killed_at_any_stage_the_next_start_goes_on(device, voyage, engine, status_messages):
    device.start()
    device.deploy(voyage.before)
    assert status_messages.next_json()["status"] == "success"
    device.wait_sent()
    old = engine.containers()["old"].id
    for stage in ("fetch", "prepare", "resolve", "authenticate", "pull", "down", "up"):
        with voyage.held_at(stage):
            if device.process is None:
                device.start()
            else:
                device.cli("deploy", "--no-wait", voyage.group)
            voyage.wait(stage)
            # Until `down` acts, what ran before is not touched, however often the deployment is interrupted.
            running = {name: container.id for name, container in engine.containers().items()}
            assert running == {"old": old} if stage != "up" else set(running) == {"first"}, stage
            device.kill()
    device.start()
    assert status_messages.next_json() == voyage.success
    assert set(engine.containers(everything=True)) == {"first", "second"}
    assert device.status["deployment"]["generation"] == 2
    assert status_messages.none_waits()


def test_stop_at_any_stage_takes_all_down_and_start_goes_on(device, voyage, engine, status_messages):
    device.start()
    device.deploy(voyage.before)
    assert status_messages.next_json()["status"] == "success"
    # In `prepare` docker-compose is not asked for its version again.
    for stage in ("down", "fetch", "resolve", "authenticate", "pull", "up"):
        with voyage.held_at(stage):
            deployment = device.begin(voyage.group) if stage == "down" else device.control("start")
            with deployment:
                voyage.wait(stage)
                device.cli("stop")
                last = deployment.end()
        assert (last["exit"], device.status["state"]) == (1, "stopped"), stage
        assert engine.containers(everything=True) == {}, stage
        voyage.assert_nothing_of_it_runs()
    device.cli("start")
    assert status_messages.next_json() == voyage.success
    assert set(engine.containers(everything=True)) == {"first", "second"}
    assert device.status["deployment"]["generation"] == 2
    assert status_messages.none_waits()


def start_again(device, end):
    """Starts lightermand after end() has ended it, and waits until the application is up again.

    Not by its message: one that was just sent is sent again after a kill.
    """
    attempt = device.status["last_deployment"]["attempt"]
    end()
    device.start()
    status = device.wait_status(lambda status: status["job"] is None and status["last_deployment"]["attempt"] > attempt)
    assert status["last_deployment"]["success"], status


def test_containers_come_back_after_the_power_was_cut(device, engine, broker, local_image, status_messages):
    """Whatever a reboot leaves of them, as they have no restart policy of their own; also with what is in the way."""
    device.use_broker(broker)
    text = compose_file(None, ["web"], local_image, container_name="e2e-fixed")
    device.put_object("ships", "docker-compose.yml", text)
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False", ForceDeploy="True"))
    assert status_messages.next_json() == success()
    for leaves_other in (False, True):
        def power_cut():
            engine.crash()
            device.kill()
            shutil.rmtree(device.folder / "run")
            engine.start()
            assert engine.containers() == {} and set(engine.containers(everything=True)) == {"web"}
            if leaves_other:
                engine.containers(everything=True)["web"].remove()
                engine.docker.containers.create(local_image, name="e2e-fixed", labels=LEFT)

        start_again(device, power_cut)
        assert set(engine.containers(everything=True)) == set(engine.containers()) == {"web"}
        assert ("removed container e2e-fixed" in device.log) == leaves_other
    assert device.stop() == 0
    assert engine.containers(everything=True) == {}


def test_force_deploy_counts_at_restarts(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], local_image, container_name="e2e-fixed"))
    parameters = {"DockerPullBeforeUp": "False"}
    device.start()
    device.deploy(device.group(**parameters))
    assert status_messages.next_json() == success()

    # Taken down at the end of lightermand; what is not docker-compose's stays and is named.
    other = engine.docker.containers.create(local_image, name="e2e-other", labels=LEFT)
    assert device.stop() == 0
    other.reload()
    assert "docker-compose down left containers of project" in device.log and "e2e-other" in device.log

    in_the_way = engine.docker.containers.create(local_image, name="e2e-fixed", labels=LEFT)
    device.start()
    assert_failure(status_messages.next_json(), "InternalError", "e2e-fixed")
    in_the_way.reload()
    device.deploy(device.group(ForceDeploy="True", **parameters))
    assert status_messages.next_json() == success()
    for end in (device.stop, device.kill):
        def in_the_way_again():
            end()
            for container in engine.containers().values():
                container.remove(force=True)
            engine.docker.containers.create(local_image, name="e2e-fixed", labels=LEFT)

        start_again(device, in_the_way_again)
        assert engine.containers()["web"].name == "e2e-fixed"
    other.reload()  # it was in nobody's way


def test_a_restart_takes_up_the_last_deployed_group(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start(device.local_group(["web"], local_image))
    assert status_messages.next_json() == success()
    device.wait_sent()
    container = engine.containers()["web"]
    device.kill()
    container.reload()
    assert container.status == "running"
    device.start()
    assert status_messages.next_json() == success()
    assert set(engine.containers(everything=True)) == {"web"}
    assert device.status["deployment"]["generation"] == 1
    assert device.stop(signal.SIGINT) == 0
    assert engine.containers(everything=True) == {}
    assert status_messages.none_waits()


def test_containers_run_on_where_the_definition_says_so(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    group = device.local_group(["web"], local_image, version=6, StopContainersOnNewDeployment="False")
    device.start()
    device.deploy(group)
    assert status_messages.next_json() == success()
    device.wait_sent()
    container = engine.containers()["web"].id
    assert device.stop() == 0
    assert engine.containers()["web"].id == container
    device.start()
    assert status_messages.next_json() == success()
    # A new deployment leaves a service alone that has not changed.
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web", "more"], local_image))
    with device.begin(group) as deployment:
        assert deployment.end()["exit"] == 0
        assert "down" not in deployment.stages()
    assert set(engine.containers()) == {"web", "more"}
    assert engine.containers()["web"].id == container


@pytest.mark.parametrize("named", [False, True])
def test_sigusr1_leaves_the_application_running_and_the_next_start_takes_it_over(
        device, engine, broker, local_image, status_messages, named):
    """As a new version takes the place of another; also where the group file is named at each start."""
    device.use_broker(broker)
    group = device.local_group(["web"], local_image)
    device.start(group if named else None)
    if not named:
        device.deploy(group)
    assert status_messages.next_json() == success()
    device.wait_sent()
    before = engine.containers()["web"]
    assert device.stop(signal.SIGUSR1) == 0
    device.start(group if named else None)
    device.wait_log("generation 1 was left running and runs on")
    status = device.status
    assert (status["state"], status["deployment"]["generation"], status["job"]) == ("running", 1, None)
    assert [container["name"] for container in status["containers"]] == [before.name]
    device.cli("stop")  # a task of its own: whatever the start has begun is over
    device.cli("start")
    assert status_messages.next_json() == success()  # of `start`, and none before
    assert status_messages.none_waits()
    after = engine.containers()["web"]
    assert after.id != before.id
    # Left running once, and not for ever.
    start_again(device, device.kill)
    assert engine.containers()["web"].id != after.id


def test_sigusr1_in_a_deployment_leaves_what_ran_and_the_next_start_goes_on(device, voyage, engine, status_messages):
    device.start(voyage.before)
    assert status_messages.next_json()["status"] == "success"
    device.wait_sent()
    old = engine.containers()["old"].id
    with voyage.held_at("pull"):
        device.cli("deploy", "--no-wait", voyage.group)
        voyage.wait("pull")
        assert device.stop(signal.SIGUSR1) == 0
    assert {name: container.id for name, container in engine.containers().items()} == {"old": old}
    device.start()
    assert status_messages.next_json() == voyage.success
    assert set(engine.containers(everything=True)) == {"first", "second"}


def test_stop_lasts_over_restarts_until_start(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    assert status_messages.next_json() == success()
    device.wait_sent()
    device.cli("stop")
    assert engine.containers(everything=True) == {}
    for end in (device.stop, device.kill):
        end()
        device.start()
        # Once the engine has said that nothing runs.
        status = device.wait_status(lambda status: status["state"] == "stopped")
        assert (status["job"], status["containers"]) == (None, [])
    device.cli("start")
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}
    assert device.status["state"] == "running"


def test_stop_where_nothing_was_deployed_leaves_no_mark(device, engine, local_image):
    device.start()
    assert device.ask("stop") == {"exit": 0, "message": "nothing was deployed yet"}
    for end in (device.stop, device.kill):
        assert device.status["state"] == "empty"
        end()
        device.start()
    assert "stays stopped" not in device.log and "stays stopped" not in device.stderr
    assert device.ask("start")["exit"] == 1
    device.stop()
    # With a group file it is deployed at the next start.
    device.start(device.local_group(["web"], local_image))
    device.wait_status(lambda status: status["state"] == "running")


def test_stop_cancels_a_deployment_and_start_runs_it_again(device, held, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start()
    held.hold("up")
    with device.begin(device.local_group(["first", "second"], local_image)) as deployment:
        held.wait_held("up")
        assert set(engine.containers()) == {"first"}
        device.cli("stop")
        assert deployment.end()["exit"] == 1
    assert engine.containers(everything=True) == {}
    held.wait_gone()
    assert device.status["state"] == "stopped"
    device.cli("start")
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"first", "second"}
    assert status_messages.none_waits()


def test_a_worker_at_work_is_not_taken_for_a_silent_one(device, held, engine, broker, local_image, status_messages):
    device.host["workerSilenceSeconds"] = 1
    device.use_broker(broker)
    device.start()
    held.hold("config")
    with device.begin(device.local_group(["web"], local_image)) as deployment:
        held.wait_held("config")
        device.wait_status(lambda status: status["job"]["since_ms"] > 2500)
        held.release()
        assert deployment.end()["exit"] == 0
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}


def test_sighup_reads_the_group_file_again(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start(device.local_group(["web"], local_image))
    assert status_messages.next_json() == success()
    group = device.local_group(["other"], local_image, key="other.yml")
    device.send(signal.SIGHUP)
    assert status_messages.next_json() == success(key="other.yml")
    assert set(engine.containers(everything=True)) == {"other"}

    container = engine.containers()["other"].id
    group.write_text(json.dumps({"Connectors": "none"}))
    device.send(signal.SIGHUP)
    assert_failure(status_messages.next_json(), "InvalidParameter")
    assert engine.containers()["other"].id == container
    assert device.status["deployment"]["key"] == "other.yml"
    assert device.stop() == 0


def test_a_second_lightermand_leaves_the_first_alone(device):
    device.start()
    second = run(device.programs / "lightermand", "--config", device.folder / "host.json", check=False,
                 env=device.environment)
    assert second.returncode not in (0, -signal.SIGABRT) and second.stderr
    assert device.cli_json("status")["state"] == "empty"
    assert device.stop() == 0
