# SPDX-License-Identifier: Apache-2.0
"""A file system that is small enough to be filled to the last byte."""
import errno
import os

from servers.server import run


class SmallDisk:
    """Mounted at `path`, a directory, over what is in there."""

    def __init__(self, path, size="1m"):
        self.path, self.filler = path, path / "filler"
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "none", path)

    def fill(self, leave=0):
        """Nothing more can be written but `leave` bytes, until somebody removes something; empty files can be made."""
        filler = os.open(self.filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (65536, 4096, 1):
                while self._write(filler, size):
                    pass
            os.truncate(filler, max(os.fstat(filler).st_size - leave, 0))
        finally:
            os.close(filler)

    @staticmethod
    def _write(filler, size):
        try:
            return os.write(filler, b"x" * size) > 0
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            return False

    def free(self):
        """There is space again."""
        self.filler.unlink()

    def unmount(self):
        run("umount", self.path)
