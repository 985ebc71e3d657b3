# SPDX-License-Identifier: Apache-2.0
"""What one device sends and receives in a month in which nothing happens, with default settings and over TLS.

The month is compressed: libfaketime lets lightermand's clocks run faster, and with them every timer of it. Its application
is deployed and its connection made at normal speed, as no server answers a thousand times faster. The broker's clock stays
as it is: it sends nothing on its own account. What counts is every packet on the wire, with the headers of IP and TCP.
"""
import datetime
import glob
import math
import pathlib
import re
import time

from fleet_figures import a_month
from fleet_stand import (BUCKET, RELEASES, Engines, FleetBroker, FleetDevice, FleetService, Messages, Wire, compose_text,
                         difference, install)  # it finds the tests' servers
from control import Control
from servers.authority import Authority
from servers.s3 import S3
from servers.server import wait_until
from users import add_user

DAY_S = 24 * 3600
LIMIT_S = 120
# The clock must not go back when it becomes faster: so much of real time counts twice.
MARGIN_S = 0.05
SETTLE_S = 2
SHORT = 0.98  # of the time that must have passed for lightermand
PUBLISHER = pathlib.Path(__file__).resolve().parent.parent / "src/mqtt/publisher.c"
STAMP = re.compile(r"^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", re.MULTILINE)


class LongAuthority(Authority):
    """Its certificates are valid for the month."""

    def _builder(self, subject, key, days=2, from_days=-3):
        return super()._builder(subject, key, max(days, 400), from_days)


def keep_alive_s():
    """The default of the source."""
    factors = re.search(r"\bKEEP_ALIVE_S = ([\d *]+),", PUBLISHER.read_text(encoding="utf-8"))[1]
    return math.prod(map(int, factors.split("*")))


class Clock:
    """The one of a process."""

    def __init__(self, folder):
        library, = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        self.path, self.start_s = folder / "clock", None
        self.environment = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_NO_CACHE": "1"}
        self._write("+0")

    def _write(self, text):
        new = self.path.with_suffix(".new")
        new.write_text(text + "\n")
        new.rename(self.path)

    def note_start(self):
        self.start_s = time.monotonic()

    def accelerate(self, speed):
        """libfaketime counts the speed from the start of the process: what has passed is taken back."""
        passed_s = time.monotonic() - self.start_s - MARGIN_S
        self._write(f"{-passed_s * (speed - 1):+f} x{speed}")


class Idle:
    def __init__(self, folder, build):
        folder.mkdir()
        folder.chmod(0o755)
        programs = install(build, folder / "bin")
        self.clock, self.s3 = Clock(folder), S3(folder / "s3")
        self.broker = FleetBroker(folder / "broker", LongAuthority(folder / "authority"), log_pings=True)
        self.device = FleetDevice(folder / "0", programs, programs, add_user("idle"), self.broker, self.s3, 0)
        self.engines = Engines(folder, 1)
        self.wire = Wire(mqtt=self.broker.tls_port, s3=self.s3.port)
        self.service = self.messages = None

    def start(self):
        """Returns once the application is deployed and nothing happens any more."""
        self.s3.start()
        self.s3.make_bucket(BUCKET)
        self.s3.put(BUCKET, RELEASES[0], compose_text(RELEASES[0]).encode())
        self.broker.start()
        self.service = FleetService(self.broker.port)
        self.service.__enter__()
        self.messages = Messages(self.broker.port)
        self.clock.note_start()
        self.device.start(**self.clock.environment)
        self.service.roll_out("only", {self.device.name: self.device.group(RELEASES[0])})
        wait_until(lambda: self.service.ended_of("only"), LIMIT_S, self.device.stderr)
        time.sleep(SETTLE_S)

    def accelerate(self, speed):
        self.clock.accelerate(speed)
        # It sleeps until its next timer, by the old clock.
        Control(self.device.folder / "run/control.sock", command="status").end()
        time.sleep(SETTLE_S)

    def counts(self):
        return {"connects": len(self.broker.connections), "pings": len(self.broker.pings),
                "messages": self.messages.up + self.messages.down}

    def last_stamp(self):
        """When lightermand last wrote to its log, by its own clock: it has a line for each container every 5 minutes."""
        return datetime.datetime.fromisoformat(STAMP.findall(self.device.stderr())[-1])

    def stop(self):
        self.device.stop()
        self.device.wait()
        if self.service:
            self.messages.stop()
            self.service.__exit__()
        self.broker.stop()
        self.engines.stop()
        self.s3.stop()


def measure(folder, build, days, speed):
    idle = Idle(folder, build)
    try:
        idle.start()
        idle.accelerate(speed)
        before, counts, begin, stamp = idle.wire.read(), idle.counts(), time.monotonic(), idle.last_stamp()
        time.sleep(days * DAY_S / speed)
        seconds = time.monotonic() - begin
        wire, passed = difference(idle.wire.read(), before), seconds * speed / DAY_S
        counts = {what: count - counts[what] for what, count in idle.counts().items()}
        seen = (idle.last_stamp() - stamp).total_seconds() / DAY_S
        if counts["connects"]:
            raise RuntimeError(f"the idle device has connected {counts['connects']} times again: either it loses its connection, "
                               f"or this machine is too busy to answer {speed} times faster; take a lower --speed")
        if seen < SHORT * passed - 1 / 24:
            raise RuntimeError(f"of {passed:.1f} days lightermand has seen {seen:.1f}")
        up, down = wire["mqtt"]["up"], wire["mqtt"]["down"]
        return {"days": passed, "days_seen": seen, "speed": speed, "seconds": seconds,
                "bytes_up_per_month": a_month(up[0], passed), "bytes_down_per_month": a_month(down[0], passed),
                "bytes_per_month": a_month(up[0] + down[0], passed), "packets_per_month": a_month(up[1] + down[1], passed),
                "pings_due": passed * DAY_S / keep_alive_s(), "s3_bytes": sum(wire["s3"][way][0] for way in ("up", "down")),
                **counts}
    finally:
        idle.stop()
