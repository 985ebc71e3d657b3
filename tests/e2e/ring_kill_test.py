# SPDX-License-Identifier: Apache-2.0
"""The ring of crashes, killed at every system call that changes it, and with such calls failing.

The program of tests/unit/monitor/ring_driver.c adds numbered records and says which it has added. Afterwards the last 50
of them must be there, and perhaps the one that was under way.
"""
import collections
import concurrent.futures
import os
import pathlib
import shutil
import subprocess

import pytest

KEPT, FIRST, LAST = 50, 45, 56
CHANGES = ["openat", "write", "fchmod", "fsync", "renameat", "unlinkat"]


@pytest.fixture
def driver(request):
    return pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/monitor/ring_driver"


def run(*words):
    # The leak check of a sanitized build cannot work in a process that strace follows, and says so by failing.
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})


@pytest.fixture
def prepare(driver, tmp_path):
    """prepare(folder): a ring there, as the driver made it once."""
    made = tmp_path / "made"
    done = run(driver, made, 1, FIRST - 1)
    assert done.returncode == 0, done.stderr
    return lambda folder: shutil.copytree(made, folder)


def inject(driver, folder, what, name, n):
    return run("strace", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:{what}:when={n}", driver, folder,
               FIRST, LAST)


def every_place(driver, prepare, folder):
    """(call, number) of each call of one run, from the ring's opening on."""
    log = folder / "calls"
    prepare(folder / "counted")
    done = run("strace", "-o", log, "-e", "trace=mkdir," + ",".join(CHANGES), driver, folder / "counted", FIRST, LAST)
    assert done.returncode == 0, done.stderr
    seen, places, opened = collections.Counter(), [], False
    for line in log.read_text().splitlines():
        name = line.split("(")[0]
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


def in_parallel(work, places):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda place: work(*place), places):
            pass


def test_any_kill_leaves_the_last_crashes(driver, prepare, tmp_path):
    places = every_place(driver, prepare, tmp_path)
    assert len(places) > 80
    killed = []

    def work(name, n):
        folder = tmp_path / f"{name}-{n}"
        prepare(folder)
        done = inject(driver, folder, "signal=KILL", name, n)
        if done.returncode == 0:
            return  # calls differ a little from run to run
        assert done.returncode in (-9, 137), done.stderr
        killed.append((name, n))
        verify(driver, folder, done)

    in_parallel(work, places)
    assert len(killed) > 0.9 * len(places)


@pytest.mark.parametrize("name,error", [("write", "ENOSPC"), ("fsync", "EIO"), ("renameat", "EIO"), ("openat", "EMFILE")])
def test_a_disk_that_refuses_costs_only_what_it_refused(driver, prepare, tmp_path, name, error):
    def work(_, n):
        folder = tmp_path / f"{name}-{n}"
        prepare(folder)
        done = inject(driver, folder, f"error={error}", name, n)
        assert done.returncode in (0, 1)
        if done.returncode == 1:
            assert "crash" in done.stderr or str(folder) in done.stderr, done.stderr
        verify(driver, folder, done)

    in_parallel(work, [place for place in every_place(driver, prepare, tmp_path) if place[0] == name])
