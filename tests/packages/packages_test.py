# SPDX-License-Identifier: Apache-2.0
"""The packages that scripts/package builds: what is in them, and their life on Debian 12 and 13."""
import hashlib
import json
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHS = {"amd64": "x86-64", "arm64": "ARM aarch64", "armhf": "ARM, EABI5"}
NATIVE = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
SIZE_MAX_KB = 1300  # of each architecture; the programs share much that each of them has
PAGE = (ROOT / "docs/packages.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.timeout(3600)


def run(*words, status=0, **more):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **more)
    assert done.returncode == status, f"{words}: {done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def packages():
    """As docs/packages.md says."""
    assert "```sh\nscripts/package\n```" in PAGE
    folder = ROOT / "build/packages"
    run(ROOT / "scripts/package")
    return folder


@pytest.fixture(scope="session")
def build_root():
    return pathlib.Path(run(ROOT / "scripts/package", "--root").splitlines()[-1])


def find(folder, name, arch):
    found = list(folder.glob(f"{name}_*_{arch}.deb"))
    assert len(found) == 1, found
    return found[0]


def field(deb, name):
    return run("dpkg-deb", "--field", deb, name).strip()


def unpack(deb, folder):
    run("dpkg-deb", "--raw-extract", deb, folder)
    return folder


@pytest.mark.parametrize("arch", ARCHS)
def test_each_program_is_of_its_architecture_and_closed(packages, tmp_path, arch):
    """Stripped, position-independent, with all relocations read-only."""
    for name in ("lighterman", "lighterman-broker"):
        folder = unpack(find(packages, name, arch), tmp_path / name)
        programs = [path for path in folder.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
        assert len(programs) == {"lighterman": 3, "lighterman-broker": 2}[name]
        for path in programs:
            header = run("readelf", "--wide", "--file-header", "--dynamic", "--program-headers", "--sections", path)
            machine = {"amd64": "X86-64", "arm64": "AArch64", "armhf": "ARM"}[arch]
            assert re.search(rf"Machine: .*\b{machine}$", header, re.MULTILINE), path
            assert "DYN (" in header and "GNU_RELRO" in header and "NOW" in header and ".symtab" not in header, path


@pytest.mark.parametrize("arch", ARCHS)
def test_lighterman_takes_at_most_1300_kb(packages, tmp_path, arch):
    deb = find(packages, "lighterman", arch)
    assert int(field(deb, "Installed-Size")) <= SIZE_MAX_KB
    folder = unpack(deb, tmp_path / "all") / "usr"
    assert sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) <= SIZE_MAX_KB * 1000


@pytest.mark.parametrize("arch", ARCHS)
def test_the_worker_may_be_run_and_not_read(packages, arch):
    listed = run("dpkg-deb", "--contents", find(packages, "lighterman", arch))
    assert re.search(r"^-rwx--x--x root/root .* \./usr/bin/lighterman-worker$", listed, re.MULTILINE)
    assert not re.search(r"^\S+ (?!root/root )", listed, re.MULTILINE)


@pytest.mark.parametrize("arch", ARCHS)
def test_lintian_finds_nothing(packages, build_root, tmp_path, arch):
    """That of the release that they are built on."""
    for name in ("lighterman", "lighterman-broker"):
        deb = find(packages, name, arch)
        copy = build_root / "tmp" / deb.name
        copy.write_bytes(deb.read_bytes())
        try:
            run("chroot", build_root, "lintian", "--allow-root", "--fail-on", "error,warning", f"/tmp/{deb.name}")
        finally:
            copy.unlink()


def test_built_again_in_another_folder_they_are_the_same_bytes(packages, tmp_path):
    """A checkout in another place, and scripts/package's folder has another name each time; with their SPDX documents."""
    checkout = tmp_path / "elsewhere"
    checkout.mkdir()
    names = run("git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-p", ROOT / name, checkout / name)
    for arch in (NATIVE, "armhf"):
        run(checkout / "scripts/package", "--output", tmp_path / "again", arch, cwd="/")
    again = sorted((tmp_path / "again").iterdir())
    assert len(again) == 8
    for path in again:
        assert path.read_bytes() == (packages / path.name).read_bytes(), path.name


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("name", ["lighterman", "lighterman-broker"])
def test_the_spdx_document_names_every_file_and_library(packages, tmp_path, name, arch):
    deb = find(packages, name, arch)
    document = json.loads(deb.with_suffix(".spdx.json").read_text(encoding="utf-8"))
    assert (document["spdxVersion"], document["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    own, *libraries = document["packages"]
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    assert {"algorithm": "SHA256", "checksumValue": digest} in own["checksums"]
    assert (own["name"], own["versionInfo"], own["licenseDeclared"]) == (name, field(deb, "Version"), "Apache-2.0")
    folder = unpack(deb, tmp_path / "all")
    files = {f"./{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
             for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.parts}
    sums = {file["fileName"]: {each["algorithm"]: each["checksumValue"] for each in file["checksums"]}["SHA256"]
            for file in document["files"]}
    assert sums == files
    depends = {re.split(r"[ (]", entry.strip())[0] for entry in field(deb, "Depends").split(",")}
    depends -= {"systemd"}  # for the maintainer scripts
    assert {library["name"] for library in libraries} == depends
    assert all(library["versionInfo"] and library["licenseDeclared"] != "NOASSERTION" for library in libraries)
    known = {"SPDXRef-DOCUMENT"} | {part["SPDXID"] for part in document["packages"] + document["files"]}
    assert {end for line in document["relationships"] for end in (line["spdxElementId"], line["relatedSpdxElement"])} == known


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_life_of_the_packages(packages, release):
    """Installed, used, upgraded, removed, installed again and purged under a systemd, with an application that runs."""
    out = run(ROOT / "tests/packages/machine", release, packages)
    print(out)
    assert "NOT OK" not in out and out.count("ok: ") >= 30
