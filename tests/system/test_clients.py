"""Real clients, by each way in that they know, with each kind of message.

What they are given is compared, octet for octet, with what the next host gets.
"""

import email
import email.policy
import re
from collections import namedtuple

import pytest

from harness import sasl
from harness.clients import CLIENTS, ENVELOPE_ID, PASSWORD, SENDER, USER, \
    WAYS, Job, Site
from harness.hauberk import free_port
from harness.mx import strip_trace

# body: with CRLF; rcpts: at the next host; refused: one more, of nobody
Situation = namedtuple("Situation", "body rcpts refused dsn")


def situation(body=b"Hello.\r\n", rcpts=2, refused=False, dsn=False):
    return Situation(body, ["u%d@far.test" % i for i in range(rcpts)],
                     refused, dsn)


DOTS = b".\r\n..\r\n. \r\n.x\r\n...\r\n..y.\r\n\r\n.\r\nend\r\n.\r\n"
LINE = b"%06d " + b"x" * 69 + b".\r\n"

SITUATIONS = {
    "small": situation(),
    "dots": situation(DOTS),
    "8bit": situation("Gr\u00fc\u00dfe \u20ac\r\n".encode() * 3),
    "long": situation(b"y" * 998 + b"\r\n." + b"z" * 997 + b"\r\n"),
    "blanks": situation(b"\r\na \r\n\tb\t\r\n \r\nFrom c\r\nFrom: d\r\n"),
    "large": situation(b"".join(LINE % i for i in range(20000))),
    "many": situation(rcpts=30),
    "refused": situation(refused=True),
    "dsn": situation(dsn=True),
}


def message(name, body):
    kind = b"8bit" if max(body) > 127 else b"7bit"
    return b"".join((
        b"From: alice@hb.test\r\nTo: u0@far.test\r\nSubject: ",
        name.encode(), b"\r\nDate: Tue, 1 Sep 2026 10:00:00 +0000\r\n"
        b"Message-ID: <1@hb.test>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: ", kind, b"\r\n\r\n", body))


@pytest.fixture
def serve(make_server, mx_factory, ca, peers, folder, closing):
    """A server with all ways in, before a next host that records."""
    def made(lines=()):
        mx = mx_factory("127.0.0.1")
        mx.keywords = mx.keywords + ["DSN"]
        hb = make_server(start=False)
        ports = {kind: free_port() for kind in ("submission", "submissions")}
        ports["smtp"] = hb.port
        cert = ca.issue("127.0.0.1")
        hb.write("passwd", "%s:%s\n" % (USER, sasl.verifier(PASSWORD)))
        hb.write("key.pem", open(cert.key, "rb").read())
        hb.configure(["listen 127.0.0.1:%d %s" % (p, kind)
                      for kind, p in ports.items()] + [
            "auth passwd-file " + hb.path("passwd"),
            "tls-certificate %s key=%s" % (cert.chain, hb.path("key.pem")),
            "smarthost smtp://127.0.0.1:%d" % mx.port, *lines])
        hb.start()
        hb.mx = mx
        hb.added = ()
        hb.site = Site(peers, folder, ca, ports, closing)
        return hb
    return made


def job(hb, row, subject, way, password=PASSWORD):
    rcpts = row.rcpts + ["nobody@hb.test"] if row.refused else row.rcpts
    return Job(hb.site, WAYS[way], rcpts, message(subject, row.body), row.dsn,
               password)


def passes(hb, name, kind, way):
    """A client sends a message in one way, and it arrives as it was."""
    client, row = CLIENTS[name], SITUATIONS[kind]
    label = "%s: %s, %s" % (name, kind, way)
    sent = job(hb, row, label, way)
    before, said = len(hb.mx.accepted()), len(hb.mx.lines)
    done = client.send(sent)
    if row.refused and not client.rest:
        assert done.code != 0 and "5.1.1" in done.out, (label, done)
        return
    assert done.code == 0, (label, done)
    got = hb.mx.wait(before + 1)[before]
    assert sorted(got.rcpts) == sorted(row.rcpts), label
    assert got.sender == SENDER, label
    assert_same(label, client, sent.message, without(hb.added, got.data))
    if row.dsn:
        assert_asked(client, got, hb.mx.lines[said:])


def without(names, data):
    """The message without the fields that something between has added."""
    header, blank, body = data.partition(b"\r\n\r\n")
    for name in names:
        header = re.sub(rb"\r\n%s:[^\r]*(\r\n[ \t][^\r]*)*" % name.encode(),
                        b"", b"\r\n" + header)[2:]
    return header + blank + body


def assert_same(label, client, sent, data):
    got = strip_trace(data)
    if client.makes == "trace":
        got = strip_trace(got)
    if client.makes != "mail":
        assert got == sent, (label, data[:2000])
        return
    got, sent = (email.message_from_bytes(m, policy=email.policy.SMTP)
                 for m in (got, sent))
    assert got["Subject"] == sent["Subject"], label
    assert got.get_payload(decode=True) == sent.get_payload(decode=True), \
        (label, data[:2000])


def assert_asked(client, got, lines):
    """What the client can ask for went on to the next host."""
    mail = got.sender_params.split()
    assert ("RET=HDRS" in mail) == ("RET" in client.dsn), mail
    assert ("ENVID=" + ENVELOPE_ID in mail) == ("ENVID" in client.dsn), mail
    for line in (l for _, l in lines if l.startswith(b"RCPT")):
        assert (b"NOTIFY=SUCCESS,FAILURE" in line) == \
            ("NOTIFY" in client.dsn), line


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.limit(180)
def test_each_way_in(serve, name):
    """In clear, by STARTTLS, by implicit TLS; without a login and with each
    mechanism of the client."""
    hb = serve()
    for way in CLIENTS[name].ways:
        passes(hb, name, "small", way)
        record = hb.records(ev="accept")[-1]
        assert (record["tls"] == "none") == (way == "clear"), record
    assert {r["mech"] for r in hb.records(ev="auth", result="ok")} == \
        {WAYS[w].mech for w in CLIENTS[name].ways} - {None}


def asks(client, way):
    """Can it ask for notices?"""
    return client.dsn != () and way != client.helo


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.limit(400)
def test_each_situation(serve, name, full):
    """Each kind of message; with --full by each way."""
    hb = serve()
    for kind, row in SITUATIONS.items():
        for way in CLIENTS[name].ways if full else ("starttls",):
            if not row.dsn or asks(CLIENTS[name], way):
                passes(hb, name, kind, way)


@pytest.mark.parametrize("name", [n for n in CLIENTS if n != "postfix"
                                  and n != "exim"])
def test_AUTH_01_a_wrong_password(serve, name):
    """Each mechanism of the client refuses it, and the client says why."""
    hb = serve()
    for way in CLIENTS[name].ways:
        if WAYS[way].mech:
            done = CLIENTS[name].send(job(hb, SITUATIONS["small"], "wrong",
                                          way, "wrong"))
            assert done.code != 0, (way, done)
            record = hb.wait_record(ev="auth", result="fail",
                                    mech=WAYS[way].mech)
            assert record["login"] == USER
    assert hb.mx.accepted() == []


def test_exim_pipelines_and_chunks(serve):
    """Exim finds both keywords and uses them."""
    hb = serve()
    passes(hb, "exim", "dots", "starttls")
    with open(hb.site.folder + "/mainlog") as f:
        log = [l for l in f if " => u0@far.test " in l]
    assert len(log) == 1 and " L " in log[0] and " K " in log[0], log
