# SPDX-License-Identifier: Apache-2.0
"""Compose files of every form, and what they are filled in with."""
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
