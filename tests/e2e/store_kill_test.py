# SPDX-License-Identifier: Apache-2.0
"""The store, killed at every system call that changes something, and with every such call failing.

The program of tests/unit/deploy/store_driver.c says what it was told is done ("begun N K": attempt K of generation
N; "finished N K good|bad|trial"; "sent N K": the status message is in the outbox; "confirmed N", "quarantined N"). After
each kill the next open must know all of it: current and last good complete, the interrupted attempt named, no status
message lost.
"""
import collections
import re
import shutil

import pytest

from small_disk import SmallDisk
from strace import drivers, fail, in_memory, in_parallel, kill, run, trace

# Calls of our own that change the disk, or make it last.
CHANGES = ["write", "fsync", "fdatasync", "renameat", "symlinkat", "unlinkat", "mkdirat", "mkdir", "openat", "ftruncate"]
FAULTS = [("write", "ENOSPC"), ("write", "EIO"), ("fsync", "EIO"), ("fdatasync", "EIO"), ("renameat", "ENOSPC"),
          ("renameat", "EIO"), ("symlinkat", "ENOSPC"), ("mkdirat", "ENOSPC"), ("openat", "ENOSPC"), ("unlinkat", "EIO")]

driver, plain_driver = drivers("tests/unit/deploy/store_driver")


def calls(driver, folder):
    """How many calls of each kind one run makes, and how many of them its start-up makes before the store is opened."""
    every, before = collections.Counter(), None
    for name in trace([*CHANGES, "flock"], folder / "calls", driver, "run", folder / "counted"):
        if name == "flock":
            before = collections.Counter(every)
        else:
            every[name] += 1
    return every, before


class Acks:
    """What a run of the driver was told is done."""

    def __init__(self, text):
        self.begun, self.finished, self.sent = [], [], set()
        self.current = self.last_good = "0"
        self.confirming = self.unsure = None  # begun, and not told to be done
        self.quarantined = set()
        for line in text.splitlines():
            words = line.split()
            read = getattr(self, "_" + words[0], None) if words else None
            if read:
                read(*words[1:])

    def _begun(self, n, k):
        self.begun.append((int(n), int(k)))

    def _finished(self, n, k, end):
        self.finished.append((int(n), int(k)))
        self.ended(n, end)

    def ended(self, n, end):
        if end in ("good", "trial"):
            self.current = n
        if end == "good":
            self.last_good = n

    def _sent(self, n, k, *_):
        self.sent.add((int(n), int(k)))

    def _confirming(self, n):
        self.confirming = n

    def _confirmed(self, n):
        self.last_good = n

    def _quarantining(self, n):
        self.unsure = n

    def _quarantined(self, n):
        self.unsure = None
        self.quarantined.add(n)

    def _lifting(self, n):
        self.quarantined.discard(n)
        self.unsure = n

    def _lifted(self, _):
        self.unsure = None


def verify(opened, acks):
    """Compares what the driver printed of the store that it opened with what the run before had been told."""
    acks = Acks(acks)
    facts = dict(re.findall(r"^(current|last_good|open) (.*)$", opened, re.M))
    unreported = {(int(n), int(k)) for n, k in re.findall(r"^unreported (\d+) (\d+)$", opened, re.M)}
    ends = {(int(n), int(k)): end for n, k, end in re.findall(r"^outcome (\d+) (\d+) (\w+)$", opened, re.M)}
    held = dict(re.findall(r"^generation (\d+) (\w+)$", opened, re.M))
    interrupted = tuple(int(word) for word in facts["open"].split())

    for attempt in acks.finished:
        assert attempt in acks.sent or attempt in unreported, f"the status of {attempt} is lost"
    in_flight = [attempt for attempt in acks.begun if attempt not in acks.finished]
    assert len(in_flight) <= 1
    for attempt in in_flight:
        assert attempt == interrupted or attempt in acks.sent | unreported, f"{attempt} is forgotten"
        # One that had ended, but was not told so yet.
        if attempt != interrupted:
            acks.ended(str(attempt[0]), ends[attempt])
    assert facts["current"] == acks.current, (facts, acks.current)
    assert facts["last_good"] in (acks.last_good, acks.confirming), (facts, acks.last_good)
    for n, state in held.items():
        assert n == acks.unsure or state == ("quarantined" if n in acks.quarantined else "free"), (n, state)


def converge(driver, store, acks):
    """The next start knows all that was acknowledged, takes it up from there and ends well; so does the one after it."""
    again = run(driver, "take-up", store)
    assert again.returncode == 0 and again.stdout.endswith("done\n") and not again.stderr, again.stdout + again.stderr
    verify(again.stdout, acks)
    checked = run(driver, "check", store)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    verify(checked.stdout, again.stdout)
    assert "unreported" not in checked.stdout and "open 0 0" in checked.stdout


def every_place(driver, folder, names):
    counted, before = calls(driver, folder)
    places = [(name, n) for name in names for n in range(before[name] + 1, counted[name] + 1)]
    assert len(places) > 20
    return places


def test_any_kill_leaves_a_store_that_the_next_start_takes_up(driver, plain_driver, in_memory):
    places = every_place(plain_driver, in_memory, CHANGES)
    assert len(places) > 300
    killed = []

    def work(name, n):
        store = in_memory / f"{name}-{n}"
        done = kill(name, n, plain_driver, "run", store)
        if done.returncode:
            killed.append((name, n))
            converge(driver, store, done.stdout)

    in_parallel(work, places)
    assert len(killed) > 0.9 * len(places)


def test_a_second_kill_while_the_first_is_mended_does_no_harm(driver, plain_driver, in_memory):
    """Killed once in the middle of a deployment's end, then at each call of the start that follows."""
    ends = [("renameat", n) for n in range(4, 14)] + [("symlinkat", 1), ("symlinkat", 2)]

    def work(name, n):
        for again, last in (("renameat", 6), ("unlinkat", 6), ("fsync", 8)):
            for m in range(1, last):
                store = in_memory / f"{name}-{n}-{again}-{m}"
                acks = ""
                for call, when in ((name, n), (again, m)):
                    done = kill(call, when, plain_driver, "run", store)
                    assert done.returncode, (call, when)
                    # An attempt that was begun again under the same number is the same attempt.
                    acks += done.stdout
                begun = list(dict.fromkeys(re.findall(r"^begun .*$", acks, re.M)))
                rest = [line for line in acks.splitlines() if not line.startswith("begun")]
                converge(driver, store, "\n".join(begun + rest))

    in_parallel(work, ends)


@pytest.mark.parametrize("name,error", FAULTS)
def test_a_failing_call_is_told_in_a_sentence_and_may_be_made_again(driver, in_memory, name, error):
    told = []

    def work(_, n):
        store = in_memory / f"{name}-{n}"
        done = fail(name, error, n, driver, "run", store)
        assert done.returncode == 0, (n, done.stdout, done.stderr)
        for line in done.stderr.splitlines():
            assert re.match(r"error: \S+( \S+)?: .*(No space left on device|Input/output error)", line), line
            told.append(line)
        assert done.stdout.endswith("done\n")
        converge(driver, store, done.stdout)

    places = [place for place in every_place(driver, in_memory, CHANGES) if place[0] == name]
    in_parallel(work, places)
    assert told


def flip(path):
    """One bit of the last byte but one."""
    data = bytearray(path.read_bytes())
    data[-2] ^= 4
    path.write_bytes(data)


def into_directory(path):
    path.unlink()
    path.mkdir()
    (path / "inside").mkdir()


# Of a store after a run: what is damaged, and how.
DAMAGES = {
    "definition": lambda store: flip((store / "current").resolve() / "definition.json"),
    "outcome": lambda store: into_directory((store / "current").resolve() / "outcome.json"),
    "compose file": lambda store: flip((store / "current").resolve() / "compose.yml"),
    "reported": lambda store: into_directory((store / "current").resolve() / "reported"),
    "journal": lambda store: (store / "journal").write_bytes(bytes(50)),
    "link": lambda store: into_directory(store / "current"),
    "folders": lambda store: [(store / f"generations/{n}").write_bytes(b"") for n in range(20, 25)],
}


@pytest.fixture
def damaged_store(plain_driver, in_memory):
    """damaged_store(what, name): a store with a good generation, one that went before it, and that damage."""
    whole = in_memory / "whole"
    assert run(plain_driver, "run", whole).returncode == 0
    assert run(plain_driver, "run", whole).returncode == 0

    def make(what, name):
        store = in_memory / name
        shutil.copytree(whole, store, symlinks=True)
        DAMAGES[what](store)
        return store

    return make


def assert_mended(driver, store):
    again = run(driver, "mend", store)
    assert again.returncode == 0 and not again.stderr, again.stdout + again.stderr
    used = run(driver, "run", store)
    assert used.returncode == 0 and used.stdout.endswith("done\n") and not used.stderr, used.stdout + used.stderr
    checked = run(driver, "check", store)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    verify(checked.stdout, used.stdout)


def mending_places(driver, folder, store, names):
    """The calls of a start that sets something aside, once the store is its own."""
    every, places = collections.Counter(), None
    for name in trace([*names, "flock"], folder / "calls", driver, "mend", store):
        every[name] += 1
        if name == "flock":
            places = []
        elif places is not None:
            places.append((name, every[name]))
    assert places
    return places


@pytest.mark.parametrize("what", DAMAGES)
def test_a_kill_while_damage_is_set_aside_does_no_harm(driver, plain_driver, in_memory, damaged_store, what):
    def work(name, n):
        store = damaged_store(what, f"{name}-{n}")
        kill(name, n, plain_driver, "mend", store)
        assert_mended(driver, store)

    # openat for reading has no effect: a kill there is a kill at the call before it.
    names = [name for name in CHANGES if name != "openat"]
    in_parallel(work, mending_places(plain_driver, in_memory, damaged_store(what, "counted"), names))


@pytest.mark.parametrize("what", DAMAGES)
def test_a_call_that_fails_while_damage_is_set_aside_does_no_harm(driver, in_memory, damaged_store, what):
    def work(name, n):
        for error in ("ENOSPC", "EIO"):
            store = damaged_store(what, f"{name}-{n}-{error}")
            done = fail(name, error, n, driver, "mend", store)
            assert done.returncode == 0, done.stdout + done.stderr
            assert_mended(driver, store)

    names = ["write", "fsync", "renameat", "symlinkat", "unlinkat", "mkdirat"]
    in_parallel(work, mending_places(driver, in_memory, damaged_store(what, "counted"), names))


def test_what_a_full_disk_must_take_it_takes(driver, in_memory):
    """A stop, a quarantine, the end of a probation: they are links, which need no block of their own."""
    disk = in_memory / "disk"
    disk.mkdir()
    small = SmallDisk(disk, size="256k")
    try:
        done = run(driver, "full", disk / "store")
        assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr
        assert done.stdout.count("refused: ") == 2 and not done.stderr, done.stdout + done.stderr
        # The reason of a quarantine is lost, the quarantine is not.
        checked = run(driver, "mend", disk / "store")
        assert checked.returncode == 0 and not checked.stdout, checked.stdout
    finally:
        small.unmount()
