# SPDX-License-Identifier: Apache-2.0
"""The command line: what it does when it is interrupted, when nobody reads on, and when it fails."""
import contextlib
import json
import pathlib
import signal
import socket
import subprocess

import pytest

from servers.server import wait_until


@pytest.fixture
def quiet(device_with, compose2):
    """A device on which lightermand does not run."""
    return device_with(compose2)


@contextlib.contextmanager
def lighterman(device, *words):
    """`lighterman` with pipes, still running."""
    with subprocess.Popen([device.programs / "lighterman", "--socket", device.folder / "run/control.sock", *words],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=device.environment) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def hanging(device):
    """A lightermand that takes connections, and no notice of them; yields what waits for the next request."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(device.folder / "run/control.sock"))
        server.listen()
        clients = []

        def heard():
            clients.append(server.accept()[0])
            return json.loads(clients[-1].makefile("rb").readline())

        yield heard
        for client in clients:
            client.close()


def reads_standard_input(process):
    """Whether it waits for something to read there."""
    words = pathlib.Path(f"/proc/{process.pid}/syscall").read_text().split()
    return words[1:2] == ["0x0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_doctor_that_reads_standard_input_can_be_interrupted(quiet, number):
    with lighterman(quiet, "doctor", "-", "--config", quiet.write_host_file()) as process:
        wait_until(lambda: reads_standard_input(process), 30, "it does not read")
        process.send_signal(number)
        assert process.wait(30) == -number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_doctor_whom_lightermand_does_not_answer_can_be_interrupted(quiet, number):
    with hanging(quiet) as heard, \
            lighterman(quiet, "doctor", "--json", "--config", quiet.write_host_file()) as process:
        assert heard() == {"command": "status"}
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, json.loads(out), err) == (1, {"exit": 1, "message": "interrupted"}, "")


@pytest.mark.parametrize(("words", "sentence"), [
    (("plan",), "plan cancelled"),
    (("deploy",), "the deployment continues; see `lighterman status`"),
])
def test_says_what_becomes_of_what_nobody_waits_for(quiet, words, sentence):
    group = quiet.group()
    with hanging(quiet) as heard, lighterman(quiet, *words, group) as process:
        assert heard()["command"] == words[0]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (1, "", f"lighterman: {sentence}\n")


class Following:
    """lightermand's side of a followed log."""

    def __init__(self, device):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(device.folder / "run/control.sock"))
        self.server.listen()

    def accept(self):
        self.client = self.server.accept()[0]
        self.stream = self.client.makefile("rwb")
        assert json.loads(self.stream.readline()) == {"command": "logs", "follow": True, "lines": 1}

    def say(self, line):
        self.stream.write(json.dumps({"line": line}).encode() + b"\n")
        self.stream.flush()

    def close(self):
        self.stream.close()
        self.client.close()
        self.server.close()


@pytest.fixture
def following(quiet):
    server = Following(quiet)
    yield server
    server.close()


def test_following_ends_when_nobody_reads_any_more(quiet, following):
    with lighterman(quiet, "logs", "-f", "-n", "1") as process:
        following.accept()
        following.say("first")
        assert process.stdout.readline() == "first\n"
        process.stdout.close()
        assert process.wait(30) == -signal.SIGPIPE
        assert process.stderr.read() == ""
        assert following.stream.readline() == b""


def test_following_that_lightermand_ends_says_so(quiet, following):
    with lighterman(quiet, "logs", "-f", "-n", "1") as process:
        following.accept()
        following.client.shutdown(socket.SHUT_RDWR)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert "lightermand closed the connection before its answer was complete: it exited or was restarted; see its log" in err


def in_etc(host_file, *words, **more):
    """Runs a program to which that is /etc/lighterman/lighterman.json, and all there is in /etc."""
    script = 'mount -t tmpfs none /etc; mkdir /etc/lighterman; cat > /etc/lighterman/lighterman.json; exec "$@"'
    return subprocess.run(["unshare", "--mount", "sh", "-ec", script, "sh", *words], input=json.dumps(host_file),
                          capture_output=True, text=True, timeout=60, check=False, **more)


def test_the_host_file_says_where_the_socket_is(device, engine):
    device.start()
    for words in (["status"], ["logs"], ["plan", device.group()]):
        known = in_etc(device.host, device.programs / "lighterman", *words, env=device.environment)
        assert known.returncode in (0, 1) and "/control.sock" not in known.stderr, known.stderr
        unknown = in_etc({}, device.programs / "lighterman", *words, env=device.environment)
        assert (unknown.returncode, unknown.stdout) == (3, "")
        assert "there is no socket '/run/lighterman/control.sock'" in unknown.stderr
        named = in_etc({}, device.programs / "lighterman", *words,
                       env={**device.environment, "LIGHTERMAN_SOCKET": str(device.folder / "run/control.sock")})
        assert named.returncode == known.returncode, named.stderr
