# SPDX-License-Identifier: Apache-2.0
"""The programs are linked as docs/architecture.md promises: with the hardening that the compiler has, and no more."""
import pathlib
import platform
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The gcc build, which is what people run; the sanitized one has other rules.
BIN = ROOT / "build/bin"
PROGRAMS = ["lightermand", "lighterman-worker", "lighterman", "lighterman-discovery"]
# What is not linked cannot be attacked through, and costs no memory.
NEVER = {"lightermand": ["libcurl", "libyaml"], "lighterman": ["libcurl", "libyaml", "libmosquitto"],
         "lighterman-worker": ["libmosquitto"], "lighterman-discovery": ["libcurl", "libyaml", "libmosquitto", "libsqlite3"]}


def readelf(option, program):
    return subprocess.run(["readelf", option, "--wide", BIN / program], stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_is_hardened(program):
    dynamic, segments = readelf("--dynamic", program), readelf("--program-headers", program)
    assert "PIE" in dynamic and "BIND_NOW" in dynamic and "TEXTREL" not in dynamic
    assert "GNU_RELRO" in segments
    stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
    assert " RW " in stack and "RWE" not in stack
    symbols = readelf("--dyn-syms", program)
    assert "__stack_chk_fail" in symbols
    assert "__snprintf_chk" in symbols or "__fprintf_chk" in symbols


@pytest.mark.parametrize("program", PROGRAMS)
def test_links_what_it_may(program):
    needed = [line for line in readelf("--dynamic", program).splitlines() if "NEEDED" in line]
    assert needed
    assert [library for library in NEVER[program] for line in needed if library in line] == []


def test_the_plugin_is_hardened_and_gives_mosquitto_no_name_but_its_own():
    dynamic, segments = readelf("--dynamic", "lighterman_router.so"), readelf("--program-headers", "lighterman_router.so")
    assert "BIND_NOW" in dynamic and "TEXTREL" not in dynamic and "libmosquitto" not in dynamic
    assert "GNU_RELRO" in segments
    symbols = [line.split() for line in readelf("--dyn-syms", "lighterman_router.so").splitlines()]
    defined = {words[7] for words in symbols if len(words) > 7 and words[4] in ("GLOBAL", "WEAK") and words[6] != "UND"}
    assert defined == {"mosquitto_plugin_version", "mosquitto_plugin_init", "mosquitto_plugin_cleanup"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="a feature of that processor")
def test_code_begins_its_functions_for_indirect_branch_tracking():
    code = subprocess.run(["objdump", "--disassemble=daemon_run", "--no-show-raw-insn", BIN / "lightermand"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "endbr64" in code
