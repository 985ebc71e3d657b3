# SPDX-License-Identifier: Apache-2.0
"""What all scripts have in common, and that a second setup costs nothing."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ["setup", "build", "demo", "test", "check", "bench", "fuzz", "check-conformance", "check-layers",
         "count-tests", "reliability-page", "coverage", "package", "package-sbom"]


def run(*words, **more):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False, **more)


@pytest.mark.parametrize("name", NAMES)
def test_tells_how_to_use_it(name):
    done = run(ROOT / "scripts" / name, "--help", cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize("name", ["setup", "build", "demo", "test", "check", "bench", "fuzz", "package", "package-sbom"])
def test_refuses_words_that_it_does_not_know(name):
    done = run(ROOT / "scripts" / name, "--no-such-option", cwd="/")
    assert done.returncode == 64
    assert "usage: " in done.stderr


def test_setup_of_what_is_there_does_nothing(tmp_path):
    """The tests need their own packages: with those there it says nothing, and asks neither apt nor the network."""
    done = run(ROOT / "scripts/setup", "test", env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ci_is_the_two_scripts():
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert [line for line in lines if line.startswith("scripts/")] == ["scripts/check", "scripts/test"]
