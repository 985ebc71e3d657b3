# SPDX-License-Identifier: Apache-2.0
"""The servers that all other tests stand on are the real ones, and refuse what they must refuse."""
import http.client
import json
import os
import pathlib
import select
import shutil
import subprocess

import botocore.exceptions
import docker
import pytest

from servers.compose import HeldCompose
from servers.engine import PROJECT, compose_file, page
from servers.server import free_port, run, wait_until


def test_engine_runs_a_container(engine):
    engine.make_image("fixtures/hello:1")
    assert engine.docker.containers.run("fixtures/hello:1", ["echo", "hello"], remove=True) == b"hello\n"


def test_engine_is_the_one_of_the_tests(engine, sandbox):
    assert engine.docker.info()["DockerRootDir"] == str(sandbox / "engine/data")


def test_the_sandbox_keeps_its_users_when_the_machines_are_replaced():
    """As useradd or the installation of a package does; to the inner sandbox this one is the machine."""
    sandbox = pathlib.Path(__file__).with_name("sandbox")
    script = "echo walter:x:59999:59999::/:/bin/sh >>/etc/passwd; echo ready; read -r go; getent passwd walter"
    with subprocess.Popen([sandbox, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inner:
        assert inner.stdout.readline() == "ready\n"
        shutil.copy2("/etc/passwd", "/etc/passwd+")
        os.replace("/etc/passwd+", "/etc/passwd")
        found, _ = inner.communicate("go\n")
    assert (inner.returncode, found) == (0, "walter:x:59999:59999::/:/bin/sh\n")


def test_engine_comes_back_after_a_stop(engine):
    engine.stop()
    with pytest.raises(Exception):
        engine.docker.ping()
    engine.start()
    assert engine.docker.ping()


def test_only_a_member_of_the_docker_group_may_use_the_engine(engine, user, stranger):
    ask = ["curl", "--silent", "--fail", "--unix-socket", engine.SOCKET, "http://engine/_ping"]
    assert run("setpriv", f"--reuid={user.uid}", f"--regid={user.uid}", "--init-groups", *ask).stdout == "OK"
    refused = run("setpriv", f"--reuid={stranger.uid}", f"--regid={stranger.uid}", "--init-groups", *ask, check=False)
    assert refused.returncode != 0


def test_registry_takes_the_right_password_only(engine, registry):
    login = {"username": registry.USER, "registry": registry.address, "reauth": True}
    assert engine.docker.login(password=registry.PASSWORD, **login)["Status"] == "Login Succeeded"
    with pytest.raises(docker.errors.APIError, match="401"):
        engine.docker.login(password="wrong", **login)


def test_private_image_is_pulled_with_the_password_only(engine, registry, image):
    with pytest.raises(docker.errors.APIError):
        engine.docker.images.pull(image, auth_config={"username": registry.USER, "password": "wrong"})
    assert not engine.has_image(image)
    engine.docker.images.pull(image, auth_config=registry.auth())
    assert engine.has_image(image)


def test_s3_stores_keys_as_they_are_named(s3):
    bucket = s3.make_bucket("fixtures-keys")
    for key in ("a b+c", "ü=1", "%20", "x/y~z"):
        s3.put(bucket, key, key.encode())
        assert s3.client().get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()


def test_s3_keeps_versions(s3):
    bucket = s3.make_bucket("fixtures-versions", versions=True)
    first, second = s3.put(bucket, "key", b"one"), s3.put(bucket, "key", b"two")
    assert first != second
    assert s3.client().get_object(Bucket=bucket, Key="key", VersionId=first)["Body"].read() == b"one"
    assert s3.client().get_object(Bucket=bucket, Key="key")["Body"].read() == b"two"


def test_s3_keeps_what_it_has_over_a_restart(s3):
    bucket = s3.make_bucket("fixtures-restart")
    s3.put(bucket, "key", b"kept")
    s3.restart()
    assert s3.client().get_object(Bucket=bucket, Key="key")["Body"].read() == b"kept"


@pytest.mark.parametrize("wrong, code", [({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
                                         ({"region": "us-west-2"}, "AuthorizationHeaderMalformed")])
def test_s3_checks_the_signature(s3, wrong, code):
    # Not with a bucket: after an answer that names the region boto3 would sign again for it.
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        s3.client(**wrong).list_buckets()
    assert caught.value.response["Error"]["Code"] == code


def test_s3_refuses_a_user_without_rights(s3):
    bucket = s3.make_bucket("fixtures-denied")
    poor = s3.client(access_key=s3.POOR_ACCESS_KEY, secret_key=s3.POOR_SECRET_KEY)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        poor.put_object(Bucket=bucket, Key="key", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def test_s3_refuses_a_signature_of_another_time(s3):
    with s3.clock("-2h"):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            s3.client().list_buckets()
        assert caught.value.response["Error"]["Code"] == "RequestTimeTooSkewed"
    assert s3.is_ready()


def test_a_frozen_server_takes_questions_and_answers_later(registry):
    with registry.frozen():
        connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=60)
        connection.request("GET", "/v2/")
        assert select.select([connection.sock], [], [], 0)[0] == []
    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.parametrize("transport", ["tcp", "socket", "tls"])
def test_broker_delivers_over(broker, transport):
    where = broker.over(transport)
    words = ["mosquitto_pub", "-q", "1", "-t", "fixtures/topic", "-m", json.dumps({"over": transport})]
    if transport == "socket":
        words += ["--unix", where["socket"]]
    else:
        words += ["-h", where["host"], "-p", where["port"]]
    if transport == "tls":
        words += ["--cafile", where["ca"], "--cert", where["certificate"], "--key", where["privateKey"]]
    with broker.subscriber("fixtures/topic") as subscriber:
        run(*words)
        assert subscriber.next_json() == {"over": transport}


def test_broker_wants_a_certificate_over_tls(broker):
    where = broker.over("tls")
    refused = run("mosquitto_pub", "-h", where["host"], "-p", where["port"], "--cafile", where["ca"], "-t", "t",
                  "-m", "m", check=False)
    assert refused.returncode != 0


def test_subscriber_finds_a_restarted_broker(broker):
    with broker.subscriber("fixtures/again") as subscriber:
        broker.restart()
        subscriber.wait_subscribed()
        run("mosquitto_pub", "-h", "127.0.0.1", "-p", broker.port, "-q", "1", "-t", "fixtures/again", "-m", "1")
        assert subscriber.next_json() == 1


def test_compose_starts_and_stops_two_services(engine, compose, folder):
    assert run(compose.path, "version", "--short").stdout.lstrip("v").startswith(f"{compose.generation}.")
    image, port = engine.make_image("fixtures/web:1", release="good morning"), free_port()
    compose_file(folder / "app.yml", ["web", "other"], image, ports={"web": port})
    compose("up", "-d", project=PROJECT, file=folder / "app.yml")
    assert set(engine.containers()) == {"web", "other"}
    assert wait_until(lambda: page(port), 30, "the page is not served") == "good morning"
    compose("down", project=PROJECT, file=folder / "app.yml")
    assert not engine.containers(everything=True)


def test_a_held_compose_waits_in_the_middle_of_up(engine, compose, local_image, user, folder):
    held = HeldCompose(compose.path, folder / "held", user)
    compose_file(folder / "app.yml", ["first", "second"], local_image)
    held.hold("up")
    words = [held.path, "-p", PROJECT, "-f", folder / "app.yml"]
    up = subprocess.Popen([*map(str, words), "up", "-d"], stdin=subprocess.DEVNULL)
    held.wait_held("up")
    assert set(engine.containers()) == {"first"} and held.processes() == [up.pid]
    held.release()
    assert up.wait(60) == 0
    assert set(engine.containers()) == {"first", "second"}
    run(*words, "down")
    assert held.processes() == [] and engine.containers(everything=True) == {}
