# SPDX-License-Identifier: Apache-2.0
"""An image with Node.js and the AWS IoT Device SDK v2 for JavaScript, made from what is on this device."""
import io
import os
import pathlib
import re
import shutil
import tarfile

from servers.server import run

LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
# Of node_modules, what the SDK loads at run time.
PACKAGES = ("aws-iot-device-sdk-v2", "aws-crt", "@aws-sdk/util-utf8-browser", "uuid")
# Debian's node reads some of its own modules from here; others have them inside.
BUILTINS = pathlib.Path("/usr/share/nodejs")
DEBIAN_BUILTINS = ("acorn", "acorn-walk", "cjs-module-lexer", "undici")
PLATFORM = "linux-" + {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, "") + "-glibc"
# Of aws-crt: the rest are other platforms' libraries, and sources.
CRT = re.compile(rf"^aws-crt/(?:package\.json|dist/(?!bin/)|dist/bin/{PLATFORM}/)")


def make_node_image(engine, reference, sdk, program):
    """`sdk` is the folder of node_modules; `program` is the text of /app/program.js, which the image runs."""
    data = io.BytesIO()
    node = pathlib.Path(shutil.which("node", path="/usr/bin:/bin")).resolve()
    modules = pathlib.Path(sdk) / "node_modules"
    native = modules / f"aws-crt/dist/bin/{PLATFORM}/aws-crt-nodejs.node"
    with tarfile.open(fileobj=data, mode="w", dereference=True) as tar:
        for path in {node, *_libraries(node, native)}:
            tar.add(path, str(path).lstrip("/"))
        for folder in filter(pathlib.Path.is_dir, map(BUILTINS.joinpath, DEBIAN_BUILTINS)):
            tar.add(folder, str(folder).lstrip("/"))
        for package in PACKAGES:
            tar.add(modules / package, f"app/node_modules/{package}", filter=_is_needed)
        for folder in ("tmp", "usr/bin"):
            _add(tar, folder, None)
        _add(tar, "app/program.js", program.encode())
    run("docker", "--host", f"unix://{engine.SOCKET}", "import", "-c", "WORKDIR /app",
        "-c", f'ENTRYPOINT ["{node}", "program.js"]', "-", reference, input=data.getvalue())
    return reference


def _add(tar, name, content):
    member = tarfile.TarInfo(name)
    if content is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    else:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def _libraries(*programs):
    """The shared libraries, the loader among them, by the path under which they are asked for."""
    return {pathlib.Path(path) for program in programs for path in LIBRARY.findall(run("ldd", program).stdout)}


def _is_needed(member):
    name = member.name.removeprefix("app/node_modules/")
    if member.isfile() and name.startswith("aws-crt/"):
        return member if CRT.match(name) else None
    return None if name.endswith((".ts", ".map", ".md")) else member
