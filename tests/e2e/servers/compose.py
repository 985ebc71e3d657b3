# SPDX-License-Identifier: Apache-2.0
"""Both generations of docker-compose."""
import os

from servers.server import run

V1 = "/usr/bin/docker-compose"


class Compose:
    """One docker-compose. Container names differ between the generations, so tests select by label."""

    def __init__(self, generation, path):
        self.generation, self.path = generation, path

    def __repr__(self):
        return f"compose{self.generation}"

    def __call__(self, *words, project, file, check=True):
        return run(self.path, "-p", project, "-f", file, *words, check=check,
                   env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})
