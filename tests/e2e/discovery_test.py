# SPDX-License-Identifier: Apache-2.0
"""The discovery endpoint: who gets the group, what everybody else gets, and that nobody keeps it from the others."""
import json
import pathlib
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import time

import pytest

from discovery_endpoint import CORE, GROUP, LENGTH, STATUS, Answer, Endpoint, capabilities, close_all, is_closed, read_all
from servers.authority import Authority
from servers.server import free_port, run, wait_until
from users import add_user

PATH = b"/greengrass/discover/thing/"
HOST = b"Host: localhost\r\n"
REQUEST_S = 10  # from the connection to the end of the request's head
RETRY_S = 30  # until an optional port is tried again
EACH = 16  # connections of one address
ALL = 64


@pytest.fixture
def endpoint(folder, programs, authority):
    made = Endpoint(folder, programs / "lighterman-discovery", authority)
    yield made
    made.finish()


@pytest.fixture(scope="session")
def discovery_user(sandbox):
    return add_user("lmdiscovery")


@pytest.fixture
def user_endpoint(folder, programs, authority, discovery_user):
    made = Endpoint(folder, programs / "lighterman-discovery", authority, discovery_user)
    yield made
    made.finish()


@pytest.fixture(scope="session")
def foreign_authority(sandbox):
    return Authority(sandbox / "foreign-authority", "Another authority")


# The answer.

def test_answers_a_thing_with_the_group(endpoint):
    pair = endpoint.add_issued("MyDockerDevice")
    endpoint.start()
    answer = endpoint.ask("MyDockerDevice", pair)
    assert answer.status == 200
    assert answer.json == {"GGGroups": [{"GGGroupId": GROUP, "Cores": [{"thingArn": CORE, "Connectivity": [
        {"Id": "AUTOIP_172.17.0.1_1", "HostAddress": "172.17.0.1", "PortNumber": 8883, "Metadata": ""},
        {"Id": "AUTOIP_127.0.0.1_2", "HostAddress": "127.0.0.1", "PortNumber": 8883, "Metadata": ""}]}],
        "CAs": [endpoint.authority.certificate.read_text()]}]}
    assert answer.field("content-type") == "application/json" and answer.field("connection") == "close"
    assert b"transfer-encoding" not in answer.head.lower()
    assert answer.head.lower().count(b"content-length") == 1
    assert "[INFO]" in endpoint.log and "'MyDockerDevice' at 127.0.0.1 has discovered the group" in endpoint.log


def test_the_python_sdk_can_read_the_answer(endpoint):
    """Byte by byte to the end of the head, then its two patterns, then exactly as many bytes as were announced."""
    pair = endpoint.add_issued("MyDockerDevice")
    endpoint.start()
    with endpoint.connected(pair) as tls:
        tls.sendall(b"GET " + PATH + b"MyDockerDevice HTTP/1.1\r\n" + HOST + b"\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += tls.recv(1)
        assert STATUS.match(head)[1] == b"200"
        length = int(LENGTH.search(head)[1])
        body = b""
        while len(body) < length:
            body += tls.recv(1)
        assert json.loads(body)["GGGroups"][0]["GGGroupId"] == GROUP
        assert tls.recv(1) == b""


def test_curl_gets_it_over_ipv4_and_ipv6(endpoint):
    certificate, key = endpoint.add_issued("MyDockerDevice")
    endpoint.start()
    for host in ("127.0.0.1", "[::1]"):
        done = run("curl", "-sS", "--fail", "--http1.1", "--cacert", endpoint.authority.certificate, "--cert", certificate,
                   "--key", key, f"https://{host}:{endpoint.port}/greengrass/discover/thing/MyDockerDevice")
        assert json.loads(done.stdout)["GGGroups"][0]["GGGroupId"] == GROUP
    assert "'MyDockerDevice' at ::1 has" in endpoint.log


# Everybody else.

@pytest.fixture
def crowd(endpoint, foreign_authority):
    """Certificates of every kind, by name."""
    mine, other = endpoint.add_issued("Mine", "Other")
    pairs = {"mine": mine, "other": other, "none": None, "unregistered": endpoint.authority.issue("unregistered"),
             "foreign": foreign_authority.issue("foreign"),
             "expired": endpoint.authority.issue("expired", days=-1),
             "early": endpoint.authority.issue("early", days=2, from_days=1)}
    # Registered, so that only their own fault is in the way.
    for name in ("foreign", "expired", "early"):
        endpoint.add(name, pairs[name][0])
    endpoint.start()
    return pairs


@pytest.mark.parametrize("who, thing, status, reason", [
    ("none", "Mine", 401, "it has no certificate"),
    ("unregistered", "Mine", 401, "its certificate is not registered"),
    ("foreign", "foreign", 401, "unable to get local issuer certificate"),
    ("expired", "expired", 401, "certificate has expired"),
    ("early", "early", 401, "certificate is not yet valid"),
    ("other", "Mine", 403, "its certificate is another thing's"),
    ("mine", "Nobody", 404, "the group has no such thing"),
    ("none", "Nobody", 401, "it has no certificate"),
    ("mine", "mine", 404, "the group has no such thing"),
    ("mine", "a/b", 400, "no thing can have this name"),
    ("mine", "", 400, "no thing can have this name"),
    ("mine", "Mine%2F..", 400, "no thing can have this name"),
    ("mine", "M" * 129, 400, "no thing can have this name"),
])
def test_nobody_else_gets_it(endpoint, crowd, who, thing, status, reason):
    answer = endpoint.ask(thing, crowd[who])
    assert answer.status == status
    assert set(answer.json) == {"message"} and int(answer.field("content-length")) == len(answer.body)
    wait_until(lambda: f"answered 127.0.0.1 with status {status}: {reason}" in endpoint.log, 10, lambda: endpoint.log)
    assert endpoint.log.count("[WARN]") == 1
    assert endpoint.ask("Mine", crowd["mine"]).status == 200


@pytest.mark.parametrize("request_bytes, status", [
    (b"POST " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", 405),
    (b"DELETE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    (b"HEAD " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    (b"GET " + PATH + b"Mine HTTP/1.1\r\n\r\n", 400),
    (b"GET " + PATH + b"Mine\r\n\r\n", 400),
    (b"GET " + PATH + b"M\0ine HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"\r\n\r\n", 400),
    (b"\xff\xfe\x00\x01\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"A: " + 9000 * b"a" + b"\r\n\r\n", 431),
    (b"GET " + PATH + 9000 * b"a", 431),
    (b"GET " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"Content-Length: 40000\r\n\r\n" + 40000 * b"x", 200),
    (b"GET " + PATH + b"Mine HTTP/1.0\r\n\r\n", 200),
])
def test_answers_every_request_with_the_right_status(endpoint, crowd, request_bytes, status):
    answer = endpoint.send(request_bytes, crowd["mine"])
    assert answer.status == status
    assert answer.field("allow") == ("GET" if status == 405 else None)
    assert bool(answer.body) == (not request_bytes.startswith(b"HEAD "))
    assert LENGTH.search(answer.head)


def test_a_thing_may_have_several_certificates(endpoint):
    first, second = endpoint.authority.issue("several-1"), endpoint.authority.issue("several-2")
    endpoint.add("MyDockerDevice", first[0], second[0])
    endpoint.start()
    assert [endpoint.ask("MyDockerDevice", pair).status for pair in (first, second)] == [200, 200]


def test_a_second_ca_for_clients_is_taken(endpoint, foreign_authority):
    """As of the devices that have certificates of AWS IoT."""
    theirs = foreign_authority.issue("theirs")
    endpoint.add("MyDockerDevice", theirs[0])
    with open(endpoint.files / "client-ca.pem", "a", encoding="ascii") as file:
        file.write(foreign_authority.certificate.read_text())
    endpoint.start()
    assert endpoint.ask("MyDockerDevice", theirs).status == 200


# TLS.

def test_alpn_is_answered_and_not_needed(endpoint):
    pair = endpoint.add_issued("MyDockerDevice")
    endpoint.start()
    for offered, chosen in ((["x-amzn-http-ca"], "x-amzn-http-ca"), (["h2", "http/1.1"], "http/1.1"), (None, None)):
        with endpoint.connected(pair, alpn=offered) as tls:
            assert tls.selected_alpn_protocol() == chosen
        assert endpoint.ask("MyDockerDevice", pair, alpn=offered).status == 200


def test_tls_refuses_with_an_alert(endpoint):
    pair = endpoint.add_issued("MyDockerDevice")
    endpoint.start()
    with pytest.raises(ssl.SSLError, match="(?i)no application protocol"):
        endpoint.ask("MyDockerDevice", pair, alpn=["h2"])
    old = run("openssl", "s_client", "-connect", f"127.0.0.1:{endpoint.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0",
              check=False)
    assert "alert protocol version" in old.stderr
    endpoint.wait_log("closed a connection of 127.0.0.1: unsupported protocol")
    assert endpoint.ask("MyDockerDevice", pair).status == 200


def test_a_session_cannot_be_resumed(endpoint):
    """It would skip the check of the client's certificate."""
    pair = endpoint.add_issued("MyDockerDevice")
    endpoint.start()
    context = endpoint.context(pair)
    session = None
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = version
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", endpoint.port), timeout=20) as plain:
                with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                    tls.sendall(b"GET " + PATH + b"MyDockerDevice HTTP/1.1\r\n" + HOST + b"\r\n")
                    assert Answer(read_all(tls)).status == 200
                    assert not tls.session_reused
                    session = tls.session
        session = None


def test_plain_http_and_noise_close_the_connection(endpoint):
    endpoint.start()
    for noise in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2000 * b"\xff", b"\x16\x03\x01\xff\xff" + 5000 * b"\0"):
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=20) as plain:
            plain.sendall(noise)
            plain.shutdown(socket.SHUT_WR)
            try:
                read_all(plain)
            except ConnectionResetError:
                pass
    endpoint.wait_log("closed a connection of 127.0.0.1: http request")


def _flight(endpoint, pair, steps):
    """The bytes of each of a client's sendings, of a connection that ends after so many of them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = endpoint.context(pair).wrap_bio(incoming, outgoing, server_hostname="localhost")
    sent = []
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=20, source_address=("127.0.0.1", 0)) as plain:
        while len(sent) < steps:
            try:
                tls.do_handshake()
                tls.write(b"GET " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"\r\n")
            except ssl.SSLWantReadError:
                pass
            sent.append(outgoing.read())
            plain.sendall(sent[-1])
            if len(sent) < steps:
                incoming.write(plain.recv(65536))
    return sent


def test_a_client_that_resets_the_connection_anywhere_breaks_nothing(endpoint):
    """After so many bytes of its first sending, and of its second one, which has certificate and request."""
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    hello, finish = _flight(endpoint, pair, 2)
    descriptors = pathlib.Path(f"/proc/{endpoint.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for at in range(0, len(hello) + len(finish), 29):
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=20,
                                      source_address=(f"127.0.2.{at % 250 + 1}", 0)) as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            plain.sendall(hello[:at])
            if at > len(hello):
                plain.recv(65536)
                plain.sendall(bytes(byte ^ (at % 3) for byte in finish[:at - len(hello)]))
    wait_until(lambda: len(list(descriptors.iterdir())) <= before, 20, "connections stay open")
    assert endpoint.ask("Mine", pair).status == 200


def test_a_client_that_only_connects_is_not_logged(endpoint):
    pair = endpoint.add_issued("MyDockerDevice")
    endpoint.start()
    endpoint.idle(1, "127.0.0.1")[0].close()
    with endpoint.connected(pair):
        pass
    assert endpoint.ask("MyDockerDevice", pair).status == 200
    assert "[WARN]" not in endpoint.log


# Limits.

def test_a_certificate_that_asks_too_often_gets_429(endpoint):
    mine, other = endpoint.add_issued("Mine", "Other")
    endpoint.start()
    begin = time.monotonic()
    statuses = [endpoint.ask("Mine", mine).status for _ in range(25)]
    seconds = time.monotonic() - begin
    assert statuses[:10] == 10 * [200]
    assert 10 <= statuses.count(200) <= 10 + seconds + 1 and set(statuses) == {200, 429}
    answer = endpoint.ask("Mine", mine)
    assert answer.status == 429 and int(answer.field("retry-after")) > 0
    assert endpoint.ask("Other", other).status == 200
    wait_until(lambda: endpoint.ask("Mine", mine).status == 200, 10, "it never gets it again")


def test_an_address_without_certificate_that_asks_too_often_gets_429(endpoint):
    pair = endpoint.add_issued("Mine")
    unregistered = endpoint.authority.issue("unregistered")
    endpoint.start()
    statuses = [endpoint.ask("Mine", unregistered if i % 2 else None).status for i in range(60)]
    assert statuses[:20] == 20 * [401] and statuses.count(429) > 10
    assert endpoint.ask("Mine", source="127.0.0.2").status == 401
    assert endpoint.ask("Mine", pair).status == 200  # from the same address
    assert endpoint.log.count("[WARN]") < 30


def test_lines_that_are_left_out_are_counted(endpoint):
    endpoint.start()
    for _ in range(30):
        endpoint.ask("Mine")
    assert endpoint.ask("Mine", source="127.0.0.2").status == 401
    endpoint.wait_log("more lines about refused clients were left out)")
    assert endpoint.log.count("[WARN]") < 20


def test_a_slow_client_is_closed_and_keeps_nobody_waiting(endpoint):
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    begin = time.monotonic()
    with endpoint.connected(pair, source="127.0.0.2") as slow:
        silent = endpoint.idle(1, "127.0.0.3")[0]
        for byte in b"GET " + PATH + 100 * b"a":
            if select.select([slow], [], [], 0.5)[0]:
                break
            slow.sendall(bytes([byte]))
            assert time.monotonic() - begin < REQUEST_S + 5
            if int((time.monotonic() - begin) * 2) % 6 == 0:
                assert endpoint.ask("Mine", pair).status == 200
        assert REQUEST_S - 1 < time.monotonic() - begin < REQUEST_S + 3
        assert is_closed(silent)
        silent.close()
    assert "closed a connection of 127.0.0.2: the request was not complete within 10 s" in endpoint.log
    assert "closed a connection of 127.0.0.3: the TLS handshake was not complete within 10 s" in endpoint.log


def test_an_address_has_a_ceiling_of_connections(endpoint):
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    held = endpoint.idle(EACH, "127.0.0.2")
    more = endpoint.idle(1, "127.0.0.2")
    assert is_closed(more[0])
    assert endpoint.ask("Mine", pair).status == 200
    endpoint.wait_log("closed a connection of 127.0.0.2: it has too many")
    held.pop().close()
    wait_until(lambda: _is_served(endpoint, pair, "127.0.0.2"), 10, "its place is not free again")
    close_all(held + more)


def _is_served(endpoint, pair, source):
    try:
        return endpoint.ask("Mine", pair, source=source).status == 200
    except (ConnectionError, ssl.SSLError):
        return False


def test_many_connections_keep_nobody_out(endpoint):
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    held = [sock for i in range(2 * ALL // EACH) for sock in endpoint.idle(EACH, f"127.0.0.{10 + i}")]
    assert endpoint.ask("Mine", pair).status == 200
    open_ones = [sock for sock in held if not select.select([sock], [], [], 0)[0]]
    assert len(open_ones) <= ALL
    close_all(held)
    wait_until(lambda: _is_served(endpoint, pair, "127.0.0.10"), 10, "nobody is served afterwards")


def test_connects_that_come_too_fast_are_closed(endpoint):
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    for _ in range(300):
        endpoint.idle(1, "127.0.0.2")[0].close()
    endpoint.wait_log("closed a connection of 127.0.0.2: it has too many")
    assert endpoint.ask("Mine", pair).status == 200


def test_goes_on_without_descriptors_and_after(endpoint):
    pair = endpoint.add_issued("Mine")
    endpoint.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    held = endpoint.idle(EACH, "127.0.0.2") + endpoint.idle(EACH, "127.0.0.3")
    endpoint.wait_log("cannot accept connections: Too many open files, retrying every second")
    close_all(held)
    wait_until(lambda: _is_served(endpoint, pair, "127.0.0.1"), 20, "nobody is served afterwards")


def test_takes_a_few_megabytes(endpoint, programs):
    """With 2,500 things, after 300 requests."""
    program = pathlib.Path(__file__).resolve().parents[2] / "build/bin/lighterman-discovery"
    endpoint.program = program
    pair = endpoint.add_issued("Mine")
    for i in range(2499):
        endpoint.document["devices"].append({"name": f"Thing-{i}", "certificates": [f"{i:064x}"]})
    endpoint.start()
    for i in range(300):
        assert endpoint.ask("Mine", pair, source=f"127.0.1.{i % 250 + 1}").status in (200, 429)
    kilobytes = int(capabilities(endpoint.process.pid)["RssAnon"].split()[0])
    print(f"{kilobytes} KiB of its own")
    assert kilobytes < 4096


# Reload.

def test_a_removed_certificate_is_refused_from_the_reload_on(endpoint):
    mine, other = endpoint.add_issued("Mine", "Other")
    endpoint.start()
    with endpoint.connected(mine) as before:
        assert endpoint.ask("Mine", mine).status == 200
        endpoint.document["devices"][0]["certificates"] = []
        endpoint.reload()
        assert endpoint.ask("Mine", mine).status == 401
        # A connection that is older than that does not help, and is not dropped either.
        before.sendall(b"GET " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"\r\n")
        assert Answer(read_all(before)).status == 401
    assert endpoint.ask("Other", other).status == 200


def test_a_reload_takes_the_new_certificate_and_drops_no_connection(endpoint):
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    held = endpoint.idle(1, "127.0.0.1")[0]
    with endpoint.connected(pair) as before:
        assert dict(before.getpeercert()["subject"][0])["commonName"] == "discovery-server"
        endpoint.put_identity("discovery-renewed")
        endpoint.document["addresses"] = ["10.0.0.1"]
        endpoint.reload()
        with endpoint.connected(pair) as after:
            assert dict(after.getpeercert()["subject"][0])["commonName"] == "discovery-renewed"
        before.sendall(b"GET " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"\r\n")
        core = Answer(read_all(before)).json["GGGroups"][0]["Cores"][0]
        assert [entry["HostAddress"] for entry in core["Connectivity"]] == ["10.0.0.1"]
    with endpoint.context(pair).wrap_socket(held, server_hostname="localhost") as tls:
        tls.sendall(b"GET " + PATH + b"Mine HTTP/1.1\r\n" + HOST + b"\r\n")
        assert Answer(read_all(tls)).status == 200


@pytest.mark.parametrize("name, text", [
    ("discovery.json", "{"), ("discovery.json", "{\"format\":2}"), ("discovery.json", None), ("server.key", "no key"),
    ("server.key", None), ("server.pem", "no certificate"), ("client-ca.pem", "no CA"), ("client-ca.pem", None),
])
def test_a_broken_file_keeps_what_was_read_before(endpoint, name, text):
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    path = endpoint.files / name
    good = path.read_text()
    path.unlink()
    if text is not None:
        path.write_text(text)
    endpoint.reload(write=False)
    errors = [line for line in endpoint.log.splitlines() if "[ERROR]" in line]
    assert len(errors) == 1 and str(path) in errors[0]
    assert "cannot reload, and goes on with what was read before: " in errors[0]
    assert endpoint.ask("Mine", pair).status == 200
    path.write_text(good)
    endpoint.reload(write=False)
    assert endpoint.ask("Mine", pair).status == 200
    assert endpoint.log.count("[ERROR]") == 1


def test_a_key_of_another_certificate_keeps_what_was_read_before(endpoint):
    """As between the writing of the one file and of the other."""
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    shutil.copy(endpoint.authority.issue("discovery-renewed")[1], endpoint.files / "server.key")
    endpoint.reload()
    assert "server.key' cannot be used: " in endpoint.log
    assert endpoint.ask("Mine", pair).status == 200


def test_a_reload_changes_the_ports(endpoint):
    pair = endpoint.add_issued("Mine")
    old, new = endpoint.port, free_port()
    endpoint.start()
    endpoint.document["listen"] = [{"port": new}, {"port": old}]
    endpoint.reload()
    assert [endpoint.ask("Mine", pair, port=port).status for port in (old, new)] == [200, 200]
    endpoint.document["listen"] = [{"port": new}]
    endpoint.reload()
    assert endpoint.ask("Mine", pair, port=new).status == 200
    with pytest.raises(ConnectionRefusedError):
        endpoint.ask("Mine", pair, port=old)
    with socket.create_server(("127.0.0.1", old)):
        endpoint.document["listen"] = [{"port": new}, {"port": old}]
        endpoint.reload()
        assert f"cannot listen on port {old}: Address already in use, retrying every 30 s" in endpoint.log
        assert endpoint.ask("Mine", pair, port=new).status == 200


def test_reloads_one_after_the_other_while_clients_ask(endpoint):
    pair = endpoint.add_issued("Mine")
    endpoint.start()
    for i in range(60):
        endpoint.document["port"] = 1024 + i
        endpoint.reload()
        answer = endpoint.ask("Mine", pair)
        if answer.status == 200:
            assert answer.json["GGGroups"][0]["Cores"][0]["Connectivity"][0]["PortNumber"] == 1024 + i
        else:
            assert answer.status == 429


# Start and end.

def test_an_optional_port_that_is_taken_is_tried_again(endpoint):
    pair = endpoint.add_issued("Mine")
    extra = free_port()
    endpoint.document["listen"].append({"port": extra, "optional": True})
    with socket.create_server(("127.0.0.1", extra)):
        endpoint.start()
        assert endpoint.ask("Mine", pair).status == 200
        endpoint.reload()
        assert endpoint.log.count(f"cannot listen on port {extra}: Address already in use, retrying every 30 s") == 1
    endpoint.wait_log(f"listening on port {extra} now", RETRY_S + 5)
    assert endpoint.ask("Mine", pair, port=extra).status == 200


def test_a_port_that_is_needed_and_taken_is_an_error(endpoint):
    with socket.create_server(("127.0.0.1", endpoint.port)):
        endpoint.launch()
        assert endpoint.process.wait(30) == 1
    endpoint.process = None
    assert f"lighterman-discovery cannot start: cannot listen on port {endpoint.port}: Address already in use" in endpoint.log


@pytest.mark.parametrize("name", ["discovery.json", "server.key", "server.pem", "client-ca.pem"])
def test_a_missing_file_is_an_error_that_names_it(endpoint, name):
    endpoint.write()
    write, endpoint.write = endpoint.write, lambda: None
    (endpoint.files / name).unlink()
    endpoint.launch()
    assert endpoint.process.wait(30) == 1
    endpoint.process = None
    endpoint.write = write
    assert f"'{endpoint.files / name}'" in endpoint.log and endpoint.log.count("\n") == 1


def test_runs_as_the_user_and_may_do_nothing_but_bind(user_endpoint, port_443, discovery_user):
    pair = user_endpoint.add_issued("Mine")
    user_endpoint.document["listen"].append({"port": 443})
    user_endpoint.start()
    seen = capabilities(user_endpoint.process.pid)
    assert set(seen["Uid"].split()) == set(seen["Gid"].split()) == {str(discovery_user.uid)}
    assert seen["Groups"].split() == [str(discovery_user.uid)]
    assert seen["CapPrm"] == seen["CapEff"] == "0000000000000400"  # CAP_NET_BIND_SERVICE
    assert int(seen["CapInh"], 16) == int(seen["CapAmb"], 16) == 0 and seen["NoNewPrivs"] == "1"
    assert [user_endpoint.ask("Mine", pair, port=port).status for port in (user_endpoint.port, 443)] == [200, 200]
    # The key is readable for that user alone, also at a reload.
    user_endpoint.put_identity("discovery-renewed")
    user_endpoint.document["listen"] = [{"port": 443}, {"port": user_endpoint.port}, {"port": 444}]
    user_endpoint.reload()
    assert "[ERROR]" not in user_endpoint.log
    assert user_endpoint.ask("Mine", pair, port=444).status == 200


def test_a_file_that_the_user_may_not_read_is_an_error_at_the_start(user_endpoint):
    (user_endpoint.files / "server.key").chmod(0)
    user_endpoint.launch()
    assert user_endpoint.process.wait(30) == 1
    user_endpoint.process = None
    assert "server.key' cannot be used" in user_endpoint.log


def test_an_unknown_user_is_an_error(programs, folder):
    done = run(programs / "lighterman-discovery", "--folder", folder, "--user", "nobody-of-that-name", check=False)
    assert done.returncode == 1 and "there is no user 'nobody-of-that-name' on this device" in done.stderr


def test_usage_errors(programs):
    program = programs / "lighterman-discovery"
    assert run(program, "--version").stdout.startswith("lighterman-discovery ")
    assert run(program, "--help").stdout.startswith("usage: lighterman-discovery --folder DIR")
    for words in ([], ["--folder"], ["--folder", "/x", "more"], ["--colour"]):
        done = run(program, *words, check=False)
        assert done.returncode == 64 and "usage: " in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_at_once_with_its_connections(endpoint, number):
    endpoint.start()
    held = endpoint.idle(5, "127.0.0.2")
    process, endpoint.process = endpoint.process, None
    process.send_signal(number)
    assert process.wait(5) == 0
    assert all(is_closed(sock) for sock in held)
    close_all(held)


def test_ends_with_the_parent_that_wants_it_to(user_endpoint):
    """lightermand asks for that, and the change of the user must not undo it."""
    user_endpoint.start(wrap=("sh", "-c", 'setpriv --pdeathsig TERM "$@" & wait', "sh"))
    children = pathlib.Path(f"/proc/{user_endpoint.process.pid}/task/{user_endpoint.process.pid}/children")
    pid = int(children.read_text(encoding="ascii"))
    assert pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii").startswith("lighterman-disc")
    process, user_endpoint.process = user_endpoint.process, None
    process.kill()
    process.wait()
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 10, "it lives on")
    assert "lighterman-discovery has exited" in user_endpoint.log


def test_shows_its_manager_that_it_is_alive(endpoint):
    endpoint.environment["WATCHDOG_USEC"] = "200000"
    endpoint.start()
    for _ in range(3):
        assert endpoint.notify.recv(4096) == b"WATCHDOG=1"


# The AWS IoT Device SDK v2 for JavaScript.

SCRIPT = """
const sdk = require("aws-iot-device-sdk-v2");
const [ca, certificate, key, thing, alpn] = process.argv.slice(1);
if (alpn === "no")  // as where its TLS has no ALPN: the client then takes port 8443
    require("aws-crt/dist/native/io").is_alpn_available = () => false;
const options = new sdk.io.TlsContextOptions();
options.override_default_trust_store_from_path(undefined, ca);
options.certificate_filepath = certificate;
options.private_key_filepath = key;
const client = new sdk.greengrass.DiscoveryClient(new sdk.io.ClientBootstrap(),
    new sdk.io.SocketOptions(sdk.io.SocketType.STREAM, sdk.io.SocketDomain.IPV4, 3000),
    new sdk.io.ClientTlsContext(options), "us-west-2", "localhost");
client.discover(thing).then(found => { console.log(JSON.stringify(found)); process.exit(0); },
    error => { console.log(JSON.stringify({code: error.response_code})); process.exit(0); });
"""


def _discover_with_sdk(endpoint, device_sdk, pair, thing, alpn):
    done = run("node", "-e", SCRIPT, endpoint.authority.certificate, *pair, thing, alpn, cwd=device_sdk,
               env={"PATH": "/usr/bin:/bin"})
    return json.loads(done.stdout)


@pytest.mark.parametrize("alpn, port", [("yes", 443), ("no", 8443)])
def test_the_javascript_sdk_discovers_the_group(endpoint, device_sdk, port_443, alpn, port):
    pair = endpoint.add_issued("MyDockerDevice")
    endpoint.add_issued("Other")
    endpoint.document["listen"] = [{"port": port}]
    endpoint.start()
    found = _discover_with_sdk(endpoint, device_sdk, pair, "MyDockerDevice", alpn)
    [group] = found["gg_groups"]
    assert group["gg_group_id"] == GROUP and group["certificate_authorities"] == [endpoint.authority.certificate.read_text()]
    [core] = group["cores"]
    assert core["thing_arn"] == CORE
    assert [(entry["host_address"], entry["port"]) for entry in core["connectivity"]] == [
        ("172.17.0.1", 8883), ("127.0.0.1", 8883)]
    assert _discover_with_sdk(endpoint, device_sdk, pair, "Other", alpn) == {"code": 403}
    assert _discover_with_sdk(endpoint, device_sdk, pair, "Nobody", alpn) == {"code": 404}
    assert _discover_with_sdk(endpoint, device_sdk, endpoint.authority.issue("unregistered"), "Other", alpn) == {"code": 401}
