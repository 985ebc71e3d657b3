# SPDX-License-Identifier: Apache-2.0
"""The shadows, killed at every system call that changes the disk, and with every such call failing.

The program of tests/unit/broker/shadow_driver.c says what was published. After each kill all updates that were accepted
are there, no version has gone back, and what is there is whole: the value of each update is its version.
"""
import collections
import shutil

import pytest

from strace import drivers, fail, in_memory, in_parallel, kill, run, trace

# Of SQLite and of our own.
CHANGES = ["openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "rename", "fchmod", "fallocate"]
FAULTS = [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fdatasync", "EIO"), ("fsync", "EIO"), ("ftruncate", "EIO"),
          ("openat", "ENOSPC"), ("openat", "EIO"), ("unlink", "EIO")]

driver, plain_driver = drivers("tests/unit/broker/shadow_driver")


# Commits are waited for, or made on another thread, as in the broker.
MODES = ["run", "beside"]


def calls(driver, folder):
    """How many calls of each kind a first run makes."""
    return collections.Counter(trace(CHANGES, folder / "calls", driver, "run", folder / "counted"))


def promised(output):
    """The latest version that each thing was told."""
    latest = {}
    for line in output.splitlines():
        words = line.split()
        if words[:1] in (["accepted"], ["deleted"]) and len(words) == 3:
            latest[words[1]] = (int(words[2]), words[0] == "deleted")
    return latest


def verify(driver, database, output):
    """What the next start has is at least what was promised."""
    checked = run(driver, "check", database)
    assert checked.returncode == 0 and checked.stdout.endswith("done\n"), checked.stdout + checked.stderr
    assert "unreadable" not in checked.stdout and "lost" not in checked.stderr, checked.stdout + checked.stderr
    found = {name: (int(version), int(value)) for name, version, value in
             (line.split() for line in checked.stdout.splitlines()[:-1])}
    for name, (version, value) in found.items():
        least, deleted = promised(output).get(name, (0, True))
        assert version >= least, f"'{name}' was at {least} and is at {version}"
        assert value in (version, 0), f"'{name}' {version} has the value of {value}"
        # Every fourth time B is deleted in the same turn, of which it may not have been told yet.
        may_be_deleted = deleted or version > least or (name == "B" and version % 4 == 0)
        assert value or may_be_deleted, f"'{name}' {version} is lost"
    return found


def go_on(driver, database):
    """Another run has no trouble."""
    again = run(driver, "run", database)
    assert again.returncode == 0 and again.stdout.endswith("done\n"), again.stdout + again.stderr
    assert "rejected" not in again.stdout and not again.stderr, again.stdout + again.stderr
    verify(driver, database, again.stdout)


def test_nothing_is_published_before_it_is_on_disk(plain_driver, in_memory):
    last, published = None, 0
    for name in trace(["pwrite64", "fdatasync", "write"], in_memory / "calls", plain_driver, "run", in_memory / "shadows.db"):
        if name == "write":
            assert last == "fdatasync"
            published += 1
        else:
            last = name
    assert published > 30


def test_a_kill_at_any_call_loses_nothing_that_was_accepted(plain_driver, in_memory):
    def killed_there(name, n):
        folder = in_memory / f"{name}-{n}"
        folder.mkdir()
        killed = kill(name, n, plain_driver, "run", folder / "shadows.db")
        verify(plain_driver, folder / "shadows.db", killed.stdout)
        go_on(plain_driver, folder / "shadows.db")
        shutil.rmtree(folder)

    counts = calls(plain_driver, in_memory)
    assert counts["fdatasync"] > 10 and counts["pwrite64"] > 40, counts
    places = [(name, n) for name, count in counts.items() for n in range(1, count + 1)]
    in_parallel(killed_there, places)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "error"), FAULTS)
def test_a_call_that_fails_loses_nothing_that_was_accepted(driver, plain_driver, in_memory, name, error, mode):
    def failed_there(name, n):
        folder = in_memory / f"{name}-{n}"
        folder.mkdir()
        done = fail(name, error, n, driver, mode, folder / "shadows.db")
        assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr
        verify(plain_driver, folder / "shadows.db", done.stdout)
        go_on(plain_driver, folder / "shadows.db")
        shutil.rmtree(folder)

    counts = calls(plain_driver, in_memory)
    places = [(name, n) for n in range(1, counts[name] + 1)]
    in_parallel(failed_there, places)


@pytest.mark.parametrize("mode", MODES)
def test_a_disk_that_stays_full_rejects_and_goes_on(driver, plain_driver, in_memory, mode):
    """From the n-th write on all fail."""
    counts = calls(plain_driver, in_memory)
    for n in range(2, counts["pwrite64"] - 30, 7):  # the last ones are of the end
        folder = in_memory / f"full-{n}"
        folder.mkdir()
        done = fail("pwrite64", "ENOSPC", f"{n}+", driver, mode, folder / "shadows.db")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "rejected A 500" in done.stdout and done.stdout.endswith("done\n"), done.stdout + done.stderr
        assert 1 <= done.stderr.count("requests for shadows are rejected") + done.stdout.count("unusable"), done.stderr
        verify(plain_driver, folder / "shadows.db", done.stdout)
        go_on(plain_driver, folder / "shadows.db")
        shutil.rmtree(folder)
