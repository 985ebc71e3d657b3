# SPDX-License-Identifier: Apache-2.0
"""`lighterman doctor`: each requirement is broken once, and is told with what to do; the others are checked all the same."""
import contextlib
import json
import os
import re
import shutil
import socket

import pytest

import guide
from device import SECRET_ARN
from servers.engine import Engine, compose_file
from servers.old_engine import VersionOnlyEngine
from servers.s3 import S3
from servers.server import run

NAMES = ["host file", "group file", "lightermand", "user", "root", "worker", "docker command", "engine",
         "engine version", "docker-compose", "compose and engine", "destination", "free space", "region",
         "AWS credentials", "compose file", "compose syntax", "compose requirements", "policies", "secrets", "registries",
         "broker", "clock", "log directory", "state directory", "runtime directory", "memory"]
# After "broker", for a group with client devices.
DEVICE_NAMES = ["local broker", "device ports", "device user", "cloud bridge", "device certificates"]
ALL_NAMES = [*NAMES[:NAMES.index("clock")], *DEVICE_NAMES, *NAMES[NAMES.index("clock"):]]
MARKS = {"ok": True, "PROBLEM": False, "-": None}


class Findings:
    """What `lighterman doctor --json` printed."""

    def __init__(self, done, names=None):
        self.status, self.document = done.returncode, json.loads(done.stdout)
        assert set(self.document) == {"checks", "ok"}
        self.checks = self.document["checks"]
        seen = list(dict.fromkeys(check["check"] for check in self.checks))
        assert seen == (names or NAMES), f"not in order, or not all: {seen}"
        for check in self.checks:
            assert set(check) == {"check", "ok", "warning", "message", "mend"}, check
        assert self.document["ok"] == (not self.wrong)

    @property
    def wrong(self):
        return {check["check"] for check in self.checks if check["ok"] is False}

    def of(self, name):
        return [check for check in self.checks if check["check"] == name]

    def text(self, name):
        return "\n".join(f"{check['message']} {check['mend']}" for check in self.of(name))

    def skipped(self, name):
        return all(check["ok"] is None for check in self.of(name))

    def warns(self, name):
        return any(check["ok"] and check["warning"] for check in self.of(name))


def doctor(device, *words, names=None, **more):
    return Findings(device.cli("doctor", *words, "--config", device.write_host_file(), "--json", check=False, **more), names)


@pytest.fixture
def quick(device_with, compose2):
    """A device with the docker-compose that starts quickly; lightermand does not run."""
    device = device_with(compose2)
    device.destination.chmod(0o700)
    return device


@pytest.fixture
def local(quick, local_image):
    """... and its group file, with nothing to pull."""
    return quick.local_group(["web"], local_image)


def test_finds_nothing_wrong_on_a_device_that_deploys(device_with, compose, broker, registry, image):
    device = device_with(compose)
    device.use_broker(broker)
    device.destination.chmod(0o700)
    secret = device.put_secret("harbour", registry.secret())
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
    group = device.group(secrets=[secret])
    device.start()
    device.wait_status(lambda status: status["brokers"][0]["connected"])
    found = doctor(device, group)
    assert (found.wrong, found.status) == (set(), 0), found.checks
    assert compose.path in found.text("docker-compose")
    assert "1 logins are accepted, 1 images can be pulled" in found.text("registries")
    assert "connected" in found.text("broker")
    assert registry.PASSWORD not in json.dumps(found.document)
    # Without a file: by what is deployed.
    assert found.skipped("AWS credentials") and found.skipped("clock") and found.skipped("root")
    device.deploy(group)
    deployed = doctor(device)
    assert (deployed.wrong, deployed.status) == (set(), 0), deployed.checks
    assert "the current deployment" in deployed.text("group file")


@pytest.mark.parametrize("extra,warned", [({}, {"RestartUnhealthy", "ProbationSeconds"}),
                                          ({"restart": "on-failure"}, {"RestartUnhealthy"}),
                                          ({"healthcheck": "{test: [CMD, 'true'], interval: 60s}"}, set())])
def test_warns_of_policies_that_can_do_nothing(device_with, compose, local_image, extra, warned):
    device = device_with(compose)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], local_image, **extra))
    policy = {"RestartUnhealthy": "true", "ProbationSeconds": "60"}
    found = doctor(device, device.group(DockerPullBeforeUp="False", policy=policy))
    assert {name for name in policy if f"Policy.{name} " in found.text("policies")} == warned
    assert found.warns("policies") == bool(warned) and "policies" not in found.wrong
    if not warned:  # without such a policy, or with an image that is not here, nothing is said
        assert doctor(device, device.group(DockerPullBeforeUp="False")).skipped("policies")
        device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], "harbour/none:1"))
        found = doctor(device, device.group(DockerPullBeforeUp="False", policy=policy))
        assert not found.warns("policies") and "policies" not in found.wrong


def test_prints_a_line_for_each_check_in_columns(quick, local):
    done = quick.cli("doctor", local, "--config", quick.write_host_file(), check=False)
    assert (done.returncode, done.stderr) == (1, "")
    *lines, last = done.stdout.splitlines()
    assert re.fullmatch(r"1 problem found(, \d+ warnings?)?", last)
    names = []
    for line in lines:
        mark, name, message = line[:9].rstrip(), line[9:29].rstrip(), line[29:]
        assert mark in ("ok", "warning", "PROBLEM", "-", "") and message and message[0] != " ", line
        if not mark:
            assert not name and message.startswith("fix: "), line
        names += [name] if name else []
    assert names == NAMES
    assert [line for line in lines if line.startswith("PROBLEM")] == [line for line in lines if "lightermand   " in line]


# Each takes the device and what else it needs, breaks one thing, and may return the group file's parameters.

def host_file(device, _):
    device.host["dockers"] = {}


def unknown_user(device, _):
    return {"DockerUserId": "3999999999"}


def root(device, _):
    return {"DockerUserId": "0"}


def no_group(device, request):
    stranger = request.getfixturevalue("stranger")
    stranger.owns(device.destination)
    return {"DockerUserId": str(stranger.uid)}


def no_engine(device, _):
    device.host["docker"]["socket"] = str(device.folder / "none.sock")


def dead_engine(device, _):
    path = str(device.folder / "dead.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    os.chmod(path, 0o666)
    device.host["docker"]["socket"] = path


def no_compose(device, _):
    device.host["docker"]["compose"] = "/opt/docker-compose"


def broken_compose(device, _):
    program = device.folder / "docker-compose"
    program.write_text("#!/bin/sh\necho 'cannot open shared object file' >&2; exit 127\n")
    program.chmod(0o755)
    device.host["docker"]["compose"] = str(program)


def no_destination(device, _):
    return {"DockerComposeFileDestinationPath": str(device.destination / "none")}


def guarded_destination(device, _):
    os.chown(device.destination, 0, 0)


def small_disk(device, _):
    return {"policy": {"MinFreeDiskMB": "999999999"}}


def no_credentials(device, request):
    device.use_s3(request.getfixturevalue("s3"))
    device.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    del device.environment["AWS_ACCESS_KEY_ID"], device.environment["AWS_SECRET_ACCESS_KEY"]


def sdk_config(device, request, text, **variables):
    """The keys of the environment give way to an AWS config file with that text."""
    device.use_s3(request.getfixturevalue("s3"))
    config = device.folder / "aws-config"
    config.write_text(text)
    del device.environment["AWS_ACCESS_KEY_ID"], device.environment["AWS_SECRET_ACCESS_KEY"]
    device.environment.update(AWS_CONFIG_FILE=str(config), **variables)


def broken_sdk_config(device, request):
    sdk_config(device, request, "[default]\nregion\n")


def no_profile(device, request):
    sdk_config(device, request, "[default]\n", AWS_PROFILE="harbour")


def profile_of_a_person(device, request):
    sdk_config(device, request, "[default]\nsso_session = quay\nsso_account_id = 1\n[sso-session quay]\n")


def failing_program(device, request):
    program = device.folder / "signing-helper"
    program.write_text("#!/bin/sh\necho 'no key in the security module' >&2; exit 1\n")
    program.chmod(0o755)
    sdk_config(device, request, f"[default]\ncredential_process = {program}\n")


def denied_role(device, request):
    sts = request.getfixturevalue("sts")
    secret, _ = sts.keys["AKIDLASTING"]
    sdk_config(device, request, f"[default]\nrole_arn = {sts.role('ship')}\nsource_profile = base\n[profile base]\n"
               f"aws_access_key_id = AKIDLASTING\naws_secret_access_key = {secret}\n", AWS_ENDPOINT_URL_STS=sts.endpoint)


def no_services_section(device, _):
    config = device.folder / "aws-config"
    config.write_text("[default]\nservices = harbour\n")
    del device.host["objectStore"]
    device.environment.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="wr0ng-k3y", AWS_CONFIG_FILE=str(config))


def locked_object(device, request):
    device.use_s3(request.getfixturevalue("locked_s3"))


def no_s3(device, _):
    del device.host["objectStore"]
    device.environment.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="wr0ng-k3y",
                              AWS_ENDPOINT_URL_S3="http://localhost:9")


def wrong_key(device, request):
    s3 = request.getfixturevalue("s3")
    if "e2e-doctor" not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket("e2e-doctor")
    device.use_s3(s3, secret_key="wr0ng-k3y")
    return {"bucket": "e2e-doctor"}


def no_object(device, _):
    return {"key": "none.yml"}


def not_yaml(device, _):
    device.put_object("ships", "docker-compose.yml", "services:\n\tweb: 1\n")


def refused_file(device, _):
    device.put_object("ships", "docker-compose.yml", "services:\n  web:\n    image: a\n    prots: []\n")


def no_secret(device, _):
    return {"secrets": [SECRET_ARN.format(name="nobody")]}


def wrong_password(device, request):
    registry = request.getfixturevalue("registry")
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], request.getfixturevalue("image")))
    return {"secrets": [device.put_secret("harbour", registry.secret(password="sunk"))], "DockerPullBeforeUp": "True"}


def no_image(device, request):
    image = request.getfixturevalue("open_registry").image("demo/none:1")
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
    return {"DockerPullBeforeUp": "True"}


def no_registry(device, _):
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], "localhost:9/demo/web:1"))
    return {"DockerPullBeforeUp": "True"}


def no_log_directory(device, _):
    (device.folder / "file").write_text("")
    device.host["greengrassRoot"] = str(device.folder / "file")


def no_state_directory(device, _):
    (device.folder / "file").write_text("")
    device.host["stateDirectory"] = str(device.folder / "file")


def long_runtime_directory(device, _):
    device.host["runtimeDirectory"] = str(device.folder / ("deep" * 30))


FAULTS = {
    host_file: (2, "host file", ["host.json", "dockers"]),
    unknown_user: (1, "user", ["3999999999", "useradd"]),
    root: (1, "root", ["root", "allowRoot"]),
    no_group: (1, "engine", ["lmstranger", "usermod -aG docker lmstranger"]),
    no_engine: (1, "engine", ["none.sock", "install", "docker.socket"]),
    dead_engine: (1, "engine", ["dead.sock", "systemctl start docker"]),
    no_compose: (1, "docker-compose", ["/opt/docker-compose", "docker.compose"]),
    broken_compose: (1, "docker-compose", ["cannot open shared object file"]),
    no_destination: (1, "destination", ["/app/none", "install -d -o lmtest -m 0700"]),
    guarded_destination: (1, "destination", ["lmtest", "/app"]),
    small_disk: (1, "free space", ["MinFreeDiskMB", "/app"]),
    no_credentials: (1, "AWS credentials", ["AWS_ACCESS_KEY_ID", "environment"]),
    broken_sdk_config: (1, "AWS credentials", ["aws-config", "line 2"]),
    no_profile: (1, "AWS credentials", ["AWS_PROFILE", "harbour"]),
    profile_of_a_person: (1, "AWS credentials", ["sso_session", "credential_process or a role_arn"]),
    failing_program: (1, "AWS credentials", ["signing-helper", "exit status 1", "run it by hand as user"]),
    denied_role: (1, "AWS credentials", ["role/ship", "sts:AssumeRole", "AKIDLASTING"]),
    no_services_section: (1, "compose file", ["[services harbour]"]),
    locked_object: (1, "compose file", ["kms:Decrypt", "docker-compose.yml"]),
    no_s3: (1, "compose file", ["localhost", "9"]),
    wrong_key: (1, "compose file", ["SignatureDoesNotMatch", S3.ACCESS_KEY]),
    no_object: (1, "compose file", ["ships", "none.yml", "DockerComposeFileS3Key"]),
    not_yaml: (1, "compose syntax", ["line 2"]),
    refused_file: (1, "compose syntax", ["prots"]),
    no_secret: (1, "secrets", ["nobody"]),
    wrong_password: (1, "registries", ["alice", "localhost", "in the secret"]),
    no_image: (1, "registries", ["demo/none"]),
    no_registry: (1, "registries", ["localhost:9", "connection refused"]),
    no_log_directory: (1, "log directory", ["/file", "greengrassRoot"]),
    no_state_directory: (1, "state directory", ["/file", "stateDirectory"]),
    long_runtime_directory: (1, "runtime directory", ["too long", "/run"]),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_tells_what_is_wrong_and_checks_the_rest(quick, local_image, request, fault):
    status, name, words = FAULTS[fault]
    quick.local_group(["web"], local_image)
    changed = fault(quick, request) or {}
    found = doctor(quick, quick.group(**{"DockerPullBeforeUp": "False", **changed}))
    assert (found.wrong - {"lightermand"}, found.status) == ({name}, status), found.checks
    for word in words:
        assert word in found.text(name), found.of(name)
    # lightermand does not run, and says so; and each fault hides only what needs what is wrong.
    assert "start it" in found.text("lightermand")
    assert sum(found.skipped(other) for other in NAMES) <= (NAMES.index("memory") if name == "host file" else 14)
    assert "wr0ng-k3y" not in json.dumps(found.document) and "sunk" not in json.dumps(found.document)


def test_tells_every_fault_of_the_group_file(quick, local):
    entry = json.loads(local.read_text())
    entry["Connectors"][0]["Parameters"].update(ForceDeploy="perhaps", DockerUserId="harbourmaster")
    local.write_text(json.dumps(entry))
    found = doctor(quick, local)
    assert (found.wrong, found.status) == ({"group file", "lightermand"}, 2)
    assert len(found.of("group file")) == 2
    for word in ("ForceDeploy", "perhaps", "DockerUserId", "harbourmaster"):
        assert word in found.text("group file")
    # What does not depend on it is checked nevertheless.
    assert all(check["ok"] for name in ("engine", "docker-compose", "memory") for check in found.of(name))
    assert doctor(quick, quick.folder / "none.json").status == 2


@pytest.mark.parametrize("version, api, least, name, words", [
    ("1.9.0", "1.21", None, "engine version", ["Docker Engine 1.9.0 is too old", "1.9.1"]),
    ("29.0.1", "1.52", "1.44", "compose and engine", ["docker-compose 1.29.2 uses Engine API 1.41", "1.44 or later",
                                                      "min-api-version"]),
    ("19.03.15", "1.40", "1.12", "compose and engine", ["1.41", "up to 1.40"])])
def test_tells_that_engine_and_docker_compose_do_not_match(device_with, compose1, local_image, version, api, least, name, words):
    device = device_with(compose1)
    group = device.local_group(["web"], local_image)
    path = device.folder / "old.sock"
    device.host["docker"]["socket"] = str(path)
    with VersionOnlyEngine(path, version, api, least):
        found = doctor(device, group)
    assert name in found.wrong and found.status == 1
    assert all(check["ok"] for check in found.of("engine"))
    for word in words:
        assert word in found.text(name)


def test_old_docker_composes_depend_on_the_format_of_the_file(quick, local_image):
    """1.25 asks for the API version of the file's format; the real one is not to be had here."""
    program = quick.folder / "docker-compose"
    program.write_text("#!/bin/sh\ncase $* in version*) echo 1.25.4 ;; *) cat ;; esac\n")
    program.chmod(0o755)
    quick.host["docker"]["compose"] = str(program)
    quick.host["docker"]["socket"] = str(quick.folder / "old.sock")
    quick.put_object("ships", "docker-compose.yml", f"version: '2'\nservices:\n  web:\n    image: {local_image}\n")
    with VersionOnlyEngine(quick.folder / "old.sock", "28.5.1", "1.51", "1.24"):
        found = doctor(quick, quick.group())
    assert all(check["ok"] for check in found.of("compose and engine"))
    assert "compose syntax" in found.wrong and "1.22" in found.text("compose syntax")


def test_warns_of_what_others_can_read(quick, local_image):
    secret = quick.put_secret("harbour", {"username": "a", "password": "b", "registryUrl": "localhost:9"})
    (quick.folder / "secrets/harbour.json").chmod(0o644)
    quick.destination.chmod(0o755)
    quick.local_group(["web"], local_image)
    found = doctor(quick, quick.group(DockerPullBeforeUp="False", secrets=[secret]))
    assert found.warns("destination") and "chmod 0700" in found.text("destination")
    assert found.warns("secrets") and "chmod o-r" in found.text("secrets")
    assert not {"destination", "secrets"} & found.wrong


def test_warns_of_a_secret_for_no_image(quick, registry, local_image):
    secret = quick.put_secret("harbour", registry.secret())
    quick.local_group(["web"], local_image)
    found = doctor(quick, quick.group(DockerPullBeforeUp="False", secrets=[secret]))
    assert found.warns("registries") and registry.address in found.text("registries")
    assert found.wrong == {"lightermand"}


def test_tells_whether_the_runtime_directory_is_in_memory(quick, local):
    found = {}
    for where in (["--bind", "/usr/share"], ["-t", "tmpfs", "none"]):  # the tests' own files may be in memory
        run("mount", *where, quick.folder / "run")
        try:
            found = doctor(quick, local)
        finally:
            run("umount", quick.folder / "run")
        assert found.warns("runtime directory") == ("--bind" in where)
    assert not found.warns("runtime directory") and "in memory" in found.text("runtime directory")


def test_tells_of_a_broker_that_is_away(quick, broker, local):
    quick.use_broker(broker)
    broker.stop()
    quick.start()
    quick.wait_status(lambda status: status["brokers"][0]["error"])
    found = doctor(quick, local)
    assert (found.wrong, found.status) == ({"broker"}, 1)
    assert "refused" in found.text("broker")


def test_tells_of_a_wrong_clock(quick, s3, local_image):
    if "e2e-doctor" not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket("e2e-doctor")
    s3.put("e2e-doctor", "docker-compose.yml", compose_file(None, ["web"], local_image).encode())
    quick.use_s3(s3)
    group = quick.group(bucket="e2e-doctor", DockerPullBeforeUp="False")
    found = doctor(quick, group)
    assert (found.wrong, found.status) == ({"lightermand"}, 1), found.checks
    assert S3.ACCESS_KEY in found.text("AWS credentials") and "the environment" in found.text("AWS credentials")
    with s3.clock("-2h"):
        found = doctor(quick, group)
    assert found.wrong == {"lightermand", "clock"}, found.checks
    assert re.search(r"72\d\d s ahead of that of S3", found.text("clock")), found.of("clock")
    assert found.warns("compose file")  # it is fetched nevertheless


def test_an_ordinary_user_checks_for_itself(quick, user, stranger, local):
    quick.write_host_file()
    words = [quick.programs / "lighterman", "doctor", local, "--config", quick.folder / "host.json", "--json",
             "--socket", quick.folder / "none.sock"]
    for who, expected in ((user, {"lightermand"}), (stranger, {"lightermand", "engine", "destination"})):
        done = run("setpriv", f"--reuid={who.uid}", f"--regid={who.uid}", "--init-groups", *words, check=False,
                   env=quick.environment)
        found = Findings(done)
        assert found.wrong - {"log directory", "state directory", "runtime directory"} == expected, found.checks
        assert found.warns("user") == (who is stranger)
    assert "lmtest" in found.text("user") and "lmstranger" in found.text("user") and "root" in found.text("user")


def test_says_that_the_worker_is_missing(quick, local):
    programs = quick.folder / "bin"
    programs.mkdir()
    shutil.copy(quick.programs / "lighterman", programs)
    quick.programs = programs
    found = doctor(quick, local)
    assert found.wrong == {"lightermand", "worker"} and "lighterman-worker" in found.text("worker")
    assert found.skipped("engine") and found.skipped("registries") and not found.skipped("memory")


def test_takes_no_word_more_and_explains_itself(quick):
    assert quick.cli("doctor", "a", "b", check=False).returncode == 64
    shown = quick.cli("doctor", "--help").stdout
    assert "[FILE]" in shown and "--config FILE" in shown and "--json" in shown


def test_changes_nothing(quick, engine, local):
    def state():
        with contextlib.suppress(FileNotFoundError):
            return sorted((str(path), path.lstat().st_mtime_ns) for top in ("state", "run", "gg", "app")
                          for path in (quick.folder / top).rglob("*"))

    before = state()
    doctor(quick, local)
    assert state() == before and engine.containers(everything=True) == {}
    assert Engine.SOCKET  # the engine was asked


def doctor_without_config(device, *words, where="/", **more):
    return Findings(device.cli("doctor", *words, "--json", check=False, cwd=where, **more))


def test_goes_by_the_host_file_of_the_running_lightermand(quick, local):
    """Which that was started with, wherever that is, however it was named."""
    quick.write_host_file()
    quick.start()
    host = quick.folder / "host.json"
    for found in (doctor_without_config(quick, local), doctor(quick, local)):
        assert (found.wrong, found.status) == (set(), 0), found.checks
        assert str(host) in found.text("host file")
        assert not found.warns("lightermand")
        assert str(quick.folder / "state") in found.text("state directory")
    assert "used by the running lightermand" in doctor_without_config(quick, local).text("host file")
    # By a path of another spelling it is the same file; another file is another.
    other = quick.folder / "other.json"
    other.symlink_to(host)
    assert not Findings(quick.cli("doctor", local, "--config", other, "--json", check=False)).warns("lightermand")
    other.unlink()
    shutil.copy(host, other)
    found = Findings(quick.cli("doctor", local, "--config", other, "--json", check=False))
    assert found.warns("lightermand") and not found.wrong
    assert str(host) in found.text("lightermand") and str(other) in found.text("lightermand")
    # What is wrong with it is said of it.
    host.write_text("{")
    found = doctor_without_config(quick, local)
    assert (found.wrong, found.status) == ({"host file"}, 2) and str(host) in found.text("host file")
    host.unlink()
    found = doctor_without_config(quick, local)
    assert (found.wrong, found.status) == ({"host file"}, 2) and str(host) in found.text("host file")


def test_a_relative_host_file_of_lightermand_is_found_from_elsewhere(quick, local):
    quick.write_host_file()
    quick.start(wrap=("sh", "-c", f'cd {quick.folder}; exec "$1" --config host.json', "sh"))
    assert quick.status["host_file"] == str(quick.folder / "host.json")
    found = doctor_without_config(quick, local, where="/tmp")
    assert (found.wrong, found.status) == (set(), 0), found.checks


def test_says_which_host_file_it_used_without_lightermand(quick, local):
    found = doctor_without_config(quick, local)
    assert "lightermand" in found.wrong
    assert "/etc/lighterman/lighterman.json" in found.text("host file") and "--config" in found.text("host file")


# Client devices: each takes the device and the arrays of its group file, and breaks one thing.

def no_mosquitto(device, _):
    device.host["devices"]["mosquitto"] = "/opt/mosquitto"


def old_mosquitto(device, _):
    program = device.folder / "mosquitto"
    program.write_text("#!/bin/sh\necho 'mosquitto version 1.6.9'\n")
    program.chmod(0o755)
    device.host["devices"]["mosquitto"] = str(program)


def no_device_user(device, _):
    device.host["devices"]["user"] = "lmabsent"


def no_identity(_, arrays):
    arrays["Subscriptions"][1]["Source"] = "cloud"


def no_identity_for_shadows(_, arrays):
    arrays["Devices"][0]["SyncShadow"] = True


def lost_identity(device, arrays):
    no_identity(device, arrays)
    device.host["iot"] = {"endpoint": "myprefix-ats.iot.us-west-2.amazonaws.com", "certificate": "/dev/null",
                          "privateKey": "/absent/core.key"}


DEVICE_FAULTS = {
    no_mosquitto: ("local broker", ["/opt/mosquitto", "apt-get install mosquitto", "devices.mosquitto"]),
    old_mosquitto: ("local broker", ["1.6.9", "too old", "2.0 or later"]),
    no_device_user: ("device user", ["lmabsent", "devices.user"]),
    no_identity: ("cloud bridge", ["subscription answer has the cloud as source", "no endpoint", "greengrassRoot"]),
    no_identity_for_shadows: ("cloud bridge", ["device MyDockerDevice has SyncShadow", "no endpoint"]),
    lost_identity: ("cloud bridge", ["/absent/core.key", "iot.privateKey"]),
}


@pytest.fixture
def with_devices(quick, local_image, port_443):
    """with_devices(break it): a group file with the client devices of docs/containers.md."""
    def make(fault=lambda device, arrays: None):
        arrays = guide.arrays()
        quick.host["devices"] = guide.host()["devices"]
        fault(quick, arrays)
        return quick.local_group(["web"], local_image, arrays=arrays)

    return make


@pytest.mark.parametrize("fault", DEVICE_FAULTS, ids=lambda fault: fault.__name__)
def test_tells_what_client_devices_lack(quick, with_devices, fault):
    name, words = DEVICE_FAULTS[fault]
    found = doctor(quick, with_devices(fault), names=ALL_NAMES)
    assert (found.wrong - {"lightermand"}, found.status) == ({name}, 1), found.checks
    for word in words:
        assert word in found.text(name), found.of(name)


def test_finds_nothing_wrong_with_client_devices(quick, with_devices):
    found = doctor(quick, with_devices(), names=ALL_NAMES)
    assert found.wrong == {"lightermand"}, found.checks
    assert "mosquitto version 2." in found.text("local broker")
    assert found.text("device ports").count("free for") == 3
    assert found.skipped("cloud bridge") and found.skipped("device certificates")


@pytest.mark.parametrize("key, is_wrong", [("brokerPort", True), ("discoveryPort", True), ("alpnPort", False)])
def test_names_who_has_a_port_of_client_devices(quick, with_devices, key, is_wrong):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        group = with_devices(lambda device, _: device.host["devices"].update({key: port}))
        found = doctor(quick, group, names=ALL_NAMES)
    assert found.wrong == {"lightermand"} | ({"device ports"} if is_wrong else set()), found.checks
    assert found.warns("device ports") != is_wrong
    text = found.text("device ports")
    assert f"port {port}, for " in text and f"PID {os.getpid()}" in text and f"devices.{key}" in text
