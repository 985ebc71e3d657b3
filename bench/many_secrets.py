# SPDX-License-Identifier: Apache-2.0
"""A deployment that needs many secrets over slow links: how its time grows with their number.

S3, Secrets Manager and each of the registries are behind a link of 50 ms delay of their own. The peer is the shell
script, which asks for one secret after the other. What is deployed is one service whose image is there.
"""
import statistics

import deployments
import stand as stands
from link import Link, Links
from rows import row
from servers.authority import Authority
from servers.aws_services import SecretsManager
from servers.broker import STATUS_TOPIC, Broker
from servers.engine import Engine, compose_file
from servers.registry import Registry
from servers.s3 import S3
from servers.server import free_port

NUMBERS = (1, 10, 50)
DELAY_S = 0.05
GROWTH = "deploy_growth_from_1_to_50_secrets"


class Stand:
    """The servers, and a way to each that takes its time."""

    def __init__(self, folder):
        self.folder = folder
        self.engine, self.registry = Engine(folder / "engine"), Registry(folder / "registry")
        self.s3, self.broker = S3(folder / "s3"), Broker(folder / "broker", Authority(folder / "authority"))
        self.secrets_manager = SecretsManager(S3.REGION)
        self.servers = (self.engine, self.registry, self.s3, self.broker, self.secrets_manager)
        self.env = stands.environment()
        self.links = []
        self.arns = []

    def start(self):
        for server in self.servers:
            server.start()
        # One role for both services.
        self.secrets_manager.keys[S3.ACCESS_KEY] = (S3.SECRET_KEY, None)
        self.s3.make_bucket(stands.BUCKET)
        image = self.engine.make_image("bench/page:1")
        self.s3.put(stands.BUCKET, "docker-compose.yml", compose_file(None, ["page"], image).encode())
        self.endpoints = {"AWS_ENDPOINT_URL_S3": self._link(self.s3.port),
                          "AWS_ENDPOINT_URL_SECRETS_MANAGER": self._link(self.secrets_manager.port)}
        for n in range(max(NUMBERS)):
            self._add_secret(n)
        self.running_links = Links(self.links)
        self.running_links.start()

    def _link(self, port):
        link = Link(free_port(), port, DELAY_S)
        self.links.append(link)
        return f"http://127.0.0.1:{link.port}"

    def _add_secret(self, n):
        """A secret for a registry of its own, as far as Docker can tell."""
        address = self._link(self.registry.port).removeprefix("http://127.0.0.1:")
        value = self.registry.secret(registryUrl=f"localhost:{address}")
        self.arns.append(self.secrets_manager.put(f"greengrass-registry-{n}", value))

    def environment(self):
        return {**self.s3.environment(), **self.endpoints}

    def stop(self):
        self.running_links.stop()
        for server in reversed(self.servers):
            server.stop()


class Peer(deployments.Script):
    def __init__(self, stand, args, status):
        super().__init__(stand, args, status)
        self.env.update(stand.endpoints, ENDPOINT=stand.endpoints["AWS_ENDPOINT_URL_S3"], KEY="docker-compose.yml",
                        PULL="")

    def deploy(self, n):
        self.env["SECRETS_ENDPOINT"] = self.env["AWS_ENDPOINT_URL_SECRETS_MANAGER"]
        self.env["SECRETS"] = " ".join(self.stand.arns[:n])
        return self.run()


class Ours(deployments.Daemon):
    def __init__(self, stand, args, status):
        super().__init__(stand, args, status)
        self.device.host.pop("objectStore", None)
        self.device.host.pop("secretStore", None)
        self.device.environment.update(stand.environment())
        self.groups = {n: self.device.group(bucket=stands.BUCKET, secrets=stand.arns[:n], name=f"group-{n}.json",
                                            DockerPullBeforeUp="False") for n in NUMBERS}
        self.device.start()

    def deploy(self, n):
        return self.run(self.groups[n])


def measure(args, folder, wanted):
    if args.quick:  # ten secrets alone take the script a quarter of a minute
        return []
    stand = Stand(folder)
    stand.start()
    numbers = [n for n in NUMBERS if GROWTH in wanted or f"deploy_wall_secrets_{n}" in wanted]
    runs = min(args.runs, 3)  # fifty times the AWS command line takes long enough
    results = {n: {"ours": [], "peer": []} for n in numbers}
    with stand.broker.subscriber(STATUS_TOPIC) as status:
        sides = {"ours": Ours(stand, args, status), "peer": Peer(stand, args, status)}
        for side in sides.values():
            side.deploy(1)  # not counted
        for n in numbers:
            for _ in range(runs):
                for name, side in sides.items():
                    results[n][name].append(side.deploy(n))
        for side in sides.values():
            side.end()
    stand.stop()
    return [found for found in make_rows(results) if found["name"] in wanted]


def make_rows(results):
    walls = {n: {name: statistics.median(run["wall"] for run in runs) for name, runs in sides.items()}
             for n, sides in results.items()}
    for n, wall in walls.items():
        yield row(f"deploy_wall_secrets_{n}", "s", wall["ours"], wall["peer"])
    if set(NUMBERS) <= set(walls):
        grows = {name: walls[50][name] / walls[1][name] for name in ("ours", "peer")}
        yield row(GROWTH, "times", grows["ours"], grows["peer"])
