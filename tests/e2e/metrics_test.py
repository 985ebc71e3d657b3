# SPDX-License-Identifier: Apache-2.0
"""`lighterman metrics`, and the file for node_exporter's textfile collector."""
import json
import re
import time

import pytest

from servers.engine import compose_file
from servers.server import wait_until

SAMPLE = re.compile(r'(lighterman_[a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? ([0-9.]+)')
COMMENT = re.compile(r"# (HELP|TYPE) (lighterman_[a-z_]+) (.+)")
NAME = "lighterman_deployments_total"


def parse(text):
    """Samples as {'name{labels}': value}; every line is one that the format knows, and of a family told before it."""
    samples, families = {}, set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if comment := COMMENT.fullmatch(line):
            if comment[1] == "TYPE":
                assert comment[2] not in families and comment[3] in ("counter", "gauge", "summary")
                families.add(comment[2])
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        assert re.sub("_(sum|count)$", "", sample[1]) in families, line
        key = f"{sample[1]}{{{sample[2]}}}" if sample[2] else sample[1]
        assert key not in samples, line
        samples[key] = float(sample[3])
    return samples


def measured(device):
    return parse(device.cli("metrics").stdout)


def outcomes(samples):
    return tuple(int(samples[f'{NAME}{{outcome="{name}"}}']) for name in ("success", "invalid", "failed", "cancelled"))


def test_counts_deployments_containers_and_brokers(device, held, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    device.start()
    before = measured(device)
    assert outcomes(before) == (0, 0, 0, 0)
    assert before["lighterman_last_success_timestamp_seconds"] == before["lighterman_generation"] == 0
    assert abs(before["lighterman_start_time_seconds"] - time.time()) < 600
    assert before['lighterman_containers{state="running"}'] == 0

    device.deploy(device.local_group(["web", "db"], local_image))
    device.deploy(device.group(DockerComposeFileS3Bucket=None), status=2)
    device.deploy(device.group(key="missing.yml"), status=1)
    held.hold("config")
    with device.begin(device.local_group(["web"], local_image)) as deployment:
        held.wait_held("config")
        assert device.cli("stop").returncode == 0
        assert deployment.end()["exit"] == 1
    assert device.cli("start").returncode == 0

    after = measured(device)
    assert outcomes(after) == (2, 2, 0, 1)
    assert after["lighterman_last_success_timestamp_seconds"] > after["lighterman_start_time_seconds"]
    assert after["lighterman_generation"] == device.status["deployment"]["generation"]
    assert after['lighterman_stage_duration_seconds_count{stage="up"}'] == 2
    assert after['lighterman_stage_duration_seconds_sum{stage="up"}'] > 0
    assert after["lighterman_engine_up"] == 1
    assert after['lighterman_containers{state="running"}'] == len(engine.containers())
    assert after['lighterman_containers_health{health="none"}'] == len(engine.containers())
    name = device.status["brokers"][0]["name"]
    assert after[f'lighterman_broker_connected{{broker="{name}"}}'] == 1
    assert after[f'lighterman_messages_dropped_total{{broker="{name}",class="event"}}'] == 0


def test_json_is_the_text_in_an_object(device):
    device.start()
    assert set(parse(device.cli_json("metrics")["metrics"])) == set(measured(device))


def test_an_engine_that_is_away_is_shown_as_such(device):
    device.host["docker"]["socket"] = "/run/nobody.sock"
    device.start()
    samples = measured(device)
    assert samples["lighterman_engine_up"] == 0
    assert not any(key.startswith("lighterman_containers") for key in samples)


def test_what_waits_for_a_broker_is_counted(device, local_image):
    device.host["mqtt"] = {"socket": "/run/nobody \"quoted\\.sock"}
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    samples = measured(device)
    label = json.dumps(device.host["mqtt"]["socket"])
    assert samples[f"lighterman_broker_connected{{broker={label}}}"] == 0
    assert samples[f"lighterman_outbox_messages{{broker={label}}}"] > 1
    assert samples[f"lighterman_outbox_bytes{{broker={label}}}"] > 100


def test_the_last_success_is_known_after_a_restart(device, local_image):
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    first = measured(device)["lighterman_last_success_timestamp_seconds"]
    device.deploy(device.group(key="missing.yml"), status=1)
    device.cli("stop")
    device.stop()
    device.start()
    samples = measured(device)
    assert samples["lighterman_last_success_timestamp_seconds"] == first
    assert samples["lighterman_stopped"] == 1
    assert outcomes(samples) == (0, 0, 0, 0)


def test_restarts_are_counted_by_service(device, engine, local_image):
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web", "db"], local_image, restart="always"))
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False"))
    name = 'lighterman_container_restarts_total{service="%s"}'
    for times in (1, 2):
        engine.containers()["web"].exec_run(["sh", "-c", "kill 1"])
        wait_until(lambda: measured(device).get(name % "web") == times, 60, lambda: device.cli("metrics").stdout)
    assert measured(device).get(name % "db", 0) == 0


@pytest.fixture
def textfile(device, folder):
    path = folder / "collected" / "lighterman.prom"
    path.parent.mkdir()
    device.host["metrics"] = {"textfile": str(path)}
    return path


def test_the_textfile_follows_what_happens(device, textfile, local_image):
    device.start()
    wait_until(textfile.exists, 30, "no textfile was written")
    assert textfile.stat().st_mode & 0o777 == 0o644
    assert parse(textfile.read_text())["lighterman_up"] == 1
    device.deploy(device.local_group(["web"], local_image))
    wait_until(lambda: outcomes(parse(textfile.read_text())) == (1, 0, 0, 0), 60, textfile.read_text)
    assert device.stop() == 0
    assert parse(textfile.read_text())["lighterman_up"] == 0
    assert [path.name for path in textfile.parent.iterdir()] == ["lighterman.prom"]


def test_the_textfile_knows_the_containers_without_asking(device, engine, textfile, local_image):
    device.start()
    device.deploy(device.local_group(["web", "db"], local_image))

    def now():
        return parse(textfile.read_text()) if textfile.exists() else {}

    wait_until(lambda: now().get('lighterman_containers{state="running"}') == 2, 60, textfile.read_text)
    engine.containers()["db"].pause()  # of which no message tells
    wait_until(lambda: now().get('lighterman_containers{state="paused"}') == 1, 60, textfile.read_text)
    engine.containers()["db"].unpause()
    engine.containers()["web"].kill()
    wait_until(lambda: now().get('lighterman_containers{state="exited"}') == 1, 60, textfile.read_text)
    engine.stop()
    wait_until(lambda: now()["lighterman_engine_up"] == 0, 60, textfile.read_text)
    assert not any(key.startswith("lighterman_containers") for key in now())


def test_a_textfile_that_cannot_be_written_is_told_and_does_no_harm(device, textfile, local_image):
    textfile.parent.rmdir()
    device.start()
    device.deploy(device.local_group(["web"], local_image))
    device.wait_log(f"write the metrics to '{textfile}'")
    assert device.stop() == 0
