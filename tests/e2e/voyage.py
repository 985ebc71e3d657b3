# SPDX-License-Identifier: Apache-2.0
"""Applications that stand still where a test is to act: a deployment at each of its stages, a teardown in its middle."""
import contextlib

from device import workers
from documents import success
from servers.engine import compose_file
from servers.server import wait_until

# What docker-compose is asked in these stages.
COMMANDS = {"prepare": "version", "resolve": "config", "down": "down", "up": "up"}


class Voyage:
    """A deployment that can be held at each stage that waits for something else, and one that is made before it.

    `admit` and `commit` wait for nothing; the store's own tests cover a kill at each of their writes.
    """

    BUCKET = "e2e-voyage"

    def __init__(self, device, compose, servers):
        """`servers`: by stage, the one that it waits for."""
        self.device, self.compose, self.servers = device, compose, servers
        self.before = self.group = None

    def load(self, image, open_image, local_image, secret, policy=None, **extra):
        """Stores both compose files; `extra` is added to each service, `policy` to the second definition."""
        self._put("before.yml", compose_file(None, ["old"], local_image, **extra))
        # Logging in waits for one registry, pulling for the other.
        text = compose_file(None, ["first", "second"], image, **extra)
        self._put("after.yml", text.replace(f"image: {image}", f"image: {open_image}", 1))
        self.before = self.device.group(bucket=self.BUCKET, key="before.yml", name="before.json", DockerPullBeforeUp="False")
        self.group = self.device.group(bucket=self.BUCKET, key="after.yml", name="after.json", secrets=[secret],
                                       policy=policy)
        return self

    def _put(self, key, text):
        self.servers["fetch"].put(self.BUCKET, key, text.encode())

    @contextlib.contextmanager
    def held_at(self, stage):
        if stage in self.servers:
            with self.servers[stage].frozen():
                yield
        else:
            self.compose.hold(COMMANDS[stage])
            yield

    def wait(self, stage):
        """The deployment under way has come there and is held."""
        self.device.wait_stage(stage)
        if stage in COMMANDS:
            self.compose.wait_held(COMMANDS[stage])

    def assert_nothing_of_it_runs(self):
        assert workers() == []
        self.compose.wait_gone()

    @property
    def success(self):
        return success(bucket=self.BUCKET, key="after.yml")

    @property
    def success_before(self):
        return success(bucket=self.BUCKET, key="before.yml")


class Gate:
    """What holds containers until the test opens it. `volumes` is for their service in the compose file."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.volumes = f"['{folder}:/gate']"

    def open(self):
        (self.folder / "open").touch()


class Stubborn:
    """An application of two services: "first" ends at once when it is told to, "second" only once the gate is open.

    So its teardown stands still in the middle.
    """

    GRACE = "600s"
    ON_TERM = "echo >/gate/told; while ! cat /gate/open; do sleep 0.05; done 2>/dev/null; exit 0"

    def __init__(self, device, image):
        self.device, self.gate = device, Gate(device.folder / "gate")
        second = compose_file(None, ["second"], image, self.GRACE, on_term=self.ON_TERM, volumes=self.gate.volumes)
        device.put_object("ships", "stubborn.yml", compose_file(None, ["first"], image) + second.split("services:\n")[1])
        self.group = device.group(key="stubborn.yml", name="stubborn.json", DockerPullBeforeUp="False")

    def wait_told(self):
        """It is being taken down: what comes first is gone."""
        wait_until((self.gate.folder / "told").exists, 60, lambda: f"nobody takes it down:\n{self.device.stderr}")

    @property
    def success(self):
        return success(key="stubborn.yml")
