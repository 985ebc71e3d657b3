# SPDX-License-Identifier: Apache-2.0
"""A device as a user sets one up: a host file, a group file, stores, lightermand, and the command line."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess

from control import Control
from servers.engine import compose_file
from servers.server import run, wait_until

REGION = "eu-west-1"
ARN = "arn:aws:greengrass:{region}::/connectors/DockerApplicationDeployment/versions/{version}"
SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbC123"
FINDING = re.compile(r"ERROR: (Address|Leak)Sanitizer|: runtime error: |SUMMARY: \w+Sanitizer")


class Device:
    """Everything of it is below `folder`. `host` and `environment` may be changed until start()."""

    START_S = 30
    STOP_S = 120

    def __init__(self, folder, programs, user, engine_socket, compose):
        self.folder, self.programs, self.user = folder, programs, user
        self.process = None
        self.starts = 0
        self.region = REGION
        for name in ("objects", "secrets", "app", "state", "run", "gg"):
            (folder / name).mkdir()
        for name in ("secrets", "app"):
            user.owns(folder / name)
        (folder / "secrets").chmod(0o700)
        self.destination = folder / "app"
        self.host = {
            "greengrassRoot": str(folder / "gg"), "stateDirectory": str(folder / "state"),
            "runtimeDirectory": str(folder / "run"), "region": REGION, "thingName": "Gateway",
            "objectStore": {"directory": str(folder / "objects")},
            "secretStore": {"directory": str(folder / "secrets")},
            "docker": {"socket": engine_socket, "compose": compose.path},
        }
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "LANG": "C.UTF-8",
                            "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}

    # What a person gives it.

    def use_broker(self, broker, transport="tcp"):
        self.host["mqtt"] = broker.over(transport)

    def use_s3(self, s3, **more):
        """Takes objects from that server instead of the directory."""
        self.host.pop("objectStore", None)
        self.environment.update(s3.environment(**more))

    def use_cloudwatch(self, cloudwatch_logs):
        """Ships to that server, and does not wait long for lines to come together."""
        self.environment.update(cloudwatch_logs.environment())
        self.host["logShippingSeconds"] = 1

    def put_object(self, bucket, key, data, version=None):
        path = self.folder / "objects" / bucket / (key if version is None else f"{key}@{version}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    @contextlib.contextmanager
    def store_away(self, name="objects"):
        """Meanwhile that store is away, as a stick that was pulled; yields where it is."""
        here, away = self.folder / name, self.folder / f"{name}.away"
        here.rename(away)
        try:
            yield away
        finally:
            away.rename(here)

    def put_secret(self, name, value):
        """Returns the ARN under which a definition names it."""
        path = self.folder / "secrets" / f"{name}.json"
        path.write_text(json.dumps(value))
        path.chmod(0o600)
        self.user.owns(path)
        return SECRET_ARN.format(name=name)

    def parameters(self, bucket="ships", key="docker-compose.yml", secrets=(), **parameters):
        """The parameters of a definition; those given override, and None leaves one out."""
        values = {"DockerComposeFileS3Bucket": bucket, "DockerComposeFileS3Key": key,
                  "DockerComposeFileDestinationPath": str(self.destination), "DockerUserId": str(self.user.uid)}
        if secrets:
            values["AWSSecretsArnList"] = json.dumps(list(secrets))
        values.update(parameters)
        return {name: value for name, value in values.items() if value is not None}

    def group(self, version=7, policy=None, name="group.json", loggers=(), arrays=None, **parameters):
        """Writes a group file and returns its path. `arrays`: more of them, as Devices; the rest is for parameters()."""
        entry = {"Id": "app", "ConnectorArn": ARN.format(region=self.region, version=version),
                 "Parameters": self.parameters(**parameters)}
        if policy:
            entry["Policy"] = policy
        path = self.folder / name
        path.write_text(json.dumps({"Connectors": [entry], "Loggers": list(loggers), **(arrays or {})}, indent=2))
        return path

    def local_group(self, services, image, key="docker-compose.yml", **more):
        """A group file for an application whose image is on the engine already: nothing is pulled, nobody logs in."""
        self.put_object("ships", key, compose_file(None, services, image))
        return self.group(key=key, DockerPullBeforeUp="False", **more)

    # lightermand

    def write_host_file(self):
        """As `host` says; returns its path."""
        config = self.folder / "host.json"
        config.write_text(json.dumps(self.host, indent=2))
        return config

    def start(self, group=None, wait=True, wrap=()):
        """Starts lightermand; with `wait` returns once it answers. `wrap`: words before it, as strace."""
        assert self.process is None, "lightermand runs already"
        config = self.write_host_file()
        words = [*wrap, self.programs / "lightermand", "--config", config]
        if group:
            words += ["--group", group]
        self.starts += 1
        with open(self.folder / "stderr.log", "ab") as log:
            self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.environment, cwd="/", start_new_session=True)
        if wait:
            self.wait_answers()

    def wait_answers(self):
        wait_until(self._answers, self.START_S, lambda: f"lightermand does not answer:\n{self.stderr}",
                   hopeless=lambda: self.process.poll() is not None)

    def _answers(self):
        try:
            return self.ask("status")["exit"] == 0
        except (OSError, AssertionError):  # nobody listens yet, or has hung up
            return False

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=STOP_S):
        """Returns the exit status once lightermand has ended; a signal's is negative."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"lightermand still runs after {timeout} s:\n{self.stderr}") from None
        self.process = None
        return status

    def stop(self, number=signal.SIGTERM, timeout=STOP_S):
        """Sends the signal and returns the exit status."""
        self.send(number)
        return self.wait(timeout)

    def kill(self):
        """As a crash would; what it left running is not waited for."""
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL

    def crash(self):
        """As a power cut: lightermand, its worker and what that started are gone at once. What the engine runs stays."""
        sessions = workers()
        self.kill()
        for pid in _of_sessions(sessions):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _of_sessions(sessions), self.START_S, "a killed worker does not go")

    def end(self):
        """For the fixture: whatever the test left, nothing runs afterwards, and no sanitizer found anything."""
        hung = False
        if self.process is not None:
            self.send(signal.SIGTERM)
            try:
                self.process.wait(self.STOP_S)
            except subprocess.TimeoutExpired:
                hung = True
                self.process.kill()
                self.process.wait()
            self.process = None
        # A killed lightermand's workers notice it by themselves; until then they may still start containers.
        wait_until(lambda: not workers(), self.START_S, "workers outlive their lightermand")
        text = self.stderr + self.log
        found = FINDING.search(text)
        assert not found, f"a sanitizer found something:\n{text[max(0, found.start() - 2000):found.start() + 8000]}"
        assert not hung, f"lightermand had to be killed: it still ran {self.STOP_S} s after SIGTERM:\n{self.stderr}"

    def cli(self, *words, check=True, timeout=120, cwd=None):
        """Runs `lighterman`; the result has returncode, stdout and stderr."""
        done = run(self.programs / "lighterman", "--socket", self.folder / "run/control.sock", *words, check=False,
                   timeout=timeout, env=self.environment, cwd=cwd)
        assert not FINDING.search(done.stderr), f"a sanitizer found something:\n{done.stderr}"
        assert not check or done.returncode == 0, \
            f"lighterman {' '.join(map(str, words))}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def cli_json(self, *words, **more):
        return json.loads(self.cli(*words, "--json", **more).stdout)

    def deploy(self, group, status=0, **more):
        """`lighterman deploy`, to its end, which is that exit status."""
        done = self.cli("deploy", group, check=False, **more)
        assert done.returncode == status, \
            f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.log}\n{self.stderr}"
        return done

    # The control socket, without the command line between.

    def control(self, command, **more):
        """A Control, for an answer of many lines."""
        return Control(self.folder / "run/control.sock", command=command, **more)

    def begin(self, group):
        """Begins a deployment and returns a Control, whose lines are its progress."""
        return self.control("deploy", group=group.read_text(), wait=True)

    def ask(self, command, **more):
        """The last line of the answer."""
        return self.control(command, **more).end()

    @property
    def status(self):
        return self.ask("status")["status"]

    def wait_status(self, true, seconds=60):
        """Returns the first status that `true` accepts."""
        def asked():
            nonlocal status
            status = self.status
            return true(status)

        status = None
        wait_until(asked, seconds, lambda: f"the status stays {json.dumps(status, indent=2)}\n{self.stderr}",
                   hopeless=lambda: self.process.poll() is not None)
        return status

    def wait_stage(self, stage):
        """For a deployment that nobody began by hand, as after a restart."""
        return self.wait_status(lambda status: (status["job"] or {}).get("stage") == stage)

    def wait_sent(self):
        """Every broker has acknowledged all messages: none is sent a second time after a restart."""
        self.wait_status(lambda status: not any(broker["waiting"] for broker in status["brokers"]))

    def worker(self):
        """The pid of the one worker that runs, or is about to."""
        found = wait_until(workers, self.START_S, "there is no worker")
        assert len(found) == 1, found
        return found[0]

    # What it leaves for a person to read.

    @property
    def log_path(self):
        return self.folder / "gg/ggc/var/log/user" / self.region / "aws/DockerApplicationDeployment.log"

    @property
    def log(self):
        """The connector log."""
        return _text(self.log_path)

    @property
    def stderr(self):
        """What lightermand wrote to its terminal, over all its starts."""
        return _text(self.folder / "stderr.log")

    @property
    def local_copy(self):
        return self.destination / "docker-compose.yml"

    def wait_log(self, text, timeout=60):
        wait_until(lambda: text in self.log, timeout,
                   lambda: f"the log does not say '{text}':\n{self.log}\n{self.stderr}")

    def files_with(self, text, *folders):
        """Every file of the device, or of these folders of it, that contains `text`: for what must be nowhere."""
        found = []
        for top in folders or ("state", "run", "gg", "app"):
            for path in (self.folder / top).rglob("*"):
                if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                    found.append(path)
        return found


def logger(kind, level="INFO", space=128, component="Lambda"):
    """A logger of a group file; `kind` is FileSystem or AWSCloudWatch."""
    return {"Id": f"{component}-{kind}", "Component": component, "Level": level, "Type": kind, "Space": space}


def workers():
    """The worker processes of the sandbox, which sees no others."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text() == "lighterman-work\n":
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def _of_sessions(leaders):
    """The processes of the sandbox in the sessions of these."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(entry)) in leaders:
                found.append(int(entry))
    return found


def _text(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""
