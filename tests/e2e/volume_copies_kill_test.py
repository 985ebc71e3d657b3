# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes, and their return, killed at every system call that changes something, and with each such call
failing: the volumes are untouched by a copy, a snapshot is whole or not there, and what the next start finds in the
volumes is what was saved."""
import collections
import os
import shutil
import stat
import subprocess

import pytest

from small_disk import SmallDisk
from strace import drivers, fail, in_memory, in_parallel, kill, run, trace

CHANGES = ["openat", "openat2", "mkdirat", "mknodat", "symlinkat", "linkat", "write", "pwrite64", "copy_file_range", "ftruncate", "chmod",
           "fchownat", "utimensat", "setxattr", "fsync", "renameat", "renameat2", "unlinkat"]
FAULTS = [(name, error) for name, errors in {
    "openat": ["ENOSPC", "EMFILE"], "openat2": ["EMFILE", "EIO"], "mkdirat": ["ENOSPC"], "mknodat": ["ENOSPC"], "symlinkat": ["ENOSPC"],
    "linkat": ["ENOSPC"], "write": ["ENOSPC", "EIO"], "pwrite64": ["ENOSPC"], "copy_file_range": ["ENOSPC", "EIO", "EINTR"],
    "ftruncate": ["ENOSPC"], "chmod": ["EIO"], "fchownat": ["EIO"], "utimensat": ["EIO"], "setxattr": ["ENOSPC"], "fsync": ["EIO"],
    "syncfs": ["EIO", "ENOSPC"], "renameat": ["ENOSPC", "EIO"], "renameat2": ["ENOSPC"], "unlinkat": ["EIO"], "getdents64": ["EIO"],
    "fstat": ["EIO"], "newfstatat": ["EIO"]}.items() for error in errors]

# What makes the copies of a restore: before any volume is touched.
COPIES = {"mkdirat", "mknodat", "symlinkat", "linkat", "pwrite64", "copy_file_range", "ftruncate", "setxattr"}

LOADER = "error while loading shared libraries"  # it has not begun

driver, plain_driver = drivers("tests/unit/worker/volume_copies_driver")


def fill(volumes, word):
    """Two volumes with every kind of file."""
    data = volumes / "data" / "_data"
    (data / "base" / "1").mkdir(parents=True)
    (data / "base" / "1" / "table").write_bytes(word * 3000)
    (data / "journal").write_bytes(word)
    os.link(data / "journal", data / "base" / "again")
    os.symlink("/etc/shadow", data / "link")
    os.mkfifo(data / "fifo", 0o640)
    (data / "base" / "1").chmod(0o2750)
    os.setxattr(data / "journal", "trusted.note", word)
    with open(data / "sparse", "wb") as file:
        file.truncate(1 << 20)
    os.chown(data / "journal", 999, 999)
    os.utime(data / "journal", (10, 20))
    os.chown(data, 999, 998)
    (volumes / "empty").mkdir()
    (volumes / "empty" / "_data").mkdir(mode=0o711)


def describe(folder, itself=False):
    """All that a tree has, by path; the times of folders are left out, which a listing may change."""
    found = {}
    if itself:
        st = os.lstat(folder)
        found["."] = (st.st_mode, st.st_uid, st.st_gid, 0, None, None)
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(top, name)
            st = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(st.st_mode) else None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, folder)] = (
                st.st_mode, st.st_uid, st.st_gid, st.st_nlink if not stat.S_ISDIR(st.st_mode) else 0, content,
                None if stat.S_ISDIR(st.st_mode) else st.st_mtime_ns)
    return found


class Scene:
    """A state directory and volumes, in their first state; `far` in two file systems."""

    def __init__(self, here, there):
        self.state, self.volumes = here / "state", there / "volumes"
        self.state.mkdir(parents=True)
        self.volumes.mkdir(parents=True)
        fill(self.volumes, b"old ")
        self.old = describe(self.volumes)

    def words(self, program, action, n=3):
        return program, self.state, self.volumes, action, n

    def do(self, program, action, n=3):
        done = run(*self.words(program, action, n))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def migrate(self, program):
        """Generation 4 starts, and rewrites all."""
        self.do(program, "copy")
        for volume in self.volumes.iterdir():
            shutil.rmtree(volume / "_data")
            fill_new(volume / "_data")
        self.new = describe(self.volumes)

    def traces(self):
        """What a restore has in a volume's folder, beside the data."""
        return sorted(path.name for path in self.volumes.glob("*/.lighterman-*"))

    def saved(self):
        """The snapshot, described as the volumes are."""
        found = {}
        for volume in (self.state / "volumes" / "3" / "data").iterdir():
            found[volume.name] = self.old[volume.name]
            found |= {os.path.normpath(os.path.join(volume.name, "_data", path)): what for path, what in describe(volume, itself=True).items()}
        return found

    def remove(self):
        shutil.rmtree(self.state.parent)
        shutil.rmtree(self.volumes.parent, ignore_errors=True)


def described_data(one):
    """The volumes without what a restore has beside the data."""
    return {name: what for name, what in describe(one.volumes).items() if "/.lighterman-" not in name}


def fill_new(data):
    (data / "base").mkdir(parents=True)
    (data / "base" / "table").write_bytes(b"migrated")
    (data / "half").write_bytes(b"done")
    data.chmod(0o700)


@pytest.fixture(params=["near", "far"])
def scene(request, in_memory, tmp_path):
    count = iter(range(10**6))

    def make():
        n = str(next(count))
        return Scene(in_memory / n, in_memory / n if request.param == "near" else tmp_path / n)
    make.far = request.param == "far"
    return make


def places_of(scene, program, action, names, before=lambda scene: None):
    first = scene()
    before(first)
    counted = collections.Counter(trace(names, first.state / "calls", *first.words(program, action)))
    first.remove()
    return [(name, n) for name in names for n in range(1, counted[name] + 1)]


def check_copied(scene, program):
    """Whatever became of the copy: nothing else has changed, and the next one is whole."""
    assert describe(scene.volumes) == scene.old
    words = scene.do(program, "look").split()
    assert words[:2] in (["none", "settled"], ["snapshot", "settled"])
    if words[0] == "snapshot":
        assert scene.saved() == scene.old
    scene.do(program, "copy")
    assert scene.do(program, "look").split()[:3] == ["snapshot", "settled", "clean"]
    assert scene.saved() == scene.old and describe(scene.volumes) == scene.old


def test_a_kill_amid_the_copy_leaves_the_volumes_and_no_half_snapshot(scene, driver, plain_driver):
    places = places_of(scene, plain_driver, "copy", CHANGES)
    assert len(places) > 40, places
    killed = []

    def work(name, n):
        one = scene()
        if kill(name, n, *one.words(plain_driver, "copy")).returncode:
            killed.append((name, n))
            check_copied(one, driver if n == 1 else plain_driver)
        one.remove()

    in_parallel(work, places)
    assert len(killed) > 0.9 * len(places)
    print(f"{len(killed)} points of a copy")


def test_a_call_that_fails_amid_the_copy_is_reported_and_does_no_harm(scene, driver, plain_driver):
    counts = collections.Counter(name for name, _ in places_of(scene, plain_driver, "copy", sorted({name for name, _ in FAULTS})))
    failed = []

    def work(name, error, n):
        one = scene()
        done = fail(name, error, n, *one.words(driver, "copy"))
        if LOADER in done.stderr:
            return
        assert done.returncode in (0, 1) and "ERROR: " not in done.stderr, done.stderr
        if done.returncode:
            failed.append((name, error, n))
            assert done.stderr.strip(), (name, error, n)
            assert one.do(plain_driver, "look").split()[0] in ("none", "snapshot")
        check_copied(one, plain_driver)
        one.remove()

    in_parallel(work, [(name, error, n) for name, error in FAULTS for n in range(1, counts[name] + 1)])
    assert len(failed) > 60
    print(f"{len(failed)} failing calls of a copy")


def check_restored(scene, program, how):
    """The next start finishes it; or another generation starts, which finds the volumes as they were, and then this one."""
    if how == "another":
        scene.do(program, "start", 5)
        words = scene.do(program, "look").split()
        assert words[1] == "settled"
        # Until it was recorded as done it is undone.
        assert describe(scene.volumes) == (scene.new if words[0] == "snapshot" else scene.old)
        if words[0] == "snapshot":
            assert scene.saved() == scene.old
    scene.do(program, "start")
    assert describe(scene.volumes) == scene.old
    assert scene.do(program, "look").split()[:3] == ["none", "settled", "clean"]


@pytest.mark.parametrize("how", ["same", "another"])
def test_a_kill_amid_the_restore_is_made_good_by_the_next_start(scene, driver, plain_driver, how):
    migrate = lambda one: one.migrate(plain_driver)  # noqa: E731
    places = places_of(scene, plain_driver, "start", CHANGES, migrate)
    assert len(places) > 40, places
    killed = []

    def work(name, n):
        one = scene()
        one.migrate(plain_driver)
        if kill(name, n, *one.words(plain_driver, "start")).returncode:
            killed.append((name, n))
            check_restored(one, driver if n == 1 else plain_driver, how)
        one.remove()

    in_parallel(work, places)
    assert len(killed) > 0.9 * len(places)
    print(f"{len(killed)} points of a restore")


def test_a_kill_amid_the_undoing_of_a_restore_loses_nothing(scene, plain_driver):
    """Cut short twice: the restore, and what undoes it."""
    reached = []

    def work(first, n, second, m):
        one = scene()
        one.migrate(plain_driver)
        if kill(first, n, *one.words(plain_driver, "start")).returncode and \
                kill(second, m, *one.words(plain_driver, "start", 5)).returncode:
            reached.append((first, n, second, m))
            check_restored(one, plain_driver, "another" if (n + m) % 2 else "same")
        one.remove()

    points = [(name, n) for name in ("renameat2", "fsync", "unlinkat") for n in range(1, 9)]
    in_parallel(work, [(*one, *two) for one in points for two in points])
    assert len(reached) > 60, reached
    print(f"{len(reached)} pairs of points of a restore and its undoing")


def test_a_call_that_fails_amid_the_restore_fails_the_start_and_the_next_one_succeeds(scene, driver, plain_driver):
    migrate = lambda one: one.migrate(plain_driver)  # noqa: E731
    counts = collections.Counter(
        name for name, _ in places_of(scene, plain_driver, "start", sorted({name for name, _ in FAULTS}), migrate))
    failed = []

    def work(name, error, n):
        one = scene()
        one.migrate(plain_driver)
        done = fail(name, error, n, *one.words(driver, "start"))
        if LOADER in done.stderr:
            return
        assert done.returncode in (0, 1) and "ERROR: " not in done.stderr, done.stderr
        if done.returncode:
            failed.append((name, error, n))
            if name in COPIES:
                assert described_data(one) == one.new, (name, error, n)
            if name in COPIES and error == "ENOSPC":  # the disk is no fuller than before
                assert one.do(plain_driver, "look").split() == ["snapshot", "settled", "clean", "done"] and not one.traces()
            check_restored(one, plain_driver, "another" if n % 2 else "same")
        else:  # the failure did no harm
            assert describe(one.volumes) == one.old, (name, error, n)
        one.remove()

    in_parallel(work, [(name, error, n) for name, error in FAULTS for n in range(1, counts[name] + 1)])
    assert len(failed) > 60
    print(f"{len(failed)} failing calls of a restore")


@pytest.fixture
def small_volumes(tmp_path):
    """Of 30 MB, and in another file system than anything else."""
    (tmp_path / "volumes").mkdir()
    disk = SmallDisk(tmp_path / "volumes", size="30m")
    yield disk
    disk.unmount()


def test_a_restore_for_which_there_is_no_room_changes_nothing(small_volumes, in_memory, plain_driver):
    one = Scene(in_memory, small_volumes.path)
    (one.volumes / "data" / "_data" / "big").write_bytes(os.urandom(6 << 20))
    (one.volumes / "empty" / "_data" / "big").write_bytes(os.urandom(6 << 20))
    one.old = describe(one.volumes)
    one.migrate(plain_driver)
    free = os.statvfs(one.volumes).f_bavail
    # Room for the one, and not for the other.
    (one.volumes / "empty" / "_data" / "log").write_bytes(bytes(20 << 20))
    one.new = describe(one.volumes)
    done = run(*one.words(plain_driver, "start"))
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == (
        f"the restore of the volumes of generation 3 does not fit: it needs 13 MB, and '{one.volumes}' has 9 MB left: "
        f"free disk space there, or move '{one.state}/volumes/3' away to start without that data"), done
    assert describe(one.volumes) == one.new and one.do(plain_driver, "look").split() == ["snapshot", "settled", "clean", "done"]
    assert one.saved() == one.old and not one.traces() and free - os.statvfs(one.volumes).f_bavail == 20 << 8
    (one.volumes / "empty" / "_data" / "log").unlink()
    one.do(plain_driver, "start")
    assert describe(one.volumes) == one.old and not one.traces()


@pytest.fixture
def btrfs(tmp_path):
    """A real one, in which files share content."""
    image, place = tmp_path / "image", tmp_path / "btrfs"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(300 << 20)
    subprocess.run(["mkfs.btrfs", "--quiet", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, place], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"this kernel has no btrfs, or no loop device is free: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def flags(path):
    return subprocess.run(["lsattr", "-d", path], check=True, capture_output=True, text=True).stdout.split()[0]


def test_what_is_not_copied_on_write_takes_no_space_and_stays_so(btrfs, plain_driver):
    """Of what the driver may copy, and of what there is room for, it would be too much."""
    one = Scene(btrfs, btrfs)
    data = one.volumes / "data" / "_data"
    (data / "database").mkdir()
    subprocess.run(["chattr", "+C", data / "database"], check=True)
    for path, size in ((data / "database" / "table", 120), (data / "plain", 30)):
        path.write_bytes(os.urandom(size << 20))
    os.sync()
    one.old = describe(one.volumes)
    free = os.statvfs(btrfs).f_bavail * os.statvfs(btrfs).f_frsize
    one.do(plain_driver, "copy")
    os.sync()
    assert free - os.statvfs(btrfs).f_bavail * os.statvfs(btrfs).f_frsize < 10 << 20
    assert one.saved() == one.old
    shutil.rmtree(data / "database")
    one.do(plain_driver, "start")
    assert describe(one.volumes) == one.old
    assert ["C" in flags(data / name) for name in ("database", "database/table", "plain", "base")] == [True, True, False, False]


@pytest.fixture
def immutable():
    """Makes files that root cannot remove, until the end."""
    paths = []

    def change(path):
        subprocess.run(["chattr", "+i", path], check=True)
        paths.append(path)

    def free():
        while paths:
            subprocess.run(["chattr", "-i", paths.pop()], check=True)
    change.free, change.paths = free, paths
    yield change
    free()


def test_what_cannot_be_removed_is_tried_again_and_is_in_nobody_s_way(tmp_path, plain_driver, immutable):
    one = Scene(tmp_path, tmp_path)
    for count in (1, 2):
        one.migrate(plain_driver)
        data = one.volumes / "data" / "_data"
        for n in range(5):
            (data / f"other-{n}").write_text("removed")
        name = next(entry.name for entry in os.scandir(data) if entry.is_file())  # the first one that is removed
        immutable(data / name)
        done = run(*one.words(plain_driver, "start"))
        immutable.paths[:] = [path for path in one.volumes.glob("data/.lighterman-*-old/*") if path.is_file()]
        assert done.returncode == 1 and f"remove '{name}' in '.lighterman-" in done.stderr and \
            "-old': Operation not permitted; if it is immutable (lsattr), run chattr -i on it" in done.stderr, done
        # Of what was replaced there is no more than that file, and the other volume has nothing.
        assert len(immutable.paths) == count and not list(one.volumes.glob("empty/.lighterman-*"))
        assert sorted(one.volumes.glob("data/.lighterman-*/*")) == sorted(immutable.paths)
        # It is no snapshot, and not in the way of one, nor of a restore.
        assert {path.name for path in (one.state / "volumes").iterdir()} == {"restore.json"}
        assert described_data(one) == one.old
    immutable.free()
    one.do(plain_driver, "start")
    assert describe(one.volumes) == one.old and one.do(plain_driver, "look").split() == ["none", "settled", "clean", "done"]


def test_a_copy_that_cannot_be_removed_prevents_neither_the_next_nor_other_removals(tmp_path, plain_driver, immutable):
    one = Scene(tmp_path, tmp_path)
    place = one.state / "volumes"
    one.do(plain_driver, "look")
    for name in (".new-3", ".old-1", ".old-2"):
        (place / name / "data" / "volume").mkdir(parents=True)
        (place / name / "data" / "volume" / "file").write_text("old")
        (place / name / "data" / "volume" / "other").write_text("old")
    immutable(place / ".new-3" / "data" / "volume" / "file")
    one.do(plain_driver, "copy")
    immutable.paths[:] = [place / ".old-3" / "data" / "volume" / "file"]
    assert one.saved() == one.old
    done = run(*one.words(plain_driver, "start", 4))
    assert done.returncode == 1 and f"'{place}': remove 'file' in '.old-3': Operation not permitted" in done.stderr, done
    assert sorted(path.name for path in place.iterdir()) == ["3", ".old-3"][::-1]
    immutable.free()
    one.do(plain_driver, "start", 4)
    assert [path.name for path in place.iterdir()] == ["3"]


def test_what_is_mounted_in_a_volume_is_refused(in_memory, plain_driver, tmp_path):
    """A copy is refused; a rollback is not to be prevented by it, and leaves it alone."""
    one = Scene(in_memory, in_memory)
    place = one.volumes / "data" / "_data" / "mounted"
    place.mkdir()
    one.old = describe(one.volumes)
    (tmp_path / "precious").write_text("another's")
    subprocess.run(["mount", "--bind", tmp_path, place], check=True)
    done = run(*one.words(plain_driver, "copy"))
    assert done.returncode == 1 and "another file system is mounted at 'data/mounted'" in done.stderr, done
    subprocess.run(["umount", place], check=True)
    assert describe(one.volumes) == one.old and one.do(plain_driver, "look").startswith("none")
    one.do(plain_driver, "copy")
    subprocess.run(["mount", "--bind", tmp_path, place], check=True)
    done = run(*one.words(plain_driver, "start"))
    moved = list((one.volumes / "data").glob(".lighterman-*-old/mounted"))
    try:
        assert done.returncode == 1 and "must be unmounted first" in done.stderr, done
        assert len(moved) == 1 and (tmp_path / "precious").read_text() == "another's"
        assert describe(one.volumes / "data" / "_data")["base/1/table"] and not list(place.iterdir())
    finally:
        subprocess.run(["umount", moved[0]], check=True)
    one.do(plain_driver, "start")
    assert describe(one.volumes) == one.old and (tmp_path / "precious").read_text() == "another's"


def test_nothing_that_a_newer_generation_leaves_prevents_a_restore(in_memory, plain_driver):
    one = Scene(in_memory, in_memory)
    one.migrate(plain_driver)
    top = os.open(one.volumes / "data" / "_data", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("deep", dir_fd=top)
        below = os.open("deep", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)
    one.do(plain_driver, "start")
    assert describe(one.volumes) == one.old


@pytest.mark.parametrize("action", ["copy", "start"])
@pytest.mark.parametrize("what", ["folder", "data"])
def test_a_link_in_the_place_of_a_volume_is_refused(in_memory, plain_driver, what, action):
    one = Scene(in_memory, in_memory)
    if action == "start":
        one.migrate(plain_driver)
    place = one.volumes / "data" if what == "folder" else one.volumes / "data" / "_data"
    place.rename(in_memory / "elsewhere")
    place.symlink_to(in_memory / "elsewhere")
    elsewhere = describe(in_memory / "elsewhere")
    done = run(*one.words(plain_driver, action))
    assert done.returncode == 1 and "is a link or a file" in done.stderr, done
    assert describe(in_memory / "elsewhere") == elsewhere and os.readlink(place) == str(in_memory / "elsewhere")
    assert one.do(plain_driver, "look").split()[:2] == ["none" if action == "copy" else "snapshot", "settled"]
