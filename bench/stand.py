# SPDX-License-Identifier: Apache-2.0
"""The stand on which the measurements run: the tests' servers, and an application of five services."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))

from servers.authority import Authority  # noqa: E402
from servers.broker import Broker  # noqa: E402
from servers.engine import Engine, compose_file  # noqa: E402
from servers.registry import Registry  # noqa: E402
from servers.s3 import S3  # noqa: E402
from servers.server import run  # noqa: E402

BUCKET = "bench"
SERVICES = ("gateway", "sensors", "store", "rules", "page")
RELEASES = ("1", "2")
LAYER_BYTES = 2 << 20


def environment():
    """What a side's processes get beside what it needs."""
    return dict(os.environ)


class Stand:
    """Engine, registry with a password, S3 and a broker, started in `folder` (that of tests/e2e/sandbox)."""

    def __init__(self, folder):
        self.folder = folder
        self.engine, self.registry = Engine(folder / "engine"), Registry(folder / "registry")
        self.s3, self.broker = S3(folder / "s3"), Broker(folder / "broker", Authority(folder / "authority"))
        self.servers = (self.engine, self.registry, self.s3, self.broker)
        self.env = environment()
        # Two releases, deployed in turns, so that each deployment replaces a running application.
        self.keys = {release: f"release-{release}/docker-compose.yml" for release in RELEASES}

    def start(self):
        for server in self.servers:
            server.start()
        self.s3.make_bucket(BUCKET)
        for release in RELEASES:
            self._publish(release)

    def stop(self):
        for server in reversed(self.servers):
            server.stop()

    def images(self, release):
        return {service: self.registry.image(f"{service}:{release}") for service in SERVICES}

    def remove_images(self, release):
        for image in (*self.images(release).values(), f"base:{release}"):
            if self.engine.has_image(image):
                self.engine.docker.images.remove(image, force=True)

    def check(self, release):
        """The deployment that was timed did what it said: all services run, each in that release's image."""
        running = {service: container.attrs["Config"]["Image"]
                   for service, container in self.engine.containers().items()}
        if running != self.images(release):
            raise RuntimeError(f"after the deployment of release {release} there run {running}")

    def _publish(self, release):
        """Pushes a release whose images have a few MB and a layer of their own each, and stores its compose file."""
        base = self.engine.make_image(f"base:{release}", release)
        text = compose_file(None, SERVICES, "IMAGE")
        for service, image in self.images(release).items():
            context = self.folder / f"build-{service}-{release}"
            context.mkdir()
            (context / "data").write_bytes(os.urandom(LAYER_BYTES))
            (context / "Dockerfile").write_text(f"FROM {base}\nCOPY data /data\n")
            run("docker", "build", "--quiet", "--tag", image, context, env={**self.env, "DOCKER_BUILDKIT": "0"})
            for line in self.engine.docker.images.push(image, auth_config=self.registry.auth(), stream=True,
                                                       decode=True):
                if "error" in line:
                    raise RuntimeError(f"push of {image}: {line['error']}")
            text = text.replace("image: IMAGE", f"image: {image}", 1)
        self.s3.put(BUCKET, self.keys[release], text.encode())
