# SPDX-License-Identifier: Apache-2.0
"""The component of packaging/greengrass-v2: its recipe, and the group file that its script makes of a configuration."""
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "packaging/greengrass-v2"
PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS", ROOT / "build/bin"))
sys.path.insert(0, str(ROOT / "tests/fakes"))

from greengrass_nucleus import KINDS, VARIABLE, Nucleus, merged  # noqa: E402

# What both nuclei know, with the case that nucleus lite wants (its docs/RECIPE_SUPPORT_CHANGES.md has what it does not know).
RECIPE_KEYS = {"RecipeFormatVersion", "ComponentName", "ComponentVersion", "ComponentType", "ComponentDescription",
               "ComponentPublisher", "ComponentConfiguration", "ComponentDependencies", "Manifests"}
LITE_VARIABLES = {"artifacts:path", "artifacts:decompressedPath", "kernel:rootPath", "iot:thingName", "work:path"}
OF_THE_DEVICE = {"HostFile", "Directory"}
HOSTILE = ["it's", 'a "b" \\"c\\" \\', "$(touch pwned) `touch pwned` $HOME ${HOME}", "one\ntwo\n\nfour\n", "\t\x01\x1f\x7f",
           "' ; touch pwned; '", '"; touch pwned; "', "\nEOF\ntouch pwned\n", "{configuration:/HostFile}", "%s%n -n -e \\n",
           "Ærøskøbing ⚓ 😀", "*", "~", "#", "a&b|c>d", "\\\\", "x" * 9000]
NEEDED = {"DockerComposeFileS3Bucket": "ships", "DockerComposeFileS3Key": "docker-compose.yml",
          "DockerComposeFileDestinationPath": "/srv/app"}


@pytest.fixture(scope="module")
def recipe():
    return yaml.safe_load((FOLDER / "recipe.yaml").read_text(encoding="utf-8"))


def rows(table):
    """name -> default, from the parameter table that lightermand reads definitions with."""
    source = (ROOT / "src/config/parameters.c").read_text(encoding="utf-8")
    text = re.search(rf"{table}\[\] = \{{(.*?)\n\}};", source, re.DOTALL)[1]
    found = re.findall(r'^\t\{"(\w+)"(.*)\},$', text, re.MULTILINE)
    return {name: (re.findall(r'\.fallback = "(.*?)"', rest) or [""])[0] for name, rest in found}


def test_the_configuration_has_every_parameter_and_policy_with_its_default_and_nothing_else(recipe):
    configuration = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    policy = configuration["Policy"]
    parameters = {name: value for name, value in configuration.items() if name not in OF_THE_DEVICE | {"Policy"}}
    assert {name: value.lower() for name, value in parameters.items()} == rows("PARAMETER_KEYS")
    assert {name: value.lower() for name, value in policy.items()} == rows("POLICY_KEYS")
    assert len(parameters) == 11 and OF_THE_DEVICE < set(configuration)


def test_the_recipe_uses_what_its_nucleus_knows(recipe):
    assert set(recipe) == RECIPE_KEYS
    version = re.search(r"version: '(.*)'", (ROOT / "meson.build").read_text(encoding="utf-8"))[1]
    assert recipe["ComponentVersion"] == version
    classic, lite = recipe["Manifests"]  # in this order: the nucleus takes the first that fits
    assert classic["Platform"] == {"os": "linux"}
    assert lite["Platform"] == {"os": "linux", "runtime": "aws_nucleus_lite"}
    assert classic["Artifacts"] == lite["Artifacts"]
    assert set(classic["Lifecycle"]) == {"Setenv", "run", "shutdown"} and set(lite["Lifecycle"]) == {"run"}
    for step in (classic["Lifecycle"]["run"], lite["Lifecycle"]["run"]):
        assert set(step) == {"RequiresPrivilege", "Script"}  # a Timeout of `run` would stop it
    # The nucleus does not quote what it puts into a script: there is no configuration in one.
    for step in ("run", "shutdown"):
        assert {match[1] for match in VARIABLE.finditer(classic["Lifecycle"][step]["Script"])} <= {"artifacts"}
    script = lite["Lifecycle"]["run"]["Script"]
    for match in VARIABLE.finditer(script):
        assert match[1] == "configuration" or f"{match[1]}:{match[2]}" in LITE_VARIABLES, match[0]
    assert not set("{}") & set(VARIABLE.sub("", script))
    # It escapes for double quotes only.
    assert set(re.findall(r"(.)\{configuration:[^}]*\}(.)", script)) == {('"', '"')}
    assert len(json.dumps(recipe)) < 16 * 1024  # what the service and nucleus lite take


def test_both_manifests_pass_on_the_same(recipe):
    classic, lite = (manifest["Lifecycle"] for manifest in recipe["Manifests"])
    exported = dict(re.findall(r'^export (\w+)="(.*)"$', lite["run"]["Script"], re.MULTILINE))
    assert classic["Setenv"] == exported
    configuration = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    assert len(exported) == len(configuration) - 1 + len(configuration["Policy"])


@pytest.fixture
def nucleus(recipe, tmp_path):
    """nucleus(kind): with the component installed, and a lightermand that only says how it was started."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "lighterman").symlink_to(PROGRAMS / "lighterman")
    (programs / "lightermand").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$TOLD"\nenv -0 >>"$TOLD"\n')
    (programs / "lightermand").chmod(0o755)
    subprocess.run([FOLDER / "pack", tmp_path / "lighterman.zip"], check=True, timeout=60)

    def make(kind):
        root = tmp_path / kind
        root.mkdir()
        made = Nucleus(kind, root, recipe, {"PATH": f"{programs}:/usr/bin:/bin", "TOLD": str(root / "told"), "AWS_REGION": "eu-west-1",
                                            "AWS_IOT_THING_NAME": 'Gate "1"', "LIGHTERMAN_WATCH_SECONDS": "0.1"})
        made.install(tmp_path / "lighterman.zip")
        made.deployed = merged({"Directory": str(root / "made"), "HostFile": str(root / "none.json")}, NEEDED)
        nuclei.append(made)
        return made

    nuclei = []
    yield make
    for made in nuclei:
        made.remove()
        assert not list(tmp_path.rglob("pwned"))


def run(nucleus, **configuration):
    nucleus.deploy({**nucleus.deployed, **configuration})
    return nucleus.process.wait(60)


def group(nucleus):
    entry, = json.loads((nucleus.root / "made/group.json").read_text(encoding="utf-8"))["Connectors"]
    return entry


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_a_group_of_version_7_and_empty_values_are_left_out(nucleus, kind):
    made = nucleus(kind)
    assert run(made) == 0, made.log.read_text()
    entry = group(made)
    assert entry["ConnectorArn"] == "arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationDeployment/versions/7"
    given = {name: value for name, value in rows("PARAMETER_KEYS").items() if value}
    assert {name: value.lower() for name, value in entry["Parameters"].items()} == \
        {**given, **{name: value.lower() for name, value in NEEDED.items()}}
    assert {name: value.lower() for name, value in entry["Policy"].items()} == \
        {name: value for name, value in rows("POLICY_KEYS").items() if value}
    told = (made.root / "told").read_text()
    folder = made.root / "made"
    assert told.startswith(f"--config\n{folder}/host.json\n--group\n{folder}/group.json\n--leave-while\n{made.artifacts}\n")
    assert "Parameters_" not in told and "AWS_REGION=eu-west-1" in told
    assert json.loads((folder / "host.json").read_text()) == {"region": "eu-west-1", "thingName": 'Gate "1"'}


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_values_arrive_as_they_are(nucleus, kind):
    """Also with the validation out of the way, which refuses most of them."""
    made = nucleus(kind)
    names = [name for name in rows("PARAMETER_KEYS")]
    program = made.environment["PATH"].split(":")[0] + "/lighterman"
    os.unlink(program)
    pathlib.Path(program).write_text("#!/bin/sh\n")
    os.chmod(program, 0o755)
    for start in range(0, len(HOSTILE), len(names)):
        values = dict(zip(names, HOSTILE[start:]))
        policy = {"StableSeconds": HOSTILE[start], "ComposeFileSHA256": HOSTILE[start + 1]}
        assert run(made, **values, Policy=policy) == 0, made.log.read_text()
        entry = group(made)
        assert {name: entry["Parameters"][name] for name in values} == values
        assert {name: entry["Policy"][name] for name in policy} == policy


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_valid_and_strange_are_validated(nucleus, kind):
    """As V2 users write them: numbers, booleans and a list are what their texts are in V1."""
    made = nucleus(kind)
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:quay-AbC123"
    assert run(made, DockerComposeFileS3Key="""a 'b' "c" $(d) \\ ${e}""", DockerComposeFileDestinationPath="/srv/it's \"here\"",
               DockerUserId=1000, ForceDeploy=True, AWSSecretsArnList=[arn], Policy={"KeepGenerations": 7}) == 0, made.log.read_text()
    parameters = group(made)["Parameters"]
    assert parameters["DockerComposeFileS3Key"] == """a 'b' "c" $(d) \\ ${e}"""
    assert (parameters["DockerUserId"], parameters["ForceDeploy"]) == ("1000", "true")
    assert json.loads(parameters["AWSSecretsArnList"]) == [arn]
    assert group(made)["Policy"]["KeepGenerations"] == "7"


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_that_is_invalid_fails_the_step_and_keeps_the_group_file(nucleus, kind):
    made = nucleus(kind)
    assert run(made) == 0
    before = group(made)
    (made.root / "told").unlink()
    assert run(made, DockerContainerStatusLogFrequency="often") != 0
    assert "DockerContainerStatusLogFrequency" in made.log.read_text()
    assert group(made) == before and not (made.root / "told").exists()


def test_a_device_without_programs_is_told_what_to_do(nucleus):
    made = nucleus("lite")
    made.environment["PATH"] = "/usr/bin:/bin"
    assert run(made) == 1
    assert "there is no lightermand: install the package lighterman" in made.log.read_text()


def test_pack_takes_programs_from_packages(tmp_path):
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text("Package: lighterman\nVersion: 1\nArchitecture: armhf\nMaintainer: nobody\nDescription: x\n")
    (tree / "usr/bin").mkdir(parents=True)
    names = ("lightermand", "lighterman", "lighterman-worker")
    for name in names:
        (tree / "usr/bin" / name).write_text(name)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, tmp_path / "x.deb"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    subprocess.run([FOLDER / "pack", "made.zip", "x.deb"], check=True, timeout=60, cwd=tmp_path)
    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        files = {name for name in made.namelist() if not name.endswith("/")}
        assert files == {"component", *(f"armhf/{name}" for name in names)}
        assert made.read("component") == (FOLDER / "component").read_bytes()
