# SPDX-License-Identifier: Apache-2.0
"""Each system call of lightermand and its worker fails once, and each allocation.

It may cost what was under way, and no more: a program goes on, or gives up with a sentence; out of memory, it aborts with one,
as a crash that the next start mends. Nothing is told to have succeeded that has not, nothing hangs, and once the fault is gone,
the next start converges.
"""
import errno
import re
import signal

import pytest

import sweep_berth
from sweep_berth import SCENARIOS, Lost, World
from sweep_points import CHANGES, PROGRAMS, Point, numbered

DISK = ["ENOSPC", "EIO"]
NONE_LEFT = ["EMFILE", "ENOMEM"]
# What the kernel may answer to each of them.
ERRORS = {
    "write": ["ENOSPC", "EIO", "EINTR"], "write:pipe": ["EINTR", "EPIPE"], "write:socket": ["EINTR", "ENOMEM", "EPIPE"],
    "write:memory": ["ENOMEM"], "read:pipe": ["EINTR"], "read:socket": ["EINTR", "ECONNRESET"], "read:event": ["EINTR"],
    "pwrite64": DISK, "writev": DISK, "writev:socket": ["EINTR", "ENOMEM"], "fsync": DISK, "fdatasync": DISK, "ftruncate": DISK,
    "renameat": [*DISK, "ENOMEM"], "symlinkat": DISK, "linkat": DISK, "mkdirat": DISK, "mkdir": DISK, "unlinkat": ["EIO"],
    "unlink": ["EIO"], "openat": ["EMFILE", "ENOMEM", "EIO", "ENOSPC", "EINTR"], "getdents64": ["EIO", "ENOMEM"],
    "read": ["EIO", "EINTR"], "fchmod": ["EIO"], "fchown": ["EIO"], "newfstatat": ["EIO", "ENOMEM"],
    "socket": NONE_LEFT, "socketpair": NONE_LEFT, "pipe2": NONE_LEFT, "eventfd2": NONE_LEFT, "memfd_create": NONE_LEFT,
    "epoll_create1": NONE_LEFT, "accept4": [*NONE_LEFT, "EINTR"], "connect": ["ENOMEM", "EINTR", "ECONNREFUSED"],
    "bind": ["ENOMEM"], "listen": ["ENOMEM"], "sendto": ["ENOMEM", "EINTR"], "sendmsg": ["ENOMEM", "EINTR"],
    "recvfrom": ["ENOMEM", "EINTR", "ECONNRESET"], "recvmsg": ["ENOMEM", "EINTR"], "epoll_ctl": ["ENOMEM"], "epoll_wait": ["EINTR"],
    "epoll_pwait": ["EINTR"], "ppoll": ["EINTR", "ENOMEM"], "poll": ["EINTR", "ENOMEM"], "clone": ["EAGAIN", "ENOMEM"],
    "clone3": ["EAGAIN", "ENOMEM"], "execve": ["ENOMEM", "EIO"], "flock": ["EINTR", "ENOMEM"],
}
SAMPLE, ALLOCATIONS, ALLOCATION_SAMPLE = 12, 400, 8
UPDATE, FAILING = SCENARIOS[1], SCENARIOS[2]
CRASHES = re.compile(r"signal (4|7|8|11) |stack smashing|corrupted|double free|free\(\)|Assertion")
OUT_OF_MEMORY = "out of memory: aborting; the next start recovers"


def count(berth, scenario, calls):
    out = berth.folder / "count"
    sweep_berth.run_to_end(berth, scenario, [berth.tools / "fault_tracer", "-o", out, "count",
                                            ",".join(call for call in calls if ":" not in call), "--"])
    return list(numbered(out.read_text().splitlines()))


def go(berth, scenario, wrap, call):
    """One run with a fault. Returns the World, and a word on how lightermand ended."""
    world = World(scenario.running)
    berth.restore(scenario.base)
    berth.forget_stderr()
    berth.begin(wrap)
    try:
        berth.wait_ready()
        scenario.act(berth, world)
        berth.check_truth(berth.wait_rest())
        berth.end()
        word = "went on"
    except Lost:
        word = judge_end(berth, berth.wait_end(), call)
    text = berth.stderr()
    assert not CRASHES.search(text), text
    # By libuv, in what lightermand has forked: its signals' pipe could not be made anew there.
    aborts = call == "pipe2" and "signal 6 " in text
    assert "signal 6 " not in text or OUT_OF_MEMORY in text or aborts, f"a worker aborts: {text}"
    berth.check_sanitizers()
    return world, word


def judge_end(berth, status, call):
    """lightermand has ended by itself."""
    text = berth.stderr()
    if status == 128 + signal.SIGABRT and call == "epoll_ctl":
        return "aborted in libuv"  # which has no other answer when the kernel will not watch a descriptor
    if status == 128 + signal.SIGABRT:
        assert OUT_OF_MEMORY in text, f"it aborts: {text}"
        return "aborted for lack of memory"
    assert 0 < status < 128, f"it ended with status {status}: {text}"
    assert text.strip(), "it gives up without a word"
    return "exited with a sentence"


def fail(berth, point):
    out = berth.folder / "hit"
    world, word = go(berth, point.scenario, [berth.tools / "fault_tracer", "-o", out, "-p", point.program, "fail", point.call,
                                             point.n, getattr(errno, point.error), "--"], point.call)
    if not out.read_text():
        return None
    secrets = berth.secrets_on_disk("state", "gg", "app")
    assert not secrets, f"the fault leaves a password in {secrets}"
    berth.check_restorable()
    sweep_berth.converge(berth, world, berth.owed())
    return word


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("scenario", [UPDATE, FAILING], ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_any_call_may_fail_once(careful_berths, sweep, scenario, program):
    trial = sweep(f"failing call of {program}, {scenario.name}")
    points = [Point(scenario, *place, error) for place in count(careful_berths[0], scenario, ERRORS) if place[0] == program
              for error in ERRORS.get(place[1], [])]
    assert len(points) > 200 and set(CHANGES) & {point.call for point in points}
    trial.run(fail, trial.sample(points, SAMPLE), careful_berths)
    trial.end(least=SAMPLE // 2)


def allocations(berth, scenario, program):
    """How many the longest-lived process of that program makes."""
    berth.more_environment = {"LD_PRELOAD": str(berth.tools / "failing_malloc.so"), "LD_FAILING_MALLOC": f"{program} 0"}
    berth.restore(scenario.base)
    berth.forget_stderr()
    berth.begin()
    berth.wait_ready()
    scenario.act(berth, World("A"))
    berth.signal(signal.SIGTERM)
    berth.wait_end()
    berth.more_environment = {}
    return max(int(n) for n in re.findall(r"failing_malloc: (\d+) allocations", berth.stderr()))


def fail_allocation(berth, point):
    berth.more_environment = {"LD_PRELOAD": str(berth.tools / "failing_malloc.so"),
                              "LD_FAILING_MALLOC": f"{point.program} {point.n}"}
    try:
        world, word = go(berth, point.scenario, [berth.tools / "fault_tracer", "-o", "/dev/null", "count", "listen", "--"],
                         point.call)
    finally:
        berth.more_environment = {}
    if "failing_malloc: this one fails" not in berth.stderr():
        return None
    berth.check_restorable()
    sweep_berth.converge(berth, world, berth.owed())
    return word


@pytest.mark.parametrize("program", PROGRAMS)
def test_any_allocation_may_fail_once(berths, sweep, program):
    trial = sweep(f"failing allocation of {program}, {UPDATE.name}")
    most = allocations(berths[0], UPDATE, program)
    assert most > 500
    trial.total = most
    chosen = trial.random.sample(range(1, most + 1), ALLOCATIONS if trial.exhaustive else ALLOCATION_SAMPLE)
    trial.run(fail_allocation, [Point(UPDATE, program, "malloc", n) for n in chosen], berths)
    trial.end(least=ALLOCATION_SAMPLE // 2)
