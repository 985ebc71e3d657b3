# SPDX-License-Identifier: Apache-2.0
"""The engine's disk is small: what a deployment needs is known before it pulls, images that nobody needs any more make
space for it, and it is refused before anything has changed."""
import base64
import os
import re

import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.server import wait_until

MB = 1 << 20


class Harbour:
    """A device that deploys one release of an application after the other, each of an image of its own."""

    def __init__(self, device, engine, registry, disk):
        self.device, self.engine, self.registry, self.disk = device, engine, registry, disk
        self.secret = device.put_secret("harbour", registry.secret())

    def image(self, release):
        return self.registry.image(f"disk/web:{release}")

    def publish(self, release, megabytes=6):
        """Pushes its image, which is about that large compressed and a third more unpacked."""
        page = base64.b64encode(os.urandom(megabytes * MB)).decode()
        self.engine.publish_image(self.registry, f"disk/web:{release}", page)

    def group(self, release, policy=None, with_login=True, **more):
        key = f"{release}.yml"
        self.device.put_object("ships", key, compose_file(None, ["web"], self.image(release)))
        secrets = [self.secret] if with_login else []
        return self.device.group(key=key, name=f"{release}.json", secrets=secrets, policy=policy, **more)

    def deploy(self, release, status=0, **more):
        return self.device.deploy(self.group(release, **more), status=status)

    def has(self, release):
        return self.engine.has_image(self.image(release))


@pytest.fixture
def harbour(engine_disk, engine, device_with, compose2, registry, broker):
    device = device_with(compose2)
    device.use_broker(broker)
    device.start()
    return Harbour(device, engine, registry, engine_disk)


def numbers(text, words):
    found = re.search(words, text)
    assert found, text
    return [float(number) for number in found.groups()]


def test_what_does_not_fit_is_refused_before_anything_is_pulled(harbour, engine, status_messages):
    for release in ("one", "two"):
        harbour.publish(release)
    harbour.deploy("one")
    assert status_messages.next_json() == success(key="one.yml")
    before = engine.containers()["web"].id
    harbour.disk.fill(leave=3 * MB)
    harbour.deploy("two", status=1)
    message = status_messages.next_json()
    assert_failure(message, "InternalError", "check disk space and images: ", "free disk space there")
    left, least = numbers(message["error_message"], r"has ([\d.]+) MB left; .* need at least ([\d.]+) MB there")
    assert left <= 3 < 6 < least < 9
    assert engine.containers()["web"].id == before
    assert not harbour.has("two")
    disk = harbour.device.cli_json("plan", harbour.group("two"))["disk"]
    assert disk["enough"] is False and disk["removed"] == []


def test_what_was_refused_goes_on_by_itself_when_there_is_space(harbour, engine, status_messages):
    """Over a restart, too. Meanwhile what ran before runs."""
    device = harbour.device
    for release in ("one", "two"):
        harbour.publish(release)
    harbour.deploy("one")
    assert status_messages.next_json() == success(key="one.yml")
    before = engine.containers()["web"].id
    harbour.disk.fill(leave=3 * MB)
    done = harbour.deploy("two", status=1)
    assert "it continues by itself once" in done.stdout + done.stderr
    assert_failure(status_messages.next_json(), "InternalError", "it continues by itself once ")
    waits = device.wait_status(lambda status: status["state"] == "waiting")
    assert waits["wanted"] == {"state": "up", "generation": 2}
    assert waits["actual"] == {"state": "whole", "generation": 1}
    assert engine.containers()["web"].id == before
    device.crash()
    device.start()
    device.wait_status(lambda status: status["state"] == "waiting" and status["actual"]["generation"] == 1)
    assert device.cli_json("plan", harbour.group("two"))["disk"]["enough"] is False
    harbour.disk.free()
    device.wait_status(lambda status: status["actual"] == {"state": "whole", "generation": 2}, 90)
    wait_until(lambda: status_messages.next_json() == success(key="two.yml"), 60, "it does not report success")
    assert harbour.has("two")


def test_a_later_command_replaces_what_waits_for_space(harbour, engine, status_messages):
    device = harbour.device
    for release, size in (("one", 1), ("two", 10), ("three", 1)):
        harbour.publish(release, size)
    harbour.deploy("one")
    assert status_messages.next_json() == success(key="one.yml")
    harbour.disk.fill(leave=8 * MB)
    harbour.deploy("two", status=1)
    assert_failure(status_messages.next_json(), "InternalError", "it continues by itself once ")
    harbour.deploy("three")
    assert status_messages.next_json() == success(key="three.yml")
    harbour.deploy("two", status=1)
    assert_failure(status_messages.next_json(), "InternalError", "it continues by itself once ")
    device.cli("stop")
    assert not engine.containers()
    harbour.disk.free()
    status = device.wait_status(lambda status: status["state"] == "stopped")
    assert status["wanted"]["state"] == "down" and status["retry_ms"] is None


def test_a_reserve_is_kept_by_the_estimate(harbour, status_messages):
    harbour.publish("one")
    harbour.disk.fill(leave=40 * MB)  # 6 MB, compressed, may become 18 MB
    harbour.deploy("one", status=1, policy={"MinFreeDiskMB": "20"})
    message = status_messages.next_json()
    assert_failure(message, "InternalError")
    left, most, reserve = numbers(message["error_message"], r"has ([\d.]+) MB left; .* need about ([\d.]+) MB there, and "
                                  r"Policy.MinFreeDiskMB reserves (\d+) MB")
    assert left + 1 > 40 and most > 20 and reserve == 20
    harbour.deploy("one", policy={"MinFreeDiskMB": "5"})


def test_images_of_generations_that_are_gone_make_space(harbour, engine):
    """Those that the device had before, that others use, or that are kept are left alone."""
    keep = {"KeepGenerations": "2"}
    for release in ("named", "used", "gone", "kept", "next"):
        harbour.publish(release, 4)
    harbour.publish("before", 1)
    for line in engine.docker.api.pull(harbour.image("before"), auth_config=harbour.registry.auth(), stream=True):
        assert b"error" not in line, line
    for release in ("before", "named", "used", "gone", "kept"):
        harbour.deploy(release, policy=keep)
    engine.docker.images.get(harbour.image("named")).tag("stranger/mine", "1")
    other = engine.docker.containers.create(harbour.image("used"), "sleep 1")
    harbour.deploy("kept", policy={**keep, "StableSeconds": "9"})
    harbour.disk.fill(leave=9 * MB)
    plan = harbour.device.cli_json("plan", harbour.group("next", policy=keep))
    assert [image["image"] for image in plan["disk"]["removed"]] == [harbour.image("gone")], plan["disk"]
    assert plan["disk"]["enough"] is None  # the estimate is larger than what is there, the least is not
    assert "would remove" in harbour.device.cli("plan", harbour.group("next", policy=keep)).stdout
    assert harbour.has("gone")
    harbour.deploy("next", policy=keep)
    assert [release for release in ("before", "named", "used", "gone", "kept", "next") if not harbour.has(release)] == ["gone"]
    assert f"{harbour.image('gone')}, which no deployment that is kept needs" in harbour.device.log
    assert re.search(r"freed [\d.]+ MB in '\S+' by removing images", harbour.device.log)
    assert set(engine.containers()) == {"web"}
    other.remove()


def test_a_registry_that_does_not_answer_leaves_the_size_unknown(harbour, engine):
    harbour.publish("one", 1)
    with harbour.registry.frozen(), harbour.device.begin(harbour.group("one", with_login=False)) as deployment:
        deployment.until("pull")
        harbour.device.wait_log("the pull will show")


@pytest.mark.parametrize("policy", ["true", "false"])
def test_prune_images_removes_them_after_a_deployment(harbour, engine, policy):
    device = harbour.device
    for release in ("one", "two", "three"):
        harbour.publish(release, 1)
        harbour.deploy(release, policy={"KeepGenerations": "2", "PruneImages": policy})
    if policy == "true":
        device.wait_log(f"{harbour.image('one')}, which no deployment that is kept needs")
        device.wait_log(" by removing images")
        assert re.search(r"freed [\d.]+ MB in '\S+' by removing images", device.log)
    # Over a start, and behind a task that found it at work.
    device.cli("plan", harbour.group("three"))
    assert device.stop() == 0
    device.start()
    device.wait_status(lambda status: status["actual"] == {"state": "whole", "generation": 3} and status["job"] is None)
    assert [harbour.has(release) for release in ("one", "two", "three")] == [policy == "false", True, True]
    assert set(engine.containers()) == {"web"}
