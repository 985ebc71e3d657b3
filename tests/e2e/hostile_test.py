# SPDX-License-Identifier: Apache-2.0
"""Input by which somebody means harm: compose files, and an engine, a registry and a broker that answer rubbish without end.

What runs goes on running, lightermand stays small and answers, and one sentence says what is wrong.
"""
import contextlib
import os
import pathlib
import socket
import subprocess
import threading

import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.server import free_port, wait_until

MB = 1 << 20
SERVICE = "services:\n  web:\n    image: harbour/local:1\n"


def laughs():
    """A billion of them, in 500 bytes."""
    lines = ["x-0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines) + "\n" + SERVICE


# What is found before docker-compose is started with it, and a word of the sentence.
BOMBS = {
    "aliases": (laughs(), "too many values"),
    "depth": (SERVICE + "x-a: " + "[" * 100000 + "]" * 100000 + "\n", "nested too deep"),
    "depth of a block": (SERVICE + "x-a:\n" + "".join(" " * n + "- \n" for n in range(1, 1500)), "nested too deep"),
    "size": (SERVICE + "#" + "x" * (4 * MB) + "\n", "larger than"),
    "one long text": (SERVICE + "    command: " + "x" * (3 * MB) + "\n", "over 1 MB"),
    "services": ("services:\n" + "".join(f"  s{n}: {{image: 'harbour/local:1'}}\n" for n in range(20000)), "20000 services"),
    "NUL bytes": (SERVICE + "x-a: \"\0\0\0\"\n", "byte"),
    "control characters": ("services:\n  \"web\\e[2J\":\n    image: harbour/local:1\n", "docker-compose"),
    # docker-compose 2 would follow them for ever.
    "itself": ("x-a: &a [*a]\n" + SERVICE, "alias"),
    "itself merged": ("x-a: &a\n  <<: *a\n" + SERVICE, "alias"),
    "itself in a service": (SERVICE + "    labels: &a [*a]\n", "alias"),
    "no text": (os.urandom(4096), "byte"),
}


def memory(pid, name="VmHWM"):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


@pytest.fixture
def sailing(device, engine, broker, local_image, status_messages):
    """A device whose application runs."""
    device.use_broker(broker)
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    assert status_messages.next_json() == success()
    yield device
    assert set(engine.containers()) == {"web"}


def test_a_compose_file_that_is_a_bomb_changes_nothing(sailing, engine, status_messages):
    running = engine.containers()["web"].id
    for bomb, (text, words) in BOMBS.items():
        sailing.put_object("ships", "bomb.yml", text)
        sailing.deploy(sailing.group(key="bomb.yml", DockerPullBeforeUp="False", name="bomb.json"), status=1)
        assert_failure(status_messages.next_json(), "InvalidParameter", "bomb.yml", words)
        last = sailing.status["last_deployment"]
        assert last["stage"] == ("fetch" if bomb == "size" else "resolve"), (bomb, last)
        assert last["message"].isprintable() and len(last["message"]) < 1000, (bomb, last)
        assert engine.containers()["web"].id == running, bomb


def test_a_compose_file_reads_nothing_that_its_user_may_not(sailing, folder, status_messages):
    """Relative paths may lead anywhere; what is root's stays unread, and is repeated by no message."""
    secret = folder / "root.env"
    secret.write_text("services:\n  web:\n    image: hunter2\nPASSWORD=hunter2\n")
    secret.chmod(0o600)
    path = os.path.relpath(secret, sailing.destination)
    assert path.startswith("../")
    for member in (f"env_file: [{path}]", f"extends: {{file: {path}, service: web}}"):
        sailing.put_object("ships", "reads.yml", SERVICE + f"    {member}\n")
        sailing.deploy(sailing.group(key="reads.yml", DockerPullBeforeUp="False", name="reads.json"), status=1)
        message = status_messages.next_json()
        assert message["status"] == "fail" and "root.env" in message["error_message"]
        assert "hunter2" not in message["error_message"] + sailing.log + sailing.stderr


def test_a_key_leads_out_of_neither_the_bucket_nor_the_destination(sailing, folder, status_messages):
    """`../../etc` as a key, a bucket or a destination: nothing is read or written elsewhere."""
    sailing.put_object("ships", "docker-compose.yml", SERVICE)
    (sailing.folder / "outside.yml").write_text(SERVICE)
    before = sorted(folder.rglob("*.yml"))
    for parameters in ({"key": "../../outside.yml"}, {"key": "../../../../../../etc/passwd"}, {"key": "a/../../../outside.yml"},
                       {"bucket": ".."}, {"bucket": "../../etc"},
                       {"DockerComposeFileDestinationPath": f"{sailing.destination}/../../../../../../../etc"},
                       {"DockerComposeFileDestinationPath": "../../etc"}):
        done = sailing.cli("deploy", sailing.group(name="out.json", DockerPullBeforeUp="False", **parameters), check=False)
        assert done.returncode in (1, 2), done
        message = status_messages.next_json()
        assert message["status"] == "fail" and message["error_message"].isprintable(), message
        assert "root:" not in message["error_message"] + sailing.log
    assert sorted(folder.rglob("*.yml")) == before
    assert not [name for name in os.listdir("/etc") if "compose" in name]


@pytest.mark.parametrize("generation", ["compose1", "compose2"])
def test_labels_of_ours_in_a_compose_file_mean_nothing(request, device_with, engine, broker, local_image, status_messages,
                                                       generation):
    """A service that claims to be of another project, or another service, is found and stopped all the same."""
    device = device_with(request.getfixturevalue(generation))
    device.use_broker(broker)
    labels = "{com.docker.compose.project: other, com.docker.compose.service: ghost, com.docker.compose.oneoff: 'True'}"
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], local_image, labels=labels))
    device.start()
    done = device.cli("deploy", device.group(DockerPullBeforeUp="False"), check=False)
    if done.returncode == 0:  # docker-compose has put its own in their place
        assert [container["service"] for container in device.status["containers"]] == ["web"]
        assert device.ask("stop")["exit"] == 0
    assert engine.containers() == {}


def swap_links(folder, victim, names, stop):
    """What a member of the directory's group may do there, as fast as it can."""
    code = f"""
import os, sys
names = {names!r}
print("ready", flush=True)
while not os.path.exists({str(stop)!r}):
    for name in names:
        path = {str(folder)!r} + "/" + name
        link = path + ".swap" + str(os.getpid())
        try:
            os.symlink({str(victim)!r}, link)
            os.rename(link, path)
        except OSError:
            pass
"""
    return ["/usr/bin/python3", "-c", code]


def test_links_planted_between_check_and_use_lead_nowhere(device, engine, broker, local_image, stranger, user, folder,
                                                          status_messages):
    """A member of the destination's group plants links without pause while deployments run."""
    device.use_broker(broker)
    device.destination.chmod(0o770)
    os.chown(device.destination, user.uid, stranger.uid)
    victim = device.folder / "victim"
    victim.write_text("theirs")
    user.owns(victim)
    victim.chmod(0o600)
    stop = folder / "stop"
    group = device.local_group(["web"], local_image)
    device.start()
    names = ["docker-compose.yml", ".docker-compose.yml.tmp", "devices", ".env", "override"]
    words = ["setpriv", f"--reuid={stranger.uid}", f"--regid={stranger.uid}", "--clear-groups"]
    with subprocess.Popen(words + swap_links(device.destination, victim, names, stop), stdout=subprocess.PIPE,
                          text=True) as planter:
        try:
            assert planter.stdout.readline() == "ready\n"
            for _ in range(4):
                done = device.cli("deploy", group, check=False)
                assert done.returncode in (0, 1), done
                status_messages.next_json()
        finally:
            stop.touch()
    assert victim.read_text() == "theirs" and (victim.stat().st_mode & 0o777, victim.stat().st_uid) == (0o600, user.uid)
    # Nothing that the user alone may read has become readable.
    for path in device.destination.iterdir():
        if not path.is_symlink() and path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path
    # Once nobody plants links, the next deployment works again.
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (device.destination / name).unlink()
    device.deploy(group)
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web"}


class Babbler:
    """Answers every connection with the same bytes, again and again, until the other side has enough."""

    def __init__(self, listener, head, piece):
        self.listener, self.head, self.piece, self.sent = listener, head, piece, 0
        self.ends = False
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while not self.ends:
            with contextlib.suppress(OSError):
                connection, _ = self.listener.accept()
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            connection.recv(65536)
            connection.sendall(self.head)
            while self.piece and self.sent < 4 << 30 and not self.ends:
                connection.sendall(self.piece)
                self.sent += len(self.piece)

    def close(self):
        self.ends = True
        self.listener.close()


ANSWERS = {
    "a head without end": (b"HTTP/1.0 200 OK\r\n", b"X-A: " + b"a" * 65536 + b"\r\n"),
    "a body without end": (b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n", b'{"a":' * 8192),
    "a text without end": (b"HTTP/1.0 200 OK\r\n\r\n{\"ApiVersion\":\"", b"9" * 65536),
    "a length of exabytes": (b"HTTP/1.0 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", b"\0" * 65536),
    "rubbish": (bytes(range(256)) * 16, b""),
    "nothing": (b"", b""),
    "an error with a page": (b"HTTP/1.0 500 No\r\n\r\n" + b"<html>\x1b[2J" * 100, b""),
}
# Of programs without sanitizers, which keep what was freed. Three answers at a time (for the container table, after a gap in
# the events, for a status) at their ceiling of 16 MB, each of which has just grown from 8. What is sent is gigabytes.
GROWTH = 72 * MB
LASTING = 8 * MB


def test_an_engine_that_answers_rubbish_without_end(plain_device, folder, local_image, broker, status_messages):
    device = plain_device
    device.use_broker(broker)
    group = device.local_group(["web"], local_image)
    path = folder / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(64)
        babbler = Babbler(listener, b"", b"")
        device.host["docker"]["socket"] = str(path)
        device.start()
        before = memory(device.process.pid)
        for kind, answer in ANSWERS.items():
            babbler.head, babbler.piece = answer
            done = device.deploy(group, status=1)
            message = status_messages.next_json()
            assert_failure(message, "InternalError", str(path))
            assert len(message["error_message"]) < 500 and message["error_message"].isprintable(), (kind, message)
            assert "\x1b" not in done.stderr and message["error_message"] in done.stderr
            assert device.status["containers"] is None
        # The event stream, too, was answered so; each of its events has a ceiling.
        assert memory(device.process.pid) - before < GROWTH
        wait_until(lambda: memory(device.process.pid, "VmRSS") - before < LASTING, 30, "the memory is not given back")
        assert device.stop() == 0
        babbler.close()


@pytest.mark.parametrize("kind", ["rubbish", "a message without end", "nothing"])
def test_a_broker_that_answers_rubbish_without_end(plain_device, engine, local_image, kind):
    device = plain_device
    answer = {"a message without end": (b"\x20\x02\0\0", b"\x30\xff\xff\xff\x7f" + b"a" * 65536)}
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        babbler = Babbler(listener, *(answer.get(kind) or ANSWERS[kind]))
        device.host["mqtt"] = {"host": "127.0.0.1", "port": listener.getsockname()[1]}
        device.start()
        before = memory(device.process.pid)
        device.deploy(device.local_group(["web"], local_image))
        broker = device.wait_status(lambda status: status["brokers"][0]["error"])["brokers"][0]
        assert broker["waiting"] >= 1 and broker["error"].isprintable()
        assert memory(device.process.pid) - before < GROWTH
        assert set(engine.containers()) == {"web"}
        babbler.close()


@pytest.mark.parametrize("kind", ["a head without end", "a body without end", "rubbish", "nothing"])
def test_a_registry_that_answers_rubbish_without_end(device, engine, kind):
    """A plan asks the registry itself; a deployment lets the engine pull from it."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        babbler = Babbler(listener, *ANSWERS[kind])
        image = f"127.0.0.1:{listener.getsockname()[1]}/harbour/far:1"
        device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
        group = device.group()
        device.start()
        planned = device.cli_json("plan", group)
        found = next(entry for entry in planned["images"] if entry["image"] == image)
        assert found["bytes"] is None and found["reason"].isprintable(), found
        if kind != "a body without end":  # for which the engine has no ceiling
            device.deploy(group, status=1)
            last = device.status["last_deployment"]
            assert image in last["message"] and last["message"].isprintable(), last
        assert engine.containers() == {}
        babbler.close()


@pytest.mark.parametrize("password", ["two\nlines", "quote\"s and 'quotes'", "back\\slash", "$HOME `id` ;#", " blank ", "ünï→"])
def test_a_password_of_any_characters(device, engine, open_registry, image, registry, password, folder):
    """It is refused by the registry, or is right; it is never shown, and never breaks a file."""
    secret = device.put_secret("harbour", {**registry.secret(), "password": password})
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
    device.start()
    done = device.deploy(device.group(secrets=[secret]), status=1)
    last = device.status["last_deployment"]
    assert last["stage"] == "authenticate", last
    for line in password.splitlines():
        if len(line.strip()) > 3:
            assert line not in done.stderr + device.log + device.stderr + last["message"]
    assert not [path for path in pathlib.Path(device.folder / "run").rglob("config.json")]
