# SPDX-License-Identifier: Apache-2.0
"""The component of packaging/greengrass-v2 under a stand-in for each nucleus: the application comes up, outlives updates, and goes
with the component."""
import contextlib
import pathlib
import subprocess
import sys
import zipfile

import pytest
import yaml

from documents import success
from servers.engine import compose_file
from servers.server import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/fakes"))

from greengrass_nucleus import KINDS, Nucleus  # noqa: E402


BUCKET = "greengrass-v2"


@pytest.fixture
def device(device_with, compose2):
    return device_with(compose2)


@pytest.fixture
def nucleus_with(device, broker, programs, s3, role_credentials):
    """nucleus_with(kind): the component, not yet deployed. The device of nucleus lite gets the programs with the artifact, the
    other has them installed. Both nuclei give a component credentials as Amazon ECS gives them to a container."""
    def make(kind):
        root = device.folder / "greengrass"
        root.mkdir(mode=0o755)
        recipe = yaml.safe_load((ROOT / "packaging/greengrass-v2/recipe.yaml").read_text(encoding="utf-8"))
        artifact = root / "lighterman.zip"
        subprocess.run([ROOT / "packaging/greengrass-v2/pack", artifact], check=True, timeout=60)
        role_credentials.keys = s3.ACCESS_KEY, s3.SECRET_KEY
        environment = {**device.environment, **role_credentials.container_environment(), "AWS_ENDPOINT_URL_S3": s3.endpoint,
                       "AWS_REGION": s3.REGION, "LIGHTERMAN_WATCH_SECONDS": "0.2"}
        if kind == "lite":
            machine = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
            with zipfile.ZipFile(artifact, "a") as more:
                for name in ("lightermand", "lighterman", "lighterman-worker"):
                    more.write(programs / name, f"{machine}/{name}")
        else:
            environment["PATH"] = f"{programs}:{environment['PATH']}"
        made.append(Nucleus(kind, root, recipe, environment))
        made[0].install(artifact)
        return made[0]

    made = []
    device.use_broker(broker)
    del device.host["objectStore"], device.host["region"]
    if BUCKET not in [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket(BUCKET)
    yield make
    for nucleus in made:
        log = nucleus.log.read_text()
        if nucleus.artifacts.exists():
            nucleus.remove()
        assert "Sanitizer" not in log, log


@pytest.mark.parametrize("kind", KINDS)
def test_the_application_outlives_updates_and_goes_with_the_component(nucleus_with, device, engine, s3, local_image, status_messages,
                                                                      kind):
    nucleus = nucleus_with(kind)
    s3.put(BUCKET, "one.yml", compose_file(None, ["web"], local_image).encode())
    s3.put(BUCKET, "two.yml", compose_file(None, ["web", "quay"], local_image).encode())
    configuration = {**device.parameters(bucket=BUCKET, key="one.yml"), "DockerPullBeforeUp": "False", "StopContainersOnNewDeployment": "True",
                     "HostFile": str(device.write_host_file()), "Directory": str(device.folder / "component")}
    nucleus.deploy(configuration)
    assert status_messages.next_json() == success(bucket=BUCKET, key="one.yml"), nucleus.log.read_text()
    wait_until(lambda: device.ask("status")["status"]["state"] == "running", 60, "the application does not run")
    device.wait_sent()
    web = engine.containers()["web"].id

    # A restart, as after an update of the nucleus: what runs is taken over. No message of it, as it is no deployment.
    nucleus.stop()
    assert engine.containers()["web"].id == web
    nucleus.start()
    wait_until(lambda: "generation 1 was left running and runs on" in device.log, 60, lambda: nucleus.log.read_text())
    assert engine.containers()["web"].id == web

    # An update that changes the definition is a deployment of Lighterman.
    nucleus.deploy({"DockerComposeFileS3Key": "two.yml"})
    assert status_messages.next_json() == success(bucket=BUCKET, key="two.yml"), nucleus.log.read_text()
    assert set(engine.containers()) == {"web", "quay"}
    device.wait_sent()

    nucleus.remove()
    wait_until(lambda: not engine.containers(everything=True), 60, lambda: nucleus.log.read_text() + device.log)
    assert status_messages.none_waits()
    wait_until(lambda: "lightermand" not in running(), 60, "lightermand runs on")


def running():
    """The names of all programs of the sandbox."""
    names = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.add(path.read_text().strip())
    return names
