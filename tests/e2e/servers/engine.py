# SPDX-License-Identifier: Apache-2.0
"""A Docker Engine of the tests' own, and images made for it: there is no registry to pull from."""
import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import tarfile
import time
import urllib.request

import docker

from servers.server import Server, run, wait_until

PROJECT = "greengrassdockerapplicationdeployment"
LINKS = ("sh", "httpd", "sleep", "cat", "echo", "mv", "false", "true")


class Engine(Server):
    SOCKET = "/run/docker.sock"

    def __init__(self, folder, authority=None):
        """`authority` is the one whose certificates it accepts, of registries that are not on 127.0.0.0/8."""
        super().__init__(folder)
        self.authority = authority
        self.settings = self.write("daemon.json", "{}")
        # With a version named it does not ask the engine, which does not run yet.
        self.docker = docker.DockerClient(base_url=f"unix://{self.SOCKET}", version="1.41", timeout=60)

    def commands(self):
        env = ["env", f"SSL_CERT_FILE={self.authority.certificate}"] if self.authority else []
        return [[*env, "dockerd", "--host", f"unix://{self.SOCKET}", "--group", "docker", "--data-root", str(self.folder / "data"),
                 "--config-file", str(self.settings),
                 "--cgroup-parent", f"/{self.folder.parent.name}", "--log-level", "warn",
                 # Deliberate: with the default of 15 s a container that ignores signals would slow every stop.
                 "--shutdown-timeout", "2"]]

    def is_ready(self):
        try:
            return self.docker.ping()
        except (docker.errors.DockerException, OSError):
            return False

    def stop(self, *signals):
        """Containers are removed first, so that neither their cgroups nor their mounts outlive the engine."""
        if self.running and self.is_ready():
            self.remove_containers()
        super().stop(*signals)

    @contextlib.contextmanager
    def away(self):
        """Meanwhile it does not run. Its containers are those that it had, afterwards those run that have such a policy."""
        super().stop()
        yield
        self.start()

    def restart_with_containers(self):
        """As an upgrade of it does: those that have such a policy run afterwards."""
        with self.away():
            pass

    def keep_containers_running(self, keep):
        """Whether they run on while it is away."""
        self.configure({"live-restore": keep})
        wait_until(lambda: self.docker.info()["LiveRestoreEnabled"] == keep, 30, "it does not read its settings again")

    def configure(self, settings):
        """It takes these settings, those of daemon.json that it reads again, while it runs."""
        since = time.time()
        self.settings.write_text(json.dumps(settings))
        self.processes[0].send_signal(signal.SIGHUP)
        wait_until(lambda: any(event["Action"] == "reload" for event in self.events(since)), 30,
                   "it does not read its settings again")

    def kill(self):
        """Of what it has started, all goes on."""
        super().stop(signal.SIGKILL)

    def crash(self):
        """As the end of a machine's power: whatever the engine started is gone, and nothing was put in order.

        Their images, containers and networks are on disk, as they were.
        """
        pids = [container.attrs["State"]["Pid"] for container in self.docker.containers.list()]
        pids += [process.pid for process in self.processes] + _pids_of("containerd", "containerd-shim")
        for pid in filter(None, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes = []
        wait_until(lambda: not _pids_of("containerd", "containerd-shim", "docker-proxy"), 30, "containerd does not end")
        # /run is empty after a start of the machine, and nothing is mounted.
        for line in reversed(pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()):
            where = line.split()[1]
            if where.startswith(("/run/docker", f"{self.folder}/data")):
                run("umount", "--lazy", where)
        shutil.rmtree("/run/docker", ignore_errors=True)
        for name in ("docker.pid", "docker.sock"):
            pathlib.Path("/run", name).unlink(missing_ok=True)

    def events(self, since):
        """What it did from that time.time() on, in order: what docker's /events tells, each {"Type","Action",…}."""
        until = f"{time.time():.9f}"
        with contextlib.closing(self.docker.events(since=f"{since:.9f}", until=until, decode=True)) as stream:
            return list(stream)

    def containers(self, everything=False):
        """Those of our project, by service; with `everything` those that do not run as well."""
        found = self.docker.containers.list(all=everything,
                                            filters={"label": f"com.docker.compose.project={PROJECT}"})
        return {container.labels["com.docker.compose.service"]: container for container in found}

    def remove_containers(self):
        for container in self.docker.containers.list(all=True):
            container.remove(force=True, v=True)

    def clean(self):
        """As after its first start, but for the images: those are kept, with their names."""
        self.remove_containers()
        self.docker.networks.prune()
        self.docker.volumes.prune()

    def has_image(self, reference):
        try:
            self.docker.images.get(reference)
        except docker.errors.ImageNotFound:
            return False
        return True

    def forget_image(self, reference):
        if self.has_image(reference):
            self.docker.images.remove(reference, force=True)

    def forget_image_and_names(self, reference):
        """The engine has neither that name nor what it names, whatever other names a test gave it or built on it."""
        if self.has_image(reference):
            self._forget_with_children(self.docker.images.get(reference).id)

    def _forget_with_children(self, image_id):
        """An image on which another was built cannot be removed, not even by force."""
        for child in self.docker.images.list(all=True):
            if child.attrs["Parent"] == image_id:
                self._forget_with_children(child.id)
        if self.has_image(image_id):
            self.docker.images.remove(image_id, force=True)

    def make_image(self, reference, release="1"):
        """An image of busybox whose page /www/index.html says `release`; about 1 MB."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.add("/bin/busybox", "bin/busybox")
            for name in LINKS:
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            page = tarfile.TarInfo("www/index.html")
            page.size = len(release)
            tar.addfile(page, io.BytesIO(release.encode()))
        run("docker", "--host", f"unix://{self.SOCKET}", "import", "-c", 'CMD ["/bin/sh"]', "-", reference,
            input=data.getvalue())
        return reference

    def extend_image(self, base, reference, release):
        """An image of the layers of `base`, which is here, and one more."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name, text in (("Dockerfile", f"FROM {base}\nCOPY page /www/index.html\n"), ("page", release)):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        data.seek(0)
        self.docker.images.build(fileobj=data, custom_context=True, tag=reference, rm=True)
        return reference

    def publish_image(self, registry, name, release="1"):
        """Pushes such an image to `registry` and forgets it here, so that a deployment has to pull it."""
        return self.publish(registry, self.make_image(registry.image(name), release))

    def publish(self, registry, reference):
        """Pushes an image that is here, and forgets it."""
        for line in self.docker.images.push(reference, auth_config=registry.auth(), stream=True, decode=True):
            assert "error" not in line, line["error"]
        self.docker.images.remove(reference, force=True)
        return reference


def _pids_of(*names):
    """Of processes whose name begins with one of these."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.read_text(encoding="utf-8").startswith(tuple(name[:15] for name in names)):
                found.append(int(path.parent.name))
    return found


def compose_file(path, services, image, ports=None, grace="1s", on_term="exit 0", **extra):
    """Writes a compose file of `services` (names) that all run `image`, which says that it is up and then waits.

    Each ends at once on SIGTERM, or does what `on_term` says. `ports` maps a service to a port of 127.0.0.1 on which it
    serves its page; `extra` is added to each service, a line of YAML for each.
    """
    lines = ["version: '3.4'", "services:"]
    for service in services:
        lines += [f"  {service}:", f"    image: {image}", f"    stop_grace_period: {grace}"]
        lines += [f"    {key}: {value}" for key, value in extra.items()]
        serve = ""
        if ports and service in ports:
            lines += ["    ports:", f"      - \"127.0.0.1:{ports[service]}:8080\""]
            serve = "httpd -f -p 8080 -h /www & "
        lines += ["    command:", "      - sh", "      - -c",
                  f"      - \"trap '{on_term}' TERM; echo {service} is up; {serve}sleep 1000000 & wait\""]
    text = "\n".join(lines) + "\n"
    if path is not None:
        pathlib.Path(path).write_text(text)
    return text


def page(port):
    """What the service on that port says, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return None
