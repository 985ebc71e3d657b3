# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the sweeps."""
import os
import pathlib
import shutil

import pytest

import sweep_berth
from sweep_points import Sweep
from sweep_quay import Serving

ROOT = pathlib.Path(__file__).resolve().parents[2]
BERTHS = 2


@pytest.fixture(scope="session")
def tools():
    """A copy, for every user: fault_tracer, stepwise_compose, failing_malloc.so, hanging_plugin.so."""
    folder = pathlib.Path("/run/sweep-tools")
    folder.mkdir()
    folder.chmod(0o755)
    for name in ("fault_tracer", "stepwise_compose", "failing_malloc.so", "hanging_plugin.so"):
        shutil.copy(ROOT / "build/tests/fakes" / name, folder)
    return folder


@pytest.fixture(scope="session")
def installed():
    """installed(build): the folder of that build's programs, with the modes that they are installed with."""
    def install(build):
        folder = pathlib.Path(f"/run/sweep-{build}")
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)
            for name in ("lightermand", "lighterman-worker"):
                shutil.copy(ROOT / build / "bin" / name, folder)
            os.chmod(folder / "lighterman-worker", 0o711)
        return folder

    return install


@pytest.fixture(scope="session")
def serving():
    return Serving()


def make_berths(programs, tools, serving, user):
    made = [sweep_berth.Berth(pathlib.Path(f"/run/sweep/{n}"), programs, tools, serving, user) for n in range(BERTHS)]
    for berth in made:
        sweep_berth.prepare(berth)
    yield made
    for berth in made:
        berth.close()


@pytest.fixture
def berths(installed, tools, serving, user):
    """Devices of the gcc build: what is killed needs no sanitizer, which would take most of the time."""
    yield from make_berths(installed("build"), tools, serving, user)


@pytest.fixture
def careful_berths(request, installed, tools, serving, user):
    """Devices of the build that is tested: where things go wrong, a sanitizer finds what nobody sees."""
    build = pathlib.Path(request.config.getoption("--programs")).parent
    yield from make_berths(installed(build.name), tools, serving, user)


@pytest.fixture
def sweep(request, capsys):
    """sweep(name): a Sweep that tells its counts where a person sees them."""
    def tell(text):
        with capsys.disabled():
            print(f"\n{text}", flush=True)

    return lambda name: Sweep(name, request.config, tell)
