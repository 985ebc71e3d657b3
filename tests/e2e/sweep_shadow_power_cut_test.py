# SPDX-License-Identifier: Apache-2.0
"""The power is cut at each change that the shadows' database makes on the disk: what was accepted by then is there afterwards.

The program is that of shadow_kill_test.py, and so is what must hold.
"""
import random
import socket
import subprocess

import pytest

import shadow_kill_test
import sweep_disk
from strace import drivers, in_memory
from sweep_disk import Record, Tree, fingerprint

driver, plain_driver = drivers("tests/unit/broker/shadow_driver")
SAMPLE = 60


def record(driver, tools, folder, mode, drop=lambda operation: False):
    """A run of the driver, whose words are sent over a socket so that they are among what is recorded."""
    data = folder / "data"
    data.mkdir()
    before, (ours, theirs) = Tree.of(data), socket.socketpair()
    out = folder / "record"
    done = subprocess.run([tools / "fault_tracer", "-o", out, "record", data, "--", driver, mode, data / "shadows.db"],
                          stdout=theirs, check=False, timeout=120)
    ours.close()
    theirs.close()
    assert done.returncode == 0
    lines = out.read_text().splitlines()
    found = Record(lines, before, drop)
    assert found.tree(len(found.operations), {}) == Tree.of(data).flat()
    return found


def states(found, seed, samples):
    """(number of operations, fates, what was told by then) of each state of the disk that a cut may leave, each once."""
    told, seen, said = [], set(), ""
    told.append(said)
    for operation in found.operations:
        if operation.kind == "say":
            said += operation.data.decode()
        told.append(said)
    for n, fates in found.states(random.Random(seed), samples):
        key = fingerprint(found.tree(n, fates)), len(told[n])
        if key not in seen:
            seen.add(key)
            yield n, fates, told[n]


def look(driver, folder, found, state):
    n, fates, told = state
    data = folder / "data"
    subprocess.run(["rm", "-rf", data], check=True)
    sweep_disk.lay(found.tree(n, fates), {})
    shadow_kill_test.verify(driver, data / "shadows.db", told)


@pytest.mark.parametrize("mode", shadow_kill_test.MODES)
def test_a_power_cut_at_any_change_loses_nothing_that_was_accepted(driver, plain_driver, in_memory, tools, sweep, mode):
    del driver
    trial = sweep(f"power cut, shadows ({mode})")
    found = record(plain_driver, tools, in_memory, mode)
    assert sum(operation.kind == "sync" for operation in found.operations) > 10
    chosen = trial.sample(states(found, trial.seed, 4), SAMPLE)
    trial.run_each(lambda folder, state: look(plain_driver, folder, found, state) or "whole", [(in_memory, chosen)])
    trial.end(least=SAMPLE // 2)


def test_a_sync_that_the_database_leaves_out_is_found(plain_driver, in_memory, tools, sweep):
    trial = sweep("mutant: the shadows' log is not synced")
    found = record(plain_driver, tools, in_memory, "run", lambda operation: operation.words[-1].endswith("-wal"))
    assert found.dropped
    for tried, state in enumerate(trial.sample(states(found, trial.seed, 1), SAMPLE), 1):
        try:
            look(plain_driver, in_memory, found, state)
        except AssertionError as error:
            trial.tell(f"{trial.name}: found by state {tried}: {str(error).splitlines()[0][:160]}")
            return
    raise AssertionError("no state shows it")
