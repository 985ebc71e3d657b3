# SPDX-License-Identifier: Apache-2.0
"""A device for a sweep, and what it does in one: scenarios, each run with one fault at one place, then started again.

What must hold after the next start is in Berth.check(): what runs is what is wanted or the last good one, that one can be
restored, each status message has arrived, no secret is on the disk, nothing is left running. Everything of a berth is in a
folder in memory: a killed program's writes are there all the same, and nothing is waited for.
"""
import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

from device import ARN, FINDING, REGION, SECRET_ARN
from sweep_quay import Broker, Engine, digest

PASSWORD = "Pl4nt3d-Password"
DESTINATION_NAMES = ("state", "run", "gg", "app")
START_S, REST_S, END_S = 20, 60, 30
SMALL_LOG_KB = 4


class App:
    """A definition, its compose file and what runs of it."""

    def __init__(self, name, services, broken=()):
        self.name = name
        self.services = {service: {"image": image} for service, image in services.items()}
        for service in broken:
            self.services[service]["command"] = "broken"
        self.text = json.dumps({"version": "3", "services": self.services, "x-padding": name * 600})

    def runs(self, engine):
        ids = {**engine.registry, **engine.images}
        return {service: (ids[definition["image"]], digest(json.dumps(definition, sort_keys=True))[7:])
                for service, definition in self.services.items()}


# B has another image for one service, one service less and one more; its image is pulled with a password, and may be built.
A = App("A", {"web": "harbour/web:1", "db": "harbour/db:1"})
B = App("B", {"web": "harbour/web:2", "cache": "harbour/db:1"})
B.services["web"]["build"] = "."
B.text = json.dumps({"version": "3", "services": B.services, "x-padding": "B" * 600})
# C stops what ran, starts its first service, and fails with its second.
C = App("C", {"aid": "harbour/web:1", "web": "harbour/web:1"}, broken=["web"])
APPS = {app.name: app for app in (A, B, C)}


class Lost(Exception):
    """lightermand is gone, or does not do what was waited for because it was killed."""


class Notices:
    """What lightermand tells its service manager: the events by which it is waited for."""

    def __init__(self, path):
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))

    def drain(self):
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(4096)

    def wait(self, seconds):
        """The next one; "" if none comes in that time."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096).decode()
        except TimeoutError:
            return ""


class Berth:
    """A device with engine and broker of its own. `programs` is a folder with lightermand and its worker."""

    def __init__(self, folder, programs, tools, serving, user):
        self.folder, self.programs, self.tools, self.serving, self.user = folder, programs, tools, serving, user
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.live = folder / "d"  # what is restored for each run
        self.engine, self.broker = Engine(str(folder / "engine.sock")), Broker(str(folder / "broker.sock"))
        serving.call(self.engine.open())
        serving.call(self.broker.open())
        self.notices = Notices(folder / "notify")
        (folder / "engine-root").mkdir()
        self.bases = {}
        self.paid, self.boxed = set(), []  # what had its message in the outbox before this run; what the outbox had
        self.process = self.pid = None
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "LANG": "C.UTF-8",
                            "NOTIFY_SOCKET": str(folder / "notify"), "ASAN_OPTIONS": "detect_leaks=0",
                            "AWS_EC2_METADATA_DISABLED": "true"}
        self.more_environment = {}
        self.make_empty()

    # Its folders

    def make_empty(self):
        shutil.rmtree(self.live, ignore_errors=True)
        self.live.mkdir()
        for name in ("objects/ships", "secrets", "app", "state", "run", "gg"):
            (self.live / name).mkdir(parents=True)
        for name in ("secrets", "app"):
            self.user.owns(self.live / name)
            (self.live / name).chmod(0o700)
        for app in APPS.values():
            (self.live / "objects/ships" / app.name).write_text(app.text)
        secret = self.live / "secrets/harbour.json"
        secret.write_text(json.dumps({"username": "alice", "password": PASSWORD, "registryUrl": "harbour:5000"}))
        self.user.owns(secret)
        (self.live / "host.json").write_text(json.dumps({
            "greengrassRoot": str(self.live / "gg"), "stateDirectory": str(self.live / "state"),
            "runtimeDirectory": str(self.live / "run"), "region": REGION, "thingName": "Gateway",
            "objectStore": {"directory": str(self.live / "objects")}, "secretStore": {"directory": str(self.live / "secrets")},
            "docker": {"socket": self.engine.path, "compose": str(self.tools / "stepwise_compose")},
            "mqtt": {"socket": self.broker.path, "topics": {"progress": False, "connection": False, "containers": False}}}))
        self.engine.password = PASSWORD
        self.engine.registry = {name: digest(name) for name in ("harbour/web:1", "harbour/web:2", "harbour/db:1")}
        self.engine.clear()
        self.broker.received = []
        self.bases[None] = self.save()

    def save(self):
        """Its state, to be restored: (folder, engine)."""
        target = self.folder / f"base-{len(self.bases)}"
        subprocess.run(["cp", "-a", self.live, target], check=True)
        return target, self.engine.state()

    def restore(self, base):
        folder, engine = self.bases[base]
        shutil.rmtree(self.live)
        subprocess.run(["cp", "-a", folder, self.live], check=True)
        self.engine.restore(engine)
        self.broker.received = []
        self.paid = set()
        self.paid, self.boxed = set(self.owed()) - self.unreported(), self.waiting()
        if not self.broker.server:
            self.serving.call(self.broker.open())

    def group(self, app, policy=None, **parameters):
        """The text of a group file."""
        values = {"DockerComposeFileS3Bucket": "ships", "DockerComposeFileS3Key": app.name,
                  "DockerComposeFileDestinationPath": str(self.live / "app"), "DockerUserId": str(self.user.uid),
                  "AWSSecretsArnList": json.dumps([SECRET_ARN.format(name="harbour")]), **parameters}
        entry = {"Id": "app", "ConnectorArn": ARN.format(region=REGION, version=7), "Parameters": values}
        if policy:
            entry["Policy"] = policy
        loggers = [{"Id": "l", "Component": "Lambda", "Level": "DEBUG", "Type": "FileSystem", "Space": SMALL_LOG_KB}]
        return json.dumps({"Connectors": [entry], "Loggers": loggers})

    # lightermand

    def begin(self, wrap=()):
        """Starts it; `wrap`: words before it."""
        self.notices.drain()
        with open(self.folder / "stderr.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in (*wrap, self.programs / "lightermand", "--config", self.live / "host.json")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**self.environment, **self.more_environment},
                cwd="/", start_new_session=True)
        self.pid = None if wrap else self.process.pid

    def wait_ready(self):
        end = time.monotonic() + START_S
        while "READY=1" not in self.notices.wait(0.02):
            if self.lightermand() is None and self.process.poll() is not None:
                raise Lost("it ended while it started")
            if self.is_gone():
                raise Lost("it was killed while it started")
            assert time.monotonic() < end, f"lightermand does not start:\n{self.stderr()}"

    def lightermand(self):
        """Its pid; the process that was started may be one that follows it."""
        if self.pid is None:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError, ValueError):
                path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
                pid = int(path.read_text(encoding="ascii").split()[0])
                if os.readlink(f"/proc/{pid}/exe").startswith(str(self.programs / "lightermand")):
                    self.pid = pid
        return self.pid

    def is_gone(self):
        """Whether lightermand itself has ended; one that it left behind may be followed still."""
        if self.process.poll() is not None:
            return True
        pid = self.lightermand()
        if pid is None:
            return False
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state in "ZX"

    def signal(self, number):
        pid = self.lightermand()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_end(self):
        """Until it has ended, and all that it started."""
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"after {END_S} s something of lightermand still runs: {self.processes()}") from None
        finally:
            self.kill_all()

    def kill_all(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self.pid = None

    def end(self):
        """As a crash of it would, and until what it started has ended by itself."""
        self.signal(signal.SIGKILL)
        if self.lightermand() is None:
            self.process.kill()
        self.wait_end()

    def close(self):
        """Nothing of it is left."""
        if self.process:
            self.kill_all()
        self.serving.call(self.broker.close())
        self.serving.call(self.engine.close())
        self.notices.socket.close()
        shutil.rmtree(self.folder)

    def processes(self):
        """Those that have to do with this berth: command lines."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = os.readlink(path.parent / "cwd")
                if str(self.folder) in words + where and int(path.parent.name) != os.getpid():
                    found.append(words)
        return found

    def stderr(self):
        """The end of what lightermand has written since forget_stderr()."""
        return (self.folder / "stderr.log").read_text(errors="replace")[-16000:]

    def forget_stderr(self):
        (self.folder / "stderr.log").write_bytes(b"")

    # The control socket

    def ask(self, on_line=lambda line: None, **request):
        """The last line of the answer. Lost: it hung up."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(REST_S)
                sock.connect(str(self.live / "run/control.sock"))
                sock.sendall(json.dumps(request).encode() + b"\n")
                for text in sock.makefile("rb"):
                    if not text.endswith(b"\n"):
                        break
                    line = json.loads(text)
                    on_line(line)
                    if "exit" in line:
                        return line
        except TimeoutError:
            raise AssertionError(f"no answer to '{request['command']}' within {REST_S} s:\n{self.stderr()}") from None
        except OSError as error:
            raise Lost(str(error)) from None
        raise Lost("it hung up")

    def status(self):
        answer = self.ask(command="status")
        return answer.get("status") or {}

    def wait_rest(self, seconds=REST_S):
        """Until it has nothing to do, but for what it tries again later; returns its status."""
        end, status = time.monotonic() + seconds, {}
        while time.monotonic() < end:
            if self.is_gone():
                raise Lost("it is gone")
            try:
                status = self.status()
            except Lost:
                status = {}
            if status.get("activity") in ("idle", "waiting") and not status["job"] and \
                    not any(broker["waiting"] for broker in status["brokers"]):
                return status
            self.notices.wait(0.02)
        raise AssertionError(f"no rest within {seconds} s: {json.dumps(status)}\n{self.stderr()}")

    # What must hold

    def generations(self):
        """{number: its folder}"""
        folder = self.live / "state/application/generations"
        return {int(path.name): path for path in folder.glob("[0-9]*")} if folder.exists() else {}

    def unreported(self):
        """The attempts whose message is not in the outbox yet, as far as the store knows."""
        found = set()
        for key in self.owed():
            reported = self.generations()[key[0]] / "reported"
            if not reported.exists() or record_text(reported).strip() != str(key[1]):
                found.add(key)
        return found

    def waiting(self):
        """What the outbox has, in order."""
        return [path.read_text().split("\n", 2)[2] for path in sorted((self.live / "state/outbox").rglob("*.status"))]

    def owed(self):
        """The status messages that the store has for certain, of this run: {(generation, attempt): (when, document)}."""
        found = {}
        for number, path in self.generations().items():
            with contextlib.suppress(FileNotFoundError, ValueError, AssertionError):
                outcome = read_json(path / "outcome.json")
                if outcome.get("status") and (number, outcome["attempt"]) not in self.paid:
                    found[number, outcome["attempt"]] = outcome["ended_ms"], outcome["status"]
        return found

    def secrets_on_disk(self, *names):
        words = [PASSWORD.encode(), base64.b64encode(b"alice:" + PASSWORD.encode()).rstrip(b"=")]
        found = []
        for name in names:
            for path in (self.live / name).rglob("*"):
                if path.is_file() and not path.is_symlink():
                    data = path.read_bytes()
                    found += [str(path) for word in words if word in data]
        return found

    def check(self, status, world, owed):
        """`world.allowed`: the applications of which one must run; None: nothing. `owed`: as of owed(), from before the start."""
        allowed = world.allowed
        engine = self.engine
        running, expected = engine.running(), {name: APPS[name].runs(engine) if name else {} for name in allowed}
        runs = [name for name, those in expected.items() if those == running]
        assert runs, f"of {allowed} none runs: {running}\n{json.dumps(status)}\n{self.stderr()}"
        app = runs[0]
        left = {c["service"] for c in engine.containers.values()} - set(running)
        assert not left, f"containers are left: {left}"
        assert status["state"] in (("running", "waiting") if app else ("stopped", "empty", "waiting", "failed")), status
        self.check_store(app)
        self.check_messages({**owed, **self.owed()}, app)
        assert not world.failure_due or any('"fail"' in text for text in self.broker.statuses()), "the failure was never told"
        secrets = self.secrets_on_disk(*DESTINATION_NAMES)
        assert not secrets, f"a password is in {secrets}"
        assert not (self.live / "run/credentials").exists(), "the credentials' directory is left"
        left = [str(path) for path in self.live.rglob(".docker-compose.*")]
        assert not left, left
        return app

    def check_truth(self, status):
        """What it says of itself is so, whatever has become of what was ordered."""
        running = self.engine.running()
        whole = [app.name for app in APPS.values() if app.runs(self.engine) == running]
        if status["state"] == "running":
            assert whole and status["deployment"]["key"] in whole, f"'running', but: {running}\n{json.dumps(status)}"
        if status["state"] in ("stopped", "empty"):
            assert not running, f"'{status['state']}', but: {running}"

    def check_store(self, app):
        """What runs is current; the last good one has all that it takes to be restored."""
        journal = self.live / "state/application/journal"
        assert not journal.exists() or b"begin" not in journal.read_bytes(), "the journal is not closed"
        current = self.check_restorable()
        assert not app or current == app, f"'{app}' runs and '{current}' is current"

    def check_restorable(self):
        """Of the generations that are linked to, all is there; the name of the current application, None without one."""
        found = {}
        for name in ("current", "last-good"):
            link = self.live / "state/application" / name
            if not link.is_symlink():
                continue
            folder = link.parent / os.readlink(link)
            parts = {part: folder / part for part in ("definition.json", "compose.yml", "images.json")}
            gone = [part for part, path in parts.items() if not path.is_file()]
            assert not gone, f"{name}: it has no {gone}"
            match = re.search(r'DockerComposeFileS3Key\W+(\w)', parts["definition.json"].read_text())
            assert match, f"{name}: its definition is damaged"
            key = found[name] = match[1]
            assert APPS[key].text in parts["compose.yml"].read_text(), f"{name}: not the compose file of '{key}'"
            images = read_json(parts["images.json"])
            # One that could not be pulled may have been built, and is then in no registry.
            missing = {service["image"] for service in APPS[key].services.values() if "build" not in service} - set(images)
            assert not missing, f"{name}: no images {missing} in {images}"
        return found.get("current")

    def check_messages(self, owed, app):
        """Each has arrived, in the order in which they came about; some perhaps again. The last one is of what runs."""
        received = self.broker.statuses()
        wanted = self.boxed + [document for _, document in sorted(owed.values())]
        rest = iter(received)
        lost = [document for document in wanted if document not in rest]
        assert not lost, f"status messages are lost, or in disorder: {lost} of {wanted}; received: {received}"
        if app and received:
            assert json.loads(received[-1]).get("ComposeFileName") == app, f"'{app}' runs; received: {received}"

    def check_sanitizers(self):
        found = FINDING.search(self.stderr())
        assert not found, self.stderr()


def read_json(path):
    """The JSON object of a file, below the line in which a record of the store describes itself."""
    text = record_text(path)
    assert "{" in text, f"'{path}' has no object: {text!r}"
    return json.loads(text)


def record_text(path):
    """What a record of the store holds."""
    first, _, rest = path.read_text().partition("\n")
    return rest if first.startswith('{"lighterman":') else "\n".join([first, rest])


# Scenarios

class World:
    """What was told while a scenario ran."""

    def __init__(self, base):
        self.allowed = {base}
        self.failure_due = False  # that a deployment has failed is to be told, if it was not yet


class Scenario:
    base = None
    running = "A"  # the application that runs when it begins

    def act(self, berth, world):
        """Starts nothing: lightermand is ready."""
        raise NotImplementedError

    def allowed(self, told):
        """What may run after lightermand has told these lines on its control socket, and no more."""
        raise NotImplementedError

    def is_failure_due(self, told):
        del told
        return False

    def deploy(self, berth, world, app, good=True, policy=None):
        """To its end. What may run afterwards depends on how far it was told to be."""
        def on_line(line):
            if line.get("generation") and good:
                world.allowed = {app.name}
            if line.get("generation") and not good:
                world.failure_due = True

        if good:
            world.allowed = world.allowed | {app.name}
        last = berth.ask(on_line, command="deploy", group=berth.group(app, policy), wait=True)
        assert last["exit"] != 0 or berth.engine.running() == app.runs(berth.engine), "it is told to have succeeded"
        return last


class First(Scenario):
    name = "first deployment"
    running = None

    def act(self, berth, world):
        last = self.deploy(berth, world, A)
        if last["exit"] != 0:
            world.allowed = {None, "A"}
        berth.wait_rest()

    def allowed(self, told):
        return {"A"} if is_accepted(told) else {None, "A"}


class Update(Scenario):
    name = "update"
    base = "A"

    def act(self, berth, world):
        berth.wait_rest()
        last = self.deploy(berth, world, B)
        if last["exit"] != 0:
            world.allowed = {"A", "B"}
        berth.wait_rest()

    def allowed(self, told):
        return {"B"} if is_accepted(told) else {"A", "B"}


class FailingUpdate(Scenario):
    name = "failing update"
    base = "A"

    def act(self, berth, world):
        berth.wait_rest()
        last = self.deploy(berth, world, C, good=False)
        assert last["exit"] != 0, "it is told to have succeeded"
        berth.wait_rest()

    def allowed(self, told):
        return {"A"}

    def is_failure_due(self, told):
        return is_accepted(told)


class RolledBack(FailingUpdate):
    name = "failing update that is rolled back"

    def act(self, berth, world):
        berth.wait_rest()
        last = self.deploy(berth, world, C, good=False, policy={"RollbackOnFailure": "true"})
        assert last["exit"] != 0, "it is told to have succeeded"
        berth.wait_rest()


class Rollback(Scenario):
    """By a person, from B to A."""
    name = "rollback"
    base = running = "B"

    def act(self, berth, world):
        def on_line(line):
            if line.get("generation"):
                world.allowed = {"A"}

        berth.wait_rest()
        world.allowed = {"A", "B"}
        last = berth.ask(on_line, command="rollback")
        if last["exit"] == 0:
            assert berth.engine.running() == A.runs(berth.engine), "it is told to have succeeded"
        else:
            world.allowed = {"A", "B"}
        berth.wait_rest()

    def allowed(self, told):
        return {"A"} if is_accepted(told) else {"A", "B"}


class StopAndStart(Scenario):
    name = "stop and start"
    base = "A"

    def act(self, berth, world):
        berth.wait_rest()
        world.allowed = {"A", None}
        last = berth.ask(command="stop")
        if last["exit"] == 0:
            assert not berth.engine.running(), "it is told to have stopped"
            world.allowed = {None}
        world.allowed = world.allowed | {"A"}
        last = berth.ask(command="start")
        if last["exit"] == 0:
            world.allowed = {"A"}
        berth.wait_rest()

    def allowed(self, told):
        return {"A"} if is_accepted(told) else {"A", None}


class OutboxFlush(Scenario):
    """Three messages wait for a broker, which is there again when lightermand starts."""
    name = "outbox flush"
    base = "away"

    def act(self, berth, world):
        world.allowed = {"A"}
        berth.wait_rest()

    def allowed(self, told):
        return {"A"}


def is_accepted(told):
    """The deployment, or the start, that a person ordered."""
    return any("generation" in line for line in told)


SCENARIOS = [First(), Update(), FailingUpdate(), RolledBack(), Rollback(), StopAndStart(), OutboxFlush()]


def prepare(berth):
    """Makes the bases that scenarios begin with."""
    berth.begin()
    berth.wait_ready()
    assert berth.ask(command="deploy", group=berth.group(A), wait=True)["exit"] == 0, berth.stderr()
    berth.wait_rest()
    berth.end()
    berth.bases["A"] = berth.save()
    deploy_over(berth, "B", B)
    # Each start is an attempt, and sends a message.
    berth.restore("A")
    berth.serving.call(berth.broker.close())
    berth.begin()
    berth.wait_ready()
    assert berth.ask(command="deploy", group=berth.group(B), wait=True)["exit"] == 0, berth.stderr()
    assert berth.ask(command="deploy", group=berth.group(A), wait=True)["exit"] == 0, berth.stderr()
    berth.end()
    berth.bases["away"] = berth.save()
    berth.serving.call(berth.broker.open())


def deploy_over(berth, base, app):
    """Makes a base where `app` runs after A."""
    berth.begin()
    berth.wait_ready()
    assert berth.ask(command="deploy", group=berth.group(app), wait=True)["exit"] == 0, berth.stderr()
    berth.wait_rest()
    berth.end()
    berth.bases[base] = berth.save()


def run_to_end(berth, scenario, wrap=(), before=lambda: None):
    """One run, to its end or until a fault ends it, and then until nothing runs that it has started. Returns the World."""
    world = World(scenario.running)
    berth.restore(scenario.base)
    before()
    berth.begin(wrap)
    try:
        berth.wait_ready()
        scenario.act(berth, world)
        berth.end()
    except Lost:
        berth.wait_end()
    return world


def converge(berth, world, owed):
    """The next start."""
    berth.begin()
    berth.wait_ready()
    status = berth.wait_rest()
    berth.check(status, world, owed)
    berth.end()

