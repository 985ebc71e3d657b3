# SPDX-License-Identifier: Apache-2.0
"""`lighterman history` and `lighterman rollback`: which generations are kept, and going back to one of them."""
import json

import pytest

from servers.engine import compose_file
from servers.server import run

LOCAL = {"DockerPullBeforeUp": "False"}
MEMBERS = {"generation", "id", "connector_version", "bucket", "key", "attempt", "success", "stage", "error", "message",
           "compose_version", "started_ms", "ended_ms", "current", "last_good", "wanted", "probation", "quarantine",
           "rollback", "obstacle"}


class Fleet:
    """Definitions that are known by the name of their one service."""

    def __init__(self, device, image):
        self.device, self.image = device, image

    def group(self, name, policy=None, **extra):
        self.device.put_object("ships", f"{name}.yml", compose_file(None, [name], self.image, **extra))
        return self.device.group(policy=policy, key=f"{name}.yml", name=f"{name}.json", **LOCAL)

    def deploy(self, name, status=0, **more):
        return self.device.deploy(self.group(name, **more), status=status)

    def history(self):
        found = self.device.cli_json("history")
        assert all(set(entry) == MEMBERS for entry in found), found
        return {entry["generation"]: entry for entry in found}


@pytest.fixture
def fleet_with(local_image):
    def make(device):
        device.start()
        return Fleet(device, local_image)

    return make


def test_lists_what_is_kept_and_goes_back(device_with, compose, fleet_with, engine):
    device = device_with(compose)
    fleet = fleet_with(device)
    assert device.cli_json("history") == []
    assert device.cli("history").stdout == "nothing deployed yet\n"
    fleet.deploy("one")
    fleet.deploy("two")
    fleet.deploy("three", status=1, volumes="7")
    history = fleet.history()
    assert list(history) == [3, 2, 1]
    assert [entry["success"] for entry in history.values()] == [False, True, True]
    assert [entry["rollback"] for entry in history.values()] == [False, True, True]
    assert [entry["key"] for entry in history.values()] == ["three.yml", "two.yml", "one.yml"]
    assert history[3]["obstacle"] == "it was never deployed successfully" and history[3]["message"]
    assert (history[2]["current"], history[2]["last_good"], history[2]["wanted"]) == (True, True, True)
    page = device.cli("history").stdout.splitlines()
    assert page[0].split() == ["GENERATION", "ENDED", "OUTCOME", "VERSION", "STATE"]
    assert [line.split()[0] for line in page[1:4]] == ["3", "2", "1"]
    assert page[-1] == "`lighterman rollback GENERATION` can go back to 1"

    done = device.cli("rollback", "1")
    assert done.stdout.startswith("rolling back to generation 1\n") and "rolled back to generation 1 in " in done.stdout
    assert set(engine.containers()) == {"one"}
    history = fleet.history()
    assert history[1]["current"] and history[2]["quarantine"]["reason"] == "rolled back by a person"
    assert "quarantine       generation 2, since " in device.cli("status").stdout
    sentence = "this is the definition of generation 2, which is quarantined: rolled back by a person"
    assert any(sentence in warning for warning in device.cli_json("plan", fleet.group("two"))["warnings"])
    assert not any("quarantined" in warning for warning in device.cli_json("plan", fleet.group("one"))["warnings"])
    samples = dict(line.rsplit(" ", 1) for line in device.cli("metrics").stdout.splitlines() if line[0] != "#")
    assert (samples["lighterman_quarantined_generations"], samples["lighterman_rollbacks_total"],
            samples["lighterman_on_probation"]) == ("1", "1", "0")

    # Without a number to the last one before that is good; one in quarantine may be had by its number.
    assert device.cli("rollback", check=False).returncode == 1
    assert device.cli_json("rollback", "2")["exit"] == 0
    assert set(engine.containers()) == {"two"}
    assert fleet.history()[2]["quarantine"] is None


def test_what_cannot_be_had_is_refused_with_what_can(device, fleet_with, engine):
    fleet = fleet_with(device)
    fleet.deploy("one")
    fleet.deploy("two", status=1, volumes="7")
    runs = engine.containers()["one"].id
    for words, status, sentence in (
            (["99"], 2, "cannot roll back to generation 99: there is no such generation; possible generations: 1"),
            (["2"], 2, "cannot roll back to generation 2: it was never deployed successfully; possible generations: 1"),
            (["0"], 64, "GENERATION must be a number"), (["one"], 64, "GENERATION must be a number"),
            (["-1"], 64, "unknown option"), (["1", "2"], 64, "'rollback' takes one [GENERATION]")):
        done = device.cli("rollback", *words, check=False)
        assert done.returncode == status and sentence in done.stderr, (words, done.stdout, done.stderr)
        if status != 64:
            document = json.loads(device.cli("rollback", *words, "--json", check=False).stdout)
            assert document["exit"] == status and sentence in document["message"]
    assert engine.containers()["one"].id == runs
    assert device.status["job"] is None


def test_before_any_deployment_there_is_nothing_to_go_back_to(device):
    device.start()
    for words, status in (([], 1), (["1"], 2)):
        done = device.cli("rollback", *words, check=False)
        assert done.returncode == status and done.stderr.count("\n") == 1, (done.stdout, done.stderr)


def test_does_not_wait_if_not_told_to(device, fleet_with, engine, held):
    fleet = fleet_with(device)
    fleet.deploy("one")
    fleet.deploy("two")
    held.hold("up")
    done = device.cli("rollback", "1", "--no-wait", timeout=30)
    assert done.stdout == "the rollback to generation 1 has started; see `lighterman status`\n"
    held.wait_held("up")
    status = device.status
    assert status["rollback"] == {"from": 2, "to": 1, "why": None}
    assert "rollback         from generation 2 to generation 1" in device.cli("status").stdout
    held.release()
    device.wait_status(lambda status: status["state"] == "running" and status["actual"]["generation"] == 1)
    assert device.status["rollback"] is None


def test_history_fits_into_80_columns_of_a_terminal(device, fleet_with):
    fleet = fleet_with(device)
    fleet.deploy("one")
    fleet.deploy("two", status=1, volumes="[/none/of/this/is/there:/x:ro,z,z,z,nonsense]")
    command = f"stty cols 80 rows 24; {device.programs}/lighterman --socket {device.folder}/run/control.sock history"
    done = run("script", "--quiet", "--return", "--command", command, "/dev/null",
               env={**device.environment, "TERM": "xterm", "SHELL": "/bin/sh"})
    lines = done.stdout.replace("\r", "").splitlines()
    assert lines[0].startswith("GENERATION") and len(lines) > 5
    assert max(map(len, lines)) <= 80, lines
