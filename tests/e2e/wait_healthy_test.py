# SPDX-License-Identifier: Apache-2.0
"""WaitHealthy: success is what was seen to be healthy, and a failure names what was not."""
import json
import threading

import pytest

STAYS = "trap 'exit 0' TERM; sleep 1000000 & wait"
HERE = {"DockerPullBeforeUp": "False"}


@pytest.fixture(scope="session")
def local(_engine):
    """An image that is on the engine only."""
    if not _engine.running:
        _engine.start()
    return _engine.make_image("worker/healthy:1")


def policy(timeout, stable=2):
    return {"WaitHealthy": "true", "HealthTimeoutSeconds": str(timeout), "StableSeconds": str(stable)}


def application(image, **services):
    """A compose file; each service is a command and more lines of YAML."""
    lines = ["services:"]
    for name, (command, *more) in services.items():
        lines += [f"  {name}:", f"    image: {image}", "    stop_grace_period: 1s",
                  f"    command: [sh, -c, {json.dumps(command)}]", *(f"    {line}" for line in more)]
    return "\n".join(lines) + "\n"


def settle_ms(dock):
    return next(line["ms"] for line in dock.worker.lines if (line.get("stage"), line.get("state")) == ("settle", "end"))


def assert_failed(result, *words):
    assert (result["result"], result["stage"], result["error"], result["effect"]) == \
        ("fail", "settle", "InternalError", "started"), result
    for word in words:
        assert word in result["message"], (word, result)


def at_settle(act):
    """For Dock.deploy: acts once, when the wait begins."""
    def on_line(line):
        if (line.get("stage"), line.get("state")) == ("settle", "begin"):
            act()
    return on_line


@pytest.mark.parametrize("code", [3, 0])
def test_a_crash_loop_fails_within_the_time_and_is_named(dock_with, compose, engine, local, code):
    dock = dock_with(compose)
    text = application(local, web=(f"echo boom; exit {code}", "restart: always"))
    result = dock.deploy(text, policy={"WaitHealthy": "true", "HealthTimeoutSeconds": "10"}, **HERE)
    assert_failed(result, "not healthy within 10 s (HealthTimeoutSeconds)", f"keeps restarting (exit code {code}, ",
                  " restarts)", engine.containers(everything=True)["web"].name)


@pytest.mark.parametrize("restart", ["'no'", "on-failure:2"])
def test_what_dies_soon_after_up_is_no_success(dock_with, compose, engine, local, restart):
    dock = dock_with(compose)
    text = application(local, web=("sleep 0.5; exit 5", f"restart: {restart}"), db=(STAYS,))
    result = dock.deploy(text, policy=policy(60), **HERE)
    name = engine.containers(everything=True)["web"].name
    assert_failed(result, f"container {name} exited with exit code 5")
    assert ("2 restarts" in result["message"]) == (restart != "'no'")


def test_success_is_up_for_long_enough_and_jobs_that_are_done(dock_with, compose, engine, local):
    dock = dock_with(compose)
    text = application(local, web=(STAYS, "restart: always"), migrate=("exit 0",),
                       again=("exit 0", "restart: on-failure"))
    assert dock.deploy(text, policy=policy(60), **HERE)["result"] == "success"
    assert settle_ms(dock) >= 2000
    assert engine.containers(everything=True)["migrate"].status == "exited"


def test_one_restart_is_survived(dock, engine, local):
    """It comes up at the second try."""
    text = application(local, web=(f"test -e /tried || {{ : >/tried; exit 1; }}; {STAYS}", "restart: always"))
    assert dock.deploy(text, policy=policy(60), **HERE)["result"] == "success"
    assert engine.containers()["web"].attrs["RestartCount"] == 1


def test_what_the_file_no_longer_has_does_not_count(dock_with, compose, engine, local):
    dock = dock_with(compose)
    parameters = {"StopContainersOnNewDeployment": "False", **HERE}
    assert dock.deploy(application(local, web=(STAYS,), old=("exit 7", "restart: always")), **parameters)["result"] \
        == "success"
    assert dock.deploy(application(local, web=(STAYS,)), policy=policy(60), **parameters)["result"] == "success"
    assert set(engine.containers(everything=True)) == {"web", "old"}


def test_replicas_count_and_services_that_are_not_to_run_do_not(dock_with, compose, engine, local):
    dock = dock_with(compose)
    text = application(local, web=(STAYS, "scale: 2"), tools=("exit 1", "profiles: [debug]"), none=(STAYS, "scale: 0"))
    assert dock.deploy(text, policy=policy(60), **HERE)["result"] == "success"
    assert set(engine.containers()) == {"web"}
    gone = at_settle(lambda: engine.containers()["web"].remove(force=True))
    assert_failed(dock.deploy(text, gone, policy=policy(4), **HERE), "service web has 1 of 2 containers")


def test_a_service_whose_container_goes_is_no_success(dock, engine, local):
    gone = at_settle(lambda: engine.containers()["db"].remove(force=True))
    result = dock.deploy(application(local, web=(STAYS,), db=(STAYS,)), gone, policy=policy(4), **HERE)
    assert_failed(result, "service db has no container")


def test_a_restart_of_the_engine_is_survived(dock, engine, local):
    def restart():
        engine.crash()
        engine.start()

    text = application(local, web=(STAYS, "restart: always"))
    result = dock.deploy(text, at_settle(restart), policy=policy(120), **HERE)
    assert result["result"] == "success", result
    assert engine.containers()["web"].status == "running"


def test_the_wait_can_be_stopped(dock, engine, local):
    text = application(local, web=("exit 1", "restart: always"))
    worker = dock.start("deploy", text, policy=policy(600), **HERE)
    stop = threading.Timer(0, worker.terminate)

    def on_line(line):
        if line.get("alive"):
            stop.start()

    assert worker.run(on_line)["result"] == "cancelled"
