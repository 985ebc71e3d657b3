# SPDX-License-Identifier: Apache-2.0
"""Deployments of images in Amazon ECR: a token of the role's is the password, and does not last."""
import pytest

from documents import assert_failure
from secrets_at_rest_test import files_that_show
from servers.engine import compose_file
from servers.registry import EcrRegistry
from servers.server import wait_until

HERE = {"DockerPullBeforeUp": "False"}
TOKEN = ["GetAuthorizationToken"]


@pytest.fixture
def ecr_device(device, ecr):
    """A device whose role may ask for tokens."""
    device.environment.update(ecr.environment())
    return device


def put_file(device, *images, tail=""):
    lines = ["version: '3.4'", "services:"]
    for at, image in enumerate(images):
        lines += [f"  s{at}:", f"    image: {image}", "    command: sleep 1000000", "    stop_grace_period: 1s"]
    device.put_object("ships", "docker-compose.yml", "\n".join(lines) + "\n" + tail)


def test_pulls_by_a_token(ecr_device, engine, ecr, ecr_image):
    """One for all hosts of an account."""
    fips = ecr_image.replace(EcrRegistry.HOST, EcrRegistry.FIPS_HOST)
    put_file(ecr_device, ecr_image, fips)
    ecr_device.start()
    ecr_device.deploy(ecr_device.group())
    assert set(engine.containers()) == {"s0", "s1"}
    assert ecr.accounts == ["123456789012"]
    for host in (EcrRegistry.HOST, EcrRegistry.FIPS_HOST):
        assert f"logged in to registry {host} as AWS" in ecr_device.log
    engine.forget_image(fips)


def test_a_token_opens_the_registry_of_a_compose_file(ecr_device, ecr, ecr_registry, authority):
    ecr_registry.publish("boats/app", "1", [("application/vnd.docker.compose.file+yaml", "compose.yml",
                                             compose_file(None, ["web"], "harbour/none:1"))])
    ecr_device.environment["AWS_CA_BUNDLE"] = str(authority.certificate)
    ecr_device.host["defaultUser"] = ecr_device.user.name
    ecr_device.start()
    plan = ecr_device.cli_json("plan", f"oci://{EcrRegistry.HOST}/boats/app:1", check=False)
    assert [service["action"] for service in plan["services"]] == ["created"], plan
    assert ecr.operations == TOKEN


def test_asks_for_a_token_for_each_account(ecr_device, engine, ecr, ecr_image):
    other = ecr_image.replace(EcrRegistry.HOST, EcrRegistry.OTHER_HOST)
    put_file(ecr_device, ecr_image, other)
    ecr_device.start()
    ecr_device.deploy(ecr_device.group())
    assert set(engine.containers()) == {"s0", "s1"}
    assert sorted(ecr.accounts) == ["123456789012", "210987654321"]
    engine.forget_image(other)


def test_fetches_tokens_beside_the_secrets(ecr_device, held, engine, ecr, ecr_image, s3, secrets_manager, registry,
                                           image):
    """As soon as the compose file is there, while a secret is not."""
    device = ecr_device
    device.host.pop("secretStore")
    bucket = s3.make_bucket("ecr-beside")
    s3.put(bucket, "app.yml", compose_file(None, ["web"], ecr_image).encode())
    device.use_s3(s3)
    for service in (secrets_manager, ecr):
        service.keys["AKIDLASTING"] = (device.environment["AWS_SECRET_ACCESS_KEY"], None)
        service.keys[device.environment["AWS_ACCESS_KEY_ID"]] = service.keys["AKIDLASTING"]
        device.environment[service.VARIABLE] = service.endpoint
    secrets_manager.gather(2)  # never answered before the token is asked for
    device.start()
    with device.begin(device.group(bucket=bucket, key="app.yml",
                                   secrets=[secrets_manager.put("h", registry.secret())])) as deployment:
        wait_until(lambda: ecr.operations == TOKEN, 60, lambda: device.log)
        assert secrets_manager.operations == []
        secrets_manager.gather(1)
        with secrets_manager.lock:
            secrets_manager.lock.notify_all()
        assert deployment.end()["exit"] == 0, device.log
    assert ecr.operations == TOKEN
    assert set(engine.containers()) == {"web"}


def test_finds_a_registry_whose_name_is_in_the_environment(ecr_device, engine, ecr, ecr_image):
    ecr_device.environment["REGISTRY"] = EcrRegistry.HOST.split(".", 1)[1]
    put_file(ecr_device, "123456789012.${REGISTRY}/demo/ecr:1")
    ecr_device.start()
    ecr_device.deploy(ecr_device.group())
    assert set(engine.containers()) == {"s0"}
    assert ecr.operations == TOKEN
    assert engine.has_image(ecr_image)


def test_what_is_only_mentioned_does_not_matter(ecr_device, engine, ecr, ecr_image):
    ecr.strangers.add("999999999999")
    put_file(ecr_device, ecr_image, tail="# was 999999999999.dkr.ecr.eu-west-1.amazonaws.com/demo/ecr:1\n")
    ecr_device.start()
    ecr_device.deploy(ecr_device.group())
    assert set(engine.containers()) == {"s0"}
    assert "999999999999" not in ecr_device.log


def test_says_which_right_the_role_lacks(ecr_device, broker, ecr, ecr_image, status_messages):
    ecr.denied.add("ecr:GetAuthorizationToken")
    put_file(ecr_device, ecr_image)
    ecr_device.use_broker(broker)
    ecr_device.start()
    ecr_device.deploy(ecr_device.group(), status=1)
    assert_failure(status_messages.next_json(), "InternalError", "ECR registry 123456789012 in eu-west-1",
                   "the role needs ecr:GetAuthorizationToken")
    assert ecr_device.status["last_deployment"]["stage"] == "authenticate"


def test_a_secret_for_the_registry_goes_before_a_token(ecr_device, engine, ecr, ecr_image):
    """As with the products of AWS Marketplace."""
    ecr.denied.add("ecr:GetAuthorizationToken")
    secret = {"username": "AWS", "password": EcrRegistry.PASSWORD, "registryUrl": f"https://{EcrRegistry.HOST}"}
    put_file(ecr_device, ecr_image)
    ecr_device.start()
    ecr_device.deploy(ecr_device.group(secrets=[ecr_device.put_secret("market", secret)]))
    assert set(engine.containers()) == {"s0"}


def test_a_device_without_aws_goes_on_with_what_is_here(device, engine, ecr_registry, ecr_image):
    device.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    put_file(device, ecr_image)
    device.start()
    done = device.deploy(device.group(), status=1)
    assert "pull image" in done.stderr and "there are no AWS credentials" in done.stderr
    engine.docker.images.pull(ecr_image, auth_config=ecr_registry.auth())
    device.deploy(device.group(**HERE))
    assert set(engine.containers()) == {"s0"}
    assert "continuing without a login for " + EcrRegistry.HOST in device.log


@pytest.fixture
def ecr_dock(dock, ecr):
    dock.device.environment.update(ecr.environment())
    return dock


def change_password(ecr, ecr_registry, told):
    """A function that does it when the pull is about to begin."""
    def on_line(line):
        if (line.get("stage"), line.get("state")) == ("pull", "begin"):
            ecr_registry.set_password("second-token")
            ecr.password = told

    return on_line


def test_a_pull_outlives_its_token(ecr_dock, engine, ecr, ecr_registry, ecr_image):
    result = ecr_dock.deploy(compose_file(None, ["web"], ecr_image), change_password(ecr, ecr_registry, "second-token"))
    assert result["result"] == "success", ecr_dock.worker.log
    assert ecr.operations == TOKEN * 2
    assert "retrying with a new token" in ecr_dock.worker.log
    for token in ("first-token", "second-token"):
        assert not ecr_dock.worker.seen(token)
    assert set(engine.containers()) == {"web"}


def test_a_second_refusal_ends_it(ecr_dock, ecr, ecr_registry, ecr_image):
    result = ecr_dock.deploy(compose_file(None, ["web"], ecr_image), change_password(ecr, ecr_registry, "third-token"))
    assert (result["result"], result["stage"], result["error"]) == ("fail", "pull", "InternalError")
    assert f"pull image {ecr_image}: " in result["message"]
    assert "ECR refuses, check that the role and the repository's policy allow ecr:BatchGetImage" in result["message"]
    assert ecr.operations == TOKEN * 2


def test_says_why_there_is_no_new_token(ecr_dock, ecr, ecr_registry, ecr_image):
    def on_line(line):
        change_password(ecr, ecr_registry, "second-token")(line)
        if (line.get("stage"), line.get("state")) == ("pull", "begin"):
            ecr.denied.add("ecr:GetAuthorizationToken")

    result = ecr_dock.deploy(compose_file(None, ["web"], ecr_image), on_line)
    assert (result["result"], result["stage"]) == ("fail", "pull")
    assert "and no new token could be fetched" in result["message"]
    assert "the role needs ecr:GetAuthorizationToken" in result["message"]


def test_builds_from_an_image_in_ecr(ecr_dock, engine, ecr, ecr_image):
    (ecr_dock.device.destination / "Dockerfile").write_text(f"FROM {ecr_image}\n")
    text = (f"services:\n  web:\n    build: .\n    command: sleep 1000000\n    stop_grace_period: 1s\n"
            f"# built from {EcrRegistry.HOST}\n")
    result = ecr_dock.deploy(text)
    assert result["result"] == "success", ecr_dock.worker.log
    assert set(engine.containers()) == {"web"}
    assert ecr.operations == TOKEN


def test_a_token_is_at_rest_nowhere(ecr_device, held, engine, ecr_image):
    put_file(ecr_device, ecr_image)
    ecr_device.start()
    held.hold("config")
    tops = [ecr_device.folder / name for name in ("state", "gg", "app", "run")]
    with ecr_device.begin(ecr_device.group()) as deployment:
        held.wait_held("config")
        assert files_that_show(b"first-token", *tops) == []
        held.release()
        assert deployment.end()["exit"] == 0
    assert files_that_show(b"first-token", *tops) == []
    assert "first-token" not in ecr_device.stderr
