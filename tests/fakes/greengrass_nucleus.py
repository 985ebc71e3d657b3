# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the two nuclei of AWS IoT Greengrass V2, as far as a recipe's `run` and `shutdown` can see them.

What it does is read from their sources on GitHub:
- aws-greengrass/aws-greengrass-nucleus ("classic"): KernelConfigResolver.java (values are put into scripts and Setenv as they
  are), GenericExternalService.java (Setenv becomes the environment of the process; `shutdown` is run before the processes are
  stopped), UnixPlatform.java and Exec.java (SIGTERM to the descendants, but not to the process itself; 5 s later SIGKILL),
  ComponentManager.java (artifacts are deleted once the deployment is over, after the component was stopped).
- aws-greengrass/aws-greengrass-lite ("lite"): recipe-runner/src/runner.c (values are escaped for double quotes in scripts),
  ggl-recipe/src/recipe.c (which manifest; keys have a case), recipe2unit (a systemd unit: SIGTERM to all of its processes, 120 s
  later SIGKILL; no `shutdown`), ggdeploymentd/src/stale_component.c (artifacts are deleted before the component is stopped).
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

VARIABLE = re.compile(r"\{([.\w]+):([^:}]+)\}")
KINDS = ("classic", "lite")


class Nucleus:
    """One component, below `root`. `environment` is what its processes get beside what the recipe sets."""

    def __init__(self, kind, root, recipe, environment):
        self.kind, self.root, self.recipe, self.environment = kind, pathlib.Path(root), recipe, environment
        place = pathlib.Path(recipe["ComponentName"]) / recipe["ComponentVersion"]
        self.artifacts = self.root / "packages/artifacts" / place
        self.unarchived = self.root / "packages/artifacts-unarchived" / place
        self.process = None
        self.configuration = {}
        self.log = self.root / "component.log"

    def install(self, zip_file):
        """Takes the artifact, which belongs to a folder of its name."""
        self.artifacts.mkdir(parents=True)
        shutil.copy(zip_file, self.artifacts)
        shutil.unpack_archive(zip_file, self.unarchived / zip_file.stem)

    def deploy(self, merge):
        """A deployment with that configuration update: what runs is stopped and started again."""
        default = self.recipe["ComponentConfiguration"]["DefaultConfiguration"]
        self.configuration = merged(self.configuration or default, merge)
        self.stop()
        self.start()

    @property
    def lifecycle(self):
        for manifest in self.recipe["Manifests"]:
            runtime = manifest["Platform"].get("runtime")
            if (runtime is None) if self.kind == "classic" else runtime in ("*", "aws_nucleus_lite"):
                return manifest["Lifecycle"]
        raise AssertionError(f"no manifest for the {self.kind} nucleus")

    def interpolate(self, text):
        if self.kind == "classic":
            return VARIABLE.sub(lambda match: match[0] if (value := self.value(match)) is None else value, text)
        # Every brace begins a variable there.
        assert not re.search(r"[{}]", VARIABLE.sub("", text)), f"nucleus lite takes braces for variables: {text}"

        def escaped(match):
            value = self.value(match)
            assert value is not None, f"nucleus lite starts nothing with {match[0]}, which is not there"
            return re.sub(r'(["\\$`])', r"\\\1", value) if match[1] == "configuration" else value

        return VARIABLE.sub(escaped, text)

    def value(self, match):
        places = {"artifacts:path": self.artifacts, "artifacts:decompressedPath": self.unarchived, "kernel:rootPath": self.root}
        if match[1] != "configuration":
            return str(places[f"{match[1]}:{match[2]}"])
        value = self.configuration
        for key in match[2].split("/")[1:]:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    def start(self, step="run"):
        step = self.lifecycle[step]
        assert step["RequiresPrivilege"] is True
        script, environment = self.interpolate(step["Script"]), dict(self.environment)
        words = ["sh", "-c", script]
        if self.kind == "classic":
            environment.update({name: self.interpolate(text) for name, text in self.lifecycle.get("Setenv", {}).items()})
        else:
            assert "Setenv" not in self.lifecycle, "nucleus lite before 2.6 does not quote it"
            path = self.root / "script"
            path.write_text("#!/bin/sh\n" + script)
            words = ["/bin/sh", path]
        with open(self.log, "ab") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.root)
        if step is self.lifecycle["run"]:
            self.process = process
        return process

    def stop(self):
        """As for an update, a restart or a shutdown of the nucleus: a component cannot tell these apart."""
        process, self.process = self.process, None
        if process is None:
            return
        if self.kind == "classic" and "shutdown" in self.lifecycle:
            assert self.start("shutdown").wait(self.lifecycle["shutdown"]["Timeout"]) == 0, self.log.read_text()
        pids = descendants(process.pid) + ([process.pid] if self.kind == "lite" else [])
        for pid in pids:
            send(pid, signal.SIGTERM)
        try:
            process.wait(5 if self.kind == "classic" else 120)
        except subprocess.TimeoutExpired:
            for pid in [*descendants(process.pid), *pids, process.pid]:
                send(pid, signal.SIGKILL)
            process.wait()

    def remove(self):
        """As a deployment without the component."""
        if self.kind == "classic":
            self.stop()
        shutil.rmtree(self.artifacts.parent if self.kind == "lite" else self.artifacts)
        shutil.rmtree(self.unarchived)
        self.stop()


def merged(old, new):
    """`merge` of a configuration update."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}


def descendants(pid):
    """All of them, by their parents, as `ps` shows these."""
    children = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        queue += (more := children.get(queue.pop(), []))
        found += more
    return found


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
