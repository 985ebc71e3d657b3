# SPDX-License-Identifier: Apache-2.0
"""What a device needs around it for a sweep: an engine and an MQTT broker that answer within a millisecond.

They are not killed when the device's programs are, as the real ones would not be: what was started runs on, and what was
acknowledged was received. Engine and broker have the shapes of the real ones (tests/e2e has those, too, for everything else);
docker-compose is tests/fakes/stepwise_compose.c, which asks this engine for one step after the other.
"""
import asyncio
import hashlib
import json
import os
import pathlib
import re
import threading
import time
import urllib.parse

PROJECT = "greengrassdockerapplicationdeployment"
API = "1.41"


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def stamp(ns):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"


class Serving:
    """A loop in a thread, for all quays of this process."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


class Engine:
    """Images, containers and networks, and what happened to them."""

    def __init__(self, path):
        self.path = path
        self.registry = {}  # what can be pulled: reference -> ID
        self.server = None
        self.listeners = set()
        self.history = []  # [(monotonic time, state as JSON)]
        self.clear()

    def clear(self):
        self.images, self.containers, self.networks, self.events = {}, {}, {}, []
        self.made = 0
        self.note()

    def state(self):
        return json.dumps({"images": self.images, "containers": self.containers, "networks": self.networks,
                           "events": self.events, "made": self.made})

    def restore(self, text):
        for name, value in json.loads(text).items():
            setattr(self, name, value)
        self.history = []
        self.note()

    def note(self):
        self.history.append((time.monotonic(), self.state()))

    def state_at(self, moment):
        """As it was then."""
        found = self.history[0][1]
        for when, text in self.history:
            if when > moment:
                break
            found = text
        return found

    def lose_power(self):
        """No container runs after that, and the events of that time are forgotten."""
        self.events = []
        for container in self.containers.values():
            if container["state"] == "running":
                container["state"], container["code"], container["ended"] = "exited", 255, time.time_ns()

    def running(self):
        """What runs of the application: {service: (image ID, hash of its definition)}."""
        return {c["service"]: (c["image_id"], c["hash"]) for c in self.containers.values() if c["state"] == "running"}

    # What docker-compose does, one step for each call.

    def happen(self, container, action, **attributes):
        now = time.time_ns()
        event = {"status": action, "id": container["id"], "from": container["image"], "Type": "container", "Action": action,
                 "Actor": {"ID": container["id"], "Attributes": {**self.labels(container), "image": container["image"],
                                                                 "name": container["name"], **attributes}},
                 "scope": "local", "time": now // 10**9, "timeNano": now}
        self.events = self.events[-255:] + [event]
        for queue in self.listeners:
            queue.put_nowait(event)

    @staticmethod
    def labels(container):
        return {"com.docker.compose.project": container["project"], "com.docker.compose.service": container["service"],
                "com.docker.compose.oneoff": "False", "com.docker.compose.config-hash": container["hash"],
                "com.docker.compose.version": "1.29.2", "com.docker.compose.container-number": "1"}

    def stop(self, container):
        self.happen(container, "kill", signal="15")
        container["state"], container["code"], container["ended"] = "exited", 0, time.time_ns()
        self.happen(container, "die", exitCode="0")
        self.happen(container, "stop")

    def remove(self, container):
        if container["state"] == "running":
            self.stop(container)
        del self.containers[container["id"]]
        self.happen(container, "destroy")

    def up(self, project, services):
        if project + "_default" not in self.networks:
            self.networks[project + "_default"] = digest(project)[7:]
            return f'more Creating network "{project}_default" with the default driver'
        for service, definition in services.items():
            step = self.up_service(project, service, definition)
            if step:
                return step
        return "done"

    def up_service(self, project, service, definition):
        image = definition["image"]
        if image not in self.images:
            return f"error pull access denied for {image}, repository does not exist or may require 'docker login'"
        wanted = digest(json.dumps(definition, sort_keys=True))[7:]
        name = f"{project}_{service}_1"
        found = [c for c in self.containers.values() if c["name"] == name]
        if not found:
            self.made += 1
            number = digest(f"{name} {self.made} {time.time_ns()}")[7:]
            self.containers[number] = {"id": number, "name": name, "project": project, "service": service, "image": image,
                                       "image_id": self.images[image], "hash": wanted, "state": "created", "code": 0,
                                       "created": time.time_ns(), "started": 0, "ended": 0}
            self.happen(self.containers[number], "create")
            return f"more Creating {name} ..."
        container = found[0]
        if (container["hash"], container["image_id"]) != (wanted, self.images[image]):
            if container["state"] == "running":
                self.stop(container)
                return f"more Stopping {name} ..."
            self.remove(container)
            return f"more Recreating {name} ..."
        if container["state"] == "running":
            return None
        if definition.get("command") == "broken":
            return f"error for {service}  Cannot start service {service}: exec: \"broken\": executable file not found in $PATH"
        container["state"], container["started"] = "running", time.time_ns()
        self.happen(container, "start")
        return f"more Starting {name} ..."

    def down(self, project, services, orphans):
        mine = [c for c in self.containers.values() if c["project"] == project and (orphans or c["service"] in services)]
        for container in mine:
            if container["state"] == "running":
                self.stop(container)
                return f"more Stopping {container['name']} ..."
        for container in mine:
            self.remove(container)
            return f"more Removing {container['name']} ..."
        if self.networks.pop(project + "_default", None):
            return f"more Removing network {project}_default"
        return "done"

    # What it answers.

    def answer(self, method, target, body):
        """(status, document); None for the stream of events."""
        parts = urllib.parse.urlsplit(target)
        path, query = re.sub(r"^/v1\.\d+", "", parts.path), dict(urllib.parse.parse_qsl(parts.query))
        for route, pattern, handle in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if route == method and match:
                return handle(self, query, body, *map(urllib.parse.unquote, match.groups()))
        return 404, {"message": "page not found"}

    def get_version(self, _query, _body):
        return 200, {"Version": "20.10.24", "ApiVersion": API, "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}

    def get_info(self, _query, _body):
        return 200, {"ID": "QUAY", "Name": "quay", "DockerRootDir": str(pathlib.Path(self.path).parent / "engine-root"),
                     "SecurityOptions": [], "Swarm": {"LocalNodeState": "inactive"},
                     "Containers": len(self.containers), "Images": len(self.images), "LoggingDriver": "json-file",
                     "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null"], "Log": ["json-file", "none"]},
                     "Runtimes": {"runc": {"path": "runc"}}, "RegistryConfig": {"Mirrors": []}}

    def get_plugins(self, _query, _body):
        return 200, []

    def get_containers(self, _query, _body):
        return 200, [self.listed(c) for c in self.containers.values()]

    def listed(self, c):
        status = {"running": "Up 1 second", "created": "Created"}.get(c["state"], f"Exited ({c['code']}) 1 second ago")
        network = c["project"] + "_default"
        return {"Id": c["id"], "Names": ["/" + c["name"]], "Image": c["image"], "ImageID": c["image_id"], "Command": "run",
                "Created": c["created"] // 10**9, "Ports": [], "Labels": self.labels(c), "State": c["state"], "Status": status,
                "HostConfig": {"NetworkMode": network}, "Mounts": [],
                "NetworkSettings": {"Networks": {network: {"NetworkID": self.networks.get(network, "")}}}}

    def get_container(self, _query, _body, name):
        c = self.containers.get(name)
        if not c:
            return 404, {"message": f"No such container: {name}"}
        return 200, {"Id": c["id"], "Name": "/" + c["name"], "Image": c["image_id"], "RestartCount": 0,
                     "Created": stamp(c["created"]),
                     "State": {"Status": c["state"], "Running": c["state"] == "running", "Restarting": False, "OOMKilled": False,
                               "Dead": False, "Pid": 0, "ExitCode": c["code"], "Error": "",
                               "StartedAt": stamp(c["started"]) if c["started"] else "0001-01-01T00:00:00Z",
                               "FinishedAt": stamp(c["ended"]) if c["ended"] else "0001-01-01T00:00:00Z"},
                     "Config": {"Labels": self.labels(c), "Image": c["image"]},
                     "HostConfig": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}, "Mounts": []}

    def get_networks(self, _query, _body):
        return 200, [{"Name": name, "Id": number, "Driver": "bridge", "Scope": "local", "EnableIPv6": False, "Internal": False,
                      "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.19.0.0/16"}]}, "Options": {},
                      "Labels": {"com.docker.compose.network": "default", "com.docker.compose.project": PROJECT}}
                     for name, number in self.networks.items()]

    def get_network(self, _query, _body, name):
        return (200, {"Name": name}) if name in self.networks else (404, {"message": f"network {name} not found"})

    def delete_network(self, _query, _body, name):
        for known, number in list(self.networks.items()):
            if name in (known, number):
                del self.networks[known]
                return 204, None
        return 404, {"message": f"network {name} not found"}

    def get_volume(self, _query, _body, name):
        return 404, {"message": f"get {name}: no such volume"}

    def get_image(self, _query, _body, name):
        number = name if name in self.images.values() else self.images.get(name)
        if not number:
            return 404, {"message": f"No such image: {name}"}
        tags = [tag for tag, other in self.images.items() if other == number and not tag.startswith("sha256:")]
        return 200, {"Id": number, "RepoTags": tags, "RepoDigests": [f"{tag.rsplit(':', 1)[0]}@{digest(number)}" for tag in tags],
                     "Os": "linux", "Architecture": "amd64", "Size": 1000000, "Created": stamp(0),
                     "RootFS": {"Type": "layers", "Layers": [digest(number + " layer")]}}

    def get_images(self, _query, _body):
        return 200, [{"Id": number, "RepoTags": [name], "RepoDigests": [], "Created": 0, "Size": 1000000}
                     for name, number in self.images.items()]

    def delete_image(self, _query, _body, name):
        gone = [tag for tag, number in self.images.items() if name in (tag, number)]
        for tag in gone:
            del self.images[tag]
        return (200, [{"Untagged": tag} for tag in gone]) if gone else (404, {"message": f"No such image: {name}"})

    def tag_image(self, query, _body, name):
        number = name if name in self.images.values() else self.images.get(name)
        if not number:
            return 404, {"message": f"No such image: {name}"}
        self.images[f"{query['repo']}:{query.get('tag', 'latest')}"] = number
        return 201, None

    def create_image(self, query, _body):
        name = f"{query['fromImage']}:{query.get('tag', 'latest')}"
        if name not in self.registry:
            return 404, {"message": f"manifest for {name} not found: manifest unknown: manifest unknown"}
        self.images[name] = self.registry[name]
        layer = digest(name)[7:19]
        return 200, "".join(json.dumps(line) + "\r\n" for line in (
            {"status": "Pulling from " + query["fromImage"], "id": query.get("tag", "latest")},
            {"status": "Pulling fs layer", "progressDetail": {}, "id": layer},
            {"status": "Downloading", "progressDetail": {"current": 500000, "total": 1000000}, "id": layer},
            {"status": "Download complete", "progressDetail": {}, "id": layer},
            {"status": "Pull complete", "progressDetail": {}, "id": layer},
            {"status": "Digest: " + digest(self.registry[name])},
            {"status": f"Status: Downloaded newer image for {name}"}))

    def get_distribution(self, _query, _body, name):
        if name not in self.registry:
            return 404, {"message": "manifest unknown"}
        return 200, {"Descriptor": {"digest": digest(self.registry[name]), "size": 500}, "Platforms": []}

    def login(self, _query, body):
        words = json.loads(body)
        if words.get("password") != self.password:
            return 401, {"message": "Get \"https://harbour/v2/\": unauthorized: incorrect username or password"}
        return 200, {"Status": "Login Succeeded", "IdentityToken": ""}

    password = "s3cret"

    def stop_container(self, _query, _body, name):
        if name not in self.containers:
            return 404, {"message": f"No such container: {name}"}
        if self.containers[name]["state"] != "running":
            return 304, None
        self.stop(self.containers[name])
        return 204, None

    def start_container(self, _query, _body, name):
        if name not in self.containers:
            return 404, {"message": f"No such container: {name}"}
        container = self.containers[name]
        if container["state"] == "running":
            return 304, None
        container["state"], container["started"] = "running", time.time_ns()
        self.happen(container, "start")
        return 204, None

    def delete_container(self, _query, _body, name):
        if name not in self.containers:
            return 404, {"message": f"No such container: {name}"}
        self.remove(self.containers[name])
        return 204, None

    def compose(self, query, body, verb):
        services = json.loads(body).get("services", {})
        if verb == "up":
            return 200, self.up(query["project"], services)
        return 200, self.down(query["project"], services, query.get("orphans") == "1")

    ROUTES = [
        ("GET", "/version", get_version), ("GET", "/info", get_info), ("GET", "/plugins", get_plugins),
        ("GET", "/containers/json", get_containers), ("GET", "/containers/([^/]+)/json", get_container),
        ("GET", "/networks", get_networks), ("GET", "/networks/([^/]+)", get_network),
        ("DELETE", "/networks/([^/]+)", delete_network), ("GET", "/volumes/([^/]+)", get_volume),
        ("GET", "/images/json", get_images), ("GET", "/images/(.+)/json", get_image), ("POST", "/images/create", create_image),
        ("DELETE", "/images/(.+)", delete_image), ("POST", "/images/(.+)/tag", tag_image),
        ("GET", "/distribution/(.+)/json", get_distribution), ("POST", "/auth", login),
        ("POST", "/containers/([^/]+)/stop", stop_container), ("POST", "/containers/([^/]+)/start", start_container),
        ("DELETE", "/containers/([^/]+)", delete_container), ("POST", "/compose/([a-z]+)", compose),
    ]

    # The socket.

    async def open(self):
        self.server = await asyncio.start_unix_server(self.serve, self.path)
        os.chmod(self.path, 0o666)

    async def close(self):
        self.server.close()

    async def serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target = head.split(" ", 2)[:2]
            length = re.search(r"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            if method == "GET" and re.match(r"(/v1\.\d+)?/events", target):
                await self.stream(reader, writer, target)
                return
            before = self.state() if method != "GET" else None
            status, document = self.answer(method, target, body)
            if before is not None and before != self.state():
                self.note()
            text = document if isinstance(document, str) else "" if document is None else json.dumps(document)
            writer.write(f"HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n{text}".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def stream(self, reader, writer, target):
        since = re.search(r"since=(\d+)\.(\d+)", target)
        least = int(since[1]) * 10**9 + int(since[2]) if since else 0
        queue = asyncio.Queue()
        for event in self.events:
            if event["timeNano"] >= least:
                queue.put_nowait(event)
        self.listeners.add(queue)
        gone = asyncio.ensure_future(reader.read())
        try:
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while not gone.done():
                event = asyncio.ensure_future(queue.get())
                await asyncio.wait({event, gone}, return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    writer.write(json.dumps(event.result()).encode() + b"\n")
                    await writer.drain()
                else:
                    event.cancel()
        except ConnectionError:
            pass
        finally:
            gone.cancel()
            self.listeners.discard(queue)


class Broker:
    """Acknowledges what it has noted, and nothing else."""

    def __init__(self, path):
        self.path = path
        self.received = []  # (monotonic time, topic, payload)
        self.server = None
        self.writers = set()

    async def open(self):
        pathlib.Path(self.path).unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self.serve, self.path)
        os.chmod(self.path, 0o666)

    async def close(self):
        if self.server:
            self.server.close()
            self.server = None
        pathlib.Path(self.path).unlink(missing_ok=True)
        for writer in list(self.writers):
            writer.transport.abort()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                kind, packet = await self.packet(reader)
                if kind >> 4 == 1:
                    writer.write(b"\x20\x02\x00\x00")
                elif kind >> 4 == 3:
                    self.publish(kind, packet, writer)
                elif kind >> 4 == 12:
                    writer.write(b"\xd0\x00")
                elif kind >> 4 == 14:
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    @staticmethod
    async def packet(reader):
        kind = (await reader.readexactly(1))[0]
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, await reader.readexactly(length)

    def publish(self, kind, packet, writer):
        size = int.from_bytes(packet[:2], "big")
        topic, rest = packet[2:2 + size].decode(), packet[2 + size:]
        has_number = kind & 6
        self.received.append((time.monotonic(), topic, (rest[2:] if has_number else rest).decode()))
        if has_number:
            writer.write(b"\x40\x02" + rest[:2])

    def statuses(self):
        """The status messages, in order, those that came again too."""
        return [payload for _, topic, payload in self.received if topic.endswith("/message/status")]
