# SPDX-License-Identifier: Apache-2.0
"""`meson install` puts everything where systemd and lightermand look for it, and the unit is closed as far as it can be."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*words, **more):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False, **more)
    assert done.returncode == 0, f"{words}: {done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The prefix below a DESTDIR that everything was installed to."""
    folder = tmp_path_factory.mktemp("installed")
    run("meson", "install", "-C", ROOT / "build", "--no-rebuild", env={**os.environ, "DESTDIR": str(folder)})
    return folder / "usr/local"


def test_installs_the_programs_beside_each_other(installed):
    names = {path.name for path in (installed / "bin").iterdir()}
    assert names == {"lighterman", "lightermand", "lighterman-worker"}
    for name in names:
        assert run(installed / "bin" / name, "--version").startswith(name + " ")


def test_the_applications_user_may_run_the_worker_and_not_read_it(installed):
    """So the kernel keeps that user's other programs out of it from its first instruction on."""
    assert (installed / "bin/lighterman-worker").stat().st_mode & 0o7777 == 0o711
    for name in ("lighterman", "lightermand"):
        assert (installed / "bin" / name).stat().st_mode & 0o7777 == 0o755


def test_installs_a_unit_that_starts_the_installed_program(installed):
    unit = (installed / "lib/systemd/system/lightermand.service").read_text(encoding="utf-8")
    assert "\nExecStart=/usr/local/bin/lightermand\n" in unit
    assert "@" not in unit.replace("@system-service", "").replace("@resources", "")


UNITS = ("lighterman-broker.service", "lighterman-discovery.service")


def test_installs_the_programs_and_units_for_client_devices(installed):
    assert {path.name for path in (installed / "lib/lighterman").iterdir()} == {"lighterman-discovery", "lighterman_router.so"}
    unit = (installed / "lib/systemd/system/lighterman-discovery.service").read_text(encoding="utf-8")
    assert "\nExecStart=/usr/local/lib/lighterman/lighterman-discovery --folder " in unit
    for name in UNITS:
        assert "[Install]" not in (installed / "lib/systemd/system" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", UNITS)
def test_the_units_for_client_devices_are_exposed_at_most_2_0(installed, name):
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager",
        installed / "lib/systemd/system" / name)


@pytest.mark.parametrize("name", UNITS)
def test_the_units_for_client_devices_have_no_unknown_setting(installed, tmp_path, name):
    unit = (installed / "lib/systemd/system" / name).read_text(encoding="utf-8")
    path = tmp_path / name
    unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
    path.write_text(unit.replace("Documentation=", "#"), encoding="utf-8")
    assert run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path) == ""


def test_the_unit_is_exposed_at_most_3_2(installed):
    """Of 10. The application's user, the engine's socket and a destination anywhere have to stay possible, and copies of volumes
    keep their set-group-ID folders."""
    run("systemd-analyze", "security", "--offline=true", "--threshold=32", "--no-pager",
        installed / "lib/systemd/system/lightermand.service")


def test_the_unit_has_no_setting_that_systemd_does_not_know(installed, tmp_path):
    unit = (installed / "lib/systemd/system/lightermand.service").read_text(encoding="utf-8")
    path = tmp_path / "lightermand.service"
    path.write_text(unit.replace("/usr/local/bin/lightermand", "/bin/true").replace("Documentation=", "#"), encoding="utf-8")
    assert run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path) == ""


def test_each_installed_file_is_in_one_debian_package(installed):
    patterns = [line for path in (ROOT / "packaging/debian").glob("*.install") for line in path.read_text(encoding="utf-8").split()]
    for path in installed.rglob("*"):
        name = f"usr/{path.relative_to(installed)}"
        if path.is_symlink() or path.is_file():
            assert sum(name == pattern or name.startswith(f"{pattern}/") for pattern in patterns) == 1, name


def test_the_debian_packages_have_the_version_of_the_programs():
    version = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text(encoding="utf-8"))[1]
    changelog = (ROOT / "packaging/debian/changelog").read_text(encoding="utf-8")
    assert changelog.startswith(f"lighterman ({version}) ")


# What may come one after the other between SIGTERM and the end: how often, which limit, of which file.
WAITS = [
    (1, "CANCEL_GRACE_MS", "daemon/worker_process.c"), # a deployment under way is cancelled
    (3, "ROUNDS", "sys/process.c"),                  # what is left of it, of the next, and of the last one is killed
    (1, "LOCK_GRACE_MS", "daemon/worker_launcher.c"), # a worker of an earlier lightermand
    (3, "REQUEST_MS", "docker/engine_request.c"),    # the engine's version, containers, networks
    (1, "VERSION_MS", "docker/compose_find.c"),      # which docker-compose there is
    (1, "GRACE_MS", "docker/compose_find.c"),
    (1, "COMPOSE_DOWN_MS", "worker/compose_down.h"),
    (1, "GRACE_MS", "docker/compose.c"),             # docker-compose down did not end
    (1, "REMOVE_MS", "docker/engine.c"),             # by label, where there is no docker-compose
    (1, "LIST_MS", "worker/compose_down.c"),         # what still runs
    (2, "ANSWER_MS", "daemon/container_list.c"), # whether nothing runs: begun before the end, and after `down`
    (1, "HOLD_MS", "daemon/healer.c"),               # a container that is being restarted
    (1, "DRAIN_MS", "daemon/daemon.c"),              # the last messages
    (1, "GRACE_MS", "daemon/device_service.c"),      # the broker and discovery of client devices
    (1, "ROUNDS", "sys/process.c"),                  # they are killed
]


def limit_ms(name, path):
    """A constant of the source: a product of numbers."""
    text = (ROOT / "src" / path).read_text(encoding="utf-8")
    found = re.search(rf"\b{name} = ([0-9][0-9 *]*)", text)
    assert found, f"src/{path} has no {name} any more: what does lightermand wait for at its end?"
    product = 1
    for factor in found[1].split("*"):
        product *= int(factor)
    return product * (limit_ms("ROUND_MS", path) if name == "ROUNDS" else 1)


def test_systemd_waits_longer_than_all_that_lightermand_waits_for(installed):
    """With a margin of a minute and of a tenth: a loaded machine takes its time for what has no limit."""
    unit = (installed / "lib/systemd/system/lightermand.service").read_text(encoding="utf-8")
    waits_s = sum(times * limit_ms(name, path) for times, name, path in WAITS) / 1000
    assert waits_s > limit_ms("COMPOSE_DOWN_MS", "worker/compose_down.h") / 1000
    stop_s = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1])
    assert waits_s + max(60, waits_s / 10) <= stop_s, f"lightermand may take {waits_s} s"


def test_the_users_and_groups_are_made_once(installed, tmp_path):
    (tmp_path / "etc").mkdir()
    for _ in range(2):
        run("systemd-sysusers", f"--root={tmp_path}", installed / "lib/sysusers.d/lighterman.conf")
    passwd = (tmp_path / "etc/passwd").read_text(encoding="ascii").splitlines()
    groups = dict(line.split(":", 1) for line in (tmp_path / "etc/group").read_text(encoding="ascii").splitlines())
    assert [line.split(":")[0] for line in passwd] == ["ggc_user"]
    assert groups["docker"].endswith(":ggc_user")
    assert groups["lighterman"].endswith(":")


def test_the_host_files_folder_is_made(installed, tmp_path):
    (tmp_path / "etc").mkdir()
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create", installed / "lib/tmpfiles.d/lighterman.conf")
    assert (tmp_path / "etc/lighterman").stat().st_mode & 0o777 == 0o755
