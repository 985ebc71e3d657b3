# SPDX-License-Identifier: Apache-2.0
"""`lighterman plan`: what it says is what a deployment then does, and saying it changes nothing."""
import os
import signal

import guide
from servers.engine import compose_file
from servers.server import wait_until

KEY = "docker-compose.yml"
SLEEP = """[sh, -c, "trap 'exit 0' TERM; sleep 1000000 & wait"]"""
STAYS = {"StopContainersOnNewDeployment": "False"}


def snapshot(device, engine):
    """All that a plan must leave as it is."""
    files = {}
    for top in ("state", "app", "objects", "secrets", "run"):
        for path in (device.folder / top).rglob("*"):
            # How far the engine's events were read has nothing to do with a plan.
            if path.name in ("job.lock", "events.json", ".events.json.tmp"):
                continue
            if path.is_file():
                files[path] = (path.stat().st_mtime_ns, path.read_bytes())
            elif path.is_dir():
                files[path] = None
    things = engine.docker
    return (files, {c.id: c.status for c in things.containers.list(all=True)},
            {n.id for n in things.networks.list()}, {v.name for v in things.volumes.list()},
            {(i.id, *i.tags) for i in things.images.list(all=True)}, device.status["last_deployment"])


def plan(device, engine, group):
    """The plan as a document; it has changed nothing."""
    before = snapshot(device, engine)
    document = device.cli_json("plan", group)
    after = snapshot(device, engine)
    assert [item for item in before[0].items() if item not in after[0].items()] == []
    assert after == before
    assert device.status["job"] is None
    return document


def actions(document):
    return {s["service"]: (s["action"], s["reason"]) for s in document["services"]}


def ids(engine):
    """The containers of services that have one each."""
    return {name: c.id for name, c in engine.containers(everything=True).items() if name != "many"}


def put_application(device, services, image):
    """A compose file of these services; the values are more lines for each."""
    lines = ["version: '3.4'", "services:"]
    for name, more in services.items():
        lines += [f"  {name}:", f"    image: {image}", f"    command: {SLEEP}", "    stop_grace_period: 1s"]
        lines += [f"    {line}" for line in more]
    device.put_object("ships", KEY, "\n".join(lines) + "\n")


def test_a_fresh_device_gets_everything(device_with, compose, engine, registry):
    device = device_with(compose)
    # Whose layer no other image has.
    image = engine.publish_image(registry, "demo/fresh:1", release="fresh")
    device.put_object("ships", KEY, compose_file(None, ["web", "db"], image))
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())])
    device.start()
    document = plan(device, engine, group)
    assert actions(document) == {"web": ("created", "new"), "db": ("created", "new")}
    size = sum(size for _, size in registry.layers(image))
    [found] = document["images"]
    assert (found["image"], found["action"], found["here"]) == (image, "pull", False)
    assert (found["bytes"], found["bytes_total"], found["reason"]) == (size, size, None)
    assert (document["pull_bytes"], document["pull_unknown"], document["takes_down"]) == (size, 0, False)
    assert document["stages"] == ["prepare", "fetch", "resolve", "authenticate", "admit", "pull", "up"]
    disk = document["disk"]
    assert disk["needed_bytes"] == 4 * size and disk["directory"] == str(engine.folder / "data")
    assert disk["free_bytes"] > 0 and disk["enough"] is True and disk["reason"] is None

    said = device.cli("plan", group)
    assert said.stderr == "" and "created" in said.stdout and image in said.stdout, said
    assert device.files_with(registry.PASSWORD, "state", "run", "gg", "app") == []


def test_what_is_deployed_is_taken_down_or_left_alone(device_with, compose, engine, registry, image):
    device = device_with(compose)
    device.put_object("ships", KEY, compose_file(None, ["web", "db"], image))
    secret = device.put_secret("harbour", registry.secret())
    group = device.group(secrets=[secret])
    device.start()
    device.deploy(group)
    document = plan(device, engine, group)
    assert actions(document) == {"web": ("recreated", "down"), "db": ("recreated", "down")}
    assert [s["changes"] for s in document["services"]] == [[], []]
    [found] = document["images"]
    assert (found["action"], found["here"], found["bytes"]) == ("keep", True, 0)
    assert (document["pull_bytes"], document["disk"]["needed_bytes"], document["takes_down"]) == (0, 0, True)
    assert "down" in document["stages"]

    stays = device.group(secrets=[secret], name="stays.json", **STAYS)
    document = plan(device, engine, stays)
    assert actions(document) == {"web": ("left_alone", "unchanged"), "db": ("left_alone", "unchanged")}
    assert "down" not in document["stages"]


APPLICATION = {
    "db": ["environment: [X=1]"],
    "web": ["depends_on: [db]", "env_file: vars.env", "environment: [HOME]"],
    "linked": ["links: [db]"],
    "side": ["network_mode: \"service:calm\""],
    "calm": [],
    "volumes": ["volumes_from: [calm]"],
    "many": ["deploy: {replicas: 2}"],
    "old": [],
    "asleep": [],
}


def test_a_plan_says_what_then_happens(device_with, compose, engine, local_image):
    device = device_with(compose)
    (device.destination / "vars.env").write_text("A=1\n")
    device.user.owns(device.destination / "vars.env")
    put_application(device, APPLICATION, local_image)
    group = device.group(DockerPullBeforeUp="False", **STAYS)
    device.start()
    device.deploy(group)
    document = plan(device, engine, group)
    assert set(actions(document).values()) == {("left_alone", "unchanged")}, actions(document)

    engine.containers()["asleep"].stop(timeout=1)
    changed = {**APPLICATION, "db": ["environment: [X=2]"], "many": ["deploy: {replicas: 3}"], "fresh": []}
    del changed["old"]
    put_application(device, changed, local_image)
    document = plan(device, engine, group)
    predicted = actions(document)
    assert predicted["db"] == ("recreated", "definition")
    assert predicted["fresh"] == ("created", "new")
    assert predicted["old"] == ("left_alone", "gone")
    assert predicted["asleep"] == ("started", "stopped")
    assert predicted["many"] == ("created", "scale")
    assert predicted["linked"] == ("recreated", "dependency")

    before = ids(engine)
    device.deploy(group)
    after = ids(engine)
    remade = {name for name in before if after.get(name) != before[name]}
    assert remade == {name for name, (action, _) in predicted.items() if action == "recreated"}
    assert set(after) - set(before) == {"fresh"}
    assert "recreated" not in {action for action, _ in actions(plan(device, engine, group)).values()}


def test_containers_of_the_other_docker_compose_are_made_anew(device_with, compose1, compose2, engine, local_image):
    first, second = device_with(compose1), device_with(compose2)
    for device in (first, second):
        put_application(device, {"web": []}, local_image)
    first.start()
    first.deploy(first.group(DockerPullBeforeUp="False", **STAYS))
    assert first.stop() == 0
    second.start()
    document = plan(second, engine, second.group(DockerPullBeforeUp="False", **STAYS))
    assert actions(document) == {"web": ("recreated", "docker-compose")}


def test_offline_the_local_copy_is_planned(device, engine, local_image):
    group = device.local_group(["web"], local_image, DockerOfflineMode="True")
    device.start()
    device.deploy(group)
    assert device.stop() == 0
    device.host.pop("objectStore")
    device.environment.update({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                               "AWS_SECRET_ACCESS_KEY": "hunter2"})
    device.start()
    device.cli("stop")
    document = plan(device, engine, group)
    assert (document["offline"], document["pull_bytes"]) == (True, 0)
    assert actions(document) == {"web": ("created", "new")}
    engine.docker.images.get(local_image).tag("harbour/elsewhere:1")
    engine.forget_image(local_image)
    [found] = plan(device, engine, group)["images"]
    assert (found["action"], found["bytes"]) == ("missing", None)
    engine.docker.images.get("harbour/elsewhere:1").tag(local_image)
    engine.docker.images.remove("harbour/elsewhere:1")


def test_only_the_layers_that_are_not_here_count(device, engine, registry):
    base = engine.make_image(registry.image("demo/base:1"), release="plan base")
    upper = engine.extend_image(base, registry.image("demo/upper:1"), release="upper")
    other = engine.extend_image(base, registry.image("demo/other:1"), release="other")
    for reference in (upper, other, base):
        engine.publish(registry, reference)
    device.put_object("ships", KEY, compose_file(None, ["web"], base))
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())])
    device.start()

    # Nothing is here: what two images have in common is pulled once.
    text = compose_file(None, ["one"], upper) + compose_file(None, ["two"], other).split("services:\n")[1]
    device.put_object("ships", "two.yml", text)
    both = device.group(key="two.yml", secrets=[device.put_secret("harbour", registry.secret())], name="two.json")
    [(_, base_size), (_, upper_size)] = registry.layers(upper)
    [_, (_, other_size)] = registry.layers(other)
    document = plan(device, engine, both)
    assert document["pull_bytes"] == base_size + upper_size + other_size

    device.deploy(group)
    document = plan(device, engine, both)
    assert [i["bytes"] for i in document["images"]] == [upper_size, other_size]
    assert [i["bytes_total"] for i in document["images"]] == [base_size + upper_size, base_size + other_size]
    assert document["pull_bytes"] == upper_size + other_size
    assert actions(document) == {"one": ("created", "new"), "two": ("created", "new"), "web": ("removed", "gone")}
    for reference in (upper, other, base):
        engine.forget_image(reference)


def test_client_devices_are_planned_with_their_files(device_with, compose2, engine, local_image):
    device = device_with(compose2)
    device.put_object("ships", "docker-compose.yml", guide.compose_file("device", image=local_image))
    device.start()
    without = device.cli_json("plan", device.group(DockerPullBeforeUp="False"))
    assert without["devices"] is None
    # Without such a device in the group nobody puts its certificates there.
    assert [problem["level"] for problem in without["problems"]] == ["warning"]
    assert f"{device.destination}/devices/{guide.THING}" in without["problems"][0]["message"]
    group = device.group(DockerPullBeforeUp="False", arrays=guide.arrays())
    found = device.cli_json("plan", group)
    assert found["devices"] == {"devices": 2, "subscriptions": 2, "broker_port": 8883, "discovery_ports": [8443, 443],
                                "cloud": False}
    assert found["problems"] == []
    assert "client devices   2, with 2 subscriptions; local broker on port 8883, discovery on 8443, 443\n" in \
        device.cli("plan", group).stdout


def test_a_tag_that_was_moved_is_another_image(device_with, compose, engine, registry):
    device = device_with(compose)
    moved = engine.publish_image(registry, "demo/moved:1", release="moved old")
    device.put_object("ships", KEY, compose_file(None, ["web"], moved))
    secret = device.put_secret("harbour", registry.secret())
    group = device.group(secrets=[secret], **STAYS)
    device.start()
    device.deploy(group)
    size = sum(size for _, size in registry.layers(moved))
    container = engine.containers()["web"].id

    engine.docker.images.get(moved).tag("harbour/keep:1")
    engine.publish_image(registry, "demo/moved:1", release="moved new")
    engine.docker.images.get("harbour/keep:1").tag(moved)
    document = plan(device, engine, group)
    assert actions(document) == {"web": ("recreated", "image")}
    [found] = document["images"]
    assert found["action"] == "pull" and found["bytes"] > size / 2
    # Versions that do not pull on purpose leave it as it is.
    quiet = device.group(secrets=[secret], name="quiet.json", DockerPullBeforeUp="False", **STAYS)
    document = plan(device, engine, quiet)
    assert actions(document) == {"web": ("left_alone", "unchanged")} and document["images"][0]["action"] == "keep"
    device.deploy(group)
    assert engine.containers()["web"].id != container
    engine.remove_containers()
    engine.forget_image("harbour/keep:1")
    engine.forget_image(moved)


def test_a_registry_that_does_not_tell_is_no_failure(device, engine, registry, image):
    device.put_object("ships", KEY, compose_file(None, ["web"], image))
    wrong = device.group(secrets=[device.put_secret("wrong", registry.secret(password="wr0ng-w0rd"))])
    without = device.group(name="without.json")
    device.start()
    for group, word in ((wrong, registry.USER), (without, "requires a login")):
        document = plan(device, engine, group)
        [found] = document["images"]
        assert (found["bytes"], found["action"], document["pull_unknown"]) == (None, "pull", 1)
        assert registry.address in found["reason"] and word in found["reason"], found
        assert actions(document) == {"web": ("created", "new")}
        assert document["disk"]["enough"] is None
    registry.stop()
    said = device.cli("plan", wrong).stdout
    assert "unknown" in said and registry.address in said
    assert device.files_with("wr0ng-w0rd", "state", "run", "gg", "app") == []
    assert "wr0ng-w0rd" not in said + device.stderr


def test_a_registry_of_ecr_is_asked_by_tls_with_a_token(device, engine, authority, ecr, ecr_registry):
    image = engine.publish_image(ecr_registry, "demo/asked:1", release="asked")
    device.environment.update(ecr.environment())
    device.put_object("ships", KEY, compose_file(None, ["web"], image))
    device.start()
    [found] = plan(device, engine, device.group())["images"]
    assert found["bytes"] is None and "the certificate of" in found["reason"], found
    assert device.stop() == 0
    device.environment["AWS_CA_BUNDLE"] = str(authority.certificate)
    device.start()
    [found] = plan(device, engine, device.group())["images"]
    assert found["bytes"] and found["bytes"] == found["bytes_total"] and found["reason"] is None, found
    assert device.files_with(ecr_registry.PASSWORD, "state", "run", "gg", "app") == []


def test_what_a_deployment_would_fail_on_fails_the_plan(device, engine, local_image):
    group = device.local_group(["web"], local_image)
    device.start()
    missing = device.cli("plan", device.group(key="none.yml", name="missing.json"), check=False)
    assert missing.returncode == 1 and "none.yml" in missing.stderr and missing.stdout == ""
    wrong = device.cli("plan", device.group(bucket=None, ForceDeploy="perhaps", name="wrong.json"), check=False)
    assert wrong.returncode == 2
    for name in ("DockerComposeFileS3Bucket", "ForceDeploy"):
        assert len([line for line in wrong.stderr.splitlines() if name in line]) == 1, wrong.stderr
    engine.stop()
    away = device.cli("plan", group, "--json", check=False)
    assert away.returncode == 1 and "Docker" in away.stdout and away.stderr == ""
    status = device.status
    assert (status["state"], status["last_deployment"]) == ("empty", None)
    assert device.ask("plan")["exit"] == 2


def test_a_disk_that_is_too_small_is_said_to_be_so(device, engine, registry, image):
    device.put_object("ships", KEY, compose_file(None, ["web"], image))
    group = device.group(secrets=[device.put_secret("harbour", registry.secret())],
                         policy={"MinFreeDiskMB": str(10**7)})
    device.start()
    disk = plan(device, engine, group)["disk"]
    assert (disk["reserve_bytes"], disk["enough"]) == (10**7 << 20, False)
    assert "not enough" in device.cli("plan", group).stdout


def test_a_crash_during_a_plan_is_a_crash(device, held, engine, local_image):
    """A plan stops nothing: what ends meanwhile has ended by itself."""
    group = device.local_group(["web"], local_image)
    device.start()
    device.deploy(group)
    held.hold("config")
    with device.control("plan", group=group.read_text()) as planned:
        held.wait_held("config")
        os.kill(engine.containers()["web"].attrs["State"]["Pid"], signal.SIGKILL)
        [crash] = wait_until(lambda: device.cli_json("crashes"), 30, "the crash is not told")
        assert (crash["service"], crash["exit_code"]) == ("web", 137)
        held.release()
        assert planned.end()["exit"] == 0


def test_a_plan_gives_way_and_waits_for_nobody(device, held, engine, local_image):
    group = device.local_group(["web"], local_image)
    device.start()
    held.hold("config")
    with device.control("plan", group=group.read_text()) as planned:
        held.wait_held("config")
        assert device.status["job"]["kind"] == "plan"
        assert device.cli("plan", group, check=False).returncode == 1
        deployment = device.begin(group)
        last = planned.end()
        assert last["exit"] == 1 and "another command" in last["message"], last
    assert deployment.end()["exit"] == 0

    held.hold("config")
    with device.begin(group) as deployment:
        held.wait_held("config")
        busy = device.cli("plan", group, check=False)
        assert busy.returncode == 1 and "generation 2 is being deployed" in busy.stderr
        held.release()
        assert deployment.end()["exit"] == 0

    # Nobody waits for it any more.
    held.hold("config")
    planned = device.control("plan", group=group.read_text())
    held.wait_held("config")
    planned.close()
    device.wait_status(lambda status: status["job"] is None)
    held.wait_gone()
