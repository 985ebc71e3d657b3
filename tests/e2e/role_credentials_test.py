# SPDX-License-Identifier: Apache-2.0
"""Where our AWS credentials come from: against stand-ins of the services, and against what botocore makes of the same
environment and files.

The loader is driven by the program of tests/unit/aws/credentials_driver.c.
"""
import glob
import json
import os
import pathlib
import subprocess
import time
from unittest import mock

import botocore.exceptions
import botocore.session
import botocore.utils
import pytest

from servers.authority import Authority

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build/tests/unit/aws"
BARE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
THING = "lighter-1"


@pytest.fixture
def load(request):
    """load(settings, **environment): what the provider gave each time it was asked, as the driver prints it."""
    sanitized = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws"

    def run(settings=None, clock=None, **environment):
        variables = {**BARE, **environment}
        if clock:  # the plain build: libfaketime and the address sanitizer wait for each other
            library, = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
            variables.update(LD_PRELOAD=library, FAKETIME=clock, FAKETIME_DONT_RESET="1")
        words = [(BUILD if clock else sanitized) / "credentials_driver", json.dumps(settings or {})]
        done = subprocess.run(words, env={name: value for name, value in variables.items() if value is not None},
                              capture_output=True, text=True, timeout=60, check=True)
        assert not done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def iot(role_credentials):
    """iot(thing=…, …): settings for the driver to ask the credentials provider."""
    host = role_credentials.attach("lighter-1-device", THING)

    def settings(**more):
        ours = {"role_alias": host["roleAlias"], "endpoint": host["endpoint"], "certificate": host["certificate"],
                "private_key": host["privateKey"], "ca": host["ca"], "thing_name": THING, "timeout_ms": 10000}
        return {name: value for name, value in {**ours, **more}.items() if value is not None}

    return settings


def assert_refused(answers, kind, *parts):
    assert answers[-1]["rc"] == kind, answers
    for part in parts:
        assert part in answers[-1]["message"], answers
    assert "secret-" not in answers[-1]["message"]


def test_iot_gives_the_roles_credentials_to_the_attached_thing(role_credentials, load, iot):
    answer, = load(iot())
    assert (answer["id"], answer["secret"], answer["token"]) == ("ASIA0001", "secret-1", "token-1")
    assert abs(answer["expires_ms"] / 1000 - time.time() - 3600) < 60
    service, method, path, headers = role_credentials.requests[-1]
    assert (service, method, path) == ("iot", "GET", "/role-aliases/ship-role-alias/credentials")
    assert headers["x-amzn-iot-thingname"] == THING


def test_iot_gives_them_without_a_thing_name_too(load, iot):
    assert load(iot(thing_name=None))[0]["rc"] == "ok"


def test_iot_refuses_another_thing(load, iot):
    assert_refused(load(iot(thing_name="lighter-2")), "denied", "HTTP 403: Access Denied", "'lighter-2'",
                   "attached to that thing")


def test_iot_has_no_such_role_alias(load, iot):
    assert_refused(load(iot(role_alias="other")), "not found", "no role alias 'other'", "Role alias does not exist")


@pytest.fixture(params=["1.2", "1.3"])
def tls_version(request, role_credentials):
    """The test runs with each: with 1.3 the server's alert comes when the handshake has long been done."""
    role_credentials.use_tls(request.param)
    yield request.param
    role_credentials.use_tls(None)


def test_iot_lets_nobody_in_without_its_authoritys_certificate(role_credentials, tls_version, sandbox, load, iot):
    stranger = Authority(sandbox / f"stranger-{tls_version}", "Another authority")
    certificate, key = stranger.issue("lighter-1-device")
    answers = load(iot(certificate=str(certificate), private_key=str(key), attempts=2))
    assert_refused(answers, "denied", "the AWS IoT credentials provider: ",
                   f"does not trust the authority that issued the device's certificate '{certificate}'")
    assert not role_credentials.requests


@pytest.mark.parametrize("from_days, days, words", [(-3, -1, "expired at "), (1, 3, "is not valid before ")])
def test_a_certificate_out_of_its_time_is_named(role_credentials, tls_version, load, iot, from_days, days, words):
    certificate, key = role_credentials.authority.issue(f"odd-{days}-{tls_version}", days=days, from_days=from_days)
    answers = load(iot(certificate=str(certificate), private_key=str(key), attempts=2))
    assert_refused(answers, "denied", f"the device's certificate '{certificate}' {words}", "does not accept it", "clock")
    assert not role_credentials.requests


def test_a_certificate_that_only_the_server_takes_for_expired_is_a_matter_of_clocks(role_credentials, tls_version, load,
                                                                                    iot):
    certificate, key = role_credentials.authority.issue(f"slow-{tls_version}", days=-1)
    answers = load(iot(certificate=str(certificate), private_key=str(key), attempts=2, ca=None), clock="-2d",
                   AWS_CA_BUNDLE=str(role_credentials.authority.certificate))
    assert_refused(answers, "denied", "it has expired there, but is valid until", "set the clock")


def test_the_provider_must_be_who_it_says(sandbox, load, iot):
    stranger = Authority(sandbox / "stranger-ca", "Another authority")
    assert_refused(load(iot(ca=str(stranger.certificate))), "network", "check the CA file")


def test_iot_is_asked_before_the_environment(load, iot):
    keys = {"AWS_ACCESS_KEY_ID": "ENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "x"}
    assert load(iot(), **keys)[0]["id"] == "ASIA0001"
    assert_refused(load(iot(thing_name="lighter-2"), **keys), "denied", "AWS IoT gives thing")


SERVICES = ["iot", "metadata", "container"]


@pytest.fixture
def ask(role_credentials, load, iot):
    """ask(service, …): from that one."""
    def run(service, **more):
        if service == "iot":
            return load(iot(**more))
        if service == "metadata":
            return load({"timeout_ms": 10000, **more}, AWS_EC2_METADATA_DISABLED=None,
                        **role_credentials.metadata_environment())
        return load({"timeout_ms": 10000, **more}, **role_credentials.container_environment())

    return run


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("fault", ["slow", "500", "429", "half", "close"])
def test_a_passing_fault_is_got_over(role_credentials, ask, service, fault):
    role_credentials.fail(fault)
    assert ask(service, attempts=5, timeout_ms=500 if fault == "slow" else 10000)[0]["rc"] == "ok"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("fault, sentence", [
    ("slow", "does not answer in time"), ("500", "HTTP 500"), ("429", "HTTP 429"), ("half", "broke"),
    ("close", "after 2 attempts"), ("rubbish", "")])
def test_a_lasting_fault_is_named(role_credentials, ask, service, fault, sentence):
    role_credentials.fail(*[fault] * 6)
    answers = ask(service, attempts=2, timeout_ms=200 if fault == "slow" else 10000)
    assert answers[0]["rc"] != "ok"
    assert_refused(answers, answers[0]["rc"], sentence)
    # Rubbish may be a token of the metadata service: the next answer shows that it is none.
    assert len(role_credentials.requests) == (1 if fault == "rubbish" and service != "metadata" else 2)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_gone_is_named(role_credentials, load, ask, service):
    where = role_credentials.address(service)
    environment = {**role_credentials.metadata_environment(), **role_credentials.container_environment()}
    if service == "metadata":
        environment.pop("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        environment["AWS_EC2_METADATA_DISABLED"] = "false"
    settings = {"attempts": 2, "timeout_ms": 10000}
    if service == "iot":
        pki = role_credentials.attach("lighter-1-device", THING)
        settings.update(role_alias="r", endpoint=where, certificate=pki["certificate"], private_key=pki["privateKey"])
    role_credentials.stop()
    assert_refused(load(settings, **environment), "not found" if service == "metadata" else "network",
                   f"after 2 attempts: no connection to {where}")


@pytest.mark.parametrize("service", SERVICES)
def test_credentials_are_kept(role_credentials, ask, service):
    assert [answer["id"] for answer in ask(service, gets=3)] == ["ASIA0001"] * 3


@pytest.mark.parametrize("service", SERVICES)
def test_credentials_are_renewed_early(role_credentials, ask, service):
    role_credentials.lifetime_s = 299
    assert [answer["id"] for answer in ask(service, gets=2)] == ["ASIA0001", "ASIA0002"]


@pytest.mark.parametrize("service", SERVICES)
def test_valid_credentials_outlive_a_renewal_that_fails(role_credentials, ask, service):
    role_credentials.lifetime_s = 120
    role_credentials.fail(*[None] * (3 if service == "metadata" else 1), *["500"] * 6)
    assert [answer["id"] for answer in ask(service, gets=3, attempts=2)] == ["ASIA0001"] * 3


@pytest.mark.parametrize("service", SERVICES)
def test_others_are_got_when_a_service_says_that_they_are_over(role_credentials, ask, service):
    assert [answer["id"] for answer in ask(service, gets=2, expire=True)] == ["ASIA0001", "ASIA0002"]


@pytest.mark.parametrize("clock", ["-2d", "+2d"])
def test_a_wrong_clock_does_not_change_how_long_they_are_kept(role_credentials, load, clock):
    answers = load({"gets": 2}, clock=clock, **role_credentials.container_environment())
    assert [answer["id"] for answer in answers] == ["ASIA0001", "ASIA0001"]
    role_credentials.lifetime_s = 120
    answers = load({"gets": 2}, clock=clock, **role_credentials.container_environment())
    assert [answer["id"] for answer in answers] == ["ASIA0002", "ASIA0003"]


def test_the_container_endpoint_wants_its_token(role_credentials, load):
    environment = {**role_credentials.container_environment(), "AWS_CONTAINER_AUTHORIZATION_TOKEN": "other"}
    assert_refused(load(**environment), "denied", "HTTP 401: the token is not this container's")


def test_credentials_of_the_container_endpoint_open_a_bucket(role_credentials, s3, request):
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws/s3_driver"
    if "role-credentials" not in [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket("role-credentials")
    s3.put("role-credentials", "key", b"cargo")
    role_credentials.keys = s3.ACCESS_KEY, s3.SECRET_KEY
    environment = {**BARE, **role_credentials.container_environment(), "AWS_ENDPOINT_URL_S3": s3.endpoint}
    wanted = {"bucket": "role-credentials", "key": "key", "region": s3.REGION}
    done = subprocess.run([driver, json.dumps(wanted)], env=environment, capture_output=True, text=True, timeout=60,
                          check=True)
    assert json.loads(done.stdout).get("text") == "cargo", done.stdout


def test_the_stand_ins_answer_as_botocore_expects(role_credentials):
    base = role_credentials.metadata_environment()["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + "/"
    taken = botocore.utils.InstanceMetadataFetcher(base_url=base).retrieve_iam_role_credentials()
    assert (taken["role_name"], taken["access_key"]) == ("ship-role", "ASIA0001")
    assert [request[1] for request in role_credentials.requests] == ["PUT", "GET", "GET"]
    environment = role_credentials.container_environment()
    taken = botocore.utils.ContainerMetadataFetcher().retrieve_full_uri(
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        headers={"Authorization": environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]})
    assert taken["AccessKeyId"] == "ASIA0002"


def keys(name, *more):
    return "\n".join([f"aws_access_key_id = {name}", f"aws_secret_access_key = secret/+={name}", *more, ""])


ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "x"}
# Name: environment, credentials file, config file.
LIKE_BOTOCORE = {
    "environment": (ENVIRONMENT, "[default]\n" + keys("CREDENTIALS"), None),
    "environment before the profile": ({**ENVIRONMENT, "AWS_PROFILE": "a"}, "[a]\n" + keys("A"), None),
    "token in the environment": ({**ENVIRONMENT, "AWS_SESSION_TOKEN": "t=="}, None, None),
    "credentials file": ({}, "[default]\n" + keys("A", "aws_session_token = t+/=="), "[default]\n" + keys("B")),
    "config file": ({}, None, "[default]\n" + keys("B")),
    "config file behind another profile": ({}, "[a]\n" + keys("A"), "[default]\n" + keys("B")),
    "named": ({"AWS_PROFILE": "a"}, "[default]\n" + keys("D") + "[a]\n" + keys("A"), None),
    "named in the config file": ({"AWS_PROFILE": "b"}, "[a]\n" + keys("A"), "[profile b]\n" + keys("B")),
    "named with a space": ({"AWS_PROFILE": "two words"}, None, "[profile \"two words\"]\n" + keys("B")),
    "default as a profile": ({}, None, "[profile default]\n" + keys("B")),
    "keys without a section of their own": ({}, "[default]\nregion = x\n[b]\n" + keys("B"), None),
    "config sections without the word": ({"AWS_PROFILE": "b"}, "[b]\nregion = x\n", "[b]\n" + keys("B")),
    "indented": ({}, "[default]\n  " + keys("A").replace("\n", "\n  ") + "\n", None),
    "nested": ({}, None, "[default]\ns3 =\n  aws_access_key_id = N\n  x = y\n" + keys("B")),
    "comments and blank lines": ({}, "# a\n\n[default]\n; b\n\n" + keys("A", "# c"), None),
    "line ends of another system": ({}, ("[default]\n" + keys("A")).replace("\n", "\r\n"), None),
    "upper case": ({}, "[default]\n" + keys("A").replace("aws_access_key_id", "AWS_ACCESS_KEY_ID"), None),
    "without spaces": ({}, "[default]\n" + keys("A").replace(" = ", "="), None),
    "a process behind keys": ({}, "[default]\n" + keys("A"), "[default]\ncredential_process = /bin/false\n"),
    "nothing": ({}, None, None),
    "empty files": ({}, "", ""),
    # Both end in a failure.
    "half": ({}, "[default]\naws_access_key_id = A\n", None),
    "unknown profile": ({"AWS_PROFILE": "none"}, "[default]\n" + keys("A"), None),
    "no section": ({}, keys("A"), None),
    "rubbish": ({}, "[default]\nrubbish\n", None),
}


def of_botocore(environment):
    with mock.patch.dict(os.environ, environment, clear=True):
        try:
            taken = botocore.session.Session().get_credentials()
        except botocore.exceptions.BotoCoreError:
            return "failure"
    return (taken.access_key, taken.secret_key, taken.token or "") if taken else "none"


@pytest.mark.parametrize("name", LIKE_BOTOCORE)
def test_finds_in_environment_and_files_what_botocore_finds(folder, load, name):
    environment, credentials, config = LIKE_BOTOCORE[name]
    for path, text in ((folder / ".aws/credentials", credentials), (folder / ".aws/config", config)):
        if text is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, newline="")
    environment = {**environment, "HOME": str(folder)}
    answer, = load(**environment)
    ours = {"ok": lambda: (answer["id"], answer["secret"], answer["token"]), "not found": lambda: "none"}.get(
        answer["rc"], lambda: "failure")()
    assert ours == of_botocore({**BARE, **environment}), answer
