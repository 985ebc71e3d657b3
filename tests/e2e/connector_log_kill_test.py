# SPDX-License-Identifier: Apache-2.0
"""The connector log, killed at every system call of its rotations, and with such calls failing.

The program of tests/unit/daemon/connector_log_driver.c writes numbered lines under a bound of 1 KB, so that nearly
every second one rotates, and says which it has handed over. All of them must be there, once and in order, but for the
oldest, which the bound pushes out.
"""
import collections
import pathlib
import re

import pytest

from strace import drivers, fail, in_memory, in_parallel, kill, run, trace

SPACE = 1024
FIRST, LAST, MORE = 1, 40, 20
LOG = "ggc/var/log/user/us-east-1/aws/DockerApplicationDeployment.log"
CHANGES = ["write", "openat", "renameat", "unlinkat", "mkdir"]

driver, plain_driver = drivers("tests/unit/daemon/connector_log_driver")


def every_place(driver, folder, names):
    """(call, number) of each call of one run, from the log's opening on."""
    seen, places = collections.Counter(), []
    for name in trace(CHANGES, folder / "calls", driver, folder / "counted", 1, FIRST, LAST):
        seen[name] += 1
        if seen["mkdir"] and name in names:
            places.append((name, seen[name]))
    return places


def size(n):
    return 40 + n * 37 % 300


def kept(last):
    """The lines that a log has, which was never disturbed, after line `last`."""
    older, current = collections.deque(), []
    for n in range(FIRST, last + 1):
        if current and sum(map(size, current)) + size(n) > SPACE // 4:
            older.append(current)
            current = []
            if len(older) > 3:
                older.popleft()
        while sum(map(size, sum(older, current))) + size(n) > SPACE:
            older.popleft()
        current.append(n)
    return set(sum(older, [])) | set(current)


def handed(done):
    numbers = re.findall(r"^handed (\d+)$", done.stdout, re.M)
    return int(numbers[-1]) if numbers else FIRST - 1


def read_lines(root):
    """The lines of all parts, the oldest first. All are whole, and together they are under the bound."""
    folder = (root / LOG).parent
    if not folder.exists():
        return []
    assert sum(path.stat().st_size for path in folder.iterdir()) <= SPACE
    text = "".join((folder / (pathlib.Path(LOG).name + suffix)).read_text() for suffix in (".3", ".2", ".1", "")
                   if (folder / (pathlib.Path(LOG).name + suffix)).exists())
    assert text == "" or text.endswith("\n")
    return text.splitlines()


def read_numbers(root):
    numbers = []
    for line in read_lines(root):
        match = re.fullmatch(r"line (\d+) size (\d+) x+", line)
        assert match and len(line) + 1 == int(match[2]), line
        numbers.append(int(match[1]))
    return numbers


def verify(root, last):
    """Returns the last line that is there: `last`, which was handed over, or the one that was under way."""
    numbers = read_numbers(root)
    end = numbers[-1] if numbers else FIRST - 1
    assert numbers == list(range(end - len(numbers) + 1, end + 1)), "a line is lost, there twice, or in disorder"
    assert end in (last, last + 1)
    assert kept(last + 1) - {last + 1} <= set(numbers), "the bound did not demand that"
    return end


def converge(driver, root, end):
    done = run(driver, root, 1, end + 1, LAST + MORE)
    assert done.returncode == 0 and done.stdout.endswith(f"done {LAST + MORE}\n"), done.stderr
    numbers = read_numbers(root)
    assert numbers == list(range(numbers[0], LAST + MORE + 1))
    assert kept(LAST + MORE) <= set(numbers)


def test_any_kill_leaves_every_line_once(driver, plain_driver, in_memory):
    places = every_place(plain_driver, in_memory, CHANGES)
    assert len(places) > 120
    killed = []

    def work(name, n):
        root = in_memory / f"{name}-{n}"
        done = kill(name, n, plain_driver, root, 1, FIRST, LAST)
        if done.returncode:
            killed.append((name, n))
            converge(driver, root, verify(root, handed(done)))

    in_parallel(work, places)
    assert len(killed) > 0.9 * len(places)


def test_a_second_kill_in_the_same_rotation_does_no_harm(driver, plain_driver, in_memory):
    places = every_place(plain_driver, in_memory, ["renameat"])
    _, before = every_place(plain_driver, in_memory, ["openat"])[0]

    def work(name, n):
        for again, m in (("renameat", 1), ("renameat", 2), ("renameat", 3), ("openat", before + 2), ("write", 1)):
            root = in_memory / f"{name}-{n}-{again}-{m}"
            end = verify(root, handed(kill(name, n, plain_driver, root, 1, FIRST, LAST)))
            done = kill(again, m, plain_driver, root, 1, end + 1, LAST)
            end = verify(root, max(end, handed(done)))
            converge(driver, root, end)

    in_parallel(work, places[20:40])


@pytest.mark.parametrize("name,error", [("write", "ENOSPC"), ("write", "EIO"), ("openat", "ENOSPC"),
                                        ("openat", "EMFILE"), ("renameat", "ENOSPC"), ("renameat", "EIO"),
                                        ("unlinkat", "EIO")])
def test_a_line_that_a_fault_costs_is_told(driver, in_memory, name, error):
    places = [place for place in every_place(driver, in_memory, CHANGES) if place[0] == name]
    told = []

    def work(_, n):
        root = in_memory / f"{name}-{n}"
        done = fail(name, error, n, driver, root, 1, FIRST, LAST)
        if done.returncode != 0:
            assert not done.stdout and re.search("No space left|Too many open files", done.stderr), done.stderr
            return  # the log could not be opened, and said so
        numbers, lost = [], 0
        for line in read_lines(root):
            match = re.fullmatch(r"\[.*Z\]\[WARN\]-(\d+) lines? of this log (?:was|were) lost: (.*)", line)
            if match:
                lost = int(match[1])
                told.append(match[2])
                continue
            number = int(re.fullmatch(r"line (\d+) size \d+ x+", line)[1])
            assert not numbers or number == numbers[-1] + 1 + lost, (numbers, number, lost)
            numbers.append(number)
            lost = 0
        # A fault in the last lines has nothing behind it that could tell.
        assert numbers[-1] in (LAST, LAST - 1)

    in_parallel(work, places)
    if name in ("write", "openat"):
        assert told
    assert set(told) <= {"disk full", "Input/output error", "Too many open files"}


def test_a_disk_that_stays_full_is_told_with_the_number_of_lines(driver, in_memory):
    done = fail("write", "ENOSPC", "10..19", driver, in_memory, 128, FIRST, 30)
    assert done.returncode == 0 and handed(done) == 30
    lines = (in_memory / LOG).read_text().splitlines()
    assert [int(line.split()[1]) for line in lines if line.startswith("line")] == [*range(1, 10), *range(20, 31)]
    assert [line.split("-")[-1] for line in lines if not line.startswith("line")] == [
        "10 lines of this log were lost: disk full"]
