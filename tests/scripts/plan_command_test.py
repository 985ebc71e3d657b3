# SPDX-License-Identifier: Apache-2.0
"""`lighterman plan`, against a lightermand that says what the test wants."""
import json

from lighterman_test import Terminal, ask, daemon, group, run  # noqa: F401 (fixtures)

SUMMARY = {"connector_version": 7, "bucket": "ships", "key": "c.yml", "compose_version": None,
           "docker_compose": "1.29.2", "offline": False, "stages": ["prepare", "up"], "takes_down": False,
           "pull_bytes": 1100000, "pull_unknown": 0,
           "disk": {"directory": "/var/lib/docker", "needed_bytes": 4400000, "reserve_bytes": 0,
                    "free_bytes": 12000000, "enough": True, "reason": None}}
SERVICE = {"service": "web", "action": "created", "reason": "new", "changes": [], "image": "ships/web:1", "containers": 0}
IMAGE = {"image": "ships/web:1", "platform": None, "action": "pull", "here": False, "digest": "sha256:0",
         "bytes": 1100000, "bytes_total": 1100000, "bytes_disk": 4400000, "reason": None}
STAGES = [{"progress": {"stage": "fetch", "state": "begin"}},
          {"progress": {"stage": "fetch", "state": "end", "ms": 312}}]
PLAN = [{"plan": {"service": SERVICE}}, {"plan": {"image": IMAGE}}, {"plan": {"summary": SUMMARY}},
        {"exit": 0, "message": None}]
PAGE = """\
compose file     c.yml in bucket ships
docker-compose   1.29.2
stages           prepare, up

SERVICE  ACTION   WHY
web      created  no container yet

IMAGE        ACTION  TO PULL  NOTE
ships/web:1  pull    1.1 MB   not on this device

to pull          1.1 MB
disk             about 4.4 MB needed, 12.0 MB free in /var/lib/docker
"""


def test_the_page_and_nothing_else_is_printed(daemon, group):  # noqa: F811
    daemon.answer(*STAGES, {"warning": "a connector is left alone"}, *PLAN)
    done = ask(daemon, "plan", group)
    assert (done.returncode, done.stdout) == (0, PAGE)
    assert done.stderr == f"{group}: warning: a connector is left alone\n"
    assert daemon.requests == [{"command": "plan", "group": group.read_text()}]


def test_json_is_the_plan(daemon, group):  # noqa: F811
    daemon.answer(*STAGES, {"warning": "w"}, *PLAN)
    done = ask(daemon, "plan", group, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {**SUMMARY, "services": [SERVICE], "images": [IMAGE], "problems": [],
                                        "warnings": ["w"]}


def test_stages_leave_nothing_on_a_terminal(daemon, group):  # noqa: F811
    daemon.answer(*STAGES, *PLAN)
    terminal = Terminal("plan", group, "--socket", daemon.path, columns=80)
    assert terminal.read_until(None) == 0
    assert terminal.screen() == PAGE.rstrip("\n")


def test_a_refusal_is_printed_as_it_is_said(daemon, group):  # noqa: F811
    daemon.answer({"exit": 1, "message": "generation 3 is being deployed; try again when it has ended"})
    done = ask(daemon, "plan", group)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "lighterman: generation 3 is being deployed; try again when it has ended\n"
    in_json = ask(daemon, "plan", group, "--json")
    assert (in_json.returncode, in_json.stderr) == (1, "")
    assert json.loads(in_json.stdout)["message"].startswith("generation 3")


def test_every_fault_is_printed_once(daemon, group):  # noqa: F811
    fault = {"entry": None, "parameter": None, "value": None, "rule": None, "text": "Connectors: is empty"}
    daemon.answer({"fault": fault}, {"exit": 2, "message": "Connectors: is empty"})
    done = ask(daemon, "plan", group)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{group}: Connectors: is empty\n")


def test_an_answer_without_a_plan_is_a_failure(daemon, group):  # noqa: F811
    daemon.answer({"exit": 0, "message": None})
    done = ask(daemon, "plan", group)
    assert (done.returncode, done.stdout) == (1, "") and "has no plan" in done.stderr


def test_what_is_no_json_is_not_sent(daemon, group):  # noqa: F811
    group.write_text("{")
    done = ask(daemon, "plan", group)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", run("validate", group).stderr)
    assert daemon.requests == []
