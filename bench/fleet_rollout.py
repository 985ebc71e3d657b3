# SPDX-License-Identifier: Apache-2.0
"""Rolls a job out to N devices, and another one with a restart of the broker in the middle."""
import statistics
import time

from fleet_figures import histogram, most_within, percentile
from fleet_stand import (BUCKET, RELEASES, Engines, FleetBroker, FleetDevice, FleetService, Messages, Wire, compose_text,
                         difference, install)
from servers.authority import Authority
from servers.s3 import S3
from servers.server import wait_until
from users import add_user

FIRST_S, EACH_S = 120, 1.5  # how long may be waited for a fleet
# So long a connection lasts until its end counts as one of the network (src/mqtt/publisher.c).
LASTED_S = 31
DOWN_S = 2
# Devices that have a job at a time. Of all 1,000 at once, two processors and engines in one process make each wait for longer
# than a device waits for its engine.
AT_A_TIME = 50
SLOT_S = 1


class Fleet:
    def __init__(self, folder, build, count):
        self.count, self.limit_s = count, FIRST_S + EACH_S * count
        folder.mkdir()
        folder.chmod(0o755)
        programs = install(build, folder / "bin")
        authority = Authority(folder / "authority")
        self.broker, self.s3 = FleetBroker(folder / "broker", authority), S3(folder / "s3")
        user = add_user(f"fleet{count}")
        self.devices = [FleetDevice(folder / str(number), programs, programs, user, self.broker, self.s3, number)
                        for number in range(count)]
        self.wire = Wire(mqtt=self.broker.tls_port, s3=self.s3.port)
        self.engines = Engines(folder, count)
        self.service = self.messages = self.connected = None

    def start(self):
        """Returns the seconds until every device has connected and asked for a job."""
        self.broker.start()
        self.s3.start()
        self.s3.make_bucket(BUCKET)
        for release in RELEASES:
            self.s3.put(BUCKET, release, compose_text(release).encode())
        self.service = FleetService(self.broker.port, AT_A_TIME)
        self.service.__enter__()
        self.messages = Messages(self.broker.port)
        begin = time.monotonic()
        for device in self.devices:
            device.start()
        wait_until(lambda: len(self.service.asked()) == self.count, self.limit_s, lambda: "not all devices ask for jobs:\n" +
                   "\n".join(device.stderr()[-500:] for device in self.devices
                             if device.name not in self.service.asked())[:3000])
        self.connected = time.monotonic()
        return self.connected - begin

    def stop(self):
        for device in self.devices:
            device.stop()
        for device in self.devices:
            device.wait()
        if self.service:
            self.messages.stop()
            self.service.__exit__()
        self.s3.stop()
        self.broker.stop()
        self.engines.stop()

    def give(self, job, release):
        self.service.roll_out(job, {device.name: device.group(release) for device in self.devices})

    def wait_ended(self, job, count=None):
        wait_until(lambda: self.service.ended_of(job) >= (count or self.count), self.limit_s,
                   lambda: f"{self.service.statuses(job)}\n{self.devices[0].stderr()[-3000:]}")

    def check(self, job):
        statuses = self.service.statuses(job)
        if statuses != {"SUCCEEDED": self.count}:
            raise RuntimeError(f"not all devices have succeeded: {statuses.most_common(4)}")

    def latencies(self, job):
        return [self.service.ended[device.name, job] - self.service.given[device.name, job] for device in self.devices]


def settle(fleet):
    """Until no more messages come: each has sent what follows a deployment."""
    before = None
    while before != (before := (fleet.messages.up, fleet.messages.down)):
        time.sleep(2)


def roll_out(fleet):
    """The undisturbed rollout: figures of the fleet, and per device."""
    before, cpu = fleet.wire.read(), [device.cpu_s() for device in fleet.devices]
    up, down = fleet.messages.up, fleet.messages.down
    begin = time.monotonic()
    fleet.give("first", RELEASES[0])
    fleet.wait_ended("first")
    all_s = max(fleet.service.ended.values()) - begin
    settle(fleet)
    fleet.check("first")
    wire = difference(fleet.wire.read(), before)
    user, system = (statistics.mean(after - begun for after, begun in zip(*sides)) for sides in zip(
        zip(*(device.cpu_s() for device in fleet.devices)), zip(*cpu)))
    memory = [device.memory_kb() for device in fleet.devices]
    latencies, n = fleet.latencies("first"), fleet.count
    return {
        "devices": n, "at_a_time": AT_A_TIME, "all_reported_s": all_s, "devices_per_s": n / all_s,
        "report_p50_s": percentile(latencies, 50), "report_p99_s": percentile(latencies, 99),
        "messages_up_per_device": (fleet.messages.up - up) / n, "messages_down_per_device": (fleet.messages.down - down) / n,
        "mqtt_bytes_up_per_device": wire["mqtt"]["up"][0] / n, "mqtt_bytes_down_per_device": wire["mqtt"]["down"][0] / n,
        "s3_bytes_per_device": sum(wire["s3"][way][0] for way in ("up", "down")) / n,
        "cpu_s_per_device": user + system, "cpu_user_s_per_device": user, "cpu_system_s_per_device": system,
        "pss_mb_per_device": statistics.mean(found["Pss"] for found in memory) / 1024,
        "private_mb_per_device": statistics.mean(found["Private"] for found in memory) / 1024,
        "rss_mb_per_device": statistics.mean(found["Rss"] for found in memory) / 1024,
    }


def roll_out_with_restart(fleet):
    """The broker is away for a moment when half of the devices have reported. When they connect again, and how soon all
    have reported."""
    begin = time.monotonic()
    fleet.give("second", RELEASES[1])
    fleet.wait_ended("second", fleet.count // 2)
    fleet.broker.stop()
    down = time.monotonic()
    time.sleep(DOWN_S)
    fleet.broker.connections.clear()
    fleet.broker.start()
    up = time.monotonic()
    fleet.wait_ended("second")
    fleet.check("second")
    all_s = max(when for (_, job), when in fleet.service.ended.items() if job == "second") - begin
    wait_until(lambda: len(fleet.broker.connections) >= fleet.count, fleet.limit_s, "not all devices connect again")
    after = [when - down for when in fleet.broker.connections]
    return {
        "all_reported_s": all_s, "broker_away_s": up - down, "connections": len(after),
        "reconnected_p50_s": percentile(after, 50), "reconnected_p90_s": percentile(after, 90),
        "reconnected_last_s": max(after), "most_connects_in_a_second": most_within(after, 1),
        "share_in_the_worst_second": most_within(after, 1) / fleet.count,
        "slot_s": SLOT_S, "connects_per_slot": histogram(after, SLOT_S),
    }


def measure(folder, build, count):
    fleet = Fleet(folder, build, count)
    try:
        figures = {"start_s": fleet.start(), **roll_out(fleet)}
        time.sleep(max(0, fleet.connected + LASTED_S - time.monotonic()))
        return {**figures, "broker_restart": roll_out_with_restart(fleet)}
    finally:
        fleet.stop()
