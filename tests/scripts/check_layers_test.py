# SPDX-License-Identifier: Apache-2.0
"""scripts/check-layers fails on what it is there to find, and on nothing else."""
import pathlib
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "scripts/check-layers"


def check(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return subprocess.run([PROGRAM, root], stdout=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("name, text, says", [
    ("src/base/buf.c", '#include "sys/loop.h"', "goes up"),
    ("src/aws/s3.c", '#include "docker/engine.h"', "goes sideways"),
    ("src/daemon/main.c", '#include "cli/run.h"', "goes sideways"),
    ("src/sys/loop.c", '  #  include "daemon/main.h" // really', "goes up"),
    ("src/extra/x.c", "", "without a layer"),
    ("src/aws/deep/x.c", "", "without a layer"),
    ("src/aws/s3.c", '#include "extra/x.h"', "src/extra/ is not a folder with a layer"),
    ("src/aws/s3.c", '#include "s3.h"', "write the folder"),
    ("src/aws/s3.c", '#include "../docker/engine.h"', "not a folder"),
    ("src/deploy/x.c", '#include "aws/s3_priv.h"', "private to aws"),
    ("src/sys/wait.c", "#include <uv.h>", "belongs to src/sys/loop.c"),
    ("src/sys/loop.h", "#include <uv.h>", "belongs to src/sys/loop.c"),
    ("src/docker/engine.c", "#include <curl/curl.h>", "belongs to src/http/"),
    ("src/http/https.h", "#include <curl/curl.h>", "in a public header"),
    ("src/daemon/x.c", "#include <mosquitto.h>", "belongs to src/mqtt/"),
    ("src/docker/compose.c", "#include <yaml.h>", "belongs to src/sys/yaml.c"),
    ("src/aws/s3.c", "\tstrcpy(a, b);", "strcpy() is banned"),
    ("bin/x.c", "\tif (x)\n\t\tsleep (1);", "bin/x.c:2: sleep() is banned"),
    ("src/base/x.c", "\tgoto out;", "goto"),
])
def test_finds(tmp_path, name, text, says):
    done = check(tmp_path, name, text + "\n")
    assert done.returncode == 1
    assert says in done.stdout
    assert done.stdout.startswith(name)


@pytest.mark.parametrize("name, text", [
    ("src/aws/s3.c", '#include "aws/s3_priv.h"\n#include "sys/wait.h"\n#include "base/buf.h"\n#include <stdio.h>'),
    ("src/sys/loop.c", "#include <uv.h>"),
    ("src/http/https_priv.h", "#include <curl/curl.h>"),
    ("src/base/str.c", "\treturn atoi(text);"),
    ("src/aws/s3.c", '// never strcpy(a, b)\n/* goto out;\n system("x") */\nconst char *x = "popen(1)";'),
    ("src/aws/s3.c", "\tx.system(1);\n\ty->sleep(1);\n\tmy_sleep(1);\n\tsystem_name(1);"),
    ("bin/lightermand.c", '#include "daemon/main.h"\n#include "base/error.h"'),
])
def test_lets_pass(tmp_path, name, text):
    done = check(tmp_path, name, text + "\n")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("text, what", [
    ("struct other;\n\nstruct buffer {\n\tint n;\n};\n", "struct buffer"),
    ("void add(int n);\n\nstatic const char *add(int n,\n\tint m)\n{\n\tif (n)\n\t\treturn;\n}\n", "function add"),
])
def test_finds_what_two_files_define(tmp_path, text, what):
    for name in ("src/base/buf.c", "src/sys/loop.c"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run([PROGRAM, tmp_path], stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, f"src/sys/loop.c:3: {what} is defined in src/base/buf.c too\n")


def test_an_empty_tree_is_a_mistake(tmp_path):
    assert subprocess.run([PROGRAM, tmp_path], check=False, stderr=subprocess.PIPE).returncode == 1
