# SPDX-License-Identifier: Apache-2.0
"""The points of a sweep: which are tried, several at a time, and what is told of them.

Without --exhaustive a sample of them is tried, the same in each run with the same --sweep-seed.
"""
import collections
import concurrent.futures
import itertools
import json
import os
import queue
import random
import time
import traceback

# Calls by which a program changes something outside of itself.
CHANGES = ["write", "write:pipe", "write:socket", "write:memory", "pwrite64", "writev", "fsync", "fdatasync", "renameat", "renameat2", "rename", "linkat", "link", "symlinkat",
           "symlink", "unlinkat", "unlink", "mkdirat", "mkdir", "ftruncate", "connect", "sendto", "sendmsg"]
PROGRAMS = ["lightermand", "lighterman-worker"]


class Point(collections.namedtuple("Point", "scenario program call n error", defaults=[None])):
    def __str__(self):
        return f"[{self.scenario.name}: {self.program} {self.call} {self.n} {self.error or ''}]"



def numbered(lines):
    """[(program, call, n)] of the lines of `fault_tracer count`."""
    seen = collections.Counter()
    for line in lines:
        program, call = line.split()
        seen[program, call] += 1
        yield program, call, seen[program, call]


def note(name, tried, total, results):
    """Adds a line to the file of --sweep-report, of which scripts/reliability-page makes tables."""
    report = os.environ.get("SWEEP_REPORT")
    if report:
        with open(report, "a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "tried": tried, "total": total, "results": results}) + "\n")


class Sweep:
    """Tries points on berths and keeps count."""

    def __init__(self, name, config, tell):
        self.name, self.tell = name, tell
        self.exhaustive = config.getoption("--exhaustive")
        self.seed = config.getoption("--sweep-seed")
        self.random = random.Random(f"{name} {self.seed}")
        self.total = 0
        self.seconds = config.getoption("--sweep-seconds")
        self.begun = None
        self.tried = 0
        self.results = collections.Counter()
        self.failures = []

    def sample(self, points, most):
        """Those that are tried, in an order that says nothing about them."""
        points = list(points)
        self.total += len(points)
        self.random.shuffle(points)
        if self.exhaustive:
            return points
        rank, seen = {}, collections.Counter()
        for point in points:
            kind = getattr(point, "call", None)
            rank[id(point)] = seen[kind]
            seen[kind] += 1
        return sorted(points, key=lambda point: rank[id(point)])[:most]  # of each call one, then of each another

    def run(self, work, points, berths):
        """work(berth, point) tries one and returns what came of it, a word; None: the point was not reached."""
        free = queue.Queue()
        for berth in berths:
            free.put(berth)

        def one(point):
            berth = free.get()
            self.try_one(work, berth, point)
            free.put(berth)

        self.in_parallel(one, points, len(berths))

    def run_each(self, work, points_of):
        """The same for [(berth, points)] that belong together."""
        def each(pair):
            for point in pair[1]:
                self.try_one(work, pair[0], point)

        self.in_parallel(each, points_of, len(points_of))

    def try_one(self, work, berth, point):
        self.begun = self.begun or time.monotonic()
        if self.seconds and time.monotonic() - self.begun > self.seconds:
            self.results["left out for lack of time"] += 1
            return
        try:
            result = work(berth, point)
        except Exception:  # pylint: disable=broad-except  # all are counted, and told at the end
            result = "violation"
            self.failures.append((point, traceback.format_exc(limit=-2)))
            getattr(berth, "kill_all", lambda: None)()
        self.results[result or "not reached"] += 1
        self.tried += bool(result)

    @staticmethod
    def in_parallel(work, items, n):
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            for _ in pool.map(work, items):
                pass

    def end(self, least=1):
        """Tells the counts; a violation is a failure."""
        tried = self.tried
        kind = "without a sample," if self.exhaustive else f"a sample, seed {self.seed},"
        self.tell(f"{self.name}: {kind} {tried} of {self.total} points tried, {len(self.failures)} violations; "
                  + ", ".join(f"{n} {word}" for word, n in sorted(self.results.items())))
        note(self.name, tried, self.total, self.results)
        shown = [f"{point}: {why}" for point, why in itertools.islice(self.failures, 8)]
        assert not self.failures, "\n".join([f"{len(self.failures)} violations:", *shown])
        assert tried >= least, f"only {tried} points were reached"

