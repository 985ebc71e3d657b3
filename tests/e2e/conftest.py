# SPDX-License-Identifier: Apache-2.0
"""Fixtures: real servers, started when a test first asks for one, and devices to deploy to. See docs/testing.md."""
import contextlib
import os
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import shares  # noqa: E402
from device import Device  # noqa: E402
from servers import compose as composes  # noqa: E402
from servers.authority import Authority  # noqa: E402
from servers.aws_services import CloudWatchLogs, Ecr, SecretsManager  # noqa: E402
from servers.broker import STATUS_TOPIC, Broker  # noqa: E402
from servers.engine import Engine  # noqa: E402
from servers.local_broker import LocalBroker  # noqa: E402
from servers.locked_s3 import LockedS3  # noqa: E402
from servers.registry import EcrRegistry, Registry  # noqa: E402
from servers.role_credentials import RoleCredentials  # noqa: E402
from servers.s3 import S3  # noqa: E402
from servers.sts import Sts  # noqa: E402
from servers.summed_s3 import SummedS3  # noqa: E402
from small_disk import SmallDisk  # noqa: E402
from sweep_fixtures import berths, careful_berths, installed, serving, sweep, tools  # noqa: E402,F401
from users import add_user  # noqa: E402
from voyage import Stubborn, Voyage  # noqa: E402
from watch import Watch  # noqa: E402
from worker import Dock  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--programs", help="the folder of lightermand, lighterman-worker and lighterman")
    parser.addoption("--compose2", help="a docker-compose of the second generation")
    parser.addoption("--device-sdk", help="what fetch-device-sdk prints; default: the folder beside --compose2")
    parser.addoption("--exhaustive", action="store_true", help="sweeps try all of their points, not a sample")
    parser.addoption("--sweep-seed", type=int, default=1, help="which points a sample has")
    parser.addoption("--sweep-seconds", type=int, help="each sweep leaves out what it has not tried by then")
    parser.addoption("--sweep-report", metavar="FILE", help="where sweeps add what they counted, a JSON object on each line")
    parser.addoption("--share", metavar="FOLDER", help="run only modules that no other run with this folder has taken")


def pytest_configure(config):
    if "LIGHTERMAN_SANDBOX" not in os.environ:
        pytest.exit("these tests start servers and add users: run them with `scripts/test e2e [-k WORD]`", 64)
    for name in ("programs", "compose2"):
        if not config.getoption(name):
            pytest.exit(f"--{name} is missing: run the tests with `scripts/test e2e [-k WORD]`", 64)
    if config.getoption("--sweep-report"):
        os.environ["SWEEP_REPORT"] = config.getoption("--sweep-report")


def pytest_runtestloop(session):
    folder = session.config.getoption("--share")
    if not folder or session.testsfailed or session.config.option.collectonly:
        return None
    shares.run(session, shares.taken(shares.longest_first(session.items), folder))
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With a failure goes what the devices of that test wrote."""
    report = (yield).get_result()
    make = getattr(item, "funcargs", {}).get("device_with")
    for device in make.devices if report.failed and make else []:
        report.sections += [("lightermand", device.stderr[-20000:]), ("connector log", device.log[-20000:])]


@pytest.fixture(scope="session")
def sandbox():
    """The folder of this run, which every user can reach."""
    return pathlib.Path(os.environ["LIGHTERMAN_SANDBOX"])


@pytest.fixture
def folder(sandbox):
    """An empty folder of this test, which every user can reach. Its path is short: sockets are put there."""
    folder.count += 1
    path = sandbox / f"t{folder.count}"
    path.mkdir()
    path.chmod(0o755)
    return path


folder.count = 0


@pytest.fixture(scope="session")
def programs(sandbox, request):
    """A copy of the programs: the checkout may be where other users cannot go."""
    source = pathlib.Path(request.config.getoption("--programs"))
    if not (source / "lightermand").exists():
        pytest.skip("the build has no programs yet")
    target = sandbox / "bin"
    target.mkdir()
    target.chmod(0o755)
    for path in source.iterdir():
        if path.is_file() and os.access(path, os.X_OK):
            shutil.copy(path, target)
    return target


@pytest.fixture(scope="session")
def user(sandbox):
    """The user of the applications: may use the engine."""
    return add_user("lmtest", groups=["docker"])


@pytest.fixture(scope="session")
def stranger(sandbox):
    """A user that may not use the engine."""
    return add_user("lmstranger")


@pytest.fixture(scope="session")
def broker_user(sandbox):
    """The user of the broker of client devices. (Not in a module: whoever imported it from there would add it again.)"""
    return add_user("lmbroker")


@pytest.fixture(scope="session")
def authority(sandbox):
    return Authority(sandbox / "authority")


def _lazy(make):
    """A session-wide server, and for each test that asks for it one that runs, whatever the test before did to it."""
    @pytest.fixture(scope="session")
    def session(request):
        server = make(request)
        yield server
        server.stop()

    return session


@pytest.fixture
def role_credentials(authority):
    """What hands out a role's credentials: AWS IoT's provider, the instance metadata, the container endpoint."""
    server = RoleCredentials(authority)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def local_broker(folder, authority, programs):
    """The local broker of client devices, not started, without devices."""
    broker = LocalBroker(folder / "local-broker", authority, programs)
    yield broker
    broker.stop()


def _make_engine(request):
    EcrRegistry.name_hosts()
    return Engine(request.getfixturevalue("sandbox") / "engine", request.getfixturevalue("authority"))


_engine = _lazy(_make_engine)
_registry = _lazy(lambda request: Registry(request.getfixturevalue("sandbox") / "registry"))
_open_registry = _lazy(lambda request: Registry(request.getfixturevalue("sandbox") / "open-registry", private=False))
_ecr_registry = _lazy(lambda request: EcrRegistry(request.getfixturevalue("sandbox") / "ecr-registry",
                                                  request.getfixturevalue("authority")))
_s3 = _lazy(lambda request: S3(request.getfixturevalue("sandbox") / "s3"))
_broker = _lazy(lambda request: Broker(request.getfixturevalue("sandbox") / "broker",
                                       request.getfixturevalue("authority")))


def _running(server):
    if not server.running:
        server.start()
    return server


@pytest.fixture
def engine(_engine):
    """A running engine without containers; images stay from test to test."""
    yield _running(_engine)
    _running(_engine).clean()


@pytest.fixture
def engine_disk(_engine):
    """The SmallDisk that everything of the engine is on, which has no images. To be asked for before the engine is."""
    _engine.stop()
    data = _engine.folder / "data"
    data.mkdir(exist_ok=True)
    disk = SmallDisk(data, size="96m")
    yield disk
    _engine.stop()
    disk.unmount()


@pytest.fixture
def registry(_registry):
    return _running(_registry)


@pytest.fixture
def open_registry(_open_registry):
    return _running(_open_registry)


@pytest.fixture
def ecr_registry(_engine, _ecr_registry, ecr):  # the engine first: it has to know the names
    """The registry behind the hosts of ECR, which takes the token that `ecr` gives out."""
    _running(_ecr_registry).set_password(EcrRegistry.PASSWORD)
    ecr.password = EcrRegistry.PASSWORD
    return _ecr_registry


@pytest.fixture
def port_443(_ecr_registry):
    """Nobody has it: the registry of ECR, which does, is started again for the next test that needs it."""
    _ecr_registry.stop()


@pytest.fixture
def s3(_s3):
    return _running(_s3)


@pytest.fixture
def broker(_broker):
    return _running(_broker)


_secrets_manager = _lazy(lambda request: SecretsManager())
_ecr = _lazy(lambda request: Ecr())
_cloudwatch_logs = _lazy(lambda request: CloudWatchLogs())
_sts = _lazy(lambda request: Sts())
_locked_s3 = _lazy(lambda request: LockedS3())
_summed_s3 = _lazy(lambda request: SummedS3())


@pytest.fixture
def secrets_manager(_secrets_manager):
    """A stand-in for AWS Secrets Manager, without secrets and well-behaved."""
    _running(_secrets_manager).reset()
    return _secrets_manager


@pytest.fixture
def ecr(_ecr):
    _running(_ecr).reset()
    return _ecr


@pytest.fixture
def sts(_sts):
    """A stand-in for AWS STS, without roles and well-behaved."""
    _running(_sts).reset()
    return _sts


@pytest.fixture
def locked_s3(_locked_s3):
    """A stand-in for S3, whose objects cannot be decrypted."""
    _running(_locked_s3).reset()
    return _locked_s3


@pytest.fixture
def summed_s3(_summed_s3):
    """A stand-in for S3 that names checksums, without objects and well-behaved."""
    _running(_summed_s3).reset()
    return _summed_s3


@pytest.fixture
def cloudwatch_logs(_cloudwatch_logs):
    """A stand-in for CloudWatch Logs, without groups and well-behaved."""
    _running(_cloudwatch_logs).reset()
    return _cloudwatch_logs


@pytest.fixture(scope="session")
def compose1():
    if not composes.is_first_generation(composes.V1):
        pytest.skip("this Debian has no docker-compose 1")
    return composes.Compose(1, composes.V1)


@pytest.fixture(scope="session")
def compose2(sandbox, request):
    """A copy: the cache that it is kept in may be where other users cannot go."""
    folder = sandbox / "compose2"
    folder.mkdir()
    folder.chmod(0o755)
    return composes.Compose(2, str(shutil.copy(request.config.getoption("--compose2"), folder / "docker-compose")))


@pytest.fixture(scope="session")
def device_sdk(request):
    """The folder whose node_modules has the AWS IoT Device SDK for JavaScript."""
    beside = sorted(pathlib.Path(request.config.getoption("--compose2")).parent.glob("device-sdk-*"))
    folder = pathlib.Path(request.config.getoption("--device-sdk") or (beside or ["/nonexistent"])[-1])
    if not folder.is_dir():
        pytest.skip("not available here: the device SDK; tests/e2e/fetch-device-sdk fetches it from the npm registry")
    return folder


@pytest.fixture(params=["compose1", "compose2"])
def compose(request):
    """Both generations, one after the other: a test that asks for it runs twice."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def device_with(folder, programs, user, engine):
    """device_with(compose): for a test that asks for `compose`, or for more than one device."""
    devices = contextlib.ExitStack()

    def make(compose, **more):
        path = folder / f"d{len(list(folder.iterdir()))}"
        path.mkdir()
        path.chmod(0o755)
        device = Device(path, programs, more.get("user", user), Engine.SOCKET, compose)
        device.environment.update(composes.QUICK_START)
        devices.callback(device.end)
        make.devices.append(device)
        return device

    make.devices = []
    with devices:
        yield make


@pytest.fixture
def device(device_with, compose2):
    """A device that uses docker-compose 2, with directories as its stores."""
    return device_with(compose2)


@pytest.fixture
def plain_device(device, folder):
    """`device` with the programs of the gcc build, below `folder`: they may be replaced. Sanitizers take memory, and their
    leak check opens a hardened process to others."""
    programs = folder / "bin"
    programs.mkdir()
    programs.chmod(0o755)
    for name in ("lightermand", "lighterman-worker", "lighterman"):
        shutil.copy(ROOT / "build/bin" / name, programs)
    device.programs = programs
    return device


@pytest.fixture
def state_disk(device):
    """The SmallDisk that the state directory of `device` is on."""
    disk = SmallDisk(device.folder / "state")
    yield disk
    device.end()
    disk.unmount()


@pytest.fixture(scope="session")
def program(sandbox, request):
    """A copy: the checkout may be where other users cannot go."""
    folder = sandbox / "worker-bin"
    folder.mkdir()
    folder.chmod(0o755)
    return shutil.copy(pathlib.Path(request.config.getoption("--programs")) / "lighterman-worker", folder)


@pytest.fixture
def dock_with(folder, program, user, engine):
    """dock_with(compose): a device whose part of lightermand is played by the test."""
    def make(compose, user=user):
        path = folder / f"d{len(list(folder.iterdir()))}"
        path.mkdir()
        path.chmod(0o755)
        dock = Dock(program, Device(path, None, user, Engine.SOCKET, compose))
        dock.device.environment.update(composes.QUICK_START, AWS_EC2_METADATA_DISABLED="true")
        return dock

    return make


@pytest.fixture
def dock(dock_with, compose2):
    return dock_with(compose2)


@pytest.fixture
def held(device):
    """The docker-compose of `device`, which can be held at a command: see HeldCompose."""
    compose = composes.HeldCompose(device.host["docker"]["compose"], device.folder / "compose", device.user)
    device.host["docker"]["compose"] = str(compose.path)
    return compose


@pytest.fixture
def voyage_with(device, held, broker, s3, registry, open_registry, image, open_image, local_image):
    """voyage_with(**extra): more for each service of a Voyage, see Voyage.load()."""
    def make(**extra):
        device.use_broker(broker)
        device.use_s3(s3)
        if Voyage.BUCKET not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
            s3.make_bucket(Voyage.BUCKET)
        found = Voyage(device, held, {"fetch": s3, "authenticate": registry, "pull": open_registry})
        return found.load(image, open_image, local_image, device.put_secret("harbour", registry.secret()), **extra)

    return make


@pytest.fixture
def voyage(voyage_with):
    return voyage_with()


@pytest.fixture
def stubborn(device, local_image):
    """An application of `device`, not deployed yet, whose teardown stands still until its gate is open."""
    found = Stubborn(device, local_image)
    yield found
    found.gate.open()


@pytest.fixture
def watch(device):
    """with watch(): meanwhile `device` is asked for its status again and again, see Watch."""
    return lambda: Watch(device)


@pytest.fixture
def lasting_engine(engine):
    """`engine`, whose containers run on while it is away."""
    engine.keep_containers_running(True)
    yield engine
    _running(engine).keep_containers_running(False)


@pytest.fixture
def status_messages(broker):
    """A Subscriber to the status topic."""
    with broker.subscriber(STATUS_TOPIC) as subscriber:
        yield subscriber


@pytest.fixture
def image(engine, registry, _images):
    """A private image in the registry, not on the engine. Takes name and password to pull."""
    if "private" not in _images:
        _images["private"] = engine.publish_image(registry, "demo/web:1")
    engine.forget_image_and_names(_images["private"])
    return _images["private"]


@pytest.fixture
def ecr_image(engine, ecr_registry, _images):
    """An image in ECR, not on the engine."""
    if "ecr" not in _images:
        _images["ecr"] = engine.publish_image(ecr_registry, "demo/ecr:1")
    engine.forget_image_and_names(_images["ecr"])
    return _images["ecr"]


@pytest.fixture
def open_image(engine, open_registry, _images):
    """An image in the registry that is open to all, not on the engine."""
    if "open" not in _images:
        _images["open"] = engine.publish_image(open_registry, "demo/open:1")
    engine.forget_image_and_names(_images["open"])
    return _images["open"]


@pytest.fixture
def local_image(engine, _images):
    """An image that is on the engine."""
    if "local" not in _images:
        _images["local"] = engine.make_image("harbour/local:1")
    return _images["local"]


@pytest.fixture(scope="session")
def _images():
    return {}
