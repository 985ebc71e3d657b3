# SPDX-License-Identifier: Apache-2.0
"""Devices that are hostile, and peers that are none: what they send to the local broker reaches nobody whom no subscription
names, and disturbs nobody else. Packets are made by hand; a sanitized plugin finds its own faults meanwhile."""
import pathlib
import random
import signal
import ssl
import struct
import threading

import pytest

import raw_mqtt as mqtt
from raw_mqtt import Raw, Refused
from servers.local_broker import CONNECTOR, LAMBDA, PASSWORD, fingerprint
from servers.server import run, wait_until

FUNCTION = LAMBDA + "Counter:1"
OK = "ok"
TOPICS = ("ok", "secret", "$SYS/broker/uptime", "$SYS/broker/connection/x/state", "$CONTROL/dynamic-security/v1",
          "$share/g/ok", "$lighterman/cloud/ok", "$lighterman/sync/x", "$aws/things/B/shadow/update",
          "$aws/things/B/shadow/get/accepted", "ok/", "/ok", "OK", "o", "okk", "ok/x", "/", "a/" * 120, "x" * 300, "x" * 65535)
SEED = 20261129
MB = 1 << 20


@pytest.fixture
def broker(local_broker):
    """A may send OK to B; C, M and a function are in no subscription of it."""
    local_broker.add("A", "B", "C", "M")
    local_broker.route("A", OK, "B").route(FUNCTION, "count", "C")
    local_broker.start()
    return local_broker


def tls(broker, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(broker.authority.certificate)
    if certificate:
        context.load_cert_chain(*broker.authority.issue(certificate))
    return context


def device(broker, certificate, **more):
    """A connection with that device's certificate, over which nothing has been said."""
    return Raw(broker.port, tls(broker, certificate), **more)


def connected(broker, name, *filters, **more):
    client = device(broker, name).connect(name, **more)
    if filters:
        assert set(client.subscribe(*filters)) <= {0, 1}
    return client


def check_service(broker):
    """All is as before: A reaches B, and nobody else does."""
    with connected(broker, "A") as a, connected(broker, "B", "#", "+/+") as b, connected(broker, "C", "#", OK) as c:
        for client in (b, c):
            client.send(mqtt.publish(OK, b"forged"))
            client.ping()
        a.send(mqtt.publish(OK, b"alive"))
        a.ping()
        assert b.ping() == [(OK, b"alive")]
        assert c.ping() == []


def memory(broker):
    """Resident bytes of mosquitto."""
    return int(pathlib.Path(f"/proc/{broker.processes[0].pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


def is_sanitized(broker):
    return b"__asan_init" in broker.plugin.read_bytes()


@pytest.mark.parametrize("name", ["A", "B", "", "Core", "cloud", "GGShadowService", CONNECTOR, FUNCTION,
                                  "local.lighterman-cloud-0", "A\0", "a", "A ", "A/", "#", "+",
                                  "x" * 65535, "arn:aws:iot:us-west-2:123456789012:thing/M"])
def test_nobody_takes_a_name_that_is_not_theirs(broker, name):
    with connected(broker, "A") as a, connected(broker, "B", "#") as b:
        for where, context in ((broker.port, tls(broker, "M")), (broker.socket, None)):
            if where == broker.socket and name == FUNCTION:
                continue
            for more in ({}, {"clean": False}, {"version": 5}, {"username": CONNECTOR, "password": "guess"},
                         {"version": 0x84}, {"version": 3, "name": "MQIsdp"}, {"will": (OK, b"forged", 1, True)}):
                with Raw(where, context) as thief, pytest.raises(Refused):
                    thief.connect(name, **more).ping()
        # Those whose names were tried have noticed nothing.
        a.send(mqtt.publish(OK, b"alive"))
        a.ping()
        assert b.ping() == [(OK, b"alive")]


def test_the_connector_needs_its_password_and_the_socket(broker):
    for password in (None, "", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper()):
        with Raw(broker.socket) as thief, pytest.raises(Refused):
            thief.connect(CONNECTOR, username=CONNECTOR, password=password)
    for user in ("A", "", CONNECTOR[:-1] + "8"):
        with Raw(broker.socket) as thief, pytest.raises(Refused):
            thief.connect(CONNECTOR, username=user, password=PASSWORD)
    with device(broker, "M") as thief, pytest.raises(Refused):
        thief.connect(CONNECTOR, username=CONNECTOR, password=PASSWORD)
    with Raw(broker.socket) as right:
        right.connect(CONNECTOR, username=CONNECTOR, password=PASSWORD).ping()


def test_the_folder_says_who_may_use_the_socket(broker, stranger):
    script = f"import socket; socket.socket(socket.AF_UNIX).connect({str(broker.socket)!r})"
    words = ["setpriv", f"--reuid={stranger.name}", f"--regid={stranger.name}", "--clear-groups",
             "/usr/bin/python3", "-c", script]
    wait_until(lambda: run(*words, check=False).returncode == 0, 20, "another user cannot connect")
    broker.folder.chmod(0o750)
    assert "PermissionError" in run(*words, check=False).stderr
    broker.folder.chmod(0o755)


def test_a_certificate_of_another_authority_opens_nothing(broker, folder):
    from servers.authority import Authority

    stranger = Authority(folder / "stranger")
    context = tls(broker, None)
    context.load_cert_chain(*stranger.issue("A"))
    for context in (context, tls(broker, None)):
        with pytest.raises((ssl.SSLError, ConnectionError, Refused)):
            Raw(broker.port, context).connect("A")
    check_service(broker)


def test_a_second_connect_changes_nobody(broker):
    with connected(broker, "B", "#") as b:
        for name in ("A", "M"):
            with connected(broker, "M") as thief:
                thief.send(mqtt.connect(name), mqtt.publish(OK, b"forged"))
                assert thief.is_closed()
        assert b.ping() == []
    check_service(broker)


@pytest.mark.parametrize("before", [
    mqtt.publish(OK, b"forged"), mqtt.publish(OK, b"forged", qos=1), mqtt.subscribe("#"), mqtt.packet(mqtt.PINGREQ),
    mqtt.packet(mqtt.AUTH), mqtt.packet(mqtt.CONNACK, b"\0\0"), mqtt.packet(mqtt.PUBREL, b"\0\1", 2)])
def test_nothing_comes_before_the_connect(broker, before):
    with connected(broker, "B", "#") as b:
        with device(broker, "A") as thief:
            thief.send(before)
            assert thief.is_closed()
        with Raw(broker.socket) as thief:
            thief.send(before)
            assert thief.is_closed()
        assert b.ping() == []


def test_extended_authentication_is_no_way_in(broker):
    for method in ("", "PLAIN", "SCRAM-SHA-256"):
        props = ((mqtt.AUTH_METHOD, mqtt.text(method)), (mqtt.AUTH_DATA, mqtt.text(b"\0A\0secret")))
        for client in (device(broker, "M"), device(broker, "A"), Raw(broker.socket)):
            with client, pytest.raises(Refused):
                client.connect("A", version=5, props=props)
                client.ping()
    with connected(broker, "A", version=5) as a:
        a.send(mqtt.packet(mqtt.AUTH, b"\x19" + mqtt.properties(((mqtt.AUTH_METHOD, mqtt.text("PLAIN")),))))
        assert a.is_closed()
    check_service(broker)


def test_no_topic_leads_anywhere_that_no_subscription_names(broker):
    filters = ("#", "+/#", "$SYS/#", "$share/g/#", "$share/g/ok", "$CONTROL/#", "$lighterman/#", "$lighterman/cloud/#", "$aws/#",
               "$aws/things/+/shadow/#", "secret", "ok/#", "/#", "+")
    with connected(broker, "B") as b, connected(broker, "C") as c, connected(broker, "M") as m, connected(broker, "A") as a:
        for client in (b, c, m):
            codes = client.subscribe(*filters)
            assert [code == 0x80 for code in codes] == [name.startswith(("$SYS", "$share", "$CONTROL", "$lighterman"))
                                                        for name in filters]
        for sender in (a, m):
            for topic in TOPICS:
                for qos in (0, 1):
                    for retain in (False, True):
                        sender.send(mqtt.publish(topic, b"x", qos, retain))
            sender.ping()
        assert {topic for topic, _ in b.ping()} == {OK}
        assert c.ping() == m.ping() == []
        # Nothing is retained, under any name.
        assert {code for code in c.subscribe("#", OK, "secret", *TOPICS[9:12], "/")} <= {0}
        assert c.ping() == []


@pytest.mark.parametrize("topic", [b"", b"#", b"ok/#", b"+", b"ok\0", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x01", b"ok\n",
                                   b"a" * 256])
def test_a_topic_that_is_none_is_routed_nowhere(broker, topic):
    broker.route("A", "#", "B").reload()
    with connected(broker, "B", "#") as b:
        with connected(broker, "A") as a:
            a.send(mqtt.publish(topic, b"x"), mqtt.publish(OK, b"behind"))
            closed = a.is_closed()
        # The longest topic is valid.
        expected = [(topic.decode(), b"x")] if len(topic) == 256 else []
        assert b.ping() == expected + ([] if closed else [(OK, b"behind")])
        with device(broker, "A") as a:
            with pytest.raises(Refused):
                a.connect("A", will=(topic, b"x", 0, False)).ping()
                raise Refused("a will that is not sent is no fault")
        if len(topic) < 256:
            assert b.ping() == []


def test_quality_of_service_2_and_3_are_refused(broker):
    with connected(broker, "B") as b:
        assert b.subscribe(OK, qos=2) == [1]
        for qos in (2, 3):
            with connected(broker, "A") as a:
                a.send(mqtt.publish(OK, b"forged", qos=qos))
                assert a.is_closed()
            with device(broker, "A") as a, pytest.raises(Refused):
                a.connect("A", will=(OK, b"forged", qos, False)).ping()
        with connected(broker, "A") as a:
            a.send(mqtt.packet(mqtt.PUBREL, struct.pack(">H", 1), 2))
            a.is_closed()
        assert b.ping() == []
    check_service(broker)


def test_a_topic_alias_stands_for_what_it_was_given_for(broker):
    def alias(number):
        return ((mqtt.TOPIC_ALIAS, struct.pack(">H", number)),)

    with connected(broker, "B", "#") as b, connected(broker, "C", "#") as c, connected(broker, "A", version=5) as a:
        a.send(mqtt.publish("secret", b"1", version=5, props=alias(1)), mqtt.publish("", b"2", version=5, props=alias(1)),
               mqtt.publish(OK, b"3", version=5, props=alias(1)), mqtt.publish("", b"4", version=5, props=alias(1)),
               mqtt.publish("secret", b"5", version=5, props=alias(1)), mqtt.publish("", b"6", version=5, props=alias(1)))
        a.ping()
        assert b.ping() == [(OK, b"3"), (OK, b"4")]
        for bad in (alias(0), alias(11), alias(65535), alias(1) + alias(2)):
            with connected(broker, "A", version=5) as a:
                a.send(mqtt.publish(OK, b"x", version=5, props=bad))
                a.is_closed()
        # An alias is one connection's own.
        with connected(broker, "A", version=5) as a:
            a.send(mqtt.publish("", b"x", version=5, props=alias(1)))
            assert a.is_closed()
        assert c.ping() == []
    check_service(broker)


def test_properties_do_not_carry_a_message_elsewhere(broker):
    props = [(8, mqtt.text("secret")), (9, mqtt.text("x")), (38, mqtt.text("k") + mqtt.text("v" * 60000)), (11, b"\x01"),
             (2, struct.pack(">I", 0)), (1, b"\x01"), (3, mqtt.text("x")), (200, b"")]
    with connected(broker, "B", "#") as b, connected(broker, "C", "#") as c:
        for prop in props:
            with connected(broker, "A", version=5) as a:
                a.send(mqtt.publish(OK, b"x", version=5, props=(prop,)))
                a.is_closed()
        assert {topic for topic, _ in b.ping()} <= {OK}
        assert c.ping() == []
    check_service(broker)


def test_a_name_that_changes_hands_quickly_stays_one_client(broker):
    """Contexts of mosquitto are freed and made at the same addresses, while a message is under way to each."""
    counts = {"B": 0, "C": 0}
    stop = threading.Event()

    def send():
        with connected(broker, "A") as a:
            while not stop.is_set():
                a.send(mqtt.publish(OK, b"x"))
                a.ping()

    sender = threading.Thread(target=send)
    sender.start()
    generator = random.Random(SEED)
    try:
        clients = []
        for number in range(300):
            name = generator.choice("BCM")
            client = device(broker, name)
            client.connect(name, clean=generator.random() < 0.5,
                           will=(OK, b"forged", 1, False) if generator.random() < 0.5 else None)
            client.subscribe("#")
            if number % 3:
                for topic, _ in client.ping():
                    assert name == "B" and topic == OK
                    counts[name] += 1
            clients.append(client)
            if len(clients) > 4:
                clients.pop(generator.randrange(len(clients))).close()
        for client in clients:
            client.close()
    finally:
        stop.set()
        sender.join()
    assert counts["B"] > 0
    wait_until(lambda: broker.status()["connected"] == [], 20, lambda: str(broker.status()["connected"]))
    check_service(broker)


def test_many_packets_at_once_are_told_apart(broker):
    """In one turn of mosquitto's loop: publishes that go and that do not, subscribing, a takeover and wills."""
    broker.route("C", "ok", "M").reload()
    with connected(broker, "B", "#") as b, connected(broker, "M", "#") as m:
        for _ in range(20):
            with connected(broker, "A", will=(OK, b"will of A", 1, False)) as a, \
                    connected(broker, "C", will=(OK, b"will of C", 0, False)) as c, device(broker, "C") as c2:
                c2.send(mqtt.connect("C"), mqtt.subscribe("#"), mqtt.publish(OK, b"C"), mqtt.publish("secret", b"C"))
                a.send(mqtt.publish("secret", b"no"), mqtt.publish(OK, b"A"), mqtt.subscribe("#"), mqtt.publish("x", b"no"),
                       mqtt.publish(OK, b"A", qos=1), mqtt.subscribe("$SYS/#"), mqtt.publish("secret", b"no"))
                c.send(mqtt.publish(OK, b"C"), mqtt.publish("secret", b"no"))
        wait_until(lambda: {"A", "C"}.isdisjoint(broker.status()["connected"]), 20, "A and C are still connected")
        to_b, to_m = b.ping(), m.ping()
        assert {payload for _, payload in to_b} <= {b"A", b"will of A"} and len(to_b) >= 20
        assert {payload for _, payload in to_m} <= {b"C", b"will of C"} and len(to_m) >= 20
    check_service(broker)


def seeds():
    """Valid packets, which are then damaged."""
    return [mqtt.connect("A"), mqtt.connect("A", version=5, will=(OK, b"x", 1, True, ((mqtt.WILL_DELAY, b"\0\0\0\1"),)),
                                            props=((mqtt.SESSION_EXPIRY, b"\0\0\1\0"),)),
            mqtt.publish(OK, b"x"), mqtt.publish("secret", b"y" * 300, qos=1, retain=True), mqtt.subscribe("#", OK, "$SYS/#"),
            mqtt.packet(mqtt.UNSUBSCRIBE, b"\0\1" + mqtt.text("#"), 2), mqtt.packet(mqtt.PINGREQ),
            mqtt.publish(OK, b"x", version=5, props=((mqtt.TOPIC_ALIAS, b"\0\1"),)),
            mqtt.packet(mqtt.PUBACK, b"\0\1"), mqtt.packet(mqtt.PUBREC, b"\0\1"), mqtt.packet(mqtt.PUBREL, b"\0\1", 2),
            mqtt.packet(mqtt.PUBCOMP, b"\0\1"), mqtt.packet(mqtt.SUBACK, b"\0\1\0"), mqtt.packet(mqtt.DISCONNECT),
            mqtt.packet(mqtt.AUTH, b"\0\0"), mqtt.packet(0), b"\x30\xff\xff\xff\x7f", b"\x30\xff\xff\xff\xff\x01"]


def damaged(generator, packet):
    data = bytearray(packet)
    for _ in range(generator.randint(0, 3)):
        kind = generator.randrange(4)
        at = generator.randrange(len(data)) if data else 0
        if kind == 0 and data:
            data[at] = generator.randrange(256)
        elif kind == 1:
            data[at:at] = bytes(generator.randrange(256) for _ in range(generator.randint(1, 8)))
        elif kind == 2 and data:
            del data[at:at + generator.randint(1, 8)]
        elif data:
            data[at] ^= 1 << generator.randrange(8)
    return bytes(data)


def corpus(*names):
    """What these fuzz targets begin with."""
    folder = pathlib.Path(__file__).resolve().parents[1] / "fuzz/corpus"
    return [path.read_bytes()[:60000] for name in names for path in sorted((folder / name).iterdir())]


def variants(name, count):
    """The same, and damaged ones."""
    generator, texts = random.Random(SEED), corpus(name)
    assert texts
    return texts + [damaged(generator, generator.choice(texts)) for _ in range(count)]


def test_damaged_packets_do_no_harm(broker):
    generator = random.Random(SEED)
    texts = corpus("router_table", "topic", "shadow_document")
    with connected(broker, "B", "#") as b, connected(broker, "C", "#", "$aws/#") as c:
        for number in range(1500):
            where, context, name = ((broker.socket, None, FUNCTION), (broker.port, tls(broker, "M"), "M"))[number % 8 == 0]
            with Raw(where, context) as attacker:
                try:
                    if number % 4:
                        attacker.connect(name, version=generator.choice((4, 5)), clean=generator.random() < 0.7)
                    for _ in range(generator.randint(1, 6)):
                        packet = generator.choice(seeds())
                        if texts and generator.random() < 0.2:
                            text = generator.choice(texts)
                            packet = mqtt.publish(text[:generator.choice((8, 256, 60000))], text, qos=generator.randrange(2))
                        attacker.send(damaged(generator, packet))
                except Refused:
                    pass
        assert {topic for topic, _ in b.ping()} == set()
        assert {topic for topic, _ in c.ping()} <= {"count"}
    check_service(broker)


def is_plain(text, wildcards=""):
    """A topic, or a filter, that nobody has any doubt about."""
    return 0 < len(text) <= 256 and text.isascii() and text.isprintable() and not set("+#") - set(wildcards) & set(text)


def is_filter(text):
    levels = text.split("/")
    return is_plain(text, "+#") and all(level in ("+", "#") or not set("+#") & set(level) for level in levels) \
        and "#" not in levels[:-1]


def matches(subject, topic):
    """As Greengrass V1's guide says: `a/#` is not `a`."""
    wanted, levels = subject.split("/"), topic.split("/")
    if topic.startswith("$") and not subject.startswith("$"):
        return False
    for number, level in enumerate(wanted):
        if number >= len(levels) or level == "#":
            return number < len(levels)
        if level not in ("+", levels[number]):
            return False
    return len(wanted) == len(levels)


def test_the_corpus_of_topics_is_routed_as_a_comparison_with_each_subject_does(broker):
    """Each input has subjects, and a topic in its last line: it is a function of its own, which sends to B."""
    inputs = []
    for number, data in enumerate(variants("topic", 300)):
        *subjects, topic = data.split(b"\n")
        subjects = [text for text in (line.decode("ascii", "replace") for line in subjects[:64]) if is_filter(text)]
        function = f"{LAMBDA}F{number}:1"
        for subject in subjects:
            broker.route(function, subject, "B")
        inputs.append((function, subjects, topic))
    broker.reload()
    assert broker.status()["table_error"] is None
    routed = 0
    with connected(broker, "B", "#", "$aws/#") as b:
        for function, subjects, topic in inputs:
            name = topic.decode("ascii", "replace")
            wanted = any(matches(subject, name) for subject in subjects)
            try:
                with Raw(broker.socket) as sender:
                    sender.connect(function).send(mqtt.publish(topic, function.encode()))
                    sender.ping()
            except Refused:
                assert not (subjects and is_plain(name)), (function, subjects, topic)
            got = [payload for _, payload in b.ping()]
            assert set(got) <= {function.encode()} and len(got) <= 1
            if is_plain(name) and not name.startswith("$"):
                assert len(got) == wanted, (subjects, topic)
                routed += wanted
            elif name.isascii():
                assert wanted or not got, (subjects, topic)
    assert routed > 10
    check_service(broker)


def test_the_corpus_of_tables_is_taken_or_refused_and_does_no_harm(broker):
    with connected(broker, "B", "#") as b:
        for data in variants("router_table", 400):
            broker.table_path.write_bytes(data)
            broker.processes[0].send_signal(signal.SIGHUP)
            # Whoever it is, the answer comes behind the reload.
            for name in ("A", "Crane", "x"):
                with Raw(broker.socket) as stranger, pytest.raises(Refused):
                    stranger.connect(name).ping()
    assert b.messages == []
    broker.reload()
    check_service(broker)


def test_a_reader_that_stands_still_costs_little_and_stops_nobody(broker):
    """It gets what is sent to it in megabytes, and reads none."""
    broker.route("A", "big", "B").route("A", "big", "M").reload()
    payload = b"x" * (100 << 10)
    with connected(broker, "A") as a, connected(broker, "B", "#") as b, device(broker, "M") as still:
        still.sock.setsockopt(mqtt.socket.SOL_SOCKET, mqtt.socket.SO_RCVBUF, 4096)
        still.connect("M", keep_alive=0)
        still.subscribe("#")
        before, received = memory(broker), 0
        for _ in range(60):
            a.send(*[mqtt.publish("big", payload)] * 10)
            a.ping()
            received += len(b.ping())
        assert received == 600
        # What waits for it, once; freed memory that a sanitizer holds back counts, too.
        assert memory(broker) - before < 600 * len(payload) + (400 if is_sanitized(broker) else 32) * MB
        a.send(mqtt.publish(OK, b"alive"))
        a.ping()
        assert b.ping() == [(OK, b"alive")]


def test_a_flood_of_what_is_refused_fills_no_log(broker):
    broker_log = broker.log_path.stat().st_size
    with connected(broker, "M") as m, connected(broker, "B", "#") as b:
        for number in range(100):
            m.send(*[mqtt.publish(f"topic\u2028{number}/{n}\u202e", b"x") for n in range(100)])
            m.ping()
        assert b.ping() == []
        for number in range(200):
            with Raw(broker.socket) as thief, pytest.raises(Refused):
                thief.connect(f"thief{number}").ping()
        status = broker.wait_status(lambda status: status["refused"] >= 10000 and status["refused_connections"] >= 200)
        assert status["routed"] == 0
    text = broker.log_path.read_bytes()[broker_log:]
    assert text.count(b"refused a ") <= 120
    check_service(broker)


def test_subscriptions_of_one_client_are_limited(broker):
    before = memory(broker)
    with connected(broker, "M") as m:
        codes = []
        for number in range(400):
            codes += m.subscribe(*[f"a/{number}/{n}" for n in range(50)])
        assert 0x80 in codes and codes.count(0) <= 1000
        for _ in range(50):
            m.send(mqtt.packet(mqtt.UNSUBSCRIBE, b"\0\1" + b"".join(mqtt.text(f"a/0/{n}") for n in range(50)), 2))
            assert m.receive()[0] == mqtt.UNSUBACK
            m.subscribe(*[f"a/0/{n}" for n in range(50)])
    assert memory(broker) - before < 64 * MB
    check_service(broker)


SHADOW = "$aws/things/{}/shadow/"
# What is in them, and what is answered.
BAD_SHADOWS = (b"", b"{", b"[]", b"null", b'{"state":[]}', b'{"state":{"desired":1}}', b'{"state":{"x":{}}}',
               b'{"state":{},"version":-1}',
               b'{"state":{},"version":9223372036854775807}', b'{"state":{},"version":99999999999999999999999}',
               b'{"state":{},"version":1e308}', b'{"state":{"reported":{"a":[null]}}}', b'{"state":{"reported":{"a":1,"a":2}}}',
               b'{"state":{"reported":' + b'{"a":' * 7 + b"1" + b"}" * 7 + b"}}", b"[" * 100000, b'{"state":' * 8000,
               b'{"state":{"reported":{"a":"' + b"x" * 8200 + b'"}}}', b'{"state":{"reported":{"a":"\xff"}}}', b"\0" * 100,
               b'{"state":{"reported":{"a\\u0000b":1}}}', b'{"state":{},"clientToken":"' + b"x" * 65 + b'"}',
               b'{"state":{},"clientToken":{}}',
               b'{"state":{"reported":{"a":' + b"9" * 5000 + b"}}}", b'{"state":{"reported":{"a":1e999}}}', b"x" * (128 << 10))


@pytest.fixture
def shadows(broker):
    """A, and the function, may use the shadows of A and B; B gets the replies of its own."""
    for thing in "AB":
        for operation in ("get", "update", "delete"):
            broker.route("A", SHADOW.format(thing) + operation, "GGShadowService")
        broker.route("GGShadowService", SHADOW.format(thing) + "#", thing)
    broker.route("A", SHADOW.format("+") + "name/+/update", "GGShadowService")
    broker.route("A", SHADOW.format("Nobody") + "update", "GGShadowService")
    broker.reload()
    return broker


def answers(client):
    """Of the shadow service, which come behind the commit."""
    messages = []
    wait_until(lambda: messages.extend(client.ping()) or messages, 20, "no answer")
    return messages


def test_nobody_speaks_for_the_shadow_service(shadows):
    with connected(shadows, "A", "$aws/#", "#") as a, connected(shadows, "B", "$aws/#", "#") as b, \
            connected(shadows, "C", "$aws/#", "$aws/things/+/shadow/+/accepted", "#") as c:
        for topic in ("get/accepted", "update/accepted", "update/delta", "update/documents", "delete/accepted",
                      "update/rejected"):
            for sender, thing in ((a, "B"), (c, "B"), (b, "A"), (b, "B")):
                sender.send(mqtt.publish(SHADOW.format(thing) + topic, b'{"version":1}', qos=1))
                sender.ping()
        assert a.ping() == b.ping() == c.ping() == []
        a.send(mqtt.publish(SHADOW.format("B") + "update", b'{"state":{"desired":{"on":true}}}'))
        allowed = {SHADOW.format("B") + f"update/{kind}" for kind in ("accepted", "documents", "delta")}
        assert {topic for topic, _ in answers(b)} <= allowed
        assert a.ping() == c.ping() == []
        # Whoever may not ask gets no answer, and changes nothing.
        for thing in "AB":
            c.send(mqtt.publish(SHADOW.format(thing) + "update", b'{"state":{"desired":{"on":false}}}'),
                   mqtt.publish(SHADOW.format(thing) + "delete", b""))
        c.ping()
        a.send(mqtt.publish(SHADOW.format("B") + "get", b""))
        documents = [payload for topic, payload in answers(b) if topic.endswith("get/accepted")]
        assert documents and b'"on":true' in documents[0]
        assert c.ping() == []


def test_a_hostile_shadow_document_changes_nothing(shadows):
    with connected(shadows, "A", SHADOW.format("A") + "#") as a:
        a.send(mqtt.publish(SHADOW.format("A") + "update", b'{"state":{"reported":{"n":1}},"clientToken":"t"}'))
        assert any(topic.endswith("update/accepted") for topic, _ in answers(a))
        a.ping()
        for payload in BAD_SHADOWS:
            a.send(mqtt.publish(SHADOW.format("A") + "update", payload))
            topics = [topic for topic, _ in answers(a)]
            assert topics == [SHADOW.format("A") + "update/rejected"], payload[:60]
        for payload in corpus():
            a.send(mqtt.publish(SHADOW.format("A") + "get", payload))
            a.ping()
        for topic in ("name/x/update", "update/", "updates", "/update"):
            a.send(mqtt.publish(SHADOW.format("A") + topic, b'{"state":{"reported":{"n":2}}}'))
        a.send(mqtt.publish("$aws/things//shadow/update", b'{"state":{"reported":{"n":2}}}'),
               mqtt.publish(SHADOW.format("Nobody") + "update", b'{"state":{"reported":{"n":2}}}'))
        a.ping()
        a.send(mqtt.publish(SHADOW.format("A") + "get", b'{"clientToken":"last"}'))
        got = []
        wait_until(lambda: got.extend(payload for _, payload in a.ping()) or any(b'"last"' in text for text in got), 20,
                   "no answer")
        assert b'"version":1,' in got[-1] and b'"n":1' in got[-1]
    check_service(shadows)


def test_a_flood_of_shadow_requests_is_answered_or_refused_and_costs_no_memory(shadows):
    before, count = memory(shadows), 6000
    big = b'{"state":{"reported":{"a":"' + b"x" * 7000 + b'","n":%d}}}'
    with connected(shadows, "A", SHADOW.format("A") + "update/accepted", SHADOW.format("A") + "update/rejected") as a:
        received = []
        for number in range(count // 100):
            a.send(*[mqtt.publish(SHADOW.format("A") + "update", big % n) for n in range(100)])
            received += a.ping()
        wait_until(lambda: received.extend(a.ping()) or len(received) >= count, 60, lambda: f"{len(received)} answers")
        assert len(received) == count
        assert all(b'"code":429' in payload for topic, payload in received if topic.endswith("rejected"))
    assert memory(shadows) - before < (512 if is_sanitized(shadows) else 96) * MB
    check_service(shadows)


def big_table(broker, count, subscriptions, marker):
    """As many devices with one certificate, and subscriptions among them on topics that begin with `marker`."""
    certificate = fingerprint(broker.authority.issue("A")[0])
    names = [f"d{number:04}" for number in range(count)]
    table = {**broker.table, "devices": list(broker.table["devices"]), "subscriptions": list(broker.table["subscriptions"])}
    for name in names:
        table["devices"].append({"name": name, "arn": f"arn:aws:iot:us-west-2:123456789012:thing/{name}",
                                 "certificates": [certificate], "sync": False})
    for number in range(subscriptions):
        source, target = (f"arn:aws:iot:us-west-2:123456789012:thing/{names[n % count]}" for n in (number, number * 7 + 1))
        table["subscriptions"].append({"source": source, "subject": f"{marker}/{number}/" + ("#" if number % 5 == 0 else "x"),
                                       "target": target})
    return table


def test_the_largest_tables_are_changed_under_load(broker):
    """2,500 devices and 10,000 subscriptions, in turns with a small table, while messages go; nobody ever gets what no table
    had, and memory does not grow."""
    small = broker.table
    large = big_table(broker, 2496, 9990, "m")
    broker.table = large
    broker.reload()
    stop, sent = threading.Event(), [0]

    def send():
        with connected(broker, "A") as a:
            while not stop.is_set():
                a.send(*[mqtt.publish(topic, b"x") for topic in (OK, "m/1/x", "m/5/a/b", "secret")] * 5)
                a.ping()
                sent[0] += 5

    received, base = 0, None
    with connected(broker, "B", "#") as b, connected(broker, "C", "#") as c:
        sender = threading.Thread(target=send)
        sender.start()
        try:
            for number in range(20):
                broker.table = small if number % 2 == 0 else large
                broker.reload()
                messages = b.ping()
                assert {topic for topic, _ in messages} <= {OK}
                received += len(messages)
                if number == 5:
                    base = memory(broker)
        finally:
            stop.set()
            sender.join()
        received += len(b.ping())
        assert received == sent[0]
        assert c.ping() == []
    limit = 512 * MB if is_sanitized(broker) else 48 * MB
    assert memory(broker) - base < limit
    broker.table = small
    broker.reload()
    check_service(broker)


def test_what_a_table_took_away_is_gone_with_its_reload(broker):
    """Of a device: its certificate, its subscription, itself; also of a connection that was there before."""
    with connected(broker, "B", "#") as b, connected(broker, "A") as a:
        a.send(mqtt.publish(OK, b"1"))
        a.ping()
        assert b.ping() == [(OK, b"1")]
        broker.unroute("A", OK, "B")
        broker.reload()
        a.send(mqtt.publish(OK, b"2"))
        a.ping()
        assert b.ping() == []
        broker.route("A", OK, "B")
        broker.table["devices"][0]["certificates"] = ["0" * 64]
        broker.reload()
        assert a.is_closed()
        with device(broker, "A") as again, pytest.raises(Refused):
            again.connect("A")
        broker.remove("B")
        broker.reload()
        assert b.is_closed()
        with device(broker, "B") as again, pytest.raises(Refused):
            again.connect("B")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format":2}', '{"format":1,"devices":{}}',
                                  '{"format":1,"devices":[{"name":"A"}]}', '{"format":1,"subscriptions":[{}]}', "\0" * 4096,
                                  '{"format":1,"format":1}', "[" * 100000, "x" * (9 << 20)],
                         ids=range(12))
def test_a_table_that_cannot_be_read_leaves_the_old_one(broker, text):
    broker.write("router.json", text)
    broker.processes[0].send_signal(1)
    status = broker.wait_status(lambda status: status["table_error"])
    assert "router.json" in status["table_error"] and len(status["table_error"]) < 2000
    check_service(broker)
