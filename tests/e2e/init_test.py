# SPDX-License-Identifier: Apache-2.0
"""lighterman init: what it finds, what it asks on a terminal, and what it writes."""
import json
import os
import pathlib
import pty
import select
import shutil
import socket
import stat
import subprocess

import pytest

from device import FINDING
from servers.server import run
from users import add_user, remove_user

DEFAULT = pathlib.Path("/etc/lighterman/lighterman.json")


def settings(path):
    """The file's document: lines that begin with // are comments."""
    return json.loads("\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("//")))


class Host:
    """A device with an engine that `users` may use; `lighterman init` on it."""

    def __init__(self, folder, programs, users):
        self.program = str(programs / "lighterman")
        self.folder = folder
        self.engine = socket.socket(socket.AF_UNIX)
        self.engine.bind(str(folder / "engine.sock"))
        self.engine.listen()
        crew = add_user("lmcrew")
        self.users = [add_user(name, groups=["lmcrew"]) for name in users]
        os.chown(folder / "engine.sock", 0, crew.uid)
        self.environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "DOCKER_HOST": f"unix://{folder}/engine.sock"}
        self.output = folder / "etc/host.json"

    def end(self):
        self.engine.close()
        for name in ("lmcrew", *(user.name for user in self.users)):
            remove_user(name)
        shutil.rmtree(DEFAULT.parent, ignore_errors=True)

    def run(self, *words, status=0, **more):
        done = run(self.program, *words, check=False, env=self.environment, **more)
        assert done.returncode == status and not FINDING.search(done.stderr), f"{done.stdout}\n{done.stderr}"
        return done

    def talk(self, answers, *words):
        """On a terminal; gives each answer once something was asked. Returns exit status and all that was shown."""
        terminal, ours = pty.openpty()
        done = subprocess.Popen([self.program, "init", *map(str, words)], stdin=ours, stdout=ours, stderr=ours,
                                env=self.environment, start_new_session=True)
        os.close(ours)
        shown, left = "", list(answers)
        while select.select([terminal], [], [], 60)[0]:
            try:
                shown += os.read(terminal, 65536).decode()
            except OSError:  # it has closed the terminal
                break
            if shown.endswith("]: ") and left:
                os.write(terminal, left.pop(0))
        os.close(terminal)
        assert not left and not FINDING.search(shown), shown
        return done.wait(60), shown


@pytest.fixture
def host(request, folder, programs):
    found = Host(folder, programs, getattr(request, "param", ["lmada", "lmbob"]))
    yield found
    found.end()


@pytest.mark.parametrize("host", [["lmada"]], indirect=True)
def test_what_is_found_is_not_asked(host):
    with socket.create_server(("127.0.0.1", 1883)):
        host.environment["AWS_REGION"] = "eu-west-1"
        done = host.run("init")
    for words in (f"{host.folder}/engine.sock\n", "docker-compose 1.29.2", "127.0.0.1:1883", "eu-west-1, from AWS_REGION", "lmada",
                  f"Written: {DEFAULT}"):
        assert words in done.stdout, done.stdout
    expected = {"defaultUser": "lmada", "mqtt": {"host": "127.0.0.1", "port": 1883}, "region": "eu-west-1",
                "docker": {"socket": f"{host.folder}/engine.sock"}}
    assert settings(DEFAULT) == expected
    assert [stat.S_IMODE(path.stat().st_mode) for path in (DEFAULT, DEFAULT.parent)] == [0o644, 0o755]
    # The other programs read it, and take what it says.
    checks = json.loads(host.run("doctor", "--json", status=1).stdout)["checks"]
    assert (checks[0]["check"], checks[0]["ok"]) == ("host file", True), checks
    assert any("lmada" in str(check) for check in checks), checks
    # Another time it replaces nothing, unless it is to; then the old one is kept.
    old = DEFAULT.read_text() + "// mine\n"
    DEFAULT.write_text(old)
    assert "exists already: replace it with --force" in host.run("init", status=1).stderr
    assert DEFAULT.read_text() == old
    del expected["mqtt"]  # nobody listens any more
    for _ in range(2):
        DEFAULT.write_text(old)
        host.run("init", "--force", "--yes")
        assert settings(DEFAULT) == expected
        assert (DEFAULT.parent / "lighterman.json.old").read_text() == old
    assert sorted(os.listdir(DEFAULT.parent)) == ["lighterman.json", "lighterman.json.old"]


def test_what_is_not_found_is_asked_on_a_terminal(host):
    status, shown = host.talk([b"nobody-of-this-name\n", b"root\n", b"lmbob\n", b"user@broker\n", b"boat.example:1884\n",
                               b"x" * 300 + b"\n", b" eu-west-1 \n", b"\n"], "--output", host.output)
    assert status == 0, shown
    for words in ("[lmada]: ", "has no user 'nobody-of-this-name'", "do not run as root", "'user@broker' is not HOST", "longer than 200"):
        assert words in shown, shown
    assert settings(host.output) == {"defaultUser": "lmbob", "mqtt": {"host": "boat.example", "port": 1884}, "region": "eu-west-1",
                                     "docker": {"socket": f"{host.folder}/engine.sock"}}
    assert "assword" not in shown


@pytest.mark.parametrize("answers, status, words", [([b"\n", b"\x04"], 1, "no answer: nothing was written"),
                                                    ([b"a\n", b"b\n", b"c\n"], 2, "no usable answer")])
def test_without_an_answer_nothing_is_written(host, answers, status, words):
    done, shown = host.talk(answers, "--output", host.output)
    assert done == status and words in shown, shown
    assert not host.output.parent.exists()


def test_only_root_writes_the_default_file(host):
    words = ["setpriv", f"--reuid={host.users[0].uid}", "--clear-groups", host.program]
    done = run(*words, "init", check=False, env=host.environment)
    assert done.returncode == 1 and "only root writes /etc/lighterman/lighterman.json" in done.stderr
    home = host.folder / "own"
    home.mkdir()
    host.users[0].owns(home)
    run(*words, "init", "--yes", "--output", home / "host.json", env=host.environment)
    assert settings(home / "host.json")["defaultUser"] == "lmada"
