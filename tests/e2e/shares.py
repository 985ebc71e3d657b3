# SPDX-License-Identifier: Apache-2.0
"""Several runs of pytest, each in a sandbox of its own, share the tests: a run takes the next module that no other has taken.

A folder holds a file for each module that was taken. The longest go first, so that no run is left with one at the end.
"""
import itertools
import os
import pathlib


# Those that take more than a minute, the longest first.
LONGEST = ("rollback", "client_devices", "heal", "verify", "integrity", "retry", "overlap", "offline", "logs", "snapshot", "faults",
           "worker", "conflict", "wait_healthy", "compose_alone", "disk", "cloud_bridge", "stop", "monitor", "jobs", "requirements",
           "volume_copies_kill", "adopt", "activation", "life", "moved", "order", "discovery", "router_attack", "client_device", "memory",
           "metrics", "migrate", "hostile", "store_kill", "sweep_power_cut", "sweep_fault", "sweep_kill", "errors", "images", "plan",
           "certificates", "idle", "deploy_s3", "compose_file")


def longest_first(items):
    """The tests in the order in which they are taken; those of a module stay together, and as they were."""
    def place(item):
        name = pathlib.PurePath(item.nodeid.partition("::")[0]).name.removesuffix("_test.py")
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    return sorted(items, key=place)


def is_first_to_take(folder, module):
    """Of all runs that share `folder`."""
    try:
        os.close(os.open(pathlib.Path(folder) / module.replace("/", "."), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def taken(items, folder):
    """Those of `items` whose modules this run is the first to take, each module only when it is reached."""
    for module, tests in itertools.groupby(items, key=lambda item: item.nodeid.partition("::")[0]):
        if is_first_to_take(folder, module):
            yield from tests


def run(session, items):
    """As pytest's own loop. Each test needs to know the one after it, which keeps the fixtures that both use."""
    following = next(items, None)
    while following:
        item, following = following, next(items, None)
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
