#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From a container's crash to the message about it at a subscriber: see --help."""
import argparse
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TOPIC = "dockerapplicationdeploymentconnector/message/containers"
NS_PER_MS = 1e6


def parse():
    parser = argparse.ArgumentParser(
        prog="bench/crash_latency.py",
        description="Lets containers crash one after another and measures the time from the engine's event (its "
                    "timeNano) until a subscriber at a local broker has lightermand's message. Needs root; everything "
                    "runs in the tests' sandbox and is gone afterwards.")
    parser.add_argument("--crashes", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--containers", type=int, default=1, help="how many run beside (default 1)")
    parser.add_argument("--network", default="bridge", help="the network of those that crash (default bridge)")
    parser.add_argument("--build", default=str(ROOT / "build"), help="build folder (default build)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a line")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


class Subscriber:
    """When each message came, by container."""

    def __init__(self, broker):
        self.times = queue.Queue()
        self.inner = broker.subscriber(TOPIC)
        self.inner.client.on_message = self.on_message

    def on_message(self, _client, _userdata, message):
        now = time.time_ns()
        document = json.loads(message.payload)
        if document["event"] == "died":
            self.times.put((document["container"], now, document))


def died_at(engine, name, since_s):
    """When that container died, by the engine's event. Asked afterwards: another who listens to the stream delays it."""
    for event in engine.docker.events(decode=True, since=since_s, until=int(time.time()) + 1,
                                      filters={"container": name, "event": "die"}):
        return event["timeNano"]
    raise RuntimeError(f"the engine does not tell that {name} died")


def crash(engine, image, network, project, n):
    """A container that will crash in half a second; what starting it costs is over by then."""
    engine.docker.containers.run(
        image, ["sh", "-c", f"echo crash {n}; sleep 0.5; exit 3"], detach=True, name=f"crash-{n}", network=network,
        labels={"com.docker.compose.project": project, "com.docker.compose.service": "crash"})


def measure(args, folder):
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    from device import Device
    from servers.authority import Authority
    from servers.broker import Broker
    from servers.compose import V1, Compose
    from servers.engine import PROJECT, Engine
    from users import add_user

    engine, broker = Engine(folder / "engine"), Broker(folder / "broker", Authority(folder / "authority"))
    engine.start()
    broker.start()
    image = engine.make_image("bench/crash:1")
    for n in range(args.containers):
        engine.docker.containers.run(image, ["sleep", "1000000"], detach=True, network="none", init=True,
                                     labels={"com.docker.compose.project": PROJECT,
                                             "com.docker.compose.service": f"idle{n}"})
    device = Device(folder, pathlib.Path(args.build) / "bin", add_user("lmbench", groups=["docker"]), Engine.SOCKET,
                    Compose(1, V1))
    device.use_broker(broker)
    subscriber = Subscriber(broker)
    latencies, without_log = [], 0
    with subscriber.inner:
        device.start()
        for n in range(args.crashes):
            since_s = int(time.time())
            crash(engine, image, args.network, PROJECT, n)
            name, came_ns, document = subscriber.times.get(timeout=60)
            if name != f"crash-{n}":
                raise RuntimeError(f"crash-{n} was waited for, and the message is about {name}")
            latencies.append((came_ns - died_at(engine, name, since_s)) / NS_PER_MS)
            without_log += document["log"] != [f"crash {n}"]
    device.stop()
    engine.stop()
    broker.stop()
    return sorted(latencies), without_log


def main():
    args = parse()
    if not args.inside:
        command = [str(ROOT / "tests/e2e/sandbox"), sys.executable, __file__, "--inside", *sys.argv[1:]]
        return subprocess.run(command, check=False).returncode
    latencies, without_log = measure(args, pathlib.Path(os.environ["LIGHTERMAN_SANDBOX"]))
    result = {"crashes": len(latencies), "containers": args.containers, "network": args.network, "unit": "ms",
              "median": round(statistics.median(latencies), 2),
              "p99": round(latencies[max(0, -(-99 * len(latencies) // 100) - 1)], 2),
              "most": round(latencies[-1], 2), "without_log": without_log}
    if args.json:
        print(json.dumps(result))
    else:
        print("{crashes} crashes beside {containers} container(s), network {network}: median {median} ms, 99th "
              "percentile {p99} ms, most {most} ms; {without_log} without the log".format(**result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
