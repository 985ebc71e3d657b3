# SPDX-License-Identifier: Apache-2.0
"""Policy.SnapshotVolumes: what a newer generation has done to the volumes is undone when the older one starts again."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from device import workers
from servers.engine import PROJECT
from servers.server import run, wait_until
from small_disk import SmallDisk
from strace import followed

STAYS = "trap 'exit 0' TERM; sleep 1000000 & wait"
FIRST = "[ -e /data/base/table ] || { mkdir -m 2750 /data/base; echo old > /data/base/table; chown -R 70:71 /data; }; " + STAYS
MIGRATES = "echo half > /data/base/table; echo new > /data/base/more; rm -f /data/left; "
FAILS = MIGRATES + "exit 3"
POLICY = {"SnapshotVolumes": "True", "WaitHealthy": "true", "HealthTimeoutSeconds": "20", "StableSeconds": "1"}
BIG = 64 << 20


def application(image, command, *volumes):
    """One service with a database in a named volume."""
    lines = ["version: '3.4'", "services:", "  db:", f"    image: {image}", "    stop_grace_period: 1s",
             f"    command: [sh, -c, {json.dumps(command)}]", "    volumes: ['data:/data', 'other:/other']", "volumes:", "  data:", "  other:", *volumes]
    return "\n".join(lines) + "\n"


class Database:
    """The application on a device, and what is in its volume."""

    def __init__(self, device, engine, image):
        self.device, self.engine, self.image = device, engine, image
        self.count = 0

    @property
    def root(self):
        return self.engine.folder / "data" / "volumes" / f"{PROJECT}_data"

    @property
    def folder(self):
        return self.root / "_data"

    @property
    def table(self):
        return (self.folder / "base" / "table").read_text().strip()

    @property
    def snapshots(self):
        return self.device.folder / "state" / "volumes"

    def numbers(self):
        return sorted(int(path.name) for path in self.snapshots.iterdir() if path.name.isdigit()) if self.snapshots.exists() else []

    def group(self, command, policy=POLICY, text=None, **more):
        """Each has a compose file of its own: what one generation starts with does not depend on another."""
        self.count += 1
        key = f"compose-{self.count}.yml"
        self.device.put_object("ships", key, text or application(self.image, command))
        more = {"DockerPullBeforeUp": "False", **more} if more.get("version", 7) >= 5 else more
        return self.device.group(key=key, name=f"group-{self.count}.json", policy=policy, **more)

    def begin(self, **more):
        """The first generation runs, and has written."""
        self.device.start()
        self.device.deploy(self.group(FIRST, **more))
        wait_until(lambda: (self.folder / "base" / "table").exists() and os.lstat(self.folder).st_uid == 70, 30, "no table is made")
        (self.folder / "left").write_text("as it was")
        os.link(self.folder / "left", self.folder / "base" / "same")
        (self.folder / "empty").mkdir(mode=0o711)
        os.setxattr(self.folder / "left", "user.note", b"kept")
        with open(self.folder / "sparse", "wb") as file:
            file.truncate(8 << 20)
            file.seek(4 << 20)
            file.write(b"in the middle")
        tool = self.folder / "base" / "tool"
        tool.write_text("run")
        os.chown(tool, 70, 72)
        tool.chmod(0o6711)
        os.utime(tool, (1000, 2000))

    def grow(self):
        with open(self.folder / "big", "wb") as file:
            file.write(os.urandom(BIG))

    def assert_old(self):
        folder = self.folder
        assert self.table == "old" and (folder / "left").read_text() == "as it was"
        assert not (folder / "base" / "more").exists()
        assert os.lstat(folder / "left").st_ino == os.lstat(folder / "base" / "same").st_ino
        assert os.lstat(folder / "base").st_mode & 0o7777 == 0o2750 and os.lstat(folder).st_uid == 70
        assert os.lstat(folder / "base" / "table").st_gid == 71 and os.lstat(folder / "empty").st_mode & 0o7777 == 0o711
        assert os.getxattr(folder / "left", "user.note") == b"kept"
        sparse, tool = os.lstat(folder / "sparse"), os.lstat(folder / "base" / "tool")
        assert sparse.st_size == 8 << 20 and sparse.st_blocks * 512 <= 1 << 20
        with open(folder / "sparse", "rb") as file:
            file.seek(4 << 20)
            assert file.read(13) == b"in the middle"
        assert (tool.st_mode & 0o7777, tool.st_uid, tool.st_gid, tool.st_mtime) == (0o6711, 70, 72, 2000)

    def wait_old_runs(self):
        wait_runs(self.device, 1)
        assert set(self.engine.containers()) == {"db"}
        self.assert_old()
        self.assert_clean()

    def assert_clean(self):
        """Nothing of a restore is left, neither in the volume's folder nor in ours."""
        wait_until(lambda: not list(self.snapshots.iterdir()) and {path.name for path in self.root.iterdir()} <= {"_data", "opts.json"},
                   60, "something is left of a snapshot or of its restore")


@pytest.fixture
def database(device, engine, local_image):
    return Database(device, engine, local_image)


def wait_runs(device, generation):
    whole = {"state": "whole", "generation": generation}
    device.wait_status(lambda status: (status["state"], status["job"], status["actual"]) == ("running", None, whole), 120)


def restart(device):
    """What failed is left; the last good generation starts."""
    device.cli("stop")
    device.cli("start")


def output(done):
    return done.stdout + done.stderr


def test_a_failed_migration_loses_nothing(database, device):
    database.begin()
    device.deploy(database.group(FAILS), status=1)
    assert database.table == "half" and database.numbers() == [1]
    restart(device)
    database.wait_old_runs()
    # And the next one is saved again.
    (database.folder / "later").write_text("after the first failure")
    device.deploy(database.group(FAILS), status=1)
    restart(device)
    database.wait_old_runs()
    assert (database.folder / "later").read_text() == "after the first failure"


def test_a_failed_migration_is_undone_by_its_rollback(database, device):
    database.begin()
    done = device.cli("deploy", database.group(FAILS, policy={**POLICY, "RollbackOnFailure": "true"}), check=False)
    assert done.returncode == 1 and "generation 1 runs again" in output(done), done
    database.wait_old_runs()


def test_a_success_keeps_what_it_has_written_and_starts_lose_nothing(database, device):
    database.begin()
    device.deploy(database.group("[ -e /data/base/more ] || { " + MIGRATES + "}; " + STAYS))
    assert database.table == "half" and database.numbers() == []
    (database.folder / "base" / "table").write_text("grown")
    restart(device)
    device.stop()
    device.start()
    wait_runs(device, 2)
    assert database.table == "grown"
    # Without the policy, a failure is not undone, neither by this nor by an older snapshot.
    device.deploy(database.group("echo third > /data/base/table; exit 3", policy={**POLICY, "SnapshotVolumes": "False"}), status=1)
    restart(device)
    wait_runs(device, 2)
    assert database.table == "third"
    # Nor by a person who goes back to what ran before a success.
    device.cli("rollback", "1")
    assert database.table == "third"


@pytest.mark.parametrize("version", [1, 7])
def test_what_runs_is_stopped_before_the_copy_whatever_the_order(database, device, version):
    more = {"StopContainersOnNewDeployment": "False"} if version == 7 else {}
    device.start()
    # It writes as long as it runs.
    device.deploy(database.group("trap 'echo end >> /data/log; exit 0' TERM; echo begin >> /data/log; sleep 1000000 & wait"))
    device.deploy(database.group(FAILS, version=version, **more), status=1)
    saved = database.snapshots / "1" / "data" / f"{PROJECT}_data" / "log"
    assert saved.read_text() == "begin\nend\n"


def test_volumes_that_do_not_fit_are_refused_before_anything_stops(database, device, engine):
    database.begin()
    (database.folder / "big").write_bytes(os.urandom(3 << 20))
    began = engine.containers()["db"].id
    group = database.group(FAILS, policy={**POLICY, "SnapshotMaxMB": "2"})
    for words in (("plan", group), ("deploy", group)):
        done = device.cli(*words, check=False)
        assert done.returncode == 1 and "more than Policy.SnapshotMaxMB (2)" in output(done), done
    assert engine.containers()["db"].id == began and database.table == "old" and database.numbers() == []
    assert device.status["last_deployment"]["stage"] == "admit"
    # A hole takes no space.
    (database.folder / "big").unlink()
    os.truncate(database.folder / "sparse", 1 << 30)
    device.deploy(database.group(FAILS, policy={**POLICY, "SnapshotMaxMB": "2"}), status=1)
    assert database.numbers() == [1]


@pytest.fixture
def far_state(device):
    """The state directory is in another file system than the volumes: nothing can be moved, all is copied."""
    disk = SmallDisk(device.folder / "state", size="300m")
    yield disk
    device.end()
    disk.unmount()


def test_a_full_disk_refuses_until_there_is_space(database, device, engine, far_state):
    database.begin()
    database.grow()
    began = engine.containers()["db"].id
    far_state.fill(leave=8 << 20)
    done = device.cli("deploy", database.group(MIGRATES + STAYS), check=False)
    assert done.returncode == 1 and "a snapshot of the volumes does not fit: it needs" in output(done), done
    assert "it continues by itself once" in output(done)
    assert engine.containers()["db"].id == began and database.table == "old"
    far_state.free()
    wait_runs(device, 2)
    assert database.table == "half"


def root_worker():
    root = [pid for pid in workers() if "\nUid:\t0\t" in pathlib.Path(f"/proc/{pid}/status").read_text()]
    assert len(root) == 1
    return root[0]


def test_a_copy_that_fails_leaves_what_ran_running(database, device, engine):
    """The engine starts a container of ours while the volumes are copied."""
    database.begin()
    database.grow()
    with device.begin(database.group(FAILS)) as deployment:
        wait_until(lambda: (database.snapshots / ".new-1" / "data" / f"{PROJECT}_data").exists(), 60, "no copy is begun")
        copier = root_worker()
        os.kill(copier, signal.SIGSTOP)
        engine.containers(everything=True)["db"].start()
        os.kill(copier, signal.SIGCONT)
        last = deployment.end()
    assert last["exit"] == 1 and last["message"].endswith("generation 1 is started again"), last
    assert "runs and uses the volume" in last["message"] or "has changed" in last["message"], last
    database.wait_old_runs()


@pytest.mark.parametrize("how", ["kill", "crash"])
def test_a_kill_amid_the_copy_leaves_the_volumes_and_the_next_start_goes_on(database, device, engine, how):
    database.begin()
    database.grow()
    device.begin(database.group(FAILS))
    wait_until(lambda: (database.snapshots / ".new-1").exists(), 60, "no copy is begun")
    if how == "crash":
        device.crash()
    else:
        device.kill()
    assert database.table == "old" and database.numbers() == []
    device.start()
    # It is tried again, fails, and the old one is back.
    device.wait_status(lambda status: (status["last_deployment"] or {}).get("generation") == 2, 120)
    wait_until(lambda: (database.folder / "base").exists() and database.table == "old" and set(engine.containers()) == {"db"} and
               not list(database.snapshots.glob(".new-*")), 60, "the old one is not back")


@pytest.mark.parametrize("how", ["kill", "crash"])
def test_a_kill_amid_the_restore_is_made_good_by_the_next_start(database, device, far_state, how):
    begin_restore(database, device)
    if how == "crash":
        device.crash()
    else:
        device.kill()
    device.start()
    database.wait_old_runs()
    assert len(list((database.folder / "many").iterdir())) == 5000


def begin_restore(database, device):
    """It copies, and is found in the middle of that."""
    database.begin()
    database.grow()
    (database.folder / "many").mkdir()
    for n in range(5000):
        (database.folder / "many" / str(n)).write_text(str(n))
    device.deploy(database.group(FAILS), status=1)
    device.cli("stop")
    device.control("start")
    wait_until(lambda: list(database.root.glob(".lighterman-*")), 60, "no restore is begun")


def test_another_deployment_amid_a_restore_loses_nothing(database, device, far_state):
    """The rollback is cut short by a deployment, which fails as well: the first one gets its volumes all the same."""
    begin_restore(database, device)
    device.kill()
    record = json.loads((database.snapshots / "restore.json").read_text().split("\n", 1)[1])
    assert record["generation"] == 1 and not record["done"]
    device.start()
    device.deploy(database.group(FAILS), status=1)
    restart(device)
    database.wait_old_runs()


def test_a_damaged_record_of_a_restore_fails_the_start(database, device, engine):
    database.begin()
    device.deploy(database.group(FAILS), status=1)
    device.cli("stop")
    (database.snapshots / "restore.json").write_text("{")
    done = device.cli("start", check=False)
    assert done.returncode == 1 and "of a restore of volumes that was cut short is damaged" in output(done), done
    assert not engine.containers() and database.numbers() == [1]
    (database.snapshots / "restore.json").unlink()
    device.cli("start")
    database.wait_old_runs()


def test_a_worker_that_is_killed_amid_the_copy_fails_the_deployment_and_the_old_one_runs_on(database, device):
    database.begin()
    database.grow()
    with device.begin(database.group(FAILS)) as deployment:
        wait_until(lambda: (database.snapshots / ".new-1").exists(), 60, "no copy is begun")
        os.kill(root_worker(), signal.SIGKILL)
        last = deployment.end()
    assert last["exit"] == 1 and "exited without a result" in last["message"], last
    database.wait_old_runs()


def test_a_call_that_takes_long_amid_the_copy_is_waited_for(database, device, tmp_path):
    """As an fsync on a slow disk, for longer than a worker may be silent."""
    device.host["workerSilenceSeconds"] = 4
    database.begin()
    database.grow()
    log = tmp_path / "calls"
    with device.begin(database.group(FAILS)) as deployment:
        wait_until(lambda: (database.snapshots / ".new-1" / "data" / f"{PROJECT}_data").exists(), 60, "no copy is begun")
        copier = root_worker()
        os.kill(copier, signal.SIGSTOP)
        with followed(copier, log, "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=8000000:when=1"):
            os.kill(copier, signal.SIGCONT)
            last = deployment.end()
    assert "DELAYED" in log.read_text()
    assert last["exit"] == 1 and "was killed" not in last["message"], last
    assert database.table == "half" and database.numbers() == [1]


def test_what_was_replaced_and_cannot_be_removed_is_reported_once_and_tried_again(database, device):
    database.begin()
    for _ in range(2):
        device.deploy(database.group(FAILS), status=1)
        subprocess.run(["chattr", "+i", database.folder / "base" / "more"], check=True)
        restart(device)
        wait_runs(device, 1)
        database.assert_old()
    stuck = list(database.root.glob(".lighterman-*-old/base/more"))

    def lines():
        return [line.split("]-", 1)[1] for line in device.log.splitlines() if "old data of volumes take up space" in line]
    try:
        assert len(stuck) == 2
        wait_until(lambda: sorted(database.root.glob(".lighterman-*/*/*")) == sorted(stuck) and
                   [path.name for path in database.snapshots.iterdir()] == ["restore.json"] and len(lines()) == 2,
                   60, "something else is left, or it is not reported")
        assert all("remove 'more' in '.lighterman-" in line and "run chattr -i on it" in line for line in lines()), lines()
        assert lines()[0] != lines()[1]
        device.stop()
    finally:
        subprocess.run(["chattr", "-i", *stuck], check=True)
    device.start()
    database.wait_old_runs()


def test_a_volume_that_was_removed_keeps_its_snapshot(database, device, engine):
    database.begin()
    device.deploy(database.group(FAILS), status=1)
    device.cli("stop")
    for container in engine.containers(everything=True).values():
        container.remove(force=True)
    engine.docker.volumes.get(f"{PROJECT}_data").remove()
    device.cli("start")
    kept = list(database.snapshots.glob("left-*"))
    assert len(kept) == 1 and (kept[0] / "data" / f"{PROJECT}_data" / "base" / "table").read_text() == "old\n"
    device.wait_log("of 1 volumes that were removed since")


def test_what_is_not_the_engine_s_own_is_refused_or_left_out(database, device, tmp_path):
    device.start()
    text = application(database.image, FIRST, "  memory:", "    driver_opts: {type: tmpfs, device: tmpfs}").replace("'other:/other'", "'memory:/memory'")
    device.deploy(database.group(None, text=text))
    device.deploy(database.group(FAILS), status=1)
    device.wait_log(f"the volume '{PROJECT}_memory' is left out of snapshots: its driver has options")
    restart(device)
    # A container may have made a link or a mount of what the engine has made.
    device.cli("stop")
    elsewhere = database.root.parent.parent / "elsewhere"
    database.folder.rename(elsewhere)
    database.folder.symlink_to(elsewhere)
    done = device.cli("deploy", database.group(FAILS), check=False)
    assert done.returncode == 1 and "_data' is a link or a file, where the Docker daemon makes a directory" in output(done), done
    database.folder.unlink()
    elsewhere.rename(database.folder)
    (database.folder / "mounted").mkdir()
    run("mount", "--bind", tmp_path, database.folder / "mounted")
    try:
        done = device.cli("deploy", database.group(FAILS), check=False)
        assert done.returncode == 1 and "another file system is mounted at" in output(done), done
    finally:
        run("umount", database.folder / "mounted")


def test_another_s_container_that_uses_the_volume_is_named_before_anything_stops(database, device, engine):
    database.begin()
    began = engine.containers()["db"].id
    other = engine.docker.containers.run(database.image, ["sleep", "1000000"], detach=True, volumes=[f"{PROJECT}_data:/data"])
    try:
        done = device.cli("deploy", database.group(FAILS), check=False)
        assert done.returncode == 1 and "which is not of this application, runs and uses the volume" in output(done), done
        assert engine.containers()["db"].id == began
    finally:
        other.remove(force=True)
