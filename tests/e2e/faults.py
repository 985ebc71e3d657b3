# SPDX-License-Identifier: Apache-2.0
"""The ways to fail of docs/errors.md: for each id one function that brings it about (errors_test.py).

Each takes a Scene, prepares the fault there and returns the path of a group file, or None for a start of what is deployed; one
that is a generator yields it, and cleans up behind it. A fault that needs another host file, or other programs, calls scene.own() for a device of its own
before it changes that.
"""
import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import threading
import uuid

import guide
from device import SECRET_ARN
from image_damage import flip, top_file
from servers.authority import Authority
from servers.engine import PROJECT, compose_file
from servers.old_engine import VersionOnlyEngine
from servers.s3 import S3
from servers.server import free_port, run
from small_disk import SmallDisk
from strace import followed

FAULTS = {}
LOCAL = {"DockerPullBeforeUp": "False"}


class Scene:
    """What a fault has at hand: `device`, which runs already unless it is the fault's own; and the fixtures."""

    def __init__(self, shared, request):
        self.device, self.request = shared, request

    def fixture(self, name):
        return self.request.getfixturevalue(name)

    def own(self, compose="compose2", **more):
        """Takes another device, which is started once the fault is prepared."""
        self.device = self.fixture("device_with")(self.fixture(compose), **more)
        return self.device

    def store(self, text=None, **more):
        """Stores that compose file and returns a group file that names it."""
        text = text or compose_file(None, ["web"], self.fixture("local_image"))
        self.device.put_object("ships", "docker-compose.yml", text)
        return self.device.group(**{**LOCAL, **more})

    def service(self, *lines, **more):
        """A compose file of one service "web" with these lines."""
        image = self.fixture("local_image")
        return self.store("\n".join(["services:", "  web:", f"    image: {image}", "    stop_grace_period: 1s",
                                     *(f"    {line}" for line in lines)]) + "\n", **more)


def fault(function):
    FAULTS[function.__name__] = function
    return function


def provoke(name, scene):
    """A context with the group file of that fault."""
    made = FAULTS[name](scene)
    return contextlib.contextmanager(lambda: made)() if hasattr(made, "send") else contextlib.nullcontext(made)


# validate

def edited(scene, change, **more):
    """A group file after `change` has had its document."""
    group = scene.store(**more)
    document = json.loads(group.read_text())
    change(document)
    group.write_text(json.dumps(document))
    return group


def parameter(**values):
    """A fault that is nothing but these parameters; the version of the connector is among them."""
    return lambda scene: scene.store(**values)


@fault
def group_not_json(scene):
    group = scene.store()
    group.write_text(group.read_text()[:-5])
    return group


def instead(text):
    """A file with that text where the group file should be."""
    def write(scene):
        group = scene.store()
        group.write_text(text if isinstance(text, str) else json.dumps(text))
        return group
    return write


@fault
def group_in_camel_case(scene):
    def camel(value):
        if isinstance(value, dict):
            return {key[0].lower() + key[1:]: camel(member) for key, member in value.items()}
        return [camel(item) for item in value] if isinstance(value, list) else value

    return instead(camel(json.loads(scene.store().read_text())))(scene)


FAULTS.update({
    "group_empty": instead(""),
    "group_only_arns": instead({"Id": "g", "Version": "v", "Definition": {
        "ConnectorDefinitionVersionArn":
            "arn:aws:greengrass:eu-west-1:123456789012:/greengrass/definition/connectors/c1/versions/v2"}}),
    "group_of_another_array": instead([{"Id": "s", "Source": "cloud", "Subject": "#", "Target": "GGShadowService"}]),
    "group_is_a_template": instead({"Resources": {"Docker": {"Type": "AWS::Greengrass::ConnectorDefinition"}}}),
    "group_is_a_recipe": instead("---\nRecipeFormatVersion: '2020-01-25'\nComponentName: com.example.harbour\n"),
    "group_is_a_compose_file": instead("services:\n  web:\n    image: nginx\n"),
    "group_is_yaml": instead("Definition:\n  Connectors:\n  - Id: docker\n"),
})


@fault
def group_without_connector(scene):
    return edited(scene, lambda document: document["Connectors"].clear())


@fault
def group_with_two_connectors(scene):
    return edited(scene, lambda document: document["Connectors"].append({**document["Connectors"][0], "Id": "other"}))


@fault
def connector_without_id(scene):
    return edited(scene, lambda document: document["Connectors"][0].pop("Id"))


@fault
def parameter_not_a_string(scene):
    return edited(scene, lambda document: document["Connectors"][0]["Parameters"].update(ForceDeploy=True))


FAULTS.update({
    "connector_version_unknown": parameter(version=8),
    "parameter_missing": parameter(bucket=None, DockerComposeFileS3Bucket=None),
    "parameter_unknown": parameter(DockerUserID="1000"),
    "parameter_of_a_later_version": parameter(version=6, DockerOfflineMode="True"),
    "bucket_name_impossible": parameter(bucket="my_ships"),
    "destination_relative": parameter(DockerComposeFileDestinationPath="app"),
    "user_not_a_number": parameter(DockerUserId="root"),
    "user_number_too_long": parameter(version=6, DockerUserId="100000"),
    "boolean_misspelt": parameter(ForceDeploy="yes"),
    "activate_at_malformed": parameter(policy={"ActivateAt": "2:00-5:00"}),
    "hold_file_relative": parameter(policy={"HoldFile": "run/hold"}),
    "frequency_out_of_range": parameter(DockerContainerStatusLogFrequency="0"),
    "secrets_not_a_list": parameter(AWSSecretsArnList=SECRET_ARN.format(name="harbour")),
    "secret_arn_malformed": parameter(secrets=["arn:aws:s3:::harbour"]),
    "several_faults": parameter(bucket="x", ForceDeploy="yes", DockerUserId="root"),
})


def client_devices(change):
    """The guide's client devices, after `change` has had their group file."""
    def make(scene):
        return edited(scene, lambda document: (document.update(guide.arrays()), change(document)))
    return make


FAULTS.update({
    "device_is_no_thing": client_devices(
        lambda group: (group["Devices"][0].update(ThingArn="MyDockerDevice"), group.update(Subscriptions=[]))),
    "device_twice": client_devices(lambda group: group["Devices"].append({**group["Devices"][0], "Id": "other"})),
    "subscription_subject_impossible": client_devices(lambda group: group["Subscriptions"][0].update(Subject="a/#/b")),
    "subscription_end_malformed": client_devices(lambda group: group["Subscriptions"][0].update(Target="Cloud")),
    "subscription_thing_unknown": client_devices(lambda group: group["Devices"].pop()),
    "subscription_connector_version": client_devices(lambda group: group["Subscriptions"][0].update(
        Source="arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationDeployment/versions/6")),
    "subscription_cloud_to_cloud": client_devices(
        lambda group: group["Subscriptions"][0].update(Source="cloud", Target="cloud")),
})


# prepare

FAULTS.update({
    "user_missing": parameter(DockerUserId="3999999999"),
    "user_is_root": parameter(DockerUserId="0"),
})


@fault
def device_certificates_impossible(scene):
    device = scene.own()
    (device.folder / "state/devices").touch()
    return client_devices(lambda group: None)(scene)


@fault
def default_user_missing(scene):
    scene.own()
    return scene.store(DockerUserId=None)


@fault
def worker_missing(scene):
    device = scene.own()
    programs = device.folder / "bin"
    programs.mkdir()
    for name in ("lightermand", "lighterman"):
        shutil.copy(device.programs / name, programs)
    device.programs = programs
    return scene.store()


@fault
def user_not_in_group(scene):
    device, stranger = scene.own(), scene.fixture("stranger")
    stranger.owns(device.destination)
    return scene.store(DockerUserId=str(stranger.uid))


@fault
def engine_socket_missing(scene):
    scene.own().host["docker"]["socket"] = "/run/none.sock"
    return scene.store()


@fault
def engine_down(scene):
    group = scene.store()
    engine = scene.fixture("engine")
    engine.stop()
    yield group
    engine.start()


@fault
def engine_too_old(scene):
    device = scene.own()
    path = device.folder / "old.sock"
    device.host["docker"]["socket"] = str(path)
    with VersionOnlyEngine(path, "1.9.0", "1.21"):
        yield scene.store()


@fault
def compose_missing(scene):
    scene.own().host["docker"]["compose"] = "/opt/docker-compose"
    return scene.store()


@fault
def compose_does_not_run(scene):
    device = scene.own()
    program = device.folder / "docker-compose"
    program.write_text("#!/bin/sh\necho 'cannot open shared object file' >&2; exit 127\n")
    program.chmod(0o755)
    device.host["docker"]["compose"] = str(program)
    return scene.store()


@fault
def destination_missing(scene):
    return scene.store(DockerComposeFileDestinationPath=str(scene.device.destination / "none"))


@fault
def destination_is_a_file(scene):
    path = scene.device.folder / "file"
    path.write_text("")
    return scene.store(DockerComposeFileDestinationPath=str(path))


@fault
def destination_guarded(scene):
    path = scene.device.folder / "guarded"
    path.mkdir(mode=0o755, exist_ok=True)
    return scene.store(DockerComposeFileDestinationPath=str(path))


@fault
def destination_read_only(scene):
    path = scene.device.folder / "readonly"
    path.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"ro,uid={scene.device.user.uid}", "none", path)
    yield scene.store(DockerComposeFileDestinationPath=str(path))
    run("umount", path)


@fault
def local_copy_is_a_directory(scene):
    device = scene.own()
    device.local_copy.mkdir()
    device.user.owns(device.local_copy)
    return scene.store()


# fetch: the directories

@fault
def bucket_missing(scene):
    return scene.store(bucket="nowhere")


@fault
def object_missing(scene):
    return scene.store(key="none.yml")


@fault
def version_missing(scene):
    return scene.store(DockerComposeFileS3Version="v7")


@fault
def object_is_a_link(scene):
    group = scene.store(key="link.yml")
    link = scene.device.folder / "objects/ships/link.yml"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/passwd")
    return group


@fault
def object_too_large(scene):
    return scene.store(b"#" * 5_000_000 + b"\nservices: {}\n")


@fault
def object_store_missing(scene):
    scene.own().host["objectStore"]["directory"] = "/srv/none"
    return scene.store()


@fault
def checksum_wrong(scene):
    return scene.store(policy={"ComposeFileSHA256": "0" * 64})


COMPOSE = "application/vnd.docker.compose."


def artifact(scene, reference, **more):
    """A group file for the compose file with that reference in a registry."""
    def name(document):
        entry = document["Connectors"][0]
        entry["Source"] = {"Url": f"oci://{reference}"}
        for key in ("Bucket", "Key"):
            del entry["Parameters"]["DockerComposeFileS3" + key]

    return edited(scene, name, **more)


def published(*layers, registry="open_registry", **more):
    """A fault that is an artifact with these layers, each a type behind COMPOSE and a file."""
    def make(scene):
        files = [(COMPOSE + kind, file, f"services:\n  web:\n    image: {file}\n") for kind, file in layers]
        server = scene.fixture(registry)
        server.publish("demo/compose", "faulty", files, **more)
        return artifact(scene, server.image("demo/compose:faulty"))

    return make


ONE_FILE = ("file+yaml", "compose.yml")
FAULTS.update({
    "artifact_missing": lambda scene: artifact(scene, scene.fixture("open_registry").image("demo/none:1")),
    "artifact_needs_login": published(ONE_FILE, registry="registry"),
    "artifact_registry_unreachable": lambda scene: artifact(scene, f"localhost:{free_port()}/demo/compose:1"),
    "artifact_is_an_image": published(ONE_FILE, artifact=None, config="application/vnd.oci.image.config.v1+json"),
    "artifact_of_another_type": published(ONE_FILE, artifact="application/vnd.example.chart"),
    "artifact_of_several_files": published(ONE_FILE, ("file+yaml", "image-digests.yaml")),
    "artifact_with_env_file": published(ONE_FILE, ("envfile", "0a.env")),
})


@fault
def artifact_is_an_index(scene):
    registry = scene.fixture("open_registry")
    registry.put_manifest("demo/compose", "index", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
    return artifact(scene, registry.image("demo/compose:index"))


class FalseRegistry(http.server.BaseHTTPRequestHandler):
    """A registry that no real one would be; subclasses say what it has."""

    manifest, blob = None, None

    def do_GET(self):
        data = json.dumps(self.manifest).encode() if "/manifests/" in self.path else self.blob
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    @classmethod
    @contextlib.contextmanager
    def running(cls):
        """Its host and port."""
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), cls) as server:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            yield f"127.0.0.1:{server.server_port}"
            server.shutdown()


class DamagedArtifacts(FalseRegistry):
    """Its every compose file is not the one of the manifest."""

    manifest = {"artifactType": COMPOSE + "project",
                "layers": [{"mediaType": COMPOSE + "file+yaml", "digest": f"sha256:{'1' * 64}", "size": 12}]}
    blob = b"services: {}"


@fault
def artifact_damaged(scene):
    with DamagedArtifacts.running() as where:
        yield artifact(scene, f"{where}/demo/compose:1")


@fault
def s3_object_damaged(scene):
    s3 = scene.fixture("summed_s3")
    s3.objects["ships/docker-compose.yml"], s3.always = b"services: {}\n", "damaged"
    device = scene.own()
    device.host.pop("objectStore")
    device.environment.update(s3.environment())
    return scene.store()


@fault
def secret_missing(scene):
    scene.device.put_secret("harbour", {})
    return scene.store(secrets=[SECRET_ARN.format(name="nobody")])


@fault
def secrets_missing(scene):
    scene.device.put_secret("harbour", {})
    return scene.store(secrets=[SECRET_ARN.format(name=name) for name in ("nobody", "missing", "none")])


def secret(value):
    """A secret of that value, a text."""
    def prepare(scene):
        arn = scene.device.put_secret("harbour", {})
        (scene.device.folder / "secrets/harbour.json").write_text(value)
        return scene.store(secrets=[arn])

    return prepare


FAULTS.update({
    "secret_not_json": secret("alice:s3cret"),
    "secret_without_password": secret('{"username": "alice", "registryUrl": "localhost:9"}'),
    "secret_password_not_text": secret('{"username": "alice", "password": 1, "registryUrl": "localhost:9"}'),
    "secret_password_empty": secret('{"username": "alice", "password": "", "registryUrl": "localhost:9"}'),
    "secret_key_twice": secret('{"username": "alice", "username": "bob", "password": "x", "registryUrl": "y"}'),
})


@fault
def secret_guarded(scene):
    group = secret("{}")(scene)
    os.chown(scene.device.folder / "secrets/harbour.json", 0, 0)
    return group


# fetch: S3

def in_s3(scene, key="app.yml", **keys):
    """A device of its own that takes objects from S3, and the group file."""
    s3, device = scene.fixture("s3"), scene.own()
    if "e2e-errors" not in [found["Name"] for found in s3.client().list_buckets()["Buckets"]]:
        s3.make_bucket("e2e-errors", versions=True)
    s3.put("e2e-errors", "app.yml", compose_file(None, ["web"], scene.fixture("local_image")).encode())
    device.use_s3(s3, **keys)
    return device.group(bucket="e2e-errors", key=key, **LOCAL)


@fault
def aws_credentials_missing(scene):
    group = in_s3(scene)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del scene.device.environment[name]
    return group


@fault
def aws_credentials_half(scene):
    group = in_s3(scene)
    del scene.device.environment["AWS_SECRET_ACCESS_KEY"]
    return group


@fault
def aws_role_refused(scene):
    """The credentials provider of AWS IoT knows the certificate, but its thing may not have the role."""
    role = scene.fixture("role_credentials")
    group = in_s3(scene)
    scene.device.host["credentials"] = role.attach("errors-device", "Other")
    scene.device.host["thingName"] = "Gateway"
    return group


def with_certificate(scene, certificate, key):
    """A device that shows that certificate to AWS IoT, and the group file."""
    role = scene.fixture("role_credentials")
    group = in_s3(scene)
    scene.device.host["credentials"] = {**role.attach("errors-device", "Gateway"), "certificate": str(certificate),
                                        "privateKey": str(key)}
    scene.device.host["thingName"] = "Gateway"
    return group


@fault
def device_certificate_expired(scene):
    authority = scene.fixture("role_credentials").authority
    return with_certificate(scene, *authority.issue("errors-expired", days=-1))


@fault
def device_certificate_early(scene):
    authority = scene.fixture("role_credentials").authority
    return with_certificate(scene, *authority.issue("errors-early", from_days=1))


@fault
def device_certificate_unknown(scene):
    stranger = Authority(scene.fixture("sandbox") / "errors-stranger", "Another authority")
    return with_certificate(scene, *stranger.issue("errors-device"))


@fault
def s3_unreachable(scene):
    group = in_s3(scene)
    scene.device.environment["AWS_ENDPOINT_URL_S3"] = f"http://localhost:{free_port()}"
    return group


@fault
def s3_secret_key_wrong(scene):
    return in_s3(scene, secret_key="wr0ng-k3y")


@fault
def s3_access_denied(scene):
    return in_s3(scene, access_key=S3.POOR_ACCESS_KEY, secret_key=S3.POOR_SECRET_KEY)


@fault
def s3_object_missing(scene):
    return in_s3(scene, key="none.yml")


@fault
def s3_bucket_missing(scene):
    in_s3(scene)
    return scene.device.group(bucket="e2e-nowhere", **LOCAL)


@fault
def s3_is_no_s3(scene):
    group = in_s3(scene)
    scene.device.environment["AWS_ENDPOINT_URL_S3"] = f"http://{scene.fixture('open_registry').address}"
    return group


@fault
def s3_kms_denied(scene):
    s3 = scene.fixture("locked_s3")
    scene.own().use_s3(s3)
    return scene.device.group(**LOCAL)


def with_profile(scene, text, **variables):
    """A device whose AWS config file has that text, and the group file."""
    group = in_s3(scene)
    config = scene.device.folder / "aws-config"
    config.write_text(text)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del scene.device.environment[name]
    scene.device.environment.update(AWS_CONFIG_FILE=str(config), **variables)
    return group


def profile(text, **variables):
    """A fault that is nothing but that AWS config file."""
    return lambda scene: with_profile(scene, text, **variables)


FAULTS.update({
    "aws_config_broken": profile("[default]\nregion\n"),
    "aws_profile_missing": profile("[default]\nregion = eu-west-1\n", AWS_PROFILE="harbour"),
    "aws_profile_of_a_person": profile("[profile harbour]\nsso_session = quay\nsso_account_id = 123456789012\n"
                                       "sso_role_name = ship\n[sso-session quay]\nsso_region = eu-west-1\n"
                                       "sso_start_url = https://quay.awsapps.com/start\n", AWS_PROFILE="harbour"),
})


@fault
def aws_program_missing(scene):
    return with_profile(scene, "[default]\ncredential_process = /opt/signing-helper --key a\n")


def with_signing_helper(*lines):
    """A credential_process of these lines of shell."""
    def prepare(scene):
        group = with_profile(scene, "")
        program = scene.device.folder / "signing-helper"
        program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        program.chmod(0o755)
        (scene.device.folder / "aws-config").write_text(f"[default]\ncredential_process = {program}\n")
        return group

    return prepare


FAULTS.update({
    "aws_program_fails": with_signing_helper("echo 'no key in the security module' >&2", "exit 1"),
    "aws_program_talks": with_signing_helper("echo Welcome"),
})


@fault
def aws_role_denied(scene):
    sts = scene.fixture("sts")
    secret, _ = sts.keys["AKIDLASTING"]
    return with_profile(scene, f"[default]\nrole_arn = {sts.role('ship')}\nsource_profile = base\n[profile base]\n"
                        f"aws_access_key_id = AKIDLASTING\naws_secret_access_key = {secret}\n",
                        AWS_ENDPOINT_URL_STS=sts.endpoint)


@fault
def aws_services_missing(scene):
    group = in_s3(scene)
    config = scene.device.folder / "aws-config"
    config.write_text("[default]\nservices = harbour\n")
    del scene.device.environment["AWS_ENDPOINT_URL_S3"]
    scene.device.environment["AWS_CONFIG_FILE"] = str(config)
    return group


def in_secrets_manager(scene, change):
    """A group file with a secret of Secrets Manager's, after `change` has had that server."""
    manager = scene.fixture("secrets_manager")
    device = scene.own()
    del device.host["secretStore"]
    device.environment.update(manager.environment())
    arn = manager.put("harbour", {"username": "a", "password": "b", "registryUrl": "localhost:1"})
    change(manager, arn)
    return scene.store(secrets=[arn])


@fault
def manager_endpoint_malformed(scene):
    group = in_secrets_manager(scene, lambda manager, arn: None)
    scene.device.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = "harbour"
    return group


FAULTS.update({
    "manager_secret_denied": lambda scene: in_secrets_manager(
        scene, lambda manager, _: manager.denied.add("secretsmanager:GetSecretValue")),
    "manager_secret_missing": lambda scene: in_secrets_manager(scene, lambda manager, _: manager.values.clear()),
    "manager_secret_deleted": lambda scene: in_secrets_manager(scene, lambda manager, arn: manager.deleted.add(arn)),
    "manager_secret_locked": lambda scene: in_secrets_manager(
        scene, lambda manager, arn: manager.locked.update({arn: "DecryptionFailure"})),
})


# resolve

def text(value):
    return lambda scene: scene.store(value)


FAULTS.update({
    "compose_file_empty": text(b"\n"),
    "compose_file_not_yaml": text("services:\n\tweb: 1\n"),
    "compose_file_not_utf8": text(b"services:\n  web:\n    image: caf\xe9\n"),
    "compose_file_a_list": text("- services\n"),
    "compose_file_without_services": text("version: '3.4'\n"),
    "compose_file_bomb": text("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh"))),
    "compose_file_too_deep": text("x-quay: " + 70 * "[" + 70 * "]" + "\nservices: {}\n"),
    "compose_file_long_value": text(f"x-quay: {'x' * 1100000}\nservices: {{}}\n"),
    "compose_file_many_services": text("services:\n" + "".join(f"  s{n}: {{image: quay}}\n" for n in range(1001))),
    "compose_key_unknown": lambda scene: scene.service("prots: []"),
    "compose_env_file_missing": lambda scene: scene.service("env_file: harbour.env"),
    "compose_variable_malformed": lambda scene: scene.service('command: "${HARBOUR"'),
    "compose_variable_required": lambda scene: scene.service('command: "${HARBOUR_NAME:?is not set}"'),
    "compose_option_variable": lambda scene: scene.service("volumes: ['${HARBOUR_DATA}:/data']"),
    "compose_network_undefined": lambda scene: scene.service("networks: [quay]"),
})


def top(text, *lines):
    """A compose file whose service has these lines, with `text` at its top."""
    return lambda scene: scene.store(f"{text}\nservices:\n  web:\n    image: {scene.fixture('local_image')}\n"
                                     + "".join(f"    {line}\n" for line in lines))


FAULTS.update({
    "volume_source_missing": lambda scene: scene.service("volumes: [{type: bind, source: ./none, target: /x}]"),
    "container_of_others_missing": lambda scene: scene.service("volumes_from: ['container:nobody']"),
    "bind_source_obstructed": lambda scene: scene.service("volumes: ['/etc/passwd/none:/x']"),
    "external_network_missing": top("networks: {quay: {external: true}}", "networks: [quay]"),
    "secret_file_missing": top("secrets: {key: {file: ./none.key}}", "secrets: [key]"),
    "config_file_missing": top("configs: {conf: {file: ./none.conf}}", "configs: [conf]"),
    "device_missing": lambda scene: scene.service("devices: ['/dev/ttyNONE0:/dev/ttyS0']"),
    "volume_mount_missing": top("volumes: {data: {driver_opts: {type: none, o: bind, device: /srv/none}}}",
                                "volumes: ['data:/data']"),
    "driver_missing": top("networks: {quay: {driver: harbournet}}", "networks: [quay]"),
    "runtime_missing": lambda scene: scene.service("runtime: harbour"),
    "device_driver_missing": lambda scene: scene.service(
        "deploy: {resources: {reservations: {devices: [{driver: nvidia, capabilities: [gpu]}]}}}"),
    "external_volume_missing": top("volumes: {data: {external: true, name: nowhere}}", "volumes: ['data:/data']"),
})


@fault
def compose_image_variable(scene):
    return scene.store(compose_file(None, ["web"], "harbour/local:${HARBOUR_TAG}"))


@fault
def compose_image_empty(scene):
    scene.own("compose1")
    return scene.store(compose_file(None, ["web"], "''"))


@fault
def compose_variable_withheld(scene):
    scene.own().environment["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/harbour"
    return scene.service("hostname: '${AWS_ROLE_ARN:?is not set}'")


@fault
def compose_two_documents(scene):
    scene.own("compose1")
    image = scene.fixture("local_image")
    return scene.store(f"services: {{web: {{image: '{image}'}}}}\n---\nservices: {{web: {{labels: [x]}}}}\n")


@fault
def volume_changed(scene):
    scene.own("compose1")
    docker = scene.fixture("engine").docker
    old = docker.volumes.create("greengrassdockerapplicationdeployment_data")
    yield top("version: '3.4'\nvolumes: {data: {driver_opts: {type: tmpfs, device: tmpfs, o: 'size=1m'}}}",
              "volumes: ['data:/data']")(scene)
    old.remove()


# authenticate

def login(scene, version=7, **more):
    registry = scene.fixture("registry")
    return scene.store(version=version, secrets=[scene.device.put_secret("harbour", registry.secret(**more))])


@fault
def login_refused(scene):
    return login(scene, password="sunk")


@fault
def login_unreachable(scene):
    """In a version that does not try again; the others say so behind the registry's name: ", after 5 attempts"."""
    return login(scene, version=6, registryUrl=f"localhost:{free_port()}")


@fault
def ecr_token_denied(scene):
    ecr = scene.fixture("ecr")
    scene.own().environment.update(ecr.environment())
    ecr.denied.add("ecr:GetAuthorizationToken")
    return scene.store(compose_file(None, ["web"], f"{ecr.ACCOUNT}.dkr.ecr.{ecr.region}.amazonaws.com/demo:1"))


@fault
def registry_url_malformed(scene):
    return login(scene, registryUrl="http://")


# admit

@fault
def disk_reserve(scene):
    return scene.store(policy={"MinFreeDiskMB": "999999999"})


class HugeImages(FalseRegistry):
    """Its every image has a layer that no disk holds."""

    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": {"digest": f"sha256:{'0' * 64}", "size": 2},
                "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": f"sha256:{'1' * 64}",
                            "size": 10**15}]}


@fault
def disk_short(scene):
    with HugeImages.running() as where:
        yield scene.store(compose_file(None, ["web"], f"{where}/huge:1"), DockerPullBeforeUp=None)


@fault
def disk_full(scene):
    path = scene.device.folder / "small"
    path.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size=32k,uid={scene.device.user.uid},mode=0700", "none", path)
    yield scene.store(DockerComposeFileDestinationPath=str(path))
    run("umount", path)


def snapshot(scene, fill, entrypoint=None, **policy):
    """The application that runs has a volume, with what `fill` puts there; the next one has that entry point."""
    image = scene.fixture("local_image")
    text = compose_file(None, ["web"], image, volumes="['data:/data']") + "volumes:\n  data:\n"
    scene.deploy_well(scene.store(text))
    fill(scene.fixture("engine").folder / "data/volumes" / f"{PROJECT}_data" / "_data")
    if entrypoint:
        text = compose_file(None, ["web"], image, volumes="['data:/data']", entrypoint=entrypoint) + "volumes:\n  data:\n"
    return scene.store(text, policy={"SnapshotVolumes": "True", **policy})


@fault
def snapshot_too_large(scene):
    return snapshot(scene, lambda folder: (folder / "large").write_bytes(os.urandom(3 << 20)), SnapshotMaxMB="2")


@fault
def snapshot_without_space(scene):
    return snapshot(scene, lambda folder: (folder / "file").write_text("x"), MinFreeDiskMB="999999999")


@fault
def snapshot_too_deep(scene):
    return snapshot(scene, lambda folder: (folder / "/".join(["d"] * 300)).mkdir(parents=True))


@fault
def snapshot_mounted(scene):
    def mount(folder):
        (folder / "cache").mkdir()
        run("mount", "-t", "tmpfs", "none", folder / "cache")

    yield snapshot(scene, mount)
    run("umount", scene.fixture("engine").folder / "data/volumes" / f"{PROJECT}_data" / "_data" / "cache")


@fault
def snapshot_used(scene):
    engine = scene.fixture("engine")
    group = snapshot(scene, lambda folder: None)
    engine.docker.containers.run(scene.fixture("local_image"), ["sleep", "1000000"], name="backup", detach=True, volumes=[f"{PROJECT}_data:/data"])
    return group


@fault
def pull_policy_never(scene):
    text = "services:\n  web:\n    image: localhost:9/gone:1\n    pull_policy: never\n"
    return scene.store(text)


# pull

def pulls(scene, image, **more):
    return scene.store(compose_file(None, ["web"], image), DockerPullBeforeUp="True", **more)


@fault
def image_missing(scene):
    return pulls(scene, scene.fixture("open_registry").image("demo/none:1"))


@fault
def image_tag_missing(scene):
    repository = scene.fixture("open_image").rpartition(":")[0]
    return pulls(scene, f"{repository}:none")


@fault
def image_without_login(scene):
    return pulls(scene, scene.fixture("image"))


@fault
def registry_unreachable(scene):
    return pulls(scene, f"localhost:{free_port()}/demo/web:1")


@fault
def offline_without_images(scene):
    return pulls(scene, f"localhost:{free_port()}/demo/web:1", DockerOfflineMode="True")


@fault
def offline_without_local_copy(scene):
    group = in_s3(scene)
    scene.device.environment["AWS_ENDPOINT_URL_S3"] = f"http://localhost:{free_port()}"
    return scene.device.group(bucket="e2e-errors", name=group.name, DockerOfflineMode="True")


@contextlib.contextmanager
def damaged_image(scene, published=True):
    """A deployed image is damaged, and `lighterman verify` has found it."""
    engine, registry = scene.fixture("engine"), scene.fixture("open_registry")
    reference = registry.image(f"demo/damaged-{uuid.uuid4().hex[:8]}:1")
    engine.extend_image(scene.fixture("local_image"), reference, f"the page of {reference}, " * 50)
    if published:
        engine.publish(registry, reference)
    scene.own()
    scene.deploy_well(scene.store(compose_file(None, ["web"], reference)))
    flip(top_file(engine, reference))
    assert scene.device.cli("verify", check=False).returncode == 1
    try:
        yield reference
    finally:
        engine.remove_containers()
        engine.forget_image_and_names(reference)


@fault
def damaged_image_not_available(scene):
    with damaged_image(scene):
        registry = scene.fixture("open_registry")
        registry.stop()
        try:
            yield None
        finally:
            registry.start()


@fault
def damaged_image_of_no_registry(scene):
    with damaged_image(scene, published=False):
        yield None


@fault
def damaged_image_in_use(scene):
    with damaged_image(scene) as reference:
        scene.fixture("engine").docker.containers.run(reference, ["sleep", "1000"], name="stranger", detach=True, init=True)
        yield None


@fault
def damaged_layer_in_use(scene):
    """In an image that somebody has built of it."""
    with damaged_image(scene) as reference:
        scene.fixture("engine").extend_image(reference, "stranger/built:1", "on top of it")
        yield None


# down

@fault
def disk_loses_images(scene):
    scene.own()
    group = scene.store()
    scene.device.start()
    with followed(scene.device.process.pid, "/dev/null", "-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO"):
        yield group


def held_by(scene, make):
    """The application runs, and its next HoldFile is what `make` has made of that path."""
    scene.own()
    scene.deploy_well(scene.store())
    path = scene.device.folder / "hold"
    make(path)
    return scene.store(policy={"HoldFile": str(path)})


@fault
def hold_file_is_a_link(scene):
    return held_by(scene, lambda path: path.symlink_to("/etc/passwd"))


@fault
def hold_file_is_no_file(scene):
    return held_by(scene, os.mkfifo)


@fault
def network_in_use(scene):
    """The application runs, and a stranger's container is in its network."""
    engine, image = scene.fixture("engine"), scene.fixture("local_image")
    scene.own("compose1")
    scene.deploy_well(scene.store())
    network, = [found for found in engine.docker.networks.list() if "greengrassdocker" in found.name]
    engine.docker.containers.run(image, ["sleep", "1000000"], name="stranger", network=network.name, detach=True)
    return scene.store(compose_file(None, ["web"], image) + "# changed\n")


# up

@fault
def device_files_blocked(scene):
    blocked = scene.device.destination / "devices"
    blocked.touch()
    yield client_devices(lambda group: None)(scene)
    blocked.unlink()


@fault
def port_taken(scene):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield scene.service(f'ports: ["127.0.0.1:{listener.getsockname()[1]}:80"]')


@fault
def container_name_taken(scene):
    scene.fixture("engine").docker.containers.run(scene.fixture("local_image"), ["sleep", "1000000"], name="harbour",
                                                  detach=True)
    return scene.service("container_name: harbour")


@fault
def port_of_container(scene):
    port = free_port()
    scene.fixture("engine").docker.containers.run(scene.fixture("local_image"), ["sleep", "1000000"], name="harbour",
                                                  ports={"80/tcp": port}, detach=True)
    return scene.service(f'ports: ["{port}:80"]')


@fault
def network_name_taken(scene):
    scene.fixture("engine").docker.networks.create("quay")
    return scene.store(f"services:\n  web:\n    image: {scene.fixture('local_image')}\n    networks: [quay]\n"
                       "networks:\n  quay:\n    name: quay\n")


@fault
def image_unknown_before_down(scene):
    image = scene.fixture("open_registry").image("demo/none:1")
    return scene.store(compose_file(None, ["web"], image), version=4, DockerPullBeforeUp=None)


@fault
def network_changed(scene):
    scene.own("compose1")
    scene.fixture("engine").docker.networks.create("quay")
    return scene.store(f"version: '3.5'\nservices:\n  web:\n    image: {scene.fixture('local_image')}\n    networks: [quay]\n"
                       "networks:\n  quay:\n    name: quay\n    internal: true\n")


@fault
def external_network_of_ours(scene):
    labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.network": "quay"}
    scene.fixture("engine").docker.networks.create("quay", labels=labels)
    return scene.store(f"services:\n  web:\n    image: {scene.fixture('local_image')}\n    networks: [quay]\n"
                       "networks:\n  quay:\n    external: true\n    name: quay\n")


@fault
def subnet_taken(scene):
    run("docker", "--host", f"unix://{scene.fixture('engine').SOCKET}", "network", "create", "--subnet", "10.219.0.0/16",
        "quay")
    return scene.store(f"services:\n  web:\n    image: {scene.fixture('local_image')}\n    networks: [pier]\n"
                       "networks:\n  pier:\n    ipam: {config: [{subnet: 10.219.8.0/24}]}\n")


@fault
def network_gone(scene):
    engine = scene.fixture("engine")
    scene.own("compose1")
    group = scene.store(StopContainersOnNewDeployment="False")
    scene.deploy_well(group)
    for container in engine.containers().values():
        container.stop()
    engine.docker.networks.prune()
    return group


@fault
def command_missing(scene):
    return scene.service("command: [anchor]")


@fault
def dependency_unhealthy(scene):
    image = scene.fixture("local_image")
    text = compose_file(None, ["db"], image, healthcheck="{test: [CMD, 'false'], interval: 1s, retries: 1}")
    return scene.store(text + f"  web: {{image: '{image}', depends_on: {{db: {{condition: service_healthy}}}}}}\n")


@fault
def restore_without_space(scene):
    """What has failed is stopped; then the start of what was before needs its volumes, which are on another disk than their copies."""
    scene.own()
    engine = scene.fixture("engine")
    disk = SmallDisk(engine.folder / "data/volumes", size="32m")
    try:
        scene.deploy_badly(snapshot(scene, lambda folder: (folder / "large").write_bytes(os.urandom(4 << 20)), entrypoint="[no-such-program]"))
        scene.device.cli("stop")
        disk.fill(leave=1 << 20)
        yield None
    finally:
        engine.clean()
        disk.unmount()


# settle

HEALTHY = {"WaitHealthy": "true", "HealthTimeoutSeconds": "60"}


@fault
def container_ends(scene):
    return scene.service('command: ["sh", "-c", "exit 3"]',
                         "healthcheck: {test: ['CMD', 'true'], interval: 3600s}", policy=HEALTHY)


@fault
def container_restarts(scene):
    return scene.service('command: ["sh", "-c", "exit 3"]', "restart: always",
                         policy={"WaitHealthy": "true", "HealthTimeoutSeconds": "4"})


@fault
def container_unhealthy(scene):
    return scene.service("command: [sleep, '1000000']", "init: true",
                         "healthcheck: {test: ['CMD', 'false'], interval: 1s, retries: 1}", policy=HEALTHY)


@fault
def health_timeout(scene):
    return scene.service("command: [sleep, '1000000']", "init: true",
                         "healthcheck: {test: ['CMD', 'false'], interval: 3600s, retries: 1}",
                         policy={"WaitHealthy": "true", "HealthTimeoutSeconds": "1"})


# The worker itself

def at_config(scene, act):
    """A deployment of its own device whose docker-compose config is held; then `act` gets the worker's pid."""
    device = scene.own()
    held = scene.hold(device)
    held.hold("config")

    def during():
        held.wait_held("config")
        act(device.worker())

    scene.during = during
    return scene.store()


@fault
def worker_killed(scene):
    return at_config(scene, lambda pid: os.kill(pid, signal.SIGKILL))


@fault
def worker_silent(scene):
    def prepare():
        group = at_config(scene, lambda pid: os.kill(pid, signal.SIGSTOP))
        scene.device.host["workerSilenceSeconds"] = 1
        return group

    return prepare()
