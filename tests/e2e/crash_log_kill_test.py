# SPDX-License-Identifier: Apache-2.0
"""The crash log, killed at every system call that changes it, and with such calls failing.

The program of tests/unit/events/crash_log_driver.c adds numbered records and says which it has added. Afterwards the last 50
of them must be there, and perhaps the one that was under way.
"""
import collections
import shutil

import pytest

from strace import drivers, fail, in_memory, in_parallel, kill, run, trace

KEPT, FIRST, LAST = 50, 45, 56
CHANGES = ["openat", "write", "fchmod", "fsync", "renameat", "unlinkat"]

driver, plain_driver = drivers("tests/unit/events/crash_log_driver")


@pytest.fixture
def prepare(driver, in_memory):
    """prepare(folder): a crash log there, as the driver made it once."""
    made = in_memory / "made"
    done = run(driver, made, 1, FIRST - 1)
    assert done.returncode == 0, done.stderr
    return lambda folder: shutil.copytree(made, folder)


def every_place(driver, prepare, folder):
    """(call, number) of each call of one run, from the opening of the log on."""
    prepare(folder / "counted")
    seen, places, opened = collections.Counter(), [], False
    for name in trace(["mkdir", *CHANGES], folder / "calls", driver, folder / "counted", FIRST, LAST):
        opened = opened or name == "mkdir"
        if name in CHANGES:
            seen[name] += 1
            if opened:
                places.append((name, seen[name]))
    return places


def verify(driver, folder, done):
    added = [int(line.split()[1]) for line in done.stdout.splitlines()]
    last = added[-1] if added else FIRST - 1
    found = run(driver, folder)
    assert found.returncode == 0, found.stderr
    numbers = [int(line.split()[1]) for line in found.stdout.splitlines()]
    newest = numbers[0]
    assert newest in (last, last + 1), (newest, last)
    assert numbers == list(range(newest, max(0, newest - KEPT), -1))
    # The start has removed what was half-written, and what was too much.
    assert len(list(folder.iterdir())) == len(numbers)
    more = run(driver, folder, newest + 1, newest + 1)
    assert more.returncode == 0, more.stderr


def test_any_kill_leaves_the_last_crashes(driver, plain_driver, prepare, in_memory):
    places = every_place(plain_driver, prepare, in_memory)
    assert len(places) > 80
    killed = []

    def work(name, n):
        folder = in_memory / f"{name}-{n}"
        prepare(folder)
        done = kill(name, n, plain_driver, folder, FIRST, LAST)
        if done.returncode:
            killed.append((name, n))
            verify(driver, folder, done)

    in_parallel(work, places)
    assert len(killed) > 0.9 * len(places)


@pytest.mark.parametrize("name,error", [("write", "ENOSPC"), ("fsync", "EIO"), ("renameat", "EIO"), ("openat", "EMFILE")])
def test_a_disk_that_refuses_costs_only_what_it_refused(driver, prepare, in_memory, name, error):
    def work(_, n):
        folder = in_memory / f"{name}-{n}"
        prepare(folder)
        done = fail(name, error, n, driver, folder, FIRST, LAST)
        assert done.returncode in (0, 1)
        if done.returncode == 1:
            assert "crash" in done.stderr or str(folder) in done.stderr, done.stderr
        verify(driver, folder, done)

    in_parallel(work, [place for place in every_place(driver, prepare, in_memory) if place[0] == name])
