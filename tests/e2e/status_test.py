# SPDX-License-Identifier: Apache-2.0
"""`lighterman status`: restarts and uptime of each container, and which of them ends again and again."""
import re
import time

import pytest

from servers.server import wait_until

FLEET = """version: '2.4'
services:
  web:
    image: {image}
    command: ["sleep", "1000000"]
    stop_grace_period: 0s
    restart: always
  job:
    image: {image}
    command: ["sh", "-c", "exit 3"]
  loop:
    image: {image}
    command: ["sh", "-c", "exit 5"]
    restart: always
  quick:
    image: {image}
    command: ["true"]
    restart: unless-stopped
  limited:
    image: {image}
    command: ["sh", "-c", "exit 6"]
    restart: on-failure:3
"""


def by_service(status):
    return {container["service"]: container for container in status["containers"] or []}


def engine_restarts(engine):
    return {name: container.attrs["RestartCount"] for name, container in engine.containers(everything=True).items()}


def agreed_status(device, engine):
    """The containers of `status`, if their restarts are those of the engine, which counts one that is still to come."""
    before = engine_restarts(engine)
    found = by_service(device.cli_json("status"))
    after = engine_restarts(engine)
    agree = all(before[name] - (container["state"] == "restarting") <= container["restarts"] <= after[name]
                for name, container in found.items())
    return found if agree else None


@pytest.fixture
def fleet(device_with, compose, engine, local_image):
    device = device_with(compose)
    device.put_object("ships", "docker-compose.yml", FLEET.format(image=local_image))
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False"))
    device.wait_status(lambda status: all(by_service(status)[name]["loop"] for name in ("loop", "quick")) and
                       by_service(status)["limited"]["state"] == "exited")
    return device


def test_tells_restarts_and_uptime_and_names_what_crash_loops(fleet, engine):
    found = wait_until(lambda: agreed_status(fleet, engine), 60, "it counts other restarts than the engine")
    assert found["loop"]["restarts"] >= 2 and found["limited"]["restarts"] == 3 and found["web"]["restarts"] == 0
    loop, quick = found["loop"]["loop"], found["quick"]["loop"]
    assert (loop["kind"], loop["exit_code"], quick["kind"], quick["exit_code"]) == ("crash", 5, "restart", 0)
    for ended in (loop, quick):
        assert 0 <= time.time() * 1000 - ended["last_end_ms"] < 60000
    # What runs, and what has ended for good, is in none.
    assert [found[name]["loop"] for name in ("web", "job", "limited")] == [None] * 3
    assert found["web"]["uptime_s"] >= 0 and found["job"]["uptime_s"] is None and found["limited"]["uptime_s"] is None

    text = fleet.cli("status").stdout
    name = re.escape(found["loop"]["name"])
    assert re.search(rf"^crash loop       loop \({name}\): exited again \d+ s ago with exit code 5, restarts: \d+; "
                     r"see `lighterman crashes`$", text, re.M), text
    assert re.search(r"^restart loop     quick \(\S+\): exited again \d+ s ago with exit code 0, restarts: \d+$", text, re.M)
    assert text.count("exited again") == 2
    assert re.search(r"^SERVICE +IMAGE +STATE +HEALTH +RESTARTS +UPTIME +CONTAINER$", text, re.M)
    assert re.search(r"^web +\S+ +running +- +0 +\d+ (s|min) +\S+$", text, re.M), text
    assert re.search(r"^limited +\S+ +exited \(6\) +- +3 +- +\S+$", text, re.M), text


def test_a_loop_is_known_after_a_restart_of_lightermand(fleet, engine):
    fleet.kill()
    fleet.start()
    status = fleet.wait_status(lambda status: (by_service(status).get("loop") or {}).get("loop"))
    assert by_service(status)["loop"]["loop"]["kind"] == "crash"


def test_what_a_person_restarts_is_in_no_loop(device, engine, local_image):
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    for _ in range(4):
        engine.containers()["web"].restart(timeout=0)
    status = device.wait_status(lambda status: by_service(status)["web"]["uptime_s"] is not None)
    web = by_service(status)["web"]
    assert (web["loop"], web["restarts"], web["state"]) == (None, 0, "running")
    # Paused it is up; stopped it is not.
    engine.containers()["web"].pause()
    device.wait_status(lambda status: by_service(status)["web"]["state"] == "paused" and
                       by_service(status)["web"]["uptime_s"] is not None)
    engine.containers()["web"].unpause()
    engine.containers()["web"].stop(timeout=0)
    device.wait_status(lambda status: by_service(status)["web"]["uptime_s"] is None)


def test_without_the_engine_there_are_no_numbers_and_no_loops(fleet, engine):
    engine.stop()
    status = fleet.cli_json("status")
    assert status["containers"] is None and status["containers_error"]
    assert "crash loop" not in fleet.cli("status").stdout


def test_says_which_host_file_it_uses(device):
    device.start()
    assert device.status["host_file"] == str(device.folder / "host.json")
