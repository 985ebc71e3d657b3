# SPDX-License-Identifier: Apache-2.0
"""`meson install` puts everything where systemd and lightermand look for it, and the unit is closed as far as it can be."""
import os
import pathlib
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


def test_installs_a_unit_that_starts_the_installed_program(installed):
    unit = (installed / "lib/systemd/system/lightermand.service").read_text(encoding="utf-8")
    assert "\nExecStart=/usr/local/bin/lightermand\n" in unit
    assert "@" not in unit.replace("@system-service", "").replace("@resources", "")


def test_the_unit_is_exposed_at_most_3_0(installed):
    """Of 10. The application's user, the engine's socket and a destination anywhere have to stay possible."""
    run("systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager",
        installed / "lib/systemd/system/lightermand.service")


def test_the_unit_has_no_setting_that_systemd_does_not_know(installed, tmp_path):
    unit = (installed / "lib/systemd/system/lightermand.service").read_text(encoding="utf-8")
    path = tmp_path / "lightermand.service"
    path.write_text(unit.replace("/usr/local/bin/lightermand", "/bin/true").replace("Documentation=", "#"), encoding="utf-8")
    assert run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path) == ""


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
