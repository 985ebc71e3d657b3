# SPDX-License-Identifier: Apache-2.0
"""What the settings of the AWS SDKs, in the environment and in their files, make of our endpoints: against botocore.

The resolver is driven by the program of tests/unit/aws/endpoint_driver.c.
"""
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import threading
from unittest import mock
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import botocore.session
import pytest

from role_credentials_test import assert_refused, load  # noqa: F401  pylint: disable=unused-import
from servers.authority import Authority
from servers.server import run

BARE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def resolve(request):
    """resolve([(service, region, environment[, bucket, key]), …]): our endpoint for each, as the driver prints it."""
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws/endpoint_driver"

    def run(wanted):
        asked = [dict(zip(("service", "region", "environment", "bucket", "key"), one)) for one in wanted]
        done = subprocess.run([driver], input=json.dumps(asked), env=BARE, capture_output=True, text=True, timeout=60,
                              check=True)
        return json.loads(done.stdout)

    return run


HOSTS = ["host", "S3.EU-WEST-1.Amazonaws.com", "127.0.0.1", "[::1]", "[FD00:EC2::254]", "a_b.Example"]
PORTS = ["", ":", ":80", ":443", ":080", ":0443", ":8080", ":08080", ":65535", ":1"]


def test_a_host_is_sent_and_signed_as_botocore_signs_it(resolve):
    urls = [f"{scheme}://{host}{port}/base" for scheme in ("http", "https", "HTTP", "HTTPS") for host in HOSTS
            for port in PORTS]
    answers = resolve([("s3", "eu-west-1", {"AWS_ENDPOINT_URL_S3": url}) for url in urls])
    for url, answer in zip(urls, answers):
        assert answer["host"] == botocore.auth._host_from_url(url), (url, answer)
        assert urlsplit(answer["origin"]).scheme == urlsplit(url).scheme
        assert answer["path"] == "/base"


KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
CALLS = {"s3": ("get_object", {"Bucket": "ships", "Key": "k"}), "secretsmanager": ("get_secret_value", {"SecretId": "x"}),
         "ecr": ("get_authorization_token", {}), "sts": ("get_caller_identity", {}),
         "logs": ("create_log_group", {"logGroupName": "g"})}
FIPS, DUAL = {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "True"}


def url_of_botocore(service, region, environment, bucket="ships"):
    """Where botocore sends a request with this environment; "failure" if it sends none."""
    operation, parameters = CALLS[service]
    sent = []

    def take(request, **_):
        sent.append(request.url)
        return botocore.awsrequest.AWSResponse(request.url, 403, {}, None)

    with mock.patch.dict(os.environ, {**BARE, **KEYS, "AWS_STS_REGIONAL_ENDPOINTS": "regional", **environment},
                         clear=True):
        try:
            client = botocore.session.Session().create_client(service, region_name=region)
            client.meta.events.register("before-send", take)
            if service == "s3":
                parameters = {**parameters, "Bucket": bucket}
            getattr(client, operation)(**parameters)
        except Exception as failure:  # pylint: disable=broad-except
            return sent[0] if sent else f"failure: {failure}"
    return sent[0]


def assert_like_botocore(resolve, rows):
    """But for a path-style bucket at a FIPS host, which this botocore refuses and later ones do not."""
    answers = resolve(rows)
    assert len(answers) == len(rows)
    for row, answer in zip(rows, answers):
        theirs = url_of_botocore(*row[:4])
        ours = answer["origin"] + (answer["path"] or "/") if answer["rc"] == "ok" else "failure"
        if "Path-style addressing cannot be used with FIPS" in theirs:
            theirs = "https://s3-fips" + (".dualstack" if "dualstack" in ours else "") + f".{row[1]}.amazonaws.com/{row[3]}/k"
        assert ours == theirs or ours == "failure" == theirs[:7], (row, answer, theirs)


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-2", "cn-north-1", "us-gov-west-1"])
@pytest.mark.parametrize("service", CALLS)
def test_fips_and_dual_stack_hosts_are_botocores(resolve, service, region):
    more = ("ships", "k") if service == "s3" else ()
    rows = [(service, region, environment, *more)
            for environment in ({}, FIPS, DUAL, {**FIPS, **DUAL}, {"AWS_USE_FIPS_ENDPOINT": "yes"},
                                {"AWS_USE_DUALSTACK_ENDPOINT": "false"})]
    if service == "ecr":  # its dual-stack hosts came later than this botocore, which has others
        dual, both = rows.pop(2), rows.pop(2)
        domain = "api.amazonwebservices.com.cn" if region == "cn-north-1" else "api.aws"
        assert [answer["origin"] for answer in resolve([dual, both])] == \
            [f"https://ecr.{region}.{domain}", f"https://ecr-fips.{region}.{domain}"]
        rows = [row for row in rows if not (region == "cn-north-1" and row[2] == FIPS)]
    if service == "secretsmanager":  # its usual hosts have IPv6, which this botocore does not know yet
        dual, both = rows.pop(2), rows.pop(2)
        domain = "amazonaws.com.cn" if region == "cn-north-1" else "amazonaws.com"
        assert [answer["origin"] for answer in resolve([dual, both])] == \
            [f"https://secretsmanager.{region}.{domain}", f"https://secretsmanager-fips.{region}.{domain}"]
    assert_like_botocore(resolve, rows)


@pytest.fixture
def settings(folder):
    """settings(config, credentials, **environment): an environment with these files in its home."""
    def make(config="", credentials=None, **environment):
        settings.made += 1
        home = folder / f"home-{settings.made}"
        (home / ".aws").mkdir(parents=True)
        (home / ".aws/config").write_text(config)
        if credentials is not None:
            (home / ".aws/credentials").write_text(credentials)
        return {**environment, "HOME": str(home)}

    settings.made = 0
    return make


def test_s3_styles_and_variants_of_a_profile_are_botocores(resolve, settings):
    environments = [settings(f"[default]\ns3 =\n  addressing_style = {style}\n", **more)
                    for style in ("path", "virtual", "auto", "Path") for more in ({}, FIPS, DUAL)]
    environments += [
        settings("[default]\ns3 =\n  use_dualstack_endpoint = true\n"),
        settings("[default]\ns3 =\n  use_dualstack_endpoint = true\n  addressing_style = path\n"),
        settings("[default]\ns3 =\n  use_dualstack_endpoint = false\n", **DUAL),
        settings("[default]\nuse_dualstack_endpoint = true\nuse_fips_endpoint = true\n"),
        settings("[default]\nuse_fips_endpoint = true\n", AWS_USE_FIPS_ENDPOINT="false"),
        settings("[default]\n[profile b]\nuse_fips_endpoint = true\n", AWS_PROFILE="b"),
        settings("[profile a]\n[profile b]\nuse_fips_endpoint = true\n", AWS_PROFILE="a", AWS_DEFAULT_PROFILE="b"),
        settings("[profile a]\n[profile b]\nuse_fips_endpoint = true\n", AWS_PROFILE="b", AWS_DEFAULT_PROFILE="a"),
        settings("[default]\nuse_fips_endpoint = false\n", "[default]\nuse_fips_endpoint = true\n"),
        settings("", "[default]\nuse_fips_endpoint = true\n"),
    ]
    assert_like_botocore(resolve, [("s3", "eu-west-1", environment, bucket, "k")
                                   for environment in environments for bucket in ("ships", "with.dots")])


@pytest.mark.parametrize("service", ["logs", "sts"])
def test_variants_of_a_profile_are_botocores(resolve, settings, service):
    assert_like_botocore(resolve, [(service, "eu-west-1", environment) for environment in (
        settings("[default]\nuse_dualstack_endpoint = true\n"),
        settings("[default]\nuse_fips_endpoint = true\n", AWS_USE_DUALSTACK_ENDPOINT="true"),
        settings("[default]\ns3 =\n  use_dualstack_endpoint = true\n"),
    )])


# This botocore (1.29) knows nothing of what follows; it is what the AWS SDKs and Tools Reference Guide says in
# "Service-specific endpoints". Environment, config file: what is reached for S3 and for ECR.
USUAL_S3, USUAL_ECR = "https://s3.eu-west-1.amazonaws.com", "https://api.ecr.eu-west-1.amazonaws.com"
SERVICES = "[default]\nservices = dev\nendpoint_url = http://profile\n[services dev]\ns3 =\n  endpoint_url = http://section\n"
ENDPOINTS = {
    "nothing": ({}, "", USUAL_S3, USUAL_ECR),
    "profile": ({}, "[default]\nendpoint_url = http://profile:1/base/\n", "http://profile:1", "http://profile:1"),
    "section before profile": ({}, SERVICES, "http://section", "http://profile"),
    "variable before section": ({"AWS_ENDPOINT_URL": "http://all"}, SERVICES, "http://all", "http://all"),
    "variable of the service": ({"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://one"}, SERVICES,
                                "http://one", "http://all"),
    "variable of the service alone": ({"AWS_ENDPOINT_URL_ECR": "http://one"}, SERVICES, "http://section", "http://one"),
    "empty variables": ({"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": ""}, SERVICES, "http://section",
                        "http://profile"),
    "ignored": ({"AWS_ENDPOINT_URL": "http://all", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, SERVICES, USUAL_S3,
                USUAL_ECR),
    "ignored by the profile": ({"AWS_ENDPOINT_URL_S3": "http://one"},
                               SERVICES.replace("services = dev", "services = dev\nignore_configured_endpoint_urls = True"),
                               USUAL_S3, USUAL_ECR),
    "not ignored": ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"}, SERVICES, "http://section", "http://profile"),
    "another profile's": ({"AWS_PROFILE": "b"}, SERVICES + "[profile b]\nregion = x\n", USUAL_S3, USUAL_ECR),
    "fips but for a named one": ({**FIPS, "AWS_ENDPOINT_URL_S3": "http://one"}, "", "http://one",
                                 "https://ecr-fips.eu-west-1.amazonaws.com"),
    "dual-stack but for a named one": ({**DUAL, "AWS_ENDPOINT_URL_ECR": "http://one"}, "",
                                       "https://s3.dualstack.eu-west-1.amazonaws.com", "http://one"),
    "both of a named one": ({**FIPS, **DUAL}, SERVICES, "http://section", "http://profile"),
    "dual-stack of S3, which is named": (
        {}, SERVICES.replace("[services", "s3 =\n  use_dualstack_endpoint = true\n[services"), "http://section",
        "http://profile"),
    # "" is a failure.
    "no such section": ({}, "[default]\nservices = gone\n", "", ""),
    "no address": ({}, "[default]\nendpoint_url = profile\n", "", ""),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_named_endpoints_are_the_reference_guides(resolve, settings, name):
    environment, config, s3, ecr = ENDPOINTS[name]
    environment = settings(config, **environment)
    answers = resolve([("s3", "eu-west-1", environment), ("ecr", "eu-west-1", environment)])
    assert [answer["origin"] for answer in answers] == [s3, ecr], answers
    for answer in answers:
        assert answer["rc"] == ("ok" if answer["origin"] else "invalid"), answer


def test_a_setting_of_the_files_is_named_where_it_is_wrong(resolve, settings):
    answers = resolve([("s3", "eu-west-1", settings(config)) for config in (
        "[default]\nendpoint_url = profile\n", "[default]\nservices = gone\n",
        "[default]\nservices = dev\n[services dev]\ns3 =\n  endpoint_url = x\n", "[default]\nrubbish\n")])
    for answer, words in zip(answers, ("endpoint_url of the AWS profile is no", "no section [services gone]",
                                       "endpoint_url of the AWS profile's services section is no", "line 2 is neither")):
        assert words in answer["message"], answer


@pytest.fixture
def tls_server(sandbox):
    """Its address and its authority: a server that has nothing."""
    authority = Authority(sandbox / "system-ca", "A system's authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.daemon_threads, server.block_on_close = True, False
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", authority
    server.shutdown()
    server.server_close()


def test_a_ca_bundle_replaces_the_systems_authorities(request, sandbox, folder, settings, tls_server):
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws/s3_driver"
    address, authority = tls_server
    stranger = Authority(sandbox / "other-ca", "Another authority")
    digest = run("openssl", "x509", "-noout", "-hash", "-in", authority.certificate).stdout.strip()
    (folder / f"{digest}.0").write_bytes(authority.certificate.read_bytes())
    (folder / "ca-certificates.crt").write_bytes(authority.certificate.read_bytes())

    def ask(config="", **environment):
        environment = settings(config, **BARE, **KEYS, AWS_ENDPOINT_URL_S3=address, **environment)
        words = ["unshare", "-m", "sh", "-c", f'mount --bind {folder} /etc/ssl/certs && exec "$0" "$1"', driver,
                 json.dumps({"bucket": "ships", "key": "k", "region": "eu-west-1"})]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)["message"]

    reached, refused = "answers HTTP 501", "is not accepted"
    assert reached in ask()
    assert refused in ask(AWS_CA_BUNDLE=str(stranger.certificate))
    assert refused in ask(f"[default]\nca_bundle = {stranger.certificate}\n")
    assert reached in ask(f"[default]\nca_bundle = {stranger.certificate}\n", AWS_CA_BUNDLE=str(authority.certificate))
    assert "ca_bundle names '/none'" in ask("[default]\nca_bundle = /none\n")
    (folder / f"{digest}.0").unlink()
    (folder / "ca-certificates.crt").write_bytes(stranger.certificate.read_bytes())
    assert refused in ask()
    assert reached in ask(f"[default]\nca_bundle = {authority.certificate}\n")


def test_the_metadata_service_is_where_the_settings_say(role_credentials, settings, load):  # noqa: F811
    on = {"AWS_EC2_METADATA_DISABLED": "false"}
    address = role_credentials.metadata_environment()["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    endpoint = f"[default]\nec2_metadata_service_endpoint = {address}\n"
    quick = {"timeout_ms": 300, "attempts": 1}
    assert load({"timeout_ms": 10000}, **settings(endpoint, **on))[0]["id"] == "ASIA0001"
    assert load({"timeout_ms": 10000}, **settings(
        endpoint + "ec2_metadata_service_endpoint_mode = IPv6\n", **on))[0]["id"] == "ASIA0002"
    assert_refused(load(quick, **settings(endpoint, AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1", **on)),
                   "not found", "127.0.0.1:1")
    for config, more in (("[default]\nec2_metadata_service_endpoint_mode = ipv6\n", {}),
                         ("", {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}),
                         ("[default]\nimds_use_ipv6 = true\n", {})):
        assert_refused(load(quick, **settings(config, **on, **more)), "not found", "[fd00:ec2::254]")
    assert_refused(load(quick, **settings("[default]\nec2_metadata_service_endpoint_mode = ipv6\n",
                                          AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE="IPv4", **on)),
                   "not found", "169.254.169.254")
    assert_refused(load(quick, **settings("", AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE="6", **on)), "invalid",
                   "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be IPv4 or IPv6")
