# SPDX-License-Identifier: Apache-2.0
"""Logins at registries that do not answer, or not yet: version 7 tries again, earlier ones do not."""
from servers.engine import compose_file


def put_file(device, image):
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))


def test_version_7_tries_again(device, engine, registry, image):
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())])
    put_file(device, image)
    device.start()
    registry.stop()
    with device.begin(group) as deployment:
        device.wait_log("retrying in")
        registry.start()
        assert deployment.end()["exit"] == 0, device.log
    assert set(engine.containers()) == {"web"}


def test_version_6_tries_a_login_once(device, registry, image):
    group = device.group(version=6, secrets=[device.put_secret("harbour", registry.secret())])
    put_file(device, image)
    device.start()
    registry.stop()
    done = device.deploy(group, status=1)
    assert f"log in to registry {registry.address}: " in done.stderr
    assert "retrying" not in device.log


def test_a_refused_password_is_not_tried_again(device, registry, image):
    group = device.group(secrets=[device.put_secret("harbour", registry.secret(password="wr0ng"))])
    put_file(device, image)
    device.start()
    done = device.deploy(group, status=1)
    assert f"registry {registry.address} refuses user {registry.USER}" in done.stderr
    assert "retrying" not in device.log and "wr0ng" not in device.log
