# SPDX-License-Identifier: Apache-2.0
"""The control socket is open to root and one group, and no member of it keeps the others out."""
import contextlib
import dataclasses
import os
import stat

import pytest

from servers.server import wait_until

FOLLOWERS = 12  # at most, of a group's members


@contextlib.contextmanager
def acting_as(user):
    os.setegid(user.uid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def group_device(device, stranger):
    """Open to the group of that name, which has one member."""
    device.host["controlGroup"] = stranger.name
    return device


@contextlib.contextmanager
def with_group(user, number):
    """As a supplementary group of that user."""
    before = os.getgroups()
    os.setgroups([number])
    try:
        with acting_as(user):
            yield
    finally:
        os.setgroups(before)


def ask_as(user, device, command, **more):
    with acting_as(user):
        return device.ask(command, **more)


def may_follow(user, device):
    with acting_as(user):
        followed = device.control("logs", lines=1, follow=True)
    with followed:
        return "line" in followed.next()


def test_members_that_follow_the_log_for_ever_keep_nobody_out(group_device, stranger):
    group_device.start()
    with contextlib.ExitStack() as followers:
        for _ in range(FOLLOWERS):
            with acting_as(stranger):
                followers.enter_context(group_device.control("logs", lines=1, follow=True))
        last = ask_as(stranger, group_device, "logs", lines=1, follow=True)
        assert last["exit"] == 1 and "too many clients follow the log" in last["message"]
        assert ask_as(stranger, group_device, "status")["exit"] == 0
        followers.enter_context(group_device.control("logs", lines=1, follow=True)).next()
        group_device.cli("stop")
    wait_until(lambda: may_follow(stranger, group_device), 30, "places of followers that went are not given again")


def test_who_follows_the_log_too_slowly_is_told_how_much_was_left_out(device):
    def log_a_line(group):
        nonlocal logged
        assert device.ask("deploy", group=group)["exit"] == 2
        logged += 1

    logged = read = 0
    device.start()
    with device.control("logs", timeout=30, lines=0, follow=True) as follower:
        while logged < 4000:
            log_a_line("[")
        while "warning" not in (line := follower.next()):
            read += 1
            assert "not valid JSON" in line["line"]
            if read % 100 == 0:
                log_a_line("{}")
        left_out, text = line["warning"].split(maxsplit=1)
        assert text.startswith("lines were skipped")
        # What came after that is all there.
        for _ in range(logged - read - int(left_out)):
            assert "Connectors" in follower.next()["line"]
        log_a_line("{}")
        assert "Connectors" in follower.next()["line"]


@pytest.mark.parametrize("mask", ["077", "027"])
def test_the_umask_of_whoever_starts_it_keeps_no_member_out(group_device, stranger, local_image, engine, mask):
    run = group_device.folder / "run"
    run.rmdir()
    group_device.start(wrap=("sh", "-c", f'umask {mask}; exec "$0" "$@"'))
    assert ask_as(stranger, group_device, "status")["exit"] == 0
    assert stat.S_IMODE(run.stat().st_mode) == 0o755
    # Workers pass as the application's user.
    group_device.deploy(group_device.local_group(["web"], local_image))


READING = ("history", "status", "logs", "crashes", "metrics")
ACTING = ("deploy", "rollback", "plan", "start", "stop")


@pytest.mark.parametrize("also", [None, "controlGroup"])
def test_members_of_the_reading_group_ask_and_do_nothing(device, user, stranger, also, local_image):
    """By their primary group or by another; strangers get a sentence, whatever the socket file lets in."""
    device.host["controlReadGroup"] = stranger.name
    if also:
        device.host[also] = user.name
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    mode = stat.S_IMODE((device.folder / "run/control.sock").stat().st_mode)
    assert mode == (0o666 if also else 0o660)
    group = device.local_group(["other"], local_image).read_text()
    for command in READING:
        assert ask_as(stranger, device, command)["exit"] == 0
    for command in ACTING:
        last = ask_as(stranger, device, command, group=group)
        assert last["exit"] == 1 and f"'{command}' is for root and members of controlGroup" in last["message"], last
    outsider = dataclasses.replace(stranger, uid=64999)
    with with_group(outsider, stranger.uid):
        assert device.ask("status")["exit"] == 0
        assert device.ask("stop")["exit"] == 1
    if also:
        last = ask_as(outsider, device, "status")
        assert last["exit"] == 3 and "controlReadGroup" in last["message"]
        assert ask_as(user, device, "stop")["exit"] == 0
    else:
        with pytest.raises(PermissionError):
            ask_as(outsider, device, "status")
    assert device.status["deployment"]["generation"] == 1
    assert device.status["state"] == ("stopped" if also else "running")
