# SPDX-License-Identifier: Apache-2.0
"""Servers and networks in trouble, with everything real: what runs goes on running, one sentence names the cause, and the
next deployment succeeds once the trouble is over.

The others of their kind are where their noun is: the Engine restarted at each stage in overlap_test.py, a full disk of the
state in retry_test.py and of the Engine in disk_test.py, a killed worker and one that stands still in worker_fault_test.py, a
docker-compose that never returns in overlap_test.py and stop_test.py, a second lightermand in life_test.py, a damaged object
in integrity_test.py.
"""
import datetime
import pathlib
import threading

import pytest

from documents import assert_failure, success
from servers.engine import compose_file
from servers.relay import Relay
from servers.server import wait_until
from small_disk import SmallDisk

BUCKET = "e2e-faults"
RATE_LIMIT = '{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'
PAGE = "<html><body>the harbour is closed</body></html>"


class Harbour:
    """A device whose S3, registry and broker are behind relays, and an application of it that runs."""

    def __init__(self, device, engine, s3, registry, broker):
        self.device, self.engine = device, engine
        self.s3, self.registry, self.broker = Relay(s3.port), Relay(registry.port), Relay(broker.port)
        self.store = s3
        if BUCKET not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
            s3.make_bucket(BUCKET)
        device.use_s3(s3)
        device.environment["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{self.s3.port}"
        device.host["mqtt"] = {"host": "127.0.0.1", "port": self.broker.port}
        self.running = None

    def close(self):
        for relay in (self.s3, self.registry, self.broker):
            relay.close()

    def group(self, name, image, **parameters):
        """The group file of an application of one service with that name."""
        self.store.put(BUCKET, f"{name}.yml", compose_file(None, [name], image).encode())
        return self.device.group(bucket=BUCKET, key=f"{name}.yml", name=f"{name}.json", **parameters)

    def deploy(self, name, image, **parameters):
        self.device.deploy(self.group(name, image, **parameters))
        self.assert_runs(name)

    def assert_runs(self, name):
        """That, alone; it is what must go on."""
        found = self.engine.containers()
        assert set(found) == {name}, found
        self.running = found[name].id

    def assert_goes_on(self):
        assert self.running in {container.id for container in self.engine.containers().values()}
        assert self.device.status["state"] in ("running", "deploying")


def done(name):
    return success(bucket=BUCKET, key=f"{name}.yml")


@pytest.fixture
def harbour(device, engine, s3, open_registry, broker, local_image, status_messages):
    found = Harbour(device, engine, s3, open_registry, broker)
    device.start()
    found.deploy("first", local_image, DockerPullBeforeUp="False")
    assert status_messages.next_json() == done("first")
    yield found
    found.close()


@pytest.fixture
def impatient(engine):
    """The Engine gives a layer one attempt, not five with pauses in between."""
    engine.configure({"max-download-attempts": 1})
    yield
    engine.configure({})


REGISTRY_TROUBLES = {
    "resets": (lambda relay: relay.troubled("reset"), "connection reset"),
    "429": (lambda relay: relay.answering("429 Too Many Requests", RATE_LIMIT, where=b"/manifests/"), "pull rate limit"),
    "500": (lambda relay: relay.answering("500 Internal Server Error", PAGE, where=b"/manifests/"), "500"),
    "a truncated layer": (lambda relay: relay.troubled("truncate", where=b"/blobs/", after=1000), "EOF"),
}


def test_a_registry_in_trouble(harbour, impatient, engine, open_registry, open_image, status_messages):
    image = open_image.replace(open_registry.address, f"localhost:{harbour.registry.port}")
    first = harbour.group("first", "harbour/local:1", DockerPullBeforeUp="False")
    for n, (trouble, words) in enumerate(REGISTRY_TROUBLES.values()):
        group = harbour.group(f"next{n}", image)
        engine.forget_image(image)
        with trouble(harbour.registry):
            harbour.device.deploy(group, status=1)
        message = status_messages.next_json()
        assert_failure(message, "InternalError", image, words)
        assert "\n" not in message["error_message"] and len(message["error_message"]) < 500, message
        harbour.assert_goes_on()
        assert harbour.device.status["last_deployment"]["stage"] == "pull"
        harbour.device.deploy(group)
        assert status_messages.next_json() == done(f"next{n}")
        assert set(engine.containers()) == {f"next{n}"}
        harbour.device.deploy(first)
        assert status_messages.next_json() == done("first")
        harbour.assert_runs("first")
    engine.forget_image(image)


def test_a_registry_that_stalls_holds_up_nothing_but_its_deployment(harbour, engine, open_registry, open_image,
                                                                    status_messages):
    """It is waited for in the middle of a layer; meanwhile all commands are answered, and what runs goes on."""
    image = open_image.replace(open_registry.address, f"localhost:{harbour.registry.port}")
    engine.forget_image(image)
    group = harbour.group("next", image)
    with harbour.registry.troubled("stall", where=b"/blobs/"):
        with harbour.device.begin(group) as deployment:
            deployment.until("pull")
            wait_until(lambda: harbour.registry.hits, 60, "the engine asks for no layer")
            harbour.assert_goes_on()
            assert harbour.device.cli("logs").stdout
            # Another deployment takes its place.
            harbour.device.deploy(harbour.group("first", "harbour/local:1", DockerPullBeforeUp="False"))
            assert deployment.end()["exit"] == 1
    assert status_messages.next_json() == done("first")
    harbour.assert_runs("first")
    harbour.device.deploy(group)
    assert status_messages.next_json() == done("next")
    harbour.assert_runs("next")
    harbour.deploy("first", "harbour/local:1", DockerPullBeforeUp="False")
    engine.forget_image(image)


S3_TROUBLES = {
    "resets": (lambda relay, **more: relay.troubled("reset", **more), "reset"),
    "429": (lambda relay, **more: relay.answering("429 Too Many Requests", PAGE, **more), "429"),
    "500": (lambda relay, **more: relay.answering("500 Internal Server Error", PAGE, **more), "500"),
    "503": (lambda relay, **more: relay.answering(
        "503 Slow Down", "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>", **more), "SlowDown"),
    "truncates": (lambda relay, **more: relay.troubled("truncate", after=400, **more), "transfer closed"),
}


def test_an_s3_in_trouble(harbour, local_image, status_messages):
    """Twice: a deployment is none the worse for it. All the time: it says so."""
    for n, (trouble, words) in enumerate(S3_TROUBLES.values()):
        group = harbour.group(f"next{n}", local_image, DockerPullBeforeUp="False")
        with trouble(harbour.s3):
            harbour.device.deploy(group, status=1)
        assert harbour.s3.hits > 1
        message = status_messages.next_json()
        assert_failure(message, "InternalError", words)
        assert str(harbour.s3.port) in message["error_message"] or BUCKET in message["error_message"], message
        assert "<html>" not in message["error_message"] and "\n" not in message["error_message"]
        harbour.assert_goes_on()
        with trouble(harbour.s3, times=2):
            harbour.device.deploy(group)
        assert status_messages.next_json() == done(f"next{n}")
        harbour.assert_runs(f"next{n}")


def test_an_s3_that_stalls_is_waited_for(harbour, local_image, status_messages):
    group = harbour.group("next", local_image, DockerPullBeforeUp="False")
    with harbour.device.begin(group) as deployment:
        with harbour.s3.troubled("stall"):
            deployment.until("fetch")
            wait_until(lambda: harbour.s3.hits, 60, "nobody asks S3")
            harbour.assert_goes_on()
        assert deployment.end()["exit"] == 0
    assert status_messages.next_json() == done("next")


BROKER_TROUBLES = {
    "stalls": lambda relay: relay.troubled("stall"),
    "resets": lambda relay: relay.troubled("reset"),
    "truncates": lambda relay: relay.troubled("truncate", after=1),
}


def next_other(status_messages, last):
    """The next message but `last`, which comes a second time if its acknowledgement was lost."""
    while (message := status_messages.next_json(120)) == last:
        pass
    return message


def test_a_broker_in_trouble_loses_no_message(harbour, local_image, status_messages):
    """A deployment does not wait for it; its status message does."""
    last = None
    for n, (kind, trouble) in enumerate(BROKER_TROUBLES.items()):
        harbour.device.wait_sent()
        with trouble(harbour.broker):
            harbour.deploy(f"next{n}", local_image, DockerPullBeforeUp="False")
            wait_until(lambda: harbour.broker.hits, 60, f"nobody met '{kind}'")  # pylint: disable=cell-var-from-loop
            harbour.device.wait_status(lambda status: kind == "stalls" or status["brokers"][0]["error"])
            broker = harbour.device.status["brokers"][0]
            assert broker["waiting"] >= 1 and (broker["error"] or "-").isprintable(), (kind, broker)
        assert next_other(status_messages, last) == done(f"next{n}"), kind
        last = done(f"next{n}")
    harbour.device.wait_sent()


def test_a_network_that_is_gone_for_a_whole_deployment(harbour, engine, open_registry, open_image, status_messages):
    image = open_image.replace(open_registry.address, f"localhost:{harbour.registry.port}")
    engine.forget_image(image)
    group = harbour.group("next", image)
    with harbour.s3.gone(), harbour.registry.gone(), harbour.broker.gone():
        harbour.device.deploy(group, status=1)
        message = harbour.device.status["last_deployment"]["message"]
        assert str(harbour.s3.port) in message and "check the network" in message, message
        harbour.assert_goes_on()
        harbour.device.kill()
        harbour.device.start()
        # It starts what was deployed, from what is here.
        harbour.device.wait_status(lambda status: status["job"] is None and status["containers"])
        assert set(engine.containers()) == {"first"} and status_messages.none_waits()
    assert_failure(status_messages.next_json(120), "InternalError", str(harbour.s3.port))
    harbour.device.deploy(group)
    messages = []
    wait_until(lambda: messages.append(status_messages.next_json()) or messages[-1] == done("next"), 120, lambda: messages)
    harbour.assert_runs("next")


def test_a_full_disk_of_the_destination(device, engine, broker, local_image, user, status_messages):
    device.use_broker(broker)
    disk = SmallDisk(device.destination)
    try:
        user.owns(device.destination)
        device.start()
        device.deploy(device.local_group(["web"], local_image))
        assert status_messages.next_json() == success()
        running = engine.containers()["web"].id
        disk.fill()
        group = device.local_group(["other"], local_image)
        device.deploy(group, status=1)
        assert_failure(status_messages.next_json(), "InternalError", str(device.destination), "free disk space")
        assert engine.containers()["web"].id == running
        disk.free()
        device.deploy(group)
        assert status_messages.next_json() == success()
        assert set(engine.containers()) == {"other"}
        assert device.stop() == 0
    finally:
        disk.unmount()


@pytest.mark.parametrize("how", ["ignores signals", "is paused"])
def test_a_container_that_never_stops(device, engine, broker, local_image, status_messages, how):
    """The Engine kills it after its grace; it is not in the way of what comes."""
    device.use_broker(broker)
    device.put_object("ships", "docker-compose.yml", compose_file(None, ["deaf"], local_image, on_term=""))
    device.start()
    device.deploy(device.group(DockerPullBeforeUp="False"))
    assert status_messages.next_json() == success()
    if how == "is paused":
        engine.containers()["deaf"].pause()
    device.deploy(device.local_group(["next"], local_image))
    assert status_messages.next_json() == success()
    assert set(engine.containers(everything=True)) == {"next"}


def test_a_clock_that_jumps(plain_device, held, engine, broker, local_image, folder, status_messages):
    """A year back, and ten on, between deployments and in the middle of one."""
    device = plain_device
    device.use_broker(broker)
    clock = folder / "clock"
    clock.write_text("+0d")
    clock.chmod(0o644)
    library, = pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    device.environment.update(LD_PRELOAD=str(library), FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1",
                              FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_DONT_RESET="1")
    device.start()
    for n, offset in enumerate(("-365d", "+3650d", "-365d")):
        group = device.local_group([f"web{n}"], local_image)
        held.hold("config")
        with device.begin(group) as deployment:
            held.wait_held("config")
            clock.write_text(offset)
            held.release()
            assert deployment.end()["exit"] == 0, device.stderr
        assert status_messages.next_json() == success()
        assert set(engine.containers()) == {f"web{n}"}
        assert device.status["state"] == "running"
        year = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=int(offset[:-1]))).year
        assert device.stderr.splitlines()[-1].startswith(f"[{year}-"), device.stderr
        # The last one counts, whatever the time says.
        assert device.status["deployment"]["generation"] == n + 1
    assert device.stop() == 0
    device.start()
    assert status_messages.next_json() == success()
    assert set(engine.containers()) == {"web2"}
    assert len(device.cli("history").stdout.splitlines()) > 3


# The Engine killed at each of its requests.

SAMPLE = 2
LEAST = 30


class Quay:
    """A device whose Engine is behind a relay, that kills it at a request."""

    def __init__(self, device, engine, images, folder):
        self.device, self.engine, self.images = device, engine, images
        self.relay = Relay(engine.SOCKET, folder / "docker.sock")
        device.host["docker"]["socket"] = str(self.relay.path)
        self.groups = {}
        for name, image in images.items():
            device.put_object("ships", f"{name}.yml", compose_file(None, ["web", name], image, restart="always"))
            self.groups[name] = device.group(key=f"{name}.yml", name=f"{name}.json")
        self.runs, self.stage = "one", None
        self.killed = threading.Event()

    def other(self):
        return "two" if self.runs == "one" else "one"

    def deploy_counted(self):
        """How many requests an update takes, from its first to its last."""
        self.engine.forget_image(self.images[self.other()])
        before = self.relay.requests
        self.device.deploy(self.groups[self.other()])
        self.runs = self.other()
        return self.relay.requests - before

    def kill_at(self, n, everything):
        """During an update, before its n-th request is passed on: dockerd alone, or with all that it has started."""
        self.killed.clear()
        self.stage = None
        begin = self.relay.requests
        begun = threading.Event()

        def on_request(number, line):
            if number - begin == n:
                self.stage = line.split("?")[0]
                begun.set()
                if everything:
                    self.engine.crash()
                else:
                    self.engine.kill()
                self.killed.set()

        self.engine.forget_image(self.images[self.other()])  # so that its layers are pulled
        self.relay.on_request = on_request
        deployment = self.device.begin(self.groups[self.other()]).end_later()
        wait_until(lambda: self.killed.is_set() or deployment.done(), 120, "the deployment does not end")
        # The deployment may see its end before all of it has ended.
        assert not begun.is_set() or self.killed.wait(60)
        self.relay.on_request = lambda number, line: None
        return deployment


def try_kill(quay, point, messages):
    """Kills the Engine there, and starts it again at once, as a service manager does."""
    n, everything = point
    deployment = quay.kill_at(n, everything)
    if quay.killed.is_set():
        quay.engine.start()
    last = deployment.result(180)
    name = quay.other()
    message = messages.next_json(120)
    if last["exit"] == 0:
        assert message == success(key=f"{name}.yml"), message
    else:
        assert message["status"] == "fail" and message["error_message"] and message["error_message"].isprintable(), message
        quay.device.wait_status(lambda status: status["job"] is None)
        quay.device.deploy(quay.groups[name])
        while messages.next_json() != success(key=f"{name}.yml"):
            pass
    quay.device.wait_status(lambda status: {container["service"] for container in status["containers"] or []
                                            if container["state"] == "running"} == {"web", name})
    assert set(quay.engine.containers(everything=True)) == {"web", name}
    quay.runs = name
    return "converged" if quay.killed.is_set() else None


def test_the_engine_killed_at_any_request(device_with, compose, engine, open_registry, open_image, broker, folder, sweep,
                                          status_messages, capsys):
    device = device_with(compose)
    device.use_broker(broker)
    images = {"one": open_image, "two": engine.publish_image(open_registry, "demo/open-two:1", "2")}
    quay = Quay(device, engine, images, folder)
    device.start()
    device.deploy(quay.groups["one"])
    total = quay.deploy_counted()
    messages = [status_messages.next_json() for _ in range(2)]
    assert [message["status"] for message in messages] == ["success", "success"]
    trial = sweep(f"kill of the Engine, docker-compose {compose.generation}")
    points = [(n, n % 2 == 0) for n in range(1, total + 1)]
    assert len(points) >= LEAST
    stages = []

    def work(_, point):
        result = try_kill(quay, point, status_messages)
        if result:
            stages.append(f"{'all' if point[1] else 'dockerd'} at {quay.stage}")
        return result

    trial.run(work, trial.sample(points, SAMPLE), [None])
    with capsys.disabled():
        print("\n".join(["", *stages]), flush=True)
    trial.end(least=LEAST if trial.exhaustive and not trial.seconds else 1)
    quay.relay.close()
