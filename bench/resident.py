# SPDX-License-Identifier: Apache-2.0
"""What stays on the device: memory, the CPU of a status tick, and how long a crash takes to become a message.

The peer for memory and crashes is bench/peer_connector.py, a long-lived Python process that does the same by polling
`docker ps`; for a tick it is one `docker ps`, and one `docker-compose ps` of either generation. 0, 1, 10 and 100
containers, all on the real engine. Ours and the peer run at the same time, over the same containers and the same broker.
"""
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import time

import stand as stands  # it finds the tests' servers
from device import Device
from rows import row
from servers.authority import Authority
from servers.broker import Broker
from servers.compose import Compose
from servers.engine import PROJECT, Engine, compose_file
from servers.server import wait_until
from users import add_user

HERE = pathlib.Path(__file__).resolve().parent
PEER = "bench/peer_connector.py"
POLLING = PEER + ", every second"
SIZES = (0, 1, 10, 100)
QUICK_SIZES = (0, 10)
TOPIC = "dockerapplicationdeploymentconnector/message/containers"
PEER_TOPIC = "bench/containers"
TICKS, QUICK_TICKS, CRASHES, QUICK_CRASHES = 10, 5, 30, 5
NS_PER_MS = 1e6


class Stand:
    """An application of one service, and as many containers beside it as are asked for, of the same project."""

    def __init__(self, folder, args):
        self.folder, self.args = folder, args
        self.engine, self.broker = Engine(folder / "engine"), Broker(folder / "broker", Authority(folder / "authority"))
        self.count = 0

    def start(self):
        self.engine.start()
        self.broker.start()
        self.image = self.engine.make_image("bench/page:1")
        self.device = Device(self._folder("ours"), pathlib.Path(self.args.build).resolve() / "bin",
                             add_user("lmbench", groups=["docker"]), Engine.SOCKET, Compose(None, self.args.compose))
        self.device.use_broker(self.broker)
        self.device.put_object(stands.BUCKET, "docker-compose.yml", compose_file(None, ["page"], self.image))
        self.device.start()
        self.peer = subprocess.Popen([sys.executable, str(HERE / "peer_connector.py"), "1", str(self.broker.port),
                                      PEER_TOPIC, PROJECT], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _folder(self, name):
        path = self.folder / name
        path.mkdir()
        path.chmod(0o755)
        return path

    def grow(self, size):
        """`size` containers in all; the first is the deployed one's."""
        if size and not self.count:
            self.device.deploy(self.device.group(bucket=stands.BUCKET, DockerPullBeforeUp="False",
                                                 DockerContainerStatusLogFrequency="1"))
            self.count = 1
        while self.count < size:
            self.run(["sleep", "1000000"], f"beside{self.count}")
            self.count += 1

    def run(self, command, service, **more):
        return self.engine.docker.containers.run(
            self.image, command, detach=True, network="none", init=True, **more,
            labels={"com.docker.compose.project": PROJECT, "com.docker.compose.service": service})

    def stop(self):
        self.peer.kill()
        self.peer.wait()
        self.device.end()
        self.broker.stop()
        self.engine.stop()


def memory(pid):
    """(Pss, Rss) in MB, once lightermand has given back what its last work needed."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in ("Pss", "Rss"):
            found[name] = int(value.split()[0]) / 1024
    return found["Pss"], found["Rss"]


def cpu_ns(pid):
    """Of all its threads, as the scheduler counts it (proc(5), schedstat)."""
    return sum(int(path.read_text(encoding="ascii").split()[0])
               for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def command_cpu_ms(words, env):
    """Median CPU of five runs of a command."""
    costs = []
    for _ in range(5):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        usage = os.wait4(child.pid, 0)[2]
        child.returncode = 0
        costs.append((usage.ru_utime + usage.ru_stime) * 1000)
    return statistics.median(costs)


def measure_tick(stand, count):
    """CPU of lightermand in ms for a tick, over some of them: each has a line for the deployed container."""
    def last():
        # Not their number: the file is rotated.
        return max((line[:26] for line in stand.device.log.splitlines() if "service=page " in line), default="")

    def next_tick():
        before = last()
        wait_until(lambda: last() > before, 60, "no status lines come")

    pid = stand.device.process.pid
    next_tick()
    begin = cpu_ns(pid)
    for _ in range(count):
        next_tick()
    return (cpu_ns(pid) - begin) / NS_PER_MS / count


def measure_crashes(stand, crashes):
    """Medians in ms from a container's end, by the engine's word, to both messages."""
    ours, peer = [], []
    heard = {TOPIC: queue.Queue(), PEER_TOPIC: queue.Queue()}

    def note(_client, _userdata, message):
        document = json.loads(message.payload)
        if document["event"] == "died":
            heard[message.topic].put((document["container"], time.time_ns()))

    with stand.broker.subscriber(TOPIC) as first, stand.broker.subscriber(PEER_TOPIC) as second:
        first.client.on_message = second.client.on_message = note
        for n in range(crashes):
            # The last message came with the peer's poll: this one is to end anywhere between two.
            command = ["sh", "-c", f"sleep {0.5 + n / crashes:.2f}; exit 3"]
            container = stand.run(command, "crash", name=f"crash-{n}")
            for topic, found in ((TOPIC, ours), (PEER_TOPIC, peer)):
                name, came_ns = heard[topic].get(timeout=60)
                if name != f"crash-{n}":
                    raise RuntimeError(f"crash-{n} was waited for, and the message is about {name}")
                container.reload()
                found.append((came_ns - ended_ns(container)) / NS_PER_MS)
            container.remove(force=True)
    return statistics.median(ours), statistics.median(peer)


def ended_ns(container):
    """FinishedAt, with its nanoseconds."""
    text = container.attrs["State"]["FinishedAt"].rstrip("Z")
    whole, _, fraction = text.partition(".")
    seconds = time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def measure(args, folder, wanted):
    stand = Stand(folder, args)
    stand.start()
    rows = []
    for size in QUICK_SIZES if args.quick else SIZES:
        stand.grow(size)
        rows += measure_size(stand, args, size)
    stand.stop()
    return [found for found in rows if found["name"] in wanted]


def measure_size(stand, args, size):
    device, env = stand.device, {**os.environ, "DOCKER_HOST": f"unix://{Engine.SOCKET}"}
    if size:
        tick = measure_tick(stand, QUICK_TICKS if args.quick else TICKS)
        docker = command_cpu_ms(["docker", "ps", "--all", "--filter", f"label=com.docker.compose.project={PROJECT}"], env)
        yield row(f"tick_cpu_{size}_containers", "ms", tick, docker, "docker ps")
        for name, compose in (("compose", args.compose), ("compose2", args.compose2)):
            cost = command_cpu_ms([compose, "-p", PROJECT, "-f", str(device.local_copy), "ps"], env)
            yield row(f"tick_cpu_{size}_containers_{name}", "ms", tick, cost, f"{compose} ps")
        ours, peer = measure_crashes(stand, QUICK_CRASHES if args.quick else CRASHES)
        yield row(f"crash_to_message_{size}_containers", "ms", ours, peer, POLLING)
        if size == 10:
            yield row("crash_to_message_default_interval", "ms", ours, 150000,
                      "polling every 300 s: half the interval, reckoned")
    # Both at rest: a tick's memory is given back a second after it; ticks go on, so the least of some is taken.
    ours = min(memory(device.process.pid) for _ in pause(30))
    peer = memory(stand.peer.pid)
    yield row(f"pss_{size}_containers", "MB", ours[0], peer[0], PEER)
    yield row(f"rss_{size}_containers", "MB", ours[1], peer[1], PEER)


def pause(times):
    for n in range(times):
        time.sleep(0.1)
        yield n
