# SPDX-License-Identifier: Apache-2.0
"""A real S3 server: OpenStack Swift with s3api and tempauth, one node, one replica.

It checks signatures, clock and region, and keeps versions. It ignores session tokens; an unknown version is
404 NoSuchKey, a malformed one 500.
"""
import contextlib
import glob
import http.client
import os
import subprocess
import urllib.request

import boto3
import botocore.config

from servers.server import Server, accepts, free_port, run, wait_until

PIPELINE = ("catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo "
            "versioned_writes symlink proxy-logging proxy-server")
# What swift-ring-builder does, which starts anew for each of its nine commands: folder, then kind=port for each backend.
RINGS = """
import sys
from swift.common.ring import RingBuilder
for word in sys.argv[2:]:
    kind, port = word.split("=")
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "replication_ip": "127.0.0.1",
                     "replication_port": int(port), "device": "d1", "weight": 1.0, "meta": ""})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{kind}.ring.gz")
"""
EGGS = {"cache": "memcache", "proxy-logging": "proxy_logging"}


class S3(Server):
    REGION = "eu-west-1"
    # The part of the access key before the colon is the account, which owns the buckets.
    ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
    # In the same account, but without any right.
    POOR_ACCESS_KEY, POOR_SECRET_KEY = "test:reader", "readersecret"

    def __init__(self, folder, certificate=None, key=None):
        """With a certificate and key (PEM files) it speaks HTTPS."""
        super().__init__(folder)
        self.tls = (certificate, key)
        self.port, self.memcached_port = free_port(), free_port()
        self.backends = {kind: free_port() for kind in ("account", "container", "object")}
        self.endpoint = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        (folder / "dev/d1").mkdir(parents=True)
        (folder / "cache").mkdir()
        run("/usr/bin/python3", "-c", RINGS, folder, *(f"{kind}={port}" for kind, port in self.backends.items()))
        for kind, port in self.backends.items():
            self._write_backend(kind, port)
        self._write_proxy()

    def commands(self):
        yield ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(self.memcached_port), "-U", "0", "-m", "16"]
        for kind in (*self.backends, "proxy"):
            yield self._swift(kind)

    def _swift(self, kind):
        return [f"swift-{kind}-server", str(self.folder / f"{kind}.conf"), "-v"]

    def is_ready(self):
        # /healthcheck answers before the servers behind the proxy do, and one that fails is left alone for a while.
        if not all(accepts(port) for port in (self.memcached_port, *self.backends.values(), self.port)):
            return False
        client = self.client()
        try:
            if all(bucket["Name"] != "is-ready" for bucket in client.list_buckets()["Buckets"]):
                client.create_bucket(Bucket="is-ready")
            client.put_object(Bucket="is-ready", Key="key", Body=b"")
            return True
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, http.client.HTTPException):
            return False

    def client(self, region=REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY):
        """A boto3 client, as the tests' own way in."""
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=region, aws_access_key_id=access_key,
                            aws_secret_access_key=secret_key, verify=False if self.tls[0] else None,
                            config=botocore.config.Config(s3={"addressing_style": "path"}, proxies={},
                                                          retries={"total_max_attempts": 1}))

    def environment(self, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION):
        """The variables with which a program of ours uses this server."""
        return {"AWS_ENDPOINT_URL_S3": self.endpoint, "AWS_REGION": region, "AWS_ACCESS_KEY_ID": access_key,
                "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_EC2_METADATA_DISABLED": "true"}

    def make_bucket(self, bucket, versions=False):
        self.client().create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": self.REGION})
        if versions:
            self.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return bucket

    def put(self, bucket, key, data):
        """Stores an object; returns its version, or None where the bucket keeps none."""
        return self.client().put_object(Bucket=bucket, Key=key, Body=data).get("VersionId")

    @contextlib.contextmanager
    def clock(self, offset):
        """Meanwhile its clock is `offset` ("-2h", "+2d") from ours. To a client that is its own clock being wrong."""
        library, = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        self._replace_proxy(LD_PRELOAD=library, FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
        try:
            yield
        finally:
            self._replace_proxy()

    def _replace_proxy(self, **environment):
        proxy = self.processes.pop()
        proxy.terminate()
        proxy.wait(self.STOP_S)
        with open(self.log_path, "ab") as log:
            proxy = subprocess.Popen(self._swift("proxy"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     env={**os.environ, **environment}, start_new_session=True)
        self.processes.append(proxy)
        wait_until(self._is_healthy, self.READY_S, lambda: f"no answer of the new proxy:\n{self.log()}",
                   hopeless=lambda: proxy.poll() is not None)

    def _is_healthy(self):
        """For a clock that no signature of ours would pass."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthcheck", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _write_backend(self, kind, port):
        self.write(f"{kind}.conf", f"""
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = root
swift_dir = {self.folder}
devices = {self.folder}/dev
mount_check = false
fallocate_reserve = 0
recon_cache_path = {self.folder}/cache
conn_timeout = 30
node_timeout = 60
log_udp_host =
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
""")

    def _write_proxy(self):
        certificate, key = self.tls
        settings = {
            "tempauth": f"user_test_tester = {self.SECRET_KEY} .admin\nuser_test_reader = {self.POOR_SECRET_KEY}",
            "s3api": f"location = {self.REGION}\nstorage_domain = s3.localhost",
            "cache": f"memcache_servers = 127.0.0.1:{self.memcached_port}",
            "versioned_writes": "allow_object_versioning = true",
        }
        text = f"""
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {self.port}
workers = 0
user = root
swift_dir = {self.folder}
log_udp_host =
"""
        if certificate:
            text += f"cert_file = {certificate}\nkey_file = {key}\n"
        text += f"""
[pipeline:main]
pipeline = {PIPELINE}
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
# One node, on a machine that may be busy: being slow must not look like an outage.
conn_timeout = 30
node_timeout = 60
error_suppression_limit = 1000000
"""
        for name in sorted(set(PIPELINE.split()[:-1])):
            text += f"[filter:{name}]\nuse = egg:swift#{EGGS.get(name, name)}\n{settings.get(name, '')}\n"
        self.write("proxy.conf", text)
