# SPDX-License-Identifier: Apache-2.0
"""The program lighterman, against a lightermand that says what the test wants: docs/formats.md, "Control socket"."""
import contextlib
import fcntl
import gzip
import json
import os
import pathlib
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("PROGRAMS", ROOT / "build/bin")) / "lighterman"
COMMANDS = ["validate", "deploy", "plan", "status", "history", "rollback", "crashes", "logs", "doctor", "metrics", "stop",
            "start", "verify", "device", "import", "init", "help"]
GROUP = '{"Connectors": []}'
STAGES = [
    {"progress": {"stage": "fetch", "state": "begin"}},
    {"progress": {"stage": "fetch", "state": "end", "ms": 312}},
    {"progress": {"stage": "pull", "state": "begin"}},
    {"progress": {"stage": "pull", "state": "progress", "image": "ships/web:1", "status": "Downloading",
                  "bytes_done": 3400000, "bytes_total": 12100000}},
]
DONE = [
    {"progress": {"stage": "pull", "state": "progress", "image": "ships/web:1", "status": "done",
                  "bytes_done": 12100000, "bytes_total": 12100000}},
    {"progress": {"stage": "pull", "state": "end", "ms": 3200}},
    {"exit": 0, "message": None, "generation": 3, "ms": 4249, "effect": "started"},
]


class Lightermand:
    """Answers each client with `lines`; a string is sent as it is. Then waits for `proceed`, if there is one, and sends
    `more`; then closes. The requests are kept."""

    def __init__(self, path):
        self.path, self.requests = str(path), []
        self.lines, self.more, self.proceed = [], [], None
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def answer(self, *lines):
        self.lines = lines

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, contextlib.suppress(ConnectionError):
                self.requests.append(json.loads(client.makefile("rb").readline()))
                self._send(client, self.lines)
                if self.proceed:
                    self.proceed.wait()
                    self._send(client, self.more)

    @staticmethod
    def _send(client, lines):
        for line in lines:
            client.sendall(line.encode() if isinstance(line, str) else json.dumps(line).encode() + b"\n")


@pytest.fixture
def daemon(tmp_path):
    server = Lightermand(tmp_path / "control.sock")
    yield server
    server.socket.close()


@pytest.fixture
def group(tmp_path):
    path = tmp_path / "group.json"
    path.write_text(GROUP)
    return path


def environment(**more):
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC0", **more}


def run(*words, env=None, **more):
    return subprocess.run([PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False, env=env or environment(), **({"stdin": subprocess.DEVNULL} | more))


def ask(daemon, *words, **more):
    return run("--socket", daemon.path, *words, **more)


# Words

@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    by_option, by_command = run(command, "--help"), run("help", command)
    assert (by_option.returncode, by_option.stderr) == (0, "")
    assert by_option.stdout == by_command.stdout
    assert by_option.stdout.startswith(f"usage: lighterman {command}")
    assert all(len(line) <= 100 for line in by_option.stdout.splitlines())


def test_help_lists_every_command():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line[2].isalpha()]
    assert rows == COMMANDS
    assert run("help").stdout == done.stdout


def test_says_its_version():
    version = next(line.split("'")[1] for line in (ROOT / "meson.build").read_text().splitlines() if "version: '" in line)
    assert run("--version").stdout == f"lighterman {version}\n"


@pytest.mark.parametrize("words, says", [
    ([], "no command given"),
    (["deplyo", "x"], "did you mean 'deploy'?"),
    (["help", "stat"], "unknown command 'stat'; did you mean 'start'?"),
    (["status", "--jsn"], "did you mean '--json'?"),
    (["deploy"], "'deploy' requires a FILE"),
    (["validate", "x", "--no-wait"], "'validate' does not take --no-wait"),
])
def test_wrong_words_are_told_with_the_usage(words, says):
    done = run(*words)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr
    assert "\nusage: lighterman " in done.stderr


def test_a_full_disk_behind_the_output_is_a_failure():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "lighterman: cannot write the output: No space left on device\n")


# Reaching lightermand

def test_the_environment_names_the_socket(daemon):
    daemon.answer({"exit": 0, "message": None})
    assert run("stop", env=environment(LIGHTERMAN_SOCKET=daemon.path)).returncode == 0
    assert daemon.requests == [{"command": "stop"}]


@pytest.mark.parametrize("command", ["status", "stop", "start"])
def test_no_lightermand_is_3(command, tmp_path):
    done = run(command, "--socket", tmp_path / "absent")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (f"lighterman: there is no socket '{tmp_path}/absent': lightermand is not running, or uses another "
                           "runtimeDirectory; start it, or name its socket with --socket\n")


def test_no_lightermand_is_3_in_json_too(group, tmp_path):
    done = run("deploy", group, "--json", "--socket", tmp_path / "absent")
    assert (done.returncode, done.stderr) == (3, "")
    document = json.loads(done.stdout)
    assert document["exit"] == 3
    assert "there is no socket" in document["message"]
    assert (document["faults"], document["warnings"], document["stages"]) == ([], [], [])


@pytest.mark.parametrize("command", ["status", "stop"])
@pytest.mark.parametrize("lines, says", [
    ([], "lightermand closed the connection before its answer was complete"),
    (['{"exit":0'], "lightermand closed the connection before its answer was complete"),
    (["SSH-2.0\n"], "is not lightermand"),
    (["x" * 9000000], "a line of more than 8388608 bytes"),
])
def test_an_answer_that_is_none_is_a_failure(daemon, command, lines, says):
    daemon.answer(*lines)
    done = ask(daemon, command)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


def test_an_exit_status_that_is_none_is_a_failure(daemon):
    daemon.answer({"exit": "no", "message": None})
    done = ask(daemon, "stop")
    assert done.returncode == 1
    assert "an invalid exit status" in done.stderr


# deploy

def test_deploy_hands_over_the_text_and_shows_lines(daemon, group):
    daemon.answer({"generation": 3}, {"warning": "Loggers[0]: left alone"}, *STAGES, {"from": "a later version"}, *DONE)
    done = ask(daemon, "deploy", group)
    assert done.returncode == 0
    assert daemon.requests == [{"command": "deploy", "group": GROUP, "wait": True, "now": False}]
    assert done.stderr == f"{group}: warning: Loggers[0]: left alone\n"
    assert done.stdout == ("deploying generation 3\n"
                           "fetch: done in 0.3 s\n"
                           "pull: ships/web:1 done, 12.1 MB\n"
                           "pull: done in 3.2 s\n"
                           "deployed generation 3 in 4.2 s\n")


def test_deploy_reads_standard_input(daemon):
    daemon.answer({"fault": {"entry": None, "text": "Connectors: must have ours"}}, {"exit": 2, "message": "1 fault"})
    done = ask(daemon, "deploy", "-", stdin=None, input=GROUP)
    assert daemon.requests[0]["group"] == GROUP
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "standard input: Connectors: must have ours\n"


def test_deploy_need_not_wait(daemon, group):
    daemon.answer({"generation": 3}, {"exit": 0, "message": None, "generation": 3})
    done = ask(daemon, "deploy", group, "--no-wait")
    assert daemon.requests[0]["wait"] is False
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the deployment of generation 3 has started; see `lighterman status`\n"


def test_deploy_prints_lightermands_own_sentence(daemon, group):
    daemon.answer({"exit": 0, "message": "generation 3 runs already", "generation": 3})
    assert ask(daemon, "deploy", group).stdout == "generation 3 runs already\n"


def test_every_fault_is_printed_as_validate_does(daemon, group):
    invalid = run("validate", group)
    assert invalid.returncode == 2
    text = invalid.stderr.rstrip("\n").removeprefix(f"{group}: ")
    daemon.answer({"fault": {"entry": None, "parameter": None, "value": None, "rule": None, "text": text}},
                  {"exit": 2, "message": "the group file is invalid"})
    done = ask(daemon, "deploy", group)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", invalid.stderr)


@pytest.mark.parametrize("content, sentence", [
    ('{"Connectors": []}'.encode("utf-16"), "is in UTF-16: "),
    ('{"Connectors": []}'.encode("utf-16-be"), "is in UTF-16BE: "),
    (gzip.compress(b'{"Connectors": []}'), "is compressed with gzip: "),
    (b"\x7fELF\x02\x01\x01\0\0\0\0", "is binary data "),
    (b"\xef\xbb\xbf \n", "is blank, "),
    (b"apiVersion: v1\nkind: Pod\n", "is a Kubernetes manifest: "),
])
@pytest.mark.parametrize("by", ["path", "standard input"])
def test_what_is_of_another_form_is_said_to_be(daemon, group, content, sentence, by):
    group.write_bytes(content)
    name = group if by == "path" else by
    for words in (["validate"], ["--socket", daemon.path, "deploy"], ["--socket", daemon.path, "plan"]):
        with group.open("rb") as stdin:
            done = run(*words, group if by == "path" else "-", stdin=stdin)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"{name}: {sentence}") and done.stderr.count("\n") == 1, done.stderr
    assert daemon.requests == []


def test_a_directory_is_said_to_be_one(daemon, tmp_path):
    for words in (["validate"], ["--socket", daemon.path, "deploy"]):
        done = run(*words, tmp_path)
        assert (done.returncode, done.stderr) == (2, f"{tmp_path}: '{tmp_path}' is a directory, not a regular file\n")


@pytest.mark.parametrize("content", [b"{", b'{"a": "\xff"}', b"", b'{"Connectors": [], "Connectors": []}', b" " * (5 << 20)])
def test_what_is_no_json_is_not_sent(daemon, group, content):
    group.write_bytes(content)
    done = ask(daemon, "deploy", group)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == run("validate", group).stderr
    in_json = ask(daemon, "deploy", group, "--json")
    assert (in_json.returncode, in_json.stderr) == (2, "")
    assert f"{group}: {json.loads(in_json.stdout)['faults'][0]['text']}\n" == done.stderr
    assert daemon.requests == []


def test_a_failure_says_what_and_what_of_what_ran_before(daemon, group):
    daemon.answer(*STAGES, {"progress": {"stage": "pull", "state": "fail", "ms": 1000, "message": "no such image"}},
                  {"exit": 1, "message": "no such image", "generation": 4, "ms": 2000, "effect": "untouched"})
    done = ask(daemon, "deploy", group)
    assert done.returncode == 1
    assert done.stdout.endswith("pull: failed after 1.0 s\n")
    assert done.stderr == ("lighterman: the deployment of generation 4 failed in pull: no such image; "
                           "the previous application was not changed\n")


def test_what_lightermand_refuses_is_printed_as_it_says(daemon, group):
    daemon.answer({"exit": 1, "message": "another deployment is under way"})
    done = ask(daemon, "deploy", group)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "lighterman: another deployment is under way\n"


def test_json_is_one_document_with_all_of_it(daemon, group):
    fault = {"entry": "Connectors[0]", "parameter": None, "value": None, "rule": "r", "text": "Connectors[0]: r"}
    daemon.answer({"generation": 3}, {"warning": "w"}, {"fault": fault}, *STAGES, *DONE)
    done = ask(daemon, "deploy", group, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {**DONE[-1], "faults": [fault], "warnings": ["w"],
                                       "stages": [{"stage": "fetch", "ms": 312}, {"stage": "pull", "ms": 3200}]}


def test_nothing_from_lightermand_commands_the_terminal(daemon, group):
    evil = "\x1b[2J\x9b2J\nx"
    daemon.answer({"warning": evil}, {"fault": {"text": evil}}, {"progress": {"stage": evil, "state": "end", "ms": 1}},
                  {"exit": 1, "message": evil, "generation": 1})
    done = ask(daemon, "deploy", group)
    assert not {"\x1b", "\x9b"} & set(done.stdout + done.stderr)
    assert len(done.stderr.splitlines()) == 3


# stop, start, status

def test_a_path_need_not_be_utf8(group):
    done = run("deploy", group, "--json", "--socket", b"/absent/\xff")
    assert json.loads(done.stdout)["message"].startswith("there is no socket '/absent/\\xff'")


def test_stop_shows_its_stage(daemon):
    daemon.answer({"progress": {"stage": "down", "state": "end", "ms": 2100}}, {"exit": 0, "message": None})
    done = ask(daemon, "stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "down: done in 2.1 s\nstopped; `lighterman start` or a deployment starts it again\n"


def test_stop_says_that_it_failed(daemon):
    daemon.answer({"exit": 1, "message": None})
    assert ask(daemon, "stop").stderr == "lighterman: the stop failed: see lightermand's log\n"


def test_start_names_the_generation(daemon):
    daemon.answer({"generation": 3}, {"exit": 0, "message": None, "generation": 3, "ms": 2100, "effect": "started"})
    done = ask(daemon, "start")
    assert daemon.requests == [{"command": "start"}]
    assert done.stdout == "starting generation 3\nstarted generation 3 in 2.1 s\n"


def test_status_is_a_page_or_the_object(daemon):
    status = {"version": "0.1.0", "state": "empty", "job": None, "deployment": None, "last_deployment": None,
              "containers": [], "brokers": []}
    daemon.answer({"exit": 0, "message": None, "status": status})
    page = ask(daemon, "status")
    assert (page.returncode, page.stderr) == (0, "")
    assert page.stdout.startswith("state            empty: nothing deployed yet\n")
    done = ask(daemon, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, status)
    assert daemon.requests == [{"command": "status"}] * 2


def test_a_status_that_lightermand_refuses_is_a_failure(daemon):
    daemon.answer({"exit": 1, "message": "it has too many clients"})
    done = ask(daemon, "status")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "lighterman: it has too many clients\n")


def test_crashes_are_a_page_or_the_array(daemon):
    crashes = [{"time": "2026-03-01T12:13:14.000Z", "service": "web", "exit_code": 3, "log": ["out of cargo"]}]
    daemon.answer({"exit": 0, "message": None, "crashes": crashes})
    page = ask(daemon, "crashes")
    assert (page.returncode, page.stderr) == (0, "")
    assert page.stdout == "2026-03-01T12:13:14.000Z  web  exit code 3\n    out of cargo\n"
    done = ask(daemon, "crashes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, crashes)
    assert daemon.requests == [{"command": "crashes"}] * 2


def test_crashes_that_lightermand_refuses_are_a_failure(daemon):
    daemon.answer({"exit": 64, "message": "lightermand does not know this command"})
    done = ask(daemon, "crashes")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "lighterman: lightermand does not know this command\n"


# A terminal

class Terminal:
    """Runs lighterman with a terminal for stdout and stderr."""

    def __init__(self, *words, columns=40, **env):
        self.fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen([PROGRAM, *words], stdin=inner, stdout=inner, stderr=inner,
                                        env=environment(**{"TERM": "xterm", **env}))
        os.close(inner)
        self.text = ""

    def read_until(self, wanted):
        """`wanted` None: to the end."""
        while wanted is None or wanted not in self.text:
            assert select.select([self.fd], [], [], 60)[0], f"nothing more comes:\n{self.text}"
            try:
                piece = os.read(self.fd, 4096)
            except OSError:  # the last writer has closed it
                piece = b""
            if not piece:
                assert wanted is None, f"'{wanted}' did not come:\n{self.text}"
                return self.process.wait(60)
            self.text += piece.decode()
        return None

    def screen(self):
        """What stands there, after all movements that lighterman may use."""
        lines = [""]
        for line in self.text.replace("\r\n", "\n").split("\n"):
            while line.startswith("\x1b["):
                count, rest = line[2:].split("A\r\x1b[J", 1)
                del lines[-1 - int(count):]
                lines.append("")
                line = rest
            lines[-1] = line
            lines.append("")
        return "\n".join(lines).rstrip("\n")


def test_a_terminal_shows_moving_progress(daemon, group):
    daemon.answer(*STAGES)
    daemon.more, daemon.proceed = DONE, threading.Event()
    terminal = Terminal("deploy", group, "--socket", daemon.path, NO_COLOR="1")
    terminal.read_until("    ships/web:1  3.4 of 12.1 MB  Downlo…")
    daemon.proceed.set()
    assert terminal.read_until(None) == 0
    assert terminal.screen() == ("✓ fetch         0.3 s\n"
                                 "✓ pull          3.2 s  1 image, 12.1 MB\n"
                                 "deployed generation 3 in 4.2 s")
    assert "\x1b[32m" not in terminal.text


def test_a_terminal_has_colour_unless_it_is_unwanted(daemon, group):
    daemon.answer(*STAGES, *DONE)
    terminal = Terminal("deploy", group, "--socket", daemon.path)
    assert terminal.read_until(None) == 0
    assert "\x1b[32m✓\x1b[0m fetch" in terminal.text


def test_a_dumb_terminal_gets_lines(daemon, group):
    daemon.answer(*STAGES, *DONE)
    terminal = Terminal("deploy", group, "--socket", daemon.path, TERM="dumb")
    assert terminal.read_until(None) == 0
    assert "\x1b" not in terminal.text
    assert "pull: done in 3.2 s\r\n" in terminal.text


def test_without_utf8_the_marks_are_ascii(daemon, group):
    daemon.answer(*STAGES, *DONE)
    terminal = Terminal("deploy", group, "--socket", daemon.path, LANG="C", NO_COLOR="1")
    assert terminal.read_until(None) == 0
    assert "+ fetch         0.3 s" in terminal.screen()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_deployment_running_and_says_so(daemon, group, number):
    daemon.answer({"generation": 3}, *STAGES)
    daemon.proceed = threading.Event()
    terminal = Terminal("deploy", group, "--socket", daemon.path)
    terminal.read_until("ships/web:1")
    terminal.process.send_signal(number)
    assert terminal.read_until(None) == 1
    assert terminal.text.endswith("lighterman: the deployment continues; see `lighterman status`\r\n")
    daemon.proceed.set()


def test_an_ignored_signal_stays_ignored(daemon, group):
    daemon.answer(*STAGES)
    daemon.more, daemon.proceed = DONE, threading.Event()
    words = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", PROGRAM, "deploy", group, "--socket", daemon.path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout.readline() == "fetch: done in 0.3 s\n"
        process.send_signal(signal.SIGHUP)
        daemon.proceed.set()
        assert process.stdout.read().endswith("deployed generation 3 in 4.2 s\n")
    assert process.returncode == 0


# logs

def test_logs_prints_the_lines(daemon):
    daemon.answer({"line": "[2026-01-01T00:00:00Z][INFO]-one"}, {"line": "two \u001b[2J"}, {"exit": 0, "message": None})
    done = ask(daemon, "logs", "-n", "7")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[2026-01-01T00:00:00Z][INFO]-one\ntwo \\x1b[2J\n"
    assert daemon.requests == [{"command": "logs", "follow": False, "lines": 7}]


def test_logs_as_json_is_one_document(daemon):
    daemon.answer({"line": "one"}, {"line": "two"}, {"exit": 0, "message": None})
    assert json.loads(ask(daemon, "logs", "--json").stdout) == ["one", "two"]
    assert daemon.requests == [{"command": "logs", "follow": False, "lines": 100}]


def test_logs_tells_why_there_are_none(daemon):
    daemon.answer({"exit": 1, "message": "there is no log file yet"})
    done = ask(daemon, "logs")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "lighterman: there is no log file yet\n")


def test_logs_follows_until_it_is_interrupted(daemon):
    daemon.proceed = threading.Event()
    daemon.answer({"line": "one"})
    daemon.more = []
    process = subprocess.Popen([PROGRAM, "--socket", daemon.path, "logs", "-f"], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE, env=environment())
    assert process.stdout.readline() == "one\n"  # at once, though it is a pipe
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    daemon.proceed.set()
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("words", [("-n",), ("-n", "many"), ("--lines", "-1"), ("--follow", "--json")])
def test_logs_refuses_wrong_words(words):
    done = run("logs", *words)
    assert done.returncode == 64 and done.stdout == ""


@pytest.mark.parametrize("words", [["logs"], ["logs", "-f"], ["deploy", "-"], ["status"], ["metrics"], ["logs", "--json"]])
def test_a_full_disk_is_told_as_what_it_is(daemon, words):
    status = {"status": {"version": "1", "state": "x" * 100000}, "metrics": "m 1\n" * 30000}
    daemon.answer(*[{"line": "x" * 1000}] * 100, {"generation": 3}, {"exit": 0, "message": None, **status})
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([PROGRAM, *words, "--socket", daemon.path], stdout=full, stderr=subprocess.PIPE, text=True,
                              input=GROUP, check=False)
    assert (done.returncode, done.stderr) == (1, "lighterman: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("command", ["status", "crashes", "logs", "metrics"])
def test_what_fails_is_one_document_too(daemon, tmp_path, command):
    def document(path):
        done = subprocess.run([PROGRAM, command, "--json", "--socket", path], capture_output=True, text=True, check=False)
        found = json.loads(done.stdout)
        assert (found["exit"], set(found), done.stderr) == (done.returncode, {"exit", "message"}, "")
        return found

    daemon.answer({"exit": 1, "message": "the disk is gone"})
    assert document(daemon.path) == {"exit": 1, "message": "the disk is gone"}
    daemon.answer()
    assert "closed the connection" in document(daemon.path)["message"]
    assert document(tmp_path / "none")["exit"] == 3


# device

CSR = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def test_device_add_prints_where_its_files_are(daemon):
    daemon.answer({"exit": 0, "device": {"name": "Crane", "directory": "/s/devices/things/Crane", "files": ["device.key"],
                                         "sha256": "ab" * 32, "expires_ms": 1597153444909, "in_group": True}})
    done = ask(daemon, "device", "add", "Crane")
    assert daemon.requests == [{"command": "device", "action": "add", "name": "Crane"}]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("added            Crane\n"
                           f"certificate      SHA-256 {'ab' * 32}\n"
                           "valid until      2020-08-11\n"
                           "directory        /s/devices/things/Crane\n"
                           "files            device.key\n")


@pytest.mark.parametrize("by", ["path", "standard input"])
def test_device_add_signs_a_request_and_prints_the_certificate_alone(daemon, tmp_path, by):
    path = tmp_path / "crane.csr"
    path.write_text(CSR)
    daemon.answer({"exit": 0, "device": {"name": "Crane", "certificate": CERTIFICATE, "in_group": False}})
    with path.open("rb") as stdin:
        done = ask(daemon, "device", "add", "Crane", "--csr", path if by == "path" else "-", stdin=stdin)
    assert daemon.requests == [{"command": "device", "action": "add", "name": "Crane", "csr": CSR}]
    assert (done.returncode, done.stderr, done.stdout) == (0, "", CERTIFICATE)


def test_device_add_hands_over_a_certificate(daemon, tmp_path):
    path = tmp_path / "crane.pem"
    path.write_text(CERTIFICATE)
    daemon.answer({"exit": 0, "device": {"name": "Crane", "sha256": "ab", "expires_ms": None, "in_group": True}})
    done = ask(daemon, "device", "add", "Crane", "--certificate", path)
    assert daemon.requests == [{"command": "device", "action": "add", "name": "Crane", "certificate": CERTIFICATE}]
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "accepted         Crane")


def test_device_list_and_remove(daemon):
    devices = [{"name": "Crane", "in_group": True, "removed": False, "connected": False, "certificates": []}]
    daemon.answer({"exit": 0, "devices": devices})
    assert json.loads(ask(daemon, "device", "list", "--json").stdout) == devices
    assert ask(daemon, "device", "list").stdout.splitlines()[1].split() == ["Crane", "not", "connected", "yes", "-", "-", "-"]
    daemon.answer({"exit": 0, "device": {"name": "Crane"}})
    done = ask(daemon, "device", "remove", "Crane")
    assert (done.returncode, done.stdout) == (0, "removed Crane; its certificates are no longer accepted\n")
    assert daemon.requests[-1] == {"command": "device", "action": "remove", "name": "Crane"}


def test_device_passes_on_why_not(daemon):
    daemon.answer({"exit": 2, "message": "the request's signature is invalid"})
    done = ask(daemon, "device", "add", "Crane")
    assert (done.returncode, done.stderr) == (2, "lighterman: the request's signature is invalid\n")
    done = ask(daemon, "device", "add", "Crane", "--json")
    assert (done.returncode, json.loads(done.stdout)["exit"]) == (2, 2)


@pytest.mark.parametrize("words, status, says", [
    (["device"], 64, "'device' requires a COMMAND"),
    (["device", "ad", "Crane"], 64, "unknown command 'device ad'; use add, list or remove\n"),
    (["device", "frobnicate"], 64, "unknown command 'device frobnicate'; use add, list or remove\n"),
    (["device", "add"], 64, "'device add' requires a NAME"),
    (["device", "list", "Crane"], 64, "'device list' takes no NAME"),
    (["device", "remove", "Crane", "--csr", "x"], 64, "--csr and --certificate are for 'device add', not 'device remove'"),
    (["device", "add", "Crane", "--csr", "x", "--certificate", "y"], 64, "cannot be used together"),
    (["device", "add", "a/b"], 2, "'a/b' cannot be the name of a device"),
    (["device", "add", "a" * 129], 2, "cannot be the name of a device: 1 to 128 letters, digits"),
    (["device", "add", "Crane", "--csr", "/absent"], 2, "/absent"),
    (["device", "add", "Crane", "--csr", "/etc/passwd"], 2, "is not a certificate signing request in PEM"),
    (["device", "add", "Crane", "--certificate", "/bin/true"], 2, "is not a certificate in PEM"),
])
def test_device_finds_faults_before_it_asks(daemon, words, status, says):
    done = ask(daemon, *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr
    assert daemon.requests == []


def test_device_does_not_send_a_private_key(daemon, tmp_path):
    path = tmp_path / "crane.pem"
    path.write_text(CERTIFICATE + "-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----\n")
    done = ask(daemon, "device", "add", "Crane", "--certificate", path)
    assert (done.returncode, daemon.requests) == (2, [])
    assert "contains a private key, which must stay with the device" in done.stderr
