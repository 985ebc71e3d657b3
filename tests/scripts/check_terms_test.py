# SPDX-License-Identifier: Apache-2.0
"""scripts/check-terms finds words that docs/terms.md replaces where users read them, and nowhere else."""
import pathlib
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "scripts/check-terms"


def check(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return subprocess.run([PROGRAM, root], stdout=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("name, text, says", [
    ("README.md", "One\nto mend it", "README.md:2: 'mend': write fix"),
    ("docs/guide.md", "Mended.", "'Mended': write fix"),
    ("docs/man/x.1", "the takedown", "write teardown"),
    ("src/cli/x.c", 'puts("a")\n;puts("mend it");', "src/cli/x.c:2: 'mend': write fix"),
    ("src/cli/x.c", 'puts("the words are "\n\t"wrong");', "write usage error"),
    ("bin/x.c", 'puts("\\tmend\\nit");', "write fix"),
])
def test_finds(tmp_path, name, text, says):
    done = check(tmp_path, name, text + "\n")
    assert done.returncode == 1
    assert says in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("name, text", [
    ("docs/terms.md", "| fix | mend |"),
    ("docs/guide.md", "`mend` is a key\n```json\n{\"to\": \"mend it\"}\n```"),
    ("src/cli/x.c", 'json_get(check, "mend"); // mend it\n/* mend "it now" */'),
    ("src/cli/x.c", "char mend = '\"'; int to_mend = '\"';"),
    ("README.md", "recommend amendments"),
    ("tests/x.c", 'puts("mend it");'),
])
def test_lets_pass(tmp_path, name, text):
    (tmp_path / "README.md").write_text("")
    done = check(tmp_path, name, text + "\n")
    assert (done.returncode, done.stdout) == (0, "")


def test_an_empty_tree_is_a_mistake(tmp_path):
    assert subprocess.run([PROGRAM, tmp_path], check=False, stderr=subprocess.PIPE).returncode == 1


def test_wrong_arguments_are_a_usage_error():
    assert subprocess.run([PROGRAM, "a", "b"], check=False, stderr=subprocess.PIPE).returncode == 64
