# SPDX-License-Identifier: Apache-2.0
"""Our clients of Secrets Manager, ECR and CloudWatch Logs against stand-ins that check what AWS checks.

The clients are driven by the program of tests/unit/aws/services_driver.c.
"""
import datetime
import json
import os
import pathlib
import subprocess
import time

import pytest

from servers.aws_services import Ecr, SecretsManager

VALUE = {"username": "alice", "password": "s3cret", "registryUrl": "hub.example"}
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
GROUP, STREAM = "/aws/greengrass/Lambda/eu-west-1/aws/DockerApplicationDeployment", "2026/01/31/123456789012/group/core"
MINUTE_MS = 60 * 1000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture(params=["secrets_manager", "ecr", "cloudwatch_logs"])
def service(request):
    """Each of the three: a test that asks for it runs three times."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def drive(request):
    """drive(service, …, **what to ask for): what the clients answer, as the driver prints it."""
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws/services_driver"

    def run(*services, key="AKIDLASTING", environment=None, **wanted):
        variables = {"PATH": os.environ["PATH"]}
        for one in services:
            variables.update(one.environment(key))
        done = subprocess.run([driver], input=json.dumps(wanted), env={**variables, **(environment or {})},
                              capture_output=True, text=True, timeout=120, check=True)
        for secret in ("s3cret", "lasting/secret+", "temporary/secret+", "hunter2"):
            assert secret not in str([one["message"] for kind in json.loads(done.stdout).values() for one in kind])
        return json.loads(done.stdout)

    return run


def batch(logs, events, group=GROUP, stream=STREAM):
    return {"region": logs.region, "group": group, "stream": stream, "events": events}


def now_ms():
    return int(time.time() * 1000)


@pytest.fixture
def ask(drive):
    """ask(service, …): the answer to the one thing that one asks of each service."""
    def run(one, **more):
        if isinstance(one, SecretsManager):
            return drive(one, secrets=[one.put("harbour", VALUE)], **more)["secrets"][0]
        if isinstance(one, Ecr):
            return drive(one, registries=[HOST], **more)["registries"][0]
        one.groups = {GROUP: {STREAM: []}}
        events = [[now_ms() + one.clock // datetime.timedelta(milliseconds=1), "hello"]]
        return drive(one, logs=batch(one, events), **more)["logs"][0]

    return run


def assert_refused(answer, kind, *parts):
    assert answer["rc"] == kind, answer
    for part in parts:
        assert part in answer["message"], answer


# What holds for each of the three:

@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:80", "http://127.0.0.1:", "http://LOCALHOST:080/"])
def test_a_default_port_and_an_upper_case_host_are_signed_as_they_are_sent(service, ask, endpoint):
    with service.at_port(80):
        answer = ask(service, environment={service.VARIABLE: endpoint})
    assert answer["rc"] == "ok", answer


@pytest.mark.parametrize("key", ["AKIDLASTING", "ASIATEMPORARY"])
def test_is_let_in(service, ask, key):
    answer = ask(service, key=key)
    assert (answer["rc"], answer["clock_offset_ms"]) == ("ok", 0), answer


def test_says_that_temporary_credentials_are_over(service, ask):
    service.expired.add("ASIATEMPORARY")
    answer = ask(service, key="ASIATEMPORARY")
    assert_refused(answer, "denied", "the temporary credentials from the environment have expired")
    assert service.count == 2  # and has asked for others in between


def test_says_that_the_session_token_is_wrong(service, ask):
    answer = ask(service, key="ASIATEMPORARY", environment={"AWS_SESSION_TOKEN": "other"})
    assert_refused(answer, "denied", "does not recognize access key ASIATEMPORARY from the environment", "session token")


def test_says_that_the_secret_key_is_wrong(service, ask):
    answer = ask(service, environment={"AWS_SECRET_ACCESS_KEY": "hunter2"})
    assert_refused(answer, "denied", "does not belong to access key AKIDLASTING")


@pytest.mark.parametrize("hours", [-2, 48])
def test_signs_again_with_the_servers_time(service, ask, hours):
    service.clock = datetime.timedelta(hours=hours)
    answer = ask(service)
    assert answer["rc"] == "ok", answer
    assert abs(answer["clock_offset_ms"] - hours * HOUR_MS) < MINUTE_MS
    assert service.count == 2


@pytest.mark.parametrize("how", [500, 503, "throttle", "half", "close"])
def test_tries_again_what_passes(service, ask, how):
    service.misbehave(how)
    assert ask(service)["rc"] == "ok"
    assert service.count == 2


@pytest.mark.parametrize("how, kind, part", [
    (500, "refused", "InternalServiceError, told to (HTTP 500, after 2 attempts)"),
    ("throttle", "refused", "ThrottlingException, Rate exceeded (HTTP 400, after 2 attempts)"),
    ("half", "network", "after 2 attempts"),
    ("close", "network", "after 2 attempts"),
    ("rubbish", "protocol", "did not answer with a JSON object")])
def test_says_what_does_not_pass(service, ask, how, kind, part):
    service.always = how
    assert_refused(ask(service), kind, part)


def test_ends_an_attempt_at_its_time_limit(service, ask):
    service.always = "hang"
    assert_refused(ask(service, timeout_ms=100), "timeout", "does not answer in time")


def test_says_that_nobody_listens(service, ask):
    service.stop()
    try:
        assert_refused(ask(service), "network", "no connection to 127.0.0.1")
    finally:
        service.start()


# Secrets Manager:

def test_reads_both_shapes_as_text_and_as_bytes(secrets_manager, drive):
    shapes = [VALUE, [{name: value} for name, value in VALUE.items()]]
    texts = [json.dumps(shape) for shape in shapes]
    arns = [secrets_manager.put(f"s{i}", value) for i, value in enumerate(texts + [text.encode() for text in texts])]
    for answer in drive(secrets_manager, secrets=arns)["secrets"]:
        assert {name: answer.get(name) for name in VALUE} == VALUE, answer


def test_fetches_fifty_secrets_at_once(secrets_manager, drive):
    arns = [secrets_manager.put(f"s{i}", {**VALUE, "username": f"user{i}"}) for i in range(50)]
    secrets_manager.gather(50)
    answers = drive(secrets_manager, secrets=arns)["secrets"]
    assert [answer.get("username") for answer in answers] == [f"user{i}" for i in range(50)]
    assert (secrets_manager.most_open, secrets_manager.count) == (50, 50)


def test_one_bad_secret_does_not_harm_the_others(secrets_manager, drive):
    arns = [secrets_manager.put(name, VALUE) for name in ("good", "deleted", "late")]
    secrets_manager.deleted.add(arns[1])
    secrets_manager.misbehave("throttle", "throttle", "throttle")
    kinds = [answer["rc"] for answer in drive(secrets_manager, secrets=arns, attempts=5)["secrets"]]
    assert kinds == ["ok", "denied", "ok"]


def test_says_what_is_wrong_with_a_secret(secrets_manager, drive):
    arns = {name: secrets_manager.put(name, VALUE) for name in ("deleted", "locked", "foreign", "gone")}
    arns |= {"empty": secrets_manager.put("empty", None), "plain": secrets_manager.put("plain", "s3cret"),
             "number": secrets_manager.put("number", "5"),
             "part": secrets_manager.put("part", '{"username":"alice","password":"s3cret"}')}
    secrets_manager.deleted.add(arns["deleted"])
    secrets_manager.locked = {arns["locked"]: "DecryptionFailure", arns["foreign"]: "AccessDeniedException"}
    del secrets_manager.values[arns["gone"]]
    answers = dict(zip(arns, drive(secrets_manager, secrets=list(arns.values()))["secrets"]))
    for name, answer in answers.items():
        assert arns[name] in answer["message"]
    assert_refused(answers["gone"], "not found", "there is no secret")
    assert_refused(answers["empty"], "not found", "has no value yet")
    assert_refused(answers["deleted"], "denied", "is scheduled for deletion")
    assert_refused(answers["locked"], "denied", "the role needs kms:Decrypt")
    assert_refused(answers["foreign"], "denied", "the role needs kms:Decrypt")
    assert_refused(answers["plain"], "invalid", "is not JSON")
    assert_refused(answers["number"], "invalid", "is a number")
    assert_refused(answers["part"], "invalid", "has no key 'registryUrl'")


def test_says_which_right_the_role_needs_for_a_secret(secrets_manager, drive):
    secrets_manager.denied.add("secretsmanager:GetSecretValue")
    arn = secrets_manager.put("harbour", VALUE)
    assert_refused(drive(secrets_manager, secrets=[arn])["secrets"][0], "denied",
                   f"the role needs secretsmanager:GetSecretValue on {arn}", "no identity-based policy")


def test_takes_a_secret_of_the_largest_size(secrets_manager, drive):
    fits = {**VALUE, "note": ""}
    fits["note"] = "\x01" * ((65536 - len(json.dumps(fits))) // 6)  # the escapes of which are escaped again
    assert drive(secrets_manager, secrets=[secrets_manager.put("large", fits)])["secrets"][0]["rc"] == "ok"


# ECR:

def test_gets_the_password_of_a_registry(ecr, drive):
    answer = drive(ecr, registries=[HOST])["registries"][0]
    assert (answer["username"], answer["password"]) == ("AWS", ecr.PASSWORD)
    assert abs(answer["expires_ms"] - (now_ms() + 12 * HOUR_MS)) < MINUTE_MS


def test_says_which_right_the_role_needs_for_a_token(ecr, drive):
    ecr.denied.add("ecr:GetAuthorizationToken")
    assert_refused(drive(ecr, registries=[HOST])["registries"][0], "denied", "ECR registry 123456789012 in eu-west-1",
                   "the role needs ecr:GetAuthorizationToken on *")


def test_asks_all_services_at_the_same_time(secrets_manager, ecr, drive):
    secrets_manager.gather(3)
    ecr.gather(2)
    arns = [secrets_manager.put(f"s{i}", VALUE) for i in range(3)]
    answers = drive(secrets_manager, ecr, secrets=arns, registries=[HOST, HOST.replace("123", "321")])
    assert {answer["rc"] for answer in answers["secrets"] + answers["registries"]} == {"ok"}
    assert (secrets_manager.most_open, ecr.most_open) == (3, 2)


# CloudWatch Logs:

@pytest.fixture
def ship(cloudwatch_logs, drive):
    """ship(events): the results of all batches."""
    def run(events, group=GROUP, stream=STREAM, **more):
        return drive(cloudwatch_logs, logs=batch(cloudwatch_logs, events, group, stream), **more)["logs"]

    return run


def stored(cloudwatch_logs):
    return [event["message"] for event in cloudwatch_logs.groups[GROUP][STREAM]]


def test_creates_what_is_missing(cloudwatch_logs, ship):
    answer, = ship([[now_ms(), "hello"]])
    assert answer["rc"] == "ok" and answer["created"]
    assert cloudwatch_logs.operations == ["PutLogEvents", "CreateLogStream", "CreateLogGroup", "CreateLogStream",
                                          "PutLogEvents"]
    answer, = ship([[now_ms(), "again"]])
    assert answer["rc"] == "ok" and not answer["created"]
    assert stored(cloudwatch_logs) == ["hello", "again"]


def test_splits_at_every_limit(cloudwatch_logs, ship):
    start, large = now_ms() - 30 * HOUR_MS, "ü" * 300000
    events = [[start, f"n{i}"] for i in range(10001)] + [[start, large]] * 2 + [[start + 25 * HOUR_MS, "next day"]]
    answers = ship(events)
    assert {answer["rc"] for answer in answers} == {"ok"}, answers
    assert sum(answer["taken"] for answer in answers) == len(events)
    assert cloudwatch_logs.batches == [10000, 2, 1, 1]
    assert stored(cloudwatch_logs) == [text for _, text in events]


def test_leaves_out_empty_lines_and_cuts_what_is_larger_than_a_batch(cloudwatch_logs, ship):
    t = now_ms()
    answers = ship([[t, ""], [t, "ü" * 1000000], [t, ""], [t + 1, "b"], [t, "a"], [t, "quote \" \\ \x1b[1m \u2028"]])
    assert {answer["rc"] for answer in answers} == {"ok"}, answers
    long, *rest = stored(cloudwatch_logs)
    assert len(long.encode()) in (1048549, 1048550) and long.endswith("ü...")
    assert rest == ["a", "quote \" \\ \x1b[1m \u2028", "b"]


def test_counts_what_is_not_kept(cloudwatch_logs, ship):
    cloudwatch_logs.retention_days = 3
    t = now_ms()
    answers = ship([[t - 15 * 24 * HOUR_MS, "too old"], [t - 4 * 24 * HOUR_MS, "expired"], [t, "kept"],
                    [t + 3 * HOUR_MS, "too new"]])
    assert [answer["too_old"] + answer["expired"] + answer["too_new"] for answer in answers] == [1, 1, 1], answers
    assert (answers[0]["too_old"], answers[1]["expired"], answers[2]["too_new"]) == (1, 1, 1)
    assert stored(cloudwatch_logs) == ["kept"]


def test_refuses_names_that_cannot_be(cloudwatch_logs, ship):
    assert_refused(ship([[1, "x"]], group="aws/x")[0], "invalid", "cannot be the name of a log group")
    assert_refused(ship([[1, "x"]], stream="a:b")[0], "invalid", "cannot be the name of a log stream")
    assert cloudwatch_logs.count == 0


@pytest.mark.parametrize("action", ["PutLogEvents", "CreateLogStream", "CreateLogGroup"])
def test_says_which_right_the_role_needs_for_logs(cloudwatch_logs, ship, action):
    cloudwatch_logs.denied.add(f"logs:{action}")
    assert_refused(ship([[now_ms(), "x"]])[0], "denied", f"the role needs logs:{action} on arn:aws:logs:eu-west-1:*:"
                   f"log-group:{GROUP}:*")


def test_keeps_the_servers_time_for_the_next_batch(cloudwatch_logs, ship):
    cloudwatch_logs.groups = {GROUP: {STREAM: []}}
    cloudwatch_logs.clock = datetime.timedelta(hours=-3)
    answers = ship([[now_ms() - 3 * HOUR_MS, "x" * 800000]] * 3)
    assert [answer["rc"] for answer in answers] == ["ok"] * 3
    assert cloudwatch_logs.count == 4
