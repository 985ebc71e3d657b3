# SPDX-License-Identifier: Apache-2.0
"""DockerComposeFileDestinationPath, in every state that a directory can be in."""
import contextlib
import os

import pytest

from documents import success
from servers.engine import compose_file
from servers.server import run


class Shore:
    """A device with an application that runs, and one deployment after the other to other directories."""

    def __init__(self, device, image, messages):
        self.device, self.messages = device, messages
        device.put_object("ships", "docker-compose.yml", compose_file(None, ["web"], image))
        device.start()

    def make(self, name, mode=0o700, owner=None):
        path = self.device.folder / name
        path.mkdir()
        path.chmod(mode)
        (owner or self.device.user).owns(path)
        return path

    def deploy(self, path, status=0):
        """Returns what it said: the log of that deployment, or the failure's sentence and class."""
        before = len(self.device.log)
        done = self.device.deploy(self.device.group(DockerComposeFileDestinationPath=str(path),
                                                    DockerPullBeforeUp="False"), status=status)
        message = self.messages.next_json()
        if status == 0:
            assert message == success()
            return self.device.log[before:]
        assert message["status"] == "fail" and message["error_message"] in done.stderr
        return message["error"], message["error_message"]

    def refuses(self, path, error, *words):
        found, sentence = self.deploy(path, 1)
        assert found == error and all(str(word) in sentence for word in words), (found, sentence)
        last = self.device.status["last_deployment"]
        assert last["stage"] in ("prepare", "admit"), last


DEFINITION, DEVICE = "InvalidParameter", "InternalError"


@pytest.fixture
def shore(device, engine, broker, local_image, status_messages):
    device.use_broker(broker)
    return Shore(device, local_image, status_messages)


@contextlib.contextmanager
def mounted(path, user, *options):
    """A file system of 256 KB in memory, mounted there."""
    run("mount", "-t", "tmpfs", "-o", f"size=256k,uid={user.uid},gid={user.uid},mode=700", "tmpfs", path)
    if options:
        run("mount", "-o", f"remount,{','.join(options)}", path)
    try:
        yield path
    finally:
        run("umount", "--lazy", path)


def test_what_is_no_directory_of_the_user_is_named_and_what_runs_is_left_alone(shore, device, stranger, engine, folder):
    first = shore.make("first")
    shore.deploy(first)
    container = engine.containers()["web"].id

    shore.refuses(folder / "none", DEFINITION, folder / "none", "does not exist")
    (device.folder / "file").write_text("")
    shore.refuses(device.folder / "file", DEFINITION, "is not a directory")
    shore.refuses(shore.make("theirs", 0o755, stranger), DEFINITION, "cannot write", "as user lmtest")
    hidden = shore.make("hidden", 0o700, stranger)
    shore.refuses(hidden / "below", DEFINITION, "cannot write", "Permission denied")

    with mounted(shore.make("full"), device.user) as path:
        (path / "ballast").write_bytes(b"x" * (200 << 10))
        shore.refuses(path, DEVICE, path, "is full")
    with mounted(shore.make("read-only"), device.user, "ro") as path:
        shore.refuses(path, DEVICE, path, "mounted read-only")

    link = device.folder / "link"
    link.symlink_to(first)
    os.chown(link, stranger.uid, stranger.uid, follow_symlinks=False)
    for path in (link, f"{link}/"):
        shore.refuses(path, DEFINITION, link, f"is a symbolic link owned by user {stranger.uid}")
    (device.folder / "loop").symlink_to("loop")
    shore.refuses(device.folder / "loop", DEVICE, "loop")

    taken = shore.make("taken")
    (taken / "docker-compose.yml").mkdir()
    shore.refuses(taken, DEVICE, taken / "docker-compose.yml", "is a directory")
    sticky = shore.make("sticky", 0o1777, stranger)
    (sticky / "docker-compose.yml").write_text("services: {}\n")
    stranger.owns(sticky / "docker-compose.yml")
    shore.refuses(sticky, DEVICE, sticky / "docker-compose.yml", "sticky bit")
    assert engine.containers()["web"].id == container


def test_links_of_root_and_of_the_user_are_followed(shore, device, engine):
    real = shore.make("real")
    for name, owner in (("by-root", 0), ("by-user", device.user.uid)):
        link = device.folder / name
        link.symlink_to("real")
        os.chown(link, owner, owner, follow_symlinks=False)
        for path in (link, f"{link}/"):
            shore.deploy(path)
            assert (real / "docker-compose.yml").is_file() and link.is_symlink()
            (real / "docker-compose.yml").unlink()
    assert set(engine.containers(everything=True)) == {"web"}


def test_what_others_may_read_and_write_is_warned_of(shore, stranger, engine):
    assert "[WARN]" not in shore.deploy(shore.make("own"))
    assert "every user can read the directory" in shore.deploy(shore.make("open", 0o755))
    assert "every user can write to the directory" in shore.deploy(shore.make("public", 0o777))
    said = shore.deploy(shore.make("public-theirs", 0o777, stranger))
    assert f"belongs to user {stranger.uid}" in said and "every user can write to" in said
    assert set(engine.containers(everything=True)) == {"web"}


def test_a_link_in_the_place_of_the_compose_file_is_replaced_and_not_followed(shore, device, engine):
    path = shore.make("linked")
    outside = device.folder / "outside.yml"
    outside.write_text("theirs")
    device.user.owns(outside)
    for name in ("docker-compose.yml", ".docker-compose.yml.tmp"):
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(outside)
        shore.deploy(path)
        assert outside.read_text() == "theirs"
        assert not (path / "docker-compose.yml").is_symlink() and "web" in (path / "docker-compose.yml").read_text()
        assert os.listdir(path) == ["docker-compose.yml"]
    assert set(engine.containers(everything=True)) == {"web"}


def test_an_application_ends_although_its_directory_is_gone(shore, device, engine):
    path = shore.make("gone")
    shore.deploy(path)
    (path / "docker-compose.yml").unlink()
    path.rmdir()
    assert device.stop() == 0
    assert engine.containers(everything=True) == {}
