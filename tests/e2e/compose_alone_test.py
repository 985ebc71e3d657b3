# SPDX-License-Identifier: Apache-2.0
"""A compose file is deployed as it stands: no group file, no bucket."""
import functools
import http.server
import json
import re
import ssl
import stat
import threading

import pytest

from documents import assert_failure, success
from servers.engine import compose_file, page
from servers.server import free_port, run, wait_until

ALONE = success(bucket=None)


def put_file(device, services, image, **more):
    path = device.folder / "docker-compose.yml"
    compose_file(path, services, image, **more)
    return path


def deploy(device, path, *words, status=0):
    done = device.cli("deploy", path, *words, check=False)
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}\n{device.log}\n{device.stderr}"
    return done


@pytest.fixture
def alone(device, user, broker):
    """A device whose user is the host file's default: nothing else of the definition's is set."""
    device.host["defaultUser"] = user.name
    device.use_broker(broker)
    return device


def test_a_compose_file_is_deployed_and_survives_a_restart(device_with, compose, user, broker, engine, local_image,
                                                           status_messages):
    device = device_with(compose)
    device.host["defaultUser"] = user.name
    device.use_broker(broker)
    port = free_port()
    path = put_file(device, ["page"], local_image, ports={"page": port})
    device.start()
    assert device.cli("validate", path).returncode == 0
    assert [s["action"] for s in device.cli_json("plan", path)["services"]] == ["created"]
    deploy(device, path)
    assert status_messages.next_json() == ALONE
    assert wait_until(lambda: page(port), 30, "the page is not served") == "1"
    # The destination is ours, and only that user's.
    destination = device.folder / "state/compose/default"
    found = destination.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (user.uid, 0o700)
    assert (destination / "docker-compose.yml").read_text() == path.read_text()
    status = device.status
    assert (status["deployment"]["key"], status["deployment"]["bucket"]) == ("docker-compose.yml", None)
    assert re.search(r"^compose file +docker-compose\.yml$", device.cli("status").stdout, re.MULTILINE)
    # The file that was named is not needed any more, and neither is the destination.
    path.unlink()
    assert device.stop() == 0
    assert not engine.containers()
    (destination / "docker-compose.yml").unlink()
    destination.rmdir()
    device.start()
    wait_until(lambda: page(port) == "1", 60, lambda: device.log)
    assert status_messages.next_json() == ALONE


def test_health_and_rollback_come_with_it(alone, engine, local_image, status_messages):
    path = put_file(alone, ["page"], local_image)
    alone.start()
    deploy(alone, path)
    assert status_messages.next_json() == ALONE
    before = engine.containers()["page"].id
    path.write_text("services:\n  page:\n    image: " + local_image +
                    "\n    command: ['/nowhere']\n")
    done = deploy(alone, path, status=1)
    assert "/nowhere" in done.stderr
    assert_failure(status_messages.next_json(), "InternalError", "/nowhere")
    assert status_messages.next_json()["status"] in ("success", "fail")
    wait_until(lambda: set(engine.containers()) == {"page"}, 60, "the old application is not back")
    assert engine.containers()["page"].id != before
    assert [entry["generation"] for entry in alone.status["quarantine"]] == [2]


def test_relative_paths_start_from_the_destination_named(alone, engine, user, local_image):
    folder = alone.folder / "boat"
    (folder / "html").mkdir(parents=True)
    (folder / "html/index.html").write_text("from the file's own folder")
    user.owns(folder)
    user.owns(folder / "html")
    port = free_port()
    path = folder / "compose.yml"
    text = compose_file(None, ["page"], local_image, ports={"page": port}, volumes="['./html:/www:ro']")
    path.write_text(text)
    alone.start()
    # Without it the folder would be looked for where it is not: that is said before anything is done.
    problems = alone.cli_json("plan", path, check=False)["problems"]
    assert any("html" in problem["message"] and "--destination" in problem["message"] for problem in problems), problems
    assert "--destination" in deploy(alone, path, status=1).stderr
    assert not engine.containers(everything=True)
    deploy(alone, path, "--destination", folder, "--user", user.name)
    assert wait_until(lambda: page(port), 30, "the page is not served") == "from the file's own folder"
    assert path.read_text() == text
    assert alone.status["deployment"]["destination"] == str(folder)


def test_the_caller_is_the_user(alone, engine, user, local_image):
    path = put_file(alone, ["page"], local_image)
    alone.start()
    alone.environment["SUDO_UID"] = str(user.uid)
    deploy(alone, path)
    assert (alone.folder / f"state/compose/{user.uid}/docker-compose.yml").stat().st_uid == user.uid
    assert alone.cli("deploy", path, "--user", "nobody-of-this-name", check=False).returncode == 2
    # What is for a compose file is refused for a group file, whose own words count.
    done = alone.cli("deploy", alone.group(), "--user", user.name, check=False)
    assert done.returncode == 2 and "a group file has DockerUserId" in done.stderr


def test_doctor_checks_a_compose_file(alone, local_image):
    path = put_file(alone, ["page"], local_image)
    alone.start()
    done = alone.cli_json("doctor", path, check=False)
    assert [check for check in done["checks"] if check["ok"] is False] == []


def test_lightermand_is_needed_but_for_validate(alone, local_image):
    path = put_file(alone, ["page"], local_image)
    assert alone.cli("validate", path).returncode == 0
    for command in ("deploy", "plan"):
        assert alone.cli(command, path, check=False).returncode == 3


def test_what_is_no_compose_file_is_refused(alone):
    alone.start()
    path = alone.folder / "docker-compose.yml"
    for text, words in ((b"services:\n  web:\n    image: \xff\n", "UTF-8"), (b"services:\n" + b"# 12345678\n" * 200000, "1048576 bytes"),
                        (b"just words\n", "JSON"), (b"", "empty")):
        path.write_bytes(text)
        done = alone.cli("deploy", path, check=False)
        assert done.returncode == 2 and words in done.stderr, (text[:20], done.stderr)


class Site:
    """Files at https://127.0.0.1:PORT/, and other answers that a test asks for: {path: (status, headers)}."""

    def __init__(self, folder, authority):
        site = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                status, headers = site.answers.get(self.path, (200, {}))
                site.asked.append(self.path)
                if status == 200:
                    super().do_GET()
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.folder, self.answers, self.asked = folder, {}, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, authority.issue("site")))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site(alone, authority):
    folder = alone.folder / "site"
    folder.mkdir()
    found = Site(folder, authority)
    alone.environment["AWS_CA_BUNDLE"] = str(authority.certificate)
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_an_address_is_fetched(alone, site, engine, local_image, status_messages):
    text = compose_file(None, ["page"], local_image)
    (site.folder / "a b.yml").write_text(text)
    site.answers["/old.yml?x=1&y=%C3%BC"] = (302, {"Location": "/a%20b.yml"})
    alone.start()
    address = site.url + "/old.yml?x=1&y=%C3%BC"
    assert [s["action"] for s in alone.cli_json("plan", address)["services"]] == ["created"]
    deploy(alone, address)
    assert status_messages.next_json() == success(bucket=None, key=address)
    assert set(engine.containers()) == {"page"}
    # At the next start the server is away: it is deployed as it was.
    assert alone.stop() == 0
    site.answers["/old.yml?x=1&y=%C3%BC"] = (503, {})
    alone.start()
    wait_until(lambda: set(engine.containers()) == {"page"}, 120, lambda: alone.log)


@pytest.mark.parametrize("answer, words", [
    ((404, {}), ["has no such file"]), ((403, {}), ["needs no login"]), ((418, {}), ["refuses the request", "418"]),
    ((302, {"Location": "http://127.0.0.1/x"}), ["not secure"]), ((302, {"Location": "/app.yml"}), ["redirects too often"]),
    ((302, {}), ["redirects too often or to nowhere"]), ((302, {"Location": "https://user:hunter2@127.0.0.1/"}), [])])
def test_an_address_that_does_not_serve_is_told(alone, site, engine, answer, words):
    site.answers["/app.yml"] = answer
    alone.start()
    done = deploy(alone, site.url + "/app.yml", status=1)
    for word in words:
        assert word in done.stderr, done.stderr
    assert "hunter2" not in done.stderr + alone.log
    assert not engine.containers()
    assert len(site.asked) <= 6


def test_an_address_whose_authority_is_unknown_is_not_trusted(alone, site, engine):
    del alone.environment["AWS_CA_BUNDLE"]
    (site.folder / "app.yml").write_text("services: {}\n")
    alone.start()
    done = deploy(alone, site.url + "/app.yml", status=1)
    assert "certificate" in done.stderr, done.stderr
    assert not site.asked


FILE = "application/vnd.docker.compose.file+yaml"


def artifact_group(device, address, **more):
    """A group file for that compose file: unlike a compose file alone, it does not wait until that is healthy."""
    path = device.group(bucket=None, key=None, DockerPullBeforeUp="False", DockerOfflineMode="True", **more)
    document = json.loads(path.read_text())
    document["Connectors"][0]["Source"] = {"Url": address}
    path.write_text(json.dumps(document))
    return path


def test_what_docker_compose_publishes_is_deployed(alone, engine, open_registry, compose2, local_image):
    path = put_file(alone, ["page"], local_image)
    address = f"oci://{open_registry.address}/boats/real:1"
    # Of OCI 1.1, this release of docker-compose publishes something truncated.
    run(compose2.path, "-f", path, "alpha", "publish", "--oci-version", "1.0", address.removeprefix("oci://"),
        env={"PATH": "/usr/bin:/bin", "HOME": str(alone.folder), "DOCKER_HOST": f"unix://{engine.SOCKET}"})
    alone.start()
    assert alone.cli("validate", address).returncode == 0
    bad = alone.cli("validate", "oci://user:hunter2@registry/app", check=False)
    assert bad.returncode == 2 and "must not hold a user name or a password" in bad.stderr
    assert [s["action"] for s in alone.cli_json("plan", address)["services"]] == ["created"]
    assert [check for check in alone.cli_json("doctor", address, check=False)["checks"] if check["ok"] is False] == []
    deploy(alone, address, "--no-wait")
    wait_until(lambda: set(engine.containers()) == {"page"}, 60, lambda: alone.log)
    assert (alone.folder / "state/compose/default/docker-compose.yml").read_text() == path.read_text()


def test_a_compose_file_in_a_registry_outlives_it(alone, engine, open_registry, local_image, status_messages):
    text = compose_file(None, ["page"], local_image)
    digest = open_registry.publish("boats/app", "1", [(FILE, "compose.yml", text)])
    alone.start()
    address = f"oci://{open_registry.address}/boats/app@{digest}"
    alone.deploy(artifact_group(alone, address))
    assert status_messages.next_json() == success(digest, bucket=None, key=address)
    assert set(engine.containers()) == {"page"}
    # At the next start the registry is away: it is deployed as it was.
    assert alone.stop() == 0
    open_registry.stop()
    alone.start()
    wait_until(lambda: set(engine.containers()) == {"page"}, 60, lambda: alone.log)


def test_a_secret_opens_the_registry_of_a_compose_file(alone, engine, registry, local_image):
    registry.publish("boats/private", "1", [(FILE, "compose.yml", compose_file(None, ["page"], local_image))])
    address = f"oci://{registry.address}/boats/private:1"
    alone.start()
    done = alone.cli("plan", address, check=False)
    assert done.returncode == 1 and "run 'docker login'" in done.stdout + done.stderr
    path = artifact_group(alone, address, secrets=[alone.put_secret("harbour", registry.secret())])
    checks = alone.cli_json("doctor", path, check=False)["checks"]
    assert [check for check in checks if check["ok"] is False] == []
    alone.deploy(path)
    assert set(engine.containers()) == {"page"}
    assert registry.PASSWORD not in alone.log + alone.stderr
