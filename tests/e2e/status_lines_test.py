# SPDX-License-Identifier: Apache-2.0
"""The status of the containers in the log, every DockerContainerStatusLogFrequency seconds."""
import re

from servers.engine import compose_file
from servers.server import wait_until

FLEET = """version: '2.4'
services:
  web:
    image: {image}
    command: ["sleep", "1000000"]
    stop_grace_period: 0s
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
  job:
    image: {image}
    command: ["sh", "-c", "exit 3"]
  loop:
    image: {image}
    command: ["sh", "-c", "exit 5"]
    restart: always
  sick:
    image: {image}
    command: ["sleep", "1000000"]
    stop_grace_period: 0s
    healthcheck: {{test: ["CMD", "false"], interval: 1s, retries: 1}}
"""


def line_of(service, words):
    return re.compile(r"^\[[0-9T:.-]+Z\]\[INFO\]-[a-z_]+\.c:[0-9]+,container status: "
                      rf"service={service} name=\S+{service}\S+ image=\S+ {words}$", re.M)


def wait_line(device, service, words):
    pattern = line_of(service, words)
    wait_until(lambda: pattern.search(device.log), 60,
               lambda: f"no line {pattern.pattern} in\n{device.log}\n{device.stderr}")


def count_lines(device):
    return device.log.count("container status: service=")


def test_each_container_has_a_line_with_its_state(device_with, compose, engine, local_image):
    device = device_with(compose)
    device.put_object("ships", "docker-compose.yml", FLEET.format(image=local_image))
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False", DockerContainerStatusLogFrequency="1"))
    wait_line(device, "web", "state=running health=healthy restarts=0 exit_code=- uptime_s=[0-9]+")
    wait_line(device, "job", "state=exited health=none restarts=0 exit_code=3 uptime_s=-")
    wait_line(device, "loop", r"state=(restarting|running|exited) health=none restarts=[1-9][0-9]* exit_code=(5|-) \S+")
    wait_line(device, "sick", "state=running health=unhealthy restarts=0 exit_code=- uptime_s=[0-9]+")
    # A container that was killed and came back tells it.
    engine.containers()["web"].restart(timeout=0)
    wait_line(device, "web", "state=running health=starting restarts=0 exit_code=- uptime_s=[0-9]+")


def test_the_frequency_is_that_of_what_is_deployed(device, engine, local_image):
    device.start()
    device.deploy(device.local_group(["web"], local_image, DockerContainerStatusLogFrequency="9999"))
    assert count_lines(device) == 0
    device.deploy(device.local_group(["web", "more"], local_image, DockerContainerStatusLogFrequency="1"))
    wait_line(device, "more", "state=running .*")
    # One that fails before it does anything changes nothing.
    group = device.local_group(["web"], local_image, key="none.yml", DockerContainerStatusLogFrequency="9999")
    (device.folder / "objects/ships/none.yml").unlink()
    device.deploy(group, status=1)
    before = count_lines(device)
    wait_until(lambda: count_lines(device) > before, 60, "the lines have ended")
    device.kill()
    device.start()
    before = count_lines(device)
    wait_until(lambda: count_lines(device) > before, 60, "after a restart there are no lines")


def test_what_is_stopped_has_no_lines(device, engine, local_image):
    device.start()
    device.deploy(device.local_group(["web"], local_image, DockerContainerStatusLogFrequency="1"))
    wait_line(device, "web", "state=running .*")
    device.cli("stop")
    stopped = len(device.log)
    device.kill()
    device.start()
    # A second that was asked for would have passed: the start of a container takes longer.
    device.cli("start")
    wait_until(lambda: "container status: " in device.log[stopped:], 60, "no lines after the start")
    before, _, after = device.log[stopped:].partition("container status: ")
    assert "is deployed" in before and after.startswith("service=web"), device.log[stopped:]


def test_an_engine_that_is_away_is_told_once(device, engine, local_image):
    device.start()
    text = compose_file(None, ["web"], local_image)
    device.put_object("ships", "docker-compose.yml", text)
    device.deploy(device.group(DockerPullBeforeUp="False", DockerContainerStatusLogFrequency="1"))
    wait_line(device, "web", "state=running .*")
    engine.stop()
    device.wait_log("; no status is logged until it answers")
    engine.start()
    device.wait_log("container status: the Docker daemon answers again")
    assert device.log.count("; no status is logged until it answers") == 1
    wait_until(lambda: device.log.rstrip().rpartition("answers again")[2].count("container status: "), 60,
               "the lines do not go on")
