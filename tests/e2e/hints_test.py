# SPDX-License-Identifier: Apache-2.0
"""What docker-compose gets of the environment; and what is said of a failure that it does not explain by itself."""
import pathlib
import re

from servers.engine import compose_file

NO_PULL = {"DockerPullBeforeUp": "False"}
WAIT = "[sh, -c, \"trap 'exit 0' TERM; sleep 1000000 & wait\"]"
HEAD = f"services:\n  web:\n    image: IMAGE\n    stop_grace_period: 1s\n    command: {WAIT}\n"


def head(image):
    return HEAD.replace("IMAGE", image)


def test_the_environment_is_not_cut_by_prefix(dock_with, compose, engine, local_image):
    dock = dock_with(compose)
    values = {"DOCKER_GID": "998", "LISTEN_PORT": "8443", "AWS_IOT_THING_NAME": "gw7", "APP_MODE": "field",
              "AWS_REGION": "eu-west-1", "COMPOSE_STACK": "a", "LD_SDK_KEY": "b", "LIGHTERMAN_SITE": "c",
              "WATCHDOG_NAME": "d", "COMPOSE_HTTP_TIMEOUT": "77", "DOCKER_CLIENT_TIMEOUT": "78"}
    dock.device.environment.update(values)
    labels = "".join(f"      l{i}: '${{{name}:?it is not set}}'\n" for i, name in enumerate(values))
    result = dock.deploy(head(local_image) + "    group_add: ['${DOCKER_GID}']\n    labels:\n" + labels, **NO_PULL)
    assert result["result"] == "success", result
    web = engine.containers()["web"]
    assert [web.labels[f"l{i}"] for i in range(len(values))] == list(values.values())
    assert web.attrs["HostConfig"]["GroupAdd"] == ["998"]


def test_the_list_of_what_is_withheld_is_the_programs():
    root = pathlib.Path(__file__).resolve().parents[2]
    source = (root / "src/docker/compose.c").read_text(encoding="utf-8")
    page = (root / "docs/formats.md").read_text(encoding="utf-8")
    listed = page.partition("### Which variables docker-compose gets")[2].partition("\n### ")[0]
    rows = "".join(line.split("|")[1] for line in listed.splitlines() if line.startswith("| `"))
    names = re.findall("`([A-Z_]+)`", rows)
    assert len(names) == len(set(names)) and set(names) == set(re.findall(r'\{"([A-Z_]+)", [A-Z]+,', source))


SECRETS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_SECRET_KEY",
           "AWS_CONTAINER_AUTHORIZATION_TOKEN", "DOCKER_AUTH_CONFIG", "NOTIFY_SOCKET"]


def test_secrets_are_withheld_and_it_is_said(dock_with, compose, engine, local_image):
    dock = dock_with(compose)
    dock.device.environment.update({name: f"q7harbour{i}" for i, name in enumerate(SECRETS)})
    labels = "".join(f"      {name.lower()}: '${{{name}:-none}}'\n" for name in SECRETS)
    text = head(local_image) + "    environment: [AWS_SESSION_TOKEN]\n    labels:\n" + labels
    assert dock.deploy(text, **NO_PULL)["result"] == "success", dock.worker.log
    web = engine.containers()["web"]
    assert {web.labels[name.lower()] for name in SECRETS} == {"none"}
    assert not [entry for entry in web.attrs["Config"]["Env"] if "harbour" in entry]
    for name in SECRETS:
        assert re.search(rf"\[WARN\].*variable {name} \(.* of service web.*is not passed to docker-compose",
                         dock.worker.log), f"{name}\n{dock.worker.log}"
    assert "q7harbour" not in dock.worker.log


def test_a_variable_that_is_required_and_withheld_is_explained(dock_with, compose, local_image):
    dock = dock_with(compose)
    dock.device.environment["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/harbour"
    result = dock.deploy(head(local_image) + "    hostname: '${AWS_ROLE_ARN:?set it}'\n", **NO_PULL)
    assert (result["stage"], result["error"]) == ("resolve", "InvalidParameter"), result
    assert "AWS_ROLE_ARN (hostname of service web) is not passed to docker-compose" in result["message"], result


def test_dot_env_does_not_lead_docker_compose_elsewhere(dock_with, compose, engine, local_image):
    dock = dock_with(compose)
    (dock.device.destination / ".env").write_text(
        "DOCKER_HOST=tcp://192.0.2.1:2375\nDOCKER_CONTEXT=far\nDOCKER_TLS=1\nDOCKER_TLS_VERIFY=1\n"
        "DOCKER_CERT_PATH=/nowhere\nCOMPOSE_TLS_VERSION=TLSv1\nCOMPOSE_IGNORE_ORPHANS=1\nCOMPOSE_REMOVE_ORPHANS=1\n"
        "COMPOSE_PROFILES=night\nSITE=quay\n")
    text = (head(local_image) + "    labels: {site: '${SITE}'}\n"
            f"  lamp:\n    image: {local_image}\n    profiles: [night]\n    stop_grace_period: 1s\n"
            f"    command: {WAIT}\n")
    version = "" if compose.generation == 2 else "version: '3.9'\n"
    assert dock.deploy(version + text, **NO_PULL)["result"] == "success", dock.worker.log
    assert set(engine.containers()) == {"web", "lamp"} and engine.containers()["web"].labels["site"] == "quay"
    assert dock.down(kept=version + text, **NO_PULL)["result"] == "success", dock.worker.log
    assert engine.containers(everything=True) == {}


def test_a_variable_that_is_not_set_is_named_with_what_fails(dock_with, compose, engine, local_image):
    dock = dock_with(compose)
    assert dock.deploy(compose_file(None, ["web"], local_image), **NO_PULL)["result"] == "success"
    before = engine.containers()["web"].id
    name = local_image.partition(":")[0]
    lines = "    environment: {MODE: '${APP_MODE}'}\n"
    for image, stage in ((f"{name}:${{APP_TAG}}", "resolve"), ("${APP_TAG}:1", "resolve"), ("${APP_TAG}", "resolve"),
                         (f"localhost:1/{name}/none${{APP_TAG}}", None)):
        result = dock.deploy(HEAD.replace("IMAGE", f"'{image}'") + lines, **NO_PULL)
        assert result["result"] == "fail" and stage in (None, result["stage"]), result
        if stage:
            assert result["error"] == "InvalidParameter", result
            assert "APP_TAG is not set (image of service web): set it in" in result["message"], result
        assert "APP_MODE" not in result["message"], result
        assert engine.containers()["web"].id == before
    assert dock.worker.log.count("APP_MODE is not set") >= 1  # that is a warning

    result = dock.deploy(head(local_image) + "    volumes: ['${APP_DATA}:/data']\n", **NO_PULL)
    assert (result["result"], result["error"]) == ("fail", "InvalidParameter"), result
    assert "APP_DATA is not set (volumes of service web)" in result["message"], result


def test_an_image_that_is_not_found_names_its_variable(dock_with, compose, registry, local_image):
    dock = dock_with(compose)
    result = dock.deploy(HEAD.replace("IMAGE", f"'{registry.address}/none${{APP_NAME}}:1'"), **NO_PULL)
    assert (result["result"], result["stage"]) == ("fail", "pull"), result
    assert "APP_NAME is not set (image of service web)" in result["message"], result
    assert result["error"] == "InvalidParameter", result


UNHEALTHY = """version: '2.4'
services:
  db:
    image: IMAGE
    stop_grace_period: 1s
    command: [sh, -c, "trap 'exit 0' TERM; sleep 1000000 & wait"]
    environment: {PASSWORD: '${HARBOUR_PASSWORD}'}
    healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 2, start_period: 0s}
  web:
    image: IMAGE
    stop_grace_period: 1s
    depends_on:
      db: {condition: service_healthy}
"""


def test_a_dependency_that_is_not_healthy_is_named(dock_with, compose, local_image):
    dock = dock_with(compose)
    result = dock.deploy(UNHEALTHY.replace("IMAGE", local_image), **NO_PULL)
    assert (result["result"], result["stage"]) == ("fail", "up"), result
    assert re.search(r"\bdb\b|[_-]db[_-]1", result["message"]) and "unhealthy" in result["message"], result
    assert "HARBOUR_PASSWORD is not set (environment of service db)" in result["message"], result
    assert result["error"] == "InternalError", result
    errors = [line for line in dock.worker.log.splitlines() if "docker-compose: " in line and "[ERROR]" in line]
    assert errors and not re.search(r"\b[0-9a-f]{12}\b", result["message"] + "".join(errors)), dock.worker.log
    dock.down(**NO_PULL)


def test_a_plan_shows_what_is_withheld(device_with, compose, local_image):
    device = device_with(compose)
    device.environment["AWS_ROLE_SESSION_NAME"] = "harbour"
    device.put_object("ships", "docker-compose.yml", head(local_image) + "    hostname: '${AWS_ROLE_SESSION_NAME:-a}'\n")
    device.start()
    [problem] = device.cli_json("plan", device.group(**NO_PULL))["problems"]
    assert problem["level"] == "warning", problem
    assert problem["message"].startswith("variable AWS_ROLE_SESSION_NAME (hostname of service web) is not passed to")
