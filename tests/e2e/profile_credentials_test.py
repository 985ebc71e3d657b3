# SPDX-License-Identifier: Apache-2.0
"""Credentials that a profile does not hold itself: a role, assumed with those of another source, a web identity, a
program. Against a stand-in for STS that checks what AWS checks, and against what botocore makes of the same files.

The loader is driven by the program of tests/unit/aws/credentials_driver.c.
"""
import json
import os
import time
from unittest import mock

import botocore.exceptions
import botocore.session
import pytest

from role_credentials_test import BARE, assert_refused, load  # noqa: F401  pylint: disable=unused-import
from servers.server import processes, wait_until

KEYS = "aws_access_key_id = AKIDLASTING\naws_secret_access_key = lasting/secret+\n"
LASTING = {"AWS_ACCESS_KEY_ID": "AKIDLASTING", "AWS_SECRET_ACCESS_KEY": "lasting/secret+"}
FIRST = ("ASIASTS1", "sts-secret-1/+", "sts-token-1/+==")


@pytest.fixture
def home(folder):
    """home(config, credentials): an environment with these files in its home."""
    def make(config="", credentials=None, **environment):
        (folder / ".aws").mkdir(exist_ok=True)
        (folder / ".aws/config").write_text(config)
        if credentials is not None:
            (folder / ".aws/credentials").write_text(credentials)
        return {"HOME": str(folder), **environment}

    return make


@pytest.fixture
def assume(sts, home, load):  # noqa: F811
    """assume(config, …): what is loaded with this config file, STS being the stand-in."""
    def run(config, credentials=None, settings=None, clock=None, **environment):
        environment = home(config, credentials, AWS_ENDPOINT_URL_STS=sts.endpoint, AWS_REGION=sts.region, **environment)
        answer, = load({"timeout_ms": 10000, "attempts": 2, **(settings or {})}, clock, **environment)
        return answer

    return run


def taken(answer):
    return answer.get("id"), answer.get("secret"), answer.get("token")


def test_a_role_is_assumed_with_the_keys_of_another_profile(sts, assume):
    arn = sts.role("ship", "AKIDLASTING")
    answer = assume(f"[default]\nrole_arn = {arn}\nsource_profile = base\n[profile base]\n{KEYS}")
    assert taken(answer) == FIRST, answer
    assert answer["source"] == "STS AssumeRole"
    assert abs(answer["expires_ms"] / 1000 - time.time() - 3600) < 60
    call, = sts.calls
    assert call == {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": arn, "RoleSessionName": "lighterman"}


def test_a_role_is_asked_for_as_the_profile_says(sts, assume):
    arn = sts.role("ship", "AKIDLASTING", external_id="a b&c=d/é")
    answer = assume(f"[default]\nrole_arn = {arn}\nsource_profile = base\nrole_session_name = lighter@1\n"
                    f"external_id = a b&c=d/é\nduration_seconds = 900\n[profile base]\n{KEYS}")
    assert taken(answer) == FIRST, answer
    call, = sts.calls
    assert (call["RoleSessionName"], call["ExternalId"], call["DurationSeconds"]) == ("lighter@1", "a b&c=d/é", "900")


@pytest.mark.parametrize("source", ["Environment", "Ec2InstanceMetadata", "EcsContainer"])
def test_a_role_is_assumed_with_a_credential_source(role_credentials, sts, assume, source):
    role_credentials.keys = "AKIDLASTING", "lasting/secret+"
    sts.keys["AKIDLASTING"] = ("lasting/secret+", None if source == "Environment" else "token-1")
    arn = sts.role("ship", "AKIDLASTING")
    environment = {"Environment": {},
                   "Ec2InstanceMetadata": {**role_credentials.metadata_environment(), "AWS_EC2_METADATA_DISABLED": None},
                   "EcsContainer": role_credentials.container_environment()}[source]
    config = f"[default]\nrole_arn = {arn}\ncredential_source = {source}\n"
    answer = assume(config, **environment)
    if source == "Environment":  # keys in the environment come before the profile, so it is never asked with any
        assert_refused([answer], "invalid", "credential_source: AWS_ACCESS_KEY_ID is not set")
    else:
        assert taken(answer) == FIRST, answer


def test_roles_are_assumed_one_with_the_other(sts, assume):
    outer, inner = sts.role("outer", "ASIASTS1"), sts.role("inner", "AKIDLASTING")
    answer = assume(f"[default]\nrole_arn = {outer}\nsource_profile = middle\n[profile middle]\nrole_arn = {inner}\n"
                    f"source_profile = base\n", f"[base]\n{KEYS}")
    assert answer["id"] == "ASIASTS2", answer
    assert sts.client_keys == ["AKIDLASTING", "ASIASTS1"]


def test_a_profile_may_be_its_own_source(sts, assume):
    arn = sts.role("ship", "AKIDLASTING")
    assert taken(assume(f"[default]\nrole_arn = {arn}\nsource_profile = default\n{KEYS}")) == FIRST


ROLE = "role_arn = arn:aws:iam::123456789012:role/ship\n"
WRONG = {
    "loop": (f"[default]\n{ROLE}source_profile = a\n[profile a]\n{ROLE}source_profile = default\n",
             "AWS profile 'default' is its own source_profile"),
    "itself": (f"[default]\n{ROLE}source_profile = default\n", "'default' is its own source_profile"),
    "too long": ("".join(f"[profile p{i}]\n{ROLE}source_profile = p{i + 1}\n" for i in range(20))
                 + f"[default]\n{ROLE}source_profile = p0\n", "at most eight are followed"),
    "no such profile": (f"[default]\n{ROLE}source_profile = none\n", "source_profile: there is no profile 'none'"),
    "no source": (f"[default]\n{ROLE}", "neither source_profile nor credential_source"),
    "both": (f"[default]\n{ROLE}source_profile = a\ncredential_source = EcsContainer\n[profile a]\n{KEYS}",
             "has both source_profile and credential_source"),
    "odd source": (f"[default]\n{ROLE}credential_source = Cloud\n", "none of Environment, Ec2InstanceMetadata"),
    "source without": (f"[default]\n{ROLE}source_profile = a\n[profile a]\nregion = x\n",
                       "source_profile: there is no '"),
    "mfa": (f"[default]\n{ROLE}source_profile = a\nmfa_serial = arn:aws:iam::1:mfa/x\n[profile a]\n{KEYS}",
            "has an mfa_serial"),
    "duration": (f"[default]\n{ROLE}source_profile = a\nduration_seconds = 1h\n[profile a]\n{KEYS}",
                 "duration_seconds that is not a number"),
    "short duration": (f"[default]\n{ROLE}source_profile = a\nduration_seconds = 60\n[profile a]\n{KEYS}",
                       "duration_seconds that is not a number from 900"),
    "no arn": (f"[default]\nrole_arn = ship\nsource_profile = a\n[profile a]\n{KEYS}", "not the ARN of a role"),
    "sso of the source": (f"[default]\n{ROLE}source_profile = a\n[profile a]\nsso_session = x\n", "'sso_session'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_role_is_named_and_nothing_is_asked(sts, assume, name):
    config, words = WRONG[name]
    assert_refused([assume(config)], "invalid", words)
    assert sts.count == 0


def test_a_role_that_may_not_be_assumed_is_named(sts, assume):
    sts.role("ship")
    answer = assume(f"[default]\n{ROLE}source_profile = a\n[profile a]\n{KEYS}")
    assert_refused([answer], "denied", "access key AKIDLASTING from the AWS config file may not assume role "
                   "'arn:aws:iam::123456789012:role/ship'", "sts:AssumeRole", "is not authorized to perform")


@pytest.mark.parametrize("change, words", [
    ({"aws_secret_access_key": "hunter2"}, "SignatureDoesNotMatch"),
    ({"aws_access_key_id": "AKIDOTHER"}, "InvalidClientTokenId"),
    ({"aws_session_token": "hunter2"}, "InvalidClientTokenId")])
def test_credentials_that_sts_does_not_accept_are_named(sts, assume, change, words):
    sts.role("ship", "AKIDLASTING")
    config = f"[default]\n{ROLE}source_profile = a\n[profile a]\n{KEYS}" + "".join(
        f"{name} = {value}\n" for name, value in change.items())
    answer = assume(config)
    assert_refused([answer], "denied", "STS does not accept access key", words)
    assert "hunter2" not in answer["message"] and "lasting/secret" not in answer["message"]


@pytest.mark.parametrize("how", [500, 503, "half", "close"])
def test_a_passing_fault_of_sts_is_got_over(sts, assume, how):
    arn = sts.role("ship", "AKIDLASTING")
    sts.misbehave(how)
    answer = assume(f"[default]\nrole_arn = {arn}\nsource_profile = a\n[profile a]\n{KEYS}")
    assert answer.get("id", "").startswith("ASIASTS"), answer
    assert sts.count == 2


@pytest.mark.parametrize("how, kind, words", [
    (500, "refused", "answers HTTP 500"), ("rubbish", "protocol", "holds no usable credentials"),
    ("close", "network", "ask STS for the credentials of role")])
def test_a_lasting_fault_of_sts_is_named(sts, assume, how, kind, words):
    sts.role("ship", "AKIDLASTING")
    sts.always = how
    answer = assume(f"[default]\n{ROLE}source_profile = a\n[profile a]\n{KEYS}")
    assert_refused([answer], kind, words)
    assert "hunter2" not in answer["message"]


@pytest.mark.parametrize("clock", ["-2h", "+2d"])
def test_a_wrong_clock_is_corrected(sts, assume, clock):
    arn = sts.role("ship", "AKIDLASTING")
    assert taken(assume(f"[default]\nrole_arn = {arn}\nsource_profile = a\n[profile a]\n{KEYS}", clock=clock)) == FIRST


@pytest.fixture
def token(folder):
    path = folder / "token"
    path.write_text("eyJ.web-identity_token.sig")
    return path


def test_a_web_identity_of_the_environment_is_sent_unsigned(sts, assume, token):
    token.write_text("eyJ.web-identity_token.sig\n")  # as an editor leaves it
    arn = sts.role("ship", "eyJ.web-identity_token.sig")
    answer = assume("", f"[default]\n{KEYS}", AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ROLE_ARN=arn,
                    AWS_ROLE_SESSION_NAME="pod-1")
    assert taken(answer) == FIRST, answer
    assert sts.calls[0]["RoleSessionName"] == "pod-1"
    assert sts.client_keys == [None]


def test_a_web_identity_of_a_profile_is_sent_unsigned(sts, assume, token):
    arn = sts.role("ship", "eyJ.web-identity_token.sig")
    assert taken(assume(f"[default]\nrole_arn = {arn}\nweb_identity_token_file = {token}\n")) == FIRST
    arn = sts.role("outer", "ASIASTS2")
    answer = assume(f"[default]\nrole_arn = {arn}\nsource_profile = a\n[profile a]\n"
                    f"role_arn = {sts.role('ship', 'eyJ.web-identity_token.sig')}\nweb_identity_token_file = {token}\n")
    assert answer["id"] == "ASIASTS3", answer


def test_what_is_wrong_with_a_web_identity_is_named(sts, assume, token):
    sts.role("ship")
    assert_refused([assume("", AWS_WEB_IDENTITY_TOKEN_FILE=str(token))], "invalid", "no role", "AWS_ROLE_ARN")
    one = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/ship", "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
    assert_refused([assume("", **{**one, "AWS_WEB_IDENTITY_TOKEN_FILE": "/none"})], "invalid", "no file '/none'")
    assert_refused([assume("", **one)], "denied", "trust policy of role", "Not authorized")
    token.write_text("expired.token")
    assert_refused([assume("", **one)], "denied", "STS does not accept the web identity token", "ExpiredTokenException")
    token.write_text("two words")
    assert_refused([assume("", **one)], "invalid", "holds no token")


# credential_process

GIVEN = {"Version": 1, "AccessKeyId": "ASIAPROCESS", "SecretAccessKey": "process/secret+", "SessionToken": "process=="}


@pytest.fixture
def program(folder):
    """program(script): the path of a program, whose name has a space."""
    def make(script):
        path = folder / "sign helper"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def printing(**more):
    document = {name: value for name, value in {**GIVEN, **more}.items() if value is not None}
    return f"cat <<'END'\n{json.dumps(document)}\nEND"


def test_a_program_gives_credentials_and_is_not_run_by_a_shell(folder, program, assume):
    path = program(f'printf "%s|" "$@" > {folder}/arguments; {printing(Expiration="2099-01-01T00:00:00Z")}')
    answer = assume(f"[default]\ncredential_process = \"{path}\" --key 'a b' \"c \\\"d\\\"\" $HOME `id` ; e\\ f #\n")
    assert taken(answer) == ("ASIAPROCESS", "process/secret+", "process=="), answer
    assert answer["expires_ms"] == 4070908800000
    assert (folder / "arguments").read_text() == '--key|a b|c "d"|$HOME|`id`|;|e f|#|'


def test_a_command_may_go_on_in_lines_that_are_indented(folder, program, assume):
    path = program(f'printf "%s|" "$@" > {folder}/arguments; {printing()}')
    assume(f"[default]\ncredential_process = '{path}' sign\n  --key a=b\n\n    --region 'x\n  y'\nregion = eu-west-1\n")
    assert (folder / "arguments").read_text().split("|")[:4] == ["sign", "--key", "a=b", "--region"]


@pytest.mark.parametrize("expiration, ms", [(None, 0), ("2099-01-01T02:00:00+02:00", 4070908800000),
                                            ("2098-12-31T19:00:00.5-0500", 4070908800000)])
def test_the_time_at_which_they_end_is_read(program, assume, expiration, ms):
    path = program(printing(Expiration=expiration))
    assert assume(f"[default]\ncredential_process = '{path}'\n")["expires_ms"] == ms


@pytest.mark.parametrize("script, kind, words", [
    ("echo 'error: no key aB3dE5fG7hI9jK1lM3nO5pQ7 for hunter2' >&2; exit 3", "refused",
     f"exit status 3; what it prints is not shown, as it may be secret: run it by hand as user {os.getuid()}"),
    ("yes hunter2 | head -c 3000000 >&2; exit 1", "refused", "exit status 1"),
    ("kill -9 $$", "refused", "killed by signal 9"),
    ("echo secret-hunter2", "protocol", "it is not JSON"),
    ("echo '[]'", "protocol", "it is an array"),
    (printing(Version=2), "protocol", "its Version is not 1"),
    (printing(Version=None), "protocol", "its Version is not 1"),
    (printing(SecretAccessKey=None), "protocol", "it has no SecretAccessKey"),
    (printing(Expiration="soon"), "protocol", "Expiration"),
    (printing(Expiration="2001-01-01T00:00:00Z"), "denied", "have already expired"),
    ("head -c 200000 /dev/zero | tr '\\0' x; sleep 60", "too large", "writes more than 65536 bytes"),
])
def test_what_is_wrong_with_a_program_is_named_without_its_output(program, assume, script, kind, words):
    path = program(script)
    answer = assume(f"[default]\ncredential_process = '{path}'\n{KEYS}")
    assert_refused([answer], kind, "AWS profile 'default', credential_process", words)
    for secret in ("hunter2", "process/secret", "aB3dE5fG7", "process=="):
        assert secret not in answer["message"]


@pytest.mark.parametrize("command, words", [
    ("/none/x", "/none/x"), ("no-such-program-here", "neither an absolute path nor in PATH"),
    ("bin/x", "neither an absolute path"), ("x 'y", "has a quote that is not closed")])
def test_a_command_that_cannot_be_run_is_named(assume, command, words):
    assert_refused([assume(f"[default]\ncredential_process = {command}\n")], "invalid", "credential_process", words)


def test_a_program_that_hangs_is_killed_with_what_it_started(folder, program, assume):
    path = program("sleep 86399 & sleep 86398")
    answer = assume(f"[default]\ncredential_process = '{path}'\n", settings={"timeout_ms": 500})
    assert_refused([answer], "timeout", "did not finish in time and was killed")
    wait_until(lambda: not processes("86399") and not processes("86398"), 20, "something of it is left")


def test_a_program_is_found_in_path(folder, program, assume):
    program(printing()).rename(folder / "signing-helper")
    answer = assume("[default]\ncredential_process = signing-helper\n", PATH=f"{folder}:{os.environ['PATH']}")
    assert answer["id"] == "ASIAPROCESS", answer


def test_a_source_profile_may_have_a_program(sts, program, assume):
    sts.keys["ASIAPROCESS"] = ("process/secret+", "process==")
    arn = sts.role("ship", "ASIAPROCESS")
    answer = assume(f"[default]\nrole_arn = {arn}\nsource_profile = a\n[profile a]\n"
                    f"credential_process = '{program(printing())}'\n")
    assert taken(answer) == FIRST, answer


# Against botocore: environment, credentials file, config file. {program}, {token} and {role} are filled in.
ENV = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "x"}
ROLE_OF_BASE = "role_arn = {role}\nsource_profile = base\n"
BASE = f"[base]\n{KEYS}"
WEB = {"AWS_WEB_IDENTITY_TOKEN_FILE": "{token}", "AWS_ROLE_ARN": "{role}"}
LIKE_BOTOCORE = {
    "role": ({}, BASE, f"[default]\n{ROLE_OF_BASE}"),
    "role behind the environment": (ENV, BASE, f"[default]\n{ROLE_OF_BASE}"),
    "role before keys": ({}, BASE, f"[default]\n{ROLE_OF_BASE}{KEYS}"),
    "role in the credentials file": ({}, f"[default]\n{ROLE_OF_BASE}{BASE}", ""),
    "role, its source in the config file": ({}, None, f"[default]\n{ROLE_OF_BASE}[profile base]\n{KEYS}"),
    "role of another profile": ({"AWS_PROFILE": "a"}, BASE, f"[default]\n{KEYS}[profile a]\n{ROLE_OF_BASE}"),
    "role of the default profile variable": ({"AWS_DEFAULT_PROFILE": "a", "AWS_PROFILE": "base"}, BASE,
                                             f"[profile a]\n{ROLE_OF_BASE}"),
    "role without a source": ({}, None, "[default]\nrole_arn = {role}\n"),
    "role with keys but without a source": ({}, None, "[default]\nrole_arn = {role}\n" + KEYS),
    "its own source": ({}, None, "[default]\nrole_arn = {role}\nsource_profile = default\n" + KEYS),
    "loop": ({}, None, "[default]\nrole_arn = {role}\nsource_profile = a\n[profile a]\nrole_arn = {role}\n"
             "source_profile = default\n"),
    "loop to keys": ({}, None, "[default]\nrole_arn = {role}\nsource_profile = a\n" + KEYS +
                     "[profile a]\nrole_arn = {role}\nsource_profile = default\n"),
    "both sources": ({}, BASE, f"[default]\n{ROLE_OF_BASE}credential_source = Environment\n"),
    "source that is not there": ({}, None, f"[default]\n{ROLE_OF_BASE}"),
    "web identity": (WEB, None, ""),
    "web identity before keys": (WEB, f"[default]\n{KEYS}", ""),
    "web identity behind the environment": ({**WEB, **ENV}, None, ""),
    "web identity behind a role": ({**WEB, "AWS_ROLE_ARN": "{other}"}, BASE, f"[default]\n{ROLE_OF_BASE}"),
    "web identity of the profile": ({}, None, "[default]\nrole_arn = {role}\nweb_identity_token_file = {token}\n"),
    "web identity, both": ({"AWS_ROLE_ARN": "{role}"}, None, "[default]\nrole_arn = {other}\n"
                           "web_identity_token_file = {token}\n"),
    "web identity without a role": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "{token}"}, None, ""),
    "program": ({}, None, "[default]\ncredential_process = '{program}'\n"),
    "program behind the credentials file": ({}, f"[default]\n{KEYS}", "[default]\ncredential_process = '{program}'\n"),
    "program before the config file": ({}, None, "[default]\ncredential_process = '{program}'\n" + KEYS),
    "program in the credentials file": ({}, "[default]\ncredential_process = '{program}'\n", ""),
    "program behind a web identity": (WEB, None, "[default]\ncredential_process = '{program}'\n"),
    "old token": ({**ENV, "AWS_SECURITY_TOKEN": "old", "AWS_SESSION_TOKEN": "new"}, None, ""),
    "colons": ({}, None, "[default]\n" + KEYS.replace(" =", ":")),
    "a colon before an equals sign": ({}, None, "[default]\naws_access_key_id: AKID\naws_secret_access_key : a=b:c\n"),
    "old token alone": ({**ENV, "AWS_SECURITY_TOKEN": "old"}, None, ""),
    "old token of a profile": ({}, f"[default]\n{KEYS}aws_session_token = new\naws_security_token = old\n", ""),
}


def of_botocore(environment, sts):
    session = botocore.session.Session()
    create_client = session.create_client

    def create(name, **more):
        return create_client(name, **{**more, "endpoint_url": sts.endpoint if name == "sts" else None})

    session.create_client = create
    with mock.patch.dict(os.environ, environment, clear=True):
        try:
            found = session.get_credentials()
            frozen = found.get_frozen_credentials() if found else None
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return "failure"
    return (frozen.access_key, frozen.secret_key, frozen.token or "") if frozen else "none"


@pytest.mark.parametrize("name", LIKE_BOTOCORE)
def test_finds_what_botocore_finds(sts, home, load, program, token, name):  # noqa: F811
    fill = {"program": program(printing()), "token": token,
            "role": sts.role("ship", "AKIDLASTING", "eyJ.web-identity_token.sig"), "other": sts.role("other")}
    environment, credentials, config = LIKE_BOTOCORE[name]
    environment = {key: value.format(**fill) for key, value in environment.items()}
    environment = home(config.format(**fill), credentials and credentials.format(**fill),
                       AWS_REGION=sts.region, AWS_DEFAULT_REGION=sts.region, **environment)
    answer, = load({"timeout_ms": 10000}, **environment, AWS_ENDPOINT_URL_STS=sts.endpoint)
    ours = {"ok": taken(answer), "not found": "none"}.get(answer["rc"], "failure")
    sts.issued = 0
    theirs = of_botocore({**BARE, **environment}, sts)
    assert ours == theirs, answer
