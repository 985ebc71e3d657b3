# SPDX-License-Identifier: Apache-2.0
"""lighterman import: what it writes, what it never does, and what it answers to files that are not what they are to be."""
import json
import os
import stat

import pytest

from device import ARN, FINDING, REGION
from servers.server import run

PIN, KEY = "sevenThreeNine", "-----BEGIN PRIVATE KEY-----\nMIIJ-very-private"
THING = "arn:aws:iot:eu-west-1:123456789012:thing/{}"
OURS = ARN.format(region=REGION, version=7)
CONNECTORS = {"Arn": "v", "Definition": {"Connectors": [{
    "Id": "app", "ConnectorArn": OURS, "Parameters": {
        "DockerComposeFileS3Bucket": "ships", "DockerComposeFileS3Key": "docker-compose.yml",
        "DockerComposeFileDestinationPath": "/srv/app"}}]}}
SUBSCRIPTIONS = {"Definition": {"Subscriptions": [
    {"Id": "status", "Source": OURS, "Subject": "dockerapplicationdeploymentconnector/message/status", "Target": "cloud"}]}}
FUNCTIONS = {"Definition": {"Functions": [
    {"Id": "pump", "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:pump:3"}]}}
CONFIG_MAX, FILE_MAX = 256 << 10, 4 << 20
FILES = ("lighterman.json", "group.json")


class Core:
    """The root folder of a core, and saved definitions; `lighterman import` with them."""

    def __init__(self, folder, programs):
        self.root, self.saved, self.output = folder / "greengrass", folder / "saved", folder / "etc"
        self.programs = programs
        for path in ("config", "certs", "ggc/deployment/group"):
            (self.root / path).mkdir(parents=True)
        self.saved.mkdir()
        certs = self.root / "certs"
        for name in ("root.ca.pem", "core.pem", "core.key"):
            (certs / name).write_text(KEY if name == "core.key" else "-----BEGIN CERTIFICATE-----\n")
        (certs / "core.key").chmod(0o400)
        self.config = {
            "coreThing": {"thingArn": THING.format("Gateway"), "iotHost": "abc-ats.iot.eu-west-1.amazonaws.com",
                          "ggHost": "greengrass-ats.iot.eu-west-1.amazonaws.com", "keepAlive": 600},
            "runtime": {"cgroup": {"useSystemd": "yes"}}, "managedRespawn": False,
            "crypto": {"PKCS11": {"slotLabel": "core", "slotUserPin": PIN}, "caPath": f"file://{certs}/root.ca.pem",
                       "principals": {"SecretsManager": {"privateKeyPath": f"file://{certs}/core.key"},
                                      "IoTCertificate": {"privateKeyPath": f"file://{certs}/core.key",
                                                         "certificatePath": f"file://{certs}/core.pem"}}}}
        self.write_config(json.dumps(self.config))

    def write_config(self, text):
        path = self.root / "config/config.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def save(self, name, document):
        path = self.saved / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def run(self, *words, status=0, output=True):
        """`lighterman import`; no secret is in what it prints or has written."""
        where = ["--output", self.output] if output else []
        done = run(self.programs / "lighterman", "import", *words, *where, check=False, timeout=60)
        assert not FINDING.search(done.stderr), done.stderr
        written = [path.read_text() for path in self.output.glob("**/*")] if self.output.is_dir() else []
        for text in [done.stdout, done.stderr, *written]:
            assert PIN not in text and "very-private" not in text, text
        assert done.returncode == status, (done.stdout, done.stderr)
        return done

    def fail(self, *words, status=2):
        """Its one sentence; nothing is written."""
        before = sorted(os.listdir(self.output)) if self.output.is_dir() else None
        done = self.run(*words, status=status)
        assert done.stdout == ""
        assert (sorted(os.listdir(self.output)) if self.output.is_dir() else None) == before
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("lighterman: "), done.stderr
        return lines[0].removeprefix("lighterman: ")

    def written(self, name):
        return json.loads((self.output / name).read_text())


@pytest.fixture
def core(folder, programs):
    return Core(folder, programs)


def test_a_core_and_its_definitions_become_two_files(core):
    files = [core.save("c.json", CONNECTORS), core.save("s.json", SUBSCRIPTIONS), core.save("f.json", FUNCTIONS)]
    done = core.run(*files, core.root)
    host, certs = core.written("lighterman.json"), core.root / "certs"
    assert (host["greengrassRoot"], host["thingName"], host["region"]) == (str(core.root), "Gateway", REGION)
    assert host["iot"] == {"endpoint": "abc-ats.iot.eu-west-1.amazonaws.com", "ca": f"{certs}/root.ca.pem",
                           "certificate": f"{certs}/core.pem", "privateKey": f"{certs}/core.key"}
    assert host["mqtt"] == {"host": "abc-ats.iot.eu-west-1.amazonaws.com", "port": 8883, "ca": f"{certs}/root.ca.pem",
                            "certificate": f"{certs}/core.pem", "privateKey": f"{certs}/core.key", "clientId": "Gateway"}
    group = core.written("group.json")
    assert group["Subscriptions"] == SUBSCRIPTIONS["Definition"]["Subscriptions"]
    assert group["Connectors"] == [{**CONNECTORS["Definition"]["Connectors"][0], "Policy": {"AdoptContainers": "True"}}]
    for name in FILES:
        path = core.output / name
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o644, 0)
    assert sorted(os.listdir(core.output)) == sorted(FILES)
    for word in ("Taken:", "Gateway", "Not taken:", "function:pump:3", "credentials.roleAlias", f"{certs}/core.key", "Written:"):
        assert word in done.stdout
    assert "Missing" not in done.stdout
    # The files are what they are to be.
    run(core.programs / "lighterman", "validate", core.output / "group.json")


def test_relative_paths_and_links_of_a_root_are_resolved(core, folder):
    (folder / "link").symlink_to(core.root)
    run(core.programs / "lighterman", "import", "link", "--output", core.output, cwd=folder)
    assert core.written("lighterman.json")["greengrassRoot"] == str(core.root)
    assert os.listdir(core.output) == ["lighterman.json"]


def test_a_dry_run_writes_nothing_and_prints_both_files(core):
    done = core.run(core.root, core.save("c.json", CONNECTORS), "--dry-run")
    assert not core.output.exists()
    assert "Would be written:" in done.stdout and '"thingName": "Gateway"' in done.stdout and OURS in done.stdout
    document = json.loads(core.run(core.root, core.save("c.json", CONNECTORS), "--dry-run", "--json").stdout)
    assert [file["written"] for file in document["files"]] == [False, False]
    assert not core.output.exists()
    written = json.loads(core.run(core.root, core.save("c.json", CONNECTORS), "--json").stdout)
    assert [file["written"] for file in written["files"]] == [True, True]
    for name in FILES:
        assert core.written(name) == written[name] == document[name]
    assert {"taken", "not_taken", "keep", "missing"} < set(written)


def test_a_file_that_exists_is_replaced_only_with_force(core, folder):
    core.output.mkdir()
    other = folder / "other"
    other.write_text("mine")
    for name in FILES:  # a link counts, too, and is not followed
        (core.output / name).symlink_to(other)
        message = core.fail(core.root, core.save("c.json", CONNECTORS), status=1)
        assert message.startswith(f"'{core.output}/{name}' exists already: replace it with --force")
        (core.output / name).unlink()
    (core.output / "group.json").symlink_to(other)
    core.run(core.root, core.save("c.json", CONNECTORS), "--force")
    assert other.read_text() == "mine"
    assert not (core.output / "group.json").is_symlink()
    assert sorted(os.listdir(core.output)) == sorted(FILES)


def test_files_that_the_host_file_needs_and_that_are_missing_are_named(core):
    (core.root / "certs/core.pem").unlink()
    document = json.loads(core.run(core.root, "--json").stdout)
    assert document["missing"] == [f"{core.root}/certs/core.pem"]
    assert "\nMissing:\n" in core.run(core.root, "--force").stdout


def test_the_group_of_the_core_is_used_where_nothing_was_saved(core):
    group = {"Region": REGION, "Cores": [{"thingArn": THING.format("Gateway")}],
             "GroupDefinitions": {"Lambdas": {"Content": [{
                 "FunctionArn": "arn:aws:lambda:::function:DockerApplicationDeployment:7",
                 "Environment": {"Variables": CONNECTORS["Definition"]["Connectors"][0]["Parameters"]}}]}}}
    path = core.root / "ggc/deployment/group/group.json"
    path.write_text(json.dumps(group))
    assert "definition of the connector" in core.run(core.root).stdout
    assert core.written("group.json")["Connectors"][0]["ConnectorArn"] == OURS
    # What was saved stands before it.
    assert "definition of the connector" not in core.run(core.root, core.save("c.json", CONNECTORS), "--force").stdout
    assert core.written("group.json")["Connectors"][0]["Id"] == "app"


def test_a_definition_that_breaks_rules_is_rejected_with_all_of_them(core):
    document = {"Connectors": [{"Id": "app", "ConnectorArn": OURS, "Parameters": {"DockerComposeFileS3Bucket": "x"}}]}
    done = core.run(core.root, core.save("c.json", document), status=2)
    assert not core.output.exists()
    assert [line.split(": ")[2] for line in done.stderr.splitlines()] == [
        "DockerComposeFileS3Bucket", "DockerComposeFileS3Key", "DockerComposeFileDestinationPath"]


DAMAGED = json.dumps({"crypto": {"PKCS11": {"slotUserPin": PIN}}})[:-3]
HOSTILE = {
    "empty": (b"", "is empty"),
    "damaged": (DAMAGED.encode(), "is not valid JSON: line 1, column"),
    "near the PIN": (f'{{"slotUserPin": {PIN}}}'.encode(), "is not valid JSON: line 1, column"),
    "deep": (b"[" * 100000, "is not valid JSON: it is nested more than"),
    "many": (b"[" + b"0," * 150001 + b"0]", "has more than 150000 values and keys"),
    "UTF-16": ('{"a": 1}'.encode("utf-16-le"), "is in UTF-16LE: save it as UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00", "is compressed with gzip"),
    "binary": (b"abc\x00def", "is binary data"),
    "twice": (b'{"coreThing": {}, "coreThing": {}}', "is not valid JSON: line 1, column"),
    "array": (b"[]", ""), "number": (b"7", ""), "text": (b'"x"', ""), "other": (b'{"coreThing": []}', ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_file_holds_the_answer_is_one_sentence(core, name):
    data, message = HOSTILE[name]
    if len(data) <= CONFIG_MAX:
        core.write_config(data)
        assert message in core.fail(core.root)
    path = core.saved / "x.json"
    path.write_bytes(data)
    assert message in core.fail(path)


def test_whatever_stands_in_place_of_a_file_the_answer_is_one_sentence(core, folder):
    config = core.root / "config/config.json"
    assert core.fail(folder / "nothing") == f"cannot read '{folder}/nothing': No such file or directory"
    assert core.fail(core.saved) == \
        f"'{core.saved}' is not the root folder of a Greengrass V1 core: it has no config/config.json"
    assert "give the root folder of that core instead" in core.fail(config)
    config.unlink()
    os.mkfifo(config)
    assert "not a regular file" in core.fail(core.root)
    config.unlink()
    config.mkdir()
    assert "not a regular file" in core.fail(core.root)
    config.rmdir()
    config.symlink_to(config)
    assert "oo many" in core.fail(core.root, status=1)
    config.unlink()
    core.write_config(b" " * (CONFIG_MAX + 1))
    assert f"more than the {CONFIG_MAX} that are read" in core.fail(core.root)
    core.write_config(json.dumps(core.config))
    big = core.saved / "big.json"
    with big.open("wb") as file:
        file.truncate(1 << 40)
    assert f"more than the {FILE_MAX} that are read" in core.fail(core.root, big)
    assert "are two cores" in core.fail(core.root, core.root)
    os.mkfifo(core.saved / "pipe")
    assert "not a regular file" in core.fail(core.saved / "pipe")


def test_a_directory_that_cannot_be_written_is_named(core, folder):
    (folder / "file").write_text("")
    core.output = folder / "file/etc"
    assert f"'{folder}/file" in core.fail(core.root, status=1)


def test_a_command_line_without_arguments_is_a_usage_error(core):
    done = run(core.programs / "lighterman", "import", check=False)
    assert done.returncode == 64
    assert "'import' requires a ROOT" in done.stderr
    done = run(core.programs / "lighterman", "import", *["x"] * 65, check=False)
    assert done.returncode == 64
    assert "at most 64 arguments" in done.stderr
