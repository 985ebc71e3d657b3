# SPDX-License-Identifier: Apache-2.0
"""Engines other than a Docker Engine that runs as root. All are asked over their socket, as Lighterman does."""
import contextlib
import http.client
import io
import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import tarfile
import urllib.parse

from servers.server import Server, wait_until

IMAGE = "localhost/harbour/web:1"
PROJECT = "greengrassdockerapplicationdeployment"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def make_nodes():
    """/dev/net/tun and /dev/fuse as udev leaves them, for every user, in this mount namespace alone."""
    for name, number in (("net/tun", 200), ("fuse", 229)):
        own = pathlib.Path("/run") / f"node-{number}"
        os.mknod(own, 0o666 | stat.S_IFCHR, os.makedev(10, number))
        own.chmod(0o666)
        subprocess.run(["mount", "--bind", own, f"/dev/{name}"], check=True)


def as_user(user, *words):
    return ["setpriv", f"--reuid={user.uid}", f"--regid={user.uid}", "--init-groups", "env", "-i", "-C", str(user.home), f"PATH={PATH}",
            f"HOME={user.home}", f"USER={user.name}", f"XDG_RUNTIME_DIR=/run/user/{user.uid}", "LANG=C.UTF-8", *map(str, words)]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class OtherEngine(Server):
    socket = None

    def ask(self, target, method="GET", body=None):
        connection = _Connection(self.socket)
        with contextlib.closing(connection):
            connection.request(method, f"/v1.41{target}", body, {"Content-Type": "application/x-tar"} if body else {})
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status < 300, text
        return text

    def is_ready(self):
        try:
            return self.ask("/_ping") == b"OK"
        except (OSError, http.client.HTTPException):
            return False

    def start(self):
        pathlib.Path(self.socket).parent.mkdir(parents=True, exist_ok=True)
        super().start()
        self.may_be_used()

    def may_be_used(self):
        """By the application's user."""

    def make_image(self):
        """IMAGE, of busybox; its page /www/index.html says "1"."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.add("/bin/busybox", "bin/busybox")
            for name in ("sh", "httpd", "sleep"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            page = tarfile.TarInfo("www/index.html")
            page.size = 1
            tar.addfile(page, io.BytesIO(b"1"))
        # Podman does not give what it imports a name, and says its id in other words.
        answer = self.ask("/images/create?fromSrc=-", "POST", data.getvalue()).decode()
        name, _, tag = IMAGE.rpartition(":")
        self.ask(f"/images/{re.findall('[0-9a-f]{64}', answer)[-1]}/tag?repo={urllib.parse.quote(name, '')}&tag={tag}", "POST")

    def containers(self):
        """The ids of all of our project, by service."""
        return {each["Labels"]["com.docker.compose.service"]: each["Id"] for each in json.loads(self.ask("/containers/json?all=1"))
                if each["Labels"].get("com.docker.compose.project") == PROJECT}

    def crash(self, service):
        """Kills its main process, as no engine does."""
        os.kill(json.loads(self.ask(f"/containers/{self.containers()[service]}/json"))["State"]["Pid"], signal.SIGKILL)


class Podman(OtherEngine):
    """Debian's, as root: its service, with a socket for the user's group, as SocketGroup= of podman.socket gives it."""

    def __init__(self, folder, user):
        super().__init__(folder)
        self.user = user
        self.socket = "/run/podman/podman.sock"

    def commands(self):
        # runc: crun does not start containers where cgroups are of both versions. There is no journal.
        return [["podman", "--root", str(self.folder / "data"), "--runtime", "runc", "--cgroup-manager", "cgroupfs",
                 "--events-backend", "file", "system", "service", "--time", "0", f"unix://{self.socket}"]]

    def may_be_used(self):
        os.chown(self.socket, 0, self.user.uid)
        os.chmod(self.socket, 0o660)


class RootlessPodman(OtherEngine):
    def __init__(self, folder, user):
        super().__init__(folder)
        self.user = user
        self.socket = f"/run/user/{user.uid}/podman/podman.sock"

    def commands(self):
        return [as_user(self.user, "podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
                        "system", "service", "--time", "0", f"unix://{self.socket}")]

    def start(self):
        parent = pathlib.Path(self.socket).parent
        parent.mkdir(exist_ok=True)
        self.user.owns(parent)
        super().start()


class RootlessDocker(OtherEngine):
    """Debian's docker.io, by the script in it."""

    def __init__(self, folder, user):
        super().__init__(folder)
        self.user = user
        self.socket = f"/run/user/{user.uid}/docker.sock"

    def commands(self):
        return [as_user(self.user, "sh", "/usr/share/docker.io/contrib/dockerd-rootless.sh", "--log-level", "warn")]

    def stop(self, number=signal.SIGTERM):
        """rootlesskit ends with the daemon, not the other way round."""
        pid = pathlib.Path(f"/run/user/{self.user.uid}/docker.pid")
        if self.running and pid.exists():
            os.kill(int(pid.read_text(encoding="ascii")), number)
            wait_until(lambda: self.processes[0].poll() is not None, self.STOP_S, "rootlesskit does not end")
        super().stop(number)
