# SPDX-License-Identifier: Apache-2.0
"""Deployments whose compose file comes from OpenStack Swift's S3 API."""
import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.s3 import S3
from servers.server import free_port
from users import add_user

KEY = "harbour a+b/ü %20=1.yml"
LOCAL = {"DockerPullBeforeUp": "False"}


@pytest.fixture
def cloud_device(device, broker, s3):
    """A device that takes objects from S3."""
    device.use_broker(broker)
    device.use_s3(s3)
    return device


def bucket(s3, name, **more):
    if name not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket(name, **more)
    return name


def test_deploys_by_a_key_of_every_kind_of_character(cloud_device, s3, engine, local_image, status_messages):
    s3.put(bucket(s3, "e2e-keys"), KEY, compose_file(None, ["web"], local_image).encode())
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(bucket="e2e-keys", key=KEY, **LOCAL))
    assert status_messages.next_json() == success(bucket="e2e-keys", key=KEY)
    assert set(engine.containers()) == {"web"}


def test_finds_credentials_in_the_home_of_the_user(device_with, folder, compose1, s3, engine, local_image):
    """Not in that of lightermand, where the user may not even look."""
    s3.put(bucket(s3, "e2e-home"), "app.yml", compose_file(None, ["web"], local_image).encode())
    home = folder / "home"
    (home / ".aws").mkdir(parents=True)
    user = add_user("lmhome", groups=["docker"], home=str(home))
    (home / ".aws/credentials").write_text(
        f"[default]\naws_access_key_id = {S3.ACCESS_KEY}\naws_secret_access_key = {S3.SECRET_KEY}\n")
    for path in (home, home / ".aws", home / ".aws/credentials"):
        user.owns(path)
    (home / ".aws/credentials").chmod(0o600)
    device = device_with(compose1, user=user)
    device.use_s3(s3)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del device.environment[name]
    device.environment["HOME"] = "/root"
    device.start()
    device.deploy(device.group(bucket="e2e-home", key="app.yml", **LOCAL))
    assert set(engine.containers()) == {"web"}


def test_the_region_of_the_profile_counts_where_nothing_else_names_one(cloud_device, s3, local_image):
    """S3 here is in eu-west-1, and says so to whoever signs for another region."""
    device, config = cloud_device, cloud_device.folder / "aws-config"
    s3.put(bucket(s3, "e2e-region"), "app.yml", compose_file(None, ["web"], local_image).encode())
    del device.host["region"], device.environment["AWS_REGION"]
    device.environment.update(AWS_CONFIG_FILE=str(config), AWS_PROFILE="quay")
    device.region = "us-east-2"
    group = device.group(bucket="e2e-region", key="app.yml", **LOCAL)
    elsewhere = "bucket 'e2e-region' is in region eu-west-1, not in "
    config.write_text("[default]\nregion = us-west-2\n[profile quay]\nregion = eu-west-1\n")
    device.start()
    device.deploy(group)
    assert elsewhere not in device.log
    done = device.cli("doctor", group, "--config", device.write_host_file(), check=False)
    assert "eu-west-1, set on this device" in done.stdout, done.stdout
    # Another region of the profile, and none: then it is the definition's.
    for text, region in (("region = us-west-1\n", "us-west-1"), ("", "us-east-2")):
        config.write_text(f"[profile quay]\n{text}")
        device.deploy(group)
        assert elsewhere + region in device.log


def test_deploys_an_old_version_and_then_the_latest(cloud_device, s3, engine, local_image, status_messages):
    """Version 1 of the connector, which knew both."""
    bucket(s3, "e2e-versions", versions=True)
    versions = {name: s3.put("e2e-versions", "app.yml", compose_file(None, [name], local_image).encode())
                for name in ("old", "new")}
    cloud_device.start()
    for name, asked in (("old", {"DockerComposeFileS3Version": versions["old"]}), ("new", {})):
        cloud_device.deploy(cloud_device.group(version=1, bucket="e2e-versions", key="app.yml", **asked))
        assert status_messages.next_json() == success(versions[name], "e2e-versions", "app.yml")
        assert set(engine.containers(everything=True)) == {name}
        assert cloud_device.status["deployment"]["compose_version"] == versions[name]


def test_deploys_the_null_version_of_a_bucket_without_versions(cloud_device, s3, engine, local_image, status_messages):
    s3.put(bucket(s3, "e2e-keys"), "null.yml", compose_file(None, ["web"], local_image).encode())
    cloud_device.start()
    asked = {"DockerComposeFileS3Version": "null"}
    cloud_device.deploy(cloud_device.group(bucket="e2e-keys", key="null.yml", **asked, **LOCAL))
    assert status_messages.next_json() == success("null", "e2e-keys", "null.yml")
    assert set(engine.containers()) == {"web"}


def test_names_a_version_that_is_not_there(cloud_device, s3, status_messages):
    bucket(s3, "e2e-versions", versions=True)
    s3.put("e2e-versions", "one.yml", b"services: {}")
    cloud_device.start()
    asked = {"DockerComposeFileS3Version": "1700000000.00000"}
    cloud_device.deploy(cloud_device.group(bucket="e2e-versions", key="one.yml", **asked), status=1)
    assert_failure(status_messages.next_json(), "InvalidParameter", "e2e-versions", "one.yml", "1700000000.00000")


def test_names_an_object_that_is_not_there(cloud_device, s3, status_messages):
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(bucket=bucket(s3, "e2e-keys"), key="none.yml"), status=1)
    assert_failure(status_messages.next_json(), "InvalidParameter", "e2e-keys", "none.yml")


@pytest.mark.parametrize("keys, words", [
    ({"secret_key": "wr0ng-k3y"}, ["SignatureDoesNotMatch", S3.ACCESS_KEY]),
    ({"access_key": S3.POOR_ACCESS_KEY, "secret_key": S3.POOR_SECRET_KEY}, ["s3:GetObject", "e2e-keys/app.yml"])])
def test_says_why_access_is_denied(cloud_device, s3, status_messages, keys, words):
    s3.put(bucket(s3, "e2e-keys"), "app.yml", b"services: {}")
    cloud_device.use_s3(s3, **keys)
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(bucket="e2e-keys", key="app.yml"), status=1)
    message = status_messages.next_json()
    assert_failure(message, "InternalError", *words)
    assert cloud_device.status["last_deployment"]["stage"] == "fetch"
    assert keys["secret_key"] not in message["error_message"] + cloud_device.stderr
    assert cloud_device.files_with(keys["secret_key"]) == []


def test_a_wrong_clock_does_not_matter(cloud_device, s3, engine, local_image, status_messages):
    s3.put(bucket(s3, "e2e-keys"), "late.yml", compose_file(None, ["web"], local_image).encode())
    cloud_device.start()
    with s3.clock("-2h"):
        cloud_device.deploy(cloud_device.group(bucket="e2e-keys", key="late.yml", **LOCAL))
    assert status_messages.next_json() == success(bucket="e2e-keys", key="late.yml")
    assert set(engine.containers()) == {"web"}


def test_a_wrong_region_does_not_matter(cloud_device, s3, engine, local_image, status_messages):
    s3.put(bucket(s3, "e2e-keys"), "elsewhere.yml", compose_file(None, ["web"], local_image).encode())
    cloud_device.region = cloud_device.host["region"] = "us-west-2"
    cloud_device.use_s3(s3, region="us-west-2")
    cloud_device.start()
    cloud_device.deploy(cloud_device.group(bucket="e2e-keys", key="elsewhere.yml", **LOCAL))
    assert status_messages.next_json() == success(bucket="e2e-keys", key="elsewhere.yml")
    assert set(engine.containers()) == {"web"}


def test_offline_mode_starts_with_what_is_on_the_device(cloud_device, s3, engine, local_image, status_messages):
    s3.put(bucket(s3, "e2e-keys"), "offline.yml", compose_file(None, ["web"], local_image).encode())
    group = cloud_device.group(bucket="e2e-keys", key="offline.yml", DockerOfflineMode="True", **LOCAL)
    cloud_device.start(group)
    assert status_messages.next_json() == success(bucket="e2e-keys", key="offline.yml")
    cloud_device.wait_sent()
    assert cloud_device.stop() == 0
    cloud_device.environment["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{free_port()}"
    cloud_device.start()
    assert status_messages.next_json() == success(bucket="e2e-keys", key="offline.yml")
    assert set(engine.containers()) == {"web"}
