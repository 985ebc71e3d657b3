# SPDX-License-Identifier: Apache-2.0
"""What a fleet on one machine consists of: a broker, an S3, the job service, engines, and the devices."""
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import paho.mqtt.client

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/e2e"))

from device import ARN, REGION  # noqa: E402
from servers.job_service import FINAL, JobService  # noqa: E402
from servers.server import Server, accepts, free_port, run, wait_until  # noqa: E402

BUCKET = "fleet"
RELEASES = ("1", "2")
SERVICES = ("gateway", "sensors")
TICKS = os.sysconf("SC_CLK_TCK")
CONNECTION = re.compile(r"New connection from \S+ on port (\d+)")
ANSWER = re.compile(r"/(accepted|rejected|notify-next|notify)$")


def image(service, release):
    return f"harbour/{service}:{release}"


def compose_text(release):
    return json.dumps({"version": "3", "services": {service: {"image": image(service, release)} for service in SERVICES}})


class FleetBroker(Server):
    """mosquitto: a listener with TLS for the devices, and a plain one for the service. Notes when it was connected to."""

    def __init__(self, folder, authority, log_pings=False):
        super().__init__(folder)
        self.port, self.tls_port = free_port(), free_port()
        self.authority = authority
        self.connections, self.pings = [], []  # when, of the devices
        certificate, key = authority.issue("localhost")
        # A broker of the cloud drops nothing for a service that is slow; mosquitto would at 1,000 messages.
        self.write("mosquitto.conf", f"""
user root
log_dest stderr
log_type error
log_type warning
log_type notice
{"log_type debug" if log_pings else ""}
persistence false
max_queued_messages 0
allow_anonymous true
listener {self.port} 127.0.0.1
listener {self.tls_port} 127.0.0.1
cafile {authority.certificate}
certfile {certificate}
keyfile {key}
require_certificate true
""")

    def start(self):
        process = subprocess.Popen(["mosquitto", "-c", str(self.folder / "mosquitto.conf")], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.processes.append(process)
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
        wait_until(lambda: accepts(self.port), self.READY_S, lambda: f"mosquitto does not answer:\n{self.log()}",
                   hopeless=lambda: process.poll() is not None)

    def _read(self, lines):
        with open(self.log_path, "a", encoding="utf-8") as log:
            for line in lines:
                match = CONNECTION.search(line)
                if match and int(match[1]) == self.tls_port:
                    self.connections.append(time.monotonic())
                elif "PINGREQ from boat-" in line:
                    self.pings.append(time.monotonic())
                elif not match and "Sending" not in line and "Received" not in line:
                    log.write(line)
                    log.flush()

    def of_host_file(self, **more):
        certificate, key = self.authority.issue("device")
        return {"host": "localhost", "port": self.tls_port, "ca": str(self.authority.certificate),
                "certificate": str(certificate), "privateKey": str(key), **more}


class FleetService(JobService):
    """Rolls out: so many devices have a job at a time, and each that ends makes room for the next. Notes when each was given
    and when it ended."""

    def __init__(self, port, at_a_time=1):
        super().__init__("127.0.0.1", port)
        self.at_a_time, self.waiting = at_a_time, collections.deque()
        self.given, self.ended = {}, {}

    def roll_out(self, job, documents):
        """`documents`: of each thing."""
        with self.changed:
            self.waiting.extend((thing, job, document) for thing, document in documents.items())
            for _ in range(self.at_a_time):
                self._give_next()

    def _give_next(self):
        if self.waiting:
            thing, job, document = self.waiting.popleft()
            self.given[thing, job] = time.monotonic()
            self.create(thing, job, document)

    def _update(self, execution, body):
        answer = super()._update(execution, body)
        key = execution["thingName"], execution["jobId"]
        if execution["status"] in FINAL and key not in self.ended:
            self.ended[key] = time.monotonic()
            self._give_next()
        return answer

    def ended_of(self, job):
        with self.changed:
            return sum(name == job for _, name in self.ended)

    def asked(self):
        """The things that have asked for a job."""
        with self.changed:
            return {thing for thing, what, *_ in self.requests if what == "start-next"}

    def statuses(self, job):
        with self.changed:
            return collections.Counter(" ".join([execution["status"], execution["statusDetails"].get("reason", "")]).strip()
                                       for executions in self.executions.values()
                                       for execution in executions if execution["jobId"] == job)


class Messages:
    """Counts what devices publish and what is published to them."""

    def __init__(self, port):
        self.up, self.down = 0, 0
        self.topics = collections.Counter()
        self.client = paho.mqtt.client.Client()
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.on_connect = lambda client, *_: client.subscribe([("#", 0), ("$aws/#", 0)])
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _on_message(self, _client, _userdata, message):
        if ANSWER.search(message.topic):
            self.down += 1
        else:
            self.up += 1
        self.topics[re.sub(r"things/[^/]+/", "things/+/", message.topic)] += 1

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


class Wire:
    """Counts bytes and packets of TCP ports on loopback, in both directions, with the headers of IP and TCP."""

    def __init__(self, **ports):
        self.ports = ports
        # Packets as on a network: not 64 KB at a time.
        run("ip", "link", "set", "lo", "mtu", "1500", "gso_max_segs", "1")
        for port in ports.values():
            for side in ("--dport", "--sport"):
                run("iptables", "-w", "-A", "INPUT", "-p", "tcp", side, port)

    def read(self):
        """{name: {"up": (bytes, packets), "down": …}}"""
        counts = {}
        for line in run("iptables", "-w", "-nvxL", "INPUT").stdout.splitlines():
            match = re.match(r"\s*(\d+)\s+(\d+)\s.*\b([ds])pt:(\d+)", line)
            if match:
                counts[match[3], int(match[4])] = int(match[2]), int(match[1])
        return {name: {"up": counts["d", port], "down": counts["s", port]} for name, port in self.ports.items()}


def difference(after, before):
    return {name: {way: tuple(a - b for a, b in zip(after[name][way], before[name][way])) for way in ("up", "down")}
            for name in after}


class Engines:
    """All engines, in a process of their own."""

    def __init__(self, folder, count):
        images = [image(service, release) for service in SERVICES for release in RELEASES]
        self.process = subprocess.Popen([sys.executable, str(HERE / "fleet_engines.py"), str(folder), str(count), *images],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the engines do not start")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


class FleetDevice:
    """A lightermand with a host file, an engine and folders of its own, all below `folder`."""

    def __init__(self, folder, programs, tools, user, broker, s3, number):
        self.folder, self.programs, self.name = folder, programs, f"boat-{number}"
        self.user, self.process = user, None
        for part in ("state", "run", "gg", "app"):
            (folder / part).mkdir(parents=True)
        user.owns(folder / "app")
        (folder / "host.json").write_text(json.dumps({
            "greengrassRoot": str(folder / "gg"), "stateDirectory": str(folder / "state"),
            "runtimeDirectory": str(folder / "run"), "region": REGION, "thingName": self.name,
            "docker": {"socket": str(folder / "engine.sock"), "compose": str(tools / "stepwise_compose")},
            "mqtt": broker.of_host_file(clientId=self.name, jobs=True)}))
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "LANG": "C.UTF-8",
                            **s3.environment()}

    def group(self, release):
        """The document of a job."""
        values = {"DockerComposeFileS3Bucket": BUCKET, "DockerComposeFileS3Key": release,
                  "DockerComposeFileDestinationPath": str(self.folder / "app"), "DockerUserId": str(self.user.uid)}
        return {"Connectors": [{"Id": "app", "ConnectorArn": ARN.format(region=REGION, version=7), "Parameters": values}]}

    def start(self, **environment):
        # A PID namespace, as a device has one: what looks for processes must not find those of a whole fleet.
        words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", str(self.programs / "lightermand"),
                 "--config", str(self.folder / "host.json")]
        with open(self.folder / "stderr.log", "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**self.environment, **environment}, cwd="/", start_new_session=True)

    @property
    def pid(self):
        """Of lightermand."""
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(path.read_text(encoding="ascii").split()[0])

    def stop(self):
        if self.process and self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self):
        if self.process:
            self.process.wait(120)
            self.process = None

    def stderr(self):
        return (self.folder / "stderr.log").read_text(errors="replace")

    def cpu_s(self):
        """(user, system) of lightermand and of all that it has started and waited for (proc(5), stat)."""
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        user, system, childrens_user, childrens_system = map(int, text.rsplit(")", 1)[1].split()[11:15])
        return (user + childrens_user) / TICKS, (system + childrens_system) / TICKS

    def memory_kb(self):
        """{"Pss", "Rss", "Private"}"""
        found = collections.Counter()
        for line in pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name in ("Pss", "Rss", "Private_Clean", "Private_Dirty"):
                found[name.partition("_")[0]] += int(value.split()[0])
        return found


def install(build, folder):
    """The programs and the docker-compose of the tests, where every user can reach them."""
    folder.mkdir()
    folder.chmod(0o755)
    for name in ("bin/lightermand", "bin/lighterman-worker", "tests/fakes/stepwise_compose"):
        if not (build / name).exists():
            raise RuntimeError(f"'{build / name}' is not built: run scripts/build")
        shutil.copy(build / name, folder)
    return folder
