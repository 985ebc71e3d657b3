# SPDX-License-Identifier: Apache-2.0
"""What docker-compose says of a broken file: where the mistake is, and no value of it."""
import random
import string

import pytest

from servers.engine import compose_file

NO_PULL = {"DockerPullBeforeUp": "False"}
HEAD = "services:\n  web:\n    image: IMAGE\n    stop_grace_period: 1s\n"
# Each holds a secret, S, in a file that one generation or both refuse.
BROKEN = {
    "dollar": HEAD + "    environment: {PASSWORD: 'S$$$'}\n",
    "dollar in a list": HEAD + "    environment: ['PASSWORD=S$-x']\n",
    "brace": HEAD + "    environment: {PASSWORD: 'S${'}\n",
    "dollar in many lines": HEAD + "    command:\n    - sh\n    - |\n      S\n      a=$(date)\n      b S ${\n",
    "dollar of a network": HEAD + "networks: {a: {driver_opts: {x: 'S${'}}}\n",
    "value nested": HEAD + "    environment: {A: {B: 'S'}}\n",
    "value nested in a list": HEAD + "    environment: [{A: 'S'}]\n",
    "value of the wrong type": HEAD + "    environment: 'S'\n",
    "twice": HEAD + "    cap_add: ['S','S']\n    labels: ['S', 'S']\n    prots: []\n",
    "duration": HEAD + "    healthcheck: {test: [CMD, a], interval: 'S'}\n",
    "size": HEAD + "    mem_limit: 'S'\n    shm_size: ['S']\n",
    "number": HEAD + "    cpus: 'S'\n",
    "boolean": HEAD + "    privileged: 'S'\n",
    "boolean from a default": HEAD + "    privileged: '${V:-S}'\n",
    "required beside it": HEAD + "    environment: {A: 'S ${NEVER_SET:?set it}'}\n",
    "required in many lines": HEAD + "    command:\n      - |\n        S\n        ${NEVER_SET:?set it} S\n",
    "host": HEAD + "    extra_hosts: ['S']\n    prots: []\n",
    "unknown option": HEAD + "    prots: 'S'\n",
    "unknown section": HEAD + "sekrets: 'S'\n",
    "build argument": HEAD + "    build: {context: ., args: {A: {B: 'S'}}}\n",
    "log option": HEAD + "    logging: {options: ['S']}\n",
    "quote": HEAD + "    command: 'echo \"S'\n    prots: []\n",
    "environment of lightermand": HEAD + "    privileged: '${FROM_OUTSIDE}'\n",
    "value in an .env": HEAD + "    privileged: '${FROM_DOT_ENV}'\n",
    "broken .env": (HEAD + "    prots: []\n", "A B S\nC='S\nE=1\n"),
    "template in .env": (HEAD + "    prots: []\n", "A=S${X!y}\n"),
    "broken env file": (HEAD + "    env_file: web.env\n    prots: []\n", None, "A=\"S\nB=1\n"),
    "extended file": (HEAD + "    extends: {file: base.yml, service: base}\n", None, None,
                      "services: {base: {environment: {A: {B: 'S'}}, privileged: 'S'}}\n"),
}


def forms(secret):
    """What a secret may look like in a message: itself, in small letters, or a good part of it."""
    return {secret, secret.lower(), secret[:10], secret[-10:]}


@pytest.mark.parametrize("generation", [1, 2])
def test_no_secret_is_in_what_is_said_of_a_broken_file(dock_with, request, generation, local_image):
    dock = dock_with(request.getfixturevalue(f"compose{generation}"))
    device = dock.device
    letters = string.ascii_letters + string.digits
    failed = []
    for name, files in BROKEN.items():
        # Letters first: what docker-compose cuts at quotes, blanks and the like is looked for as well.
        secret = "q" + "".join(random.choices(letters, k=18)) + "Z7"
        compose, dot_env, env_file, base = (*([files] if isinstance(files, str) else files), None, None, None)[:4]
        for path, text in ((".env", dot_env or "FROM_DOT_ENV=S\n"), ("web.env", env_file), ("base.yml", base)):
            (device.destination / path).write_text((text or "").replace("S", secret))
        device.environment["FROM_OUTSIDE"] = secret
        text = compose.replace("IMAGE", local_image).replace("'S", "'" + secret)
        result = dock.deploy(text.replace(" S", " " + secret).replace("-S", "-" + secret).replace('"S', '"' + secret),
                             **NO_PULL)
        failed += [name] if result["result"] == "fail" else []
        said = dock.worker.log + "".join(map(str, dock.worker.lines))
        assert not [form for form in forms(secret) if form in said], f"{name}: {secret}\n{said}"
        dock.down(**NO_PULL)
    # Both refuse most of them: what was tried was tried.
    assert len(failed) >= 18, failed


def refusal(dock, text):
    result = dock.deploy(text, **NO_PULL)
    assert (result["result"], result["stage"], result["error"]) == ("fail", "resolve", "InvalidParameter"), result
    return result["message"]


def test_a_dollar_in_many_lines_is_told_with_its_place(dock_with, compose, local_image):
    value = "\n      - |\n        now=$(date)\n        echo \"${now\"\n"
    message = refusal(dock_with(compose), HEAD.replace("IMAGE", local_image) + f"    command:{value}")
    assert "web" in message and "command" in message and "$" in message and "date" not in message, message


def test_generation_1_says_what_generation_2_knows(dock_with, compose1, local_image):
    dock = dock_with(compose1)
    message = refusal(dock, "name: gateway\n" + HEAD.replace("IMAGE", local_image))
    assert message.endswith("'name' is not supported by docker-compose 1.29.2; docker-compose 2 supports it"), message
    message = refusal(dock, HEAD.replace("IMAGE", local_image) + "    develop: {}\n    prots: []\n  db: {image: 1}\n")
    assert "services.web" in message and message.endswith("(and 1 more)"), message
    errors = [line for line in dock.worker.log.splitlines() if "[ERROR]" in line and "docker-compose: " in line]
    assert len([line for line in errors if "services." in line]) == 2, dock.worker.log


def test_an_obsolete_version_is_no_warning(dock_with, compose2, local_image):
    dock = dock_with(compose2)
    assert dock.deploy(compose_file(None, ["web"], local_image), **NO_PULL)["result"] == "success"
    assert "obsolete" not in dock.worker.log, dock.worker.log
