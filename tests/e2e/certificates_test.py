# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of client devices: what lighterman-worker makes of them as root, checked with openssl.

The worker is started as lightermand starts it: bare, as root, with an empty environment.
"""
import collections
import hashlib
import itertools
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time

import pytest

import strace
from device import FINDING
from strace import in_memory, run  # noqa: F401 (in_memory is a fixture)
from sweep_points import numbered

PLAIN = strace.ROOT / "build/bin/lighterman-worker"
THING = "arn:aws:iot:us-west-2:123456789012:thing/{}"
CERTIFICATE = "arn:aws:iot:us-west-2:123456789012:cert/{}"
FUNCTION = "arn:aws:lambda:us-west-2:123456789012:function:Filter:1"
CONNECTOR = "arn:aws:greengrass:us-west-2::/connectors/DockerApplicationDeployment/versions/7"
FILES = ["device.key", "device.pem", "group-ca.pem", "root-ca.pem"]


def hand_over(stdin, compose=None, devices=None):
    """The environment, which is empty, the compose file, the files of devices, and nothing else."""
    with tempfile.TemporaryFile() as environment, open(compose or os.devnull, "r+b", buffering=0) as text, \
            open(devices or os.devnull, "rb") as bundle, open(os.devnull, "rb") as none:
        files = (environment, text, none, none, none, bundle)
        socket.send_fds(stdin, [b"take\n"], [file.fileno() for file in files])


class Shore:
    """A device on which the worker manages certificates."""

    LIMIT_S = 60

    def __init__(self, folder, program):
        self.folder, self.program, self.lines = folder, program, []
        for name in ("state", "run"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.state, self.devices = folder / "state", folder / "state/devices"
        self.host = {"stateDirectory": str(self.state), "runtimeDirectory": str(folder / "run"), "thingName": "Grp_Core",
                     "devices": {"names": ["prefix.iot.us-west-2.amazonaws.com"]}}
        self.group = {"Connectors": [{"Id": "app", "ConnectorArn": CONNECTOR, "Parameters": {
            "DockerComposeFileS3Bucket": "ships", "DockerComposeFileS3Key": "docker-compose.yml",
            "DockerComposeFileDestinationPath": str(folder / "app"), "DockerUserId": "10001"}}], "Devices": [], "Subscriptions": []}

    def use_devices(self, *names, sync=False, sha256=None):
        self.group["Devices"] = [{"Id": name, "ThingArn": THING.format(name), "SyncShadow": sync,
                                  "CertificateArn": CERTIFICATE.format(sha256 or hashlib.sha256(name.encode()).hexdigest())}
                                 for name in names]

    def subscribe(self, source, subject, target):
        number = len(self.group["Subscriptions"])
        self.group["Subscriptions"].append({"Id": f"s{number}", "Source": source, "Subject": subject, "Target": target})

    def start(self, action, wrap=(), user=None, **more):
        """Starts the task; (process, the end of its stdin)."""
        stdin, theirs = socket.socketpair()
        job = {"job": "devices", "action": action, "group": self.group, "host": self.host, **more}
        words = [*wrap, *(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []),
                 "/bin/sh", "-c", 'exec "$0" 3</dev/null', str(self.program)]
        with theirs:
            process = subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
                                       env={"ASAN_OPTIONS": "detect_leaks=0" if wrap else "detect_leaks=1"}, text=True)
        hung = threading.Timer(self.LIMIT_S, process.kill)
        hung.daemon = True
        hung.start()
        # Which reads its task only once it is hardened, and says so.
        first = process.stdout.readline()
        if first == '{"hardened":true}\n':
            hand_over(stdin)
            try:
                stdin.sendall(json.dumps(job).encode() + b"\n")
            except OSError:
                pass
        return process, stdin

    def attempt(self, action, **more):
        """Runs the task; its lines, of which the last is the result."""
        process, stdin = self.start(action, **more)
        with stdin:
            out, self.log = process.communicate(timeout=120)
        assert not FINDING.search(self.log), self.log
        self.lines = [json.loads(line) for line in out.splitlines()]
        return self.lines

    def do(self, action, **more):
        lines = self.attempt(action, **more)
        assert lines and lines[-1].get("result") == "success", f"{lines}\n{self.log}"
        return lines[:-1]

    def fails(self, action, **more):
        lines = self.attempt(action, **more)
        assert lines[-1]["result"] == "fail" and len(lines) == 1, lines
        return lines[-1]

    def apply(self, **more):
        """What the two services have to do, which is then done."""
        line = self.do("apply", **more)[-1]["devices"]
        (self.devices / "pending.json").unlink(missing_ok=True)
        return line

    def prepare(self, **more):
        self.do("prepare", **more)
        return json.loads((self.folder / "run/device-files.json").read_text())

    def listed(self):
        return {line["device"]["name"]: line["device"] for line in self.do("list") if "device" in line}

    def router(self):
        return json.loads((self.devices / "broker/router.json").read_text())

    def accepted(self, name):
        """What the broker takes from the device."""
        return next(d["certificates"] for d in self.router()["devices"] if d["name"] == name)


@pytest.fixture
def shore(folder, request):
    return Shore(folder, pathlib.Path(request.config.getoption("--programs")).resolve() / "lighterman-worker")


def openssl(*words, check=True, text=None):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False, timeout=60, input=text)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def fingerprint(pem):
    der = subprocess.run(["openssl", "x509", "-outform", "DER"], input=pem.encode(), capture_output=True, check=True).stdout
    return hashlib.sha256(der).hexdigest()


def mode(path):
    status = path.lstat()
    return (oct(stat.S_IMODE(status.st_mode)), pwd.getpwuid(status.st_uid).pw_name)


def test_every_device_gets_a_key_and_a_certificate_of_the_groups_ca(shore):
    shore.use_devices("MyDockerDevice", "Other")
    bundle = shore.prepare()
    assert set(bundle["things"]) == {"MyDockerDevice", "Other"}
    ca = shore.devices / "ca/group-ca.pem"
    for name, files in bundle["things"].items():
        own = shore.devices / "things" / name
        assert sorted(path.name for path in own.iterdir()) == sorted(FILES)
        assert (own / "device.key").read_text() == files["key"] and (own / "device.pem").read_text() == files["certificate"]
        assert (own / "group-ca.pem").read_text() == (own / "root-ca.pem").read_text() == ca.read_text() == bundle["ca"]
        openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, own / "device.pem")
        assert openssl("verify", "-purpose", "sslserver", "-CAfile", ca, own / "device.pem", check=False).returncode
        text = openssl("x509", "-in", own / "device.pem", "-noout", "-text", "-nameopt", "RFC2253").stdout
        assert f"Subject: CN={name}\n" in text and "Public-Key: (2048 bit)" in text
        assert "sha256WithRSAEncryption" in text and "CA:FALSE" in text
        assert openssl("pkey", "-in", own / "device.key", "-pubout").stdout == \
            openssl("x509", "-in", own / "device.pem", "-noout", "-pubkey").stdout
    assert shore.prepare() == bundle


def test_nobody_else_can_read_keys(shore):
    shore.use_devices("X")
    shore.prepare()
    shore.apply()
    d = shore.devices
    assert mode(d) == ("0o711", "root")
    assert {mode(d / name) for name in ("ca", "things", "things/X")} == {("0o700", "root")}
    private = ["ca/group-ca.key", "ca/registry.json", "broker/connector.password", *(f"things/X/{name}" for name in FILES)]
    assert {mode(d / name) for name in private} == {("0o600", "root")}
    assert mode(shore.folder / "run/device-files.json") == ("0o600", "root")
    assert {mode(d / name) for name in ("broker/server.key", "discovery/server.key")} == {("0o600", "mosquitto")}
    assert mode(d / "broker/data") == ("0o700", "mosquitto")
    group = pwd.getpwnam("mosquitto").pw_gid
    for name in ("broker", "discovery", "broker/mosquitto.conf", "broker/router.json", "broker/server.pem",
                 "broker/client-ca.pem", "discovery/discovery.json", "discovery/server.pem", "discovery/client-ca.pem"):
        assert (d / name).stat().st_gid == group, name
        assert mode(d / name) == ("0o750" if (d / name).is_dir() else "0o640", "root"), name


def test_what_the_unit_allows_is_enough(shore):
    """Root has only those capabilities under systemd, not CAP_FOWNER."""
    unit = (strace.ROOT / "packaging/lightermand.service.in").read_text()
    capabilities = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)[1].lower().replace("cap_", "").split()
    wrap = ["setpriv", "--bounding-set", ",".join(["-all", *(f"+{name}" for name in capabilities)]), "--inh-caps", "-all"]
    shore.use_devices("X")
    shore.do("prepare", wrap=wrap)
    shore.apply(wrap=wrap)
    assert mode(shore.devices / "broker/server.key") == ("0o600", "mosquitto")
    (shore.devices / "broker/data").chmod(0o755)
    shore.subscribe(THING.format("X"), "a", THING.format("X"))
    shore.apply(wrap=wrap)
    assert mode(shore.devices / "broker/data") == ("0o700", "mosquitto")


def test_the_servers_are_verified_by_every_address_and_name(shore):
    shore.use_devices("X")
    line = shore.apply()
    assert (line["broker"], line["discovery"], line["devices"], line["warnings"]) == ("restart", "restart", 1, [])
    ca = shore.devices / "ca/group-ca.pem"
    document = json.loads((shore.devices / "discovery/discovery.json").read_text())
    assert "127.0.0.1" in document["addresses"] and "prefix.iot.us-west-2.amazonaws.com" not in document["addresses"]
    for server in ("broker", "discovery"):
        pem = shore.devices / server / "server.pem"
        for address in document["addresses"]:
            openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", address, "-CAfile", ca, pem)
        openssl("verify", "-verify_hostname", "prefix.iot.us-west-2.amazonaws.com", "-CAfile", ca, pem)
        assert openssl("verify", "-verify_ip", "198.51.100.7", "-CAfile", ca, pem, check=False).returncode
    assert (shore.devices / "broker/server.key").read_text() != (shore.devices / "discovery/server.key").read_text()
    end = openssl("x509", "-in", shore.devices / "broker/server.pem", "-noout", "-enddate", "-dateopt", "iso_8601").stdout
    assert time.strftime("%Y-%m-%d", time.gmtime(line["server_expires_ms"] / 1000)) in end


def test_nothing_is_touched_that_is_right_already(shore):
    shore.use_devices("X")
    shore.apply()
    before = {path: path.stat().st_ino for path in shore.devices.rglob("*")}
    line = shore.apply()
    assert (line["broker"], line["discovery"]) == ("none", "none")
    assert {path: path.stat().st_ino for path in shore.devices.rglob("*")} == before


def test_another_address_takes_a_reload(shore):
    shore.use_devices("X")
    shore.apply()
    run("ip", "address", "add", "192.0.2.7/32", "dev", "lo")
    try:
        line = shore.apply()
        assert (line["broker"], line["discovery"]) == ("reload", "reload")
        openssl("verify", "-verify_ip", "192.0.2.7", "-CAfile", shore.devices / "ca/group-ca.pem",
                shore.devices / "broker/server.pem")
        document = json.loads((shore.devices / "discovery/discovery.json").read_text())
        assert "192.0.2.7" in document["addresses"]
    finally:
        run("ip", "address", "del", "192.0.2.7/32", "dev", "lo")


def test_a_subscription_takes_a_reload_and_a_port_a_restart(shore):
    shore.use_devices("X", "Y")
    shore.apply()
    shore.subscribe(THING.format("X"), "a/#", THING.format("Y"))
    line = shore.apply()
    assert (line["broker"], line["discovery"], line["subscriptions"]) == ("reload", "none", 1)
    assert shore.router()["subscriptions"] == [{"source": THING.format("X"), "subject": "a/#", "target": THING.format("Y")}]
    shore.host["devices"]["brokerPort"] = 8884
    line = shore.apply()
    assert (line["broker"], line["discovery"]) == ("restart", "reload")
    shore.host["devices"]["discoveryPort"] = 8444
    assert shore.apply()["discovery"] == "restart"


def test_what_was_not_done_is_told_again(shore):
    shore.use_devices("X")
    first = shore.do("apply")[-1]["devices"]
    second = shore.do("apply")[-1]["devices"]
    assert first["broker"] == second["broker"] == "restart" and second["discovery"] == "restart"
    shore.apply()
    assert shore.apply()["broker"] == "none"


def test_a_removed_device_is_refused_until_it_is_added(shore):
    shore.use_devices("X", "Y")
    shore.prepare()
    shore.apply()
    old = shore.accepted("X")
    assert len(old) == 2  # the issued one, and that of the group file
    shore.do("remove", name="X")
    assert shore.accepted("X") == [] and len(shore.accepted("Y")) == 2  # without an apply, which may fail
    assert shore.apply()["broker"] == "reload"
    assert shore.accepted("X") == [] and len(shore.accepted("Y")) == 2
    assert not (shore.devices / "things/X").exists()
    assert set(shore.prepare()["things"]) == {"Y"}
    assert shore.listed()["X"]["removed"] is True

    added = shore.do("add", name="X")[-1]["device"]
    shore.apply()
    assert shore.accepted("X") == [added["sha256"]] and added["sha256"] not in old
    assert added["in_group"] is True and sorted(added["files"]) == sorted(FILES)
    assert pathlib.Path(added["directory"]) == shore.devices / "things/X"
    assert set(shore.prepare()["things"]) == {"X", "Y"}


def test_signs_a_devices_own_request(shore, folder):
    shore.use_devices("Sensor")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "own.key",
            "-subj", "/CN=Another", "-addext", "basicConstraints=critical,CA:TRUE", "-out", folder / "own.csr")
    device = shore.do("add", name="Sensor", csr=(folder / "own.csr").read_text())[-1]["device"]
    assert "directory" not in device
    (folder / "own.pem").write_text(device["certificate"])
    assert fingerprint(device["certificate"]) == device["sha256"]
    ca = shore.devices / "ca/group-ca.pem"
    openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, folder / "own.pem")
    text = openssl("x509", "-in", folder / "own.pem", "-noout", "-text").stdout
    assert "CN = Sensor" in text and "CA:FALSE" in text and "Another" not in text
    shore.apply()
    assert device["sha256"] in shore.accepted("Sensor")
    assert [c["origin"] for c in shore.listed()["Sensor"]["certificates"]] == ["signed", "group file"]


@pytest.mark.parametrize("csr,words", [
    ("nonsense", "no PEM text"), ("", "no PEM text"), ("x" * 20000, "20000 bytes"),
    (["-newkey", "rsa:1024"], "1024 bits"), (["-newkey", "ed25519"], "not taken"),
])
def test_refuses_a_request(shore, folder, csr, words):
    if isinstance(csr, list):
        openssl("req", "-new", *csr, "-nodes", "-keyout", folder / "k", "-subj", "/CN=x", "-out", folder / "csr")
        csr = (folder / "csr").read_text()
    result = shore.fails("add", name="Sensor", csr=csr)
    assert result["error"] == "InvalidParameter" and words in result["message"]
    assert shore.listed().get("Sensor", {}).get("certificates", []) == []


@pytest.mark.parametrize("name", ["../x", "", "a b", "x" * 129, "a/b"])
def test_refuses_a_name(shore, name):
    assert shore.fails("add", name=name)["error"] == "InvalidParameter"
    assert not list((shore.devices / "things").iterdir())


def make_authority(folder, name="AWS"):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", folder / "ca.pem",
            "-subj", f"/CN={name}", "-days", "10")
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "d.key", "-subj", "/CN=AWS IoT Certificate",
            "-out", folder / "d.csr")
    openssl("x509", "-req", "-in", folder / "d.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-out",
            folder / "d.pem", "-days", "10")
    return (folder / "d.pem").read_text()


def test_takes_certificates_of_another_ca(shore, folder):
    pem = make_authority(folder)
    shore.use_devices("X", sha256=fingerprint(pem))
    result = shore.fails("add", name="Z", certificate=pem)
    assert result["error"] == "InvalidParameter" and "devices.ca" in result["message"]
    shore.host["devices"]["ca"] = str(folder / "ca.pem")
    # A key beside the certificate does not get to the broker's user.
    (folder / "ca.pem").write_text((folder / "ca.pem").read_text() + (folder / "ca.key").read_text())
    shore.apply()
    assert shore.accepted("X") == [fingerprint(pem)]
    trusted = (shore.devices / "broker/client-ca.pem").read_text()
    assert trusted.count("BEGIN CERTIFICATE") == 2 and "PRIVATE" not in trusted
    openssl("verify", "-CAfile", shore.devices / "broker/client-ca.pem", folder / "d.pem")
    device = shore.do("add", name="Z", certificate=pem)[-1]["device"]
    assert (device["sha256"], device["in_group"]) == (fingerprint(pem), False)
    other = shore.fails("add", name="Y", certificate=pem)
    assert other["error"] == "InvalidParameter" and "'Z'" in other["message"]


def test_a_ca_that_cannot_be_read_is_a_warning(shore):
    shore.use_devices("X")
    shore.host["devices"]["ca"] = "/nonexistent.pem"
    assert any("/nonexistent.pem" in warning for warning in shore.apply()["warnings"])


def test_functions_connect_with_certificates_of_their_own(shore):
    shore.use_devices("X")
    shore.subscribe(THING.format("X"), "a", FUNCTION)
    device = shore.do("add", name=FUNCTION)[-1]["device"]
    shore.apply()
    assert shore.router()["functions"] == [{"arn": FUNCTION, "certificates": [device["sha256"]]}]
    shore.do("remove", name=FUNCTION)
    shore.apply()
    assert shore.router()["functions"] == []


def test_the_bridge_gets_the_cores_identity(shore, folder):
    make_authority(folder)
    shore.use_devices("X")
    shore.subscribe("cloud", "to/x", THING.format("X"))
    shore.subscribe("cloud", "bad subject", THING.format("X"))
    line = shore.apply()
    assert any("cloud" in warning for warning in line["warnings"]) and shore.router()["cloud"] is False
    shore.host["iot"] = {"endpoint": "localhost", "certificate": str(folder / "d.pem"),
                         "privateKey": str(folder / "d.key"), "ca": str(folder / "ca.pem")}
    line = shore.apply()
    assert line["broker"] == "restart" and any("bad subject" in warning for warning in line["warnings"])
    broker = shore.devices / "broker"
    assert shore.router()["cloud"] is True and mode(broker / "cloud.key") == ("0o600", "mosquitto")
    assert (broker / "cloud.key").read_text() == (folder / "d.key").read_text()
    config = (broker / "mosquitto.conf").read_text()
    assert "to/x" in config and "bad subject" not in config and "Grp_Core-c00" in config
    shore.host["iot"]["endpoint"] = "no host"
    assert len(shore.apply()["warnings"]) == 1  # which names no subscription
    shore.host["iot"]["endpoint"] = "localhost"
    shore.apply()
    shore.host["iot"]["privateKey"] = str(folder / "ca.key")
    line = shore.apply()
    assert any("is no certificate for the key" in warning for warning in line["warnings"])
    assert line["broker"] == "restart" and not list(broker.glob("cloud*"))


def test_mosquitto_reads_what_is_made(shore, folder):
    make_authority(folder)
    shore.use_devices("X", sync=True)
    shore.subscribe("cloud", "to/x", THING.format("X"))
    shore.host["iot"] = {"endpoint": "localhost", "certificate": str(folder / "d.pem"),
                         "privateKey": str(folder / "d.key"), "ca": str(folder / "ca.pem")}
    shore.apply()
    config = (shore.devices / "broker/mosquitto.conf").read_text()
    for path in re.findall(r" (/\S+)$", config, re.M):
        if "/run/" not in path and not path.endswith("shadows.db") and str(shore.devices) in path:
            assert pathlib.Path(path).exists(), path


def test_a_group_without_devices_keeps_what_belongs_to_devices(shore):
    shore.use_devices("X")
    shore.prepare()
    shore.apply()
    (shore.devices / "broker/data/shadows.db").write_text("kept")
    shore.group["Devices"] = []
    line = shore.apply()
    assert (line["broker"], line["discovery"]) == ("stop", "stop")
    assert [path.name for path in (shore.devices / "broker").iterdir()] == ["data"]
    assert not (shore.devices / "discovery").exists()
    assert (shore.devices / "things/X/device.key").exists() and (shore.devices / "ca/group-ca.key").exists()
    assert shore.prepare()["things"] == {}
    shore.use_devices("X")
    shore.apply()
    assert (shore.devices / "broker/data/shadows.db").read_text() == "kept"


def test_a_group_without_devices_makes_nothing(shore):
    assert shore.apply()["broker"] == "stop"
    assert shore.listed() == {}
    assert not shore.devices.exists()


def test_lists_without_a_group(shore):
    shore.do("add", name="X")
    shore.group = None
    assert shore.listed()["X"]["in_group"] is False
    assert shore.apply()["broker"] == "stop"


def test_a_missing_user_of_the_broker_is_told(shore):
    shore.use_devices("X")
    shore.host["devices"]["user"] = "nobody-knows"
    result = shore.fails("apply")
    assert result["error"] == "InternalError" and "'nobody-knows'" in result["message"] and "install" in result["message"]


def test_without_root_all_is_the_users_own(shore, folder):
    shore.use_devices("X")
    for path in (shore.state, folder / "run"):
        os.chown(path, 10077, 10077)
    shore.do("prepare", user=10077)
    line = shore.do("apply", user=10077)[-1]["devices"]
    assert line["broker"] == "restart"
    assert {path.stat().st_uid for path in shore.devices.rglob("*")} == {10077}


def test_a_foreign_folder_is_not_used(shore):
    shore.use_devices("X")
    shore.devices.mkdir()
    os.chown(shore.devices, 10077, 10077)
    assert "belongs to user 10077" in shore.fails("apply")["message"]


def test_a_lost_registry_is_not_an_empty_one(shore):
    shore.use_devices("X")
    shore.prepare()
    (shore.devices / "ca/registry.json").unlink()
    result = shore.fails("prepare")
    assert result["error"] == "InternalError" and "registry.json" in result["message"]


# Kills.

WORKER = "lighterman-worker"
CHANGES = ["write", "write:socket", "write:pipe", "fsync", "renameat", "unlinkat", "mkdirat", "fchown", "fchmod", "openat"]
ACTIONS = {"prepare": {}, "apply": {}, "remove": {"name": "Y"}, "add": {"name": "X"}}
SAMPLE = 40


class Moment(collections.namedtuple("Moment", "action call n")):
    """Just before a call of a run of that action."""

    def __str__(self):
        return f"[{self.action}: {self.call} {self.n}]"


def check_all(shore, told):
    """After any kill the next run ends well, and what was told before still holds."""
    removed = told.get("remove")
    shore.do("prepare")
    shore.do("apply")
    ca = shore.devices / "ca/group-ca.pem"
    openssl("verify", "-CAfile", ca, shore.devices / "things/X/device.pem", shore.devices / "broker/server.pem",
            shore.devices / "discovery/server.pem")
    assert fingerprint((shore.devices / "things/X/device.pem").read_text()) in shore.accepted("X")
    for line in told.get("add") or []:
        assert line["device"]["sha256"] in shore.accepted("X")
    if removed is not None:
        assert shore.accepted("Y") == [] and not (shore.devices / "things/Y").exists()
    left = [path.name for path in shore.devices.rglob(".*.tmp")]
    assert len(left) <= 1, left  # of a killed write, which the next one of that name replaces


class Kills:
    """Two devices of one group, to which the actions are done in order; any of them can be done once more, and killed."""

    def __init__(self, folder, tracer):
        self.folder, self.tracer = folder, tracer
        self.told, self.moments = {}, []

    def shore(self, name):
        shore = Shore(self.folder / name, PLAIN)
        shore.use_devices("X", "Y")
        return shore

    def count(self):
        """Does all of them, and finds each of their calls."""
        shore = self.shore("first")
        calls = ",".join(call for call in CHANGES if ":" not in call)
        for action, more in ACTIONS.items():
            run("cp", "-a", shore.folder, self.folder / f"before-{action}")
            log = self.folder / f"calls-{action}"
            self.told[action] = shore.do(action, wrap=[self.tracer, "-o", log, "count", calls, "--"], **more)
            self.moments += [Moment(action, call, n) for program, call, n in numbered(log.read_text().splitlines())
                             # Most files are opened before anything is changed.
                             if program == WORKER and (call != "openat" or n % 8 == 1)]

    def kill(self, folder, moment):
        """What comes of a kill at that moment; None: this run did not come there."""
        action, call, n = moment
        shutil.rmtree(folder, ignore_errors=True)
        run("cp", "-a", self.folder / f"before-{action}", folder)
        again, hit = self.shore(folder.name), self.folder / f"hit-{folder.name}"
        lines = again.attempt(action, wrap=[self.tracer, "-o", hit, "-p", WORKER, "kill", call, str(n), "--"], **ACTIONS[action])
        if not hit.read_text():
            return None
        assert not any(line.get("result") for line in lines), lines
        known = {one: self.told[one] for one in itertools.takewhile(lambda one: one != action, ACTIONS)}
        # A line that was sent is true, though the result could not be sent.
        known.setdefault("add", [line for line in lines if "device" in line])
        check_all(again, known)
        return "converged"


def test_any_kill_leaves_what_the_next_run_takes_up(in_memory, tools, sweep):  # noqa: F811
    """Each action is killed at each of its calls, in the state that the actions before it have left."""
    kills = Kills(in_memory, tools / "fault_tracer")
    kills.count()
    assert {moment.action for moment in kills.moments} == set(ACTIONS) and len(kills.moments) > 100
    trial = sweep("kill of lighterman-worker, files of client devices")
    chosen = trial.sample(kills.moments, SAMPLE)
    trial.run(kills.kill, chosen, [in_memory / f"again-{n}" for n in range(2)])
    trial.end(least=0.8 * len(chosen))
