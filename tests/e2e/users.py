# SPDX-License-Identifier: Apache-2.0
"""Users for a run of the tests: lines in the sandbox's copies of /etc/passwd and /etc/group, gone with it."""
import dataclasses
import grp
import os
import pathlib
import pwd


@dataclasses.dataclass
class User:
    name: str
    uid: int

    def owns(self, path):
        os.chown(path, self.uid, self.uid)


def add_user(name, groups=(), uid=None, home="/nonexistent"):
    assert name not in (entry.pw_name for entry in pwd.getpwall()), f"there is a user '{name}', whose number counts"
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    uid = uid or next(number for number in range(58000, 59000) if number not in taken)
    with open("/etc/passwd", "a", encoding="utf-8") as file:
        file.write(f"{name}:x:{uid}:{uid}::{home}:/usr/sbin/nologin\n")
    with open("/etc/group", "a", encoding="utf-8") as file:
        file.write(f"{name}:x:{uid}:\n")
    join(name, groups)
    return User(name, uid)


def remove_user(name):
    """As if add_user had not been called; membership in other groups stays, and means nothing."""
    for path in (pathlib.Path("/etc/passwd"), pathlib.Path("/etc/group")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{name}:")), encoding="utf-8")


def join(name, groups):
    path = pathlib.Path("/etc/group")
    lines = path.read_text(encoding="utf-8").splitlines()
    for at, line in enumerate(lines):
        if line.split(":")[0] in groups:
            lines[at] = line + ("" if line.endswith(":") else ",") + name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
