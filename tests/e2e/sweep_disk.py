# SPDX-License-Identifier: Apache-2.0
"""What a power cut may leave on a disk, by what was done to it and what was synced.

A Record is of `fault_tracer record` (tests/fakes/fault_tracer.c). What a file system with a journal guarantees is taken as
POSIX has it and no more: data is there for certain once that file was synced, a name (created, renamed, removed) once its
directory was; syncing a file does not make its name last. Of the rest, each operation may have reached the disk or not, in any
combination: a write also in part, to a multiple of 512 bytes, or as zeros where the size got there before the data. A rename
happens as a whole. Changes by mmap are not seen.
"""
import collections
import dataclasses
import hashlib
import os
import pathlib
import stat

SECTOR = 512


@dataclasses.dataclass
class Operation:
    at: int  # its line
    when: float
    kind: str  # create, mkdir, symlink, link, rename, unlink, write, trunc, sync, syncfs, say
    program: str
    words: list
    inode: int = 0
    directories: tuple = ()  # whose sync makes it last
    data: bytes = b""
    offset: int = 0

    @property
    def changes_names(self):
        return self.kind in ("create", "mkdir", "symlink", "link", "rename", "unlink")

    @property
    def changes_data(self):
        return self.kind in ("write", "trunc")


def parse(at, line):
    when, kind, program, *words = line.split("\t")
    operation = Operation(at, float(when), kind, program, words)
    if kind in ("create", "mkdir", "symlink", "unlink", "link", "rename"):
        operation.inode = int(words[0])
        operation.directories = tuple(int(words[n]) for n in ((1, 3) if kind in ("rename", "link") else (1,)))
        if kind == "link":
            operation.directories = operation.directories[1:]
    elif kind in ("write", "trunc"):
        operation.inode, operation.offset = int(words[0]), int(words[1])
        operation.data = bytes.fromhex(words[2]) if kind == "write" else b""
    elif kind in ("sync", "syncfs"):
        operation.inode, operation.offset = int(words[0]), int(words[1])
    elif kind == "say":
        operation.data = bytes.fromhex(words[1])
    return operation


class Tree:
    """Folders, files and links by inode, and what the top folders are."""

    def __init__(self):
        self.tops = {}  # path -> inode
        self.folders = {}  # inode -> {name: inode}
        self.files = {}  # inode -> bytearray
        self.links = {}  # inode -> target

    @classmethod
    def of(cls, *paths):
        tree = cls()
        for path in map(pathlib.Path, paths):
            tree.tops[str(path)] = tree.add(path)
        return tree

    def add(self, path):
        info = path.lstat()
        if stat.S_ISDIR(info.st_mode):
            self.folders[info.st_ino] = {child.name: self.add(child) for child in path.iterdir()}
        elif stat.S_ISLNK(info.st_mode):
            self.links[info.st_ino] = os.readlink(path)
        else:
            self.files[info.st_ino] = bytearray(path.read_bytes())
        return info.st_ino

    def copy(self):
        other = Tree()
        other.tops, other.links = dict(self.tops), dict(self.links)
        other.folders = {inode: dict(names) for inode, names in self.folders.items()}
        other.files = {inode: bytearray(data) for inode, data in self.files.items()}
        return other

    def flat(self):
        """{path: None for a folder, bytes of a file, text of a link}, of what can be reached."""
        found = {}

        def walk(path, inode):
            if inode in self.folders:
                found[path] = None
                for name, child in self.folders[inode].items():
                    walk(f"{path}/{name}", child)
            else:
                found[path] = self.links[inode] if inode in self.links else bytes(self.files.get(inode, b""))

        for path, inode in self.tops.items():
            walk(path, inode)
        return found

    def do(self, operation, fate):
        """`fate`: "done", "missing", "zero", or how many bytes of a write are there."""
        if fate == "missing":
            return
        inode, words = operation.inode, operation.words
        if operation.kind == "write":
            self.write(operation, fate)
        elif operation.kind == "trunc":
            data = self.files.setdefault(inode, bytearray())
            data[:] = data[:operation.offset].ljust(operation.offset, b"\0")
        elif operation.kind == "unlink":
            self.folders.get(operation.directories[0], {}).pop(words[2], None)
        elif operation.kind == "rename":
            source, target = self.folders.get(int(words[1]), {}), self.folders.get(int(words[3]), {})
            if source.get(words[2]) == inode:
                del source[words[2]]
            target[words[4]] = inode
        elif operation.kind == "link":
            self.folders.get(int(words[3]), {})[words[4]] = inode
        else:
            self.folders.get(operation.directories[0], {})[words[2]] = inode

    def exist(self, operation):
        """Whatever becomes of its name, this is a new thing under a number that another may have had before."""
        if operation.kind in ("create", "mkdir", "symlink"):
            for those in (self.files, self.folders, self.links):
                those.pop(operation.inode, None)
        if operation.kind == "create":
            self.files[operation.inode] = bytearray()
        elif operation.kind == "mkdir":
            self.folders[operation.inode] = {}
        elif operation.kind == "symlink":
            self.links[operation.inode] = operation.words[3]

    def write(self, operation, fate):
        data = self.files.setdefault(operation.inode, bytearray())
        new = operation.data
        if fate == "zero":
            new = bytes(len(new))
        elif fate != "done":
            new = new[:fate]
        if len(data) < operation.offset:
            data.extend(bytes(operation.offset - len(data)))
        data[operation.offset:operation.offset + len(new)] = new


class Record:
    """The operations of a run, and the tree before them. `drop`: syncs that are taken as if they had been left out."""

    def __init__(self, lines, before, drop=lambda operation: False):
        self.before = before
        self.operations = [parse(at, line) for at, line in enumerate(lines)]
        self.dropped = 0
        for operation in self.operations:
            if operation.kind in ("sync", "syncfs") and drop(operation):
                operation.kind = "dropped"
                self.dropped += 1
        self.rename_inodes()

    def rename_inodes(self):
        """The kernel gives the number of what was removed to something new: here each thing has a number of its own."""
        now, last = {}, max([0, *self.before.folders, *self.before.files, *self.before.links])
        for operation in self.operations:
            last = max([last, operation.inode, *operation.directories])
        for operation in self.operations:
            if operation.kind == "say":
                continue
            if operation.kind in ("create", "mkdir", "symlink"):
                last += 1
                now[operation.inode] = last
            operation.inode = now.get(operation.inode, operation.inode)
            operation.directories = tuple(now.get(inode, inode) for inode in operation.directories)
            places = {"rename": (1, 3), "link": (1, 3)}.get(operation.kind, ())
            for place in places:
                operation.words[place] = str(now.get(int(operation.words[place]), int(operation.words[place])))

    def pending(self):
        """For each number of operations that were made before the cut: those of them that may not be on the disk."""
        waiting = []
        yield 0, []
        for operation in self.operations:
            if operation.changes_names or operation.changes_data:
                waiting.append(operation)
            elif operation.kind == "sync":
                waiting = [other for other in waiting if other.at >= operation.offset or not (
                    operation.inode in other.directories if other.changes_names else operation.inode == other.inode)]
            elif operation.kind == "syncfs":
                waiting = [other for other in waiting if other.at >= operation.offset]
            yield operation.at + 1, list(waiting)

    def tree(self, n, fates):
        """After `n` operations, of which some have another fate than to be done: {line: fate}."""
        tree = self.before.copy()
        for operation in self.operations[:n]:
            tree.exist(operation)
        for operation in self.operations[:n]:
            if operation.changes_names or operation.changes_data:
                tree.do(operation, fates.get(operation.at, "done"))
        return tree.flat()

    def states(self, random, samples=3):
        """(number of operations, fates) of all that differ from what was done, or what was synced, by one operation; of what
        is there if the journal ends at each of them; and of some at random."""
        for n, pending in self.pending():
            if n and self.operations[n - 1].kind == "say":
                continue  # as after the one before; what was told counts from the next one on
            none = {operation.at: "missing" for operation in pending}
            yield n, {}
            yield n, none
            for i, operation in enumerate(pending):
                for fate in fates_of(operation, random):
                    yield n, {operation.at: fate}
                    yield n, {**none, operation.at: fate if fate != "missing" else "done"}
                yield n, {other.at: "missing" for other in pending[i:]}
            for _ in range(samples if pending else 0):
                yield n, {operation.at: random.choice(["done", *fates_of(operation, random)]) for operation in pending}


def fates_of(operation, random):
    """What may become of it beside that it is done."""
    if operation.kind != "write":
        return ["missing"]
    first = -operation.offset % SECTOR
    cuts = range(first, len(operation.data), SECTOR)
    torn = [cut for cut in cuts if cut > 0]
    return ["missing", "zero", *random.sample(torn, min(1, len(torn)))]


def fingerprint(flat):
    total = hashlib.sha256()
    for path in sorted(flat):
        total.update(repr((path, flat[path])).encode())
    return total.digest()


def lay(flat, owners):
    """Makes the folders anew. `owners`: {top folder: user}."""
    for path, what in sorted(flat.items()):
        user = next((user for top, user in owners.items() if path == top or path.startswith(top + "/")), None)
        if what is None:
            os.mkdir(path, 0o700)
        elif isinstance(what, str):
            os.symlink(what, path)
        else:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(what)
        if user:
            os.lchown(path, user.uid, user.uid)


def sizes(record):
    """How many operations were not synced at how many places: for a person who looks at a record."""
    return collections.Counter(len(pending) for _, pending in record.pending())
