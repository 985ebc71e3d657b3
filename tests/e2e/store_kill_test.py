# SPDX-License-Identifier: Apache-2.0
"""The store, killed at every system call that changes something, and with every such call failing.

The program of tests/unit/deploy/store_driver.c says what it was told is done ("begun N K": attempt K of generation
N; "finished N K good|bad"; "sent N K": the status message is in the outbox). After each kill the next open must know
all of it: current and last good complete, the interrupted attempt named, no status message lost.
"""
import collections
import re

import pytest

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


def read_acks(text):
    begun, finished, sent, good = [], [], set(), []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        attempt = (int(words[1]), int(words[2]))
        if words[0] == "begun":
            begun.append(attempt)
        elif words[0] == "finished" and len(words) == 4:
            finished.append(attempt)
            if words[3] == "good":
                good.append(attempt[0])
        elif words[0] == "sent" and len(words) == 5:
            sent.add(attempt)
    return begun, finished, sent, good


def verify(opened, acks):
    """Compares what the driver printed of the store that it opened with what the run before had been told."""
    begun, finished, sent, good = read_acks(acks)
    facts = dict(re.findall(r"^(current|last_good|open) (.*)$", opened, re.M))
    unreported = {(int(n), int(k)) for n, k in re.findall(r"^unreported (\d+) (\d+)$", opened, re.M)}
    succeeded = {(int(n), int(k)) for n, k in re.findall(r"^outcome (\d+) (\d+) good$", opened, re.M)}
    interrupted = tuple(int(word) for word in facts["open"].split())

    for attempt in finished:
        assert attempt in sent or attempt in unreported, f"the status of {attempt} is lost"
    in_flight = [attempt for attempt in begun if attempt not in finished]
    assert len(in_flight) <= 1
    for attempt in in_flight:
        assert attempt == interrupted or attempt in sent | unreported, f"{attempt} is forgotten"
    # An attempt that had ended, but not told so yet.
    good += [n for n, k in in_flight if (n, k) != interrupted and (n, k) in succeeded]
    expected = str(good[-1] if good else 0)
    assert facts["current"] == expected and facts["last_good"] == expected, (facts, expected)


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
