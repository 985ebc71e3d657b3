# SPDX-License-Identifier: Apache-2.0
"""Client devices, from the group file on: certificates, the broker and discovery, as long as the application is to run."""
import concurrent.futures
import contextlib
import datetime
import json
import os
import pathlib
import queue
import signal
import socket
import ssl
import stat
import time

import paho.mqtt.client
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from device import ARN
from documents import success
from metrics_test import measured
from servers.local_broker import fingerprint, sanitized
from servers.server import free_port, processes, run, wait_until

THING = "arn:aws:iot:eu-west-1:123456789012:thing/"
CONNECTOR = ARN.format(region="eu-west-1", version=7)
STATUS_TOPIC = "dockerapplicationdeploymentconnector/message/status"
WAIT_S = 60
HANG_S = 600  # 20 s of processor time, of which a busy machine gives little
DAY_S = 24 * 3600
CORES = [{"Id": "core", "ThingArn": THING + "Gateway", "CertificateArn": "c"}]


def things(*names, **more):
    return [{"Id": name, "ThingArn": THING + name, "CertificateArn": "arn:aws:iot:eu-west-1:123456789012:cert/" + name, **more}
            for name in names]


def subscriptions(*triples):
    def arn(end):
        return end if end.startswith("arn:") or end in ("cloud", "GGShadowService") else THING + end
    return [{"Id": f"s{number}", "Source": arn(source), "Subject": subject, "Target": arn(target)}
            for number, (source, subject, target) in enumerate(triples)]


class Served:
    """A device whose group has the things A and B."""

    def __init__(self, device, image):
        self.device, self.image = device, image
        self.files = device.destination / "devices"
        self.own = {}  # the files of devices that use others than the group's
        self.broker_port = device.host["devices"]["brokerPort"]
        self.discovery_port = device.host["devices"]["discoveryPort"]

    def group(self, names=("A", "B"), triples=(("A", "to/b", "B"), (CONNECTOR, STATUS_TOPIC, "B")), **more):
        return self.device.local_group(["web"], self.image, arrays={
            "Cores": CORES, "Devices": things(*names), "Subscriptions": subscriptions(*triples)}, **more)

    @property
    def status(self):
        return self.device.status["devices"]

    def begin(self, *words, **more):
        """Deploys such a group; returns the device."""
        self.device.start()
        self.device.deploy(self.group(*words, **more))
        self.wait_running()
        return self.device

    def wait_running(self):
        """Both services; returns their process IDs."""
        def running():
            status = self.status
            return status and all(status[name]["state"] == "running" and accepts(status[name]["port"])
                                  for name in ("broker", "discovery")) and status

        status = wait_until(running, WAIT_S, lambda: f"not served: {json.dumps(self.status)}\n{self.device.stderr}")
        return status["broker"]["pid"], status["discovery"]["pid"]

    def context(self, name):
        context = ssl.create_default_context(cafile=str(self.files / name / "group-ca.pem"))
        context.load_cert_chain(*self.own.get(name, (self.files / name / "device.pem", self.files / name / "device.key")))
        return context

    def discover(self, name):
        with socket.create_connection(("127.0.0.1", self.discovery_port), WAIT_S) as plain:
            with self.context(name).wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                tls.sendall(f"GET /greengrass/discover/thing/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                received = b""
                while piece := tls.recv(65536):
                    received += piece
        assert received.startswith(b"HTTP/1.1 200 "), received
        return json.loads(received.partition(b"\r\n\r\n")[2])

    def server_certificate(self, port):
        """What the device A sees of it."""
        with socket.create_connection(("127.0.0.1", port), WAIT_S) as plain:
            with self.context("A").wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                return tls.getpeercert()

    def server_names(self):
        return {value for _, value in self.server_certificate(self.broker_port)["subjectAltName"]}

    def days_left(self):
        """Of the two servers' certificates."""
        return [(ssl.cert_time_to_seconds(self.server_certificate(port)["notAfter"]) - time.time()) / DAY_S
                for port in (self.broker_port, self.discovery_port)]

    def authority(self):
        """The group's: certificate and key."""
        folder = self.device.folder / "state/devices/ca"
        return (x509.load_pem_x509_certificate((folder / "group-ca.pem").read_bytes()),
                serialization.load_pem_private_key((folder / "group-ca.key").read_bytes(), None))

    @contextlib.contextmanager
    def client(self, name, *filters):
        """A client of the broker, connected and subscribed; its queue has what it gets."""
        # One that came back by itself would take the place of the next one of its name.
        client = paho.mqtt.client.Client(client_id=name, reconnect_on_failure=False)
        client.tls_set_context(self.context(name))
        got, ready = queue.Queue(), queue.Queue()
        client.on_message = lambda _c, _u, message: got.put((message.topic, message.payload))
        client.on_connect = lambda _c, _u, _f, code: client.subscribe([(text, 1) for text in filters]) if filters \
            else ready.put(code)
        client.on_subscribe = lambda *_: ready.put(0)
        client.connect("127.0.0.1", self.broker_port, 60)
        client.loop_start()
        client.got = got
        try:
            assert ready.get(timeout=WAIT_S) == 0
            yield client
        finally:
            client.loop_stop()
            client.disconnect()


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    return False


def is_gone(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return ") Z " in file.read()
    return True


@pytest.fixture
def served(device, local_image, broker_user, folder, programs):
    mosquitto = folder / "mosquitto"
    words = " ".join([*sanitized(programs / "lighterman_router.so"), "/usr/sbin/mosquitto"])
    mosquitto.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    mosquitto.chmod(0o755)
    device.host["devices"] = {"user": broker_user.name, "mosquitto": str(mosquitto), "brokerPort": free_port(),
                              "discoveryPort": free_port(), "alpnPort": 0}
    # The leak check cannot look into a hardened process that is not root.
    device.environment["ASAN_OPTIONS"] = "detect_leaks=0"
    return Served(device, local_image)


def test_devices_are_served_from_the_deployment_to_the_stop(served, user, broker_user):
    device = served.device
    device.start()
    assert device.status["devices"] is None
    device.deploy(served.group())
    pids = served.wait_running()

    # The container's files, as the application's user; the state is root's.
    for name in ("A", "B"):
        for file in ("device.key", "device.pem", "group-ca.pem", "root-ca.pem"):
            found = (served.files / name / file).stat()
            assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, user.uid)
    assert not (device.folder / "run/device-files.json").exists()
    assert stat.S_IMODE((device.folder / "state/devices/ca").stat().st_mode) == 0o700
    run_folder = (device.folder / "run/devices").stat()
    assert (stat.S_IMODE(run_folder.st_mode), run_folder.st_uid, run_folder.st_gid) == (0o750, broker_user.uid, 0)
    assert os.stat(f"/proc/{pids[0]}").st_uid == broker_user.uid

    group = served.discover("A")["GGGroups"][0]
    assert group["Cores"][0]["thingArn"] == THING + "Gateway"
    assert all(place["PortNumber"] == served.broker_port for place in group["Cores"][0]["Connectivity"])
    assert group["CAs"] == [(served.files / "A/group-ca.pem").read_text()]

    # The connector is a client, too. Its first status message has gone, before B is there to get it.
    device.wait_status(lambda status: [(broker["connected"], broker["waiting"]) for broker in status["brokers"]] == [(True, 0)])
    with served.client("A") as a, served.client("B", "#") as b:
        a.publish("to/b", b"hello", qos=1).wait_for_publish(WAIT_S)
        assert b.got.get(timeout=WAIT_S) == ("to/b", b"hello")
        device.wait_status(lambda status: status["devices"]["connected"] >= 2 and status["devices"]["routed"] >= 1)
        samples = measured(device)
        assert samples['lighterman_device_service_up{service="broker"}'] == 1
        assert samples["lighterman_devices"] == 2 and samples["lighterman_device_messages_routed_total"] >= 1
        listed = {entry["name"]: entry for entry in device.ask("device", action="list")["devices"]}
        assert listed["A"]["connected"] and listed["A"]["in_group"]
        device.deploy(served.group(key="other.yml"))
        topic, message = b.got.get(timeout=WAIT_S)
        assert topic == STATUS_TOPIC and json.loads(message) == success(key="other.yml")
    assert served.wait_running() == pids  # nothing that they read has changed

    assert device.cli("stop").returncode == 0
    wait_until(lambda: all(map(is_gone, pids)), WAIT_S, "the services outlive the application")
    assert not accepts(served.broker_port) and not accepts(served.discovery_port)
    assert served.status["broker"]["state"] == served.status["discovery"]["state"] == "stopped"
    device.cli("start")
    served.wait_running()


def test_services_that_are_killed_are_started_again(served):
    device = served.device
    device.start()
    device.deploy(served.group())
    before = served.wait_running()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(map(is_gone, before)), WAIT_S, "killed, but there")
    after = served.wait_running()
    assert not set(before) & set(after)
    assert served.status["broker"]["failures"] == served.status["discovery"]["failures"] == 1
    served.discover("B")


def test_a_broker_that_hangs_is_ended_and_started_again(served, tools, folder, broker_user):
    """A second plugin makes mosquitto's loop run in a circle, as a fault of mosquitto's does."""
    device = served.device
    config = folder / "hanging"
    config.mkdir()
    broker_user.owns(config)
    mosquitto = pathlib.Path(device.host["devices"]["mosquitto"])
    mosquitto.write_text(mosquitto.read_text().replace(
        "exec ", f'[ "$1" = -c ] || exit 9\n{{ cat "$2"; echo "plugin {tools}/hanging_plugin.so"; }} >{config}/conf || exit 9\nexec ')
        .replace('"$@"', f"-c {config}/conf"))
    device.start()
    device.deploy(served.group())
    before = served.wait_running()
    with served.client("A") as a:
        a.publish("to/b", b"hang", qos=0)
        wait_until(lambda: is_gone(before[0]), HANG_S, lambda: f"it hangs\n{device.stderr}")
    after = served.wait_running()
    assert after[0] != before[0] and after[1] == before[1]
    assert served.status["broker"]["failures"] == 1
    assert "lighterman_router: mosquitto's loop does not come back; ending it" in device.stderr
    with served.client("A") as a, served.client("B", "#") as b:
        a.publish("to/b", b"hello", qos=1).wait_for_publish(WAIT_S)
        assert b.got.get(timeout=WAIT_S) == ("to/b", b"hello")


@pytest.mark.parametrize("damage", [b"no messages", b"\0\xb5\0mosquitto db" + bytes(7) + b"\6" + bytes(3) + b"\1" + bytes(3) + b"\x10\1"],
                         ids=["foreign", "cut off"])
def test_a_damaged_file_of_messages_does_not_keep_the_broker_from_starting(served, damage):
    device = served.device
    device.start()
    device.deploy(served.group())
    broker, _ = served.wait_running()
    data = device.folder / "state" / "devices" / "broker" / "data"
    os.kill(broker, signal.SIGSTOP)  # it must not write the file at its end
    (data / "mosquitto.db").write_bytes(damage)
    os.kill(broker, signal.SIGKILL)
    wait_until(lambda: (data / "mosquitto.db.bad").exists(), WAIT_S, lambda: device.stderr)
    served.wait_running()
    assert (data / "mosquitto.db.bad").read_bytes() == damage
    assert "mosquitto.db': it is set aside as mosquitto.db.bad; messages for the cloud" in device.stderr


def test_lightermands_end_is_theirs_and_its_start_too(served):
    device = served.device
    device.start()
    device.deploy(served.group(StopContainersOnNewDeployment="False"))
    for end in (device.stop, device.kill):
        pids = served.wait_running()
        end()
        wait_until(lambda: all(map(is_gone, pids)), WAIT_S, "the services outlive lightermand")
        device.start()
        served.wait_running()
        served.discover("A")
    assert "Sanitizer" not in device.stderr


def test_a_new_address_is_in_the_certificate(served):
    device = served.device
    device.start()
    device.deploy(served.group())
    pids = served.wait_running()
    names = served.server_names()
    run("ip", "link", "add", "lmdummy", "type", "veth", "peer", "name", "lmdummy2")
    try:
        run("ip", "link", "set", "lmdummy", "up")
        run("ip", "address", "add", "10.99.98.97/24", "dev", "lmdummy")
        assert "10.99.98.97" not in names
        wait_until(lambda: "10.99.98.97" in served.server_names(), WAIT_S, lambda: f"not there: {served.server_names()}")
        wait_until(lambda: "10.99.98.97" in [place["HostAddress"] for place in
                                             served.discover("A")["GGGroups"][0]["Cores"][0]["Connectivity"]],
                   WAIT_S, "not discovered")
    finally:
        run("ip", "link", "delete", "lmdummy")
    assert served.wait_running() == pids  # told, not restarted


def let_days_pass(served, days_left):
    """The servers' certificates are as old as that."""
    ca, key = served.authority()
    now = datetime.datetime.utcnow()
    for service in ("broker", "discovery"):
        path = served.device.folder / "state/devices" / service / "server.pem"
        new = x509.load_pem_x509_certificate(path.read_bytes())
        old = (x509.CertificateBuilder().subject_name(new.subject).issuer_name(ca.subject).public_key(new.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=90 - days_left))
               .not_valid_after(now + datetime.timedelta(days=days_left)))
        for extension in new.extensions:
            old = old.add_extension(extension.value, extension.critical)
        path.write_bytes(old.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def bridge_addresses():
    """Of networks that the engine has made, as for the application: they come after the certificate."""
    return {place["local"] for interface in json.loads(run("ip", "-json", "-4", "address").stdout)
            if interface["ifname"].startswith("br-") for place in interface["addr_info"]}


def test_the_servers_certificates_are_renewed_while_clients_stay(served):
    device = served.device
    device.start()
    device.deploy(served.group())
    pids = served.wait_running()
    wait_until(lambda: bridge_addresses() <= served.server_names(), WAIT_S, lambda: f"not all: {served.server_names()}")
    lost = queue.Queue()
    with served.client("A") as a, served.client("B", "#") as b:
        a.on_disconnect = b.on_disconnect = lambda *_: lost.put(True)
        let_days_pass(served, 20)
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
        wait_until(lambda: max(served.days_left()) < 21, WAIT_S, lambda: f"days left: {served.days_left()}")
        names = served.server_names()
        # What is done twice a day is done after this, too.
        assert device.ask("device", action="add", name="C")["exit"] == 0
        wait_until(lambda: min(served.days_left()) > 80, WAIT_S, lambda: f"days left: {served.days_left()}\n{device.stderr}")
        assert served.server_names() == names  # no other reason
        device.wait_status(lambda status: status["devices"]["server_expires_ms"] / 1000 > time.time() + 80 * DAY_S)
        a.publish("to/b", b"hello", qos=1).wait_for_publish(WAIT_S)
        assert b.got.get(timeout=WAIT_S) == ("to/b", b"hello")
        assert lost.empty()
    assert served.wait_running() == pids


def test_a_device_that_is_added_right_after_the_start_restarts_nothing(served, folder):
    device = served.device
    device.start()
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
        "-keyout", folder / "own.key", "-out", folder / "own.csr")
    device.deploy(served.group())
    pids = [served.status[name]["pid"] for name in ("broker", "discovery")]
    signed = device.ask("device", action="add", name="B", csr=(folder / "own.csr").read_text())
    (folder / "own.pem").write_text(signed["device"]["certificate"])
    served.own = {"B": (folder / "own.pem", folder / "own.key")}

    def is_known():
        with contextlib.suppress(AssertionError, OSError, queue.Empty), served.client("B"):
            return b"200" in answer_to(served, "B")
        return False

    wait_until(is_known, WAIT_S, lambda: f"not accepted\n{device.stderr}")
    assert list(served.wait_running()) == pids
    assert served.status["broker"]["failures"] == served.status["discovery"]["failures"] == 0


def equip(served, names):
    """Gives these devices keys (all the same) and certificates, as lightermand would, in less time."""
    ca, authority = served.authority()
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.NoEncryption())
    now = datetime.datetime.utcnow()
    base = (x509.CertificateBuilder().issuer_name(ca.subject).public_key(key.public_key())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=3650))
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), False))
    for name in names:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])
        place = served.device.folder / "state/devices/things" / name
        place.mkdir(mode=0o700)
        for file, data in (("device.key", text), ("device.pem", base.subject_name(subject).serial_number(
                x509.random_serial_number()).sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))):
            (place / file).write_bytes(data)
            (place / file).chmod(0o600)


def test_a_group_of_2500_devices_and_10000_subscriptions(served):
    """The most that Greengrass V1 had, with long names and certificates of AWS IoT beside ours."""
    device = served.device
    device.start()
    device.deploy(served.group())  # makes the CA
    served.wait_running()
    names = [f"{number:04d}".ljust(100, "x") for number in range(2500)]
    equip(served, names)
    routes = [(names[number % 2500], f"t/{number}", "GGShadowService") for number in range(9999)]
    devices = [{**entry, "CertificateArn": f"arn:aws:iot:eu-west-1:123456789012:cert/{number:064x}"}
               for number, entry in enumerate(things(*names))]
    group = device.local_group(["web"], served.image, key="large.yml", arrays={
        "Cores": CORES, "Devices": devices, "Subscriptions": subscriptions(*routes, (names[0], "to/last", names[-1]))})
    device.deploy(group, timeout=600)
    served.wait_running()
    with served.client(names[0]) as first, served.client(names[-1], "#") as last:
        first.publish("to/last", b"hello", qos=1).wait_for_publish(WAIT_S)
        assert last.got.get(timeout=WAIT_S) == ("to/last", b"hello")
        device.wait_status(lambda status: status["devices"]["connected"] >= 2)
        # A list waits for what is under way, but not for ever: that of this group may take longer.
        wait_until(lambda: device.cli("device", "list", check=False).returncode == 0, 300, "the devices are not listed")
        listed = {entry["name"]: entry for entry in device.cli_json("device", "list")}
    assert set(names) <= set(listed) and {"A", "B"} <= set(listed)
    assert all(listed[name]["in_group"] and len(listed[name]["certificates"]) == 2 for name in names)
    assert listed[names[0]]["connected"] and not listed[names[1]]["connected"]
    status = device.status["devices"]
    assert (status["devices"], status["subscriptions"], status["warnings"]) == (2500, 10000, [])
    assert "of 2500 connected, 10000 subscriptions" in device.cli("status").stdout
    told = json.loads(device.cli("doctor", group, "--json", check=False).stdout)
    assert not [check for check in told["checks"] if check["ok"] is False and "device" in check["check"]], told
    assert len(list(served.files.iterdir())) >= 2500
    assert device.cli("stop", timeout=300).returncode == 0


def test_a_device_that_is_removed_is_turned_away(served):
    device = served.begin()
    with served.client("A"):
        pass
    assert device.ask("device", action="remove", name="A")["exit"] == 0
    wait_until(lambda: b"200" not in answer_to(served, "A"), WAIT_S, "it still gets the group")
    assert device.ask("device", action="add", name="A")["exit"] == 0
    device.deploy(served.group(key="other.yml"))
    wait_until(lambda: b"200" in answer_to(served, "A"), WAIT_S, "it does not get the group")
    for request, words in (({"action": "list2"}, "add, list or remove"), ({"action": "add"}, "name"),
                           ({"action": "add", "name": "../x"}, ""), ({"action": "remove", "name": "C"}, "C")):
        answer = device.ask("device", **request)
        assert answer["exit"] in (1, 2) and words in answer["message"], answer


def test_a_removal_does_not_wait_for_the_files_of_the_services(served):
    device = served.begin(triples=[("A", "to/b", "B")])
    let_no_apply_succeed(device)
    assert device.ask("device", action="remove", name="A")["exit"] == 0
    device.wait_status(lambda status: "connector.password" in json.dumps(status["devices"]["warnings"]))
    served.wait_running()
    assert b"200" not in answer_to(served, "A") and b"200" in answer_to(served, "B")
    assert_refused(served, "A")
    with served.client("B"):
        pass
    # Nor for the application.
    assert device.cli("stop").returncode == 0
    assert device.ask("device", action="remove", name="B")["exit"] == 0
    device.cli("start")
    served.wait_running()
    assert_refused(served, "B")


def test_a_removal_does_not_wait_for_the_keys_of_others(served):
    """A stolen key is not good for as long as a large group gets its own."""
    device = served.begin()
    names = [f"New{n}" for n in range(60)]
    folder = device.folder / "state/devices/things"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        deployed = pool.submit(device.deploy, served.group(names=("A", "B", *names), key="large.yml"), timeout=600)
        wait_until(lambda: len(list(folder.iterdir())) > 5, WAIT_S, "no keys are made")
        for name in ("A", "B"):
            assert device.ask("device", action="remove", name=name)["exit"] == 0
            assert not deployed.done() and len(list(folder.iterdir())) < len(names)
            wait_until(lambda: b"200" not in answer_to(served, name), WAIT_S, "it still gets the group")
            assert_refused(served, name)
        deployed.result()
    assert {path.name for path in served.files.iterdir() if path.is_dir()} == set(names)


def test_a_removal_counts_although_its_key_cannot_be_deleted(served):
    device = served.begin(triples=[("A", "to/b", "B")])
    stuck = device.folder / "state/devices/things/A"
    run("mount", "--bind", stuck, stuck)
    try:
        answer = device.ask("device", action="remove", name="A")
        assert answer["exit"] == 1 and (f"is removed and no longer accepted, but its key cannot be deleted: delete '{stuck}' by hand"
                                        in answer["message"]), answer
        wait_until(lambda: b"200" not in answer_to(served, "A"), WAIT_S, "it still gets the group")
        assert_refused(served, "A")
        # Others are served as before.
        device.deploy(served.group(names=("A", "B", "C"), key="more.yml"))
        wait_until(lambda: b"200" in answer_to(served, "C"), WAIT_S, "it does not get the group")
    finally:
        run("umount", stuck)


def test_a_removal_counts_although_the_table_of_the_broker_is_damaged(served):
    device = served.begin(triples=[("A", "to/b", "B")])
    (device.folder / "state/devices/broker/router.json").write_text("{")
    let_no_apply_succeed(device)
    assert device.ask("device", action="remove", name="A")["exit"] == 0
    assert_refused(served, "A")


def connects(served, name):
    try:
        with served.client(name):
            return True
    except (AssertionError, OSError, queue.Empty):
        return False


def assert_refused(served, name):
    wait_until(lambda: not connects(served, name), WAIT_S, f"'{name}' is still accepted")


def let_no_apply_succeed(device):
    password = device.folder / "state/devices/broker/connector.password"
    password.unlink()
    password.mkdir()


def answer_to(served, name):
    try:
        return b"200" if served.discover(name) else b""
    except (AssertionError, OSError) as error:
        return str(error).encode().split(b"\\r\\n")[0][:40].replace(b"200", b"") or b"refused"


def test_a_group_without_devices_starts_nothing(served):
    device = served.device
    device.start()
    device.deploy(device.local_group(["web"], served.image))
    assert device.status["devices"] is None
    assert not (device.folder / "state/devices").exists() and not (device.folder / "run/devices").exists()
    assert "lighterman_device" not in device.cli("metrics").stdout
    assert not processes("lighterman-discovery") and "devices" not in device.log
    # One with devices, and back.
    device.deploy(served.group())
    pids = served.wait_running()
    assert served.files.exists()
    state = device.folder / "state/devices"
    device.deploy(device.local_group(["web"], served.image, key="other.yml"))
    wait_until(lambda: all(map(is_gone, pids)), WAIT_S, "the services outlive their group")
    assert device.status["devices"] is None and not (served.files / "A").exists()
    wait_until(lambda: [path.name for path in (state / "broker").iterdir()] == ["data"], WAIT_S,
               lambda: f"left: {list((state / 'broker').iterdir())}\n{device.stderr}")
    assert not (state / "discovery").exists() and not (state / "pending.json").exists()
    assert (state / "ca/group-ca.key").exists()
    # Of an application that is stopped, too, but only with its group.
    device.deploy(served.group(key="third.yml"))
    served.wait_running()
    assert device.cli("stop").returncode == 0
    assert (state / "broker/server.key").exists()
    device.deploy(device.local_group(["web"], served.image, key="fourth.yml"))
    wait_until(lambda: [path.name for path in (state / "broker").iterdir()] == ["data"], WAIT_S, lambda: device.stderr)


def test_a_broker_that_cannot_run_keeps_nothing_from_running(served):
    device = served.device
    device.host["devices"]["mosquitto"] = "/nonexistent/mosquitto"
    device.start()
    device.deploy(served.group())
    status = device.wait_status(lambda status: status["devices"]["discovery"]["state"] == "running")["devices"]
    assert status["broker"]["state"] == "failed" and "/nonexistent/mosquitto" in status["broker"]["error"]
    assert device.status["state"] == "running"


def test_a_status_waits_for_a_broker_that_is_not_up(served):
    device = served.device
    there, away = device.host["devices"]["mosquitto"], str(device.folder / "later")
    device.host["devices"]["mosquitto"] = away
    device.start()
    device.deploy(served.group())
    [broker] = device.status["brokers"]
    assert (broker["connected"], broker["waiting"]) == (False, 1) and "broker.sock" in broker["name"]
    os.symlink(there, away)
    device.wait_status(lambda status: [(b["connected"], b["waiting"]) for b in status["brokers"]] == [(True, 0)])
    assert "no connection to the broker" not in device.stderr  # it is told that the broker does not run
    assert device.cli("stop").returncode == 0
    assert device.status["brokers"] == []


def test_certificates_that_cannot_be_made_fail_the_deployment(served):
    device = served.device
    device.start()
    (device.folder / "state/devices").write_text("in the way")
    device.deploy(served.group(), status=1)
    assert device.status["last_deployment"]["stage"] == "prepare"
    assert "make certificates for the client devices" in device.status["last_deployment"]["message"]
    (device.folder / "state/devices").unlink()
    device.deploy(served.group())
    served.wait_running()


def test_an_application_that_starts_does_not_need_new_certificates(served):
    """A device that boots keeps its application, whatever is damaged; doctor names it."""
    device = served.device
    group = served.group()
    device.start()
    device.deploy(group)
    served.wait_running()
    device.stop()
    registry = device.folder / "state/devices/ca/registry.json"
    kept = registry.read_bytes()
    registry.write_text('{"format":1')
    device.start()
    device.wait_status(lambda status: status["state"] == "running")
    device.wait_log("starting the application all the same")
    served.discover("A")
    told = json.loads(device.cli("doctor", group, "--json", check=False).stdout)
    [found] = [check for check in told["checks"] if check["check"] == "device certificates" and check["ok"] is False]
    assert "registry.json' is damaged" in found["message"] and "restore it" in found["message"]
    device.deploy(group, status=1)
    registry.write_bytes(kept)
    device.deploy(group)


def test_no_key_for_a_deployment_is_left_in_the_runtime_directory(served):
    device = served.device
    left = [device.folder / "run" / name for name in ("device-files.json", ".device-files.json.tmp")]
    device.start()
    device.stop()
    for path in left:
        path.write_text("a key")
    device.start()
    assert not any(path.exists() for path in left)
    # Of a worker that was killed meanwhile, too.
    (device.folder / "state/devices").write_text("in the way")
    left[1].write_text("a key")
    device.deploy(served.group(), status=1)
    assert not any(path.exists() for path in left)


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_devices_keep_keys_of_their_own_and_the_machine_its_mosquitto(served, authority, folder):
    """What AWS IoT issued is named by CertificateArn; a request is signed here. /etc/mosquitto is another broker's."""
    device = served.device
    before = contents(pathlib.Path("/etc/mosquitto"))
    device.host["devices"]["ca"] = str(authority.certificate)
    issued = authority.issue("A")
    device.start()
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
        "-keyout", folder / "own.key", "-out", folder / "own.csr")
    signed = device.ask("device", action="add", name="B", csr=(folder / "own.csr").read_text())
    (folder / "own.pem").write_text(signed["device"]["certificate"])
    device.deploy(device.local_group(["web"], served.image, arrays={
        "Cores": CORES, "Subscriptions": subscriptions(("A", "to/b", "B")),
        "Devices": [{**things("A")[0], "CertificateArn": "arn:aws:iot:eu-west-1:123456789012:cert/" + fingerprint(issued[0])},
                    *things("B")]}))
    served.wait_running()
    served.own = {"A": issued, "B": (folder / "own.pem", folder / "own.key")}
    with served.client("A") as a, served.client("B", "#") as b:
        a.publish("to/b", b"hello", qos=1).wait_for_publish(WAIT_S)
        assert b.got.get(timeout=WAIT_S) == ("to/b", b"hello")
    assert before and contents(pathlib.Path("/etc/mosquitto")) == before
