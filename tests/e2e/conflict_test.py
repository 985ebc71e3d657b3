# SPDX-License-Identifier: Apache-2.0
"""What is in the way of `up`: who holds it is found out and named, and ForceDeploy removes exactly that."""
import contextlib
import socket
import subprocess

import pytest

from servers.engine import PROJECT, compose_file
from servers.server import free_port, run, wait_until

HERE = {"DockerPullBeforeUp": "False"}
IN_PLACE = {**HERE, "StopContainersOnNewDeployment": "False"}
FORCE = {"ForceDeploy": "True"}


@pytest.fixture(scope="session")
def local(_engine):
    if not _engine.running:
        _engine.start()
    return _engine.make_image("conflict/local:1")


def labels(service, project=PROJECT):
    return {"com.docker.compose.project": project, "com.docker.compose.service": service}


def left(engine, image, name=None, **more):
    """A container that holds something and ends at once on SIGTERM."""
    return engine.docker.containers.run(image, ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"], name=name,
                                        detach=True, **more)


def networks(engine):
    """Those of our project, by name."""
    return {network.name: network for network in engine.docker.networks.list(
        filters={"label": f"com.docker.compose.project={PROJECT}"})}


def failed(result, *words, stage="up"):
    assert (result["result"], result["stage"], result["forced"]) == ("fail", stage, False), result
    for word in words:
        assert word in result["message"], result


def refused(result, *words):
    """Before anything was stopped, as what is in the way is not ours."""
    failed(result, *words, stage="resolve")


def test_force_deploy_removes_only_what_is_in_the_way(dock_with, compose, engine, local):
    """A container of ours that no service has any more holds a port; the rest of the application is not touched."""
    dock, port = dock_with(compose), free_port()
    first = compose_file(None, ["keep", "old"], local, ports={"old": port})
    assert dock.deploy(first, **IN_PLACE)["result"] == "success"
    before = engine.containers()
    second = compose_file(None, ["keep", "web"], local, ports={"web": port})
    failed(dock.deploy(second, **IN_PLACE), f"port 127.0.0.1:{port}/tcp of service web is in use by container "
           f"'{before['old'].name}' of an earlier deployment: run 'docker rm -f {before['old'].name}', or set "
           "ForceDeploy to True")
    started = engine.docker.containers.get(before["keep"].id).attrs["State"]["StartedAt"]

    result = dock.deploy(second, **IN_PLACE, **FORCE)

    assert (result["result"], result["forced"]) == ("success", True)
    after = engine.containers(everything=True)
    assert set(after) == {"keep", "web"}
    assert after["keep"].id == before["keep"].id and after["keep"].attrs["State"]["StartedAt"] == started
    assert dock.worker.log.count(",removed ") == 1


def test_what_is_in_the_way_is_stopped_with_its_grace_and_keeps_its_volumes(dock_with, compose, engine, local):
    dock = dock_with(compose)
    holder = engine.docker.containers.run(
        local, ["sh", "-c", "trap 'echo put in order > /data/end; exit 0' TERM; sleep 1000000 & wait"], name="the-name",
        labels=labels("old"), volumes=["/data"], detach=True)
    volume = holder.attrs["Mounts"][0]["Name"]
    result = dock.deploy(compose_file(None, ["web"], local, container_name="the-name"), **IN_PLACE, **FORCE)
    assert (result["result"], result["forced"]) == ("success", True)
    said = engine.docker.containers.run(local, ["cat", "/data/end"], volumes=[f"{volume}:/data"], remove=True)
    assert said == b"put in order\n"


@pytest.mark.parametrize("force", [{}, FORCE], ids=["plain", "force"])
def test_a_port_of_a_strangers_container(dock_with, compose, engine, local, force):
    dock, port = dock_with(compose), free_port()
    theirs = left(engine, local, "theirs", labels=labels("web", "harbour"), ports={"80/tcp": port})
    refused(dock.deploy(compose_file(None, ["web"], local, ports={"web": port}), **IN_PLACE, **force),
           f"port 127.0.0.1:{port}/tcp of service web is in use by container 'theirs', which does not belong to this "
           "application (project 'harbour'): run 'docker rm -f theirs', or publish another port")
    theirs.reload()
    assert theirs.status == "running"


@contextlib.contextmanager
def listening(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as server:
        server.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("family,address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"),
                                            (socket.AF_INET6, "::")])
def test_a_port_of_another_program(dock_with, compose1, local, family, address):
    with listening(family, address) as port:
        result = dock_with(compose1).deploy(compose_file(None, ["web"], local, ports={"web": port}), **IN_PLACE, **FORCE)
    # A socket of IPv6 may be of IPv6 alone: only `up` finds out.
    failed(result, f"port 127.0.0.1:{port}/tcp of service web is in use by a program of user root: stop it (as root, "
           f"'ss -ltnp sport = :{port}' names it), or publish another port",
           stage="up" if family == socket.AF_INET6 else "resolve")


def test_a_program_that_may_be_seen_is_named(dock_with, compose2, local, user):
    code = ("import socket,sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
            "print(s.getsockname()[1], flush=True); sys.stdin.read()")
    server = subprocess.Popen(["setpriv", f"--reuid={user.uid}", f"--regid={user.uid}", "--clear-groups",
                               "/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with server:
        port = int(server.stdout.readline())
        result = dock_with(compose2).deploy(compose_file(None, ["web"], local, ports={"web": port}), **IN_PLACE)
        server.stdin.close()
    refused(result, f"in use by program 'python3' (PID {server.pid}, user {user.name}): stop it")


NETWORKS = """version: '3.7'
services:
  web:
    image: {image}
    command: &command [sh, -c, "trap 'exit 0' TERM; sleep 1000000 & wait"]
    networks: [back, {project}_x]
    volumes: ['data:/data', /anonymous]
    stop_grace_period: 1s
  db:
    image: {image}
    command: *command
    container_name: db
    networks: [back]
    stop_grace_period: 1s
networks:
  back:
    name: backnet
  {project}_x:
volumes:
  data:
"""


@pytest.mark.parametrize("stop", ["True", "False"])
@pytest.mark.parametrize("order", ["1-to-2", "2-to-1"])
def test_another_generation_of_docker_compose_takes_over(dock_with, compose1, compose2, engine, local, order, stop):
    first, second = (compose1, compose2) if order == "1-to-2" else (compose2, compose1)
    text = NETWORKS.format(image=local, project=PROJECT)
    parameters = {**HERE, "StopContainersOnNewDeployment": stop}
    dock = dock_with(first)
    assert dock.deploy(text, **parameters)["result"] == "success"
    before = engine.containers()
    anonymous = {mount["Name"] for mount in before["web"].attrs["Mounts"]}
    dock.device.host["docker"]["compose"] = second.path

    result = dock.deploy(text, **parameters)

    assert (result["result"], result["message"], result["forced"]) == ("success", None, False)
    after = engine.containers(everything=True)
    assert set(after) == {"web", "db"}
    assert all(container.status == "running" for container in after.values())
    assert set(after["db"].attrs["NetworkSettings"]["Networks"]) == {"backnet"}
    if stop == "False":
        assert {mount["Name"] for mount in after["web"].attrs["Mounts"]} == anonymous
    dock.device.host["docker"]["compose"] = first.path
    assert dock.down()["result"] == "success"
    assert not engine.containers(everything=True) and not networks(engine)


def test_stop_removes_the_networks_that_the_other_generation_made(dock_with, compose1, compose2, engine, local):
    dock = dock_with(compose1)
    assert dock.deploy(NETWORKS.format(image=local, project=PROJECT), **HERE)["result"] == "success"
    assert len(networks(engine)) == 2
    dock.device.host["docker"]["compose"] = compose2.path
    assert dock.down()["result"] == "success"
    assert not engine.containers(everything=True) and not networks(engine)
    assert ",removed network backnet" in dock.worker.log


def test_a_stranger_in_a_network_of_the_other_generation(dock_with, compose1, compose2, engine, local):
    dock = dock_with(compose1)
    text = NETWORKS.format(image=local, project=PROJECT)
    assert dock.deploy(text, **IN_PLACE)["result"] == "success"
    before = {service: container.id for service, container in engine.containers().items()}
    left(engine, local, "theirs", network="backnet")
    dock.device.host["docker"]["compose"] = compose2.path
    refused(dock.deploy(text, **IN_PLACE, **FORCE), "container 'theirs' uses",
           "run 'docker network disconnect -f backnet theirs'")
    assert {service: container.id for service, container in engine.containers().items()} == before


def test_containers_whose_network_is_gone(dock_with, compose, engine, local):
    """They were stopped, and then somebody pruned the networks."""
    dock, text = dock_with(compose), compose_file(None, ["web", "db"], local)
    assert dock.deploy(text, **IN_PLACE)["result"] == "success"
    for container in engine.containers().values():
        container.stop()
    engine.docker.networks.prune()
    name = engine.containers(everything=True)["web"].name
    result = dock.deploy(text, **IN_PLACE)
    failed(result, f"the network '{PROJECT}_default' is gone, and container", f"run 'docker rm -f {name}'")
    result = dock.deploy(text, **IN_PLACE, **FORCE)
    assert (result["result"], result["forced"]) == ("success", True)
    assert set(engine.containers()) == {"web", "db"}


def with_subnet(image, key, subnet):
    return (compose_file(None, ["web"], image, networks=f"[{key}]").replace("'3.4'", "'3.7'")
            + f"networks: {{{key}: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}}}\n")


def test_a_subnet_of_an_earlier_deployment(dock_with, compose, engine, local):
    dock = dock_with(compose)
    assert dock.deploy(with_subnet(local, "old", "10.213.0.0/16"), **IN_PLACE)["result"] == "success"
    text = with_subnet(local, "new", "10.213.7.0/24")
    failed(dock.deploy(text, **IN_PLACE), f"the subnet 10.213.7.0/24 overlaps with 10.213.0.0/16 of network "
           f"'{PROJECT}_old' of an earlier deployment: run 'docker network rm {PROJECT}_old'")
    result = dock.deploy(text, **IN_PLACE, **FORCE)
    assert (result["result"], result["forced"]) == ("success", True)
    assert set(networks(engine)) == {f"{PROJECT}_new"}


def test_a_strangers_subnet(dock_with, compose, engine, local):
    run("docker", "--host", f"unix://{engine.SOCKET}", "network", "create", "--subnet", "10.214.0.0/16", "theirs")
    refused(dock_with(compose).deploy(with_subnet(local, "new", "10.214.7.0/24"), **IN_PLACE, **FORCE),
           "overlaps with 10.214.0.0/16 of network 'theirs', which does not belong to this application: "
           "run 'docker network rm "
           "theirs', or choose another subnet")
    assert engine.docker.networks.list(names=["theirs"])


def test_a_strangers_network_of_that_name(dock_with, compose2, engine, local):
    """Generation 1 takes it."""
    engine.docker.networks.create("backnet")
    refused(dock_with(compose2).deploy(NETWORKS.format(image=local, project=PROJECT), **IN_PLACE, **FORCE),
           "the network name 'backnet' is in use by a network, which does not belong to this application: "
           "run 'docker network rm "
           "backnet'")
    assert engine.docker.networks.list(names=["backnet"])


def test_a_network_whose_definition_changed(dock_with, compose1, engine, local):
    """docker-compose 1 refuses it; its containers keep their volumes and get into the new one."""
    dock = dock_with(compose1)
    first = NETWORKS.format(image=local, project=PROJECT)
    assert dock.deploy(first, **IN_PLACE)["result"] == "success"
    before = engine.containers()
    second = first.replace("name: backnet", "{name: backnet, internal: true}")
    words = "the network 'backnet' differs in 'internal' from the network of that name of an earlier deployment"
    failed(dock.deploy(second, **IN_PLACE), words, "'lighterman stop'")
    assert set(engine.containers()) == {"web", "db"}
    result = dock.deploy(second, **IN_PLACE, **FORCE)
    assert (result["result"], result["forced"]) == ("success", True), result
    after = engine.containers()
    assert {name: container.id for name, container in after.items()} == {name: c.id for name, c in before.items()}
    assert engine.docker.networks.get("backnet").attrs["Internal"]
    for container in after.values():
        assert "backnet" in container.attrs["NetworkSettings"]["Networks"]
        assert container.attrs["NetworkSettings"]["Networks"]["backnet"]["IPAddress"]


def test_an_external_network_that_an_earlier_deployment_made(dock_with, compose, engine, local):
    """`down` takes it away: that is found before."""
    dock = dock_with(compose)
    first = NETWORKS.format(image=local, project=PROJECT)
    assert dock.deploy(first, **HERE)["result"] == "success"
    before = {name: container.id for name, container in engine.containers().items()}
    second = first.replace("name: backnet", "{external: true, name: backnet}").replace("back:\n    {", "back: {")
    for more in ({}, FORCE):
        refused(dock.deploy(second, **HERE, **more), "network 'back' is external", "leave out 'external'")
        assert {name: container.id for name, container in engine.containers().items()} == before
    assert dock.down()["result"] == "success"
    engine.docker.networks.create("backnet")
    try:
        assert dock.deploy(second, **HERE)["result"] == "success"
        assert dock.deploy(second, **HERE)["result"] == "success"
    finally:
        engine.remove_containers()
        engine.docker.networks.get("backnet").remove()


def test_networks_that_the_file_lost_go_once_the_new_deployment_is_up(dock_with, compose, engine, local):
    dock = dock_with(compose)
    assert dock.deploy(with_subnet(local, "old", "10.215.0.0/16"), **IN_PLACE)["result"] == "success"
    failing = with_subnet(local, "new", "10.216.0.0/16").replace("command:", "entrypoint: [/none]\n    command:")
    assert dock.deploy(failing, **IN_PLACE)["result"] == "fail"
    assert f"{PROJECT}_old" in networks(engine)
    assert dock.deploy(with_subnet(local, "new", "10.216.0.0/16"), **IN_PLACE)["result"] == "success"
    assert set(networks(engine)) == {f"{PROJECT}_new"}


def test_a_generated_name_that_a_stranger_has(dock_with, compose, engine, local):
    name = f"{PROJECT}_web_1" if compose.generation == 1 else f"{PROJECT}-web-1"
    theirs = left(engine, local, name)
    refused(dock_with(compose).deploy(compose_file(None, ["web"], local), **IN_PLACE, **FORCE),
           f"the container name '{name}' of service web is in use by container '{name}', which does not belong to "
           f"this application: run 'docker rm -f {name}'")
    theirs.reload()
    assert theirs.status == "running"


def test_all_of_ours_that_is_in_the_way_goes(dock_with, compose, engine, local):
    dock, port = dock_with(compose), free_port()
    left(engine, local, "the-name", labels=labels("old"))
    left(engine, local, "holder", labels=labels("older"), ports={"80/tcp": port})
    left(engine, local, "bystander", labels=labels("oldest"))
    text = compose_file(None, ["web"], local, ports={"web": port}, container_name="the-name")
    result = dock.deploy(text, **IN_PLACE, **FORCE)
    assert (result["result"], result["forced"]) == ("success", True)
    assert set(engine.containers()) == {"web", "oldest"}


def test_the_port_moves_from_one_service_to_another(dock_with, compose, engine, local):
    dock, port = dock_with(compose), free_port()
    assert dock.deploy(compose_file(None, ["a", "b"], local, ports={"a": port}), **IN_PLACE)["result"] == "success"
    assert dock.deploy(compose_file(None, ["a", "b"], local, ports={"b": port}), **IN_PLACE, **FORCE)["result"] == "success"
    assert set(engine.containers()) == {"a", "b"}


def test_a_service_of_an_active_profile_has_its_conflicts_found_too(dock_with, compose, engine, local):
    dock, port = dock_with(compose), free_port()
    (dock.device.destination / ".env").write_text("COMPOSE_PROFILES=debug\n")
    text = compose_file(None, ["web"], local, ports={"web": port}, profiles="[debug]")
    assert dock.deploy(compose_file(None, ["old"], local, ports={"old": port}), **IN_PLACE)["result"] == "success"
    result = dock.deploy(text, **IN_PLACE, **FORCE)
    assert (result["result"], result["forced"], set(engine.containers())) == ("success", True, {"web"}), result
    engine.remove_containers()
    left(engine, local, "theirs", ports={"8080/tcp": ("127.0.0.1", port)})
    refused(dock.deploy(text, **IN_PLACE), "in use by container 'theirs'")


def test_what_is_not_ours_is_found_before_what_runs_is_stopped(dock_with, compose, engine, local):
    dock, port = dock_with(compose), free_port()
    assert dock.deploy(compose_file(None, ["web"], local), **HERE)["result"] == "success"
    before = engine.containers()["web"].id
    theirs = left(engine, local, "the-name")
    with listening(socket.AF_INET, "127.0.0.1") as taken:
        for wish in ({"container_name": "the-name"}, {"ports": {"web": taken}}):
            refused(dock.deploy(compose_file(None, ["web"], local, **wish), **HERE, **FORCE))
            assert engine.containers()["web"].id == before
    theirs.remove(force=True)
    assert dock.deploy(compose_file(None, ["web"], local, ports={"web": port}, container_name="the-name"),
                       **HERE)["result"] == "success"


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_of_our_own_program_is_free_once_it_is_stopped(dock_with, compose2, engine, local):
    """Its container is in the host's network, so that the engine knows of no port."""
    dock, port = dock_with(compose2), free_port()
    text = compose_file(None, ["web"], local, network_mode="host").replace(
        "sleep 1000000 & wait", f"httpd -f -p {port} -h /www & wait")
    assert dock.deploy(text, **HERE)["result"] == "success"
    wait_until(lambda: listens(port), 30, "nobody listens")
    assert dock.deploy(compose_file(None, ["web"], local, ports={"web": port}), **HERE)["result"] == "success"
