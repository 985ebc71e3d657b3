# SPDX-License-Identifier: Apache-2.0
"""lightermand's side of a worker: starts the program as the user of a device, hands it a job and answers its stages."""
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading

from device import FINDING

LOG_LINE = re.compile(r"\[\d{4}-\d\d-\d\dT[0-9:.]+Z\]\[(DEBUG|INFO|WARN|ERROR)\]-.")
STATUS = {"success": 0, "fail": 1, "cancelled": 3}


class Worker:
    """One run. `compose` is the file that it is handed for the compose file, or None for /dev/null."""

    LIMIT_S = 120

    def __init__(self, program, device, job, compose=None):
        """`job` None: it comes later, by say()."""
        self.device, self.lines, self.cancelled, self.compose = device, [], False, str(compose or "/dev/null")
        self.credentials = device.folder / "credentials"
        self.credentials.mkdir(exist_ok=True)
        self.credentials.chmod(0o700)
        self.lock = device.folder / "lock"
        self.lock.touch()
        for path in (self.credentials, self.lock):
            device.user.owns(path)
        self.log_path = device.folder / "worker.log"
        self.log_path.write_text("")
        self.stdin, theirs = socket.socketpair()
        with open(self.log_path, "ab") as log, theirs:
            self.process = subprocess.Popen(
                ["setpriv", f"--reuid={device.user.uid}", f"--regid={device.user.uid}", "--init-groups",
                 "sh", "-c", 'exec "$0" 3<>"$1"', str(program), str(self.lock)],
                stdin=theirs, stdout=subprocess.PIPE, stderr=log, env={"PATH": os.defpath}, cwd="/")
        if self.process.stdout.readline() == b'{"hardened":true}\n':
            self.hand_over()
        if job is not None:
            self.say(job if isinstance(job, str) else json.dumps(job))

    def hand_over(self):
        """What nobody else may have: the environment, the compose file, and no key, certificate, or device's files."""
        with tempfile.TemporaryFile() as environment, open(self.compose, "r+b", buffering=0) as compose, \
                open(os.devnull, "rb") as none:
            environment.write(b"".join(f"{name}={value}\0".encode() for name, value in self.device.environment.items()))
            environment.seek(0)
            files = (environment, compose, none, none, none, none)
            socket.send_fds(self.stdin, [b"take\n"], [file.fileno() for file in files])

    def say(self, line):
        try:
            self.stdin.sendall(line.encode() + b"\n")
        except OSError:  # it has gone, which its end tells
            pass

    def terminate(self):
        self.cancelled = True
        self.process.send_signal(signal.SIGTERM)

    def hang_up(self):
        self.cancelled = True
        self.stdin.close()

    def run(self, on_line=lambda line: None):
        """Answers the worker until it ends; returns its result. After terminate() or hang_up() no stage gets its go."""
        hung = threading.Timer(self.LIMIT_S, self.process.kill)
        hung.start()
        try:
            for text in self.process.stdout:
                line = json.loads(text)
                assert "result" not in (self.lines[-1:] or [{}])[0], f"a line after the result: {text}"
                self.lines.append(line)
                on_line(line)
                if line.get("state") == "begin" and not self.cancelled:
                    self.say("go")
            status = self.process.wait()
        finally:
            hung.cancel()
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.stdin.close()
        return self.check(status)

    def check(self, status):
        """What holds for every run, however it ended."""
        found = FINDING.search(self.log)
        assert not found, f"a sanitizer found something:\n{self.log}"
        assert self.lines and "result" in self.lines[-1], f"no result, exit status {status}:\n{self.log}\n{self.lines}"
        result = self.lines[-1]
        assert status == STATUS[result["result"]], f"exit status {status}: {result}\n{self.log}"
        for line in self.log.splitlines():
            assert LOG_LINE.match(line), f"not a line of a log: {line}"
        assert not list(self.credentials.iterdir()), "credentials were left"
        with open(self.lock, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nothing that was started holds it
        return result

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def stages(self, state):
        return [line["stage"] for line in self.lines if line.get("state") == state]

    def seen(self, text):
        """Whether `text` was said anywhere."""
        return text in self.log or text in json.dumps(self.lines)


def make_job(kind, device, group, known=None):
    job = {"job": kind, "group": json.loads(group.read_text()), "host": device.host,
           "credentials_directory": str(device.folder / "credentials")}
    if known:
        job["compose"] = known
    return job


def own_compose(device, text=""):
    """The compose file of a generation, as lightermand hands it to a worker."""
    path = device.folder / "generation.yml"
    path.write_text(text)
    path.chmod(0o600)
    device.user.owns(path)
    return path


def children(name):
    """The processes of the sandbox, which sees no others, whose command line has `name`."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if name.encode() in file.read():
                    found.append(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


class Dock:
    def __init__(self, program, device):
        self.program, self.device = program, device
        self.known = None

    def start(self, kind="deploy", text=None, kept="", **group):
        """A worker with its job: a deploy of the compose file `text`, or a down; the rest is for Device.group()."""
        if text is not None:
            self.device.put_object("ships", "docker-compose.yml", text)
        self.kept = own_compose(self.device, kept)
        job = make_job(kind, self.device, self.device.group(**group), self.known)
        return Worker(self.program, self.device, job, self.kept)

    def deploy(self, text=None, on_line=lambda line: None, **group):
        """As lightermand does, it tells the next worker what the last one found out about docker-compose."""
        self.worker = self.start("deploy", text, **group)
        result = self.worker.run(on_line)
        self.known = next((line["compose"] for line in self.worker.lines if "compose" in line), self.known)
        return result

    def down(self, kept="", **group):
        self.worker = self.start("down", kept=kept, **group)
        return self.worker.run()
