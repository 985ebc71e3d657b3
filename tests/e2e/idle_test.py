# SPDX-License-Identifier: Apache-2.0
"""While nothing happens lightermand does nothing: what wakes it is the keep-alive of the MQTT connection alone."""
import pathlib
import re
import subprocess
import time

from documents import success
from servers.server import wait_until

IDLE_S, KEEP_ALIVE_S = 45, 30
# A keep-alive: a turn of the loop for the timer, which may be a little early, and one for the broker's answer.
TURNS = 3
KEEP_ALIVES = 2


def switches(pid):
    """How often its threads have gone to sleep."""
    return sum(int(line.split()[1]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/status")
               for line in path.read_text(encoding="ascii").splitlines() if line.startswith("voluntary_ctxt_switches"))


def rests(pid):
    before = switches(pid)
    time.sleep(2)
    return switches(pid) == before


def test_sleeps_between_ticks_and_events(device, broker, local_image, status_messages, folder):
    device.use_broker(broker)
    device.host["mqtt"]["keepAliveSeconds"] = KEEP_ALIVE_S
    device.environment["ASAN_OPTIONS"] = "detect_leaks=0"  # the leak check cannot work in a process that strace follows
    device.start()
    device.deploy(device.local_group(["web"], local_image, DockerContainerStatusLogFrequency="9999"))
    assert status_messages.next_json() == success()
    pid, log = device.process.pid, folder / "calls"
    wait_until(lambda: rests(pid), 60, "lightermand does not come to rest")
    done = subprocess.run(["timeout", "-s", "INT", str(IDLE_S), "strace", "-f", "-o", str(log), "-p", str(pid)],
                          check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert device.process.poll() is None and "attached" in done.stderr, done.stderr
    calls = [line.split(None, 1)[1] for line in log.read_text().splitlines()]
    assert calls, "strace has seen nothing, not even the sleep"
    turns = [call for call in calls if call.startswith("epoll_")]
    assert 1 <= len(turns) <= 1 + KEEP_ALIVES * TURNS, calls
    # The rest is the ping of two bytes, the broker's answer, how libmosquitto wakes itself, and how much memory it may take
    # for what it receives.
    rest = [call for call in calls if call not in turns]
    bound = re.compile(r'openat\(.*"/proc/self/statm"|(fstat|newfstatat|close|prlimit64)\(')
    assert all(re.match(r"(pselect6|read|write)\(", call) or bound.match(call) for call in rest), rest
    assert sum(call.startswith("write(") and r'"\300\0"' in call for call in rest) <= KEEP_ALIVES, rest
