# SPDX-License-Identifier: Apache-2.0
"""What routing by a group's subscriptions costs: mosquitto with our plugin against mosquitto without it.

Both have the same listeners and settings, the same clients and the same MQTT subscriptions; the messages reach exactly
the clients that the group's subscriptions name. Throughput is measured over the Unix socket, where no encryption hides
what the plugin costs, and over TLS, which devices use; latency over TLS. The plugin remembers whom a message is for, by
source and topic; `router_other_topics` has four times as many of these as it remembers, each in its turn.
bench/mqtt_load.c makes the load: a broker takes one whole processor for it, the load about half of another.
"""
import hashlib
import json
import pathlib
import resource
import ssl
import statistics

import stand as stands  # noqa: F401 (it finds the tests' servers)
from rows import row
from servers.authority import Authority
from servers.server import Server, accepts, free_port, run

PEER = "mosquitto without the plugin"
SIZES = (10, 1000, 10000)
QUICK_SIZES = (1000,)
SECONDS, QUICK_SECONDS = 3, 1
RATE = 1000
BLOCK = 10
BLOCKS_THAT_PUBLISH = 16
OTHER_TOPICS = 4096  # src/broker/delivery.c remembers 1,024
MOST_DEVICES = 2500
ARN = "arn:aws:iot:us-west-2:123456789012:thing/"
FUNCTION = "arn:aws:lambda:us-west-2:123456789012:function:"
# Each measurement, and the rows that it gives.
KINDS = {
    "socket": {"router_message": lambda result: result["seconds"] / result["received"] * 1e6,
               "router_cpu": lambda result: result["broker_cpu_s"] / result["received"] * 1e6},
    "socket-other": {"router_other_topics": lambda result: result["seconds"] / result["received"] * 1e6},
    "tls": {"router_message_tls": lambda result: result["seconds"] / result["received"] * 1e6,
            "router_latency_p50": lambda result: result["us_p50"],
            "router_latency_p99": lambda result: result["us_p99"]},
}


def shape(size, count, others=False):
    """A group of `size` subscriptions among `count` clients, as (source, subject, target), and messages, as (source,
    topic, number of receivers). Ten subscriptions belong together: two exact topics with three receivers each, a `+`
    and a `#` with two each. Every client takes part, and a few publish; with `others`, OTHER_TOPICS different ones that
    only the `+` and the `#` match."""
    subscriptions, messages = [], []
    blocks = size // BLOCK
    publish = set(range(0, blocks, max(1, blocks // BLOCKS_THAT_PUBLISH)))
    each = OTHER_TOPICS // (2 * len(publish)) if others else 1
    for block in range(blocks):
        source, *targets = ((block * 7 + n) % count for n in range(4))
        line = f"plant/line{block}"
        for subject, topic, receivers in ((f"{line}/temperature", f"{line}/temperature", 3),
                                          (f"{line}/pressure", f"{line}/pressure", 3),
                                          (f"{line}/+/alarm", f"{line}/press7/alarm", 2),
                                          (f"log/line{block}/#", f"log/line{block}/press7/cycle", 2)):
            subscriptions += [(source, subject, target) for target in targets[:receivers]]
            if block in publish and (receivers == 2 or not others):
                messages += [(source, topic.replace("press7", f"press{n}"), receivers) for n in range(7, 7 + each)]
    return subscriptions, messages


class Group:
    """A shape with names: over TLS the clients are devices, over the Unix socket functions, as only these may."""

    def __init__(self, folder, size, kind, certificate):
        count = min(MOST_DEVICES, max(8, size // 4))
        tls = kind == "tls"
        self.ids = [f"device{n:04}" if tls else f"{FUNCTION}f{n:04}:1" for n in range(count)]
        arns = [ARN + name if tls else name for name in self.ids]
        self.subscriptions, self.messages = shape(size, count, kind.endswith("other"))
        entries = [{"arn": arn, "certificates": [certificate] if tls else []} for arn in arns]
        if tls:
            entries = [{**entry, "name": name, "sync": False} for name, entry in zip(self.ids, entries)]
        self.table = folder / f"table-{kind}-{size}.json"
        self.table.write_text(json.dumps({
            "format": 1, "core": ARN + "Core", "connector": None, "cloud": False,
            "devices": entries if tls else [], "functions": [] if tls else entries,
            "subscriptions": [{"source": arns[source], "subject": subject, "target": arns[target]}
                              for source, subject, target in self.subscriptions]}))
        self.plan = folder / f"plan-{kind}-{size}"
        self.plan.write_text("".join(
            [f"client\t{name}\n" for name in self.ids] +
            [f"subscribe\t{self.ids[target]}\t{subject}\n" for _, subject, target in self.subscriptions] +
            [f"publish\t{self.ids[source]}\t{topic}\t{receivers}\n" for source, topic, receivers in self.messages]))


class Mosquitto(Server):
    """With a table, our plugin routes by it."""

    def __init__(self, folder, authority, plugin=None):
        super().__init__(folder)
        self.port, self.socket, self.plugin = free_port(), folder / "s", plugin
        self.authority = authority
        self.certificate, self.key = authority.issue("localhost")

    def use(self, table):
        lines = [f"plugin {self.plugin}", f"plugin_opt_table {table}", f"plugin_opt_status {self.folder}/status.json"]
        self.write("mosquitto.conf", "\n".join([
            "user root", "log_dest stderr", "log_type error", "persistence false", "allow_anonymous true",
            "max_packet_size 147456", "set_tcp_nodelay true", *(lines if self.plugin else []),
            f"listener 0 {self.socket}", "max_qos 1",
            f"listener {self.port} 127.0.0.1", "max_qos 1", f"cafile {self.authority.certificate}",
            f"certfile {self.certificate}", f"keyfile {self.key}", "require_certificate true", ""]))

    def commands(self):
        self.socket.unlink(missing_ok=True)
        return [["mosquitto", "-c", str(self.folder / "mosquitto.conf")]]

    def is_ready(self):
        return self.socket.exists() and accepts(self.port)

    def measure(self, load, group, kind, seconds):
        where = ["--socket", self.socket]
        if kind == "tls":
            where = ["--port", self.port, "--tls", self.authority.certificate, self.certificate, self.key, "--rate", RATE]
        self.use(group.table)
        self.start()
        try:
            done = run(load, *where, "--seconds", seconds, "--pid", self.processes[0].pid, group.plan)
        finally:
            self.stop()
        return json.loads(done.stdout)


def measure(args, folder, wanted):
    # A connection for each of 2,500 devices, in the broker and in the load.
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    build = pathlib.Path(args.build).resolve()
    authority = Authority(folder / "authority")
    certificate = ssl.PEM_cert_to_DER_cert(authority.issue("localhost")[0].read_text())
    plugin, load = build / "bin/lighterman_router.so", build / "bench/mqtt_load"
    for path in (plugin, load):
        if not path.exists():
            raise RuntimeError(f"'{path}' is not built: run scripts/build")
    ours = Mosquitto(folder / "ours", authority, plugin)
    peer = Mosquitto(folder / "peer", authority)
    rows = []
    for size in QUICK_SIZES if args.quick else SIZES:
        for kind, figures in KINDS.items():
            names = {f"{name}_{size}_subscriptions": figure for name, figure in figures.items()}
            if not wanted & set(names):
                continue
            group = Group(folder, size, kind, hashlib.sha256(certificate).hexdigest())
            results = {ours: [], peer: []}
            for n in range(args.runs):
                for side in (ours, peer) if n % 2 == 0 else (peer, ours):
                    results[side].append(side.measure(load, group, kind, QUICK_SECONDS if args.quick else SECONDS))
            rows += [row(name, "us", *(statistics.median(map(figure, results[side])) for side in (ours, peer)), PEER)
                     for name, figure in names.items() if name in wanted]
    return rows
