# SPDX-License-Identifier: Apache-2.0
"""docs/errors.md is true: each of its rows is brought about with the real programs, and told as it says."""
import dataclasses
import pathlib
import re

import pytest

from device import Device
from documents import assert_failure
from faults import FAULTS, Scene, provoke
from servers.broker import STATUS_TOPIC
from servers.compose import HeldCompose
from servers.engine import Engine

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/errors.md"
PLACEHOLDER = re.compile(r"<[a-z][a-z ]*>")


@dataclasses.dataclass
class Row:
    stage: str
    id: str
    happened: str
    error: str
    message: str
    todo: str

    def matches(self, message):
        """Its message with anything in place of each <placeholder>."""
        parts = [re.escape(part) for part in PLACEHOLDER.split(self.message)]
        return re.fullmatch(".+?".join(parts), message)


def read_rows():
    rows, stage = [], None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            stage = line[3:].strip("`")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            assert len(cells) == 5, f"not five cells: {line}"
            name, happened, error, message, todo = cells
            assert re.fullmatch("`[^`]+`", message), f"a message is not in backticks: {line}"
            rows.append(Row(stage, name.strip("`"), happened, error.strip("`"), message[1:-1], todo))
    return rows


ROWS = read_rows()


def test_each_row_has_a_way_to_bring_it_about_and_each_way_a_row():
    names = [row.id for row in ROWS]
    assert len(names) >= 40
    assert sorted(names) == sorted(set(names)), "an id stands twice"
    assert set(names) == set(FAULTS)
    for row in ROWS:
        assert row.happened and row.todo and row.error in ("InvalidParameter", "InternalError"), row


@pytest.fixture(scope="module")
def shared(sandbox, programs, user, compose2, _broker, _engine):
    """A device for all the faults that are in the definition and what it names."""
    folder = sandbox / "errors"
    folder.mkdir()
    folder.chmod(0o755)
    device = Device(folder, programs, user, Engine.SOCKET, compose2)
    if not _broker.running:
        _broker.start()
    device.use_broker(_broker)
    device.start()
    yield device
    device.end()


class Stage(Scene):
    """... and the status messages, which are compared."""

    during = None

    def __init__(self, shared, request, broker, messages):
        super().__init__(shared, request)
        self.broker, self.messages = broker, messages

    def own(self, compose="compose2", **more):
        device = super().own(compose, **more)
        device.use_broker(self.broker)
        return device

    def hold(self, device):
        held = HeldCompose(device.host["docker"]["compose"], device.folder / "compose", device.user)
        device.host["docker"]["compose"] = str(held.path)
        return held

    def deploy_well(self, group):
        """For a fault of the deployment after this one."""
        last, _ = self.deploy(group)
        assert (last["exit"], self.messages.next_json()["status"]) == (0, "success"), last

    def deploy_badly(self, group):
        """The same, where that one fails, too."""
        last, _ = self.deploy(group)
        assert (last["exit"], self.messages.next_json()["status"]) == (1, "fail"), last

    def deploy(self, group):
        """Deploys, or starts what is deployed (None), with what is to happen meanwhile; returns the last line of the answer."""
        if self.device.process is None:
            self.device.start()
        with self.device.begin(group) if group else self.device.control("start") as deployment:
            if self.during:
                self.during()
            last = deployment.end()
            return last, [line["fault"] for line in deployment.lines if "fault" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_is_told_as_the_page_says(row, request, shared, engine, broker, status_messages):
    scene = Stage(shared, request, broker, status_messages)
    with provoke(row.id, scene) as group:
        last, faults = scene.deploy(group)
        message = status_messages.next_json()
        status = scene.device.status["last_deployment"]
    assert_failure(message, row.error)
    sentence = message["error_message"]
    assert row.matches(sentence), sentence
    if row.stage == "validate":
        assert last["exit"] == 2 and faults, last
        return
    # The same to whoever waits, to whoever asks, and in the log.
    assert (last["exit"], last["message"]) == (1, sentence), last
    assert (status["success"], status["error"], status["message"]) == (False, row.error, sentence), status
    assert row.stage in (status["stage"], "any stage")
    assert any("[ERROR]" in line and sentence in line for line in scene.device.log.splitlines())
