# SPDX-License-Identifier: Apache-2.0
"""The documents as a book: every page is in its contents, every link leads somewhere, every command is one."""
import json
import os
import pathlib
import re
import shlex
import subprocess

import botocore.loaders
import botocore.model
import botocore.validate
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS", ROOT / "build/bin"))
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
NAME = lambda page: str(page.relative_to(ROOT))  # noqa: E731
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

# Who runs the commands of a page, in their order.
RUN_BY = {
    "README.md": "tests/e2e/readme_test.py",
    "containers.md": "tests/e2e/client_device_test.py",
    "fleet.md": "tests/e2e/jobs_test.py",
    "migrate.md": "tests/e2e/migrate_test.py",
    "packages.md": "tests/packages/packages_test.py",
}


def text(page):
    return page.read_text(encoding="utf-8")


def slug(heading):
    """The anchor that a forge gives a heading."""
    words = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(page):
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", BLOCK.sub("", text(page)), re.MULTILINE)}


def help_of(*words):
    done = subprocess.run([*map(str, words), "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else None


def commands(page, *programs):
    """The words of each command of one of `programs`: lines of sh blocks, and inline code that begins with its name."""
    lines = [line for kind, block in BLOCK.findall(text(page)) if kind == "sh" for line in block.replace("\\\n", "").splitlines()]
    lines += INLINE.findall(BLOCK.sub("", text(page)))
    for line in lines:
        try:
            words = shlex.split(line.split(" | ")[0])
        except ValueError:
            continue
        name = words[0].removeprefix("build/bin/") if words else ""
        if name in programs:
            yield [name, *words[1:]]


def test_every_page_is_in_the_contents_once():
    listed = re.findall(r"^- \[[^\]]+\]\(([^)#]+\.md)\): ", text(DOCS / "README.md"), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")
    assert "(docs/README.md)" in text(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=NAME)
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(INLINE.sub("", BLOCK.sub("", text(page)))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=NAME)
def test_every_command_and_option_exists(page):
    for name, *words in commands(page, "lighterman", "lightermand", "lighterman-discovery"):
        verb = words[:1] if name == "lighterman" and words and re.fullmatch("[a-z]+", words[0]) else []
        known = help_of(PROGRAMS / name, *verb)
        assert known, (name, verb)
        for word in words:
            option = word.partition("=")[0]
            assert not OPTION.fullmatch(option) or option in known + help_of(PROGRAMS / name), (name, verb, word)


@pytest.mark.parametrize("page", PAGES, ids=NAME)
def test_every_script_and_its_options_exist(page):
    scripts = [f"scripts/{path.name}" for path in (ROOT / "scripts").iterdir()]
    for line in INLINE.findall(BLOCK.sub("", text(page))):
        named = re.match(r"scripts/[a-z-]+(?![\w.:-])", line)
        assert not named or named[0] in scripts, line
    for name, *words in commands(page, *scripts):
        given = [word for word in words if OPTION.fullmatch(word)]
        known = help_of(ROOT / name) if given else ""
        assert [word for word in given if word not in (known or "")] == [], (name, words)


def parameter(shape, word):
    """A word of AWS's command line as its API has it; None: it is in a file."""
    kind = shape.type_name
    if re.match("fileb?://", word):
        return None
    if kind in ("structure", "map") or kind == "list" and word.startswith("["):
        return json.loads(word)
    return [word] if kind == "list" else int(word) if kind in ("integer", "long") else word


@pytest.mark.parametrize("page", PAGES, ids=NAME)
def test_every_command_of_the_aws_cli_is_as_aws_has_it(page):
    for _, *words in commands(page, "aws"):
        if len(words) < 2 or words[0] in ("s3", "configure") or words[:2] == ["sso", "login"]:
            continue  # named in passing; the command line's own
        service, operation, *words = words
        model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"))
        names = {botocore.xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(names[operation]).input_shape
        if not words:
            continue
        members = {botocore.xform_name(name, "-"): name for name in shape.members}
        given, in_files = {}, set()
        while words:
            option = words.pop(0).removeprefix("--")
            if option in ("region", "query", "output", "profile") and option not in members:
                words.pop(0)
                continue
            name = members[option]
            value = True if shape.members[name].type_name == "boolean" else parameter(shape.members[name], words.pop(0))
            if value is None:
                in_files.add(name)
            else:
                given[name] = value
        report = botocore.validate.ParamValidator().validate(given, shape)
        faults = [line for line in report.generate_report().splitlines() if not any(f'"{name}"' in line for name in in_files)]
        assert faults == [], (operation, faults)


AWS_ALONE = re.compile(r"^(?:aws|sed|packaging/)")


def is_for_the_device(page):
    """Whether its blocks have commands that are not the AWS CLI's, and what prepares their files."""
    return any(not AWS_ALONE.match(line) for kind, block in BLOCK.findall(text(page)) if kind == "sh"
               for line in block.replace("\\\n", "").splitlines() if line)


@pytest.mark.parametrize("page", [page for page in PAGES if is_for_the_device(page)],
                         ids=NAME)
def test_the_commands_of_a_page_are_run_by_a_test(page):
    runner = ROOT / RUN_BY[page.name]
    sources = text(runner) + "".join(text(path) for path in (ROOT / "tests/e2e/guide.py",) if "guide" in text(runner))
    assert page.name in sources, f"{RUN_BY[page.name]} does not read {page.name}"
