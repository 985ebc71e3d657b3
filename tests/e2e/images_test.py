# SPDX-License-Identifier: Apache-2.0
"""Which images are pulled, kept or built, with both generations of docker-compose."""
import pytest

from servers import compose as composes
from servers.engine import PROJECT
from servers.server import free_port

NO_PULL, OFFLINE = {"DockerPullBeforeUp": "False"}, {"DockerOfflineMode": "True"}
SHARED = "localhost:9/shared:7"  # of a registry that nobody runs
WAITS = "    command: [sleep, '1000000']\n    init: true\n    stop_grace_period: 1s\n"


def services(head="", **bodies):
    """A compose file of services that wait; a body is lines of YAML."""
    text = f"{head}services:\n"
    for name, lines in bodies.items():
        text += f"  {name}:\n" + "".join(f"    {line}\n" for line in lines) + WAITS
    return text


@pytest.fixture
def here(engine, local_image):
    """An image that no registry has."""
    engine.docker.images.get(local_image).tag("localhost:9/here", "1")
    return "localhost:9/here:1"


@pytest.fixture
def context(dock_with, compose, engine, local_image):
    """A device with a Dockerfile in the destination."""
    dock = dock_with(compose)
    (dock.device.destination / "Dockerfile").write_text(f"FROM {local_image}\nLABEL built=here\n")
    for name in (SHARED, f"{PROJECT}_web", f"{PROJECT}-web"):
        engine.forget_image(name)
    return dock


def built(engine, service):
    return engine.containers()[service].labels.get("built") == "here"


def test_an_image_that_another_service_builds_is_built(context, engine):
    # The one that uses it comes first in the file.
    text = services("version: '3.4'\n", app=[f"image: {SHARED}"], web=["build: .", f"image: {SHARED}"])
    for more in (NO_PULL, {}):
        engine.forget_image(SHARED)
        result = context.deploy(text, **more)
        assert result["result"] == "success", result
        assert built(engine, "web") and built(engine, "app")
        engine.remove_containers()


def test_what_can_be_built_is_pulled_first_and_built_if_that_fails(context, engine, registry, image):
    text = services(web=["build: .", f"image: {image}"])
    secrets = [context.device.put_secret("harbour", registry.secret())]
    assert context.deploy(text, secrets=secrets)["result"] == "success"
    assert not built(engine, "web")
    engine.remove_containers()
    engine.forget_image(image)
    assert context.deploy(text)["result"] == "success"  # without the secret
    assert "building it instead" in context.worker.log
    assert built(engine, "web")
    engine.remove_containers()
    engine.forget_image(image)


def test_pull_policy_never_is_kept(dock_with, compose, engine, here):
    dock = dock_with(compose)
    assert dock.deploy(services(web=[f"image: {here}", "pull_policy: never"]))["result"] == "success"
    before = engine.containers()["web"].id
    gone = services(web=["image: localhost:9/gone:1", "pull_policy: never"])
    for version in (4, 7):  # 4 takes down before it pulls
        result = dock.deploy(gone, version=version)
        assert (result["result"], result["stage"], result["effect"]) == ("fail", "admit", "untouched")
        assert "image localhost:9/gone:1 is not available locally, and pull_policy" in result["message"]
        assert engine.containers()["web"].id == before


def test_pull_policy_always_pulls_in_every_deployment_of_generation_2(dock_with, compose, engine, here):
    dock = dock_with(compose)
    result = dock.deploy(services(web=[f"image: {here}", "pull_policy: always"]), **NO_PULL)
    if compose.generation == 1:
        assert result["result"] == "success"
    else:
        assert (result["result"], result["stage"], result["effect"]) == ("fail", "pull", "untouched")
        assert f"pull image {here}: " in result["message"]


@pytest.fixture
def old_compose(dock_with, compose2, folder):
    """A device with a docker-compose 2 whose `up` has no --pull."""
    program = folder / "docker-compose"
    program.write_text("#!/bin/sh\n"
                       "case $* in version*) echo 2.14.2; exit ;; *--pull*) echo unknown flag: --pull >&2; exit 16 ;; esac\n"
                       f"exec {compose2.path} \"$@\"\n")
    program.chmod(0o755)
    return dock_with(composes.Compose(2, str(program)))


def test_an_up_that_pulls_by_itself_has_the_logins(old_compose, engine, registry, image):
    text = services(web=[f"image: {image}", "pull_policy: always"])
    result = old_compose.deploy(text, secrets=[old_compose.device.put_secret("harbour", registry.secret())])
    assert result["result"] == "success", result
    assert set(engine.containers()) == {"web"}


def test_an_up_that_would_pull_offline_is_not_begun(old_compose, engine, here):
    assert old_compose.deploy(services(web=[f"image: {here}"]), **NO_PULL)["result"] == "success"
    before = engine.containers()["web"].id
    result = old_compose.deploy(services(web=[f"image: {here}", "pull_policy: always"]), **OFFLINE)
    assert (result["result"], result["error"], result["effect"]) == ("fail", "InternalError", "untouched")
    assert f"docker-compose 2.14.2 pulls image {here} even offline" in result["message"], result
    assert engine.containers()["web"].id == before


def test_offline_pull_policy_always_takes_what_is_here(dock_with, compose, engine, here):
    dock = dock_with(compose)
    text = services(web=[f"image: {here}", "pull_policy: always"])
    for more in ({}, NO_PULL):
        result = dock.deploy(text, **OFFLINE, **more)
        assert result["result"] == "success", result
        assert set(engine.containers()) == {"web"}


@pytest.mark.parametrize("more", [OFFLINE, NO_PULL, {}], ids=["offline", "no-pull", "pull"])
def test_an_image_for_another_platform_is_found_before_what_runs_is_stopped(dock_with, compose, engine, here, more):
    dock = dock_with(compose)
    assert dock.deploy(services("version: '2.4'\n", web=[f"image: {here}"]), **NO_PULL)["result"] == "success"
    before = engine.containers()["web"].id
    text = services("version: '2.4'\n", web=[f"image: {here}", "platform: linux/arm64"])
    result = dock.deploy(text, **more)
    assert (result["result"], result["effect"]) == ("fail", "untouched")
    assert "not available locally for linux/arm64" in result["message"], result
    assert engine.containers()["web"].id == before
    never = services("version: '2.4'\n", web=[f"image: {here}", "platform: linux/arm64", "pull_policy: never"])
    if compose.generation == 2:  # format 2 of generation 1 does not know the key
        assert "not available locally for linux/arm64" in dock.deploy(never, **more)["message"]


def test_a_default_platform_counts_for_what_is_here(dock_with, compose, engine, here):
    dock = dock_with(compose)
    (dock.device.destination / ".env").write_text("DOCKER_DEFAULT_PLATFORM=linux/arm64\n")
    result = dock.deploy(services(web=[f"image: {here}"]), **OFFLINE)
    assert (result["result"], result["effect"]) == ("fail", "untouched")
    assert "not available locally for linux/arm64" in result["message"], result


def test_a_private_image_of_a_profile_that_env_activates(dock_with, compose, engine, registry, image, here):
    dock = dock_with(compose)
    text = services(base=[f"image: {here}", "pull_policy: never"], extra=[f"image: {image}", "profiles: [field]"],
                    debug=["image: localhost:9/gone:1", "profiles: [debug]"])
    (dock.device.destination / ".env").write_text("# chosen here\nexport COMPOSE_PROFILES=\"x,field\"\n")
    secrets = [dock.device.put_secret("harbour", registry.secret())]
    for more in ({}, NO_PULL):
        engine.forget_image(image)
        result = dock.deploy(text, secrets=secrets, **more)
        assert result["result"] == "success", result
        assert set(engine.containers()) == {"base", "extra"}
        engine.remove_containers()


def test_profiles_that_start_nothing_are_explained_before_what_runs_is_stopped(dock_with, compose, engine, here):
    dock = dock_with(compose)
    assert dock.deploy(services(web=[f"image: {here}"]), **NO_PULL)["result"] == "success"
    inactive = services(web=[f"image: {here}", "profiles: [field]"], db=[f"image: {here}", "profiles: [debug]"])
    needed = services(web=[f"image: {here}", "depends_on: [db]"], db=[f"image: {here}", "profiles: [debug]"])
    for text, words in ((inactive, ["all services have profiles", "COMPOSE_PROFILES", "field", "debug"]),
                        (needed, ["web", "db"])):
        result = dock.deploy(text, **NO_PULL)
        assert (result["error"], result["effect"]) == ("InvalidParameter", "untouched")
        assert all(word in result["message"] for word in words), result
        assert set(engine.containers()) == {"web"}


def test_services_that_are_scaled_to_none_need_their_images_too(dock_with, compose, engine, here):
    """As in `up` of both generations."""
    dock = dock_with(compose)
    text = services(web=[f"image: {here}"], idle=[f"image: localhost:{free_port()}/gone:1", "scale: 0"])
    result = dock.deploy(text, **NO_PULL)
    assert (result["stage"], result["effect"]) == ("pull", "untouched")


def test_one_failed_pull_lets_the_others_end(dock_with, compose2, engine, registry, image):
    dock = dock_with(compose2)
    text = services(web=[f"image: {image}"], a=["image: localhost:9/a:1"], b=["image: localhost:9/b:1"])
    result = dock.deploy(text, secrets=[dock.device.put_secret("harbour", registry.secret())])
    assert (result["result"], result["stage"], result["effect"]) == ("fail", "pull", "untouched")
    assert "1 other image failed too" in result["message"], result
    assert engine.has_image(image)
