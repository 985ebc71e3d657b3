# SPDX-License-Identifier: Apache-2.0
"""Compose files of every form, and what they are filled in with."""
import os
import signal

from documents import success
from servers.engine import compose_file

NO_PULL = {"DockerPullBeforeUp": "False"}

FORMS = """%YAML 1.1
--- # A document of its own, with anchors, merges, block scalars and flow style.
version: "3.4"
x-common: &common
  image: IMAGE
  stop_grace_period: 1s
  command: &wait ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]
services:
  merged: {<<: *common, labels: {form: merged}}
  block:
    <<: *common
    command:
      - sh
      - -c
      - |
        trap 'exit 0' TERM
        echo "café" # no comment
        sleep 1000000 & wait
    labels:
      form: >-
        folded
        into one
  "quoted":
    ? image
    : 'IMAGE'
    stop_grace_period: "1s"
    command: *wait
...
"""


def test_takes_yaml_of_every_common_form(device_with, compose, engine, broker, local_image, status_messages):
    device = device_with(compose)
    device.use_broker(broker)
    device.start()
    text = FORMS.replace("IMAGE", local_image)
    for ends, encoding in (("\n", "utf-8"), ("\r\n", "utf-8"), ("\r\n", "utf-8-sig")):
        device.put_object("ships", "docker-compose.yml", text.replace("\n", ends).encode(encoding))
        device.deploy(device.group(**NO_PULL))
        assert status_messages.next_json() == success()
        found = engine.containers()
        assert set(found) == {"merged", "block", "quoted"}
        assert (found["merged"].labels["form"], found["block"].labels["form"]) == ("merged", "folded into one")


def test_finds_its_variables(device_with, compose, engine, broker, local_image, status_messages):
    """From the environment of lightermand, and from .env in the destination directory; the environment counts more."""
    device = device_with(compose)
    device.use_broker(broker)
    device.environment.update(HARBOUR_IMAGE=local_image, HARBOUR_BOTH="environment")
    (device.destination / ".env").write_text("HARBOUR_FILE=file\nHARBOUR_BOTH=file\nCOMPOSE_PROJECT_NAME=other\n")
    labels = "{file: \"${HARBOUR_FILE}\", both: \"${HARBOUR_BOTH}\", none: \"${HARBOUR_NONE:-default}\"}"
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], "${HARBOUR_IMAGE}", labels=labels))
    device.start()
    for version in (3, 7):
        device.deploy(device.group(version=version, **(NO_PULL if version == 7 else {})))
        assert status_messages.next_json() == success()
        found = engine.containers()["web"].labels
        assert (found["file"], found["both"], found["none"]) == ("file", "environment", "default")
    device.cli("stop")
    assert engine.containers(everything=True) == {}


BASE = """version: '3.4'
services:
  base:
    image: IMAGE
    stop_grace_period: 1s
    env_file: [base.env]
    command: [sh, -c, "trap 'exit 0' TERM; sleep 1000000 & wait"]
"""
EXTENDS = """version: '3.4'
services:
  web:
    extends: {file: parts/base.yml, service: base}
    labels: {who: web}
    volumes: ["./data:/data"]
"""
CONFIG_FILES = "com.docker.compose.project.config_files"


def put_parts(device, image):
    """What the compose file refers to, in the destination directory."""
    for name in ("data", "parts"):
        (device.destination / name).mkdir()
    # Paths in an extended file count from the project's directory in generation 1, from its own in 2.
    for folder in (device.destination, device.destination / "parts"):
        (folder / "base.env").write_text("FROM_FILE=yes\n")
    (device.destination / "parts/base.yml").write_text(BASE.replace("IMAGE", image))


def everything(folder):
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_file_refers_to_others_in_the_destination(device_with, compose, engine, local_image):
    """In every command: config, hashes of a plan, up, down; and nothing is left beside what was there."""
    device = device_with(compose)
    put_parts(device, local_image)
    device.put_object("ships", "docker-compose.yml", EXTENDS)
    before = everything(device.destination)
    group = device.group(**NO_PULL, StopContainersOnNewDeployment="False")
    device.start()
    assert device.cli_json("plan", group)["services"][0]["action"] == "created"
    assert everything(device.destination) == before
    device.deploy(group)
    found = engine.containers()["web"]
    assert "FROM_FILE=yes" in found.attrs["Config"]["Env"] and found.labels["who"] == "web"
    assert {m["Source"] for m in found.attrs["Mounts"]} == {str(device.destination / "data")}
    assert found.labels[CONFIG_FILES] == str(device.local_copy)
    after = everything(device.destination)
    assert {path for path in after if path not in before} == {device.local_copy.relative_to(device.destination)}

    # The candidate's name is another each time, and changes neither hashes nor what `up` does.
    assert device.cli_json("plan", group)["services"][0]["action"] == "left_alone"
    device.deploy(group)
    assert engine.containers()["web"].id == found.id
    found = device.cli_json("doctor", group, "--config", device.write_host_file(), check=False)["checks"]
    checks = {check["check"]: check["ok"] for check in found}
    assert checks["compose syntax"] is True
    assert everything(device.destination) == after
    device.cli("stop")
    assert engine.containers(everything=True) == {}


def test_what_a_killed_worker_leaves_in_the_destination_goes_with_the_next(device, held, engine, local_image):
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], local_image))
    for name, target in (("0" * 16, "/etc/shadow"), ("1" * 16, "precious")):
        os.symlink(target, device.destination / f".docker-compose.{name}.yml")
    (device.destination / "precious").write_text("as it was")
    device.start()
    group = device.group(**NO_PULL)
    held.hold("config")
    with device.begin(group):
        held.wait_held("config")
        [left] = [path for path in device.destination.glob(".docker-compose.*") if not path.is_symlink()]
        assert (left.stat().st_mode & 0o7777, left.stat().st_uid) == (0o600, device.user.uid)
        assert left.read_bytes() == (device.folder / "objects/ships/docker-compose.yml").read_bytes()
        os.kill(device.worker(), signal.SIGKILL)
        held.wait_gone()
        device.wait_status(lambda status: status["job"] is None)
    assert left.exists()
    device.deploy(group)
    assert not left.exists() and device.local_copy.exists()
    assert (device.destination / "precious").read_text() == "as it was"


def test_down_goes_by_the_kept_file_where_the_destination_is_gone(dock_with, compose, engine, local_image):
    dock = dock_with(compose)
    dock.deploy(compose_file(None, ["web"], local_image), **NO_PULL)
    assert set(engine.containers()) == {"web"}
    dock.device.local_copy.unlink()
    dock.device.destination.rmdir()
    assert dock.down(kept=compose_file(None, ["web"], local_image), **NO_PULL)["result"] == "success"
    assert engine.containers(everything=True) == {}
    assert "in no particular order" not in dock.worker.log  # not by the label


TWO = """services:
  web: {image: IMAGE, command: [sh, -c, "trap 'exit 0' TERM; sleep 1000000 & wait"], stop_grace_period: 1s}
---
services:
  web:
    labels: {from: second}
"""


def test_several_documents_are_merged_or_refused_as_docker_compose_does(device_with, compose, engine, local_image):
    device = device_with(compose)
    device.put_object("ships", "docker-compose.yml", TWO.replace("IMAGE", local_image))
    device.start()
    group = device.group(**NO_PULL)
    if compose.generation == 2:
        device.deploy(group)
        assert engine.containers()["web"].labels["from"] == "second"
        device.cli("stop")
        assert engine.containers(everything=True) == {}
        return
    with device.begin(group) as deployment:
        last = deployment.end()
    assert last["exit"] == 1 and "line 4, column 1: a second YAML document starts here" in last["message"], last


def test_utf_16_is_taken(device_with, compose, engine, local_image):
    device = device_with(compose)
    text = compose_file(None, ["web"], local_image, labels="{name: café}")
    device.start()
    for encoding in ("utf-16-le", "utf-16-be"):
        device.put_object("ships", "docker-compose.yml", ("\ufeff" + text).encode(encoding))
        device.deploy(device.group(**NO_PULL))
        assert engine.containers()["web"].labels["name"] == "café"
    device.cli("stop")
    assert engine.containers(everything=True) == {}


def test_what_only_docker_compose_can_read_is_deployed(device_with, compose1, engine, local_image):
    """It is of a YAML to come, which docker-compose 1 does not mind."""
    device = device_with(compose1)
    text = "%YAML 1.3\n---\n" + compose_file(None, ["web"], local_image)
    device.put_object("ships", "docker-compose.yml", text)
    device.start()
    device.deploy(device.group(**NO_PULL))
    assert set(engine.containers()) == {"web"}


def test_what_docker_compose_1_makes_of_a_file_without_a_word_is_a_warning(device_with, compose, engine, local_image):
    device = device_with(compose)
    text = compose_file(None, ["web"], local_image) + "    ports:\n      - 22:22\n"
    if compose.generation == 1:
        text += f"    image: {local_image}\n"
    device.put_object("ships", "docker-compose.yml", text)
    device.start()
    problems = device.cli_json("plan", device.group(**NO_PULL))["problems"]
    if compose.generation == 2:
        assert problems == []
        return
    at = text.splitlines().index("      - 22:22") + 1
    ports, twice = (problem["message"] for problem in problems)
    assert ports.startswith(f"line {at}, column 9: port 22:22 is not in quotes") and "1342" in ports
    assert twice.startswith(f"line {at + 1}, column 5: 'image' is a duplicate key")
    device.deploy(device.group(**NO_PULL))
    assert "port 22:22 is not in quotes" in device.log
