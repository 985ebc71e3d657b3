# SPDX-License-Identifier: Apache-2.0
"""scripts/count-tests: a test that died without a word is a failure, not nothing."""
import json
import pathlib
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "scripts/count-tests"


def count(kind, path):
    return subprocess.run([PROGRAM, kind, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=True).stdout.strip()


@pytest.mark.parametrize("result, stdout, says", [
    ("OK", "1..2\nok 1 - a\nok 2 - b\n", "2 0 0"),
    ("FAIL", "1..2\nok 1 - a\nnot ok 2 - b\n# why\n", "1 1 0"),
    ("FAIL", "1..3\nok 1 - a\n", "1 1 0"),
    ("TIMEOUT", "", "0 1 0"),
    ("OK", "", "1 0 0"),
    ("EXPECTEDFAIL", "1..1\nnot ok 1 - a\n", "1 0 0"),
    ("UNEXPECTEDPASS", "1..1\nok 1 - a\n", "1 1 0"),
    ("OK", "1..2\nok 1 - a\nok 2 # SKIP b\n", "1 0 1"),
    ("OK", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n", "1 0 1"),
])
def test_counts_cases_of_cmocka(tmp_path, result, stdout, says):
    path = tmp_path / "testlog.json"
    path.write_text(json.dumps({"name": "x", "result": result, "stdout": stdout}) + "\n")
    assert count("meson", path) == says


def test_counts_cases_of_pytest(tmp_path):
    path = tmp_path / "results.xml"
    path.write_text("<testsuites><testsuite><testcase/><testcase><failure/></testcase><testcase><error/></testcase>"
                    "<testcase><skipped/></testcase></testsuite></testsuites>")
    assert count("junit", path) == "1 2 1"


@pytest.mark.parametrize("kind", ["meson", "junit"])
def test_no_results_are_a_failure(tmp_path, kind):
    assert count(kind, tmp_path / "missing") == "0 1 0"
