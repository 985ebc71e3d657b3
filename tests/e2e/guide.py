# SPDX-License-Identifier: Apache-2.0
"""docs/containers.md as its reader uses it: its files, its program and its commands."""
import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/containers.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DESTINATION = "/srv/lighterman/application"
THING, OTHER = "MyDockerDevice", "Console"
TOPIC = f"$aws/things/{THING}/shadow/update"


def blocks(kind):
    return [text for found, text in BLOCK.findall(GUIDE) if found == kind]


def compose_service(name):
    """The service of that name, of the compose file that has it."""
    return next(services[name] for services in (yaml.safe_load(text)["services"] for text in blocks("yaml"))
                if name in services)


def compose_file(name, **more):
    """That compose file with more for its service, as JSON, which is YAML, too."""
    service = {**compose_service(name), "stop_grace_period": "1s", **more}
    return json.dumps({"version": "3.4", "services": {name: service}})


def group():
    return json.loads(blocks("json")[0])


def arrays():
    """The arrays of its group file for client devices."""
    return {name: value for name, value in group().items() if name != "Connectors"}


def host():
    return json.loads(blocks("json")[1])


def program():
    return blocks("js")[0]


def update_words(folder):
    """The words of the guide's mosquitto_pub, with the certificates of that folder."""
    text = re.search(r"^mosquitto_pub.*?[^\\]\n", blocks("sh")[0], re.MULTILINE | re.DOTALL)[0]
    words = [quoted or plain for quoted, plain in re.findall(r"'([^']*)'|([^\s'\\]+)", text)]
    return [f"{folder}/{word}" if word.endswith((".pem", ".key")) else word for word in words]
