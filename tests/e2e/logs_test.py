# SPDX-License-Identifier: Apache-2.0
"""The connector log, where a group's loggers want it: in a file, and in CloudWatch Logs."""
import datetime
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from device import logger, workers
from servers.engine import compose_file
from servers.server import wait_until

GROUP = "/aws/greengrass/Lambda/eu-west-1/aws/DockerApplicationDeployment"
BOTH = (logger("FileSystem", space=4096), logger("AWSCloudWatch"))
# Said about shipping, and so only in the file.
OWN = re.compile(r"\]-(log_shipper|ship_logs)\.c:\d+,(?!\d+ lines? w)")


def shipped(cloudwatch_logs):
    """All messages, in the order of the streams' names, which is that of the days."""
    streams = cloudwatch_logs.groups.get(GROUP, {})
    return [event["message"] for name in sorted(streams) for event in list(streams[name])]


def to_be_shipped(device, first):
    """The lines of the file from that one on."""
    lines = [line for line in device.log.splitlines() if not OWN.search(line)]
    return lines[lines.index(first):] if first in lines else []


def wait_shipped(device, cloudwatch_logs, last="", timeout=90):
    """Until what has arrived is, line for line, what the file has, up to one that has `last`."""
    def same():
        nonlocal found
        found = shipped(cloudwatch_logs)
        return found and any(last in line for line in found) and to_be_shipped(device, found[0])[:len(found)] == found

    found = []
    wait_until(same, timeout, lambda: "shipped:\n" + "\n".join(found) + f"\n\nlogged:\n{device.log}\n{device.stderr}")
    return found


@pytest.fixture
def shipping_device(device, cloudwatch_logs, engine):
    device.use_cloudwatch(cloudwatch_logs)
    return device


def many_warnings(device, image, n, **more):
    """A group file that makes `n` lines in the log as it is read, each of more than 100 bytes."""
    group = device.local_group(["web"], image, **more)
    document = json.loads(group.read_text())
    document["Connectors"] += [
        {"Id": f"other-{i:03}", "ConnectorArn": "arn:aws:greengrass:eu-west-1::/connectors/SerialStream/versions/1",
         "Parameters": {}} for i in range(n)]
    group.write_text(json.dumps(document))
    return group


def test_lines_arrive_once_in_order_and_together(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH))
    found = wait_shipped(device, cloudwatch_logs, "generation 1 is deployed")
    stream, = cloudwatch_logs.groups[GROUP]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/aws/lighterman/Gateway", stream)
    assert len(cloudwatch_logs.batches) < len(found) / 2
    event = cloudwatch_logs.groups[GROUP][stream][0]
    stamp = datetime.datetime.fromisoformat(event["message"][1:].partition("Z]")[0].ljust(23, "0")[:23] + "+00:00")
    assert event["timestamp"] == round(stamp.timestamp() * 1000)
    # After a restart it goes on, and nothing comes twice.
    assert device.stop() == 0
    device.start()
    found = wait_shipped(device, cloudwatch_logs, "lightermand has exited")
    assert len(set(found)) == len(found)


def test_a_kill_loses_nothing_and_repeats_one_batch_at_most(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH, DockerContainerStatusLogFrequency="1"))
    wait_shipped(device, cloudwatch_logs, "is deployed")
    twice = set()
    for _ in range(2):
        cloudwatch_logs.always = "hang"  # what was sent is taken, but never acknowledged
        before = len(cloudwatch_logs.batches)
        wait_until(lambda at=before: len(cloudwatch_logs.batches) > at and cloudwatch_logs.open, 60, "nothing is shipped")
        device.kill()
        batch = cloudwatch_logs.batches[-1]
        cloudwatch_logs.always = None
        at = len(shipped(cloudwatch_logs))
        device.start()
        wait_until(lambda at=at + batch: len(shipped(cloudwatch_logs)) > at, 60, "nothing is shipped again")
        found = shipped(cloudwatch_logs)
        if found[at:at + batch] == found[at - batch:at]:
            twice |= set(range(at, at + batch))
    assert twice
    once = [line for i, line in enumerate(shipped(cloudwatch_logs)) if i not in twice]
    assert once == to_be_shipped(device, once[0])[:len(once)]


def test_a_service_that_was_away_gets_everything_later(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    cloudwatch_logs.denied.add("logs:PutLogEvents")
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH))
    device.wait_log("[WARN]-log_shipper.c:")
    tries = cloudwatch_logs.count
    wait_until(lambda: cloudwatch_logs.count > tries + 1, 60, "it is not tried again")
    assert device.log.count("ship the log to CloudWatch Logs: ") == 1
    assert "logs:PutLogEvents on arn:aws:logs:eu-west-1:*:log-group:" + GROUP in device.log
    assert device.stop() == 0
    cloudwatch_logs.denied.clear()
    device.start()
    found = wait_shipped(device, cloudwatch_logs, "lightermand has exited")
    assert not any("ship the log" in line for line in found)


def test_says_once_when_it_is_shipped_again(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    cloudwatch_logs.denied.add("logs:CreateLogGroup")
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH))
    device.wait_log("[WARN]-log_shipper.c:")
    cloudwatch_logs.denied.clear()
    wait_shipped(device, cloudwatch_logs, "is deployed")
    device.wait_log("the log is shipped to CloudWatch Logs again")


def test_what_does_not_fit_is_counted(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    cloudwatch_logs.denied.add("logs:PutLogEvents")
    device.start()
    loggers = (logger("FileSystem", space=4096), logger("AWSCloudWatch", space=32))
    device.deploy(many_warnings(device, local_image, 500, loggers=loggers))
    device.wait_log("[WARN]-log_shipper.c:")
    folder = device.folder / "state/cloudwatch"
    assert sum(path.stat().st_size for path in folder.glob("*.log")) <= 32 * 1024
    device.kill()
    cloudwatch_logs.denied.clear()
    device.start()
    wait_until(lambda: any("not shipped" in line for line in shipped(cloudwatch_logs)), 90,
               lambda: f"nothing is said of what is lost:\n{device.log}")
    found = shipped(cloudwatch_logs)
    lost = int(re.search(r"(\d+) lines were not shipped: the 32 KB", "\n".join(found))[1])
    first = next(line for line in device.log.splitlines() if "other-000" in line)
    every = to_be_shipped(device, first)
    assert every[lost:lost + len(found)] == found


def test_nothing_of_shipping_delays_a_deployment(shipping_device, held, cloudwatch_logs, local_image):
    device = shipping_device
    cloudwatch_logs.always = "hang"
    device.start()
    group = device.local_group(["first", "second"], local_image, loggers=BOTH)
    device.deploy(group)
    wait_until(lambda: cloudwatch_logs.open, 60, "nothing is shipped")
    held.hold("up")
    with device.begin(group) as deployment:
        held.wait_held("up")
        wait_until(lambda: not cloudwatch_logs.open, 60, "a worker still ships")
        # More is due by now, and still there is only the one that deploys.
        assert len(workers()) == 1
        held.release()
        assert deployment.end()["exit"] == 0
    wait_until(lambda: cloudwatch_logs.open, 60, "it is not shipped on")
    assert device.stop(timeout=60) == 0
    wait_until(lambda: not cloudwatch_logs.open, 60, "a worker outlives lightermand")
    # What was taken and never acknowledged comes again.
    cloudwatch_logs.reset()
    device.start()
    wait_shipped(device, cloudwatch_logs, "lightermand has exited")


@pytest.fixture
def role_device(shipping_device, cloudwatch_logs, role_credentials):
    """It ships with a role's credentials, which are numbered, and makes a line every second."""
    shipping_device.host["credentials"] = role_credentials.attach("lighter-1-device", "Gateway")
    cloudwatch_logs.keys = {f"ASIA{i:04}": (f"secret-{i}", f"token-{i}") for i in range(1, 100)}
    return shipping_device


def wait_batches(cloudwatch_logs, n):
    wanted = len(cloudwatch_logs.batches) + n
    wait_until(lambda: len(cloudwatch_logs.batches) >= wanted, 30 + 3 * n, "too little is shipped")


def test_one_worker_ships_batch_after_batch_with_the_same_credentials(role_device, held, cloudwatch_logs, role_credentials,
                                                                      local_image):
    device = role_device
    device.start()
    group = device.local_group(["web"], local_image, loggers=BOTH, DockerContainerStatusLogFrequency="1")
    device.deploy(group)
    wait_batches(cloudwatch_logs, 1)
    issued = role_credentials.issued
    wait_batches(cloudwatch_logs, 20)
    assert role_credentials.issued <= issued + 1
    found = wait_shipped(device, cloudwatch_logs, "is deployed")
    assert len(set(found)) == len(found)
    # It gives way to whoever else wants a worker.
    idle, = workers()
    held.hold("up")
    with device.begin(group) as deployment:
        held.wait_held("up")
        assert len(workers()) == 1 and workers() != [idle]
        held.release()
        assert deployment.end()["exit"] == 0
    wait_batches(cloudwatch_logs, 3)
    device.kill()
    wait_until(lambda: not workers(), 30, "a worker outlives lightermand")


def test_errors_one_after_the_other_are_shipped_with_the_same_credentials(role_device, cloudwatch_logs, role_credentials,
                                                                          local_image):
    """Though other lines wait for long."""
    device = role_device
    device.host["logShippingSeconds"] = 3600
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH))
    wrong, issued = device.group(name="wrong.json", ForceDeploy="perhaps"), []
    for _ in range(4):
        before = len(cloudwatch_logs.batches)
        device.deploy(wrong, status=2)
        wait_until(lambda n=before: len(cloudwatch_logs.batches) > n, 60, "the error is not shipped")
        issued.append(role_credentials.issued)
    # Once there were two within half a minute, the worker stays.
    assert issued[1:] == [issued[1]] * 3, issued


def test_a_worker_that_ships_on_renews_its_credentials(role_device, cloudwatch_logs, role_credentials, local_image):
    device = role_device
    role_credentials.lifetime_s = 303  # five minutes before their end they are renewed
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH, DockerContainerStatusLogFrequency="1"))
    wait_batches(cloudwatch_logs, 1)
    worker, issued = workers(), role_credentials.issued
    wait_until(lambda: role_credentials.issued >= issued + 2, 60, "they are not renewed")
    wait_batches(cloudwatch_logs, 2)
    assert workers() == worker
    assert "ship the log to CloudWatch Logs" not in device.log


def test_the_end_of_a_worker_that_waits_is_no_failure(role_device, cloudwatch_logs, local_image):
    device = role_device
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH))
    wait_shipped(device, cloudwatch_logs, "is deployed")
    idle, = workers()
    os.kill(idle, signal.SIGKILL)
    wait_until(lambda: idle not in workers(), 30, "it does not end")  # another may have begun
    device.deploy(device.local_group(["web", "more"], local_image, loggers=BOTH))
    wait_shipped(device, cloudwatch_logs, "generation 2 is deployed")
    assert "ship the log to CloudWatch Logs" not in device.log


def test_a_spool_that_is_gone_while_a_worker_waits_does_no_harm(role_device, cloudwatch_logs, local_image):
    """Somebody clears the state directory, and a file stands in the spool's place."""
    device = role_device
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH))
    wait_shipped(device, cloudwatch_logs, "is deployed")
    assert len(workers()) == 1
    folder = device.folder / "state/cloudwatch"
    shutil.rmtree(folder)
    folder.write_text("")
    device.deploy(device.local_group(["web", "more"], local_image, loggers=BOTH))
    device.wait_log("cannot ship the log to CloudWatch Logs")
    assert device.status["last_deployment"]["success"]
    assert device.stop() == 0


def test_lines_that_are_too_old_are_told_and_not_tried_again(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    cloudwatch_logs.clock = datetime.timedelta(days=15)
    device.start()
    group = device.local_group(["web"], local_image, loggers=BOTH, DockerContainerStatusLogFrequency="1")
    device.deploy(group)
    device.wait_log("CloudWatch Logs does not keep ")
    batches = len(cloudwatch_logs.batches)
    wait_until(lambda: len(cloudwatch_logs.batches) > batches + 1, 60, "nothing more is shipped")
    assert shipped(cloudwatch_logs) == []
    assert device.log.count("CloudWatch Logs does not keep ") == 1
    assert device.log.count("this device's clock is off by ") == 1
    cursor = int((device.folder / "state/cloudwatch/cursor").read_text().splitlines()[1].split()[0])
    assert cursor > 0


def test_the_level_of_each_logger_counts(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    device.start()
    loggers = (logger("FileSystem", "WARN"), logger("AWSCloudWatch", "ERROR"))
    device.deploy(device.local_group(["web"], local_image, loggers=loggers))
    device.kill()
    before = len(device.log)
    device.start()  # the loggers of what is deployed count from the first line on
    device.wait_status(lambda status: status["state"] == "running")
    missing = device.local_group(["web"], local_image, key="none.yml", loggers=loggers)
    (device.folder / "objects/ships/none.yml").unlink()
    device.deploy(missing, status=1)
    device.wait_log("[ERROR]-")
    assert "[INFO]" not in device.log[before:], device.log[before:]
    wait_until(lambda: shipped(cloudwatch_logs), 60, "nothing is shipped")
    assert all("[ERROR]" in line for line in shipped(cloudwatch_logs))


def test_an_error_does_not_wait_for_the_others(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    device.host["logShippingSeconds"] = 3600
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=BOTH))
    (device.folder / "objects/ships/docker-compose.yml").unlink()
    device.deploy(device.group(loggers=BOTH), status=1)
    wait_shipped(device, cloudwatch_logs, "[ERROR]")


def test_with_cloudwatch_alone_there_is_no_file(shipping_device, cloudwatch_logs, local_image):
    device = shipping_device
    device.start()
    device.deploy(device.local_group(["web"], local_image, loggers=[logger("AWSCloudWatch")]))
    wait_until(lambda: any("is deployed" in line for line in shipped(cloudwatch_logs)), 60, "nothing is shipped")
    assert "is deployed" not in device.log
    assert "is deployed" in device.stderr


def test_a_file_has_the_space_of_its_logger(device, engine, local_image):
    device.start()
    device.deploy(many_warnings(device, local_image, 500, loggers=[logger("FileSystem", space=16)]))
    parts = list(device.log_path.parent.iterdir())
    assert 8 * 1024 < sum(path.stat().st_size for path in parts) <= 16 * 1024
    assert len(parts) > 1


def test_the_log_is_where_the_core_wrote_and_for_root_alone(device, engine, local_image):
    write = device.folder / "write"
    config = device.folder / "gg/config/config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"writeDirectory": str(write), "coreThing": {}, "crypto": {}}))
    device.start(device.local_group(["web"], local_image))
    path = write / "ggc/var/log/user/eu-west-1/aws/DockerApplicationDeployment.log"
    wait_until(lambda: path.exists() and "is deployed" in path.read_text(), 60, lambda: device.stderr)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == 0
    while path != write:
        path = path.parent
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert not (device.folder / "gg/ggc").exists()


def test_a_deployment_that_succeeds_logs_no_error(device_with, compose, engine, local_image):
    device = device_with(compose)
    device.start()
    for services in (["web"], ["web", "more"], ["more"]):
        device.put_object("ships", "docker-compose.yml", compose_file(None, services, local_image))
        device.deploy(device.group(DockerPullBeforeUp="False"))
    assert device.stop() == 0
    assert "[ERROR]" not in device.log, device.log
    assert re.search(r"(?i)creat(ed|ing)", device.log), "what docker-compose says is not in the log"


def test_ends_in_order_while_somebody_follows_the_log(device, local_image):
    """The one reads, the other does not; both hear the end of their connection."""
    device.start()
    with device.control("logs", follow=True) as reads, device.control("logs", follow=True):
        device.deploy(device.local_group(["web"], local_image))
        while "generation 1 is deployed" not in reads.next().get("line", ""):
            pass
        assert device.stop() == 0
        assert "lightermand has exited" in reads.stream.read().decode()


def test_the_command_line_shows_the_log_and_follows_it(device, engine, local_image):
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    shown = device.cli("logs").stdout
    assert shown == device.log and "generation 1 is deployed" in shown
    assert device.cli_json("logs", "--lines", "2") == device.log.splitlines()[-2:]
    with subprocess.Popen([device.programs / "lighterman", "--socket", device.folder / "run/control.sock", "logs", "-f",
                           "-n", "1"], stdout=subprocess.PIPE, text=True, env=device.environment) as following:
        assert following.stdout.readline() == device.log.splitlines(keepends=True)[-1]
        device.cli("stop")
        heard = next(line for line in following.stdout if "the application is stopped" in line)
        assert heard in device.log
        following.send_signal(signal.SIGINT)
    assert following.returncode == 0
