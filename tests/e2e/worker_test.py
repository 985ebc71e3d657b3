# SPDX-License-Identifier: Apache-2.0
"""The worker alone, against a real engine and registry: what it does, what it says, and how it stops."""
import contextlib
import pathlib
import socket
import stat

import pytest

from servers.engine import PROJECT, compose_file
from servers.server import free_port, run, wait_until
from worker import Worker, children, make_job


@pytest.fixture(scope="session")
def local(_engine):
    """An image that is on the engine only, and never pulled from anywhere."""
    if not _engine.running:
        _engine.start()
    return _engine.make_image("worker/local:1")


def local_file(image, *services, **extra):
    return compose_file(None, services, image, **extra)


# Images that are here are not asked for anywhere.
HERE = {"DockerPullBeforeUp": "False"}


def test_deploys_a_private_image(dock_with, compose, engine, registry, image):
    dock = dock_with(compose)
    text = local_file(image, "web")
    secrets = [dock.device.put_secret("harbour", registry.secret())]

    result = dock.deploy(text, secrets=secrets)

    assert result == {"result": "success", "class": "ok", "stage": None, "error": None, "message": None, "compose_version": None,
                      "effect": "started", "offline": False, "forced": False}
    stages = ["prepare", "fetch", "resolve", "authenticate", "admit", "pull", "down", "up"]
    assert dock.worker.stages("begin") == dock.worker.stages("end") == stages
    assert set(engine.containers()) == {"web"}
    assert dock.device.local_copy.read_text() == dock.kept.read_text() == text
    status = dock.device.local_copy.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, dock.device.user.uid)
    found = engine.docker.images.get(image)
    line = {"image": image, "digest": found.attrs["RepoDigests"][0].split("@")[1], "id": found.id, "pulled": True}
    assert line in dock.worker.lines
    assert dock.worker.lines[dock.worker.lines.index(line) - 1]["status"] == "done"
    assert not dock.worker.seen(registry.PASSWORD)
    assert not dock.device.files_with(registry.PASSWORD, "app", "state", "run", "credentials")
    found = next(line["compose"] for line in dock.worker.lines if "compose" in line)
    assert found["version"].startswith(f"{compose.generation}.")


def test_redeploys_with_other_services(dock_with, compose, engine, local):
    dock = dock_with(compose)
    assert dock.deploy(local_file(local, "web", "old"), **HERE)["result"] == "success"
    assert dock.deploy(local_file(local, "web", "new"), **HERE)["result"] == "success"
    assert set(engine.containers(everything=True)) == {"web", "new"}


def test_without_stopping_what_is_the_same_runs_on(dock, engine, local):
    keep = {**HERE, "StopContainersOnNewDeployment": "false"}
    assert dock.deploy(local_file(local, "web"), **keep)["result"] == "success"
    before = engine.containers()["web"].id
    assert dock.deploy(local_file(local, "web", "more"), **keep)["result"] == "success"
    assert "down" not in dock.worker.stages("begin")
    assert engine.containers()["web"].id == before


def test_a_wrong_password_names_registry_and_user(dock, registry, image):
    secret = dock.device.put_secret("harbour", registry.secret(password="wr0ng-pass"))
    result = dock.deploy(local_file(image, "web"), secrets=[secret])
    assert (result["stage"], result["error"]) == ("authenticate", "InternalError")
    assert registry.address in result["message"] and registry.USER in result["message"]
    assert not dock.worker.seen("wr0ng-pass")
    assert result["effect"] == "untouched"


def test_a_missing_image_leaves_alone_what_runs(dock, engine, registry, local):
    assert dock.deploy(local_file(local, "web"), **HERE)["result"] == "success"
    before = engine.containers()["web"].id
    missing = registry.image("demo/none:7")
    result = dock.deploy(local_file(missing, "web"), secrets=[dock.device.put_secret("h", registry.secret())])
    assert (result["result"], result["stage"], result["error"]) == ("fail", "pull", "InternalError")
    assert missing in result["message"]
    assert result["effect"] == "untouched"
    assert engine.containers()["web"].id == before
    assert "none" not in dock.device.local_copy.read_text()


def test_a_broken_file_is_told_with_line_and_column(dock):
    result = dock.deploy("services:\n  web:\n    image: [\n")
    assert (result["stage"], result["error"]) == ("resolve", "InvalidParameter")
    assert "line 4, column 1" in result["message"]


def test_what_compose_refuses_is_told_in_its_words(dock_with, compose, local):
    result = dock_with(compose).deploy(local_file(local, "web", colour="red"))
    assert (result["stage"], result["error"]) == ("resolve", "InvalidParameter")
    assert "colour" in result["message"]


def test_a_missing_object_is_the_definitions_fault(dock):
    dock.device.put_object("ships", "another.yml", "services: {}\n")  # else it may be a mount point without its store
    result = dock.deploy()
    assert (result["stage"], result["error"]) == ("fetch", "InvalidParameter")
    assert "'ships'" in result["message"]


@pytest.mark.parametrize("store", ["objectStore", "secretStore"])
def test_a_missing_store_is_not_the_definitions_fault(dock, local, store):
    secret = dock.device.put_secret("harbour", {"username": "u", "password": "p", "registryUrl": "r"})
    dock.device.host[store]["directory"] = "/nonexistent/store"
    result = dock.deploy(local_file(local, "web"), secrets=[secret])
    assert (result["stage"], result["error"]) == ("fetch", "InternalError")
    assert "/nonexistent/store" in result["message"]


def test_a_file_with_another_hash_is_not_deployed(dock, local):
    result = dock.deploy(local_file(local, "web"), policy={"ComposeFileSHA256": "0" * 64})
    assert (result["stage"], result["error"]) == ("fetch", "InvalidParameter")
    assert "ComposeFileSHA256" in result["message"]
    assert dock.kept.read_text() == ""


def test_a_destination_that_cannot_be_written_is_the_definitions_fault(dock, local):
    result = dock.deploy(local_file(local, "web"), DockerComposeFileDestinationPath="/nonexistent/app")
    assert (result["stage"], result["error"]) == ("prepare", "InvalidParameter")
    assert "directory '/nonexistent/app' does not exist" in result["message"]
    result = dock.deploy(local_file(local, "web"), DockerComposeFileDestinationPath="/etc")
    assert (result["stage"], result["error"]) == ("prepare", "InvalidParameter")
    assert "cannot write to '/etc' as user lmtest" in result["message"]


def test_a_user_without_the_right_to_the_engine_is_told_what_to_do(dock_with, compose1, stranger, local):
    result = dock_with(compose1, stranger).deploy(local_file(local, "web"))
    assert (result["stage"], result["error"]) == ("prepare", "InternalError")
    assert "usermod -aG docker lmstranger" in result["message"]


def test_too_little_disk_is_told_before_anything_happens(dock, local):
    result = dock.deploy(local_file(local, "web"), policy={"MinFreeDiskMB": "999999999"})
    assert (result["stage"], result["error"]) == ("admit", "InternalError")
    assert "MinFreeDiskMB" in result["message"]


@pytest.mark.parametrize("stage", ["prepare", "fetch", "resolve", "authenticate", "admit", "pull", "down", "up",
                                   "settle"])
def test_stops_before_any_stage(dock, engine, local, stage):
    stop = {"fetch": "hang_up", "up": "hang_up"}.get(stage, "terminate")

    def on_line(line):
        if line == {"stage": stage, "state": "begin"}:
            getattr(worker, stop)()

    worker = dock.start(text=local_file(local, "web"), policy={"WaitHealthy": "true"}, **HERE)
    result = worker.run(on_line)
    assert (result["result"], result["stage"], result["error"]) == ("cancelled", stage, None)
    assert "cancelled" in result["message"]
    assert bool(engine.containers()) == (stage == "settle")


def test_stops_before_its_job(dock):
    worker = Worker(dock.program, dock.device, None)
    worker.hang_up()
    result = worker.run()
    assert (result["result"], result["stage"], result["effect"]) == ("cancelled", "validate", "untouched")


def test_stops_in_the_middle_of_a_pull(dock, engine):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        connections = []

        def on_line(line):
            if line == {"stage": "pull", "state": "begin"}:
                worker.say("go")
                connections.append(silent.accept())  # the engine asks for the image, and waits
                worker.terminate()

        worker = dock.start(text=local_file(f"localhost:{silent.getsockname()[1]}/silent:1", "web"))
        result = worker.run(on_line)
        for connection, _ in connections:
            connection.close()
    assert (result["result"], result["stage"], result["effect"]) == ("cancelled", "pull", "untouched")


@contextlib.contextmanager
def name_server(folder):
    """The system's only one, for as long as this lasts; it takes what it is asked and never answers."""
    settings = folder / "resolv.conf"
    settings.write_text("nameserver 127.0.0.9\noptions timeout:30 attempts:5\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.9", 53))
        server.setblocking(False)
        run("mount", "--bind", settings, pathlib.Path("/etc/resolv.conf").resolve())
        try:
            yield server
        finally:
            run("umount", pathlib.Path("/etc/resolv.conf").resolve())


def was_asked(server):
    with contextlib.suppress(BlockingIOError):
        return server.recv(512)
    return None


def test_a_name_server_that_does_not_answer_holds_no_stop_up(dock, folder):
    """Otherwise it would be killed before it has a result."""
    del dock.device.host["objectStore"]
    dock.device.environment.update(AWS_ENDPOINT_URL_S3="http://s3.harbour.test", AWS_ACCESS_KEY_ID="a",
                                   AWS_SECRET_ACCESS_KEY="b")

    def on_line(line):
        if line == {"stage": "fetch", "state": "begin"}:
            worker.say("go")
            wait_until(lambda: was_asked(server), 60, "nobody asks for the address")
            worker.terminate()

    with name_server(folder) as server:
        worker = dock.start()
        result = worker.run(on_line)
    assert (result["result"], result["stage"], result["effect"]) == ("cancelled", "fetch", "untouched")


def build_file(dock, dockerfile):
    """A compose file with a service that is built; the context is in the destination."""
    context = dock.device.destination / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(dockerfile)
    return ("version: '3.4'\nservices:\n  built:\n    build: ./context\n    stop_grace_period: 1s\n"
            "    command: [\"sleep\", \"1000000\"]\n    init: true\n")


def test_stops_in_the_middle_of_a_build(dock, engine, local):
    text = build_file(dock, f"FROM {local}\nRUN echo it has begun && sleep 1000000\n")
    worker = dock.start(text=text)

    def on_line(line):
        if line == {"stage": "pull", "state": "begin"}:
            worker.say("go")
            wait_until(lambda: "it has begun" in worker.log, 60, lambda: worker.log)
            worker.terminate()

    result = worker.run(on_line)
    assert (result["result"], result["stage"], result["effect"]) == ("cancelled", "pull", "untouched")
    assert not children(str(dock.device.destination))
    # The container of the build is the engine's, which removes it once its client has gone.
    wait_until(lambda: not engine.docker.containers.list(all=True), 60, "containers are left")


def test_builds_from_a_private_image_with_credentials_that_do_not_last(dock, engine, registry, image):
    text = build_file(dock, f"FROM {image}\nRUN true\n")
    result = dock.deploy(text, secrets=[dock.device.put_secret("harbour", registry.secret())])
    assert result["result"] == "success", result
    assert set(engine.containers()) == {"built"}
    assert not dock.worker.seen(registry.PASSWORD)


def test_takes_down_by_the_local_copy(dock_with, compose, engine, local):
    dock = dock_with(compose)
    assert dock.deploy(local_file(local, "web", "db"), **HERE)["result"] == "success"
    result = dock.down()
    assert result == {"result": "success", "class": "ok", "stage": None, "error": None, "message": None, "compose_version": None,
                      "effect": "stopped", "offline": False, "forced": False}
    assert dock.worker.stages("begin") == dock.worker.stages("end") == ["down"]
    assert not engine.containers(everything=True)
    assert not engine.docker.networks.list(filters={"label": f"com.docker.compose.project={PROJECT}"})


def test_takes_down_by_the_kept_file_if_the_local_copy_does_not_serve(dock_with, compose, engine, local):
    dock = dock_with(compose)
    text = local_file(local, "web")
    copies = [lambda path: path.unlink(), lambda path: path.write_text("services: [\n"),
              lambda path: path.write_text("services: {web: {colour: red}}\n"),
              lambda path: (path.unlink(), path.symlink_to("/etc/passwd"))]
    for spoil in copies:
        assert dock.deploy(text, **HERE)["result"] == "success"
        spoil(dock.device.local_copy)
        assert dock.down(kept=text)["result"] == "success"
        assert "using the generation's compose file" in dock.worker.log
        assert not engine.containers(everything=True)


def test_takes_down_by_label_without_any_file_and_says_so(dock, engine, local):
    assert dock.deploy(local_file(local, "web", "db"), **HERE)["result"] == "success"
    dock.device.local_copy.unlink()
    assert dock.down()["result"] == "success"
    assert f"stopping and removing everything labelled with project {PROJECT}" in dock.worker.log
    assert "there is no local copy" in dock.worker.log
    assert not engine.containers(everything=True)
    assert not engine.docker.networks.list(filters={"label": f"com.docker.compose.project={PROJECT}"})


def test_with_nothing_to_take_down_compose_is_not_started(dock):
    dock.device.host["docker"]["compose"] = "/bin/false"
    result = dock.down()
    assert (result["result"], result["effect"]) == ("success", "stopped")


def test_an_engine_that_does_not_run_is_told(dock):
    dock.device.host["docker"]["socket"] = "/run/none.sock"
    result = dock.down()
    assert (result["result"], result["stage"], result["effect"]) == ("fail", "down", "untouched")
    assert "no Docker socket at /run/none.sock" in result["message"]


def test_a_redeploy_without_local_copy_leaves_nothing_of_the_old(dock_with, compose, engine, local):
    dock = dock_with(compose)
    assert dock.deploy(local_file(local, "web", "old"), **HERE)["result"] == "success"
    dock.device.local_copy.unlink()
    assert dock.deploy(local_file(local, "web", "new"), **HERE)["result"] == "success"
    assert set(engine.containers(everything=True)) == {"web", "new"}


def container(engine, image, name, labels):
    return engine.docker.containers.run(image, ["sleep", "1000000"], name=name, labels=labels, detach=True)


# It has our project's label but nothing else of compose's, as a `down` that was killed may leave it.
LEFT = {"com.docker.compose.project": PROJECT}


def test_force_deploy_removes_what_is_ours_and_in_the_way(dock_with, compose, engine, local):
    dock = dock_with(compose)
    text = local_file(local, "web", container_name="the-name")
    left = container(engine, local, "the-name", LEFT)
    result = dock.deploy(text, **HERE)
    assert (result["result"], result["stage"], result["forced"]) == ("fail", "up", False)
    assert "the-name" in result["message"]
    result = dock.deploy(text, ForceDeploy="True", **HERE)
    assert (result["result"], result["forced"]) == ("success", True)
    assert ",removed container the-name" in dock.worker.log
    assert engine.containers()["web"].id != left.id


def test_a_stranger_in_the_way_is_named_and_not_touched(dock_with, compose, engine, local):
    dock = dock_with(compose)
    text = local_file(local, "web", container_name="the-name")
    theirs = container(engine, local, "the-name", {"com.docker.compose.project": "theirs"})
    result = dock.deploy(text, ForceDeploy="True", **HERE)
    assert (result["result"], result["stage"], result["error"]) == ("fail", "resolve", "InternalError")
    assert "the-name" in result["message"]
    theirs.reload()
    assert theirs.status == "running"


def test_goes_on_offline_with_what_is_here(dock, engine, local):
    text = local_file(local, "web")
    assert dock.deploy(text, **HERE)["result"] == "success"
    dock.device.host.pop("objectStore")
    dock.device.environment.update(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{free_port()}", AWS_ACCESS_KEY_ID="a",
                                   AWS_SECRET_ACCESS_KEY="b")
    result = dock.deploy(DockerOfflineMode="true")
    assert (result["result"], result["offline"]) == ("success", True)
    assert dock.kept.read_text() == text
    assert set(engine.containers()) == {"web"}
    dock.device.local_copy.write_text(local_file("worker/never:1", "web"))
    result = dock.deploy(DockerOfflineMode="true")
    assert (result["result"], result["stage"], result["error"]) == ("fail", "admit", "InternalError")
    assert "worker/never:1" in result["message"]


def test_deploys_a_version_from_s3(dock, engine, s3, local):
    bucket = s3.make_bucket("worker-versions", versions=True)
    first = s3.put(bucket, "docker-compose.yml", local_file(local, "first").encode())
    second = s3.put(bucket, "docker-compose.yml", local_file(local, "second").encode())
    dock.device.use_s3(s3)
    result = dock.deploy(bucket=bucket, **HERE)
    assert (result["result"], result["compose_version"]) == ("success", second)
    assert set(engine.containers()) == {"second"}
    result = dock.deploy(bucket=bucket, DockerComposeFileS3Version=first, **HERE)
    assert (result["result"], result["compose_version"]) == ("success", first)
    assert set(engine.containers()) == {"first"}
    assert not dock.worker.seen(s3.SECRET_KEY)


def test_health_gate_names_what_failed(dock, engine, local):
    policy = {"WaitHealthy": "true", "HealthTimeoutSeconds": "60"}
    check = "{test: [CMD, cat, /www/index.html], interval: 1s}"
    assert dock.deploy(local_file(local, "web", healthcheck=check), policy=policy, **HERE)["result"] == "success"
    assert engine.containers()["web"].attrs["State"]["Health"]["Status"] == "healthy"
    check = "{test: [CMD, cat, /none], interval: 1s, retries: 1}"
    result = dock.deploy(local_file(local, "web", healthcheck=check), policy=policy, **HERE)
    assert (result["result"], result["stage"], result["effect"]) == ("fail", "settle", "started")
    assert "is unhealthy" in result["message"] and "web" in result["message"]


@pytest.mark.parametrize("job", ["", "{", "[]", '{"job":"deploy"}', '{"job":"ship"}', "\x00"])
def test_a_malformed_job_has_a_result(dock, job):
    result = Worker(dock.program, dock.device, job).run()
    assert (result["result"], result["stage"], result["error"]) == ("fail", "validate", "InternalError")
    assert result["message"]


def test_a_definition_with_faults_has_a_result(dock):
    result = dock.deploy("", DockerComposeFileS3Bucket="x")
    assert (result["stage"], result["error"]) == ("validate", "InvalidParameter")
    assert "DockerComposeFileS3Bucket" in result["message"]
