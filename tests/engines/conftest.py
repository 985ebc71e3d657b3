# SPDX-License-Identifier: Apache-2.0
"""Run by tests/engines/inside, in a sandbox (tests/e2e/sandbox) within a Debian of its own."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from engines import make_nodes  # noqa: E402
from users import add_user  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--programs", help="the folder of lightermand, lighterman-worker and lighterman")
    parser.addoption("--compose2", help="a docker-compose of the second generation")


def pytest_configure(config):
    if "LIGHTERMAN_SANDBOX" not in os.environ or not config.getoption("--programs"):
        pytest.exit("these tests start engines and add a user: run them with `scripts/test engines [-k WORD]`", 64)


@pytest.fixture(scope="session")
def sandbox():
    return pathlib.Path(os.environ["LIGHTERMAN_SANDBOX"])


@pytest.fixture(scope="session")
def programs(sandbox, request):
    """A copy, that every user can reach; the worker as it is installed."""
    target = sandbox / "bin"
    target.mkdir()
    target.chmod(0o755)
    for name in ("lightermand", "lighterman", "lighterman-worker"):
        shutil.copy(pathlib.Path(request.config.getoption("--programs")) / name, target)
    (target / "lighterman-worker").chmod(0o711)
    return target


@pytest.fixture(scope="session")
def composes(sandbox, request):
    """By generation; the second where every user can reach it."""
    second = pathlib.Path(shutil.copy(request.config.getoption("--compose2"), sandbox / "docker-compose-2"))
    second.chmod(0o755)
    return {1: "/usr/bin/docker-compose", 2: str(second)}


@pytest.fixture(scope="session")
def user(sandbox):
    """The user of the applications, and of the engines without root: with a home, ids for its containers, and a runtime directory."""
    home = sandbox / "user"
    found = add_user("lmtest", home=str(home))
    for folder in (home, pathlib.Path("/run/user") / str(found.uid)):
        folder.mkdir(parents=True, mode=0o700)
        found.owns(folder)
    for name in ("subuid", "subgid"):
        with open(f"/etc/{name}", "a", encoding="utf-8") as file:
            file.write(f"{found.name}:200000:65536\n")
    found.home = home
    make_nodes()
    # Or rootlesskit complains: it makes what it mounts below a mount that is to tell it of others.
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    return found
