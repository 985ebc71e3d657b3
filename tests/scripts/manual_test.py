# SPDX-License-Identifier: Apache-2.0
"""The manual pages and the completion know what the programs know."""
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS", ROOT / "build/bin"))
COMPLETION = ROOT / "packaging/completion/lighterman"
PAGES = {"lighterman": "lighterman.1", "lightermand": "lightermand.8"}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def output(*words):
    return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          timeout=60, check=True).stdout


def commands():
    """The commands that lighterman --help names."""
    listed = output(PROGRAMS / "lighterman", "--help").split("\n\n")[1]
    return [line.split()[0] for line in listed.splitlines() if line[2] != " "]  # others go on with the line before


def options(program, *words):
    return set(OPTION.findall(output(PROGRAMS / program, *words, "--help")))


def page(program):
    return (ROOT / "docs/man" / PAGES[program]).read_text().replace("\\-", "-")


def test_each_command_is_in_the_manual_page():
    described = re.findall(r"^\.TP\n\.BI? ([a-z]+)", page("lighterman").split(".SH OPTIONS")[0], re.MULTILINE)
    assert described == commands() != []


@pytest.mark.parametrize("program", PAGES)
def test_each_option_is_in_the_manual_page(program):
    known = options(program)
    for command in commands() if program == "lighterman" else []:
        known |= options(program, command)
    assert known >= {"--help", "--version"}
    assert [option for option in sorted(known) if not re.search(rf"^\.B[IR]? .*{option}", page(program), re.MULTILINE)] == []


def complete(*words, cwd=ROOT):
    """What bash offers for the last word."""
    script = """
        source "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        eval "set -- $(complete -p "$1")"
        "$3"
        [ ${#COMPREPLY[@]} = 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", COMPLETION, *words], cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_completes_commands():
    assert complete("lighterman", "") == commands()
    assert complete("lighterman", "p") == ["plan"]
    assert complete("lighterman", "--socket", "/run/x", "sta") == ["status", "start"]
    assert complete("lighterman", "help", "") == commands()
    assert complete("lighterman", "-n", "5", "logs", "--f") == complete("lighterman", "logs", "--f") != []
    assert complete("lighterman", "logs", "-n", "") == []
    assert complete("lighterman", "help", "plan", "") == []
    assert complete("lighterman", "device", "") == ["add", "list", "remove"]
    assert complete("lighterman", "device", "add", "") == []


def test_completes_the_options_that_a_command_takes():
    for command in commands():
        assert set(complete("lighterman", command, "-")) == options("lighterman", command), command
    assert set(complete("lighterman", "-")) == options("lighterman")
    assert set(complete("lightermand", "--")) == options("lightermand")
    assert complete("lighterman", "deploy", "x", "--no-") == ["--no-wait"]


def test_completes_files_where_there_is_one(tmp_path):
    for name in ("group.json", "guide", "other"):
        (tmp_path / name).touch()
    for words in (["validate", "g"], ["deploy", "--json", "g"], ["plan", "g"], ["doctor", "g"], ["--socket", "g"],
                  ["device", "add", "Crane", "--csr", "g"],
                  ["status", "--socket", "g"], ["--socket", "=", "g"], ["doctor", "--config", "g"]):
        assert sorted(complete("lighterman", *words, cwd=tmp_path)) == ["group.json", "guide"], words
    assert sorted(complete("lightermand", "--group", "g", cwd=tmp_path)) == ["group.json", "guide"]
    assert sorted(complete("lighterman", "--socket", "=", cwd=tmp_path)) == ["group.json", "guide", "other"]
    for words in (["deploy", "group.json", "g"], ["status", "g"], ["stop", "g"]):
        assert complete("lighterman", *words, cwd=tmp_path) == [], words


def test_pages_and_completion_are_installed():
    places = json.loads(output("meson", "introspect", "--installed", PROGRAMS.parent)).values()
    for end in ("/man/man1/lighterman.1", "/man/man8/lightermand.8", "/bash-completion/completions/lighterman",
                "/bash-completion/completions/lightermand"):
        assert [place for place in places if place.endswith(end)], end
