"""Relaying many, large and widely addressed messages."""

import collections
import email

import pytest

from harness import client, load
from harness.hauberk import free_port
from harness.wait import until


def relay(make_server, port, lines=()):
    return make_server(["smarthost smtp://127.0.0.1:%d" % port,
                        "max-sessions-per-client 200", *lines])


@pytest.mark.alone
@pytest.mark.limit(300)
def test_many_messages(make_server, peers, folder, closing, full):
    """smtp-source into us, relayed to smtp-sink: all arrive, none twice."""
    count = 20000 if full else 2000
    port = free_port()
    sink = closing(peers.sink(folder, "127.0.0.1", port))
    hb = relay(make_server, port)
    peers.source("127.0.0.1:%d" % hb.port, "-s", "20", "-m", str(count),
                 "-l", "4096", "-N", "-f", "a@client.test",
                 "-t", "user@far.test")
    got = sink.wait(count, 200)
    hb.wait_empty()
    got = sink.recipients()
    twice = [r for r, n in collections.Counter(got).items() if n > 1]
    assert not twice and len(got) == count
    assert len(hb.records(ev="accept")) == count
    assert len(hb.records(ev="delivery", result="ok")) == count


@pytest.mark.alone
@pytest.mark.limit(400)
def test_large_messages(make_server, mx_factory, full):
    """Messages of 5 MB arrive whole."""
    count = 200 if full else 20
    mx = mx_factory("127.0.0.1", keep=False, digest=True)
    hb = relay(make_server, mx.port)
    sent = load.Load(hb.address, hb.port, "x@far.test", threads=4,
                     size=5 << 20).start(count).join()
    assert len(sent.acked) == count
    mx.wait(count, 300)
    hb.wait_empty()
    want = {load.digest(load.message(n, 5 << 20)) for n in sent.acked}
    arrived = [m.without_trace for m in mx.accepted()]
    assert len(arrived) == count and set(arrived) == want


def test_thousand_recipients(make_server, mx_factory):
    """1,000 recipients in one message: each exactly once."""
    mx = mx_factory("127.0.0.1", keep=False)
    hb = relay(make_server, mx.port)
    rcpts = ["user%d@far.test" % i for i in range(1000)]
    hb.send("a@client.test", rcpts, client.text("wide"))
    until(lambda: sum(len(m.rcpts) for m in mx.accepted()) >= 1000, 60,
          lambda: "%d recipients" % sum(len(m.rcpts) for m in mx.accepted()))
    hb.wait_empty()
    seen = [r for m in mx.accepted() for r in m.rcpts]
    assert sorted(seen) == sorted(rcpts)
    assert len(mx.accepted()) <= 20


def test_recipients_refused_one_by_one(make_server, mx_factory):
    """5xx for one is final for it alone, 4xx is tried again alone."""
    tries = collections.Counter()

    def rcpt(_session, path):
        tries[path] += 1
        if path == "bad@far.test":
            return "550 5.1.1 no such user"
        if path == "slow@far.test" and tries[path] == 1:
            return "450 4.2.1 busy"
        return None
    mx = mx_factory("127.0.0.1")
    mx.reply["rcpt"] = rcpt
    hb = relay(make_server, mx.port)
    hb.send("alice@hb.test", ["good@far.test", "bad@far.test",
                              "slow@far.test"], client.text("mixed"))
    mx.wait(2)
    hb.wait_empty()
    assert [m.rcpts for m in mx.accepted()] == [["good@far.test"],
                                                ["slow@far.test"]]
    assert tries["bad@far.test"] == 1
    assert b"bad@far.test" in hb.wait_mail("alice")[0]


def test_452_for_too_many_splits(make_server, mx_factory):
    """A next hop with a recipient limit gets the rest at once."""
    mx = mx_factory("127.0.0.1", keep=False)
    mx.reply["rcpt"] = lambda s, p: (
        "452 4.5.3 too many" if len(s.rcpts) >= 10 else None)
    hb = relay(make_server, mx.port)
    rcpts = ["user%d@far.test" % i for i in range(35)]
    hb.send("a@client.test", rcpts, client.text("split"))
    until(lambda: sum(len(m.rcpts) for m in mx.accepted()) >= 35, 60, "all")
    hb.wait_empty()
    assert sorted(r for m in mx.accepted() for r in m.rcpts) == sorted(rcpts)


def test_connection_limits(make_server, mx_factory):
    """max-connections-per-destination and max-messages-per-connection."""
    mx = mx_factory("127.0.0.1", keep=False)
    mx.delay["eod"] = 0.05
    hb = relay(make_server, mx.port, ["max-connections-per-destination 3",
                                      "max-messages-per-connection 4"])
    load.Load(hb.address, hb.port, "x@far.test").start(60).join()
    mx.wait(60)
    assert mx.open_most <= 3
    per = collections.Counter(m.session for m in mx.accepted())
    assert max(per.values()) <= 4


def test_8bitmime_missing(make_server, mx_factory):
    """8-bit mail never goes as it is to a host without 8BITMIME."""
    mx = mx_factory("127.0.0.1")
    mx.keywords.remove("8BITMIME")
    hb = relay(make_server, mx.port)
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<alice@hb.test> BODY=8BITMIME").code == 250
        c.cmd("RCPT TO:<x@far.test>")
        assert c.data(client.text("8bit", "caf\xc3\xa9\r\n")).code == 250
    hb.wait_empty()
    assert all(max(m.data) < 128 for m in mx.accepted())
    assert mx.accepted() or hb.wait_mail("alice")


def decoded(message):
    """Types and contents of the leaf parts, as Python reads them."""
    top = email.message_from_bytes(message)
    return [(p.get_content_type(), p.get_payload(decode=True))
            for p in top.walk() if not p.is_multipart()]


PARTS = b"".join([
    b"Subject: parts\r\nMIME-Version: 1.0\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"Content-Type: multipart/mixed;\r\n boundary=\"b=E4\"\r\n\r\n"
    b"--b=E4\r\n\r\n7-bit = text \r\n\r\n"
    b"--b=E4\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    b".dot \xc3\xa4\r\n--b\xe4\r\n \t\r\n", b"\xc3\xb6" * 400,
    b"\r\n--b=E4\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\n\r\n\xe4\xf6\r\n"
    b"\r\n--b=E4\r\nContent-Type: application/x; name=y\r\n\r\n",
    bytes(i for i in range(1, 256) if i not in (10, 13)),
    b"\r\n\r\n--b=E4--\r\n"])
LONG = (b"Subject: long\r\nMIME-Version: 1.0\r\nContent-Type: image/x\r\n\r\n" +
        b"".join(b"%d \xe4\xff\r\n" % i for i in range(300000)))


def test_8bitmime_missing_parts_are_encoded(make_server, mx_factory):
    """Who decodes it gets what was sent, whatever its size."""
    mx = mx_factory("127.0.0.1")
    mx.keywords.remove("8BITMIME")
    hb = relay(make_server, mx.port)
    for i, message in enumerate((PARTS, LONG), 1):
        hb.send("alice@hb.test", "x@far.test", message)
        mx.wait(i)
        hb.wait_empty()
        got = mx.accepted()[-1].data
        assert max(got) < 128
        assert max(map(len, got.split(b"\r\n"))) <= 998
        assert decoded(got) == decoded(message)
    assert hb.maildir("alice") == []
    assert "messages_converted" in hb.ctl("stats").out


def test_8bitmime_missing_signed_comes_back(make_server, mx_factory):
    """What others signed is not changed, in memory or in a file."""
    mx = mx_factory("127.0.0.1")
    mx.keywords.remove("8BITMIME")
    hb = relay(make_server, mx.port)
    head = (b"Subject: signed\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n")
    for i, lines in enumerate((1, 40000), 1):
        hb.send("alice@hb.test", "x@far.test",
                head + b"seven\r\n" * lines + b"\xe4\r\n--b--\r\n")
        hb.wait_empty()
        assert b"5.6.3" in hb.wait_mail("alice", i)[-1]
    assert mx.accepted() == []


def test_SMTP_14_lost_connection_is_temporary(make_server, mx_factory):
    """A connection cut at any stage delays and never bounces."""
    mx = mx_factory("127.0.0.1")
    hb = relay(make_server, mx.port)
    hb.send("alice@hb.test", "x@far.test", client.text("cut"))
    mx.wait(1)
    for stage in ("greeting", "ehlo", "mail", "rcpt", "data", "eod"):
        mx.drop = {stage}
        mx.cut()
        before = len(mx.accepted())
        hb.send("alice@hb.test", "x@far.test", client.text("cut " + stage))
        hb.wait_reason()
        mx.drop = set()
        mx.wait(before + 1)
        hb.wait_empty()
    assert hb.maildir("alice") == []


def test_TLS_01_plaintext_behind_220_of_starttls(make_server, mx_factory,
                                                 ca):
    """An MX's plain text behind its 220 is never read inside TLS: `SIZE
    1` in it would make the message too large."""
    mx = mx_factory("127.0.0.1", cert=ca.issue("localhost"))
    mx.inject = b"250-evil\r\n250 SIZE 1\r\n"
    hb = relay(make_server, mx.port)
    hb.send("alice@hb.test", "x@far.test", client.text("inject"))
    hb.wait_record(ev="delivery", rcpt="x@far.test")
    mx.inject = b""
    mx.wait(1)
    hb.wait_empty()
    assert not hb.records(ev="delivery", result="fail")
    assert hb.maildir("alice") == []


@pytest.mark.parametrize("scheme", ["smtp", "smtp+tls", "smtps"])
def test_smarthost_schemes(make_server, mx_factory, ca, scheme):
    """Each URL form gives the channel that it promises."""
    mx = mx_factory("127.0.0.1", cert=ca.issue("relay.test"),
                    implicit_tls=scheme == "smtps")
    hb = make_server(start=False)
    hosts = hb.write("hosts", "127.0.0.1 relay.test\n")
    hb.configure(["hosts-file " + hosts, "ca-file " + ca.file,
                  "smarthost %s://relay.test:%d" % (scheme, mx.port)])
    hb.start()
    hb.send("a@client.test", "x@far.test", client.text(scheme))
    message = mx.wait(1)[0]
    assert message.tls["sni"] == "relay.test"
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["tls"].endswith("/verified")


@pytest.mark.parametrize("scheme", ["smtp+tls", "smtps"])
def test_smarthost_must_verify(make_server, mx_factory, ca, other_ca,
                               scheme):
    """A demanded verification that fails delays; nothing is sent."""
    mx = mx_factory("127.0.0.1", cert=other_ca.issue("relay.test"),
                    implicit_tls=scheme == "smtps")
    hb = make_server(start=False)
    hosts = hb.write("hosts", "127.0.0.1 relay.test\n")
    hb.configure(["hosts-file " + hosts, "ca-file " + ca.file,
                  "smarthost %s://relay.test:%d" % (scheme, mx.port)])
    hb.start()
    hb.send("alice@hb.test", "x@far.test", client.text(scheme))
    hb.wait_reason("cert-untrusted")
    assert "MAIL" not in mx.verbs()
    mx.cert = ca.issue("relay.test")
    mx.wait(1)
    hb.wait_empty()
    assert hb.maildir("alice") == []
